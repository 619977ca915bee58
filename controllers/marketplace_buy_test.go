package controllers

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/google/uuid"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/terms"
)

// blockedBy is what a service looks like that cannot be bought.
func blockedBy(reason, message string) looks {
	return looks{
		conditions: fmt.Sprintf("Ready=False(%s) Stalled=True(%s)", reason, reason), message: message,
		kstatus: status.FailedStatus, requeue: poll, writes: tells,
	}
}

// bought is what a service looks like that waits for its publisher.
func bought(message string) looks {
	return looks{
		state: v1alpha1.StatePendingFulfillmentStart, conditions: isPending, message: message,
		kstatus: status.InProgressStatus, requeue: longestSleep, writes: buysAll, told: "Purchased",
	}
}

// The first pass over a purchase of a service, whatever is asked for.
func TestBuysAService(t *testing.T) {
	plan := func(i int, change func(*v1alpha1.Plan)) func(*market) {
		return func(m *market) {
			m.editProduct(func(p *v1alpha1.Product) { change(&p.Spec.SaaS.Plans[i]) })
		}
	}
	offeredTo := func(selector metav1.LabelSelector) func(*market) {
		return func(m *market) {
			m.editProduct(func(p *v1alpha1.Product) { p.Spec.Customers = &v1alpha1.Customers{NamespaceSelector: selector} })
		}
	}
	for name, tc := range map[string]struct {
		prepare func(*market)
		order   []wanting
		looks   looks
		level   string // plan, seats, price, cycle, cancellation and trial that were agreed
	}{
		"seats of a plan with prices of its own": {
			looks: bought("configure the account with the link in Secret sub-landing before "),
			level: "team 5 60.00 EUR Annual P3D Full",
		},
		"a flat plan at the product's price": {
			order: []wanting{planned("basic", 0)}, looks: bought("before"), level: "basic 0 100.00 EUR Annual P3D Full",
		},
		"the fewest seats when none are asked for": {
			order: []wanting{planned("pro", 0)}, looks: bought("Secret sub-landing"), level: "pro 5 120.00 EUR Annual P3D Full",
		},
		"the fewest seats that there are":           {order: []wanting{planned("team", 2)}, looks: bought(""), level: "team 2 60.00 EUR Annual P3D Full"},
		"the most seats that there are":             {order: []wanting{planned("team", 20)}, looks: bought(""), level: "team 20 60.00 EUR Annual P3D Full"},
		"a month, with its own cancellation policy": {order: []wanting{monthly}, looks: bought(""), level: "team 5 6.00 EUR Monthly P20D Prorated"},
		"a year that is charged by the month": {
			order: []wanting{func(s *v1alpha1.MarketplaceSubscriptionSpec) { s.BillingCycle = v1alpha1.BillingMonthly }},
			looks: bought(""), level: "team 5 60.00 EUR Monthly P3D Full",
		},
		"the only plan, which needs no name": {
			prepare: func(m *market) {
				m.editProduct(func(p *v1alpha1.Product) { p.Spec.SaaS.Plans = p.Spec.SaaS.Plans[:1] })
			},
			order: []wanting{planned("", 0)}, looks: bought(""), level: "basic 0 100.00 EUR Annual P3D Full",
		},
		"with a trial": {
			prepare: plan(1, func(p *v1alpha1.Plan) { p.Trial = "P30D" }), looks: bought(""), level: "team 5 60.00 EUR Annual P3D Full P30D",
		},
		"by a customer that the product is for": {
			prepare: offeredTo(metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "kubernetes.io/metadata.name", Operator: metav1.LabelSelectorOpExists}}}),
			looks:   bought(""), level: "team 5 60.00 EUR Annual P3D Full",
		},
		"a Secret of another name": {
			order: []wanting{func(s *v1alpha1.MarketplaceSubscriptionSpec) { s.SecretName = "way" }},
			looks: bought("Secret way"), level: "team 5 60.00 EUR Annual P3D Full",
		},
		"suspended from the start, which means nothing before the activation": {
			order: []wanting{suspended(true)}, looks: bought(""), level: "team 5 60.00 EUR Annual P3D Full",
		},
		"no product": {
			order: []wanting{func(s *v1alpha1.MarketplaceSubscriptionSpec) { s.ProductRef.Name = "nope" }},
			looks: blockedBy("ProductNotFound", "Product nope does not exist: create it"),
		},
		"a product that is software": {
			prepare: func(m *market) {
				p := newShop(m.t).product()
				p.Name = m.name + "-software"
				m.create(p)
			},
			order: []wanting{func(s *v1alpha1.MarketplaceSubscriptionSpec) { s.ProductRef.Name += "-software" }},
			looks: blockedBy("NotService", "is software: delete this subscription and buy a SoftwareSubscription"),
		},
		"a product that is for others": {
			prepare: offeredTo(metav1.LabelSelector{MatchLabels: map[string]string{"segment": "school"}}),
			looks:   blockedBy("NotOffered", "label the namespace as its spec.customers says"),
		},
		"a product with an invalid selector of customers": {
			prepare: offeredTo(metav1.LabelSelector{MatchLabels: map[string]string{"not a label": "-"}}),
			looks:   blockedBy("InvalidSelector", "namespaceSelector of Product"),
		},
		"no publisher": {
			prepare: func(m *market) { m.remove(&v1alpha1.Publisher{ObjectMeta: metav1.ObjectMeta{Name: m.name}}) },
			looks:   blockedBy("PublisherNotFound", "does not exist: create it, or name another one in spec.saas.publisherRef"),
		},
		"one of several plans, without a name": {
			prepare: plan(0, func(p *v1alpha1.Plan) { p.StopSell = true }), order: []wanting{planned("", 0)},
			looks: blockedBy("PlanRequired", "set spec.planID to one of team, pro"),
		},
		"a plan that there is not": {
			order: []wanting{planned("gold", 0)}, looks: blockedBy("PlanNotOffered", "has no plan gold to buy: set spec.planID to one of basic, team, pro"),
		},
		"a plan that is no longer sold": {
			prepare: plan(1, func(p *v1alpha1.Plan) { p.StopSell = true }),
			looks:   blockedBy("PlanNotOffered", "has no plan team to buy: set spec.planID to one of basic, pro"),
		},
		"a term that nothing is sold for": {
			order: []wanting{planned("basic", 0), func(s *v1alpha1.MarketplaceSubscriptionSpec) { s.Term = v1alpha1.TermThreeYears }},
			looks: blockedBy("TermNotSold", "plan basic of Product"),
		},
		"a term that the plan is not sold for, other than the product": {
			order: []wanting{planned("pro", 5), monthly}, looks: blockedBy("TermNotSold", "is not sold for term P1M, only for P1Y"),
		},
		"seats of a flat plan": {
			order: []wanting{planned("basic", 1)}, looks: blockedBy("QuantityNotOffered", "plan basic is not sold by the seat: leave spec.quantity out"),
		},
		"one seat fewer than there are": {
			order: []wanting{planned("team", 1)}, looks: blockedBy("QuantityNotOffered", "plan team is sold with 2 to 20 seats, not 1: change spec.quantity"),
		},
		"one seat more than there are": {
			order: []wanting{planned("team", 21)}, looks: blockedBy("QuantityNotOffered", "plan team is sold with 2 to 20 seats, not 21"),
		},
		"cancelled before it was bought": {
			order: []wanting{cancelled(true)},
			looks: looks{
				state: v1alpha1.StateUnsubscribed, conditions: "Cancelled=True(NothingIssued)", message: "cancelled before it was bought; nothing was charged",
				kstatus: status.CurrentStatus, writes: tells,
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMarket(t)
			if tc.prepare != nil {
				tc.prepare(m)
			}
			m.order("sub", tc.order...)
			at := m.clock.Now()
			sub := m.check("sub", tc.looks)
			all := m.entitlements("sub")
			if tc.level == "" {
				if len(all) > 0 || sub.Status.ID != "" || m.secret("sub-landing") != nil {
					t.Errorf("something was bought: %+v", all)
				}
				return
			}
			e := m.entitlement("sub")
			p := e.Spec.Purchase
			got := fmt.Sprintf("%s %d %s %s %s %s %s", p.PlanID, p.Quantity, p.UnitPrice.Amount, p.UnitPrice.Currency, p.BillingCycle, p.Cancellation.Window, p.Cancellation.Refund)
			if p.Trial != "" {
				got += " " + string(p.Trial)
			}
			if got != tc.level {
				t.Errorf("agreed on %s, want %s", got, tc.level)
			}
			if uuid.Validate(e.Spec.ID) != nil || sub.Status.ID != e.Spec.ID || !p.At.Time.Equal(at) || !sub.Status.PurchasedAt.Time.Equal(at) {
				t.Errorf("id %s at %v, status has %s at %v; bought at %v", e.Spec.ID, p.At, sub.Status.ID, sub.Status.PurchasedAt, at)
			}
			if b := sub.Status.Billing; b == nil || b.StartedAt != nil || sub.Status.Term != nil {
				t.Errorf("billed before the activation: %+v, term %+v", b, sub.Status.Term)
			}
		})
	}
}

// What is on record of a purchase is what the publisher needs.
func TestWhatIsOnRecordOfAService(t *testing.T) {
	m := newMarket(t)
	m.order("sub", func(s *v1alpha1.MarketplaceSubscriptionSpec) {
		s.FriendlyName, s.ResellerPartnerID, s.AutoRenew = "Reports", "4847383", ptr.To(false)
		s.Beneficiary, s.Purchaser = &v1alpha1.Person{Email: "ada@contoso.example"}, &v1alpha1.Person{Email: "buyer@partner.example"}
	})
	sub, _ := m.follow("sub")
	e := m.entitlement("sub")
	if e.Name != m.customer+".sub.1" || e.Labels[v1alpha1.LabelCustomer] != m.customer || e.Labels[v1alpha1.LabelPublisher] != m.name {
		t.Errorf("%s %v", e.Name, e.Labels)
	}
	s := e.Spec
	if s.Customer != m.customer || s.Subscription.Name != "sub" || s.Subscription.UID != sub.UID || s.ProductRef.Name != m.name || s.PublisherRef.Name != m.name || s.OfferID != "analytics" {
		t.Errorf("%+v", s)
	}
	if w := s.Subscriber; w.FriendlyName != "Reports" || w.AutoRenew || w.BillingCycle != v1alpha1.BillingAnnual || w.ResellerPartnerID != "4847383" ||
		w.Beneficiary.Email != "ada@contoso.example" || w.Purchaser.Email != "buyer@partner.example" {
		t.Errorf("subscriber %+v", w)
	}
	// What the customer says later of himself is put on record, and asks nothing.
	m.want("sub", func(s *v1alpha1.MarketplaceSubscriptionSpec) {
		s.FriendlyName, s.ResellerPartnerID, s.AutoRenew = "Figures", "", ptr.To(true)
		s.Beneficiary.Email = "grace@contoso.example"
	})
	m.check("sub", looks{
		state: v1alpha1.StatePendingFulfillmentStart, conditions: isPending, kstatus: status.InProgressStatus, requeue: longestSleep, writes: recordsTells,
	})
	if w := m.entitlement("sub").Spec.Subscriber; w.FriendlyName != "Figures" || !w.AutoRenew || w.ResellerPartnerID != "" || w.Beneficiary.Email != "grace@contoso.example" {
		t.Errorf("subscriber %+v", w)
	}
}

// Who could not buy does so as soon as the cause is gone.
func TestBuysOnceTheCauseIsGone(t *testing.T) {
	m := newMarket(t)
	m.order("sub", planned("team", 21))
	m.follow("sub")
	m.want("sub", planned("team", 20))
	m.check("sub", bought(""))
	m.editProduct(func(p *v1alpha1.Product) { p.Spec.SaaS.Plans[0].StopSell = true })
	m.order("other", planned("basic", 0))
	m.follow("other")
	m.editProduct(func(p *v1alpha1.Product) { p.Spec.SaaS.Plans[0].StopSell = false })
	m.check("other", bought(""))
}

// The connection breaks at each write of a purchase, before or after it was
// carried out. Whatever the point, one thing is bought, with one id.
func TestBuysOnceWhateverIsLost(t *testing.T) {
	for write := int32(1); write <= 4; write++ { // the third is an Event
		for _, after := range []bool{false, true} {
			for _, forgets := range []bool{false, true} {
				t.Run(fmt.Sprintf("write %d, answer lost %v, restarted %v", write, after, forgets), func(t *testing.T) {
					m := newMarket(t)
					m.order("sub")
					first := m.clock.Now()
					m.wire.breakAt, m.wire.after = write, after
					_, _, err := m.tryFollow("sub")
					if err == nil || strings.Contains(err.Error(), tokenMark) {
						t.Fatalf("the pass failed by %v", err)
					}
					var id string
					if all := m.entitlements("sub"); len(all) > 0 {
						id = all[0].Spec.ID
					} else if write > 1 || after {
						t.Fatal("not on record")
					}
					if forgets {
						m.restart()
					}
					m.later(time.Minute)
					sub, _ := m.follow("sub")
					e := m.entitlement("sub")
					if id != "" && (e.Spec.ID != id || !e.Spec.Purchase.At.Time.Equal(first)) {
						t.Errorf("id %s at %v, was %s at %v", e.Spec.ID, e.Spec.Purchase.At, id, first)
					}
					if conditions(sub) != isPending || sub.Status.ID != e.Spec.ID || m.landing("sub-landing") == "" {
						t.Errorf("%s, id %s of %s", conditions(sub), sub.Status.ID, e.Spec.ID)
					}
					m.still("sub")
				})
			}
		}
	}
}

// A pass that failed says so until the next one.
func TestTellsThatItTriesAgain(t *testing.T) {
	m := newMarket(t)
	m.order("sub")
	m.wire.breakAt = 1
	sub, _, err := m.tryFollow("sub")
	if err == nil || conditions(sub) != "Ready=False(Retrying) Reconciling=True(Retrying)" || kstatus(t, sub) != status.InProgressStatus {
		t.Errorf("%v: %s", err, conditions(sub))
	}
	m.check("sub", bought(""))
}

// Two operators at once, of which one has a cache that is late, buy one thing.
func TestTwoOperatorsBuyOnce(t *testing.T) {
	m := newMarket(t)
	m.order("sub")
	first, _ := m.follow("sub")
	m.restart()
	m.wire.lateEntitlements, m.wire.lateSecrets = true, true
	before := &v1alpha1.MarketplaceSubscription{ObjectMeta: first.ObjectMeta, Spec: first.Spec}
	m.wire.stale = before // as it was when it was new
	m.later(time.Second)
	if _, _, err := m.tryFollow("sub"); err != nil {
		t.Fatal(err)
	}
	m.wire.stale, m.wire.lateEntitlements, m.wire.lateSecrets = nil, false, false
	m.later(time.Second)
	sub, _ := m.follow("sub")
	if e := m.entitlement("sub"); e.Spec.ID != first.Status.ID || sub.Status.ID != first.Status.ID || !sub.Status.PurchasedAt.Equal(first.Status.PurchasedAt) {
		t.Errorf("id %s, was %s", sub.Status.ID, first.Status.ID)
	}
	if conditions(sub) != isPending {
		t.Errorf("%s", conditions(sub))
	}
	m.still("sub")
}

// What another operator buys shows in the cache in the middle of a pass: it is
// not bought again under another number.
func TestBoughtInTheMiddleOfAPass(t *testing.T) {
	for late := range 4 {
		m := newMarket(t)
		m.order("sub")
		first, _ := m.follow("sub")
		m.restart()
		m.wire.stale = &v1alpha1.MarketplaceSubscription{ObjectMeta: first.ObjectMeta, Spec: first.Spec}
		m.wire.lateLists = late
		if _, _, err := m.tryFollow("sub"); err != nil {
			t.Error(err)
		}
		if id := m.entitlement("sub").Spec.ID; id != first.Status.ID {
			t.Errorf("id %s, was %s", id, first.Status.ID)
		}
	}
}

// Two operators with many workers, of which one sees no entitlement of the other,
// buy each thing once.
func TestManyServicesTwoOperators(t *testing.T) {
	const buyers = 8
	m := newMarket(t)
	second := &market{shop: m.shop, office: m.office}
	first := *m.shop
	m.shop = &first
	second.start(m.clock.Now())
	second.wire.lateEntitlements = true
	for i := range buyers {
		m.order(fmt.Sprintf("sub-%d", i))
	}
	var wg sync.WaitGroup
	for w := range 6 {
		services := []*MarketplaceSubscriptionReconciler{m.services, second.services}[w%2]
		wg.Go(func() {
			for i := range buyers {
				_, _ = services.Reconcile(t.Context(), m.request(fmt.Sprintf("sub-%d", (i+3*w)%buyers))) // conflicts are part of it
			}
		})
	}
	wg.Wait()
	ids := map[string]bool{}
	for i := range buyers {
		name := fmt.Sprintf("sub-%d", i)
		sub, _ := m.follow(name)
		id, err := m.resolve(m.landing(name + "-landing"))
		if e := m.entitlement(name); err != nil || id != e.Spec.ID || sub.Status.ID != id || ids[id] {
			t.Errorf("%s: %s on record, %s in status, the link is for %s (%v)", name, e.Spec.ID, sub.Status.ID, id, err)
		}
		ids[id] = true
		m.still(name)
	}
}

// A cache that does not have the entitlement yet makes nobody forget it: status
// tells of it, or that pass that failed.
func TestLateCacheForgetsNoPurchase(t *testing.T) {
	t.Run("of which status tells", func(t *testing.T) {
		m := newMarket(t)
		sub := m.subscribed("sub")
		m.wire.lateEntitlements = true
		m.remove(m.product()) // so that it could not be bought again
		m.check("sub", runs(isSubscribed, "plan team with 5 seats, until", "", ""))
		if e := m.entitlement("sub"); e.Spec.ID != sub.Status.ID {
			t.Errorf("another id: %s", e.Spec.ID)
		}
	})
	t.Run("of which status does not tell yet", func(t *testing.T) {
		m := newMarket(t)
		m.order("sub")
		m.wire.breakAt = 4
		if _, _, err := m.tryFollow("sub"); err == nil || m.sub("sub").Status.ID != "" {
			t.Fatal("status was written")
		}
		m.wire.lateEntitlements = true
		at := m.want("sub", cancelled(true))
		m.clock.SetTime(at.Add(time.Second))
		sub, _ := m.follow("sub")
		if e := m.entitlement("sub").Spec; e.EndReason != v1alpha1.EndCancelled || conditions(sub) != "Activated=False(NeverActivated) Cancelled=True(NotBilled)" {
			t.Errorf("it goes on, although it was cancelled: %s, %s", e.EndReason, conditions(sub))
		}
	})
}

// A restore brings the subscription back without its status and with another
// UID, and the ledger with it. It finds what it bought, and buys nothing.
func TestRestoredService(t *testing.T) {
	for name, secret := range map[string]bool{"with its Secret": true, "without its Secret": false} {
		t.Run(name, func(t *testing.T) {
			m := newMarket(t)
			m.ago(10 * day)
			old := m.subscribed("sub")
			oldSecret := get(t, &corev1.Secret{}, m.customer, "sub-landing")
			e := m.entitlement("sub")
			m.remove(old)
			m.remove(oldSecret)
			m.remove(e)
			m.create(&v1alpha1.Entitlement{ObjectMeta: metav1.ObjectMeta{Name: e.Name, Labels: e.Labels}, Spec: e.Spec})
			m.create(&v1alpha1.MarketplaceSubscription{ObjectMeta: metav1.ObjectMeta{Namespace: m.customer, Name: "sub"}, Spec: old.Spec})
			writes := delivers + ", " + tells
			if secret {
				m.create(&corev1.Secret{
					ObjectMeta: metav1.ObjectMeta{Namespace: m.customer, Name: "sub-landing", Labels: oldSecret.Labels, OwnerReferences: oldSecret.OwnerReferences},
					Data:       oldSecret.Data,
				})
				writes = redelivers + ", " + tells
			}
			m.restart()
			m.later(5 * day)
			sub := m.check("sub", looks{
				state: v1alpha1.StateSubscribed, conditions: isSubscribed, message: "until", kstatus: status.CurrentStatus, requeue: longestSleep, writes: writes,
			})
			if sub.UID == old.UID || sub.Status.ID != old.Status.ID || !sub.Status.PurchasedAt.Equal(old.Status.PurchasedAt) ||
				!sub.Status.Billing.StartedAt.Equal(old.Status.Billing.StartedAt) || !sub.Status.Term.EndsAt.Equal(old.Status.Term.EndsAt) {
				t.Errorf("%+v\nwas %+v", sub.Status, old.Status)
			}
			if got := get(t, &corev1.Secret{}, m.customer, "sub-landing"); !metav1.IsControlledBy(got, sub) || len(got.OwnerReferences) != 1 {
				t.Errorf("the Secret belongs to %+v", got.OwnerReferences)
			}
			m.entitlement("sub")
		})
	}
}

// Under one name two products can be bought, one after the other. What was
// bought first has ended then.
func TestBuysAnotherProductUnderTheSameName(t *testing.T) {
	m := newMarket(t)
	other := m.product()
	other.Name += "-other"
	m.create(other)
	first := m.subscribed("sub")
	m.remove(first)
	second := m.order("sub", func(s *v1alpha1.MarketplaceSubscriptionSpec) { s.ProductRef.Name = other.Name })
	m.remove(get(t, &corev1.Secret{}, m.customer, "sub-landing")) // as the garbage collector does
	gone := m.clock.Now()
	sub, _ := m.follow("sub")
	all := m.entitlements("sub")
	if len(all) != 2 || all[1].Name != m.customer+".sub.2" || all[1].Spec.ProductRef.Name != other.Name || all[1].Spec.Subscription.UID != second.UID {
		t.Fatalf("%d entitlements, the last %+v", len(all), all[len(all)-1])
	}
	if sub.Status.ID != all[1].Spec.ID || sub.Status.ID == first.Status.ID || conditions(sub) != isPending {
		t.Errorf("%s, id %s", conditions(sub), sub.Status.ID)
	}
	m.still("sub")
	m.later(day)
	m.follow("sub")
	if e := m.entitlements("sub")[0].Spec; e.EndReason != v1alpha1.EndDeleted || !e.EndedAt.Time.Equal(gone) {
		t.Errorf("the first one goes on for ever: %s at %v, orphaned at %v", e.EndReason, e.EndedAt, e.OrphanedAt)
	}
	m.still("sub")
	if len(m.entitlements("sub")) != 2 {
		t.Error("bought again")
	}
}

// With a cache that is late, too, another product is not taken for the one that
// was bought before.
func TestLateCacheAndAnotherProduct(t *testing.T) {
	m := newMarket(t)
	other := m.product()
	other.Name += "-other"
	m.create(other)
	m.remove(m.subscribed("sub"))
	m.order("sub", func(s *v1alpha1.MarketplaceSubscriptionSpec) { s.ProductRef.Name = other.Name })
	m.remove(get(t, &corev1.Secret{}, m.customer, "sub-landing"))
	m.restart()
	m.wire.lateEntitlements = true
	if sub, _, err := m.tryFollow("sub"); err == nil || reasonOf(sub, v1alpha1.ConditionReconciling) != v1alpha1.ReasonRetrying || len(m.entitlements("sub")) != 1 {
		t.Errorf("%v: %s", err, conditions(sub))
	}
	m.wire.lateEntitlements = false
	if sub, _ := m.follow("sub"); conditions(sub) != isPending || len(m.entitlements("sub")) != 2 {
		t.Errorf("%s", conditions(sub))
	}
}

// A trial of a product is had once, whatever it is called.
func TestOneTrial(t *testing.T) {
	m := newMarket(t)
	m.editProduct(func(p *v1alpha1.Product) {
		p.Spec.SaaS.Plans[0].Trial, p.Spec.SaaS.Plans[1].Trial = "P14D", "P30D"
	})
	m.order("first", cancelled(false))
	m.follow("first")
	m.activate("first")
	m.want("first", cancelled(true))
	m.later(time.Minute)
	m.follow("first")
	m.order("second", planned("basic", 0))
	m.follow("second")
	if first, second := m.entitlement("first").Spec.Purchase.Trial, m.entitlement("second").Spec.Purchase.Trial; first != "P30D" || second != "" {
		t.Errorf("trials %q and %q", first, second)
	}
	other := newMarket(t)
	other.editProduct(func(p *v1alpha1.Product) { p.Spec.SaaS.Plans[1].Trial = "P30D" })
	other.order("sub")
	if other.follow("sub"); other.entitlement("sub").Spec.Purchase.Trial != "P30D" {
		t.Error("another customer has none")
	}
}

// Once it was bought neither the product nor the publisher needs to be there.
func TestOutlivesItsProductAndPublisher(t *testing.T) {
	m := newMarket(t)
	m.order("sub")
	m.follow("sub")
	m.remove(m.product())
	m.remove(&v1alpha1.Publisher{ObjectMeta: metav1.ObjectMeta{Name: m.name}})
	m.restart()
	m.check("sub", looks{
		state: v1alpha1.StatePendingFulfillmentStart, conditions: isPending, message: "configure the account with the link in Secret sub-landing",
		kstatus: status.InProgressStatus, requeue: longestSleep, writes: tells,
	})
	m.activate("sub")
	sub := m.check("sub", looks{state: v1alpha1.StateSubscribed, conditions: isSubscribed, kstatus: status.CurrentStatus, requeue: longestSleep, writes: tells, told: "Activated"})
	if c := sub.Status.Publisher; c == nil || c.DisplayName != "Analytics Inc." {
		t.Errorf("forgot whom to turn to: %+v", c)
	}
	// Then nothing can be changed, which says so, and it renews.
	m.want("sub", planned("team", 7))
	m.check("sub", looks{
		state: v1alpha1.StateSubscribed, conditions: cannotBe("QuantityNotOffered"),
		message: "plan team is no longer in the catalogue, so its seats stay as they are: leave spec.quantity out", kstatus: status.CurrentStatus, requeue: longestSleep, writes: tells,
	})
	m.want("sub", planned("basic", 5))
	m.check("sub", looks{
		state: v1alpha1.StateSubscribed, conditions: cannotBe("PlanNotOffered"),
		message: "plan basic is not offered: set spec.planID back to team", kstatus: status.CurrentStatus, requeue: longestSleep, writes: tells,
	})
	m.clock.SetTime(sub.Status.Term.EndsAt.Time)
	m.follow("sub")
	if m.operations("sub") != string(terms.Renew)+"=Succeeded" {
		t.Errorf("%s", m.operations("sub"))
	}
}
