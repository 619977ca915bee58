package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// PartnerAgreementSpec is an agreement of a customer, under which he bought
// licences before.
type PartnerAgreementSpec struct {
	// authorizationNumber of the agreement: 15 letters and digits. A company can
	// have several.
	// +required
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:XValidation:rule="self.matches('^[0-9A-Z]{15}$')",message="an authorization number has 15 digits and capital letters, and no hyphens, such as 12345678ZZS1234"
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="authorizationNumber is immutable: another number is another agreement"
	AuthorizationNumber string `json:"authorizationNumber"`

	// licenseNumber of an order under it: 8 digits. Another order is another
	// PartnerAgreement.
	// +required
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:XValidation:rule="self.matches('^[0-9]{8}$')",message="a licence number has 8 digits and no hyphens, such as \"12345678\""
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="licenseNumber is immutable: another order is another PartnerAgreement"
	LicenseNumber string `json:"licenseNumber"`

	// customerEmail is the customer's mail address on the order.
	// +required
	CustomerEmail Email `json:"customerEmail"`
}

// PartnerAgreement is an agreement of a customer. Trials without a payment
// method are only for customers that have one.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:categories=licensing,shortName=pagr
// +kubebuilder:printcolumn:name="Authorization",type=string,JSONPath=`.spec.authorizationNumber`
// +kubebuilder:printcolumn:name="Licence",type=string,JSONPath=`.spec.licenseNumber`
// +kubebuilder:printcolumn:name="Customer",type=string,JSONPath=`.spec.customerEmail`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type PartnerAgreement struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec PartnerAgreementSpec `json:"spec"`
}

// PartnerAgreementList is a list of PartnerAgreements.
//
// +kubebuilder:object:root=true
type PartnerAgreementList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []PartnerAgreement `json:"items"`
}
