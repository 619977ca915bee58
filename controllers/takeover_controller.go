package controllers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/orders"
	"github.com/license-operator/license-operator/internal/terms"
)

// +kubebuilder:rbac:groups=license-operator.io,resources=takeovers;selfservicepurchases,verbs=get;list;watch
// +kubebuilder:rbac:groups=license-operator.io,resources=takeovers/status,verbs=patch
// +kubebuilder:rbac:groups=license-operator.io,resources=selfserviceorders,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=license-operator.io,resources=licenseassignments,verbs=get;list;watch;create
// +kubebuilder:rbac:groups=license-operator.io,resources=seats,verbs=get;list;watch;create;patch;delete

// TakeoverReconciler takes employees' purchases over.
type TakeoverReconciler struct {
	// Client reads from the manager's cache.
	client.Client
	// Live reads from the API server.
	Live   client.Reader
	Clock  clock.PassiveClock
	Orders *orders.Record
	Seats  *Seats
}

// Reconcile takes a purchase over, or tells what is in the way. What is done
// stays so, whatever becomes of the purchase.
func (r *TakeoverReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	t := &v1alpha1.Takeover{}
	if err := r.Get(ctx, req.NamespacedName, t); err != nil || !t.DeletionTimestamp.IsZero() || isTakenOver(t) {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	before := t.DeepCopy()
	now := r.Clock.Now().UTC().Truncate(time.Second) // the precision of metav1.Time

	t.Status.Missing = 0
	acted, err := r.reconcile(ctx, t, now)
	if errors.Is(err, errLater) {
		return ctrl.Result{RequeueAfter: moment}, nil
	}
	if errors.As(err, new(*blocked)) {
		if gerr := r.giveBack(ctx, t, acted); gerr != nil {
			err = gerr
		}
	}
	summarize(t, now, err, false)
	if perr := patchStatus(ctx, r.Client, before, t); perr != nil {
		return ctrl.Result{}, errors.Join(err, perr)
	}
	return requeue(time.Time{}, now, err)
}

// reconcile reports whether it may have written something that the cache does
// not know yet.
func (r *TakeoverReconciler) reconcile(ctx context.Context, t *v1alpha1.Takeover, now time.Time) (acted bool, err error) {
	p := &v1alpha1.SelfServicePurchase{}
	err = r.Get(ctx, client.ObjectKey{Namespace: t.Namespace, Name: t.Spec.PurchaseRef.Name}, p)
	if apierrors.IsNotFound(err) {
		return false, r.withoutPurchase(ctx, t, now)
	}
	if err != nil {
		return false, fmt.Errorf("reading purchase %s: %w", t.Spec.PurchaseRef.Name, err)
	}
	o, err := r.Orders.Of(ctx, p)
	switch {
	case err != nil:
		return false, err
	case o == nil || !orders.Belongs(o, p):
		return false, notPurchased(p)
	case isEndedBy(o, t):
		return true, r.finish(ctx, t, o, p, now)
	case o.Spec.EndedAt != nil:
		return false, ended(o)
	case t.Spec.MoveTo == nil:
		return true, r.cancel(ctx, t, now)
	}
	return r.move(ctx, t, p, now)
}

// withoutPurchase settles a Takeover whose purchase is gone. It may be done all
// the same: a restore brings Takeovers back without their status.
func (r *TakeoverReconciler) withoutPurchase(ctx context.Context, t *v1alpha1.Takeover, now time.Time) error {
	var list v1alpha1.SelfServiceOrderList
	if err := r.List(ctx, &list, client.MatchingFields{indexOrderOf: t.Namespace + "/" + t.Spec.PurchaseRef.Name}, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("reading the orders of purchase %s: %w", t.Spec.PurchaseRef.Name, err)
	}
	for i := range list.Items {
		if o := &list.Items[i]; isEndedBy(o, t) {
			return r.done(ctx, t, o, nil, 0, now)
		}
	}
	return stalled(v1alpha1.ReasonPurchaseNotFound, "there is no SelfServicePurchase %s in this namespace: delete this Takeover, and create another with the right spec.purchaseRef", t.Spec.PurchaseRef.Name)
}

// cancel ends the purchase: its users lose access.
func (r *TakeoverReconciler) cancel(ctx context.Context, t *v1alpha1.Takeover, now time.Time) error {
	p, err := r.fresh(ctx, t)
	if err != nil {
		return err
	}
	return r.end(ctx, t, p, now)
}

// fresh reads the purchase from the API server, and makes sure that it is still
// to be taken over.
func (r *TakeoverReconciler) fresh(ctx context.Context, t *v1alpha1.Takeover) (*v1alpha1.SelfServicePurchase, error) {
	still := &v1alpha1.Takeover{}
	if err := r.Live.Get(ctx, client.ObjectKeyFromObject(t), still); client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("reading Takeover %s: %w", t.Name, err)
	} else if err != nil || still.UID != t.UID || !still.DeletionTimestamp.IsZero() {
		return nil, errLater // it was deleted
	}
	p := &v1alpha1.SelfServicePurchase{}
	if err := r.Live.Get(ctx, client.ObjectKey{Namespace: t.Namespace, Name: t.Spec.PurchaseRef.Name}, p); err != nil {
		if apierrors.IsNotFound(err) {
			return nil, errLater // the cache will know it soon
		}
		return nil, fmt.Errorf("reading purchase %s: %w", t.Spec.PurchaseRef.Name, err)
	}
	if p.Spec.Cancelled {
		return nil, stalled(v1alpha1.ReasonPurchaseEnded, "the purchaser of SelfServicePurchase %s has cancelled it: there is nothing to take over, so delete this Takeover", p.Name)
	}
	return p, nil
}

// access lists who may use what was bought: as many users as there are licences.
// Status says how many these are, if it has seen what the purchaser wants; a
// raise may be refused, so until status has seen one it is not known. After a
// restore without status spec counts.
func access(p *v1alpha1.SelfServicePurchase) (users []v1alpha1.User, known bool) {
	users = p.Spec.AssignedUsers
	held := min(p.Spec.Quantity, p.Status.Quantity)
	if p.Status.Quantity == 0 {
		held = p.Spec.Quantity
	}
	if int64(len(users)) <= held {
		return users, true
	}
	return users[:held], p.Status.ObservedGeneration == p.Generation && reasonOf(p, v1alpha1.ConditionReconciling) == ""
}

// errChanged says that a purchase has changed since it was looked at.
var errChanged = fmt.Errorf("the purchase has just been changed: %w", errLater)

// unchanged makes sure that a purchase is still what it was when it was looked
// at, and that the same users may use it.
func (r *TakeoverReconciler) unchanged(ctx context.Context, p *v1alpha1.SelfServicePurchase) error {
	live := &v1alpha1.SelfServicePurchase{}
	err := r.Live.Get(ctx, client.ObjectKeyFromObject(p), live)
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("reading purchase %s again: %w", p.Name, err)
	}
	had, _ := access(p)
	has, _ := access(live)
	if err != nil || live.UID != p.UID || live.Generation != p.Generation || !slices.Equal(had, has) {
		return errChanged
	}
	return nil
}

// end puts on record that the purchase was taken over, if it is still as it was
// when it was looked at; else it returns errChanged. If it has ended before, as
// its term may have, that counts.
func (r *TakeoverReconciler) end(ctx context.Context, t *v1alpha1.Takeover, p *v1alpha1.SelfServicePurchase, now time.Time) error {
	o, _, err := r.Orders.Change(ctx, orders.Name(p), func(o *v1alpha1.SelfServiceOrder, f *terms.Order) error {
		if !orders.Belongs(o, p) {
			return notPurchased(p)
		}
		f.AutoRenew = ptr.Deref(p.Spec.AutoRenew, true)
		f.Follow(now)
		switch {
		case isEndedBy(o, t):
			return nil
		case o.Spec.EndedAt != nil:
			return ended(o)
		case !f.Ended.IsZero():
			return endedAs(p.Name, v1alpha1.OrderEndReason(f.Why), f.Ended, "")
		}
		f.End(terms.OrderTakenOver, now)
		o.Spec.Takeover = &v1alpha1.OrderTakeover{Name: t.Name, MovedTo: t.Spec.MoveTo}
		if t.Spec.Cancel != nil {
			o.Spec.Takeover.Reason, o.Spec.Takeover.Comment = t.Spec.Cancel.Reason, t.Spec.Cancel.Comment
		}
		return r.unchanged(ctx, p) // as late as can be
	})
	if err != nil {
		return err
	}
	return r.finish(ctx, t, o, p, now)
}

// finish looks once more at a purchase that has ended, and tells what came of it.
// Users can be added until the very end, and one who moves loses nothing.
func (r *TakeoverReconciler) finish(ctx context.Context, t *v1alpha1.Takeover, o *v1alpha1.SelfServiceOrder, p *v1alpha1.SelfServicePurchase, now time.Time) error {
	users, _ := access(p)
	waiting := 0
	if t.Spec.MoveTo != nil && terms.JustTaken(o.Spec.EndedAt.Time, now) {
		var err error
		if users, waiting, err = r.assignLate(ctx, t, p); err != nil {
			return err
		}
	}
	return r.done(ctx, t, o, users, waiting, now)
}

// done tells what came of a Takeover. So many of the users wait for a seat.
func (r *TakeoverReconciler) done(ctx context.Context, t *v1alpha1.Takeover, o *v1alpha1.SelfServiceOrder, users []v1alpha1.User, waiting int, now time.Time) error {
	message := "the purchase was cancelled; nobody used it"
	if len(users) > 0 {
		message = fmt.Sprintf("the purchase was cancelled; %s lost access", plural(len(users), "user"))
	}
	if to, ok := subscriptionOf(t); ok {
		sup, err := supplyOf(ctx, r, to)
		if err != nil {
			return err
		}
		message = moved(len(users), waiting, o.Spec.Agreed.ProductRef.Name, to, sup.product)
	}
	t.Status.Users, t.Status.CompletedAt = slices.Clone(users), o.Spec.EndedAt
	setCondition(t, now, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonTakenOver, message)
	return nil
}

// moved says where users went. An administrator may move them to another product
// than they had, so both are told.
func moved(users, waiting int, from string, to seatsOf, product string) string {
	where := to.String()
	switch product {
	case "": // the subscription is gone
	case from:
		where += " (" + product + ")"
	default:
		where += " (" + product + "), which is another product"
	}
	message := fmt.Sprintf("%s moved from %s to %s; the purchase was cancelled", plural(users, "user"), from, where)
	if waiting > 0 {
		message += fmt.Sprintf("; %s for a seat, because the purchaser added users in the last moment: raise spec.quantity of the subscription, or delete LicenseAssignments",
			verb(waiting, "user", "of them waits", "of them wait"))
	}
	return message
}

// isEndedBy reports whether an order was ended by a Takeover. A restore gives it
// another UID, so it is recognised by its name and by what it asked for.
func isEndedBy(o *v1alpha1.SelfServiceOrder, t *v1alpha1.Takeover) bool {
	by := o.Spec.Takeover
	if by == nil || by.Name != t.Name || (by.MovedTo == nil) != (t.Spec.MoveTo == nil) {
		return false
	}
	if by.MovedTo != nil {
		return *by.MovedTo == *t.Spec.MoveTo
	}
	return by.Reason == t.Spec.Cancel.Reason
}

// notPurchased says why there is nothing to take over yet.
func notPurchased(p *v1alpha1.SelfServicePurchase) error {
	if c := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.ConditionStalled); c != nil {
		return stalled(v1alpha1.ReasonNotPurchased, "SelfServicePurchase %s has bought nothing yet: %s. To be rid of it, delete it", p.Name, c.Message)
	}
	return waiting(v1alpha1.ReasonNotPurchased, "SelfServicePurchase %s has bought nothing yet: its own status says what it waits for", p.Name)
}

// ended says that there is nothing to take over any more.
func ended(o *v1alpha1.SelfServiceOrder) error {
	by := ""
	if o.Spec.Takeover != nil {
		by = o.Spec.Takeover.Name
	}
	return endedAs(o.Spec.Purchase.Name, o.Spec.EndReason, o.Spec.EndedAt.Time, by)
}

func endedAs(purchase string, why v1alpha1.OrderEndReason, at time.Time, takeover string) error {
	how := "ended with its term"
	switch why {
	case v1alpha1.OrderCancelled:
		how = "was cancelled by its purchaser"
	case v1alpha1.OrderTakenOver:
		how = "was taken over by Takeover " + takeover
	}
	return stalled(v1alpha1.ReasonPurchaseEnded, "SelfServicePurchase %s %s at %s: there is nothing to take over, so delete this Takeover", purchase, how, stamp(at))
}
