package terms

import (
	"testing"
	"time"

	"github.com/shopspring/decimal"
)

// at reads an instant, in any zone.
func at(s string) time.Time {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		panic(err)
	}
	return t
}

// bought is a yearly contract over 25 licences of 120.00 EUR.
func bought(when string, change ...func(*Contract)) Contract {
	c := Contract{
		Purchased: at(when), Term: Year, Quantity: 25,
		UnitPrice: decimal.RequireFromString("120.00"), Currency: "EUR",
		Window: DefaultWindow, Refund: Prorated,
	}
	for _, f := range change {
		f(&c)
	}
	return c
}

func term(t Term) func(*Contract) { return func(c *Contract) { c.Term = t } }

func TestEarliest(t *testing.T) {
	early, late := at("2026-01-01T00:00:00Z"), at("2026-01-02T00:00:00Z")
	for name, tc := range map[string]struct {
		in   []time.Time
		want time.Time
	}{
		"nothing":        {nil, time.Time{}},
		"only zero ones": {[]time.Time{{}, {}}, time.Time{}},
		"zero is never":  {[]time.Time{{}, late}, late},
		"the soonest":    {[]time.Time{late, early, {}}, early},
	} {
		if got := Earliest(tc.in...); !got.Equal(tc.want) {
			t.Errorf("%s: got %v, want %v", name, got, tc.want)
		}
	}
}

func TestAllowedVersions(t *testing.T) {
	offered := []string{"2024", "2021", "2019", "2016"}
	for name, tc := range map[string]struct {
		offered   []string
		downgrade int32
		want      int
	}{
		"the newest only":             {offered, 0, 1},
		"n-2":                         {offered, 2, 3},
		"more rights than versions":   {offered, 9, 4},
		"nothing on offer":            {nil, 2, 0},
		"one version, one before it":  {offered[:1], 1, 1},
		"exactly as many as versions": {offered, 3, 4},
	} {
		if got := AllowedVersions(tc.offered, tc.downgrade); len(got) != tc.want || (tc.want > 0 && got[0] != "2024") {
			t.Errorf("%s: got %v, want the first %d", name, got, tc.want)
		}
	}
}

func TestMinorDigits(t *testing.T) {
	for currency, want := range map[string]int32{"EUR": 2, "USD": 2, "JPY": 0, "KWD": 3, "CLF": 4, "XXX": 2} {
		if got := MinorDigits(currency); got != want {
			t.Errorf("%s: got %d, want %d", currency, got, want)
		}
	}
}
