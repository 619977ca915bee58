package e2e

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/test/apiproxy"
)

// point is when to kill an operator: before or after one of its writes.
type point struct {
	write int
	after bool // the API server has carried the write out, but its answer is lost
}

// kill kills the operator at a point while act runs. Writes that are not ours
// are not counted.
func (p point) kill(t *testing.T, proxy *apiproxy.Proxy, ours func(apiproxy.Write) bool, o *operator, act func()) {
	t.Helper()
	armed := p.arm(proxy, ours, o, func() {})
	act()
	select {
	case <-armed.killed:
	case <-o.exited:
	case <-t.Context().Done():
		t.Fatal("the operator made fewer writes")
	}
	proxy.SetHook(apiproxy.Hook{})
}

// armed is a kill that may be still to come.
type armed struct {
	writes *atomic.Int32 // that the operator has begun
	killed chan struct{} // closed when it is dead
}

// arm has the operator killed once it reaches a point, until the proxy has
// another hook. Each write is looked at when the API server has carried it out,
// and nobody else knows.
func (p point) arm(proxy *apiproxy.Proxy, ours func(apiproxy.Write) bool, o *operator, look func()) armed {
	a := armed{new(atomic.Int32), make(chan struct{})}
	die := func() {
		o.kill()
		close(a.killed)
	}
	number := make(chan int, 100)
	proxy.SetHook(apiproxy.Hook{
		Before: func(w apiproxy.Write) apiproxy.Action {
			if !ours(w) {
				return apiproxy.Forward
			}
			i := int(a.writes.Add(1))
			if i > p.write {
				return apiproxy.DropBefore // the operator is dead, or as good as
			}
			if i == p.write && !p.after {
				die()
				return apiproxy.DropBefore
			}
			number <- i
			return apiproxy.Forward
		},
		After: func(w apiproxy.Write, _ int) {
			if !ours(w) {
				return
			}
			if <-number == p.write && p.after {
				die()
			}
			look()
		},
	})
	return a
}

// The operator is killed before and after each write that it makes for a
// purchase and for a cancellation, and started again. Whatever the point, the
// purchase ends with its keys, each once, and the cancellation with none.
func TestKilledBetweenWrites(t *testing.T) {
	proxy, through := startProxy(t)
	// ours counts the writes for subscriptions, not the status of issuers.
	ours := func(w apiproxy.Write) bool {
		return w.Resource == "licensekeys" || w.Resource == "secrets" || w.Resource == "softwaresubscriptions"
	}
	killAt := func(t *testing.T, p point, o *operator, act func()) {
		t.Helper()
		p.kill(t, proxy, ours, o, act)
		startOperator(t, through)
	}

	for _, keys := range []int{1, 2} {
		writes := keys + 2
		for write := 1; write <= writes; write++ {
			for _, after := range []bool{false, true} {
				p := point{write, after}
				t.Run(fmt.Sprintf("buying %d keys, write %d of %d, after %v", keys, write, writes, after), func(t *testing.T) {
					s := newShop(t, 10, perLicense)
					o := startOperator(t, through)
					s.issuerReady()
					killAt(t, p, o, func() {
						s.buy("sub", func(sub *v1alpha1.SoftwareSubscription) { sub.Spec.Quantity = int64(keys) })
					})
					s.settled("sub", v1alpha1.StateActive)
					s.checkOneKeyPerSlot("sub", keys)
				})
				t.Run(fmt.Sprintf("cancelling %d keys, write %d of %d, after %v", keys, write, writes, after), func(t *testing.T) {
					s := newShop(t, 10, perLicense)
					o := startOperator(t, through)
					s.buy("sub", func(sub *v1alpha1.SoftwareSubscription) { sub.Spec.Quantity = int64(keys) })
					s.settled("sub", v1alpha1.StateActive)
					killAt(t, p, o, func() {
						if err := s.cancel("sub"); err != nil {
							t.Fatal(err)
						}
					})
					sub := s.settled("sub", v1alpha1.StateCancelled)
					if s.secret("sub-key") != nil || sub.Status.Cancellation.Credit == nil {
						t.Errorf("Secret left, or no credit: %+v", sub.Status.Cancellation)
					}
					for _, e := range s.entries() {
						if e.Spec.State != v1alpha1.LicenseKeyRevoked {
							t.Errorf("slot %d is %s", e.Spec.Slot, e.Spec.State)
						}
					}
					if n := len(s.entries()); n != keys {
						t.Errorf("%d entries in the ledger, want %d", n, keys)
					}
				})
			}
		}
	}
}
