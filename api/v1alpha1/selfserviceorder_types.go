package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// OrderEndReason is why an order ended for good.
// +kubebuilder:validation:Enum=Expired;Cancelled;TakenOver
type OrderEndReason string

// What an OrderEndReason can be.
const (
	OrderExpired   OrderEndReason = "Expired"
	OrderCancelled OrderEndReason = "Cancelled" // by the purchaser
	OrderTakenOver OrderEndReason = "TakenOver" // by an administrator
)

// SelfServiceOrderSpec is what the ledger knows of one purchase or trial in
// self-service. Facts are written once. They are all in spec, so that a restore
// from exported objects brings them back.
// +kubebuilder:validation:XValidation:rule="has(self.endedAt) == has(self.endReason)",message="endedAt and endReason are set together"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.endedAt) || (has(self.endedAt) && self.endedAt == oldSelf.endedAt && self.endReason == oldSelf.endReason)",message="an order ends once",fieldPath=".endedAt"
// +kubebuilder:validation:XValidation:rule="(has(self.endReason) && self.endReason == 'TakenOver') == has(self.takeover)",message="takeover is set together with the endReason TakenOver",fieldPath=".takeover"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.takeover) || (has(self.takeover) && self.takeover == oldSelf.takeover)",message="an order is taken over once",fieldPath=".takeover"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.renewedUntil) || has(self.renewedUntil)",message="renewedUntil only moves forward",fieldPath=".renewedUntil"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.auditedBy) || (has(self.auditedBy) && oldSelf.auditedBy.all(p, p in self.auditedBy))",message="auditedBy is only added to: it is what policies said",fieldPath=".auditedBy"
type SelfServiceOrderSpec struct {
	// customer is the namespace of the purchase.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="an order has one customer for ever"
	Customer string `json:"customer"`

	// purchase is the SelfServicePurchase that it was ordered by.
	// +required
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="an order has one purchase for ever"
	Purchase SubscriptionIdentity `json:"purchase"`

	// agreed is what the purchaser agreed to.
	// +required
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="agreed is immutable: it is what the purchaser agreed to"
	Agreed SelfServiceAgreed `json:"agreed"`

	// auditedBy names the policies that would have refused it, or a raise of its
	// quantity, had they not been in mode Audit. It is only added to.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=253
	AuditedBy []string `json:"auditedBy,omitempty"`

	// renewedUntil is the end of the latest term, or trial, that was followed
	// by another. Absent during the first. It only moves forward. Whether one
	// follows is what autoRenew of the purchase is when the operator looks.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self >= oldSelf",message="renewedUntil only moves forward"
	RenewedUntil *metav1.Time `json:"renewedUntil,omitempty"`

	// endedAt is the instant from which nobody has access any more.
	// +optional
	EndedAt *metav1.Time `json:"endedAt,omitempty"`

	// endReason is why.
	// +optional
	EndReason OrderEndReason `json:"endReason,omitempty"`

	// takeover that ended it.
	// +optional
	Takeover *OrderTakeover `json:"takeover,omitempty"`
}

// SelfServiceAgreed is what a purchaser agreed to, as it stood at that instant.
// +kubebuilder:validation:XValidation:rule="has(self.trial) == (self.type == 'Trial')",message="trial is how long a Trial is free: a Trial has it, and a Purchase does not"
// +kubebuilder:validation:XValidation:rule="self.type == 'Trial' || (has(self.paymentMethod) && self.paymentMethod)",message="a purchase takes a payment method",fieldPath=".paymentMethod"
type SelfServiceAgreed struct {
	// at is the instant of the purchase.
	// +required
	At metav1.Time `json:"at"`

	// productRef names the Product.
	// +required
	ProductRef Reference `json:"productRef"`

	// type: Purchase or Trial.
	// +required
	Type SelfServiceType `json:"type"`

	// purchaser who ordered it.
	// +required
	Purchaser Purchaser `json:"purchaser"`

	// planID of a service.
	// +optional
	// +kubebuilder:validation:MaxLength=50
	PlanID string `json:"planID,omitempty"`

	// trial is how long it is free at first. Absent for a purchase.
	// +optional
	Trial Duration `json:"trial,omitempty"`

	// paymentMethod says whether it turns, or is, paid.
	// +optional
	PaymentMethod bool `json:"paymentMethod,omitempty"`

	// term of each paid period.
	// +required
	Term Term `json:"term"`

	// unitPrice of one licence for one term.
	// +required
	UnitPrice Money `json:"unitPrice"`
}

// OrderTakeover tells who took an order over.
// +kubebuilder:validation:XValidation:rule="has(self.movedTo) != has(self.reason)",message="set exactly one of movedTo and reason"
type OrderTakeover struct {
	// name of the Takeover.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`

	// movedTo is the subscription that its users were moved to. Absent if they
	// lost access.
	// +optional
	MovedTo *SubscriptionReference `json:"movedTo,omitempty"`

	// reason for the cancellation. Absent if the users were moved.
	// +optional
	Reason TakeoverReason `json:"reason,omitempty"`

	// comment that the purchaser is told.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Comment string `json:"comment,omitempty"`
}

// SelfServiceOrder is an entry of the ledger of self-service: one object for
// each purchase, named purchase.<customer>.<name of the purchase>, and for each
// trial, named trial.<customer>.<hash of the product and the purchaser>.
// The API server's unique names are what makes it impossible to have a trial
// twice. Only the operator writes it.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Cluster,categories=licensing,shortName=ssord
// +kubebuilder:validation:XValidation:rule="self.spec.agreed.type == 'Trial' ? self.metadata.name.startsWith('trial.' + self.spec.customer + '.') && self.metadata.name.matches('^trial[.][^.]+[.][0-9a-f]{32}$') : self.metadata.name == 'purchase.' + self.spec.customer + '.' + self.spec.purchase.name",message="an order is named purchase.<customer>.<purchase>, or trial.<customer>.<hash>"
// +kubebuilder:selectablefield:JSONPath=`.spec.customer`
// +kubebuilder:selectablefield:JSONPath=`.spec.purchase.name`
// +kubebuilder:selectablefield:JSONPath=`.spec.agreed.productRef.name`
// +kubebuilder:printcolumn:name="Customer",type=string,JSONPath=`.spec.customer`
// +kubebuilder:printcolumn:name="Purchase",type=string,JSONPath=`.spec.purchase.name`
// +kubebuilder:printcolumn:name="Product",type=string,JSONPath=`.spec.agreed.productRef.name`
// +kubebuilder:printcolumn:name="Type",type=string,JSONPath=`.spec.agreed.type`
// +kubebuilder:printcolumn:name="Purchaser",type=string,JSONPath=`.spec.agreed.purchaser.username`
// +kubebuilder:printcolumn:name="Ordered",type=date,JSONPath=`.spec.agreed.at`
// +kubebuilder:printcolumn:name="Ended",type=date,JSONPath=`.spec.endedAt`
// +kubebuilder:printcolumn:name="Why",type=string,JSONPath=`.spec.endReason`
type SelfServiceOrder struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec SelfServiceOrderSpec `json:"spec"`
}

// SelfServiceOrderList is a list of SelfServiceOrders.
//
// +kubebuilder:object:root=true
type SelfServiceOrderList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []SelfServiceOrder `json:"items"`
}
