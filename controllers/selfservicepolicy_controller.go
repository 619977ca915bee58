package controllers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/terms"
)

// +kubebuilder:rbac:groups=license-operator.io,resources=selfservicepolicies/status,verbs=patch

const (
	// maxPolicyProducts is how many products status holds.
	maxPolicyProducts = 1000
	// tellEvery is how often the status of a policy is brought up to date at
	// most, other than after a change of the policy itself.
	tellEvery = time.Second
)

// indexAuditedBy finds the SelfServiceOrders that a policy would have refused, by
// "<customer>/<policy>".
const indexAuditedBy = "auditedBy"

// indexOrderOf finds the SelfServiceOrders of a purchase, by
// "<customer>/<purchase>": those of trials have other names.
const indexOrderOf = "purchase"

var orderIndexes = map[string]client.IndexerFunc{
	indexAuditedBy: func(o client.Object) (by []string) {
		spec := &o.(*v1alpha1.SelfServiceOrder).Spec
		for _, policy := range spec.AuditedBy {
			by = append(by, spec.Customer+"/"+policy)
		}
		return by
	},
	indexOrderOf: func(o client.Object) []string {
		spec := &o.(*v1alpha1.SelfServiceOrder).Spec
		return []string{spec.Customer + "/" + spec.Purchase.Name}
	},
}

// SelfServicePolicyReconciler tells what a SelfServicePolicy says about each
// product, and what it would have refused. The API server enforces it without
// us.
type SelfServicePolicyReconciler struct {
	client.Client
	Clock clock.PassiveClock
	// Namespaces are the customers to serve; none means all.
	Namespaces []string
}

// Reconcile brings the status of a policy up to date.
func (r *SelfServicePolicyReconciler) Reconcile(ctx context.Context, p *v1alpha1.SelfServicePolicy) (ctrl.Result, error) {
	before := p.DeepCopy()
	now := r.Clock.Now().UTC().Truncate(time.Second)
	err := r.reconcile(ctx, p, now)
	summarize(p, now, err, true) // the API server enforces it in any case
	if perr := patchStatus(ctx, r.Client, before, p); perr != nil {
		return ctrl.Result{}, errors.Join(err, perr)
	}
	return requeue(time.Time{}, now, err)
}

func (r *SelfServicePolicyReconciler) reconcile(ctx context.Context, p *v1alpha1.SelfServicePolicy, now time.Time) error {
	products, untried, err := r.products(ctx, p)
	if err != nil {
		return err
	}
	if p.Status.Audit, err = r.audit(ctx, p); err != nil {
		return err
	}
	p.Status.Products = products[:min(len(products), maxPolicyProducts)]
	reason, message := v1alpha1.ReasonEnforced, countValues(products, untried)
	if n := describeUnknown(p, products, now); n > 0 {
		message += "; " + verb(n, "product", "of spec.products is", "of spec.products are") + " not offered here: see the condition ProductsFound"
	}
	if p.Spec.Mode == v1alpha1.SelfServiceAudit {
		reason = v1alpha1.ReasonAudited
		message += "; it refuses nothing: " + plural(int(p.Status.Audit.Total), "order") + " would have been"
	}
	setCondition(p, now, v1alpha1.ConditionReady, metav1.ConditionTrue, reason, message)
	return nil
}

// products are those that are offered to the customer in self-service, by name,
// each with what the policy says about it. Untried is how many are for trials only,
// and have no trial without a payment method.
func (r *SelfServicePolicyReconciler) products(ctx context.Context, p *v1alpha1.SelfServicePolicy) (all []v1alpha1.ProductPolicyStatus, untried int, err error) {
	var catalogue v1alpha1.ProductList
	if err := r.List(ctx, &catalogue, client.UnsafeDisableDeepCopy); err != nil {
		return nil, 0, fmt.Errorf("listing the products: %w", err)
	}
	var policies v1alpha1.SelfServicePolicyList
	if err := r.List(ctx, &policies, client.InNamespace(p.Namespace), client.UnsafeDisableDeepCopy); err != nil {
		return nil, 0, fmt.Errorf("listing the policies of %s: %w", p.Namespace, err)
	}
	for i := range catalogue.Items {
		product := &catalogue.Items[i]
		if product.Spec.SelfService == nil {
			continue
		}
		if err := offered(ctx, r, p.Namespace, product); errors.As(err, new(*blocked)) {
			continue
		} else if err != nil {
			return nil, 0, err
		}
		s := v1alpha1.ProductPolicyStatus{Name: product.Name, DisplayName: product.Spec.DisplayName}
		s.Value, s.Source = p.Value(product.Name)
		if other, value := strictest(policies.Items, product.Name); other != nil && value.StricterThan(terms.SelfService(s.Value)) {
			s.OverriddenBy = other.Name
		}
		if trial := product.Spec.SelfService.Trial; s.Value == v1alpha1.SelfServiceTrialsOnly && (trial == nil || trial.PaymentMethod != v1alpha1.PaymentMethodNotRequired) {
			untried++
		}
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b v1alpha1.ProductPolicyStatus) int { return cmp.Compare(a.Name, b.Name) })
	return all, untried, nil
}

// audit is what the policy would have refused; nil if there is nothing to tell.
func (r *SelfServicePolicyReconciler) audit(ctx context.Context, p *v1alpha1.SelfServicePolicy) (*v1alpha1.PolicyAudit, error) {
	var orders v1alpha1.SelfServiceOrderList
	if err := r.List(ctx, &orders, client.MatchingFields{indexAuditedBy: p.Namespace + "/" + p.Name}, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing what the policy would have refused: %w", err)
	}
	if len(orders.Items) == 0 && p.Spec.Mode != v1alpha1.SelfServiceAudit {
		return nil, nil
	}
	audit, of := &v1alpha1.PolicyAudit{Total: int64(len(orders.Items))}, map[string]*v1alpha1.AuditedProduct{}
	for i := range orders.Items {
		agreed := &orders.Items[i].Spec.Agreed
		name := agreed.ProductRef.Name
		if of[name] == nil {
			of[name] = &v1alpha1.AuditedProduct{Name: name}
		}
		if agreed.Type == v1alpha1.SelfServiceTrial {
			of[name].Trials++
		} else {
			of[name].Purchases++
		}
	}
	for _, name := range slices.Sorted(maps.Keys(of))[:min(len(of), maxPolicyProducts)] {
		audit.Products = append(audit.Products, *of[name])
	}
	return audit, nil
}

// describeUnknown tells which products are listed in vain, and returns how many
// these are.
func describeUnknown(p *v1alpha1.SelfServicePolicy, known []v1alpha1.ProductPolicyStatus, now time.Time) int {
	var unknown []string
	for _, listed := range p.Spec.Products {
		if !slices.ContainsFunc(known, func(s v1alpha1.ProductPolicyStatus) bool { return s.Name == listed.Name }) {
			unknown = append(unknown, listed.Name)
		}
	}
	if len(unknown) == 0 {
		setCondition(p, now, v1alpha1.ConditionProductsFound, metav1.ConditionTrue, v1alpha1.ReasonAllFound, "all products of spec.products are offered here in self-service")
		return 0
	}
	slices.Sort(unknown)
	setCondition(p, now, v1alpha1.ConditionProductsFound, metav1.ConditionFalse, v1alpha1.ReasonProductNotFound, fmt.Sprintf(
		"%s not offered here in self-service: correct the name, or leave it for when it is: %s",
		verb(len(unknown), "product", "of spec.products is", "of spec.products are"), strings.Join(unknown, ", ")))
	return len(unknown)
}

// countValues says how many products have which value, and of how many of those
// for trials only there is none.
func countValues(products []v1alpha1.ProductPolicyStatus, untried int) string {
	counts, overridden := map[v1alpha1.SelfServiceValue]int{}, 0
	for _, s := range products {
		counts[s.Value]++
		if s.OverriddenBy != "" {
			overridden++
		}
	}
	trials := "for trials only"
	if untried > 0 {
		trials += fmt.Sprintf(" (%d blocked in effect: no trial without a payment method)", untried)
	}
	message := plural(len(products), "product")
	sep := ": "
	for _, part := range []struct {
		value v1alpha1.SelfServiceValue
		text  string
	}{{v1alpha1.SelfServiceAllow, "allowed"}, {v1alpha1.SelfServiceTrialsOnly, trials}, {v1alpha1.SelfServiceBlock, "blocked"}} {
		if n := counts[part.value]; n > 0 {
			message += fmt.Sprintf("%s%d %s", sep, n, part.text)
			sep = ", "
		}
	}
	if overridden > 0 {
		message += fmt.Sprintf("; for %d of them another policy is stricter", overridden)
	}
	if len(products) > maxPolicyProducts {
		message += fmt.Sprintf("; status lists the first %d by name", maxPolicyProducts)
	}
	return message
}

// SetupWithManager registers the reconciler and what wakes it.
func (r *SelfServicePolicyReconciler) SetupWithManager(ctx context.Context, mgr ctrl.Manager) error {
	for name, index := range orderIndexes {
		if err := mgr.GetFieldIndexer().IndexField(ctx, &v1alpha1.SelfServiceOrder{}, name, index); err != nil {
			return fmt.Errorf("indexing orders by %s: %w", name, err)
		}
	}
	changed := builder.WithPredicates(predicate.GenerationChangedPredicate{})
	return ctrl.NewControllerManagedBy(mgr).
		For(&v1alpha1.SelfServicePolicy{}, changed).
		Watches(&v1alpha1.SelfServicePolicy{}, wakeLater(r.in), changed).
		Watches(&v1alpha1.Product{}, wakeLater(func(ctx context.Context, _ client.Object) []reconcile.Request { return r.all(ctx) }), builder.WithPredicates(inSelfService)).
		Watches(&v1alpha1.SelfServiceOrder{}, wakeLater(ofAudited), builder.WithPredicates(audited, servedOrder(r.Namespaces))).
		Watches(&corev1.Namespace{}, wakeLater(r.ofNamespace), builder.OnlyMetadata, builder.WithPredicates(predicate.LabelChangedPredicate{})).
		WithOptions(controller.Options{ReconciliationTimeout: passTimeout, RateLimiter: backoff()}).
		Complete(reconcile.AsReconciler(mgr.GetClient(), r))
}

// inSelfService lets through what happens to products that are, or were, offered
// in self-service.
var inSelfService = predicate.Funcs{
	CreateFunc: func(e event.CreateEvent) bool { return e.Object.(*v1alpha1.Product).Spec.SelfService != nil },
	UpdateFunc: func(e event.UpdateEvent) bool {
		before, after := e.ObjectOld.(*v1alpha1.Product), e.ObjectNew.(*v1alpha1.Product)
		return before.Generation != after.Generation && (before.Spec.SelfService != nil || after.Spec.SelfService != nil)
	},
	DeleteFunc: func(e event.DeleteEvent) bool { return e.Object.(*v1alpha1.Product).Spec.SelfService != nil },
}

// audited lets through orders that a policy would have refused, or has come to.
var audited = predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
	return len(e.ObjectOld.(*v1alpha1.SelfServiceOrder).Spec.AuditedBy) < len(e.ObjectNew.(*v1alpha1.SelfServiceOrder).Spec.AuditedBy)
}}

// wakeLater wakes what depends on an object after a while. The queue keeps one
// request for each policy, so a burst of changes is told once.
func wakeLater(of handler.MapFunc) handler.EventHandler {
	later := func(ctx context.Context, o client.Object, q queue) {
		for _, req := range of(ctx, o) {
			q.AddAfter(req, tellEvery)
		}
	}
	return handler.Funcs{
		CreateFunc: func(ctx context.Context, e event.CreateEvent, q queue) { later(ctx, e.Object, q) },
		UpdateFunc: func(ctx context.Context, e event.UpdateEvent, q queue) { later(ctx, e.ObjectNew, q) },
		DeleteFunc: func(ctx context.Context, e event.DeleteEvent, q queue) { later(ctx, e.Object, q) },
	}
}

// ofAudited are the policies that would have refused an order.
func ofAudited(_ context.Context, o client.Object) (all []reconcile.Request) {
	spec := &o.(*v1alpha1.SelfServiceOrder).Spec
	for _, policy := range spec.AuditedBy {
		all = append(all, reconcile.Request{NamespacedName: types.NamespacedName{Namespace: spec.Customer, Name: policy}})
	}
	return all
}

// in are the policies in the namespace of another one.
func (r *SelfServicePolicyReconciler) in(ctx context.Context, o client.Object) []reconcile.Request {
	return r.all(ctx, client.InNamespace(o.GetNamespace()))
}

// ofNamespace are the policies of a customer. It picks out of all, because the
// cache may know some namespaces only.
func (r *SelfServicePolicyReconciler) ofNamespace(ctx context.Context, ns client.Object) []reconcile.Request {
	return slices.DeleteFunc(r.all(ctx), func(req reconcile.Request) bool { return req.Namespace != ns.GetName() })
}

func (r *SelfServicePolicyReconciler) all(ctx context.Context, which ...client.ListOption) []reconcile.Request {
	var policies v1alpha1.SelfServicePolicyList
	if err := r.List(ctx, &policies, append(which, client.UnsafeDisableDeepCopy)...); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "listing self-service policies to wake")
		return nil
	}
	all := make([]reconcile.Request, 0, len(policies.Items))
	for i := range policies.Items {
		all = append(all, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&policies.Items[i])})
	}
	return all
}
