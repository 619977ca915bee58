package terms

import (
	"slices"
	"time"
)

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
