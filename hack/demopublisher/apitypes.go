package main

import "time"

// What the fulfilment API says. Fields that this program does not need are left
// out, and those that it does not know are no mistake: the API may grow.

// Where a subscription is in its life.
const (
	statusPending      = "PendingFulfillmentStart"
	statusSubscribed   = "Subscribed"
	statusSuspended    = "Suspended"
	statusUnsubscribed = "Unsubscribed"
)

// What an operation does.
const (
	actionChangePlan     = "ChangePlan"
	actionChangeQuantity = "ChangeQuantity"
	actionRenew          = "Renew"
	actionSuspend        = "Suspend"
	actionReinstate      = "Reinstate"
	actionUnsubscribe    = "Unsubscribe"
)

// How far an operation is, and how it is answered.
const (
	progressRunning   = "InProgress"
	progressSucceeded = "Succeeded"
	answerSuccess     = "Success"
	answerFailure     = "Failure"
)

// resolved is what a purchase token stands for.
type resolved struct {
	ID           string       `json:"id"`
	Subscription subscription `json:"subscription"`
}

// subscription is what a customer bought.
type subscription struct {
	ID                string   `json:"id"`
	Name              string   `json:"name"`
	OfferID           string   `json:"offerId"`
	PlanID            string   `json:"planId"`
	Quantity          int64    `json:"quantity"` // 0: not sold by the seat
	Status            string   `json:"saasSubscriptionStatus"`
	Beneficiary       person   `json:"beneficiary"`
	Purchaser         person   `json:"purchaser"`
	AllowedOperations []string `json:"allowedCustomerOperations"`
	AutoRenew         bool     `json:"autoRenew"`
	IsFreeTrial       bool     `json:"isFreeTrial"`
	Term              term     `json:"term"`
}

type person struct {
	Email string `json:"emailId"`
}

// term that runs. The dates are there once the subscription is active.
type term struct {
	Unit  string `json:"termUnit"`
	Start string `json:"startDate"`
	End   string `json:"endDate"` // the last day
}

// plan of a product.
type plan struct {
	ID           string `json:"planId"`
	DisplayName  string `json:"displayName"`
	Description  string `json:"description"`
	MinQuantity  int64  `json:"minQuantity"`
	MaxQuantity  int64  `json:"maxQuantity"`
	PricePerSeat bool   `json:"isPricePerSeat"`
	HasTrial     bool   `json:"hasFreeTrials"`
}

// operation is a change, or news of one.
type operation struct {
	ID             string    `json:"id"`
	SubscriptionID string    `json:"subscriptionId"`
	OfferID        string    `json:"offerId"`
	PlanID         string    `json:"planId"`
	Quantity       int64     `json:"quantity"`
	Action         string    `json:"action"`
	Status         string    `json:"status"`
	TimeStamp      time.Time `json:"timeStamp"`
}

// activation says what was set up, which must be what was bought.
type activation struct {
	PlanID   string `json:"planId"`
	Quantity int64  `json:"quantity,omitempty"`
}

// change asks for another plan or another number of seats, never both.
type change struct {
	PlanID   string `json:"planId,omitempty"`
	Quantity int64  `json:"quantity,omitempty"`
}

// answer accepts or refuses an operation.
type answer struct {
	PlanID   string `json:"planId,omitempty"`
	Quantity int64  `json:"quantity,omitempty"`
	Status   string `json:"status"`
}
