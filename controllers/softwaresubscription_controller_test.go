package controllers

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/keys"
	"github.com/license-operator/license-operator/internal/taken"
)

const day = 24 * time.Hour

type change = func(*v1alpha1.SoftwareSubscription)

func term(t v1alpha1.Term) change {
	return func(s *v1alpha1.SoftwareSubscription) { s.Spec.Term = t }
}

func quantity(n int64) change {
	return func(s *v1alpha1.SoftwareSubscription) { s.Spec.Quantity = n }
}

func noRenewal(s *v1alpha1.SoftwareSubscription) { s.Spec.AutoRenew = ptr.To(false) }

func download(version, language string) change {
	return func(s *v1alpha1.SoftwareSubscription) {
		s.Spec.Download = &v1alpha1.DownloadChoice{Version: version, Language: language}
	}
}

// The first pass over a purchase, whatever is asked for.
func TestFirstPass(t *testing.T) {
	perLicense := func(s *shop) {
		p := s.product()
		s.edit(p, func() { p.Spec.Software.Keys.Per = v1alpha1.KeysPerLicense })
	}
	const delivered = "KeysIssued=True(KeysDelivered) Ready=True(KeysDelivered)"
	const issued = "DownloadAvailable=True(LinkValid) " + delivered
	const threeWrites = "create v1alpha1.LicenseKey, create v1.Secret, patch status of v1alpha1.SoftwareSubscription"
	const statusOnly = "patch status of v1alpha1.SoftwareSubscription"
	blocked := func(abnormal, reason string) string {
		return fmt.Sprintf("Ready=False(%s) %s=True(%s)", reason, abnormal, reason)
	}
	for name, tc := range map[string]struct {
		stock      []string
		prepare    func(*shop)
		buy        []change
		conditions string
		message    string // a part of it
		kstatus    status.Status
		requeue    time.Duration
		writes     string
	}{
		"a key from the pool": {
			stock: []string{"KEY-0001", "KEY-0002"}, conditions: issued, message: "key in Secret sub-key",
			kstatus: status.CurrentStatus, requeue: longestSleep, writes: threeWrites,
		},
		"a key for each licence": {
			stock: []string{"KEY-0001", "KEY-0002", "KEY-0003"}, prepare: perLicense, buy: []change{quantity(3)},
			conditions: issued, message: "3 keys in Secret sub-key", kstatus: status.CurrentStatus, requeue: longestSleep,
			writes: "create v1alpha1.LicenseKey, create v1alpha1.LicenseKey, " + threeWrites,
		},
		"perpetual": {
			stock: []string{"KEY-0001"}, buy: []change{term(v1alpha1.TermPerpetual)}, conditions: issued,
			message: "key in Secret", kstatus: status.CurrentStatus, requeue: longestSleep, writes: threeWrites,
		},
		"an older version, within downgrade rights": {
			stock: []string{"KEY-0001"}, buy: []change{download("2019", "")}, conditions: delivered,
			message: "key in Secret", kstatus: status.CurrentStatus, requeue: longestSleep, writes: threeWrites,
		},
		"unknown product": {
			stock: []string{"KEY-0001"}, buy: []change{func(s *v1alpha1.SoftwareSubscription) { s.Spec.ProductRef.Name = "nope" }},
			conditions: blocked("Stalled", "ProductNotFound"), message: "Product nope does not exist: create it",
			kstatus: status.FailedStatus, requeue: poll, writes: statusOnly,
		},
		"term not sold": {
			stock: []string{"KEY-0001"}, buy: []change{term(v1alpha1.TermThreeYears)},
			conditions: blocked("Stalled", "TermNotSold"), message: "not sold for term P3Y, only for P1Y, P1M, Perpetual",
			kstatus: status.FailedStatus, requeue: poll, writes: statusOnly,
		},
		"version not offered": {
			stock: []string{"KEY-0001"}, buy: []change{download("2013", "")},
			conditions: blocked("Stalled", "VersionNotOffered"), message: "to one of 2024, 2021, 2019",
			kstatus: status.FailedStatus, requeue: poll, writes: statusOnly,
		},
		"version older than downgrade rights": {
			stock: []string{"KEY-0001"}, buy: []change{download("2016", "")},
			conditions: blocked("Stalled", "VersionNotOffered"), message: "to one of 2024, 2021, 2019",
			kstatus: status.FailedStatus, requeue: poll, writes: statusOnly,
		},
		"language not offered": {
			stock: []string{"KEY-0001"}, buy: []change{download("2024", "tlh")},
			conditions: blocked("Stalled", "VersionNotOffered"), message: "to one of en-US x64",
			kstatus: status.FailedStatus, requeue: poll, writes: statusOnly,
		},
		"more keys than a Secret holds": {
			stock: []string{"KEY-0001"}, prepare: perLicense, buy: []change{quantity(501)},
			conditions: blocked("Stalled", "TooManyKeys"), message: "holds at most 500",
			kstatus: status.FailedStatus, requeue: poll, writes: statusOnly,
		},
		"no issuer": {
			prepare: func(s *shop) {
				p := s.product()
				s.edit(p, func() { p.Spec.Software.Keys.IssuerRef.Name = "nobody" })
			},
			conditions: blocked("Stalled", "IssuerNotFound"), message: "KeyIssuer nobody does not exist: create it",
			kstatus: status.FailedStatus, requeue: poll, writes: statusOnly,
		},
		"issuer that cannot issue": {
			prepare: func(s *shop) {
				s.process = s.restart()
				s.subs.Keys.Set(s.name, nil)
			},
			conditions: blocked("Reconciling", "IssuerNotReady"), message: "is not ready. Whoever runs it: see",
			kstatus: status.InProgressStatus, requeue: poll, writes: statusOnly,
		},
		"empty pool": {
			conditions: blocked("Reconciling", "PoolEmpty"), message: "Whoever runs it: top it up",
			kstatus: status.InProgressStatus, requeue: poll, writes: statusOnly,
		},
		"as many keys as a Secret holds": {
			stock: manyKeys(500), prepare: perLicense, buy: []change{quantity(500)}, conditions: issued,
			message: "500 keys in Secret", kstatus: status.CurrentStatus, requeue: longestSleep,
			writes: strings.Repeat("create v1alpha1.LicenseKey, ", 499) + threeWrites,
		},
		"fewer keys than licences": {
			stock: []string{"KEY-0001", "KEY-0002"}, prepare: perLicense, buy: []change{quantity(3)},
			conditions: blocked("Reconciling", "PoolEmpty"), message: "waiting for 3 keys",
			kstatus: status.InProgressStatus, requeue: poll, writes: statusOnly,
		},
		"Secret name taken": {
			stock: []string{"KEY-0001"},
			prepare: func(s *shop) {
				s.create(&corev1.Secret{
					ObjectMeta: metav1.ObjectMeta{Namespace: s.customer, Name: "sub-key", Labels: map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedByOperator}},
					StringData: map[string]string{"key": "somebody else's"},
				})
			},
			conditions: blocked("Stalled", "SecretNameTaken"), message: "Secret sub-key exists and does not hold",
			kstatus: status.FailedStatus, requeue: poll,
			writes: "create v1alpha1.LicenseKey, delete v1alpha1.LicenseKey, " + statusOnly,
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShop(t, tc.stock...)
			if tc.prepare != nil {
				tc.prepare(s)
			}
			s.buy("sub", tc.buy...)
			s.writes = nil
			sub, res := s.pass("sub")
			if got := conditions(sub); got != tc.conditions {
				t.Errorf("conditions %s\nwant       %s", got, tc.conditions)
			}
			if !strings.Contains(sub.Status.Message, tc.message) {
				t.Errorf("message %q, want %q in it", sub.Status.Message, tc.message)
			}
			if k := kstatus(t, sub); k != tc.kstatus {
				t.Errorf("kstatus %s, want %s", k, tc.kstatus)
			}
			if res.RequeueAfter != tc.requeue {
				t.Errorf("requeue after %v, want %v", res.RequeueAfter, tc.requeue)
			}
			if got := strings.Join(s.writes, ", "); got != tc.writes {
				t.Errorf("writes %s\nwant   %s", got, tc.writes)
			}
			got := sub.Status.Keys != nil
			if got != strings.Contains(tc.conditions, "KeysIssued=True") || got != (len(s.entries()) > 0) {
				t.Errorf("keys %+v, %d entries in the ledger", sub.Status.Keys, len(s.entries()))
			}
			s.quiet("sub")
		})
	}
}

func manyKeys(n int) (stock []string) {
	for i := range n {
		stock = append(stock, fmt.Sprintf("KEY-%05d", i))
	}
	return stock
}

// Right after a start nothing is told about issuers that nobody has looked at.
func TestTooEarly(t *testing.T) {
	s := newShop(t, "KEY-0001")
	s.process = s.restart()
	s.buy("sub")
	sub, res := s.pass("sub")
	if len(s.writes) > 0 || res.RequeueAfter != moment || kstatus(t, sub) != status.InProgressStatus {
		t.Errorf("writes %v, requeue %v, kstatus %s", s.writes, res.RequeueAfter, kstatus(t, sub))
	}
	s.lookAtIssuer()
	if sub, _ := s.pass("sub"); sub.Status.State != v1alpha1.StateActive {
		t.Errorf("%s", conditions(sub))
	}
}

func TestWhatIsDelivered(t *testing.T) {
	s := newShop(t, "KEY-0001", "KEY-0002", "KEY-0003", "KEY-0004")
	s.buy("one")
	sub, _ := s.pass("one")
	if got := s.secret("one-key"); len(got) != 2 || got["key"] != "KEY-0001" || !strings.HasPrefix(got["downloadURL"], "https://downloads.example/d/") {
		t.Errorf("Secret %v", got)
	}
	st := sub.Status
	if st.State != v1alpha1.StateActive || !st.PurchasedAt.Time.Equal(s.clock.Now()) || !st.Term.StartsAt.Time.Equal(s.clock.Now()) {
		t.Errorf("status %+v", st)
	}
	if c := st.Cancellation; !c.Open || c.Credit.Amount != "2991.78" || c.Credit.Currency != "EUR" || !c.Until.Time.Equal(s.clock.Now().Add(7*day)) {
		t.Errorf("cancellation %+v", c)
	}
	p := s.product()
	s.edit(p, func() { p.Spec.Software.Keys.Per = v1alpha1.KeysPerLicense })
	s.buy("three", quantity(3))
	s.pass("three")
	if got := s.secret("three-key"); len(got) != 4 || got["key-1"] != "KEY-0002" || got["key-2"] != "KEY-0003" || got["key-3"] != "KEY-0004" {
		t.Errorf("Secret %v", got)
	}
	for _, e := range s.entries() {
		if strings.Contains(fmt.Sprintf("%+v", e), "KEY-0001") {
			t.Errorf("a key in the ledger: %+v", e)
		}
	}
	if sub, _ := s.pass("one"); sub.Status.Keys.Issued != 1 || len(s.entries()) != 4 {
		t.Errorf("a change of the product changed what was bought before: %+v", sub.Status.Keys)
	}
}

func TestWaitsForKeysAndGetsThem(t *testing.T) {
	s := newShop(t)
	for _, name := range []string{"c", "a", "b"} {
		s.buy(name)
	}
	// Not the order of creation: all are there before the first pass.
	for _, name := range []string{"b", "c", "a"} {
		s.pass(name)
	}
	s.topUp("more", "KEY-0001\nKEY-0002")
	s.lookAtIssuer()
	var woken []string
	for len(s.woken) > 0 {
		woken = append(woken, (<-s.woken).Object.GetName())
	}
	if !slices.Equal(woken, oldestTwo(t, s)) {
		t.Errorf("woken %v, want %v", woken, oldestTwo(t, s))
	}
	for _, name := range []string{"c", "b", "a", "b", "c"} { // woken in any order
		s.pass(name)
	}
	// All three are of the same age, or one second apart, in the order c, a, b.
	served := func(name string) bool { return s.secret(name+"-key") != nil }
	oldest := oldestTwo(t, s)
	for _, name := range []string{"a", "b", "c"} {
		if served(name) != slices.Contains(oldest, name) {
			t.Errorf("%s served: %v; the oldest two are %v", name, served(name), oldest)
		}
	}
}

func oldestTwo(t *testing.T, s *shop) []string {
	t.Helper()
	var list v1alpha1.SoftwareSubscriptionList
	if err := live.List(t.Context(), &list, client.InNamespace(s.customer)); err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(list.Items, func(a, b v1alpha1.SoftwareSubscription) int {
		if d := a.CreationTimestamp.Compare(b.CreationTimestamp.Time); d != 0 {
			return d
		}
		return strings.Compare(a.Name, b.Name)
	})
	return []string{list.Items[0].Name, list.Items[1].Name}
}

func TestQueueSurvivesARestart(t *testing.T) {
	s := newShop(t)
	s.buy("a-big", func(sub *v1alpha1.SoftwareSubscription) {})
	s.pass("a-big")
	s.process = s.restart()
	s.topUp("one", "KEY-0001")
	s.buy("z-late")
	s.lookAtIssuer()
	s.pass("z-late")
	if s.secret("z-late-key") != nil {
		t.Error("a newcomer was served before one who waited before the restart")
	}
	s.pass("a-big")
	if s.secret("a-big-key") == nil {
		t.Error("the one who waited was not served")
	}
}

func TestAWaitingSubscriptionThatIsDeletedHoldsUpNobody(t *testing.T) {
	s := newShop(t)
	first := s.buy("a")
	s.buy("b")
	s.pass("a")
	s.pass("b")
	if err := live.Delete(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	if _, err := s.subs.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(first)}); err != nil {
		t.Fatal(err)
	}
	s.topUp("one", "KEY-0001")
	s.lookAtIssuer()
	s.pass("b")
	if s.secret("b-key") == nil {
		t.Error("not served")
	}
}

func TestRecoversOnceTheCauseIsGone(t *testing.T) {
	s := newShop(t, "KEY-0001", "KEY-0002", "KEY-0003")
	taken := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: s.customer, Name: "taken-key"}, StringData: map[string]string{"key": "x"}}
	s.create(taken)
	s.buy("taken")
	s.pass("taken")
	if got := s.secret("taken-key"); len(got) != 1 || got["key"] != "x" {
		t.Errorf("somebody else's Secret was touched: %v", got)
	}
	if err := live.Delete(t.Context(), taken); err != nil {
		t.Fatal(err)
	}
	if sub, _ := s.pass("taken"); conditions(sub) != "DownloadAvailable=True(LinkValid) KeysIssued=True(KeysDelivered) Ready=True(KeysDelivered)" {
		t.Errorf("after the Secret was gone: %s", conditions(sub))
	}

	s.buy("version", download("2016", ""))
	s.pass("version")
	p := s.product()
	s.edit(p, func() { p.Spec.Software.DowngradeVersions = 3 })
	if sub, _ := s.pass("version"); conditions(sub) != "KeysIssued=True(KeysDelivered) Ready=True(KeysDelivered)" {
		t.Errorf("after the version was offered: %s", conditions(sub))
	}
	s.edit(p, func() { p.Spec.Software.DowngradeVersions = 0 })
	sub, _ := s.pass("version")
	if got := conditions(sub); got != "KeysIssued=True(KeysDelivered) Ready=True(KeysDelivered) Stalled=True(VersionNotOffered)" {
		t.Errorf("a customer who has the key stays ready: %s", got)
	}
	if err := live.Delete(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	sub, _ = s.pass("taken")
	if kstatus(t, sub) != status.CurrentStatus || sub.Status.State != v1alpha1.StateActive || s.secret("taken-key") == nil {
		t.Errorf("the product's end took the key away: %+v", sub.Status)
	}
}

// A year in the life of a subscription.
func TestLifeOfATerm(t *testing.T) {
	s := newShop(t, "KEY-0001")
	start := s.clock.Now()
	s.buy("sub")
	s.pass("sub")
	for _, step := range []struct {
		at      time.Duration
		open    bool
		credit  string
		next    string
		requeue time.Duration
		end     time.Time
	}{
		{7*day - time.Second, true, "2942.47", "WindowCloses", time.Second, start.AddDate(1, 0, 0)},
		{7 * day, false, "", "Renews", longestSleep, start.AddDate(1, 0, 0)},
		{start.AddDate(1, 0, 0).Sub(start) - time.Second, false, "", "Renews", time.Second, start.AddDate(1, 0, 0)},
		{start.AddDate(1, 0, 0).Sub(start), true, "", "WindowCloses", longestSleep, start.AddDate(2, 0, 0)},
		{start.AddDate(1, 0, 7).Sub(start), false, "", "Renews", longestSleep, start.AddDate(2, 0, 0)},
	} {
		s.clock.SetTime(start.Add(step.at))
		sub, res := s.pass("sub")
		c := sub.Status.Cancellation
		if c.Open != step.open || (c.Credit != nil) != step.open || (step.credit != "" && c.Credit.Amount != step.credit) {
			t.Errorf("after %v: cancellation %+v %+v", step.at, c, c.Credit)
		}
		if sub.Status.Next.Event != step.next || !sub.Status.Term.EndsAt.Time.Equal(step.end) {
			t.Errorf("after %v: next %+v, term %+v", step.at, sub.Status.Next, sub.Status.Term)
		}
		if res.RequeueAfter != step.requeue || kstatus(t, sub) != status.CurrentStatus {
			t.Errorf("after %v: requeue after %v, kstatus %s", step.at, res.RequeueAfter, kstatus(t, sub))
		}
		if step.requeue > time.Second {
			s.quiet("sub")
		}
	}
	if s.secret("sub-key")["key"] != "KEY-0001" || len(s.entries()) != 1 {
		t.Error("the renewal changed the key")
	}
}

func TestExpires(t *testing.T) {
	s := newShop(t, "KEY-0001")
	s.buy("sub", noRenewal, term(v1alpha1.TermMonth))
	sub, _ := s.pass("sub")
	end := sub.Status.Term.EndsAt.Time
	s.clock.SetTime(end.Add(-time.Second))
	if sub, _ := s.pass("sub"); sub.Status.State != v1alpha1.StateActive || sub.Status.Next.Event != "Expires" {
		t.Fatalf("one second before the end: %+v", sub.Status)
	}
	s.clock.SetTime(end.Add(1000 * day)) // the operator was away
	s.writes = nil
	sub, res := s.pass("sub")
	if sub.Status.State != v1alpha1.StateExpired || conditions(sub) != "DownloadAvailable=False(Ended) KeysIssued=False(Retired)" || res.RequeueAfter != 0 || kstatus(t, sub) != status.CurrentStatus {
		t.Errorf("%s, %s, requeue %v, kstatus %s", sub.Status.State, conditions(sub), res.RequeueAfter, kstatus(t, sub))
	}
	if want := "patch v1alpha1.LicenseKey, delete v1.Secret, patch status of v1alpha1.SoftwareSubscription"; strings.Join(s.writes, ", ") != want {
		t.Errorf("writes %v, want %s", s.writes, want)
	}
	if e := s.entries()[0].Spec; e.State != v1alpha1.LicenseKeyRetired || !e.EndedAt.Time.Equal(end) || s.secret("sub-key") != nil {
		t.Errorf("entry %+v", e)
	}
	s.quiet("sub")
}

// cancel sets spec.cancelled. The API server stamps it with the real time.
func (s *shop) cancel(name string) time.Time {
	s.t.Helper()
	sub := &v1alpha1.SoftwareSubscription{ObjectMeta: metav1.ObjectMeta{Namespace: s.customer, Name: name}}
	s.edit(sub, func() { sub.Spec.Cancelled = true })
	return taken.At(sub, time.Time{}, "spec", "cancelled")
}

func TestCancelInTime(t *testing.T) {
	for name, tc := range map[string]struct {
		buy    []change
		age    time.Duration // of the purchase when it is cancelled
		later  time.Duration // how long the operator is away after that
		credit string
	}{
		"at once":                           {nil, 0, 0, "2991.78"},
		"on the third day":                  {nil, 2*day + time.Hour, 0, "2975.34"},
		"in time, and found out much later": {nil, 6 * day, 100 * day, "2942.47"},
		"in time, found after the renewal":  {nil, 6 * day, 400 * day, "2942.47"},
		"in time, found after the expiry":   {[]change{noRenewal}, 6 * day, 400 * day, "2942.47"},
		"perpetual, in full":                {[]change{term(v1alpha1.TermPerpetual)}, 29 * day, 0, "12475.00"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShop(t, "KEY-0001")
			s.clock.SetTime(s.clock.Now().Add(-tc.age))
			s.buy("sub", tc.buy...)
			s.pass("sub")
			at := s.cancel("sub")
			s.clock.SetTime(time.Now().Add(tc.later))
			s.writes = nil
			sub, res := s.pass("sub")
			if c := sub.Status.Cancellation; sub.Status.State != v1alpha1.StateCancelled || c.Open || c.Credit.Amount != tc.credit || !c.At.Time.Equal(at) {
				t.Fatalf("%s %s, cancellation %+v, credit %+v", sub.Status.State, conditions(sub), c, c.Credit)
			}
			if conditions(sub) != "Cancelled=True(CancelledInTime) DownloadAvailable=False(Ended) KeysIssued=False(Revoked)" || kstatus(t, sub) != status.CurrentStatus || res.RequeueAfter != 0 {
				t.Errorf("%s, kstatus %s, requeue %v", conditions(sub), kstatus(t, sub), res.RequeueAfter)
			}
			if want := "patch v1alpha1.LicenseKey, delete v1.Secret, patch status of v1alpha1.SoftwareSubscription"; strings.Join(s.writes, ", ") != want {
				t.Errorf("writes %v, want %s", s.writes, want)
			}
			if e := s.entries()[0].Spec; e.State != v1alpha1.LicenseKeyRevoked || !e.EndedAt.Time.Equal(at) {
				t.Errorf("entry %+v", e)
			}
			s.quiet("sub")
			s.edit(sub, func() {})
			sub.Spec.Cancelled = false
			if err := live.Update(t.Context(), sub); err == nil || !strings.Contains(err.Error(), "spec.cancelled: Forbidden: cancelled is final") {
				t.Errorf("taken back: %v", err)
			}
		})
	}
}

func TestCancelTooLate(t *testing.T) {
	s := newShop(t, "KEY-0001")
	bought := s.clock.Now().Add(-8 * day)
	s.clock.SetTime(bought)
	s.buy("sub")
	s.pass("sub") // status says that the window is open, and the operator is away from now on
	s.cancel("sub")
	s.clock.SetTime(time.Now())
	sub, _ := s.pass("sub")
	if got := conditions(sub); got != "Cancelled=False(WindowClosed) DownloadAvailable=True(LinkValid) KeysIssued=True(KeysDelivered) Ready=True(KeysDelivered)" {
		t.Fatalf("conditions %s", got)
	}
	if want := "the window closed at " + stamp(bought.Add(7*day)); !strings.Contains(sub.Status.Message, want) {
		t.Errorf("message %q, want %q in it", sub.Status.Message, want)
	}
	if s.secret("sub-key")["key"] != "KEY-0001" || s.entries()[0].Spec.State != v1alpha1.LicenseKeyIssued {
		t.Error("the key was taken away")
	}
	s.quiet("sub")

	// What was refused can be taken back, and then again is refused at once.
	s.edit(sub, func() { sub.Spec.Cancelled = false })
	if sub, _ = s.pass("sub"); conditions(sub) != "DownloadAvailable=True(LinkValid) KeysIssued=True(KeysDelivered) Ready=True(KeysDelivered)" {
		t.Errorf("taken back: %s", conditions(sub))
	}
	sub.Spec.Cancelled = true
	err := live.Update(t.Context(), sub)
	if err == nil || !strings.Contains(err.Error(), "spec.cancelled: Forbidden: the cancellation window closed at "+stamp(bought.Add(7*day))+": set spec.autoRenew to false") {
		t.Errorf("cancelled again: %v", err)
	}
}

func TestCancelBeforeAnythingWasIssued(t *testing.T) {
	s := newShop(t)
	s.buy("sub")
	s.pass("sub")
	s.cancel("sub")
	sub, _ := s.pass("sub")
	if sub.Status.State != v1alpha1.StateCancelled || conditions(sub) != "Cancelled=True(NothingIssued) KeysIssued=False(NothingIssued)" || kstatus(t, sub) != status.CurrentStatus {
		t.Errorf("%s %s", sub.Status.State, conditions(sub))
	}
	s.topUp("late", "KEY-0001")
	s.lookAtIssuer()
	s.quiet("sub")
	if len(s.entries()) != 0 {
		t.Error("a key was issued after all")
	}
}

func TestDeliversAgain(t *testing.T) {
	s := newShop(t, "KEY-0001", "KEY-0002")
	s.buy("sub")
	s.pass("sub")
	remove := func() {
		if err := live.Delete(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: s.customer, Name: "sub-key"}}); err != nil {
			t.Fatal(err)
		}
	}
	remove()
	s.pass("sub")
	if s.secret("sub-key")["key"] != "KEY-0001" || len(s.entries()) != 1 {
		t.Errorf("after the Secret was deleted: %v", s.secret("sub-key"))
	}

	secret := get(t, &corev1.Secret{}, s.customer, "sub-key")
	secret.Data["key"] = []byte(s.key("KEY-0002")) // not sold to anybody, and certainly not to this one
	if err := live.Update(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	sub, _ := s.pass("sub")
	if got := conditions(sub); got != "DownloadAvailable=True(LinkValid) KeysIssued=False(NotYet) Ready=False(SecretNameTaken) Stalled=True(SecretNameTaken)" {
		t.Errorf("after the key was changed: %s", got)
	}
	s.quiet("sub")
	remove()
	sub, _ = s.pass("sub")
	if s.secret("sub-key")["key"] != "KEY-0001" || sub.Status.State != v1alpha1.StateActive {
		t.Errorf("after it was removed: %v %s", s.secret("sub-key"), conditions(sub))
	}

	// The key has to be in the pool still to be delivered again.
	pool := get(t, &corev1.Secret{}, operatorNamespace, s.name+"-first")
	pool.Data["keys"] = []byte(s.key("KEY-0002"))
	if err := live.Update(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	s.lookAtIssuer()
	s.quiet("sub") // nothing is missing yet
	remove()
	sub, _ = s.pass("sub")
	if got := conditions(sub); got != "DownloadAvailable=True(LinkValid) KeysIssued=False(NotYet) Ready=False(KeyNotFound) Stalled=True(KeyNotFound)" || len(s.entries()) != 1 {
		t.Errorf("after the key left the pool: %s", got)
	}
	if strings.Contains(sub.Status.Message, "KEY-0001") {
		t.Errorf("the message quotes the key: %s", sub.Status.Message)
	}
}

// A restore brings subscriptions back without status and with new UIDs.
func TestRestore(t *testing.T) {
	s := newShop(t, "KEY-0001", "KEY-0002", "KEY-0003", "KEY-0004", "KEY-0005")
	s.clock.SetTime(s.clock.Now().Add(-3 * day))
	s.buy("active")
	s.buy("cancelled")
	s.buy("expired", noRenewal, term(v1alpha1.TermMonth))
	for _, name := range []string{"active", "cancelled", "expired"} {
		s.pass(name)
	}
	s.cancel("cancelled")
	s.pass("cancelled")
	s.clock.SetTime(time.Now().Add(40 * day))
	s.pass("expired")
	s.clock.SetTime(time.Now())

	before := map[string]v1alpha1.SoftwareSubscriptionStatus{}
	for _, name := range []string{"active", "cancelled", "expired"} {
		old, _ := s.pass(name)
		before[name] = old.Status
		if err := live.Delete(t.Context(), old); err != nil {
			t.Fatal(err)
		}
		_ = live.Delete(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: s.customer, Name: name + "-key"}})
		s.create(&v1alpha1.SoftwareSubscription{ObjectMeta: metav1.ObjectMeta{Namespace: s.customer, Name: name}, Spec: old.Spec})
	}
	s.process = s.restart()
	s.lookAtIssuer()
	for name, want := range before {
		sub, _ := s.pass(name)
		got := sub.Status
		if got.State != want.State || !got.PurchasedAt.Equal(want.PurchasedAt) || !ptr.Equal(got.Cancellation.Credit, want.Cancellation.Credit) ||
			!got.Cancellation.Until.Equal(want.Cancellation.Until) || !got.Term.EndsAt.Equal(want.Term.EndsAt) {
			t.Errorf("%s was\n%+v\nand is\n%+v", name, want, got)
		}
		s.quiet(name)
	}
	if s.secret("active-key")["key"] != "KEY-0001" || s.secret("cancelled-key") != nil || s.secret("expired-key") != nil || len(s.entries()) != 3 {
		t.Errorf("%v, %d entries", s.secret("active-key"), len(s.entries()))
	}

	// The same name without spec.cancelled is a new purchase: a revoked key never comes back.
	old, _ := s.pass("cancelled")
	if err := live.Delete(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	s.buy("cancelled")
	if sub, _ := s.pass("cancelled"); sub.Status.State != v1alpha1.StateActive || s.secret("cancelled-key")["key"] != "KEY-0004" {
		t.Errorf("bought again: %s %v", sub.Status.State, s.secret("cancelled-key"))
	}
}

// An attempt that was cut off after a write goes on with what is there.
func TestGoesOnAfterACrash(t *testing.T) {
	t.Run("after the reservation", func(t *testing.T) {
		s := newShop(t, "KEY-0001", "KEY-0002")
		sub := s.buy("sub")
		bought := metav1.NewTime(s.clock.Now().Add(-time.Hour))
		f := keys.Fingerprint(s.key("KEY-0002"))
		s.create(&v1alpha1.LicenseKey{ObjectMeta: metav1.ObjectMeta{Name: s.name + "-" + f}, Spec: v1alpha1.LicenseKeySpec{
			IssuerRef: v1alpha1.Reference{Name: s.name}, Fingerprint: f, Customer: s.customer, ProductRef: sub.Spec.ProductRef, Slot: 1,
			Subscription: v1alpha1.SubscriptionIdentity{Name: "sub", UID: sub.UID},
			Purchase: v1alpha1.Purchase{
				At: bought, Term: v1alpha1.TermYear, Quantity: 25, KeysPer: v1alpha1.KeysPerSubscription,
				UnitPrice: v1alpha1.Money{Amount: "120.00", Currency: "EUR"}, Cancellation: v1alpha1.CancellationPolicy{Window: "P7D", Refund: "Prorated"},
			},
		}})
		sub, _ = s.pass("sub")
		if s.secret("sub-key")["key"] != "KEY-0002" || len(s.entries()) != 1 || !sub.Status.PurchasedAt.Equal(&bought) {
			t.Errorf("got %v, %d entries, bought %v", s.secret("sub-key"), len(s.entries()), sub.Status.PurchasedAt)
		}
	})
	t.Run("after the delivery", func(t *testing.T) {
		s := newShop(t, "KEY-0001", "KEY-0002")
		s.buy("sub")
		s.pass("sub")
		sub := get(t, &v1alpha1.SoftwareSubscription{}, s.customer, "sub")
		sub.Status = v1alpha1.SoftwareSubscriptionStatus{}
		if err := live.Status().Update(t.Context(), sub); err != nil {
			t.Fatal(err)
		}
		s.process = s.restart()
		s.lookAtIssuer()
		sub, _ = s.pass("sub")
		if sub.Status.State != v1alpha1.StateActive || len(s.entries()) != 1 || !slices.Equal(s.writes[1:], []string{"update v1.Secret", "patch status of v1alpha1.SoftwareSubscription"}) {
			t.Errorf("%s, %d entries, writes %v", sub.Status.State, len(s.entries()), s.writes)
		}
	})
	t.Run("between ledger and Secret of a cancellation", func(t *testing.T) {
		s := newShop(t, "KEY-0001")
		s.buy("sub")
		s.pass("sub")
		at := s.cancel("sub")
		entry := s.entries()[0]
		if err := s.subs.Ledger.End(t.Context(), &entry, v1alpha1.LicenseKeyRevoked, metav1.NewTime(at)); err != nil {
			t.Fatal(err)
		}
		sub, _ := s.pass("sub")
		if sub.Status.State != v1alpha1.StateCancelled || s.secret("sub-key") != nil || sub.Status.Cancellation.Credit.Amount != "2991.78" {
			t.Errorf("%s, Secret %v", sub.Status.State, s.secret("sub-key"))
		}
	})
}

// Two processes lead at once, and the second sees none of what the first wrote.
func TestTwoLeaders(t *testing.T) {
	s := newShop(t, "KEY-0001", "KEY-0002")
	second := s.restart()
	if _, err := second.issuers.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKey{Name: s.name}}); err != nil {
		t.Fatal(err)
	}
	s.buy("sub")
	s.pass("sub")
	second.lateLedger = true
	sub := get(t, &v1alpha1.SoftwareSubscription{}, s.customer, "sub")
	sub.Status = v1alpha1.SoftwareSubscriptionStatus{}
	if err := live.Status().Update(t.Context(), sub); err != nil {
		t.Fatal(err)
	}
	first := s.process
	s.process = second
	s.clock.SetTime(s.clock.Now().Add(time.Minute))
	sub, _ = s.pass("sub")
	if got := s.secret("sub-key"); got["key"] != "KEY-0001" || len(s.entries()) != 1 {
		t.Errorf("Secret %v, %d entries", got, len(s.entries()))
	}
	if !sub.Status.PurchasedAt.Time.Equal(first.clock.Now()) {
		t.Errorf("bought at %v, want the first leader's %v", sub.Status.PurchasedAt, first.clock.Now())
	}
	second.lateLedger = false
	s.buy("other")
	s.pass("other")
	if got := s.secret("other-key"); got["key"] != "KEY-0002" {
		t.Errorf("the key that was released is not sold: %v", got)
	}
}

// What another process reserved and never delivered goes back to the pool,
// once that process can no longer deliver it.
func TestReleasesSurplus(t *testing.T) {
	s := newShop(t, "KEY-0001", "KEY-0002")
	s.buy("sub")
	s.pass("sub")
	surplus := s.entries()[0]
	f := keys.Fingerprint(s.key("KEY-0002"))
	surplus.ObjectMeta = metav1.ObjectMeta{Name: s.name + "-" + f}
	surplus.Spec.Fingerprint = f
	nextSecond(t) // the API server's instants are whole seconds
	s.create(&surplus)
	s.clock.SetTime(time.Now().Add(time.Second)) // not behind the API server's clock
	_, res := s.pass("sub")
	if res.RequeueAfter > releaseAfter {
		t.Errorf("looks again after %v", res.RequeueAfter)
	}
	if len(s.entries()) != 2 {
		t.Error("released while its maker may still deliver it")
	}
	s.clock.SetTime(time.Now().Add(releaseAfter + time.Second))
	s.pass("sub")
	if e := s.entries(); len(e) != 1 || e[0].Spec.Fingerprint != keys.Fingerprint(s.key("KEY-0001")) || s.secret("sub-key")["key"] != "KEY-0001" {
		t.Errorf("entries %+v", e)
	}
}

// nextSecond waits for the API server's clock to show another second.
func nextSecond(t *testing.T) {
	t.Helper()
	select {
	case <-time.After(time.Until(time.Now().Truncate(time.Second).Add(time.Second))):
	case <-t.Context().Done():
	}
}

// A key that may have been delivered is not sold to anybody else, although it
// is not in the Secret now.
func TestKeepsSurplusThatMayHaveBeenDelivered(t *testing.T) {
	s := newShop(t, "KEY-0001", "KEY-0002")
	s.buy("sub")
	s.pass("sub")
	surplus := s.entries()[0]
	f := keys.Fingerprint(s.key("KEY-0002"))
	surplus.ObjectMeta = metav1.ObjectMeta{Name: s.name + "-" + f}
	surplus.Spec.Fingerprint = f
	surplus.Spec.Purchase.At = metav1.NewTime(surplus.Spec.Purchase.At.Add(-2 * time.Second))
	s.create(&surplus)
	s.deleteSecret("sub-key")
	nextSecond(t)
	s.pass("sub") // delivers the other one
	s.clock.SetTime(time.Now().Add(releaseAfter + time.Second))
	s.pass("sub")
	s.lookAtIssuer()
	s.buy("other")
	s.pass("other")
	if got := s.secret("other-key"); got != nil || len(s.entries()) != 2 {
		t.Errorf("the first key, or the second, was sold to somebody else: %v", got)
	}
}

func (s *shop) deleteSecret(name string) {
	s.t.Helper()
	if err := live.Delete(s.t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: s.customer, Name: name}}); err != nil {
		s.t.Fatal(err)
	}
}

// A delivery that was under way when the subscription was cancelled is undone.
func TestDeliveryAfterTheEnd(t *testing.T) {
	t.Run("after a revocation", func(t *testing.T) {
		s := newShop(t, "KEY-0001")
		s.buy("sub")
		s.pass("sub")
		s.cancel("sub")
		s.pass("sub")
		s.create(&corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: s.customer, Name: "sub-key", Labels: map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedByOperator}},
			Data:       map[string][]byte{"key": []byte(s.key("KEY-0001"))},
		})
		s.pass("sub")
		if s.secret("sub-key") != nil {
			t.Error("the revoked key can be read")
		}
	})
	t.Run("after nothing was issued", func(t *testing.T) {
		s := newShop(t, "KEY-0001")
		s.buy("sub")
		second := s.restart()
		stale := get(t, &v1alpha1.SoftwareSubscription{}, s.customer, "sub")
		s.cancel("sub")
		s.pass("sub")
		if _, err := second.issuers.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKey{Name: s.name}}); err != nil {
			t.Fatal(err)
		}
		o, err := newOrder(stale, get(t, &v1alpha1.Product{}, "", s.name), &choice{}, nil, s.clock.Now())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := second.subs.issue(t.Context(), o, s.clock.Now()); err != nil {
			t.Fatal(err)
		}
		s.pass("sub")
		if e := s.entries(); s.secret("sub-key") != nil || len(e) != 1 || e[0].Spec.State != v1alpha1.LicenseKeyRevoked {
			t.Errorf("Secret %v, entries %+v", s.secret("sub-key"), e)
		}
	})
}

// A request that was refused does not come true in a later term.
func TestRefusalIsForGood(t *testing.T) {
	s := newShop(t, "KEY-0001")
	s.clock.SetTime(s.clock.Now().Add(-8 * day))
	s.buy("sub")
	s.pass("sub")
	s.cancel("sub")
	s.clock.SetTime(time.Now())
	s.pass("sub")
	s.clock.SetTime(time.Now().Add(600 * day)) // in the second term
	sub, _ := s.pass("sub")
	patch := []byte(`{"spec":{"download":{"version":"2021","architecture":"x64"}}}`)
	if err := live.Patch(t.Context(), sub, client.RawPatch("application/merge-patch+json", patch), client.FieldOwner("somebody-else")); err != nil {
		t.Fatal(err)
	}
	if sub, _ = s.pass("sub"); sub.Status.State != v1alpha1.StateActive || conditions(sub) != "Cancelled=False(WindowClosed) KeysIssued=True(KeysDelivered) Ready=True(KeysDelivered)" {
		t.Errorf("%s %s", sub.Status.State, conditions(sub))
	}
	// The condition lost, the request is judged by its own time again.
	sub.Status.Conditions = nil
	if err := live.Status().Update(t.Context(), sub); err != nil {
		t.Fatal(err)
	}
	if sub, _ = s.pass("sub"); sub.Status.State != v1alpha1.StateActive {
		t.Errorf("%s %s", sub.Status.State, conditions(sub))
	}
}

// Deleting and creating again makes no term longer, and a restore no shorter.
func TestTermsSurviveDeletion(t *testing.T) {
	again := func(s *shop, sub *v1alpha1.SoftwareSubscription) *v1alpha1.SoftwareSubscription {
		s.t.Helper()
		if err := live.Delete(s.t.Context(), sub); err != nil {
			s.t.Fatal(err)
		}
		s.deleteSecret("sub-key")
		s.create(&v1alpha1.SoftwareSubscription{ObjectMeta: metav1.ObjectMeta{Namespace: s.customer, Name: "sub"}, Spec: sub.Spec})
		s.process = s.restart()
		s.lookAtIssuer()
		sub, _ = s.pass("sub")
		return sub
	}
	t.Run("a term that does not renew", func(t *testing.T) {
		s := newShop(t, "KEY-0001", "KEY-0002")
		s.buy("sub", noRenewal, term(v1alpha1.TermMonth))
		sub, _ := s.pass("sub")
		s.clock.SetTime(sub.Status.Term.EndsAt.Add(time.Hour))
		if sub = again(s, sub); sub.Status.State != v1alpha1.StateExpired || len(s.entries()) != 1 {
			t.Errorf("%s, %d entries", sub.Status.State, len(s.entries()))
		}
	})
	t.Run("a term that was renewed", func(t *testing.T) {
		s := newShop(t, "KEY-0001", "KEY-0002")
		s.buy("sub", term(v1alpha1.TermMonth))
		sub, _ := s.pass("sub")
		s.clock.SetTime(sub.Status.Term.EndsAt.Add(time.Hour))
		sub, _ = s.pass("sub")
		end := sub.Status.Term.EndsAt
		s.edit(sub, func() { sub.Spec.AutoRenew = ptr.To(false) })
		if sub = again(s, sub); sub.Status.State != v1alpha1.StateActive || !sub.Status.Term.EndsAt.Equal(end) || sub.Status.Next.Event != "Expires" && sub.Status.Next.Event != "WindowCloses" {
			t.Errorf("%s, term %+v, want until %v", sub.Status.State, sub.Status.Term, end)
		}
	})
}

// Who waits for one issuer holds up nobody at another.
func TestWaitsInOneQueueOnly(t *testing.T) {
	s, other := newShop(t), newShop(t)
	s.buy("first")
	s.buy("second")
	s.pass("first")
	s.pass("second")
	// The product now comes from another issuer, which has nothing either.
	registry := s.subs.Keys
	other.issuers.Keys = registry
	other.lookAtIssuer()
	p := s.product()
	s.edit(p, func() { p.Spec.Software.Keys.IssuerRef.Name = other.name })
	s.pass("first")
	s.edit(p, func() { p.Spec.Software.Keys.IssuerRef.Name = s.name })
	s.topUp("one", "KEY-0001")
	s.lookAtIssuer()
	s.pass("second")
	if s.secret("second-key") == nil {
		t.Error("a claim that nobody makes any more is served first")
	}
}

func TestIsToldToQueue(t *testing.T) {
	s := newShop(t, "KEY-0001", "KEY-0002")
	p := s.product()
	s.edit(p, func() { p.Spec.Software.Keys.Per = v1alpha1.KeysPerLicense })
	big := s.buy("a-big", quantity(3))
	s.pass("a-big")
	s.buy("b-small", quantity(1))
	sub, _ := s.pass("b-small")
	if conditions(sub) != "Ready=False(Queued) Reconciling=True(Queued)" || !strings.Contains(sub.Status.Message, "an older subscription needs more than the pool") {
		t.Errorf("%s: %s", conditions(sub), sub.Status.Message)
	}
	if err := live.Delete(t.Context(), big); err != nil {
		t.Fatal(err)
	}
	if _, err := s.subs.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(big)}); err != nil {
		t.Fatal(err)
	}
	if len(s.woken) != 1 || (<-s.woken).Object.GetName() != "b-small" {
		t.Error("the next in the queue was not woken")
	}
}

// A subscription that takes the place of another one waits for its Secret to go.
func TestTakesThePlaceOfAnother(t *testing.T) {
	s := newShop(t, "KEY-0001", "KEY-0002")
	s.buy("sub")
	sub, _ := s.pass("sub")
	if err := live.Delete(t.Context(), sub); err != nil {
		t.Fatal(err)
	}
	s.buy("sub", term(v1alpha1.TermMonth))
	sub, _ = s.pass("sub")
	if conditions(sub) != "Ready=False(SecretNameTaken) Reconciling=True(SecretNameTaken)" || kstatus(t, sub) != status.InProgressStatus {
		t.Errorf("while the Secret is there: %s", conditions(sub))
	}
	s.quiet("sub")
	s.deleteSecret("sub-key") // as the garbage collector does
	if sub, _ = s.pass("sub"); sub.Status.State != v1alpha1.StateActive || s.secret("sub-key")["key"] != "KEY-0002" {
		t.Errorf("after that: %s", conditions(sub))
	}
}

// Two processes and many workers sell one pool: each key goes to one buyer.
func TestManyBuyersTwoSellers(t *testing.T) {
	const buyers = 32
	s := newShop(t, manyKeys(buyers)...)
	second := s.restart()
	second.lateLedger = true
	if _, err := second.issuers.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKey{Name: s.name}}); err != nil {
		t.Fatal(err)
	}
	for i := range buyers {
		s.buy(fmt.Sprintf("sub-%d", i))
	}
	var wg sync.WaitGroup
	for w := range 8 {
		p := []*process{s.process, second}[w%2]
		wg.Go(func() {
			for i := range buyers {
				req := ctrl.Request{NamespacedName: client.ObjectKey{Namespace: s.customer, Name: fmt.Sprintf("sub-%d", (i+7*w)%buyers)}}
				_, _ = p.subs.Reconcile(t.Context(), req) // conflicts are part of it
			}
		})
	}
	wg.Wait()
	s.lookAtIssuer() // as the events of the ledger would have it
	sold := map[string]string{}
	for i := range buyers {
		name := fmt.Sprintf("sub-%d", i)
		s.pass(name)
		key := s.secret(name + "-key")["key"]
		if other, twice := sold[key]; twice || key == "" {
			t.Errorf("%s has %q, as has %q", name, key, other)
		}
		sold[key] = name
	}
	if n := len(s.entries()); n != buyers {
		t.Errorf("%d entries for %d keys", n, buyers)
	}
}

// A restore that brings the Secrets along as well: the owner that they name is
// gone, and the garbage collector would take them.
func TestRestoreWithSecrets(t *testing.T) {
	s := newShop(t, "KEY-0001", "KEY-0002")
	s.buy("sub")
	old, _ := s.pass("sub")
	if err := live.Delete(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	s.create(&v1alpha1.SoftwareSubscription{ObjectMeta: metav1.ObjectMeta{Namespace: s.customer, Name: "sub"}, Spec: old.Spec})
	s.process = s.restart()
	s.lookAtIssuer()
	sub, _ := s.pass("sub")
	secret := get(t, &corev1.Secret{}, s.customer, "sub-key")
	if !metav1.IsControlledBy(secret, sub) || len(secret.OwnerReferences) != 1 || s.secret("sub-key")["key"] != "KEY-0001" || len(s.entries()) != 1 {
		t.Errorf("owners %+v, %d entries; %s", secret.OwnerReferences, len(s.entries()), conditions(sub))
	}
	s.quiet("sub")
	// The same with a status that was kept.
	secret.OwnerReferences[0].UID = old.UID
	if err := live.Update(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	s.pass("sub")
	if secret = get(t, secret, s.customer, "sub-key"); !metav1.IsControlledBy(secret, sub) {
		t.Errorf("owners %+v", secret.OwnerReferences)
	}
	s.quiet("sub")
}

// The Secret of another subscription is not to be deleted for this one.
func TestSecretOfAnotherSubscription(t *testing.T) {
	s := newShop(t, "KEY-0001", "KEY-0002")
	s.buy("first")
	s.pass("first")
	s.buy("second", func(sub *v1alpha1.SoftwareSubscription) { sub.Spec.SecretName = "first-key" })
	sub, _ := s.pass("second")
	if reasonOf(sub, v1alpha1.ConditionStalled) != v1alpha1.ReasonSecretNameTaken || !strings.Contains(sub.Status.Message, "belongs to SoftwareSubscription first") {
		t.Errorf("%s: %s", conditions(sub), sub.Status.Message)
	}
	s.quiet("second")
}

// What a customer takes the marks from is the customer's own.
func TestSecretWithoutMarks(t *testing.T) {
	s := newShop(t, "KEY-0001")
	s.buy("sub")
	s.pass("sub")
	strip := func(owner bool) {
		t.Helper()
		secret := get(t, &corev1.Secret{}, s.customer, "sub-key")
		secret.Labels = nil
		if owner {
			secret.OwnerReferences = nil
		}
		if err := live.Update(t.Context(), secret); err != nil {
			t.Fatal(err)
		}
	}
	strip(false)
	sub, _ := s.pass("sub")
	if got := get(t, &corev1.Secret{}, s.customer, "sub-key"); got.Labels[v1alpha1.LabelManagedBy] != v1alpha1.ManagedByOperator || !isReadySub(sub) {
		t.Errorf("without its label: %v, %s", got.Labels, conditions(sub))
	}
	s.quiet("sub")
	strip(true)
	if sub, _ = s.pass("sub"); reasonOf(sub, v1alpha1.ConditionStalled) != v1alpha1.ReasonSecretNameTaken || !strings.Contains(sub.Status.Message, "label it with license-operator again") {
		t.Errorf("without both: %s %s", conditions(sub), sub.Status.Message)
	}
	s.quiet("sub")
	s.cancel("sub")
	if sub, _ = s.pass("sub"); sub.Status.State != v1alpha1.StateCancelled || s.entries()[0].Spec.State != v1alpha1.LicenseKeyRevoked {
		t.Errorf("cancelled: %s", conditions(sub))
	}
}

// Neither a Secret that may not be written nor one that cannot be makes the
// operator reserve and release keys for ever, and each says what to do.
func TestSecretThatCannotBeCompleted(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*corev1.Secret)
		says   string
	}{
		"without its marks": {func(secret *corev1.Secret) { secret.Labels, secret.OwnerReferences = nil, nil }, "label it with license-operator again"},
		"immutable":         {func(secret *corev1.Secret) { secret.Immutable = ptr.To(true) }, "delete it and it is delivered anew"},
		"full": {func(secret *corev1.Secret) {
			free := corev1.MaxSecretSize
			for _, value := range secret.Data {
				free -= len(value)
			}
			secret.Data["own"] = bytes.Repeat([]byte("x"), free)
		}, "delete it and it is delivered anew"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShop(t, "KEY-0001", "KEY-0002", "KEY-0003")
			s.perLicense()
			s.buy("sub", quantity(1))
			s.pass("sub")
			secret := get(t, &corev1.Secret{}, s.customer, "sub-key")
			tc.change(secret)
			if err := live.Update(t.Context(), secret); err != nil {
				t.Fatal(err)
			}
			s.changeQuantity("sub", 3)
			sub, _ := s.pass("sub")
			if reasonOf(sub, v1alpha1.ConditionStalled) == "" || !strings.Contains(sub.Status.Message, tc.says) {
				t.Errorf("%s: %s", conditions(sub), sub.Status.Message)
			}
			s.quiet("sub")
			s.deleteSecret("sub-key")
			if sub, _ = s.pass("sub"); !isReadySub(sub) || len(s.entries()) != 3 {
				t.Errorf("delivered anew: %s, %d entries", conditions(sub), len(s.entries()))
			}
		})
	}
}
