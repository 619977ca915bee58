package controllers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/terms"
)

// wanted returns the Product of a subscription and what the customer chose of
// it, or what is wrong with that. Once it was bought the Product may be gone,
// and then there is nothing to choose.
func (r *SoftwareSubscriptionReconciler) wanted(ctx context.Context, sub *v1alpha1.SoftwareSubscription, held []v1alpha1.LicenseKey) (*v1alpha1.Product, *choice, error) {
	bought := len(held) > 0
	p, err := product(ctx, r, sub.Spec.ProductRef.Name)
	if err == nil && p.Spec.Software == nil {
		err = stalled(v1alpha1.ReasonNotSoftware, "Product %s is a publisher's service: delete this subscription and buy a MarketplaceSubscription", p.Name)
	}
	if b := new(blocked); bought && errors.As(err, &b) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	if !bought {
		if err := offered(ctx, r, sub.Namespace, p); err != nil {
			return p, nil, err
		}
	}
	c, err := r.choose(ctx, sub, p, held)
	return p, c, err
}

// product reads the Product that a subscription names.
func product(ctx context.Context, from client.Reader, name string) (*v1alpha1.Product, error) {
	var p v1alpha1.Product
	err := from.Get(ctx, client.ObjectKey{Name: name}, &p)
	if apierrors.IsNotFound(err) {
		return nil, stalled(v1alpha1.ReasonProductNotFound,
			"Product %s does not exist: create it, or delete this and buy one that \"kubectl get products\" lists", name)
	}
	if err != nil {
		return nil, fmt.Errorf("reading Product %s: %w", name, err)
	}
	return &p, nil
}

// offered says whether a customer may buy a product at all.
func offered(ctx context.Context, from client.Reader, customer string, p *v1alpha1.Product) error {
	selector, err := customers(p)
	if err != nil || selector.Empty() {
		return err
	}
	ns := &metav1.PartialObjectMetadata{}
	ns.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	if err := from.Get(ctx, client.ObjectKey{Name: customer}, ns); err != nil {
		return fmt.Errorf("reading namespace %s: %w", customer, err)
	}
	if !selector.Matches(labels.Set(ns.Labels)) {
		return stalled(v1alpha1.ReasonNotOffered,
			"Product %s is not offered to customer %s: delete this and buy another product, or ask whoever publishes the catalogue to label the namespace as its spec.customers says", p.Name, customer)
	}
	return nil
}

// customers is the selector of the namespaces that may buy a product.
func customers(p *v1alpha1.Product) (labels.Selector, error) {
	if p.Spec.Customers == nil {
		return labels.Everything(), nil
	}
	selector, err := metav1.LabelSelectorAsSelector(&p.Spec.Customers.NamespaceSelector)
	if err != nil {
		return nil, stalled(v1alpha1.ReasonInvalidSelector, "spec.customers.namespaceSelector of Product %s is invalid: %v", p.Name, err)
	}
	return selector, nil
}

// agree returns what a customer agrees to by buying now.
func agree(sub *v1alpha1.SoftwareSubscription, p *v1alpha1.Product, now time.Time) (v1alpha1.Purchase, error) {
	i := slices.IndexFunc(p.Spec.Terms, func(o v1alpha1.TermOffer) bool { return o.Term == sub.Spec.Term })
	if i < 0 {
		var sold []string
		for _, o := range p.Spec.Terms {
			sold = append(sold, string(o.Term))
		}
		return v1alpha1.Purchase{}, stalled(v1alpha1.ReasonTermNotSold,
			"Product %s is not sold for term %s, only for %s: delete this subscription and buy one of those, or add the term to the Product",
			p.Name, sub.Spec.Term, strings.Join(sold, ", "))
	}
	offer := p.Spec.Terms[i]
	purchase := v1alpha1.Purchase{
		At: metav1.NewTime(now), Term: sub.Spec.Term, Quantity: sub.Spec.Quantity, KeysPer: p.Spec.Software.Keys.Per,
		UnitPrice: offer.Price, Cancellation: defaultCancellation(offer.Term),
	}
	if offer.Cancellation != nil {
		purchase.Cancellation = *offer.Cancellation
	}
	if purchase.Keys(purchase.Quantity) > v1alpha1.MaxKeysPerSubscription {
		return purchase, stalled(v1alpha1.ReasonTooManyKeys,
			"Product %s comes with a key per licence, and one subscription holds at most %d: delete this one and buy %d in several",
			p.Name, v1alpha1.MaxKeysPerSubscription, sub.Spec.Quantity)
	}
	return purchase, nil
}

func defaultCancellation(t v1alpha1.Term) v1alpha1.CancellationPolicy {
	window, refund := terms.DefaultWindow, v1alpha1.RefundProrated
	if t == v1alpha1.TermPerpetual {
		window, refund = terms.DefaultPerpetualWindow, v1alpha1.RefundFull
	}
	return v1alpha1.CancellationPolicy{Window: days(window), Refund: refund}
}

// days writes a length of whole days.
func days(d time.Duration) v1alpha1.Duration {
	return v1alpha1.Duration(fmt.Sprintf("P%dD", d/(24*time.Hour)))
}
