package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
)

const purchaseYAML = `
apiVersion: license-operator.io/v1alpha1
kind: SelfServicePurchase
metadata: {name: %[1]s, namespace: %[2]s}
spec:
  productRef: {name: %[3]s}
  type: Purchase
  paymentMethod: true
  purchaser: {username: %[4]s, email: ada@contoso.example}
  assignedUsers: [ada@contoso.example]
`

// Without an operator the API server refuses what a policy blocks and takes what
// it allows, which is bought when the operator is back.
func TestPolicyWithoutOperator(t *testing.T) {
	c := newCompany(t)
	blocked := newCompany(t).service
	ada, err := cluster.UserKubeconfig("ada")
	if err != nil {
		t.Fatal(err)
	}
	c.create(&rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: c.customer, Name: "employees"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "license-operator-employee"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: "ada"}},
	})
	kubectl := func(name, product, purchaser string, flags ...string) (string, error) {
		file := filepath.Join(t.TempDir(), "purchase.yaml")
		if err := os.WriteFile(file, fmt.Appendf(nil, purchaseYAML, name, c.customer, product, purchaser), 0o600); err != nil {
			t.Fatal(err)
		}
		return cluster.RunAs(t.Context(), ada, append([]string{"create", "-f", file}, flags...)...)
	}
	eventually(t, "waiting for the role", func() error {
		_, err := kubectl("early", blocked, "ada", "--dry-run=server")
		return err
	})
	// It is asked for while nothing speaks against it, and looked at too late.
	if _, err := kubectl("early", blocked, "ada"); err != nil {
		t.Fatal(err)
	}
	policy := &v1alpha1.SelfServicePolicy{ObjectMeta: metav1.ObjectMeta{Namespace: c.customer, Name: "what-employees-may-buy"}, Spec: v1alpha1.SelfServicePolicySpec{
		Default: v1alpha1.SelfServiceBlock, Contact: "licences@contoso.example",
		Products: []v1alpha1.ProductPolicy{{Name: c.service, Value: v1alpha1.SelfServiceAllow}},
	}}
	c.create(policy)
	eventually(t, "waiting until the policy holds", func() error {
		if _, err := kubectl("late", blocked, "ada", "--dry-run=server"); err == nil {
			return fmt.Errorf("what it blocks is let through")
		}
		return nil
	})

	out, err := kubectl("late", blocked, "ada")
	for _, words := range []string{"what-employees-may-buy", "licences@contoso.example", blocked} {
		if err == nil || !strings.Contains(err.Error()+out, words) {
			t.Errorf("what is blocked: %q, %v, without %q", out, err, words)
		}
	}
	if out, err = kubectl("others", c.service, "bob"); err == nil || !strings.Contains(err.Error()+out, "ada") {
		t.Errorf("in another one's name: %q, %v", out, err)
	}
	if out, err = kubectl("allowed", c.service, "ada"); err != nil {
		t.Errorf("what is allowed: %q, %v", out, err)
	}

	startOperator(t, kubeconfig, "--serve=controllers")
	eventually(t, "waiting for what is allowed", func() error {
		return c.hasState("allowed", v1alpha1.SelfServiceActive, "ada@contoso.example")
	})
	eventually(t, "waiting until what slipped through is refused", func() error {
		p, err := c.purchase("early")
		if err != nil {
			return err
		}
		if s := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.ConditionStalled); s == nil || s.Reason != v1alpha1.ReasonBlockedByPolicy || !strings.Contains(s.Message, policy.Name) {
			return fmt.Errorf("it is not: %+v", p.Status)
		}
		return nil
	})
	if order, err := c.theOrder(); err != nil || order.Spec.Purchase.Name != "allowed" {
		t.Errorf("the ledger: %+v, %v", order, err)
	}
	eventually(t, "waiting for the policy's status", func() error {
		if err := live.Get(t.Context(), client.ObjectKeyFromObject(policy), policy); err != nil {
			return err
		}
		for _, p := range policy.Status.Products {
			if p.Name == c.service && p.Value == v1alpha1.SelfServiceAllow && p.Source == v1alpha1.PolicyListed {
				return nil
			}
		}
		return fmt.Errorf("it says %+v", policy.Status)
	})
}
