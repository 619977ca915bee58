package terms

import "time"

// PurchaseTokenLifetime is how long the token in a link to a publisher's
// landing page works, counted from when it was made (the SaaS fulfilment API,
// version 2).
const PurchaseTokenLifetime = day

// PurchaseTokenExpires is the first instant at which a token made then no
// longer works. Tokens tell seconds.
func PurchaseTokenExpires(made time.Time) time.Time {
	return made.UTC().Truncate(time.Second).Add(PurchaseTokenLifetime)
}

// PurchaseTokenWorks reports whether a token that expires then can be used.
func PurchaseTokenWorks(expires, now time.Time) bool { return now.Before(expires) }
