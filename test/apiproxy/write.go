package apiproxy

import (
	"net/http"
	"slices"
	"strings"
)

// Write describes one mutating request.
type Write struct {
	// Number counts the writes since the start or the last Reset, from 1.
	// Requests that change nothing of interest are not counted, see Proxy.
	Number int

	Method string // POST, PUT, PATCH or DELETE
	Path   string // without the query
	Object

	// Action is what was decided; unset while a hook runs.
	Action Action
	// Status is the HTTP status of the API server's answer; 0 if it did not
	// get the request, did not answer, or has not answered yet.
	Status int
}

// Object is what the path of a request to the API server refers to: an object,
// a part of one, or with no Name a collection.
type Object struct {
	Group       string // empty for the core group
	Version     string
	Resource    string // plural, as in the path
	Namespace   string // empty for a cluster-scoped resource
	Name        string // empty for a POST that creates, and a DELETE of a collection
	Subresource string
}

// ParsePath returns what the path of a request refers to. It reports false if
// that is not a resource, as for /healthz and the discovery of an API.
func ParsePath(path string) (Object, bool) {
	var o Object
	parts := strings.Split(strings.Trim(path, "/"), "/")
	switch {
	case len(parts) >= 3 && parts[0] == "api":
		o.Version, parts = parts[1], parts[2:]
	case len(parts) >= 4 && parts[0] == "apis":
		o.Group, o.Version, parts = parts[1], parts[2], parts[3:]
	default:
		return Object{}, false
	}
	// namespaces/x/y is the resource y in x, unless y is a subresource that a
	// namespace itself has.
	if len(parts) >= 3 && parts[0] == "namespaces" && parts[2] != "status" && parts[2] != "finalize" {
		o.Namespace, parts = parts[1], parts[2:]
	}
	o.Resource = parts[0]
	if len(parts) > 1 {
		o.Name = parts[1]
	}
	if len(parts) > 2 {
		o.Subresource = parts[2]
	}
	return o, true
}

func mutating(method string) bool {
	switch method {
	case http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete:
		return true
	}
	return false
}

// counted leaves out what an operator writes as it pleases, which would make
// the numbers differ from run to run, and questions that are asked by POST.
func counted(o Object) bool {
	switch o.Group {
	case "":
		return o.Resource != "events" && o.Subresource != "token"
	case "events.k8s.io", "authorization.k8s.io":
		return false
	case "authentication.k8s.io":
		return !slices.Contains([]string{"tokenreviews", "selfsubjectreviews"}, o.Resource)
	case "coordination.k8s.io":
		return o.Resource != "leases"
	}
	return true
}
