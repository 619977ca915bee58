package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// MaxRejectedLines is how many rejected lines status.rejected lists at most.
const MaxRejectedLines = 20

// KeyIssuerSpec says where keys come from: exactly one of pool and signed.
// +kubebuilder:validation:XValidation:rule="has(self.pool) != has(self.signed)",message="set exactly one of pool and signed"
// +kubebuilder:validation:XValidation:rule="has(self.pool) == has(oldSelf.pool)",message="an issuer stays what it is: create another one to change between pool and signed"
type KeyIssuerSpec struct {
	// pool hands out keys that were bought beforehand.
	// +optional
	Pool *KeyPool `json:"pool,omitempty"`

	// signed makes keys that are verified offline with a public key.
	// +optional
	Signed *SignedKeys `json:"signed,omitempty"`
}

// KeyPool is a stock of keys in Secrets of the operator's namespace: one key a
// line, in any entry of a Secret. A pool is topped up by adding lines or Secrets.
// +kubebuilder:validation:XValidation:rule="!(has(self.format) && has(self.pattern))",message="set format or pattern, not both"
type KeyPool struct {
	// secretSelector selects the Secrets by their labels. It may not be empty.
	// +required
	// +kubebuilder:validation:XValidation:rule="(has(self.matchLabels) && size(self.matchLabels) > 0) || (has(self.matchExpressions) && size(self.matchExpressions) > 0)",message="an empty selector would take every Secret for keys: select by a label"
	SecretSelector metav1.LabelSelector `json:"secretSelector"`

	// format is a well-known form that every key must have. 5x5: five groups
	// of five letters or digits, joined by hyphens.
	// +optional
	// +kubebuilder:validation:Enum="5x5"
	Format KeyFormat `json:"format,omitempty"`

	// pattern is a regular expression (RE2) that every key must match as a whole.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:XValidation:rule="'x'.matches(self) || !'x'.matches(self)",message="pattern must be a regular expression in RE2 syntax"
	Pattern string `json:"pattern,omitempty"`

	// lowWatermark turns the condition LowKeys to True while fewer keys than
	// this are available, and in any case when none is.
	// +optional
	// +default=0
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000000
	LowWatermark int32 `json:"lowWatermark,omitempty"`
}

// KeyFormat names a well-known form of licence keys.
type KeyFormat string

// KeyFormat5x5 is five groups of five letters or digits.
const KeyFormat5x5 KeyFormat = "5x5"

// SignedKeys makes Ed25519 keys of the scheme ED25519_SIGN, which existing
// Keygen clients verify offline.
type SignedKeys struct {
	// secretName names the Secret in the operator's namespace with the signing
	// key. The operator makes it when it is absent and has signed nothing yet;
	// it never overwrites it.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="secretName is immutable: keys already issued verify only with this signing key"
	SecretName string `json:"secretName"`
}

// KeyIssuerStatus is what the operator found out about a KeyIssuer.
type KeyIssuerStatus struct {
	// observedGeneration is the generation that conditions describe; -1
	// before the operator has looked.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// keys counts them. At most one update a second.
	// +optional
	Keys *KeyCounts `json:"keys,omitempty"`

	// publicKey verifies the keys of a signed issuer: 32 bytes in hexadecimal.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	PublicKey string `json:"publicKey,omitempty"`

	// rejected lists the first lines of the pool that are not usable, by
	// place and reason, never by content.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=20
	Rejected []RejectedLine `json:"rejected,omitempty"`

	// conditions: Ready (True: keys can be issued), LowKeys and KeysAccepted
	// (pools only), and while abnormal Reconciling or Stalled.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// KeyCounts counts the keys of an issuer.
type KeyCounts struct {
	// total is the number of distinct usable keys in a pool, used or not; for
	// a signed issuer the number ever made.
	// +required
	Total int64 `json:"total"`

	// available keys can still be issued. Absent for a signed issuer, which
	// has no limit.
	// +optional
	Available *int64 `json:"available,omitempty"`

	// issued keys left the issuer and were neither cancelled nor did they expire.
	// +required
	Issued int64 `json:"issued"`

	// revoked keys were cancelled or have expired.
	// +required
	Revoked int64 `json:"revoked"`
}

// RejectedLine is a place in a pool that holds no usable key.
type RejectedLine struct {
	// secret is the name of the Secret in the operator's namespace.
	// +required
	// +kubebuilder:validation:MaxLength=253
	Secret string `json:"secret"`

	// entry is the key within the Secret's data.
	// +required
	// +kubebuilder:validation:MaxLength=253
	Entry string `json:"entry"`

	// line counts from 1. Absent when the whole entry is rejected.
	// +optional
	Line int64 `json:"line,omitempty"`

	// reason says what is wrong with it.
	// +required
	// +kubebuilder:validation:MaxLength=640
	Reason string `json:"reason"`
}

// KeyIssuer is where licence keys come from.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,categories=licensing,shortName=keyiss
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 63",message="the name is part of every ledger entry's name: use at most 63 characters"
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Available",type=integer,JSONPath=`.status.keys.available`
// +kubebuilder:printcolumn:name="Issued",type=integer,JSONPath=`.status.keys.issued`
// +kubebuilder:printcolumn:name="Revoked",type=integer,JSONPath=`.status.keys.revoked`
// +kubebuilder:printcolumn:name="Low",type=string,JSONPath=`.status.conditions[?(@.type=="LowKeys")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
type KeyIssuer struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec KeyIssuerSpec `json:"spec"`

	// +optional
	// +kubebuilder:default={"observedGeneration":-1}
	Status KeyIssuerStatus `json:"status,omitempty"`
}

// Conditions gives access to the status conditions.
func (i *KeyIssuer) Conditions() *[]metav1.Condition { return &i.Status.Conditions }

// SetObservedGeneration records which generation the status describes.
func (i *KeyIssuer) SetObservedGeneration(g int64) { i.Status.ObservedGeneration = g }

// KeyIssuerList is a list of KeyIssuers.
//
// +kubebuilder:object:root=true
type KeyIssuerList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []KeyIssuer `json:"items"`
}
