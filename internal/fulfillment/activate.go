package fulfillment

import (
	"context"
	"net/http"
	"slices"

	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/saasapi"
	"github.com/license-operator/license-operator/internal/terms"
)

var (
	ended        = &refusal{code: http.StatusNotFound, name: "NotFound", text: "The subscription is Unsubscribed, for good: it can be bought again, not activated."}
	isCancelled  = &refusal{code: http.StatusNotFound, name: "NotFound", text: "The customer has cancelled the subscription: it can be bought again, not activated."}
	gone         = badRequest("The customer's subscription is gone. Unless it is restored within a day it ends, and it cannot be activated or changed meanwhile.")
	alreadyEnded = badRequest("The subscription has ended already: it is Unsubscribed, for good.")
	partnersOnly = badRequest("This subscription was bought by a partner, so the customer may only read it, as allowedCustomerOperations says. Ask the purchaser, who can do everything, to change or to cancel it.")
)

// activate starts the service, and with it the billing.
func (s *Service) activate(ctx context.Context, req *request) (*answer, error) {
	plan := req.body.(*saasapi.SubscriberPlan)
	e, facts, err := s.find(ctx, req, req.id)
	if err != nil {
		return nil, err
	}
	if err := activatable(facts, plan); err != nil {
		return nil, err
	}
	sub, err := s.subscription(ctx, e)
	switch {
	case err != nil:
		return nil, err
	case sub == nil:
		return nil, gone
	case sub.Spec.Cancelled: // before the activation that is never too late
		return nil, isCancelled
	}
	activated := func(facts *terms.Entitlement) bool { return facts.Activated.Equal(req.now) }
	e, _, err = s.commit(ctx, e.Name, req.now, activated, func(_ *v1alpha1.Entitlement, facts *terms.Entitlement) error {
		if err := activatable(facts, plan); err != nil {
			return err
		}
		facts.Activate(req.now)
		return nil
	})
	if err != nil {
		return nil, err
	}
	log.FromContext(ctx).Info("a publisher activated a service", "entitlement", e.Name, "publisher", e.Spec.PublisherRef.Name)
	return &answer{code: http.StatusOK}, nil
}

// activatable says why a service cannot be activated as a plan.
func activatable(facts *terms.Entitlement, plan *saasapi.SubscriberPlan) error {
	level := facts.Level()
	switch state := facts.State(); {
	case state == terms.Unsubscribed:
		return ended
	case plan.PlanID == "":
		return badRequest("planId is missing: send the plan that was bought, as resolve tells it.")
	case plan.PlanID != level.Plan:
		return badRequest("planId is not the plan that was bought, which is %s.", level.Plan)
	case plan.Quantity.Given && plan.Quantity.Seats != level.Quantity && level.Quantity == 0:
		return badRequest("The plan is not sold by the seat: leave quantity out.")
	case plan.Quantity.Given && plan.Quantity.Seats != level.Quantity:
		return badRequest("quantity is not what was bought, which is %d.", level.Quantity)
	case state != terms.Pending:
		return badRequest("The subscription is %s: it was activated already.", state)
	case !facts.Orphaned.IsZero():
		return gone
	}
	return nil
}

// end ends the service for good.
func (s *Service) end(ctx context.Context, req *request) (*answer, error) {
	e, _, err := s.find(ctx, req, req.id)
	if err != nil {
		return nil, err
	}
	byPublisher := func(facts *terms.Entitlement) bool { return facts.Reason == terms.EndPublisherEnded }
	e, facts, err := s.commit(ctx, e.Name, req.now, byPublisher, func(e *v1alpha1.Entitlement, facts *terms.Entitlement) error {
		switch {
		case byPublisher(facts): // asked for again
			return nil
		case facts.State() == terms.Unsubscribed:
			return alreadyEnded
		case !slices.Contains(saasapi.AllowedOperations(e), saasapi.AllowDelete):
			return partnersOnly
		}
		facts.End(terms.EndPublisherEnded, req.now, req.now)
		return nil
	})
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(facts.Operations, func(o terms.Operation) bool { return o.Action == terms.Unsubscribe })
	if i < 0 {
		return nil, alreadyEnded
	}
	log.FromContext(ctx).Info("a publisher ended a service", "entitlement", e.Name, "publisher", e.Spec.PublisherRef.Name)
	return s.accepted(e, facts.Operations[i].ID), nil
}

// accepted is the answer that an operation was put on record.
func (s *Service) accepted(e *v1alpha1.Entitlement, operation string) *answer {
	return &answer{code: http.StatusAccepted, header: map[string]string{
		"Operation-Location": s.link("/"+e.Spec.ID+"/operations/"+operation, ""),
	}}
}
