package controllers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/orders"
	"github.com/license-operator/license-operator/internal/taken"
	"github.com/license-operator/license-operator/internal/terms"
)

// +kubebuilder:rbac:groups=license-operator.io,resources=selfservicepurchases,verbs=get;list;watch
// +kubebuilder:rbac:groups=license-operator.io,resources=selfservicepurchases/status,verbs=patch
// +kubebuilder:rbac:groups=license-operator.io,resources=selfserviceorders,verbs=get;list;watch;create;patch
// +kubebuilder:rbac:groups=license-operator.io,resources=selfservicepolicies;partneragreements;takeovers,verbs=get;list;watch
// +kubebuilder:rbac:groups=license-operator.io,resources=notifications,verbs=create

// SelfServicePurchaseReconciler buys what employees want to buy or try
// themselves, and follows what becomes of it.
type SelfServicePurchaseReconciler struct {
	client.Client
	// Live reads from the API server.
	Live   client.Reader
	Clock  clock.PassiveClock
	Orders *orders.Record
	// Mail tells purchasers by mail what they are told by Events.
	Mail Post
	// Default holds for customers without a SelfServicePolicy that enforces
	// something; empty: Allow.
	Default terms.SelfService
	// Namespaces are the customers to serve; none means all.
	Namespaces []string
	// Workers is how many purchases are worked on at a time; 0 means one.
	Workers int

	// unsure holds the purchases whose last pass failed: what it wrote may not
	// be in the cache yet.
	unsure sync.Map
}

// selfService is one pass over a purchase: what there is, and what was found out
// about it.
type selfService struct {
	purchase *v1alpha1.SelfServicePurchase
	order    *v1alpha1.SelfServiceOrder // nil: nothing was bought
	facts    *terms.Order
	product  *v1alpha1.Product // nil: it is no longer in the catalogue
}

// Reconcile reads the clock once, lets reconcile change only the status in
// memory, and writes that status once.
func (r *SelfServicePurchaseReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	now := r.Clock.Now().UTC().Truncate(time.Second) // the precision of metav1.Time
	p := &v1alpha1.SelfServicePurchase{}
	err := r.Get(ctx, req.NamespacedName, p)
	if apierrors.IsNotFound(err) || err == nil && !p.DeletionTimestamp.IsZero() {
		r.unsure.Delete(req.NamespacedName)
		return ctrl.Result{}, nil // the order stays, for a restore
	}
	if err != nil {
		return ctrl.Result{}, err
	}
	before := p.DeepCopy()

	s := &selfService{purchase: p}
	next, err := r.reconcile(ctx, s, now)
	s.tell(now, err)
	if s.facts != nil && (err == nil || errors.As(err, new(*blocked))) { // else not all is known
		announced, err := r.announce(ctx, before, s, now)
		if err != nil {
			r.unsure.Store(req.NamespacedName, true)
			return ctrl.Result{}, err // status stays as it is, so that what has happened is still news
		}
		next = terms.Earliest(next, announced)
	}
	perr := patchStatus(ctx, r.Client, before, p)
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

// reconcile takes a purchase one step through its life. What is on record
// counts, not what status says.
func (r *SelfServicePurchaseReconciler) reconcile(ctx context.Context, s *selfService, now time.Time) (next time.Time, err error) {
	p := s.purchase
	if s.order, err = r.bought(ctx, p); err != nil {
		return time.Time{}, err
	}
	if s.order == nil && p.Spec.Cancelled {
		p.Status.State = v1alpha1.SelfServiceCancelled
		return time.Time{}, nil
	}
	if s.order == nil {
		s.order, err = r.buy(ctx, p, now)
	} else {
		err = usedBy(s.order, p)
	}
	if err != nil {
		s.order = nil
		return time.Time{}, err
	}
	s.product, err = product(ctx, r, p.Spec.ProductRef.Name)
	if err != nil && !errors.As(err, new(*blocked)) {
		return time.Time{}, err
	}
	if err := r.follow(ctx, s, now); err != nil {
		return time.Time{}, err
	}
	held, err := r.licences(ctx, s)
	next = s.describe(held, now)
	if err == nil {
		err = s.recreated()
	}
	return next, err
}

// bought returns the order under the name of a purchase, nil if there is none. It
// asks the cache, unless that may well be late. An order of another purchase is
// none to whoever wants nothing any more, unless it is his own and goes on.
func (r *SelfServicePurchaseReconciler) bought(ctx context.Context, p *v1alpha1.SelfServicePurchase) (*v1alpha1.SelfServiceOrder, error) {
	_, unsure := r.unsure.Load(client.ObjectKeyFromObject(p))
	known := p.Status.PurchasedAt != nil
	o, err := r.Orders.Of(ctx, p)
	if err == nil && (unsure || known && o == nil) {
		o, err = r.Orders.OfLive(ctx, p)
	}
	switch {
	case err != nil:
		return nil, err
	case o == nil && known:
		return nil, stalled(v1alpha1.ReasonOrderNotFound,
			"it was bought at %s, and the ledger has no SelfServiceOrder %s for it: restore that, or delete this purchase and make another", stamp(p.Status.PurchasedAt.Time), orders.Name(p))
	case o != nil && p.Spec.Cancelled && !orders.Belongs(o, p) && (!orders.IsAbout(o, p) || o.Spec.EndedAt != nil):
		return nil, nil
	}
	return o, nil
}

// follow puts on record what time has done, and a cancellation at the instant at
// which the API server took it. What cannot be undone is decided by what the API
// server has, not the cache.
func (r *SelfServicePurchaseReconciler) follow(ctx context.Context, s *selfService, now time.Time) (err error) {
	var live *v1alpha1.SelfServicePurchase
	reread := func() (err error) {
		if live == nil {
			live, err = r.reread(ctx, s.purchase)
		}
		return err
	}
	s.order, s.facts, err = r.Orders.Settle(ctx, s.order, func(_ *v1alpha1.SelfServiceOrder, f *terms.Order) error {
		f.AutoRenew = ptr.Deref(s.purchase.Spec.AutoRenew, true)
		before := *f
		if s.purchase.Spec.Cancelled && f.Ended.IsZero() {
			if err := reread(); err != nil {
				return err
			}
			at := terms.Earliest(taken.At(live, now, "spec", "cancelled"), now) // clients can write instants of the future
			f.Follow(at)                                                        // it may have ended before
			f.End(terms.OrderCancelled, at)
		}
		f.Follow(now)
		if !f.Renewed.Equal(before.Renewed) || !f.Ended.Equal(before.Ended) {
			return reread()
		}
		return nil
	})
	return err
}

// reread reads a purchase from the API server. What is done next cannot be
// undone, so the cache must not be behind.
func (r *SelfServicePurchaseReconciler) reread(ctx context.Context, p *v1alpha1.SelfServicePurchase) (*v1alpha1.SelfServicePurchase, error) {
	live := &v1alpha1.SelfServicePurchase{}
	if err := r.Live.Get(ctx, client.ObjectKeyFromObject(p), live); err != nil {
		return nil, fmt.Errorf("reading the purchase again: %w", err)
	}
	if live.UID != p.UID || live.Generation != p.Generation {
		return nil, errors.New("the purchase has just been changed")
	}
	return live, nil
}

// licences is how many a purchaser has, and why these are not as many as he
// wants. The API server refuses to add what the policies do not allow; what
// slipped through is not added either. That goes by status, so after a restore
// without it spec counts.
func (r *SelfServicePurchaseReconciler) licences(ctx context.Context, s *selfService) (int64, error) {
	had, want := s.purchase.Status.Quantity, s.purchase.Spec.Quantity
	switch {
	case had != 0 && !s.facts.Ended.IsZero():
		return had, nil
	case had == 0 || want <= had:
		return want, nil
	}
	auditedBy, err := r.mayRaise(ctx, s, want)
	if err == nil {
		s.order, _, err = r.Orders.Settle(ctx, s.order, func(o *v1alpha1.SelfServiceOrder, _ *terms.Order) error {
			by := slices.Compact(slices.Sorted(slices.Values(slices.Concat(o.Spec.AuditedBy, auditedBy))))
			if len(by) <= maxAuditedBy {
				o.Spec.AuditedBy = by
			}
			return nil
		})
	}
	if b := new(blocked); errors.As(err, &b) {
		err = stalled(b.reason, "%s bought and spec.quantity is %d: set it back to %d, because %s", verb(int(had), "licence", "is", "are"), want, had, b.message)
	}
	if err != nil {
		return had, err
	}
	return want, nil
}
