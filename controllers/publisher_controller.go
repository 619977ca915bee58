package controllers

import (
	"context"
	"errors"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/license-operator/license-operator/api/v1alpha1"
)

// +kubebuilder:rbac:groups=license-operator.io,resources=publishers/status,verbs=patch

// PublisherReconciler tells whether a Publisher can do its part.
type PublisherReconciler struct {
	client.Client
	Clock clock.PassiveClock
}

// Reconcile checks what the API server does not. Whether the webhook answers
// shows when something is to be told.
func (r *PublisherReconciler) Reconcile(ctx context.Context, p *v1alpha1.Publisher) (ctrl.Result, error) {
	before := p.DeepCopy()
	now := r.Clock.Now().UTC().Truncate(time.Second)
	var err error
	if len(p.Spec.Subjects) == 0 {
		err = stalled(v1alpha1.ReasonNobodyMayCall, "nobody may call the fulfilment API for this publisher, so nothing it sells is ever activated: list its service account in spec.subjects")
	} else {
		setCondition(p, now, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonConfigured, plural(len(p.Spec.Subjects), "subject")+" may call the fulfilment API")
	}
	summarize(p, now, err, false)
	if perr := patchStatus(ctx, r.Client, before, p); perr != nil {
		return ctrl.Result{}, errors.Join(err, perr)
	}
	return ctrl.Result{}, nil
}

// SetupWithManager registers the reconciler.
func (r *PublisherReconciler) SetupWithManager(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		For(&v1alpha1.Publisher{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		WithOptions(controller.Options{ReconciliationTimeout: passTimeout, RateLimiter: backoff()}).
		Complete(reconcile.AsReconciler(mgr.GetClient(), r))
}
