package controllers

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/terms"
)

// agreedTo writes what is on record of an order on one line.
func agreedTo(o *v1alpha1.SelfServiceOrder) string {
	if o == nil {
		return ""
	}
	a := &o.Spec.Agreed
	s := strings.TrimSpace(fmt.Sprintf("%s %s %s %s", a.PlanID, a.Term, a.UnitPrice.Amount, a.UnitPrice.Currency))
	if a.Trial != "" {
		s += " free for " + string(a.Trial)
	}
	if a.PaymentMethod {
		s += " paid"
	}
	if len(o.Spec.AuditedBy) > 0 {
		s += " audited by " + strings.Join(o.Spec.AuditedBy, " ")
	}
	return s
}

// The first pass over a purchase, whatever is asked for.
func TestBuysInSelfService(t *testing.T) {
	edited := func(change func(*v1alpha1.ProductSpec)) func(*desk) {
		return func(d *desk) { d.editProduct(change) }
	}
	plans := func(change func([]v1alpha1.Plan) []v1alpha1.Plan) func(*desk) {
		return edited(func(p *v1alpha1.ProductSpec) {
			p.SaaS.Plans = change(append(p.SaaS.Plans, v1alpha1.Plan{ID: "team", DisplayName: "Team", Seats: &v1alpha1.SeatBounds{Min: 2, Max: 20}, Terms: []v1alpha1.TermOffer{
				{Term: v1alpha1.TermMonth, Price: v1alpha1.Money{Amount: "9.9999", Currency: "EUR"}},
			}}))
		})
	}
	both := func(p []v1alpha1.Plan) []v1alpha1.Plan { return p }
	plan := func(id string) asking {
		return func(s *v1alpha1.SelfServicePurchaseSpec) { s.PlanID = id }
	}
	offeredTo := func(selector metav1.LabelSelector) func(*desk) {
		return edited(func(p *v1alpha1.ProductSpec) { p.Customers = &v1alpha1.Customers{NamespaceSelector: selector} })
	}
	agreement := func(d *desk) { d.agreement() }
	active := func(message string) sight {
		return living(v1alpha1.SelfServiceActive, message, ordersAll, "SelfServicePurchased")
	}
	onTrial := func(message string) sight {
		return living(v1alpha1.SelfServiceOnTrial, message, ordersAll, "SelfServicePurchased")
	}
	for name, tc := range map[string]struct {
		prepare func(*desk)
		ask     []asking
		sight   sight
		agreed  string
		price   string // of all licences
		users   int
	}{
		"a purchase, for the first term that is sold": {
			sight: active("1 licence, 0 assigned, until "), agreed: "user P1Y 120.00 EUR paid", price: "120.00 EUR",
		},
		"several licences for a month, with users": {
			ask:   []asking{licences(3), forMonths, assigned("bob@contoso.example", "ada@contoso.example")},
			sight: active("3 licences, 2 assigned, until "), agreed: "user P1M 12.50 EUR paid", price: "37.50 EUR", users: 2,
		},
		"as many licences as there are": {ask: []asking{licences(50)}, sight: active("50 licences"), agreed: "user P1Y 120.00 EUR paid", price: "6000.00 EUR"},
		"a plan with a price of its own, that is rounded once": {
			prepare: plans(both), ask: []asking{plan("team"), licences(20)}, sight: active("20 licences"), agreed: "team P1M 9.9999 EUR paid", price: "200.00 EUR",
		},
		"the only plan that is still sold": {
			prepare: plans(func(p []v1alpha1.Plan) []v1alpha1.Plan { p[0].StopSell = true; return p }), ask: []asking{licences(2)},
			sight: active("2 licences"), agreed: "team P1M 9.9999 EUR paid", price: "20.00 EUR",
		},
		"a plan for one": {
			prepare: plans(func(p []v1alpha1.Plan) []v1alpha1.Plan { p[0].Seats = nil; return p[:1] }),
			sight:   active("1 licence"), agreed: "user P1Y 120.00 EUR paid", price: "120.00 EUR",
		},
		"software, for good": {
			prepare: func(d *desk) {
				d.publish("-software", func(p *v1alpha1.ProductSpec) {
					p.SaaS, p.Software = nil, &v1alpha1.SoftwareProduct{Keys: v1alpha1.ProductKeys{IssuerRef: v1alpha1.Reference{Name: d.name}}}
					p.Terms = []v1alpha1.TermOffer{{Term: v1alpha1.TermPerpetual, Price: v1alpha1.Money{Amount: "499", Currency: "JPY"}}}
				})
			},
			ask:   []asking{licences(2), func(s *v1alpha1.SelfServicePurchaseSpec) { s.ProductRef.Name += "-software" }},
			sight: sight{state: "Active", conditions: isLicensed, message: "2 licences, 0 assigned, for good", kstatus: "Current", writes: ordersAll, told: "SelfServicePurchased"}, agreed: "Perpetual 499 JPY paid", price: "998 JPY",
		},
		"a plan of software": {
			prepare: func(d *desk) {
				d.publish("-software", func(p *v1alpha1.ProductSpec) {
					p.SaaS, p.Software = nil, &v1alpha1.SoftwareProduct{Keys: v1alpha1.ProductKeys{IssuerRef: v1alpha1.Reference{Name: d.name}}}
				})
			},
			ask:   []asking{plan("user"), func(s *v1alpha1.SelfServicePurchaseSpec) { s.ProductRef.Name += "-software" }},
			sight: refused("PlanNotOffered", "has no plans: delete this one and make one without spec.planID"),
		},
		"a trial with a payment method": {
			ask: []asking{paidTrial, forMonths}, sight: onTrial("it turns into a purchase for 12.50 EUR each month; set spec.autoRenew to false to let it end"),
			agreed: "user P1M 12.50 EUR free for P30D paid", price: "12.50 EUR",
		},
		"a trial with a payment method that does not go on": {
			ask: []asking{paidTrial, goesOn(false)}, sight: onTrial("it ends for good; set spec.autoRenew to true to buy it then for 120.00 EUR each year"),
			agreed: "user P1Y 120.00 EUR free for P30D paid", price: "120.00 EUR",
		},
		"a trial without a payment method": {
			prepare: agreement, ask: []asking{trial}, sight: onTrial("on trial, 1 licence, 0 assigned, until "), agreed: "user P1Y 120.00 EUR free for P30D",
		},
		"a trial that takes a payment method, with one": {
			prepare: edited(func(p *v1alpha1.ProductSpec) { p.SelfService.Trial.PaymentMethod = v1alpha1.PaymentMethodRequired }),
			ask:     []asking{paidTrial}, sight: onTrial("on trial, "), agreed: "user P1Y 120.00 EUR free for P30D paid", price: "120.00 EUR",
		},
		"by a customer that the product is for": {
			prepare: offeredTo(metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "kubernetes.io/metadata.name", Operator: metav1.LabelSelectorOpExists}}}),
			sight:   active(""), agreed: "user P1Y 120.00 EUR paid", price: "120.00 EUR",
		},
		"no product": {
			ask: []asking{func(s *v1alpha1.SelfServicePurchaseSpec) { s.ProductRef.Name = "nope" }}, sight: refused("ProductNotFound", "Product nope does not exist"),
		},
		"a product that is for others": {
			prepare: offeredTo(metav1.LabelSelector{MatchLabels: map[string]string{"segment": "school"}}), sight: refused("NotOffered", "is not offered to customer"),
		},
		"a product with an invalid selector of customers": {
			prepare: offeredTo(metav1.LabelSelector{MatchLabels: map[string]string{"not a label": "-"}}), sight: refused("InvalidSelector", "namespaceSelector of Product"),
		},
		"a product that is not in self-service": {
			prepare: edited(func(p *v1alpha1.ProductSpec) { p.SelfService = nil }), sight: refused("NotInSelfService", "is not offered in self-service: delete this one, and ask an administrator"),
		},
		"a purchase of what can be tried only": {
			prepare: edited(func(p *v1alpha1.ProductSpec) { p.SelfService.Purchase = false }), sight: refused("NotInSelfService", "can be tried in self-service, and not be bought: delete this one, and make one of spec.type Trial"),
		},
		"a trial of what can be bought only": {
			prepare: edited(func(p *v1alpha1.ProductSpec) { p.SelfService.Trial = nil }), ask: []asking{paidTrial},
			sight: refused("NotInSelfService", "can be bought in self-service, and not be tried: delete this one, and make one of spec.type Purchase"),
		},
		"a trial that takes a payment method, without one": {
			prepare: func(d *desk) {
				d.agreement()
				d.editProduct(func(p *v1alpha1.ProductSpec) { p.SelfService.Trial.PaymentMethod = v1alpha1.PaymentMethodRequired })
			},
			ask: []asking{trial}, sight: refused("PaymentMethodRequired", "make one with spec.paymentMethod true"),
		},
		"a trial without a payment method and without an agreement": {
			ask: []asking{trial}, sight: refused("AgreementRequired", "ask whoever publishes the catalogue for a PartnerAgreement in namespace "),
		},
		"one of several plans, without a name": {
			prepare: plans(both), sight: refused("PlanRequired", "has several plans: delete this one and make one with spec.planID set to one of user, team"),
		},
		"a plan that there is not": {ask: []asking{plan("gold")}, sight: refused("PlanNotOffered", "has no plan gold to buy: delete this one and make one with spec.planID set to one of user")},
		"a plan that is no longer sold": {
			prepare: plans(func(p []v1alpha1.Plan) []v1alpha1.Plan { p[0].StopSell = true; return p }), ask: []asking{plan("user")}, sight: refused("PlanNotOffered", "set to one of team"),
		},
		"a term that the product is not sold for": {
			ask:   []asking{func(s *v1alpha1.SelfServicePurchaseSpec) { s.Term = v1alpha1.TermFiveYears }},
			sight: refused("TermNotSold", "is not sold for term P5Y, only for P1Y, P1M: delete this one and make one with another spec.term"),
		},
		"a term that the plan is not sold for": {
			prepare: plans(both), ask: []asking{plan("team"), licences(2), func(s *v1alpha1.SelfServicePurchaseSpec) { s.Term = v1alpha1.TermYear }},
			sight: refused("TermNotSold", "is not sold for term P1Y, only for P1M"),
		},
		"more licences than there are":       {ask: []asking{licences(51)}, sight: refused("QuantityNotOffered", "plan user is sold with 1 to 50 seats, not 51: change spec.quantity")},
		"fewer licences than there are":      {prepare: plans(both), ask: []asking{plan("team")}, sight: refused("QuantityNotOffered", "plan team is sold with 2 to 20 seats, not 1")},
		"several licences of a plan for one": {prepare: plans(func(p []v1alpha1.Plan) []v1alpha1.Plan { p[0].Seats = nil; return p[:1] }), ask: []asking{licences(2)}, sight: refused("QuantityNotOffered", "set spec.quantity to 1")},
		"cancelled before it was bought": {
			ask:   []asking{givenUp},
			sight: sight{state: "Cancelled", message: "cancelled before anything was bought; nothing is charged", kstatus: "Current", writes: tellsBuyer},
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			if tc.prepare != nil {
				tc.prepare(d)
			}
			now := d.clock.Now()
			d.ask("own", tc.ask...)
			p := d.check("own", tc.sight)
			o := d.order("own")
			if got := agreedTo(o); got != tc.agreed {
				t.Errorf("agreed to %q, want %q", got, tc.agreed)
			}
			price := ""
			if m := p.Status.Price; m != nil {
				price = m.Amount + " " + m.Currency
			}
			if price != tc.price || int(p.Status.Assigned) != tc.users || len(p.Status.Users) != tc.users {
				t.Errorf("price %q, want %q; users %v", price, tc.price, p.Status.Users)
			}
			if o == nil {
				if p.Status.PurchasedAt != nil || p.Status.Quantity != 0 || p.Status.Next != nil {
					t.Errorf("bought nothing, and status says %+v", p.Status)
				}
				return
			}
			if !p.Status.PurchasedAt.Time.Equal(now) || !o.Spec.Agreed.At.Time.Equal(now) || o.Spec.Purchase.UID != p.UID || o.Spec.Customer != d.customer ||
				p.Status.Quantity != p.Spec.Quantity || p.Status.PlanID != o.Spec.Agreed.PlanID || p.Status.BillingTerm != o.Spec.Agreed.Term {
				t.Errorf("status %+v\norder %+v", p.Status, o.Spec)
			}
		})
	}
}

// What stands in the way goes away, and what waited for that is bought.
func TestBuysOnceItCan(t *testing.T) {
	d := newDesk(t)
	d.policy("rules", v1alpha1.SelfServiceBlock, func(s *v1alpha1.SelfServicePolicySpec) { s.Contact = "it@contoso.example" })
	d.ask("own", trial)
	d.check("own", refused("AgreementRequired", "PartnerAgreement"))
	if woken := d.purchases.stalledIn(t.Context(), &v1alpha1.PartnerAgreement{ObjectMeta: metav1.ObjectMeta{Namespace: d.customer}}); len(woken) != 1 || woken[0] != d.request("own") {
		t.Errorf("an agreement wakes %v", woken)
	}
	if woken := d.purchases.stalledIn(t.Context(), &v1alpha1.PartnerAgreement{ObjectMeta: metav1.ObjectMeta{Namespace: "default"}}); len(woken) != 0 {
		t.Errorf("an agreement of another customer wakes %v", woken)
	}
	d.agreement()
	d.check("own", refused("BlockedByPolicy", "by SelfServicePolicy rules employees may neither buy nor try Product "+d.name+" themselves: ask it@contoso.example; if it stays, it is ordered as soon as it can be"))
	d.editPolicy("rules", func(s *v1alpha1.SelfServicePolicySpec) { s.Default = v1alpha1.SelfServiceTrialsOnly })
	d.check("own", living("Trial", "on trial", ordersAll, "SelfServicePurchased"))
	for what, woken := range map[string]int{
		"policy":    len(d.purchases.stalledIn(t.Context(), &v1alpha1.SelfServicePolicy{ObjectMeta: metav1.ObjectMeta{Namespace: d.customer}})),
		"product":   len(d.purchases.ofProduct(t.Context(), d.product())),
		"namespace": len(d.purchases.ofNamespace(t.Context(), &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: d.customer}})),
	} {
		if woken != 0 {
			t.Errorf("a %s wakes %d that have all they want", what, woken)
		}
	}
	d.ask("other", trial, by("bob"), func(s *v1alpha1.SelfServicePurchaseSpec) { s.ProductRef.Name = d.name + "-next" })
	d.check("other", refused("ProductNotFound", "-next does not exist"))
	d.publish("-next")
	next := d.product()
	next.Name += "-next"
	for what, woken := range map[string]int{
		"product":         len(d.purchases.ofProduct(t.Context(), next)),
		"namespace":       len(d.purchases.ofNamespace(t.Context(), &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: d.customer}})),
		"other namespace": 1 + len(d.purchases.ofNamespace(t.Context(), &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: "default"}})),
	} {
		if woken != 1 {
			t.Errorf("a %s wakes %d", what, woken)
		}
	}
	d.check("other", living("Trial", "on trial", ordersAll, "SelfServicePurchased"))
	d.shelf.broken = true
	if all := d.purchases.ofProduct(t.Context(), next); all != nil {
		t.Errorf("woken from nowhere: %v", all)
	}
}

// What policies allow, and whom they name.
func TestPoliciesDecide(t *testing.T) {
	of := func(d *desk, value v1alpha1.SelfServiceValue) func(*v1alpha1.SelfServicePolicySpec) {
		return func(s *v1alpha1.SelfServicePolicySpec) {
			s.Products = []v1alpha1.ProductPolicy{{Name: d.name, Value: value}}
		}
	}
	buys, tries, triesAndPays := []asking{}, []asking{trial}, []asking{paidTrial}
	const allow, trialsOnly, block = v1alpha1.SelfServiceAllow, v1alpha1.SelfServiceTrialsOnly, v1alpha1.SelfServiceBlock
	for name, tc := range map[string]struct {
		standard terms.SelfService // of the operator
		policies func(*desk)
		ask      []asking
		refused  string // a part of the message; empty: it is not
		audited  string
	}{
		"no policy":                               {ask: buys},
		"no policy, operator blocks":              {standard: terms.Block, ask: tries, refused: "employees may neither buy nor try a product themselves: ask an administrator for one"},
		"no policy, operator lets try: try":       {standard: terms.TrialsOnly, ask: tries},
		"no policy, operator lets try: buy":       {standard: terms.TrialsOnly, ask: buys, refused: "employees may only try a product themselves, without a payment method"},
		"operator blocks, and a policy allows":    {standard: terms.Block, policies: func(d *desk) { d.policy("a", allow) }, ask: buys},
		"operator blocks, and a policy audits":    {standard: terms.Block, policies: func(d *desk) { d.policy("a", block, audits) }, ask: buys, refused: "that enforces something employees may neither buy nor try a product"},
		"operator lets try, a policy audits":      {standard: terms.TrialsOnly, policies: func(d *desk) { d.policy("a", block, audits) }, ask: tries, audited: "a"},
		"operator blocks, one allows, one audits": {standard: terms.Block, policies: func(d *desk) { d.policy("a", block, audits); d.policy("b", allow) }, ask: buys, audited: "a"},
		"allowed":                                {policies: func(d *desk) { d.policy("a", allow) }, ask: buys},
		"blocked by default":                     {policies: func(d *desk) { d.policy("a", block) }, ask: tries, refused: "by SelfServicePolicy a employees may neither buy nor try Product"},
		"blocked by name":                        {policies: func(d *desk) { d.policy("a", allow, of(d, block)) }, ask: buys, refused: "ask an administrator"},
		"allowed by name":                        {policies: func(d *desk) { d.policy("a", block, of(d, allow)) }, ask: buys},
		"another one blocked by name":            {policies: func(d *desk) { d.policy("a", allow, of(&desk{shop: &shop{name: "other"}}, block)) }, ask: buys},
		"trials only: try":                       {policies: func(d *desk) { d.policy("a", trialsOnly) }, ask: tries},
		"trials only: try with a payment method": {policies: func(d *desk) { d.policy("a", trialsOnly) }, ask: triesAndPays, refused: "employees may only try Product"},
		"trials only: buy":                       {policies: func(d *desk) { d.policy("a", trialsOnly) }, ask: buys, refused: "themselves, without a payment method: ask an administrator"},
		"the strictest of several": {policies: func(d *desk) {
			d.policy("a", allow)
			d.policy("b", trialsOnly)
			d.policy("c", block, func(s *v1alpha1.SelfServicePolicySpec) { s.Contact = "#licences" })
			d.policy("d", block)
		}, ask: buys, refused: "by SelfServicePolicy c employees may neither buy nor try Product"},
		"the strictest is for another one": {policies: func(d *desk) {
			d.policy("a", trialsOnly)
			d.policy("b", allow, of(&desk{shop: &shop{name: "other"}}, block))
		}, ask: tries},
		"audited": {policies: func(d *desk) { d.policy("a", block, audits) }, ask: buys, audited: "a"},
		"audited by several, and by one that allows it": {policies: func(d *desk) {
			d.policy("c", trialsOnly, audits)
			d.policy("a", block, audits)
			d.policy("b", allow, audits)
		}, ask: buys, audited: "a c"},
		"audited and enforced": {policies: func(d *desk) { d.policy("a", block, audits); d.policy("b", trialsOnly) }, ask: tries, audited: "a"},
		"audited and refused":  {policies: func(d *desk) { d.policy("a", block, audits); d.policy("b", trialsOnly) }, ask: buys, refused: "by SelfServicePolicy b employees"},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			d.agreement()
			d.purchases.Default = tc.standard
			if tc.policies != nil {
				tc.policies(d)
			}
			d.ask("own", tc.ask...)
			want := sight{state: v1alpha1.SelfServiceActive, conditions: isLicensed, kstatus: "Current", requeue: longestSleep, writes: ordersAll, told: "SelfServicePurchased"}
			if d.purchase("own").Spec.Type == v1alpha1.SelfServiceTrial {
				want.state = v1alpha1.SelfServiceOnTrial
			}
			switch {
			case tc.refused != "":
				want = refused("BlockedByPolicy", tc.refused)
			case tc.audited != "":
				want.conditions = isAudited
			}
			p := d.check("own", want)
			if tc.refused != "" {
				return
			}
			if got := strings.Join(d.order("own").Spec.AuditedBy, " "); got != tc.audited {
				t.Errorf("audited by %q, want %q", got, tc.audited)
			}
			if m := reasonMessage(p, "Compliant"); tc.audited != "" && !strings.Contains(m, strings.ReplaceAll(tc.audited, " ", ", ")) {
				t.Errorf("%q does not name who would have refused it", m)
			}
		})
	}
}

// A change of a policy, and a product that is published later, matter for what
// is bought later only.
func TestPoliciesAreForLater(t *testing.T) {
	d := newDesk(t)
	d.ask("first")
	d.ask("trial", paidTrial)
	d.serve("first")
	d.serve("trial")
	d.policy("rules", v1alpha1.SelfServiceBlock)
	d.still("first")
	d.still("trial")
	d.later(31 * day)
	d.check("trial", living("Active", "1 licence", ordersOn, "TrialTurnedPaid"))
	d.later(365 * day)
	d.check("first", living("Active", "1 licence", ordersOn, "Renewed"))
	d.ask("second")
	d.check("second", refused("BlockedByPolicy", "by SelfServicePolicy rules"))
	d.publish("-new")
	d.ask("third", func(s *v1alpha1.SelfServicePurchaseSpec) { s.ProductRef.Name += "-new" })
	d.check("third", refused("BlockedByPolicy", "by SelfServicePolicy rules"))
	d.restore("first")
	if p, _ := d.serve("first"); conditions(p) != isLicensed || p.Status.State != v1alpha1.SelfServiceActive {
		t.Errorf("what is on record was asked for again: %s", conditions(p))
	}
}

// More policies than an order has room for.
func TestAuditedByMany(t *testing.T) {
	d := newDesk(t)
	for i := range maxAuditedBy + 1 {
		d.policy(fmt.Sprintf("p%02d", i), v1alpha1.SelfServiceBlock, audits)
	}
	d.ask("own")
	d.serve("own")
	if by := d.order("own").Spec.AuditedBy; len(by) != maxAuditedBy || by[0] != "p00" {
		t.Errorf("%v", by)
	}
}

// What slipped through the API server is not added to what was bought.
func TestMoreLicencesThanAllowed(t *testing.T) {
	d := newDesk(t)
	d.ask("own", licences(2), assigned("a@contoso.example", "b@contoso.example"))
	d.serve("own")
	d.change("own", licences(3))
	if p := d.check("own", living("Active", "3 licences, 2 assigned", tellsBuyer, "")); p.Status.Price.Amount != "360.00" {
		t.Errorf("price %v", p.Status.Price)
	}
	d.change("own", func(s *v1alpha1.SelfServicePurchaseSpec) {
		s.Quantity, s.AssignedUsers = 51, []v1alpha1.User{"a@x", "b@x", "c@x", "d@x"}
	})
	held := func(reason, message string) sight {
		return sight{
			state: "Active", conditions: fmt.Sprintf("Compliant=True(Allowed) Ready=True(Licensed) Stalled=True(%s)", reason), message: message,
			kstatus: "Failed", requeue: poll, writes: tellsBuyer,
		}
	}
	p := d.check("own", held("QuantityNotOffered", "3 licences are bought and spec.quantity is 51: set it back to 3, because plan user is sold with 1 to 50 seats, not 51"))
	if p.Status.Quantity != 3 || p.Status.Assigned != 3 || len(p.Status.Users) != 3 || p.Status.Price.Amount != "360.00" {
		t.Errorf("%+v", p.Status)
	}
	d.policy("rules", v1alpha1.SelfServiceTrialsOnly)
	d.change("own", licences(4))
	d.check("own", held("BlockedByPolicy", "3 licences are bought and spec.quantity is 4: set it back to 3, because by SelfServicePolicy rules employees may only try"))
	d.shelf.broken = true
	if p, _, err := d.tryServe("own"); err == nil || p.Status.Quantity != 3 || !strings.Contains(conditions(p), "Ready=True(Licensed) Reconciling=True(Retrying)") {
		t.Errorf("%v: %+v", err, p.Status)
	}
	d.shelf.broken = false
	d.change("own", func(s *v1alpha1.SelfServicePurchaseSpec) { s.Quantity, s.AssignedUsers = 1, nil })
	d.check("own", living("Active", "1 licence, 0 assigned", tellsBuyer, "")) // fewer is always possible
	d.change("own", givenUp)
	d.serve("own")
	d.change("own", licences(9))
	if p, _ := d.serve("own"); p.Status.Quantity != 1 || p.Status.State != v1alpha1.SelfServiceCancelled {
		t.Errorf("%+v", p.Status)
	}
	d.still("own")
}

// No more is sold of what is no longer offered. What was bought goes on.
func TestNoMoreOfWhatIsNotOffered(t *testing.T) {
	edited := func(change func(*v1alpha1.ProductSpec)) func(*desk) {
		return func(d *desk) { d.editProduct(change) }
	}
	for name, tc := range map[string]struct {
		ask          asking
		then         func(*desk)
		reason, says string // empty: more are sold
	}{
		"the product is gone": {nil, func(d *desk) { d.remove(d.product()) }, "ProductNotFound", "is no longer in the catalogue"},
		"it is for other customers": {nil, edited(func(p *v1alpha1.ProductSpec) {
			p.Customers = &v1alpha1.Customers{NamespaceSelector: metav1.LabelSelector{MatchLabels: map[string]string{"segment": "school"}}}
		}), "NotOffered", "is not offered to customer"},
		"it is not in self-service":      {nil, edited(func(p *v1alpha1.ProductSpec) { p.SelfService = nil }), "NotInSelfService", "is not offered in self-service"},
		"it can be tried only":           {nil, edited(func(p *v1alpha1.ProductSpec) { p.SelfService.Purchase = false }), "NotInSelfService", "and not be bought"},
		"it can be bought only":          {nil, edited(func(p *v1alpha1.ProductSpec) { p.SelfService.Trial = nil }), "", ""},
		"a trial, it can be bought only": {paidTrial, edited(func(p *v1alpha1.ProductSpec) { p.SelfService.Trial = nil }), "NotInSelfService", "and not be tried"},
		"a trial turned paid, likewise": {paidTrial, func(d *desk) {
			d.editProduct(func(p *v1alpha1.ProductSpec) { p.SelfService.Trial = nil })
			d.later(31 * day)
		}, "", ""},
		"a trial, and no agreement": {trial, func(d *desk) {
			d.remove(&v1alpha1.PartnerAgreement{ObjectMeta: metav1.ObjectMeta{Namespace: d.customer, Name: "open"}})
		}, "AgreementRequired", "for customers with an agreement only"},
		"the plan is sold no more":        {nil, edited(func(p *v1alpha1.ProductSpec) { p.SaaS.Plans[0].StopSell = true }), "PlanNotOffered", "is no longer sold in plan user"},
		"the plan is gone":                {nil, edited(func(p *v1alpha1.ProductSpec) { p.SaaS.Plans[0].ID = "other" }), "PlanNotOffered", "is no longer sold in plan user"},
		"the plan is for one":             {nil, edited(func(p *v1alpha1.ProductSpec) { p.SaaS.Plans[0].Seats = nil }), "QuantityNotOffered", "is not sold by the seat"},
		"nothing has changed, of a trial": {trial, func(*desk) {}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			d.agreement()
			ask := []asking{licences(2), assigned("a@contoso.example", "b@contoso.example")}
			if tc.ask != nil {
				ask = append(ask, tc.ask)
			}
			d.ask("own", ask...)
			d.serve("own")
			tc.then(d)
			d.serve("own")
			d.change("own", licences(3))
			p, _ := d.serve("own")
			if tc.reason == "" {
				if p.Status.Quantity != 3 || reasonOf(p, "Stalled") != "" {
					t.Errorf("%d licences, %s", p.Status.Quantity, p.Status.Message)
				}
				return
			}
			if m := p.Status.Message; p.Status.Quantity != 2 || p.Status.Assigned != 2 || reasonOf(p, "Stalled") != tc.reason || reasonOf(p, "Ready") != v1alpha1.ReasonLicensed ||
				!strings.HasPrefix(m, "2 licences are bought and spec.quantity is 3: set it back to 2, because ") || !strings.Contains(m, tc.says) || strings.Contains(m, "delete") {
				t.Errorf("%d licences, %s: %s", p.Status.Quantity, conditions(p), m)
			}
			d.still("own")
		})
	}
}

// A raise that a policy in mode Audit would have refused is on record, once.
func TestAuditsARaise(t *testing.T) {
	d := newDesk(t)
	d.ask("own", licences(2))
	d.serve("own")
	d.policy("rules", v1alpha1.SelfServiceBlock, audits)
	d.change("own", licences(3))
	audited := func(message, writes string) sight {
		s := living("Active", message, writes, "")
		s.conditions = isAudited
		return s
	}
	p := d.check("own", audited("3 licences", ordersOn))
	if by := d.order("own").Spec.AuditedBy; !slices.Equal(by, []string{"rules"}) || p.Status.Quantity != 3 {
		t.Errorf("%v, %+v", by, p.Status)
	}
	d.change("own", licences(4))
	d.check("own", audited("4 licences", tellsBuyer))
	d.still("own")
}

// A trial of a product is had once by each purchaser, whatever it is called.
func TestOneTrialForEach(t *testing.T) {
	d := newDesk(t)
	d.agreement()
	d.ask("own", trial)
	d.serve("own")
	since := stamp(d.purchase("own").Status.PurchasedAt.Time)
	d.ask("again", paidTrial)
	d.check("again", refused("TrialUsed", "ada has tried Product "+d.name+" already, from "+since+" on, with the SelfServicePurchase own, and a trial is had once: delete this one, and buy the product to use it"))
	d.ask("bought")
	d.check("bought", living("Active", "1 licence", ordersAll, "SelfServicePurchased"))
	d.ask("bobs", trial, by("bob"))
	d.check("bobs", living("Trial", "on trial", ordersAll, "SelfServicePurchased"))
	d.later(31 * day)
	d.check("own", over("Expired", "the trial ended at ", ordersOn, "SelfServiceEnded"))
	d.check("again", sight{conditions: "Ready=False(TrialUsed) Stalled=True(TrialUsed)", kstatus: "Failed", requeue: poll})
	d.restore("own")
	if p, _ := d.serve("own"); p.Status.State != v1alpha1.SelfServiceExpired || conditions(p) != isOver {
		t.Errorf("deleted and made again it is not what it was: %s %s", p.Status.State, conditions(p))
	}
	d.change("again", givenUp)
	d.check("again", sight{state: "Cancelled", message: "cancelled before anything was bought", kstatus: "Current", writes: tellsBuyer})
}

// Whoever is first has a trial, also if two operators lead at once and see
// nothing of each other.
func TestOneTrialOfTwoLeaders(t *testing.T) {
	d := newDesk(t)
	d.agreement()
	const n = 8
	var leaders [2]*desk
	for i := range leaders {
		leaders[i] = &desk{shop: &shop{t: t, name: d.name, customer: d.customer}}
		leaders[i].start(d.clock.Now())
		leaders[i].shelf.lateOrders = true
	}
	for i := range n {
		d.ask(fmt.Sprintf("trial-%d", i), trial)
	}
	d.ask("bought")
	var wg sync.WaitGroup
	for _, leader := range leaders {
		for i := range n {
			wg.Go(func() {
				_, _ = leader.purchases.Reconcile(t.Context(), leader.request(fmt.Sprintf("trial-%d", i))) // one of two may fail to write status
			})
		}
		wg.Go(func() { _, _ = leader.purchases.Reconcile(t.Context(), leader.request("bought")) })
	}
	wg.Wait()
	tried, others := 0, 0
	for i := range n {
		switch p, _ := d.serve(fmt.Sprintf("trial-%d", i)); {
		case p.Status.State == v1alpha1.SelfServiceOnTrial:
			tried++
		case reasonOf(p, "Stalled") == v1alpha1.ReasonTrialUsed:
			others++
		}
	}
	if tried != 1 || others != n-1 {
		t.Errorf("%d had it, %d were refused", tried, others)
	}
	if p, _ := d.serve("bought"); p.Status.State != v1alpha1.SelfServiceActive {
		t.Errorf("%+v", p.Status)
	}
	var all v1alpha1.SelfServiceOrderList
	if err := live.List(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	count := 0
	for i := range all.Items {
		if all.Items[i].Spec.Customer == d.customer {
			count++
		}
	}
	if count != 2 {
		t.Errorf("%d orders, want one trial and one purchase", count)
	}
}

// A name is one purchase for ever.
func TestNameIsUsed(t *testing.T) {
	d := newDesk(t)
	d.ask("own")
	d.serve("own")
	d.remove(d.purchase("own"))
	d.ask("own", by("bob"))
	d.check("own", refused("NameUsed", "another SelfServicePurchase had this name, and a name is one purchase for ever: delete this one and use another name"))
	if m := d.purchase("own").Status.Message; strings.Contains(m, "ada") || strings.Contains(m, d.name) {
		t.Errorf("%q tells what a colleague bought", m)
	}
	d.remove(d.purchase("own"))
	d.publish("-other")
	d.ask("own", func(s *v1alpha1.SelfServicePurchaseSpec) { s.ProductRef.Name += "-other" })
	d.check("own", refused("NameUsed", "Product "+d.name+" was bought by ada at "))
	if m := d.purchase("own").Status.Message; !strings.HasSuffix(m, "with a SelfServicePurchase of this name, and a name is one purchase for ever: delete this one and use another name") {
		t.Errorf("%q", m)
	}
	d.remove(d.purchase("own"))
	d.shelf.lateOrders = true // and what the cache does not know of is not bought either
	d.ask("own", by("bob"))
	d.check("own", refused("NameUsed", "another SelfServicePurchase had this name"))
	d.shelf.lateOrders = false
	d.remove(d.purchase("own"))
	d.ask("own")
	d.check("own", living("Active", "1 licence", tellsBuyer, "")) // Ada's own comes back
}

// A purchase that is made again goes on as it was agreed, or not at all.
func TestMadeAgainOtherwise(t *testing.T) {
	inPlan := func(id string) asking { return func(s *v1alpha1.SelfServicePurchaseSpec) { s.PlanID = id } }
	for name, tc := range map[string]struct {
		first, again []asking
		reason       string // empty: it goes on
		says         string
	}{
		"a payment method less":    {[]asking{paidTrial}, []asking{trial}, "TrialUsed", "with spec.paymentMethod true, and that goes on: delete this one, and make it again with that, to use or to cancel it"},
		"a payment method more":    {[]asking{trial}, []asking{paidTrial}, "TrialUsed", "with spec.paymentMethod false, and"},
		"a trial of another term":  {[]asking{paidTrial}, []asking{paidTrial, forMonths}, "TrialUsed", "with spec.term P1Y, and"},
		"all that can be":          {[]asking{paidTrial, forMonths}, []asking{trial, inPlan("team"), func(s *v1alpha1.SelfServicePurchaseSpec) { s.Term = v1alpha1.TermYear }}, "TrialUsed", "with spec.paymentMethod true and spec.planID user and spec.term P1M, and"},
		"another term":             {nil, []asking{forMonths}, "NameUsed", "with spec.term P1Y, and that goes on: delete this one, and make it again with that"},
		"another plan":             {nil, []asking{inPlan("team")}, "NameUsed", "with spec.planID user, and"},
		"what the product chose":   {nil, []asking{inPlan("user"), func(s *v1alpha1.SelfServicePurchaseSpec) { s.Term = v1alpha1.TermYear }}, "", "1 licence"},
		"what is left to it again": {[]asking{inPlan("user"), forMonths}, nil, "", "1 licence"},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			d.agreement()
			d.ask("own", tc.first...)
			p, _ := d.serve("own")
			state := p.Status.State
			d.remove(p)
			d.ask("own", tc.again...)
			if tc.reason == "" {
				d.check("own", living(state, tc.says, tellsBuyer, ""))
				return
			}
			d.check("own", refused(tc.reason, tc.says))
			d.change("own", givenUp) // which ends nothing that goes on
			d.check("own", refused(tc.reason, tc.says))
			d.remove(d.purchase("own"))
			d.ask("own", append(tc.first, givenUp)...)
			d.serve("own")
			if d.order("own").Spec.EndReason != v1alpha1.OrderCancelled {
				t.Error("it cannot be cancelled")
			}
			d.remove(d.purchase("own"))
			d.ask("own", tc.again...)
			d.check("own", refused(tc.reason, map[string]string{"NameUsed": "a name is one purchase for ever", "TrialUsed": "a trial is had once"}[tc.reason]))
		})
	}
}

// Two hundred purchases at once, and then nothing.
func TestManyPurchases(t *testing.T) {
	d := newDesk(t)
	d.policy("rules", v1alpha1.SelfServiceAllow)
	const n, workers = 200, 8
	for i := range n {
		d.ask(fmt.Sprintf("own-%d", i))
	}
	each := func(do func(i int)) time.Duration {
		start := time.Now()
		var wg sync.WaitGroup
		for w := range workers {
			wg.Go(func() {
				for i := w; i < n; i += workers {
					do(i)
				}
			})
		}
		wg.Wait()
		return time.Since(start)
	}
	pass := func(i int) {
		if _, err := d.purchases.Reconcile(t.Context(), d.request(fmt.Sprintf("own-%d", i))); err != nil {
			t.Error(err)
		}
	}
	if took := each(pass); took > 30*time.Second {
		t.Errorf("%d purchases took %v", n, took)
	}
	if len(d.writes) != 2*n || len(d.events) != n {
		t.Errorf("%d writes, %d Events for %d purchases", len(d.writes), len(d.events), n)
	}
	d.writes, d.events = nil, nil
	d.later(time.Second)
	each(pass)
	if len(d.writes)+len(d.events) != 0 {
		t.Errorf("%v %v", d.writes, d.events)
	}
	each(func(i int) {
		if p := d.purchase(fmt.Sprintf("own-%d", i)); p.Status.State != v1alpha1.SelfServiceActive || ptr.Deref(p.Spec.AutoRenew, false) != true {
			t.Errorf("%s: %+v", p.Name, p.Status)
		}
	})
}
