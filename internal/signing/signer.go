package signing

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/google/uuid"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/license-operator/license-operator/api/v1alpha1"
)

// lookEvery is how often the Secret and the ConfigMap are looked at again.
const lookEvery = 30 * time.Second

// Signer makes tokens. Several processes may have one each: they sign with the
// same key. Its methods may be called at the same time.
type Signer struct {
	Client    client.Client // writes
	Live      client.Reader // reads from the API server: a cache need not hold these Secrets
	Namespace string        // the operator's own
	Clock     clock.PassiveClock

	mu     sync.Mutex
	keys   *keySet // nil: not loaded
	looked time.Time
}

// Load reads the keys, makes one if there is none, and publishes the public
// parts; before that nothing is signed. Call it before each piece of work: it
// does nothing if that was done lately. A Secret with no usable key is a
// *SecretError; the keys read before are not used any more then.
func (s *Signer) Load(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.Clock.Now()
	if age := now.Sub(s.looked); s.keys != nil && 0 <= age && age < lookEvery {
		return nil
	}
	keys, err := s.read(ctx)
	if errors.As(err, new(*SecretError)) {
		s.keys = nil
	}
	if err != nil {
		return err
	}
	if err := s.publish(ctx, keys); err != nil {
		return err
	}
	s.keys, s.looked = keys, now
	return nil
}

// Publish writes the public keys of the Secret to the ConfigMap if other ones
// are there. Load calls it.
func (s *Signer) Publish(ctx context.Context) error {
	keys, err := s.read(ctx)
	if err != nil {
		return err
	}
	return s.publish(ctx, keys)
}

// Start publishes the keys, and goes on looking after them until ctx ends, so
// that a key that was replaced or deleted is not believed for long where nothing
// is signed. The manager runs it.
func (s *Signer) Start(ctx context.Context) error {
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		if err := s.Publish(ctx); err != nil && ctx.Err() == nil {
			log.FromContext(ctx).WithName("signing").Error(err, "the public keys cannot be published")
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// read reads the Secret. It makes it if it is not there; of several who do, the
// API server lets one.
func (s *Signer) read(ctx context.Context) (*keySet, error) {
	name := client.ObjectKey{Namespace: s.Namespace, Name: SecretName}
	secret := &corev1.Secret{}
	err := s.Live.Get(ctx, name, secret)
	if apierrors.IsNotFound(err) {
		if secret, err = s.create(ctx); apierrors.IsAlreadyExists(err) {
			secret = &corev1.Secret{}
			err = s.Live.Get(ctx, name, secret)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("reading the signing key: %w", err)
	}
	return readKeys(secret)
}

func (s *Signer) create(ctx context.Context) (*corev1.Secret, error) {
	key, err := generateKey()
	if err != nil {
		return nil, err
	}
	secret := &corev1.Secret{ObjectMeta: s.meta(SecretName), Data: map[string][]byte{keyEntry: key}}
	return secret, s.Client.Create(ctx, secret)
}

func (s *Signer) publish(ctx context.Context, keys *keySet) error {
	again := func(err error) bool {
		return apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) || apierrors.IsNotFound(err)
	}
	err := retry.OnError(retry.DefaultBackoff, again, func() error {
		published := &corev1.ConfigMap{}
		err := s.Live.Get(ctx, client.ObjectKey{Namespace: s.Namespace, Name: ConfigMapName}, published)
		if apierrors.IsNotFound(err) {
			return s.Client.Create(ctx, &corev1.ConfigMap{ObjectMeta: s.meta(ConfigMapName), Data: map[string]string{jwksEntry: string(keys.jwks)}})
		}
		if err != nil || published.Data[jwksEntry] == string(keys.jwks) {
			return err
		}
		published.Data = map[string]string{jwksEntry: string(keys.jwks)}
		return s.Client.Update(ctx, published)
	})
	if err != nil {
		return fmt.Errorf("publishing the public keys: %w", err)
	}
	return nil
}

func (s *Signer) meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Namespace: s.Namespace, Name: name,
		Labels: map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedByOperator},
	}
}

// skew is how far behind the clock of a publisher may be, which else would take
// a token for one that is not valid yet.
const skew = 5 * time.Minute

// Webhook makes the token that a webhook is called with. The issuer is the
// address of the fulfilment service, where the public keys are found. It works
// for WebhookTokenLifetime. Each is another.
func (s *Signer) Webhook(audience, issuer string, now time.Time) (string, error) {
	return s.sign(webhookType, jwt.Claims{
		ID: uuid.NewString(), Issuer: issuer, Audience: jwt.Audience{audience}, Subject: webhookSub,
		IssuedAt: jwt.NewNumericDate(now.Add(-skew)), NotBefore: jwt.NewNumericDate(now.Add(-skew)), Expiry: jwt.NewNumericDate(now.Add(WebhookTokenLifetime)),
	})
}

// PurchaseToken makes the token by which a landing page learns which entitlement
// somebody comes with. It is a credential: keep it in a Secret. The same call
// makes the same token while the key is the same.
func (s *Signer) PurchaseToken(entitlementID string, expires time.Time) (string, error) {
	return s.sign(purchaseType, jwt.Claims{
		Issuer: purchaseIssuer, Audience: jwt.Audience{purchaseAudience}, Subject: entitlementID,
		Expiry: jwt.NewNumericDate(expires),
	})
}

func (s *Signer) sign(typ jose.ContentType, claims jwt.Claims) (string, error) {
	s.mu.Lock()
	keys := s.keys
	s.mu.Unlock()
	if keys == nil {
		return "", errors.New("there is no signing key: call Load first")
	}
	key := jose.SigningKey{Algorithm: algorithm, Key: jose.JSONWebKey{Key: keys.signer, KeyID: keys.kid}}
	signer, err := jose.NewSigner(key, (&jose.SignerOptions{}).WithType(typ))
	if err != nil {
		return "", fmt.Errorf("preparing to sign: %w", err)
	}
	token, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		return "", fmt.Errorf("signing: %w", err)
	}
	return token, nil
}
