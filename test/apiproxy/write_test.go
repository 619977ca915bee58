package apiproxy

import "testing"

func TestParsePath(t *testing.T) {
	for path, want := range map[string]Object{
		"/api/v1/namespaces":                              {Version: "v1", Resource: "namespaces"},
		"/api/v1/namespaces/a":                            {Version: "v1", Resource: "namespaces", Name: "a"},
		"/api/v1/namespaces/a/finalize":                   {Version: "v1", Resource: "namespaces", Name: "a", Subresource: "finalize"},
		"/api/v1/namespaces/a/status":                     {Version: "v1", Resource: "namespaces", Name: "a", Subresource: "status"},
		"/api/v1/namespaces/a/secrets":                    {Version: "v1", Namespace: "a", Resource: "secrets"},
		"/api/v1/namespaces/a/secrets/b":                  {Version: "v1", Namespace: "a", Resource: "secrets", Name: "b"},
		"/api/v1/namespaces/a/pods/b/proxy/c/d":           {Version: "v1", Namespace: "a", Resource: "pods", Name: "b", Subresource: "proxy"},
		"/api/v1/nodes/n/status":                          {Version: "v1", Resource: "nodes", Name: "n", Subresource: "status"},
		"/apis/apps/v1/deployments":                       {Group: "apps", Version: "v1", Resource: "deployments"},
		"/apis/apps/v1/namespaces/a/deployments/b/":       {Group: "apps", Version: "v1", Namespace: "a", Resource: "deployments", Name: "b"},
		"/apis/apps/v1/namespaces/a/deployments/b/scale":  {Group: "apps", Version: "v1", Namespace: "a", Resource: "deployments", Name: "b", Subresource: "scale"},
		"/apis/g.example.com/v1alpha1/widgets/w/status":   {Group: "g.example.com", Version: "v1alpha1", Resource: "widgets", Name: "w", Subresource: "status"},
		"/apis/rbac.authorization.k8s.io/v1/clusterroles": {Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "clusterroles"},
	} {
		if got, ok := ParsePath(path); !ok || got != want {
			t.Errorf("%s: got %+v, %v, want %+v", path, got, ok, want)
		}
	}
	for _, path := range []string{"", "/", "/api", "/api/v1", "/apis/apps", "/apis/apps/v1", "/healthz", "/openapi/v3/api/v1", "/version"} {
		if got, ok := ParsePath(path); ok {
			t.Errorf("%q: got %+v, want none", path, got)
		}
	}
}

func TestCounted(t *testing.T) {
	for path, want := range map[string]bool{
		"/api/v1/namespaces/a/secrets":                                  true,
		"/api/v1/namespaces/a/serviceaccounts/b":                        true,
		"/api/v1/namespaces/a/serviceaccounts/b/token":                  false,
		"/api/v1/namespaces/a/events":                                   false,
		"/apis/events.k8s.io/v1/namespaces/a/events/e":                  false,
		"/apis/coordination.k8s.io/v1/namespaces/a/leases/l":            false,
		"/apis/authentication.k8s.io/v1/tokenreviews":                   false,
		"/apis/authentication.k8s.io/v1/selfsubjectreviews":             false,
		"/apis/authorization.k8s.io/v1/subjectaccessreviews":            false,
		"/apis/authorization.k8s.io/v1/selfsubjectrulesreviews":         false,
		"/apis/rbac.authorization.k8s.io/v1/clusterroles/r":             true,
		"/apis/admissionregistration.k8s.io/v1/mutatingwebhooks/events": true,
	} {
		o, ok := ParsePath(path)
		if !ok {
			t.Fatalf("%s: not parsed", path)
		}
		if got := counted(o); got != want {
			t.Errorf("%s: got %v, want %v", path, got, want)
		}
	}
}
