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
func (c Contract) PaidIn(p Period, at time.Time) decimal.Decimal {
	return c.account().PaidIn(p, at)
}
