package controllers

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/big"
	"time"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/terms"
)

// deal is what a customer of the simulation agreed to, with rules of its own:
// nothing here asks internal/terms, but for its types.
type deal struct {
	bought     time.Time
	months     int // 0: perpetual
	quantity   int64
	changes    []terms.Change
	price      *big.Rat
	currency   string
	window     time.Duration
	full       bool
	perLicense bool
}

type span struct{ start, end time.Time } // a zero end never comes

// term is the nth term: counted from the purchase, on its day of the month or
// the last one that there is.
func (d *deal) term(n int) span {
	if d.months == 0 {
		return span{start: d.bought}
	}
	return span{d.after(n * d.months), d.after((n + 1) * d.months)}
}

func (d *deal) after(months int) time.Time {
	t := d.bought.AddDate(0, months, 0)
	for t.Day() < d.bought.Day() && t.Day() < 4 { // it went on into the next month
		t = t.AddDate(0, 0, -1)
	}
	return t
}

func (d *deal) termAt(at time.Time) span {
	if d.months == 0 || at.Before(d.bought) {
		return d.term(0)
	}
	n := max(0, ((at.Year()-d.bought.Year())*12+int(at.Month()-d.bought.Month()))/d.months-2)
	for !at.Before(d.term(n).end) {
		n++
	}
	return d.term(n)
}

func (d *deal) until(s span) time.Time {
	until := s.start.Add(d.window)
	if !s.end.IsZero() && s.end.Before(until) {
		return s.end
	}
	return until
}

func (d *deal) now() int64 {
	if n := len(d.changes); n > 0 {
		return d.changes[n-1].Quantity
	}
	return d.quantity
}

func (d *deal) keys() int {
	if d.perLicense {
		return int(d.now())
	}
	return 1
}

func (d *deal) digits() int {
	return map[string]int{"EUR": 2, "USD": 2, "JPY": 0, "KWD": 3, "CLF": 4}[d.currency]
}

func (d *deal) round(r *big.Rat) *big.Rat {
	s, _ := new(big.Rat).SetString(r.FloatString(d.digits())) // half away from zero
	return s
}

// bill is what a term has cost up to an instant, and what cancelling then
// gives back.
func (d *deal) bill(s span, at time.Time) (paid, credit *big.Rat) {
	var days int64
	if !s.end.IsZero() {
		days = (s.end.Unix() - s.start.Unix()) / 86400
	}
	day := func(at time.Time) int64 { return max(0, at.Unix()-s.start.Unix())/86400 + 1 }
	line := func(left, quantity int64) *big.Rat {
		unit := d.price
		if days > 0 {
			unit = new(big.Rat).Mul(d.price, big.NewRat(left, days))
		}
		if d.round(d.price).Cmp(d.price) == 0 {
			unit = d.round(unit)
		}
		return d.round(new(big.Rat).Mul(unit, big.NewRat(quantity, 1)))
	}
	quantity := d.quantity
	for _, c := range d.changes {
		if !c.At.After(s.start) {
			quantity = c.Quantity
		}
	}
	paid = line(days, quantity)
	for _, c := range d.changes {
		if c.At.After(s.start) && !c.At.After(at) {
			left := days - day(c.At) + 1
			paid = new(big.Rat).Add(new(big.Rat).Sub(paid, line(left, quantity)), line(left, c.Quantity))
			quantity = c.Quantity
		}
	}
	if d.full || days == 0 {
		return paid, paid
	}
	credit = d.round(new(big.Rat).Mul(d.price, big.NewRat(quantity*(days-day(at)), days)))
	if credit.Cmp(paid) > 0 {
		credit = paid
	}
	return paid, credit
}

// news is an Event that is to be sent.
type news struct {
	reason     string
	at, before time.Time
}

func (n news) name(sub *v1alpha1.SoftwareSubscription) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %s %d", sub.UID, n.reason, n.at.Unix()))
	return sub.Name + "." + hex.EncodeToString(sum[:8])
}

// news lists what is told of a subscription in the running term.
func (c *customer) news() []news {
	if c.ended != "" {
		return []news{{reason: string(c.ended), at: c.endedAt}}
	}
	if c.deal == nil || !c.complete {
		return nil
	}
	all := []news{{reason: "Issued", at: c.bought}}
	if c.term.start.After(c.bought) {
		all = append(all, news{reason: "Renewed", at: c.term.start})
	}
	if until := c.until(c.term); until.Sub(c.term.start) >= 2*day {
		all = append(all, news{"WindowClosing", until.Add(-day), until})
	}
	if end := c.term.end; !end.IsZero() {
		if end.Sub(c.term.start) >= 60*day {
			all = append(all, news{"TermEnding", end.Add(-30 * day), end.Add(-7 * day)})
		}
		all = append(all, news{"TermEnding", end.Add(-7 * day), end})
	}
	if !c.downloaded.IsZero() && c.lifetime >= 2*day {
		all = append(all, news{"LinkExpiring", c.downloaded.Add(c.lifetime - day), c.downloaded.Add(c.lifetime)})
	}
	if !c.kms.IsZero() && !c.deployed {
		all = append(all, news{"MigrationAtRisk", c.kms.Add(150 * day), c.kms.Add(180 * day)}, news{reason: "MigrationLapsed", at: c.kms.Add(180 * day)})
	}
	return all
}

// deadlines are the instants at which something of a subscription changes by
// itself, besides what is told.
func (c *customer) deadlines(now time.Time) []time.Time {
	if c.deal == nil || c.ended != "" {
		return nil
	}
	until := c.until(c.term)
	all := []time.Time{until, c.term.end}
	if now.Before(until) && !c.full && c.months > 0 {
		all = append(all, c.term.start.Add((now.Sub(c.term.start)/day+1)*day))
	}
	if !c.downloaded.IsZero() {
		all = append(all, c.downloaded.Add(c.lifetime))
	}
	if !c.kms.IsZero() && !c.deployed {
		all = append(all, c.kms.Add(150*day), c.kms.Add(180*day))
	}
	for _, n := range c.news() {
		all = append(all, n.at)
	}
	return all
}

// deadline is the first of them after an instant; zero: there is none.
func (c *customer) deadline(now time.Time) time.Time {
	var first time.Time
	for _, at := range c.deadlines(now) {
		if at.After(now) && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	return first
}

// next is what status says comes next.
func (c *customer) next(now time.Time) string {
	first, name := time.Time{}, ""
	consider := func(event string, at time.Time) {
		if now.Before(at) && (first.IsZero() || at.Before(first)) {
			first, name = at, event+" "+stamp(at)
		}
	}
	consider("WindowCloses", c.until(c.term))
	if !c.downloaded.IsZero() {
		consider("LinkExpires", c.downloaded.Add(c.lifetime))
	}
	if !c.kms.IsZero() && !c.deployed {
		consider("ReactivateBefore", c.kms.Add(180*24*time.Hour))
	}
	consider(map[bool]string{true: "Renews", false: "Expires"}[c.autoRenew], c.term.end)
	return name
}
