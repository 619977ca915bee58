package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// SelfServiceType is what an employee does.
// +kubebuilder:validation:Enum=Purchase;Trial
type SelfServiceType string

// What a SelfServiceType can be.
const (
	SelfServicePurchased SelfServiceType = "Purchase"
	SelfServiceTrial     SelfServiceType = "Trial"
)

// User is somebody who uses a product, as the customer's directory knows him.
// Upper and lower case would make two of one, and so would characters that
// nobody sees, so it is written in lower case and without those. JSON takes six
// bytes for each < > and &.
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=254
// +kubebuilder:validation:XValidation:rule="self.matches('^[^\\\\p{Lu}\\\\p{Lt}\\\\pZ\\\\pC<>&]+$')",message="write the user as in the directory, in lower case and without spaces or any of < > &, such as ada@contoso.example"
// +kubebuilder:validation:XValidation:rule="size(bytes(self)) <= 254",message="a user has at most 254 bytes, so that a thousand fit into one object"
type User string

// SelfServicePurchaseSpec is what an employee buys or tries.
// +kubebuilder:validation:XValidation:rule="self.type == 'Trial' || self.paymentMethod",message="a purchase takes a payment method: set paymentMethod to true once there is one, or ask for a Trial",fieldPath=".paymentMethod"
// +kubebuilder:validation:XValidation:rule="!has(self.assignedUsers) || size(self.assignedUsers) <= self.quantity",message="there are more users than licences: raise spec.quantity, or take users out",fieldPath=".assignedUsers"
// +kubebuilder:validation:XValidation:rule="has(self.planID) == has(oldSelf.planID) && (!has(self.planID) || self.planID == oldSelf.planID)",message="planID is fixed by the purchase: another plan is another purchase",fieldPath=".planID"
// +kubebuilder:validation:XValidation:rule="has(self.term) == has(oldSelf.term) && (!has(self.term) || self.term == oldSelf.term)",message="term is fixed by the purchase: another term is another purchase",fieldPath=".term"
type SelfServicePurchaseSpec struct {
	// productRef names the Product. It cannot change: another product is
	// another purchase.
	// +required
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="productRef is immutable: another product is another purchase"
	ProductRef Reference `json:"productRef"`

	// type is Purchase, or Trial. A trial with a payment method turns into a
	// purchase when it ends; one without ends. A trial of a product is had once.
	// +required
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="type is immutable: to buy what was tried, make another purchase"
	Type SelfServiceType `json:"type"`

	// planID is the plan of a service. It is needed if the product has several.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=50
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9][A-Za-z0-9._-]*$`
	PlanID string `json:"planID,omitempty"`

	// term is how long a purchase lasts before it renews, and each term that a
	// trial turns into. When absent it is the first one that the product, or its
	// plan, is sold for.
	// +optional
	Term Term `json:"term,omitempty"`

	// quantity of licences, one for each user. It can be raised as long as the
	// product is offered in self-service, and the policies allow to buy it.
	// More licences cost what was agreed on for the first ones.
	// +optional
	// +default=1
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	Quantity int64 `json:"quantity,omitempty"`

	// purchaser is who buys. It is whoever creates the object, unless that has
	// the verb buyfor on selfservicepurchases. The mail address can be mended.
	// +required
	// +kubebuilder:validation:XValidation:rule="self.username == oldSelf.username",message="username is immutable: who bought it does not change",fieldPath=".username"
	Purchaser Purchaser `json:"purchaser"`

	// paymentMethod says whether the purchaser gave a way to pay. A purchase
	// takes one, and so do some trials. How to pay is not told here.
	// +optional
	// +default=false
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="paymentMethod is immutable: to buy what was tried, make another purchase"
	PaymentMethod bool `json:"paymentMethod,omitempty"`

	// assignedUsers are who may use it. The purchaser assigns them.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=1000
	AssignedUsers []User `json:"assignedUsers,omitempty"`

	// autoRenew starts a new term when one ends, and turns a trial with a
	// payment method into a purchase. Without it the purchase ends then. What
	// it is when the operator looks at that end decides: a change between the
	// end and then, when the operator was down, counts as one before the end.
	// +optional
	// +default=true
	AutoRenew *bool `json:"autoRenew,omitempty"`

	// cancelled ends the purchase at once: its users lose access. It is final.
	// To let the term end, set autoRenew to false instead.
	// +optional
	// +default=false
	// +kubebuilder:validation:XValidation:rule="self || !oldSelf",message="cancelled is final: make another purchase instead"
	Cancelled bool `json:"cancelled,omitempty"`
}

// Purchaser is who bought something in self-service.
type Purchaser struct {
	// username that the API server knows him by.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[^\s[:cntrl:]]([^[:cntrl:]]*[^\s[:cntrl:]])?$`
	Username string `json:"username"`

	Person `json:",inline"`
}

// SelfServicePurchaseStatus is what holds of a purchase.
type SelfServicePurchaseStatus struct {
	// observedGeneration is the generation that conditions describe; -1
	// before the operator has looked.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// state is for display; decide by conditions. It is empty until something
	// was bought.
	// +optional
	State SelfServiceState `json:"state,omitempty"`

	// message says in a line what a person should know now.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`

	// next is what happens to this purchase next.
	// +optional
	Next *SelfServiceEvent `json:"next,omitempty"`

	// purchasedAt is the instant of the purchase.
	// +optional
	PurchasedAt *metav1.Time `json:"purchasedAt,omitempty"`

	// planID that was bought, of a service.
	// +optional
	// +kubebuilder:validation:MaxLength=50
	PlanID string `json:"planID,omitempty"`

	// billingTerm is how long a term of it is.
	// +optional
	BillingTerm Term `json:"billingTerm,omitempty"`

	// quantity of licences that are bought. Absent while nothing is.
	// +optional
	Quantity int64 `json:"quantity,omitempty"`

	// price of all licences for one billingTerm. Absent for a trial that does
	// not turn into a purchase.
	// +optional
	Price *Money `json:"price,omitempty"`

	// term that is running, paid or on trial.
	// +optional
	Term *TermStatus `json:"term,omitempty"`

	// assigned is how many users have it now.
	// +optional
	Assigned int64 `json:"assigned,omitempty"`

	// users who may use it now. None once it has ended.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=1000
	Users []User `json:"users,omitempty"`

	// endedAt is the instant at which it ended for good.
	// +optional
	EndedAt *metav1.Time `json:"endedAt,omitempty"`

	// takeover names the Takeover that ended it.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Takeover string `json:"takeover,omitempty"`

	// noticedUntil is the instant up to which people were told what happened
	// and what is due.
	// +optional
	NoticedUntil *metav1.Time `json:"noticedUntil,omitempty"`

	// conditions: Ready (absent once it has ended), Compliant, and while
	// abnormal Reconciling or Stalled.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// SelfServiceState is where a purchase is in its life.
// +kubebuilder:validation:Enum=Trial;Active;Expired;Cancelled;Deleted
type SelfServiceState string

// What a SelfServiceState can be.
const (
	SelfServiceOnTrial   SelfServiceState = "Trial"
	SelfServiceActive    SelfServiceState = "Active"
	SelfServiceExpired   SelfServiceState = "Expired"   // for good
	SelfServiceCancelled SelfServiceState = "Cancelled" // by the purchaser
	SelfServiceDeleted   SelfServiceState = "Deleted"   // taken over by an administrator
)

// SelfServiceEvent is something that the passing of time will do.
type SelfServiceEvent struct {
	// event: TrialEnds (and a purchase follows), Renews or Expires.
	// +required
	// +kubebuilder:validation:Enum=TrialEnds;Renews;Expires
	Event string `json:"event"`

	// at is the instant of it.
	// +required
	At metav1.Time `json:"at"`
}

// SelfServicePurchase is what an employee bought or tries himself. It is
// licensed by user: it gives access to those who are assigned, and no key.
//
// What is in the way of it, such as a policy, may be gone later. It is ordered
// then, with what the product costs then, so delete what is no longer wanted.
//
// A name is one purchase for ever. Deleted and made again, with the same
// product, type, purchaser and payment method, and no other plan or term, it
// goes on with what was bought.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:categories=licensing,shortName=sspur
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 150",message="the name is part of other names: use at most 150 characters"
// +kubebuilder:selectablefield:JSONPath=`.spec.productRef.name`
// +kubebuilder:selectablefield:JSONPath=`.spec.purchaser.username`
// +kubebuilder:selectablefield:JSONPath=`.status.state`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.status.state`
// +kubebuilder:printcolumn:name="Product",type=string,JSONPath=`.spec.productRef.name`
// +kubebuilder:printcolumn:name="Purchaser",type=string,JSONPath=`.spec.purchaser.username`
// +kubebuilder:printcolumn:name="Qty",type=integer,JSONPath=`.status.quantity`
// +kubebuilder:printcolumn:name="Assigned",type=integer,JSONPath=`.status.assigned`
// +kubebuilder:printcolumn:name="Price",type=string,JSONPath=`.status.price.amount`
// +kubebuilder:printcolumn:name="Currency",type=string,JSONPath=`.status.price.currency`
// +kubebuilder:printcolumn:name="Expires",type=string,JSONPath=`.status.next.at`
// +kubebuilder:printcolumn:name="Next",type=string,JSONPath=`.status.next.event`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Wanted",type=integer,JSONPath=`.spec.quantity`,priority=1
// +kubebuilder:printcolumn:name="Users",type=string,JSONPath=`.status.users`,priority=1
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.message`
type SelfServicePurchase struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec SelfServicePurchaseSpec `json:"spec"`

	// +optional
	// +kubebuilder:default={"observedGeneration":-1}
	Status SelfServicePurchaseStatus `json:"status,omitempty"`
}

// Conditions gives access to the status conditions.
func (p *SelfServicePurchase) Conditions() *[]metav1.Condition { return &p.Status.Conditions }

// SetObservedGeneration records which generation the status describes.
func (p *SelfServicePurchase) SetObservedGeneration(g int64) { p.Status.ObservedGeneration = g }

// SelfServicePurchaseList is a list of SelfServicePurchases.
//
// +kubebuilder:object:root=true
type SelfServicePurchaseList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []SelfServicePurchase `json:"items"`
}
