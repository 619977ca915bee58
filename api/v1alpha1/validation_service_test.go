package v1alpha1_test

import "strings"

// serviceBase is the smallest useful Product that a publisher runs.
const serviceBase = `
metadata: {name: coffee}
spec:
  displayName: Coffee Analytics
  saas:
    publisherRef: {name: fourth-coffee}
    offerID: coffee-analytics
    plans: [{id: silver, displayName: Silver}]
  terms: [{term: P1M, price: {amount: "4.00", currency: EUR}}]`

const (
	oneOfBoth   = "set exactly one of software and saas"
	staysSo     = "a product stays what it is: publish another one"
	noPerpetual = "saas runs for a term: Perpetual is for software"
	oneCurrency = "all prices of a SaaS product are in one currency"
	someSoft    = "software: {keys: {issuerRef: {name: office}}}"
)

var serviceRows = map[string]row{
	"a service can be sold":                         {svc, "", "{}", "", ""},
	"a product that is software and a service":      {svc, "", "spec: {" + someSoft + "}", "spec", oneOfBoth},
	"a product that is neither":                     {svc, "", "spec: {saas: null}", "spec", oneOfBoth},
	"a service becomes software":                    {svc, "{}", "spec: {saas: null, " + someSoft + "}", "spec", staysSo},
	"software becomes a service":                    {prod, "{}", "spec: {software: null, saas: {publisherRef: {name: a}, offerID: a, plans: [{id: a, displayName: A}]}}", "spec", staysSo},
	"a service for ever":                            {svc, "", "spec: {terms: " + offers("P1M", "Perpetual") + "}", "spec.terms", noPerpetual},
	"a plan for ever":                               {svc, "", plan("terms: " + offers("Perpetual")), "spec.saas.plans[].terms", noPerpetual},
	"a plan for ever that is given back in part":    {svc, "", plan(`terms: [{term: Perpetual, price: {amount: "1", currency: EUR}, cancellation: {window: P3D, refund: Prorated}}]`), "spec.saas.plans[].terms[]", "a perpetual purchase has no days to prorate by: its refund must be Full"},
	"a service in two currencies":                   {svc, "", `spec: {terms: [{term: P1M, price: {amount: "1", currency: EUR}}, {term: P1Y, price: {amount: "9", currency: USD}}]}`, "spec.terms", oneCurrency},
	"a plan in another currency than the service":   {svc, "", plan(`terms: [{term: P1M, price: {amount: "1", currency: USD}}]`), "spec.saas.plans", oneCurrency},
	"a plan in two currencies":                      {svc, "", plan(`terms: [{term: P1M, price: {amount: "1", currency: EUR}}, {term: P1Y, price: {amount: "1", currency: USD}}]`), "spec.saas.plans", oneCurrency},
	"software in two currencies":                    {prod, "", `spec: {terms: [{term: P1M, price: {amount: "1", currency: EUR}}, {term: P1Y, price: {amount: "9", currency: USD}}]}`, "", ""},
	"a price of a plan beyond all measure":          {svc, "", plan(`terms: [{term: P1M, price: {amount: "1000000000000", currency: EUR}}]`), "spec.saas.plans[].terms[].price", "a price has at most 12 digits before the point"},
	"a plan has its own prices and policies":        {svc, "", plan(`terms: [{term: P1M, price: {amount: "9", currency: EUR}}, {term: P1Y, price: {amount: "99.5", currency: EUR}, cancellation: {window: P14D, refund: Prorated}}]`), "", ""},
	"a term of a plan is offered once":              {svc, "", plan("terms: " + offers("P1Y", "P1M", "P1Y")), "spec.saas.plans[].terms[]", "Duplicate value"},
	"a plan is listed once":                         {svc, "", "spec: {saas: {plans: [{id: a, displayName: A}, {id: a, displayName: B}]}}", "spec.saas.plans[]", "Duplicate value"},
	"plans that differ in capitals":                 {svc, "", "spec: {saas: {plans: [{id: gold, displayName: A}, {id: Gold, displayName: B}]}}", "", ""},
	"a plan needs a name for people":                {svc, "", "spec: {saas: {plans: [{id: a}]}}", "spec.saas.plans[].displayName", "Required value"},
	"a service needs plans":                         {svc, "", "spec: {saas: {plans: null}}", "spec.saas.plans", "Required value"},
	"a service needs a publisher":                   {svc, "", "spec: {saas: {publisherRef: null}}", "spec.saas.publisherRef", "Required value"},
	"a service goes to another publisher":           {svc, "{}", "spec: {saas: {publisherRef: {name: contoso}}}", "spec.saas.publisherRef", "publisherRef is immutable: another publisher's service is another product"},
	"a service is called otherwise":                 {svc, "{}", "spec: {saas: {offerID: coffee}}", "spec.saas.offerID", "offerID is immutable: the publisher knows what was sold by it"},
	"a service has other plans, prices and names":   {svc, "{}", `spec: {displayName: Coffee, saas: {plans: [{id: gold, displayName: Gold}]}, terms: [{term: P1Y, price: {amount: "1", currency: USD}}]}`, "", ""},
	"a service is sold with all its plans":          {svc, "", "spec: {saas: {plans: " + repeat(50, "{id: p%d, displayName: P, seats: {}, trial: P30D, terms: "+offers("P1M", "P1Y", "P2Y", "P3Y", "P4Y", "P5Y")+"}") + "}}", "", ""},
	"a plan for exactly one seat":                   {svc, "", plan("seats: {min: 1, max: 1}"), "", ""},
	"a plan whose fewest seats are more than most":  {svc, "", plan("seats: {min: 3, max: 2}"), "spec.saas.plans[].seats", "min is at most max"},
	"the fewest seats are as many as there can be":  {svc, "", plan("seats: {min: 1000000}"), "", ""},
	"a plan of whole seats":                         {svc, "", plan("seats: {max: 2.5}"), "spec.saas.plans[].seats.max", "must be of type int64"},
	"a plan is no longer sold":                      {svc, "{}", plan("stopSell: true"), "", ""},
	"a description of several lines":                {svc, "", plan(`description: "a\nb"`), "", ""},
	"a service for customers with a label":          {svc, "", "spec: {customers: {namespaceSelector: {matchLabels: {tier: enterprise}}}}", "", ""},
	"a trial of some hours":                         {svc, "", plan("trial: PT36H"), "", ""},
	"a trial is as long as the publisher says":      {svc, "", plan("trial: P60D"), "", ""},
	"a trial in months, which have no fixed length": {svc, "", plan("trial: P1M"), "spec.saas.plans[].trial", "give weeks, or days"},
}

// ids are what publishers call what they sell. The commercial marketplace takes
// small letters, digits, - and _; others take capitals and dots.
var ids = values{[]string{"a", `"7"`, "coffee-analytics", "silver_2", "Platinum001", "v1.2", "plan-", strings.Repeat("a", 50)}, map[string]string{
	`""`:       "should be at least 1 chars long",
	text(51):   "Too long: may not be more than 50 bytes",
	`"-a"`:     "should match '^[A-Za-z0-9]",
	`"=a"`:     "should match '^[A-Za-z0-9]",
	`"a b"`:    "should match '^[A-Za-z0-9]",
	`"a/b"`:    "should match '^[A-Za-z0-9]",
	`"a\nb"`:   "should match '^[A-Za-z0-9]",
	`"gold €"`: "should match '^[A-Za-z0-9]",
}}

var titles = values{[]string{"a", "Coffee Silver", text(200)}, map[string]string{
	`""`:      "should be at least 1 chars long",
	text(201): "Too long: may not be more than 200 bytes",
	`" a"`:    `should match '^\S(.*\S)?$'`,
	`"a "`:    `should match '^\S(.*\S)?$'`,
	`"a\nb"`:  `should match '^\S(.*\S)?$'`,
}}

var serviceFields = append([]bounded{
	{svc, "spec.saas.publisherRef.name", "", names},
	{svc, "spec.saas.offerID", "", ids},
	{svc, "spec.saas.plans", "", values{[]string{repeat(1, planN), repeat(50, planN)}, map[string]string{
		"[]":              "should have at least 1 items",
		repeat(51, planN): "Too many: 51: must have at most 50 items",
	}}},
	{svc, "spec.saas.plans[].id", "spec: {saas: {plans: [{id: $, displayName: Silver}]}}", ids},
	{svc, "spec.saas.plans[].displayName", "spec: {saas: {plans: [{id: silver, displayName: $}]}}", titles},
	{svc, "spec.saas.plans[].description", plan("description: $"), length(0, 1024)},
	{svc, "spec.saas.plans[].seats.min", plan("seats: {min: $}"), numbers(1, 1000000)},
	{svc, "spec.saas.plans[].seats.max", plan("seats: {max: $}"), numbers(1, 1000000)},
	{svc, "spec.saas.plans[].trial", plan("trial: $"), lasting("a trial lasts for some time: leave it out, or give at least one second")},
	{svc, "spec.saas.plans[].terms", plan("terms: $"), values{[]string{"[]", offers("P1M", "P1Y", "P2Y", "P3Y", "P4Y", "P5Y")}, map[string]string{
		offers("P1M", "P1Y", "P2Y", "P3Y", "P4Y", "P5Y", "P1M"): "Too many: 7: must have at most 6 items",
	}}},
}, offerFields(svc, "spec.saas.plans[].terms", plan("terms: $"), runningTerms, values{[]string{"EUR"}, currencies.refused})...)

const planN = "{id: p%d, displayName: P}"

func plan(fields string) string {
	return "spec: {saas: {plans: [{id: silver, displayName: Silver, " + fields + "}]}}"
}
