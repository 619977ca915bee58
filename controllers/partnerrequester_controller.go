package controllers

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/license-operator/license-operator/api/v1alpha1"
)

// PartnerRequesterReconciler deletes what is on record of who tried in vain to
// register, once none of it counts any more.
type PartnerRequesterReconciler struct {
	client.Client
	Clock clock.PassiveClock
}

// Reconcile deletes a record, if it is still what was looked at, or waits until
// it can.
func (r *PartnerRequesterReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	now := r.Clock.Now().UTC().Truncate(time.Second) // the precision of metav1.Time
	of := &v1alpha1.PartnerRequester{}
	if err := r.Get(ctx, req.NamespacedName, of); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if attempts := instants(of.Spec.Attempts); len(attempts.Current(now)) > 0 {
		return requeue(attempts.Gone(), now, nil)
	}
	err := r.Delete(ctx, of, asRead(of))
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) { // a change wakes us
		return ctrl.Result{}, fmt.Errorf("deleting PartnerRequester %s: %w", of.Name, err)
	}
	return ctrl.Result{}, nil
}

// SetupWithManager registers the reconciler and what wakes it.
func (r *PartnerRequesterReconciler) SetupWithManager(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		For(&v1alpha1.PartnerRequester{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		WithOptions(controller.Options{ReconciliationTimeout: passTimeout, RateLimiter: backoff()}).
		Complete(r)
}
