package terms

import "time"

// CalendarMonth is a month of UTC, by which customers are invoiced.
func CalendarMonth(year int, month time.Month) Period {
	start := time.Date(year, month, 1, 0, 0, 0, 0, time.UTC)
	return Period{Start: start, End: start.AddDate(0, 1, 0)}
}

// Begun reports whether a period has begun.
func (p Period) Begun(now time.Time) bool { return !now.Before(p.Start) }

// Over reports whether a period is over.
func (p Period) Over(now time.Time) bool { return !p.End.IsZero() && !now.Before(p.End) }

// ChargesIn returns what fell due in a period up to and with now.
func (a Account) ChargesIn(p Period, now time.Time) []Charge {
	before := Earliest(p.End, now.Add(time.Second))
	if before.Before(p.Start) {
		return nil
	}
	return a.Charges(before)[len(a.Charges(p.Start)):]
}
