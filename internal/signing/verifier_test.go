package signing

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/license-operator/license-operator/internal/terms"
)

func TestPurchaseToken(t *testing.T) {
	h := newHome(t)
	s := h.signer()
	h.load(s)
	now := h.clock.Now()
	expires := terms.PurchaseTokenExpires(now)
	token := h.purchaseToken(s, expires)
	if h.purchaseToken(s, expires) != token {
		t.Error("the same call made another token")
	}
	v := h.verifier(live)
	for name, row := range map[string]struct {
		at   time.Time
		want error
	}{
		"at once":                      {now, nil},
		"a second before it expires":   {expires.Add(-time.Second), nil},
		"exactly when it expires":      {expires, ErrInvalid},
		"a day after it expired":       {expires.Add(24 * time.Hour), ErrInvalid},
		"in another zone":              {expires.Add(-time.Second).In(time.FixedZone("", -7*3600)), nil},
		"by a clock that is behind":    {now.Add(-time.Hour), nil},
		"the last part of that second": {expires.Add(-time.Millisecond), nil},
	} {
		id, err := v.PurchaseToken(t.Context(), token, row.at)
		if !errors.Is(err, row.want) || (err == nil) != (id == entitlement) {
			t.Errorf("%s: %q, %v", name, id, err)
		}
	}
}

// TestForgedPurchaseTokens has every token refused that the operator did not
// make for this purpose, although most are signed with its key.
func TestForgedPurchaseTokens(t *testing.T) {
	h := newHome(t)
	s := h.signer()
	h.load(s)
	now := h.clock.Now()
	good := jwt.Claims{
		Issuer: purchaseIssuer, Audience: jwt.Audience{purchaseAudience}, Subject: entitlement, Expiry: jwt.NewNumericDate(now.Add(time.Hour)),
	}
	sign := func(key any, alg jose.SignatureAlgorithm, kid string, typ jose.ContentType, change func(*jwt.Claims)) string {
		t.Helper()
		opts := (&jose.SignerOptions{}).WithType(typ)
		if kid != "" {
			opts = opts.WithHeader("kid", kid)
		}
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, opts)
		if err != nil {
			t.Fatal(err)
		}
		claims := good
		change(&claims)
		token, err := jwt.Signed(signer).Claims(claims).Serialize()
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	ours, kid := s.keys.signer, s.keys.kid
	same := func(*jwt.Claims) {}
	stranger, err := rsa.GenerateKey(rand.Reader, keyBits)
	if err != nil {
		t.Fatal(err)
	}
	webhook, err := s.Webhook(purchaseAudience, purchaseIssuer, now) // an audience that a publisher may choose
	if err != nil {
		t.Fatal(err)
	}
	valid := sign(ours, jose.RS256, kid, purchaseType, same)
	parts := strings.Split(valid, ".")
	head := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	public := []byte(h.jwks())

	v := h.verifier(live)
	if _, err := v.PurchaseToken(t.Context(), valid, now); err != nil {
		t.Fatalf("the model of them all: %v", err)
	}
	for name, token := range map[string]string{
		"nothing":                    "",
		"no token":                   "hello",
		"three dots":                 "...",
		"longer than any":            strings.Repeat("a", 10_000_000),
		"the token of a webhook":     webhook,
		"of the type of a webhook's": sign(ours, jose.RS256, kid, webhookType, same),
		"of no type":                 sign(ours, jose.RS256, kid, "", same),
		"another issuer":             sign(ours, jose.RS256, kid, purchaseType, func(c *jwt.Claims) { c.Issuer = "https://fulfillment.example" }),
		"another audience":           sign(ours, jose.RS256, kid, purchaseType, func(c *jwt.Claims) { c.Audience = jwt.Audience{"fourth-coffee"} }),
		"for no entitlement":         sign(ours, jose.RS256, kid, purchaseType, func(c *jwt.Claims) { c.Subject = "" }),
		"for what is no id":          sign(ours, jose.RS256, kid, purchaseType, func(c *jwt.Claims) { c.Subject = "../../secrets" }),
		"for ever":                   sign(ours, jose.RS256, kid, purchaseType, func(c *jwt.Claims) { c.Expiry = nil }),
		"not valid yet":              sign(ours, jose.RS256, kid, purchaseType, func(c *jwt.Claims) { c.NotBefore = jwt.NewNumericDate(now.Add(time.Hour)) }),
		"with no kid":                sign(ours, jose.RS256, "", purchaseType, same),
		"with an unknown kid":        sign(ours, jose.RS256, "x", purchaseType, same),
		"PS256 with our key":         sign(ours, jose.PS256, kid, purchaseType, same),
		"RS512 with our key":         sign(ours, jose.RS512, kid, purchaseType, same),
		"HMAC with the public keys":  sign(public, jose.HS256, kid, purchaseType, same),
		"a stranger's key":           sign(stranger, jose.RS256, kid, purchaseType, same),
		"a changed claim":            parts[0] + "." + head(`{"iss":"license-operator","aud":"landing-page","sub":"`+entitlement+`","exp":9999999999}`) + "." + parts[2],
		"algorithm none":             head(`{"alg":"none","typ":"purchase+jwt","kid":"`+kid+`"}`) + "." + parts[1] + ".",
		"no signature":               parts[0] + "." + parts[1] + ".",
		"a key of its own":           head(`{"alg":"RS256","typ":"purchase+jwt","jwk":{"kty":"RSA"}}`) + "." + parts[1] + "." + parts[2],
	} {
		h.step(lookAgain) // so that the keys are looked for each time
		id, err := v.PurchaseToken(t.Context(), token, now)
		if !errors.Is(err, ErrInvalid) || id != "" {
			t.Errorf("%s: %q, %v", name, id, err)
		}
		if err != nil && len(token) > 20 && (strings.Contains(err.Error(), token) || strings.Contains(err.Error(), token[:20])) {
			t.Errorf("%s: the error quotes the token", name)
		}
	}
}

func TestKeysAreReadNowAndThen(t *testing.T) {
	h := newHome(t)
	s := h.signer()
	h.load(s)
	reader := &counted{Reader: live}
	v := h.verifier(reader)
	token := h.purchaseToken(s, h.clock.Now().Add(time.Hour))
	h.put(nil) // breaks the Secret; a verifier does not look at it

	verify := func(token string) error {
		_, err := v.PurchaseToken(t.Context(), token, h.clock.Now())
		return err
	}
	other := newHome(t)
	stranger := other.signer()
	other.load(stranger)
	unknown := other.purchaseToken(stranger, h.clock.Now().Add(time.Hour))

	for i, row := range []struct {
		name  string
		step  time.Duration
		token string
		fails bool
		reads int32
	}{
		{"the first", 0, token, false, 1},
		{"the second", time.Second, token, false, 1},
		{"an unknown key, just after a reading", time.Second, unknown, true, 1},
		{"an unknown key, later", lookAgain, unknown, true, 2},
		{"an unknown key, at once again", time.Second, unknown, true, 2},
		{"after a while", keepKeys, token, false, 3},
		{"by a clock that was set back", -time.Hour, token, false, 4},
	} {
		h.step(row.step)
		if err := verify(row.token); (err != nil) != row.fails || reader.reads.Load() != row.reads {
			t.Errorf("%d, %s: %v after %d readings, want %d", i, row.name, err, reader.reads.Load(), row.reads)
		}
	}

	reader.err = errors.New("the API server is away")
	h.step(keepKeys)
	if err := verify(token); !errors.Is(err, reader.err) || errors.Is(err, ErrInvalid) {
		t.Errorf("with the API server away: %v", err)
	}
	reader.err = nil
	before := reader.reads.Load()
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if err := verify(token); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := reader.reads.Load() - before; n > 5 {
		t.Errorf("50 at once made %d readings", n)
	}
}

func TestNoPublicKeys(t *testing.T) {
	h := newHome(t)
	v := h.verifier(live)
	if _, err := v.PublicKeys(t.Context()); err == nil || !strings.Contains(err.Error(), ConfigMapName) {
		t.Errorf("without a ConfigMap: %v", err)
	}
	for name, content := range map[string]string{"no JSON": "rubbish", "no keys": `{"keys":[]}`, "nothing": ""} {
		cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: h.namespace, Name: ConfigMapName}, Data: map[string]string{jwksEntry: content}}
		if err := live.Create(t.Context(), cm); err != nil {
			t.Fatal(err)
		}
		if keys, err := v.PublicKeys(t.Context()); err == nil || !strings.Contains(err.Error(), "delete the ConfigMap") {
			t.Errorf("%s: %s, %v", name, keys, err)
		}
		if err := live.Delete(t.Context(), cm); err != nil {
			t.Fatal(err)
		}
	}
	h.load(h.signer())
	keys, err := v.PublicKeys(t.Context())
	if err != nil || string(keys) != h.jwks() || !strings.Contains(string(keys), `"alg":"RS256"`) {
		t.Errorf("published: %s, %v", keys, err)
	}
	for _, private := range []string{"d", "p", "q", "dp", "dq", "qi"} {
		if strings.Contains(string(keys), fmt.Sprintf("%q:", private)) {
			t.Errorf("the private part %q is published", private)
		}
	}
}
