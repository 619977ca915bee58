package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// LabelTakeover names the Takeover that made a LicenseAssignment, and for which
// a Seat is settled. It is shortened if a label has no room for the name.
const LabelTakeover = "license-operator.io/takeover"

// TakeoverReason is why an administrator cancels a self-service purchase.
// +kubebuilder:validation:Enum=BoughtCentrally;NotNeeded;TooExpensive;WrongProduct;AgainstPolicy;PurchaserLeft;Other
type TakeoverReason string

// What a TakeoverReason can be.
const (
	TakeoverBoughtCentrally TakeoverReason = "BoughtCentrally"
	TakeoverNotNeeded       TakeoverReason = "NotNeeded"
	TakeoverTooExpensive    TakeoverReason = "TooExpensive"
	TakeoverWrongProduct    TakeoverReason = "WrongProduct"
	TakeoverAgainstPolicy   TakeoverReason = "AgainstPolicy"
	TakeoverPurchaserLeft   TakeoverReason = "PurchaserLeft"
	TakeoverOther           TakeoverReason = "Other"
)

// TakeoverSpec is what an administrator does with an employee's purchase.
// +kubebuilder:validation:XValidation:rule="has(self.moveTo) != has(self.cancel)",message="set exactly one of moveTo and cancel"
// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="a takeover does not change: delete it while it waits, and create another"
type TakeoverSpec struct {
	// purchaseRef names the SelfServicePurchase.
	// +required
	PurchaseRef Reference `json:"purchaseRef"`

	// moveTo moves the users to a subscription, which needs a free seat for
	// each of them, and then cancels the purchase.
	// +optional
	MoveTo *SubscriptionReference `json:"moveTo,omitempty"`

	// cancel cancels the purchase: its users lose access.
	// +optional
	Cancel *TakeoverCancellation `json:"cancel,omitempty"`
}

// TakeoverCancellation is why a purchase is cancelled.
type TakeoverCancellation struct {
	// reason for it.
	// +required
	Reason TakeoverReason `json:"reason"`

	// comment that the purchaser is told.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:XValidation:rule="self.matches('^[^\\\\s[:cntrl:]]([^[:cntrl:]]*[^\\\\s[:cntrl:]])?$')",message="write one line of text, with no space at either end"
	Comment string `json:"comment,omitempty"`
}

// TakeoverStatus tells how far a takeover is.
type TakeoverStatus struct {
	// observedGeneration is the generation that conditions describe; -1
	// before the operator has looked.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// missing is how many seats are missing. Absent if none are.
	// +optional
	Missing int64 `json:"missing,omitempty"`

	// users who were moved, or who lost access.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=1000
	Users []User `json:"users,omitempty"`

	// completedAt is the instant at which the purchase was cancelled.
	// +optional
	CompletedAt *metav1.Time `json:"completedAt,omitempty"`

	// conditions: Ready (True: it is done), and while abnormal Reconciling or
	// Stalled.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// Takeover takes an employee's self-service purchase over.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:categories=licensing,shortName=ltake
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 150",message="the name is part of other names: use at most 150 characters"
// +kubebuilder:selectablefield:JSONPath=`.spec.purchaseRef.name`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Purchase",type=string,JSONPath=`.spec.purchaseRef.name`
// +kubebuilder:printcolumn:name="Move to",type=string,JSONPath=`.spec.moveTo.name`
// +kubebuilder:printcolumn:name="Cancel",type=string,JSONPath=`.spec.cancel.reason`
// +kubebuilder:printcolumn:name="Missing",type=integer,JSONPath=`.status.missing`
// +kubebuilder:printcolumn:name="Completed",type=date,JSONPath=`.status.completedAt`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Users",type=string,JSONPath=`.status.users`,priority=1
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
type Takeover struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec TakeoverSpec `json:"spec"`

	// +optional
	// +kubebuilder:default={"observedGeneration":-1}
	Status TakeoverStatus `json:"status,omitempty"`
}

// Conditions gives access to the status conditions.
func (t *Takeover) Conditions() *[]metav1.Condition { return &t.Status.Conditions }

// SetObservedGeneration records which generation the status describes.
func (t *Takeover) SetObservedGeneration(g int64) { t.Status.ObservedGeneration = g }

// TakeoverList is a list of Takeovers.
//
// +kubebuilder:object:root=true
type TakeoverList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Takeover `json:"items"`
}
