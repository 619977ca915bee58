package terms

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shopspring/decimal"
)

// served is a service of two seats for 4.00 EUR each a month, activated on 1
// April, with one term on record for each renewal.
func served(change ...func(*Entitlement)) *Entitlement {
	e := &Entitlement{
		Purchased: at("2026-03-31T00:00:00Z"), Term: Month, Window: DefaultServiceWindow, Refund: Full, Currency: "EUR",
		Bought: Level{Plan: "silver", Quantity: 2, UnitPrice: decimal.NewFromInt(4), Cycle: Monthly},
	}
	e.Activated, e.AutoRenew = at("2026-04-01T00:00:00Z"), true
	for _, f := range change {
		f(e)
	}
	return e
}

func sells(t Term, cycle Cycle, plan string, quantity int64, price, currency string) func(*Entitlement) {
	return func(e *Entitlement) {
		e.Term, e.Currency = t, currency
		e.Bought = Level{Plan: plan, Quantity: quantity, UnitPrice: decimal.RequireFromString(price), Cycle: cycle}
	}
}

func activated(when string) func(*Entitlement) {
	return func(e *Entitlement) { e.Activated, e.Purchased = at(when), at(when).UTC() }
}

func trial(d time.Duration) func(*Entitlement) { return func(e *Entitlement) { e.Trial = d } }

func renewed(when string) func(*Entitlement) { return func(e *Entitlement) { e.Renewed = at(when) } }

func refunds(r Refund, window time.Duration) func(*Entitlement) {
	return func(e *Entitlement) { e.Refund, e.Window = r, window }
}

func leveled(when, plan string, quantity int64, price string) func(*Entitlement) {
	return func(e *Entitlement) {
		level := Level{Plan: plan, Quantity: quantity, UnitPrice: decimal.RequireFromString(price), Cycle: e.Level().Cycle}
		e.Changes = append(e.Changes, LevelChange{At: at(when), Level: level})
	}
}

func over(reason EndReason, when string) func(*Entitlement) {
	return func(e *Entitlement) { e.Ended, e.Reason = at(when), reason }
}

// bills writes lines as "<day> <type> <plan> <quantity> <amount>".
func bills(lines []Charge) string {
	var all []string
	for _, l := range lines {
		all = append(all, fmt.Sprintf("%s %s %s %d %s", l.At.Format("06-01-02"), l.Type, l.Plan, l.Quantity, l.Amount))
	}
	return strings.Join(all, "\n")
}

func TestCharges(t *testing.T) {
	one := sells(Month, Monthly, "silver", 1, "4", "EUR")
	const always = "2100-01-01T00:00:00Z"
	for name, tc := range map[string]struct {
		service *Entitlement
		before  string
		want    []string
	}{
		"bought and not activated": {served(func(e *Entitlement) { e.Activated = time.Time{} }), always, nil},
		"activated":                {served(), always, []string{"26-04-01 new silver 2 8"}},
		"not before the activation": {served(), "2026-04-01T00:00:00Z",
			nil},
		"one second later": {served(), "2026-04-01T00:00:01Z", []string{"26-04-01 new silver 2 8"}},
		"another zone":     {served(activated("2026-04-01T01:00:00+02:00")), "2026-04-01T00:00:00Z", []string{"26-03-31 new silver 2 8"}},
		"published: one more on the second day": {served(one, leveled("2026-04-02T00:00:00Z", "silver", 2, "4")), always,
			[]string{"26-04-01 new silver 1 4", "26-04-02 addQuantity silver 1 -3.87", "26-04-02 addQuantity silver 2 7.74"}},
		"published: one more on the first day": {served(one, leveled("2026-04-01T23:59:59Z", "silver", 2, "4")), always,
			[]string{"26-04-01 new silver 1 4", "26-04-01 addQuantity silver 1 -4", "26-04-01 addQuantity silver 2 8"}},
		"published: one less on the second day": {served(leveled("2026-04-02T00:00:00Z", "silver", 1, "4")), always,
			[]string{"26-04-01 new silver 2 8", "26-04-02 removeQuantity silver 2 -7.74", "26-04-02 removeQuantity silver 1 3.87"}},
		"published: one less on the first day": {served(leveled("2026-04-01T12:00:00Z", "silver", 1, "4")), always,
			[]string{"26-04-01 new silver 2 8", "26-04-01 removeQuantity silver 2 -8", "26-04-01 removeQuantity silver 1 4"}},
		"published: another plan on the first day": {served(sells(Month, Monthly, "silver", 1, "20", "EUR"), leveled("2026-04-01T12:00:00Z", "bronze", 1, "10")), always,
			[]string{"26-04-01 new silver 1 20", "26-04-01 convert silver 1 -20", "26-04-01 convert bronze 1 10"}},
		"published: a trial that turns paid": {served(sells(Month, Monthly, "silver", 1, "2", "EUR"), trial(30*day), renewed("2026-05-01T00:00:00Z")), always,
			[]string{"26-04-01 new silver 1 0", "26-05-01 renew silver 1 2"}},
		"published: a trial that is cancelled": {served(sells(Month, Monthly, "silver", 11, "2", "EUR"), trial(30*day), over(EndCancelled, "2026-04-01T08:00:00Z")), always,
			[]string{"26-04-01 new silver 11 0", "26-04-01 cancelImmediate silver 11 0"}},
		"published: cancelled on the first day": {served(sells(Month, Monthly, "bronze", 1, "10", "EUR"), over(EndCancelled, "2026-04-01T08:00:00Z")), always,
			[]string{"26-04-01 new bronze 1 10", "26-04-01 cancelImmediate bronze 1 -10"}},

		"a trial that runs out":            {served(trial(30*day), over(EndExpired, "2026-05-01T00:00:00Z")), always, []string{"26-04-01 new silver 2 0"}},
		"a change in the trial is no line": {served(trial(30*day), leveled("2026-04-05T00:00:00Z", "silver", 9, "4")), always, []string{"26-04-01 new silver 2 0"}},
		"and counts when it turns paid":    {served(trial(30*day), leveled("2026-04-05T00:00:00Z", "silver", 9, "4"), renewed("2026-05-01T00:00:00Z")), always, []string{"26-04-01 new silver 2 0", "26-05-01 renew silver 9 36"}},
		"terms on record are charged":      {served(renewed("2026-06-01T00:00:00Z")), always, []string{"26-04-01 new silver 2 8", "26-05-01 renew silver 2 8", "26-06-01 renew silver 2 8"}},
		"a plan that is not sold by seats": {served(sells(Month, Monthly, "site", 0, "99.90", "EUR")), always, []string{"26-04-01 new site 1 99.9"}},
		"another plan and more seats":      {served(one, leveled("2026-04-16T00:00:00Z", "gold", 3, "10")), always, []string{"26-04-01 new silver 1 4", "26-04-16 convert silver 1 -2", "26-04-16 convert gold 3 15"}},
		"another cycle only is no line": {served(func(e *Entitlement) {
			e.Changes = []LevelChange{{At: at("2026-04-09T00:00:00Z"), Level: Level{"silver", 2, decimal.NewFromInt(4), Annual}}}
		}), always, []string{"26-04-01 new silver 2 8"}},
		"changed exactly at the renewal":    {served(leveled("2026-05-01T00:00:00Z", "silver", 3, "4"), renewed("2026-05-01T00:00:00Z")), always, []string{"26-04-01 new silver 2 8", "26-05-01 renew silver 3 12"}},
		"changed in the last second":        {served(leveled("2026-04-30T23:59:59Z", "silver", 3, "4"), renewed("2026-05-01T00:00:00Z")), always, []string{"26-04-01 new silver 2 8", "26-04-30 addQuantity silver 2 -0.26", "26-04-30 addQuantity silver 3 0.39", "26-05-01 renew silver 3 12"}},
		"the day of a change begins at UTC": {served(one, leveled("2026-04-02T01:59:59+02:00", "silver", 2, "4")), always, []string{"26-04-01 new silver 1 4", "26-04-01 addQuantity silver 1 -4", "26-04-01 addQuantity silver 2 8"}},

		"the ends of short months": {served(activated("2026-01-31T09:00:00Z"), renewed("2026-03-31T09:00:00Z")), always,
			[]string{"26-01-31 new silver 2 8", "26-02-28 renew silver 2 8", "26-03-31 renew silver 2 8"}},
		"a leap day": {served(activated("2024-01-31T00:00:00Z"), sells(Month, Monthly, "silver", 1, "31", "EUR"), renewed("2024-02-29T00:00:00Z"), leveled("2024-03-30T00:00:00Z", "silver", 2, "31")), always,
			[]string{"24-01-31 new silver 1 31", "24-02-29 renew silver 1 31", "24-03-30 addQuantity silver 1 -1", "24-03-30 addQuantity silver 2 2"}},
		"yen have no decimals": {served(sells(Month, Monthly, "silver", 3, "100", "JPY"), leveled("2026-04-02T00:00:00Z", "silver", 1, "100")), always,
			[]string{"26-04-01 new silver 3 300", "26-04-02 removeQuantity silver 3 -291", "26-04-02 removeQuantity silver 1 97"}},
		"dinars have three": {served(sells(Month, Monthly, "silver", 1, "4", "KWD"), leveled("2026-04-02T00:00:00Z", "silver", 2, "4")), always,
			[]string{"26-04-01 new silver 1 4", "26-04-02 addQuantity silver 1 -3.867", "26-04-02 addQuantity silver 2 7.734"}},
		"finer than a cent": {served(sells(Month, Monthly, "silver", 1000, "0.004", "EUR")), always, []string{"26-04-01 new silver 1000 4"}},

		"a year by the month, the parts sum up": {served(sells(Year, Monthly, "silver", 1, "100", "EUR")), "2026-08-01T00:00:00Z",
			[]string{"26-04-01 new silver 1 8.33", "26-05-01 renew silver 1 8.34", "26-06-01 renew silver 1 8.33", "26-07-01 renew silver 1 8.33"}},
		"a year by the year":           {served(sells(Year, Annual, "silver", 1, "100", "EUR")), always, []string{"26-04-01 new silver 1 100"}},
		"three years by the year":      {served(sells(ThreeYears, Annual, "silver", 2, "100", "EUR")), always, []string{"26-04-01 new silver 2 66.66", "27-04-01 renew silver 2 66.68", "28-04-01 renew silver 2 66.66"}},
		"a month by the year is whole": {served(sells(Month, Annual, "silver", 1, "4", "EUR")), always, []string{"26-04-01 new silver 1 4"}},
		"a change touches the running part, later parts are at the new level": {served(sells(Year, Monthly, "silver", 1, "120", "EUR"), leveled("2026-05-17T00:00:00Z", "silver", 2, "120")), "2026-07-01T00:00:00Z",
			[]string{"26-04-01 new silver 1 10", "26-05-01 renew silver 1 10", "26-05-17 addQuantity silver 1 -4.84", "26-05-17 addQuantity silver 2 9.68", "26-06-01 renew silver 2 20"}},
		"the cycle of a term is that of its beginning": {served(sells(Year, Annual, "silver", 1, "120", "EUR"), renewed("2027-04-01T00:00:00Z"),
			func(e *Entitlement) {
				e.Changes = []LevelChange{{At: at("2027-04-01T00:00:00Z"), Level: Level{"silver", 1, decimal.NewFromInt(120), Monthly}}}
			}), "2027-06-01T00:00:00Z",
			[]string{"26-04-01 new silver 1 120", "27-04-01 renew silver 1 10", "27-05-01 renew silver 1 10"}},
		"also if more seats came in the second of the renewal": {served(sells(Year, Annual, "silver", 1, "120", "EUR"), renewed("2027-04-01T00:00:00Z"),
			func(e *Entitlement) {
				e.Changes = []LevelChange{
					{At: at("2027-04-01T00:00:00Z"), Level: Level{"silver", 2, decimal.NewFromInt(120), Annual}},
					{At: at("2027-04-01T00:00:01Z"), Level: Level{"silver", 2, decimal.NewFromInt(120), Monthly}},
				}
			}), "2027-06-01T00:00:00Z",
			[]string{"26-04-01 new silver 1 120", "27-04-01 renew silver 2 20", "27-05-01 renew silver 2 20"}},

		"suspended, charging goes on": {served(sells(Year, Monthly, "silver", 1, "120", "EUR"), func(e *Entitlement) { e.Suspended = at("2026-04-10T00:00:00Z") }), "2026-06-01T00:00:00Z",
			[]string{"26-04-01 new silver 1 10", "26-05-01 renew silver 1 10"}},
		"not paid for: nothing after the end": {served(sells(Year, Monthly, "silver", 1, "120", "EUR"), over(EndNotPaid, "2026-05-20T00:00:00Z")), always,
			[]string{"26-04-01 new silver 1 10", "26-05-01 renew silver 1 10"}},
		"nor at the end":                     {served(sells(Year, Monthly, "silver", 1, "120", "EUR"), over(EndNotPaid, "2026-05-01T00:00:00Z")), always, []string{"26-04-01 new silver 1 10"}},
		"expired":                            {served(over(EndExpired, "2026-05-01T00:00:00Z")), always, []string{"26-04-01 new silver 2 8"}},
		"not activated in time":              {served(func(e *Entitlement) { e.Activated = time.Time{} }, over(EndNotActivated, "2026-04-30T00:00:00Z")), always, nil},
		"gone before it was activated":       {served(over(EndDeleted, "2026-03-31T23:59:59Z")), always, nil},
		"cancelled in full after a change":   {served(leveled("2026-04-02T00:00:00Z", "silver", 1, "4"), over(EndCancelled, "2026-04-02T12:00:00Z")), always, []string{"26-04-01 new silver 2 8", "26-04-02 removeQuantity silver 2 -7.74", "26-04-02 removeQuantity silver 1 3.87", "26-04-02 cancelImmediate silver 1 -4.13"}},
		"the day of a cancellation is used":  {served(one, refunds(Prorated, 7*day), over(EndCancelled, "2026-04-03T00:00:00Z")), always, []string{"26-04-01 new silver 1 4", "26-04-03 cancelImmediate silver 1 -3.6"}},
		"in the first second, a day is used": {served(one, refunds(Prorated, 7*day), over(EndCancelled, "2026-04-01T00:00:00Z")), always, []string{"26-04-01 new silver 1 4", "26-04-01 cancelImmediate silver 1 -3.87"}},
		"by the publisher, after the window": {served(over(EndPublisherEnded, "2026-04-20T00:00:00Z")), always, []string{"26-04-01 new silver 2 8"}},
		"by the publisher, in the window":    {served(over(EndPublisherEnded, "2026-04-01T00:00:00Z")), always, []string{"26-04-01 new silver 2 8", "26-04-01 cancelImmediate silver 2 -8"}},
		"the end came before the renewal that is on record": {served(refunds(Full, 31*day), renewed("2026-05-01T00:00:00Z"), leveled("2026-05-02T00:00:00Z", "silver", 9, "4"), over(EndDeleted, "2026-04-30T12:00:00Z")), always,
			[]string{"26-04-01 new silver 2 8", "26-04-30 cancelImmediate silver 2 -8"}},
		"by the month, in full: all parts back": {served(sells(Year, Monthly, "silver", 1, "100", "EUR"), refunds(Full, 90*day), over(EndCancelled, "2026-05-20T00:00:00Z")), always,
			[]string{"26-04-01 new silver 1 8.33", "26-05-01 renew silver 1 8.34", "26-05-20 cancelImmediate silver 1 -16.67"}},
		"by the month, prorated: of the running part": {served(sells(Year, Monthly, "silver", 1, "120", "EUR"), refunds(Prorated, 90*day), over(EndCancelled, "2026-05-16T12:00:00Z")), always,
			[]string{"26-04-01 new silver 1 10", "26-05-01 renew silver 1 10", "26-05-16 cancelImmediate silver 1 -4.84"}},
		"credit is never more than was paid": {served(sells(Month, Monthly, "silver", 1, "0.01", "EUR"), refunds(Prorated, 30*day), leveled("2026-04-17T00:00:00Z", "silver", 1000, "0.01"), over(EndCancelled, "2026-04-17T00:00:00Z")), always,
			[]string{"26-04-01 new silver 1 0.01", "26-04-17 addQuantity silver 1 0", "26-04-17 addQuantity silver 1000 0", "26-04-17 cancelImmediate silver 1000 -0.01"}},
	} {
		t.Run(name, func(t *testing.T) {
			lines := tc.service.Account().Charges(at(tc.before))
			if got, want := bills(lines), strings.Join(tc.want, "\n"); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			if credit := tc.service.Credit(); !tc.service.Ended.IsZero() {
				i := slices.IndexFunc(lines, func(l Charge) bool { return l.Type == ChargeCancelImmediate })
				if i < 0 && !credit.IsZero() || i >= 0 && !lines[i].Amount.Equal(credit.Neg()) {
					t.Errorf("the status says %v", credit)
				}
			}
		})
	}
}

// A line says what it is for as the published examples do: the whole service
// period, the price of one for the term, and what one costs here.
func TestChargeTellsTheServicePeriod(t *testing.T) {
	e := served(sells(Year, Monthly, "silver", 1, "48", "EUR"), leveled("2026-05-17T09:00:00Z", "silver", 3, "48"), refunds(Full, 90*day), over(EndCancelled, "2026-06-05T00:00:00Z"))
	var got []string
	for _, l := range e.Account().Charges(at("2100-01-01T00:00:00Z")) {
		got = append(got, fmt.Sprintf("%s %s..%s %s %s x %d = %s", l.Cycle, l.Start.Format("01-02"), l.End.Format("01-02"), l.UnitPrice, l.EffectiveUnitPrice, l.Quantity, l.Amount))
	}
	want := []string{
		"Monthly 04-01..05-01 48 4 x 1 = 4",
		"Monthly 05-01..06-01 48 4 x 1 = 4",
		"Monthly 05-01..06-01 48 -1.94 x 1 = -1.94",
		"Monthly 05-01..06-01 48 1.94 x 3 = 5.82",
		"Monthly 06-01..07-01 48 4 x 3 = 12",
		"Monthly 04-01..07-01 48 -7.96 x 3 = -23.88",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	free := served(trial(30*day), over(EndCancelled, "2026-04-05T00:00:00Z")).Account().Charges(at("2100-01-01T00:00:00Z"))
	for _, l := range free {
		if !l.UnitPrice.IsZero() || !l.EffectiveUnitPrice.IsZero() || !l.Start.Equal(at("2026-04-01T00:00:00Z")) || !l.End.Equal(at("2026-05-01T00:00:00Z")) {
			t.Errorf("in a trial: %+v", l)
		}
	}
}

func TestChargesOfSoftware(t *testing.T) {
	const noon, always = "2026-03-01T12:00:00Z", "2100-01-01T00:00:00Z"
	term2 := func(c Contract) Period { return c.PeriodAt(at("2027-03-01T12:00:00Z")) }
	first := func(c Contract) Period { return c.PeriodAt(c.Purchased) }
	for name, tc := range map[string]struct {
		contract  Contract
		latest    func(Contract) Period
		ended     string
		cancelled bool
		want      []string
	}{
		"a year is charged upfront":      {bought(noon), first, "", false, []string{"26-03-01 new  25 3000"}},
		"three years too":                {bought(noon, term(ThreeYears)), first, "", false, []string{"26-03-01 new  25 3000"}},
		"perpetual once":                 {bought(noon, term(Perpetual)), first, "", false, []string{"26-03-01 new  25 3000"}},
		"renewed":                        {bought(noon), term2, "", false, []string{"26-03-01 new  25 3000", "27-03-01 renew  25 3000"}},
		"expired":                        {bought(noon), first, "2027-03-01T12:00:00Z", false, []string{"26-03-01 new  25 3000"}},
		"cancelled on the third day":     {bought(noon), first, "2026-03-04T00:00:00Z", true, []string{"26-03-01 new  25 3000", "26-03-04 cancelImmediate  25 -2975.34"}},
		"cancelled by a clock behind":    {bought(noon), first, "2026-02-28T00:00:00Z", true, []string{"26-03-01 new  25 3000", "26-03-01 cancelImmediate  25 -2991.78"}},
		"perpetual, cancelled":           {bought(noon, term(Perpetual), func(c *Contract) { c.Refund = Full }), first, "2026-03-05T00:00:00Z", true, []string{"26-03-01 new  25 3000", "26-03-05 cancelImmediate  25 -3000"}},
		"perpetual, more and cancelled":  {bought(noon, term(Perpetual), changed(to(30, "2026-03-03T00:00:00Z")), func(c *Contract) { c.Refund = Full }), first, "2026-03-05T00:00:00Z", true, []string{"26-03-01 new  25 3000", "26-03-03 addQuantity  25 -3000", "26-03-03 addQuantity  30 3600", "26-03-05 cancelImmediate  30 -3600"}},
		"less, then cancelled":           {bought(noon, changed(to(1, "2026-03-03T12:00:00Z"))), first, "2026-03-03T12:00:00Z", true, []string{"26-03-01 new  25 3000", "26-03-03 removeQuantity  25 -2983.5", "26-03-03 removeQuantity  1 119.34", "26-03-03 cancelImmediate  1 -119.01"}},
		"cancelled in a term of its own": {bought(noon), first, "2027-03-02T12:00:00Z", true, []string{"26-03-01 new  25 3000", "27-03-01 renew  25 3000", "27-03-02 cancelImmediate  25 -2983.61"}},
	} {
		t.Run(name, func(t *testing.T) {
			var ended time.Time
			if tc.ended != "" {
				ended = at(tc.ended)
			}
			lines := tc.contract.Account(tc.latest(tc.contract), ended, tc.cancelled).Charges(at(always))
			if got, want := bills(lines), strings.Join(tc.want, "\n"); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			if tc.cancelled {
				if w := tc.contract.CancelAt(tc.contract.PeriodAt(ended), ended); !lines[len(lines)-1].Amount.Equal(w.Credit.Neg()) {
					t.Errorf("the window gives %v", w.Credit)
				}
			}
		})
	}
}

func TestSettled(t *testing.T) {
	suspended := func(e *Entitlement) { e.Suspended = at("2026-04-10T00:00:00Z") }
	gone := func(when string) func(*Entitlement) { return func(e *Entitlement) { e.Orphaned = at(when) } }
	const may = "2026-05-01T00:00:00Z"
	for name, tc := range map[string]struct {
		service *Entitlement
		before  string
		want    bool
	}{
		"bought and not activated":             {served(func(e *Entitlement) { e.Activated = time.Time{} }), may, true},
		"the term goes on":                     {served(activated("2026-04-10T00:00:00Z")), may, true},
		"the term ends with the month":         {served(), may, true},
		"nothing on record of what followed":   {served(activated("2026-03-31T00:00:00Z")), may, false},
		"suspended, and may be reinstated":     {served(activated("2026-03-31T00:00:00Z"), suspended), may, false},
		"suspended, within its term":           {served(suspended), may, true},
		"a trial that nothing followed":        {served(trial(29 * day)), may, false},
		"a trial that goes on":                 {served(trial(31 * day)), may, true},
		"ended":                                {served(activated("2026-03-31T00:00:00Z"), over(EndNotPaid, "2026-05-10T00:00:00Z")), may, true},
		"gone in the last second of the month": {served(activated("2026-04-10T00:00:00Z"), gone("2026-04-30T23:59:59Z")), may, false},
		"gone after it":                        {served(activated("2026-04-10T00:00:00Z"), gone(may)), may, true},
		"gone, and it did end":                 {served(gone("2026-04-30T00:00:00Z"), over(EndDeleted, "2026-04-30T00:00:00Z")), may, true},
	} {
		if got := tc.service.Account().Settled(at(tc.before)); got != tc.want {
			t.Errorf("%s: settled %v, want %v", name, got, tc.want)
		}
	}
	if c := bought(may, term(Perpetual)); !c.Account(c.PeriodAt(c.Purchased), time.Time{}, false).Settled(at("2100-01-01T00:00:00Z")) {
		t.Error("a perpetual licence is never settled")
	}
}

// A full refund of a service that is paid by the month has more to give when
// the next month is paid.
func TestCreditGrowsWithTheParts(t *testing.T) {
	e := served(sells(Year, Monthly, "silver", 1, "120", "EUR"), refunds(Full, 60*day))
	for _, tc := range []struct{ at, credit, next string }{
		{"2026-04-01T00:00:00Z", "10", "2026-05-01T00:00:00Z"},
		{"2026-04-30T23:59:59Z", "10", "2026-05-01T00:00:00Z"},
		{"2026-05-01T00:00:00Z", "20", "2026-05-30T00:00:00Z"},
	} {
		if w := e.CancelAt(at(tc.at)); !w.Open || w.Credit.String() != tc.credit || !w.Next.Equal(at(tc.next)) {
			t.Errorf("at %s: %+v", tc.at, w)
		}
	}
}
