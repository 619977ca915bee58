package v1alpha1_test

import (
	"fmt"
	"slices"
	"strings"
)

const (
	// policyBase is the smallest useful SelfServicePolicy.
	policyBase = `
metadata: {name: default, namespace: contoso}
spec: {}`
	// purchaseBase is the smallest useful SelfServicePurchase.
	purchaseBase = `
metadata: {name: planner, namespace: contoso}
spec:
  productRef: {name: planner}
  type: Purchase
  paymentMethod: true
  purchaser: {username: ada, email: ada@contoso.example}`
	// orderBase is the smallest useful SelfServiceOrder.
	orderBase = `
metadata: {name: purchase.contoso.planner}
spec:
  customer: contoso
  purchase: {name: planner, uid: 5f0c}
  agreed: {type: Purchase, paymentMethod: true, ` + employee + `}`
	// trialBase is the smallest useful SelfServiceOrder of a trial.
	trialBase = `
metadata: {name: trial.contoso.` + trialHash + `}
spec:
  customer: contoso
  purchase: {name: planner, uid: 5f0c}
  agreed: {type: Trial, trial: P30D, ` + employee + `}`

	trialHash = "0123456789abcdef0123456789abcdef"
	employee  = `at: "2026-03-01T00:00:00Z", productRef: {name: planner}, purchaser: {username: ada, email: ada@contoso.example}, term: P1M, unitPrice: {amount: "9.00", currency: EUR}`
)

// Offers of a Product to employees.

const (
	offerSomething = "offer a purchase, a trial or both: to offer neither, leave selfService out"
	someTrial      = "a trial lasts for some time: give at least one second"
	aPage          = "give a page that starts with https://, such as https://proseware.example/"
)

var offerRows = map[string]row{
	"employees can buy it":                          {prod, "", "spec: {selfService: {purchase: true}}", "", ""},
	"employees can try it":                          {prod, "", "spec: {selfService: {trial: {length: P30D}}}", "", ""},
	"employees can buy and try a service":           {svc, "", "spec: {selfService: {purchase: true, trial: {length: P30D, paymentMethod: NotRequired}}}", "", ""},
	"employees can neither buy nor try it":          {prod, "", "spec: {selfService: {}}", "spec.selfService", offerSomething},
	"employees can say they cannot buy it":          {prod, "", "spec: {selfService: {purchase: false}}", "spec.selfService", offerSomething},
	"employees cannot buy it any more":              {prod, "spec: {selfService: {purchase: true}}", "spec: {selfService: {purchase: false}}", "spec.selfService", offerSomething},
	"nothing is offered to employees any more":      {prod, "spec: {selfService: {purchase: true}}", "spec: {selfService: null}", "", ""},
	"employees are told the terms":                  {prod, "", "spec: {selfService: {purchase: true, termsURL: 'https://proseware.example/terms#trials', privacyURL: 'https://proseware.example/privacy'}}", "", ""},
	"what is offered to employees changes":          {prod, "spec: {selfService: {purchase: true}}", "spec: {selfService: {purchase: false, trial: {length: P7D}}}", "", ""},
	"a trial for employees without a length":        {prod, "", "spec: {selfService: {trial: {}}}", "spec.selfService.trial.length", "Required value"},
	"a trial for employees that is a bare yes":      {prod, "", "spec: {selfService: {trial: true}}", "spec.selfService.trial", "must be of type object"},
	"a trial for employees of a number of days":     {prod, "", "spec: {selfService: {trial: {length: 30}}}", "spec.selfService.trial.length", "must be of type string"},
	"a purchase by employees is yes or no":          {prod, "", "spec: {selfService: {purchase: 'yes'}}", "spec.selfService.purchase", "must be of type boolean"},
	"a price for employees of its own is not known": {prod, "", "spec: {selfService: {purchase: true, price: 1}}", "spec.selfService.price", "unknown field"},
}

var selfServiceOfferFields = []bounded{
	{prod, "spec.selfService.termsURL", "spec: {selfService: {purchase: true, termsURL: '$'}}", pages},
	{prod, "spec.selfService.privacyURL", "spec: {selfService: {purchase: true, privacyURL: '$'}}", pages},
	{prod, "spec.selfService.trial.length", "", lasting(someTrial)},
	{prod, "spec.selfService.trial.paymentMethod", "spec: {selfService: {trial: {length: P30D, paymentMethod: $}}}", oneOf("Required", "NotRequired")},
	{prod, "spec.selfService.trial.paymentMethod", "spec: {selfService: {trial: {length: P30D, paymentMethod: $}}}", values{nil, map[string]string{
		"required": "Unsupported value", "true": "must be of type string",
	}}},
}

// pages are for people to read before they buy.
var pages = values{[]string{"https://proseware.example", "https://proseware.example:8443/terms?lang=fr#trials", "https://proseware.example/" + text(998)}, map[string]string{
	"": aPage, "terms": aPage, "https://": aPage, "http://proseware.example/": aPage, "javascript:alert(1)": aPage, "https://user@proseware.example/": aPage,
	"https://proseware.example/a b": aPage, " https://proseware.example/": aPage, "https://proseware.example/" + text(999): "Too long: may not be more than 1024 bytes",
}}

// Policies.

var policyRows = map[string]row{
	"a policy that allows everything":                {pol, "", "{}", "", ""},
	"a policy without anything":                      {pol, "", "spec: null", "", ""},
	"a policy blocks a product":                      {pol, "", "spec: {products: [{name: planner, value: Block}]}", "", ""},
	"a policy says two things of a product":          {pol, "", "spec: {products: [{name: planner, value: Block}, {name: planner, value: Allow}]}", "spec.products[]", "Duplicate value"},
	"a policy says the same twice":                   {pol, "", "spec: {products: [{name: planner, value: Block}, {name: planner, value: Block}]}", "spec.products[]", "Duplicate value"},
	"a policy says nothing of a product":             {pol, "", "spec: {products: [{name: planner}]}", "spec.products[].value", "Required value"},
	"a policy of no product":                         {pol, "", "spec: {products: [{value: Block}]}", "spec.products[].name", "Required value"},
	"a policy lists bare names":                      {pol, "", "spec: {products: [planner]}", "spec.products[]", "must be of type object"},
	"a policy lists products as fields":              {pol, "", "spec: {products: {planner: Block}}", "spec.products", "must be of type array"},
	"a policy blocks by switching off":               {pol, "", "spec: {default: false}", "spec.default", "must be of type string"},
	"a policy with a key of the original":            {pol, "", "spec: {allowSelfServicePurchase: Disabled}", "spec.allowSelfServicePurchase", "unknown field"},
	"a policy changes in all it says":                {pol, "spec: {products: [{name: a, value: Allow}], contact: A}", "spec: {default: Block, mode: Audit, products: [{name: b, value: Block}], contact: null}", "", ""},
	"the longest policy is written again":            {pol, "spec: {products: " + repeat(500, "{name: p%d, value: Block}") + "}", "spec: {mode: Audit}", "", ""},
	"a policy's status lists a product twice":        {pol, "{}", "status: {products: [" + told("name: a") + ", " + told("name: a") + "]}", "status.products[]", "Duplicate value"},
	"a policy's status is written":                   {pol, "{}", "status: {observedGeneration: 1, products: [" + told("overriddenBy: b") + "], audit: {total: 0}, conditions: [" + with(condition, "True") + "]}", "", ""},
	"a policy tells of an audited product only once": {pol, "{}", "status: {audit: {total: 2, products: [{name: a}, {name: a}]}}", "status.audit.products[]", "Duplicate value"},
	"a policy's status with something without one":   {pol, "{}", "status: {audit: {products: []}}", "status.audit.total", "Required value"},
	"a policy lists a condition only once":           {pol, "{}", with(twice, "True"), "status.conditions[]", "Duplicate value"},
}

// told is what a policy's status tells of a product, with one field as it is given.
func told(field string) string {
	return filled(field, "name: planner", "displayName: Planner", "value: Allow", "source: Default")
}

// lines are what people write in one line of text, up to a length.
func lines(most int) values {
	const wrong = "write one line of text, with no space at either end"
	return values{[]string{"a", "'#licences'", "'Ask ada@contoso.example, or https://contoso.example/it'", text(most)}, map[string]string{
		`""`:           "should be at least 1 chars long",
		text(most + 1): fmt.Sprintf("Too long: may not be more than %d bytes", most),
		`" a"`:         wrong,
		`"a "`:         wrong,
		`" "`:          wrong,
		`"a\nb"`:       wrong,
		`"a\eb"`:       wrong,
	}}
}

// selfServiceValues are what a policy can say of a product.
var selfServiceValues = values{oneOf("Allow", "TrialsOnly", "Block").accepted, map[string]string{
	"allow": "Unsupported value", `""`: "Unsupported value",
	"Enabled": "Unsupported value", "OnlyTrialsWithoutPaymentMethod": "Unsupported value", "Disabled": "Unsupported value",
}}

var policyFields = []bounded{
	{pol, "spec.default", "", selfServiceValues},
	{pol, "spec.mode", "", oneOf("Enforce", "Audit")},
	{pol, "spec.contact", "", lines(256)},
	{pol, "spec.products", "", values{[]string{"[]", repeat(500, "{name: p%d, value: Block}")}, map[string]string{
		repeat(501, "{name: p%d, value: Block}"): "Too many: 501: must have at most 500 items",
	}}},
	{pol, "spec.products[].name", "spec: {products: [{name: $, value: Block}]}", namedOr("write the name of the Product as kubectl get lprod has it, such as power-bi, and not what people call it")},
	{pol, "spec.products[].value", "spec: {products: [{name: a, value: $}]}", selfServiceValues},
	{pol, "status.products", "", values{[]string{repeat(1000, told("name: p%d"))}, map[string]string{
		repeat(1001, told("name: p%d")): "Too many: 1001: must have at most 1000 items",
	}}},
	{pol, "status.products[].name", "status: {products: [" + told("name: $") + "]}", length(0, 253)},
	{pol, "status.products[].displayName", "status: {products: [" + told("displayName: $") + "]}", length(0, 256)},
	{pol, "status.products[].value", "status: {products: [" + told("value: $") + "]}", selfServiceValues},
	{pol, "status.products[].source", "status: {products: [" + told("source: $") + "]}", oneOf("Listed", "Default")},
	{pol, "status.products[].overriddenBy", "status: {products: [" + told("overriddenBy: $") + "]}", length(0, 253)},
	{pol, "status.audit.products", "status: {audit: {total: 1001, products: $}}", values{[]string{repeat(1000, "{name: p%d}")}, map[string]string{
		repeat(1001, "{name: p%d}"): "Too many: 1001: must have at most 1000 items",
	}}},
	{pol, "status.audit.products[].name", "status: {audit: {total: 1, products: [{name: $}]}}", length(0, 253)},
	{pol, "status.conditions", "", conditions},
}

// Purchases and trials.

const (
	takesPayment = "a purchase takes a payment method: set paymentMethod to true once there is one, or ask for a Trial"
	tooManyUsers = "there are more users than licences: raise spec.quantity, or take users out"
	asDirectory  = "write the user as in the directory, in lower case and without spaces or any of < > &, such as ada@contoso.example"
	fixedPlan    = "planID is fixed by the purchase: another plan is another purchase"
	fixedTerm    = "term is fixed by the purchase: another term is another purchase"
	endsForGood  = "cancelled is final: make another purchase instead"
	aTrial       = "type: Trial, paymentMethod: false"
)

var purchaseRows = map[string]row{
	"an employee buys":                             {pur, "", "{}", "", ""},
	"an employee buys what there is to say":        {pur, "", "spec: {planID: p1, term: P1Y, quantity: 2, assignedUsers: [ada, bob@contoso.example], autoRenew: false}", "", ""},
	"an employee tries":                            {pur, "", "spec: {" + aTrial + "}", "", ""},
	"an employee tries, and has a way to pay":      {pur, "", "spec: {type: Trial}", "", ""},
	"an employee buys without a way to pay":        {pur, "", "spec: {paymentMethod: false}", "spec.paymentMethod", takesPayment},
	"an employee buys and does not say how to pay": {pur, "", "spec: {paymentMethod: null}", "spec.paymentMethod", takesPayment},
	"an employee gives his card away":              {pur, "", "spec: {paymentMethod: 4111-1111-1111-1111}", "spec.paymentMethod", "must be of type boolean"},
	"an employee buys nothing in particular":       {pur, "", "spec: {productRef: null}", "spec.productRef", "Required value"},
	"an employee does not say whether he buys":     {pur, "", "spec: {type: null}", "spec.type", "Required value"},
	"nobody buys":                                     {pur, "", "spec: {purchaser: null}", "spec.purchaser", "Required value"},
	"an employee without a user name":                 {pur, "", "spec: {purchaser: {username: null}}", "spec.purchaser.username", "Required value"},
	"an employee without a mail address":              {pur, "", "spec: {purchaser: {email: null}}", "spec.purchaser.email", "Required value"},
	"a purchase without a spec":                       {pur, "", "spec: null", "spec", "Required value"},
	"a purchase at a date of the employee's choice":   {pur, "", `spec: {purchasedAt: "2026-03-01T00:00:00Z"}`, "spec.purchasedAt", "unknown field"},
	"a purchase's name of 150 characters":             {pur, "", "metadata: {name: " + text(150) + "}", "", ""},
	"a purchase's name of 151 characters":             {pur, "", "metadata: {name: " + text(151) + "}", "", "the name is part of other names: use at most 150 characters"},
	"licences are whole":                              {pur, "", "spec: {quantity: 1.5}", "spec.quantity", "must be of type int64"},
	"licences are a number":                           {pur, "", `spec: {quantity: "2"}`, "spec.quantity", "must be of type integer"},
	"as many users as licences":                       {pur, "", "spec: {quantity: 2, assignedUsers: [ada, bob]}", "", ""},
	"more users than licences":                        {pur, "", "spec: {quantity: 2, assignedUsers: [ada, bob, eve]}", "spec.assignedUsers", tooManyUsers},
	"more users than the one licence by default":      {pur, "", "spec: {assignedUsers: [ada, bob]}", "spec.assignedUsers", tooManyUsers},
	"another user than there are licences":            {pur, "spec: {assignedUsers: [ada]}", "spec: {assignedUsers: [ada, bob]}", "spec.assignedUsers", tooManyUsers},
	"another user and another licence":                {pur, "spec: {assignedUsers: [ada]}", "spec: {quantity: 2, assignedUsers: [ada, bob]}", "", ""},
	"another user instead":                            {pur, "spec: {assignedUsers: [ada]}", "spec: {assignedUsers: [bob]}", "", ""},
	"fewer licences than users":                       {pur, "spec: {quantity: 2, assignedUsers: [ada, bob]}", "spec: {quantity: 1}", "spec.assignedUsers", tooManyUsers},
	"the quantity is left out, and is 1 again":        {pur, "spec: {quantity: 2, assignedUsers: [ada, bob]}", "spec: {quantity: null}", "spec.assignedUsers", tooManyUsers},
	"fewer licences, and as many users":               {pur, "spec: {quantity: 2, assignedUsers: [ada, bob]}", "spec: {quantity: 1, assignedUsers: [bob]}", "", ""},
	"nobody uses it any more":                         {pur, "spec: {assignedUsers: [ada]}", "spec: {assignedUsers: null}", "", ""},
	"a user twice":                                    {pur, "", "spec: {quantity: 2, assignedUsers: [ada, ada]}", "spec.assignedUsers[]", "Duplicate value"},
	"a user twice, once in capitals":                  {pur, "", "spec: {quantity: 2, assignedUsers: [ada, Ada]}", "spec.assignedUsers[]", asDirectory},
	"users in a line":                                 {pur, "", "spec: {assignedUsers: 'ada,bob'}", "spec.assignedUsers", "must be of type array"},
	"a user who is a number":                          {pur, "", "spec: {assignedUsers: [7]}", "spec.assignedUsers[]", "must be of type string"},
	"a user who is an object":                         {pur, "", "spec: {assignedUsers: [{name: ada}]}", "spec.assignedUsers[]", "must be of type string"},
	"all users with the longest names, written again": {pur, manyUsers(1000), "spec: {autoRenew: false}", "", ""},
	"all users with the longest names, in status":     {pur, manyUsers(1000), "status: {users: " + longUsers(1000) + "}", "", ""},
	"an employee buys another product then":           {pur, "{}", "spec: {productRef: {name: visio}}", "spec.productRef", "productRef is immutable: another product is another purchase"},
	"a trial is made a purchase by hand":              {pur, "spec: {type: Trial}", "spec: {type: Purchase}", "spec.type", "type is immutable: to buy what was tried, make another purchase"},
	"a purchase is made a trial by hand":              {pur, "{}", "spec: {type: Trial}", "spec.type", "type is immutable: to buy what was tried, make another purchase"},
	"a trial gets a payment method":                   {pur, "spec: {" + aTrial + "}", "spec: {paymentMethod: true}", "spec.paymentMethod", "paymentMethod is immutable: to buy what was tried, make another purchase"},
	"a trial loses its payment method":                {pur, "spec: {type: Trial}", "spec: {paymentMethod: null}", "spec.paymentMethod", "paymentMethod is immutable: to buy what was tried, make another purchase"},
	"a purchase changes hands":                        {pur, "{}", "spec: {purchaser: {username: bob}}", "spec.purchaser.username", "username is immutable: who bought it does not change"},
	"a purchaser's mail address is mended":            {pur, "{}", "spec: {purchaser: {email: ada.lovelace@contoso.example}}", "", ""},
	"a purchaser's mail address is taken away":        {pur, "{}", "spec: {purchaser: {email: null}}", "spec.purchaser.email", "Required value"},
	"a plan is changed":                               {pur, "spec: {planID: p1}", "spec: {planID: p2}", "spec.planID", fixedPlan},
	"a plan is chosen later":                          {pur, "{}", "spec: {planID: p1}", "spec.planID", fixedPlan},
	"a plan is taken away":                            {pur, "spec: {planID: p1}", "spec: {planID: null}", "spec.planID", fixedPlan},
	"a purchase with a plan and a term goes on":       {pur, "spec: {planID: p1, term: P1Y}", "spec: {quantity: 3}", "", ""},
	"a term is changed":                               {pur, "spec: {term: P1M}", "spec: {term: P1Y}", "spec.term", fixedTerm},
	"a term is chosen later":                          {pur, "{}", "spec: {term: P1Y}", "spec.term", fixedTerm},
	"a term is taken away":                            {pur, "spec: {term: P1Y}", "spec: {term: null}", "spec.term", fixedTerm},
	"an employee lets the term end, and thinks again": {pur, "spec: {autoRenew: false}", "spec: {autoRenew: true}", "", ""},
	"an employee cancels":                             {pur, "{}", "spec: {cancelled: true}", "", ""},
	"a cancelled purchase is restored":                {pur, "", "spec: {cancelled: true}", "", ""},
	"an employee takes his cancellation back":         {pur, "spec: {cancelled: true}", "spec: {cancelled: false}", "spec.cancelled", endsForGood},
	"an employee leaves his cancellation out":         {pur, "spec: {cancelled: true}", "spec: {cancelled: null}", "spec.cancelled", endsForGood},
	"a cancelled purchase is changed":                 {pur, "spec: {cancelled: true}", "spec: {quantity: 3, assignedUsers: [bob]}", "", ""},
	"a purchase's status is written": {pur, "{}", `status: {observedGeneration: 1, state: Active, purchasedAt: "2026-03-01T00:00:00Z", price: {amount: "9.00", currency: EUR}, assigned: 1, users: [ada],
  term: {startsAt: "2026-03-01T00:00:00Z", endsAt: "2026-04-01T00:00:00Z"}, next: {event: Renews, at: "2026-04-01T00:00:00Z"}, noticedUntil: "2026-03-01T00:00:00Z", conditions: [` + with(condition, "True") + "]}", "", ""},
	"a user twice in a purchase's status":    {pur, "{}", "status: {users: [ada, ada]}", "status.users[]", "Duplicate value"},
	"a purchase lists a condition only once": {pur, "{}", with(twice, "True"), "status.conditions[]", "Duplicate value"},
}

// manyUsers is a purchase for n users with the longest names.
func manyUsers(n int) string {
	return fmt.Sprintf("spec: {quantity: %d, assignedUsers: %s}", n, longUsers(n))
}

// longUsers are n users with the longest names.
func longUsers(n int) string {
	all := make([]string, n)
	for i := range all {
		all[i] = text(250) + fmt.Sprintf("%04d", i)
	}
	return "[" + strings.Join(all, ", ") + "]"
}

// users are who can have a licence, in YAML.
var users = values{[]string{"a", "ada@contoso.example", `"ädä"`, `"伊藤"`, `"=ada"`, `"ada,bob"`, "contoso\\ada", `"0815"`, text(254), strings.Repeat("ä", 127)}, map[string]string{
	`""`:                     "should be at least 1 chars long",
	text(255):                "Too long: may not be more than 254 bytes",
	strings.Repeat("ä", 128): "a user has at most 254 bytes",
	"Ada@contoso.example":    asDirectory,
	`"adA"`:                  asDirectory,
	`"Ädä"`:                  asDirectory,
	`"ǅa"`:                   asDirectory, // a letter in title case
	`"ada lovelace"`:         asDirectory,
	`" ada"`:                 asDirectory,
	`"ada\t"`:                asDirectory,
	`"ada\nbob"`:             asDirectory,
	`"ada\u00a0"`:            asDirectory, // a space that does not break
	`"a\u200bda"`:            asDirectory, // one of no width
	`"\u202eada"`:            asDirectory, // from right to left
	"a<b":                    asDirectory,
	"a>b":                    asDirectory,
	`"a&b"`:                  asDirectory,
	`"ada\u0085"`:            asDirectory, // the next line
}}

// usernames are what the API server knows people by.
var usernames = values{[]string{"a", "ada@contoso.example", "Ada Lovelace", "'https://id.contoso.example#5f0c'", "'system:serviceaccount:contoso:shop'", text(253)}, map[string]string{
	`""`:      "should be at least 1 chars long",
	text(254): "Too long: may not be more than 253 bytes",
	`"a "`:    `should match '^[^\s[:cntrl:]]`,
	`" a"`:    `should match '^[^\s[:cntrl:]]`,
	`"a\nb"`:  `should match '^[^\s[:cntrl:]]`,
}}

func usersIn(in string) values {
	v := values{nil, map[string]string{}}
	for _, u := range users.accepted {
		v.accepted = append(v.accepted, with(in, u))
	}
	for u, want := range users.refused {
		v.refused[with(in, u)] = want
	}
	return v
}

var purchaseFields = []bounded{
	{pur, "spec.productRef.name", "", names},
	{pur, "spec.type", "spec: {type: $, paymentMethod: true}", oneOf("Purchase", "Trial")},
	{pur, "spec.planID", "", ids},
	{pur, "spec.term", "", termNames},
	{pur, "spec.quantity", "", numbers(1, 1000)},
	{pur, "spec.purchaser.username", "", usernames},
	{pur, "spec.purchaser.email", `spec: {purchaser: {email: "$"}}`, emails},
	{pur, "spec.assignedUsers", "spec: {quantity: 1000, assignedUsers: $}", values{[]string{"[]", repeat(1000, "u%d")}, map[string]string{
		repeat(1001, "u%d"): "Too many: 1001: must have at most 1000 items",
	}}},
	{pur, "spec.assignedUsers[]", "spec: {assignedUsers: $}", usersIn("[$]")},
	{pur, "status.state", "", oneOf("Trial", "Active", "Expired", "Cancelled", "Deleted")},
	{pur, "status.message", "", length(0, 1024)},
	{pur, "status.next.event", `status: {next: {event: $, at: "2026-03-01T00:00:00Z"}}`, oneOf("TrialEnds", "Renews", "Expires")},
	{pur, "status.planID", "", length(0, 50)},
	{pur, "status.billingTerm", "", termNames},
	{pur, "status.price.amount", "status: {price: {amount: $, currency: EUR}}", amounts},
	{pur, "status.price.currency", `status: {price: {amount: "1", currency: $}}`, currencies},
	{pur, "status.users", "", values{[]string{repeat(1000, "u%d")}, map[string]string{
		repeat(1001, "u%d"): "Too many: 1001: must have at most 1000 items",
	}}},
	{pur, "status.users[]", "status: {users: $}", usersIn("[$]")},
	{pur, "status.takeover", "", length(0, 253)},
	{pur, "status.conditions", "", conditions},
}

// Orders.

const (
	orderName   = "an order is named purchase.<customer>.<purchase>, or trial.<customer>.<hash>"
	orderEnds   = "an order ends once"
	orderTaken  = "takeover is set together with the endReason TakenOver"
	takenOnce   = "an order is taken over once"
	eitherWay   = "set exactly one of movedTo and reason"
	whatAgreed  = "agreed is immutable: it is what the purchaser agreed to"
	trialHasOne = "trial is how long a Trial is free: a Trial has it, and a Purchase does not"
	orderEnded  = `spec: {endedAt: "2026-04-01T00:00:00Z", endReason: Expired}`
	orderMoved  = `spec: {endedAt: "2026-04-01T00:00:00Z", endReason: TakenOver, takeover: {name: it, movedTo: {kind: SoftwareSubscription, name: office}}}`
)

var orderRows = map[string]row{
	"an order is on record":                       {ord, "", "{}", "", ""},
	"a trial is on record":                        {try, "", "{}", "", ""},
	"a trial that turns paid is on record":        {try, "", "spec: {agreed: {paymentMethod: true}}", "", ""},
	"an order with all its past is restored":      {ord, "", `spec: {auditedBy: [a, b], renewedUntil: "2026-04-01T00:00:00Z", endedAt: "2026-04-03T00:00:00Z", endReason: TakenOver, takeover: {name: it, reason: NotNeeded}}`, "", ""},
	"an order is named otherwise":                 {ord, "", "metadata: {name: planner}", "", orderName},
	"an order is named as another's":              {ord, "", "metadata: {name: purchase.fabrikam.planner}", "", orderName},
	"an order is named as a namesake's":           {ord, "", "metadata: {name: purchase.contoso.planner.2}", "", orderName},
	"an order is named as a trial":                {ord, "", "metadata: {name: trial.contoso." + trialHash + "}", "", orderName},
	"an order of a purchase with dots":            {ord, "", "{metadata: {name: purchase.contoso.plan.ner}, spec: {purchase: {name: plan.ner}}}", "", ""},
	"a trial is named as a purchase":              {try, "", "metadata: {name: purchase.contoso.planner}", "", orderName},
	"a trial is named as another's":               {try, "", "metadata: {name: trial.fabrikam." + trialHash + "}", "", orderName},
	"a trial is named after its purchase":         {try, "", "metadata: {name: trial.contoso.planner}", "", orderName},
	"a trial is named by a short hash":            {try, "", "metadata: {name: trial.contoso." + trialHash[1:] + "}", "", orderName},
	"a trial is named by a long hash":             {try, "", "metadata: {name: trial.contoso." + trialHash + "0}", "", orderName},
	"a trial is named by two hashes":              {try, "", "metadata: {name: trial.contoso." + trialHash + "." + trialHash + "}", "", orderName},
	"an order without what was agreed":            {ord, "", "spec: {agreed: null}", "spec.agreed", "Required value"},
	"an order without an instant":                 {ord, "", "spec: {agreed: {at: null}}", "spec.agreed.at", "Required value"},
	"an order at no instant":                      {ord, "", "spec: {agreed: {at: today}}", "spec.agreed.at", "must be of type date-time"},
	"a trial without a length":                    {try, "", "spec: {agreed: {trial: null}}", "spec.agreed", trialHasOne},
	"a purchase that is free at first":            {ord, "", "spec: {agreed: {trial: P30D}}", "spec.agreed", trialHasOne},
	"a purchase on record without a way to pay":   {ord, "", "spec: {agreed: {paymentMethod: false}}", "spec.agreed.paymentMethod", "a purchase takes a payment method"},
	"a purchase on record that says nothing":      {ord, "", "spec: {agreed: {paymentMethod: null}}", "spec.agreed.paymentMethod", "a purchase takes a payment method"},
	"an order goes to another customer":           {ord, "{}", "{metadata: {name: purchase.fabrikam.planner}, spec: {customer: fabrikam}}", "spec.customer", "an order has one customer for ever"},
	"an order goes to another purchase":           {ord, "{}", "spec: {purchase: {name: visio}}", "spec.purchase", "an order has one purchase for ever"},
	"an order goes to a namesake of its purchase": {ord, "{}", "spec: {purchase: {uid: 6f0c}}", "spec.purchase", "an order has one purchase for ever"},
	"an order is for another price":               {ord, "{}", `spec: {agreed: {unitPrice: {amount: "1"}}}`, "spec.agreed", whatAgreed},
	"a trial is made longer":                      {try, "{}", "spec: {agreed: {trial: P60D}}", "spec.agreed", whatAgreed},
	"a purchaser on record changes":               {ord, "{}", "spec: {agreed: {purchaser: {email: b@b}}}", "spec.agreed", whatAgreed},
	"an order is audited afterwards":              {ord, "{}", "spec: {auditedBy: [default]}", "", ""},
	"an order is audited by another too":          {ord, "spec: {auditedBy: [default]}", "spec: {auditedBy: [default, it]}", "", ""},
	"an order was not audited after all":          {ord, "spec: {auditedBy: [default]}", "spec: {auditedBy: null}", "spec.auditedBy", auditedForEver},
	"an order was audited by another":             {ord, "spec: {auditedBy: [default]}", "spec: {auditedBy: [it]}", "spec.auditedBy", auditedForEver},
	"an order was audited twice by one":           {ord, "", "spec: {auditedBy: [default, default]}", "spec.auditedBy[]", "Duplicate value"},
	"an audited order goes on":                    {ord, "spec: {auditedBy: [default, it]}", `spec: {renewedUntil: "2026-04-01T00:00:00Z"}`, "", ""},
	"an order renews":                             {ord, `spec: {renewedUntil: "2026-04-01T00:00:00Z"}`, `spec: {renewedUntil: "2026-05-01T00:00:00Z"}`, "", ""},
	"an order's renewal is set back":              {ord, `spec: {renewedUntil: "2026-04-01T00:00:00Z"}`, `spec: {renewedUntil: "2026-03-31T23:59:59Z"}`, "spec.renewedUntil", forward},
	"an order's renewal is taken away":            {ord, `spec: {renewedUntil: "2026-04-01T00:00:00Z"}`, "spec: {renewedUntil: null}", "spec.renewedUntil", forward},
	"an order's renewal is written another way":   {ord, `spec: {renewedUntil: "2026-04-01T00:00:00Z"}`, `spec: {renewedUntil: "2026-04-01T02:00:00+02:00"}`, "", ""},
	"an order ends":                               {ord, "{}", orderEnded, "", ""},
	"an order ends for no reason":                 {ord, "{}", `spec: {endedAt: "2026-04-01T00:00:00Z"}`, "spec", together},
	"a reason for an order to end, and no end":    {ord, "{}", "spec: {endReason: Expired}", "spec", together},
	"an order ends at another time":               {ord, orderEnded, `spec: {endedAt: "2026-04-02T00:00:00Z"}`, "spec.endedAt", orderEnds},
	"an order ends for another reason":            {ord, orderEnded, "spec: {endReason: Cancelled}", "spec.endedAt", orderEnds},
	"an order that ended begins again":            {ord, orderEnded, "spec: {endedAt: null, endReason: null}", "spec.endedAt", orderEnds},
	"an order that expired is taken over":         {ord, orderEnded, "spec: {endReason: TakenOver, takeover: {name: it, reason: Other}}", "spec.endedAt", orderEnds},
	"an order is taken over":                      {ord, "{}", orderMoved, "", ""},
	"an order is taken over by nobody":            {ord, "{}", `spec: {endedAt: "2026-04-01T00:00:00Z", endReason: TakenOver}`, "spec.takeover", orderTaken},
	"an order expires, and is taken over":         {ord, "{}", `spec: {endedAt: "2026-04-01T00:00:00Z", endReason: Expired, takeover: {name: it, reason: Other}}`, "spec.takeover", orderTaken},
	"an order goes on, and is taken over":         {ord, "{}", "spec: {takeover: {name: it, reason: Other}}", "spec.takeover", orderTaken},
	"an order is taken over by another":           {ord, orderMoved, "spec: {takeover: {name: other}}", "spec.takeover", takenOnce},
	"an order is moved elsewhere":                 {ord, orderMoved, "spec: {takeover: {movedTo: {name: cad}}}", "spec.takeover", takenOnce},
	"an order was not taken over after all":       {ord, orderMoved, "spec: {takeover: null}", "spec.takeover", takenOnce},
	"an order is moved and cancelled":             {ord, "{}", strings.Replace(orderMoved, "name: it,", "name: it, reason: Other,", 1), "spec.takeover", eitherWay},
	"an order is taken over for no reason":        {ord, "{}", `spec: {endedAt: "2026-04-01T00:00:00Z", endReason: TakenOver, takeover: {name: it}}`, "spec.takeover", eitherWay},
}

const auditedForEver = "auditedBy is only added to: it is what policies said"

// takenFor ends an order by a takeover with one field as it is given.
func takenFor(field string) string {
	return `spec: {endedAt: "2026-04-01T00:00:00Z", endReason: TakenOver, takeover: {name: it, ` + field + "}}"
}

var takeoverReasons = oneOf("BoughtCentrally", "NotNeeded", "TooExpensive", "WrongProduct", "AgainstPolicy", "PurchaserLeft", "Other")

var orderFields = slices.Concat([]bounded{
	{ord, "spec.customer", "{metadata: {name: 'purchase.$.planner'}, spec: {customer: $}}", values{[]string{"a", text(63)}, map[string]string{
		`""`: "should be at least 1 chars long", text(64): "Too long: may not be more than 63 bytes",
	}}},
	{ord, "spec.purchase.name", "{metadata: {name: 'purchase.contoso.$'}, spec: {purchase: {name: $}}}", values{[]string{"a", text(253)}, map[string]string{
		`""`: "should be at least 1 chars long", text(254): "Too long: may not be more than 253 bytes",
	}}},
	{ord, "spec.purchase.uid", "", length(1, 64)},
	{ord, "spec.agreed.productRef.name", "", names},
	{ord, "spec.agreed.type", "", values{[]string{"Purchase"}, oneOf("Purchase").refused}},
	{try, "spec.agreed.type", "", values{[]string{"Trial"}, nil}},
	{ord, "spec.agreed.purchaser.username", "", usernames},
	{ord, "spec.agreed.purchaser.email", `spec: {agreed: {purchaser: {email: "$"}}}`, emails},
	{ord, "spec.agreed.planID", "", length(0, 50)},
	{try, "spec.agreed.trial", "", windows},
	{ord, "spec.agreed.term", "", termNames},
	{ord, "spec.agreed.unitPrice.amount", "", amounts},
	{ord, "spec.agreed.unitPrice.currency", "", currencies},
	{ord, "spec.auditedBy", "", values{[]string{"[]", repeat(16, "p%d")}, map[string]string{
		repeat(17, "p%d"): "Too many: 17: must have at most 16 items",
	}}},
	{ord, "spec.auditedBy[]", "spec: {auditedBy: $}", values{[]string{"[" + text(253) + "]"}, map[string]string{
		"[" + text(254) + "]": "Too long: may not be more than 253 bytes",
	}}},
	{ord, "spec.endReason", `spec: {endedAt: "2026-04-01T00:00:00Z", endReason: $}`, values{[]string{"Expired", "Cancelled"}, oneOf("Expired").refused}},
	{ord, "spec.takeover.name", `spec: {endedAt: "2026-04-01T00:00:00Z", endReason: TakenOver, takeover: {name: $, reason: Other}}`, length(1, 253)},
	{ord, "spec.takeover.reason", takenFor("reason: $"), takeoverReasons},
	{ord, "spec.takeover.comment", takenFor("reason: Other, comment: $"), length(0, 256)},
}, subscriptionFields(ord, "spec.takeover.movedTo", takenFor("movedTo: {kind: $, name: a}"), takenFor("movedTo: {kind: SoftwareSubscription, name: $}")))

// subscriptionFields are the fields of a SubscriptionReference at a path, in the
// patches for its kind and its name.
func subscriptionFields(base, path, kind, name string) []bounded {
	return []bounded{
		{base, path + ".kind", kind, values{[]string{"SoftwareSubscription", "MarketplaceSubscription"}, map[string]string{
			"SelfServicePurchase": "Unsupported value", "softwaresubscription": "Unsupported value", `""`: "Unsupported value",
		}}},
		{base, path + ".name", name, names},
	}
}
