package terms

import (
	"slices"
	"time"
)

// What people are told about a service, besides WindowClosing, TermEnding and
// Renewed.
const (
	ServicePurchased  Notice = "Purchased" // and to be configured at the publisher
	ServiceActivated  Notice = "Activated"
	ServiceChanged    Notice = "Changed" // its plan or quantity
	ServiceRefused    Notice = "ChangeRefused"
	ServiceSuspended  Notice = "Suspended"
	ServiceReinstated Notice = "Reinstated"
	ServiceEnded      Notice = "Unsubscribed"      // for good
	ActivationLapsing Notice = "ActivationLapsing" // in 7 days
	TrialEnding       Notice = "TrialEnding"       // in 7 days
	SuspensionEnding  Notice = "SuspensionEnding"  // in 7 days, and the service with it
)

// Warnings lists what people are told ahead about a service, whether that is
// due already or not, in the order of the instants. As with Announcements, what
// would come only a short time after it became foreseeable is left out.
func (e *Entitlement) Warnings() (all []Announcement) {
	ahead := func(n Notice, from, event time.Time, lead time.Duration, before time.Time) {
		if !event.IsZero() && event.Sub(from) >= 2*lead {
			all = append(all, Announcement{Notice: n, At: event.Add(-lead), Before: before})
		}
	}
	state, p := e.State(), e.Period()
	switch state {
	case Unsubscribed:
		return nil
	case Pending:
		lapse := e.Purchased.UTC().Add(ActivationTime)
		ahead(ActivationLapsing, e.Purchased, lapse, 7*day, lapse)
		return all
	case Suspended:
		end := e.Suspended.Add(SuspensionTime)
		ahead(SuspensionEnding, e.Suspended, end, 7*day, end)
	}
	if e.OnTrial() {
		ahead(TrialEnding, p.Start, p.End, 7*day, p.End)
		return all
	}
	ahead(WindowClosing, p.Start, e.window(p.Start).Until, day, e.window(p.Start).Until)
	ahead(TermEnding, p.Start, p.End, 30*day, p.End.Add(-7*day))
	ahead(TermEnding, p.Start, p.End, 7*day, p.End)
	slices.SortStableFunc(all, func(a, b Announcement) int { return a.At.Compare(b.At) })
	return all
}

// Due returns the warnings that have become due after one instant and up to
// another, and are still news then, and when the next one will be due; zero:
// never, as far as is known.
func (e *Entitlement) Due(after, now time.Time) (due []Announcement, next time.Time) {
	return dueOf(e.Warnings(), after, now)
}
