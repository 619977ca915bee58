package controllers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/orders"
)

func contoso(names ...string) (users []v1alpha1.User) {
	for _, name := range names {
		users = append(users, v1alpha1.User(name+"@contoso.example"))
	}
	return users
}

// purchase has an employee buy something for some users, which is on record.
func (o *office) purchase(name string, users ...string) *v1alpha1.SelfServicePurchase {
	o.t.Helper()
	p := o.wish(name, users...)
	o.order(p, nil)
	return p
}

// wish is a purchase that is not on record yet.
func (o *office) wish(name string, users ...string) *v1alpha1.SelfServicePurchase {
	o.t.Helper()
	p := &v1alpha1.SelfServicePurchase{
		ObjectMeta: metav1.ObjectMeta{Namespace: o.customer, Name: name},
		Spec: v1alpha1.SelfServicePurchaseSpec{
			ProductRef: v1alpha1.Reference{Name: "power-bi"}, Type: v1alpha1.SelfServicePurchased, Quantity: 10, PaymentMethod: true,
			Purchaser:     v1alpha1.Purchaser{Username: "ada", Person: v1alpha1.Person{Email: "ada@contoso.example"}},
			AssignedUsers: contoso(users...),
		},
	}
	o.create(p)
	return p
}

func (o *office) order(p *v1alpha1.SelfServicePurchase, change func(*v1alpha1.SelfServiceOrderSpec)) {
	o.t.Helper()
	order := &v1alpha1.SelfServiceOrder{
		ObjectMeta: metav1.ObjectMeta{Name: orders.Name(p)},
		Spec: v1alpha1.SelfServiceOrderSpec{
			Customer: p.Namespace, Purchase: v1alpha1.SubscriptionIdentity{Name: p.Name, UID: p.UID},
			Agreed: v1alpha1.SelfServiceAgreed{
				At: metav1.NewTime(o.clock.Now()), ProductRef: p.Spec.ProductRef, Type: p.Spec.Type, Purchaser: p.Spec.Purchaser,
				PaymentMethod: true, Term: v1alpha1.TermMonth, UnitPrice: v1alpha1.Money{Amount: "8.40", Currency: "EUR"},
			},
		},
	}
	if change != nil {
		change(&order.Spec)
	}
	o.create(order)
}

func (o *office) orderOf(purchase string) *v1alpha1.SelfServiceOrder {
	o.t.Helper()
	return get(o.t, &v1alpha1.SelfServiceOrder{}, "", "purchase."+o.customer+"."+purchase)
}

// mover takes a purchase over by moving its users to the subscription.
func (o *office) mover(name, purchase string) *v1alpha1.Takeover {
	return &v1alpha1.Takeover{
		ObjectMeta: metav1.ObjectMeta{Namespace: o.customer, Name: name},
		Spec:       v1alpha1.TakeoverSpec{PurchaseRef: v1alpha1.Reference{Name: purchase}, MoveTo: ptr.To(o.of.SubscriptionReference)},
	}
}

// canceller takes a purchase over by cancelling it.
func (o *office) canceller(name, purchase string) *v1alpha1.Takeover {
	t := o.mover(name, purchase)
	t.Spec.MoveTo, t.Spec.Cancel = nil, &v1alpha1.TakeoverCancellation{Reason: v1alpha1.TakeoverNotNeeded}
	return t
}

// takeOver runs one pass over a Takeover and returns it as it is then.
func (o *office) takeOver(name string) (*v1alpha1.Takeover, ctrl.Result) {
	o.t.Helper()
	t, res, err := o.tryTakeOver(name)
	if err != nil {
		o.t.Fatal(err)
	}
	return t, res
}

func (o *office) tryTakeOver(name string) (*v1alpha1.Takeover, ctrl.Result, error) {
	o.t.Helper()
	o.writes = nil
	res, err := o.takeovers.Reconcile(o.t.Context(), ctrl.Request{NamespacedName: client.ObjectKey{Namespace: o.customer, Name: name}})
	t := get(o.t, &v1alpha1.Takeover{}, o.customer, name)
	noteReasons(t)
	return t, res, err
}

// becomes is what a Takeover looks like after a pass.
type becomes struct {
	conditions string
	message    string // a part of it
	missing    int64
	users      string
	kstatus    status.Status
	seated     string // after a pass over seats
}

const isDone = "Ready=True(TakenOver)"

// expectTakeover runs a pass, looks at what came of it, and that it was all
// there was to do.
func (o *office) expectTakeover(name string, want becomes) *v1alpha1.Takeover {
	o.t.Helper()
	t, _ := o.takeOver(name)
	o.seat()
	if got := conditions(t); got != want.conditions {
		o.t.Errorf("conditions %s\nwant       %s", got, want.conditions)
	}
	if got := reasonMessage(t, v1alpha1.ConditionReady); !strings.Contains(got, want.message) {
		o.t.Errorf("message %q\nwant %q in it", got, want.message)
	}
	if t.Status.Missing != want.missing {
		o.t.Errorf("%d missing, want %d", t.Status.Missing, want.missing)
	}
	if got := joined(t.Status.Users); got != want.users {
		o.t.Errorf("users %q, want %q", got, want.users)
	}
	if k := kstatus(o.t, t); k != want.kstatus {
		o.t.Errorf("kstatus %s, want %s", k, want.kstatus)
	}
	if got := o.seated(); got != want.seated {
		o.t.Errorf("seated %q\nwant   %q", got, want.seated)
	}
	if (t.Status.CompletedAt != nil) != (want.conditions == isDone) {
		o.t.Errorf("completed at %v", t.Status.CompletedAt)
	}
	o.clock.SetTime(o.clock.Now().Add(time.Second))
	if _, res, err := o.tryTakeOver(name); err != nil || len(o.writes) > 0 || res.RequeueAfter > 0 && res.RequeueAfter < poll {
		o.t.Errorf("another pass wrote %v, and comes again after %v (%v)", o.writes, res.RequeueAfter, err)
	}
	o.idle()
	return t
}

func joined(users []v1alpha1.User) string {
	var all []string
	for _, u := range users {
		all = append(all, strings.TrimSuffix(string(u), "@contoso.example"))
	}
	return strings.Join(all, " ")
}

func TestTakeover(t *testing.T) {
	stuck := func(reason string) string { return fmt.Sprintf("Ready=False(%s) Stalled=True(%s)", reason, reason) }
	waits := func(reason string) string { return fmt.Sprintf("Ready=False(%s) Reconciling=True(%s)", reason, reason) }
	bought := func(users ...string) func(*office) {
		return func(o *office) { o.purchase("pbi", users...) }
	}
	service := func(state v1alpha1.MarketplaceState) func(*office) {
		return func(o *office) {
			o.purchase("pbi", "ada")
			o.service("coffee", state, 5)
		}
	}
	endedBy := func(end func(*v1alpha1.SelfServiceOrderSpec)) func(*office) {
		return func(o *office) {
			o.order(o.wish("pbi", "ada"), func(s *v1alpha1.SelfServiceOrderSpec) {
				s.EndedAt = ptr.To(metav1.NewTime(o.clock.Now()))
				end(s)
			})
		}
	}
	for _, c := range []struct {
		name  string
		seats int64
		have  func(*office)
		make  func(*office) *v1alpha1.Takeover // nil: move
		want  becomes
		ended bool // by this one
	}{
		{"moves all users", 5, bought("cy", "ada", "bob"), nil,
			becomes{isDone, "3 users moved from power-bi to MarketplaceSubscription coffee (coffee), which is another product; the purchase was cancelled", 0, "cy ada bob", status.CurrentStatus, "take/ada=1 take/bob=2 take/cy=3"}, true},
		{"moves to a service that is not sold by the seat", 0, bought("ada", "bob"), nil,
			becomes{isDone, "2 users moved", 0, "ada bob", status.CurrentStatus, "take/ada=1 take/bob=2"}, true},
		{"moves to software", 0, func(o *office) {
			o.of.SubscriptionReference = refTo(v1alpha1.KindSoftwareSubscription, "office")
			o.software("office", v1alpha1.StateActive, 1)
			o.purchase("pbi", "ada")
		}, nil, becomes{isDone, "1 user moved from power-bi to SoftwareSubscription office (office), which is another product; the purchase", 0, "ada", status.CurrentStatus, "take/ada=1"}, true},
		{"has nobody to move", 1, bought(), nil, becomes{isDone, "0 users moved", 0, "", status.CurrentStatus, ""}, true},
		{"needs no seat for who has one", 2, func(o *office) {
			o.purchase("pbi", "ada", "bob")
			o.assign("bob")
			o.seat()
		}, nil, becomes{isDone, "2 users moved", 0, "ada bob", status.CurrentStatus, "bob=1 take/ada=2"}, true},
		{"takes the last seat", 3, func(o *office) {
			o.purchase("pbi", "ada")
			o.assign("x", "y")
			o.seat()
		}, nil, becomes{isDone, "1 user moved", 0, "ada", status.CurrentStatus, "take/ada=3 x=1 y=2"}, true},
		{"waits for seats", 3, func(o *office) {
			o.purchase("pbi", "ada", "bob", "cy")
			o.assign("bob", "x")
			o.seat()
		}, nil, becomes{waits("SeatsMissing"), "1 seat is missing in MarketplaceSubscription coffee: 2 users of the purchase have none yet; raise spec.quantity of the subscription, or delete LicenseAssignments", 1, "", status.InProgressStatus, "bob=1 x=2"}, false},
		{"waits behind those who wait already", 2, func(o *office) {
			o.purchase("pbi", "ada", "z")
			o.assign("w", "x", "y", "z")
			o.seat()
		}, nil, becomes{waits("SeatsMissing"), "3 seats are missing in MarketplaceSubscription coffee: 2 users of the purchase have none yet, and 1 LicenseAssignment waits before them", 3, "", status.InProgressStatus, "w=1 x=2"}, false},
		{"does not wait for the seats of others", 2, func(o *office) {
			o.purchase("pbi", "w", "x")
			o.assign("w", "x", "y", "z")
			o.seat()
		}, nil, becomes{isDone, "2 users moved", 0, "w x", status.CurrentStatus, "w=1 x=2"}, true},
		{"moves to the same product", 1, func(o *office) {
			o.purchase("pbi", "ada")
			o.of.Name = "team"
			o.serviceOf("power-bi", "team", v1alpha1.StateSubscribed, 1)
		}, nil, becomes{isDone, "1 user moved from power-bi to MarketplaceSubscription team (power-bi); the purchase was cancelled", 0, "ada", status.CurrentStatus, "take/ada=1"}, true},
		{"cancels", 5, bought("ada", "bob"), func(o *office) *v1alpha1.Takeover { return o.canceller("take", "pbi") },
			becomes{isDone, "the purchase was cancelled; 2 users lost access", 0, "ada bob", status.CurrentStatus, ""}, true},
		{"there is no purchase", 5, func(*office) {}, nil, becomes{stuck("PurchaseNotFound"), "there is no SelfServicePurchase pbi in this namespace", 0, "", status.FailedStatus, ""}, false},
		{"nothing was bought yet", 5, func(o *office) { o.wish("pbi", "ada") }, nil,
			becomes{waits("NotPurchased"), "has bought nothing yet", 0, "", status.InProgressStatus, ""}, false},
		{"nothing can be bought", 5, func(o *office) {
			p := o.wish("pbi", "ada")
			setCondition(p, o.clock.Now(), v1alpha1.ConditionStalled, metav1.ConditionTrue, v1alpha1.ReasonBlockedByPolicy, "the policy does not allow it")
			if err := live.Status().Update(o.t.Context(), p); err != nil {
				o.t.Fatal(err)
			}
		}, nil, becomes{stuck("NotPurchased"), "has bought nothing yet: the policy does not allow it", 0, "", status.FailedStatus, ""}, false},
		{"another purchase was made under the name", 5, func(o *office) {
			p := o.wish("pbi", "ada")
			other := p.DeepCopy()
			other.Spec.ProductRef.Name = "visio"
			o.order(other, nil)
		}, nil, becomes{waits("NotPurchased"), "has bought nothing yet", 0, "", status.InProgressStatus, ""}, false},
		{"the purchase has expired", 5, endedBy(func(s *v1alpha1.SelfServiceOrderSpec) { s.EndReason = v1alpha1.OrderExpired }), nil,
			becomes{stuck("PurchaseEnded"), "SelfServicePurchase pbi ended with its term at ", 0, "", status.FailedStatus, ""}, false},
		{"the purchase was cancelled", 5, endedBy(func(s *v1alpha1.SelfServiceOrderSpec) { s.EndReason = v1alpha1.OrderCancelled }), nil,
			becomes{stuck("PurchaseEnded"), "was cancelled by its purchaser at ", 0, "", status.FailedStatus, ""}, false},
		{"the purchase was taken over by another", 5, endedBy(func(s *v1alpha1.SelfServiceOrderSpec) {
			s.EndReason, s.Takeover = v1alpha1.OrderTakenOver, &v1alpha1.OrderTakeover{Name: "earlier", Reason: v1alpha1.TakeoverOther}
		}), nil, becomes{stuck("PurchaseEnded"), "was taken over by Takeover earlier at ", 0, "", status.FailedStatus, ""}, false},
		{"the purchase was taken over by one of this name that did something else", 5, endedBy(func(s *v1alpha1.SelfServiceOrderSpec) {
			s.EndReason, s.Takeover = v1alpha1.OrderTakenOver, &v1alpha1.OrderTakeover{Name: "take", Reason: v1alpha1.TakeoverOther}
		}), nil, becomes{stuck("PurchaseEnded"), "was taken over by Takeover take at ", 0, "", status.FailedStatus, ""}, false},
		{"the purchaser is just cancelling it", 5, func(o *office) {
			p := o.purchase("pbi", "ada")
			p.Spec.Cancelled = true
			if err := live.Update(o.t.Context(), p); err != nil {
				o.t.Fatal(err)
			}
		}, nil, becomes{stuck("PurchaseEnded"), "has cancelled it", 0, "", status.FailedStatus, ""}, false},
		{"its term is just over", 5, func(o *office) {
			p := o.wish("pbi", "ada")
			p.Spec.AutoRenew = ptr.To(false)
			if err := live.Update(o.t.Context(), p); err != nil {
				o.t.Fatal(err)
			}
			o.order(p, func(s *v1alpha1.SelfServiceOrderSpec) { s.Agreed.At = metav1.NewTime(o.clock.Now().AddDate(0, -2, 0)) })
		}, func(o *office) *v1alpha1.Takeover { return o.canceller("take", "pbi") },
			becomes{stuck("PurchaseEnded"), "ended with its term at ", 0, "", status.FailedStatus, ""}, false},
		{"its term was renewed meanwhile", 5, func(o *office) {
			o.order(o.wish("pbi", "ada"), func(s *v1alpha1.SelfServiceOrderSpec) { s.Agreed.At = metav1.NewTime(o.clock.Now().AddDate(0, -2, 0)) })
		}, nil, becomes{isDone, "1 user moved", 0, "ada", status.CurrentStatus, "take/ada=1"}, true},
		{"the subscription is not there", 5, func(o *office) {
			o.purchase("pbi", "ada")
			o.of.Name = "tea"
		}, nil, becomes{stuck("SubscriptionNotFound"), "there is no MarketplaceSubscription tea", 0, "", status.FailedStatus, ""}, false},
		{"the subscription has ended", 5, service(v1alpha1.StateUnsubscribed), nil, becomes{stuck("SubscriptionEnded"), "has ended", 0, "", status.FailedStatus, ""}, false},
		{"the subscription is suspended", 5, service(v1alpha1.StateSuspended), nil, becomes{stuck("Suspended"), "is suspended", 0, "", status.FailedStatus, ""}, false},
		{"the subscription does not run yet", 5, service(v1alpha1.StatePendingFulfillmentStart), nil, becomes{waits("SubscriptionNotReady"), "does not run yet", 0, "", status.InProgressStatus, ""}, false},
		{"a name that it needs is another's", 5, func(o *office) {
			o.purchase("pbi", "ada", "bob")
			foreign := assignmentFor(o.mover("take", "pbi"), contoso("bob")[0])
			foreign.Spec.User = "eve@contoso.example"
			o.create(foreign)
		}, nil, becomes{stuck("NameUsed"), "is for eve@contoso.example of MarketplaceSubscription coffee, and its name is needed for bob@contoso.example: delete it", 0, "", status.FailedStatus, "take-755ea343a5=1"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			o := newOffice(t, c.seats)
			c.have(o)
			take := o.mover("take", "pbi")
			if c.make != nil {
				take = c.make(o)
			}
			o.create(take)
			o.expectTakeover("take", c.want)
			var order v1alpha1.SelfServiceOrder
			err := live.Get(t.Context(), client.ObjectKey{Name: "purchase." + o.customer + ".pbi"}, &order)
			if client.IgnoreNotFound(err) != nil {
				t.Fatal(err)
			}
			if by := order.Spec.EndedAt != nil && isEndedBy(&order, take); by != c.ended {
				t.Errorf("the order is %+v", order.Spec)
			}
		})
	}
}

// A Takeover that waits goes on as soon as it can.
func TestTakeoverGoesOn(t *testing.T) {
	o := newOffice(t, 2)
	o.purchase("pbi", "ada", "bob", "cy")
	o.create(o.mover("take", "pbi"))
	o.expectTakeover("take", becomes{"Ready=False(SeatsMissing) Reconciling=True(SeatsMissing)", "1 seat is missing", 1, "", status.InProgressStatus, ""})
	o.service("coffee", v1alpha1.StateSubscribed, 3)
	o.expectTakeover("take", becomes{isDone, "3 users moved", 0, "ada bob cy", status.CurrentStatus, "take/ada=1 take/bob=2 take/cy=3"})
	for _, a := range o.assignments() {
		if conditions(&a) != isSeated || a.Labels[v1alpha1.LabelTakeover] != "take" {
			t.Errorf("%s: %s %v", a.Name, conditions(&a), a.Labels)
		}
	}
}

// What is done stays so, also after a restore.
func TestTakeoverThatIsDone(t *testing.T) {
	o := newOffice(t, 3)
	p := o.purchase("pbi", "ada", "bob")
	take := o.mover("take", "pbi")
	o.create(take)
	want := becomes{isDone, "2 users moved", 0, "ada bob", status.CurrentStatus, "take/ada=1 take/bob=2"}
	first := o.expectTakeover("take", want)

	again := func() {
		o.remove(take)
		take = o.mover("take", "pbi")
		o.create(take)
	}
	again()
	if second := o.expectTakeover("take", want); !second.Status.CompletedAt.Equal(first.Status.CompletedAt) {
		t.Errorf("completed at %v, before at %v", second.Status.CompletedAt, first.Status.CompletedAt)
	}
	again()
	late := o.orderOf("pbi")
	late.Spec.EndedAt, late.Spec.EndReason, late.Spec.Takeover = nil, "", nil
	o.cache.order = late // as right after a crash
	o.expectTakeover("take", want)
	o.startCache()
	o.remove(p)
	o.expectTakeover("take", want)
	again() // its purchase was not restored
	want.users, want.message = "", "0 users moved from power-bi to MarketplaceSubscription coffee"
	o.expectTakeover("take", want)

	// A seat that it moved somebody to is free once the assignment is deleted.
	o.remove(assignmentFor(take, "ada@contoso.example"))
	o.expect("take/bob=2")
}

// lost lists who of some users can use neither what was bought nor a seat.
func (o *office) lost(purchase string, users []v1alpha1.User) (lost []v1alpha1.User) {
	o.t.Helper()
	if o.orderOf(purchase).Spec.EndedAt == nil {
		return nil
	}
	there := map[string]v1alpha1.User{}
	for _, a := range o.assignments() {
		there[a.Name] = a.Spec.User
	}
	for _, u := range users {
		if !slices.ContainsFunc(o.seats(), func(s v1alpha1.Seat) bool { return s.Spec.User == u && there[s.Spec.Assignment] == u }) {
			lost = append(lost, u)
		}
	}
	return lost
}

// Whatever write fails, nobody loses access, and the next passes bring all to
// the same end.
func TestTakeoverSurvivesFailures(t *testing.T) {
	users := []string{"ada", "bob", "cy"}
	failing := func(t *testing.T, n int32, after bool) (o *office, err error) {
		o = newOffice(t, 3)
		o.purchase("pbi", users...)
		o.assign("bob")
		o.seat()
		o.create(o.mover("take", "pbi"))
		o.wire.written.Store(0)
		o.wire.after, o.wire.breakAt = after, n
		_, _, err = o.tryTakeOver("take")
		o.wire.breakAt = 0
		return o, err
	}
	o, err := failing(t, 0, false)
	writes := o.wire.written.Load()
	if err != nil || writes < 7 {
		t.Errorf("%d writes, want more (%v)", writes, err)
	}
	for n := range writes {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("write %d (carried out: %t)", n+1, after), func(t *testing.T) {
				t.Parallel()
				o, err := failing(t, n+1, after)
				if err == nil {
					t.Error("nothing failed")
				}
				if lost := o.lost("pbi", contoso(users...)); len(lost) > 0 {
					t.Errorf("%v lost access", lost)
				}
				o.seat() // the other reconciler goes on meanwhile
				if lost := o.lost("pbi", contoso(users...)); len(lost) > 0 {
					t.Errorf("%v lost access by a pass over seats", lost)
				}
				o.expectTakeover("take", becomes{isDone, "3 users moved", 0, "ada bob cy", status.CurrentStatus, "bob=1 take/ada=2 take/cy=3"})
			})
		}
	}
}

// A Takeover that is interrupted keeps no seats from others if it cannot go on,
// or is deleted.
func TestTakeoverThatDoesNotGoOn(t *testing.T) {
	interrupted := func(t *testing.T, at int32) *office {
		o := newOffice(t, 3)
		o.purchase("pbi", "ada", "bob")
		o.create(o.mover("take", "pbi"))
		o.wire.breakAt = at
		if _, _, err := o.tryTakeOver("take"); err == nil {
			t.Fatal("it was not interrupted")
		}
		o.wire.breakAt = 0
		return o
	}
	t.Run("reserved seats are kept for it", func(t *testing.T) {
		t.Parallel()
		o := interrupted(t, 3)
		o.assign("x", "y")
		o.expect("take/ada=1 take/bob=2 x=3")
	})
	t.Run("until it is deleted", func(t *testing.T) {
		t.Parallel()
		o := interrupted(t, 3)
		o.assign("x", "y")
		o.remove(o.mover("take", "pbi"))
		o.expect("x=1 y=2")
		o.idle()
	})
	t.Run("the assignments that it made stay", func(t *testing.T) {
		t.Parallel()
		o := interrupted(t, 4)
		o.remove(o.mover("take", "pbi"))
		o.expect("take/ada=1")
		if o.orderOf("pbi").Spec.EndedAt != nil {
			t.Error("the purchase has ended")
		}
	})
	t.Run("another under its name goes on", func(t *testing.T) {
		t.Parallel()
		o := interrupted(t, 4)
		o.remove(o.mover("take", "pbi"))
		o.create(o.mover("take", "pbi"))
		o.expectTakeover("take", becomes{isDone, "2 users moved", 0, "ada bob", status.CurrentStatus, "take/ada=1 take/bob=2"})
	})
	t.Run("another under its name to somewhere else has no claim to them", func(t *testing.T) {
		t.Parallel()
		o := interrupted(t, 3)
		o.remove(o.mover("take", "pbi"))
		o.service("tea", v1alpha1.StateSubscribed, 1)
		other := o.mover("take", "pbi")
		other.Spec.MoveTo.Name = "tea"
		o.create(other)
		o.expect("")
	})
	t.Run("it has too few seats now", func(t *testing.T) {
		t.Parallel()
		o := interrupted(t, 3)
		o.service("coffee", v1alpha1.StateSubscribed, 1)
		o.expectTakeover("take", becomes{"Ready=False(SeatsMissing) Reconciling=True(SeatsMissing)", "1 seat is missing", 1, "", status.InProgressStatus, ""})
	})
	t.Run("its purchase was cancelled", func(t *testing.T) {
		t.Parallel()
		o := interrupted(t, 3)
		p := get(t, &v1alpha1.SelfServicePurchase{}, o.customer, "pbi")
		p.Spec.Cancelled = true
		if err := live.Update(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		o.expectTakeover("take", becomes{"Ready=False(PurchaseEnded) Stalled=True(PurchaseEnded)", "has cancelled it", 0, "", status.FailedStatus, ""})
	})
	t.Run("a user needs none any more", func(t *testing.T) {
		t.Parallel()
		o := interrupted(t, 3)
		p := get(t, &v1alpha1.SelfServicePurchase{}, o.customer, "pbi")
		p.Spec.AssignedUsers = contoso("bob")
		if err := live.Update(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		o.expectTakeover("take", becomes{isDone, "1 user moved", 0, "bob", status.CurrentStatus, "take/bob=2"})
	})
	t.Run("a user was assigned by somebody", func(t *testing.T) {
		t.Parallel()
		o := interrupted(t, 3)
		o.assign("ada")
		o.expect("take/ada=1 take/bob=2") // nobody has two
		if got := o.status("ada"); got != "Ready=False(AlreadyAssigned) Reconciling=True(AlreadyAssigned)" {
			t.Error(got)
		}
		if got := reasonMessage(get(t, &v1alpha1.LicenseAssignment{}, o.customer, "ada"), v1alpha1.ConditionReady); !strings.Contains(got, "Takeover take is about to assign seat 1 of MarketplaceSubscription coffee to the same user") {
			t.Error(got)
		}
		o.expectTakeover("take", becomes{isDone, "2 users moved", 0, "ada bob", status.CurrentStatus, "take/ada=1 take/bob=2"})
		if got := o.status("ada"); got != "Ready=False(AlreadyAssigned) Stalled=True(AlreadyAssigned)" {
			t.Error(got)
		}
	})
	t.Run("a user was assigned by somebody, and it is deleted", func(t *testing.T) {
		t.Parallel()
		o := interrupted(t, 3)
		o.assign("ada")
		o.remove(o.mover("take", "pbi"))
		o.expect("ada=1")
	})
}

// A Takeover is deleted while it makes an assignment, and while its seat is about
// to be released because of that: either of the two finds out.
func TestTakeoverDeletedInTheLastMoment(t *testing.T) {
	o := newOffice(t, 2)
	o.purchase("pbi", "ada")
	take := o.mover("take", "pbi")
	o.create(take)
	seats := &Seats{Client: live, Live: live}
	var seen *floor
	o.hook.before = func(verb string, obj client.Object) {
		if _, ok := obj.(*v1alpha1.LicenseAssignment); ok && verb == "create" {
			o.hook.before = nil
			o.remove(o.mover("take", "pbi"))
			var err error
			if seen, err = seats.look(t.Context(), o.of, true); err != nil || len(seen.Release) != 1 {
				t.Fatalf("%v %+v", err, seen)
			}
		}
	}
	f := ctrl.Request{NamespacedName: client.ObjectKeyFromObject(take)}
	if res, err := o.takeovers.Reconcile(t.Context(), f); err != nil || res.RequeueAfter != moment {
		t.Fatal(res, err)
	}
	if o.orderOf("pbi").Spec.EndedAt != nil {
		t.Error("the purchase has ended, although the Takeover is gone")
	}

	// As if it had been deleted a little later, when it was not looked for any more.
	looked, err := seats.look(t.Context(), o.of, true)
	if err != nil {
		t.Fatal(err)
	}
	take.ResourceVersion, take.UID = "", ""
	o.create(take)
	o.takeOver("take")
	if lost := o.lost("pbi", contoso("ada")); lost != nil || o.orderOf("pbi").Spec.EndedAt == nil {
		t.Fatalf("%v lost access", lost)
	}
	if err := seats.release(t.Context(), seen.seats[1]); !errors.Is(err, errLater) {
		t.Errorf("who saw the seat before it was marked could release it: %v", err)
	}
	if len(looked.Release) != 0 {
		t.Errorf("who sees the assignment would release %v", looked.Release)
	}
	if lost := o.lost("pbi", contoso("ada")); lost != nil {
		t.Errorf("%v lost access", lost)
	}
}

// changes has the purchaser change what he wants right before a write.
func (o *office) changes(purchase, at string, change func(*v1alpha1.SelfServicePurchaseSpec)) {
	o.hook.before = func(verb string, obj client.Object) {
		if fmt.Sprintf("%s %T", verb, obj) != at {
			return
		}
		o.hook.before = nil
		p := get(o.t, &v1alpha1.SelfServicePurchase{}, o.customer, purchase)
		change(&p.Spec)
		if err := live.Update(o.t.Context(), p); err != nil {
			o.t.Fatal(err)
		}
	}
}

// Users whom the purchaser adds while he is taken over get a seat too.
func TestTakeoverOfAPurchaseThatChanges(t *testing.T) {
	const last = "patch *v1alpha1.SelfServiceOrder"
	addsBob := func(s *v1alpha1.SelfServicePurchaseSpec) { s.AssignedUsers = contoso("ada", "bob") }
	for at, seated := range map[string]string{
		"create *v1alpha1.Seat": "take/ada=1 take/bob=2", "create *v1alpha1.LicenseAssignment": "take/ada=1 take/bob=2",
		"patch *v1alpha1.Seat": "take/ada=1 take/bob=2", last: "take-755ea343a5=2 take/ada=1", // which is bob's
	} {
		t.Run("before "+at, func(t *testing.T) {
			t.Parallel()
			o := newOffice(t, 3)
			o.purchase("pbi", "ada")
			o.create(o.mover("take", "pbi"))
			o.changes("pbi", at, addsBob)
			o.expectTakeover("take", becomes{isDone, "2 users moved from power-bi to MarketplaceSubscription coffee (coffee), which is another product; the purchase was cancelled", 0, "ada bob", status.CurrentStatus, seated})
			if got := reasonMessage(get(t, &v1alpha1.Takeover{}, o.customer, "take"), v1alpha1.ConditionReady); strings.Contains(got, "wait") {
				t.Error(got)
			}
		})
	}
	t.Run("before the end, and it is looked at again", func(t *testing.T) {
		t.Parallel()
		o := newOffice(t, 1)
		o.purchase("pbi", "ada")
		o.create(o.mover("take", "pbi"))
		o.takeovers.Live = &lastLook{Client: live, purchases: 5, do: func() { // four steps have been planned
			p := get(t, &v1alpha1.SelfServicePurchase{}, o.customer, "pbi")
			addsBob(&p.Spec)
			if err := live.Update(t.Context(), p); err != nil {
				t.Fatal(err)
			}
		}}
		o.expectTakeover("take", becomes{"Ready=False(SeatsMissing) Reconciling=True(SeatsMissing)", "1 seat is missing", 1, "", status.InProgressStatus, "take/ada=1"})
		if o.orderOf("pbi").Spec.EndedAt != nil {
			t.Error("the purchase has ended, although a seat is missing")
		}
	})
	t.Run("in the last moment, and no seat is free", func(t *testing.T) {
		t.Parallel()
		o := newOffice(t, 1)
		o.purchase("pbi", "ada")
		o.create(o.mover("take", "pbi"))
		o.changes("pbi", last, addsBob)
		o.expectTakeover("take", becomes{isDone, "; 1 user of them waits for a seat, because the purchaser added users in the last moment: raise spec.quantity", 0, "ada bob", status.CurrentStatus, "take/ada=1"})
		if got := o.status("take-755ea343a5"); got != waitsInLine {
			t.Error(got)
		}
		o.service("coffee", v1alpha1.StateSubscribed, 2)
		o.expect("take-755ea343a5=2 take/ada=1")
	})
	t.Run("in the last moment, and it is interrupted then", func(t *testing.T) {
		t.Parallel()
		o := newOffice(t, 3)
		o.purchase("pbi", "ada")
		o.create(o.mover("take", "pbi"))
		o.changes("pbi", last, addsBob)
		o.wire.breakAt, o.wire.after = 4, true // its end, of which it does not hear
		if _, _, err := o.tryTakeOver("take"); err == nil || o.orderOf("pbi").Spec.EndedAt == nil {
			t.Fatal(err)
		}
		o.wire.breakAt = 0
		o.expectTakeover("take", becomes{isDone, "2 users moved", 0, "ada bob", status.CurrentStatus, "take-755ea343a5=2 take/ada=1"})
	})
	t.Run("which is cancelled in the last moment but one", func(t *testing.T) {
		t.Parallel()
		o := newOffice(t, 3)
		o.purchase("pbi", "ada")
		o.create(o.canceller("take", "pbi"))
		o.takeovers.Live = &lastLook{Client: live, purchases: 2, do: func() {
			p := get(t, &v1alpha1.SelfServicePurchase{}, o.customer, "pbi")
			p.Spec.Cancelled = true
			if err := live.Update(t.Context(), p); err != nil {
				t.Fatal(err)
			}
		}}
		if _, res := o.takeOver("take"); res.RequeueAfter != moment {
			t.Error(res)
		}
		o.expectTakeover("take", becomes{"Ready=False(PurchaseEnded) Stalled=True(PurchaseEnded)", "has cancelled it", 0, "", status.FailedStatus, ""})
	})
}

// lastLook does something before a purchase is read for the n-th time.
type lastLook struct {
	client.Client
	purchases int
	do        func()
}

func (l *lastLook) Get(ctx context.Context, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
	if _, ok := o.(*v1alpha1.SelfServicePurchase); ok {
		if l.purchases--; l.purchases == 0 {
			l.do()
		}
	}
	return l.Client.Get(ctx, key, o, opts...)
}

// Whoever has no access has nothing to lose: as many users move as there are
// licences.
func TestTakeoverMovesWhoHasAccess(t *testing.T) {
	state := func(quantity int64, change func(*v1alpha1.SelfServicePurchase)) func(*office) {
		return func(o *office) {
			p := o.purchase("pbi", "ada", "bob", "cy")
			p.Status.Quantity, p.Status.ObservedGeneration = quantity, p.Generation
			if change != nil {
				change(p)
			}
			if err := live.Status().Update(o.t.Context(), p); err != nil {
				o.t.Fatal(err)
			}
		}
	}
	behind := func(p *v1alpha1.SelfServicePurchase) { p.Status.ObservedGeneration-- }
	unknown := "Ready=False(NotPurchased) Reconciling=True(NotPurchased)"
	for name, c := range map[string]struct {
		have func(*office)
		want becomes
	}{
		"a raise was refused":          {state(2, nil), becomes{isDone, "2 users moved", 0, "ada bob", status.CurrentStatus, "take/ada=1 take/bob=2"}},
		"a raise is not looked at yet": {state(2, behind), becomes{unknown, "SelfServicePurchase pbi has just been raised to 10 licences, and it is not known yet", 0, "", status.InProgressStatus, ""}},
		"a raise could not be looked at": {state(2, func(p *v1alpha1.SelfServicePurchase) {
			setCondition(p, time.Now(), v1alpha1.ConditionReconciling, metav1.ConditionTrue, v1alpha1.ReasonRetrying, "no answer")
		}), becomes{unknown, "just been raised", 0, "", status.InProgressStatus, ""}},
		"status is behind, and has enough": {state(3, behind), becomes{isDone, "3 users moved", 0, "ada bob cy", status.CurrentStatus, "take/ada=1 take/bob=2 take/cy=3"}},
		"there is no status":               {state(0, behind), becomes{isDone, "3 users moved", 0, "ada bob cy", status.CurrentStatus, "take/ada=1 take/bob=2 take/cy=3"}},
		"status has more than is wanted": {func(o *office) {
			state(10, behind)(o)
			p := get(o.t, &v1alpha1.SelfServicePurchase{}, o.customer, "pbi")
			p.Spec.Quantity = 3
			if err := live.Update(o.t.Context(), p); err != nil {
				o.t.Fatal(err)
			}
		}, becomes{isDone, "3 users moved", 0, "ada bob cy", status.CurrentStatus, "take/ada=1 take/bob=2 take/cy=3"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOffice(t, 3)
			c.have(o)
			o.create(o.mover("take", "pbi"))
			o.expectTakeover("take", c.want)
		})
	}
}

// What was taken from somebody since a Takeover was done does not come back with
// a restore of it.
func TestTakeoverRestoredLater(t *testing.T) {
	o := newOffice(t, 3)
	o.purchase("pbi", "ada", "bob")
	take := o.mover("take", "pbi")
	o.create(take)
	o.takeOver("take")
	o.remove(assignmentFor(take, "ada@contoso.example"))
	o.remove(take)
	o.create(o.mover("take", "pbi"))
	o.clock.SetTime(o.clock.Now().Add(time.Hour))
	o.expectTakeover("take", becomes{isDone, "2 users moved", 0, "ada bob", status.CurrentStatus, "take/bob=2"})
}

// Two want to take one purchase over at the same time: one does.
func TestTwoTakeoversOfOnePurchase(t *testing.T) {
	for _, seats := range []int64{3, 6} {
		t.Run(fmt.Sprintf("%d seats", seats), func(t *testing.T) {
			o := newOffice(t, seats)
			users := []string{"ada", "bob", "cy"}
			o.purchase("pbi", users...)
			names := []string{"one", "two"}
			var both sync.WaitGroup
			for _, name := range names {
				o.create(o.mover(name, "pbi"))
				d := newClerk(o.clock.Now())
				both.Go(func() {
					for range 3 {
						req := ctrl.Request{NamespacedName: client.ObjectKey{Namespace: o.customer, Name: name}}
						if _, err := d.takeovers.Reconcile(t.Context(), req); err != nil && !apierrors.IsConflict(err) {
							t.Error(err)
						}
						if _, err := d.assigner.Reconcile(t.Context(), o.of); err != nil {
							t.Error(err)
						}
						if lost := o.lost("pbi", contoso(users...)); lost != nil {
							t.Errorf("%v lost access", lost)
						}
					}
				})
			}
			both.Wait()
			var done, stalled int
			for range 5 { // until nobody has anything to do
				o.seat()
				done, stalled = 0, 0
				for _, name := range names {
					switch take, _ := o.takeOver(name); conditions(take) {
					case isDone:
						done++
					case "Ready=False(PurchaseEnded) Stalled=True(PurchaseEnded)":
						stalled++
					}
				}
			}
			if done != 1 || stalled != 1 {
				t.Errorf("%d are done, %d are stalled", done, stalled)
			}
			o.seat()
			if lost := o.lost("pbi", contoso(users...)); lost != nil || len(o.seats()) != 3 {
				t.Errorf("%v lost access; %s", lost, o.seated())
			}
			o.idle()
		})
	}
}

// A Takeover and assignments want the last seats: it gets all that it needs, or
// none.
func TestTakeoverAgainstAssignments(t *testing.T) {
	const seats = 6
	o := newOffice(t, seats)
	users := []string{"ada", "bob", "cy"}
	o.purchase("pbi", users...)
	o.create(o.mover("take", "pbi"))
	stop := make(chan struct{})
	var all, passes sync.WaitGroup
	d := newClerk(o.clock.Now())
	passes.Go(func() {
		for {
			if _, err := d.assigner.Reconcile(t.Context(), o.of); err != nil {
				t.Error(err)
			}
			if n := len(o.seats()); n > seats {
				t.Errorf("%d seats are taken", n)
			}
			select {
			case <-stop:
				return
			default:
			}
		}
	})
	for i := range 6 {
		all.Go(func() {
			if err := live.Create(t.Context(), o.assignment(fmt.Sprintf("user-%d", i))); err != nil {
				t.Error(err)
			}
		})
	}
	all.Go(func() {
		for range 3 {
			if _, _, err := o.tryTakeOver("take"); err != nil {
				t.Error(err)
			}
			if lost := o.lost("pbi", contoso(users...)); lost != nil {
				t.Errorf("%v lost access", lost)
			}
		}
	})
	all.Wait()
	close(stop)
	passes.Wait()
	for range 3 {
		o.seat()
		o.takeOver("take")
	}
	o.seat()
	moved := strings.Count(o.seated(), "take/")
	if done := isTakenOver(get(t, &v1alpha1.Takeover{}, o.customer, "take")); moved != 0 && moved != 3 || done != (moved == 3) {
		t.Errorf("done: %t; %s", done, o.seated())
	}
	if len(o.seats()) != seats {
		t.Error(o.seated())
	}
	o.service("coffee", v1alpha1.StateSubscribed, seats+3)
	for range 3 {
		o.seat()
		o.takeOver("take")
	}
	o.expectTakeover("take", becomes{isDone, "3 users moved", 0, "ada bob cy", status.CurrentStatus, o.seat()})
	if len(o.seats()) != 9 {
		t.Error(o.seated())
	}
}
