package controllers

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/keys"
)

// change asks for another quantity. The API server stamps it with the real time.
func (s *shop) changeQuantity(name string, n int64) {
	s.t.Helper()
	sub := &v1alpha1.SoftwareSubscription{ObjectMeta: metav1.ObjectMeta{Namespace: s.customer, Name: name}}
	s.edit(sub, func() { sub.Spec.Quantity = n })
}

func (s *shop) perLicense() {
	s.t.Helper()
	p := s.product()
	s.edit(p, func() { p.Spec.Software.Keys.Per = v1alpha1.KeysPerLicense })
}

// keysOf returns the keys in a Secret, in the order of their slots, and those
// of the ledger that are valid or not.
func (s *shop) keysOf(name string) (keys, valid, revoked []string) {
	s.t.Helper()
	data := s.secret(name + "-key")
	for entry, value := range data {
		if strings.HasPrefix(entry, "key") {
			keys = append(keys, entry+"="+value)
		}
	}
	slices.Sort(keys)
	for _, e := range s.entries() {
		switch {
		case e.Spec.Subscription.Name != name:
		case e.Spec.State == v1alpha1.LicenseKeyIssued:
			valid = append(valid, e.Spec.Fingerprint)
		default:
			revoked = append(revoked, e.Spec.Fingerprint)
		}
	}
	return keys, valid, revoked
}

func TestQuantityChangesInTheWindow(t *testing.T) {
	s := newShop(t, "KEY-0001")
	s.clock.SetTime(s.clock.Now().Add(-2 * day))
	s.buy("sub")
	s.pass("sub")
	s.changeQuantity("sub", 30)
	s.clock.SetTime(time.Now())
	s.writes = nil
	sub, _ := s.pass("sub")
	if want := []string{"patch v1alpha1.LicenseKey", "patch status of v1alpha1.SoftwareSubscription"}; !slices.Equal(s.writes, want) {
		t.Errorf("writes %v, want %v", s.writes, want)
	}
	// 30 x 120.00 x 362 of 365 days
	if sub.Status.Quantity != 30 || sub.Status.Cancellation.Credit.Amount != "3570.41" || kstatus(t, sub) != status.CurrentStatus {
		t.Errorf("quantity %d, credit %+v, %s", sub.Status.Quantity, sub.Status.Cancellation.Credit, conditions(sub))
	}
	e := s.entries()[0].Spec
	if len(e.QuantityChanges) != 1 || e.QuantityChanges[0].Quantity != 30 || e.Purchase.Quantity != 25 {
		t.Errorf("ledger %+v", e)
	}
	s.quiet("sub")
	s.changeQuantity("sub", 20)
	s.pass("sub")
	s.changeQuantity("sub", 21) // in the same second, perhaps
	sub, _ = s.pass("sub")
	if e := s.entries()[0].Spec; sub.Status.Quantity != 21 || len(e.QuantityChanges) != 3 {
		t.Errorf("quantity %d, ledger %+v", sub.Status.Quantity, e.QuantityChanges)
	}
	s.quiet("sub")
}

func TestQuantityChangesTheKeys(t *testing.T) {
	s := newShop(t, "KEY-0001", "KEY-0002", "KEY-0003", "KEY-0004", "KEY-0005")
	s.perLicense()
	s.buy("sub", quantity(2))
	s.pass("sub")
	url := s.secret("sub-key")["downloadURL"]

	s.changeQuantity("sub", 4)
	sub, _ := s.pass("sub")
	keys, valid, revoked := s.keysOf("sub")
	if want := []string{"key-1=KEY-0001", "key-2=KEY-0002", "key-3=KEY-0003", "key-4=KEY-0004"}; !slices.Equal(keys, want) || len(valid) != 4 || len(revoked) != 0 {
		t.Errorf("after two more: %v, %d valid, %d revoked", keys, len(valid), len(revoked))
	}
	if sub.Status.Keys.Issued != 4 || s.secret("sub-key")["downloadURL"] != url {
		t.Errorf("status %+v; the link changed: %v", sub.Status.Keys, s.secret("sub-key")["downloadURL"] != url)
	}
	s.quiet("sub")

	s.changeQuantity("sub", 1)
	s.pass("sub")
	keys, valid, revoked = s.keysOf("sub")
	if !slices.Equal(keys, []string{"key-1=KEY-0001"}) || len(valid) != 1 || len(revoked) != 3 {
		t.Errorf("after three less: %v, %d valid, %d revoked", keys, len(valid), len(revoked))
	}
	s.quiet("sub")

	// A key that was given back is not issued again, not even to the same one.
	s.changeQuantity("sub", 2)
	s.pass("sub")
	if keys, _, _ = s.keysOf("sub"); !slices.Equal(keys, []string{"key-1=KEY-0001", "key-2=KEY-0005"}) {
		t.Errorf("after one more: %v", keys)
	}
	s.quiet("sub")

	// There are no more keys: it goes on with what it has, and says so.
	s.changeQuantity("sub", 3)
	sub, _ = s.pass("sub")
	if sub.Status.State != v1alpha1.StateActive || reasonOf(sub, v1alpha1.ConditionReconciling) != v1alpha1.ReasonPoolEmpty || kstatus(t, sub) != status.InProgressStatus {
		t.Errorf("without keys: %s %s", sub.Status.State, conditions(sub))
	}
	if keys, _, _ = s.keysOf("sub"); len(keys) != 2 {
		t.Errorf("without keys: %v", keys)
	}
	s.quiet("sub")
	s.topUp("more", "KEY-0006")
	s.lookAtIssuer()
	sub, _ = s.pass("sub")
	if keys, _, _ = s.keysOf("sub"); len(keys) != 3 || !isReadySub(sub) {
		t.Errorf("topped up: %v %s", keys, conditions(sub))
	}

	// A restore finds all that, and takes no key more.
	old := get(t, &v1alpha1.SoftwareSubscription{}, s.customer, "sub")
	if err := live.Delete(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	s.deleteSecret("sub-key")
	s.create(&v1alpha1.SoftwareSubscription{ObjectMeta: metav1.ObjectMeta{Namespace: s.customer, Name: "sub"}, Spec: old.Spec})
	s.process = s.restart()
	s.lookAtIssuer()
	sub, _ = s.pass("sub")
	again, valid, _ := s.keysOf("sub")
	if !slices.Equal(again, keys) || len(valid) != 3 || sub.Status.Quantity != 3 {
		t.Errorf("restored: %v, %d valid, status %+v", again, len(valid), sub.Status)
	}
	s.quiet("sub")

	s.cancel("sub")
	if sub, _ = s.pass("sub"); sub.Status.State != v1alpha1.StateCancelled || s.secret("sub-key") != nil {
		t.Errorf("cancelled: %s", conditions(sub))
	}
	if _, valid, revoked = s.keysOf("sub"); len(valid) != 0 || len(revoked) != 6 {
		t.Errorf("cancelled: %d valid, %d revoked", len(valid), len(revoked))
	}
}

func isReadySub(sub *v1alpha1.SoftwareSubscription) bool {
	return reasonOf(sub, v1alpha1.ConditionReady) == v1alpha1.ReasonKeysDelivered
}

func TestQuantityChangesTooLate(t *testing.T) {
	s := newShop(t, "KEY-0001")
	bought := s.clock.Now().Add(-8 * day)
	s.clock.SetTime(bought)
	s.buy("sub")
	s.pass("sub") // and the operator is away from now on
	s.changeQuantity("sub", 30)
	s.clock.SetTime(time.Now())
	sub, _ := s.pass("sub")
	if reasonOf(sub, v1alpha1.ConditionInSync) != v1alpha1.ReasonWindowClosed || sub.Status.Quantity != 25 || !isReadySub(sub) {
		t.Errorf("quantity %d, %s", sub.Status.Quantity, conditions(sub))
	}
	if want := "25 are bought and spec.quantity is 30: set it back to 25, because the cancellation window closed at " + stamp(bought.Add(7*day)); !strings.HasPrefix(sub.Status.Message, want) {
		t.Errorf("message %q", sub.Status.Message)
	}
	s.quiet("sub")

	// It does not come true when another window opens.
	s.clock.SetTime(bought.Add(366 * day))
	if sub, _ = s.pass("sub"); !sub.Status.Cancellation.Open || sub.Status.Quantity != 25 || reasonOf(sub, v1alpha1.ConditionInSync) != v1alpha1.ReasonWindowClosed {
		t.Errorf("in the next term: %+v %s", sub.Status.Cancellation, conditions(sub))
	}
	s.changeQuantity("sub", 25)
	if sub, _ = s.pass("sub"); reasonOf(sub, v1alpha1.ConditionInSync) != "" || len(s.entries()[0].Spec.QuantityChanges) != 0 {
		t.Errorf("set back: %s", conditions(sub))
	}
}

func TestTooManyKeysForAQuantity(t *testing.T) {
	s := newShop(t, "KEY-0001")
	s.perLicense()
	s.buy("sub", quantity(1))
	s.pass("sub")
	s.changeQuantity("sub", 501)
	sub, _ := s.pass("sub")
	if reasonOf(sub, v1alpha1.ConditionInSync) != v1alpha1.ReasonTooManyKeys || sub.Status.Quantity != 1 || !isReadySub(sub) {
		t.Errorf("%d %s: %s", sub.Status.Quantity, conditions(sub), sub.Status.Message)
	}
	s.quiet("sub")
}

// A signer makes another key for a licence that was given back and is wanted
// again: the first one stays revoked.
func TestSignedKeysAfterALicenceWasGivenBack(t *testing.T) {
	s := newShop(t)
	p := s.product()
	s.edit(p, func() {
		p.Spec.Software.Keys = v1alpha1.ProductKeys{IssuerRef: v1alpha1.Reference{Name: s.name + "-signed"}, Per: v1alpha1.KeysPerLicense}
	})
	issuer := &v1alpha1.KeyIssuer{ObjectMeta: metav1.ObjectMeta{Name: s.name + "-signed"}, Spec: v1alpha1.KeyIssuerSpec{Signed: &v1alpha1.SignedKeys{SecretName: s.name + "-signing"}}}
	s.create(issuer)
	if _, err := s.issuers.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(issuer)}); err != nil {
		t.Fatal(err)
	}
	s.buy("sub", quantity(3))
	s.pass("sub")
	for _, n := range []int64{1, 3, 2, 3} {
		s.changeQuantity("sub", n)
		s.pass("sub")
		keys, valid, _ := s.keysOf("sub")
		if len(keys) != int(n) || len(valid) != int(n) {
			t.Errorf("%d licences: %d keys, %d valid", n, len(keys), len(valid))
		}
		s.quiet("sub")
	}
	if _, _, revoked := s.keysOf("sub"); len(revoked) != 3 {
		t.Errorf("%d keys were revoked", len(revoked))
	}
}

// A key that was given back does not stay in the Secret when its slot is wanted
// again before it was taken out.
func TestFewerAndMoreAgain(t *testing.T) {
	s := newShop(t, "KEY-0001", "KEY-0002", "KEY-0003", "KEY-0004")
	s.perLicense()
	s.buy("sub", quantity(3))
	s.pass("sub")
	s.changeQuantity("sub", 2)
	sub := get(t, &v1alpha1.SoftwareSubscription{}, s.customer, "sub")
	held, err := s.subs.held(t.Context(), sub)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.subs.changeQuantity(t.Context(), sub, held, s.clock.Now()); err != nil {
		t.Fatal(err)
	}
	s.process = s.restart() // the ledger was written, the Secret was not
	s.lookAtIssuer()
	s.changeQuantity("sub", 3)
	sub, _ = s.pass("sub")
	keys, valid, revoked := s.keysOf("sub")
	if want := []string{"key-1=KEY-0001", "key-2=KEY-0002", "key-3=KEY-0004"}; !slices.Equal(keys, want) || len(valid) != 3 || len(revoked) != 1 || !isReadySub(sub) {
		t.Errorf("%v, want %v; %d valid, %d revoked; %s", keys, want, len(valid), len(revoked), conditions(sub))
	}
	s.quiet("sub")
}

// Two processes led at once and each reserved a key. All that is told goes by
// the same entry of the ledger as all that is done.
func TestQuantityWithASurplus(t *testing.T) {
	s := newShop(t, "KEY-0001", "KEY-0002")
	s.buy("sub")
	s.pass("sub")
	older := s.entries()[0]
	f := keys.Fingerprint(s.key("KEY-0002"))
	older.ObjectMeta = metav1.ObjectMeta{Name: s.name + "-" + f}
	older.Spec.Fingerprint = f
	older.Spec.Purchase.At = metav1.NewTime(older.Spec.Purchase.At.Add(-2 * time.Second))
	s.create(&older)
	s.changeQuantity("sub", 30)
	if sub, _ := s.pass("sub"); sub.Status.Quantity != 30 || sub.Status.Cancellation.Credit.Amount != "3590.14" {
		t.Errorf("quantity %d, credit %+v", sub.Status.Quantity, sub.Status.Cancellation.Credit)
	}
	s.quiet("sub")
}

// A key that is given back ends with the change that gave it back.
func TestWhenKeysAreGivenBack(t *testing.T) {
	s := newShop(t, "KEY-0001", "KEY-0002", "KEY-0003")
	s.perLicense()
	s.buy("sub", quantity(1))
	s.pass("sub")
	for _, n := range []int64{3, 1} {
		nextSecond(t)
		s.changeQuantity("sub", n)
		s.pass("sub")
	}

	var last metav1.Time
	for _, e := range s.entries() {
		if n := len(e.Spec.QuantityChanges); n > 0 {
			last = e.Spec.QuantityChanges[n-1].At
		}
	}
	for _, e := range s.entries() {
		if e.Spec.Slot > 1 && !e.Spec.EndedAt.Equal(&last) {
			t.Errorf("slot %d ended at %v, want %v", e.Spec.Slot, e.Spec.EndedAt, last)
		}
	}
}
