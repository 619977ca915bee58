package controllers

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/terms"
)

// indexSubscription is the index of LicenseAssignments and of Seats by the
// subscription that they belong to: "<kind>/<name>".
const indexSubscription = "subscription"

var seatIndexes = map[string]client.IndexerFunc{
	indexSubscription: func(o client.Object) []string {
		ref, _ := subscriptionOf(o)
		return []string{ref.key()}
	},
}

// seatsOf names a subscription whose seats are given out.
type seatsOf struct {
	Namespace string
	v1alpha1.SubscriptionReference
}

func (s seatsOf) String() string { return s.Kind + " " + s.Name }

func (s seatsOf) key() string { return s.Kind + "/" + s.Name }

// seat is the name of a seat in the ledger.
func (s seatsOf) seat(number int64) string {
	return fmt.Sprintf("%s.%s.%d", strings.ToLower(s.Kind), s.Name, number)
}

// number is that of a seat of a name.
func (s seatsOf) number(name string) (int64, bool) {
	number, err := strconv.ParseInt(name[strings.LastIndex(name, ".")+1:], 10, 64)
	return number, err == nil && s.seat(number) == name
}

// subscriptionOf is the subscription that an object belongs to, or is.
func subscriptionOf(o client.Object) (seatsOf, bool) {
	of := seatsOf{Namespace: o.GetNamespace()}
	switch o := o.(type) {
	case *v1alpha1.LicenseAssignment:
		of.SubscriptionReference = o.Spec.SubscriptionRef
	case *v1alpha1.Seat:
		of.SubscriptionReference = o.Spec.SubscriptionRef
	case *v1alpha1.Takeover:
		if o.Spec.MoveTo == nil {
			return of, false
		}
		of.SubscriptionReference = *o.Spec.MoveTo
	case *v1alpha1.SoftwareSubscription:
		of.Kind, of.Name = v1alpha1.KindSoftwareSubscription, o.Name
	case *v1alpha1.MarketplaceSubscription:
		of.Kind, of.Name = v1alpha1.KindMarketplaceSubscription, o.Name
	}
	return of, true
}

// Seats reads and writes the ledger of seats: one Seat for each seat that is
// taken. Whoever creates the name of a seat has it.
type Seats struct {
	// Client writes, and reads from a cache with the index of seatIndexes.
	Client client.Client
	// Live reads from the API server.
	Live client.Reader
}

// supply is how many seats a subscription has now.
type supply struct {
	terms.Seats
	product string // that it is of; empty if there is none
	why     error  // nobody gets a seat, and why; nil: they are given out
	frozen  bool   // nobody loses one either: too little is known
}

// supplyOf asks a subscription. Right after a restore it may not be there yet,
// or have no status: nobody loses a seat because of that.
func supplyOf(ctx context.Context, from client.Reader, of seatsOf) (supply, error) {
	var sub client.Object = &v1alpha1.SoftwareSubscription{}
	if of.Kind == v1alpha1.KindMarketplaceSubscription {
		sub = &v1alpha1.MarketplaceSubscription{}
	}
	err := from.Get(ctx, client.ObjectKey{Namespace: of.Namespace, Name: of.Name}, sub)
	if apierrors.IsNotFound(err) || err == nil && !sub.GetDeletionTimestamp().IsZero() {
		return supply{frozen: true, why: stalled(v1alpha1.ReasonSubscriptionNotFound, "there is no %s in this namespace: create it, or delete this object and create another for a subscription that is there", of)}, nil
	}
	if err != nil {
		return supply{}, fmt.Errorf("reading %s: %w", of, err)
	}
	s := supplied(sub, of)
	switch sub := sub.(type) {
	case *v1alpha1.SoftwareSubscription:
		s.product = sub.Spec.ProductRef.Name
	case *v1alpha1.MarketplaceSubscription:
		s.product = sub.Spec.ProductRef.Name
	}
	return s, nil
}

func supplied(sub client.Object, of seatsOf) supply {
	ended := supply{why: stalled(v1alpha1.ReasonSubscriptionEnded, "%s has ended, and its seats with it: delete this object and create another for a subscription that runs", of)}
	switch sub := sub.(type) {
	case *v1alpha1.SoftwareSubscription:
		switch sub.Status.State {
		case v1alpha1.StateActive:
			return supply{Seats: terms.Seats{Quantity: sub.Status.Quantity}}
		case v1alpha1.StateCancelled, v1alpha1.StateExpired:
			return ended
		}
	case *v1alpha1.MarketplaceSubscription:
		switch sub.Status.State {
		case v1alpha1.StateSubscribed:
			return supply{Seats: terms.Seats{Quantity: sub.Status.Quantity, Unlimited: sub.Status.Quantity == 0}}
		case v1alpha1.StateSuspended: // who has a seat keeps it, whatever becomes of the quantity meanwhile
			return supply{Seats: terms.Seats{Unlimited: true}, why: stalled(v1alpha1.ReasonSuspended, "%s is suspended, and seats are kept for now: pay for it, and set its spec.suspended to false", of)}
		case v1alpha1.StateUnsubscribed:
			return ended
		}
	}
	return supply{frozen: true, why: waiting(v1alpha1.ReasonSubscriptionNotReady, "%s does not run yet: seats are given out as soon as it does; its own status says what it waits for", of)}
}

// floor is what one look at a subscription finds: who wants a seat, who has one,
// and what the rules make of that.
type floor struct {
	of seatsOf
	supply
	assignments []v1alpha1.LicenseAssignment // without those that are being deleted
	seats       map[int64]*v1alpha1.Seat     // every entry in the ledger, by the number in its name
	reserved    map[int64]bool               // seats kept for assignments that a Takeover is about to make
	held        map[string]*v1alpha1.Seat    // what an assignment has, and keeps
	terms.Seating
}

// look looks at a subscription, in the cache or, if live, at the API server.
// Objects in the cache are shared: they are not to be changed.
//
// The order matters. A Takeover is done only after it made its assignments, and
// marks a seat only after it made the assignment for it. So who sees the seat
// marked, or the Takeover done, sees the assignment as well.
func (s *Seats) look(ctx context.Context, of seatsOf, live bool) (*floor, error) {
	from, which := client.Reader(s.Client), []client.ListOption{client.InNamespace(of.Namespace), client.MatchingFields{indexSubscription: of.key()}, client.UnsafeDisableDeepCopy}
	if live {
		from, which = s.Live, []client.ListOption{client.InNamespace(of.Namespace), client.MatchingFields{"spec.subscriptionRef.name": of.Name}}
	}
	var seats v1alpha1.SeatList
	if err := from.List(ctx, &seats, which...); err != nil {
		return nil, fmt.Errorf("reading the seats of %s: %w", of, err)
	}
	underWay := map[string]bool{}
	for i := range seats.Items {
		name := seats.Items[i].Spec.Takeover
		if _, known := underWay[name]; known || name == "" {
			continue
		}
		t := &v1alpha1.Takeover{}
		err := from.Get(ctx, client.ObjectKey{Namespace: of.Namespace, Name: name}, t)
		if client.IgnoreNotFound(err) != nil {
			return nil, fmt.Errorf("reading Takeover %s: %w", name, err)
		}
		to := t.Spec.MoveTo
		underWay[name] = err == nil && t.DeletionTimestamp.IsZero() && !isTakenOver(t) && to != nil && *to == of.SubscriptionReference
	}
	var assignments v1alpha1.LicenseAssignmentList
	if err := from.List(ctx, &assignments, which...); err != nil {
		return nil, fmt.Errorf("reading the assignments of %s: %w", of, err)
	}
	sup, err := supplyOf(ctx, from, of)
	if err != nil {
		return nil, err
	}
	f := &floor{of: of, supply: sup, seats: map[int64]*v1alpha1.Seat{}, reserved: map[int64]bool{}}
	for i := range assignments.Items {
		if a := &assignments.Items[i]; a.Spec.SubscriptionRef == of.SubscriptionReference && a.DeletionTimestamp.IsZero() {
			f.assignments = append(f.assignments, *a)
		}
	}
	for i := range seats.Items {
		if seat := &seats.Items[i]; seat.Spec.SubscriptionRef == of.SubscriptionReference && seat.DeletionTimestamp.IsZero() {
			if number, ok := of.number(seat.Name); ok {
				f.seats[number] = seat
			}
		}
	}
	f.decide(underWay)
	return f, nil
}

// decide asks the rules, and notes who keeps what. A seat is its assignment's
// only if that is for the same user: another may have been created under the
// same name.
func (f *floor) decide(underWay map[string]bool) {
	users := map[string]v1alpha1.User{}
	var wanted []terms.Waiting
	for i := range f.assignments {
		a := &f.assignments[i]
		users[a.Name] = a.Spec.User
		wanted = append(wanted, terms.Waiting{Name: a.Name, User: string(a.Spec.User), Created: a.CreationTimestamp.Time})
	}
	var taken []terms.Seated
	var reserved []terms.Reserved
	for _, number := range sorted(f.seats) {
		seat := f.seats[number]
		switch ours := users[seat.Spec.Assignment] == seat.Spec.User; {
		case seat.Spec.Number != number: // its name counts, because that is what there is once
			taken = append(taken, terms.Seated{Number: number})
		case ours:
			taken = append(taken, terms.Seated{Number: number, Name: seat.Spec.Assignment})
		case underWay[seat.Spec.Takeover]:
			reserved = append(reserved, terms.Reserved{Number: number, User: string(seat.Spec.User)})
			f.reserved[number] = true
		default:
			taken = append(taken, terms.Seated{Number: number}) // nobody's
		}
	}
	if !f.frozen {
		f.Seating = f.Seat(wanted, taken, reserved)
	}
	if f.why != nil {
		f.Grant = nil
	}
	released := map[int64]bool{}
	for _, r := range f.Release {
		released[r.Number] = true
	}
	f.held = map[string]*v1alpha1.Seat{}
	for _, t := range taken {
		if t.Name != "" && !released[t.Number] && f.held[t.Name] == nil {
			f.held[t.Name] = f.seats[t.Number]
		}
	}
}

// take puts on record that a seat is taken. If somebody else was faster it
// returns errLater.
func (s *Seats) take(ctx context.Context, of seatsOf, number int64, user v1alpha1.User, assignment, takeover string, now time.Time) (*v1alpha1.Seat, error) {
	seat := &v1alpha1.Seat{
		ObjectMeta: metav1.ObjectMeta{Namespace: of.Namespace, Name: of.seat(number)},
		Spec: v1alpha1.SeatSpec{
			SubscriptionRef: of.SubscriptionReference, Number: number, User: user,
			Assignment: assignment, Takeover: takeover, At: metav1.NewTime(now),
		},
	}
	err := s.Client.Create(ctx, seat)
	switch {
	case apierrors.IsAlreadyExists(err):
		return nil, errLater
	case err != nil:
		return nil, fmt.Errorf("taking seat %d of %s: %w", number, of, err)
	}
	return seat, nil
}

// release gives a seat back. It is the very object that was looked at: if that
// has been given away again, or marked, since, release returns errLater.
func (s *Seats) release(ctx context.Context, seat *v1alpha1.Seat) error {
	err := s.Client.Delete(ctx, seat, client.Preconditions{UID: &seat.UID, ResourceVersion: &seat.ResourceVersion})
	switch {
	case apierrors.IsConflict(err):
		return errLater
	case client.IgnoreNotFound(err) != nil:
		return fmt.Errorf("releasing seat %s: %w", seat.Name, err)
	}
	return nil
}

// isTakenOver reports whether a Takeover is done.
func isTakenOver(t *v1alpha1.Takeover) bool {
	return meta.IsStatusConditionTrue(t.Status.Conditions, v1alpha1.ConditionReady)
}

// sorted are the keys of a map, the lowest first.
func sorted[K cmp.Ordered, V any](m map[K]V) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
