package controllers

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/license-operator/license-operator/api/v1alpha1"
)

// Names of the indexes of SoftwareSubscriptions.
const (
	indexSecret    = "keySecret"        // the Secret that the keys are delivered in
	indexUnsettled = "unsettledProduct" // the Product, of those that wait or are stalled
	indexServer    = "licenseServer"    // the LicenseServer
	indexState     = "state"            // status.state
	indexProduct   = "product"          // the Product, of those that have not ended
)

var subscriptionIndexes = map[string]client.IndexerFunc{
	indexSecret: func(o client.Object) []string {
		return []string{o.(*v1alpha1.SoftwareSubscription).KeySecretName()}
	},
	indexServer: func(o client.Object) []string {
		if ref := o.(*v1alpha1.SoftwareSubscription).Spec.LicenseServerRef; ref != nil {
			return []string{ref.Name}
		}
		return nil
	},
	indexState: func(o client.Object) []string {
		return []string{string(o.(*v1alpha1.SoftwareSubscription).Status.State)}
	},
	indexProduct: func(o client.Object) []string {
		sub := o.(*v1alpha1.SoftwareSubscription)
		if hasEnded(sub) {
			return nil
		}
		return []string{sub.Spec.ProductRef.Name}
	},
	indexUnsettled: func(o client.Object) []string {
		sub := o.(*v1alpha1.SoftwareSubscription)
		blocked := reasonOf(sub, v1alpha1.ConditionReconciling)+reasonOf(sub, v1alpha1.ConditionStalled) != ""
		if sub.Status.State == v1alpha1.StatePending || blocked {
			return []string{sub.Spec.ProductRef.Name}
		}
		return nil
	},
}

// SetupWithManager registers the reconciler and what wakes it.
func (r *SoftwareSubscriptionReconciler) SetupWithManager(ctx context.Context, mgr ctrl.Manager) error {
	for name, index := range subscriptionIndexes {
		if err := mgr.GetFieldIndexer().IndexField(ctx, &v1alpha1.SoftwareSubscription{}, name, index); err != nil {
			return fmt.Errorf("indexing subscriptions by %s: %w", name, err)
		}
	}
	return ctrl.NewControllerManagedBy(mgr).
		For(&v1alpha1.SoftwareSubscription{}, builder.WithPredicates(predicate.Or(predicate.GenerationChangedPredicate{}, downloadBegan))).
		Watches(&corev1.Secret{}, handler.EnqueueRequestsFromMapFunc(r.ofSecret), builder.WithPredicates(r.secretMatters(ctx))).
		Watches(&v1alpha1.Product{}, handler.EnqueueRequestsFromMapFunc(r.ofProduct), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&v1alpha1.LicenseServer{}, handler.EnqueueRequestsFromMapFunc(r.ofServer), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&corev1.Namespace{}, handler.EnqueueRequestsFromMapFunc(r.ofNamespace), builder.OnlyMetadata, builder.WithPredicates(predicate.LabelChangedPredicate{})).
		Watches(&v1alpha1.KeyIssuer{}, handler.EnqueueRequestsFromMapFunc(r.ofIssuer), builder.WithPredicates(issuerReady)).
		WatchesRawSource(source.Channel(r.Wake, &handler.EnqueueRequestForObject{})).
		WithOptions(controller.Options{
			MaxConcurrentReconciles: r.Workers,
			ReconciliationTimeout:   passTimeout,
			RateLimiter:             backoff(),
		}).
		Complete(r)
}

// backoff repeats failures soon at first, then every minute, so that after an
// outage nobody waits longer than that.
func backoff() workqueue.TypedRateLimiter[reconcile.Request] {
	return workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](50*time.Millisecond, time.Minute)
}

// secretMatters lets through the events that can mean that a delivered key is
// gone, or that one is there which should not be. The creation of a Secret is
// our own doing, unless the subscription has ended meanwhile.
func (r *SoftwareSubscriptionReconciler) secretMatters(ctx context.Context) predicate.Predicate {
	return predicate.Funcs{
		CreateFunc: func(e event.CreateEvent) bool {
			return slices.ContainsFunc(r.ofSecret(ctx, e.Object), func(req reconcile.Request) bool {
				var sub v1alpha1.SoftwareSubscription
				return r.Get(ctx, req.NamespacedName, &sub) == nil && hasEnded(&sub)
			})
		},
		UpdateFunc: func(e event.UpdateEvent) bool {
			before, after := e.ObjectOld.(*corev1.Secret), e.ObjectNew.(*corev1.Secret)
			return !maps.EqualFunc(before.Data, after.Data, slices.Equal)
		},
		GenericFunc: func(event.GenericEvent) bool { return false },
	}
}

// issuerReady lets through the events after which an issuer may serve those
// whom it could not serve at all. Who waits for keys is woken by Woken.
var issuerReady = predicate.Funcs{
	UpdateFunc: func(e event.UpdateEvent) bool {
		return !isReady(e.ObjectOld.(*v1alpha1.KeyIssuer)) && isReady(e.ObjectNew.(*v1alpha1.KeyIssuer))
	},
	DeleteFunc:  func(event.DeleteEvent) bool { return false },
	GenericFunc: func(event.GenericEvent) bool { return false },
}

// downloadBegan lets through the one change of status that is not our own: the
// downloads service recorded a first download.
var downloadBegan = predicate.Funcs{
	CreateFunc: func(event.CreateEvent) bool { return false },
	UpdateFunc: func(e event.UpdateEvent) bool {
		before, after := e.ObjectOld.(*v1alpha1.SoftwareSubscription), e.ObjectNew.(*v1alpha1.SoftwareSubscription)
		return linkOf(before) != linkOf(after)
	},
	DeleteFunc:  func(event.DeleteEvent) bool { return false },
	GenericFunc: func(event.GenericEvent) bool { return false },
}

func isReady(i *v1alpha1.KeyIssuer) bool {
	return meta.IsStatusConditionTrue(i.Status.Conditions, v1alpha1.ConditionReady)
}

func (r *SoftwareSubscriptionReconciler) ofSecret(ctx context.Context, secret client.Object) []reconcile.Request {
	return r.requests(ctx, client.InNamespace(secret.GetNamespace()), client.MatchingFields{indexSecret: secret.GetName()})
}

func (r *SoftwareSubscriptionReconciler) ofServer(ctx context.Context, server client.Object) []reconcile.Request {
	return r.requests(ctx, client.InNamespace(server.GetNamespace()), client.MatchingFields{indexServer: server.GetName()})
}

// ofNamespace returns the subscriptions of a customer to whom something may be
// offered now that was not before. It picks out of all that wait, because the
// cache may know some namespaces only.
func (r *SoftwareSubscriptionReconciler) ofNamespace(ctx context.Context, ns client.Object) []reconcile.Request {
	return slices.DeleteFunc(r.requests(ctx, client.MatchingFields{indexState: string(v1alpha1.StatePending)}), func(req reconcile.Request) bool {
		return req.Namespace != ns.GetName()
	})
}

func (r *SoftwareSubscriptionReconciler) ofProduct(ctx context.Context, product client.Object) []reconcile.Request {
	return r.requests(ctx, client.MatchingFields{indexProduct: product.GetName()})
}

func (r *SoftwareSubscriptionReconciler) ofIssuer(ctx context.Context, issuer client.Object) []reconcile.Request {
	var products v1alpha1.ProductList
	if err := r.List(ctx, &products, client.MatchingFields{indexProductIssuer: issuer.GetName()}); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "listing the products of an issuer", "issuer", issuer.GetName())
		return nil // those who wait look again by themselves
	}
	var all []reconcile.Request
	for _, p := range products.Items {
		all = append(all, r.requests(ctx, client.MatchingFields{indexUnsettled: p.Name})...)
	}
	return all
}

func (r *SoftwareSubscriptionReconciler) requests(ctx context.Context, which ...client.ListOption) []reconcile.Request {
	var subs v1alpha1.SoftwareSubscriptionList
	if err := r.List(ctx, &subs, append(which, client.UnsafeDisableDeepCopy)...); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "listing subscriptions to wake")
		return nil // those who wait look again by themselves
	}
	all := make([]reconcile.Request, 0, len(subs.Items))
	for i := range subs.Items {
		all = append(all, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&subs.Items[i])})
	}
	return all
}
