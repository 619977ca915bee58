package access

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
)

type status = v1alpha1.SoftwareSubscriptionStatus

// The states of a subscription that policies tell apart.

func pending() status { return status{} }

func active(open bool, until time.Time) status {
	return status{
		PurchasedAt: &metav1.Time{Time: until.AddDate(0, 0, -7)},
		Cancellation: &v1alpha1.CancellationStatus{
			Until: &metav1.Time{Time: until}, Open: open, Message: "the cancellation window closed at " + stamp(until) + ": set spec.autoRenew to false to let the term end at " + stamp(until.AddDate(1, 0, -7)),
		},
		Conditions: []metav1.Condition{keysIssued(metav1.ConditionTrue, v1alpha1.ReasonKeysDelivered)},
	}
}

// undelivered is one whose key is in the ledger, but not in its Secret.
func undelivered() status {
	s := active(false, longAgo)
	s.Conditions = []metav1.Condition{keysIssued(metav1.ConditionFalse, v1alpha1.ReasonNotYet)}
	return s
}

func ended(reason string) status {
	s := active(false, longAgo)
	s.Conditions = []metav1.Condition{keysIssued(metav1.ConditionFalse, reason)}
	return s
}

func keysIssued(is metav1.ConditionStatus, reason string) metav1.Condition {
	return metav1.Condition{Type: v1alpha1.ConditionKeysIssued, Status: is, Reason: reason, LastTransitionTime: metav1.Now()}
}

var longAgo = time.Date(2026, 3, 1, 12, 30, 25, 0, time.UTC)

func stamp(at time.Time) string { return at.UTC().Format(time.RFC3339) }

// subscription makes one in a given state, as the operator would leave it.
func subscription(t *testing.T, namespace, name string, st status, change ...func(*v1alpha1.SoftwareSubscription)) *v1alpha1.SoftwareSubscription {
	t.Helper()
	sub := &v1alpha1.SoftwareSubscription{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       v1alpha1.SoftwareSubscriptionSpec{ProductRef: v1alpha1.Reference{Name: "office-ltsc"}, Quantity: 5, Term: v1alpha1.TermYear},
	}
	for _, f := range change {
		f(sub)
	}
	bought(t, sub, st)
	return sub
}

// bought makes a subscription and gives it a status.
func bought(t *testing.T, sub client.Object, st any) {
	t.Helper()
	if err := live.Create(t.Context(), sub, client.FieldOwner("buyer")); err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(map[string]any{"status": st})
	if err != nil {
		t.Fatal(err)
	}
	if err := live.Status().Patch(t.Context(), sub, client.RawPatch(types.MergePatchType, raw), client.FieldOwner("license-operator")); err != nil {
		t.Fatal(err)
	}
}

func annotated(value string) func(*v1alpha1.SoftwareSubscription) {
	return func(s *v1alpha1.SoftwareSubscription) {
		s.Annotations = map[string]string{"license-operator.io/allow-delete": value}
	}
}

func perpetual(s *v1alpha1.SoftwareSubscription)   { s.Spec.Term = v1alpha1.TermPerpetual }
func notRenewing(s *v1alpha1.SoftwareSubscription) { s.Spec.AutoRenew = ptr.To(false) }

// A partner's admin agent cancels and changes the quantity in time, and is
// refused late, in every way in which a request can be made, also while the
// operator is down: status still says that the window is open.
func TestWindow(t *testing.T) {
	ns := customer(t)
	bind(t, ns, "license-operator-admin-agent", userSubject("agent"))
	may(t, user("agent"), ns, "patch", ours, "softwaresubscriptions")
	agent := clientOf(t, user("agent"))

	type request func(sub *v1alpha1.SoftwareSubscription) error
	merge := func(patch string) request {
		return func(sub *v1alpha1.SoftwareSubscription) error {
			return agent.Patch(t.Context(), sub, client.RawPatch(types.MergePatchType, []byte(patch)))
		}
	}
	update := func(change func(*v1alpha1.SoftwareSubscription), o ...client.UpdateOption) request {
		return func(sub *v1alpha1.SoftwareSubscription) error {
			change(sub)
			return agent.Update(t.Context(), sub, o...)
		}
	}
	apply := func(spec string) request {
		return func(sub *v1alpha1.SoftwareSubscription) error {
			return agent.Patch(t.Context(), sub, client.RawPatch(types.ApplyPatchType, fmt.Appendf(nil,
				`{"apiVersion":"license-operator.io/v1alpha1","kind":"SoftwareSubscription","metadata":{"name":%q},"spec":{"productRef":{"name":"office-ltsc"},"term":"P1Y"%s}}`, sub.Name, spec)),
				client.FieldOwner("agent"), client.ForceOwnership)
		}
	}
	const (
		noCancel   = "denied request: the cancellation window closed at 2026-03-01T12:30:25Z: set spec.autoRenew to false to let the term end"
		noQuantity = "denied request: quantity can change only while the cancellation window is open: buy another subscription for more; the cancellation window closed at 2026-03-01T12:30:25Z"
	)
	for name, tc := range map[string]struct {
		late string // what a late request is told; empty: late is fine
		do   request
	}{
		"cancel by a patch":           {noCancel, merge(`{"spec":{"cancelled":true}}`)},
		"cancel by an update":         {noCancel, update(func(s *v1alpha1.SoftwareSubscription) { s.Spec.Cancelled = true })},
		"cancel as the buyer did buy": {noCancel, update(func(s *v1alpha1.SoftwareSubscription) { s.Spec.Cancelled = true }, client.FieldOwner("buyer"))},
		"cancel by an apply":          {noCancel, apply(`,"cancelled":true`)},
		"change the quantity too":     {noCancel, merge(`{"spec":{"cancelled":true,"quantity":6}}`)},
		"raise the quantity":          {noQuantity, merge(`{"spec":{"quantity":6}}`)},
		"lower the quantity":          {noQuantity, update(func(s *v1alpha1.SoftwareSubscription) { s.Spec.Quantity = 4 })},
		"quantity by an apply":        {noQuantity, apply(`,"quantity":6`)},
		"drop the quantity":           {noQuantity, merge(`{"spec":{"quantity":null}}`)}, // the default is 1
		"stop renewing":               {"", merge(`{"spec":{"autoRenew":false}}`)},
		"label it":                    {"", merge(`{"metadata":{"labels":{"a":"b"}}}`)},
		"apply what it is already":    {"", apply(`,"quantity":5`)},
	} {
		t.Run(name, func(t *testing.T) {
			id := strings.ReplaceAll(name, " ", "-")
			if err := tc.do(subscription(t, ns, id+"-in-time", active(true, time.Now().Add(time.Hour)))); err != nil {
				t.Errorf("in time: %v", err)
			}
			if err := tc.do(subscription(t, ns, id+"-unbought", pending())); err != nil {
				t.Errorf("before anything was bought: %v", err)
			}
			err := tc.do(subscription(t, ns, id+"-late", active(true, longAgo)))
			if tc.late == "" {
				checkRefused(t, err, "")
				return
			}
			checkRefused(t, err, "license-operator-window", tc.late)
			// Once the operator has told, the CRD refuses by itself.
			if err := tc.do(subscription(t, ns, id+"-told", active(false, longAgo))); err == nil || !strings.Contains(err.Error(), "the cancellation window closed at 2026-03-01T12:30:25Z") {
				t.Errorf("late, and told so by status: %v", err)
			}
		})
	}
	t.Run("one that does not renew is told that it ends", func(t *testing.T) {
		sub := subscription(t, ns, "not-renewing", active(true, longAgo), notRenewing)
		checkRefused(t, merge(`{"spec":{"cancelled":true}}`)(sub), "license-operator-window", "the term ends and does not renew")
	})
	t.Run("a perpetual licence is told what it is", func(t *testing.T) {
		sub := subscription(t, ns, "for-ever", active(true, longAgo), perpetual)
		checkRefused(t, merge(`{"spec":{"cancelled":true}}`)(sub), "license-operator-window", "a perpetual licence cannot be cancelled any more")
	})
	t.Run("an administrator is late too", func(t *testing.T) {
		sub := subscription(t, ns, "by-admin", active(true, longAgo))
		sub.Spec.Cancelled = true
		checkRefused(t, live.Update(t.Context(), sub), "license-operator-window", noCancel)
	})
}

// What is paid for is not deleted by accident.
func TestKeepActive(t *testing.T) {
	ns := customer(t)
	bind(t, ns, "license-operator-admin-agent", userSubject("agent"))
	may(t, user("agent"), ns, "delete", ours, "softwaresubscriptions")
	open := active(true, time.Now().Add(time.Hour))
	closed := active(false, longAgo)
	noStatus := func(s status) status { s.PurchasedAt, s.Cancellation = nil, nil; return s }
	const policy = "license-operator-keep-active"
	for name, tc := range map[string]struct {
		status status
		change func(*v1alpha1.SoftwareSubscription)
		policy string
		words  string
	}{
		"active, the window is closed":            {status: closed, policy: policy, words: "its cancellation window closed at 2026-03-01T12:30:25Z"},
		"it says how to let it end":               {status: closed, policy: policy, words: "Set spec.autoRenew to false to let the term end"},
		"it says how to delete it":                {status: closed, policy: policy, words: "first run: kubectl -n " + ns + " annotate softwaresubscription it-says-how-to-delete-it license-operator.io/allow-delete=true"},
		"it does not renew":                       {status: closed, change: notRenewing, policy: policy, words: "The term ends and does not renew. To delete it all the same"},
		"a perpetual licence":                     {status: closed, change: perpetual, policy: policy, words: "A perpetual licence can stay as it is. To delete"},
		"a perpetual licence that is annotated":   {status: closed, change: func(s *v1alpha1.SoftwareSubscription) { perpetual(s); annotated("true")(s) }},
		"its Secret was deleted just before":      {status: undelivered(), policy: policy},
		"it has keys, and no window is told":      {status: noStatus(closed), policy: policy, words: "its cancellation window closed, so"},
		"annotated":                               {status: closed, change: annotated("true")},
		"annotated with True":                     {status: closed, change: annotated("True"), policy: policy},
		"annotated with yes":                      {status: closed, change: annotated("yes"), policy: policy},
		"annotated with nothing":                  {status: closed, change: annotated(""), policy: policy},
		"another annotation":                      {status: closed, change: func(s *v1alpha1.SoftwareSubscription) { s.Annotations = map[string]string{"a": "true"} }, policy: policy},
		"cancelled in spec, and not yet settled":  {status: closed, change: func(s *v1alpha1.SoftwareSubscription) { s.Spec.Cancelled = true }, policy: policy},
		"the window is open":                      {status: open},
		"the window is open for status only":      {status: active(true, longAgo)}, // the operator is down
		"nothing was bought":                      {status: pending()},
		"it waits for a key":                      {status: status{Conditions: []metav1.Condition{keysIssued(metav1.ConditionFalse, v1alpha1.ReasonNotYet)}}},
		"cancelled":                               {status: ended(v1alpha1.ReasonRevoked)},
		"expired":                                 {status: ended(v1alpha1.ReasonRetired)},
		"cancelled before anything was delivered": {status: ended(v1alpha1.ReasonNothingIssued)},
	} {
		t.Run(name, func(t *testing.T) {
			id := strings.NewReplacer(" ", "-", ",", "").Replace(strings.ToLower(name))
			if tc.change == nil {
				tc.change = func(*v1alpha1.SoftwareSubscription) {}
			}
			sub := subscription(t, ns, id, tc.status, tc.change)
			for _, c := range []client.Client{clientOf(t, user("agent")), live} { // an administrator errs too
				err := c.Delete(t.Context(), sub)
				if apierrors.IsNotFound(err) && tc.policy == "" {
					err = nil
				}
				checkRefused(t, err, tc.policy, tc.words)
			}
		})
	}
	t.Run("a collection", func(t *testing.T) {
		set := client.MatchingLabels{"set": "collection"}
		in := func(s *v1alpha1.SoftwareSubscription) { s.Labels = set }
		subscription(t, ns, "collected-active", closed, in)
		subscription(t, ns, "collected-pending", pending(), in)
		err := live.DeleteAllOf(t.Context(), &v1alpha1.SoftwareSubscription{}, client.InNamespace(ns), set)
		checkRefused(t, err, policy, "collected-active")
		if err := live.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: "collected-active"}, &v1alpha1.SoftwareSubscription{}); err != nil {
			t.Error(err)
		}
	})
}

// A pipeline that no longer finds a subscription in its repository prunes it.
func TestPruneKeepsActive(t *testing.T) {
	t.Run("software", func(t *testing.T) { pruneKeepsActive(t, &v1alpha1.SoftwareSubscription{}, active(false, longAgo)) })
	t.Run("service", func(t *testing.T) {
		pruneKeepsActive(t, &v1alpha1.MarketplaceSubscription{}, subscribed(false, longAgo))
	})
}

func pruneKeepsActive(t *testing.T, paid client.Object, st any) {
	gvk, err := live.GroupVersionKindFor(paid)
	if err != nil {
		t.Fatal(err)
	}
	kind, ns := gvk.Kind, customer(t)
	kubeconfig, config := serviceAccount(t, ns, "pipeline")
	bind(t, ns, "license-operator-admin-agent", accountSubject(ns, "pipeline"))
	may(t, config, ns, "delete", ours, strings.ToLower(kind)+"s")
	manifests := t.TempDir()
	writeManifest := func(name string) {
		t.Helper()
		text := fmt.Sprintf("apiVersion: license-operator.io/v1alpha1\nkind: %s\nmetadata: {name: %s, labels: {set: shop}}\nspec: {productRef: {name: existing}, term: P1Y}\n", kind, name)
		if err := os.WriteFile(filepath.Join(manifests, name+".yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	sync := func() (string, error) {
		return cluster.RunAs(t.Context(), kubeconfig, "apply", "-n", ns, "-f", manifests, "--prune", "-l", "set=shop",
			"--prune-allowlist=license-operator.io/v1alpha1/"+kind)
	}
	for _, name := range []string{"stays", "paid", "unpaid"} {
		writeManifest(name)
	}
	if out, err := sync(); err != nil {
		t.Fatal(out, err)
	}
	raw, err := json.Marshal(map[string]any{"status": st})
	if err != nil {
		t.Fatal(err)
	}
	paid.SetNamespace(ns)
	paid.SetName("paid")
	if err := live.Status().Patch(t.Context(), paid, client.RawPatch(types.MergePatchType, raw)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Remove(filepath.Join(manifests, "paid.yaml")), os.Remove(filepath.Join(manifests, "unpaid.yaml"))); err != nil {
		t.Fatal(err)
	}
	out, err := sync()
	if err == nil || !strings.Contains(err.Error(), strings.ToLower(kind)+`s.license-operator.io "paid" is forbidden: ValidatingAdmissionPolicy 'license-operator-keep-active'`) {
		t.Errorf("pruning printed %s, %v", out, err)
	}
	// What the message says to run is what works, for the same account.
	_, command, _ := strings.Cut(err.Error(), "first run: kubectl ")
	args := strings.Fields(strings.SplitN(command, "\n", 2)[0])
	if out, err := cluster.RunAs(t.Context(), kubeconfig, args...); err != nil {
		t.Fatal(out, err)
	}
	if out, err := sync(); err != nil {
		t.Errorf("pruning what is annotated: %s, %v", out, err)
	}
	for name, there := range map[string]bool{"stays": true, "paid": false, "unpaid": false} {
		err := live.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: name}, paid)
		if there && err != nil || !there && !apierrors.IsNotFound(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The namespace controller of Kubernetes empties a namespace in spite of the
// policy, or it would be stuck.
func TestNamespaceIsDeleted(t *testing.T) {
	ns := customer(t)
	sub := subscription(t, ns, "office", active(false, longAgo))
	subscription(t, ns, "for-ever", active(false, longAgo), perpetual)
	coffee := service(t, ns, "coffee", subscribed(false, longAgo))
	for _, o := range []client.Object{sub, coffee} {
		checkRefused(t, live.Delete(t.Context(), o), "license-operator-keep-active")
	}
	furnish(t, ns) // mails and seats, which only the operator deletes otherwise
	power := buys(ns, "erin", "power-bi")
	bought(t, power, inSelfService(v1alpha1.SelfServiceActive))
	checkRefused(t, live.Delete(t.Context(), power), keeps)
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}}
	if err := live.Delete(t.Context(), namespace); err != nil {
		t.Fatal(err)
	}
	err := poll(t.Context(), func() error {
		err := live.Get(t.Context(), client.ObjectKeyFromObject(namespace), namespace)
		if apierrors.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("%w: %+v", err, namespace.Status.Conditions)
	})
	if err != nil {
		t.Errorf("the namespace is not gone: %v", err)
	}
}

// Whoever may write a subscription can name an owner for it and let the garbage
// collector do what he may not. Neither does it take entries of the ledger.
func TestGarbageCollectorIsRefused(t *testing.T) {
	ns := customer(t)
	owner := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "owner"}}
	create(t, owner)
	by := []metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: owner.Name, UID: owner.UID}}
	owned := func(s *v1alpha1.SoftwareSubscription) { s.OwnerReferences = by }
	ownedService := func(s *v1alpha1.MarketplaceSubscription) { s.OwnerReferences = by }
	paid, paidService := subscription(t, ns, "paid", active(false, longAgo), owned), service(t, ns, "subscribed", subscribed(false, longAgo), ownedService)
	runs := buys(ns, "erin", "power-bi", func(p *purchase) { p.OwnerReferences = by })
	bought(t, runs, inSelfService(v1alpha1.SelfServiceActive))
	unpaid := []client.Object{subscription(t, ns, "unpaid", pending(), owned), service(t, ns, "unbought", serviceStatus{}, ownedService)}
	entries := []client.Object{ledgerEntry("e"), entitlement("owned-by-what-is-gone")}
	for _, entry := range entries {
		entry.SetOwnerReferences([]metav1.OwnerReference{{APIVersion: v1alpha1.GroupVersion.String(), Kind: "Product", Name: "gone", UID: "gone"}})
		create(t, entry)
	}
	if err := live.Delete(t.Context(), owner); err != nil {
		t.Fatal(err)
	}
	// It has tried once its log tells of the refusals.
	refused := func(name, policy string) error {
		log, err := os.ReadFile(filepath.Join(cluster.Dir, "kube-controller-manager.log"))
		for line := range strings.Lines(string(log)) {
			if strings.Contains(line, policy) && strings.Contains(line, name) {
				return nil
			}
		}
		return errors.Join(err, fmt.Errorf("its log tells of no refusal by %s", policy))
	}
	err := poll(t.Context(), func() error {
		for _, o := range unpaid {
			if err := live.Get(t.Context(), client.ObjectKeyFromObject(o), o); !apierrors.IsNotFound(err) {
				return fmt.Errorf("the garbage collector has not been here: %w", err)
			}
		}
		return errors.Join(refused("paid", "license-operator-keep-active"), refused("subscribed", "license-operator-keep-active"), refused(runs.Name, purchaser),
			refused(entries[0].GetName(), "license-operator-ledger"), refused(entries[1].GetName(), "license-operator-ledger"))
	})
	if err != nil {
		t.Error(err)
	}
	for _, o := range append(entries, paid, paidService, runs) {
		if err := live.Get(t.Context(), client.ObjectKeyFromObject(o), o); err != nil {
			t.Errorf("%s: %v", o.GetName(), err)
		}
	}
}
