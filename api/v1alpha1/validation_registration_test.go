package v1alpha1_test

import (
	"slices"
	"strings"
	"testing"
)

const (
	// registrationBase is the smallest useful PartnerRegistration.
	registrationBase = `
metadata: {name: contoso, namespace: northwind}
spec:
  authorizationNumber: 12345678ZZS1234
  licenseNumber: "87654321"
  customerEmail: it@contoso.example
  acknowledged: true
  partner: {subject: {kind: User, name: gail@northwind.example}}`
	// contactBase is the smallest useful PartnerRegistration of a primary contact.
	contactBase = `
metadata: {name: contoso, namespace: northwind}
spec: {acknowledged: true, partner: {subject: {kind: User, name: gail@northwind.example}}}`
	// teamBase is the smallest useful PartnerRegistration of a group.
	teamBase = `
metadata: {name: contoso, namespace: northwind}
spec: {acknowledged: true, partner: {subject: {kind: Group, name: northwind-agents}, username: gail@northwind.example}}`
	// requesterBase is the smallest useful PartnerRequester.
	requesterBase = `
metadata: {name: partner-0123456789abcdef0123456789abcdef}
spec: {requester: gail@northwind.example}`
)

const (
	allThree    = "give authorizationNumber, licenseNumber and customerEmail, all three as they are on the order; or none of them, if the agreement names you as a primary contact"
	acknowledge = "set acknowledged to true: you manage licences on behalf of the customer, who is told so by mail and can end it at any time"
	nameMissing = "for a Group give your own user name too, as kubectl auth whoami tells it"
	nameTooMuch = "username is for a Group only: leave it out, as the subject registers itself"
	sameWho     = "who registers is immutable: make another PartnerRegistration"
	numbersStay = "you are recognised by these numbers: for another agreement make another PartnerRegistration"

	recognised = `status: {observedGeneration: 1, comparedGeneration: 1, recognisedAt: "2026-03-01T00:00:00Z"}`
	compared   = "status: {observedGeneration: 1, comparedGeneration: 1}"
	theThree   = `authorizationNumber: 12345678ZZS1234, licenseNumber: "87654321", customerEmail: it@contoso.example`
	noneOfThem = "authorizationNumber: null, licenseNumber: null, customerEmail: null"
)

// asA is a registration by somebody else.
func asA(kind, more string) string {
	return "spec: {partner: {subject: {kind: " + kind + ", name: ci, " + more + "}}}"
}

var registrationRows = map[string]row{
	"a partner registers by numbers":               {reg, "", "{}", "", ""},
	"a partner registers as a primary contact":     {own, "", "{}", "", ""},
	"a partner registers his group":                {team, "", "{}", "", ""},
	"a partner registers his group by numbers":     {team, "", "spec: {" + theThree + "}", "", ""},
	"a workload registers itself":                  {own, "", asA("ServiceAccount", "namespace: northwind"), "", ""},
	"a workload registers itself by its user name": {own, "", "spec: {partner: {subject: {name: 'system:serviceaccount:northwind:ci'}}}", "", ""},
	"a workload registers without its namespace":   {own, "", asA("ServiceAccount", ""), "spec.partner.subject", whoHasOne},
	"a person registers in a namespace":            {own, "", asA("User", "namespace: northwind"), "spec.partner.subject", whoHasOne},
	"a group registers in a namespace":             {team, "", "spec: {partner: {subject: {namespace: northwind}}}", "spec.partner.subject", whoHasOne},
	"a registration without a spec":                {reg, "", "spec: null", "spec", "Required value"},
	"nobody registers":                             {reg, "", "spec: {partner: null}", "spec.partner", "Required value"},
	"nobody is to get access":                      {reg, "", "spec: {partner: {subject: null}}", "spec.partner.subject", "Required value"},
	"a subject of no kind registers":               {reg, "", "spec: {partner: {subject: {kind: null}}}", "spec.partner.subject.kind", "Required value"},
	"a subject of no name registers":               {reg, "", "spec: {partner: {subject: {name: null}}}", "spec.partner.subject.name", "Required value"},
	"several subjects register":                    {reg, "", "spec: {partner: {subjects: [{kind: User, name: hal}]}}", "spec.partner.subjects", "unknown field"},
	"a group without whoever registers it":         {team, "", "spec: {partner: {username: null}}", "spec.partner.username", nameMissing},
	"a group and nobody registers it":              {team, "", "spec: {partner: {username: ''}}", "spec.partner.username", "should be at least 1 chars long"},
	"a person who gives his name twice":            {reg, "", "spec: {partner: {username: gail@northwind.example}}", "spec.partner.username", nameTooMuch},
	"a person who gives another name too":          {reg, "", "spec: {partner: {username: hal@northwind.example}}", "spec.partner.username", nameTooMuch},
	"a workload that gives its user name too":      {own, "", strings.Replace(asA("ServiceAccount", "namespace: northwind"), "partner: {", "partner: {username: ada, ", 1), "spec.partner.username", nameTooMuch},

	"a registration that acknowledges nothing":            {reg, "", "spec: {acknowledged: null}", "spec.acknowledged", "Required value"},
	"a registration that refuses to acknowledge":          {reg, "", "spec: {acknowledged: false}", "spec.acknowledged", acknowledge},
	"a registration that acknowledges in words":           {reg, "", "spec: {acknowledged: 'true'}", "spec.acknowledged", "must be of type boolean"},
	"an acknowledgement is taken back":                    {reg, "{}", "spec: {acknowledged: false}", "spec.acknowledged", acknowledge},
	"an acknowledgement is taken back, once recognised":   {reg, recognised, "spec: {acknowledged: false}", "spec.acknowledged", acknowledge},
	"a registration by the authorization alone":           {own, "", "spec: {authorizationNumber: 12345678ZZS1234}", "spec", allThree},
	"a registration by the licence alone":                 {own, "", `spec: {licenseNumber: "87654321"}`, "spec", allThree},
	"a registration by the address alone":                 {own, "", "spec: {customerEmail: it@contoso.example}", "spec", allThree},
	"a registration without the authorization":            {reg, "", "spec: {authorizationNumber: null}", "spec", allThree},
	"a registration without the licence":                  {reg, "", "spec: {licenseNumber: null}", "spec", allThree},
	"a registration without the address":                  {reg, "", "spec: {customerEmail: null}", "spec", allThree},
	"a registration with numbers that are empty":          {own, "", `spec: {authorizationNumber: "", licenseNumber: "", customerEmail: ""}`, "spec.customerEmail", "should be at least 3 chars long"},
	"a registration with numbers that are not in quotes":  {reg, "", "spec: {licenseNumber: 87654321}", "spec.licenseNumber", "must be of type string"},
	"a registration with an authorization of bare digits": {reg, "", "spec: {authorizationNumber: 123456780001234}", "spec.authorizationNumber", "must be of type string"},
	"a registration's name of 150 characters":             {reg, "", "metadata: {name: " + text(150) + "}", "", ""},
	"a registration's name of 151 characters":             {reg, "", "metadata: {name: " + text(151) + "}", "", nameInNames},
	"a registration that recognises itself":               {reg, "", `spec: {recognisedAt: "2026-03-01T00:00:00Z"}`, "spec.recognisedAt", "unknown field"},
	"a registration that names the customer":              {reg, "", "spec: {customer: contoso}", "spec.customer", "unknown field"},

	"numbers are corrected before anybody has looked":  {reg, "{}", "spec: {authorizationNumber: 12345678ZZS1235}", "", ""},
	"numbers are corrected, and one is forgotten":      {reg, compared, "spec: {licenseNumber: null}", "spec", allThree},
	"the authorization is corrected":                   {reg, compared, "spec: {authorizationNumber: 12345678ZZS1235}", "", ""},
	"the licence is corrected":                         {reg, compared, `spec: {licenseNumber: "87654322"}`, "", ""},
	"the address is corrected":                         {reg, compared, "spec: {customerEmail: office@contoso.example}", "", ""},
	"numbers are left out by a primary contact":        {reg, compared, "spec: {" + noneOfThem + "}", "", ""},
	"numbers are given after all":                      {own, compared, "spec: {" + theThree + "}", "", ""},
	"the authorization changes, once recognised":       {reg, recognised, "spec: {authorizationNumber: 12345678ZZS1235}", "spec", numbersStay},
	"the licence changes, once recognised":             {reg, recognised, `spec: {licenseNumber: "87654322"}`, "spec", numbersStay},
	"the address changes, once recognised":             {reg, recognised, "spec: {customerEmail: office@contoso.example}", "spec", numbersStay},
	"the address changes its case, once recognised":    {reg, recognised, "spec: {customerEmail: IT@contoso.example}", "spec", numbersStay},
	"numbers are left out, once recognised":            {reg, recognised, "spec: {" + noneOfThem + "}", "spec", numbersStay},
	"numbers are given, once recognised as a contact":  {own, recognised, "spec: {" + theThree + "}", "spec", numbersStay},
	"one number is left out, once recognised":          {reg, recognised, "spec: {licenseNumber: null}", "spec", numbersStay},
	"numbers change when no longer recognised":         {reg, compared, `spec: {licenseNumber: "87654322"}`, "", ""},
	"a registration gets a label, once recognised":     {reg, recognised, "{metadata: {labels: {a: b}}, spec: {partner: {email: gail@northwind.example}}}", "", ""},
	"a primary contact's gets a label, once he is":     {own, recognised, "{metadata: {labels: {a: b}}, spec: {partner: {email: gail@northwind.example}}}", "", ""},
	"a recognised one is no longer, says its status":   {reg, recognised, "status: {recognisedAt: null, agreements: null, customers: null}", "", ""},
	"a recognised one becomes so again, by its status": {reg, compared, recognised, "", ""},

	"somebody else registers instead":               {reg, "{}", "spec: {partner: {subject: {name: hal@northwind.example}}}", "spec.partner", sameWho},
	"somebody else registers instead, in capitals":  {reg, "{}", "spec: {partner: {subject: {name: Gail@northwind.example}}}", "spec.partner", sameWho},
	"somebody else registers, once recognised":      {reg, recognised, "spec: {partner: {subject: {name: hal@northwind.example}}}", "spec.partner", sameWho},
	"his group registers instead":                   {reg, "{}", "spec: {partner: {username: gail@northwind.example, subject: {kind: Group, name: northwind-agents}}}", "spec.partner", sameWho},
	"a group of his name registers instead":         {reg, "{}", "spec: {partner: {username: gail@northwind.example, subject: {kind: Group}}}", "spec.partner", sameWho},
	"a person registers instead of the group":       {team, "{}", "spec: {partner: {username: null, subject: {kind: User, name: gail@northwind.example}}}", "spec.partner", sameWho},
	"another group registers instead":               {team, "{}", "spec: {partner: {subject: {name: northwind}}}", "spec.partner", sameWho},
	"somebody else registers the group":             {team, "{}", "spec: {partner: {username: hal@northwind.example}}", "spec.partner", sameWho},
	"a workload registers instead":                  {own, "{}", "spec: {partner: {subject: {kind: ServiceAccount, namespace: northwind, name: ci}}}", "spec.partner", sameWho},
	"a workload's namesake registers instead":       {own, asA("ServiceAccount", "namespace: northwind"), asA("ServiceAccount", "namespace: fabrikam"), "spec.partner", sameWho},
	"a workload registers anew by its user name":    {own, asA("ServiceAccount", "namespace: northwind"), "spec: {partner: {subject: {kind: User, namespace: null, name: 'system:serviceaccount:northwind:ci'}}}", "spec.partner", sameWho},
	"a partner's mail address is given":             {reg, "{}", "spec: {partner: {email: gail@northwind.example}}", "", ""},
	"a partner's mail address changes":              {reg, "spec: {partner: {email: gail@northwind.example}}", "spec: {partner: {email: hal@northwind.example}}", "", ""},
	"a partner's mail address is taken away":        {reg, "spec: {partner: {email: gail@northwind.example}}", "spec: {partner: {email: null}}", "", ""},
	"a partner's mail address is given, in a group": {team, recognised, "spec: {partner: {email: gail@northwind.example}}", "", ""},

	"a registration's status can be written":          {reg, "{}", "status: {observedGeneration: 1, comparedGeneration: 1, agreements: [" + registeredAs("access: Granted") + "], customers: [contoso], conditions: [" + with(condition, "True") + "]}", "", ""},
	"two agreements of one customer":                  {reg, "{}", "status: {agreements: [" + registeredAs("name: a") + ", " + registeredAs("name: b") + "]}", "", ""},
	"agreements of one name":                          {reg, "{}", "status: {agreements: [" + registeredAs("namespace: a") + ", " + registeredAs("namespace: b") + "]}", "", ""},
	"an agreement is there twice":                     {reg, "{}", "status: {agreements: [" + registeredAs("access: Granted") + ", " + registeredAs("access: Removed") + "]}", "status.agreements[]", "Duplicate value"},
	"an agreement without what there is of access":    {reg, "{}", "status: {agreements: [{namespace: contoso, name: open}]}", "status.agreements[].access", "Required value"},
	"a customer is there twice":                       {reg, "{}", "status: {customers: [contoso, contoso]}", "status.customers[]", "Duplicate value"},
	"a registration lists a condition only once":      {reg, "{}", with(twice, "True"), "status.conditions[]", "Duplicate value"},
	"a registration's numbers are not in its status":  {reg, "{}", `status: {licenseNumber: "87654321"}`, "status.licenseNumber", "unknown field"},
	"a registration does not tell which number it is": {reg, "{}", "status: {agreements: [{namespace: contoso, name: open, access: Granted, customerEmail: it@contoso.example}]}", "status.agreements[].customerEmail", "unknown field"},
}

// registeredAs is an agreement of a registration with one field as it is given.
func registeredAs(field string) string {
	return filled(field, "namespace: contoso", "name: open", "access: Granting")
}

const subjectOf = "spec: {partner: {subject: $}}"

var registrationFields = slices.Concat([]bounded{
	{reg, "spec.authorizationNumber", "", authorizationNumbers},
	{reg, "spec.licenseNumber", "", licenseNumbers},
	{reg, "spec.customerEmail", `spec: {customerEmail: "$"}`, emails},
	{reg, "spec.partner.email", `spec: {partner: {email: "$"}}`, emails},
	{team, "spec.partner.username", "", values{append(accounts, knownNames.accepted...), knownNames.refused}},
	{team, "spec.partner.subject.kind", "spec: {partner: {subject: {kind: $}}}", values{[]string{"Group"}, nil}},
	{team, "spec.partner.subject.name", "spec: {partner: {subject: {name: $}}}", values{knownNames.accepted, valuesOf(knownNames.refused, everybodysNames())}},
	{reg, "status.agreements", "", values{[]string{repeat(256, registeredAs("name: a%d"))}, map[string]string{
		repeat(257, registeredAs("name: a%d")): "Too many: 257: must have at most 256 items",
	}}},
	{reg, "status.agreements[].namespace", "status: {agreements: [" + registeredAs("namespace: $") + "]}", length(1, 63)},
	{reg, "status.agreements[].name", "status: {agreements: [" + registeredAs("name: $") + "]}", length(1, 253)},
	{reg, "status.agreements[].access", "status: {agreements: [" + registeredAs("access: $") + "]}", oneOf("Granting", "Granted", "Removed")},
	{reg, "status.customers", "", values{[]string{repeat(256, "c%d")}, map[string]string{repeat(257, "c%d"): "Too many: 257: must have at most 256 items"}}},
	{reg, "status.customers[]", "status: {customers: [$]}", length(0, 63)},
	{reg, "status.conditions", "", conditions},
}, notGroups(subjectFields(own, "spec.partner.subject", subjectOf, "spec.partner.subject", noPartner)))

// notGroups gives a group somebody who registers it.
func notGroups(fields []bounded) []bounded {
	for i, f := range fields {
		if strings.Contains(f.in, "kind: Group") {
			fields[i].in = strings.Replace(f.in, "partner: {", "partner: {username: gail, ", 1)
		}
		if strings.Contains(f.in, "kind: $, name: a") { // a Group without a name is not accepted
			fields[i].accepted = slices.DeleteFunc(slices.Clone(f.accepted), func(kind string) bool { return kind == "Group" })
		}
	}
	return fields
}

// Vain attempts.

// attempt is one with one field as it is given.
func attempt(field string) string {
	return filled(field, "registration: {namespace: northwind, name: contoso}", "uid: 5f0c", "generation: 1", `at: "2026-03-01T00:00:00Z"`)
}

var requesterRows = map[string]row{
	"somebody who has not tried":                 {req, "", "{}", "", ""},
	"somebody who has tried":                     {req, "{}", "spec: {attempts: [" + attempt("uid: a") + "]}", "", ""},
	"somebody who has tried twice by one":        {req, "{}", "spec: {attempts: [" + attempt("generation: 1") + ", " + attempt("generation: 2") + "]}", "", ""},
	"somebody who has tried by two":              {req, "{}", "spec: {attempts: [" + attempt("uid: a") + ", " + attempt("uid: b") + "]}", "", ""},
	"an attempt is on record twice":              {req, "{}", "spec: {attempts: [" + attempt("uid: a") + ", " + attempt("uid: a") + "]}", "spec.attempts[]", "Duplicate value"},
	"an attempt is on record at two instants":    {req, "{}", "spec: {attempts: [" + attempt("uid: 5f0c") + ", " + attempt(`at: "2026-03-02T00:00:00Z"`) + "]}", "spec.attempts[]", "Duplicate value"},
	"attempts are taken back":                    {req, "spec: {attempts: [" + attempt("uid: a") + "]}", "spec: {attempts: null}", "", ""},
	"attempts of nobody":                         {req, "", "spec: {requester: null}", "spec.requester", "Required value"},
	"a record without a spec":                    {req, "", "spec: null", "spec", "Required value"},
	"attempts go to somebody else":               {req, "{}", "spec: {requester: hal@northwind.example}", "spec.requester", "requester is immutable"},
	"attempts go to somebody else, in capitals":  {req, "{}", "spec: {requester: Gail@northwind.example}", "spec.requester", "requester is immutable"},
	"an attempt by no registration":              {req, "", "spec: {attempts: [{uid: a, generation: 1, at: '2026-03-01T00:00:00Z'}]}", "spec.attempts[].registration", "Required value"},
	"an attempt by a namesake":                   {req, "", "spec: {attempts: [{registration: {namespace: a, name: a}, generation: 1, at: '2026-03-01T00:00:00Z'}]}", "spec.attempts[].uid", "Required value"},
	"an attempt of any generation":               {req, "", "spec: {attempts: [{registration: {namespace: a, name: a}, uid: a, at: '2026-03-01T00:00:00Z'}]}", "spec.attempts[].generation", "Required value"},
	"an attempt at no instant":                   {req, "", "spec: {attempts: [{registration: {namespace: a, name: a}, uid: a, generation: 1}]}", "spec.attempts[].at", "Required value"},
	"an attempt on Monday":                       {req, "", "spec: {attempts: [" + attempt("at: Monday") + "]}", "spec.attempts[].at", "must be of type date-time"},
	"what was tried is not on record":            {req, "", "spec: {attempts: [{registration: {namespace: a, name: a}, uid: a, generation: 1, at: '2026-03-01T00:00:00Z', licenseNumber: '12345678'}]}", "spec.attempts[].licenseNumber", "unknown field"},
	"a record of attempts has no status":         {req, "{}", "status: {observedGeneration: 1}", "status", "unknown field"},
	"the requester of all workloads of one name": {req, "", "spec: {requester: 'system:serviceaccounts:northwind'}", "", ""},
}

var requesterFields = []bounded{
	{req, "spec.requester", "", values{append(accounts, knownNames.accepted...), knownNames.refused}},
	{req, "spec.attempts", "", values{[]string{repeat(16, attempt("uid: u%d"))}, map[string]string{
		repeat(17, attempt("uid: u%d")): "Too many: 17: must have at most 16 items",
	}}},
	{req, "spec.attempts[].registration.namespace", "spec: {attempts: [" + attempt("registration: {name: a, namespace: $}") + "]}", length(1, 63)},
	{req, "spec.attempts[].registration.name", "spec: {attempts: [" + attempt("registration: {namespace: a, name: $}") + "]}", length(1, 253)},
	{req, "spec.attempts[].uid", "spec: {attempts: [" + attempt("uid: $") + "]}", length(1, 64)},
}

// What objects can be listed by. A registration is found by who registers, and
// never by a number: whoever may list could guess with it.
func TestSelectableFields(t *testing.T) {
	want := map[string][]string{
		agr: {".spec.authorizationNumber", ".spec.licenseNumber"},
		reg: {".spec.partner.subject.name"},
		req: nil,
	}
	for kind, paths := range want {
		var got []string
		for _, f := range definitionOf(t, kind).crd.Spec.Versions[0].SelectableFields {
			got = append(got, f.JSONPath)
		}
		if !slices.Equal(got, paths) {
			t.Errorf("%s: got %v, want %v", kind, got, paths)
		}
	}
}
