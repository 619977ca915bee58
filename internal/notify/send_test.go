package notify

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"html"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"github.com/license-operator/license-operator/api/v1alpha1"
)

// read takes a mail apart: its headers, and its parts by their type.
func read(t *testing.T, content string) (mail.Header, map[string]string) {
	t.Helper()
	msg, err := mail.ReadMessage(strings.NewReader(content))
	if err != nil {
		t.Fatalf("%v in\n%s", err, content)
	}
	kind, params, err := mime.ParseMediaType(msg.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/alternative" {
		t.Fatalf("%s, %v", kind, err)
	}
	parts := map[string]string{}
	r := multipart.NewReader(msg.Body, params["boundary"])
	for {
		p, err := r.NextRawPart()
		if errors.Is(err, io.EOF) {
			return msg.Header, parts
		}
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(quotedprintable.NewReader(p))
		if err != nil || p.Header.Get("Content-Transfer-Encoding") != "quoted-printable" {
			t.Fatal(p.Header, err)
		}
		parts[p.Header.Get("Content-Type")] = strings.ReplaceAll(string(body), "\r\n", "\n")
	}
}

func TestSend(t *testing.T) {
	for name, m := range map[string]func(t *testing.T, s *server) *Mailer{
		"STARTTLS, PLAIN": farMailer,
		"STARTTLS, LOGIN": func(t *testing.T, s *server) *Mailer {
			s.methods = []string{"XOAUTH2", sasl.Login}
			return farMailer(t, s)
		},
		"STARTTLS on this host": func(t *testing.T, s *server) *Mailer {
			return mailer(t, "smtp://ada:"+escaped+"@127.0.0.1", s.address)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			if err := send(t, m(t, s)); err != nil {
				t.Fatal(err)
			}
			got := s.mails()
			if len(got) != 1 || got[0].from != "licences@contoso.example" || got[0].to != "ada@contoso.example" || !got[0].secure || got[0].user != "ada" || got[0].utf8 {
				t.Fatalf("%+v", got)
			}
			h, parts := read(t, got[0].content)
			for header, want := range map[string]string{
				"From": `"Licences" <licences@contoso.example>`, "To": "<ada@contoso.example>", "Subject": "Your trial of Power BI Pro ends soon",
				"Date": "Mon, 01 Mar 2027 12:00:00 +0000", "Message-Id": "<b9c83024762ebfde77a4d2687bc16422@contoso.example>",
				"Auto-Submitted": "auto-generated", "Mime-Version": "1.0", "Reply-To": "", "User-Agent": "", "X-Mailer": "", "Bcc": "",
			} {
				if got := strings.Join(h[header], ","); got != want {
					t.Errorf("%s: %q, want %q", header, got, want)
				}
			}
			if len(parts) != 2 || !strings.HasPrefix(parts["text/plain; charset=UTF-8"], "Your trial of Power BI Pro ends in a few days.\n\nThe trial ends at") ||
				!strings.Contains(parts["text/html; charset=UTF-8"], "<strong>Power BI Pro</strong>") {
				t.Errorf("%q", parts)
			}
		})
	}
}

func TestSendSMTPS(t *testing.T) {
	s := newServer(t)
	l, err := tls.Listen("tcp", "127.0.0.1:0", s.TLSConfig)
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = s.Serve(l) }()
	if err := send(t, mailer(t, "smtps://ada:"+escaped+"@"+far, l.Addr().String())); err != nil {
		t.Fatal(err)
	}
	if got := s.mails(); len(got) != 1 || !got[0].secure || got[0].user != "ada" {
		t.Errorf("%+v", got)
	}
	// Not there where TLS begins with STARTTLS.
	if e := failure(t, send(t, mailer(t, "smtps://ada:"+escaped+"@"+far, s.address))); e.Permanent {
		t.Error(e)
	}
}

// Without TLS nothing is sent, but on this host, and there no password.
func TestSendInPlainText(t *testing.T) {
	plain := func(s *server) { s.TLSConfig, s.AllowInsecureAuth = nil, true }
	for name, tc := range map[string]struct {
		url  string
		saw  string
		fail string
	}{
		"another host":                   {"smtp://" + far, "", "no secure connection to the mail server was possible"},
		"another host, with a password":  {"smtp://ada:" + escaped + "@" + far, "", "no secure connection to the mail server was possible"},
		"this host":                      {"smtp://localhost", "MAIL RCPT DATA", ""},
		"this host, with a password":     {"smtp://ada:" + escaped + "@localhost", "", "no secure connection to the mail server was possible"},
		"its address":                    {"smtp://127.0.0.1", "MAIL RCPT DATA", ""},
		"its address, with a password":   {"smtp://ada:" + escaped + "@[::1]", "", "no secure connection to the mail server was possible"},
		"what looks like this host":      {"smtp://localhost.example.com", "", "no secure connection to the mail server was possible"},
		"this host, with TLS from start": {"smtps://localhost", "", "no secure connection to the mail server was possible"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, plain)
			err := send(t, mailer(t, tc.url, s.address))
			if tc.fail == "" {
				if err != nil || len(s.mails()) != 1 || s.mails()[0].secure {
					t.Errorf("%v, %+v", err, s.mails())
				}
			} else if e := failure(t, err); e.Permanent || !strings.Contains(e.Error(), tc.fail) {
				t.Errorf("%+v", e)
			}
			if s.saw() != tc.saw {
				t.Errorf("the server was told %q", s.saw())
			}
		})
	}
}

// A server that is not the one we mean gets neither a mail nor a password.
func TestSendToAnImpostor(t *testing.T) {
	self := func(*Mailer) {}
	for name, tc := range map[string]struct {
		cert  *tls.Config
		url   string
		roots func(*Mailer)
		sent  bool
	}{
		"as it should be":                          {certified(far), "smtp://ada:" + escaped + "@" + far, self, true},
		"another's certificate":                    {certified("mail.evil.example"), "smtp://ada:" + escaped + "@" + far, self, false},
		"another's certificate, no password":       {certified("mail.evil.example"), "smtp://" + far, self, false},
		"expired":                                  {certified(far, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }), "smtp://" + far, self, false},
		"by an authority that nobody trusts":       {certified(far), "smtp://" + far, func(m *Mailer) { m.roots = nil }, false},
		"too old a TLS":                            {&tls.Config{Certificates: certified(far).Certificates, MaxVersion: tls.VersionTLS11}, "smtp://" + far, self, false},
		"on this host, where plain text would do":  {certified(far), "smtp://localhost", func(m *Mailer) { m.roots = nil }, true},
		"on this host, where it would not do":      {certified(far), "smtp://ada:" + escaped + "@localhost", func(m *Mailer) { m.roots = nil }, false},
		"an IP address that is in the certificate": {certified(far), "smtp://ada:" + escaped + "@127.0.0.1", self, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, func(s *server) { s.TLSConfig = tc.cert })
			m := mailer(t, tc.url, s.address)
			tc.roots(m)
			err := send(t, m)
			if tc.sent {
				if err != nil || len(s.mails()) != 1 || !s.mails()[0].secure {
					t.Errorf("%v, %+v", err, s.mails())
				}
				return
			}
			if e := failure(t, err); e.Permanent || s.saw() != "" || e.Unwrap() == nil {
				t.Errorf("%+v, %v; the server was told %q", e, e.cause, s.saw())
			}
		})
	}
}

func TestSendWithAWrongLogin(t *testing.T) {
	s := newServer(t)
	wrong := "wrong-" + escaped
	e := failure(t, send(t, mailer(t, "smtp://ada:"+wrong+"@"+far, s.address)))
	if e.Permanent || !strings.Contains(e.Error(), "refused the operator's login (535)") || s.saw() != "AUTH" {
		t.Errorf("%v, %s", e, s.saw())
	}
	s = newServer(t, func(s *server) { s.methods, s.refuse["AUTH"] = []string{sasl.Login}, answers(454, "later, "+password) })
	if e = failure(t, send(t, farMailer(t, s))); e.Permanent || !strings.Contains(e.Error(), "(454)") {
		t.Error(e)
	}
	s = newServer(t, func(s *server) { s.methods = []string{"XOAUTH2"} })
	if e = failure(t, send(t, farMailer(t, s))); e.Permanent || !strings.Contains(e.Unwrap().Error(), "none of PLAIN, LOGIN") || s.saw() != "" {
		t.Error(e, e.cause)
	}
}

// A mail that was refused is refused for ever; all else may go by.
func TestSendRefused(t *testing.T) {
	for name, tc := range map[string]struct {
		command   string
		answer    *smtp.SMTPError
		permanent bool
		text      string
	}{
		"no such user":              {"RCPT", answers(550, "5.1.1 <ada@contoso.example>: no such user"), true, "the mail server refused it: 550 5.1.1 <ada@contoso.example>: no such user"},
		"bad syntax":                {"RCPT", answers(501, "5.1.3 bad address"), true, "501 5.1.3 bad address"},
		"relaying denied":           {"RCPT", answers(554, "5.7.1 relay access denied"), true, "554"},
		"a login is wanted":         {"RCPT", answers(530, "5.7.0 authentication required"), false, "530"},
		"greylisted":                {"RCPT", answers(451, "4.7.1 come back later"), false, "did not take it now, at RCPT TO: 451 4.7.1 come back later"},
		"mailbox full":              {"RCPT", answers(452, "4.2.2 full"), false, "452"},
		"content refused":           {"DATA", answers(554, "5.6.0 looks like spam"), true, "the mail server refused it: 554 5.6.0 looks like spam"},
		"content not now":           {"DATA", answers(452, "4.3.1 no room"), false, "the mail itself: 452"},
		"sender refused":            {"MAIL", answers(553, "5.7.1 not owned by user"), false, "at MAIL FROM: 553 5.7.1 not owned by user"},
		"sender not now":            {"MAIL", answers(451, "4.3.0 later"), false, "at MAIL FROM: 451"},
		"no service":                {"greeting", answers(421, "too many connections"), false, "421 too many connections"},
		"no service ever":           {"greeting", answers(554, "go away"), false, "554 go away"},
		"many words":                {"RCPT", answers(550, strings.Repeat("very ", 1000)), true, "very very"},
		"words that are not to see": {"RCPT", answers(550, "a\x00\u202eb\x1b[31mc"), true, "550 a b [31mc"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, func(s *server) { s.refuse[tc.command] = tc.answer })
			e := failure(t, send(t, farMailer(t, s)))
			if e.Permanent != tc.permanent || !strings.Contains(e.Error(), tc.text) {
				t.Errorf("permanent %v: %q", e.Permanent, e.Error())
			}
			if e.cause == nil || strings.Contains(e.cause.Error(), "ada") || !strings.Contains(e.cause.Error(), fmt.Sprint(tc.answer.Code)) {
				t.Errorf("for the log: %v", e.cause)
			}
			if len(s.mails()) > 0 {
				t.Error("it was taken")
			}
		})
	}
}

// short are timeouts that a test can wait for.
var short = timeouts{connect: 150 * time.Millisecond, command: 150 * time.Millisecond, attempt: 400 * time.Millisecond, stop: 100 * time.Millisecond}

const late = "the mail server did not answer in time"

func TestSendToAServerThatFails(t *testing.T) {
	offers := "250-" + far + "\r\n250 8BITMIME"
	for name, tc := range map[string]struct {
		serve func(net.Conn, *bufio.Reader)
		text  string
	}{
		"hangs at once":          {script("220-wait"), late},
		"hangs after EHLO":       {script("220 hello"), late},
		"hangs after MAIL":       {script("220 hello", offers), late},
		"hangs after RCPT":       {script("220 hello", offers, "250 ok"), late},
		"hangs after DATA":       {script("220 hello", offers, "250 ok", "250 ok"), late},
		"hangs after the mail":   {script("220 hello", offers, "250 ok", "250 ok", "354 go on"), late},
		"hangs in STARTTLS":      {script("220 hello", "250-"+far+"\r\n250 STARTTLS", "220 go on"), late},
		"closes at once":         {func(net.Conn, *bufio.Reader) {}, "closed the connection"},
		"is no mail server":      {script("HTTP/1.1 400 Bad Request"), "not SMTP"},
		"says nonsense":          {script("220 hello", offers, "what?"), "not SMTP"},
		"closes inside the mail": {closesInside(offers), "closed the connection"},
		"drips":                  {drips, late},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := mailer(t, "smtp://localhost", raw(t, tc.serve))
			m.timeouts = short
			started := time.Now()
			if e := failure(t, send(t, m)); e.Permanent || !strings.Contains(e.Error(), tc.text) {
				t.Errorf("%q, %v", e.Error(), e.cause)
			}
			if took := time.Since(started); took > 3*time.Second {
				t.Errorf("took %s", took)
			}
		})
	}
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead.Close()
	if e := failure(t, send(t, mailer(t, "smtp://localhost", dead.Addr().String()))); e.Permanent || e.Error() != "the mail server cannot be reached" {
		t.Error(e)
	}
	m := mailer(t, "smtp://localhost", "")
	m.dial = func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "mail.example.com", IsNotFound: true}}
	}
	if e := failure(t, send(t, m)); e.Permanent || !strings.Contains(e.Error(), "has no address") {
		t.Error(e)
	}
}

// closesInside reads a part of the mail only.
func closesInside(offers string) func(net.Conn, *bufio.Reader) {
	return func(conn net.Conn, in *bufio.Reader) {
		_, _ = io.WriteString(conn, "220 hello\r\n")
		for _, line := range []string{offers, "250 ok", "250 ok", "354 go on"} {
			_, _ = in.ReadString('\n')
			_, _ = io.WriteString(conn, line+"\r\n")
		}
		_, _ = in.ReadString('\n')
	}
}

// drips answers every command in time, and goes on for ever.
func drips(conn net.Conn, _ *bufio.Reader) {
	for {
		if _, err := io.WriteString(conn, "220-wait\r\n"); err != nil {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// When the operator stops, what was handed over is still answered. What takes
// too long is cut off, and tried again.
func TestSendWhileStopping(t *testing.T) {
	for name, tc := range map[string]struct {
		takes time.Duration
		sent  bool
	}{"in time": {0, true}, "too late": {5 * time.Second, false}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, stop := context.WithCancel(t.Context())
			s := newServer(t, func(s *server) {
				s.onData = func(*smtp.Conn) error {
					stop()
					select {
					case <-time.After(tc.takes):
					case <-t.Context().Done():
					}
					return nil
				}
			})
			m := farMailer(t, s)
			m.timeouts.stop = 200 * time.Millisecond
			err := m.Send(ctx, notification(), "id@example.com", now)
			if tc.sent {
				if err != nil || len(s.mails()) != 1 {
					t.Errorf("%v, %d mails", err, len(s.mails()))
				}
				return
			}
			if e := failure(t, err); e.Permanent || !errors.Is(err, errCut) {
				t.Error(e)
			}
			// It does not begin another one.
			if e := failure(t, m.Send(ctx, notification(), "id@example.com", now)); e.Permanent {
				t.Error(e)
			}
		})
	}
}

func TestSendAgainHasTheSameID(t *testing.T) {
	s := newServer(t, func(s *server) { s.refuse["DATA"] = answers(451, "later") })
	m := farMailer(t, s)
	if err := send(t, m); err == nil {
		t.Fatal("sent")
	}
	s.mu.Lock()
	s.refuse["DATA"] = nil
	delete(s.refuse, "DATA")
	s.mu.Unlock()
	other, err := Parse("smtp://"+far, "somebody@CONTOSO.example") // another process
	if err != nil {
		t.Fatal(err)
	}
	if a, b := m.MessageID("contoso", "power-bi.1"), other.MessageID("contoso", "power-bi.1"); a != b || a == m.MessageID("contoso", "power-bi.2") || a == m.MessageID("fabrikam", "power-bi.1") {
		t.Error(a, b)
	}
	for range 2 {
		if err := send(t, m); err != nil {
			t.Fatal(err)
		}
	}
	first, _ := read(t, s.mails()[0].content)
	second, _ := read(t, s.mails()[1].content)
	if first.Get("Message-Id") != second.Get("Message-Id") || first.Get("Message-Id") == "" {
		t.Error(first, second)
	}
}

func TestSendToAddresses(t *testing.T) {
	for name, tc := range map[string]struct {
		to        string
		utf8      bool // offered by the server
		envelope  string
		wantsUTF8 bool
		fail      string
	}{
		"an ordinary one":             {"ada@contoso.example", true, "ada@contoso.example", false, ""},
		"a domain beyond ASCII":       {"ada@münchen.example", false, "ada@xn--mnchen-3ya.example", false, ""},
		"a user beyond ASCII":         {"jürgen@münchen.example", true, "jürgen@xn--mnchen-3ya.example", true, ""},
		"a user beyond ASCII, no way": {"jürgen@contoso.example", false, "", false, "other than ASCII letters"},
		"two dots":                    {"a..b@contoso.example", true, "", false, "not one that mail can be sent to"},
		"a line break":                {"ada@contoso.example\r\nRCPT TO:<eve@example.com>", true, "", false, "not one that mail can be sent to"},
		"a name":                      {"Ada <ada@contoso.example>", true, "", false, "not one that mail can be sent to"},
		"brackets":                    {"<ada@contoso.example>", true, "", false, "not one that mail can be sent to"},
		"several":                     {"ada@contoso.example, eve@contoso.example", true, "", false, "not one that mail can be sent to"},
		"a domain that cannot be":     {"ada@-.example", true, "", false, "not one that mail can be sent to"},
		"nothing":                     {"", true, "", false, "not one that mail can be sent to"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, func(s *server) { s.EnableSMTPUTF8 = tc.utf8 })
			n := notification(func(spec *v1alpha1.NotificationSpec) { spec.To = v1alpha1.Email(tc.to) })
			err := farMailer(t, s).Send(t.Context(), n, "id@contoso.example", now)
			if tc.fail != "" {
				if e := failure(t, err); !e.Permanent || !strings.Contains(e.Error(), tc.fail) || strings.Contains(s.saw(), "MAIL") {
					t.Errorf("%+v, %s", e, s.saw())
				}
				return
			}
			if err != nil || len(s.mails()) != 1 || s.mails()[0].to != tc.envelope || s.mails()[0].utf8 != tc.wantsUTF8 {
				t.Errorf("%v, %+v", err, s.mails())
			}
			read(t, s.mails()[0].content)
		})
	}
}

// Nothing that people name things adds a header or a recipient.
func TestSendAddsNoHeaders(t *testing.T) {
	s := newServer(t)
	n := notification(func(spec *v1alpha1.NotificationSpec) {
		spec.Product = "Größe\r\nBcc: eve@example.com\r\n\r\n<html>"
		spec.Text = "hello\r\n.\r\nRCPT TO:<eve@example.com>\r\nDATA"
		spec.Regarding.Name = "a\r\nb"
	})
	if err := farMailer(t, s).Send(t.Context(), n, "id@contoso.example", now); err != nil {
		t.Fatal(err)
	}
	if got := s.mails(); len(got) != 1 || s.saw() != "AUTH MAIL RCPT DATA" {
		t.Fatalf("%+v, %s", got, s.saw())
	}
	h, parts := read(t, s.mails()[0].content)
	subject, err := new(mime.WordDecoder).DecodeHeader(h.Get("Subject"))
	if err != nil || subject != "Your trial of Größe Bcc: eve@example.com <html> ends soon" || len(h["Bcc"]) > 0 || len(h) != 8 {
		t.Errorf("%q, %v, %v", subject, err, h)
	}
	if strings.Contains(parts["text/html; charset=UTF-8"], "Bcc: eve@example.com <html>") {
		t.Error(parts)
	}
	for i := range len(h.Get("Subject")) {
		if h.Get("Subject")[i] > 127 {
			t.Fatal("the subject is not ASCII")
		}
	}
}

// The transport breaks no command, however long it is.
func TestSendKeepsCommands(t *testing.T) {
	s := newServer(t)
	long := command + strings.Repeat(" --as=é=", 60)
	if err := farMailer(t, s).Send(t.Context(), notification(func(spec *v1alpha1.NotificationSpec) { spec.Text = "run\n" + long }), "id@contoso.example", now); err != nil {
		t.Fatal(err)
	}
	_, parts := read(t, s.mails()[0].content)
	if plain := parts["text/plain; charset=UTF-8"]; !strings.Contains(plain, "\n    "+long+"\n") {
		t.Error(plain)
	}
	if page := html.UnescapeString(parts["text/html; charset=UTF-8"]); !strings.Contains(page, ">"+long+"</pre>") {
		t.Error(page)
	}
}

func TestSendMany(t *testing.T) {
	s := newServer(t)
	m := farMailer(t, s)
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			if err := m.Send(t.Context(), notification(), m.MessageID("contoso", fmt.Sprint(i)), now); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	ids := map[string]bool{}
	for _, e := range s.mails() {
		h, _ := read(t, e.content)
		ids[h.Get("Message-Id")] = true
	}
	if len(ids) != 100 || len(s.mails()) != 100 {
		t.Errorf("%d mails with %d ids", len(s.mails()), len(ids))
	}
}
