package controllers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/license-operator/license-operator/api/v1alpha1"
)

// +kubebuilder:rbac:groups=license-operator.io,resources=licenseassignments,verbs=get;list;watch
// +kubebuilder:rbac:groups=license-operator.io,resources=licenseassignments/status,verbs=patch
// +kubebuilder:rbac:groups=license-operator.io,resources=seats,verbs=get;list;watch;create;delete
// +kubebuilder:rbac:groups=license-operator.io,resources=takeovers;softwaresubscriptions;marketplacesubscriptions,verbs=get;list;watch

// LicenseAssignmentReconciler gives out the seats of subscriptions. One pass is
// over all assignments of one subscription, because each depends on the others.
//
// What an assignment is told does not say how many wait before it: each seat
// that is given out would have the status of all who wait written again.
type LicenseAssignmentReconciler struct {
	// Client reads from the manager's cache.
	client.Client
	Clock clock.PassiveClock
	Seats *Seats
	// Workers is how many subscriptions are worked on at a time; 0 means one.
	Workers int
}

// Reconcile seats everybody whom a subscription has a seat for, and tells each
// assignment what it has.
func (r *LicenseAssignmentReconciler) Reconcile(ctx context.Context, of seatsOf) (ctrl.Result, error) {
	now := r.Clock.Now().UTC().Truncate(time.Second) // the precision of metav1.Time
	f, err := r.decide(ctx, of)
	if err != nil {
		return ctrl.Result{}, err
	}
	err = r.carryOut(ctx, f, now)
	if apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		return ctrl.Result{}, nil // all of it goes away
	}
	again, terr := r.tell(ctx, f, now, err)
	if errors.Is(err, errLater) {
		again, err = true, nil
	}
	if err = errors.Join(err, terr); err != nil || !again {
		return ctrl.Result{}, err
	}
	return ctrl.Result{RequeueAfter: moment}, nil // somebody has just changed something: look again
}

// decide looks who gets a seat and who loses one. The cache may be late, so
// nobody loses a seat before the API server was asked about everybody, and
// nobody gets one before it was asked how many there are.
func (r *LicenseAssignmentReconciler) decide(ctx context.Context, of seatsOf) (*floor, error) {
	f, err := r.Seats.look(ctx, of, false)
	if err != nil || len(f.Release) == 0 && len(f.Grant) == 0 {
		return f, err
	}
	if len(f.Release) == 0 {
		now, err := supplyOf(ctx, r.Seats.Live, of)
		if err != nil {
			return nil, err
		}
		if now.why == nil && now.Seats == f.Seats {
			return f, nil
		}
	}
	return r.Seats.look(ctx, of, true)
}

// carryOut releases seats and takes others. It stops at the first that cannot be
// had: that somebody else has it means that not all was known.
func (r *LicenseAssignmentReconciler) carryOut(ctx context.Context, f *floor, now time.Time) error {
	for _, gone := range f.Release {
		if err := r.Seats.release(ctx, f.seats[gone.Number]); err != nil {
			return err
		}
	}
	users := map[string]v1alpha1.User{}
	for i := range f.assignments {
		users[f.assignments[i].Name] = f.assignments[i].Spec.User
	}
	for _, grant := range f.Grant {
		seat, err := r.Seats.take(ctx, f.of, grant.Number, users[grant.Name], grant.Name, "", now)
		if err != nil {
			return err
		}
		f.held[grant.Name] = seat
	}
	return nil
}

// tell writes the status of the assignments whose status is another now. failed
// is what came in the way of those that were to get a seat. It reports whether
// one was changed by somebody else meanwhile.
func (r *LicenseAssignmentReconciler) tell(ctx context.Context, f *floor, now time.Time, failed error) (again bool, err error) {
	granted := map[string]bool{}
	for _, grant := range f.Grant {
		granted[grant.Name] = true
	}
	for i := range f.assignments {
		before := &f.assignments[i]
		seat := f.held[before.Name]
		var why error
		other, twice := f.Twice[before.Name]
		switch kept := f.seats[f.Kept[before.Name]]; {
		case f.why != nil:
			why = f.why
		case seat != nil:
		case granted[before.Name]:
			why = failed
		case twice:
			why = stalled(v1alpha1.ReasonAlreadyAssigned, "LicenseAssignment %s is for the same user, who needs one seat only: delete one of the two", other)
		case kept != nil:
			why = waiting(v1alpha1.ReasonAlreadyAssigned, "Takeover %s is about to assign seat %d of %s to the same user, who needs one seat only: delete this LicenseAssignment, or that Takeover", kept.Spec.Takeover, kept.Spec.Number, f.of)
		default:
			why = waiting(v1alpha1.ReasonNoSeatFree, "%s has no free seat of its %d, and the oldest LicenseAssignment gets the next one: raise spec.quantity of the subscription, buy another, or delete a LicenseAssignment", f.of, f.Quantity)
		}
		if errors.Is(why, errLater) {
			continue // more is known in a moment
		}
		after := before.DeepCopy()
		after.Status.Seat, after.Status.AssignedAt = 0, nil
		if seat != nil {
			after.Status.Seat, after.Status.AssignedAt = seat.Spec.Number, ptr.To(seat.Spec.At)
		}
		if why == nil {
			setCondition(after, now, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonSeatAssigned, fmt.Sprintf("seat %d of %s", seat.Spec.Number, f.of))
		}
		summarize(after, now, why, false)
		perr := patchStatus(ctx, r.Client, before, after)
		if apierrors.IsConflict(perr) {
			again, perr = true, nil
		}
		err = errors.Join(err, perr)
		if ctx.Err() != nil {
			break // the others would fail too
		}
	}
	return again, err
}

// SetupWithManager registers the reconciler and what wakes it.
func (r *LicenseAssignmentReconciler) SetupWithManager(ctx context.Context, mgr ctrl.Manager) error {
	for name, index := range seatIndexes {
		for _, kind := range []client.Object{&v1alpha1.LicenseAssignment{}, &v1alpha1.Seat{}} {
			if err := mgr.GetFieldIndexer().IndexField(ctx, kind, name, index); err != nil {
				return fmt.Errorf("indexing %T by %s: %w", kind, name, err)
			}
		}
	}
	wake := handler.TypedEnqueueRequestsFromMapFunc(func(_ context.Context, o client.Object) []seatsOf {
		if of, ok := subscriptionOf(o); ok {
			return []seatsOf{of}
		}
		return nil
	})
	changed := builder.WithPredicates(predicate.GenerationChangedPredicate{})
	return builder.TypedControllerManagedBy[seatsOf](mgr).
		Named("licenseassignment").
		Watches(&v1alpha1.LicenseAssignment{}, wake, changed).
		Watches(&v1alpha1.Seat{}, wake, changed).
		Watches(&v1alpha1.SoftwareSubscription{}, wake, builder.WithPredicates(supplyChanged)).
		Watches(&v1alpha1.MarketplaceSubscription{}, wake, builder.WithPredicates(supplyChanged)).
		Watches(&v1alpha1.Takeover{}, wake, builder.WithPredicates(takeoverOver)).
		WithOptions(controller.TypedOptions[seatsOf]{
			MaxConcurrentReconciles: r.Workers,
			ReconciliationTimeout:   passTimeout,
			RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[seatsOf](50*time.Millisecond, time.Minute),
		}).
		WithLogConstructor(func(of *seatsOf) logr.Logger {
			log := mgr.GetLogger().WithValues("controller", "licenseassignment")
			if of != nil {
				log = log.WithValues("namespace", of.Namespace, "kind", of.Kind, "name", of.Name)
			}
			return log
		}).
		Complete(r)
}

// supplyChanged lets through the events after which a subscription may have
// another number of seats.
var supplyChanged = predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
	of, _ := subscriptionOf(e.ObjectNew)
	before, after := supplied(e.ObjectOld, of), supplied(e.ObjectNew, of)
	return before.Seats != after.Seats || before.frozen != after.frozen || (before.why == nil) != (after.why == nil) ||
		before.why != nil && before.why.Error() != after.why.Error() || e.ObjectOld.GetDeletionTimestamp().IsZero() != e.ObjectNew.GetDeletionTimestamp().IsZero()
}}

// takeoverOver lets through the end of a Takeover: what it still has reserved is
// free then.
var takeoverOver = predicate.Funcs{
	CreateFunc: func(event.CreateEvent) bool { return false },
	UpdateFunc: func(e event.UpdateEvent) bool {
		before, after := e.ObjectOld.(*v1alpha1.Takeover), e.ObjectNew.(*v1alpha1.Takeover)
		return isTakenOver(before) != isTakenOver(after) || before.DeletionTimestamp.IsZero() != after.DeletionTimestamp.IsZero()
	},
}
