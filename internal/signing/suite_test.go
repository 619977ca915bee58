package signing

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/test/controlplane"
)

// The tests of this package keep their keys on a real API server, each in a
// namespace of its own.

var (
	live   client.Client
	serial atomic.Int32
)

func TestMain(m *testing.M) {
	os.Exit(runSuite(m))
}

func runSuite(m *testing.M) int {
	dir, err := os.MkdirTemp("", "signing-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	plane, err := controlplane.Start(context.Background(), controlplane.Options{Dir: dir})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer plane.Stop()
	if live, err = client.New(plane.Config, client.Options{Scheme: clientgoscheme.Scheme}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// home is a namespace with a clock.
type home struct {
	*testing.T
	namespace string
	clock     *clocktesting.FakePassiveClock
}

func newHome(t *testing.T) *home {
	h := &home{t, fmt.Sprintf("home-%d", serial.Add(1)), clocktesting.NewFakePassiveClock(time.Now().UTC().Truncate(time.Second))}
	if err := live.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: h.namespace}}); err != nil {
		t.Fatal(err)
	}
	return h
}

// signer is that of another process each time.
func (h *home) signer() *Signer {
	return &Signer{Client: live, Live: live, Namespace: h.namespace, Clock: h.clock}
}

func (h *home) verifier(reader client.Reader) *Verifier {
	return &Verifier{Reader: reader, Namespace: h.namespace, Clock: h.clock}
}

func (h *home) load(s *Signer) {
	h.Helper()
	if err := s.Load(h.Context()); err != nil {
		h.Fatal(err)
	}
}

func (h *home) step(d time.Duration) { h.clock.SetTime(h.clock.Now().Add(d)) }

func (h *home) secret() *corev1.Secret {
	h.Helper()
	secret := &corev1.Secret{}
	if err := live.Get(h.Context(), client.ObjectKey{Namespace: h.namespace, Name: SecretName}, secret); err != nil {
		h.Fatal(err)
	}
	return secret
}

// put makes the Secret hold those entries and nothing else.
func (h *home) put(entries map[string][]byte) {
	h.Helper()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: h.namespace, Name: SecretName}}
	if err := client.IgnoreNotFound(live.Delete(h.Context(), secret)); err != nil {
		h.Fatal(err)
	}
	secret.Data = entries
	if err := live.Create(h.Context(), secret); err != nil {
		h.Fatal(err)
	}
}

func (h *home) jwks() string {
	h.Helper()
	var cm corev1.ConfigMap
	if err := live.Get(h.Context(), client.ObjectKey{Namespace: h.namespace, Name: ConfigMapName}, &cm); err != nil {
		h.Fatal(err)
	}
	return cm.Data[jwksEntry]
}

func (h *home) purchaseToken(s *Signer, expires time.Time) string {
	h.Helper()
	token, err := s.PurchaseToken(entitlement, expires)
	if err != nil {
		h.Fatal(err)
	}
	return token
}

// counted counts readings, and fails them if it has to.
type counted struct {
	client.Reader
	reads atomic.Int32
	err   error
}

func (c *counted) Get(ctx context.Context, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
	c.reads.Add(1)
	if c.err != nil {
		return c.err
	}
	return c.Reader.Get(ctx, key, o, opts...)
}

const entitlement = "0d8f1c9e-52a4-4a07-9d0c-0f6d1a2b3c4d"
