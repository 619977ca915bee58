package v1alpha1_test

import (
	"fmt"
	"slices"
	"strings"
)

// agreementBase is the smallest useful PartnerAgreement.
const agreementBase = `
metadata: {name: open, namespace: contoso}
spec: {authorizationNumber: 12345678ZZS1234, licenseNumber: "87654321", customerEmail: it@contoso.example}`

const (
	fifteen = "an authorization number has 15 digits and capital letters, and no hyphens, such as 12345678ZZS1234"
	eight   = `a licence number has 8 digits and no hyphens, such as "12345678"`

	asKnown     = "write the name as the API server knows it (kubectl auth whoami tells one's own), in one line and without blanks around it"
	asListed    = "write namespace and name of the ServiceAccount as kubectl get serviceaccounts -A lists them"
	tooLongName = "the user name of this ServiceAccount is too long: namespace and name may have 230 characters together"
	noAdmin     = "an administrator is a person, a group of persons or a service account, and nothing of Kubernetes itself: of the names that begin with system: only system:serviceaccount:<namespace>:<name> is accepted, as a User"
	noContact   = "a primary contact is a person or a service account, and nothing of Kubernetes itself: of the names that begin with system: only system:serviceaccount:<namespace>:<name> is accepted"
	noPartner   = "a partner is a person, a group of persons or a service account, and nothing of Kubernetes itself: of the names that begin with system: only system:serviceaccount:<namespace>:<name> is accepted, as a User"
	nameInNames = "the name is part of other names: use at most 150 characters"
)

// knownNames are names of users and groups, also such as look like others: they
// are names like any, and give nobody anything.
var knownNames = values{
	[]string{
		"a", "gail@northwind.example", "Gail", `"gail"`, `"ada lovelace"`, `"ädä"`, `"伊藤"`, "contoso\\ada", `"https://id.example#ada"`,
		`"oidc:ada"`, `"=ada"`, `"*"`, `"0815"`, `"ada,bob"`, `"<ada>"`, "systems:masters", `"-system:masters"`,
		`"ѕystem:masters"`, // it begins with a letter that is not Latin
		`"system：masters"`, // with a wide colon
		text(253), `"` + strings.Repeat("ä", 253) + `"`,
	}, map[string]string{
		`""`:                            "should be at least 1 chars long",
		text(254):                       "Too long: may not be more than 253 bytes",
		`" "`:                           asKnown,
		`" ada"`:                        asKnown,
		`"ada "`:                        asKnown,
		`"\tada"`:                       asKnown,
		`"ada\t"`:                       asKnown,
		`"ada\n"`:                       asKnown,
		`"ada\nbob"`:                    asKnown,
		`"ada\rbob"`:                    asKnown,
		`"ada\u2028bob"`:                asKnown, // a new line
		`"ada\u2029bob"`:                asKnown, // a new paragraph
		`"ada\u0085bob"`:                asKnown, // the next line
		`"ada\u0000"`:                   asKnown,
		`"ada\e[2J"`:                    asKnown,
		`"ada\u007f"`:                   asKnown,
		`"ada\u00a0"`:                   asKnown, // a space that does not break
		`"\u3000ada"`:                   asKnown, // a wide one
		`"a\u200bda"`:                   asKnown, // one of no width
		`"\ufeffada"`:                   asKnown, // another one
		`"\u202eada"`:                   asKnown, // from right to left
		`"a\u00adda"`:                   asKnown, // a hyphen that is not shown
		`"\ue000"`:                      asKnown, // of private use
		`" system:masters"`:             asKnown,
		`"system:authenticated\n"`:      asKnown,
		`"system:serviceaccount:a:b\n"`: asKnown,
	},
}

// systemNames are names of Kubernetes itself, and such as pretend to be.
func systemNames(refusal string) map[string]string {
	return map[string]string{
		"system:masters":                             refusal,
		"System:masters":                             refusal,
		"SYSTEM:MASTERS":                             refusal,
		"sYsTeM:nodes":                               refusal,
		"'system:'":                                  refusal,
		"'system::'":                                 refusal,
		"system:admin":                               refusal,
		"system:node:worker-1":                       refusal,
		"system:kube-controller-manager":             refusal,
		"system:bootstrappers":                       refusal,
		"system:monitoring":                          refusal,
		"system:serviceaccounts:northwind":           refusal,
		"system:serviceaccount":                      refusal,
		"'system:serviceaccount:'":                   refusal,
		"system:serviceaccount:northwind":            refusal,
		"'system:serviceaccount:northwind:'":         refusal,
		"'system:serviceaccount::ci'":                refusal,
		"system:serviceaccount:northwind:ci:cd":      refusal,
		"'system:serviceaccount:northwind:ci cd'":    refusal,
		"system:serviceaccount:northwind:CI":         refusal,
		"system:serviceaccount:Northwind:ci":         refusal,
		"System:serviceaccount:northwind:ci":         refusal,
		"system:serviceAccount:northwind:ci":         refusal,
		"system:serviceaccount:north.wind:ci":        refusal,
		"system:serviceaccount:-northwind:ci":        refusal,
		"system:serviceaccount:northwind:ci.":        refusal,
		"'system:serviceaccount:northwind:*'":        refusal,
		"system:serviceaccount:northwind:../ci":      refusal,
		`"system:serviceaccount:northwind:ｃｉ"`:       refusal,
		`"system:serviceaccount:northwind:ci\u0301"`: refusal, // with an accent
	}
}

// everybodysNames are those that have words of their own.
func everybodysNames() map[string]string {
	return map[string]string{
		"system:authenticated": everybody, "system:unauthenticated": everybody, "system:serviceaccounts": everybody, "system:anonymous": everybody,
	}
}

// valuesOf are several values of one field.
func valuesOf(some ...map[string]string) map[string]string {
	all := map[string]string{}
	for _, one := range some {
		for value, want := range one {
			all[value] = want
		}
	}
	return all
}

// accounts are the user names of service accounts.
var accounts = []string{"system:serviceaccount:northwind:ci", "system:serviceaccount:a:b", "system:serviceaccount:north-wind:ci.cd-1", "system:serviceaccount:northwind:" + text(221)}

// subjectFields are the fields of a Subject that is nobody of Kubernetes itself.
// It goes to the $ of a patch.
func subjectFields(kind, path, in, refused, refusal string) []bounded {
	subject := func(fields string) string { return with(in, "{"+fields+"}") }
	account := func(fields string) string { return subject("kind: ServiceAccount, " + fields) }
	elsewhere := func(r map[string]string, of string) (all []bounded) { // where the rule is on another field
		for value, want := range r {
			all = append(all, bounded{kind, refused, subject("kind: " + of + ", name: $"), values{nil, map[string]string{value: want}}})
		}
		return all
	}
	nobodys := map[string]string{} // of a ServiceAccount
	for _, name := range []string{"CI", "ci_1", "-ci", "ci-", ".ci", "a/b", "a:b", "system:ci", "ädä", "'*'", "'ci cd'"} {
		nobodys[name] = asListed
	}
	all := []bounded{
		{kind, path + ".kind", subject("kind: $, name: a"), values{[]string{"User", "Group"}, map[string]string{
			`""`: "Unsupported value", "user": "Unsupported value", "Role": "Unsupported value", "UserGroup": "Unsupported value",
		}}},
		{kind, path + ".kind", subject("kind: $, namespace: a, name: a"), values{[]string{"ServiceAccount"}, nil}},
		{kind, path + ".name", subject("kind: User, name: $"), values{append(accounts, knownNames.accepted...), valuesOf(knownNames.refused, everybodysNames())}},
		{kind, path + ".name", subject("name: $, kind: Group"), values{knownNames.accepted, valuesOf(knownNames.refused, everybodysNames())}},
		{kind, path + ".name", account("namespace: a, name: $"), values{[]string{"ci", "a.b-c", `"0"`, text(229)}, map[string]string{`""`: "should be at least 1 chars long", `"ci "`: asKnown}}},
		{kind, path, account("namespace: a, name: $"), values{nil, valuesOf(nobodys, map[string]string{text(230): tooLongName, text(253): tooLongName})}},
		{kind, path, account("name: a, namespace: $"), values{nil, map[string]string{
			"North": asListed, "a.b": asListed, "-a": asListed, "a-": asListed, "a:b": asListed, "kube_system": asListed, `"a "`: asListed, `"a\n"`: asListed, "a/b": asListed, "'*'": asListed,
		}}},
		{kind, path + ".namespace", account("namespace: $, name: a"), length(1, 63)},
		{kind, path, subject("namespace: " + text(63) + ", kind: ServiceAccount, name: $"), values{[]string{text(167)}, map[string]string{text(168): tooLongName}}},
	}
	all = append(all, elsewhere(systemNames(refusal), "User")...)
	for _, name := range append([]string{"system:masters", "System:Masters", "system:nodes", "system:serviceaccounts:northwind", "system:bootstrappers:kubeadm"}, accounts[:2]...) {
		all = append(all, bounded{kind, refused, subject("name: $, kind: Group"), values{nil, map[string]string{name: refusal}}})
	}
	return all
}

var agreementRows = map[string]row{
	"an agreement":                            {agr, "", "{}", "", ""},
	"an agreement without an authorization":   {agr, "", "spec: {authorizationNumber: null}", "spec.authorizationNumber", "Required value"},
	"an agreement without a licence":          {agr, "", "spec: {licenseNumber: null}", "spec.licenseNumber", "Required value"},
	"an agreement without a mail address":     {agr, "", "spec: {customerEmail: null}", "spec.customerEmail", "Required value"},
	"an agreement without a spec":             {agr, "", "spec: null", "spec", "Required value"},
	"a licence number is quoted":              {agr, "", "spec: {licenseNumber: 87654321}", "spec.licenseNumber", "must be of type string"},
	"an authorization of digits is quoted":    {agr, "", "spec: {authorizationNumber: 123456780001234}", "spec.authorizationNumber", "must be of type string"},
	"an agreement gets another authorization": {agr, "{}", "spec: {authorizationNumber: 12345678ZZE1234}", "spec.authorizationNumber", "authorizationNumber is immutable: another number is another agreement"},
	"an agreement gets another licence":       {agr, "{}", `spec: {licenseNumber: "87654322"}`, "spec.licenseNumber", "licenseNumber is immutable: another order is another PartnerAgreement"},
	"an agreement's mail address is mended":   {agr, "{}", "spec: {customerEmail: office@contoso.example}", "", ""},
	"an agreement loses its authorization":    {agr, "{}", "spec: {authorizationNumber: null}", "spec.authorizationNumber", "Required value"},
	"an agreement loses its licence":          {agr, "{}", "spec: {licenseNumber: null}", "spec.licenseNumber", "Required value"},
	"an agreement loses its mail address":     {agr, "{}", "spec: {customerEmail: null}", "spec.customerEmail", "Required value"},
	"an agreement's name of 150 characters":   {agr, "", "metadata: {name: " + text(150) + "}", "", ""},
	"an agreement's name of 151 characters":   {agr, "", "metadata: {name: " + text(151) + "}", "", nameInNames},

	"an agreement names people":                    {agr, "", people, "", ""},
	"an agreement names others":                    {agr, people, "spec: {primaryContacts: [hal], administrators: [{kind: User, name: dan}], removedPartners: [fabrikam]}", "", ""},
	"an agreement names nobody any more":           {agr, people, "spec: {primaryContacts: null, administrators: null, removedPartners: null}", "", ""},
	"an agreement names nobody in empty lists":     {agr, people, "spec: {primaryContacts: [], administrators: [], removedPartners: []}", "", ""},
	"all people that there is room for":            {agr, "{}", manyPeople(32, 64, 256), "", ""},
	"all people that there is room for, changed":   {agr, manyPeople(32, 64, 256), manyPeople(31, 63, 255), "", ""},
	"all people that there is room for, in status": {agr, manyPeople(32, 64, 256), "status: {partners: " + repeat(100, partnerOn("name: p%d")) + "}", "", ""},
	"a primary contact twice":                      {agr, "", "spec: {primaryContacts: [gail, gail]}", "spec.primaryContacts[]", "Duplicate value"},
	"a primary contact twice, once in capitals":    {agr, "", "spec: {primaryContacts: [gail, Gail]}", "", ""}, // two users for the API server
	"a primary contact that is no text":            {agr, "", "spec: {primaryContacts: [7]}", "spec.primaryContacts[]", "must be of type string"},
	"a primary contact that is nobody":             {agr, "", "spec: {primaryContacts: [null]}", "spec.primaryContacts[]", "must be of type string"},
	"a primary contact as a subject":               {agr, "", "spec: {primaryContacts: [{kind: User, name: gail}]}", "spec.primaryContacts[]", "must be of type string"},
	"primary contacts in a line":                   {agr, "", "spec: {primaryContacts: 'gail, hal'}", "spec.primaryContacts", "must be of type array"},
	"a partner is removed":                         {agr, "{}", "spec: {removedPartners: [gail@northwind.example]}", "", ""},
	"all service accounts of one are removed":      {agr, "{}", "spec: {removedPartners: ['system:serviceaccounts:northwind', 'system:serviceaccount:northwind:ci']}", "", ""},
	"a partner may come back":                      {agr, people, "spec: {removedPartners: []}", "", ""},
	"a partner is removed twice":                   {agr, "{}", "spec: {removedPartners: [northwind, gail, northwind]}", "spec.removedPartners[]", "Duplicate value"},
	"an administrator by a bare name":              {agr, "", "spec: {administrators: [ada]}", "spec.administrators[]", "must be of type object"},
	"an administrator who is nobody":               {agr, "", "spec: {administrators: [{}]}", "spec.administrators[].name", "Required value"},
	"an administrator without a name":              {agr, "", "spec: {administrators: [{kind: User}]}", "spec.administrators[].name", "Required value"},
	"an administrator without a kind":              {agr, "", "spec: {administrators: [{name: ada}]}", "spec.administrators[].kind", "Required value"},
	"an administrator of an API group":             {agr, "", "spec: {administrators: [{kind: User, name: ada, apiGroup: rbac.authorization.k8s.io}]}", "spec.administrators[].apiGroup", "unknown field"},
	"an administrator twice does no harm":          {agr, "", "spec: {administrators: [{kind: User, name: ada}, {kind: User, name: ada}]}", "", ""},
	"an administrator of a namespace":              {agr, "", "spec: {administrators: [{kind: User, namespace: contoso, name: ada}]}", "spec.administrators[]", whoHasOne},
	"administrators of a namespace":                {agr, "", "spec: {administrators: [{kind: Group, namespace: contoso, name: it}]}", "spec.administrators[]", whoHasOne},
	"an administrator that is a workload":          {agr, "", "spec: {administrators: [{kind: ServiceAccount, namespace: contoso, name: ci}]}", "", ""},
	"an administrator without his namespace":       {agr, "", "spec: {administrators: [{kind: ServiceAccount, name: ci}]}", "spec.administrators[]", whoHasOne},
	"an administrator of an empty namespace":       {agr, "", "spec: {administrators: [{kind: User, namespace: '', name: ada}]}", "spec.administrators[].namespace", "should be at least 1 chars long"},
	"one of many administrators is of Kubernetes":  {agr, "{}", "spec: {administrators: [{kind: User, name: ada}, {kind: Group, name: 'system:masters'}]}", "spec.administrators", noAdmin},

	"an agreement's status can be written":       {agr, "{}", `status: {observedGeneration: 1, administrators: 2, partners: [` + partnerOn(`since: "2026-03-01T00:00:00Z"`) + "], conditions: [" + with(condition, "True") + "]}", "", ""},
	"a partner and a group of the same name":     {agr, "{}", "status: {partners: [" + partnerOn("kind: User") + ", " + partnerOn("kind: Group") + "]}", "", ""},
	"a partner is on record twice":               {agr, "{}", "status: {partners: [" + partnerOn("kind: User") + ", " + partnerOn("kind: User") + "]}", "status.partners[]", "Duplicate value"},
	"a partner without a binding":                {agr, "{}", "status: {partners: [{kind: User, name: a, registration: {namespace: a, name: a}}]}", "status.partners[].roleBinding", "Required value"},
	"a partner whose binding is anybody's":       {agr, "{}", "status: {partners: [" + partnerOn("roleBinding: {name: a}") + "]}", "status.partners[].roleBinding.uid", "Required value"},
	"a partner without a registration":           {agr, "{}", "status: {partners: [{kind: User, name: a, roleBinding: {name: a, uid: a}}]}", "status.partners[].registration", "Required value"},
	"an agreement lists a condition only once":   {agr, "{}", with(twice, "True"), "status.conditions[]", "Duplicate value"},
	"an agreement's numbers are not in a status": {agr, "{}", "status: {authorizationNumber: 12345678ZZS1234}", "status.authorizationNumber", "unknown field"},
}

// people are those whom an agreement names.
const people = "spec: {primaryContacts: [gail@northwind.example], administrators: [{kind: User, name: ada}, {kind: Group, name: it}], removedPartners: [northwind-agents, northwind]}"

// manyPeople are so many with the longest names.
func manyPeople(contacts, administrators, removed int) string {
	long := func(n int, in string) string { return repeat(n, with(in, strings.Repeat("ä", 247)+"-%d")) }
	return fmt.Sprintf("spec: {primaryContacts: %s, administrators: %s, removedPartners: %s}", long(contacts, "$"), long(administrators, "{kind: User, name: $}"), long(removed, "$"))
}

// partnerOn is a partner on record with one field as it is given.
func partnerOn(field string) string {
	return filled(field, "kind: User", "name: gail", "registration: {namespace: northwind, name: contoso}", "roleBinding: {name: license-operator-partner-gail, uid: 5f0c}")
}

// authorizationNumbers and licenseNumbers are what people write, and type.
var (
	authorizationNumbers = values{[]string{"12345678ZZS1234", `"123456789012345"`, "ABCDEFGHIJKLMNO"}, map[string]string{
		`""`:                  fifteen,
		"12345678ZZS123":      fifteen,
		"12345678ZZS12345":    fifteen,
		"12345678zzs1234":     fifteen,
		"12345678-ZZS-1234":   fifteen,
		"1234567-ZZS1234":     fifteen,
		`"12345678 ZS1234"`:   fifteen,
		`" 2345678ZZS1234"`:   fifteen,
		"12345678ZZÄ1234":     fifteen,
		"１２３４５６７８ZZS1234":     fifteen, // wide digits
		text(129):             "Too long: may not be more than 128 bytes",
		`"12345678ZZS1234\n"`: fifteen,
	}}
	licenseNumbers = values{[]string{`"12345678"`, `"00000000"`}, map[string]string{
		`""`:           eight,
		`"1234567"`:    eight,
		`"123456789"`:  eight,
		"1234-5678":    eight,
		"1234567A":     eight,
		`"1234567 "`:   eight,
		`"１２３４５６７８"`:   eight,
		`"12345678\n"`: eight,
		`" 1234567"`:   eight,
		`"1234 678"`:   eight,
		`"+1234567"`:   eight,
		`"1234567O"`:   eight, // a letter
		text(129):      "Too long: may not be more than 128 bytes",
	}}
)

var agreementFields = slices.Concat([]bounded{
	{agr, "spec.authorizationNumber", "", authorizationNumbers},
	{agr, "spec.licenseNumber", "", licenseNumbers},
	{agr, "spec.customerEmail", `spec: {customerEmail: "$"}`, emails},
	{agr, "spec.primaryContacts", "", values{[]string{repeat(32, "p%d")}, map[string]string{repeat(33, "p%d"): "Too many: 33: must have at most 32 items"}}},
	{agr, "spec.primaryContacts[]", "spec: {primaryContacts: [$]}", values{append(accounts, knownNames.accepted...), knownNames.refused}},
	{agr, "spec.primaryContacts", "spec: {primaryContacts: [a, $]}", values{nil, valuesOf(systemNames(noContact), map[string]string{
		"system:authenticated": noContact, "system:unauthenticated": noContact, "system:anonymous": noContact, "system:serviceaccounts": noContact,
	})}},
	{agr, "spec.administrators", "", values{[]string{repeat(64, "{kind: User, name: p%d}")}, map[string]string{
		repeat(65, "{kind: User, name: p%d}"): "Too many: 65: must have at most 64 items",
	}}},
	{agr, "spec.removedPartners", "", values{[]string{repeat(256, "p%d")}, map[string]string{repeat(257, "p%d"): "Too many: 257: must have at most 256 items"}}},
	{agr, "spec.removedPartners[]", "spec: {removedPartners: [$]}", values{append(accounts, knownNames.accepted...), knownNames.refused}},
	{agr, "status.partners", "", values{[]string{repeat(100, partnerOn("name: p%d"))}, map[string]string{
		repeat(101, partnerOn("name: p%d")): "Too many: 101: must have at most 100 items",
	}}},
	{agr, "status.partners[].kind", "status: {partners: [" + partnerOn("kind: $") + "]}", values{[]string{"User", "Group"}, map[string]string{
		"ServiceAccount": "Unsupported value", `""`: "Unsupported value",
	}}},
	{agr, "status.partners[].name", "status: {partners: [" + partnerOn("name: $") + "]}", length(1, 253)},
	{agr, "status.partners[].registration.namespace", "status: {partners: [" + partnerOn("registration: {name: a, namespace: $}") + "]}", length(1, 63)},
	{agr, "status.partners[].registration.name", "status: {partners: [" + partnerOn("registration: {namespace: a, name: $}") + "]}", length(1, 253)},
	{agr, "status.partners[].roleBinding.name", "status: {partners: [" + partnerOn("roleBinding: {uid: a, name: $}") + "]}", names},
	{agr, "status.partners[].roleBinding.uid", "status: {partners: [" + partnerOn("roleBinding: {name: a, uid: $}") + "]}", length(1, 64)},
	{agr, "status.conditions", "", conditions},
}, subjectFields(agr, "spec.administrators[]", "spec: {administrators: [$]}", "spec.administrators", noAdmin))
