package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
)

// settleTimeout is long: a laptop under load is no reason to fail.
const settleTimeout = 2 * time.Minute

// object is what all of our kinds that have a status have in common.
type object struct {
	kind string
	client.Object
	observed   int64
	conditions []metav1.Condition
	detail     string // what else is not settled
}

// settle waits until nothing is left to be done for any object of ours that has
// a status, but what people have to do.
func settle(ctx context.Context, c client.Client) error {
	var open []object
	err := wait.PollUntilContextTimeout(ctx, pollEvery, settleTimeout, true, func(ctx context.Context) (bool, error) {
		all, err := objects(ctx, c)
		if err != nil {
			return false, err
		}
		open = open[:0]
		for _, o := range all {
			if !o.settled() {
				open = append(open, o)
			}
		}
		return len(open) == 0, nil
	})
	if !wait.Interrupted(err) {
		return err
	}
	var b strings.Builder
	for _, o := range open {
		b.WriteString("\n" + o.String())
	}
	return fmt.Errorf("this did not settle within %v:%s", settleTimeout, b.String())
}

// settled is true for what kstatus calls Current.
func (o object) settled() bool {
	return o.observed == o.GetGeneration() && o.detail == "" &&
		!meta.IsStatusConditionTrue(o.conditions, v1alpha1.ConditionReconciling) &&
		!meta.IsStatusConditionTrue(o.conditions, v1alpha1.ConditionStalled) &&
		!meta.IsStatusConditionFalse(o.conditions, v1alpha1.ConditionReady)
}

// String says everything that matters to find out why it did not settle.
func (o object) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "  %s %s", o.kind, strings.TrimPrefix(o.GetNamespace()+"/"+o.GetName(), "/"))
	if o.observed != o.GetGeneration() {
		fmt.Fprintf(&b, "\n    observedGeneration %d, generation %d", o.observed, o.GetGeneration())
	}
	if o.detail != "" {
		b.WriteString("\n    " + o.detail)
	}
	for _, c := range o.conditions {
		fmt.Fprintf(&b, "\n    %s=%s %s: %s", c.Type, c.Status, c.Reason, c.Message)
	}
	return b.String()
}

// objects reads all that can settle.
func objects(ctx context.Context, c client.Client) ([]object, error) {
	var products v1alpha1.ProductList
	var issuers v1alpha1.KeyIssuerList
	var servers v1alpha1.LicenseServerList
	var subs v1alpha1.SoftwareSubscriptionList
	var ledger v1alpha1.LicenseKeyList
	var publishers v1alpha1.PublisherList
	var services v1alpha1.MarketplaceSubscriptionList
	var policies v1alpha1.SelfServicePolicyList
	var purchases v1alpha1.SelfServicePurchaseList
	var assignments v1alpha1.LicenseAssignmentList
	var takeovers v1alpha1.TakeoverList
	var mails v1alpha1.NotificationList
	var agreements v1alpha1.PartnerAgreementList
	var registrations v1alpha1.PartnerRegistrationList
	for _, list := range []client.ObjectList{
		&products, &issuers, &servers, &subs, &ledger, &publishers, &services, &policies, &purchases, &assignments, &takeovers, &mails,
		&agreements, &registrations,
	} {
		if err := c.List(ctx, list); err != nil {
			return nil, fmt.Errorf("listing: %w", err)
		}
	}
	var all []object
	for i := range products.Items {
		p := &products.Items[i]
		all = append(all, object{"Product", p, p.Status.ObservedGeneration, p.Status.Conditions, unverified(p)})
	}
	for i := range issuers.Items {
		k := &issuers.Items[i]
		all = append(all, object{"KeyIssuer", k, k.Status.ObservedGeneration, k.Status.Conditions, miscount(k, ledger.Items)})
	}
	for i := range servers.Items {
		l := &servers.Items[i]
		all = append(all, object{"LicenseServer", l, l.Status.ObservedGeneration, l.Status.Conditions, ""})
	}
	for i := range subs.Items {
		s := &subs.Items[i]
		all = append(all, object{"SoftwareSubscription", s, s.Status.ObservedGeneration, s.Status.Conditions, ""})
	}
	for i := range publishers.Items {
		p := &publishers.Items[i]
		all = append(all, object{"Publisher", p, p.Status.ObservedGeneration, p.Status.Conditions, ""})
	}
	for i := range services.Items {
		s := &services.Items[i]
		all = append(all, object{"MarketplaceSubscription", s, s.Status.ObservedGeneration, withoutPeople(s.Status.Conditions), asking(s)})
	}
	for i := range policies.Items {
		p := &policies.Items[i]
		all = append(all, object{"SelfServicePolicy", p, p.Status.ObservedGeneration, p.Status.Conditions, unlisted(p, products.Items)})
	}
	for i := range purchases.Items {
		p := &purchases.Items[i]
		all = append(all, object{"SelfServicePurchase", p, p.Status.ObservedGeneration, p.Status.Conditions, ""})
	}
	for i := range assignments.Items {
		a := &assignments.Items[i]
		all = append(all, object{"LicenseAssignment", a, a.Status.ObservedGeneration, a.Status.Conditions, ""})
	}
	for i := range takeovers.Items {
		t := &takeovers.Items[i]
		all = append(all, object{"Takeover", t, t.Status.ObservedGeneration, t.Status.Conditions, ""})
	}
	for i := range mails.Items {
		n := &mails.Items[i]
		all = append(all, object{"Notification", n, n.Status.ObservedGeneration, n.Status.Conditions, ""})
	}
	for i := range agreements.Items {
		a := &agreements.Items[i]
		all = append(all, object{"PartnerAgreement", a, a.Status.ObservedGeneration, a.Status.Conditions, ""})
	}
	for i := range registrations.Items {
		r := &registrations.Items[i]
		all = append(all, object{"PartnerRegistration", r, r.Status.ObservedGeneration, withoutPeople(r.Status.Conditions), ""})
	}
	return all, nil
}

// withoutPeople leaves out what waits for people: for somebody to set a service up
// at the publisher's or to pay for it, or for a customer to let a partner in again.
func withoutPeople(conditions []metav1.Condition) []metav1.Condition {
	reasons := []string{v1alpha1.ReasonAwaitingActivation, v1alpha1.ReasonSuspended, v1alpha1.ReasonRemovedByCustomer}
	return slices.DeleteFunc(slices.Clone(conditions), func(c metav1.Condition) bool { return slices.Contains(reasons, c.Reason) })
}

// asking is what a publisher is being asked, if anything.
func asking(s *v1alpha1.MarketplaceSubscription) string {
	c := meta.FindStatusCondition(s.Status.Conditions, v1alpha1.ConditionInSync)
	if c != nil && (c.Reason == v1alpha1.ReasonChangePending || c.Reason == v1alpha1.ReasonWebhookFailing) {
		return c.Message
	}
	return ""
}

// unverified is what is wrong with the files of a product, if anything is: they
// are read through at first, while keys are sold already.
func unverified(p *v1alpha1.Product) string {
	c := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.ConditionArtifactsVerified)
	if c == nil || c.Status == metav1.ConditionTrue {
		return ""
	}
	return "its files are not verified"
}

// unlisted names a product that a policy does not tell of yet: it follows the
// catalogue.
func unlisted(policy *v1alpha1.SelfServicePolicy, products []v1alpha1.Product) string {
	for i := range products {
		p := &products[i]
		listed := slices.ContainsFunc(policy.Status.Products, func(s v1alpha1.ProductPolicyStatus) bool { return s.Name == p.Name })
		if p.Spec.SelfService != nil && p.Spec.Customers == nil && !listed {
			return "status.products lacks " + p.Name
		}
	}
	return ""
}

// miscount is how the counts of an issuer differ from the ledger, if they do:
// they follow it with a delay of about a second.
func miscount(issuer *v1alpha1.KeyIssuer, ledger []v1alpha1.LicenseKey) string {
	var issued, revoked int64
	for _, key := range ledger {
		switch {
		case key.Spec.IssuerRef.Name != issuer.Name:
		case key.Spec.State == v1alpha1.LicenseKeyIssued:
			issued++
		default:
			revoked++
		}
	}
	var counts v1alpha1.KeyCounts
	if issuer.Status.Keys != nil {
		counts = *issuer.Status.Keys
	}
	if counts.Issued == issued && counts.Revoked == revoked {
		return ""
	}
	return fmt.Sprintf("status counts %d issued and %d revoked, the ledger has %d and %d", counts.Issued, counts.Revoked, issued, revoked)
}
