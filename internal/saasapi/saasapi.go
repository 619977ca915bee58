// Package saasapi is the wire format of the SaaS fulfilment API, version 2
// (api-version 2018-08-31), and of its webhook: the bodies, field by field as
// publishers' clients know them, and how each is made from what is on record.
//
// Where descriptions of the API differ, clients decide: a quantity is a JSON
// number, and absent for a plan that is not sold by the seat; identifiers are
// UUIDs; dates are RFC 3339; lists are objects.
//
// Making a body is a function of the record and of facts that were followed to
// the present instant (terms.Entitlement.Follow). None reads a clock.
package saasapi

import (
	"encoding/json"
	"time"
)

// APIVersion is the version of the API that there is.
const APIVersion = "2018-08-31"

// Subscription is what a publisher sees of one.
type Subscription struct {
	ID                        string   `json:"id"`
	Name                      string   `json:"name"`
	PublisherID               string   `json:"publisherId"`
	OfferID                   string   `json:"offerId"`
	PlanID                    string   `json:"planId"`
	Quantity                  *int64   `json:"quantity,omitempty"`
	Beneficiary               Person   `json:"beneficiary"`
	Purchaser                 Person   `json:"purchaser"`
	AllowedCustomerOperations []string `json:"allowedCustomerOperations"`
	SessionMode               string   `json:"sessionMode"`
	IsFreeTrial               bool     `json:"isFreeTrial"`
	IsTest                    bool     `json:"isTest"`
	SandboxType               string   `json:"sandboxType"`
	SaaSSubscriptionStatus    string   `json:"saasSubscriptionStatus"`
	Term                      Term     `json:"term"`
	AutoRenew                 bool     `json:"autoRenew"`

	Created      time.Time `json:"created"`
	LastModified time.Time `json:"lastModified"`
}

// What a customer may be allowed to do at the publisher.
const (
	AllowRead   = "Read"
	AllowUpdate = "Update"
	AllowDelete = "Delete"
)

// Person is who uses or bought a subscription. Fields of what is not known are
// empty; ObjectID is absent then, because clients take it for a UUID.
type Person struct {
	EmailID  string `json:"emailId"`
	ObjectID string `json:"objectId,omitempty"`
	TenantID string `json:"tenantId"`
	PUID     string `json:"puid"`
}

// Term is the period that runs. Its dates are absent before the activation.
type Term struct {
	StartDate      *time.Time `json:"startDate,omitempty"` // midnight UTC of the first day
	EndDate        *time.Time `json:"endDate,omitempty"`   // midnight UTC of the last day
	TermUnit       string     `json:"termUnit"`
	ChargeDuration string     `json:"chargeDuration"`
}

// SubscriptionList is one page of the subscriptions of a publisher.
type SubscriptionList struct {
	Subscriptions []Subscription `json:"subscriptions"`
	NextLink      string         `json:"@nextLink,omitempty"` // absent on the last page
}

// ResolvedSubscription is what a purchase token stands for.
type ResolvedSubscription struct {
	ID               string       `json:"id"`
	SubscriptionName string       `json:"subscriptionName"`
	OfferID          string       `json:"offerId"`
	PlanID           string       `json:"planId"`
	Quantity         *int64       `json:"quantity,omitempty"`
	Subscription     Subscription `json:"subscription"`
}

// PlanList lists the plans that a subscription can change to, and its own.
type PlanList struct {
	Plans []Plan `json:"plans"`
}

// Plan is a plan of an offer.
type Plan struct {
	PlanID         string         `json:"planId"`
	DisplayName    string         `json:"displayName"`
	IsPrivate      bool           `json:"isPrivate"`
	Description    string         `json:"description"`
	MinQuantity    *int64         `json:"minQuantity,omitempty"`
	MaxQuantity    *int64         `json:"maxQuantity,omitempty"`
	HasFreeTrials  bool           `json:"hasFreeTrials"`
	IsPricePerSeat bool           `json:"isPricePerSeat"`
	IsStopSell     bool           `json:"isStopSell"`
	Market         string         `json:"market"` // empty: a catalogue is for one place
	PlanComponents PlanComponents `json:"planComponents"`
}

// PlanComponents is what a plan costs.
type PlanComponents struct {
	RecurrentBillingTerms []RecurrentBillingTerm `json:"recurrentBillingTerms"`
	MeteringDimensions    []struct{}             `json:"meteringDimensions"` // always empty
}

// RecurrentBillingTerm is one way to pay for a plan.
type RecurrentBillingTerm struct {
	Currency                string      `json:"currency"`
	Price                   json.Number `json:"price"` // of a seat if the plan has seats
	TermUnit                string      `json:"termUnit"`
	TermDescription         string      `json:"termDescription"`
	MeteredQuantityIncluded []struct{}  `json:"meteredQuantityIncluded"` // always empty
}

// What Operation.Action and Payload.Action can be.
const (
	ActionChangePlan     = "ChangePlan"
	ActionChangeQuantity = "ChangeQuantity"
	ActionReinstate      = "Reinstate"
	ActionRenew          = "Renew"
	ActionSuspend        = "Suspend"
	ActionUnsubscribe    = "Unsubscribe"
)

// What Operation.Status and Payload.Status can be.
const (
	StatusInProgress = "InProgress"
	StatusSucceeded  = "Succeeded"
	StatusFailed     = "Failed"
)

// Operation is something that was asked for, or happened.
type Operation struct {
	ID                     string    `json:"id"`
	ActivityID             string    `json:"activityId"`
	SubscriptionID         string    `json:"subscriptionId"`
	OfferID                string    `json:"offerId"`
	PublisherID            string    `json:"publisherId"`
	PlanID                 string    `json:"planId"`
	Quantity               *int64    `json:"quantity,omitempty"`
	Action                 string    `json:"action"`
	TimeStamp              time.Time `json:"timeStamp"`
	Status                 string    `json:"status"`
	OperationRequestSource string    `json:"operationRequestSource"`
	ErrorStatusCode        string    `json:"errorStatusCode"` // empty unless it failed
	ErrorMessage           string    `json:"errorMessage"`
}

// OperationList lists the operations that wait for the publisher.
type OperationList struct {
	Operations []Operation `json:"operations"`
}

// What Payload.OperationRequestSource can be: who asked. The customer's side is
// Azure to clients, whatever it is.
const (
	SourceCustomer  = "Azure"
	SourcePublisher = "Partner"
)

// Payload is the body of a call of the publisher's webhook.
type Payload struct {
	ID                     string       `json:"id"` // of the operation, the same in each delivery
	ActivityID             string       `json:"activityId"`
	PublisherID            string       `json:"publisherId"`
	OfferID                string       `json:"offerId"`
	PlanID                 string       `json:"planId"`
	Quantity               *int64       `json:"quantity"`
	SubscriptionID         string       `json:"subscriptionId"`
	TimeStamp              time.Time    `json:"timeStamp"`
	Action                 string       `json:"action"`
	Status                 string       `json:"status"`
	OperationRequestSource string       `json:"operationRequestSource"`
	Subscription           Subscription `json:"subscription"`
	PurchaseToken          *string      `json:"purchaseToken"` // always null
}

// What UpdateOperation.Status can be.
const (
	AnswerSuccess = "Success"
	AnswerFailure = "Failure"
)

// SubscriberPlan is the body of an activation and of a change.
type SubscriberPlan struct {
	PlanID   string   `json:"planId"`
	Quantity Quantity `json:"quantity"`
}

// UpdateOperation is the body of a publisher's answer to an operation.
type UpdateOperation struct {
	PlanID   string   `json:"planId"`
	Quantity Quantity `json:"quantity"`
	Status   string   `json:"status"`
}

// ErrorBody is the body of a refusal.
type ErrorBody struct {
	Error Error `json:"error"`
}

// Error says what is wrong, and what to do.
type Error struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// VersionErrorBody is the body of a refusal because of api-version, which
// clients know in capitals.
type VersionErrorBody struct {
	Error struct {
		Code    string `json:"Code"`
		Message string `json:"Message"`
	} `json:"Error"`
}

// What VersionErrorBody.Error.Code can be.
const (
	CodeVersionUnspecified = "ApiVersionUnspecified"
	CodeVersionUnsupported = "UnsupportedApiVersion"
)
