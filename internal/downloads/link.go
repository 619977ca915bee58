package downloads

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/sosodev/duration"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/downloadlink"
	"github.com/license-operator/license-operator/internal/taken"
	"github.com/license-operator/license-operator/internal/terms"
)

// link is a link that works.
type link struct {
	sub      *v1alpha1.SoftwareSubscription // as the API server had it
	at       time.Time                      // when it was looked at
	until    time.Time                      // terms.LinkStatus.Until
	lifetime time.Duration
	product  *v1alpha1.Product
	build    v1alpha1.ProductBuild
}

// find returns the link with a token, or the refusal to tell.
func (s *Service) find(ctx context.Context, token string) (*link, error) {
	hash := downloadlink.TokenHash(token)
	var found v1alpha1.SoftwareSubscriptionList
	if err := s.Client.List(ctx, &found, client.MatchingFields{IndexTokenHash: hash}); err != nil {
		return nil, fmt.Errorf("looking for a link: %w", err)
	}
	if len(found.Items) == 0 {
		// The cache may be late, and the link fresh.
		if !s.searches.Allow() {
			return nil, tooManySearches
		}
		if err := s.Live.List(ctx, &found, client.MatchingFields{IndexTokenHash: hash}, client.Limit(1)); err != nil {
			return nil, fmt.Errorf("looking for a link: %w", withoutURL(err))
		}
	}
	for i := range found.Items {
		l, err := s.decide(ctx, client.ObjectKeyFromObject(&found.Items[i]), hash)
		if !errors.Is(err, unknown) {
			return l, err
		}
	}
	return nil, unknown
}

// decide reads a subscription from the API server, and the clock, and returns
// its link if that has the hash and works.
func (s *Service) decide(ctx context.Context, key client.ObjectKey, hash string) (*link, error) {
	sub := new(v1alpha1.SoftwareSubscription)
	err := s.Live.Get(ctx, key, sub)
	if apierrors.IsNotFound(err) {
		return nil, unknown
	}
	if err != nil {
		return nil, fmt.Errorf("reading SoftwareSubscription %s: %w", key, withoutURL(err))
	}
	d := sub.Status.Download
	if d == nil || d.TokenHash != hash {
		return nil, unknown
	}
	l := &link{sub: sub, at: s.Clock.Now().UTC().Truncate(time.Second), lifetime: terms.DefaultLinkLifetime}
	missing := s.addBuild(ctx, l) // a link that no longer works says so first
	facts := terms.Link{Ends: ends(sub, l.at)}
	if !facts.At(l.at).Open {
		return nil, ended(sub, facts.Ends)
	}
	if d.FirstDownloadedAt != nil {
		if d.ExpiresAt != nil { // what was promised then
			l.lifetime = d.ExpiresAt.Sub(d.FirstDownloadedAt.Time)
		}
		facts.FirstDownloaded, facts.Lifetime = d.FirstDownloadedAt.UTC(), l.lifetime
	}
	status := facts.At(l.at)
	if !status.Open {
		return nil, expired(sub, l.lifetime, status.Until)
	}
	l.until = status.Until
	return l, missing
}

// ends is when a subscription ends, or ended, for good, as far as that can be
// foreseen. It does not rely on status being up to date: the operator may be
// away while a deadline passes.
func ends(sub *v1alpha1.SoftwareSubscription, now time.Time) time.Time {
	var at []time.Time
	if !sub.DeletionTimestamp.IsZero() {
		at = append(at, terms.Earliest(now, sub.DeletionTimestamp.UTC()))
	}
	if t, ok := cancelledAt(sub, now); ok {
		// What the API server has taken has happened, also by a clock behind.
		at = append(at, terms.Earliest(now, t))
	}
	term := sub.Status.Term
	if term != nil && term.EndsAt != nil && !ptr.Deref(sub.Spec.AutoRenew, true) {
		at = append(at, term.EndsAt.UTC())
	}
	if sub.Status.State == v1alpha1.StateExpired || sub.Status.State == v1alpha1.StateCancelled {
		at = append(at, now)
	}
	return terms.Earliest(at...)
}

// cancelledAt reports when a subscription was cancelled, if it was and that
// was not too late. It judges a request that the operator has not answered yet
// as terms.Contract.CancelAt will.
func cancelledAt(sub *v1alpha1.SoftwareSubscription, now time.Time) (time.Time, bool) {
	at := taken.At(sub, now, "spec", "cancelled")
	window, term := sub.Status.Cancellation, sub.Status.Term
	if meta.IsStatusConditionTrue(sub.Status.Conditions, v1alpha1.ConditionCancelled) {
		if window != nil && window.At != nil {
			at = window.At.UTC()
		}
		return at, true
	}
	if !sub.Spec.Cancelled || meta.IsStatusConditionFalse(sub.Status.Conditions, v1alpha1.ConditionCancelled) {
		return time.Time{}, false // not asked for, or refused, which stays so until it is taken back
	}
	if window == nil || window.Until == nil {
		return at, true
	}
	// A request from before a later term was too late for the term before.
	later := term != nil && sub.Status.PurchasedAt != nil && term.StartsAt.After(sub.Status.PurchasedAt.Time)
	if later && at.Before(term.StartsAt.Time) {
		return time.Time{}, false
	}
	return at, at.Before(window.Until.Time)
}

// addBuild adds what the link is for. A Product that the cache does not have,
// or not with this build, may be new.
func (s *Service) addBuild(ctx context.Context, l *link) error {
	key := client.ObjectKey{Name: l.sub.Spec.ProductRef.Name}
	for _, from := range []client.Reader{s.Client, s.Live} {
		p := new(v1alpha1.Product)
		err := from.Get(ctx, key, p)
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return fmt.Errorf("reading Product %s: %w", key.Name, withoutURL(err))
		}
		if b, ok := buildOf(p, l.sub.Status.Download); ok {
			l.product, l.build = p, b
			l.lifetime, err = lifetime(p)
			return err
		}
	}
	return notOffered(l.sub)
}

func buildOf(p *v1alpha1.Product, d *v1alpha1.DownloadStatus) (v1alpha1.ProductBuild, bool) {
	for _, v := range p.Versions() {
		for _, b := range v.Builds {
			if v.Version == d.Version && b.Language == d.Language && b.Architecture == d.Architecture {
				return b, true
			}
		}
	}
	return v1alpha1.ProductBuild{}, false
}

// lifetime is how long a link of a Product works from its first download.
func lifetime(p *v1alpha1.Product) (time.Duration, error) {
	if p.Spec.Software == nil || p.Spec.Software.DownloadLinkLifetime == "" {
		return terms.DefaultLinkLifetime, nil
	}
	d, err := duration.Parse(string(p.Spec.Software.DownloadLinkLifetime))
	if err != nil {
		return 0, fmt.Errorf("downloadLinkLifetime of Product %s: %w", p.Name, err)
	}
	return d.ToTimeDuration(), nil
}

// withoutURL leaves out of an error the address that was asked, which holds
// the hash of a token.
func withoutURL(err error) error {
	if u := new(url.Error); errors.As(err, &u) {
		return u.Err
	}
	return err
}
