package controllers

import (
	"fmt"
	"slices"
	"strings"
	"sync"
)

// reasonsSeen are the conditions that tests produced.
var reasonsSeen sync.Map

// reasonsTold are those that each kind must have been seen with, by type.
var reasonsTold = map[string]map[string]string{
	"MarketplaceSubscription": {
		"Ready":          "Subscribed",
		"Reconciling":    "AwaitingActivation SigningKeyNotReady Retrying",
		"Stalled":        "ProductNotFound TermNotSold NotOffered NotService PlanRequired PlanNotOffered QuantityNotOffered PublisherNotFound SecretNameTaken Suspended Ended",
		"Cancelled":      "CancelledInTime NothingIssued NotBilled WindowClosed",
		"InSync":         "InSync ChangePending RefusedByPublisher WebhookFailing PlanNotOffered QuantityNotOffered NotSubscribed TooManyChanges",
		"Activated":      "Activated AwaitingActivation NeverActivated",
		"ActionRequired": "ConfigureAccount PaymentRequired ChangeRefused ChangeImpossible None",
	},
	"SelfServicePurchase": {
		"Ready":       "Licensed",
		"Reconciling": "Retrying",
		"Stalled":     "ProductNotFound NotOffered InvalidSelector NotInSelfService TermNotSold PlanRequired PlanNotOffered QuantityNotOffered BlockedByPolicy AgreementRequired PaymentMethodRequired TrialUsed NameUsed Ended OrderNotFound",
		"Compliant":   "Allowed WouldBeRefused",
	},
	"SelfServicePolicy": {
		"Ready":         "Enforced Audited",
		"Reconciling":   "Retrying",
		"ProductsFound": "AllFound ProductNotFound",
	},
	"LicenseAssignment": {
		"Ready":       "SeatAssigned",
		"Reconciling": "NoSeatFree AlreadyAssigned SubscriptionNotReady Retrying",
		"Stalled":     "SubscriptionNotFound SubscriptionEnded Suspended AlreadyAssigned",
	},
	"PartnerRegistration": {
		"Ready":       "AccessGranted",
		"Reconciling": "AccessPending TooManyAttempts Retrying",
		"Stalled":     "NotRecognised NotProven RemovedByCustomer AgreementStalled",
	},
	"PartnerAgreement": {
		"Ready":       "InForce",
		"Reconciling": "Retrying",
		"Stalled":     "NamespaceReserved BindingNameTaken TooManyPartners TooManyRemoved RemovalRefused",
	},
	"Takeover": {
		"Ready":       "TakenOver",
		"Reconciling": "SeatsMissing SubscriptionNotReady NotPurchased Retrying",
		"Stalled":     "PurchaseNotFound NotPurchased PurchaseEnded SubscriptionNotFound SubscriptionEnded Suspended NameUsed",
	},
}

// noteReasons remembers what a test has seen.
func noteReasons(o object) {
	kind := strings.TrimPrefix(fmt.Sprintf("%T", o), "*v1alpha1.")
	for _, c := range *o.Conditions() {
		reasonsSeen.Store(kind+" "+c.Type+" "+c.Reason, true)
	}
}

// reasonsNeverSeen lists those that no test produced.
func reasonsNeverSeen() (missing []string) {
	for kind, types := range reasonsTold {
		for typ, reasons := range types {
			for reason := range strings.FieldsSeq(reasons) {
				if what := kind + " " + typ + " " + reason; !seen(what) {
					missing = append(missing, what)
				}
			}
		}
	}
	slices.Sort(missing)
	return missing
}

func seen(what string) bool {
	_, ok := reasonsSeen.Load(what)
	return ok
}
