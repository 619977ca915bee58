package controllers

import (
	"context"
	"slices"

	rbacv1 "k8s.io/api/rbac/v1"
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

// SetupWithManager registers the reconciler and what wakes it. The manager must
// have the indexes of registrations. At its start it looks at each namespace that
// has an agreement, or a RoleBinding of ours, of which the agreement may be gone.
func (r *PartnerAccessReconciler) SetupWithManager(mgr ctrl.Manager) error {
	here := handler.EnqueueRequestsFromMapFunc(func(_ context.Context, o client.Object) []reconcile.Request {
		return r.customers(o.GetNamespace())
	})
	registered := handler.EnqueueRequestsFromMapFunc(func(_ context.Context, o client.Object) []reconcile.Request {
		return r.customers(registrationIndexes[indexRegisteredIn](o)...)
	})
	return ctrl.NewControllerManagedBy(mgr).
		Named("partneraccess").
		Watches(&v1alpha1.PartnerAgreement{}, here, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&v1alpha1.PartnerRegistration{}, registered, builder.WithPredicates(claimChanged)).
		Watches(&rbacv1.RoleBinding{}, here, builder.WithPredicates(isOurBinding)).
		WithOptions(controller.Options{MaxConcurrentReconciles: r.Workers, ReconciliationTimeout: passTimeout, RateLimiter: backoff()}).
		Complete(r)
}

// customers are the requests for those of the namespaces that are served.
func (r *PartnerAccessReconciler) customers(namespaces ...string) (all []reconcile.Request) {
	for _, namespace := range namespaces {
		if len(r.Namespaces) == 0 || slices.Contains(r.Namespaces, namespace) {
			all = append(all, reconcile.Request{NamespacedName: client.ObjectKey{Name: namespace}})
		}
	}
	return all
}

// claimChanged lets through registrations that are for other agreements now, or
// for none. An update wakes the customers of before and those of after.
var claimChanged = predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
	before, after := e.ObjectOld.(*v1alpha1.PartnerRegistration), e.ObjectNew.(*v1alpha1.PartnerRegistration)
	named := func(reg *v1alpha1.PartnerRegistration) (all []v1alpha1.ObjectReference) {
		for _, a := range reg.Status.Agreements {
			all = append(all, a.ObjectReference)
		}
		return all
	}
	return before.UID != after.UID || isGoing(before) != isGoing(after) ||
		!before.Status.RecognisedAt.Equal(after.Status.RecognisedAt) || !equality.Semantic.DeepEqual(named(before), named(after))
}}

var isOurBinding = predicate.NewPredicateFuncs(func(o client.Object) bool {
	_, known := roleFor(o.GetName())
	return known
})
