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

// +kubebuilder:rbac:groups=license-operator.io,resources=licenseservers/status,verbs=patch

// LicenseServerReconciler tells whether licences can be installed on a
// LicenseServer.
type LicenseServerReconciler struct {
	client.Client
	Clock clock.PassiveClock
}

// Reconcile looks whether the activation is on record.
func (r *LicenseServerReconciler) Reconcile(ctx context.Context, s *v1alpha1.LicenseServer) (ctrl.Result, error) {
	before := s.DeepCopy()
	now := r.Clock.Now().UTC().Truncate(time.Second)

	var err error
	if s.Spec.LicenseServerID == "" {
		err = stalled(v1alpha1.ReasonNotActivated, "activate the server at the clearing house, over TCP port 443, and put its 35-character id into spec.licenseServerID")
	} else {
		setCondition(s, now, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonActivated, "licences for Windows Server "+string(s.Spec.WindowsServerVersion)+" and earlier can be installed")
	}
	summarize(s, now, err, false)
	if perr := patchStatus(ctx, r.Client, before, s); perr != nil {
		return ctrl.Result{}, errors.Join(err, perr)
	}
	return ctrl.Result{}, nil // only another spec changes anything
}

// SetupWithManager registers the reconciler and what wakes it.
func (r *LicenseServerReconciler) SetupWithManager(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		For(&v1alpha1.LicenseServer{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		WithOptions(controller.Options{ReconciliationTimeout: passTimeout, RateLimiter: backoff()}).
		Complete(reconcile.AsReconciler(mgr.GetClient(), r))
}
