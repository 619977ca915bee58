package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/test/controlplane"
)

const (
	// columns show all that was agreed, for comparing.
	columns = "CUSTOMER:.metadata.namespace,NAME:.metadata.name,STATE:.status.state,QTY:.status.quantity," +
		"PURCHASED:.status.purchasedAt,WINDOW:.status.cancellation.until,ENDS:.status.term.endsAt"
	// serviceColumns do so of services.
	serviceColumns = "CUSTOMER:.metadata.namespace,NAME:.metadata.name,ID:.status.id,STATE:.status.state,PLAN:.status.planID,SEATS:.status.quantity," +
		"PURCHASED:.status.purchasedAt,BILLED:.status.billing.startedAt,ENDS:.status.term.endsAt,ENDED:.status.endedAt"
	// purchaseColumns do so of what employees bought, and seatColumns of who has
	// a seat.
	purchaseColumns = "CUSTOMER:.metadata.namespace,NAME:.metadata.name,STATE:.status.state,PURCHASER:.spec.purchaser.username,USERS:.status.users," +
		"PURCHASED:.status.purchasedAt,ENDS:.status.term.endsAt,ENDED:.status.endedAt"
	seatColumns = "CUSTOMER:.metadata.namespace,SEAT:.metadata.name,USER:.spec.user,SINCE:.spec.at"
	// firstKinds and moreKinds are the kinds of docs/operations.md, in its order.
	firstKinds = "publishers,products,keyissuers,licenseservers,licensekeys,entitlements,selfserviceorders,seats,softwaresubscriptions,marketplacesubscriptions"
	moreKinds  = "partneragreements,selfservicepurchases,selfservicepolicies,licenseassignments,takeovers"
	// listed compares all of it.
	listed = "(kubectl get swsub -A -o custom-columns=$columns; kubectl get mpsub -A -o custom-columns=$services; " +
		"kubectl get sspur -A -o custom-columns=$purchases; kubectl get lseat -A -o custom-columns=$seats)"
	// strip is the jq program of docs/operations.md.
	strip = `del(.items[].metadata["uid","resourceVersion","creationTimestamp","generation","managedFields","ownerReferences"], .items[].status)`
)

// restore moves everything to another, empty cluster, by docs/operations.md.
func (s *story) restore(ctx context.Context) (err error) {
	dir := filepath.Join(s.cluster.Dir, "backup")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	vars := []string{"columns=" + columns, "services=" + serviceColumns, "purchases=" + purchaseColumns, "seats=" + seatColumns, "strip=" + strip}
	old := &person{prompt: "$ ", kubeconfig: s.cluster.Kubeconfig, dir: dir, vars: vars}
	say("A backup is two files. The keys and links at customers' need none: the operator delivers them again")
	fmt.Println("$ kinds=" + firstKinds)
	fmt.Println("$ kinds=$kinds," + moreKinds)
	old.vars = append(old.vars, "kinds="+firstKinds+","+moreKinds)
	for _, command := range []string{
		"kubectl get $kinds -A -o json > licensing.json",
		"(umask 077; kubectl -n license-operator-system get secrets -o json > stock.json)",
	} {
		if _, err := s.run(ctx, old, command); err != nil {
			return err
		}
	}
	fmt.Println()
	say("and a list of what was agreed, for comparing")
	fmt.Println("$ columns=" + columns)
	fmt.Println("$ services=" + serviceColumns)
	fmt.Println("$ purchases=" + purchaseColumns)
	fmt.Println("$ seats=" + seatColumns)
	if _, err := s.run(ctx, old, listed+" > before"); err != nil {
		return err
	}

	progress("starting another control plane, and installing the kinds, roles and policies there")
	other, err := controlplane.Start(ctx, controlplane.Options{Dir: filepath.Join(s.cluster.Dir, "restored"), ControllerManager: true})
	if err != nil {
		return err
	}
	defer func() {
		if stopErr := other.Stop(); err == nil {
			err = stopErr
		}
	}()
	if err := install(ctx, other); err != nil {
		return err
	}
	fmt.Println()
	say("Another, empty cluster, with no operator yet. The objects lose what an API server adds")
	empty := &person{prompt: "restored$ ", kubeconfig: other.Kubeconfig, dir: dir, vars: vars}
	fmt.Printf("%sstrip='%s'\n", empty.prompt, strip)
	for _, command := range []string{
		"jq -r '.items[].metadata.namespace // empty' licensing.json | sort -u | xargs -n1 kubectl create namespace",
		`jq "$strip" stock.json | kubectl create -f -`,
		`jq "$strip" licensing.json | kubectl create -f - | cut -d/ -f1 | sort | uniq -c`,
	} {
		if _, err := s.run(ctx, empty, command); err != nil {
			return err
		}
	}
	return s.compare(ctx, other, empty)
}

// compare runs the operator on what was restored, and looks for differences.
func (s *story) compare(ctx context.Context, other *controlplane.ControlPlane, empty *person) (err error) {
	progress("starting the operator there")
	controllers, err := start(ctx, other, "controllers", "--artifacts=file://"+artifactsDir(s.cluster))
	if err != nil {
		return err
	}
	defer func() { err = stopAll(ctx, []*process{controllers}, err) }()
	restored, err := newClient(other.Config)
	if err != nil {
		return err
	}
	if err := controllers.waitReady(ctx); err != nil {
		return err
	}
	if err := settle(ctx, restored); err != nil {
		return err
	}
	fmt.Println()
	say("The operator is started there. Every customer has what he had, to the second. Partners are not restored: they register",
		"again, as nobody may do it for them, and have no access until then")
	if err := s.expect(ctx, empty, listed+" | tee after; diff before after && echo no difference", "no difference"); err != nil {
		return err
	}
	if err := s.sameKeys(ctx, restored); err != nil {
		return err
	}
	fmt.Println()
	say("with the same keys, and not one entry more in the ledger")
	for _, who := range []*person{{prompt: "$ ", kubeconfig: s.cluster.Kubeconfig}, empty} {
		if _, err := s.run(ctx, who, "kubectl -n contoso get secret office-key -o jsonpath='{.data.key}' | base64 -d | sha256sum; kubectl get licensekeys -o name | wc -l"); err != nil {
			return err
		}
	}
	return nil
}

// sameKeys compares every key by its fingerprint, and every entry of the ledger.
func (s *story) sameKeys(ctx context.Context, restored client.Client) error {
	var subs v1alpha1.SoftwareSubscriptionList
	if err := s.client.List(ctx, &subs); err != nil {
		return fmt.Errorf("listing subscriptions: %w", err)
	}
	for i := range subs.Items {
		sub := &subs.Items[i]
		if sub.Status.Keys == nil {
			continue
		}
		was, err := keysOf(ctx, s.client, sub)
		if err != nil {
			return err
		}
		is, err := keysOf(ctx, restored, sub)
		if err != nil {
			return fmt.Errorf("in the restored cluster: %w", err)
		}
		if len(was) == 0 || !maps.Equal(was, is) {
			return fmt.Errorf("the keys of %s/%s were %v and are %v", sub.Namespace, sub.Name, was, is)
		}
	}
	was, err := entries(ctx, s.client)
	if err != nil {
		return err
	}
	is, err := entries(ctx, restored)
	if err == nil && !maps.Equal(was, is) {
		err = fmt.Errorf("the ledger had the entries %v and has %v", was, is)
	}
	return err
}

// entries returns the states of all entries of the ledger by their names.
func entries(ctx context.Context, c client.Client) (map[string]v1alpha1.LicenseKeyState, error) {
	var ledger v1alpha1.LicenseKeyList
	if err := c.List(ctx, &ledger); err != nil {
		return nil, fmt.Errorf("reading the ledger: %w", err)
	}
	states := map[string]v1alpha1.LicenseKeyState{}
	for _, entry := range ledger.Items {
		states[entry.Name] = entry.Spec.State
	}
	return states, nil
}
