package controllers

import (
	"fmt"
	"time"

	"github.com/shopspring/decimal"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/terms"
)

// describe writes what holds now into the status of a subscription whose keys
// are reserved, and returns when that changes.
func describe(sub *v1alpha1.SoftwareSubscription, held []v1alpha1.LicenseKey, delivered bool, now time.Time) (next time.Time, err error) {
	purchase := held[0].Spec.Purchase
	c, err := contract(purchase)
	if err != nil {
		return time.Time{}, err
	}
	autoRenew := ptr.Deref(sub.Spec.AutoRenew, true)
	period, _ := c.Follow(recorded(held, c), autoRenew, now)
	window := c.CancelAt(period, now)

	st := &sub.Status
	st.PurchasedAt = ptr.To(purchase.At)
	st.Term = termStatus(period)
	st.Cancellation = &v1alpha1.CancellationStatus{
		Until: ptr.To(metav1.NewTime(window.Until)), Open: window.Open,
		Message: windowMessage(period, window, autoRenew),
	}
	st.Next = nil
	switch {
	case window.Open:
		st.Cancellation.Credit = money(window.Credit, c.Currency)
		st.Next = &v1alpha1.NextEvent{Event: "WindowCloses", At: metav1.NewTime(window.Until)}
	case !period.End.IsZero() && autoRenew:
		st.Next = &v1alpha1.NextEvent{Event: "Renews", At: metav1.NewTime(period.End)}
	case !period.End.IsZero():
		st.Next = &v1alpha1.NextEvent{Event: "Expires", At: metav1.NewTime(period.End)}
	}
	if delivered {
		st.Keys = &v1alpha1.IssuedKeys{Issued: purchase.Keys(), SecretName: sub.KeySecretName()}
		setCondition(sub, now, v1alpha1.ConditionKeysIssued, metav1.ConditionTrue, v1alpha1.ReasonKeysDelivered, "in Secret "+sub.KeySecretName())
	} else {
		st.Keys = nil
		setCondition(sub, now, v1alpha1.ConditionKeysIssued, metav1.ConditionFalse, v1alpha1.ReasonNotYet, "not in Secret "+sub.KeySecretName())
	}
	return terms.Earliest(window.Next, period.End), nil
}

// describeEnd writes the last status of a subscription that was cancelled or
// has expired.
func describeEnd(sub *v1alpha1.SoftwareSubscription, purchase v1alpha1.Purchase, state v1alpha1.LicenseKeyState, at metav1.Time, now time.Time) error {
	c, err := contract(purchase)
	if err != nil {
		return err
	}
	st := &sub.Status
	st.PurchasedAt = ptr.To(purchase.At)
	st.Next, st.Keys = nil, nil
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
	st.Message = fmt.Sprintf("cancelled at %s, credit %s %s; key revoked", stamp(at.Time), credit.Amount, credit.Currency)
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
	refusal := meta.FindStatusCondition(sub.Status.Conditions, v1alpha1.ConditionCancelled)
	switch {
	case hasEnded(sub):
		// Nothing is left to be ready, and the spec is fulfilled: without Ready
		// kstatus reads this as Current, so no pipeline waits or alarms for ever.
		meta.RemoveStatusCondition(&sub.Status.Conditions, v1alpha1.ConditionReady)
	case usable:
		sub.Status.State, sub.Status.Message = v1alpha1.StateActive, "key in Secret "+sub.KeySecretName()
		if k := sub.Status.Keys; k != nil && k.Issued > 1 {
			sub.Status.Message = plural(int(k.Issued), sub.Status.Message[:3]) + sub.Status.Message[3:]
		}
		setCondition(sub, now, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonKeysDelivered, sub.Status.Message)
	default:
		sub.Status.State = v1alpha1.StatePending
	}
	switch {
	case err != nil:
		sub.Status.Message = truncate(err.Error(), maxMessage)
	case refusal != nil && refusal.Status == metav1.ConditionFalse:
		sub.Status.Message = refusal.Message
	}
	summarize(sub, now, err, usable || hasEnded(sub))
}

func hasEnded(sub *v1alpha1.SoftwareSubscription) bool {
	return sub.Status.State == v1alpha1.StateCancelled || sub.Status.State == v1alpha1.StateExpired
}

// recorded is the latest term that the ledger has on record.
func recorded(held []v1alpha1.LicenseKey, c terms.Contract) terms.Period {
	within := c.Purchased
	for _, entry := range held {
		if until := entry.Spec.RenewedUntil; until != nil {
			within = until.Add(-time.Second)
		}
	}
	return c.PeriodAt(within)
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
