package saasclient

import "time"

// Subscription is what the client read of one, as far as tests look at it.
type Subscription struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	PublisherID string `json:"publisherId"`
	OfferID     string `json:"offerId"`
	PlanID      string `json:"planId"`
	Quantity    int64  `json:"quantity"` // 0: not sold by the seat
	Status      string `json:"saasSubscriptionStatus"`
	AutoRenew   bool   `json:"autoRenew"`
	Beneficiary Person `json:"beneficiary"`
	Purchaser   Person `json:"purchaser"`
	Term        struct {
		Unit  string     `json:"termUnit"`
		Start *time.Time `json:"startDate"`
		End   *time.Time `json:"endDate"`
	} `json:"term"`
	Allowed      []string   `json:"allowedCustomerOperations"`
	SandboxType  string     `json:"sandboxType"`
	SessionMode  string     `json:"sessionMode"`
	Created      *time.Time `json:"created"`
	LastModified *time.Time `json:"lastModified"`
}

// Person is somebody in a subscription.
type Person struct {
	Email  string  `json:"emailId"`
	Object *string `json:"objectId"` // nil: absent, which is not the same as empty
	Tenant string  `json:"tenantId"`
}

// Resolved is what a purchase token stands for.
type Resolved struct {
	ID           string       `json:"id"`
	Name         string       `json:"subscriptionName"`
	OfferID      string       `json:"offerId"`
	PlanID       string       `json:"planId"`
	Quantity     int64        `json:"quantity"`
	Subscription Subscription `json:"subscription"`
}

// Plan is a plan that a subscription can change to.
type Plan struct {
	ID      string `json:"planId"`
	Name    string `json:"displayName"`
	PerSeat bool   `json:"isPricePerSeat"`
	Min     int64  `json:"minQuantity"`
	Max     int64  `json:"maxQuantity"`
	Costs   struct {
		Terms []struct {
			Currency string  `json:"currency"`
			Price    float64 `json:"price"`
			Unit     string  `json:"termUnit"`
		} `json:"recurrentBillingTerms"`
	} `json:"planComponents"`
}

// Operation is something that was asked for.
type Operation struct {
	ID             string     `json:"id"`
	ActivityID     string     `json:"activityId"`
	SubscriptionID string     `json:"subscriptionId"`
	OfferID        string     `json:"offerId"`
	PublisherID    string     `json:"publisherId"`
	PlanID         string     `json:"planId"`
	Quantity       int64      `json:"quantity"`
	Action         string     `json:"action"`
	Status         string     `json:"status"`
	Time           *time.Time `json:"timeStamp"`
}
