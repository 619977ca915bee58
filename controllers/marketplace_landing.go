package controllers

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/keys"
	"github.com/license-operator/license-operator/internal/signing"
	"github.com/license-operator/license-operator/internal/terms"
)

// entryLandingPage is the entry of a landing Secret that holds the link.
const entryLandingPage = "landingPageURL"

// link keeps the link to the publisher's site in its Secret, and returns when it
// is to be replaced. Once the service has ended there is none.
func (r *MarketplaceSubscriptionReconciler) link(ctx context.Context, s *service, now time.Time) (next time.Time, err error) {
	st := s.sub.Status.LandingPage
	if s.facts.State() == terms.Unsubscribed {
		if st == nil {
			return time.Time{}, nil
		}
		err := r.deleteLink(ctx, s.sub)
		if err == nil {
			s.sub.Status.LandingPage = nil
		}
		return time.Time{}, err
	}
	var renewal int64
	if c := s.sub.Spec.LandingPage; c != nil {
		renewal = c.Renewal
	}
	if st != nil {
		there := terms.PurchaseLink{Expires: st.ExpiresAt.UTC(), Renewal: st.Renewal}
		replace, next := there.Replace(s.facts.State(), renewal, now)
		inPlace, err := r.linkInPlace(ctx, s.sub)
		if !inPlace && err == nil { // or the cache has our link, and not yet the status that tells of it
			var live *v1alpha1.MarketplaceSubscription
			if live, err = r.reread(ctx, s.sub); err == nil && live.ResourceVersion != s.sub.ResourceVersion {
				err = errLater
			}
		}
		moved := s.publisher != nil && st.Site != s.publisher.Spec.LandingPageURL
		if err != nil || inPlace && !replace && !moved {
			return next, err
		}
	}
	if s.publisher == nil {
		return time.Time{}, nil // there is no site to link to
	}
	fresh := &v1alpha1.LandingPageStatus{
		SecretName: s.sub.LandingSecretName(), Site: s.publisher.Spec.LandingPageURL,
		ExpiresAt: metav1.NewTime(terms.PurchaseTokenExpires(now)), Renewal: renewal,
	}
	if err := r.Tokens.Load(ctx); err != nil {
		if errors.As(err, new(*signing.SecretError)) {
			return time.Time{}, waiting(v1alpha1.ReasonSigningKeyNotReady, "bought, but no link to the publisher's site can be made: %v", err)
		}
		return time.Time{}, err
	}
	address, err := r.address(s, fresh.ExpiresAt.Time)
	if err != nil {
		return time.Time{}, err
	}
	fresh.URLHash = keys.Fingerprint(address)
	if err := r.deliverLink(ctx, s.sub, address); err != nil {
		return time.Time{}, err
	}
	s.sub.Status.LandingPage = fresh
	_, next = terms.PurchaseLink{Expires: fresh.ExpiresAt.Time, Renewal: renewal}.Replace(s.facts.State(), renewal, now)
	return next, nil
}

// address is the publisher's site with a token by which it knows the purchase.
func (r *MarketplaceSubscriptionReconciler) address(s *service, expires time.Time) (string, error) {
	token, err := r.Tokens.PurchaseToken(s.record.Spec.ID, expires)
	if err != nil {
		return "", fmt.Errorf("making a purchase token: %w", err)
	}
	site, err := url.Parse(s.publisher.Spec.LandingPageURL)
	if err != nil {
		return "", stalled(v1alpha1.ReasonPublisherNotFound, "the landing page of Publisher %s is not a URL: mend its spec.landingPageURL", s.publisher.Name)
	}
	query := site.Query()
	query.Set("token", token)
	site.RawQuery = query.Encode()
	return site.String(), nil
}

// linkInPlace reports whether the Secret holds the link that status tells of, as
// far as the cache knows.
func (r *MarketplaceSubscriptionReconciler) linkInPlace(ctx context.Context, sub *v1alpha1.MarketplaceSubscription) (bool, error) {
	var secret corev1.Secret
	if err := r.Get(ctx, client.ObjectKey{Namespace: sub.Namespace, Name: sub.LandingSecretName()}, &secret); err != nil {
		return false, client.IgnoreNotFound(err)
	}
	return string(secret.Data[entryLandingPage]) == sub.Status.LandingPage.URLHash && metav1.IsControlledBy(&secret, sub), nil
}

// deliverLink creates the Secret under its fixed name, or puts another link into
// the one that is there, if that is ours.
func (r *MarketplaceSubscriptionReconciler) deliverLink(ctx context.Context, sub *v1alpha1.MarketplaceSubscription, address string) error {
	owner := metav1.OwnerReference{
		APIVersion: v1alpha1.GroupVersion.String(), Kind: "MarketplaceSubscription", Name: sub.Name, UID: sub.UID, Controller: ptr.To(true),
	}
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: sub.Namespace, Name: sub.LandingSecretName(),
			Labels:          map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedByOperator},
			OwnerReferences: []metav1.OwnerReference{owner},
		},
		Data: map[string][]byte{entryLandingPage: []byte(address)},
	}
	err := r.Create(ctx, secret)
	if !apierrors.IsAlreadyExists(err) {
		if err != nil {
			return fmt.Errorf("delivering Secret %s: %w", secret.Name, err)
		}
		return nil
	}
	var there corev1.Secret
	if err := r.Live.Get(ctx, client.ObjectKeyFromObject(secret), &there); err != nil {
		return fmt.Errorf("reading Secret %s: %w", secret.Name, err)
	}
	if !holdsLinkOf(&there, sub) {
		return stalled(v1alpha1.ReasonSecretNameTaken,
			"Secret %s exists and is not this subscription's: it is left alone. Delete it, if nobody needs it, and the link to the publisher's site is delivered; or buy again with another spec.secretName", secret.Name)
	}
	// After a restore its owner is an object that is gone, and it would go too.
	there.OwnerReferences, there.Data = secret.OwnerReferences, secret.Data
	err = r.Update(ctx, &there)
	if apierrors.IsInvalid(err) || apierrors.IsForbidden(err) {
		return stalled(v1alpha1.ReasonSecretNameTaken, "Secret %s cannot be written, because somebody made it immutable or put something of his own into it: delete it and it is delivered anew", secret.Name)
	}
	if err != nil {
		return fmt.Errorf("writing Secret %s: %w", secret.Name, err)
	}
	return nil
}

// holdsLinkOf reports whether a Secret was made for a subscription of this name,
// which may have had another UID. Nothing scarce is in it, and a customer who
// writes such a Secret has only his own to lose.
func holdsLinkOf(secret *corev1.Secret, sub *v1alpha1.MarketplaceSubscription) bool {
	owner := metav1.GetControllerOf(secret)
	return secret.Labels[v1alpha1.LabelManagedBy] == v1alpha1.ManagedByOperator &&
		owner != nil && owner.APIVersion == v1alpha1.GroupVersion.String() && owner.Kind == "MarketplaceSubscription" && owner.Name == sub.Name
}

// deleteLink deletes the Secret if it is ours, and that very object only.
func (r *MarketplaceSubscriptionReconciler) deleteLink(ctx context.Context, sub *v1alpha1.MarketplaceSubscription) error {
	var secret corev1.Secret
	err := r.Live.Get(ctx, client.ObjectKey{Namespace: sub.Namespace, Name: sub.LandingSecretName()}, &secret)
	if err != nil {
		if apierrors.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("reading Secret %s: %w", sub.LandingSecretName(), err)
	}
	if !holdsLinkOf(&secret, sub) {
		return nil
	}
	err = r.Delete(ctx, &secret, client.Preconditions{UID: &secret.UID, ResourceVersion: &secret.ResourceVersion})
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("deleting Secret %s: %w", secret.Name, err)
	}
	return nil
}
