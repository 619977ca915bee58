package terms

import (
	"strings"
	"testing"
	"time"

	"github.com/shopspring/decimal"
)

// changed adds changes of the quantity to a contract.
func changed(changes ...Change) func(*Contract) {
	return func(c *Contract) { c.Changes = append(c.Changes, changes...) }
}

func to(quantity int64, when string) Change { return Change{At: at(when), Quantity: quantity} }

func TestQuantityAt(t *testing.T) {
	up, down := to(30, "2026-03-03T12:00:00Z"), to(20, "2026-03-05T12:00:00Z")
	for name, tc := range map[string]struct {
		changes []Change
		at      string
		want    int64
	}{
		"never changed":                 {nil, "2026-03-04T00:00:00Z", 25},
		"clock behind the purchase":     {[]Change{up}, "2026-01-01T00:00:00Z", 25},
		"one second before the change":  {[]Change{up, down}, "2026-03-03T11:59:59Z", 25},
		"exactly at the change":         {[]Change{up, down}, "2026-03-03T12:00:00Z", 30},
		"another zone, a second before": {[]Change{up, down}, "2026-03-03T13:59:59+02:00", 25},
		"another zone, at the change":   {[]Change{up, down}, "2026-03-03T14:00:00+02:00", 30},
		"one second before the second":  {[]Change{up, down}, "2026-03-05T11:59:59Z", 30},
		"at the second":                 {[]Change{up, down}, "2026-03-05T12:00:00Z", 20},
		"terms later":                   {[]Change{up, down}, "2031-01-01T00:00:00Z", 20},
	} {
		if got := bought("2026-03-01T12:00:00Z", changed(tc.changes...)).QuantityAt(at(tc.at)); got != tc.want {
			t.Errorf("%s: got %d, want %d", name, got, tc.want)
		}
	}
}

func TestPaidIn(t *testing.T) {
	price := func(amount, currency string, quantity int64) func(*Contract) {
		return func(c *Contract) {
			c.UnitPrice, c.Currency, c.Quantity = decimal.RequireFromString(amount), currency, quantity
		}
	}
	const noon, april = "2026-03-01T12:00:00Z", "2026-04-01T00:00:00Z"
	// contract is the published example's: April has 30 days.
	contract := func(amount string, quantity int64, changes ...Change) Contract {
		return bought(april, term(Month), price(amount, "EUR", quantity), changed(changes...))
	}
	for name, tc := range map[string]struct {
		contract Contract
		at       string
		lines    string // the first, and for each change what goes back and what comes on top
		paid     string
	}{
		"never changed":                         {bought(noon), "2026-06-01T00:00:00Z", "3000", "3000"},
		"published: one more on the second day": {contract("4", 1, to(2, "2026-04-02T00:00:00Z")), "2026-04-02T00:00:00Z", "4 -3.87 7.74", "7.87"},
		"published: one more on the first day":  {contract("4", 1, to(2, "2026-04-01T00:00:01Z")), "2026-04-02T00:00:00Z", "4 -4 8", "8"},
		"published: one less on the second day": {contract("4", 2, to(1, "2026-04-02T00:00:00Z")), "2026-04-02T00:00:00Z", "8 -7.74 3.87", "4.13"},
		"last second of the first day":          {contract("4", 1, to(2, "2026-04-01T23:59:59Z")), "2026-04-02T00:00:00Z", "4 -4 8", "8"},
		"last second of the second day":         {contract("4", 1, to(2, "2026-04-02T23:59:59Z")), "2026-04-03T00:00:00Z", "4 -3.87 7.74", "7.87"},
		"third day begins":                      {contract("4", 1, to(2, "2026-04-03T00:00:00Z")), "2026-04-03T00:00:00Z", "4 -3.73 7.46", "7.73"},
		"last day of the term":                  {contract("4", 1, to(2, "2026-04-30T23:59:59Z")), "2026-04-30T23:59:59Z", "4 -0.13 0.26", "4.13"},
		"another zone, last of the first day":   {contract("4", 1, to(2, "2026-04-02T01:59:59+02:00")), "2026-04-02T00:00:00Z", "4 -4 8", "8"},
		"another zone, second day begins":       {contract("4", 1, to(2, "2026-04-02T02:00:00+02:00")), "2026-04-02T00:00:00Z", "4 -3.87 7.74", "7.87"},
		"one second before the change":          {contract("4", 1, to(2, "2026-04-02T00:00:00Z")), "2026-04-01T23:59:59Z", "4", "4"},
		"clock behind the purchase":             {contract("4", 1, to(2, "2026-04-02T00:00:00Z")), "2026-01-01T00:00:00Z", "4", "4"},
		"in the second of the purchase":         {contract("4", 1, to(2, april)), april, "8", "8"},
		"up and back on one day":                {contract("4", 1, to(9, "2026-04-05T08:00:00Z"), to(1, "2026-04-05T09:00:00Z")), "2026-04-06T00:00:00Z", "4 -3.47 31.23 -31.23 3.47", "4"},
		"up on one day, back on the next":       {contract("4", 1, to(2, "2026-04-05T08:00:00Z"), to(1, "2026-04-06T08:00:00Z")), "2026-04-07T00:00:00Z", "4 -3.47 6.94 -6.66 3.33", "4.14"},
		"the next term has the new quantity":    {contract("4", 1, to(2, "2026-04-02T00:00:00Z")), "2026-05-01T00:00:00Z", "8", "8"},
		"changed exactly at the renewal":        {contract("4", 1, to(2, "2026-05-01T00:00:00Z")), "2026-05-01T00:00:00Z", "8", "8"},
		"leap day is a day of the term":         {bought("2024-02-01T00:00:00Z", term(Month), price("29", "EUR", 1), changed(to(2, "2024-02-29T12:00:00Z"))), "2024-02-29T12:00:00Z", "29 -1 2", "30"},
		"over the end of a month":               {bought("2026-01-31T00:00:00Z", term(Month), price("28", "EUR", 1), changed(to(2, "2026-02-01T00:00:00Z"))), "2026-02-01T00:00:00Z", "28 -27 54", "55"},
		"perpetual, the quantity only":          {bought(noon, term(Perpetual), changed(to(30, "2026-03-05T12:00:00Z"))), "2026-03-05T12:00:00Z", "", "3600"},
		"perpetual, a second before":            {bought(noon, term(Perpetual), changed(to(30, "2026-03-05T12:00:00Z"))), "2026-03-05T11:59:59Z", "", "3000"},
		"yen have no decimals":                  {bought(april, term(Month), price("100", "JPY", 1), changed(to(2, "2026-04-02T00:00:00Z"))), "2026-04-02T00:00:00Z", "100 -97 194", "197"},
		"dinars have three":                     {bought(april, term(Month), price("4", "KWD", 1), changed(to(2, "2026-04-02T00:00:00Z"))), "2026-04-02T00:00:00Z", "4 -3.867 7.734", "7.867"},
		"finer than a cent is not free":         {contract("0.004", 1, to(100_000, "2026-04-01T00:00:01Z")), "2026-04-02T00:00:00Z", "0 0 400", "400"},
		"finer than a cent does not pay double": {contract("0.005", 100, to(1, "2026-04-01T00:00:01Z")), "2026-04-02T00:00:00Z", "0.5 -0.5 0.01", "0.01"},
	} {
		t.Run(name, func(t *testing.T) {
			now := at(tc.at)
			p := tc.contract.PeriodAt(now)
			if tc.lines != "" {
				if got := lines(tc.contract, p, now); got != tc.lines {
					t.Errorf("lines %q, want %q", got, tc.lines)
				}
			}
			if got := tc.contract.PaidIn(p, now); got.String() != tc.paid {
				t.Errorf("paid %v, want %s", got, tc.paid)
			}
		})
	}
}

// lines writes what is on the bill of a term up to an instant.
func lines(c Contract, p Period, now time.Time) string {
	if now.Before(p.Start) {
		now = p.Start
	}
	var all []string
	for _, line := range c.Account(p, time.Time{}, false).Charges(now.Add(time.Second)) {
		if line.Start.Equal(p.Start) {
			all = append(all, line.Amount.String())
		}
	}
	return strings.Join(all, " ")
}

func TestCreditAfterChanges(t *testing.T) {
	full := func(c *Contract) { c.Refund = Full }
	cheap := func(c *Contract) {
		c.UnitPrice, c.Quantity, c.Window = decimal.RequireFromString("0.01"), 1, 30*day
	}
	const noon = "2026-03-01T12:00:00Z"
	up, down := changed(to(30, "2026-03-03T12:00:00Z")), changed(to(1, "2026-03-03T12:00:00Z"))
	for name, tc := range map[string]struct {
		contract   Contract
		at, credit string
		next       string
	}{
		"a second before five more":  {bought(noon, up), "2026-03-03T11:59:59Z", "2983.56", "2026-03-03T12:00:00Z"},
		"at five more":               {bought(noon, up), "2026-03-03T12:00:00Z", "3570.41", "2026-03-04T12:00:00Z"},
		"at 24 less":                 {bought(noon, down), "2026-03-03T12:00:00Z", "119.01", "2026-03-04T12:00:00Z"},
		"in full, five more":         {bought(noon, up, full), "2026-03-07T00:00:00Z", "3596.7", "2026-03-08T12:00:00Z"},
		"in full, 24 less":           {bought(noon, down, full), "2026-03-07T00:00:00Z", "135.84", "2026-03-08T12:00:00Z"},
		"in full, a clock behind":    {bought(noon, down, full), "2026-01-01T00:00:00Z", "3000", "2026-03-03T12:00:00Z"},
		"perpetual, five more":       {bought(noon, up, full, term(Perpetual)), "2026-03-04T00:00:00Z", "3600", "2026-03-08T12:00:00Z"},
		"perpetual, 24 less":         {bought(noon, down, full, term(Perpetual)), "2026-03-04T00:00:00Z", "120", "2026-03-08T12:00:00Z"},
		"changed in the term before": {bought(noon, up), "2027-03-01T12:00:00Z", "3590.16", "2027-03-02T12:00:00Z"},
		// One licence at 0.01 for the last 14 days of 30 is 0.00, a thousand of them are still 0.00.
		"never more than was paid": {bought("2026-04-01T00:00:00Z", term(Month), cheap, changed(to(1000, "2026-04-17T00:00:00Z"))), "2026-04-17T00:00:00Z", "0.01", "2026-04-18T00:00:00Z"},
	} {
		w := tc.contract.CancelAt(tc.contract.PeriodAt(at(tc.at)), at(tc.at))
		if w.Credit.String() != tc.credit || !w.Next.Equal(at(tc.next)) {
			t.Errorf("%s: credit %v until %v, want %s until %s", name, w.Credit, w.Next, tc.credit, tc.next)
		}
	}
}
