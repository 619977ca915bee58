package terms

import (
	"testing"
	"time"
)

func TestLinkAt(t *testing.T) {
	const noon = "2026-03-01T12:00:00Z"
	used := func(when string) Link { return Link{FirstDownloaded: at(when), Lifetime: DefaultLinkLifetime} }
	ends := func(l Link, when string) Link { l.Ends = at(when); return l }
	for name, tc := range map[string]struct {
		link  Link
		at    string
		open  bool
		until string // "": not foreseen
	}{
		"not downloaded, years later":     {Link{Lifetime: DefaultLinkLifetime}, "2036-01-01T00:00:00Z", true, ""},
		"at the first download":           {used(noon), noon, true, "2026-03-06T12:00:00Z"},
		"one second before it expires":    {used(noon), "2026-03-06T11:59:59Z", true, "2026-03-06T12:00:00Z"},
		"exactly when it expires":         {used(noon), "2026-03-06T12:00:00Z", false, "2026-03-06T12:00:00Z"},
		"another zone, one second before": {used(noon), "2026-03-06T13:59:59+02:00", true, "2026-03-06T12:00:00Z"},
		"another zone, at the end":        {used(noon), "2026-03-06T14:00:00+02:00", false, "2026-03-06T12:00:00Z"},
		"over a leap day":                 {used("2024-02-27T12:00:00Z"), "2024-03-03T11:59:59Z", true, "2024-03-03T12:00:00Z"},
		"over the end of a month":         {used("2026-02-27T12:00:00Z"), "2026-03-04T12:00:00Z", false, "2026-03-04T12:00:00Z"},
		"clock behind the download":       {used(noon), "2026-01-01T00:00:00Z", true, "2026-03-06T12:00:00Z"},
		"the subscription ends first":     {ends(used(noon), "2026-03-02T00:00:00Z"), "2026-03-02T00:00:00Z", false, "2026-03-02T00:00:00Z"},
		"the link ends first":             {ends(used(noon), "2026-04-01T00:00:00Z"), "2026-03-06T12:00:00Z", false, "2026-03-06T12:00:00Z"},
		"not downloaded, and it ended":    {ends(Link{Lifetime: DefaultLinkLifetime}, noon), noon, false, noon},
		"not downloaded, a second before": {ends(Link{Lifetime: DefaultLinkLifetime}, noon), "2026-03-01T11:59:59Z", true, noon},
	} {
		var until time.Time
		if tc.until != "" {
			until = at(tc.until)
		}
		if got := tc.link.At(at(tc.at)); got.Open != tc.open || !got.Until.Equal(until) {
			t.Errorf("%s: got %+v, want open %v until %q", name, got, tc.open, tc.until)
		}
	}
}
