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
	"k8s.io/utils/ptr"
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

// order is which keys are to be delivered to whom.
type order struct {
	sub      *v1alpha1.SoftwareSubscription
	uid      types.UID // in the ledger: after a restore it is not the UID of sub
	issuer   string
	purchase v1alpha1.Purchase
}

// reservation is a key that the ledger holds for a subscription.
type reservation struct {
	entry v1alpha1.LicenseKey
	key   keys.Draft
	fresh bool // made in this pass, so it was certainly not delivered before
}

// errTooEarly says that the operator, or the issuer, has only just come up.
// There is nothing to tell about it: a moment later more is known.
var errTooEarly = errors.New("the issuer was not looked at yet")

// issue makes sure that the keys of a subscription are reserved in the ledger
// and delivered in its Secret. It returns the subscription's entries in the
// ledger. Each step goes by a name that is unique in the API server, so it does
// not matter who else tries the same, or where an earlier attempt was cut off.
func (r *SoftwareSubscriptionReconciler) issue(ctx context.Context, sub *v1alpha1.SoftwareSubscription, product *v1alpha1.Product, held []v1alpha1.LicenseKey, now time.Time) ([]v1alpha1.LicenseKey, error) {
	o := order{sub: sub, uid: sub.UID}
	if len(held) > 0 {
		o.uid, o.issuer, o.purchase = held[0].Spec.Subscription.UID, held[0].Spec.IssuerRef.Name, held[0].Spec.Purchase
	} else {
		purchase, err := agree(sub, product, now)
		if err != nil {
			return nil, err
		}
		o.issuer, o.purchase = product.Spec.Software.Keys.IssuerRef.Name, purchase
	}
	if entries, err := r.delivered(ctx, o, held); entries != nil || err != nil {
		return entries, errors.Join(err, r.releaseSurplus(ctx, o, held, entries, now))
	}
	if sub.Status.Keys != nil || reasonOf(sub, v1alpha1.ConditionReady) == v1alpha1.ReasonSecretNameTaken {
		// Look first, so that nothing is written while a Secret is there.
		entries, err := r.adopt(ctx, o, nil)
		if err == nil {
			return entries, nil
		}
		if !apierrors.IsNotFound(err) {
			return held, err
		}
	}
	source, err := r.source(ctx, o.issuer)
	if err != nil {
		return held, err
	}
	r.stopWaiting(ctx, ctrl.Request{NamespacedName: client.ObjectKeyFromObject(sub)}, o.issuer)
	reserved, err := r.reserve(ctx, o, source, held)
	if err != nil {
		return held, err
	}
	entries, err := r.deliver(ctx, o, source, reserved)
	if err != nil {
		return held, err
	}
	log.FromContext(ctx).Info("delivered", "secret", sub.KeySecretName(), "keys", len(entries), "issuer", o.issuer)
	return entries, nil
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
		return nil, errTooEarly
	}
	return nil, waiting(v1alpha1.ReasonIssuerNotReady, "KeyIssuer %s is not ready: see \"kubectl describe keyissuer %s\"", issuer, issuer)
}

// reserve finds the keys that the ledger holds for an order and adds entries
// for those that are missing: one for each slot.
func (r *SoftwareSubscriptionReconciler) reserve(ctx context.Context, o order, source keys.Source, held []v1alpha1.LicenseKey) ([]reservation, error) {
	var reserved []reservation
	found := map[int32]bool{}
	for _, entry := range held {
		if found[entry.Spec.Slot] {
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
	claim := keys.Claim{
		Customer: o.sub.Namespace, Subscription: o.sub.Name, UID: string(o.uid), Product: o.sub.Spec.ProductRef.Name,
		Quantity: o.purchase.Quantity, Purchased: o.purchase.At.Time, Since: o.sub.CreationTimestamp.Time,
	}
	for slot := int32(1); slot <= o.purchase.Keys(); slot++ {
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

// deliver creates the Secret under its fixed name. If there is one already, it
// is adopted when it is ours, and left alone when it is not.
func (r *SoftwareSubscriptionReconciler) deliver(ctx context.Context, o order, source keys.Source, reserved []reservation) ([]v1alpha1.LicenseKey, error) {
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: o.sub.Namespace, Name: o.sub.KeySecretName(),
			Labels: map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedByOperator},
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: v1alpha1.GroupVersion.String(), Kind: "SoftwareSubscription",
				Name: o.sub.Name, UID: o.sub.UID, Controller: ptr.To(true),
			}},
		},
		Data: map[string][]byte{},
	}
	entries := make([]v1alpha1.LicenseKey, 0, len(reserved))
	for _, res := range reserved {
		secret.Data[o.purchase.KeyEntry(res.entry.Spec.Slot)] = []byte(res.key.Key)
		entries = append(entries, res.entry)
	}
	err := r.Create(ctx, secret)
	if err == nil {
		return entries, nil
	}
	if !apierrors.IsAlreadyExists(err) {
		return nil, fmt.Errorf("delivering Secret %s: %w", secret.Name, err)
	}
	adopted, err := r.adopt(ctx, o, reserved)
	if err != nil && !errors.As(err, new(*blocked)) {
		return nil, err
	}
	for _, res := range reserved {
		used := slices.ContainsFunc(adopted, func(a v1alpha1.LicenseKey) bool { return a.Name == res.entry.Name })
		if !res.fresh || used {
			continue
		}
		// Offered again whether or not this succeeds: the ledger has the say.
		source.Return(res.key)
		if rerr := r.Ledger.Release(ctx, &res.entry); rerr != nil {
			return nil, rerr
		}
	}
	return adopted, err
}

// adopt returns the ledger entries of the keys in the Secret that is there
// already. The Secret is ours if the ledger holds each of its keys for this
// subscription: a label or an owner proves nothing, anybody can write those.
// The error is NotFound when there is no Secret.
func (r *SoftwareSubscriptionReconciler) adopt(ctx context.Context, o order, reserved []reservation) ([]v1alpha1.LicenseKey, error) {
	var secret corev1.Secret
	if err := r.Live.Get(ctx, client.ObjectKey{Namespace: o.sub.Namespace, Name: o.sub.KeySecretName()}, &secret); err != nil {
		return nil, fmt.Errorf("reading Secret %s: %w", o.sub.KeySecretName(), err)
	}
	known := map[string]*v1alpha1.LicenseKey{}
	for i := range reserved {
		known[reserved[i].entry.Spec.Fingerprint] = &reserved[i].entry
	}
	var entries []v1alpha1.LicenseKey
	for slot := int32(1); slot <= o.purchase.Keys(); slot++ {
		fingerprint := keys.Fingerprint(string(secret.Data[o.purchase.KeyEntry(slot)]))
		entry := known[fingerprint]
		owner := ledger.ThisOne
		if entry == nil {
			var err error
			if entry, owner, err = r.Ledger.Holds(ctx, o.issuer, fingerprint, o.sub); err != nil {
				return nil, err
			}
		}
		if owner == ledger.Namesake {
			return nil, waiting(v1alpha1.ReasonSecretNameTaken,
				"Secret %s still holds the key of an earlier subscription of this name: waiting until it is deleted", secret.Name)
		}
		if entry == nil || entry.Spec.Slot != slot || entry.Spec.State != v1alpha1.LicenseKeyIssued {
			return nil, stalled(v1alpha1.ReasonSecretNameTaken,
				"Secret %s exists and does not hold what this subscription was issued: it is left alone. Delete it, if nobody needs it, and the right key is delivered; or buy again with another spec.secretName", secret.Name)
		}
		entries = append(entries, *entry)
	}
	return entries, nil
}

// delivered returns the entries whose keys are in the Secret, as far as the
// cache knows; nil unless there is one for each slot.
func (r *SoftwareSubscriptionReconciler) delivered(ctx context.Context, o order, held []v1alpha1.LicenseKey) ([]v1alpha1.LicenseKey, error) {
	if len(held) < int(o.purchase.Keys()) {
		return nil, nil
	}
	var secret corev1.Secret
	err := r.Get(ctx, client.ObjectKey{Namespace: o.sub.Namespace, Name: o.sub.KeySecretName()}, &secret)
	if err != nil {
		return nil, client.IgnoreNotFound(err)
	}
	var entries []v1alpha1.LicenseKey
	for _, entry := range held {
		if string(secret.Data[o.purchase.KeyEntry(entry.Spec.Slot)]) == entry.Spec.Fingerprint {
			entries = append(entries, entry)
		}
	}
	if len(entries) != int(o.purchase.Keys()) {
		return nil, nil
	}
	return entries, nil
}

// releasable is when to look again for surplus that is too young to release
// now; zero if there is none.
func releasable(held []v1alpha1.LicenseKey, now time.Time) time.Time {
	if len(held) == 0 || len(held) <= int(held[0].Spec.Purchase.Keys()) {
		return time.Time{}
	}
	var due time.Time
	for _, entry := range held {
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
// before it was reserved, and is there still. Anything else stays reserved: a
// key that nobody uses is better than one that two have.
func (r *SoftwareSubscriptionReconciler) releaseSurplus(ctx context.Context, o order, held, delivered []v1alpha1.LicenseKey, now time.Time) error {
	if len(held) == len(delivered) {
		return nil
	}
	var secret corev1.Secret
	if err := r.Live.Get(ctx, client.ObjectKey{Namespace: o.sub.Namespace, Name: o.sub.KeySecretName()}, &secret); err != nil {
		return client.IgnoreNotFound(err)
	}
	for _, entry := range held {
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
