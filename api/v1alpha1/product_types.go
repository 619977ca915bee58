package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// KeysPer says how many keys one subscription gets.
// +kubebuilder:validation:Enum=Subscription;License
type KeysPer string

// What KeysPer can be.
const (
	KeysPerSubscription KeysPer = "Subscription" // one key, whatever the quantity
	KeysPerLicense      KeysPer = "License"      // as many keys as the quantity
)

// ProductSpec is one entry of the catalogue.
type ProductSpec struct {
	// displayName is what people call the product.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:Pattern=`^\S(.*\S)?$`
	DisplayName string `json:"displayName"`

	// software describes a product that is installed and opened with a key.
	// +required
	Software SoftwareProduct `json:"software"`

	// terms are the ways to buy the product, each with its price and
	// cancellation policy. A change affects later purchases only: what a
	// customer agreed to is kept in the ledger.
	// +required
	// +listType=map
	// +listMapKey=term
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=4
	Terms []TermOffer `json:"terms"`
}

// SoftwareProduct is on-premises software.
type SoftwareProduct struct {
	// keys says where licence keys come from.
	// +required
	Keys ProductKeys `json:"keys"`

	// versions on offer, newest first.
	// +optional
	// +listType=map
	// +listMapKey=version
	// +kubebuilder:validation:MaxItems=32
	Versions []ProductVersion `json:"versions,omitempty"`

	// downgradeVersions is how many versions before the newest a customer may
	// use instead of it: 2 allows the newest three.
	// +optional
	// +default=0
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=31
	DowngradeVersions int32 `json:"downgradeVersions,omitempty"`
}

// ProductKeys says where the keys of a product come from.
type ProductKeys struct {
	// issuerRef names the KeyIssuer.
	// +required
	IssuerRef Reference `json:"issuerRef"`

	// per is Subscription for one key whatever the quantity, or License for
	// as many keys as the quantity.
	// +optional
	// +default="Subscription"
	Per KeysPer `json:"per,omitempty"`
}

// ProductVersion is one version of a product.
type ProductVersion struct {
	// version as customers know it, such as "2024".
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9]([A-Za-z0-9._ -]*[A-Za-z0-9._-])?$`
	Version string `json:"version"`

	// builds of this version that can be asked for.
	// +optional
	// +listType=map
	// +listMapKey=language
	// +listMapKey=architecture
	// +kubebuilder:validation:MaxItems=128
	Builds []ProductBuild `json:"builds,omitempty"`
}

// ProductBuild is one downloadable artifact of a version.
type ProductBuild struct {
	// language as a BCP 47 tag, such as en-US.
	// +required
	// +kubebuilder:validation:MinLength=2
	// +kubebuilder:validation:MaxLength=35
	// +kubebuilder:validation:Pattern=`^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$`
	Language string `json:"language"`

	// architecture of the processor.
	// +optional
	// +default="x64"
	Architecture Architecture `json:"architecture,omitempty"`

	// artifact is the path of the file in the operator's artifact store.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="!self.matches('(^|/)[.]{0,2}(/|$)')",message="artifact is a path inside the store: no leading or trailing /, no . or .. in it"
	Artifact string `json:"artifact"`

	// sha256 of the file in lower-case hexadecimal.
	// +required
	// +kubebuilder:validation:MinLength=64
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern=`^[0-9a-f]{64}$`
	SHA256 string `json:"sha256"`
}

// Architecture of a processor.
// +kubebuilder:validation:Enum=x64;x86;arm64
type Architecture string

// TermOffer is one way to buy a product.
// +kubebuilder:validation:XValidation:rule="self.term != 'Perpetual' || !has(self.cancellation) || self.cancellation.refund == 'Full'",message="a perpetual purchase has no days to prorate by: its refund must be Full"
type TermOffer struct {
	// term is how long a purchase lasts: P1M, P1Y, P3Y or Perpetual.
	// +required
	Term Term `json:"term"`

	// price of one licence for one term, below 10^12.
	// +required
	// +kubebuilder:validation:XValidation:rule="self.amount.matches('^[^.]{0,12}([.]|$)')",message="a price has at most 12 digits before the point"
	Price Money `json:"price"`

	// cancellation policy. When absent it is 7 days with a prorated refund,
	// for Perpetual 30 days with a full one.
	// +optional
	Cancellation *CancellationPolicy `json:"cancellation,omitempty"`
}

// ProductStatus is what the operator found out about a Product.
type ProductStatus struct {
	// observedGeneration is the generation that conditions describe; -1
	// before the operator has looked.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// conditions: Ready (True: the product can be sold), and while abnormal
	// Reconciling or Stalled.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// Product is an entry of the catalogue: something that can be bought.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,categories=licensing,shortName=lprod
// +kubebuilder:selectablefield:JSONPath=`.spec.software.keys.issuerRef.name`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Display name",type=string,JSONPath=`.spec.displayName`
// +kubebuilder:printcolumn:name="Issuer",type=string,JSONPath=`.spec.software.keys.issuerRef.name`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
type Product struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec ProductSpec `json:"spec"`

	// +optional
	// +kubebuilder:default={"observedGeneration":-1}
	Status ProductStatus `json:"status,omitempty"`
}

// Conditions gives access to the status conditions.
func (p *Product) Conditions() *[]metav1.Condition { return &p.Status.Conditions }

// SetObservedGeneration records which generation the status describes.
func (p *Product) SetObservedGeneration(g int64) { p.Status.ObservedGeneration = g }

// ProductList is a list of Products.
//
// +kubebuilder:object:root=true
type ProductList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Product `json:"items"`
}
