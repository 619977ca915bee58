package controllers

import (
	"context"
	"errors"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/keys"
	"github.com/license-operator/license-operator/internal/ledger"
)

// +kubebuilder:rbac:groups=license-operator.io,resources=keyissuers/status,verbs=patch

// countEvery is how often the counts of an issuer are brought up to date at most.
const countEvery = time.Second

// KeyIssuerReconciler makes the keys of a KeyIssuer available in the registry
// and counts them.
type KeyIssuerReconciler struct {
	client.Client
	// Live reads from the API server.
	Live client.Reader
	// Stock reads the Secrets of the operator's namespace, with their content.
	Stock     client.Reader
	Namespace string
	Clock     clock.PassiveClock
	Ledger    *ledger.Ledger
	Keys      *keys.Registry
	// Wake is told the subscriptions that waited and can be served now.
	Wake chan<- event.GenericEvent

	pools poolCache
}

// Reconcile brings the source and the status of an issuer up to date.
func (r *KeyIssuerReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	issuer := &v1alpha1.KeyIssuer{}
	if err := r.Get(ctx, req.NamespacedName, issuer); err != nil {
		r.Keys.Remove(req.Name)
		r.pools.drop(req.Name)
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	before := issuer.DeepCopy()
	now := r.Clock.Now().UTC().Truncate(time.Second)

	err := r.reconcile(ctx, issuer, now)
	if _, known := r.Keys.Get(issuer.Name); !known {
		r.Keys.Set(issuer.Name, nil) // those who want keys are told to wait
	}
	summarize(issuer, now, err, false)
	if perr := patchStatus(ctx, r.Client, before, issuer); perr != nil {
		return ctrl.Result{}, errors.Join(err, perr)
	}
	return requeue(time.Time{}, now, err)
}

func (r *KeyIssuerReconciler) reconcile(ctx context.Context, issuer *v1alpha1.KeyIssuer, now time.Time) error {
	if !issuer.DeletionTimestamp.IsZero() {
		r.Keys.Set(issuer.Name, nil)
		return waiting(v1alpha1.ReasonIssuerNotReady, "it is being deleted")
	}
	entries, err := r.Ledger.Of(ctx, issuer.Name)
	if err != nil {
		return err
	}
	counts := count(entries)
	issuer.Status.Keys = counts

	if issuer.Spec.Signed != nil {
		signer, err := r.signer(ctx, issuer, entries)
		if errors.As(err, new(*blocked)) {
			r.Keys.Set(issuer.Name, nil) // it must not sign on
		}
		if err != nil {
			return err
		}
		r.Keys.Set(issuer.Name, signer)
		counts.Total = counts.Issued + counts.Revoked
		issuer.Status.PublicKey = signer.PublicKey()
		setCondition(issuer, now, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonKeysAvailable, "signs with Ed25519; verify with status.publicKey")
		return nil
	}
	return r.stock(ctx, issuer, entries, now)
}

func count(entries []v1alpha1.LicenseKey) *v1alpha1.KeyCounts {
	c := &v1alpha1.KeyCounts{}
	for i := range entries {
		if entries[i].Spec.State == v1alpha1.LicenseKeyIssued {
			c.Issued++
		} else {
			c.Revoked++
		}
	}
	return c
}

// SetupWithManager registers the reconciler and what wakes it. stock is the
// cache of the Secrets in the operator's namespace.
func (r *KeyIssuerReconciler) SetupWithManager(mgr ctrl.Manager, stock cache.Cache) error {
	return ctrl.NewControllerManagedBy(mgr).
		For(&v1alpha1.KeyIssuer{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&v1alpha1.KeyIssuer{}, handler.EnqueueRequestsFromMapFunc(r.all), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&v1alpha1.LicenseKey{}, countLater{}).
		WatchesRawSource(source.Kind(stock, &corev1.Secret{}, handler.TypedEnqueueRequestsFromMapFunc(func(ctx context.Context, s *corev1.Secret) []reconcile.Request { return r.all(ctx, s) }))).
		WithOptions(controller.Options{ReconciliationTimeout: passTimeout, RateLimiter: backoff()}).
		Complete(r)
}

// all wakes every issuer, after a change of a Secret or of another issuer: they
// are few, and which Secrets belong to whom depends on all of them.
func (r *KeyIssuerReconciler) all(ctx context.Context, _ client.Object) []reconcile.Request {
	var issuers v1alpha1.KeyIssuerList
	if err := r.List(ctx, &issuers); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "listing issuers to wake")
		return nil
	}
	var all []reconcile.Request
	for i := range issuers.Items {
		all = append(all, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&issuers.Items[i])})
	}
	return all
}

// countLater wakes the issuer of a ledger entry after a while. The queue keeps
// one request for each issuer, so a burst of sales is counted once.
type countLater struct{}

type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]

func (countLater) Create(_ context.Context, e event.CreateEvent, q queue) { enqueueLater(e.Object, q) }
func (countLater) Update(_ context.Context, e event.UpdateEvent, q queue) {
	enqueueLater(e.ObjectNew, q)
}
func (countLater) Delete(_ context.Context, e event.DeleteEvent, q queue) { enqueueLater(e.Object, q) }
func (countLater) Generic(context.Context, event.GenericEvent, queue)     {}

func enqueueLater(o client.Object, q queue) {
	var req reconcile.Request
	req.Name = o.(*v1alpha1.LicenseKey).Spec.IssuerRef.Name
	q.AddAfter(req, countEvery)
}
