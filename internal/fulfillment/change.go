package fulfillment

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/shopspring/decimal"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/saasapi"
	"github.com/license-operator/license-operator/internal/terms"
)

var inProgress = conflict("Another operation of the subscription is in progress: try again when it is over. GET its operations to see it; one that waits for you is ended by a PATCH of that operation.")

// wish is what a publisher wants changed.
type wish struct {
	action terms.Action
	level  terms.Level // that is to hold
}

// field is the field of the customer's spec that follows, and its value.
func (w *wish) field() (name string, value any) {
	if w.action == terms.ChangePlan {
		return "planID", w.level.Plan
	}
	return "quantity", w.level.Quantity
}

// is reports whether an operation asks for the same.
func (w *wish) is(op *terms.Operation) bool {
	return op.Action == w.action && op.Level.Plan == w.level.Plan && op.Level.Quantity == w.level.Quantity
}

// change puts another plan or quantity into the customer's spec, and the
// operation on record that makes it hold unless the publisher refuses.
//
// Spec comes first, because the record must not promise what somebody else who
// owns the field would undo. If the controllers are faster to see it and put
// the operation on record themselves, it is this one. If the record refuses,
// spec becomes what it was.
func (s *Service) change(ctx context.Context, req *request) (*answer, error) {
	plan := req.body.(*saasapi.SubscriberPlan)
	e, facts, err := s.find(ctx, req, req.id)
	if err != nil {
		return nil, err
	}
	p, err := s.product(ctx, e)
	if err != nil {
		return nil, err
	}
	w, err := wished(e, facts, p, plan)
	if err != nil {
		return nil, err
	}
	if i := facts.Pending(); i >= 0 && w.is(&facts.Operations[i]) && facts.Operations[i].ByPublisher {
		return s.accepted(e, facts.Operations[i].ID), nil // asked for again
	}
	var over []string // those before this one, also if it was in the same second
	for _, op := range facts.Operations {
		if op.Progress != terms.InProgress {
			over = append(over, op.ID)
		}
	}
	undo, err := s.applyWish(ctx, e, facts, w)
	if err != nil {
		return nil, err
	}
	never := func(*terms.Entitlement) bool { return false } // it is seen below
	e, facts, err = s.commit(ctx, e.Name, req.now, never, func(e *v1alpha1.Entitlement, facts *terms.Entitlement) error {
		if i := w.asked(facts, over); i >= 0 {
			facts.Operations[i].ByPublisher = true
			return nil
		}
		now, err := wished(e, facts, p, plan)
		if err != nil {
			return err
		}
		if facts.Pending() >= 0 {
			return inProgress
		}
		facts.Request(now.action, now.level, req.now)
		facts.Operations[len(facts.Operations)-1].ByPublisher = true
		return nil
	})
	if r := new(refusal); errors.As(err, &r) {
		undo(ctx)
	}
	if err != nil {
		return nil, err
	}
	log.FromContext(ctx).Info("a publisher asked for a change", "entitlement", e.Name, "publisher", e.Spec.PublisherRef.Name, "action", w.action)
	return s.accepted(e, facts.Operations[w.asked(facts, over)].ID), nil
}

// asked is the index of the operation that asks for what is wished, and is not
// one of those that were over before, -1 if there is none. It may be over by
// now: the controllers can have seen spec, and the publisher's webhook can have
// answered them, before we look.
func (w *wish) asked(facts *terms.Entitlement, before []string) int {
	for i, op := range slices.Backward(facts.Operations) {
		if w.is(&op) && !slices.Contains(before, op.ID) {
			return i
		}
	}
	return -1
}

// applyWish puts what a publisher wants into the customer's spec. The controllers
// may write status at the same moment, so what was read is read again then. If
// spec has changed, somebody else's wish came first.
func (s *Service) applyWish(ctx context.Context, e *v1alpha1.Entitlement, facts *terms.Entitlement, w *wish) (undo func(context.Context), err error) {
	var generation int64
	err = retry.OnError(retry.DefaultBackoff, func(err error) bool { return errors.Is(err, justChanged) }, func() (err error) {
		undo, err = s.tryToApply(ctx, e, facts, w, &generation)
		return err
	})
	return undo, err
}

func (s *Service) tryToApply(ctx context.Context, e *v1alpha1.Entitlement, facts *terms.Entitlement, w *wish, generation *int64) (undo func(context.Context), err error) {
	sub, err := s.subscription(ctx, e)
	switch {
	case err != nil:
		return nil, err
	case sub == nil:
		return nil, gone
	case *generation != 0 && *generation != sub.Generation:
		return nil, changedBefore
	case sub.Spec.Cancelled && !meta.IsStatusConditionFalse(sub.Status.Conditions, v1alpha1.ConditionCancelled):
		return nil, conflict("The customer is cancelling the subscription.")
	case sub.Spec.Suspended:
		return nil, badRequest("The subscription is being Suspended: it can be changed while it is Subscribed.")
	}
	*generation = sub.Generation
	manager := manager(e)
	if i := facts.Pending(); i >= 0 {
		// Ours, if an earlier try got as far as spec and the controllers did the rest.
		if name, value := w.field(); !w.is(&facts.Operations[i]) || !owns(sub, manager, name) || specField(sub, name) != value {
			return nil, inProgress
		}
	}
	return s.apply(ctx, e, sub, w)
}

// wished is what a publisher wants, or why it cannot be.
func wished(e *v1alpha1.Entitlement, facts *terms.Entitlement, p *v1alpha1.Product, plan *saasapi.SubscriberPlan) (*wish, error) {
	level := facts.Level()
	switch {
	case plan.PlanID != "" && plan.Quantity.Given:
		return nil, badRequest("Either planId or quantity can be changed at a time, not both: send two requests, one after the other.")
	case plan.PlanID == "" && !plan.Quantity.Given:
		return nil, badRequest("planId and quantity are missing: send the one that is to change; a quantity is at least 1.")
	case facts.State() != terms.Subscribed:
		return nil, badRequest("The subscription is %s: it can be changed while it is Subscribed.", facts.State())
	case !slices.Contains(saasapi.AllowedOperations(e), saasapi.AllowUpdate):
		return nil, partnersOnly
	case !facts.Orphaned.IsZero():
		return nil, gone
	case len(facts.Changes) >= terms.MaxChanges:
		return nil, badRequest("The subscription was changed %d times already: the customer has to buy another one for more.", len(facts.Changes))
	case plan.PlanID != "":
		return changePlan(facts, p, level, plan.PlanID)
	}
	return changeQuantity(p, level, plan.Quantity.Seats)
}

func changePlan(facts *terms.Entitlement, p *v1alpha1.Product, level terms.Level, to string) (*wish, error) {
	if to == level.Plan {
		return nil, badRequest("The subscription has the plan %s already.", to)
	}
	offer, ok := saasapi.Offer(facts, p, to)
	if !ok {
		return nil, badRequest("planId is not a plan that this subscription can change to: GET listAvailablePlans to see those.")
	}
	price, err := decimal.NewFromString(offer.Price.Amount)
	if err != nil {
		return nil, fmt.Errorf("price of plan %s of Product %s: %w", to, p.Name, err)
	}
	level.Plan, level.UnitPrice = to, price
	switch seats := p.Plan(to).Seats; {
	case seats == nil:
		level.Quantity = 0
	case level.Quantity == 0: // the plan until now was not sold by the seat
		level.Quantity = seats.Min
	case level.Quantity < seats.Min || level.Quantity > seats.Max:
		return nil, badRequest("The plan is sold with %d to %d seats, and the subscription has %d: change the quantity first.", seats.Min, seats.Max, level.Quantity)
	}
	return &wish{terms.ChangePlan, level}, nil
}

func changeQuantity(p *v1alpha1.Product, level terms.Level, to int64) (*wish, error) {
	plan := p.Plan(level.Plan)
	switch {
	case level.Quantity == 0:
		return nil, badRequest("The plan %s is not sold by the seat: it has no quantity.", level.Plan)
	case plan == nil || plan.Seats == nil:
		return nil, badRequest("The plan %s is no longer in the catalogue by the seat: its quantity stays as it is.", level.Plan)
	case to == level.Quantity:
		return nil, badRequest("The subscription has the quantity %d already.", to)
	case to < plan.Seats.Min || to > plan.Seats.Max:
		return nil, badRequest("The plan %s is sold with %d to %d seats.", level.Plan, plan.Seats.Min, plan.Seats.Max)
	}
	level.Quantity = to
	return &wish{terms.ChangeQuantity, level}, nil
}

// manager is the field manager of a publisher.
func manager(e *v1alpha1.Entitlement) string { return "publisher-" + e.Spec.PublisherRef.Name }
