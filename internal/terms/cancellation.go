package terms

import (
	"time"

	"github.com/shopspring/decimal"
)

// Refund says what cancelling inside the window gives back.
type Refund string

// What a Refund can be.
const (
	Prorated Refund = "Prorated" // the days of the term that were not used
	Full     Refund = "Full"     // everything
)

// Default cancellation policies of software, where a product states none: 7
// days with a prorated refund, for perpetual licences 30 days with a full one
// (the new commerce cancellation policy of Microsoft's Partner Center).
const (
	DefaultWindow          = 7 * day
	DefaultPerpetualWindow = 30 * day
)

const day = 24 * time.Hour

// Window is until when and for how much a contract can be cancelled.
type Window struct {
	Until  time.Time       // the first instant at which it is too late
	Open   bool            // whether it can be cancelled now
	Credit decimal.Decimal // what cancelling now gives back; zero when not open
	Next   time.Time       // when Open or Credit may next be different; zero: never
}

// CancelAt says what holds at an instant of the given term. The window begins
// with the term and never outlasts it. Before the purchase, as seen by a clock
// that is behind, it is open; before a later term starts it is not.
func (c Contract) CancelAt(p Period, at time.Time) Window {
	until := p.Start.Add(c.Window)
	if !p.End.IsZero() && p.End.Before(until) {
		until = p.End
	}
	w := Window{Until: until, Open: at.Before(until) && (!at.Before(p.Start) || !p.Start.After(c.Purchased))}
	if !w.Open {
		if at.Before(until) {
			w.Next = p.Start
		}
		return w
	}
	w.Credit, w.Next = c.credit(p, at), until
	if c.Refund == Prorated && !p.End.IsZero() {
		w.Next = Earliest(until, p.Start.Add(time.Duration(usedDays(p, at))*day))
	}
	for _, change := range c.Changes {
		if change.At.After(at) { // as seen by a clock that is behind
			w.Next = Earliest(w.Next, change.At)
		}
	}
	return w
}

// credit is the refund for cancelling at an instant of the given term.
func (c Contract) credit(p Period, at time.Time) decimal.Decimal {
	return c.account().credit(p, c.Refund, at)
}

// usedDays counts the days of a term begun by an instant, from 1. A day is 24
// hours counted from the start of the term, so that it has the same length
// for every customer, wherever they are.
func usedDays(p Period, at time.Time) int64 {
	return int64(max(0, at.Sub(p.Start))/day) + 1
}
