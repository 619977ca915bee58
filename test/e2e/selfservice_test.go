package e2e

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
)

// desk is a customer whose employees buy themselves, with names of its own.
type desk struct {
	t        *testing.T
	name     string // of the product
	customer string
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	name := fmt.Sprintf("desk-%d", serial.Add(1))
	d := &desk{t: t, name: name, customer: name + "-customer"}
	d.create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: d.customer}})
	return d
}

func (d *desk) create(o client.Object) {
	d.t.Helper()
	if err := live.Create(d.t.Context(), o); err != nil {
		d.t.Fatal(err)
	}
}

// publish puts the product into the catalogue, for this customer.
func (d *desk) publish() {
	d.t.Helper()
	d.create(&v1alpha1.Product{ObjectMeta: metav1.ObjectMeta{Name: d.name}, Spec: v1alpha1.ProductSpec{
		DisplayName: "Drawing",
		Customers:   &v1alpha1.Customers{NamespaceSelector: metav1.LabelSelector{MatchLabels: map[string]string{"segment": d.name}}},
		SaaS: &v1alpha1.SaaSProduct{PublisherRef: v1alpha1.Reference{Name: d.name}, OfferID: "drawing", Plans: []v1alpha1.Plan{
			{ID: "user", DisplayName: "Per user", Seats: &v1alpha1.SeatBounds{Min: 1, Max: 50}},
		}},
		Terms:       []v1alpha1.TermOffer{{Term: v1alpha1.TermYear, Price: v1alpha1.Money{Amount: "120.00", Currency: "EUR"}}},
		SelfService: &v1alpha1.SelfServiceOffer{Purchase: true, Trial: &v1alpha1.TrialOffer{Length: "P30D", PaymentMethod: v1alpha1.PaymentMethodNotRequired}},
	}})
}

func (d *desk) ask(name string, typ v1alpha1.SelfServiceType) {
	d.t.Helper()
	d.create(&v1alpha1.SelfServicePurchase{ObjectMeta: metav1.ObjectMeta{Namespace: d.customer, Name: name}, Spec: v1alpha1.SelfServicePurchaseSpec{
		ProductRef: v1alpha1.Reference{Name: d.name}, Type: typ, Quantity: 1, PaymentMethod: typ == v1alpha1.SelfServicePurchased,
		Purchaser: v1alpha1.Purchaser{Username: name, Person: v1alpha1.Person{Email: "ada@contoso.example"}},
	}})
}

// reads waits until a condition of an object has a reason.
func (d *desk) reads(o interface {
	client.Object
	Conditions() *[]metav1.Condition
}, name, typ, reason string,
) {
	d.t.Helper()
	eventually(d.t, fmt.Sprintf("waiting for %s to be %s", name, reason), func() error {
		if err := live.Get(d.t.Context(), client.ObjectKey{Namespace: d.customer, Name: name}, o); err != nil {
			return err
		}
		if c := meta.FindStatusCondition(*o.Conditions(), typ); c == nil || c.Reason != reason {
			return fmt.Errorf("%+v", *o.Conditions())
		}
		return nil
	})
}

// Whatever stands in the way of a purchase, it goes on as soon as that is gone,
// and policies tell of what has changed.
func TestWakesSelfService(t *testing.T) {
	startOperator(t, kubeconfig, "--self-service-default=Block")
	d := newDesk(t)
	tried, policy := &v1alpha1.SelfServicePurchase{}, &v1alpha1.SelfServicePolicy{}
	d.ask("ada", v1alpha1.SelfServiceTrial)
	d.reads(tried, "ada", "Stalled", "ProductNotFound")
	d.publish()
	d.reads(tried, "ada", "Stalled", "NotOffered")
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: d.customer}}
	if err := live.Patch(t.Context(), ns, client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"labels":{"segment":"`+d.name+`"}}}`))); err != nil {
		t.Fatal(err)
	}
	d.reads(tried, "ada", "Stalled", "AgreementRequired")
	d.create(&v1alpha1.PartnerAgreement{ObjectMeta: metav1.ObjectMeta{Namespace: d.customer, Name: "open"}, Spec: v1alpha1.PartnerAgreementSpec{
		AuthorizationNumber: "12345678ZZS1234", LicenseNumber: "12345678", CustomerEmail: "it@contoso.example",
	}})
	d.reads(tried, "ada", "Stalled", "BlockedByPolicy")
	d.create(&v1alpha1.SelfServicePolicy{ObjectMeta: metav1.ObjectMeta{Namespace: d.customer, Name: "audits"}, Spec: v1alpha1.SelfServicePolicySpec{
		Default: v1alpha1.SelfServiceBlock, Mode: v1alpha1.SelfServiceAudit,
	}})
	d.reads(policy, "audits", "Ready", "Audited")
	d.reads(tried, "ada", "Stalled", "BlockedByPolicy") // it enforces nothing, so the operator's default holds
	d.create(&v1alpha1.SelfServicePolicy{ObjectMeta: metav1.ObjectMeta{Namespace: d.customer, Name: "enforces"}})
	d.reads(tried, "ada", "Ready", "Licensed")
	d.reads(tried, "ada", "Compliant", "WouldBeRefused")
	eventually(t, "waiting for what the policy would have refused", func() error {
		d.reads(policy, "audits", "Ready", "Audited")
		told := slices.ContainsFunc(policy.Status.Products, func(p v1alpha1.ProductPolicyStatus) bool { return p.Name == d.name })
		if a := policy.Status.Audit; a == nil || a.Total != 1 || !told {
			return fmt.Errorf("%+v", policy.Status)
		}
		return nil
	})
	enforces := &v1alpha1.SelfServicePolicy{ObjectMeta: metav1.ObjectMeta{Namespace: d.customer, Name: "enforces"}}
	if err := live.Patch(t.Context(), enforces, client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"products":[{"name":"`+d.name+`","value":"Block"}]}}`))); err != nil {
		t.Fatal(err)
	}
	d.reads(policy, "enforces", "Ready", "Enforced")
	d.reads(policy, "enforces", "ProductsFound", "AllFound")
	if err := live.Delete(t.Context(), &v1alpha1.Product{ObjectMeta: metav1.ObjectMeta{Name: d.name}}); err != nil {
		t.Fatal(err)
	}
	d.reads(policy, "enforces", "ProductsFound", "ProductNotFound")
	d.reads(tried, "ada", "Ready", "Licensed")
}

// A purchase in self-service costs two writes, and the Event that tells of it.
// What policies tell is brought up to date once a second at most.
func TestTwoWritesInSelfService(t *testing.T) {
	const buyers = 30
	startOperator(t, kubeconfig)
	d := newDesk(t)
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: d.customer}}
	if err := live.Patch(t.Context(), ns, client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"labels":{"segment":"`+d.name+`"}}}`))); err != nil {
		t.Fatal(err)
	}
	d.publish()
	d.create(&v1alpha1.SelfServicePolicy{ObjectMeta: metav1.ObjectMeta{Namespace: d.customer, Name: "audits"}, Spec: v1alpha1.SelfServicePolicySpec{
		Default: v1alpha1.SelfServiceBlock, Mode: v1alpha1.SelfServiceAudit,
	}})
	policy := &v1alpha1.SelfServicePolicy{}
	d.reads(policy, "audits", "Ready", "Audited")
	counts := func() map[string]int {
		t.Helper()
		all, err := writeCounts(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		maps.DeleteFunc(all, func(what string, _ int) bool { // others of this suite may still be at work
			return what != "POST selfserviceorders" && what != "PATCH selfserviceorders" && what != "PATCH selfservicepurchases/status" && what != "PATCH selfservicepolicies/status"
		})
		return all
	}
	before, start := counts(), time.Now()
	for i := range buyers {
		d.ask(fmt.Sprintf("user-%d", i), v1alpha1.SelfServicePurchased)
	}
	for i := range buyers {
		d.reads(&v1alpha1.SelfServicePurchase{}, fmt.Sprintf("user-%d", i), "Ready", "Licensed")
	}
	eventually(t, "waiting for the policy to tell of all", func() error {
		d.reads(policy, "audits", "Ready", "Audited")
		if policy.Status.Audit.Total != buyers {
			return fmt.Errorf("%d so far", policy.Status.Audit.Total)
		}
		return nil
	})
	got := since(before, counts())
	if told, most := got["PATCH selfservicepolicies/status"], int(time.Since(start)/time.Second)+2; told < 1 || told > most {
		t.Errorf("the policy's status was written %d times, at most %d are due", told, most)
	}
	delete(got, "PATCH selfservicepolicies/status")
	if want := map[string]int{"POST selfserviceorders": buyers, "PATCH selfservicepurchases/status": buyers}; !maps.Equal(got, want) {
		t.Errorf("writes %v, want %v", got, want)
	}
}
