package v1alpha1

// Condition types. Ready, Reconciling and Stalled follow kstatus: the last two
// are there and True, or absent. Decide by conditions, never by a state that
// is for display.
const (
	// ConditionReady is True while an object does what it is for: a
	// subscription's customer has the key, an issuer can issue, a product can
	// be sold. It is absent once a subscription has ended.
	//
	// Reasons when True: "KeysDelivered" (SoftwareSubscription), "KeysAvailable"
	// (KeyIssuer), "Sellable" (Product). When False it has the reason of
	// Reconciling or Stalled.
	ConditionReady = "Ready"

	// ConditionReconciling is True while the operator expects to get further
	// by itself.
	//
	// Reasons: "PoolEmpty", "Queued", "IssuerNotReady",
	// "SecretNameTaken" (by an earlier subscription of the same name, whose
	// Secret is about to be deleted), "Retrying".
	ConditionReconciling = "Reconciling"

	// ConditionStalled is True when only a change by a person can help; the
	// message says which. The operator goes on by itself once it was made.
	//
	// Reasons: "ProductNotFound", "TermNotSold", "VersionNotOffered",
	// "TooManyKeys", "IssuerNotFound", "SecretNameTaken", "KeyNotFound"
	// (SoftwareSubscription); "IssuerNotFound" (Product); "InvalidSelector",
	// "InvalidPattern", "PoolUnreadable", "PoolShared", "SigningKeyInvalid",
	// "SigningKeyChanged", "SigningKeyLost" (KeyIssuer).
	ConditionStalled = "Stalled"

	// ConditionKeysIssued tells whether a SoftwareSubscription has its keys.
	//
	// Reasons: "KeysDelivered" (True), "NotYet" (False), "Revoked",
	// "Retired" and "NothingIssued" (False, once the subscription has ended).
	ConditionKeysIssued = "KeysIssued"

	// ConditionCancelled is absent until somebody cancels a subscription.
	//
	// Reasons: "CancelledInTime" and "NothingIssued" (True), "WindowClosed"
	// (False: the request came too late, and the subscription goes on).
	ConditionCancelled = "Cancelled"

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
	ReasonAllAccepted       = "AllAccepted"
	ReasonBelowWatermark    = "BelowWatermark"
	ReasonCancelledInTime   = "CancelledInTime"
	ReasonInvalidPattern    = "InvalidPattern"
	ReasonInvalidSelector   = "InvalidSelector"
	ReasonIssuerNotFound    = "IssuerNotFound"
	ReasonIssuerNotReady    = "IssuerNotReady"
	ReasonKeyNotFound       = "KeyNotFound"
	ReasonKeysAvailable     = "KeysAvailable"
	ReasonKeysDelivered     = "KeysDelivered"
	ReasonLinesRejected     = "LinesRejected"
	ReasonNothingIssued     = "NothingIssued"
	ReasonNotYet            = "NotYet"
	ReasonPoolEmpty         = "PoolEmpty"
	ReasonPoolShared        = "PoolShared"
	ReasonPoolUnreadable    = "PoolUnreadable"
	ReasonQueued            = "Queued"
	ReasonProductNotFound   = "ProductNotFound"
	ReasonRetired           = "Retired"
	ReasonRetrying          = "Retrying"
	ReasonRevoked           = "Revoked"
	ReasonSecretNameTaken   = "SecretNameTaken"
	ReasonSellable          = "Sellable"
	ReasonSigningKeyChanged = "SigningKeyChanged"
	ReasonSigningKeyInvalid = "SigningKeyInvalid"
	ReasonSigningKeyLost    = "SigningKeyLost"
	ReasonSufficient        = "Sufficient"
	ReasonTermNotSold       = "TermNotSold"
	ReasonTooManyKeys       = "TooManyKeys"
	ReasonVersionNotOffered = "VersionNotOffered"
	ReasonWindowClosed      = "WindowClosed"
)
