package fulfillment

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/saasapi"
	"github.com/license-operator/license-operator/internal/terms"
	"github.com/license-operator/license-operator/test/apiproxy"
)

func TestChange(t *testing.T) {
	m := newMarket(t)
	seats := func(plan string, n int64) func(*v1alpha1.EntitlementSpec) {
		return func(e *v1alpha1.EntitlementSpec) {
			active(e)
			e.Purchase.PlanID, e.Purchase.Quantity = plan, n
		}
	}
	for what, row := range map[string]struct {
		bought func(*v1alpha1.EntitlementSpec)
		body   string
		code   int
		says   string // of an operation: action, plan, quantity and price
	}{
		"more seats":                 {active, `{"quantity":20}`, 202, "ChangeQuantity silver 20 4.00"},
		"fewer seats":                {active, `{"quantity":2}`, 202, "ChangeQuantity silver 2 4.00"},
		"seats as a string":          {active, `{"quantity":"20"}`, 202, "ChangeQuantity silver 20 4.00"},
		"an empty plan besides":      {active, `{"planId":"","quantity":20}`, 202, "ChangeQuantity silver 20 4.00"},
		"another plan":               {active, `{"planId":"gold"}`, 202, "ChangePlan gold 10 9.50"},
		"null seats besides":         {active, `{"planId":"gold","quantity":null}`, 202, "ChangePlan gold 10 9.50"},
		"a plan without seats":       {active, `{"planId":"flat"}`, 202, "ChangePlan flat 0 80.00"},
		"a plan with seats at last":  {seats("flat", 0), `{"planId":"team"}`, 202, "ChangePlan team 20 4.00"},
		"seats of a plan not sold":   {seats("old", 10), `{"quantity":20}`, 202, "ChangeQuantity old 20 4.00"},
		"the most seats":             {active, `{"quantity":100}`, 202, "ChangeQuantity silver 100 4.00"},
		"too many seats":             {active, `{"quantity":101}`, 400, "2 to 100 seats"},
		"too few seats":              {active, `{"quantity":1}`, 400, "2 to 100 seats"},
		"no seats":                   {active, `{"quantity":0}`, 400, "at least 1"},
		"fewer than none":            {active, `{"quantity":-5}`, 400, "2 to 100 seats"},
		"as many seats":              {active, `{"quantity":10}`, 400, "already"},
		"the same plan":              {active, `{"planId":"silver"}`, 400, "already"},
		"both":                       {active, `{"planId":"gold","quantity":20}`, 400, "not both"},
		"neither":                    {active, `{}`, 400, "missing"},
		"a plan that does not exist": {active, `{"planId":"brass"}`, 400, "listAvailablePlans"},
		"a plan that is not sold":    {active, `{"planId":"old"}`, 400, "listAvailablePlans"},
		"a plan of another term":     {active, `{"planId":"yearly"}`, 400, "listAvailablePlans"},
		"a plan of more seats":       {active, `{"planId":"team"}`, 400, "20 to 50 seats"},
		"seats of a flat plan":       {seats("flat", 0), `{"quantity":3}`, 400, "not sold by the seat"},
		"seats of a plan that went":  {seats("gone", 10), `{"quantity":3}`, 400, "no longer in the catalogue"},
		"pending":                    {func(*v1alpha1.EntitlementSpec) {}, `{"quantity":20}`, 400, "PendingFulfillmentStart"},
		"suspended":                  {suspended, `{"quantity":20}`, 400, "Suspended"},
		"unsubscribed":               {unsubscribed, `{"quantity":20}`, 400, "Unsubscribed"},
		"a partner's purchase":       {func(e *v1alpha1.EntitlementSpec) { active(e); byPartner(e) }, `{"quantity":20}`, 400, "partner"},
		"without its object":         {func(e *v1alpha1.EntitlementSpec) { active(e); orphaned(e) }, `{"quantity":20}`, 400, "gone"},
		"a plan as a number":         {active, `{"planId":5}`, 400, "JSON object"},
	} {
		s := m.buy(row.bought)
		before := s.versions()
		a := m.call("PATCH", "/"+s.id, row.body)
		if row.code != 202 {
			m.want(what, a, row.code, row.says)
			if s.versions() != before {
				t.Errorf("%s: something was written", what)
			}
			continue
		}
		m.want(what, a, 202, "")
		op := m.follow(s, a)
		_, facts := s.facts()
		on := facts.Operations[facts.Pending()]
		got := fmt.Sprintf("%s %s %d %s", on.Action, on.Level.Plan, on.Level.Quantity, on.Level.UnitPrice.StringFixed(2))
		if got != row.says || op.Status != saasapi.StatusInProgress || op.OperationRequestSource != saasapi.SourcePublisher || !on.ByPublisher || op.ID != on.ID {
			t.Errorf("%s: the operation is %s, %+v", what, got, op)
		}
		spec := s.sub().Spec
		if on.Action == terms.ChangePlan && (spec.PlanID != on.Level.Plan || spec.Quantity != 10) ||
			on.Action == terms.ChangeQuantity && (spec.Quantity != on.Level.Quantity || spec.PlanID != "silver") {
			t.Errorf("%s: spec is %s, %d", what, spec.PlanID, spec.Quantity)
		}
		// Nothing holds before the publisher has had its time to refuse.
		m.want(what, m.call("GET", "/"+s.id, ""), 200, `"Subscribed"`)
		if facts.Level().Plan == on.Level.Plan && facts.Level().Quantity == on.Level.Quantity {
			t.Errorf("%s: it holds already", what)
		}
		before = s.versions()
		if b := m.call("PATCH", "/"+s.id, row.body); b.StatusCode != http.StatusAccepted || b.Header.Get("Operation-Location") != a.Header.Get("Operation-Location") || s.versions() != before {
			t.Errorf("%s again: got %d, %s", what, b.StatusCode, b.Header.Get("Operation-Location"))
		}
		m.want(what+", then something else", m.call("PATCH", "/"+s.id, other(row.body)), 409, "in progress")
	}
}

// other is a change that is none of the test's.
func other(body string) string {
	if strings.Contains(body, "flat") || strings.Contains(body, "team") {
		return `{"planId":"gold"}`
	}
	return `{"quantity":33}`
}

// TestChangeTwice changes the plan after the quantity. What the publisher had
// applied before stays.
func TestChangeTwice(t *testing.T) {
	m := newMarket(t)
	s := m.buy(active)
	for _, step := range []struct{ body, plan string }{{`{"quantity":20}`, "silver"}, {`{"planId":"gold"}`, "gold"}, {`{"quantity":30}`, "gold"}} {
		a := m.call("PATCH", "/"+s.id, step.body)
		m.want(step.body, a, 202, "")
		m.want("accepting it", m.call("PATCH", "/"+s.id+"/operations/"+m.follow(s, a).ID, `{"status":"Success"}`), 200, "")
		if spec := s.sub().Spec; spec.PlanID != step.plan || spec.Quantity < 20 {
			t.Errorf("after %s spec is %s, %d", step.body, spec.PlanID, spec.Quantity)
		}
	}
	m.want("at last", m.call("GET", "/"+s.id, ""), 200, `"planId":"gold","quantity":30`)
}

// TestChangeOwned changes a field that somebody else owns.
func TestChangeOwned(t *testing.T) {
	m := newMarket(t)
	apply := func(s *service, manager string, spec map[string]any) {
		o := &unstructured.Unstructured{Object: map[string]any{"spec": spec}}
		o.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("MarketplaceSubscription"))
		o.SetNamespace(s.market.name)
		o.SetName(s.name)
		if err := live.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(o), client.FieldOwner(manager), client.ForceOwnership); err != nil {
			t.Fatal(err)
		}
	}
	whole := map[string]any{"productRef": map[string]any{"name": m.name}, "term": "P1M", "planID": "silver", "quantity": int64(10)}
	annotated := func(s *service, spec map[string]any) {
		text, _ := json.Marshal(map[string]any{"spec": spec})
		sub := s.sub()
		metav1.SetMetaDataAnnotation(&sub.ObjectMeta, "kubectl.kubernetes.io/last-applied-configuration", string(text))
		if err := live.Update(t.Context(), sub); err != nil {
			t.Fatal(err)
		}
	}
	for what, row := range map[string]struct {
		own  func(*service)
		code int
		says string
	}{
		"created by a person":              {func(*service) {}, 202, ""},
		"edited by a person":               {func(s *service) { sub := s.sub(); sub.Spec.Quantity = 11; _ = live.Update(t.Context(), sub) }, 202, ""},
		"applied by GitOps":                {func(s *service) { apply(s, "flux", whole) }, 409, `"flux"`},
		"applied by kubectl on the server": {func(s *service) { apply(s, "kubectl", whole) }, 409, `"kubectl"`},
		"applied without the quantity":     {func(s *service) { apply(s, "flux", map[string]any{"friendlyName": "x"}) }, 202, ""},
		"applied by kubectl":               {func(s *service) { annotated(s, map[string]any{"quantity": 10}) }, 409, "kubectl apply"},
		"applied by kubectl, without it":   {func(s *service) { annotated(s, map[string]any{"planID": "silver"}) }, 202, ""},
		"an annotation that cannot be read": {func(s *service) {
			sub := s.sub()
			metav1.SetMetaDataAnnotation(&sub.ObjectMeta, "kubectl.kubernetes.io/last-applied-configuration", "{")
			_ = live.Update(t.Context(), sub)
		}, 202, ""},
		"being cancelled": {func(s *service) { sub := s.sub(); sub.Spec.Cancelled = true; _ = live.Update(t.Context(), sub) }, 409, "cancelling"},
		"being suspended": {func(s *service) { sub := s.sub(); sub.Spec.Suspended = true; _ = live.Update(t.Context(), sub) }, 400, "Suspended"},
		"deleted":         {func(s *service) { _ = live.Delete(t.Context(), s.sub()) }, 400, "gone"},
	} {
		s := m.buy(active)
		row.own(s)
		m.want(what, m.call("PATCH", "/"+s.id, `{"quantity":20}`), row.code, row.says)
		_, facts := s.facts()
		if (facts.Pending() >= 0) != (row.code == 202) {
			t.Errorf("%s: the operations are %+v", what, facts.Operations)
		}
		if what == "deleted" {
			continue
		}
		if sub := s.sub(); (sub.Spec.Quantity == 20) != (row.code == 202) {
			t.Errorf("%s: spec.quantity is %d", what, sub.Spec.Quantity)
		}
	}
}

// TestChangeMeanwhile has somebody else act between the change of spec and the
// record.
func TestChangeMeanwhile(t *testing.T) {
	for what, row := range map[string]struct {
		act      func(*service)
		code     int
		says     string
		quantity int64 // in spec, afterwards
	}{
		"the controllers see it first": {func(s *service) { s.asks(terms.ChangeQuantity, func(l *terms.Level) { l.Quantity = 20 }) }, 202, "", 20},
		"the customer asks for more":   {func(s *service) { s.asks(terms.ChangeQuantity, func(l *terms.Level) { l.Quantity = 30 }) }, 409, "in progress", 10},
		"the service is suspended":     {func(s *service) { s.record(func(f *terms.Entitlement) { f.Suspend(s.clock.Now()) }) }, 400, "Suspended", 10},
		"the customer cancels": {func(s *service) {
			s.record(func(f *terms.Entitlement) { f.End(terms.EndCancelled, s.clock.Now(), s.clock.Now()) })
		}, 400, "Unsubscribed", 10},
	} {
		m := newMarket(t)
		s := m.buy(active)
		m.want(what, m.call("GET", "/"+s.id, ""), 200, "")
		proxy.Reset()
		proxy.SetHook(apiproxy.Hook{After: func(w apiproxy.Write, _ int) {
			if w.Number == 1 {
				row.act(s)
			}
		}})
		a := m.call("PATCH", "/"+s.id, `{"quantity":20}`)
		proxy.SetHook(apiproxy.Hook{})
		m.want(what, a, row.code, row.says)
		_, facts := s.facts()
		pending := 0
		for _, op := range facts.Operations {
			if op.Progress == terms.InProgress {
				pending++
			}
		}
		if pending > 1 || row.code == 202 && !facts.Operations[facts.Pending()].ByPublisher {
			t.Errorf("%s: the operations are %+v", what, facts.Operations)
		}
		if got := s.sub().Spec.Quantity; got != row.quantity {
			t.Errorf("%s: spec.quantity is %d, want %d", what, got, row.quantity)
		}
	}
}

// TestChangeUndone takes a wish back from a spec that left the field out.
func TestChangeUndone(t *testing.T) {
	m := newMarket(t)
	s := m.buy(active)
	sub := s.sub()
	sub.Spec.PlanID, sub.Spec.Quantity = "", 0
	if err := live.Update(t.Context(), sub); err != nil {
		t.Fatal(err)
	}
	m.want("get", m.call("GET", "/"+s.id, ""), 200, "")
	proxy.Reset()
	proxy.SetHook(apiproxy.Hook{After: func(w apiproxy.Write, _ int) {
		if w.Number == 1 {
			s.record(func(f *terms.Entitlement) { f.Suspend(s.clock.Now()) })
		}
	}})
	a := m.call("PATCH", "/"+s.id, `{"planId":"gold"}`)
	proxy.SetHook(apiproxy.Hook{})
	m.want("suspended meanwhile", a, 400, "Suspended")
	if spec := s.sub().Spec; spec.PlanID != "" || spec.Quantity != 0 {
		t.Errorf("spec is %q, %d", spec.PlanID, spec.Quantity)
	}
	// What somebody has changed since stays.
	s = m.buy(active)
	m.want("get", m.call("GET", "/"+s.id, ""), 200, "")
	proxy.Reset()
	proxy.SetHook(apiproxy.Hook{After: func(w apiproxy.Write, _ int) {
		if w.Number == 1 {
			s.record(func(f *terms.Entitlement) { f.Suspend(s.clock.Now()) })
			sub := s.sub()
			sub.Spec.Quantity = 44
			if err := live.Update(context.Background(), sub); err != nil {
				t.Error(err)
			}
		}
	}})
	a = m.call("PATCH", "/"+s.id, `{"quantity":20}`)
	proxy.SetHook(apiproxy.Hook{})
	m.want("edited meanwhile", a, 400, "Suspended")
	if got := s.sub().Spec.Quantity; got != 44 {
		t.Errorf("spec.quantity is %d", got)
	}
}

// TestChangeLocked has GitOps take the field over just before the publisher's
// change arrives.
func TestChangeLocked(t *testing.T) {
	m := newMarket(t)
	s := m.buy(active)
	m.want("get", m.call("GET", "/"+s.id, ""), 200, "")
	proxy.Reset()
	proxy.SetHook(apiproxy.Hook{Before: func(w apiproxy.Write) apiproxy.Action {
		if w.Number == 1 {
			sub := s.sub()
			sub.Spec.Quantity = 44
			if err := live.Update(context.Background(), sub); err != nil {
				t.Error(err)
			}
		}
		return apiproxy.Forward
	}})
	a := m.call("PATCH", "/"+s.id, `{"quantity":20}`)
	proxy.SetHook(apiproxy.Hook{})
	m.want("edited meanwhile", a, 409, "try again")
	if _, facts := s.facts(); len(facts.Operations) > 0 || s.sub().Spec.Quantity != 44 {
		t.Errorf("spec.quantity is %d, and the operations are %+v", s.sub().Spec.Quantity, facts.Operations)
	}
}

// TestChangeFaults breaks the two writes of a change, and has the publisher try
// again.
func TestChangeFaults(t *testing.T) {
	for _, action := range []apiproxy.Action{apiproxy.DropBefore, apiproxy.DropAfter, apiproxy.Respond409, apiproxy.Respond500} {
		for number := 1; number <= 2; number++ {
			what := fmt.Sprintf("%s of write %d", action, number)
			m := newMarket(t)
			s := m.buy(active)
			m.want(what, m.call("GET", "/"+s.id, ""), 200, "")
			proxy.Reset()
			proxy.SetHook(apiproxy.Hook{Before: func(w apiproxy.Write) apiproxy.Action {
				if w.Number == number {
					return action
				}
				return apiproxy.Forward
			}})
			a := m.call("PATCH", "/"+s.id, `{"quantity":20}`)
			proxy.SetHook(apiproxy.Hook{})
			if a.StatusCode != http.StatusAccepted && a.StatusCode != http.StatusServiceUnavailable && a.StatusCode != http.StatusConflict {
				t.Errorf("%s: got %d", what, a.StatusCode)
			}
			if a = m.call("PATCH", "/"+s.id, `{"quantity":20}`); a.StatusCode != http.StatusAccepted {
				t.Errorf("%s: the second try got %d: %s", what, a.StatusCode, a.body)
			}
			if _, facts := s.facts(); len(facts.Operations) != 1 || s.sub().Spec.Quantity != 20 {
				t.Errorf("%s: the operations are %+v", what, facts.Operations)
			}
		}
	}
}

// TestChangeAdopted tries again after the controllers put the change on record.
func TestChangeAdopted(t *testing.T) {
	m := newMarket(t)
	s := m.buy(active)
	proxy.Reset()
	proxy.SetHook(apiproxy.Hook{Before: func(w apiproxy.Write) apiproxy.Action {
		if w.Number == 1 {
			return apiproxy.DropAfter
		}
		return apiproxy.Forward
	}})
	a := m.call("PATCH", "/"+s.id, `{"quantity":20}`)
	proxy.SetHook(apiproxy.Hook{})
	m.want("the answer gets lost", a, 503, "")
	id := s.asks(terms.ChangeQuantity, func(l *terms.Level) { l.Quantity = 20 })
	a = m.call("PATCH", "/"+s.id, `{"quantity":20}`)
	m.want("again", a, 202, "")
	if op := m.follow(s, a); op.ID != id || op.OperationRequestSource != saasapi.SourcePublisher {
		t.Errorf("got %+v", op)
	}
	// What a customer asked for is not the publisher's.
	s = m.buy(active)
	s.asks(terms.ChangeQuantity, func(l *terms.Level) { l.Quantity = 20 })
	sub := s.sub()
	sub.Spec.Quantity = 20
	if err := live.Update(t.Context(), sub); err != nil {
		t.Fatal(err)
	}
	m.want("what the customer asked for", m.call("PATCH", "/"+s.id, `{"quantity":20}`), 409, "in progress")
}

// TestChangeAtOnce has many clients change the same subscription.
func TestChangeAtOnce(t *testing.T) {
	m := newMarket(t)
	s := m.buy(active)
	var wg sync.WaitGroup
	replies := make([]reply, 20)
	for i := range replies {
		wg.Go(func() { replies[i] = m.call("PATCH", "/"+s.id, fmt.Sprintf(`{"quantity":%d}`, 20+i%4)) })
	}
	wg.Wait()
	locations := map[string]bool{}
	for i, a := range replies {
		switch a.StatusCode {
		case http.StatusAccepted:
			locations[a.Header.Get("Operation-Location")] = true
		case http.StatusConflict:
		default:
			t.Errorf("client %d got %d: %s", i, a.StatusCode, a.body)
		}
	}
	_, facts := s.facts()
	if len(facts.Operations) != 1 || len(locations) != 1 {
		t.Fatalf("got %d operations and %d locations", len(facts.Operations), len(locations))
	}
	if got := s.sub().Spec.Quantity; got != facts.Operations[0].Level.Quantity {
		t.Errorf("spec says %d and the operation %d", got, facts.Operations[0].Level.Quantity)
	}
}
