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

func (s *Service) operations(ctx context.Context, req *request) (*answer, error) {
	e, facts, err := s.find(ctx, req, req.id)
	if err != nil {
		return nil, err
	}
	return &answer{code: http.StatusOK, body: saasapi.NewPending(e, facts)}, nil
}

func (s *Service) operation(ctx context.Context, req *request) (*answer, error) {
	e, facts, err := s.find(ctx, req, req.id)
	if err != nil {
		return nil, err
	}
	op, err := operationOf(facts, req.operation)
	if err != nil {
		return nil, err
	}
	return &answer{code: http.StatusOK, body: saasapi.NewOperation(e, op)}, nil
}

// answerOperation takes the publisher's answer to an operation. The same
// answer again changes nothing.
func (s *Service) answerOperation(ctx context.Context, req *request) (*answer, error) {
	update := req.body.(*saasapi.UpdateOperation)
	if update.Status != saasapi.AnswerSuccess && update.Status != saasapi.AnswerFailure {
		return nil, badRequest(`status has to be "Success" or "Failure".`)
	}
	accepted := update.Status == saasapi.AnswerSuccess
	e, facts, err := s.find(ctx, req, req.id)
	if err != nil {
		return nil, err
	}
	if _, err := operationOf(facts, req.operation); err != nil {
		return nil, err
	}
	// An answer is its own proof: if it is on record there is nothing to do.
	never := func(*terms.Entitlement) bool { return false }
	_, _, err = s.commit(ctx, e.Name, req.now, never, func(_ *v1alpha1.Entitlement, facts *terms.Entitlement) error {
		op, err := operationOf(facts, req.operation)
		if err != nil {
			return err
		}
		if err := answerable(facts, op, update, accepted); err != nil || op.Progress != terms.InProgress {
			return err
		}
		facts.Answer(accepted, "the publisher refused it", req.now)
		return nil
	})
	if err != nil {
		return nil, err
	}
	log.FromContext(ctx).Info("a publisher answered an operation", "entitlement", e.Name, "publisher", e.Spec.PublisherRef.Name, "accepted", accepted)
	return &answer{code: http.StatusOK}, nil
}

// answerable says why an operation cannot be answered so.
func answerable(facts *terms.Entitlement, op *terms.Operation, update *saasapi.UpdateOperation, accepted bool) error {
	// A refusal is plain whatever it repeats of the operation, and has little time.
	if accepted && (update.PlanID != "" && update.PlanID != op.Level.Plan || update.Quantity.Given && update.Quantity.Seats != op.Level.Quantity) {
		return badRequest("planId and quantity are not those of the operation: leave them out, and answer with status.")
	}
	switch {
	case op.Progress == terms.InProgress:
		return nil
	case accepted == (op.Progress == terms.Succeeded):
		return nil // said before
	case !op.Action.Refusable():
		return conflict("%s has happened and cannot be refused.", op.Action)
	case newer(facts, op):
		return conflict("A newer update is already fulfilled, and this operation has %s.", op.Progress)
	case op.Progress == terms.Succeeded:
		return conflict("The operation has Succeeded: it was not refused in time.")
	}
	return conflict("The operation has Failed: %s.", op.Why)
}

// newer reports whether something else was done after an operation.
func newer(facts *terms.Entitlement, op *terms.Operation) bool {
	i := slices.IndexFunc(facts.Operations, func(o terms.Operation) bool { return o.ID == op.ID })
	return slices.ContainsFunc(facts.Operations[i+1:], func(o terms.Operation) bool { return o.Progress == terms.Succeeded })
}

// operationOf returns the operation with an id.
func operationOf(facts *terms.Entitlement, id string) (*terms.Operation, error) {
	i := slices.IndexFunc(facts.Operations, func(o terms.Operation) bool { return o.ID == id })
	if i < 0 {
		return nil, unknownOperation
	}
	return &facts.Operations[i], nil
}
