package downloads

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap/zapcore"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/cluster"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/artifacts"
	"github.com/license-operator/license-operator/internal/downloadlink"
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
	account  *rest.Config // the service's, through the proxy
	operator cluster.Cluster
	logged   syncBuffer
	serial   atomic.Int32
	tokens   sync.Map // every token that a test has made
)

func TestMain(m *testing.M) {
	os.Exit(runSuite(m))
}

func runSuite(m *testing.M) int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	dir, err := os.MkdirTemp("", "downloads-")
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
	// Whoever reads the log must not be able to download.
	text, leaked := logged.String(), false
	tokens.Range(func(token, _ any) bool {
		leaked = leaked || strings.Contains(text, token.(string))
		return true
	})
	if leaked || strings.Contains(text, downloadlink.Path) || !strings.Contains(text, "serving downloads") {
		fmt.Fprintln(os.Stderr, "FAIL: a token or the path of a link is in the log, or nothing was logged")
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
	own, err := plane.ServiceAccountKubeconfig(ctx, operatorNamespace, "license-operator-downloads")
	if err != nil {
		return err
	}
	if proxy, err = apiproxy.Start(ctx, plane.Config); err != nil {
		return err
	}
	if err := proxy.Kubeconfig(filepath.Join(dir, "proxied"), own); err != nil {
		return err
	}
	if account, err = clientcmd.BuildConfigFromFlags("", filepath.Join(dir, "proxied")); err != nil {
		return err
	}
	account.QPS = -1
	if operator, err = cluster.New(account, func(o *cluster.Options) { o.Scheme = scheme }); err != nil {
		return err
	}
	if err := Register(ctx, operator.GetFieldIndexer()); err != nil {
		return err
	}
	go func() { _ = operator.Start(ctx) }()
	_, err = operator.GetCache().GetInformer(ctx, &v1alpha1.Product{}) // waits until it is filled
	return err
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

// shop is a product with one build, a customer who bought it for a year and
// has a link, and a service.
type shop struct {
	t       *testing.T
	name    string    // of product, namespace and subscription
	began   time.Time // when it was bought
	clock   *clocktesting.FakePassiveClock
	dir     string // of the store
	content []byte // of the artifact
	sum     string
	token   string
	store   *artifacts.Store
	told    chan string // of files that were verified
	svc     *Service
	url     string // of the service
}

const artifact = "office/2024/office.img"

// newShop opens a shop whose service has begun to listen, and whose file was
// verified. The functions change it before.
func newShop(t *testing.T, change ...func(*shop)) *shop {
	t.Helper()
	s := newShopClosed(t)
	for _, f := range change {
		f(s)
	}
	s.start()
	s.verify()
	return s
}

func newShopClosed(t *testing.T) *shop {
	t.Helper()
	s := &shop{t: t, name: fmt.Sprintf("shop-%d", serial.Add(1)), began: time.Now().UTC().Truncate(time.Second), dir: t.TempDir(), told: make(chan string, 100)}
	s.clock = clocktesting.NewFakePassiveClock(s.began)
	s.put(random(3<<20 + 7))
	s.sum = sumOf(s.content)
	s.create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.name}})
	s.create(s.product())
	s.create(&v1alpha1.SoftwareSubscription{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.name, Name: s.name},
		Spec:       v1alpha1.SoftwareSubscriptionSpec{ProductRef: v1alpha1.Reference{Name: s.name}, Term: v1alpha1.TermYear},
	})
	s.setStatus(func(st *v1alpha1.SoftwareSubscriptionStatus) {
		at := func(d time.Duration) *metav1.Time { return &metav1.Time{Time: s.began.Add(d)} }
		st.State, st.PurchasedAt = v1alpha1.StateActive, at(0)
		st.Term = &v1alpha1.TermStatus{StartsAt: *at(0), EndsAt: at(year)}
		st.Cancellation = &v1alpha1.CancellationStatus{Until: at(7 * day), Open: true}
		st.Download = &v1alpha1.DownloadStatus{Version: "2024", Language: "fr-FR", Architecture: "x64"}
	})
	s.token = s.newToken()
	store, err := artifacts.Open("file://" + s.dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	s.store = store
	store.Changed = func(path string) { s.told <- path }
	s.svc = &Service{Client: operator.GetClient(), Live: operator.GetAPIReader(), Clock: s.clock, Artifacts: store, MaxSearches: 10000}
	return s
}

const (
	day  = 24 * time.Hour
	year = 365 * day
)

func (s *shop) product() *v1alpha1.Product {
	return &v1alpha1.Product{ObjectMeta: metav1.ObjectMeta{Name: s.name}, Spec: v1alpha1.ProductSpec{
		DisplayName: "Office LTSC Professional Plus",
		Software: &v1alpha1.SoftwareProduct{
			Keys: v1alpha1.ProductKeys{IssuerRef: v1alpha1.Reference{Name: s.name}},
			Versions: []v1alpha1.ProductVersion{
				{Version: "2024", Builds: []v1alpha1.ProductBuild{{Language: "fr-FR", Architecture: "x64", Artifact: artifact, SHA256: s.sum}}},
			},
		},
		Terms: []v1alpha1.TermOffer{{Term: v1alpha1.TermYear, Price: v1alpha1.Money{Amount: "120.00", Currency: "EUR"}}},
	}}
}

// put puts content into the store, in the place of what is there.
func (s *shop) put(content []byte) {
	s.t.Helper()
	s.content = content
	path := filepath.Join(s.dir, artifact)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// start has the store and the service run until the test ends.
func (s *shop) start() (stop func() error) {
	s.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	s.url = "http://" + l.Addr().String()
	ctx, cancel := context.WithCancel(log.IntoContext(s.t.Context(), ctrl.Log))
	done := make(chan error, 1)
	go func() { _ = s.store.Start(ctx) }()
	go func() { done <- s.svc.serve(ctx, l) }()
	stop = sync.OnceValue(func() error { cancel(); return <-done })
	s.t.Cleanup(func() {
		if s.svc.StopTimeout == 0 {
			s.svc.StopTimeout = time.Millisecond
		}
		_ = stop()
	})
	return stop
}

// verify waits until the file was verified.
func (s *shop) verify() {
	s.t.Helper()
	timeout := time.After(10 * time.Second)
	for {
		if _, err := s.store.Look(s.t.Context(), artifact, s.sum); err == nil {
			return
		}
		select {
		case <-s.told:
		case <-timeout:
			s.t.Fatal("the file was not verified")
		}
	}
}

func (s *shop) create(o client.Object) {
	s.t.Helper()
	if err := live.Create(s.t.Context(), o); err != nil {
		s.t.Fatal(err)
	}
}

// sub is the subscription as it is now.
func (s *shop) sub() *v1alpha1.SoftwareSubscription {
	s.t.Helper()
	sub := new(v1alpha1.SoftwareSubscription)
	if err := live.Get(s.t.Context(), client.ObjectKey{Namespace: s.name, Name: s.name}, sub); err != nil {
		s.t.Fatal(err)
	}
	return sub
}

func (s *shop) setStatus(change func(*v1alpha1.SoftwareSubscriptionStatus)) {
	s.t.Helper()
	sub := s.sub()
	change(&sub.Status)
	if err := live.Status().Update(s.t.Context(), sub); err != nil {
		s.t.Fatal(err)
	}
}

func (s *shop) setSpec(change func(*v1alpha1.SoftwareSubscriptionSpec)) {
	s.t.Helper()
	sub := s.sub()
	change(&sub.Spec)
	if err := live.Update(s.t.Context(), sub); err != nil {
		s.t.Fatal(err)
	}
}

// newToken gives the subscription a fresh link.
func (s *shop) newToken() string {
	s.t.Helper()
	token := downloadlink.NewToken()
	tokens.Store(token, true)
	s.setStatus(func(st *v1alpha1.SoftwareSubscriptionStatus) {
		st.Download.TokenHash = downloadlink.TokenHash(token)
		st.Download.FirstDownloadedAt, st.Download.ExpiresAt = nil, nil
	})
	return token
}

func (s *shop) at(after time.Duration) { s.clock.SetTime(s.began.Add(after)) }

func (s *shop) page() string { return s.url + "/d/" + s.token }
func (s *shop) file() string { return s.page() + "/file" }

// answer is a response with its body.
type answer struct {
	*http.Response
	body string
}

// ask sends a request with headers, given as names and values in turn.
func (s *shop) ask(method, url string, header ...string) answer {
	s.t.Helper()
	res := s.send(method, url, header...)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer{res, string(body)}
}

// send is ask without reading the body, which the caller closes.
func (s *shop) send(method, url string, header ...string) *http.Response {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, url, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	transport := &http.Transport{DisableKeepAlives: true, DisableCompression: true}
	res, err := transport.RoundTrip(req)
	if err != nil {
		s.t.Fatal(err)
	}
	return res
}

// want checks the code of an answer, and what its body says.
func (s *shop) want(what string, a answer, code int, says string) {
	s.t.Helper()
	if a.StatusCode != code || !strings.Contains(a.body, says) {
		s.t.Errorf("%s: got %d and want %d, with %q in %.600q", what, a.StatusCode, code, says, a.body)
	}
	if retry := a.Header.Get("Retry-After"); (retry != "") != (code == http.StatusServiceUnavailable) {
		s.t.Errorf("%s: Retry-After is %q", what, retry)
	}
}

// notBegun checks that no first download is on record.
func (s *shop) notBegun(after string) {
	s.t.Helper()
	if d := s.sub().Status.Download; d.FirstDownloadedAt != nil || d.ExpiresAt != nil {
		s.t.Errorf("%s has started the clock: %v, %v", after, d.FirstDownloadedAt, d.ExpiresAt)
	}
}

func random(size int) []byte {
	b := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{byte(serial.Add(1))}).Read(b)
	return b
}

func sumOf(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}
