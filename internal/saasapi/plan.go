package saasapi

import (
	"encoding/json"
	"slices"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/terms"
)

// NewPlans makes the body that lists the plans of a product which a
// subscription can change to, and its own, also if that is no longer offered.
// The product is nil if it is gone from the catalogue.
func NewPlans(facts *terms.Entitlement, p *v1alpha1.Product) PlanList {
	list, own := PlanList{Plans: []Plan{}}, facts.Level()
	if p != nil && p.Spec.SaaS != nil {
		for i := range p.Spec.SaaS.Plans {
			plan := &p.Spec.SaaS.Plans[i]
			if _, offered := Offer(facts, p, plan.ID); offered || plan.ID == own.Plan {
				list.Plans = append(list.Plans, newPlan(p, plan))
			}
		}
	}
	if !slices.ContainsFunc(list.Plans, func(l Plan) bool { return l.PlanID == own.Plan }) {
		list.Plans = append(list.Plans, Plan{
			PlanID: own.Plan, DisplayName: own.Plan, IsPricePerSeat: own.Quantity > 0, IsStopSell: true,
			PlanComponents: PlanComponents{RecurrentBillingTerms: []RecurrentBillingTerm{}, MeteringDimensions: []struct{}{}},
		})
	}
	return list
}

// Offer returns what a plan of a product costs a subscription that changes to
// it, if it can: the plan is sold, for the term and in the currency of the
// subscription.
func Offer(facts *terms.Entitlement, p *v1alpha1.Product, planID string) (v1alpha1.TermOffer, bool) {
	plan := p.Plan(planID)
	if plan == nil || plan.StopSell {
		return v1alpha1.TermOffer{}, false
	}
	offer := p.Offer(plan, v1alpha1.Term(facts.Term))
	if offer == nil || offer.Price.Currency != facts.Currency {
		return v1alpha1.TermOffer{}, false
	}
	return *offer, true
}

func newPlan(p *v1alpha1.Product, plan *v1alpha1.Plan) Plan {
	w := Plan{
		PlanID: plan.ID, DisplayName: plan.DisplayName, Description: plan.Description, IsPrivate: private(p),
		HasFreeTrials: plan.Trial != "", IsPricePerSeat: plan.Seats != nil, IsStopSell: plan.StopSell,
		PlanComponents: PlanComponents{RecurrentBillingTerms: []RecurrentBillingTerm{}, MeteringDimensions: []struct{}{}},
	}
	if plan.Seats != nil {
		w.MinQuantity, w.MaxQuantity = &plan.Seats.Min, &plan.Seats.Max
	}
	for _, o := range p.Offers(plan) {
		w.PlanComponents.RecurrentBillingTerms = append(w.PlanComponents.RecurrentBillingTerms, RecurrentBillingTerm{
			Currency: o.Price.Currency, Price: json.Number(o.Price.Amount), TermUnit: string(o.Term),
			TermDescription: describe[o.Term], MeteredQuantityIncluded: []struct{}{},
		})
	}
	return w
}

// private reports whether a product is for some customers only.
func private(p *v1alpha1.Product) bool {
	if p.Spec.Customers == nil {
		return false
	}
	s := p.Spec.Customers.NamespaceSelector
	return len(s.MatchLabels)+len(s.MatchExpressions) > 0
}

var describe = map[v1alpha1.Term]string{
	v1alpha1.TermMonth: "1 month", v1alpha1.TermYear: "1 year", v1alpha1.TermTwoYears: "2 years",
	v1alpha1.TermThreeYears: "3 years", v1alpha1.TermFourYears: "4 years", v1alpha1.TermFiveYears: "5 years",
}
