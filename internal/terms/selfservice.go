package terms

import "time"

// SelfService is what employees may buy and try themselves, after the values of
// Microsoft's AllowSelfServicePurchase policy (Enabled,
// OnlyTrialsWithoutPaymentMethod, Disabled).
type SelfService string

// What SelfService can be.
const (
	AllowAll   SelfService = "Allow"
	TrialsOnly SelfService = "TrialsOnly" // those that take no payment method
	Block      SelfService = "Block"
)

// Permits reports whether a purchase or a trial is allowed.
func (s SelfService) Permits(trial, paymentMethod bool) bool {
	switch s {
	case AllowAll:
		return true
	case TrialsOnly:
		return trial && !paymentMethod
	}
	return false
}

// StricterThan reports whether less is allowed than by another.
func (s SelfService) StricterThan(other SelfService) bool { return s.strictness() > other.strictness() }

func (s SelfService) strictness() int {
	switch s {
	case AllowAll:
		return 0
	case TrialsOnly:
		return 1
	}
	return 2
}

// OrderEnd is why an order ended for good.
type OrderEnd string

// What an OrderEnd can be.
const (
	OrderExpired   OrderEnd = "Expired"
	OrderCancelled OrderEnd = "Cancelled" // by the purchaser
	OrderTakenOver OrderEnd = "TakenOver" // by an administrator
)

// Order is something that an employee bought or tries himself: what was agreed,
// and what has happened since.
type Order struct {
	Ordered   time.Time
	Trial     time.Duration // free at first; 0: bought at once
	Paid      bool          // there is a payment method: a trial turns into a purchase
	Term      Term
	AutoRenew bool // what the purchaser wants now

	Renewed time.Time // end of the latest term, or trial, that was followed by another; zero: the first runs
	Ended   time.Time // zero: it goes on
	Why     OrderEnd
}

// Period is the trial or the term that runs, or that was the last one.
//
// Terms are counted from the end of the trial, and each end from there, so that
// a short month shortens one term and moves no later one.
func (o *Order) Period() Period {
	start := o.Ordered.UTC()
	if o.Trial > 0 {
		trial := Period{Start: start, End: start.Add(o.Trial)}
		if o.Renewed.Before(trial.End) {
			return trial
		}
		start = trial.End
	}
	at := start
	if o.Renewed.After(at) {
		at = o.Renewed
	}
	return Contract{Purchased: start, Term: o.Term}.PeriodAt(at)
}

// OnTrial reports whether what runs, or ran last, is the trial.
func (o *Order) OnTrial() bool {
	return o.Trial > 0 && o.Period().Start.Equal(o.Ordered.UTC())
}

// Renews reports whether a term follows the one that runs.
func (o *Order) Renews() bool {
	return o.Ended.IsZero() && o.Paid && o.AutoRenew && !o.Period().End.IsZero()
}

// Follow does what time has done to an order up to now: periods that are over
// are followed by others, or the order has expired with them. It returns when
// time does something next; zero: never.
func (o *Order) Follow(now time.Time) (next time.Time) {
	for o.Ended.IsZero() {
		end := o.Period().End
		if end.IsZero() || now.Before(end) {
			return end
		}
		if o.Renews() {
			o.Renewed = end
		} else {
			o.Ended, o.Why = end, OrderExpired
		}
	}
	return time.Time{}
}

// End ends an order at an instant, unless it has ended before. It is not before
// what runs has begun, whatever a clock says that is behind.
func (o *Order) End(why OrderEnd, at time.Time) {
	if !o.Ended.IsZero() {
		return
	}
	if start := o.Period().Start; at.Before(start) {
		at = start
	}
	o.Ended, o.Why = at.UTC(), why
}

// takenLately is how long after a takeover its users are looked at once more: some
// can have been added in the last moment. A Takeover that is restored later
// gives nobody back what he lost since.
const takenLately = time.Hour

// JustTaken reports whether an order that was taken over at an instant is still
// to be looked at once more.
func JustTaken(at, now time.Time) bool { return now.Before(at.Add(takenLately)) }

// Upcoming is what happens next to an order that was followed up to now, and
// when; empty if nothing does.
func (o *Order) Upcoming() (event string, at time.Time) {
	end := o.Period().End
	switch {
	case !o.Ended.IsZero() || end.IsZero():
		return "", time.Time{}
	case !o.Renews():
		return Expires, end
	case o.OnTrial():
		return TrialEnds, end
	}
	return Renews, end
}

// What people are told about orders, besides TrialEnding, TermEnding and Renewed.
const (
	OrderPlaced   Notice = "SelfServicePurchased"
	OrderEnded    Notice = "SelfServiceEnded"
	OrderTaken    Notice = "PurchaseTakenOver"
	TrialTurnPaid Notice = "TrialTurnedPaid"
)

// Announcements lists all notices of an order that was followed up to now,
// whether they are due already or not, in the order of their instants. What is
// announced only a short time after it became foreseeable is not announced.
func (o *Order) Announcements() []Announcement {
	all := []Announcement{{Notice: OrderPlaced, At: o.Ordered.UTC()}}
	bought := o.Ordered.UTC().Add(o.Trial)
	if o.Trial > 0 && !o.OnTrial() {
		all = append(all, Announcement{Notice: TrialTurnPaid, At: bought}) // however late that is seen: it costs money
	}
	if !o.Ended.IsZero() {
		notice := OrderEnded
		if o.Why == OrderTakenOver {
			notice = OrderTaken
		}
		return append(all, Announcement{Notice: notice, At: o.Ended})
	}
	period := o.Period()
	ending := TermEnding
	if o.OnTrial() {
		ending = TrialEnding
	} else if period.Start.After(bought) {
		all = append(all, Announcement{Notice: Renewed, At: period.Start})
	}
	if end := period.End; !end.IsZero() && end.Sub(period.Start) >= 14*day {
		all = append(all, Announcement{Notice: ending, At: end.Add(-7 * day), Before: end})
	}
	return all
}

// Due returns the announcements of an order that have become due after one
// instant and up to another, and when the next one will be due.
func (o *Order) Due(after, now time.Time) (due []Announcement, next time.Time) {
	return dueOf(o.Announcements(), after, now)
}
