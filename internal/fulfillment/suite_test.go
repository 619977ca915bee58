package fulfillment

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap/zapcore"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/clientcmd"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/cluster"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/entitlements"
	"github.com/license-operator/license-operator/internal/saasapi"
	"github.com/license-operator/license-operator/internal/signing"
	"github.com/license-operator/license-operator/internal/terms"
	"github.com/license-operator/license-operator/test/apiproxy"
	"github.com/license-operator/license-operator/test/controlplane"
)

// The tests of this package speak HTTP with services that listen. These run as
// their own account, with a real cache, on a real API server that a proxy can
// take away, and with a clock that the tests step.

const operatorNamespace = "license-operator-system"

var (
	plane    *controlplane.ControlPlane
	live     client.Client // an administrator's
	scheme   = runtime.NewScheme()
	proxy    *apiproxy.Proxy
	operator cluster.Cluster
	logged   syncBuffer
	serial   atomic.Int32
	secrets  sync.Map // every token that a test has used
)

func TestMain(m *testing.M) {
	os.Exit(runSuite(m))
}

// dumped is a line of a binary body that a client of the API server logs.
var dumped = regexp.MustCompile(`\|([^|]{1,100})\|`)

func runSuite(m *testing.M) int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	dir, err := os.MkdirTemp("", "fulfillment-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	logger := zap.New(zap.WriteTo(&logged), zap.Level(zapcore.Level(-10)))
	ctrl.SetLogger(logger)
	if plane, err = controlplane.Start(ctx, controlplane.Options{Dir: dir}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer plane.Stop()
	if err := setUp(log.IntoContext(ctx, logger), dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if code := m.Run(); code != 0 {
		return code
	}
	// Whoever reads the log must not be able to act for a publisher, or a buyer.
	text, leaked := logged.String(), false
	for _, line := range dumped.FindAllStringSubmatch(text, -1) {
		text += line[1]
	}
	secrets.Range(func(token, _ any) bool {
		leaked = leaked || strings.Contains(text, token.(string))
		return true
	})
	if leaked || !strings.Contains(text, "serving the fulfilment API") {
		fmt.Fprintln(os.Stderr, "FAIL: a token is in the log, or nothing was logged")
		return 1
	}
	return 0
}

func setUp(ctx context.Context, dir string) error {
	for _, part := range []string{"namespace", "crd", "rbac"} {
		if _, err := plane.Run(ctx, "apply", "--server-side", "-k", filepath.Join("..", "..", "config", part)); err != nil {
			return err
		}
	}
	if _, err := plane.Run(ctx, "wait", "--for=condition=Established", "crd", "--all"); err != nil {
		return err
	}
	_ = clientgoscheme.AddToScheme(scheme)
	_ = v1alpha1.AddToScheme(scheme)
	var err error
	if live, err = client.New(plane.Config, client.Options{Scheme: scheme}); err != nil {
		return err
	}
	own, err := plane.ServiceAccountKubeconfig(ctx, operatorNamespace, "license-operator-fulfillment")
	if err != nil {
		return err
	}
	if proxy, err = apiproxy.Start(ctx, plane.Config); err != nil {
		return err
	}
	if err := proxy.Kubeconfig(filepath.Join(dir, "proxied"), own); err != nil {
		return err
	}
	account, err := clientcmd.BuildConfigFromFlags("", filepath.Join(dir, "proxied"))
	if err != nil {
		return err
	}
	account.QPS = -1
	if operator, err = cluster.New(account, func(o *cluster.Options) { o.Scheme = scheme }); err != nil {
		return err
	}
	if err := entitlements.Register(ctx, operator.GetFieldIndexer()); err != nil {
		return err
	}
	go func() { _ = operator.Start(ctx) }()
	for _, kind := range []client.Object{new(v1alpha1.Product), new(v1alpha1.Publisher), new(v1alpha1.Entitlement)} {
		if _, err := operator.GetCache().GetInformer(ctx, kind); err != nil { // waits until it is filled
			return err
		}
	}
	return nil
}

// syncBuffer is what the services log.
type syncBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.String()
}

const (
	day  = 24 * time.Hour
	base = "https://fulfilment.example"
)

// market is a publisher with an account, its product, a customer, and a service.
type market struct {
	t         *testing.T
	name      string // of customer, product and publisher
	began     time.Time
	clock     *clocktesting.FakePassiveClock
	svc       *Service
	url       string // of the service
	token     string // of the publisher's account
	purchases *purchases
}

// purchases are the purchase tokens that are good.
type purchases struct {
	mu  sync.Mutex
	ids map[string]string
	err error
}

func (p *purchases) PurchaseToken(_ context.Context, token string, _ time.Time) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return "", p.err
	}
	if id, ok := p.ids[token]; ok {
		return id, nil
	}
	return "", fmt.Errorf("no such token: %w", signing.ErrInvalid)
}

type publicKeys struct{ err error }

func (k publicKeys) PublicKeys(context.Context) ([]byte, error) { return []byte(`{"keys":[]}`), k.err }

// newMarket opens a market whose service listens. The functions change the
// service before.
func newMarket(t *testing.T, change ...func(*Service)) *market {
	t.Helper()
	m := &market{t: t, name: fmt.Sprintf("m-%d", serial.Add(1)), began: time.Date(2026, 3, 4, 10, 15, 0, 0, time.UTC)}
	m.clock = clocktesting.NewFakePassiveClock(m.began)
	m.purchases = &purchases{ids: map[string]string{}}
	m.create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: m.name}})
	m.create(m.product())
	m.publisher(m.name, v1alpha1.Subject{Kind: "ServiceAccount", Namespace: m.name, Name: "saas"})
	m.token = m.account("saas", audience)
	m.svc = &Service{Client: operator.GetClient(), Live: operator.GetAPIReader(), Clock: m.clock, Tokens: m.purchases, Keys: publicKeys{}, BaseURL: base,
		MaxReviews: 1000, MaxSearches: 1000, APITimeout: 20 * time.Second}
	for _, f := range change {
		f(m.svc)
	}
	m.start()
	return m
}

func (m *market) publisher(name string, subjects ...v1alpha1.Subject) {
	m.t.Helper()
	p := &v1alpha1.Publisher{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.PublisherSpec{
		DisplayName: "Fourth Coffee", LandingPageURL: "https://coffee.example/landing", WebhookURL: "https://coffee.example/webhook", Subjects: subjects,
	}}
	m.create(p)
	m.cached(p)
}

func (m *market) product() *v1alpha1.Product {
	price := func(amount string) []v1alpha1.TermOffer {
		return []v1alpha1.TermOffer{{Term: v1alpha1.TermMonth, Price: v1alpha1.Money{Amount: amount, Currency: "EUR"}}}
	}
	return &v1alpha1.Product{ObjectMeta: metav1.ObjectMeta{Name: m.name}, Spec: v1alpha1.ProductSpec{
		DisplayName: "Coffee Analytics", Terms: price("4.00"),
		SaaS: &v1alpha1.SaaSProduct{PublisherRef: v1alpha1.Reference{Name: m.name}, OfferID: "coffee", Plans: []v1alpha1.Plan{
			{ID: "silver", DisplayName: "Silver", Description: "Plain", Seats: &v1alpha1.SeatBounds{Min: 2, Max: 100}},
			{ID: "gold", DisplayName: "Gold", Seats: &v1alpha1.SeatBounds{Min: 1, Max: 50}, Terms: price("9.50"), Trial: "P30D"},
			{ID: "team", DisplayName: "Team", Seats: &v1alpha1.SeatBounds{Min: 20, Max: 50}},
			{ID: "flat", DisplayName: "Flat", Terms: price("80.00")},
			{ID: "old", DisplayName: "Old", Seats: &v1alpha1.SeatBounds{Min: 1, Max: 50}, StopSell: true},
			{ID: "yearly", DisplayName: "Yearly", Terms: []v1alpha1.TermOffer{{Term: v1alpha1.TermYear, Price: v1alpha1.Money{Amount: "800.00", Currency: "EUR"}}}},
		}},
	}}
}

// account makes a service account in the customer's namespace, and a token of
// it.
func (m *market) account(name string, audiences ...string) string {
	m.t.Helper()
	sa := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: m.name, Name: name}}
	_ = live.Create(m.t.Context(), sa)
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: audiences}}
	if err := live.SubResource("token").Create(m.t.Context(), sa, request); err != nil {
		m.t.Fatal(err)
	}
	secrets.Store(request.Status.Token, true)
	return request.Status.Token
}

// start has the service run until the test ends.
func (m *market) start() (stop func() error) {
	m.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		m.t.Fatal(err)
	}
	m.url = "http://" + l.Addr().String()
	ctx, cancel := context.WithCancel(log.IntoContext(m.t.Context(), ctrl.Log))
	done := make(chan error, 1)
	go func() { done <- m.svc.serve(ctx, l) }()
	stop = sync.OnceValue(func() error { cancel(); return <-done })
	m.t.Cleanup(func() {
		if err := stop(); err != nil {
			m.t.Error(err)
		}
	})
	return stop
}

func (m *market) create(o client.Object) {
	m.t.Helper()
	if err := live.Create(m.t.Context(), o); err != nil {
		m.t.Fatal(err)
	}
}

// cached waits until the service's cache has an object as it is.
func (m *market) cached(o client.Object) {
	m.t.Helper()
	key := client.ObjectKeyFromObject(o)
	seen := o.DeepCopyObject().(client.Object)
	for range 500 {
		if err := operator.GetClient().Get(m.t.Context(), key, seen); err == nil && seen.GetResourceVersion() == o.GetResourceVersion() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	m.t.Fatalf("%T %s is not in the cache", o, key)
}

// service is a purchase of silver with 10 seats, for a month.
type service struct {
	*market
	name, id string
}

// buy makes a purchase, with the customer's object. The functions change the
// entry of the ledger before.
func (m *market) buy(change ...func(*v1alpha1.EntitlementSpec)) *service {
	m.t.Helper()
	s := m.bought(change...)
	m.create(&v1alpha1.MarketplaceSubscription{
		ObjectMeta: metav1.ObjectMeta{Namespace: m.name, Name: s.name},
		Spec: v1alpha1.MarketplaceSubscriptionSpec{
			ProductRef: v1alpha1.Reference{Name: m.name}, PlanID: "silver", Quantity: 10, Term: v1alpha1.TermMonth,
		},
	})
	return s
}

// bought is buy without the customer's object.
func (m *market) bought(change ...func(*v1alpha1.EntitlementSpec)) *service {
	m.t.Helper()
	s := &service{market: m, name: fmt.Sprintf("s-%d", serial.Add(1)), id: uuid.NewString()}
	spec := v1alpha1.EntitlementSpec{
		ID: s.id, Customer: m.name, Subscription: v1alpha1.SubscriptionIdentity{Name: s.name, UID: "uid"},
		ProductRef: v1alpha1.Reference{Name: m.name}, PublisherRef: v1alpha1.Reference{Name: m.name}, OfferID: "coffee",
		Purchase: v1alpha1.ServicePurchase{
			At: metav1.NewTime(m.began), Term: v1alpha1.TermMonth,
			Cancellation: v1alpha1.CancellationPolicy{Window: "P3D", Refund: v1alpha1.RefundFull},
			ServiceLevel: v1alpha1.ServiceLevel{PlanID: "silver", Quantity: 10, UnitPrice: v1alpha1.Money{Amount: "4.00", Currency: "EUR"}, BillingCycle: v1alpha1.BillingMonthly},
		},
		Subscriber: v1alpha1.Subscriber{FriendlyName: "Our coffee", AutoRenew: true, Beneficiary: &v1alpha1.Person{Email: "Ada@contoso.example"}},
	}
	for _, f := range change {
		f(&spec)
	}
	m.create(&v1alpha1.Entitlement{
		ObjectMeta: metav1.ObjectMeta{
			Name:   entitlements.Name(m.name, s.name, 1),
			Labels: map[string]string{v1alpha1.LabelPublisher: spec.PublisherRef.Name, v1alpha1.LabelCustomer: m.name},
		},
		Spec: spec,
	})
	return s
}

// Changes of an entry of the ledger, for buy.

func active(e *v1alpha1.EntitlementSpec) { e.ActivatedAt = &e.Purchase.At }

func noSeats(e *v1alpha1.EntitlementSpec) { e.Purchase.PlanID, e.Purchase.Quantity = "flat", 0 }

func suspended(e *v1alpha1.EntitlementSpec) { active(e); e.SuspendedAt = &e.Purchase.At }

func unsubscribed(e *v1alpha1.EntitlementSpec) {
	active(e)
	e.EndedAt, e.EndReason = &e.Purchase.At, v1alpha1.EndCancelled
}

func orphaned(e *v1alpha1.EntitlementSpec) { e.OrphanedAt = &e.Purchase.At }

func byPartner(e *v1alpha1.EntitlementSpec) {
	e.Subscriber.Purchaser = &v1alpha1.Person{Email: "sales@partner.example"}
}

// facts are those on record.
func (s *service) facts() (*v1alpha1.Entitlement, *terms.Entitlement) {
	s.t.Helper()
	e := new(v1alpha1.Entitlement)
	if err := live.Get(s.t.Context(), client.ObjectKey{Name: entitlements.Name(s.market.name, s.name, 1)}, e); err != nil {
		s.t.Fatal(err)
	}
	facts, err := entitlements.Facts(e)
	if err != nil {
		s.t.Fatal(err)
	}
	return e, facts
}

// record changes what is on record, as the controllers do.
func (s *service) record(change func(*terms.Entitlement)) {
	s.t.Helper()
	record := entitlements.Record{Client: live, Live: live}
	_, _, err := record.Change(s.t.Context(), entitlements.Name(s.market.name, s.name, 1), s.clock.Now(), func(_ *v1alpha1.Entitlement, facts *terms.Entitlement) error {
		facts.Follow(s.clock.Now())
		change(facts)
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

// asks puts a change on record that the customer asks for.
func (s *service) asks(action terms.Action, change func(*terms.Level)) (id string) {
	s.t.Helper()
	s.record(func(facts *terms.Entitlement) {
		level := facts.Level()
		change(&level)
		facts.Request(action, level, s.clock.Now())
	})
	_, facts := s.facts()
	return facts.Operations[len(facts.Operations)-1].ID
}

func (s *service) sub() *v1alpha1.MarketplaceSubscription {
	s.t.Helper()
	sub := new(v1alpha1.MarketplaceSubscription)
	if err := live.Get(s.t.Context(), client.ObjectKey{Namespace: s.market.name, Name: s.name}, sub); err != nil {
		s.t.Fatal(err)
	}
	return sub
}

// versions tells whether something was written.
func (s *service) versions() string {
	s.t.Helper()
	e, _ := s.facts()
	return e.ResourceVersion + "/" + s.sub().ResourceVersion
}

func (m *market) at(after time.Duration) { m.clock.SetTime(m.began.Add(after)) }

// reply is a response with its body.
type reply struct {
	*http.Response
	body string
}

// call calls a path below /api/saas/subscriptions as the publisher does. The
// query begins with an &. Headers are given as names and values in turn, after
// the body.
func (m *market) call(method, path, body string, header ...string) reply {
	m.t.Helper()
	path, query, _ := strings.Cut(path, "?")
	if query != "" {
		query = "&" + query
	}
	return m.raw(method, "/api/saas/subscriptions"+path+"?api-version="+saasapi.APIVersion+query, body,
		append([]string{"Authorization", "Bearer " + m.token, "Content-Type", "application/json"}, header...)...)
}

// raw sends a request as it is. An empty value takes a header away.
func (m *market) raw(method, path, body string, header ...string) reply {
	m.t.Helper()
	req, err := http.NewRequestWithContext(m.t.Context(), method, m.url+path, strings.NewReader(body))
	if err != nil {
		m.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		if req.Header.Set(header[i], header[i+1]); header[i+1] == "" {
			req.Header.Del(header[i])
		}
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		m.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		m.t.Fatal(err)
	}
	return reply{res, string(text)}
}

// want checks the code of a reply, and what it says: of a refusal in its
// message.
func (m *market) want(what string, a reply, code int, says string) {
	m.t.Helper()
	text := a.body
	if code >= 400 {
		var body saasapi.ErrorBody
		if err := json.Unmarshal([]byte(a.body), &body); err != nil || body.Error.Code == "" || body.Error.Message == "" {
			m.t.Errorf("%s: the body of a refusal is %.200q", what, a.body)
		}
		text = body.Error.Message
	}
	if a.StatusCode != code || !strings.Contains(text, says) {
		m.t.Errorf("%s: got %d and want %d, with %q in %.400q", what, a.StatusCode, code, says, a.body)
	}
	if retry := a.Header.Get("Retry-After"); (retry != "") != (code == http.StatusServiceUnavailable) {
		m.t.Errorf("%s: Retry-After is %q", what, retry)
	}
	if a.body != "" && a.Header.Get("Content-Type") != "application/json; charset=utf-8" {
		m.t.Errorf("%s: Content-Type is %q", what, a.Header.Get("Content-Type"))
	}
	for _, name := range []string{"x-ms-requestid", "x-ms-correlationid"} {
		if a.Header.Get(name) == "" {
			m.t.Errorf("%s: there is no %s", what, name)
		}
	}
}

// read decodes a body strictly.
func read[T any](m *market, a reply) (body T) {
	m.t.Helper()
	d := json.NewDecoder(strings.NewReader(a.body))
	d.DisallowUnknownFields()
	if err := d.Decode(&body); err != nil {
		m.t.Errorf("%v in %s", err, a.body)
	}
	return body
}
