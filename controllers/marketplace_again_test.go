package controllers

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/terms"
)

// Whoever cancels, deletes and buys again under the same name has bought
// nothing, and is told so.
func TestNothingIsBoughtTwiceUnderOneName(t *testing.T) {
	m := newMarket(t)
	m.ago(time.Hour)
	m.order("sub")
	m.follow("sub")
	m.want("sub", cancelled(true))
	m.follow("sub")
	if sub := m.sub("sub"); sub.Status.State != v1alpha1.StateUnsubscribed {
		t.Fatalf("%s: %s", sub.Status.State, sub.Status.Message)
	}
	m.remove(m.sub("sub"))
	for created := m.entitlement("sub").Spec.EndedAt.Time; !created.After(m.entitlement("sub").Spec.EndedAt.Time); { // the API server's clock has seconds
		m.order("sub")
		if created = m.sub("sub").CreationTimestamp.Time; !created.After(m.entitlement("sub").Spec.EndedAt.Time) {
			m.remove(m.sub("sub"))
		}
	}
	m.check("sub", looks{
		state: v1alpha1.StateUnsubscribed, conditions: "Activated=False(NeverActivated) Cancelled=True(NotBilled) Stalled=True(Ended)",
		message: "nothing was bought, because a subscription of this name was bought before and cancelled at ", kstatus: status.FailedStatus,
		requeue: poll, writes: tells,
	})
	if !strings.HasSuffix(m.sub("sub").Status.Message, "buy under another name") {
		t.Errorf("%q", m.sub("sub").Status.Message)
	}
}

// What the publisher was not told of yet can be taken back, and is not charged.
func TestTakesAWishBack(t *testing.T) {
	m := newMarket(t)
	m.subscribed("sub")
	m.want("sub", planned("team", 8))
	m.follow("sub")
	m.want("sub", planned("team", 5))
	m.check("sub", runs(isSubscribed, "plan team with 5 seats", recordsTells, ""))
	if got := m.operations("sub"); got != "ChangeQuantity=Failed" {
		t.Errorf("operations %s", got)
	}
	m.want("sub", planned("team", 8)) // nobody has refused that
	m.check("sub", runs(isChanging, "plan team with 8 seats is asked for", recordsTells, ""))
	m.want("sub", planned("team", 5))
	m.follow("sub")
	m.want("sub", planned("team", 9))
	m.follow("sub")
	m.want("sub", planned("team", 7))
	m.follow("sub")
	m.deliver("sub", "") // it has been told of the last one only
	m.want("sub", planned("team", 5))
	waits := runs(isChanging, "plan team with 7 seats is asked for: waiting for the publisher", tells, "")
	waits.requeue = 10 * time.Second
	m.check("sub", waits)
	m.later(10 * time.Second)
	m.follow("sub")
	if got := m.operations("sub"); got != "ChangeQuantity=Failed ChangeQuantity=Failed ChangeQuantity=Failed ChangeQuantity=Succeeded ChangeQuantity=InProgress" {
		t.Errorf("operations %s", got)
	}
}

// However many subscriptions with a trial are bought at once, one has it.
func TestOneTrialOfManyAtOnce(t *testing.T) {
	m := newMarket(t)
	m.editProduct(func(p *v1alpha1.Product) {
		for i := range p.Spec.SaaS.Plans {
			p.Spec.SaaS.Plans[i].Trial = "P30D"
		}
	})
	names := strings.Fields("a b c d e f g h")
	for _, name := range names {
		m.order(name)
	}
	m.services.Client = live // many at once, which the recorder of writes is not made for
	m.services.Entitlements.Client = m.view
	var all sync.WaitGroup
	for _, name := range names {
		all.Go(func() {
			if _, err := m.services.buy(t.Context(), m.sub(name), m.clock.Now()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	trials := 0
	for _, name := range names {
		if m.entitlement(name).Spec.Purchase.Trial != "" {
			trials++
		}
	}
	if trials != 1 {
		t.Errorf("%d trials", trials)
	}
}

// A trial that never began was not had.
func TestTrialThatNeverBegan(t *testing.T) {
	m := newMarket(t)
	m.editProduct(func(p *v1alpha1.Product) {
		for i := range p.Spec.SaaS.Plans {
			p.Spec.SaaS.Plans[i].Trial = "P30D"
		}
	})
	m.order("first")
	m.follow("first")
	m.order("second")
	if sub, _ := m.follow("second"); m.entitlement("second").Spec.Purchase.Trial != "" || !strings.Contains(reasonMessage(sub, v1alpha1.ConditionActionRequired), "a trial is had once") {
		t.Errorf("a second trial, or nothing is said of it: %s", sub.Status.Message)
	}
	m.want("first", cancelled(true))
	m.follow("first")
	m.order("third")
	if m.follow("third"); m.entitlement("third").Spec.Purchase.Trial != "P30D" {
		t.Error("there is no trial, though none has begun")
	}
}

// A purchase that the ledger has lost is not made again under another id.
func TestLedgerLostThePurchase(t *testing.T) {
	m := newMarket(t)
	m.subscribed("sub")
	m.remove(m.entitlement("sub"))
	sub, _ := m.follow("sub")
	if reasonOf(sub, v1alpha1.ConditionStalled) != v1alpha1.ReasonEntitlementNotFound || len(m.entitlements("sub")) > 0 {
		t.Errorf("%s; %d entitlements", sub.Status.Message, len(m.entitlements("sub")))
	}
}

// Auto-renewal that was turned off in time counts, whoever lets time pass first.
func TestNobodyElseRenews(t *testing.T) {
	m := newMarket(t)
	sub := m.subscribed("sub")
	m.want("sub", renewing(false))
	m.clock.SetTime(sub.Status.Term.EndsAt.Time)
	m.publisher("sub", func(*terms.Entitlement) {}) // another call of the publisher comes first
	if m.entitlement("sub").Spec.RenewedUntil != nil {
		t.Fatal("renewed against what was asked for")
	}
	if sub, _ := m.follow("sub"); sub.Status.State != v1alpha1.StateUnsubscribed || m.entitlement("sub").Spec.EndReason != v1alpha1.EndExpired {
		t.Errorf("%s: %s", sub.Status.State, sub.Status.Message)
	}
}
