package v1alpha1_test

import (
	"context"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	crdvalidation "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"

	"github.com/license-operator/license-operator/api/v1alpha1"
)

const (
	sub  = "SoftwareSubscription"
	prod = "Product"
	iss  = "KeyIssuer"
	lkey = "LicenseKey"
	lsrv = "LicenseServer"
	svc  = "Product of a publisher"
	pub  = "Publisher"
	mkt  = "MarketplaceSubscription"
	ent  = "Entitlement"
	pol  = "SelfServicePolicy"
	pur  = "SelfServicePurchase"
	ord  = "SelfServiceOrder"
	try  = "SelfServiceOrder of a trial"
	asg  = "LicenseAssignment"
	seat = "Seat"
	take = "Takeover"
	agr  = "PartnerAgreement"
	reg  = "PartnerRegistration"
	own  = "PartnerRegistration of a primary contact"
	team = "PartnerRegistration of a group"
	req  = "PartnerRequester"
	note = "Notification"
)

// kindOf is the first word of what a base is called by.
func kindOf(base string) string {
	kind, _, _ := strings.Cut(base, " ")
	return kind
}

const fingerprint = "0123456789abcdef0123456789abcdef01234567"

// bases are the smallest useful objects; rows change them. Each is called by its
// kind, and where a kind has several by something after that.
var bases = map[string]string{
	sub: `
metadata: {name: office, namespace: contoso}
spec: {productRef: {name: office}, term: P1Y}`,
	prod: `
metadata: {name: office}
spec:
  displayName: Office
  software: {keys: {issuerRef: {name: office}}}
  terms: [{term: P1Y, price: {amount: "120.00", currency: EUR}}]`,
	iss: `
metadata: {name: office}
spec: {pool: {secretSelector: {matchLabels: {pool: office}}}}`,
	lkey: `
metadata: {name: office-` + fingerprint + `}
spec:
  issuerRef: {name: office}
  fingerprint: "` + fingerprint + `"
  customer: contoso
  subscription: {name: office, uid: 5f0c}
  productRef: {name: office}
  slot: 1
  purchase:
    at: "2026-03-01T00:00:00Z"
    term: P1Y
    quantity: 5
    keysPer: Subscription
    unitPrice: {amount: "120.00", currency: EUR}
    cancellation: {window: P7D, refund: Prorated}`,
	lsrv: `
metadata: {name: rds-1, namespace: contoso}
spec: {windowsServerVersion: "2022"}`,
	svc: serviceBase,
	pub: publisherBase,
	mkt: marketplaceBase,
	ent: entitlementBase,
	pol: policyBase, pur: purchaseBase, ord: orderBase, try: trialBase,
	asg: assignmentBase, seat: seatBase, take: takeoverBase, note: notificationBase,
	agr: agreementBase, reg: registrationBase, own: contactBase, team: teamBase, req: requesterBase,
}

// row is one write to the API server.
type row struct {
	kind   string
	stored string // patch that makes the stored object from the base; empty when the write creates the object
	change string // patch on the stored object, or on the base, that makes the written one
	at     string // field that is refused, without indices
	want   string // part of the error; empty when the write is accepted
}

const (
	signed    = "spec: {pool: null, signed: {secretName: office}}"
	cancelled = "{spec: {cancelled: true}, status: {conditions: [" + condition + "]}}"
	final     = "cancelled is final: buy a new subscription instead"
	twice     = "status: {conditions: [" + condition + ", " + condition + "]}"
	condition = `{type: Cancelled, status: "$", reason: R, message: "", lastTransitionTime: "2026-03-01T00:00:00Z"}`
	revoked   = `spec: {state: Revoked, endedAt: "2026-03-02T00:00:00Z"}`
	delivered = "status: {keys: {issued: 1}}"
	serverID  = "ABCDE12345FGHIJ67890KLMNO12345PQRST"
	moved     = "the licence server cannot change once the key was issued, because a Remote Desktop code is used up for ever once it was installed, on the same server too: buy another subscription for another server, and cancel this one if its window is still open"
	tooLate   = "quantity can change only while the cancellation window is open"
	codeOnly  = "a Remote Desktop licence is a code and nothing else: leave out versions and officeDeploymentTool"
	anew      = "licenseServerID cannot change: a server that was set up again is another one to the clearing house, so create another LicenseServer"
	giveID    = "give the 35 capital letters and digits that the clearing house shows, without hyphens; leave licenseServerID out until the server is activated"
	noInstant = "write the instant as 2026-09-01T00:00:00Z: date, T, time of day, and Z for UTC or an offset such as +02:00"
	increase  = `spec: {quantityChanges: [{at: "2026-03-02T00:00:00Z", quantity: 7}]}`
	onServer  = `spec: {licenseServer: {name: rds-1, id: ` + serverID + `}}`
)

// rows are the writes that need more than one field, or a stored object. What
// concerns a single field is in fields.
var rows = map[string]row{
	"a subscription can be bought":              {sub, "", "{}", "", ""},
	"an unknown field is not dropped silently":  {sub, "", "spec: {quantitty: 2}", "spec.quantitty", "unknown field"},
	"a field of another kind is unknown":        {sub, "", "spec: {pool: {}}", "spec.pool", "unknown field"},
	"an unknown field in a list is seen":        {prod, "", `spec: {terms: [{term: P1Y, cost: 1, price: {amount: "1", currency: EUR}}]}`, "spec.terms[].cost", "unknown field"},
	"a subscription needs a spec":               {sub, "", "spec: null", "spec", "Required value"},
	"a subscription needs a product":            {sub, "", "spec: {productRef: null}", "spec.productRef", "Required value"},
	"a subscription needs a term":               {sub, "", "spec: {term: null}", "spec.term", "Required value"},
	"a product needs terms":                     {prod, "", "spec: {terms: null}", "spec.terms", "Required value"},
	"an amount is quoted":                       {prod, "", "spec: {terms: [{term: P1Y, price: {amount: 1.50, currency: EUR}}]}", "spec.terms[].price.amount", "must be of type string"},
	"a quantity is whole":                       {sub, "", "spec: {quantity: 1.5}", "spec.quantity", "must be of type int64"},
	"a subscription's name of 200 characters":   {sub, "", "metadata: {name: " + text(200) + "}", "", ""},
	"a subscription's name of 201 characters":   {sub, "", "metadata: {name: " + text(201) + "}", "", "the name is part of the Secret's name: use at most 200 characters"},
	"the product of a subscription is fixed":    {sub, "{}", "spec: {productRef: {name: cad}}", "spec.productRef", "productRef is immutable: another product is another subscription"},
	"the default quantity can be written out":   {sub, "{}", "spec: {quantity: 1}", "", ""},
	"the term of a subscription is fixed":       {sub, "{}", "spec: {term: P3Y}", "spec.term", "term is immutable: another term is another subscription"},
	"autoRenew can be turned off":               {sub, "{}", "spec: {autoRenew: false}", "", ""},
	"another download can be chosen":            {sub, "spec: {download: {version: '2021'}}", "spec: {download: {version: '2024'}}", "", ""},
	"the Secret is renamed":                     {sub, "spec: {secretName: a}", "spec: {secretName: b}", "spec.secretName", "secretName is fixed by the purchase: buy another subscription to have its key in another Secret"},
	"the Secret gets a name":                    {sub, "{}", "spec: {secretName: b}", "spec.secretName", "secretName is fixed by the purchase"},
	"the Secret loses its name":                 {sub, "spec: {secretName: a}", "spec: {secretName: null}", "spec.secretName", "secretName is fixed by the purchase"},
	"a price beyond all measure":                {prod, "", `spec: {terms: [{term: P1Y, price: {amount: "1000000000000", currency: EUR}}]}`, "spec.terms[].price", "a price has at most 12 digits before the point"},
	"a restored subscription may be cancelled":  {sub, "", "spec: {cancelled: true}", "", ""},
	"cancelling before the operator has looked": {sub, "{}", "spec: {cancelled: true}", "", ""},
	"cancelling while the window is open":       {sub, "status: {cancellation: {open: true}}", "spec: {cancelled: true}", "", ""},
	"cancelling late is told when it was open": {sub,
		"status: {cancellation: {open: false, message: 'it was open until Monday: that is over'}}", "spec: {cancelled: true}",
		"spec.cancelled", "it was open until Monday"},
	"cancelling late without a message to tell": {sub,
		"status: {cancellation: {open: false}}", "spec: {cancelled: true}",
		"spec.cancelled", "the cancellation window has closed"},
	"a change while the window is closed":              {sub, "status: {cancellation: {open: false}}", "spec: {autoRenew: false}", "", ""},
	"a cancellation that nobody has seen yet":          {sub, "spec: {cancelled: true}", "spec: {cancelled: false}", "spec.cancelled", final},
	"a cancellation that was accepted is final":        {sub, with(cancelled, "True"), "spec: {cancelled: false}", "spec.cancelled", final},
	"a cancellation cannot be left out either":         {sub, with(cancelled, "True"), "spec: {cancelled: null}", "spec.cancelled", final},
	"a cancellation that was late can be undone":       {sub, with(cancelled, "False"), "spec: {cancelled: false}", "", ""},
	"a cancelled subscription can be changed":          {sub, "{spec: {cancelled: true}, status: {cancellation: {open: false}}}", "spec: {autoRenew: false}", "", ""},
	"another condition that is False does not undo it": {sub, strings.Replace(with(cancelled, "False"), "type: Cancelled", "type: KeysIssued", 1), "spec: {cancelled: false}", "spec.cancelled", final},
	"its status can be written when cancelled":         {sub, with(cancelled, "True"), "status: {cancellation: {open: false}}", "", ""},

	"the quantity can change before the purchase":        {sub, "{}", "spec: {quantity: 2}", "", ""},
	"the quantity can change while the window is open":   {sub, "status: {cancellation: {open: true}}", "spec: {quantity: 2}", "", ""},
	"the quantity can go down while the window is open":  {sub, "{spec: {quantity: 3}, status: {cancellation: {open: true}}}", "spec: {quantity: 2}", "", ""},
	"a quantity that changes late is told when it could": {sub, "status: {cancellation: {open: false, message: 'it was open until Monday: that is over'}}", "spec: {quantity: 2}", "spec.quantity", tooLate + ": buy another subscription for more; it was open until Monday"},
	"a quantity that changes late, with nothing to tell": {sub, "status: {cancellation: {open: false}}", "spec: {quantity: 2}", "spec.quantity", tooLate + ": buy another subscription for more"},
	"a quantity that goes down late":                     {sub, "{spec: {quantity: 3}, status: {cancellation: {open: false}}}", "spec: {quantity: 2}", "spec.quantity", tooLate},
	"a quantity that is left out late":                   {sub, "{spec: {quantity: 3}, status: {cancellation: {open: false}}}", "spec: {quantity: null}", "spec.quantity", tooLate},
	"its status can be written after that":               {sub, "{spec: {quantity: 3}, status: {cancellation: {open: false}}}", "status: {quantity: 3}", "", ""},

	"a download with no choice in it":            {sub, "", "spec: {download: {}}", "", ""},
	"a choice of x86 is for the deployment tool": {sub, "", "spec: {download: {architecture: x86, version: '2024', language: fr-FR}}", "", ""},
	"a fresh link":                                    {sub, "spec: {download: {renewal: 1}}", "spec: {download: {renewal: 2}}", "", ""},
	"a fresh link, the first time":                    {sub, "{}", "spec: {download: {renewal: 1}}", "", ""},
	"a renewal of the link is taken back":             {sub, "spec: {download: {renewal: 2}}", "spec: {download: {renewal: 1}}", "spec.download.renewal", "renewal only goes up: keep the number that it has, or raise it for a fresh link"},
	"a renewal of the link is left out":               {sub, "spec: {download: {renewal: 2}}", "spec: {download: {renewal: null}}", "spec.download.renewal", "renewal only goes up: keep the number that it has, or raise it for a fresh link"},
	"a renewal of the link is left out with the rest": {sub, "spec: {download: {renewal: 2}}", "spec: {download: null}", "spec.download", "renewal only goes up, and without download it would be 0 again: keep download with its renewal, and leave out the rest of it"},
	"a choice of download is taken back":              {sub, "spec: {download: {version: '2021'}}", "spec: {download: null}", "", ""},
	"everything but the renewal is left out":          {sub, "spec: {download: {version: '2021', renewal: 2}}", "spec: {download: {version: null}}", "", ""},

	"a reference to a licence server without a name": {sub, "", "spec: {licenseServerRef: {}}", "spec.licenseServerRef.name", "Required value"},
	"a licence server before the code was issued":    {sub, "spec: {licenseServerRef: {name: rds-1}}", "spec: {licenseServerRef: {name: rds-2}}", "", ""},
	"a licence server is named before that":          {sub, "{}", "spec: {licenseServerRef: {name: rds-1}}", "", ""},
	"a code is moved to another licence server":      {sub, "{spec: {licenseServerRef: {name: rds-1}}, " + delivered + "}", "spec: {licenseServerRef: {name: rds-2}}", "spec.licenseServerRef", moved},
	"a code is taken from its licence server":        {sub, "{spec: {licenseServerRef: {name: rds-1}}, " + delivered + "}", "spec: {licenseServerRef: null}", "spec.licenseServerRef", moved},
	"a code gets a licence server afterwards":        {sub, "{" + delivered + "}", "spec: {licenseServerRef: {name: rds-1}}", "spec.licenseServerRef", moved},
	"a code stays on its licence server":             {sub, "{spec: {licenseServerRef: {name: rds-1}}, " + delivered + "}", "spec: {autoRenew: false}", "", ""},

	"an activation by KMS without an instant":     {sub, "", "spec: {volumeLicensing: {}}", "spec.volumeLicensing.lastKMSActivation", "Required value"},
	"the machines renewed their activation":       {sub, volume("2026-03-01T00:00:00Z"), volume("2026-03-08T00:00:00Z"), "", ""},
	"the machines have the new key":               {sub, volume("2026-03-01T00:00:00Z"), "spec: {volumeLicensing: {makDeployed: true}}", "", ""},
	"a customer does not come from KMS after all": {sub, volume("2026-03-01T00:00:00Z"), "spec: {volumeLicensing: null}", "", ""},

	"a term is offered once":                                 {prod, "", "spec: {terms: " + offers("P1Y", "P1M", "P1Y") + "}", "spec.terms[]", "Duplicate value"},
	"a version is listed once":                               {prod, "", `spec: {software: {versions: [{version: "1"}, {version: "1"}]}}`, "spec.software.versions[]", "Duplicate value"},
	"a build is listed once":                                 {prod, "", builds("language: fr", "language: fr"), "spec.software.versions[].builds[]", "Duplicate value"},
	"a build is x64 unless it says otherwise":                {prod, "", builds("language: fr", "language: fr, architecture: x64"), "spec.software.versions[].builds[]", "Duplicate value"},
	"a build for each architecture":                          {prod, "", builds("language: fr", "language: fr, architecture: arm64"), "", ""},
	"a product for everybody":                                {prod, "", "spec: {customers: {}}", "", ""},
	"a product for customers with a label":                   {prod, "", "spec: {customers: {namespaceSelector: {matchLabels: {tier: enterprise}}}}", "", ""},
	"a product for other customers than before":              {prod, "spec: {customers: {namespaceSelector: {matchLabels: {a: b}}}}", "spec: {customers: null}", "", ""},
	"a Remote Desktop licence":                               {prod, "", rds("versions: []"), "", ""},
	"a Remote Desktop licence for each user":                 {prod, "", rds("keys: {per: License}"), "", ""},
	"a Remote Desktop licence without a version":             {prod, "", "spec: {software: {remoteDesktop: {}}}", "spec.software.remoteDesktop.version", "Required value"},
	"a Remote Desktop licence with something to load":        {prod, "", rds("versions: [{version: '1'}]"), "spec.software", codeOnly},
	"a Remote Desktop licence for the tool":                  {prod, "", rds("officeDeploymentTool: true"), "spec.software", codeOnly},
	"a product becomes a Remote Desktop licence":             {prod, "spec: {software: {versions: [{version: '1'}]}}", rds("versions: null"), "", ""},
	"a configuration for a key":                              {prod, "", "spec: {software: {officeDeploymentTool: true}}", "", ""},
	"a configuration for many keys":                          {prod, "", "spec: {software: {officeDeploymentTool: true, keys: {per: License}}}", "spec.software", "a configuration of the Office Deployment Tool holds one key: officeDeploymentTool needs keys.per Subscription"},
	"the tool without a product ID":                          {prod, "", officeAs("channel: a"), "spec.software.versions[].officeDeployment.productID", "Required value"},
	"the tool without a channel":                             {prod, "", officeAs("productID: a"), "spec.software.versions[].officeDeployment.channel", "Required value"},
	"a perpetual purchase with a prorated refund":            {prod, "", perpetual("cancellation: {window: P30D, refund: Prorated}"), "spec.terms[]", "a perpetual purchase has no days to prorate by: its refund must be Full"},
	"a perpetual purchase with a full refund":                {prod, "", perpetual("cancellation: {window: P30D, refund: Full}"), "", ""},
	"a perpetual purchase with the default policy":           {prod, "", perpetual(""), "", ""},
	"a product's price and issuer can be changed":            {prod, "{}", `spec: {software: {keys: {issuerRef: {name: other}, per: License}}, terms: [{term: P1M, price: {amount: "9", currency: USD}}]}`, "", ""},
	"a catalogue entry lists a condition only once":          {prod, "{}", with(twice, "True"), "status.conditions[]", "Duplicate value"},
	"an issuer lists a condition only once":                  {iss, "{}", with(twice, "True"), "status.conditions[]", "Duplicate value"},
	"a subscription lists a condition only once":             {sub, "{}", with(twice, "True"), "status.conditions[]", "Duplicate value"},
	"a product in use cannot lose all its terms":             {prod, "{}", "spec: {terms: []}", "spec.terms", "should have at least 1 items"},
	"an issuer's name of 63 characters":                      {iss, "", "metadata: {name: " + text(63) + "}", "", ""},
	"an issuer's name of 64 characters":                      {iss, "", "metadata: {name: " + text(64) + "}", "", "the name is part of every ledger entry's name: use at most 63 characters"},
	"an issuer with a pool and a signing key":                {iss, "", "spec: {signed: {secretName: office}}", "spec", "set exactly one of pool and signed"},
	"an issuer with neither":                                 {iss, "", "spec: {pool: null}", "spec", "set exactly one of pool and signed"},
	"an issuer that signs":                                   {iss, "", signed, "", ""},
	"an issuer cannot change from pool to signed":            {iss, "{}", signed, "spec", "an issuer stays what it is: create another one to change between pool and signed"},
	"an issuer cannot change from signed to pool":            {iss, signed, "spec: {signed: null, pool: {secretSelector: {matchLabels: {a: b}}}}", "spec", "an issuer stays what it is: create another one to change between pool and signed"},
	"a signing key cannot be exchanged":                      {iss, signed, "spec: {signed: {secretName: other}}", "spec.signed.secretName", "secretName is immutable: keys already issued verify only with this signing key"},
	"a pool with a format and a pattern":                     {iss, "", "spec: {pool: {format: 5x5, pattern: a}}", "spec.pool", "set format or pattern, not both"},
	"a malformed pattern":                                    {iss, "", "spec: {pool: {pattern: '[A-Z'}}", "spec.pool.pattern", "pattern must be a regular expression in RE2 syntax"},
	"a pattern with what RE2 does not have":                  {iss, "", `spec: {pool: {pattern: '(?=a)'}}`, "spec.pool.pattern", "pattern must be a regular expression in RE2 syntax"},
	"a selector without labels":                              {iss, "", "spec: {pool: {secretSelector: {matchLabels: null}}}", "spec.pool.secretSelector", "an empty selector would take every Secret for keys: select by a label"},
	"a selector with empty labels":                           {iss, "", "spec: {pool: {secretSelector: {matchLabels: {pool: null}, matchExpressions: []}}}", "spec.pool.secretSelector", "an empty selector would take every Secret for keys: select by a label"},
	"a selector with an expression":                          {iss, "", "spec: {pool: {secretSelector: {matchLabels: null, matchExpressions: [{key: pool, operator: Exists}]}}}", "", ""},
	"a pool can be selected and checked otherwise":           {iss, "spec: {pool: {format: 5x5}}", "spec: {pool: {format: null, pattern: '[A-Z]+', secretSelector: {matchLabels: {pool: other}}}}", "", ""},
	"a ledger entry is named otherwise":                      {lkey, "", "metadata: {name: office}", "", "a ledger entry is named <issuer>-<fingerprint>"},
	"a ledger entry is created as revoked (restored)":        {lkey, "", revoked, "", ""},
	"a state without an end":                                 {lkey, "{}", "spec: {state: Revoked}", "spec", "endedAt is set together with a state other than Issued"},
	"an end without a state":                                 {lkey, "{}", `spec: {endedAt: "2026-03-02T00:00:00Z"}`, "spec", "endedAt is set together with a state other than Issued"},
	"an end that is not an instant":                          {lkey, "{}", `spec: {state: Revoked, endedAt: Monday}`, "spec.endedAt", "must be of type date-time"},
	"a key is revoked":                                       {lkey, "{}", revoked, "", ""},
	"a key is retired":                                       {lkey, "{}", `spec: {state: Retired, endedAt: "2027-03-01T00:00:00Z"}`, "", ""},
	"a revoked key is issued again":                          {lkey, revoked, "spec: {state: Issued, endedAt: null}", "spec.state", "a key that is revoked or retired stays so"},
	"a revoked key is issued again by default":               {lkey, revoked, "spec: {state: null, endedAt: null}", "spec.state", "a key that is revoked or retired stays so"},
	"a revoked key is retired":                               {lkey, revoked, "spec: {state: Retired}", "spec.state", "a key that is revoked or retired stays so"},
	"a renewal is recorded":                                  {lkey, "{}", `spec: {renewedUntil: "2028-03-01T00:00:00Z"}`, "", ""},
	"a second renewal is recorded":                           {lkey, `spec: {renewedUntil: "2028-03-01T00:00:00Z"}`, `spec: {renewedUntil: "2029-03-01T00:00:00Z"}`, "", ""},
	"a renewal is set back":                                  {lkey, `spec: {renewedUntil: "2028-03-01T00:00:00Z"}`, `spec: {renewedUntil: "2027-03-01T00:00:00Z"}`, "spec.renewedUntil", "renewedUntil only moves forward"},
	"a renewal is taken away":                                {lkey, `spec: {renewedUntil: "2028-03-01T00:00:00Z"}`, "spec: {renewedUntil: null}", "spec.renewedUntil", "renewedUntil only moves forward"},
	"an end is changed":                                      {lkey, revoked, `spec: {endedAt: "2026-03-03T00:00:00Z"}`, "spec", "endedAt is written once"},
	"an end is taken away":                                   {lkey, revoked, "spec: {state: Issued, endedAt: null}", "spec", "endedAt is written once"},
	"a key goes to another issuer":                           {lkey, "{}", "spec: {issuerRef: {name: other}}", "spec.issuerRef", "issuerRef is immutable"},
	"a key gets another fingerprint":                         {lkey, "{}", "spec: {fingerprint: f" + fingerprint[1:] + "}", "spec.fingerprint", "fingerprint is immutable"},
	"a key goes to another customer":                         {lkey, "{}", "spec: {customer: fabrikam}", "spec.customer", "a key has one customer for ever"},
	"a key goes to another subscription":                     {lkey, "{}", "spec: {subscription: {name: cad}}", "spec.subscription", "a key has one buyer for ever"},
	"a key goes to a namesake":                               {lkey, "{}", "spec: {subscription: {uid: 6f0c}}", "spec.subscription", "a key has one buyer for ever"},
	"a key goes to another product":                          {lkey, "{}", "spec: {productRef: {name: cad}}", "spec.productRef", "productRef is immutable"},
	"a key goes to another slot":                             {lkey, "{}", "spec: {slot: 2}", "spec.slot", "slot is immutable"},
	"what was agreed on is changed":                          {lkey, "{}", `spec: {purchase: {unitPrice: {amount: "1"}}}`, "spec.purchase", "purchase is immutable: it is what the customer agreed to"},
	"a change of the quantity is recorded":                   {lkey, "{}", increase, "", ""},
	"a second change of the quantity is recorded":            {lkey, increase, `spec: {quantityChanges: [{at: "2026-03-02T00:00:00Z", quantity: 7}, {at: "2026-03-03T00:00:00Z", quantity: 5}]}`, "", ""},
	"a change of the quantity is set back in time":           {lkey, increase, `spec: {quantityChanges: [{at: "2026-03-01T00:00:00Z", quantity: 7}]}`, "spec.quantityChanges", "quantityChanges are only added to"},
	"a change of the quantity is changed":                    {lkey, increase, `spec: {quantityChanges: [{at: "2026-03-02T00:00:00Z", quantity: 8}]}`, "spec.quantityChanges", "quantityChanges are only added to"},
	"a change of the quantity is taken away":                 {lkey, increase, "spec: {quantityChanges: []}", "spec.quantityChanges", "quantityChanges are only added to"},
	"all changes of the quantity are taken away":             {lkey, increase, "spec: {quantityChanges: null}", "spec.quantityChanges", "quantityChanges are only added to"},
	"two changes of the quantity at once":                    {lkey, "{}", `spec: {quantityChanges: [{at: "2026-03-02T00:00:00Z", quantity: 7}, {at: "2026-03-02T00:00:00Z", quantity: 8}]}`, "spec.quantityChanges[]", "Duplicate value"},
	"a change of the quantity without an instant":            {lkey, "{}", "spec: {quantityChanges: [{quantity: 7}]}", "spec.quantityChanges[].at", "Required value"},
	"the last change of the quantity that there is room for": {lkey, "spec: {quantityChanges: " + repeat(99, changeN) + "}", "spec: {quantityChanges: " + repeat(100, changeN) + "}", "", ""},
	"a code for a licence server":                            {lkey, "", onServer, "", ""},
	"a code is renewed with its licence server":              {lkey, onServer, `spec: {renewedUntil: "2028-03-01T00:00:00Z"}`, "", ""},
	"a code goes to another licence server":                  {lkey, onServer, "spec: {licenseServer: {name: rds-2}}", "spec", "licenseServer is immutable: a code is used up for ever"},
	"a code goes to a licence server that is new":            {lkey, onServer, "spec: {licenseServer: {id: Z" + serverID[1:] + "}}", "spec", "licenseServer is immutable: a code is used up for ever"},
	"a code gets a licence server in the ledger":             {lkey, "{}", onServer, "spec", "licenseServer is immutable: a code is used up for ever"},
	"a code loses its licence server in the ledger":          {lkey, onServer, "spec: {licenseServer: null}", "spec", "licenseServer is immutable: a code is used up for ever"},

	"a licence server that is not activated":       {lsrv, "", "{}", "", ""},
	"a licence server needs a spec":                {lsrv, "", "spec: null", "spec", "Required value"},
	"a licence server needs a version":             {lsrv, "", "spec: {windowsServerVersion: null}", "spec.windowsServerVersion", "Required value"},
	"a licence server's version is quoted":         {lsrv, "", "spec: {windowsServerVersion: 2022}", "spec.windowsServerVersion", "must be of type string"},
	"a licence server is upgraded":                 {lsrv, "{}", `spec: {windowsServerVersion: "2025"}`, "", ""},
	"a licence server is downgraded":               {lsrv, "{}", `spec: {windowsServerVersion: "2019"}`, "spec.windowsServerVersion", "a licence server can be upgraded, not downgraded: licences for its version would no longer work on it"},
	"a licence server is activated":                {lsrv, "{}", "spec: {licenseServerID: " + serverID + "}", "", ""},
	"an activated licence server is upgraded":      {lsrv, "spec: {licenseServerID: " + serverID + "}", `spec: {windowsServerVersion: "2025"}`, "", ""},
	"a licence server is set up again":             {lsrv, "spec: {licenseServerID: " + serverID + "}", "spec: {licenseServerID: Z" + serverID[1:] + "}", "spec.licenseServerID", anew},
	"a licence server loses its activation":        {lsrv, "spec: {licenseServerID: " + serverID + "}", "spec: {licenseServerID: null}", "spec.licenseServerID", anew},
	"a licence server lists a condition only once": {lsrv, "{}", with(twice, "True"), "status.conditions[]", "Duplicate value"},
	"a licence server's status can be written":     {lsrv, "{}", "status: {observedGeneration: 1, conditions: [" + with(condition, "True") + "]}", "", ""},

	"a dataset is changed":    {lkey, "spec: {dataset: a}", "spec: {dataset: b}", "spec", "dataset is immutable"},
	"a dataset is added":      {lkey, "{}", "spec: {dataset: a}", "spec", "dataset is immutable"},
	"a dataset is taken away": {lkey, "spec: {dataset: a}", "spec: {dataset: null}", "spec", "dataset is immutable"},
}

// values are what a field takes and what it refuses, in YAML.
type values struct {
	accepted []string
	refused  map[string]string // part of the error by value
}

var (
	names   = namedOr("should match '^[a-z0-9]")
	amounts = values{[]string{`"0"`, `"0.5"`, `"0.1234"`, `"10"`, `"999999999999.9999"`}, map[string]string{
		`""`:                         "should be at least 1 chars long",
		`"123456789012345678.12345"`: "Too long: may not be more than 23 bytes",
		`"1234567890123456789"`:      "write a number such as",
		`"1,00"`:                     "write a number such as",
		`"-1"`:                       "write a number such as",
		`"+1"`:                       "write a number such as",
		`"01"`:                       "write a number such as",
		`".5"`:                       "write a number such as",
		`"1."`:                       "write a number such as",
		`"1e3"`:                      "write a number such as",
		`"0.12345"`:                  "write a number such as",
	}}
	currencies = values{[]string{"EUR", "JPY", "KWD"}, map[string]string{
		"EU":    "should be at least 3 chars long",
		"EURO":  "Too long: may not be more than 3 bytes",
		"eur":   "use the ISO 4217 code",
		`"€€€"`: "use the ISO 4217 code",
	}}
	windows = values{[]string{"P0D", "P7D", "PT36H", "P1DT1H", "P2W", "PT15S", "P999W", "P9999DT9999H9999M99999S"}, map[string]string{
		"P":                          "give weeks, or days",
		"PT":                         "give weeks, or days",
		"P9999DT9999H9999M99999.99S": "Too long: may not be more than 23 bytes",
		"P1M":                        "give weeks, or days",
		"P1Y":                        "give weeks, or days",
		"7D":                         "give weeks, or days",
		"14D":                        "give weeks, or days",
		"-P7D":                       "give weeks, or days",
		"P1.5D":                      "give weeks, or days",
		"P1W1D":                      "give weeks, or days",
		"p7d":                        "give weeks, or days",
		"P7DT":                       "give weeks, or days",
	}}
	serverVersions = values{[]string{`"2016"`, `"2019"`, `"2022"`, `"2025"`}, map[string]string{
		`"2012"`: "Unsupported value", `"2012 R2"`: "Unsupported value", `"2024"`: "Unsupported value", `""`: "Unsupported value",
	}}
	serverIDs = values{[]string{serverID, strings.Repeat("Z", 35)}, map[string]string{
		`""`:                      giveID,
		serverID[1:]:              giveID,
		serverID + "0":            giveID,
		strings.ToLower(serverID): giveID,
		"ABCDE-12345-FGHIJ-67890-KLMNO-12345-PQRST": giveID,
		text(129): "Too long: may not be more than 128 bytes",
	}}
	toolNames = values{[]string{"a", "ProPlus2024Volume", text(64)}, map[string]string{
		`""`:      "should be at least 1 chars long",
		text(65):  "Too long: may not be more than 64 bytes",
		`"a b"`:   "should match '^[A-Za-z0-9]+$'",
		`'"/><x'`: "should match '^[A-Za-z0-9]+$'",
		`"a\n"`:   "should match '^[A-Za-z0-9]+$'",
	}}
	quantities = values{[]string{"1", "100000"}, map[string]string{
		"0":      "should be greater than or equal to 1",
		"-1":     "should be greater than or equal to 1",
		"100001": "should be less than or equal to 100000",
	}}
	versions = values{[]string{`"1"`, `"2024 R2_b-1.0"`, text(32)}, map[string]string{
		`""`:       "should be at least 1 chars long",
		text(33):   "Too long: may not be more than 32 bytes",
		`" 2024"`:  "should match '^[A-Za-z0-9]",
		`"2024 "`:  "should match '^[A-Za-z0-9]",
		`"2024/1"`: "should match '^[A-Za-z0-9]",
	}}
	languages = values{[]string{"en", "en-US", "zh-Hant-TW", "de-1996", "abcdefgh-12345678-12345678-12345678"}, map[string]string{
		"e":      "should be at least 2 chars long",
		text(36): "Too long: may not be more than 35 bytes",
		"en_US":  "should match '^[A-Za-z]{2,8}",
		"en-":    "should match '^[A-Za-z]{2,8}",
		"1n":     "should match '^[A-Za-z]{2,8}",
	}}
	instants = values{[]string{"2026-09-01T00:00:00Z", "2026-09-01T02:00:00.5+02:00", "2026-09-01T00:00:00.0000000000000000000Z", "2024-02-29T23:59:59-11:30"}, map[string]string{
		"2026-09-01T00:00:00.00000000000000000000Z": "Too long: may not be more than 40 bytes",
		"tomorrow":                  noInstant,
		"":                          noInstant,
		"2026-09-01":                noInstant,
		"2026-09-01T00:00:00":       noInstant,
		"2026-02-29T00:00:00Z":      noInstant,
		"2026-09-01T24:00:00Z":      noInstant,
		"2026-09-01 00:00:00Z":      noInstant,
		"2026-09-01t00:00:00z":      noInstant,
		"2026-09-01T00:00:00z":      noInstant,
		"2026-09-01T00:00:00x5Z":    noInstant,
		"2026-09-01T00:00:00+99:99": noInstant,
	}}
	runningTerms  = oneOf("P1M", "P1Y", "P2Y", "P3Y", "P4Y", "P5Y")
	termNames     = values{append([]string{"Perpetual"}, runningTerms.accepted...), runningTerms.refused}
	refunds       = oneOf("Prorated", "Full")
	architectures = oneOf("x64", "x86", "arm64")
	conditions    = values{[]string{repeat(16, conditionN)}, map[string]string{
		repeat(17, conditionN): "Too many: 17: must have at most 16 items",
	}}
)

// bounded is a field with a bound, a pattern or an enum.
type bounded struct {
	kind, path, in string // in: patch with $ for the value; empty when the path alone says where it goes
	values
}

// fields has every field of that sort, together with those of the other files.
var fields = []bounded{
	{sub, "spec.productRef.name", "", names},
	{sub, "spec.quantity", "", quantities},
	{sub, "spec.term", "", termNames},
	{sub, "spec.secretName", "", names},
	{sub, "spec.download.version", "", versions},
	{sub, "spec.download.language", "", languages},
	{sub, "spec.download.architecture", "", architectures},
	{sub, "spec.download.renewal", "", numbers(0, 1000000)},
	{sub, "spec.licenseServerRef.name", "", names},
	{sub, "spec.volumeLicensing.lastKMSActivation", volume("$"), instants},
	{sub, "status.download.version", linkFor("version: $"), length(0, 32)},
	{sub, "status.download.language", linkFor("language: $"), length(0, 35)},
	{sub, "status.download.architecture", linkFor("architecture: $"), architectures},
	{sub, "status.download.tokenHash", linkFor("tokenHash: $"), length(0, 64)},
	{sub, "status.state", "", oneOf("Pending", "Active", "Cancelled", "Expired")},
	{sub, "status.message", "", length(0, 1024)},
	{sub, "status.next.event", `status: {next: {event: $, at: "2026-03-01T00:00:00Z"}}`, oneOf("WindowCloses", "LinkExpires", "ReactivateBefore", "Renews", "Expires")},
	{sub, "status.cancellation.message", "status: {cancellation: {open: true, message: $}}", length(0, 256)},
	{sub, "status.cancellation.credit.amount", "status: {cancellation: {open: true, credit: {amount: $, currency: EUR}}}", amounts},
	{sub, "status.cancellation.credit.currency", `status: {cancellation: {open: true, credit: {amount: "1", currency: $}}}`, currencies},
	{sub, "status.keys.secretName", "status: {keys: {issued: 1, secretName: $}}", length(0, 253)},
	{sub, "status.conditions", "", conditions},

	{prod, "spec.displayName", "", values{[]string{"a", "Office LTSC", text(256)}, map[string]string{
		`""`:      "should be at least 1 chars long",
		text(257): "Too long: may not be more than 256 bytes",
		`" "`:     `should match '^\S(.*\S)?$'`,
		`"a\nb"`:  `should match '^\S(.*\S)?$'`,
	}}},
	{prod, "spec.software.keys.issuerRef.name", "", names},
	{prod, "spec.software.keys.per", "", oneOf("Subscription", "License")},
	{prod, "spec.software.downgradeVersions", "", numbers(0, 31)},
	{prod, "spec.software.downloadLinkLifetime", "", lasting("a link has to work for some time: give at least one second")},
	{prod, "spec.software.remoteDesktop.version", "", serverVersions},
	{prod, "spec.software.versions[].officeDeployment.productID", officeAs("productID: $, channel: a"), toolNames},
	{prod, "spec.software.versions[].officeDeployment.channel", officeAs("productID: a, channel: $"), toolNames},
	{prod, "spec.software.versions", "", values{[]string{repeat(32, `{version: "%d"}`)}, map[string]string{
		repeat(33, `{version: "%d"}`): "Too many: 33: must have at most 32 items",
	}}},
	{prod, "spec.software.versions[].version", "spec: {software: {versions: [{version: $}]}}", versions},
	{prod, "spec.software.versions[].builds", `spec: {software: {versions: [{version: "1", builds: $}]}}`, values{
		[]string{repeat(128, build("language: aa-%d"))}, map[string]string{
			repeat(129, build("language: aa-%d")): "Too many: 129: must have at most 128 items",
		}}},
	{prod, "spec.software.versions[].builds[].language", builds("language: $"), languages},
	{prod, "spec.software.versions[].builds[].architecture", builds("language: en, architecture: $"), values{[]string{"x64", "arm64"}, map[string]string{
		"x86":    "x86 is not offered as a link: set officeDeploymentTool instead",
		"X64":    "Unsupported value",
		"x86_64": "Unsupported value",
	}}},
	{prod, "spec.software.versions[].builds[].artifact", builds("language: en, artifact: $"), values{
		[]string{"a", "office/2024/x.img", "a..b/.c/d.", text(512)}, map[string]string{
			`""`:        "should be at least 1 chars long",
			text(513):   "Too long: may not be more than 512 bytes",
			"/a":        "artifact is a path inside the store",
			"a/":        "artifact is a path inside the store",
			"a//b":      "artifact is a path inside the store",
			"../a":      "artifact is a path inside the store",
			"a/../../b": "artifact is a path inside the store",
			"./a":       "artifact is a path inside the store: no leading or trailing /, no . or .. in it",
		}}},
	{prod, "spec.software.versions[].builds[].sha256", builds(`language: en, sha256: "$"`), values{
		[]string{strings.Repeat("0f", 32)}, map[string]string{
			text(63):                 "should be at least 64 chars long",
			text(65):                 "Too long: may not be more than 64 bytes",
			strings.Repeat("0F", 32): "should match '^[0-9a-f]{64}$'",
			strings.Repeat("0g", 32): "should match '^[0-9a-f]{64}$'",
		}}},
	{prod, "spec.terms", "", values{[]string{offers("P1Y"), offers("P1M", "P1Y", "P2Y", "P3Y", "P4Y", "P5Y", "Perpetual")}, map[string]string{
		"[]": "should have at least 1 items",
		offers("P1M", "P1Y", "P2Y", "P3Y", "P4Y", "P5Y", "Perpetual", "P1M"): "Too many: 8: must have at most 7 items",
	}}},
	{prod, "status.conditions", "", conditions},

	{iss, "spec.pool.format", "", oneOf("5x5")},
	{iss, "spec.pool.pattern", "", length(1, 256)},
	{iss, "spec.pool.lowWatermark", "", numbers(0, 1000000)},
	{iss, "spec.signed.secretName", "spec: {pool: null, signed: {secretName: $}}", names},
	{iss, "status.publicKey", "", length(0, 64)},
	{iss, "status.rejected", "", values{[]string{repeat(20, "{secret: a, entry: b, line: %d, reason: c}")}, map[string]string{
		repeat(21, "{secret: a, entry: b, line: %d, reason: c}"): "Too many: 21: must have at most 20 items",
	}}},
	{iss, "status.rejected[].secret", "status: {rejected: [{secret: $, entry: b, reason: c}]}", length(0, 253)},
	{iss, "status.rejected[].entry", "status: {rejected: [{secret: a, entry: $, reason: c}]}", length(0, 253)},
	{iss, "status.rejected[].reason", "status: {rejected: [{secret: a, entry: b, reason: $}]}", length(0, 640)},
	{iss, "status.conditions", "", conditions},

	{lkey, "spec.issuerRef.name", "{metadata: {name: '$-" + fingerprint + "'}, spec: {issuerRef: {name: $}}}", names},
	{lkey, "spec.fingerprint", "{metadata: {name: office-$}, spec: {fingerprint: '$'}}", values{[]string{fingerprint}, map[string]string{
		fingerprint[1:]:              "should be at least 40 chars long",
		fingerprint + "0":            "Too long: may not be more than 40 bytes",
		strings.ToUpper(fingerprint): "should match '^[0-9a-f]{40}$'",
		strings.Repeat("g", 40):      "should match '^[0-9a-f]{40}$'",
	}}},
	{lkey, "spec.customer", "", length(1, 63)},
	{lkey, "spec.subscription.name", "", length(1, 253)},
	{lkey, "spec.subscription.uid", "", length(1, 64)},
	{lkey, "spec.productRef.name", "", names},
	{lkey, "spec.slot", "", numbers(1, 500)},
	{lkey, "spec.dataset", "", length(1, 2048)},
	{lkey, "spec.quantityChanges", "", values{[]string{repeat(100, changeN)}, map[string]string{
		repeat(101, changeN): "Too many: 101: must have at most 100 items",
	}}},
	{lkey, "spec.quantityChanges[].quantity", `spec: {quantityChanges: [{at: "2026-03-02T00:00:00Z", quantity: $}]}`, quantities},
	{lkey, "spec.licenseServer.name", "spec: {licenseServer: {name: $, id: " + serverID + "}}", length(1, 253)},
	{lkey, "spec.licenseServer.id", "spec: {licenseServer: {name: rds-1, id: $}}", length(35, 35)},
	{lkey, "spec.state", `spec: {state: $, endedAt: "2026-03-02T00:00:00Z"}`, values{[]string{"Revoked", "Retired"}, oneOf("Revoked").refused}},
	{lkey, "spec.state", "", values{[]string{"Issued"}, nil}},
	{lkey, "spec.purchase.term", "", termNames},
	{lkey, "spec.purchase.quantity", "", quantities},
	{lkey, "spec.purchase.keysPer", "", oneOf("Subscription", "License")},
	{lkey, "spec.purchase.unitPrice.amount", "", amounts},
	{lkey, "spec.purchase.unitPrice.currency", "", currencies},
	{lkey, "spec.purchase.cancellation.window", "", windows},
	{lkey, "spec.purchase.cancellation.refund", "", refunds},

	{lsrv, "spec.windowsServerVersion", "", serverVersions},
	{lsrv, "spec.licenseServerID", "", serverIDs},
	{lsrv, "status.conditions", "", conditions},
}

// conditionN is a condition of a type of its own for each number.
const conditionN = `{type: T%d, status: "True", reason: R, message: "", lastTransitionTime: "2026-03-01T00:00:00Z"}`

// changeN is a change of the quantity at an instant of its own for each number.
const changeN = `{at: "2026-03-02T00:00:00.%dZ", quantity: 7}`

func text(n int) string { return strings.Repeat("a", n) }

func with(patch, value string) string { return strings.ReplaceAll(patch, "$", value) }

// repeat lists n items, each with its number in place of %d.
func repeat(n int, item string) string {
	items := make([]string, n)
	for i := range items {
		items[i] = strings.ReplaceAll(item, "%d", strconv.Itoa(i+1))
	}
	return "[" + strings.Join(items, ", ") + "]"
}

func offers(terms ...string) string {
	for i, term := range terms {
		terms[i] = "{term: " + term + `, price: {amount: "1", currency: EUR}}`
	}
	return "[" + strings.Join(terms, ", ") + "]"
}

// offerFields are the fields of each TermOffer in the list at a path. The list
// goes to the $ of a patch.
func offerFields(kind, path, in string, terms, currencies values) []bounded {
	one := func(fields string) string { return with(in, "[{"+fields+"}]") }
	const price = `price: {amount: "1", currency: EUR}`
	return []bounded{
		{kind, path + "[].term", one("term: $, " + price), terms},
		{kind, path + "[].price.amount", one("term: P1Y, price: {amount: $, currency: EUR}"), amounts},
		{kind, path + "[].price.currency", one(`term: P1Y, price: {amount: "1", currency: $}`), currencies},
		{kind, path + "[].cancellation.window", one("term: P1Y, " + price + ", cancellation: {window: $, refund: Full}"), windows},
		{kind, path + "[].cancellation.refund", one("term: P1Y, " + price + ", cancellation: {window: P7D, refund: $}"), refunds},
	}
}

func perpetual(more string) string {
	return `spec: {terms: [{term: Perpetual, price: {amount: "1", currency: EUR}, ` + more + "}]}"
}

// build has what every build needs unless its fields say it.
func build(fields string) string {
	if !strings.Contains(fields, "artifact:") {
		fields += ", artifact: a"
	}
	if !strings.Contains(fields, "sha256:") {
		fields += ", sha256: " + strings.Repeat("a1", 32)
	}
	return "{" + fields + "}"
}

func builds(fields ...string) string {
	for i, f := range fields {
		fields[i] = build(f)
	}
	return `spec: {software: {versions: [{version: "1", builds: [` + strings.Join(fields, ", ") + "]}]}}"
}

// rds makes the base a Remote Desktop licence with something more.
func rds(more string) string {
	return `spec: {software: {remoteDesktop: {version: "2022"}, ` + more + "}}"
}

func officeAs(fields string) string {
	return `spec: {software: {versions: [{version: "2024", officeDeployment: {` + fields + "}}]}}"
}

func volume(lastKMS string) string {
	return `spec: {volumeLicensing: {lastKMSActivation: "` + lastKMS + `"}}`
}

// linkFor is the status of a link with one field as it is given.
func linkFor(field string) string {
	download := map[string]string{"version": "'2024'", "language": "en-US", "architecture": "x64"}
	name, value, _ := strings.Cut(field, ": ")
	download[name] = value
	var fields []string
	for name, value := range download {
		fields = append(fields, name+": "+value)
	}
	return "status: {download: {" + strings.Join(fields, ", ") + "}}"
}

// namedOr are names of objects, and what is answered to others.
func namedOr(wrong string) values {
	return values{[]string{"a", "a.b-c", text(253)}, map[string]string{
		`""`:      "should be at least 1 chars long",
		text(254): "Too long: may not be more than 253 bytes",
		"Office":  wrong,
		"-a":      wrong,
		"a-":      wrong,
		"a_b":     wrong,
		"a/b":     wrong,
		"a..b":    wrong,
		"a.-b":    wrong,
	}}
}

// lasting are durations longer than nothing, and what is said of the others.
func lasting(zero string) values {
	return values{[]string{"P5D", "PT1S", "P1W", "P9999DT9999H9999M99999S"}, map[string]string{
		"P9999DT9999H9999M99999.99S": "Too long: may not be more than 23 bytes",
		"P0D":                        zero,
		"P0DT0H0M0S":                 zero,
		"P1M":                        "give weeks, or days",
		"5 days":                     "give weeks, or days",
	}}
}

func oneOf(accepted ...string) values {
	return values{accepted, map[string]string{
		"P7Y": "Unsupported value", strings.ToUpper(accepted[0]) + "x": "Unsupported value", `""`: "Unsupported value",
	}}
}

func length(least, most int) values {
	v := values{[]string{`"` + text(least) + `"`, text(most)}, map[string]string{
		text(most + 1): fmt.Sprintf("Too long: may not be more than %d bytes", most),
	}}
	if least > 0 {
		v.refused[`"`+text(least-1)+`"`] = fmt.Sprintf("should be at least %d chars long", least)
	}
	return v
}

func numbers(least, most int) values {
	return values{[]string{strconv.Itoa(least), strconv.Itoa(most)}, map[string]string{
		strconv.Itoa(least - 1): fmt.Sprintf("should be greater than or equal to %d", least),
		strconv.Itoa(most + 1):  fmt.Sprintf("should be less than or equal to %d", most),
	}}
}

// nest is the patch that sets the field at a path to $.
func nest(path string) string {
	parts := strings.Split(path, ".")
	patch := "$"
	for _, part := range slices.Backward(parts) {
		patch = "{" + part + ": " + patch + "}"
	}
	return patch
}

// table is rows together with a row for each value of fields.
var table = sync.OnceValue(func() map[string]row {
	all := map[string]row{}
	for _, some := range []map[string]row{rows, serviceRows, publisherRows, marketplaceRows, entitlementRows,
		offerRows, policyRows, purchaseRows, orderRows, seatRows, takeoverRows, agreementRows, registrationRows, requesterRows, notificationRows} {
		for name, r := range some {
			if _, dup := all[name]; dup {
				panic("two rows are called " + name)
			}
			all[name] = r
		}
	}
	terms := offerFields(prod, "spec.terms", nest("spec.terms"), termNames, currencies)
	for _, f := range slices.Concat(fields, terms, serviceFields, publisherFields, marketplaceFields, entitlementFields,
		selfServiceOfferFields, policyFields, purchaseFields, orderFields, seatFields, takeoverFields, agreementFields, registrationFields, requesterFields, notificationFields) {
		in := f.in
		if in == "" {
			in = nest(f.path)
		}
		stored := "" // status is written to what exists
		if strings.HasPrefix(in, "status") {
			stored = "{}"
		}
		add := func(verdict, value, at, want string) {
			name := fmt.Sprintf("%s %s %s %.40s of %d characters", f.kind, f.path, verdict, value, len(value))
			if _, dup := all[name]; dup {
				name += " in " + in
			}
			if _, dup := all[name]; dup {
				panic("two rows are called " + name)
			}
			all[name] = row{f.kind, stored, with(in, value), at, want}
		}
		for _, value := range f.accepted {
			add("accepts", value, "", "")
		}
		for value, want := range f.refused {
			add("refuses", value, f.path, want)
		}
	}
	return all
})

func base(t *testing.T, kind string) map[string]any {
	t.Helper()
	return merge(parse(t, bases[kind]), map[string]any{"apiVersion": "license-operator.io/v1alpha1", "kind": kindOf(kind)})
}

// write returns the object that a row writes and the errors it gets.
func (r row) write(t *testing.T) (map[string]any, field.ErrorList) {
	t.Helper()
	d := definitionOf(t, kindOf(r.kind))
	obj := base(t, r.kind)
	var old map[string]any
	if r.stored != "" {
		old = merge(obj, parse(t, r.stored))
		if errs := d.admit(old, nil); len(errs) > 0 {
			t.Fatalf("the row is wrong, its stored object is refused: %v", errs)
		}
		obj = runtime.DeepCopyJSON(old)
	}
	obj = merge(obj, parse(t, r.change))
	return obj, d.admit(obj, old)
}

var index = regexp.MustCompile(`\[[^]]*\]`)

// path of the field that an error is about, without indices.
func path(err *field.Error) string {
	if err.Field == "<nil>" {
		return ""
	}
	return index.ReplaceAllString(err.Field, "[]")
}

// wanted returns the error that a row wants, or nil.
func (r row) wanted(errs field.ErrorList) *field.Error {
	for _, err := range errs {
		if r.want != "" && path(err) == r.at && strings.Contains(err.ErrorBody(), r.want) {
			return err
		}
	}
	return nil
}

func TestCRDsAreAccepted(t *testing.T) {
	all, err := definitions()
	if err != nil || len(all) == 0 {
		t.Fatalf("%d CRDs: %v", len(all), err)
	}
	for kind := range all {
		t.Run(kind, func(t *testing.T) {
			t.Parallel() // estimating the cost of rules takes the most time here
			for _, err := range crdvalidation.ValidateCustomResourceDefinition(context.Background(), &definitionOf(t, kind).internal) {
				t.Error(err)
			}
		})
	}
}

func TestValidation(t *testing.T) {
	for name, r := range table() {
		t.Run(name, func(t *testing.T) {
			_, errs := r.write(t)
			if r.want == "" && len(errs) > 0 {
				t.Errorf("refused: %v", errs.ToAggregate())
			}
			if r.want != "" && r.wanted(errs) == nil {
				t.Errorf("got %v, want %s: %s", errs.ToAggregate(), r.at, r.want)
			}
		})
	}
}

// An object that the operator cannot read would keep it from reading any other
// of the kind.
func TestWhatIsAcceptedCanBeRead(t *testing.T) {
	read := map[string]func() any{
		sub:  func() any { return &v1alpha1.SoftwareSubscription{} },
		prod: func() any { return &v1alpha1.Product{} },
		iss:  func() any { return &v1alpha1.KeyIssuer{} },
		lkey: func() any { return &v1alpha1.LicenseKey{} },
		lsrv: func() any { return &v1alpha1.LicenseServer{} },
		pub:  func() any { return &v1alpha1.Publisher{} },
		mkt:  func() any { return &v1alpha1.MarketplaceSubscription{} },
		ent:  func() any { return &v1alpha1.Entitlement{} },
		pol:  func() any { return &v1alpha1.SelfServicePolicy{} },
		pur:  func() any { return &v1alpha1.SelfServicePurchase{} },
		ord:  func() any { return &v1alpha1.SelfServiceOrder{} },
		asg:  func() any { return &v1alpha1.LicenseAssignment{} },
		seat: func() any { return &v1alpha1.Seat{} },
		take: func() any { return &v1alpha1.Takeover{} },
		agr:  func() any { return &v1alpha1.PartnerAgreement{} },
		reg:  func() any { return &v1alpha1.PartnerRegistration{} },
		req:  func() any { return &v1alpha1.PartnerRequester{} },
		note: func() any { return &v1alpha1.Notification{} },
	}
	for name, r := range table() {
		if obj, errs := r.write(t); len(errs) == 0 {
			if err := json.Unmarshal([]byte(asJSON(t, obj)), read[kindOf(r.kind)]()); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// check is something in a schema that refuses values.
type check struct {
	path    string
	refusal string         // in every error of it
	reached func(any) bool // whether a value is the last one that it accepts; nil when there is no such value
}

// checks collects them. Those of metav1.Condition itself are not ours.
func checks(kind string, s *apiextensionsv1.JSONSchemaProps, at string) []check {
	var all []check
	add := func(refusal string, reached func(any) bool) {
		all = append(all, check{at, refusal, reached})
	}
	if s.MinLength != nil {
		add(fmt.Sprintf("should be at least %d chars long", *s.MinLength), lengthIs(*s.MinLength))
	}
	if s.MaxLength != nil && unreachable[last(at)] {
		add(fmt.Sprintf("Too long: may not be more than %d bytes", *s.MaxLength), nil)
	} else if s.MaxLength != nil {
		add(fmt.Sprintf("Too long: may not be more than %d bytes", *s.MaxLength), lengthIs(*s.MaxLength))
	}
	if s.Pattern != "" {
		add("should match '"+s.Pattern+"'", nil)
	}
	if s.Minimum != nil {
		add(fmt.Sprintf("should be greater than or equal to %v", *s.Minimum), numberIs(*s.Minimum))
	}
	if s.Maximum != nil {
		add(fmt.Sprintf("should be less than or equal to %v", int64(*s.Maximum)), numberIs(*s.Maximum))
	}
	if s.MinItems != nil {
		add(fmt.Sprintf("should have at least %d items", *s.MinItems), lengthIs(*s.MinItems))
	}
	if s.MaxItems != nil {
		add(fmt.Sprintf("must have at most %d items", *s.MaxItems), lengthIs(*s.MaxItems))
	}
	for _, e := range s.Enum {
		var value any
		_ = json.Unmarshal(e.Raw, &value)
		if unreachable[fmt.Sprint(value, " in ", kind, at)] {
			continue
		}
		add("Unsupported value", func(v any) bool { return v == value })
	}
	for _, rule := range s.XValidations {
		all = append(all, check{at + rule.FieldPath, rule.Message, nil})
	}
	for name, p := range s.Properties {
		all = append(all, checks(kind, &p, at+"."+name)...)
	}
	if s.Items != nil && s.Items.Schema != nil {
		if len(s.XListMapKeys) > 0 {
			all = append(all, check{at + "[]", "Duplicate value", nil})
		}
		if !strings.HasSuffix(at, "status.conditions") {
			all = append(all, checks(kind, s.Items.Schema, at+"[]")...)
		}
	}
	return all
}

// unreachable are the fields whose pattern refuses every value that is as long
// as maxLength, which is there to tell what a rule on it costs at most, and the
// values that a rule refuses with words although the enum has them.
var unreachable = map[string]bool{
	"amount": true, "licenseServerID": true, "authorizationNumber": true, "licenseNumber": true,
	"x86 in Product.spec.software.versions[].builds[].architecture": true,
	"Perpetual in Product.spec.saas.plans[].terms[].term":           true,
	"Perpetual in MarketplaceSubscription.spec.term":                true,
}

func last(path string) string { return path[strings.LastIndex(path, ".")+1:] }

func lengthIs(n int64) func(any) bool {
	return func(v any) bool {
		switch v := v.(type) {
		case string:
			return int64(len(v)) == n
		case []any:
			return int64(len(v)) == n
		}
		return false
	}
}

func numberIs(n float64) func(any) bool {
	return func(v any) bool { i, ok := v.(int64); return ok && i == int64(n) }
}

// flatten lists the values of an object by path without indices.
func flatten(v any, at string, into map[string][]any) {
	into[at] = append(into[at], v)
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			flatten(value, at+"."+key, into)
		}
	case []any:
		for _, item := range v {
			flatten(item, at+"[]", into)
		}
	}
}

// Somebody who adds a bound or a rule has to show what it refuses and that it
// does not refuse too much.
func TestEveryCheckHasRows(t *testing.T) {
	all, err := definitions()
	if err != nil {
		t.Fatal(err)
	}
	accepted := map[string]map[string][]any{}
	refused := map[string][]*field.Error{}
	for kind := range all {
		accepted[kind] = map[string][]any{}
	}
	for _, r := range table() {
		obj, errs := r.write(t)
		kind := kindOf(r.kind)
		if err := r.wanted(errs); err != nil {
			refused[kind] = append(refused[kind], err)
		}
		if len(errs) == 0 {
			flatten(obj, "", accepted[kind])
		}
	}
	for kind, d := range all {
		for _, c := range checks(kind, d.schema(), "") {
			at := strings.TrimPrefix(c.path, ".")
			if !slices.ContainsFunc(refused[kind], func(err *field.Error) bool {
				return path(err) == at && strings.Contains(err.ErrorBody(), c.refusal)
			}) {
				t.Errorf("%s %s: no row is refused with %q", kind, at, c.refusal)
			}
			if c.reached != nil && !slices.ContainsFunc(accepted[kind][c.path], c.reached) {
				t.Errorf("%s %s: no row has the last value that is accepted before %q", kind, at, c.refusal)
			}
		}
	}
}

func TestDefaults(t *testing.T) {
	const unseen = "status: {observedGeneration: -1}"
	const software = "keys: {per: Subscription}, downgradeVersions: 0, downloadLinkLifetime: P5D, officeDeploymentTool: false"
	for name, tc := range map[string]struct {
		kind, change, want string // patches on the base
	}{
		"a subscription": {sub, "{}", "{spec: {quantity: 1, autoRenew: true, cancelled: false}, " + unseen + "}"},
		"a subscription with a choice of download": {sub, "spec: {download: {}}",
			"{spec: {quantity: 1, autoRenew: true, cancelled: false, download: {architecture: x64, renewal: 0}}, " + unseen + "}"},
		"a subscription that says everything": {sub, "spec: {quantity: 2, autoRenew: false, cancelled: true, download: {architecture: arm64}}",
			"{spec: {quantity: 2, autoRenew: false, cancelled: true, download: {architecture: arm64, renewal: 0}}, " + unseen + "}"},
		"a status that was written": {sub, "status: {observedGeneration: 3}",
			"{spec: {quantity: 1, autoRenew: true, cancelled: false}, status: {observedGeneration: 3}}"},
		"a product": {prod, "{}", "{spec: {software: {" + software + "}}, " + unseen + "}"},
		"a product with a build": {prod, builds("language: en"),
			"{spec: {software: {" + software + ", versions: [{version: '1', builds: [" +
				build("language: en, architecture: x64") + "]}]}}, " + unseen + "}"},
		"a pool":               {iss, "{}", "{spec: {pool: {lowWatermark: 0}}, " + unseen + "}"},
		"an issuer that signs": {iss, signed, "{" + signed + ", " + unseen + "}"},
		"a customer who comes from KMS": {sub, volume("2026-03-01T00:00:00Z"),
			"{spec: {quantity: 1, autoRenew: true, cancelled: false, volumeLicensing: {lastKMSActivation: '2026-03-01T00:00:00Z', makDeployed: false}}, " + unseen + "}"},
		"a licence server": {lsrv, "{}", "{" + unseen + "}"},
		"a service":        {svc, "{}", "{" + plan("stopSell: false") + ", " + unseen + "}"},
		"a plan that is sold by the seat": {svc, plan("seats: {}"),
			"{" + plan("seats: {min: 1, max: 1000000}, stopSell: false") + ", " + unseen + "}"},
		"a publisher":              {pub, "{}", "{spec: {allowPrivateAddresses: false}, " + unseen + "}"},
		"a service that is bought": {mkt, "{}", "{spec: {autoRenew: true, suspended: false, cancelled: false}, " + unseen + "}"},
		"a service that is bought with a link to it": {mkt, "spec: {landingPage: {}, autoRenew: false}",
			"{spec: {autoRenew: false, suspended: false, cancelled: false, landingPage: {renewal: 0}}, " + unseen + "}"},
		"a service on record says all itself": {ent, "{}", "{}"},
		"a ledger entry has no status":        {lkey, "{}", "spec: {state: Issued}"},
		"a product that employees can try": {prod, "spec: {selfService: {trial: {length: P30D}}}",
			"{spec: {software: {" + software + "}, selfService: {purchase: false, trial: {length: P30D, paymentMethod: Required}}}, " + unseen + "}"},
		"a policy that says nothing": {pol, "{}", "{spec: {default: Allow, mode: Enforce}, " + unseen + "}"},
		"a policy without a spec":    {pol, "spec: null", "{spec: {default: Allow, mode: Enforce}, " + unseen + "}"},
		"a policy that says everything": {pol, "spec: {default: Block, mode: Audit, products: [{name: a, value: Allow}]}",
			"{spec: {default: Block, mode: Audit, products: [{name: a, value: Allow}]}, " + unseen + "}"},
		"an employee's purchase": {pur, "{}", "{spec: {quantity: 1, autoRenew: true, cancelled: false}, " + unseen + "}"},
		"an employee's trial": {pur, "spec: {type: Trial, paymentMethod: null}",
			"{spec: {type: Trial, paymentMethod: false, quantity: 1, autoRenew: true, cancelled: false}, " + unseen + "}"},
		"an order has no status":          {ord, "{}", "{}"},
		"an assignment":                   {asg, "{}", "{" + unseen + "}"},
		"a seat has no status":            {seat, "{}", "{}"},
		"a takeover":                      {take, "{}", "{" + unseen + "}"},
		"an agreement":                    {agr, "{}", "{" + unseen + "}"},
		"a registration":                  {reg, "{}", "{" + unseen + "}"},
		"a record of vain attempts":       {req, "{}", "{}"},
		"a mail that nobody has sent yet": {note, "{}", "{" + unseen + "}"},
	} {
		t.Run(name, func(t *testing.T) {
			got := merge(base(t, tc.kind), parse(t, tc.change))
			if errs := definitionOf(t, kindOf(tc.kind)).admit(got, nil); len(errs) > 0 {
				t.Fatal(errs.ToAggregate())
			}
			want := merge(base(t, tc.kind), parse(t, tc.want))
			if got, want := asJSON(t, got), asJSON(t, want); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

// A status that a tool writes out as null is the default too: rules read it.
func TestNullMeansDefault(t *testing.T) {
	got := base(t, sub)
	got["status"] = nil
	got["spec"].(map[string]any)["quantity"] = nil
	if errs := definitionOf(t, sub).admit(got, nil); len(errs) > 0 {
		t.Fatal(errs.ToAggregate())
	}
	want := merge(base(t, sub), parse(t, "{spec: {quantity: 1, autoRenew: true, cancelled: false}, status: {observedGeneration: -1}}"))
	if got, want := asJSON(t, got), asJSON(t, want); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func TestSamples(t *testing.T) {
	const dir = "../../config/samples"
	files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no samples: %v", err)
	}
	own, err := filepath.Glob(filepath.Join(dir, "*", "*.yaml")) // what people create themselves
	if err != nil || len(own) == 0 {
		t.Fatalf("no samples of what people create themselves: %v", err)
	}
	seen := map[string]bool{}
	for _, file := range append(own, files...) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, doc := range regexp.MustCompile(`(?m)^---$`).Split(string(raw), -1) {
				obj := parse(t, doc)
				kind, _ := obj["kind"].(string)
				seen[kind] = true
				var err error
				switch {
				case filepath.Base(file) == "kustomization.yaml":
					for _, f := range files {
						if f != file && !slices.Contains(obj["resources"].([]any), any(filepath.Base(f))) {
							t.Errorf("%s is not among the resources", f)
						}
					}
				case kind == "Namespace":
					err = yaml.UnmarshalStrict([]byte(doc), &corev1.Namespace{})
				case kind == "Secret":
					err = yaml.UnmarshalStrict([]byte(doc), &corev1.Secret{})
				case kind == "ServiceAccount":
					err = yaml.UnmarshalStrict([]byte(doc), &corev1.ServiceAccount{})
				default:
					err = definitionOf(t, kind).admit(obj, nil).ToAggregate()
				}
				if err != nil {
					t.Errorf("%s: %v", kind, err)
				}
			}
		})
	}
	for _, kind := range []string{sub, prod, iss, lsrv} {
		if !seen[kind] {
			t.Errorf("no sample of the kind %s", kind)
		}
	}
}

// The comments are what people look up a reason in.
func TestReasonsAreDocumented(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "conditions.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	documented, defined := map[string]bool{}, map[string]bool{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if strings.HasPrefix(spec.Names[0].Name, "Condition") {
			for _, m := range regexp.MustCompile(`"(\w+)"`).FindAllStringSubmatch(spec.Doc.Text(), -1) {
				documented[m[1]] = true
			}
		}
		if strings.HasPrefix(spec.Names[0].Name, "Reason") {
			value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Error(err)
			}
			defined[value] = true
		}
		return true
	})
	if len(defined) == 0 {
		t.Fatal("no reasons found")
	}
	for reason := range defined {
		if !documented[reason] {
			t.Errorf("no comment of a condition has the reason %q", reason)
		}
	}
	for reason := range documented {
		if !defined[reason] {
			t.Errorf("a comment of a condition has the reason %q, which does not exist", reason)
		}
	}
}

func TestRoleIsNarrow(t *testing.T) {
	raw, err := os.ReadFile("../../config/rbac/role.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var role rbacv1.ClusterRole
	if err := yaml.UnmarshalStrict(raw, &role); err != nil {
		t.Fatal(err)
	}
	if len(role.Rules) == 0 {
		t.Fatal("no rules")
	}
	known := []string{"get", "list", "watch", "create", "update", "patch", "delete"} // and not deletecollection
	for _, rule := range role.Rules {
		for _, verb := range rule.Verbs {
			if verb == "bind" && len(rule.ResourceNames) > 0 {
				continue // a role that is named
			}
			if !slices.Contains(known, verb) {
				t.Errorf("verb %q in %v", verb, rule)
			}
		}
		if all := slices.Concat(rule.APIGroups, rule.Resources, rule.NonResourceURLs); slices.ContainsFunc(all, func(s string) bool { return strings.Contains(s, "*") }) {
			t.Errorf("a wildcard in %v", rule)
		}
	}
}
