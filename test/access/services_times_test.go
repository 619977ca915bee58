package access

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/taken"
)

// Of a service, the instants of its cancellation and of its suspension count.
// Nobody moves them, whichever way he writes managed fields. Two seconds stand
// for the days of a window.
func TestHonestTimesOfServices(t *testing.T) {
	const (
		policy  = "license-operator-honest-times"
		cleared = "cannot be cleared"
		back    = "cannot be set back"
		owner   = "managedFields tell who asked for spec.cancelled and spec.suspended and when, so they keep an owner"
	)
	ns := customer(t)
	bind(t, ns, "license-operator-admin-agent", userSubject("timekeeper-of-services"))
	may(t, user("timekeeper-of-services"), ns, "update", ours, "marketplacesubscriptions")
	agent := clientOf(t, user("timekeeper-of-services"))

	type fields = []metav1.ManagedFieldsEntry
	everything := metav1.NewFieldsV1(`{"f:spec":{"f:cancelled":{},"f:suspended":{},"f:term":{}}}`)
	entry := func(manager string, at time.Time) metav1.ManagedFieldsEntry {
		return metav1.ManagedFieldsEntry{
			Manager: manager, Operation: metav1.ManagedFieldsOperationUpdate, APIVersion: v1alpha1.GroupVersion.String(),
			Time: &metav1.Time{Time: at}, FieldsType: "FieldsV1", FieldsV1: everything,
		}
	}
	by := func(manager string) func(metav1.ManagedFieldsEntry) bool {
		return func(m metav1.ManagedFieldsEntry) bool { return m.Subresource == "" && m.Manager == manager }
	}
	forge := func(change func(sub *v1alpha1.MarketplaceSubscription) fields) serviceRequest {
		return updateService("forger", func(sub *v1alpha1.MarketplaceSubscription) {
			sub.ManagedFields = change(sub)
			sub.Labels = map[string]string{"changed": "too"} // else it may count as no change at all
		})
	}
	rows := map[string]struct {
		words string // of the refusal; empty: allowed
		do    serviceRequest
		freed bool // it is suspended no longer
	}{
		"clears all entries": {words: cleared, do: forge(func(*v1alpha1.MarketplaceSubscription) fields { return fields{{}} })},
		"sets all entries back": {words: back, do: forge(func(sub *v1alpha1.MarketplaceSubscription) fields {
			for i := range sub.ManagedFields {
				sub.ManagedFields[i].Time = &metav1.Time{Time: longAgo}
			}
			return sub.ManagedFields
		})},
		"adds an entry of the time of the purchase": {words: back, do: forge(func(sub *v1alpha1.MarketplaceSubscription) fields {
			return append(sub.ManagedFields, entry("new", sub.CreationTimestamp.Time))
		})},
		"lets the buyer's entry own them": {words: back, do: forge(func(sub *v1alpha1.MarketplaceSubscription) fields {
			return append(slices.DeleteFunc(sub.ManagedFields, by("buyer")), entry("buyer", sub.CreationTimestamp.Time))
		})},
		"drops the entry of the cancellation": {words: owner, do: forge(func(sub *v1alpha1.MarketplaceSubscription) fields {
			return slices.DeleteFunc(sub.ManagedFields, by("canceller"))
		})},
		"drops the entry of the suspension": {words: owner, do: forge(func(sub *v1alpha1.MarketplaceSubscription) fields {
			return slices.DeleteFunc(sub.ManagedFields, by("suspender"))
		})},

		"labels it":                          {do: mergeService(`{"metadata":{"labels":{"a":"b"}}}`, "somebody")},
		"labels it as the one who cancelled": {do: mergeService(`{"metadata":{"labels":{"a":"b"}}}`, "canceller")},
		"changes plan and quantity":          {do: mergeService(`{"spec":{"planID":"gold","quantity":9}}`, "somebody")},
		"leaves plan and quantity out":       {do: mergeService(`{"spec":{"planID":null,"quantity":null}}`, "somebody")},
		"cancels and suspends it once more":  {do: mergeService(`{"spec":{"cancelled":true,"suspended":true}}`, "somebody")},
		"reinstates it":                      {do: mergeService(`{"spec":{"suspended":false}}`, "somebody"), freed: true},
		"leaves the suspension out":          {do: mergeService(`{"spec":{"suspended":null}}`, "somebody"), freed: true},
		"applies the same, then leaves it to the others": {do: func(t *testing.T, as client.Client, sub *v1alpha1.MarketplaceSubscription) error {
			return errors.Join(applyService(`,"cancelled":true,"suspended":true`, "pipeline")(t, as, sub), applyService("", "pipeline")(t, as, sub))
		}},
	}
	subs := map[string]*v1alpha1.MarketplaceSubscription{}
	for name := range rows {
		id := strings.NewReplacer(" ", "-", ",", "", "'", "").Replace(name)
		subs[name] = service(t, ns, id, subscribed(true, time.Now().Add(time.Hour)))
	}
	<-time.After(2 * time.Second)
	for name, tc := range rows {
		t.Run(name, func(t *testing.T) {
			sub := subs[name]
			for manager, patch := range map[string]string{"canceller": `{"spec":{"cancelled":true}}`, "suspender": `{"spec":{"suspended":true}}`} {
				if err := mergeService(patch, manager)(t, agent, sub); err != nil {
					t.Fatal(err)
				}
			}
			at := map[string]time.Time{}
			for _, field := range []string{"cancelled", "suspended"} {
				at[field] = taken.At(sub, time.Time{}, "spec", field)
				if late := at[field].Sub(sub.CreationTimestamp.Time); late < 2*time.Second {
					t.Fatalf("%s %v after the purchase, so the test shows nothing", field, late)
				}
			}
			if tc.words == "" {
				checkRefused(t, tc.do(t, agent, sub), "")
			} else {
				checkRefused(t, tc.do(t, agent, sub), policy, tc.words)
			}
			if err := live.Get(t.Context(), client.ObjectKeyFromObject(sub), sub); err != nil {
				t.Fatal(err)
			}
			if sub.Spec.Suspended == tc.freed || !sub.Spec.Cancelled {
				t.Errorf("spec %+v", sub.Spec)
			}
			for field, at := range at {
				if now := taken.At(sub, time.Now(), "spec", field); now.Before(at) {
					t.Errorf("%s counts from %v instead of %v", field, now, at)
				}
			}
		})
	}
	t.Run("nobody begins in the future", func(t *testing.T) {
		ahead := entry("forger", time.Now().Add(time.Hour))
		ahead.Subresource, ahead.FieldsV1 = "status", metav1.NewFieldsV1(`{"f:status":{"f:state":{}}}`)
		sub := existing(ns)["marketplacesubscriptions"]
		sub.SetManagedFields(fields{ahead})
		checkRefused(t, agent.Create(t.Context(), sub, client.DryRunAll), "license-operator-honest-start", "cannot be in the future")
	})
}
