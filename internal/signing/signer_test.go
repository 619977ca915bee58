package signing

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// newIssuer serves OpenID Connect discovery with the keys of a verifier, as the
// fulfilment service does.
func newIssuer(t *testing.T, v *Verifier) string {
	t.Helper()
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{
			"issuer": server.URL, "jwks_uri": server.URL + "/keys", "id_token_signing_alg_values_supported": []string{"RS256"},
			"authorization_endpoint": server.URL + "/none", "response_types_supported": []string{"id_token"}, "subject_types_supported": []string{"public"},
		})
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, r *http.Request) {
		keys, err := v.PublicKeys(r.Context())
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write(keys)
	})
	return server.URL
}

func TestWebhookTokenByDiscovery(t *testing.T) {
	h := newHome(t)
	s := h.signer()
	h.load(s)
	issuer := newIssuer(t, h.verifier(live))
	provider, err := oidc.NewProvider(t.Context(), issuer)
	if err != nil {
		t.Fatal(err)
	}
	now := h.clock.Now()
	token, err := s.Webhook("fourth-coffee", issuer, now)
	if err != nil {
		t.Fatal(err)
	}
	verify := func(token, audience string, at time.Time) (*oidc.IDToken, error) {
		return provider.Verifier(&oidc.Config{ClientID: audience, Now: func() time.Time { return at }}).Verify(t.Context(), token)
	}
	id, err := verify(token, "fourth-coffee", now)
	if err != nil {
		t.Fatal(err)
	}
	var claims struct{ JTI, Sub string }
	if err := id.Claims(&claims); err != nil || claims.JTI == "" || claims.Sub != "license-operator" || !id.IssuedAt.Equal(now.Add(-5*time.Minute)) || !id.Expiry.Equal(now.Add(10*time.Minute)) {
		t.Errorf("claims %+v of %+v, %v", claims, id, err)
	}
	again, err := s.Webhook("fourth-coffee", issuer, now)
	if err != nil || again == token {
		t.Errorf("two calls have the same token, so a replay is not seen (%v)", err)
	}
	if _, err := verify(token, "contoso-travel", now); err == nil {
		t.Error("another publisher accepts it")
	}
	if _, err := verify(token, "fourth-coffee", now.Add(11*time.Minute)); err == nil {
		t.Error("it is accepted after it expired")
	}
	if _, err := verify(h.purchaseToken(s, now.Add(time.Hour)), purchaseAudience, now); err == nil {
		t.Error("a purchase token is accepted as the token of a webhook")
	}
}

// TestRotation replaces the key as the package documentation says. Tokens of
// the old key are accepted until it is removed, also by those who had read the
// keys before.
func TestRotation(t *testing.T) {
	h := newHome(t)
	s := h.signer()
	h.load(s)
	v := h.verifier(live)
	expires := h.clock.Now().Add(24 * time.Hour)
	verify := func(token string) error {
		_, err := v.PurchaseToken(t.Context(), token, h.clock.Now())
		return err
	}
	before := h.purchaseToken(s, expires)
	if err := verify(before); err != nil {
		t.Fatal(err)
	}
	first := h.secret().Data[keyEntry]
	second, err := generateKey()
	if err != nil {
		t.Fatal(err)
	}
	h.put(map[string][]byte{keyEntry: second, "previous.pem": first, "note.txt": []byte("rotated in spring")})

	h.step(lookEvery - time.Second)
	h.load(s)
	if h.purchaseToken(s, expires) != before {
		t.Error("the Secret was looked at before it was time")
	}
	h.step(time.Second)
	h.load(s)
	after := h.purchaseToken(s, expires)
	if after == before {
		t.Fatal("the new key does not sign")
	}
	for name, token := range map[string]string{"old": before, "new": after} {
		if err := verify(token); err != nil { // the verifier's memory is younger than keepKeys
			t.Errorf("the token of the %s key: %v", name, err)
		}
	}
	var set jose.JSONWebKeySet
	if err := json.Unmarshal([]byte(h.jwks()), &set); err != nil || len(set.Keys) != 2 || set.Keys[0].KeyID != s.keys.kid {
		t.Errorf("published %+v, %v", set, err)
	}

	h.put(map[string][]byte{keyEntry: second})
	h.step(lookEvery)
	h.load(s)
	h.step(keepKeys)
	if err := verify(before); !errors.Is(err, ErrInvalid) {
		t.Errorf("the key was removed, and its token is: %v", err)
	}
	if err := verify(after); err != nil {
		t.Error(err)
	}
}

// TestTwoLeaders has several processes want the key at once.
func TestTwoLeaders(t *testing.T) {
	h := newHome(t)
	expires := h.clock.Now().Add(time.Hour)
	tokens := make([]string, 8)
	var all sync.WaitGroup
	for i := range tokens {
		all.Go(func() {
			s := h.signer()
			if err := s.Load(t.Context()); err != nil {
				t.Error(err)
				return
			}
			tokens[i], _ = s.PurchaseToken(entitlement, expires)
		})
	}
	all.Wait()
	v := h.verifier(live)
	for _, token := range tokens {
		if _, err := v.PurchaseToken(t.Context(), token, h.clock.Now()); err != nil || token != tokens[0] {
			t.Errorf("they have different keys: %v", err)
		}
	}
	before := h.secret()
	h.load(h.signer()) // after a restart
	if after := h.secret(); after.ResourceVersion != before.ResourceVersion {
		t.Error("a restart wrote the Secret")
	}
}

func TestRubbishInTheSecret(t *testing.T) {
	encode := func(typ string, der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: typ, Bytes: der}) }
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other, err := x509.MarshalPKCS8PrivateKey(curve)
	if err != nil {
		t.Fatal(err)
	}
	good, err := generateKey()
	if err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string]struct {
		data map[string][]byte
		want string
	}{
		"no entry":              {map[string][]byte{"other": good}, "key.pem is not there"},
		"no PEM":                {map[string][]byte{keyEntry: []byte("hunter2")}, "key.pem is not PEM"},
		"half a key":            {map[string][]byte{keyEntry: encode("PRIVATE KEY", []byte("hunter2"))}, "key.pem is a damaged private key"},
		"half a key of PKCS #1": {map[string][]byte{keyEntry: encode("RSA PRIVATE KEY", []byte("hunter2"))}, "key.pem is a damaged private key"},
		"a certificate":         {map[string][]byte{keyEntry: encode("CERTIFICATE", []byte("hunter2"))}, "key.pem is no private key"},
		"a small key":           {map[string][]byte{keyEntry: encode("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(small))}, "key.pem is an RSA key of 1024 bits"},
		"another kind of key":   {map[string][]byte{keyEntry: encode("PRIVATE KEY", other)}, "key.pem is not an RSA key"},
		"a bad previous key":    {map[string][]byte{keyEntry: good, "previous.pem": []byte("hunter2")}, "previous.pem is not PEM: put"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHome(t)
			s := h.signer()
			h.load(s)
			h.put(row.data)
			before, published := h.secret(), h.jwks()
			h.step(lookEvery)
			err := s.Load(t.Context())
			if !errors.As(err, new(*SecretError)) || !strings.Contains(err.Error(), row.want) || !strings.Contains(err.Error(), h.namespace+"/"+SecretName) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("error %v, want one with %q", err, row.want)
			}
			if h.secret().ResourceVersion != before.ResourceVersion || h.jwks() != published {
				t.Error("something was replaced")
			}
			if _, err := s.Webhook("a", "b", h.clock.Now()); err == nil {
				t.Error("it signs on")
			}
			h.put(map[string][]byte{keyEntry: good})
			h.load(s) // at once
		})
	}
}

// TestPublishedAgain deletes and spoils what was published.
func TestPublishedAgain(t *testing.T) {
	h := newHome(t)
	s := h.signer()
	h.load(s)
	want := h.jwks()
	cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: h.namespace, Name: ConfigMapName}}
	if err := live.Delete(t.Context(), cm); err != nil {
		t.Fatal(err)
	}
	h.step(lookEvery)
	h.load(s)
	if got := h.jwks(); got != want {
		t.Errorf("after a deletion: %s", got)
	}
	if err := live.Get(t.Context(), client.ObjectKeyFromObject(cm), cm); err != nil {
		t.Fatal(err)
	}
	cm.Data = map[string]string{jwksEntry: "spoilt"}
	if err := live.Update(t.Context(), cm); err != nil {
		t.Fatal(err)
	}
	if err := s.Publish(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := h.jwks(); got != want {
		t.Errorf("after it was spoilt: %s", got)
	}
	writes := &counting{Client: live}
	s.Client = writes
	if err := s.Publish(t.Context()); err != nil || writes.updates > 0 {
		t.Errorf("nothing had changed, and there were %d writes (%v)", writes.updates, err)
	}
}

// TestStart publishes what nobody has asked for yet, so that a key that was
// deleted is not believed for long.
func TestStart(t *testing.T) {
	h := newHome(t)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- h.signer().Start(ctx) }()
	key := client.ObjectKey{Namespace: h.namespace, Name: ConfigMapName}
	for start := time.Now(); live.Get(t.Context(), key, &corev1.ConfigMap{}) != nil; {
		if time.Since(start) > time.Minute {
			t.Fatal("nothing is published")
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// counting counts updates. The API server itself does not tell one that changes
// nothing.
type counting struct {
	client.Client
	updates int
}

func (c *counting) Update(ctx context.Context, o client.Object, opts ...client.UpdateOption) error {
	c.updates++
	return c.Client.Update(ctx, o, opts...)
}

// noPublishing is an API server that takes no ConfigMap.
type noPublishing struct{ client.Client }

func (c noPublishing) Create(ctx context.Context, o client.Object, opts ...client.CreateOption) error {
	if _, ok := o.(*corev1.ConfigMap); ok {
		return apierrors.NewForbidden(corev1.Resource("configmaps"), o.GetName(), errors.New("no"))
	}
	return c.Client.Create(ctx, o, opts...)
}

func TestNothingIsSignedBeforeItCanBeVerified(t *testing.T) {
	h := newHome(t)
	s := h.signer()
	if _, err := s.PurchaseToken(entitlement, h.clock.Now().Add(time.Hour)); err == nil {
		t.Error("it signs before it is loaded")
	}
	s.Client = noPublishing{live}
	if err := s.Load(t.Context()); !apierrors.IsForbidden(err) {
		t.Errorf("loading: %v", err)
	}
	if _, err := s.PurchaseToken(entitlement, h.clock.Now().Add(time.Hour)); err == nil {
		t.Error("it signs with a key that nobody knows")
	}
}
