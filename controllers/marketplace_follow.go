package controllers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/shopspring/decimal"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/taken"
	"github.com/license-operator/license-operator/internal/terms"
)

// wish is how far what a customer wants is from what holds.
type wish struct {
	reason  string // of the condition InSync
	message string // empty: nothing differs
	late    string // why a cancellation is refused; empty: it is not
}

// follow puts on record what the customer wants and what time has done. What
// cannot be undone is decided by what the API server has, not the cache.
func (r *MarketplaceSubscriptionReconciler) follow(ctx context.Context, s *service, now time.Time) error {
	asked := &requests{now: now, read: func() (*v1alpha1.MarketplaceSubscription, error) { return r.reread(ctx, s.sub) }}
	var err error
	s.record, s.facts, err = r.Entitlements.Settle(ctx, s.record, func(e *v1alpha1.Entitlement, f *terms.Entitlement) error {
		e.Spec.Subscriber = subscriber(s.sub)
		f.AutoRenew, f.NextCycle = e.Spec.Subscriber.AutoRenew, terms.Cycle(e.Spec.Subscriber.BillingCycle)
		f.Orphaned = time.Time{} // its subscription is there
		before := *f
		var err error
		if s.wish, err = s.apply(f, asked, now); err != nil {
			return err
		}
		if !f.Renewed.Equal(before.Renewed) || !f.Ended.Equal(before.Ended) || len(f.Operations) > len(before.Operations) {
			_, err = asked.subscription()
		}
		return err
	})
	return err
}

// reread reads a subscription from the API server. What is done next cannot be
// undone, so the cache must not be behind.
func (r *MarketplaceSubscriptionReconciler) reread(ctx context.Context, sub *v1alpha1.MarketplaceSubscription) (*v1alpha1.MarketplaceSubscription, error) {
	live := &v1alpha1.MarketplaceSubscription{}
	if err := r.Live.Get(ctx, client.ObjectKeyFromObject(sub), live); err != nil {
		return nil, fmt.Errorf("reading the subscription again: %w", err)
	}
	if live.UID != sub.UID || live.Generation != sub.Generation {
		return nil, errors.New("the subscription has just been changed")
	}
	return live, nil
}

// requests tells when the API server took what a customer asked for.
type requests struct {
	now  time.Time
	read func() (*v1alpha1.MarketplaceSubscription, error)
	live *v1alpha1.MarketplaceSubscription
}

func (q *requests) at(field string) (time.Time, error) {
	live, err := q.subscription()
	if err != nil {
		return time.Time{}, err
	}
	return taken.At(live, q.now, "spec", field), nil
}

// subscription is what the API server has, which is read once.
func (q *requests) subscription() (_ *v1alpha1.MarketplaceSubscription, err error) {
	if q.live == nil {
		q.live, err = q.read()
	}
	return q.live, err
}

// apply applies to the facts what the customer wants, and returns what is left
// to wish for. The order matters: a cancellation and a suspension count at their
// instants, before time does anything later.
func (s *service) apply(f *terms.Entitlement, asked *requests, now time.Time) (wish, error) {
	w, err := s.cancel(f, asked, now)
	if err != nil {
		return w, err
	}
	if err := s.suspend(f, asked); err != nil {
		return w, err
	}
	f.Follow(now)
	if f.State() == terms.Unsubscribed {
		return w, nil
	}
	w.reason, w.message, err = s.change(f, asked, now)
	return w, err
}

// cancel ends the service if the API server took the request in time, however
// long ago.
func (s *service) cancel(f *terms.Entitlement, asked *requests, now time.Time) (wish, error) {
	if !s.sub.Spec.Cancelled || f.State() == terms.Unsubscribed {
		return wish{}, nil
	}
	if c := meta.FindStatusCondition(s.sub.Status.Conditions, v1alpha1.ConditionCancelled); c != nil && c.Status == metav1.ConditionFalse {
		return wish{late: c.Message}, nil // it was too late, and stays so until it is taken back
	}
	at, err := asked.at("cancelled")
	if err != nil {
		return wish{}, err
	}
	f.Follow(at)
	window := f.CancelAt(at)
	if window.Open {
		f.End(terms.EndCancelled, at, now)
		return wish{}, nil
	}
	if window.Until.IsZero() {
		return wish{}, nil // it had ended by then
	}
	return wish{late: fmt.Sprintf("cancelled at %s, but the window closed at %s. The subscription goes on: set spec.cancelled back to false", stamp(at), stamp(window.Until))}, nil
}

// suspend stops a service that is not paid for, if it runs when that was asked
// for.
func (s *service) suspend(f *terms.Entitlement, asked *requests) error {
	reinstating := f.State() == terms.Suspended && f.Pending() >= 0
	if !s.sub.Spec.Suspended || f.State() != terms.Subscribed && !reinstating {
		return nil
	}
	at, err := asked.at("suspended")
	if err != nil {
		return err
	}
	if f.Follow(at); f.State() == terms.Subscribed {
		f.Suspend(at)
	}
	return nil
}

// change asks the publisher for one thing that the customer wants to be
// different, if there is nothing in progress, and says what is not as it is
// wanted, and why.
func (s *service) change(f *terms.Entitlement, asked *requests, now time.Time) (reason, message string, err error) {
	action, level, reason, message := s.wanted(f)
	if i := f.Pending(); i >= 0 {
		op := &f.Operations[i]
		if !op.ByPublisher && op.Delivered.IsZero() && (op.Action != action || op.Level.Plan != level.Plan || op.Level.Quantity != level.Quantity) {
			// Nobody has taken it yet, and it is not wanted any more.
			f.Answer(false, terms.TakenBack, now)
			return s.change(f, asked, now)
		}
		if op.Failing != "" {
			return v1alpha1.ReasonWebhookFailing, fmt.Sprintf("%s is asked for, but the publisher cannot be told: %s. It is tried for 8 hours", asks(op.Action, op.Level), op.Failing), nil
		}
		return v1alpha1.ReasonChangePending, asks(op.Action, op.Level) + " is asked for: waiting for the publisher", nil
	}
	if action == "" {
		return reason, message, nil
	}
	refused, err := s.refused(f, asked, action, level)
	if err != nil || refused != "" {
		return v1alpha1.ReasonRefusedByPublisher, refused, err
	}
	if len(f.Changes) >= terms.MaxChanges {
		return v1alpha1.ReasonTooManyChanges, fmt.Sprintf("it was changed %d times already: buy another subscription", len(f.Changes)), nil
	}
	f.Request(action, level, now)
	return v1alpha1.ReasonChangePending, asks(action, level) + " is asked for: waiting for the publisher", nil
}

// wanted is the next thing that is to be different; no action if there is none,
// or if it is not possible, which reason and message tell.
func (s *service) wanted(f *terms.Entitlement) (action terms.Action, to terms.Level, reason, message string) {
	held, spec := f.Level(), &s.sub.Spec
	plan, quantity := cmp.Or(spec.PlanID, held.Plan), cmp.Or(spec.Quantity, held.Quantity)
	switch {
	case f.State() == terms.Suspended && !spec.Suspended:
		return terms.Reinstate, held, "", ""
	case plan == held.Plan && quantity == held.Quantity:
		return "", held, v1alpha1.ReasonInSync, ""
	case f.State() != terms.Subscribed:
		return "", held, v1alpha1.ReasonNotSubscribed, fmt.Sprintf("plan and quantity can change only while the service runs, and it is %s: it has %s", f.State(), describeLevel(held))
	}
	// A change of plan takes another quantity with it, or the customer would have
	// the new plan with the old quantity for as long as the publisher thinks about it.
	to, err := s.reachable(held, plan, quantity)
	switch {
	case err != nil:
		return "", held, err.reason, err.message
	case plan != held.Plan:
		return terms.ChangePlan, to, "", ""
	}
	return terms.ChangeQuantity, to, "", ""
}

// reachable is the level that a change leads to, or why there is none. The plan
// that the customer has keeps its price; another one costs what it costs now.
func (s *service) reachable(held terms.Level, planID string, quantity int64) (terms.Level, *blocked) {
	refuse := func(reason, format string, args ...any) (terms.Level, *blocked) {
		return held, &blocked{reason: reason, message: fmt.Sprintf(format, args...)}
	}
	plan := s.product.Plan(planID)
	if plan == nil && planID == held.Plan {
		return refuse(v1alpha1.ReasonQuantityNotOffered, "plan %s is no longer in the catalogue, so its seats stay as they are: leave spec.quantity out", planID)
	}
	if plan == nil || plan.StopSell && planID != held.Plan {
		return refuse(v1alpha1.ReasonPlanNotOffered, "plan %s is not offered: set spec.planID back to %s", planID, held.Plan)
	}
	if plan.Seats == nil && planID != held.Plan {
		quantity = 0 // the seats are left behind
	}
	to := held
	to.Plan = planID
	var err error
	if to.Quantity, err = seats(plan, quantity); err != nil {
		return refuse(v1alpha1.ReasonQuantityNotOffered, "%s", err.Error())
	}
	if planID == held.Plan {
		return to, nil
	}
	offer := s.product.Offer(plan, s.sub.Spec.Term)
	if offer == nil {
		return refuse(v1alpha1.ReasonPlanNotOffered, "plan %s is not sold for term %s: set spec.planID back to %s", planID, s.sub.Spec.Term, held.Plan)
	}
	if bought := s.record.Spec.Purchase.UnitPrice.Currency; offer.Price.Currency != bought {
		return refuse(v1alpha1.ReasonPlanNotOffered, "plan %s is sold in %s, and this subscription was bought in %s: set spec.planID back to %s", planID, offer.Price.Currency, bought, held.Plan)
	}
	if to.UnitPrice, err = decimal.NewFromString(offer.Price.Amount); err != nil {
		return refuse(v1alpha1.ReasonPlanNotOffered, "the price of plan %s cannot be read: set spec.planID back to %s", planID, held.Plan)
	}
	return to, nil
}

// refused is why the publisher did not do what is still wanted, empty if it was
// not asked for that since the wish came up. So a refusal is final until the
// customer wants something else in between.
//
// The condition InSync remembers that, as long as nothing else is told there.
// Otherwise the instant counts at which the API server took the plan or the
// quantity.
func (s *service) refused(f *terms.Entitlement, asked *requests, action terms.Action, to terms.Level) (string, error) {
	op := lastAsked(f)
	if op == nil || op.Progress != terms.Failed || op.Why == terms.TakenBack || op.Action != action || op.Level.Plan != to.Plan || op.Level.Quantity != to.Quantity {
		return "", nil
	}
	switch reasonOf(s.sub, v1alpha1.ConditionInSync) {
	case v1alpha1.ReasonChangePending, v1alpha1.ReasonWebhookFailing, v1alpha1.ReasonRefusedByPublisher:
	default:
		field, known := map[terms.Action]string{terms.ChangePlan: "planID", terms.ChangeQuantity: "quantity"}[action]
		if !known {
			return "", nil
		}
		if at, err := asked.at(field); err != nil || at.After(op.Completed) {
			return "", err
		}
	}
	switch {
	case op.ByPublisher:
		return fmt.Sprintf("the publisher asked for %s, and then refused it: %s. Set spec to what you want", asks(action, to), op.Why), nil
	case action == terms.Reinstate:
		return fmt.Sprintf("reinstating the service was refused: %s. %s, and then set spec.suspended to true and to false again to ask once more, before %s, when it ends for good",
			op.Why, s.turnTo(), stamp(f.Suspended.Add(terms.SuspensionTime))), nil
	}
	return fmt.Sprintf("%s was refused: %s. %s; or go on with %s", asks(action, to), op.Why, s.turnTo(), describeLevel(f.Level())), nil
}

// lastAsked is the latest operation that the publisher was asked about, nil if
// there is none.
func lastAsked(f *terms.Entitlement) *terms.Operation {
	for i, op := range slices.Backward(f.Operations) {
		if op.Action.Refusable() {
			return &f.Operations[i]
		}
	}
	return nil
}

// turnTo says where the publisher can be asked.
func (s *service) turnTo() string {
	if s.publisher == nil {
		return "Ask the publisher"
	}
	if s.publisher.Spec.Support != "" {
		return fmt.Sprintf("Ask %s at %s", s.publisher.Spec.DisplayName, s.publisher.Spec.Support)
	}
	return fmt.Sprintf("Ask %s at %s", s.publisher.Spec.DisplayName, s.publisher.Spec.LandingPageURL)
}

// asks says what is asked of a publisher.
func asks(action terms.Action, level terms.Level) string {
	if action == terms.Reinstate {
		return "reinstating the service"
	}
	return describeLevel(level)
}

// describeLevel says how much of a service there is.
func describeLevel(level terms.Level) string {
	if level.Quantity == 0 {
		return "plan " + level.Plan
	}
	return fmt.Sprintf("plan %s with %s", level.Plan, plural(int(level.Quantity), "seat"))
}
