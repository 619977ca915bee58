package saasapi

import (
	"slices"
	"time"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/terms"
)

// NewSubscription makes the body that describes a subscription.
func NewSubscription(e *v1alpha1.Entitlement, facts *terms.Entitlement) Subscription {
	level := facts.Level()
	s := Subscription{
		ID: e.Spec.ID, Name: name(e), PublisherID: e.Spec.PublisherRef.Name, OfferID: e.Spec.OfferID,
		PlanID: level.Plan, Quantity: seats(level),
		AllowedCustomerOperations: AllowedOperations(e),
		SessionMode:               "None",
		IsFreeTrial:               facts.OnTrial() && facts.Ended.IsZero(),
		SandboxType:               "None",
		SaaSSubscriptionStatus:    string(facts.State()),
		Term:                      term(facts),
		AutoRenew:                 facts.AutoRenew,
		Created:                   facts.Purchased.UTC(),
		LastModified:              lastModified(facts),
	}
	s.Beneficiary, s.Purchaser, _ = people(e)
	return s
}

// NewResolved makes the body that says what a purchase token stands for.
func NewResolved(e *v1alpha1.Entitlement, facts *terms.Entitlement) ResolvedSubscription {
	s := NewSubscription(e, facts)
	return ResolvedSubscription{
		ID: s.ID, SubscriptionName: s.Name, OfferID: s.OfferID, PlanID: s.PlanID, Quantity: s.Quantity, Subscription: s,
	}
}

// AllowedOperations is what the customer may have done through the publisher.
// The API's documentation says of them that they are those "for beneficiary",
// only Read if a partner bought the subscription, and that the purchaser can do
// everything; and that the publisher, who acts for the customer, is refused the
// others. So a partner's purchase is changed by the partner alone: here in the
// MarketplaceSubscription.
func AllowedOperations(e *v1alpha1.Entitlement) []string {
	if _, _, partner := people(e); partner {
		return []string{AllowRead}
	}
	return []string{AllowRead, AllowUpdate, AllowDelete}
}

// name is what the customer calls the subscription.
func name(e *v1alpha1.Entitlement) string {
	if n := e.Spec.Subscriber.FriendlyName; n != "" {
		return n
	}
	return e.Spec.Subscription.Name
}

func seats(l terms.Level) *int64 {
	if l.Quantity == 0 {
		return nil
	}
	return &l.Quantity
}

// term is the period that runs, in days: it begins on the day of its start and
// its last day is the one before its end, so a term of a month from 4 March
// ends on 3 April. A trial of less than a day ends on the day it began.
func term(facts *terms.Entitlement) Term {
	t := Term{TermUnit: string(facts.Term), ChargeDuration: "P1M"}
	if facts.Level().Cycle == terms.Annual {
		t.ChargeDuration = "P1Y"
	}
	if p := facts.Period(); !p.Start.IsZero() {
		start, end := midnight(p.Start), midnight(p.End).AddDate(0, 0, -1)
		if end.Before(start) {
			end = start
		}
		t.StartDate, t.EndDate = &start, &end
	}
	return t
}

func midnight(t time.Time) time.Time { return t.UTC().Truncate(24 * time.Hour) }

// lastModified is when something last changed that the publisher sees.
func lastModified(facts *terms.Entitlement) time.Time {
	at := []time.Time{facts.Purchased, facts.Activated, facts.Renewed, facts.Suspended, facts.Ended}
	for _, c := range facts.Changes {
		at = append(at, c.At)
	}
	for _, o := range facts.Operations {
		at = append(at, o.Requested, o.Completed)
	}
	return slices.MaxFunc(at, time.Time.Compare).UTC()
}
