package controllers

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/keys"
)

// signingKeyEntry is the entry of the Secret that holds the signing key.
const signingKeyEntry = "ed25519.pem"

// signer returns the signer of an issuer. It makes the signing key if there is
// none and nothing was signed yet; otherwise another key would be an accident,
// after which customers' keys no longer verify, so a person has to look.
func (r *KeyIssuerReconciler) signer(ctx context.Context, issuer *v1alpha1.KeyIssuer, entries []v1alpha1.LicenseKey) (*keys.Signer, error) {
	name := issuer.Spec.Signed.SecretName
	signed := slices.IndexFunc(entries, func(k v1alpha1.LicenseKey) bool { return k.Spec.Dataset != "" })
	var secret corev1.Secret
	err := r.Stock.Get(ctx, client.ObjectKey{Namespace: r.Namespace, Name: name}, &secret)
	if apierrors.IsNotFound(err) { // perhaps the cache is late
		err = r.Live.Get(ctx, client.ObjectKey{Namespace: r.Namespace, Name: name}, &secret)
	}
	if apierrors.IsNotFound(err) {
		if issuer.Status.PublicKey != "" || signed >= 0 {
			return nil, stalled(v1alpha1.ReasonSigningKeyLost,
				"Secret %s/%s with the signing key is gone: restore it. Keys already issued verify only with it; for a new one create another KeyIssuer", r.Namespace, name)
		}
		if secret, err = r.createSigningKey(ctx, name); err != nil {
			return nil, fmt.Errorf("making the signing key: %w", err)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("reading Secret %s with the signing key: %w", name, err)
	}
	key, err := keys.ParseSigningKey(secret.Data[signingKeyEntry])
	if err != nil {
		return nil, stalled(v1alpha1.ReasonSigningKeyInvalid,
			"Secret %s/%s, entry %s is %v: put an Ed25519 private key there, as PKCS #8 PEM, or name another Secret", r.Namespace, name, signingKeyEntry, err)
	}
	signer := keys.NewSigner(issuer.Name, key)
	changed := issuer.Status.PublicKey != "" && issuer.Status.PublicKey != signer.PublicKey()
	if signed >= 0 {
		_, err := signer.Recover(entries[signed].Spec.Fingerprint, entries[signed].Spec.Dataset)
		changed = changed || err != nil
	}
	if changed {
		return nil, stalled(v1alpha1.ReasonSigningKeyChanged,
			"Secret %s/%s holds another signing key than before: restore the old one. Keys already issued verify only with that; for a new one create another KeyIssuer", r.Namespace, name)
	}
	return signer, nil
}

func (r *KeyIssuerReconciler) createSigningKey(ctx context.Context, name string) (corev1.Secret, error) {
	pem, err := keys.GenerateSigningKey()
	if err != nil {
		return corev1.Secret{}, err
	}
	secret := corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: r.Namespace, Name: name,
			Labels: map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedByOperator},
		},
		Immutable: ptr.To(true),
		Data:      map[string][]byte{signingKeyEntry: pem},
	}
	return secret, r.Create(ctx, &secret)
}
