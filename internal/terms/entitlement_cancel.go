package terms

import (
	"time"

	"github.com/shopspring/decimal"
)

// CancelAt says until when and for how much the service can be cancelled, at an
// instant up to which it was followed, or earlier: always before its activation,
// when nothing was charged, during a trial, and while it is suspended and no
// term runs. Else the window of the running term counts; that of the first term
// begins with the purchase.
func (e *Entitlement) CancelAt(at time.Time) Window {
	if !e.Ended.IsZero() {
		return Window{}
	}
	return e.window(at)
}

// Credit is what the end of the service gave back.
func (e *Entitlement) Credit() decimal.Decimal {
	if !e.refunded() {
		return decimal.Zero
	}
	return e.window(e.Ended).Credit
}

// refunded reports whether the end of the service was inside the window. When
// none of its terms ran there was nothing to give back.
func (e *Entitlement) refunded() bool {
	if e.lapsed(e.Ended) {
		return false
	}
	switch e.Reason {
	case EndCancelled, EndDeleted, EndPublisherEnded:
		return e.window(e.Ended).Open
	}
	return false
}

// lapsed reports whether a service is suspended at an instant and its last term,
// or trial, is over: the next one begins with the reinstatement, if there is one.
func (e *Entitlement) lapsed(at time.Time) bool {
	return !e.Suspended.IsZero() && !at.Before(e.Period().End)
}

// begun is when the window of a term begins: with the term, for the first one
// with the purchase, and for one that began while the service was suspended
// with the reinstatement that made it begin.
func (e *Entitlement) begun(p Period) time.Time {
	if p.Start.Equal(e.Activated) {
		return e.Purchased.UTC()
	}
	var reinstated time.Time
	for _, op := range e.Operations {
		switch {
		case op.Action == Reinstate && op.Progress == Succeeded && op.Completed.After(p.Start):
			reinstated = op.Completed
		case op.Action == Renew && op.Requested.Equal(p.Start) && !reinstated.IsZero():
			return reinstated
		}
	}
	return p.Start
}

// window is CancelAt, as it was.
func (e *Entitlement) window(at time.Time) Window {
	if e.Activated.IsZero() || at.Before(e.Activated) {
		until := e.Purchased.UTC().Add(ActivationTime)
		return Window{Until: until, Open: at.Before(until), Next: until}
	}
	p := e.Period()
	if at.Before(p.Start) { // asked for before the renewal that is on record
		p = e.first()
		if !at.Before(p.End) {
			p = e.paid().PeriodAt(at)
		}
	}
	if e.lapsed(at) {
		until := e.Suspended.Add(SuspensionTime)
		return Window{Until: until, Open: at.Before(until), Next: until}
	}
	if p.Start.Before(e.PaidFrom()) {
		return Window{Until: p.End, Open: at.Before(p.End), Next: p.End}
	}
	w := Window{Until: Earliest(e.begun(p).Add(e.Window), p.End)}
	if w.Open = at.Before(w.Until); !w.Open {
		return w
	}
	account := e.account()
	w.Credit, w.Next = account.credit(p, e.Refund, at), w.Until
	for _, part := range account.parts(p) { // a full refund has more to give then
		if part.Start.After(at) {
			w.Next = Earliest(w.Next, part.Start)
		}
	}
	if e.Refund == Prorated {
		w.Next = Earliest(w.Next, p.Start.Add(time.Duration(usedDays(p, at))*day))
	}
	return w
}
