package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/test/apiproxy"
)

// selfServiceWrite counts writes for purchases, seats and takeovers, and mails
// that are put on record. They are sent at any time, so sending is not counted.
func selfServiceWrite(w apiproxy.Write) bool {
	switch w.Resource {
	case "selfserviceorders", "selfservicepurchases", "licenseassignments", "seats", "takeovers":
		return true
	case "notifications":
		return w.Method == http.MethodPost
	}
	return false
}

// play is something that is done while the operator is killed.
type play struct {
	act func()
	// always holds after each write; nil: nothing is looked at.
	always func() error
	// done is nil once everything is as it should be.
	done func() error
	// ours are the writes that count; nil: those in self-service.
	ours func(apiproxy.Write) bool
	// between is done after the operator was killed, and before another one starts.
	between func()
}

// The operator is killed after each write that it makes for a purchase, for seats
// and for a takeover, which is before the next, and started again. Whatever the
// point, something is bought once, a user has one seat, and nobody who is moved
// is without access at any time.
func TestSelfServiceKilledBetweenWrites(t *testing.T) {
	for _, tc := range []struct {
		name  string
		least int // writes
		stage func(*company) play
	}{
		{"buying", 3, func(c *company) play { // an order, status and a mail
			return play{
				act: func() { c.order("bi", "ada@contoso.example") },
				done: func() error {
					order, err := c.theOrder()
					if err == nil && order.Spec.EndedAt != nil {
						err = errors.New("the order has ended")
					}
					return errors.Join(err, c.hasState("bi", v1alpha1.SelfServiceActive, "ada@contoso.example"), c.told("bi", "SelfServicePurchased"))
				},
			}
		}},
		{"assigning", 2, func(c *company) play { // a seat, and status
			c.central()
			return play{
				act:  func() { c.assign("ada", "ada@contoso.example") },
				done: func() error { return c.seated("ada@contoso.example") },
			}
		}},
		{"freeing a seat", 3, func(c *company) play { // one seat less, one more, and status
			c.central()
			c.t.Helper()
			for i := range seats {
				c.assign(fmt.Sprintf("user-%d", i), v1alpha1.User(fmt.Sprintf("user-%d", i)))
			}
			everybody := []v1alpha1.User{"user-0", "user-1", "user-2", "user-3", "user-4"}
			eventually(c.t, "waiting for seats", func() error { return c.seated(everybody...) })
			c.assign("waiting", "waiting")
			return play{
				act: func() { c.unassign("user-2") },
				done: func() error {
					return c.seated("user-0", "user-1", "user-3", "user-4", "waiting")
				},
			}
		}},
		{"taking over", 8, func(c *company) play { // 2 seats, 2 assignments, the order, the takeover, the purchase and a mail
			users := []v1alpha1.User{"ada@contoso.example", "bob@contoso.example"}
			c.central()
			c.order("bi", users...)
			eventually(c.t, "waiting for the purchase", func() error { return c.hasState("bi", v1alpha1.SelfServiceActive, users...) })
			eventually(c.t, "waiting for the notices", func() error { return c.told("bi", "SelfServicePurchased") })
			return play{
				act:    func() { c.takeOver("bi") },
				always: func() error { return c.access("bi", users...) },
				done: func() error {
					order, err := c.theOrder()
					if err == nil && order.Spec.EndReason != v1alpha1.OrderTakenOver {
						err = fmt.Errorf("the order's endReason is %q", order.Spec.EndReason)
					}
					return errors.Join(err, c.seated(users...), c.isTakenOver("bi", 2), c.hasState("bi", v1alpha1.SelfServiceDeleted), c.told("bi", "PurchaseTakenOver", "SelfServicePurchased"))
				},
			}
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			newMailbox(t)
			proxy, through := startProxy(t)
			start := func() *operator {
				return startOperator(t, through, "--serve=controllers", "--mail-from=licences@contoso.example")
			}
			o := start()
			for write := 1; ; write++ {
				killed := false
				if o, killed = (point{write, true}).play(t, proxy, o, start, tc.stage(newCompany(t))); !killed {
					if write <= tc.least {
						t.Errorf("the operator made %d writes, and at least %d were expected", write-1, tc.least)
					}
					t.Logf("killed after each of %d writes", write-1)
					return
				}
			}
		})
	}
}

// play kills an operator at a point of a play, starts another one, waits for the
// end and returns the one that runs. Killed is false if the operator did not make
// that many writes.
func (p point) play(t *testing.T, proxy *apiproxy.Proxy, o *operator, start func() *operator, scene play) (runs *operator, killed bool) {
	t.Helper()
	var mu sync.Mutex
	var lost error
	look := func() {
		if scene.always == nil {
			return
		}
		err := scene.always()
		mu.Lock()
		defer mu.Unlock()
		lost = errors.Join(lost, err)
	}
	ours := scene.ours
	if ours == nil {
		ours = selfServiceWrite
	}
	armed := p.arm(proxy, ours, o, look)
	defer proxy.SetHook(apiproxy.Hook{})
	scene.act()
	eventually(t, fmt.Sprintf("write %d: waiting for it, or for the end", p.write), func() error {
		if int(armed.writes.Load()) >= p.write {
			return nil
		}
		return scene.done()
	})
	// It may have come after the look at the number of writes.
	if killed = int(armed.writes.Load()) >= p.write; killed {
		<-armed.killed
		proxy.SetHook(apiproxy.Hook{After: func(w apiproxy.Write, _ int) {
			if ours(w) {
				look()
			}
		}})
		if scene.between != nil {
			scene.between()
		}
		o = start()
		eventually(t, fmt.Sprintf("write %d: waiting for the end", p.write), scene.done)
	}
	mu.Lock()
	defer mu.Unlock()
	if lost != nil {
		t.Errorf("write %d: %v", p.write, lost)
	}
	return o, killed
}
