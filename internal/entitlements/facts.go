package entitlements

import (
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"
	"github.com/sosodev/duration"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/terms"
)

// keptOperations is how many operations that are over stay on record.
const keptOperations = 32

// Facts gives the rules what is on record.
func Facts(e *v1alpha1.Entitlement) (*terms.Entitlement, error) {
	spec, purchase := &e.Spec, &e.Spec.Purchase
	window, err := length(purchase.Cancellation.Window)
	if err != nil {
		return nil, fmt.Errorf("cancellation window of entitlement %s: %w", e.Name, err)
	}
	trial, err := length(purchase.Trial)
	if err != nil {
		return nil, fmt.Errorf("trial of entitlement %s: %w", e.Name, err)
	}
	bought, err := level(&purchase.ServiceLevel)
	if err != nil {
		return nil, fmt.Errorf("purchase of entitlement %s: %w", e.Name, err)
	}
	f := &terms.Entitlement{
		Purchased: purchase.At.UTC(), Term: terms.Term(purchase.Term), Trial: trial.ToTimeDuration(),
		Window: window.ToTimeDuration(), Refund: terms.Refund(purchase.Cancellation.Refund),
		Currency: purchase.UnitPrice.Currency, Bought: bought,
		AutoRenew: spec.Subscriber.AutoRenew, NextCycle: terms.Cycle(spec.Subscriber.BillingCycle),
		Activated: instant(spec.ActivatedAt), Renewed: instant(spec.RenewedUntil), Suspended: instant(spec.SuspendedAt),
		Orphaned: instant(spec.OrphanedAt), Ended: instant(spec.EndedAt), Reason: terms.EndReason(spec.EndReason),
	}
	for i := range spec.Changes {
		l, err := level(&spec.Changes[i].ServiceLevel)
		if err != nil {
			return nil, fmt.Errorf("changes of entitlement %s: %w", e.Name, err)
		}
		f.Changes = append(f.Changes, terms.LevelChange{At: spec.Changes[i].At.UTC(), Level: l})
	}
	for i := range spec.Operations {
		op := &spec.Operations[i]
		l, err := level(&op.Level)
		if err != nil {
			return nil, fmt.Errorf("operations of entitlement %s: %w", e.Name, err)
		}
		f.Operations = append(f.Operations, terms.Operation{
			ID: op.ID, Action: terms.Action(op.Action), Level: l, ByPublisher: op.ByPublisher,
			Requested: op.RequestedAt.UTC(), Queued: op.QueuedAt.UTC(),
			Progress: terms.Progress(op.Status), Completed: instant(op.CompletedAt), Delivered: instant(op.DeliveredAt),
			GivenUp: op.Undeliverable, Failing: op.DeliveryFailure, Why: op.Message,
		})
	}
	return f, nil
}

// put puts on record what the rules made of the facts.
func put(e *v1alpha1.Entitlement, f *terms.Entitlement) {
	spec := &e.Spec
	spec.ActivatedAt, spec.RenewedUntil, spec.SuspendedAt = stamp(f.Activated), stamp(f.Renewed), stamp(f.Suspended)
	spec.OrphanedAt, spec.EndedAt, spec.EndReason = stamp(f.Orphaned), stamp(f.Ended), v1alpha1.EndReason(f.Reason)
	for _, c := range f.Changes[len(spec.Changes):] { // they are only added to
		spec.Changes = append(spec.Changes, v1alpha1.ServiceChange{At: metav1.NewTime(c.At), ServiceLevel: serviceLevel(c.Level, f.Currency)})
	}
	spec.Operations = nil
	over := 0
	for _, op := range f.Operations {
		if op.Progress != terms.InProgress && !op.Undelivered() {
			over++
		}
	}
	for i := range f.Operations {
		op := &f.Operations[i]
		if op.Progress != terms.InProgress && !op.Undelivered() {
			if over--; over >= keptOperations {
				continue
			}
		}
		if op.ID == "" {
			op.ID = uuid.NewString()
		}
		spec.Operations = append(spec.Operations, v1alpha1.Operation{
			ID: op.ID, Action: v1alpha1.OperationAction(op.Action), Level: serviceLevel(op.Level, f.Currency), ByPublisher: op.ByPublisher,
			RequestedAt: metav1.NewTime(op.Requested), QueuedAt: metav1.NewTime(op.Queued),
			Status: v1alpha1.OperationState(op.Progress), CompletedAt: stamp(op.Completed), DeliveredAt: stamp(op.Delivered),
			Undeliverable: op.GivenUp, DeliveryFailure: op.Failing, Message: op.Why,
		})
	}
}

func level(l *v1alpha1.ServiceLevel) (terms.Level, error) {
	price, err := decimal.NewFromString(l.UnitPrice.Amount)
	if err != nil {
		return terms.Level{}, fmt.Errorf("unitPrice: %w", err)
	}
	return terms.Level{Plan: l.PlanID, Quantity: l.Quantity, UnitPrice: price, Cycle: terms.Cycle(l.BillingCycle)}, nil
}

func serviceLevel(l terms.Level, currency string) v1alpha1.ServiceLevel {
	digits := max(terms.MinorDigits(currency), -l.UnitPrice.Exponent())
	return v1alpha1.ServiceLevel{
		PlanID: l.Plan, Quantity: l.Quantity, BillingCycle: v1alpha1.BillingCycle(l.Cycle),
		UnitPrice: v1alpha1.Money{Amount: l.UnitPrice.StringFixed(digits), Currency: currency},
	}
}

func length(d v1alpha1.Duration) (*duration.Duration, error) {
	if d == "" {
		return &duration.Duration{}, nil
	}
	return duration.Parse(string(d))
}

func instant(t *metav1.Time) (at time.Time) {
	if t != nil {
		at = t.UTC()
	}
	return at
}

func stamp(t time.Time) *metav1.Time {
	if t.IsZero() {
		return nil
	}
	return ptr.To(metav1.NewTime(t))
}
