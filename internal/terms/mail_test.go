package terms

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestMailNext(t *testing.T) {
	const noon = "2028-02-28T12:00:00Z"
	tried := func(attempts int64) Mail { return Mail{Queued: at(noon), Attempts: attempts, Last: at(noon)} }
	for name, tc := range map[string]struct {
		mail Mail
		now  string
		next string
	}{
		"never tried":                        {Mail{Queued: at(noon)}, noon, noon},
		"never tried, long ago":              {Mail{Queued: at(noon)}, "2028-05-01T00:00:00Z", noon},
		"after the first":                    {tried(1), noon, "2028-02-28T12:01:00Z"},
		"one second before the next":         {tried(1), "2028-02-28T12:00:59Z", "2028-02-28T12:01:00Z"},
		"exactly at the next":                {tried(1), "2028-02-28T12:01:00Z", "2028-02-28T12:01:00Z"},
		"after the second":                   {tried(2), noon, "2028-02-28T12:02:00Z"},
		"after the sixth":                    {tried(6), noon, "2028-02-28T12:32:00Z"},
		"after the seventh":                  {tried(7), noon, "2028-02-28T13:00:00Z"},
		"after the hundredth":                {tried(100), noon, "2028-02-28T13:00:00Z"},
		"after more than there are":          {tried(1 << 62), noon, "2028-02-28T13:00:00Z"},
		"in another zone":                    {tried(1), "2028-02-28T14:00:59+02:00", "2028-02-28T12:01:00Z"},
		"clock set back by a day":            {Mail{Attempts: 9, Last: at("2028-02-29T12:00:00Z")}, noon, noon},
		"into a leap day":                    {Mail{Attempts: 9, Last: at("2028-02-28T23:30:00Z")}, "2028-02-28T23:31:00Z", "2028-02-29T00:30:00Z"},
		"over the end of a month":            {Mail{Attempts: 9, Last: at("2026-04-30T23:30:00Z")}, "2026-04-30T23:31:00Z", "2026-05-01T00:30:00Z"},
		"clock a little behind":              {tried(1), "2028-02-28T11:59:30Z", "2028-02-28T12:01:00Z"},
		"clock behind by just the pause":     {tried(1), "2028-02-28T11:59:00Z", "2028-02-28T12:01:00Z"},
		"clock set back by more than that":   {tried(1), "2028-02-28T11:58:59Z", "2028-02-28T11:58:59Z"},
		"clock behind the queue, never sent": {Mail{Queued: at(noon)}, "2028-02-27T12:00:00Z", noon},
	} {
		if got := tc.mail.Next(at(tc.now)); !got.Equal(at(tc.next)) {
			t.Errorf("%s: next at %s, want %s", name, got.Format(time.RFC3339), tc.next)
		}
	}
}

func TestMailTooOld(t *testing.T) {
	m := Mail{Queued: at("2028-02-27T12:00:00Z")}
	for name, tc := range map[string]struct {
		mail Mail
		now  string
		want bool
	}{
		"just queued":                  {m, "2028-02-27T12:00:00Z", false},
		"one second before, leap year": {m, "2028-03-03T11:59:59Z", false},
		"exactly at":                   {m, "2028-03-03T12:00:00Z", true},
		"one second before, zone":      {m, "2028-03-03T13:59:59+02:00", false},
		"exactly at, zone":             {m, "2028-03-03T14:00:00+02:00", true},
		"clock behind":                 {m, "2027-01-01T00:00:00Z", false},
		"over the end of a month":      {Mail{Queued: at("2026-01-29T00:00:00Z")}, "2026-02-03T00:00:00Z", true},
	} {
		if got := tc.mail.TooOld(at(tc.now)); got != tc.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestMailDeletion(t *testing.T) {
	queued, tried, sent := at("2026-01-31T12:00:00Z"), at("2026-02-01T12:00:00Z"), at("2028-02-01T14:00:00+02:00")
	for name, tc := range map[string]struct {
		mail              Mail
		settled, deletion string // "": never
	}{
		"nothing":                      {Mail{}, "", ""},
		"queued":                       {Mail{Queued: queued}, "", ""},
		"tried":                        {Mail{Queued: queued, Attempts: 3, Last: tried}, "", ""},
		"sent, over a leap day, zone":  {Mail{Queued: queued, Attempts: 3, Last: tried, Sent: sent}, "2028-02-01T12:00:00Z", "2028-03-02T12:00:00Z"},
		"refused, over a month's end":  {Mail{Queued: queued, Attempts: 1, Last: tried, Undeliverable: true}, "2026-02-01T12:00:00Z", "2026-03-03T12:00:00Z"},
		"never tried, as there was no": {Mail{Queued: queued, Undeliverable: true}, "2026-02-05T12:00:00Z", "2026-03-07T12:00:00Z"},
	} {
		for what, pair := range map[string][2]string{"settled": {stampOf(tc.mail.Settled()), tc.settled}, "deletion": {stampOf(tc.mail.Deletion()), tc.deletion}} {
			if pair[0] != pair[1] {
				t.Errorf("%s: %s at %q, want %q", name, what, pair[0], pair[1])
			}
		}
	}
}

func stampOf(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// A mail that is never taken is tried over five days, and not much more often
// than mail servers do.
func TestMailAttempts(t *testing.T) {
	m := Mail{Queued: at("2026-01-01T00:00:00Z")}
	now := m.Queued
	for !m.TooOld(now) {
		m.Attempts, m.Last = m.Attempts+1, now
		now = m.Next(now)
	}
	if m.Attempts != 125 || now.Sub(m.Queued) > MailTime+longestMailPause {
		t.Errorf("%d attempts, the last at %s", m.Attempts, m.Last)
	}
}

// Whoever adds a notice says whether it goes by mail.
func TestEveryNoticeIsMailedOrNot(t *testing.T) {
	notMailed := []Notice{
		Issued, LinkExpiring, Cancelled, Expired, MigrationWarned, MigrationMissed, // of software, which names nobody
		NotRecognised, TooManyAttempts, // whose mail address is anybody's
		PartnerRemoved, // by the customer himself
	}
	declared := map[Notice]bool{}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), f, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok {
				return true
			}
			if typ, ok := spec.Type.(*ast.Ident); !ok || typ.Name != "Notice" {
				return true
			}
			for _, v := range spec.Values {
				value, err := strconv.Unquote(v.(*ast.BasicLit).Value)
				if err != nil {
					t.Fatal(err)
				}
				declared[Notice(value)] = true
			}
			return true
		})
	}
	decided := slices.Sorted(slices.Values(append(notMailed, MailedNotices()...)))
	if all := slices.Sorted(maps.Keys(declared)); len(all) < 20 || !slices.Equal(all, decided) {
		t.Errorf("there are the notices %v, and it is decided about %v", all, decided)
	}
}
