package terms

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shopspring/decimal"
)

// on reads an instant such as 2026-01-31 or 2026-01-31 12:00:01. Without a time
// of day it is noon, when everything in these tables happens.
func on(s string) time.Time {
	if !strings.Contains(s, " ") {
		s += " 12:00:00"
	}
	t, err := time.Parse(time.DateTime, s)
	if err != nil {
		panic(err)
	}
	return t
}

// told is what on reads.
func told(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return strings.TrimSuffix(t.Format(time.DateTime), " 12:00:00")
}

// act is something that happens to a service at an instant.
type act struct {
	at time.Time
	do func(e *Entitlement, now time.Time)
}

func acts(when string, do func(e *Entitlement, now time.Time)) act { return act{on(when), do} }

func passes(when string) act { return acts(when, func(*Entitlement, time.Time) {}) }

func activates(when string) act { return acts(when, (*Entitlement).Activate) }

func suspends(when string) act { return acts(when, (*Entitlement).Suspend) }

func vanishes(when string) act {
	return acts(when, func(e *Entitlement, now time.Time) { e.Orphaned = now })
}

func returns(when string) act {
	return acts(when, func(e *Entitlement, _ time.Time) { e.Orphaned = time.Time{} })
}

func asks(when string, action Action, plan string, quantity int64) act {
	return acts(when, func(e *Entitlement, now time.Time) {
		level := e.Level()
		level.Plan, level.Quantity = plan, quantity
		e.Request(action, level, now)
	})
}

// takes is the webhook's answer to the operation in progress.
func takes(when, refusal string) act {
	return acts(when, func(e *Entitlement, now time.Time) {
		if i := e.Pending(); i >= 0 {
			e.Deliver(e.Operations[i].ID, refusal, now)
		}
	})
}

func answers(when string, accepted bool) act {
	return acts(when, func(e *Entitlement, now time.Time) { e.Answer(accepted, "no", now) })
}

func wants(when string, autoRenew bool, cycle Cycle) act {
	return acts(when, func(e *Entitlement, _ time.Time) { e.AutoRenew, e.NextCycle = autoRenew, cycle })
}

// stops ends the service as of an instant that may be before the one at which
// it is seen.
func stops(seen, asked string, reason EndReason) act {
	return acts(seen, func(e *Entitlement, now time.Time) { e.End(reason, on(asked), now) })
}

// coffee is a service that was bought by the month on 31 January 2026.
func coffee(change ...func(*Entitlement)) *Entitlement {
	e := &Entitlement{
		Purchased: on("2026-01-31"), Term: Month, Window: DefaultServiceWindow, Refund: Full, Currency: "EUR", AutoRenew: true,
		Bought: Level{Plan: "silver", Quantity: 5, UnitPrice: decimal.NewFromInt(4), Cycle: Monthly},
	}
	for _, f := range change {
		f(e)
	}
	return e
}

func runsFor(term Term) func(*Entitlement) { return func(e *Entitlement) { e.Term = term } }

func purchased(when string) func(*Entitlement) {
	return func(e *Entitlement) { e.Purchased = on(when) }
}

func freeFor(trial time.Duration) func(*Entitlement) { return func(e *Entitlement) { e.Trial = trial } }

// live has a service live through what happens to it, as a record does: time
// passes first, and new operations get their ids.
func live(e *Entitlement, all ...act) (next time.Time) {
	for _, a := range all {
		e.Follow(a.at)
		a.do(e, a.at)
		next = e.Follow(a.at)
		for i := range e.Operations {
			if e.Operations[i].ID == "" {
				e.Operations[i].ID = fmt.Sprint(i)
			}
		}
	}
	return next
}

// tell says what is on record in a line for each thing that happened.
func tell(e *Entitlement) string {
	var lines []string
	add := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	state := string(e.State())
	if !e.Ended.IsZero() {
		state += fmt.Sprintf(" %s %s", e.Reason, told(e.Ended))
	}
	if p := e.Period(); e.OnTrial() {
		state += fmt.Sprintf(", trial %s to %s", told(p.Start), told(p.End))
	} else if p != (Period{}) {
		state += fmt.Sprintf(", term %s to %s", told(p.Start), told(p.End))
	}
	add("%s", state)
	for _, c := range e.Changes {
		add("%s: %s %d %s", told(c.At), c.Level.Plan, c.Level.Quantity, c.Level.Cycle)
	}
	for _, op := range e.Operations {
		why := ""
		if op.Why != "" {
			why = ": " + op.Why
		}
		done := ""
		if op.Progress != InProgress && !op.Completed.Equal(op.Requested) {
			done = " " + told(op.Completed)
		}
		add("%s %s %s%s%s", op.Action, told(op.Requested), op.Progress, done, why)
	}
	return strings.Join(lines, "\n")
}

// end is what a service ends with: its state and the operation that tells of it.
func end(reason EndReason, when, term string) string {
	if term != "" {
		term = ", " + term
	}
	return "Unsubscribed " + string(reason) + " " + when + term + "\nUnsubscribe " + when + " Succeeded"
}

const (
	february = "term 2026-01-31 to 2026-02-28"
	march    = "term 2026-02-28 to 2026-03-31"
	april    = "term 2026-03-31 to 2026-04-30"
	gold     = "ChangePlan 2026-02-10 "
)

func TestLifeOfAService(t *testing.T) {
	// Each may go on in several ways.
	asked := slices.Clip([]act{activates("2026-01-31"), asks("2026-02-10", ChangePlan, "gold", 5)})
	suspended := slices.Clip([]act{activates("2026-01-31"), suspends("2026-02-10")})
	reinstating := slices.Clip([]act{activates("2026-01-31"), suspends("2026-02-20"), asks("2026-03-05", Reinstate, "silver", 5)})
	orphaned := slices.Clip([]act{activates("2026-01-31"), vanishes("2026-02-10")})
	for name, tc := range map[string]struct {
		service    *Entitlement
		acts       []act
		want, next string
	}{
		"bought and not activated":                    {coffee(), []act{passes("2026-01-31")}, "PendingFulfillmentStart", "2026-03-02"},
		"a clock that is behind the purchase":         {coffee(), []act{passes("2025-06-01")}, "PendingFulfillmentStart", "2026-03-02"},
		"a second before 30 days without activation":  {coffee(), []act{passes("2026-03-02 11:59:59")}, "PendingFulfillmentStart", "2026-03-02"},
		"30 days without activation":                  {coffee(), []act{passes("2026-03-02")}, end(EndNotActivated, "2026-03-02", ""), "never"},
		"30 days without activation, seen much later": {coffee(), []act{passes("2027-07-01")}, end(EndNotActivated, "2026-03-02", ""), "never"},
		"activated in the last second":                {coffee(), []act{activates("2026-03-02 11:59:59")}, "Subscribed, term 2026-03-02 11:59:59 to 2026-04-02 11:59:59", "2026-04-02 11:59:59"},
		"activated a second too late":                 {coffee(), []act{activates("2026-03-02")}, end(EndNotActivated, "2026-03-02", ""), "never"},
		"activated twice":                             {coffee(), []act{activates("2026-01-31"), activates("2026-02-01")}, "Subscribed, " + february, "2026-02-28"},
		"bought in another time zone":                 {coffee(func(e *Entitlement) { e.Purchased = at("2026-02-01T01:00:00+13:00") }), []act{passes("2026-03-02")}, end(EndNotActivated, "2026-03-02", ""), "never"},
		"cancelled before the activation":             {coffee(), []act{stops("2026-02-01", "2026-02-01", EndCancelled)}, end(EndCancelled, "2026-02-01", ""), "never"},
		"suspended before the activation":             {coffee(), []act{suspends("2026-02-01"), activates("2026-02-02")}, "Subscribed, term 2026-02-02 to 2026-03-02", "2026-03-02"},

		"a second before the end of a term": {coffee(), []act{activates("2026-01-31"), passes("2026-02-28 11:59:59")}, "Subscribed, " + february, "2026-02-28"},
		"a term ends and is renewed":        {coffee(), []act{activates("2026-01-31"), passes("2026-02-28")}, "Subscribed, " + march + "\nRenew 2026-02-28 Succeeded", "2026-03-31"},
		"a short month moves no later term": {coffee(), []act{activates("2026-01-31"), passes("2026-02-28"), passes("2026-03-31"), passes("2026-04-30")}, "Subscribed, term 2026-04-30 to 2026-05-31\nRenew 2026-02-28 Succeeded\nRenew 2026-03-31 Succeeded\nRenew 2026-04-30 Succeeded", "2026-05-31"},
		"several terms end while nobody looks": {coffee(), []act{activates("2026-01-31"), passes("2026-05-05")},
			"Subscribed, term 2026-04-30 to 2026-05-31\nRenew 2026-02-28 Succeeded\nRenew 2026-03-31 Succeeded\nRenew 2026-04-30 Succeeded", "2026-05-31"},
		"a clock that falls behind the renewal": {coffee(), []act{activates("2026-01-31"), passes("2026-02-28"), passes("2026-02-27")}, "Subscribed, " + march + "\nRenew 2026-02-28 Succeeded", "2026-03-31"},
		"terms are counted from the activation": {coffee(), []act{activates("2026-02-03"), passes("2026-03-03")}, "Subscribed, term 2026-03-03 to 2026-04-03\nRenew 2026-03-03 Succeeded", "2026-04-03"},
		"a year from a leap day":                {coffee(purchased("2024-02-29"), runsFor(Year)), []act{activates("2024-02-29"), passes("2028-02-28")}, "Subscribed, term 2027-02-28 to 2028-02-29\nRenew 2025-02-28 Succeeded\nRenew 2026-02-28 Succeeded\nRenew 2027-02-28 Succeeded", "2028-02-29"},
		"five years":                            {coffee(runsFor(FiveYears)), []act{activates("2026-01-31"), passes("2031-01-30")}, "Subscribed, term 2026-01-31 to 2031-01-31", "2031-01-31"},
		"a term ends and is not renewed":        {coffee(), []act{activates("2026-01-31"), wants("2026-02-01", false, ""), passes("2026-02-28")}, end(EndExpired, "2026-02-28", february), "never"},
		"a second before that":                  {coffee(), []act{activates("2026-01-31"), wants("2026-02-01", false, ""), passes("2026-02-28 11:59:59")}, "Subscribed, " + february, "2026-02-28"},
		"it is renewed after all":               {coffee(), []act{activates("2026-01-31"), wants("2026-02-01", false, ""), wants("2026-02-28 11:59:59", true, ""), passes("2026-02-28")}, "Subscribed, " + march + "\nRenew 2026-02-28 Succeeded", "2026-03-31"},
		"too late to renew":                     {coffee(), []act{activates("2026-01-31"), wants("2026-02-01", false, ""), wants("2026-02-28", true, "")}, end(EndExpired, "2026-02-28", february), "never"},
		"too late not to renew":                 {coffee(), []act{activates("2026-01-31"), wants("2026-02-28", false, "")}, "Subscribed, " + march + "\nRenew 2026-02-28 Succeeded", "2026-03-31"},
		"another billing cycle from the next term": {coffee(runsFor(Year)), []act{activates("2026-01-31"), wants("2026-02-01", true, Annual), passes("2029-01-01")},
			"Subscribed, term 2028-01-31 to 2029-01-31\n2027-01-31: silver 5 Annual\nRenew 2027-01-31 Succeeded\nRenew 2028-01-31 Succeeded", "2029-01-31"},
		"the same billing cycle from the next term": {coffee(), []act{activates("2026-01-31"), wants("2026-02-01", true, Monthly), passes("2026-02-28")}, "Subscribed, " + march + "\nRenew 2026-02-28 Succeeded", "2026-03-31"},

		"a trial":                           {coffee(freeFor(30 * day)), []act{activates("2026-02-01"), passes("2026-03-03 11:59:59")}, "Subscribed, trial 2026-02-01 to 2026-03-03", "2026-03-03"},
		"a trial turns paid":                {coffee(freeFor(30 * day)), []act{activates("2026-02-01"), passes("2026-03-03")}, "Subscribed, term 2026-03-03 to 2026-04-03\nRenew 2026-03-03 Succeeded", "2026-04-03"},
		"a trial turned paid renews":        {coffee(freeFor(30 * day)), []act{activates("2026-02-01"), passes("2026-04-03")}, "Subscribed, term 2026-04-03 to 2026-05-03\nRenew 2026-03-03 Succeeded\nRenew 2026-04-03 Succeeded", "2026-05-03"},
		"a trial ends and does not renew":   {coffee(freeFor(30 * day)), []act{activates("2026-02-01"), wants("2026-02-02", false, ""), passes("2026-05-01")}, end(EndExpired, "2026-03-03", "trial 2026-02-01 to 2026-03-03"), "never"},
		"a trial of hours ends on the hour": {coffee(freeFor(36 * time.Hour)), []act{activates("2026-02-01"), passes("2026-02-03 00:00:00")}, "Subscribed, term 2026-02-03 00:00:00 to 2026-03-03 00:00:00\nRenew 2026-02-03 00:00:00 Succeeded", "2026-03-03 00:00:00"},
		"a trial that is not activated":     {coffee(freeFor(60 * day)), []act{passes("2026-03-02")}, end(EndNotActivated, "2026-03-02", ""), "never"},

		"suspended":                                {coffee(), suspended, "Suspended, " + february + "\nSuspend 2026-02-10 Succeeded", "2026-03-12"},
		"suspended again changes nothing":          {coffee(), append(suspended, suspends("2026-02-15")), "Suspended, " + february + "\nSuspend 2026-02-10 Succeeded", "2026-03-12"},
		"suspended over the end of a term":         {coffee(), append(suspended, passes("2026-03-12 11:59:59")), "Suspended, " + february + "\nSuspend 2026-02-10 Succeeded", "2026-03-12"},
		"suspended for 30 days":                    {coffee(), append(suspended, passes("2026-03-12")), "Unsubscribed NotPaid 2026-03-12, " + february + "\nSuspend 2026-02-10 Succeeded\nUnsubscribe 2026-03-12 Succeeded", "never"},
		"suspended and not to be renewed":          {coffee(), append(suspended, wants("2026-02-11", false, ""), passes("2026-02-28")), "Unsubscribed Expired 2026-02-28, " + february + "\nSuspend 2026-02-10 Succeeded\nUnsubscribe 2026-02-28 Succeeded", "never"},
		"suspended in a trial and over its end":    {coffee(freeFor(30 * day)), []act{activates("2026-02-01"), suspends("2026-02-28"), passes("2026-03-10")}, "Suspended, trial 2026-02-01 to 2026-03-03\nSuspend 2026-02-28 Succeeded", "2026-03-30"},
		"reinstated in the same term":              {coffee(), append(suspended, asks("2026-02-11", Reinstate, "silver", 5), takes("2026-02-12", ""), passes("2026-02-12 12:00:10")), "Subscribed, " + february + "\nSuspend 2026-02-10 Succeeded\nReinstate 2026-02-11 Succeeded 2026-02-12 12:00:10", "2026-02-28"},
		"reinstated after the term":                {coffee(), append(reinstating, answers("2026-03-06", true)), "Subscribed, " + march + "\nSuspend 2026-02-20 Succeeded\nReinstate 2026-03-05 Succeeded 2026-03-06\nRenew 2026-02-28 Succeeded", "2026-03-31"},
		"reinstated by silence, after the term":    {coffee(), append(reinstating, takes("2026-03-06", ""), passes("2026-04-01")), "Subscribed, " + april + "\nSuspend 2026-02-20 Succeeded\nReinstate 2026-03-05 Succeeded 2026-03-06 12:00:10\nRenew 2026-02-28 Succeeded\nRenew 2026-03-31 Succeeded", "2026-04-30"},
		"reinstated in the last moment":            {coffee(), append(reinstating, takes("2026-03-22 11:59:50", ""), passes("2026-03-22")), "Subscribed, " + march + "\nSuspend 2026-02-20 Succeeded\nReinstate 2026-03-05 Succeeded 2026-03-22\nRenew 2026-02-28 Succeeded", "2026-03-31"},
		"the publisher does not reinstate":         {coffee(), append(reinstating, answers("2026-03-06", false)), "Suspended, " + february + "\nSuspend 2026-02-20 Succeeded\nReinstate 2026-03-05 Failed 2026-03-06: no", "2026-03-22"},
		"a reinstatement that nobody answers":      {coffee(), append(reinstating, passes("2026-03-22")), "Unsubscribed NotPaid 2026-03-22, " + february + "\nSuspend 2026-02-20 Succeeded\nReinstate 2026-03-05 Failed 2026-03-22: the subscription ended\nUnsubscribe 2026-03-22 Succeeded", "never"},
		"suspended once more after that":           {coffee(), append(suspended, asks("2026-02-11", Reinstate, "silver", 5), answers("2026-02-11", true), suspends("2026-02-20"), passes("2026-03-21")), "Suspended, " + february + "\nSuspend 2026-02-10 Succeeded\nReinstate 2026-02-11 Succeeded\nSuspend 2026-02-20 Succeeded", "2026-03-22"},
		"suspended while something is in progress": {coffee(), append(asked, suspends("2026-02-11")), "Suspended, " + february + "\n" + gold + "Failed 2026-02-11: the service was suspended\nSuspend 2026-02-11 Succeeded", "2026-03-13"},

		"a change that the webhook has not taken":  {coffee(), append(asked, passes("2026-02-11")), "Subscribed, " + february + "\n" + gold + "InProgress", "2026-02-28"},
		"a second before ten of silence":           {coffee(), append(asked, takes("2026-02-10 12:05:00", ""), passes("2026-02-10 12:05:09")), "Subscribed, " + february + "\n" + gold + "InProgress", "2026-02-10 12:05:10"},
		"ten seconds of silence accept":            {coffee(), append(asked, takes("2026-02-10 12:05:00", ""), passes("2026-02-10 12:05:10")), "Subscribed, " + february + "\n2026-02-10 12:05:10: gold 5 Monthly\n" + gold + "Succeeded 2026-02-10 12:05:10", "2026-02-28"},
		"silence, seen a day later":                {coffee(), append(asked, takes("2026-02-10 12:05:00", ""), passes("2026-02-11")), "Subscribed, " + february + "\n2026-02-10 12:05:10: gold 5 Monthly\n" + gold + "Succeeded 2026-02-10 12:05:10", "2026-02-28"},
		"refused by an answer in time":             {coffee(), append(asked, takes("2026-02-10 12:05:00", ""), answers("2026-02-10 12:05:09", false)), "Subscribed, " + february + "\n" + gold + "Failed 2026-02-10 12:05:09: no", "2026-02-28"},
		"refused too late":                         {coffee(), append(asked, takes("2026-02-10 12:05:00", ""), answers("2026-02-10 12:05:10", false)), "Subscribed, " + february + "\n2026-02-10 12:05:10: gold 5 Monthly\n" + gold + "Succeeded 2026-02-10 12:05:10", "2026-02-28"},
		"refused by the webhook":                   {coffee(), append(asked, takes("2026-02-10 12:05:00", "it refused")), "Subscribed, " + february + "\n" + gold + "Failed 2026-02-10 12:05:00: it refused", "2026-02-28"},
		"accepted before the webhook has taken it": {coffee(), append(asked, answers("2026-02-10 12:00:01", true)), "Subscribed, " + february + "\n2026-02-10 12:00:01: gold 5 Monthly\n" + gold + "Succeeded 2026-02-10 12:00:01", "2026-02-28"},
		"an answer when nothing was asked":         {coffee(), []act{activates("2026-01-31"), answers("2026-02-10", true)}, "Subscribed, " + february, "2026-02-28"},
		"a second answer":                          {coffee(), append(asked, answers("2026-02-10 12:00:01", false), answers("2026-02-10 12:00:02", true)), "Subscribed, " + february + "\n" + gold + "Failed 2026-02-10 12:00:01: no", "2026-02-28"},
		"accepted in the moment of the renewal": {coffee(), append(asked, takes("2026-02-28 11:59:50", ""), passes("2026-02-28")),
			"Subscribed, " + march + "\n2026-02-28: gold 5 Monthly\n" + gold + "Succeeded 2026-02-28\nRenew 2026-02-28 Succeeded", "2026-03-31"},
		"accepted in the moment of another billing cycle": {coffee(), append(asked, wants("2026-02-11", true, Annual), takes("2026-02-28 11:59:50", ""), passes("2026-03-01")),
			"Subscribed, " + march + "\n2026-02-28: gold 5 Monthly\n2026-02-28 12:00:01: gold 5 Annual\n" + gold + "Succeeded 2026-02-28\nRenew 2026-02-28 Succeeded", "2026-03-31"},
		"asked in one billing cycle, accepted in the next": {coffee(), append(asked, wants("2026-02-11", true, Annual), takes("2026-02-28", ""), passes("2026-03-01")),
			"Subscribed, " + march + "\n2026-02-28: silver 5 Annual\n2026-02-28 12:00:10: gold 5 Annual\n" + gold + "Succeeded 2026-02-28 12:00:10\nRenew 2026-02-28 Succeeded", "2026-03-31"},
		"two changes in one second": {coffee(), append(asked, answers("2026-02-10", true), asks("2026-02-10", ChangeQuantity, "gold", 9), answers("2026-02-10", true)),
			"Subscribed, " + february + "\n2026-02-10: gold 5 Monthly\n2026-02-10 12:00:01: gold 9 Monthly\nChangePlan 2026-02-10 Succeeded\nChangeQuantity 2026-02-10 Succeeded", "2026-02-28"},
		"a change by a clock that fell behind": {coffee(), append(asked, answers("2026-02-10 12:00:05", true), asks("2026-02-10 11:00:00", ChangeQuantity, "gold", 9), answers("2026-02-10 11:00:01", true)),
			"Subscribed, " + february + "\n2026-02-10 12:00:05: gold 5 Monthly\n2026-02-10 12:00:06: gold 9 Monthly\n" + gold + "Succeeded 2026-02-10 12:00:05\nChangeQuantity 2026-02-10 11:00:00 Succeeded 2026-02-10 11:00:01", "2026-02-28"},
		"cancelled while something is in progress": {coffee(), append(asked, stops("2026-02-10 12:00:05", "2026-02-10 12:00:05", EndPublisherEnded)),
			"Unsubscribed PublisherEnded 2026-02-10 12:00:05, " + february + "\n" + gold + "Failed 2026-02-10 12:00:05: the subscription ended\nUnsubscribe 2026-02-10 12:00:05 Succeeded", "never"},
		"expired while something is in progress": {coffee(), append(asked, wants("2026-02-11", false, ""), takes("2026-02-28 11:59:51", ""), passes("2026-03-01")),
			"Unsubscribed Expired 2026-02-28, " + february + "\n" + gold + "Failed 2026-03-01: the subscription ended\nUnsubscribe 2026-02-28 Succeeded", "never"},

		"cancelled":                       {coffee(), []act{activates("2026-01-31"), stops("2026-02-01", "2026-02-01", EndCancelled)}, end(EndCancelled, "2026-02-01", february), "never"},
		"cancelled in time, seen later":   {coffee(), []act{activates("2026-01-31"), stops("2026-02-09", "2026-02-01", EndCancelled)}, end(EndCancelled, "2026-02-01", february), "never"},
		"cancelled and ended once more":   {coffee(), []act{activates("2026-01-31"), stops("2026-02-01", "2026-02-01", EndCancelled), stops("2026-02-02", "2026-02-02", EndPublisherEnded)}, end(EndCancelled, "2026-02-01", february), "never"},
		"cancelled and then activated":    {coffee(), []act{stops("2026-02-01", "2026-02-01", EndCancelled), activates("2026-02-02")}, end(EndCancelled, "2026-02-01", ""), "never"},
		"cancelled and then suspended":    {coffee(), []act{activates("2026-01-31"), stops("2026-02-01", "2026-02-01", EndCancelled), suspends("2026-02-02")}, end(EndCancelled, "2026-02-01", february), "never"},
		"cancelled while it is suspended": {coffee(), append(suspended, stops("2026-02-11", "2026-02-11", EndPublisherEnded)), "Unsubscribed PublisherEnded 2026-02-11, " + february + "\nSuspend 2026-02-10 Succeeded\nUnsubscribe 2026-02-11 Succeeded", "never"},

		"the subscription is gone":                     {coffee(), orphaned, "Subscribed, " + february, "2026-02-11"},
		"gone and back":                                {coffee(), append(orphaned, returns("2026-02-11 11:59:59"), passes("2026-02-12")), "Subscribed, " + february, "2026-02-28"},
		"gone and back too late":                       {coffee(), append(orphaned, returns("2026-02-11")), end(EndDeleted, "2026-02-10", february), "never"},
		"gone for a day":                               {coffee(), append(orphaned, passes("2026-02-11")), end(EndDeleted, "2026-02-10", february), "never"},
		"gone before the activation":                   {coffee(), []act{vanishes("2026-02-01"), passes("2026-02-02")}, end(EndDeleted, "2026-02-01", ""), "never"},
		"gone, and activated all the same":             {coffee(), []act{vanishes("2026-02-01"), activates("2026-02-01 18:00:00"), passes("2026-02-02")}, end(EndDeleted, "2026-02-01", "term 2026-02-01 18:00:00 to 2026-03-01 18:00:00"), "never"},
		"gone over the end of its term":                {coffee(), []act{activates("2026-01-31"), vanishes("2026-02-28 06:00:00"), passes("2026-02-28 18:00:00")}, "Subscribed, " + february, "2026-03-01 06:00:00"},
		"gone over the end of its term, and back":      {coffee(), []act{activates("2026-01-31"), vanishes("2026-02-28 06:00:00"), returns("2026-02-28 18:00:00")}, "Subscribed, " + march + "\nRenew 2026-02-28 Succeeded", "2026-03-31"},
		"gone over the end of its term for good":       {coffee(), []act{activates("2026-01-31"), vanishes("2026-02-28 06:00:00"), passes("2026-04-01")}, end(EndDeleted, "2026-02-28 06:00:00", february), "never"},
		"gone over the end of its last term":           {coffee(), []act{activates("2026-01-31"), wants("2026-02-01", false, ""), vanishes("2026-02-28 06:00:00"), passes("2026-04-01")}, end(EndExpired, "2026-02-28", february), "never"},
		"gone, and the time to activate ends":          {coffee(), []act{vanishes("2026-03-02 06:00:00"), passes("2026-04-01")}, end(EndNotActivated, "2026-03-02", ""), "never"},
		"gone while suspended for nearly 30 days":      {coffee(), append(suspended, vanishes("2026-03-12 06:00:00"), passes("2026-04-01")), "Unsubscribed NotPaid 2026-03-12, " + february + "\nSuspend 2026-02-10 Succeeded\nUnsubscribe 2026-03-12 Succeeded", "never"},
		"gone while something is in progress":          {coffee(), append(asked, vanishes("2026-02-10 13:00:00"), passes("2026-02-20")), "Unsubscribed Deleted 2026-02-10 13:00:00, " + february + "\n" + gold + "Failed 2026-02-20: the subscription ended\nUnsubscribe 2026-02-10 13:00:00 Succeeded", "never"},
		"what is in progress goes on while it is gone": {coffee(), append(asked, vanishes("2026-02-10 13:00:00"), takes("2026-02-10 14:00:00", ""), returns("2026-02-10 15:00:00")), "Subscribed, " + february + "\n2026-02-10 14:00:10: gold 5 Monthly\n" + gold + "Succeeded 2026-02-10 14:00:10", "2026-02-28"},
	} {
		t.Run(name, func(t *testing.T) {
			next := live(tc.service, tc.acts...)
			if got := tell(tc.service); got != tc.want {
				t.Errorf("got\n%s\nwant\n%s", got, tc.want)
			}
			if told(next) != tc.next {
				t.Errorf("next %s, want %s", told(next), tc.next)
			}
		})
	}
}

// A cancellation counts from when it was asked for, which may be some time before
// it is seen and before what has happened since.
func TestWindowOfAService(t *testing.T) {
	activated := slices.Clip([]act{activates("2026-02-01")})
	late := slices.Clip([]act{activates("2026-02-20")})
	trial := slices.Clip([]act{activates("2026-02-01")})
	window := func(d time.Duration) func(*Entitlement) { return func(e *Entitlement) { e.Window = d } }
	for name, tc := range map[string]struct {
		service *Entitlement
		acts    []act
		asked   string
		until   string
		open    bool
	}{
		"at the purchase, which is not activated":      {coffee(), nil, "2026-01-31", "2026-03-02", true},
		"by a clock that is behind the purchase":       {coffee(), nil, "2025-01-31", "2026-03-02", true},
		"in the last second before it lapses":          {coffee(), nil, "2026-03-02 11:59:59", "2026-03-02", true},
		"when it lapses, and nobody has looked":        {coffee(), nil, "2026-03-02", "2026-03-02", false},
		"not activated, after its window":              {coffee(), nil, "2026-02-20", "2026-03-02", true},
		"not activated, and never to be cancelled":     {coffee(window(0)), nil, "2026-02-20", "2026-03-02", true},
		"the window counts from the purchase":          {coffee(), activated, "2026-02-03 11:59:59", "2026-02-03", true},
		"at its end":                                   {coffee(), activated, "2026-02-03", "2026-02-03", false},
		"at the activation":                            {coffee(), activated, "2026-02-01", "2026-02-03", true},
		"activated after the window":                   {coffee(), late, "2026-02-20", "2026-02-03", false},
		"asked before that, and seen after":            {coffee(), late, "2026-02-19", "2026-03-02", true},
		"asked a second before the activation":         {coffee(), late, "2026-02-20 11:59:59", "2026-03-02", true},
		"activated with the purchase":                  {coffee(), []act{activates("2026-01-31")}, "2026-01-31", "2026-02-03", true},
		"activated by a clock behind the purchase":     {coffee(), []act{activates("2026-01-30")}, "2026-02-02", "2026-02-03", true},
		"never to be cancelled":                        {coffee(window(0)), activated, "2026-02-01", "2026-01-31", false},
		"a later term's window counts from itself":     {coffee(), append(activated, passes("2026-03-01")), "2026-03-03", "2026-03-04", true},
		"at the renewal itself":                        {coffee(), append(activated, passes("2026-03-01")), "2026-03-01", "2026-03-04", true},
		"at the end of a later window":                 {coffee(), append(activated, passes("2026-03-01")), "2026-03-04", "2026-03-04", false},
		"later in a later term":                        {coffee(), append(activated, passes("2026-03-01")), "2026-03-20", "2026-03-04", false},
		"asked before a renewal, and seen after":       {coffee(), append(activated, passes("2026-03-01")), "2026-02-28 11:59:59", "2026-02-03", false},
		"asked in time, and seen after a renewal":      {coffee(), append(activated, passes("2026-03-01")), "2026-02-02", "2026-02-03", true},
		"asked in time, and seen after three":          {coffee(), append(activated, passes("2026-05-01")), "2026-03-03", "2026-03-04", true},
		"asked before the activation, seen much later": {coffee(), append(activated, passes("2026-05-01")), "2026-01-31 18:00:00", "2026-03-02", true},
		"a window as long as the term":                 {coffee(window(90 * day)), activated, "2026-02-28", "2026-03-01", true},
		"a window that is longer ends with the term":   {coffee(window(90*day), runsFor(Month)), append(activated, wants("2026-02-02", false, "")), "2026-02-28 11:59:59", "2026-03-01", true},
		"a window over a term, seen in the next":       {coffee(window(90 * day)), append(activated, passes("2026-03-01")), "2026-02-28", "2026-03-01", true},
		"suspended, in the window":                     {coffee(), append(activated, suspends("2026-02-02")), "2026-02-02", "2026-02-03", true},
		"suspended over the end of the term":           {coffee(window(90 * day)), append(activated, suspends("2026-02-02")), "2026-03-02", "2026-03-04", true},
		"ended":                                        {coffee(), append(activated, stops("2026-02-02", "2026-02-02", EndCancelled)), "2026-02-02", "never", false},

		"on trial":                               {coffee(freeFor(30 * day)), trial, "2026-03-02", "2026-03-03", true},
		"in the last second of a trial":          {coffee(freeFor(30 * day)), trial, "2026-03-03 11:59:59", "2026-03-03", true},
		"on trial, of what is never cancelled":   {coffee(freeFor(30*day), window(0)), trial, "2026-02-15", "2026-03-03", true},
		"a trial turned paid opens a window":     {coffee(freeFor(30 * day)), append(trial, passes("2026-03-03")), "2026-03-03", "2026-03-06", true},
		"that ends":                              {coffee(freeFor(30 * day)), append(trial, passes("2026-03-03")), "2026-03-06", "2026-03-06", false},
		"asked on trial, seen when it is paid":   {coffee(freeFor(30 * day)), append(trial, passes("2026-03-03")), "2026-03-03 11:59:59", "2026-03-03", true},
		"asked on trial, seen terms later":       {coffee(freeFor(30 * day)), append(trial, passes("2026-06-10")), "2026-02-15", "2026-03-03", true},
		"asked in the first paid term, the same": {coffee(freeFor(30 * day)), append(trial, passes("2026-06-10")), "2026-03-05", "2026-03-06", true},
	} {
		t.Run(name, func(t *testing.T) {
			live(tc.service, tc.acts...)
			got := tc.service.CancelAt(on(tc.asked))
			if told(got.Until) != tc.until || got.Open != tc.open {
				t.Errorf("until %s, open %v; want until %s, open %v", told(got.Until), got.Open, tc.until, tc.open)
			}
			if got.Open != got.Next.After(on(tc.asked)) || got.Next.After(got.Until) {
				t.Errorf("next %v", got.Next)
			}
		})
	}
}

func TestNothingIsBilledBeforeTheActivation(t *testing.T) {
	e := coffee(freeFor(30 * day))
	if next := live(e, passes("2026-02-20")); !e.PaidFrom().IsZero() || !e.Account().From.IsZero() || !next.Equal(on("2026-03-02")) {
		t.Errorf("paid from %v", e.PaidFrom())
	}
	live(e, activates("2026-02-20"))
	if want := on("2026-03-22"); !e.PaidFrom().Equal(want) || !e.Account().From.Equal(want) {
		t.Errorf("paid from %v, want the end of the trial", e.PaidFrom())
	}
	e = coffee()
	live(e, activates("2026-02-20"))
	if want := on("2026-02-20"); !e.PaidFrom().Equal(want) {
		t.Errorf("paid from %v, want the activation", e.PaidFrom())
	}
}

// The level that an operation tells of is the one that held then.
func TestLevelOfWhatHappened(t *testing.T) {
	e := coffee()
	live(e, activates("2026-01-31"), asks("2026-02-10", ChangePlan, "gold", 7), answers("2026-02-10", true), wants("2026-02-11", true, Annual), passes("2026-02-28"),
		suspends("2026-03-01"), stops("2026-03-02", "2026-03-02", EndPublisherEnded))
	want := []string{"ChangePlan gold 7 Monthly", "Renew gold 7 Annual", "Suspend gold 7 Annual", "Unsubscribe gold 7 Annual"}
	for i, op := range e.Operations {
		if got := fmt.Sprintf("%s %s %d %s", op.Action, op.Level.Plan, op.Level.Quantity, op.Level.Cycle); got != want[i] {
			t.Errorf("got %s, want %s", got, want[i])
		}
	}
	if len(e.Operations) != len(want) {
		t.Errorf("%d operations, want %d", len(e.Operations), len(want))
	}
}

// The publisher is told from when something was put on record, which may be long
// after it happened.
func TestWhatHappenedUnseenIsTold(t *testing.T) {
	e := coffee()
	live(e, activates("2026-01-31"), wants("2026-01-31", false, ""), passes("2026-06-01"))
	op := e.Operations[0]
	if !op.Requested.Equal(on("2026-02-28")) || !op.Queued.Equal(on("2026-06-01")) || !op.Undelivered() {
		t.Errorf("%+v", op)
	}
}

// The record has whole seconds, and tells changes apart by them.
func TestChangesAreSecondsApart(t *testing.T) {
	e, now := coffee(), on("2026-02-10").Add(300*time.Millisecond)
	e.Activate(on("2026-01-31"))
	for i := range 3 {
		e.Request(ChangeQuantity, Level{Plan: "silver", Quantity: int64(i)}, now)
		e.Answer(true, "", now.Add(time.Duration(i)*300*time.Millisecond))
	}
	for i, c := range e.Changes {
		if want := on("2026-02-10").Add(time.Duration(i) * time.Second); !c.At.Equal(want) {
			t.Errorf("change %d is of %v, want %v", i, c.At, want)
		}
	}
}
