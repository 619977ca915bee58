package notify

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for url, want := range map[string]string{
		"smtp://mail.example.com":                                 "mail.example.com:587  false",
		"smtp://mail.example.com/":                                "mail.example.com:587  false",
		"smtps://mail.example.com":                                "mail.example.com:465  true",
		"smtp://mail.example.com:2525":                            "mail.example.com:2525  false",
		"SMTP://Mail.Example.com:25":                              "mail.example.com:25  false",
		"smtp://ada:secret@mail.example.com":                      "mail.example.com:587 ada/secret false",
		"smtp://ada%40example.com:" + escaped + "@192.0.2.1:1025": "192.0.2.1:1025 ada@example.com/" + password + " false",
		"smtps://[2001:db8::1]":                                   "2001:db8::1:465  true",
		"smtp://münchen.example":                                  "xn--mnchen-3ya.example:587  false",
		"smtp://localhost:1025":                                   "localhost:1025  false",
	} {
		m, err := Parse(url, "a@example.com")
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		login := ""
		if m.password != nil {
			login = m.user + "/" + m.password()
		}
		if got := fmt.Sprintf("%s:%s %s %v", m.host, m.port, login, m.implicit); got != want {
			t.Errorf("%s: %s, want %s", url, got, want)
		}
	}
}

// A URL that is wrong is refused with words that help, and that have nothing of
// it: whatever is in it may be a part of the password.
func TestParseRefuses(t *testing.T) {
	for url, want := range map[string]string{
		"":                                               "does not begin with smtp://",
		"hunter2":                                        "does not begin with smtp://",
		"mail.hunter2.com:587":                           "does not begin with smtp://",
		"hunter2:587":                                    "does not begin with smtp://",
		"http://ada:hunter2@mail.example.com":            "does not begin with smtp://",
		"smtp:ada:hunter2@mail.example.com":              "names no host",
		"smtp://ada:hunter2@":                            "names no host",
		"smtp://ada:hunter2@:587":                        "names no host",
		"smtp:///hunter2":                                "names no host",
		"smtp://ada:hunter2@mail..com":                   "names a host that cannot be",
		"smtp://ada:hunter2@mail_x!.com":                 "names a host that cannot be",
		"smtp://ada:hunter2@mail.example.com:0":          "has a port",
		"smtp://ada:hunter2@mail.example.com:65536":      "has a port",
		"smtp://ada:hunter2@mail.example.com:smtp":       "cannot be read",
		"smtp://ada:hunter2@mail.example.com?tls=no":     "has a question mark",
		"smtp://ada:hunter2@mail.example.com?":           "has a question mark",
		"smtp://ada:hunter2@mail.example.com/path":       "after the host and the port",
		"smtp://ada:hunter2@mail.example.com#part":       "after the host and the port",
		"smtp://ada:1/hunter2@mail.example.com":          "after the host and the port",
		"smtp://ada:1?hunter2@mail.example.com":          "has a question mark",
		"smtp://ada:1#hunter2@mail.example.com":          "after the host and the port",
		"smtp://ada:hunter2%zz@mail.example.com":         "cannot be read",
		"smtp://ada:hunter2/x@mail.example.com":          "cannot be read",
		"smtp://hunter2@mail.example.com":                "a user without a password",
		"smtp://:hunter2@mail.example.com":               "a password without a user",
		"smtp://ada:@hunter2.example.com":                "a user without a password",
		"smtp://ada:hunter2 @mail.example.com":           "has a space",
		" smtp://ada:hunter2@mail.example.com":           "has a space",
		"smtp://ada:hunter2@mail.example.com\n":          "has a space or a line break",
		"smtp://ada:hunter2@mail.example.com:587\x00":    "has a space or a line break",
		"smtp://ada:hunter2@a.example.com,b.example.com": "names a host that cannot be",
	} {
		_, err := Parse(url, "a@example.com")
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "smtp://user:password@") {
			t.Errorf("%q: %v", url, err)
		}
	}
}

func TestParseSender(t *testing.T) {
	for from, want := range map[string]string{
		"licences@example.com":                     "<licences@example.com>",
		" licences@example.com ":                   "<licences@example.com>",
		"Licences <licences@EXAMPLE.com>":          `"Licences" <licences@example.com>`,
		`"Licences: ours" <licences@example.com>`:  `"Licences: ours" <licences@example.com>`,
		`"Licences, of us" <licences@example.com>`: `"Licences, of us" <licences@example.com>`,
		"Größe <a@münchen.example>":                "=?utf-8?q?Gr=C3=B6=C3=9Fe?= <a@xn--mnchen-3ya.example>",
		"":                                         "", "licences": "", "a@": "", "a@b@c": "", "a@exa mple.com": "", "jürgen@example.com": "", "a@b.com, c@d.com": "",
		"A\r\nBcc: x@y.z <a@example.com>": "", "a@-.example": "", "a@example.com\r\nBcc: x@y.z": "",
	} {
		m, err := Parse("smtp://ada:hunter2@mail.example.com", from)
		switch {
		case want == "" && (err == nil || strings.Contains(err.Error(), "hunter2") || strings.ContainsAny(err.Error(), "\r\n")):
			t.Errorf("%q: %v", from, err)
		case want != "" && (err != nil || m.from.String() != want):
			t.Errorf("%q: %v, %v", from, m, err)
		}
	}
}

// Whoever takes the address for the URL of the mail server, or for a part of it,
// finds no password in the log.
func TestParseSenderQuotesNoPassword(t *testing.T) {
	for _, from := range []string{
		"smtp://ada:hunter2@mail.example.com:587", "smtps://ada:hunter2@mail.example.com", "smtp://hunter2", "ada:hunter2@mail.example.com",
		" ada:hunter2@mail.example.com:587", "//ada:hunter2@mail.example.com", "Licences <smtp://ada:hunter2@mail.example.com>", "ada:hünter2hunter2@mail.example.com;",
	} {
		_, err := Parse("smtp://mail.example.com", from)
		if err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "looks like the URL of the mail server: give one that can get mail") {
			t.Errorf("%q: %v", from, err)
		}
	}
	if _, err := Parse("smtp://mail.example.com", "licences at example.com"); err == nil || !strings.Contains(err.Error(), `"licences at example.com"`) {
		t.Errorf("what is no password is not quoted: %v", err)
	}
}

// However a Mailer ends up in a log, its password does not.
func TestMailerCanBePrinted(t *testing.T) {
	m, err := Parse("smtp://ada:hunter2@mail.example.com", "a@example.com")
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := json.Marshal(struct{ Mail any }{m}) // as a logger does
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{fmt.Sprint(m), fmt.Sprintf("%+v", *m), fmt.Sprintf("%#v", *m), fmt.Sprintf("%v", *m), string(encoded)} {
		if strings.Contains(s, "hunter2") {
			t.Error(s)
		}
	}
}
