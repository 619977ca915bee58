// Package webhooks calls the webhooks of publishers and says what came of it.
//
//	sender.go   makes the call
//	guard.go    which addresses are never called
//	outcome.go  what an answer means
//	failure.go  what an error means, in a few words of ours
//
// A webhook is an address that somebody outside names and the operator calls,
// from where it stands. So the address is checked when the connection is made,
// after the name was resolved; redirects are not followed; no proxy is asked;
// and nothing of the answer but its status and Retry-After is looked at. What
// is said of a failure is one of a few texts of this package: never a body, a
// token, an address or a URL.
package webhooks

import "time"

// Call is one delivery of an operation to a webhook.
type Call struct {
	URL  string
	Body []byte // JSON

	// Token is the bearer token. It is of no use at any other webhook.
	Token string

	// RequestID and CorrelationID go into the headers x-ms-requestid and
	// x-ms-correlationid.
	RequestID     string
	CorrelationID string

	// Refusable says that an answer of 4xx refuses the operation.
	Refusable bool

	// Private lets the webhook be at any address, and plain http be used.
	Private bool
}

// Result is what came of a call.
type Result int

// What a Result can be.
const (
	Failed  Result = iota // the webhook may not have taken the call: try again
	Later                 // the webhook asks to try again later
	Refused               // the publisher refuses the operation
	Taken                 // the webhook took the call
)

// Outcome is what came of a call, in detail.
type Outcome struct {
	Result Result

	// Text says why the call was not taken, or how the operation was refused.
	// It is at most 200 bytes and the same for the same reason. Empty if it was
	// taken.
	Text string

	// After is how long to wait, from LeastWait to LongestWait, if the webhook
	// says so; 0: it does not.
	After time.Duration
}

// Bounds of what a webhook may ask for by Retry-After.
const (
	LeastWait   = time.Second
	LongestWait = time.Hour
)
