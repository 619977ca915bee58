package fulfillment

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/internal/saasapi"
)

// TestPaths calls the same thing as clients write it.
func TestPaths(t *testing.T) {
	m := newMarket(t)
	s := m.buy(active, delivered)
	_, facts := s.facts()
	auth := []string{"Authorization", "Bearer " + m.token}
	for _, path := range []string{
		"/saas/subscriptions", "/saas/subscriptions/" + s.id, "/saas/subscriptions/" + s.id + "/listAvailablePlans",
		"/saas/subscriptions/" + s.id + "/operations", "/saas/subscriptions/" + s.id + "/operations/" + facts.Operations[0].ID,
	} {
		var first string
		for _, as := range []string{"/api" + path, "/api" + path + "/", path, path + "/", "/api/" + path, strings.ToUpper("/api" + path)} {
			a := m.raw("GET", as+"?api-version=2018-08-31", "", auth...)
			m.want(as, a, 200, "")
			if first == "" {
				first = a.body
			}
			if a.body != first {
				t.Errorf("%s: got %s, want %s", as, a.body, first)
			}
		}
	}
	for _, path := range []string{"/", "/api", "/api/saas", "/api/api/saas/subscriptions", "/api/saas/subscriptions/nonsense", "/api/saas/subscriptions/" + s.id[:35],
		"/api/saas/subscriptions/" + s.id + "/nonsense", "/api/saas/subscriptions/" + s.id + "/operations/1", "/api/saas/subscriptions/*", "/api/saas/" + s.id,
		"/api/saas/subscriptions/" + s.id + "/operations/" + uuid.NewString() + "/x", "/api/saas/subscriptions/urn:uuid:" + s.id, "/.well-known/", "/%2e%2e/%00"} {
		m.want(path, m.raw("GET", path+"?api-version=2018-08-31", "", auth...), 404, "")
	}
}

func TestMethods(t *testing.T) {
	m := newMarket(t)
	s := m.buy(active)
	for _, row := range []struct{ path, allow string }{
		{"", "GET"}, {"/resolve", "POST"}, {"/" + s.id, "DELETE, GET, PATCH"}, {"/" + s.id + "/activate", "POST"},
		{"/" + s.id + "/listAvailablePlans", "GET"}, {"/" + s.id + "/operations", "GET"}, {"/" + s.id + "/operations/" + uuid.NewString(), "GET, PATCH"},
	} {
		a := m.call("PUT", row.path, "{}")
		m.want(row.path, a, 405, row.allow)
		if got := a.Header.Get("Allow"); got != row.allow {
			t.Errorf("%s: Allow is %q, want %q", row.path, got, row.allow)
		}
	}
}

func TestVersion(t *testing.T) {
	m := newMarket(t)
	for query, want := range map[string]string{
		"": `{"Error":{"Code":"ApiVersionUnspecified"`, "?api-version=": `{"Error":{"Code":"ApiVersionUnspecified"`,
		"?api-version=2017-04-15": `{"Error":{"Code":"UnsupportedApiVersion"`, "?api-version=2018-08-31x": `{"Error":{"Code":"UnsupportedApiVersion"`,
	} {
		a := m.raw("GET", "/api/saas/subscriptions"+query, "", "Authorization", "Bearer "+m.token)
		if a.StatusCode != http.StatusBadRequest || !strings.HasPrefix(a.body, want) {
			t.Errorf("%q: got %d, %s", query, a.StatusCode, a.body)
		}
	}
}

// TestEcho sends back a client's names for its request, if they are harmless.
func TestEcho(t *testing.T) {
	m := newMarket(t)
	for what, row := range map[string]struct {
		sent string
		echo bool
	}{
		"a UUID":        {uuid.NewString(), true},
		"a word":        {"order-7:retry.2", true},
		"128 letters":   {strings.Repeat("x", 128), true},
		"129 letters":   {strings.Repeat("x", 129), false},
		"nothing":       {"", false},
		"two words":     {"a b", false},
		"markup":        {"<script>", false},
		"other letters": {"ünïcode", false},
	} {
		for path, code := range map[string]int{"": 200, "/nonsense": 404, "/" + uuid.NewString(): 404} {
			for _, name := range []string{"x-ms-requestid", "x-ms-correlationid"} {
				a := m.call("GET", path, "", name, row.sent)
				got := a.Header.Get(name)
				if a.StatusCode != code || row.echo != (got == row.sent) || !row.echo && uuid.Validate(got) != nil {
					t.Errorf("%s as %s: got %d, %q", what, name, a.StatusCode, got)
				}
			}
		}
	}
	a := m.call("GET", "", "")
	if a.Header.Get("x-ms-requestid") == a.Header.Get("x-ms-correlationid") {
		t.Error("both headers have the same UUID")
	}
}

func TestBodies(t *testing.T) {
	m := newMarket(t)
	s := m.buy(active)
	for what, row := range map[string]struct {
		contentType, body string
		code              int
		says              string
	}{
		"too large":         {"application/json", `{"quantity":20,"x":"` + strings.Repeat("x", maxBody) + `"}`, 413, "64 KiB"},
		"a form":            {"application/x-www-form-urlencoded", `{"quantity":20}`, 415, "application/json"},
		"nonsense for type": {"///", `{"quantity":20}`, 415, "application/json"},
		"another charset":   {"application/json; charset=utf-8", `{"quantity":10}`, 400, "already"},
		"no type":           {"", `{"quantity":10}`, 400, "already"},
		"a patch":           {"application/merge-patch+json", `{"quantity":10}`, 400, "already"},
		"unknown fields":    {"application/json", `{"quantity":10,"x":{"y":[1]}}`, 400, "already"},
		"deep":              {"application/json", strings.Repeat(`{"x":`, 12000) + "1" + strings.Repeat("}", 2000), 400, "JSON object"},
		"not JSON":          {"application/json", `quantity=20`, 400, "JSON object"},
		"cut off":           {"application/json", `{"quantity":2`, 400, "JSON object"},
		"empty":             {"application/json", ``, 400, "JSON object"},
	} {
		m.want(what, m.call("PATCH", "/"+s.id, row.body, "Content-Type", row.contentType), row.code, row.says)
	}
	if _, facts := s.facts(); len(facts.Operations) > 0 {
		t.Error("something was put on record")
	}
}

// dial speaks to the service by hand, and returns the status of the answer.
func (m *market) dial(send string) (code int, took time.Duration) {
	m.t.Helper()
	begin := time.Now()
	conn, err := net.Dial("tcp", strings.TrimPrefix(m.url, "http://"))
	if err != nil {
		m.t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(begin.Add(20 * time.Second))
	if _, err := io.WriteString(conn, send); err != nil {
		m.t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0, time.Since(begin) // closed without an answer
	}
	defer res.Body.Close()
	return res.StatusCode, time.Since(begin)
}

// TestSlow sends requests that never end.
func TestSlow(t *testing.T) {
	m := newMarket(t, func(s *Service) { s.ReadTimeout = time.Second })
	s := m.buy(active)
	head := "PATCH /api/saas/subscriptions/" + s.id + "?api-version=2018-08-31 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + m.token + "\r\n"
	for what, row := range map[string]struct {
		send string
		code int
	}{
		"the header":       {head, 0},
		"the body":         {head + "Content-Type: application/json\r\nContent-Length: 50\r\n\r\n{\"quan", 408},
		"a large header":   {head + "X: " + strings.Repeat("x", 40<<10) + "\r\n\r\n", 431},
		"no HTTP":          {"\x16\x03\x01\x02\x00\x01\r\n\r\n", 400},
		"another protocol": {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 0},
	} {
		code, took := m.dial(row.send)
		if code != row.code && (what != "another protocol" || code < 400) || took > 5*time.Second {
			t.Errorf("%s: got %d after %v, want %d", what, code, took, row.code)
		}
	}
}

// held is an API server that lets requests wait.
type held struct {
	client.Reader
	arrived chan struct{}
	release chan struct{}
}

func (h held) Get(ctx context.Context, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
	h.arrived <- struct{}{}
	<-h.release
	return h.Reader.Get(ctx, key, o, opts...)
}

// TestMany asks for more at a time than is allowed, and then stops the service.
func TestMany(t *testing.T) {
	h := held{arrived: make(chan struct{}, 100), release: make(chan struct{})}
	m := newMarket(t, func(s *Service) { h.Reader = s.Live; s.Live = h; s.MaxRequests = 3 })
	s := m.buy(active)
	codes := make(chan int, 3)
	for range 3 {
		go func() { codes <- m.call("GET", "/"+s.id, "").StatusCode }()
	}
	for range 3 {
		<-h.arrived
	}
	m.want("one too many", m.call("GET", "/"+s.id, ""), 503, "as many requests")
	m.want("without a credential", m.call("GET", "/"+s.id, "", "Authorization", ""), 403, "")
	close(h.release)
	for range 3 {
		if code := <-codes; code != 200 {
			t.Errorf("got %d", code)
		}
	}
	m.want("afterwards", m.call("GET", "/"+s.id, ""), 200, "")
}

// TestStop lets a request finish that runs while the service stops.
func TestStop(t *testing.T) {
	h := held{arrived: make(chan struct{}, 1), release: make(chan struct{})}
	m := newMarket(t, func(s *Service) { h.Reader = s.Live; s.Live = h })
	s := m.buy(active)
	stop := m.start() // a second listener of the same service
	code := make(chan int, 1)
	go func() { code <- m.call("GET", "/"+s.id, "").StatusCode }()
	<-h.arrived
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	select {
	case err := <-stopped:
		t.Errorf("it stopped before the request was over: %v", err)
	case <-time.After(200 * time.Millisecond):
	}
	close(h.release)
	if got := <-code; got != 200 {
		t.Errorf("got %d", got)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

func TestListenTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	err = (&Service{Listen: l.Addr().String()}).Start(t.Context())
	if err == nil || !strings.Contains(err.Error(), "--fulfillment-listen") {
		t.Errorf("got %v", err)
	}
	if (&Service{}).NeedLeaderElection() {
		t.Error("only the leader serves")
	}
}

func TestDiscovery(t *testing.T) {
	m := newMarket(t, func(s *Service) { s.BaseURL = base + "/" })
	a := m.raw("GET", "/.well-known/openid-configuration", "")
	want := `{"issuer":"` + base + `","jwks_uri":"` + base + `/.well-known/jwks.json","response_types_supported":["id_token"],"subject_types_supported":["public"],"id_token_signing_alg_values_supported":["RS256"]}`
	m.want("discovery", a, 200, "")
	if a.body != want || a.Header.Get("Cache-Control") != "public, max-age=300" {
		t.Errorf("got %s, %q", a.body, a.Header.Get("Cache-Control"))
	}
	a = m.raw("GET", "/.well-known/jwks.json", "")
	if a.StatusCode != http.StatusOK || a.body != `{"keys":[]}` || a.Header.Get("Content-Type") != "application/jwk-set+json" || a.Header.Get("Cache-Control") != "public, max-age=300" {
		t.Errorf("got %d, %s, %v", a.StatusCode, a.body, a.Header)
	}
	if a := m.raw("HEAD", "/.well-known/jwks.json", ""); a.StatusCode != http.StatusOK || a.body != "" {
		t.Errorf("HEAD: got %d, %q", a.StatusCode, a.body)
	}
	m.want("POST", m.raw("POST", "/.well-known/jwks.json", "{}"), 405, "GET, HEAD")
	away := newMarket(t, func(s *Service) { s.Keys = publicKeys{context.DeadlineExceeded} })
	a = away.raw("GET", "/.well-known/jwks.json", "")
	away.want("the keys cannot be read", a, 503, "")
	if a.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("a refusal may be kept: %q", a.Header.Get("Cache-Control"))
	}
	broken := newMarket(t, func(s *Service) { s.Keys = publicKeys{errors.New("nonsense")} })
	broken.want("the keys are broken", broken.raw("GET", "/.well-known/jwks.json", ""), 503, "")
}

// TestLinks with a base address that ends in /api: clients want either.
func TestLinks(t *testing.T) {
	for _, base := range []string{"https://x.example", "https://x.example/", "https://x.example/api", "https://x.example/api/"} {
		s := &Service{BaseURL: base}
		s.prepare()
		if got := s.link("/1", "a=b"); got != "https://x.example/api/saas/subscriptions/1?a=b&api-version=2018-08-31" {
			t.Errorf("%s: got %s", base, got)
		}
	}
}

func TestMetrics(t *testing.T) {
	m := newMarket(t)
	count := func(call, code string) float64 { return testutil.ToFloat64(requests.WithLabelValues(call, code)) }
	before, unknown := count("list", "200"), count("unknown", "404")
	m.call("GET", "", "")
	m.call("GET", "/nonsense", "")
	if got := count("list", "200") - before; got != 1 {
		t.Errorf("one list was counted %v times", got)
	}
	if got := count("unknown", "404") - unknown; got != 1 {
		t.Errorf("one unknown path was counted %v times", got)
	}
}

// TestSecurityHeaders are on every answer.
func TestSecurityHeaders(t *testing.T) {
	m := newMarket(t)
	for _, path := range []string{"", "/nonsense"} {
		a := m.call("GET", path, "")
		if a.Header.Get("Cache-Control") != "no-store" || a.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%q: got %v", path, a.Header)
		}
	}
}

// FuzzBody has no body take the service down.
func FuzzBody(f *testing.F) {
	f.Add([]byte(`{"planId":"gold","quantity":"5","status":"Success"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, _ := http.NewRequest(http.MethodPatch, "/", bytes.NewReader(text))
		body, err := readBody(nil, r, func() any { return new(saasapi.SubscriberPlan) })
		if err != nil {
			if r := new(refusal); !errors.As(err, &r) || r.code < 400 || r.code >= 500 {
				t.Errorf("got %v", err)
			}
			return
		}
		if plan := body.(*saasapi.SubscriberPlan); !plan.Quantity.Given && plan.Quantity.Seats != 0 {
			t.Errorf("got %+v", plan)
		}
		if !json.Valid(bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))) {
			t.Error("took what is not JSON")
		}
	})
}
