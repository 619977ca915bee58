package controllers

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
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
	"github.com/license-operator/license-operator/internal/artifacts"
)

// +kubebuilder:rbac:groups=license-operator.io,resources=products/status,verbs=patch

// indexProductIssuer finds the Products of a KeyIssuer. It has the name of the
// selectable field, so that the API server knows it too.
const indexProductIssuer = "spec.software.keys.issuerRef.name"

// ProductReconciler tells whether a Product can be sold.
type ProductReconciler struct {
	client.Client
	Clock clock.PassiveClock
	// Artifacts is where the files are that products offer.
	Artifacts *artifacts.Store
	// Wake carries the products about whose files more is known.
	Wake chan event.GenericEvent
}

// Reconcile checks that the KeyIssuer exists and fits, and that customers are
// picked by a valid selector, and looks at the files that are offered.
func (r *ProductReconciler) Reconcile(ctx context.Context, p *v1alpha1.Product) (ctrl.Result, error) {
	before := p.DeepCopy()
	now := r.Clock.Now().UTC().Truncate(time.Second)

	err := r.check(ctx, p)
	if err == nil {
		from := "activated by Publisher "
		if p.Spec.Software != nil {
			from = "keys come from KeyIssuer "
		}
		setCondition(p, now, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonSellable, from+origin(p))
	}
	next := r.verifyArtifacts(ctx, p, now)
	summarize(p, now, err, false)
	if perr := patchStatus(ctx, r.Client, before, p); perr != nil {
		return ctrl.Result{}, errors.Join(err, perr)
	}
	return requeue(next, now, err)
}

// origin names where a product comes from.
func origin(p *v1alpha1.Product) string {
	if p.Spec.SaaS != nil {
		return p.Spec.SaaS.PublisherRef.Name
	}
	return p.Spec.Software.Keys.IssuerRef.Name
}

func (r *ProductReconciler) check(ctx context.Context, p *v1alpha1.Product) error {
	if _, err := customers(p); err != nil {
		return err
	}
	if p.Spec.SaaS != nil {
		_, err := publisher(ctx, r, p.Spec.SaaS.PublisherRef.Name)
		return err
	}
	name := p.Spec.Software.Keys.IssuerRef.Name
	var issuer v1alpha1.KeyIssuer
	err := r.Get(ctx, client.ObjectKey{Name: name}, &issuer)
	if apierrors.IsNotFound(err) {
		return stalled(v1alpha1.ReasonIssuerNotFound, "KeyIssuer %s does not exist: create it, or name another one in spec.software.keys.issuerRef", name)
	}
	if err != nil {
		return fmt.Errorf("reading KeyIssuer %s: %w", name, err)
	}
	if p.Spec.Software.OfficeDeploymentTool || p.Spec.Software.RemoteDesktop != nil {
		return wants5x5(&issuer)
	}
	return nil
}

// SetupWithManager registers the reconciler and what wakes it.
func (r *ProductReconciler) SetupWithManager(ctx context.Context, mgr ctrl.Manager) error {
	err := mgr.GetFieldIndexer().IndexField(ctx, &v1alpha1.Product{}, indexProductIssuer, func(o client.Object) []string {
		if software := o.(*v1alpha1.Product).Spec.Software; software != nil {
			return []string{software.Keys.IssuerRef.Name}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("indexing products by issuer: %w", err)
	}
	err = mgr.GetFieldIndexer().IndexField(ctx, &v1alpha1.Product{}, indexPublisher, func(o client.Object) []string {
		if saas := o.(*v1alpha1.Product).Spec.SaaS; saas != nil {
			return []string{saas.PublisherRef.Name}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("indexing products by publisher: %w", err)
	}
	if err := mgr.GetFieldIndexer().IndexField(ctx, &v1alpha1.Product{}, indexArtifact, artifactsOf); err != nil {
		return fmt.Errorf("indexing products by artifact: %w", err)
	}
	r.Artifacts.Changed = func(path string) { r.verified(ctx, path) }
	return ctrl.NewControllerManagedBy(mgr).
		For(&v1alpha1.Product{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&v1alpha1.Publisher{}, handler.EnqueueRequestsFromMapFunc(r.ofPublisher), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&v1alpha1.KeyIssuer{}, handler.EnqueueRequestsFromMapFunc(r.ofIssuer), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		WatchesRawSource(source.Channel(r.Wake, &handler.EnqueueRequestForObject{})).
		WithOptions(controller.Options{ReconciliationTimeout: passTimeout, RateLimiter: backoff()}).
		Complete(reconcile.AsReconciler(mgr.GetClient(), r))
}

func (r *ProductReconciler) ofIssuer(ctx context.Context, issuer client.Object) []reconcile.Request {
	return r.requests(ctx, indexProductIssuer, issuer)
}

func (r *ProductReconciler) ofPublisher(ctx context.Context, publisher client.Object) []reconcile.Request {
	return r.requests(ctx, indexPublisher, publisher)
}

// requests are the products that come from somewhere.
func (r *ProductReconciler) requests(ctx context.Context, index string, from client.Object) []reconcile.Request {
	var products v1alpha1.ProductList
	if err := r.List(ctx, &products, client.MatchingFields{index: from.GetName()}); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "listing products", "by", index, "of", from.GetName())
		return nil // a stalled product looks again by itself
	}
	var all []reconcile.Request
	for i := range products.Items {
		all = append(all, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&products.Items[i])})
	}
	return all
}
