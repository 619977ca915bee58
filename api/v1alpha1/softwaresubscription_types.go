package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// MaxKeysPerSubscription is how many keys one subscription can hold. Signed
// keys with the longest possible names have 1.1 KiB each, and a Secret holds
// 1 MiB.
const MaxKeysPerSubscription = 500

// SoftwareSubscriptionSpec is what the customer bought.
// +kubebuilder:validation:XValidation:rule="has(self.secretName) == has(oldSelf.secretName) && (!has(self.secretName) || self.secretName == oldSelf.secretName)",message="secretName is fixed by the purchase: buy another subscription to have its key in another Secret",fieldPath=".secretName"
// +kubebuilder:validation:XValidation:rule="has(self.download) || !has(oldSelf.download) || oldSelf.download.renewal == 0",message="renewal only goes up, and without download it would be 0 again: keep download with its renewal, and leave out the rest of it",fieldPath=".download"
type SoftwareSubscriptionSpec struct {
	// productRef names the Product. It cannot change: another product is
	// another purchase.
	// +required
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="productRef is immutable: another product is another subscription"
	ProductRef Reference `json:"productRef"`

	// quantity of licences. It can change only while the cancellation window
	// is open.
	// +optional
	// +default=1
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100000
	Quantity int64 `json:"quantity,omitempty"`

	// term is how long the purchase lasts: P1M, P1Y to P5Y, or Perpetual. The
	// product says which of them are sold.
	// +required
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="term is immutable: another term is another subscription"
	Term Term `json:"term"`

	// autoRenew starts a new term when one ends, with the same key, the same
	// price and a new cancellation window. Without it the subscription expires
	// at the end of its term. It has no meaning for Perpetual.
	// +optional
	// +default=true
	AutoRenew *bool `json:"autoRenew,omitempty"`

	// download chooses what to install.
	// +optional
	Download *DownloadChoice `json:"download,omitempty"`

	// licenseServerRef names the LicenseServer, in the same namespace, that a
	// Remote Desktop licence is installed on. It is required for those and has
	// no meaning for anything else. It cannot change once the code was issued.
	// +optional
	LicenseServerRef *Reference `json:"licenseServerRef,omitempty"`

	// volumeLicensing is for customers who come from volume licensing, whose
	// machines were activated by a key management service (KMS): it keeps the
	// deadline by which they need the new multiple activation key (MAK).
	// +optional
	VolumeLicensing *VolumeLicensing `json:"volumeLicensing,omitempty"`

	// secretName names the Secret that the key is delivered in. When absent
	// it is the name of the subscription followed by "-key".
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	SecretName string `json:"secretName,omitempty"`

	// cancelled ends the subscription and revokes its key. It is accepted
	// only while the cancellation window is open, and it is final.
	// +optional
	// +default=false
	Cancelled bool `json:"cancelled,omitempty"`
}

// DownloadChoice is which build of the product the customer wants.
type DownloadChoice struct {
	// version on offer, within the product's downgrade rights. When absent
	// it is the newest.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9]([A-Za-z0-9._ -]*[A-Za-z0-9._-])?$`
	Version string `json:"version,omitempty"`

	// language as a BCP 47 tag, such as fr-FR.
	// +optional
	// +kubebuilder:validation:MinLength=2
	// +kubebuilder:validation:MaxLength=35
	// +kubebuilder:validation:Pattern=`^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$`
	Language string `json:"language,omitempty"`

	// architecture of the processor. x86 is not had through a link: where the
	// product offers it, the Secret holds a configuration.xml for the Office
	// Deployment Tool instead.
	// +optional
	// +default="x64"
	Architecture Architecture `json:"architecture,omitempty"`

	// renewal gives a fresh link each time it is raised. The old link stops
	// working, and the time to download starts anew.
	// +optional
	// +default=0
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000000
	// +kubebuilder:validation:XValidation:rule="self >= oldSelf",message="renewal only goes up: keep the number that it has, or raise it for a fresh link"
	Renewal int64 `json:"renewal,omitempty"`
}

// VolumeLicensing is what is known of a customer's activations by KMS.
//
// Its instant has a rule in place of the format date-time, which lets through
// what Go cannot read, such as a small t or z: one such subscription would keep
// the operator from reading all the others.
type VolumeLicensing struct {
	// lastKMSActivation is when the machines last renewed their activation, as
	// an instant such as 2026-09-01T00:00:00Z. It holds for 180 days.
	// +required
	// +kubebuilder:validation:Schemaless
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=40
	// +kubebuilder:validation:XValidation:rule="self.matches('^[0-9-]{10}T[0-9:]{8}') && timestamp(self) == timestamp(self)",message="write the instant as 2026-09-01T00:00:00Z: date, T, time of day, and Z for UTC or an offset such as +02:00"
	LastKMSActivation metav1.Time `json:"lastKMSActivation"`

	// makDeployed is true once the machines have the new key.
	// +optional
	// +default=false
	MAKDeployed bool `json:"makDeployed,omitempty"`
}

// SubscriptionState sums up a subscription for people. Decide by conditions.
// +kubebuilder:validation:Enum=Pending;Active;Cancelled;Expired
type SubscriptionState string

// What a SubscriptionState can be.
const (
	StatePending   SubscriptionState = "Pending"   // no key was issued yet
	StateActive    SubscriptionState = "Active"    // the customer has the key
	StateCancelled SubscriptionState = "Cancelled" // ended by spec.cancelled
	StateExpired   SubscriptionState = "Expired"   // ended with its term
)

// SoftwareSubscriptionStatus is what the operator has done and what holds now.
type SoftwareSubscriptionStatus struct {
	// observedGeneration is the generation that conditions describe; -1
	// before the operator has looked.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// state is for display only.
	// +optional
	State SubscriptionState `json:"state,omitempty"`

	// message says in a line what a person should know now.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`

	// next is what happens to this subscription next.
	// +optional
	Next *NextEvent `json:"next,omitempty"`

	// purchasedAt starts every clock of the contract. The ledger keeps it too.
	// +optional
	PurchasedAt *metav1.Time `json:"purchasedAt,omitempty"`

	// quantity that holds now. It differs from spec.quantity if a change came
	// too late.
	// +optional
	Quantity int64 `json:"quantity,omitempty"`

	// term that is running.
	// +optional
	Term *TermStatus `json:"term,omitempty"`

	// cancellation tells whether and for how much the subscription can be
	// cancelled, or what its cancellation gave back.
	// +optional
	Cancellation *CancellationStatus `json:"cancellation,omitempty"`

	// keys that were issued.
	// +optional
	Keys *IssuedKeys `json:"keys,omitempty"`

	// download is the link that is valid now.
	// +optional
	Download *DownloadStatus `json:"download,omitempty"`

	// migration from volume licensing.
	// +optional
	Migration *MigrationStatus `json:"migration,omitempty"`

	// noticedUntil is the instant up to which people were told what happened
	// and what is due, by Events.
	// +optional
	NoticedUntil *metav1.Time `json:"noticedUntil,omitempty"`

	// conditions: Ready (absent once the subscription has ended), KeysIssued,
	// DownloadAvailable, Migrated, InSync, Cancelled, and while abnormal
	// Reconciling or Stalled.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// NextEvent is something that the passing of time will do.
type NextEvent struct {
	// event: WindowCloses, LinkExpires, ReactivateBefore, Renews or Expires.
	// +required
	// +kubebuilder:validation:Enum=WindowCloses;LinkExpires;ReactivateBefore;Renews;Expires
	Event string `json:"event"`

	// at is the instant of it.
	// +required
	At metav1.Time `json:"at"`
}

// TermStatus is one term: from startsAt up to, but not including, endsAt.
type TermStatus struct {
	// startsAt is the first instant of the term.
	// +required
	StartsAt metav1.Time `json:"startsAt"`

	// endsAt is the first instant after the term. Absent for Perpetual.
	// +optional
	EndsAt *metav1.Time `json:"endsAt,omitempty"`
}

// CancellationStatus tells about the cancellation window of the running term.
type CancellationStatus struct {
	// until is the first instant at which it is too late.
	// +optional
	Until *metav1.Time `json:"until,omitempty"`

	// open is true while the subscription can be cancelled.
	// +required
	Open bool `json:"open"`

	// at is the instant at which the API server took the cancellation.
	// +optional
	At *metav1.Time `json:"at,omitempty"`

	// message says it in words. It is what a refused cancellation is told.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Message string `json:"message,omitempty"`

	// credit is what cancelling now would give back while the window is open,
	// and what it gave back once the subscription is cancelled.
	// +optional
	Credit *Money `json:"credit,omitempty"`
}

// IssuedKeys tells where the keys are.
type IssuedKeys struct {
	// issued is the number of keys in the Secret.
	// +required
	Issued int32 `json:"issued"`

	// secretName names the Secret, in the namespace of the subscription.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	SecretName string `json:"secretName,omitempty"`
}

// DownloadStatus tells which build the download link is for and how long it
// works. The link itself is in the Secret of the key, because whoever has it
// can download.
type DownloadStatus struct {
	// version that the link is for.
	// +required
	// +kubebuilder:validation:MaxLength=32
	Version string `json:"version"`

	// language that the link is for.
	// +required
	// +kubebuilder:validation:MaxLength=35
	Language string `json:"language"`

	// architecture that the link is for.
	// +required
	Architecture Architecture `json:"architecture"`

	// renewal that the link was made for.
	// +optional
	Renewal int64 `json:"renewal,omitempty"`

	// tokenHash is the SHA-256 of the token that the link ends with, in
	// lower-case hexadecimal.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	TokenHash string `json:"tokenHash,omitempty"`

	// firstDownloadedAt is when the first download began.
	// +optional
	FirstDownloadedAt *metav1.Time `json:"firstDownloadedAt,omitempty"`

	// expiresAt is the first instant at which the link no longer works. Absent
	// before the first download: until then it does not expire.
	// +optional
	ExpiresAt *metav1.Time `json:"expiresAt,omitempty"`
}

// MigrationStatus tells about the move from KMS to MAK.
type MigrationStatus struct {
	// reactivateBefore is the first instant at which machines that were not
	// activated anew may lose functions.
	// +required
	ReactivateBefore metav1.Time `json:"reactivateBefore"`
}

// SoftwareSubscription is a customer's purchase of on-premises software.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:categories=licensing,shortName=swsub
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 200",message="the name is part of the Secret's name: use at most 200 characters"
// +kubebuilder:validation:XValidation:rule="self.spec.cancelled || !oldSelf.spec.cancelled || (has(oldSelf.status.conditions) && oldSelf.status.conditions.exists(c, c.type == 'Cancelled' && c.status == 'False'))",message="cancelled is final: buy a new subscription instead",reason=FieldValueForbidden,fieldPath=".spec.cancelled"
// +kubebuilder:validation:XValidation:rule="!self.spec.cancelled || oldSelf.spec.cancelled || !has(oldSelf.status.cancellation) || oldSelf.status.cancellation.open",message="the cancellation window has closed: set spec.autoRenew to false to let the term end",reason=FieldValueForbidden,messageExpression="oldSelf.status.cancellation.message",fieldPath=".spec.cancelled"
// +kubebuilder:validation:XValidation:rule="self.spec.quantity == oldSelf.spec.quantity || !has(oldSelf.status.cancellation) || oldSelf.status.cancellation.open",message="quantity can change only while the cancellation window is open: buy another subscription for more",reason=FieldValueForbidden,messageExpression="'quantity can change only while the cancellation window is open: buy another subscription for more; ' + oldSelf.status.cancellation.message.split(': ')[0]",fieldPath=".spec.quantity"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.status.keys) || (has(self.spec.licenseServerRef) == has(oldSelf.spec.licenseServerRef) && (!has(self.spec.licenseServerRef) || self.spec.licenseServerRef == oldSelf.spec.licenseServerRef))",message="the licence server cannot change once the key was issued, because a Remote Desktop code is used up for ever once it was installed, on the same server too: buy another subscription for another server, and cancel this one if its window is still open",reason=FieldValueForbidden,fieldPath=".spec.licenseServerRef"
// +kubebuilder:selectablefield:JSONPath=`.spec.productRef.name`
// +kubebuilder:selectablefield:JSONPath=`.status.state`
// +kubebuilder:selectablefield:JSONPath=`.status.download.tokenHash`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.status.state`
// +kubebuilder:printcolumn:name="Product",type=string,JSONPath=`.spec.productRef.name`
// +kubebuilder:printcolumn:name="Qty",type=integer,JSONPath=`.spec.quantity`
// +kubebuilder:printcolumn:name="Next",type=string,JSONPath=`.status.next.event`
// +kubebuilder:printcolumn:name="At",type=string,JSONPath=`.status.next.at`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.message`
type SoftwareSubscription struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec SoftwareSubscriptionSpec `json:"spec"`

	// +optional
	// +kubebuilder:default={"observedGeneration":-1}
	Status SoftwareSubscriptionStatus `json:"status,omitempty"`
}

// Conditions gives access to the status conditions.
func (s *SoftwareSubscription) Conditions() *[]metav1.Condition { return &s.Status.Conditions }

// SetObservedGeneration records which generation the status describes.
func (s *SoftwareSubscription) SetObservedGeneration(g int64) { s.Status.ObservedGeneration = g }

// KeySecretName is the name of the Secret that the keys are delivered in.
func (s *SoftwareSubscription) KeySecretName() string {
	if s.Spec.SecretName != "" {
		return s.Spec.SecretName
	}
	return s.Name + "-key"
}

// SoftwareSubscriptionList is a list of SoftwareSubscriptions.
//
// +kubebuilder:object:root=true
type SoftwareSubscriptionList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []SoftwareSubscription `json:"items"`
}
