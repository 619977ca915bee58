package controllers

import (
	"context"
	"errors"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/entitlements"
	"github.com/license-operator/license-operator/internal/terms"
)

// +kubebuilder:rbac:groups=license-operator.io,resources=marketplacesubscriptions,verbs=get;list;watch
// +kubebuilder:rbac:groups=license-operator.io,resources=marketplacesubscriptions/status,verbs=patch
// +kubebuilder:rbac:groups=license-operator.io,resources=publishers,verbs=get;list;watch
// +kubebuilder:rbac:groups=license-operator.io,resources=entitlements,verbs=get;list;watch;create;patch

// PurchaseTokens makes the tokens by which a publisher recognises a purchase.
type PurchaseTokens interface {
	// Load makes ready to make tokens. It is called before each piece of work.
	Load(ctx context.Context) error
	// PurchaseToken returns a token for an entitlement, by its id, that is
	// valid until expires.
	PurchaseToken(id string, expires time.Time) (string, error)
}

// MarketplaceSubscriptionReconciler buys publishers' services, asks their
// publishers for what the customer wants changed, and follows what becomes of
// them.
type MarketplaceSubscriptionReconciler struct {
	// Client reads from the manager's cache, in which Secrets hold fingerprints
	// in place of links (see FingerprintSecret).
	client.Client
	// Live reads from the API server.
	Live         client.Reader
	Clock        clock.PassiveClock
	Entitlements *entitlements.Record
	Tokens       PurchaseTokens
	// Mail tells the purchaser what Events tell everybody.
	Mail Post
	// Namespaces are the customers to serve; none means all.
	Namespaces []string
	// Workers is how many subscriptions are worked on at a time; 0 means one.
	Workers int

	// unsure holds the subscriptions whose last pass failed: what it wrote may
	// not be in the cache yet.
	unsure sync.Map
	// unsent holds the mails about subscriptions that could not be put on
	// record. It is forgotten with the process; the Events have told it all.
	unsent sync.Map
	// trials is held while a purchase with a trial is put on record.
	trials sync.Mutex
}

// service is one pass over a subscription: what there is, and what was found
// out about it.
type service struct {
	sub       *v1alpha1.MarketplaceSubscription
	record    *v1alpha1.Entitlement
	facts     *terms.Entitlement
	product   *v1alpha1.Product   // nil: it is no longer in the catalogue
	publisher *v1alpha1.Publisher // nil: it is gone
	wish      wish
}

// Reconcile reads the clock once, lets reconcile change only the status in
// memory, and writes that status once.
func (r *MarketplaceSubscriptionReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	now := r.Clock.Now().UTC().Truncate(time.Second) // the precision of metav1.Time
	sub := &v1alpha1.MarketplaceSubscription{}
	err := r.Get(ctx, req.NamespacedName, sub)
	if apierrors.IsNotFound(err) || err == nil && !sub.DeletionTimestamp.IsZero() {
		r.unsure.Delete(req.NamespacedName)
		r.unsent.Delete(req.NamespacedName)
		next, err := r.orphan(ctx, req, now)
		return requeue(next, now, err)
	}
	if err != nil {
		return ctrl.Result{}, err
	}
	before := sub.DeepCopy()

	s := &service{sub: sub}
	next, err := r.reconcile(ctx, s, now)
	if errors.Is(err, errLater) {
		return ctrl.Result{RequeueAfter: moment}, nil
	}
	tellService(sub, now, err)
	if s.facts != nil && (err == nil || errors.As(err, new(*blocked))) { // else not all is known
		announced, err := r.announce(ctx, before, s, now)
		if err != nil {
			return ctrl.Result{}, err // status stays as it is, so that what has happened is still news
		}
		next = terms.Earliest(next, announced)
	}
	perr := patchStatus(ctx, r.Client, before, sub)
	if failed := err != nil && !errors.As(err, new(*blocked)); failed || perr != nil {
		r.unsure.Store(req.NamespacedName, true)
	} else {
		r.unsure.Delete(req.NamespacedName)
	}
	if apierrors.IsConflict(perr) && err == nil {
		return ctrl.Result{RequeueAfter: moment}, nil // somebody has just changed it: look again
	}
	if perr != nil {
		return ctrl.Result{}, errors.Join(err, perr)
	}
	return requeue(next, now, err)
}

// reconcile takes a subscription one step through its life. What is on record
// counts, not what status says.
func (r *MarketplaceSubscriptionReconciler) reconcile(ctx context.Context, s *service, now time.Time) (next time.Time, err error) {
	sub := s.sub
	if s.record, err = r.bought(ctx, sub); err != nil {
		return time.Time{}, err
	}
	if next, err = r.replaced(ctx, sub, now); err != nil {
		return time.Time{}, err
	}
	if s.record == nil && sub.Spec.Cancelled {
		describeNothingBought(sub, now)
		return next, nil
	}
	if s.record == nil {
		if s.record, err = r.buy(ctx, sub, now); err != nil {
			return time.Time{}, err
		}
	}
	if err := r.lookUp(ctx, s); err != nil {
		return time.Time{}, err
	}
	if err := r.follow(ctx, s, now); err != nil {
		return time.Time{}, err
	}
	next = terms.Earliest(next, describeService(s, now))
	again, err := r.link(ctx, s, now)
	if err == nil {
		err = s.recreated()
	}
	return terms.Earliest(next, again), err
}

// bought returns the entitlement of a subscription, nil if there is none. It asks
// the cache, unless that may well be late. A purchase is recognised by its name,
// its product and its term, so that a restored subscription finds its own.
func (r *MarketplaceSubscriptionReconciler) bought(ctx context.Context, sub *v1alpha1.MarketplaceSubscription) (*v1alpha1.Entitlement, error) {
	all, err := r.Entitlements.Of(ctx, sub.Namespace, sub.Name)
	_, unsure := r.unsure.Load(client.ObjectKeyFromObject(sub))
	if e := ofPurchase(all, sub); err != nil || e != nil && !unsure || sub.Status.ID == "" && !unsure {
		return e, err
	}
	all, err = r.Entitlements.OfLive(ctx, sub.Namespace, sub.Name)
	e := ofPurchase(all, sub)
	if err == nil && e == nil && sub.Status.ID != "" {
		return nil, stalled(v1alpha1.ReasonEntitlementNotFound, "the publisher knows this subscription by id %s, and the ledger has no Entitlement for it: restore that, or delete this subscription and buy under another name", sub.Status.ID)
	}
	return e, err
}

// ofPurchase is the latest of some purchases that can be this subscription's.
func ofPurchase(all []v1alpha1.Entitlement, sub *v1alpha1.MarketplaceSubscription) *v1alpha1.Entitlement {
	for i := len(all) - 1; i >= 0; i-- {
		if isPurchaseOf(&all[i], sub) {
			return &all[i]
		}
	}
	return nil
}

func isPurchaseOf(e *v1alpha1.Entitlement, sub *v1alpha1.MarketplaceSubscription) bool {
	return e.Spec.ProductRef == sub.Spec.ProductRef && e.Spec.Purchase.Term == sub.Spec.Term
}

// replaced follows what was bought by an earlier subscription of the same name,
// which was another purchase and is gone.
func (r *MarketplaceSubscriptionReconciler) replaced(ctx context.Context, sub *v1alpha1.MarketplaceSubscription, now time.Time) (next time.Time, err error) {
	all, err := r.Entitlements.Of(ctx, sub.Namespace, sub.Name)
	if err != nil {
		return time.Time{}, err
	}
	for i := range all {
		if all[i].Spec.EndedAt != nil || isPurchaseOf(&all[i], sub) {
			continue
		}
		again, err := r.desert(ctx, &all[i], now)
		if err != nil {
			return time.Time{}, err
		}
		next = terms.Earliest(next, again)
	}
	return next, nil
}

// lookUp finds the product and the publisher of a purchase. Either may be gone
// by now: what was bought goes on.
func (r *MarketplaceSubscriptionReconciler) lookUp(ctx context.Context, s *service) error {
	p, err := product(ctx, r, s.sub.Spec.ProductRef.Name)
	if err == nil && p.Spec.SaaS != nil && p.Spec.SaaS.PublisherRef == s.record.Spec.PublisherRef && p.Spec.SaaS.OfferID == s.record.Spec.OfferID {
		s.product = p // else another one was published under the same name
	}
	if err != nil && !errors.As(err, new(*blocked)) {
		return err
	}
	s.publisher, err = publisher(ctx, r, s.record.Spec.PublisherRef.Name)
	if err != nil && !errors.As(err, new(*blocked)) {
		return err
	}
	return nil
}

// orphan follows the purchases whose subscription is gone. The publisher has to
// be told sooner or later, and a restore may bring it back.
func (r *MarketplaceSubscriptionReconciler) orphan(ctx context.Context, req ctrl.Request, now time.Time) (next time.Time, err error) {
	all, err := r.Entitlements.Of(ctx, req.Namespace, req.Name)
	if err != nil {
		return time.Time{}, err
	}
	for i := range all {
		if all[i].Spec.EndedAt != nil {
			continue
		}
		live := &v1alpha1.MarketplaceSubscription{}
		err := r.Live.Get(ctx, req.NamespacedName, live)
		if err == nil && live.DeletionTimestamp.IsZero() {
			return time.Time{}, nil // the cache is late, or this operator does not serve the customer
		}
		if client.IgnoreNotFound(err) != nil {
			return time.Time{}, err
		}
		again, err := r.desert(ctx, &all[i], now)
		if err != nil {
			return time.Time{}, err
		}
		next = terms.Earliest(next, again)
	}
	return next, nil
}

// desert puts on record that the subscription of a purchase is gone, and what
// time makes of that.
func (r *MarketplaceSubscriptionReconciler) desert(ctx context.Context, e *v1alpha1.Entitlement, now time.Time) (next time.Time, err error) {
	_, facts, err := r.Entitlements.Settle(ctx, e, func(_ *v1alpha1.Entitlement, f *terms.Entitlement) error {
		if f.Orphaned.IsZero() {
			f.Orphaned = now
		}
		f.Follow(now)
		return nil
	})
	if err != nil {
		return time.Time{}, err
	}
	return facts.Follow(now), nil
}
