package terms

import "time"

// Period is one term of a contract, [Start, End). A zero End never comes.
type Period struct {
	Start, End time.Time
}

// days is how many days a term has that ends. The number is whole, because both
// of its ends are the same time of day in UTC.
func (p Period) days() int64 { return int64(p.End.Sub(p.Start) / day) }

// PeriodAt returns the term that runs at an instant if every earlier one was
// renewed. Before the purchase it is the first one.
//
// Each end is counted from the purchase, not from the end before it, so a
// monthly contract bought on 31 January runs to 28 February and then to 31
// March: a short month shortens one term and moves no later one.
func (c Contract) PeriodAt(at time.Time) Period {
	start := c.Purchased.UTC()
	months := c.Term.months()
	if months == 0 {
		return Period{Start: start}
	}
	// The months between the dates count at most one term too many, or too few
	// when the day of the month was clamped.
	elapsed := (at.UTC().Year()-start.Year())*12 + int(at.UTC().Month()-start.Month())
	n := max(0, elapsed/months-1)
	for !at.Before(addMonths(start, (n+1)*months)) {
		n++
	}
	return Period{Start: addMonths(start, n*months), End: addMonths(start, (n+1)*months)}
}

// Follow moves a contract on from the term on record to the one that holds
// now. With autoRenew each end starts the next term; without it the contract
// has expired at the end of the recorded term, and Follow reports the instant
// in expired. A zero recorded period is the first one.
func (c Contract) Follow(recorded Period, autoRenew bool, now time.Time) (current Period, expired time.Time) {
	if recorded.Start.IsZero() {
		recorded = c.PeriodAt(c.Purchased)
	}
	switch {
	case recorded.End.IsZero() || now.Before(recorded.End):
		return recorded, time.Time{}
	case autoRenew:
		return c.PeriodAt(now), time.Time{}
	default:
		return recorded, recorded.End
	}
}

// addMonths adds calendar months and keeps the day of the month, or takes the
// month's last day where it has no such day. (time.AddDate would go on into
// the next month.)
func addMonths(t time.Time, months int) time.Time {
	first := time.Date(t.Year(), t.Month()+time.Month(months), 1, t.Hour(), t.Minute(), t.Second(), 0, time.UTC)
	last := first.AddDate(0, 1, -1).Day()
	return first.AddDate(0, 0, min(t.Day(), last)-1)
}
