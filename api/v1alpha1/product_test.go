package v1alpha1_test

import (
	"testing"

	"github.com/license-operator/license-operator/api/v1alpha1"
)

// offered makes an offer of a term whose price tells whose it is.
func offered(whose string, all ...v1alpha1.Term) []v1alpha1.TermOffer {
	var offers []v1alpha1.TermOffer
	for _, term := range all {
		offers = append(offers, v1alpha1.TermOffer{Term: term, Price: v1alpha1.Money{Amount: whose, Currency: "EUR"}})
	}
	return offers
}

func sells(offers ...v1alpha1.TermOffer) *v1alpha1.Product {
	return &v1alpha1.Product{Spec: v1alpha1.ProductSpec{Terms: offers}}
}

// A plan has its own prices or those of the product, and never some of each.
func TestOffers(t *testing.T) {
	software := sells(offered("1", v1alpha1.TermYear, v1alpha1.TermPerpetual)...)
	software.Spec.Software = &v1alpha1.SoftwareProduct{}
	service := sells(offered("1", v1alpha1.TermMonth, v1alpha1.TermYear)...)
	service.Spec.SaaS = &v1alpha1.SaaSProduct{Plans: []v1alpha1.Plan{
		{ID: "silver"}, {ID: "gold", Terms: offered("2", v1alpha1.TermYear, v1alpha1.TermThreeYears)}, {ID: "empty", Terms: []v1alpha1.TermOffer{}}, {ID: "old", StopSell: true},
	}}
	var none *v1alpha1.Product
	for name, tc := range map[string]struct {
		product *v1alpha1.Product
		id      string
		found   bool
	}{
		"no product":               {none, "silver", false},
		"software has no plans":    {software, "silver", false},
		"software asked for none":  {software, "", false},
		"a plan":                   {service, "gold", true},
		"the last plan":            {service, "old", true}, // who has it keeps it
		"another plan":             {service, "bronze", false},
		"a plan in capitals":       {service, "Gold", false},
		"a service asked for none": {service, "", false},
	} {
		plan := tc.product.Plan(tc.id)
		if (plan != nil) != tc.found || plan != nil && plan.ID != tc.id {
			t.Errorf("%s: %+v", name, plan)
		}
	}
	for name, tc := range map[string]struct {
		product *v1alpha1.Product
		plan    *v1alpha1.Plan
		term    v1alpha1.Term
		want    string // price; empty: it is not sold
		first   v1alpha1.Term
	}{
		"software":                             {software, nil, v1alpha1.TermPerpetual, "1", v1alpha1.TermYear},
		"software for another term":            {software, nil, v1alpha1.TermMonth, "", v1alpha1.TermYear},
		"a plan without prices":                {service, service.Plan("silver"), v1alpha1.TermMonth, "1", v1alpha1.TermMonth},
		"a plan with a list of none":           {service, service.Plan("empty"), v1alpha1.TermMonth, "1", v1alpha1.TermMonth},
		"a plan with its own":                  {service, service.Plan("gold"), v1alpha1.TermYear, "2", v1alpha1.TermYear},
		"a plan for a term of its own":         {service, service.Plan("gold"), v1alpha1.TermThreeYears, "2", v1alpha1.TermYear},
		"a plan for a term of the product":     {service, service.Plan("gold"), v1alpha1.TermMonth, "", v1alpha1.TermYear},
		"a plan that is no longer sold to new": {service, service.Plan("old"), v1alpha1.TermYear, "1", v1alpha1.TermMonth},
		"no term":                              {service, nil, "", "", v1alpha1.TermMonth},
	} {
		offer := tc.product.Offer(tc.plan, tc.term)
		if (offer != nil) != (tc.want != "") || offer != nil && (offer.Price.Amount != tc.want || offer.Term != tc.term) {
			t.Errorf("%s: %+v", name, offer)
		}
		if offers := tc.product.Offers(tc.plan); offers[0].Term != tc.first {
			t.Errorf("%s: %+v", name, offers)
		}
	}
	if offer := sells().Offer(nil, v1alpha1.TermYear); offer != nil || len(sells().Offers(nil)) > 0 {
		t.Errorf("%+v", offer)
	}
	// What is returned is what the product has, and no copy.
	if service.Plan("gold") != &service.Spec.SaaS.Plans[1] || service.Offer(nil, v1alpha1.TermYear) != &service.Spec.Terms[1] {
		t.Error("a copy")
	}
}

// A policy says something of each product: what is listed, or else its default.
func TestPolicyValue(t *testing.T) {
	p := &v1alpha1.SelfServicePolicy{Spec: v1alpha1.SelfServicePolicySpec{Default: v1alpha1.SelfServiceTrialsOnly, Products: []v1alpha1.ProductPolicy{
		{Name: "planner", Value: v1alpha1.SelfServiceBlock}, {Name: "visio", Value: v1alpha1.SelfServiceTrialsOnly},
	}}}
	for product, want := range map[string][2]string{
		"planner": {"Block", "Listed"}, "visio": {"TrialsOnly", "Listed"}, "planner2": {"TrialsOnly", "Default"}, "": {"TrialsOnly", "Default"},
	} {
		value, source := p.Value(product)
		if got := [2]string{string(value), string(source)}; got != want {
			t.Errorf("%q: %v", product, got)
		}
	}
}
