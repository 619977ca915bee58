package saasapi

import (
	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/terms"
)

// NewOperation makes the body that describes an operation.
func NewOperation(e *v1alpha1.Entitlement, op *terms.Operation) Operation {
	o := Operation{
		ID: op.ID, ActivityID: op.ID, SubscriptionID: e.Spec.ID, OfferID: e.Spec.OfferID, PublisherID: e.Spec.PublisherRef.Name,
		PlanID: op.Level.Plan, Quantity: seats(op.Level), Action: string(op.Action),
		TimeStamp: op.Requested.UTC(), Status: string(op.Progress), OperationRequestSource: source(op),
	}
	if op.Progress == terms.Failed {
		o.ErrorStatusCode, o.ErrorMessage = "OperationFailed", op.Why
	}
	return o
}

// NewPending makes the body that lists the operations which wait for the
// publisher.
func NewPending(e *v1alpha1.Entitlement, facts *terms.Entitlement) OperationList {
	list := OperationList{Operations: []Operation{}}
	for i := range facts.Operations {
		if facts.Operations[i].Progress == terms.InProgress {
			list.Operations = append(list.Operations, NewOperation(e, &facts.Operations[i]))
		}
	}
	return list
}

// NewPayload makes the body that tells a publisher's webhook of an operation.
func NewPayload(e *v1alpha1.Entitlement, facts *terms.Entitlement, op *terms.Operation) Payload {
	o := NewOperation(e, op)
	return Payload{
		ID: o.ID, ActivityID: o.ActivityID, PublisherID: o.PublisherID, OfferID: o.OfferID, PlanID: o.PlanID, Quantity: o.Quantity,
		SubscriptionID: o.SubscriptionID, TimeStamp: o.TimeStamp, Action: o.Action, Status: o.Status,
		OperationRequestSource: o.OperationRequestSource, Subscription: NewSubscription(e, facts),
	}
}

func source(op *terms.Operation) string {
	if op.ByPublisher {
		return SourcePublisher
	}
	return SourceCustomer
}
