package controllers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
)

// What proves who a customer is. Each number of a test looks like this, and each
// customer's mail address, so that the suite can look for them where they may not
// be: everywhere but in the specs of agreements and registrations.
const (
	authorizationMark = "ZZSECRET7" // and six digits
	licenceNumber     = "98989890"
	otherLicence      = "98989891"
	orderAddress      = "it@order.secret.example"
)

var provesWho = regexp.MustCompile(`(?i)` + authorizationMark + `|\b9898989[0-9]\b|order\.secret\.example`)

// numbersFound says where something is that proves who a customer is, and may not
// be.
func numbersFound(ctx context.Context, log string) error {
	if found := provesWho.FindString(log); found != "" {
		return fmt.Errorf("%s is in the log", found)
	}
	kinds := map[string][]string{"PartnerAgreement": {"authorizationNumber", "licenseNumber", "customerEmail"}, "PartnerRequester": nil, "Notification": nil, "Event": nil}
	kinds["PartnerRegistration"] = kinds["PartnerAgreement"]
	for kind, hidden := range kinds {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kind))
		if kind == "Event" {
			list.SetGroupVersionKind(eventsv1.SchemeGroupVersion.WithKind(kind))
		}
		if err := live.List(ctx, list); err != nil {
			return err
		}
		for _, o := range list.Items {
			for _, field := range hidden {
				unstructured.RemoveNestedField(o.Object, "spec", field)
			}
			text, err := json.Marshal(o.Object)
			if err != nil {
				return err
			}
			if found := provesWho.Find(text); found != nil {
				return fmt.Errorf("%s is in %s %s/%s", found, kind, o.GetNamespace(), o.GetName())
			}
		}
	}
	return nil
}

// bureau is a partner and a customer of his, with names of their own.
type bureau struct {
	*shop // name is that of the partner's namespace
	user  string
	wire  *wire
	calls *calls
	proof func(client.Object) error // changes what there is of the policy
	regs  *PartnerRegistrationReconciler
}

// newBureau opens a bureau. Its policy is old enough.
func newBureau(t *testing.T) *bureau {
	t.Helper()
	provePartners(t)
	name := fmt.Sprintf("bureau-%d", serial.Add(1))
	b := &bureau{shop: &shop{t: t, name: name, customer: name + "-customer"}, user: "gail@" + name + ".example"}
	b.proof = func(o client.Object) error {
		o.SetCreationTimestamp(metav1.NewTime(o.GetCreationTimestamp().Add(-time.Hour)))
		return nil
	}
	b.start(time.Now().UTC().Truncate(time.Second))
	b.namespace(b.name)
	b.namespace(b.customer)
	return b
}

func (b *bureau) namespace(name string) {
	b.t.Helper()
	b.create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
}

// start begins a new process: it has forgotten all that was in memory.
func (b *bureau) start(now time.Time) {
	b.process = newProcess(now)
	b.wire = &wire{Client: live}
	b.Client = b.wire
	b.calls = &calls{view: b.view, b: b, stale: map[client.ObjectKey]*v1alpha1.PartnerRegistration{}}
	b.regs = &PartnerRegistrationReconciler{Client: b.calls, Live: liveCalls{live, b.calls}, Clock: b.clock, Mail: Post{Client: b.calls}}
}

func (b *bureau) restart() { b.start(b.clock.Now()) }

// calls is the way to the API server. It notes what is read and written, and
// makes sure that nothing is compared that is not on record.
type calls struct {
	*view
	b       *bureau
	working *v1alpha1.PartnerRegistration                      // of the pass that goes on
	stale   map[client.ObjectKey]*v1alpha1.PartnerRegistration // what is seen of them
	broken  bool                                               // lists nothing
	hidden  string                                             // a namespace that is not served: it is not in the cache

	mu       sync.Mutex
	made     []string
	compared []string // what was looked for
}

func (c *calls) note(verb string, o any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.made = append(c.made, verb+" "+strings.TrimPrefix(fmt.Sprintf("%T", o), "*"))
}

func (c *calls) Get(ctx context.Context, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
	c.note("get", o)
	if reg, ok := o.(*v1alpha1.PartnerRegistration); ok && c.stale[key] != nil {
		c.stale[key].DeepCopyInto(reg)
		return nil
	}
	return c.view.Get(ctx, key, o, opts...)
}

func (c *calls) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	c.note("list", list)
	if c.broken {
		return errLine
	}
	if selector := (&client.ListOptions{}).ApplyOptions(opts).FieldSelector; selector != nil {
		for _, req := range selector.Requirements() {
			c.compare(req.Field, req.Value)
		}
	}
	err := c.view.List(ctx, list, opts...)
	if agreements, ok := list.(*v1alpha1.PartnerAgreementList); ok {
		agreements.Items = slices.DeleteFunc(agreements.Items, func(a v1alpha1.PartnerAgreement) bool { return a.Namespace == c.hidden })
	}
	return err
}

// compare notes that an agreement is looked for.
func (c *calls) compare(index, value string) {
	if index != indexAgreementNumbers && index != indexPrimaryContact {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.compared = append(c.compared, value)
	if reg := c.working; reg != nil && isAttempt(reg) && !slices.ContainsFunc(c.b.attempts(requesterName(reg)), isBy(reg)) {
		c.b.t.Errorf("%s is compared, and that is not on record", reg.Name)
	}
}

func (c *calls) Create(ctx context.Context, o client.Object, opts ...client.CreateOption) error {
	c.note("create", o)
	return c.view.Create(ctx, o, opts...)
}

func (c *calls) Patch(ctx context.Context, o client.Object, p client.Patch, opts ...client.PatchOption) error {
	c.note("patch", o)
	return c.view.Patch(ctx, o, p, opts...)
}

func (c *calls) Delete(ctx context.Context, o client.Object, opts ...client.DeleteOption) error {
	c.note("delete", o)
	return c.view.Delete(ctx, o, opts...)
}

// liveCalls reads from the API server, and sees the policy as the bureau has it.
type liveCalls struct {
	client.Reader
	*calls
}

func (l liveCalls) Get(ctx context.Context, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
	l.note("read", o)
	if err := l.Reader.Get(ctx, key, o, opts...); err != nil {
		return err
	}
	switch o.(type) {
	case *admissionv1.ValidatingAdmissionPolicy, *admissionv1.ValidatingAdmissionPolicyBinding:
		return l.b.proof(o)
	}
	return nil
}

func (l liveCalls) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	l.note("read", list)
	return l.Reader.List(ctx, list, opts...)
}

// attempts are those on record of a requester.
func (b *bureau) attempts(requester string) []v1alpha1.PartnerAttempt {
	b.t.Helper()
	var of v1alpha1.PartnerRequester
	if err := live.Get(b.t.Context(), client.ObjectKey{Name: requester}, &of); client.IgnoreNotFound(err) != nil {
		b.t.Fatal(err)
	}
	return of.Spec.Attempts
}

// onRecord is how many attempts of the user are, -1 if there is no record of him.
func (b *bureau) onRecord() int {
	b.t.Helper()
	var of v1alpha1.PartnerRequester
	err := live.Get(b.t.Context(), client.ObjectKey{Name: requesterName(&v1alpha1.PartnerRegistration{Spec: b.claim()})}, &of)
	if apierrors.IsNotFound(err) {
		return -1
	}
	if err != nil {
		b.t.Fatal(err)
	}
	return len(of.Spec.Attempts)
}

// number is the authorization number of a customer of the bureau.
func (b *bureau) number(n int) v1alpha1.AuthorizationNumber {
	id := "0000" + strings.TrimPrefix(b.name, "bureau-")
	return v1alpha1.AuthorizationNumber(fmt.Sprintf("%s%s%02d", authorizationMark, id[len(id)-4:], n))
}

type concluding = func(*v1alpha1.PartnerAgreementSpec)

// agreement gives a customer an agreement, the first one unless it is changed.
func (b *bureau) agreement(namespace, name string, change ...concluding) *v1alpha1.PartnerAgreement {
	b.t.Helper()
	a := &v1alpha1.PartnerAgreement{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Spec: v1alpha1.PartnerAgreementSpec{
		AuthorizationNumber: b.number(1), LicenseNumber: licenceNumber, CustomerEmail: orderAddress,
	}}
	for _, f := range change {
		f(&a.Spec)
	}
	b.create(a)
	return a
}

func (b *bureau) editAgreement(namespace, name string, change concluding) {
	b.t.Helper()
	a := &v1alpha1.PartnerAgreement{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	b.edit(a, func() { change(&a.Spec) })
}

func contact(users ...string) concluding {
	return func(s *v1alpha1.PartnerAgreementSpec) {
		s.PrimaryContacts = nil
		for _, user := range users {
			s.PrimaryContacts = append(s.PrimaryContacts, v1alpha1.Username(user))
		}
	}
}

func removing(names ...string) concluding {
	return func(s *v1alpha1.PartnerAgreementSpec) {
		s.RemovedPartners = nil
		for _, name := range names {
			s.RemovedPartners = append(s.RemovedPartners, v1alpha1.Username(name))
		}
	}
}

// grant does what gives a subject access by an agreement; with a zero instant it
// takes that away.
func (b *bureau) grant(namespace, name, kind, subject string, since time.Time) {
	b.t.Helper()
	a := get(b.t, &v1alpha1.PartnerAgreement{}, namespace, name)
	a.Status.Partners = slices.DeleteFunc(a.Status.Partners, func(p v1alpha1.AgreementPartner) bool { return p.Kind == kind && p.Name == subject })
	if !since.IsZero() {
		at := metav1.NewTime(since)
		a.Status.Partners = append(a.Status.Partners, v1alpha1.AgreementPartner{
			Kind: kind, Name: subject, Since: &at, Registration: v1alpha1.ObjectReference{Namespace: b.name, Name: "any"},
			RoleBinding: v1alpha1.AgreementRoleBinding{Reference: v1alpha1.Reference{Name: "any"}, UID: "any"},
		})
	}
	if err := live.Status().Update(b.t.Context(), a); err != nil {
		b.t.Fatal(err)
	}
}

type claiming = func(*v1alpha1.PartnerRegistrationSpec)

// claim is one for the first customer, by the user himself, changed as wanted.
func (b *bureau) claim(change ...claiming) v1alpha1.PartnerRegistrationSpec {
	s := v1alpha1.PartnerRegistrationSpec{
		AuthorizationNumber: b.number(1), LicenseNumber: licenceNumber, CustomerEmail: orderAddress, Acknowledged: true,
		Partner: v1alpha1.Partner{Subject: v1alpha1.Subject{Kind: "User", Name: b.user}, Email: "office@partner.example"},
	}
	for _, f := range change {
		f(&s)
	}
	return s
}

func byContact(s *v1alpha1.PartnerRegistrationSpec) {
	s.AuthorizationNumber, s.LicenseNumber, s.CustomerEmail = "", "", ""
}

// wrong names an agreement that is not there; n tells such from each other.
func (b *bureau) wrong(n int) claiming {
	return func(s *v1alpha1.PartnerRegistrationSpec) { s.AuthorizationNumber = b.number(50 + n) }
}

func forGroup(group, user string) claiming {
	return func(s *v1alpha1.PartnerRegistrationSpec) {
		s.Partner.Subject, s.Partner.Username = v1alpha1.Subject{Kind: "Group", Name: group}, v1alpha1.Username(user)
	}
}

var clients sync.Map // that were made, by user and groups

// as is a client of a user. He may do whatever the policy lets him.
func as(t *testing.T, user string, groups ...string) client.Client {
	t.Helper()
	who := user + " " + strings.Join(groups, " ")
	if c, ok := clients.Load(who); ok {
		return c.(client.Client)
	}
	config := rest.CopyConfig(apiServer)
	config.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: append([]string{"system:masters"}, groups...)}
	c, err := client.New(config, client.Options{Scheme: scheme, Mapper: live.RESTMapper()})
	if err != nil {
		t.Fatal(err)
	}
	clients.Store(who, c)
	return c
}

// tried puts attempts in vain on record.
func (b *bureau) tried(n int) {
	b.t.Helper()
	if n == 0 {
		return
	}
	claim := &v1alpha1.PartnerRegistration{Spec: b.claim()}
	of := &v1alpha1.PartnerRequester{ObjectMeta: metav1.ObjectMeta{Name: requesterName(claim)}, Spec: v1alpha1.PartnerRequesterSpec{Requester: v1alpha1.Username(b.user)}}
	for i := range n {
		of.Spec.Attempts = append(of.Spec.Attempts, v1alpha1.PartnerAttempt{
			Registration: v1alpha1.ObjectReference{Namespace: b.name, Name: "gone"}, UID: "gone", Generation: int64(i), At: metav1.NewTime(b.clock.Now()),
		})
	}
	b.create(of)
}

// register has whoever makes a claim make it himself, in a namespace.
func (b *bureau) register(namespace, name string, change ...claiming) *v1alpha1.PartnerRegistration {
	b.t.Helper()
	reg := &v1alpha1.PartnerRegistration{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Spec: b.claim(change...)}
	p := reg.Spec.Partner
	if err := as(b.t, p.Requester(), p.Subject.Name).Create(b.t.Context(), reg); err != nil {
		b.t.Fatal(err)
	}
	return reg
}

// correct has him change it.
func (b *bureau) correct(namespace, name string, change claiming) {
	b.t.Helper()
	reg := get(b.t, &v1alpha1.PartnerRegistration{}, namespace, name)
	p := reg.Spec.Partner
	change(&reg.Spec)
	if err := as(b.t, p.Requester(), p.Subject.Name).Update(b.t.Context(), reg); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bureau) remove(o client.Object) {
	b.t.Helper()
	if err := live.Delete(b.t.Context(), o); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bureau) registration(name string) *v1alpha1.PartnerRegistration {
	b.t.Helper()
	return get(b.t, &v1alpha1.PartnerRegistration{}, b.name, name)
}

// look runs one pass over a registration in the partner's namespace.
func (b *bureau) look(name string) (*v1alpha1.PartnerRegistration, ctrl.Result) {
	b.t.Helper()
	reg, res, err := b.tryLook(b.name, name)
	if err != nil {
		b.t.Fatal(err)
	}
	return reg, res
}

func (b *bureau) tryLook(namespace, name string) (*v1alpha1.PartnerRegistration, ctrl.Result, error) {
	b.t.Helper()
	key := client.ObjectKey{Namespace: namespace, Name: name}
	b.writes, b.events, b.calls.made = nil, nil, nil
	b.calls.working = get(b.t, &v1alpha1.PartnerRegistration{}, namespace, name)
	if old := b.calls.stale[key]; old != nil {
		b.calls.working = old
	}
	res, err := b.regs.Reconcile(b.t.Context(), ctrl.Request{NamespacedName: key})
	b.calls.working = nil
	reg := get(b.t, &v1alpha1.PartnerRegistration{}, namespace, name)
	noteReasons(reg)
	return reg, res, err
}

// later lets time pass.
func (b *bureau) later(t time.Duration) { b.clock.SetTime(b.clock.Now().Add(t)) }

// face is what a registration looks like after a pass, and what that told.
type face struct {
	conditions string
	message    string // a part of it
	kstatus    status.Status
	agreements string // "<namespace>/<name>=<access>", with the names of the bureau cut off
	customers  string
	told       string
}

const (
	isNotRecognised = "Ready=False(NotRecognised) Stalled=True(NotRecognised)"
	isToBeGranted   = "Ready=False(AccessPending) Reconciling=True(AccessPending)"
	hasAccess       = "Ready=True(AccessGranted)"
	isTakenAway     = "Ready=False(RemovedByCustomer) Stalled=True(RemovedByCustomer)"
	hasToWait       = "Ready=False(TooManyAttempts) Reconciling=True(TooManyAttempts)"
	isStuck         = "Ready=False(AgreementStalled) Stalled=True(AgreementStalled)"
	isNotProven     = "Ready=False(NotProven) Stalled=True(NotProven)"
)

func refusedFace(told string) face {
	return face{conditions: isNotRecognised, message: notRecognised, kstatus: status.FailedStatus, told: told}
}

// check runs a pass, looks at what came of it, and that it was all there was to
// do.
func (b *bureau) check(name string, want face) *v1alpha1.PartnerRegistration {
	b.t.Helper()
	reg, _ := b.look(name)
	if got := conditions(reg); got != want.conditions {
		b.t.Errorf("conditions %s\nwant       %s", got, want.conditions)
	}
	if got := reasonMessage(reg, "Ready"); !strings.Contains(got, want.message) {
		b.t.Errorf("message %q, want %q in it", got, want.message)
	}
	if k := kstatus(b.t, reg); k != want.kstatus {
		b.t.Errorf("kstatus %s, want %s", k, want.kstatus)
	}
	var agreements []string
	for _, a := range reg.Status.Agreements {
		agreements = append(agreements, fmt.Sprintf("%s/%s=%s", strings.TrimPrefix(a.Namespace, b.name+"-"), a.Name, a.Access))
	}
	if got := strings.Join(agreements, " "); got != want.agreements {
		b.t.Errorf("agreements %q, want %q", got, want.agreements)
	}
	if got := strings.ReplaceAll(strings.Join(reg.Status.Customers, " "), b.name+"-", ""); got != want.customers {
		b.t.Errorf("customers %q, want %q", got, want.customers)
	}
	if (reg.Status.RecognisedAt != nil) != (want.agreements != "") {
		b.t.Errorf("recognised at %v", reg.Status.RecognisedAt)
	}
	if got := strings.ReplaceAll(strings.Join(b.events, " "), name+" ", ""); got != want.told {
		b.t.Errorf("told %q, want %q", got, want.told)
	}
	b.still(name)
	return reg
}

// still checks that another pass, a second later, writes nothing.
func (b *bureau) still(name string) {
	b.t.Helper()
	b.later(time.Second)
	before := b.registration(name)
	after, _ := b.look(name)
	if len(b.writes) > 0 || len(b.events) > 0 {
		b.t.Errorf("second pass wrote %v, told %v\n%s\n%s", b.writes, b.events, conditions(before), conditions(after))
	}
}

// notes are what Events of a registration say, as "<reason>: <note>".
func (b *bureau) notes(namespace, name string) (notes []string) {
	b.t.Helper()
	var events eventsv1.EventList
	if err := live.List(b.t.Context(), &events, client.InNamespace(namespace)); err != nil {
		b.t.Fatal(err)
	}
	for _, e := range events.Items {
		if e.Regarding.Name == name && e.Regarding.Kind == "PartnerRegistration" {
			notes = append(notes, e.Type+" "+e.Reason+": "+strings.ReplaceAll(e.Note, b.name, "bureau"))
		}
	}
	slices.Sort(notes)
	return notes
}

// mails are those about a registration, as "<notice> to <address>: <text>".
func (b *bureau) mails(name string) (mails []string) {
	b.t.Helper()
	var all v1alpha1.NotificationList
	if err := live.List(b.t.Context(), &all, client.InNamespace(b.name)); err != nil {
		b.t.Fatal(err)
	}
	for _, n := range all.Items {
		if n.Spec.Regarding.Name == name {
			mails = append(mails, n.Spec.Notice+" to "+string(n.Spec.To)+": "+strings.ReplaceAll(n.Spec.Text, b.name, "bureau"))
		}
	}
	slices.Sort(mails)
	return mails
}

// partnerRules are applied once, and asked from then on.
var partnerRules sync.Once

// provePartners has the API server ask partners who they are.
func provePartners(t *testing.T) {
	t.Helper()
	partnerRules.Do(func() {
		manifests, err := os.ReadFile("../config/policy/partner.yaml")
		if err != nil {
			t.Fatal(err)
		}
		for decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(manifests), 4096); ; {
			o := &unstructured.Unstructured{}
			if err := decoder.Decode(o); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			if err := live.Create(t.Context(), o); err != nil {
				t.Fatal(err)
			}
		}
		liar := &v1alpha1.PartnerRegistration{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "liar"}}
		liar.Spec = (&bureau{shop: &shop{name: "bureau-0"}, user: "somebody"}).claim()
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
			err := as(t, "another").Create(t.Context(), liar.DeepCopy(), client.DryRunAll)
			if apierrors.IsForbidden(err) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatal("partners are not asked who they are:", err)
			}
		}
	})
}
