package controllers

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/sosodev/duration"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/downloadlink"
	"github.com/license-operator/license-operator/internal/keys"
	"github.com/license-operator/license-operator/internal/ledger"
	"github.com/license-operator/license-operator/internal/terms"
)

// customer is what is known of one subscription: what its people did and what
// must have come of it.
type customer struct {
	w       *world
	article *article
	key     client.ObjectKey
	created time.Time
	taken   map[string]time.Time // when the API server took the present value of a field
	log     []string             // what happened, for a failure

	*deal           // nil: not bought yet
	term       span // that is running
	autoRenew  bool // as people want it
	ended      v1alpha1.SubscriptionState
	endedAt    time.Time
	refused    bool  // its cancellation
	refusedGen int64 // of its quantity
	complete   bool  // all keys are delivered
	activated  bool  // its licence server is
	renewal    int64 // of the link, as people want it
	downloaded time.Time
	lifetime   time.Duration
	kms        time.Time // zero: not from volume licensing
	deployed   bool

	noticed   time.Time         // up to when people were told
	want, got map[string]string // Events by name
	due       time.Time         // the next deadline
	doubt     bool              // the last pass failed
	reason    bool              // something happened since the last pass
	looked    time.Time         // when a pass last succeeded
}

func (c *customer) note(format string, args ...any) {
	c.log = append(c.log, stamp(c.w.now)+" "+fmt.Sprintf(format, args...))
}

func (c *customer) fatalf(format string, args ...any) {
	c.w.t.Helper()
	data, _ := json.MarshalIndent(c.sub(), "", " ")
	c.w.t.Fatalf("%s %s (%s): %s\n%s\n%s", stamp(c.w.now), c.key, c.article.name, fmt.Sprintf(format, args...), strings.Join(c.log, "\n"), data)
}

func (c *customer) sub() *v1alpha1.SoftwareSubscription {
	sub := &v1alpha1.SoftwareSubscription{}
	if err := c.w.api.Get(context.Background(), c.key, sub); err != nil {
		c.w.t.Fatal(err)
	}
	return sub
}

func (c *customer) managedFields() []metav1.ManagedFieldsEntry {
	var all []metav1.ManagedFieldsEntry
	for _, field := range slices.Sorted(maps.Keys(c.taken)) {
		all = append(all, metav1.ManagedFieldsEntry{
			Manager: "edits-" + field, Time: ptr.To(metav1.NewTime(c.taken[field])), FieldsV1: metav1.NewFieldsV1(fmt.Sprintf(`{"f:spec":{"f:%s":{}}}`, field)),
		})
	}
	return all
}

// edit changes one field of the spec, as a person does.
func (c *customer) edit(field string, change func(*v1alpha1.SoftwareSubscriptionSpec)) {
	c.taken[field] = c.w.now
	err := c.w.api.replace(c.sub(), "", func(o client.Object) {
		change(&o.(*v1alpha1.SoftwareSubscription).Spec)
		o.SetManagedFields(c.managedFields())
	})
	if err != nil {
		c.w.t.Fatal(err)
	}
}

// act does something and plans the next time: often in the days after a term
// began, where most is allowed.
func (c *customer) act() {
	if c.ended != "" && !c.doubt {
		return
	}
	when := c.w.now.Add(c.w.about(120 * day))
	if c.deal != nil && c.months > 0 && c.w.chance(60) {
		next := c.term.end
		if c.w.chance(50) {
			next = c.w.now // more in the same window
		}
		when = next.Add(c.w.upTo(9 * day))
	}
	c.w.at(when.Truncate(time.Second), c.act)
	c.do()
}

// do does one of the things that people do.
func (c *customer) do() {
	sub := c.sub()
	// What was asked for before has to be done, so that it is known what holds.
	if c.ended != "" || c.doubt || sub.Status.ObservedGeneration != sub.Generation || c.reason && c.w.op != nil {
		return
	}
	// As the rules of the CRD have it: status tells what is too late.
	open := sub.Status.Cancellation == nil || sub.Status.Cancellation.Open
	n := c.w.rnd.IntN(100)
	if late := c.deal != nil && !c.w.now.Before(c.until(c.term)); late && open {
		n = c.w.rnd.IntN(12)
	}
	switch {
	case sub.Spec.Cancelled:
		c.note("takes the cancellation back")
		c.edit("cancelled", func(s *v1alpha1.SoftwareSubscriptionSpec) { s.Cancelled = false })
	case c.deal != nil && sub.Spec.Quantity != c.now():
		c.note("sets the quantity back")
		if open {
			c.edit("quantity", func(s *v1alpha1.SoftwareSubscriptionSpec) { s.Quantity = c.now() })
		}
	case n < 6 && open:
		c.note("cancels")
		c.edit("cancelled", func(s *v1alpha1.SoftwareSubscriptionSpec) { s.Cancelled = true })
	case n < 40 && open:
		q := c.w.quantity()
		c.note("wants a quantity of %d", q)
		c.edit("quantity", func(s *v1alpha1.SoftwareSubscriptionSpec) { s.Quantity = q })
	case n < 50:
		c.autoRenew = c.w.chance(70)
		c.note("wants renewal: %v", c.autoRenew)
		c.edit("autoRenew", func(s *v1alpha1.SoftwareSubscriptionSpec) { s.AutoRenew = ptr.To(c.autoRenew) })
	case n < 70:
		c.download(sub)
	case n < 80 && sub.Status.Download != nil && !c.article.retired:
		c.renewal++
		c.note("wants link %d", c.renewal)
		c.edit("download", func(s *v1alpha1.SoftwareSubscriptionSpec) {
			if s.Download == nil {
				s.Download = &v1alpha1.DownloadChoice{Architecture: "x64"}
			}
			s.Download.Renewal = c.renewal
		})
	case n < 88 && !c.kms.IsZero() && !c.deployed:
		c.deployed = c.w.chance(30)
		if !c.deployed {
			c.kms = c.w.now
		}
		c.note("machines were activated, by the new key: %v", c.deployed)
		c.edit("volumeLicensing", func(s *v1alpha1.SoftwareSubscriptionSpec) {
			s.VolumeLicensing = &v1alpha1.VolumeLicensing{LastKMSActivation: metav1.NewTime(c.kms), MAKDeployed: c.deployed}
		})
	case n < 94 && c.complete:
		c.note("deletes the Secret")
		_ = c.w.api.Delete(context.Background(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: c.key.Namespace, Name: c.key.Name + "-key"}})
	}
}

// download does what the downloads service does at the first download.
func (c *customer) download(sub *v1alpha1.SoftwareSubscription) {
	if sub.Status.Download == nil || sub.Status.Download.FirstDownloadedAt != nil {
		return
	}
	c.downloaded = c.w.now
	c.note("downloads")
	err := c.w.api.replace(sub, "", func(o client.Object) {
		d := o.(*v1alpha1.SoftwareSubscription).Status.Download
		d.FirstDownloadedAt, d.ExpiresAt = ptr.To(metav1.NewTime(c.downloaded)), ptr.To(metav1.NewTime(c.downloaded.Add(c.lifetime)))
	})
	if err != nil {
		c.w.t.Fatal(err)
	}
}

// settled takes a pass that succeeded into account and compares all that is
// known with what should be. reason tells whether something had happened since
// the last one.
func (c *customer) settled(writes []string, reason bool) {
	w := c.w
	if late := w.now.Sub(c.due); !c.due.IsZero() && late > tolerated && !c.due.Before(w.up) && !c.looked.Before(w.up) {
		c.fatalf("this pass comes %v after something was due", late)
	}
	crossed := !c.due.IsZero() && !w.now.Before(c.due)
	if len(writes) > 0 && !reason && !crossed {
		c.fatalf("nothing has changed since %s, but it writes: %v", stamp(c.looked), writes)
	}
	sub := c.sub()
	wasOver := c.ended != ""
	c.follow(sub)
	c.checkKeys(sub)
	if c.deal == nil && c.ended == "" {
		c.checkWaiting(sub)
	} else if !c.checkStatus(sub) {
		return
	}
	c.checkNews(sub, wasOver)
	c.looked, c.due = w.now, c.deadline(w.now)
}

// follow takes the steps that the operator must have taken by now.
func (c *customer) follow(sub *v1alpha1.SoftwareSubscription) {
	if c.ended != "" {
		return
	}
	if c.deal == nil && !c.purchase(sub) {
		return
	}
	inTerm := func(at time.Time) (span, bool) {
		if !at.Before(c.term.start) && (c.term.end.IsZero() || at.Before(c.term.end)) {
			return c.term, true
		}
		return c.termAt(at), at.Before(c.term.start) || c.autoRenew
	}
	now := c.w.now.Truncate(time.Second)
	if !sub.Spec.Cancelled {
		c.refused = false
	} else if at := c.taken["cancelled"]; !c.refused {
		term, runs := inTerm(at)
		if c.refused = !runs || !at.Before(c.until(term)); !c.refused {
			c.term = term
			c.end(v1alpha1.StateCancelled, at)
			return
		}
		c.count("cancelled too late")
	}
	if end := c.term.end; !end.IsZero() && !now.Before(end) {
		if !c.autoRenew {
			c.end(v1alpha1.StateExpired, end)
			return
		}
		c.term = c.termAt(now)
		c.count("renewed")
	}
	switch at := c.taken["quantity"]; {
	case sub.Spec.Quantity == c.now():
		c.refusedGen = 0
	case c.refusedGen != 0 && c.refusedGen == sub.Generation:
	case at.Before(c.until(c.termAt(at))):
		if n := len(c.changes); n > 0 && !at.After(c.changes[n-1].At) {
			at = c.changes[n-1].At.Add(time.Second)
		}
		c.changes = append(c.changes, terms.Change{At: at, Quantity: sub.Spec.Quantity})
		c.refusedGen = 0
		c.count("quantity changed")
	default:
		if c.refusedGen == 0 {
			c.count("quantity changed too late")
		}
		c.refusedGen = sub.Generation
	}
}

func (c *customer) count(what string) {
	c.w.counts[what]++
	c.note("%s", what)
}

func (c *customer) end(how v1alpha1.SubscriptionState, at time.Time) {
	c.ended, c.endedAt = how, at
	c.count(strings.ToLower(string(how)))
}

// purchase reports whether the subscription has been bought, by what the
// ledger says, and checks that.
func (c *customer) purchase(sub *v1alpha1.SoftwareSubscription) bool {
	held := c.entries(sub)
	if len(held) == 0 {
		if sub.Spec.Cancelled {
			c.end(v1alpha1.StateCancelled, c.taken["cancelled"])
		}
		return false
	}
	p := held[0].Spec.Purchase
	i := slices.IndexFunc(c.article.prices[p.Term], func(x price) bool { return x.since.After(p.At.Time) })
	history := c.article.prices[p.Term]
	if i < 0 {
		i = len(history)
	}
	if amount := history[i-1].amount; p.UnitPrice.Amount != amount || p.UnitPrice.Currency != c.article.currency {
		c.fatalf("bought at %s for %v, but the price was %s", stamp(p.At.Time), p.UnitPrice, amount)
	}
	if p.Quantity != sub.Spec.Quantity || p.At.Time.Before(c.created) || c.w.now.Sub(p.At.Time) > 21*time.Minute {
		c.fatalf("bought %d at %s", p.Quantity, stamp(p.At.Time))
	}
	d := &deal{
		bought: p.At.UTC(), months: map[v1alpha1.Term]int{v1alpha1.TermMonth: 1, v1alpha1.TermYear: 12, v1alpha1.TermThreeYears: 36}[p.Term],
		quantity: p.Quantity, currency: c.article.currency, window: 7 * day, perLicense: c.article.per == v1alpha1.KeysPerLicense,
	}
	d.price, _ = new(big.Rat).SetString(p.UnitPrice.Amount)
	if c.article.window != "" {
		window, err := duration.Parse(c.article.window)
		if err != nil {
			c.w.t.Fatal(err)
		}
		d.window, d.full = window.ToTimeDuration(), c.article.refund == v1alpha1.RefundFull
	}
	if d.months == 0 {
		d.window, d.full = 30*day, true
	}
	c.deal, c.term = d, d.term(0)
	c.count("bought")
	return true
}

func (c *customer) entries(sub *v1alpha1.SoftwareSubscription) []v1alpha1.LicenseKey {
	held, err := (&ledger.Ledger{Client: c.w.api, Live: c.w.api}).HeldLive(context.Background(), sub)
	if err != nil {
		c.w.t.Fatal(err)
	}
	return held
}

// checkKeys holds the Secret against the ledger: in it is what was issued to
// this subscription and is valid, and nothing else.
func (c *customer) checkKeys(sub *v1alpha1.SoftwareSubscription) {
	var valid, there []string
	for _, e := range c.entries(sub) {
		if e.Spec.State == v1alpha1.LicenseKeyIssued {
			valid = append(valid, e.Spec.Purchase.KeyEntry(e.Spec.Slot)+" "+e.Spec.Fingerprint)
		} else if e.Spec.Slot == 1 && c.ended != "" && !e.Spec.EndedAt.Time.Equal(c.endedAt) {
			c.fatalf("the ledger has it end at %s", stamp(e.Spec.EndedAt.Time))
		}
	}
	secret := &corev1.Secret{}
	_ = c.w.api.Get(context.Background(), client.ObjectKey{Namespace: c.key.Namespace, Name: c.key.Name + "-key"}, secret)
	for entry, value := range secret.Data {
		if strings.HasPrefix(entry, entryKey) {
			there = append(there, entry+" "+keys.Fingerprint(string(value)))
		}
	}
	slices.Sort(valid)
	slices.Sort(there)
	wanted := 0
	if c.deal != nil && c.ended == "" {
		wanted = c.keys()
	}
	if !slices.Equal(valid, there) || len(there) > wanted {
		c.fatalf("of %d keys %v are valid and %v are in the Secret", wanted, valid, there)
	}
	c.complete = wanted > 0 && len(there) == wanted
	if wanted > 0 && !c.complete && !c.waitsForKeys(sub, wanted-len(there)) {
		c.fatalf("%d of %d keys are there", len(there), wanted)
	}
	if d := sub.Status.Download; c.complete && (d == nil) == (secret.Data[entryDownloadURL] != nil) || d != nil && c.complete && downloadlink.TokenHash(downloadlink.Token(string(secret.Data[entryDownloadURL]))) != d.TokenHash {
		c.fatalf("the link in the Secret is not the one that status has")
	}
	if key := string(secret.Data[entryKey]); c.complete && sub.Spec.Download != nil && sub.Spec.Download.Architecture == "x86" && !strings.Contains(string(secret.Data[entryConfiguration]), key) ||
		c.complete && !c.kms.IsZero() && !strings.Contains(string(secret.Data[entryActivate]), key) {
		c.fatalf("the files in the Secret lack the key")
	}
}

// waitsForKeys reports whether there is a reason to wait, and that it is told.
func (c *customer) waitsForKeys(sub *v1alpha1.SoftwareSubscription, n int) bool {
	reason := reasonOf(sub, v1alpha1.ConditionReconciling)
	if reason != v1alpha1.ReasonPoolEmpty && reason != v1alpha1.ReasonQueued || !c.article.pool {
		return false
	}
	for _, other := range c.w.customers {
		if other != c && other.article == c.article && other.ended == "" && !other.complete {
			n += 12 // older ones come first
		}
	}
	c.w.counts["waited for keys"]++
	return c.w.free(c.article) < n
}

// checkWaiting checks that what is not bought has a reason not to be.
func (c *customer) checkWaiting(sub *v1alpha1.SoftwareSubscription) {
	n := 1
	if c.article.per == v1alpha1.KeysPerLicense {
		n = int(sub.Spec.Quantity)
	}
	why := reasonOf(sub, v1alpha1.ConditionStalled)
	switch {
	case sub.Status.State != v1alpha1.StatePending || meta.IsStatusConditionTrue(sub.Status.Conditions, v1alpha1.ConditionReady):
		c.fatalf("it is not bought")
	case c.article.retired && why == v1alpha1.ReasonProductNotFound:
	case c.article.rds && !c.activated && why == v1alpha1.ReasonLicenseServerNotActivated:
	case c.waitsForKeys(sub, n):
	default:
		c.fatalf("it waits without a reason")
	}
}

// checkStatus compares status with what holds now. It reports false if it does
// not tell all because keys are waited for.
func (c *customer) checkStatus(sub *v1alpha1.SoftwareSubscription) bool {
	st, now := &sub.Status, c.w.now.Truncate(time.Second)
	check := func(what string, got, want any) {
		if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
			c.fatalf("%s is %q, want %q", what, g, w)
		}
	}
	check("observedGeneration", st.ObservedGeneration, sub.Generation)
	if c.ended != "" {
		c.checkEnd(st, check)
		return true
	}
	check("state", st.State, v1alpha1.StateActive)
	check("quantity", st.Quantity, c.now())
	check("purchasedAt", stamp(st.PurchasedAt.Time), stamp(c.bought))
	c.checkTerm(st, check)
	until := c.until(c.term)
	check("cancellation.until", stamp(st.Cancellation.Until.Time), stamp(until))
	check("cancellation.open", st.Cancellation.Open, now.Before(until))
	credit := ""
	if now.Before(until) {
		_, rat := c.bill(c.term, now)
		credit = rat.FloatString(c.digits())
	}
	check("cancellation.credit", ptr.Deref(st.Cancellation.Credit, v1alpha1.Money{}).Amount, credit)
	next := ""
	if st.Next != nil {
		next = st.Next.Event + " " + stamp(st.Next.At.Time)
	}
	migrated := ""
	switch {
	case c.kms.IsZero():
	case c.deployed:
		migrated = v1alpha1.ReasonMAKDeployed
	case now.Before(c.kms.Add(150 * day)):
		migrated = v1alpha1.ReasonOnTrack
	case now.Before(c.kms.Add(180 * day)):
		migrated = v1alpha1.ReasonAtRisk
	default:
		migrated = v1alpha1.ReasonLapsed
	}
	check("Migrated", reasonOf(sub, v1alpha1.ConditionMigrated), migrated)
	if migrated == v1alpha1.ReasonLapsed {
		c.w.counts["migration lapsed"]++
	}
	c.checkLink(sub, now, check)
	check("next", next, c.next(now))
	insync := ""
	if c.refusedGen != 0 {
		insync = v1alpha1.ReasonWindowClosed
	}
	check("InSync", reasonOf(sub, v1alpha1.ConditionInSync), insync)
	cancelled := ""
	if c.refused {
		cancelled = v1alpha1.ReasonWindowClosed
	}
	check("Cancelled", reasonOf(sub, v1alpha1.ConditionCancelled), cancelled)
	check("Ready", meta.IsStatusConditionTrue(st.Conditions, v1alpha1.ConditionReady), c.complete)
	return true
}

func (c *customer) checkTerm(st *v1alpha1.SoftwareSubscriptionStatus, check func(string, any, any)) {
	check("term.startsAt", stamp(st.Term.StartsAt.Time), stamp(c.term.start))
	check("term.endsAt", stamp(ptr.Deref(st.Term.EndsAt, metav1.Time{}).Time), stamp(c.term.end))
}

func (c *customer) checkLink(sub *v1alpha1.SoftwareSubscription, now time.Time, check func(string, any, any)) {
	d := sub.Status.Download
	want := ""
	switch {
	case sub.Spec.Download != nil && sub.Spec.Download.Architecture == "x86":
		want = v1alpha1.ReasonDeploymentTool
	case c.article.rds:
	case d == nil:
		if c.complete && !c.article.retired {
			c.fatalf("there is no link")
		}
		c.downloaded = time.Time{}
	default:
		if d.Renewal < c.renewal && c.complete && !c.article.retired {
			c.fatalf("link %d was asked for, it is %d", c.renewal, d.Renewal)
		}
		if d.FirstDownloadedAt == nil && !c.downloaded.IsZero() {
			c.downloaded = time.Time{} // it is a fresh one
			c.count("link renewed")
		}
		want = v1alpha1.ReasonLinkValid
		if !c.downloaded.IsZero() && !now.Before(c.downloaded.Add(c.lifetime)) {
			want = v1alpha1.ReasonLinkExpired
			c.w.counts["link expired"]++
		}
	}
	check("DownloadAvailable", reasonOf(sub, v1alpha1.ConditionDownloadAvailable), want)
}

func (c *customer) checkEnd(st *v1alpha1.SoftwareSubscriptionStatus, check func(string, any, any)) {
	check("state", st.State, c.ended)
	check("conditions", len(slices.DeleteFunc(slices.Clone(st.Conditions), func(x metav1.Condition) bool {
		return x.Type != v1alpha1.ConditionReady && x.Type != v1alpha1.ConditionReconciling && x.Type != v1alpha1.ConditionStalled
	})), 0)
	if c.deal == nil {
		return
	}
	c.checkTerm(st, check)
	check("cancellation.open", st.Cancellation.Open, false)
	if c.ended == v1alpha1.StateCancelled {
		paid, credit := c.bill(c.term, c.endedAt)
		check("cancellation.credit", st.Cancellation.Credit.Amount, credit.FloatString(c.digits()))
		check("cancellation.at", stamp(st.Cancellation.At.Time), stamp(c.endedAt))
		if kept := new(big.Rat).Sub(paid, credit); kept.Sign() < 0 || credit.Sign() < 0 {
			c.fatalf("paid %s, and %s comes back", paid.FloatString(4), credit.FloatString(4))
		}
	}
}

// checkNews compares the Events that there ever were with those that should be.
func (c *customer) checkNews(sub *v1alpha1.SoftwareSubscription, wasOver bool) {
	now := c.w.now.Truncate(time.Second)
	noticed := c.noticed
	if c.ended != "" && !wasOver {
		noticed = c.endedAt.Add(-time.Second)
	}
	possible := map[string]bool{}
	for _, n := range c.news() {
		if n.at.After(now) {
			continue
		}
		possible[n.name(sub)] = true
		if n.at.After(noticed) && (n.before.IsZero() || now.Before(n.before)) {
			c.want[n.name(sub)] = n.reason
			c.noticed = now
			c.note("is told %s of %s", n.reason, stamp(n.at))
		}
	}
	for name, reason := range c.want {
		if c.got[name] != reason {
			c.fatalf("the Event %s was not sent", reason)
		}
	}
	for name, reason := range c.got {
		if c.want[name] == "" && !possible[name] {
			c.fatalf("the Event %s was sent without a reason", reason)
		}
		c.want[name] = reason // by a pass that failed afterwards
	}
}

// checkBills compares what each term has cost with what the rules make of the
// ledger.
func (c *customer) checkBills() {
	contract, err := ledger.Contract(c.entries(c.sub()))
	if err != nil {
		c.w.t.Fatal(err)
	}
	for n := 0; ; n++ {
		s := c.deal.term(n)
		last := c.w.now
		if !s.end.IsZero() && s.end.Before(last) {
			last = s.end.Add(-time.Second)
		}
		if c.ended != "" && c.endedAt.Before(last) {
			last = c.endedAt
		}
		if last.Before(s.start) || c.ended == v1alpha1.StateExpired && !s.start.Before(c.endedAt) {
			return
		}
		paid, _ := c.bill(s, last)
		if got := contract.PaidIn(terms.Period{Start: s.start, End: s.end}, last); got.Rat().Cmp(paid) != 0 {
			c.fatalf("term %d cost %v, want %s", n, got, paid.FloatString(4))
		}
		if c.months == 0 {
			return
		}
	}
}
