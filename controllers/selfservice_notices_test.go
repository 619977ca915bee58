package controllers

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
)

// noteOf is what the Events of a notice say of a purchase; if it is not told, or
// told twice, the test fails.
func (d *desk) noteOf(name, notice string) string {
	d.t.Helper()
	var events eventsv1.EventList
	if err := live.List(d.t.Context(), &events, client.InNamespace(d.customer)); err != nil {
		d.t.Fatal(err)
	}
	var notes []string
	for _, e := range events.Items {
		if e.Regarding.Name == name && e.Regarding.Kind == "SelfServicePurchase" && e.Reason == notice {
			notes = append(notes, e.Note)
		}
	}
	if len(notes) != 1 {
		d.t.Errorf("told %s %d times: %q", notice, len(notes), notes)
	}
	return strings.Join(notes, " ")
}

// mails are the mails about a purchase, the first one first.
func (d *desk) mails(name string) []v1alpha1.NotificationSpec {
	d.t.Helper()
	var all v1alpha1.NotificationList
	if err := live.List(d.t.Context(), &all, client.InNamespace(d.customer)); err != nil {
		d.t.Fatal(err)
	}
	var mails []v1alpha1.NotificationSpec
	for _, n := range all.Items {
		if n.Spec.Regarding.Kind == "SelfServicePurchase" && n.Spec.Regarding.Name == name {
			mails = append(mails, n.Spec)
		}
	}
	slices.SortFunc(mails, func(a, b v1alpha1.NotificationSpec) int { return a.At.Compare(b.At.Time) })
	return mails
}

// Where mail is configured, the purchaser gets by mail what Events tell.
func TestMailsThePurchaser(t *testing.T) {
	d := newDesk(t)
	d.purchases.Mail = Post{Client: d.view}
	d.ask("own", paidTrial, forMonths, assigned("bob@contoso.example"))
	d.expect("own", "Trial", placesOrder+", create v1alpha1.Notification, "+tellsBuyer, "SelfServicePurchased")
	end := d.purchase("own").Status.Term.EndsAt.Time
	d.clock.SetTime(end.Add(-7 * day))
	d.expect("own", "Trial", "create v1alpha1.Notification, "+tellsBuyer, "TrialEnding")
	d.clock.SetTime(end)
	d.serve("own")
	d.clock.SetTime(d.purchase("own").Status.Term.EndsAt.Add(-7 * day))
	d.serve("own")
	d.clock.SetTime(d.purchase("own").Status.Term.EndsAt.Time)
	d.serve("own")
	d.later(time.Hour)
	d.takeOver("own", v1alpha1.OrderTakeover{Name: "central", Reason: v1alpha1.TakeoverNotNeeded, Comment: "we have another one"})
	d.serve("own")
	d.still("own")
	want := []string{
		"SelfServicePurchased on trial, 1 licence, 1 assigned, until ",
		"TrialEnding the trial runs until " + stamp(end) + ", when it turns into a purchase for 12.50 EUR each month; set spec.autoRenew to false to let it end",
		"TrialTurnedPaid the trial has turned into a purchase: 1 licence, 1 assigned, until ",
		"TermEnding the term runs until ",
		"Renewed a new term has begun: 1 licence, 1 assigned, until ",
		"PurchaseTakenOver taken over by Takeover central at " + stamp(d.clock.Now().Add(-time.Second)) + ": cancelled, because it is not needed; its users lost access. The administrator says: we have another one",
	}
	mails := d.mails("own")
	for i, m := range mails {
		if m.To != "ada@contoso.example" || m.Product != "Drawing" || i >= len(want) || !strings.HasPrefix(m.Notice+" "+m.Text, want[i]) {
			t.Errorf("mail %d: %+v", i, m)
		}
		// The comment is for the purchaser alone.
		if note, told := d.noteOf("own", m.Notice), strings.TrimSuffix(m.Text, ". The administrator says: we have another one"); note != told {
			t.Errorf("the Event says %q, the mail %q", note, m.Text)
		}
	}
	if len(mails) != len(want) {
		t.Errorf("%d mails, want %d", len(mails), len(want))
	}
	if p := d.purchase("own"); !strings.HasSuffix(p.Status.Message, "The administrator says: we have another one") {
		t.Errorf("%s", p.Status.Message) // without mail there is no other way to him
	}
}

// A product that is gone is called by its name.
func TestMailsAboutAProductThatIsGone(t *testing.T) {
	d := newDesk(t)
	d.purchases.Mail = Post{Client: d.view}
	d.ask("own", forMonths)
	d.serve("own")
	d.remove(d.product())
	d.later(32 * day)
	d.serve("own")
	if mails := d.mails("own"); len(mails) != 2 || mails[1].Product != d.name {
		t.Errorf("%+v", mails)
	}
}

// Events that cannot be sent are sent later, and status waits for them.
func TestPurchaseIsToldLater(t *testing.T) {
	d := newDesk(t)
	d.failEvents = true
	d.ask("own")
	if _, _, err := d.tryServe("own"); err == nil || d.purchase("own").Status.State != "" {
		t.Fatalf("status went ahead: %v", err)
	}
	d.failEvents = false
	d.expect("own", "Active", tellsBuyer, "SelfServicePurchased")
}

// refusing refuses to put mails on record, as a quota does that is used up.
type refusing struct {
	client.Client
	with error // nil: it does not
}

func (r *refusing) Create(ctx context.Context, o client.Object, opts ...client.CreateOption) error {
	if r.with != nil {
		return r.with
	}
	return r.Client.Create(ctx, o, opts...)
}

var errQuota = apierrors.NewForbidden(v1alpha1.GroupVersion.WithResource("notifications").GroupResource(), "a", errors.New("exceeded quota"))

// A mail that cannot be put on record holds nothing up, and is put there later,
// once.
func TestMailsHoldNothingUp(t *testing.T) {
	for name, err := range map[string]error{"quota": errQuota, "line": errLine} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			post := &refusing{Client: d.view, with: err}
			d.purchases.Mail = Post{Client: post}
			d.ask("own", assigned("bob@contoso.example"))
			p, res := d.serve("own")
			if p.Status.State != "Active" || len(p.Status.Users) != 1 || conditions(p) != isLicensed || res.RequeueAfter != poll {
				t.Errorf("%s, again after %v", asJSON(t, p.Status), res.RequeueAfter)
			}
			d.noteOf("own", "SelfServicePurchased")
			d.still("own")
			d.later(10 * time.Minute)
			if _, res := d.serve("own"); res.RequeueAfter < 10*time.Minute || res.RequeueAfter > 11*time.Minute {
				t.Errorf("again after %v", res.RequeueAfter)
			}
			d.restart() // which forgets nothing
			post = &refusing{Client: d.view}
			d.purchases.Mail = Post{Client: post}
			d.expect("own", "Active", "create v1alpha1.Notification, "+tellsBuyer, "")
			post.with = err
			at := d.change("own", givenUp)
			d.clock.SetTime(latest(at, d.clock.Now()).Add(time.Second))
			if p, _ := d.serve("own"); p.Status.State != "Cancelled" || p.Status.EndedAt == nil || len(p.Status.Users) != 0 {
				t.Errorf("%s", asJSON(t, p.Status))
			}
			post.with = nil
			d.later(time.Minute)
			d.expect("own", "Cancelled", "create v1alpha1.Notification, "+tellsBuyer, "")
			d.noteOf("own", "SelfServiceEnded")
			if mails := d.mails("own"); len(mails) != 2 || mails[0].Notice == mails[1].Notice {
				t.Errorf("%+v", mails)
			}
		})
	}
	t.Run("for good", func(t *testing.T) {
		d := newDesk(t)
		d.purchases.Mail = Post{Client: &refusing{Client: d.view, with: errQuota}}
		d.ask("own")
		d.serve("own")
		d.later(postTime)
		if _, res := d.serve("own"); res.RequeueAfter != longestSleep {
			t.Errorf("again after %v", res.RequeueAfter)
		}
		d.later(time.Second)
		if p, _ := d.serve("own"); !p.Status.NoticedUntil.Time.Equal(d.clock.Now()) {
			t.Errorf("told until %v", p.Status.NoticedUntil)
		}
		d.still("own")
	})
	t.Run("an address that is none", func(t *testing.T) {
		d := newDesk(t)
		d.purchases.Mail = Post{Client: &refusing{Client: d.view, with: apierrors.NewInvalid(v1alpha1.GroupVersion.WithKind("Notification").GroupKind(), "a", nil)}}
		d.ask("own")
		d.check("own", living("Active", "1 licence", ordersAll, "SelfServicePurchased"))
	})
}

// The same holds for services, which the publisher changes.
func TestMailsOfServicesHoldNothingUp(t *testing.T) {
	m := newMarket(t)
	post := &refusing{Client: m.view, with: errQuota}
	m.services.Mail = Post{Client: post}
	m.order("sub", func(s *v1alpha1.MarketplaceSubscriptionSpec) {
		s.Purchaser = &v1alpha1.Person{Email: "ada@contoso.example"}
	})
	sub, res := m.follow("sub")
	if conditions(sub) != isPending || res.RequeueAfter != poll || sub.Status.ID == "" {
		t.Errorf("%s, again after %v", conditions(sub), res.RequeueAfter)
	}
	if got := strings.Join(m.events, " "); got != "sub Purchased" {
		t.Errorf("told %q", got)
	}
	if m.still("sub"); m.sub("sub").Status.NoticedUntil == nil {
		t.Error("people were told, and it is not on record")
	}
	post.with = nil
	m.later(time.Minute)
	if m.follow("sub"); strings.Join(m.writes, ", ") != "create v1alpha1.Notification" {
		t.Errorf("wrote %v", m.writes)
	}
	m.still("sub")
}

// Terms are said in words, and users are asked for only as long as there is room
// for them.
func TestWordsForPurchasers(t *testing.T) {
	for term, want := range map[v1alpha1.Term]string{
		v1alpha1.TermMonth: "each month", v1alpha1.TermYear: "each year", v1alpha1.TermTwoYears: "each 2 years", v1alpha1.TermThreeYears: "each 3 years",
		v1alpha1.TermFourYears: "each 4 years", v1alpha1.TermFiveYears: "each 5 years", v1alpha1.TermPerpetual: "once",
	} {
		if got := howOften(term); got != want {
			t.Errorf("%s: %q", term, got)
		}
	}
	d := newDesk(t)
	d.ask("free", licences(2), assigned("ada@contoso.example"))
	d.ask("full", licences(1), assigned("ada@contoso.example"))
	for name, asks := range map[string]bool{"free": true, "full": false} {
		d.serve(name)
		if note := d.noteOf(name, "SelfServicePurchased"); strings.HasSuffix(note, ". Name who uses it in spec.assignedUsers") != asks {
			t.Errorf("%s: %q", name, note)
		}
	}
}
