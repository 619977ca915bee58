package keys

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/keygen-sh/keygen-go/v3"
)

func testSigner(t *testing.T) *Signer {
	t.Helper()
	pem, err := GenerateSigningKey()
	if err != nil {
		t.Fatal(err)
	}
	key, err := ParseSigningKey(pem)
	if err != nil {
		t.Fatal(err)
	}
	return NewSigner("issuer", key)
}

var signedClaim = Claim{
	Customer: "contoso", Subscription: "office", UID: "u-1", Product: "office-ltsc", Quantity: 25,
	Purchased: time.Date(2026, 3, 1, 12, 0, 0, 0, time.FixedZone("", 3600)), Slots: []int32{1, 2},
}

// verify checks a key as a customer's program does, with the published client.
func verify(publicKey, key string) ([]byte, error) {
	keygen.PublicKey = publicKey
	return (&keygen.License{Scheme: keygen.SchemeCodeEd25519, Key: key}).Verify()
}

func TestSignedKeysVerifyWithThePublishedClient(t *testing.T) {
	s := testSigner(t)
	drafts, err := s.Draw(signedClaim)
	if err != nil || len(drafts) != 2 || drafts[0].Key == drafts[1].Key {
		t.Fatalf("got %v, %v", drafts, err)
	}
	for i, d := range drafts {
		text, err := verify(s.PublicKey(), d.Key)
		if err != nil {
			t.Fatalf("key %d: %v", i, err)
		}
		var got dataset
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatal(err)
		}
		want := dataset{"issuer", "office-ltsc", "contoso", "office", "u-1", int32(i + 1), 25, "2026-03-01T11:00:00Z"}
		if got != want || string(text) != d.Dataset {
			t.Errorf("key %d says %+v, want %+v", i, got, want)
		}
	}
	good := drafts[0].Key
	if _, err := verify(testSigner(t).PublicKey(), good); err == nil {
		t.Error("verifies with another public key")
	}
	i := len("key/") + 10
	forged := good[:i] + string(good[i]^1) + good[i+1:]
	if _, err := verify(s.PublicKey(), forged); err == nil {
		t.Error("verifies after one byte was changed")
	}
}

func TestRecoverSigned(t *testing.T) {
	s := testSigner(t)
	drafts, err := s.Draw(signedClaim)
	if err != nil {
		t.Fatal(err)
	}
	again, err := s.Recover(drafts[1].Fingerprint, drafts[1].Dataset)
	if err != nil || again != drafts[1] {
		t.Errorf("got %v, %v", again, err)
	}
	if _, err := testSigner(t).Recover(drafts[1].Fingerprint, drafts[1].Dataset); !errors.Is(err, ErrUnknown) {
		t.Errorf("another signing key recovered it: %v", err)
	}
}

func TestParseSigningKeyNeverQuotesItsInput(t *testing.T) {
	for name, data := range map[string]string{
		"empty":      "",
		"not PEM":    "sesame sesame sesame",
		"wrong type": "-----BEGIN SESAME-----\nc2VzYW1l\n-----END SESAME-----\n",
		"not a key":  "-----BEGIN PRIVATE KEY-----\nc2VzYW1l\n-----END PRIVATE KEY-----\n",
	} {
		_, err := ParseSigningKey([]byte(data))
		if err == nil || strings.Contains(err.Error(), "sesame") || strings.Contains(err.Error(), "SESAME") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
