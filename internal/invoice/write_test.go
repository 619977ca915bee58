package invoice

import "testing"

func TestTextIsNoFormula(t *testing.T) {
	for name, tc := range map[string]struct{ in, want string }{
		"plain":                        {"Coffee Analytics", "Coffee Analytics"},
		"empty":                        {"", ""},
		"a formula":                    {"=1+1", "'=1+1"},
		"a sum":                        {"+1", "'+1"},
		"a negative one":               {"-1", "'-1"},
		"a function":                   {"@SUM(A1)", "'@SUM(A1)"},
		"inside it is harmless":        {"A=B, C+D - E @ F", "A=B, C+D - E @ F"},
		"after blanks":                 {"  =1", "  '=1"},
		"after a tab":                  {"\t=1", "'\t'=1"},
		"after a carriage return":      {"a\r=1", "a\r'=1"},
		"on another line":              {"a\n=1", "a\n'=1"},
		"after another list separator": {"a;=1", "a;'=1"},
		"and a blank":                  {"a; -B", "a; '-B"},
		"after a quote":                {`a"=1`, `a"'=1`},
		"in full width":                {"＝1", "'＝1"},
		"an apostrophe stays":          {"Ada's =1", "Ada's =1"},
	} {
		if got := text(tc.in); got != tc.want {
			t.Errorf("%s: got %q, want %q", name, got, tc.want)
		}
	}
}
