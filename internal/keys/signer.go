package keys

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"time"
)

// Signer makes keys of Keygen's scheme ED25519_SIGN, which its clients verify
// offline with the public key:
//
//	"key/" + base64url(dataset) + "." + base64url(signature of all before the ".")
//
// with padded URL-safe base64. There is no end to them, so nobody ever waits.
type Signer struct {
	issuer string
	key    ed25519.PrivateKey
}

// NewSigner returns the signer of an issuer.
func NewSigner(issuer string, key ed25519.PrivateKey) *Signer {
	return &Signer{issuer: issuer, key: key}
}

// dataset is the signed text of a key. The text itself goes to the ledger, so
// a change here affects new keys only. It names no expiry: a renewed
// subscription keeps its key.
type dataset struct {
	Issuer       string `json:"issuer"`
	Product      string `json:"product"`
	Customer     string `json:"customer"`
	Subscription string `json:"subscription"`
	ID           string `json:"id"`      // UID of the subscription, so that no two purchases get the same key
	License      int32  `json:"license"` // the slot, so that keys per licence differ
	Quantity     int64  `json:"quantity"`
	Created      string `json:"created"`
}

// PublicKey is the 32 bytes that verify the keys, in hexadecimal.
func (s *Signer) PublicKey() string {
	return hex.EncodeToString(s.key.Public().(ed25519.PublicKey))
}

// Draw makes a key for each slot.
func (s *Signer) Draw(c Claim) ([]Draft, error) {
	drafts := make([]Draft, 0, len(c.Slots))
	for _, slot := range c.Slots {
		text, err := json.Marshal(dataset{
			Issuer: s.issuer, Product: c.Product, Customer: c.Customer, Subscription: c.Subscription, ID: c.UID,
			License: slot, Quantity: c.Quantity, Created: c.Purchased.UTC().Format(time.RFC3339),
		})
		if err != nil {
			return nil, fmt.Errorf("encoding the dataset of a key: %w", err)
		}
		drafts = append(drafts, s.sign(string(text)))
	}
	return drafts, nil
}

// Recover makes a key again from what was signed. Ed25519 signatures are
// deterministic, so it is the same one, unless the signing key is another.
func (s *Signer) Recover(fingerprint, dataset string) (Draft, error) {
	if d := s.sign(dataset); d.Fingerprint == fingerprint {
		return d, nil
	}
	return Draft{}, ErrUnknown
}

func (s *Signer) sign(dataset string) Draft {
	message := "key/" + base64.URLEncoding.EncodeToString([]byte(dataset))
	key := message + "." + base64.URLEncoding.EncodeToString(ed25519.Sign(s.key, []byte(message)))
	return Draft{Key: key, Fingerprint: Fingerprint(key), Dataset: dataset}
}

// Return does nothing: a key is made for one subscription, and again if need be.
func (s *Signer) Return(Draft) {}

// SetAside does nothing, for the same reason.
func (s *Signer) SetAside(Draft) {}

// Forget does nothing: nobody waits.
func (s *Signer) Forget(customer, subscription string) []Claim { return nil }

const pemType = "PRIVATE KEY"

// GenerateSigningKey makes an Ed25519 private key as PKCS #8 PEM.
func GenerateSigningKey() ([]byte, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generating a signing key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encoding a signing key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: der}), nil
}

// ParseSigningKey reads what GenerateSigningKey wrote. Its errors never quote
// the input.
func ParseSigningKey(data []byte) (ed25519.PrivateKey, error) {
	block, _ := pem.Decode(data)
	if block == nil || block.Type != pemType {
		return nil, errors.New("not a PEM block of type " + pemType)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errors.New("not a PKCS #8 private key")
	}
	key, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("a private key of type %T, not Ed25519", parsed)
	}
	return key, nil
}
