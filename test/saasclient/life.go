package saasclient

import (
	"net/http"
	"slices"
	"testing"

	"github.com/google/uuid"
)

// Purchase is something that a customer bought, sold by the seat and not yet
// activated, as its publisher finds it.
type Purchase struct {
	Token                  string // of the landing page's address
	Publisher, Offer, Plan string
	Quantity               int64
	Other                  string // a plan that the customer could have instead
	// Ask has the customer ask for so many seats. It returns when the publisher
	// can see it.
	Ask func(quantity int64)
}

// Life leads a purchase through its whole life with a publisher's client, and
// says where that client would be left wondering. Three calls change something
// at the publisher's wish, two at the customer's; each is followed to its end as
// publishers are told to. Nobody else must answer for the publisher meanwhile,
// so his webhook had better be one that is not reached.
func Life(t *testing.T, c *Client, p *Purchase) {
	t.Helper()
	l := &life{t: t, c: c, p: p}
	for _, step := range []struct {
		name string
		do   func()
	}{
		{"resolve", l.resolve},
		{"activate", l.activate},
		{"list", l.list},
		{"plans", l.plans},
		{"the publisher changes the quantity", l.publisherChanges},
		{"the customer is refused, then not", l.customerChanges},
		{"delete", l.delete},
	} {
		if !t.Run(step.name, func(t *testing.T) { l.t = t; step.do() }) {
			return // what comes next builds on it
		}
	}
}

type life struct {
	t *testing.T
	c *Client
	p *Purchase
	s Subscription // as last seen
}

func (l *life) resolve() {
	for range 2 { // a customer comes back
		r, err := l.c.Resolve(l.t.Context(), l.p.Token)
		l.fine(err)
		if l.s.ID != "" && r.ID != l.s.ID {
			l.t.Fatalf("resolved to %s, and before to %s", r.ID, l.s.ID)
		}
		if r.Subscription.ID != r.ID || r.OfferID != l.p.Offer || r.PlanID != l.p.Plan || r.Quantity != l.p.Quantity || r.Name == "" {
			l.t.Errorf("resolved to %+v", r)
		}
		l.s = r.Subscription
	}
	l.get("PendingFulfillmentStart", l.p.Plan, l.p.Quantity)
	if l.s.Term.Start != nil || l.s.Term.End != nil {
		l.t.Errorf("a term runs before the activation: %+v", l.s.Term)
	}
	_, err := l.c.Resolve(l.t.Context(), "ab+cd/ef==")
	l.refused(err, http.StatusBadRequest)
}

func (l *life) activate() {
	ctx := l.t.Context()
	l.refused(l.c.Activate(ctx, l.s.ID, l.p.Other, l.p.Quantity), http.StatusBadRequest)
	l.refused(l.c.Activate(ctx, l.s.ID, l.p.Plan, l.p.Quantity+1), http.StatusBadRequest)
	l.refused(l.c.Activate(ctx, uuid.NewString(), l.p.Plan, l.p.Quantity), http.StatusNotFound)
	l.fine(l.c.Activate(ctx, l.s.ID, l.p.Plan, l.p.Quantity))
	l.get("Subscribed", l.p.Plan, l.p.Quantity)
	if l.s.Term.Start == nil || l.s.Term.End == nil || !l.s.Term.Start.Before(*l.s.Term.End) {
		l.t.Errorf("no term runs after the activation: %+v", l.s.Term)
	}
	l.refused(l.c.Activate(ctx, l.s.ID, l.p.Plan, l.p.Quantity), http.StatusBadRequest)
}

func (l *life) list() {
	all, err := l.c.List(l.t.Context())
	l.fine(err)
	if i := slices.IndexFunc(all, func(s Subscription) bool { return s.ID == l.s.ID }); i < 0 || all[i].Status != l.s.Status {
		l.t.Errorf("it is not among %+v as it is", all)
	}
}

func (l *life) plans() {
	plans, err := l.c.Plans(l.t.Context(), l.s.ID)
	l.fine(err)
	for _, id := range []string{l.p.Plan, l.p.Other} {
		i := slices.IndexFunc(plans, func(p Plan) bool { return p.ID == id })
		if i < 0 {
			l.t.Fatalf("plan %s is not among %+v", id, plans)
		}
		p := plans[i]
		if p.Name == "" || !p.PerSeat || p.Min < 1 || p.Max < p.Min || len(p.Costs.Terms) == 0 || len(p.Costs.Terms[0].Currency) != 3 {
			l.t.Errorf("a client cannot offer %+v", p)
		}
	}
}

// publisherChanges has the customer change plan and quantity on the publisher's
// site.
func (l *life) publisherChanges() {
	ctx := l.t.Context()
	more := l.p.Quantity + 1
	location, err := l.c.ChangeQuantity(ctx, l.s.ID, more)
	l.fine(err)
	l.follow(location, "ChangeQuantity", "Success")
	l.get("Subscribed", l.p.Plan, more)
	_, err = l.c.ChangeQuantity(ctx, l.s.ID, more)
	l.refused(err, http.StatusBadRequest)

	location, err = l.c.ChangePlan(ctx, l.s.ID, l.p.Other)
	l.fine(err)
	l.follow(location, "ChangePlan", "Success")
	l.get("Subscribed", l.p.Other, more)
	_, err = l.c.ChangePlan(ctx, l.s.ID, "no-such-plan")
	l.refused(err, http.StatusBadRequest)
	_, err = l.c.Operation(ctx, l.s.ID, uuid.NewString())
	l.refused(err, http.StatusNotFound)
}

func (l *life) customerChanges() {
	ctx, had := l.t.Context(), l.s.Quantity
	for _, row := range []struct {
		answer      string
		asked, want int64
	}{{"Failure", had + 2, had}, {"Success", had + 3, had + 3}} {
		l.p.Ask(row.asked)
		pending, err := l.c.Operations(ctx, l.s.ID)
		l.fine(err)
		if len(pending) != 1 || pending[0].Quantity != row.asked {
			l.t.Fatalf("the operations %+v wait, not one for %d seats", pending, row.asked)
		}
		l.answer(&pending[0], "ChangeQuantity", row.answer)
		l.get("Subscribed", l.p.Other, row.want)
		other := map[string]string{"Failure": "Success", "Success": "Failure"}[row.answer]
		l.refused(l.c.Answer(ctx, l.s.ID, &pending[0], other), http.StatusConflict)
	}
}

func (l *life) delete() {
	ctx := l.t.Context()
	location, err := l.c.Delete(ctx, l.s.ID)
	l.fine(err)
	o, err := l.c.Operation(ctx, l.s.ID, l.operationID(location))
	l.fine(err)
	l.check(&o, "Unsubscribe")
	if o.Status != "Succeeded" && o.Status != "InProgress" {
		l.t.Errorf("the end of the subscription is %s", o.Status)
	}
	l.get("Unsubscribed", l.s.PlanID, l.s.Quantity)
	l.list() // it stays on the list
	l.refused(l.c.Activate(ctx, l.s.ID, l.s.PlanID, l.s.Quantity), http.StatusNotFound)
	r, err := l.c.Resolve(ctx, l.p.Token)
	l.fine(err)
	if r.ID != l.s.ID || r.Subscription.Status != "Unsubscribed" {
		l.t.Errorf("resolved to %+v after the end", r)
	}
}

// follow accepts an operation that the publisher began, if it waits for him,
// and sees it succeed.
func (l *life) follow(location, action, status string) {
	l.t.Helper()
	o, err := l.c.Operation(l.t.Context(), l.s.ID, l.operationID(location))
	l.fine(err)
	if o.Status != "InProgress" {
		l.check(&o, action)
		if o.Status != "Succeeded" {
			l.t.Errorf("the operation is %s", o.Status)
		}
		return
	}
	l.answer(&o, action, status)
}

// answer answers an operation that waits and sees what becomes of it.
func (l *life) answer(o *Operation, action, status string) {
	l.t.Helper()
	ctx := l.t.Context()
	pending, err := l.c.Operations(ctx, l.s.ID)
	l.fine(err)
	if len(pending) != 1 || pending[0].ID != o.ID || pending[0].Status != "InProgress" {
		l.t.Errorf("operation %s is in progress, and these wait: %+v", o.ID, pending)
	}
	l.check(o, action)
	l.fine(l.c.Answer(ctx, l.s.ID, o, status))
	l.fine(l.c.Answer(ctx, l.s.ID, o, status)) // the client did not hear, so it says it again
	after, err := l.c.Operation(ctx, l.s.ID, o.ID)
	l.fine(err)
	if want := map[string]string{"Success": "Succeeded", "Failure": "Failed"}[status]; after.Status != want {
		l.t.Errorf("after %s the operation is %s", status, after.Status)
	}
	if pending, err = l.c.Operations(ctx, l.s.ID); err != nil || len(pending) != 0 {
		l.t.Errorf("after the answer there wait %+v, %v", pending, err)
	}
}
