package v1alpha1

const (
	// LabelManagedBy marks the Secrets that the operator made. It helps people
	// and caches to find them; it is never taken as proof of who owns one.
	LabelManagedBy = "app.kubernetes.io/managed-by"
	// ManagedByOperator is the value of LabelManagedBy.
	ManagedByOperator = "license-operator"
)

// Reference names another object of a kind that the field implies.
type Reference struct {
	// name of the object referred to.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	Name string `json:"name"`
}

// Money is an exact amount in one currency.
type Money struct {
	// amount as a decimal string, so that nobody's YAML parser rounds it.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=23
	// +kubebuilder:validation:XValidation:rule="self.matches('^(0|[1-9][0-9]{0,17})([.][0-9]{1,4})?$')",message="write a number such as \"120.00\": at most 18 digits, a point, at most 4 decimals, no sign"
	Amount string `json:"amount"`

	// currency is an ISO 4217 code, which also gives the digits that credits
	// are rounded to: two for EUR, none for JPY, three for KWD.
	// +required
	// +kubebuilder:validation:MinLength=3
	// +kubebuilder:validation:MaxLength=3
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Z]{3}$')",message="use the ISO 4217 code in capitals, such as EUR"
	Currency string `json:"currency"`
}

// Duration is a length of time in ISO 8601, such as P7D or PT36H. Days are 24
// hours of UTC. Months and years are not accepted: they have no fixed length.
// +kubebuilder:validation:MaxLength=23
// +kubebuilder:validation:XValidation:rule="self.matches('^P([0-9]{1,3}W|([0-9]{1,4}D)?(T([0-9]{1,4}H)?([0-9]{1,4}M)?([0-9]{1,5}S)?)?)$') && self.matches('[0-9][WDHMS]$')",message="give weeks, or days, hours, minutes and seconds, such as P7D or PT36H; months and years have no fixed length"
type Duration string

// Term is how long a purchase lasts before it ends or renews.
// +kubebuilder:validation:Enum=P1M;P1Y;P2Y;P3Y;P4Y;P5Y;Perpetual
type Term string

// What a Term can be.
const (
	TermMonth      Term = "P1M"
	TermYear       Term = "P1Y"
	TermTwoYears   Term = "P2Y"
	TermThreeYears Term = "P3Y"
	TermFourYears  Term = "P4Y"
	TermFiveYears  Term = "P5Y"
	TermPerpetual  Term = "Perpetual" // never ends and never renews
)

// Refund says what a cancellation inside the window gives back.
// +kubebuilder:validation:Enum=Prorated;Full
type Refund string

// What a Refund can be.
const (
	RefundProrated Refund = "Prorated" // the days that were not used
	RefundFull     Refund = "Full"     // everything
)

// CancellationPolicy is until when and for what refund a purchase can be cancelled.
type CancellationPolicy struct {
	// window is how long after the start of a term, be it the first or a
	// renewed one, the purchase can still be cancelled. P0D: never.
	// +required
	Window Duration `json:"window"`

	// refund is what cancelling inside the window gives back.
	// +required
	Refund Refund `json:"refund"`
}

// Email is a mail address.
// +kubebuilder:validation:MinLength=3
// +kubebuilder:validation:MaxLength=254
// +kubebuilder:validation:XValidation:rule="self.matches('^[^@\\\\pZ\\\\pC\"(),:;<>\\\\[\\\\]]+@[\\\\pL\\\\pN]([\\\\pL\\\\pM\\\\pN.-]*[\\\\pL\\\\pM\\\\pN])?$') && !self.matches('@.*[.][.]')",message="give one mail address, such as ada@contoso.example, without name or brackets"
type Email string

// Subject is somebody whom the API server knows: a user, a group of users or a
// service account.
// +kubebuilder:validation:XValidation:rule="(self.kind == 'ServiceAccount') == has(self.__namespace__)",message="a ServiceAccount has a namespace, a User or Group has none"
// +kubebuilder:validation:XValidation:rule="self.kind != 'ServiceAccount' || !has(self.__namespace__) || (self.__namespace__.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$') && self.name.matches('^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$'))",message="write namespace and name of the ServiceAccount as kubectl get serviceaccounts -A lists them"
// +kubebuilder:validation:XValidation:rule="!has(self.__namespace__) || size(self.__namespace__) + size(self.name) <= 230",message="the user name of this ServiceAccount is too long: namespace and name may have 230 characters together"
type Subject struct {
	// kind is ServiceAccount, User or Group.
	// +required
	// +kubebuilder:validation:Enum=ServiceAccount;User;Group
	Kind string `json:"kind"`

	// namespace of a ServiceAccount.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace,omitempty"`

	// name of the subject. Groups that everybody is in are not accepted.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="!(self in ['system:authenticated', 'system:unauthenticated', 'system:serviceaccounts', 'system:anonymous'])",message="everybody is in this group: name those who are meant"
	// +kubebuilder:validation:XValidation:rule="self.matches('^[^\\\\pZ\\\\pC]([^\\\\pC\\\\p{Zl}\\\\p{Zp}]*[^\\\\pZ\\\\pC])?$')",message="write the name as the API server knows it (kubectl auth whoami tells one's own), in one line and without blanks around it"
	Name string `json:"name"`
}

// Username is what the API server calls a subject: of a ServiceAccount its name
// as a user, else the name itself.
func (s Subject) Username() string {
	if s.Kind == "ServiceAccount" {
		return "system:serviceaccount:" + s.Namespace + ":" + s.Name
	}
	return s.Name
}

// Username is the name of a user as the API server knows him, letter by letter.
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=253
// +kubebuilder:validation:XValidation:rule="self.matches('^[^\\\\pZ\\\\pC]([^\\\\pC\\\\p{Zl}\\\\p{Zp}]*[^\\\\pZ\\\\pC])?$')",message="write the name as the API server knows it (kubectl auth whoami tells one's own), in one line and without blanks around it"
type Username string

// ObjectReference names an object of a kind that the field implies, in any
// namespace.
type ObjectReference struct {
	// namespace of the object referred to.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace"`

	// name of the object referred to.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
}

// AuthorizationNumber of an agreement.
// +kubebuilder:validation:MaxLength=128
// +kubebuilder:validation:XValidation:rule="self.matches('^[0-9A-Z]{15}$')",message="an authorization number has 15 digits and capital letters, and no hyphens, such as 12345678ZZS1234"
type AuthorizationNumber string

// LicenseNumber of an order under an agreement.
// +kubebuilder:validation:MaxLength=128
// +kubebuilder:validation:XValidation:rule="self.matches('^[0-9]{8}$')",message="a licence number has 8 digits and no hyphens, such as \"12345678\""
type LicenseNumber string
