package fulfillment

import (
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/saasapi"
	"github.com/license-operator/license-operator/internal/terms"
	"github.com/license-operator/license-operator/test/apiproxy"
)

type changes = []func(*v1alpha1.EntitlementSpec)

func TestActivate(t *testing.T) {
	m := newMarket(t)
	m.at(time.Hour)
	for what, row := range map[string]struct {
		bought changes
		body   string
		code   int
		says   string
	}{
		"plan and quantity":                    {nil, `{"planId":"silver","quantity":10}`, 200, ""},
		"quantity as the documentation has it": {nil, `{"planId":"silver","quantity":"10"}`, 200, ""},
		"only the plan":                        {nil, `{"planId":"silver"}`, 200, ""},
		"null for no quantity":                 {nil, `{"planId":"silver","quantity":null}`, 200, ""},
		"a body with a byte order mark":        {nil, "\xef\xbb\xbf" + `{"planId":"silver"}`, 200, ""},
		"a plan without seats":                 {changes{noSeats}, `{"planId":"flat","quantity":""}`, 200, ""},
		"a partner's purchase":                 {changes{byPartner}, `{"planId":"silver"}`, 200, ""},
		"seats for a plan without seats":       {changes{noSeats}, `{"planId":"flat","quantity":1}`, 400, "leave quantity out"},
		"no plan":                              {nil, `{"quantity":10}`, 400, "planId is missing"},
		"another plan":                         {nil, `{"planId":"gold","quantity":10}`, 400, "silver"},
		"another quantity":                     {nil, `{"planId":"silver","quantity":11}`, 400, "which is 10"},
		"none of the seats":                    {nil, `{"planId":"silver","quantity":0}`, 200, ""},
		"subscribed":                           {changes{active}, `{"planId":"silver"}`, 400, "activated already"},
		"suspended":                            {changes{suspended}, `{"planId":"silver"}`, 400, "activated already"},
		"unsubscribed":                         {changes{unsubscribed}, `{"planId":"silver"}`, 404, "Unsubscribed"},
		"without its object":                   {changes{orphaned}, `{"planId":"silver"}`, 400, "gone"},
		"no body":                              {nil, ``, 400, "JSON object"},
		"an array":                             {nil, `[]`, 400, "JSON object"},
		"null":                                 {nil, `null`, 400, "JSON object"},
		"two bodies":                           {nil, `{"planId":"silver"}{}`, 400, "JSON object"},
		"half a seat":                          {nil, `{"planId":"silver","quantity":10.5}`, 400, "whole number"},
		"words for seats":                      {nil, `{"planId":"silver","quantity":"ten"}`, 400, "whole number"},
		"seats beyond all numbers":             {nil, `{"planId":"silver","quantity":99999999999999999999}`, 400, "whole number"},
	} {
		s := m.buy(row.bought...)
		before, had := s.facts()
		a := m.call("POST", "/"+s.id+"/activate", row.body)
		m.want(what, a, row.code, row.says)
		e, facts := s.facts()
		switch {
		case row.code == 200 && (!facts.Activated.Equal(m.began.Add(time.Hour)) || a.body != "" || facts.State() != terms.Subscribed):
			t.Errorf("%s: activated at %v, with body %q", what, facts.Activated, a.body)
		case row.code != 200 && (e.ResourceVersion != before.ResourceVersion || !facts.Activated.Equal(had.Activated)):
			t.Errorf("%s: something was written", what)
		}
	}
}

func TestActivateInTime(t *testing.T) {
	m := newMarket(t)
	early, late := m.buy(), m.buy()
	m.at(terms.ActivationTime - time.Second)
	m.want("in the last second", m.call("POST", "/"+early.id+"/activate", `{"planId":"silver"}`), 200, "")
	m.at(terms.ActivationTime)
	m.want("after 30 days", m.call("POST", "/"+late.id+"/activate", `{"planId":"silver"}`), 404, "Unsubscribed")
}

func TestActivateWhatTheCustomerLeft(t *testing.T) {
	m := newMarket(t)
	s := m.bought()
	m.want("the object is gone, and nobody has seen it", m.call("POST", "/"+s.id+"/activate", `{"planId":"silver"}`), 400, "gone")
	s = m.buy()
	sub := s.sub()
	sub.Spec.Cancelled = true
	if err := live.Update(t.Context(), sub); err != nil {
		t.Fatal(err)
	}
	m.want("cancelled, and nobody has seen it", m.call("POST", "/"+s.id+"/activate", `{"planId":"silver"}`), 404, "cancelled")
	if _, facts := s.facts(); !facts.Activated.IsZero() {
		t.Error("it was activated")
	}
}

// TestActivateFaults breaks the write of an activation in every way.
func TestActivateFaults(t *testing.T) {
	once := func(a apiproxy.Action) func(apiproxy.Write) apiproxy.Action {
		return func(w apiproxy.Write) apiproxy.Action {
			if w.Number == 1 {
				return a
			}
			return apiproxy.Forward
		}
	}
	always := func(a apiproxy.Action) func(apiproxy.Write) apiproxy.Action {
		return func(apiproxy.Write) apiproxy.Action { return a }
	}
	slow := func(committed bool) func(apiproxy.Write) apiproxy.Action {
		return func(w apiproxy.Write) apiproxy.Action {
			if w.Number > 1 {
				return apiproxy.Forward
			}
			if !committed {
				time.Sleep(time.Second)
				return apiproxy.DropBefore
			}
			return apiproxy.Forward
		}
	}
	for what, row := range map[string]struct {
		before func(apiproxy.Write) apiproxy.Action
		after  func(apiproxy.Write, int)
		code   int
		active bool
	}{
		"the request gets lost":           {once(apiproxy.DropBefore), nil, 200, true},
		"the answer gets lost":            {once(apiproxy.DropAfter), nil, 200, true},
		"all answers get lost":            {always(apiproxy.DropAfter), nil, 200, true},
		"all requests get lost":           {always(apiproxy.DropBefore), nil, 503, false},
		"somebody else writes":            {once(apiproxy.Respond409), nil, 200, true},
		"somebody else always writes":     {always(apiproxy.Respond409), nil, 503, false},
		"the API server is busy":          {once(apiproxy.Respond429), nil, 200, true},
		"the API server is always busy":   {always(apiproxy.Respond429), nil, 503, false},
		"the API server fails":            {once(apiproxy.Respond500), nil, 200, true},
		"the API server always fails":     {always(apiproxy.Respond500), nil, 503, false},
		"no answer in time, not carried":  {slow(false), nil, 200, true},
		"no answer in time, but carried":  {slow(true), func(w apiproxy.Write, _ int) { sleepFirst(w) }, 200, true},
		"no answer ever, but carried out": {nil, func(apiproxy.Write, int) { time.Sleep(time.Second) }, 200, true},
	} {
		t.Run(what, func(t *testing.T) {
			m := newMarket(t, func(s *Service) { s.APITimeout = 2 * time.Second })
			s := m.buy()
			m.want("get", m.call("GET", "/"+s.id, ""), 200, "")
			t.Cleanup(func() { proxy.SetHook(apiproxy.Hook{}) })
			proxy.Reset()
			var committed atomic.Int32
			proxy.SetHook(apiproxy.Hook{Before: row.before, After: func(w apiproxy.Write, status int) {
				if status < 300 {
					committed.Add(1)
				}
				if row.after != nil {
					row.after(w, status)
				}
			}})
			a := m.call("POST", "/"+s.id+"/activate", `{"planId":"silver"}`)
			proxy.SetHook(apiproxy.Hook{})
			m.want(what, a, row.code, "")
			if _, facts := s.facts(); facts.Activated.IsZero() == row.active || committed.Load() > 1 {
				t.Errorf("activated at %v, by %d writes", facts.Activated, committed.Load())
			}
		})
	}
}

func sleepFirst(w apiproxy.Write) {
	if w.Number == 1 {
		time.Sleep(time.Second)
	}
}

// TestActivateAtOnce has many clients activate the same purchase.
func TestActivateAtOnce(t *testing.T) {
	m := newMarket(t)
	s := m.buy()
	var wg sync.WaitGroup
	codes := make([]int, 20)
	for i := range codes {
		wg.Go(func() { codes[i] = m.call("POST", "/"+s.id+"/activate", `{"planId":"silver"}`).StatusCode })
	}
	wg.Wait()
	count := map[int]int{}
	for _, code := range codes {
		count[code]++
	}
	if count[http.StatusOK] != 1 || count[http.StatusBadRequest] != len(codes)-1 {
		t.Errorf("got %v, want one activation and else refusals", count)
	}
	e, _ := s.facts()
	if e.Generation != 2 {
		t.Errorf("the entitlement was written %d times", e.Generation-1)
	}
}

func TestEnd(t *testing.T) {
	m := newMarket(t)
	m.at(time.Hour)
	for what, row := range map[string]struct {
		bought changes
		code   int
		says   string
	}{
		"pending":              {nil, 202, ""},
		"subscribed":           {changes{active}, 202, ""},
		"suspended":            {changes{suspended}, 202, ""},
		"without its object":   {changes{active, orphaned}, 202, ""},
		"unsubscribed":         {changes{unsubscribed}, 400, "ended already"},
		"a partner's purchase": {changes{active, byPartner}, 400, "partner"},
		"a colleague's purchase": {changes{active, func(e *v1alpha1.EntitlementSpec) {
			e.Subscriber.Purchaser = &v1alpha1.Person{Email: "bob@Contoso.example"}
		}}, 202, ""},
	} {
		s := m.buy(row.bought...)
		a := m.call("DELETE", "/"+s.id, "")
		m.want(what, a, row.code, row.says)
		_, facts := s.facts()
		if (facts.Reason == terms.EndPublisherEnded) != (row.code == 202) {
			t.Errorf("%s: ended because of %q", what, facts.Reason)
		}
		if row.code != 202 {
			continue
		}
		op := m.follow(s, a)
		if op.Action != saasapi.ActionUnsubscribe || op.Status != saasapi.StatusSucceeded || op.OperationRequestSource != saasapi.SourcePublisher {
			t.Errorf("%s: the operation is %+v", what, op)
		}
		before := s.versions()
		if b := m.call("DELETE", "/"+s.id, ""); b.StatusCode != http.StatusAccepted || b.Header.Get("Operation-Location") != a.Header.Get("Operation-Location") || s.versions() != before {
			t.Errorf("%s again: got %d, %s", what, b.StatusCode, b.Header.Get("Operation-Location"))
		}
		m.want("get", m.call("GET", "/"+s.id, ""), 200, `"Unsubscribed"`)
	}
}

// TestEndLostAnswer loses the API server's answer to the end of a service.
func TestEndLostAnswer(t *testing.T) {
	m := newMarket(t)
	s := m.buy(active)
	proxy.Reset()
	proxy.SetHook(apiproxy.Hook{Before: func(apiproxy.Write) apiproxy.Action { return apiproxy.DropAfter }})
	t.Cleanup(func() { proxy.SetHook(apiproxy.Hook{}) })
	a := m.call("DELETE", "/"+s.id, "")
	proxy.SetHook(apiproxy.Hook{})
	m.want("the answer gets lost", a, 202, "")
	if _, facts := s.facts(); len(facts.Operations) != 1 {
		t.Errorf("got %+v", facts.Operations)
	}
}

// follow reads the operation that a reply points to.
func (m *market) follow(s *service, a reply) saasapi.Operation {
	m.t.Helper()
	location := a.Header.Get("Operation-Location")
	path, ok := strings.CutPrefix(location, base)
	if !ok || a.body != "" {
		m.t.Errorf("Operation-Location is %q, with body %q", location, a.body)
	}
	b := m.raw("GET", path, "", "Authorization", "Bearer "+m.token)
	m.want("the operation", b, 200, s.id)
	return read[saasapi.Operation](m, b)
}
