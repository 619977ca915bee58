package terms

import (
	"slices"
	"time"

	"github.com/shopspring/decimal"
)

// ChargeType is what a charge is for, named as in the reconciliation files of
// Microsoft's Partner Center.
type ChargeType string

// What a ChargeType can be.
const (
	ChargeNew             ChargeType = "new"             // the first part of the first term, or a trial
	ChargeRenew           ChargeType = "renew"           // a later part, or a later term
	ChargeAddQuantity     ChargeType = "addQuantity"     // the old level back, the new one on top
	ChargeRemoveQuantity  ChargeType = "removeQuantity"  // likewise
	ChargeConvert         ChargeType = "convert"         // likewise, for another plan
	ChargeCancelImmediate ChargeType = "cancelImmediate" // what a cancellation gives back
)

// Charge is one line of a bill.
type Charge struct {
	Type       ChargeType
	At         time.Time // when it fell due
	Start, End time.Time // what it is for, [Start, End); a zero End never comes
	Plan       string
	Cycle      Cycle // empty: for the whole term at once
	Quantity   int64 // at least 1, also where nothing is counted
	// UnitPrice of one for one term; 0 in a trial.
	UnitPrice decimal.Decimal
	// EffectiveUnitPrice is what one costs on this line, negative if it is given
	// back. The quantity times this is Amount, exactly or, where that has no end
	// in decimals, once rounded.
	EffectiveUnitPrice decimal.Decimal
	// Amount has no more decimals than the currency.
	Amount decimal.Decimal
}

// Account is what a customer is charged for: a level of something, for one term
// after another.
type Account struct {
	From     time.Time // start of the first term that is paid for; zero: none ever is
	Term     Term
	Currency string // ISO 4217
	Bought   Level
	Changes  []LevelChange // in the order of their instants

	Trial   time.Time // start of the trial that came first; zero: none did
	Latest  time.Time // start of the latest term on record; zero: none is
	Missing time.Time // since when it may turn out to have ended; zero: it runs
	Ended   time.Time // zero: it has not
	Refund  Refund    // by which the end gives back; empty: nothing
}

// Account is what the service is charged by.
func (e *Entitlement) Account() Account {
	a := e.account()
	if a.Ended = e.Ended; !a.Ended.IsZero() && e.refunded() {
		a.Refund = e.Refund
	}
	return a
}

// account leaves the end out, because what that gives back is counted by it.
func (e *Entitlement) account() Account {
	a := Account{From: e.PaidFrom(), Term: e.Term, Currency: e.Currency, Bought: e.Bought, Changes: e.Changes, Missing: e.Orphaned}
	if e.Activated.IsZero() {
		return a
	}
	if a.Latest = e.Renewed; e.Trial > 0 {
		a.Trial = e.Activated.UTC()
	} else if a.Latest.IsZero() {
		a.Latest = a.From
	}
	return a
}

// Account is what the contract is charged by up to and with the latest term on
// record. Ended is zero if it has not. A cancellation in a later term shows that
// there was one.
func (c Contract) Account(latest Period, ended time.Time, cancelled bool) Account {
	a := c.account()
	if a.Latest, a.Ended = latest.Start, ended.UTC(); ended.IsZero() {
		return a
	}
	if a.Ended.Before(a.From) { // by a clock that is behind
		a.Ended = a.From
	}
	p := c.PeriodAt(a.Ended)
	if cancelled && c.CancelAt(p, a.Ended).Open {
		a.Refund = c.Refund
		if p.Start.After(a.Latest) {
			a.Latest = p.Start
		}
	}
	return a
}

func (c Contract) account() Account {
	a := Account{From: c.Purchased.UTC(), Term: c.Term, Currency: c.Currency, Bought: Level{Quantity: c.Quantity, UnitPrice: c.UnitPrice}}
	for _, change := range c.Changes {
		a.Changes = append(a.Changes, LevelChange{At: change.At, Level: Level{Quantity: change.Quantity, UnitPrice: c.UnitPrice}})
	}
	return a
}

// Charges returns what fell due before an instant, in that order: each part of
// each term on record when it began, and each change when it came into force.
// What fell due after the end, or at an end that gives nothing back, is not
// charged, even if it was on record before the end was.
func (a Account) Charges(before time.Time) []Charge {
	var all []Charge
	if !a.From.IsZero() && !a.Trial.IsZero() {
		free := a.Bought
		free.UnitPrice = decimal.Zero
		all = append(all, a.charge(ChargeNew, a.Trial, a.trial(), free, decimal.Zero))
	}
	for start := a.From; !a.Latest.IsZero() && !start.After(a.Latest); {
		p := a.periodAt(start)
		for _, part := range a.parts(p) {
			all = append(all, a.bill(part, p.End)...)
		}
		if start = p.End; start.IsZero() {
			break
		}
	}
	if !a.Ended.IsZero() {
		all = slices.DeleteFunc(all, func(c Charge) bool {
			return c.At.After(a.Ended) || a.Refund == "" && c.At.Equal(a.Ended)
		})
		if a.Refund != "" && len(all) > 0 {
			all = append(all, a.cancellation())
		}
	}
	all = slices.DeleteFunc(all, func(c Charge) bool { return !c.At.Before(before) })
	for i := range all {
		all[i].EffectiveUnitPrice = all[i].Amount.DivRound(decimal.NewFromInt(all[i].Quantity), 12)
	}
	return all
}

// Settled reports whether time alone can no longer change what fell due before
// an instant in the past. It can while nothing is on record of what followed a
// term, as when the service was suspended then and may be reinstated, and while
// it may turn out that there was an end.
func (a Account) Settled(before time.Time) bool {
	if a.From.IsZero() || !a.Ended.IsZero() {
		return true
	}
	over := a.From
	if !a.Latest.IsZero() {
		over = a.periodAt(a.Latest).End
	}
	return (over.IsZero() || !over.Before(before)) && (a.Missing.IsZero() || !a.Missing.Before(before))
}

// cancellation is the line of an end that gives back.
func (a Account) cancellation() Charge {
	level := a.levelAt(a.Ended)
	if a.Ended.Before(a.From) {
		level.UnitPrice = decimal.Zero
		return a.charge(ChargeCancelImmediate, a.Ended, a.trial(), level, decimal.Zero)
	}
	p := a.periodAt(a.Ended)
	last := a.partAt(p, a.Ended)
	credit := a.credit(p, a.Refund, a.Ended)
	if a.Refund == Full {
		last.Start = p.Start
	}
	return a.charge(ChargeCancelImmediate, a.Ended, last, level, credit.Neg())
}

// PaidIn is what a term has cost up to an instant, which is the sum of its
// lines. The first part of a term is paid for whenever that is.
func (a Account) PaidIn(p Period, at time.Time) decimal.Decimal {
	paid := decimal.Zero
	for i, part := range a.parts(p) {
		if i == 0 || !part.Start.After(at) {
			paid = paid.Add(a.paid(part, at))
		}
	}
	return paid
}

func (a Account) paid(p part, at time.Time) decimal.Decimal {
	sum := decimal.Zero
	for _, line := range a.bill(p, at) {
		sum = sum.Add(line.Amount)
	}
	return sum
}

// credit is the refund for ending at an instant of the given term, rounded half
// up at the currency's minor unit, and never more than was paid. What is ended
// on day N of a part has used N days of it: the first day counts, the
// cancellation policy's own example being a cancellation on the third day that
// pays for three. Earlier parts were used.
func (a Account) credit(p Period, refund Refund, at time.Time) decimal.Decimal {
	if refund == Full || p.End.IsZero() {
		return a.PaidIn(p, at)
	}
	last := a.partAt(p, at)
	price, n := a.price(last, a.levelAt(at))
	unused := decimal.NewFromInt(max(0, last.days()-usedDays(last.Period, at)))
	credit := price.Mul(n).Mul(unused).DivRound(decimal.NewFromInt(last.days()), MinorDigits(a.Currency))
	return decimal.Min(a.paid(last, at), credit)
}

// part is what is charged for at once: a month or a year of a term, or all.
type part struct {
	Period
	cycle Cycle
	n, of int64 // the nth of so many, from 0
}

// trial is charged for like a part, with nothing.
func (a Account) trial() part {
	return part{Period: Period{Start: a.Trial, End: a.From}, cycle: a.Bought.Cycle, of: 1}
}

// days is how many days a part has. One that never ends is not counted by days.
func (p part) days() int64 {
	if p.End.IsZero() {
		return 1
	}
	return p.Period.days()
}

// share is what falls to a part of what the term costs. The shares of all parts
// are that price exactly: each is the difference of what is due up to its end
// and up to its start.
func (p part) share(price decimal.Decimal, digits int32) decimal.Decimal {
	if p.of == 1 {
		return price
	}
	due := func(n int64) decimal.Decimal {
		return price.Mul(decimal.NewFromInt(n)).DivRound(decimal.NewFromInt(p.of), digits)
	}
	return due(p.n + 1).Sub(due(p.n))
}

// parts cuts a term. The billing cycle is the one that holds when it begins; a
// renewal that changes it may have put that on record a second later, because
// no two changes have the same instant. The ends of parts are counted from the
// start of the account, like those of terms.
func (a Account) parts(p Period) []part {
	cycle, step := a.levelAt(p.Start.Add(time.Second)).Cycle, a.Term.months()
	switch cycle {
	case Monthly:
		step = min(1, step)
	case Annual:
		step = min(12, step)
	}
	months := a.Term.months()
	if step == months {
		return []part{{Period: p, cycle: cycle, of: 1}}
	}
	from := a.From.UTC()
	first := (p.Start.Year()-from.Year())*12 + int(p.Start.Month()-from.Month())
	var parts []part
	for m := 0; m < months; m += step {
		period := Period{Start: addMonths(from, first+m), End: addMonths(from, first+m+step)}
		parts = append(parts, part{Period: period, cycle: cycle, n: int64(m / step), of: int64(months / step)})
	}
	return parts
}

// partAt is the part of a term that runs at an instant, the first or the last
// one outside of it.
func (a Account) partAt(p Period, at time.Time) part {
	parts := a.parts(p)
	last := parts[0]
	for _, part := range parts {
		if !part.Start.After(at) {
			last = part
		}
	}
	return last
}

// bill returns the lines of a part up to and with an instant; zero: all of
// them. The day of a change counts as remaining: a price of 4.00 for 30 days,
// changed from one licence to two on the second day, is -3.87 and +7.74 (the
// published example of Partner Center's reconciliation files). Another billing
// cycle is no line: it holds from the next term.
func (a Account) bill(p part, until time.Time) []Charge {
	typ, level := ChargeRenew, a.levelAt(p.Start)
	if p.Start.Equal(a.From) && a.Trial.IsZero() {
		typ = ChargeNew
	}
	lines := []Charge{a.charge(typ, p.Start, p, level, a.line(p, p.days(), level))}
	for _, c := range a.Changes {
		if !c.At.After(p.Start) || !p.End.IsZero() && !c.At.Before(p.End) || !until.IsZero() && c.At.After(until) {
			continue
		}
		if typ := typeOf(level, c.Level); typ != "" {
			remaining := p.days()
			if !p.End.IsZero() {
				remaining += 1 - usedDays(p.Period, c.At)
			}
			lines = append(lines,
				a.charge(typ, c.At, p, level, a.line(p, remaining, level).Neg()),
				a.charge(typ, c.At, p, c.Level, a.line(p, remaining, c.Level)))
		}
		level = c.Level
	}
	return lines
}

// typeOf is the type of the lines of a change, empty if it costs nothing.
func typeOf(from, to Level) ChargeType {
	switch {
	case from.Plan != to.Plan || from.Quantity == to.Quantity && !from.UnitPrice.Equal(to.UnitPrice):
		return ChargeConvert
	case to.Quantity > from.Quantity:
		return ChargeAddQuantity
	case to.Quantity < from.Quantity:
		return ChargeRemoveQuantity
	}
	return ""
}

// line is what a level costs for some days of a part. The price of one licence
// for those days is rounded before it is multiplied, as the published examples
// have it: 3.87 for 29 days of 30, and 7.74 for two. A price that is finer than
// the currency is rounded only afterwards: at 0.004 EUR a licence would else be
// free, and at 0.005 EUR giving one back would pay double.
func (a Account) line(p part, days int64, level Level) decimal.Decimal {
	price, n := a.price(p, level)
	return price.Mul(decimal.NewFromInt(days)).DivRound(decimal.NewFromInt(p.days()), MinorDigits(a.Currency)).Mul(n)
}

// price is what a level costs for a part, as one price that is rounded and how
// often that is charged.
func (a Account) price(p part, level Level) (price, times decimal.Decimal) {
	digits, n := MinorDigits(a.Currency), decimal.NewFromInt(level.seats())
	if level.UnitPrice.Equal(level.UnitPrice.Round(digits)) {
		return p.share(level.UnitPrice, digits), n
	}
	return p.share(level.UnitPrice.Mul(n), digits), decimal.NewFromInt(1)
}

func (a Account) charge(typ ChargeType, at time.Time, p part, level Level, amount decimal.Decimal) Charge {
	return Charge{
		Type: typ, At: at.UTC(), Start: p.Start, End: p.End, Plan: level.Plan, Cycle: p.cycle,
		Quantity: level.seats(), UnitPrice: level.UnitPrice, Amount: amount,
	}
}

func (a Account) periodAt(at time.Time) Period {
	return Contract{Purchased: a.From, Term: a.Term}.PeriodAt(at)
}

// levelAt is the level that holds at an instant.
func (a Account) levelAt(at time.Time) Level {
	level := a.Bought
	for _, change := range a.Changes {
		if !at.Before(change.At) {
			level = change.Level
		}
	}
	return level
}

// seats is how many times the unit price is charged.
func (l Level) seats() int64 { return max(1, l.Quantity) }
