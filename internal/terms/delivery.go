package terms

import (
	"slices"
	"time"
)

// DeliveryTime is how long the publisher's webhook is tried, from when the
// operation was put on record.
const DeliveryTime = 8 * time.Hour

// How long to wait between two tries: a quarter of the time since the operation
// was put on record, within bounds. So there are about 500 of them, and how many
// there were need not be known.
const (
	leastPause   = time.Second
	longestPause = time.Minute
)

// Undelivered reports whether the publisher is still to be told.
func (o *Operation) Undelivered() bool {
	return o.Delivered.IsZero() && !o.GivenUp && (o.Progress == InProgress || !o.Action.Refusable())
}

// Pause is how long to wait after a try that failed.
func (o *Operation) Pause(now time.Time) time.Duration {
	return min(max(now.Sub(o.Queued)/4, leastPause), longestPause)
}

// ToDeliver returns the index of the operation that the publisher is to be told
// of next, -1 if there is none. Each waits for the one before it. One that has no
// id yet waits to be put on record.
func (e *Entitlement) ToDeliver() int {
	i := slices.IndexFunc(e.Operations, func(o Operation) bool { return o.Undelivered() })
	if i >= 0 && e.Operations[i].ID == "" {
		return -1
	}
	return i
}

// Deliver puts on record that the publisher's webhook took an operation, or
// refused it; empty refused means that it did not. The publisher may have
// answered meanwhile, which counts for more. Delivered is a full second, and not
// earlier than now, so that the publisher has no less than AnswerTime.
func (e *Entitlement) Deliver(id string, refused string, now time.Time) {
	i := e.byID(id)
	if i < 0 || !e.Operations[i].Delivered.IsZero() {
		return
	}
	op := e.operation(i)
	op.Delivered, op.GivenUp, op.Failing = now.UTC().Add(time.Second-1).Truncate(time.Second), false, ""
	if refused != "" && op.Progress == InProgress {
		e.fail(i, now.UTC(), refused)
	}
}

// Miss puts on record why the publisher's webhook did not take an operation.
// Once it was tried for long enough that is the end of it, and what the publisher
// would have been asked for has failed.
func (e *Entitlement) Miss(id string, why string, now time.Time) {
	i := e.byID(id)
	if i < 0 || !e.Operations[i].Undelivered() {
		return
	}
	e.operation(i).Failing = why
	e.GiveUp(id, now)
}

// GiveUp stops telling the publisher of an operation if that was tried for long
// enough. What the publisher would have been asked for has failed then. It
// reports whether it stopped.
func (e *Entitlement) GiveUp(id string, now time.Time) bool {
	i := e.byID(id)
	if i < 0 || !e.Operations[i].Undelivered() || now.Before(e.Operations[i].Queued.Add(DeliveryTime)) {
		return false
	}
	if e.Operations[i].Progress == InProgress {
		e.fail(i, now.UTC(), "the publisher's webhook did not take it")
	}
	e.operation(i).GivenUp = true
	return true
}

func (e *Entitlement) byID(id string) int {
	if id == "" { // of those not on record yet there may be several
		return -1
	}
	return slices.IndexFunc(e.Operations, func(o Operation) bool { return o.ID == id })
}
