package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/test/apiproxy"
)

// The controllers are killed before and after each write that they make for a
// service, and the fulfilment service likewise, and started again. Whatever the
// point, a service is bought once, a change is made once, and the publisher is
// told of each operation under one id.
func TestServicesKilledBetweenWrites(t *testing.T) {
	proxy, through := startProxy(t)
	account, err := cluster.ServiceAccountKubeconfig(t.Context(), operatorNamespace, "license-operator-fulfillment")
	if err != nil {
		t.Fatal(err)
	}
	ours := func(w apiproxy.Write) bool {
		return w.Resource == "entitlements" || w.Resource == "secrets" || w.Resource == "marketplacesubscriptions"
	}
	fulfillment := startOperator(t, account, "--serve=fulfillment")
	// killed does something with a subscription that is there already while the
	// controllers are killed, and starts others.
	killed := func(t *testing.T, name string, p point, prepare, act func(*sale), check func(*sale)) {
		t.Run(fmt.Sprintf("%s, write %d, after %v", name, p.write, p.after), func(t *testing.T) {
			s := &sale{publisher: newPublisher(t, ""), api: "http://" + fulfillment.fulfillment + "/api/saas/subscriptions/"}
			s.hook()
			o := startOperator(t, through, "--serve=controllers", "--fulfillment-url=http://"+fulfillment.fulfillment)
			prepare(s)
			p.kill(t, proxy, ours, o, func() { act(s) })
			startOperator(t, through, "--serve=controllers", "--fulfillment-url=http://"+fulfillment.fulfillment)
			check(s)
		})
	}
	nothing := func(*sale) {}
	bought := func(s *sale) { s.sub = s.buy(5); s.landingPage(s.sub) }
	activated := func(s *sale) {
		bought(s)
		s.call(http.MethodPost, "/activate", `{"planId":"silver","quantity":5}`, 200)
		s.state("Subscribed", 5)
	}
	for _, after := range []bool{false, true} {
		for write := 1; write <= 3; write++ {
			killed(t, "buying", point{write, after}, nothing, func(s *sale) { s.sub = s.buy(5) }, func(s *sale) {
				s.landingPage(s.sub)
				s.state("PendingFulfillmentStart", 5)
				s.operations()
			})
		}
		for write := 1; write <= 3; write++ {
			killed(t, "changing the quantity", point{write, after}, activated, func(s *sale) { s.want(func(sub *v1alpha1.MarketplaceSubscription) { sub.Spec.Quantity = 8 }) }, func(s *sale) {
				s.state("Subscribed", 8)
				s.operations("ChangeQuantity")
			})
		}
		for write := 1; write <= 4; write++ {
			killed(t, "cancelling", point{write, after}, activated, func(s *sale) { s.want(func(sub *v1alpha1.MarketplaceSubscription) { sub.Spec.Cancelled = true }) }, func(s *sale) {
				s.state("Unsubscribed", 5)
				s.operations("Unsubscribe")
				key := client.ObjectKey{Namespace: s.sub.Namespace, Name: s.sub.LandingSecretName()}
				if err := live.Get(s.t.Context(), key, &corev1.Secret{}); !apierrors.IsNotFound(err) {
					s.t.Errorf("the link is left: %v", err)
				}
			})
		}
	}
}

// The fulfilment service is killed before and after each write of a publisher's
// call. The publisher calls again, as clients do, and what was asked for is done
// once.
func TestFulfillmentKilledBetweenWrites(t *testing.T) {
	account, err := cluster.ServiceAccountKubeconfig(t.Context(), operatorNamespace, "license-operator-fulfillment")
	if err != nil {
		t.Fatal(err)
	}
	proxy, through := startProxy(t)
	if err := proxy.Kubeconfig(through, account); err != nil {
		t.Fatal(err)
	}
	ours := func(w apiproxy.Write) bool {
		return w.Resource == "entitlements" || w.Resource == "marketplacesubscriptions"
	}
	for _, tc := range []struct {
		name, method, path, body string
		writes                   int
		check                    func(*sale)
	}{
		{"activate", http.MethodPost, "/activate", `{"planId":"silver","quantity":5}`, 1, func(s *sale) { s.state("Subscribed", 5) }},
		{"change the quantity", http.MethodPatch, "", `{"quantity":8}`, 2, func(s *sale) { s.state("Subscribed", 8); s.operations("ChangeQuantity") }},
		{"delete", http.MethodDelete, "", "", 1, func(s *sale) { s.state("Unsubscribed", 5); s.operations("Unsubscribe") }},
	} {
		for write := 1; write <= tc.writes; write++ {
			for _, after := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, write %d of %d, after %v", tc.name, write, tc.writes, after), func(t *testing.T) {
					o := startOperator(t, through, "--serve=fulfillment")
					s := &sale{publisher: newPublisher(t, ""), api: "http://" + o.fulfillment + "/api/saas/subscriptions/"}
					s.hook()
					startOperator(t, kubeconfig, "--serve=controllers", "--fulfillment-url=http://"+o.fulfillment)
					s.sub = s.buy(5)
					s.landingPage(s.sub)
					if tc.name != "activate" {
						s.call(http.MethodPost, "/activate", `{"planId":"silver","quantity":5}`, 200)
						s.state("Subscribed", 5)
					}
					point{write, after}.kill(t, proxy, ours, o, func() { _, _ = s.try(tc.method, tc.path, tc.body) })
					startOperator(t, through, "--serve=fulfillment", "--fulfillment-listen="+o.fulfillment)
					eventually(t, "calling again", func() error {
						code, err := s.try(tc.method, tc.path, tc.body)
						if err == nil && code/100 != 2 && code != http.StatusBadRequest { // which says that it is done
							err = fmt.Errorf("answered %d", code)
						}
						return err
					})
					tc.check(s)
				})
			}
		}
	}
}

// sale is one subscription to a publisher's service, and what its webhook was
// told.
type sale struct {
	*publisher
	sub *v1alpha1.MarketplaceSubscription
	api string

	mu    sync.Mutex
	told  map[string]string // action by operation id
	token string
}

// hook serves the publisher's webhook, which accepts what it may refuse.
func (s *sale) hook() {
	s.told = map[string]string{}
	credential, err := os.ReadFile(s.publisher.token())
	if err != nil {
		s.t.Fatal(err)
	}
	s.token = string(credential)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var event struct{ ID, Action, Status string }
		if err := json.NewDecoder(r.Body).Decode(&event); err != nil || r.Header.Get("Authorization") == "" {
			http.Error(w, "not an event", http.StatusInternalServerError)
			return
		}
		s.mu.Lock()
		s.told[event.ID] = event.Action
		s.mu.Unlock()
		if event.Status == "InProgress" {
			// Whoever could not take the answer accepts without it, some seconds later.
			_, _ = s.try(http.MethodPatch, "/operations/"+event.ID, `{"status":"Success"}`)
		}
	}))
	s.t.Cleanup(server.Close)
	p := &v1alpha1.Publisher{}
	if err := live.Get(s.t.Context(), client.ObjectKey{Name: s.name}, p); err != nil {
		s.t.Fatal(err)
	}
	p.Spec.WebhookURL, p.Spec.AllowPrivateAddresses = server.URL, true
	if err := live.Update(s.t.Context(), p); err != nil {
		s.t.Fatal(err)
	}
}

// entitlement is what the ledger has, which must be one entry.
func (s *sale) entitlement() (*v1alpha1.Entitlement, error) {
	var all v1alpha1.EntitlementList
	if err := live.List(s.t.Context(), &all, client.MatchingFields{"spec.customer": s.customer}); err != nil {
		return nil, err
	}
	if len(all.Items) != 1 {
		return nil, fmt.Errorf("%d entitlements", len(all.Items))
	}
	return &all.Items[0], nil
}

// try makes a call in the publisher's name. The service may be killed meanwhile.
func (s *sale) try(method, path, body string) (code int, err error) {
	e, err := s.entitlement()
	if err != nil {
		return 0, err
	}
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.api+e.Spec.ID+path+"?api-version=2018-08-31", bytes.NewBufferString(body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Authorization", "Bearer "+s.token)
	req.Header.Set("Content-Type", "application/json")
	req.Close = true // a connection to a service that was killed is of no use
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	return res.StatusCode, res.Body.Close()
}

func (s *sale) call(method, path, body string, want int) {
	s.t.Helper()
	if code, err := s.try(method, path, body); err != nil || code != want {
		s.t.Fatalf("%s %s: %d, %v", method, path, code, err)
	}
}

func (s *sale) want(change func(*v1alpha1.MarketplaceSubscription)) {
	s.t.Helper()
	s.read(s.sub)
	before := s.sub.DeepCopy()
	change(s.sub)
	if err := live.Patch(s.t.Context(), s.sub, client.MergeFrom(before)); err != nil {
		s.t.Fatal(err)
	}
}

// state waits until status tells of a state, and checks that the ledger says the
// same.
func (s *sale) state(want v1alpha1.MarketplaceState, quantity int64) {
	s.t.Helper()
	eventually(s.t, "waiting until it is "+string(want), func() error {
		s.read(s.sub)
		if s.sub.Status.State != want || s.sub.Status.Quantity != quantity {
			return fmt.Errorf("it is %s with %d seats: %s", s.sub.Status.State, s.sub.Status.Quantity, s.sub.Status.Message)
		}
		return nil
	})
	e, err := s.entitlement()
	if err != nil || e.Spec.ID != s.sub.Status.ID || (e.Spec.ActivatedAt != nil) != (s.sub.Status.Billing.StartedAt != nil) {
		s.t.Errorf("the ledger says %+v, %v", e, err)
	}
}

// operations waits until the publisher was told of these operations, each under
// one id, and of nothing else.
func (s *sale) operations(want ...string) {
	s.t.Helper()
	eventually(s.t, "waiting until the publisher was told", func() error {
		e, err := s.entitlement()
		if err != nil {
			return err
		}
		var got []string
		for _, op := range e.Spec.Operations {
			got = append(got, string(op.Action))
			if op.Status != v1alpha1.OperationSucceeded || op.DeliveredAt == nil && op.Action == v1alpha1.ActionUnsubscribe {
				return fmt.Errorf("%s is %s, delivered at %v", op.Action, op.Status, op.DeliveredAt)
			}
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if fmt.Sprint(got) != fmt.Sprint(want) || len(s.told) != len(want) {
			return fmt.Errorf("operations %v, told %v, want %v", got, s.told, want)
		}
		return nil
	})
}
