package downloads

import (
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/license-operator/license-operator/api/v1alpha1"
)

// The service's account may do what it needs, and nothing that would give away
// a key or a link.
func TestAccount(t *testing.T) {
	own, err := kubernetes.NewForConfig(account)
	if err != nil {
		t.Fatal(err)
	}
	for verbs, tc := range map[string]struct {
		group, resource, subresource string
		allowed                      bool
	}{
		"get list watch":  {"license-operator.io", "softwaresubscriptions", "", true},
		"get list  watch": {"license-operator.io", "products", "", true},
		"patch":           {"license-operator.io", "softwaresubscriptions", "status", true},
		"create update patch delete deletecollection": {"license-operator.io", "softwaresubscriptions", "", false},
		"update delete":                              {"license-operator.io", "softwaresubscriptions", "status", false},
		"create update patch delete":                 {"license-operator.io", "products", "", false},
		"get list watch create patch":                {"license-operator.io", "licensekeys", "", false},
		"get list watch patch":                       {"license-operator.io", "keyissuers", "", false},
		"get list watch create update patch delete":  {"", "secrets", "", false},
		"get list watch create update patch delete ": {"", "configmaps", "", false},
		"create":                      {"", "serviceaccounts", "token", false},
		"get list create":             {"", "pods", "", false},
		"impersonate":                 {"", "serviceaccounts", "", false},
		"bind escalate create update": {"rbac.authorization.k8s.io", "clusterroles", "", false},
	} {
		for _, verb := range strings.Fields(verbs) {
			for _, namespace := range []string{"", operatorNamespace, "default"} {
				review, err := own.AuthorizationV1().SelfSubjectAccessReviews().Create(t.Context(), &authorizationv1.SelfSubjectAccessReview{
					Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &authorizationv1.ResourceAttributes{
						Namespace: namespace, Verb: verb, Group: tc.group, Resource: tc.resource, Subresource: tc.subresource,
					}},
				}, metav1.CreateOptions{})
				if err != nil {
					t.Fatal(err)
				}
				if review.Status.Allowed != tc.allowed {
					t.Errorf("%s %s/%s in %q: allowed is %v", verb, tc.resource, tc.subresource, namespace, review.Status.Allowed)
				}
			}
		}
	}
	// Trying says the same.
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: operatorNamespace, Name: "pool"}, StringData: map[string]string{"keys": "x"}}
	if err := live.Create(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	secrets := own.CoreV1().Secrets(operatorNamespace)
	if _, err := secrets.Get(t.Context(), "pool", metav1.GetOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("reading a Secret: %v", err)
	}
	if _, err := own.CoreV1().Secrets("").List(t.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("listing Secrets: %v", err)
	}
	if _, err := secrets.Watch(t.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("watching Secrets: %v", err)
	}
}

// The service runs as a manager runs it: with a cache and a leader election of
// others, and as its account.
func TestUnderManager(t *testing.T) {
	s := newShopClosed(t)
	mgr, err := ctrl.NewManager(account, ctrl.Options{Scheme: scheme, Metrics: metricsserver.Options{BindAddress: "0"}, HealthProbeBindAddress: "0"})
	if err != nil {
		t.Fatal(err)
	}
	if err := Register(t.Context(), mgr.GetFieldIndexer()); err != nil {
		t.Fatal(err)
	}
	s.svc.Client, s.svc.Live, s.svc.Listen = mgr.GetClient(), mgr.GetAPIReader(), freeAddress(t)
	if err := mgr.Add(s.store); err != nil {
		t.Fatal(err)
	}
	if err := mgr.Add(s.svc); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- mgr.Start(ctx) }()
	s.verify() // by the manager, because the service asked for it
	s.url = "http://" + s.svc.Listen
	s.want("page", s.ask("GET", s.page()), 200, "")
	a := s.ask("GET", s.file())
	if a.StatusCode != http.StatusOK || a.body != string(s.content) || s.sub().Status.Download.FirstDownloadedAt == nil {
		t.Errorf("file: got %d with %d bytes", a.StatusCode, len(a.body))
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// An address that is taken is an error that says which flag to change.
func TestAddressTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := (&Service{Listen: l.Addr().String()}).Start(t.Context()); err == nil || !strings.Contains(err.Error(), "set --downloads-listen") {
		t.Errorf("got %v", err)
	}
}

// The API server takes the Deployment, and its pods in the operator's
// namespace, whose pod security is restricted.
func TestManifests(t *testing.T) {
	out, err := plane.Run(t.Context(), "apply", "--dry-run=server", "--warnings-as-errors", "-k", filepath.Join("..", "..", "config", "manager"))
	if err != nil || !strings.Contains(out, "deployment.apps/license-operator-downloads created") || !strings.Contains(out, "service/license-operator-downloads created") {
		t.Errorf("%s, %v", out, err)
	}
	text, err := os.ReadFile(filepath.Join("..", "..", "config", "manager", "downloads.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, arg := range []string{"--serve=downloads", "--downloads-listen=:8082", "--artifacts=file:///artifacts"} {
		if !strings.Contains(string(text), "- "+arg+"\n") {
			t.Errorf("the Deployment lacks %s", arg)
		}
	}
}

// The API server selects subscriptions by what the index is called.
func TestSelectableField(t *testing.T) {
	s := newShopClosed(t)
	var subs v1alpha1.SoftwareSubscriptionList
	hash := s.sub().Status.Download.TokenHash
	if err := live.List(t.Context(), &subs, client.MatchingFields{IndexTokenHash: hash}); err != nil || len(subs.Items) != 1 || subs.Items[0].Name != s.name {
		t.Errorf("got %d, %v", len(subs.Items), err)
	}
}
