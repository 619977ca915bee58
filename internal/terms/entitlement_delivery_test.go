package terms

import (
	"fmt"
	"testing"
	"time"

	"github.com/shopspring/decimal"
)

// toldOf is an entitlement with one operation, put on record then, after what was
// done to it.
func toldOf(action Action, queued time.Time, do ...func(e *Entitlement)) *Entitlement {
	e := &Entitlement{
		Purchased: queued.Add(-time.Hour), Activated: queued.Add(-time.Hour), Term: Year, Currency: "EUR", AutoRenew: true, Window: DefaultServiceWindow, Refund: Full,
		Bought: Level{Plan: "silver", Quantity: 5, UnitPrice: decimal.NewFromInt(48), Cycle: Monthly},
	}
	switch action {
	case ChangePlan, ChangeQuantity:
		e.Request(action, Level{Plan: "gold", Quantity: 7, UnitPrice: decimal.NewFromInt(96), Cycle: Monthly}, queued)
	case Reinstate:
		e.Suspended = queued.Add(-time.Minute)
		e.Request(action, e.Level(), queued)
	case Suspend:
		e.Suspend(queued)
	case Unsubscribe:
		e.End(EndCancelled, queued, queued)
	case Renew:
		e.happened(Renew, queued, queued)
	}
	e.Operations[0].ID = "1"
	for _, f := range do {
		f(e)
	}
	return e
}

func progressOf(o Operation) string {
	text := string(o.Progress)
	if !o.Delivered.IsZero() {
		text += ", delivered"
	}
	if o.GivenUp {
		text += ", given up"
	}
	if o.Undelivered() {
		text += ", undelivered"
	}
	if o.Why != "" {
		text += ", because " + o.Why
	}
	if o.Failing != "" {
		text += ", failing: " + o.Failing
	}
	return text
}

func TestDelivery(t *testing.T) {
	at := time.Date(2027, 3, 1, 12, 0, 0, 0, time.UTC)
	deliver := func(refused string, now time.Time) func(*Entitlement) {
		return func(e *Entitlement) { e.Deliver("1", refused, now) }
	}
	miss := func(now time.Time) func(*Entitlement) {
		return func(e *Entitlement) { e.Miss("1", "503", now) }
	}
	answer := func(accepted bool, now time.Time) func(*Entitlement) {
		return func(e *Entitlement) { e.Answer(accepted, "no", now) }
	}
	follow := func(now time.Time) func(*Entitlement) {
		return func(e *Entitlement) { e.Follow(now) }
	}
	taken := at.Add(time.Minute)
	last := at.Add(DeliveryTime)
	for name, row := range map[string]struct {
		do                    []func(*Entitlement)
		refusable, notifyOnly string // wanted of a change of plan, of a suspension
		changed               bool   // the level, by the change of plan
	}{
		"nothing yet":                          {nil, "InProgress, undelivered", "Succeeded, undelivered", false},
		"taken":                                {[]func(*Entitlement){deliver("", taken)}, "InProgress, delivered", "Succeeded, delivered", false},
		"taken, a second too early":            {[]func(*Entitlement){deliver("", taken), follow(taken.Add(AnswerTime - time.Second))}, "InProgress, delivered", "Succeeded, delivered", false},
		"taken, exactly ten seconds later":     {[]func(*Entitlement){deliver("", taken), follow(taken.Add(AnswerTime))}, "Succeeded, delivered", "Succeeded, delivered", true},
		"taken, in another zone":               {[]func(*Entitlement){deliver("", taken.In(time.FixedZone("", 3600))), follow(taken.Add(AnswerTime))}, "Succeeded, delivered", "Succeeded, delivered", true},
		"taken within a second":                {[]func(*Entitlement){deliver("", taken.Add(time.Millisecond)), follow(taken.Add(AnswerTime))}, "InProgress, delivered", "Succeeded, delivered", false},
		"taken and refused":                    {[]func(*Entitlement){deliver("409", taken), follow(taken.Add(time.Hour))}, "Failed, delivered, because 409", "Succeeded, delivered", false},
		"taken twice":                          {[]func(*Entitlement){deliver("", taken), deliver("409", taken.Add(time.Hour))}, "InProgress, delivered", "Succeeded, delivered", false},
		"missed":                               {[]func(*Entitlement){miss(taken)}, "InProgress, undelivered, failing: 503", "Succeeded, undelivered, failing: 503", false},
		"missed, then taken":                   {[]func(*Entitlement){miss(taken), deliver("", taken), follow(taken.Add(AnswerTime))}, "Succeeded, delivered", "Succeeded, delivered", true},
		"missed a second before the end":       {[]func(*Entitlement){miss(last.Add(-time.Second))}, "InProgress, undelivered, failing: 503", "Succeeded, undelivered, failing: 503", false},
		"missed exactly at the end":            {[]func(*Entitlement){miss(last)}, "Failed, given up, because the publisher's webhook did not take it, failing: 503", "Succeeded, given up, failing: 503", false},
		"missed by a clock that is behind":     {[]func(*Entitlement){miss(at.Add(-time.Hour))}, "InProgress, undelivered, failing: 503", "Succeeded, undelivered, failing: 503", false},
		"missed after it was taken":            {[]func(*Entitlement){deliver("", taken), miss(last)}, "InProgress, delivered", "Succeeded, delivered", false},
		"missed for ever":                      {[]func(*Entitlement){miss(last), miss(last.Add(time.Hour)), follow(last.Add(time.Hour))}, "Failed, given up, because the publisher's webhook did not take it, failing: 503", "Succeeded, given up, failing: 503", false},
		"taken at last, by another process":    {[]func(*Entitlement){miss(last), deliver("", last)}, "Failed, delivered, because the publisher's webhook did not take it", "Succeeded, delivered", false},
		"accepted before it was taken":         {[]func(*Entitlement){answer(true, taken), deliver("", taken)}, "Succeeded, delivered", "Succeeded, delivered", true},
		"accepted, and refused by the webhook": {[]func(*Entitlement){answer(true, taken), deliver("409", taken)}, "Succeeded, delivered", "Succeeded, delivered", true},
		"accepted, and the webhook failed":     {[]func(*Entitlement){answer(true, taken), miss(taken)}, "Succeeded", "Succeeded, undelivered, failing: 503", true},
		"refused before it was taken":          {[]func(*Entitlement){answer(false, taken), deliver("", taken)}, "Failed, delivered, because no", "Succeeded, delivered", false},
		"refused, and the webhook failed":      {[]func(*Entitlement){answer(false, taken), miss(taken)}, "Failed, given up, because no", "Succeeded, undelivered, failing: 503", false},
		"another operation was taken":          {[]func(*Entitlement){func(e *Entitlement) { e.Deliver("2", "", taken); e.Deliver("", "", taken); e.Miss("", "503", taken) }}, "InProgress, undelivered", "Succeeded, undelivered", false},
	} {
		for action, want := range map[Action]string{ChangePlan: row.refusable, Suspend: row.notifyOnly} {
			e := toldOf(action, at, row.do...)
			if got := progressOf(e.Operations[0]); got != want {
				t.Errorf("%s, %s:\n got %s\nwant %s", name, action, got, want)
			}
			if changed := e.Level().Plan == "gold"; changed != (row.changed && action == ChangePlan) || len(e.Changes) > 1 {
				t.Errorf("%s, %s: the plan is %s after %d changes", name, action, e.Level().Plan, len(e.Changes))
			}
		}
	}
}

// TestDeliveryOfEach has each operation taken, refused and given up.
func TestDeliveryOfEach(t *testing.T) {
	at := time.Date(2028, 2, 29, 23, 59, 50, 0, time.UTC)
	for _, action := range []Action{ChangePlan, ChangeQuantity, Reinstate, Renew, Suspend, Unsubscribe} {
		for name, row := range map[string]struct {
			do       func(e *Entitlement)
			accepted bool
		}{
			"taken":    {func(e *Entitlement) { e.Deliver("1", "", at); e.Follow(at.Add(AnswerTime)) }, true},
			"refused":  {func(e *Entitlement) { e.Deliver("1", "no", at); e.Follow(at.Add(AnswerTime)) }, false},
			"given up": {func(e *Entitlement) { e.Miss("1", "500", at.Add(DeliveryTime)) }, false},
		} {
			before, e := toldOf(action, at), toldOf(action, at, row.do)
			state, level := before.State(), before.Level()
			if row.accepted {
				switch action {
				case Reinstate:
					state = Subscribed
				case ChangePlan, ChangeQuantity:
					level.Plan, level.Quantity, level.UnitPrice = "gold", 7, decimal.NewFromInt(96)
				}
			}
			if e.State() != state || fmt.Sprint(e.Level()) != fmt.Sprint(level) || e.ToDeliver() >= 0 || len(e.Operations) != 1 {
				t.Errorf("%s %s: %s at %v, %d to deliver", action, name, e.State(), e.Level(), e.ToDeliver())
			}
			again := toldOf(action, at, row.do, row.do, row.do)
			if fmt.Sprint(again) != fmt.Sprint(e) {
				t.Errorf("%s %s three times is another thing than once:\n%+v\n%+v", action, name, again, e)
			}
		}
	}
}

func TestToDeliver(t *testing.T) {
	at := time.Date(2027, 3, 1, 12, 0, 0, 0, time.UTC)
	two := func() *Entitlement {
		e := toldOf(Suspend, at)
		e.End(EndNotPaid, at, at)
		return e
	}
	for name, row := range map[string]struct {
		do   func(e *Entitlement)
		want int
	}{
		"the older one first":            {func(*Entitlement) {}, 0},
		"then the other":                 {func(e *Entitlement) { e.Operations[1].ID = "2"; e.Deliver("1", "", at) }, 1},
		"also if the first was given up": {func(e *Entitlement) { e.Operations[1].ID = "2"; e.Miss("1", "500", at.Add(DeliveryTime)) }, 1},
		"not before it is on record":     {func(e *Entitlement) { e.Deliver("1", "", at) }, -1},
		"nothing":                        {func(e *Entitlement) { e.Operations = nil }, -1},
	} {
		e := two()
		row.do(e)
		if got := e.ToDeliver(); got != row.want {
			t.Errorf("%s: %d, want %d", name, got, row.want)
		}
	}
}

func TestPause(t *testing.T) {
	at := time.Date(2027, 3, 1, 12, 0, 0, 0, time.UTC)
	op := &Operation{Queued: at}
	for name, row := range map[string]struct{ age, want time.Duration }{
		"at once":                 {0, time.Second},
		"a clock that is behind":  {-time.Hour, time.Second},
		"after four seconds":      {4 * time.Second, time.Second},
		"after forty seconds":     {40 * time.Second, 10 * time.Second},
		"after four minutes":      {4 * time.Minute, time.Minute},
		"after a day of downtime": {24 * time.Hour, time.Minute},
	} {
		if got := op.Pause(at.Add(row.age).In(time.FixedZone("", -3600))); got != row.want {
			t.Errorf("%s: %s, want %s", name, got, row.want)
		}
	}
	tries := 0
	for now := at; now.Before(at.Add(DeliveryTime)); now = now.Add(op.Pause(now)) {
		tries++
	}
	if tries < 495 || tries > 505 {
		t.Errorf("%d tries", tries)
	}
}
