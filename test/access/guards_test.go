package access

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
)

// The people and accounts that the guards tell apart.
type cast struct {
	operator         client.Client // its service account, with the roles of config/rbac
	otherOperator    client.Client // another account with its roles, and more verbs for Secrets and all our kinds
	fulfillment      client.Client // the fulfilment service's account, with the roles of config/rbac
	otherFulfillment client.Client // another account that writes all our kinds and holds "fulfill"
	master           client.Client // an administrator by the group system:masters
	administrator    client.Client // an administrator by cluster-admin
	careless         client.Client // writes all our kinds, and holds neither "issue" nor "fulfill"
	editor           client.Client // Kubernetes' own role "edit" in the customer's namespace
}

func newCast(t *testing.T, namespace string) cast {
	t.Helper()
	id := func(name string) string { return namespace + "-" + name }
	rules := func(name string, rule rbacv1.PolicyRule) {
		create(t, &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: []rbacv1.PolicyRule{rule}})
	}
	rules(id("careless"), rbacv1.PolicyRule{APIGroups: []string{ours}, Resources: []string{"*"}, Verbs: strings.Fields(read + " " + write)})
	rules(id("secrets"), rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"*"}})
	bind(t, "", id("careless"), userSubject(id("careless")), userSubject(id("operator")), userSubject(id("fulfillment")))
	bind(t, "", "license-operator-fulfillment", userSubject(id("fulfillment")))
	for _, role := range []string{"license-operator-controllers", "license-operator-ledger-writer", id("secrets")} {
		bind(t, "", role, userSubject(id("operator")))
	}
	bind(t, "", "cluster-admin", userSubject(id("administrator")))
	for _, ns := range []string{namespace, "kube-system"} {
		bind(t, ns, "edit", userSubject(id("editor")))
	}
	may(t, user(id("careless")), "", "delete", ours, "licensekeys")
	may(t, user(id("operator")), "", "issue", ours, "licensekeys")
	may(t, user(id("operator")), "", "delete", ours, "entitlements")
	may(t, user(id("fulfillment")), "", "fulfill", ours, "entitlements")
	may(t, user(id("fulfillment")), "", "delete", ours, "entitlements")
	may(t, user(id("operator")), "", "update", "", "secrets")
	may(t, user(id("administrator")), "", "*", "*", "*")
	may(t, user(id("editor")), "kube-system", "create", "", "secrets")
	_, operator := serviceAccount(t, operatorNamespace, "license-operator-controllers")
	_, fulfillment := serviceAccount(t, operatorNamespace, "license-operator-fulfillment")
	return cast{
		operator: clientOf(t, operator), otherOperator: clientOf(t, user(id("operator"))), master: live,
		fulfillment: clientOf(t, fulfillment), otherFulfillment: clientOf(t, user(id("fulfillment"))),
		administrator: clientOf(t, user(id("administrator"))), careless: clientOf(t, user(id("careless"))), editor: clientOf(t, user(id("editor"))),
	}
}

// Kubernetes checks the policies' validations against the schemas of what they
// guard, and finds nothing. Else a misspelt field would refuse all.
func TestPoliciesFitTheKinds(t *testing.T) {
	var policies admissionregistrationv1.ValidatingAdmissionPolicyList
	if err := live.List(t.Context(), &policies, client.MatchingLabels{"app.kubernetes.io/name": "license-operator"}); err != nil {
		t.Fatal(err)
	}
	if len(policies.Items) != 19 {
		t.Errorf("%d policies, want the 19 that the docs tell of", len(policies.Items))
	}
	for _, p := range policies.Items {
		err := poll(t.Context(), func() error {
			err := live.Get(t.Context(), client.ObjectKeyFromObject(&p), &p)
			if err == nil && (p.Status.TypeChecking == nil || p.Status.ObservedGeneration != p.Generation) {
				err = errors.New("it is not checked yet")
			}
			return err
		})
		if err != nil {
			t.Errorf("%s: %v", p.Name, err)
			continue
		}
		for _, w := range p.Status.TypeChecking.ExpressionWarnings {
			t.Errorf("%s, %s: %s", p.Name, w.FieldRef, w.Warning)
		}
	}
}

// The API server warns of no pod that the operator's namespace would not run.
func TestDeploymentsAreRestricted(t *testing.T) {
	if out, err := cluster.Run(t.Context(), "apply", "--server-side", "--dry-run=server", "--warnings-as-errors", "-k", "../../config/manager"); err != nil {
		t.Error(out, err)
	}
}

// The ledger is written by whoever holds the verb "issue".
func TestLedger(t *testing.T) {
	const policy, words = "license-operator-ledger", "the ledger is written by the operator alone: buy, change or cancel a subscription instead"
	c := newCast(t, customer(t))
	end := client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"state":"Revoked","endedAt":"2026-03-01T12:00:00Z"}}`))
	digit := 0
	for name, tc := range map[string]struct {
		as     client.Client
		policy string
	}{
		"the operator's service account":        {c.operator, ""},
		"the operator under another account":    {c.otherOperator, ""},
		"an administrator by system:masters":    {c.master, ""},
		"an administrator by cluster-admin":     {c.administrator, ""},
		"somebody whom RBAC lets by carelessly": {c.careless, policy},
	} {
		t.Run(name, func(t *testing.T) {
			digit++
			entry := ledgerEntry(fmt.Sprint(digit))
			checkRefused(t, tc.as.Create(t.Context(), entry.DeepCopy(), client.DryRunAll), tc.policy, words)
			create(t, entry)
			checkRefused(t, tc.as.Patch(t.Context(), entry.DeepCopy(), end), tc.policy, words)
			checkRefused(t, tc.as.Delete(t.Context(), entry.DeepCopy()), tc.policy, words)
		})
	}
	end = client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"endedAt":"2026-03-02T12:00:00Z","endReason":"Cancelled"}}`))
	for name, tc := range map[string]struct {
		as      client.Client
		policy  string
		updates string // the policy for updates, if it is another
	}{
		"services: the operator under another account":             {c.otherOperator, "", ""},
		"services: an administrator by system:masters":             {c.master, "", ""},
		"services: an administrator by cluster-admin":              {c.administrator, "", ""},
		"services: somebody whom RBAC lets by carelessly":          {c.careless, policy, policy},
		"services: whoever has only the fulfilment service's verb": {c.otherFulfillment, policy, "license-operator-fulfillment"},
	} {
		t.Run(name, func(t *testing.T) {
			told, ended := words, words
			if tc.updates != policy {
				ended = "only its customer cancels it"
			}
			entry := entitlement(fmt.Sprintf("coffee-%d", serial.Add(1)))
			checkRefused(t, tc.as.Create(t.Context(), entry.DeepCopy(), client.DryRunAll), tc.policy, told)
			create(t, entry)
			checkRefused(t, tc.as.Patch(t.Context(), entry.DeepCopy(), end), tc.updates, ended)
			checkRefused(t, tc.as.Delete(t.Context(), entry.DeepCopy()), tc.policy, told)
		})
	}
	t.Run("an administrator's deletion in the foreground ends", func(t *testing.T) {
		entry := ledgerEntry("f")
		create(t, entry)
		if err := live.Delete(t.Context(), entry, client.PropagationPolicy(metav1.DeletePropagationForeground)); err != nil {
			t.Fatal(err)
		}
		err := poll(t.Context(), func() error {
			if err := live.Get(t.Context(), client.ObjectKeyFromObject(entry), entry); !apierrors.IsNotFound(err) {
				return fmt.Errorf("it is there, with finalizers %v: %w", entry.Finalizers, err)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
}

// secretOf is what the operator delivers to a customer, changed as a test
// wants it.
func secretOf(namespace string, change ...func(*corev1.Secret)) *corev1.Secret {
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{
		Namespace: namespace, Name: fmt.Sprintf("secret-%d", serial.Add(1)),
		Labels:          map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedByOperator},
		OwnerReferences: []metav1.OwnerReference{ownedBy(v1alpha1.GroupVersion.String(), "SoftwareSubscription")},
	}}
	for _, f := range change {
		f(s)
	}
	return s
}

func ownedBy(apiVersion, kind string) metav1.OwnerReference {
	return metav1.OwnerReference{APIVersion: apiVersion, Kind: kind, Name: "existing", UID: "1", Controller: ptr.To(true)}
}

func typed(as corev1.SecretType) func(*corev1.Secret) {
	return func(s *corev1.Secret) {
		s.Type = as
		if as == corev1.SecretTypeServiceAccountToken {
			s.Annotations = map[string]string{corev1.ServiceAccountNameKey: "default"}
		}
		if as == corev1.SecretTypeBasicAuth {
			s.StringData = map[string]string{"username": "ada"}
		}
	}
}

func unowned(s *corev1.Secret)    { s.OwnerReferences = nil }
func unlabelled(s *corev1.Secret) { s.Labels = nil }
func labelledOtherwise(s *corev1.Secret) {
	s.Labels = map[string]string{v1alpha1.LabelManagedBy: "helm"}
}
func ownedByDeployment(s *corev1.Secret) {
	s.OwnerReferences = []metav1.OwnerReference{ownedBy("apps/v1", "Deployment")}
}
func ownedByService(s *corev1.Secret) {
	s.OwnerReferences = []metav1.OwnerReference{ownedBy(v1alpha1.GroupVersion.String(), "MarketplaceSubscription")}
}
func ownedByImpostor(s *corev1.Secret) {
	s.OwnerReferences = []metav1.OwnerReference{ownedBy("license-operator.io.example.com/v1alpha1", "SoftwareSubscription")}
}
func sharedWithDeployment(s *corev1.Secret) {
	also := ownedBy("apps/v1", "Deployment")
	also.Controller = nil
	s.OwnerReferences = append(s.OwnerReferences, also)
}

// The operator writes its own Secrets only, nobody else is hindered.
func TestSecrets(t *testing.T) {
	const (
		policy    = "license-operator-secrets"
		noLabel   = "this one lacks the label app.kubernetes.io/managed-by=license-operator"
		noType    = "of type Opaque only"
		noSystem  = "in namespaces of Kubernetes itself"
		noForeign = "another controller owns this one"
	)
	ns := customer(t)
	c := newCast(t, ns)
	owners := map[string]client.Object{
		"SoftwareSubscription":    existing(ns)["softwaresubscriptions"],
		"MarketplaceSubscription": existing(ns)["marketplacesubscriptions"],
		"Deployment": &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "existing"}, Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"a": "b"}},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"a": "b"}},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "a", Image: "a"}}},
			},
		}},
	}
	for _, o := range owners {
		create(t, o)
	}
	type change = func(*corev1.Secret)
	for name, tc := range map[string]struct {
		namespace string
		is        []change // how the Secret differs from a delivered one
		becomes   change   // by an update; nil: only created and deleted
		created   string   // what creating it is told; empty: allowed
		updated   string
		deleted   string
	}{
		"a key in a customer's namespace":       {namespace: ns},
		"a link to a publisher's site":          {namespace: ns, is: []change{ownedByService}},
		"a link that somebody relabels":         {namespace: ns, is: []change{ownedByService}, becomes: labelledOtherwise, updated: noLabel},
		"a signing key in its own namespace":    {namespace: operatorNamespace, is: []change{unowned}},
		"one without the label":                 {namespace: ns, is: []change{unlabelled, unowned}, created: noLabel, deleted: noLabel},
		"a key whose label was taken away":      {namespace: ns, is: []change{unlabelled}, created: noLabel},
		"one with another value of the label":   {namespace: ns, is: []change{labelledOtherwise, unowned}, created: noLabel, deleted: noLabel},
		"somebody's pool in its own namespace":  {namespace: operatorNamespace, is: []change{unowned, unlabelled}, created: noLabel, deleted: noLabel},
		"a service account's token":             {namespace: ns, is: []change{unowned, typed(corev1.SecretTypeServiceAccountToken)}, created: noType, deleted: noType},
		"a password":                            {namespace: ns, is: []change{typed(corev1.SecretTypeBasicAuth)}, created: noType, deleted: noType},
		"one in kube-system":                    {namespace: "kube-system", is: []change{unowned}, created: noSystem, deleted: noSystem},
		"one of a Deployment":                   {namespace: ns, is: []change{ownedByDeployment}, created: noForeign, deleted: noForeign},
		"one of a kind with a similar group":    {namespace: ns, is: []change{ownedByImpostor}, created: noForeign, deleted: noForeign},
		"a key that a Deployment refers to":     {namespace: ns, is: []change{sharedWithDeployment}},
		"its own, changed":                      {namespace: ns, becomes: func(s *corev1.Secret) { s.StringData = map[string]string{"key": "B"} }},
		"its own, losing the label":             {namespace: ns, becomes: unlabelled, updated: noLabel},
		"its own, handed to a Deployment":       {namespace: ns, becomes: ownedByDeployment, updated: noForeign},
		"a key getting its label back":          {namespace: ns, is: []change{unlabelled}, becomes: func(s *corev1.Secret) { s.Labels = secretOf("").Labels }, created: noLabel},
		"somebody's, getting the label":         {namespace: ns, is: []change{unlabelled, unowned}, becomes: func(s *corev1.Secret) { s.Labels = secretOf("").Labels }, created: noLabel, updated: noLabel, deleted: noLabel},
		"a Deployment's, taken away from it":    {namespace: ns, is: []change{ownedByDeployment}, becomes: unowned, created: noForeign, updated: noForeign, deleted: noForeign},
		"a token with the label, being changed": {namespace: ns, is: []change{unowned, typed(corev1.SecretTypeServiceAccountToken)}, becomes: func(s *corev1.Secret) { s.Data = nil }, created: noType, updated: noType, deleted: noType},
	} {
		t.Run(name, func(t *testing.T) {
			for who, as := range map[string]struct {
				client.Client
				bound bool
			}{
				"operator": {c.operator, true}, "other operator": {c.otherOperator, true},
				"master": {c.master, false}, "administrator": {c.administrator, false}, "editor": {c.editor, false},
			} {
				if who == "editor" && tc.namespace == operatorNamespace {
					continue // RBAC keeps him out
				}
				check := func(what string, err error, words string) {
					t.Helper()
					t.Run(who+" "+what, func(t *testing.T) {
						t.Helper()
						if as.bound && words != "" {
							checkRefused(t, err, policy, words)
						} else {
							checkRefused(t, err, "")
						}
					})
				}
				check("creates", as.Create(t.Context(), secretOf(tc.namespace, tc.is...), client.DryRunAll), tc.created)
				s := secretOf(tc.namespace, tc.is...)
				for i, o := range s.OwnerReferences { // or the garbage collector takes it away
					if real := owners[o.Kind]; real != nil {
						s.OwnerReferences[i].UID = real.GetUID()
					}
				}
				create(t, s)
				if tc.becomes != nil {
					changed := s.DeepCopy()
					tc.becomes(changed)
					changed.ResourceVersion = "" // tokens are filled in by a controller meanwhile
					check("updates", as.Update(t.Context(), changed, client.DryRunAll), tc.updated)
				}
				check("deletes", as.Delete(t.Context(), s), tc.deleted)
				_ = live.Delete(t.Context(), s)
			}
		})
	}
}

// The generated role of the operator is no wider than the policy assumes.
func TestOperatorHasNoVerbsBeyondItsWork(t *testing.T) {
	_, operator := serviceAccount(t, operatorNamespace, "license-operator-controllers")
	for verb, want := range map[string]bool{"create": true, "delete": true, "get": true, "list": true, "watch": true, "update": true, "patch": false, "deletecollection": false} {
		if err := ask(t, operator, "default", verb, "", "secrets", "", want); err != nil {
			t.Error(err)
		}
	}
}

// The downloads service records a first download, and writes nothing else.
func TestStatus(t *testing.T) {
	const policy = "license-operator-status"
	ns := customer(t)
	c := newCast(t, ns)
	_, config := serviceAccount(t, operatorNamespace, "license-operator-downloads")
	downloads := clientOf(t, config)
	at := metav1.NewTime(time.Now().Truncate(time.Second))
	began := func(d *v1alpha1.DownloadStatus) {
		d.FirstDownloadedAt, d.ExpiresAt = &at, ptr.To(metav1.NewTime(at.Add(time.Hour)))
	}
	for name, tc := range map[string]struct {
		change func(*v1alpha1.SoftwareSubscriptionStatus)
		words  string // of the refusal; empty: allowed
		begun  bool
	}{
		"a first download":                {change: func(s *v1alpha1.SoftwareSubscriptionStatus) { began(s.Download) }},
		"another link":                    {change: func(s *v1alpha1.SoftwareSubscriptionStatus) { s.Download.TokenHash = strings.Repeat("b", 64) }, words: "the first download and nothing else"},
		"no link":                         {change: func(s *v1alpha1.SoftwareSubscriptionStatus) { s.Download = nil }, words: "the first download and nothing else"},
		"another Secret to list for all":  {change: func(s *v1alpha1.SoftwareSubscriptionStatus) { s.Keys.SecretName = "passwords" }, words: "the first download and nothing else"},
		"a window that is open":           {change: func(s *v1alpha1.SoftwareSubscriptionStatus) { s.Cancellation.Open = true }, words: "the first download and nothing else"},
		"a condition":                     {change: func(s *v1alpha1.SoftwareSubscriptionStatus) { s.Conditions = nil }, words: "the first download and nothing else"},
		"everything":                      {change: func(s *v1alpha1.SoftwareSubscriptionStatus) { *s = v1alpha1.SoftwareSubscriptionStatus{} }, words: "the first download and nothing else"},
		"a first download, a second time": {change: func(s *v1alpha1.SoftwareSubscriptionStatus) { s.Download.ExpiresAt = &at }, words: "recorded once", begun: true},
		"a first download taken back":     {change: func(s *v1alpha1.SoftwareSubscriptionStatus) { s.Download.FirstDownloadedAt = nil }, words: "recorded once", begun: true},
	} {
		t.Run(name, func(t *testing.T) {
			sub := subscription(t, ns, fmt.Sprintf("sub-%d", serial.Add(1)), active(false, at.Time))
			sub.Status.Keys = &v1alpha1.IssuedKeys{Issued: 1, SecretName: sub.Name + "-key"}
			sub.Status.Download = &v1alpha1.DownloadStatus{Version: "2024", Language: "en-US", Architecture: "x64", TokenHash: strings.Repeat("a", 64)}
			if tc.begun {
				began(sub.Status.Download)
			}
			if err := c.operator.Status().Patch(t.Context(), sub, client.Merge); err != nil {
				t.Fatal(err)
			}
			for who, as := range map[string]struct {
				client.Client
				bound bool
			}{"downloads": {downloads, true}, "operator": {c.operator, false}, "administrator": {c.administrator, false}} {
				after := sub.DeepCopy()
				tc.change(&after.Status)
				err := as.Status().Patch(t.Context(), after, client.MergeFrom(sub), client.DryRunAll)
				if as.bound && tc.words != "" {
					checkRefused(t, err, policy, tc.words)
				} else if err != nil {
					t.Errorf("%s: %v", who, err)
				}
			}
		})
	}
}
