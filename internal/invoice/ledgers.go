package invoice

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/entitlements"
	"github.com/license-operator/license-operator/internal/ledger"
)

// services returns what a customer bought from publishers. What the passing of
// time has done to it counts also if the operator was not there to write it
// down.
func services(ctx context.Context, r client.Reader, names *catalogue, customer string, now time.Time) ([]purchase, error) {
	var list v1alpha1.EntitlementList
	if err := r.List(ctx, &list, client.MatchingFields{"spec.customer": customer}); err != nil {
		return nil, fmt.Errorf("reading the entitlements of customer %s: %w", customer, err)
	}
	var all []purchase
	for i := range list.Items {
		e := &list.Items[i]
		facts, err := entitlements.Facts(e)
		if err != nil {
			return nil, err
		}
		facts.Follow(now)
		product, err := names.product(ctx, e.Spec.ProductRef.Name)
		if err != nil {
			return nil, err
		}
		publisher, err := names.publisher(ctx, e.Spec.PublisherRef.Name)
		if err != nil {
			return nil, err
		}
		all = append(all, purchase{
			account: facts.Account(), subscription: e.Spec.Subscription.Name, bought: facts.Purchased, plans: product.plans,
			common: Line{
				ResellerMpnID: e.Spec.Subscriber.ResellerPartnerID, OrderID: e.Name, SubscriptionID: e.Spec.ID,
				SubscriptionName: cmp.Or(e.Spec.Subscriber.FriendlyName, e.Spec.Subscription.Name),
				ProductID:        e.Spec.ProductRef.Name, ProductName: product.name,
				PublisherID: e.Spec.PublisherRef.Name, PublisherName: publisher,
			},
		})
	}
	return all, nil
}

// software returns the licences that a customer bought.
func software(ctx context.Context, r client.Reader, names *catalogue, customer string) ([]purchase, error) {
	var list v1alpha1.LicenseKeyList
	if err := r.List(ctx, &list, client.MatchingFields{"spec.customer": customer}); err != nil {
		return nil, fmt.Errorf("reading the licence keys of customer %s: %w", customer, err)
	}
	// In each purchase the entry that it goes by comes first.
	slices.SortFunc(list.Items, func(a, b v1alpha1.LicenseKey) int {
		return cmp.Or(cmp.Compare(a.Spec.Slot, b.Spec.Slot), a.Spec.Purchase.At.Compare(b.Spec.Purchase.At.Time), cmp.Compare(a.Name, b.Name))
	})
	held := map[v1alpha1.SubscriptionIdentity][]v1alpha1.LicenseKey{}
	for _, entry := range list.Items {
		held[entry.Spec.Subscription] = append(held[entry.Spec.Subscription], entry)
	}
	var all []purchase
	for sub, entries := range held {
		contract, err := ledger.Contract(entries)
		if err != nil {
			return nil, fmt.Errorf("licence key %s: %w", entries[0].Name, err)
		}
		product, err := names.product(ctx, entries[0].Spec.ProductRef.Name)
		if err != nil {
			return nil, err
		}
		state, at, _ := ledger.Ended(entries)
		all = append(all, purchase{
			account:      contract.Account(ledger.Recorded(entries, contract), at.Time, state == v1alpha1.LicenseKeyRevoked),
			subscription: sub.Name, bought: contract.Purchased,
			common: Line{
				OrderID: entries[0].Name, SubscriptionID: string(sub.UID), SubscriptionName: sub.Name,
				ProductID: entries[0].Spec.ProductRef.Name, ProductName: product.name,
			},
		})
	}
	return all, nil
}

// catalogue knows what people call products and publishers. One that is gone
// goes by its id.
type catalogue struct {
	reader     client.Reader
	products   map[string]product
	publishers map[string]string
}

type product struct {
	name  string
	plans map[string]string
}

func (c *catalogue) product(ctx context.Context, id string) (product, error) {
	if p, ok := c.products[id]; ok {
		return p, nil
	}
	var found v1alpha1.Product
	if err := c.reader.Get(ctx, types.NamespacedName{Name: id}, &found); err != nil && !apierrors.IsNotFound(err) {
		return product{}, fmt.Errorf("reading Product %s: %w", id, err)
	}
	p := product{name: cmp.Or(found.Spec.DisplayName, id), plans: map[string]string{}}
	if found.Spec.SaaS != nil {
		for _, plan := range found.Spec.SaaS.Plans {
			p.plans[plan.ID] = plan.DisplayName
		}
	}
	if c.products == nil {
		c.products = map[string]product{}
	}
	c.products[id] = p
	return p, nil
}

func (c *catalogue) publisher(ctx context.Context, id string) (string, error) {
	if name, ok := c.publishers[id]; ok {
		return name, nil
	}
	var found v1alpha1.Publisher
	if err := c.reader.Get(ctx, types.NamespacedName{Name: id}, &found); err != nil && !apierrors.IsNotFound(err) {
		return "", fmt.Errorf("reading Publisher %s: %w", id, err)
	}
	if c.publishers == nil {
		c.publishers = map[string]string{}
	}
	c.publishers[id] = cmp.Or(found.Spec.DisplayName, id)
	return c.publishers[id], nil
}
