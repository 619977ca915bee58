package terms

import (
	"slices"
	"time"

	"github.com/shopspring/decimal"
)

// The life of a publisher's service, after the state machine of the SaaS
// fulfilment API (version 2, "Managing the SaaS subscription life cycle").
const (
	// ActivationTime is how long the publisher has to activate a purchase.
	ActivationTime = 30 * day
	// SuspensionTime is how long a service stays suspended before it ends.
	SuspensionTime = 30 * day
	// AnswerTime is how long the publisher has to refuse a change after its
	// webhook took it. A change that is not refused by then is accepted.
	AnswerTime = 10 * time.Second
	// ReturnTime is how long a subscription may be gone before it counts as
	// deleted, so that a restore can bring it back.
	ReturnTime = day
	// DefaultServiceWindow is the cancellation window of a service whose product
	// states none; the refund is full (the commercial marketplace's refund
	// policy: 72 hours).
	DefaultServiceWindow = 3 * day
)

// State is where a service is in its life.
type State string

// What a State can be.
const (
	Pending      State = "PendingFulfillmentStart" // bought, and not activated by the publisher
	Subscribed   State = "Subscribed"
	Suspended    State = "Suspended"    // not paid for
	Unsubscribed State = "Unsubscribed" // for good
)

// EndReason is why a service ended for good.
type EndReason string

// What an EndReason can be.
const (
	EndCancelled      EndReason = "Cancelled"
	EndExpired        EndReason = "Expired"
	EndNotActivated   EndReason = "NotActivated"
	EndNotPaid        EndReason = "NotPaid"
	EndPublisherEnded EndReason = "PublisherEnded"
	EndDeleted        EndReason = "Deleted"
)

// Cycle is how often a service is charged for.
type Cycle string

// What a Cycle can be.
const (
	Monthly Cycle = "Monthly"
	Annual  Cycle = "Annual"
)

// Level is how much of a service there is and what it costs.
type Level struct {
	Plan      string
	Quantity  int64           // 0: the plan is not sold by the seat
	UnitPrice decimal.Decimal // of one seat, or of the whole, for one term
	Cycle     Cycle
}

// LevelChange is a change of the level that came into force.
type LevelChange struct {
	At    time.Time
	Level Level // from then on
}

// Action is what an operation does.
type Action string

// What an Action can be.
const (
	ChangePlan     Action = "ChangePlan"
	ChangeQuantity Action = "ChangeQuantity"
	Reinstate      Action = "Reinstate"
	Renew          Action = "Renew"
	Suspend        Action = "Suspend"
	Unsubscribe    Action = "Unsubscribe"
)

// Refusable reports whether the publisher may refuse an operation. Of the
// others it is told after the fact.
func (a Action) Refusable() bool {
	return a == ChangePlan || a == ChangeQuantity || a == Reinstate
}

// Progress is how far an operation is.
type Progress string

// What a Progress can be.
const (
	InProgress Progress = "InProgress"
	Succeeded  Progress = "Succeeded"
	Failed     Progress = "Failed"
)

// Operation is something that was asked for, or happened, and that the
// publisher is told of.
type Operation struct {
	ID        string // empty: not on record yet
	Action    Action
	Level     Level     // that is to hold, or held then
	Requested time.Time // or happened
	Queued    time.Time // when it was put on record, from which it is told to the publisher
	Progress  Progress
	Completed time.Time // zero: in progress
	Delivered time.Time // when the webhook took it; zero: not yet
	GivenUp   bool      // no more deliveries are tried
	Failing   string    // why the webhook has not taken it
	Why       string    // it failed

	ByPublisher bool // who asked for it
}

// Entitlement is a service that a customer bought: what was agreed, and what
// has happened since.
type Entitlement struct {
	Purchased time.Time
	Term      Term
	Trial     time.Duration // free at first; 0: none
	Window    time.Duration // how long after the start of a term it can be cancelled, after the purchase for the first
	Refund    Refund
	Currency  string // ISO 4217
	Bought    Level

	AutoRenew bool
	NextCycle Cycle // from the next term

	Activated  time.Time // zero: not yet
	Changes    []LevelChange
	Renewed    time.Time // end of the latest term, or trial, that was followed by another; zero: the first runs
	Suspended  time.Time // since when; zero: it is not
	Orphaned   time.Time // since when its subscription is gone; zero: it is there
	Ended      time.Time // zero: it has not
	Reason     EndReason
	Operations []Operation // the newest last
}

// State says where the service is in its life, as far as is on record: see
// Follow.
func (e *Entitlement) State() State {
	switch {
	case !e.Ended.IsZero():
		return Unsubscribed
	case e.Activated.IsZero():
		return Pending
	case !e.Suspended.IsZero():
		return Suspended
	}
	return Subscribed
}

// Level is what holds, as far as is on record.
func (e *Entitlement) Level() Level {
	if n := len(e.Changes); n > 0 {
		return e.Changes[n-1].Level
	}
	return e.Bought
}

// Period is the term on record that runs, or the trial; zero before the
// activation. A trial is a period of its own: terms are counted from its end.
func (e *Entitlement) Period() Period {
	if e.Activated.IsZero() {
		return Period{}
	}
	if e.Renewed.IsZero() {
		return e.first()
	}
	return e.paid().PeriodAt(e.Renewed)
}

// OnTrial reports whether the period on record is the trial.
func (e *Entitlement) OnTrial() bool {
	return e.Trial > 0 && !e.Activated.IsZero() && e.Renewed.IsZero()
}

// PaidFrom is when the first term begins that is paid for; zero before the
// activation.
func (e *Entitlement) PaidFrom() time.Time {
	if e.Activated.IsZero() {
		return time.Time{}
	}
	return e.Activated.UTC().Add(e.Trial)
}

func (e *Entitlement) first() Period {
	if e.Trial > 0 {
		return Period{Start: e.Activated.UTC(), End: e.PaidFrom()}
	}
	return e.paid().PeriodAt(e.Activated)
}

// paid is the contract that the terms are counted by.
func (e *Entitlement) paid() Contract { return Contract{Purchased: e.PaidFrom(), Term: e.Term} }

// Pending returns the index of the operation that the publisher may still
// refuse, -1 if there is none. There is one at a time.
func (e *Entitlement) Pending() int {
	return slices.IndexFunc(e.Operations, func(o Operation) bool { return o.Progress == InProgress })
}

// due is something that the passing of time does to a service.
type due struct {
	at    time.Time // zero: nothing will happen
	do    func(now time.Time)
	asked bool // the customer decides what happens
}

// next is what happens next if nobody does anything.
func (e *Entitlement) next() (first due) {
	consider := func(at time.Time, asked bool, do func(now time.Time)) {
		if !at.IsZero() && (first.at.IsZero() || at.Before(first.at)) {
			first = due{at, do, asked}
		}
	}
	if i := e.Pending(); i >= 0 && !e.Operations[i].Delivered.IsZero() {
		at := e.Operations[i].Delivered.Add(AnswerTime)
		consider(at, false, func(time.Time) { e.succeed(i, at) })
	}
	end := func(at time.Time, reason EndReason) {
		known := reason == EndNotActivated || reason == EndNotPaid && e.Pending() >= 0 // a reinstatement is on record
		consider(at, !known, func(now time.Time) { e.End(reason, at, now) })
	}
	switch e.State() {
	case Unsubscribed:
		return due{}
	case Pending:
		end(e.Purchased.UTC().Add(ActivationTime), EndNotActivated)
	case Suspended:
		end(e.Suspended.Add(SuspensionTime), EndNotPaid)
		if !e.AutoRenew {
			end(e.Period().End, EndExpired)
		}
	case Subscribed:
		over := e.Period().End
		switch {
		case !e.AutoRenew:
			end(over, EndExpired)
		case e.Orphaned.IsZero(): // else nobody is there to want another term
			consider(over, true, func(now time.Time) { e.renew(over, now) })
		}
	}
	if !e.Orphaned.IsZero() {
		consider(e.Orphaned.Add(ReturnTime), true, func(now time.Time) { e.End(EndDeleted, e.Orphaned, now) })
	}
	return first
}

// Follow does what the passing of time does up to now, in its order, and
// returns when the next thing will happen; zero: never. What it finds is to be
// put on record. Facts by a clock that is ahead stay as they are.
func (e *Entitlement) Follow(now time.Time) (next time.Time) {
	for {
		due := e.next()
		if due.at.IsZero() || now.Before(due.at) {
			return due.at
		}
		due.do(now.UTC())
	}
}

// FollowUnasked is Follow for those who do not know what the customer wants now:
// it stops where a term or a suspension ends, because auto-renewal may have been
// turned off in time, or a reinstatement asked for, which is not on record yet.
func (e *Entitlement) FollowUnasked(now time.Time) {
	for {
		due := e.next()
		if due.at.IsZero() || now.Before(due.at) || due.asked {
			return
		}
		due.do(now.UTC())
	}
}

// Activate starts the service, its trial and its billing, if that is still to be
// done.
func (e *Entitlement) Activate(now time.Time) {
	if e.State() == Pending {
		e.Activated = now.UTC()
	}
}

// Suspend stops the service, if it runs, because it was not paid for; at the
// earliest with its activation, before which there is nothing to pay for.
func (e *Entitlement) Suspend(now time.Time) {
	if e.State() != Subscribed {
		return
	}
	if now.Before(e.Activated) {
		now = e.Activated
	}
	e.Suspended = now.UTC()
	e.abandon(now, "the service was suspended")
	e.happened(Suspend, now, now)
}

// Request asks the publisher for a change, or for a reinstatement. There must
// be none in progress.
func (e *Entitlement) Request(action Action, level Level, now time.Time) {
	e.Operations = append(slices.Clip(e.Operations), Operation{
		Action: action, Level: level, Requested: now.UTC(), Queued: now.UTC(), Progress: InProgress,
	})
}

// TakenBack is why an operation failed that the customer no longer wanted before
// the publisher was told.
const TakenBack = "the customer took it back"

// MaxChanges is how often what a customer has of a service can be changed. The
// record holds more: the billing cycle may still follow a renewal.
const MaxChanges = 450

// Answer ends the operation in progress as the publisher says.
func (e *Entitlement) Answer(accepted bool, why string, now time.Time) {
	i := e.Pending()
	if i < 0 {
		return
	}
	if accepted {
		e.succeed(i, now.UTC())
	} else {
		e.fail(i, now.UTC(), why)
	}
}

// End ends the service for good, at an instant that may be in the past. Of
// several ends the first one on record stays.
func (e *Entitlement) End(reason EndReason, at, now time.Time) {
	if !e.Ended.IsZero() {
		return
	}
	e.Ended, e.Reason = at.UTC(), reason
	e.abandon(now, "the subscription ended")
	e.happened(Unsubscribe, at, now)
	e.Operations[len(e.Operations)-1].ByPublisher = reason == EndPublisherEnded
}

func (e *Entitlement) renew(end, now time.Time) {
	e.Renewed = end
	if level := e.Level(); e.NextCycle != "" && level.Cycle != e.NextCycle {
		level.Cycle = e.NextCycle
		e.change(end, level)
	}
	e.happened(Renew, end, now)
}

// happened adds an operation that the publisher is only told of.
func (e *Entitlement) happened(action Action, at, now time.Time) {
	e.Operations = append(slices.Clip(e.Operations), Operation{
		Action: action, Level: e.Level(), Requested: at.UTC(), Queued: now.UTC(), Progress: Succeeded, Completed: at.UTC(),
	})
}

// abandon fails what is in progress.
func (e *Entitlement) abandon(at time.Time, why string) {
	if i := e.Pending(); i >= 0 {
		e.fail(i, at.UTC(), why)
	}
}

func (e *Entitlement) fail(i int, at time.Time, why string) {
	op := e.operation(i)
	op.Progress, op.Completed, op.Why = Failed, at, why
	op.GivenUp = op.Delivered.IsZero() // it is no news any more
}

func (e *Entitlement) succeed(i int, at time.Time) {
	op := e.operation(i)
	op.Progress, op.Completed = Succeeded, at
	switch op.Action {
	case Reinstate:
		e.Suspended = time.Time{}
	case ChangePlan, ChangeQuantity:
		level := op.Level
		level.Cycle = e.Level().Cycle // which may have changed with a renewal since
		e.change(at, level)
	}
}

// operation makes the operations the entitlement's own before one is changed.
func (e *Entitlement) operation(i int) *Operation {
	e.Operations = slices.Clone(e.Operations)
	return &e.Operations[i]
}

// change puts a level into force. Instants tell changes apart, so no two are
// the same, in whole seconds as the record has them.
func (e *Entitlement) change(at time.Time, level Level) {
	at = at.Truncate(time.Second)
	if n := len(e.Changes); n > 0 && !at.After(e.Changes[n-1].At) {
		at = e.Changes[n-1].At.Add(time.Second)
	}
	e.Changes = append(slices.Clip(e.Changes), LevelChange{At: at, Level: level})
}

// CancelAt says until when and for how much the service can be cancelled, at an
// instant up to which it was followed, or earlier: always before its activation,
// when nothing was charged, during a trial, and while it is suspended and no
// term runs. Else the window of the running term counts; that of the first term
// begins with the purchase.
func (e *Entitlement) CancelAt(at time.Time) Window {
	if !e.Ended.IsZero() {
		return Window{}
	}
	return e.window(at)
}

// Credit is what the end of the service gave back.
func (e *Entitlement) Credit() decimal.Decimal {
	if !e.refunded() {
		return decimal.Zero
	}
	return e.window(e.Ended).Credit
}

// refunded reports whether the end of the service was inside the window. When
// none of its terms ran there was nothing to give back.
func (e *Entitlement) refunded() bool {
	if e.lapsed(e.Ended) {
		return false
	}
	switch e.Reason {
	case EndCancelled, EndDeleted, EndPublisherEnded:
		return e.window(e.Ended).Open
	}
	return false
}

// lapsed reports whether a service is suspended at an instant and its last term,
// or trial, is over: the next one begins with the reinstatement, if there is one.
func (e *Entitlement) lapsed(at time.Time) bool {
	return !e.Suspended.IsZero() && !at.Before(e.Period().End)
}

// begun is when the window of a term begins: with the term, for the first one
// with the purchase, and for one that began while the service was suspended
// with the reinstatement that made it begin.
func (e *Entitlement) begun(p Period) time.Time {
	if p.Start.Equal(e.Activated) {
		return e.Purchased.UTC()
	}
	var reinstated time.Time
	for _, op := range e.Operations {
		switch {
		case op.Action == Reinstate && op.Progress == Succeeded && op.Completed.After(p.Start):
			reinstated = op.Completed
		case op.Action == Renew && op.Requested.Equal(p.Start) && !reinstated.IsZero():
			return reinstated
		}
	}
	return p.Start
}

// window is CancelAt, as it was.
func (e *Entitlement) window(at time.Time) Window {
	if e.Activated.IsZero() || at.Before(e.Activated) {
		until := e.Purchased.UTC().Add(ActivationTime)
		return Window{Until: until, Open: at.Before(until), Next: until}
	}
	p := e.Period()
	if at.Before(p.Start) { // asked for before the renewal that is on record
		p = e.first()
		if !at.Before(p.End) {
			p = e.paid().PeriodAt(at)
		}
	}
	if e.lapsed(at) {
		until := e.Suspended.Add(SuspensionTime)
		return Window{Until: until, Open: at.Before(until), Next: until}
	}
	if p.Start.Before(e.PaidFrom()) {
		return Window{Until: p.End, Open: at.Before(p.End), Next: p.End}
	}
	w := Window{Until: Earliest(e.begun(p).Add(e.Window), p.End)}
	if w.Open = at.Before(w.Until); !w.Open {
		return w
	}
	account := e.account()
	w.Credit, w.Next = account.credit(p, e.Refund, at), w.Until
	for _, part := range account.parts(p) { // a full refund has more to give then
		if part.Start.After(at) {
			w.Next = Earliest(w.Next, part.Start)
		}
	}
	if e.Refund == Prorated {
		w.Next = Earliest(w.Next, p.Start.Add(time.Duration(usedDays(p, at))*day))
	}
	return w
}
