package controllers

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/entitlements"
	"github.com/license-operator/license-operator/internal/terms"
)

// buy puts a purchase on record. Its name is what makes it impossible to buy
// twice: whoever finds it taken looks at what was bought.
func (r *MarketplaceSubscriptionReconciler) buy(ctx context.Context, sub *v1alpha1.MarketplaceSubscription, now time.Time) (*v1alpha1.Entitlement, error) {
	p, err := product(ctx, r, sub.Spec.ProductRef.Name)
	if err != nil {
		return nil, err
	}
	if p.Spec.SaaS == nil {
		return nil, stalled(v1alpha1.ReasonNotService, "Product %s is software: delete this subscription and buy a SoftwareSubscription", p.Name)
	}
	if err := offered(ctx, r, sub.Namespace, p); err != nil {
		return nil, err
	}
	if _, err := publisher(ctx, r, p.Spec.SaaS.PublisherRef.Name); err != nil {
		return nil, err
	}
	purchase, err := agreeService(sub, p, now)
	if err != nil {
		return nil, err
	}
	if purchase.Trial != "" {
		r.trials.Lock() // or several that are bought at once would each be the first
		defer r.trials.Unlock()
		had, err := r.Entitlements.HadTrial(ctx, sub.Namespace, p.Name)
		if err != nil {
			return nil, err
		}
		if had {
			purchase.Trial = "" // a trial is had once
		}
	}
	earlier, err := r.Entitlements.Of(ctx, sub.Namespace, sub.Name)
	if err != nil {
		return nil, err
	}
	if e := ofPurchase(earlier, sub); e != nil {
		return e, nil // somebody has bought it since we looked, and another number would be another purchase
	}
	number := 1
	if n := len(earlier); n > 0 {
		number = entitlements.Number(&earlier[n-1]) + 1
	}
	e := &v1alpha1.Entitlement{
		ObjectMeta: metav1.ObjectMeta{
			Name:   entitlements.Name(sub.Namespace, sub.Name, number),
			Labels: map[string]string{v1alpha1.LabelCustomer: sub.Namespace, v1alpha1.LabelPublisher: p.Spec.SaaS.PublisherRef.Name},
		},
		Spec: v1alpha1.EntitlementSpec{
			ID: uuid.NewString(), Customer: sub.Namespace,
			Subscription: v1alpha1.SubscriptionIdentity{Name: sub.Name, UID: sub.UID},
			ProductRef:   sub.Spec.ProductRef, PublisherRef: p.Spec.SaaS.PublisherRef, OfferID: p.Spec.SaaS.OfferID,
			Purchase: purchase, Subscriber: subscriber(sub),
		},
	}
	err = r.Create(ctx, e)
	if apierrors.IsAlreadyExists(err) { // by us, and the cache is late, or by another operator
		all, err := r.Entitlements.OfLive(ctx, sub.Namespace, sub.Name)
		if e := ofPurchase(all, sub); e != nil || err != nil {
			return e, err
		}
		return nil, errors.New("the purchase has a number that is taken: looking again")
	}
	if err != nil {
		return nil, fmt.Errorf("recording the purchase: %w", err)
	}
	return e, nil
}

// publisher reads a Publisher.
func publisher(ctx context.Context, from client.Reader, name string) (*v1alpha1.Publisher, error) {
	var p v1alpha1.Publisher
	err := from.Get(ctx, client.ObjectKey{Name: name}, &p)
	if apierrors.IsNotFound(err) {
		return nil, stalled(v1alpha1.ReasonPublisherNotFound, "Publisher %s does not exist: create it, or name another one in spec.saas.publisherRef of the Product", name)
	}
	if err != nil {
		return nil, fmt.Errorf("reading Publisher %s: %w", name, err)
	}
	return &p, nil
}

// agreeService returns what a customer agrees to by buying a service now.
func agreeService(sub *v1alpha1.MarketplaceSubscription, p *v1alpha1.Product, now time.Time) (v1alpha1.ServicePurchase, error) {
	var none v1alpha1.ServicePurchase
	plans := p.Spec.SaaS.Plans
	id := sub.Spec.PlanID
	if id == "" && len(plans) == 1 {
		id = plans[0].ID
	}
	if id == "" {
		return none, stalled(v1alpha1.ReasonPlanRequired, "Product %s has several plans: set spec.planID to one of %s", p.Name, planIDs(p, sub.Spec.Term))
	}
	plan := p.Plan(id)
	if plan == nil || plan.StopSell {
		return none, stalled(v1alpha1.ReasonPlanNotOffered, "Product %s has no plan %s to buy: set spec.planID to one of %s", p.Name, id, planIDs(p, sub.Spec.Term))
	}
	offer := p.Offer(plan, sub.Spec.Term)
	if offer == nil {
		return none, stalled(v1alpha1.ReasonTermNotSold, "plan %s of Product %s is not sold for term %s, only for %s: delete this subscription and buy one of those",
			id, p.Name, sub.Spec.Term, soldTerms(p, plan))
	}
	quantity, err := seats(plan, sub.Spec.Quantity)
	if err != nil {
		return none, err
	}
	purchase := v1alpha1.ServicePurchase{
		At: metav1.NewTime(now), Term: sub.Spec.Term, Trial: plan.Trial,
		Cancellation: v1alpha1.CancellationPolicy{Window: days(terms.DefaultServiceWindow), Refund: v1alpha1.RefundFull},
		ServiceLevel: v1alpha1.ServiceLevel{PlanID: id, Quantity: quantity, UnitPrice: offer.Price, BillingCycle: billingCycle(sub)},
	}
	if offer.Cancellation != nil {
		purchase.Cancellation = *offer.Cancellation
	}
	return purchase, nil
}

// seats is the quantity that is bought of a plan if one is asked for; 0 asks for
// the fewest.
func seats(plan *v1alpha1.Plan, quantity int64) (int64, error) {
	switch bounds := plan.Seats; {
	case bounds == nil && quantity != 0:
		return 0, stalled(v1alpha1.ReasonQuantityNotOffered, "plan %s is not sold by the seat: leave spec.quantity out", plan.ID)
	case bounds == nil:
		return 0, nil
	case quantity == 0:
		return bounds.Min, nil
	case quantity < bounds.Min || quantity > bounds.Max:
		return 0, stalled(v1alpha1.ReasonQuantityNotOffered, "plan %s is sold with %d to %d seats, not %d: change spec.quantity", plan.ID, bounds.Min, bounds.Max, quantity)
	}
	return quantity, nil
}

func soldTerms(p *v1alpha1.Product, plan *v1alpha1.Plan) string {
	var sold []string
	for _, o := range p.Offers(plan) {
		sold = append(sold, string(o.Term))
	}
	return strings.Join(sold, ", ")
}

// planIDs lists the plans of a product that can be bought for a term, for people.
func planIDs(p *v1alpha1.Product, term v1alpha1.Term) string {
	var ids []string
	for _, plan := range p.Spec.SaaS.Plans {
		if !plan.StopSell && p.Offer(&plan, term) != nil {
			ids = append(ids, plan.ID)
		}
	}
	return truncate(strings.Join(ids, ", "), 512)
}

// billingCycle is how often a customer wants to be charged.
func billingCycle(sub *v1alpha1.MarketplaceSubscription) v1alpha1.BillingCycle {
	switch {
	case sub.Spec.BillingCycle != "":
		return sub.Spec.BillingCycle
	case sub.Spec.Term == v1alpha1.TermMonth:
		return v1alpha1.BillingMonthly
	}
	return v1alpha1.BillingAnnual
}

// subscriber is what a customer says of himself.
func subscriber(sub *v1alpha1.MarketplaceSubscription) v1alpha1.Subscriber {
	return v1alpha1.Subscriber{
		FriendlyName: sub.Spec.FriendlyName, AutoRenew: ptr.Deref(sub.Spec.AutoRenew, true), BillingCycle: billingCycle(sub),
		ResellerPartnerID: sub.Spec.ResellerPartnerID, Beneficiary: sub.Spec.Beneficiary, Purchaser: sub.Spec.Purchaser,
	}
}
