package main

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

const (
	subID    = "7a9f1b7e-6f0c-4a52-9d55-0f7a2f3c1e11"
	otherID  = "11111111-6f0c-4a52-9d55-0f7a2f3c1e11"
	purchase = "purchase-token-that-nobody-else-may-see"
	bearer   = "the-publishers-own-token"
	audience = "fourth-coffee"
)

var start = time.Date(2026, 3, 4, 10, 0, 0, 0, time.UTC)

// market stands for the marketplace: as much of its API as a publisher meets.
type market struct {
	*httptest.Server
	key *rsa.PrivateKey

	mu         sync.Mutex
	sub        subscription
	operations map[string]*operation
	calls      []string // "METHOD path" of all calls
	answers    []string // "id status" of those that were taken
	activated  int
	updates    int
	// instead answers a call in place of the market, if it returns true.
	instead func(w http.ResponseWriter, r *http.Request) bool
}

// marketKey signs for every market: making one takes long.
var marketKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

func newMarket(t *testing.T) *market {
	key, err := marketKey()
	if err != nil {
		t.Fatal(err)
	}
	m := &market{key: key, operations: map[string]*operation{}, sub: subscription{
		ID: subID, Name: "Coffee in Paris", OfferID: "coffee-analytics", PlanID: "silver", Quantity: 10, Status: statusPending,
		Beneficiary: person{"ada@contoso.example"}, Purchaser: person{"sales@partner.example"},
		AllowedOperations: []string{"Read", "Update", "Delete"}, AutoRenew: true,
	}}
	m.Server = httptest.NewServer(m)
	t.Cleanup(m.Close)
	return m
}

func (m *market) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		reply(w, 200, map[string]any{"issuer": m.URL, "jwks_uri": m.URL + "/keys", "authorization_endpoint": m.URL, "token_endpoint": m.URL,
			"id_token_signing_alg_values_supported": []string{"RS256"}})
		return
	case "/keys":
		if m.instead != nil && m.instead(w, r) {
			return
		}
		reply(w, 200, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: m.key.Public(), KeyID: "1", Algorithm: "RS256", Use: "sig"}}})
		return
	}
	m.calls = append(m.calls, r.Method+" "+r.URL.Path)
	if m.instead != nil && m.instead(w, r) {
		return
	}
	if r.Header.Get("Authorization") != "Bearer "+bearer || r.URL.Query().Get("api-version") != "2018-08-31" {
		reply(w, 403, nil)
		return
	}
	rest := strings.TrimPrefix(r.URL.Path, "/saas/subscriptions")
	switch opID, isOp := strings.CutPrefix(rest, "/"+subID+"/operations/"); {
	case rest == "/resolve" && r.Method == http.MethodPost:
		if r.Header.Get("x-ms-marketplace-token") != purchase {
			reply(w, 400, nil)
			return
		}
		reply(w, 200, map[string]any{"id": subID, "planId": m.sub.PlanID, "subscription": m.sub})
	case rest == "" && r.Method == http.MethodGet:
		if r.URL.Query().Get("continuationToken") == "" {
			reply(w, 200, map[string]any{"subscriptions": []subscription{{ID: otherID, Status: statusPending}}, "@nextLink": "http://elsewhere.example/?continuationToken=2"})
			return
		}
		reply(w, 200, map[string]any{"subscriptions": []subscription{m.sub}})
	case rest == "/"+subID+"/activate" && r.Method == http.MethodPost:
		var a activation
		_ = json.NewDecoder(r.Body).Decode(&a)
		if m.sub.Status != statusPending || a.PlanID != m.sub.PlanID || a.Quantity != m.sub.Quantity {
			reply(w, 400, nil)
			return
		}
		m.sub.Status, m.activated = statusSubscribed, m.activated+1
		m.sub.Term = term{"P1M", "2026-03-04T00:00:00Z", "2026-04-03T00:00:00Z"}
	case rest == "/"+subID+"/listAvailablePlans":
		reply(w, 200, map[string]any{"plans": []plan{{ID: "silver", DisplayName: "Silver plan"}, {ID: "gold", DisplayName: "Gold plan"}}})
	case rest == "/"+subID && r.Method == http.MethodGet:
		reply(w, 200, m.sub)
	case rest == "/"+subID && (r.Method == http.MethodPatch || r.Method == http.MethodDelete):
		m.updates++
		op := m.begin(actionUnsubscribe, progressSucceeded, m.sub.Quantity)
		w.Header().Set("Operation-Location", m.URL+"/saas/subscriptions/"+subID+"/operations/"+op.ID+"?api-version=2018-08-31")
		w.WriteHeader(http.StatusAccepted)
	case rest == "/"+subID+"/operations":
		var running []*operation
		for _, op := range m.operations {
			if op.Status == progressRunning {
				running = append(running, op)
			}
		}
		reply(w, 200, map[string]any{"operations": running})
	case isOp && m.operations[opID] != nil && r.Method == http.MethodGet:
		reply(w, 200, m.operations[opID])
	case isOp && m.operations[opID] != nil && r.Method == http.MethodPatch:
		var a answer
		_ = json.NewDecoder(r.Body).Decode(&a)
		op := m.operations[opID]
		if op.Status != progressRunning {
			reply(w, 409, nil)
			return
		}
		m.answers = append(m.answers, opID+" "+a.Status)
		m.settle(op, a.Status == answerSuccess)
	default:
		reply(w, 404, nil)
	}
}

// begin begins an operation. The caller holds the lock, or is alone.
func (m *market) begin(action, status string, quantity int64) *operation {
	n := len(m.operations) + 1
	op := &operation{ID: fmt.Sprintf("00000000-0000-4000-8000-%012d", n), SubscriptionID: subID, OfferID: m.sub.OfferID, PlanID: m.sub.PlanID,
		Quantity: quantity, Action: action, Status: status, TimeStamp: start.Add(time.Duration(n) * time.Second)}
	m.operations[op.ID] = op
	return op
}

func (m *market) settle(op *operation, accepted bool) {
	if op.Status = "Failed"; accepted {
		op.Status = progressSucceeded
		m.sub.PlanID, m.sub.Quantity = op.PlanID, op.Quantity
	}
}

func reply(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	if body != nil {
		_ = json.NewEncoder(w).Encode(body)
	}
}

// count is how often a call was made.
func (m *market) count(call string) (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range m.calls {
		if c == call {
			n++
		}
	}
	return n
}

// publisher is the program under test, with somebody's browser.
type publisher struct {
	*httptest.Server
	site    *site
	market  *market
	log     *lines
	browser *http.Client
	now     time.Time
	data    string
}

type lines struct {
	mu sync.Mutex
	strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Builder.Write(p)
}

func newPublisher(t *testing.T) *publisher {
	p := &publisher{market: newMarket(t), now: start, data: t.TempDir()}
	p.restart(t)
	return p
}

// restart starts the program again with what it kept.
func (p *publisher) restart(t *testing.T) {
	t.Helper()
	tokenFile := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(tokenFile, []byte(bearer+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	base, err := url.Parse(p.market.URL)
	if err != nil {
		t.Fatal(err)
	}
	now := func() time.Time { return p.now }
	p.log = &lines{}
	logger := slog.New(slog.NewTextHandler(p.log, nil))
	accounts, err := openAccounts(p.data)
	if err != nil {
		t.Fatal(err)
	}
	api := newAPI(base, tokenFile)
	hook := &webhook{api: api, accounts: accounts, now: now, logger: logger,
		keys: &discovery{issuer: p.market.URL, audience: audience, client: api.client, now: now}}
	p.site = &site{api: api, accounts: accounts, webhook: hook, sessions: newSessions(now), now: now, logger: logger}
	p.Server = httptest.NewServer(p.site.handler())
	t.Cleanup(p.Close)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	p.browser = &http.Client{Jar: jar}
}

// account is what was kept.
func (p *publisher) account() account { return p.site.accounts.get(subID) }

// open opens a page, as the browser does.
func (p *publisher) open(t *testing.T, path string) (int, string) {
	t.Helper()
	res, err := p.browser.Get(p.URL + path)
	if err != nil {
		t.Fatal(err)
	}
	return read(t, res)
}

// send sends a form of a page.
func (p *publisher) send(t *testing.T, path string, form url.Values) (int, string) {
	t.Helper()
	res, err := p.browser.PostForm(p.URL+"/accounts/"+subID+path, form)
	if err != nil {
		t.Fatal(err)
	}
	return read(t, res)
}

func read(t *testing.T, res *http.Response) (int, string) {
	t.Helper()
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

// setUp has the account activated, with that many people who use it.
func (p *publisher) setUp(t *testing.T, users int64) {
	t.Helper()
	if code, _ := p.open(t, "/landing?token="+purchase); code != 200 {
		t.Fatalf("the landing page answered %d", code)
	}
	if code, page := p.send(t, "/activate", url.Values{"company": {"Contoso"}, "email": {"ada@contoso.example"}}); code != 200 {
		t.Fatalf("the activation answered %d: %s", code, page)
	}
	if code, _ := p.send(t, "/users", url.Values{"users": {fmt.Sprint(users)}}); code != 200 {
		t.Fatalf("setting the users answered %d", code)
	}
}

// claims of a call of the webhook that is right.
func (p *publisher) claims() jwt.Claims {
	return jwt.Claims{Issuer: p.market.URL, Audience: jwt.Audience{audience}, Subject: "license-operator",
		IssuedAt: jwt.NewNumericDate(p.now), Expiry: jwt.NewNumericDate(p.now.Add(10 * time.Minute))}
}

func sign(t *testing.T, key any, algorithm jose.SignatureAlgorithm, claims jwt.Claims) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: jose.JSONWebKey{Key: key, KeyID: "1"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// tell calls the webhook.
func (p *publisher) tell(t *testing.T, token string, body any) int {
	t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequest(http.MethodPost, p.URL+"/webhook", strings.NewReader(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	code, _ := read(t, res)
	return code
}

// deliver tells of an operation as the marketplace does.
func (p *publisher) deliver(t *testing.T, op *operation) int {
	t.Helper()
	body := map[string]any{"id": op.ID, "subscriptionId": op.SubscriptionID, "action": op.Action, "status": op.Status,
		"quantity": op.Quantity + 1000, "planId": "a lie", "field of the future": true}
	return p.tell(t, sign(t, p.market.key, jose.RS256, p.claims()), body)
}
