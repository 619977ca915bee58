package keys

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

const (
	keyA = "AAAAA-BBBBB-CCCCC-DDDDD-00001"
	keyB = "AAAAA-BBBBB-CCCCC-DDDDD-00002"
	keyC = "AAAAA-BBBBB-CCCCC-DDDDD-00003"
)

func entry(secret, name, data string) Entry { return Entry{secret, name, []byte(data)} }

func TestParse(t *testing.T) {
	long := strings.Repeat("x", maxKeyLength+1)
	for name, tc := range map[string]struct {
		format  string
		entries []Entry
		keys    []string
		lines   []Rejection
		whole   []Rejection
	}{
		"nothing":                    {"", nil, nil, nil, nil},
		"one a line":                 {Format5x5, []Entry{entry("s", "k", keyA+"\n"+keyB)}, []string{keyA, keyB}, nil, nil},
		"blank lines, Windows, BOM":  {Format5x5, []Entry{entry("s", "k", "\ufeff"+keyA+"\r\n\r\n  "+keyB+"\t\r\n")}, []string{keyA, keyB}, nil, nil},
		"in the order of entries":    {"", []Entry{entry("s", "b", keyB), entry("s", "a", keyA)}, []string{keyB, keyA}, nil, nil},
		"wrong format":               {Format5x5, []Entry{entry("s", "k", keyA+"\nsesamesesame\n"+keyB)}, []string{keyA, keyB}, []Rejection{{"s", "k", 2, "does not have the format of the pool"}}, nil},
		"lower case is not 5x5":      {Format5x5, []Entry{entry("s", "k", strings.ToLower(keyA))}, nil, []Rejection{{"s", "k", 1, "does not have the format of the pool"}}, nil},
		"duplicate in an entry":      {"", []Entry{entry("s", "k", keyA+"\n"+keyA)}, []string{keyA}, []Rejection{{"s", "k", 2, "duplicate of line 1"}}, nil},
		"duplicate in another one":   {"", []Entry{entry("s", "k", keyA), entry("z", "l", "\n"+keyA)}, []string{keyA}, []Rejection{{"z", "l", 2, "duplicate of Secret s, entry k, line 1"}}, nil},
		"binary: NUL":                {"", []Entry{entry("s", "k", keyA+"\n\x00"), entry("s", "l", keyB)}, []string{keyB}, nil, []Rejection{{"s", "k", 0, "binary data: write one key per line, as text"}}},
		"binary: not UTF-8":          {"", []Entry{entry("s", "k", "\xff\xfe")}, nil, nil, []Rejection{{"s", "k", 0, "binary data: write one key per line, as text"}}},
		"control character":          {"", []Entry{entry("s", "k", "sesame\x1bsesame")}, nil, []Rejection{{"s", "k", 1, "contains a control character"}}, nil},
		"too short":                  {"", []Entry{entry("s", "k", "1234567\n12345678")}, []string{"12345678"}, []Rejection{{"s", "k", 1, "shorter than 8 bytes"}}, nil},
		"a private key":              {"", []Entry{entry("s", "k", "-----BEGIN PRIVATE KEY-----\nc2VzYW1lc2VzYW1l\n-----END PRIVATE KEY-----"), entry("s", "l", keyB)}, []string{keyB}, nil, []Rejection{{"s", "k", 0, "a PEM block, perhaps a private key: take it out of the pool"}}},
		"sold by another issuer":     {"", []Entry{entry("s", "k", "sold-elsewhere\n"+keyA)}, []string{keyA}, []Rejection{{"s", "k", 1, "was sold elsewhere"}}, nil},
		"too long":                   {"", []Entry{entry("s", "k", long+"\n"+keyA)}, []string{keyA}, []Rejection{{"s", "k", 1, "longer than 512 bytes"}}, nil},
		"exactly as long as allowed": {"", []Entry{entry("s", "k", long[1:])}, []string{long[1:]}, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			format, err := CompileFormat(tc.format, "")
			if err != nil {
				t.Fatal(err)
			}
			got, rejected := Parse(tc.entries, format, func(key string) string {
				if key == "sold-elsewhere" {
					return "was sold elsewhere"
				}
				return ""
			})
			if !slices.Equal(got, tc.keys) || !slices.Equal(rejected.Lines, tc.lines) || !slices.Equal(rejected.Entries, tc.whole) || rejected.Total != len(tc.lines)+len(tc.whole) {
				t.Errorf("got %q, rejected %+v", got, rejected)
			}
			if s := fmt.Sprint(rejected); strings.Contains(s, "sesame") || strings.Contains(s, "AAAAA") {
				t.Errorf("quotes the content: %s", s)
			}
		})
	}
}

func TestParseListsTheFirstLinesOnly(t *testing.T) {
	_, rejected := Parse([]Entry{entry("s", "k", strings.Repeat("short\n", 1_000_000))}, nil, func(string) string { return "" })
	if len(rejected.Lines) != maxLines || rejected.Total != 1_000_000 {
		t.Errorf("%d of %d listed", len(rejected.Lines), rejected.Total)
	}
}

func TestCompileFormat(t *testing.T) {
	if re, err := CompileFormat("", "[0-9]{3}|X"); err != nil || !re.MatchString("123") || re.MatchString("1234") || re.MatchString("aX") {
		t.Errorf("a pattern has to match as a whole: %v %v", re, err)
	}
	if _, err := CompileFormat("", "["); err == nil || !strings.Contains(err.Error(), "regular expression") {
		t.Errorf("malformed pattern: %v", err)
	}
	if _, err := CompileFormat("6x6", ""); err == nil || !strings.Contains(err.Error(), "5x5") {
		t.Errorf("unknown format: %v", err)
	}
	if re, err := CompileFormat("", ""); re != nil || err != nil {
		t.Errorf("any line will do: %v %v", re, err)
	}
}
