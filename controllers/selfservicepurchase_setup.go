package controllers

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
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

// indexStalled finds the SelfServicePurchases that are stalled, by their Product
// or all of them.
const (
	indexStalled = "stalledProduct"
	anyProduct   = "*" // not a name of one
)

var purchaseIndexes = map[string]client.IndexerFunc{
	indexStalled: func(o client.Object) []string {
		p := o.(*v1alpha1.SelfServicePurchase)
		if reasonOf(p, v1alpha1.ConditionStalled) == "" {
			return nil
		}
		return []string{anyProduct, p.Spec.ProductRef.Name}
	},
}

// SetupWithManager registers the reconciler and what wakes it.
func (r *SelfServicePurchaseReconciler) SetupWithManager(ctx context.Context, mgr ctrl.Manager) error {
	for name, index := range purchaseIndexes {
		if err := mgr.GetFieldIndexer().IndexField(ctx, &v1alpha1.SelfServicePurchase{}, name, index); err != nil {
			return fmt.Errorf("indexing self-service purchases by %s: %w", name, err)
		}
	}
	changed := builder.WithPredicates(predicate.GenerationChangedPredicate{})
	stalled := handler.EnqueueRequestsFromMapFunc(r.stalledIn)
	return ctrl.NewControllerManagedBy(mgr).
		For(&v1alpha1.SelfServicePurchase{}, changed).
		Watches(&v1alpha1.SelfServiceOrder{}, handler.EnqueueRequestsFromMapFunc(ofOrder), builder.WithPredicates(r.orderMatters(ctx), servedOrder(r.Namespaces))).
		Watches(&v1alpha1.Product{}, handler.EnqueueRequestsFromMapFunc(r.ofProduct), changed).
		Watches(&v1alpha1.SelfServicePolicy{}, stalled, changed).
		Watches(&v1alpha1.PartnerAgreement{}, stalled, changed).
		Watches(&corev1.Namespace{}, handler.EnqueueRequestsFromMapFunc(r.ofNamespace), builder.OnlyMetadata, builder.WithPredicates(predicate.LabelChangedPredicate{})).
		WithOptions(controller.Options{MaxConcurrentReconciles: r.Workers, ReconciliationTimeout: passTimeout, RateLimiter: backoff()}).
		Complete(r)
}

// orderMatters lets through the changes of orders. The creation of one is our own
// doing, unless its purchase has missed it.
func (r *SelfServicePurchaseReconciler) orderMatters(ctx context.Context) predicate.Predicate {
	return predicate.Funcs{
		CreateFunc: func(e event.CreateEvent) bool {
			if e.IsInInitialList {
				return false // each purchase is looked at then
			}
			var p v1alpha1.SelfServicePurchase
			return r.Get(ctx, ofOrder(ctx, e.Object)[0].NamespacedName, &p) == nil && reasonOf(&p, v1alpha1.ConditionStalled) == v1alpha1.ReasonOrderNotFound
		},
		UpdateFunc: func(e event.UpdateEvent) bool { return e.ObjectOld.GetGeneration() != e.ObjectNew.GetGeneration() },
	}
}

// servedOrder lets through the orders of the customers that this operator serves:
// those of others are another operator's.
func servedOrder(namespaces []string) predicate.Predicate {
	return predicate.NewPredicateFuncs(func(o client.Object) bool {
		return len(namespaces) == 0 || slices.Contains(namespaces, o.(*v1alpha1.SelfServiceOrder).Spec.Customer)
	})
}

func ofOrder(_ context.Context, o client.Object) []reconcile.Request {
	spec := &o.(*v1alpha1.SelfServiceOrder).Spec
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: spec.Customer, Name: spec.Purchase.Name}}}
}

func (r *SelfServicePurchaseReconciler) ofProduct(ctx context.Context, product client.Object) []reconcile.Request {
	return r.requests(ctx, product.GetName())
}

// stalledIn returns what is stalled in the namespace of something.
func (r *SelfServicePurchaseReconciler) stalledIn(ctx context.Context, o client.Object) []reconcile.Request {
	return r.requests(ctx, anyProduct, client.InNamespace(o.GetNamespace()))
}

// ofNamespace returns the purchases of a customer to whom something may be
// offered now that was not before. It picks out of all that are stalled, because
// the cache may know some namespaces only.
func (r *SelfServicePurchaseReconciler) ofNamespace(ctx context.Context, ns client.Object) []reconcile.Request {
	return slices.DeleteFunc(r.requests(ctx, anyProduct), func(req reconcile.Request) bool { return req.Namespace != ns.GetName() })
}

// requests are the purchases of a product that are stalled.
func (r *SelfServicePurchaseReconciler) requests(ctx context.Context, product string, which ...client.ListOption) []reconcile.Request {
	var purchases v1alpha1.SelfServicePurchaseList
	if err := r.List(ctx, &purchases, append(which, client.MatchingFields{indexStalled: product}, client.UnsafeDisableDeepCopy)...); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "listing self-service purchases to wake")
		return nil // who is stalled looks again by himself
	}
	all := make([]reconcile.Request, 0, len(purchases.Items))
	for i := range purchases.Items {
		all = append(all, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&purchases.Items[i])})
	}
	return all
}
