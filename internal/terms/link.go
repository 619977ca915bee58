package terms

import "time"

// DefaultLinkLifetime is how long a download link works after the first
// download (the rule of Microsoft's Partner Center).
const DefaultLinkLifetime = 5 * day

// Link is a download link of a subscription.
type Link struct {
	FirstDownloaded time.Time     // zero: not downloaded yet
	Lifetime        time.Duration // counted from the first download
	Ends            time.Time     // when the subscription ends, or ended, for good; zero: not foreseen
}

// LinkStatus is what holds for a link at an instant.
type LinkStatus struct {
	Open  bool
	Until time.Time // the first instant at which it no longer works; zero: not foreseen
}

// At says whether a link works at an instant. Before the first download only
// the end of the subscription ends it.
func (l Link) At(now time.Time) LinkStatus {
	until := l.Ends
	if !l.FirstDownloaded.IsZero() {
		until = Earliest(until, l.FirstDownloaded.Add(l.Lifetime))
	}
	return LinkStatus{Open: until.IsZero() || now.Before(until), Until: until}
}
