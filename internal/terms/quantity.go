package terms

import (
	"time"

	"github.com/shopspring/decimal"
)

// Change is a change of the quantity of a contract.
type Change struct {
	At       time.Time
	Quantity int64 // from then on
}

// QuantityAt is the quantity that holds at an instant.
func (c Contract) QuantityAt(at time.Time) int64 {
	quantity := c.Quantity
	for _, change := range c.Changes {
		if !at.Before(change.At) {
			quantity = change.Quantity
		}
	}
	return quantity
}

// PaidIn is what a term has cost up to an instant: the quantity that it began
// with, and for each change since the old quantity back and the new one on top,
// for the days that remain. A licence that never ends costs the same on every
// day, so there only the quantity counts.
//
// The day of a change counts as remaining: a price of 4.00 for 30 days, changed
// from one licence to two on the second day, is -3.87 and +7.74 (the published
// example of Partner Center's reconciliation files).
func (c Contract) PaidIn(p Period, at time.Time) decimal.Decimal {
	if p.End.IsZero() {
		return c.UnitPrice.Mul(decimal.NewFromInt(c.QuantityAt(at))).Round(MinorDigits(c.Currency))
	}
	quantity := c.QuantityAt(p.Start)
	paid := c.line(p, p.days(), quantity)
	for _, change := range c.Changes {
		if !change.At.After(p.Start) || change.At.After(at) {
			continue
		}
		remaining := max(0, p.days()-usedDays(p, change.At)+1)
		paid = paid.Sub(c.line(p, remaining, quantity)).Add(c.line(p, remaining, change.Quantity))
		quantity = change.Quantity
	}
	return paid
}

// line is what a quantity costs for some days of a term. The price of one
// licence for those days is rounded before it is multiplied, as the published
// examples have it: 3.87 for 29 days of 30, and 7.74 for two. A price that is
// finer than the currency is rounded only afterwards: at 0.004 EUR a licence
// would else be free, and at 0.005 EUR giving one back would pay double.
func (c Contract) line(p Period, days, quantity int64) decimal.Decimal {
	digits := MinorDigits(c.Currency)
	price, of, n := c.UnitPrice.Mul(decimal.NewFromInt(days)), decimal.NewFromInt(p.days()), decimal.NewFromInt(quantity)
	if c.UnitPrice.Equal(c.UnitPrice.Round(digits)) {
		return price.DivRound(of, digits).Mul(n)
	}
	return price.Mul(n).DivRound(of, digits)
}
