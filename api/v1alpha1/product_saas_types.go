package v1alpha1

import "slices"

// SaaSProduct is a service that a publisher runs and activates.
type SaaSProduct struct {
	// publisherRef names the Publisher.
	// +required
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="publisherRef is immutable: another publisher's service is another product"
	PublisherRef Reference `json:"publisherRef"`

	// offerID is what the publisher calls the product.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=50
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9][A-Za-z0-9._-]*$`
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="offerID is immutable: the publisher knows what was sold by it"
	OfferID string `json:"offerID"`

	// plans that customers choose from. A change affects later purchases and
	// changes of plan only. Plans are not taken out while they are in use: set
	// stopSell instead.
	// +required
	// +listType=map
	// +listMapKey=id
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=50
	Plans []Plan `json:"plans"`
}

// Plan is one level of service of a SaaS product.
type Plan struct {
	// id is what the publisher calls the plan.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=50
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9][A-Za-z0-9._-]*$`
	ID string `json:"id"`

	// displayName is what people call the plan.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=200
	// +kubebuilder:validation:Pattern=`^\S(.*\S)?$`
	DisplayName string `json:"displayName"`

	// description of what the plan includes.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Description string `json:"description,omitempty"`

	// seats bounds how many seats can be had. When absent the plan has one
	// price whoever uses it, and no quantity.
	// +optional
	Seats *SeatBounds `json:"seats,omitempty"`

	// trial is how long the plan is free at first. A trial is part of each
	// first purchase of the product by a customer and cannot be waived. It
	// turns paid when it ends, unless spec.autoRenew of the subscription is
	// false.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self.matches('[1-9]')",message="a trial lasts for some time: leave it out, or give at least one second"
	Trial Duration `json:"trial,omitempty"`

	// terms with the plan's own prices. When absent those of the product apply.
	// +optional
	// +listType=map
	// +listMapKey=term
	// +kubebuilder:validation:MaxItems=6
	// +kubebuilder:validation:XValidation:rule="self.all(t, t.term != 'Perpetual')",message="saas runs for a term: Perpetual is for software"
	Terms []TermOffer `json:"terms,omitempty"`

	// stopSell takes the plan out of the catalogue: nobody can choose it any
	// more, and who has it keeps it.
	// +optional
	// +default=false
	StopSell bool `json:"stopSell,omitempty"`
}

// SeatBounds is how many seats of a plan one subscription can have.
// +kubebuilder:validation:XValidation:rule="self.min <= self.max",message="min is at most max"
type SeatBounds struct {
	// min is the smallest number of seats.
	// +optional
	// +default=1
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000
	Min int64 `json:"min,omitempty"`

	// max is the largest number of seats.
	// +optional
	// +default=1000000
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000
	Max int64 `json:"max,omitempty"`
}

// Plan is the plan with an id, nil if there is none, as of a product that is nil.
func (p *Product) Plan(id string) *Plan {
	if p == nil || p.Spec.SaaS == nil {
		return nil
	}
	i := slices.IndexFunc(p.Spec.SaaS.Plans, func(l Plan) bool { return l.ID == id })
	if i < 0 {
		return nil
	}
	return &p.Spec.SaaS.Plans[i]
}
