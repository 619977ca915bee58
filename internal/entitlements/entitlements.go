// Package entitlements keeps the record of every service that was bought from a
// publisher: one Entitlement object for each purchase, named after it. The
// controllers, which follow the customer's wishes and the clock, and the
// fulfilment API, which follows the publisher's calls, change it by the same
// rules (terms.Entitlement) and never without having read what was there: the
// API server refuses a write to what somebody else has changed since.
package entitlements

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/terms"
)

// Names of the indexes that Register adds to a cache of Entitlements.
const (
	IndexSubscription = "subscription" // "<customer>/<subscription>"
	IndexID           = "spec.id"
)

// Record reads and writes the Entitlements.
type Record struct {
	// Client writes, and reads from a cache with the indexes of Register.
	Client client.Client
	// Live reads from the API server.
	Live client.Reader
}

// Register adds the indexes that a Record reads by.
func Register(ctx context.Context, indexer client.FieldIndexer) error {
	for name, index := range Indexes {
		if err := indexer.IndexField(ctx, &v1alpha1.Entitlement{}, name, index); err != nil {
			return fmt.Errorf("indexing entitlements by %s: %w", name, err)
		}
	}
	return nil
}

// Indexes compute the values of the indexes.
var Indexes = map[string]client.IndexerFunc{
	IndexSubscription: func(o client.Object) []string {
		e := o.(*v1alpha1.Entitlement)
		return []string{e.Spec.Customer + "/" + e.Spec.Subscription.Name}
	},
	IndexID: func(o client.Object) []string { return []string{o.(*v1alpha1.Entitlement).Spec.ID} },
}

// Name is the name of the nth purchase of a customer under a name, from 1.
func Name(customer, subscription string, n int) string {
	return fmt.Sprintf("%s.%s.%d", customer, subscription, n)
}

// Number is the n of Name, 0 if it has none.
func Number(e *v1alpha1.Entitlement) int {
	n, err := strconv.Atoi(e.Name[strings.LastIndexByte(e.Name, '.')+1:])
	if err != nil {
		return 0
	}
	return n
}

// Of returns the purchases of a customer under a name, the first one first, from
// the cache. A cache may be late, so none does not prove that there are none.
func (r *Record) Of(ctx context.Context, customer, subscription string) ([]v1alpha1.Entitlement, error) {
	var list v1alpha1.EntitlementList
	if err := r.Client.List(ctx, &list, client.MatchingFields{IndexSubscription: customer + "/" + subscription}); err != nil {
		return nil, fmt.Errorf("reading the entitlements: %w", err)
	}
	return inOrder(list.Items), nil
}

// OfLive is Of from the API server itself. It costs a scan of all of them.
func (r *Record) OfLive(ctx context.Context, customer, subscription string) ([]v1alpha1.Entitlement, error) {
	var list v1alpha1.EntitlementList
	fields := client.MatchingFields{"spec.customer": customer, "spec.subscription.name": subscription}
	if err := r.Live.List(ctx, &list, fields); err != nil {
		return nil, fmt.Errorf("reading the entitlements: %w", err)
	}
	return inOrder(list.Items), nil
}

// HadTrial reports whether a customer has had a trial of a product, or may still
// have one that was bought, by the API server itself. It costs a scan of all entitlements.
func (r *Record) HadTrial(ctx context.Context, customer, product string) (bool, error) {
	var list v1alpha1.EntitlementList
	if err := r.Live.List(ctx, &list, client.MatchingFields{"spec.customer": customer, "spec.productRef.name": product}); err != nil {
		return false, fmt.Errorf("reading the entitlements: %w", err)
	}
	return slices.ContainsFunc(list.Items, func(e v1alpha1.Entitlement) bool {
		return e.Spec.Purchase.Trial != "" && (e.Spec.ActivatedAt != nil || e.Spec.EndedAt == nil)
	}), nil
}

func inOrder(all []v1alpha1.Entitlement) []v1alpha1.Entitlement {
	slices.SortFunc(all, func(a, b v1alpha1.Entitlement) int { return cmp.Compare(Number(&a), Number(&b)) })
	return all
}

// Change changes the entitlement of a name by the rules: it reads it from the
// API server, lets time do to it what it does up to now whatever the customer
// wants (terms.Entitlement.FollowUnasked), has change applied, and writes what is
// different. If somebody else has changed it meanwhile, it does
// so again, so change may be called several times and sees what is there each
// time. If change fails nothing is written, and its error is returned as it is.
//
// It returns the entitlement as it is now on record, and its facts.
func (r *Record) Change(ctx context.Context, name string, now time.Time, change func(*v1alpha1.Entitlement, *terms.Entitlement) error) (*v1alpha1.Entitlement, *terms.Entitlement, error) {
	return r.write(ctx, name, func(e *v1alpha1.Entitlement, facts *terms.Entitlement) error {
		facts.FollowUnasked(now)
		return change(e, facts)
	})
}

// Settle is Change for an entitlement that the cache has: the API server is
// asked only if there is something to change. Time is left to change, which may
// have to do something first.
func (r *Record) Settle(ctx context.Context, cached *v1alpha1.Entitlement, change func(*v1alpha1.Entitlement, *terms.Entitlement) error) (*v1alpha1.Entitlement, *terms.Entitlement, error) {
	e := cached.DeepCopy()
	facts, changed, err := apply(e, change)
	if err != nil || !changed {
		return e, facts, err
	}
	return r.write(ctx, cached.Name, change)
}

func (r *Record) write(ctx context.Context, name string, change func(*v1alpha1.Entitlement, *terms.Entitlement) error) (e *v1alpha1.Entitlement, facts *terms.Entitlement, err error) {
	err = retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		e = new(v1alpha1.Entitlement)
		if err := r.Live.Get(ctx, client.ObjectKey{Name: name}, e); err != nil {
			return fmt.Errorf("reading entitlement %s: %w", name, err)
		}
		before := e.DeepCopy()
		var changed bool
		if facts, changed, err = apply(e, change); err != nil || !changed {
			return err
		}
		patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
		if err := r.Client.Patch(ctx, e, patch); err != nil {
			return fmt.Errorf("writing entitlement %s: %w", name, err)
		}
		return nil
	})
	return e, facts, err
}

// apply applies a change to an entitlement in memory, and reports whether that
// made a difference.
func apply(e *v1alpha1.Entitlement, change func(*v1alpha1.Entitlement, *terms.Entitlement) error) (facts *terms.Entitlement, changed bool, err error) {
	before := e.DeepCopy()
	if facts, err = Facts(e); err != nil {
		return nil, false, err
	}
	if err := change(e, facts); err != nil {
		return nil, false, err
	}
	put(e, facts)
	return facts, !equality.Semantic.DeepEqual(before, e), nil
}
