package access

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/taken"
)

// Whoever cancels early gets more back, so a customer's agent tries to have
// cancelled, or changed the quantity, before he did. Two seconds stand for the
// days of a window.
func TestHonestTimes(t *testing.T) {
	const (
		policy  = "license-operator-honest-times"
		cleared = "cannot be cleared"
		back    = "cannot be set back"
		owner   = "so they keep an owner"
	)
	ns := customer(t)
	bind(t, ns, "license-operator-admin-agent", userSubject("timekeeper"))
	may(t, user("timekeeper"), ns, "update", ours, "softwaresubscriptions")
	agent := clientOf(t, user("timekeeper"))

	type fields = []metav1.ManagedFieldsEntry
	owns := func(m metav1.ManagedFieldsEntry) bool {
		return m.Subresource == "" && m.FieldsV1 != nil && strings.Contains(m.FieldsV1.GetRawString(), `"f:cancelled"`)
	}
	everything := metav1.NewFieldsV1(`{"f:spec":{"f:cancelled":{},"f:quantity":{},"f:term":{}}}`)
	entry := func(manager string, at time.Time) metav1.ManagedFieldsEntry {
		return metav1.ManagedFieldsEntry{
			Manager: manager, Operation: metav1.ManagedFieldsOperationUpdate, APIVersion: v1alpha1.GroupVersion.String(),
			Time: &metav1.Time{Time: at}, FieldsType: "FieldsV1", FieldsV1: everything,
		}
	}
	forge := func(change func(sub *v1alpha1.SoftwareSubscription) fields) func(*v1alpha1.SoftwareSubscription) error {
		return func(sub *v1alpha1.SoftwareSubscription) error {
			sub.ManagedFields = change(sub)
			sub.Labels = map[string]string{"changed": "too"} // else it may count as no change at all
			return agent.Update(t.Context(), sub, client.FieldOwner("forger"))
		}
	}
	apply := func(manager, spec string) func(*v1alpha1.SoftwareSubscription) error {
		return func(sub *v1alpha1.SoftwareSubscription) error {
			return agent.Patch(t.Context(), sub, client.RawPatch(types.ApplyPatchType, fmt.Appendf(nil,
				`{"apiVersion":"license-operator.io/v1alpha1","kind":"SoftwareSubscription","metadata":{"name":%q},"spec":{"productRef":{"name":"office-ltsc"},"term":"P1Y"%s}}`, sub.Name, spec)),
				client.FieldOwner(manager), client.ForceOwnership)
		}
	}
	merge := func(patch, manager string) func(*v1alpha1.SoftwareSubscription) error {
		return func(sub *v1alpha1.SoftwareSubscription) error {
			return agent.Patch(t.Context(), sub, client.RawPatch(types.MergePatchType, []byte(patch)), client.FieldOwner(manager))
		}
	}
	rows := map[string]struct {
		words string // of the refusal; empty: allowed
		do    func(*v1alpha1.SoftwareSubscription) error
	}{
		"clears all entries": {cleared, forge(func(*v1alpha1.SoftwareSubscription) fields { return fields{{}} })},
		"sets all entries back": {back, forge(func(sub *v1alpha1.SoftwareSubscription) fields {
			for i := range sub.ManagedFields {
				sub.ManagedFields[i].Time = &metav1.Time{Time: longAgo}
			}
			return sub.ManagedFields
		})},
		"adds an entry of the time of the purchase": {back, forge(func(sub *v1alpha1.SoftwareSubscription) fields {
			return append(sub.ManagedFields, entry("new", sub.CreationTimestamp.Time))
		})},
		"lets the buyer's entry own the cancellation": {back, forge(func(sub *v1alpha1.SoftwareSubscription) fields {
			return append(slices.DeleteFunc(sub.ManagedFields, func(m metav1.ManagedFieldsEntry) bool { return m.Manager == "buyer" }),
				entry("buyer", sub.CreationTimestamp.Time))
		})},
		"lets the buyer's entry own it a second later": {back, forge(func(sub *v1alpha1.SoftwareSubscription) fields {
			return append(slices.DeleteFunc(sub.ManagedFields, func(m metav1.ManagedFieldsEntry) bool { return m.Manager == "buyer" }),
				entry("buyer", sub.CreationTimestamp.Add(time.Second)))
		})},
		"drops the entry of the cancellation": {owner, forge(func(sub *v1alpha1.SoftwareSubscription) fields {
			return slices.DeleteFunc(sub.ManagedFields, owns)
		})},

		"labels it":                           {"", merge(`{"metadata":{"labels":{"a":"b"}}}`, "somebody")},
		"labels it as the one who cancelled":  {"", merge(`{"metadata":{"labels":{"a":"b"}}}`, "canceller")},
		"cancels it once more":                {"", merge(`{"spec":{"cancelled":true}}`, "somebody")},
		"applies the same":                    {"", apply("pipeline", `,"cancelled":true,"quantity":6`)},
		"applies another quantity":            {"", apply("pipeline", `,"cancelled":true,"quantity":7`)},
		"lets the quantity go to its default": {"", merge(`{"spec":{"quantity":null}}`, "somebody")},
		"applies the same, then leaves it to the others": {"", func(sub *v1alpha1.SoftwareSubscription) error {
			return errors.Join(apply("pipeline", `,"cancelled":true,"quantity":6`)(sub), apply("pipeline", "")(sub))
		}},
		"applies a quantity of 1, then leaves it to the default": {"", func(sub *v1alpha1.SoftwareSubscription) error {
			return errors.Join(apply("pipeline", `,"cancelled":true,"quantity":1`)(sub), apply("pipeline", "")(sub))
		}},
	}
	subs := map[string]*v1alpha1.SoftwareSubscription{}
	for name := range rows {
		id := strings.NewReplacer(" ", "-", ",", "", "'", "").Replace(name)
		subs[name] = subscription(t, ns, id, active(true, time.Now().Add(time.Hour)))
	}
	<-time.After(2 * time.Second)
	for name, tc := range rows {
		t.Run(name, func(t *testing.T) {
			sub := subs[name]
			sub.Spec.Cancelled, sub.Spec.Quantity = true, 6
			// In the request itself a forgery is of no use: the API server takes the field away from all others.
			for i := range sub.ManagedFields {
				if sub.ManagedFields[i].Manager == "buyer" {
					sub.ManagedFields[i].FieldsV1 = everything
				}
			}
			if err := agent.Update(t.Context(), sub, client.FieldOwner("canceller")); err != nil {
				t.Fatal(err)
			}
			at := taken.At(sub, time.Time{}, "spec", "cancelled")
			if late := at.Sub(sub.CreationTimestamp.Time); late < 2*time.Second {
				t.Fatalf("cancelled %v after the purchase, so the test shows nothing", late)
			}
			if tc.words == "" {
				checkRefused(t, tc.do(sub), "")
			} else {
				checkRefused(t, tc.do(sub), policy, tc.words)
			}
			if err := live.Get(t.Context(), client.ObjectKeyFromObject(sub), sub); err != nil {
				t.Fatal(err)
			}
			for _, field := range []string{"cancelled", "quantity"} {
				if now := taken.At(sub, time.Now(), "spec", field); now.Before(at) {
					t.Errorf("%s counts from %v instead of %v", field, now, at)
				}
			}
		})
	}
}

// Without managed fields nothing tells when something was asked for. They can
// be missing only from objects that are older than the policy.
func TestWithoutManagedFields(t *testing.T) {
	ns := customer(t)
	late := subscription(t, ns, "late", active(true, longAgo))
	early := subscription(t, ns, "early", active(true, time.Now().Add(time.Hour)))
	binding := &admissionregistrationv1.ValidatingAdmissionPolicyBinding{}
	if err := live.Get(t.Context(), client.ObjectKey{Name: "license-operator-honest-times"}, binding); err != nil {
		t.Fatal(err)
	}
	if err := live.Delete(t.Context(), binding.DeepCopy()); err != nil {
		t.Fatal(err)
	}
	for _, sub := range []*v1alpha1.SoftwareSubscription{late, early} {
		err := poll(t.Context(), func() error {
			sub.ManagedFields = []metav1.ManagedFieldsEntry{{}}
			return live.Update(t.Context(), sub)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	binding.ResourceVersion, binding.UID = "", ""
	create(t, binding)
	if err := policiesLoaded(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, sub := range []*v1alpha1.SoftwareSubscription{late, early} {
		cancel := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"cancelled":true}}`))
		checkRefused(t, live.Patch(t.Context(), sub.DeepCopy(), cancel), "license-operator-window", "use kubectl apply --server-side, which writes them")
	}
	cancel := func(name string) error {
		return live.Patch(t.Context(), &v1alpha1.SoftwareSubscription{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}}, client.RawPatch(types.ApplyPatchType, fmt.Appendf(nil,
			`{"apiVersion":"license-operator.io/v1alpha1","kind":"SoftwareSubscription","metadata":{"name":%q},"spec":{"productRef":{"name":"office-ltsc"},"term":"P1Y","cancelled":true}}`, name)),
			client.FieldOwner("kubectl"), client.ForceOwnership)
	}
	checkRefused(t, cancel("late"), "license-operator-window", "the cancellation window closed at")
	checkRefused(t, cancel("early"), "")
}

// Whoever may only buy does not keep others from cancelling, by an entry of the
// future that no request of theirs takes away.
func TestNobodyBeginsInTheFuture(t *testing.T) {
	ns := customer(t)
	bind(t, ns, "license-operator-sales-agent", userSubject("seller"))
	bind(t, ns, "license-operator-admin-agent", userSubject("agent"))
	may(t, user("seller"), ns, "create", ours, "softwaresubscriptions")
	may(t, user("agent"), ns, "update", ours, "softwaresubscriptions")
	buy := func(name string, at time.Time) (*v1alpha1.SoftwareSubscription, error) {
		sub := &v1alpha1.SoftwareSubscription{
			ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name, ManagedFields: []metav1.ManagedFieldsEntry{{
				Manager: "forger", Operation: metav1.ManagedFieldsOperationApply, APIVersion: v1alpha1.GroupVersion.String(), Subresource: "status",
				Time: &metav1.Time{Time: at}, FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(`{"f:status":{"f:state":{}}}`),
			}}},
			Spec: v1alpha1.SoftwareSubscriptionSpec{ProductRef: v1alpha1.Reference{Name: "office-ltsc"}, Term: "P1Y", Quantity: 5},
		}
		return sub, clientOf(t, user("seller")).Create(t.Context(), sub, client.FieldOwner("buyer"))
	}
	_, err := buy("of-the-future", time.Now().Add(time.Hour))
	checkRefused(t, err, "license-operator-honest-start", "cannot be in the future")

	sub, err := buy("exported-elsewhere", longAgo)
	if err != nil {
		t.Fatal(err)
	}
	sub.Status = active(true, time.Now().Add(time.Hour))
	if err := live.Status().Update(t.Context(), sub, client.FieldOwner("operator")); err != nil {
		t.Fatal(err)
	}
	cancel := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"cancelled":true}}`))
	if err := clientOf(t, user("agent")).Patch(t.Context(), sub, cancel, client.FieldOwner("canceller")); err != nil {
		t.Error(err)
	}
}
