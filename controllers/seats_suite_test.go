package controllers

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/orders"
)

// office is a customer with one subscription, whose seats are given out.
type office struct {
	t        *testing.T
	customer string
	of       seatsOf
	*clerk
}

// clerk is one process that gives out seats.
type clerk struct {
	*view
	wire      *wire
	cache     *pastCache
	hook      *hook
	clock     *clocktesting.FakePassiveClock
	assigner  *LicenseAssignmentReconciler
	takeovers *TakeoverReconciler
}

func newClerk(now time.Time) *clerk {
	d := &clerk{clock: clocktesting.NewFakePassiveClock(now), cache: &pastCache{Client: live}}
	d.wire = &wire{Client: d.cache}
	d.hook = &hook{Client: d.wire}
	d.view = &view{Client: d.hook}
	seats := &Seats{Client: d.view, Live: live}
	d.assigner = &LicenseAssignmentReconciler{Client: d.view, Clock: d.clock, Seats: seats}
	d.takeovers = &TakeoverReconciler{Client: d.view, Live: live, Clock: d.clock, Seats: seats, Orders: &orders.Record{Client: d.view, Live: live}}
	return d
}

// newOffice opens an office with a running service of so many seats. 0: it is
// not sold by the seat.
func newOffice(t *testing.T, seats int64) *office {
	t.Helper()
	o := newEmptyOffice(t)
	o.service("coffee", v1alpha1.StateSubscribed, seats)
	return o
}

func newEmptyOffice(t *testing.T) *office {
	t.Helper()
	o := &office{t: t, customer: fmt.Sprintf("office-%d", serial.Add(1)), clerk: newClerk(time.Now().UTC().Truncate(time.Second))}
	o.of = seatsOf{Namespace: o.customer, SubscriptionReference: refTo(v1alpha1.KindMarketplaceSubscription, "coffee")}
	o.create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: o.customer}})
	return o
}

func refTo(kind, name string) v1alpha1.SubscriptionReference {
	return v1alpha1.SubscriptionReference{Kind: kind, Reference: v1alpha1.Reference{Name: name}}
}

func (o *office) create(obj client.Object) {
	o.t.Helper()
	if err := live.Create(o.t.Context(), obj); err != nil {
		o.t.Fatal(err)
	}
}

func (o *office) remove(obj client.Object) {
	o.t.Helper()
	obj.SetNamespace(o.customer)
	if err := live.Delete(o.t.Context(), obj); err != nil {
		o.t.Fatal(err)
	}
}

// service has a MarketplaceSubscription in a state, with so many seats.
func (o *office) service(name string, state v1alpha1.MarketplaceState, seats int64) {
	o.t.Helper()
	o.serviceOf("coffee", name, state, seats)
}

func (o *office) serviceOf(product, name string, state v1alpha1.MarketplaceState, seats int64) {
	o.t.Helper()
	sub := &v1alpha1.MarketplaceSubscription{
		ObjectMeta: metav1.ObjectMeta{Namespace: o.customer, Name: name},
		Spec:       v1alpha1.MarketplaceSubscriptionSpec{ProductRef: v1alpha1.Reference{Name: product}, Term: v1alpha1.TermYear},
	}
	if err := live.Create(o.t.Context(), sub); apierrors.IsAlreadyExists(err) {
		sub = get(o.t, sub, o.customer, name)
	} else if err != nil {
		o.t.Fatal(err)
	}
	sub.Status.State, sub.Status.Quantity = state, seats
	if err := live.Status().Update(o.t.Context(), sub); err != nil {
		o.t.Fatal(err)
	}
}

// software has a SoftwareSubscription in a state.
func (o *office) software(name string, state v1alpha1.SubscriptionState, licences int64) {
	o.t.Helper()
	sub := &v1alpha1.SoftwareSubscription{
		ObjectMeta: metav1.ObjectMeta{Namespace: o.customer, Name: name},
		Spec:       v1alpha1.SoftwareSubscriptionSpec{ProductRef: v1alpha1.Reference{Name: "office"}, Quantity: 1, Term: v1alpha1.TermYear},
	}
	if err := live.Create(o.t.Context(), sub); apierrors.IsAlreadyExists(err) {
		sub = get(o.t, sub, o.customer, name)
	} else if err != nil {
		o.t.Fatal(err)
	}
	sub.Status.State, sub.Status.Quantity = state, licences
	if err := live.Status().Update(o.t.Context(), sub); err != nil {
		o.t.Fatal(err)
	}
}

// assignment is one that is not created yet. A user is what comes before the
// first dot of its name.
func (o *office) assignment(name string) *v1alpha1.LicenseAssignment {
	user, _, _ := strings.Cut(name, ".")
	return &v1alpha1.LicenseAssignment{
		ObjectMeta: metav1.ObjectMeta{Namespace: o.customer, Name: name},
		Spec:       v1alpha1.LicenseAssignmentSpec{SubscriptionRef: o.of.SubscriptionReference, User: v1alpha1.User(user + "@contoso.example")},
	}
}

func (o *office) assign(names ...string) {
	o.t.Helper()
	for _, name := range names {
		o.create(o.assignment(name))
	}
}

// seat runs a pass over the subscription, and returns who has a seat: "ada=1".
// The writes are those of this pass.
func (o *office) seat() string {
	o.t.Helper()
	if _, err := o.trySeat(); err != nil {
		o.t.Fatal(err)
	}
	return o.seated()
}

func (o *office) trySeat() (ctrl.Result, error) {
	o.t.Helper()
	o.writes = nil
	res, err := o.assigner.Reconcile(o.t.Context(), o.of)
	for _, a := range o.assignments() {
		noteReasons(&a)
	}
	return res, err
}

func (o *office) assignments() []v1alpha1.LicenseAssignment {
	o.t.Helper()
	var list v1alpha1.LicenseAssignmentList
	if err := live.List(o.t.Context(), &list, client.InNamespace(o.customer)); err != nil {
		o.t.Fatal(err)
	}
	return list.Items
}

func (o *office) seats() []v1alpha1.Seat {
	o.t.Helper()
	var list v1alpha1.SeatList
	if err := live.List(o.t.Context(), &list, client.InNamespace(o.customer)); err != nil {
		o.t.Fatal(err)
	}
	return list.Items
}

// seated tells who has a seat by the ledger: "ada=1 bob=2". What status says is
// compared with that, for assignments that are Ready.
func (o *office) seated() string {
	o.t.Helper()
	var all []string
	by := map[string]int64{}
	for _, s := range o.seats() {
		name := s.Spec.Assignment
		if s.Spec.Takeover != "" {
			name = s.Spec.Takeover + "/" + strings.TrimSuffix(string(s.Spec.User), "@contoso.example")
		}
		all = append(all, fmt.Sprintf("%s=%d", name, s.Spec.Number))
		by[s.Spec.Assignment] = s.Spec.Number
	}
	for _, a := range o.assignments() {
		if reasonOf(&a, v1alpha1.ConditionReady) == v1alpha1.ReasonSeatAssigned && a.DeletionTimestamp.IsZero() && a.Status.Seat != by[a.Name] {
			o.t.Errorf("%s says that it has seat %d, the ledger says %d", a.Name, a.Status.Seat, by[a.Name])
		}
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

func (o *office) expect(want string) {
	o.t.Helper()
	if got := o.seat(); got != want {
		o.t.Errorf("seated %q\nwant   %q", got, want)
	}
}

// idle checks that another pass over seats, a second later, writes nothing.
func (o *office) idle() {
	o.t.Helper()
	o.clock.SetTime(o.clock.Now().Add(time.Second))
	if res, err := o.trySeat(); err != nil || len(o.writes) > 0 || res.RequeueAfter != 0 {
		o.t.Errorf("another pass over seats wrote %v, and comes again after %v (%v)", o.writes, res.RequeueAfter, err)
	}
}

func (o *office) status(assignment string) string {
	o.t.Helper()
	return conditions(get(o.t, &v1alpha1.LicenseAssignment{}, o.customer, assignment))
}

// hook does something before a write.
type hook struct {
	client.Client
	before func(verb string, o client.Object)
}

func (h *hook) call(verb string, o client.Object) {
	if h.before != nil {
		h.before(verb, o)
	}
}

func (h *hook) Create(ctx context.Context, o client.Object, opts ...client.CreateOption) error {
	h.call("create", o)
	return h.Client.Create(ctx, o, opts...)
}

func (h *hook) Delete(ctx context.Context, o client.Object, opts ...client.DeleteOption) error {
	h.call("delete", o)
	return h.Client.Delete(ctx, o, opts...)
}

func (h *hook) Patch(ctx context.Context, o client.Object, p client.Patch, opts ...client.PatchOption) error {
	h.call("patch", o)
	return h.Client.Patch(ctx, o, p, opts...)
}

// pastCache is a cache that stopped at some moment, for what it was told to.
type pastCache struct {
	client.Client
	seats       *v1alpha1.SeatList
	assignments *v1alpha1.LicenseAssignmentList
	sub         *v1alpha1.MarketplaceSubscription
	order       *v1alpha1.SelfServiceOrder
}

func (c *pastCache) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	switch list := list.(type) {
	case *v1alpha1.SeatList:
		if c.seats != nil {
			c.seats.DeepCopyInto(list)
			return nil
		}
	case *v1alpha1.LicenseAssignmentList:
		if c.assignments != nil {
			c.assignments.DeepCopyInto(list)
			return nil
		}
	}
	return c.Client.List(ctx, list, opts...)
}

func (c *pastCache) Get(ctx context.Context, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
	switch o := o.(type) {
	case *v1alpha1.MarketplaceSubscription:
		if c.sub != nil {
			c.sub.DeepCopyInto(o)
			return nil
		}
	case *v1alpha1.SelfServiceOrder:
		if c.order != nil {
			c.order.DeepCopyInto(o)
			return nil
		}
	}
	return c.Client.Get(ctx, key, o, opts...)
}

// stopCache has the cache see no changes of seats, assignments and the
// subscription from now on.
func (o *office) stopCache() {
	o.t.Helper()
	o.cache.seats = &v1alpha1.SeatList{Items: o.seats()}
	o.cache.assignments = &v1alpha1.LicenseAssignmentList{Items: o.assignments()}
	o.cache.sub = get(o.t, &v1alpha1.MarketplaceSubscription{}, o.customer, "coffee")
}

func (o *office) startCache() { *o.cache = pastCache{Client: live} }
