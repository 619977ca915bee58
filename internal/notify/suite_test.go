package notify

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// password may occur in no error. It has in it what a URL escapes.
const password = "hunter2/#@:%?"

const escaped = "hunter2%2F%23%40%3A%25%3F"

// far is a host that is not this one, which test servers stand for.
const far = "mail.example.com"

// server is a mail server that keeps what it takes.
type server struct {
	*smtp.Server
	address string
	methods []string // to log in with
	refuse  map[string]error
	onData  func(c *smtp.Conn) error // after a mail was read

	mu       sync.Mutex
	taken    []envelope
	commands []string
}

// envelope is a mail with what the server was told of it.
type envelope struct {
	from, to, content string
	utf8, secure      bool
	user              string
}

// newServer starts a server that offers STARTTLS with a certificate for far.
func newServer(t *testing.T, change ...func(*server)) *server {
	t.Helper()
	s := &server{methods: []string{sasl.Plain}, refuse: map[string]error{}}
	s.Server = smtp.NewServer(s)
	s.Domain, s.EnableSMTPUTF8, s.ErrorLog = far, true, log.New(io.Discard, "", 0)
	s.ReadTimeout, s.WriteTimeout = 10*time.Second, 10*time.Second
	s.TLSConfig = certified(far)
	for _, f := range change {
		f(s)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.address = l.Addr().String()
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { s.Close() })
	return s
}

func (s *server) NewSession(c *smtp.Conn) (smtp.Session, error) {
	return &session{server: s, conn: c}, s.refuse["greeting"]
}

// seen notes a command, and says whether it is refused.
func (s *server) seen(command string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.commands = append(s.commands, command)
	return s.refuse[command]
}

func (s *server) mails() []envelope {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.taken
}

func (s *server) saw() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.commands, " ")
}

type session struct {
	*server
	conn *smtp.Conn
	envelope
}

func (s *session) AuthMechanisms() []string { return s.methods }

func (s *session) Auth(mech string) (sasl.Server, error) {
	check := func(user, pass string) error {
		if err := s.seen("AUTH"); err != nil {
			return err
		}
		if user != "ada" || pass != password {
			return &smtp.SMTPError{Code: 535, EnhancedCode: smtp.EnhancedCode{5, 7, 8}, Message: "no user " + user + " with " + pass}
		}
		s.user = user
		return nil
	}
	if mech == sasl.Login {
		return &loginServer{check: check}, nil
	}
	return sasl.NewPlainServer(func(_, user, pass string) error { return check(user, pass) }), nil
}

// loginServer is the method LOGIN, which the library has for clients only.
type loginServer struct {
	check func(user, pass string) error
	user  *string
}

func (l *loginServer) Next(response []byte) (challenge []byte, done bool, err error) {
	switch {
	case response == nil:
		return []byte("Username:"), false, nil
	case l.user == nil:
		l.user = new(string(response))
		return []byte("Password:"), false, nil
	}
	return nil, true, l.check(*l.user, string(response))
}

func (s *session) Mail(from string, o *smtp.MailOptions) error {
	_, secure := s.conn.TLSConnectionState()
	s.envelope = envelope{from: from, utf8: o.UTF8, secure: secure, user: s.user}
	return s.seen("MAIL")
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.to = to
	return s.seen("RCPT")
}

func (s *session) Data(r io.Reader) error {
	content, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if err := s.seen("DATA"); err != nil {
		return err
	}
	if s.onData != nil {
		if err := s.onData(s.conn); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.content = string(content)
	s.taken = append(s.taken, s.envelope)
	return nil
}

func (s *session) Reset()        {}
func (s *session) Logout() error { return nil }

// answers makes an answer of a mail server.
func answers(code int, text string) *smtp.SMTPError {
	return &smtp.SMTPError{Code: code, EnhancedCode: smtp.NoEnhancedCode, Message: text}
}

// authority signs the certificates of test servers.
var authority = sync.OnceValue(func() *issuer {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Test CA"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, key.Public(), key)
	if err != nil {
		panic(err)
	}
	if cert, err = x509.ParseCertificate(der); err != nil {
		panic(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	return &issuer{cert: cert, key: key, roots: roots}
})

type issuer struct {
	cert  *x509.Certificate
	key   *ecdsa.PrivateKey
	roots *x509.CertPool
}

// certified makes what a server with a certificate for a name needs.
func certified(name string, change ...func(*x509.Certificate)) *tls.Config {
	ca := authority()
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(2), DNSNames: []string{name}, IPAddresses: []net.IP{net.ParseIP("127.0.0.1")},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, f := range change {
		f(cert)
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, ca.cert, ca.key.Public(), ca.key)
	if err != nil {
		panic(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: ca.key}}}
}

// mailer makes one for a URL. Whatever host that names, it connects to an
// address of this host.
func mailer(t *testing.T, url, address string) *Mailer {
	t.Helper()
	m, err := Parse(url, "Licences <licences@contoso.example>")
	if err != nil {
		t.Fatal(err)
	}
	m.roots = authority().roots
	m.dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}
	return m
}

// farMailer logs in at a server on another host.
func farMailer(t *testing.T, s *server) *Mailer {
	return mailer(t, "smtp://ada:"+escaped+"@"+far, s.address)
}

// failure is how Send failed.
func failure(t *testing.T, err error) *Error {
	t.Helper()
	e := new(Error)
	if !errors.As(err, &e) || e.Error() == "" {
		t.Fatalf("failed with %#v", err)
	}
	all := e.Error()
	if e.cause != nil {
		all += " " + e.cause.Error()
	}
	for _, secret := range []string{password, escaped, "hunter2"} {
		if strings.Contains(all, secret) {
			t.Errorf("%q has the password in it", all)
		}
	}
	if strings.ContainsAny(e.Error(), "\r\n") || len(e.Error()) > 500 || strings.Contains(e.Error(), "127.0.0.1") || strings.Contains(e.Error(), "ada ") {
		t.Errorf("not for everybody: %q", e.Error())
	}
	return e
}

// send sends a mail as the first attempt does.
func send(t *testing.T, m *Mailer) error {
	t.Helper()
	n := notification()
	return m.Send(t.Context(), n, m.MessageID(n.Namespace, n.Name), now)
}

// raw is a server that is a function.
func raw(t *testing.T, serve func(conn net.Conn, in *bufio.Reader)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				serve(conn, bufio.NewReader(conn))
			}()
		}
	}()
	return l.Addr().String()
}

// script answers each line with the next of some lines, and then no more; it
// keeps the connection open until the other side closes it.
func script(lines ...string) func(net.Conn, *bufio.Reader) {
	return func(conn net.Conn, in *bufio.Reader) {
		for i, line := range lines {
			if i > 0 {
				if _, err := in.ReadString('\n'); err != nil {
					return
				}
			}
			_, _ = io.WriteString(conn, line+"\r\n")
		}
		_, _ = io.Copy(io.Discard, in)
	}
}
