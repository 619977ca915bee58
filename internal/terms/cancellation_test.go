package terms

import (
	"testing"
	"time"

	"github.com/shopspring/decimal"
)

func TestCancelAt(t *testing.T) {
	price := func(amount, currency string, quantity int64) func(*Contract) {
		return func(c *Contract) {
			c.UnitPrice, c.Currency, c.Quantity = decimal.RequireFromString(amount), currency, quantity
		}
	}
	window := func(d time.Duration) func(*Contract) { return func(c *Contract) { c.Window = d } }
	full := func(c *Contract) { c.Refund = Full }
	const noon = "2026-03-01T12:00:00Z"
	for name, tc := range map[string]struct {
		contract Contract
		at       string
		until    string
		credit   string // "": closed
		next     string
	}{
		"the first second":                   {bought(noon), noon, "2026-03-08T12:00:00Z", "2991.78", "2026-03-02T12:00:00Z"},
		"last second of the first day":       {bought(noon), "2026-03-02T11:59:59Z", "2026-03-08T12:00:00Z", "2991.78", "2026-03-02T12:00:00Z"},
		"second day begins":                  {bought(noon), "2026-03-02T12:00:00Z", "2026-03-08T12:00:00Z", "2983.56", "2026-03-03T12:00:00Z"},
		"third day pays for three":           {bought(noon), "2026-03-04T00:00:00Z", "2026-03-08T12:00:00Z", "2975.34", "2026-03-04T12:00:00Z"},
		"one second before the deadline":     {bought(noon), "2026-03-08T11:59:59Z", "2026-03-08T12:00:00Z", "2942.47", "2026-03-08T12:00:00Z"},
		"exactly at the deadline":            {bought(noon), "2026-03-08T12:00:00Z", "2026-03-08T12:00:00Z", "", ""},
		"another zone, one second before":    {bought(noon), "2026-03-08T13:59:59+02:00", "2026-03-08T12:00:00Z", "2942.47", "2026-03-08T12:00:00Z"},
		"another zone, at the deadline":      {bought(noon), "2026-03-08T14:00:00+02:00", "2026-03-08T12:00:00Z", "", ""},
		"clock behind the purchase":          {bought(noon), "2026-02-01T00:00:00Z", "2026-03-08T12:00:00Z", "2991.78", "2026-03-02T12:00:00Z"},
		"no window":                          {bought(noon, window(0)), noon, noon, "", ""},
		"a leap year has 366 days":           {bought("2024-01-01T00:00:00Z"), "2024-01-01T00:00:00Z", "2024-01-08T00:00:00Z", "2991.80", "2024-01-02T00:00:00Z"},
		"window over the end of a month":     {bought("2026-02-25T12:00:00Z"), "2026-03-04T11:59:59Z", "2026-03-04T12:00:00Z", "2942.47", "2026-03-04T12:00:00Z"},
		"window never outlasts the term":     {bought(noon, term(Month), window(90*day)), noon, "2026-04-01T12:00:00Z", "2903.23", "2026-03-02T12:00:00Z"},
		"last day of the term gives nothing": {bought(noon, term(Month), window(90*day)), "2026-04-01T11:59:59Z", "2026-04-01T12:00:00Z", "0", "2026-04-01T12:00:00Z"},
		"the published example, day two":     {bought("2026-04-01T00:00:00Z", term(Month), price("4", "EUR", 1)), "2026-04-02T00:00:00Z", "2026-04-08T00:00:00Z", "3.73", "2026-04-03T00:00:00Z"},
		"full refund of a term":              {bought(noon, full), "2026-03-07T12:00:00Z", "2026-03-08T12:00:00Z", "3000", "2026-03-08T12:00:00Z"},
		"perpetual, in full, day 30":         {bought(noon, term(Perpetual), full, window(DefaultPerpetualWindow)), "2026-03-31T11:59:59Z", "2026-03-31T12:00:00Z", "3000", "2026-03-31T12:00:00Z"},
		"perpetual, at the deadline":         {bought(noon, term(Perpetual), full, window(DefaultPerpetualWindow)), "2026-03-31T12:00:00Z", "2026-03-31T12:00:00Z", "", ""},
		"yen have no decimals":               {bought(noon, price("1000", "JPY", 1)), noon, "2026-03-08T12:00:00Z", "997", "2026-03-02T12:00:00Z"},
		"dinars have three":                  {bought(noon, price("10", "KWD", 1)), noon, "2026-03-08T12:00:00Z", "9.973", "2026-03-02T12:00:00Z"},
		"half a cent goes up":                {bought("2026-04-01T00:00:00Z", term(Month), price("0.15", "EUR", 1)), "2026-04-01T00:00:00Z", "2026-04-08T00:00:00Z", "0.15", "2026-04-02T00:00:00Z"},
		"free costs nothing to cancel":       {bought(noon, price("0", "EUR", 25)), noon, "2026-03-08T12:00:00Z", "0", "2026-03-02T12:00:00Z"},
	} {
		t.Run(name, func(t *testing.T) {
			now := at(tc.at)
			got := tc.contract.CancelAt(tc.contract.PeriodAt(tc.contract.Purchased), now)
			if !got.Until.Equal(at(tc.until)) || got.Open != (tc.credit != "") {
				t.Fatalf("until %v, open %v; want until %v, credit %q", got.Until, got.Open, tc.until, tc.credit)
			}
			if !got.Open {
				if !got.Credit.IsZero() || !got.Next.IsZero() {
					t.Errorf("a closed window promises %v at %v", got.Credit, got.Next)
				}
				return
			}
			if want := decimal.RequireFromString(tc.credit); !got.Credit.Equal(want) {
				t.Errorf("credit %v, want %v", got.Credit, want)
			}
			if !got.Next.Equal(at(tc.next)) || !got.Next.After(now) {
				t.Errorf("next %v, want %v", got.Next, tc.next)
			}
		})
	}
}

func TestRenewalOpensANewWindow(t *testing.T) {
	c := bought("2026-03-01T12:00:00Z")
	second := c.PeriodAt(at("2027-03-01T12:00:00Z"))
	if w := c.CancelAt(second, second.Start); !w.Open || !w.Credit.Equal(decimal.RequireFromString("2991.80")) { // 366 days
		t.Errorf("at the renewal: %+v", w)
	}
	if w := c.CancelAt(second, second.Start.Add(-time.Second)); w.Open || !w.Next.Equal(second.Start) {
		t.Errorf("before the renewal: %+v", w)
	}
	if w := c.CancelAt(second, at("2027-03-08T12:00:00Z")); w.Open {
		t.Errorf("a week after the renewal: %+v", w)
	}
}
