package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// PartnerRequesterSpec is who tried to register, and when in vain.
type PartnerRequesterSpec struct {
	// requester is the user who registers, or system:serviceaccounts:<namespace>
	// for all service accounts of a namespace: whoever makes these can make many.
	// +required
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="requester is immutable"
	Requester Username `json:"requester"`

	// attempts of the last 24 hours that were not recognised, from the oldest on.
	// One is put down before it is made, and taken back if it is recognised.
	// +optional
	// +listType=map
	// +listMapKey=uid
	// +listMapKey=generation
	// +kubebuilder:validation:MaxItems=16
	Attempts []PartnerAttempt `json:"attempts,omitempty"`
}

// PartnerAttempt is one set of numbers that was tried. The numbers are not on
// record.
type PartnerAttempt struct {
	// registration is the PartnerRegistration that it was tried by.
	// +required
	Registration ObjectReference `json:"registration"`

	// uid of that PartnerRegistration.
	// +required
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	UID types.UID `json:"uid"`

	// generation of that PartnerRegistration.
	// +required
	Generation int64 `json:"generation"`

	// at is the instant of the attempt.
	// +required
	At metav1.Time `json:"at"`
}

// PartnerRequester is the record of who tried in vain to register as a partner,
// so that nobody guesses the numbers of an agreement. Only the operator writes
// it, and deletes it when the attempts are a day old. Deleting one lets its
// requester try again at once.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Cluster,categories=licensing,shortName=preq
// +kubebuilder:printcolumn:name="Requester",type=string,JSONPath=`.spec.requester`
// +kubebuilder:printcolumn:name="Latest from",type=string,JSONPath=`.spec.attempts[-1:].registration.namespace`
// +kubebuilder:printcolumn:name="Latest",type=date,JSONPath=`.spec.attempts[-1:].at`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type PartnerRequester struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec PartnerRequesterSpec `json:"spec"`
}

// PartnerRequesterList is a list of PartnerRequesters.
//
// +kubebuilder:object:root=true
type PartnerRequesterList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []PartnerRequester `json:"items"`
}
