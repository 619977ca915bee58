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
	"os"
	"os/exec"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/keys"
	"github.com/license-operator/license-operator/test/controlplane"
)

// story shows the operator from outside, step by step. What it shows is the
// output of kubectl; what it checks it reads with a client.
type story struct {
	cluster    *controlplane.ControlPlane
	client     client.Client
	admin, ada person
}

// person is somebody at a prompt.
type person struct{ prompt, kubeconfig string }

// tell tells the story and fails as soon as something is not as it should be.
func tell(ctx context.Context, cluster *controlplane.ControlPlane) error {
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return err
	}
	c, err := client.New(cluster.Config, client.Options{Scheme: scheme})
	if err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	ada, err := cluster.UserKubeconfig("ada")
	if err != nil {
		return err
	}
	s := &story{cluster: cluster, client: c, admin: person{"$ ", cluster.Kubeconfig}, ada: person{"ada$ ", ada}}
	for _, step := range []func(context.Context) error{
		s.sell, s.readKey, s.verifyOffline, s.cancel, s.takeBack, s.cancelTooLate,
	} {
		if err := step(ctx); err != nil {
			return err
		}
		fmt.Println()
	}
	return nil
}

// sell applies the samples.
func (s *story) sell(ctx context.Context) error {
	say("A catalogue with two products, where their keys come from, and what two customers bought")
	if _, err := s.run(ctx, s.admin, "kubectl apply -k config/samples"); err != nil {
		return err
	}
	progress("waiting until everything has settled")
	if err := settle(ctx, s.client); err != nil {
		return err
	}
	fmt.Println()
	say("Keys from a pool and signed keys: every subscription has its key in a Secret")
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
		var secret corev1.Secret
		if err := s.client.Get(ctx, client.ObjectKey{Namespace: sub.Namespace, Name: sub.KeySecretName()}, &secret); err != nil {
			return fmt.Errorf("reading the keys of %s/%s: %w", sub.Namespace, sub.Name, err)
		}
		if sub.Status.Keys == nil || len(secret.Data) != int(sub.Status.Keys.Issued) {
			return fmt.Errorf("the Secret of %s/%s has %d keys, and status.keys is %+v", sub.Namespace, sub.Name, len(secret.Data), sub.Status.Keys)
		}
	}
	return nil
}

// readKey is the customer's view: one Secret, by name.
func (s *story) readKey(ctx context.Context) error {
	say("Ada installs Office at contoso: her role is to read this one Secret and nothing else")
	for _, command := range []string{
		"kubectl -n contoso create role office-key --verb=get --resource=secrets --resource-name=office-key",
		"kubectl -n contoso create rolebinding office-key --role=office-key --user=ada",
	} {
		if _, err := s.run(ctx, s.admin, command); err != nil {
			return err
		}
	}
	if err := s.mayRead(ctx, s.ada, "contoso", "office-key"); err != nil {
		return err
	}
	key, err := s.run(ctx, s.ada, "kubectl -n contoso get secret office-key -o jsonpath='{.data.key}' | base64 -d")
	if err != nil {
		return err
	}
	// The ledger knows a key by its fingerprint only.
	var entry v1alpha1.LicenseKey
	if err := s.client.Get(ctx, client.ObjectKey{Name: "office-ltsc-" + keys.Fingerprint(key)}, &entry); err != nil {
		return fmt.Errorf("what ada read is no key of the ledger: %w", err)
	}
	if entry.Spec.Customer != "contoso" || entry.Spec.Subscription.Name != "office" {
		return fmt.Errorf("ada read the key of %s/%s", entry.Spec.Customer, entry.Spec.Subscription.Name)
	}
	return s.refused(ctx, s.ada, "kubectl -n contoso get secret cad-studio-licences", "forbidden")
}

// mayRead waits for a new role: the API server learns of it a moment later.
func (s *story) mayRead(ctx context.Context, who person, namespace, secret string) error {
	err := wait.PollUntilContextTimeout(ctx, pollEvery, time.Minute, true, func(ctx context.Context) (bool, error) {
		_, err := s.cluster.RunAs(ctx, who.kubeconfig, "-n", namespace, "auth", "can-i", "get", "secret/"+secret)
		return err == nil, nil
	})
	if err != nil {
		return fmt.Errorf("waiting for the role on Secret %s/%s: %w", namespace, secret, err)
	}
	return nil
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

// cancel cancels inside the window.
func (s *story) cancel(ctx context.Context) error {
	say("Contoso cancels a subscription in time: it gets a credit, its key is revoked and the Secret deleted")
	if _, err := s.run(ctx, s.admin, patchCancelled("contoso", "office-lab", true)); err != nil {
		return err
	}
	if err := settle(ctx, s.client); err != nil {
		return err
	}
	if _, err := s.run(ctx, s.admin, "kubectl -n contoso get swsub office-lab"); err != nil {
		return err
	}
	sub, err := s.subscription(ctx, "contoso", "office-lab")
	if err != nil {
		return err
	}
	if sub.Status.State != v1alpha1.StateCancelled {
		return fmt.Errorf("contoso/office-lab is %s, not %s", sub.Status.State, v1alpha1.StateCancelled)
	}
	if err := s.refused(ctx, s.admin, "kubectl -n contoso get secret office-lab-key", "NotFound"); err != nil {
		return err
	}
	fmt.Println()
	say("The ledger keeps the key for ever, so nobody is ever given it again")
	revoked, err := s.run(ctx, s.admin, "kubectl get licensekeys --field-selector spec.state=Revoked")
	if err == nil && strings.Count(revoked, "office-lab") != 1 {
		err = errors.New("the ledger does not list one revoked key of office-lab")
	}
	return err
}

// takeBack shows that the API server itself refuses to undo it.
func (s *story) takeBack(ctx context.Context) error {
	say("A cancellation cannot be taken back")
	return s.refused(ctx, s.admin, patchCancelled("contoso", "office-lab", false), "cancelled is final")
}

// cancelTooLate cancels the subscription with the very short window.
func (s *story) cancelTooLate(ctx context.Context) error {
	sub, err := s.subscription(ctx, "fabrikam", "cad-monthly")
	if err != nil {
		return err
	}
	if sub.Status.Cancellation == nil || sub.Status.Cancellation.Until == nil {
		return errors.New("fabrikam/cad-monthly has no cancellation window")
	}
	until := sub.Status.Cancellation.Until.UTC().Format(time.RFC3339)
	progress("waiting until the cancellation window of fabrikam/cad-monthly closes at %s", until)
	err = wait.PollUntilContextTimeout(ctx, pollEvery, time.Minute, true, func(ctx context.Context) (bool, error) {
		sub, err := s.subscription(ctx, "fabrikam", "cad-monthly")
		return err == nil && sub.Status.Cancellation != nil && !sub.Status.Cancellation.Open, err
	})
	if wait.Interrupted(err) {
		return fmt.Errorf("fabrikam/cad-monthly can still be cancelled, until %s: was its window meant to be that long?", until)
	}
	if err != nil {
		return err
	}
	say("Fabrikam cancels too late: its window of 15 seconds has closed, and the subscription goes on")
	if err := s.refused(ctx, s.admin, patchCancelled("fabrikam", "cad-monthly", true), until); err != nil {
		return err
	}
	_, err = s.run(ctx, s.admin, "kubectl -n fabrikam get swsub cad-monthly")
	return err
}

func patchCancelled(namespace, name string, cancelled bool) string {
	return fmt.Sprintf(`kubectl -n %s patch swsub %s --type=merge -p '{"spec":{"cancelled":%t}}'`, namespace, name, cancelled)
}

func (s *story) subscription(ctx context.Context, namespace, name string) (*v1alpha1.SoftwareSubscription, error) {
	sub := &v1alpha1.SoftwareSubscription{}
	if err := s.client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, sub); err != nil {
		return nil, fmt.Errorf("reading SoftwareSubscription %s/%s: %w", namespace, name, err)
	}
	return sub, nil
}

func say(text string) { fmt.Println("# " + text) }

// run shows a command and what it prints, which it returns as well. A shell
// runs it, so that what one sees is exactly what one would type.
func (s *story) run(ctx context.Context, who person, command string) (string, error) {
	fmt.Println(who.prompt + command)
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", command)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+who.kubeconfig)
	cmd.SysProcAttr = childAttr()
	cmd.WaitDelay = time.Second // a child of the shell may still hold the pipe
	output, err := cmd.CombinedOutput()
	text := strings.TrimRight(string(output), "\n")
	if text != "" {
		fmt.Println(text)
	}
	if err != nil {
		return text, fmt.Errorf("this command failed: %s: %w", command, err)
	}
	return text, nil
}

// refused is run for a command that must fail and say why.
func (s *story) refused(ctx context.Context, who person, command, why string) error {
	output, err := s.run(ctx, who, command)
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		return err
	}
	if err == nil {
		return fmt.Errorf("this command should have been refused: %s", command)
	}
	if !strings.Contains(output, why) {
		return fmt.Errorf("this command was refused, but without a word of %q: %s", why, command)
	}
	return nil
}
