package main

import (
	"context"
	"crypto/rand"
	"net/http"
	"sync"
	"time"

	"github.com/google/uuid"
)

const (
	// sessionTime is how long somebody who came with a link can use the account.
	sessionTime = time.Hour
	maxSessions = 10000
	cookieName  = "session"
)

// session lets a browser see one account, because it came with a purchase token
// for it. The token itself is not kept: nothing else is done with it.
type session struct {
	subscriptionID string
	expires        time.Time
}

type sessions struct {
	now func() time.Time

	mu   sync.Mutex
	byID map[string]session
}

func newSessions(now func() time.Time) *sessions {
	return &sessions{now: now, byID: map[string]session{}}
}

// begin begins a session and returns its id, which is a secret. It is empty if
// there are too many.
func (s *sessions) begin(subscriptionID string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if len(s.byID) >= maxSessions {
		for id, each := range s.byID {
			if !now.Before(each.expires) {
				delete(s.byID, id)
			}
		}
	}
	if len(s.byID) >= maxSessions {
		return ""
	}
	id := rand.Text()
	s.byID[id] = session{subscriptionID, now.Add(sessionTime)}
	return id
}

// allows reports whether a session lets somebody see an account.
func (s *sessions) allows(id, subscriptionID string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	found, ok := s.byID[id]
	return ok && found.subscriptionID == subscriptionID && s.now().Before(found.expires)
}

// land resolves the token that somebody comes with and goes on to the account,
// so that the token is neither in the address any more nor in the history.
// Nothing else happens: scanners of mail and chat open links, too.
func (s *site) land(w http.ResponseWriter, r *http.Request) {
	token := r.URL.Query().Get("token")
	if token == "" {
		s.show(w, http.StatusBadRequest, noLink)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), pageTime)
	defer cancel()
	found, err := s.api.resolve(ctx, token)
	if err != nil {
		s.refuse(w, r, err, refusals{http.StatusBadRequest: oldLink, http.StatusForbidden: foreignLink, http.StatusNotFound: oldLink})
		return
	}
	if known := s.accounts.get(found.ID); known.Status == "" {
		err := s.accounts.change(found.ID, func(a *account) { a.follow(&found.Subscription) })
		if err != nil {
			s.refuse(w, r, err, nil)
			return
		}
	}
	id := s.sessions.begin(found.ID)
	if id == "" {
		s.show(w, http.StatusServiceUnavailable, busy)
		return
	}
	http.SetCookie(w, &http.Cookie{
		// One for each account, so that somebody can manage several at a time.
		Name: cookieName, Value: id, Path: "/accounts/" + found.ID, MaxAge: int(sessionTime / time.Second),
		HttpOnly: true, Secure: s.secure, SameSite: http.SameSiteLaxMode,
	})
	http.Redirect(w, r, "/accounts/"+found.ID, http.StatusSeeOther)
}

// allowed lets only those do something with an account who came with a link for it.
func (s *site) allowed(handle func(http.ResponseWriter, *http.Request, string)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id := r.PathValue("id")
		cookie, err := r.Cookie(cookieName)
		if err != nil || uuid.Validate(id) != nil || !s.sessions.allows(cookie.Value, id) {
			s.show(w, http.StatusForbidden, noSession)
			return
		}
		handle(w, r, id)
	}
}
