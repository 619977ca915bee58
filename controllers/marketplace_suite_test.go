package controllers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/entitlements"
	"github.com/license-operator/license-operator/internal/signing"
	"github.com/license-operator/license-operator/internal/taken"
	"github.com/license-operator/license-operator/internal/terms"
)

// tokenMark is what every token begins with that is signed.
const tokenMark = "eyJ"

// Writes of a pass over a service.
const (
	buys         = "create v1alpha1.Entitlement"
	records      = "patch v1alpha1.Entitlement"
	delivers     = "create v1.Secret"
	redelivers   = "update v1.Secret"
	withdraws    = "delete v1.Secret"
	tells        = "patch status of v1alpha1.MarketplaceSubscription"
	recordsTells = records + ", " + tells
	buysAll      = buys + ", " + delivers + ", " + tells
)

// Conditions of a service in the states of its life.
const (
	isPending    = "ActionRequired=True(ConfigureAccount) Activated=False(AwaitingActivation) InSync=True(InSync) Ready=False(AwaitingActivation) Reconciling=True(AwaitingActivation)"
	isSubscribed = "ActionRequired=False(None) Activated=True(Activated) InSync=True(InSync) Ready=True(Subscribed)"
	isSuspended  = "ActionRequired=True(PaymentRequired) Activated=True(Activated) InSync=True(InSync) Ready=False(Suspended) Stalled=True(Suspended)"
	isReturning  = "ActionRequired=False(None) Activated=True(Activated) InSync=False(ChangePending) Ready=False(ChangePending) Reconciling=True(ChangePending)"
	isUnpaid     = "ActionRequired=True(ChangeRefused) Activated=True(Activated) InSync=False(RefusedByPublisher) Ready=False(Suspended) Stalled=True(Suspended)"
	isChanging   = "ActionRequired=False(None) Activated=True(Activated) InSync=False(ChangePending) Ready=True(Subscribed)"
	isRefused    = "ActionRequired=True(ChangeRefused) Activated=True(Activated) InSync=False(RefusedByPublisher) Ready=True(Subscribed)"
	isLate       = "ActionRequired=False(None) Activated=True(Activated) Cancelled=False(WindowClosed) InSync=True(InSync) Ready=True(Subscribed)"
)

// market is a catalogue with one service, its publisher and one customer, all
// with names of their own, so that tests do not meet.
type market struct {
	*shop    // name is that of the product and of the publisher
	wire     *wire
	services *MarketplaceSubscriptionReconciler
	// office is the record as the fulfilment service has it.
	office *entitlements.Record
}

// newMarket opens a market. Its service has three plans: basic, which is not
// sold by the seat, team with 2 to 20 seats and pro with 5 to 100.
func newMarket(t *testing.T) *market {
	t.Helper()
	name := fmt.Sprintf("market-%d", serial.Add(1))
	m := &market{shop: &shop{t: t, name: name, customer: name + "-customer"}, office: &entitlements.Record{Client: live, Live: live}}
	m.start(time.Now().UTC().Truncate(time.Second))
	m.create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: m.customer}})
	m.create(&v1alpha1.Publisher{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.PublisherSpec{
		DisplayName: "Analytics Inc.", LandingPageURL: "https://analytics.example/landing?offer=a%20b", WebhookURL: "https://analytics.example/webhook",
	}})
	m.create(m.product())
	return m
}

// start begins a new process: it has forgotten all that was in memory.
func (m *market) start(now time.Time) {
	m.process = newProcess(now)
	m.wire = &wire{Client: live}
	m.Client = m.wire
	m.services = &MarketplaceSubscriptionReconciler{
		Client: m.view, Live: live, Clock: m.clock, Entitlements: &entitlements.Record{Client: m.view, Live: live},
		Tokens: &signing.Signer{Client: live, Live: live, Namespace: operatorNamespace, Clock: m.clock},
	}
	m.products = reconcile.AsReconciler(client.Client(m.view), &ProductReconciler{Client: m.view, Clock: m.clock, Artifacts: noArtifacts})
}

// restart starts a new process in place of this one.
func (m *market) restart() { m.start(m.clock.Now()) }

func (m *market) product() *v1alpha1.Product {
	price := func(amount string) v1alpha1.Money { return v1alpha1.Money{Amount: amount, Currency: "EUR"} }
	return &v1alpha1.Product{ObjectMeta: metav1.ObjectMeta{Name: m.name}, Spec: v1alpha1.ProductSpec{
		DisplayName: "A service",
		SaaS: &v1alpha1.SaaSProduct{
			PublisherRef: v1alpha1.Reference{Name: m.name}, OfferID: "analytics",
			Plans: []v1alpha1.Plan{
				{ID: "basic", DisplayName: "Basic"},
				{ID: "team", DisplayName: "Team", Seats: &v1alpha1.SeatBounds{Min: 2, Max: 20}, Terms: []v1alpha1.TermOffer{
					{Term: v1alpha1.TermYear, Price: price("60.00")},
					{Term: v1alpha1.TermMonth, Price: price("6.00"), Cancellation: &v1alpha1.CancellationPolicy{Window: "P20D", Refund: v1alpha1.RefundProrated}},
				}},
				{ID: "pro", DisplayName: "Pro", Seats: &v1alpha1.SeatBounds{Min: 5, Max: 100}, Terms: []v1alpha1.TermOffer{
					{Term: v1alpha1.TermYear, Price: price("120.00")},
				}},
			},
		},
		Terms: []v1alpha1.TermOffer{{Term: v1alpha1.TermYear, Price: price("100.00")}, {Term: v1alpha1.TermMonth, Price: price("10.00")}},
	}}
}

func (m *market) editProduct(change func(*v1alpha1.Product)) {
	m.t.Helper()
	p := m.product()
	m.edit(p, func() { change(p) })
}

func (m *market) editPublisher(change func(*v1alpha1.Publisher)) {
	m.t.Helper()
	p := &v1alpha1.Publisher{ObjectMeta: metav1.ObjectMeta{Name: m.name}}
	m.edit(p, func() { change(p) })
}

func (m *market) remove(o client.Object) {
	m.t.Helper()
	if err := live.Delete(m.t.Context(), o); err != nil {
		m.t.Fatal(err)
	}
}

type wanting = func(*v1alpha1.MarketplaceSubscriptionSpec)

func planned(id string, seats int64) wanting {
	return func(s *v1alpha1.MarketplaceSubscriptionSpec) { s.PlanID, s.Quantity = id, seats }
}

func monthly(s *v1alpha1.MarketplaceSubscriptionSpec) { s.Term = v1alpha1.TermMonth }

func suspended(yes bool) wanting {
	return func(s *v1alpha1.MarketplaceSubscriptionSpec) { s.Suspended = yes }
}

func renewing(yes bool) wanting {
	return func(s *v1alpha1.MarketplaceSubscriptionSpec) { s.AutoRenew = &yes }
}

func cancelled(yes bool) wanting {
	return func(s *v1alpha1.MarketplaceSubscriptionSpec) { s.Cancelled = yes }
}

// order creates a yearly subscription of 5 seats of plan team, changed as wanted.
func (m *market) order(name string, change ...wanting) *v1alpha1.MarketplaceSubscription {
	m.t.Helper()
	sub := &v1alpha1.MarketplaceSubscription{
		ObjectMeta: metav1.ObjectMeta{Namespace: m.customer, Name: name},
		Spec:       v1alpha1.MarketplaceSubscriptionSpec{ProductRef: v1alpha1.Reference{Name: m.name}, PlanID: "team", Quantity: 5, Term: v1alpha1.TermYear},
	}
	for _, f := range change {
		f(&sub.Spec)
	}
	m.create(sub)
	return sub
}

// want changes what the customer wants, and returns when the API server took
// that.
func (m *market) want(name string, change wanting) time.Time {
	m.t.Helper()
	sub := m.sub(name)
	before := sub.DeepCopy()
	change(&sub.Spec)
	if err := live.Patch(m.t.Context(), sub, client.MergeFrom(before)); err != nil {
		m.t.Fatal(err)
	}
	field := "suspended"
	if sub.Spec.Cancelled {
		field = "cancelled"
	}
	return taken.At(sub, time.Time{}, "spec", field)
}

func (m *market) sub(name string) *v1alpha1.MarketplaceSubscription {
	m.t.Helper()
	return get(m.t, &v1alpha1.MarketplaceSubscription{}, m.customer, name)
}

func (m *market) request(name string) ctrl.Request {
	return ctrl.Request{NamespacedName: client.ObjectKey{Namespace: m.customer, Name: name}}
}

// follow runs one pass over a subscription and returns it as it is then.
func (m *market) follow(name string) (*v1alpha1.MarketplaceSubscription, ctrl.Result) {
	m.t.Helper()
	sub, res, err := m.tryFollow(name)
	if err != nil {
		m.t.Fatal(err)
	}
	return sub, res
}

func (m *market) tryFollow(name string) (*v1alpha1.MarketplaceSubscription, ctrl.Result, error) {
	m.t.Helper()
	m.writes, m.events = nil, nil
	res, err := m.services.Reconcile(m.t.Context(), m.request(name))
	sub := m.sub(name)
	noteReasons(sub)
	return sub, res, err
}

// still checks that another pass, a second later, writes nothing.
func (m *market) still(name string) {
	m.t.Helper()
	m.later(time.Second)
	before := m.sub(name)
	after, _, err := m.tryFollow(name)
	if err != nil || len(m.writes) > 0 || len(m.events) > 0 {
		m.t.Errorf("second pass wrote %v, told %v (%v)\n%s\n%s", m.writes, m.events, err, conditions(before), conditions(after))
	}
}

// looks is what a subscription looks like after a pass, and what that took.
type looks struct {
	state      v1alpha1.MarketplaceState
	conditions string
	message    string // a part of it
	kstatus    status.Status
	requeue    time.Duration
	writes     string
	told       string // the Events that were sent
}

// runs is what a service looks like that can be used.
func runs(conditions, message, writes, told string) looks {
	return looks{
		state: v1alpha1.StateSubscribed, conditions: conditions, message: message,
		kstatus: status.CurrentStatus, requeue: longestSleep, writes: writes, told: told,
	}
}

// isEnded is what a service looks like that has ended for good.
func isEnded(conditions, message, writes, told string) looks {
	return looks{state: v1alpha1.StateUnsubscribed, conditions: conditions, message: message, kstatus: status.CurrentStatus, writes: writes, told: told}
}

// check runs a pass, looks at what came of it, and that it was all there was to
// do.
func (m *market) check(name string, want looks) *v1alpha1.MarketplaceSubscription {
	m.t.Helper()
	sub, res := m.follow(name)
	if sub.Status.State != want.state {
		m.t.Errorf("state %q, want %q", sub.Status.State, want.state)
	}
	if got := conditions(sub); got != want.conditions {
		m.t.Errorf("conditions %s\nwant       %s", got, want.conditions)
	}
	if !strings.Contains(sub.Status.Message, want.message) {
		m.t.Errorf("message %q, want %q in it", sub.Status.Message, want.message)
	}
	if k := kstatus(m.t, sub); k != want.kstatus {
		m.t.Errorf("kstatus %s, want %s", k, want.kstatus)
	}
	if res.RequeueAfter != want.requeue {
		m.t.Errorf("requeue after %v, want %v", res.RequeueAfter, want.requeue)
	}
	if got := strings.Join(m.writes, ", "); got != want.writes {
		m.t.Errorf("writes %s\nwant   %s", got, want.writes)
	}
	if got := strings.ReplaceAll(strings.Join(m.events, " "), name+" ", ""); got != want.told {
		m.t.Errorf("told %q, want %q", got, want.told)
	}
	m.still(name)
	return sub
}

// later lets time pass.
func (m *market) later(d time.Duration) { m.clock.SetTime(m.clock.Now().Add(d)) }

// ago sets the clock back to some time before now, which is when a subscription
// that is ordered next is bought.
func (m *market) ago(d time.Duration) {
	m.clock.SetTime(time.Now().UTC().Truncate(time.Second).Add(-d))
}

// entitlements are the purchases under a name, the first one first.
func (m *market) entitlements(name string) []v1alpha1.Entitlement {
	m.t.Helper()
	all, err := m.office.OfLive(m.t.Context(), m.customer, name)
	if err != nil {
		m.t.Fatal(err)
	}
	return all
}

// entitlement is the only purchase under a name.
func (m *market) entitlement(name string) *v1alpha1.Entitlement {
	m.t.Helper()
	all := m.entitlements(name)
	if len(all) != 1 {
		m.t.Fatalf("%d entitlements under %s, want one", len(all), name)
	}
	return &all[0]
}

// publisher does something that the fulfilment service does for the publisher.
func (m *market) publisher(name string, does func(*terms.Entitlement)) {
	m.t.Helper()
	all := m.entitlements(name)
	_, _, err := m.office.Change(m.t.Context(), all[len(all)-1].Name, m.clock.Now(), func(_ *v1alpha1.Entitlement, f *terms.Entitlement) error {
		does(f)
		return nil
	})
	if err != nil {
		m.t.Fatal(err)
	}
}

// activate is the publisher's activation of a purchase.
func (m *market) activate(name string) {
	m.t.Helper()
	m.publisher(name, func(f *terms.Entitlement) { f.Activate(m.clock.Now()) })
}

// deliver is the webhook's taking of all that the publisher is to be told.
// Unless refused is empty it refuses.
func (m *market) deliver(name, refused string) {
	m.t.Helper()
	m.publisher(name, func(f *terms.Entitlement) {
		for _, op := range f.Operations {
			f.Deliver(op.ID, refused, m.clock.Now())
		}
	})
}

func (m *market) answer(name string, accepted bool, why string) {
	m.t.Helper()
	m.publisher(name, func(f *terms.Entitlement) { f.Answer(accepted, why, m.clock.Now()) })
}

// subscribed orders a subscription, and has it bought and activated.
func (m *market) subscribed(name string, change ...wanting) *v1alpha1.MarketplaceSubscription {
	m.t.Helper()
	m.order(name, change...)
	m.follow(name)
	m.activate(name)
	sub, _ := m.follow(name)
	if sub.Status.State != v1alpha1.StateSubscribed {
		m.t.Fatalf("%s: %s", sub.Status.State, conditions(sub))
	}
	return sub
}

// operations writes what was asked for on one line: "ChangePlan=Succeeded".
func (m *market) operations(name string) string {
	m.t.Helper()
	all := m.entitlements(name)
	var ops []string
	for _, op := range all[len(all)-1].Spec.Operations {
		ops = append(ops, fmt.Sprintf("%s=%s", op.Action, op.Status))
	}
	return strings.Join(ops, " ")
}

// landing is the link to the publisher's site in a Secret of the customer, empty
// if there is none.
func (m *market) landing(secret string) string {
	m.t.Helper()
	data := m.secret(secret)
	if len(data) > 1 || len(data) == 1 && data[entryLandingPage] == "" {
		m.t.Errorf("Secret %s has %v", secret, slices.Collect(maps.Keys(data)))
	}
	return data[entryLandingPage]
}

// errLine is what becomes of a call whose connection breaks.
var errLine = errors.New("the connection was lost")

// wire is the way to the API server: what is read through it can be late, and of
// what is written the request or the answer can be lost.
type wire struct {
	client.Client
	lateEntitlements bool // sees none
	lateLists        int  // so many lists of them see none
	lateSecrets      bool // sees none
	elsewhere        bool // serves other customers: sees no subscriptions
	stale            *v1alpha1.MarketplaceSubscription

	written atomic.Int32
	breakAt int32 // the number of the write that fails, from 1; 0: none
	after   bool  // it was carried out, and its answer is lost
}

func (w *wire) write(do func() error) error {
	if w.written.Add(1) != w.breakAt {
		return do()
	}
	if w.after {
		if err := do(); err != nil {
			return err
		}
	}
	return errLine
}

func (w *wire) Create(ctx context.Context, o client.Object, opts ...client.CreateOption) error {
	return w.write(func() error { return w.Client.Create(ctx, o, opts...) })
}

func (w *wire) Update(ctx context.Context, o client.Object, opts ...client.UpdateOption) error {
	return w.write(func() error { return w.Client.Update(ctx, o, opts...) })
}

func (w *wire) Delete(ctx context.Context, o client.Object, opts ...client.DeleteOption) error {
	return w.write(func() error { return w.Client.Delete(ctx, o, opts...) })
}

func (w *wire) Patch(ctx context.Context, o client.Object, p client.Patch, opts ...client.PatchOption) error {
	return w.write(func() error { return w.Client.Patch(ctx, o, p, opts...) })
}

func (w *wire) Status() client.SubResourceWriter { return statusWire{w.Client.Status(), w} }

type statusWire struct {
	client.SubResourceWriter
	w *wire
}

func (s statusWire) Patch(ctx context.Context, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
	return s.w.write(func() error { return s.SubResourceWriter.Patch(ctx, o, p, opts...) })
}

func (w *wire) Get(ctx context.Context, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
	switch o := o.(type) {
	case *v1alpha1.MarketplaceSubscription:
		if w.stale != nil {
			w.stale.DeepCopyInto(o)
			return nil
		}
		if w.elsewhere {
			return apierrors.NewNotFound(v1alpha1.GroupVersion.WithResource("marketplacesubscriptions").GroupResource(), key.Name)
		}
	case *corev1.Secret:
		if w.lateSecrets {
			return apierrors.NewNotFound(corev1.Resource("secrets"), key.Name)
		}
	}
	return w.Client.Get(ctx, key, o, opts...)
}

func (w *wire) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	if _, ok := list.(*v1alpha1.EntitlementList); ok && (w.lateEntitlements || w.lateLists > 0) {
		w.lateLists--
		return nil
	}
	return w.Client.List(ctx, list, opts...)
}

// reasonMessage is the message of a condition.
func reasonMessage(o object, typ string) string {
	if c := meta.FindStatusCondition(*o.Conditions(), typ); c != nil {
		return c.Message
	}
	return ""
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
