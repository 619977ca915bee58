package v1alpha1_test

import "strings"

// marketplaceBase is the smallest useful MarketplaceSubscription.
const marketplaceBase = `
metadata: {name: coffee, namespace: contoso}
spec: {productRef: {name: coffee}, term: P1Y}`

const (
	fixedSecret = "secretName is fixed by the purchase: buy another subscription to have its link in another Secret"
	byTheMonth  = "a term of a month is charged by the month: leave billingCycle out, or set it to Monthly"
	onlyUp      = "renewal only goes up: keep the number that it has, or raise it for a fresh link"
	oneAddress  = "give one mail address, such as ada@contoso.example, without name or brackets"
)

var marketplaceRows = map[string]row{
	"a service can be bought":                              {mkt, "", "{}", "", ""},
	"a service needs a product":                            {mkt, "", "spec: {productRef: null}", "spec.productRef", "Required value"},
	"a service needs a term":                               {mkt, "", "spec: {term: null}", "spec.term", "Required value"},
	"a service is bought for ever":                         {mkt, "", "spec: {term: Perpetual}", "spec.term", "a service runs for a term: Perpetual is for software"},
	"a service subscription's name of 150 characters":      {mkt, "", "metadata: {name: " + text(150) + "}", "", ""},
	"a service subscription's name of 151 characters":      {mkt, "", "metadata: {name: " + text(151) + "}", "", "the name is part of other names: use at most 150 characters"},
	"another product than was bought":                      {mkt, "{}", "spec: {productRef: {name: tea}}", "spec.productRef", "productRef is immutable: another product is another subscription"},
	"another term than was bought":                         {mkt, "{}", "spec: {term: P3Y}", "spec.term", "term is immutable: another term is another subscription"},
	"another plan is wanted, and more seats":               {mkt, "spec: {planID: silver, quantity: 1}", "spec: {planID: gold, quantity: 5}", "", ""},
	"the plan and the seats are left to the publisher":     {mkt, "spec: {planID: silver, quantity: 1}", "spec: {planID: null, quantity: null}", "", ""},
	"seats are whole":                                      {mkt, "", "spec: {quantity: 1.5}", "spec.quantity", "must be of type int64"},
	"seats are a number":                                   {mkt, "", `spec: {quantity: "5"}`, "spec.quantity", "must be of type integer"},
	"a month is charged by the month":                      {mkt, "", "spec: {term: P1M, billingCycle: Monthly}", "", ""},
	"a month is charged by the year":                       {mkt, "", "spec: {term: P1M, billingCycle: Annual}", "spec.billingCycle", byTheMonth},
	"a month's charging changes to the year":               {mkt, "spec: {term: P1M}", "spec: {billingCycle: Annual}", "spec.billingCycle", byTheMonth},
	"years are charged by the month":                       {mkt, "", "spec: {term: P3Y, billingCycle: Monthly}", "", ""},
	"charging changes from the next term":                  {mkt, "spec: {billingCycle: Monthly}", "spec: {billingCycle: Annual}", "", ""},
	"it is called otherwise, by other people":              {mkt, "spec: {friendlyName: A, beneficiary: {email: a@b}, resellerPartnerID: '1'}", "spec: {friendlyName: B, beneficiary: null, purchaser: {email: a@b}, resellerPartnerID: '2'}", "", ""},
	"a partner's id is quoted":                             {mkt, "", "spec: {resellerPartnerID: 4847383}", "spec.resellerPartnerID", "must be of type string"},
	"somebody without a mail address":                      {mkt, "", "spec: {beneficiary: {}}", "spec.beneficiary.email", "Required value"},
	"a service is suspended and reinstated":                {mkt, "spec: {suspended: true}", "spec: {suspended: false}", "", ""},
	"the link's Secret is renamed":                         {mkt, "spec: {secretName: a}", "spec: {secretName: b}", "spec.secretName", fixedSecret},
	"the link's Secret gets a name":                        {mkt, "{}", "spec: {secretName: b}", "spec.secretName", fixedSecret},
	"the link's Secret loses its name":                     {mkt, "spec: {secretName: a}", "spec: {secretName: null}", "spec.secretName", fixedSecret},
	"the link's Secret keeps its name":                     {mkt, "spec: {secretName: a}", "spec: {planID: gold}", "", ""},
	"a fresh link to the publisher":                        {mkt, "spec: {landingPage: {renewal: 1}}", "spec: {landingPage: {renewal: 2}}", "", ""},
	"a fresh link to the publisher, the first time":        {mkt, "{}", "spec: {landingPage: {renewal: 1}}", "", ""},
	"a renewal of the publisher's link is taken back":      {mkt, "spec: {landingPage: {renewal: 2}}", "spec: {landingPage: {renewal: 1}}", "spec.landingPage.renewal", onlyUp},
	"a renewal of the publisher's link is left out":        {mkt, "spec: {landingPage: {renewal: 2}}", "spec: {landingPage: {renewal: null}}", "spec.landingPage.renewal", onlyUp},
	"a renewal of the publisher's link is left out whole":  {mkt, "spec: {landingPage: {renewal: 2}}", "spec: {landingPage: null}", "spec.landingPage", "renewal only goes up, and without landingPage it would be 0 again: keep it"},
	"a landing page that was never renewed is left out":    {mkt, "spec: {landingPage: {}}", "spec: {landingPage: null}", "", ""},
	"a restored service may be cancelled":                  {mkt, "", "spec: {cancelled: true}", "", ""},
	"a service is cancelled before the operator looked":    {mkt, "{}", "spec: {cancelled: true}", "", ""},
	"a service is cancelled in time":                       {mkt, "status: {cancellation: {open: true}}", "spec: {cancelled: true}", "", ""},
	"a service is cancelled late, and told until when":     {mkt, "status: {cancellation: {open: false, message: 'it was open until Monday'}}", "spec: {cancelled: true}", "spec.cancelled", "it was open until Monday"},
	"a service is cancelled late, with nothing to tell":    {mkt, "status: {cancellation: {open: false}}", "spec: {cancelled: true}", "spec.cancelled", "the cancellation window has closed: set spec.autoRenew to false to let the term end"},
	"a service is changed while the window is closed":      {mkt, "status: {cancellation: {open: false}}", "spec: {planID: gold, quantity: 2, autoRenew: false}", "", ""},
	"a service's cancellation that nobody has seen yet":    {mkt, "spec: {cancelled: true}", "spec: {cancelled: false}", "spec.cancelled", final},
	"a service's cancellation is final":                    {mkt, with(cancelled, "True"), "spec: {cancelled: false}", "spec.cancelled", final},
	"a service's cancellation cannot be left out either":   {mkt, with(cancelled, "True"), "spec: {cancelled: null}", "spec.cancelled", final},
	"a service's cancellation that was late can be undone": {mkt, with(cancelled, "False"), "spec: {cancelled: false}", "", ""},
	"another condition does not undo a cancellation":       {mkt, strings.Replace(with(cancelled, "False"), "type: Cancelled", "type: Activated", 1), "spec: {cancelled: false}", "spec.cancelled", final},
	"a cancelled service can be changed":                   {mkt, "{spec: {cancelled: true}, status: {cancellation: {open: false}}}", "spec: {friendlyName: Old}", "", ""},
	"a service lists a condition only once":                {mkt, "{}", with(twice, "True"), "status.conditions[]", "Duplicate value"},
	"a service lists an operation only once":               {mkt, "{}", "status: {operations: [" + operation("id: a") + ", " + operation("id: a") + "]}", "status.operations[]", "Duplicate value"},
	"a service tells a step only once":                     {mkt, "{}", contact("requiredSteps: [{before: Cancel, text: a}, {before: Cancel, text: b}]"), "status.publisher.requiredSteps[]", "Duplicate value"},
	"a service's status can be written": {mkt, "{}", `status: {observedGeneration: 1, id: ` + uuid + `, state: Subscribed, planID: silver, quantity: 5,
		purchasedAt: "2026-03-01T00:00:00Z", term: {startsAt: "2026-03-01T00:00:00Z", endsAt: "2027-03-01T00:00:00Z"},
		billing: {startedAt: "2026-03-01T00:00:00Z", cycle: Annual}, conditions: [` + with(condition, "True") + "]}", "", ""},
}

// emails are what people write. The quoted local parts and the comments of RFC
// 5322 are not among them.
var emails = values{
	[]string{
		"a@b",
		"ada@contoso.example",
		"ada+coffee@contoso.example",
		"ada.lovelace_1-2@mail.contoso.example",
		"o'hara&sons=it/ops!#$%*?^`{|}~@contoso.example",
		"ada@xn--bcher-kva.example",
		"ada@bücher.example",
		"ädä@contoso.example",
		"ada@1.example",
		"A@B." + text(250),
	}, map[string]string{
		"a@":                       "should be at least 3 chars long",
		"A@B." + text(251):         "Too long: may not be more than 254 bytes",
		"ada":                      oneAddress,
		"@contoso.example":         oneAddress,
		"ada@":                     oneAddress,
		"ada@@contoso.example":     oneAddress,
		"a@b@contoso.example":      oneAddress,
		"ada@contoso..example":     oneAddress,
		"ada@.contoso.example":     oneAddress,
		"ada@contoso.example.":     oneAddress,
		"ada@-contoso.example":     oneAddress,
		"ada@contoso_example":      oneAddress,
		"ada lovelace@contoso":     oneAddress,
		`ada\u00a0@contoso`:        oneAddress, // a space that does not break
		`a\u200bda@contoso`:        oneAddress, // one of no width
		`\u202eada@contoso`:        oneAddress, // from right to left
		`ada\u0085@contoso`:        oneAddress, // the next line
		"Ada <ada@contoso>":        oneAddress,
		"<ada@contoso>":            oneAddress,
		"ada@contoso,bob@contoso":  oneAddress,
		"ada@contoso;bob@contoso":  oneAddress,
		"mailto:ada@contoso":       oneAddress,
		"ada@contoso.example ":     oneAddress,
		`ada@contoso.example\n`:    oneAddress,
		`ada\0@contoso.example`:    oneAddress,
		`ada\r\nBcc:b@contoso.com`: oneAddress,
		`\"ada\"@contoso.example`:  oneAddress,
	},
}

var marketplaceFields = []bounded{
	{mkt, "spec.productRef.name", "", names},
	{mkt, "spec.planID", "", ids},
	{mkt, "spec.quantity", "", numbers(1, 1000000)},
	{mkt, "spec.term", "", runningTerms},
	{mkt, "spec.billingCycle", "", oneOf("Monthly", "Annual")},
	{mkt, "spec.friendlyName", "", titles},
	{mkt, "spec.resellerPartnerID", `spec: {resellerPartnerID: "$"}`, values{[]string{"1", "4847383", strings.Repeat("9", 20)}, map[string]string{
		strings.Repeat("9", 21): "Too long: may not be more than 20 bytes",
		"":                      "a partner id has digits only",
		"-1":                    "a partner id has digits only",
		"484 7383":              "a partner id has digits only",
		"MPN4847383":            "a partner id has digits only",
	}}},
	{mkt, "spec.beneficiary.email", `spec: {beneficiary: {email: "$"}}`, emails},
	{mkt, "spec.purchaser.email", `spec: {purchaser: {email: "$"}}`, emails},
	{mkt, "spec.landingPage.renewal", "", numbers(0, 1000000)},
	{mkt, "spec.secretName", "", names},
	{mkt, "status.id", "", length(0, 36)},
	{mkt, "status.state", "", oneOf("PendingFulfillmentStart", "Subscribed", "Suspended", "Unsubscribed")},
	{mkt, "status.message", "", length(0, 1024)},
	{mkt, "status.next.event", `status: {next: {event: $, at: "2026-03-01T00:00:00Z"}}`, oneOf("ActivationLapses", "WindowCloses", "TrialEnds", "Renews", "Expires", "Ends")},
	{mkt, "status.planID", "", length(0, 50)},
	{mkt, "status.landingPage.secretName", `status: {landingPage: {secretName: $, expiresAt: "2026-03-01T00:00:00Z"}}`, length(0, 253)},
	{mkt, "status.landingPage.site", `status: {landingPage: {secretName: a, site: $, expiresAt: "2026-03-01T00:00:00Z"}}`, length(0, 1024)},
	{mkt, "status.landingPage.urlHash", `status: {landingPage: {secretName: a, urlHash: $, expiresAt: "2026-03-01T00:00:00Z"}}`, length(0, 64)},
	{mkt, "status.publisher.displayName", "status: {publisher: {displayName: $}}", length(0, 256)},
	{mkt, "status.publisher.site", contact("site: $"), length(0, 1024)},
	{mkt, "status.publisher.support", contact("support: $"), length(0, 1024)},
	{mkt, "status.publisher.requiredSteps", contact("requiredSteps: $"), values{[]string{steps}, map[string]string{
		steps[:len(steps)-1] + ", {before: Cancel, text: a}]": "Too many: 4: must have at most 3 items",
	}}},
	{mkt, "status.publisher.requiredSteps[].before", contact("requiredSteps: [{before: $, text: a}]"), oneOf("ChangePlan", "ChangeQuantity", "Cancel")},
	{mkt, "status.publisher.requiredSteps[].text", contact("requiredSteps: [{before: Cancel, text: $}]"), length(1, 512)},
	{mkt, "status.billing.cycle", "", oneOf("Monthly", "Annual")},
	{mkt, "status.cancellation.message", "status: {cancellation: {open: true, message: $}}", length(0, 256)},
	{mkt, "status.cancellation.credit.amount", "status: {cancellation: {open: true, credit: {amount: $, currency: EUR}}}", amounts},
	{mkt, "status.cancellation.credit.currency", `status: {cancellation: {open: true, credit: {amount: "1", currency: $}}}`, currencies},
	{mkt, "status.operations", "", values{[]string{repeat(8, operation("id: a%d"))}, map[string]string{
		repeat(9, operation("id: a%d")): "Too many: 9: must have at most 8 items",
	}}},
	{mkt, "status.operations[].id", operations("id: $"), length(0, 36)},
	{mkt, "status.operations[].action", operations("action: $"), actions},
	{mkt, "status.operations[].planID", operations("planID: $"), length(0, 50)},
	{mkt, "status.operations[].status", operations("status: $"), oneOf("InProgress", "Succeeded", "Failed")},
	{mkt, "status.operations[].message", operations("message: $"), length(0, 256)},
	{mkt, "status.conditions", "", conditions},
}

var actions = oneOf("ChangePlan", "ChangeQuantity", "Renew", "Suspend", "Unsubscribe", "Reinstate")

func contact(field string) string { return "status: {publisher: {displayName: a, " + field + "}}" }

// operation is one of a subscription's status with one field as it is given.
func operation(field string) string {
	return filled(field, "id: "+uuid, "action: ChangePlan", "status: InProgress", `requestedAt: "2026-03-01T00:00:00Z"`)
}

func operations(field string) string { return "status: {operations: [" + operation(field) + "]}" }

// filled is an object of fields, one of which may stand in for another of its
// name.
func filled(field string, others ...string) string {
	name, _, _ := strings.Cut(field, ":")
	all := field
	for _, other := range others {
		if !strings.HasPrefix(other, name+":") {
			all += ", " + other
		}
	}
	return "{" + all + "}"
}
