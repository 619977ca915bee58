package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// SelfServiceValue is what employees may do themselves. The three values are
// those of Microsoft's AllowSelfServicePurchase policy.
// +kubebuilder:validation:Enum=Allow;TrialsOnly;Block
type SelfServiceValue string

// What a SelfServiceValue can be, the strictest last.
const (
	SelfServiceAllow      SelfServiceValue = "Allow"      // buy and try
	SelfServiceTrialsOnly SelfServiceValue = "TrialsOnly" // try without a payment method, and buy nothing
	SelfServiceBlock      SelfServiceValue = "Block"      // neither
)

// SelfServiceMode is what a policy does with what it does not allow.
// +kubebuilder:validation:Enum=Enforce;Audit
type SelfServiceMode string

// What a SelfServiceMode can be.
const (
	SelfServiceEnforce SelfServiceMode = "Enforce" // refuses it
	SelfServiceAudit   SelfServiceMode = "Audit"   // lets it pass, and records it
)

// SelfServicePolicySpec is what the employees of a customer may buy and try
// themselves. A change affects later purchases and trials only.
type SelfServicePolicySpec struct {
	// default holds for each product that is not listed, also for those that
	// are published later.
	// +optional
	// +default="Allow"
	Default SelfServiceValue `json:"default,omitempty"`

	// products with a value of their own.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=500
	Products []ProductPolicy `json:"products,omitempty"`

	// mode is Enforce to refuse what is not allowed, or Audit to let it pass
	// and record it in status. A policy in mode Audit allows nothing that would
	// be refused without it.
	// +optional
	// +default="Enforce"
	Mode SelfServiceMode `json:"mode,omitempty"`

	// contact is whom an employee is told to ask: a mail address, a page or a
	// channel. When absent it is the administrator.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:XValidation:rule="self.matches('^[^\\\\s[:cntrl:]]([^[:cntrl:]]*[^\\\\s[:cntrl:]])?$')",message="write one line of text, with no space at either end, such as licences@contoso.example"
	Contact string `json:"contact,omitempty"`
}

// ProductPolicy is the value for one product.
type ProductPolicy struct {
	// name of the Product.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",message="write the name of the Product as kubectl get lprod has it, such as power-bi, and not what people call it"
	Name string `json:"name"`

	// value for it.
	// +required
	Value SelfServiceValue `json:"value"`
}

// SelfServicePolicyStatus tells what the policy says about each product.
type SelfServicePolicyStatus struct {
	// observedGeneration is the generation that products and conditions
	// describe; -1 before the operator has looked.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// products that are offered to this customer in self-service, by name.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=1000
	Products []ProductPolicyStatus `json:"products,omitempty"`

	// audit tells what was let through because mode was Audit.
	// +optional
	Audit *PolicyAudit `json:"audit,omitempty"`

	// conditions: Ready, ProductsFound, and while abnormal Reconciling.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// PolicySource is where a product's value comes from.
// +kubebuilder:validation:Enum=Listed;Default
type PolicySource string

// What a PolicySource can be.
const (
	PolicyListed  PolicySource = "Listed"
	PolicyDefault PolicySource = "Default"
)

// ProductPolicyStatus is what a policy says about a product.
type ProductPolicyStatus struct {
	// name of the Product.
	// +required
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`

	// displayName of the Product.
	// +required
	// +kubebuilder:validation:MaxLength=256
	DisplayName string `json:"displayName"`

	// value that this policy has for it.
	// +required
	Value SelfServiceValue `json:"value"`

	// source is Listed if the product is listed in spec, Default if not.
	// +required
	Source PolicySource `json:"source"`

	// overriddenBy names another policy of the namespace that enforces a
	// stricter value. That one holds.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	OverriddenBy string `json:"overriddenBy,omitempty"`
}

// PolicyAudit is what a policy would have refused. It names nobody, because
// employees may read it: the purchases say so themselves, in their condition
// Compliant.
type PolicyAudit struct {
	// total number of purchases and trials that it would have refused, or
	// whose quantity it would not have let be raised.
	// +required
	Total int64 `json:"total"`

	// products that they are of, by name.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=1000
	Products []AuditedProduct `json:"products,omitempty"`
}

// AuditedProduct is what a policy would have refused of a product.
type AuditedProduct struct {
	// name of the Product.
	// +required
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`

	// purchases that it would have refused.
	// +optional
	Purchases int64 `json:"purchases,omitempty"`

	// trials that it would have refused.
	// +optional
	Trials int64 `json:"trials,omitempty"`
}

// SelfServicePolicy says what the employees of a customer may buy and try
// themselves. The API server refuses what it does not allow. Of several in a
// namespace the strictest value of those that enforce holds. Where none does,
// because there is none or all are in mode Audit, it is the operator's flag
// --self-service-default that holds: everything is allowed, if it is not set.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:categories=licensing,shortName=sspol
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Mode",type=string,JSONPath=`.spec.mode`
// +kubebuilder:printcolumn:name="Default",type=string,JSONPath=`.spec.default`
// +kubebuilder:printcolumn:name="Would refuse",type=integer,JSONPath=`.status.audit.total`
// +kubebuilder:printcolumn:name="Contact",type=string,JSONPath=`.spec.contact`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
type SelfServicePolicy struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +optional
	// +default={}
	Spec SelfServicePolicySpec `json:"spec,omitempty"`

	// +optional
	// +kubebuilder:default={"observedGeneration":-1}
	Status SelfServicePolicyStatus `json:"status,omitempty"`
}

// Value returns what the policy says about a product, and where that comes from.
func (p *SelfServicePolicy) Value(product string) (SelfServiceValue, PolicySource) {
	for _, l := range p.Spec.Products {
		if l.Name == product {
			return l.Value, PolicyListed
		}
	}
	return p.Spec.Default, PolicyDefault
}

// Conditions gives access to the status conditions.
func (p *SelfServicePolicy) Conditions() *[]metav1.Condition { return &p.Status.Conditions }

// SetObservedGeneration records which generation the status describes.
func (p *SelfServicePolicy) SetObservedGeneration(g int64) { p.Status.ObservedGeneration = g }

// SelfServicePolicyList is a list of SelfServicePolicies.
//
// +kubebuilder:object:root=true
type SelfServicePolicyList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []SelfServicePolicy `json:"items"`
}
