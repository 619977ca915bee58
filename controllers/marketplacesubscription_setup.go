package controllers

import (
	"context"
	"fmt"
	"maps"
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

// Names of the indexes of MarketplaceSubscriptions.
const (
	indexServiceProduct = "serviceProduct" // of those that have not ended
	indexPublisher      = "publisher"      // the Publisher of a Product
)

// SetupWithManager registers the reconciler and what wakes it.
func (r *MarketplaceSubscriptionReconciler) SetupWithManager(ctx context.Context, mgr ctrl.Manager) error {
	err := mgr.GetFieldIndexer().IndexField(ctx, &v1alpha1.MarketplaceSubscription{}, indexServiceProduct, func(o client.Object) []string {
		sub := o.(*v1alpha1.MarketplaceSubscription)
		if sub.Status.State == v1alpha1.StateUnsubscribed {
			return nil
		}
		return []string{sub.Spec.ProductRef.Name}
	})
	if err != nil {
		return fmt.Errorf("indexing services by product: %w", err)
	}
	changed := builder.WithPredicates(predicate.GenerationChangedPredicate{})
	return ctrl.NewControllerManagedBy(mgr).
		For(&v1alpha1.MarketplaceSubscription{}, changed).
		Watches(&v1alpha1.Entitlement{}, handler.EnqueueRequestsFromMapFunc(ofEntitlement), builder.WithPredicates(r.entitlementMatters(ctx), served(r.Namespaces))).
		Watches(&corev1.Secret{}, handler.EnqueueRequestForOwner(mgr.GetScheme(), mgr.GetRESTMapper(), &v1alpha1.MarketplaceSubscription{}, handler.OnlyControllerOwner()),
			builder.WithPredicates(linkMatters)).
		Watches(&v1alpha1.Product{}, handler.EnqueueRequestsFromMapFunc(r.ofProduct), changed).
		Watches(&v1alpha1.Publisher{}, handler.EnqueueRequestsFromMapFunc(r.ofPublisher), changed).
		WithOptions(controller.Options{MaxConcurrentReconciles: r.Workers, ReconciliationTimeout: passTimeout, RateLimiter: backoff()}).
		Complete(r)
}

// entitlementMatters lets through the changes of entitlements. The creation of
// one is our own doing, unless its subscription has gone meanwhile.
func (r *MarketplaceSubscriptionReconciler) entitlementMatters(ctx context.Context) predicate.Predicate {
	return predicate.Funcs{
		CreateFunc: func(e event.CreateEvent) bool {
			return e.IsInInitialList || r.Get(ctx, ofEntitlement(ctx, e.Object)[0].NamespacedName, &v1alpha1.MarketplaceSubscription{}) != nil
		},
		UpdateFunc: func(e event.UpdateEvent) bool { return e.ObjectOld.GetGeneration() != e.ObjectNew.GetGeneration() },
	}
}

// linkMatters lets through what happens to a Secret that we delivered.
var linkMatters = predicate.Funcs{
	CreateFunc: func(event.CreateEvent) bool { return false },
	UpdateFunc: func(e event.UpdateEvent) bool {
		return !maps.EqualFunc(e.ObjectOld.(*corev1.Secret).Data, e.ObjectNew.(*corev1.Secret).Data, slices.Equal)
	},
}

// served lets through the entitlements of the customers that this operator
// serves: those of others are another operator's.
func served(namespaces []string) predicate.Predicate {
	return predicate.NewPredicateFuncs(func(o client.Object) bool {
		return len(namespaces) == 0 || slices.Contains(namespaces, o.(*v1alpha1.Entitlement).Spec.Customer)
	})
}

func ofEntitlement(_ context.Context, o client.Object) []reconcile.Request {
	spec := &o.(*v1alpha1.Entitlement).Spec
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: spec.Customer, Name: spec.Subscription.Name}}}
}

func (r *MarketplaceSubscriptionReconciler) ofProduct(ctx context.Context, product client.Object) []reconcile.Request {
	var subs v1alpha1.MarketplaceSubscriptionList
	if err := r.List(ctx, &subs, client.MatchingFields{indexServiceProduct: product.GetName()}, client.UnsafeDisableDeepCopy); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "listing the subscriptions of a product", "product", product.GetName())
		return nil // who is stalled looks again by itself
	}
	all := make([]reconcile.Request, 0, len(subs.Items))
	for i := range subs.Items {
		all = append(all, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&subs.Items[i])})
	}
	return all
}

func (r *MarketplaceSubscriptionReconciler) ofPublisher(ctx context.Context, publisher client.Object) []reconcile.Request {
	var products v1alpha1.ProductList
	if err := r.List(ctx, &products, client.MatchingFields{indexPublisher: publisher.GetName()}); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "listing the products of a publisher", "publisher", publisher.GetName())
		return nil
	}
	var all []reconcile.Request
	for i := range products.Items {
		all = append(all, r.ofProduct(ctx, &products.Items[i])...)
	}
	return all
}
