package invoice

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/test/controlplane"
)

// The tests of this package run the command as a user who may read what the
// documentation says is needed and nothing else, on a real API server.

var (
	plane   *controlplane.ControlPlane
	live    client.Client // an administrator's
	auditor string        // path of a kubeconfig
	nobody  string        // of one who may do nothing
)

func TestMain(m *testing.M) { os.Exit(runSuite(m)) }

func runSuite(m *testing.M) int {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "invoice-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	if plane, err = controlplane.Start(ctx, controlplane.Options{Dir: dir}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer plane.Stop()
	if err := setUp(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

func setUp(ctx context.Context) error {
	if _, err := plane.Run(ctx, "apply", "--server-side", "-k", filepath.Join("..", "..", "config", "crd")); err != nil {
		return err
	}
	if _, err := plane.Run(ctx, "wait", "--for=condition=Established", "crd", "--all"); err != nil {
		return err
	}
	scheme := runtime.NewScheme()
	_ = clientgoscheme.AddToScheme(scheme)
	_ = v1alpha1.AddToScheme(scheme)
	var err error
	if live, err = client.New(plane.Config, client.Options{Scheme: scheme}); err != nil {
		return err
	}
	if auditor, err = plane.UserKubeconfig("dan"); err != nil {
		return err
	}
	if nobody, err = plane.UserKubeconfig("eve"); err != nil {
		return err
	}
	group := v1alpha1.GroupVersion.Group
	objects := []client.Object{
		&rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "invoices"}, Rules: []rbacv1.PolicyRule{
			{APIGroups: []string{group}, Resources: []string{"entitlements", "licensekeys"}, Verbs: []string{"list"}},
			{APIGroups: []string{group}, Resources: []string{"products", "publishers"}, Verbs: []string{"get"}},
			{APIGroups: []string{""}, Resources: []string{"namespaces"}, Verbs: []string{"get"}},
		}},
		&rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: "invoices"},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "invoices"},
			Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: "dan"}},
		},
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "newcomer"}},
	}
	for _, o := range append(objects, catalogueObjects()...) {
		if err := live.Create(ctx, o); err != nil {
			return err
		}
	}
	return nil
}

func catalogueObjects() []client.Object {
	price := []v1alpha1.TermOffer{{Term: v1alpha1.TermMonth, Price: eur("4.00")}}
	return []client.Object{
		&v1alpha1.Publisher{ObjectMeta: metav1.ObjectMeta{Name: "fourth-coffee"}, Spec: v1alpha1.PublisherSpec{
			DisplayName: "Fourth Coffee", LandingPageURL: "https://coffee.example/landing", WebhookURL: "https://coffee.example/webhook",
		}},
		&v1alpha1.Product{ObjectMeta: metav1.ObjectMeta{Name: "coffee-analytics"}, Spec: v1alpha1.ProductSpec{
			DisplayName: "Coffee Analytics", Terms: price,
			SaaS: &v1alpha1.SaaSProduct{PublisherRef: v1alpha1.Reference{Name: "fourth-coffee"}, OfferID: "coffee", Plans: []v1alpha1.Plan{
				{ID: "silver", DisplayName: "Silver"}, {ID: "gold", DisplayName: "Gold, for \"large\" teams"},
			}},
		}},
		&v1alpha1.Product{ObjectMeta: metav1.ObjectMeta{Name: "office-ltsc"}, Spec: v1alpha1.ProductSpec{
			DisplayName: "Office LTSC", Terms: price,
			Software: &v1alpha1.SoftwareProduct{Keys: v1alpha1.ProductKeys{IssuerRef: v1alpha1.Reference{Name: "office"}}},
		}},
	}
}

func eur(amount string) v1alpha1.Money { return v1alpha1.Money{Amount: amount, Currency: "EUR"} }

func stamp(s string) metav1.Time {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		panic(err)
	}
	return metav1.NewTime(t)
}

func stampOf(s string) *metav1.Time {
	t := stamp(s)
	return &t
}

// silver is so many seats for 4.00 EUR each a month.
func silver(quantity int64) v1alpha1.ServiceLevel {
	return v1alpha1.ServiceLevel{PlanID: "silver", Quantity: quantity, UnitPrice: eur("4.00"), BillingCycle: v1alpha1.BillingMonthly}
}

// service puts a service on record that was bought and activated at an instant,
// and by default is one silver seat for a month that renews.
func service(t *testing.T, customer, name, when string, change ...func(*v1alpha1.EntitlementSpec)) {
	t.Helper()
	e := &v1alpha1.Entitlement{
		ObjectMeta: metav1.ObjectMeta{Name: customer + "." + name + ".1"},
		Spec: v1alpha1.EntitlementSpec{
			ID: fmt.Sprintf("00000000-0000-4000-8000-%012x", name), Customer: customer,
			Subscription: v1alpha1.SubscriptionIdentity{Name: name, UID: types.UID("uid-" + name)},
			ProductRef:   v1alpha1.Reference{Name: "coffee-analytics"}, PublisherRef: v1alpha1.Reference{Name: "fourth-coffee"}, OfferID: "coffee",
			Purchase: v1alpha1.ServicePurchase{
				At: stamp(when), Term: v1alpha1.TermMonth, ServiceLevel: silver(1),
				Cancellation: v1alpha1.CancellationPolicy{Window: "P3D", Refund: v1alpha1.RefundFull},
			},
			Subscriber: v1alpha1.Subscriber{AutoRenew: true}, ActivatedAt: stampOf(when),
		},
	}
	e.Spec.ID = e.Spec.ID[:36]
	for _, f := range change {
		f(&e.Spec)
	}
	if err := live.Create(context.Background(), e); err != nil {
		t.Fatal(err)
	}
}

// licence puts a key of software on record, by default the first of 25 licences
// for 120.00 EUR each a year.
func licence(t *testing.T, customer, name, when string, change ...func(*v1alpha1.LicenseKeySpec)) {
	t.Helper()
	k := &v1alpha1.LicenseKey{Spec: v1alpha1.LicenseKeySpec{
		IssuerRef: v1alpha1.Reference{Name: "office"}, Customer: customer,
		Subscription: v1alpha1.SubscriptionIdentity{Name: name, UID: types.UID("uid-" + name)},
		ProductRef:   v1alpha1.Reference{Name: "office-ltsc"}, Slot: 1, State: v1alpha1.LicenseKeyIssued,
		Purchase: v1alpha1.Purchase{
			At: stamp(when), Term: v1alpha1.TermYear, Quantity: 25, KeysPer: v1alpha1.KeysPerSubscription, UnitPrice: eur("120.00"),
			Cancellation: v1alpha1.CancellationPolicy{Window: "P7D", Refund: v1alpha1.RefundProrated},
		},
	}}
	for _, f := range change {
		f(&k.Spec)
	}
	k.Spec.Fingerprint = fmt.Sprintf("%x%s", customer+name+fmt.Sprint(k.Spec.Slot), strings.Repeat("0", 40))[:40]
	k.Name = "office-" + k.Spec.Fingerprint
	if err := live.Create(context.Background(), k); err != nil {
		t.Fatal(err)
	}
}

// run runs the command at an instant and returns what it wrote.
func run(now, kubeconfig string, args ...string) (stdout, stderr string, err error) {
	var out, errs bytes.Buffer
	err = command(context.Background(), clocktesting.NewFakePassiveClock(stamp(now).Time), append(args, "--kubeconfig", kubeconfig), &out, &errs)
	return out.String(), errs.String(), err
}
