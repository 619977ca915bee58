package terms

import (
	"fmt"
	"math/big"
	"slices"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"pgregory.net/rapid"
)

// chargeCases is how many random amounts are compared at least.
const chargeCases = 200_000

// The lines of a life are those that exact rational arithmetic gives, in the
// order of their instants; what is charged up to an instant stays what it is;
// each amount is the quantity times the effective price; the sum of a term's
// lines is what it has cost; and the customer never gets more back than was
// paid.
func TestChargesAgainstExactRationals(t *testing.T) {
	rapidChecks(t, 17_000)
	cases := 0
	rapid.Check(t, func(t *rapid.T) {
		a := drawAccount(t)
		last := a.periodAt(a.Latest).End
		if last.IsZero() {
			last = a.From.AddDate(2, 0, 0)
		}
		all, want := a.Charges(last.AddDate(100, 0, 0)), owed(a)
		if len(all) != len(want) {
			t.Fatalf("%s\ngot %d lines\n%s\nwant %d\n%v", showAccount(a), len(all), bills(all), len(want), want)
		}
		total := new(big.Rat)
		for i, line := range all {
			cases++
			if line.Type != want[i].typ || !line.At.Equal(want[i].at) || line.Amount.Rat().Cmp(want[i].amount) != 0 {
				t.Fatalf("%s\nline %d is %s\nwant %v", showAccount(a), i, bills(all[i:i+1]), want[i])
			}
			digits := MinorDigits(a.Currency)
			if !line.Amount.Equal(line.Amount.Round(digits)) || !line.EffectiveUnitPrice.Mul(decimal.NewFromInt(line.Quantity)).Round(digits).Equal(line.Amount) {
				t.Fatalf("%s\nline %d: %d times %s is not %s", showAccount(a), i, line.Quantity, line.EffectiveUnitPrice, line.Amount)
			}
			if line.At.Before(line.Start) || !line.End.IsZero() && !line.At.Before(line.End) || i > 0 && line.At.Before(all[i-1].At) {
				t.Fatalf("%s\nline %d, %+v, is not in its place", showAccount(a), i, line)
			}
			// The two lines of a change are one event.
			if total.Add(total, line.Amount.Rat()); total.Sign() < 0 && (i+1 == len(all) || !all[i+1].At.Equal(line.At)) {
				t.Fatalf("%s\nafter line %d the customer has paid %s\n%s", showAccount(a), i, total.FloatString(4), bills(all))
			}
		}
		cut := a.From.Add(time.Duration(rapid.Int64Range(-86400, int64(last.Sub(a.From)/time.Second)+86400).Draw(t, "cut")) * time.Second)
		part := a.Charges(cut)
		if n := len(part); n > len(all) || bills(part) != bills(all[:n]) || n < len(all) && all[n].At.Before(cut) || n > 0 && !part[n-1].At.Before(cut) {
			t.Fatalf("%s\nbefore %v\n%s\nof\n%s", showAccount(a), cut, bills(part), bills(all))
		}
		cases += len(part)

		going := a
		going.Ended, going.Refund = time.Time{}, ""
		lines := going.Charges(last.AddDate(100, 0, 0))
		for start := a.From; !a.Latest.IsZero() && !start.After(a.Latest); cases++ {
			p := a.periodAt(start)
			sum := decimal.Zero
			for _, line := range lines {
				if !line.At.Before(p.Start) && (p.End.IsZero() || line.At.Before(p.End)) {
					sum = sum.Add(line.Amount)
				}
			}
			end := p.End.Add(-time.Second)
			if p.End.IsZero() {
				end = a.From.AddDate(100, 0, 0)
			}
			if paid := a.PaidIn(p, end); !paid.Equal(sum) {
				t.Fatalf("%s\nthe term of %v has cost %s, its lines are %s", showAccount(a), p.Start, paid, sum)
			}
			if level := a.levelAt(p.Start); !slices.ContainsFunc(a.Changes, func(c LevelChange) bool { return c.At.After(p.Start) && !c.At.After(end) }) {
				price := new(big.Rat).Mul(level.UnitPrice.Rat(), new(big.Rat).SetInt64(max(1, level.Quantity)))
				if sum.Rat().Cmp(halfUp(price, MinorDigits(a.Currency))) != 0 {
					t.Fatalf("%s\nthe parts of the term of %v are %s, the price is %s", showAccount(a), p.Start, sum, price.FloatString(6))
				}
			}
			if start = p.End; start.IsZero() {
				break
			}
		}
	})
	t.Logf("%d cases", cases)
	if !t.Failed() && cases < chargeCases {
		t.Errorf("%d cases, want at least %d", cases, chargeCases)
	}
}

// What software costs is the sum of its lines, and a cancellation gives back
// what the window says.
func TestChargesAgreeWithTheContract(t *testing.T) {
	rapidChecks(t, 40_000)
	rapid.Check(t, func(t *rapid.T) {
		c := drawContract(t)
		p := c.PeriodAt(c.Purchased)
		length := int64(min(c.Window, 40*366*day) / time.Second)
		if !p.End.IsZero() {
			length = min(length, int64(p.End.Sub(p.Start)/time.Second)-1)
		}
		c.Changes = drawChanges(t, c.Purchased, p.Start, length)
		when := p.Start.Add(time.Duration(rapid.Int64Range(0, length).Draw(t, "cancelled")) * time.Second)
		sum := func(lines []Charge) decimal.Decimal {
			s := decimal.Zero
			for _, l := range lines {
				s = s.Add(l.Amount)
			}
			return s
		}
		if got, want := sum(c.Account(p, time.Time{}, false).Charges(when.Add(time.Second))), c.PaidIn(p, when); !got.Equal(want) {
			t.Fatalf("%s\nat %v the lines are %s, paid is %s", show(c, p), when, got, want)
		}
		w := c.CancelAt(p, when)
		lines := c.Account(p, when, true).Charges(when.AddDate(100, 0, 0))
		if got, want := sum(lines), c.PaidIn(p, when).Sub(w.Credit); w.Open && (!got.Equal(want) || lines[len(lines)-1].Type != ChargeCancelImmediate) {
			t.Fatalf("%s\ncancelled at %v the lines are %s, want %s\n%s", show(c, p), when, got, want, bills(lines))
		}
	})
}

func drawAccount(t *rapid.T) Account {
	draw := func(label string, low, high int64) time.Duration {
		return time.Duration(rapid.Int64Range(low, high).Draw(t, label)) * time.Second
	}
	a := Account{
		From:     at("2019-12-01T00:00:00Z").Add(draw("from", 0, 10*366*86400)),
		Term:     rapid.SampledFrom([]Term{Month, Year, ThreeYears, FiveYears, Perpetual}).Draw(t, "term"),
		Currency: rapid.SampledFrom([]string{"EUR", "JPY", "KWD", "CLF"}).Draw(t, "currency"),
	}
	level := func() Level {
		return Level{
			Plan:      rapid.SampledFrom([]string{"silver", "silver", "gold"}).Draw(t, "plan"),
			Quantity:  rapid.SampledFrom([]int64{0, 1, 2, 7, 999_999}).Draw(t, "quantity"),
			UnitPrice: decimal.New(rapid.Int64Range(0, 10_000_000).Draw(t, "price"), -rapid.Int32Range(0, 4).Draw(t, "decimals")),
			Cycle:     rapid.SampledFrom([]Cycle{Monthly, Annual, ""}).Draw(t, "cycle"),
		}
	}
	a.Bought = level()
	if rapid.Bool().Draw(t, "trial") {
		a.Trial = a.From.Add(-draw("length of the trial", 1, 90*86400))
	}
	if a.Trial.IsZero() || rapid.Bool().Draw(t, "turned paid") {
		a.Latest = a.From
		for range rapid.IntRange(0, 3).Draw(t, "renewals") {
			if end := a.periodAt(a.Latest).End; !end.IsZero() {
				a.Latest = end
			}
		}
	}
	end := a.From
	if !a.Latest.IsZero() {
		if end = a.periodAt(a.Latest).End; end.IsZero() {
			end = a.From.AddDate(2, 0, 0)
		}
	}
	span := int64(end.Sub(a.From) / time.Second)
	var seconds []int64
	for _, s := range rapid.SliceOfN(rapid.Int64Range(-30*86400, span), 0, 5).Draw(t, "changes") {
		seconds = append(seconds, s)
		if rapid.Bool().Draw(t, "another on that day") {
			seconds = append(seconds, s+1)
		}
	}
	if rapid.Bool().Draw(t, "at the latest renewal") && !a.Latest.IsZero() {
		seconds = append(seconds, int64(a.Latest.Sub(a.From)/time.Second))
	}
	slices.Sort(seconds)
	for _, s := range slices.Compact(seconds) {
		a.Changes = append(a.Changes, LevelChange{At: a.From.Add(time.Duration(s) * time.Second), Level: level()})
	}
	if rapid.Bool().Draw(t, "ended") {
		first := a.From
		if !a.Trial.IsZero() {
			first = a.Trial
		}
		a.Ended = first.Add(draw("end", -86400, max(1, int64(end.Sub(first)/time.Second))-1))
		if n := len(a.Changes); n > 0 && rapid.Bool().Draw(t, "with a change") {
			if at := a.Changes[n-1].At; at.Before(end) {
				a.Ended = at
			}
		}
		a.Refund = rapid.SampledFrom([]Refund{"", Full, Prorated}).Draw(t, "refund")
	}
	return a
}

// owes is a line as the rules have it.
type owes struct {
	typ    ChargeType
	at     time.Time
	amount *big.Rat
}

func (o owes) String() string {
	return fmt.Sprintf("%s %s %s\n", o.at.Format(time.RFC3339), o.typ, o.amount.FloatString(4))
}

// owed works a whole life out in exact rationals, month by month, with none of
// the code that it is compared with.
func owed(a Account) []owes {
	months := map[Term]int{Month: 1, Year: 12, ThreeYears: 36, FiveYears: 60}[a.Term]
	digits := MinorDigits(a.Currency)
	zero := new(big.Rat)
	var lines []owes
	if !a.Trial.IsZero() {
		lines = append(lines, owes{ChargeNew, a.Trial, zero})
	}
	holds := func(t time.Time) Level {
		l := a.Bought
		for _, c := range a.Changes {
			if c.At.Unix() <= t.Unix() {
				l = c.Level
			}
		}
		return l
	}
	// The parts paid for, and what they and the credits of their days come to.
	type paidPart struct {
		start, end, term time.Time
		price            func(Level, int64, int64) *big.Rat // so many days of so many, rounded
		exact            func(Level) *big.Rat
	}
	var parts []paidPart
	for month := 0; !a.Latest.IsZero(); {
		term := monthsLater(a.From, month)
		if term.After(a.Latest) || months == 0 && month > 0 {
			break
		}
		step := months
		switch cycle := holds(term.Add(time.Second)).Cycle; {
		case cycle == Monthly && months > 1:
			step = 1
		case cycle == Annual && months > 12:
			step = 12
		}
		n := 1
		if months > 0 {
			n = months / step
		}
		for k := range n {
			part := paidPart{start: monthsLater(a.From, month+k*step), term: term}
			if months > 0 {
				part.end = monthsLater(a.From, month+(k+1)*step)
			}
			// Of a price that is charged in n parts, rounded as it adds up.
			share := func(price *big.Rat) *big.Rat {
				if n == 1 {
					return price
				}
				upTo := func(k int) *big.Rat { return halfUp(new(big.Rat).Mul(price, big.NewRat(int64(k), int64(n))), digits) }
				return new(big.Rat).Sub(upTo(k+1), upTo(k))
			}
			coarse := func(l Level) bool { return halfUp(l.UnitPrice.Rat(), digits).Cmp(l.UnitPrice.Rat()) == 0 }
			times := func(l Level) *big.Rat { return new(big.Rat).SetInt64(max(1, l.Quantity)) }
			part.price = func(l Level, d, of int64) *big.Rat {
				if coarse(l) {
					one := halfUp(new(big.Rat).Mul(share(l.UnitPrice.Rat()), big.NewRat(d, of)), digits)
					return one.Mul(one, times(l))
				}
				all := share(new(big.Rat).Mul(l.UnitPrice.Rat(), times(l)))
				return halfUp(new(big.Rat).Mul(all, big.NewRat(d, of)), digits)
			}
			part.exact = func(l Level) *big.Rat {
				if coarse(l) {
					return new(big.Rat).Mul(share(l.UnitPrice.Rat()), times(l))
				}
				return share(new(big.Rat).Mul(l.UnitPrice.Rat(), times(l)))
			}
			parts = append(parts, part)
		}
		if month += months; months == 0 {
			break
		}
	}
	within := func(t time.Time, p paidPart) bool {
		return t.Unix() >= p.start.Unix() && (p.end.IsZero() || t.Unix() < p.end.Unix())
	}
	kept := func(t time.Time) bool {
		return a.Ended.IsZero() || t.Unix() < a.Ended.Unix() || t.Unix() == a.Ended.Unix() && a.Refund != ""
	}
	credit, inTerm := new(big.Rat), new(big.Rat)
	for i, p := range parts {
		of := int64(1)
		if !p.end.IsZero() {
			of = (p.end.Unix() - p.start.Unix()) / 86400
		}
		if i > 0 && !parts[i-1].term.Equal(p.term) {
			inTerm = new(big.Rat)
		}
		typ, level, cost := ChargeRenew, holds(p.start), new(big.Rat)
		if i == 0 && a.Trial.IsZero() {
			typ = ChargeNew
		}
		add := func(typ ChargeType, at time.Time, amount *big.Rat) {
			if kept(at) {
				cost.Add(cost, amount)
				lines = append(lines, owes{typ, at, amount})
			}
		}
		add(typ, p.start, p.price(level, of, of))
		for _, c := range a.Changes {
			if !within(c.At, p) || c.At.Equal(p.start) {
				continue
			}
			var kind ChargeType
			switch {
			case c.Level.Plan != level.Plan:
				kind = ChargeConvert
			case c.Level.Quantity > level.Quantity:
				kind = ChargeAddQuantity
			case c.Level.Quantity < level.Quantity:
				kind = ChargeRemoveQuantity
			case !c.Level.UnitPrice.Equal(level.UnitPrice):
				kind = ChargeConvert
			}
			left := of
			if !p.end.IsZero() {
				left = of - (c.At.Unix()-p.start.Unix())/86400
			}
			if kind != "" {
				add(kind, c.At, new(big.Rat).Neg(p.price(level, left, of)))
				add(kind, c.At, p.price(c.Level, left, of))
			}
			level = c.Level
		}
		inTerm.Add(inTerm, cost)
		if a.Refund == "" || !within(a.Ended, p) {
			continue
		}
		if credit = inTerm; a.Refund == Prorated && !p.end.IsZero() {
			used := (a.Ended.Unix()-p.start.Unix())/86400 + 1
			credit = halfUp(new(big.Rat).Mul(p.exact(holds(a.Ended)), big.NewRat(of-used, of)), digits)
			if credit.Cmp(cost) > 0 {
				credit = cost
			}
		}
		break
	}
	lines = slices.DeleteFunc(lines, func(o owes) bool { return !kept(o.at) })
	if a.Refund != "" && len(lines) > 0 {
		lines = append(lines, owes{ChargeCancelImmediate, a.Ended, new(big.Rat).Neg(credit)})
	}
	return lines
}

// monthsLater is the same day of a later month, or its last one.
func monthsLater(t time.Time, months int) time.Time {
	first := t.AddDate(0, 0, 1-t.Day()).AddDate(0, months, 0)
	return first.AddDate(0, 0, min(t.Day(), lastDay(first))-1)
}

func showAccount(a Account) string {
	s := fmt.Sprintf("%s of %s from %s, latest %s, trial %s, ended %s %s; %+v", a.Term, a.Currency, a.From.Format(time.RFC3339),
		a.Latest.Format(time.RFC3339), a.Trial.Format(time.RFC3339), a.Ended.Format(time.RFC3339), a.Refund, a.Bought)
	for _, c := range a.Changes {
		s += fmt.Sprintf("\n%s %+v", c.At.Format(time.RFC3339), c.Level)
	}
	return s
}
