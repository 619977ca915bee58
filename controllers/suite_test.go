package controllers

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"go.uber.org/zap/zapcore"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/artifacts"
	"github.com/license-operator/license-operator/internal/entitlements"
	"github.com/license-operator/license-operator/internal/keys"
	"github.com/license-operator/license-operator/internal/ledger"
	"github.com/license-operator/license-operator/test/controlplane"
)

// The tests of this package call the reconcilers, one pass at a time, on a
// real API server and with a clock that they step. Nothing runs beside them.

const operatorNamespace = "license-operator-system"

var (
	apiServer *rest.Config // of an administrator
	live      client.Client
	scheme    = runtime.NewScheme()
	serial    atomic.Int32
)

func TestMain(m *testing.M) {
	os.Exit(runSuite(m))
}

func runSuite(m *testing.M) int {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "controllers-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	cluster, err := controlplane.Start(ctx, controlplane.Options{Dir: dir})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer cluster.Stop()
	for _, part := range []string{"namespace", "crd"} {
		if _, err := cluster.Run(ctx, "apply", "--server-side", "-k", filepath.Join("..", "config", part)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	if _, err := cluster.Run(ctx, "wait", "--for=condition=Established", "crd", "--all"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	_ = clientgoscheme.AddToScheme(scheme)
	_ = v1alpha1.AddToScheme(scheme)
	apiServer = cluster.Config
	if live, err = client.New(apiServer, client.Options{Scheme: scheme}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	ctrl.SetLogger(zap.New(zap.WriteTo(&logged), zap.Level(zapcore.Level(-5))))
	if code := m.Run(); code != 0 {
		return code
	}
	// The keys of these tests have -KEY in them, and a token that is signed begins
	// with tokenMark. Both may occur nowhere but in Secrets.
	const kinds = "products,keyissuers,licensekeys,softwaresubscriptions,publishers,marketplacesubscriptions,entitlements," +
		"selfservicepolicies,selfservicepurchases,selfserviceorders,licenseassignments,seats,takeovers,partneragreements,partnerregistrations,partnerrequesters,notifications,events"
	objects, err := cluster.Run(ctx, "get", kinds, "-A", "-o", "yaml", "--show-managed-fields")
	whole := flag.Lookup("test.run").Value.String() == "" && flag.Lookup("test.skip").Value.String() == ""
	if err != nil || whole && logged.Len() == 0 {
		fmt.Fprintln(os.Stderr, "FAIL: there is nothing to look for keys in", err)
		return 1
	}
	for _, secret := range []string{"-KEY", tokenMark, smtpPassword} {
		if strings.Contains(objects, secret) || strings.Contains(logged.String(), secret) {
			fmt.Fprintln(os.Stderr, "FAIL: a key or a token occurs in an object or in the log:", secret)
			return 1
		}
	}
	if err := numbersFound(ctx, logged.String()); err != nil {
		fmt.Fprintln(os.Stderr, "FAIL: what proves who a customer is occurs outside of his agreement and its registrations:", err)
		return 1
	}
	if missing := reasonsNeverSeen(); whole && len(missing) > 0 {
		fmt.Fprintln(os.Stderr, "FAIL: no test produces these conditions:", missing)
		return 1
	}
	return 0
}

// syncBuffer is what the reconcilers log.
type syncBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

var logged syncBuffer

// process is what one running operator has: its view of the cluster and its
// memory.
type process struct {
	*view
	clock    *clocktesting.FakePassiveClock
	subs     *SoftwareSubscriptionReconciler
	issuers  *KeyIssuerReconciler
	products reconcile.Reconciler
	woken    <-chan event.GenericEvent
}

func newProcess(now time.Time) *process {
	v := &view{Client: live}
	clock := clocktesting.NewFakePassiveClock(now)
	book := &ledger.Ledger{Client: v, Live: live}
	registry := keys.NewRegistry()
	wake := make(chan event.GenericEvent, 1000)
	return &process{
		view: v, clock: clock, woken: wake,
		subs:     &SoftwareSubscriptionReconciler{Client: v, Live: live, Clock: clock, Ledger: book, Keys: registry, Wake: wake, DownloadsURL: "https://downloads.example"},
		issuers:  &KeyIssuerReconciler{Client: v, Live: live, Stock: live, Namespace: operatorNamespace, Clock: clock, Ledger: book, Keys: registry, Wake: wake},
		products: reconcile.AsReconciler(client.Client(v), &ProductReconciler{Client: v, Clock: clock, Artifacts: noArtifacts}),
	}
}

// noArtifacts is a store that is not there.
var noArtifacts = sync.OnceValue(func() *artifacts.Store {
	store, err := artifacts.Open("file:///nowhere")
	if err != nil {
		panic(err)
	}
	return store
})()

// restart forgets all that was in memory.
func (p *process) restart() *process { return newProcess(p.clock.Now()) }

// view stands for the manager's cached client: it has the same indexes, it
// sees our Secrets only and of those the fingerprints, and it can be late. It
// also notes what is written.
type view struct {
	client.Client
	lateLedger bool // sees no ledger entries
	failEvents bool

	mu     sync.Mutex
	writes []string
	events []string // "<name> <reason>"
}

func (v *view) note(verb string, o client.Object, err error) error {
	if err == nil {
		v.mu.Lock()
		defer v.mu.Unlock()
		if e, ok := o.(*eventsv1.Event); ok {
			v.events = append(v.events, e.Regarding.Name+" "+e.Reason)
			return nil
		}
		v.writes = append(v.writes, verb+" "+strings.TrimPrefix(fmt.Sprintf("%T", o), "*"))
	}
	return err
}

func (v *view) Create(ctx context.Context, o client.Object, opts ...client.CreateOption) error {
	if _, ok := o.(*eventsv1.Event); ok && v.failEvents {
		return errEvents
	}
	return v.note("create", o, v.Client.Create(ctx, o, opts...))
}

func (v *view) Update(ctx context.Context, o client.Object, opts ...client.UpdateOption) error {
	return v.note("update", o, v.Client.Update(ctx, o, opts...))
}

func (v *view) Delete(ctx context.Context, o client.Object, opts ...client.DeleteOption) error {
	return v.note("delete", o, v.Client.Delete(ctx, o, opts...))
}

func (v *view) Patch(ctx context.Context, o client.Object, p client.Patch, opts ...client.PatchOption) error {
	return v.note("patch", o, v.Client.Patch(ctx, o, p, opts...))
}

func (v *view) Status() client.SubResourceWriter { return statusWriter{v.Client.Status(), v} }

type statusWriter struct {
	client.SubResourceWriter
	v *view
}

func (w statusWriter) Patch(ctx context.Context, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
	return w.v.note("patch status of", o, w.SubResourceWriter.Patch(ctx, o, p, opts...))
}

func (v *view) Get(ctx context.Context, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
	if err := v.Client.Get(ctx, key, o, opts...); err != nil {
		return err
	}
	secret, ok := o.(*corev1.Secret)
	if !ok {
		return nil
	}
	if secret.Labels[v1alpha1.LabelManagedBy] != v1alpha1.ManagedByOperator {
		return apierrors.NewNotFound(corev1.Resource("secrets"), key.Name)
	}
	small, err := FingerprintSecret(secret)
	*secret = *small.(*corev1.Secret)
	return err
}

func (v *view) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	o := (&client.ListOptions{}).ApplyOptions(opts)
	selector := o.FieldSelector
	o.FieldSelector, o.UnsafeDisableDeepCopy = nil, nil
	if err := v.Client.List(ctx, list, o); err != nil || selector == nil {
		return err
	}
	items, err := meta.ExtractList(list)
	if err != nil {
		return err
	}
	items = slices.DeleteFunc(items, func(item runtime.Object) bool {
		if _, ok := item.(*v1alpha1.LicenseKey); ok && v.lateLedger {
			return true
		}
		for _, req := range selector.Requirements() {
			index, ok := indexOf(item, req.Field)
			if !ok {
				panic(fmt.Sprintf("%T has no index %s", item, req.Field))
			}
			if !slices.Contains(index(item.(client.Object)), req.Value) {
				return true
			}
		}
		return false
	})
	return meta.SetList(list, items)
}

func indexOf(o runtime.Object, field string) (client.IndexerFunc, bool) {
	switch o.(type) {
	case *v1alpha1.LicenseKey:
		f, ok := ledger.Indexes[field]
		return f, ok
	case *v1alpha1.SoftwareSubscription:
		f, ok := subscriptionIndexes[field]
		return f, ok
	case *v1alpha1.Product:
		return func(o client.Object) []string {
			if software := o.(*v1alpha1.Product).Spec.Software; software != nil {
				return []string{software.Keys.IssuerRef.Name}
			}
			return nil
		}, field == indexProductIssuer
	case *v1alpha1.Entitlement:
		f, ok := entitlements.Indexes[field]
		return f, ok
	case *v1alpha1.SelfServicePurchase:
		f, ok := purchaseIndexes[field]
		return f, ok
	case *v1alpha1.SelfServiceOrder:
		f, ok := orderIndexes[field]
		return f, ok
	case *v1alpha1.LicenseAssignment, *v1alpha1.Seat:
		f, ok := seatIndexes[field]
		return f, ok
	case *v1alpha1.Takeover:
		f, ok := takeoverIndexes[field]
		return f, ok
	case *v1alpha1.PartnerAgreement:
		f, ok := agreementIndexes[field]
		return f, ok
	case *v1alpha1.PartnerRegistration:
		f, ok := registrationIndexes[field]
		return f, ok
	}
	return nil, false
}

// shop is a catalogue with one product, its issuer, and one customer, all with
// names of their own, so that tests do not meet.
type shop struct {
	t        *testing.T
	name     string // of product, issuer and pool
	customer string
	*process
}

// newShop opens a shop that sells keys of a pool.
func newShop(t *testing.T, stock ...string) *shop {
	t.Helper()
	name := fmt.Sprintf("shop-%d", serial.Add(1))
	s := &shop{t: t, name: name, customer: name + "-customer", process: newProcess(time.Now().UTC().Truncate(time.Second))}
	s.create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.customer}})
	s.create(&v1alpha1.KeyIssuer{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.KeyIssuerSpec{
		Pool: &v1alpha1.KeyPool{SecretSelector: metav1.LabelSelector{MatchLabels: map[string]string{"pool": name}}, LowWatermark: 2},
	}})
	s.create(s.product())
	if len(stock) > 0 {
		s.topUp("first", strings.Join(stock, "\n"))
	}
	s.lookAtIssuer()
	return s
}

func (s *shop) product() *v1alpha1.Product {
	eur := func(amount string) v1alpha1.Money { return v1alpha1.Money{Amount: amount, Currency: "EUR"} }
	return &v1alpha1.Product{ObjectMeta: metav1.ObjectMeta{Name: s.name}, Spec: v1alpha1.ProductSpec{
		DisplayName: "A product",
		Software: &v1alpha1.SoftwareProduct{
			Keys: v1alpha1.ProductKeys{IssuerRef: v1alpha1.Reference{Name: s.name}, Per: v1alpha1.KeysPerSubscription},
			Versions: []v1alpha1.ProductVersion{
				{Version: "2024", Builds: []v1alpha1.ProductBuild{{Language: "en-US", Architecture: "x64", Artifact: "a", SHA256: strings.Repeat("0", 64)}}},
				{Version: "2021"}, {Version: "2019"}, {Version: "2016"},
			},
			DowngradeVersions: 2,
		},
		Terms: []v1alpha1.TermOffer{
			{Term: v1alpha1.TermYear, Price: eur("120.00")},
			{Term: v1alpha1.TermMonth, Price: eur("12.00")},
			{Term: v1alpha1.TermPerpetual, Price: eur("499.00")},
		},
	}}
}

func (s *shop) create(o client.Object) {
	s.t.Helper()
	if err := live.Create(s.t.Context(), o); err != nil {
		s.t.Fatal(err)
	}
}

// key makes a key of a test, such as KEY-0001, one of this shop: no key is ever
// sold by two issuers. secret undoes it.
func (s *shop) key(short string) string { return strings.ReplaceAll(short, "KEY-", s.name+"-KEY-") }

// topUp adds a Secret to the pool.
func (s *shop) topUp(name, content string) {
	s.t.Helper()
	s.create(&corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: operatorNamespace, Name: s.name + "-" + name, Labels: map[string]string{"pool": s.name}},
		Data:       map[string][]byte{"keys": []byte(s.key(content))},
	})
}

func (s *shop) edit(o client.Object, change func()) {
	s.t.Helper()
	if err := live.Get(s.t.Context(), client.ObjectKeyFromObject(o), o); err != nil {
		s.t.Fatal(err)
	}
	change()
	if err := live.Update(s.t.Context(), o); err != nil {
		s.t.Fatal(err)
	}
}

func (s *shop) lookAtIssuer() *v1alpha1.KeyIssuer {
	s.t.Helper()
	if _, err := s.issuers.Reconcile(s.t.Context(), ctrl.Request{NamespacedName: client.ObjectKey{Name: s.name}}); err != nil {
		s.t.Fatal(err)
	}
	return get(s.t, &v1alpha1.KeyIssuer{}, "", s.name)
}

// buy creates a yearly subscription of 25 licences, changed as wanted.
func (s *shop) buy(name string, change ...func(*v1alpha1.SoftwareSubscription)) *v1alpha1.SoftwareSubscription {
	s.t.Helper()
	sub := &v1alpha1.SoftwareSubscription{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.customer, Name: name},
		Spec:       v1alpha1.SoftwareSubscriptionSpec{ProductRef: v1alpha1.Reference{Name: s.name}, Quantity: 25, Term: v1alpha1.TermYear},
	}
	for _, f := range change {
		f(sub)
	}
	s.create(sub)
	return sub
}

// pass runs one pass over a subscription and returns it as it is then.
func (s *shop) pass(name string) (*v1alpha1.SoftwareSubscription, ctrl.Result) {
	s.t.Helper()
	sub, res, err := s.tryPass(name)
	if err != nil {
		s.t.Fatal(err)
	}
	return sub, res
}

func (s *shop) tryPass(name string) (*v1alpha1.SoftwareSubscription, ctrl.Result, error) {
	s.t.Helper()
	res, err := s.subs.Reconcile(s.t.Context(), ctrl.Request{NamespacedName: client.ObjectKey{Namespace: s.customer, Name: name}})
	return get(s.t, &v1alpha1.SoftwareSubscription{}, s.customer, name), res, err
}

// quiet checks that another pass, a second later, writes nothing.
func (s *shop) quiet(name string) {
	s.t.Helper()
	s.clock.SetTime(s.clock.Now().Add(time.Second))
	s.writes = nil
	if _, err := s.subs.Reconcile(s.t.Context(), ctrl.Request{NamespacedName: client.ObjectKey{Namespace: s.customer, Name: name}}); err != nil {
		s.t.Errorf("second pass: %v", err)
	}
	if len(s.writes) > 0 {
		s.t.Errorf("second pass wrote: %v", s.writes)
	}
}

func (s *shop) entries() []v1alpha1.LicenseKey {
	s.t.Helper()
	var list v1alpha1.LicenseKeyList
	if err := live.List(s.t.Context(), &list, client.MatchingFields{"spec.customer": s.customer}); err != nil {
		s.t.Fatal(err)
	}
	return list.Items
}

// secret returns the content of a Secret of the customer, nil if there is none.
func (s *shop) secret(name string) map[string]string {
	s.t.Helper()
	var secret corev1.Secret
	err := live.Get(s.t.Context(), client.ObjectKey{Namespace: s.customer, Name: name}, &secret)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		s.t.Fatal(err)
	}
	data := map[string]string{}
	for k, v := range secret.Data {
		data[k] = strings.ReplaceAll(string(v), s.name+"-KEY-", "KEY-")
	}
	return data
}

func get[T client.Object](t *testing.T, o T, namespace, name string) T {
	t.Helper()
	if err := live.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, o); err != nil {
		t.Fatal(err)
	}
	return o
}

// conditions writes the conditions of an object on one line: "Ready=True(Reason)".
func conditions(o object) string {
	var all []string
	for _, c := range *o.Conditions() {
		all = append(all, fmt.Sprintf("%s=%s(%s)", c.Type, c.Status, c.Reason))
		if c.ObservedGeneration != o.GetGeneration() {
			all[len(all)-1] += "@stale"
		}
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

func kstatus(t *testing.T, o client.Object) status.Status {
	t.Helper()
	u, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
	if err != nil {
		t.Fatal(err)
	}
	obj := &unstructured.Unstructured{Object: u}
	obj.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("Any"))
	k, err := status.Compute(obj)
	if err != nil {
		t.Fatal(err)
	}
	return k.Status
}
