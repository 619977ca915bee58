package controllers

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
)

// maxSteps bounds how often a pass over a Takeover looks afresh. A move takes
// four steps, if nobody changes anything meanwhile.
const maxSteps = 12

// move gives the users seats of another subscription, and then ends the
// purchase. It takes one step at a time, and looks afresh before each, so it goes
// on from wherever it was interrupted: first seats are reserved for all, or for
// nobody; then the assignments are made for which they are; then the seats are
// marked; and only when all the users have a seat the purchase ends.
//
// A seat is marked because the Takeover can be deleted at any time, and what it
// reserved is released then. Whoever is about to do so has seen the seat before
// it was marked, and fails.
func (r *TakeoverReconciler) move(ctx context.Context, t *v1alpha1.Takeover, p *v1alpha1.SelfServicePurchase, now time.Time) (acted bool, err error) {
	to, _ := subscriptionOf(t)
	f, err := r.Seats.look(ctx, to, false)
	if err != nil {
		return false, err
	}
	if _, err := plannedMove(t, p, f); err != nil {
		return false, err // which spares the API server
	}
	for range maxSteps {
		if f, err = r.Seats.look(ctx, to, true); err != nil {
			return true, err
		}
		if p, err = r.fresh(ctx, t); err != nil { // as late as can be: users may have been added
			return true, err
		}
		next, err := plannedMove(t, p, f)
		if err != nil {
			return true, err
		}
		if !next.settled() {
			if err := r.step(ctx, t, f, next, now); err != nil {
				return true, err
			}
			continue
		}
		if err := r.end(ctx, t, p, now); !errors.Is(err, errChanged) {
			return true, err
		}
	}
	return true, errLater
}

// plannedMove is what is to be done next, or what is in the way of it.
func plannedMove(t *v1alpha1.Takeover, p *v1alpha1.SelfServicePurchase, f *floor) (plan, error) {
	if f.why != nil {
		return plan{}, f.why
	}
	users, known := access(p)
	if !known {
		return plan{}, waiting(v1alpha1.ReasonNotPurchased, "SelfServicePurchase %s has just been raised to %s, and it is not known yet whether they can be had: its own status will say", p.Name, plural(int(p.Spec.Quantity), "licence"))
	}
	next := planMove(t, users, f)
	if t.Status.Missing = next.missing; next.missing == 0 {
		return next, nil
	}
	queue := ""
	if next.others > 0 {
		queue = fmt.Sprintf(", and %s before them", verb(next.others, "LicenseAssignment", "waits", "wait"))
	}
	return plan{}, waiting(v1alpha1.ReasonSeatsMissing, "%s missing in %s: %s none yet%s; raise spec.quantity of the subscription, or delete LicenseAssignments",
		verb(int(next.missing), "seat", "is", "are"), f.of, verb(next.without, "user", "of the purchase has", "of the purchase have"), queue)
}

// step does what comes next. errLater says that somebody else has to, or was
// faster.
func (r *TakeoverReconciler) step(ctx context.Context, t *v1alpha1.Takeover, f *floor, next plan, now time.Time) error {
	switch {
	case len(next.surplus) > 0:
		return r.release(ctx, next.surplus)
	case len(next.reserve) > 0:
		return r.reserve(ctx, t, f.of, next.reserve, now)
	case next.soon:
		return errLater
	case len(next.assign) > 0:
		for _, seat := range next.assign {
			if err := r.assign(ctx, t, seat.Spec.User); err != nil {
				return err
			}
		}
		return nil
	}
	return r.mark(ctx, t, next.mark)
}

func (r *TakeoverReconciler) release(ctx context.Context, seats []*v1alpha1.Seat) error {
	for _, seat := range seats {
		if err := r.Seats.release(ctx, seat); err != nil {
			return err
		}
	}
	return nil
}

// reserve takes seats for users whose assignments are still to be made.
func (r *TakeoverReconciler) reserve(ctx context.Context, t *v1alpha1.Takeover, of seatsOf, seats []booking, now time.Time) error {
	for _, s := range seats { // before anything is kept from others for them
		if err := nameFree(ctx, r, assignmentFor(t, s.user)); err != nil {
			return err
		}
	}
	for _, s := range seats {
		if _, err := r.Seats.take(ctx, of, s.number, s.user, assignmentFor(t, s.user).Name, t.Name, now); err != nil {
			return err
		}
	}
	return nil
}

// mark notes of seats that their assignments are made.
func (r *TakeoverReconciler) mark(ctx context.Context, t *v1alpha1.Takeover, seats []*v1alpha1.Seat) error {
	for _, seat := range seats {
		before := seat.DeepCopy()
		metav1.SetMetaDataLabel(&seat.ObjectMeta, v1alpha1.LabelTakeover, labelFor(t))
		err := r.Patch(ctx, seat, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
		if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
			return errLater
		}
		if err != nil {
			return fmt.Errorf("marking seat %s: %w", seat.Name, err)
		}
	}
	return nil
}

// assign assigns a user. If somebody else has done so it returns errLater.
func (r *TakeoverReconciler) assign(ctx context.Context, t *v1alpha1.Takeover, user v1alpha1.User) error {
	a := assignmentFor(t, user)
	err := r.Create(ctx, a)
	if apierrors.IsAlreadyExists(err) {
		if err := nameFree(ctx, r.Live, assignmentFor(t, user)); err != nil {
			return err
		}
		return errLater
	}
	if err != nil {
		return fmt.Errorf("assigning %s: %w", a.Name, err)
	}
	return nil
}

// assignLate assigns users whom the purchaser added in the last moment, between
// the last look at his purchase and its end. They get a seat like everybody else,
// once one is free; waiting is how many have to wait for that. It returns all
// users of the purchase.
func (r *TakeoverReconciler) assignLate(ctx context.Context, t *v1alpha1.Takeover, p *v1alpha1.SelfServicePurchase) (users []v1alpha1.User, waiting int, err error) {
	live := &v1alpha1.SelfServicePurchase{}
	err = r.Live.Get(ctx, client.ObjectKeyFromObject(p), live)
	if apierrors.IsNotFound(err) {
		live, err = p, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("reading purchase %s again: %w", p.Name, err)
	}
	to, _ := subscriptionOf(t)
	f, err := r.Seats.look(ctx, to, true)
	if err != nil {
		return nil, 0, err
	}
	there := map[v1alpha1.User]bool{}
	for i := range f.assignments {
		there[f.assignments[i].Spec.User] = true
	}
	late := 0
	users, _ = access(live)
	for _, user := range users {
		if there[user] {
			continue
		}
		if err := r.assign(ctx, t, user); err != nil && !errors.Is(err, errLater) {
			return nil, 0, err
		}
		late++
	}
	if f.why != nil {
		return users, late, nil
	}
	if !f.Unlimited {
		waiting = max(0, late-int(f.Free))
	}
	return users, waiting, nil
}

// nameFree makes sure that the name of an assignment is not that of somebody
// else's.
func nameFree(ctx context.Context, from client.Reader, a *v1alpha1.LicenseAssignment) error {
	wanted := a.Spec
	err := from.Get(ctx, client.ObjectKeyFromObject(a), a)
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("reading assignment %s: %w", a.Name, err)
	}
	if err == nil && a.Spec != wanted {
		return stalled(v1alpha1.ReasonNameUsed, "LicenseAssignment %s is for %s of %s %s, and its name is needed for %s: delete it, and create it again under another name",
			a.Name, a.Spec.User, a.Spec.SubscriptionRef.Kind, a.Spec.SubscriptionRef.Name, wanted.User)
	}
	return nil
}

// giveBack releases what a Takeover has reserved that cannot go on: nothing is
// kept from others meanwhile. If it acted the cache may not know.
func (r *TakeoverReconciler) giveBack(ctx context.Context, t *v1alpha1.Takeover, acted bool) error {
	to, ok := subscriptionOf(t)
	if !ok {
		return nil
	}
	f, err := r.Seats.look(ctx, to, false)
	if err != nil || !acted && len(f.ofTakeover(t)) == 0 {
		return err
	}
	if f, err = r.Seats.look(ctx, to, true); err != nil {
		return err
	}
	for _, seat := range f.ofTakeover(t) {
		if err := r.Seats.release(ctx, seat); err != nil && !errors.Is(err, errLater) {
			return err
		}
	}
	return nil
}

// assignmentFor is the assignment that a Takeover makes for a user. Its name is
// the same each time.
func assignmentFor(t *v1alpha1.Takeover, user v1alpha1.User) *v1alpha1.LicenseAssignment {
	sum := sha256.Sum256([]byte(user))
	return &v1alpha1.LicenseAssignment{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: t.Namespace, Name: t.Name + "-" + hex.EncodeToString(sum[:5]),
			Labels: map[string]string{v1alpha1.LabelTakeover: labelFor(t)},
		},
		Spec: v1alpha1.LicenseAssignmentSpec{SubscriptionRef: *t.Spec.MoveTo, User: user},
	}
}

// labelFor is the value of LabelTakeover.
func labelFor(t *v1alpha1.Takeover) string {
	const most = 63
	if len(t.Name) <= most {
		return t.Name
	}
	sum := sha256.Sum256([]byte(t.Name))
	return t.Name[:most-11] + "-" + hex.EncodeToString(sum[:5])
}
