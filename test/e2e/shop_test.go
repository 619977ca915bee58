package e2e

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/keys"
)

// shop is a product, its issuer and a customer, with names of their own.
type shop struct {
	t              *testing.T
	name, customer string
	keys           int // handed to the pool so far
}

// newShop opens a shop with a pool of so many keys, each for one subscription.
func newShop(t *testing.T, stock int, change ...func(*v1alpha1.Product)) *shop {
	t.Helper()
	name := fmt.Sprintf("shop-%d", serial.Add(1))
	s := &shop{t: t, name: name, customer: name + "-customer"}
	s.create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.customer}})
	s.create(&v1alpha1.KeyIssuer{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.KeyIssuerSpec{
		Pool: &v1alpha1.KeyPool{SecretSelector: metav1.LabelSelector{MatchLabels: map[string]string{"pool": name}}, Format: v1alpha1.KeyFormat5x5},
	}})
	p := &v1alpha1.Product{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.ProductSpec{
		DisplayName: "A product",
		Software:    &v1alpha1.SoftwareProduct{Keys: v1alpha1.ProductKeys{IssuerRef: v1alpha1.Reference{Name: name}}},
		Terms: []v1alpha1.TermOffer{
			{Term: v1alpha1.TermYear, Price: v1alpha1.Money{Amount: "120.00", Currency: "EUR"}},
			{
				Term: v1alpha1.TermMonth, Price: v1alpha1.Money{Amount: "12.00", Currency: "EUR"},
				Cancellation: &v1alpha1.CancellationPolicy{Window: "PT5S", Refund: v1alpha1.RefundFull},
			},
		},
	}}
	for _, f := range change {
		f(p)
	}
	s.create(p)
	if stock > 0 {
		s.topUp(stock)
	}
	return s
}

func perLicense(p *v1alpha1.Product) { p.Spec.Software.Keys.Per = v1alpha1.KeysPerLicense }

func (s *shop) create(o client.Object) {
	s.t.Helper()
	if err := live.Create(s.t.Context(), o); err != nil {
		s.t.Fatal(err)
	}
}

// topUp adds a Secret with so many new keys to the pool.
func (s *shop) topUp(n int) {
	s.t.Helper()
	var b strings.Builder
	for range n {
		s.keys++
		key := fmt.Sprintf("POOL%d-%05d-AAAAA-BBBBB-%05d", serial.Load()%10, serial.Add(1), s.keys)
		issuedKeys[key] = true
		fmt.Fprintln(&b, key)
	}
	s.create(&corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: operatorNamespace, Name: fmt.Sprintf("%s-%d", s.name, s.keys), Labels: map[string]string{"pool": s.name}},
		StringData: map[string]string{"keys": b.String()},
	})
}

func (s *shop) buy(name string, change ...func(*v1alpha1.SoftwareSubscription)) *v1alpha1.SoftwareSubscription {
	s.t.Helper()
	sub := &v1alpha1.SoftwareSubscription{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.customer, Name: name},
		Spec:       v1alpha1.SoftwareSubscriptionSpec{ProductRef: v1alpha1.Reference{Name: s.name}, Quantity: 1, Term: v1alpha1.TermYear},
	}
	for _, f := range change {
		f(sub)
	}
	s.create(sub)
	return sub
}

func (s *shop) cancel(name string) error {
	sub := &v1alpha1.SoftwareSubscription{ObjectMeta: metav1.ObjectMeta{Namespace: s.customer, Name: name}}
	return live.Patch(s.t.Context(), sub, client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"cancelled":true}}`)))
}

func (s *shop) get(name string) (*v1alpha1.SoftwareSubscription, error) {
	sub := &v1alpha1.SoftwareSubscription{}
	return sub, live.Get(s.t.Context(), client.ObjectKey{Namespace: s.customer, Name: name}, sub)
}

// settled waits until a subscription is in a state and the operator has seen
// its present spec.
func (s *shop) settled(name string, state v1alpha1.SubscriptionState) *v1alpha1.SoftwareSubscription {
	s.t.Helper()
	var sub *v1alpha1.SoftwareSubscription
	eventually(s.t, "waiting for "+name+" to be "+string(state), func() (err error) {
		if sub, err = s.get(name); err != nil {
			return err
		}
		if sub.Status.State != state || sub.Status.ObservedGeneration != sub.Generation {
			return fmt.Errorf("it is %s: %s", sub.Status.State, sub.Status.Message)
		}
		return nil
	})
	return sub
}

// issuerReady waits until the issuer can issue.
func (s *shop) issuerReady() {
	s.t.Helper()
	eventually(s.t, "waiting for the issuer", func() error {
		i := &v1alpha1.KeyIssuer{}
		if err := live.Get(s.t.Context(), client.ObjectKey{Name: s.name}, i); err != nil {
			return err
		}
		if i.Status.Keys == nil || i.Status.Keys.Available == nil || *i.Status.Keys.Available == 0 {
			return errors.New("no keys available")
		}
		return nil
	})
}

func (s *shop) entries() []v1alpha1.LicenseKey {
	s.t.Helper()
	var list v1alpha1.LicenseKeyList
	if err := live.List(s.t.Context(), &list, client.MatchingFields{"spec.customer": s.customer}); err != nil {
		s.t.Fatal(err)
	}
	return list.Items
}

func (s *shop) secret(name string) map[string][]byte {
	s.t.Helper()
	secret := &corev1.Secret{}
	err := live.Get(s.t.Context(), client.ObjectKey{Namespace: s.customer, Name: name}, secret)
	if client.IgnoreNotFound(err) != nil {
		s.t.Fatal(err)
	}
	if apierrors.IsNotFound(err) {
		return nil
	}
	return secret.Data
}

// checkOneKeyPerSlot checks that the ledger has exactly one entry for each of
// a subscription's keys, and that the Secret holds these keys.
func (s *shop) checkOneKeyPerSlot(name string, slots int) {
	s.t.Helper()
	var mine []v1alpha1.LicenseKey
	for _, e := range s.entries() {
		if e.Spec.Subscription.Name == name {
			mine = append(mine, e)
		}
	}
	data := s.secret(name + "-key")
	if len(mine) != slots || len(data) != slots {
		s.t.Errorf("%s: %d entries in the ledger and %d keys in the Secret, want %d", name, len(mine), len(data), slots)
	}
	for _, e := range mine {
		if got := keys.Fingerprint(string(data[e.Spec.Purchase.KeyEntry(e.Spec.Slot)])); got != e.Spec.Fingerprint {
			s.t.Errorf("%s, slot %d: the Secret has another key than the ledger", name, e.Spec.Slot)
		}
	}
}
