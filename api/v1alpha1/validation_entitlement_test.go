package v1alpha1_test

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

const (
	uuid = "0b1c2d3e-4f50-4162-8374-95a6b7c8d9e0"

	agreed = `planID: silver, quantity: 5, unitPrice: {amount: "4.00", currency: EUR}, billingCycle: Annual`
	// entitlementBase is the smallest useful Entitlement.
	entitlementBase = `
metadata: {name: contoso.coffee.1}
spec:
  id: ` + uuid + `
  customer: contoso
  subscription: {name: coffee, uid: 5f0c}
  productRef: {name: coffee}
  publisherRef: {name: fourth-coffee}
  offerID: coffee-analytics
  purchase: {at: "2026-03-01T00:00:00Z", term: P1Y, cancellation: {window: P3D, refund: Full}, ` + agreed + `}`
)

const (
	isNamed   = "an entitlement is named <customer>.<subscription>.<number>"
	together  = "endedAt and endReason are set together"
	endsOnce  = "an entitlement ends once"
	addedTo   = "changes are only added to"
	inOrder   = "changes are in the order of their instants"
	once      = "a change is written once"
	forward   = "renewedUntil only moves forward"
	ended     = `spec: {endedAt: "2026-04-01T00:00:00Z", endReason: Cancelled}`
	activated = `spec: {activatedAt: "2026-03-02T00:00:00Z"}`
)

var entitlementRows = map[string]row{
	"a service is on record":                       {ent, "", "{}", "", ""},
	"an entitlement is named otherwise":            {ent, "", "metadata: {name: coffee}", "", isNamed},
	"an entitlement of a namesake elsewhere":       {ent, "", "metadata: {name: fabrikam.coffee.1}", "", isNamed},
	"an entitlement of another subscription":       {ent, "", "metadata: {name: contoso.tea.1}", "", isNamed},
	"an entitlement of a subscription with dots":   {ent, "", "{metadata: {name: contoso.cof.fee.12}, spec: {subscription: {name: cof.fee}}}", "", ""},
	"the longest name of an entitlement":           {ent, "", "{metadata: {name: " + text(63) + "." + text(150) + ".1}, spec: {customer: " + text(63) + ", subscription: {name: " + text(150) + "}}}", "", ""},
	"an entitlement is restored with all its past": {ent, "", `spec: {activatedAt: "2026-03-02T00:00:00Z", renewedUntil: "2027-03-02T00:00:00Z", endedAt: "2027-05-01T00:00:00Z", endReason: NotPaid, suspendedAt: "2027-04-01T00:00:00Z", orphanedAt: "2027-04-02T00:00:00Z", changes: ` + changes(3) + ", operations: [" + recorded("id: "+uuid) + "]}", "", ""},
	"an entitlement needs a purchase":              {ent, "", "spec: {purchase: null}", "spec.purchase", "Required value"},
	"an entitlement gets another id":               {ent, "{}", "spec: {id: 1" + uuid[1:] + "}", "spec.id", "id is immutable"},
	"an entitlement goes to another customer":      {ent, "{}", "spec: {customer: fabrikam}", "spec.customer", "an entitlement has one customer for ever"},
	"an entitlement goes to another subscription":  {ent, "{}", "spec: {subscription: {name: tea}}", "spec.subscription", "an entitlement has one buyer for ever"},
	"an entitlement goes to a namesake":            {ent, "{}", "spec: {subscription: {uid: 6f0c}}", "spec.subscription", "an entitlement has one buyer for ever"},
	"an entitlement to another product":            {ent, "{}", "spec: {productRef: {name: tea}}", "spec.productRef", "productRef is immutable"},
	"an entitlement to another publisher's":        {ent, "{}", "spec: {publisherRef: {name: contoso}}", "spec.publisherRef", "publisherRef is immutable"},
	"an entitlement to another offer":              {ent, "{}", "spec: {offerID: tea}", "spec.offerID", "offerID is immutable"},
	"a price that was agreed on is changed":        {ent, "{}", `spec: {purchase: {unitPrice: {amount: "1"}}}`, "spec.purchase", "purchase is immutable: it is what the customer agreed to"},
	"a trial that was agreed on is left out":       {ent, "spec: {purchase: {trial: P30D}}", "spec: {purchase: {trial: null}}", "spec.purchase", "purchase is immutable: it is what the customer agreed to"},
	"what the customer says of himself changes":    {ent, "spec: {subscriber: {friendlyName: A, autoRenew: true}}", "spec: {subscriber: {friendlyName: B, autoRenew: null, beneficiary: {email: a@b}}}", "", ""},

	"a service is activated":                         {ent, "{}", activated, "", ""},
	"a service is activated again":                   {ent, activated, `spec: {activatedAt: "2026-03-03T00:00:00Z"}`, "spec.activatedAt", "an entitlement is activated once"},
	"an activation is taken away":                    {ent, activated, "spec: {activatedAt: null}", "spec.activatedAt", "an entitlement is activated once"},
	"an activation is written another way":           {ent, activated, `spec: {activatedAt: "2026-03-02T01:00:00+01:00"}`, "", ""},
	"a service is suspended":                         {ent, activated, `spec: {suspendedAt: "2026-03-03T00:00:00Z"}`, "", ""},
	"a service is reinstated":                        {ent, `spec: {suspendedAt: "2026-03-03T00:00:00Z"}`, "spec: {suspendedAt: null}", "", ""},
	"a subscription is gone and comes back":          {ent, `spec: {orphanedAt: "2026-03-03T00:00:00Z"}`, "spec: {orphanedAt: null}", "", ""},
	"a renewal of a service":                         {ent, "{}", `spec: {renewedUntil: "2027-03-01T00:00:00Z"}`, "", ""},
	"another renewal of a service":                   {ent, `spec: {renewedUntil: "2027-03-01T00:00:00Z"}`, `spec: {renewedUntil: "2028-03-01T00:00:00Z"}`, "", ""},
	"a renewal of a service is set back":             {ent, `spec: {renewedUntil: "2027-03-01T00:00:00Z"}`, `spec: {renewedUntil: "2026-03-01T00:00:00Z"}`, "spec.renewedUntil", forward},
	"a renewal of a service is taken away":           {ent, `spec: {renewedUntil: "2027-03-01T00:00:00Z"}`, "spec: {renewedUntil: null}", "spec.renewedUntil", forward},
	"a service ends":                                 {ent, "{}", ended, "", ""},
	"a service ends for no reason":                   {ent, "{}", `spec: {endedAt: "2026-04-01T00:00:00Z"}`, "spec", together},
	"a reason to end, and no end":                    {ent, "{}", "spec: {endReason: Expired}", "spec", together},
	"an end that is no instant":                      {ent, "{}", "spec: {endedAt: Monday, endReason: Expired}", "spec.endedAt", "must be of type date-time"},
	"a service ends at another time":                 {ent, ended, `spec: {endedAt: "2026-04-02T00:00:00Z"}`, "spec.endedAt", endsOnce},
	"a service ends for another reason":              {ent, ended, "spec: {endReason: Expired}", "spec.endedAt", endsOnce},
	"a service that ended begins again":              {ent, ended, "spec: {endedAt: null, endReason: null}", "spec.endedAt", endsOnce},
	"the end of a service is told to the publisher":  {ent, ended, "spec: {operations: [" + recorded("id: "+uuid) + "]}", "", ""},
	"an operation is on record once":                 {ent, "{}", "spec: {operations: [" + recorded("id: "+uuid) + ", " + recorded("id: "+uuid) + "]}", "spec.operations[]", "Duplicate value"},
	"an operation that is over is dropped":           {ent, "spec: {operations: [" + recorded("status: Succeeded") + "]}", "spec: {operations: null}", "", ""},
	"an operation is answered":                       {ent, "spec: {operations: [" + recorded("status: InProgress") + "]}", "spec: {operations: [" + recorded("status: Failed") + "]}", "", ""},
	"an operation without an instant":                {ent, "{}", "spec: {operations: [" + strings.Replace(recorded("id: "+uuid), "requestedAt", "completedAt", 1) + "]}", "spec.operations[].requestedAt", "Required value"},
	"a change of a service":                          {ent, "{}", "spec: {changes: " + changes(1) + "}", "", ""},
	"one more change of a service":                   {ent, "spec: {changes: " + changes(1) + "}", "spec: {changes: " + changes(2) + "}", "", ""},
	"the last change that there is room for":         {ent, "spec: {changes: " + changes(499) + "}", "spec: {changes: " + changes(500) + "}", "", ""},
	"a service with all its changes is written":      {ent, "spec: {changes: " + changes(500) + "}", activated, "", ""},
	"a change of a service is taken away":            {ent, "spec: {changes: " + changes(2) + "}", "spec: {changes: " + changes(1) + "}", "spec.changes", addedTo},
	"all changes of a service are taken away":        {ent, "spec: {changes: " + changes(2) + "}", "spec: {changes: []}", "spec.changes", addedTo},
	"the changes of a service are left out":          {ent, "spec: {changes: " + changes(2) + "}", "spec: {changes: null}", "spec.changes", addedTo},
	"a change of a service makes room for a later":   {ent, "spec: {changes: [" + changeAt(0, "") + ", " + changeAt(1, "") + "]}", "spec: {changes: [" + changeAt(0, "") + ", " + changeAt(2, "") + "]}", "spec.changes", addedTo},
	"the first change of a service makes room":       {ent, "spec: {changes: [" + changeAt(0, "") + ", " + changeAt(1, "") + "]}", "spec: {changes: [" + changeAt(1, "") + ", " + changeAt(2, "") + "]}", "spec.changes", addedTo},
	"a change of a service is changed":               {ent, "spec: {changes: [" + changeAt(0, "") + "]}", "spec: {changes: [" + changeAt(0, "planID: gold") + "]}", "spec.changes[]", once},
	"a change of a service is changed later on":      {ent, "spec: {changes: [" + changeAt(0, "") + "]}", "spec: {changes: [" + changeAt(0, "planID: gold") + ", " + changeAt(1, "") + "]}", "spec.changes[]", once},
	"a change of a service is inserted":              {ent, "spec: {changes: [" + changeAt(0, "") + ", " + changeAt(2, "") + "]}", "spec: {changes: [" + changeAt(0, "") + ", " + changeAt(1, "") + ", " + changeAt(2, "") + "]}", "spec.changes", addedTo},
	"changes of a service are out of order":          {ent, "", "spec: {changes: [" + changeAt(1, "") + ", " + changeAt(0, "") + "]}", "spec.changes", inOrder},
	"a change of a service that came into force ago": {ent, "spec: {changes: [" + changeAt(1, "") + "]}", "spec: {changes: [" + changeAt(0, "") + ", " + changeAt(1, "") + "]}", "spec.changes", addedTo},
	"two changes of a service at once":               {ent, "{}", "spec: {changes: [" + changeAt(0, "") + ", " + changeAt(0, "planID: gold") + "]}", "spec.changes[]", "Duplicate value"},
	"a change of a service without an instant":       {ent, "{}", "spec: {changes: [{" + agreed + "}]}", "spec.changes[].at", "Required value"},
}

var entitlementFields = slices.Concat([]bounded{
	{ent, "spec.id", "", values{[]string{uuid}, map[string]string{
		uuid[1:]:                           "should be at least 36 chars long",
		uuid + "0":                         "Too long: may not be more than 36 bytes",
		strings.ToUpper(uuid):              "should match '^[0-9a-f]{8}-",
		strings.ReplaceAll(uuid, "-", "0"): "should match '^[0-9a-f]{8}-",
	}}},
	{ent, "spec.customer", "{metadata: {name: '$.coffee.1'}, spec: {customer: $}}", values{[]string{"a", text(63)}, map[string]string{
		`""`: "should be at least 1 chars long", text(64): "Too long: may not be more than 63 bytes",
	}}},
	{ent, "spec.subscription.name", "{metadata: {name: 'contoso.$.1'}, spec: {subscription: {name: $}}}", values{[]string{"a", text(253)}, map[string]string{
		`""`: "should be at least 1 chars long", text(254): "Too long: may not be more than 253 bytes",
	}}},
	{ent, "spec.subscription.uid", "", length(1, 64)},
	{ent, "spec.productRef.name", "", names},
	{ent, "spec.publisherRef.name", "", names},
	{ent, "spec.offerID", "", length(1, 50)},
	{ent, "spec.purchase.term", "", termNames},
	{ent, "spec.purchase.trial", "", windows},
	{ent, "spec.purchase.cancellation.window", "", windows},
	{ent, "spec.purchase.cancellation.refund", "", refunds},
	{ent, "spec.subscriber.friendlyName", "", length(0, 200)},
	{ent, "spec.subscriber.billingCycle", "", oneOf("Monthly", "Annual")},
	{ent, "spec.subscriber.resellerPartnerID", "", length(0, 20)},
	{ent, "spec.subscriber.beneficiary.email", `spec: {subscriber: {beneficiary: {email: "$"}}}`, emails},
	{ent, "spec.subscriber.purchaser.email", `spec: {subscriber: {purchaser: {email: "$"}}}`, emails},
	{ent, "spec.changes", "", values{[]string{changes(500)}, map[string]string{
		changes(501): "Too many: 501: must have at most 500 items",
	}}},
	{ent, "spec.endReason", `spec: {endedAt: "2026-04-01T00:00:00Z", endReason: $}`, oneOf("Cancelled", "Expired", "NotActivated", "NotPaid", "PublisherEnded", "Deleted")},
	{ent, "spec.operations", "", values{[]string{recordedN(64)}, map[string]string{
		recordedN(65): "Too many: 65: must have at most 64 items",
	}}},
	{ent, "spec.operations[].id", "spec: {operations: [" + recorded("id: $") + "]}", length(36, 36)},
	{ent, "spec.operations[].action", "spec: {operations: [" + recorded("action: $") + "]}", actions},
	{ent, "spec.operations[].status", "spec: {operations: [" + recorded("status: $") + "]}", oneOf("InProgress", "Succeeded", "Failed")},
	{ent, "spec.operations[].message", "spec: {operations: [" + recorded("message: $") + "]}", length(0, 256)},
	{ent, "spec.operations[].deliveryFailure", "spec: {operations: [" + recorded("deliveryFailure: $") + "]}", length(0, 256)},
},
	levelFields("spec.purchase", func(field string) string { return "spec: {purchase: {" + field + "}}" }),
	levelFields("spec.changes[]", func(field string) string { return "spec: {changes: [" + changeAt(0, field) + "]}" }),
	levelFields("spec.operations[].level", func(field string) string {
		return "spec: {operations: [" + recorded("level: "+filled(field, level...)) + "]}"
	}),
)

// level are the fields of what was agreed.
var level = []string{"planID: silver", "quantity: 5", `unitPrice: {amount: "4.00", currency: EUR}`, "billingCycle: Annual"}

// levelFields are the fields of the ServiceLevel at a path, in the patch for one
// of them.
func levelFields(path string, in func(field string) string) []bounded {
	return []bounded{
		{ent, path + ".planID", in("planID: $"), length(1, 50)},
		{ent, path + ".quantity", in("quantity: $"), numbers(0, 1000000)},
		{ent, path + ".unitPrice.amount", in("unitPrice: {amount: $, currency: EUR}"), amounts},
		{ent, path + ".unitPrice.currency", in(`unitPrice: {amount: "1", currency: $}`), currencies},
		{ent, path + ".billingCycle", in("billingCycle: $"), oneOf("Monthly", "Annual")},
	}
}

// changes are the first n of a service, a second apart.
func changes(n int) string {
	all := make([]string, n)
	for i := range all {
		all[i] = changeAt(i, "")
	}
	return "[" + strings.Join(all, ", ") + "]"
}

// changeAt is the change at a second, with one field as it is given.
func changeAt(second int, field string) string {
	at := `at: "` + time.Date(2026, 3, 2, 0, 0, second, 0, time.UTC).Format(time.RFC3339) + `"`
	if field == "" {
		return "{" + at + ", " + agreed + "}"
	}
	return filled(field, append(slices.Clone(level), at)...)
}

// recorded is an operation on record with one field as it is given.
func recorded(field string) string {
	return filled(field, "id: "+uuid, "action: ChangePlan", "status: InProgress", "level: {"+agreed+"}",
		`requestedAt: "2026-03-02T00:00:00Z"`, `queuedAt: "2026-03-02T00:00:00Z"`)
}

// recordedN are n operations.
func recordedN(n int) string {
	all := make([]string, n)
	for i := range all {
		all[i] = recorded(fmt.Sprintf("id: 0b1c2d3e-4f50-4162-8374-%012d", i))
	}
	return "[" + strings.Join(all, ", ") + "]"
}
