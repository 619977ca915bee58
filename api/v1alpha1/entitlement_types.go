package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Labels of Entitlements, by which they are listed.
const (
	LabelPublisher = "license-operator.io/publisher"
	LabelCustomer  = "license-operator.io/customer"
)

// OperationAction is what an operation of the fulfilment API does.
// +kubebuilder:validation:Enum=ChangePlan;ChangeQuantity;Renew;Suspend;Unsubscribe;Reinstate
type OperationAction string

// What an OperationAction can be.
const (
	ActionChangePlan     OperationAction = "ChangePlan"
	ActionChangeQuantity OperationAction = "ChangeQuantity"
	ActionReinstate      OperationAction = "Reinstate"
	ActionRenew          OperationAction = "Renew"       // the publisher is only told
	ActionSuspend        OperationAction = "Suspend"     // the publisher is only told
	ActionUnsubscribe    OperationAction = "Unsubscribe" // the publisher is only told
)

// OperationState is how far an operation is.
// +kubebuilder:validation:Enum=InProgress;Succeeded;Failed
type OperationState string

// What an OperationState can be.
const (
	OperationInProgress OperationState = "InProgress"
	OperationSucceeded  OperationState = "Succeeded"
	OperationFailed     OperationState = "Failed"
)

// EndReason is why a service ended for good.
// +kubebuilder:validation:Enum=Cancelled;Expired;NotActivated;NotPaid;PublisherEnded;Deleted
type EndReason string

// What an EndReason can be.
const (
	EndCancelled      EndReason = "Cancelled"      // by the customer, in time
	EndExpired        EndReason = "Expired"        // the term ended and did not renew
	EndNotActivated   EndReason = "NotActivated"   // by the publisher, for 30 days
	EndNotPaid        EndReason = "NotPaid"        // suspended for 30 days
	EndPublisherEnded EndReason = "PublisherEnded" // the publisher asked for it
	EndDeleted        EndReason = "Deleted"        // the subscription's object was deleted and did not come back
)

// EntitlementSpec is what the ledger knows of one service that a customer
// bought. Facts are written once or only added to. They are all in spec, so
// that a restore from exported objects brings them back.
// +kubebuilder:validation:XValidation:rule="has(self.endedAt) == has(self.endReason)",message="endedAt and endReason are set together"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.endedAt) || (has(self.endedAt) && self.endedAt == oldSelf.endedAt && self.endReason == oldSelf.endReason)",message="an entitlement ends once",fieldPath=".endedAt"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.activatedAt) || (has(self.activatedAt) && self.activatedAt == oldSelf.activatedAt)",message="an entitlement is activated once",fieldPath=".activatedAt"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.renewedUntil) || has(self.renewedUntil)",message="renewedUntil only moves forward",fieldPath=".renewedUntil"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.changes) || has(self.changes)",message="changes are only added to",fieldPath=".changes"
type EntitlementSpec struct {
	// id is what the publisher knows the subscription by, a random UUID.
	// +required
	// +kubebuilder:validation:MinLength=36
	// +kubebuilder:validation:MaxLength=36
	// +kubebuilder:validation:Pattern=`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="id is immutable"
	ID string `json:"id"`

	// customer is the namespace of the subscription.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="an entitlement has one customer for ever"
	Customer string `json:"customer"`

	// subscription is the MarketplaceSubscription that it was bought by.
	// +required
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="an entitlement has one buyer for ever"
	Subscription SubscriptionIdentity `json:"subscription"`

	// productRef names the Product that was bought.
	// +required
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="productRef is immutable"
	ProductRef Reference `json:"productRef"`

	// publisherRef names the Publisher whose service it is.
	// +required
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="publisherRef is immutable"
	PublisherRef Reference `json:"publisherRef"`

	// offerID is what the publisher calls the product.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=50
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="offerID is immutable"
	OfferID string `json:"offerID"`

	// purchase is what the customer agreed to.
	// +required
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="purchase is immutable: it is what the customer agreed to"
	Purchase ServicePurchase `json:"purchase"`

	// subscriber is what the customer says of himself, as it was last seen.
	// +optional
	Subscriber Subscriber `json:"subscriber,omitzero"`

	// activatedAt is the instant at which the publisher activated the service.
	// Billing starts then. It is written once.
	// +optional
	ActivatedAt *metav1.Time `json:"activatedAt,omitempty"`

	// changes of the plan, the quantity or the billing cycle, in the order in
	// which they came into force. They are only added to.
	// +optional
	// +listType=map
	// +listMapKey=at
	// +kubebuilder:validation:MaxItems=500
	// +kubebuilder:validation:XValidation:rule="size(self) >= size(oldSelf) && (size(oldSelf) == 0 || self[size(oldSelf) - 1].at == oldSelf[size(oldSelf) - 1].at)",message="changes are only added to"
	// +kubebuilder:validation:XValidation:rule="self.map(c, c.at).isSorted()",message="changes are in the order of their instants"
	// +kubebuilder:validation:items:XValidation:rule="self == oldSelf",message="a change is written once"
	Changes []ServiceChange `json:"changes,omitempty"`

	// renewedUntil is the end of the latest term, or trial, that was followed
	// by another. Absent during the first. It only moves forward.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self >= oldSelf",message="renewedUntil only moves forward"
	RenewedUntil *metav1.Time `json:"renewedUntil,omitempty"`

	// suspendedAt is since when the service is suspended. Absent while it is
	// not.
	// +optional
	SuspendedAt *metav1.Time `json:"suspendedAt,omitempty"`

	// orphanedAt is since when the subscription's object is gone. Absent while
	// it is there. A restore has a day to bring it back.
	// +optional
	OrphanedAt *metav1.Time `json:"orphanedAt,omitempty"`

	// endedAt is the instant from which the customer is no longer entitled.
	// +optional
	EndedAt *metav1.Time `json:"endedAt,omitempty"`

	// endReason is why.
	// +optional
	EndReason EndReason `json:"endReason,omitempty"`

	// operations that were asked for: all that are in progress or still to be
	// told to the publisher, and the latest others, the newest last.
	// +optional
	// +listType=map
	// +listMapKey=id
	// +kubebuilder:validation:MaxItems=64
	Operations []Operation `json:"operations,omitempty"`
}

// ServicePurchase is what a customer agreed to, as it stood at that instant.
type ServicePurchase struct {
	// at is the instant of the purchase.
	// +required
	At metav1.Time `json:"at"`

	// term that was bought.
	// +required
	Term Term `json:"term"`

	// trial that comes first. Absent if there is none.
	// +optional
	Trial Duration `json:"trial,omitempty"`

	// cancellation policy.
	// +required
	Cancellation CancellationPolicy `json:"cancellation"`

	ServiceLevel `json:",inline"`
}

// ServiceLevel is how much of a service there is and what it costs.
type ServiceLevel struct {
	// planID of the plan.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=50
	PlanID string `json:"planID"`

	// quantity of seats; 0 for a plan that is not sold by the seat.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000000
	Quantity int64 `json:"quantity,omitempty"`

	// unitPrice of one seat for one term, or of the whole if it is not sold by
	// the seat.
	// +required
	UnitPrice Money `json:"unitPrice"`

	// billingCycle is how often it is charged for.
	// +required
	BillingCycle BillingCycle `json:"billingCycle"`
}

// ServiceChange is a change of what a customer has of a service.
type ServiceChange struct {
	// at is the instant at which it came into force.
	// +required
	At metav1.Time `json:"at"`

	ServiceLevel `json:",inline"`
}

// Subscriber is what a customer says of himself and wants, that the publisher
// need not agree to.
type Subscriber struct {
	// friendlyName of the subscription.
	// +optional
	// +kubebuilder:validation:MaxLength=200
	FriendlyName string `json:"friendlyName,omitempty"`

	// autoRenew as in the subscription.
	// +optional
	AutoRenew bool `json:"autoRenew,omitempty"`

	// billingCycle that is to hold from the next term.
	// +optional
	BillingCycle BillingCycle `json:"billingCycle,omitempty"`

	// resellerPartnerID of the indirect reseller.
	// +optional
	// +kubebuilder:validation:MaxLength=20
	ResellerPartnerID string `json:"resellerPartnerID,omitempty"`

	// beneficiary is who uses the service.
	// +optional
	Beneficiary *Person `json:"beneficiary,omitempty"`

	// purchaser is who bought it.
	// +optional
	Purchaser *Person `json:"purchaser,omitempty"`
}

// Operation is something that was asked for, or happened, and that the
// publisher is told of.
type Operation struct {
	// id of the operation, a UUID. Each delivery to the webhook has the same.
	// +required
	// +kubebuilder:validation:MinLength=36
	// +kubebuilder:validation:MaxLength=36
	ID string `json:"id"`

	// action is what it does.
	// +required
	Action OperationAction `json:"action"`

	// byPublisher is true if the publisher asked for it.
	// +optional
	ByPublisher bool `json:"byPublisher,omitempty"`

	// requestedAt is when it was asked for, or happened.
	// +required
	RequestedAt metav1.Time `json:"requestedAt"`

	// queuedAt is when it was put on record. From then on the publisher is
	// told.
	// +required
	QueuedAt metav1.Time `json:"queuedAt"`

	// level that is to hold, or held then.
	// +required
	Level ServiceLevel `json:"level"`

	// status of the operation.
	// +required
	Status OperationState `json:"status"`

	// completedAt is when it was no longer in progress.
	// +optional
	CompletedAt *metav1.Time `json:"completedAt,omitempty"`

	// message says why it failed.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Message string `json:"message,omitempty"`

	// deliveredAt is when the publisher's webhook took it.
	// +optional
	DeliveredAt *metav1.Time `json:"deliveredAt,omitempty"`

	// deliveryFailure says why the webhook has not taken it yet, or never did.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	DeliveryFailure string `json:"deliveryFailure,omitempty"`

	// undeliverable is true once no more deliveries are tried.
	// +optional
	Undeliverable bool `json:"undeliverable,omitempty"`
}

// Entitlement is an entry of the ledger of services: one object for each
// purchase of a publisher's service, named
// <customer>.<subscription>.<number of the purchase under that name>. The API
// server's unique names are what makes it impossible to buy twice. Only the
// operator writes it. The publisher's calls, the customer's wishes and the
// passing of time meet here: whoever writes last has read what was there.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Cluster,categories=licensing,shortName=lent
// +kubebuilder:validation:XValidation:rule="self.metadata.name.startsWith(self.spec.customer + '.' + self.spec.subscription.name + '.')",message="an entitlement is named <customer>.<subscription>.<number>"
// +kubebuilder:selectablefield:JSONPath=`.spec.id`
// +kubebuilder:selectablefield:JSONPath=`.spec.customer`
// +kubebuilder:selectablefield:JSONPath=`.spec.subscription.name`
// +kubebuilder:selectablefield:JSONPath=`.spec.productRef.name`
// +kubebuilder:selectablefield:JSONPath=`.spec.publisherRef.name`
// +kubebuilder:printcolumn:name="Customer",type=string,JSONPath=`.spec.customer`
// +kubebuilder:printcolumn:name="Subscription",type=string,JSONPath=`.spec.subscription.name`
// +kubebuilder:printcolumn:name="Product",type=string,JSONPath=`.spec.productRef.name`
// +kubebuilder:printcolumn:name="Publisher",type=string,JSONPath=`.spec.publisherRef.name`
// +kubebuilder:printcolumn:name="Purchased",type=date,JSONPath=`.spec.purchase.at`
// +kubebuilder:printcolumn:name="Activated",type=date,JSONPath=`.spec.activatedAt`
// +kubebuilder:printcolumn:name="Suspended",type=date,JSONPath=`.spec.suspendedAt`
// +kubebuilder:printcolumn:name="Orphaned",type=date,JSONPath=`.spec.orphanedAt`
// +kubebuilder:printcolumn:name="Ended",type=date,JSONPath=`.spec.endedAt`
// +kubebuilder:printcolumn:name="Why",type=string,JSONPath=`.spec.endReason`
// +kubebuilder:printcolumn:name="ID",type=string,JSONPath=`.spec.id`,priority=1
type Entitlement struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec EntitlementSpec `json:"spec"`
}

// EntitlementList is a list of Entitlements.
//
// +kubebuilder:object:root=true
type EntitlementList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Entitlement `json:"items"`
}
