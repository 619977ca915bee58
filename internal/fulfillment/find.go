package fulfillment

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/entitlements"
	"github.com/license-operator/license-operator/internal/terms"
)

// find returns the entitlement with an id, as the API server has it, and its
// facts as they are now, if it is one of the caller's.
func (s *Service) find(ctx context.Context, req *request, id string) (*v1alpha1.Entitlement, *terms.Entitlement, error) {
	var found v1alpha1.EntitlementList
	if err := s.Client.List(ctx, &found, client.MatchingFields{entitlements.IndexID: id}); err != nil {
		return nil, nil, fmt.Errorf("looking for an entitlement: %w", err)
	}
	if len(found.Items) == 0 {
		// The cache may be late, and the purchase fresh.
		if !s.searches.Allow() {
			return nil, nil, tooManySearches
		}
		if err := s.Live.List(ctx, &found, client.MatchingFields{entitlements.IndexID: id}, client.Limit(1)); err != nil {
			return nil, nil, fmt.Errorf("looking for an entitlement: %w", err)
		}
	}
	if len(found.Items) == 0 {
		return nil, nil, unknownSubscription
	}
	e := new(v1alpha1.Entitlement)
	err := s.Live.Get(ctx, client.ObjectKey{Name: found.Items[0].Name}, e)
	switch {
	case apierrors.IsNotFound(err) || err == nil && e.Spec.ID != id:
		return nil, nil, unknownSubscription
	case err != nil:
		return nil, nil, fmt.Errorf("reading entitlement %s: %w", found.Items[0].Name, err)
	case !slices.Contains(req.publishers, e.Spec.PublisherRef.Name):
		return nil, nil, notYours
	}
	facts, err := entitlements.Facts(e)
	if err != nil {
		return nil, nil, err
	}
	facts.Follow(req.now)
	return e, facts, nil
}

// attempts is how often a write is tried whose fate is not known.
const attempts = 3

// commit changes an entitlement by a rule. If the API server's answer gets
// lost it looks what came of the write before it tries again, so that what is
// on record is never told as failed, and nothing is done twice: done reports
// whether the facts are what change makes of them.
func (s *Service) commit(ctx context.Context, name string, now time.Time, done func(*terms.Entitlement) bool, change func(*v1alpha1.Entitlement, *terms.Entitlement) error) (*v1alpha1.Entitlement, *terms.Entitlement, error) {
	for attempt := 1; ; attempt++ {
		again := attempt > 1
		// One attempt must not use up the time of the others.
		once, cancel := context.WithTimeout(ctx, s.APITimeout/attempts)
		e, facts, err := s.record.Change(once, name, now, func(e *v1alpha1.Entitlement, facts *terms.Entitlement) error {
			if again && done(facts) {
				return nil
			}
			return change(e, facts)
		})
		cancel()
		switch r := new(refusal); {
		case err == nil || errors.As(err, &r):
			return e, facts, err
		case apierrors.IsNotFound(err):
			return nil, nil, unknownSubscription
		case attempt == attempts || ctx.Err() != nil || !isAway(err):
			return nil, nil, err
		}
		pause := time.NewTimer(time.Duration(attempt) * 100 * time.Millisecond)
		select {
		case <-ctx.Done():
		case <-pause.C:
		}
		pause.Stop()
	}
}

// product reads the Product of an entitlement; nil: it is gone. What another
// publisher sells under its name since, or another offer, is not it.
func (s *Service) product(ctx context.Context, e *v1alpha1.Entitlement) (*v1alpha1.Product, error) {
	for _, from := range []client.Reader{s.Client, s.Live} { // the cache may be late
		p := new(v1alpha1.Product)
		err := from.Get(ctx, client.ObjectKey{Name: e.Spec.ProductRef.Name}, p)
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading Product %s: %w", e.Spec.ProductRef.Name, err)
		}
		if sold := p.Spec.SaaS; sold != nil && sold.PublisherRef == e.Spec.PublisherRef && sold.OfferID == e.Spec.OfferID {
			return p, nil
		}
	}
	return nil, nil
}

// subscription reads the object that a customer has of an entitlement; nil: it
// is gone.
func (s *Service) subscription(ctx context.Context, e *v1alpha1.Entitlement) (*v1alpha1.MarketplaceSubscription, error) {
	key := client.ObjectKey{Namespace: e.Spec.Customer, Name: e.Spec.Subscription.Name}
	sub := new(v1alpha1.MarketplaceSubscription)
	err := s.Live.Get(ctx, key, sub)
	if apierrors.IsNotFound(err) || err == nil && !sub.DeletionTimestamp.IsZero() {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading MarketplaceSubscription %s: %w", key, err)
	}
	return sub, nil
}
