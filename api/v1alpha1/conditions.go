package v1alpha1

// Condition types. Ready, Reconciling and Stalled follow kstatus: the last two
// are there and True, or absent. Decide by conditions, never by a state that
// is for display.
const (
	// ConditionReady is True while an object does what it is for: a
	// subscription's customer has the key, an issuer can issue, a product can
	// be sold. It is absent once a subscription has ended.
	//
	// Reasons when True: "KeysDelivered" (SoftwareSubscription), "Subscribed"
	// (MarketplaceSubscription), "KeysAvailable" (KeyIssuer), "Sellable"
	// (Product), "Activated" (LicenseServer), "Configured" (Publisher),
	// "Licensed" (SelfServicePurchase), "SeatAssigned" (LicenseAssignment),
	// "TakenOver" (Takeover), "Enforced" and "Audited" (SelfServicePolicy), "Sent"
	// (Notification), "InForce" (PartnerAgreement), "AccessGranted"
	// (PartnerRegistration). When False it has the reason of Reconciling or Stalled.
	ConditionReady = "Ready"

	// ConditionReconciling is True while the operator expects to get further
	// by itself.
	//
	// Reasons: "PoolEmpty", "Queued", "IssuerNotReady",
	// "SecretNameTaken" (by an earlier subscription of the same name, whose
	// Secret is about to be deleted), "AwaitingActivation" (by the publisher),
	// "SigningKeyNotReady", "ChangePending" (of a service that is to be
	// reinstated), "NoSeatFree", "SeatsMissing" (for those who are to be moved),
	// "SubscriptionNotReady", "NotPurchased" (yet), "AccessPending" (in a moment),
	// "TooManyAttempts" (to register, until one is a day old), "Retrying".
	ConditionReconciling = "Reconciling"

	// ConditionStalled is True when only a change by a person can help; the
	// message says which. The operator goes on by itself once it was made.
	//
	// Reasons: "ProductNotFound", "TermNotSold", "VersionNotOffered",
	// "TooManyKeys", "IssuerNotFound", "SecretNameTaken", "KeyNotFound",
	// "NotOffered", "LicenseServerRequired", "LicenseServerNotUsed",
	// "LicenseServerNotFound", "LicenseServerNotActivated",
	// "LicenseServerTooOld", "LicenseServerMoved", "KeyFormat"
	// "NotSoftware" (SoftwareSubscription); "ProductNotFound", "TermNotSold",
	// "NotOffered", "NotService", "PlanRequired", "PlanNotOffered",
	// "QuantityNotOffered", "PublisherNotFound", "SecretNameTaken", "Suspended",
	// "InvalidSelector", "Ended", "EntitlementNotFound" (MarketplaceSubscription); "IssuerNotFound", "KeyFormat",
	// "PublisherNotFound", "InvalidSelector" (Product); "NobodyMayCall"
	// (Publisher); "NotActivated" (LicenseServer); "InvalidSelector",
	// "InvalidPattern", "PoolUnreadable", "PoolShared", "SigningKeyInvalid",
	// "SigningKeyChanged", "SigningKeyLost" (KeyIssuer); "ProductNotFound",
	// "NotOffered", "InvalidSelector", "NotInSelfService", "TermNotSold",
	// "PlanRequired", "PlanNotOffered", "QuantityNotOffered", "BlockedByPolicy",
	// "AgreementRequired", "PaymentMethodRequired", "TrialUsed", "NameUsed",
	// "Ended", "OrderNotFound" (SelfServicePurchase); "SubscriptionNotFound", "SubscriptionEnded",
	// "Suspended", "AlreadyAssigned" (LicenseAssignment); "PurchaseNotFound",
	// "NotPurchased", "PurchaseEnded", "SubscriptionNotFound",
	// "SubscriptionEnded", "Suspended", "NameUsed" (Takeover); "Undeliverable" (Notification);
	// "NamespaceReserved", "BindingNameTaken", "TooManyPartners",
	// "TooManyRemoved", "RemovalRefused" (PartnerAgreement); "NotRecognised",
	// "NotProven", "RemovedByCustomer", "AgreementStalled" (PartnerRegistration).
	ConditionStalled = "Stalled"

	// ConditionKeysIssued tells whether a SoftwareSubscription has its keys.
	//
	// Reasons: "KeysDelivered" (True), "NotYet" (False), "Revoked",
	// "Retired" and "NothingIssued" (False, once the subscription has ended).
	ConditionKeysIssued = "KeysIssued"

	// ConditionCancelled is absent until somebody cancels a subscription.
	//
	// Reasons: "CancelledInTime", "NothingIssued" and "NotBilled" (True),
	// "WindowClosed" (False: the request came too late, and the subscription
	// goes on).
	ConditionCancelled = "Cancelled"

	// ConditionDownloadAvailable tells whether a SoftwareSubscription's
	// download link works. It is absent where there is nothing to download.
	//
	// Reasons: "LinkValid" (True), "LinkExpired" (False: raise
	// spec.download.renewal), "DeploymentTool" (False: 32-bit is installed
	// with configuration.xml), "Ended" (False, once the subscription has
	// ended).
	ConditionDownloadAvailable = "DownloadAvailable"

	// ConditionMigrated tells how far a customer's move from KMS to MAK is. It
	// is absent without spec.volumeLicensing.
	//
	// Reasons: "MAKDeployed" (True), "OnTrack" (False), "AtRisk" (False: less
	// than 30 days are left), "Lapsed" (False: machines may lose functions).
	ConditionMigrated = "Migrated"

	// ConditionInSync is False while spec.quantity, or the plan of a service, is
	// not what holds. A SoftwareSubscription has it only then.
	//
	// Reasons: "WindowClosed" (the change came too late), "TooManyKeys",
	// "TooManyChanges" (SoftwareSubscription); "InSync" (True), "ChangePending"
	// (the publisher was asked, or will be), "RefusedByPublisher",
	// "WebhookFailing" (the publisher cannot be asked), "PlanNotOffered",
	// "QuantityNotOffered", "NotSubscribed" (the service can only be changed
	// while it runs), "TooManyChanges" (MarketplaceSubscription).
	ConditionInSync = "InSync"

	// ConditionActivated tells whether the publisher has activated a
	// MarketplaceSubscription. Billing starts with that.
	//
	// Reasons: "Activated" (True), "AwaitingActivation", "NeverActivated"
	// (False).
	ConditionActivated = "Activated"

	// ConditionActionRequired is True while somebody has to do something, which
	// the message says, with the publisher's site.
	//
	// Reasons: "ConfigureAccount" (the publisher waits for the customer),
	// "PaymentRequired" (the service is suspended), "ChangeRefused" (by the
	// publisher), "ChangeImpossible" (the product has no such plan or quantity),
	// and "None" (False).
	ConditionActionRequired = "ActionRequired"

	// ConditionCompliant is False for what an employee bought although a
	// SelfServicePolicy in mode Audit would have refused it. It tells what the
	// policies said then, and is absent before anything was bought.
	//
	// Reasons: "Allowed" (True), "WouldBeRefused" (False).
	ConditionCompliant = "Compliant"

	// ConditionProductsFound is False while a SelfServicePolicy lists products
	// that are not offered to the customer in self-service.
	//
	// Reasons: "AllFound" (True), "ProductNotFound" (False).
	ConditionProductsFound = "ProductsFound"

	// ConditionArtifactsVerified tells whether each file that a Product offers
	// is in the artifact store and has its checksum.
	//
	// Reasons: "Verified" (True), "ArtifactMissing", "ArtifactMismatch" and
	// "StoreUnreadable" (False), "Verifying" (Unknown).
	ConditionArtifactsVerified = "ArtifactsVerified"

	// ConditionLowKeys is True while a pool has fewer free keys than its
	// watermark.
	//
	// Reasons: "BelowWatermark" (True), "Sufficient" (False).
	ConditionLowKeys = "LowKeys"

	// ConditionKeysAccepted is False while some lines of a pool hold no usable
	// key; status.rejected lists them.
	//
	// Reasons: "AllAccepted" (True), "LinesRejected" (False).
	ConditionKeysAccepted = "KeysAccepted"
)

// Reasons of conditions.
const (
	ReasonAccessGranted             = "AccessGranted"
	ReasonAccessPending             = "AccessPending"
	ReasonActivated                 = "Activated"
	ReasonAgreementRequired         = "AgreementRequired"
	ReasonAgreementStalled          = "AgreementStalled"
	ReasonAllAccepted               = "AllAccepted"
	ReasonAllFound                  = "AllFound"
	ReasonAllowed                   = "Allowed"
	ReasonAlreadyAssigned           = "AlreadyAssigned"
	ReasonArtifactMismatch          = "ArtifactMismatch"
	ReasonArtifactMissing           = "ArtifactMissing"
	ReasonAtRisk                    = "AtRisk"
	ReasonAudited                   = "Audited"
	ReasonAwaitingActivation        = "AwaitingActivation"
	ReasonBelowWatermark            = "BelowWatermark"
	ReasonBindingNameTaken          = "BindingNameTaken"
	ReasonBlockedByPolicy           = "BlockedByPolicy"
	ReasonCancelledInTime           = "CancelledInTime"
	ReasonChangeImpossible          = "ChangeImpossible"
	ReasonChangePending             = "ChangePending"
	ReasonChangeRefused             = "ChangeRefused"
	ReasonConfigureAccount          = "ConfigureAccount"
	ReasonConfigured                = "Configured"
	ReasonDeploymentTool            = "DeploymentTool"
	ReasonEnded                     = "Ended"
	ReasonEnforced                  = "Enforced"
	ReasonEntitlementNotFound       = "EntitlementNotFound"
	ReasonInForce                   = "InForce"
	ReasonInSync                    = "InSync"
	ReasonInvalidPattern            = "InvalidPattern"
	ReasonInvalidSelector           = "InvalidSelector"
	ReasonIssuerNotFound            = "IssuerNotFound"
	ReasonIssuerNotReady            = "IssuerNotReady"
	ReasonKeyFormat                 = "KeyFormat"
	ReasonKeyNotFound               = "KeyNotFound"
	ReasonKeysAvailable             = "KeysAvailable"
	ReasonKeysDelivered             = "KeysDelivered"
	ReasonLapsed                    = "Lapsed"
	ReasonLicenseServerMoved        = "LicenseServerMoved"
	ReasonLicenseServerNotActivated = "LicenseServerNotActivated"
	ReasonLicenseServerNotFound     = "LicenseServerNotFound"
	ReasonLicenseServerNotUsed      = "LicenseServerNotUsed"
	ReasonLicenseServerRequired     = "LicenseServerRequired"
	ReasonLicenseServerTooOld       = "LicenseServerTooOld"
	ReasonLicensed                  = "Licensed"
	ReasonLinesRejected             = "LinesRejected"
	ReasonLinkExpired               = "LinkExpired"
	ReasonLinkValid                 = "LinkValid"
	ReasonMAKDeployed               = "MAKDeployed"
	ReasonNameUsed                  = "NameUsed"
	ReasonNamespaceReserved         = "NamespaceReserved"
	ReasonNeverActivated            = "NeverActivated"
	ReasonNoSeatFree                = "NoSeatFree"
	ReasonNobodyMayCall             = "NobodyMayCall"
	ReasonNone                      = "None"
	ReasonNotActivated              = "NotActivated"
	ReasonNotBilled                 = "NotBilled"
	ReasonNotInSelfService          = "NotInSelfService"
	ReasonNotOffered                = "NotOffered"
	ReasonNotProven                 = "NotProven"
	ReasonNotPurchased              = "NotPurchased"
	ReasonNotRecognised             = "NotRecognised"
	ReasonNotService                = "NotService"
	ReasonNotSoftware               = "NotSoftware"
	ReasonNotSubscribed             = "NotSubscribed"
	ReasonNotYet                    = "NotYet"
	ReasonNothingIssued             = "NothingIssued"
	ReasonOnTrack                   = "OnTrack"
	ReasonOrderNotFound             = "OrderNotFound"
	ReasonPaymentMethodRequired     = "PaymentMethodRequired"
	ReasonPaymentRequired           = "PaymentRequired"
	ReasonPlanNotOffered            = "PlanNotOffered"
	ReasonPlanRequired              = "PlanRequired"
	ReasonPoolEmpty                 = "PoolEmpty"
	ReasonPoolShared                = "PoolShared"
	ReasonPoolUnreadable            = "PoolUnreadable"
	ReasonProductNotFound           = "ProductNotFound"
	ReasonPublisherNotFound         = "PublisherNotFound"
	ReasonPurchaseEnded             = "PurchaseEnded"
	ReasonPurchaseNotFound          = "PurchaseNotFound"
	ReasonQuantityNotOffered        = "QuantityNotOffered"
	ReasonQueued                    = "Queued"
	ReasonRefusedByPublisher        = "RefusedByPublisher"
	ReasonRemovedByCustomer         = "RemovedByCustomer"
	ReasonRetired                   = "Retired"
	ReasonRetrying                  = "Retrying"
	ReasonRevoked                   = "Revoked"
	ReasonSeatAssigned              = "SeatAssigned"
	ReasonSeatsMissing              = "SeatsMissing"
	ReasonSecretNameTaken           = "SecretNameTaken"
	ReasonSellable                  = "Sellable"
	ReasonSent                      = "Sent"
	ReasonSigningKeyChanged         = "SigningKeyChanged"
	ReasonSigningKeyInvalid         = "SigningKeyInvalid"
	ReasonSigningKeyLost            = "SigningKeyLost"
	ReasonSigningKeyNotReady        = "SigningKeyNotReady"
	ReasonStoreUnreadable           = "StoreUnreadable"
	ReasonSubscribed                = "Subscribed"
	ReasonSubscriptionEnded         = "SubscriptionEnded"
	ReasonSubscriptionNotFound      = "SubscriptionNotFound"
	ReasonSubscriptionNotReady      = "SubscriptionNotReady"
	ReasonSufficient                = "Sufficient"
	ReasonSuspended                 = "Suspended"
	ReasonTakenOver                 = "TakenOver"
	ReasonTermNotSold               = "TermNotSold"
	ReasonTooManyAttempts           = "TooManyAttempts"
	ReasonTooManyChanges            = "TooManyChanges"
	ReasonTooManyKeys               = "TooManyKeys"
	ReasonTooManyPartners           = "TooManyPartners"
	ReasonTooManyRemoved            = "TooManyRemoved"
	ReasonRemovalRefused            = "RemovalRefused"
	ReasonTrialUsed                 = "TrialUsed"
	ReasonUndeliverable             = "Undeliverable"
	ReasonVerified                  = "Verified"
	ReasonVerifying                 = "Verifying"
	ReasonVersionNotOffered         = "VersionNotOffered"
	ReasonWebhookFailing            = "WebhookFailing"
	ReasonWindowClosed              = "WindowClosed"
	ReasonWouldBeRefused            = "WouldBeRefused"
)
