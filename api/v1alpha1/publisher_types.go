package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// PublisherSpec is an independent software vendor whose services are sold.
// +kubebuilder:validation:XValidation:rule="self.allowPrivateAddresses || (isURL(self.landingPageURL) && url(self.landingPageURL).getScheme() == 'https')",message="use https: plain http is accepted only together with allowPrivateAddresses",fieldPath=".landingPageURL"
// +kubebuilder:validation:XValidation:rule="self.allowPrivateAddresses || (isURL(self.webhookURL) && url(self.webhookURL).getScheme() == 'https')",message="use https: plain http is accepted only together with allowPrivateAddresses",fieldPath=".webhookURL"
type PublisherSpec struct {
	// displayName is what people call the publisher.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:Pattern=`^\S(.*\S)?$`
	DisplayName string `json:"displayName"`

	// landingPageURL is the publisher's site on which a customer configures
	// what was bought. It is opened with a purchase token in the parameter
	// "token", so it has no fragment.
	// +required
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="self.matches('^https?://[^:/?#@\\\\s][^/?#@\\\\s]*([/?][^#\\\\s]*)?$') && isURL(self)",message="give an absolute URL such as https://analytics.example/landing, without user, blanks or #"
	LandingPageURL string `json:"landingPageURL"`

	// webhookURL is where the publisher is told of changes.
	// +required
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="self.matches('^https?://[^:/?#@\\\\s][^/?#@\\\\s]*([/?][^#\\\\s]*)?$') && isURL(self)",message="give an absolute URL such as https://analytics.example/webhook, without user, blanks or #"
	WebhookURL string `json:"webhookURL"`

	// webhookAudience is the audience of the tokens that the webhook is called
	// with, so that they are of no use anywhere else. When absent it is the name
	// of this object.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	WebhookAudience string `json:"webhookAudience,omitempty"`

	// allowPrivateAddresses lets the webhook be at a loopback, link-local or
	// private address, and plain http be used. Else it is not called there,
	// whatever its name resolves to.
	// +optional
	// +default=false
	AllowPrivateAddresses bool `json:"allowPrivateAddresses,omitempty"`

	// subjects that may call the fulfilment API in the publisher's name.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	Subjects []Subject `json:"subjects,omitempty"`

	// support is where customers get help: a URL or a mail address.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Support string `json:"support,omitempty"`

	// requiredSteps are what a customer has to do on the publisher's side
	// before asking for something. They are told in the status of each
	// subscription.
	// +optional
	// +listType=map
	// +listMapKey=before
	// +kubebuilder:validation:MaxItems=3
	RequiredSteps []RequiredStep `json:"requiredSteps,omitempty"`
}

// StepBefore is what a step at the publisher has to be done before.
// +kubebuilder:validation:Enum=ChangePlan;ChangeQuantity;Cancel
type StepBefore string

// What StepBefore can be.
const (
	BeforeChangePlan     StepBefore = "ChangePlan"
	BeforeChangeQuantity StepBefore = "ChangeQuantity"
	BeforeCancel         StepBefore = "Cancel"
)

// RequiredStep is something to do on the publisher's side first.
type RequiredStep struct {
	// before is what the step comes before.
	// +required
	Before StepBefore `json:"before"`

	// text says what to do.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	Text string `json:"text"`
}

// PublisherStatus is what the operator found out about a Publisher.
type PublisherStatus struct {
	// observedGeneration is the generation that conditions describe; -1
	// before the operator has looked.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// conditions: Ready (True: the publisher can be called and can call), and
	// while abnormal Reconciling or Stalled.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// Publisher is an independent software vendor (ISV): where customers configure
// what they bought from it, where it is told of changes, and who may call the
// fulfilment API in its name.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,categories=licensing,shortName=lpub
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 63",message="the name is used as a label: use at most 63 characters"
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Display name",type=string,JSONPath=`.spec.displayName`
// +kubebuilder:printcolumn:name="Webhook",type=string,JSONPath=`.spec.webhookURL`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
type Publisher struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec PublisherSpec `json:"spec"`

	// +optional
	// +kubebuilder:default={"observedGeneration":-1}
	Status PublisherStatus `json:"status,omitempty"`
}

// Conditions gives access to the status conditions.
func (p *Publisher) Conditions() *[]metav1.Condition { return &p.Status.Conditions }

// SetObservedGeneration records which generation the status describes.
func (p *Publisher) SetObservedGeneration(g int64) { p.Status.ObservedGeneration = g }

// Audience is what the tokens are made out to that the webhook is called with.
func (p *Publisher) Audience() string {
	if p.Spec.WebhookAudience != "" {
		return p.Spec.WebhookAudience
	}
	return p.Name
}

// PublisherList is a list of Publishers.
//
// +kubebuilder:object:root=true
type PublisherList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Publisher `json:"items"`
}
