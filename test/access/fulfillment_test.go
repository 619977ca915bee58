package access

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/entitlements"
	"github.com/license-operator/license-operator/internal/terms"
)

type entitlementSpec = v1alpha1.EntitlementSpec

// entitlement is a purchase of long ago, in the ledger of services.
func entitlement(subscription string, change ...func(*entitlementSpec)) *v1alpha1.Entitlement {
	e := &v1alpha1.Entitlement{
		TypeMeta: metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "Entitlement"},
		ObjectMeta: metav1.ObjectMeta{Name: entitlements.Name("contoso", subscription, 1), Labels: map[string]string{
			v1alpha1.LabelPublisher: "fourth-coffee", v1alpha1.LabelCustomer: "contoso",
		}},
		Spec: entitlementSpec{
			ID: uuid.NewString(), Customer: "contoso", Subscription: v1alpha1.SubscriptionIdentity{Name: subscription, UID: "1"},
			ProductRef: v1alpha1.Reference{Name: "coffee-analytics"}, PublisherRef: v1alpha1.Reference{Name: "fourth-coffee"}, OfferID: "coffee-analytics",
			Purchase: v1alpha1.ServicePurchase{
				At: metav1.NewTime(longAgo), Term: v1alpha1.TermYear, ServiceLevel: seats(5),
				Cancellation: v1alpha1.CancellationPolicy{Window: "P3D", Refund: v1alpha1.RefundFull},
			},
			Subscriber: v1alpha1.Subscriber{FriendlyName: "coffee", AutoRenew: true, Purchaser: &v1alpha1.Person{Email: "ada@partner.example"}},
		},
	}
	for _, f := range change {
		f(&e.Spec)
	}
	return e
}

func seats(n int64) v1alpha1.ServiceLevel {
	return v1alpha1.ServiceLevel{PlanID: "silver", Quantity: n, UnitPrice: v1alpha1.Money{Amount: "48.00", Currency: "EUR"}, BillingCycle: v1alpha1.BillingMonthly}
}

// after is a while after the purchase.
func after(d time.Duration) *metav1.Time { return ptr.To(metav1.NewTime(longAgo.Add(d))) }

const day = 24 * time.Hour

// What has happened to a service.

func activated(s *entitlementSpec) { s.ActivatedAt = after(time.Hour) }
func suspended(s *entitlementSpec) { s.SuspendedAt = after(10 * day) }
func orphaned(s *entitlementSpec)  { s.OrphanedAt = after(10 * day) }

func monthly(s *entitlementSpec) { s.Purchase.Term = v1alpha1.TermMonth }

// changed has its quantity changed so many times, a second apart.
func changed(times int) func(*entitlementSpec) {
	return func(s *entitlementSpec) {
		for i := range times {
			s.Changes = append(s.Changes, v1alpha1.ServiceChange{At: *after(day + time.Duration(i)*time.Second), ServiceLevel: seats(int64(6 + i%2))})
		}
	}
}

// asked has the publisher asked for something, or told of it.
func asked(action v1alpha1.OperationAction, quantity int64) func(*entitlementSpec) {
	return func(s *entitlementSpec) {
		s.Operations = append(s.Operations, v1alpha1.Operation{
			ID: uuid.NewString(), Action: action, Level: seats(quantity), Status: v1alpha1.OperationInProgress,
			RequestedAt: *after(11 * day), QueuedAt: *after(11 * day), DeliveredAt: after(11 * day),
		})
	}
}

// The fulfilment service puts on record all that publishers do and what time
// has done meanwhile, by the rules.
func TestFulfillmentServiceKeepsRecord(t *testing.T) {
	_, config := serviceAccount(t, operatorNamespace, "license-operator-fulfillment")
	own := clientOf(t, config)
	record := entitlements.Record{Client: own, Live: own}
	type facts = terms.Entitlement
	nothing := func(*facts, time.Time) {}
	is := func(all ...func(*entitlementSpec)) []func(*entitlementSpec) { return all }
	for name, tc := range map[string]struct {
		is   []func(*entitlementSpec)
		at   time.Duration // after the purchase
		do   func(*facts, time.Time)
		want string
	}{
		"activates":                       {nil, day, func(f *facts, now time.Time) { f.Activate(now) }, "Subscribed 5 []"},
		"accepts a change":                {is(activated, asked("ChangeQuantity", 9)), 11*day + time.Second, func(f *facts, now time.Time) { f.Answer(true, "", now) }, "Subscribed 9 [ChangeQuantity Succeeded]"},
		"refuses a change":                {is(activated, asked("ChangeQuantity", 9)), 11*day + time.Second, func(f *facts, now time.Time) { f.Answer(false, "no", now) }, "Subscribed 5 [ChangeQuantity Failed]"},
		"has the quantity changed":        {is(activated, changed(2)), 11 * day, func(f *facts, now time.Time) { f.Request(terms.ChangeQuantity, f.Bought, now) }, "Subscribed 7 [ChangeQuantity InProgress]"},
		"ends a service":                  {is(activated), 11 * day, func(f *facts, now time.Time) { f.End(terms.EndPublisherEnded, now, now) }, "Unsubscribed PublisherEnded 5 [Unsubscribe Succeeded]"},
		"ends a suspended one":            {is(activated, suspended), 11 * day, func(f *facts, now time.Time) { f.End(terms.EndPublisherEnded, now, now) }, "Unsubscribed PublisherEnded 5 [Unsubscribe Succeeded]"},
		"accepts a reinstatement":         {is(activated, suspended, asked("Reinstate", 5)), 11*day + time.Second, func(f *facts, now time.Time) { f.Answer(true, "", now) }, "Subscribed 5 [Reinstate Succeeded]"},
		"refuses a reinstatement":         {is(activated, suspended, asked("Reinstate", 5)), 11*day + time.Second, func(f *facts, now time.Time) { f.Answer(false, "no", now) }, "Suspended 5 [Reinstate Failed]"},
		"it was reinstated by silence":    {is(activated, suspended, asked("Reinstate", 5)), 11*day + time.Minute, nothing, "Subscribed 5 [Reinstate Succeeded]"},
		"a change was accepted meanwhile": {is(activated, changed(1), asked("ChangeQuantity", 9)), 11*day + time.Minute, nothing, "Subscribed 9 [ChangeQuantity Succeeded]"},
		"it was renewed meanwhile":        {is(activated, monthly, changed(1)), 70 * day, nothing, "Subscribed 6 [Renew Succeeded Renew Succeeded]"},
		"with another billing cycle":      {is(activated, func(s *entitlementSpec) { s.Subscriber.BillingCycle = v1alpha1.BillingAnnual }), 366 * day, nothing, "Subscribed 5 [Renew Succeeded]"},
		"it has expired":                  {is(activated, monthly, func(s *entitlementSpec) { s.Subscriber.AutoRenew = false }), 70 * day, nothing, "Unsubscribed Expired 5 [Unsubscribe Succeeded]"},
		"it was not activated":            {nil, 31 * day, nothing, "Unsubscribed NotActivated 5 [Unsubscribe Succeeded]"},
		"it stayed suspended":             {is(activated, suspended), 50 * day, nothing, "Unsubscribed NotPaid 5 [Unsubscribe Succeeded]"},
		"its subscription was deleted":    {is(activated, orphaned), 12 * day, nothing, "Unsubscribed Deleted 5 [Unsubscribe Succeeded]"},
		// The policy compares all of them, and CEL has a budget.
		"after as many changes as there can be": {is(activated, changed(499), asked("ChangeQuantity", 9)), 11*day + time.Second, func(f *facts, now time.Time) { f.Answer(true, "", now) }, "Subscribed 9 [ChangeQuantity Succeeded]"},
	} {
		t.Run(name, func(t *testing.T) {
			e := entitlement(fmt.Sprintf("coffee-%d", serial.Add(1)), tc.is...)
			create(t, e)
			now := longAgo.Add(tc.at)
			_, f, err := record.Change(t.Context(), e.Name, now, func(_ *v1alpha1.Entitlement, f *facts) error { f.Follow(now); tc.do(f, now); return nil })
			if err != nil {
				t.Fatal(err)
			}
			var ops []string
			for _, op := range f.Operations {
				ops = append(ops, string(op.Action)+" "+string(op.Progress))
			}
			got := strings.Join(strings.Fields(fmt.Sprint(f.State(), " ", f.Reason, " ", f.Level().Quantity, " ", ops)), " ")
			if got != tc.want {
				t.Errorf("on record: %s, want %s", got, tc.want)
			}
		})
	}
}

// It changes nothing else in the ledger. Another account with more of RBAC is
// held to that too, and one without the verb writes nothing at all.
func TestFulfillmentServiceForgesNoRecord(t *testing.T) {
	const (
		policy     = "license-operator-fulfillment"
		noMetadata = "the fulfilment service changes no metadata"
		nothing    = "changes what a publisher decides and nothing else: not spec."
		reinstated = "goes on when its publisher has accepted a Reinstate"
		ends       = "a service ends because its publisher ends it, or by the passing of time"
	)
	c := newCast(t, customer(t))
	type entry = *v1alpha1.Entitlement
	is := func(all ...func(*entitlementSpec)) []func(*entitlementSpec) { return all }
	endedFor := func(reason v1alpha1.EndReason) func(entry) {
		return func(e entry) { e.Spec.EndedAt, e.Spec.EndReason = after(12*day), reason }
	}
	for name, tc := range map[string]struct {
		is     []func(*entitlementSpec)
		forge  func(entry)
		words  string // of the policy
		schema string // of the CRD, which refuses it to everybody
	}{
		"the labels it is listed by":    {forge: func(e entry) { e.Labels[v1alpha1.LabelPublisher] = "evil" }, words: noMetadata},
		"no labels":                     {forge: func(e entry) { e.Labels = nil }, words: noMetadata},
		"annotations":                   {forge: func(e entry) { e.Annotations = map[string]string{"a": "b"} }, words: noMetadata},
		"finalizers":                    {forge: func(e entry) { e.Finalizers = []string{"example.com/wait"} }, words: noMetadata},
		"an owner":                      {forge: func(e entry) { e.OwnerReferences = []metav1.OwnerReference{ownedBy("v1", "ConfigMap")} }, words: noMetadata},
		"the customer":                  {forge: func(e entry) { e.Spec.Customer = "fabrikam" }, schema: "one customer for ever"},
		"the subscription":              {forge: func(e entry) { e.Spec.Subscription.UID = "2" }, schema: "one buyer for ever"},
		"the id":                        {forge: func(e entry) { e.Spec.ID = uuid.NewString() }, schema: "id is immutable"},
		"the product":                   {forge: func(e entry) { e.Spec.ProductRef.Name = "tea" }, schema: "productRef is immutable"},
		"the publisher":                 {forge: func(e entry) { e.Spec.PublisherRef.Name = "evil" }, schema: "publisherRef is immutable"},
		"the offer":                     {forge: func(e entry) { e.Spec.OfferID = "tea" }, schema: "offerID is immutable"},
		"the price":                     {forge: func(e entry) { e.Spec.Purchase.UnitPrice.Amount = "1.00" }, schema: "purchase is immutable"},
		"the instant of the purchase":   {forge: func(e entry) { e.Spec.Purchase.At = *after(time.Hour) }, schema: "purchase is immutable"},
		"whether it renews":             {forge: func(e entry) { e.Spec.Subscriber.AutoRenew = false }, words: nothing + "subscriber"},
		"who bought it":                 {forge: func(e entry) { e.Spec.Subscriber.Purchaser.Email = "eve@evil.example" }, words: nothing + "subscriber"},
		"no subscriber":                 {forge: func(e entry) { e.Spec.Subscriber = v1alpha1.Subscriber{} }, words: nothing + "subscriber"},
		"that its subscription is gone": {is: is(activated), forge: func(e entry) { orphaned(&e.Spec) }, words: nothing + "orphanedAt"},
		"since when it is gone":         {is: is(activated, orphaned), forge: func(e entry) { e.Spec.OrphanedAt = after(day) }, words: nothing + "orphanedAt"},
		"that it is there again":        {is: is(activated, orphaned), forge: func(e entry) { e.Spec.OrphanedAt = nil }, words: nothing + "orphanedAt"},
		"an activation, again":          {is: is(activated), forge: func(e entry) { e.Spec.ActivatedAt = after(day) }, schema: "activated once"},
		"a renewal, back":               {is: is(activated, func(s *entitlementSpec) { s.RenewedUntil = after(365 * day) }), forge: func(e entry) { e.Spec.RenewedUntil = after(day) }, schema: "renewedUntil only moves forward"},

		"what the customer had":   {is: is(activated, changed(3)), forge: func(e entry) { e.Spec.Changes[1].UnitPrice.Amount = "1.00" }, schema: "a change is written once"},
		"what the customer has":   {is: is(activated, changed(3)), forge: func(e entry) { e.Spec.Changes[2].Quantity = 100 }, schema: "a change is written once"},
		"when it came into force": {is: is(activated, changed(3)), forge: func(e entry) { e.Spec.Changes[2].At = *after(2 * day) }, schema: "changes are only added to"},
		"a change before another": {is: is(activated, changed(3)), forge: func(e entry) {
			e.Spec.Changes = append(e.Spec.Changes, v1alpha1.ServiceChange{At: *after(time.Hour), ServiceLevel: seats(1)})
		}, schema: "changes are in the order of their instants"},
		"another one in place of a change":    {is: is(activated, changed(1)), forge: func(e entry) { e.Spec.Changes[0] = v1alpha1.ServiceChange{At: *after(3 * day), ServiceLevel: seats(1)} }, schema: "changes are only added to"},
		"that it is suspended":                {is: is(activated), forge: func(e entry) { suspended(&e.Spec) }, words: reinstated},
		"since when it is suspended":          {is: is(activated, suspended), forge: func(e entry) { e.Spec.SuspendedAt = after(day) }, words: reinstated},
		"that it is not suspended any more":   {is: is(activated, suspended), forge: func(e entry) { e.Spec.SuspendedAt = nil }, words: reinstated},
		"so, and the publisher refused":       {is: is(activated, suspended, asked("Reinstate", 5)), forge: func(e entry) { e.Spec.SuspendedAt, e.Spec.Operations[0].Status = nil, "Failed" }, words: reinstated},
		"so, and nobody has answered":         {is: is(activated, suspended, asked("Reinstate", 5)), forge: func(e entry) { e.Spec.SuspendedAt = nil }, words: reinstated},
		"so, and something else was accepted": {is: is(activated, suspended, asked("ChangeQuantity", 5)), forge: func(e entry) { e.Spec.SuspendedAt, e.Spec.Operations[0].Status = nil, "Succeeded" }, words: reinstated},
		"so, and the customer did not ask": {is: is(activated, suspended), forge: func(e entry) {
			e.Spec.SuspendedAt = nil
			asked("Reinstate", 5)(&e.Spec)
			e.Spec.Operations[0].Status = "Succeeded"
		}, words: reinstated},
		"a reinstatement of long ago": {is: is(activated, suspended, asked("Reinstate", 5), func(s *entitlementSpec) { s.Operations[0].Status = "Succeeded" }), forge: func(e entry) { e.Spec.SuspendedAt = nil }, words: reinstated},

		"that the customer cancelled":           {is: is(activated), forge: endedFor("Cancelled"), words: ends},
		"that it is deleted, while it is not":   {is: is(activated), forge: endedFor("Deleted"), words: ends},
		"that it is not paid, while it is":      {is: is(activated), forge: endedFor("NotPaid"), words: ends},
		"that it expired before it began":       {forge: endedFor("Expired"), words: ends},
		"that it is not activated, while it is": {is: is(activated), forge: endedFor("NotActivated"), words: ends},
		"why it ended":                          {is: is(activated, func(s *entitlementSpec) { s.EndedAt, s.EndReason = after(day), "Expired" }), forge: func(e entry) { e.Spec.EndReason = "PublisherEnded" }, schema: "an entitlement ends once"},
	} {
		t.Run(name, func(t *testing.T) {
			before := entitlement(fmt.Sprintf("coffee-%d", serial.Add(1)), tc.is...)
			create(t, before)
			forged := before.DeepCopy()
			tc.forge(forged)
			for who, as := range map[string]struct {
				client.Client
				policy, words string
			}{
				"the fulfilment service":    {c.fulfillment, policy, tc.words},
				"another account with more": {c.otherFulfillment, policy, tc.words},
				"one without the verb":      {c.careless, "license-operator-ledger", "the ledger is written by the operator alone"},
				"the operator":              {c.otherOperator, "", ""},
				"an administrator":          {c.administrator, "", ""},
			} {
				t.Run(who, func(t *testing.T) {
					err := as.Patch(t.Context(), forged.DeepCopy(), client.MergeFrom(before), client.DryRunAll)
					if tc.schema == "" {
						checkRefused(t, err, as.policy, as.words)
					} else if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), tc.schema) {
						t.Errorf("not refused by the schema: %v", err)
					}
				})
			}
		})
	}
}

// In a customer's subscription it changes the plan and the quantity.
func TestFulfillmentServiceAndSubscriptions(t *testing.T) {
	const (
		policy     = "license-operator-fulfillment"
		noMetadata = "the fulfilment service changes no metadata"
		nothing    = "changes what a publisher decides and nothing else: not spec."
	)
	ns := customer(t)
	c := newCast(t, ns)
	whole := func(sub *v1alpha1.MarketplaceSubscription) {
		s := &sub.Spec
		s.PlanID, s.Quantity, s.FriendlyName, s.ResellerPartnerID, s.BillingCycle, s.AutoRenew = "silver", 5, "coffee", "4847383", v1alpha1.BillingMonthly, ptr.To(true)
		s.Beneficiary, s.Purchaser, s.LandingPage = &v1alpha1.Person{Email: "carol@contoso.example"}, &v1alpha1.Person{Email: "ada@partner.example"}, &v1alpha1.LandingPageChoice{Renewal: 1}
	}
	for patch, words := range map[string]string{
		`{"spec":{"planID":"gold"}}`:                                               "",
		`{"spec":{"quantity":9}}`:                                                  "",
		`{"spec":{"planID":"gold","quantity":9}}`:                                  "",
		`{"spec":{"cancelled":true}}`:                                              nothing + "cancelled",
		`{"spec":{"suspended":true}}`:                                              nothing + "suspended",
		`{"spec":{"autoRenew":false}}`:                                             nothing + "autoRenew",
		`{"spec":{"billingCycle":"Annual"}}`:                                       nothing + "billingCycle",
		`{"spec":{"friendlyName":"tea"}}`:                                          nothing + "friendlyName",
		`{"spec":{"resellerPartnerID":"1"}}`:                                       nothing + "resellerPartnerID",
		`{"spec":{"beneficiary":{"email":"e@e.eu"}}}`:                              nothing + "beneficiary",
		`{"spec":{"purchaser":{"email":"e@e.eu"}}}`:                                nothing + "purchaser",
		`{"spec":{"landingPage":{"renewal":2}}}`:                                   nothing + "landingPage",
		`{"spec":{"quantity":9,"cancelled":true}}`:                                 nothing + "cancelled",
		`{"metadata":{"labels":{"a":"b"}}}`:                                        noMetadata,
		`{"metadata":{"annotations":{"license-operator.io/allow-delete":"true"}}}`: noMetadata,
		`{"metadata":{"finalizers":["example.com/wait"]}}`:                         noMetadata,
		`{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"ConfigMap","name":"a","uid":"1"}]}}`: noMetadata,
		`{"metadata":{"annotations":{"a":"b"}},"spec":{"quantity":9}}`:                                   noMetadata,
	} {
		t.Run(patch, func(t *testing.T) {
			sub := service(t, ns, fmt.Sprintf("coffee-%d", serial.Add(1)), subscribed(true, time.Now().Add(time.Hour)), whole)
			apply := fmt.Appendf(nil, `{"apiVersion":"license-operator.io/v1alpha1","kind":"MarketplaceSubscription",%s`, patch[1:])
			for who, as := range map[string]client.Client{"the service": c.fulfillment, "another account with more": c.otherFulfillment} {
				for how, do := range map[string]func() error{
					"applies": func() error {
						return as.Patch(t.Context(), sub.DeepCopy(), client.RawPatch(types.ApplyPatchType, apply), client.FieldOwner("publisher-fourth-coffee"), client.ForceOwnership, client.DryRunAll)
					},
					"patches": func() error {
						return as.Patch(t.Context(), sub.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(patch)), client.DryRunAll)
					},
				} {
					t.Run(who+" "+how, func(t *testing.T) {
						if words == "" {
							checkRefused(t, do(), "")
						} else {
							checkRefused(t, do(), policy, words)
						}
					})
				}
			}
			for who, as := range map[string]client.Client{"the operator": c.otherOperator, "an administrator": c.administrator, "an agent": c.careless} {
				if err := as.Patch(t.Context(), sub.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(patch)), client.DryRunAll); err != nil {
					t.Errorf("%s: %v", who, err)
				}
			}
		})
	}
	t.Run("it gives a field up that it owned", func(t *testing.T) {
		sub := service(t, ns, "given-up", subscribed(false, longAgo))
		for _, spec := range []string{`{"planID":"gold","quantity":9}`, `{"planID":"gold"}`} {
			apply := fmt.Appendf(nil, `{"apiVersion":"license-operator.io/v1alpha1","kind":"MarketplaceSubscription","spec":%s}`, spec)
			checkRefused(t, c.fulfillment.Patch(t.Context(), sub, client.RawPatch(types.ApplyPatchType, apply), client.FieldOwner("publisher-fourth-coffee"), client.ForceOwnership), "")
		}
		if sub.Spec.PlanID != "gold" || sub.Spec.Quantity != 0 {
			t.Errorf("spec %+v", sub.Spec)
		}
	})
}
