package notify

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	stdmail "net/mail"
	"slices"
	"strings"
	"time"

	"github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"

	"github.com/license-operator/license-operator/api/v1alpha1"
)

// AttemptTime is what an attempt takes at most.
const AttemptTime = 45 * time.Second

// timeouts of an attempt.
type timeouts struct {
	connect time.Duration
	command time.Duration // to answer one
	attempt time.Duration // all of it
	stop    time.Duration // to finish what goes on when the operator stops
}

// A server that looks for viruses may take its time with the answer to a mail,
// and a mail whose answer is not heard is sent twice. An attempt is over before
// the next one may begin.
var defaultTimeouts = timeouts{connect: 10 * time.Second, command: 30 * time.Second, attempt: AttemptTime, stop: 10 * time.Second}

type dialer func(ctx context.Context, network, address string) (net.Conn, error)

// Send hands a mail to the mail server, once. An error is an *Error. The ctx
// being done does not cut off at once what goes on.
func (m *Mailer) Send(ctx context.Context, n *v1alpha1.Notification, messageID string, now time.Time) error {
	msg, to, unicode, err := m.message(n, messageID, now)
	if err != nil {
		return &Error{Permanent: true, text: err.Error()}
	}
	if ctx.Err() != nil {
		return failed(ctx, atConnect, ctx.Err())
	}
	within, cancel := m.outlive(ctx)
	defer cancel()
	c, err := m.connect(within)
	if err != nil {
		return err
	}
	defer c.line.Close()
	defer context.AfterFunc(within, func() { _ = c.line.Close() })() // c.Close would wait for an answer

	if err := m.login(within, c); err != nil {
		return err
	}
	offered, _ := c.Extension("SMTPUTF8")
	if unicode && !offered {
		return &Error{Permanent: true, text: "the mail server cannot send to an address with other than ASCII letters before the @: use another one"}
	}
	c.SkipSMTPUTF8(!unicode) // else servers on the way that cannot do it refuse what needs none of it
	var w io.WriteCloser
	for _, s := range []struct {
		command string
		do      func() error
	}{
		{atSender, func() error { return c.Mail("<" + m.from.Address + ">") }},
		{atTo, func() error { return c.Rcpt("<" + to + ">") }},
		{atData, func() (err error) { w, err = c.Data(); return err }},
		{atContent, func() error {
			if _, err := msg.WriteTo(w); err != nil {
				return err // half a mail must not look like a whole one, so w is not closed
			}
			return w.Close()
		}},
	} {
		if err := c.step(s.do); err != nil {
			return failed(within, s.command, err)
		}
	}
	_ = c.step(c.Quit) // it was taken, whatever comes now
	return nil
}

// outlive gives an attempt its time. When the operator stops, it has a little
// longer, because a mail that is cut off may have been taken.
func (m *Mailer) outlive(ctx context.Context) (context.Context, context.CancelFunc) {
	whole, stopTimer := context.WithTimeout(context.WithoutCancel(ctx), m.timeouts.attempt)
	within, cancel := context.WithCancelCause(whole)
	unhook := context.AfterFunc(ctx, func() {
		if errors.Is(ctx.Err(), context.Canceled) {
			timer := time.AfterFunc(m.timeouts.stop, func() { cancel(errCut) })
			context.AfterFunc(within, func() { timer.Stop() })
		}
	})
	return within, func() {
		unhook()
		cancel(nil)
		stopTimer()
	}
}

// conn is a connection to the mail server.
type conn struct {
	*smtp.Client
	line    net.Conn
	timeout time.Duration // of a command
}

// step gives a command its time.
func (c *conn) step(do func() error) error {
	if err := c.UpdateDeadline(c.timeout); err != nil {
		return err
	}
	return do()
}

// connect greets the mail server, and goes over to TLS.
func (m *Mailer) connect(ctx context.Context) (*conn, error) {
	ctx, cancel := context.WithTimeout(ctx, m.timeouts.connect)
	defer cancel()
	dial := m.dial
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	line, err := dial(ctx, "tcp", net.JoinHostPort(m.host, m.port))
	if err != nil {
		return nil, failed(ctx, atConnect, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = line.Close() })
	c, err := m.greet(ctx, line)
	if err == nil && !stop() {
		err = failed(ctx, atGreet, ctx.Err())
	}
	if err != nil {
		_ = line.Close()
		return nil, err
	}
	return &conn{Client: c, line: line, timeout: m.timeouts.command}, nil
}

func (m *Mailer) greet(ctx context.Context, line net.Conn) (*smtp.Client, error) {
	config := &tls.Config{ServerName: m.host, RootCAs: m.roots, MinVersion: tls.VersionTLS12}
	if m.implicit {
		secure := tls.Client(line, config)
		if err := secure.HandshakeContext(ctx); err != nil {
			return nil, failed(ctx, atTLS, err)
		}
		line = secure
	}
	c, err := smtp.NewClient(line, m.host)
	if err != nil {
		return nil, failed(ctx, atGreet, err)
	}
	if err := c.Hello(m.hello); err != nil {
		return nil, failed(ctx, atGreet, err)
	}
	if offered, _ := c.Extension("STARTTLS"); offered && !m.implicit {
		// On this host plain text would do, unless a password is sent.
		config.InsecureSkipVerify = m.loopback(m.host) && m.password == nil
		if err := c.StartTLS(config); err != nil {
			return nil, failed(ctx, atTLS, err)
		}
	}
	if _, secure := c.TLSConnectionState(); !secure && (m.password != nil || !m.loopback(m.host)) {
		why := errors.New("the mail server offers no STARTTLS, and without it no mail and no password is sent: turn it on there, or use smtps://")
		return nil, &Error{text: "no secure connection to the mail server was possible: " + forAdmin, cause: why}
	}
	return c, nil
}

// login tells the mail server who we are, if we have a password. The line is
// secure.
func (m *Mailer) login(ctx context.Context, c *conn) error {
	if m.password == nil {
		return nil
	}
	_, offered := c.Extension("AUTH")
	methods := strings.Fields(strings.ToUpper(offered))
	var auth smtp.Auth
	switch {
	case slices.Contains(methods, "PLAIN"):
		auth = smtp.PlainAuth("", m.user, m.password(), m.host, false)
	case slices.Contains(methods, "LOGIN"):
		auth = smtp.LoginAuth(m.user, m.password(), m.host, false)
	case slices.Contains(methods, "SCRAM-SHA-256"):
		auth = smtp.ScramSHA256Auth(m.user, m.password())
	default:
		why := fmt.Errorf("the mail server offers none of PLAIN, LOGIN and SCRAM-SHA-256 to log in with: take user and password out of --smtp if it wants none")
		return &Error{text: "the mail server takes no login: " + forAdmin, cause: why}
	}
	err := c.step(func() error { return c.Auth(auth) })
	if err == nil {
		return nil
	}
	e := failed(ctx, atLogin, err)
	e.cause = fmt.Errorf("%s: refused, or broken off", atLogin) // what the server says may repeat what we said
	return e
}

// message writes a Notification out as a mail, and returns the address that the
// server is told, and whether that takes SMTPUTF8.
func (m *Mailer) message(n *v1alpha1.Notification, messageID string, now time.Time) (msg *mail.Msg, to string, unicode bool, err error) {
	address, err := stdmail.ParseAddress(string(n.Spec.To))
	if err != nil || address.Name != "" || address.Address != string(n.Spec.To) {
		return nil, "", false, errors.New("the address is not one that mail can be sent to")
	}
	local, domain, err := split(address.Address)
	if err != nil {
		return nil, "", false, fmt.Errorf("the address is not one that mail can be sent to: %w", err)
	}
	to = local + "@" + domain
	text, err := render(n)
	if err != nil {
		return nil, "", false, err
	}
	msg = mail.NewMsg(mail.WithNoDefaultUserAgent())
	msg.FromMailAddress(&m.from)
	msg.ToMailAddress(&stdmail.Address{Address: to})
	msg.Subject(text.subject)
	msg.SetDateWithValue(now)
	msg.SetMessageIDWithValue(messageID)
	msg.SetGenHeader("Auto-Submitted", "auto-generated")
	msg.SetBodyString(mail.TypeTextPlain, text.plain)
	msg.AddAlternativeString(mail.TypeTextHTML, text.html)
	return msg, to, !isASCII(local), nil
}
