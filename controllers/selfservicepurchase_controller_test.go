package controllers

import (
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/license-operator/license-operator/api/v1alpha1"
)

// expect runs a pass of which the outcome matters and not the words, and checks
// that it was all there was to do.
func (d *desk) expect(name string, state v1alpha1.SelfServiceState, writes, told string) *v1alpha1.SelfServicePurchase {
	d.t.Helper()
	p, _ := d.serve(name)
	if got := strings.ReplaceAll(strings.Join(d.events, " "), name+" ", ""); p.Status.State != state || strings.Join(d.writes, ", ") != writes || got != told {
		d.t.Errorf("at %s: %s, writes %v, told %q\nwant %s, %s, %q", stamp(d.clock.Now()), p.Status.State, d.writes, got, state, writes, told)
	}
	d.still(name)
	return p
}

// The life of a purchase that renews, over each of its instants.
func TestLifeOfAPurchase(t *testing.T) {
	d := newDesk(t)
	bought := d.clock.Now()
	d.ask("own", assigned("ada@contoso.example"))
	d.check("own", living("Active", "it renews for 120.00 EUR each year; set spec.autoRenew to false to let it end", ordersAll, "SelfServicePurchased"))
	end := d.purchase("own").Status.Term.EndsAt.Time
	if !end.After(bought.Add(364*day)) || d.purchase("own").Status.Next.Event != "Renews" {
		t.Errorf("%+v", d.purchase("own").Status)
	}
	d.clock.SetTime(end.Add(-7*day - 2*time.Second)) // still takes a second
	d.expect("own", "Active", "", "")
	d.clock.SetTime(end.Add(-7 * day))
	d.expect("own", "Active", tellsBuyer, "TermEnding")
	d.change("own", goesOn(false))
	if p := d.expect("own", "Active", tellsBuyer, ""); p.Status.Next.Event != "Expires" || !strings.Contains(p.Status.Message, "it ends for good; set spec.autoRenew to true to renew it for 120.00 EUR each year") {
		t.Errorf("%+v", p.Status)
	}
	d.change("own", goesOn(true))
	d.expect("own", "Active", tellsBuyer, "")
	d.clock.SetTime(end.Add(-2 * time.Second))
	d.expect("own", "Active", "", "")
	d.clock.SetTime(end)
	p := d.expect("own", "Active", ordersOn, "Renewed")
	if !p.Status.Term.StartsAt.Time.Equal(end) || !d.order("own").Spec.RenewedUntil.Time.Equal(end) || !p.Status.PurchasedAt.Time.Equal(bought) {
		t.Errorf("%+v", p.Status)
	}
	d.change("own", goesOn(false))
	d.serve("own")
	second := p.Status.Term.EndsAt.Time
	d.clock.SetTime(second.Add(-2 * time.Second))
	d.serve("own")
	d.still("own")
	d.clock.SetTime(second)
	p = d.check("own", over("Expired", "ended with its term at "+stamp(second)+"; to use it again, buy it under another name", ordersOn, "SelfServiceEnded"))
	if len(p.Status.Users) != 0 || p.Status.Assigned != 0 || !p.Status.EndedAt.Time.Equal(second) || p.Status.Next != nil || p.Status.Price.Amount != "120.00" {
		t.Errorf("%+v", p.Status)
	}
	d.change("own", goesOn(true)) // which brings nothing back
	d.expect("own", "Expired", tellsBuyer, "")
}

// Terms go by, and the operator was away.
func TestComesBackAfterTerms(t *testing.T) {
	d := newDesk(t)
	d.ask("own", forMonths)
	d.ask("ending", forMonths, goesOn(false))
	d.serve("own")
	end := d.purchase("own").Status.Term.EndsAt.Time
	d.serve("ending")
	d.restart()
	d.later(100 * day)
	p := d.expect("own", "Active", ordersOn, "Renewed")
	if !p.Status.Term.EndsAt.After(d.clock.Now()) || p.Status.Term.StartsAt.After(d.clock.Now()) {
		t.Errorf("%+v", p.Status.Term)
	}
	p = d.expect("ending", "Expired", ordersOn, "SelfServiceEnded")
	if p.Status.EndedAt == nil || !p.Status.EndedAt.Time.Equal(end) {
		t.Errorf("ended at %v, want %v", p.Status.EndedAt, end)
	}
}

// The life of trials: with a payment method it turns into a purchase, unless it
// is not to go on, and without one it ends.
func TestLifeOfATrial(t *testing.T) {
	for name, tc := range map[string]struct {
		ask    []asking
		goesOn bool
		ending string // what the notice of its end says
	}{
		"with a payment method":         {[]asking{paidTrial}, true, "when it turns into a purchase for 120.00 EUR each year; set spec.autoRenew to false"},
		"that is not to go on":          {[]asking{paidTrial, goesOn(false)}, false, "when it ends for good; set spec.autoRenew to true to buy it then for 120.00 EUR each year"},
		"without a payment method":      {[]asking{trial}, false, "when it ends for good"},
		"without, and autoRenew is set": {[]asking{trial, goesOn(true)}, false, "when it ends for good"},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			d.agreement()
			started := d.clock.Now()
			d.ask("own", append(tc.ask, assigned("ada@contoso.example"))...)
			p := d.expect("own", "Trial", ordersAll, "SelfServicePurchased")
			end := started.Add(30 * day)
			want := map[bool]string{true: "TrialEnds", false: "Expires"}[tc.goesOn]
			if !p.Status.Term.EndsAt.Time.Equal(end) || p.Status.Next.Event != want || !p.Status.Next.At.Time.Equal(end) || p.Status.Assigned != 1 {
				t.Errorf("%+v", p.Status)
			}
			d.clock.SetTime(end.Add(-7*day - 2*time.Second))
			d.expect("own", "Trial", "", "")
			d.clock.SetTime(end.Add(-7 * day))
			d.expect("own", "Trial", tellsBuyer, "TrialEnding")
			if note := d.noteOf("own", "TrialEnding"); !strings.Contains(note, tc.ending) {
				t.Errorf("%q, want %q in it", note, tc.ending)
			}
			d.clock.SetTime(end.Add(-2 * time.Second))
			d.expect("own", "Trial", "", "")
			d.clock.SetTime(end)
			if !tc.goesOn {
				p = d.check("own", over("Expired", "the trial ended at "+stamp(end)+", and a trial is had once: buy the product", ordersOn, "SelfServiceEnded"))
				if len(p.Status.Users) != 0 || !p.Status.EndedAt.Time.Equal(end) {
					t.Errorf("%+v", p.Status)
				}
				return
			}
			p = d.expect("own", "Active", ordersOn, "TrialTurnedPaid")
			if !p.Status.Term.StartsAt.Time.Equal(end) || p.Status.Next.Event != "Renews" || p.Status.Assigned != 1 {
				t.Errorf("%+v", p.Status)
			}
			d.clock.SetTime(p.Status.Term.EndsAt.Time)
			d.expect("own", "Active", ordersOn, "Renewed")
		})
	}
}

// The purchaser cancels, and it ends at the instant at which the API server took
// that, whenever the operator sees it.
func TestCancelsAPurchase(t *testing.T) {
	for name, tc := range map[string]struct {
		ask  []asking
		sees time.Duration // after it was asked for
	}{
		"at once":                         {sees: 0},
		"while the operator is away":      {sees: 100 * day},
		"on trial":                        {ask: []asking{paidTrial}, sees: time.Minute},
		"a trial that would be paid soon": {ask: []asking{paidTrial}, sees: 40 * day},
		"with a clock that is ahead":      {sees: -time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			d.ask("own", append(tc.ask, assigned("ada@contoso.example"), forMonths)...)
			d.serve("own")
			at := d.change("own", givenUp)
			d.clock.SetTime(at.Add(tc.sees))
			if tc.sees < 0 {
				at = d.purchase("own").Status.PurchasedAt.Time // never later than now, and never before the purchase
			}
			p := d.check("own", over("Cancelled", "cancelled by the purchaser at "+stamp(at), ordersOn, "SelfServiceEnded"))
			if !p.Status.EndedAt.Time.Equal(at) || len(p.Status.Users) != 0 || p.Status.Next != nil {
				t.Errorf("%+v", p.Status)
			}
			if o := d.order("own").Spec; o.EndReason != v1alpha1.OrderCancelled || !o.EndedAt.Time.Equal(at) || o.RenewedUntil != nil {
				t.Errorf("%+v", o)
			}
		})
	}
	t.Run("in the future, as managed fields say", func(t *testing.T) {
		d := newDesk(t)
		d.ago(100 * day)
		d.ask("own", forMonths)
		d.serve("own")
		d.change("own", givenUp)
		at := d.clock.Now()
		d.check("own", over("Cancelled", "cancelled by the purchaser at "+stamp(at), ordersOn, ""))
		if o := d.order("own").Spec; !o.EndedAt.Time.Equal(at) || o.RenewedUntil != nil {
			t.Errorf("%+v", o)
		}
	})
	t.Run("what has ended before", func(t *testing.T) {
		d := newDesk(t)
		d.ago(60 * day)
		d.ask("own", forMonths, goesOn(false))
		d.serve("own")
		end := d.purchase("own").Status.Term.EndsAt.Time
		at := d.change("own", givenUp)
		d.clock.SetTime(at)
		d.expect("own", "Expired", ordersOn, "")
		if o := d.order("own").Spec; o.EndReason != v1alpha1.OrderExpired || !o.EndedAt.Time.Equal(end) {
			t.Errorf("%+v", o)
		}
	})
	t.Run("the cache is behind", func(t *testing.T) {
		d := newDesk(t)
		d.ask("own")
		d.serve("own")
		p := d.purchase("own")
		d.change("own", assigned("ada@contoso.example"))
		p.Spec.Cancelled = true
		s := &selfService{purchase: p, order: d.order("own")}
		if err := d.purchases.follow(t.Context(), s, d.clock.Now()); err == nil || !strings.Contains(err.Error(), "has just been changed") || d.order("own").Spec.EndedAt != nil {
			t.Errorf("ended by what is not so any more: %v", err)
		}
	})
}

// One that was cancelled and made again is told to take another name.
func TestCancelledAndMadeAgain(t *testing.T) {
	d := newDesk(t)
	d.ask("own")
	d.serve("own")
	d.change("own", givenUp)
	d.serve("own")
	d.restore("own") // with spec.cancelled
	if p, _ := d.serve("own"); conditions(p) != isOver || p.Status.State != v1alpha1.SelfServiceCancelled {
		t.Errorf("%s", conditions(p))
	}
	d.remove(d.purchase("own"))
	d.ask("own", assigned("ada@contoso.example"))
	p, _ := d.serve("own")
	if conditions(p) != "Compliant=True(Allowed) Stalled=True(Ended)" || len(p.Status.Users) != 0 ||
		!strings.HasPrefix(p.Status.Message, "nothing was bought, because a purchase of this name was made before and cancelled by the purchaser at ") || !strings.HasSuffix(p.Status.Message, "delete this one and make another purchase under another name") {
		t.Errorf("%s %q", conditions(p), p.Status.Message)
	}
	d.still("own")

	// Another name is of no use to a trial.
	d.ask("tried", paidTrial)
	d.serve("tried")
	d.change("tried", givenUp)
	d.serve("tried")
	d.remove(d.purchase("tried"))
	d.ask("tried", paidTrial)
	if p, _ := d.serve("tried"); !strings.HasSuffix(p.Status.Message, "delete this one and buy the product to use it, since a trial is had once") {
		t.Errorf("%q", p.Status.Message)
	}
}

// An administrator takes a purchase over.
func TestTakenOver(t *testing.T) {
	for name, tc := range map[string]struct {
		takeover v1alpha1.OrderTakeover
		says     string
	}{
		"users are moved": {
			v1alpha1.OrderTakeover{Name: "central", MovedTo: &v1alpha1.SubscriptionReference{Kind: v1alpha1.KindMarketplaceSubscription, Reference: v1alpha1.Reference{Name: "drawing"}}},
			"its users were moved to MarketplaceSubscription drawing",
		},
		"users lose access": {v1alpha1.OrderTakeover{Name: "central", Reason: v1alpha1.TakeoverTooExpensive}, "cancelled, because it is too expensive; its users lost access"},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			d.ask("own", assigned("ada@contoso.example"))
			d.serve("own")
			d.later(time.Hour)
			d.takeOver("own", tc.takeover)
			at := d.clock.Now()
			p := d.check("own", over("Deleted", fmt.Sprintf("taken over by Takeover central at %s: %s", stamp(at), tc.says), tellsBuyer, "PurchaseTakenOver"))
			if len(p.Status.Users) != 0 || p.Status.Takeover != "central" || !p.Status.EndedAt.Time.Equal(at) {
				t.Errorf("%+v", p.Status)
			}
			d.change("own", givenUp) // which comes too late
			d.expect("own", "Deleted", tellsBuyer, "")
			d.restore("own")
			if p, _ := d.serve("own"); p.Status.State != v1alpha1.SelfServiceDeleted || len(p.Status.Users) != 0 {
				t.Errorf("%+v", p.Status)
			}
		})
	}
}

// What was bought is found again by a purchase that comes back without status,
// and old news is not told again.
func TestRestoresPurchases(t *testing.T) {
	for name, tc := range map[string]struct {
		ask   []asking
		state v1alpha1.SelfServiceState
	}{
		"that runs":      {nil, "Active"},
		"on trial":       {[]asking{paidTrial}, "Trial"},
		"that has ended": {[]asking{forMonths, goesOn(false)}, "Expired"},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			d.ago(29 * day)
			if tc.state == "Expired" {
				d.ago(60 * day)
			}
			d.ask("own", append(tc.ask, assigned("ada@contoso.example"))...)
			d.serve("own")
			order := d.order("own")
			d.ago(0)
			d.serve("own")
			before := d.purchase("own").Status
			before.NoticedUntil = nil
			d.restore("own")
			d.restart()
			p := d.expect("own", tc.state, tellsBuyer, "")
			for i := range p.Status.Conditions {
				p.Status.Conditions[i].LastTransitionTime = before.Conditions[i].LastTransitionTime
			}
			if got, want := asJSON(t, p.Status), asJSON(t, before); got != want {
				t.Errorf("restored as %s\nwas         %s", got, want)
			}
			if now := d.order("own"); now.UID != order.UID || asJSON(t, now.Spec.Agreed) != asJSON(t, order.Spec.Agreed) {
				t.Errorf("bought anew: %+v", now.Spec)
			}
		})
	}
}

// A purchase whose order is lost is not bought anew. Who has it keeps it.
func TestOrderIsLost(t *testing.T) {
	d := newDesk(t)
	d.ask("own", assigned("ada@contoso.example"))
	d.serve("own")
	order := d.order("own")
	d.remove(order)
	lost := sight{
		state: "Active", conditions: "Compliant=True(Allowed) Ready=True(Licensed) Stalled=True(OrderNotFound)", kstatus: "Failed", requeue: poll, writes: tellsBuyer,
		message: "and the ledger has no SelfServiceOrder " + order.Name + " for it: restore that, or delete this purchase and make another",
	}
	if p := d.check("own", lost); len(p.Status.Users) != 1 {
		t.Errorf("%+v", p.Status)
	}
	woken := d.purchases.orderMatters(t.Context())
	if !woken.Create(event.CreateEvent{Object: order}) || woken.Create(event.CreateEvent{Object: order, IsInInitialList: true}) {
		t.Error("an order that is restored wakes nobody")
	}
	d.create(&v1alpha1.SelfServiceOrder{ObjectMeta: metav1.ObjectMeta{Name: order.Name}, Spec: order.Spec})
	d.check("own", living("Active", "1 licence, 1 assigned", tellsBuyer, ""))
	if woken.Create(event.CreateEvent{Object: order}) {
		t.Error("our own order wakes us")
	}
	changed := order.DeepCopy()
	changed.Generation++
	if woken.Update(event.UpdateEvent{ObjectOld: order, ObjectNew: order}) || !woken.Update(event.UpdateEvent{ObjectOld: order, ObjectNew: changed}) || !woken.Delete(event.DeleteEvent{Object: order}) {
		t.Error("an order that changes is what we are woken by")
	}
	for served, want := range map[string]bool{"": true, d.customer: true, "another": false} {
		if got := servedOrder(strings.Fields(served)).Create(event.CreateEvent{Object: order}); got != want {
			t.Errorf("serving %q: %v", served, got)
		}
	}
	if got := ofOrder(t.Context(), order); len(got) != 1 || got[0] != d.request("own") {
		t.Errorf("%v", got)
	}
}

// The connection breaks at each write that a purchase, a renewal or a
// cancellation takes, before or after it was carried out. Whatever the point, it
// is on record once, and told once.
func TestPurchaseWhateverIsLost(t *testing.T) {
	for name, tc := range map[string]struct {
		bought bool
		then   func(*desk)
		state  v1alpha1.SelfServiceState
		told   string
	}{
		"a purchase":     {false, func(*desk) {}, "Active", "SelfServicePurchased"},
		"a renewal":      {true, func(d *desk) { d.later(31 * day) }, "Active", "Renewed"},
		"a cancellation": {true, func(d *desk) { d.clock.SetTime(d.change("own", givenUp)) }, "Cancelled", "SelfServiceEnded"},
	} {
		for write := int32(1); write <= 3; write++ { // the order, the Event, status
			for i := range 4 {
				after, forgets := i%2 == 1, i > 1
				t.Run(fmt.Sprintf("write %d of %s, answer lost %v, restarted %v", write, name, after, forgets), func(t *testing.T) {
					d := newDesk(t)
					d.ago(10 * time.Second) // so that no two things happen in one second
					d.ask("own", forMonths)
					if tc.bought {
						d.serve("own")
					}
					tc.then(d)
					d.wire.written.Store(0)
					d.wire.breakAt, d.wire.after = write, after
					if _, _, err := d.tryServe("own"); err == nil {
						t.Fatal("there are fewer writes")
					}
					var uid types.UID
					if o := d.order("own"); o != nil {
						uid = o.UID
					}
					if forgets {
						d.restart()
					} else {
						d.wire.breakAt = 0
						d.shelf.lateOrders = true // the cache has not seen it yet
					}
					d.later(2 * time.Second)
					p, _ := d.serve("own")
					if p.Status.State != tc.state || strings.Contains(conditions(p), v1alpha1.ReasonRetrying) {
						t.Errorf("%s %s", p.Status.State, conditions(p))
					}
					if o := d.order("own"); uid != "" && o.UID != uid {
						t.Error("it was bought anew")
					}
					d.shelf.lateOrders = false
					d.still("own")
					if d.noteOf("own", tc.told) == "" {
						t.Errorf("nobody was told %s", tc.told)
					}
				})
			}
		}
	}
}

// What was bought in a pass that failed then is not forgotten when the purchaser
// cancels before the cache has seen it.
func TestPurchaseIsCancelledAtOnce(t *testing.T) {
	for name, fail := range map[string]func(*desk){
		"status was not written": func(d *desk) { d.wire.breakAt = 3 },
		"nobody was told":        func(d *desk) { d.failEvents = true },
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			d.ask("own")
			fail(d)
			if _, _, err := d.tryServe("own"); err == nil || d.order("own") == nil {
				t.Fatal("nothing went wrong")
			}
			d.failEvents, d.shelf.lateOrders = false, true
			at := d.change("own", givenUp)
			d.clock.SetTime(at)
			if p, _ := d.serve("own"); p.Status.State != v1alpha1.SelfServiceCancelled || p.Status.EndedAt == nil || d.order("own").Spec.EndedAt == nil {
				t.Errorf("%+v", p.Status)
			}
			d.shelf.lateOrders = false
			d.still("own")
		})
	}
}

// A purchase that is gone, or is going, is left alone, and what was bought stays
// on record.
func TestPurchaseIsGone(t *testing.T) {
	d := newDesk(t)
	p := d.ask("own")
	d.serve("own")
	order := d.order("own")
	d.edit(p, func() { p.Finalizers = []string{"example.com/waits"} })
	d.remove(p)
	d.writes = nil
	untouched := func(what string) {
		if res, err := d.purchases.Reconcile(t.Context(), d.request("own")); err != nil || res.RequeueAfter != 0 || len(d.writes) != 0 {
			t.Errorf("%s: %v %v %v", what, res, err, d.writes)
		}
		if get(t, &v1alpha1.SelfServiceOrder{}, "", order.Name).Spec.EndedAt != nil {
			t.Errorf("%s: its order ended", what)
		}
	}
	d.later(400 * day)
	untouched("going")
	d.edit(p, func() { p.Finalizers = nil })
	untouched("gone")
}

// The product leaves the catalogue, and what was bought goes on.
func TestProductIsGone(t *testing.T) {
	d := newDesk(t)
	d.ask("own")
	d.serve("own")
	d.remove(d.product())
	d.still("own")
	d.later(366 * day)
	d.expect("own", "Active", ordersOn, "Renewed")
}
