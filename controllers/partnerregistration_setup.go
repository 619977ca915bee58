package controllers

import (
	"context"

	"k8s.io/apimachinery/pkg/api/equality"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/license-operator/license-operator/api/v1alpha1"
)

// SetupWithManager registers the reconciler and what wakes it. Nothing else can
// help a registration that waits, so it does not look again and again.
func (r *PartnerRegistrationReconciler) SetupWithManager(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		For(&v1alpha1.PartnerRegistration{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&v1alpha1.PartnerAgreement{}, handler.EnqueueRequestsFromMapFunc(r.ofAgreement), builder.WithPredicates(agreementMatters)).
		Watches(&v1alpha1.PartnerRequester{}, handler.EnqueueRequestsFromMapFunc(r.ofRequester), builder.WithPredicates(allowsMore)).
		WithOptions(controller.Options{ReconciliationTimeout: passTimeout, RateLimiter: backoff()}).
		Complete(r)
}

// agreementMatters lets through what partners register by, and what comes of it.
var agreementMatters = predicate.Funcs{
	CreateFunc: func(e event.CreateEvent) bool { return !e.IsInInitialList }, // each registration is looked at then
	UpdateFunc: func(e event.UpdateEvent) bool {
		before, after := e.ObjectOld.(*v1alpha1.PartnerAgreement), e.ObjectNew.(*v1alpha1.PartnerAgreement)
		return before.Generation != after.Generation || isStalled(before) != isStalled(after) || !equality.Semantic.DeepEqual(before.Status.Partners, after.Status.Partners)
	},
}

// allowsMore lets through that attempts were taken off the record.
var allowsMore = predicate.Funcs{
	CreateFunc: func(event.CreateEvent) bool { return false },
	UpdateFunc: func(e event.UpdateEvent) bool {
		return len(e.ObjectNew.(*v1alpha1.PartnerRequester).Spec.Attempts) < len(e.ObjectOld.(*v1alpha1.PartnerRequester).Spec.Attempts)
	},
}

// ofAgreement returns the registrations that have an agreement of the same
// customer, and those that are recognised by this one. Those whose numbers are
// wrong are not among them.
func (r *PartnerRegistrationReconciler) ofAgreement(ctx context.Context, o client.Object) []reconcile.Request {
	all := r.requests(ctx, indexRegisteredIn, o.GetNamespace())
	for _, proof := range proofsOf(o.(*v1alpha1.PartnerAgreement)) {
		all = append(all, r.requests(ctx, indexProof, proof.String())...)
	}
	return all
}

// ofRequester returns what a requester may try now.
func (r *PartnerRegistrationReconciler) ofRequester(ctx context.Context, o client.Object) []reconcile.Request {
	return r.requests(ctx, indexUncompared, o.GetName())
}

func (r *PartnerRegistrationReconciler) requests(ctx context.Context, index, value string) []reconcile.Request {
	var list v1alpha1.PartnerRegistrationList
	if err := r.List(ctx, &list, client.MatchingFields{index: value}, client.UnsafeDisableDeepCopy); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "listing partner registrations to wake")
		return nil
	}
	all := make([]reconcile.Request, 0, len(list.Items))
	for i := range list.Items {
		all = append(all, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
	}
	return all
}
