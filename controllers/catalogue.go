package controllers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/shopspring/decimal"
	"github.com/sosodev/duration"
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
	p, err := r.product(ctx, sub)
	if b := new(blocked); bought && errors.As(err, &b) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	if !bought {
		if err := r.offered(ctx, sub, p); err != nil {
			return p, nil, err
		}
	}
	c, err := r.choose(ctx, sub, p, held)
	return p, c, err
}

// product reads the Product of a subscription.
func (r *SoftwareSubscriptionReconciler) product(ctx context.Context, sub *v1alpha1.SoftwareSubscription) (*v1alpha1.Product, error) {
	var p v1alpha1.Product
	err := r.Get(ctx, client.ObjectKey{Name: sub.Spec.ProductRef.Name}, &p)
	if apierrors.IsNotFound(err) {
		return nil, stalled(v1alpha1.ReasonProductNotFound,
			"Product %s does not exist: create it, or delete this subscription and buy one that \"kubectl get products\" lists", sub.Spec.ProductRef.Name)
	}
	if err != nil {
		return nil, fmt.Errorf("reading Product %s: %w", sub.Spec.ProductRef.Name, err)
	}
	return &p, nil
}

// offered says whether the customer may buy a product at all.
func (r *SoftwareSubscriptionReconciler) offered(ctx context.Context, sub *v1alpha1.SoftwareSubscription, p *v1alpha1.Product) error {
	selector, err := customers(p)
	if err != nil || selector.Empty() {
		return err
	}
	ns := &metav1.PartialObjectMetadata{}
	ns.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	if err := r.Get(ctx, client.ObjectKey{Name: sub.Namespace}, ns); err != nil {
		return fmt.Errorf("reading namespace %s: %w", sub.Namespace, err)
	}
	if !selector.Matches(labels.Set(ns.Labels)) {
		return stalled(v1alpha1.ReasonNotOffered,
			"Product %s is not offered to customer %s: delete this subscription and buy another product, or ask whoever publishes the catalogue to label the namespace as its spec.customers says", p.Name, sub.Namespace)
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
	days := int(window / (24 * time.Hour))
	return v1alpha1.CancellationPolicy{Window: v1alpha1.Duration(fmt.Sprintf("P%dD", days)), Refund: refund}
}

// contract gives the rules what was agreed, as the ledger has it.
func contract(held []v1alpha1.LicenseKey) (terms.Contract, error) {
	p := held[0].Spec.Purchase
	price, err := decimal.NewFromString(p.UnitPrice.Amount)
	if err != nil {
		return terms.Contract{}, fmt.Errorf("price of the purchase: %w", err)
	}
	window, err := duration.Parse(string(p.Cancellation.Window))
	if err != nil {
		return terms.Contract{}, fmt.Errorf("cancellation window of the purchase: %w", err)
	}
	c := terms.Contract{
		Purchased: p.At.UTC(), Term: terms.Term(p.Term), Quantity: p.Quantity,
		UnitPrice: price, Currency: p.UnitPrice.Currency,
		Window: window.ToTimeDuration(), Refund: terms.Refund(p.Cancellation.Refund),
	}
	for _, change := range held[0].Spec.QuantityChanges {
		c.Changes = append(c.Changes, terms.Change{At: change.At.UTC(), Quantity: change.Quantity})
	}
	return c, nil
}
