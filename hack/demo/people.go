package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
)

const (
	tailspinYAML = `
apiVersion: license-operator.io/v1alpha1
kind: SoftwareSubscription
metadata: {name: cad, namespace: tailspin}
spec:
  productRef: {name: cad-studio}
  term: P1Y
`
	bobsServiceYAML = `
apiVersion: license-operator.io/v1alpha1
kind: MarketplaceSubscription
metadata: {name: coffee-sales, namespace: contoso}
spec:
  productRef: {name: coffee-analytics}
  planID: silver
  quantity: 4
  term: P1M
`
	bobYAML = `
apiVersion: license-operator.io/v1alpha1
kind: SoftwareSubscription
metadata: {name: office-sales, namespace: contoso}
spec:
  productRef: {name: office-ltsc}
  quantity: 3
  term: P1Y
`
)

// offer sells to a customer that a product is not offered to, and then is.
func (s *story) offer(ctx context.Context) error {
	say("CAD Studio is offered to enterprises only, which a label of the namespace tells. Tailspin is none")
	for _, command := range []string{"kubectl create namespace tailspin", create(tailspinYAML)} {
		if _, err := s.run(ctx, s.admin, command); err != nil {
			return err
		}
	}
	if err := s.told(ctx, "tailspin", "cad", v1alpha1.StatePending, "is not offered to customer tailspin"); err != nil {
		return err
	}
	var entries v1alpha1.LicenseKeyList
	if err := s.client.List(ctx, &entries, client.MatchingFields{"spec.customer": "tailspin"}); err != nil {
		return fmt.Errorf("reading the ledger: %w", err)
	}
	err := s.client.Get(ctx, client.ObjectKey{Namespace: "tailspin", Name: "cad-key"}, &corev1.Secret{})
	if len(entries.Items) > 0 || !apierrors.IsNotFound(err) {
		return errors.New("tailspin has got something that it is not offered")
	}
	fmt.Println()
	say("Nothing was issued. It becomes one, and gets its key")
	if _, err := s.run(ctx, s.admin, "kubectl label namespace tailspin license-operator.io/tier=enterprise"); err != nil {
		return err
	}
	return s.told(ctx, "tailspin", "cad", v1alpha1.StateActive, "key in Secret cad-key")
}

// roles shows two of the roles of docs/roles.md.
func (s *story) roles(ctx context.Context) error {
	bob, err := s.person("bob")
	if err != nil {
		return err
	}
	dan, err := s.person("dan")
	if err != nil {
		return err
	}
	say("Bob sells to contoso, and Dan audits. docs/roles.md has all roles")
	for _, command := range []string{
		"kubectl -n contoso create rolebinding bob --clusterrole=license-operator-sales-agent --user=bob",
		"kubectl create clusterrolebinding dan --clusterrole=license-operator-auditor --user=dan",
	} {
		if _, err := s.run(ctx, s.admin, command); err != nil {
			return err
		}
	}
	for _, kind := range []string{"swsub", "mpsub"} {
		if err := s.mayDo(ctx, bob, "-n", "contoso", "create", kind); err != nil {
			return err
		}
	}
	fmt.Println()
	say("Bob buys. What is bought is the customer's, so he can neither change nor delete it, nor read its key or link")
	for _, yaml := range []string{bobYAML, bobsServiceYAML} {
		if _, err := s.run(ctx, bob, create(yaml)); err != nil {
			return err
		}
	}
	for _, command := range []string{
		patch("contoso", "office-sales", `"quantity":300`),
		"kubectl -n contoso delete swsub office-sales",
		"kubectl -n contoso get secret office-sales-key",
		patchService("coffee-sales", `"quantity":40`),
		patchService("coffee-lyon", `"cancelled":true`),
		"kubectl -n contoso get secret coffee-sales-landing",
	} {
		if err := s.refused(ctx, bob, command, "forbidden"); err != nil {
			return err
		}
	}
	return s.audit(ctx, dan)
}

// audit reads the ledger, and cannot write it.
func (s *story) audit(ctx context.Context, dan *person) error {
	if err := s.mayDo(ctx, dan, "list", "licensekeys"); err != nil {
		return err
	}
	if err := settle(ctx, s.client); err != nil {
		return err
	}
	fmt.Println()
	say("Dan reads the ledger, and writes nothing")
	if err := s.expect(ctx, dan, "kubectl get licensekeys --field-selector spec.customer=contoso --sort-by=.spec.purchase.at", "office-sales", "Revoked"); err != nil {
		return err
	}
	return s.refused(ctx, dan, "kubectl delete licensekeys --field-selector spec.subscription.name=office-lab", "forbidden")
}

// guards shows what holds whatever a role says.
func (s *story) guards(ctx context.Context) error {
	erin, err := s.person("erin")
	if err != nil {
		return err
	}
	say("Somebody gave Erin a role that is too large. A policy keeps the ledger all the same")
	for _, command := range []string{
		"kubectl create clusterrole too-large --verb=get,list,create,update,patch,delete --resource=licensekeys.license-operator.io",
		"kubectl create clusterrolebinding erin --clusterrole=too-large --user=erin",
	} {
		if _, err := s.run(ctx, s.admin, command); err != nil {
			return err
		}
	}
	if err := s.mayDo(ctx, erin, "delete", "licensekeys"); err != nil {
		return err
	}
	if err := s.refused(ctx, erin, "kubectl delete licensekeys --field-selector spec.subscription.name=office-lab", "the ledger is written by the operator alone"); err != nil {
		return err
	}
	if _, err := s.run(ctx, s.admin, "kubectl delete clusterrolebinding/erin clusterrole/too-large"); err != nil {
		return err
	}
	fmt.Println()
	say("The downloads and fulfilment services face the internet. They can read no Secret, and so no key and no link")
	if err := s.refused(ctx, s.admin, "kubectl auth can-i get secrets -A --as=system:serviceaccount:license-operator-system:license-operator-downloads", "no"); err != nil {
		return err
	}
	return s.refused(ctx, s.admin, "kubectl auth can-i get secrets -A --as=system:serviceaccount:license-operator-system:license-operator-fulfillment", "no")
}

// notices shows what people are told without asking.
func (s *story) notices(ctx context.Context) error {
	err := until(ctx, func(ctx context.Context) error {
		var events eventsv1.EventList
		if err := s.client.List(ctx, &events, client.InNamespace("contoso")); err != nil {
			return err
		}
		var told []string
		for _, e := range events.Items {
			told = append(told, e.Regarding.Name+" "+e.Reason)
		}
		for _, notice := range []string{"office Issued", "office-lab Cancelled", "rds-branch Issued", "office-sales Issued",
			"coffee Purchased", "coffee Activated", "coffee ChangeRefused", "coffee Suspended", "coffee Reinstated", "coffee Unsubscribed"} {
			if n := strings.Count("\n"+strings.Join(told, "\n")+"\n", "\n"+notice+"\n"); n != 1 {
				return fmt.Errorf("%d events say %q: %v", n, notice, told)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	say("Each notice is an event, sent once: what was issued, renewed, cancelled, and warnings ahead of deadlines")
	if err := s.expect(ctx, s.admin, "kubectl -n contoso get events --field-selector involvedObject.kind=SoftwareSubscription --sort-by=.metadata.creationTimestamp", "office-lab", "Cancelled"); err != nil {
		return err
	}
	fmt.Println()
	say("Services have theirs")
	return s.expect(ctx, s.admin, "kubectl -n contoso get events --field-selector involvedObject.kind=MarketplaceSubscription,involvedObject.name=coffee --sort-by=.metadata.creationTimestamp",
		"Purchased", "Activated", "Changed", "ChangeRefused", "Suspended", "Reinstated", "Unsubscribed")
}
