package e2e

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/test/controlplane"
)

// An empty control plane gets what kubectl exported from another one, without
// status and with new UIDs, as docs/operations.md describes it. All that was
// agreed holds there too, and no key more is issued.
func TestRestore(t *testing.T) {
	one, several := newShop(t, 4), newShop(t, 6, perLicense)
	before := startOperator(t, kubeconfig)
	one.issuerReady()
	several.issuerReady()
	one.buy("kept")
	one.buy("cancelled")
	several.buy("more", func(sub *v1alpha1.SoftwareSubscription) { sub.Spec.Quantity = 2 })
	one.settled("kept", v1alpha1.StateActive)
	one.settled("cancelled", v1alpha1.StateActive)
	more := several.settled("more", v1alpha1.StateActive)
	more.Spec.Quantity = 3
	if err := live.Update(t.Context(), more); err != nil {
		t.Fatal(err)
	}
	if err := one.cancel("cancelled"); err != nil {
		t.Fatal(err)
	}
	subs := map[string]*v1alpha1.SoftwareSubscription{
		"kept": one.settled("kept", v1alpha1.StateActive), "cancelled": one.settled("cancelled", v1alpha1.StateCancelled),
		"more": several.settled("more", v1alpha1.StateActive),
	}
	secrets := map[string]map[string][]byte{"kept": one.secret("kept-key"), "cancelled": one.secret("cancelled-key"), "more": several.secret("more-key")}
	if code := before.stop(); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	if len(secrets["more"]) != 3 || subs["more"].Status.Quantity != 3 {
		t.Fatalf("the sale to restore is not what it should be: %+v", subs["more"].Status)
	}

	after := emptyCluster(t)
	names := []string{one.name, several.name}
	stock := exported(t, names, "-n", operatorNamespace, "get", "secrets")
	licensing := exported(t, names, "get", "products,keyissuers,softwaresubscriptions,licensekeys", "-A")
	for _, ns := range []string{one.customer, several.customer} {
		after.create(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}})
	}
	for _, o := range append(stock, licensing...) {
		after.create(t, o)
	}
	startOperator(t, after.kubeconfig)
	for name, was := range subs {
		var sub v1alpha1.SoftwareSubscription
		eventually(t, "waiting for "+name, func() error {
			if err := after.live.Get(t.Context(), client.ObjectKeyFromObject(was), &sub); err != nil {
				return err
			}
			if sub.Status.State != was.Status.State {
				return fmt.Errorf("it is %s: %s", sub.Status.State, sub.Status.Message)
			}
			return nil
		})
		got, want := sub.Status, was.Status
		if sub.UID == was.UID || !got.PurchasedAt.Equal(want.PurchasedAt) || got.Quantity != want.Quantity ||
			!got.Cancellation.Until.Equal(want.Cancellation.Until) || !got.Term.EndsAt.Equal(want.Term.EndsAt) || *got.Cancellation.Credit != *want.Cancellation.Credit {
			t.Errorf("%s was\n%+v\nand is\n%+v", name, want, got)
		}
		var secret corev1.Secret
		err := after.live.Get(t.Context(), client.ObjectKey{Namespace: sub.Namespace, Name: name + "-key"}, &secret)
		if client.IgnoreNotFound(err) != nil {
			t.Fatal(err)
		}
		for entry, value := range secrets[name] {
			if strings.HasPrefix(entry, "key") && string(secret.Data[entry]) != string(value) {
				t.Errorf("%s: %s is another one", name, entry)
			}
		}
		if len(secret.Data) != len(secrets[name]) {
			t.Errorf("%s: %d entries in the Secret, want %d", name, len(secret.Data), len(secrets[name]))
		}
	}
	var entries v1alpha1.LicenseKeyList
	if err := after.live.List(t.Context(), &entries); err != nil {
		t.Fatal(err)
	}
	if want := len(one.entries()) + len(several.entries()); len(entries.Items) != want || want != 5 {
		t.Errorf("%d entries in the ledger, want %d", len(entries.Items), want)
	}
}

// empty is a control plane with our manifests and nothing else.
type empty struct {
	live       client.Client
	kubeconfig string
}

func emptyCluster(t *testing.T) *empty {
	t.Helper()
	other, err := controlplane.Start(t.Context(), controlplane.Options{Dir: filepath.Join(t.TempDir(), "cluster"), ControllerManager: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = other.Stop() })
	for _, args := range [][]string{
		{"apply", "--server-side", "-k", "../../config/default"},
		{"wait", "--for=condition=Established", "crd", "--all"},
	} {
		if _, err := other.Run(t.Context(), args...); err != nil {
			t.Fatal(err)
		}
	}
	e := &empty{}
	if e.kubeconfig, err = other.ServiceAccountKubeconfig(t.Context(), operatorNamespace, "license-operator-controllers"); err != nil {
		t.Fatal(err)
	}
	if e.live, err = client.New(other.Config, client.Options{Scheme: live.Scheme()}); err != nil {
		t.Fatal(err)
	}
	return e
}

func (e *empty) create(t *testing.T, o client.Object) {
	t.Helper()
	if err := e.live.Create(t.Context(), o); err != nil {
		t.Fatal(err)
	}
}

// exported runs kubectl and returns the objects of some shops, without what an
// API server adds.
func exported(t *testing.T, shops []string, args ...string) []client.Object {
	t.Helper()
	out, err := cluster.Run(t.Context(), append(args, "-o", "json")...)
	if err != nil {
		t.Fatal(err)
	}
	var list struct{ Items []map[string]any }
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		t.Fatal(err)
	}
	var all []client.Object
	for _, item := range list.Items {
		o := &unstructured.Unstructured{Object: item}
		text, _ := json.Marshal(item)
		if !slices.ContainsFunc(shops, func(s string) bool { return strings.Contains(string(text), `"`+s+`"`) }) {
			continue
		}
		for _, field := range []string{"uid", "resourceVersion", "creationTimestamp", "generation", "managedFields", "ownerReferences"} {
			unstructured.RemoveNestedField(o.Object, "metadata", field)
		}
		unstructured.RemoveNestedField(o.Object, "status")
		all = append(all, o)
	}
	if len(all) == 0 {
		t.Fatalf("kubectl %v exported nothing", args)
	}
	return all
}
