package signing

import (
	"context"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/google/uuid"
	"golang.org/x/sync/singleflight"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/internal/terms"
)

// How a Verifier reads the public keys.
const (
	// keepKeys is how long they are kept.
	keepKeys = time.Minute
	// lookAgain is how often they are read at most because a token names a key
	// that is not among them.
	lookAgain = 5 * time.Second
	// readTime bounds one reading.
	readTime = 5 * time.Second
	// longestToken is what is looked at at all, in bytes.
	longestToken = 4096
)

// Verifier verifies purchase tokens with the published keys. Its methods may be
// called at the same time.
type Verifier struct {
	Reader    client.Reader
	Namespace string // the operator's own
	Clock     clock.PassiveClock

	reading singleflight.Group
	mu      sync.Mutex
	known   published
}

// published is what was in the ConfigMap when it was read.
type published struct {
	jwks []byte
	keys jose.JSONWebKeySet
	at   time.Time
}

// PublicKeys returns the JWKS as it is published, for others to verify the
// tokens of webhooks with. The caller must not change it.
func (v *Verifier) PublicKeys(ctx context.Context) ([]byte, error) {
	known, err := v.keys(ctx, lookAgain)
	return known.jwks, err
}

// PurchaseToken returns the id of the entitlement that a purchase token is for,
// whether that exists or not. A token that is not valid is ErrInvalid; no error
// quotes it.
func (v *Verifier) PurchaseToken(ctx context.Context, token string, now time.Time) (entitlementID string, err error) {
	if len(token) > longestToken {
		return "", ErrInvalid
	}
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{algorithm})
	if err != nil || len(parsed.Headers) != 1 {
		return "", ErrInvalid // err may quote the token
	}
	header := parsed.Headers[0]
	if typ, _ := header.ExtraHeaders[jose.HeaderType].(string); typ != purchaseType || header.KeyID == "" {
		return "", ErrInvalid
	}
	key, err := v.key(ctx, header.KeyID)
	if err != nil {
		return "", err
	}
	var claims jwt.Claims
	if err := parsed.Claims(key, &claims); err != nil {
		return "", ErrInvalid
	}
	expected := jwt.Expected{Issuer: purchaseIssuer, AnyAudience: jwt.Audience{purchaseAudience}, Time: now}
	if claims.ValidateWithLeeway(expected, 0) != nil || claims.Expiry == nil || uuid.Validate(claims.Subject) != nil {
		return "", ErrInvalid
	}
	if !terms.PurchaseTokenWorks(claims.Expiry.Time(), now) {
		return "", ErrInvalid
	}
	return claims.Subject, nil
}

// key finds a public key. A name that is not known may be that of a new key.
func (v *Verifier) key(ctx context.Context, id string) (*rsa.PublicKey, error) {
	for _, age := range []time.Duration{keepKeys, lookAgain} {
		known, err := v.keys(ctx, age)
		if err != nil {
			return nil, err
		}
		for _, k := range known.keys.Key(id) {
			if key, ok := k.Key.(*rsa.PublicKey); ok {
				return key, nil
			}
		}
	}
	return nil, ErrInvalid
}

// keys returns what was read less than that long ago, or reads it. Those who
// need it at the same time wait for one reading.
func (v *Verifier) keys(ctx context.Context, longest time.Duration) (published, error) {
	v.mu.Lock()
	known := v.known
	v.mu.Unlock()
	now := v.Clock.Now()
	if age := now.Sub(known.at); known.jwks != nil && 0 <= age && age < longest {
		return known, nil
	}
	result := v.reading.DoChan("", func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readTime) // the others wait on if the first gives up
		defer cancel()
		read, err := v.read(ctx, now)
		if err == nil {
			v.mu.Lock()
			v.known = read
			v.mu.Unlock()
		}
		return read, err
	})
	select {
	case <-ctx.Done():
		return published{}, ctx.Err()
	case r := <-result:
		return r.Val.(published), r.Err
	}
}

func (v *Verifier) read(ctx context.Context, now time.Time) (published, error) {
	var cm corev1.ConfigMap
	err := v.Reader.Get(ctx, client.ObjectKey{Namespace: v.Namespace, Name: ConfigMapName}, &cm)
	if apierrors.IsNotFound(err) {
		return published{}, fmt.Errorf("there are no public keys yet: the controllers put them in ConfigMap %s/%s", v.Namespace, ConfigMapName)
	}
	if err != nil {
		return published{}, fmt.Errorf("reading the public keys: %w", err)
	}
	read := published{jwks: []byte(cm.Data[jwksEntry]), at: now}
	if err := json.Unmarshal(read.jwks, &read.keys); err != nil || len(read.keys.Keys) == 0 {
		return published{}, fmt.Errorf("ConfigMap %s/%s, entry %s is no set of keys: delete the ConfigMap, the controllers make it again", v.Namespace, ConfigMapName, jwksEntry)
	}
	return read, nil
}
