package controllers

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/terms"
)

// inSync replaces the reason of InSync in some conditions.
func inSync(conditions, reason string) string {
	return strings.Replace(conditions, "InSync=True(InSync)", "InSync=False("+reason+")", 1)
}

// cannotBe are the conditions of a service of which something is wanted that
// never comes true by itself.
func cannotBe(reason string) string {
	return strings.Replace(inSync(isSubscribed, reason), "ActionRequired=False(None)", "ActionRequired=True(ChangeImpossible)", 1)
}

// Billing starts with the activation, and not a second before, whenever that is
// seen.
func TestActivation(t *testing.T) {
	for name, tc := range map[string]struct {
		trial v1alpha1.Duration
		end   func(time.Time) time.Time // of what runs first
		next  string
	}{
		"of a year":  {end: func(at time.Time) time.Time { return at.AddDate(1, 0, 0) }, next: "WindowCloses"},
		"of a trial": {trial: "P30D", end: func(at time.Time) time.Time { return at.Add(30 * day) }, next: "TrialEnds"},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMarket(t)
			m.editProduct(func(p *v1alpha1.Product) { p.Spec.SaaS.Plans[1].Trial = tc.trial })
			m.order("sub")
			m.follow("sub")
			link := m.landing("sub-landing")
			m.later(47 * time.Hour)
			m.activate("sub")
			at := m.clock.Now()
			m.later(time.Hour)
			sub := m.check("sub", runs(isSubscribed, "plan team with 5 seats, until "+stamp(tc.end(at)), tells, "Activated"))
			st := sub.Status
			if !st.Billing.StartedAt.Time.Equal(at) || !st.Term.StartsAt.Time.Equal(at) || !st.Term.EndsAt.Time.Equal(tc.end(at)) {
				t.Errorf("activated at %v: billed from %v, term %v to %v", at, st.Billing.StartedAt, st.Term.StartsAt, st.Term.EndsAt)
			}
			if (st.Trial != nil) != (tc.trial != "") || st.Next == nil || st.Next.Event != tc.next {
				t.Errorf("trial %+v, next %+v", st.Trial, st.Next)
			}
			if m.landing("sub-landing") != link {
				t.Error("there is another link, although the customer asked for none")
			}
		})
	}
}

// A purchase that is not activated lapses after 30 days.
func TestLapses(t *testing.T) {
	m := newMarket(t)
	m.order("sub")
	m.follow("sub")
	at := m.clock.Now()
	m.clock.SetTime(at.Add(30*day - 2*time.Second))
	m.check("sub", looks{
		state: v1alpha1.StatePendingFulfillmentStart, conditions: isPending, message: "configure the account with the link in Secret sub-landing before " + stamp(at.Add(30*day)),
		kstatus: status.InProgressStatus, requeue: 2 * time.Second, writes: redelivers + ", " + tells, told: "ActivationLapsing",
	}) // and again one second before
	m.clock.SetTime(at.Add(30 * day))
	sub := m.check("sub", isEnded("Activated=False(NeverActivated)", "lapsed at "+stamp(at.Add(30*day)), records+", "+withdraws+", "+tells, "Unsubscribed"))
	if e := m.entitlement("sub").Spec; e.EndReason != v1alpha1.EndNotActivated || !e.EndedAt.Time.Equal(at.Add(30*day)) || !sub.Status.EndedAt.Equal(e.EndedAt) {
		t.Errorf("%s at %v", e.EndReason, e.EndedAt)
	}
	if m.landing("sub-landing") != "" || sub.Status.LandingPage != nil || sub.Status.Next != nil {
		t.Errorf("the link is still there: %+v", sub.Status.LandingPage)
	}
	if got := m.operations("sub"); got != "Unsubscribe=Succeeded" {
		t.Errorf("operations %s", got)
	}
}

// Whatever a customer wants changed, the publisher is asked, and what holds
// follows when it has accepted.
func TestChangesAService(t *testing.T) {
	accept := func(m *market) { m.deliver("sub", ""); m.answer("sub", true, "") }
	for name, tc := range map[string]struct {
		order, wish wanting
		prepare     func(*market)
		asks        string // what is asked for
		answer      func(*market)
		level       string // then
		operations  string
	}{
		"more seats, which the publisher accepts": {
			wish: planned("team", 20), asks: "plan team with 20 seats is asked for", answer: accept, level: "team 20 60.00", operations: "ChangeQuantity=Succeeded",
		},
		"fewer seats": {
			wish: planned("team", 2), asks: "plan team with 2 seats", answer: accept, level: "team 2 60.00", operations: "ChangeQuantity=Succeeded",
		},
		"another plan with the same seats, at its price": {
			wish: planned("pro", 5), asks: "plan pro with 5 seats", answer: accept, level: "pro 5 120.00", operations: "ChangePlan=Succeeded",
		},
		"a flat plan, which leaves the seats behind": {
			wish: planned("basic", 0), asks: "plan basic is asked for", answer: accept, level: "basic 0 100.00", operations: "ChangePlan=Succeeded",
		},
		"a plan with seats, from a flat one": {
			order: planned("basic", 0), wish: planned("pro", 7), asks: "plan pro with 7 seats", answer: accept, level: "pro 7 120.00", operations: "ChangePlan=Succeeded",
		},
		"a plan with seats, from a flat one, without a number": {
			order: planned("basic", 0), wish: planned("pro", 0), asks: "plan pro with 5 seats", answer: accept, level: "pro 5 120.00", operations: "ChangePlan=Succeeded",
		},
		"the present plan, which went up in price since": {
			prepare: func(m *market) {
				m.editProduct(func(p *v1alpha1.Product) { p.Spec.SaaS.Plans[1].Terms[0].Price.Amount = "99.00" })
			},
			wish: planned("team", 6), asks: "plan team with 6 seats", answer: accept, level: "team 6 60.00", operations: "ChangeQuantity=Succeeded",
		},
		"seats of a plan that is no longer sold to others": {
			prepare: func(m *market) {
				m.editProduct(func(p *v1alpha1.Product) { p.Spec.SaaS.Plans[1].StopSell = true })
			},
			wish: planned("team", 6), asks: "plan team with 6 seats", answer: accept, level: "team 6 60.00", operations: "ChangeQuantity=Succeeded",
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMarket(t)
			if tc.order == nil {
				tc.order = planned("team", 5)
			}
			m.subscribed("sub", tc.order)
			if tc.prepare != nil {
				tc.prepare(m)
			}
			before := m.sub("sub").Status
			m.want("sub", tc.wish)
			sub := m.check("sub", runs(isChanging, tc.asks, recordsTells, ""))
			if sub.Status.PlanID != before.PlanID || sub.Status.Quantity != before.Quantity {
				t.Errorf("it has %s %d before the publisher accepted", sub.Status.PlanID, sub.Status.Quantity)
			}
			m.later(time.Minute)
			tc.answer(m)
			sub = m.check("sub", runs(isSubscribed, "until", tells, "Changed"))
			l := m.entitlement("sub").Spec.Changes[0]
			if got := level(l.ServiceLevel); got != tc.level || sub.Status.PlanID != l.PlanID || sub.Status.Quantity != l.Quantity || len(m.entitlement("sub").Spec.Changes) != 1 {
				t.Errorf("it has %s, want %s; status %s %d", got, tc.level, sub.Status.PlanID, sub.Status.Quantity)
			}
			if got := m.operations("sub"); got != tc.operations {
				t.Errorf("operations %s, want %s", got, tc.operations)
			}
		})
	}
}

func level(l v1alpha1.ServiceLevel) string {
	return fmt.Sprintf("%s %d %s", l.PlanID, l.Quantity, l.UnitPrice.Amount)
}

// A change that the publisher's webhook took is accepted after 10 seconds, at
// that instant, whenever it is seen.
func TestAcceptedWithoutAnAnswer(t *testing.T) {
	m := newMarket(t)
	m.subscribed("sub")
	m.want("sub", planned("team", 8))
	if sub, _ := m.follow("sub"); sub.Status.Operations[0].Message != "the publisher is being told" {
		t.Errorf("operation %+v", sub.Status.Operations[0])
	}
	m.later(time.Hour)
	m.deliver("sub", "")
	delivered := m.clock.Now()
	m.later(8 * time.Second)
	looks := runs(isChanging, "waiting for the publisher", tells, "")
	looks.requeue = 2 * time.Second
	if sub := m.check("sub", looks); sub.Status.Operations[0].Message != "waiting for the publisher's answer" || sub.Status.Quantity != 5 {
		t.Errorf("%d seats, operation %+v", sub.Status.Quantity, sub.Status.Operations[0])
	} // and again one second before
	m.clock.SetTime(delivered.Add(10 * time.Second))
	m.check("sub", runs(isSubscribed, "plan team with 8 seats", recordsTells, "Changed"))
	// The next one is seen late.
	m.want("sub", planned("team", 9))
	m.follow("sub")
	m.deliver("sub", "")
	delivered2 := m.clock.Now()
	m.later(time.Hour)
	m.check("sub", runs(isSubscribed, "plan team with 9 seats", recordsTells, "Changed"))
	c := m.entitlement("sub").Spec.Changes
	if !c[0].At.Time.Equal(delivered.Add(10*time.Second)) || !c[1].At.Time.Equal(delivered2.Add(10*time.Second)) {
		t.Errorf("changed at %v and %v, 10 s after %v and %v", c[0].At, c[1].At, delivered, delivered2)
	}
}

// A refusal is final until the customer wants something else in between. It is
// never asked for again by itself, whatever else is edited.
func TestRefusedByThePublisher(t *testing.T) {
	for name, tc := range map[string]struct {
		refuse func(*market)
		why    string
	}{
		"by an answer":   {func(m *market) { m.deliver("sub", ""); m.answer("sub", false, "pay first") }, "pay first"},
		"by the webhook": {func(m *market) { m.deliver("sub", "the webhook answered 400") }, "the webhook answered 400"},
		"by a webhook that never took it": {func(m *market) {
			m.later(8 * time.Hour)
			m.publisher("sub", func(f *terms.Entitlement) { f.GiveUp(f.Operations[f.Pending()].ID, m.clock.Now()) })
		}, "the publisher's webhook did not take it"},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMarket(t)
			m.ago(day) // so that it is refused before the wish comes up again, by the API server's clock
			m.editPublisher(func(p *v1alpha1.Publisher) { p.Spec.Support = "help@analytics.example" })
			m.subscribed("sub")
			m.want("sub", planned("team", 8))
			m.follow("sub")
			tc.refuse(m)
			m.check("sub", runs(isRefused, "plan team with 8 seats was refused: "+tc.why+". Ask Analytics Inc. at help@analytics.example; or go on with plan team with 5 seats", tells, "")) // no news, because the object was made since
			m.restart()
			m.later(time.Hour)
			m.still("sub")
			// Something else is edited, and on record, and asks nothing.
			m.want("sub", func(s *v1alpha1.MarketplaceSubscriptionSpec) { s.FriendlyName = "Figures" })
			m.check("sub", runs(isRefused, "was refused", recordsTells, ""))
			if got := m.operations("sub"); got != "ChangeQuantity=Failed" {
				t.Errorf("asked for again: %s", got)
			}
			// The wish is taken back, and comes up again.
			m.want("sub", planned("team", 5))
			m.check("sub", runs(isSubscribed, "plan team with 5 seats", tells, ""))
			m.want("sub", planned("team", 8))
			m.check("sub", runs(isChanging, "is asked for", recordsTells, ""))
			if got := m.operations("sub"); got != "ChangeQuantity=Failed ChangeQuantity=InProgress" {
				t.Errorf("not asked for again: %s", got)
			}
		})
	}
}

// A refusal tells the publisher's site if there is no address for help, and
// nothing but the publisher if that is gone.
func TestWhereARefusalLeads(t *testing.T) {
	m := newMarket(t)
	m.subscribed("sub")
	m.want("sub", planned("pro", 5))
	m.follow("sub")
	m.deliver("sub", "the webhook answered 403")
	m.check("sub", runs(isRefused, "plan pro with 5 seats was refused: the webhook answered 403. Ask Analytics Inc. at https://analytics.example/landing?offer=a%20b; or go on", tells, "ChangeRefused"))
	m.remove(&v1alpha1.Publisher{ObjectMeta: metav1.ObjectMeta{Name: m.name}})
	m.check("sub", runs(isRefused, "Ask the publisher; or go on with plan team with 5 seats", tells, ""))
	// Something else that is wanted is asked for, and what was refused after it.
	m.want("sub", planned("team", 6))
	m.check("sub", runs(isChanging, "plan team with 6 seats", recordsTells, ""))
	m.answer("sub", false, "no")
	m.follow("sub")
	m.want("sub", planned("pro", 5))
	m.check("sub", runs(isChanging, "plan pro with 5 seats", recordsTells, ""))
}

// The plan and the quantity are asked for at once, so that nobody pays for the
// one with the other.
func TestChangesPlanAndQuantity(t *testing.T) {
	for name, tc := range map[string]struct{ order, wish wanting }{
		"more":                               {planned("team", 5), planned("pro", 50)},
		"from seats that the plan has not":   {planned("team", 2), planned("pro", 20)},
		"to seats that the old plan has not": {planned("team", 5), planned("pro", 90)},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMarket(t)
			m.subscribed("sub", tc.order)
			m.want("sub", tc.wish)
			m.check("sub", runs(isChanging, "plan pro with", recordsTells, ""))
			m.answer("sub", true, "")
			sub := m.check("sub", runs(isSubscribed, "plan pro with", tells, "Changed"))
			if got := m.operations("sub"); got != "ChangePlan=Succeeded" || sub.Status.PlanID != sub.Spec.PlanID || sub.Status.Quantity != sub.Spec.Quantity {
				t.Errorf("%s: %s %d", got, sub.Status.PlanID, sub.Status.Quantity)
			}
		})
	}
}

// What cannot be asked for says why, and what to do.
func TestCannotBeChanged(t *testing.T) {
	for name, tc := range map[string]struct {
		prepare        func(*market)
		order, wish    wanting
		reason, advice string
	}{
		"to a plan that there is not": {wish: planned("gold", 5), reason: "PlanNotOffered", advice: "plan gold is not offered: set spec.planID back to team"},
		"to a plan that is no longer sold": {
			prepare: func(m *market) {
				m.editProduct(func(p *v1alpha1.Product) { p.Spec.SaaS.Plans[2].StopSell = true })
			},
			wish: planned("pro", 5), reason: "PlanNotOffered", advice: "plan pro is not offered",
		},
		"to a plan that is not sold for the term": {
			order: monthly, wish: planned("pro", 5), reason: "PlanNotOffered", advice: "plan pro is not sold for term P1M: set spec.planID back to team",
		},
		"to a plan in another currency": {
			prepare: func(m *market) {
				m.editProduct(func(p *v1alpha1.Product) {
					for i := range p.Spec.Terms {
						p.Spec.Terms[i].Price.Currency = "USD"
					}
					for i := range p.Spec.SaaS.Plans {
						for j := range p.Spec.SaaS.Plans[i].Terms {
							p.Spec.SaaS.Plans[i].Terms[j].Price.Currency = "USD"
						}
					}
				})
			},
			wish: planned("pro", 5), reason: "PlanNotOffered", advice: "plan pro is sold in USD, and this subscription was bought in EUR",
		},
		"to a plan without room for the present seats": {
			order: planned("team", 2), wish: planned("pro", 2), reason: "QuantityNotOffered", advice: "plan pro is sold with 5 to 100 seats, not 2: change spec.quantity",
		},
		"to fewer seats than there are": {wish: planned("team", 1), reason: "QuantityNotOffered", advice: "plan team is sold with 2 to 20 seats, not 1"},
		"to more seats than there are":  {wish: planned("team", 21), reason: "QuantityNotOffered", advice: "plan team is sold with 2 to 20 seats, not 21"},
		"to seats of a flat plan": {
			order: planned("basic", 0), wish: planned("basic", 3), reason: "QuantityNotOffered", advice: "plan basic is not sold by the seat: leave spec.quantity out",
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMarket(t)
			if tc.order == nil {
				tc.order = planned("team", 5)
			}
			m.subscribed("sub", tc.order)
			if tc.prepare != nil {
				tc.prepare(m)
			}
			before := m.sub("sub").Spec
			m.want("sub", tc.wish)
			m.check("sub", runs(cannotBe(tc.reason), tc.advice, tells, ""))
			if m.operations("sub") != "" {
				t.Errorf("asked for %s", m.operations("sub"))
			}
			m.want("sub", planned(before.PlanID, before.Quantity))
			m.check("sub", runs(isSubscribed, "until", tells, ""))
		})
	}
}

// Plan and quantity can be left out later, which leaves them as they are.
func TestLeavesOutPlanAndQuantity(t *testing.T) {
	m := newMarket(t)
	m.subscribed("sub")
	m.want("sub", planned("", 0))
	m.check("sub", runs(isSubscribed, "plan team with 5 seats", tells, "")) // the generation that was observed
	// So the publisher may change them.
	m.publisher("sub", func(f *terms.Entitlement) {
		to := f.Level()
		to.Quantity = 11
		f.Request(terms.ChangeQuantity, to, m.clock.Now())
		f.Operations[0].ByPublisher = true
	})
	m.check("sub", runs(isChanging, "plan team with 11 seats is asked for", tells, ""))
	m.deliver("sub", "")
	m.later(10 * time.Second)
	m.check("sub", runs(isSubscribed, "plan team with 11 seats", recordsTells, "Changed"))
}

// A service that does not run cannot be changed. The wish is kept for later.
func TestChangesOnlyWhileItRuns(t *testing.T) {
	m := newMarket(t)
	m.order("sub")
	m.follow("sub")
	m.want("sub", planned("team", 8))
	m.check("sub", looks{
		state: v1alpha1.StatePendingFulfillmentStart, conditions: inSync(isPending, "NotSubscribed"), message: "configure the account",
		kstatus: status.InProgressStatus, requeue: longestSleep, writes: tells,
	})
	if c := reasonMessage(m.sub("sub"), v1alpha1.ConditionInSync); !strings.Contains(c, "only while the service runs, and it is PendingFulfillmentStart: it has plan team with 5 seats") {
		t.Errorf("says %q", c)
	}
	m.activate("sub")
	m.check("sub", runs(isChanging, "plan team with 8 seats", recordsTells, "Activated"))
	m.answer("sub", true, "")
	m.follow("sub")
	m.clock.SetTime(time.Now().UTC().Truncate(time.Second).Add(time.Hour))
	m.want("sub", suspended(true))
	m.follow("sub")
	m.want("sub", planned("team", 9))
	m.check("sub", looks{
		state: v1alpha1.StateSuspended, conditions: inSync(isSuspended, "NotSubscribed"), message: "suspended: pay for the service",
		kstatus: status.FailedStatus, requeue: longestSleep, writes: tells,
	})
}

// A webhook that does not take an operation shows, and does not stop it.
func TestWebhookFails(t *testing.T) {
	m := newMarket(t)
	m.subscribed("sub")
	m.want("sub", planned("team", 8))
	m.follow("sub")
	m.publisher("sub", func(f *terms.Entitlement) { f.Operations[0].Failing = "it answered 503" })
	sub := m.check("sub", runs(inSync(isSubscribed, "WebhookFailing"), "plan team with 8 seats is asked for, but the publisher cannot be told: it answered 503. It is tried for 8 hours", tells, ""))
	if got := sub.Status.Operations[0].Message; got != "the publisher cannot be told: it answered 503" {
		t.Errorf("operation says %q", got)
	}
	m.publisher("sub", func(f *terms.Entitlement) { f.Operations[0].Failing = "" })
	m.deliver("sub", "")
	m.later(10 * time.Second)
	m.check("sub", runs(isSubscribed, "plan team with 8 seats", recordsTells, "Changed"))
}

// The record holds so many changes. The publisher is not asked for more, and the
// billing cycle can still follow a renewal.
func TestTooManyChanges(t *testing.T) {
	m := newMarket(t)
	sub := m.subscribed("sub")
	m.publisher("sub", func(f *terms.Entitlement) {
		for i := range terms.MaxChanges {
			f.Changes = append(f.Changes, terms.LevelChange{At: m.clock.Now().Add(time.Duration(i+1) * time.Second), Level: f.Level()})
		}
	})
	m.later(time.Hour)
	m.want("sub", func(s *v1alpha1.MarketplaceSubscriptionSpec) {
		s.Quantity, s.BillingCycle = 6, v1alpha1.BillingMonthly
	})
	m.check("sub", runs(cannotBe("TooManyChanges"), "it was changed 450 times already: buy another subscription", recordsTells, ""))
	m.clock.SetTime(sub.Status.Term.EndsAt.Time)
	if sub, _ := m.follow("sub"); sub.Status.Billing.Cycle != v1alpha1.BillingMonthly {
		t.Errorf("the billing cycle does not follow: %+v", sub.Status.Billing)
	}
}

// Renewals come when terms end, one by one, and bring the billing cycle that is
// wanted.
func TestRenews(t *testing.T) {
	m := newMarket(t)
	sub := m.subscribed("sub")
	first := sub.Status.Term
	m.later(100 * day)
	m.want("sub", func(s *v1alpha1.MarketplaceSubscriptionSpec) { s.BillingCycle = v1alpha1.BillingMonthly })
	if sub := m.check("sub", runs(isSubscribed, "until", recordsTells, "")); sub.Status.Billing.Cycle != v1alpha1.BillingAnnual || sub.Status.Next.Event != "Renews" {
		t.Errorf("billing %+v, next %+v", sub.Status.Billing, sub.Status.Next)
	}
	m.clock.SetTime(first.EndsAt.Add(-2 * time.Second))
	looks := runs(isSubscribed, "until "+stamp(first.EndsAt.Time), tells, "TermEnding") // which is noticed
	looks.requeue = 2 * time.Second
	m.check("sub", looks) // and again one second before
	m.clock.SetTime(first.EndsAt.Time)
	sub = m.check("sub", runs(isSubscribed, "until "+stamp(first.EndsAt.AddDate(1, 0, 0)), recordsTells, "Renewed"))
	e := m.entitlement("sub").Spec
	if st := sub.Status; !st.Term.StartsAt.Equal(first.EndsAt) || st.Billing.Cycle != v1alpha1.BillingMonthly || !e.RenewedUntil.Equal(first.EndsAt) || !st.Billing.StartedAt.Equal(&first.StartsAt) {
		t.Errorf("term %+v, billing %+v, renewed until %v", st.Term, st.Billing, e.RenewedUntil)
	}
	if op := e.Operations[0]; m.operations("sub") != "Renew=Succeeded" || !op.RequestedAt.Equal(first.EndsAt) || op.DeliveredAt != nil {
		t.Errorf("operations %s: %+v", m.operations("sub"), op)
	}
	if c := e.Changes; len(c) != 1 || !c[0].At.Equal(first.EndsAt) || c[0].BillingCycle != v1alpha1.BillingMonthly {
		t.Errorf("changes %+v", c)
	}
	// A long outage: each term was one.
	m.clock.SetTime(first.EndsAt.AddDate(3, 0, 1))
	m.follow("sub")
	if got := m.operations("sub"); got != strings.TrimSpace(strings.Repeat("Renew=Succeeded ", 4)) {
		t.Errorf("operations %s", got)
	}
	m.still("sub")
}

// Without renewal the service ends with its term, or its trial.
func TestDoesNotRenew(t *testing.T) {
	for name, trial := range map[string]v1alpha1.Duration{"a term": "", "a trial": "P30D"} {
		t.Run(name, func(t *testing.T) {
			m := newMarket(t)
			m.editProduct(func(p *v1alpha1.Product) { p.Spec.SaaS.Plans[1].Trial = trial })
			sub := m.subscribed("sub")
			over := sub.Status.Term.EndsAt.Time
			m.later(4 * day)
			m.want("sub", renewing(false))
			if sub = m.check("sub", runs(isSubscribed, "until", recordsTells, "")); sub.Status.Next.Event != "Expires" {
				t.Errorf("next %+v", sub.Status.Next)
			}
			m.want("sub", renewing(true))
			if sub = m.check("sub", runs(isSubscribed, "until", recordsTells, "")); sub.Status.Next.Event == "Expires" {
				t.Errorf("next %+v", sub.Status.Next)
			}
			m.want("sub", renewing(false))
			m.follow("sub")
			m.clock.SetTime(over.Add(time.Hour)) // seen late
			sub = m.check("sub", isEnded("Activated=True(Activated)", "ended with its term at "+stamp(over), records+", "+withdraws+", "+tells, "Unsubscribed"))
			if e := m.entitlement("sub").Spec; e.EndReason != v1alpha1.EndExpired || !e.EndedAt.Time.Equal(over) || m.operations("sub") != "Unsubscribe=Succeeded" {
				t.Errorf("%s at %v, want %v; %s", e.EndReason, e.EndedAt, over, m.operations("sub"))
			}
			if sub.Status.Trial != nil {
				t.Errorf("trial %+v", sub.Status.Trial)
			}
		})
	}
}

// Suspending counts from when the API server took it.
func TestSuspends(t *testing.T) {
	m := newMarket(t)
	m.ago(10 * day)
	m.subscribed("sub")
	at := m.want("sub", suspended(true))
	m.clock.SetTime(at.Add(3 * time.Hour))
	sub := m.check("sub", looks{
		state: v1alpha1.StateSuspended, conditions: isSuspended,
		message: "suspended: pay for the service, and then set spec.suspended to false, before " + stamp(at.Add(30*day)),
		kstatus: status.FailedStatus, requeue: longestSleep, writes: recordsTells, told: "Suspended",
	})
	if e := m.entitlement("sub").Spec; !e.SuspendedAt.Time.Equal(at) || m.operations("sub") != "Suspend=Succeeded" {
		t.Errorf("suspended at %v, want %v; %s", e.SuspendedAt, at, m.operations("sub"))
	}
	if sub.Status.Next.Event != "Ends" || !sub.Status.Next.At.Time.Equal(at.Add(30*day)) {
		t.Errorf("next %+v", sub.Status.Next)
	}
	// Paid, and refused.
	m.want("sub", suspended(false))
	m.check("sub", looks{
		state: v1alpha1.StateSuspended, conditions: isReturning, message: "reinstating the service is asked for: waiting for the publisher",
		kstatus: status.InProgressStatus, requeue: longestSleep, writes: recordsTells,
	})
	m.deliver("sub", "the webhook answered 409")
	m.check("sub", looks{
		state: v1alpha1.StateSuspended, conditions: isUnpaid, message: "set spec.suspended to true and to false again to ask once more, before " + stamp(at.Add(30*day)), kstatus: status.FailedStatus,
		requeue: longestSleep, writes: tells, told: "ChangeRefused",
	})
	if got := reasonMessage(m.sub("sub"), v1alpha1.ConditionInSync); !strings.Contains(got, "reinstating the service was refused: the webhook answered 409. Ask Analytics Inc.") {
		t.Errorf("says %q", got)
	}
	// Asked again, and accepted without an answer.
	m.want("sub", suspended(true))
	m.follow("sub")
	m.want("sub", suspended(false))
	m.follow("sub")
	m.deliver("sub", "")
	m.later(10 * time.Second)
	m.check("sub", runs(isSubscribed, "plan team with 5 seats", recordsTells, "Reinstated"))
	if got := m.operations("sub"); got != "Suspend=Succeeded Reinstate=Failed Reinstate=Succeeded" || m.entitlement("sub").Spec.SuspendedAt != nil {
		t.Errorf("operations %s", got)
	}
}

// After 30 days a suspended service ends, at that instant.
func TestEndsSuspended(t *testing.T) {
	m := newMarket(t)
	m.ago(10 * day)
	m.subscribed("sub")
	at := m.want("sub", suspended(true))
	m.follow("sub")
	m.clock.SetTime(at.Add(30*day - 2*time.Second))
	m.check("sub", looks{
		state: v1alpha1.StateSuspended, conditions: isSuspended, message: "before", kstatus: status.FailedStatus,
		requeue: 2 * time.Second, writes: tells, told: "SuspensionEnding",
	})
	m.clock.SetTime(at.Add(30 * day))
	m.check("sub", isEnded("Activated=True(Activated)", "after 30 days of suspension", records+", "+withdraws+", "+tells, "Unsubscribed"))
	if e := m.entitlement("sub").Spec; e.EndReason != v1alpha1.EndNotPaid || !e.EndedAt.Time.Equal(at.Add(30*day)) {
		t.Errorf("%s at %v", e.EndReason, e.EndedAt)
	}
}

// What was to be suspended before it was activated is suspended from the
// activation on: the customer had nothing to pay for before.
func TestSuspendedFromTheStart(t *testing.T) {
	m := newMarket(t)
	m.order("sub", suspended(true))
	m.follow("sub")
	m.later(20 * day)
	m.activate("sub")
	at := m.clock.Now()
	m.later(time.Minute)
	m.check("sub", looks{
		state: v1alpha1.StateSuspended, conditions: isSuspended, message: "before " + stamp(at.Add(30*day)), kstatus: status.FailedStatus,
		requeue: longestSleep, writes: recordsTells, told: "Activated Suspended",
	})
	if e := m.entitlement("sub").Spec; !e.SuspendedAt.Time.Equal(at) {
		t.Errorf("suspended at %v, activated at %v", e.SuspendedAt, at)
	}
}

// A change that is under way when the service is suspended comes to nothing.
func TestSuspensionEndsAChange(t *testing.T) {
	m := newMarket(t)
	m.ago(10 * day)
	m.subscribed("sub")
	m.want("sub", planned("team", 8))
	m.follow("sub")
	at := m.want("sub", suspended(true))
	m.clock.SetTime(at.Add(time.Minute))
	m.follow("sub")
	if got := m.operations("sub"); got != "ChangeQuantity=Failed Suspend=Succeeded" {
		t.Errorf("operations %s", got)
	}
	m.still("sub")
}

// A term that ends after the suspension is not followed by another, although the
// operator was away at both instants.
func TestSuspendedBeforeARenewal(t *testing.T) {
	m := newMarket(t)
	m.clock.SetTime(time.Now().UTC().Truncate(time.Second).Add(time.Hour).AddDate(0, -1, 0))
	sub := m.subscribed("sub", monthly)
	at := m.want("sub", suspended(true))
	if !at.Before(sub.Status.Term.EndsAt.Time) {
		t.Fatalf("suspended at %v, the term ends at %v", at, sub.Status.Term.EndsAt)
	}
	m.clock.SetTime(sub.Status.Term.EndsAt.Add(time.Hour))
	m.follow("sub")
	if e := m.entitlement("sub").Spec; m.operations("sub") != "Suspend=Succeeded" || e.RenewedUntil != nil || !e.SuspendedAt.Time.Equal(at) {
		t.Errorf("operations %s, renewed until %v, suspended at %v", m.operations("sub"), e.RenewedUntil, e.SuspendedAt)
	}
	m.still("sub")
	// Reinstated, it goes on with the term that is due.
	m.want("sub", suspended(false))
	m.follow("sub")
	m.answer("sub", true, "")
	m.follow("sub")
	if got := m.operations("sub"); got != "Suspend=Succeeded Reinstate=Succeeded Renew=Succeeded" {
		t.Errorf("operations %s", got)
	}
	m.still("sub")
}

// A service that is to be suspended again while it is being reinstated is
// suspended once it was.
func TestSuspendedWhileItIsReinstated(t *testing.T) {
	m := newMarket(t)
	m.ago(10 * day)
	m.subscribed("sub")
	at := m.want("sub", suspended(true))
	m.clock.SetTime(at)
	m.follow("sub")
	m.want("sub", suspended(false))
	m.follow("sub")
	m.later(time.Minute)
	m.deliver("sub", "")
	m.want("sub", suspended(true))
	m.follow("sub")
	m.later(10 * time.Second)
	m.follow("sub")
	m.follow("sub") // the write of the record before was one to look at
	if sub := m.sub("sub"); sub.Status.State != v1alpha1.StateSuspended || m.operations("sub") != "Suspend=Succeeded Reinstate=Succeeded Suspend=Succeeded" {
		t.Errorf("%s, operations %s", sub.Status.State, m.operations("sub"))
	}
	m.still("sub")
}
