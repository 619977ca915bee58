package controllers

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/utils/ptr"

	"github.com/license-operator/license-operator/api/v1alpha1"
)

// A service lives from its purchase to its end, through everything that can
// happen to it. It makes no difference whether the operator is restarted before
// each pass.
func TestAWholeLife(t *testing.T) {
	for _, restarts := range []bool{false, true} {
		t.Run(fmt.Sprintf("restarted before each pass: %v", restarts), func(t *testing.T) {
			m := newMarket(t)
			m.editProduct(func(p *v1alpha1.Product) { p.Spec.SaaS.Plans[1].Trial = "P30D" })
			var told []string
			// see runs a pass, and another one that has nothing to do.
			see := func(want string) *v1alpha1.MarketplaceSubscription {
				t.Helper()
				if restarts {
					m.restart()
				}
				sub, _ := m.follow("sub")
				for _, e := range m.events {
					told = append(told, strings.TrimPrefix(e, "sub "))
				}
				st := sub.Status
				got := fmt.Sprintf("%s, %s %d", st.State, st.PlanID, st.Quantity)
				for _, c := range st.Conditions {
					if c.Type == v1alpha1.ConditionInSync && c.Reason != v1alpha1.ReasonInSync || c.Type == v1alpha1.ConditionActionRequired && c.Reason != v1alpha1.ReasonNone {
						got += ", " + c.Reason
					}
				}
				if st.Trial != nil {
					got += ", on trial"
				}
				if got != want {
					t.Errorf("%v: %s\nwant %s", m.clock.Now(), got, want)
				}
				m.still("sub")
				return sub
			}
			now := time.Now().UTC().Truncate(time.Second)
			start := now.AddDate(0, 0, -200)
			m.clock.SetTime(start)
			m.order("sub")
			see("PendingFulfillmentStart, team 5, ConfigureAccount")
			m.later(5 * day)
			see("PendingFulfillmentStart, team 5, ConfigureAccount")
			m.activate("sub")
			activated := m.clock.Now()
			see("Subscribed, team 5, on trial")
			m.want("sub", planned("team", 9))
			see("Subscribed, team 5, ChangePending, on trial")
			m.deliver("sub", "")
			m.later(10 * time.Second)
			see("Subscribed, team 9, on trial")
			m.clock.SetTime(activated.Add(30 * day)) // the trial ends
			see("Subscribed, team 9")
			m.later(20 * day)
			m.want("sub", planned("pro", 9))
			see("Subscribed, team 9, ChangePending")
			m.answer("sub", true, "")
			see("Subscribed, pro 9")
			m.want("sub", planned("pro", 40))
			see("Subscribed, pro 9, ChangePending")
			m.deliver("sub", "the webhook answered 409")
			see("Subscribed, pro 9, RefusedByPublisher, ChangeRefused")
			m.want("sub", planned("pro", 0))
			see("Subscribed, pro 9")
			at := m.want("sub", suspended(true))
			m.clock.SetTime(at)
			see("Suspended, pro 9, PaymentRequired")
			m.later(10 * day)
			m.want("sub", suspended(false))
			see("Suspended, pro 9, ChangePending")
			m.answer("sub", true, "")
			see("Subscribed, pro 9")
			paid := activated.Add(30 * day)
			for year := range 2 {
				m.clock.SetTime(paid.AddDate(year+1, 0, 0))
				if sub := see("Subscribed, pro 9"); !sub.Status.Term.StartsAt.Time.Equal(paid.AddDate(year+1, 0, 0)) || !sub.Status.Cancellation.Open {
					t.Errorf("term %+v, cancellation %+v", sub.Status.Term, sub.Status.Cancellation)
				}
			}
			m.later(100 * day)
			m.want("sub", func(s *v1alpha1.MarketplaceSubscriptionSpec) { s.AutoRenew = ptr.To(false) })
			see("Subscribed, pro 9")
			m.clock.SetTime(paid.AddDate(3, 0, 0))
			sub := see("Unsubscribed, pro 9")
			if !sub.Status.EndedAt.Time.Equal(paid.AddDate(3, 0, 0)) || !sub.Status.Billing.StartedAt.Time.Equal(activated) || !sub.Status.PurchasedAt.Time.Equal(start) {
				t.Errorf("%+v", sub.Status)
			}
			want := "ChangeQuantity=Succeeded Renew=Succeeded ChangePlan=Succeeded ChangeQuantity=Failed Suspend=Succeeded Reinstate=Succeeded Renew=Succeeded Renew=Succeeded Unsubscribe=Succeeded"
			if got := m.operations("sub"); got != want {
				t.Errorf("operations %s\nwant       %s", got, want)
			}
			if n := len(sub.Status.Operations); n != shownOperations || sub.Status.Operations[n-1].Action != v1alpha1.ActionUnsubscribe {
				t.Errorf("%d operations shown, the last %+v", n, sub.Status.Operations[n-1])
			}
			// What happened before the object was there is no news: the clock was set back.
			if got := strings.Join(told, " "); got != "Suspended Reinstated Renewed Renewed Unsubscribed" {
				t.Errorf("told %s", got)
			}
			e := m.entitlement("sub").Spec
			var levels []string
			for _, c := range e.Changes {
				levels = append(levels, level(c.ServiceLevel))
			}
			if got := strings.Join(levels, ", "); got != "team 9 60.00, pro 9 120.00" {
				t.Errorf("levels %s", got)
			}
			if m.landing("sub-landing") != "" {
				t.Error("the link is still there")
			}
		})
	}
}
