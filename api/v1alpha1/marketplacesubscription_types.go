package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// BillingCycle is how often a subscription is charged for.
// +kubebuilder:validation:Enum=Monthly;Annual
type BillingCycle string

// What a BillingCycle can be.
const (
	BillingMonthly BillingCycle = "Monthly"
	BillingAnnual  BillingCycle = "Annual"
)

// MarketplaceSubscriptionSpec is what the customer wants of a publisher's
// service. What holds is in status: a change of plan or quantity follows when
// the publisher has accepted it.
// +kubebuilder:validation:XValidation:rule="has(self.secretName) == has(oldSelf.secretName) && (!has(self.secretName) || self.secretName == oldSelf.secretName)",message="secretName is fixed by the purchase: buy another subscription to have its link in another Secret",fieldPath=".secretName"
// +kubebuilder:validation:XValidation:rule="self.term != 'P1M' || !has(self.billingCycle) || self.billingCycle == 'Monthly'",message="a term of a month is charged by the month: leave billingCycle out, or set it to Monthly",fieldPath=".billingCycle"
// +kubebuilder:validation:XValidation:rule="has(self.landingPage) || !has(oldSelf.landingPage) || oldSelf.landingPage.renewal == 0",message="renewal only goes up, and without landingPage it would be 0 again: keep it",fieldPath=".landingPage"
type MarketplaceSubscriptionSpec struct {
	// productRef names the Product. It cannot change: another product is
	// another purchase.
	// +required
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="productRef is immutable: another product is another subscription"
	ProductRef Reference `json:"productRef"`

	// planID is the plan wanted. It is needed for the purchase if the product
	// has several plans. Later it may be left out, which leaves the plan as it
	// is, and lets the publisher change it when the customer asks there.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=50
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9][A-Za-z0-9._-]*$`
	PlanID string `json:"planID,omitempty"`

	// quantity of seats wanted, for plans that are sold by the seat. When absent
	// it is the fewest that the plan is sold with; later it may be left out,
	// which leaves it as it is, and lets the publisher change it when the
	// customer asks there.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000
	Quantity int64 `json:"quantity,omitempty"`

	// term is how long the purchase lasts: P1M or P1Y to P5Y. The product says
	// which of them are sold.
	// +required
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="term is immutable: another term is another subscription"
	// +kubebuilder:validation:XValidation:rule="self != 'Perpetual'",message="a service runs for a term: Perpetual is for software"
	Term Term `json:"term"`

	// autoRenew starts a new term when one ends, and turns a trial paid.
	// Without it the subscription ends with its term, or its trial.
	// +optional
	// +default=true
	AutoRenew *bool `json:"autoRenew,omitempty"`

	// billingCycle is how often the subscription is charged for. When absent a
	// term of a month is charged by the month and any other by the year. A
	// change holds from the next term.
	// +optional
	BillingCycle BillingCycle `json:"billingCycle,omitempty"`

	// friendlyName is what the customer calls the subscription. The publisher
	// sees it.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=200
	// +kubebuilder:validation:Pattern=`^\S(.*\S)?$`
	FriendlyName string `json:"friendlyName,omitempty"`

	// resellerPartnerID is the partner id of the indirect reseller, if there is
	// one. It is on the invoice.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self.matches('^[0-9]{1,20}$')",message="a partner id has digits only, such as \"4847383\""
	// +kubebuilder:validation:MaxLength=20
	ResellerPartnerID string `json:"resellerPartnerID,omitempty"`

	// beneficiary is who uses the service. The publisher sees it.
	// +optional
	Beneficiary *Person `json:"beneficiary,omitempty"`

	// purchaser is who bought it, if that is somebody else, such as a partner.
	// The publisher sees it.
	// +optional
	Purchaser *Person `json:"purchaser,omitempty"`

	// landingPage is the way to the publisher's site.
	// +optional
	LandingPage *LandingPageChoice `json:"landingPage,omitempty"`

	// suspended stops the service because it was not paid for. The
	// subscription is kept for 30 days, then it ends for good. False asks the
	// publisher to reinstate it.
	// +optional
	// +default=false
	Suspended bool `json:"suspended,omitempty"`

	// secretName names the Secret that holds the link to the publisher's site.
	// When absent it is the name of the subscription followed by "-landing".
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	SecretName string `json:"secretName,omitempty"`

	// cancelled ends the subscription. It is accepted before the activation,
	// during a trial and while the cancellation window is open, and it is
	// final.
	// +optional
	// +default=false
	Cancelled bool `json:"cancelled,omitempty"`
}

// Person is somebody whom the publisher deals with.
type Person struct {
	// email address.
	// +required
	Email Email `json:"email"`
}

// LandingPageChoice asks for links to the publisher's site.
type LandingPageChoice struct {
	// renewal gives a fresh link each time it is raised.
	// +optional
	// +default=0
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000000
	// +kubebuilder:validation:XValidation:rule="self >= oldSelf",message="renewal only goes up: keep the number that it has, or raise it for a fresh link"
	Renewal int64 `json:"renewal,omitempty"`
}

// MarketplaceSubscriptionStatus is what holds, as the operator and the
// publisher agreed.
type MarketplaceSubscriptionStatus struct {
	// observedGeneration is the generation that conditions describe; -1
	// before the operator has looked.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// id is what the publisher knows the subscription by.
	// +optional
	// +kubebuilder:validation:MaxLength=36
	ID string `json:"id,omitempty"`

	// state is for display; decide by conditions. It is empty until something
	// was bought.
	// +optional
	State MarketplaceState `json:"state,omitempty"`

	// message says in a line what a person should know now.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`

	// next is what happens to this subscription next.
	// +optional
	Next *MarketplaceEvent `json:"next,omitempty"`

	// purchasedAt is the instant of the purchase.
	// +optional
	PurchasedAt *metav1.Time `json:"purchasedAt,omitempty"`

	// planID is the plan that holds now.
	// +optional
	// +kubebuilder:validation:MaxLength=50
	PlanID string `json:"planID,omitempty"`

	// quantity of seats that holds now. Absent for plans that are not sold by
	// the seat.
	// +optional
	Quantity int64 `json:"quantity,omitempty"`

	// landingPage is where the link to the publisher's site is.
	// +optional
	LandingPage *LandingPageStatus `json:"landingPage,omitempty"`

	// publisher is whom to turn to.
	// +optional
	Publisher *PublisherContact `json:"publisher,omitempty"`

	// trial that is running. Absent when there is none any more.
	// +optional
	Trial *TermStatus `json:"trial,omitempty"`

	// term that is running, paid or on trial. Absent before the activation.
	// +optional
	Term *TermStatus `json:"term,omitempty"`

	// billing tells when it began and how often it is.
	// +optional
	Billing *BillingStatus `json:"billing,omitempty"`

	// cancellation tells whether and for how much the subscription can be
	// cancelled, or what its cancellation gave back.
	// +optional
	Cancellation *CancellationStatus `json:"cancellation,omitempty"`

	// endedAt is the instant at which the subscription ended for good.
	// +optional
	EndedAt *metav1.Time `json:"endedAt,omitempty"`

	// operations are what was asked for lately, the newest last.
	// +optional
	// +listType=map
	// +listMapKey=id
	// +kubebuilder:validation:MaxItems=8
	Operations []OperationStatus `json:"operations,omitempty"`

	// noticedUntil is the instant up to which people were told what happened
	// and what is due, by Events.
	// +optional
	NoticedUntil *metav1.Time `json:"noticedUntil,omitempty"`

	// conditions: Ready (absent once the subscription has ended), Activated,
	// ActionRequired, InSync, Cancelled, and while abnormal Reconciling or
	// Stalled.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// MarketplaceState is where a subscription is in its life. The names are those
// of the SaaS fulfilment API.
// +kubebuilder:validation:Enum=PendingFulfillmentStart;Subscribed;Suspended;Unsubscribed
type MarketplaceState string

// What a MarketplaceState can be.
const (
	StatePendingFulfillmentStart MarketplaceState = "PendingFulfillmentStart" // the publisher has to activate it
	StateSubscribed              MarketplaceState = "Subscribed"
	StateSuspended               MarketplaceState = "Suspended"    // not paid for
	StateUnsubscribed            MarketplaceState = "Unsubscribed" // for good
)

// MarketplaceEvent is something that the passing of time will do.
type MarketplaceEvent struct {
	// event: ActivationLapses, WindowCloses, TrialEnds, Renews, Expires or
	// Ends (because it stays suspended).
	// +required
	// +kubebuilder:validation:Enum=ActivationLapses;WindowCloses;TrialEnds;Renews;Expires;Ends
	Event string `json:"event"`

	// at is the instant of it.
	// +required
	At metav1.Time `json:"at"`
}

// LandingPageStatus tells where the link to the publisher's site is. The link
// itself is in a Secret, because whoever has it is taken for the buyer.
type LandingPageStatus struct {
	// secretName names the Secret, in the namespace of the subscription.
	// +required
	// +kubebuilder:validation:MaxLength=253
	SecretName string `json:"secretName"`

	// site of the publisher, to which the link leads.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Site string `json:"site,omitempty"`

	// expiresAt is the first instant at which the link no longer works. Raise
	// spec.landingPage.renewal for a fresh one.
	// +required
	ExpiresAt metav1.Time `json:"expiresAt"`

	// renewal that the link was made for.
	// +optional
	Renewal int64 `json:"renewal,omitempty"`

	// urlHash is the beginning of the SHA-256 of the link, in lower-case
	// hexadecimal.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	URLHash string `json:"urlHash,omitempty"`
}

// PublisherContact is whom to turn to about a subscription.
type PublisherContact struct {
	// displayName of the publisher.
	// +required
	// +kubebuilder:validation:MaxLength=256
	DisplayName string `json:"displayName"`

	// site of the publisher.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Site string `json:"site,omitempty"`

	// support is where the publisher helps.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Support string `json:"support,omitempty"`

	// requiredSteps are what to do at the publisher before asking for
	// something here.
	// +optional
	// +listType=map
	// +listMapKey=before
	// +kubebuilder:validation:MaxItems=3
	RequiredSteps []RequiredStep `json:"requiredSteps,omitempty"`
}

// BillingStatus tells about charging for a subscription.
type BillingStatus struct {
	// startedAt is the instant of the activation, from which on the
	// subscription, or its trial, is charged for. Absent before: nothing is.
	// +optional
	StartedAt *metav1.Time `json:"startedAt,omitempty"`

	// cycle that holds now.
	// +optional
	Cycle BillingCycle `json:"cycle,omitempty"`
}

// OperationStatus is something that was asked for, and what came of it.
type OperationStatus struct {
	// id of the operation in the fulfilment API.
	// +required
	// +kubebuilder:validation:MaxLength=36
	ID string `json:"id"`

	// action that was asked for.
	// +required
	Action OperationAction `json:"action"`

	// planID that was asked for, or held then.
	// +optional
	// +kubebuilder:validation:MaxLength=50
	PlanID string `json:"planID,omitempty"`

	// quantity that was asked for, or held then.
	// +optional
	Quantity int64 `json:"quantity,omitempty"`

	// status: InProgress, Succeeded or Failed.
	// +required
	Status OperationState `json:"status"`

	// requestedAt is when it was asked for.
	// +required
	RequestedAt metav1.Time `json:"requestedAt"`

	// message says what became of it, or what it waits for.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Message string `json:"message,omitempty"`
}

// MarketplaceSubscription is a customer's purchase of a publisher's service.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:categories=licensing,shortName=mpsub
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 150",message="the name is part of other names: use at most 150 characters"
// +kubebuilder:validation:XValidation:rule="self.spec.cancelled || !oldSelf.spec.cancelled || (has(oldSelf.status.conditions) && oldSelf.status.conditions.exists(c, c.type == 'Cancelled' && c.status == 'False'))",message="cancelled is final: buy a new subscription instead",reason=FieldValueForbidden,fieldPath=".spec.cancelled"
// +kubebuilder:validation:XValidation:rule="!self.spec.cancelled || oldSelf.spec.cancelled || !has(oldSelf.status.cancellation) || oldSelf.status.cancellation.open",message="the cancellation window has closed: set spec.autoRenew to false to let the term end",reason=FieldValueForbidden,messageExpression="oldSelf.status.cancellation.message",fieldPath=".spec.cancelled"
// +kubebuilder:selectablefield:JSONPath=`.spec.productRef.name`
// +kubebuilder:selectablefield:JSONPath=`.status.state`
// +kubebuilder:selectablefield:JSONPath=`.status.id`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.status.state`
// +kubebuilder:printcolumn:name="Action",type=string,JSONPath=`.status.conditions[?(@.type=="ActionRequired")].reason`
// +kubebuilder:printcolumn:name="Product",type=string,JSONPath=`.spec.productRef.name`
// +kubebuilder:printcolumn:name="Plan",type=string,JSONPath=`.status.planID`
// +kubebuilder:printcolumn:name="Seats",type=integer,JSONPath=`.status.quantity`
// +kubebuilder:printcolumn:name="Next",type=string,JSONPath=`.status.next.event`
// +kubebuilder:printcolumn:name="At",type=string,JSONPath=`.status.next.at`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Friendly name",type=string,JSONPath=`.spec.friendlyName`,priority=1
// +kubebuilder:printcolumn:name="ID",type=string,JSONPath=`.status.id`,priority=1
// +kubebuilder:printcolumn:name="Site",type=string,JSONPath=`.status.publisher.site`,priority=1
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.message`
type MarketplaceSubscription struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec MarketplaceSubscriptionSpec `json:"spec"`

	// +optional
	// +kubebuilder:default={"observedGeneration":-1}
	Status MarketplaceSubscriptionStatus `json:"status,omitempty"`
}

// Conditions gives access to the status conditions.
func (s *MarketplaceSubscription) Conditions() *[]metav1.Condition { return &s.Status.Conditions }

// SetObservedGeneration records which generation the status describes.
func (s *MarketplaceSubscription) SetObservedGeneration(g int64) { s.Status.ObservedGeneration = g }

// LandingSecretName is the name of the Secret that holds the link to the
// publisher's site.
func (s *MarketplaceSubscription) LandingSecretName() string {
	if s.Spec.SecretName != "" {
		return s.Spec.SecretName
	}
	return s.Name + "-landing"
}

// MarketplaceSubscriptionList is a list of MarketplaceSubscriptions.
//
// +kubebuilder:object:root=true
type MarketplaceSubscriptionList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []MarketplaceSubscription `json:"items"`
}
