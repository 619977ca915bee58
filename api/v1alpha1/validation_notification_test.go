package v1alpha1_test

// notificationBase is the smallest useful Notification.
const notificationBase = `
metadata: {name: planner.5f0c, namespace: contoso}
spec:
  notice: PurchaseTakenOver
  to: ada@contoso.example
  regarding: {kind: SelfServicePurchase, name: planner}
  text: It was cancelled.
  at: "2026-03-01T00:00:00Z"`

const writtenOnce = "a notification is written once"

var notificationRows = map[string]row{
	"a mail is on record":                        {note, "", "{}", "", ""},
	"a mail about a product":                     {note, "", "spec: {product: Planner}", "", ""},
	"a mail of several lines":                    {note, "", `spec: {text: "It was cancelled.\nAsk us for a seat."}`, "", ""},
	"a mail about nothing":                       {note, "", "spec: {regarding: null}", "spec.regarding", "Required value"},
	"a mail about nothing of a kind":             {note, "", "spec: {regarding: {kind: null}}", "spec.regarding.kind", "Required value"},
	"a mail about nothing with a name":           {note, "", "spec: {regarding: {name: null}}", "spec.regarding.name", "Required value"},
	"a mail to nobody":                           {note, "", "spec: {to: null}", "spec.to", "Required value"},
	"a mail to several":                          {note, "", "spec: {to: [ada@contoso.example, bob@contoso.example]}", "spec.to", "must be of type string"},
	"a mail without words":                       {note, "", "spec: {text: null}", "spec.text", "Required value"},
	"a mail of no notice":                        {note, "", "spec: {notice: null}", "spec.notice", "Required value"},
	"a mail at no instant":                       {note, "", "spec: {at: null}", "spec.at", "Required value"},
	"a mail at an instant that is none":          {note, "", "spec: {at: today}", "spec.at", "must be of type date-time"},
	"a mail without a spec":                      {note, "", "spec: null", "spec", "Required value"},
	"a mail goes to somebody else":               {note, "{}", "spec: {to: bob@contoso.example}", "spec", writtenOnce},
	"a mail says something else":                 {note, "{}", "spec: {text: It was not.}", "spec", writtenOnce},
	"a mail is about a product after all":        {note, "{}", "spec: {product: Planner}", "spec", writtenOnce},
	"a mail gets a label and a status":           {note, "{}", `{metadata: {labels: {a: b}}, status: {observedGeneration: 1, messageID: a, attempts: 2, lastAttemptAt: "2026-03-01T00:00:00Z", sentAt: "2026-03-01T00:01:00Z", conditions: [` + with(condition, "True") + "]}}", "", ""},
	"a notification lists a condition only once": {note, "{}", with(twice, "True"), "status.conditions[]", "Duplicate value"},
}

var notificationFields = []bounded{
	{note, "spec.notice", "", values{[]string{"A", "PurchaseTakenOver", "A" + text(63)}, map[string]string{
		`""`:           "should be at least 1 chars long",
		"A" + text(64): "Too long: may not be more than 64 bytes",
		"taken":        "should match '^[A-Z][A-Za-z]*$'",
		`"Taken over"`: "should match '^[A-Z][A-Za-z]*$'",
		"../Taken":     "should match '^[A-Z][A-Za-z]*$'",
		`"Taken\n"`:    "should match '^[A-Z][A-Za-z]*$'",
	}}},
	{note, "spec.to", `spec: {to: "$"}`, emails},
	{note, "spec.regarding.kind", "", length(1, 63)},
	{note, "spec.regarding.name", "", names},
	{note, "spec.product", "", length(0, 256)},
	{note, "spec.text", "", length(1, 1024)},
	{note, "status.messageID", "", length(0, 512)},
	{note, "status.conditions", "", conditions},
}
