package access

import (
	"fmt"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
)

type serviceStatus = v1alpha1.MarketplaceSubscriptionStatus

// The states of a publisher's service that policies tell apart.

func inState(state v1alpha1.MarketplaceState, open bool, until time.Time) serviceStatus {
	return serviceStatus{
		ID: "9f8c0c0e-0d2f-4a9e-8d6b-0b5f3a1c2d4e", State: state, PurchasedAt: &metav1.Time{Time: until.AddDate(0, 0, -3)},
		Cancellation: &v1alpha1.CancellationStatus{
			Until: &metav1.Time{Time: until}, Open: open, Message: "the cancellation window closed at " + stamp(until) + ": set spec.autoRenew to false to let the term end",
		},
	}
}

func subscribed(open bool, until time.Time) serviceStatus {
	return inState(v1alpha1.StateSubscribed, open, until)
}

// service makes a publisher's service in a given state, as the operator would
// leave it.
func service(t *testing.T, namespace, name string, st serviceStatus, change ...func(*v1alpha1.MarketplaceSubscription)) *v1alpha1.MarketplaceSubscription {
	t.Helper()
	sub := &v1alpha1.MarketplaceSubscription{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       v1alpha1.MarketplaceSubscriptionSpec{ProductRef: v1alpha1.Reference{Name: "coffee"}, PlanID: "silver", Quantity: 5, Term: v1alpha1.TermYear},
	}
	for _, f := range change {
		f(sub)
	}
	bought(t, sub, st)
	return sub
}

// serviceRequest is a way to change a service, as somebody.
type serviceRequest func(t *testing.T, as client.Client, sub *v1alpha1.MarketplaceSubscription) error

func mergeService(patch, manager string) serviceRequest {
	return func(t *testing.T, as client.Client, sub *v1alpha1.MarketplaceSubscription) error {
		t.Helper()
		return as.Patch(t.Context(), sub, client.RawPatch(types.MergePatchType, []byte(patch)), client.FieldOwner(manager))
	}
}

func applyService(spec, manager string) serviceRequest {
	return func(t *testing.T, as client.Client, sub *v1alpha1.MarketplaceSubscription) error {
		t.Helper()
		return as.Patch(t.Context(), sub, client.RawPatch(types.ApplyPatchType, fmt.Appendf(nil,
			`{"apiVersion":"license-operator.io/v1alpha1","kind":"MarketplaceSubscription","metadata":{"name":%q},"spec":{"productRef":{"name":"coffee"},"term":"P1Y"%s}}`, sub.Name, spec)),
			client.FieldOwner(manager), client.ForceOwnership)
	}
}

func updateService(manager string, change func(*v1alpha1.MarketplaceSubscription)) serviceRequest {
	return func(t *testing.T, as client.Client, sub *v1alpha1.MarketplaceSubscription) error {
		t.Helper()
		change(sub)
		return as.Update(t.Context(), sub, client.FieldOwner(manager))
	}
}

// What a sales agent bought he does not change, as a person and as a service
// account.
func TestSalesAgentOnlyBuys(t *testing.T) {
	ns := customer(t)
	_, account := serviceAccount(t, ns, "shop")
	bind(t, ns, "license-operator-sales-agent", userSubject("seller-of-services"), accountSubject(ns, "shop"))
	may(t, user("seller-of-services"), ns, "create", ours, "marketplacesubscriptions")
	for who, as := range map[string]client.Client{"person": clientOf(t, user("seller-of-services")), "account": clientOf(t, account)} {
		sub := service(t, ns, "of-"+who, subscribed(true, time.Now().Add(time.Hour)))
		own := &v1alpha1.MarketplaceSubscription{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "by-" + who}, Spec: sub.Spec, Status: sub.Status}
		if err := as.Create(t.Context(), own); err != nil {
			t.Errorf("%s does not buy: %v", who, err)
		}
		if own.Status.State != "" || own.Status.ObservedGeneration != -1 {
			t.Errorf("%s brought a status with it: %+v", who, own.Status)
		}
		for _, patch := range []string{
			`{"spec":{"quantity":9}}`, `{"spec":{"planID":"gold"}}`, `{"spec":{"cancelled":true}}`, `{"spec":{"suspended":true}}`, `{"spec":{"autoRenew":false}}`,
			`{"spec":{"billingCycle":"Annual"}}`, `{"spec":{"friendlyName":"tea"}}`, `{"spec":{"landingPage":{"renewal":1}}}`, `{"status":{"state":"Subscribed"}}`,
		} {
			for _, name := range []string{sub.Name, own.Name} { // his own purchase too
				target := &v1alpha1.MarketplaceSubscription{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}}
				for how, err := range map[string]error{
					"patch":  as.Patch(t.Context(), target.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(patch))),
					"apply":  as.Patch(t.Context(), target.DeepCopy(), client.RawPatch(types.ApplyPatchType, []byte(`{"apiVersion":"license-operator.io/v1alpha1","kind":"MarketplaceSubscription",`+patch[1:])), client.FieldOwner("shop")),
					"status": as.Status().Patch(t.Context(), target.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(patch))),
				} {
					if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "cannot patch resource") {
						t.Errorf("%s, %s of %s: %v", who, how, patch, err)
					}
				}
			}
		}
		if err := as.Update(t.Context(), own); !apierrors.IsForbidden(err) {
			t.Errorf("%s updates: %v", who, err)
		}
		if err := as.Delete(t.Context(), own); !apierrors.IsForbidden(err) {
			t.Errorf("%s deletes: %v", who, err)
		}
	}
}

// What status says of services and publishers is the operator's word.
func TestStatusOfServices(t *testing.T) {
	ns := customer(t)
	c := newCast(t, ns)
	_, downloads := serviceAccount(t, operatorNamespace, "license-operator-downloads")
	bind(t, ns, "license-operator-admin-agent", userSubject("forger-of-status"))
	bind(t, "", "license-operator-catalog-admin", userSubject("forger-of-status"))
	may(t, user("forger-of-status"), ns, "patch", ours, "marketplacesubscriptions")
	may(t, user("forger-of-status"), ns, "patch", ours, "publishers")
	publisher := existing("")["publishers"].(*v1alpha1.Publisher)
	publisher.Name = "publisher-of-" + ns
	create(t, publisher)
	sub := service(t, ns, "coffee", subscribed(false, longAgo))
	for what, tc := range map[string]struct {
		of    client.Object
		patch string
	}{
		"that the window is open":     {sub, `{"status":{"cancellation":{"open":true}}}`},
		"another deadline":            {sub, `{"status":{"cancellation":{"until":"2036-03-01T00:00:00Z"}}}`},
		"that it is not activated":    {sub, `{"status":{"state":"PendingFulfillmentStart"}}`},
		"another Secret, to be read":  {sub, `{"status":{"landingPage":{"secretName":"passwords","expiresAt":"2036-03-01T00:00:00Z"}}}`},
		"a condition":                 {sub, `{"status":{"conditions":[{"type":"Cancelled","status":"False","reason":"A","message":"","lastTransitionTime":"2036-03-01T00:00:00Z"}]}}`},
		"nothing":                     {sub, `{"status":null}`},
		"that a publisher is checked": {publisher, `{"status":{"observedGeneration":9}}`},
	} {
		t.Run(what, func(t *testing.T) {
			try := func(as client.Client) error {
				return as.Status().Patch(t.Context(), tc.of.DeepCopyObject().(client.Object), client.RawPatch(types.MergePatchType, []byte(tc.patch)), client.DryRunAll)
			}
			for who, as := range map[string]client.Client{"somebody whom RBAC lets": c.careless, "the fulfilment service with more": c.otherFulfillment} {
				t.Run(who, func(t *testing.T) {
					checkRefused(t, try(as), "license-operator-marketplace-status", "the status is written by the operator alone")
				})
			}
			for who, as := range map[string]client.Client{"the operator": c.otherOperator, "an administrator": c.administrator} {
				if err := try(as); err != nil {
					t.Errorf("%s: %v", who, err)
				}
			}
			for who, as := range map[string]client.Client{"the fulfilment service": c.fulfillment, "the downloads service": clientOf(t, downloads), "an agent": clientOf(t, user("forger-of-status"))} {
				if err := try(as); !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "cannot patch resource") {
					t.Errorf("%s: %v", who, err)
				}
			}
		})
	}
}

// A customer's agent cancels a service in time, and is refused late, also while
// the operator is down.
func TestWindowOfServices(t *testing.T) {
	ns := customer(t)
	bind(t, ns, "license-operator-admin-agent", userSubject("agent-of-services"))
	may(t, user("agent-of-services"), ns, "patch", ours, "marketplacesubscriptions")
	agent := clientOf(t, user("agent-of-services"))
	const tooLate = "denied request: the cancellation window closed at 2026-03-01T12:30:25Z: set spec.autoRenew to false to let the term end"
	cancel := func(s *v1alpha1.MarketplaceSubscription) { s.Spec.Cancelled = true }
	for name, tc := range map[string]struct {
		late string // what a late request is told; empty: late is fine
		do   serviceRequest
	}{
		"cancel by a patch":           {tooLate, mergeService(`{"spec":{"cancelled":true}}`, "agent")},
		"cancel by an update":         {tooLate, updateService("agent", cancel)},
		"cancel as the buyer did buy": {tooLate, updateService("buyer", cancel)},
		"cancel by an apply":          {tooLate, applyService(`,"cancelled":true`, "agent")},
		"cancel and change more":      {tooLate, mergeService(`{"spec":{"cancelled":true,"quantity":6,"friendlyName":"tea"}}`, "agent")},
		"change the quantity":         {"", mergeService(`{"spec":{"quantity":6}}`, "agent")},
		"leave the quantity out":      {"", mergeService(`{"spec":{"quantity":null}}`, "agent")},
		"change the plan":             {"", mergeService(`{"spec":{"planID":"gold"}}`, "agent")},
		"suspend it":                  {"", mergeService(`{"spec":{"suspended":true}}`, "agent")},
		"stop renewing":               {"", mergeService(`{"spec":{"autoRenew":false}}`, "agent")},
		"ask for a fresh link":        {"", mergeService(`{"spec":{"landingPage":{"renewal":1}}}`, "agent")},
		"label it":                    {"", mergeService(`{"metadata":{"labels":{"a":"b"}}}`, "agent")},
	} {
		t.Run(name, func(t *testing.T) {
			id := strings.ReplaceAll(name, " ", "-")
			for when, st := range map[string]serviceStatus{
				"in-time": subscribed(true, time.Now().Add(time.Hour)), "unbought": {},
				// The operator sees when it is back whether it was activated meanwhile.
				"pending": inState(v1alpha1.StatePendingFulfillmentStart, true, longAgo),
			} {
				if err := tc.do(t, agent, service(t, ns, id+"-"+when, st)); err != nil {
					t.Errorf("%s: %v", when, err)
				}
			}
			for _, state := range []v1alpha1.MarketplaceState{v1alpha1.StateSubscribed, v1alpha1.StateSuspended} {
				err := tc.do(t, agent, service(t, ns, id+"-late-"+strings.ToLower(string(state)), inState(state, true, longAgo)))
				if tc.late == "" {
					checkRefused(t, err, "")
				} else {
					checkRefused(t, err, "license-operator-window", tc.late)
				}
			}
			if tc.late == "" {
				return
			}
			// Once the operator has told, the CRD refuses by itself.
			if err := tc.do(t, agent, service(t, ns, id+"-told", subscribed(false, longAgo))); err == nil || !strings.Contains(err.Error(), "the cancellation window closed at 2026-03-01T12:30:25Z") {
				t.Errorf("late, and told so by status: %v", err)
			}
		})
	}
	t.Run("one that does not renew is told that it ends", func(t *testing.T) {
		sub := service(t, ns, "not-renewing", subscribed(true, longAgo), func(s *v1alpha1.MarketplaceSubscription) { s.Spec.AutoRenew = ptr.To(false) })
		checkRefused(t, mergeService(`{"spec":{"cancelled":true}}`, "agent")(t, agent, sub), "license-operator-window", "the term ends and does not renew")
	})
	t.Run("an administrator is late too", func(t *testing.T) {
		sub := service(t, ns, "by-admin", subscribed(true, longAgo))
		checkRefused(t, updateService("admin", cancel)(t, live, sub), "license-operator-window", tooLate)
	})
}

// A service that is paid for is not deleted by accident.
func TestKeepActiveServices(t *testing.T) {
	ns := customer(t)
	bind(t, ns, "license-operator-admin-agent", userSubject("agent"))
	may(t, user("agent"), ns, "delete", ours, "marketplacesubscriptions")
	const policy = "license-operator-keep-active"
	closed, soon := subscribed(false, longAgo), time.Now().Add(time.Hour)
	says := func(annotation string) func(*v1alpha1.MarketplaceSubscription) {
		return func(s *v1alpha1.MarketplaceSubscription) {
			s.Annotations = map[string]string{"license-operator.io/allow-delete": annotation}
		}
	}
	for name, tc := range map[string]struct {
		status serviceStatus
		change func(*v1alpha1.MarketplaceSubscription)
		policy string
		words  string
	}{
		"subscribed, the window is closed":   {status: closed, policy: policy, words: "its cancellation window closed at 2026-03-01T12:30:25Z"},
		"it says what it would do":           {status: closed, policy: policy, words: "so deleting it would end a service that is paid for: a day later the publisher is told that it has ended."},
		"it says how to let it end":          {status: closed, policy: policy, words: "Set spec.autoRenew to false to let the term end"},
		"it says how to delete it":           {status: closed, policy: policy, words: "first run: kubectl -n " + ns + " annotate marketplacesubscription it-says-how-to-delete-it license-operator.io/allow-delete=true"},
		"it does not renew":                  {status: closed, change: func(s *v1alpha1.MarketplaceSubscription) { s.Spec.AutoRenew = ptr.To(false) }, policy: policy, words: "The term ends and does not renew. To delete it all the same"},
		"suspended":                          {status: inState(v1alpha1.StateSuspended, false, longAgo), policy: policy},
		"no window is told":                  {status: serviceStatus{State: v1alpha1.StateSubscribed}, policy: policy, words: "its cancellation window closed, so"},
		"annotated":                          {status: closed, change: says("true")},
		"annotated with yes":                 {status: closed, change: says("yes"), policy: policy},
		"cancelled in spec, not yet settled": {status: closed, change: func(s *v1alpha1.MarketplaceSubscription) { s.Spec.Cancelled = true }, policy: policy},
		"the window is open":                 {status: subscribed(true, soon)},
		"suspended in the window":            {status: inState(v1alpha1.StateSuspended, true, soon)},
		"on trial": {status: func() serviceStatus {
			s := subscribed(true, soon)
			s.Trial = &v1alpha1.TermStatus{StartsAt: metav1.NewTime(longAgo), EndsAt: &metav1.Time{Time: soon}}
			return s
		}()},
		"nothing was bought":            {status: serviceStatus{}},
		"not activated":                 {status: inState(v1alpha1.StatePendingFulfillmentStart, true, soon)},
		"not activated, and long ago":   {status: inState(v1alpha1.StatePendingFulfillmentStart, false, longAgo)},
		"ended":                         {status: inState(v1alpha1.StateUnsubscribed, false, longAgo)},
		"ended, with a window that was": {status: serviceStatus{State: v1alpha1.StateUnsubscribed}},
	} {
		t.Run(name, func(t *testing.T) {
			id := strings.NewReplacer(" ", "-", ",", "").Replace(name)
			if tc.change == nil {
				tc.change = func(*v1alpha1.MarketplaceSubscription) {}
			}
			sub := service(t, ns, id, tc.status, tc.change)
			for _, c := range []client.Client{clientOf(t, user("agent")), live} { // an administrator errs too
				err := c.Delete(t.Context(), sub)
				if apierrors.IsNotFound(err) && tc.policy == "" {
					err = nil
				}
				checkRefused(t, err, tc.policy, tc.words)
			}
		})
	}
}
