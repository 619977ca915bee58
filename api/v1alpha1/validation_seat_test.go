package v1alpha1_test

import (
	"slices"
	"strings"
)

const (
	// assignmentBase is the smallest useful LicenseAssignment.
	assignmentBase = `
metadata: {name: ada, namespace: contoso}
spec: {subscriptionRef: {kind: SoftwareSubscription, name: office}, user: ada@contoso.example}`
	// seatBase is the smallest useful Seat.
	seatBase = `
metadata: {name: softwaresubscription.office.1, namespace: contoso}
spec:
  subscriptionRef: {kind: SoftwareSubscription, name: office}
  number: 1
  user: ada@contoso.example
  assignment: ada
  at: "2026-03-01T00:00:00Z"`
	// takeoverBase is the smallest useful Takeover.
	takeoverBase = `
metadata: {name: planner, namespace: contoso}
spec: {purchaseRef: {name: planner}, moveTo: {kind: MarketplaceSubscription, name: planner}}`
)

const (
	seatName    = "a seat is named <kind in lower case>.<subscription>.<number>"
	takenSeat   = "a seat is taken once: it is given back by deleting it"
	sameForEver = "an assignment does not change: delete it, and create another"
	moveOrStop  = "set exactly one of moveTo and cancel"
	asItIs      = "a takeover does not change: delete it while it waits, and create another"
	onService   = "subscriptionRef: {kind: MarketplaceSubscription, name: office}"
)

var seatRows = map[string]row{
	"a user is given a seat":                       {asg, "", "{}", "", ""},
	"a user is given a seat of a service":          {asg, "", "spec: {" + onService + "}", "", ""},
	"a seat is given to nobody":                    {asg, "", "spec: {user: null}", "spec.user", "Required value"},
	"a user is given a seat of nothing":            {asg, "", "spec: {subscriptionRef: null}", "spec.subscriptionRef", "Required value"},
	"a user is given a seat without a kind":        {asg, "", "spec: {subscriptionRef: {kind: null}}", "spec.subscriptionRef.kind", "Required value"},
	"a user is given a seat without a name":        {asg, "", "spec: {subscriptionRef: {name: null}}", "spec.subscriptionRef.name", "Required value"},
	"a seat is given to two":                       {asg, "", "spec: {user: [ada, bob]}", "spec.user", "must be of type string"},
	"a user is given a seat of his choice":         {asg, "", "spec: {seat: 1}", "spec.seat", "unknown field"},
	"an assignment without a spec":                 {asg, "", "spec: null", "spec", "Required value"},
	"an assignment goes to another user":           {asg, "{}", "spec: {user: bob@contoso.example}", "spec", sameForEver},
	"an assignment goes to another subscription":   {asg, "{}", "spec: {subscriptionRef: {name: cad}}", "spec", sameForEver},
	"an assignment goes to another kind":           {asg, "{}", "spec: {" + onService + "}", "spec", sameForEver},
	"an assignment gets a label and a status":      {asg, "{}", `{metadata: {labels: {a: b}}, status: {observedGeneration: 1, seat: 3, assignedAt: "2026-03-01T00:00:00Z", conditions: [` + with(condition, "True") + "]}}", "", ""},
	"an assignment lists a condition only once":    {asg, "{}", with(twice, "True"), "status.conditions[]", "Duplicate value"},
	"a seat is taken":                              {seat, "", "{}", "", ""},
	"a seat of a service is taken":                 {seat, "", "{metadata: {name: marketplacesubscription.office.1}, spec: {" + onService + "}}", "", ""},
	"a seat of a subscription with dots":           {seat, "", "{metadata: {name: softwaresubscription.of.fice.10.12}, spec: {number: 12, subscriptionRef: {name: of.fice.10}}}", "", ""},
	"the highest seat":                             {seat, "", "{metadata: {name: softwaresubscription.office.1000000}, spec: {number: 1000000}}", "", ""},
	"a seat is named otherwise":                    {seat, "", "metadata: {name: ada}", "", seatName},
	"a seat is named by another number":            {seat, "", "metadata: {name: softwaresubscription.office.2}", "", seatName},
	"a seat is named by a longer number":           {seat, "", "metadata: {name: softwaresubscription.office.11}", "", seatName},
	"a seat is named by two numbers":               {seat, "", "metadata: {name: softwaresubscription.office.1.1}", "", seatName},
	"a seat is named by its number in two digits":  {seat, "", "metadata: {name: softwaresubscription.office.01}", "", seatName},
	"a seat is named by a number beyond measure":   {seat, "", "metadata: {name: softwaresubscription.office." + strings.Repeat("1", 40) + "}", "", seatName},
	"a seat is named by no number":                 {seat, "", "metadata: {name: softwaresubscription.office.one}", "", seatName},
	"a seat is named without its number":           {seat, "", "metadata: {name: softwaresubscription.office}", "", seatName},
	"a seat is named after another subscription":   {seat, "", "metadata: {name: softwaresubscription.cad.1}", "", seatName},
	"a seat is named after another kind":           {seat, "", "metadata: {name: marketplacesubscription.office.1}", "", seatName},
	"a seat of a service is named after another":   {seat, "", "spec: {" + onService + "}", "", seatName},
	"a seat for a takeover":                        {seat, "", "spec: {takeover: planner}", "", ""},
	"a seat without an instant":                    {seat, "", "spec: {at: null}", "spec.at", "Required value"},
	"a seat for no assignment":                     {seat, "", "spec: {assignment: null}", "spec.assignment", "Required value"},
	"a seat goes to another user":                  {seat, "{}", "spec: {user: bob@contoso.example}", "spec", takenSeat},
	"a seat goes to another assignment":            {seat, "{}", "spec: {assignment: bob}", "spec", takenSeat},
	"a seat is taken for a takeover afterwards":    {seat, "{}", "spec: {takeover: planner}", "spec", takenSeat},
	"a seat gets a label":                          {seat, "{}", "metadata: {labels: {a: b}}", "", ""},
	"a whole number of a seat":                     {seat, "", "spec: {number: 1.5}", "spec.number", "must be of type int64"},
	"a number of a seat in quotes":                 {seat, "", `spec: {number: "1"}`, "spec.number", "must be of type integer"},
	"a user is given a seat, once in upper case":   {asg, "", "spec: {user: Ada@contoso.example}", "spec.user", asDirectory},
	"an assignment of an employee's purchase":      {asg, "", "spec: {subscriptionRef: {kind: SelfServicePurchase}}", "spec.subscriptionRef.kind", "Unsupported value"},
	"an assignment is called as long as can be":    {asg, "", "metadata: {name: " + text(253) + "}", "", ""},
	"an assignment's seat that is none is dropped": {asg, "status: {seat: 3}", "status: {seat: null}", "", ""},
}

var seatFields = slices.Concat([]bounded{
	{asg, "spec.user", "", users},
	{asg, "status.conditions", "", conditions},
	{seat, "spec.number", "{metadata: {name: 'softwaresubscription.office.$'}, spec: {number: $}}", numbers(1, 1000000)},
	{seat, "spec.user", "", users},
	{seat, "spec.assignment", "", length(1, 253)},
	{seat, "spec.takeover", "", length(0, 253)},
	{seat, "spec.subscriptionRef.kind", "spec: {subscriptionRef: {kind: $}}", values{[]string{"SoftwareSubscription"}, map[string]string{"Product": "Unsupported value"}}},
	{seat, "spec.subscriptionRef.name", "{metadata: {name: 'softwaresubscription.$.1'}, spec: {subscriptionRef: {name: $}}}", names},
}, subscriptionFields(asg, "spec.subscriptionRef", "", ""))

var takeoverRows = map[string]row{
	"an administrator moves users":            {take, "", "{}", "", ""},
	"an administrator cancels":                {take, "", cancels("reason: NotNeeded"), "", ""},
	"an administrator cancels, and says why":  {take, "", cancels("reason: Other, comment: 'We have it for everybody now, ask us for a seat.'"), "", ""},
	"an administrator moves and cancels":      {take, "", "spec: {cancel: {reason: NotNeeded}}", "spec", moveOrStop},
	"an administrator does neither":           {take, "", "spec: {moveTo: null}", "spec", moveOrStop},
	"an administrator cancels for no reason":  {take, "", "spec: {moveTo: null, cancel: {}}", "spec.cancel.reason", "Required value"},
	"an administrator cancels by a bare word": {take, "", "spec: {moveTo: null, cancel: true}", "spec.cancel", "must be of type object"},
	"an administrator moves by a bare name":   {take, "", "spec: {moveTo: planner}", "spec.moveTo", "must be of type object"},
	"an administrator moves to no kind":       {take, "", "spec: {moveTo: {kind: null}}", "spec.moveTo.kind", "Required value"},
	"an administrator moves some users":       {take, "", "spec: {users: [ada]}", "spec.users", "unknown field"},
	"nothing is taken over":                   {take, "", "spec: {purchaseRef: null}", "spec.purchaseRef", "Required value"},
	"a takeover without a spec":               {take, "", "spec: null", "spec", "Required value"},
	"another purchase is taken over":          {take, "{}", "spec: {purchaseRef: {name: visio}}", "spec", asItIs},
	"users are moved elsewhere":               {take, "{}", "spec: {moveTo: {name: visio}}", "spec", asItIs},
	"a takeover cancels after all":            {take, "{}", cancels("reason: NotNeeded"), "spec", asItIs},
	"a takeover cancels for another reason":   {take, cancels("reason: NotNeeded"), "spec: {cancel: {reason: Other}}", "spec", asItIs},
	"a takeover says why afterwards":          {take, cancels("reason: NotNeeded"), "spec: {cancel: {comment: a}}", "spec", asItIs},
	"a takeover gets a label and a status":    {take, "{}", `{metadata: {labels: {a: b}}, status: {observedGeneration: 1, missing: 2, users: [ada], completedAt: "2026-03-01T00:00:00Z", conditions: [` + with(condition, "True") + "]}}", "", ""},
	"a takeover lists a condition only once":  {take, "{}", with(twice, "True"), "status.conditions[]", "Duplicate value"},
	"a takeover lists a user only once":       {take, "{}", "status: {users: [ada, ada]}", "status.users[]", "Duplicate value"},
	"a takeover's name of 150 characters":     {take, "", "metadata: {name: " + text(150) + "}", "", ""},
	"a takeover's name of 151 characters":     {take, "", "metadata: {name: " + text(151) + "}", "", "the name is part of other names: use at most 150 characters"},
	"all users that a takeover can have":      {take, "{}", "status: {users: " + longUsers(1000) + "}", "", ""},
}

// cancels is a takeover that cancels.
func cancels(fields string) string { return "spec: {moveTo: null, cancel: {" + fields + "}}" }

var takeoverFields = slices.Concat([]bounded{
	{take, "spec.purchaseRef.name", "", names},
	{take, "spec.cancel.reason", cancels("reason: $"), takeoverReasons},
	{take, "spec.cancel.comment", cancels("reason: Other, comment: $"), lines(256)},
	{take, "status.users", "", values{[]string{repeat(1000, "u%d")}, map[string]string{
		repeat(1001, "u%d"): "Too many: 1001: must have at most 1000 items",
	}}},
	{take, "status.users[]", "status: {users: $}", usersIn("[$]")},
	{take, "status.conditions", "", conditions},
}, subscriptionFields(take, "spec.moveTo", "", ""))
