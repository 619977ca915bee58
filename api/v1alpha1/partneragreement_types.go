package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// PartnerAgreementSpec is an agreement of a customer, under which he bought
// licences before.
type PartnerAgreementSpec struct {
	// authorizationNumber of the agreement: 15 letters and digits. A company can
	// have several, and each can have several licence numbers.
	// +required
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="authorizationNumber is immutable: another number is another agreement"
	AuthorizationNumber AuthorizationNumber `json:"authorizationNumber"`

	// licenseNumber of an order under it: 8 digits. Another order is another
	// PartnerAgreement.
	// +required
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="licenseNumber is immutable: another order is another PartnerAgreement"
	LicenseNumber LicenseNumber `json:"licenseNumber"`

	// customerEmail is the customer's mail address on the order. Mails about the
	// agreement go there. A partner who has registered stays registered when it
	// is corrected.
	// +required
	CustomerEmail Email `json:"customerEmail"`

	// primaryContacts are the users who may manage the agreement as partners
	// without knowing its numbers, by the names that the API server knows them by.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:XValidation:rule="self.all(c, !c.lowerAscii().startsWith('system:') || c.matches('^system:serviceaccount:[a-z0-9]([-a-z0-9]*[a-z0-9])?:[a-z0-9]([-.a-z0-9]*[a-z0-9])?$'))",message="a primary contact is a person or a service account, and nothing of Kubernetes itself: of the names that begin with system: only system:serviceaccount:<namespace>:<name> is accepted"
	PrimaryContacts []Username `json:"primaryContacts,omitempty"`

	// administrators of the customer. They get the role
	// license-operator-customer-admin in this namespace, and read the keys there.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:XValidation:rule="self.all(s, !s.name.lowerAscii().startsWith('system:') || (s.kind == 'User' && s.name.matches('^system:serviceaccount:[a-z0-9]([-a-z0-9]*[a-z0-9])?:[a-z0-9]([-.a-z0-9]*[a-z0-9])?$')))",message="an administrator is a person, a group of persons or a service account, and nothing of Kubernetes itself: of the names that begin with system: only system:serviceaccount:<namespace>:<name> is accepted, as a User"
	Administrators []Subject `json:"administrators,omitempty"`

	// removedPartners are those who may not manage this customer's licences,
	// although they have registered: a user or group, by the name that the API
	// server knows it by; system:serviceaccounts:<namespace>, which is for all
	// service accounts of a namespace; or a partner's namespace, which is for all
	// who register from there. An entry holds for all agreements of this namespace,
	// because a role does. When somebody deletes the RoleBinding of a partner, the
	// operator adds him and who registered him. Once an entry is taken out, who is
	// registered has access again.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=256
	RemovedPartners []Username `json:"removedPartners,omitempty"`
}

// PartnerAgreementStatus is who has access by the agreement.
type PartnerAgreementStatus struct {
	// observedGeneration is the generation that conditions describe; -1
	// before the operator has looked.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// administrators is how many subjects have the role of an administrator.
	// +optional
	Administrators int64 `json:"administrators,omitempty"`

	// partners who manage the licences of this namespace, because they have
	// registered for this agreement.
	// +optional
	// +listType=map
	// +listMapKey=kind
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=100
	Partners []AgreementPartner `json:"partners,omitempty"`

	// conditions: Ready, and while abnormal Reconciling or Stalled.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// AgreementPartner is a partner who has access, or is about to get it.
type AgreementPartner struct {
	// kind is User or Group. A service account is a User.
	// +required
	// +kubebuilder:validation:Enum=User;Group
	Kind string `json:"kind"`

	// name that the API server knows it by.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`

	// registration is the oldest PartnerRegistration that it has access by.
	// +required
	Registration ObjectReference `json:"registration"`

	// roleBinding is the RoleBinding in this namespace that gives the access.
	// Whoever deletes it removes the partner.
	// +required
	RoleBinding AgreementRoleBinding `json:"roleBinding"`

	// since is the instant from which on it has access. Absent while the
	// RoleBinding is on record, but names nobody yet.
	// +optional
	Since *metav1.Time `json:"since,omitempty"`
}

// AgreementRoleBinding is a RoleBinding that the operator made.
type AgreementRoleBinding struct {
	Reference `json:",inline"`

	// uid tells it from another one of the same name.
	// +required
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	UID types.UID `json:"uid"`
}

// PartnerAgreement is an agreement of a customer. Trials without a payment
// method are only for customers that have one. Partners register for it, and the
// customer's administrators are named in it.
//
// Whoever writes one decides who the customer is: he names administrators, and
// gives a partner the numbers to register with.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:categories=licensing,shortName=pagr
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 150",message="the name is part of other names: use at most 150 characters"
// +kubebuilder:selectablefield:JSONPath=`.spec.authorizationNumber`
// +kubebuilder:selectablefield:JSONPath=`.spec.licenseNumber`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Authorization",type=string,JSONPath=`.spec.authorizationNumber`
// +kubebuilder:printcolumn:name="Licence",type=string,JSONPath=`.spec.licenseNumber`
// +kubebuilder:printcolumn:name="Customer",type=string,JSONPath=`.spec.customerEmail`
// +kubebuilder:printcolumn:name="Admins",type=integer,JSONPath=`.status.administrators`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Removed",type=string,JSONPath=`.spec.removedPartners`,priority=1
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
type PartnerAgreement struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec PartnerAgreementSpec `json:"spec"`

	// +optional
	// +kubebuilder:default={"observedGeneration":-1}
	Status PartnerAgreementStatus `json:"status,omitempty"`
}

// Conditions gives access to the status conditions.
func (a *PartnerAgreement) Conditions() *[]metav1.Condition { return &a.Status.Conditions }

// SetObservedGeneration records which generation the status describes.
func (a *PartnerAgreement) SetObservedGeneration(g int64) { a.Status.ObservedGeneration = g }

// PartnerAgreementList is a list of PartnerAgreements.
//
// +kubebuilder:object:root=true
type PartnerAgreementList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []PartnerAgreement `json:"items"`
}
