package terms

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

const (
	jan1    = "2026-01-01T12:00:00Z"
	jan1of7 = "2027-01-01T12:00:00Z"
)

// life is that of a yearly subscription bought on 1 January 2026 that nothing
// has happened to yet, changed as wanted.
func life(change ...func(*Life)) Life {
	l := Life{Purchased: at(jan1), Term: Period{Start: at(jan1), End: at(jan1of7)}, Window: at("2026-01-08T12:00:00Z")}
	for _, f := range change {
		f(&l)
	}
	return l
}

func runs(start, end, window string) func(*Life) {
	return func(l *Life) {
		l.Term, l.Window = Period{Start: at(start)}, at(window)
		if end != "" {
			l.Term.End = at(end)
		}
	}
}

func link(first string, lifetime time.Duration) func(*Life) {
	return func(l *Life) { l.Link = Link{FirstDownloaded: at(first), Lifetime: lifetime} }
}

func migrates(lastKMS string, deployed bool) func(*Life) {
	return func(l *Life) {
		m := MigrationAt(at(lastKMS), deployed, l.Purchased)
		l.Migration = &m
	}
}

func TestAnnouncements(t *testing.T) {
	year := []string{
		"2026-01-01T12:00:00Z Issued",
		"2026-01-07T12:00:00Z WindowClosing before 2026-01-08T12:00:00Z",
		"2026-12-02T12:00:00Z TermEnding before 2026-12-25T12:00:00Z",
		"2026-12-25T12:00:00Z TermEnding before 2027-01-01T12:00:00Z",
	}
	with := func(i int, more ...string) []string { return slices.Insert(slices.Clone(year), i, more...) }
	for name, tc := range map[string]struct {
		life Life
		want []string
	}{
		"a year": {life(), year},
		"a second year": {life(runs(jan1of7, "2028-01-01T12:00:00Z", "2027-01-08T12:00:00Z")), []string{
			"2026-01-01T12:00:00Z Issued",
			"2027-01-01T12:00:00Z Renewed",
			"2027-01-07T12:00:00Z WindowClosing before 2027-01-08T12:00:00Z",
			"2027-12-02T12:00:00Z TermEnding before 2027-12-25T12:00:00Z",
			"2027-12-25T12:00:00Z TermEnding before 2028-01-01T12:00:00Z",
		}},
		"a month is warned of once": {life(runs(jan1, "2026-02-01T12:00:00Z", "2026-01-08T12:00:00Z")), []string{
			"2026-01-01T12:00:00Z Issued",
			"2026-01-07T12:00:00Z WindowClosing before 2026-01-08T12:00:00Z",
			"2026-01-25T12:00:00Z TermEnding before 2026-02-01T12:00:00Z",
		}},
		"a leap year's February": {life(runs("2028-01-31T12:00:00Z", "2028-02-29T12:00:00Z", "2028-02-07T12:00:00Z")), []string{
			"2026-01-01T12:00:00Z Issued",
			"2028-01-31T12:00:00Z Renewed",
			"2028-02-06T12:00:00Z WindowClosing before 2028-02-07T12:00:00Z",
			"2028-02-22T12:00:00Z TermEnding before 2028-02-29T12:00:00Z",
		}},
		"perpetual never ends": {life(runs(jan1, "", "2026-01-31T12:00:00Z")), []string{
			"2026-01-01T12:00:00Z Issued",
			"2026-01-30T12:00:00Z WindowClosing before 2026-01-31T12:00:00Z",
		}},
		"no window":                   {life(func(l *Life) { l.Window = l.Term.Start }), slices.Delete(slices.Clone(year), 1, 2)},
		"a second less than two days": {life(func(l *Life) { l.Window = l.Term.Start.Add(2*day - time.Second) }), slices.Delete(slices.Clone(year), 1, 2)},
		"a window of two days": {life(func(l *Life) { l.Window = l.Term.Start.Add(2 * day) }), slices.Replace(slices.Clone(year), 1, 2,
			"2026-01-02T12:00:00Z WindowClosing before 2026-01-03T12:00:00Z")},
		"a link that was used": {life(link("2026-02-01T00:00:00Z", DefaultLinkLifetime)),
			with(2, "2026-02-05T00:00:00Z LinkExpiring before 2026-02-06T00:00:00Z")},
		"a link of a day":          {life(link("2026-02-01T00:00:00Z", day)), year},
		"a link of less than two":  {life(link("2026-02-01T00:00:00Z", 2*day-time.Second)), year},
		"a link that was not used": {life(func(l *Life) { l.Link.Lifetime = DefaultLinkLifetime }), year},
		"a migration": {life(migrates(jan1, false)),
			with(2, "2026-05-31T12:00:00Z MigrationAtRisk before 2026-06-30T12:00:00Z", "2026-06-30T12:00:00Z MigrationLapsed")},
		"a migration that is done": {life(migrates(jan1, true)), year},
		"cancelled":                {life(func(l *Life) { l.Ended, l.EndedAt = Cancelled, at("2026-01-05T00:00:00Z") }), []string{"2026-01-05T00:00:00Z Cancelled"}},
		"expired":                  {life(func(l *Life) { l.Ended, l.EndedAt = Expired, l.Term.End }), []string{"2027-01-01T12:00:00Z Expired"}},
	} {
		var got []string
		for _, a := range tc.life.Announcements() {
			line := fmt.Sprint(a.At.Format(time.RFC3339), " ", a.Notice)
			if !a.Before.IsZero() {
				line += " before " + a.Before.Format(time.RFC3339)
			}
			got = append(got, line)
		}
		if !slices.Equal(got, tc.want) {
			t.Errorf("%s:\n got %q\nwant %q", name, got, tc.want)
		}
	}
}

func TestDue(t *testing.T) {
	const window = "2026-01-07T12:00:00Z" // closes a day later
	for name, tc := range map[string]struct {
		life       Life
		after, now string
		want       []Notice
		next       string
	}{
		"at the purchase":                 {life(), "2026-01-01T11:59:59Z", jan1, []Notice{Issued}, window},
		"the same again":                  {life(), jan1, jan1, nil, window},
		"one second before a warning":     {life(), jan1, "2026-01-07T11:59:59Z", nil, window},
		"exactly at it":                   {life(), jan1, window, []Notice{WindowClosing}, "2026-12-02T12:00:00Z"},
		"another zone, a second before":   {life(), jan1, "2026-01-07T13:59:59+02:00", nil, window},
		"another zone, at it":             {life(), jan1, "2026-01-07T14:00:00+02:00", []Notice{WindowClosing}, "2026-12-02T12:00:00Z"},
		"noticed already":                 {life(), window, "2026-01-07T12:00:01Z", nil, "2026-12-02T12:00:00Z"},
		"late, but still news":            {life(), jan1, "2026-01-08T11:59:59Z", []Notice{WindowClosing}, "2026-12-02T12:00:00Z"},
		"no news any more":                {life(), jan1, "2026-01-08T12:00:00Z", nil, "2026-12-02T12:00:00Z"},
		"30 days were slept through":      {life(), window, "2026-12-25T12:00:00Z", []Notice{TermEnding}, ""},
		"the whole year was slept":        {life(), "2026-01-01T11:59:59Z", "2026-12-31T00:00:00Z", []Notice{Issued, TermEnding}, ""},
		"the purchase is always news":     {life(), "2026-01-01T11:59:59Z", jan1of7, []Notice{Issued}, ""},
		"both of a migration, the latter": {life(migrates(jan1, false)), window, "2026-07-01T00:00:00Z", []Notice{MigrationMissed}, "2026-12-02T12:00:00Z"},
		"clock behind":                    {life(), jan1, "2025-01-01T00:00:00Z", nil, jan1},
		"cancelled":                       {life(func(l *Life) { l.Ended, l.EndedAt = Cancelled, at(window) }), jan1, jan1of7, []Notice{Cancelled}, ""},
		"cancelled, a clock behind":       {life(func(l *Life) { l.Ended, l.EndedAt = Cancelled, at(window) }), jan1, "2026-01-07T11:59:59Z", nil, window},
	} {
		var want time.Time
		if tc.next != "" {
			want = at(tc.next)
		}
		due, next := tc.life.Due(at(tc.after), at(tc.now))
		var got []Notice
		for _, a := range due {
			got = append(got, a.Notice)
		}
		if !slices.Equal(got, tc.want) || !next.Equal(want) {
			t.Errorf("%s: got %v, next %v; want %v, next %q", name, got, next, tc.want, tc.next)
		}
	}
}
