package webhooks

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestRequest(t *testing.T) {
	s := newSite(t, true, nil)
	if o := send(t, trusting(s), call(s.URL)); o != (Outcome{Result: Taken}) {
		t.Errorf("%+v", o)
	}
	r := s.calls[0]
	if r.Method != http.MethodPost || r.RequestURI != "/webhook?code=hunter2" || s.body != `{"id":"1"}` {
		t.Errorf("%s %s %s", r.Method, r.RequestURI, s.body)
	}
	for name, want := range map[string]string{
		"Authorization": "Bearer " + token, "Content-Type": "application/json; charset=utf-8", "X-Ms-Requestid": "r", "X-Ms-Correlationid": "c",
	} {
		if got := r.Header.Get(name); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestOutcomes(t *testing.T) {
	for code, want := range map[int][2]Result{ // of what may be refused, of what may not
		200: {Taken, Taken}, 201: {Taken, Taken}, 202: {Taken, Taken}, 204: {Taken, Taken}, 299: {Taken, Taken},
		300: {Failed, Failed}, 304: {Failed, Failed},
		400: {Refused, Failed}, 401: {Failed, Failed}, 403: {Refused, Failed}, 404: {Refused, Failed}, 409: {Refused, Failed}, 410: {Refused, Failed}, 422: {Refused, Failed}, 499: {Refused, Failed},
		408: {Failed, Failed}, 425: {Failed, Failed}, 429: {Later, Later},
		500: {Failed, Failed}, 502: {Failed, Failed}, 503: {Later, Later}, 504: {Failed, Failed}, 599: {Failed, Failed}, 999: {Failed, Failed},
	} {
		s := newSite(t, false, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) })
		for i, refusable := range []bool{true, false} {
			c := call(s.URL)
			c.Refusable = refusable
			o := send(t, trusting(s), c)
			if o.Result != want[i] || o.After != 0 || o.Result != Taken && !strings.HasPrefix(o.Text, fmt.Sprintf("the webhook answered %d", code)) {
				t.Errorf("%d, refusable %t: %+v", code, refusable, o)
			}
		}
	}
}

func TestRetryAfter(t *testing.T) {
	for header, want := range map[string]time.Duration{
		"":                              0,
		"0":                             time.Second,
		"1":                             time.Second,
		"61":                            61 * time.Second,
		"3600":                          time.Hour,
		"999999999":                     time.Hour,
		"99999999999999999999999":       0, // no number, and no date
		"-5":                            0,
		"soon":                          0,
		"Mon, 01 Mar 2027 12:10:00 GMT": 10 * time.Minute,
		"Mon, 01 Mar 2027 11:00:00 GMT": time.Second,
		"Mon, 01 Mar 2038 12:00:00 GMT": time.Hour,
	} {
		for code, counts := range map[int]bool{429: true, 503: true, 500: false, 409: false, 200: false} {
			s := newSite(t, false, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", header)
				w.WriteHeader(code)
			})
			o := send(t, trusting(s), call(s.URL))
			if counts && o.After != want || !counts && o.After != 0 {
				t.Errorf("%d with Retry-After %q: %s", code, header, o.After)
			}
		}
	}
}

func TestFailures(t *testing.T) {
	hang := func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		panic(http.ErrAbortHandler) // an answer could still be read while the client closes
	}
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	refused := "https://" + closed.Addr().String()
	good := newSite(t, true, nil)
	plain := newSite(t, false, nil)
	old := newSite(t, true, nil, func(s *httptest.Server) {
		s.TLS = &tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}
	})
	strangers := newSite(t, true, nil, func(s *httptest.Server) { s.TLS = certificate(t, "127.0.0.1", time.Hour) })
	for name, row := range map[string]struct {
		url  string
		s    *Sender
		want string
	}{
		"no answer in time":        {newSite(t, true, hang).URL, &Sender{Roots: trusting(good).Roots, Timeout: 100 * time.Millisecond}, "the webhook did not answer in time"},
		"no such name":             {"https://nowhere.test", &Sender{Resolver: names(t, nil)}, "the webhook's name does not resolve"},
		"names cannot be resolved": {"https://broken.test", &Sender{Resolver: names(t, nil)}, "the webhook's name cannot be looked up"},
		"connection refused":       {refused, &Sender{}, "the webhook refused the connection"},
		"no TLS there":             {strings.Replace(plain.URL, "http:", "https:", 1), &Sender{}, "TLS with the webhook failed"},
		"TLS 1.1":                  {old.URL, trusting(old), "TLS with the webhook failed"},
		"unknown issuer":           {strangers.URL, trusting(good), "the webhook's certificate is not valid: its issuer is not known here"},
		"the system's issuers":     {good.URL, &Sender{}, "the webhook's certificate is not valid: its issuer is not known here"},
		"expired":                  own(t, "127.0.0.1", -time.Minute, "the webhook's certificate is not valid: it has expired, or is not valid yet"),
		"another name":             own(t, "192.0.2.7", time.Hour, "the webhook's certificate is not valid: it is for another name"),
		"closed without an answer": {raw(t, nil), &Sender{}, "the webhook closed the connection without an answer"},
		"not HTTP":                 {raw(t, []byte("hunter2 hunter2\r\n\r\n")), &Sender{}, "the webhook's answer cannot be read"},
		"half an answer":           {raw(t, []byte("HTTP/1.1 200 OK\r\nContent-Le")), &Sender{}, "the webhook's answer cannot be read"},
		"too many headers":         {raw(t, []byte("HTTP/1.1 200 OK\r\n"+strings.Repeat("X: hunter2\r\n", 10_000)+"\r\n")), &Sender{}, "the webhook's answer cannot be read"},
	} {
		if o := send(t, row.s, call(row.url)); o.Result != Failed || o.Text != row.want || o.After != 0 {
			t.Errorf("%s: %+v, want %q", name, o, row.want)
		}
	}
}

// TestBodies has the outcome be known although the body is not: it is slow,
// endless or cut off. Little of it is read.
func TestBodies(t *testing.T) {
	written := make(chan int, 1)
	for name, h := range map[string]http.HandlerFunc{
		"slow": func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusOK)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
			written <- 0
		},
		"endless": func(w http.ResponseWriter, _ *http.Request) {
			n := 0
			for piece := []byte(strings.Repeat("hunter2 ", 1000)); n < 1<<30; {
				m, err := w.Write(piece)
				if n += m; err != nil {
					break
				}
			}
			written <- n
		},
		"shorter than it says": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			_, _ = io.WriteString(w, "hunter2")
			written <- 0
		},
	} {
		s := newSite(t, true, h)
		sender := trusting(s)
		sender.Timeout = 30 * time.Second
		start := time.Now()
		if o := send(t, sender, call(s.URL)); o.Result != Taken {
			t.Errorf("%s: %+v", name, o)
		}
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("%s: it took %s", name, took)
		}
		if n := <-written; n > 64<<20 {
			t.Errorf("%s: %d bytes were taken", name, n)
		}
	}
}

// certificate makes one that is its own issuer, for an address, until then.
func certificate(t *testing.T, address string, valid time.Duration) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.ParseIP(address)}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(valid),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}

// own is a server with such a certificate and a sender that knows its issuer.
func own(t *testing.T, address string, valid time.Duration, want string) (row struct {
	url  string
	s    *Sender
	want string
}) {
	t.Helper()
	s := newSite(t, true, nil, func(s *httptest.Server) { s.TLS = certificate(t, address, valid) })
	row.url, row.s, row.want = s.URL, trusting(s), want
	return row
}
