package controllers

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/license-operator/license-operator/api/v1alpha1"
)

// saysOf writes what a policy says of each product on one line.
func (d *desk) saysOf(p *v1alpha1.SelfServicePolicy) string {
	var all []string
	for _, s := range p.Status.Products {
		line := fmt.Sprintf("%s=%s(%s)", strings.TrimPrefix(s.Name, d.name), s.Value, s.Source)
		if s.OverriddenBy != "" {
			line += " by " + s.OverriddenBy
		}
		all = append(all, line)
	}
	return strings.Join(all, ", ")
}

// judged runs a pass over a policy, looks at what it says, and that it was all
// there was to do.
func (d *desk) judged(name, conds, message, products string) *v1alpha1.SelfServicePolicy {
	d.t.Helper()
	p := d.judge(name)
	if got := conditions(p); got != conds {
		d.t.Errorf("conditions %s\nwant       %s", got, conds)
	}
	if got := reasonMessage(p, "Ready"); got != message {
		d.t.Errorf("message %q, want %q", got, message)
	}
	if got := d.saysOf(p); got != products {
		d.t.Errorf("products %s\nwant     %s", got, products)
	}
	if k := kstatus(d.t, p); k != "Current" {
		d.t.Errorf("kstatus %s", k)
	}
	d.later(time.Second)
	if d.judge(name); len(d.writes) > 0 {
		d.t.Errorf("second pass wrote %v", d.writes)
	}
	return p
}

func TestPolicyTellsOfProducts(t *testing.T) {
	const enforced, audited = "ProductsFound=True(AllFound) Ready=True(Enforced)", "ProductsFound=True(AllFound) Ready=True(Audited)"
	d := newDesk(t)
	d.editProduct(func(p *v1alpha1.ProductSpec) { p.SelfService = nil }) // it is in nobody's list
	d.policy("rules", v1alpha1.SelfServiceAllow)
	d.judged("rules", enforced, "0 products", "")
	d.publish("-c")
	d.publish("-b")
	d.publish("-a")
	d.publish("-school", func(p *v1alpha1.ProductSpec) {
		p.Customers = &v1alpha1.Customers{NamespaceSelector: metav1.LabelSelector{MatchLabels: map[string]string{"segment": "school"}}}
	})
	d.publish("-broken", func(p *v1alpha1.ProductSpec) {
		p.Customers = &v1alpha1.Customers{NamespaceSelector: metav1.LabelSelector{MatchLabels: map[string]string{"not a label": "-"}}}
	})
	d.judged("rules", enforced, "3 products: 3 allowed", "-a=Allow(Default), -b=Allow(Default), -c=Allow(Default)")
	list := func(pairs ...string) func(*v1alpha1.SelfServicePolicySpec) {
		return func(s *v1alpha1.SelfServicePolicySpec) {
			s.Products = nil
			for i := 0; i < len(pairs); i += 2 {
				s.Products = append(s.Products, v1alpha1.ProductPolicy{Name: d.name + pairs[i], Value: v1alpha1.SelfServiceValue(pairs[i+1])})
			}
		}
	}
	d.editPolicy("rules", list("-b", "Block", "-a", "TrialsOnly"))
	p := d.judged("rules", enforced, "3 products: 1 allowed, 1 for trials only, 1 blocked", "-a=TrialsOnly(Listed), -b=Block(Listed), -c=Allow(Default)")
	if p.Status.Products[0].DisplayName != "Drawing" || p.Status.Audit != nil || p.Status.ObservedGeneration != p.Generation {
		t.Errorf("%+v", p.Status)
	}

	d.policy("stricter", v1alpha1.SelfServiceTrialsOnly)
	d.policy("also", v1alpha1.SelfServiceTrialsOnly)
	d.policy("audits", v1alpha1.SelfServiceBlock, audits)
	d.judged("rules", enforced, "3 products: 1 allowed, 1 for trials only, 1 blocked; for 1 of them another policy is stricter", "-a=TrialsOnly(Listed), -b=Block(Listed), -c=Allow(Default) by also")
	d.judged("stricter", enforced, "3 products: 3 for trials only; for 1 of them another policy is stricter", "-a=TrialsOnly(Default), -b=TrialsOnly(Default) by rules, -c=TrialsOnly(Default)")
	d.judged("audits", audited, "3 products: 3 blocked; it refuses nothing: 0 orders would have been", "-a=Block(Default), -b=Block(Default), -c=Block(Default)")

	d.editPolicy("rules", list("-b", "Block", "-z", "Block", "-school", "Allow", "", "Block"))
	p = d.judged("rules", "ProductsFound=False(ProductNotFound) Ready=True(Enforced)", "3 products: 2 allowed, 1 blocked; for 2 of them another policy is stricter; 3 products of spec.products are not offered here: see the condition ProductsFound", "-a=Allow(Default) by also, -b=Block(Listed), -c=Allow(Default) by also")
	want := fmt.Sprintf("3 products of spec.products are not offered here in self-service: correct the name, or leave it for when it is: %s, %s-school, %s-z", d.name, d.name, d.name)
	if got := reasonMessage(p, "ProductsFound"); got != want {
		t.Errorf("%q\nwant %q", got, want)
	}
	d.editPolicy("rules", list("-z", "Block"))
	if got := reasonMessage(d.judge("rules"), "ProductsFound"); !strings.HasPrefix(got, "1 product of spec.products is") {
		t.Errorf("%q", got)
	}
	d.publish("-z")
	d.judged("rules", enforced, "4 products: 3 allowed, 1 blocked; for 3 of them another policy is stricter", "-a=Allow(Default) by also, -b=Allow(Default) by also, -c=Allow(Default) by also, -z=Block(Listed)")

	d.shelf.broken = true
	if _, err := d.policies.Reconcile(t.Context(), d.request("rules")); err == nil {
		t.Error("nothing can be listed, and nobody says so")
	}
	broken := get(t, &v1alpha1.SelfServicePolicy{}, d.customer, "rules")
	noteReasons(broken)
	if got := conditions(broken); got != enforced+" Reconciling=True(Retrying)" || len(broken.Status.Products) != 4 {
		t.Errorf("%s %s", got, d.saysOf(broken))
	}
	d.shelf.broken = false
	d.judged("rules", enforced, "4 products: 3 allowed, 1 blocked; for 3 of them another policy is stricter", d.saysOf(broken))
}

// Of some products there is no trial that needs no payment method.
func TestPolicyTellsOfTrialsThatThereAreNot(t *testing.T) {
	const enforced = "ProductsFound=True(AllFound) Ready=True(Enforced)"
	d := newDesk(t)
	d.publish("-bought", func(p *v1alpha1.ProductSpec) { p.SelfService.Trial = nil })
	d.publish("-paid", func(p *v1alpha1.ProductSpec) { p.SelfService.Trial.PaymentMethod = v1alpha1.PaymentMethodRequired })
	d.policy("rules", v1alpha1.SelfServiceTrialsOnly)
	d.judged("rules", enforced, "3 products: 3 for trials only (2 blocked in effect: no trial without a payment method)",
		"=TrialsOnly(Default), -bought=TrialsOnly(Default), -paid=TrialsOnly(Default)")
	d.editPolicy("rules", func(s *v1alpha1.SelfServicePolicySpec) {
		s.Products = []v1alpha1.ProductPolicy{{Name: d.name + "-bought", Value: v1alpha1.SelfServiceAllow}, {Name: d.name + "-paid", Value: v1alpha1.SelfServiceBlock}}
	})
	d.judged("rules", enforced, "3 products: 1 allowed, 1 for trials only, 1 blocked", "=TrialsOnly(Default), -bought=Allow(Listed), -paid=Block(Listed)")
}

// More products than status holds.
func TestPolicyOfManyProducts(t *testing.T) {
	products := make([]v1alpha1.ProductPolicyStatus, maxPolicyProducts+2)
	for i := range products {
		products[i].Value = v1alpha1.SelfServiceBlock
	}
	if got := countValues(products, 0); got != "1002 products: 1002 blocked; status lists the first 1000 by name" {
		t.Errorf("%q", got)
	}
}

// What a policy of mode Audit would have refused is in its status, the newest
// first.
func TestPolicyAudits(t *testing.T) {
	d := newDesk(t)
	d.agreement()
	d.policy("rules", v1alpha1.SelfServiceTrialsOnly, audits)
	d.policy("fine", v1alpha1.SelfServiceAllow, audits)
	d.ask("tried", trial)
	d.serve("tried")
	const total = 3
	for i := range total {
		d.ask(fmt.Sprintf("own-%02d", i), by(fmt.Sprintf("user-%02d", i)))
		d.serve(fmt.Sprintf("own-%02d", i))
	}
	d.ask("paid", trial, by("user-03"), func(s *v1alpha1.SelfServicePurchaseSpec) { s.PaymentMethod = true })
	d.serve("paid")
	p := d.judged("rules", "ProductsFound=True(AllFound) Ready=True(Audited)", fmt.Sprintf("1 product: 1 for trials only; it refuses nothing: %d orders would have been", total+1), "=TrialsOnly(Default)")
	if a := p.Status.Audit; a.Total != total+1 || len(a.Products) != 1 || a.Products[0] != (v1alpha1.AuditedProduct{Name: d.name, Purchases: total, Trials: 1}) {
		t.Fatalf("%+v", a)
	}
	d.judged("fine", "ProductsFound=True(AllFound) Ready=True(Audited)", "1 product: 1 allowed; it refuses nothing: 0 orders would have been", "=Allow(Default)")
	d.editPolicy("rules", func(s *v1alpha1.SelfServicePolicySpec) { s.Mode = v1alpha1.SelfServiceEnforce })
	if p := d.judged("rules", "ProductsFound=True(AllFound) Ready=True(Enforced)", "1 product: 1 for trials only", "=TrialsOnly(Default)"); p.Status.Audit.Total != total+1 {
		t.Errorf("%+v", p.Status.Audit)
	}
	d.still("own-00") // it is Compliant=False for ever, and no more is written about it
	if got := conditions(d.purchase("own-00")); got != isAudited {
		t.Errorf("%s", got)
	}
}

// What wakes a policy, and that a burst of it is told once.
func TestWakesPolicies(t *testing.T) {
	d := newDesk(t)
	d.policy("a", v1alpha1.SelfServiceAllow)
	d.policy("b", v1alpha1.SelfServiceAllow)
	r := &SelfServicePolicyReconciler{Client: d.view, Clock: d.clock}
	names := func(all []reconcile.Request) string {
		var s []string
		for _, req := range all {
			if req.Namespace == d.customer {
				s = append(s, req.Name)
			} else {
				s = append(s, "*")
			}
		}
		return strings.Join(s, " ")
	}
	ns := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: d.customer}}
	order := &v1alpha1.SelfServiceOrder{Spec: v1alpha1.SelfServiceOrderSpec{Customer: d.customer, AuditedBy: []string{"b"}}}
	for what, tc := range map[string]struct{ want, got string }{
		"another policy": {"a b", names(r.in(t.Context(), get(t, &v1alpha1.SelfServicePolicy{}, d.customer, "a")))},
		"the namespace":  {"a b", names(r.ofNamespace(t.Context(), ns))},
		"an order":       {"b", names(ofAudited(t.Context(), order))},
	} {
		if tc.got != tc.want {
			t.Errorf("%s wakes %q, want %q", what, tc.got, tc.want)
		}
	}
	if all := names(r.all(t.Context())); !strings.Contains(all, "a b") {
		t.Errorf("a product wakes %s", all)
	}
	d.shelf.broken = true
	if all := r.all(t.Context()); all != nil {
		t.Errorf("%v", all)
	}

	in, out := d.product(), d.product()
	out.Spec.SelfService = nil
	for i, got := range []bool{
		inSelfService.Create(event.CreateEvent{Object: in}), !inSelfService.Create(event.CreateEvent{Object: out}),
		inSelfService.Delete(event.DeleteEvent{Object: in}), !inSelfService.Delete(event.DeleteEvent{Object: out}),
		inSelfService.Update(event.UpdateEvent{ObjectOld: in, ObjectNew: later(out)}), inSelfService.Update(event.UpdateEvent{ObjectOld: out, ObjectNew: later(in)}),
		!inSelfService.Update(event.UpdateEvent{ObjectOld: in, ObjectNew: in}), !inSelfService.Update(event.UpdateEvent{ObjectOld: out, ObjectNew: later(out)}),
	} {
		if !got {
			t.Errorf("event %d of a product is judged wrongly", i)
		}
	}

	q := &laterQueue{}
	wake := wakeLater(func(context.Context, client.Object) []reconcile.Request { return []reconcile.Request{d.request("a")} })
	wake.Create(t.Context(), event.CreateEvent{Object: in}, q)
	wake.Update(t.Context(), event.UpdateEvent{ObjectOld: in, ObjectNew: in}, q)
	wake.Delete(t.Context(), event.DeleteEvent{Object: in}, q)
	if q.adds != 3 {
		t.Errorf("%d requests, each a second later, want 3", q.adds)
	}
}

func later(p *v1alpha1.Product) *v1alpha1.Product {
	p = p.DeepCopy()
	p.Generation++
	return p
}

// laterQueue counts what is to be done in a second. Anything else is a mistake.
type laterQueue struct {
	workqueue.TypedRateLimitingInterface[reconcile.Request]
	adds int
}

func (q *laterQueue) AddAfter(_ reconcile.Request, after time.Duration) {
	if after == tellEvery {
		q.adds++
	}
}
