package e2e

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
)

// partnership is a customer with an agreement and an administrator, and a partner
// who knows its numbers and may register in a namespace of his own. Both have
// clients of their own.
type partnership struct {
	*shop
	home           string // the partner's namespace
	user           string // the partner
	spec           v1alpha1.PartnerAgreementSpec
	partner, admin client.Client
}

const (
	agreementName    = "open"
	registrationName = "mine"
)

// newPartnership makes both, for a customer of a shop. The administrator has his
// role once the operator has looked.
func newPartnership(s *shop) *partnership {
	t := s.t
	t.Helper()
	p := &partnership{shop: s}
	provable(t)
	number := serial.Add(1)
	p.user, p.home = fmt.Sprintf("gail-%d@northwind.example", number), p.name+"-partner"
	administrator := fmt.Sprintf("kim-%d", number)
	p.spec = v1alpha1.PartnerAgreementSpec{
		AuthorizationNumber: v1alpha1.AuthorizationNumber(fmt.Sprintf("94837261ZZ%05d", number)), LicenseNumber: v1alpha1.LicenseNumber(fmt.Sprintf("73%06d", number)),
		CustomerEmail:  v1alpha1.Email("it@" + p.customer + ".example"),
		Administrators: []v1alpha1.Subject{{Kind: "User", Name: administrator}},
	}
	numbersOfAgreements[string(p.spec.AuthorizationNumber)], numbersOfAgreements[string(p.spec.CustomerEmail)] = true, true
	p.partner, p.admin = clientOf(t, p.user), clientOf(t, administrator)
	p.agree()
	p.mayRegister(p.home, p.user)
	return p
}

// closedShop has a customer, and nothing to buy.
func closedShop(t *testing.T) *shop {
	t.Helper()
	name := fmt.Sprintf("closed-%d", serial.Add(1))
	s := &shop{t: t, name: name, customer: name + "-customer"}
	s.create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.customer}})
	return s
}

// clientOf makes a client of a user.
func clientOf(t *testing.T, user string, groups ...string) client.Client {
	t.Helper()
	path, err := cluster.UserKubeconfig(user, groups...)
	if err != nil {
		t.Fatal(err)
	}
	config, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		t.Fatal(err)
	}
	config.QPS = -1
	c, err := client.New(config, client.Options{Scheme: live.Scheme(), Mapper: live.RESTMapper()})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// provable waits until whatever is made counts as made while the policy was in
// force, which a whole run of the suite need not.
func provable(t *testing.T) {
	t.Helper()
	eventually(t, "waiting for the policy to be in force", func() error {
		binding := &admissionv1.ValidatingAdmissionPolicyBinding{}
		if err := live.Get(t.Context(), client.ObjectKey{Name: "license-operator-partner"}, binding); err != nil {
			return err
		}
		if age := time.Since(binding.CreationTimestamp.Time); age < 7*time.Second {
			return fmt.Errorf("it is %v old", age)
		}
		return nil
	})
}

// agree makes the agreement.
func (p *partnership) agree() {
	p.t.Helper()
	p.create(&v1alpha1.PartnerAgreement{ObjectMeta: metav1.ObjectMeta{Namespace: p.customer, Name: agreementName}, Spec: p.spec})
}

// mayRegister lets a user register in a new namespace.
func (p *partnership) mayRegister(namespace, user string) {
	p.t.Helper()
	p.create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}})
	p.create(&rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "partner"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "license-operator-partner"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}},
	})
}

// registration is what a user types.
func (p *partnership) registration(namespace, user string) *v1alpha1.PartnerRegistration {
	return &v1alpha1.PartnerRegistration{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: registrationName},
		Spec: v1alpha1.PartnerRegistrationSpec{
			AuthorizationNumber: p.spec.AuthorizationNumber, LicenseNumber: p.spec.LicenseNumber, CustomerEmail: p.spec.CustomerEmail, Acknowledged: true,
			Partner: v1alpha1.Partner{Subject: v1alpha1.Subject{Kind: "User", Name: user}, Email: "gail@northwind.example"},
		},
	}
}

// as creates something with somebody's own client, once he may.
func (p *partnership) as(c client.Client, o client.Object) {
	p.t.Helper()
	eventually(p.t, "waiting for the right to create "+o.GetName(), func() error { return c.Create(p.t.Context(), o) })
}

// register does so as the partner.
func (p *partnership) register() {
	p.t.Helper()
	p.as(p.partner, p.registration(p.home, p.user))
}

// says is nil once the registration says so, and of its present generation.
func (p *partnership) says(condition, reason string) error {
	return says(p.t, client.ObjectKey{Namespace: p.home, Name: registrationName}, condition, reason)
}

func says(t *testing.T, key client.ObjectKey, condition, reason string) error {
	r := &v1alpha1.PartnerRegistration{}
	if err := live.Get(t.Context(), key, r); err != nil {
		return err
	}
	c := meta.FindStatusCondition(r.Status.Conditions, condition)
	if r.Status.ObservedGeneration != r.Generation || c == nil || c.Status != metav1.ConditionTrue || c.Reason != reason {
		return fmt.Errorf("%s says %+v", key, r.Status)
	}
	return nil
}

// mayBuy is nil if the partner may buy for the customer.
func (p *partnership) mayBuy() error {
	return p.partner.Create(p.t.Context(), &v1alpha1.SoftwareSubscription{
		ObjectMeta: metav1.ObjectMeta{Namespace: p.customer, GenerateName: "try-"},
		Spec:       v1alpha1.SoftwareSubscriptionSpec{ProductRef: v1alpha1.Reference{Name: p.name}, Quantity: 1, Term: v1alpha1.TermYear},
	}, client.DryRunAll)
}

// mayRead is nil if the partner may read the key of what he bought.
func (p *partnership) mayRead() error {
	return p.partner.Get(p.t.Context(), client.ObjectKey{Namespace: p.customer, Name: "bought-key"}, &corev1.Secret{})
}

// hasAccess waits until the partner has all that he is promised.
func (p *partnership) hasAccess() {
	p.t.Helper()
	eventually(p.t, "waiting for access", func() error {
		return errors.Join(p.says(v1alpha1.ConditionReady, v1alpha1.ReasonAccessGranted), p.mayBuy(), p.mayRead())
	})
}

// soon is how long it may take until somebody without access notices, on a busy
// machine. It is a fraction of a second on another.
const soon = 10 * time.Second

// lockedOut waits until the partner may do nothing, and tells how long that took
// from an instant on.
func (p *partnership) lockedOut(by string, start time.Time) {
	p.t.Helper()
	var took []string
	for _, may := range []struct {
		what string
		try  func() error
	}{{"buying", p.mayBuy}, {"reading the key", p.mayRead}} {
		eventually(p.t, by+": waiting until "+may.what+" is forbidden", func() error {
			switch err := may.try(); {
			case apierrors.IsForbidden(err):
				return nil
			case err == nil:
				return errors.New("it is allowed")
			default:
				return err
			}
		})
		after := time.Since(start).Round(time.Millisecond)
		if after > soon {
			p.t.Errorf("%s: %s was allowed for %v", by, may.what, after)
		}
		took = append(took, fmt.Sprintf("%s forbidden after %v", may.what, after))
	}
	p.t.Logf("%s: %s", by, strings.Join(took, ", "))
}

// remove lists entries in spec.removedPartners, as the customer's administrator.
func (p *partnership) remove(entries ...string) {
	p.t.Helper()
	list := strings.Join(entries, `","`)
	if list != "" {
		list = `"` + list + `"`
	}
	p.patchAgreement(p.admin, `{"spec":{"removedPartners":[`+list+`]}}`)
}

func (p *partnership) patchAgreement(by client.Client, patch string) {
	p.t.Helper()
	a := &v1alpha1.PartnerAgreement{ObjectMeta: metav1.ObjectMeta{Namespace: p.customer, Name: agreementName}}
	eventually(p.t, "waiting for the right to change the agreement", func() error {
		return by.Patch(p.t.Context(), a, client.RawPatch("application/merge-patch+json", []byte(patch)))
	})
}

func (p *partnership) agreement() (*v1alpha1.PartnerAgreement, error) {
	a := &v1alpha1.PartnerAgreement{}
	return a, live.Get(p.t.Context(), client.ObjectKey{Namespace: p.customer, Name: agreementName}, a)
}

// settledAgreement waits until the operator has told of the agreement as it is now.
func (p *partnership) settledAgreement() {
	p.t.Helper()
	eventually(p.t, "waiting for the agreement", func() error {
		a, err := p.agreement()
		if err != nil {
			return err
		}
		if a.Status.ObservedGeneration != a.Generation || !meta.IsStatusConditionTrue(a.Status.Conditions, v1alpha1.ConditionReady) {
			return fmt.Errorf("it says %+v", a.Status)
		}
		return nil
	})
}

// bindings are the RoleBindings for partners, the one to read keys by last.
func (p *partnership) bindings() ([]rbacv1.RoleBinding, error) {
	var all rbacv1.RoleBindingList
	if err := live.List(p.t.Context(), &all, client.InNamespace(p.customer), client.MatchingLabels{v1alpha1.LabelManagedBy: v1alpha1.ManagedByOperator}); err != nil {
		return nil, err
	}
	mine := slices.DeleteFunc(all.Items, func(b rbacv1.RoleBinding) bool { return !strings.HasPrefix(b.Name, "license-operator-partner-") })
	slices.SortFunc(mine, func(a, b rbacv1.RoleBinding) int { return cmp.Compare(a.Name, b.Name) })
	return mine, nil
}

// unbind deletes the partner's RoleBinding, as the customer's administrator.
func (p *partnership) unbind() {
	p.t.Helper()
	bindings, err := p.bindings()
	if err != nil || len(bindings) != 2 {
		p.t.Fatalf("the bindings are %v, %v", bindings, err)
	}
	if err := p.admin.Delete(p.t.Context(), &bindings[0]); err != nil {
		p.t.Fatal(err)
	}
}

// isOut is nil if the customer's wish is noted down, and nothing is bound.
func (p *partnership) isOut() error {
	a, err := p.agreement()
	if err != nil {
		return err
	}
	bindings, err := p.bindings()
	if err == nil && (!slices.Contains(a.Spec.RemovedPartners, v1alpha1.Username(p.user)) || len(a.Status.Partners) > 0 || len(bindings) > 0) {
		err = fmt.Errorf("removed are %v, partners %+v, bindings %v", a.Spec.RemovedPartners, a.Status.Partners, bindings)
	}
	return errors.Join(err, p.says(v1alpha1.ConditionStalled, v1alpha1.ReasonRemovedByCustomer))
}

// staysOut has somebody else register, and checks that this gives the partner
// nothing.
func (p *partnership) staysOut() {
	p.t.Helper()
	eventually(p.t, "waiting until the wish is noted down", p.isOut)
	home, user := fmt.Sprintf("witness-%d", serial.Add(1)), fmt.Sprintf("witness-%d", serial.Add(1))
	p.mayRegister(home, user)
	witness := p.registration(home, user)
	p.as(clientOf(p.t, user), witness)
	eventually(p.t, "waiting for somebody else's access", func() error {
		return says(p.t, client.ObjectKeyFromObject(witness), v1alpha1.ConditionReady, v1alpha1.ReasonAccessGranted)
	})
	if err := p.mayBuy(); !apierrors.IsForbidden(err) {
		p.t.Errorf("buying, after somebody else got access: %v", err)
	}
	if err := live.Delete(p.t.Context(), witness); err != nil {
		p.t.Fatal(err)
	}
	eventually(p.t, "waiting for the end of his access", p.isOut)
}
