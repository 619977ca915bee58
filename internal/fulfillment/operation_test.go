package fulfillment

import (
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/saasapi"
	"github.com/license-operator/license-operator/internal/terms"
)

func TestOperations(t *testing.T) {
	m := newMarket(t)
	s := m.buy(active)
	if a := m.call("GET", "/"+s.id+"/operations", ""); a.StatusCode != http.StatusOK || a.body != `{"operations":[]}` {
		t.Errorf("none: got %d, %s", a.StatusCode, a.body)
	}
	id := s.asks(terms.ChangeQuantity, func(l *terms.Level) { l.Quantity = 20 })
	want := `{"id":"` + id + `","activityId":"` + id + `","subscriptionId":"` + s.id + `","offerId":"coffee","publisherId":"` + m.name +
		`","planId":"silver","quantity":20,"action":"ChangeQuantity","timeStamp":"2026-03-04T10:15:00Z","status":"InProgress",` +
		`"operationRequestSource":"Azure","errorStatusCode":"","errorMessage":""}`
	if a := m.call("GET", "/"+s.id+"/operations", ""); a.StatusCode != http.StatusOK || a.body != `{"operations":[`+want+`]}` {
		t.Errorf("got %d, %s\nwant %s", a.StatusCode, a.body, want)
	}
	if a := m.call("GET", "/"+s.id+"/operations/"+id, ""); a.StatusCode != http.StatusOK || a.body != want {
		t.Errorf("got %d, %s\nwant %s", a.StatusCode, a.body, want)
	}
	s.record(func(f *terms.Entitlement) { f.Answer(false, "the publisher refused it", s.clock.Now()) })
	if a := m.call("GET", "/"+s.id+"/operations", ""); a.body != `{"operations":[]}` {
		t.Errorf("afterwards: got %s", a.body)
	}
	a := m.call("GET", "/"+s.id+"/operations/"+id, "")
	if op := read[saasapi.Operation](m, a); op.Status != "Failed" || op.ErrorMessage == "" || op.ErrorStatusCode == "" {
		t.Errorf("afterwards: got %s", a.body)
	}
}

func TestAnswer(t *testing.T) {
	m := newMarket(t)
	plan := func(l *terms.Level) { l.Plan = "gold" }
	twenty := func(l *terms.Level) { l.Quantity = 20 }
	for what, row := range map[string]struct {
		bought   func(*v1alpha1.EntitlementSpec)
		action   terms.Action
		level    func(*terms.Level)
		before   func(*service, string)
		body     string
		code     int
		says     string
		progress terms.Progress
	}{
		"accepted":                    {active, terms.ChangeQuantity, twenty, nil, `{"status":"Success"}`, 200, "", terms.Succeeded},
		"refused":                     {active, terms.ChangeQuantity, twenty, nil, `{"status":"Failure"}`, 200, "", terms.Failed},
		"a plan accepted":             {active, terms.ChangePlan, plan, nil, `{"status":"Success"}`, 200, "", terms.Succeeded},
		"with what it is about":       {active, terms.ChangePlan, plan, nil, `{"planId":"gold","quantity":"10","status":"Success"}`, 200, "", terms.Succeeded},
		"with another plan":           {active, terms.ChangePlan, plan, nil, `{"planId":"silver","status":"Success"}`, 400, "leave them out", terms.InProgress},
		"with another quantity":       {active, terms.ChangeQuantity, twenty, nil, `{"quantity":21,"status":"Success"}`, 400, "leave them out", terms.InProgress},
		"a reinstatement accepted":    {suspended, terms.Reinstate, func(*terms.Level) {}, nil, `{"status":"Success"}`, 200, "", terms.Succeeded},
		"a reinstatement refused":     {suspended, terms.Reinstate, func(*terms.Level) {}, nil, `{"status":"Failure"}`, 200, "", terms.Failed},
		"without a status":            {active, terms.ChangeQuantity, twenty, nil, `{}`, 400, "Success", terms.InProgress},
		"with a status of its own":    {active, terms.ChangeQuantity, twenty, nil, `{"status":"Succeeded"}`, 400, "Success", terms.InProgress},
		"accepted in the last second": {active, terms.ChangeQuantity, twenty, deliver(terms.AnswerTime - time.Second), `{"status":"Failure"}`, 200, "", terms.Failed},
		"refused too late":            {active, terms.ChangeQuantity, twenty, deliver(terms.AnswerTime), `{"status":"Failure"}`, 409, "not refused in time", terms.InProgress},
		"accepted late":               {active, terms.ChangeQuantity, twenty, deliver(terms.AnswerTime), `{"status":"Success"}`, 200, "", terms.Succeeded},
		"accepted after it was refused": {active, terms.ChangeQuantity, twenty, func(s *service, _ string) {
			s.record(func(f *terms.Entitlement) { f.Answer(false, "no", s.clock.Now()) })
		}, `{"status":"Success"}`, 409, "has Failed: no", terms.Failed},
		"refused after something newer": {active, terms.ChangeQuantity, twenty, func(s *service, _ string) {
			s.record(func(f *terms.Entitlement) { f.Answer(true, "", s.clock.Now()) })
			s.asks(terms.ChangeQuantity, func(l *terms.Level) { l.Quantity = 30 })
			s.record(func(f *terms.Entitlement) { f.Answer(true, "", s.clock.Now()) })
		}, `{"status":"Failure"}`, 409, "newer update", terms.Succeeded},
		"after the end": {active, terms.ChangeQuantity, twenty, func(s *service, _ string) {
			s.record(func(f *terms.Entitlement) { f.End(terms.EndCancelled, s.clock.Now(), s.clock.Now()) })
		}, `{"status":"Success"}`, 409, "newer update", terms.Failed},
	} {
		m.at(0)
		s := m.buy(row.bought)
		id := s.asks(row.action, row.level)
		if row.before != nil {
			row.before(s, id)
		}
		a := m.call("PATCH", "/"+s.id+"/operations/"+id, row.body)
		m.want(what, a, row.code, row.says)
		_, facts := s.facts()
		op, err := operationOf(facts, id)
		if err != nil || op.Progress != row.progress {
			t.Errorf("%s: the operation is %+v", what, op)
		}
		if row.code != 200 {
			continue
		}
		if a.body != "" {
			t.Errorf("%s: the body is %s", what, a.body)
		}
		if holds := facts.Level().Quantity == 20 || facts.Level().Plan == "gold" || row.action == terms.Reinstate && facts.State() == terms.Subscribed; holds != (row.progress == terms.Succeeded) {
			t.Errorf("%s: what holds is %+v", what, facts.Level())
		}
		before := s.versions()
		m.want(what+" again", m.call("PATCH", "/"+s.id+"/operations/"+id, row.body), 200, "")
		if s.versions() != before {
			t.Errorf("%s again: something was written", what)
		}
	}
}

// deliver has the webhook take the operation, and time pass.
func deliver(after time.Duration) func(*service, string) {
	return func(s *service, id string) {
		s.record(func(f *terms.Entitlement) { f.Deliver(id, "", s.clock.Now()) })
		s.at(after)
	}
}

// TestAnswerNotice answers what the publisher is only told of.
func TestAnswerNotice(t *testing.T) {
	m := newMarket(t)
	s := m.buy(active)
	s.record(func(f *terms.Entitlement) { f.Suspend(s.clock.Now()) })
	_, facts := s.facts()
	path := "/" + s.id + "/operations/" + facts.Operations[0].ID
	before := s.versions()
	m.want("yes", m.call("PATCH", path, `{"status":"Success"}`), 200, "")
	m.want("no", m.call("PATCH", path, `{"status":"Failure"}`), 409, "cannot be refused")
	if s.versions() != before {
		t.Error("something was written")
	}
}

// TestReplay makes each call 1,000 times.
func TestReplay(t *testing.T) {
	m := newMarket(t)
	fresh := func() *service { return m.buy(active) }
	answered := m.buy(active)
	id := answered.asks(terms.ChangeQuantity, func(l *terms.Level) { l.Quantity = 20 })
	pending := m.buy()
	times, clients := 1000, 4
	if testing.Short() {
		times = 20
	}
	for what, c := range map[string]struct {
		s                  *service
		method, path, body string
		codes              [2]int // of the first call, and of all others
	}{
		"resolve":    {fresh(), "POST", "/resolve", "", [2]int{200, 200}},
		"get":        {fresh(), "GET", "", "", [2]int{200, 200}},
		"plans":      {fresh(), "GET", "/listAvailablePlans", "", [2]int{200, 200}},
		"activate":   {pending, "POST", "/activate", `{"planId":"silver"}`, [2]int{200, 400}},
		"change":     {fresh(), "PATCH", "", `{"quantity":20}`, [2]int{202, 202}},
		"end":        {fresh(), "DELETE", "", "", [2]int{202, 202}},
		"operations": {fresh(), "GET", "/operations", "", [2]int{200, 200}},
		"operation":  {answered, "GET", "/operations/" + id, "", [2]int{200, 200}},
		"answer":     {answered, "PATCH", "/operations/" + id, `{"status":"Success"}`, [2]int{200, 200}},
		"list":       {fresh(), "GET", "", "", [2]int{200, 200}},
	} {
		path, header := "/"+c.s.id+c.path, []string{}
		switch what {
		case "list":
			path = ""
		case "resolve":
			path, header = c.path, []string{"x-ms-marketplace-token", c.s.link(uuid.NewString())}
		}
		if a := m.call(c.method, path, c.body, header...); a.StatusCode != c.codes[0] {
			t.Errorf("%s: got %d, %s", what, a.StatusCode, a.body)
		}
		before := c.s.versions()
		var wg sync.WaitGroup
		for range clients {
			wg.Go(func() {
				for range times / clients {
					if a := m.call(c.method, path, c.body, header...); a.StatusCode != c.codes[1] {
						t.Errorf("%s again: got %d, %s", what, a.StatusCode, a.body)
						return
					}
				}
			})
		}
		wg.Wait()
		if c.s.versions() != before {
			t.Errorf("%s: something was written when it was called again", what)
		}
	}
}
