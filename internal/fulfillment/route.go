package fulfillment

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/license-operator/license-operator/internal/saasapi"
)

// request is what a publisher asks for.
type request struct {
	*http.Request
	id, operation string   // from the path, in lower case
	publishers    []string // that the caller acts for, at least one
	body          any      // of the type of the call
	now           time.Time
}

// answer is what is sent back.
type answer struct {
	code   int
	body   any // as JSON; nil: none; []byte: as it is
	header map[string]string
}

// call is one of the calls of the API.
type call struct {
	name   string // in metrics and logs
	public bool   // anybody may make it
	body   func() any
	handle func(*Service, context.Context, *request) (*answer, error)
}

// target is a call with what it is about.
type target struct {
	call
	id, operation string
}

// Paths of the API below /api. In these, * is a UUID.
var calls = map[string]map[string]call{
	"saas/subscriptions": {
		http.MethodGet: {name: "list", handle: (*Service).list},
	},
	"saas/subscriptions/resolve": {
		http.MethodPost: {name: "resolve", handle: (*Service).resolve},
	},
	"saas/subscriptions/*": {
		http.MethodGet:    {name: "get", handle: (*Service).get},
		http.MethodPatch:  {name: "change", handle: (*Service).change, body: func() any { return new(saasapi.SubscriberPlan) }},
		http.MethodDelete: {name: "end", handle: (*Service).end},
	},
	"saas/subscriptions/*/activate": {
		http.MethodPost: {name: "activate", handle: (*Service).activate, body: func() any { return new(saasapi.SubscriberPlan) }},
	},
	"saas/subscriptions/*/listavailableplans": {
		http.MethodGet: {name: "plans", handle: (*Service).plans},
	},
	"saas/subscriptions/*/operations": {
		http.MethodGet: {name: "operations", handle: (*Service).operations},
	},
	"saas/subscriptions/*/operations/*": {
		http.MethodGet:   {name: "operation", handle: (*Service).operation},
		http.MethodPatch: {name: "answer", handle: (*Service).answerOperation, body: func() any { return new(saasapi.UpdateOperation) }},
	},
	".well-known/openid-configuration": {
		http.MethodGet:  {name: "discovery", handle: (*Service).discovery, public: true},
		http.MethodHead: {name: "discovery", handle: (*Service).discovery, public: true},
	},
	".well-known/jwks.json": {
		http.MethodGet:  {name: "keys", handle: (*Service).keys, public: true},
		http.MethodHead: {name: "keys", handle: (*Service).keys, public: true},
	},
}

// route returns what a path and a method ask for. Clients put /api into their
// base address or not, end paths with a slash or not, and write them in their
// own capitals.
func route(path, method string) (target, error) {
	t := target{call: call{name: "unknown"}}
	parts := strings.FieldsFunc(strings.ToLower(path), func(r rune) bool { return r == '/' })
	if len(parts) > 0 && parts[0] == "api" {
		parts = parts[1:]
	}
	for i, p := range parts {
		if i != 2 && i != 4 || !isID(p) {
			continue
		}
		parts[i] = "*"
		if i == 2 {
			t.id = p
		} else {
			t.operation = p
		}
	}
	methods, ok := calls[strings.Join(parts, "/")]
	if !ok {
		return t, unknownPath
	}
	if t.call, ok = methods[method]; !ok {
		t.call = call{name: "unknown"}
		return t, methodNotAllowed(method, methods)
	}
	return t, nil
}

func isID(s string) bool { return len(s) == 36 && uuid.Validate(s) == nil }

// checkVersion makes sure that the client expects this version of the API.
func checkVersion(query url.Values) error {
	switch version := query.Get("api-version"); version {
	case saasapi.APIVersion:
		return nil
	case "":
		return versionUnspecified
	default:
		return versionUnsupported
	}
}

// readBody reads JSON.
func readBody(w http.ResponseWriter, r *http.Request, of func() any) (any, error) {
	if t := r.Header.Get("Content-Type"); t != "" {
		media, _, err := mime.ParseMediaType(t)
		if err != nil || media != "application/json" && media != "text/json" && !strings.HasSuffix(media, "+json") {
			return nil, notJSON
		}
	}
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	switch tooLarge := new(http.MaxBytesError); {
	case errors.As(err, &tooLarge):
		return nil, bodyTooLarge
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, bodyTooSlow
	case err != nil:
		return nil, badRequest("The body could not be read as a whole: send the request again.")
	}
	body := of()
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf")) // some clients begin with a byte order mark
	if err := json.Unmarshal(text, body); err != nil || !bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")) {
		return nil, badBody
	}
	return body, nil
}
