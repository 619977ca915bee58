package controllers

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/license-operator/license-operator/api/v1alpha1"
)

// The connection breaks at each write that a change, a suspension or a
// cancellation takes, before or after it was carried out. Whatever the point,
// each is on record once and comes to its end.
func TestWhateverIsLost(t *testing.T) {
	for name, tc := range map[string]struct {
		wish       wanting
		writes     int32
		state      v1alpha1.MarketplaceState
		operations string
	}{
		"of a change":       {planned("team", 8), 2, v1alpha1.StateSubscribed, "ChangeQuantity=InProgress"},
		"of a suspension":   {suspended(true), 3, v1alpha1.StateSuspended, "Suspend=Succeeded"},        // the second is an Event
		"of a cancellation": {cancelled(true), 4, v1alpha1.StateUnsubscribed, "Unsubscribe=Succeeded"}, // the third is an Event
	} {
		for write := int32(1); write <= tc.writes; write++ {
			for i := range 4 {
				after, forgets := i%2 == 1, i > 1
				t.Run(fmt.Sprintf("write %d %s, answer lost %v, restarted %v", write, name, after, forgets), func(t *testing.T) {
					m := newMarket(t)
					m.ago(day)
					m.subscribed("sub")
					at := m.want("sub", tc.wish)
					m.clock.SetTime(at)
					m.wire.written.Store(0)
					m.wire.breakAt, m.wire.after = write, after
					if _, _, err := m.tryFollow("sub"); err == nil {
						t.Fatal("there are fewer writes")
					}
					if forgets {
						m.restart()
					}
					m.later(time.Minute)
					sub, _ := m.follow("sub")
					if got := m.operations("sub"); sub.Status.State != tc.state || got != tc.operations {
						t.Errorf("%s, operations %s", sub.Status.State, got)
					}
					e := m.entitlement("sub").Spec
					if e.EndedAt != nil && !e.EndedAt.Time.Equal(at) || e.SuspendedAt != nil && !e.SuspendedAt.Time.Equal(at) {
						t.Errorf("ended at %v, suspended at %v, want %v", e.EndedAt, e.SuspendedAt, at)
					}
					there := m.landing("sub-landing") != ""
					if want := tc.state != v1alpha1.StateUnsubscribed; there != want || (sub.Status.LandingPage != nil) != want || strings.Contains(conditions(sub), v1alpha1.ReasonRetrying) {
						t.Errorf("the link is there: %v, status tells of it: %+v; %s", there, sub.Status.LandingPage, conditions(sub))
					}
					m.still("sub")
				})
			}
		}
	}
}
