package terms

import (
	"testing"
	"time"
)

func TestPeriodAt(t *testing.T) {
	for name, tc := range map[string]struct {
		contract   Contract
		at         string
		start, end string // end "": never
	}{
		"at the purchase":                 {bought("2026-03-01T09:30:00Z"), "2026-03-01T09:30:00Z", "2026-03-01T09:30:00Z", "2027-03-01T09:30:00Z"},
		"one second before the end":       {bought("2026-03-01T09:30:00Z"), "2027-03-01T09:29:59Z", "2026-03-01T09:30:00Z", "2027-03-01T09:30:00Z"},
		"exactly at the end":              {bought("2026-03-01T09:30:00Z"), "2027-03-01T09:30:00Z", "2027-03-01T09:30:00Z", "2028-03-01T09:30:00Z"},
		"clock behind the purchase":       {bought("2026-03-01T09:30:00Z"), "2026-02-27T00:00:00Z", "2026-03-01T09:30:00Z", "2027-03-01T09:30:00Z"},
		"clock years behind":              {bought("2026-03-01T09:30:00Z", term(Month)), "2016-02-27T00:00:00Z", "2026-03-01T09:30:00Z", "2026-04-01T09:30:00Z"},
		"bought in another zone":          {bought("2026-03-01T00:30:00+02:00"), "2026-03-02T00:00:00Z", "2026-02-28T22:30:00Z", "2027-02-28T22:30:00Z"},
		"asked in another zone":           {bought("2026-03-01T09:30:00Z", term(Month)), "2026-04-01T11:29:59+02:00", "2026-03-01T09:30:00Z", "2026-04-01T09:30:00Z"},
		"bought on a leap day, next year": {bought("2024-02-29T12:00:00Z"), "2025-02-27T00:00:00Z", "2024-02-29T12:00:00Z", "2025-02-28T12:00:00Z"},
		"leap day comes back":             {bought("2024-02-29T12:00:00Z"), "2028-01-01T00:00:00Z", "2027-02-28T12:00:00Z", "2028-02-29T12:00:00Z"},
		"end of January, first month":     {bought("2026-01-31T00:00:00Z", term(Month)), "2026-02-01T00:00:00Z", "2026-01-31T00:00:00Z", "2026-02-28T00:00:00Z"},
		"end of January, second month":    {bought("2026-01-31T00:00:00Z", term(Month)), "2026-02-28T00:00:00Z", "2026-02-28T00:00:00Z", "2026-03-31T00:00:00Z"},
		"end of January, in April":        {bought("2026-01-31T00:00:00Z", term(Month)), "2026-04-30T00:00:00Z", "2026-04-30T00:00:00Z", "2026-05-31T00:00:00Z"},
		"three years":                     {bought("2026-03-01T09:30:00Z", term(ThreeYears)), "2029-03-01T09:29:59Z", "2026-03-01T09:30:00Z", "2029-03-01T09:30:00Z"},
		"ten years of months":             {bought("2016-01-31T00:00:00Z", term(Month)), "2026-02-28T00:00:00Z", "2026-02-28T00:00:00Z", "2026-03-31T00:00:00Z"},
		"perpetual":                       {bought("2026-03-01T09:30:00Z", term(Perpetual)), "2099-01-01T00:00:00Z", "2026-03-01T09:30:00Z", ""},
	} {
		t.Run(name, func(t *testing.T) {
			want := Period{Start: at(tc.start)}
			if tc.end != "" {
				want.End = at(tc.end)
			}
			if got := tc.contract.PeriodAt(at(tc.at)); !got.Start.Equal(want.Start) || !got.End.Equal(want.End) {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
}

// Terms follow each other without a gap and each holds the instant it was
// asked for, whatever day the purchase was on.
func TestPeriodsAreContiguous(t *testing.T) {
	for _, length := range []Term{Month, Year, ThreeYears} {
		for day := range 366 {
			c := bought("2023-12-31T23:59:59Z", term(length))
			c.Purchased = c.Purchased.AddDate(0, 0, day)
			before := c.PeriodAt(c.Purchased)
			for range 40 {
				next := c.PeriodAt(before.End)
				if !next.Start.Equal(before.End) || !next.End.After(next.Start) {
					t.Fatalf("%s bought %v: %v follows %v", length, c.Purchased, next, before)
				}
				if last := c.PeriodAt(before.End.Add(-time.Second)); last != before {
					t.Fatalf("%s bought %v: one second before %v is in %v", length, c.Purchased, before.End, last)
				}
				before = next
			}
		}
	}
}

func TestFollow(t *testing.T) {
	c := bought("2026-03-01T09:30:00Z")
	first := c.PeriodAt(c.Purchased)
	second := c.PeriodAt(first.End)
	for name, tc := range map[string]struct {
		contract  Contract
		recorded  Period
		autoRenew bool
		now       string
		want      Period
		expired   time.Time
	}{
		"just bought":                       {c, Period{}, false, "2026-03-01T09:30:00Z", first, time.Time{}},
		"one second before the end":         {c, first, false, "2027-03-01T09:29:59Z", first, time.Time{}},
		"exactly at the end, no renewal":    {c, first, false, "2027-03-01T09:30:00Z", first, first.End},
		"exactly at the end, renewal":       {c, first, true, "2027-03-01T09:30:00Z", second, time.Time{}},
		"long after, no renewal":            {c, first, false, "2031-01-01T00:00:00Z", first, first.End},
		"long after, renewal skips ahead":   {c, first, true, "2030-03-01T09:30:00Z", c.PeriodAt(at("2030-03-01T09:30:00Z")), time.Time{}},
		"renewal turned off in second term": {c, second, false, "2028-03-01T09:29:59Z", second, time.Time{}},
		"no record is the first term":       {c, Period{}, false, "2028-06-01T00:00:00Z", first, first.End},
		"no record, and renewal":            {c, Period{}, true, "2028-06-01T00:00:00Z", c.PeriodAt(at("2028-06-01T00:00:00Z")), time.Time{}},
		"clock behind":                      {c, first, false, "2020-01-01T00:00:00Z", first, time.Time{}},
		"perpetual":                         {bought("2026-03-01T09:30:00Z", term(Perpetual)), Period{}, false, "2099-01-01T00:00:00Z", Period{Start: at("2026-03-01T09:30:00Z")}, time.Time{}},
	} {
		t.Run(name, func(t *testing.T) {
			got, expired := tc.contract.Follow(tc.recorded, tc.autoRenew, at(tc.now))
			if got != tc.want || !expired.Equal(tc.expired) {
				t.Errorf("got %v expired %v, want %v expired %v", got, expired, tc.want, tc.expired)
			}
		})
	}
}
