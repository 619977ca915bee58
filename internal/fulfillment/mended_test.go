package fulfillment

import (
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/saasapi"
	"github.com/license-operator/license-operator/internal/signing"
	"github.com/license-operator/license-operator/internal/terms"
	"github.com/license-operator/license-operator/test/apiproxy"
)

// TestResolveUnchecked has a purchase token that is good and cannot be checked.
func TestResolveUnchecked(t *testing.T) {
	m := newMarket(t)
	s := m.buy()
	token := s.link("good-token-of-" + m.name)
	resolve := func() reply { return m.call("POST", "/resolve", "", "x-ms-marketplace-token", token) }
	// What a signing.Verifier says of a ConfigMap that is missing or garbled is
	// no error of the API server's.
	m.purchases.err = errors.New("ConfigMap of " + m.name + " is no set of keys")
	a := resolve()
	m.want("the keys are garbled", a, 503, "not known")
	if !strings.Contains(logged.String(), m.purchases.err.Error()) {
		t.Error("whoever runs the service is not told why")
	}
	m.purchases.err = errors.Join(errors.New("forged"), signing.ErrInvalid)
	m.want("it is forged", resolve(), 400, "malformed")
	m.purchases.err = nil
	m.want("afterwards", resolve(), 200, s.id)
}

// TestComeBackInTime has a publisher refuse a change while the API server
// fails, and come back as often as it is told to.
func TestComeBackInTime(t *testing.T) {
	m := newMarket(t)
	s := m.buy(active)
	id := s.asks(terms.ChangeQuantity, func(l *terms.Level) { l.Quantity = 20 })
	s.record(func(f *terms.Entitlement) { f.Operations[f.Pending()].Delivered = s.clock.Now() })
	refuse := func() reply { return m.call("PATCH", "/"+s.id+"/operations/"+id, `{"status":"Failure"}`) }
	proxy.SetHook(apiproxy.Hook{Before: func(apiproxy.Write) apiproxy.Action { return apiproxy.Respond500 }})
	defer proxy.SetHook(apiproxy.Hook{})
	var waited time.Duration
	for range 3 {
		a := refuse()
		m.want("the API server fails", a, 503, "")
		seconds, _ := strconv.Atoi(a.Header.Get("Retry-After"))
		waited += time.Duration(seconds) * time.Second
		m.at(waited)
	}
	proxy.SetHook(apiproxy.Hook{})
	m.want("it is back", refuse(), 200, "")
	if _, facts := s.facts(); facts.Operations[0].Progress != terms.Failed {
		t.Errorf("after %v the operation has %s", waited, facts.Operations[0].Progress)
	}
}

// TestProductOfAnother publishes a product anew under its old name, as another
// publisher's or another offer: what it costs is not for who had the old one.
func TestProductOfAnother(t *testing.T) {
	for what, change := range map[string]func(*v1alpha1.ProductSpec){
		"another publisher's": func(p *v1alpha1.ProductSpec) { p.SaaS.PublisherRef.Name = "rival" },
		"another offer":       func(p *v1alpha1.ProductSpec) { p.SaaS.OfferID = "tea" },
		"software": func(p *v1alpha1.ProductSpec) {
			p.SaaS, p.Software = nil, &v1alpha1.SoftwareProduct{Keys: v1alpha1.ProductKeys{IssuerRef: v1alpha1.Reference{Name: "rival"}}}
		},
	} {
		m := newMarket(t)
		s := m.buy(active)
		p := m.product()
		if err := live.Delete(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		p = m.product()
		change(&p.Spec)
		m.create(p)
		m.cached(p)
		before := s.versions()
		a := m.call("GET", "/"+s.id+"/listAvailablePlans", "")
		m.want(what, a, 200, "")
		if plans := read[saasapi.PlanList](m, a).Plans; len(plans) != 1 || plans[0].PlanID != "silver" || !plans[0].IsStopSell {
			t.Errorf("%s: the plans are %s", what, a.body)
		}
		m.want(what, m.call("PATCH", "/"+s.id, `{"planId":"flat"}`), 400, "listAvailablePlans")
		m.want(what, m.call("PATCH", "/"+s.id, `{"quantity":20}`), 400, "no longer in the catalogue")
		if s.versions() != before {
			t.Errorf("%s: something was written", what)
		}
	}
}

// TestChangeCarriedOut has a change carried out before the service knows that it
// is on record: that is no reason to refuse it, or to take it out of spec.
func TestChangeCarriedOut(t *testing.T) {
	asks := func(s *service) { s.asks(terms.ChangeQuantity, func(l *terms.Level) { l.Quantity = 20 }) }
	answers := func(accepted bool) func(*service) {
		return func(s *service) { s.record(func(f *terms.Entitlement) { f.Answer(accepted, "no", s.clock.Now()) }) }
	}
	type acts []func(*service)
	for what, row := range map[string]struct {
		lost     int // the write whose answer gets lost
		after    int // the write that this happens after
		happens  acts
		progress terms.Progress
		quantity int64 // that holds
	}{
		"accepted, and the answer of the record was lost": {2, 2, acts{answers(true)}, terms.Succeeded, 20},
		"refused, and the answer of the record was lost":  {2, 2, acts{answers(false)}, terms.Failed, 10},
		"the controllers were faster, and it is accepted": {0, 1, acts{asks, answers(true)}, terms.Succeeded, 20},
		"the controllers were faster, and it is refused":  {0, 1, acts{asks, answers(false)}, terms.Failed, 10},
	} {
		m := newMarket(t)
		s := m.buy(active)
		m.want(what, m.call("GET", "/"+s.id, ""), 200, "")
		proxy.Reset()
		proxy.SetHook(apiproxy.Hook{
			Before: func(w apiproxy.Write) apiproxy.Action {
				if w.Number == row.lost {
					return apiproxy.DropAfter
				}
				return apiproxy.Forward
			},
			After: func(w apiproxy.Write, _ int) {
				for _, act := range row.happens {
					if w.Number == row.after {
						act(s)
					}
				}
			},
		})
		a := m.call("PATCH", "/"+s.id, `{"quantity":20}`)
		proxy.SetHook(apiproxy.Hook{})
		m.want(what, a, 202, "")
		_, facts := s.facts()
		if len(facts.Operations) != 1 {
			t.Fatalf("%s: the operations are %+v", what, facts.Operations)
		}
		if op := m.follow(s, a); op.ID != facts.Operations[0].ID || op.Status != string(row.progress) || !facts.Operations[0].ByPublisher && row.lost == 0 {
			t.Errorf("%s: the operation is %+v", what, op)
		}
		if spec, level := s.sub().Spec.Quantity, facts.Level().Quantity; spec != 20 || level != row.quantity {
			t.Errorf("%s: spec has %d seats and %d hold", what, spec, level)
		}
	}
}

// TestChangeAdoptedLate has a change answered that the controllers put on record
// after an earlier try, while the next try is on its way.
func TestChangeAdoptedLate(t *testing.T) {
	m := newMarket(t)
	s := m.buy(active)
	m.want("get", m.call("GET", "/"+s.id, ""), 200, "")
	proxy.Reset()
	proxy.SetHook(apiproxy.Hook{Before: func(apiproxy.Write) apiproxy.Action { return apiproxy.DropAfter }})
	a := m.call("PATCH", "/"+s.id, `{"quantity":20}`)
	m.want("the answer gets lost", a, 503, "")
	m.at(time.Minute)
	id := s.asks(terms.ChangeQuantity, func(l *terms.Level) { l.Quantity = 20 })
	m.at(time.Minute + time.Second)
	proxy.Reset()
	proxy.SetHook(apiproxy.Hook{Before: func(w apiproxy.Write) apiproxy.Action {
		if w.Number == 1 {
			s.record(func(f *terms.Entitlement) { f.Answer(true, "", s.clock.Now()) })
		}
		return apiproxy.Forward
	}})
	a = m.call("PATCH", "/"+s.id, `{"quantity":20}`)
	proxy.SetHook(apiproxy.Hook{})
	m.want("the next try", a, 202, "")
	if op := m.follow(s, a); op.ID != id || s.sub().Spec.Quantity != 20 {
		t.Errorf("spec has %d seats, and the operation is %+v", s.sub().Spec.Quantity, op)
	}
}

// TestChangeBackAndForth asks for the same twice within a second, and for
// something else between: each is an operation.
func TestChangeBackAndForth(t *testing.T) {
	m := newMarket(t)
	s := m.buy(active)
	ids := map[string]bool{}
	for _, body := range []string{`{"quantity":20}`, `{"quantity":10}`, `{"quantity":20}`} {
		a := m.call("PATCH", "/"+s.id, body)
		m.want(body, a, 202, "")
		op := m.follow(s, a)
		ids[op.ID] = true
		m.want(body+" is accepted", m.call("PATCH", "/"+s.id+"/operations/"+op.ID, `{"status":"Success"}`), 200, "")
	}
	if _, facts := s.facts(); len(ids) != 3 || len(facts.Operations) != 3 || facts.Level().Quantity != 20 {
		t.Errorf("%d seats hold after %+v", facts.Level().Quantity, facts.Operations)
	}
}

// TestChangeUndoneNevertheless refuses a change after the controllers have
// written status, which is no reason to leave it in spec.
func TestChangeUndoneNevertheless(t *testing.T) {
	m := newMarket(t)
	s := m.buy(active)
	m.want("get", m.call("GET", "/"+s.id, ""), 200, "")
	proxy.Reset()
	proxy.SetHook(apiproxy.Hook{After: func(w apiproxy.Write, _ int) {
		if w.Number == 1 {
			s.record(func(f *terms.Entitlement) { f.Suspend(s.clock.Now()) })
			sub := s.sub()
			sub.Status.ID = s.id
			if err := live.Status().Update(t.Context(), sub); err != nil {
				t.Error(err)
			}
		}
	}})
	a := m.call("PATCH", "/"+s.id, `{"quantity":20}`)
	proxy.SetHook(apiproxy.Hook{})
	m.want("suspended meanwhile", a, 400, "Suspended")
	if got := s.sub().Spec.Quantity; got != 10 {
		t.Errorf("spec.quantity is %d", got)
	}
}

// TestDefaults sends what clients send that write each field, whether it is set
// or not.
func TestDefaults(t *testing.T) {
	m := newMarket(t)
	s := m.buy()
	m.want("activation", m.call("POST", "/"+s.id+"/activate", `{"planId":"silver","quantity":0}`), 200, "")
	a := m.call("PATCH", "/"+s.id, `{"planId":"gold","quantity":0}`)
	m.want("another plan", a, 202, "")
	if got := s.sub().Spec; got.PlanID != "gold" || got.Quantity != 10 {
		t.Errorf("spec is %s, %d", got.PlanID, got.Quantity)
	}
	for what, row := range map[string]struct {
		body     string
		code     int
		progress terms.Progress
	}{
		"a refusal":                       {`{"planId":"","quantity":0,"status":"Failure"}`, 200, terms.Failed},
		"a refusal, with what holds":      {`{"planId":"silver","quantity":10,"status":"Failure"}`, 200, terms.Failed},
		"an acceptance":                   {`{"planId":"","quantity":0,"status":"Success"}`, 200, terms.Succeeded},
		"an acceptance of something else": {`{"planId":"","quantity":11,"status":"Success"}`, 400, terms.InProgress},
	} {
		s := m.buy(active)
		id := s.asks(terms.ChangeQuantity, func(l *terms.Level) { l.Quantity = 20 })
		m.want(what, m.call("PATCH", "/"+s.id+"/operations/"+id, row.body), row.code, "")
		if _, facts := s.facts(); facts.Operations[0].Progress != row.progress {
			t.Errorf("%s: the operation has %s", what, facts.Operations[0].Progress)
		}
	}
}
