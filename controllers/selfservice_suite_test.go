package controllers

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/orders"
	"github.com/license-operator/license-operator/internal/taken"
	"github.com/license-operator/license-operator/internal/terms"
)

// Writes of a pass over a purchase in self-service.
const (
	placesOrder  = "create v1alpha1.SelfServiceOrder"
	recordsOrder = "patch v1alpha1.SelfServiceOrder"
	tellsBuyer   = "patch status of v1alpha1.SelfServicePurchase"
	ordersAll    = placesOrder + ", " + tellsBuyer
	ordersOn     = recordsOrder + ", " + tellsBuyer
)

// Conditions of a purchase in self-service in the states of its life.
const (
	isLicensed = "Compliant=True(Allowed) Ready=True(Licensed)"
	isOver     = "Compliant=True(Allowed)"
	isAudited  = "Compliant=False(WouldBeRefused) Ready=True(Licensed)"
)

// desk is a customer whose employees buy themselves, and a catalogue of which
// they can see what has the desk's name.
type desk struct {
	*shop     // name is that of the product
	wire      *wire
	shelf     *shelf
	purchases *SelfServicePurchaseReconciler
	policies  reconcile.Reconciler
}

// newDesk opens a desk. Its product is sold by the year and by the month, in 1 to
// 50 seats, and tried for 30 days, with or without a payment method.
func newDesk(t *testing.T) *desk {
	t.Helper()
	name := fmt.Sprintf("desk-%d", serial.Add(1))
	d := &desk{shop: &shop{t: t, name: name, customer: name + "-customer"}}
	d.start(time.Now().UTC().Truncate(time.Second))
	d.create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: d.customer}})
	d.create(d.product())
	return d
}

// start begins a new process: it has forgotten all that was in memory.
func (d *desk) start(now time.Time) {
	d.process = newProcess(now)
	d.shelf = &shelf{Client: live, name: d.name}
	d.wire = &wire{Client: d.shelf}
	d.Client = d.wire
	d.purchases = &SelfServicePurchaseReconciler{Client: d.view, Live: live, Clock: d.clock, Orders: &orders.Record{Client: d.view, Live: live}}
	d.policies = reconcile.AsReconciler(client.Client(d.view), &SelfServicePolicyReconciler{Client: d.view, Clock: d.clock})
}

func (d *desk) restart() { d.start(d.clock.Now()) }

// shelf is the way to the API server: of the catalogue it has the products of one
// desk, and it can be late.
type shelf struct {
	client.Client
	name       string
	lateOrders bool // sees none
	broken     bool // lists nothing
}

func (s *shelf) Get(ctx context.Context, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
	if _, ok := o.(*v1alpha1.SelfServiceOrder); ok && s.lateOrders {
		return apierrors.NewNotFound(v1alpha1.GroupVersion.WithResource("selfserviceorders").GroupResource(), key.Name)
	}
	return s.Client.Get(ctx, key, o, opts...)
}

func (s *shelf) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	if s.broken {
		return errLine
	}
	if err := s.Client.List(ctx, list, opts...); err != nil {
		return err
	}
	if products, ok := list.(*v1alpha1.ProductList); ok {
		products.Items = slices.DeleteFunc(products.Items, func(p v1alpha1.Product) bool { return p.Name != s.name && !strings.HasPrefix(p.Name, s.name+"-") })
	}
	return nil
}

func (d *desk) product() *v1alpha1.Product {
	price := func(amount string) v1alpha1.Money { return v1alpha1.Money{Amount: amount, Currency: "EUR"} }
	return &v1alpha1.Product{ObjectMeta: metav1.ObjectMeta{Name: d.name}, Spec: v1alpha1.ProductSpec{
		DisplayName: "Drawing",
		SaaS: &v1alpha1.SaaSProduct{
			PublisherRef: v1alpha1.Reference{Name: d.name}, OfferID: "drawing",
			Plans: []v1alpha1.Plan{{ID: "user", DisplayName: "Per user", Seats: &v1alpha1.SeatBounds{Min: 1, Max: 50}}},
		},
		Terms:       []v1alpha1.TermOffer{{Term: v1alpha1.TermYear, Price: price("120.00")}, {Term: v1alpha1.TermMonth, Price: price("12.50")}},
		SelfService: &v1alpha1.SelfServiceOffer{Purchase: true, Trial: &v1alpha1.TrialOffer{Length: "P30D", PaymentMethod: v1alpha1.PaymentMethodNotRequired}},
	}}
}

func (d *desk) editProduct(change func(*v1alpha1.ProductSpec)) {
	d.t.Helper()
	p := d.product()
	d.edit(p, func() { change(&p.Spec) })
}

// publish adds a product like the first one, under its name and a suffix.
func (d *desk) publish(suffix string, change ...func(*v1alpha1.ProductSpec)) {
	d.t.Helper()
	p := d.product()
	p.Name += suffix
	for _, f := range change {
		f(&p.Spec)
	}
	d.create(p)
}

func (d *desk) remove(o client.Object) {
	d.t.Helper()
	if err := live.Delete(d.t.Context(), o); err != nil {
		d.t.Fatal(err)
	}
}

// policy makes a policy, changed as wanted.
func (d *desk) policy(name string, value v1alpha1.SelfServiceValue, change ...func(*v1alpha1.SelfServicePolicySpec)) {
	d.t.Helper()
	p := &v1alpha1.SelfServicePolicy{ObjectMeta: metav1.ObjectMeta{Namespace: d.customer, Name: name}, Spec: v1alpha1.SelfServicePolicySpec{Default: value}}
	for _, f := range change {
		f(&p.Spec)
	}
	d.create(p)
}

func (d *desk) editPolicy(name string, change func(*v1alpha1.SelfServicePolicySpec)) {
	d.t.Helper()
	p := &v1alpha1.SelfServicePolicy{ObjectMeta: metav1.ObjectMeta{Namespace: d.customer, Name: name}}
	d.edit(p, func() { change(&p.Spec) })
}

func audits(s *v1alpha1.SelfServicePolicySpec) { s.Mode = v1alpha1.SelfServiceAudit }

// agreement gives the customer an agreement.
func (d *desk) agreement() {
	d.t.Helper()
	d.create(&v1alpha1.PartnerAgreement{ObjectMeta: metav1.ObjectMeta{Namespace: d.customer, Name: "open"}, Spec: v1alpha1.PartnerAgreementSpec{
		AuthorizationNumber: "12345678ZZS1234", LicenseNumber: "12345678", CustomerEmail: "it@contoso.example",
	}})
}

type asking = func(*v1alpha1.SelfServicePurchaseSpec)

func trial(s *v1alpha1.SelfServicePurchaseSpec) {
	s.Type, s.PaymentMethod = v1alpha1.SelfServiceTrial, false
}

func paidTrial(s *v1alpha1.SelfServicePurchaseSpec) { s.Type = v1alpha1.SelfServiceTrial }

func licences(n int64) asking {
	return func(s *v1alpha1.SelfServicePurchaseSpec) { s.Quantity = n }
}

func forMonths(s *v1alpha1.SelfServicePurchaseSpec) { s.Term = v1alpha1.TermMonth }

func assigned(users ...v1alpha1.User) asking {
	return func(s *v1alpha1.SelfServicePurchaseSpec) { s.AssignedUsers = users }
}

func goesOn(yes bool) asking {
	return func(s *v1alpha1.SelfServicePurchaseSpec) { s.AutoRenew = &yes }
}

func givenUp(s *v1alpha1.SelfServicePurchaseSpec) { s.Cancelled = true }

func by(username string) asking {
	return func(s *v1alpha1.SelfServicePurchaseSpec) { s.Purchaser.Username = username }
}

// ask creates a purchase of one licence by Ada, changed as wanted.
func (d *desk) ask(name string, change ...asking) *v1alpha1.SelfServicePurchase {
	d.t.Helper()
	p := &v1alpha1.SelfServicePurchase{ObjectMeta: metav1.ObjectMeta{Namespace: d.customer, Name: name}, Spec: v1alpha1.SelfServicePurchaseSpec{
		ProductRef: v1alpha1.Reference{Name: d.name}, Type: v1alpha1.SelfServicePurchased, Quantity: 1, PaymentMethod: true,
		Purchaser: v1alpha1.Purchaser{Username: "ada", Person: v1alpha1.Person{Email: "ada@contoso.example"}},
	}}
	for _, f := range change {
		f(&p.Spec)
	}
	d.create(p)
	return p
}

// change changes what the purchaser wants, and returns when the API server took
// a cancellation.
func (d *desk) change(name string, change asking) time.Time {
	d.t.Helper()
	p := d.purchase(name)
	d.edit(p, func() { change(&p.Spec) })
	return taken.At(p, time.Time{}, "spec", "cancelled")
}

func (d *desk) purchase(name string) *v1alpha1.SelfServicePurchase {
	d.t.Helper()
	return get(d.t, &v1alpha1.SelfServicePurchase{}, d.customer, name)
}

// order is what is on record of a purchase, nil if nothing is.
func (d *desk) order(name string) *v1alpha1.SelfServiceOrder {
	d.t.Helper()
	o, err := d.purchases.Orders.OfLive(d.t.Context(), d.purchase(name))
	if err != nil {
		d.t.Fatal(err)
	}
	return o
}

func (d *desk) request(name string) ctrl.Request {
	return ctrl.Request{NamespacedName: client.ObjectKey{Namespace: d.customer, Name: name}}
}

// serve runs one pass over a purchase and returns it as it is then.
func (d *desk) serve(name string) (*v1alpha1.SelfServicePurchase, ctrl.Result) {
	d.t.Helper()
	p, res, err := d.tryServe(name)
	if err != nil {
		d.t.Fatal(err)
	}
	return p, res
}

func (d *desk) tryServe(name string) (*v1alpha1.SelfServicePurchase, ctrl.Result, error) {
	d.t.Helper()
	d.writes, d.events = nil, nil
	res, err := d.purchases.Reconcile(d.t.Context(), d.request(name))
	p := d.purchase(name)
	noteReasons(p)
	return p, res, err
}

// still checks that another pass, a second later, writes nothing.
func (d *desk) still(name string) {
	d.t.Helper()
	d.later(time.Second)
	before := d.purchase(name)
	after, _, err := d.tryServe(name)
	if err != nil || len(d.writes) > 0 || len(d.events) > 0 {
		d.t.Errorf("second pass wrote %v, told %v (%v)\n%s\n%s", d.writes, d.events, err, conditions(before), conditions(after))
	}
}

// sight is what a purchase looks like after a pass, and what that took.
type sight struct {
	state      v1alpha1.SelfServiceState
	conditions string
	message    string // a part of it
	kstatus    status.Status
	requeue    time.Duration
	writes     string
	told       string // the Events that were sent
}

// living is what a purchase looks like that can be used.
func living(state v1alpha1.SelfServiceState, message, writes, told string) sight {
	return sight{state: state, conditions: isLicensed, message: message, kstatus: status.CurrentStatus, requeue: longestSleep, writes: writes, told: told}
}

// over is what a purchase looks like that has ended for good.
func over(state v1alpha1.SelfServiceState, message, writes, told string) sight {
	return sight{state: state, conditions: isOver, message: message, kstatus: status.CurrentStatus, writes: writes, told: told}
}

// refused is what a purchase looks like that cannot be made.
func refused(reason, message string) sight {
	return sight{
		conditions: fmt.Sprintf("Ready=False(%s) Stalled=True(%s)", reason, reason), message: message,
		kstatus: status.FailedStatus, requeue: poll, writes: tellsBuyer,
	}
}

// check runs a pass, looks at what came of it, and that it was all there was to
// do.
func (d *desk) check(name string, want sight) *v1alpha1.SelfServicePurchase {
	d.t.Helper()
	p, res := d.serve(name)
	if p.Status.State != want.state {
		d.t.Errorf("state %q, want %q", p.Status.State, want.state)
	}
	if got := conditions(p); got != want.conditions {
		d.t.Errorf("conditions %s\nwant       %s", got, want.conditions)
	}
	if !strings.Contains(p.Status.Message, want.message) {
		d.t.Errorf("message %q, want %q in it", p.Status.Message, want.message)
	}
	if k := kstatus(d.t, p); k != want.kstatus {
		d.t.Errorf("kstatus %s, want %s", k, want.kstatus)
	}
	if res.RequeueAfter != want.requeue {
		d.t.Errorf("requeue after %v, want %v", res.RequeueAfter, want.requeue)
	}
	if got := strings.Join(d.writes, ", "); got != want.writes {
		d.t.Errorf("writes %s\nwant   %s", got, want.writes)
	}
	if got := strings.ReplaceAll(strings.Join(d.events, " "), name+" ", ""); got != want.told {
		d.t.Errorf("told %q, want %q", got, want.told)
	}
	d.still(name)
	return p
}

// later lets time pass.
func (d *desk) later(t time.Duration) { d.clock.SetTime(d.clock.Now().Add(t)) }

// ago sets the clock back to some time before now.
func (d *desk) ago(t time.Duration) {
	d.clock.SetTime(time.Now().UTC().Truncate(time.Second).Add(-t))
}

// takeOver does what the reconciler of takeovers does to an order.
func (d *desk) takeOver(name string, takeover v1alpha1.OrderTakeover) {
	d.t.Helper()
	_, _, err := d.purchases.Orders.Change(d.t.Context(), d.order(name).Name, func(o *v1alpha1.SelfServiceOrder, f *terms.Order) error {
		o.Spec.Takeover = &takeover
		f.End(terms.OrderTakenOver, d.clock.Now())
		return nil
	})
	if err != nil {
		d.t.Fatal(err)
	}
	d.writes = nil
}

// restore deletes a purchase and brings it back without status and with another
// UID.
func (d *desk) restore(name string) {
	d.t.Helper()
	p := d.purchase(name)
	d.remove(p)
	d.create(&v1alpha1.SelfServicePurchase{ObjectMeta: metav1.ObjectMeta{Namespace: p.Namespace, Name: p.Name}, Spec: p.Spec})
}

// judge runs a pass over a policy and returns it as it is then.
func (d *desk) judge(name string) *v1alpha1.SelfServicePolicy {
	d.t.Helper()
	d.writes = nil
	if _, err := d.policies.Reconcile(d.t.Context(), d.request(name)); err != nil {
		d.t.Fatal(err)
	}
	p := get(d.t, &v1alpha1.SelfServicePolicy{}, d.customer, name)
	noteReasons(p)
	return p
}
