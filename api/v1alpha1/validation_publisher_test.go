package v1alpha1_test

// publisherBase is the smallest useful Publisher.
const publisherBase = `
metadata: {name: fourth-coffee}
spec:
  displayName: Fourth Coffee
  landingPageURL: https://analytics.example/landing
  webhookURL: https://analytics.example/webhook`

const (
	absoluteURL = "give an absolute URL such as https://analytics.example/"
	useHTTPS    = "use https: plain http is accepted only together with allowPrivateAddresses"
	whoHasOne   = "a ServiceAccount has a namespace, a User or Group has none"
	everybody   = "everybody is in this group: name those who are meant"
	saas        = "spec: {subjects: [{kind: ServiceAccount, namespace: fourth-coffee, name: saas}]}"
)

var publisherRows = map[string]row{
	"a publisher that nobody calls for yet":           {pub, "", "{}", "", ""},
	"a publisher needs a spec":                        {pub, "", "spec: null", "spec", "Required value"},
	"a publisher needs a landing page":                {pub, "", "spec: {landingPageURL: null}", "spec.landingPageURL", "Required value"},
	"a publisher needs a webhook":                     {pub, "", "spec: {webhookURL: null}", "spec.webhookURL", "Required value"},
	"a publisher's name of 63 characters":             {pub, "", "metadata: {name: " + text(63) + "}", "", ""},
	"a publisher's name of 64 characters":             {pub, "", "metadata: {name: " + text(64) + "}", "", "the name is used as a label: use at most 63 characters"},
	"a publisher's name with dots":                    {pub, "", "metadata: {name: fourth.coffee}", "", ""},
	"a publisher on this machine":                     {pub, "", "spec: {allowPrivateAddresses: true, landingPageURL: 'http://127.0.0.1:8080/', webhookURL: 'http://[::1]:8080/'}", "", ""},
	"a publisher on this machine becomes a real one":  {pub, "spec: {allowPrivateAddresses: true, webhookURL: 'http://[::1]:8080/'}", "spec: {allowPrivateAddresses: false}", "spec.webhookURL", useHTTPS},
	"a publisher moves":                               {pub, "{}", "spec: {landingPageURL: 'https://coffee.example', webhookURL: 'https://coffee.example', displayName: Coffee}", "", ""},
	"a workload of the publisher":                     {pub, "", saas, "", ""},
	"a person of the publisher":                       {pub, "", "spec: {subjects: [{kind: User, name: ada@analytics.example}]}", "", ""},
	"all workloads of one namespace":                  {pub, "", "spec: {subjects: [{kind: Group, name: 'system:serviceaccounts:fourth-coffee'}]}", "", ""},
	"a workload without its namespace":                {pub, "", "spec: {subjects: [{kind: ServiceAccount, name: saas}]}", "spec.subjects[]", whoHasOne},
	"a person of a namespace":                         {pub, "", "spec: {subjects: [{kind: User, namespace: fourth-coffee, name: ada}]}", "spec.subjects[]", whoHasOne},
	"a group of a namespace":                          {pub, "", "spec: {subjects: [{kind: Group, namespace: fourth-coffee, name: staff}]}", "spec.subjects[]", whoHasOne},
	"a subject without a name":                        {pub, "", "spec: {subjects: [{kind: User}]}", "spec.subjects[].name", "Required value"},
	"a subject without a kind":                        {pub, "", "spec: {subjects: [{name: ada}]}", "spec.subjects[].kind", "Required value"},
	"the same subject twice does no harm":             {pub, "", "spec: {subjects: [{kind: User, name: ada}, {kind: User, name: ada}]}", "", ""},
	"subjects are taken away":                         {pub, saas, "spec: {subjects: null}", "", ""},
	"a step before a change of the plan":              {pub, "", step("before: ChangePlan, text: Export your data first."), "", ""},
	"a step of several lines":                         {pub, "", step(`before: Cancel, text: "Export your data.\nThen sign out."`), "", ""},
	"a step before nothing":                           {pub, "", step("text: Export your data first."), "spec.requiredSteps[].before", "Required value"},
	"two steps before the same":                       {pub, "", "spec: {requiredSteps: [{before: Cancel, text: a}, {before: Cancel, text: b}]}", "spec.requiredSteps[]", "Duplicate value"},
	"a publisher lists a condition only once":         {pub, "{}", with(twice, "True"), "status.conditions[]", "Duplicate value"},
	"a publisher's status can be written":             {pub, "{}", "status: {observedGeneration: 1, conditions: [" + with(condition, "True") + "]}", "", ""},
	"a landing page without TLS is refused for that":  {pub, "", "spec: {landingPageURL: 'http://analytics.example/'}", "spec.landingPageURL", useHTTPS},
	"a webhook without TLS is refused for that":       {pub, "", "spec: {webhookURL: 'http://analytics.example/'}", "spec.webhookURL", useHTTPS},
	"https is as good with private addresses allowed": {pub, "", "spec: {allowPrivateAddresses: true}", "", ""},
}

var publisherFields = []bounded{
	{pub, "spec.displayName", "", values{[]string{"a", "Fourth Coffee", "四番珈琲", text(256)}, map[string]string{
		`""`:      "should be at least 1 chars long",
		text(257): "Too long: may not be more than 256 bytes",
		`"a "`:    `should match '^\S(.*\S)?$'`,
	}}},
	{pub, "spec.landingPageURL", "spec: {landingPageURL: '$'}", urls},
	{pub, "spec.webhookURL", "spec: {webhookURL: '$'}", urls},
	{pub, "spec.webhookAudience", "", length(1, 256)},
	{pub, "spec.subjects", "", values{[]string{repeat(16, "{kind: User, name: ada-%d}")}, map[string]string{
		repeat(17, "{kind: User, name: ada-%d}"): "Too many: 17: must have at most 16 items",
	}}},
	{pub, "spec.subjects[].kind", "spec: {subjects: [{kind: $, name: ada}]}", values{[]string{"User", "Group"}, oneOf("User").refused}},
	{pub, "spec.subjects[].kind", "spec: {subjects: [{kind: $, namespace: a, name: ada}]}", values{[]string{"ServiceAccount"}, nil}},
	{pub, "spec.subjects[].namespace", "spec: {subjects: [{kind: ServiceAccount, namespace: $, name: ada}]}", length(1, 63)},
	{pub, "spec.subjects[].name", "spec: {subjects: [{kind: Group, name: $}]}", values{length(1, 253).accepted, map[string]string{
		`""`:                     "should be at least 1 chars long",
		text(254):                "Too long: may not be more than 253 bytes",
		"system:authenticated":   everybody,
		"system:unauthenticated": everybody,
		"system:serviceaccounts": everybody,
	}}},
	{pub, "spec.subjects[].name", "spec: {subjects: [{kind: User, name: $}]}", values{[]string{"system:serviceaccount:a:b"}, map[string]string{
		"system:anonymous": everybody,
		`"ada\n"`:          asKnown,
	}}},
	{pub, "spec.subjects[]", "spec: {subjects: [{kind: ServiceAccount, namespace: a, name: $}]}", values{nil, map[string]string{
		"CI":      asListed,
		text(230): tooLongName,
	}}},
	{pub, "spec.support", "", values{[]string{`"https://analytics.example/help?from=kubectl"`, "help+coffee@analytics.example", text(1024)}, map[string]string{
		text(1025): "Too long: may not be more than 1024 bytes",
	}}},
	{pub, "spec.requiredSteps", "", values{[]string{steps}, map[string]string{
		steps[:len(steps)-1] + ", {before: Cancel, text: a}]": "Too many: 4: must have at most 3 items",
	}}},
	{pub, "spec.requiredSteps[].before", step("before: $, text: a"), oneOf("ChangePlan", "ChangeQuantity", "Cancel")},
	{pub, "spec.requiredSteps[].text", step("before: Cancel, text: $"), length(1, 512)},
	{pub, "status.conditions", "", conditions},
}

// urls are what publishers write, and what cannot be called.
var urls = values{
	[]string{
		"https://analytics.example",
		"https://analytics.example/",
		"https://analytics.example:8443/landing",
		"https://analytics.example?offer=a&market=de",
		"https://analytics.example/a/b;c/@d/%20?offer=a%2Bb&mail=a@b:c",
		"https://203.0.113.7/landing",
		"https://[2001:db8::1]/landing",
		"https://[2001:db8::1]:8443/landing?a=b",
		"https://xn--bcher-kva.example/",
		"https://bücher.example/",
		"https://localhost/",
		"https://analytics.example/" + text(998),
	}, map[string]string{
		"":                                        absoluteURL,
		"https://analytics.example/" + text(999):  "Too long: may not be more than 1024 bytes",
		"a":                                       absoluteURL,
		"/landing":                                absoluteURL,
		"analytics.example/landing":               absoluteURL,
		"//analytics.example/landing":             absoluteURL,
		"https:analytics.example":                 absoluteURL,
		"https://":                                absoluteURL,
		"https:///landing":                        absoluteURL,
		"https://:8443/landing":                   absoluteURL,
		"https://?a=b":                            absoluteURL,
		"https://user@analytics.example/":         absoluteURL,
		"https://user:word@analytics.example/":    absoluteURL,
		"https://analytics.example/#landing":      absoluteURL,
		"https://analytics.example#landing":       absoluteURL,
		"https://analytics.example/a b":           absoluteURL,
		"https://analytics .example/":             absoluteURL,
		" https://analytics.example/":             absoluteURL,
		"https://analytics.example/ ":             absoluteURL,
		"https://analytics.example:port/":         absoluteURL,
		"https://2001:db8::1/":                    absoluteURL,
		"https://[2001:db8::1/":                   absoluteURL,
		"https://analytics.example/%zz":           absoluteURL,
		"ftp://analytics.example/":                absoluteURL,
		"javascript://analytics.example/%0aalert": absoluteURL,
	},
}

const steps = "[{before: ChangePlan, text: a}, {before: ChangeQuantity, text: a}, {before: Cancel, text: a}]"

func step(fields string) string { return "spec: {requiredSteps: [{" + fields + "}]}" }
