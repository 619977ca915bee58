package apiproxy

import (
	"encoding/json"
	"fmt"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Hook decides what happens to each write that is counted. Its functions run
// in the goroutine of the request, several at a time if the client writes so,
// and may block, call methods of the Proxy, or kill the client. Either may be
// nil.
type Hook struct {
	// Before is called when the request has arrived in full and nothing has
	// been sent to the API server; nil means Forward. From then on the fate
	// of the client does not matter: what is forwarded is carried out even if
	// Before killed the client.
	Before func(Write) Action

	// After is called with the API server's status when it has answered and
	// nothing has been returned to the client, for Forward and DropAfter.
	After func(w Write, status int)
}

// Action is what happens to a write.
type Action int

const (
	// Forward passes the request and the answer on.
	Forward Action = iota + 1
	// DropBefore cuts the connection; the API server never gets the request.
	DropBefore
	// DropAfter has the API server carry the request out, and then cuts the
	// connection instead of passing the answer on.
	DropAfter
	// Respond409 answers that the object has changed, without the API server.
	Respond409
	// Respond429 answers to come again after a second, without the API
	// server. client-go does so by itself, up to ten times, and each time is a
	// write of its own.
	Respond429
	// Respond500 answers with an internal error, without the API server.
	Respond500
)

func (a Action) String() string {
	switch a {
	case Forward:
		return "Forward"
	case DropBefore:
		return "DropBefore"
	case DropAfter:
		return "DropAfter"
	case Respond409:
		return "Respond409"
	case Respond429:
		return "Respond429"
	case Respond500:
		return "Respond500"
	}
	return fmt.Sprintf("Action(%d)", int(a))
}

// respond answers in the API server's stead.
func respond(rw http.ResponseWriter, a Action, w Write) {
	var status metav1.Status
	switch a {
	case Respond409:
		status = apierrors.NewConflict(schema.GroupResource{Group: w.Group, Resource: w.Resource}, w.Name,
			fmt.Errorf("refused by a test")).Status()
	case Respond429:
		status = apierrors.NewTooManyRequests("refused by a test", 1).Status()
		rw.Header().Set("Retry-After", "1")
	default:
		status = apierrors.NewInternalError(fmt.Errorf("refused by a test")).Status()
	}
	status.TypeMeta = metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}
	rw.Header().Set("Content-Type", "application/json")
	rw.WriteHeader(int(status.Code))
	_ = json.NewEncoder(rw).Encode(status) // the client may have gone
}
