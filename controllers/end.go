package controllers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/keys"
	"github.com/license-operator/license-operator/internal/ledger"
	"github.com/license-operator/license-operator/internal/taken"
)

// issued returns the entries of the keys that are valid.
func issued(held []v1alpha1.LicenseKey) []v1alpha1.LicenseKey {
	return slices.DeleteFunc(held, func(k v1alpha1.LicenseKey) bool { return k.Spec.State != v1alpha1.LicenseKeyIssued })
}

// cancel ends a subscription whose spec says so, if the API server took that
// request while the window was open, however long ago. It reports whether the
// subscription is cancelled. Since this cannot be undone, it reads everything
// from the API server again.
func (r *SoftwareSubscriptionReconciler) cancel(ctx context.Context, sub *v1alpha1.SoftwareSubscription, held []v1alpha1.LicenseKey, now time.Time) (bool, error) {
	if !sub.Spec.Cancelled {
		meta.RemoveStatusCondition(&sub.Status.Conditions, v1alpha1.ConditionCancelled)
		return false, nil
	}
	if c := meta.FindStatusCondition(sub.Status.Conditions, v1alpha1.ConditionCancelled); c != nil && c.Status == metav1.ConditionFalse {
		setCondition(sub, now, c.Type, c.Status, c.Reason, c.Message)
		return false, nil // it was too late, and stays so until it is taken back
	}
	if hasEnded(sub) && len(held) == 0 {
		return true, nil // nothing had been issued
	}
	live, err := r.reread(ctx, sub)
	if err != nil {
		return false, err
	}
	if held, err = r.Ledger.HeldLive(ctx, live); err != nil {
		return false, err
	}
	at := taken.At(live, now, "spec", "cancelled")
	if len(held) == 0 {
		describeNothingIssued(sub, at, now)
		return true, nil
	}
	w, err := windowAt(held, ptr.Deref(live.Spec.AutoRenew, true), at)
	if err != nil {
		return false, err
	}
	if !w.Open {
		setCondition(sub, now, v1alpha1.ConditionCancelled, metav1.ConditionFalse, v1alpha1.ReasonWindowClosed,
			fmt.Sprintf("cancelled at %s, but the window closed at %s. The subscription goes on: set spec.cancelled back to false", stamp(at), stamp(w.Until)))
		return false, nil
	}
	return true, r.end(ctx, sub, held, v1alpha1.LicenseKeyRevoked, metav1.NewTime(at), now)
}

// renewOrExpire goes on to the next term when one is over, or ends the
// subscription if it does not renew. It reports whether it ended. A renewal is
// on record in the ledger before anything else is done with it, because status
// does not survive a restore.
//
// If the operator was away when the term was over, spec.autoRenew counts as it
// is found.
func (r *SoftwareSubscriptionReconciler) renewOrExpire(ctx context.Context, sub *v1alpha1.SoftwareSubscription, held []v1alpha1.LicenseKey, now time.Time) (bool, error) {
	if len(held) == 0 {
		return false, nil
	}
	c, err := ledger.Contract(held)
	if err != nil {
		return false, err
	}
	before := ledger.Recorded(held, c)
	period, expired := c.Follow(before, ptr.Deref(sub.Spec.AutoRenew, true), now)
	if period == before && expired.IsZero() {
		return false, nil
	}
	if _, err := r.reread(ctx, sub); err != nil {
		return false, err
	}
	if expired.IsZero() {
		return false, r.Ledger.Renew(ctx, &held[0], metav1.NewTime(period.End))
	}
	return true, r.end(ctx, sub, held, v1alpha1.LicenseKeyRetired, metav1.NewTime(expired), now)
}

// reread reads a subscription from the API server. What is done next cannot be
// undone, so the cache must not be behind.
func (r *SoftwareSubscriptionReconciler) reread(ctx context.Context, sub *v1alpha1.SoftwareSubscription) (*v1alpha1.SoftwareSubscription, error) {
	live := &v1alpha1.SoftwareSubscription{}
	if err := r.Live.Get(ctx, client.ObjectKeyFromObject(sub), live); err != nil {
		return nil, fmt.Errorf("reading the subscription again: %w", err)
	}
	if live.UID != sub.UID || live.Generation != sub.Generation {
		return nil, errors.New("the subscription has just been changed")
	}
	return live, nil
}

// end revokes or retires the keys in the ledger, then deletes their Secret,
// then tells. The first of these is what makes it final.
func (r *SoftwareSubscriptionReconciler) end(ctx context.Context, sub *v1alpha1.SoftwareSubscription, held []v1alpha1.LicenseKey, state v1alpha1.LicenseKeyState, at metav1.Time, now time.Time) error {
	for i := range held {
		if err := r.Ledger.End(ctx, &held[i], state, at); err != nil {
			return err
		}
	}
	if left, err := r.isLeft(ctx, sub, held); err != nil {
		return err
	} else if left || !hasEnded(sub) {
		if err := r.deleteSecret(ctx, sub, held); err != nil {
			return err
		}
		log.FromContext(ctx).Info("the keys are no longer valid", "state", state, "keys", len(held))
	}
	return describeEnd(sub, held, state, at, now)
}

// isLeft reports whether the Secret, as far as the cache knows, holds one of
// the given keys: perhaps a delivery came after the end.
func (r *SoftwareSubscriptionReconciler) isLeft(ctx context.Context, sub *v1alpha1.SoftwareSubscription, held []v1alpha1.LicenseKey) (bool, error) {
	var secret corev1.Secret
	if err := r.Get(ctx, client.ObjectKey{Namespace: sub.Namespace, Name: sub.KeySecretName()}, &secret); err != nil {
		return false, client.IgnoreNotFound(err)
	}
	return slices.ContainsFunc(held, func(k v1alpha1.LicenseKey) bool {
		return string(secret.Data[k.Spec.Purchase.KeyEntry(k.Spec.Slot)]) == k.Spec.Fingerprint
	}), nil
}

// deleteSecret deletes the Secret if it holds one of the given keys, and that
// very object only.
func (r *SoftwareSubscriptionReconciler) deleteSecret(ctx context.Context, sub *v1alpha1.SoftwareSubscription, held []v1alpha1.LicenseKey) error {
	var secret corev1.Secret
	err := r.Live.Get(ctx, client.ObjectKey{Namespace: sub.Namespace, Name: sub.KeySecretName()}, &secret)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading Secret %s: %w", sub.KeySecretName(), err)
	}
	ours := slices.ContainsFunc(held, func(k v1alpha1.LicenseKey) bool {
		return keys.Fingerprint(string(secret.Data[k.Spec.Purchase.KeyEntry(k.Spec.Slot)])) == k.Spec.Fingerprint
	})
	if !ours || !isMarked(&secret) {
		return nil // a copy that the customer made, of a key that is no longer valid
	}
	err = r.Delete(ctx, &secret, client.Preconditions{UID: &secret.UID, ResourceVersion: &secret.ResourceVersion})
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("deleting Secret %s: %w", secret.Name, err)
	}
	return nil
}
