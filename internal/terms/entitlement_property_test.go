package terms

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"pgregory.net/rapid"
)

// Whatever happens to a service in whatever order: what is over stays over,
// changes are in order and only added to, one thing is asked at a time, what
// happened is told once, and no state outlasts its time. It makes no difference
// how often anybody looks.
func TestAnyLifeOfAService(t *testing.T) {
	rapidChecks(t, 4_000)
	reached := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		m := newMachine(t)
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			m.step(t)
			m.check(t)
		}
		reached[string(m.e.State())+" "+string(m.e.Reason)]++
		reached[fmt.Sprintf("renewed %d times", min(3, m.count(Renew)))]++
		for _, op := range m.e.Operations {
			reached[string(op.Action)+" "+string(op.Progress)]++
		}
	})
	t.Log(reached)
	for _, want := range []string{
		"PendingFulfillmentStart ", "Subscribed ", "Suspended ",
		"Unsubscribed Cancelled", "Unsubscribed Expired", "Unsubscribed NotActivated", "Unsubscribed NotPaid", "Unsubscribed PublisherEnded", "Unsubscribed Deleted",
		"renewed 0 times", "renewed 3 times",
		"ChangePlan Succeeded", "ChangePlan Failed", "ChangePlan InProgress", "ChangeQuantity Succeeded", "Reinstate Succeeded", "Reinstate Failed", "Suspend Succeeded",
	} {
		if !t.Failed() && reached[want] < 5 {
			t.Errorf("only %d lives reached %q: they try too little", reached[want], want)
		}
	}
}

// machine drives a service, as its record would, and keeps what it was.
type machine struct {
	e         *Entitlement
	now       time.Time
	before    Entitlement // the last step
	next      time.Time
	suspended int // times
	ids       int
	windows   []said
}

// said is what CancelAt answered at an instant.
type said struct {
	at time.Time
	w  Window
}

func newMachine(t *rapid.T) *machine {
	start := on("2023-12-01").Add(time.Duration(rapid.Int64Range(0, 500*86400).Draw(t, "purchase")) * time.Second)
	e := &Entitlement{
		Purchased: start, Currency: "EUR", Refund: Full, AutoRenew: rapid.Bool().Draw(t, "autoRenew"),
		Term:   rapid.SampledFrom([]Term{Month, Month, Year, ThreeYears}).Draw(t, "term"),
		Trial:  time.Duration(rapid.SampledFrom([]int64{0, 0, 3600, 7 * 86400, 30 * 86400, 60 * 86400}).Draw(t, "trial")) * time.Second,
		Window: time.Duration(rapid.SampledFrom([]int64{0, 3600, 3 * 86400, 90 * 86400}).Draw(t, "window")) * time.Second,
		Bought: Level{Plan: "silver", Quantity: 1, UnitPrice: decimal.NewFromInt(4), Cycle: Monthly},
	}
	m := &machine{e: e, now: start}
	if rapid.IntRange(0, 3).Draw(t, "activated") > 0 {
		m.now = start.Add(time.Duration(rapid.Int64Range(0, 30*86400-1).Draw(t, "after seconds")) * time.Second)
		e.Activate(m.now)
	}
	m.next = e.Follow(m.now)
	m.before = *e
	return m
}

// step lets some time pass and something happen.
func (m *machine) step(t *rapid.T) {
	m.before = *m.e
	m.pass(t)
	e := m.e
	action := rapid.SampledFrom([]string{
		"activate", "ask", "ask", "ask", "take", "take", "take", "take", "refuse", "answer", "answer", "give up", "suspend", "end", "vanish", "return", "want", "nothing",
	}).Draw(t, "what")
	if !e.Orphaned.IsZero() && rapid.Bool().Draw(t, "is back") {
		action = "return"
	}
	switch action {
	case "activate":
		e.Activate(m.now)
	case "suspend":
		if e.State() == Subscribed {
			m.suspended++
		}
		e.Suspend(m.now)
	case "ask":
		m.ask(t)
	case "take", "refuse":
		if op := m.undelivered(t); op != nil {
			e.Deliver(op.ID, map[string]string{"refuse": "no"}[action], m.now)
		}
	case "answer":
		e.Answer(rapid.Bool().Draw(t, "accepted"), "no", m.now)
	case "give up":
		if op := m.undelivered(t); op != nil {
			e.GiveUp(op.ID, m.now)
		}
	case "end":
		asked := m.now.Add(-time.Duration(rapid.SampledFrom([]int64{0, 0, 1, 3600, 3 * 86400}).Draw(t, "seconds ago")) * time.Second)
		reason := rapid.SampledFrom([]EndReason{EndCancelled, EndPublisherEnded}).Draw(t, "reason")
		if reason == EndPublisherEnded && e.State() != Pending || reason == EndCancelled && e.CancelAt(asked).Open {
			e.End(reason, asked, m.now)
		}
	case "vanish":
		if e.Ended.IsZero() && e.Orphaned.IsZero() {
			e.Orphaned = m.now
		}
	case "return":
		if e.Ended.IsZero() {
			e.Orphaned = time.Time{}
		}
	case "want":
		if e.Ended.IsZero() {
			e.AutoRenew = rapid.Bool().Draw(t, "autoRenew")
			e.NextCycle = rapid.SampledFrom([]Cycle{"", Monthly, Annual}).Draw(t, "cycle")
		}
	}
	m.next = e.Follow(m.now)
	for i := range e.Operations {
		if e.Operations[i].ID == "" {
			m.ids++
			e.operation(i).ID = fmt.Sprint(m.ids)
		}
	}
	if (e.State() == Pending || e.State() == Subscribed) && e.Orphaned.IsZero() && !e.Activated.Equal(m.now) {
		m.windows = append(m.windows, said{m.now, e.CancelAt(m.now)})
	}
}

// ask asks for what may be asked for.
func (m *machine) ask(t *rapid.T) {
	if m.e.Pending() >= 0 {
		return
	}
	level := m.e.Level()
	switch m.e.State() {
	case Subscribed:
		level.Quantity++
		m.e.Request(rapid.SampledFrom([]Action{ChangePlan, ChangeQuantity}).Draw(t, "change"), level, m.now)
	case Suspended:
		m.e.Request(Reinstate, level, m.now)
	}
}

func (m *machine) undelivered(t *rapid.T) *Operation {
	var all []int
	for i := range m.e.Operations {
		if m.e.Operations[i].Undelivered() {
			all = append(all, i)
		}
	}
	if len(all) == 0 {
		return nil
	}
	return &m.e.Operations[rapid.SampledFrom(all).Draw(t, "operation")]
}

// pass lets time pass in one step, after it has seen that any other way comes to
// the same. Now and then the clock falls behind, which changes nothing.
func (m *machine) pass(t *rapid.T) {
	step := rapid.SampledFrom([]int64{-86400, 0, 0, 1, 1, 9, 9, 10, 10, 3600, 3600, 86400, 3 * 86400, 20 * 86400, 31 * 86400, 400 * 86400}).Draw(t, "seconds")
	to := m.now.Add(time.Duration(step) * time.Second)
	if rapid.IntRange(0, 5).Draw(t, "to the moment") == 0 && !m.next.IsZero() {
		to = m.next.Add(-time.Duration(rapid.Int64Range(0, 1).Draw(t, "seconds before")) * time.Second)
	}
	was := facts(m.e)
	if to.Before(m.now) {
		if next := m.e.Follow(to); facts(m.e) != was || !next.Equal(m.next) {
			t.Fatalf("a clock that fell behind changed\n%s\nto\n%s", was, facts(m.e))
		}
		return
	}
	one, halfway, stepwise := *m.e, *m.e, *m.e
	next := one.Follow(to)
	halfway.Follow(m.now.Add(to.Sub(m.now) / 2).Truncate(time.Second))
	halfway.Follow(to)
	for due := m.next; !due.IsZero() && !due.After(to); {
		state := facts(&stepwise)
		if stepwise.Follow(due.Add(-time.Second)); facts(&stepwise) != state {
			t.Fatalf("something happened before it was due at %v:\n%s\n%s", due, state, facts(&stepwise))
		}
		after := stepwise.Follow(due)
		if facts(&stepwise) == state || !after.IsZero() && !after.After(due) {
			t.Fatalf("nothing happened at %v:\n%s\nnext %v", due, state, after)
		}
		due = after
	}
	for name, other := range map[string]*Entitlement{"halfway": &halfway, "stepwise": &stepwise} {
		if facts(other) != facts(&one) {
			t.Fatalf("%s to %v came to\n%s\nand at once to\n%s", name, to, facts(other), facts(&one))
		}
	}
	if facts(m.e) != was {
		t.Fatalf("a copy was followed, and the original changed from\n%s\nto\n%s", was, facts(m.e))
	}
	again := one
	if repeated := again.Follow(to); facts(&again) != facts(&one) || !repeated.Equal(next) {
		t.Fatalf("followed twice to %v it is\n%s\nafter\n%s", to, facts(&again), facts(&one))
	}
	m.now = to
	m.e.Follow(to)
}

// facts are what does not depend on when somebody looks.
func facts(e *Entitlement) string {
	var s strings.Builder
	fmt.Fprintln(&s, e.State(), e.Reason, told(e.Ended), told(e.Activated), told(e.Renewed), told(e.Suspended), told(e.Orphaned))
	for _, c := range e.Changes {
		fmt.Fprintln(&s, told(c.At), c.Level)
	}
	for _, op := range e.Operations {
		completed := told(op.Completed)
		if op.Progress == Failed { // when that was found out
			completed = ""
		}
		fmt.Fprintln(&s, op.Action, told(op.Requested), op.Progress, completed, told(op.Delivered), op.GivenUp, op.Level)
	}
	return s.String()
}

func (m *machine) count(action Action) (n int) {
	for _, op := range m.e.Operations {
		if op.Action == action {
			n++
		}
	}
	return n
}

// check sees that what is on record makes sense.
func (m *machine) check(t *rapid.T) {
	e, now := m.e, m.now
	must := func(holds bool, format string, args ...any) {
		if !holds {
			t.Fatalf("at %s: "+format+"\nfrom\n%s\nto\n%snext %s", slices.Concat([]any{told(now)}, args, []any{facts(&m.before), facts(e), told(m.next)})...)
		}
	}
	if !m.before.Ended.IsZero() {
		must(e.Ended.Equal(m.before.Ended) && e.Reason == m.before.Reason && e.Renewed.Equal(m.before.Renewed) && e.Activated.Equal(m.before.Activated), "a service that ended went on")
		must(len(e.Changes) == len(m.before.Changes) && len(e.Operations) == len(m.before.Operations), "something was done to a service that ended")
	}
	must(m.before.Activated.IsZero() || e.Activated.Equal(m.before.Activated), "it was activated twice")
	must(!e.Renewed.Before(m.before.Renewed), "renewals went backwards")

	must(len(e.Changes) >= len(m.before.Changes), "a change is gone")
	for i, c := range e.Changes {
		must(i >= len(m.before.Changes) || c == m.before.Changes[i], "a change was changed")
		must(i == 0 || c.At.After(e.Changes[i-1].At), "changes are out of order or at once")
		must(e.Activated.IsZero() || !c.At.Before(e.Activated), "a change before the activation")
	}
	m.checkOperations(must)
	m.checkState(must)
	for _, s := range m.windows {
		if w := e.window(s.at); e.Ended.IsZero() && !e.Activated.Equal(s.at) {
			must(w.Until.Equal(s.w.Until) && w.Open == s.w.Open, "%s was asked for a cancellation until %s (%v), and now it says %s (%v)",
				told(s.at), told(s.w.Until), s.w.Open, told(w.Until), w.Open)
		}
	}
}

func (m *machine) checkOperations(must func(bool, string, ...any)) {
	inProgress, ended := 0, 0
	must(len(m.e.Operations) >= len(m.before.Operations), "an operation is gone")
	for i, op := range m.e.Operations {
		if op.Progress == InProgress {
			inProgress++
			must(op.Action.Refusable() && op.Completed.IsZero() && !op.GivenUp, "operation %s is in progress and over", op.ID)
		} else {
			must(!op.Completed.Before(op.Requested), "operation %s is over before it began", op.ID)
			must(op.Action.Refusable() || op.Progress == Succeeded, "operation %s failed", op.ID)
		}
		must(op.Progress != Failed || op.GivenUp == op.Delivered.IsZero(), "operation %s failed and is still to be told", op.ID)
		if i < len(m.before.Operations) && m.before.Operations[i].Progress != InProgress {
			was := m.before.Operations[i]
			must(was.Progress == op.Progress && was.Completed.Equal(op.Completed) && was.ID == op.ID, "operation %s was over", op.ID)
		}
		must(!op.Requested.After(op.Queued) && !op.Queued.After(m.now), "operation %s is told before it happened", op.ID)
	}
	must(inProgress <= 1, "%d operations are in progress", inProgress)
	if !m.e.Ended.IsZero() {
		ended = 1
		must(inProgress == 0, "something is in progress after the end")
	}
	must(m.count(Unsubscribe) == ended, "it ended %d times, and was told %d times", ended, m.count(Unsubscribe))
	must(m.count(Suspend) == m.suspended, "it was suspended %d times, and told %d times", m.suspended, m.count(Suspend))
	must(m.count(Renew) == m.renewals(), "it was renewed %d times, and told %d times", m.renewals(), m.count(Renew))
	accepted := m.accepted(ChangePlan) + m.accepted(ChangeQuantity)
	must(len(m.e.Changes) >= accepted && len(m.e.Changes) <= accepted+m.renewals(), "%d changes were accepted, and %d are in force", accepted, len(m.e.Changes))
}

func (m *machine) accepted(action Action) (n int) {
	for _, op := range m.e.Operations {
		if op.Action == action && op.Progress == Succeeded {
			n++
		}
	}
	return n
}

// renewals counts the ends up to the one that is on record, by the calendar.
func (m *machine) renewals() int {
	if m.e.Renewed.IsZero() {
		return 0
	}
	n := 0
	if m.e.Trial > 0 {
		n++
	}
	from := m.e.Activated.Add(m.e.Trial)
	months := (m.e.Renewed.Year()-from.Year())*12 + int(m.e.Renewed.Month()-from.Month())
	return n + months/map[Term]int{Month: 1, Year: 12, ThreeYears: 36}[m.e.Term]
}

// checkState sees that no state outlasts its time.
func (m *machine) checkState(must func(bool, string, ...any)) {
	e, now := m.e, m.now
	must(m.next.IsZero() != e.Ended.IsZero(), "a service that goes on has something next, and one that ended has not")
	must(m.next.IsZero() || m.next.After(now), "what is next is over")
	if i := e.Pending(); i >= 0 && !e.Operations[i].Delivered.IsZero() {
		must(now.Before(e.Operations[i].Delivered.Add(10*time.Second)), "nobody refused it for ten seconds")
	}
	if e.Ended.IsZero() && !e.Orphaned.IsZero() {
		must(now.Before(e.Orphaned.Add(24*time.Hour)), "it is gone for a day")
	}
	p := e.Period()
	if e.Activated.IsZero() {
		must(p == Period{} && e.PaidFrom().IsZero() && e.Renewed.IsZero() && len(e.Changes) == 0, "it runs before the activation")
		must(e.State() == Unsubscribed || now.Before(e.Purchased.Add(30*24*time.Hour)), "nobody activated it for 30 days")
		return
	}
	must(!p.Start.Before(e.Activated) && p.Start.Before(p.End), "it runs from %v to %v", p.Start, p.End)
	must(e.OnTrial() == (p.Start.Before(e.PaidFrom())), "it is on trial, or is not, from %v", p.Start)
	must(e.Renewed.IsZero() && p.Start.Equal(e.Activated) || p.Start.Equal(e.Renewed), "its term from %v was not renewed", p.Start)
	switch e.State() {
	case Suspended:
		must(now.Before(e.Suspended.Add(30*24*time.Hour)), "it was not paid for 30 days")
		must(e.AutoRenew || now.Before(p.End), "it was to end with its term")
	case Subscribed:
		must(now.Before(p.End) || e.AutoRenew && !e.Orphaned.IsZero(), "its term is over")
		must(!now.Before(p.Start), "its term has not begun")
	}
}
