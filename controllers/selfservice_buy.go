package controllers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/orders"
	"github.com/license-operator/license-operator/internal/terms"
)

// maxAuditedBy is how many policies an order has on record.
const maxAuditedBy = 16

// buy puts an order on record. Its name is what makes it impossible to order
// twice: whoever finds it taken looks at what was ordered.
func (r *SelfServicePurchaseReconciler) buy(ctx context.Context, p *v1alpha1.SelfServicePurchase, now time.Time) (*v1alpha1.SelfServiceOrder, error) {
	agreed, auditedBy, err := r.mayBuy(ctx, p, now)
	if b := new(blocked); errors.As(err, &b) {
		return nil, stalled(b.reason, "%s; if it stays, it is ordered as soon as it can be", b.message)
	}
	if err != nil {
		return nil, err
	}
	o := &v1alpha1.SelfServiceOrder{
		ObjectMeta: metav1.ObjectMeta{Name: orders.Name(p), Labels: map[string]string{v1alpha1.LabelCustomer: p.Namespace}},
		Spec: v1alpha1.SelfServiceOrderSpec{
			Customer: p.Namespace, Purchase: v1alpha1.SubscriptionIdentity{Name: p.Name, UID: p.UID}, Agreed: agreed, AuditedBy: auditedBy,
		},
	}
	err = r.Create(ctx, o)
	if apierrors.IsAlreadyExists(err) { // by us, and the cache is late, or by another operator, or by another purchase
		o, err = r.Orders.OfLive(ctx, p)
		if err == nil && o == nil {
			err = fmt.Errorf("order %s was there and is gone: looking again", orders.Name(p))
		}
		if err == nil {
			err = usedBy(o, p)
		}
		return o, err
	}
	if err != nil {
		return nil, fmt.Errorf("recording the order: %w", err)
	}
	return o, nil
}

// mayBuy returns what a purchaser agrees to by ordering now, and the policies
// that would have refused it, or says what is in the way.
func (r *SelfServicePurchaseReconciler) mayBuy(ctx context.Context, p *v1alpha1.SelfServicePurchase, now time.Time) (agreed v1alpha1.SelfServiceAgreed, auditedBy []string, err error) {
	prod, err := product(ctx, r, p.Spec.ProductRef.Name)
	if err != nil {
		return agreed, nil, err
	}
	if err := offered(ctx, r, p.Namespace, prod); err != nil {
		return agreed, nil, err
	}
	if err := r.inSelfService(ctx, p, prod); err != nil {
		return agreed, nil, err
	}
	if agreed, err = agreeSelfService(p, prod, now); err != nil {
		return agreed, nil, err
	}
	auditedBy, err = r.permitted(ctx, p)
	return agreed, auditedBy, err
}

// mayRaise returns the policies that would have refused more licences of what was
// bought, or says what is in the way. The price stays the one that was agreed
// to, so no more is sold of what is no longer offered.
func (r *SelfServicePurchaseReconciler) mayRaise(ctx context.Context, s *selfService, want int64) (auditedBy []string, err error) {
	p, prod, planID := s.purchase, s.product, s.order.Spec.Agreed.PlanID
	if prod == nil {
		return nil, stalled(v1alpha1.ReasonProductNotFound, "Product %s is no longer in the catalogue", p.Spec.ProductRef.Name)
	}
	asked := p.DeepCopy()
	if !s.facts.OnTrial() && prod.Spec.SelfService != nil && prod.Spec.SelfService.Purchase {
		asked.Spec.Type = v1alpha1.SelfServicePurchased // what a trial turned into
	}
	err = offered(ctx, r, p.Namespace, prod)
	if err == nil {
		err = r.inSelfService(ctx, asked, prod)
	}
	if b := new(blocked); errors.As(err, &b) {
		why, _, _ := strings.Cut(b.message, ": ") // what follows is for who has nothing yet
		return nil, stalled(b.reason, "%s", why)
	}
	if err != nil {
		return nil, err
	}
	plan := prod.Plan(planID)
	switch {
	case plan == nil && planID == "" && prod.Spec.SaaS == nil:
	case plan == nil || plan.StopSell:
		return nil, stalled(v1alpha1.ReasonPlanNotOffered, "Product %s is no longer sold in plan %s", prod.Name, orNone(planID))
	default:
		if err := withinSeats(plan, want); err != nil {
			return nil, err
		}
	}
	return r.permitted(ctx, p)
}

// usedBy says that an order belongs to another purchase than the one of the same
// name. Who made that is nobody else's business.
func usedBy(o *v1alpha1.SelfServiceOrder, p *v1alpha1.SelfServicePurchase) error {
	a, reason := &o.Spec.Agreed, v1alpha1.ReasonNameUsed
	if p.Spec.Type == v1alpha1.SelfServiceTrial {
		reason = v1alpha1.ReasonTrialUsed // and of the same product and purchaser, by the order's name
	}
	switch {
	case orders.Belongs(o, p):
		return nil
	case orders.IsAbout(o, p) && o.Spec.EndedAt == nil:
		return stalled(reason, "Product %s was ordered by this name at %s with %s, and that goes on: delete this one, and make it again with that, to use or to cancel it",
			a.ProductRef.Name, stamp(a.At.Time), strings.Join(orders.Differs(o, p), " and "))
	case reason == v1alpha1.ReasonTrialUsed:
		return stalled(reason, "%s has tried Product %s already, from %s on, with the SelfServicePurchase %s, and a trial is had once: delete this one, and buy the product to use it",
			a.Purchaser.Username, a.ProductRef.Name, stamp(a.At.Time), o.Spec.Purchase.Name)
	case a.Purchaser.Username == p.Spec.Purchaser.Username:
		return stalled(reason, "Product %s was bought by %s at %s with a SelfServicePurchase of this name, and a name is one purchase for ever: delete this one and use another name",
			a.ProductRef.Name, a.Purchaser.Username, stamp(a.At.Time))
	}
	return stalled(reason, "another SelfServicePurchase had this name, and a name is one purchase for ever: delete this one and use another name")
}

// inSelfService says whether employees can do with a product what one of them
// wants.
func (r *SelfServicePurchaseReconciler) inSelfService(ctx context.Context, p *v1alpha1.SelfServicePurchase, prod *v1alpha1.Product) error {
	offer := prod.Spec.SelfService
	switch {
	case offer == nil:
		return stalled(v1alpha1.ReasonNotInSelfService, "Product %s is not offered in self-service: delete this one, and ask an administrator to buy the product", prod.Name)
	case p.Spec.Type == v1alpha1.SelfServicePurchased && !offer.Purchase:
		return stalled(v1alpha1.ReasonNotInSelfService, "Product %s can be tried in self-service, and not be bought: delete this one, and make one of spec.type Trial or ask an administrator to buy the product", prod.Name)
	case p.Spec.Type == v1alpha1.SelfServicePurchased:
		return nil
	case offer.Trial == nil:
		return stalled(v1alpha1.ReasonNotInSelfService, "Product %s can be bought in self-service, and not be tried: delete this one, and make one of spec.type Purchase", prod.Name)
	case p.Spec.PaymentMethod:
		return nil
	case offer.Trial.PaymentMethod != v1alpha1.PaymentMethodNotRequired:
		return stalled(v1alpha1.ReasonPaymentMethodRequired, "a trial of Product %s takes a payment method, because it turns into a purchase: delete this one, and make one with spec.paymentMethod true", prod.Name)
	}
	var agreements v1alpha1.PartnerAgreementList
	if err := r.List(ctx, &agreements, client.InNamespace(p.Namespace), client.Limit(1)); err != nil {
		return fmt.Errorf("listing the agreements of %s: %w", p.Namespace, err)
	}
	if len(agreements.Items) == 0 {
		return stalled(v1alpha1.ReasonAgreementRequired, "a trial without a payment method is for customers with an agreement only: ask whoever publishes the catalogue for a PartnerAgreement in namespace %s, or delete this one and make one with spec.paymentMethod true", p.Namespace)
	}
	return nil
}

// agreeSelfService returns what a purchaser agrees to by ordering now.
func agreeSelfService(p *v1alpha1.SelfServicePurchase, prod *v1alpha1.Product, now time.Time) (v1alpha1.SelfServiceAgreed, error) {
	agreed := v1alpha1.SelfServiceAgreed{
		At: metav1.NewTime(now), ProductRef: p.Spec.ProductRef, Type: p.Spec.Type, Purchaser: p.Spec.Purchaser, PaymentMethod: p.Spec.PaymentMethod,
	}
	plan, err := planOf(p, prod)
	if err != nil {
		return agreed, err
	}
	sold := "Product " + prod.Name
	if plan != nil {
		agreed.PlanID, sold = plan.ID, fmt.Sprintf("plan %s of Product %s", plan.ID, prod.Name)
		if err := withinSeats(plan, p.Spec.Quantity); err != nil {
			return agreed, err
		}
	}
	offer := prod.Offer(plan, cmp.Or(p.Spec.Term, prod.Offers(plan)[0].Term))
	if offer == nil {
		return agreed, stalled(v1alpha1.ReasonTermNotSold, "%s is not sold for term %s, only for %s: delete this one and make one with another spec.term", sold, p.Spec.Term, soldTerms(prod, plan))
	}
	agreed.Term, agreed.UnitPrice = offer.Term, offer.Price
	if p.Spec.Type == v1alpha1.SelfServiceTrial {
		agreed.Trial = prod.Spec.SelfService.Trial.Length
	}
	return agreed, nil
}

// planOf is the plan of a service that is asked for, or its only one, and nil if
// the product is no service.
func planOf(p *v1alpha1.SelfServicePurchase, prod *v1alpha1.Product) (*v1alpha1.Plan, error) {
	var ids []string
	if prod.Spec.SaaS != nil {
		for _, plan := range prod.Spec.SaaS.Plans {
			if !plan.StopSell {
				ids = append(ids, plan.ID)
			}
		}
	}
	id, list := p.Spec.PlanID, truncate(strings.Join(ids, ", "), 512)
	if id == "" && len(ids) == 1 {
		id = ids[0]
	}
	switch {
	case slices.Contains(ids, id):
		return prod.Plan(id), nil
	case prod.Spec.SaaS == nil && id == "":
		return nil, nil
	case prod.Spec.SaaS == nil:
		return nil, stalled(v1alpha1.ReasonPlanNotOffered, "Product %s has no plans: delete this one and make one without spec.planID", prod.Name)
	case id == "" && len(ids) > 1:
		return nil, stalled(v1alpha1.ReasonPlanRequired, "Product %s has several plans: delete this one and make one with spec.planID set to one of %s", prod.Name, list)
	}
	return nil, stalled(v1alpha1.ReasonPlanNotOffered, "Product %s has no plan %s to buy: delete this one and make one with spec.planID set to one of %s", prod.Name, id, orNone(list))
}

// withinSeats says whether a plan is sold in a quantity.
func withinSeats(plan *v1alpha1.Plan, quantity int64) error {
	if plan.Seats == nil && quantity > 1 {
		return stalled(v1alpha1.ReasonQuantityNotOffered, "plan %s is not sold by the seat: set spec.quantity to 1", plan.ID)
	}
	if plan.Seats == nil {
		return nil
	}
	_, err := seats(plan, quantity)
	return err
}

// permitted says whether the policies of a customer let a purchase pass. The API
// server refuses what they do not allow; this is for what slipped through, and
// for customers without a policy that enforces something. It returns the names of
// those that would have refused it, had they not been in mode Audit.
func (r *SelfServicePurchaseReconciler) permitted(ctx context.Context, p *v1alpha1.SelfServicePurchase) (auditedBy []string, err error) {
	var policies v1alpha1.SelfServicePolicyList
	if err := r.List(ctx, &policies, client.InNamespace(p.Namespace)); err != nil {
		return nil, fmt.Errorf("listing the policies of %s: %w", p.Namespace, err)
	}
	name := p.Spec.ProductRef.Name
	permits := func(value terms.SelfService) bool {
		return value.Permits(p.Spec.Type == v1alpha1.SelfServiceTrial, p.Spec.PaymentMethod)
	}
	policy, value := strictest(policies.Items, name)
	if policy == nil {
		if value := cmp.Or(r.Default, terms.AllowAll); !permits(value) {
			return nil, stalled(v1alpha1.ReasonBlockedByPolicy, "without a SelfServicePolicy in namespace %s that enforces something employees may %s: ask an administrator for one", p.Namespace, allowance(value, "a product"))
		}
	} else if !permits(value) {
		return nil, stalled(v1alpha1.ReasonBlockedByPolicy, "by SelfServicePolicy %s employees may %s: ask %s",
			policy.Name, allowance(value, "Product "+name), cmp.Or(policy.Spec.Contact, "an administrator"))
	}
	for i := range policies.Items {
		if policy := &policies.Items[i]; policy.Spec.Mode == v1alpha1.SelfServiceAudit && !permits(valueOf(policy, name)) {
			auditedBy = append(auditedBy, policy.Name)
		}
	}
	slices.Sort(auditedBy)
	return auditedBy[:min(len(auditedBy), maxAuditedBy)], nil
}

// allowance says what a value that does not allow all allows.
func allowance(value terms.SelfService, what string) string {
	if value == terms.TrialsOnly {
		return fmt.Sprintf("only try %s themselves, without a payment method", what)
	}
	return fmt.Sprintf("neither buy nor try %s themselves", what)
}

// strictest is the policy that allows least of a product, the first by name, of
// those that enforce what they say; nil if none does.
func strictest(policies []v1alpha1.SelfServicePolicy, product string) (policy *v1alpha1.SelfServicePolicy, value terms.SelfService) {
	for i := range policies {
		other := &policies[i]
		if other.Spec.Mode == v1alpha1.SelfServiceAudit {
			continue
		}
		v := valueOf(other, product)
		if policy == nil || v.StricterThan(value) || v == value && other.Name < policy.Name {
			policy, value = other, v
		}
	}
	return policy, value
}

func valueOf(policy *v1alpha1.SelfServicePolicy, product string) terms.SelfService {
	value, _ := policy.Value(product)
	return terms.SelfService(value)
}
