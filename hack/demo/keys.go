package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/keys"
)

// sell applies the samples.
func (s *story) sell(ctx context.Context) error {
	say("A catalogue, where keys come from, what two customers bought, and what employees may buy themselves")
	if _, err := s.run(ctx, s.admin, "kubectl apply -k config/samples"); err != nil {
		return err
	}
	progress("waiting until everything has settled")
	if err := settle(ctx, s.client); err != nil {
		return err
	}
	fmt.Println()
	say("Keys from a pool and signed keys: every subscription has its own in a Secret.",
		"AVAILABLE counts down, the LicenseKeys are the ledger, and AT is when the next thing happens")
	if _, err := s.run(ctx, s.admin, "kubectl get licensing -A"); err != nil {
		return err
	}
	return s.everybodyHasKeys(ctx)
}

// everybodyHasKeys checks that each Secret has as many keys as status says.
func (s *story) everybodyHasKeys(ctx context.Context) error {
	var subs v1alpha1.SoftwareSubscriptionList
	if err := s.client.List(ctx, &subs); err != nil {
		return fmt.Errorf("listing subscriptions: %w", err)
	}
	for i := range subs.Items {
		sub := &subs.Items[i]
		held, err := keysOf(ctx, s.client, sub)
		if err != nil {
			return err
		}
		if sub.Status.Keys == nil || len(held) != int(sub.Status.Keys.Issued) || len(held) == 0 {
			return fmt.Errorf("the Secret of %s/%s has %d keys, and status.keys is %+v", sub.Namespace, sub.Name, len(held), sub.Status.Keys)
		}
	}
	return nil
}

// keysOf returns the fingerprints of a subscription's keys by their entries in
// its Secret, which holds a link and files as well.
func keysOf(ctx context.Context, c client.Client, sub *v1alpha1.SoftwareSubscription) (map[string]string, error) {
	var secret corev1.Secret
	if err := c.Get(ctx, client.ObjectKey{Namespace: sub.Namespace, Name: sub.KeySecretName()}, &secret); err != nil {
		return nil, fmt.Errorf("reading the keys of %s/%s: %w", sub.Namespace, sub.Name, err)
	}
	held := map[string]string{}
	for entry, value := range secret.Data {
		if entry == "key" || strings.HasPrefix(entry, "key-") {
			held[entry] = keys.Fingerprint(string(value))
		}
	}
	return held, nil
}

// readKey is the view of somebody who installs software.
func (s *story) readKey(ctx context.Context) error {
	if err := s.waitKeyRole(ctx); err != nil {
		return err
	}
	say("For each customer the operator keeps a Role that reads the Secrets with keys and links, and no other")
	if err := s.expect(ctx, s.admin, `kubectl -n contoso get role license-operator-keys -o jsonpath='{.rules[*].verbs} {.rules[*].resourceNames}{"\n"}'`, "office-key"); err != nil {
		return err
	}
	fmt.Println()
	say("Ada installs software at contoso")
	if _, err := s.run(ctx, s.admin, "kubectl -n contoso create rolebinding ada --role=license-operator-keys --user=ada"); err != nil {
		return err
	}
	if err := s.mayDo(ctx, s.ada, "-n", "contoso", "get", "secret/office-key"); err != nil {
		return err
	}
	key, err := s.run(ctx, s.ada, "kubectl -n contoso get secret office-key -o jsonpath='{.data.key}' | base64 -d")
	if err != nil {
		return err
	}
	if err := s.isKeyOf(ctx, key, "office"); err != nil {
		return err
	}
	fmt.Println()
	say("She reads no other Secret of contoso, and none of another customer")
	if _, err := s.run(ctx, s.admin, "kubectl -n contoso create secret generic payroll --from-literal=password=made-up"); err != nil {
		return err
	}
	if err := s.refused(ctx, s.ada, "kubectl -n contoso get secret payroll", "forbidden"); err != nil {
		return err
	}
	return s.refused(ctx, s.ada, "kubectl -n fabrikam get secret office-key", "forbidden")
}

// isKeyOf checks that a key, which is of an office product, was sold to contoso for
// a subscription. The ledger knows a key by its fingerprint only.
func (s *story) isKeyOf(ctx context.Context, key, subscription string) error {
	var entry v1alpha1.LicenseKey
	if err := s.client.Get(ctx, client.ObjectKey{Name: "office-ltsc-" + keys.Fingerprint(key)}, &entry); err != nil {
		return fmt.Errorf("what was read is no key of the ledger: %w", err)
	}
	if entry.Spec.Customer != "contoso" || entry.Spec.Subscription.Name != subscription {
		return fmt.Errorf("this is the key of %s/%s", entry.Spec.Customer, entry.Spec.Subscription.Name)
	}
	return nil
}

// waitKeyRole waits for the Role, which is written once a second at most.
func (s *story) waitKeyRole(ctx context.Context) error {
	return until(ctx, func(ctx context.Context) error {
		var role rbacv1.Role
		if err := s.client.Get(ctx, client.ObjectKey{Namespace: "contoso", Name: "license-operator-keys"}, &role); err != nil {
			return err
		}
		var subs v1alpha1.SoftwareSubscriptionList
		if err := s.client.List(ctx, &subs, client.InNamespace("contoso")); err != nil {
			return err
		}
		var services v1alpha1.MarketplaceSubscriptionList
		if err := s.client.List(ctx, &services, client.InNamespace("contoso")); err != nil {
			return err
		}
		if n := len(subs.Items) + len(services.Items); len(role.Rules) != 1 || len(role.Rules[0].ResourceNames) != n {
			return fmt.Errorf("%d subscriptions, and Role license-operator-keys has the rules %v", n, role.Rules)
		}
		return nil
	})
}

// mayDo waits for a new role: the API server learns of it a moment later.
func (s *story) mayDo(ctx context.Context, who *person, what ...string) error {
	return until(ctx, func(ctx context.Context) error {
		_, err := s.cluster.RunAs(ctx, who.kubeconfig, append([]string{"auth", "can-i"}, what...)...)
		return err
	})
}

// verifyOffline does what a vendor's program does, which has been given the
// public key and asks nobody.
func (s *story) verifyOffline(ctx context.Context) error {
	say("CAD Studio has signed keys, which its program verifies offline with this public key")
	publicKey, err := s.run(ctx, s.admin, "kubectl get keyissuer cad-studio -o jsonpath='{.status.publicKey}'")
	if err != nil {
		return err
	}
	var secret corev1.Secret
	if err := s.client.Get(ctx, client.ObjectKey{Namespace: "contoso", Name: "cad-studio-licences"}, &secret); err != nil {
		return fmt.Errorf("reading the signed keys: %w", err)
	}
	dataset, err := verify(publicKey, string(secret.Data["key-1"]))
	if err != nil {
		return fmt.Errorf("verifying key-1 of Secret contoso/cad-studio-licences: %w", err)
	}
	var signed struct{ Customer, Subscription string }
	var pretty bytes.Buffer
	if err := errors.Join(json.Unmarshal(dataset, &signed), json.Indent(&pretty, dataset, "", "  ")); err != nil {
		return fmt.Errorf("reading what was signed: %w", err)
	}
	fmt.Println()
	say("The signature of key-1 in Secret contoso/cad-studio-licences is right. This is what was signed")
	fmt.Println(pretty.String())
	if signed.Customer != "contoso" || signed.Subscription != "cad" {
		return errors.New("what was signed is not about contoso/cad")
	}
	return nil
}

// verify returns what a key of the scheme ED25519_SIGN says, if it was signed
// with the private half of publicKey. It is written from the description of
// the scheme, not with the operator's own code, so that both are checked.
func verify(publicKey, key string) (dataset []byte, err error) {
	public, err := hex.DecodeString(publicKey)
	if err != nil || len(public) != ed25519.PublicKeySize {
		return nil, errors.New("the public key is not 32 bytes in hexadecimal")
	}
	message, encodedSignature, _ := strings.Cut(key, ".")
	signature, err := base64.URLEncoding.DecodeString(encodedSignature)
	if err != nil {
		return nil, fmt.Errorf("decoding the signature: %w", err)
	}
	if !ed25519.Verify(public, []byte(message), signature) {
		return nil, errors.New("the signature is wrong")
	}
	text, err := base64.URLEncoding.DecodeString(strings.TrimPrefix(message, "key/"))
	if err != nil {
		return nil, fmt.Errorf("decoding what was signed: %w", err)
	}
	return text, nil
}
