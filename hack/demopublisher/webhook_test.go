package main

import (
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

func TestOperations(t *testing.T) {
	for name, row := range map[string]struct {
		action, status string
		plan           string // "": silver
		quantity       int64
		answer         string // expected; "": none
		is             account
		words          string
	}{
		"more seats are accepted":                    {actionChangeQuantity, progressRunning, "", 20, answerSuccess, account{Plan: "silver", Seats: 20, Users: 8, Status: statusSubscribed}, "now 20 seats"},
		"as many seats as are in use are accepted":   {actionChangeQuantity, progressRunning, "", 8, answerSuccess, account{Plan: "silver", Seats: 8, Users: 8, Status: statusSubscribed}, "now 8 seats"},
		"fewer seats than are in use are refused":    {actionChangeQuantity, progressRunning, "", 7, answerFailure, account{Plan: "silver", Seats: 10, Users: 8, Status: statusSubscribed}, "7 seats are too few for the 8 people"},
		"seats that came without asking":             {actionChangeQuantity, progressSucceeded, "", 7, "", account{Plan: "silver", Seats: 7, Users: 8, Status: statusSubscribed}, "now 7 seats"},
		"a change that failed meanwhile":             {actionChangeQuantity, "Failed", "", 20, "", account{Plan: "silver", Seats: 10, Users: 8, Status: statusSubscribed}, ""},
		"another plan is accepted":                   {actionChangePlan, progressRunning, "gold", 10, answerSuccess, account{Plan: "gold", Seats: 10, Users: 8, Status: statusSubscribed}, "now gold"},
		"a plan with too few seats is refused":       {actionChangePlan, progressRunning, "gold", 5, answerFailure, account{Plan: "silver", Seats: 10, Users: 8, Status: statusSubscribed}, "too few"},
		"a plan that is not sold by the seat is had": {actionChangePlan, progressRunning, "site", 0, answerSuccess, account{Plan: "site", Users: 8, Status: statusSubscribed}, "now site"},
		"a suspension":                               {actionSuspend, progressSucceeded, "", 10, "", account{Plan: "silver", Seats: 10, Users: 8, Status: statusSuspended}, "nobody can sign in"},
		"a reinstatement":                            {actionReinstate, progressRunning, "", 10, answerSuccess, account{Plan: "silver", Seats: 10, Users: 8, Status: statusSubscribed}, "sign in again"},
		"a renewal":                                  {actionRenew, progressSucceeded, "", 10, "", account{Plan: "silver", Seats: 10, Users: 8, Status: statusSubscribed}, "Renewed"},
		"the end":                                    {actionUnsubscribe, progressSucceeded, "", 10, "", account{Plan: "silver", Seats: 10, Status: statusUnsubscribed}, "Ended"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPublisher(t)
			p.setUp(t, 8)
			op := p.market.begin(row.action, row.status, row.quantity)
			if row.plan != "" {
				op.PlanID = row.plan
			}
			if code := p.deliver(t, op); code != 200 {
				t.Fatalf("the webhook answered %d: %s", code, p.log.String())
			}
			a := p.account()
			told := a.Events[len(a.Events)-1].Text
			if row.words == "" && !strings.Contains(told, "8 people have a seat") || !strings.Contains(told, row.words) {
				t.Errorf("the latest event is %q", told)
			}
			if got := (account{Plan: a.Plan, Seats: a.Seats, Users: a.Users, Status: a.Status}); !reflect.DeepEqual(got, row.is) {
				t.Errorf("the account is %+v, want %+v", got, row.is)
			}
			var answers []string
			if row.answer != "" {
				answers = []string{op.ID + " " + row.answer}
			}
			if !reflect.DeepEqual(p.market.answers, answers) {
				t.Errorf("answers %v, want %v", p.market.answers, answers)
			}

			// A thousand times more, and after a restart.
			calls := len(p.market.calls)
			token := sign(t, p.market.key, jose.RS256, p.claims())
			for range 999 {
				req := httptest.NewRequest(http.MethodPost, "/webhook", strings.NewReader(fmt.Sprintf(`{"id":%q,"subscriptionId":%q,"action":%q}`, op.ID, subID, op.Action)))
				req.Header.Set("Authorization", "Bearer "+token)
				rec := httptest.NewRecorder()
				if p.site.handler().ServeHTTP(rec, req); rec.Code != 200 {
					t.Fatalf("a replay was answered with %d", rec.Code)
				}
			}
			p.restart(t)
			p.deliver(t, op)
			if again := p.account(); !reflect.DeepEqual(again, a) || len(p.market.calls) != calls {
				t.Errorf("replays made it %+v with %d more calls, it was %+v", again, len(p.market.calls)-calls, a)
			}
		})
	}
}

// TestLateNews tells of a suspension after the reinstatement that followed it.
func TestLateNews(t *testing.T) {
	p := newPublisher(t)
	p.setUp(t, 3)
	first := p.market.begin(actionSuspend, progressSucceeded, 10)
	late := p.market.begin(actionSuspend, progressSucceeded, 10)
	reinstate := p.market.begin(actionReinstate, progressRunning, 10)
	for _, step := range []struct {
		*operation
		status string
	}{{first, statusSuspended}, {reinstate, statusSubscribed}, {late, statusSubscribed}} {
		if code := p.deliver(t, step.operation); code != 200 || p.account().Status != step.status {
			t.Fatalf("after %s the webhook answered %d, and the account is %s", step.Action, code, p.account().Status)
		}
	}
}

// TestRenewedMeanwhile has a term begin while a change waits for its answer.
func TestRenewedMeanwhile(t *testing.T) {
	p := newPublisher(t)
	p.setUp(t, 3)
	change := p.market.begin(actionChangeQuantity, progressRunning, 20)
	renew := p.market.begin(actionRenew, progressSucceeded, 10)
	for _, op := range []*operation{renew, change} {
		if code := p.deliver(t, op); code != 200 {
			t.Fatalf("the webhook answered %d", code)
		}
	}
	if a := p.account(); a.Seats != 20 {
		t.Errorf("the account is %+v", a)
	}
}

// TestAnsweredMeanwhile has the time to answer run out before the answer comes.
func TestAnsweredMeanwhile(t *testing.T) {
	p := newPublisher(t)
	p.setUp(t, 8)
	op := p.market.begin(actionChangeQuantity, progressRunning, 5)
	p.market.instead = func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPatch {
			p.market.settle(op, true)
		}
		return false
	}
	if code := p.deliver(t, op); code != 200 {
		t.Fatalf("the webhook answered %d", code)
	}
	if a := p.account(); a.Seats != 5 {
		t.Errorf("the marketplace has given 5 seats, and the account is %+v", a)
	}
}

func TestWhoMayCallTheWebhook(t *testing.T) {
	for name, row := range map[string]struct {
		change func(*jwt.Claims)
		code   int
	}{
		"the marketplace":                {func(*jwt.Claims) {}, 200},
		"a token for another publisher":  {func(c *jwt.Claims) { c.Audience = jwt.Audience{"other"} }, 401},
		"a token of somebody else":       {func(c *jwt.Claims) { c.Issuer = "https://evil.example" }, 401},
		"an expired token":               {func(c *jwt.Claims) { c.Expiry = jwt.NewNumericDate(start.Add(-time.Second)) }, 401},
		"a token that is not valid yet":  {func(c *jwt.Claims) { c.NotBefore = jwt.NewNumericDate(start.Add(time.Hour)) }, 401},
		"a token that does never expire": {func(c *jwt.Claims) { c.Expiry = nil }, 401},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPublisher(t)
			p.setUp(t, 8)
			op := p.market.begin(actionChangeQuantity, progressRunning, 20)
			claims := p.claims()
			row.change(&claims)
			code := p.tell(t, sign(t, p.market.key, jose.RS256, claims), map[string]any{"id": op.ID, "subscriptionId": subID, "action": op.Action})
			if accepted := p.account().Seats == 20; code != row.code || accepted != (row.code == 200) {
				t.Errorf("%d, want %d; accepted: %v", code, row.code, accepted)
			}
		})
	}
	t.Run("no token, another key, and the public key as a secret", func(t *testing.T) {
		p := newPublisher(t)
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			t.Fatal(err)
		}
		for _, token := range []string{"", "x", sign(t, key, jose.RS256, p.claims()), sign(t, []byte("0123456789abcdef0123456789abcdef"), jose.HS256, p.claims())} {
			if code := p.tell(t, token, map[string]any{"id": otherID, "subscriptionId": subID, "action": actionSuspend}); code != 401 {
				t.Errorf("%d for %q", code, token)
			}
		}
		if n := len(p.market.calls); n != 0 {
			t.Errorf("%d calls were made for strangers", n)
		}
	})
}

// TestTrouble has something fail that will work later: never an answer that
// would refuse the change.
func TestTrouble(t *testing.T) {
	for name, fails := range map[string]func(r *http.Request) int{
		"the keys cannot be read": func(r *http.Request) int { return map[bool]int{true: 500}[r.URL.Path == "/keys"] },
		"the operation cannot be read": func(r *http.Request) int {
			return map[bool]int{true: 503}[strings.Contains(r.URL.Path, "/operations/")]
		},
		"the operation is not there": func(r *http.Request) int {
			return map[bool]int{true: 404}[strings.Contains(r.URL.Path, "/operations/")]
		},
		"we are not known any more": func(r *http.Request) int {
			return map[bool]int{true: 403}[strings.Contains(r.URL.Path, "/operations/")]
		},
		"the answer does not get there": func(r *http.Request) int { return map[bool]int{true: 500}[r.Method == http.MethodPatch] },
		"the answer is refused":         func(r *http.Request) int { return map[bool]int{true: 400}[r.Method == http.MethodPatch] },
		"a redirect": func(r *http.Request) int {
			return map[bool]int{true: 307}[strings.Contains(r.URL.Path, "/operations/")]
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPublisher(t)
			p.setUp(t, 8)
			was := p.account()
			op := p.market.begin(actionChangeQuantity, progressRunning, 20)
			p.market.instead = func(w http.ResponseWriter, r *http.Request) bool {
				code := fails(r)
				if code == 0 {
					return false
				}
				w.Header().Set("Location", "/elsewhere")
				reply(w, code, nil)
				return true
			}
			if code := p.deliver(t, op); code != http.StatusServiceUnavailable {
				t.Errorf("the webhook answered %d", code)
			}
			if a := p.account(); !reflect.DeepEqual(a, was) {
				t.Errorf("the account is %+v and was %+v", a, was)
			}
			p.market.mu.Lock()
			p.market.instead = nil
			p.market.mu.Unlock()
			if code := p.deliver(t, op); code != 200 || p.account().Seats != 20 {
				t.Errorf("later the webhook answered %d, and the account is %+v", code, p.account())
			}
			if p.market.count("GET /elsewhere") > 0 {
				t.Error("the credential was taken elsewhere")
			}
		})
	}
}

func TestCallsThatMakeNoSense(t *testing.T) {
	p := newPublisher(t)
	token := sign(t, p.market.key, jose.RS256, p.claims())
	for name, row := range map[string]struct {
		body any
		code int
	}{
		"an event of the future":   {map[string]any{"id": otherID, "subscriptionId": subID, "action": "Subscribe", "purchaseToken": nil}, 200},
		"no object":                {"x", 400},
		"an id that is a path":     {map[string]any{"id": "../../activate", "subscriptionId": subID, "action": actionSuspend}, 400},
		"more than one would send": {map[string]any{"id": otherID, "subscriptionId": subID, "action": actionSuspend, "x": strings.Repeat("x", maxPayload)}, 400},
	} {
		if code := p.tell(t, token, row.body); code != row.code {
			t.Errorf("%s: %d, want %d", name, code, row.code)
		}
	}
	if n := len(p.market.calls); n != 0 {
		t.Errorf("%d calls were made for nothing: %v", n, p.market.calls)
	}
}

// TestCatchUp stops the program while the marketplace goes on.
func TestCatchUp(t *testing.T) {
	p := newPublisher(t)
	p.setUp(t, 8)
	p.Close()
	fewer := p.market.begin(actionChangeQuantity, progressRunning, 5)
	p.restart(t)
	if err := p.site.webhook.followAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	if want := []string{fewer.ID + " " + answerFailure}; !reflect.DeepEqual(p.market.answers, want) || p.account().Seats != 10 {
		t.Errorf("answers %v, want %v; account %+v", p.market.answers, want, p.account())
	}
	p.market.sub.Status = statusUnsubscribed
	if err := p.site.webhook.followAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	was := p.account()
	if was.Status != statusUnsubscribed || p.site.accounts.get(otherID).Status != "" {
		t.Errorf("the account is %+v", was)
	}
	if err := p.site.webhook.followAll(t.Context()); err != nil || !reflect.DeepEqual(p.account(), was) {
		t.Errorf("following again: %v, and the account is %+v", err, p.account())
	}
}

// TestAskedHere changes something at the publisher.
func TestAskedHere(t *testing.T) {
	p := newPublisher(t)
	p.setUp(t, 8)
	code, page := p.send(t, "/seats", url.Values{"seats": {"7"}})
	if code != 422 || !strings.Contains(page, "from 8 on") || p.market.updates != 0 {
		t.Errorf("7 seats for 8 people: %d, %d updates", code, p.market.updates)
	}
	for _, form := range []struct {
		path string
		url.Values
	}{{"/seats", url.Values{"seats": {"20"}}}, {"/plan", url.Values{"plan": {"gold"}}}, {"/end", nil}} {
		was := p.market.updates
		if code, page := p.send(t, form.path, form.Values); code != 200 || p.market.updates != was+1 {
			t.Errorf("%s: %d, %d updates: %s", form.path, code, p.market.updates-was, page)
		}
	}
	for _, answer := range []int{400, 403, 409, 500} {
		p.market.instead = func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodPatch {
				p.market.updates++
				reply(w, answer, nil)
			}
			return r.Method == http.MethodPatch
		}
		was := p.market.updates
		if code, page := p.send(t, "/plan", url.Values{"plan": {"gold"}}); code < 400 || !strings.Contains(page, `role="alert"`) || p.market.updates != was+1 {
			t.Errorf("%d: %d, tried %d times", answer, code, p.market.updates-was)
		}
	}
	p.market.sub.AllowedOperations = []string{"Read"}
	was := p.market.updates
	if _, page := p.open(t, "/accounts/"+subID); strings.Contains(page, "/plan") || strings.Contains(page, "/end") {
		t.Error("the page offers what the marketplace does not let the customer do")
	}
	if code, _ := p.send(t, "/end", nil); code != 422 || p.market.updates != was {
		t.Errorf("ended all the same: %d, %d updates", code, p.market.updates-was)
	}
}

func TestUsers(t *testing.T) {
	p := newPublisher(t)
	p.setUp(t, 8)
	for _, users := range []string{"-1", "11", "many", ""} {
		if code, page := p.send(t, "/users", url.Values{"users": {users}}); code != 422 || !strings.Contains(page, "from 0 to 10") || p.account().Users != 8 {
			t.Errorf("%q: %d, account %+v", users, code, p.account())
		}
	}
	p.market.sub.Status = statusSuspended
	if code, page := p.send(t, "/users", url.Values{"users": {"2"}}); code != 422 || !strings.Contains(page, "reinstate it") || strings.Contains(page, "<form") {
		t.Errorf("while suspended: %d %s", code, page)
	}
}

// TestKept fails if what was kept cannot be kept.
func TestKept(t *testing.T) {
	p := newPublisher(t)
	p.setUp(t, 8)
	p.site.accounts.file = p.data + "/gone/accounts.json"
	op := p.market.begin(actionSuspend, progressSucceeded, 10)
	if code := p.deliver(t, op); code != http.StatusServiceUnavailable || p.account().Status != statusSubscribed {
		t.Errorf("%d, account %+v", code, p.account())
	}
	a := account{}
	for i := range keptOperations + 1 {
		a.done(fmt.Sprint(i))
		a.note(start, "%d", i)
	}
	if len(a.Done) != keptOperations || a.Done[0] != "1" || len(a.Events) != keptEvents || a.Events[keptEvents-1].Text != fmt.Sprint(keptOperations) {
		t.Errorf("%d operations from %s, %d events", len(a.Done), a.Done[0], len(a.Events))
	}
}
