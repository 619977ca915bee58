package controllers

import (
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/entitlements"
	"github.com/license-operator/license-operator/internal/saasapi"
	"github.com/license-operator/license-operator/internal/signing"
	"github.com/license-operator/license-operator/internal/terms"
	"github.com/license-operator/license-operator/internal/webhooks"
)

const fulfillmentURL = "https://fulfillment.example"

// saas is a publisher with a real webhook, and the operator that calls it.
type saas struct {
	*testing.T
	name   string // of the Publisher
	server *httptest.Server
	clock  *clocktesting.FakePassiveClock
	view   *view
	r      *WebhookReconciler

	mu     sync.Mutex
	told   []saasapi.Payload // what the publisher took note of, whatever it answered
	tokens []string
	answer http.HandlerFunc // nil: 200
	deaf   bool             // it takes no note
}

func newSaaS(t *testing.T) *saas {
	t.Helper()
	s := &saas{
		T: t, name: fmt.Sprintf("saas-%d", serial.Add(1)),
		clock: clocktesting.NewFakePassiveClock(time.Now().UTC().Truncate(time.Second)), view: &view{Client: live},
	}
	s.server = httptest.NewTLSServer(http.HandlerFunc(s.take))
	t.Cleanup(s.server.Close)
	s.r = s.process()
	s.publish(s.name)
	return s
}

// process is another operator, which remembers nothing.
func (s *saas) process() *WebhookReconciler {
	roots := x509.NewCertPool()
	roots.AddCert(s.server.Certificate())
	return &WebhookReconciler{
		Client: s.view, Live: live, Clock: s.clock, FulfillmentURL: fulfillmentURL,
		Record: &entitlements.Record{Client: s.view, Live: live},
		Signer: &signing.Signer{Client: live, Live: live, Namespace: operatorNamespace, Clock: s.clock},
		Sender: &webhooks.Sender{Roots: roots},
	}
}

func (s *saas) publish(name string) {
	s.Helper()
	err := live.Create(s.Context(), &v1alpha1.Publisher{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.PublisherSpec{
		DisplayName: "A publisher", LandingPageURL: "https://saas.example/landing", WebhookURL: s.server.URL + "/webhook",
		AllowPrivateAddresses: true,
	}})
	if err != nil {
		s.Fatal(err)
	}
}

// take is the webhook.
func (s *saas) take(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var p saasapi.Payload
	if err != nil || json.Unmarshal(body, &p) != nil || r.Method != http.MethodPost || r.URL.Path != "/webhook" {
		s.Errorf("called with %s %s %q, %v", r.Method, r.URL, body, err)
	}
	if r.Header.Get("x-ms-correlationid") != p.ID || uuid.Validate(r.Header.Get("x-ms-requestid")) != nil {
		s.Errorf("headers %v", r.Header)
	}
	s.mu.Lock()
	if !s.deaf {
		s.told = append(s.told, p)
	}
	s.tokens = append(s.tokens, r.Header.Get("Authorization"))
	answer := s.answer
	s.mu.Unlock()
	if answer != nil {
		answer(w, r)
	}
}

func (s *saas) answers(h http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = h
}

func answer(code int, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(code)
		_, _ = io.WriteString(w, "a secret of the publisher: hunter2")
	}
}

// calls returns what the webhook was told so far, as "<action> <status>".
func (s *saas) calls() (all []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.told {
		all = append(all, p.Action+" "+p.Status)
	}
	return all
}

// oneID reports whether all calls were for one operation.
func (s *saas) oneID() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.told {
		if p.ID == "" || p.ID != s.told[0].ID {
			return false
		}
	}
	return true
}

// sell makes an entitlement of a year of 5 seats of the plan silver, activated
// an hour ago.
func (s *saas) sell() string {
	s.Helper()
	sub := fmt.Sprintf("coffee-%d", serial.Add(1))
	bought := s.clock.Now().Add(-2 * time.Hour)
	e := &v1alpha1.Entitlement{
		ObjectMeta: metav1.ObjectMeta{
			Name:   entitlements.Name("contoso", sub, 1),
			Labels: map[string]string{v1alpha1.LabelPublisher: s.name, v1alpha1.LabelCustomer: "contoso"},
		},
		Spec: v1alpha1.EntitlementSpec{
			ID: uuid.NewString(), Customer: "contoso", Subscription: v1alpha1.SubscriptionIdentity{Name: sub, UID: "1"},
			ProductRef: v1alpha1.Reference{Name: "coffee"}, PublisherRef: v1alpha1.Reference{Name: s.name}, OfferID: "coffee",
			Purchase: v1alpha1.ServicePurchase{
				At: metav1.NewTime(bought), Term: v1alpha1.TermYear,
				Cancellation: v1alpha1.CancellationPolicy{Window: "P3D", Refund: v1alpha1.RefundFull},
				ServiceLevel: v1alpha1.ServiceLevel{
					PlanID: "silver", Quantity: 5, UnitPrice: v1alpha1.Money{Amount: "48.00", Currency: "EUR"}, BillingCycle: v1alpha1.BillingMonthly,
				},
			},
			Subscriber:  v1alpha1.Subscriber{AutoRenew: true},
			ActivatedAt: &metav1.Time{Time: bought.Add(time.Hour)},
		},
	}
	if err := live.Create(s.Context(), e); err != nil {
		s.Fatal(err)
	}
	return e.Name
}

// change changes an entitlement by the rules and returns its facts.
func (s *saas) change(name string, rule func(facts *terms.Entitlement, now time.Time)) *terms.Entitlement {
	s.Helper()
	now := s.clock.Now()
	_, facts, err := s.r.Record.Change(s.Context(), name, now, func(_ *v1alpha1.Entitlement, facts *terms.Entitlement) error {
		facts.Follow(now)
		rule(facts, now)
		return nil
	})
	if err != nil {
		s.Fatal(err)
	}
	return facts
}

func (s *saas) facts(name string) *terms.Entitlement {
	s.Helper()
	return s.change(name, func(*terms.Entitlement, time.Time) {})
}

// last is the operation that was put on record last.
func (s *saas) last(name string) terms.Operation {
	s.Helper()
	facts := s.facts(name)
	return facts.Operations[len(facts.Operations)-1]
}

func (s *saas) pass(name string) ctrl.Result {
	s.Helper()
	res, err := s.r.Reconcile(s.Context(), ctrl.Request{NamespacedName: client.ObjectKey{Name: name}})
	if err != nil {
		s.Fatal(err)
	}
	return res
}

func (s *saas) step(d time.Duration) { s.clock.SetTime(s.clock.Now().Add(d)) }

// webhookAt moves the webhook.
func (s *saas) webhookAt(url string) {
	s.Helper()
	p := get(s.T, &v1alpha1.Publisher{}, "", s.name)
	p.Spec.WebhookURL = url
	if err := live.Update(s.Context(), p); err != nil {
		s.Fatal(err)
	}
}

// actions does to an entitlement what makes each operation.
var actions = map[terms.Action]func(s *saas, name string){
	terms.ChangePlan: func(s *saas, name string) {
		s.change(name, func(f *terms.Entitlement, now time.Time) {
			level := f.Level()
			level.Plan = "gold"
			f.Request(terms.ChangePlan, level, now)
		})
	},
	terms.ChangeQuantity: func(s *saas, name string) {
		s.change(name, func(f *terms.Entitlement, now time.Time) {
			level := f.Level()
			level.Quantity = 7
			f.Request(terms.ChangeQuantity, level, now)
		})
	},
	terms.Reinstate: func(s *saas, name string) {
		s.change(name, func(f *terms.Entitlement, now time.Time) {
			f.Suspended = now.Add(-time.Minute)
			f.Request(terms.Reinstate, f.Level(), now)
		})
	},
	terms.Renew: func(s *saas, name string) {
		s.step(365 * 24 * time.Hour)
		s.facts(name)
	},
	terms.Suspend: func(s *saas, name string) {
		s.change(name, func(f *terms.Entitlement, now time.Time) { f.Suspend(now) })
	},
	terms.Unsubscribe: func(s *saas, name string) {
		s.change(name, func(f *terms.Entitlement, now time.Time) { f.End(terms.EndCancelled, now, now) })
	},
}
