package controllers

import (
	"context"
	"errors"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/keys"
	"github.com/license-operator/license-operator/internal/ledger"
	"github.com/license-operator/license-operator/internal/terms"
)

// +kubebuilder:rbac:groups=license-operator.io,resources=softwaresubscriptions,verbs=get;list;watch
// +kubebuilder:rbac:groups=license-operator.io,resources=softwaresubscriptions/status,verbs=patch
// +kubebuilder:rbac:groups=license-operator.io,resources=products;keyissuers;licenseservers,verbs=get;list;watch
// +kubebuilder:rbac:groups=license-operator.io,resources=licensekeys,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups="",resources=secrets,verbs=get;list;watch;create;update;delete
// +kubebuilder:rbac:groups="",resources=namespaces,verbs=get;list;watch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create

// SoftwareSubscriptionReconciler issues the keys of a SoftwareSubscription,
// follows its term and its cancellation window, and ends it.
type SoftwareSubscriptionReconciler struct {
	// Client reads from the manager's cache, in which Secrets hold fingerprints
	// in place of keys (see FingerprintSecret).
	client.Client
	// Live reads from the API server.
	Live   client.Reader
	Clock  clock.PassiveClock
	Ledger *ledger.Ledger
	Keys   *keys.Registry
	// Wake carries the subscriptions that waited and can be served now.
	Wake chan event.GenericEvent
	// DownloadsURL is what download links begin with, without the slash.
	DownloadsURL string
	// Workers is how many subscriptions are worked on at a time; 0 means one.
	Workers int

	// unsure holds the subscriptions whose last pass failed. A write of it may
	// have been carried out although its answer was lost, and the cache may not
	// show it yet, so the next pass reads the ledger live.
	unsure sync.Map
}

// Reconcile reads the clock once, lets reconcile change only the status in
// memory, and writes that status once.
func (r *SoftwareSubscriptionReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	sub := &v1alpha1.SoftwareSubscription{}
	if err := r.Get(ctx, req.NamespacedName, sub); err != nil || !sub.DeletionTimestamp.IsZero() {
		r.stopWaiting(ctx, req, "")
		r.unsure.Delete(req.NamespacedName)
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	before := sub.DeepCopy()
	now := r.Clock.Now().UTC().Truncate(time.Second) // the precision of metav1.Time

	next, err := r.reconcile(ctx, sub, now)
	if errors.Is(err, errLater) {
		return ctrl.Result{RequeueAfter: moment}, nil
	}
	if b := new(blocked); !errors.As(err, &b) || b.reason != v1alpha1.ReasonPoolEmpty && b.reason != v1alpha1.ReasonQueued {
		r.stopWaiting(ctx, req, "")
	}
	tell(sub, now, err)
	failed := err != nil && !errors.As(err, new(*blocked))
	var nerr error
	if !failed { // else not all is known, such as that it has ended
		var announced time.Time
		announced, nerr = r.announce(ctx, before, sub, now)
		next = terms.Earliest(next, announced)
	}
	perr := patchStatus(ctx, r.Client, before, sub)
	if perr == nil && !failed {
		r.unsure.Delete(req.NamespacedName)
	} else {
		r.unsure.Store(req.NamespacedName, true)
	}
	if apierrors.IsConflict(perr) && err == nil {
		return ctrl.Result{RequeueAfter: moment}, nil // somebody has just changed it: look again
	}
	if perr != nil || nerr != nil {
		return ctrl.Result{}, errors.Join(err, nerr, perr)
	}
	return requeue(next, now, err)
}

// reconcile takes a subscription one step through its life. What the ledger
// says counts, not what status says.
func (r *SoftwareSubscriptionReconciler) reconcile(ctx context.Context, sub *v1alpha1.SoftwareSubscription, now time.Time) (next time.Time, err error) {
	held, err := r.held(ctx, sub)
	if err != nil {
		return time.Time{}, err
	}
	if state, at, ok := ledger.Ended(held); ok {
		return time.Time{}, r.end(ctx, sub, held, state, at, now)
	}
	held = issued(held)
	if cancelled, err := r.cancel(ctx, sub, held, now); cancelled || err != nil {
		return time.Time{}, err
	}
	if expired, err := r.renewOrExpire(ctx, sub, held, now); expired || err != nil {
		return time.Time{}, err
	}
	if held, err = r.changeQuantity(ctx, sub, held, now); err != nil {
		return time.Time{}, err
	}
	product, choice, wrong := r.wanted(ctx, sub, held)
	if wrong != nil && len(held) == 0 {
		return time.Time{}, wrong // nothing is spent on what cannot be had
	}
	o, err := newOrder(sub, product, choice, held, now)
	if err != nil {
		return time.Time{}, err
	}
	held, err = r.issue(ctx, o, now)
	if len(held) == 0 {
		return time.Time{}, err
	}
	if len(o.held) > 0 {
		held = o.held // what is done goes by its first entry, so what is told does too
	}
	next, derr := describe(o, held, err == nil, now)
	next = terms.Earliest(next, releasable(o, now))
	if err == nil {
		err = wrong // the key was bought and is delivered all the same
	}
	return next, errors.Join(derr, err)
}

// held returns the entries of a subscription in the ledger. It asks the cache,
// unless that cannot be right or may well be late.
func (r *SoftwareSubscriptionReconciler) held(ctx context.Context, sub *v1alpha1.SoftwareSubscription) ([]v1alpha1.LicenseKey, error) {
	if _, unsure := r.unsure.Load(client.ObjectKeyFromObject(sub)); unsure {
		return r.Ledger.HeldLive(ctx, sub)
	}
	held, err := r.Ledger.Held(ctx, sub)
	if err == nil && len(held) == 0 && sub.Status.PurchasedAt != nil {
		return r.Ledger.HeldLive(ctx, sub)
	}
	return held, err
}

// stopWaiting takes a subscription out of the queues of all issuers but one,
// and wakes those who can be served now because of that.
func (r *SoftwareSubscriptionReconciler) stopWaiting(ctx context.Context, req ctrl.Request, except string) {
	wake(ctx, r.Wake, r.Keys.Forget(req.Namespace, req.Name, except))
}

// wake has subscriptions looked at that waited for keys.
func wake(ctx context.Context, to chan<- event.GenericEvent, claims []keys.Claim) {
	for _, c := range claims {
		sub := &v1alpha1.SoftwareSubscription{ObjectMeta: metav1.ObjectMeta{Namespace: c.Customer, Name: c.Subscription}}
		select {
		case to <- event.GenericEvent{Object: sub}:
		case <-ctx.Done():
			return // they look again by themselves
		}
	}
}
