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
