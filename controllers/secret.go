package controllers

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/downloadlink"
	"github.com/license-operator/license-operator/internal/keys"
	"github.com/license-operator/license-operator/internal/ledger"
)

// Entries of a key Secret besides the keys.
const (
	entryKey           = "key" // of a subscription that has one; see Purchase.KeyEntry for the others
	entryDownloadURL   = "downloadURL"
	entryConfiguration = "configuration.xml"
	entryActivate      = "activate.cmd"
)

// anyKey stands for the key in files that are rendered to be compared.
const anyKey = "XXXXX-XXXXX-XXXXX-XXXXX-XXXXX"

// FingerprintSecret is a cache transform that keeps of a Secret only what
// tells whether it holds the right things, so that the operator's memory holds
// no delivered key or link, and little of anything: a fingerprint in place of
// each value. In the link it is the token that is replaced, by its hash; the
// fingerprint of a file is that of the file with anyKey in place of its key.
func FingerprintSecret(o any) (any, error) {
	secret, ok := o.(*corev1.Secret)
	if !ok {
		return o, nil // a tombstone
	}
	small := &corev1.Secret{ObjectMeta: secret.ObjectMeta, Data: make(map[string][]byte, len(secret.Data))}
	small.ManagedFields, small.Annotations = nil, nil
	for entry, value := range secret.Data {
		switch entry {
		case entryDownloadURL:
			token := downloadlink.Token(string(value))
			if token == "" { // somebody wrote something else there
				token = string(value)
			}
			small.Data[entry] = []byte(strings.TrimSuffix(string(value), token) + downloadlink.TokenHash(token))
		case entryConfiguration, entryActivate:
			if key := secret.Data[entryKey]; len(key) > 0 {
				value = bytes.ReplaceAll(value, key, []byte(anyKey))
			}
			small.Data[entry] = []byte(keys.Fingerprint(string(value)))
		default:
			small.Data[entry] = []byte(keys.Fingerprint(string(value)))
		}
	}
	return small, nil
}

// inPlace returns the entries of the ledger whose keys are in the Secret, if
// the Secret holds all that it should, as far as the cache knows; else nil.
func (r *SoftwareSubscriptionReconciler) inPlace(ctx context.Context, o order, held []v1alpha1.LicenseKey) ([]v1alpha1.LicenseKey, error) {
	var secret corev1.Secret
	err := r.Get(ctx, client.ObjectKey{Namespace: o.sub.Namespace, Name: o.sub.KeySecretName()}, &secret)
	if err != nil {
		return nil, client.IgnoreNotFound(err)
	}
	var entries []v1alpha1.LicenseKey
	for _, entry := range held {
		if string(secret.Data[entry.Spec.Purchase.KeyEntry(entry.Spec.Slot)]) == entry.Spec.Fingerprint {
			entries = append(entries, entry)
		}
	}
	if len(entries) != int(o.keys) || !metav1.IsControlledBy(&secret, o.sub) || slices.ContainsFunc(slices.Collect(maps.Keys(secret.Data)), o.isSurplus) {
		return nil, nil
	}
	if o.choice == nil {
		if o.sub.Status.Download != nil && secret.Data[entryDownloadURL] == nil {
			return nil, nil // status tells of a link that is gone
		}
		return entries, nil
	}
	if o.choice.build == nil && o.sub.Status.Download != nil {
		return nil, nil // the link works until status no longer knows it
	}
	var url string
	if st := o.sub.Status.Download; sameBuild(st, o.choice.build) && o.choice.build != nil {
		url = downloadlink.URL(r.DownloadsURL, st.TokenHash)
	}
	if string(secret.Data[entryDownloadURL]) != url || (url == "") != (o.choice.build == nil) {
		return nil, nil
	}
	for _, name := range []string{entryConfiguration, entryActivate} {
		var want string
		if f := o.choice.files[name]; f != nil {
			content, err := f(anyKey)
			if err != nil {
				return nil, fmt.Errorf("making %s: %w", name, err)
			}
			want = keys.Fingerprint(string(content))
		}
		if string(secret.Data[name]) != want {
			return nil, nil
		}
	}
	return entries, nil
}

// isSurplus reports whether an entry of the Secret is for a key beyond those
// that there are to be.
func (o *order) isSurplus(entry string) bool {
	var slot int32
	if _, err := fmt.Sscanf(entry, "key-%d", &slot); err != nil || entry != o.purchase.KeyEntry(slot) {
		return false
	}
	return slot > o.keys
}

// newSecret is the Secret of an order before anything is in it.
func (o *order) newSecret() *corev1.Secret {
	return &corev1.Secret{
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
}

// deliver creates the Secret under its fixed name. If there is one already, it
// is completed when it is ours, and left alone when it is not.
func (r *SoftwareSubscriptionReconciler) deliver(ctx context.Context, o order, reserved []reservation) ([]v1alpha1.LicenseKey, error) {
	secret := o.newSecret()
	entries := make([]v1alpha1.LicenseKey, 0, len(reserved))
	for _, res := range reserved {
		secret.Data[o.purchase.KeyEntry(res.entry.Spec.Slot)] = []byte(res.key.Key)
		entries = append(entries, res.entry)
	}
	download, err := r.fill(o, secret)
	if err != nil {
		return nil, err
	}
	err = r.Create(ctx, secret)
	if apierrors.IsAlreadyExists(err) {
		return r.complete(ctx, o, reserved)
	}
	if err != nil {
		return nil, fmt.Errorf("delivering Secret %s: %w", secret.Name, err)
	}
	o.sub.Status.Download = download
	return entries, nil
}

// complete brings the Secret that is there already to what it should hold. It
// returns the ledger entries of its keys, also if it fails after these were
// found. The error is NotFound when there is no Secret, and errIncomplete when
// it lacks a key that was not reserved yet.
func (r *SoftwareSubscriptionReconciler) complete(ctx context.Context, o order, reserved []reservation) ([]v1alpha1.LicenseKey, error) {
	var secret corev1.Secret
	if err := r.Live.Get(ctx, client.ObjectKey{Namespace: o.sub.Namespace, Name: o.sub.KeySecretName()}, &secret); err != nil {
		return nil, fmt.Errorf("reading Secret %s: %w", o.sub.KeySecretName(), err)
	}
	before := secret.DeepCopy()
	entries, err := r.adopt(ctx, o, &secret, reserved)
	if err != nil {
		return nil, err
	}
	maps.DeleteFunc(secret.Data, func(entry string, _ []byte) bool { return o.isSurplus(entry) })
	live, err := r.reread(ctx, o.sub)
	if err != nil {
		return entries, err
	}
	if live.ResourceVersion != o.sub.ResourceVersion { // status may know of a later link
		r.unsure.Store(client.ObjectKeyFromObject(o.sub), true)
		return entries, errLater
	}
	download, err := r.fill(o, &secret)
	if err != nil {
		return entries, err
	}
	// After a restore its owner is an object that is gone, and it would go too.
	secret.OwnerReferences = o.newSecret().OwnerReferences
	secret.Labels = labels.Merge(secret.Labels, o.newSecret().Labels)
	if !equality.Semantic.DeepEqual(before, &secret) {
		if !isMarked(before) {
			return entries, stalled(v1alpha1.ReasonSecretNameTaken,
				"Secret %s lost its label %s and its owner, so it is left alone: label it with %s again, or delete it and it is delivered anew", secret.Name, v1alpha1.LabelManagedBy, v1alpha1.ManagedByOperator)
		}
		err := r.Update(ctx, &secret)
		if apierrors.IsInvalid(err) {
			return entries, stalled(v1alpha1.ReasonSecretNameTaken,
				"Secret %s cannot be written, because somebody made it immutable or put too much into it: delete it and it is delivered anew", secret.Name)
		}
		if err != nil {
			return entries, fmt.Errorf("completing Secret %s: %w", secret.Name, err)
		}
	}
	o.sub.Status.Download = download
	return entries, nil
}

// isMarked reports whether a Secret bears our label or is owned by one of our
// kinds. Without either it is not ours to write, whatever it holds: a policy
// keeps the operator's account from that.
func isMarked(secret *corev1.Secret) bool {
	owner := metav1.GetControllerOf(secret)
	return secret.Labels[v1alpha1.LabelManagedBy] == v1alpha1.ManagedByOperator ||
		owner != nil && strings.HasPrefix(owner.APIVersion, v1alpha1.GroupVersion.Group+"/")
}

// adopt checks that the keys of a Secret are those of this subscription and
// adds the reserved ones where there is none. A Secret is ours if the ledger
// holds each of its keys for this subscription: a label or an owner proves
// nothing, anybody can write those.
func (r *SoftwareSubscriptionReconciler) adopt(ctx context.Context, o order, secret *corev1.Secret, reserved []reservation) ([]v1alpha1.LicenseKey, error) {
	known, free := map[string]*v1alpha1.LicenseKey{}, map[int32]*reservation{}
	for i := range o.held {
		known[o.held[i].Spec.Fingerprint] = &o.held[i]
	}
	for i := range reserved {
		known[reserved[i].entry.Spec.Fingerprint] = &reserved[i].entry
		free[reserved[i].entry.Spec.Slot] = &reserved[i]
	}
	var entries []v1alpha1.LicenseKey
	var missing []int32
	for slot := int32(1); slot <= o.keys; slot++ {
		value, there := secret.Data[o.purchase.KeyEntry(slot)]
		if !there && slot > 1 { // the first one is what proves that the Secret is ours
			missing = append(missing, slot)
			continue
		}
		fingerprint := keys.Fingerprint(string(value))
		entry, owner := known[fingerprint], ledger.ThisOne
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
		if slot > 1 && entry != nil && entry.Spec.Slot == slot && entry.Spec.State == v1alpha1.LicenseKeyRevoked {
			missing = append(missing, slot) // given back, and another one bought before this one was taken out
			continue
		}
		if other := metav1.GetControllerOf(secret); entry == nil && other != nil && other.Kind == "SoftwareSubscription" && other.UID != o.sub.UID {
			return nil, stalled(v1alpha1.ReasonSecretNameTaken,
				"Secret %s belongs to SoftwareSubscription %s: delete this subscription and buy it again with another spec.secretName", secret.Name, other.Name)
		}
		if entry == nil || entry.Spec.Slot != slot || entry.Spec.State != v1alpha1.LicenseKeyIssued {
			return nil, stalled(v1alpha1.ReasonSecretNameTaken,
				"Secret %s exists and does not hold what this subscription was issued: it is left alone. Delete it, if nobody needs it, and the right key is delivered; or buy again with another spec.secretName", secret.Name)
		}
		entries = append(entries, *entry)
	}
	for _, slot := range missing {
		res := free[slot]
		if res == nil {
			return nil, errIncomplete
		}
		secret.Data[o.purchase.KeyEntry(slot)] = []byte(res.key.Key)
		entries = append(entries, res.entry)
	}
	return entries, nil
}

// fill puts into a Secret that has its keys what else belongs there, and
// returns what status has to tell about the link. A link that is for the build
// that is asked for, and that status knows of, stays; else a fresh one is made.
// If it is not known what the customer wants all is left as it is.
func (r *SoftwareSubscriptionReconciler) fill(o order, secret *corev1.Secret) (*v1alpha1.DownloadStatus, error) {
	if o.choice == nil {
		if secret.Data[entryDownloadURL] == nil {
			return nil, nil // somebody deleted it, and there is no other
		}
		return o.sub.Status.Download, nil
	}
	for _, name := range []string{entryConfiguration, entryActivate} {
		delete(secret.Data, name)
		if f := o.choice.files[name]; f != nil {
			content, err := f(string(secret.Data[entryKey]))
			if err != nil {
				return nil, stalled(v1alpha1.ReasonKeyFormat, "%s cannot be made: %v. Ask for something else than spec.volumeLicensing and x86", name, err)
			}
			secret.Data[name] = content
		}
	}
	if o.choice.build == nil {
		delete(secret.Data, entryDownloadURL)
		return nil, nil
	}
	token, known := downloadlink.Token(string(secret.Data[entryDownloadURL])), o.sub.Status.Download
	if known == nil || !sameBuild(known, o.choice.build) || downloadlink.TokenHash(token) != known.TokenHash {
		token, known = downloadlink.NewToken(), o.choice.build.DeepCopy()
		known.TokenHash = downloadlink.TokenHash(token)
	}
	secret.Data[entryDownloadURL] = []byte(downloadlink.URL(r.DownloadsURL, token))
	return known, nil
}

// sameBuild reports whether a link is for the build and the renewal that are
// asked for. Taking spec.download out, and its renewal with it, asks for
// nothing new.
func sameBuild(link, build *v1alpha1.DownloadStatus) bool {
	if link == nil || build == nil {
		return link == build
	}
	return link.Version == build.Version && link.Language == build.Language && link.Architecture == build.Architecture && link.Renewal >= build.Renewal
}
