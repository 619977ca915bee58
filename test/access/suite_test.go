// Package access tests who may do what: the roles of config/rbac and the
// policies of config/policy, on a real control plane with the manifests of
// config/default. The operator does not run: an administrator writes the
// status that sets the scene.
package access

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/test/controlplane"
)

const (
	operatorNamespace = "license-operator-system"
	masterName        = "admin" // of the administrator in the group system:masters
)

var (
	cluster *controlplane.ControlPlane
	live    client.Client // of an administrator
	scheme  = runtime.NewScheme()
	serial  atomic.Int32
)

func TestMain(m *testing.M) {
	code, err := runSuite(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "FAIL:", err)
		code = 1
	}
	os.Exit(code)
}

func runSuite(m *testing.M) (int, error) {
	ctx := context.Background()
	log.SetLogger(zap.New(zap.WriteTo(io.Discard))) // or it complains that there is none
	dir, err := os.MkdirTemp("", "access-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	if cluster, err = controlplane.Start(ctx, controlplane.Options{Dir: dir, ControllerManager: true}); err != nil {
		return 1, err
	}
	defer cluster.Stop()
	if _, err := cluster.Run(ctx, "apply", "--server-side", "-k", "../../config/default"); err != nil {
		return 1, err
	}
	if _, err := cluster.Run(ctx, "wait", "--for=condition=Established", "crd", "--all"); err != nil {
		return 1, err
	}
	_ = clientgoscheme.AddToScheme(scheme)
	_ = v1alpha1.AddToScheme(scheme)
	if live, err = client.New(cluster.Config, client.Options{Scheme: scheme}); err != nil {
		return 1, err
	}
	if err := policiesLoaded(ctx); err != nil {
		return 1, err
	}
	return m.Run(), nil
}

// policiesLoaded waits until the API server asks all policies. It learns of
// them in the order in which they were made, so one more is made, and once
// that refuses, the others are in force too.
func policiesLoaded(ctx context.Context) error {
	name := metav1.ObjectMeta{Name: fmt.Sprintf("last-%d", serial.Add(1))}
	policy := &admissionregistrationv1.ValidatingAdmissionPolicy{ObjectMeta: name, Spec: admissionregistrationv1.ValidatingAdmissionPolicySpec{
		MatchConstraints: &admissionregistrationv1.MatchResources{ResourceRules: []admissionregistrationv1.NamedRuleWithOperations{{
			ResourceNames: []string{name.Name},
			RuleWithOperations: admissionregistrationv1.RuleWithOperations{
				Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
				Rule:       admissionregistrationv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"configmaps"}},
			},
		}}},
		Validations: []admissionregistrationv1.Validation{{Expression: "false"}},
	}}
	binding := &admissionregistrationv1.ValidatingAdmissionPolicyBinding{ObjectMeta: name, Spec: admissionregistrationv1.ValidatingAdmissionPolicyBindingSpec{
		PolicyName: name.Name, ValidationActions: []admissionregistrationv1.ValidationAction{admissionregistrationv1.Deny},
	}}
	for _, o := range []client.Object{policy, binding} {
		if err := live.Create(ctx, o); err != nil {
			return err
		}
	}
	return poll(ctx, func() error {
		err := live.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name.Name}}, client.DryRunAll)
		if apierrors.IsInvalid(err) || apierrors.IsForbidden(err) {
			return nil
		}
		return fmt.Errorf("waiting for the policies: %w", errors.Join(err, errors.New("the last one does not refuse")))
	})
}

// poll asks until check returns nil, for at most 40 seconds, and returns its
// last answer.
func poll(ctx context.Context, check func() error) error {
	var err error
	for deadline := time.Now().Add(40 * time.Second); time.Now().Before(deadline) && ctx.Err() == nil; time.Sleep(20 * time.Millisecond) {
		if err = check(); err == nil {
			return nil
		}
	}
	return err
}

// customer makes a namespace of its own for a test.
func customer(t *testing.T) string {
	t.Helper()
	name := fmt.Sprintf("customer-%d", serial.Add(1))
	create(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
	return name
}

func create(t *testing.T, o client.Object) {
	t.Helper()
	if err := live.Create(t.Context(), o); err != nil {
		t.Fatal(err)
	}
}

// user returns the configuration of somebody whom an administrator
// impersonates.
func user(name string) *rest.Config {
	config := rest.CopyConfig(cluster.Config)
	config.Impersonate = rest.ImpersonationConfig{UserName: name, Groups: []string{"system:authenticated"}}
	return config
}

// serviceAccount makes a service account if there is none, and returns its
// kubeconfig and the configuration from it.
func serviceAccount(t *testing.T, namespace, name string) (string, *rest.Config) {
	t.Helper()
	err := live.Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
	path, err := cluster.ServiceAccountKubeconfig(t.Context(), namespace, name)
	if err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		t.Fatal(err)
	}
	config.QPS = -1
	return path, config
}

func clientOf(t *testing.T, config *rest.Config) client.Client {
	t.Helper()
	c, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// bind gives a ClusterRole in a namespace, or everywhere if that is empty.
func bind(t *testing.T, namespace, role string, subjects ...rbacv1.Subject) {
	t.Helper()
	name := fmt.Sprintf("test-%d", serial.Add(1))
	ref := rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role}
	if namespace == "" {
		create(t, &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: name}, RoleRef: ref, Subjects: subjects})
		return
	}
	create(t, &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, RoleRef: ref, Subjects: subjects})
}

func userSubject(name string) rbacv1.Subject {
	return rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: name}
}

func accountSubject(namespace, name string) rbacv1.Subject {
	return rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: name}
}

// may waits until somebody may do something: what RBAC was told takes effect a
// moment later.
func may(t *testing.T, config *rest.Config, namespace, verb, group, resource string) {
	t.Helper()
	if err := poll(t.Context(), func() error { return ask(t, config, namespace, verb, group, resource, "", true) }); err != nil {
		t.Fatal(err)
	}
}

// checkRefused checks that a policy, and not something else, refused a
// request, in these words. No policy means that the request went through.
func checkRefused(t *testing.T, err error, policy string, words ...string) {
	t.Helper()
	if policy == "" {
		if err != nil {
			t.Errorf("refused: %v", err)
		}
		return
	}
	if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "ValidatingAdmissionPolicy '"+policy+"' with binding '"+policy+"' denied request: ") {
		t.Errorf("not refused by the policy %s: %v", policy, err)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%q does not say %q", err, w)
		}
	}
}
