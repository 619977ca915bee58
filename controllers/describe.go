package controllers

import (
	"fmt"
	"time"

	"github.com/shopspring/decimal"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/ledger"
	"github.com/license-operator/license-operator/internal/terms"
)

// describe writes what holds now into the status of a subscription whose keys
// are reserved, and returns when that changes.
func describe(o order, held []v1alpha1.LicenseKey, delivered bool, now time.Time) (next time.Time, err error) {
	c, err := ledger.Contract(held)
	if err != nil {
		return time.Time{}, err
	}
	sub, st := o.sub, &o.sub.Status
	autoRenew := ptr.Deref(sub.Spec.AutoRenew, true)
	period, _ := c.Follow(ledger.Recorded(held, c), autoRenew, now)
	asOf := now
	if n := len(c.Changes); n > 0 {
		asOf = latest(now, c.Changes[n-1].At) // by the API server's clock, which may be ahead
	}
	window := c.CancelAt(period, asOf)

	st.PurchasedAt = ptr.To(held[0].Spec.Purchase.At)
	st.Quantity = c.QuantityAt(asOf)
	st.Term = termStatus(period)
	st.Cancellation = &v1alpha1.CancellationStatus{
		Until: ptr.To(metav1.NewTime(window.Until)), Open: window.Open,
		Message: windowMessage(period, window, autoRenew),
	}
	if window.Open {
		st.Cancellation.Credit = money(window.Credit, c.Currency)
	}
	if delivered {
		st.Keys = &v1alpha1.IssuedKeys{Issued: o.keys, SecretName: sub.KeySecretName()}
		setCondition(sub, now, v1alpha1.ConditionKeysIssued, metav1.ConditionTrue, v1alpha1.ReasonKeysDelivered, "in Secret "+sub.KeySecretName())
	} else {
		setCondition(sub, now, v1alpha1.ConditionKeysIssued, metav1.ConditionFalse, v1alpha1.ReasonNotYet, "not all in Secret "+sub.KeySecretName())
	}
	link := linkOf(sub)
	describeDownload(sub, link, o.choice, now)
	migration := describeMigration(sub, now)
	st.Next = nextEvent(period, window, link.At(now), migration, autoRenew)
	next = terms.Earliest(window.Next, period.End)
	if l := link.At(now); l.Open {
		next = terms.Earliest(next, l.Until)
	}
	if migration != nil {
		next = terms.Earliest(next, migration.Next)
	}
	return next, nil
}

// nextEvent is the first of what the passing of time will do.
func nextEvent(period terms.Period, window terms.Window, link terms.LinkStatus, migration *terms.MigrationStatus, autoRenew bool) *v1alpha1.NextEvent {
	var first *v1alpha1.NextEvent
	consider := func(event string, at time.Time) {
		if !at.IsZero() && (first == nil || at.Before(first.At.Time)) {
			first = &v1alpha1.NextEvent{Event: event, At: metav1.NewTime(at)}
		}
	}
	if window.Open {
		consider("WindowCloses", window.Until)
	}
	if link.Open {
		consider("LinkExpires", link.Until)
	}
	if migration != nil && !migration.Next.IsZero() {
		consider("ReactivateBefore", migration.Before)
	}
	if autoRenew {
		consider("Renews", period.End)
	} else {
		consider("Expires", period.End)
	}
	return first
}

// describeEnd writes the last status of a subscription that was cancelled or
// has expired.
func describeEnd(sub *v1alpha1.SoftwareSubscription, held []v1alpha1.LicenseKey, state v1alpha1.LicenseKeyState, at metav1.Time, now time.Time) error {
	c, err := ledger.Contract(held)
	if err != nil {
		return err
	}
	st := &sub.Status
	st.PurchasedAt = ptr.To(held[0].Spec.Purchase.At)
	st.Quantity = c.QuantityAt(at.Time)
	st.Next, st.Keys, st.Migration = nil, nil, nil
	meta.RemoveStatusCondition(&st.Conditions, v1alpha1.ConditionInSync)
	meta.RemoveStatusCondition(&st.Conditions, v1alpha1.ConditionMigrated)
	if st.Download != nil { // it stays, so that the link can say why it no longer works
		setCondition(sub, now, v1alpha1.ConditionDownloadAvailable, metav1.ConditionFalse, v1alpha1.ReasonEnded, "the link ended with the subscription")
	}
	if state == v1alpha1.LicenseKeyRetired {
		period := c.PeriodAt(at.Add(-time.Second)) // the one that ended then
		st.State, st.Term = v1alpha1.StateExpired, termStatus(period)
		st.Cancellation = &v1alpha1.CancellationStatus{Message: "the subscription has expired"}
		st.Message = fmt.Sprintf("expired at %s; to go on using it, buy a new subscription under another name", stamp(at.Time))
		setCondition(sub, now, v1alpha1.ConditionKeysIssued, metav1.ConditionFalse, v1alpha1.ReasonRetired, st.Message)
		return nil
	}
	period := c.PeriodAt(at.Time)
	window := c.CancelAt(period, at.Time)
	credit := money(window.Credit, c.Currency)
	st.State, st.Term = v1alpha1.StateCancelled, termStatus(period)
	st.Cancellation = &v1alpha1.CancellationStatus{Until: ptr.To(metav1.NewTime(window.Until)), At: &at, Credit: credit}
	revoked := "key"
	if n := len(held); n > 1 {
		revoked = plural(n, "key")
	}
	st.Message = fmt.Sprintf("cancelled at %s, credit %s %s; %s revoked", stamp(at.Time), credit.Amount, credit.Currency, revoked)
	setCondition(sub, now, v1alpha1.ConditionCancelled, metav1.ConditionTrue, v1alpha1.ReasonCancelledInTime, st.Message)
	setCondition(sub, now, v1alpha1.ConditionKeysIssued, metav1.ConditionFalse, v1alpha1.ReasonRevoked, "")
	return nil
}

// describeNothingIssued writes the last status of a subscription that was
// cancelled before it had a key.
func describeNothingIssued(sub *v1alpha1.SoftwareSubscription, at, now time.Time) {
	st := &sub.Status
	if st.Cancellation == nil || st.Cancellation.At == nil {
		st.Cancellation = &v1alpha1.CancellationStatus{At: ptr.To(metav1.NewTime(at))}
	}
	st.State = v1alpha1.StateCancelled
	st.Message = "cancelled before a key was issued; nothing was charged"
	setCondition(sub, now, v1alpha1.ConditionCancelled, metav1.ConditionTrue, v1alpha1.ReasonNothingIssued, st.Message)
	setCondition(sub, now, v1alpha1.ConditionKeysIssued, metav1.ConditionFalse, v1alpha1.ReasonNothingIssued, "")
}

// tell sums up a pass: state and message for people, conditions for machines.
func tell(sub *v1alpha1.SoftwareSubscription, now time.Time, err error) {
	usable := meta.IsStatusConditionTrue(sub.Status.Conditions, v1alpha1.ConditionKeysIssued)
	switch {
	case hasEnded(sub):
		// Nothing is left to be ready, and the spec is fulfilled: without Ready
		// kstatus reads this as Current, so no pipeline waits or alarms for ever.
		meta.RemoveStatusCondition(&sub.Status.Conditions, v1alpha1.ConditionReady)
	case usable:
		sub.Status.State = v1alpha1.StateActive
		sub.Status.Message = fmt.Sprintf("%s in Secret %s", keysOf(sub), sub.KeySecretName())
		setCondition(sub, now, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonKeysDelivered, sub.Status.Message)
	case sub.Status.Keys != nil:
		sub.Status.State = v1alpha1.StateActive // with fewer keys than there are to be
	default:
		sub.Status.State = v1alpha1.StatePending
	}
	if err != nil {
		sub.Status.Message = truncate(err.Error(), maxMessage)
	} else if refusal := refusalOf(sub); refusal != "" {
		sub.Status.Message = refusal
	}
	summarize(sub, now, err, usable || hasEnded(sub))
}

// keysOf is what is in the Secret, for people.
func keysOf(sub *v1alpha1.SoftwareSubscription) string {
	if k := sub.Status.Keys; k != nil && k.Issued > 1 {
		return plural(int(k.Issued), "key")
	}
	return "key"
}

// refusalOf is why something that was asked for is not done, empty if nothing
// was refused.
func refusalOf(sub *v1alpha1.SoftwareSubscription) string {
	for _, typ := range []string{v1alpha1.ConditionCancelled, v1alpha1.ConditionInSync} {
		if c := meta.FindStatusCondition(sub.Status.Conditions, typ); c != nil && c.Status == metav1.ConditionFalse {
			return c.Message
		}
	}
	return ""
}

func hasEnded(sub *v1alpha1.SoftwareSubscription) bool {
	return sub.Status.State == v1alpha1.StateCancelled || sub.Status.State == v1alpha1.StateExpired
}

func termStatus(p terms.Period) *v1alpha1.TermStatus {
	t := &v1alpha1.TermStatus{StartsAt: metav1.NewTime(p.Start)}
	if !p.End.IsZero() {
		t.EndsAt = ptr.To(metav1.NewTime(p.End))
	}
	return t
}

func windowMessage(p terms.Period, w terms.Window, autoRenew bool) string {
	switch {
	case w.Open:
		return fmt.Sprintf("can be cancelled until %s", stamp(w.Until))
	case p.End.IsZero():
		return fmt.Sprintf("the cancellation window closed at %s: a perpetual licence cannot be cancelled any more", stamp(w.Until))
	case autoRenew:
		return fmt.Sprintf("the cancellation window closed at %s: set spec.autoRenew to false to let the term end at %s", stamp(w.Until), stamp(p.End))
	default:
		return fmt.Sprintf("the cancellation window closed at %s: the term ends at %s and does not renew", stamp(w.Until), stamp(p.End))
	}
}

func money(amount decimal.Decimal, currency string) *v1alpha1.Money {
	return &v1alpha1.Money{Amount: amount.StringFixed(terms.MinorDigits(currency)), Currency: currency}
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
