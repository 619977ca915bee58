package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// NotificationSpec is a mail to somebody. It is written once.
// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="a notification is written once"
type NotificationSpec struct {
	// notice is what it is about, such as PurchaseTakenOver. It is the reason of
	// the Event too, and has a template of its own.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern=`^[A-Z][A-Za-z]*$`
	Notice string `json:"notice"`

	// to is the mail address that it goes to.
	// +required
	To Email `json:"to"`

	// regarding is the object that it is about.
	// +required
	Regarding NotificationSubject `json:"regarding"`

	// product is what people call the product that it is about.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Product string `json:"product,omitempty"`

	// text says what happened, or is going to, in words.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Text string `json:"text"`

	// at is the instant of what it tells.
	// +required
	At metav1.Time `json:"at"`
}

// NotificationSubject is an object in the same namespace.
type NotificationSubject struct {
	// kind of the object.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Kind string `json:"kind"`

	Reference `json:",inline"`
}

// NotificationStatus tells whether the mail was sent.
type NotificationStatus struct {
	// observedGeneration is the generation that conditions describe; -1
	// before the operator has looked.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// messageID of the mail. Each attempt to send it has the same.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	MessageID string `json:"messageID,omitempty"`

	// attempts to send it, also one that is going on. Each is counted before it
	// begins, so that no two are made at once.
	// +optional
	Attempts int64 `json:"attempts,omitempty"`

	// lastAttemptAt is when the latest of them began.
	// +optional
	LastAttemptAt *metav1.Time `json:"lastAttemptAt,omitempty"`

	// sentAt is the instant at which the mail server took it.
	// +optional
	SentAt *metav1.Time `json:"sentAt,omitempty"`

	// conditions: Ready (True: it was sent), and while abnormal Reconciling or
	// Stalled.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// Notification is a mail that the operator sends, or has sent. It is deleted 30
// days after it was settled. Only the operator writes it.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:categories=licensing,shortName=lnote
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Notice",type=string,JSONPath=`.spec.notice`
// +kubebuilder:printcolumn:name="To",type=string,JSONPath=`.spec.to`
// +kubebuilder:printcolumn:name="About",type=string,JSONPath=`.spec.regarding.name`
// +kubebuilder:printcolumn:name="Sent",type=date,JSONPath=`.status.sentAt`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
type Notification struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec NotificationSpec `json:"spec"`

	// +optional
	// +kubebuilder:default={"observedGeneration":-1}
	Status NotificationStatus `json:"status,omitempty"`
}

// Conditions gives access to the status conditions.
func (n *Notification) Conditions() *[]metav1.Condition { return &n.Status.Conditions }

// SetObservedGeneration records which generation the status describes.
func (n *Notification) SetObservedGeneration(g int64) { n.Status.ObservedGeneration = g }

// NotificationList is a list of Notifications.
//
// +kubebuilder:object:root=true
type NotificationList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Notification `json:"items"`
}
