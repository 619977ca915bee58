package terms

import "time"

// What the passing of time will do to a service, as people call it.
const (
	ActivationLapses = "ActivationLapses"
	WindowCloses     = "WindowCloses"
	TrialEnds        = "TrialEnds" // and turns paid
	Renews           = "Renews"
	Expires          = "Expires"
	Ends             = "Ends" // because it stays suspended
)

// Upcoming is what happens next to a service that was followed up to now, and
// when; empty once it has ended.
func (e *Entitlement) Upcoming(now time.Time) (event string, at time.Time) {
	consider := func(what string, when time.Time) {
		if !when.IsZero() && (at.IsZero() || when.Before(at)) {
			event, at = what, when
		}
	}
	state := e.State()
	switch state {
	case Unsubscribed:
		return "", time.Time{}
	case Pending:
		consider(ActivationLapses, e.Purchased.UTC().Add(ActivationTime))
		return event, at
	case Suspended:
		consider(Ends, e.Suspended.Add(SuspensionTime))
	}
	over := e.Period().End
	switch {
	case !e.AutoRenew:
		consider(Expires, over)
	case state == Suspended: // it renews with the reinstatement
	case e.OnTrial():
		consider(TrialEnds, over)
	default:
		consider(Renews, over)
	}
	if w := e.CancelAt(now); w.Open {
		consider(WindowCloses, w.Until)
	}
	return event, at
}

// PurchaseLink is a link to a publisher's site.
type PurchaseLink struct {
	Expires time.Time // the first instant at which it no longer works
	Renewal int64     // which the customer asked for
}

// Replace says whether a link is to be replaced by a fresh one, and when that may
// change. The customer asks for one by a higher renewal. As long as a service is
// not activated, the publisher waits for the customer, who is not left with a link
// that no longer works.
func (l PurchaseLink) Replace(state State, renewal int64, now time.Time) (replace bool, next time.Time) {
	switch {
	case renewal > l.Renewal:
		return true, time.Time{}
	case state != Pending:
		return false, time.Time{}
	case now.Before(l.Expires):
		return false, l.Expires
	}
	return true, time.Time{}
}
