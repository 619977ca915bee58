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
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/terms"
)

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

// wanted returns the Product of a subscription, and what is wrong with what
// the customer wants of it. Once it was bought, the Product may be gone.
func (r *SoftwareSubscriptionReconciler) wanted(ctx context.Context, sub *v1alpha1.SoftwareSubscription, bought bool) (*v1alpha1.Product, error) {
	p, err := r.product(ctx, sub)
	switch b := new(blocked); {
	case err == nil:
		return p, checkDownload(sub, p)
	case bought && errors.As(err, &b):
		return nil, nil
	default:
		return nil, err
	}
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
	if purchase.Keys() > v1alpha1.MaxKeysPerSubscription {
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

// contract gives the rules what was agreed.
func contract(p v1alpha1.Purchase) (terms.Contract, error) {
	price, err := decimal.NewFromString(p.UnitPrice.Amount)
	if err != nil {
		return terms.Contract{}, fmt.Errorf("price of the purchase: %w", err)
	}
	window, err := duration.Parse(string(p.Cancellation.Window))
	if err != nil {
		return terms.Contract{}, fmt.Errorf("cancellation window of the purchase: %w", err)
	}
	return terms.Contract{
		Purchased: p.At.UTC(), Term: terms.Term(p.Term), Quantity: p.Quantity,
		UnitPrice: price, Currency: p.UnitPrice.Currency,
		Window: window.ToTimeDuration(), Refund: terms.Refund(p.Cancellation.Refund),
	}, nil
}

// checkDownload says what is wrong with the build that the customer chose.
func checkDownload(sub *v1alpha1.SoftwareSubscription, p *v1alpha1.Product) error {
	choice := sub.Spec.Download
	if choice == nil {
		return nil
	}
	var offered []string
	for _, v := range p.Spec.Software.Versions {
		offered = append(offered, v.Version)
	}
	allowed := terms.AllowedVersions(offered, p.Spec.Software.DowngradeVersions)
	if len(allowed) == 0 {
		return stalled(v1alpha1.ReasonVersionNotOffered, "Product %s has no download: remove spec.download", p.Name)
	}
	i := 0
	if choice.Version != "" {
		i = slices.Index(allowed, choice.Version)
	}
	if i < 0 {
		return stalled(v1alpha1.ReasonVersionNotOffered,
			"version %s of Product %s is not offered: set spec.download.version to one of %s", choice.Version, p.Name, strings.Join(allowed, ", "))
	}
	var builds []string
	for _, b := range p.Spec.Software.Versions[i].Builds {
		if (choice.Language == "" || strings.EqualFold(choice.Language, b.Language)) && choice.Architecture == b.Architecture {
			return nil
		}
		builds = append(builds, b.Language+" "+string(b.Architecture))
	}
	if len(builds) == 0 && choice.Language == "" {
		return nil
	}
	return stalled(v1alpha1.ReasonVersionNotOffered,
		"version %s of Product %s is not offered in language %q for %s: set spec.download to one of %s",
		allowed[i], p.Name, choice.Language, choice.Architecture, orNone(strings.Join(builds, ", ")))
}

func orNone(s string) string {
	if s == "" {
		return "(none)"
	}
	return s
}
