package terms

import (
	"slices"
	"time"
)

// Notice is something about a subscription that a person wants to be told.
type Notice string

// What a Notice can be.
const (
	Issued          Notice = "Issued"
	WindowClosing   Notice = "WindowClosing"   // in 24 hours
	LinkExpiring    Notice = "LinkExpiring"    // in 24 hours
	TermEnding      Notice = "TermEnding"      // in 30 days, and again in 7
	Renewed         Notice = "Renewed"         // into a new term
	Cancelled       Notice = "Cancelled"       // for good
	Expired         Notice = "Expired"         // for good
	MigrationWarned Notice = "MigrationAtRisk" // see MigrationAt
	MigrationMissed Notice = "MigrationLapsed" // see MigrationAt
)

// Life is what notices are about: what happened to a subscription and what is
// going to.
type Life struct {
	Purchased time.Time
	Term      Period // that is running
	Window    time.Time
	Link      Link
	Migration *MigrationStatus // nil: none is going on
	Ended     Notice           // Cancelled, Expired or empty
	EndedAt   time.Time
}

// Announcement is a notice and when it is due.
type Announcement struct {
	Notice Notice
	At     time.Time
	Before time.Time // from then on it is no news any more; zero: it stays news
	Of     string    // whom it is about, if several can be told of at one instant
}

// Announcements lists all notices of the running term, whether they are due
// already or not, in the order of their instants. What is announced only a
// short time after it became foreseeable is not announced: a warning 30 days
// ahead makes no sense in a term of a month.
func (l Life) Announcements() []Announcement {
	if l.Ended != "" {
		return []Announcement{{Notice: l.Ended, At: l.EndedAt}}
	}
	all := []Announcement{{Notice: Issued, At: l.Purchased}}
	if l.Term.Start.After(l.Purchased) {
		all = append(all, Announcement{Notice: Renewed, At: l.Term.Start})
	}
	ahead := func(n Notice, from, event time.Time, lead time.Duration, before time.Time) {
		if !from.IsZero() && !event.IsZero() && event.Sub(from) >= 2*lead {
			all = append(all, Announcement{Notice: n, At: event.Add(-lead), Before: before})
		}
	}
	ahead(WindowClosing, l.Term.Start, l.Window, day, l.Window)
	ahead(TermEnding, l.Term.Start, l.Term.End, 30*day, l.Term.End.Add(-7*day))
	ahead(TermEnding, l.Term.Start, l.Term.End, 7*day, l.Term.End)
	if first := l.Link.FirstDownloaded; !first.IsZero() {
		expires := l.Link.At(first).Until
		ahead(LinkExpiring, first, expires, day, expires)
	}
	if m := l.Migration; m != nil && m.State != MigrationDone {
		all = append(all, Announcement{Notice: MigrationWarned, At: m.AtRisk, Before: m.Before}, Announcement{Notice: MigrationMissed, At: m.Before})
	}
	slices.SortStableFunc(all, func(a, b Announcement) int { return a.At.Compare(b.At) })
	return all
}

// Due returns the announcements of a life that have become due after one
// instant and up to another, and are still news then, and when the next one
// will be due; zero: never, as far as is known.
func (l Life) Due(after, now time.Time) (due []Announcement, next time.Time) {
	return dueOf(l.Announcements(), after, now)
}

func dueOf(all []Announcement, after, now time.Time) (due []Announcement, next time.Time) {
	for _, a := range all {
		switch {
		case a.At.After(now):
			next = Earliest(next, a.At)
		case a.At.After(after) && (a.Before.IsZero() || now.Before(a.Before)):
			due = append(due, a)
		}
	}
	return due, next
}
