package signing

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"
	corev1 "k8s.io/api/core/v1"
)

// Sizes of keys, in bits. Larger ones only make every call slow.
const (
	keyBits     = 2048
	largestBits = 4096
)

// keySet is what a Secret holds.
type keySet struct {
	kid    string
	signer *rsa.PrivateKey
	jwks   []byte // the public parts of all, the one that signs first
}

// readKeys reads the keys of the Secret.
func readKeys(secret *corev1.Secret) (*keySet, error) {
	entries := slices.DeleteFunc(slices.Sorted(maps.Keys(secret.Data)), func(name string) bool {
		return name == keyEntry || !strings.HasSuffix(name, ".pem")
	})
	set := &keySet{}
	var public jose.JSONWebKeySet
	for _, entry := range append([]string{keyEntry}, entries...) {
		key, err := parseKey(secret.Data[entry])
		if err != nil {
			return nil, &SecretError{Namespace: secret.Namespace, Entry: entry, Problem: err.Error()}
		}
		id, err := thumbprint(&key.PublicKey)
		if err != nil {
			return nil, err
		}
		if entry == keyEntry {
			set.kid, set.signer = id, key
		}
		if len(public.Key(id)) == 0 { // a key that was never replaced may be there twice
			public.Keys = append(public.Keys, jose.JSONWebKey{Key: &key.PublicKey, KeyID: id, Algorithm: string(algorithm), Use: "sig"})
		}
	}
	var err error
	if set.jwks, err = json.Marshal(public); err != nil {
		return nil, fmt.Errorf("encoding the public keys: %w", err)
	}
	return set, nil
}

// thumbprint is the name of a key by RFC 7638.
func thumbprint(key *rsa.PublicKey) (string, error) {
	sum, err := (&jose.JSONWebKey{Key: key}).Thumbprint(crypto.SHA256)
	if err != nil {
		return "", fmt.Errorf("naming a key: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(sum), nil
}

// generateKey makes a private key as PKCS #8 PEM.
func generateKey() ([]byte, error) {
	key, err := rsa.GenerateKey(rand.Reader, keyBits)
	if err != nil {
		return nil, fmt.Errorf("generating a signing key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encoding a signing key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// parseKey reads a private key, PKCS #8 or PKCS #1. Its errors never quote it
// and continue a sentence about where it is.
func parseKey(data []byte) (*rsa.PrivateKey, error) {
	if len(data) == 0 {
		return nil, errors.New("is not there")
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, errors.New("is not PEM")
	}
	var key any
	var err error
	switch block.Type {
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	default:
		return nil, errors.New("is no private key, or an encrypted one")
	}
	if err != nil {
		return nil, errors.New("is a damaged private key")
	}
	private, ok := key.(*rsa.PrivateKey)
	if !ok {
		return nil, errors.New("is not an RSA key")
	}
	if bits := private.N.BitLen(); bits < keyBits || bits > largestBits {
		return nil, fmt.Errorf("is an RSA key of %d bits", bits)
	}
	return private, nil
}
