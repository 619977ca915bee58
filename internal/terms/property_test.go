package terms

import (
	"flag"
	"fmt"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"pgregory.net/rapid"
)

// creditCases is how many random cases the credit is compared in at least.
const creditCases = 1_000_000

// The credit agrees with exact rational arithmetic, is never negative, never
// more than was paid in the term, never grows with time unless the quantity is
// changed, and stays what it is until the rule says that it may change. What
// was paid is the sum of the lines of the bill.
func TestCreditAgainstExactRationals(t *testing.T) {
	rapidChecks(t, 32_000)
	cases := 0
	rapid.Check(t, func(t *rapid.T) {
		c := drawContract(t)
		p := c.PeriodAt(c.Purchased)
		for range rapid.IntRange(0, 3).Draw(t, "terms before") {
			if !p.End.IsZero() {
				p = c.PeriodAt(p.End)
			}
		}
		if rapid.Bool().Draw(t, "window as long as the term") && !p.End.IsZero() {
			c.Window = p.End.Sub(p.Start)
		}
		length := int64(min(c.Window, 40*366*day) / time.Second)
		if !p.End.IsZero() {
			length = min(length, int64(p.End.Sub(p.Start)/time.Second))
		}
		c.Changes = drawChanges(t, c.Purchased, p.Start, length)
		instants := drawInstants(t, c, p, length)
		bill := newBill(c, p)
		var before time.Time
		var last Window
		for i, when := range instants {
			cases++
			changed := bill.advance(when)
			w := c.CancelAt(p, when)
			if until := p.Start.Add(time.Duration(length) * time.Second); !w.Until.Equal(until) || w.Open != when.Before(until) {
				t.Fatalf("%s\nat %v: %+v, want until %v", show(c, p), when, w, until)
			}
			if want := bill.credit(when); w.Open && w.Credit.Rat().Cmp(want) != 0 {
				t.Fatalf("%s\ncancelled at %v: got %v, want %v", show(c, p), when, w.Credit, want.FloatString(6))
			}
			if w.Credit.IsNegative() || w.Credit.Rat().Cmp(bill.paid) > 0 {
				t.Fatalf("%s\ncancelled at %v: %v back of %v", show(c, p), when, w.Credit, bill.paid.FloatString(6))
			}
			if i > 0 && !changed && w.Credit.GreaterThan(last.Credit) {
				t.Fatalf("%s\n%v at %v, but %v at %v", show(c, p), last.Credit, before, w.Credit, when)
			}
			if i > 0 && (last.Next.IsZero() || when.Before(last.Next)) && (last.Open != w.Open || !last.Credit.Equal(w.Credit)) {
				t.Fatalf("%s\nat %v: %+v until its Next, but at %v: %+v", show(c, p), before, last, when, w)
			}
			if !w.Next.IsZero() && !w.Next.After(when) || w.Open && w.Next.IsZero() {
				t.Fatalf("%s\nat %v the next change is at %v", show(c, p), when, w.Next)
			}
			if changed || i == 0 {
				if paid := c.PaidIn(p, when); paid.Rat().Cmp(bill.paid) != 0 {
					t.Fatalf("%s\nat %v: paid %v, but the lines say %v", show(c, p), when, paid, bill.paid.FloatString(6))
				}
			}
			before, last = when, w
		}
	})
	t.Logf("%d cases", cases)
	if !t.Failed() && cases < creditCases {
		t.Errorf("%d cases, want at least %d", cases, creditCases)
	}
}

// Giving licences back and taking them again on the same day costs nothing,
// nor the other way round, and what was paid never falls below nothing.
func TestThereAndBackOnOneDayCostsNothing(t *testing.T) {
	rapidChecks(t, 5_000)
	rapid.Check(t, func(t *rapid.T) {
		c := drawContract(t)
		p := c.PeriodAt(c.Purchased)
		days := int64(365)
		if !p.End.IsZero() {
			days = p.days()
		}
		c.Changes = drawChanges(t, c.Purchased, p.Start, days*86400)
		today := p.Start.Add(time.Duration(rapid.Int64Range(0, days-1).Draw(t, "day")) * day)
		c.Changes = slices.DeleteFunc(c.Changes, func(ch Change) bool { return !ch.At.Before(today) })
		quantity, evening := c.QuantityAt(today), today.Add(day-time.Second)
		want := c.PaidIn(p, evening)
		first := rapid.Int64Range(1, 86_397).Draw(t, "second of the day")
		c.Changes = append(c.Changes,
			Change{At: today.Add(time.Duration(first) * time.Second), Quantity: rapid.Int64Range(1, 100_000).Draw(t, "there")},
			Change{At: today.Add(time.Duration(first+1) * time.Second), Quantity: quantity})
		if got := c.PaidIn(p, evening); !got.Equal(want) || got.IsNegative() {
			t.Fatalf("%s\non %v: paid %v, want %v", show(c, p), today, got, want)
		}
	})
}

// Terms follow each other without a gap and without overlap, each holds the
// instants that it is the answer for, and each begins on the day of the month
// of the purchase, or on the month's last day where it has no such day.
func TestPeriodsTileTime(t *testing.T) {
	rapidChecks(t, 50_000)
	rapid.Check(t, func(t *rapid.T) {
		c := drawContract(t)
		when := c.Purchased.Add(time.Duration(rapid.Int64Range(-400*86400, 60*366*86400).Draw(t, "seconds after the purchase")) * time.Second)
		p := c.PeriodAt(when)
		if c.Term == Perpetual {
			if p != (Period{Start: c.Purchased}) {
				t.Fatalf("%s", show(c, p))
			}
			return
		}
		if !when.Before(p.End) || when.Before(p.Start) && !p.Start.Equal(c.Purchased) || p.Start.Before(c.Purchased) {
			t.Fatalf("%v is not in %s", when, show(c, p))
		}
		if next := c.PeriodAt(p.End); next.Start != p.End {
			t.Fatalf("%v follows %s", next, show(c, p))
		}
		if p.Start.After(c.Purchased) {
			if last := c.PeriodAt(p.Start.Add(-time.Second)); last.End != p.Start {
				t.Fatalf("%v is before %s", last, show(c, p))
			}
		}
		for _, end := range []time.Time{p.Start, p.End} {
			want := min(c.Purchased.Day(), lastDay(end))
			months := (end.Year()-c.Purchased.Year())*12 + int(end.Month()-c.Purchased.Month())
			if end.Day() != want || end.Sub(end.Truncate(day)) != c.Purchased.Sub(c.Purchased.Truncate(day)) || months%c.Term.months() != 0 {
				t.Fatalf("%s: %v is not on day %d", show(c, p), end, want)
			}
		}
	})
}

// lastDay counts the days of a month by walking to its end.
func lastDay(t time.Time) int {
	d := t
	for d.AddDate(0, 0, 1).Month() == t.Month() {
		d = d.AddDate(0, 0, 1)
	}
	return d.Day()
}

// Warnings are strictly between the two instants that they are about, each
// announcement is there once, and however time is cut into steps each is due in
// one step at most: everything that one long step would have told, and what was
// news at the end of a shorter one.
func TestAnnouncementsAreDueOnce(t *testing.T) {
	rapidChecks(t, 20_000)
	rapid.Check(t, func(t *rapid.T) {
		l := drawLife(t)
		all := l.Announcements()
		for i, a := range all {
			inside := func(start, end time.Time) {
				if !a.At.After(start) || !a.At.Before(end) || a.Before.After(end) {
					t.Fatalf("%+v\n%+v is not inside %v and %v", l, a, start, end)
				}
			}
			switch a.Notice {
			case WindowClosing:
				inside(l.Term.Start, l.Window)
			case TermEnding:
				inside(l.Term.Start, l.Term.End)
			case LinkExpiring:
				inside(l.Link.FirstDownloaded, l.Link.FirstDownloaded.Add(l.Link.Lifetime))
			}
			if i > 0 && a.At.Before(all[i-1].At) || slices.Index(all, a) != i || !a.Before.IsZero() && !a.Before.After(a.At) {
				t.Fatalf("%+v\n%+v is out of order, twice there or never news", l, a)
			}
		}
		from := l.Purchased.Add(-day)
		instant, told := from, map[Announcement]time.Time{}
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			now := instant.Add(time.Duration(rapid.Int64Range(0, 500*86400).Draw(t, "step")) * time.Second)
			due, next := l.Due(instant, now)
			for _, a := range due {
				if _, again := told[a]; again || !a.At.After(instant) || a.At.After(now) {
					t.Fatalf("%+v\n%+v was due between %v and %v", l, a, instant, now)
				}
				told[a] = now
			}
			for _, a := range all {
				_, isTold := told[a]
				inStep := a.At.After(instant) && !a.At.After(now)
				if news := a.Before.IsZero() || now.Before(a.Before); inStep && news != isTold {
					t.Fatalf("%+v\n%+v: news %v, told %v, between %v and %v", l, a, news, isTold, instant, now)
				}
				if a.At.After(now) && (next.IsZero() || a.At.Before(next)) {
					t.Fatalf("%+v\n%+v is due before the next at %v", l, a, next)
				}
			}
			if !next.IsZero() && !next.After(now) {
				t.Fatalf("%+v\nat %v the next is %v", l, now, next)
			}
			instant = now
		}
		long, _ := l.Due(from, instant)
		for _, a := range long {
			if _, ok := told[a]; !ok {
				t.Fatalf("%+v\nin steps %+v was not told", l, a)
			}
		}
	})
}

// rapidChecks has rapid try a property so many times in this test.
func rapidChecks(t *testing.T, n int) {
	t.Helper()
	checks := flag.Lookup("rapid.checks")
	was := checks.Value.String()
	t.Cleanup(func() { _ = checks.Value.Set(was) })
	if err := checks.Value.Set(fmt.Sprint(n)); err != nil {
		t.Fatal(err)
	}
}

func drawContract(t *rapid.T) Contract {
	c := bought("2019-12-01T00:00:00Z")
	c.Purchased = c.Purchased.Add(time.Duration(rapid.Int64Range(0, 10*366*86400).Draw(t, "purchase")) * time.Second)
	c.Term = rapid.SampledFrom([]Term{Month, Year, ThreeYears, Perpetual}).Draw(t, "term")
	c.Currency = rapid.SampledFrom([]string{"EUR", "JPY", "KWD", "CLF"}).Draw(t, "currency")
	c.Refund = rapid.SampledFrom([]Refund{Prorated, Full}).Draw(t, "refund")
	c.UnitPrice = decimal.New(rapid.Int64Range(0, 10_000_000).Draw(t, "price"), -rapid.Int32Range(0, 4).Draw(t, "decimals"))
	c.Quantity = rapid.Int64Range(1, 100_000).Draw(t, "quantity")
	c.Window = time.Duration(rapid.Int64Range(0, 90*86400).Draw(t, "window")) * time.Second
	return c
}

// drawChanges draws changes of the quantity, each at another instant: before a
// term, at its start and in so many seconds of it.
func drawChanges(t *rapid.T, purchased, start time.Time, length int64) []Change {
	var changes []Change
	earliest := max(int64(-40*86400), int64(purchased.Sub(start)/time.Second))
	for _, after := range rapid.SliceOfNDistinct(rapid.Int64Range(earliest, length), 0, 4, rapid.ID[int64]).Draw(t, "changes") {
		changes = append(changes, Change{At: start.Add(time.Duration(after) * time.Second)})
	}
	slices.SortFunc(changes, func(a, b Change) int { return a.At.Compare(b.At) })
	for i := range changes {
		changes[i].Quantity = rapid.Int64Range(1, 100_000).Draw(t, "to")
	}
	return changes
}

// drawInstants returns instants of a window in their order: its ends, those
// around each change and around the first days, and random ones. Those are not
// drawn one by one: that would cost more than all the rest, and a failure names
// its instant anyway.
func drawInstants(t *rapid.T, c Contract, p Period, length int64) []time.Time {
	var seconds []int64
	for _, at := range []int64{0, 86400, 2 * 86400, length} {
		seconds = append(seconds, at-1, at)
	}
	for _, change := range c.Changes {
		at := int64(change.At.Sub(p.Start) / time.Second)
		seconds = append(seconds, at-1, at)
	}
	rnd := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed of the instants"), 0))
	for range 40 {
		seconds = append(seconds, rnd.Int64N(length+1))
	}
	slices.Sort(seconds)
	var instants []time.Time
	for _, s := range slices.Compact(seconds) {
		if s >= 0 && s <= length {
			instants = append(instants, p.Start.Add(time.Duration(s)*time.Second))
		}
	}
	return instants
}

func drawLife(t *rapid.T) Life {
	c := drawContract(t)
	p := c.PeriodAt(c.Purchased.Add(time.Duration(rapid.Int64Range(0, 5*366*86400).Draw(t, "seconds after the purchase")) * time.Second))
	l := Life{Purchased: c.Purchased, Term: p, Window: c.CancelAt(p, p.Start).Until}
	if rapid.Bool().Draw(t, "downloaded") {
		l.Link = Link{
			FirstDownloaded: p.Start.Add(time.Duration(rapid.Int64Range(0, 400*86400).Draw(t, "first download")) * time.Second),
			Lifetime:        time.Duration(rapid.Int64Range(1, 10*86400).Draw(t, "lifetime")) * time.Second,
		}
	}
	if rapid.Bool().Draw(t, "migrates") {
		m := MigrationAt(p.Start.Add(time.Duration(rapid.Int64Range(-200*86400, 86400).Draw(t, "last KMS"))*time.Second), rapid.Bool().Draw(t, "deployed"), p.Start)
		l.Migration = &m
	}
	return l
}

// bill is what a term has cost up to an instant, line by line in exact
// rationals. It moves forward only.
type bill struct {
	c        Contract
	p        Period
	days     int64 // of the term, 0 for one that never ends
	changes  []Change
	quantity int64
	paid     *big.Rat
}

func newBill(c Contract, p Period) *bill {
	b := &bill{c: c, p: p, changes: c.Changes, quantity: c.Quantity}
	if !p.End.IsZero() {
		b.days = (p.End.Unix() - p.Start.Unix()) / 86400
	}
	for len(b.changes) > 0 && !b.changes[0].At.After(p.Start) {
		b.quantity, b.changes = b.changes[0].Quantity, b.changes[1:]
	}
	b.paid = b.line(b.days, b.quantity)
	return b
}

// line is what a quantity costs for some days. The price of one is rounded
// first, unless it is finer than the currency.
func (b *bill) line(days, quantity int64) *big.Rat {
	digits := MinorDigits(b.c.Currency)
	n, price := new(big.Rat).SetInt64(quantity), b.c.UnitPrice.Rat()
	unit := price
	if b.days > 0 {
		unit = new(big.Rat).Mul(price, big.NewRat(days, b.days))
	}
	if halfUp(price, digits).Cmp(price) == 0 {
		unit = halfUp(unit, digits)
	}
	return halfUp(new(big.Rat).Mul(unit, n), digits)
}

// advance adds the lines of the changes up to an instant.
func (b *bill) advance(to time.Time) (changed bool) {
	for len(b.changes) > 0 && !b.changes[0].At.After(to) {
		next := b.changes[0]
		left := b.days - b.used(next.At) + 1
		b.paid.Sub(b.paid, b.line(left, b.quantity))
		b.paid.Add(b.paid, b.line(left, next.Quantity))
		b.quantity, b.changes, changed = next.Quantity, b.changes[1:], true
	}
	return changed
}

// used is the day of the term that an instant is in, from 1.
func (b *bill) used(at time.Time) int64 { return (at.Unix()-b.p.Start.Unix())/86400 + 1 }

// credit is for the days after the one of the cancellation, at most what was
// paid; all of it where the refund is full.
func (b *bill) credit(at time.Time) *big.Rat {
	if b.c.Refund == Full || b.days == 0 {
		return b.paid
	}
	exact := new(big.Rat).Mul(b.c.UnitPrice.Rat(), big.NewRat(b.quantity*(b.days-b.used(at)), b.days))
	if credit := halfUp(exact, MinorDigits(b.c.Currency)); credit.Cmp(b.paid) < 0 {
		return credit
	}
	return b.paid
}

// halfUp rounds a rational that is not negative by integer division.
func halfUp(r *big.Rat, digits int32) *big.Rat {
	scale := big.NewInt(1)
	for range digits {
		scale.Mul(scale, big.NewInt(10))
	}
	num := new(big.Int).Mul(r.Num(), scale)
	num.Lsh(num, 1).Add(num, r.Denom())
	num.Quo(num, new(big.Int).Lsh(r.Denom(), 1))
	return new(big.Rat).SetFrac(num, scale)
}

func show(c Contract, p Period) string {
	s := fmt.Sprintf("%s of %s bought at %s: %d for %s %s, window %v, refund %s; term %s to %s",
		c.Term, c.Currency, c.Purchased.Format(time.RFC3339), c.Quantity, c.UnitPrice, c.Currency, c.Window, c.Refund, p.Start.Format(time.RFC3339), p.End.Format(time.RFC3339))
	for _, change := range c.Changes {
		s += fmt.Sprintf("; %d from %s", change.Quantity, change.At.Format(time.RFC3339))
	}
	return s
}
