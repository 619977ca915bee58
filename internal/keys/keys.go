// Package keys finds and makes licence keys. It works on bytes and memory
// only: nothing here talks to an API server, and nothing here remembers across
// a restart which keys are taken. That is what the ledger is for.
//
// A Source offers keys that seem to be free. Whether one really is free is
// decided when the ledger entry named after it is created; a key that turns
// out to be taken is set aside and another one is drawn.
package keys

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"time"
)

// Draft is a key that could be issued. It prints as its fingerprint only.
type Draft struct {
	Key         string
	Fingerprint string
	Dataset     string // what was signed, when the key was made by a Signer
}

// String keeps the key out of logs and errors.
func (d Draft) String() string { return d.Fingerprint }

// GoString keeps the key out of them for %#v too.
func (d Draft) GoString() string { return d.Fingerprint }

// Claim says who wants keys, and how many.
type Claim struct {
	Customer     string    // namespace of the subscription
	Subscription string    // its name
	UID          string    // of the subscription
	Product      string    // what the keys open
	Quantity     int64     // licences bought
	Purchased    time.Time // instant of the purchase, or of the change of the quantity
	Since        time.Time // since when the subscription is there: the oldest is served first
	Slots        []int32   // which of its keys the subscription lacks, counting from 1
}

// ErrEmpty is returned by Draw when there are not enough free keys for a claim.
var ErrEmpty = errors.New("not enough free keys")

// ErrQueued is returned by Draw when there would be enough free keys for a
// claim, but not for the older ones that wait as well.
var ErrQueued = errors.New("older claims wait")

// ErrUnknown is returned by Recover when the key cannot be had again.
var ErrUnknown = errors.New("key not found")

// Source is where keys come from.
type Source interface {
	// Draw offers one key for each slot of the claim, all or none. Nobody else
	// is offered them until they are given back. It returns ErrEmpty or
	// ErrQueued when the claim has to wait.
	Draw(Claim) ([]Draft, error)
	// Recover finds or makes again a key that is in the ledger. It returns
	// ErrUnknown when it cannot.
	Recover(fingerprint, dataset string) (Draft, error)
	// Return gives back a key that was drawn but not delivered.
	Return(Draft)
	// SetAside tells that a key that was drawn turned out to be somebody
	// else's. It is not offered again until the ledger was looked at.
	SetAside(Draft)
	// Forget drops a claim that was told to wait, and returns those that can
	// be served now because of that.
	Forget(customer, subscription string) []Claim
}

// Fingerprint names a key without revealing it: the first 160 bits of its
// SHA-256 in hexadecimal. Licence keys carry more entropy than anyone can
// search, so no salt is needed, and without one a fingerprint means the same
// in every cluster that the ledger is restored to.
func Fingerprint(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:20])
}
