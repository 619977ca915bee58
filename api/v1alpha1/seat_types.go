package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// SeatSpec is who has a seat. It is written once.
// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="a seat is taken once: it is given back by deleting it"
type SeatSpec struct {
	// subscriptionRef names the subscription.
	// +required
	SubscriptionRef SubscriptionReference `json:"subscriptionRef"`

	// number of the seat, from 1 up to the quantity of the subscription.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000
	Number int64 `json:"number"`

	// user who has it.
	// +required
	User User `json:"user"`

	// assignment names the LicenseAssignment that it was taken for.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Assignment string `json:"assignment"`

	// takeover names the Takeover that took it, before it makes the assignment.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Takeover string `json:"takeover,omitempty"`

	// at is since when it is taken.
	// +required
	At metav1.Time `json:"at"`
}

// Seat is an entry of the ledger of seats: one object for each seat that is
// taken, named <kind in lower case>.<subscription>.<number>. The API server's
// unique names are what makes it impossible to give a seat to two. Only the
// operator writes it.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:categories=licensing,shortName=lseat
// +kubebuilder:validation:XValidation:rule="self.metadata.name.startsWith((self.spec.subscriptionRef.kind == 'SoftwareSubscription' ? 'softwaresubscription.' : 'marketplacesubscription.') + self.spec.subscriptionRef.name + '.') && self.metadata.name.matches('[.][1-9][0-9]{0,6}$') && int(self.metadata.name.substring(self.metadata.name.lastIndexOf('.') + 1)) == self.spec.number && self.metadata.name.lastIndexOf('.') == size(self.spec.subscriptionRef.name) + (self.spec.subscriptionRef.kind == 'SoftwareSubscription' ? 21 : 24)",message="a seat is named <kind in lower case>.<subscription>.<number>"
// +kubebuilder:selectablefield:JSONPath=`.spec.subscriptionRef.name`
// +kubebuilder:selectablefield:JSONPath=`.spec.user`
// +kubebuilder:printcolumn:name="Subscription",type=string,JSONPath=`.spec.subscriptionRef.name`
// +kubebuilder:printcolumn:name="Seat",type=integer,JSONPath=`.spec.number`
// +kubebuilder:printcolumn:name="User",type=string,JSONPath=`.spec.user`
// +kubebuilder:printcolumn:name="Assignment",type=string,JSONPath=`.spec.assignment`
// +kubebuilder:printcolumn:name="Takeover",type=string,JSONPath=`.spec.takeover`,priority=1
// +kubebuilder:printcolumn:name="Since",type=date,JSONPath=`.spec.at`
type Seat struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec SeatSpec `json:"spec"`
}

// SeatList is a list of Seats.
//
// +kubebuilder:object:root=true
type SeatList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Seat `json:"items"`
}
