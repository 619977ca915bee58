package controllers

import (
	"slices"

	"github.com/license-operator/license-operator/api/v1alpha1"
)

// plan is what is to be done before all users of a purchase have a seat. It is
// done in this order.
type plan struct {
	surplus []*v1alpha1.Seat // reserved, and not needed
	reserve []booking
	soon    bool             // assignments are there that are about to get a seat
	assign  []*v1alpha1.Seat // reserved: the assignment is to be made
	mark    []*v1alpha1.Seat // with their assignment

	missing int64 // seats; if there are any the rest is of no meaning
	without int   // users who have no seat of their own yet
	others  int   // assignments of others that wait before them
}

// booking is a seat that a Takeover is about to reserve.
type booking struct {
	user   v1alpha1.User
	number int64
}

func (p *plan) settled() bool {
	return len(p.surplus) == 0 && len(p.reserve) == 0 && !p.soon && len(p.assign) == 0 && len(p.mark) == 0
}

// planMove finds out what the users of a purchase need. Assignments that wait
// are older than those that are still to be made, so their seats come first.
func planMove(t *v1alpha1.Takeover, users []v1alpha1.User, f *floor) plan {
	seated, assigned, queue := f.seated(), f.assigned(), setOf(f.Queue)
	var p plan
	own, freed := p.claim(t, users, seated, f)
	var booked []v1alpha1.User // who are to get a seat that is free now
	queued := 0
	for _, user := range slices.Sorted(slices.Values(users)) {
		name := assigned[user]
		switch seat := seated[user]; {
		case seat != nil && seat.Spec.Takeover == t.Name && seat.Labels[v1alpha1.LabelTakeover] != labelFor(t):
			p.mark = append(p.mark, seat)
		case seat != nil:
		case own[user] != nil:
			p.assign = append(p.assign, own[user])
		case queue[name]:
			queued++
		case name != "":
			p.soon = true
		default:
			booked = append(booked, user)
		}
	}
	p.others = len(f.Queue) - queued
	p.without = len(booked) + queued + len(p.assign)
	if missing := int64(len(booked)+len(f.Queue)) - f.Free - freed; len(booked)+queued > 0 && !f.Unlimited {
		p.missing = max(0, missing)
	}
	p.book(booked, f)
	return p
}

// claim divides what a Takeover has reserved into what its users need, and what
// is surplus. Of that, freed are seats that others can have.
func (p *plan) claim(t *v1alpha1.Takeover, users []v1alpha1.User, seated map[v1alpha1.User]*v1alpha1.Seat, f *floor) (own map[v1alpha1.User]*v1alpha1.Seat, freed int64) {
	own = map[v1alpha1.User]*v1alpha1.Seat{}
	ours := setOf(users)
	for _, seat := range f.ofTakeover(t) {
		user, has := seat.Spec.User, f.Has(seat.Spec.Number)
		if has && ours[user] && own[user] == nil && seated[user] == nil && seat.Spec.Assignment == assignmentFor(t, user).Name {
			own[user] = seat
			continue
		}
		p.surplus = append(p.surplus, seat)
		if has {
			freed++
		}
	}
	return own, freed
}

// book finds a free number for each user, the lowest first.
func (p *plan) book(users []v1alpha1.User, f *floor) {
	granted := map[int64]bool{}
	for _, g := range f.Grant {
		granted[g.Number] = true
	}
	number := int64(1)
	for _, user := range users {
		for f.seats[number] != nil || granted[number] {
			number++
		}
		if !f.Has(number) { // the rest are about to be released
			p.soon, p.reserve = true, nil
			return
		}
		p.reserve = append(p.reserve, booking{user, number})
		number++
	}
}

// ofTakeover are the seats that a Takeover has reserved, by number.
func (f *floor) ofTakeover(t *v1alpha1.Takeover) (own []*v1alpha1.Seat) {
	for _, number := range sorted(f.reserved) {
		if f.seats[number].Spec.Takeover == t.Name {
			own = append(own, f.seats[number])
		}
	}
	return own
}

// seated are the users who have a seat, and which.
func (f *floor) seated() map[v1alpha1.User]*v1alpha1.Seat {
	seated := make(map[v1alpha1.User]*v1alpha1.Seat, len(f.held))
	for _, seat := range f.held {
		seated[seat.Spec.User] = seat
	}
	return seated
}

// assigned are the users who have an assignment of which something comes by
// itself, and which.
func (f *floor) assigned() map[v1alpha1.User]string {
	assigned := make(map[v1alpha1.User]string, len(f.assignments))
	for i := range f.assignments {
		if a := &f.assignments[i]; f.Twice[a.Name] == "" && f.Kept[a.Name] == 0 {
			assigned[a.Spec.User] = a.Name
		}
	}
	return assigned
}

func setOf[K comparable](all []K) map[K]bool {
	set := make(map[K]bool, len(all))
	for _, k := range all {
		set[k] = true
	}
	return set
}
