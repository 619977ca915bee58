package downloadlink

import (
	"strings"
	"testing"
)

func TestNewToken(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		token := NewToken()
		if !IsToken(token) || len(token) != 43 || seen[token] {
			t.Fatalf("token %q is malformed or not new", token)
		}
		seen[token] = true
	}
}

func TestIsToken(t *testing.T) {
	good := strings.Repeat("A", 43)
	for name, tc := range map[string]struct {
		token string
		want  bool
	}{
		"43 characters":                      {good, true},
		"all the characters there are":       {"abcdefghijklmnopqrstuvwxyzABCDEF0123456789-"[:42] + "A", true},
		"minus and underscore":               {"-_" + good[2:], true},
		"empty":                              {"", false},
		"one too few":                        {good[1:], false},
		"one too many":                       {good + "A", false},
		"padding":                            {good + "=", false},
		"plus of the other alphabet":         {"+" + good[1:], false},
		"slash of the other alphabet":        {"/" + good[1:], false},
		"a line break that a decoder skips":  {good[1:] + "\n", false},
		"a last character with unused bits":  {good[1:] + "B", false},
		"hexadecimal of as many bytes":       {strings.Repeat("0", 64), false},
		"43 bytes of fewer, wide characters": {strings.Repeat("A", 41) + "é", false},
	} {
		if got := IsToken(tc.token); got != tc.want {
			t.Errorf("%s: got %v", name, got)
		}
	}
}

// The hash is that of the text, as sha256sum prints it.
func TestTokenHash(t *testing.T) {
	const token, want = "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
	if got := TokenHash(token); got != want {
		t.Errorf("got %s", got)
	}
}

func TestURL(t *testing.T) {
	token := NewToken()
	for base, want := range map[string]string{
		"http://localhost:8082":         "http://localhost:8082/d/" + token,
		"https://example.com/":          "https://example.com/d/" + token,
		"https://example.com/a/prefix/": "https://example.com/a/prefix/d/" + token,
		"https://example.com/d/":        "https://example.com/d/d/" + token,
	} {
		got := URL(base, token)
		if got != want || Token(got) != token {
			t.Errorf("%s: got %s, and from it %q", base, got, Token(got))
		}
	}
}

func TestToken(t *testing.T) {
	token := NewToken()
	for name, url := range map[string]string{
		"nothing":                "",
		"another path":           "https://example.com/x/" + token,
		"the file of a link":     "https://example.com/d/" + token + "/file",
		"a link that was cut":    "https://example.com/d/" + token[:42],
		"a link and more":        "https://example.com/d/" + token + "?x",
		"a link without a token": "https://example.com/d/",
	} {
		if got := Token(url); got != "" {
			t.Errorf("%s: got %q", name, got)
		}
	}
}
