package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	eventsv1 "k8s.io/api/events/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/keys"
	"github.com/license-operator/license-operator/test/apiproxy"
)

// A partner registers, and works with his own client, until the customer takes
// that away: by an entry, by deleting the RoleBinding, with or without an operator,
// or because the agreement or the registration is gone.
func TestPartner(t *testing.T) {
	p := newPartnership(newShop(t, 2))
	start := func() *operator { return startOperator(t, kubeconfig, "--serve=controllers") }
	o := start()
	if err := p.mayBuy(); !apierrors.IsForbidden(err) {
		t.Fatalf("before he registers: %v", err)
	}
	p.register()
	p.buyAsPartner()
	p.hasAccess()
	isNarrow(t)

	begun := time.Now()
	p.remove(p.user)
	p.lockedOut("an entry", begun)
	p.staysOut()
	p.remove()
	p.hasAccess()

	begun = time.Now()
	p.unbind()
	p.lockedOut("deleting the RoleBinding", begun)
	p.staysOut()
	p.remove()
	p.hasAccess()

	o.stop()
	begun = time.Now()
	p.unbind()
	p.lockedOut("deleting the RoleBinding while no operator runs", begun)
	o = start()
	p.staysOut()
	p.remove()
	p.hasAccess()

	begun = time.Now()
	p.delete(live, &v1alpha1.PartnerAgreement{ObjectMeta: metav1.ObjectMeta{Namespace: p.customer, Name: agreementName}})
	p.lockedOut("deleting the agreement", begun)
	eventually(t, "waiting until he is not recognised any more", func() error { return p.says(v1alpha1.ConditionStalled, v1alpha1.ReasonNotRecognised) })
	p.agree()
	p.hasAccess()

	begun = time.Now()
	mine := p.registration(p.home, p.user)
	p.delete(p.partner, mine)
	p.lockedOut("deleting the registration", begun)
	p.register()
	p.hasAccess()

	o.stop()
	p.delete(p.partner, mine)
	begun = time.Now()
	start()
	p.lockedOut("deleting the registration while no operator runs, from its start on", begun)
	eventually(t, "waiting until nothing is left", func() error {
		a, err := p.agreement()
		if err != nil {
			return err
		}
		bindings, err := p.bindings()
		if err != nil {
			return err
		}
		if len(bindings) > 0 || len(a.Status.Partners) > 0 || len(a.Spec.RemovedPartners) > 0 {
			return fmt.Errorf("bindings %v; partners %+v; removed %v", bindings, a.Status.Partners, a.Spec.RemovedPartners)
		}
		return nil
	})
	if sub, err := p.get("bought"); err != nil || sub.Status.State != v1alpha1.StateActive {
		t.Errorf("what he bought does not go on: %+v, %v", sub.Status, err)
	}
}

// buyAsPartner buys with the partner's own client, and reads the key with it.
func (p *partnership) buyAsPartner() {
	p.t.Helper()
	eventually(p.t, "waiting to be recognised", func() error { return p.says(v1alpha1.ConditionReady, v1alpha1.ReasonAccessGranted) })
	p.as(p.partner, &v1alpha1.SoftwareSubscription{
		ObjectMeta: metav1.ObjectMeta{Namespace: p.customer, Name: "bought"},
		Spec:       v1alpha1.SoftwareSubscriptionSpec{ProductRef: v1alpha1.Reference{Name: p.name}, Quantity: 1, Term: v1alpha1.TermYear},
	})
	p.settled("bought", v1alpha1.StateActive)
	eventually(p.t, "waiting to read the key", p.mayRead)
	p.checkOneKeyPerSlot("bought", 1)
	if key := p.secret("bought-key")["key"]; !issuedKeys[string(key)] || keys.Fingerprint(string(key)) != p.entries()[0].Spec.Fingerprint {
		p.t.Error("what he reads is not the key that was issued")
	}
}

func (p *partnership) delete(by client.Client, o client.Object) {
	p.t.Helper()
	if err := by.Delete(p.t.Context(), o); err != nil {
		p.t.Fatal(err)
	}
}

// isNarrow checks that whoever gave that access can give no other.
func isNarrow(t *testing.T) {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	operator, err := client.New(config, client.Options{Scheme: live.Scheme(), Mapper: live.RESTMapper()})
	if err != nil {
		t.Fatal(err)
	}
	for _, role := range []string{"cluster-admin", "license-operator-controllers", "license-operator-catalog-admin"} {
		err := operator.Create(t.Context(), &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "license-operator-partner-climbs", Labels: map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedByOperator}},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
			Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: "mallory"}},
		}, client.DryRunAll)
		if !apierrors.IsForbidden(err) {
			t.Errorf("the operator binds %s: %v", role, err)
		}
	}
}

// Who guesses may guess five times a day, in all namespaces together. The sixth
// is not looked at, whatever it is, and all of it is counted.
func TestPartnerAttempts(t *testing.T) {
	p := newPartnership(closedShop(t))
	o := startOperator(t, kubeconfig, "--serve=controllers")
	homes := []string{p.home, p.home + "-2", p.home + "-3"}
	for _, home := range homes[1:] {
		p.mayRegister(home, p.user)
	}
	try := func(name, home string, change func(*v1alpha1.PartnerRegistrationSpec)) client.ObjectKey {
		r := p.registration(home, p.user)
		r.Name = name
		change(&r.Spec)
		p.as(p.partner, r)
		return client.ObjectKeyFromObject(r)
	}
	words := map[string]bool{}
	for i, wrong := range []func(*v1alpha1.PartnerRegistrationSpec){
		func(s *v1alpha1.PartnerRegistrationSpec) { s.AuthorizationNumber = "94837261XX00000" },
		func(s *v1alpha1.PartnerRegistrationSpec) { s.LicenseNumber = "00000000" },
		func(s *v1alpha1.PartnerRegistrationSpec) { s.CustomerEmail = "ti@" + s.CustomerEmail[3:] },
		func(s *v1alpha1.PartnerRegistrationSpec) {
			s.AuthorizationNumber, s.LicenseNumber, s.CustomerEmail = "", "", ""
		},
		func(s *v1alpha1.PartnerRegistrationSpec) {
			s.AuthorizationNumber, s.LicenseNumber, s.CustomerEmail = "94837261XX00001", "00000001", "who@nobody.example"
		},
	} {
		key := try(fmt.Sprintf("guess-%d", i), homes[i%len(homes)], wrong)
		eventually(t, "waiting to be refused", func() error { return says(t, key, v1alpha1.ConditionStalled, v1alpha1.ReasonNotRecognised) })
		r := &v1alpha1.PartnerRegistration{}
		if err := live.Get(t.Context(), key, r); err != nil {
			t.Fatal(err)
		}
		words[meta.FindStatusCondition(r.Status.Conditions, v1alpha1.ConditionStalled).Message] = true
	}
	if len(words) != 1 {
		t.Errorf("it was told differently by what is wrong: %v", words)
	}
	key := try("right", homes[2], func(*v1alpha1.PartnerRegistrationSpec) {})
	eventually(t, "waiting to be limited", func() error { return says(t, key, v1alpha1.ConditionReconciling, v1alpha1.ReasonTooManyAttempts) })
	if err := p.mayBuy(); !apierrors.IsForbidden(err) {
		t.Errorf("the sixth attempt gave access: %v", err)
	}

	var records v1alpha1.PartnerRequesterList
	if err := live.List(t.Context(), &records); err != nil {
		t.Fatal(err)
	}
	mine := slices.DeleteFunc(records.Items, func(r v1alpha1.PartnerRequester) bool { return string(r.Spec.Requester) != p.user })
	if len(mine) != 1 || len(mine[0].Spec.Attempts) != 5 {
		t.Errorf("on record are %+v", mine)
	}
	scraper := newScraper(t)
	eventually(t, "waiting for the metric", func() error {
		_, body := o.scrape(scraper)
		for _, line := range []string{
			`license_operator_partner_registrations_total{outcome="refused"} 5`,
			`license_operator_partner_registrations_total{outcome="limited"} 1`,
		} {
			if !strings.Contains(body, line+"\n") {
				return fmt.Errorf("without %s: %s", line, linesWith(body, "partner_registrations"))
			}
		}
		return nil
	})
	eventually(t, "waiting for the Events", func() error {
		told := map[string]int{}
		for _, home := range homes {
			var events eventsv1.EventList
			if err := live.List(t.Context(), &events, client.InNamespace(home)); err != nil {
				return err
			}
			for _, e := range events.Items {
				told[e.Reason]++
			}
		}
		if told["PartnerNotRecognised"] != 5 || told["TooManyAttempts"] != 1 {
			return fmt.Errorf("%v", told)
		}
		return nil
	})
	// He has used up his own, and nobody else's.
	p.remove("nobody-who-has-registered")
	other := fmt.Sprintf("other-%d", serial.Add(1))
	p.mayRegister(other, other)
	r := p.registration(other, other)
	p.as(clientOf(t, other), r)
	eventually(t, "waiting for somebody else's access", func() error {
		return says(t, client.ObjectKeyFromObject(r), v1alpha1.ConditionReady, v1alpha1.ReasonAccessGranted)
	})
}

func linesWith(text, word string) string {
	var found []string
	for line := range strings.Lines(text) {
		if strings.Contains(line, word) {
			found = append(found, line)
		}
	}
	return strings.Join(found, "")
}

// partnerWrite counts the writes for a registration and for access, and mails that
// are put on record.
func (p *partnership) partnerWrite(w apiproxy.Write) bool {
	switch w.Resource {
	case "partnerrequesters":
		return true
	case "partnerregistrations":
		return w.Namespace == p.home
	case "notifications":
		return w.Method == http.MethodPost && (w.Namespace == p.home || w.Namespace == p.customer)
	}
	return p.accessWrite(w)
}

// accessWrite counts those that give access.
func (p *partnership) accessWrite(w apiproxy.Write) bool {
	return w.Namespace == p.customer && (w.Resource == "partneragreements" || w.Resource == "rolebindings")
}

// The operator is killed after each write that it makes for a partner who
// registers, and started again. Whatever the point, he gets access, and everybody
// is told once. If the customer deletes the RoleBinding meanwhile, he never does.
func TestPartnerKilledBetweenWrites(t *testing.T) {
	for _, tc := range []struct {
		name    string
		deletes bool
		ours    func(*partnership, apiproxy.Write) bool
		least   int // writes
	}{
		// An attempt that is put on record and off it, two RoleBindings that are made
		// and filled, the agreement before and after, the registration before and
		// after, and two mails.
		{"registering", false, (*partnership).partnerWrite, 12},
		{"and the customer deletes the RoleBinding", true, (*partnership).accessWrite, 6},
	} {
		t.Run(tc.name, func(t *testing.T) {
			newMailbox(t)
			proxy, through := startProxy(t)
			start := func() *operator {
				return startOperator(t, through, "--serve=controllers", "--mail-from=licences@contoso.example")
			}
			o := start()
			deleted := 0
			for write := 1; ; write++ {
				p := newPartnership(closedShop(t))
				p.settledAgreement()
				var out atomic.Bool
				ours := func(w apiproxy.Write) bool { return tc.ours(p, w) }
				scene := play{ours: ours, act: p.register, done: func() error {
					if out.Load() {
						return p.isOut()
					}
					return p.isIn()
				}}
				if tc.deletes {
					scene.between = func() { out.Store(p.unbindIfKnown()) }
					scene.always = func() error { return p.namesNobody(&out) }
				}
				killed := false
				o, killed = (point{write, true}).play(t, proxy, o, start, scene)
				if out.Load() {
					deleted++
					if err := p.mayBuy(); !apierrors.IsForbidden(err) {
						t.Errorf("write %d: access came back: %v", write, err)
					}
				}
				if !killed {
					if write <= tc.least {
						t.Errorf("the operator made %d writes, and at least %d were expected", write-1, tc.least)
					}
					t.Logf("killed after each of %d writes; the RoleBinding was deleted %d times", write-1, deleted)
					break
				}
			}
			if tc.deletes && deleted < 4 { // recorded, filled, filled for keys, told
				t.Errorf("the RoleBinding was deleted %d times only", deleted)
			}
		})
	}
}

// isIn is nil once the partner has access, everybody was told once, and nothing is
// left of the attempt.
func (p *partnership) isIn() error {
	a, err := p.agreement()
	if err != nil {
		return err
	}
	if len(a.Status.Partners) != 1 || a.Status.Partners[0].Since == nil || len(a.Spec.RemovedPartners) > 0 {
		return fmt.Errorf("the agreement has %+v, and removed %v", a.Status.Partners, a.Spec.RemovedPartners)
	}
	bindings, err := p.bindings()
	if err != nil {
		return err
	}
	if len(bindings) != 2 || len(bindings[0].Subjects) != 1 || len(bindings[1].Subjects) != 1 || bindings[0].UID != a.Status.Partners[0].RoleBinding.UID {
		return fmt.Errorf("the bindings are %v", bindings)
	}
	var records v1alpha1.PartnerRequesterList
	if err := live.List(p.t.Context(), &records); err != nil {
		return err
	}
	if slices.ContainsFunc(records.Items, func(r v1alpha1.PartnerRequester) bool { return string(r.Spec.Requester) == p.user }) {
		return errors.New("an attempt is on record")
	}
	return errors.Join(p.says(v1alpha1.ConditionReady, v1alpha1.ReasonAccessGranted), p.mayBuy(),
		p.told(p.customer, agreementName, "PartnerAdded"), p.told(p.home, registrationName, "PartnerAccessGranted"))
}

// told is nil if a notice about an object is there once, as an Event and as a mail.
func (p *partnership) told(namespace, about, notice string) error {
	var events eventsv1.EventList
	var mails v1alpha1.NotificationList
	if err := errors.Join(live.List(p.t.Context(), &events, client.InNamespace(namespace)), live.List(p.t.Context(), &mails, client.InNamespace(namespace))); err != nil {
		return err
	}
	byEvent, byMail := 0, 0
	for _, e := range events.Items {
		if e.Regarding.Name == about && e.Reason == notice {
			byEvent++
		}
	}
	for _, m := range mails.Items {
		if m.Spec.Regarding.Name == about && m.Spec.Notice == notice {
			byMail++
		}
	}
	if byEvent != 1 || byMail != 1 {
		return fmt.Errorf("%d Events and %d mails tell %s", byEvent, byMail, notice)
	}
	return nil
}

// unbindIfKnown deletes the RoleBinding if it names the partner, or is on record,
// and reports whether it did. Of one that is neither nobody can tell afterwards
// that it was there.
func (p *partnership) unbindIfKnown() bool {
	p.t.Helper()
	bindings, err := p.bindings()
	if err != nil {
		p.t.Fatal(err)
	}
	a, err := p.agreement()
	if err != nil {
		p.t.Fatal(err)
	}
	if len(bindings) == 0 || len(bindings[0].Subjects) == 0 && len(a.Status.Partners) == 0 {
		return false
	}
	p.delete(p.admin, &bindings[0])
	return true
}

// namesNobody is nil if no RoleBinding names the partner once the customer has
// deleted his. The garbage collector deletes the one to read keys by.
func (p *partnership) namesNobody(deleted *atomic.Bool) error {
	if !deleted.Load() {
		return nil
	}
	var all rbacv1.RoleBindingList
	if err := live.List(context.WithoutCancel(p.t.Context()), &all, client.InNamespace(p.customer)); err != nil {
		return err
	}
	for _, b := range all.Items {
		if b.RoleRef.Name == "license-operator-admin-agent" && len(b.Subjects) > 0 {
			return fmt.Errorf("after it was deleted, %s names %v", b.Name, b.Subjects)
		}
	}
	return nil
}
