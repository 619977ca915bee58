package terms

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// waits is an assignment of a user, made at a second of a minute.
func waits(name, user string, second int) Waiting {
	return Waiting{Name: name, User: user, Created: time.Date(2026, 1, 31, 12, 0, second, 0, time.UTC)}
}

// tellSeating says who gets, loses and waits, and what stays free.
func tellSeating(s Seating) string {
	var lines []string
	list := func(what string, seats []Seated) {
		if len(seats) > 0 {
			for _, t := range seats {
				what += fmt.Sprintf(" %d:%s", t.Number, t.Name)
			}
			lines = append(lines, what)
		}
	}
	list("grant", s.Grant)
	list("release", s.Release)
	if len(s.Queue) > 0 {
		lines = append(lines, "queue "+strings.Join(s.Queue, " "))
	}
	if len(s.Twice) > 0 {
		lines = append(lines, "twice "+strings.TrimPrefix(fmt.Sprint(s.Twice), "map"))
	}
	if len(s.Kept) > 0 {
		lines = append(lines, "kept "+strings.TrimPrefix(fmt.Sprint(s.Kept), "map"))
	}
	return strings.Join(append(lines, fmt.Sprintf("free %d", s.Free)), ", ")
}

func TestSeat(t *testing.T) {
	ada, bob, eve := waits("a", "ada", 1), waits("b", "bob", 2), waits("e", "eve", 3)
	all := []Waiting{eve, bob, ada}
	cet := ada
	cet.Created = bob.Created.Add(-time.Second).In(time.FixedZone("", 7200))
	leap := Waiting{Name: "l", User: "leo", Created: at("2028-02-29T23:59:59Z")}
	march := Waiting{Name: "k", User: "kim", Created: at("2028-03-01T00:00:00Z")}
	for name, tc := range map[string]struct {
		seats       Seats
		assignments []Waiting
		taken       []Seated
		reserved    []Reserved
		want        string
	}{
		"nobody and nothing":                   {Seats{}, nil, nil, nil, "free 0"},
		"nobody":                               {Seats{Quantity: 3}, nil, nil, nil, "free 3"},
		"no seats":                             {Seats{}, all, nil, nil, "queue a b e, free 0"},
		"enough for all":                       {Seats{Quantity: 4}, all, nil, nil, "grant 1:a 2:b 3:e, free 1"},
		"as many as there are":                 {Seats{Quantity: 3}, all, nil, nil, "grant 1:a 2:b 3:e, free 0"},
		"one too few":                          {Seats{Quantity: 2}, all, nil, nil, "grant 1:a 2:b, queue e, free 0"},
		"no number of seats":                   {Seats{Unlimited: true}, all, []Seated{{7, "b"}}, nil, "grant 1:a 2:e, free 0"},
		"a second older":                       {Seats{Quantity: 1}, []Waiting{bob, ada}, nil, nil, "grant 1:a, queue b, free 0"},
		"of the same second, by name":          {Seats{Quantity: 1}, []Waiting{waits("z", "zoe", 1), waits("y", "yan", 1)}, nil, nil, "grant 1:y, queue z, free 0"},
		"older in another time zone":           {Seats{Quantity: 1}, []Waiting{bob, cet}, nil, nil, "grant 1:a, queue b, free 0"},
		"older by the end of a leap day":       {Seats{Quantity: 1}, []Waiting{march, leap}, nil, nil, "grant 1:l, queue k, free 0"},
		"who sits stays, though younger":       {Seats{Quantity: 1}, all, []Seated{{1, "e"}}, nil, "queue a b, free 0"},
		"who sits stays where he is":           {Seats{Quantity: 3}, []Waiting{ada, eve}, []Seated{{3, "e"}}, nil, "grant 1:a, free 1"},
		"a gap is filled":                      {Seats{Quantity: 3}, all, []Seated{{3, "e"}, {1, "a"}}, nil, "grant 2:b, free 0"},
		"an assignment was deleted":            {Seats{Quantity: 1}, []Waiting{bob}, []Seated{{1, "a"}}, nil, "grant 1:b, release 1:a, free 0"},
		"the last one was deleted":             {Seats{Quantity: 1}, nil, []Seated{{1, "a"}}, nil, "release 1:a, free 1"},
		"fewer seats, the highest goes":        {Seats{Quantity: 2}, all, []Seated{{3, "a"}, {2, "b"}, {1, "e"}}, nil, "release 3:a, queue a, free 0"},
		"fewer seats, and there is a gap":      {Seats{Quantity: 2}, all, []Seated{{3, "e"}, {1, "a"}}, nil, "grant 2:b, release 3:e, queue e, free 0"},
		"fewer seats, the gap is his":          {Seats{Quantity: 2}, []Waiting{ada, eve}, []Seated{{3, "e"}, {1, "a"}}, nil, "grant 2:e, release 3:e, free 0"},
		"no seats any more":                    {Seats{}, all, []Seated{{1, "a"}, {2, "b"}}, nil, "release 1:a 2:b, queue a b e, free 0"},
		"fewer seats than reserved":            {Seats{Quantity: 1}, nil, nil, []Reserved{{1, "x"}, {2, "y"}}, "free 0"},
		"numbers that are none":                {Seats{Quantity: 3}, []Waiting{ada, bob}, []Seated{{0, "a"}, {-1, "b"}}, nil, "grant 1:a 2:b, release -1:b 0:a, free 1"},
		"a user twice, both wait":              {Seats{Quantity: 3}, []Waiting{waits("z", "ada", 0), ada}, nil, nil, "grant 1:z, twice [a:z], free 2"},
		"a user twice, both in the queue":      {Seats{}, []Waiting{waits("z", "ada", 0), ada}, nil, nil, "queue z, twice [a:z], free 0"},
		"a user twice, the younger sits":       {Seats{Quantity: 3}, []Waiting{waits("z", "ada", 0), ada}, []Seated{{1, "a"}}, nil, "twice [z:a], free 2"},
		"a user twice, both sit":               {Seats{Quantity: 3}, []Waiting{waits("z", "ada", 0), ada}, []Seated{{2, "z"}, {1, "a"}}, nil, "release 2:z, twice [z:a], free 2"},
		"a user twice, who sat was deleted":    {Seats{Quantity: 3}, []Waiting{ada}, []Seated{{2, "z"}}, nil, "grant 1:a, release 2:z, free 2"},
		"a user twice, who sits loses his":     {Seats{Quantity: 1}, []Waiting{waits("z", "ada", 0), ada}, []Seated{{2, "a"}}, nil, "grant 1:z, release 2:a, twice [a:z], free 0"},
		"a user three times":                   {Seats{Quantity: 3}, []Waiting{ada, waits("y", "ada", 4), waits("z", "ada", 3), bob}, nil, nil, "grant 1:a 2:b, twice [y:a z:a], free 1"},
		"an assignment sits twice":             {Seats{Quantity: 3}, []Waiting{ada}, []Seated{{3, "a"}, {2, "a"}}, nil, "release 3:a, free 2"},
		"reserved seats are not given":         {Seats{Quantity: 4}, all, nil, []Reserved{{1, "x"}, {3, "y"}}, "grant 2:a 4:b, queue e, free 0"},
		"reserved seats are not free":          {Seats{Quantity: 4}, nil, nil, []Reserved{{4, "x"}}, "free 3"},
		"a user for whom one is reserved":      {Seats{Quantity: 4}, all, nil, []Reserved{{3, "ada"}}, "grant 1:b 2:e, kept [a:3], free 1"},
		"and whom others wait behind":          {Seats{Quantity: 1}, all, nil, []Reserved{{1, "ada"}}, "queue b e, kept [a:1], free 0"},
		"and who is assigned twice":            {Seats{Quantity: 4}, []Waiting{ada, waits("z", "ada", 3)}, nil, []Reserved{{2, "ada"}}, "twice [z:a], kept [a:2], free 3"},
		"and that seat is not there any more":  {Seats{Quantity: 2}, []Waiting{ada}, nil, []Reserved{{3, "ada"}}, "grant 1:a, free 1"},
		"and who sits already":                 {Seats{Quantity: 4}, []Waiting{ada, waits("z", "ada", 3)}, []Seated{{3, "z"}}, []Reserved{{2, "ada"}}, "twice [a:z], free 2"},
		"a reserved seat's assignment is made": {Seats{Quantity: 2}, []Waiting{ada, waits("x", "xie", 9)}, []Seated{{2, "x"}}, nil, "grant 1:a, free 0"},
	} {
		given, takenBefore := slices.Clone(tc.assignments), slices.Clone(tc.taken)
		if got := tellSeating(tc.seats.Seat(tc.assignments, tc.taken, tc.reserved)); got != tc.want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, tc.want)
		}
		if !slices.Equal(given, tc.assignments) || !slices.Equal(takenBefore, tc.taken) {
			t.Errorf("%s: what was given was put in another order", name)
		}
	}
}

func TestHasSeat(t *testing.T) {
	for number, want := range map[int64][2]bool{-1: {}, 0: {}, 1: {true, true}, 2: {true, true}, 3: {false, true}} {
		if got := [2]bool{Seats{Quantity: 2}.Has(number), Seats{Unlimited: true}.Has(number)}; got != want {
			t.Errorf("%d: %v", number, got)
		}
	}
}

func TestOldestFirst(t *testing.T) {
	a, b, z := waits("a", "ada", 1), waits("b", "bob", 1), waits("z", "", 0)
	if a.compare(b) >= 0 || b.compare(a) <= 0 || a.compare(a) != 0 || z.compare(a) >= 0 || a.compare(z) <= 0 {
		t.Error("the oldest comes first, and by name of one second")
	}
}

// Whoever wants seats, and whatever was given before: there are never more
// seated than seats, who has a valid seat keeps it, no user sits twice, no seat
// is given twice, free ones are given to the oldest, and once all was carried
// out there is nothing left to do.
func TestAnySeating(t *testing.T) {
	rapidChecks(t, 10_000)
	reached := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		s := Seats{Quantity: rapid.Int64Range(0, 6).Draw(t, "quantity"), Unlimited: rapid.IntRange(0, 9).Draw(t, "unlimited") == 0}
		assignments := map[string]Waiting{}
		var list []Waiting
		for i := range rapid.IntRange(0, 9).Draw(t, "assignments") {
			w := waits(fmt.Sprint("a", i), fmt.Sprint("u", rapid.IntRange(0, 7).Draw(t, "user")), rapid.IntRange(0, 5).Draw(t, "second"))
			assignments[w.Name], list = w, append(list, w)
		}
		var taken []Seated
		var reserved []Reserved
		for n := range int64(9) { // one object a number
			name := fmt.Sprint("a", rapid.IntRange(0, 11).Draw(t, "holder"))
			switch rapid.IntRange(0, 3).Draw(t, "sort") {
			case 0:
				taken = append(taken, Seated{n + 1, name})
			case 1:
				reserved = append(reserved, Reserved{n + 1, fmt.Sprint("u", rapid.IntRange(0, 11).Draw(t, "user to come"))})
			}
		}
		given := rapid.Permutation(list).Draw(t, "list")
		out := s.Seat(given, rapid.Permutation(taken).Draw(t, "taken"), reserved)
		fail := func(format string, args ...any) {
			t.Helper()
			t.Fatalf("%+v %+v\ntaken %v, reserved %v\n%+v\n%s", s, given, taken, reserved, out, fmt.Sprintf(format, args...))
		}

		var after []Seated
		for _, seat := range taken {
			if !slices.Contains(out.Release, seat) {
				after = append(after, seat)
			}
		}
		if len(after)+len(out.Release) != len(taken) {
			fail("it releases what is not taken, or something twice")
		}
		kept := len(after)
		after = append(after, out.Grant...)
		numbers, users, names := map[int64]bool{}, map[string]bool{}, map[string]bool{}
		promised := map[string]int64{}
		for _, r := range reserved {
			numbers[r.Number] = true
			if s.Has(r.Number) {
				promised[r.User] = r.Number
			}
		}
		for _, seat := range after {
			w, there := assignments[seat.Name]
			if !there || !s.Has(seat.Number) || numbers[seat.Number] || users[w.User] || names[seat.Name] {
				fail("%v sits where he must not", seat)
			}
			numbers[seat.Number], users[w.User], names[seat.Name] = true, true, true
		}
		if !s.Unlimited && int64(len(after)) > s.Quantity {
			fail("%d are seated", len(after))
		}
		for _, seat := range out.Release { // only for a reason
			w, there := assignments[seat.Name]
			lower := slices.ContainsFunc(after[:kept], func(k Seated) bool {
				return k.Number < seat.Number && (k.Name == seat.Name || assignments[k.Name].User == w.User)
			})
			if there && s.Has(seat.Number) && !lower {
				fail("%v loses a valid seat", seat)
			}
		}
		// Everybody is somewhere, once.
		places := map[string]int{}
		for name := range names {
			places[name]++
		}
		for _, name := range out.Queue {
			places[name]++
			if users[assignments[name].User] {
				fail("%s waits although his user sits", name)
			}
			users[assignments[name].User] = true // no user waits twice either
		}
		for name, other := range out.Twice {
			places[name]++
			if assignments[name].User != assignments[other].User || out.Twice[other] != "" {
				fail("%s is not %s again", name, other)
			}
			if !slices.ContainsFunc(after[:kept], func(k Seated) bool { return k.Name == other }) && assignments[name].compare(assignments[other]) < 0 {
				fail("%s is older than %s", name, other)
			}
		}
		for name, number := range out.Kept {
			places[name]++
			if user := assignments[name].User; users[user] || promised[user] == 0 || !numbers[number] {
				fail("no seat is kept for %s", name)
			}
			users[assignments[name].User] = true
		}
		for name := range assignments {
			if places[name] != 1 {
				fail("%s is in %d places", name, places[name])
			}
		}
		for _, seat := range out.Grant {
			if promised[assignments[seat.Name].User] != 0 {
				fail("%v gets a seat, and one is reserved for his user", seat)
			}
		}
		// The oldest first, and the lowest number first.
		order := make([]string, 0, len(out.Grant)+len(out.Queue))
		for i, g := range out.Grant {
			order = append(order, g.Name)
			if i > 0 && g.Number <= out.Grant[i-1].Number {
				fail("%v is given after %v", g, out.Grant[i-1])
			}
			for n := int64(1); n < g.Number; n++ {
				if !numbers[n] {
					fail("%v is given, but %d is free", g, n)
				}
			}
		}
		order = append(order, out.Queue...)
		if !slices.IsSortedFunc(order, func(a, b string) int { return assignments[a].compare(assignments[b]) }) {
			fail("not the oldest first: %v", order)
		}
		var free int64
		for n := int64(1); n <= s.Quantity; n++ {
			if !numbers[n] {
				free++
			}
		}
		if s.Unlimited && (out.Free != 0 || len(out.Queue) > 0) || !s.Unlimited && (out.Free != free || free > 0 && len(out.Queue) > 0) {
			fail("%d are free", free)
		}
		again := s.Seat(list, after, reserved)
		if len(again.Grant)+len(again.Release) > 0 || !slices.Equal(again.Queue, out.Queue) || again.Free != out.Free {
			fail("and then again %+v", again)
		}
		for what, n := range map[string]int{"granted": len(out.Grant), "released": len(out.Release), "queued": len(out.Queue), "twice": len(out.Twice), "kept": kept, "reserved for": len(out.Kept), "free": int(out.Free)} {
			if n > 0 {
				reached[what]++
			}
		}
	})
	t.Log(reached)
	for _, want := range []string{"granted", "released", "queued", "twice", "kept", "reserved for", "free"} {
		if !t.Failed() && reached[want] < 500 {
			t.Errorf("only %d reached %q: they try too little", reached[want], want)
		}
	}
}
