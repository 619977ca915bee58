package entitlements_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/entitlements"
	"github.com/license-operator/license-operator/internal/terms"
)

const day = 24 * time.Hour

func TestName(t *testing.T) {
	for name, n := range map[string]int{
		entitlements.Name("acme", "a.b", 12): 12, "acme.sub.1": 1, "acme.sub.x": 0, "acme": 0, "": 0,
	} {
		if got := entitlements.Number(&v1alpha1.Entitlement{ObjectMeta: metav1.ObjectMeta{Name: name}}); got != n {
			t.Errorf("%q is the purchase %d, want %d", name, got, n)
		}
	}
	if got := entitlements.Name("acme", "a.b", 12); got != "acme.a.b.12" {
		t.Error(got)
	}
}

// Purchases are found by their subscription, in their order, and only those.
func TestOf(t *testing.T) {
	b := newBook(t)
	for _, n := range []int{10, 2, 1} {
		b.cached = append(b.cached, *b.put("sub", n))
	}
	other := newBook(t)
	b.cached = append(b.cached, *b.put("sub.x", 1), *other.put("sub", 1))
	for where, of := range map[string]func(context.Context, string, string) ([]v1alpha1.Entitlement, error){"cache": b.Of, "API server": b.OfLive} {
		all, err := of(t.Context(), b.customer, "sub")
		var numbers []int
		for i := range all {
			numbers = append(numbers, entitlements.Number(&all[i]))
		}
		if err != nil || !slices.Equal(numbers, []int{1, 2, 10}) {
			t.Errorf("the %s has %v (%v)", where, numbers, err)
		}
		if all, err := of(t.Context(), b.customer, "nope"); err != nil || len(all) > 0 {
			t.Errorf("the %s has %v (%v)", where, all, err)
		}
	}
}

// A trial is had once it began, and as long as it still can.
func TestHadTrial(t *testing.T) {
	trial := func(s *v1alpha1.EntitlementSpec) { s.Purchase.Trial = "P30D" }
	activated := func(s *v1alpha1.EntitlementSpec) { s.ActivatedAt = &metav1.Time{Time: start} }
	ended := func(s *v1alpha1.EntitlementSpec) {
		s.EndedAt, s.EndReason = &metav1.Time{Time: start.Add(day)}, v1alpha1.EndCancelled
	}
	for name, tc := range map[string]struct {
		bought func(b *book)
		had    bool
	}{
		"nothing":             {func(*book) {}, false},
		"without a trial":     {func(b *book) { b.put("sub", 1, activated) }, false},
		"by another customer": {func(*book) { newBook(t).put("sub", 1, trial, activated) }, false},
		"of another product": {func(b *book) {
			b.put("sub", 1, trial, func(s *v1alpha1.EntitlementSpec) { s.ProductRef.Name = "mail" })
		}, false},
		"not activated yet":                {func(b *book) { b.put("sub", 1, trial) }, true},
		"activated":                        {func(b *book) { b.put("sub", 1, trial, activated) }, true},
		"activated and ended":              {func(b *book) { b.put("sub", 1, trial, activated, ended) }, true},
		"ended without an activation":      {func(b *book) { b.put("sub", 1, trial, ended) }, false},
		"ended without it, and once again": {func(b *book) { b.put("sub", 1, trial, ended); b.put("sub", 2, trial) }, true},
	} {
		b := newBook(t)
		tc.bought(b)
		if had, err := b.HadTrial(t.Context(), b.customer, "analytics"); had != tc.had || err != nil {
			t.Errorf("%s: had one: %v (%v)", name, had, err)
		}
	}
}

// A change sees what time has done, and is written once.
func TestChange(t *testing.T) {
	b := newBook(t)
	name := b.put("sub", 1).Name
	e, f, err := b.Change(t.Context(), name, start.Add(day), func(_ *v1alpha1.Entitlement, f *terms.Entitlement) error {
		f.Activate(start.Add(day))
		return nil
	})
	if err != nil || b.writes != 1 || f.State() != terms.Subscribed || !e.Spec.ActivatedAt.Time.Equal(start.Add(day)) {
		t.Fatalf("%v, %d writes, %s", err, b.writes, f.State())
	}
	if !equality.Semantic.DeepEqual(e, b.now(name)) {
		t.Error("what it returns is not what is on record")
	}
	// What the publisher did not refuse for 10 seconds is accepted before anything
	// else. A renewal is left to those who know what the customer wants.
	_, _, err = b.Change(t.Context(), name, start.Add(2*day), func(_ *v1alpha1.Entitlement, f *terms.Entitlement) error {
		to := f.Level()
		to.Quantity = 8
		f.Request(terms.ChangeQuantity, to, start.Add(2*day))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	id := b.now(name).Spec.Operations[0].ID
	_, _, err = b.Change(t.Context(), name, start.Add(2*day), func(_ *v1alpha1.Entitlement, f *terms.Entitlement) error {
		f.Deliver(id, "", start.Add(2*day))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	_, f, err = b.Change(t.Context(), name, start.AddDate(0, 1, 2), func(_ *v1alpha1.Entitlement, f *terms.Entitlement) error {
		if f.Level().Quantity != 8 {
			t.Errorf("it has %d seats", f.Level().Quantity)
		}
		return nil
	})
	got := b.now(name).Spec
	if err != nil || b.writes != 4 || got.RenewedUntil != nil || len(got.Operations) != 1 || f.Operations[0].ID != id || !got.Changes[0].At.Time.Equal(start.Add(2*day+10*time.Second)) {
		t.Errorf("%v, %d writes, renewed until %v, %+v", err, b.writes, got.RenewedUntil, got.Operations)
	}
	// Nothing is different, so nothing is written.
	_, _, err = b.Change(t.Context(), name, start.AddDate(0, 1, 2), func(*v1alpha1.Entitlement, *terms.Entitlement) error { return nil })
	if err != nil || b.writes != 4 || b.now(name).Spec.Operations[0].ID != id {
		t.Errorf("%v, %d writes", err, b.writes)
	}
}

var errNo = errors.New("no")

// If a change fails nothing is written, not even what time did.
func TestChangeThatFails(t *testing.T) {
	b := newBook(t)
	name := b.put("sub", 1).Name
	_, _, err := b.Change(t.Context(), name, start.Add(40*day), func(_ *v1alpha1.Entitlement, f *terms.Entitlement) error {
		if f.State() != terms.Unsubscribed {
			t.Errorf("%s", f.State())
		}
		return errNo
	})
	if err != errNo || b.writes != 0 || b.now(name).Spec.EndedAt != nil { //nolint:errorlint // it is returned as it is
		t.Errorf("%v, %d writes", err, b.writes)
	}
	if _, _, err := b.Change(t.Context(), "nope", start, nil); !apierrors.IsNotFound(err) || !strings.Contains(err.Error(), "reading entitlement nope") {
		t.Errorf("%v", err)
	}
}

// Whoever writes has read what was there: a change that is beaten is applied
// again to what somebody else made of it.
func TestChangeThatIsBeaten(t *testing.T) {
	b, rival := newBook(t), newBook(t)
	name := b.put("sub", 1).Name
	b.meanwhile = func() {
		_, _, err := rival.Change(t.Context(), name, start, func(_ *v1alpha1.Entitlement, f *terms.Entitlement) error {
			f.Activate(start)
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
	var saw []terms.State
	_, _, err := b.Change(t.Context(), name, start.Add(time.Hour), func(_ *v1alpha1.Entitlement, f *terms.Entitlement) error {
		saw = append(saw, f.State())
		if f.State() == terms.Pending {
			f.Activate(start.Add(time.Hour))
		}
		return nil
	})
	if err != nil || !slices.Equal(saw, []terms.State{terms.Pending, terms.Subscribed}) || !b.now(name).Spec.ActivatedAt.Time.Equal(start) {
		t.Errorf("%v: saw %v, activated at %v", err, saw, b.now(name).Spec.ActivatedAt)
	}
}

// Many write at once: no operation is lost, and none is there twice.
func TestManyWriters(t *testing.T) {
	b := newBook(t)
	name := b.put("sub", 1, func(s *v1alpha1.EntitlementSpec) { s.ActivatedAt = &metav1.Time{Time: start} }).Name
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			record := &entitlements.Record{Client: live, Live: live}
			for j := range 5 {
				for {
					_, _, err := record.Change(t.Context(), name, start, func(_ *v1alpha1.Entitlement, f *terms.Entitlement) error {
						l := f.Level()
						l.Quantity += int64(10*i + j + 1)
						f.Request(terms.ChangeQuantity, l, start)
						f.Answer(true, "", start)
						return nil
					})
					if err == nil {
						break
					}
					if !apierrors.IsConflict(err) { // too many at once: it gives up after a while
						t.Error(err)
						return
					}
				}
			}
		})
	}
	wg.Wait()
	e := b.now(name).Spec
	want := int64(5)
	for i := range 4 {
		for j := range 5 {
			want += int64(10*i + j + 1)
		}
	}
	if len(e.Operations) != 20 || len(e.Changes) != 20 || e.Changes[19].Quantity != want {
		t.Errorf("%d operations, %d changes, %d seats, want %d", len(e.Operations), len(e.Changes), e.Changes[len(e.Changes)-1].Quantity, want)
	}
	for i, c := range e.Changes {
		if i > 0 && !c.At.After(e.Changes[i-1].At.Time) {
			t.Errorf("change %d at %v, the one before at %v", i, c.At, e.Changes[i-1].At)
		}
	}
}

// What is cached is enough unless something is to be changed. Then the API
// server is asked, and what it has counts.
func TestSettle(t *testing.T) {
	b := newBook(t)
	cached := b.put("sub", 1, func(s *v1alpha1.EntitlementSpec) { s.ActivatedAt = &metav1.Time{Time: start} })
	untouched := cached.DeepCopy()
	calls := 0
	rename := func(to string) func(*v1alpha1.Entitlement, *terms.Entitlement) error {
		return func(e *v1alpha1.Entitlement, f *terms.Entitlement) error {
			calls++
			e.Spec.Subscriber.FriendlyName = to
			f.Follow(start.Add(day))
			return nil
		}
	}
	if _, f, err := b.Settle(t.Context(), cached, rename("")); err != nil || f.State() != terms.Subscribed || b.reads+b.writes > 0 || calls != 1 {
		t.Errorf("%v: %d reads, %d writes", err, b.reads, b.writes)
	}
	e, _, err := b.Settle(t.Context(), cached, rename("Figures"))
	if err != nil || b.reads != 1 || b.writes != 1 || e.Spec.Subscriber.FriendlyName != "Figures" || b.now(cached.Name).Spec.Subscriber.FriendlyName != "Figures" {
		t.Errorf("%v: %d reads, %d writes", err, b.reads, b.writes)
	}
	if !equality.Semantic.DeepEqual(cached, untouched) {
		t.Error("what is cached was changed")
	}
	// The cache is late: it was done already.
	if e, _, err = b.Settle(t.Context(), cached, rename("Figures")); err != nil || b.writes != 1 || e.ResourceVersion != b.now(cached.Name).ResourceVersion {
		t.Errorf("%v: %d writes", err, b.writes)
	}
	if _, _, err := b.Settle(t.Context(), cached, func(*v1alpha1.Entitlement, *terms.Entitlement) error { return errNo }); err != errNo || b.writes != 1 { //nolint:errorlint // it is returned as it is
		t.Errorf("%v: %d writes", err, b.writes)
	}
}

// What is in progress, or still to be told, stays on record; of the others the
// latest 32 do. There is room for them, however long the publisher is away.
func TestKeepsOperations(t *testing.T) {
	b := newBook(t)
	name := b.put("sub", 1, func(s *v1alpha1.EntitlementSpec) { s.ActivatedAt = &metav1.Time{Time: start} }).Name
	change := func(do func(*terms.Entitlement)) {
		t.Helper()
		_, _, err := b.Change(t.Context(), name, start.Add(time.Hour), func(_ *v1alpha1.Entitlement, f *terms.Entitlement) error {
			do(f)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	var renewal string
	change(func(f *terms.Entitlement) {
		f.Suspend(start.Add(time.Minute)) // which the publisher is not told of yet
		f.Request(terms.Reinstate, f.Level(), start.Add(time.Minute))
		f.Answer(true, "", start.Add(time.Minute))
	})
	renewal = b.now(name).Spec.Operations[0].ID
	for i := range 40 {
		change(func(f *terms.Entitlement) {
			l := f.Level()
			l.Quantity = int64(10 + i)
			f.Request(terms.ChangeQuantity, l, start.Add(time.Hour))
			f.Answer(i%2 == 0, "no", start.Add(time.Hour))
		})
	}
	change(func(f *terms.Entitlement) { f.Request(terms.ChangeQuantity, f.Level(), start.Add(time.Hour)) })
	ops := b.now(name).Spec.Operations
	if len(ops) != 34 || ops[0].ID != renewal || ops[33].Status != v1alpha1.OperationInProgress {
		t.Fatalf("%d operations, the first %s, the last %s", len(ops), ops[0].Action, ops[len(ops)-1].Status)
	}
	for i, op := range ops[1:33] {
		if op.Level.Quantity != int64(10+8+i) {
			t.Errorf("operation %d is for %d seats", i, op.Level.Quantity)
		}
	}
	// Once it was told it is one of the others.
	change(func(f *terms.Entitlement) { f.Deliver(renewal, "", start.Add(time.Hour)) })
	if ops = b.now(name).Spec.Operations; len(ops) != 33 || ops[0].ID == renewal {
		t.Errorf("%d operations", len(ops))
	}
}

// Whatever was on record comes back as it was.
func TestFactsGoBothWays(t *testing.T) {
	b := newBook(t)
	at := func(d time.Duration) *metav1.Time { return &metav1.Time{Time: start.Add(d)} }
	level := func(plan string, n int64, price string) v1alpha1.ServiceLevel {
		return v1alpha1.ServiceLevel{PlanID: plan, Quantity: n, UnitPrice: v1alpha1.Money{Amount: price, Currency: "EUR"}, BillingCycle: v1alpha1.BillingAnnual}
	}
	e := b.put("sub", 1, func(s *v1alpha1.EntitlementSpec) {
		s.Purchase.Trial, s.Purchase.Term, s.Purchase.Cancellation = "P2W", v1alpha1.TermThreeYears, v1alpha1.CancellationPolicy{Window: "P1DT12H", Refund: v1alpha1.RefundProrated}
		s.Subscriber.AutoRenew = false
		s.ActivatedAt, s.RenewedUntil, s.SuspendedAt, s.OrphanedAt, s.EndedAt, s.EndReason = at(day), at(15*day), at(20*day), at(21*day), at(50*day), v1alpha1.EndNotPaid
		s.Changes = []v1alpha1.ServiceChange{{At: *at(2 * day), ServiceLevel: level("pro", 7, "9.9900")}, {At: *at(3 * day), ServiceLevel: level("basic", 0, "100.00")}}
		s.Operations = []v1alpha1.Operation{
			{ID: s.ID, Action: v1alpha1.ActionChangePlan, ByPublisher: true, RequestedAt: *at(day), QueuedAt: *at(2 * day), Level: level("gold", 3, "1.00"), Status: v1alpha1.OperationFailed, CompletedAt: at(3 * day), Message: "no", DeliveredAt: at(2 * day), DeliveryFailure: "it answered 503"},
			{ID: strings.Replace(s.ID, "8000", "9000", 1), Action: v1alpha1.ActionUnsubscribe, RequestedAt: *at(50 * day), QueuedAt: *at(51 * day), Level: level("basic", 0, "100.00"), Status: v1alpha1.OperationSucceeded, CompletedAt: at(50 * day), Undeliverable: true},
		}
	})
	f, err := entitlements.Facts(e)
	if err != nil {
		t.Fatal(err)
	}
	want := "14d 36h P3Y Prorated EUR pro 7 9.99|basic 0 100 false Annual"
	got := fmt.Sprintf("%dd %dh %s %s %s %s %d %s|%s %d %s %v %s", f.Trial/day, f.Window/time.Hour, f.Term, f.Refund, f.Currency,
		f.Changes[0].Level.Plan, f.Changes[0].Level.Quantity, f.Changes[0].Level.UnitPrice, f.Changes[1].Level.Plan, f.Changes[1].Level.Quantity, f.Changes[1].Level.UnitPrice, f.AutoRenew, f.Changes[1].Level.Cycle)
	if got != want {
		t.Errorf("facts %s\nwant  %s", got, want)
	}
	if f.Purchased != start || f.Activated != start.Add(day) || f.Renewed != start.Add(15*day) || f.Suspended != start.Add(20*day) || f.Orphaned != start.Add(21*day) || f.Ended != start.Add(50*day) || f.Reason != terms.EndNotPaid || f.NextCycle != terms.Monthly {
		t.Errorf("%+v", f)
	}
	wantOp := terms.Operation{
		ID: e.Spec.ID, Action: terms.ChangePlan, Requested: start.Add(day), Queued: start.Add(2 * day), Progress: terms.Failed, Completed: start.Add(3 * day),
		Delivered: start.Add(2 * day), Failing: "it answered 503", Why: "no", ByPublisher: true, Level: f.Operations[0].Level,
	}
	if op := f.Operations[0]; fmt.Sprint(op) != fmt.Sprint(wantOp) || op.Level.Plan != "gold" || !f.Operations[1].GivenUp {
		t.Errorf("operations %+v", f.Operations)
	}
	if _, _, err := b.Change(t.Context(), e.Name, start.Add(90*day), func(*v1alpha1.Entitlement, *terms.Entitlement) error { return nil }); err != nil || b.writes > 0 {
		t.Errorf("%v, %d writes", err, b.writes)
	}
	// With one thing changed, all others are written as they were.
	_, _, err = b.Change(t.Context(), e.Name, start.Add(90*day), func(e *v1alpha1.Entitlement, _ *terms.Entitlement) error {
		e.Spec.Subscriber.FriendlyName = "Figures"
		return nil
	})
	after := b.now(e.Name)
	after.Spec.Subscriber.FriendlyName = ""
	if err != nil || !equality.Semantic.DeepEqual(after.Spec, e.Spec) {
		t.Errorf("%v: %+v\nwas %+v", err, after.Spec, e.Spec)
	}
}

// What cannot be read says where it is.
func TestFactsThatCannotBeRead(t *testing.T) {
	good := v1alpha1.ServiceLevel{PlanID: "team", UnitPrice: v1alpha1.Money{Amount: "1.00", Currency: "EUR"}}
	bad := v1alpha1.ServiceLevel{PlanID: "team", UnitPrice: v1alpha1.Money{Amount: "much", Currency: "EUR"}}
	for what, spoil := range map[string]func(*v1alpha1.EntitlementSpec){
		"cancellation window": func(s *v1alpha1.EntitlementSpec) { s.Purchase.Cancellation.Window = "soon" },
		"trial":               func(s *v1alpha1.EntitlementSpec) { s.Purchase.Trial = "long" },
		"purchase":            func(s *v1alpha1.EntitlementSpec) { s.Purchase.ServiceLevel = bad },
		"changes":             func(s *v1alpha1.EntitlementSpec) { s.Changes = []v1alpha1.ServiceChange{{ServiceLevel: bad}} },
		"operations":          func(s *v1alpha1.EntitlementSpec) { s.Operations = []v1alpha1.Operation{{Level: bad}} },
	} {
		e := &v1alpha1.Entitlement{ObjectMeta: metav1.ObjectMeta{Name: "acme.sub.1"}}
		e.Spec.Purchase.ServiceLevel = good
		if _, err := entitlements.Facts(e); err != nil {
			t.Fatal(err)
		}
		spoil(&e.Spec)
		if _, err := entitlements.Facts(e); err == nil || !strings.HasPrefix(err.Error(), what+" of entitlement acme.sub.1: ") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// Register adds the indexes that a Record reads by, each under its name.
func TestRegister(t *testing.T) {
	var got []string
	if err := entitlements.Register(t.Context(), indexer(func(field string) error { got = append(got, field); return nil })); err != nil {
		t.Fatal(err)
	}
	slices.Sort(got)
	if want := []string{entitlements.IndexID, entitlements.IndexSubscription}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if err := entitlements.Register(t.Context(), indexer(func(string) error { return errNo })); !errors.Is(err, errNo) {
		t.Errorf("%v", err)
	}
	e := &v1alpha1.Entitlement{Spec: v1alpha1.EntitlementSpec{ID: "id"}}
	if got := entitlements.Indexes[entitlements.IndexID](e); !slices.Equal(got, []string{"id"}) {
		t.Errorf("%v", got)
	}
}

type indexer func(field string) error

func (f indexer) IndexField(_ context.Context, _ client.Object, field string, _ client.IndexerFunc) error {
	return f(field)
}
