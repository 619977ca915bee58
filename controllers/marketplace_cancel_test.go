package controllers

import (
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/taken"
	"github.com/license-operator/license-operator/internal/terms"
)

// A cancellation counts at the instant at which the API server took it, whenever
// that is seen.
func TestCancelsAService(t *testing.T) {
	const ends = records + ", " + withdraws + ", " + tells
	inTime := "Activated=True(Activated) Cancelled=True(CancelledInTime)"
	for name, tc := range map[string]struct {
		trial      v1alpha1.Duration
		order      wanting
		ago        time.Duration // it was bought, before it is cancelled
		pending    bool          // it was not activated
		prepare    func(*market) // just before it is cancelled
		seen       time.Duration // after it was cancelled
		conditions string
		message    string
		credit     string
		operations string
	}{
		"before the activation": {
			ago: 10 * day, pending: true, conditions: "Activated=False(NeverActivated) Cancelled=True(NotBilled)", message: "nothing was charged",
			credit: "0.00", operations: "Unsubscribe=Succeeded",
		},
		"just before the activation lapses": {
			ago: 30*day - time.Hour, pending: true, conditions: "Activated=False(NeverActivated) Cancelled=True(NotBilled)", message: "nothing was charged",
			credit: "0.00", operations: "Unsubscribe=Succeeded",
		},
		"before the activation lapsed, seen after it did": {
			ago: 29 * day, pending: true, seen: 3 * day, conditions: "Activated=False(NeverActivated) Cancelled=True(NotBilled)", message: "nothing was charged",
			credit: "0.00", operations: "Unsubscribe=Succeeded",
		},
		"during a trial": {
			trial: "P30D", ago: 20 * day, conditions: "Activated=True(Activated) Cancelled=True(NotBilled)", message: "nothing was charged",
			credit: "0.00", operations: "Unsubscribe=Succeeded",
		},
		"during a trial, seen when it had turned paid": {
			trial: "P30D", ago: 29 * day, seen: 2 * day, conditions: "Activated=True(Activated) Cancelled=True(NotBilled)", message: "nothing was charged",
			credit: "0.00", operations: "Unsubscribe=Succeeded",
		},
		"in the window, for all that was paid": {
			ago: 2 * day, conditions: inTime, message: "credit 300.00 EUR", credit: "300.00", operations: "Unsubscribe=Succeeded",
		},
		"in the window, seen after it had closed": {
			ago: 3*day - time.Hour, seen: 5 * day, conditions: inTime, message: "credit 300.00 EUR", credit: "300.00", operations: "Unsubscribe=Succeeded",
		},
		"in the window of a month, for the days that are left": {
			order: monthly, ago: 15 * day, conditions: inTime, message: "cancelled at", operations: "Unsubscribe=Succeeded",
		},
		"in the window, with a change that the publisher was not told of": {
			ago: day, prepare: func(m *market) { m.want("sub", planned("team", 8)); m.follow("sub") },
			conditions: inTime, message: "credit 300.00 EUR", credit: "300.00", operations: "ChangeQuantity=Failed Unsubscribe=Succeeded",
		},
		"in the window, with a change that the publisher did not refuse in time": {
			ago: day, prepare: func(m *market) { m.want("sub", planned("team", 8)); m.follow("sub"); m.deliver("sub", "") },
			conditions: inTime, message: "credit 480.00 EUR", credit: "480.00", operations: "ChangeQuantity=Succeeded Unsubscribe=Succeeded",
		},
		"suspended, in the window": {
			ago: day, prepare: func(m *market) { m.want("sub", suspended(true)); m.clock.SetTime(time.Now()); m.follow("sub") },
			conditions: inTime, message: "credit 300.00 EUR", credit: "300.00", operations: "Suspend=Succeeded Unsubscribe=Succeeded",
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMarket(t)
			m.editProduct(func(p *v1alpha1.Product) { p.Spec.SaaS.Plans[1].Trial = tc.trial })
			if tc.order == nil {
				tc.order = planned("team", 5)
			}
			m.ago(tc.ago)
			if tc.pending {
				m.order("sub", tc.order)
				m.follow("sub")
			} else {
				m.subscribed("sub", tc.order)
			}
			if tc.prepare != nil {
				tc.prepare(m)
			}
			at := m.want("sub", cancelled(true))
			m.clock.SetTime(at.Add(tc.seen + time.Second))
			sub := m.check("sub", isEnded(tc.conditions, tc.message, ends, "Unsubscribed"))
			e := m.entitlement("sub").Spec
			if e.EndReason != v1alpha1.EndCancelled || !e.EndedAt.Time.Equal(at) || !sub.Status.EndedAt.Time.Equal(at) || e.RenewedUntil != nil {
				t.Errorf("%s at %v, cancelled at %v, renewed until %v", e.EndReason, e.EndedAt, at, e.RenewedUntil)
			}
			c := sub.Status.Cancellation
			if c == nil || c.Open || !c.At.Time.Equal(at) || c.Credit == nil || c.Credit.Currency != "EUR" || tc.credit != "" && c.Credit.Amount != tc.credit {
				t.Errorf("cancellation %+v, want credit %s", c, tc.credit)
			}
			if got := m.operations("sub"); got != tc.operations {
				t.Errorf("operations %s, want %s", got, tc.operations)
			}
			m.restart()
			m.later(400 * day)
			m.still("sub")
		})
	}
}

// A cancellation that came too late changes nothing until it is taken back, and
// then, in another window, one can be in time.
func TestCancelledTooLate(t *testing.T) {
	for name, tc := range map[string]struct {
		order  wanting
		bought func(now time.Time) time.Time
		seen   func(*v1alpha1.MarketplaceSubscription, time.Time) time.Time
		runs   string // operations then
	}{
		"an hour after the window closed": {
			order: planned("team", 5), bought: func(now time.Time) time.Time { return now.Add(-3*day - time.Hour) },
			seen: func(_ *v1alpha1.MarketplaceSubscription, at time.Time) time.Time { return at.Add(time.Second) },
		},
		"before a renewal that opened another window, in which it is seen": {
			order: monthly, bought: func(now time.Time) time.Time { return now.Add(time.Hour).AddDate(0, -1, 0) },
			seen: func(sub *v1alpha1.MarketplaceSubscription, _ time.Time) time.Time {
				return sub.Status.Term.EndsAt.Add(time.Hour)
			},
			runs: "Renew=Succeeded",
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMarket(t)
			m.clock.SetTime(tc.bought(time.Now().UTC().Truncate(time.Second)))
			sub := m.subscribed("sub", tc.order)
			until := sub.Status.Cancellation.Until.Time
			// The last that was told is that the window is open: the API server lets it pass.
			at := m.want("sub", cancelled(true))
			m.clock.SetTime(tc.seen(sub, at))
			says := "cancelled at " + stamp(at) + ", but the window closed at " + stamp(until) + ". The subscription goes on: set spec.cancelled back to false"
			sub, _ = m.follow("sub")
			if conditions(sub) != isLate || sub.Status.Message != says || sub.Status.State != v1alpha1.StateSubscribed || kstatus(t, sub) != status.CurrentStatus {
				t.Errorf("%s: %s", conditions(sub), sub.Status.Message)
			}
			if m.operations("sub") != tc.runs || m.entitlement("sub").Spec.EndedAt != nil {
				t.Errorf("operations %s", m.operations("sub"))
			}
			m.still("sub")
			// It does not come true in a later window.
			m.clock.SetTime(sub.Status.Term.EndsAt.Add(time.Hour))
			if sub, _ = m.follow("sub"); conditions(sub) != isLate || !sub.Status.Cancellation.Open {
				t.Errorf("in the next term: %s %+v", conditions(sub), sub.Status.Cancellation)
			}
			m.still("sub")
			m.want("sub", cancelled(false))
			if sub, _ = m.follow("sub"); conditions(sub) != isSubscribed {
				t.Errorf("taken back: %s", conditions(sub))
			}
			m.still("sub")
		})
	}
}

// A cancellation that was refused stays so, although whoever asked for it edits
// something else while another window is open.
func TestRefusedCancellationIsForGood(t *testing.T) {
	m := newMarket(t)
	m.clock.SetTime(time.Now().UTC().Truncate(time.Second).Add(time.Hour).AddDate(0, -1, 0))
	m.subscribed("sub", monthly)
	m.clock.SetTime(m.want("sub", cancelled(true)))
	sub, _ := m.follow("sub")
	if conditions(sub) != isLate {
		t.Fatalf("%s", conditions(sub))
	}
	edited := sub.Status.Term.EndsAt.Add(time.Hour)
	for i := range sub.ManagedFields {
		if sub.ManagedFields[i].Subresource == "" {
			sub.ManagedFields[i].Time = &metav1.Time{Time: edited}
		}
	}
	if err := live.Update(t.Context(), sub); err != nil {
		t.Fatal(err)
	}
	if at := taken.At(sub, time.Time{}, "spec", "cancelled"); !at.Equal(edited) {
		t.Fatalf("the API server says it was edited at %v", at)
	}
	m.clock.SetTime(edited.Add(time.Hour))
	if sub, _ = m.follow("sub"); conditions(sub) != isLate || !sub.Status.Cancellation.Open {
		t.Errorf("%s, cancellation %+v", conditions(sub), sub.Status.Cancellation)
	}
}

// What the window says is what the API server goes by.
func TestTellsOfTheWindow(t *testing.T) {
	m := newMarket(t)
	m.editPublisher(func(p *v1alpha1.Publisher) {
		p.Spec.RequiredSteps = []v1alpha1.RequiredStep{{Before: v1alpha1.BeforeCancel, Text: "export the reports"}, {Before: v1alpha1.BeforeChangePlan, Text: "ask sales"}}
	})
	m.order("sub")
	sub, _ := m.follow("sub")
	bought := m.clock.Now()
	if c := sub.Status.Cancellation; !c.Open || c.Message != "can be cancelled until the publisher activates it; nothing is charged. First: export the reports" || c.Credit.Amount != "0.00" {
		t.Errorf("pending: %+v", c)
	}
	if p := sub.Status.Publisher; len(p.RequiredSteps) != 2 || p.Site != "https://analytics.example/landing?offer=a%20b" {
		t.Errorf("publisher %+v", p)
	}
	m.later(day)
	m.activate("sub")
	sub, _ = m.follow("sub")
	until := bought.Add(3 * day)
	if c := sub.Status.Cancellation; !c.Open || !c.Until.Time.Equal(until) || c.Message != "can be cancelled until "+stamp(until)+". First: export the reports" || c.Credit.Amount != "300.00" {
		t.Errorf("in the window: %+v", c)
	}
	m.clock.SetTime(until.Add(-2 * time.Second))
	m.follow("sub")
	m.still("sub") // one second before
	m.clock.SetTime(until)
	sub = m.check("sub", runs(isSubscribed, "until", tells, ""))
	if c := sub.Status.Cancellation; c.Open || c.Credit != nil || !strings.Contains(c.Message, "the cancellation window closed at "+stamp(until)+": set spec.autoRenew to false to let the term end at") {
		t.Errorf("closed: %+v", c)
	}
	late := sub.DeepCopy()
	late.Spec.Cancelled = true
	if err := live.Patch(t.Context(), late, client.MergeFrom(sub)); err == nil || !strings.Contains(err.Error(), "the cancellation window closed at") {
		t.Errorf("the API server says: %v", err)
	}
	m.want("sub", renewing(false))
	if sub, _ = m.follow("sub"); !strings.Contains(sub.Status.Cancellation.Message, "and does not renew") {
		t.Errorf("%+v", sub.Status.Cancellation)
	}
	m.editProduct(func(p *v1alpha1.Product) { p.Spec.SaaS.Plans[0].Trial = "P30D" })
	m.order("trial", planned("basic", 0))
	m.follow("trial")
	m.activate("trial")
	sub, _ = m.follow("trial")
	if c := sub.Status.Cancellation; !c.Open || !c.Until.Equal(sub.Status.Trial.EndsAt) || !strings.HasPrefix(c.Message, "the trial can be cancelled until ") || c.Credit.Amount != "0.00" {
		t.Errorf("on trial: %+v", c)
	}
}

// The publisher ends a service as well.
func TestEndedByThePublisher(t *testing.T) {
	m := newMarket(t)
	m.subscribed("sub")
	m.later(10 * day)
	m.publisher("sub", func(f *terms.Entitlement) { f.End(terms.EndPublisherEnded, m.clock.Now(), m.clock.Now()) })
	sub := m.check("sub", isEnded("Activated=True(Activated)", "ended by the publisher at "+stamp(m.clock.Now())+"; to go on using it, buy a new subscription under another name", withdraws+", "+tells, "Unsubscribed"))
	if sub.Status.Cancellation.Credit != nil || sub.Status.Term == nil {
		t.Errorf("%+v", sub.Status)
	}
}

// A subscription that was deleted has a day to come back, so that a restore can
// bring it back. Then it has ended when it was deleted.
func TestDeletedService(t *testing.T) {
	gone := func(t *testing.T) (*market, *v1alpha1.MarketplaceSubscription, time.Time) {
		t.Helper()
		m := newMarket(t)
		sub := m.subscribed("sub")
		m.remove(sub)
		m.later(time.Hour)
		at := m.clock.Now()
		m.writes = nil
		res, err := m.services.Reconcile(t.Context(), m.request("sub"))
		if err != nil || res.RequeueAfter != longestSleep || strings.Join(m.writes, ", ") != records {
			t.Errorf("%v, looks again after %v, writes %v", err, res.RequeueAfter, m.writes)
		}
		if e := m.entitlement("sub").Spec; e.OrphanedAt == nil || !e.OrphanedAt.Time.Equal(at) || e.EndedAt != nil {
			t.Errorf("orphaned at %v, ended at %v", e.OrphanedAt, e.EndedAt)
		}
		return m, sub, at
	}
	again := func(m *market) ([]string, time.Duration) {
		m.t.Helper()
		m.writes = nil
		res, err := m.services.Reconcile(m.t.Context(), m.request("sub"))
		if err != nil {
			m.t.Fatal(err)
		}
		return m.writes, res.RequeueAfter
	}
	t.Run("does not come back", func(t *testing.T) {
		m, _, at := gone(t)
		m.restart()
		m.clock.SetTime(at.Add(day - time.Second))
		if writes, next := again(m); len(writes) > 0 || next != time.Second {
			t.Errorf("one second before: writes %v, looks again after %v", writes, next)
		}
		m.clock.SetTime(at.Add(day + time.Hour))
		if writes, next := again(m); strings.Join(writes, ", ") != records || next != 0 {
			t.Errorf("writes %v, looks again after %v", writes, next)
		}
		if e := m.entitlement("sub").Spec; e.EndReason != v1alpha1.EndDeleted || !e.EndedAt.Time.Equal(at) || m.operations("sub") != "Unsubscribe=Succeeded" {
			t.Errorf("%s at %v, want %v; %s", e.EndReason, e.EndedAt, at, m.operations("sub"))
		}
		if writes, _ := again(m); len(writes) > 0 {
			t.Errorf("then writes %v", writes)
		}
		// One of the same name and product is the same purchase.
		m.order("sub")
		sub, _ := m.follow("sub")
		if sub.Status.State != v1alpha1.StateUnsubscribed || !strings.Contains(sub.Status.Message, "because its object was deleted at "+stamp(at)+", credit 300.00 EUR; to go on using it, buy a new subscription under another name") {
			t.Errorf("%s: %s", sub.Status.State, sub.Status.Message)
		}
		m.entitlement("sub")
		m.still("sub")
	})
	t.Run("comes back", func(t *testing.T) {
		m, old, at := gone(t)
		m.clock.SetTime(at.Add(day - time.Second))
		m.create(&v1alpha1.MarketplaceSubscription{ObjectMeta: metav1.ObjectMeta{Namespace: m.customer, Name: "sub"}, Spec: old.Spec})
		sub, _ := m.follow("sub")
		if e := m.entitlement("sub").Spec; e.OrphanedAt != nil || sub.Status.ID != old.Status.ID || conditions(sub) != isSubscribed {
			t.Errorf("orphaned at %v; %s", e.OrphanedAt, conditions(sub))
		}
		m.still("sub")
		m.later(30 * day)
		if sub, _ = m.follow("sub"); conditions(sub) != isSubscribed {
			t.Errorf("a month later: %s", conditions(sub))
		}
	})
	t.Run("is being deleted, and somebody keeps it", func(t *testing.T) {
		m := newMarket(t)
		sub := m.subscribed("sub")
		m.edit(sub, func() { sub.Finalizers = []string{"example.com/keep"} })
		m.remove(sub)
		if again(m); m.entitlement("sub").Spec.OrphanedAt == nil {
			t.Error("not orphaned")
		}
	})
	t.Run("was never bought", func(t *testing.T) {
		m := newMarket(t)
		if writes, next := again(m); len(writes) > 0 || next != 0 {
			t.Errorf("writes %v, looks again after %v", writes, next)
		}
	})
	t.Run("belongs to a customer of another operator", func(t *testing.T) {
		m := newMarket(t)
		m.subscribed("sub")
		m.wire.elsewhere = true
		m.later(2 * day)
		if writes, next := again(m); len(writes) > 0 || next != 0 || m.entitlement("sub").Spec.OrphanedAt != nil {
			t.Errorf("writes %v, looks again after %v", writes, next)
		}
	})
	t.Run("does not renew meanwhile", func(t *testing.T) {
		m := newMarket(t)
		sub := m.subscribed("sub", monthly)
		m.remove(sub)
		m.clock.SetTime(sub.Status.Term.EndsAt.Add(-time.Hour))
		again(m)
		m.later(2 * time.Hour)
		if again(m); m.operations("sub") != "" {
			t.Errorf("operations %s", m.operations("sub"))
		}
		m.later(day)
		if again(m); m.operations("sub") != "Unsubscribe=Succeeded" {
			t.Errorf("operations %s", m.operations("sub"))
		}
	})
}

// A request that the cache is late to show, or that was changed meanwhile, is
// not acted upon.
func TestActsOnTheLatestWish(t *testing.T) {
	m := newMarket(t)
	m.ago(day)
	m.subscribed("sub")
	m.want("sub", suspended(true))
	m.wire.stale = m.sub("sub")
	m.want("sub", suspended(false))
	m.clock.SetTime(time.Now())
	if _, _, err := m.tryFollow("sub"); err == nil || m.entitlement("sub").Spec.SuspendedAt != nil {
		t.Errorf("%v: suspended at %v, although that was taken back", err, m.entitlement("sub").Spec.SuspendedAt)
	}
	m.wire.stale = nil
	if sub, _ := m.follow("sub"); conditions(sub) != isSubscribed {
		t.Errorf("%s", conditions(sub))
	}
	m.still("sub")
}

// Once a service has ended its link is withdrawn, but nobody else's Secret.
func TestWithdrawsOnlyItsOwnLink(t *testing.T) {
	m := newMarket(t)
	m.subscribed("sub")
	m.remove(get(t, &corev1.Secret{}, m.customer, "sub-landing"))
	m.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: m.customer, Name: "sub-landing"}, StringData: map[string]string{entryLandingPage: "mine"}})
	m.publisher("sub", func(f *terms.Entitlement) { f.End(terms.EndPublisherEnded, m.clock.Now(), m.clock.Now()) })
	sub := m.check("sub", isEnded("Activated=True(Activated)", "ended by the publisher", tells, "Unsubscribed"))
	if m.landing("sub-landing") != "mine" || sub.Status.LandingPage != nil {
		t.Errorf("the Secret of somebody else is gone, or told of: %+v", sub.Status.LandingPage)
	}
}
