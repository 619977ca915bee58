package v1alpha1_test

// agreementBase is the smallest useful PartnerAgreement.
const agreementBase = `
metadata: {name: open, namespace: contoso}
spec: {authorizationNumber: 12345678ZZS1234, licenseNumber: "87654321", customerEmail: it@contoso.example}`

const (
	fifteen = "an authorization number has 15 digits and capital letters, and no hyphens, such as 12345678ZZS1234"
	eight   = `a licence number has 8 digits and no hyphens, such as "12345678"`
)

var agreementRows = map[string]row{
	"an agreement":                                  {agr, "", "{}", "", ""},
	"an agreement without an authorization":         {agr, "", "spec: {authorizationNumber: null}", "spec.authorizationNumber", "Required value"},
	"an agreement without a licence":                {agr, "", "spec: {licenseNumber: null}", "spec.licenseNumber", "Required value"},
	"an agreement without a mail address":           {agr, "", "spec: {customerEmail: null}", "spec.customerEmail", "Required value"},
	"an agreement without a spec":                   {agr, "", "spec: null", "spec", "Required value"},
	"a licence number is quoted":                    {agr, "", "spec: {licenseNumber: 87654321}", "spec.licenseNumber", "must be of type string"},
	"an authorization of digits is quoted":          {agr, "", "spec: {authorizationNumber: 123456780001234}", "spec.authorizationNumber", "must be of type string"},
	"an agreement gets another authorization":       {agr, "{}", "spec: {authorizationNumber: 12345678ZZE1234}", "spec.authorizationNumber", "authorizationNumber is immutable: another number is another agreement"},
	"an agreement gets another licence":             {agr, "{}", `spec: {licenseNumber: "87654322"}`, "spec.licenseNumber", "licenseNumber is immutable: another order is another PartnerAgreement"},
	"an agreement's mail address is mended":         {agr, "{}", "spec: {customerEmail: office@contoso.example}", "", ""},
	"an agreement that nobody writes the status of": {agr, "{}", "status: {observedGeneration: 1}", "status", "unknown field"},
}

var agreementFields = []bounded{
	{agr, "spec.authorizationNumber", "", values{[]string{"12345678ZZS1234", `"123456789012345"`, "ABCDEFGHIJKLMNO"}, map[string]string{
		`""`:                fifteen,
		"12345678ZZS123":    fifteen,
		"12345678ZZS12345":  fifteen,
		"12345678zzs1234":   fifteen,
		"12345678-ZZS-1234": fifteen,
		"1234567-ZZS1234":   fifteen,
		`"12345678 ZS1234"`: fifteen,
		`" 2345678ZZS1234"`: fifteen,
		"12345678ZZÄ1234":   fifteen,
		"１２３４５６７８ZZS1234":   fifteen, // wide digits
		text(129):           "Too long: may not be more than 128 bytes",
	}}},
	{agr, "spec.licenseNumber", "", values{[]string{`"12345678"`, `"00000000"`}, map[string]string{
		`""`:          eight,
		`"1234567"`:   eight,
		`"123456789"`: eight,
		"1234-5678":   eight,
		"1234567A":    eight,
		`"1234567 "`:  eight,
		`"１２３４５６７８"`:  eight,
		text(129):     "Too long: may not be more than 128 bytes",
	}}},
	{agr, "spec.customerEmail", `spec: {customerEmail: "$"}`, emails},
}
