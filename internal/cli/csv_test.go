package cli

import (
	"bytes"
	"encoding/csv"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

func TestTextIsNoFormula(t *testing.T) {
	for name, tc := range map[string]struct{ in, want string }{
		"plain":                        {"Coffee Analytics", "Coffee Analytics"},
		"empty":                        {"", ""},
		"a formula":                    {"=1+1", "'=1+1"},
		"a sum":                        {"+1", "'+1"},
		"a negative one":               {"-1", "'-1"},
		"a function":                   {"@SUM(A1)", "'@SUM(A1)"},
		"inside it is harmless":        {"A=B, C+D - E @ F", "A=B, C+D - E @ F"},
		"after blanks":                 {"  =1", "'  =1"},
		"after a blank of no break":    {"\u00a0=1", "'\u00a0=1"},
		"after one that is not seen":   {"\u200b=1", "'\u200b=1"},
		"after a tab":                  {"\t=1", "'\t'=1"},
		"a carriage return":            {"\ra", "'\ra"},
		"after a carriage return":      {"a\r=1", "a\r'=1"},
		"on another line":              {"a\n=1", "a\n'=1"},
		"after another list separator": {"a;=1", "a;'=1"},
		"and a blank":                  {"a; -B", "a;' -B"},
		"after a quote":                {`a"=1`, `a"'=1`},
		"in full width":                {"＝1", "'＝1"},
		"and the others":               {"＋1,－1,＠A", "'＋1,'－1,'＠A"},
		"an apostrophe stays":          {"Ada's =1", "Ada's =1"},
		"one at the start is doubled":  {"'=1", "''=1"},
	} {
		if got := Text(tc.in); got != tc.want {
			t.Errorf("%s: got %q, want %q", name, got, tc.want)
		}
	}
}

// Whatever somebody typed, no cell of it begins a formula, at whichever
// separator the file is cut; and a reader of RFC 4180 gets it back by what
// docs/users.md says.
func FuzzCells(f *testing.F) {
	for _, s := range []string{"", "=1", " =1", "a;=1", "'=1", "\t\r\n=", "\ufeff@", `"""'`, "a\r\nb", "a,b|+c", "''", "é＝", "'\t'=", "x\u2028-1"} {
		f.Add(s, "plain")
		f.Add("plain", s)
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		var file bytes.Buffer
		typed := []string{a, b}
		if err := WriteCSV(&file, slices.Values([][]string{{"A", "B"}, {Text(a), Text(b)}})); err != nil {
			t.Fatal(err)
		}
		records, err := csv.NewReader(bytes.NewReader(file.Bytes())).ReadAll()
		if err != nil || len(records) != 2 || !strings.HasPrefix(file.String(), "A,B\r\n") || !strings.HasSuffix(file.String(), "\r\n") {
			t.Fatalf("%v %q", err, file.String())
		}
		for i, cell := range records[1] {
			for _, piece := range strings.FieldsFunc(cell, func(r rune) bool { return strings.ContainsRune(",;|\"\t\r\n", r) }) {
				piece = strings.TrimFunc(piece, unicode.IsSpace)
				if piece != "" && strings.ContainsRune("=+-@＝＋－＠", []rune(piece)[0]) {
					t.Errorf("%q of %q begins a formula", piece, cell)
				}
			}
			if cell != "" && strings.ContainsAny(cell[:1], "=+-@\t\r") {
				t.Errorf("%q begins a formula", cell)
			}
			if got := undo(cell); got != typed[i] {
				t.Errorf("%q was written as %q, which is had back as %q", typed[i], cell, got)
			}
		}
	})
}

var apostrophe = regexp.MustCompile(`(^|[,;|"\x00-\x1f\x7f-\x{9f}])'`)

// undo is what docs/users.md tells to do.
func undo(cell string) string { return apostrophe.ReplaceAllString(cell, "$1") }
