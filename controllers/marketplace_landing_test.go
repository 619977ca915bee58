package controllers

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/keys"
	"github.com/license-operator/license-operator/internal/signing"
)

// resolve is what the fulfilment service makes of a link: the id of the purchase.
func (m *market) resolve(link string) (string, error) {
	m.t.Helper()
	u, err := url.Parse(link)
	if err != nil {
		m.t.Fatal(err)
	}
	verifier := &signing.Verifier{Reader: live, Namespace: operatorNamespace, Clock: m.clock}
	return verifier.PurchaseToken(m.t.Context(), u.Query().Get("token"), m.clock.Now())
}

func raised(to int64) wanting {
	return func(s *v1alpha1.MarketplaceSubscriptionSpec) {
		s.LandingPage = &v1alpha1.LandingPageChoice{Renewal: to}
	}
}

// The link leads to the publisher's site, which learns by it what was bought, for
// 24 hours.
func TestLinkToThePublishersSite(t *testing.T) {
	m := newMarket(t)
	m.order("sub")
	sub, _ := m.follow("sub")
	link := m.landing("sub-landing")
	u, err := url.Parse(link)
	if err != nil || u.Host != "analytics.example" || u.Path != "/landing" || u.Query().Get("offer") != "a b" || !strings.HasPrefix(u.Query().Get("token"), tokenMark) || len(u.Query()) != 2 {
		t.Errorf("the link is wrong: %v", err)
	}
	if id, err := m.resolve(link); err != nil || id != sub.Status.ID {
		t.Errorf("resolves to %q (%v), want %s", id, err, sub.Status.ID)
	}
	st := sub.Status.LandingPage
	if st.SecretName != "sub-landing" || st.Site != "https://analytics.example/landing?offer=a%20b" || !st.ExpiresAt.Time.Equal(m.clock.Now().Add(24*time.Hour)) || st.Renewal != 0 || st.URLHash != keys.Fingerprint(link) {
		t.Errorf("%+v", st)
	}
	secret := get(t, &corev1.Secret{}, m.customer, "sub-landing")
	if !metav1.IsControlledBy(secret, sub) || secret.Labels[v1alpha1.LabelManagedBy] != v1alpha1.ManagedByOperator {
		t.Errorf("%v %+v", secret.Labels, secret.OwnerReferences)
	}
	m.clock.SetTime(st.ExpiresAt.Time)
	if id, err := m.resolve(link); err == nil {
		t.Errorf("resolves to %s after 24 hours", id)
	}
}

// The customer is not left with a link that no longer works as long as the
// publisher waits. Later there is a fresh one on demand.
func TestFreshLandingLinks(t *testing.T) {
	const renews = redelivers + ", " + tells
	pending := looks{
		state: v1alpha1.StatePendingFulfillmentStart, conditions: isPending, message: "configure the account", kstatus: status.InProgressStatus,
		requeue: longestSleep, writes: renews,
	}
	m := newMarket(t)
	m.order("sub")
	sub, _ := m.follow("sub")
	seen := map[string]bool{m.landing("sub-landing"): true}
	fresh := func(want bool) {
		t.Helper()
		link := m.landing("sub-landing")
		if seen[link] == want {
			t.Errorf("a fresh link: %v, want %v", !seen[link], want)
		}
		seen[link] = true
		if id, err := m.resolve(link); want && (err != nil || id != sub.Status.ID) {
			t.Errorf("resolves to %q: %v", id, err)
		}
	}
	m.clock.SetTime(sub.Status.LandingPage.ExpiresAt.Add(-2 * time.Second))
	quiet := pending
	quiet.requeue, quiet.writes = 2*time.Second, ""
	m.check("sub", quiet) // and again one second before
	fresh(false)
	m.clock.SetTime(sub.Status.LandingPage.ExpiresAt.Time)
	sub = m.check("sub", pending)
	fresh(true)
	m.later(time.Minute)
	m.want("sub", raised(1))
	if sub = m.check("sub", pending); sub.Status.LandingPage.Renewal != 1 {
		t.Errorf("%+v", sub.Status.LandingPage)
	}
	fresh(true)
	m.activate("sub")
	m.follow("sub")
	m.later(20 * day)
	if sub, _ = m.follow("sub"); !m.clock.Now().After(sub.Status.LandingPage.ExpiresAt.Time) {
		t.Errorf("%+v", sub.Status.LandingPage)
	}
	fresh(false)
	m.want("sub", raised(5))
	m.check("sub", runs(isSubscribed, "until", renews, ""))
	fresh(true)
	m.later(time.Minute)
	m.clock.SetTime(time.Now().UTC().Truncate(time.Second).Add(21 * day))
	m.want("sub", suspended(true))
	m.follow("sub")
	m.want("sub", raised(6))
	if sub, _ = m.follow("sub"); sub.Status.LandingPage.Renewal != 6 {
		t.Errorf("suspended: %+v", sub.Status.LandingPage)
	}
	fresh(true)
	m.still("sub")
}

// The Secret is put right whoever changed it, unless it is somebody else's.
func TestLandingSecret(t *testing.T) {
	taken := "ActionRequired=True(ConfigureAccount) Activated=False(AwaitingActivation) InSync=True(InSync) Ready=False(SecretNameTaken) Stalled=True(SecretNameTaken)"
	subscribedTaken := isSubscribed + " Stalled=True(SecretNameTaken)"
	pending := func(writes string) looks {
		return looks{state: v1alpha1.StatePendingFulfillmentStart, conditions: isPending, message: "configure", kstatus: status.InProgressStatus, requeue: longestSleep, writes: writes}
	}
	stalls := func(says, writes string) looks {
		return looks{state: v1alpha1.StatePendingFulfillmentStart, conditions: taken, message: says, kstatus: status.FailedStatus, requeue: poll, writes: writes}
	}
	edit := func(change func(*corev1.Secret)) func(*market) {
		return func(m *market) {
			m.t.Helper()
			secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: m.customer, Name: "sub-landing"}}
			m.edit(secret, func() { change(secret) })
		}
	}
	for name, tc := range map[string]struct {
		before    func(*market) // the purchase
		after     func(*market) // it
		activated bool
		looks     looks
		foreign   bool // the Secret stays as it is
	}{
		"somebody else's, before the purchase": {
			before: func(m *market) {
				m.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: m.customer, Name: "sub-landing"}, StringData: map[string]string{entryLandingPage: "mine"}})
			},
			looks: stalls("Secret sub-landing exists and is not this subscription's: it is left alone. Delete it", ""), foreign: true,
		},
		"with our label only, before the purchase": {
			before: func(m *market) {
				m.create(&corev1.Secret{
					ObjectMeta: metav1.ObjectMeta{Namespace: m.customer, Name: "sub-landing", Labels: map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedByOperator}},
					StringData: map[string]string{entryLandingPage: "mine"},
				})
			},
			looks: stalls("is left alone", ""), foreign: true,
		},
		"of another subscription": {
			before: func(m *market) {
				m.order("other", func(s *v1alpha1.MarketplaceSubscriptionSpec) { s.SecretName = "sub-landing" })
				m.follow("other")
			},
			looks: stalls("is left alone", ""), foreign: true,
		},
		"deleted": {
			after: func(m *market) { m.remove(get(m.t, &corev1.Secret{}, m.customer, "sub-landing")) }, looks: pending(delivers + ", " + tells),
		},
		"edited": {
			after: edit(func(s *corev1.Secret) { s.Data[entryLandingPage] = []byte("https://evil.example") }), looks: pending(redelivers + ", " + tells),
		},
		"emptied": {after: edit(func(s *corev1.Secret) { s.Data = nil }), looks: pending(redelivers + ", " + tells)},
		"taken over by another owner of the same name": {
			after: edit(func(s *corev1.Secret) { s.OwnerReferences[0].UID = "gone" }), looks: pending(redelivers + ", " + tells),
		},
		"without its marks": {
			after: edit(func(s *corev1.Secret) { s.Labels, s.OwnerReferences = nil, nil }), looks: stalls("is left alone", tells), foreign: true,
		},
		"immutable, and a fresh one is due": {
			after: func(m *market) {
				edit(func(s *corev1.Secret) { s.Immutable = ptr.To(true) })(m)
				m.want("sub", raised(1))
			},
			looks: stalls("somebody made it immutable or put something of his own into it: delete it and it is delivered anew", tells), foreign: true,
		},
		"immutable, once it is subscribed": {
			activated: true,
			after: func(m *market) {
				edit(func(s *corev1.Secret) { s.Immutable = ptr.To(true) })(m)
				m.want("sub", raised(1))
			},
			looks: looks{
				state: v1alpha1.StateSubscribed, conditions: subscribedTaken, message: "somebody made it immutable", kstatus: status.FailedStatus, requeue: poll, writes: tells,
			},
			foreign: true,
		},
		"deleted once it is subscribed": {
			activated: true, after: func(m *market) { m.remove(get(m.t, &corev1.Secret{}, m.customer, "sub-landing")) },
			looks: runs(isSubscribed, "until", delivers+", "+tells, ""),
		},
		"leading to a site that has moved": {
			after: func(m *market) {
				m.editPublisher(func(p *v1alpha1.Publisher) { p.Spec.LandingPageURL = "https://new.example/" })
			},
			looks: pending(redelivers + ", " + tells),
		},
		"leading to a site that has moved once it is subscribed": {
			activated: true,
			after: func(m *market) {
				m.editPublisher(func(p *v1alpha1.Publisher) { p.Spec.LandingPageURL = "https://new.example/" })
			},
			looks: runs(isSubscribed, "until", redelivers+", "+tells, ""),
		},
		"as it was, while its publisher changes otherwise": {
			after: func(m *market) {
				m.editPublisher(func(p *v1alpha1.Publisher) { p.Spec.WebhookURL = "https://new.example/" })
			},
			looks: pending(""), foreign: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMarket(t)
			if tc.before != nil {
				tc.before(m)
			}
			m.order("sub")
			m.follow("sub")
			if tc.activated {
				m.activate("sub")
				m.follow("sub")
			}
			m.later(time.Minute)
			if tc.after != nil {
				tc.after(m)
			}
			before := m.secret("sub-landing")[entryLandingPage]
			sub := m.check("sub", tc.looks)
			link := m.secret("sub-landing")[entryLandingPage]
			if tc.foreign {
				if link != before {
					t.Error("the Secret was written")
				}
				if !strings.Contains(tc.looks.conditions, "SecretNameTaken") {
					return
				}
				m.entitlement("sub")
				m.remove(get(t, &corev1.Secret{}, m.customer, "sub-landing"))
				sub, _ = m.follow("sub")
				link = m.landing("sub-landing")
			}
			secret := get(t, &corev1.Secret{}, m.customer, "sub-landing")
			if id, err := m.resolve(link); err != nil || id != sub.Status.ID || !metav1.IsControlledBy(secret, sub) || len(secret.OwnerReferences) != 1 {
				t.Errorf("resolves to %q (%v); owners %+v", id, err, secret.OwnerReferences)
			}
			if p := get(t, &v1alpha1.Publisher{}, "", m.name); !strings.HasPrefix(link, strings.SplitN(p.Spec.LandingPageURL, "?", 2)[0]) || sub.Status.LandingPage.Site != p.Spec.LandingPageURL || sub.Status.LandingPage.URLHash != keys.Fingerprint(link) {
				t.Errorf("leads elsewhere: %+v", sub.Status.LandingPage)
			}
			m.still("sub")
		})
	}
}

// Without a key that signs, something is bought, and the link follows.
func TestSigningKeyIsUnusable(t *testing.T) {
	m := newMarket(t)
	namespace := m.name + "-operator"
	m.create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}})
	broken := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: signing.SecretName}, StringData: map[string]string{"key.pem": "no key"}}
	m.create(broken)
	m.services.Tokens = &signing.Signer{Client: live, Live: live, Namespace: namespace, Clock: m.clock}
	m.order("sub")
	m.check("sub", looks{
		state:      v1alpha1.StatePendingFulfillmentStart,
		conditions: "ActionRequired=True(ConfigureAccount) Activated=False(AwaitingActivation) InSync=True(InSync) Ready=False(SigningKeyNotReady) Reconciling=True(SigningKeyNotReady)",
		message:    "bought, but no link to the publisher's site can be made: Secret " + namespace + "/license-operator-signing, entry key.pem is not PEM",
		kstatus:    status.InProgressStatus, requeue: poll, writes: buys + ", " + tells, told: "Purchased",
	})
	if m.landing("sub-landing") != "" || m.sub("sub").Status.LandingPage != nil {
		t.Error("there is a link")
	}
	m.remove(broken)
	m.check("sub", looks{
		state: v1alpha1.StatePendingFulfillmentStart, conditions: isPending, message: "configure", kstatus: status.InProgressStatus, requeue: longestSleep, writes: delivers + ", " + tells,
	})
}

// A publisher that comes back after the purchase has its site linked to then.
func TestPublisherComesBack(t *testing.T) {
	m := newMarket(t)
	p := get(t, &v1alpha1.Publisher{}, "", m.name)
	m.order("sub")
	m.wire.breakAt = 2 // the link
	if _, _, err := m.tryFollow("sub"); err == nil {
		t.Fatal("the link was made")
	}
	m.remove(p)
	sub, _ := m.follow("sub")
	if conditions(sub) != isPending || m.landing("sub-landing") != "" {
		t.Errorf("%s", conditions(sub))
	}
	m.still("sub")
	m.create(&v1alpha1.Publisher{ObjectMeta: metav1.ObjectMeta{Name: m.name}, Spec: p.Spec})
	m.check("sub", looks{
		state: v1alpha1.StatePendingFulfillmentStart, conditions: isPending, message: "configure the account with the link in Secret ", kstatus: status.InProgressStatus,
		requeue: longestSleep, writes: delivers + ", " + tells,
	})
}

// The link itself is in the Secret and nowhere else.
func TestLinkIsInTheSecretOnly(t *testing.T) {
	m := newMarket(t)
	m.order("sub")
	sub, _ := m.follow("sub")
	u, err := url.Parse(m.landing("sub-landing"))
	if err != nil {
		t.Fatal(err)
	}
	token := u.Query().Get("token")
	if token == "" {
		t.Fatal("no token")
	}
	// TestMain looks for what all tokens begin with in all objects.
	for place, content := range map[string]any{"subscription": sub, "entitlement": m.entitlement("sub")} {
		if text := asJSON(t, content); strings.Contains(text, token) || strings.Contains(text, token[len(token)-40:]) {
			t.Errorf("the token is in the %s", place)
		}
	}
	small, err := FingerprintSecret(get(t, &corev1.Secret{}, m.customer, "sub-landing"))
	if text := asJSON(t, small); err != nil || strings.Contains(text, tokenMark) {
		t.Error("the token is in the cache")
	}
}
