package e2e

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/test/saasclient"
)

// TestPublishersClient leads a purchase through its life with a client of the
// fulfilment API that was not written with the operator.
func TestPublishersClient(t *testing.T) {
	startOperator(t, kubeconfig, "--serve=controllers")
	account, err := cluster.ServiceAccountKubeconfig(t.Context(), operatorNamespace, "license-operator-fulfillment")
	if err != nil {
		t.Fatal(err)
	}
	o := startOperator(t, account, "--serve=fulfillment")
	p := newPublisher(t, "https://127.0.0.1:1/webhook") // a private address, so it is never called
	sub := p.buy(5)
	address := p.landingPage(sub)
	program, err := saasclient.Build(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	c := &saasclient.Client{Program: program, Base: "http://" + o.fulfillment + "/api", TokenFile: p.token()}
	saasclient.Life(t, c, &saasclient.Purchase{
		Token: address.Query().Get("token"), Publisher: p.name, Offer: p.name, Plan: "silver", Quantity: 5, Other: "gold",
		Ask: func(quantity int64) { p.ask(sub, quantity) },
	})
	eventually(t, "waiting for the end", func() error {
		if p.read(sub); sub.Status.State != v1alpha1.StateUnsubscribed {
			return fmt.Errorf("it is %s", sub.Status.State)
		}
		return nil
	})
}

// publisher is a Publisher with a product and a customer, with names of their
// own.
type publisher struct {
	t              *testing.T
	name, customer string
}

func newPublisher(t *testing.T, webhook string) *publisher {
	t.Helper()
	if webhook == "" {
		webhook = "https://saas.example/webhook"
	}
	name := fmt.Sprintf("publisher-%d", serial.Add(1))
	p := &publisher{t: t, name: name, customer: name + "-customer"}
	p.create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
	p.create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: p.customer}})
	p.create(&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: name, Name: "saas"}})
	p.create(&v1alpha1.Publisher{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.PublisherSpec{
		DisplayName: "A publisher", LandingPageURL: "https://saas.example/landing", WebhookURL: webhook,
		Subjects: []v1alpha1.Subject{{Kind: "ServiceAccount", Namespace: name, Name: "saas"}},
	}})
	seats := &v1alpha1.SeatBounds{Min: 1, Max: 100}
	p.create(&v1alpha1.Product{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.ProductSpec{
		DisplayName: "A service",
		SaaS: &v1alpha1.SaaSProduct{PublisherRef: v1alpha1.Reference{Name: name}, OfferID: name, Plans: []v1alpha1.Plan{
			{ID: "silver", DisplayName: "Silver", Seats: seats}, {ID: "gold", DisplayName: "Gold", Seats: seats},
		}},
		Terms: []v1alpha1.TermOffer{{Term: v1alpha1.TermMonth, Price: v1alpha1.Money{Amount: "4.00", Currency: "EUR"}}},
	}})
	return p
}

func (p *publisher) create(o client.Object) {
	p.t.Helper()
	if err := live.Create(p.t.Context(), o); err != nil {
		p.t.Fatal(err)
	}
}

func (p *publisher) buy(quantity int64) *v1alpha1.MarketplaceSubscription {
	p.t.Helper()
	sub := &v1alpha1.MarketplaceSubscription{
		ObjectMeta: metav1.ObjectMeta{Namespace: p.customer, Name: fmt.Sprintf("service-%d", serial.Add(1))},
		Spec: v1alpha1.MarketplaceSubscriptionSpec{
			ProductRef: v1alpha1.Reference{Name: p.name}, PlanID: "silver", Quantity: quantity, Term: v1alpha1.TermMonth,
			Beneficiary: &v1alpha1.Person{Email: "ada@contoso.example"},
		},
	}
	p.create(sub)
	return sub
}

func (p *publisher) read(sub *v1alpha1.MarketplaceSubscription) {
	p.t.Helper()
	if err := live.Get(p.t.Context(), client.ObjectKeyFromObject(sub), sub); err != nil {
		p.t.Fatal(err)
	}
}

// landingPage waits for the link to the publisher's site.
func (p *publisher) landingPage(sub *v1alpha1.MarketplaceSubscription) (address *url.URL) {
	p.t.Helper()
	eventually(p.t, "waiting for the link to the publisher's site", func() error {
		var secret corev1.Secret
		key := client.ObjectKey{Namespace: sub.Namespace, Name: sub.LandingSecretName()}
		if err := live.Get(p.t.Context(), key, &secret); err != nil {
			return err
		}
		var err error
		address, err = url.Parse(string(secret.Data["landingPageURL"]))
		issuedKeys[address.Query().Get("token")] = true // also when its Secret is gone by the end
		return err
	})
	return address
}

// token makes a credential for the publisher and returns the file that it is in.
func (p *publisher) token() string {
	p.t.Helper()
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: []string{"license-operator"}}}
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: p.name, Name: "saas"}}
	if err := live.SubResource("token").Create(p.t.Context(), account, request); err != nil {
		p.t.Fatal(err)
	}
	file := filepath.Join(p.t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(request.Status.Token), 0o600); err != nil {
		p.t.Fatal(err)
	}
	return file
}

// ask has the customer ask for so many seats, and waits until the publisher can
// see it.
func (p *publisher) ask(sub *v1alpha1.MarketplaceSubscription, quantity int64) {
	p.t.Helper()
	p.read(sub)
	before := sub.DeepCopy()
	sub.Spec.Quantity = quantity
	if err := live.Patch(p.t.Context(), sub, client.MergeFrom(before)); err != nil {
		p.t.Fatal(err)
	}
	eventually(p.t, "waiting for the operation", func() error {
		var all v1alpha1.EntitlementList
		if err := live.List(p.t.Context(), &all, client.MatchingFields{"spec.subscription.name": sub.Name}); err != nil {
			return err
		}
		for _, e := range all.Items {
			for _, op := range e.Spec.Operations {
				if op.Status == v1alpha1.OperationInProgress && op.Level.Quantity == quantity {
					return nil
				}
			}
		}
		return errors.New("there is none yet")
	})
}
