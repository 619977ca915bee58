package controllers

import (
	"context"
	"fmt"

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

// Names of the indexes of Takeovers that are not done.
const (
	indexTakenPurchase = "purchase"
	indexTakenTo       = "moveTo"
)

var takeoverIndexes = map[string]client.IndexerFunc{
	indexTakenPurchase: func(o client.Object) []string {
		t := o.(*v1alpha1.Takeover)
		if isTakenOver(t) {
			return nil
		}
		return []string{t.Spec.PurchaseRef.Name}
	},
	indexTakenTo: func(o client.Object) []string {
		to, ok := subscriptionOf(o)
		if !ok || isTakenOver(o.(*v1alpha1.Takeover)) {
			return nil
		}
		return []string{to.key()}
	},
}

// SetupWithManager registers the reconciler and what wakes it.
//
// One Takeover is worked on at a time: two that want the same seats do not keep
// each other from getting enough.
func (r *TakeoverReconciler) SetupWithManager(ctx context.Context, mgr ctrl.Manager) error {
	for name, index := range takeoverIndexes {
		if err := mgr.GetFieldIndexer().IndexField(ctx, &v1alpha1.Takeover{}, name, index); err != nil {
			return fmt.Errorf("indexing takeovers by %s: %w", name, err)
		}
	}
	changed := builder.WithPredicates(predicate.GenerationChangedPredicate{})
	return ctrl.NewControllerManagedBy(mgr).
		For(&v1alpha1.Takeover{}, changed).
		Watches(&v1alpha1.SelfServicePurchase{}, handler.EnqueueRequestsFromMapFunc(r.ofPurchase), builder.WithPredicates(purchaseMatters)).
		Watches(&v1alpha1.SelfServiceOrder{}, handler.EnqueueRequestsFromMapFunc(r.ofOrder), changed).
		Watches(&v1alpha1.Seat{}, handler.EnqueueRequestsFromMapFunc(r.ofSubscription), builder.WithPredicates(seatMatters)).
		Watches(&v1alpha1.LicenseAssignment{}, handler.EnqueueRequestsFromMapFunc(r.ofSubscription), builder.WithPredicates(isGone)).
		Watches(&v1alpha1.SoftwareSubscription{}, handler.EnqueueRequestsFromMapFunc(r.ofSubscription), builder.WithPredicates(supplyChanged)).
		Watches(&v1alpha1.MarketplaceSubscription{}, handler.EnqueueRequestsFromMapFunc(r.ofSubscription), builder.WithPredicates(supplyChanged)).
		WithOptions(controller.Options{ReconciliationTimeout: passTimeout, RateLimiter: backoff()}).
		Complete(r)
}

// isGone lets through the end of an object.
var isGone = predicate.Funcs{
	CreateFunc: func(event.CreateEvent) bool { return false },
	UpdateFunc: func(event.UpdateEvent) bool { return false },
}

// seatMatters lets through seats that became free, and those that a Takeover
// reserved: if it was interrupted then, it did not know that it had.
var seatMatters = predicate.Funcs{
	CreateFunc: func(e event.CreateEvent) bool { return e.Object.(*v1alpha1.Seat).Spec.Takeover != "" },
	UpdateFunc: func(event.UpdateEvent) bool { return false },
}

// purchaseMatters lets through what the purchaser changes, what comes in the way
// of the purchase, and that it has other licences or that these are known now.
var purchaseMatters = predicate.Or(predicate.GenerationChangedPredicate{}, predicate.Funcs{
	CreateFunc: func(event.CreateEvent) bool { return false },
	UpdateFunc: func(e event.UpdateEvent) bool {
		before, after := e.ObjectOld.(*v1alpha1.SelfServicePurchase), e.ObjectNew.(*v1alpha1.SelfServicePurchase)
		_, knew := access(before)
		_, knows := access(after)
		return reasonOf(before, v1alpha1.ConditionStalled) != reasonOf(after, v1alpha1.ConditionStalled) ||
			before.Status.Quantity != after.Status.Quantity || knew != knows
	},
	DeleteFunc: func(event.DeleteEvent) bool { return false },
})

func (r *TakeoverReconciler) ofPurchase(ctx context.Context, p client.Object) []reconcile.Request {
	return r.requests(ctx, p.GetNamespace(), indexTakenPurchase, p.GetName())
}

func (r *TakeoverReconciler) ofOrder(ctx context.Context, o client.Object) []reconcile.Request {
	spec := &o.(*v1alpha1.SelfServiceOrder).Spec
	return r.requests(ctx, spec.Customer, indexTakenPurchase, spec.Purchase.Name)
}

func (r *TakeoverReconciler) ofSubscription(ctx context.Context, o client.Object) []reconcile.Request {
	of, _ := subscriptionOf(o)
	return r.requests(ctx, of.Namespace, indexTakenTo, of.key())
}

// requests are those for the Takeovers of a customer that are not done. It picks
// them out of those of all, because the cache may know some namespaces only.
func (r *TakeoverReconciler) requests(ctx context.Context, namespace, index, value string) []reconcile.Request {
	var list v1alpha1.TakeoverList
	if err := r.List(ctx, &list, client.MatchingFields{index: value}, client.UnsafeDisableDeepCopy); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "listing takeovers to wake")
		return nil // those who wait look again by themselves
	}
	var all []reconcile.Request
	for i := range list.Items {
		if list.Items[i].Namespace == namespace {
			all = append(all, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
		}
	}
	return all
}
