package controllers

import (
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
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
)

const (
	isSeated    = "Ready=True(SeatAssigned)"
	waitsInLine = "Ready=False(NoSeatFree) Reconciling=True(NoSeatFree)"
)

// What an assignment is told, by the state of its subscription.
func TestAssignmentsAreTold(t *testing.T) {
	service := func(state v1alpha1.MarketplaceState, seats int64) func(*office) {
		return func(o *office) { o.service("coffee", state, seats) }
	}
	software := func(state v1alpha1.SubscriptionState, licences int64) func(*office) {
		return func(o *office) {
			o.of.SubscriptionReference = refTo(v1alpha1.KindSoftwareSubscription, "office")
			o.software("office", state, licences)
		}
	}
	for _, c := range []struct {
		name       string
		have       func(*office)
		seated     string
		conditions string // of ada's
		message    string
		kstatus    status.Status
	}{
		{"a service that runs", service(v1alpha1.StateSubscribed, 2), "ada=1 bob=2", isSeated, "seat 1 of MarketplaceSubscription coffee", status.CurrentStatus},
		{"a service that is not sold by the seat", service(v1alpha1.StateSubscribed, 0), "ada=1 bob=2", isSeated, "seat 1 of MarketplaceSubscription coffee", status.CurrentStatus},
		{"a service that the publisher has to activate", service(v1alpha1.StatePendingFulfillmentStart, 2), "", "Ready=False(SubscriptionNotReady) Reconciling=True(SubscriptionNotReady)", "does not run yet", status.InProgressStatus},
		{"a service that is suspended", service(v1alpha1.StateSuspended, 2), "", "Ready=False(Suspended) Stalled=True(Suspended)", "set its spec.suspended to false", status.FailedStatus},
		{"a service that has ended", service(v1alpha1.StateUnsubscribed, 2), "", "Ready=False(SubscriptionEnded) Stalled=True(SubscriptionEnded)", "create another for a subscription that runs", status.FailedStatus},
		{"software that is active", software(v1alpha1.StateActive, 2), "ada=1 bob=2", isSeated, "seat 1 of SoftwareSubscription office", status.CurrentStatus},
		{"software without a key yet", software(v1alpha1.StatePending, 0), "", "Ready=False(SubscriptionNotReady) Reconciling=True(SubscriptionNotReady)", "SoftwareSubscription office does not run yet", status.InProgressStatus},
		{"software that was cancelled", software(v1alpha1.StateCancelled, 2), "", "Ready=False(SubscriptionEnded) Stalled=True(SubscriptionEnded)", "has ended", status.FailedStatus},
		{"software that expired", software(v1alpha1.StateExpired, 2), "", "Ready=False(SubscriptionEnded) Stalled=True(SubscriptionEnded)", "has ended", status.FailedStatus},
		{"no subscription", func(*office) {}, "", "Ready=False(SubscriptionNotFound) Stalled=True(SubscriptionNotFound)", "there is no MarketplaceSubscription coffee in this namespace: create it", status.FailedStatus},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			o := newEmptyOffice(t)
			c.have(o)
			o.assign("ada", "bob")
			o.expect(c.seated)
			ada := get(t, &v1alpha1.LicenseAssignment{}, o.customer, "ada")
			if got := conditions(ada); got != c.conditions {
				t.Errorf("conditions %s\nwant       %s", got, c.conditions)
			}
			if got := reasonMessage(ada, v1alpha1.ConditionReady); !strings.Contains(got, c.message) {
				t.Errorf("message %q, want %q in it", got, c.message)
			}
			if k := kstatus(t, ada); k != c.kstatus {
				t.Errorf("kstatus %s, want %s", k, c.kstatus)
			}
			if seated := ada.Status.Seat > 0 && ada.Status.AssignedAt != nil && ada.Status.AssignedAt.Time.Equal(o.clock.Now()); seated != (c.seated != "") {
				t.Errorf("seat %d since %v", ada.Status.Seat, ada.Status.AssignedAt)
			}
			o.idle()
		})
	}
}

// A seat goes to the oldest; whoever waits gets the next one. Who is older only
// the API server says, in whole seconds of a clock that no test steps: so this
// waits for its next one.
func TestSeatsGoToTheOldest(t *testing.T) {
	o := newOffice(t, 2)
	o.assign("c", "b")
	time.Sleep(time.Until(get(t, &v1alpha1.LicenseAssignment{}, o.customer, "b").CreationTimestamp.Add(time.Second)))
	o.assign("a")
	o.expect("b=1 c=2")
	if got := o.status("a"); got != waitsInLine {
		t.Error(got)
	}
	want := "MarketplaceSubscription coffee has no free seat of its 2, and the oldest LicenseAssignment gets the next one: raise spec.quantity of the subscription, buy another, or delete a LicenseAssignment"
	if got := reasonMessage(get(t, &v1alpha1.LicenseAssignment{}, o.customer, "a"), v1alpha1.ConditionReady); got != want {
		t.Error(got)
	}
	o.idle()
	o.remove(o.assignment("b"))
	o.expect("a=1 c=2")
	o.idle()
}

// A user has one seat, however often he is assigned.
func TestOneUserHasOneSeat(t *testing.T) {
	o := newOffice(t, 3)
	o.assign("ada.1", "ada.2", "bob")
	o.expect("ada.1=1 bob=2")
	if got := o.status("ada.2"); got != "Ready=False(AlreadyAssigned) Stalled=True(AlreadyAssigned)" {
		t.Error(got)
	}
	if got := reasonMessage(get(t, &v1alpha1.LicenseAssignment{}, o.customer, "ada.2"), v1alpha1.ConditionReady); !strings.Contains(got, "LicenseAssignment ada.1 is for the same user") {
		t.Error(got)
	}
	o.idle()
	o.remove(o.assignment("ada.1"))
	o.expect("ada.2=1 bob=2")
	o.idle()

	upper := o.assignment("upper")
	upper.Spec.User = "Ada@contoso.example"
	if err := live.Create(t.Context(), upper); !apierrors.IsInvalid(err) {
		t.Errorf("a user in upper case, who would have two seats: %v", err)
	}
}

// What becomes of seats when the subscription changes.
func TestSeatsFollowTheSubscription(t *testing.T) {
	o := newOffice(t, 3)
	o.assign("a", "b", "c", "d")
	o.expect("a=1 b=2 c=3")
	o.service("coffee", v1alpha1.StateSubscribed, 2)
	o.expect("a=1 b=2")
	if o.status("c") != waitsInLine || get(t, &v1alpha1.LicenseAssignment{}, o.customer, "c").Status.Seat != 0 {
		t.Error(o.status("c"))
	}
	o.idle()
	o.service("coffee", v1alpha1.StateSubscribed, 4)
	o.expect("a=1 b=2 c=3 d=4")
	o.idle()

	o.service("coffee", v1alpha1.StateSuspended, 1)
	o.assign("e")
	o.remove(o.assignment("b"))
	o.expect("a=1 c=3 d=4") // who is gone frees his seat, and nobody else gets one
	if d := get(t, &v1alpha1.LicenseAssignment{}, o.customer, "d"); conditions(d) != "Ready=False(Suspended) Stalled=True(Suspended)" || d.Status.Seat != 4 {
		t.Error(conditions(d), d.Status.Seat)
	}
	o.idle()
	o.service("coffee", v1alpha1.StateSubscribed, 4)
	o.expect("a=1 c=3 d=4 e=2")

	o.service("coffee", "", 0) // as after a restore
	o.assign("f")
	o.remove(o.assignment("e"))
	o.expect("a=1 c=3 d=4 e=2")
	o.idle()
	o.remove(&v1alpha1.MarketplaceSubscription{ObjectMeta: metav1.ObjectMeta{Name: "coffee"}})
	o.expect("a=1 c=3 d=4 e=2")
	o.idle()
	o.service("coffee", v1alpha1.StateSubscribed, 4)
	o.expect("a=1 c=3 d=4 f=2")
	o.service("coffee", v1alpha1.StateUnsubscribed, 4)
	o.expect("")
	if a := get(t, &v1alpha1.LicenseAssignment{}, o.customer, "a"); a.Status.Seat != 0 || a.Status.AssignedAt != nil {
		t.Error(a.Status)
	}
	o.idle()
}

// A restore brings objects without status and with other UIDs, in any order.
func TestRestoredSeatsKeepTheirNumbers(t *testing.T) {
	o := newOffice(t, 3)
	o.assign("c", "d", "e")
	o.seat()
	o.assign("a", "b") // who would come first if all were seated anew
	o.expect("c=1 d=2 e=3")
	o.remove(o.assignment("d"))
	o.expect("a=2 c=1 e=3")
	assignments, seats := o.assignments(), o.seats()
	for i := range assignments {
		o.remove(&assignments[i])
	}
	for i := range seats {
		o.remove(&seats[i])
	}
	o.remove(&v1alpha1.MarketplaceSubscription{ObjectMeta: metav1.ObjectMeta{Name: "coffee"}})
	o.expect("")

	for i := range seats {
		seats[i].ResourceVersion, seats[i].UID = "", ""
		o.create(&seats[i])
	}
	o.expect("a=2 c=1 e=3")
	for i := range assignments {
		assignments[i].ResourceVersion, assignments[i].UID, assignments[i].Status = "", "", v1alpha1.LicenseAssignmentStatus{}
		o.create(&assignments[i])
	}
	o.expect("a=2 c=1 e=3")
	o.service("coffee", "", 0)
	o.expect("a=2 c=1 e=3")
	o.service("coffee", v1alpha1.StateSubscribed, 3)
	o.expect("a=2 c=1 e=3")
	if a := get(t, &v1alpha1.LicenseAssignment{}, o.customer, "a"); conditions(a) != isSeated || a.Status.Seat != 2 {
		t.Error(conditions(a), a.Status.Seat)
	}
	o.idle()
}

// What was deleted, or made anew for somebody else, while the operator was away.
func TestSeatsOfAssignmentsThatWentAway(t *testing.T) {
	o := newOffice(t, 2)
	o.assign("a", "b", "c", "d")
	o.expect("a=1 b=2")
	o.remove(o.assignment("a"))
	o.remove(o.assignment("b"))
	other := o.assignment("b")
	other.Spec.User = "eve@contoso.example"
	o.create(other)
	got := o.seat()
	if got != "b=1 c=2" && got != "c=1 d=2" { // by whether b was made within the same second as the others
		t.Error(got)
	}
	for _, s := range o.seats() {
		if s.Spec.User == "b@contoso.example" {
			t.Errorf("%s is still the user of a seat", s.Spec.User)
		}
	}
	o.idle()

	// One that is being deleted has no seat any more, whatever holds it up.
	held := o.assignment("z")
	held.Finalizers = []string{"example.com/hold"}
	o.service("coffee", v1alpha1.StateSubscribed, 5)
	o.create(held)
	o.seat()
	before := len(o.seats())
	o.remove(o.assignment("z"))
	if o.seat(); len(o.seats()) != before-1 {
		t.Errorf("%d seats, want %d", len(o.seats()), before-1)
	}
	held = get(t, held, o.customer, "z")
	held.Finalizers = nil
	if err := live.Update(t.Context(), held); err != nil {
		t.Fatal(err)
	}
}

// A cache that is late costs nobody his seat, and gives out none that is not there.
func TestSeatsWithLateCache(t *testing.T) {
	t.Run("an assignment that it does not know", func(t *testing.T) {
		t.Parallel()
		o := newOffice(t, 2)
		o.assign("a")
		o.expect("a=1")
		o.cache.assignments = &v1alpha1.LicenseAssignmentList{}
		o.expect("a=1")
	})
	t.Run("a quantity that was raised", func(t *testing.T) {
		t.Parallel()
		o := newOffice(t, 1)
		o.stopCache()
		sub := o.cache.sub
		o.startCache()
		o.service("coffee", v1alpha1.StateSubscribed, 2)
		o.assign("a", "b")
		o.expect("a=1 b=2")
		o.cache.sub = sub
		o.expect("a=1 b=2")
	})
	t.Run("a quantity that was lowered", func(t *testing.T) {
		t.Parallel()
		o := newOffice(t, 2)
		o.stopCache()
		sub := o.cache.sub
		o.startCache()
		o.service("coffee", v1alpha1.StateSubscribed, 1)
		o.assign("a", "b")
		o.cache.sub = sub
		o.hook.before = func(verb string, obj client.Object) {
			if seat, ok := obj.(*v1alpha1.Seat); ok && seat.Spec.Number > 1 {
				t.Errorf("%s seat %d of 1", verb, seat.Spec.Number)
			}
		}
		o.expect("a=1")
	})
	t.Run("seats that it does not know", func(t *testing.T) {
		t.Parallel()
		o := newOffice(t, 2)
		o.assign("a", "b", "c")
		o.stopCache()
		seats := o.cache.seats
		o.startCache()
		o.expect("a=1 b=2")
		o.cache.seats = seats
		res, err := o.trySeat()
		if err != nil || res.RequeueAfter != moment || o.seated() != "a=1 b=2" || len(o.writes) > 0 {
			t.Errorf("%v %v %v %s", res, err, o.writes, o.seated())
		}
		o.startCache()
		o.idle()
	})
	t.Run("a status that was changed", func(t *testing.T) {
		t.Parallel()
		o := newOffice(t, 1)
		o.assign("a")
		o.stopCache()
		assignments := o.cache.assignments
		o.startCache()
		a := get(t, &v1alpha1.LicenseAssignment{}, o.customer, "a")
		a.Annotations = map[string]string{"example.com/a": "b"}
		if err := live.Update(t.Context(), a); err != nil {
			t.Fatal(err)
		}
		o.cache.assignments = assignments
		if res, err := o.trySeat(); err != nil || res.RequeueAfter != moment {
			t.Error(res, err)
		}
		o.startCache()
		o.expect("a=1")
	})
	t.Run("a seat that was given away again", func(t *testing.T) {
		t.Parallel()
		o := newOffice(t, 1)
		o.assign("a")
		o.seat()
		f, err := o.assigner.Seats.look(t.Context(), o.of, true)
		if err != nil {
			t.Fatal(err)
		}
		o.remove(o.assignment("a"))
		o.expect("")
		o.assign("b")
		o.expect("b=1")
		if err := o.assigner.Seats.release(t.Context(), f.seats[1]); !errors.Is(err, errLater) {
			t.Errorf("released what was looked at before: %v", err)
		}
		if got := o.seated(); got != "b=1" {
			t.Error(got)
		}
	})
}

// Whatever write fails, the next pass brings all to the same end.
func TestSeatsSurviveFailures(t *testing.T) {
	failing := func(t *testing.T, n int32, after bool) (o *office, err error) {
		o = newOffice(t, 2)
		o.assign("a", "b", "c")
		o.expect("a=1 b=2")
		o.remove(o.assignment("a"))
		o.assign("d")
		o.wire.written.Store(0)
		o.wire.after, o.wire.breakAt = after, n
		_, err = o.trySeat()
		o.wire.breakAt = 0
		return o, err
	}
	o, err := failing(t, 0, false)
	writes := o.wire.written.Load()
	if err != nil || writes < 3 {
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
				for _, s := range o.seats() {
					if s.Spec.Number > 2 {
						t.Errorf("seat %d of 2", s.Spec.Number)
					}
				}
				o.expect("b=2 c=1")
				for name, want := range map[string]string{"b": isSeated, "c": isSeated, "d": waitsInLine} {
					if got := o.status(name); got != want {
						t.Errorf("%s is %s", name, got)
					}
				}
				o.idle()
			})
		}
	}
}

// 64 want one of 10 seats, while two processes give them out.
func TestSeatsUnderConcurrentCreators(t *testing.T) {
	const wanting, seats = 64, 10
	o := newOffice(t, seats)
	var creators, passes sync.WaitGroup
	stop := make(chan struct{})
	for range 2 {
		d := newClerk(o.clock.Now())
		passes.Go(func() {
			for {
				if _, err := d.assigner.Reconcile(t.Context(), o.of); err != nil {
					t.Error(err)
				}
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	for i := range wanting {
		creators.Go(func() {
			if err := live.Create(t.Context(), o.assignment(fmt.Sprintf("user-%02d", i))); err != nil {
				t.Error(err)
			}
			if n := len(o.seats()); n > seats {
				t.Errorf("%d seats are taken", n)
			}
		})
	}
	creators.Wait()
	close(stop)
	passes.Wait()

	for res, err := o.trySeat(); res.RequeueAfter > 0 || err != nil; res, err = o.trySeat() {
		if err != nil {
			t.Fatal(err)
		}
	}
	check := func() (waiting []v1alpha1.LicenseAssignment) {
		t.Helper()
		numbers := map[int64]bool{}
		for _, a := range o.assignments() {
			switch conditions(&a) {
			case isSeated:
				numbers[a.Status.Seat] = true
			case waitsInLine:
				waiting = append(waiting, a)
			default:
				t.Errorf("%s: %s", a.Name, conditions(&a))
			}
		}
		if len(numbers) != seats || len(o.seats()) != seats {
			t.Errorf("%d numbers are told, %d are on record, want %d", len(numbers), len(o.seats()), seats)
		}
		slices.SortFunc(waiting, func(a, b v1alpha1.LicenseAssignment) int {
			return cmpCreated(&a, &b)
		})
		return waiting
	}
	waiting := check()
	if len(waiting) != wanting-seats {
		t.Fatalf("%d wait", len(waiting))
	}
	freed := o.seats()[4].Spec
	o.remove(o.assignment(freed.Assignment))
	o.seat()
	check()
	if next := get(t, &v1alpha1.LicenseAssignment{}, o.customer, waiting[0].Name); next.Status.Seat != freed.Number {
		t.Errorf("the oldest that waited has seat %d, want %d", next.Status.Seat, freed.Number)
	}
	if len(o.writes) != 3 {
		t.Errorf("one seat that changes hands took %d writes: %v", len(o.writes), o.writes)
	}
	o.idle()
}

func cmpCreated(a, b *v1alpha1.LicenseAssignment) int {
	if c := a.CreationTimestamp.Compare(b.CreationTimestamp.Time); c != 0 {
		return c
	}
	return strings.Compare(a.Name, b.Name)
}

// One pass is enough for a whole department, and takes no longer than a pass may.
func TestSeatsOfADepartment(t *testing.T) {
	const all, seats = 200, 160
	o := newOffice(t, seats)
	var creators sync.WaitGroup
	for worker := range 8 {
		creators.Go(func() {
			for i := worker; i < all; i += 8 {
				if err := live.Create(t.Context(), o.assignment(fmt.Sprintf("user-%03d", i))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	creators.Wait()
	began := time.Now()
	o.seat()
	t.Logf("a pass that seats %d of %d took %v and %d writes", seats, all, time.Since(began), len(o.writes))
	if len(o.seats()) != seats || len(o.writes) != seats+all {
		t.Errorf("%d seats, %d writes", len(o.seats()), len(o.writes))
	}
	if took := time.Since(began); took > passTimeout {
		t.Errorf("it took %v", took)
	}
	o.remove(o.assignment(o.seats()[0].Spec.Assignment))
	began = time.Now()
	o.seat()
	t.Logf("a pass that gives one seat to another took %v", time.Since(began))
	if len(o.writes) != 3 {
		t.Errorf("one seat that changes hands took %d writes", len(o.writes))
	}
	began = time.Now()
	o.idle()
	t.Logf("a pass with nothing to do took %v", time.Since(began))
}
