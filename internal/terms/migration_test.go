package terms

import (
	"testing"
	"time"
)

func TestMigrationAt(t *testing.T) {
	const last = "2026-03-01T12:00:00Z" // 180 days later it is 28 August
	const atRisk, before = "2026-07-29T12:00:00Z", "2026-08-28T12:00:00Z"
	for name, tc := range map[string]struct {
		last                 string
		deployed             bool
		at                   string
		state                Migration
		atRisk, before, next string
	}{
		"at the last activation":           {last, false, last, MigrationOnTrack, atRisk, before, atRisk},
		"one second before it is at risk":  {last, false, "2026-07-29T11:59:59Z", MigrationOnTrack, atRisk, before, atRisk},
		"30 days are left":                 {last, false, atRisk, MigrationAtRisk, atRisk, before, before},
		"one second before it lapses":      {last, false, "2026-08-28T11:59:59Z", MigrationAtRisk, atRisk, before, before},
		"exactly when it lapses":           {last, false, before, MigrationLapsed, atRisk, before, ""},
		"another zone, one second before":  {last, false, "2026-08-28T13:59:59+02:00", MigrationAtRisk, atRisk, before, before},
		"another zone, when it lapses":     {last, false, "2026-08-28T14:00:00+02:00", MigrationLapsed, atRisk, before, ""},
		"activated in another zone":        {"2026-03-01T14:00:00+02:00", false, "2026-08-28T11:59:59Z", MigrationAtRisk, atRisk, before, before},
		"deployed in time":                 {last, true, "2026-04-01T00:00:00Z", MigrationDone, atRisk, before, ""},
		"deployed too late is still done":  {last, true, "2027-04-01T00:00:00Z", MigrationDone, atRisk, before, ""},
		"a leap day is one of the 180":     {"2024-01-01T00:00:00Z", false, "2024-06-28T23:59:59Z", MigrationAtRisk, "2024-05-30T00:00:00Z", "2024-06-29T00:00:00Z", "2024-06-29T00:00:00Z"},
		"activated at the end of a month":  {"2026-08-31T00:00:00Z", false, "2027-02-27T00:00:00Z", MigrationLapsed, "2027-01-28T00:00:00Z", "2027-02-27T00:00:00Z", ""},
		"clock behind the last activation": {last, false, "2026-01-01T00:00:00Z", MigrationOnTrack, atRisk, before, atRisk},
	} {
		var next time.Time
		if tc.next != "" {
			next = at(tc.next)
		}
		want := MigrationStatus{State: tc.state, AtRisk: at(tc.atRisk), Before: at(tc.before), Next: next}
		want.Future = name == "clock behind the last activation"
		if got := MigrationAt(at(tc.last), tc.deployed, at(tc.at)); got != want {
			t.Errorf("%s: got %+v, want %+v", name, got, want)
		}
	}
}
