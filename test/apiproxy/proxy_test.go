package apiproxy

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/license-operator/license-operator/test/controlplane"
)

// env is what all tests share: one API server and a service account that may
// do all. Each test has a proxy and a namespace of its own.
var env struct {
	cluster    *controlplane.ControlPlane
	kubeconfig string // of the service account, past the proxy
}

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	dir, err := os.MkdirTemp("", "apiproxy-test-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()
	env.cluster, err = controlplane.Start(ctx, controlplane.Options{Dir: dir})
	if err != nil {
		return 0, err
	}
	defer env.cluster.Stop()

	admin := kubernetes.NewForConfigOrDie(env.cluster.Config)
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "operator"}}
	if _, err := admin.CoreV1().ServiceAccounts("default").Create(ctx, account, metav1.CreateOptions{}); err != nil {
		return 0, err
	}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "operator"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
		Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: "default", Name: "operator"}},
	}
	if _, err := admin.RbacV1().ClusterRoleBindings().Create(ctx, binding, metav1.CreateOptions{}); err != nil {
		return 0, err
	}
	env.kubeconfig, err = env.cluster.ServiceAccountKubeconfig(ctx, "default", "operator")
	if err != nil {
		return 0, err
	}
	return m.Run(), nil
}

// fixture is a proxy with clients through and past it.
type fixture struct {
	proxy     *Proxy
	through   kubernetes.Interface
	past      kubernetes.Interface
	namespace string
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	p, err := Start(t.Context(), env.cluster.Config)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := p.Kubeconfig(path, env.kubeconfig); err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		t.Fatal(err)
	}
	config.QPS = -1
	f := &fixture{proxy: p, through: client(t, config), past: client(t, env.cluster.Config)}
	ns, err := f.past.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	f.namespace = ns.Name
	return f
}

func client(t *testing.T, config *rest.Config) kubernetes.Interface {
	t.Helper()
	c, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// create creates a ConfigMap through the proxy.
func (f *fixture) create(ctx context.Context, name string) error {
	_, err := f.through.CoreV1().ConfigMaps(f.namespace).Create(ctx,
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	return err
}

// exists looks past the proxy. It may be called from a hook.
func (f *fixture) exists(t *testing.T, name string) bool {
	t.Helper()
	_, err := f.past.CoreV1().ConfigMaps(f.namespace).Get(t.Context(), name, metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		t.Error(err)
	}
	return err == nil
}

// always is a hook that treats all writes alike.
func always(a Action) Hook {
	return Hook{Before: func(Write) Action { return a }}
}

func TestForward(t *testing.T) {
	f := newFixture(t)
	maps := f.through.CoreV1().ConfigMaps(f.namespace)
	w, err := maps.Watch(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()

	if err := f.create(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if _, err := maps.Get(t.Context(), "a", metav1.GetOptions{}); err != nil {
		t.Error(err)
	}
	next(t, w, watch.Added)
	if _, err := maps.Patch(t.Context(), "a", types.MergePatchType, []byte(`{"data":{"k":"v"}}`), metav1.PatchOptions{}); err != nil {
		t.Error(err)
	}
	next(t, w, watch.Modified)
	if err := maps.Delete(t.Context(), "a", metav1.DeleteOptions{}); err != nil {
		t.Error(err)
	}
	next(t, w, watch.Deleted)
}

func next(t *testing.T, w watch.Interface, want watch.EventType) {
	t.Helper()
	select {
	case e := <-w.ResultChan():
		if e.Type != want {
			t.Fatalf("got event %q, want %q", e.Type, want)
		}
	case <-time.After(10 * time.Second):
		t.Fatalf("no event, want %q", want)
	}
}

func TestDropBefore(t *testing.T) {
	f := newFixture(t)
	f.proxy.SetHook(Hook{
		Before: func(Write) Action { return DropBefore },
		After:  func(Write, int) { t.Error("After was called") },
	})
	if err := f.create(t.Context(), "a"); err == nil || apierrors.ReasonForError(err) != metav1.StatusReasonUnknown {
		t.Errorf("got %v, want a broken connection", err)
	}
	if f.exists(t, "a") {
		t.Error("the object was created")
	}
	f.proxy.SetHook(Hook{})
	if err := f.create(t.Context(), "a"); err != nil {
		t.Errorf("without a hook: %v", err)
	}
}

func TestDropAfter(t *testing.T) {
	f := newFixture(t)
	var status atomic.Int64
	f.proxy.SetHook(Hook{
		Before: func(Write) Action { return DropAfter },
		After: func(w Write, s int) {
			status.Store(int64(s))
			if !f.exists(t, "a") {
				t.Error("After was called before the object was there")
			}
		},
	})
	if err := f.create(t.Context(), "a"); err == nil || apierrors.ReasonForError(err) != metav1.StatusReasonUnknown {
		t.Errorf("got %v, want a broken connection", err)
	}
	if !f.exists(t, "a") {
		t.Error("the object was not created")
	}
	if got := status.Load(); got != 201 {
		t.Errorf("After got status %d, want 201", got)
	}
}

// What is forwarded is carried out though the client has gone in the meantime.
func TestForwardOutlivesClient(t *testing.T) {
	f := newFixture(t)
	ctx, cancel := context.WithCancel(t.Context())
	gone, answered := make(chan struct{}), make(chan int, 1)
	f.proxy.SetHook(Hook{
		Before: func(Write) Action {
			cancel()
			<-gone
			return Forward
		},
		After: func(_ Write, status int) { answered <- status },
	})
	if err := f.create(ctx, "a"); err == nil {
		t.Error("the client did not go")
	}
	close(gone)
	select {
	case status := <-answered:
		if status != 201 || !f.exists(t, "a") {
			t.Errorf("got status %d, want the object created", status)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the write was not forwarded")
	}
}

func TestRespond(t *testing.T) {
	f := newFixture(t)
	for action, is := range map[Action]func(error) bool{
		Respond409: apierrors.IsConflict,
		Respond500: apierrors.IsInternalError,
	} {
		f.proxy.SetHook(always(action))
		if err := f.create(t.Context(), "a"); !is(err) {
			t.Errorf("%v: got %v", action, err)
		}
	}
	if f.exists(t, "a") {
		t.Error("the object was created")
	}

	// client-go comes again after the second it was told to wait.
	f.proxy.Reset()
	f.proxy.SetHook(Hook{Before: func(w Write) Action {
		if w.Number == 1 {
			return Respond429
		}
		return Forward
	}})
	begin := time.Now()
	if err := f.create(t.Context(), "a"); err != nil {
		t.Error(err)
	}
	if took := time.Since(begin); took < time.Second {
		t.Errorf("took %v, want a second at least", took)
	}
	if got := len(f.proxy.Writes()); got != 2 {
		t.Errorf("got %d writes, want 2", got)
	}
}

func TestCounter(t *testing.T) {
	f := newFixture(t)
	f.proxy.SetHook(Hook{Before: func(w Write) Action {
		if w.Number == 2 {
			return DropBefore
		}
		return Forward
	}})
	maps := f.through.CoreV1().ConfigMaps(f.namespace)
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: "leader"}}

	if err := f.create(t.Context(), "a"); err != nil {
		t.Error(err)
	}
	if _, err := f.through.CoordinationV1().Leases(f.namespace).Create(t.Context(), lease, metav1.CreateOptions{}); err != nil {
		t.Errorf("a lease is none of the hook's business: %v", err)
	}
	if _, err := maps.List(t.Context(), metav1.ListOptions{}); err != nil {
		t.Error(err)
	}
	if err := f.create(t.Context(), "b"); err == nil {
		t.Error("the second write went through")
	}
	if err := maps.Delete(t.Context(), "a", metav1.DeleteOptions{}); err != nil {
		t.Error(err)
	}

	collection := "/api/v1/namespaces/" + f.namespace + "/configmaps"
	object := Object{Version: "v1", Resource: "configmaps", Namespace: f.namespace}
	named := object
	named.Name = "a"
	want := []Write{
		{Number: 1, Method: "POST", Path: collection, Object: object, Action: Forward, Status: 201},
		{Number: 2, Method: "POST", Path: collection, Object: object, Action: DropBefore},
		{Number: 3, Method: "DELETE", Path: collection + "/a", Object: named, Action: Forward, Status: 200},
	}
	if got := f.proxy.Writes(); !slices.Equal(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestPause(t *testing.T) {
	f := newFixture(t)
	w, err := f.through.CoreV1().ConfigMaps(f.namespace).Watch(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()

	f.proxy.Pause()
	select {
	case e, ok := <-w.ResultChan():
		// client-go may tell of the broken connection before it ends.
		if ok && e.Type != watch.Error {
			t.Errorf("got event %+v", e)
		}
	case <-time.After(10 * time.Second):
		t.Error("the watch is still open")
	}
	if err := f.create(t.Context(), "a"); err == nil {
		t.Error("a write went through")
	}
	// client-go repeats a read on a broken connection for longer than that.
	short, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if _, err := f.through.CoreV1().ConfigMaps(f.namespace).List(short, metav1.ListOptions{}); err == nil {
		t.Error("a read went through")
	}

	f.proxy.Resume()
	if f.exists(t, "a") {
		t.Error("the object was created")
	}
	if err := f.create(t.Context(), "a"); err != nil {
		t.Errorf("after the pause: %v", err)
	}

	// A hook may itself make the API server go, and then nothing reaches it.
	f.proxy.SetHook(Hook{Before: func(Write) Action { f.proxy.Pause(); return Forward }})
	if err := f.create(t.Context(), "b"); err == nil || f.exists(t, "b") {
		t.Errorf("a write went through: %v", err)
	}
}

func TestKubeconfigOfCertificate(t *testing.T) {
	f := newFixture(t)
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := f.proxy.Kubeconfig(path, env.cluster.Kubeconfig); err == nil {
		t.Error("took a kubeconfig that cannot work")
	}
}

func TestEnd(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	p, err := Start(ctx, env.cluster.Config)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	address := strings.TrimPrefix(p.URL, "https://")
	for deadline := time.Now().Add(10 * time.Second); ; {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return
		}
		conn.Close()
		if time.Now().After(deadline) {
			t.Fatal("the proxy still listens")
		}
	}
}
