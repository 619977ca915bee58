package controllers

import (
	"context"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/ledger"
	"github.com/license-operator/license-operator/internal/taken"
	"github.com/license-operator/license-operator/internal/terms"
)

// maxQuantityChanges is how many an entry of the ledger holds.
const maxQuantityChanges = 100

// changeQuantity records another quantity in the ledger if the API server took
// it while the window was open, and revokes the keys of licences that are given
// back. It returns the entries that are left. What came too late, or is not
// possible, is told and changes nothing.
func (r *SoftwareSubscriptionReconciler) changeQuantity(ctx context.Context, sub *v1alpha1.SoftwareSubscription, held []v1alpha1.LicenseKey, now time.Time) ([]v1alpha1.LicenseKey, error) {
	if len(held) == 0 {
		return held, nil
	}
	first := &held[0]
	refused := meta.FindStatusCondition(sub.Status.Conditions, v1alpha1.ConditionInSync)
	switch {
	case sub.Spec.Quantity == first.Spec.Quantity():
		meta.RemoveStatusCondition(&sub.Status.Conditions, v1alpha1.ConditionInSync)
	case refused != nil && refused.ObservedGeneration == sub.Generation:
		// Decided already. A window that opens later does not make it true.
	default:
		at, reason, message, err := r.mayChangeQuantity(ctx, sub, held, now)
		if err != nil {
			return nil, err
		}
		if reason != "" {
			setCondition(sub, now, v1alpha1.ConditionInSync, metav1.ConditionFalse, reason, message)
			break
		}
		meta.RemoveStatusCondition(&sub.Status.Conditions, v1alpha1.ConditionInSync)
		if err := r.Ledger.ChangeQuantity(ctx, first, v1alpha1.QuantityChange{At: metav1.NewTime(at), Quantity: sub.Spec.Quantity}); err != nil {
			return nil, err
		}
	}
	return r.giveBack(ctx, held)
}

// mayChangeQuantity returns the instant of a change of the quantity, or why it
// cannot be.
func (r *SoftwareSubscriptionReconciler) mayChangeQuantity(ctx context.Context, sub *v1alpha1.SoftwareSubscription, held []v1alpha1.LicenseKey, now time.Time) (at time.Time, reason, message string, err error) {
	live, err := r.reread(ctx, sub)
	if err != nil {
		return at, "", "", err
	}
	purchase, changes := held[0].Spec.Purchase, held[0].Spec.QuantityChanges
	at = taken.At(live, now, "spec", "quantity")
	window, err := windowAt(held, ptr.Deref(sub.Spec.AutoRenew, true), at)
	if err != nil {
		return at, "", "", err
	}
	back := fmt.Sprintf("%d are bought and spec.quantity is %d: set it back to %d", held[0].Spec.Quantity(), sub.Spec.Quantity, held[0].Spec.Quantity())
	switch {
	case !window.Open:
		return at, v1alpha1.ReasonWindowClosed, fmt.Sprintf("%s, because the cancellation window closed at %s; buy another subscription for more", back, stamp(window.Until)), nil
	case purchase.Keys(sub.Spec.Quantity) > v1alpha1.MaxKeysPerSubscription:
		return at, v1alpha1.ReasonTooManyKeys, fmt.Sprintf("%s, because one subscription holds at most %d keys; buy another one for more", back, v1alpha1.MaxKeysPerSubscription), nil
	case len(changes) >= maxQuantityChanges:
		return at, v1alpha1.ReasonTooManyChanges, fmt.Sprintf("%s, because it was changed %d times already; buy another subscription for more", back, len(changes)), nil
	}
	// Instants tell changes apart, so no two are the same.
	last := purchase.At.Time
	if n := len(changes); n > 0 {
		last = changes[n-1].At.Add(time.Second)
	}
	if at.Before(last) {
		at = last
	}
	return at, "", "", nil
}

// windowAt is the cancellation window as it was when the API server took a
// request.
func windowAt(held []v1alpha1.LicenseKey, autoRenew bool, at time.Time) (terms.Window, error) {
	c, err := ledger.Contract(held)
	if err != nil {
		return terms.Window{}, err
	}
	period, expired := c.Follow(ledger.Recorded(held, c), autoRenew, at)
	if at.Before(period.Start) {
		period = c.PeriodAt(at)
	}
	w := c.CancelAt(period, at)
	w.Open = w.Open && expired.IsZero()
	return w, nil
}

// giveBack revokes the keys of licences that there are no longer, and returns
// the entries of the others.
func (r *SoftwareSubscriptionReconciler) giveBack(ctx context.Context, held []v1alpha1.LicenseKey) ([]v1alpha1.LicenseKey, error) {
	first := held[0].Spec
	keep, n := held[:0:0], len(first.QuantityChanges)
	for i := range held {
		if n == 0 || held[i].Spec.Slot <= first.Purchase.Keys(first.Quantity()) {
			keep = append(keep, held[i])
			continue
		}
		if err := r.Ledger.End(ctx, &held[i], v1alpha1.LicenseKeyRevoked, first.QuantityChanges[n-1].At); err != nil {
			return nil, err
		}
	}
	return slices.Clip(keep), nil
}
