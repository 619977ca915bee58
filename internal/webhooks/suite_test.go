package webhooks

import (
	"bufio"
	"bytes"
	"context"
	"crypto/x509"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// proxied counts what the proxy is asked that the environment names.
var proxied atomic.Int32

func TestMain(m *testing.M) {
	proxy := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { proxied.Add(1) }))
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY"} { // read once in a process
		_ = os.Setenv(name, proxy.URL)
	}
	code := m.Run()
	proxy.Close()
	os.Exit(code)
}

var quiet = log.New(io.Discard, "", 0)

var now = time.Date(2027, 3, 1, 12, 0, 0, 0, time.UTC)

// site is a webhook that notes its connections and calls.
type site struct {
	*httptest.Server
	connections atomic.Int32

	mu    sync.Mutex
	calls []*http.Request
	body  string
}

func newSite(t *testing.T, secure bool, h http.HandlerFunc, change ...func(*httptest.Server)) *site {
	t.Helper()
	s := &site{}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		s.mu.Lock()
		s.calls, s.body = append(s.calls, r), string(body)
		s.mu.Unlock()
		if h != nil {
			h(w, r)
		}
	}))
	s.Config.ErrorLog = quiet
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			s.connections.Add(1)
		}
	}
	for _, f := range change {
		f(s.Server)
	}
	if secure {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return s
}

// trusting is a sender that trusts the test servers' issuer.
func trusting(s *site) *Sender {
	roots := x509.NewCertPool()
	if c := s.Certificate(); c != nil {
		roots.AddCert(c)
	}
	return &Sender{Roots: roots, Timeout: 2 * time.Second}
}

const token = "eyJhbGciOiJSUzI1NiJ9.e30.c2VjcmV0"

// call has a secret in the query: it may turn up nowhere.
func call(url string) Call {
	return Call{URL: url + "/webhook?code=hunter2", Body: []byte(`{"id":"1"}`), Token: token, RequestID: "r", CorrelationID: "c", Private: true}
}

func send(t *testing.T, s *Sender, c Call) Outcome {
	t.Helper()
	o, err := s.Send(t.Context(), c, now)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"hunter2", token, "127.0.0.1", "http:", "https:"} {
		if strings.Contains(o.Text, secret) {
			t.Errorf("%q has %q in it", o.Text, secret)
		}
	}
	if (o.Text == "") != (o.Result == Taken) || len(o.Text) > 200 {
		t.Errorf("result %d with the text %q", o.Result, o.Text)
	}
	return o
}

// names answers lookups from a table; what is not there does not exist. The
// name "broken.test" has the server fail.
func names(t *testing.T, table map[string][]string) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		buf := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(buf[:n]) != nil || len(m.Questions) != 1 {
				continue
			}
			m.Response, m.RecursionAvailable, m.Additionals = true, true, nil
			q := m.Questions[0]
			addresses, known := table[strings.TrimSuffix(q.Name.String(), ".")]
			switch {
			case q.Name.String() == "broken.test.":
				m.RCode = dnsmessage.RCodeServerFailure
			case !known:
				m.RCode = dnsmessage.RCodeNameError
			}
			for _, text := range addresses {
				header := dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 1}
				if a := netip.MustParseAddr(text); a.Is4() && q.Type == dnsmessage.TypeA {
					m.Answers = append(m.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.AResource{A: a.As4()}})
				} else if a.Is6() && q.Type == dnsmessage.TypeAAAA {
					m.Answers = append(m.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.AAAAResource{AAAA: a.As16()}})
				}
			}
			if packed, err := m.Pack(); err == nil {
				_, _ = conn.WriteTo(packed, from)
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

// raw is a server that answers every connection with the same bytes.
func raw(t *testing.T, answer []byte) string {
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
				if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
					_, _ = io.Copy(conn, bytes.NewReader(answer))
				}
			}()
		}
	}()
	return "http://" + l.Addr().String()
}
