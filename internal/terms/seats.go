package terms

import (
	"cmp"
	"slices"
	"time"
)

// Seats is how many seats a subscription has.
type Seats struct {
	Quantity  int64
	Unlimited bool // sold to everybody at one price, without a quantity
}

// Has reports whether there is a seat of a number, from 1.
func (s Seats) Has(number int64) bool { return number >= 1 && (s.Unlimited || number <= s.Quantity) }

// Seated is somebody who has a seat.
type Seated struct {
	Number int64
	Name   string // of his assignment
}

// Reserved is a seat that is kept for a user whose assignment is still to come.
type Reserved struct {
	Number int64
	User   string
}

// Waiting is an assignment for which a seat is wanted.
type Waiting struct {
	Name    string
	User    string
	Created time.Time
}

// compare puts the oldest assignment first. Instants of the API server are whole
// seconds, so names decide between those of one second.
func (w Waiting) compare(other Waiting) int {
	return cmp.Or(w.Created.Compare(other.Created), cmp.Compare(w.Name, other.Name))
}

// Seating is who gets a seat and who loses one.
type Seating struct {
	Grant   []Seated // the oldest assignment first, each with the lowest number that is free
	Release []Seated
	Queue   []string          // the names of those who go on waiting, the oldest first
	Twice   map[string]string // assignments of users who have another one already, and that one
	Kept    map[string]int64  // assignments of users for whom a seat is reserved, and its number
	Free    int64             // seats that stay free; of no meaning if they are unlimited
}

// Seat says who of those who want a seat gets one. Who has one keeps it, as long
// as there is a seat of its number and an assignment for it. Seats that became
// too many are taken back from the highest number down, and who had them waits
// again, by age. A user has one seat however often he is assigned: the
// assignment that has it counts, or else the oldest.
//
// Reserved seats are given to nobody, and a user for whom one is reserved gets no
// other.
func (s Seats) Seat(assignments []Waiting, taken []Seated, reserved []Reserved) Seating {
	all := slices.Clone(assignments)
	slices.SortFunc(all, Waiting.compare)
	known := map[string]Waiting{}
	for _, a := range all {
		known[a.Name] = a
	}
	out := Seating{Twice: map[string]string{}, Kept: map[string]int64{}}
	used, seated := map[int64]bool{}, map[string]bool{}
	of := map[string]string{}  // the assignment that counts, by user
	kept := map[string]int64{} // by user
	for _, r := range reserved {
		used[r.Number] = true
		if s.Has(r.Number) {
			kept[r.User] = r.Number
		}
	}
	byNumber := slices.Clone(taken)
	slices.SortFunc(byNumber, func(a, b Seated) int { return cmp.Compare(a.Number, b.Number) })
	for _, t := range byNumber {
		a, there := known[t.Name]
		if !there || !s.Has(t.Number) || of[a.User] != "" {
			out.Release = append(out.Release, t)
			continue
		}
		used[t.Number], seated[t.Name], of[a.User] = true, true, t.Name
	}
	number := int64(1)
	for _, a := range all {
		if seated[a.Name] {
			continue
		}
		if other := of[a.User]; other != "" {
			out.Twice[a.Name] = other
			continue
		}
		of[a.User] = a.Name
		if seat := kept[a.User]; seat != 0 {
			out.Kept[a.Name] = seat
			continue
		}
		for used[number] {
			number++
		}
		if !s.Has(number) {
			out.Queue = append(out.Queue, a.Name)
			continue
		}
		used[number] = true
		out.Grant = append(out.Grant, Seated{Number: number, Name: a.Name})
	}
	if !s.Unlimited {
		var inside int64
		for n := range used {
			if s.Has(n) {
				inside++
			}
		}
		out.Free = max(0, s.Quantity-inside)
	}
	return out
}
