// Package notify sends mails. It writes a v1alpha1.Notification out by the
// templates of its notice (render.go), and hands it to a mail server (send.go).
// Why that did not work it tells in an Error, which says whether another attempt
// may help. When to make it is for others to decide.
package notify

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/mail"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/net/idna"
)

// Mailer sends mails by one mail server. Its methods may be called at the same
// time.
type Mailer struct {
	host, port string
	implicit   bool // TLS from the first byte
	user       string
	password   func() string // nil: no login. A function, so that printing a Mailer does not print it
	from       mail.Address
	domain     string // of from, in ASCII
	hello      string // who we say that we are
	timeouts   timeouts

	// For tests.
	roots    *x509.CertPool         // nil: the system's
	dial     dialer                 // nil: the network's
	loopback func(host string) bool // whether nobody is between us and a host
}

const urlHelp = `give smtp://user:password@mail.example.com:587, or smtps://user:password@mail.example.com:465; ` +
	`in user and password write each of the characters %/?#[]@: as % and two hexadecimal digits, such as %40 for @`

// Parse makes a Mailer from a URL of the form smtp://user:password@host:port or
// smtps://user:password@host:port and the address that mails are from, with or
// without a name before it. Its errors hold nothing of the URL, as anything in
// it could be part of the password.
func Parse(smtpURL, from string) (*Mailer, error) {
	wrong := func(what string) (*Mailer, error) {
		return nil, fmt.Errorf("the URL of the mail server %s: %s", what, urlHelp)
	}
	if strings.ContainsFunc(smtpURL, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) {
		return wrong("has a space or a line break in it")
	}
	u, err := url.Parse(smtpURL)
	if err != nil { // which quotes the URL
		return wrong("cannot be read")
	}
	port := map[string]string{"smtp": "587", "smtps": "465"}[u.Scheme]
	host, hostErr := domains.ToASCII(u.Hostname())
	password, withPassword := u.User.Password()
	switch {
	case port == "":
		return wrong("does not begin with smtp:// or smtps://")
	case u.Opaque != "" || u.Hostname() == "":
		return wrong("names no host")
	case hostErr != nil && !isIP(u.Hostname()):
		return wrong("names a host that cannot be")
	case u.RawQuery != "" || u.ForceQuery:
		return wrong("has a question mark, and there are no options to set")
	case u.Path != "" && u.Path != "/" || u.Fragment != "":
		return wrong("has something after the host and the port")
	case u.User != nil && (u.User.Username() == "" || password == ""):
		return wrong("has a user without a password, or a password without a user")
	}
	if isIP(u.Hostname()) {
		host = u.Hostname()
	}
	if p := u.Port(); p != "" {
		if n, err := strconv.ParseUint(p, 10, 16); err != nil || n == 0 {
			return wrong("has a port that is not from 1 to 65535")
		}
		port = p
	}
	m := &Mailer{host: host, port: port, implicit: u.Scheme == "smtps", loopback: isLoopback, timeouts: defaultTimeouts}
	if withPassword {
		m.user, m.password = u.User.Username(), func() string { return password }
	}
	if m.from, m.domain, err = sender(from); err != nil {
		return nil, err
	}
	if m.hello, _ = os.Hostname(); m.hello == "" || strings.ContainsFunc(m.hello, unicode.IsSpace) {
		m.hello = "localhost"
	}
	return m, nil
}

// sender reads the address that mails are from. Its errors quote what was given,
// unless that looks like the URL of the mail server, which has the password.
func sender(from string) (mail.Address, string, error) {
	const help = "give one that can get mail, such as licences@example.com or Licences <licences@example.com>"
	if strings.TrimSpace(from) == "" {
		return mail.Address{}, "", errors.New("a mail server needs an address that mails are from: " + help)
	}
	wrong := fmt.Errorf("mails cannot be from %q: %s", from, help)
	if strings.Contains(from, "://") || strings.Contains(from, ":") && strings.Contains(from, "@") {
		wrong = errors.New("mails cannot be from what was given, which looks like the URL of the mail server: " + help)
	}
	a, err := mail.ParseAddress(from)
	if err != nil || strings.ContainsFunc(a.Name, unicode.IsControl) {
		return mail.Address{}, "", wrong
	}
	local, domain, err := split(a.Address)
	if err != nil || !isASCII(local) {
		return mail.Address{}, "", wrong
	}
	return mail.Address{Name: a.Name, Address: local + "@" + domain}, domain, nil
}

// domains reads names of hosts and domains, whatever letters they are in.
var domains = idna.New(idna.MapForLookup(), idna.StrictDomainName(true), idna.VerifyDNSLength(true), idna.BidiRule())

// split takes an address apart, with its domain in ASCII.
func split(address string) (local, domain string, err error) {
	at := strings.LastIndex(address, "@")
	if at < 1 {
		return "", "", errors.New("it has no @")
	}
	domain, err = domains.ToASCII(address[at+1:])
	if err != nil || domain == "" {
		return "", "", errors.New("what is after the @ is no domain")
	}
	return address[:at], domain, nil
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r > unicode.MaxASCII })
}

func isIP(host string) bool { return net.ParseIP(host) != nil }

// isLoopback reports whether nobody is between us and a host.
func isLoopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.IsLoopback()
}

// MessageID returns the Message-ID of a Notification. It is the same for every
// attempt, so that a mail that was sent twice can be recognised as one.
func (m *Mailer) MessageID(namespace, name string) string {
	sum := sha256.Sum256([]byte(namespace + "/" + name)) // a name has no slash
	return hex.EncodeToString(sum[:16]) + "@" + m.domain
}
