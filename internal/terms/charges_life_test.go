package terms

import (
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"pgregory.net/rapid"
)

// However a service lives, what is settled stays: the lines up to an instant are
// the same whenever they are asked for again. An end gives back what the status
// tells, and never leaves the customer with more than was paid.
func TestSettledChargesStay(t *testing.T) {
	rapidChecks(t, 4_000)
	settled, ended := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		e := served(func(e *Entitlement) {
			e.Term = rapid.SampledFrom([]Term{Month, Year}).Draw(t, "term")
			e.Bought.Cycle = rapid.SampledFrom([]Cycle{Monthly, Annual}).Draw(t, "cycle")
			e.Trial = time.Duration(rapid.SampledFrom([]int{0, 7, 30}).Draw(t, "trial")) * day
			e.Window = time.Duration(rapid.IntRange(0, 60).Draw(t, "window")) * day
			e.Refund = rapid.SampledFrom([]Refund{Full, Prorated}).Draw(t, "refund")
			e.Activated = time.Time{}
		})
		type asked struct {
			before time.Time
			lines  string
		}
		var answers []asked
		now := e.Purchased
		level := func(n int64) Level {
			return Level{Plan: "silver", Quantity: n, UnitPrice: decimal.NewFromInt(4)}
		}
		for range rapid.IntRange(1, 25).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.Int64Range(0, 20*86400).Draw(t, "pause")) * time.Second)
			e.Follow(now)
			switch what := rapid.IntRange(0, 9).Draw(t, "what"); {
			case e.State() == Unsubscribed:
			case e.State() == Pending:
				e.Activate(now)
			case what < 3 && e.State() == Subscribed:
				e.Request(ChangeQuantity, level(rapid.Int64Range(1, 9).Draw(t, "seats")), now)
				e.Answer(true, "", now)
			case what == 3 && e.State() == Subscribed:
				e.Suspend(now)
			case what < 7 && e.State() == Suspended:
				e.Request(Reinstate, e.Level(), now)
				e.Answer(true, "", now)
				e.Follow(now)
			case what == 7 && e.Orphaned.IsZero():
				e.Orphaned = now
			case what == 7:
				e.Orphaned = time.Time{}
				e.Follow(now)
			case what == 8:
				e.AutoRenew, e.NextCycle = !e.AutoRenew, Monthly
			case what == 9 && (e.CancelAt(now).Open || rapid.Bool().Draw(t, "by the publisher")):
				e.End(EndPublisherEnded, now, now)
			}
			a := e.Account()
			before := now.Add(-time.Duration(rapid.Int64Range(0, 60*86400).Draw(t, "before")) * time.Second)
			if a.Settled(before) {
				settled++
				answers = append(answers, asked{before, bills(a.Charges(before))})
			}
		}
		for _, old := range answers {
			if got := bills(e.Account().Charges(old.before)); got != old.lines {
				t.Fatalf("%+v\nbefore %v at %v\n%s\nwas\n%s", e, old.before, now, got, old.lines)
			}
		}
		all, sum, credit := e.Account().Charges(now.AddDate(10, 0, 0)), decimal.Zero, decimal.Zero
		for _, l := range all {
			sum = sum.Add(l.Amount)
			if l.Type == ChargeCancelImmediate {
				credit = credit.Sub(l.Amount)
			}
			if !e.Ended.IsZero() && l.At.After(e.Ended) {
				t.Fatalf("%+v\ncharged after the end: %+v", e, l)
			}
		}
		if !e.Ended.IsZero() {
			ended++
		}
		if !credit.Equal(e.Credit()) || sum.IsNegative() {
			t.Fatalf("%+v\nthe status gives back %s, the lines %s, in all %s\n%s", e, e.Credit(), credit, sum, bills(all))
		}
	})
	t.Logf("%d settled answers, %d ended", settled, ended)
	if !t.Failed() && (settled < 20_000 || ended < 1_000) {
		t.Error("too few of them")
	}
}
