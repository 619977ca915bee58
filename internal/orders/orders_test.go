package orders_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/orders"
	"github.com/license-operator/license-operator/internal/terms"
)

type (
	purchase = v1alpha1.SelfServicePurchase
	order    = v1alpha1.SelfServiceOrder
	facts    = terms.Order
)

func trial(p *purchase)                  { p.Spec.Type, p.Spec.PaymentMethod = v1alpha1.SelfServiceTrial, false }
func called(name string) func(*purchase) { return func(p *purchase) { p.Name = name } }
func in(customer string) func(*purchase) { return func(p *purchase) { p.Namespace = customer } }
func of(product string) func(*purchase) {
	return func(p *purchase) { p.Spec.ProductRef.Name = product }
}
func by(username string) func(*purchase) {
	return func(p *purchase) { p.Spec.Purchaser.Username = username }
}
func otherwise(p *purchase) { p.UID, p.Spec.Quantity, p.Spec.Purchaser.Email = "5f0c", 7, "b@b" }
func ended(s *v1alpha1.SelfServiceOrderSpec) {
	s.EndedAt, s.EndReason = &metav1.Time{Time: start.Add(day)}, v1alpha1.OrderCancelled
}

// A purchase has a name of its own. Trials of a product by one employee share
// one, whatever they are called, and no others do.
func TestName(t *testing.T) {
	b := &book{customer: "contoso"}
	if got := orders.Name(b.purchase()); got != "purchase.contoso.planner" {
		t.Error(got)
	}
	first := orders.Name(b.purchase(trial))
	if !strings.HasPrefix(first, "trial.contoso.") || len(first) != len("trial.contoso.")+32 {
		t.Error(first)
	}
	if again := orders.Name(b.purchase(trial, called("again"), otherwise)); again != first {
		t.Errorf("%s, and then %s", first, again)
	}
	seen := map[string]bool{first: true}
	for _, p := range []*purchase{
		b.purchase(trial, of("visio")), b.purchase(trial, by("bob")), b.purchase(trial, in("fabrikam")), b.purchase(trial, by("Ada")),
		b.purchase(trial, of("a"), by("b c")), b.purchase(trial, of("a.b"), by("c")), b.purchase(trial, of("ab"), by("c")), b.purchase(trial, of("a"), by("bc")),
		b.purchase(), b.purchase(called("a.b")), b.purchase(in("fabrikam")),
	} {
		name := orders.Name(p)
		if seen[name] || len(name) > 253 {
			t.Errorf("%s again", name)
		}
		seen[name] = true
	}
	longest := b.purchase(called(strings.Repeat("a", 150)), in(strings.Repeat("b", 63)))
	if name := orders.Name(longest); len(name) > 253 {
		t.Errorf("%d characters", len(name))
	}
}

// A purchase that comes back finds its order, and nobody else does.
func TestBelongs(t *testing.T) {
	b := newBook(t)
	bought, tried := b.put(b.purchase()), b.put(b.purchase(trial))
	paid := b.put(b.purchase(trial, by("bob"), func(p *purchase) { p.Spec.PaymentMethod = true }))
	inPlan := func(id string) func(*purchase) { return func(p *purchase) { p.Spec.PlanID = id } }
	lasting := func(t v1alpha1.Term) func(*purchase) { return func(p *purchase) { p.Spec.Term = t } }
	planned := bought.DeepCopy()
	planned.Spec.Agreed.PlanID = "team"
	for name, tc := range map[string]struct {
		order *order
		by    *purchase
		want  bool
	}{
		"itself":                   {bought, b.purchase(), true},
		"restored":                 {bought, b.purchase(otherwise), true},
		"of somebody else":         {bought, b.purchase(by("bob")), false},
		"of another product":       {bought, b.purchase(of("visio")), false},
		"a trial of the same name": {bought, b.purchase(trial), false},
		"a trial":                  {tried, b.purchase(trial), true},
		"a trial, restored":        {tried, b.purchase(trial, otherwise), true},
		"a trial once more":        {tried, b.purchase(trial, called("again")), false},
		"paid, and is not now":     {paid, b.purchase(trial, by("bob")), false},
		"unpaid, and is paid now":  {tried, b.purchase(trial, func(p *purchase) { p.Spec.PaymentMethod = true }), false},
		"its term, said":           {bought, b.purchase(lasting(bought.Spec.Agreed.Term)), true},
		"another term":             {bought, b.purchase(lasting(v1alpha1.TermFiveYears)), false},
		"its plan, said":           {planned, b.purchase(inPlan("team")), true},
		"its plan, left out":       {planned, b.purchase(inPlan("")), true},
		"another plan":             {planned, b.purchase(inPlan("pro")), false},
		"a plan, and it has none":  {bought, b.purchase(inPlan("pro")), false},
	} {
		if got := orders.Belongs(tc.order, tc.by); got != tc.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// An order is found by its name, wherever it is looked for. It is not an error
// that there is none, but it is one not to know.
func TestOf(t *testing.T) {
	b := newBook(t)
	name := b.put(b.purchase()).Name
	for where, of := range map[string]func(context.Context, *purchase) (*order, error){"cache": b.Of, "API server": b.OfLive} {
		if o, err := of(t.Context(), b.purchase(by("bob"))); err != nil || o == nil || o.Name != name {
			t.Errorf("the %s has %v (%v)", where, o, err)
		}
		if o, err := of(t.Context(), b.purchase(called("nope"))); err != nil || o != nil {
			t.Errorf("the %s has %v (%v)", where, o, err)
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if o, err := of(gone, b.purchase()); !errors.Is(err, context.Canceled) || o != nil || !strings.Contains(err.Error(), "reading order "+name) {
			t.Errorf("the %s has %v (%v)", where, o, err)
		}
	}
	if b.reads != 3 {
		t.Errorf("%d reads from the API server", b.reads)
	}
}

// A trial is had once: the API server refuses the second order.
func TestTrialIsHadOnce(t *testing.T) {
	b := newBook(t)
	b.put(b.purchase(trial), ended)
	again := b.now(orders.Name(b.purchase(trial))).DeepCopy()
	again.ObjectMeta = metav1.ObjectMeta{Name: orders.Name(b.purchase(trial, called("again")))}
	again.Spec.Purchase.Name = "again"
	if err := live.Create(t.Context(), again); !apierrors.IsAlreadyExists(err) {
		t.Errorf("%v", err)
	}
}

func follow(now time.Time, autoRenew bool) func(*order, *facts) error {
	return func(_ *order, f *facts) error {
		f.AutoRenew = autoRenew
		f.Follow(now)
		return nil
	}
}

// What time does is written once, and nothing is if nothing is different.
func TestChange(t *testing.T) {
	b := newBook(t)
	name := b.put(b.purchase()).Name
	o, f, err := b.Change(t.Context(), name, follow(time.Date(2027, 3, 1, 0, 0, 0, 0, time.UTC), true))
	february := time.Date(2027, 2, 28, 9, 0, 0, 0, time.UTC)
	if err != nil || b.writes != 1 || !f.Renewed.Equal(february) || !b.now(name).Spec.RenewedUntil.Time.Equal(february) {
		t.Fatalf("%v, %d writes, %+v", err, b.writes, f)
	}
	if !equality.Semantic.DeepEqual(o, b.now(name)) {
		t.Error("what it returns is not what is on record")
	}
	if _, _, err := b.Change(t.Context(), name, follow(february.Add(day), true)); err != nil || b.writes != 1 {
		t.Errorf("%v, %d writes", err, b.writes)
	}
	// An instant in another zone is the same instant.
	_, _, err = b.Change(t.Context(), name, func(_ *order, f *facts) error {
		f.Renewed = f.Renewed.In(time.FixedZone("", 3600))
		return nil
	})
	if err != nil || b.writes != 1 {
		t.Errorf("%v, %d writes", err, b.writes)
	}
	// An administrator takes it over.
	_, _, err = b.Change(t.Context(), name, func(o *order, f *facts) error {
		o.Spec.Takeover = &v1alpha1.OrderTakeover{Name: "it", Reason: v1alpha1.TakeoverNotNeeded}
		f.End(terms.OrderTakenOver, february.Add(day))
		return nil
	})
	got := b.now(name).Spec
	if err != nil || b.writes != 2 || got.EndReason != v1alpha1.OrderTakenOver || !got.EndedAt.Time.Equal(february.Add(day)) || got.Takeover.Name != "it" {
		t.Errorf("%v, %d writes, %+v", err, b.writes, got)
	}
	// What has ended stays as it is.
	_, f, err = b.Change(t.Context(), name, func(_ *order, f *facts) error {
		f.End(terms.OrderCancelled, february.Add(2*day))
		f.Follow(february.Add(100 * day))
		return nil
	})
	if err != nil || b.writes != 2 || f.Why != terms.OrderTakenOver {
		t.Errorf("%v, %d writes, %+v", err, b.writes, f)
	}
}

var errNo = errors.New("no")

// If a change fails nothing is written.
func TestChangeThatFails(t *testing.T) {
	b := newBook(t)
	name := b.put(b.purchase()).Name
	_, _, err := b.Change(t.Context(), name, func(_ *order, f *facts) error {
		f.Follow(start.Add(400 * day))
		return errNo
	})
	if err != errNo || b.writes != 0 || b.now(name).Spec.EndedAt != nil { //nolint:errorlint // it is returned as it is
		t.Errorf("%v, %d writes", err, b.writes)
	}
	if _, _, err := b.Change(t.Context(), "purchase.nope.nope", nil); !apierrors.IsNotFound(err) || !strings.Contains(err.Error(), "reading order purchase.nope.nope") {
		t.Errorf("%v", err)
	}
	// What the API server refuses is told.
	_, _, err = b.Change(t.Context(), name, func(_ *order, f *facts) error {
		f.End(terms.OrderTakenOver, start)
		return nil
	})
	if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "writing order "+name) || !strings.Contains(err.Error(), "takeover is set together") {
		t.Errorf("%v", err)
	}
}

// Whoever writes has read what was there: a change that is beaten is applied
// again to what somebody else made of it.
func TestChangeThatIsBeaten(t *testing.T) {
	b, rival := newBook(t), newBook(t)
	name := b.put(b.purchase()).Name
	cancel := func(at time.Time, saw *[]terms.OrderEnd) func(*order, *facts) error {
		return func(_ *order, f *facts) error {
			*saw = append(*saw, f.Why)
			f.End(terms.OrderCancelled, at)
			return nil
		}
	}
	b.meanwhile = func() {
		if _, _, err := rival.Change(t.Context(), name, cancel(start.Add(time.Hour), &[]terms.OrderEnd{})); err != nil {
			t.Error(err)
		}
	}
	var saw []terms.OrderEnd
	_, f, err := b.Change(t.Context(), name, cancel(start.Add(2*time.Hour), &saw))
	if err != nil || !slices.Equal(saw, []terms.OrderEnd{"", terms.OrderCancelled}) || !f.Ended.Equal(start.Add(time.Hour)) || !b.now(name).Spec.EndedAt.Time.Equal(start.Add(time.Hour)) {
		t.Errorf("%v: saw %v, %+v", err, saw, f)
	}
}

// Many follow at once: it ends once, for one reason.
func TestManyWriters(t *testing.T) {
	b := newBook(t)
	name := b.put(b.purchase()).Name
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			record := &orders.Record{Client: live, Live: live}
			_, f, err := record.Change(t.Context(), name, func(_ *order, f *facts) error {
				f.End(terms.OrderCancelled, start.Add(time.Duration(i+1)*time.Minute))
				return nil
			})
			if err != nil && !apierrors.IsConflict(err) || err == nil && f.Ended.IsZero() {
				t.Errorf("%v, %+v", err, f)
			}
		})
	}
	wg.Wait()
	o := b.now(name)
	if o.Spec.EndReason != v1alpha1.OrderCancelled || o.Generation != 2 {
		t.Errorf("%+v was written %d times", o.Spec, o.Generation)
	}
}

// What is cached is enough unless something is to be changed. Then the API
// server is asked, and what it has counts.
func TestSettle(t *testing.T) {
	b := newBook(t)
	cached := b.put(b.purchase(trial))
	untouched := cached.DeepCopy()
	if _, f, err := b.Settle(t.Context(), cached, follow(start.Add(29*day), true)); err != nil || !f.OnTrial() || b.reads+b.writes > 0 {
		t.Errorf("%v: %d reads, %d writes", err, b.reads, b.writes)
	}
	over := start.Add(30 * day)
	for range 2 { // the second time the cache is late
		o, f, err := b.Settle(t.Context(), cached, follow(over, true))
		if err != nil || b.writes != 1 || f.Why != terms.OrderExpired || !o.Spec.EndedAt.Time.Equal(over) || o.ResourceVersion != b.now(cached.Name).ResourceVersion {
			t.Errorf("%v: %d writes, %+v", err, b.writes, f)
		}
	}
	if b.reads != 2 || !equality.Semantic.DeepEqual(cached, untouched) {
		t.Errorf("%d reads, and what is cached is %+v", b.reads, cached)
	}
	if _, _, err := b.Settle(t.Context(), cached, func(*order, *facts) error { return errNo }); err != errNo || b.reads != 2 { //nolint:errorlint // it is returned as it is
		t.Errorf("%v: %d reads", err, b.reads)
	}
}

// All that is on record is told to the rules.
func TestFacts(t *testing.T) {
	b := newBook(t)
	o := b.put(b.purchase(trial), func(s *v1alpha1.SelfServiceOrderSpec) {
		s.Agreed.PaymentMethod, s.Agreed.Trial, s.Agreed.Term = true, "P1DT12H", v1alpha1.TermThreeYears
		s.Agreed.At = metav1.NewTime(start.In(time.FixedZone("", 3600)))
		s.RenewedUntil = &metav1.Time{Time: start.Add(36 * time.Hour)}
		ended(s)
		s.EndedAt.Time = start.Add(40 * day)
	})
	want := facts{Ordered: start, Trial: 36 * time.Hour, Paid: true, Term: terms.ThreeYears, Renewed: start.Add(36 * time.Hour), Ended: start.Add(40 * day), Why: terms.OrderCancelled}
	if got, err := orders.Facts(o); err != nil || *got != want {
		t.Errorf("%v\n got %+v\nwant %+v", err, got, want)
	}
	if got, err := orders.Facts(b.put(b.purchase())); err != nil || *got != (facts{Ordered: start, Paid: true, Term: terms.Month}) {
		t.Errorf("%v: %+v", err, got)
	}
	o.Spec.Agreed.Trial = "long"
	if _, err := orders.Facts(o); err == nil || !strings.HasPrefix(err.Error(), "trial of order "+o.Name+": ") {
		t.Errorf("%v", err)
	}
}
