package v1alpha1

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// LicenseKeyState says whether a key is in use. It changes once, from Issued.
// +kubebuilder:validation:Enum=Issued;Revoked;Retired
type LicenseKeyState string

// What a LicenseKeyState can be.
const (
	LicenseKeyIssued  LicenseKeyState = "Issued"  // belongs to a subscription
	LicenseKeyRevoked LicenseKeyState = "Revoked" // the subscription was cancelled, or the licence given back
	LicenseKeyRetired LicenseKeyState = "Retired" // the subscription expired
)

// LicenseKeySpec is what the ledger knows of one key. Facts are written once;
// only the end of its use is added later. They are all in spec, so that a
// restore from exported objects brings them back.
// +kubebuilder:validation:XValidation:rule="has(self.endedAt) == (self.state != 'Issued')",message="endedAt is set together with a state other than Issued"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.renewedUntil) || has(self.renewedUntil)",message="renewedUntil only moves forward",fieldPath=".renewedUntil"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.endedAt) || (has(self.endedAt) && self.endedAt == oldSelf.endedAt)",message="endedAt is written once"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.quantityChanges) || has(self.quantityChanges)",message="quantityChanges are only added to",fieldPath=".quantityChanges"
// +kubebuilder:validation:XValidation:rule="has(self.licenseServer) == has(oldSelf.licenseServer) && (!has(self.licenseServer) || self.licenseServer == oldSelf.licenseServer)",message="licenseServer is immutable: a code is used up for ever"
// +kubebuilder:validation:XValidation:rule="has(self.dataset) == has(oldSelf.dataset) && (!has(self.dataset) || self.dataset == oldSelf.dataset)",message="dataset is immutable"
type LicenseKeySpec struct {
	// issuerRef names the KeyIssuer that the key came from.
	// +required
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="issuerRef is immutable"
	IssuerRef Reference `json:"issuerRef"`

	// fingerprint is the beginning of the key's SHA-256, 40 hexadecimal
	// digits. The key itself is never here.
	// +required
	// +kubebuilder:validation:MinLength=40
	// +kubebuilder:validation:MaxLength=40
	// +kubebuilder:validation:Pattern=`^[0-9a-f]{40}$`
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="fingerprint is immutable"
	Fingerprint string `json:"fingerprint"`

	// customer is the namespace of the subscription.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="a key has one customer for ever"
	Customer string `json:"customer"`

	// subscription is the SoftwareSubscription that the key was issued to.
	// +required
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="a key has one buyer for ever"
	Subscription SubscriptionIdentity `json:"subscription"`

	// productRef names the Product that was bought.
	// +required
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="productRef is immutable"
	ProductRef Reference `json:"productRef"`

	// slot is which of the subscription's keys this is, counting from 1.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=500
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="slot is immutable"
	Slot int32 `json:"slot"`

	// purchase is what the customer agreed to.
	// +required
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="purchase is immutable: it is what the customer agreed to"
	Purchase Purchase `json:"purchase"`

	// dataset is the text that a signed issuer signed, from which it can make
	// the same key again. Absent for keys from a pool.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	Dataset string `json:"dataset,omitempty"`

	// state is Issued until the subscription is cancelled or the licence given
	// back (Revoked), or the subscription expires (Retired). Neither is ever undone.
	// +optional
	// +default="Issued"
	// +kubebuilder:validation:XValidation:rule="oldSelf == 'Issued' || self == oldSelf",message="a key that is revoked or retired stays so"
	State LicenseKeyState `json:"state,omitempty"`

	// renewedUntil is the end of the latest term that was renewed, on the
	// entry of slot 1. Absent during the first term. It only moves forward.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self >= oldSelf",message="renewedUntil only moves forward"
	RenewedUntil *metav1.Time `json:"renewedUntil,omitempty"`

	// quantityChanges are the changes of the quantity that were asked for in
	// time, on the entry of slot 1. They are only added to.
	// +optional
	// +listType=map
	// +listMapKey=at
	// +kubebuilder:validation:MaxItems=100
	// +kubebuilder:validation:XValidation:rule="oldSelf.all(o, self.exists(s, s == o))",message="quantityChanges are only added to"
	QuantityChanges []QuantityChange `json:"quantityChanges,omitempty"`

	// licenseServer is what a Remote Desktop licence was issued for. Absent
	// for anything else.
	// +optional
	LicenseServer *LicenseServerIdentity `json:"licenseServer,omitempty"`

	// endedAt is the instant from which the key is no longer valid.
	// +optional
	EndedAt *metav1.Time `json:"endedAt,omitempty"`
}

// QuantityChange is one change of the quantity of a subscription.
type QuantityChange struct {
	// at is the instant at which the API server took the change.
	// +required
	At metav1.Time `json:"at"`

	// quantity from then on.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100000
	Quantity int64 `json:"quantity"`
}

// LicenseServerIdentity tells one licence server from another.
type LicenseServerIdentity struct {
	// name of the LicenseServer in the customer's namespace.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`

	// id that the clearing house gave it.
	// +required
	// +kubebuilder:validation:MinLength=35
	// +kubebuilder:validation:MaxLength=35
	ID string `json:"id"`
}

// SubscriptionIdentity tells one subscription from a later one of the same name.
type SubscriptionIdentity struct {
	// name of the subscription in the customer's namespace.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`

	// uid that the subscription had at the purchase. After a restore
	// the subscription has another one and is found by name.
	// +required
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	UID types.UID `json:"uid"`
}

// Purchase is what a customer agreed to, as it stood at that instant.
type Purchase struct {
	// at is the instant of the purchase. Every deadline is counted from it.
	// +required
	At metav1.Time `json:"at"`

	// term that was bought.
	// +required
	Term Term `json:"term"`

	// quantity of licences that was bought.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100000
	Quantity int64 `json:"quantity"`

	// keysPer says how many keys come with it: one, or as many as the quantity.
	// +required
	KeysPer KeysPer `json:"keysPer"`

	// unitPrice of one licence for one term.
	// +required
	UnitPrice Money `json:"unitPrice"`

	// cancellation policy.
	// +required
	Cancellation CancellationPolicy `json:"cancellation"`
}

// Keys is how many keys come with a quantity.
func (p *Purchase) Keys(quantity int64) int32 {
	if p.KeysPer == KeysPerLicense {
		return int32(quantity) // at most MaxKeysPerSubscription, or it is not sold
	}
	return 1
}

// Quantity is what holds now, on the entry of slot 1: that of the purchase or
// of the latest change.
func (s *LicenseKeySpec) Quantity() int64 {
	if n := len(s.QuantityChanges); n > 0 {
		return s.QuantityChanges[n-1].Quantity
	}
	return s.Purchase.Quantity
}

// KeyEntry is the entry of the Secret that holds the key of a slot: "key" if
// there is one for the subscription, "key-1", "key-2" and so on if there is
// one for each licence.
func (p *Purchase) KeyEntry(slot int32) string {
	if p.KeysPer == KeysPerLicense {
		return fmt.Sprintf("key-%d", slot)
	}
	return "key"
}

// LicenseKey is an entry of the ledger: one object for each key that ever left
// an issuer, named <issuer>-<fingerprint>. The API server's unique names are
// what makes it impossible to issue a key twice. Only the operator writes it.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Cluster,categories=licensing,shortName=lkey
// +kubebuilder:validation:XValidation:rule="self.metadata.name == self.spec.issuerRef.name + '-' + self.spec.fingerprint",message="a ledger entry is named <issuer>-<fingerprint>"
// +kubebuilder:selectablefield:JSONPath=`.spec.issuerRef.name`
// +kubebuilder:selectablefield:JSONPath=`.spec.customer`
// +kubebuilder:selectablefield:JSONPath=`.spec.subscription.name`
// +kubebuilder:selectablefield:JSONPath=`.spec.productRef.name`
// +kubebuilder:selectablefield:JSONPath=`.spec.state`
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.spec.state`
// +kubebuilder:printcolumn:name="Customer",type=string,JSONPath=`.spec.customer`
// +kubebuilder:printcolumn:name="Subscription",type=string,JSONPath=`.spec.subscription.name`
// +kubebuilder:printcolumn:name="Slot",type=integer,JSONPath=`.spec.slot`
// +kubebuilder:printcolumn:name="Product",type=string,JSONPath=`.spec.productRef.name`
// +kubebuilder:printcolumn:name="Purchased",type=date,JSONPath=`.spec.purchase.at`
// +kubebuilder:printcolumn:name="Ended",type=date,JSONPath=`.spec.endedAt`
type LicenseKey struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec LicenseKeySpec `json:"spec"`
}

// LicenseKeyList is a list of LicenseKeys.
//
// +kubebuilder:object:root=true
type LicenseKeyList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []LicenseKey `json:"items"`
}
