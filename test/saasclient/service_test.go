package saasclient

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/cluster"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/entitlements"
	"github.com/license-operator/license-operator/internal/fulfillment"
	"github.com/license-operator/license-operator/internal/signing"
	"github.com/license-operator/license-operator/internal/terms"
	"github.com/license-operator/license-operator/test/controlplane"
)

const (
	customer = "contoso"
	account  = "analytics"                            // of the publisher, and the publisher's name
	id2      = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee" // of the purchase that lives
	opens    = "ab+cd/ef"                             // the purchase token
)

// TestLifeAtTheService runs the client against the service alone, with the
// rights of its own account and without the controllers, which a purchase does
// not need once it is on record.
func TestLifeAtTheService(t *testing.T) {
	log.SetLogger(zap.New(zap.WriteTo(io.Discard)))
	plane, err := controlplane.Start(t.Context(), controlplane.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = plane.Stop() })
	for _, args := range [][]string{
		{"apply", "--server-side", "-k", "../../config/namespace"},
		{"apply", "--server-side", "-k", "../../config/crd"},
		{"apply", "--server-side", "-k", "../../config/rbac"},
		{"wait", "--for=condition=Established", "crd", "--all"},
	} {
		if _, err := plane.Run(t.Context(), args...); err != nil {
			t.Fatal(err)
		}
	}
	scheme := runtime.NewScheme()
	_ = clientgoscheme.AddToScheme(scheme)
	_ = v1alpha1.AddToScheme(scheme)
	kubeconfig, err := plane.ServiceAccountKubeconfig(t.Context(), "license-operator-system", "license-operator-fulfillment")
	if err != nil {
		t.Fatal(err)
	}
	own, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	operator, err := cluster.New(own, func(o *cluster.Options) { o.Scheme = scheme })
	if err != nil {
		t.Fatal(err)
	}
	if err := entitlements.Register(t.Context(), operator.GetFieldIndexer()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var over sync.WaitGroup
	over.Go(func() { _ = operator.Start(ctx) })
	t.Cleanup(func() { cancel(); over.Wait() })

	live, err := client.New(plane.Config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	sell(t, live)
	const others = 100 // that fill a page
	for n := range others {
		buy(t, live, 2+n, uuid.NewString())
	}
	service := &fulfillment.Service{
		Client: operator.GetClient(), Live: operator.GetAPIReader(), Clock: clock.RealClock{}, Tokens: oneToken{},
	}
	c := serve(t, service.ServeHTTP)
	service.BaseURL = strings.TrimSuffix(c.Base, "/api")
	token := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: []string{"license-operator"}, ExpirationSeconds: ptr.To(int64(3600))}}
	if err := live.SubResource("token").Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: account, Name: account}}, token); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(c.TokenFile, []byte(token.Status.Token), 0o600); err != nil {
		t.Fatal(err)
	}
	strange := *c
	strange.TokenFile = filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(strange.TokenFile, []byte("nobody"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"list": func() error { _, err := strange.List(t.Context()); return err }(),
		"get":  func() error { _, err := strange.Get(t.Context(), id2); return err }(),
	} {
		if no := new(Refused); !errors.As(err, &no) || no.Status != http.StatusForbidden {
			t.Errorf("%s without the credential: %v", name, err)
		}
	}

	record := &entitlements.Record{Client: live, Live: live}
	Life(t, c, &Purchase{
		Token: opens, Publisher: account, Offer: "reports", Plan: "silver", Quantity: 3, Other: "gold",
		Ask: func(quantity int64) {
			_, _, err := record.Change(t.Context(), entitlements.Name(customer, account, 1), time.Now(), func(_ *v1alpha1.Entitlement, f *terms.Entitlement) error {
				level := f.Level()
				level.Quantity = quantity
				f.Request(terms.ChangeQuantity, level, time.Now().Truncate(time.Second))
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		},
	})
	if all, err := c.List(t.Context()); err != nil || len(all) != 1+others {
		t.Errorf("the list has %d subscriptions, not %d: %v", len(all), 1+others, err)
	}
}

// oneToken knows one purchase token.
type oneToken struct{}

func (oneToken) PurchaseToken(_ context.Context, token string, _ time.Time) (string, error) {
	if token != opens {
		return "", signing.ErrInvalid
	}
	return id2, nil
}

// sell has a customer buy three seats of a publisher's service.
func sell(t *testing.T, live client.Client) {
	t.Helper()
	price := func(amount string) []v1alpha1.TermOffer {
		return []v1alpha1.TermOffer{{Term: v1alpha1.TermMonth, Price: v1alpha1.Money{Amount: amount, Currency: "EUR"}}}
	}
	seats := &v1alpha1.SeatBounds{Min: 1, Max: 50}
	for _, o := range []client.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: customer}},
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: account}},
		&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: account, Name: account}},
		&v1alpha1.Publisher{ObjectMeta: metav1.ObjectMeta{Name: account}, Spec: v1alpha1.PublisherSpec{
			DisplayName: "Analytics", LandingPageURL: "https://analytics.example/landing", WebhookURL: "https://analytics.example/webhook",
			Subjects: []v1alpha1.Subject{{Kind: "ServiceAccount", Namespace: account, Name: account}},
		}},
		&v1alpha1.Product{ObjectMeta: metav1.ObjectMeta{Name: account}, Spec: v1alpha1.ProductSpec{
			DisplayName: "Reports", Terms: price("10.00"),
			SaaS: &v1alpha1.SaaSProduct{PublisherRef: v1alpha1.Reference{Name: account}, OfferID: "reports", Plans: []v1alpha1.Plan{
				{ID: "silver", DisplayName: "Silver", Seats: seats},
				{ID: "gold", DisplayName: "Gold", Seats: seats, Terms: price("20.00")},
			}},
		}},
		&v1alpha1.MarketplaceSubscription{
			ObjectMeta: metav1.ObjectMeta{Namespace: customer, Name: account},
			Spec:       v1alpha1.MarketplaceSubscriptionSpec{ProductRef: v1alpha1.Reference{Name: account}, PlanID: "silver", Quantity: 3, Term: v1alpha1.TermMonth},
		},
	} {
		if err := live.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	buy(t, live, 1, id2)
}

// buy puts the nth purchase on record.
func buy(t *testing.T, live client.Client, n int, id string) {
	t.Helper()
	bought := &v1alpha1.Entitlement{
		ObjectMeta: metav1.ObjectMeta{
			Name:   entitlements.Name(customer, account, n),
			Labels: map[string]string{v1alpha1.LabelPublisher: account, v1alpha1.LabelCustomer: customer},
		},
		Spec: v1alpha1.EntitlementSpec{
			ID: id, Customer: customer, Subscription: v1alpha1.SubscriptionIdentity{Name: account, UID: "it-is-found-by-name"},
			ProductRef: v1alpha1.Reference{Name: account}, PublisherRef: v1alpha1.Reference{Name: account}, OfferID: "reports",
			Purchase: v1alpha1.ServicePurchase{
				At: metav1.Now(), Term: v1alpha1.TermMonth,
				Cancellation: v1alpha1.CancellationPolicy{Window: "P3D", Refund: v1alpha1.RefundFull},
				ServiceLevel: v1alpha1.ServiceLevel{PlanID: "silver", Quantity: 3, UnitPrice: v1alpha1.Money{Amount: "10.00", Currency: "EUR"}, BillingCycle: v1alpha1.BillingMonthly},
			},
			Subscriber: v1alpha1.Subscriber{AutoRenew: true}, // and nothing else: what is not known must not look like something
		},
	}
	if err := live.Create(t.Context(), bought); err != nil {
		t.Fatal(err)
	}
}
