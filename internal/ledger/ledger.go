// Package ledger keeps the record of every key that ever left an issuer: one
// LicenseKey object for each, named after the key. There is no lock and no
// list to update. Two processes that want the same key create the same name,
// and the API server lets one of them.
//
// An entry is created before its key is delivered and is removed only if it
// provably was not. After that it changes at each renewal and each change of the
// quantity, and once more when the key is revoked or retired. It stays for
// ever, so that the key is never issued again.
package ledger

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
)

// Names of the indexes that Register adds to a cache of LicenseKeys.
const (
	IndexSubscription = "subscription" // "<customer>/<subscription>"
	IndexIssuer       = "spec.issuerRef.name"
	IndexFingerprint  = "spec.fingerprint"
)

// Ledger reads and writes the LicenseKeys.
type Ledger struct {
	// Client writes, and reads from a cache with the indexes of Register.
	Client client.Client
	// Live reads from the API server. It is used where a late cache would lead
	// to something that cannot be undone.
	Live client.Reader
}

// Register adds the indexes that a Ledger reads by.
func Register(ctx context.Context, indexer client.FieldIndexer) error {
	for name, index := range Indexes {
		if err := indexer.IndexField(ctx, &v1alpha1.LicenseKey{}, name, index); err != nil {
			return fmt.Errorf("indexing licence keys by %s: %w", name, err)
		}
	}
	return nil
}

// Indexes compute the values of the indexes.
var Indexes = map[string]client.IndexerFunc{
	IndexSubscription: func(o client.Object) []string {
		k := o.(*v1alpha1.LicenseKey)
		return []string{k.Spec.Customer + "/" + k.Spec.Subscription.Name}
	},
	IndexFingerprint: func(o client.Object) []string {
		return []string{o.(*v1alpha1.LicenseKey).Spec.Fingerprint}
	},
	IndexIssuer: func(o client.Object) []string {
		return []string{o.(*v1alpha1.LicenseKey).Spec.IssuerRef.Name}
	},
}

// Name is the name of the entry of a key.
func Name(issuer, fingerprint string) string { return issuer + "-" + fingerprint }

// Of returns the entries of one issuer, from the cache. They are shared with
// the cache: do not change them.
func (l *Ledger) Of(ctx context.Context, issuer string) ([]v1alpha1.LicenseKey, error) {
	var list v1alpha1.LicenseKeyList
	if err := l.Client.List(ctx, &list, client.MatchingFields{IndexIssuer: issuer}, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("reading the ledger of issuer %s: %w", issuer, err)
	}
	return list.Items, nil
}

// Elsewhere returns which issuer sold each key that was not sold by the given
// one, by fingerprint, from the cache.
func (l *Ledger) Elsewhere(ctx context.Context, issuer string) (map[string]string, error) {
	var list v1alpha1.LicenseKeyList
	if err := l.Client.List(ctx, &list, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("reading the ledger: %w", err)
	}
	sold := map[string]string{}
	for i := range list.Items {
		if spec := &list.Items[i].Spec; spec.IssuerRef.Name != issuer {
			sold[spec.Fingerprint] = spec.IssuerRef.Name
		}
	}
	return sold, nil
}

// SoldElsewhere reports whether another issuer sold a key, from the cache.
func (l *Ledger) SoldElsewhere(ctx context.Context, issuer, fingerprint string) (bool, error) {
	var list v1alpha1.LicenseKeyList
	if err := l.Client.List(ctx, &list, client.MatchingFields{IndexFingerprint: fingerprint}, client.UnsafeDisableDeepCopy); err != nil {
		return false, fmt.Errorf("reading the ledger: %w", err)
	}
	return slices.ContainsFunc(list.Items, func(k v1alpha1.LicenseKey) bool { return k.Spec.IssuerRef.Name != issuer }), nil
}

// Held returns the entries of a subscription, by slot, from the cache. A cache
// may be late, so no entries does not prove that there are none.
func (l *Ledger) Held(ctx context.Context, sub *v1alpha1.SoftwareSubscription) ([]v1alpha1.LicenseKey, error) {
	var list v1alpha1.LicenseKeyList
	if err := l.Client.List(ctx, &list, client.MatchingFields{IndexSubscription: sub.Namespace + "/" + sub.Name}); err != nil {
		return nil, fmt.Errorf("reading the ledger: %w", err)
	}
	return ofPurchase(list.Items, sub), nil
}

// HeldLive is Held from the API server itself. It costs a scan of the ledger.
func (l *Ledger) HeldLive(ctx context.Context, sub *v1alpha1.SoftwareSubscription) ([]v1alpha1.LicenseKey, error) {
	var list v1alpha1.LicenseKeyList
	fields := client.MatchingFields{"spec.customer": sub.Namespace, "spec.subscription.name": sub.Name}
	if err := l.Live.List(ctx, &list, fields); err != nil {
		return nil, fmt.Errorf("reading the ledger: %w", err)
	}
	return ofPurchase(list.Items, sub), nil
}

// ofPurchase picks, out of all entries ever made for a subscription's name,
// those that belong to its purchase: the ones with its UID or, if there are
// none, those of an earlier object that was the same purchase. That is what a
// subscription is after a restore: the same product and term under the same
// name. Its quantity may have been changed meanwhile. A key that was cancelled
// comes back only to a subscription that says it is cancelled; without that, it
// is a new purchase.
func ofPurchase(entries []v1alpha1.LicenseKey, sub *v1alpha1.SoftwareSubscription) []v1alpha1.LicenseKey {
	entries = slices.DeleteFunc(entries, func(k v1alpha1.LicenseKey) bool {
		same := k.Spec.ProductRef == sub.Spec.ProductRef && k.Spec.Purchase.Term == sub.Spec.Term
		return k.Spec.Subscription.UID != sub.UID && (!same || k.Spec.State == v1alpha1.LicenseKeyRevoked && !sub.Spec.Cancelled)
	})
	if len(entries) == 0 {
		return nil
	}
	// This object's own entries come first, then those of the latest purchase.
	uid := slices.MaxFunc(entries, func(a, b v1alpha1.LicenseKey) int {
		return cmp.Or(
			cmpBool(a.Spec.Subscription.UID == sub.UID, b.Spec.Subscription.UID == sub.UID),
			a.Spec.Purchase.At.Compare(b.Spec.Purchase.At.Time),
			cmp.Compare(a.Spec.Subscription.UID, b.Spec.Subscription.UID),
		)
	}).Spec.Subscription.UID
	entries = slices.DeleteFunc(entries, func(k v1alpha1.LicenseKey) bool { return k.Spec.Subscription.UID != uid })
	slices.SortFunc(entries, func(a, b v1alpha1.LicenseKey) int {
		return cmp.Or(cmp.Compare(a.Spec.Slot, b.Spec.Slot), a.Spec.Purchase.At.Compare(b.Spec.Purchase.At.Time), cmp.Compare(a.Name, b.Name))
	})
	return entries
}

func cmpBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	default:
		return -1
	}
}

// Reserve creates an entry. It returns an AlreadyExists error when the key is
// taken.
func (l *Ledger) Reserve(ctx context.Context, entry *v1alpha1.LicenseKey) error {
	if err := l.Client.Create(ctx, entry); err != nil {
		return fmt.Errorf("reserving a key: %w", err)
	}
	return nil
}

// Release removes an entry whose key was not delivered, and only that very
// object: never one of the same name that somebody else has created since.
func (l *Ledger) Release(ctx context.Context, entry *v1alpha1.LicenseKey) error {
	err := l.Client.Delete(ctx, entry, client.Preconditions{UID: &entry.UID, ResourceVersion: &entry.ResourceVersion})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("releasing a key: %w", err)
	}
	return nil
}

// End marks an entry revoked or retired from an instant on. Doing it again
// changes nothing; the first time counts.
func (l *Ledger) End(ctx context.Context, entry *v1alpha1.LicenseKey, state v1alpha1.LicenseKeyState, at metav1.Time) error {
	if entry.Spec.State != v1alpha1.LicenseKeyIssued {
		return nil
	}
	before := entry.DeepCopy()
	entry.Spec.State, entry.Spec.EndedAt = state, &at
	if err := l.Client.Patch(ctx, entry, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
		return fmt.Errorf("marking a key %s in the ledger: %w", state, err)
	}
	return nil
}

// Renew records that a term was renewed, on the first entry. Doing it again
// changes nothing.
func (l *Ledger) Renew(ctx context.Context, entry *v1alpha1.LicenseKey, until metav1.Time) error {
	if entry.Spec.RenewedUntil != nil && !entry.Spec.RenewedUntil.Before(&until) {
		return nil
	}
	before := entry.DeepCopy()
	entry.Spec.RenewedUntil = &until
	if err := l.Client.Patch(ctx, entry, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
		return fmt.Errorf("recording a renewal in the ledger: %w", err)
	}
	return nil
}

// ChangeQuantity records a change of the quantity, on the first entry.
func (l *Ledger) ChangeQuantity(ctx context.Context, entry *v1alpha1.LicenseKey, change v1alpha1.QuantityChange) error {
	before := entry.DeepCopy()
	entry.Spec.QuantityChanges = append(entry.Spec.QuantityChanges, change)
	if err := l.Client.Patch(ctx, entry, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})); err != nil {
		return fmt.Errorf("recording a change of the quantity in the ledger: %w", err)
	}
	return nil
}

// Owner says whose a key is, as far as one subscription is concerned.
type Owner int

// What an Owner can be.
const (
	Nobody   Owner = iota // the ledger does not hold it, or for somebody else
	Namesake              // an earlier subscription of the same name, another purchase
	ThisOne               // this subscription
)

// Holds looks up, live, for whom the ledger holds a key, and returns the entry
// if it is for this subscription. This is the proof of what is ours.
func (l *Ledger) Holds(ctx context.Context, issuer, fingerprint string, sub *v1alpha1.SoftwareSubscription) (*v1alpha1.LicenseKey, Owner, error) {
	var entry v1alpha1.LicenseKey
	err := l.Live.Get(ctx, client.ObjectKey{Name: Name(issuer, fingerprint)}, &entry)
	if client.IgnoreNotFound(err) != nil {
		return nil, Nobody, fmt.Errorf("reading the ledger: %w", err)
	}
	switch {
	case err != nil, entry.Spec.Customer != sub.Namespace, entry.Spec.Subscription.Name != sub.Name:
		return nil, Nobody, nil
	case len(ofPurchase([]v1alpha1.LicenseKey{entry}, sub)) == 0:
		return nil, Namesake, nil
	}
	return &entry, ThisOne, nil
}
