package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// SubscriptionReference names a subscription in the same namespace.
type SubscriptionReference struct {
	// kind of the subscription.
	// +required
	// +kubebuilder:validation:Enum=SoftwareSubscription;MarketplaceSubscription
	Kind string `json:"kind"`

	Reference `json:",inline"`
}

// Kinds of subscriptions that seats belong to.
const (
	KindSoftwareSubscription    = "SoftwareSubscription"
	KindMarketplaceSubscription = "MarketplaceSubscription"
)

// LicenseAssignmentSpec is who gets a seat of what.
// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="an assignment does not change: delete it, and create another"
type LicenseAssignmentSpec struct {
	// subscriptionRef names the subscription, which was bought for everybody
	// rather than by an employee.
	// +required
	SubscriptionRef SubscriptionReference `json:"subscriptionRef"`

	// user who gets the seat.
	// +required
	User User `json:"user"`
}

// LicenseAssignmentStatus tells whether the user has a seat.
type LicenseAssignmentStatus struct {
	// observedGeneration is the generation that conditions describe; -1
	// before the operator has looked.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// seat is the number of the seat, from 1. Absent while there is none.
	// +optional
	Seat int64 `json:"seat,omitempty"`

	// assignedAt is since when.
	// +optional
	AssignedAt *metav1.Time `json:"assignedAt,omitempty"`

	// conditions: Ready (True: the user has a seat), and while abnormal
	// Reconciling or Stalled.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// LicenseAssignment gives one user one seat of a subscription. Over the number
// of seats it waits, and gets the next one that becomes free: the oldest first.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:categories=licensing,shortName=lassign
// +kubebuilder:selectablefield:JSONPath=`.spec.user`
// +kubebuilder:selectablefield:JSONPath=`.spec.subscriptionRef.name`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="User",type=string,JSONPath=`.spec.user`
// +kubebuilder:printcolumn:name="Kind",type=string,JSONPath=`.spec.subscriptionRef.kind`,priority=1
// +kubebuilder:printcolumn:name="Subscription",type=string,JSONPath=`.spec.subscriptionRef.name`
// +kubebuilder:printcolumn:name="Seat",type=integer,JSONPath=`.status.seat`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
type LicenseAssignment struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec LicenseAssignmentSpec `json:"spec"`

	// +optional
	// +kubebuilder:default={"observedGeneration":-1}
	Status LicenseAssignmentStatus `json:"status,omitempty"`
}

// Conditions gives access to the status conditions.
func (a *LicenseAssignment) Conditions() *[]metav1.Condition { return &a.Status.Conditions }

// SetObservedGeneration records which generation the status describes.
func (a *LicenseAssignment) SetObservedGeneration(g int64) { a.Status.ObservedGeneration = g }

// LicenseAssignmentList is a list of LicenseAssignments.
//
// +kubebuilder:object:root=true
type LicenseAssignmentList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []LicenseAssignment `json:"items"`
}
