package fulfillment

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/uuid"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/license-operator/license-operator/internal/saasapi"
)

// refusal is an answer that is not what was asked for: what is wrong and what
// to do. Its text says nothing of subscriptions of other publishers.
type refusal struct {
	code   int
	name   string // for programs
	text   string // for people
	retry  time.Duration
	header map[string]string
	body   any // if it is not a saasapi.ErrorBody
}

func (r *refusal) Error() string { return r.text }

var (
	unknownPath = &refusal{code: http.StatusNotFound, name: "NotFound",
		text: "There is no such call. The fulfilment API is below /api/saas/subscriptions; the ids in its paths are UUIDs."}
	unknownSubscription = &refusal{code: http.StatusNotFound, name: "NotFound",
		text: "There is no subscription with this id. Resolve the purchase token of the customer to learn the right one."}
	unknownOperation = &refusal{code: http.StatusNotFound, name: "NotFound",
		text: "The subscription has no operation with this id. Operations that were over long ago are not kept."}
	versionUnspecified = versionRefusal(saasapi.CodeVersionUnspecified, "An API version is required, but was not specified: add api-version="+saasapi.APIVersion+" to the query.")
	versionUnsupported = versionRefusal(saasapi.CodeVersionUnsupported, "This API version is not supported: use api-version="+saasapi.APIVersion+".")
	notAuthorized      = &refusal{code: http.StatusForbidden, name: "Forbidden",
		text: "The authorization token is missing, invalid or expired, or it is not one of a publisher. Send, as Authorization: Bearer, a Kubernetes token for the audience " + audience + " of an account that a Publisher lists in spec.subjects."}
	notYours = &refusal{code: http.StatusForbidden, name: "Forbidden",
		text: "The subscription is of another publisher than those that this account may act for."}
	notJSON = &refusal{code: http.StatusUnsupportedMediaType, name: "UnsupportedMediaType",
		text: "The body has to be JSON: send Content-Type: application/json."}
	bodyTooLarge = &refusal{code: http.StatusRequestEntityTooLarge, name: "RequestEntityTooLarge",
		text: fmt.Sprintf("The body is larger than %d KiB.", maxBody>>10)}
	bodyTooSlow = &refusal{code: http.StatusRequestTimeout, name: "RequestTimeout",
		text: "The body took too long to arrive: send the request again."}
	badBody = badRequest(`The body cannot be read. Send a JSON object, such as {"planId": "gold"}, {"quantity": 5} or {"status": "Success"}; a quantity is a whole number.`)

	tooManyRequests = busy("The service is working on as many requests as it can: try again in a second.", time.Second)
	tooManyReviews  = busy("Too many unknown credentials are being sent to the service: try again in a second.", time.Second)
	tooManySearches = busy("Too many unknown subscriptions are being asked for: try again in some seconds.", 5*time.Second)
	// An operation can be refused for terms.AnswerTime: a Failure that meets this
	// has to come again, several times if need be, well before that is over.
	unavailable = busy("The service cannot reach what it needs to at the moment, so it is not known whether the request was carried out. Try again in a second.", time.Second)
	internal    = &refusal{code: http.StatusInternalServerError, name: "InternalServerError",
		text: "The request failed because of a fault of the service, which is in its log under the x-ms-requestid of this answer. Try again, and if it stays so, tell whoever runs the service."}
)

func badRequest(format string, args ...any) *refusal {
	return &refusal{code: http.StatusBadRequest, name: "BadRequest", text: fmt.Sprintf(format, args...)}
}

func conflict(format string, args ...any) *refusal {
	return &refusal{code: http.StatusConflict, name: "Conflict", text: fmt.Sprintf(format, args...)}
}

func busy(text string, retry time.Duration) *refusal {
	return &refusal{code: http.StatusServiceUnavailable, name: "ServiceUnavailable", text: text, retry: retry}
}

func versionRefusal(code, text string) *refusal {
	var body saasapi.VersionErrorBody
	body.Error.Code, body.Error.Message = code, text
	return &refusal{code: http.StatusBadRequest, text: text, body: body}
}

func methodNotAllowed(method string, methods map[string]call) *refusal {
	allow := strings.Join(slices.Sorted(maps.Keys(methods)), ", ")
	return &refusal{code: http.StatusMethodNotAllowed, name: "MethodNotAllowed", header: map[string]string{"Allow": allow},
		text: fmt.Sprintf("This path cannot be called with %.20q, only with %s.", method, allow)}
}

// refused is the answer to what could not be done.
func refused(logger logr.Logger, what string, err error) *answer {
	r := new(refusal)
	if !errors.As(err, &r) {
		r = internal
		if isAway(err) {
			r = unavailable
		}
		logger.Error(withoutURL(err), "a call of the fulfilment API failed", "call", what, "code", r.code)
	}
	a := &answer{code: r.code, body: r.body, header: r.header}
	if a.body == nil {
		a.body = saasapi.ErrorBody{Error: saasapi.Error{Code: r.name, Message: r.text}}
	}
	if r.retry > 0 {
		a.header = map[string]string{"Retry-After": strconv.Itoa(int(r.retry.Seconds()))}
	}
	return a
}

// away is an error of what the service needs to have in order to answer at
// all, whatever the error is: it may come yet.
type away struct{ error }

func (a away) Unwrap() error { return a.error }

// isAway reports whether an error may pass: the API server, or what is on the
// way to it, is away, slow or busy.
func isAway(err error) bool {
	var network net.Error
	var dialled *url.Error
	var status apierrors.APIStatus
	switch {
	case errors.As(err, new(away)):
		return true
	case errors.As(err, &status):
		code := status.Status().Code
		return code >= 500 || code == http.StatusTooManyRequests || code == http.StatusConflict
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return true
	}
	return errors.As(err, &network) || errors.As(err, &dialled)
}

// withoutURL leaves out of an error the address that was asked, which may hold
// what a client sent.
func withoutURL(err error) error {
	if u := new(url.Error); errors.As(err, &u) {
		return u.Err
	}
	return err
}

// setHeaders sets the headers of every answer, and returns the request's id.
func setHeaders(h http.Header, asked http.Header) (id string) {
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	for _, name := range []string{"x-ms-correlationid", "x-ms-requestid"} {
		id = asked.Get(name)
		if !isName(id) {
			id = uuid.NewString()
		}
		h.Set(name, id)
	}
	return id
}

// isName reports whether a client's name for a request can be sent back and
// logged.
func isName(s string) bool {
	if s == "" || len(s) > 128 {
		return false
	}
	for _, c := range []byte(s) {
		if c < '!' || c > '~' || strings.IndexByte(`"<>\`, c) >= 0 {
			return false
		}
	}
	return true
}

func (a *answer) write(w http.ResponseWriter) {
	for name, value := range a.header {
		w.Header().Set(name, value)
	}
	text, raw := a.body.([]byte)
	if a.body != nil && !raw {
		text, _ = json.Marshal(a.body) // all are plain structs
	}
	if len(text) > 0 && w.Header().Get("Content-Type") == "" {
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(a.code)
	_, _ = w.Write(text) // the client may have gone
}
