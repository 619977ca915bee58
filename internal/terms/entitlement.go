package terms

import (
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
