package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// PartnerRegistrationSpec is what a partner claims: that he manages a customer's
// licences.
// +kubebuilder:validation:XValidation:rule="has(self.authorizationNumber) == has(self.licenseNumber) && has(self.licenseNumber) == has(self.customerEmail)",message="give authorizationNumber, licenseNumber and customerEmail, all three as they are on the order; or none of them, if the agreement names you as a primary contact"
type PartnerRegistrationSpec struct {
	// authorizationNumber of the customer's agreement. Left out, with the next
	// two, by whoever is a primary contact.
	// +optional
	AuthorizationNumber AuthorizationNumber `json:"authorizationNumber,omitempty"`

	// licenseNumber of the order under it.
	// +optional
	LicenseNumber LicenseNumber `json:"licenseNumber,omitempty"`

	// customerEmail is the customer's mail address on the order. Upper and lower
	// case are the same.
	// +optional
	CustomerEmail Email `json:"customerEmail,omitempty"`

	// acknowledged says that the partner manages licences on behalf of the
	// customer, who is told of it and can end it at any time. It must be true.
	// +required
	// +kubebuilder:validation:XValidation:rule="self",message="set acknowledged to true: you manage licences on behalf of the customer, who is told so by mail and can end it at any time"
	Acknowledged bool `json:"acknowledged"`

	// partner is who registers, and who gets access.
	// +required
	Partner Partner `json:"partner"`
}

// Partner is somebody who registers for a customer's agreement.
// +kubebuilder:validation:XValidation:rule="self.subject.kind != 'Group' || has(self.username)",message="for a Group give your own user name too, as kubectl auth whoami tells it",fieldPath=".username"
// +kubebuilder:validation:XValidation:rule="!has(self.username) || self.subject.kind == 'Group'",message="username is for a Group only: leave it out, as the subject registers itself",fieldPath=".username"
// +kubebuilder:validation:XValidation:rule="self.subject == oldSelf.subject && has(self.username) == has(oldSelf.username) && (!has(self.username) || self.username == oldSelf.username)",message="who registers is immutable: make another PartnerRegistration"
type Partner struct {
	// subject gets access: whoever makes this object, or a group that he is in.
	// +required
	// +kubebuilder:validation:XValidation:rule="!self.name.lowerAscii().startsWith('system:') || (self.kind == 'User' && self.name.matches('^system:serviceaccount:[a-z0-9]([-a-z0-9]*[a-z0-9])?:[a-z0-9]([-.a-z0-9]*[a-z0-9])?$'))",message="a partner is a person, a group of persons or a service account, and nothing of Kubernetes itself: of the names that begin with system: only system:serviceaccount:<namespace>:<name> is accepted, as a User"
	Subject Subject `json:"subject"`

	// username of whoever makes this object. It is needed for a Group only.
	// +optional
	Username Username `json:"username,omitempty"`

	// email is where the partner is told by mail what becomes of it. When absent
	// he is told by Events only.
	// +optional
	Email Email `json:"email,omitempty"`
}

// Requester is the user who registers.
func (p Partner) Requester() string {
	if p.Subject.Kind == "Group" {
		return string(p.Username)
	}
	return p.Subject.Username()
}

// PartnerRegistrationStatus is what has become of a registration.
type PartnerRegistrationStatus struct {
	// observedGeneration is the generation that conditions describe; -1
	// before the operator has looked.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// comparedGeneration is the latest generation that was compared with the
	// agreements. Each is an attempt, and is counted once.
	// +optional
	ComparedGeneration int64 `json:"comparedGeneration,omitempty"`

	// recognisedAt is the instant at which the partner was recognised. Absent if
	// he is not.
	// +optional
	RecognisedAt *metav1.Time `json:"recognisedAt,omitempty"`

	// agreements for which he is recognised.
	// +optional
	// +listType=map
	// +listMapKey=namespace
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=256
	Agreements []RegisteredAgreement `json:"agreements,omitempty"`

	// customers are the namespaces where he has access.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MaxLength=63
	Customers []string `json:"customers,omitempty"`

	// conditions: Ready (True: he has access to all of them), and while abnormal
	// Reconciling or Stalled.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// PartnerAccess is what a partner has by an agreement.
// +kubebuilder:validation:Enum=Granting;Granted;Removed
type PartnerAccess string

// What a PartnerAccess can be.
const (
	AccessGranting PartnerAccess = "Granting" // in a moment
	AccessGranted  PartnerAccess = "Granted"
	AccessRemoved  PartnerAccess = "Removed" // by the customer
)

// RegisteredAgreement is a PartnerAgreement for which a partner is recognised.
type RegisteredAgreement struct {
	ObjectReference `json:",inline"`

	// access that he has by it.
	// +required
	Access PartnerAccess `json:"access"`
}

// PartnerRegistration is a partner's claim to manage a customer's licences. If
// he is recognised the operator gives him the role license-operator-admin-agent
// in the customer's namespace, and the customer is told.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:categories=licensing,shortName=preg
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.status) || !has(oldSelf.status.recognisedAt) || (has(self.spec.authorizationNumber) == has(oldSelf.spec.authorizationNumber) && (!has(self.spec.authorizationNumber) || self.spec.authorizationNumber == oldSelf.spec.authorizationNumber) && has(self.spec.licenseNumber) == has(oldSelf.spec.licenseNumber) && (!has(self.spec.licenseNumber) || self.spec.licenseNumber == oldSelf.spec.licenseNumber) && has(self.spec.customerEmail) == has(oldSelf.spec.customerEmail) && (!has(self.spec.customerEmail) || self.spec.customerEmail == oldSelf.spec.customerEmail))",message="you are recognised by these numbers: for another agreement make another PartnerRegistration",fieldPath=".spec"
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 150",message="the name is part of other names: use at most 150 characters"
// +kubebuilder:selectablefield:JSONPath=`.spec.partner.subject.name`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Partner",type=string,JSONPath=`.spec.partner.subject.name`
// +kubebuilder:printcolumn:name="Customers",type=string,JSONPath=`.status.customers`
// +kubebuilder:printcolumn:name="Recognised",type=date,JSONPath=`.status.recognisedAt`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
type PartnerRegistration struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec PartnerRegistrationSpec `json:"spec"`

	// +optional
	// +kubebuilder:default={"observedGeneration":-1}
	Status PartnerRegistrationStatus `json:"status,omitempty"`
}

// Conditions gives access to the status conditions.
func (r *PartnerRegistration) Conditions() *[]metav1.Condition { return &r.Status.Conditions }

// SetObservedGeneration records which generation the status describes.
func (r *PartnerRegistration) SetObservedGeneration(g int64) { r.Status.ObservedGeneration = g }

// PartnerRegistrationList is a list of PartnerRegistrations.
//
// +kubebuilder:object:root=true
type PartnerRegistrationList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []PartnerRegistration `json:"items"`
}
