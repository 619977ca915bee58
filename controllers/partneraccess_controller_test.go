package controllers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/terms"
)

// What a partner was given he can use, and after the end of it he cannot.
func TestPartnerAccessIsReal(t *testing.T) {
	if err := rolesOfPeople(); err != nil {
		t.Fatal(err)
	}
	p := newPremises(t)
	p.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: p.customer, Name: "sub-key"}})
	p.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: p.customer, Name: "database"}})
	p.create(&rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: p.customer, Name: KeyRoleName}, Rules: keyRules([]string{"sub-key"})})
	p.agree("open")
	p.register("user", person(p.customer+"-gail"), "open")
	p.register("group", people(p.customer+"-agents"), "open")
	p.register("account", account(p.partner, "ci"), "open")
	p.visit()

	who := map[string]client.Client{
		"a user":            somebody(t, p.customer+"-gail"),
		"one of a group":    somebody(t, "ann", p.customer+"-agents"),
		"a service account": somebody(t, "system:serviceaccount:"+p.partner+":ci"),
	}
	buys := func(c client.Client) error {
		return c.Create(t.Context(), &v1alpha1.SoftwareSubscription{
			ObjectMeta: metav1.ObjectMeta{Namespace: p.customer, Name: "sub"},
			Spec:       v1alpha1.SoftwareSubscriptionSpec{ProductRef: v1alpha1.Reference{Name: "office"}, Quantity: 1, Term: v1alpha1.TermYear},
		}, client.DryRunAll)
	}
	reads := func(c client.Client, name string) error {
		return c.Get(t.Context(), client.ObjectKey{Namespace: p.customer, Name: name}, &corev1.Secret{})
	}
	for name, c := range who {
		can(t, name+" buys", true, func() error { return buys(c) })
		can(t, name+" reads the key", true, func() error { return reads(c, "sub-key") })
		can(t, name+" reads another Secret", false, func() error { return reads(c, "database") })
	}
	can(t, "one who only shares the name of the group buys", false, func() error { return buys(somebody(t, p.customer+"-agents")) })
	can(t, "one in a group that has the name of the user buys", false, func() error { return buys(somebody(t, "eve", p.customer+"-gail")) })

	p.change("open", removes(v1alpha1.Username(p.partner)))
	p.visit()
	for name, c := range who {
		can(t, name+" buys after the end", false, func() error { return buys(c) })
		can(t, name+" reads the key after the end", false, func() error { return reads(c, "sub-key") })
	}
}

// Access ends in the pass that sees why. The operator was down when it happened,
// which is the same to it: it remembers nothing. It is had again by taking the entry out, and else not.
func TestPartnerAccessEnds(t *testing.T) {
	const removedEvent = "PartnerRemoved"
	gone := func(p *premises) {
		p.remove(p.binding(ofGail))
	}
	for name, tc := range map[string]struct {
		first   func(*premises) // before gail gets access
		end     func(*premises)
		has     string // afterwards; empty: nothing
		removed string // what the agreement lists then
		told    string // by Events; empty: nothing
		back    string // what is to be taken out for having access again; empty: nothing
	}{
		"listed by the name of the user": {
			end: func(p *premises) { p.change("open", removes("gail")) }, removed: "[gail]", told: removedEvent, back: "gail",
		},
		"listed by the namespace": {
			end: func(p *premises) { p.change("open", removes(v1alpha1.Username(p.partner))) }, removed: "[PARTNER]", told: removedEvent, back: "PARTNER",
		},
		"a group listed by its name": {
			first: func(p *premises) { p.remove(p.registration("reg")); p.register("group", people("agents"), "open") },
			end:   func(p *premises) { p.change("open", removes("agents")) }, removed: "[agents]", told: removedEvent, back: "agents",
		},
		"a group listed by who has registered it": {
			first: func(p *premises) { p.remove(p.registration("reg")); p.register("group", people("agents"), "open") },
			end:   func(p *premises) { p.change("open", removes("zoe")) }, removed: "[zoe]", told: removedEvent, back: "zoe",
		},
		"a service account listed by its user name": {
			first: func(p *premises) { p.remove(p.registration("reg")); p.register("ci", account("north", "ci"), "open") },
			end:   func(p *premises) { p.change("open", removes("system:serviceaccount:north:ci")) }, removed: "[system:serviceaccount:north:ci]", told: removedEvent, back: "system:serviceaccount:north:ci",
		},
		"listed in another agreement": {
			first: func(p *premises) { p.agree("other") },
			end:   func(p *premises) { p.change("other", removes("gail")) }, removed: "[]", told: removedEvent,
		},
		"somebody else is listed": {
			end: func(p *premises) { p.change("open", removes("gai", "Gail", "gail2")) }, has: gailHas, removed: "[gai Gail gail2]",
		},
		"the RoleBinding is deleted": {
			end: gone, removed: "[gail]", told: removedEvent, back: "gail",
		},
		"the RoleBinding for keys is deleted": {
			end: func(p *premises) { p.remove(p.binding(ofGail + keysSuffix)) }, removed: "[gail]", told: removedEvent, back: "gail",
		},
		"both RoleBindings are deleted": {
			end: func(p *premises) { p.remove(p.binding(ofGail + keysSuffix)); gone(p) }, removed: "[gail]", told: removedEvent, back: "gail",
		},
		"the subject is edited out": {
			end:     func(p *premises) { b := p.binding(ofGail); p.edit(b, func() { b.Subjects = nil }) },
			removed: "[gail]", told: removedEvent, back: "gail",
		},
		"another subject is edited in instead": {
			end:     func(p *premises) { b := p.binding(ofGail); p.edit(b, func() { b.Subjects[0].Name = "eve" }) },
			removed: "[gail]", told: removedEvent, back: "gail",
		},
		"the subject is edited out of the RoleBinding for keys": {
			end:     func(p *premises) { b := p.binding(ofGail + keysSuffix); p.edit(b, func() { b.Subjects = nil }) },
			removed: "[gail]", told: removedEvent, back: "gail",
		},
		"the RoleBinding of a group is deleted": { // so who has registered it cannot register himself instead
			first: func(p *premises) { p.remove(p.registration("reg")); p.register("group", people("agents"), "open") },
			end: func(p *premises) {
				p.remove(p.binding(partnerBindingName(terms.PartnerSubject{Kind: "Group", Name: "agents"})))
				p.register("zoe", person("zoe"), "open")
			}, removed: "[agents zoe]", told: removedEvent,
		},
		"the RoleBinding of a service account is deleted": { // nor can another one of its namespace
			first: func(p *premises) { p.remove(p.registration("reg")); p.register("ci", account("north", "ci"), "open") },
			end: func(p *premises) {
				p.remove(p.binding(partnerBindingName(terms.PartnerSubject{Kind: "User", Name: "system:serviceaccount:north:ci"})))
				p.register("cd", account("north", "cd"), "open")
			}, removed: "[system:serviceaccounts:north]", told: removedEvent,
		},
		"the RoleBinding is deleted, and the registration is": {
			end: func(p *premises) { gone(p); p.remove(p.registration("reg")) }, removed: "[gail]", told: removedEvent,
		},
		"the RoleBinding is deleted, and gail has registered anew": {
			end: func(p *premises) {
				gone(p)
				p.remove(p.registration("reg"))
				p.register("reg", person("gail"), "open")
			}, removed: "[gail]", told: removedEvent, back: "gail",
		},
		"the RoleBinding is deleted, and made again without our label": {
			end: func(p *premises) {
				b := p.binding(ofGail)
				gone(p)
				p.create(&rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: p.customer, Name: b.Name}, RoleRef: b.RoleRef})
			}, has: "agent:-", removed: "[gail]", told: removedEvent,
		},
		"the registration is deleted": {
			end: func(p *premises) { p.remove(p.registration("reg")) }, removed: "[]", told: removedEvent,
		},
		"the registration is being deleted": {
			first: func(p *premises) {
				reg := p.registration("reg")
				p.edit(reg, func() { reg.Finalizers = []string{"example.com/wait"} })
			},
			end: func(p *premises) { p.remove(p.registration("reg")) }, removed: "[]", told: removedEvent,
		},
		"the registration is recognised no longer": {
			end: func(p *premises) { p.recognise(p.registration("reg")) }, removed: "[]", told: removedEvent,
		},
		"one of two registrations is deleted": {
			first: func(p *premises) { p.register("reg2", person("gail"), "open") },
			end:   func(p *premises) { p.remove(p.registration("reg")) }, has: gailHas, removed: "[]",
		},
		"both registrations are deleted": {
			first: func(p *premises) { p.register("reg2", person("gail"), "open") },
			end: func(p *premises) {
				p.remove(p.registration("reg"))
				p.remove(p.registration("reg2"))
			}, removed: "[]", told: removedEvent,
		},
		"the agreement does not name the primary contact any more": {
			first: func(p *premises) {
				p.change("open", func(s *v1alpha1.PartnerAgreementSpec) { s.PrimaryContacts = []v1alpha1.Username{"gail"} })
				reg := p.registration("reg")
				reg.UID, reg.ResourceVersion = "", ""
				reg.Spec.AuthorizationNumber, reg.Spec.LicenseNumber, reg.Spec.CustomerEmail = "", "", ""
				p.remove(p.registration("reg"))
				p.create(reg)
				p.recognise(reg, "open")
			},
			end: func(p *premises) {
				p.change("open", func(s *v1alpha1.PartnerAgreementSpec) { s.PrimaryContacts = nil })
			}, removed: "[]", told: removedEvent,
		},
		"the customer's address is corrected": {
			end: func(p *premises) {
				p.change("open", func(s *v1alpha1.PartnerAgreementSpec) { s.CustomerEmail = accessSecret + "@new.example" })
			}, has: gailHas, removed: "[]",
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newAgent(t)
			named := func(s string) string { return strings.ReplaceAll(s, "PARTNER", p.partner) }
			if tc.first != nil {
				tc.first(p)
			}
			p.settled()
			had := p.has()
			if p.recorded("open") == "" || !strings.Contains(had, "agent:") {
				t.Fatalf("at first: has %q, on record %q", had, p.recorded("open"))
			}
			tc.end(p)
			p.start(live)
			p.visit()
			if told := p.told(); told != tc.told {
				t.Errorf("told %q, want %q", told, tc.told)
			}
			p.expect(tc.has)
			if got, want := p.removed("open"), named(tc.removed); got != want {
				t.Errorf("lists %s, want %s", got, want)
			}
			if on := p.recorded("open"); (on != "") != (tc.told == "") {
				t.Errorf("on record: %q", on)
			}
			p.idle()
			if tc.back == "" {
				return
			}
			p.change("open", readmits(v1alpha1.Username(named(tc.back))))
			p.settled()
			p.expect(had)
			if n := len(p.mails(terms.PartnerAdded)); n != 2 {
				t.Errorf("%d mails that a partner was added, want 2", n)
			}
		})
	}
}

// What is gone of agreements ends access, and a second one keeps it.
func TestPartnerAccessEndsWithItsAgreements(t *testing.T) {
	open := func(p *premises) *v1alpha1.PartnerAgreement { return p.agreement("open") }
	holdOn := func(p *premises) {
		a := open(p)
		p.edit(a, func() { a.Finalizers = []string{"example.com/wait"} })
	}
	both := func(p *premises) { p.agree("second"); p.register("reg2", person("gail"), "second") }
	for name, tc := range map[string]struct {
		first func(*premises)
		end   func(*premises)
		has   string
	}{
		"the only one is deleted": {end: func(p *premises) { p.remove(open(p)) }},
		"the only one is deleted, and what it owned is kept": {
			end: func(p *premises) { p.remove(open(p), client.PropagationPolicy(metav1.DeletePropagationOrphan)) },
		},
		"the only one is being deleted": {first: holdOn, end: func(p *premises) { p.remove(open(p)) }},
		"one of two is deleted":         {first: both, end: func(p *premises) { p.remove(open(p)) }, has: gailHas},
		"one of two is being deleted": {
			first: func(p *premises) { both(p); holdOn(p) }, end: func(p *premises) { p.remove(open(p)) }, has: gailHas,
		},
		"both are deleted": {first: both, end: func(p *premises) { p.remove(open(p)); p.remove(p.agreement("second")) }},
		"it is made anew with other numbers": {
			end: func(p *premises) {
				p.remove(open(p))
				p.agree("open", func(s *v1alpha1.PartnerAgreementSpec) { s.LicenseNumber = "80706051" })
			},
		},
		"it is made anew as it was": {end: func(p *premises) { p.remove(open(p)); p.agree("open") }, has: gailHas},
		"both are made anew at a time": {first: both, end: func(p *premises) {
			p.remove(open(p))
			p.remove(p.agreement("second"))
			p.agree("open")
			p.agree("second")
		}, has: gailHas},
	} {
		t.Run(name, func(t *testing.T) {
			p := newAgent(t)
			if tc.first != nil {
				tc.first(p)
			}
			p.settled()
			p.expect(gailHas)
			before := p.binding(ofGail).UID
			tc.end(p)
			p.start(live)
			p.visit()
			p.expect(tc.has)
			p.idle()
			if tc.has != "" {
				p.ownedByThose()
				// The garbage collector may be about to delete one without owners.
				if kept := p.binding(ofGail).UID == before; kept != strings.HasPrefix(name, "one of two") {
					t.Errorf("the same RoleBinding: %v", kept)
				}
			}
			for _, a := range p.agreements() {
				if len(a.Spec.RemovedPartners) > 0 {
					t.Errorf("%s lists %v", a.Name, a.Spec.RemovedPartners)
				}
				if isGoing(&a) && len(a.Status.Partners) > 0 {
					t.Errorf("%s is being deleted, and has %v on record", a.Name, a.Status.Partners)
				}
			}
		})
	}
}

func (p *premises) agreements() []v1alpha1.PartnerAgreement {
	p.t.Helper()
	var list v1alpha1.PartnerAgreementList
	if err := live.List(p.t.Context(), &list, client.InNamespace(p.customer)); err != nil {
		p.t.Fatal(err)
	}
	return list.Items
}

// ownedByThose checks that the garbage collector deletes gail's RoleBindings with
// the last agreement that has them on record, and not before.
func (p *premises) ownedByThose() {
	p.t.Helper()
	var owners []string
	main := p.binding(ofGail)
	for _, a := range p.agreements() {
		if len(a.Status.Partners) > 0 && a.DeletionTimestamp.IsZero() {
			owners = append(owners, string(a.UID))
			if got := a.Status.Partners[0].RoleBinding; got.UID != main.UID || got.Name != main.Name {
				p.t.Errorf("%s has %+v on record, and there is %s", a.Name, got, main.UID)
			}
		}
	}
	var got []string
	for _, ref := range main.OwnerReferences {
		got = append(got, string(ref.UID))
		if ref.Controller != nil || ref.BlockOwnerDeletion != nil {
			p.t.Errorf("owner %+v", ref)
		}
	}
	slices.Sort(got)
	slices.Sort(owners)
	if !slices.Equal(got, owners) {
		p.t.Errorf("owned by %v, on record of %v", got, owners)
	}
	if keys := p.binding(ofGail + keysSuffix); len(keys.OwnerReferences) != 1 || keys.OwnerReferences[0].UID != main.UID {
		p.t.Errorf("the one for keys is owned by %v", keys.OwnerReferences)
	}
}

// Another agreement for the same partner adds an owner, and its customer is told.
func TestPartnerAccessByTwoAgreements(t *testing.T) {
	p := newAgent(t)
	p.settled()
	uid := p.binding(ofGail).UID
	p.agree("second")
	p.register("reg2", person("gail"), "second")
	p.visit()
	p.expect(gailHas)
	p.ownedByThose()
	if got := p.recorded("open") + " " + p.recorded("second"); got != "gail gail" || p.binding(ofGail).UID != uid {
		t.Errorf("on record %q, %s was %s", got, p.binding(ofGail).UID, uid)
	}
	if mails := p.mails(terms.PartnerAdded); len(mails) != 2 {
		t.Errorf("%d mails", len(mails))
	}
	p.idle()

	// What the customer takes away is listed in each, also if one is refused at first.
	p.remove(p.binding(ofGail))
	p.line.refuse = func(verb string, o client.Object) error {
		if verb == "patch" && o.GetName() == "second" {
			return errLine
		}
		return nil
	}
	if _, err := p.tryVisit(); !errors.Is(err, errLine) || p.removed("open")+p.removed("second") != "[gail][]" {
		t.Errorf("%v: listed %s", err, p.removed("open")+p.removed("second"))
	}
	p.line.refuse = nil
	p.visit()
	if got := p.removed("open") + p.removed("second"); got != "[gail][gail]" || p.has() != "" {
		t.Errorf("listed %s, has %q", got, p.has())
	}
	p.idle()
	p.change("open", readmits("gail"))
	p.settled()
	p.expect("")
	p.change("second", readmits("gail"))
	p.settled()
	p.expect(gailHas)

	// The registration for one of them ends.
	p.remove(p.registration("reg"))
	p.settled()
	p.expect(gailHas)
	if got := p.recorded("open") + "/" + p.recorded("second"); got != "/gail" {
		t.Errorf("on record %q", got)
	}
	p.ownedByThose()
}

// A partner who has customers adds an agreement of another one.
func TestPartnerOfThreeCustomers(t *testing.T) {
	var all []*premises
	for range 3 {
		p := newPremises(t)
		p.agree("open")
		p.register("reg", person("gail"), "open")
		all = append(all, p)
		for _, other := range all {
			other.settled()
			other.expect(gailHas)
		}
	}
	all[1].change("open", removes("gail"))
	for i, p := range all {
		p.settled()
		p.expect([]string{gailHas, "", gailHas}[i])
	}
}

// Wherever a write fails or its answer is lost, and the operator dies then, the
// next one gets to the same end. Access that the customer ends between any two
// writes ends, and stays away.
func TestPartnerAccessAfterEachFailure(t *testing.T) {
	for name, tc := range map[string]struct {
		ready   bool // gail has access at first
		does    func(*premises)
		has     string
		removed string
	}{
		"granting":                     {does: func(*premises) {}, has: gailHas, removed: "[]"},
		"ending it by an entry":        {true, func(p *premises) { p.change("open", removes("gail")) }, "", "[gail]"},
		"ending it by deleting":        {true, func(p *premises) { p.remove(p.binding(ofGail)) }, "", "[gail]"},
		"ending it by deleting keys":   {true, func(p *premises) { p.remove(p.binding(ofGail + keysSuffix)) }, "", "[gail]"},
		"ending it by deregistering":   {true, func(p *premises) { p.remove(p.registration("reg")) }, "", "[]"},
		"ending it with the agreement": {true, func(p *premises) { p.remove(p.agreement("open")) }, "", ""},
	} {
		for _, after := range []bool{false, true} {
			for n := 1; !tc.ready || !after; n++ { // see TestPartnerAccessComesBackAfterEachFailure for lost answers
				p := newAgent(t)
				if tc.ready {
					p.visit()
				}
				tc.does(p)
				p.start(live)
				p.line.breakAt, p.line.after = n, after
				_, err := p.tryVisit()
				done := p.line.written < n
				if at := fmt.Sprintf("%s, write %d, carried out %v", name, n, after); !tc.ready {
					p.granted(at)
				} else if len(p.subjects()) > 0 && err == nil {
					t.Errorf("%s: gail still has access: %s", at, p.has())
				}
				lost := 0
				if p.line.lostMail {
					lost = 1 // as the process is lost that would have tried again
				}
				p.start(live)
				p.settled()
				p.expect(tc.has)
				if tc.removed != "" && p.removed("open") != tc.removed {
					t.Errorf("%s, write %d, carried out %v: lists %s", name, n, after, p.removed("open"))
				}
				if tc.has != "" && len(p.mails(terms.PartnerAdded))+lost < 1 {
					t.Errorf("%s, write %d, carried out %v: %d mails", name, n, after, len(p.mails(terms.PartnerAdded)))
				}
				if done {
					if n < 3 {
						t.Errorf("%s: only %d writes", name, n-1)
					}
					break
				}
			}
		}
	}
}

// subjects are all whom RoleBindings of the operator name.
func (p *premises) subjects() (all []rbacv1.Subject) {
	p.t.Helper()
	for _, b := range p.bindings(p.customer) {
		all = append(all, b.Subjects...)
	}
	return all
}

// granted checks that nobody has access by a RoleBinding that is not on record.
func (p *premises) granted(at string) {
	p.t.Helper()
	if len(p.subjects()) > 0 && p.recorded("open") == "" {
		p.t.Errorf("%s: has %q, and nothing is on record", at, p.has())
	}
}

// The customer deletes what there is of the RoleBindings before any write of the
// pass that grants access.
func TestPartnerAccessDeletedWhileGranted(t *testing.T) {
	for _, which := range []string{"", keysSuffix} {
		for n := 1; ; n++ {
			p := newAgent(t)
			deleted := false
			p.line.before = func(write int) {
				if write != n {
					return
				}
				b := &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: p.customer, Name: ofGail + which}}
				deleted = live.Delete(t.Context(), b) == nil
			}
			_, err := p.tryVisit()
			if p.line.written < n {
				if n < 6 {
					t.Errorf("only %d writes (%v)", n-1, err)
				}
				break
			}
			p.line.before = nil
			p.settled()
			want, lists := gailHas, "[]"
			if deleted && n > 2 { // both were there; else a crash may have kept one from being made
				want, lists = "", "[gail]"
			}
			if p.has() != want || p.removed("open") != lists {
				t.Errorf("%s deleted before write %d: has %q, lists %s", ofGail+which, n, p.has(), p.removed("open"))
			}
		}
	}
}

// Somebody edits the partner out of either RoleBinding before any write that
// follows the one that made it name him. Access is not given again.
func TestPartnerAccessEditedOutWhileGranted(t *testing.T) {
	for _, which := range []string{"", keysSuffix} {
		edited := 0
		for n := 1; ; n++ {
			p := newAgent(t)
			taken := false
			p.line.before = func(write int) {
				if write != n || p.has() != gailHas {
					return
				}
				b := p.binding(ofGail + which)
				p.edit(b, func() { b.Subjects = nil })
				taken = true
			}
			_, err := p.tryVisit()
			if p.line.written < n {
				if edited < 2 {
					t.Errorf("%d times after access was given (%v)", edited, err)
				}
				break
			}
			if p.line.before = nil; !taken {
				continue
			}
			edited++
			p.settled()
			if p.has() != "" || p.removed("open") != "[gail]" || p.recorded("open") != "" {
				t.Errorf("edited out of %s before write %d: has %q, lists %s, on record %q", ofGail+which, n, p.has(), p.removed("open"), p.recorded("open"))
			}
			p.change("open", readmits("gail"))
			p.settled()
			p.expect(gailHas)
		}
	}
}

// A list that is full has no room for whom the customer takes away. He stays
// away, and the customer is told what to do.
func TestPartnerAccessRemovedWithoutRoom(t *testing.T) {
	var full []v1alpha1.Username
	for i := range maxRemoved {
		full = append(full, v1alpha1.Username(fmt.Sprintf("former-%03d", i)))
	}
	p := newAgent(t)
	p.register("hal", person("hal"), "open")
	p.change("open", removes(full...))
	p.settled()
	p.expect("agent:gail agent:hal keys:gail keys:hal")
	p.remove(p.binding(ofGail + keysSuffix))
	for range 2 {
		p.start(live)
		p.settled()
		p.expect("agent:- agent:hal keys:hal")
		a := p.agreement("open")
		if message := conditionOf(a, "Stalled").Message; conditions(a) != "Ready=False(TooManyRemoved) Stalled=True(TooManyRemoved)" || kstatus(t, a) != status.FailedStatus ||
			!strings.Contains(message, "no room for User gail, ") || !strings.Contains(message, "take entries out") {
			t.Errorf("%s %s", conditions(a), message)
		}
		p.remove(p.registration("reg")) // which changes nothing
		p.register("reg", person("gail"), "open")
	}
	p.remove(p.binding(ofGail))
	p.settled()
	p.expect("agent:hal keys:hal")

	p.change("open", readmits("former-007"))
	p.settled()
	p.expect("agent:hal keys:hal")
	if a := p.agreement("open"); conditions(a) != "Ready=True(InForce)" || a.Spec.RemovedPartners[maxRemoved-1] != "gail" || p.recorded("open") != "hal" {
		t.Errorf("%s, on record %q", conditions(a), p.recorded("open"))
	}
	p.change("open", readmits("gail"))
	p.settled()
	p.expect("agent:gail agent:hal keys:gail keys:hal")

	// Another agreement has room, which is enough.
	p.agree("second")
	p.register("reg2", person("gail"), "second")
	p.change("open", removes("former-007"))
	p.settled()
	p.remove(p.binding(ofGail))
	p.settled()
	p.expect("agent:hal keys:hal")
	if a := p.agreement("open"); conditions(a) != "Ready=True(InForce)" || p.removed("second") != "[gail]" || p.recorded("open") != "hal" {
		t.Errorf("%s, lists %s, on record %q", conditions(a), p.removed("second"), p.recorded("open"))
	}
	p.change("second", readmits("gail"))
	p.settled()
	p.expect("agent:gail agent:hal keys:gail keys:hal")
}

// The customer lists the partner, or the partner deregisters, before any write of
// the pass that grants access: nobody is let in any more.
func TestPartnerAccessRefusedWhileGranted(t *testing.T) {
	for name, end := range map[string]func(p *premises){
		"listed":       func(p *premises) { p.change("open", removes("gail")) },
		"deregistered": func(p *premises) { p.remove(p.registration("reg")) },
	} {
		for n := 1; ; n++ {
			p := newAgent(t)
			p.line.before = func(write int) {
				if write == n {
					end(p)
				}
			}
			_, err := p.tryVisit()
			if p.line.written < n {
				if n < 6 {
					t.Errorf("only %d writes (%v)", n-1, err)
				}
				break
			}
			p.line.before = nil
			p.settled()
			if p.has() != "" || p.recorded("open") != "" {
				t.Errorf("%s before write %d: has %q, on record %q", name, n, p.has(), p.recorded("open"))
			}
		}
	}
}

// After any failure of ending, access comes back once the entry is taken out: the
// operator knows what was its own doing. What it has begun to note it notes again.
func TestPartnerAccessComesBackAfterEachFailure(t *testing.T) {
	for name, end := range map[string]func(*premises){
		"by an entry": func(p *premises) { p.change("open", removes("gail")) },
		"by deleting": func(p *premises) { p.remove(p.binding(ofGail)) },
	} {
		for n := 1; ; n++ {
			p := newAgent(t)
			p.settled()
			end(p)
			p.start(live)
			p.line.breakAt, p.line.after = n, true
			_, _ = p.tryVisit()
			if p.line.written < n {
				break
			}
			had, lists := gailHas, "[]"
			if name == "by deleting" && p.recorded("open") != "" { // not noted yet, or only just: it is once more
				had, lists = "", "[gail]"
			}
			p.change("open", readmits("gail"))
			p.start(live)
			p.settled()
			if p.has() != had || p.removed("open") != lists {
				t.Errorf("%s, write %d: has %q, lists %s", name, n, p.has(), p.removed("open"))
			}
			p.change("open", readmits("gail"))
			p.settled()
			p.expect(gailHas)
			if p.removed("open") != "[]" {
				t.Errorf("%s, write %d: lists %s", name, n, p.removed("open"))
			}
		}
	}
}

// Nothing that fails keeps access from being taken away, and that comes first.
func TestPartnerAccessEndsFirst(t *testing.T) {
	p := newPremises(t)
	p.agree("open", names(person("ada")))
	p.register("gail", person("gail"), "open")
	p.settled()
	p.expect("admin:ada adminkeys:ada " + gailHas)

	p.change("open", func(s *v1alpha1.PartnerAgreementSpec) {
		s.RemovedPartners, s.Administrators = []v1alpha1.Username{"gail"}, []v1alpha1.Subject{person("bob")}
	})
	p.register("hal", person("hal"), "open")
	first := true
	p.line.refuse = func(verb string, o client.Object) error {
		if b, ok := o.(*rbacv1.RoleBinding); ok && (verb == "delete" || verb == "update" && !slices.ContainsFunc(b.Subjects, func(s rbacv1.Subject) bool { return s.Name == "hal" })) {
			return nil
		}
		if first && strings.Contains(p.has(), "gail") {
			t.Errorf("%s %T while gail has access: %s", verb, o, p.has())
		}
		first = false
		return errLine
	}
	if _, err := p.tryVisit(); !errors.Is(err, errLine) {
		t.Error(err)
	}
	if strings.Contains(p.has(), "gail") || strings.Contains(p.has(), "ada") {
		t.Errorf("has %q", p.has())
	}
	p.line.refuse = nil
	p.settled()
	p.expect("admin:bob adminkeys:bob agent:hal keys:hal")

	// An update that is refused does not keep it up: it is deleted then.
	p.change("open", removes("hal"))
	p.line.refuse = func(verb string, o client.Object) error {
		if verb == "update" {
			return errLine
		}
		return nil
	}
	_, _ = p.tryVisit()
	p.expect("admin:bob adminkeys:bob")
	if got := p.removed("open"); got != "[gail hal]" || p.recorded("open") != "" {
		t.Errorf("lists %s, on record %q", got, p.recorded("open"))
	}

	// Of two, one cannot be taken away: the other one is.
	p.line.refuse = nil
	p.change("open", readmits("gail"))
	p.change("open", readmits("hal"))
	p.settled()
	p.expect("admin:bob adminkeys:bob agent:gail agent:hal keys:gail keys:hal")
	p.change("open", removes("gail", "hal"))
	p.line.refuse = func(_ string, o client.Object) error {
		if b, ok := o.(*rbacv1.RoleBinding); ok && strings.HasPrefix(b.Name, ofGail) {
			return errLine
		}
		return nil
	}
	if _, err := p.tryVisit(); !errors.Is(err, errLine) {
		t.Error(err)
	}
	p.expect("admin:bob adminkeys:bob agent:gail keys:gail")
	if got := p.recorded("open"); got != "" { // of gail it is to be deleted then
		t.Errorf("on record %q", got)
	}
}

// A late cache takes nothing away, excludes nobody and lets nobody in.
func TestPartnerAccessWithALateCache(t *testing.T) {
	p := newAgent(t)
	p.settled()
	p.line.late = &rbacv1.RoleBindingList{} // it does not show the RoleBindings yet
	p.settled()
	p.expect(gailHas)
	if p.removed("open") != "[]" {
		t.Errorf("lists %s", p.removed("open"))
	}
	p.line.late, p.line.blind = nil, true // nor the registration
	p.settled()
	p.expect(gailHas)

	p.line.blind = false
	p.line.late = &rbacv1.RoleBindingList{Items: p.bindings(p.customer)}
	p.change("open", removes("gail")) // it shows RoleBindings that are gone
	for range 3 {
		p.visit()
		p.expect("")
	}
	if p.removed("open") != "[gail]" {
		t.Errorf("lists %s", p.removed("open"))
	}
}

// Nobody gets a role in the namespaces of the operator and of Kubernetes, and
// what is there is taken away.
func TestPartnerAccessReserved(t *testing.T) {
	for _, namespace := range []string{operatorNamespace, "kube-system", "kube-premises"} {
		p := newPremises(t)
		home := p.customer
		if namespace == "kube-premises" {
			p.create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}})
		}
		p.customer = namespace
		name := home
		p.agree(name, names(person("ada")))
		p.register("reg", person("gail"), name)
		for _, binding := range []string{ofGail, ofGail + keysSuffix, administratorsName, administratorsName + keysSuffix, partnerPrefix + "eve-0123456789"} {
			p.create(newBinding(namespace, binding, "", []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: "eve"}}))
		}
		a := p.agreement(name) // as if it had not been reserved before
		a.Status.Partners = []v1alpha1.AgreementPartner{{
			Kind: "User", Name: "gail", Registration: v1alpha1.ObjectReference{Namespace: p.partner, Name: "reg"},
			RoleBinding: v1alpha1.AgreementRoleBinding{Reference: v1alpha1.Reference{Name: ofGail}, UID: p.binding(ofGail).UID},
		}}
		if err := live.Status().Update(t.Context(), a); err != nil {
			t.Fatal(err)
		}
		p.settled()
		var left []string
		for _, b := range p.bindings(namespace) {
			if strings.HasPrefix(b.Name, "license-operator-") {
				left = append(left, b.Name)
			}
		}
		a = p.agreement(name)
		if left != nil || len(a.Status.Partners) > 0 || a.Status.Administrators > 0 {
			t.Errorf("%s: left %v, status %+v", namespace, left, a.Status)
		}
		if got := conditions(a); got != "Ready=False(NamespaceReserved) Stalled=True(NamespaceReserved)" || kstatus(t, a) != status.FailedStatus {
			t.Errorf("%s: %s", namespace, got)
		}
		if m := (*a.Conditions())[0].Message; !strings.Contains(m, "delete this PartnerAgreement, and create it in the namespace of the customer") {
			t.Error(m)
		}
		if len(p.mails(terms.AdministratorsInvited)) > 0 {
			t.Error("somebody was invited")
		}
		p.remove(a)
		p.customer = home
	}
}

// RoleBindings of others stay as they are, whatever they look like.
func TestPartnerAccessAndTheRoleBindingsOfOthers(t *testing.T) {
	eve := []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: "eve"}}
	agent := rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: partnerRole}
	admin := rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: administratorRole}
	edit := rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "edit"}
	const stray = partnerPrefix + "eve-0123456789"
	for name, tc := range map[string]struct {
		binding string
		label   bool
		role    rbacv1.RoleRef
		told    bool   // by the agreement
		gone    bool   // the RoleBinding is deleted
		has     string // beside it
	}{
		"no name of ours, and no label":                {"eve", false, agent, false, false, gailHas},
		"no name of ours, with our label":              {"eve", true, agent, false, false, gailHas},
		"nearly our name, with our label":              {"license-operator-partners", true, agent, false, false, gailHas},
		"our prefix, without our label":                {stray, false, agent, false, false, gailHas},
		"our prefix and label, and another role":       {stray, true, edit, true, false, gailHas},
		"our prefix and label, the administrators'":    {stray, true, admin, true, false, gailHas},
		"our prefix, label and role":                   {stray, true, agent, false, true, gailHas},
		"gail's name, without our label":               {ofGail, false, agent, true, false, ""},
		"gail's name, with our label and another role": {ofGail, true, edit, true, false, ""},
		"gail's name for keys, without our label":      {ofGail + keysSuffix, false, rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: KeyRoleName}, true, false, ""},
		"gail's name for keys, with the agent's role":  {ofGail + keysSuffix, true, agent, true, false, ""},
		"the administrators', without our label":       {administratorsName, false, admin, true, false, gailHas},
		"the administrators', with another role":       {administratorsName, true, edit, true, false, gailHas},
	} {
		t.Run(name, func(t *testing.T) {
			p := newAgent(t)
			p.change("open", names(person("ada")))
			b := newBinding(p.customer, tc.binding, "", eve)
			if b.RoleRef = tc.role; !tc.label {
				b.Labels = nil
			}
			p.create(b)
			p.settled()
			var there *rbacv1.RoleBinding
			for _, one := range p.bindings(p.customer) {
				if one.Name == tc.binding {
					there = &one
				}
			}
			if (there == nil) != tc.gone || there != nil && there.ResourceVersion != b.ResourceVersion {
				t.Errorf("it is %+v now", there)
			}
			if there != nil {
				p.remove(there)
			}
			wantAdmins := "admin:ada adminkeys:ada "
			if tc.binding == administratorsName {
				wantAdmins = "adminkeys:ada "
			}
			p.expect(strings.TrimSpace(wantAdmins + tc.has))
			a := p.agreement("open")
			message := conditionOf(a, "Ready").Message
			if told := strings.Contains(message, tc.binding) && strings.Contains(message, "delete it"); told != tc.told {
				t.Errorf("told %v: %s %s", told, conditions(a), message)
			}
			if !tc.told {
				return
			}
			if got := conditions(a); got != "Ready=False(BindingNameTaken) Stalled=True(BindingNameTaken)" {
				t.Error(got)
			}
			p.settled() // without it
			p.expect("admin:ada adminkeys:ada " + gailHas)
			if got := conditions(p.agreement("open")); got != "Ready=True(InForce)" {
				t.Error(got)
			}
		})
	}
}

func conditionOf(o object, typ string) metav1.Condition {
	for _, c := range *o.Conditions() {
		if c.Type == typ {
			return c
		}
	}
	return metav1.Condition{}
}

// Somebody takes our label off: what it gives is his from then on, and the
// customer is told.
func TestPartnerAccessWithoutOurLabel(t *testing.T) {
	p := newAgent(t)
	p.settled()
	b := p.binding(ofGail)
	p.edit(b, func() { b.Labels = nil })
	if res := p.visit(); res.RequeueAfter != poll {
		t.Errorf("comes again after %v", res.RequeueAfter)
	}
	p.idle()
	a := p.agreement("open")
	if reasonOf(a, v1alpha1.ConditionStalled) != v1alpha1.ReasonBindingNameTaken || p.removed("open") != "[]" || p.recorded("open") != "gail" {
		t.Errorf("%s, lists %s, on record %q", conditions(a), p.removed("open"), p.recorded("open"))
	}
	p.edit(b, func() { b.Labels = ours })
	p.settled()
	p.expect(gailHas)
	p.edit(b, func() { b.Labels = nil })
	p.change("open", removes("gail"))
	p.settled()
	p.expect("agent:gail keys:gail")
	if a := p.agreement("open"); !strings.Contains(conditionOf(a, "Ready").Message, ofGail) {
		t.Errorf("%s %s", conditions(a), conditionOf(a, "Ready").Message)
	}
}

// A RoleBinding that somebody puts back on purpose is taken on, and the customer
// is told.
func TestPartnerAccessPutBack(t *testing.T) {
	p := newAgent(t)
	p.settled()
	main, keys := p.binding(ofGail), p.binding(ofGail+keysSuffix)
	p.remove(main)
	p.remove(keys)
	for _, b := range []*rbacv1.RoleBinding{main, keys} {
		b.UID, b.ResourceVersion = "", ""
		p.create(b)
		if b == main {
			keys.OwnerReferences[0].UID = main.UID
		}
	}
	p.settled()
	p.expect(gailHas)
	p.ownedByThose()
	if p.removed("open") != "[]" || p.recorded("open") != "gail" || len(p.mails(terms.PartnerAdded)) != 2 {
		t.Errorf("lists %s, on record %q, %d mails", p.removed("open"), p.recorded("open"), len(p.mails(terms.PartnerAdded)))
	}
}

// Drift of what is ours is corrected; what people add to it stays.
func TestPartnerAccessDrift(t *testing.T) {
	p := newAgent(t)
	p.settled()
	for _, name := range []string{ofGail, ofGail + keysSuffix} {
		b := p.binding(name)
		p.edit(b, func() {
			b.Subjects = append(b.Subjects, rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: "Group", Name: "system:authenticated"})
			b.OwnerReferences, b.Labels["team"] = nil, "it"
		})
	}
	p.visit()
	p.expect(gailHas)
	p.ownedByThose()
	if p.removed("open") != "[]" || p.binding(ofGail).Labels["team"] != "it" {
		t.Errorf("lists %s, labels %v", p.removed("open"), p.binding(ofGail).Labels)
	}
	p.idle()
}

// The administrators of all agreements get their role, and nobody else.
func TestPartnerAccessOfAdministrators(t *testing.T) {
	p := newPremises(t)
	p.agree("a", names(person("bob"), people("owners"), person("bob")))
	p.agree("b", names(account("ci", "deployer"), person("ada"), person("bob")))
	p.settled()
	const all = "%owners,ada,bob,ci:deployer"
	p.expect("admin:" + all + " adminkeys:" + all)
	for _, name := range []string{"a", "b"} {
		a := p.agreement(name)
		if a.Status.Administrators != 4 || conditionOf(a, "Ready").Message != "4 administrators; no partners" {
			t.Errorf("%d, %q", a.Status.Administrators, conditionOf(a, "Ready").Message)
		}
	}
	b := p.binding(administratorsName)
	if s := b.Subjects[3]; s.Kind != "User" || s.Name != "system:serviceaccount:ci:deployer" || b.Annotations["kubernetes.io/description"] == "" {
		t.Errorf("%+v", b)
	}
	p.edit(b, func() {
		b.Subjects = append(b.Subjects[1:], rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: "User", Name: "eve"})
	})
	p.remove(p.binding(administratorsName + keysSuffix))
	p.settled()
	p.expect("admin:" + all + " adminkeys:" + all)
	p.remove(p.agreement("a"))
	p.settled()
	p.expect("admin:ada,bob,ci:deployer adminkeys:ada,bob,ci:deployer")
	p.change("b", names())
	p.settled()
	p.expect("")
	if m := conditionOf(p.agreement("b"), "Ready").Message; !strings.HasPrefix(m, "nobody is named in spec.administrators: ") {
		t.Error(m)
	}
	p.change("b", names(person("ada")))
	p.settled()
	p.remove(p.agreement("b"))
	p.start(live)
	p.settled()
	p.expect("")
}

// RBAC takes every name that an agreement or a registration takes.
func TestPartnerAccessOfAnyName(t *testing.T) {
	p := newPremises(t)
	strange := []string{"o'brien", "Ünïcödé ☂", "*", "a b", "-", "../x", "x:y", "https://login.example/#gail@northwind.example", strings.Repeat("n", 253), strings.Repeat("é", 253)}
	var subjects []v1alpha1.Subject
	for _, name := range strange {
		subjects = append(subjects, person(name), people(name))
	}
	long := strings.Repeat("a", 150)
	p.agree(long, names(subjects...))
	for i, s := range subjects {
		p.register(fmt.Sprint("reg-", i), s, long)
	}
	p.settled()
	a, bound := p.agreement(long), p.bindings(p.customer)
	if got := conditions(a); got != "Ready=True(InForce)" || len(a.Status.Partners) != len(subjects) || a.Status.Administrators != int64(len(subjects)) {
		t.Errorf("%s, %d partners, %d administrators of %d", got, len(a.Status.Partners), a.Status.Administrators, len(subjects))
	}
	if n := len(bound); n != 2+2*len(subjects) {
		t.Errorf("%d RoleBindings", n)
	}
	commands, entries := map[string]int{}, 0
	for _, mail := range p.mails(terms.PartnerAdded) {
		if strings.Contains(mail.Text, " to end this access, or ") { // else there is no room
			entries++
		}
		lines := strings.Split(mail.Text, "\n")
		for n, line := range lines {
			if command, isOne := strings.CutPrefix(line, "kubectl -n "+p.customer+" "); isOne {
				what, object, _ := strings.Cut(command, " ")
				kind, name, _ := strings.Cut(object, " ")
				commands[what]++
				if !slices.ContainsFunc(bound, func(b rbacv1.RoleBinding) bool { return what+" "+kind == "delete rolebinding" && b.Name == name }) &&
					command != "edit partneragreement "+long {
					t.Error(line)
				}
			} else if n%2 == 1 || n == len(lines)-1 || strings.Count(strings.ReplaceAll(line, `\"`, ""), `"`)%2 != 0 {
				t.Error(mail.Text)
			}
		}
	}
	if n := len(subjects); commands["delete"] != n || commands["edit"] != n || entries != n-4 {
		t.Errorf("of %d mails %d have the entry, and %v", n, entries, commands)
	}
}

// Names of RoleBindings tell who it is, and are never those of somebody else.
func TestPartnerBindingName(t *testing.T) {
	seen := map[string]bool{}
	for s, want := range map[terms.PartnerSubject]string{
		{Kind: "User", Name: "gail@northwind.example"}:         "gail-northwind-example-",
		{Kind: "Group", Name: "gail@northwind.example"}:        "gail-northwind-example-",
		{Kind: "User", Name: "Gail@northwind.example"}:         "gail-northwind-example-",
		{Kind: "User", Name: "gail.northwind.example"}:         "gail-northwind-example-",
		{Kind: "User", Name: "system:serviceaccount:north:ci"}: "system-serviceaccount-north-ci-",
		{Kind: "User", Name: strings.Repeat("a", 39) + "-b"}:   strings.Repeat("a", 39) + "-",
		{Kind: "User", Name: strings.Repeat("a", 300)}:         strings.Repeat("a", 40) + "-",
		{Kind: "User", Name: "☂"}:                              "",
		{Kind: "User", Name: "keys"}:                           "keys-",
		{Kind: "User", Name: "User\nadministrators"}:           "user-administrators-",
	} {
		name := partnerBindingName(s)
		rest, ok := strings.CutPrefix(name, partnerPrefix+want)
		if !ok || len(rest) != 32 || strings.Trim(rest, "0123456789abcdef") != "" || seen[name] {
			t.Errorf("%v: %s", s, name)
		}
		if role, known := roleFor(name); !known || role.Name != partnerRole || role.Kind != "ClusterRole" {
			t.Errorf("%s: %v", name, role)
		}
		if role, known := roleFor(name + keysSuffix); !known || role.Name != KeyRoleName || role.Kind != "Role" {
			t.Errorf("%s: %v", name, role)
		}
		seen[name] = true
	}
	for name, want := range map[string]string{
		administratorsName: administratorRole, administratorsName + keysSuffix: KeyRoleName,
		administratorsName + "x": "", "license-operator-keys": "", "x-keys": "", "": "", "license-operator-partner": "",
	} {
		if role, known := roleFor(name); known != (want != "") || known && role.Name != want {
			t.Errorf("%q: %v %v", name, role, known)
		}
	}
}

// What an agreement tells.
func TestPartnerAgreementTells(t *testing.T) {
	p := newAgent(t)
	p.register("group", people("agents"), "open")
	p.change("open", names(person("ada"), person("bob")))
	p.settled()
	a := p.agreement("open")
	if got := conditionOf(a, "Ready").Message; got != "2 administrators; partners: Group agents, User gail" || conditions(a) != "Ready=True(InForce)" || kstatus(t, a) != status.CurrentStatus {
		t.Errorf("%s %s", conditions(a), got)
	}
	for _, entry := range a.Status.Partners {
		if entry.Registration.Namespace != p.partner || entry.RoleBinding.UID != p.binding(entry.RoleBinding.Name).UID || entry.Since == nil {
			t.Errorf("%+v", entry)
		}
	}
	p.change("open", removes("gial", "gail"))
	p.settled()
	if got := conditionOf(p.agreement("open"), "Ready").Message; got != "2 administrators; partners: Group agents; nobody who is recognised now is meant by gial in spec.removedPartners: leave that to keep them out, or correct it if it is misspelt" {
		t.Error(got)
	}

	// The oldest registration is told, and then the next.
	p.change("open", readmits("gail"))
	p.clock.SetTime(p.clock.Now().Add(time.Hour))
	p.register("younger", person("gail"), "open")
	p.settled()
	of := func() string {
		entry := p.agreement("open").Status.Partners[1]
		return entry.Registration.Name + " " + entry.Since.String()
	}
	before := of()
	p.remove(p.registration("reg"))
	p.settled()
	if !strings.HasPrefix(before, "reg ") || of() != strings.Replace(before, "reg ", "younger ", 1) {
		t.Errorf("%s, then %s", before, of())
	}

	// What fails is told, without what proves who the customer is.
	p.register("hal", person("hal"), "open")
	p.line.refuse = func(verb string, o client.Object) error {
		if verb == "create" {
			return errLine
		}
		return nil
	}
	if _, err := p.tryVisit(); !errors.Is(err, errLine) {
		t.Error(err)
	}
	if a := p.agreement("open"); reasonOf(a, v1alpha1.ConditionReconciling) != v1alpha1.ReasonRetrying || !strings.Contains(conditionOf(a, "Reconciling").Message, errLine.Error()) {
		t.Errorf("%s %s", conditions(a), conditionOf(a, "Reconciling").Message)
	}
	p.line.refuse = nil
	p.settled()
}

// The API server quotes an agreement that it does not take. Nobody is told that.
func TestPartnerAccessQuotesNothing(t *testing.T) {
	p := newAgent(t)
	p.settled()
	invalid := apierrors.NewInvalid(v1alpha1.GroupVersion.WithKind("PartnerAgreement").GroupKind(), "open",
		field.ErrorList{field.Invalid(field.NewPath("spec", "customerEmail"), accessSecret+"@contoso.example", "is wrong")})
	for _, wanted := range []string{"patch", "status"} {
		p.line.refuse = func(verb string, _ client.Object) error {
			if verb == wanted {
				return invalid
			}
			return nil
		}
		b := &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: p.customer, Name: ofGail}}
		_ = live.Delete(t.Context(), b)
		_, err := p.tryVisit()
		if err == nil || strings.Contains(err.Error(), accessSecret) || !strings.Contains(err.Error(), "PartnerAgreement open") {
			t.Errorf("%s: %v", wanted, err)
		}
		p.expect("") // and nobody gets it back
		if wanted == "patch" {
			a := p.agreement("open")
			if m := conditionOf(a, "Stalled").Message; reasonOf(a, "Stalled") != v1alpha1.ReasonRemovalRefused || !strings.Contains(m, "RoleBinding of User gail was deleted") || !strings.Contains(m, "list this partner there by hand") {
				t.Errorf("%s %s", conditions(a), m)
			}
			// Others come and go meanwhile.
			p.register("hal", person("hal"), "open")
			_, _ = p.tryVisit()
			if p.expect("agent:hal keys:hal"); p.recorded("open") != "gail hal" {
				t.Errorf("on record: %s", p.recorded("open"))
			}
			p.remove(p.registration("hal"))
			_, _ = p.tryVisit()
			if p.expect(""); p.recorded("open") != "gail" {
				t.Errorf("on record: %s", p.recorded("open"))
			}
		}
	}
	p.line.refuse = nil
	p.settled()
	if p.removed("open") != "[gail]" {
		t.Errorf("lists %s", p.removed("open"))
	}
}

// More than a hundred partners have no room in an agreement. Those who were there
// first stay.
func TestPartnerAccessOfTooMany(t *testing.T) {
	p := newPremises(t)
	p.agree("open")
	for i := range maxPartners + 2 {
		p.register(fmt.Sprintf("reg-%03d", i), person(fmt.Sprintf("user-%03d", maxPartners+1-i)), "open")
		p.clock.SetTime(p.clock.Now().Add(time.Second))
	}
	p.settled()
	a := p.agreement("open")
	if n := len(a.Status.Partners); n != maxPartners || strings.Contains(p.has(), "user-000") || strings.Contains(p.has(), "user-001") {
		t.Errorf("%d partners", n)
	}
	if got := conditions(a); got != "Ready=True(InForce) Stalled=True(TooManyPartners)" || !strings.Contains(conditionOf(a, "Stalled").Message, "which is 2 too many: list those in spec.removedPartners") {
		t.Errorf("%s %s", got, conditionOf(a, "Stalled").Message)
	}
	if m := conditionOf(a, "Ready").Message; !strings.HasSuffix(m, "User user-011 and 90 more") {
		t.Error(m)
	}
	p.change("open", removes("user-101", "user-100"))
	p.settled()
	a = p.agreement("open")
	if conditions(a) != "Ready=True(InForce)" || len(a.Status.Partners) != maxPartners || a.Status.Partners[0].Name != "user-000" {
		t.Errorf("%s, %d partners", conditions(a), len(a.Status.Partners))
	}
}

// Mails and Events: once each, to whom they are for, and what they say to do
// works.
func TestPartnerNotices(t *testing.T) {
	home := t.TempDir()
	kubeconfig := filepath.Join(home, "kubeconfig")
	err := clientcmd.WriteToFile(clientcmdapi.Config{
		Clusters:  map[string]*clientcmdapi.Cluster{"c": {Server: apiServer.Host, CertificateAuthority: apiServer.CAFile, CertificateAuthorityData: apiServer.CAData}},
		AuthInfos: map[string]*clientcmdapi.AuthInfo{"u": {ClientCertificate: apiServer.CertFile, ClientCertificateData: apiServer.CertData, ClientKey: apiServer.KeyFile, ClientKeyData: apiServer.KeyData, Token: apiServer.BearerToken}},
		Contexts:  map[string]*clientcmdapi.Context{"x": {Cluster: "c", AuthInfo: "u"}}, CurrentContext: "x",
	}, kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	run := func(command string) error {
		cmd := exec.CommandContext(t.Context(), "sh", "-c", command)
		cmd.Env = []string{"KUBECONFIG=" + kubeconfig, "HOME=" + home, "PATH=" + kubectlFolder() + ":" + os.Getenv("PATH")}
		out, err := cmd.CombinedOutput()
		if err != nil {
			return fmt.Errorf("%s: %w: %s", command, err, out)
		}
		return nil
	}
	for _, who := range []string{"gail", `o'brien "the\n" <&$HOME>`} {
		for i := range 3 {
			p := newPremises(t)
			p.agree("open")
			p.visit()
			if told := p.told(); told != "AdministratorsInvited" {
				t.Errorf("told %q", told)
			}
			p.idle()
			if i == 1 {
				p.change("open", removes("bob"))
			}
			p.register("reg", person(who), "open")
			p.visit()
			if told := p.told(); told != "PartnerAdded" {
				t.Errorf("told %q", told)
			}
			invited, added := p.mails(terms.AdministratorsInvited), p.mails(terms.PartnerAdded)
			if len(invited) != 1 || len(added) != 1 || added[0].To != accessSecret+"@contoso.example" || added[0].Regarding.Kind != "PartnerAgreement" || added[0].Regarding.Name != "open" {
				t.Fatalf("invited %v, added %v", invited, added)
			}
			if a := p.agreement("open"); !invited[0].At.Equal(&a.CreationTimestamp) || a.Status.Partners[0].Since.Sub(added[0].At.Time).Abs() > time.Minute {
				t.Errorf("invited at %v, added at %v", invited[0].At, added[0].At)
			}
			var commands []string
			for line := range strings.SplitSeq(added[0].Text, "\n") {
				if strings.HasPrefix(line, "kubectl ") {
					commands = append(commands, line)
				}
			}
			if len(commands) != 2 || !strings.Contains(added[0].Text, "User "+who+", registered from namespace "+p.partner) {
				t.Fatal(added[0].Text)
			}
			_, entries, _ := strings.Cut(added[0].Text, "\nOr add to spec.removedPartners an entry ")
			entry, rest, _ := strings.Cut(entries, " to end this access, or ")
			namespace, rest, ok := strings.Cut(rest, " to keep out everybody who registers from "+p.partner+":\n")
			if !ok || rest != commands[1] {
				t.Fatal(added[0].Text)
			}
			// Somebody types the entry into what opens.
			typed, under := "  - "+[]string{"", entry, namespace}[i]+"\n", "  removedPartners:"
			if i == 2 {
				typed, under = under+"\n"+typed, "spec:"
			}
			if err := os.WriteFile(filepath.Join(home, "typed"), []byte(typed), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := run("export KUBE_EDITOR=\"sed -i '/^" + under + "$/r $HOME/typed'\"; " + commands[min(i, 1)]); err != nil {
				t.Fatal(err)
			}
			p.visit()
			if want := fmt.Sprint([][]string{{who}, {who, "bob"}, {p.partner}}[i]); p.has() != "" || p.removed("open") != want {
				t.Errorf("after %s\nhas %q, lists %s, want %s", commands[min(i, 1)], p.has(), p.removed("open"), want)
			}
			if told := p.told(); told != "PartnerRemoved" {
				t.Errorf("told %q", told)
			}
			p.idle()
		}
	}
}

func kubectlFolder() string {
	if folder := os.Getenv("KUBEBUILDER_ASSETS"); folder != "" {
		return folder
	}
	folder, _ := filepath.Abs(filepath.Join("..", "bin", "k8s"))
	return folder
}

// A group is told with who has registered it, an agreement with administrators
// invites to look at them, and a mail that cannot be put on record is tried again.
func TestPartnerNoticesOfOthers(t *testing.T) {
	p := newPremises(t)
	p.agree("open", names(person("ada")))
	p.register("group", people("agents"), "open")
	p.line.refuse = func(_ string, o client.Object) error {
		if _, ok := o.(*v1alpha1.Notification); ok {
			return errLine
		}
		return nil
	}
	if res := p.visit(); res.RequeueAfter != poll || p.told() != "AdministratorsInvited PartnerAdded" {
		t.Errorf("comes again after %v, told %q", res.RequeueAfter, p.told())
	}
	p.expect("admin:ada adminkeys:ada agent:%agents keys:%agents")
	p.line.refuse = nil
	p.visit()
	if added := p.mails(terms.PartnerAdded); len(added) != 1 || !strings.HasPrefix(added[0].Text, "Group agents, for whom zoe has registered, registered from namespace ") {
		t.Errorf("%+v", added)
	}
	if invited := p.mails(terms.AdministratorsInvited); len(invited) != 1 || !strings.HasPrefix(invited[0].Text, "spec.administrators of PartnerAgreement open names who manages") {
		t.Errorf("%+v", invited)
	}
	p.idle()

	// Events that fail hold up what is told, and no access.
	p.register("reg", person("gail"), "open")
	p.failEvents = true
	if _, err := p.tryVisit(); !errors.Is(err, errEvents) {
		t.Error(err)
	}
	if got := p.recorded("open"); got != "agents (gail)" || !strings.Contains(p.has(), "agent:gail") {
		t.Errorf("on record %q, has %q", got, p.has())
	}
	p.change("open", removes("gail"))
	_, _ = p.tryVisit()
	if strings.Contains(p.has(), "gail") {
		t.Errorf("has %q", p.has())
	}
}

// The reconciler does all this with the rights that the operator has, and under
// the policy that guards what it binds.
func TestPartnerAccessByTheOperator(t *testing.T) {
	operator := operatorClient(t, "bindings.yaml")
	p := newPremises(t)
	p.agree("open", names(person("ada")))
	p.register("reg", person("gail"), "open")
	p.start(operator)
	can(t, "the operator lists RoleBindings", true, func() error { return operator.List(t.Context(), &rbacv1.RoleBindingList{}) })
	can(t, "the operator binds under any name", false, func() error {
		b := newBinding(p.customer, ofGail, "", nil)
		b.Name = "any"
		return operator.Create(t.Context(), b, client.DryRunAll)
	})
	p.settled()
	p.expect("admin:ada adminkeys:ada " + gailHas)
	p.change("open", names(person("bob")))
	p.remove(p.binding(ofGail))
	p.settled()
	p.expect("admin:bob adminkeys:bob")
	if p.removed("open") != "[gail]" {
		t.Errorf("lists %s", p.removed("open"))
	}
	p.change("open", readmits("gail"))
	p.settled()
	p.remove(p.registration("reg"))
	p.remove(p.agreement("open"))
	p.settled()
	p.expect("")
	b := newBinding(p.customer, partnerPrefix+"eve-0123456789", "", nil)
	b.RoleRef.Name = "cluster-admin"
	if err := operator.Create(t.Context(), b); !apierrors.IsForbidden(err) {
		t.Errorf("it can bind cluster-admin: %v", err)
	}
}

// What wakes the reconciler under a manager.
func TestPartnerAccessIsWoken(t *testing.T) {
	p, gone := newPremises(t), newPremises(t)
	p.create(newBinding(gone.customer, ofGail, "", []rbacv1.Subject{rbacSubject(terms.PartnerSubject{Kind: "User", Name: "gail"})}))
	mgr, err := ctrl.NewManager(apiServer, ctrl.Options{
		Scheme: scheme, Cache: CacheOptions([]string{p.customer, p.partner, gone.customer}), Metrics: metricsserver.Options{BindAddress: "0"}, HealthProbeBindAddress: "0",
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := registerPartnerIndexes(t.Context(), mgr.GetFieldIndexer()); err != nil {
		t.Fatal(err)
	}
	p.r.Client, p.r.Live, p.r.Mail = mgr.GetClient(), mgr.GetAPIReader(), Post{Client: mgr.GetClient()}
	p.r.Namespaces = []string{p.customer, gone.customer}
	if err := p.r.SetupWithManager(mgr); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- mgr.Start(ctx) }()
	wait := func(p *premises, why, want string) {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); p.has() != want; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s: has %q, want %q", why, p.has(), want)
			}
		}
	}
	wait(gone, "a RoleBinding whose agreement is gone, at the start", "")
	p.agree("open", names(person("ada")))
	const ada = "admin:ada adminkeys:ada"
	wait(p, "an agreement", ada)
	p.register("reg", person("gail"), "open")
	wait(p, "a registration", ada+" "+gailHas)
	for deadline := time.Now().Add(20 * time.Second); p.recorded("open") != "gail" && time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		continue
	}
	p.remove(p.binding(ofGail))
	for deadline := time.Now().Add(20 * time.Second); p.removed("open") != "[gail]" && time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		continue
	}
	wait(p, "a RoleBinding that is deleted", ada)
	// Until it is off the record, an entry that is taken out is listed once more.
	for deadline := time.Now().Add(20 * time.Second); p.recorded("open") != "" && time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		continue
	}
	p.change("open", readmits("gail"))
	wait(p, "an entry that is taken out", ada+" "+gailHas)
	p.change("open", removes("gail"))
	wait(p, "an entry", ada)
	p.change("open", readmits("gail"))
	wait(p, "the entry that is taken out", ada+" "+gailHas)
	p.recognise(p.registration("reg"))
	wait(p, "a registration that is recognised no longer", ada)
	p.remove(p.binding(administratorsName))
	wait(p, "the administrators' RoleBinding that is deleted", ada)
	p.remove(p.agreement("open"))
	wait(p, "an agreement that is deleted", "")
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A registration wakes the customers that it was for and those that it is for.
func TestPartnerAccessIsWokenByClaims(t *testing.T) {
	reg := func(access v1alpha1.PartnerAccess, agreements ...string) *v1alpha1.PartnerRegistration {
		r := &v1alpha1.PartnerRegistration{}
		for _, a := range agreements {
			r.Status.RecognisedAt = &metav1.Time{Time: time.Unix(1, 0)}
			r.Status.Agreements = append(r.Status.Agreements, v1alpha1.RegisteredAgreement{ObjectReference: v1alpha1.ObjectReference{Namespace: "contoso", Name: a}, Access: access})
		}
		return r
	}
	going := reg(v1alpha1.AccessGranted, "a")
	going.DeletionTimestamp = &metav1.Time{Time: time.Unix(2, 0)}
	later := reg(v1alpha1.AccessGranted, "a")
	later.Status.RecognisedAt = &metav1.Time{Time: time.Unix(3, 0)}
	for name, tc := range map[string]struct {
		before, after *v1alpha1.PartnerRegistration
		wakes         bool
	}{
		"recognised":          {reg(""), reg(v1alpha1.AccessGranting, "a"), true},
		"for one more":        {reg(v1alpha1.AccessGranted, "a"), reg(v1alpha1.AccessGranted, "a", "b"), true},
		"for another":         {reg(v1alpha1.AccessGranted, "a"), reg(v1alpha1.AccessGranted, "b"), true},
		"recognised later":    {reg(v1alpha1.AccessGranted, "a"), later, true},
		"being deleted":       {reg(v1alpha1.AccessGranted, "a"), going, true},
		"access is told":      {reg(v1alpha1.AccessGranting, "a"), reg(v1alpha1.AccessGranted, "a"), false},
		"nothing of interest": {reg(v1alpha1.AccessGranted, "a"), reg(v1alpha1.AccessGranted, "a"), false},
	} {
		if got := claimChanged.Update(event.UpdateEvent{ObjectOld: tc.before, ObjectNew: tc.after}); got != tc.wakes {
			t.Errorf("%s: wakes %v", name, got)
		}
	}
	r := &PartnerAccessReconciler{Namespaces: []string{"contoso"}}
	if got := r.customers("fabrikam", "contoso", "contoso-2"); len(got) != 1 || got[0].Name != "contoso" {
		t.Error(got)
	}
}
