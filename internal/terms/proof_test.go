package terms

import (
	"testing"
	"time"
)

func TestProven(t *testing.T) {
	policy := at("2028-02-29T23:59:55Z")
	for name, tc := range map[string]struct {
		made     time.Time
		policies []time.Time
		want     bool
	}{
		"when the policy has settled":   {at("2028-03-01T00:00:00Z"), []time.Time{policy, policy}, true},
		"one second before":             {at("2028-02-29T23:59:59Z"), []time.Time{policy, policy}, false},
		"in the same second as it":      {policy, []time.Time{policy}, false},
		"before the policy":             {policy.Add(-day), []time.Time{policy}, false},
		"one of two is younger":         {policy.Add(day), []time.Time{policy, policy.Add(2 * day)}, false},
		"the same instant elsewhere":    {at("2028-03-01T00:00:00Z").In(time.FixedZone("", 7200)), []time.Time{policy}, true},
		"by a clock that is far behind": {time.Time{}, []time.Time{policy}, false},
		"at the end of a month":         {at("2027-02-01T00:00:04Z"), []time.Time{at("2027-01-31T23:59:59Z")}, true},
	} {
		if got := Proven(tc.made, tc.policies...); got != tc.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
