package terms

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestSelfServicePermits(t *testing.T) {
	for _, tc := range []struct {
		value                       SelfService
		purchase, paid, free, payed bool // payed: no trial, and no payment method either
	}{
		{AllowAll, true, true, true, true},
		{TrialsOnly, false, false, true, false},
		{Block, false, false, false, false},
		{"", false, false, false, false},
		{"allow", false, false, false, false}, // what nobody knows allows nothing
	} {
		for _, do := range []struct {
			what                 string
			trial, paymentMethod bool
			want                 bool
		}{
			{"a purchase", false, true, tc.purchase},
			{"a trial with a payment method", true, true, tc.paid},
			{"a trial without one", true, false, tc.free},
			{"a purchase without one", false, false, tc.payed},
		} {
			if got := tc.value.Permits(do.trial, do.paymentMethod); got != do.want {
				t.Errorf("%q permits %s: %v", tc.value, do.what, got)
			}
		}
	}
}

// A value is stricter than another if all that it permits the other does too,
// and not the other way round.
func TestStricterThan(t *testing.T) {
	all := []SelfService{AllowAll, TrialsOnly, Block}
	for i, a := range all {
		for j, b := range all {
			if got := a.StricterThan(b); got != (i > j) {
				t.Errorf("%s is stricter than %s: %v", a, b, got)
			}
		}
	}
	if SelfService("").StricterThan(Block) || !SelfService("").StricterThan(TrialsOnly) {
		t.Error("what nobody knows is as strict as Block")
	}
}

// ordered is a purchase by the month that renews, with a change.
func ordered(change ...func(*Order)) *Order {
	o := &Order{Ordered: on("2026-01-31"), Paid: true, Term: Month, AutoRenew: true}
	for _, f := range change {
		f(o)
	}
	return o
}

func orderedAt(when string) func(*Order)      { return func(o *Order) { o.Ordered = on(when) } }
func lasts(t Term) func(*Order)               { return func(o *Order) { o.Term = t } }
func tried(length time.Duration) func(*Order) { return func(o *Order) { o.Trial = length } }
func endsThen(o *Order)                       { o.AutoRenew = false }
func unpaid(o *Order)                         { o.Paid = false }
func renewedTo(when string) func(*Order)      { return func(o *Order) { o.Renewed = on(when) } }

func ends(why OrderEnd, when string) func(*Order) {
	return func(o *Order) { o.End(why, on(when)) }
}

// tellOrder says what is on record of an order, and what comes next.
func tellOrder(o *Order, next time.Time) string {
	p, what := o.Period(), "term"
	if o.OnTrial() {
		what = "trial"
	}
	line := fmt.Sprintf("%s %s to %s", what, told(p.Start), told(p.End))
	if !o.Ended.IsZero() {
		return fmt.Sprintf("%s, %s %s, next %s", line, o.Why, told(o.Ended), told(next))
	}
	event, when := o.Upcoming()
	if event == "" {
		event = "nothing"
	}
	line += fmt.Sprintf(", %s %s", event, told(when))
	if !when.Equal(next) {
		line += ", but next " + told(next)
	}
	return line
}

func TestLifeOfAnOrder(t *testing.T) {
	cet := time.FixedZone("", 3600)
	for name, tc := range map[string]struct {
		order *Order
		now   string
		want  string
	}{
		"a purchase at its instant":          {ordered(), "2026-01-31", "term 2026-01-31 to 2026-02-28, Renews 2026-02-28"},
		"a clock that is behind":             {ordered(), "2020-01-01", "term 2026-01-31 to 2026-02-28, Renews 2026-02-28"},
		"a second before the term ends":      {ordered(), "2026-02-28 11:59:59", "term 2026-01-31 to 2026-02-28, Renews 2026-02-28"},
		"when the term ends":                 {ordered(), "2026-02-28", "term 2026-02-28 to 2026-03-31, Renews 2026-03-31"},
		"a short month moves no later one":   {ordered(), "2026-04-29", "term 2026-03-31 to 2026-04-30, Renews 2026-04-30"},
		"the end of a month of a leap year":  {ordered(orderedAt("2027-12-31")), "2028-02-28", "term 2028-01-31 to 2028-02-29, Renews 2028-02-29"},
		"bought on a leap day":               {ordered(orderedAt("2028-02-29"), lasts(Year)), "2029-02-28", "term 2029-02-28 to 2030-02-28, Renews 2030-02-28"},
		"a leap day comes back":              {ordered(orderedAt("2028-02-29"), lasts(Year)), "2032-02-29", "term 2032-02-29 to 2033-02-28, Renews 2033-02-28"},
		"many terms at once":                 {ordered(), "2126-01-31", "term 2126-01-31 to 2126-02-28, Renews 2126-02-28"},
		"in another time zone":               {ordered(func(o *Order) { o.Ordered = o.Ordered.In(cet) }), "2026-02-28", "term 2026-02-28 to 2026-03-31, Renews 2026-03-31"},
		"the day is that of UTC":             {ordered(func(o *Order) { o.Ordered = time.Date(2026, 2, 1, 0, 30, 0, 0, cet) }), "2026-02-01", "term 2026-01-31 23:30:00 to 2026-02-28 23:30:00, Renews 2026-02-28 23:30:00"},
		"it does not renew":                  {ordered(endsThen), "2026-02-28 11:59:59", "term 2026-01-31 to 2026-02-28, Expires 2026-02-28"},
		"it does not renew, and has expired": {ordered(endsThen), "2026-02-28", "term 2026-01-31 to 2026-02-28, Expired 2026-02-28, next never"},
		"it expired long ago":                {ordered(endsThen), "2126-01-01", "term 2026-01-31 to 2026-02-28, Expired 2026-02-28, next never"},
		"it renewed before, and expires":     {ordered(endsThen, renewedTo("2026-03-31")), "2026-05-01", "term 2026-03-31 to 2026-04-30, Expired 2026-04-30, next never"},
		"for ever":                           {ordered(lasts(Perpetual)), "2126-01-01", "term 2026-01-31 to never, nothing never"},
		"for ever, and not renewing":         {ordered(lasts(Perpetual), endsThen), "2126-01-01", "term 2026-01-31 to never, nothing never"},
		"for ever, until it is cancelled":    {ordered(lasts(Perpetual), ends(OrderCancelled, "2026-03-01")), "2126-01-01", "term 2026-01-31 to never, Cancelled 2026-03-01, next never"},

		"a trial at its instant":              {ordered(tried(30 * day)), "2026-01-31", "trial 2026-01-31 to 2026-03-02, TrialEnds 2026-03-02"},
		"a second before a trial ends":        {ordered(tried(30 * day)), "2026-03-02 11:59:59", "trial 2026-01-31 to 2026-03-02, TrialEnds 2026-03-02"},
		"a trial turns paid":                  {ordered(tried(30 * day)), "2026-03-02", "term 2026-03-02 to 2026-04-02, Renews 2026-04-02"},
		"terms are counted from the trial":    {ordered(tried(30*day), orderedAt("2026-03-01")), "2026-06-30", "term 2026-06-30 to 2026-07-31, Renews 2026-07-31"},
		"a trial over a leap day":             {ordered(tried(7*day), orderedAt("2028-02-28")), "2028-02-29", "trial 2028-02-28 to 2028-03-06, TrialEnds 2028-03-06"},
		"a trial turns paid long ago":         {ordered(tried(7*day), lasts(Year)), "2029-02-06", "term 2028-02-07 to 2029-02-07, Renews 2029-02-07"},
		"a trial turns paid for ever":         {ordered(tried(7*day), lasts(Perpetual)), "2126-01-01", "term 2026-02-07 to never, nothing never"},
		"a trial for ever, while on trial":    {ordered(tried(7*day), lasts(Perpetual)), "2026-02-06", "trial 2026-01-31 to 2026-02-07, TrialEnds 2026-02-07"},
		"a trial without a payment method":    {ordered(tried(30*day), unpaid), "2026-03-02 11:59:59", "trial 2026-01-31 to 2026-03-02, Expires 2026-03-02"},
		"it ends":                             {ordered(tried(30*day), unpaid), "2026-03-02", "trial 2026-01-31 to 2026-03-02, Expired 2026-03-02, next never"},
		"it ends, though for ever":            {ordered(tried(30*day), unpaid, lasts(Perpetual)), "2026-03-02", "trial 2026-01-31 to 2026-03-02, Expired 2026-03-02, next never"},
		"a trial that shall not turn paid":    {ordered(tried(30*day), endsThen), "2026-03-01", "trial 2026-01-31 to 2026-03-02, Expires 2026-03-02"},
		"a trial that did not turn paid":      {ordered(tried(30*day), endsThen), "2126-03-01", "trial 2026-01-31 to 2026-03-02, Expired 2026-03-02, next never"},
		"a trial of a second":                 {ordered(tried(time.Second)), "2026-01-31 12:00:01", "term 2026-01-31 12:00:01 to 2026-02-28 12:00:01, Renews 2026-02-28 12:00:01"},
		"a trial that is longer than a term":  {ordered(tried(90 * day)), "2026-04-30", "trial 2026-01-31 to 2026-05-01, TrialEnds 2026-05-01"},
		"renewed to the end of a trial":       {ordered(tried(30*day), renewedTo("2026-03-02")), "2026-03-02", "term 2026-03-02 to 2026-04-02, Renews 2026-04-02"},
		"a trial is cancelled":                {ordered(tried(30*day), ends(OrderCancelled, "2026-02-01")), "2026-06-01", "trial 2026-01-31 to 2026-03-02, Cancelled 2026-02-01, next never"},
		"cancelled at the instant of the buy": {ordered(ends(OrderCancelled, "2026-01-31")), "2026-01-31", "term 2026-01-31 to 2026-02-28, Cancelled 2026-01-31, next never"},
		"cancelled before it was ordered":     {ordered(ends(OrderCancelled, "2026-01-30")), "2026-02-01", "term 2026-01-31 to 2026-02-28, Cancelled 2026-01-31, next never"},
		"cancelled before what runs began":    {ordered(renewedTo("2026-03-31"), ends(OrderCancelled, "2026-03-30")), "2026-04-01", "term 2026-03-31 to 2026-04-30, Cancelled 2026-03-31, next never"},
		"cancelled on trial, a clock behind":  {ordered(tried(7*day), renewedTo("2026-02-07"), ends(OrderCancelled, "2026-02-01")), "2026-02-08", "term 2026-02-07 to 2026-03-07, Cancelled 2026-02-07, next never"},
		"taken over":                          {ordered(ends(OrderTakenOver, "2026-02-01")), "2026-06-01", "term 2026-01-31 to 2026-02-28, TakenOver 2026-02-01, next never"},
		"it ends once":                        {ordered(ends(OrderTakenOver, "2026-02-01"), ends(OrderCancelled, "2026-02-02")), "2026-06-01", "term 2026-01-31 to 2026-02-28, TakenOver 2026-02-01, next never"},
		"an end in another time zone":         {ordered(func(o *Order) { o.End(OrderCancelled, on("2026-02-01").In(cet)) }), "2026-06-01", "term 2026-01-31 to 2026-02-28, Cancelled 2026-02-01, next never"},
		"an end in the future holds already":  {ordered(ends(OrderCancelled, "2026-07-01")), "2026-06-01", "term 2026-01-31 to 2026-02-28, Cancelled 2026-07-01, next never"},
	} {
		next := tc.order.Follow(on(tc.now))
		if got := tellOrder(tc.order, next); got != tc.want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, tc.want)
		}
		// Any other zone says the same of the same instant.
		if again := tc.order.Follow(on(tc.now).In(cet)); !again.Equal(next) {
			t.Errorf("%s: in another time zone the next is %v, not %v", name, again, next)
		}
	}
}

// What the purchaser wants when time is up counts, whatever he wanted before.
func TestOrderThinksAgain(t *testing.T) {
	o := ordered(endsThen)
	o.Follow(on("2026-02-27"))
	o.AutoRenew = true
	if o.Follow(on("2026-02-28")); tellOrder(o, o.Period().End) != "term 2026-02-28 to 2026-03-31, Renews 2026-03-31" {
		t.Error(tellOrder(o, o.Period().End))
	}
	o.AutoRenew = false
	o.Follow(on("2026-03-31"))
	o.AutoRenew = true // too late
	if next := o.Follow(on("2026-04-01")); tellOrder(o, next) != "term 2026-02-28 to 2026-03-31, Expired 2026-03-31, next never" || o.Renews() {
		t.Error(tellOrder(o, next))
	}
}

func TestAnnouncementsOfAnOrder(t *testing.T) {
	for name, tc := range map[string]struct {
		order *Order
		now   string
		want  string // separated by commas
	}{
		"a purchase":                     {ordered(), "2026-01-31", "2026-01-31 SelfServicePurchased, 2026-02-21 TermEnding before 2026-02-28"},
		"it renewed":                     {ordered(), "2026-02-28", "2026-01-31 SelfServicePurchased, 2026-02-28 Renewed, 2026-03-24 TermEnding before 2026-03-31"},
		"it expires":                     {ordered(endsThen), "2026-02-01", "2026-01-31 SelfServicePurchased, 2026-02-21 TermEnding before 2026-02-28"},
		"it expired":                     {ordered(endsThen), "2026-02-28", "2026-01-31 SelfServicePurchased, 2026-02-28 SelfServiceEnded"},
		"it was cancelled":               {ordered(ends(OrderCancelled, "2026-02-01")), "2026-02-01", "2026-01-31 SelfServicePurchased, 2026-02-01 SelfServiceEnded"},
		"it was taken over":              {ordered(ends(OrderTakenOver, "2026-02-01")), "2026-02-01", "2026-01-31 SelfServicePurchased, 2026-02-01 PurchaseTakenOver"},
		"for ever":                       {ordered(lasts(Perpetual)), "2030-01-01", "2026-01-31 SelfServicePurchased"},
		"a trial":                        {ordered(tried(30 * day)), "2026-01-31", "2026-01-31 SelfServicePurchased, 2026-02-23 TrialEnding before 2026-03-02"},
		"a trial that does not turn":     {ordered(tried(30*day), unpaid), "2026-01-31", "2026-01-31 SelfServicePurchased, 2026-02-23 TrialEnding before 2026-03-02"},
		"a trial of 14 days":             {ordered(tried(14 * day)), "2026-01-31", "2026-01-31 SelfServicePurchased, 2026-02-07 TrialEnding before 2026-02-14"},
		"a trial of a second less":       {ordered(tried(14*day - time.Second)), "2026-01-31", "2026-01-31 SelfServicePurchased"},
		"a trial that turned paid":       {ordered(tried(30 * day)), "2026-03-02", "2026-01-31 SelfServicePurchased, 2026-03-02 TrialTurnedPaid, 2026-03-26 TermEnding before 2026-04-02"},
		"a trial that renewed since":     {ordered(tried(30 * day)), "2026-05-02", "2026-01-31 SelfServicePurchased, 2026-03-02 TrialTurnedPaid, 2026-05-02 Renewed, 2026-05-26 TermEnding before 2026-06-02"},
		"a trial that turned for ever":   {ordered(tried(7*day), lasts(Perpetual)), "2026-05-02", "2026-01-31 SelfServicePurchased, 2026-02-07 TrialTurnedPaid"},
		"a trial that expired":           {ordered(tried(7*day), unpaid), "2026-05-02", "2026-01-31 SelfServicePurchased, 2026-02-07 SelfServiceEnded"},
		"a trial that was cancelled":     {ordered(tried(7*day), ends(OrderCancelled, "2026-02-01")), "2026-05-02", "2026-01-31 SelfServicePurchased, 2026-02-01 SelfServiceEnded"},
		"a trial that turned and ended":  {ordered(tried(7*day), renewedTo("2026-02-07"), ends(OrderCancelled, "2026-02-08")), "2026-05-02", "2026-01-31 SelfServicePurchased, 2026-02-07 TrialTurnedPaid, 2026-02-08 SelfServiceEnded"},
		"a year, a leap day before":      {ordered(orderedAt("2027-03-07"), lasts(Year)), "2027-03-07", "2027-03-07 SelfServicePurchased, 2028-02-29 TermEnding before 2028-03-07"},
		"ordered in another time zone":   {ordered(func(o *Order) { o.Ordered = o.Ordered.In(time.FixedZone("", -7200)) }), "2026-01-31", "2026-01-31 SelfServicePurchased, 2026-02-21 TermEnding before 2026-02-28"},
		"a clock behind tells no future": {ordered(), "2020-01-01", "2026-01-31 SelfServicePurchased, 2026-02-21 TermEnding before 2026-02-28"},
	} {
		tc.order.Follow(on(tc.now))
		var got []string
		for _, a := range tc.order.Announcements() {
			line := told(a.At) + " " + string(a.Notice)
			if !a.Before.IsZero() {
				line += " before " + told(a.Before)
			}
			got = append(got, line)
		}
		if got := strings.Join(got, ", "); got != tc.want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, tc.want)
		}
	}
}

func TestOrderIsDue(t *testing.T) {
	for name, tc := range map[string]struct {
		order          *Order
		after, now     string
		want, wantNext string
	}{
		"at the purchase":                 {ordered(), "2026-01-31 11:59:59", "2026-01-31", "[SelfServicePurchased]", "2026-02-21"},
		"told already":                    {ordered(), "2026-01-31", "2026-01-31", "[]", "2026-02-21"},
		"a clock behind":                  {ordered(), "2026-01-31", "2026-01-30", "[]", "2026-01-31"},
		"a second before a warning":       {ordered(), "2026-01-31", "2026-02-21 11:59:59", "[]", "2026-02-21"},
		"at the warning":                  {ordered(), "2026-01-31", "2026-02-21", "[TermEnding]", "never"},
		"the warning is late":             {ordered(), "2026-01-31", "2026-02-28 11:59:59", "[TermEnding]", "never"},
		"the warning is no news any more": {ordered(), "2026-01-31", "2026-02-28", "[Renewed]", "2026-03-24"},
		"a long outage":                   {ordered(tried(30 * day)), "2026-01-31", "2026-05-03", "[TrialTurnedPaid Renewed]", "2026-05-26"},
		"nothing was ever told":           {ordered(endsThen), "2026-01-01", "2027-01-01", "[SelfServicePurchased SelfServiceEnded]", "never"},
	} {
		tc.order.Follow(on(tc.now))
		due, next := tc.order.Due(on(tc.after), on(tc.now))
		got := []Notice{}
		for _, a := range due {
			got = append(got, a.Notice)
		}
		if fmt.Sprint(got) != tc.want || told(next) != tc.wantNext {
			t.Errorf("%s: got %v, next %s; want %s, next %s", name, got, told(next), tc.want, tc.wantNext)
		}
	}
}

// Whatever happens to an order: it makes no difference how often anybody looks,
// what is on record only moves forward, each period begins where the one before
// ended, it ends once, and nobody is told anything twice.
func TestAnyLifeOfAnOrder(t *testing.T) {
	rapidChecks(t, 4_000)
	reached := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		o := drawOrder(t)
		start := o.Ordered
		rare := *o // is looked at only when something is done to it, and at the end
		now, noticed := o.Ordered.Add(-time.Second), o.Ordered.Add(-time.Second)
		told := map[Announcement]bool{}
		var periods []Period
		seen := func(p Period) {
			if len(periods) == 0 || periods[len(periods)-1] != p {
				periods = append(periods, p)
			}
		}
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.SampledFrom([]int64{0, 1, 3600, 86400, 20 * 86400, 40 * 86400, 4000 * 86400}).Draw(t, "step")) * time.Second)
			if end := o.Period().End; !end.IsZero() && now.Before(end) && rapid.Bool().Draw(t, "to the end") {
				now = end.Add(time.Duration(rapid.Int64Range(-1, 1).Draw(t, "beside it")) * time.Second)
			}
			before := *o
			next := o.Follow(now)
			if again := *o; !again.Follow(now).Equal(next) || again != *o {
				t.Fatalf("%+v\nlooked at twice at %v: %+v, next %v", before, now, again, next)
			}
			if back := *o; back.Follow(now.Add(-30*day)) != next || back != *o {
				t.Fatalf("%+v\na clock that is behind made it %+v", o, back)
			}
			if !next.IsZero() && !next.After(now) || next.IsZero() != (!o.Ended.IsZero() || o.Period().End.IsZero()) {
				t.Fatalf("%+v\nat %v the next is %v", o, now, next)
			}
			checkForward(t, &before, o)
			event, at := o.Upcoming()
			if !at.Equal(next) || (event == "") != next.IsZero() || (event == TrialEnds) != (o.Renews() && o.OnTrial()) {
				t.Fatalf("%+v\nat %v upcoming is %s %v, but next is %v", o, now, event, at, next)
			}
			seen(before.Period())
			if before.Renewed != o.Renewed { // every term between
				for p := before.Period(); p.End.Before(o.Period().Start); {
					p = termAfter(o, p)
					seen(p)
				}
			}
			seen(o.Period())
			due, nextDue := o.Due(noticed, now)
			for _, a := range due {
				if told[a] || a.At.After(now) {
					t.Fatalf("%+v\nat %v %+v is told again, or too early", o, now, a)
				}
				told[a] = true
			}
			if !nextDue.IsZero() && !nextDue.After(now) {
				t.Fatalf("%+v\nat %v the next notice is due at %v", o, now, nextDue)
			}
			noticed = now
			switch rapid.IntRange(0, 9).Draw(t, "act") {
			case 0:
				rare.Follow(now) // as a record does before anything is done
				why := rapid.SampledFrom([]OrderEnd{OrderCancelled, OrderTakenOver}).Draw(t, "why")
				when := now.Add(-time.Duration(rapid.SampledFrom([]int64{0, 0, 1, 100 * 86400}).Draw(t, "behind")) * time.Second)
				before := *o
				o.End(why, when)
				rare.End(why, when)
				checkForward(t, &before, o)
				if o.Ended.IsZero() || !before.Ended.IsZero() && *o != before {
					t.Fatalf("%+v\nended it is %+v", before, o)
				}
			case 1, 2:
				rare.Follow(now)
				o.AutoRenew = !o.AutoRenew
				rare.AutoRenew = o.AutoRenew
			}
		}
		rare.Follow(now)
		if o.Follow(now); rare != *o {
			t.Fatalf("looked at often %+v\nseldom          %+v", o, rare)
		}
		if !periods[0].Start.Equal(start) || o.Trial > 0 && !periods[0].End.Equal(start.Add(o.Trial)) {
			t.Fatalf("%+v\nbegan with %+v", o, periods[0])
		}
		for i, p := range periods[1:] {
			if !p.Start.Equal(periods[i].End) || !p.End.IsZero() && !p.End.After(p.Start) {
				t.Fatalf("%+v\nafter %+v comes %+v", o, periods[i], p)
			}
		}
		if !o.Ended.IsZero() {
			last := o.Period()
			if o.Ended.Before(last.Start) || o.Why == OrderExpired && !o.Ended.Equal(last.End) || !last.End.IsZero() && o.Ended.After(last.End) {
				t.Fatalf("%+v\nended outside of its last period %+v", o, last)
			}
		}
		all := o.Announcements()
		if !slices.IsSortedFunc(all, func(a, b Announcement) int { return a.At.Compare(b.At) }) {
			t.Fatalf("%+v\nis announced out of order: %+v", o, all)
		}
		reached["ended "+string(o.Why)]++
		reached[fmt.Sprintf("%d periods", min(4, len(periods)))]++
		if o.Trial > 0 && !o.OnTrial() {
			reached["turned paid"]++
		}
		for a := range told {
			reached[string(a.Notice)]++
		}
	})
	t.Log(reached)
	for _, want := range []string{
		"ended ", "ended Expired", "ended Cancelled", "ended TakenOver", "1 periods", "2 periods", "4 periods", "turned paid",
		"SelfServicePurchased", "SelfServiceEnded", "PurchaseTakenOver", "TrialTurnedPaid", "Renewed", "TermEnding", "TrialEnding",
	} {
		if !t.Failed() && reached[want] < 20 {
			t.Errorf("only %d lives reached %q: they try too little", reached[want], want)
		}
	}
}

// termAfter is the period that follows another, reckoned from the calendar.
func termAfter(o *Order, p Period) Period {
	next := *o
	next.Renewed, next.Ended = p.End, time.Time{}
	return next.Period()
}

func checkForward(t *rapid.T, before, after *Order) {
	if after.Renewed.Before(before.Renewed) {
		t.Fatalf("%+v\nwas renewed to %v", before, after.Renewed)
	}
	if !before.Ended.IsZero() && *before != *after {
		t.Fatalf("%+v\nhad ended, and is %+v", before, after)
	}
	agreed := func(o *Order) Order {
		return Order{Ordered: o.Ordered, Trial: o.Trial, Paid: o.Paid, Term: o.Term, AutoRenew: o.AutoRenew}
	}
	if agreed(before) != agreed(after) || (after.Ended.IsZero() != (after.Why == "")) {
		t.Fatalf("%+v\nbecame %+v", before, after)
	}
}

func drawOrder(t *rapid.T) *Order {
	o := &Order{
		Ordered:   time.Date(2023, 12, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(rapid.Int64Range(0, 5*366*86400).Draw(t, "ordered")) * time.Second),
		Paid:      true,
		Term:      rapid.SampledFrom([]Term{Month, Month, Year, ThreeYears, Perpetual}).Draw(t, "term"),
		AutoRenew: rapid.Bool().Draw(t, "renews"),
	}
	if rapid.Bool().Draw(t, "trial") {
		o.Trial = time.Duration(rapid.SampledFrom([]int64{1, 86400, 30 * 86400, 90 * 86400}).Draw(t, "length")) * time.Second
		o.Paid = rapid.Bool().Draw(t, "paid")
	}
	return o
}

// A purchase that was taken over is looked at for an hour.
func TestJustTaken(t *testing.T) {
	at := time.Date(2026, 2, 28, 23, 30, 0, 0, time.UTC)
	for after, want := range map[time.Duration]bool{
		-time.Hour: true, 0: true, time.Hour - time.Second: true, time.Hour: false, 24 * time.Hour: false,
	} {
		if got := JustTaken(at, at.Add(after).In(time.FixedZone("", 3600))); got != want {
			t.Errorf("%v after: %v", after, got)
		}
	}
}
