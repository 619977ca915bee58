package v1alpha1

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// KeysPer says how many keys one subscription gets.
// +kubebuilder:validation:Enum=Subscription;License
type KeysPer string

// What KeysPer can be.
const (
	KeysPerSubscription KeysPer = "Subscription" // one key, whatever the quantity
	KeysPerLicense      KeysPer = "License"      // as many keys as the quantity
)

// ProductSpec is one entry of the catalogue.
// +kubebuilder:validation:XValidation:rule="has(self.software) != has(self.saas)",message="set exactly one of software and saas"
// +kubebuilder:validation:XValidation:rule="has(self.software) == has(oldSelf.software)",message="a product stays what it is: publish another one"
// +kubebuilder:validation:XValidation:rule="!has(self.saas) || self.terms.all(t, t.term != 'Perpetual')",message="saas runs for a term: Perpetual is for software",fieldPath=".terms"
// +kubebuilder:validation:XValidation:rule="!has(self.saas) || self.saas.plans.all(p, !has(p.terms) || p.terms.all(t, t.price.currency == self.terms[0].price.currency))",message="all prices of a SaaS product are in one currency",fieldPath=".saas.plans"
// +kubebuilder:validation:XValidation:rule="!has(self.saas) || self.terms.all(t, t.price.currency == self.terms[0].price.currency)",message="all prices of a SaaS product are in one currency",fieldPath=".terms"
type ProductSpec struct {
	// displayName is what people call the product.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:Pattern=`^\S(.*\S)?$`
	DisplayName string `json:"displayName"`

	// customers says who may buy the product. When absent everybody may.
	// +optional
	Customers *Customers `json:"customers,omitempty"`

	// software describes a product that is installed and opened with a key.
	// +optional
	Software *SoftwareProduct `json:"software,omitempty"`

	// saas describes a service that a publisher runs.
	// +optional
	SaaS *SaaSProduct `json:"saas,omitempty"`

	// terms are the ways to buy the product, each with its price and
	// cancellation policy. A change affects later purchases only: what a
	// customer agreed to is kept in the ledger.
	// +required
	// +listType=map
	// +listMapKey=term
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=7
	Terms []TermOffer `json:"terms"`

	// selfService offers the product to employees, who buy or try it
	// themselves as far as their SelfServicePolicy allows. When absent it is
	// not offered to them. A change affects later purchases only.
	// +optional
	SelfService *SelfServiceOffer `json:"selfService,omitempty"`
}

// SelfServiceOffer is what employees can do themselves with a product.
// +kubebuilder:validation:XValidation:rule="self.purchase || has(self.trial)",message="offer a purchase, a trial or both: to offer neither, leave selfService out"
type SelfServiceOffer struct {
	// purchase says whether the product can be bought.
	// +optional
	// +default=false
	Purchase bool `json:"purchase,omitempty"`

	// trial says how the product can be tried. When absent it cannot.
	// +optional
	Trial *TrialOffer `json:"trial,omitempty"`

	// termsURL is the page with the terms that an employee accepts when he buys
	// or tries the product.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="self.matches('^https://[^/?#@\\\\s]+([/?#]\\\\S*)?$')",message="give a page that starts with https://, such as https://proseware.example/terms, without user and blanks"
	TermsURL string `json:"termsURL,omitempty"`

	// privacyURL is the page that says what is done with the personal data of
	// whoever buys, tries or uses the product.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="self.matches('^https://[^/?#@\\\\s]+([/?#]\\\\S*)?$')",message="give a page that starts with https://, such as https://proseware.example/privacy, without user and blanks"
	PrivacyURL string `json:"privacyURL,omitempty"`
}

// TrialOffer is a trial in self-service. Each employee has it once.
type TrialOffer struct {
	// length of the trial.
	// +required
	// +kubebuilder:validation:XValidation:rule="self.matches('[1-9]')",message="a trial lasts for some time: give at least one second"
	Length Duration `json:"length"`

	// paymentMethod says whether the trial takes one. If it is Required the
	// trial turns into a purchase when it ends, of the term that the employee
	// asked for, or else of the first one that the product is sold for. If it
	// is NotRequired the trial ends, unless the employee gave one all the same,
	// and without one it is only for customers that have a PartnerAgreement.
	// +optional
	// +default="Required"
	PaymentMethod PaymentMethodRequirement `json:"paymentMethod,omitempty"`
}

// PaymentMethodRequirement says whether a trial takes a payment method.
// +kubebuilder:validation:Enum=Required;NotRequired
type PaymentMethodRequirement string

// What a PaymentMethodRequirement can be.
const (
	PaymentMethodRequired    PaymentMethodRequirement = "Required"
	PaymentMethodNotRequired PaymentMethodRequirement = "NotRequired"
)

// Customers says which customers may buy a product.
type Customers struct {
	// namespaceSelector picks customers by the labels of their namespace. An
	// empty one picks all. A change affects later purchases only.
	// +optional
	NamespaceSelector metav1.LabelSelector `json:"namespaceSelector,omitempty"`
}

// SoftwareProduct is on-premises software.
// +kubebuilder:validation:XValidation:rule="!has(self.remoteDesktop) || ((!has(self.versions) || size(self.versions) == 0) && !self.officeDeploymentTool)",message="a Remote Desktop licence is a code and nothing else: leave out versions and officeDeploymentTool"
// +kubebuilder:validation:XValidation:rule="!self.officeDeploymentTool || self.keys.per == 'Subscription'",message="a configuration of the Office Deployment Tool holds one key: officeDeploymentTool needs keys.per Subscription"
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

	// downloadLinkLifetime is how long a download link works, counted from the
	// first download. Before that it does not expire. A change affects links
	// that were not used yet. Five days are the rule of Microsoft's Partner
	// Center.
	// +optional
	// +default="P5D"
	// +kubebuilder:validation:XValidation:rule="self.matches('[1-9]')",message="a link has to work for some time: give at least one second"
	DownloadLinkLifetime Duration `json:"downloadLinkLifetime,omitempty"`

	// officeDeploymentTool says that the 32-bit edition can be had: not
	// through a link, but as a configuration.xml of Microsoft's Office
	// Deployment Tool, next to the key. It takes keys of the format 5x5.
	// +optional
	// +default=false
	OfficeDeploymentTool bool `json:"officeDeploymentTool,omitempty"`

	// remoteDesktop makes the product a Remote Desktop client access licence:
	// a 5x5 code that is installed on a LicenseServer, and no download.
	// +optional
	RemoteDesktop *RemoteDesktop `json:"remoteDesktop,omitempty"`
}

// RemoteDesktop describes a Remote Desktop client access licence.
type RemoteDesktop struct {
	// version of Windows Server that the licence is made for. It can be
	// installed on a licence server of this version or a later one.
	// +required
	Version WindowsServerVersion `json:"version"`
}

// WindowsServerVersion is a release of Windows Server that can be a Remote
// Desktop licence server.
// +kubebuilder:validation:Enum="2016";"2019";"2022";"2025"
type WindowsServerVersion string

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

	// officeDeployment names this version to the Office Deployment Tool. When
	// absent, versions 2019, 2021 and 2024 are Office Professional Plus.
	// +optional
	OfficeDeployment *OfficeDeployment `json:"officeDeployment,omitempty"`
}

// OfficeDeployment is what a version is called by the Office Deployment Tool.
type OfficeDeployment struct {
	// productID as the tool knows it, such as ProPlus2024Volume.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9]+$`
	ProductID string `json:"productID"`

	// channel that updates come from, such as PerpetualVL2024.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9]+$`
	Channel string `json:"channel"`
}

// ProductBuild is one downloadable artifact of a version.
type ProductBuild struct {
	// language as a BCP 47 tag, such as en-US.
	// +required
	// +kubebuilder:validation:MinLength=2
	// +kubebuilder:validation:MaxLength=35
	// +kubebuilder:validation:Pattern=`^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$`
	Language string `json:"language"`

	// architecture of the processor: x64 or arm64.
	// +optional
	// +default="x64"
	// +kubebuilder:validation:XValidation:rule="self != 'x86'",message="x86 is not offered as a link: set officeDeploymentTool instead"
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
	// term is how long a purchase lasts: P1M, P1Y to P5Y, or Perpetual.
	// +required
	Term Term `json:"term"`

	// price of one licence for one term, below 10^12.
	// +required
	// +kubebuilder:validation:XValidation:rule="self.amount.matches('^[^.]{0,12}([.]|$)')",message="a price has at most 12 digits before the point"
	Price Money `json:"price"`

	// cancellation policy. When absent it is 7 days with a prorated refund,
	// for Perpetual 30 days with a full one, and for SaaS 3 days with a full
	// one.
	// +optional
	Cancellation *CancellationPolicy `json:"cancellation,omitempty"`
}

// ProductStatus is what the operator found out about a Product.
type ProductStatus struct {
	// observedGeneration is the generation that conditions describe; -1
	// before the operator has looked.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// conditions: Ready (True: the product can be sold), ArtifactsVerified, and
	// while abnormal Reconciling or Stalled.
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
// +kubebuilder:selectablefield:JSONPath=`.spec.saas.publisherRef.name`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Display name",type=string,JSONPath=`.spec.displayName`
// +kubebuilder:printcolumn:name="Issuer",type=string,JSONPath=`.spec.software.keys.issuerRef.name`
// +kubebuilder:printcolumn:name="Publisher",type=string,JSONPath=`.spec.saas.publisherRef.name`
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

// Versions on offer, if the product is software.
func (p *Product) Versions() []ProductVersion {
	if p.Spec.Software == nil {
		return nil
	}
	return p.Spec.Software.Versions
}

// Offers are the terms that a plan is sold for; nil asks for a product that has
// no plans.
func (p *Product) Offers(plan *Plan) []TermOffer {
	if plan != nil && len(plan.Terms) > 0 {
		return plan.Terms
	}
	return p.Spec.Terms
}

// Offer is how a plan is sold for a term, nil if it is not. A nil plan asks for a
// product that has none.
func (p *Product) Offer(plan *Plan, term Term) *TermOffer {
	offers := p.Offers(plan)
	i := slices.IndexFunc(offers, func(o TermOffer) bool { return o.Term == term })
	if i < 0 {
		return nil
	}
	return &offers[i]
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
