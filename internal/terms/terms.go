// Package terms holds the commercial rules: what a contract allows at a given
// instant, and when that next changes. A rule is a function of facts and one
// instant; none reads a clock, none does input or output, and none fails on a
// well-formed contract. The package imports the standard library and a decimal
// library only.
//
// All instants are UTC. All periods and windows are half open, [start, end):
// at the end itself it is already over.
//
// To add a rule, write a function here that answers two questions, what holds
// now and when may that change, and a table in its test with a row for one
// second before, exactly at, another time zone, a leap day, the end of a month
// and a clock that is behind.
package terms

import (
	"fmt"
	"time"

	"github.com/shopspring/decimal"
)

// Contract is what a customer agreed to at the instant of purchase.
type Contract struct {
	Purchased time.Time
	Term      Term
	Quantity  int64           // at the purchase
	Changes   []Change        // of the quantity, in the order of their instants
	UnitPrice decimal.Decimal // of one licence for one term
	Currency  string          // ISO 4217
	Window    time.Duration   // how long after the start of a term it can be cancelled
	Refund    Refund
}

// Term is how long a purchase lasts before it ends or renews.
type Term string

// What a Term can be.
const (
	Month      Term = "P1M"
	Year       Term = "P1Y"
	TwoYears   Term = "P2Y"
	ThreeYears Term = "P3Y"
	FourYears  Term = "P4Y"
	FiveYears  Term = "P5Y"
	Perpetual  Term = "Perpetual" // neither ends nor renews
)

// months is the length of a term, 0 for one that never ends.
func (t Term) months() int {
	switch t {
	case Month:
		return 1
	case Year:
		return 12
	case TwoYears:
		return 24
	case ThreeYears:
		return 36
	case FourYears:
		return 48
	case FiveYears:
		return 60
	case Perpetual:
		return 0
	}
	panic(fmt.Sprintf("terms: unknown term %q", string(t)))
}

// Earliest returns the soonest of the given instants, ignoring zero ones. It
// is zero if all are.
func Earliest(times ...time.Time) time.Time {
	var first time.Time
	for _, t := range times {
		if !t.IsZero() && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	return first
}
