package controllers

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/terms"
)

// premises are a customer's namespace, and that of a partner who registers for
// his agreements. Who is recognised is written by hand: that is another
// reconciler's.
type premises struct {
	t        *testing.T
	customer string
	partner  string
	line     *accessLine
	log      int // how much was logged before
	*view
	clock *clocktesting.FakePassiveClock
	r     *PartnerAccessReconciler
}

func newPremises(t *testing.T) *premises {
	t.Helper()
	name := fmt.Sprintf("premises-%d", serial.Add(1))
	p := &premises{t: t, customer: name, partner: name + "-partner", log: len(logged.String())}
	p.create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: p.customer}})
	p.create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: p.partner}})
	p.start(live)
	t.Cleanup(p.secretive)
	return p
}

// start begins a new process, which has forgotten all that was in memory, and
// writes as whom the client is of.
func (p *premises) start(as client.Client) {
	p.clock = clocktesting.NewFakePassiveClock(time.Now().UTC().Truncate(time.Second))
	p.line = &accessLine{Client: as, partner: p.partner}
	p.view = &view{Client: p.line}
	p.r = &PartnerAccessReconciler{Client: p.view, Live: as, Clock: p.clock, Mail: Post{Client: p.view}, Namespace: operatorNamespace}
}

// accessLine is the way to the API server. It stands for the cache, too, which
// has only RoleBindings with our label, and can be late. It counts all writes;
// one can be lost, or its answer, and something can happen before one.
type accessLine struct {
	client.Client
	late    *rbacv1.RoleBindingList // what it shows instead of the present ones
	blind   bool                    // sees no registrations
	partner string                  // whose registrations there are
	refuse  func(verb string, o client.Object) error

	written int
	breakAt int // the number of the write that fails, from 1; 0: none
	after   bool
	before  func(n int)

	lostMail bool // the one that failed was that of a mail
}

func (l *accessLine) write(verb string, o client.Object, do func() error) error {
	l.written++
	if l.before != nil {
		l.before(l.written)
	}
	if l.refuse != nil {
		if err := l.refuse(verb, o); err != nil {
			return err
		}
	}
	if l.written != l.breakAt {
		return do()
	}
	if l.after {
		if err := do(); err != nil {
			return err
		}
	} else if _, ok := o.(*v1alpha1.Notification); ok {
		l.lostMail = true
	}
	return errLine
}

func (l *accessLine) Create(ctx context.Context, o client.Object, opts ...client.CreateOption) error {
	return l.write("create", o, func() error { return l.Client.Create(ctx, o, opts...) })
}

func (l *accessLine) Update(ctx context.Context, o client.Object, opts ...client.UpdateOption) error {
	return l.write("update", o, func() error { return l.Client.Update(ctx, o, opts...) })
}

func (l *accessLine) Delete(ctx context.Context, o client.Object, opts ...client.DeleteOption) error {
	return l.write("delete", o, func() error { return l.Client.Delete(ctx, o, opts...) })
}

func (l *accessLine) Patch(ctx context.Context, o client.Object, p client.Patch, opts ...client.PatchOption) error {
	return l.write("patch", o, func() error { return l.Client.Patch(ctx, o, p, opts...) })
}

func (l *accessLine) Status() client.SubResourceWriter { return accessStatus{l.Client.Status(), l} }

type accessStatus struct {
	client.SubResourceWriter
	l *accessLine
}

func (s accessStatus) Patch(ctx context.Context, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
	return s.l.write("status", o, func() error { return s.SubResourceWriter.Patch(ctx, o, p, opts...) })
}

func (l *accessLine) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	switch list := list.(type) {
	case *rbacv1.RoleBindingList:
		if l.late != nil {
			l.late.DeepCopyInto(list)
			return nil
		}
		opts = append(opts, client.MatchingLabels{v1alpha1.LabelManagedBy: v1alpha1.ManagedByOperator})
	case *v1alpha1.PartnerRegistrationList:
		if l.blind {
			return nil
		}
		opts = append(opts, client.InNamespace(l.partner)) // for speed: nobody else registers here
	}
	return l.Client.List(ctx, list, opts...)
}

func (p *premises) create(o client.Object) {
	p.t.Helper()
	if err := live.Create(p.t.Context(), o); err != nil {
		p.t.Fatal(err)
	}
}

func (p *premises) remove(o client.Object, opts ...client.DeleteOption) {
	p.t.Helper()
	if err := live.Delete(p.t.Context(), o, opts...); err != nil {
		p.t.Fatal(err)
	}
}

func (p *premises) edit(o client.Object, change func()) {
	p.t.Helper()
	for {
		if err := live.Get(p.t.Context(), client.ObjectKeyFromObject(o), o); err != nil {
			p.t.Fatal(err)
		}
		change()
		if err := live.Update(p.t.Context(), o); err == nil {
			return
		} else if !apierrors.IsConflict(err) {
			p.t.Fatal(err)
		}
	}
}

type agreeing = func(*v1alpha1.PartnerAgreementSpec)

// accessSecret marks what proves who a customer is: no test of this file may find
// it anywhere but in the two objects that hold it.
const accessSecret = "proof-of-who"

// agree makes an agreement of the customer.
func (p *premises) agree(name string, change ...agreeing) {
	p.t.Helper()
	a := &v1alpha1.PartnerAgreement{ObjectMeta: metav1.ObjectMeta{Namespace: p.customer, Name: name}, Spec: v1alpha1.PartnerAgreementSpec{
		AuthorizationNumber: authorization(name), LicenseNumber: "80706050", CustomerEmail: accessSecret + "@contoso.example",
	}}
	for _, f := range change {
		f(&a.Spec)
	}
	p.create(a)
}

// authorization is a number for an agreement of this name.
func authorization(name string) v1alpha1.AuthorizationNumber {
	return v1alpha1.AuthorizationNumber(("PROOF" + strings.ToUpper(strings.ReplaceAll(name, "-", "")) + "0000000000")[:15])
}

func (p *premises) agreement(name string) *v1alpha1.PartnerAgreement {
	p.t.Helper()
	return get(p.t, &v1alpha1.PartnerAgreement{}, p.customer, name)
}

func (p *premises) change(name string, change agreeing) {
	p.t.Helper()
	a := &v1alpha1.PartnerAgreement{ObjectMeta: metav1.ObjectMeta{Namespace: p.customer, Name: name}}
	p.edit(a, func() { change(&a.Spec) })
}

func removes(entries ...v1alpha1.Username) agreeing {
	return func(s *v1alpha1.PartnerAgreementSpec) { s.RemovedPartners = append(s.RemovedPartners, entries...) }
}

func readmits(entry v1alpha1.Username) agreeing {
	return func(s *v1alpha1.PartnerAgreementSpec) {
		s.RemovedPartners = slices.DeleteFunc(s.RemovedPartners, func(e v1alpha1.Username) bool { return e == entry })
	}
}

func names(administrators ...v1alpha1.Subject) agreeing {
	return func(s *v1alpha1.PartnerAgreementSpec) { s.Administrators = administrators }
}

func person(name string) v1alpha1.Subject { return v1alpha1.Subject{Kind: "User", Name: name} }

func people(name string) v1alpha1.Subject { return v1alpha1.Subject{Kind: "Group", Name: name} }

func account(namespace, name string) v1alpha1.Subject {
	return v1alpha1.Subject{Kind: "ServiceAccount", Namespace: namespace, Name: name}
}

// register makes a registration of a subject that is recognised for agreements
// of the customer. Who registers a group is zoe.
func (p *premises) register(name string, subject v1alpha1.Subject, agreements ...string) {
	p.t.Helper()
	reg := &v1alpha1.PartnerRegistration{ObjectMeta: metav1.ObjectMeta{Namespace: p.partner, Name: name}, Spec: v1alpha1.PartnerRegistrationSpec{
		AuthorizationNumber: authorization(agreements[0]), LicenseNumber: "80706050", CustomerEmail: accessSecret + "@contoso.example",
		Acknowledged: true, Partner: v1alpha1.Partner{Subject: subject, Email: accessSecret + "@northwind.example"},
	}}
	if subject.Kind == "Group" {
		reg.Spec.Partner.Username = "zoe"
	}
	p.create(reg)
	p.recognise(reg, agreements...)
}

func (p *premises) recognise(reg *v1alpha1.PartnerRegistration, agreements ...string) {
	p.t.Helper()
	reg.Status.RecognisedAt, reg.Status.Agreements = nil, nil
	for _, a := range agreements {
		reg.Status.RecognisedAt = ptr.To(metav1.NewTime(p.clock.Now()))
		reg.Status.Agreements = append(reg.Status.Agreements, v1alpha1.RegisteredAgreement{
			ObjectReference: v1alpha1.ObjectReference{Namespace: p.customer, Name: a}, Access: v1alpha1.AccessGranting,
		})
	}
	if err := live.Status().Update(p.t.Context(), reg); err != nil {
		p.t.Fatal(err)
	}
}

func (p *premises) registration(name string) *v1alpha1.PartnerRegistration {
	p.t.Helper()
	return get(p.t, &v1alpha1.PartnerRegistration{}, p.partner, name)
}

// visit runs one pass over the customer.
func (p *premises) visit() ctrl.Result {
	p.t.Helper()
	res, err := p.tryVisit()
	if err != nil {
		p.t.Fatal(err)
	}
	return res
}

func (p *premises) tryVisit() (ctrl.Result, error) {
	p.t.Helper()
	return p.tryVisitTo(p.customer)
}

func (p *premises) tryVisitTo(namespace string) (ctrl.Result, error) {
	p.t.Helper()
	p.writes, p.events = nil, nil
	res, err := p.r.Reconcile(p.t.Context(), ctrl.Request{NamespacedName: client.ObjectKey{Name: namespace}})
	var list v1alpha1.PartnerAgreementList
	if err := live.List(p.t.Context(), &list, client.InNamespace(namespace)); err != nil {
		p.t.Fatal(err)
	}
	for _, a := range list.Items {
		noteReasons(&a)
	}
	return res, err
}

// settled runs passes until one has nothing to come back for, and one more, which
// must write nothing.
func (p *premises) settled() {
	p.t.Helper()
	for range 5 {
		if res, err := p.tryVisit(); err == nil && res.RequeueAfter != moment {
			p.idle()
			return
		}
	}
	p.t.Error("it does not settle")
}

func (p *premises) idle() {
	p.t.Helper()
	p.clock.SetTime(p.clock.Now().Add(time.Second))
	if _, err := p.tryVisit(); err != nil || len(p.writes)+len(p.events) > 0 {
		p.t.Errorf("another pass wrote %v, told %v (%v)", p.writes, p.events, err)
	}
}

// has tells whom the operator's RoleBindings in the customer's namespace give
// what: "agent:gail keys:gail". One that names nobody has a "-".
func (p *premises) has() string {
	p.t.Helper()
	return p.hasIn(p.customer)
}

func (p *premises) hasIn(namespace string) string {
	p.t.Helper()
	var all []string
	for _, b := range p.bindings(namespace) {
		var who []string
		for _, s := range b.Subjects {
			name := strings.TrimPrefix(s.Name, "system:serviceaccount:")
			if s.Kind == "Group" {
				name = "%" + name
			}
			who = append(who, name)
		}
		if who == nil {
			who = []string{"-"}
		}
		role := map[string]string{partnerRole: "agent", administratorRole: "admin", KeyRoleName: "keys"}[b.RoleRef.Name]
		if strings.HasPrefix(b.Name, administratorsName) && role == "keys" {
			role = "adminkeys"
		}
		all = append(all, role+":"+strings.Join(who, ","))
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

func (p *premises) bindings(namespace string) []rbacv1.RoleBinding {
	p.t.Helper()
	var list rbacv1.RoleBindingList
	if err := live.List(p.t.Context(), &list, client.InNamespace(namespace)); err != nil {
		p.t.Fatal(err)
	}
	return list.Items
}

func (p *premises) binding(name string) *rbacv1.RoleBinding {
	p.t.Helper()
	return get(p.t, &rbacv1.RoleBinding{}, p.customer, name)
}

func (p *premises) expect(want string) {
	p.t.Helper()
	if got := p.has(); got != want {
		p.t.Errorf("has %q\nwant %q", got, want)
	}
}

// recorded tells who is on record in an agreement: "gail" with access, "(gail)"
// without.
func (p *premises) recorded(agreement string) string {
	p.t.Helper()
	var all []string
	for _, entry := range p.agreement(agreement).Status.Partners {
		if entry.Since == nil {
			entry.Name = "(" + entry.Name + ")"
		}
		all = append(all, entry.Name)
	}
	return strings.Join(all, " ")
}

func (p *premises) removed(agreement string) string {
	p.t.Helper()
	return fmt.Sprint(p.agreement(agreement).Spec.RemovedPartners)
}

// ofGail is the name of gail's RoleBinding.
var ofGail = partnerBindingName(terms.PartnerSubject{Kind: "User", Name: "gail"})

// newAgent opens premises where gail has registered for the agreement open.
func newAgent(t *testing.T) *premises {
	t.Helper()
	p := newPremises(t)
	p.agree("open")
	p.register("reg", person("gail"), "open")
	return p
}

const gailHas = "agent:gail keys:gail"

// told are the Events of this pass, without the names of what they are about.
func (p *premises) told() string {
	var all []string
	for _, e := range p.events {
		_, reason, _ := strings.Cut(e, " ")
		all = append(all, reason)
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

// mails are those that were put on record, by notice.
func (p *premises) mails(notice terms.Notice) []v1alpha1.NotificationSpec {
	p.t.Helper()
	var list v1alpha1.NotificationList
	if err := live.List(p.t.Context(), &list, client.InNamespace(p.customer)); err != nil {
		p.t.Fatal(err)
	}
	var all []v1alpha1.NotificationSpec
	for _, n := range list.Items {
		if n.Spec.Notice == string(notice) {
			all = append(all, n.Spec)
		}
	}
	return all
}

// secretive looks for what proves who the customer is where it must not be.
func (p *premises) secretive() {
	ctx := context.Background()
	var written []string
	var eventList eventsv1.EventList
	var mailList v1alpha1.NotificationList
	var bindingList rbacv1.RoleBindingList
	var agreementList v1alpha1.PartnerAgreementList
	for _, list := range []client.ObjectList{&eventList, &mailList, &bindingList, &agreementList} {
		if err := live.List(ctx, list, client.InNamespace(p.customer)); err != nil {
			p.t.Error(err)
		}
	}
	for _, e := range eventList.Items {
		written = append(written, fmt.Sprintf("%+v", e))
	}
	for _, n := range mailList.Items {
		written = append(written, n.Name+n.Spec.Text+n.Spec.Product)
	}
	for _, b := range bindingList.Items {
		written = append(written, fmt.Sprintf("%+v", b))
	}
	for _, a := range agreementList.Items {
		written = append(written, fmt.Sprintf("%+v", a.Status))
	}
	written = append(written, logged.String()[p.log:])
	for _, secret := range []string{accessSecret, "PROOF", "80706050"} {
		for _, text := range written {
			if at := strings.Index(text, secret); at >= 0 {
				p.t.Errorf("%s is in ...%s", secret, text[max(0, at-200):min(len(text), at+50)])
			}
		}
	}
}

// rolesOfPeople makes the roles that partners and administrators get, from
// config/rbac. What puts them together in a cluster does not run here.
var rolesOfPeople = sync.OnceValue(func() error {
	content, err := os.ReadFile(filepath.Join("..", "config", "rbac", "people_rules.yaml"))
	if err != nil {
		return err
	}
	rules := map[string][]rbacv1.PolicyRule{}
	for document := range strings.SplitSeq(string(content), "\n---\n") {
		var part rbacv1.ClusterRole
		if err := yaml.Unmarshal([]byte(document), &part); err != nil {
			return err
		}
		for label := range maps.Keys(part.Labels) {
			if role, ok := strings.CutPrefix(label, "license-operator.io/aggregate-to-"); ok {
				rules["license-operator-"+role] = append(rules["license-operator-"+role], part.Rules...)
			}
		}
	}
	for _, name := range []string{partnerRole, administratorRole} {
		if err := live.Create(context.Background(), &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: rules[name]}); err != nil {
			return err
		}
	}
	return nil
})

// somebody is a client of a user, who is in groups.
func somebody(t *testing.T, name string, groups ...string) client.Client {
	t.Helper()
	config := rest.CopyConfig(apiServer)
	config.Impersonate = rest.ImpersonationConfig{UserName: name, Groups: append(groups, "system:authenticated")}
	c, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// can waits until what somebody may do is what is wanted: what RBAC is told takes
// effect a moment later.
func can(t *testing.T, what string, want bool, try func() error) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if err = try(); err != nil && !apierrors.IsForbidden(err) {
			t.Fatalf("%s: %v", what, err)
		}
		if (err == nil) == want {
			return
		}
	}
	t.Errorf("%s: %v, want allowed %v", what, err, want)
}

// operatorClient is a client with the rights that the operator has by config/rbac.
// They, and policies of config/policy, are in force until the test ends.
func operatorClient(t *testing.T, policies ...string) client.Client {
	t.Helper()
	const name = "system:serviceaccount:" + operatorNamespace + ":license-operator-controllers"
	files := []string{filepath.Join("rbac", "role.yaml"), filepath.Join("rbac", "role_binding.yaml"), filepath.Join("rbac", "ledger_writer.yaml")}
	for _, policy := range policies {
		files = append(files, filepath.Join("policy", policy))
	}
	for _, path := range files {
		content, err := os.ReadFile(filepath.Join("..", "config", path))
		if err != nil {
			t.Fatal(err)
		}
		for document := range strings.SplitSeq(string(content), "\n---\n") {
			o := &unstructured.Unstructured{}
			if err := yaml.Unmarshal([]byte(document), o); err != nil {
				t.Fatal(err)
			}
			if err := live.Create(t.Context(), o); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = live.Delete(context.Background(), o) })
		}
	}
	return somebody(t, name, "system:serviceaccounts")
}
