package terms

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func inVain(instants ...string) Attempts {
	var a Attempts
	for _, s := range instants {
		a = append(a, at(s))
	}
	return a
}

// fiveBy are five attempts, a minute apart, the last at an instant.
func fiveBy(last string) Attempts {
	var a Attempts
	for ago := range 5 {
		a = append(a, at(last).Add(-time.Duration(ago)*time.Minute))
	}
	return a
}

func TestAttempts(t *testing.T) {
	five := fiveBy("2026-03-01T12:04:00Z") // from 12:00 on
	for name, tc := range map[string]struct {
		attempts Attempts
		now      string
		current  int
		blocked  string // empty: not
	}{
		"nobody tried":                            {nil, "2026-03-01T12:00:00Z", 0, ""},
		"four attempts":                           {five[:4], "2026-03-01T12:04:00Z", 4, ""},
		"five attempts":                           {five, "2026-03-01T12:04:00Z", 5, "2026-03-02T12:00:00Z"},
		"in another order":                        {Attempts{five[2], five[4], five[0], five[3], five[1]}, "2026-03-01T12:04:00Z", 5, "2026-03-02T12:00:00Z"},
		"one second before the oldest is over":    {five, "2026-03-02T11:59:59Z", 5, "2026-03-02T12:00:00Z"},
		"exactly when the oldest is over":         {five, "2026-03-02T12:00:00Z", 4, ""},
		"one second after that":                   {five, "2026-03-02T12:00:01Z", 4, ""},
		"one second before the latest is over":    {five, "2026-03-02T12:03:59Z", 1, ""},
		"exactly when the latest is over":         {five, "2026-03-02T12:04:00Z", 0, ""},
		"the same instant in another time zone":   {five, "2026-03-02T17:29:59+05:30", 5, "2026-03-02T12:00:00Z"},
		"and a second later":                      {five, "2026-03-02T17:30:00+05:30", 4, ""},
		"tried in another time zone":              {inVain("2026-03-01T14:00:00+02:00", "2026-03-01T07:00:00-05:00", "2026-03-01T12:00:00Z", "2026-03-01T12:00:00Z", "2026-03-01T12:00:00Z"), "2026-03-02T11:59:59Z", 5, "2026-03-02T12:00:00Z"},
		"all five in one second":                  {inVain("2026-03-01T12:00:00Z", "2026-03-01T12:00:00Z", "2026-03-01T12:00:00Z", "2026-03-01T12:00:00Z", "2026-03-01T12:00:00Z"), "2026-03-01T12:00:00Z", 5, "2026-03-02T12:00:00Z"},
		"over the leap day":                       {fiveBy("2024-02-28T12:04:00Z"), "2024-02-29T11:59:59Z", 5, "2024-02-29T12:00:00Z"},
		"on the leap day":                         {fiveBy("2024-02-29T12:04:00Z"), "2024-03-01T12:00:00Z", 4, ""},
		"at the end of a month":                   {fiveBy("2026-02-28T12:04:00Z"), "2026-03-01T11:59:59Z", 5, "2026-03-01T12:00:00Z"},
		"at the end of a year":                    {fiveBy("2026-12-31T23:59:59Z"), "2027-01-01T00:00:00Z", 5, "2027-01-01T23:55:59Z"},
		"six, of which the oldest is over":        {append(fiveBy("2026-03-01T12:04:00Z"), at("2026-02-28T13:00:00Z")), "2026-03-01T13:00:00Z", 5, "2026-03-02T12:00:00Z"},
		"six: four must be left, not five":        {append(fiveBy("2026-03-01T12:04:00Z"), at("2026-03-01T11:00:00Z")), "2026-03-01T13:00:00Z", 6, "2026-03-02T12:00:00Z"},
		"a clock that is behind counts them all":  {five, "2026-03-01T11:00:00Z", 5, "2026-03-02T12:00:00Z"},
		"a clock that is a year behind, too":      {five, "2025-03-01T12:04:00Z", 5, "2026-03-02T12:00:00Z"},
		"an attempt in the future, and four more": {append(five[1:], at("2026-03-01T18:00:00Z")), "2026-03-01T13:00:00Z", 5, "2026-03-02T12:00:00Z"},
	} {
		given := slices.Clone(tc.attempts)
		current, blocked := tc.attempts.Current(at(tc.now)), tc.attempts.Blocked(at(tc.now))
		if len(current) != tc.current || !slices.IsSortedFunc(current, time.Time.Compare) {
			t.Errorf("%s: %d count, want %d: %v", name, len(current), tc.current, current)
		}
		var want time.Time
		if tc.blocked != "" {
			want = at(tc.blocked)
		}
		if !blocked.Equal(want) {
			t.Errorf("%s: blocked until %v, want %v", name, blocked, want)
		}
		if !slices.Equal(tc.attempts, given) {
			t.Errorf("%s: the record was changed", name)
		}
	}
}

func TestAttemptsGone(t *testing.T) {
	for name, tc := range map[string]struct {
		attempts Attempts
		want     time.Time
	}{
		"nobody tried":            {nil, time.Time{}},
		"no attempt is left":      {Attempts{}, time.Time{}},
		"one":                     {inVain("2026-03-01T12:00:00Z"), at("2026-03-02T12:00:00Z")},
		"the latest, in any zone": {inVain("2026-03-01T12:00:00Z", "2026-03-01T14:30:00+02:00", "2026-03-01T06:00:00-05:00"), at("2026-03-02T12:30:00Z")},
		"over the leap day":       {inVain("2024-02-28T12:00:00Z"), at("2024-02-29T12:00:00Z")},
	} {
		got := tc.attempts.Gone()
		if !got.Equal(tc.want) {
			t.Errorf("%s: got %v, want %v", name, got, tc.want)
		}
		if got.IsZero() {
			continue
		}
		if n := len(tc.attempts.Current(got)); n != 0 {
			t.Errorf("%s: %d count when all are gone", name, n)
		}
		if len(tc.attempts.Current(got.Add(-time.Second))) == 0 {
			t.Errorf("%s: none counts a second before", name)
		}
	}
}

// Whoever tries as often as he may, whenever he may, makes five attempts in any
// 24 hours and no more, and waits no longer than he has to.
func TestAnyAttempts(t *testing.T) {
	rapidChecks(t, 5_000)
	rapid.Check(t, func(t *rapid.T) {
		now := at("2024-02-27T00:00:00Z")
		var made Attempts
		for range rapid.IntRange(1, 40).Draw(t, "tries") {
			now = now.Add(time.Duration(rapid.Int64Range(0, 30*3600).Draw(t, "seconds")) * time.Second)
			blocked := made.Blocked(now)
			if blocked.IsZero() {
				made = append(made, now)
				continue
			}
			if !blocked.After(now) || made.Blocked(blocked.Add(-time.Second)).IsZero() || !made.Blocked(blocked).IsZero() {
				t.Fatalf("%v\nat %v: blocked until %v", made, now, blocked)
			}
			if rapid.Bool().Draw(t, "waits") {
				now = blocked
				made = append(made, now)
			}
		}
		for i := AttemptsAllowed; i < len(made); i++ {
			if made[i].Sub(made[i-AttemptsAllowed]) < AttemptsTime {
				t.Fatalf("%v\nsix in a day, the last at %v", made, made[i])
			}
		}
	})
}

func TestRequester(t *testing.T) {
	for username, want := range map[string]string{
		"":                                      "",
		"gail@northwind.example":                "gail@northwind.example",
		"Gail@northwind.example":                "Gail@northwind.example",
		"system:serviceaccount:northwind:ci":    "system:serviceaccounts:northwind",
		"system:serviceaccount:northwind:ci-2":  "system:serviceaccounts:northwind",
		"system:serviceaccount:northwind:a.b":   "system:serviceaccounts:northwind",
		"system:serviceaccount:northwind2:ci":   "system:serviceaccounts:northwind2",
		"system:serviceaccount:northwind:a:b":   "system:serviceaccounts:northwind",
		"system:serviceaccounts:northwind":      "system:serviceaccounts:northwind",
		"System:serviceaccount:northwind:ci":    "System:serviceaccount:northwind:ci",
		"x:system:serviceaccount:northwind:ci":  "x:system:serviceaccount:northwind:ci",
		"system:node:a":                         "system:node:a",
		"oidc:system:serviceaccount:contoso:ci": "oidc:system:serviceaccount:contoso:ci",
	} {
		if got := Requester(username); got != want {
			t.Errorf("%q: got %q, want %q", username, got, want)
		}
	}
}

func TestDigest(t *testing.T) {
	n := Numbers{"12345678ZZS1234", "87654321", "it@contoso.example"}
	if got := len(n.Digest()); got != 64 {
		t.Errorf("%d digits", got)
	}
	same := Numbers{n.Authorization, n.License, "IT@Contoso.Example"}
	if same.Digest() != n.Digest() {
		t.Error("upper and lower case of the address make a difference")
	}
	seen := map[string]string{}
	for name, other := range map[string]Numbers{
		"the numbers":                       n,
		"another authorization":             {"12345678ZZS1235", n.License, n.Email},
		"another licence":                   {n.Authorization, "87654322", n.Email},
		"another address":                   {n.Authorization, n.License, "it@contoso.example.org"},
		"an authorization in lower case":    {strings.ToLower(n.Authorization), n.License, n.Email},
		"the two in each other's place":     {n.License, n.Authorization, n.Email},
		"nothing at all":                    {},
		"only an authorization":             {n.Authorization, "", ""},
		"only a licence":                    {"", n.Authorization, ""},
		"only an address":                   {"", "", n.Authorization},
		"a digit moved":                     {n.Authorization + n.License[:1], n.License[1:], n.Email},
		"a line too many at the front":      {"a\nb", "c", "d"},
		"a line too many in the middle":     {"a", "b\nc", "d"},
		"a line too many at the end":        {"a", "b", "c\nd"},
		"a blank too many at the front":     {"a b", "c", "d"},
		"a blank too many in the middle":    {"a", "b c", "d"},
		"quotes at the front":               {`a" "b`, "c", "d"},
		"quotes in the middle":              {"a", `b" "c`, "d"},
		"quotes that are escaped":           {"a", `b\" \"c`, "d"},
		"no character at all":               {"a\x00", "b", "c"},
		"no character, written out":         {`a\x00`, "b", "c"},
		"no character, in the next":         {"a", "\x00b", "c"},
		"what is no text":                   {"a\xff", "b", "c"},
		"what is no text, written out":      {`a\xff`, "b", "c"},
		"what stands for what is no text":   {"a\ufffd", "b", "c"},
		"an address with a line at its end": {n.Authorization, n.License, n.Email + "\n"},
	} {
		if before, there := seen[other.Digest()]; there {
			t.Errorf("%s is the same as %s", name, before)
		}
		seen[other.Digest()] = name
	}
}

// Whatever is in them: two have the same digest only if they are the same three.
func TestAnyDigest(t *testing.T) {
	rapidChecks(t, 50_000)
	part := rapid.StringOfN(rapid.RuneFrom([]rune("aA1 \n\"\\\x00,:|")), 0, 4, -1)
	rapid.Check(t, func(t *rapid.T) {
		a := Numbers{part.Draw(t, "authorization"), part.Draw(t, "licence"), part.Draw(t, "address")}
		all := []rune(a.Authorization + a.License + a.Email) // cut otherwise
		i := rapid.IntRange(0, len(all)).Draw(t, "first cut")
		j := rapid.IntRange(i, len(all)).Draw(t, "second cut")
		b := Numbers{string(all[:i]), string(all[i:j]), string(all[j:])}
		same := a.Authorization == b.Authorization && a.License == b.License && strings.EqualFold(a.Email, b.Email)
		if (a.Digest() == b.Digest()) != same {
			t.Fatalf("%q and %q", a, b)
		}
	})
}

func TestSameOrder(t *testing.T) {
	n := Numbers{"12345678ZZS1234", "87654321", "it@contoso.example"}
	for name, tc := range map[string]struct {
		other Numbers
		want  bool
	}{
		"itself":                          {n, true},
		"the address was corrected":       {Numbers{n.Authorization, n.License, "office@contoso.example"}, true},
		"the address is not known":        {Numbers{n.Authorization, n.License, ""}, true},
		"another authorization":           {Numbers{"12345678ZZS1235", n.License, n.Email}, false},
		"another licence":                 {Numbers{n.Authorization, "87654322", n.Email}, false},
		"an authorization in lower case":  {Numbers{"12345678zzs1234", n.License, n.Email}, false},
		"a digit moved from one to other": {Numbers{n.Authorization + "8", "7654321", n.Email}, false},
		"no numbers":                      {Numbers{"", "", n.Email}, false},
	} {
		if n.SameOrder(tc.other) != tc.want || tc.other.SameOrder(n) != tc.want {
			t.Errorf("%s: want %v", name, tc.want)
		}
	}
	if n.Email != "it@contoso.example" {
		t.Error("the numbers were changed")
	}
}

var gail, agents = PartnerSubject{"User", "gail"}, PartnerSubject{"Group", "northwind-agents"}

// claimed is a claim of gail's from the namespace northwind on an agreement.
func claimed(subject PartnerSubject, agreement string, when string, change ...func(*PartnerClaim)) PartnerClaim {
	c := PartnerClaim{Subject: subject, Requester: "gail", Namespace: "northwind", Name: "contoso", Agreement: agreement, Registered: at(when)}
	for _, f := range change {
		f(&c)
	}
	return c
}

func by(requester, namespace, name string) func(*PartnerClaim) {
	return func(c *PartnerClaim) { c.Requester, c.Namespace, c.Name = requester, namespace, name }
}

func TestRemoved(t *testing.T) {
	group := claimed(agents, "open", "2026-03-01T00:00:00Z")
	for entry, want := range map[string]bool{
		"northwind-agents": true,
		"gail":             true, // who registered
		"northwind":        true, // from there
		"contoso":          false,
		"open":             false,
		"Gail":             false,
		"gai":              false,
		"gail@northwind":   false,
		"northwind-agent":  false,
		"northwind-":       false,
		"Northwind":        false,
		"User":             false,
		"Group":            false,
		"*":                false,
		"":                 false,
	} {
		if got := group.Removed([]string{"somebody", entry, "else"}); got != want {
			t.Errorf("%q: got %v", entry, got)
		}
	}
	if group.Removed(nil) || group.Removed([]string{}) {
		t.Error("nobody is removed by nothing")
	}
}

// Service accounts are removed one by one, or all of a namespace.
func TestRemovedAccounts(t *testing.T) {
	const bot, other, all = "system:serviceaccount:northwind:bot", "system:serviceaccount:northwind:other", "system:serviceaccounts:northwind"
	from := func(requester string) func(*PartnerClaim) { return by(requester, "pipelines", "bot") }
	itself := claimed(PartnerSubject{"User", bot}, "open", "2026-03-01T00:00:00Z", from(bot))
	group := claimed(agents, "open", "2026-03-01T00:00:00Z", from(bot))
	for name, tc := range map[string]struct {
		claim          PartnerClaim
		entry          string
		want, excluded bool
	}{
		"itself":                                 {itself, bot, true, true},
		"all of its namespace":                   {itself, all, true, true},
		"another one":                            {itself, other, false, false},
		"its namespace, which is no partner's":   {itself, "northwind", false, false},
		"the namespace that it registered from":  {itself, "pipelines", true, false},
		"all of the one that it registered from": {itself, "system:serviceaccounts:pipelines", false, false},
		"a part of the name of its namespace":    {itself, "system:serviceaccounts:north", false, false},
		"all service accounts":                   {itself, "system:serviceaccounts", false, false},
		"who registered a group":                 {group, bot, true, false},
		"all like who registered a group":        {group, all, true, false},
		"another than who registered a group":    {group, other, false, false},
		"a group":                                {group, agents.Name, true, true},
		"a group that is called like an account": {claimed(PartnerSubject{"Group", bot}, "open", "2026-03-01T00:00:00Z"), all, false, false},
		"a person who is not one of them":        {claimed(gail, "open", "2026-03-01T00:00:00Z"), all, false, false},
	} {
		if got := tc.claim.Removed([]string{"somebody", tc.entry}); got != tc.want {
			t.Errorf("%s: removed is %v", name, got)
		}
		if got := tc.claim.Subject.Excluded([]string{"somebody", tc.entry}); got != tc.excluded {
			t.Errorf("%s: excluded is %v", name, got)
		}
	}
}

func TestEntries(t *testing.T) {
	const bot, other, all = "system:serviceaccount:northwind:bot", "system:serviceaccount:northwind:other", "system:serviceaccounts:northwind"
	at := "2026-03-01T00:00:00Z"
	account := PartnerSubject{"User", bot}
	for name, tc := range map[string]struct {
		who    PartnerSubject
		claims []PartnerClaim
		want   []string
	}{
		"nobody has registered him any more":  {gail, nil, []string{"gail"}},
		"a group that nobody has":             {agents, nil, []string{"northwind-agents"}},
		"he himself":                          {gail, []PartnerClaim{claimed(gail, "open", at)}, []string{"gail"}},
		"he himself, twice":                   {gail, []PartnerClaim{claimed(gail, "open", at), claimed(gail, "value", at)}, []string{"gail"}},
		"a group":                             {agents, []PartnerClaim{claimed(agents, "open", at)}, []string{"northwind-agents", "gail"}},
		"a group that several have":           {agents, []PartnerClaim{claimed(agents, "open", at, by("hal", "northwind", "a")), claimed(agents, "open", at), claimed(agents, "open", at, by("hal", "fabrikam", "b"))}, []string{"northwind-agents", "gail", "hal"}},
		"others are not meant":                {agents, []PartnerClaim{claimed(agents, "open", at), claimed(PartnerSubject{"User", "hal"}, "open", at, by("hal", "northwind", "hal"))}, []string{"northwind-agents", "gail"}},
		"a user of a group's name":            {agents, []PartnerClaim{claimed(PartnerSubject{"User", agents.Name}, "open", at, by("eve", "northwind", "eve"))}, []string{"northwind-agents"}},
		"a service account":                   {account, []PartnerClaim{claimed(account, "open", at, by(bot, "northwind", "bot"))}, []string{all}},
		"a service account that nobody has":   {account, nil, []string{all}},
		"a group of a service account":        {agents, []PartnerClaim{claimed(agents, "open", at, by(bot, "northwind", "a")), claimed(agents, "open", at, by(other, "northwind", "b"))}, []string{"northwind-agents", all}},
		"a group that is called like account": {PartnerSubject{"Group", bot}, nil, []string{bot}},
	} {
		got := tc.who.Entries(tc.claims)
		if !slices.Equal(got, tc.want) {
			t.Errorf("%s: got %q, want %q", name, got, tc.want)
		}
		if !tc.who.Excluded(got) {
			t.Errorf("%s: %q do not exclude him", name, got)
		}
		for _, c := range tc.claims {
			himself := claimed(PartnerSubject{"User", c.Requester}, "another", at, by(c.Requester, "elsewhere", "again"))
			if c.Subject == tc.who && (!c.Removed(got) || !himself.Removed(got)) {
				t.Errorf("%s: %s registers in spite of %q", name, c.Requester, got)
			}
		}
	}
}

func TestPartners(t *testing.T) {
	one, two := "2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z"
	mine, ours := claimed(gail, "open", two), claimed(agents, "open", two)
	second := claimed(gail, "open-2", two)
	older := claimed(gail, "value", one)
	bobs := claimed(agents, "open", one, by("bob", "northwind", "by-bob"))
	theirs := claimed(agents, "open", two, by("eve", "fabrikam", "by-eve"))
	sooner := claimed(gail, "open", "2026-03-02T01:00:00+02:00", by("gail", "northwind", "zone")) // 23:00 on the day before
	alike := claimed(gail, "open", two, by("gail", "a-northwind", "z"))
	named := claimed(gail, "open", two, by("gail", "northwind", "a"))
	for name, tc := range map[string]struct {
		claims  []PartnerClaim
		removed []string
		want    map[PartnerSubject][]PartnerClaim
	}{
		"nobody":                                {nil, nil, nil},
		"nobody, and somebody is removed":       {nil, []string{"gail"}, nil},
		"somebody":                              {[]PartnerClaim{mine}, nil, map[PartnerSubject][]PartnerClaim{gail: {mine}}},
		"a person and his group":                {[]PartnerClaim{mine, ours}, nil, map[PartnerSubject][]PartnerClaim{gail: {mine}, agents: {ours}}},
		"a group of the same name":              {[]PartnerClaim{mine, claimed(PartnerSubject{"Group", "gail"}, "open", one)}, nil, map[PartnerSubject][]PartnerClaim{gail: {mine}, {"Group", "gail"}: {claimed(PartnerSubject{"Group", "gail"}, "open", one)}}},
		"several agreements, by name":           {[]PartnerClaim{second, mine}, nil, map[PartnerSubject][]PartnerClaim{gail: {mine, second}}},
		"the oldest first":                      {[]PartnerClaim{mine, older, second}, nil, map[PartnerSubject][]PartnerClaim{gail: {older, mine, second}}},
		"the oldest first, in any zone":         {[]PartnerClaim{mine, sooner, older}, nil, map[PartnerSubject][]PartnerClaim{gail: {older, sooner, mine}}},
		"of one second by namespace, then name": {[]PartnerClaim{mine, named, alike}, nil, map[PartnerSubject][]PartnerClaim{gail: {alike, named, mine}}},
		"several who claim a group":             {[]PartnerClaim{ours, theirs, bobs}, nil, map[PartnerSubject][]PartnerClaim{agents: {bobs, theirs, ours}}},
		"he is removed":                         {[]PartnerClaim{mine, second, older}, []string{"gail"}, nil},
		"the group is removed":                  {[]PartnerClaim{mine, ours, bobs}, []string{"northwind-agents"}, map[PartnerSubject][]PartnerClaim{gail: {mine}}},
		"who registered first is removed":       {[]PartnerClaim{ours, bobs}, []string{"bob"}, map[PartnerSubject][]PartnerClaim{agents: {ours}}},
		"all who registered are removed":        {[]PartnerClaim{ours, bobs}, []string{"bob", "gail"}, nil},
		"a namespace is removed":                {[]PartnerClaim{mine, ours, bobs, theirs}, []string{"northwind"}, map[PartnerSubject][]PartnerClaim{agents: {theirs}}},
		"all namespaces are removed":            {[]PartnerClaim{mine, ours, bobs, theirs}, []string{"northwind", "fabrikam"}, nil},
		"he is removed, but his group is not":   {[]PartnerClaim{mine, bobs}, []string{"gail"}, map[PartnerSubject][]PartnerClaim{agents: {bobs}}},
		"somebody else is removed":              {[]PartnerClaim{mine}, []string{"eve", "Gail", "contoso"}, map[PartnerSubject][]PartnerClaim{gail: {mine}}},
	} {
		if tc.want == nil {
			tc.want = map[PartnerSubject][]PartnerClaim{}
		}
		given := slices.Clone(tc.claims)
		if got := Partners(tc.claims, tc.removed); !reflect.DeepEqual(got, tc.want) {
			t.Errorf("%s:\ngot  %v\nwant %v", name, got, tc.want)
		}
		slices.Reverse(tc.claims)
		if got := Partners(tc.claims, tc.removed); !reflect.DeepEqual(got, tc.want) {
			t.Errorf("%s, the other way round:\ngot  %v\nwant %v", name, got, tc.want)
		}
		if slices.Reverse(given); !reflect.DeepEqual(given, tc.claims) {
			t.Errorf("%s: what was given was put in another order", name)
		}
	}
}

// steps has every combination that matters: of what the partner is to the
// customer, of what is on record, and of what binding there is. "u" is the binding on record, "v" another.
var steps = map[string]struct{ wanted, unwanted, excluded PartnerStep }{
	// Nothing is on record.
	"-       nothing":         {StepReserve, StepDone, StepDone},
	"-       u Reserved":      {StepRecord, StepRevoke, StepRevoke},
	"-       u Given":         {StepRecord, StepRevoke, StepRevoke},
	"-       u Ended":         {StepRevoke, StepRevoke, StepRevoke},
	"-       u ?":             {StepRecord, StepRevoke, StepRevoke},
	"-       u Reserved gail": {StepRecord, StepEnd, StepEnd},
	"-       u Given    gail": {StepRecord, StepEnd, StepEnd},
	"-       u Ended    gail": {StepEnd, StepEnd, StepEnd},
	"-       u ?        gail": {StepRecord, StepEnd, StepEnd},
	// A binding is.
	"u       nothing":         {StepExclude, StepExclude, StepForget},
	"u       u Reserved":      {StepFill, StepForget, StepForget},
	"u       u Given":         {StepExclude, StepExclude, StepForget},
	"u       u Ended":         {StepForget, StepForget, StepForget},
	"u       u ?":             {StepFill, StepForget, StepForget},
	"u       u Reserved gail": {StepFill, StepEnd, StepEnd},
	"u       u Given    gail": {StepTell, StepEnd, StepEnd},
	"u       u Ended    gail": {StepEnd, StepEnd, StepEnd},
	"u       u ?        gail": {StepFill, StepEnd, StepEnd},
	"u       v Reserved":      {StepExclude, StepExclude, StepForget},
	"u       v Given":         {StepExclude, StepExclude, StepForget},
	"u       v Ended":         {StepExclude, StepExclude, StepForget},
	"u       v ?":             {StepExclude, StepExclude, StepForget},
	"u       v Reserved gail": {StepRecord, StepEnd, StepEnd},
	"u       v Given    gail": {StepRecord, StepEnd, StepEnd},
	"u       v Ended    gail": {StepEnd, StepEnd, StepEnd},
	"u       v ?        gail": {StepRecord, StepEnd, StepEnd},
	// A binding is, as granted.
	"granted nothing":         {StepExclude, StepExclude, StepForget},
	"granted u Reserved":      {StepExclude, StepExclude, StepForget},
	"granted u Given":         {StepExclude, StepExclude, StepForget},
	"granted u Ended":         {StepForget, StepForget, StepForget},
	"granted u ?":             {StepExclude, StepExclude, StepForget},
	"granted u Reserved gail": {StepFill, StepEnd, StepEnd},
	"granted u Given    gail": {StepDone, StepEnd, StepEnd},
	"granted u Ended    gail": {StepEnd, StepEnd, StepEnd},
	"granted u ?        gail": {StepFill, StepEnd, StepEnd},
	"granted v Reserved":      {StepExclude, StepExclude, StepForget},
	"granted v Given":         {StepExclude, StepExclude, StepForget},
	"granted v Ended":         {StepExclude, StepExclude, StepForget},
	"granted v ?":             {StepExclude, StepExclude, StepForget},
	"granted v Reserved gail": {StepRecord, StepEnd, StepEnd},
	"granted v Given    gail": {StepRecord, StepEnd, StepEnd},
	"granted v Ended    gail": {StepEnd, StepEnd, StepEnd},
	"granted v ?        gail": {StepRecord, StepEnd, StepEnd},
}

func TestNextPartnerStep(t *testing.T) {
	for _, f := range everyAccess() {
		name := describe(f.record, f.binding)
		want, there := steps[name]
		if !there {
			t.Errorf("no row %q", name)
		}
		got := [3]PartnerStep{NextPartnerStep(true, false, f.record, f.binding), NextPartnerStep(false, false, f.record, f.binding), NextPartnerStep(false, true, f.record, f.binding)}
		if got != [3]PartnerStep{want.wanted, want.unwanted, want.excluded} {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	if seen := len(everyAccess()); seen != len(steps) {
		t.Errorf("%d rows, %d combinations", len(steps), seen)
	}
}

// access is what there is of the access of a partner.
type access struct {
	record  PartnerRecord
	binding PartnerBinding
}

// everyAccess is every combination of the two.
func everyAccess() (every []access) {
	for _, record := range []PartnerRecord{{}, {UID: "u"}, {UID: "u", Granted: true}} {
		every = append(every, access{record: record})
		for _, uid := range []string{"u", "v"} {
			for _, phase := range []BindingPhase{BindingReserved, BindingGiven, BindingEnded, "?"} {
				for _, names := range []bool{false, true} {
					if record.UID != "" || uid == "u" { // else there is no other
						every = append(every, access{record, PartnerBinding{UID: uid, Names: names, Phase: phase}})
					}
				}
			}
		}
	}
	return every
}

func describe(record PartnerRecord, binding PartnerBinding) string {
	on := map[PartnerRecord]string{{}: "-", {UID: "u"}: "u", {UID: "u", Granted: true}: "granted"}[record]
	switch {
	case binding.UID == "":
		return fmt.Sprintf("%-7s nothing", on)
	case binding.Names:
		return fmt.Sprintf("%-7s %s %-8s gail", on, binding.UID, binding.Phase)
	}
	return fmt.Sprintf("%-7s %s %s", on, binding.UID, binding.Phase)
}
