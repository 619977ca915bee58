package controllers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/keys"
	"github.com/license-operator/license-operator/internal/ledger"
	"github.com/license-operator/license-operator/internal/terms"
)

// releaseAfter is how old a reservation must be before a process that did not
// make it may release it: by then whoever made it has no write under way,
// because each pass is cut off after passTimeout.
const releaseAfter = 2 * passTimeout

// order is what is to be delivered to whom.
type order struct {
	sub      *v1alpha1.SoftwareSubscription
	uid      types.UID // in the ledger: after a restore it is not the UID of sub
	issuer   string
	purchase v1alpha1.Purchase
	keys     int32                 // how many there are to be
	choice   *choice               // what else there is to be; nil: not known
	held     []v1alpha1.LicenseKey // what the ledger holds already
}

// reservation is a key that the ledger holds for a subscription.
type reservation struct {
	entry v1alpha1.LicenseKey
	key   keys.Draft
	fresh bool // made in this pass, so it was certainly not delivered before
}

// errLater says that there is nothing to tell yet, and that more is known in a
// moment: the operator or the issuer has only just come up, or the cache is
// behind.
var errLater = errors.New("more is known in a moment")

// errIncomplete says that a Secret lacks keys.
var errIncomplete = errors.New("the Secret lacks keys")

// issue makes sure that the keys of a subscription are reserved in the ledger
// and delivered in its Secret, with what else belongs there. It returns the
// subscription's entries in the ledger. Each step goes by a name that is unique
// in the API server, so it does not matter who else tries the same, or where an
// earlier attempt was cut off.
func (r *SoftwareSubscriptionReconciler) issue(ctx context.Context, o order, now time.Time) ([]v1alpha1.LicenseKey, error) {
	if entries, err := r.inPlace(ctx, o, o.held); entries != nil || err != nil {
		return entries, errors.Join(err, r.releaseSurplus(ctx, o, entries, now))
	}
	if o.sub.Status.Keys != nil || reasonOf(o.sub, v1alpha1.ConditionReady) == v1alpha1.ReasonSecretNameTaken {
		// Look first, so that nothing is written while a Secret is there.
		entries, err := r.complete(ctx, o, nil)
		if err == nil {
			return entries, nil
		}
		if !apierrors.IsNotFound(err) && !errors.Is(err, errIncomplete) {
			return o.held, err
		}
	}
	source, err := r.source(ctx, o.issuer)
	if err != nil {
		return o.held, err
	}
	r.stopWaiting(ctx, ctrl.Request{NamespacedName: client.ObjectKeyFromObject(o.sub)}, o.issuer)
	reserved, err := r.reserve(ctx, o, source)
	if err != nil {
		return o.held, err
	}
	entries, err := r.deliver(ctx, o, reserved)
	if entries != nil || errors.As(err, new(*blocked)) {
		err = errors.Join(err, r.release(ctx, source, reserved, entries))
	}
	if err != nil {
		return o.held, err
	}
	log.FromContext(ctx).Info("delivered", "secret", o.sub.KeySecretName(), "keys", len(entries), "issuer", o.issuer)
	return entries, nil
}

// newOrder says what a subscription is to be delivered, be it bought already or
// now.
func newOrder(sub *v1alpha1.SoftwareSubscription, product *v1alpha1.Product, wanted *choice, held []v1alpha1.LicenseKey, now time.Time) (order, error) {
	o := order{sub: sub, uid: sub.UID, choice: wanted, held: held}
	if len(held) > 0 {
		first := held[0].Spec
		o.uid, o.issuer, o.purchase, o.keys = first.Subscription.UID, first.IssuerRef.Name, first.Purchase, first.Purchase.Keys(first.Quantity())
		return o, nil
	}
	purchase, err := agree(sub, product, now)
	if err != nil {
		return o, err
	}
	o.issuer, o.purchase, o.keys = product.Spec.Software.Keys.IssuerRef.Name, purchase, purchase.Keys(purchase.Quantity)
	return o, nil
}

// release gives back what was reserved in this pass and turned out not to be
// needed, because the Secret had its keys already.
func (r *SoftwareSubscriptionReconciler) release(ctx context.Context, source keys.Source, reserved []reservation, used []v1alpha1.LicenseKey) error {
	for _, res := range reserved {
		if !res.fresh || slices.ContainsFunc(used, func(u v1alpha1.LicenseKey) bool { return u.Name == res.entry.Name }) {
			continue
		}
		// Offered again whether or not this succeeds: the ledger has the say.
		source.Return(res.key)
		if err := r.Ledger.Release(ctx, &res.entry); err != nil {
			return err
		}
	}
	return nil
}

// source returns where the keys come from, or why it cannot be used yet.
func (r *SoftwareSubscriptionReconciler) source(ctx context.Context, issuer string) (keys.Source, error) {
	s, known := r.Keys.Get(issuer)
	if s != nil {
		return s, nil
	}
	err := r.Get(ctx, client.ObjectKey{Name: issuer}, &v1alpha1.KeyIssuer{})
	if apierrors.IsNotFound(err) {
		return nil, stalled(v1alpha1.ReasonIssuerNotFound, "KeyIssuer %s does not exist: create it", issuer)
	}
	if err != nil {
		return nil, fmt.Errorf("reading KeyIssuer %s: %w", issuer, err)
	}
	if !known {
		return nil, errLater
	}
	return nil, waiting(v1alpha1.ReasonIssuerNotReady, "KeyIssuer %s is not ready. Whoever runs it: see \"kubectl describe keyissuer %s\"", issuer, issuer)
}

// reserve finds the keys that the ledger holds for an order and adds entries
// for those that are missing: one for each slot.
func (r *SoftwareSubscriptionReconciler) reserve(ctx context.Context, o order, source keys.Source) ([]reservation, error) {
	var reserved []reservation
	found := map[int32]bool{}
	for _, entry := range o.held {
		if found[entry.Spec.Slot] || entry.Spec.Slot > o.keys {
			continue
		}
		key, err := source.Recover(entry.Spec.Fingerprint, entry.Spec.Dataset)
		if errors.Is(err, keys.ErrUnknown) {
			return nil, stalled(v1alpha1.ReasonKeyNotFound,
				"KeyIssuer %s no longer has the key with fingerprint %s, which belongs to this subscription: put it back into the pool, or the signing key back into its Secret",
				o.issuer, entry.Spec.Fingerprint)
		}
		if err != nil {
			return nil, fmt.Errorf("recovering a key: %w", err)
		}
		found[entry.Spec.Slot] = true
		reserved = append(reserved, reservation{entry: entry, key: key})
	}
	// A signer makes the same key again for the same claim. Where one was given
	// back, another is wanted after the next change of the quantity.
	since, quantity := o.purchase.At, o.purchase.Quantity
	if len(o.held) > 0 {
		quantity = o.held[0].Spec.Quantity()
		if changes := o.held[0].Spec.QuantityChanges; len(changes) > 0 {
			since = changes[len(changes)-1].At
		}
	}
	claim := keys.Claim{
		Customer: o.sub.Namespace, Subscription: o.sub.Name, UID: string(o.uid), Product: o.sub.Spec.ProductRef.Name,
		Quantity: quantity, Purchased: since.Time, Since: o.sub.CreationTimestamp.Time,
	}
	for slot := int32(1); slot <= o.keys; slot++ {
		if !found[slot] {
			claim.Slots = append(claim.Slots, slot)
		}
	}
	for len(claim.Slots) > 0 {
		drafts, err := source.Draw(claim)
		if errors.Is(err, keys.ErrQueued) {
			return nil, waiting(v1alpha1.ReasonQueued,
				"waiting for %s: an older subscription needs more than the pool of KeyIssuer %s has left. Whoever runs it: top it up", plural(len(claim.Slots), "key"), o.issuer)
		}
		if errors.Is(err, keys.ErrEmpty) {
			return nil, waiting(v1alpha1.ReasonPoolEmpty,
				"waiting for %s: the pool of KeyIssuer %s has fewer left. Whoever runs it: top it up, as \"kubectl describe keyissuer %s\" says", plural(len(claim.Slots), "key"), o.issuer, o.issuer)
		}
		if err != nil {
			return nil, fmt.Errorf("drawing keys from KeyIssuer %s: %w", o.issuer, err)
		}
		var lost []int32
		for i, key := range drafts {
			res, err := r.reserveOne(ctx, o, claim.Slots[i], key)
			switch {
			case err != nil:
				for _, d := range drafts[i:] {
					source.Return(d)
				}
				return nil, err
			case res == nil: // somebody else has it
				source.SetAside(key)
				lost = append(lost, claim.Slots[i])
			default:
				reserved = append(reserved, *res)
			}
		}
		claim.Slots = lost
	}
	return reserved, nil
}

// reserveOne creates the ledger entry of a key. It returns nil when the key is
// somebody else's.
func (r *SoftwareSubscriptionReconciler) reserveOne(ctx context.Context, o order, slot int32, key keys.Draft) (*reservation, error) {
	if sold, err := r.Ledger.SoldElsewhere(ctx, o.issuer, key.Fingerprint); sold || err != nil {
		return nil, err
	}
	entry := v1alpha1.LicenseKey{
		ObjectMeta: metav1.ObjectMeta{Name: ledger.Name(o.issuer, key.Fingerprint)},
		Spec: v1alpha1.LicenseKeySpec{
			IssuerRef: v1alpha1.Reference{Name: o.issuer}, Fingerprint: key.Fingerprint, Dataset: key.Dataset,
			Customer: o.sub.Namespace, Subscription: v1alpha1.SubscriptionIdentity{Name: o.sub.Name, UID: o.uid},
			ProductRef: o.sub.Spec.ProductRef, Slot: slot, Purchase: o.purchase, State: v1alpha1.LicenseKeyIssued,
		},
	}
	if o.choice != nil {
		entry.Spec.LicenseServer = o.choice.server
	}
	err := r.Ledger.Reserve(ctx, &entry)
	if err == nil {
		return &reservation{entry: entry, key: key, fresh: true}, nil
	}
	if !apierrors.IsAlreadyExists(err) {
		return nil, err
	}
	// Perhaps our own, from an attempt whose answer was lost.
	mine, _, err := r.Ledger.Holds(ctx, o.issuer, key.Fingerprint, o.sub)
	if err != nil || mine == nil || mine.Spec.Slot != slot || mine.Spec.State != v1alpha1.LicenseKeyIssued {
		return nil, err
	}
	return &reservation{entry: *mine, key: key}, nil
}

// releasable is when to look again for surplus that is too young to release
// now; zero if there is none.
func releasable(o order, now time.Time) time.Time {
	if len(o.held) <= int(o.keys) {
		return time.Time{}
	}
	var due time.Time
	for _, entry := range o.held {
		if at := entry.CreationTimestamp.Add(releaseAfter); now.Before(at) {
			due = terms.Earliest(due, at)
		}
	}
	return due
}

// releaseSurplus gives back what another process reserved for slots that were
// filled with other keys. There is some only if two processes led at once.
//
// It was certainly not delivered if the Secret with the other keys was there
// before it was reserved, and is there still. Anything else stays reserved, and
// so does whatever was reserved for a quantity that was changed, since keys are
// then put into a Secret that is there: a key that nobody uses is better than
// one that two have.
func (r *SoftwareSubscriptionReconciler) releaseSurplus(ctx context.Context, o order, delivered []v1alpha1.LicenseKey, now time.Time) error {
	if len(o.held) == len(delivered) || len(o.held[0].Spec.QuantityChanges) > 0 {
		return nil
	}
	var secret corev1.Secret
	if err := r.Live.Get(ctx, client.ObjectKey{Namespace: o.sub.Namespace, Name: o.sub.KeySecretName()}, &secret); err != nil {
		return client.IgnoreNotFound(err)
	}
	for _, entry := range o.held {
		used := slices.ContainsFunc(delivered, func(d v1alpha1.LicenseKey) bool { return d.Name == entry.Name })
		reserved := entry.CreationTimestamp.Time
		if used || now.Sub(reserved) < releaseAfter || !secret.CreationTimestamp.Time.Before(reserved) {
			continue
		}
		if err := r.Ledger.Release(ctx, &entry); err != nil {
			return err
		}
		if source, _ := r.Keys.Get(o.issuer); source != nil {
			source.Return(keys.Draft{Fingerprint: entry.Spec.Fingerprint})
		}
	}
	return nil
}
