package controllers

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/prometheus/client_golang/prometheus/testutil"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/terms"
)

func byAccount(namespace, name string) claiming {
	return func(s *v1alpha1.PartnerRegistrationSpec) {
		s.Partner.Subject = v1alpha1.Subject{Kind: "ServiceAccount", Namespace: namespace, Name: name}
	}
}

// The ways in, from the claim to the access.
func TestRegisters(t *testing.T) {
	for name, tc := range map[string]struct {
		claim     func(*bureau) claiming
		agreement func(*bureau) concluding
		kind      string
		subject   func(*bureau) string
	}{
		"a user with the numbers": {kind: "User", subject: func(b *bureau) string { return b.user }},
		"upper and lower case of the address are the same": {
			claim: func(*bureau) claiming {
				return func(s *v1alpha1.PartnerRegistrationSpec) { s.CustomerEmail = "IT@Order.Secret.Example" }
			},
			kind: "User", subject: func(b *bureau) string { return b.user },
		},
		"a group that he is in": {
			claim: func(b *bureau) claiming { return forGroup(b.name+"-agents", b.user) },
			kind:  "Group", subject: func(b *bureau) string { return b.name + "-agents" },
		},
		"a service account": {
			claim: func(b *bureau) claiming { return byAccount(b.name, "bot") },
			kind:  "User", subject: func(b *bureau) string { return "system:serviceaccount:" + b.name + ":bot" },
		},
		"a primary contact": {
			claim:     func(*bureau) claiming { return byContact },
			agreement: func(b *bureau) concluding { return contact("somebody", b.user) },
			kind:      "User", subject: func(b *bureau) string { return b.user },
		},
		"a group of a primary contact": {
			claim: func(b *bureau) claiming {
				return func(s *v1alpha1.PartnerRegistrationSpec) { byContact(s); forGroup(b.name+"-agents", b.user)(s) }
			},
			agreement: func(b *bureau) concluding { return contact(b.user) },
			kind:      "Group", subject: func(b *bureau) string { return b.name + "-agents" },
		},
		"a service account that is a primary contact": {
			claim: func(b *bureau) claiming {
				return func(s *v1alpha1.PartnerRegistrationSpec) { byContact(s); byAccount(b.name, "bot")(s) }
			},
			agreement: func(b *bureau) concluding { return contact("system:serviceaccount:" + b.name + ":bot") },
			kind:      "User", subject: func(b *bureau) string { return "system:serviceaccount:" + b.name + ":bot" },
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBureau(t)
			claim, agreement := func(*v1alpha1.PartnerRegistrationSpec) {}, func(*v1alpha1.PartnerAgreementSpec) {}
			if tc.claim != nil {
				claim = tc.claim(b)
			}
			if tc.agreement != nil {
				agreement = tc.agreement(b)
			}
			b.agreement(b.customer, "open", agreement)
			b.register(b.name, "reg", claim)
			pending := face{conditions: isToBeGranted, message: "you are recognised, and get access to namespace " + b.customer + " in a moment", kstatus: status.InProgressStatus, agreements: "customer/open=Granting"}
			reg := b.check("reg", pending)
			if at := reg.Status.RecognisedAt; reg.Status.ComparedGeneration != reg.Generation || b.clock.Now().Sub(at.Time) != time.Second {
				t.Errorf("%+v", reg.Status)
			}
			if len(b.attempts(requesterName(reg))) != 0 {
				t.Error("it was counted")
			}
			b.grant(b.customer, "open", tc.kind, tc.subject(b), b.clock.Now())
			b.check("reg", face{
				conditions: hasAccess, message: "you manage the licences of namespace " + b.customer + ": see kubectl -n " + b.customer + " get swsub,mpsub", kstatus: status.CurrentStatus,
				agreements: "customer/open=Granted", customers: "customer", told: "PartnerAccessGranted",
			})
			const text = ": you manage the licences of namespace bureau-customer: see kubectl -n bureau-customer get swsub,mpsub"
			if notes := b.notes(b.name, "reg"); !slices.Equal(notes, []string{"Normal PartnerAccessGranted" + text}) {
				t.Errorf("%q", notes)
			}
			if mails := b.mails("reg"); !slices.Equal(mails, []string{"PartnerAccessGranted to office@partner.example" + text}) {
				t.Errorf("%q", mails)
			}
			b.grant(b.customer, "open", "Group", tc.subject(b)+"-else", b.clock.Now()) // others come and go
			b.still("reg")
		})
	}
}

// A partner who manages one customer's licences adds another agreement, of the
// same or another customer; and one registration stands for all that name him.
func TestRegistersForMore(t *testing.T) {
	b := newBureau(t)
	b.namespace(b.name + "-other")
	b.agreement(b.customer, "open", contact(b.user))
	b.register(b.name, "first")
	b.register(b.name, "contact", byContact)
	b.look("first")
	b.look("contact")
	b.grant(b.customer, "open", "User", b.user, b.clock.Now())
	b.look("first")
	b.check("contact", face{conditions: hasAccess, kstatus: status.CurrentStatus, agreements: "customer/open=Granted", customers: "customer", told: "PartnerAccessGranted"})

	second := func(s *v1alpha1.PartnerAgreementSpec) { s.LicenseNumber = otherLicence }
	b.agreement(b.customer, "second", second, contact(b.user))
	b.register(b.name, "more", func(s *v1alpha1.PartnerRegistrationSpec) { s.LicenseNumber = otherLicence })
	b.check("more", face{conditions: isToBeGranted, kstatus: status.InProgressStatus, agreements: "customer/second=Granting"})
	b.check("contact", face{conditions: isToBeGranted, kstatus: status.InProgressStatus, agreements: "customer/open=Granted customer/second=Granting", customers: "customer",
		message: "what is in the way. For the rest you manage the licences of namespace " + b.customer})
	b.still("first")
	b.grant(b.customer, "second", "User", b.user, b.clock.Now())
	b.check("more", face{conditions: hasAccess, kstatus: status.CurrentStatus, agreements: "customer/second=Granted", customers: "customer", told: "PartnerAccessGranted"})

	b.agreement(b.name+"-other", "open", contact(b.user), func(s *v1alpha1.PartnerAgreementSpec) { s.AuthorizationNumber = b.number(2) })
	b.look("contact")
	b.grant(b.name+"-other", "open", "User", b.user, b.clock.Now())
	reg := b.check("contact", face{
		conditions: hasAccess, kstatus: status.CurrentStatus, agreements: "customer/open=Granted customer/second=Granted other/open=Granted", customers: "customer other", told: "PartnerAccessGranted",
		message: "you manage the licences of namespaces " + b.customer + ", " + b.name + "-other: see kubectl",
	})
	recognised := reg.Status.RecognisedAt
	b.editAgreement(b.customer, "open", contact())
	b.check("contact", face{conditions: hasAccess, kstatus: status.CurrentStatus, agreements: "customer/second=Granted other/open=Granted", customers: "customer other"})
	b.remove(get(t, &v1alpha1.PartnerAgreement{}, b.name+"-other", "open"))
	reg = b.check("contact", face{conditions: hasAccess, kstatus: status.CurrentStatus, agreements: "customer/second=Granted", customers: "customer", told: "PartnerAccessEnded"})
	if !reg.Status.RecognisedAt.Equal(recognised) {
		t.Errorf("recognised at %v", reg.Status.RecognisedAt)
	}
	if b.onRecord() != -1 {
		t.Error("somebody who was recognised each time is on record")
	}
}

// Two agreements of one order, in two namespaces, and more of them than a status
// holds.
func TestRegistersForAllOfAnOrder(t *testing.T) {
	b := newBureau(t)
	b.agreement(b.customer, "a")
	b.agreement(b.customer, "b")
	b.register(b.name, "reg")
	b.check("reg", face{conditions: isToBeGranted, kstatus: status.InProgressStatus, agreements: "customer/a=Granting customer/b=Granting"})
	reg := b.registration("reg")
	all := make([]v1alpha1.PartnerAgreement, maxRegistered+1)
	for i := range all {
		all[i] = v1alpha1.PartnerAgreement{ObjectMeta: metav1.ObjectMeta{Namespace: "another", Name: fmt.Sprint(i)}}
	}
	all[maxRegistered].Namespace, all[maxRegistered].Name = b.customer, "a"
	kept := firstOf(reg, all)
	if len(kept) != maxRegistered || kept[0].Name != "a" {
		t.Errorf("%d, from %s on", len(kept), kept[0].Name)
	}
	s := &registering{reg: reg, agreements: kept}
	reg.Status.Customers = []string{"another"}
	s.tell(b.clock.Now(), nil)
	if got := reasonMessage(reg, "Ready"); !strings.HasSuffix(got, ". For more than 256 agreements make another PartnerRegistration") {
		t.Errorf("%q", got)
	}
}

// Whatever is wrong, nobody can tell from what is said, from what is done, or from
// how much there is to do.
func TestNotRecognisedTellsNothing(t *testing.T) {
	wrongs := map[string]struct {
		claim  func(*bureau) claiming
		absent bool
	}{
		"the authorization number": {claim: func(b *bureau) claiming { return b.wrong(1) }},
		"the licence number": {claim: func(*bureau) claiming {
			return func(s *v1alpha1.PartnerRegistrationSpec) { s.LicenseNumber = otherLicence }
		}},
		"the address": {claim: func(*bureau) claiming {
			return func(s *v1alpha1.PartnerRegistrationSpec) { s.CustomerEmail = "they@order.secret.example" }
		}},
		"all three": {claim: func(b *bureau) claiming {
			return func(s *v1alpha1.PartnerRegistrationSpec) {
				b.wrong(1)(s)
				s.LicenseNumber, s.CustomerEmail = otherLicence, "they@order.secret.example"
			}
		}},
		"numbers of two agreements": {claim: func(b *bureau) claiming {
			return func(s *v1alpha1.PartnerRegistrationSpec) { s.AuthorizationNumber = b.number(2) }
		}},
		"that there is no agreement":         {absent: true},
		"that he is no contact":              {claim: func(*bureau) claiming { return byContact }},
		"that he is no contact, and none is": {claim: func(*bureau) claiming { return byContact }, absent: true},
	}
	want := ""
	for name, tc := range wrongs {
		b := newBureau(t)
		if !tc.absent {
			b.agreement(b.customer, "open", contact("gail@elsewhere.example"))
			b.agreement(b.customer, "other", func(s *v1alpha1.PartnerAgreementSpec) {
				s.AuthorizationNumber, s.LicenseNumber = b.number(2), otherLicence
			})
		}
		var claims []claiming
		if tc.claim != nil {
			claims = append(claims, tc.claim(b))
		}
		b.register(b.name, "reg", claims...)
		var seen []string
		for range 2 {
			reg, res := b.look("reg")
			c := reg.Status.Conditions
			for i := range c {
				c[i].LastTransitionTime = metav1.Time{}
			}
			seen = append(seen, fmt.Sprintf("%+v\n%v\n%v %v\n%+v", reg.Status, b.calls.made, b.writes, b.events, res))
			b.later(time.Second)
		}
		seen = append(seen, b.notes(b.name, "reg")...)
		if b.onRecord() != 1 || len(b.mails("reg")) > 0 {
			t.Errorf("%s: %d attempts are on record, mails %q", name, b.onRecord(), b.mails("reg"))
		}
		got := strings.ReplaceAll(strings.Join(seen, "\n"), b.name, "bureau")
		if want == "" {
			want = got
		}
		if got != want {
			t.Errorf("%s is wrong:\n%s\nwant\n%s", name, got, want)
		}
	}
	for _, part := range []string{notRecognised, "Warning PartnerNotRecognised: gail@bureau.example is not recognised as a partner: attempt 1 of 5 within 24 hours", "read v1alpha1.PartnerRequester create v1alpha1.PartnerRequester list v1alpha1.PartnerAgreementList"} {
		if !strings.Contains(want, part) {
			t.Errorf("%s\nwant %s in it", want, part)
		}
	}
	b := newBureau(t)
	b.register(b.name, "reg")
	b.check("reg", refusedFace("PartnerNotRecognised"))
	b.restart()
	b.still("reg")
}

func outcomes() [3]float64 {
	var all [3]float64
	for i, outcome := range []string{"recognised", "refused", "limited"} {
		all[i] = testutil.ToFloat64(partnerRegistrations.WithLabelValues(outcome))
	}
	return all
}

// Whatever somebody does, five sets of numbers are compared within a day, and the
// next one when the first of them is a day old.
func TestAttemptsAreLimited(t *testing.T) {
	for name, try := range map[string]func(b *bureau, n int) (namespace, name string){
		"from several namespaces": func(b *bureau, n int) (string, string) {
			ns := fmt.Sprintf("%s-%d", b.name, n)
			b.namespace(ns)
			b.register(ns, "reg", b.wrong(n))
			return ns, "reg"
		},
		"deleted and made anew": func(b *bureau, n int) (string, string) {
			if n > 0 {
				b.remove(b.registration("reg"))
			}
			b.register(b.name, "reg", b.wrong(n))
			return b.name, "reg"
		},
		"corrected in place": func(b *bureau, n int) (string, string) {
			if n == 0 {
				b.register(b.name, "reg", b.wrong(n))
			} else {
				b.correct(b.name, "reg", b.wrong(n))
			}
			return b.name, "reg"
		},
		"the same numbers again": func(b *bureau, n int) (string, string) {
			b.register(b.name, fmt.Sprint("reg-", n), b.wrong(0))
			return b.name, fmt.Sprint("reg-", n)
		},
		"by many service accounts": func(b *bureau, n int) (string, string) {
			b.register(b.name, fmt.Sprint("reg-", n), b.wrong(n), byAccount(b.name, fmt.Sprint("bot-", n)))
			return b.name, fmt.Sprint("reg-", n)
		},
		"for many groups": func(b *bureau, n int) (string, string) {
			b.register(b.name, fmt.Sprint("reg-", n), b.wrong(n), forGroup(fmt.Sprint("group-", n), b.user))
			return b.name, fmt.Sprint("reg-", n)
		},
		"without numbers": func(b *bureau, n int) (string, string) {
			b.register(b.name, fmt.Sprint("reg-", n), byContact)
			return b.name, fmt.Sprint("reg-", n)
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBureau(t)
			counted, start := outcomes(), b.clock.Now()
			for n := range terms.AttemptsAllowed {
				ns, name := try(b, n)
				reg, res, err := b.tryLook(ns, name)
				if got := conditions(reg); err != nil || got != isNotRecognised || res.RequeueAfter != 0 {
					t.Fatalf("attempt %d: %s %v %v", n, got, res, err)
				}
				if notes := strings.Join(b.notes(ns, name), "\n"); !strings.Contains(notes, fmt.Sprintf("attempt %d of 5 within 24 hours", n+1)) {
					t.Errorf("told %s", notes)
				}
				b.later(time.Minute)
			}
			compared := len(b.calls.compared)
			ns, name := try(b, terms.AttemptsAllowed)
			for range 2 { // the second time by another process
				reg, res, err := b.tryLook(ns, name)
				who := requesterOf(reg)
				if got := conditions(reg); err != nil || got != hasToWait || res.RequeueAfter != longestSleep || kstatus(t, reg) != status.InProgressStatus {
					t.Errorf("%s %v %v", got, res, err)
				}
				if want := fmt.Sprintf("5 registrations by %s were not recognised within 24 hours, so this one is compared at %s; until then it can be corrected", who, stamp(start.Add(day))); reasonMessage(reg, "Ready") != want {
					t.Errorf("%q\nwant %q", reasonMessage(reg, "Ready"), want)
				}
				if notes := b.notes(ns, name); !slices.Contains(notes, "Warning TooManyAttempts: "+strings.ReplaceAll(reg.Spec.Partner.Requester(), b.name, "bureau")+
					" is compared with no agreement until "+stamp(start.Add(day))+": 5 attempts within 24 hours were not recognised") {
					t.Errorf("%q", notes)
				}
				b.restart()
				b.later(time.Minute)
			}
			if len(b.calls.compared) != 0 || compared != terms.AttemptsAllowed {
				t.Errorf("%d were compared, and then %d", compared, len(b.calls.compared))
			}
			b.clock.SetTime(start.Add(day - time.Second))
			if reg, res, _ := b.tryLook(ns, name); conditions(reg) != hasToWait || res.RequeueAfter != time.Second || len(b.writes)+len(b.events) > 0 {
				t.Errorf("a second before: %s %v %v %v", conditions(reg), res, b.writes, b.events)
			}
			b.later(time.Second)
			reg, _, _ := b.tryLook(ns, name)
			if conditions(reg) != isNotRecognised || len(b.attempts(requesterName(reg))) != terms.AttemptsAllowed {
				t.Errorf("a day later: %s, %d on record", conditions(reg), len(b.attempts(requesterName(reg))))
			}
			if now := outcomes(); now != [3]float64{counted[0], counted[1] + 6, counted[2] + 1} {
				t.Errorf("counted %v, then %v", counted, now)
			}
		})
	}
}

// Who has tried too often is not recognised by the right numbers either, until he
// may try again.
func TestRightNumbersWaitToo(t *testing.T) {
	b := newBureau(t)
	b.agreement(b.customer, "open")
	for n := range terms.AttemptsAllowed {
		b.register(b.name, fmt.Sprint("wrong-", n), b.wrong(n))
		b.look(fmt.Sprint("wrong-", n))
	}
	b.register(b.name, "right")
	b.check("right", face{conditions: hasToWait, kstatus: status.InProgressStatus, told: "TooManyAttempts"})
	b.look("wrong-0") // what was compared is looked at again, and that is no attempt
	b.later(day)
	b.check("right", face{conditions: isToBeGranted, kstatus: status.InProgressStatus, agreements: "customer/open=Granting"})
	if got := b.onRecord(); got != -1 {
		t.Errorf("%d attempts are on record", got)
	}

	// An administrator lets somebody try again by deleting what is on record.
	for n := range terms.AttemptsAllowed {
		b.register(b.name, fmt.Sprint("again-", n), b.wrong(n))
		b.look(fmt.Sprint("again-", n))
	}
	b.register(b.name, "last", func(s *v1alpha1.PartnerRegistrationSpec) { s.Partner.Email = "" })
	b.check("last", face{conditions: hasToWait, kstatus: status.InProgressStatus, told: "TooManyAttempts"})
	of := get(t, &v1alpha1.PartnerRequester{}, "", requesterName(b.registration("last")))
	b.remove(of)
	if woken := b.regs.ofRequester(t.Context(), of); len(woken) != 1 || woken[0].Name != "last" {
		t.Errorf("%v", woken)
	}
	b.check("last", face{conditions: isToBeGranted, kstatus: status.InProgressStatus, agreements: "customer/open=Granting"})
}

// Six registrations of one requester, from six namespaces, are looked at by two
// processes at once.
func TestAttemptsAtOnce(t *testing.T) {
	b := newBureau(t)
	other := &bureau{shop: &shop{t: t, name: b.name, customer: b.customer}, user: b.user, proof: b.proof}
	other.start(b.clock.Now())
	const tries = terms.AttemptsAllowed + 1
	for n := range tries {
		ns := fmt.Sprintf("%s-%d", b.name, n)
		b.namespace(ns)
		b.register(ns, "reg", b.wrong(n))
	}
	for range 2 * tries { // whoever meets the other looks again in a moment
		var group sync.WaitGroup
		for n := range tries {
			for _, process := range []*bureau{b, other} {
				group.Go(func() {
					_, err := process.regs.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKey{Namespace: fmt.Sprintf("%s-%d", b.name, n), Name: "reg"}})
					if err != nil {
						t.Error(err)
					}
				})
			}
		}
		group.Wait()
	}
	var all []string
	for n := range tries {
		all = append(all, conditions(get(t, &v1alpha1.PartnerRegistration{}, fmt.Sprintf("%s-%d", b.name, n), "reg")))
	}
	slices.Sort(all)
	if !slices.Equal(all, []string{isNotRecognised, isNotRecognised, isNotRecognised, isNotRecognised, isNotRecognised, hasToWait}) {
		t.Errorf("%q", all)
	}
	compared := slices.Concat(b.calls.compared, other.calls.compared)
	slices.Sort(compared)
	if compared = slices.Compact(compared); len(compared) != terms.AttemptsAllowed || b.onRecord() != terms.AttemptsAllowed {
		t.Errorf("%d were compared, %d are on record", len(compared), b.onRecord())
	}
}

// Who is recognised each time may register as often as he wants.
func TestRecognisedCostsNothing(t *testing.T) {
	b := newBureau(t)
	b.agreement(b.customer, "open", contact(b.user))
	b.register(b.name, "typo", b.wrong(1))
	b.look("typo")
	for n := range terms.AttemptsAllowed + 2 {
		name := fmt.Sprint("reg-", n)
		b.register(b.name, name, []claiming{func(*v1alpha1.PartnerRegistrationSpec) {}, byContact}[n%2])
		if reg, _ := b.look(name); conditions(reg) != isToBeGranted {
			t.Fatalf("%s %s", name, conditions(reg))
		}
	}
	if b.onRecord() != 1 {
		t.Errorf("%d attempts are on record", b.onRecord())
	}
}

// Each write of an attempt is lost once, or its answer is, and the operator may
// have been restarted and its cache be late. What is compared is on record, once;
// who is recognised is not, and everybody is told once.
func TestAttemptWhateverIsLost(t *testing.T) {
	for name, tc := range map[string]struct {
		right  bool
		before int // attempts in vain, of which some are to stay on record
		writes int32
		face   string
		told   string
	}{
		"the first attempt in vain": {false, 0, 3, isNotRecognised, "PartnerNotRecognised"}, // the record, the Event, status
		"another attempt in vain":   {false, 4, 3, isNotRecognised, "PartnerNotRecognised"},
		"recognised the first time": {true, 0, 3, isToBeGranted, ""}, // the record, off it, status
		"recognised after attempts": {true, 4, 3, isToBeGranted, ""},
		"right, after too many":     {true, 5, 2, hasToWait, "TooManyAttempts"}, // the Event, status
	} {
		for write := int32(1); write <= tc.writes; write++ {
			for i := range 4 {
				after, forgets := i%2 == 1, i > 1
				t.Run(fmt.Sprintf("write %d of %s, answer lost %v, restarted %v", write, name, after, forgets), func(t *testing.T) {
					b := newBureau(t)
					b.tried(tc.before)
					if tc.right {
						b.agreement(b.customer, "open")
					}
					b.register(b.name, "reg")
					stale := b.registration("reg")
					b.wire.written.Store(0)
					b.wire.breakAt, b.wire.after = write, after
					if _, _, err := b.tryLook(b.name, "reg"); err == nil {
						t.Fatal("there are fewer writes")
					}
					if forgets {
						b.restart()
					} else { // the cache has not seen it yet
						b.wire.breakAt = 0
						b.calls.stale[client.ObjectKeyFromObject(stale)] = stale
						b.later(2 * time.Second)
						if _, _, err := b.tryLook(b.name, "reg"); err != nil {
							t.Error(err)
						}
						clear(b.calls.stale)
					}
					b.later(2 * time.Second)
					reg, _ := b.look("reg")
					if got := conditions(reg); got != tc.face {
						t.Errorf("%s", got)
					}
					want := tc.before
					if tc.face == isNotRecognised {
						want++
					}
					if got := b.onRecord(); max(got, 0) != want {
						t.Errorf("%d are on record, want %d", got, want)
					}
					b.still("reg")
					notes := b.notes(b.name, "reg")
					if tc.told == "" && len(notes) > 0 || tc.told != "" && (len(notes) != 1 || !strings.Contains(notes[0], tc.told)) {
						t.Errorf("told %q", notes)
					}
				})
			}
		}
	}
}

// A cache that is late does not have an attempt put on record again that was
// successful: it would stay there if the operator died.
func TestLateCachePutsNothingOnRecord(t *testing.T) {
	b := newBureau(t)
	b.agreement(b.customer, "open")
	b.register(b.name, "reg")
	late := b.registration("reg")
	b.look("reg")
	b.calls.stale[client.ObjectKeyFromObject(late)] = late
	b.wire.written.Store(0)
	if _, _, err := b.tryLook(b.name, "reg"); err != nil {
		t.Error(err)
	}
	if n := b.wire.written.Load(); n > 0 {
		t.Errorf("%d writes", n)
	}
}

// Whoever waits for an agreement is recognised once it is there, or corrected, and
// needs not try again. Only he is woken.
func TestGoesOnByItself(t *testing.T) {
	b := newBureau(t)
	b.register(b.name, "wrong", b.wrong(1))
	b.register(b.name, "early")
	b.register(b.name, "contact", byContact)
	for _, name := range []string{"wrong", "early", "contact"} {
		b.check(name, refusedFace("PartnerNotRecognised"))
	}
	wakes := func(want string) {
		t.Helper()
		var names []string
		for _, req := range b.regs.ofAgreement(t.Context(), get(t, &v1alpha1.PartnerAgreement{}, b.customer, "open")) {
			names = append(names, req.Name)
		}
		slices.Sort(names)
		if got := strings.Join(slices.Compact(names), " "); got != want {
			t.Errorf("it wakes %q, want %q", got, want)
		}
	}
	pending := face{conditions: isToBeGranted, kstatus: status.InProgressStatus, agreements: "customer/open=Granting"}
	b.agreement(b.customer, "open", func(s *v1alpha1.PartnerAgreementSpec) { s.CustomerEmail = "typo@order.secret.example" })
	wakes("")
	b.check("early", refusedFace(""))
	b.editAgreement(b.customer, "open", func(s *v1alpha1.PartnerAgreementSpec) { s.CustomerEmail = orderAddress })
	wakes("early")
	b.check("early", pending)
	b.editAgreement(b.customer, "open", contact("gail@elsewhere.example"))
	wakes("early")
	b.check("contact", refusedFace(""))
	b.editAgreement(b.customer, "open", contact(b.user))
	wakes("contact early")
	b.check("contact", pending)
	b.check("wrong", refusedFace(""))
	if b.onRecord() != 3 {
		t.Errorf("%d attempts are on record", b.onRecord())
	}
	b.calls.broken = true
	if woken := b.regs.ofAgreement(t.Context(), get(t, &v1alpha1.PartnerAgreement{}, b.customer, "open")); len(woken) != 0 {
		t.Errorf("%v", woken)
	}
}

// What becomes of a partner when the customer's agreement changes.
func TestAgreementChanges(t *testing.T) {
	pending := face{conditions: isToBeGranted, kstatus: status.InProgressStatus, agreements: "customer/open=Granting"}
	granted := face{conditions: hasAccess, kstatus: status.CurrentStatus, agreements: "customer/open=Granted", customers: "customer"}
	ended := refusedFace("PartnerAccessEnded")
	numbers, contacts := func(*v1alpha1.PartnerRegistrationSpec) {}, byContact
	for name, tc := range map[string]struct {
		claim claiming
		then  func(b *bureau)
		want  face
	}{
		"the address is corrected": {numbers, func(b *bureau) {
			b.editAgreement(b.customer, "open", func(s *v1alpha1.PartnerAgreementSpec) { s.CustomerEmail = "new@order.secret.example" })
		}, granted},
		"contacts come and go, and he has the numbers": {numbers, func(b *bureau) { b.editAgreement(b.customer, "open", contact()) }, granted},
		"it is deleted":                   {numbers, func(b *bureau) { b.remove(get(b.t, &v1alpha1.PartnerAgreement{}, b.customer, "open")) }, ended},
		"that of a contact is deleted":    {contacts, func(b *bureau) { b.remove(get(b.t, &v1alpha1.PartnerAgreement{}, b.customer, "open")) }, ended},
		"he is no contact any more":       {contacts, func(b *bureau) { b.editAgreement(b.customer, "open", contact("bob")) }, ended},
		"he is a contact, and others too": {contacts, func(b *bureau) { b.editAgreement(b.customer, "open", contact(b.user, "bob")) }, granted},
		"the address of a contact's is corrected": {contacts, func(b *bureau) {
			b.editAgreement(b.customer, "open", func(s *v1alpha1.PartnerAgreementSpec) { s.CustomerEmail = "new@order.secret.example" })
		}, granted},
		"it is about to be deleted": {numbers, func(b *bureau) {
			a := get(b.t, &v1alpha1.PartnerAgreement{}, b.customer, "open")
			b.edit(a, func() { a.Finalizers = []string{"example.com/wait"} })
			b.remove(a)
		}, ended},
		"it is made again under its name with another licence number": {numbers, func(b *bureau) {
			b.remove(get(b.t, &v1alpha1.PartnerAgreement{}, b.customer, "open"))
			b.agreement(b.customer, "open", contact(b.user), func(s *v1alpha1.PartnerAgreementSpec) { s.LicenseNumber = otherLicence })
			b.grant(b.customer, "open", "User", b.user, b.clock.Now())
		}, ended},
		"it is made again under its name with another authorization number": {numbers, func(b *bureau) {
			b.remove(get(b.t, &v1alpha1.PartnerAgreement{}, b.customer, "open"))
			b.agreement(b.customer, "open", func(s *v1alpha1.PartnerAgreementSpec) { s.AuthorizationNumber = b.number(2) })
		}, ended},
		"it is made again as it was": {numbers, func(b *bureau) {
			b.remove(get(b.t, &v1alpha1.PartnerAgreement{}, b.customer, "open"))
			b.agreement(b.customer, "open")
		}, pending},
		"one with another address has the same numbers": {numbers, func(b *bureau) {
			b.agreement(b.customer, "other", func(s *v1alpha1.PartnerAgreementSpec) { s.CustomerEmail = "new@order.secret.example" })
		}, granted},
		"he has no access for a moment": {numbers, func(b *bureau) { b.grant(b.customer, "open", "User", b.user, time.Time{}) }, pending},
		"he corrects his own address": {numbers, func(b *bureau) {
			b.correct(b.name, "reg", func(s *v1alpha1.PartnerRegistrationSpec) { s.Partner.Email = "gail@partner.example" })
		}, granted},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBureau(t)
			b.agreement(b.customer, "open", contact(b.user))
			b.register(b.name, "reg", tc.claim)
			b.look("reg")
			b.grant(b.customer, "open", "User", b.user, b.clock.Now())
			b.look("reg")
			b.calls.compared = nil
			b.later(time.Second)
			tc.then(b)
			reg := b.check("reg", tc.want)
			if reg.Status.ComparedGeneration != reg.Generation || b.onRecord() != -1 {
				t.Errorf("compared %d of %d, %d on record", reg.Status.ComparedGeneration, reg.Generation, b.onRecord())
			}
			if tc.want.told != "" {
				const text = "PartnerAccessEnded to office@partner.example: you no longer manage the licences of namespace bureau-customer: its agreement is gone, or no longer the one that you registered for"
				if mails := b.mails("reg"); len(mails) != 2 || mails[0] != text {
					t.Errorf("%q", mails)
				}
			}
		})
	}
}

// Who is not recognised any more corrects his numbers, and that is an attempt.
func TestCorrectsNumbers(t *testing.T) {
	b := newBureau(t)
	b.agreement(b.customer, "open")
	b.register(b.name, "reg", b.wrong(1))
	b.check("reg", refusedFace("PartnerNotRecognised"))
	b.correct(b.name, "reg", func(s *v1alpha1.PartnerRegistrationSpec) { s.AuthorizationNumber = b.number(1) })
	b.check("reg", face{conditions: isToBeGranted, kstatus: status.InProgressStatus, agreements: "customer/open=Granting"})
	if b.onRecord() != 1 {
		t.Errorf("%d are on record", b.onRecord())
	}
	reg := b.registration("reg")
	b.wrong(2)(&reg.Spec)
	if err := as(t, b.user).Update(t.Context(), reg); !apierrors.IsInvalid(err) {
		t.Errorf("he changes the numbers by which he is recognised: %v", err)
	}
	b.remove(get(t, &v1alpha1.PartnerAgreement{}, b.customer, "open"))
	b.check("reg", refusedFace(""))
	b.correct(b.name, "reg", b.wrong(2))
	b.check("reg", refusedFace("PartnerNotRecognised"))
	if b.onRecord() != 2 {
		t.Errorf("%d are on record", b.onRecord())
	}
}

// A registration that comes back without its status is recognised as before, and
// when it is gone nothing is done.
func TestRegistrationIsRestored(t *testing.T) {
	b := newBureau(t)
	b.agreement(b.customer, "open")
	b.register(b.name, "reg")
	b.look("reg")
	b.grant(b.customer, "open", "User", b.user, b.clock.Now())
	b.look("reg")
	b.remove(b.registration("reg"))
	b.writes = nil
	if res, err := b.regs.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKey{Namespace: b.name, Name: "reg"}}); err != nil || res != (ctrl.Result{}) || len(b.writes) > 0 {
		t.Errorf("%v %v %v", res, err, b.writes)
	}
	b.register(b.name, "reg")
	b.check("reg", face{conditions: hasAccess, kstatus: status.CurrentStatus, agreements: "customer/open=Granted", customers: "customer", told: "PartnerAccessGranted"})
	if b.onRecord() != -1 {
		t.Error("it was counted")
	}
	reg := b.registration("reg")
	b.edit(reg, func() { reg.Finalizers = []string{"example.com/wait"} })
	b.remove(reg)
	b.remove(get(t, &v1alpha1.PartnerAgreement{}, b.customer, "open"))
	if _, res := b.look("reg"); res != (ctrl.Result{}) || len(b.writes) > 0 {
		t.Errorf("of one that is being deleted: %v %v", res, b.writes)
	}
	b.edit(reg, func() { reg.Finalizers = nil })
}

var errNoPolicy = apierrors.NewNotFound(corev1.Resource("policies"), proofPolicy)

// Nobody is compared whom the API server was not there to ask who he is.
func TestProves(t *testing.T) {
	b := newBureau(t)
	b.agreement(b.customer, "open")
	another := &v1alpha1.PartnerRegistration{ObjectMeta: metav1.ObjectMeta{Namespace: b.name, Name: "another"}, Spec: b.claim()}
	if err := as(t, "eve").Create(t.Context(), another); !apierrors.IsForbidden(err) {
		t.Errorf("somebody registers in another's name: %v", err)
	}
	reg := b.register(b.name, "reg")
	made := reg.CreationTimestamp
	unproven := face{conditions: isNotProven, kstatus: status.FailedStatus,
		message: "nobody has checked who made this, because the ValidatingAdmissionPolicy license-operator-partner was not in force as config/policy has it, with failurePolicy Fail and a binding for all requests whose validationActions are Deny: have whoever runs the cluster apply config/policy, then delete this and make it again"}
	aged := b.proof
	inPolicy := func(change func(*admissionv1.ValidatingAdmissionPolicy)) func(client.Object) error {
		return func(o client.Object) error {
			if p, ok := o.(*admissionv1.ValidatingAdmissionPolicy); ok {
				change(p)
			}
			return aged(o)
		}
	}
	inBinding := func(change func(*admissionv1.ValidatingAdmissionPolicyBinding)) func(client.Object) error {
		return func(o client.Object) error {
			if p, ok := o.(*admissionv1.ValidatingAdmissionPolicyBinding); ok {
				change(p)
			}
			return aged(o)
		}
	}
	written := func(o client.Object, generation int64, at time.Time) {
		o.SetGeneration(generation)
		o.SetManagedFields([]metav1.ManagedFieldsEntry{
			{Manager: "first", Time: ptr.To(metav1.NewTime(made.Add(-time.Hour)))}, {Manager: "kubectl", Time: ptr.To(metav1.NewTime(at))},
			{Manager: "apiserver", Subresource: "status", Time: ptr.To(metav1.NewTime(made.Add(time.Hour)))},
		})
	}
	kind := func(o client.Object) string { return strings.TrimPrefix(fmt.Sprintf("%T", o), "*v1.") }
	for name, proof := range map[string]func(client.Object) error{
		"no policy": func(o client.Object) error {
			return map[string]error{"ValidatingAdmissionPolicy": errNoPolicy}[kind(o)]
		},
		"no binding": func(o client.Object) error {
			return map[string]error{"ValidatingAdmissionPolicyBinding": errNoPolicy}[kind(o)]
		},
		"neither": func(client.Object) error { return errNoPolicy },
		"a policy that is younger": func(o client.Object) error {
			o.SetCreationTimestamp(metav1.NewTime(made.Add(map[string]time.Duration{"ValidatingAdmissionPolicy": time.Second, "ValidatingAdmissionPolicyBinding": -time.Hour}[kind(o)])))
			return nil
		},
		"a binding that is as old": func(o client.Object) error {
			o.SetCreationTimestamp(metav1.NewTime(made.Add(map[string]time.Duration{"ValidatingAdmissionPolicy": -time.Hour}[kind(o)])))
			return nil
		},
		"a policy that may be passed over": inPolicy(func(p *admissionv1.ValidatingAdmissionPolicy) { p.Spec.FailurePolicy = ptr.To(admissionv1.Ignore) }),
		"a policy that was changed since":  inPolicy(func(p *admissionv1.ValidatingAdmissionPolicy) { written(p, 2, made.Add(time.Second)) }),
		"a binding that only notes": inBinding(func(p *admissionv1.ValidatingAdmissionPolicyBinding) {
			p.Spec.ValidationActions = []admissionv1.ValidationAction{admissionv1.Audit}
		}),
		"a binding that only warns": inBinding(func(p *admissionv1.ValidatingAdmissionPolicyBinding) {
			p.Spec.ValidationActions = []admissionv1.ValidationAction{admissionv1.Warn, admissionv1.Audit}
		}),
		"a binding of no actions": inBinding(func(p *admissionv1.ValidatingAdmissionPolicyBinding) { p.Spec.ValidationActions = nil }),
		"a binding of another policy": inBinding(func(p *admissionv1.ValidatingAdmissionPolicyBinding) {
			p.Spec.PolicyName = "license-operator-agreement"
		}),
		"a binding for some": inBinding(func(p *admissionv1.ValidatingAdmissionPolicyBinding) {
			p.Spec.MatchResources = &admissionv1.MatchResources{}
		}),
		"a binding with parameters": inBinding(func(p *admissionv1.ValidatingAdmissionPolicyBinding) {
			p.Spec.ParamRef = &admissionv1.ParamRef{Name: "none"}
		}),
		"a binding that denied not yet": inBinding(func(p *admissionv1.ValidatingAdmissionPolicyBinding) { written(p, 2, made.Add(-time.Second)) }),
	} {
		asked := b.proof
		b.proof = proof
		t.Log(name)
		b.check("reg", unproven)
		if _, res := b.look("reg"); res != (ctrl.Result{}) {
			t.Errorf("%v", res)
		}
		if len(b.calls.compared) > 0 || b.onRecord() != -1 {
			t.Errorf("%d were compared, %d are on record", len(b.calls.compared), b.onRecord())
		}
		b.proof = asked
	}
	for name, proof := range map[string]func(client.Object) error{
		"a policy without a failurePolicy": inPolicy(func(p *admissionv1.ValidatingAdmissionPolicy) { p.Spec.FailurePolicy = nil }),
		"a policy that was changed before": inPolicy(func(p *admissionv1.ValidatingAdmissionPolicy) { written(p, 3, made.Add(-time.Minute)) }),
		"a policy that got a label":        inPolicy(func(p *admissionv1.ValidatingAdmissionPolicy) { written(p, 1, made.Add(time.Minute)) }),
		"a binding that notes what it does": inBinding(func(p *admissionv1.ValidatingAdmissionPolicyBinding) {
			p.Spec.ValidationActions = append(p.Spec.ValidationActions, admissionv1.Audit)
		}),
	} {
		b.proof = proof
		if err := b.regs.proven(t.Context(), reg); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	b.proof = aged
	b.check("reg", face{conditions: isToBeGranted, kstatus: status.InProgressStatus, agreements: "customer/open=Granting"})
	b.proof = func(client.Object) error { return errNoPolicy }
	b.still("reg") // who is recognised needs no more proof

	b.register(b.name, "later", b.wrong(1))
	b.proof = func(client.Object) error { return errLine }
	b.calls.compared = nil
	failed, _, err := b.tryLook(b.name, "later")
	if !errors.Is(err, errLine) || conditions(failed) != "Ready=False(Retrying) Reconciling=True(Retrying)" || len(b.calls.compared) > 0 {
		t.Errorf("%v %s", err, conditions(failed))
	}
}

// The customer removes a partner by his name, that of who registered, or the
// namespace that he registered from; and takes him back.
func TestRemovedByCustomer(t *testing.T) {
	for name, entry := range map[string]func(b *bureau) string{
		"by the group": func(b *bureau) string { return b.name + "-agents" },
		"by the user":  func(b *bureau) string { return b.user },
		"by the place": func(b *bureau) string { return b.name },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBureau(t)
			other, group := b.name+"-other", b.name+"-agents"
			b.namespace(other)
			b.agreement(b.customer, "open", contact(b.user))
			b.agreement(b.customer, "unrelated", func(s *v1alpha1.PartnerAgreementSpec) { s.AuthorizationNumber = b.number(2) })
			b.agreement(other, "open", contact(b.user), func(s *v1alpha1.PartnerAgreementSpec) { s.AuthorizationNumber = b.number(3) })
			b.register(b.name, "reg", byContact, forGroup(group, b.user))
			b.look("reg")
			b.grant(b.customer, "open", "Group", group, b.clock.Now())
			b.grant(other, "open", "Group", group, b.clock.Now())
			b.look("reg")

			b.later(time.Second)
			b.editAgreement(b.customer, "unrelated", removing("somebody else", entry(b))) // it holds for all of the namespace
			b.grant(b.customer, "open", "Group", group, time.Time{})
			removed := face{conditions: isTakenAway, kstatus: status.FailedStatus, agreements: "customer/open=Removed other/open=Granted", customers: "other", told: "PartnerAccessEnded",
				message: "the customer of namespace " + b.customer + " has removed you: ask them to take the entry out of spec.removedPartners of their PartnerAgreements. For the rest you manage the licences of namespace " + other}
			b.check("reg", removed)
			if mails := b.mails("reg"); !slices.Contains(mails, "PartnerAccessEnded to office@partner.example: you no longer manage the licences of namespace bureau-customer: the customer has removed you") {
				t.Errorf("%q", mails)
			}

			b.editAgreement(b.customer, "unrelated", removing("somebody else"))
			b.check("reg", face{conditions: isToBeGranted, kstatus: status.InProgressStatus, agreements: "customer/open=Granting other/open=Granted", customers: "other"})
			b.later(time.Second)
			b.grant(b.customer, "open", "Group", group, b.clock.Now())
			b.check("reg", face{conditions: hasAccess, kstatus: status.CurrentStatus, agreements: "customer/open=Granted other/open=Granted", customers: "customer other", told: "PartnerAccessGranted"})
			b.later(time.Second)
			b.editAgreement(b.customer, "open", removing(entry(b)))
			b.grant(b.customer, "open", "Group", group, time.Time{})
			b.check("reg", removed) // told again
		})
	}
}

// An agreement that cannot give access does not keep a partner waiting, and does
// not hide what another customer has done.
func TestAgreementIsStalled(t *testing.T) {
	b := newBureau(t)
	other := b.name + "-other"
	b.namespace(other)
	b.agreement(b.customer, "open", contact(b.user))
	b.agreement(other, "open", contact(b.user), removing(b.user))
	b.register(b.name, "reg", byContact)
	stall := func(s metav1.ConditionStatus) {
		a := get(t, &v1alpha1.PartnerAgreement{}, b.customer, "open")
		setCondition(a, b.clock.Now(), v1alpha1.ConditionStalled, s, v1alpha1.ReasonTooManyPartners, "there are too many")
		if err := live.Status().Update(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
	removed := ". And the customer of namespace " + other + " has removed you: ask them to take the entry out of spec.removedPartners of their PartnerAgreements"
	waits := face{conditions: isToBeGranted, kstatus: status.InProgressStatus, agreements: "customer/open=Granting other/open=Removed", message: "its status says what is in the way" + removed}
	b.check("reg", waits)
	stall(metav1.ConditionTrue)
	b.check("reg", face{conditions: isStuck, kstatus: status.FailedStatus, agreements: "customer/open=Granting other/open=Removed",
		message: "you are recognised, and get no access to namespace " + b.customer + " because something is wrong with the PartnerAgreement there: ask the customer to do what its status says" + removed})
	stall(metav1.ConditionFalse)
	b.check("reg", waits)
	stall(metav1.ConditionTrue)
	b.grant(b.customer, "open", "User", b.user, b.clock.Now())
	b.check("reg", face{conditions: isTakenAway, kstatus: status.FailedStatus, agreements: "customer/open=Granted other/open=Removed", customers: "customer", told: "PartnerAccessGranted"})
}

// A customer is no longer served: RoleBindings there stay, and nobody is told that
// access has ended.
func TestCustomerIsNotServed(t *testing.T) {
	b := newBureau(t)
	other := b.name + "-other"
	b.namespace(other)
	b.agreement(b.customer, "open", contact(b.user))
	b.agreement(other, "open", contact(b.user))
	b.register(b.name, "reg", byContact)
	b.look("reg")
	b.grant(b.customer, "open", "User", b.user, b.clock.Now())
	b.look("reg")
	recognised := b.registration("reg").Status.RecognisedAt
	away := func(namespace string) {
		b.calls.hidden, b.regs.Namespaces = namespace, slices.DeleteFunc([]string{b.name, b.customer, other}, func(ns string) bool { return ns == namespace })
	}
	away(other) // where he has no access yet
	b.check("reg", face{conditions: hasAccess, kstatus: status.CurrentStatus, agreements: "customer/open=Granted other/open=Granting", customers: "customer",
		message: "you manage the licences of namespace " + b.customer})
	away(b.customer)
	b.check("reg", face{conditions: isToBeGranted, kstatus: status.InProgressStatus, agreements: "customer/open=Granted other/open=Granting", customers: "customer"})
	b.grant(other, "open", "User", b.user, b.clock.Now())
	b.check("reg", face{conditions: hasAccess, kstatus: status.CurrentStatus, agreements: "customer/open=Granted other/open=Granted", customers: "customer other", told: "PartnerAccessGranted",
		message: ". The operator does not serve namespace " + b.customer + " at present: what you have there stays as it is"})
	b.remove(get(t, &v1alpha1.PartnerAgreement{}, other, "open"))
	b.check("reg", face{conditions: hasAccess, kstatus: status.CurrentStatus, agreements: "customer/open=Granted", customers: "customer", told: "PartnerAccessEnded"})
	if at := b.registration("reg").Status.RecognisedAt; !at.Equal(recognised) {
		t.Errorf("recognised at %v, and now %v", recognised, at)
	}
	b.grant(b.customer, "open", "User", b.user, time.Time{})
	b.calls.hidden, b.regs.Namespaces = "", []string{b.name, b.customer, other}
	b.check("reg", face{conditions: isToBeGranted, kstatus: status.InProgressStatus, agreements: "customer/open=Granting"})
	away(b.customer)
	b.check("reg", face{conditions: isToBeGranted, kstatus: status.InProgressStatus, agreements: "customer/open=Granting",
		message: "you are recognised, and get access when the operator serves namespace " + b.customer + " again: ask whoever runs it"})
}

// The cache is late: what has ended is not told again.
func TestEndIsToldOnce(t *testing.T) {
	b := newBureau(t)
	b.agreement(b.customer, "open")
	b.register(b.name, "reg")
	b.look("reg")
	b.grant(b.customer, "open", "User", b.user, b.clock.Now())
	b.look("reg")
	old := b.registration("reg")
	b.remove(get(t, &v1alpha1.PartnerAgreement{}, b.customer, "open"))
	b.check("reg", refusedFace("PartnerAccessEnded"))
	b.later(time.Minute)
	b.calls.stale[client.ObjectKeyFromObject(old)] = old
	if _, res := b.look("reg"); res.RequeueAfter != moment || len(b.writes)+len(b.events) > 0 {
		t.Errorf("%v %v %v", res, b.writes, b.events)
	}
}

// What cannot be told stays to be told; a mail holds nothing up, and is put on
// record when it can be.
func TestTellsOfRegistrationsLater(t *testing.T) {
	b := newBureau(t)
	b.register(b.name, "wrong", b.wrong(1))
	b.failEvents = true
	counted := outcomes()
	if reg, _, err := b.tryLook(b.name, "wrong"); !errors.Is(err, errEvents) || len(reg.Status.Conditions) > 0 {
		t.Errorf("%v %s", err, conditions(reg))
	}
	b.failEvents = false
	b.check("wrong", refusedFace("PartnerNotRecognised"))
	if now := outcomes(); b.onRecord() != 1 || now[1] != counted[1]+1 {
		t.Errorf("%d are on record, counted %v", b.onRecord(), now)
	}

	b.agreement(b.customer, "open")
	b.register(b.name, "reg")
	b.look("reg")
	b.grant(b.customer, "open", "User", b.user, b.clock.Now())
	b.wire.written.Store(0)
	b.wire.breakAt = 2 // the mail
	reg, res := b.look("reg")
	if conditions(reg) != hasAccess || res.RequeueAfter != poll || len(b.mails("reg")) > 0 {
		t.Errorf("%s %v %q", conditions(reg), res, b.mails("reg"))
	}
	b.later(poll)
	if _, res := b.look("reg"); res.RequeueAfter != 0 || len(b.mails("reg")) != 1 {
		t.Errorf("%v %q", res, b.mails("reg"))
	}
	b.still("reg")

	b.calls.broken = true
	failed, _, err := b.tryLook(b.name, "reg")
	if !errors.Is(err, errLine) || conditions(failed) != hasAccess+" Reconciling=True(Retrying)" || len(failed.Status.Customers) != 1 {
		t.Errorf("%v %s", err, conditions(failed))
	}
	b.calls.broken = false
	b.look("reg")
	b.still("reg")
}

// What is on record of a requester is deleted when it is a day old.
func TestForgetsAttempts(t *testing.T) {
	b := newBureau(t)
	b.register(b.name, "first", b.wrong(1))
	b.look("first")
	b.later(time.Hour)
	b.register(b.name, "second", b.wrong(2))
	b.look("second")
	name := requesterName(b.registration("first"))
	of := get(t, &v1alpha1.PartnerRequester{}, "", name)
	if string(of.Spec.Requester) != b.user || len(of.Spec.Attempts) != 2 || of.Spec.Attempts[0].Registration != (v1alpha1.ObjectReference{Namespace: b.name, Name: "first"}) {
		t.Errorf("%+v", of.Spec)
	}
	forget := func() time.Duration {
		t.Helper()
		res, err := (&PartnerRequesterReconciler{Client: b.calls, Clock: b.clock}).Reconcile(t.Context(), reconcile.Request{NamespacedName: client.ObjectKey{Name: name}})
		if err != nil {
			t.Fatal(err)
		}
		return res.RequeueAfter
	}
	if after := forget(); after != longestSleep {
		t.Errorf("after %v", after)
	}
	b.later(day - time.Minute)
	if after := forget(); after != time.Minute || b.onRecord() != 2 {
		t.Errorf("after %v, %d on record", after, b.onRecord())
	}
	b.later(time.Minute)
	// Somebody tries again just then.
	stale := get(t, &v1alpha1.PartnerRequester{}, "", name)
	b.register(b.name, "third", b.wrong(3))
	b.look("third")
	if b.onRecord() != 1 {
		t.Errorf("%d on record", b.onRecord())
	}
	if err := live.Delete(t.Context(), stale, asRead(stale)); !apierrors.IsConflict(err) {
		t.Errorf("what was not read is deleted: %v", err)
	}
	b.later(day)
	if after := forget(); after != 0 || b.onRecord() != -1 {
		t.Errorf("after %v, %d on record", after, b.onRecord())
	}
	forget()
	b.wire.breakAt = b.wire.written.Load() + 1
	b.register(b.name, "fourth", b.wrong(4))
	if _, _, err := b.tryLook(b.name, "fourth"); err == nil {
		t.Error("nothing failed")
	}
}

// What wakes registrations.
func TestWakesRegistrations(t *testing.T) {
	a := &v1alpha1.PartnerAgreement{ObjectMeta: metav1.ObjectMeta{Namespace: "contoso", Name: "open", Generation: 1}}
	changed, granted, described := a.DeepCopy(), a.DeepCopy(), a.DeepCopy()
	changed.Generation++
	granted.Status.Partners = []v1alpha1.AgreementPartner{{Kind: "User", Name: "gail", Since: ptr.To(metav1.Now())}}
	described.Status.Administrators = 2
	stuck := a.DeepCopy()
	stuck.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionStalled, Status: metav1.ConditionTrue}}
	one := &v1alpha1.PartnerRequester{Spec: v1alpha1.PartnerRequesterSpec{Attempts: make([]v1alpha1.PartnerAttempt, 1)}}
	two := &v1alpha1.PartnerRequester{Spec: v1alpha1.PartnerRequesterSpec{Attempts: make([]v1alpha1.PartnerAttempt, 2)}}
	for name, ok := range map[string]bool{
		"an agreement that comes":    agreementMatters.Create(event.CreateEvent{Object: a}),
		"one that was there":         !agreementMatters.Create(event.CreateEvent{Object: a, IsInInitialList: true}),
		"one that changes":           agreementMatters.Update(event.UpdateEvent{ObjectOld: a, ObjectNew: changed}),
		"access":                     agreementMatters.Update(event.UpdateEvent{ObjectOld: a, ObjectNew: granted}),
		"no access any more":         agreementMatters.Update(event.UpdateEvent{ObjectOld: granted, ObjectNew: a}),
		"something wrong with it":    agreementMatters.Update(event.UpdateEvent{ObjectOld: a, ObjectNew: stuck}),
		"nothing wrong any more":     agreementMatters.Update(event.UpdateEvent{ObjectOld: stuck, ObjectNew: a}),
		"other things in its status": !agreementMatters.Update(event.UpdateEvent{ObjectOld: a, ObjectNew: described}),
		"one that goes":              agreementMatters.Delete(event.DeleteEvent{Object: a}),
		"a first attempt":            !allowsMore.Create(event.CreateEvent{Object: one}),
		"another attempt":            !allowsMore.Update(event.UpdateEvent{ObjectOld: one, ObjectNew: two}),
		"one taken back":             allowsMore.Update(event.UpdateEvent{ObjectOld: two, ObjectNew: one}),
		"all of them gone":           allowsMore.Delete(event.DeleteEvent{Object: one}),
	} {
		if !ok {
			t.Errorf("%s is judged wrongly", name)
		}
	}
}

// The reconciler runs in a manager: registrations are found by the indexes of its
// cache, and woken.
func TestPartnersInAManager(t *testing.T) {
	b := newBureau(t)
	mgr, err := ctrl.NewManager(apiServer, ctrl.Options{Scheme: scheme, Cache: CacheOptions([]string{b.name, b.customer}), Metrics: metricsserver.Options{BindAddress: "0"}, HealthProbeBindAddress: "0"})
	if err != nil {
		t.Fatal(err)
	}
	if err := registerPartnerIndexes(t.Context(), mgr.GetFieldIndexer()); err != nil {
		t.Fatal(err)
	}
	regs := &PartnerRegistrationReconciler{Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Clock: b.clock}
	if err := regs.SetupWithManager(mgr); err != nil {
		t.Fatal(err)
	}
	policySettled(t)
	b.register(b.name, "early")
	done := make(chan error)
	ctx, stop := context.WithCancel(t.Context())
	go func() { done <- mgr.Start(ctx) }()
	defer func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	becomes := func(name, want string) {
		t.Helper()
		for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			got := conditions(b.registration(name))
			if got == want {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: %s, want %s", name, got, want)
			}
		}
	}
	becomes("early", isNotRecognised)
	b.agreement(b.customer, "open", contact(b.user))
	becomes("early", isToBeGranted)
	b.register(b.name, "contact", byContact)
	becomes("contact", isToBeGranted)
	b.grant(b.customer, "open", "User", b.user, time.Now())
	becomes("early", hasAccess)
	becomes("contact", hasAccess)
	b.remove(get(t, &v1alpha1.PartnerAgreement{}, b.customer, "open"))
	becomes("early", isNotRecognised)
	becomes("contact", isNotRecognised)
	for n := range terms.AttemptsAllowed - 1 {
		b.register(b.name, fmt.Sprint("wrong-", n), b.wrong(n))
		becomes(fmt.Sprint("wrong-", n), isNotRecognised)
	}
	b.register(b.name, "last", b.wrong(9))
	becomes("last", hasToWait)
	b.remove(get(t, &v1alpha1.PartnerRequester{}, "", requesterName(b.registration("last"))))
	becomes("last", isNotRecognised)
	if !reflect.DeepEqual(b.registration("last").Status.Agreements, []v1alpha1.RegisteredAgreement(nil)) {
		t.Error("it has agreements")
	}
}

// policySettled waits until the policy has been there for long enough.
func policySettled(t *testing.T) {
	t.Helper()
	r := &PartnerRegistrationReconciler{Live: live}
	for {
		now := &v1alpha1.PartnerRegistration{ObjectMeta: metav1.ObjectMeta{CreationTimestamp: metav1.Now()}}
		err := r.proven(t.Context(), now)
		if err == nil {
			return
		}
		if !errors.As(err, new(*blocked)) {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}
