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
		format   string
		entries  []Entry
		keys     []string
		rejected []Rejection
	}{
		"nothing":                    {"", nil, nil, nil},
		"one a line":                 {Format5x5, []Entry{entry("s", "k", keyA+"\n"+keyB)}, []string{keyA, keyB}, nil},
		"blank lines, Windows, BOM":  {Format5x5, []Entry{entry("s", "k", "\ufeff"+keyA+"\r\n\r\n  "+keyB+"\t\r\n")}, []string{keyA, keyB}, nil},
		"in the order of entries":    {"", []Entry{entry("s", "b", keyB), entry("s", "a", keyA)}, []string{keyB, keyA}, nil},
		"wrong format":               {Format5x5, []Entry{entry("s", "k", keyA+"\nsesame\n"+keyB)}, []string{keyA, keyB}, []Rejection{{"s", "k", 2, "does not have the format of the pool"}}},
		"lower case is not 5x5":      {Format5x5, []Entry{entry("s", "k", strings.ToLower(keyA))}, nil, []Rejection{{"s", "k", 1, "does not have the format of the pool"}}},
		"duplicate in an entry":      {"", []Entry{entry("s", "k", keyA+"\n"+keyA)}, []string{keyA}, []Rejection{{"s", "k", 2, "duplicate of line 1"}}},
		"duplicate in another one":   {"", []Entry{entry("s", "k", keyA), entry("z", "l", "\n"+keyA)}, []string{keyA}, []Rejection{{"z", "l", 2, "duplicate of Secret s, entry k, line 1"}}},
		"binary: NUL":                {"", []Entry{entry("s", "k", keyA+"\n\x00"), entry("s", "l", keyB)}, []string{keyB}, []Rejection{{"s", "k", 0, "binary data: write one key per line, as text"}}},
		"binary: not UTF-8":          {"", []Entry{entry("s", "k", "\xff\xfe")}, nil, []Rejection{{"s", "k", 0, "binary data: write one key per line, as text"}}},
		"control character":          {"", []Entry{entry("s", "k", "a\x1bb")}, nil, []Rejection{{"s", "k", 1, "contains a control character"}}},
		"too long":                   {"", []Entry{entry("s", "k", long+"\n"+keyA)}, []string{keyA}, []Rejection{{"s", "k", 1, "longer than 512 bytes"}}},
		"exactly as long as allowed": {"", []Entry{entry("s", "k", long[1:])}, []string{long[1:]}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			format, err := CompileFormat(tc.format, "")
			if err != nil {
				t.Fatal(err)
			}
			got, rejected := Parse(tc.entries, format)
			if !slices.Equal(got, tc.keys) || !slices.Equal(rejected, tc.rejected) {
				t.Errorf("got %q, rejected %+v", got, rejected)
			}
			for _, r := range rejected {
				if strings.Contains(fmt.Sprint(r), "sesame") || strings.Contains(fmt.Sprint(r), "AAAAA") {
					t.Errorf("quotes the content: %+v", r)
				}
			}
		})
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
