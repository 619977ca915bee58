package fulfillment

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/license-operator/license-operator/api/v1alpha1"
)

// forger signs tokens with a key that the API server does not know.
type forger struct {
	*market
	signer jose.Signer
	made   int
}

func newForger(m *market) *forger {
	m.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		m.t.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, nil)
	if err != nil {
		m.t.Fatal(err)
	}
	return &forger{market: m, signer: signer}
}

// token claims to be a service account's, good for an hour. Each is another.
func (f *forger) token(account string, change func(*jwt.Claims)) string {
	f.t.Helper()
	f.made++
	claims := jwt.Claims{
		ID: fmt.Sprint(f.made), Subject: "system:serviceaccount:" + account, Audience: jwt.Audience{"other", audience},
		Expiry: jwt.NewNumericDate(f.clock.Now().Add(time.Hour)),
	}
	if change != nil {
		change(&claims)
	}
	token, err := jwt.Signed(f.signer).Claims(claims).Serialize()
	if err != nil {
		f.t.Fatal(err)
	}
	return token
}

// send sends credentials and returns how many got which code.
func (m *market) send(times int, token func(i int) string) map[int]int {
	m.t.Helper()
	codes := map[int]int{}
	for i := range times {
		codes[m.call("GET", "", "", "Authorization", "Bearer "+token(i)).StatusCode]++
	}
	return codes
}

// TestWorthAReview sends what the API server need not be asked about, and what
// it has to be.
func TestWorthAReview(t *testing.T) {
	var n *atomic.Int32
	m := newMarket(t, func(s *Service) {
		s.Client = withWatch{s.Client}
		n = counting(s, nil)
	})
	m.publisher(m.name+"-more", v1alpha1.Subject{Kind: "User", Name: "system:serviceaccount:" + m.name + ":as-user"},
		v1alpha1.Subject{Kind: "Group", Name: "system:serviceaccounts:" + m.name + "-group"})
	f := newForger(m)
	saas := m.name + ":saas"
	expires := func(in time.Duration) func(*jwt.Claims) {
		return func(c *jwt.Claims) { c.Expiry = jwt.NewNumericDate(m.clock.Now().Add(in)) }
	}
	for what, row := range map[string]struct {
		token   string
		reviews int32
	}{
		"no JWT":                               {"opaque-" + m.name, 1},
		"of an account that is listed":         {f.token(saas, nil), 1},
		"of an account that is listed as user": {f.token(m.name+":as-user", nil), 1},
		"of a group that is listed":            {f.token(m.name+"-group:any", nil), 1},
		"of an account of nobody":              {f.token(m.name+":other", nil), 0},
		"of the account of another namespace":  {f.token("default:saas", nil), 0},
		"of an account without a name":         {f.token(m.name, nil), 0},
		"for the API server":                   {f.token(saas, func(c *jwt.Claims) { c.Audience = jwt.Audience{"https://kubernetes.default.svc"} }), 0},
		"for nobody":                           {f.token(saas, func(c *jwt.Claims) { c.Audience = nil }), 0},
		"expired":                              {f.token(saas, expires(-skew-2*time.Second)), 0},
		"expired by another clock":             {f.token(saas, expires(2*time.Second-skew)), 1},
		"for ever":                             {f.token(saas, func(c *jwt.Claims) { c.Expiry = nil }), 1},
		"of a person":                          {f.token(saas, func(c *jwt.Claims) { c.Subject, c.Audience = "ada", jwt.Audience{"kubectl"} }), 1},
		"of a person, expired":                 {f.token(saas, func(c *jwt.Claims) { c.Subject = "ada"; expires(-time.Hour)(c) }), 0},
	} {
		before := n.Load()
		m.want(what, m.call("GET", "", "", "Authorization", "Bearer "+row.token), 403, "audience license-operator")
		if got := n.Load() - before; got != row.reviews {
			t.Errorf("%s: %d reviews, want %d", what, got, row.reviews)
		}
	}
}

// TestGarbage has new tokens of publishers come while somebody sends more
// garbage than can be reviewed.
func TestGarbage(t *testing.T) {
	m := newMarket(t, func(s *Service) { s.MaxReviews = 20 })
	var more []v1alpha1.Subject
	for _, name := range []string{"a", "b", "c"} {
		more = append(more, v1alpha1.Subject{Kind: "ServiceAccount", Namespace: m.name, Name: name})
	}
	m.publisher(m.name+"-more", append(more, v1alpha1.Subject{Kind: "Group", Name: "system:serviceaccounts:" + m.name})...)
	f := newForger(m)
	enters := func(what string, account string) {
		t.Helper()
		m.want(what, m.call("GET", "", "", "Authorization", "Bearer "+m.account(account, audience)), 200, "")
	}
	const many = 60
	if codes := m.send(many, func(i int) string { return f.token(fmt.Sprintf("nobody:%d", i), nil) }); codes[http.StatusForbidden] != many {
		t.Errorf("what cannot be a publisher's got %v", codes)
	}
	enters("in spite of tokens that cannot be a publisher's", "saas")
	for _, row := range []struct {
		what, account string // that gets in nevertheless
		token         func(i int) string
	}{
		{"of what is no token", "a", func(i int) string { return fmt.Sprintf("opaque-%d", i) }},
		{"of tokens that claim to be of an account", "b", func(int) string { return f.token(m.name+":saas", nil) }},
		{"of tokens that claim to be in a group", "c", func(i int) string { return f.token(fmt.Sprintf("%s:any-%d", m.name, i), nil) }},
	} {
		if codes := m.send(many, row.token); codes[http.StatusServiceUnavailable] < many/2 || codes[http.StatusOK] > 0 {
			t.Errorf("%s got %v", row.what, codes)
		}
		enters("in spite "+row.what, row.account)
	}
}
