package controllers

import (
	"fmt"
	"strings"
	"testing"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/keys"
)

const fiveByFive = "AAAAA-BBBBB-CCCCC-DDDDD-0000"

func TestPoolIssuer(t *testing.T) {
	type secret struct{ name, content string }
	for name, tc := range map[string]struct {
		secrets    []secret
		change     func(*v1alpha1.KeyIssuer)
		conditions string
		message    string
		kstatus    status.Status
		available  int64
		rejected   string
	}{
		"plenty of keys": {
			secrets:    []secret{{"a", fiveByFive + "1\n" + fiveByFive + "2"}, {"b", fiveByFive + "3"}},
			conditions: "KeysAccepted=True(AllAccepted) LowKeys=False(Sufficient) Ready=True(KeysAvailable)",
			message:    "keys from 2 Secrets", kstatus: status.CurrentStatus, available: 3,
		},
		"below the watermark": {
			secrets:    []secret{{"a", fiveByFive + "1"}},
			conditions: "KeysAccepted=True(AllAccepted) LowKeys=True(BelowWatermark) Ready=True(KeysAvailable)",
			message:    "keys from 1", kstatus: status.CurrentStatus, available: 1,
		},
		"nothing there": {
			conditions: "KeysAccepted=True(AllAccepted) LowKeys=True(BelowWatermark) Ready=False(PoolEmpty) Reconciling=True(PoolEmpty)",
			message:    "add keys, one a line, to a Secret in namespace license-operator-system with pool=", kstatus: status.InProgressStatus,
		},
		"bad lines and duplicates": {
			secrets:    []secret{{"a", fiveByFive + "1\nnot a key\n" + fiveByFive + "2"}, {"b", fiveByFive + "2\n" + fiveByFive + "3"}},
			conditions: "KeysAccepted=False(LinesRejected) LowKeys=False(Sufficient) Ready=True(KeysAvailable)",
			message:    "keys from 2 Secrets; 2 lines rejected", kstatus: status.CurrentStatus, available: 3,
			rejected: "a/keys/2: does not have the format of the pool; b/keys/1: duplicate of Secret %s-a, entry keys, line 3",
		},
		"binary data": {
			secrets:    []secret{{"a", fiveByFive + "1\n" + fiveByFive + "2"}, {"b", "\x1f\x8b\x00\xff"}},
			conditions: "KeysAccepted=False(LinesRejected) LowKeys=False(Sufficient) Ready=False(PoolUnreadable) Stalled=True(PoolUnreadable)",
			message:    "binary data: write one key per line", kstatus: status.FailedStatus, available: 2,
			rejected: "b/keys/0: binary data: write one key per line, as text",
		},
		"selector that takes nearly everything": {
			change: func(i *v1alpha1.KeyIssuer) {
				i.Spec.Pool.SecretSelector = metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "a", Operator: "DoesNotExist"}}}
			},
			conditions: "Ready=False(InvalidSelector) Stalled=True(InvalidSelector)",
			message:    "ask for a label that only the Secrets of this pool have", kstatus: status.FailedStatus,
		},
		"selector that is none": {
			change: func(i *v1alpha1.KeyIssuer) {
				i.Spec.Pool.SecretSelector = metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "a", Operator: "Like"}}}
			},
			conditions: "Ready=False(InvalidSelector) Stalled=True(InvalidSelector)",
			message:    `spec.pool.secretSelector: "Like" is not a valid label selector operator`, kstatus: status.FailedStatus,
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShop(t)
			issuer := &v1alpha1.KeyIssuer{ObjectMeta: metav1.ObjectMeta{Name: s.name}}
			s.edit(issuer, func() {
				issuer.Spec.Pool.Format = v1alpha1.KeyFormat5x5
				if tc.change != nil {
					tc.change(issuer)
				}
			})
			for _, secret := range tc.secrets {
				s.topUp(secret.name, secret.content)
			}
			if tc.change != nil { // status was written by newShop, before the change
				issuer.Status = v1alpha1.KeyIssuerStatus{}
				if err := live.Status().Update(t.Context(), issuer); err != nil {
					t.Fatal(err)
				}
			}
			issuer = s.lookAtIssuer()
			if got := conditions(issuer); got != tc.conditions {
				t.Errorf("conditions %s\nwant       %s", got, tc.conditions)
			}
			if k := kstatus(t, issuer); k != tc.kstatus {
				t.Errorf("kstatus %s, want %s", k, tc.kstatus)
			}
			if availableKeys(issuer) != tc.available {
				t.Errorf("%d available, want %d", availableKeys(issuer), tc.available)
			}
			if ready := readyMessage(issuer); !strings.Contains(ready, tc.message) {
				t.Errorf("message %q, want %q in it", ready, tc.message)
			}
			var rejected []string
			for _, r := range issuer.Status.Rejected {
				rejected = append(rejected, fmt.Sprintf("%s/%s/%d: %s", strings.TrimPrefix(r.Secret, s.name+"-"), r.Entry, r.Line, r.Reason))
			}
			if want := strings.ReplaceAll(tc.rejected, "%s", s.name); strings.Join(rejected, "; ") != want {
				t.Errorf("rejected %v\nwant     %s", rejected, want)
			}
			s.writes = nil
			s.lookAtIssuer()
			if len(s.writes) > 0 {
				t.Errorf("second pass wrote: %v", s.writes)
			}
		})
	}
}

func availableKeys(i *v1alpha1.KeyIssuer) int64 {
	if i.Status.Keys == nil || i.Status.Keys.Available == nil {
		return 0
	}
	return *i.Status.Keys.Available
}

// One Secret is one pool's, and one key one issuer's.
func TestPoolsShareNothing(t *testing.T) {
	s := newShop(t, "SAME-0001")
	s.create(&v1alpha1.KeyIssuer{ObjectMeta: metav1.ObjectMeta{Name: s.name + "-twin"}, Spec: v1alpha1.KeyIssuerSpec{
		Pool: &v1alpha1.KeyPool{SecretSelector: metav1.LabelSelector{MatchLabels: map[string]string{"pool": s.name}}},
	}})
	if i := s.lookAtIssuer(); conditions(i) != "KeysAccepted=True(AllAccepted) LowKeys=True(BelowWatermark) Ready=False(PoolShared) Stalled=True(PoolShared)" || !strings.Contains(readyMessage(i), s.name+"-twin") {
		t.Errorf("%s: %s", conditions(i), readyMessage(i))
	}
	s.buy("sub")
	if sub, _ := s.pass("sub"); sub.Status.Keys != nil {
		t.Error("a stalled issuer goes on issuing")
	}
	if err := live.Delete(t.Context(), &v1alpha1.KeyIssuer{ObjectMeta: metav1.ObjectMeta{Name: s.name + "-twin"}}); err != nil {
		t.Fatal(err)
	}
	s.lookAtIssuer()
	if sub, _ := s.pass("sub"); sub.Status.State != v1alpha1.StateActive {
		t.Errorf("%s", conditions(sub))
	}

	other := newShop(t, "KEY-0002")
	other.buy("sub") // the other one has looked at its keys before
	other.topUp("copy", "SAME-0001")
	if i := other.lookAtIssuer(); availableKeys(i) != 1 || i.Status.Rejected[0].Reason != "was issued by KeyIssuer "+s.name {
		t.Errorf("%d available, rejected %+v", availableKeys(i), i.Status.Rejected)
	}
}

// Two issuers have the same key in different Secrets, and look before either
// has sold it.
func TestKeyInTwoPools(t *testing.T) {
	s, other := newShop(t, "SAME-7777"), newShop(t, "SAME-7777", "KEY-7778")
	s.buy("sub")
	s.pass("sub")
	other.buy("sub")
	other.pass("sub")
	if got := other.secret("sub-key")["key"]; got != "KEY-7778" {
		t.Errorf("sold twice: %q", got)
	}
}

func readyMessage(i *v1alpha1.KeyIssuer) string {
	for _, c := range i.Status.Conditions {
		if c.Type == v1alpha1.ConditionReady {
			return c.Message
		}
	}
	return ""
}

func TestPoolCounts(t *testing.T) {
	s := newShop(t, "KEY-0001", "KEY-0002", "KEY-0003", "KEY-0004")
	for _, name := range []string{"a", "b"} {
		s.buy(name)
		s.pass(name)
	}
	s.cancel("b")
	s.pass("b")
	want := v1alpha1.KeyCounts{Total: 4, Issued: 1, Revoked: 1}
	got := s.lookAtIssuer().Status.Keys
	if *got.Available != 2 || got.Total != want.Total || got.Issued != want.Issued || got.Revoked != want.Revoked {
		t.Errorf("got %+v, %d available", got, *got.Available)
	}
	s.topUp("more", "KEY-0005\nKEY-0001") // KEY-0001 is sold, and stays so
	if got := s.lookAtIssuer().Status; *got.Keys.Available != 3 || len(got.Rejected) != 1 {
		t.Errorf("after topping up: %+v, %d available", got, *got.Keys.Available)
	}
}

// A hundred thousand keys in several Secrets, as a real stock has.
func TestLargePool(t *testing.T) {
	const secrets, each = 5, 20_000
	s := newShop(t)
	for i := range secrets {
		var b strings.Builder
		for k := range each {
			fmt.Fprintf(&b, "AAAAA-BBBBB-CCCCC-%05d-%05d\n", i, k)
		}
		s.topUp(fmt.Sprint("part-", i), b.String())
	}
	if got := s.lookAtIssuer(); availableKeys(got) != secrets*each || conditions(got) != "KeysAccepted=True(AllAccepted) LowKeys=False(Sufficient) Ready=True(KeysAvailable)" {
		t.Errorf("%d available, %s", availableKeys(got), conditions(got))
	}
	s.buy("sub")
	s.pass("sub")
	if got := s.secret("sub-key")["key"]; got != "AAAAA-BBBBB-CCCCC-00000-00000" {
		t.Errorf("got %q", got)
	}
}

// A signing key is no licence key, whoever labels its Secret.
func TestSigningKeyIsNoStock(t *testing.T) {
	s := newShop(t, "KEY-0001")
	pem, err := keys.GenerateSigningKey()
	if err != nil {
		t.Fatal(err)
	}
	s.topUp("pem", string(pem)) // by mistake, under a name that no issuer uses
	if i := s.lookAtIssuer(); availableKeys(i) != 1 || conditions(i) != "KeysAccepted=False(LinesRejected) LowKeys=True(BelowWatermark) Ready=False(PoolUnreadable) Stalled=True(PoolUnreadable)" {
		t.Errorf("%d available, %s", availableKeys(i), conditions(i))
	}
	s.create(&v1alpha1.KeyIssuer{ObjectMeta: metav1.ObjectMeta{Name: s.name + "-signed"}, Spec: v1alpha1.KeyIssuerSpec{Signed: &v1alpha1.SignedKeys{SecretName: s.name + "-pem"}}})
	if i := s.lookAtIssuer(); availableKeys(i) != 1 || conditions(i) != "KeysAccepted=True(AllAccepted) LowKeys=True(BelowWatermark) Ready=True(KeysAvailable)" {
		t.Errorf("%d available, %s", availableKeys(i), conditions(i))
	}
}

// An issuer of the same name that is of the other type starts afresh.
func TestPoolIsReplacedBySigning(t *testing.T) {
	s := newShop(t, "KEY-0001")
	s.buy("sub")
	s.pass("sub")
	if err := live.Delete(t.Context(), &v1alpha1.KeyIssuer{ObjectMeta: metav1.ObjectMeta{Name: s.name}}); err != nil {
		t.Fatal(err)
	}
	s.create(&v1alpha1.KeyIssuer{ObjectMeta: metav1.ObjectMeta{Name: s.name}, Spec: v1alpha1.KeyIssuerSpec{Signed: &v1alpha1.SignedKeys{SecretName: s.name + "-signing"}}})
	s.process = s.restart()
	if i := s.lookAtIssuer(); conditions(i) != "Ready=True(KeysAvailable)" {
		t.Errorf("%s: %s", conditions(i), readyMessage(i))
	}
}

// What cannot be looked at keeps nobody spinning.
func TestIssuerThatIsBeingDeleted(t *testing.T) {
	s := newShop(t, "KEY-0001")
	i := &v1alpha1.KeyIssuer{ObjectMeta: metav1.ObjectMeta{Name: s.name}}
	s.edit(i, func() { i.Finalizers = []string{"example.com/hold"} })
	if err := live.Delete(t.Context(), i); err != nil {
		t.Fatal(err)
	}
	s.process = s.restart()
	s.lookAtIssuer()
	s.buy("sub")
	if sub, res := s.pass("sub"); conditions(sub) != "Ready=False(IssuerNotReady) Reconciling=True(IssuerNotReady)" || res.RequeueAfter != poll {
		t.Errorf("%s, requeue %v", conditions(sub), res.RequeueAfter)
	}
	s.edit(i, func() { i.Finalizers = nil })
}

// newSigningShop opens a shop that sells signed keys.
func newSigningShop(t *testing.T) *shop {
	t.Helper()
	s := newShop(t)
	if err := live.Delete(t.Context(), &v1alpha1.KeyIssuer{ObjectMeta: metav1.ObjectMeta{Name: s.name}}); err != nil {
		t.Fatal(err)
	}
	s.create(&v1alpha1.KeyIssuer{ObjectMeta: metav1.ObjectMeta{Name: s.name}, Spec: v1alpha1.KeyIssuerSpec{Signed: &v1alpha1.SignedKeys{SecretName: s.name + "-signing"}}})
	s.process = s.restart()
	return s
}

func TestSigningIssuer(t *testing.T) {
	s := newSigningShop(t)
	issuer := s.lookAtIssuer()
	if conditions(issuer) != "Ready=True(KeysAvailable)" || len(issuer.Status.PublicKey) != 64 || kstatus(t, issuer) != status.CurrentStatus {
		t.Fatalf("%s, public key %q", conditions(issuer), issuer.Status.PublicKey)
	}
	s.writes = nil
	s.lookAtIssuer()
	if len(s.writes) > 0 {
		t.Errorf("second pass wrote: %v", s.writes)
	}
	s.buy("sub")
	s.pass("sub")
	key := s.secret("sub-key")["key"]

	// The same key again, by another process.
	if err := live.Delete(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: s.customer, Name: "sub-key"}}); err != nil {
		t.Fatal(err)
	}
	s.process = s.restart()
	s.lookAtIssuer()
	s.pass("sub")
	if again := s.secret("sub-key")["key"]; again != key || len(s.entries()) != 1 {
		t.Errorf("another key was made, %d entries", len(s.entries()))
	}
	issuer = s.lookAtIssuer()
	if k := issuer.Status.Keys; k.Total != 1 || k.Issued != 1 || k.Available != nil {
		t.Errorf("counts %+v", k)
	}
}

func TestSigningKeyIsNeverReplaced(t *testing.T) {
	s := newSigningShop(t)
	public := s.lookAtIssuer().Status.PublicKey
	s.buy("sub")
	s.pass("sub")
	name := client.ObjectKey{Namespace: operatorNamespace, Name: s.name + "-signing"}
	original := get(t, &corev1.Secret{}, name.Namespace, name.Name)
	if original.Immutable == nil || !*original.Immutable {
		t.Error("the Secret can be overwritten by accident")
	}
	put := func(data map[string][]byte) {
		t.Helper()
		if err := live.Delete(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: name.Namespace, Name: name.Name}}); client.IgnoreNotFound(err) != nil {
			t.Fatal(err)
		}
		if data != nil {
			s.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: name.Namespace, Name: name.Name}, Data: data})
		}
	}
	other, err := keys.GenerateSigningKey()
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		sentence string
		data     map[string][]byte
		want     string
	}{
		{"lost", nil, "Ready=False(SigningKeyLost) Stalled=True(SigningKeyLost)"},
		{"another one", map[string][]byte{signingKeyEntry: other}, "Ready=False(SigningKeyChanged) Stalled=True(SigningKeyChanged)"},
		{"nonsense", map[string][]byte{signingKeyEntry: []byte("nonsense")}, "Ready=False(SigningKeyInvalid) Stalled=True(SigningKeyInvalid)"},
		{"no such entry", map[string][]byte{"x": other}, "Ready=False(SigningKeyInvalid) Stalled=True(SigningKeyInvalid)"},
		{"restored", original.Data, "Ready=True(KeysAvailable)"},
	} {
		put(step.data)
		issuer := s.lookAtIssuer()
		if got := conditions(issuer); got != step.want || issuer.Status.PublicKey != public {
			t.Errorf("%s: %s, public key %s", step.sentence, got, issuer.Status.PublicKey)
		}
		if source, _ := s.subs.Keys.Get(s.name); (source != nil) != (step.sentence == "restored") {
			t.Errorf("%s: can issue: %v", step.sentence, source != nil)
		}
	}
	// After a restore the issuer has no status: the ledger knows.
	put(map[string][]byte{signingKeyEntry: other})
	issuer := get(t, &v1alpha1.KeyIssuer{}, "", s.name)
	issuer.Status = v1alpha1.KeyIssuerStatus{}
	if err := live.Status().Update(t.Context(), issuer); err != nil {
		t.Fatal(err)
	}
	if got := conditions(s.lookAtIssuer()); got != "Ready=False(SigningKeyChanged) Stalled=True(SigningKeyChanged)" {
		t.Errorf("without status: %s", got)
	}
}

func TestIssuerThatIsDeletedIssuesNothing(t *testing.T) {
	s := newShop(t, "KEY-0001")
	if err := live.Delete(t.Context(), &v1alpha1.KeyIssuer{ObjectMeta: metav1.ObjectMeta{Name: s.name}}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.issuers.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKey{Name: s.name}}); err != nil {
		t.Fatal(err)
	}
	s.buy("sub")
	if sub, _ := s.pass("sub"); conditions(sub) != "Ready=False(IssuerNotFound) Stalled=True(IssuerNotFound)" {
		t.Errorf("conditions %s", conditions(sub))
	}
}

func (s *shop) lookAtProduct() *v1alpha1.Product {
	s.t.Helper()
	if _, err := s.products.Reconcile(s.t.Context(), ctrl.Request{NamespacedName: client.ObjectKey{Name: s.name}}); err != nil {
		s.t.Fatal(err)
	}
	return get(s.t, &v1alpha1.Product{}, "", s.name)
}

func TestProduct(t *testing.T) {
	s := newShop(t)
	p := s.product()
	s.edit(p, func() { p.Spec.Software.Versions[0].Builds = nil })
	if p := s.lookAtProduct(); conditions(p) != "Ready=True(Sellable)" || kstatus(t, p) != status.CurrentStatus {
		t.Errorf("conditions %s", conditions(p))
	}
	s.writes = nil
	s.lookAtProduct()
	if len(s.writes) > 0 {
		t.Errorf("second pass wrote: %v", s.writes)
	}
	s.edit(p, func() { p.Spec.Software.OfficeDeploymentTool = true })
	if p := s.lookAtProduct(); conditions(p) != "Ready=False(KeyFormat) Stalled=True(KeyFormat)" {
		t.Errorf("without product keys: %s", conditions(p))
	}
	s.edit(p, func() { p.Spec.Software.Keys.IssuerRef.Name = "nobody" })
	if p := s.lookAtProduct(); conditions(p) != "Ready=False(IssuerNotFound) Stalled=True(IssuerNotFound)" || kstatus(t, p) != status.FailedStatus {
		t.Errorf("conditions %s", conditions(p))
	}
}
