// Package signing makes and verifies the operator's tokens: those that a
// publisher's webhook is called with, and the purchase tokens in the links to
// publishers' landing pages. Both are JWTs, signed by RS256 with one RSA key.
//
// The controllers have a Signer. The private key is in the Secret
// license-operator-signing of the operator's namespace, made on first use. Its
// public part is published as a JWKS in the ConfigMap
// license-operator-public-keys, entry jwks.json, so that whoever verifies, the
// fulfilment service and every publisher, needs no access to Secrets: a Verifier
// reads that ConfigMap, and the fulfilment service serves it.
//
// # Another key
//
// Entry key.pem of the Secret signs. Every other entry that ends in .pem is a
// key that signs no more, or not yet: it is published too. So a key is replaced
// without a gap by publishing the next one beside it (next.pem), and some minutes
// later, when everybody has it, making it key.pem and keeping the old one
// (previous.pem) for a day. docs/fulfillment.md has the commands.
//
// If the key is known to others, delete the Secret instead: the operator makes
// another key, and two minutes later no token made before is accepted any more.
//
// A Secret in which there is no usable key is never replaced: see SecretError.
package signing

import (
	"errors"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Where the keys are, in the operator's namespace.
const (
	SecretName    = "license-operator-signing"     // the private keys
	ConfigMapName = "license-operator-public-keys" // the public keys

	keyEntry  = "key.pem"   // of the Secret: the key that signs
	jwksEntry = "jwks.json" // of the ConfigMap
)

// WebhookTokenLifetime is how long a token works that a webhook is called with.
const WebhookTokenLifetime = 10 * time.Minute

// What tells the two kinds of tokens apart. The type is in the signed header,
// where no publisher's audience can imitate it; the issuer of a purchase token
// is no address, so that no publisher takes one for a call of its webhook.
const (
	webhookType = "JWT"
	webhookSub  = "license-operator"

	purchaseType     = "purchase+jwt"
	purchaseIssuer   = "license-operator"
	purchaseAudience = "landing-page"
)

// algorithm is the one that tokens are signed and verified with. Whatever else a
// token says of itself is not believed.
const algorithm = jose.RS256

// ErrInvalid is why a purchase token is refused, whatever is wrong with it.
// Other errors say nothing of the token: verify it again later.
var ErrInvalid = errors.New("the purchase token is not valid")

// SecretError says that the Secret holds no usable key and what to do.
type SecretError struct {
	Namespace string
	Entry     string
	Problem   string // never quotes the content
}

func (e *SecretError) Error() string {
	otherwise := "remove the entry"
	if e.Entry == keyEntry {
		otherwise = "delete the Secret to have another key made, which makes links to landing pages invalid that were given before"
	}
	return fmt.Sprintf("Secret %s/%s, entry %s %s: put an RSA private key of %d to %d bits there as PEM, such as \"openssl genpkey -algorithm RSA\" makes, or %s",
		e.Namespace, SecretName, e.Entry, e.Problem, keyBits, largestBits, otherwise)
}
