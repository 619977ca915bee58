package main

import (
	"context"
	"fmt"
	"net/http"
	"net/mail"
	"slices"
	"strconv"
	"strings"
	"time"
)

// pollEvery is how often an operation is looked at that was begun here, and
// pollFor how long somebody waits for it in front of a page.
const (
	pollEvery = 500 * time.Millisecond
	pollFor   = 5 * time.Second
)

// visit is somebody's form on the page of an account.
type visit struct {
	form    func(name string) string
	account account
	sub     *subscription // as it is now
}

// showAccount shows a new purchase or an account.
func (s *site) showAccount(w http.ResponseWriter, r *http.Request, id string) {
	ctx, cancel := context.WithTimeout(r.Context(), pageTime)
	defer cancel()
	v := &visit{account: s.accounts.get(id), form: func(string) string { return "" }}
	var err error
	if v.sub, err = s.api.get(ctx, id); err != nil {
		s.refuse(w, r, err, goneRefusals)
		return
	}
	s.showVisit(ctx, w, http.StatusOK, v, message{})
}

// posted handles a form, and shows the account again. What the form did is in
// the page that the browser is sent to, so that reloading does nothing twice.
func (s *site) posted(do func(context.Context, *visit) (message, error)) func(http.ResponseWriter, *http.Request, string) {
	return func(w http.ResponseWriter, r *http.Request, id string) {
		ctx, cancel := context.WithTimeout(r.Context(), pageTime)
		defer cancel()
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		if err := r.ParseForm(); err != nil {
			s.show(w, http.StatusBadRequest, badForm)
			return
		}
		v := &visit{account: s.accounts.get(id), form: func(name string) string { return strings.TrimSpace(r.PostForm.Get(name)) }}
		var err error
		if v.sub, err = s.api.get(ctx, id); err != nil {
			s.refuse(w, r, err, goneRefusals)
			return
		}
		m, err := do(ctx, v)
		if err != nil {
			s.logger.Error("a form was not carried out", "path", r.URL.Path, "err", err)
			m = failed(err)
		}
		if m.Problem == "" {
			http.Redirect(w, r, "/accounts/"+id, http.StatusSeeOther)
			return
		}
		s.showVisit(ctx, w, m.status(), v, m)
	}
}

// activate sets an account up and has its billing begin. Doing it again changes
// nothing.
func (s *site) activate(ctx context.Context, v *visit) (message, error) {
	if v.sub.Status != statusPending {
		return message{}, nil // another window was faster
	}
	company, email := v.form("company"), v.form("email")
	m := message{Fields: map[string]string{}}
	if company == "" || len(company) > 200 {
		m.Fields["company"] = "Enter the name of your company, with at most 200 characters."
	}
	if address, err := mail.ParseAddress(email); err != nil || address.Address != email || len(email) > 254 {
		m.Fields["email"] = "Enter an e-mail address, such as ada@contoso.example."
	}
	if len(m.Fields) > 0 {
		m.Problem = "Some of what is needed is missing."
		return m, nil
	}
	defer s.accounts.turn(v.sub.ID)()
	// The account is there before the customer pays for it.
	err := s.accounts.change(v.sub.ID, func(a *account) {
		a.Company, a.AdminEmail = company, email
		a.Offer, a.Plan, a.Seats = v.sub.OfferID, v.sub.PlanID, v.sub.Quantity
	})
	if err != nil {
		return message{}, err
	}
	if err := s.api.activate(ctx, v.sub.ID, activation{PlanID: v.sub.PlanID, Quantity: v.sub.Quantity}); err != nil {
		return message{}, err
	}
	return message{}, s.accounts.change(v.sub.ID, func(a *account) {
		if a.Status == statusPending { // and not in another window
			a.Status = statusSubscribed
			a.note(s.now(), "Set up for %s. Billing has begun.", company)
		}
	})
}

// setUsers says how many people use the service, which is what a change to fewer
// seats is refused for.
func (s *site) setUsers(_ context.Context, v *visit) (message, error) {
	users, err := strconv.ParseInt(v.form("users"), 10, 64)
	if err != nil || users < 0 || users > v.sub.Quantity || v.sub.Status != statusSubscribed {
		text := fmt.Sprintf("Enter a number from 0 to %d.", v.sub.Quantity)
		return message{Problem: "The number of users was not changed.", Fields: map[string]string{"users": text}}, nil
	}
	return message{}, s.accounts.change(v.sub.ID, func(a *account) {
		a.Users = users
		a.note(s.now(), "%d people have a seat.", users)
	})
}

func (s *site) changePlan(ctx context.Context, v *visit) (message, error) {
	return s.change(ctx, v, "Update", func() (string, error) {
		return s.api.update(ctx, v.sub.ID, change{PlanID: v.form("plan")})
	})
}

func (s *site) changeSeats(ctx context.Context, v *visit) (message, error) {
	seats, err := strconv.ParseInt(v.form("seats"), 10, 64)
	if err != nil || seats < max(1, v.account.Users) {
		text := fmt.Sprintf("Enter a number from %d on.", max(1, v.account.Users))
		return message{Problem: "The number of seats was not changed.", Fields: map[string]string{"seats": text}}, nil
	}
	return s.change(ctx, v, "Update", func() (string, error) {
		return s.api.update(ctx, v.sub.ID, change{Quantity: seats})
	})
}

func (s *site) end(ctx context.Context, v *visit) (message, error) {
	return s.change(ctx, v, "Delete", func() (string, error) { return s.api.unsubscribe(ctx, v.sub.ID) })
}

// change has the marketplace do something that the customer asked for here, and
// waits for it. The account follows when the webhook is told.
func (s *site) change(ctx context.Context, v *visit, needs string, begin func() (string, error)) (message, error) {
	if !slices.Contains(v.sub.AllowedOperations, needs) {
		return message{Problem: "This subscription is managed at the marketplace. Ask there for the change."}, nil
	}
	operationID, err := begin()
	if err != nil {
		return message{}, err
	}
	op, err := s.outcome(ctx, v.sub.ID, operationID)
	switch {
	case err != nil:
		return message{}, err
	case op.Status == progressRunning:
		return message{Problem: "The marketplace has not decided yet. Look again in a minute."}, nil
	case op.Status != progressSucceeded:
		return message{Problem: "The marketplace did not make the change."}, nil
	}
	return message{}, nil
}

// outcome waits a while for the end of an operation.
func (s *site) outcome(ctx context.Context, id, operationID string) (*operation, error) {
	ctx, cancel := context.WithTimeout(ctx, pollFor)
	defer cancel()
	running := &operation{Status: progressRunning}
	for {
		op, err := s.api.operation(ctx, id, operationID)
		if ctx.Err() != nil {
			return running, nil
		}
		if err != nil || op.Status != progressRunning {
			return op, err
		}
		timer := time.NewTimer(pollEvery)
		select {
		case <-ctx.Done():
			timer.Stop()
			return running, nil
		case <-timer.C:
		}
	}
}
