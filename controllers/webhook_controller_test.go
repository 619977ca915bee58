package controllers

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/signing"
	"github.com/license-operator/license-operator/internal/terms"
)

// quietLog is for servers that are meant to be called in the wrong way.
var quietLog = log.New(io.Discard, "", 0)

// otherCertificate is one of which nobody knows the issuer.
func otherCertificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "stranger"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// TestWebhookPayloadAndToken checks a call as a publisher would: the token by the
// published keys.
func TestWebhookPayloadAndToken(t *testing.T) {
	s := newSaaS(t)
	e := s.sell()
	actions[terms.ChangeQuantity](s, e)
	s.pass(e)
	s.told1(terms.ChangeQuantity, 1)
	spec := get(t, &v1alpha1.Entitlement{}, "", e).Spec
	p, op := s.told[0], s.last(e)
	if p.ID != op.ID || p.SubscriptionID != spec.ID || p.PublisherID != s.name || p.OfferID != "coffee" || p.PlanID != "silver" || p.Quantity == nil || *p.Quantity != 7 ||
		*p.Subscription.Quantity != 5 || p.Subscription.SaaSSubscriptionStatus != "Subscribed" || p.OperationRequestSource != "Azure" {
		t.Errorf("payload %+v", p)
	}
	published, err := (&signing.Verifier{Reader: live, Namespace: operatorNamespace, Clock: s.clock}).PublicKeys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(published, &set); err != nil {
		t.Fatal(err)
	}
	keys := &oidc.StaticKeySet{}
	for _, k := range set.Keys {
		keys.PublicKeys = append(keys.PublicKeys, k.Key)
	}
	token := strings.TrimPrefix(s.tokens[0], "Bearer ")
	for audience, valid := range map[string]bool{s.name: true, "another": false} {
		_, err := oidc.NewVerifier(fulfillmentURL, keys, &oidc.Config{ClientID: audience, Now: s.clock.Now}).Verify(t.Context(), token)
		if (err == nil) != valid {
			t.Errorf("for the audience %s: %v", audience, err)
		}
	}
}

// TestWebhookEightHours has a webhook fail all the time.
func TestWebhookEightHours(t *testing.T) {
	for _, action := range []terms.Action{terms.ChangePlan, terms.Suspend} {
		t.Run(string(action), func(t *testing.T) {
			s := newSaaS(t)
			e := s.sell()
			actions[action](s, e)
			start := s.clock.Now()
			before := fmt.Sprintf("%+v", s.facts(e).Level())
			plain := httptest.NewServer(http.HandlerFunc(s.take)) // 500 calls are quicker without TLS
			defer plain.Close()
			s.webhookAt(plain.URL + "/webhook")
			s.answers(answer(500))
			s.view.writes = nil
			for {
				res := s.pass(e)
				if res.RequeueAfter == 0 {
					break
				}
				s.step(res.RequeueAfter)
			}
			if took := s.clock.Now().Sub(start); took < 8*time.Hour || took > 8*time.Hour+time.Minute {
				t.Errorf("it gave up after %s", took)
			}
			if n := len(s.calls()); n < 490 || n > 510 || !s.oneID() {
				t.Errorf("%d calls", n)
			}
			op := s.last(e)
			progress, why := terms.Succeeded, ""
			if action.Refusable() {
				progress, why = terms.Failed, "the publisher's webhook did not take it"
			}
			if !op.GivenUp || !op.Delivered.IsZero() || op.Progress != progress || op.Why != why || op.Failing != "the webhook answered 500" {
				t.Errorf("in the end: %+v", op)
			}
			if level := fmt.Sprintf("%+v", s.facts(e).Level()); level != before {
				t.Errorf("the level changed to %s", level)
			}
			if len(s.view.writes) != 2 {
				t.Errorf("writes: %v, want one when it began to fail and one in the end", s.view.writes)
			}
			calls := len(s.calls())
			s.answers(nil)
			s.step(time.Hour)
			if s.pass(e); len(s.calls()) != calls {
				t.Error("it is told of nevertheless")
			}
		})
	}
}

// TestWebhookRestart has another process go on: with the first call never answered, and
// after more than eight hours in which none ran.
func TestWebhookRestart(t *testing.T) {
	for name, row := range map[string]struct {
		down   time.Duration
		answer http.HandlerFunc
		taken  bool
	}{
		"at once":                               {time.Second, nil, true},
		"after a long time":                     {20 * time.Hour, nil, true},
		"after a long time, and it still fails": {20 * time.Hour, answer(500), false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSaaS(t)
			e := s.sell()
			actions[terms.ChangePlan](s, e)
			ctx, kill := context.WithCancel(t.Context())
			s.answers(func(w http.ResponseWriter, r *http.Request) {
				kill()
				hang(w, r)
			})
			if _, err := s.r.Reconcile(ctx, ctrl.Request{NamespacedName: client.ObjectKey{Name: e}}); err == nil {
				t.Error("it was killed, and noticed nothing")
			}
			if op := s.last(e); op.Failing != "" || !op.Undelivered() {
				t.Errorf("killed while it called: %+v", op)
			}
			s.step(row.down)
			s.r = s.process()
			s.answers(row.answer)
			s.pass(e)
			s.told1(terms.ChangePlan, 2)
			if op := s.last(e); op.Delivered.IsZero() == row.taken || op.GivenUp == row.taken || !s.oneID() {
				t.Errorf("after the restart: %+v", op)
			}
		})
	}
}

// TestWebhookInOrder has the second operation wait for the first.
func TestWebhookInOrder(t *testing.T) {
	s := newSaaS(t)
	e := s.sell()
	actions[terms.Suspend](s, e)
	s.step(time.Second)
	actions[terms.Unsubscribe](s, e)
	s.answers(answer(500))
	s.pass(e)
	s.step(time.Second)
	s.pass(e)
	s.answers(nil)
	s.step(time.Second)
	if res := s.pass(e); res.RequeueAfter != moment {
		t.Errorf("the next is told after %s", res.RequeueAfter)
	}
	s.pass(e)
	s.pass(e)
	if got := strings.Join(s.calls(), ", "); got != "Suspend Succeeded, Suspend Succeeded, Suspend Succeeded, Unsubscribe Succeeded" {
		t.Errorf("told: %s", got)
	}
}

// TestWebhookAnsweredMeanwhile has the publisher answer before its webhook returns.
func TestWebhookAnsweredMeanwhile(t *testing.T) {
	for name, row := range map[string]struct {
		accepts  bool
		code     int
		progress terms.Progress
	}{
		"accepted":                 {true, 200, terms.Succeeded},
		"accepted, and then 500":   {true, 500, terms.Succeeded},
		"accepted, and then 409":   {true, 409, terms.Succeeded},
		"refused":                  {false, 200, terms.Failed},
		"refused, and then a hang": {false, 0, terms.Failed},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSaaS(t)
			e := s.sell()
			actions[terms.ChangePlan](s, e)
			if row.code == 0 {
				s.r.Sender.Timeout = time.Second
			}
			s.answers(func(w http.ResponseWriter, r *http.Request) {
				s.change(e, func(f *terms.Entitlement, now time.Time) { f.Answer(row.accepts, "no", now) })
				if row.code == 0 {
					hang(w, r)
				}
				w.WriteHeader(row.code)
			})
			for range 3 {
				s.pass(e)
				s.step(time.Minute)
			}
			facts, op := s.facts(e), s.last(e)
			if op.Progress != row.progress || (len(facts.Changes) == 1) != row.accepts {
				t.Errorf("in the end: %+v, %d changes", op, len(facts.Changes))
			}
			if row.code == 200 && (op.Delivered.IsZero() || op.GivenUp) {
				t.Errorf("it was delivered: %+v", op)
			}
			s.told1(terms.ChangePlan, 1)
		})
	}
}

// TestWebhookPublisherThatIsNotThere has the publisher come, go and come again.
func TestWebhookPublisherThatIsNotThere(t *testing.T) {
	s := newSaaS(t)
	e := s.sell()
	actions[terms.Suspend](s, e)
	p := get(t, &v1alpha1.Publisher{}, "", s.name)
	if err := live.Delete(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	if res := s.pass(e); res.RequeueAfter != time.Second || s.last(e).Failing != "the publisher does not exist" {
		t.Errorf("again after %s: %+v", res.RequeueAfter, s.last(e))
	}
	s.publish(s.name)
	s.pass(e) // at once
	s.told1(terms.Suspend, 1)
}

// TestWebhookPrivateAddress has a publisher at a loopback address without permission.
func TestWebhookPrivateAddress(t *testing.T) {
	s := newSaaS(t)
	e := s.sell()
	actions[terms.Suspend](s, e)
	p := get(t, &v1alpha1.Publisher{}, "", s.name)
	p.Spec.AllowPrivateAddresses = false
	if err := live.Update(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	s.pass(e)
	if op := s.last(e); len(s.calls()) > 0 || !strings.Contains(op.Failing, "private address: loopback") {
		t.Errorf("%+v after %v", op, s.calls())
	}
}

// TestWebhookSlowPublisher has one publisher answer nobody. It gets no more than a few
// calls at a time, and another publisher is called meanwhile.
func TestWebhookSlowPublisher(t *testing.T) {
	s := newSaaS(t)
	release, arrived := make(chan struct{}), make(chan struct{}, 100)
	s.answers(func(http.ResponseWriter, *http.Request) {
		arrived <- struct{}{}
		<-release
	})
	s.r.Sender.Timeout = time.Minute
	var all sync.WaitGroup
	var names []string
	for i := range callsPerPublisher + 2 {
		names = append(names, s.sell())
		actions[terms.Suspend](s, names[i])
	}
	for _, e := range names[:callsPerPublisher] {
		all.Go(func() { s.pass(e) })
		<-arrived
	}
	if res := s.pass(names[callsPerPublisher]); res.RequeueAfter != slotPoll || len(arrived) > 0 {
		t.Errorf("one too many: again after %s, %d calls", res.RequeueAfter, len(arrived))
	}
	other := newSaaS(t)
	other.r = s.r
	e := other.sell()
	actions[terms.Suspend](other, e)
	other.pass(e)
	other.told1(terms.Suspend, 1)
	close(release)
	all.Wait()
	s.pass(names[callsPerPublisher])
	s.told1(terms.Suspend, callsPerPublisher+1)
	if len(s.r.calls) != 0 {
		t.Errorf("slots are still taken: %v", s.r.calls)
	}
}

// lateCache is a cache that saw an Entitlement once and never again.
type lateCache struct {
	client.Client
	seen *v1alpha1.Entitlement
}

func (c lateCache) Get(ctx context.Context, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
	if e, ok := o.(*v1alpha1.Entitlement); ok {
		c.seen.DeepCopyInto(e)
		return nil
	}
	return c.Client.Get(ctx, key, o, opts...)
}

func TestWebhookLateCache(t *testing.T) {
	s := newSaaS(t)
	e := s.sell()
	actions[terms.ChangePlan](s, e)
	s.r.Client = lateCache{s.view, get(t, &v1alpha1.Entitlement{}, "", e)}
	for range 5 {
		s.pass(e)
		s.step(time.Second)
	}
	s.told1(terms.ChangePlan, 1)
}

// TestWebhookNoSigningKey has a person spoil the Secret.
func TestWebhookNoSigningKey(t *testing.T) {
	s := newSaaS(t)
	e := s.sell()
	actions[terms.Suspend](s, e)
	namespace := fmt.Sprintf("spoilt-%d", serial.Add(1))
	for _, o := range []client.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}},
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: signing.SecretName}, Data: map[string][]byte{"key.pem": []byte("rubbish")}},
	} {
		if err := live.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	s.r.Signer.Namespace = namespace
	s.pass(e)
	if op := s.last(e); len(s.calls()) > 0 || !strings.Contains(op.Failing, "no usable key") {
		t.Errorf("%+v after %v", op, s.calls())
	}
}

// TestWebhookWokenByWatches runs the controller in a manager: a new operation, and a
// publisher that moved, are seen without waiting.
func TestWebhookWokenByWatches(t *testing.T) {
	s := newSaaS(t)
	mgr, err := ctrl.NewManager(apiServer, ctrl.Options{Scheme: scheme, Metrics: metricsserver.Options{BindAddress: "0"}, Cache: cache.Options{DefaultTransform: cache.TransformStripManagedFields()}})
	if err != nil {
		t.Fatal(err)
	}
	s.r.Client, s.r.Record.Client = mgr.GetClient(), mgr.GetClient()
	if err := s.r.SetupWithManager(mgr); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := mgr.Start(ctx); err != nil {
			t.Error(err)
		}
	})
	defer running.Wait()
	defer stop()

	arrived := make(chan struct{}, 100)
	s.answers(func(http.ResponseWriter, *http.Request) { arrived <- struct{}{} })
	wait := func(what string) {
		t.Helper()
		select {
		case <-arrived:
		case <-time.After(20 * time.Second):
			t.Fatalf("%s: no call", what)
		}
	}
	e := s.sell()
	actions[terms.Suspend](s, e)
	wait("a new operation")

	s.answers(func(w http.ResponseWriter, r *http.Request) {
		answer(429, "Retry-After", "3600")(w, r)
		arrived <- struct{}{}
	})
	other := s.sell()
	actions[terms.Suspend](s, other)
	wait("another operation")
	for s.last(other).Failing == "" {
		if t.Context().Err() != nil {
			t.Fatal("the failure is not put on record")
		}
	}
	s.answers(func(http.ResponseWriter, *http.Request) { arrived <- struct{}{} })
	s.webhookAt(s.server.URL + "/webhook?moved") // in the hour that it asked for
	wait("a publisher that moved")
	if !slices.Equal(s.calls(), slices.Repeat([]string{"Suspend Succeeded"}, 3)) {
		t.Errorf("told: %v", s.calls())
	}
}
