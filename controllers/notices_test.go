package controllers

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/terms"
)

// told runs a pass at an instant and checks which Events it sends.
func (s *shop) told(name string, at time.Time, want ...string) {
	s.t.Helper()
	s.clock.SetTime(at)
	s.events = nil
	s.pass(name)
	var got []string
	for _, e := range s.events {
		got = append(got, strings.TrimPrefix(e, name+" "))
	}
	if !slices.Equal(got, want) {
		s.t.Errorf("at %s: %v, want %v", stamp(at), got, want)
	}
	s.events = nil
	s.pass(name)
	s.clock.SetTime(at.Add(time.Second))
	s.pass(name)
	if len(s.events) > 0 {
		s.t.Errorf("at %s: again %v", stamp(at), s.events)
	}
}

func TestNoticesOfALife(t *testing.T) {
	s := newOfficeShop(t)
	bought := s.clock.Now()
	s.buy("sub")
	s.told("sub", bought, "Issued")
	s.told("sub", bought.Add(6*day-2*time.Second)) // and a second later
	s.told("sub", bought.Add(6*day), "WindowClosing")
	end := get(t, &v1alpha1.SoftwareSubscription{}, s.customer, "sub").Status.Term.EndsAt.Time
	s.told("sub", end.Add(-30*day), "TermEnding")
	s.told("sub", end.Add(-7*day), "TermEnding")
	s.told("sub", end.Add(-2*time.Second))
	s.told("sub", end, "Renewed")
	s.told("sub", end.Add(6*day), "WindowClosing")
	sub := get(t, &v1alpha1.SoftwareSubscription{}, s.customer, "sub")
	s.edit(sub, func() { sub.Spec.AutoRenew = ptr.To(false) })
	sub = get(t, &v1alpha1.SoftwareSubscription{}, s.customer, "sub")
	sub.Status.Download.FirstDownloadedAt, sub.Status.Download.ExpiresAt = ptr.To(metav1.NewTime(end.Add(10*day))), ptr.To(metav1.NewTime(end.Add(15*day)))
	if err := live.Status().Update(t.Context(), sub); err != nil {
		t.Fatal(err)
	}
	s.told("sub", end.Add(14*day), "LinkExpiring")
	s.told("sub", end.Add(1000*day), "Expired") // and no warning of what is over

	var list eventsv1.EventList
	if err := live.List(t.Context(), &list, client.InNamespace(s.customer)); err != nil {
		t.Fatal(err)
	}
	for _, e := range list.Items {
		if e.Note == "" || e.Regarding.Name != "sub" || e.ReportingController != reporter {
			t.Errorf("%+v", e)
		}
		t.Log(e.Type, e.Reason, e.Note)
	}
	if len(list.Items) != 8 {
		t.Errorf("%d events", len(list.Items))
	}
}

func TestNoticeOfACancellation(t *testing.T) {
	s := newShop(t, "KEY-0001")
	s.buy("sub")
	s.told("sub", s.clock.Now(), "Issued")
	// Looked at again after the API server took the request, by a cache that is late.
	s.cancel("sub")
	s.told("sub", s.clock.Now().Add(time.Hour), "Cancelled")
	s.told("sub", s.clock.Now().Add(time.Hour))
}

// Whatever is cut off, each notice is sent, and sent once.
func TestNoticesSurviveACrash(t *testing.T) {
	s := newShop(t, "KEY-0001", "KEY-0002")
	s.buy("sub")
	s.failEvents = true
	if _, _, err := s.tryPass("sub"); err == nil {
		t.Fatal("the failure is not told")
	}
	s.process = s.restart() // the status was written, the Event was not sent
	s.lookAtIssuer()
	s.told("sub", s.clock.Now(), "Issued")
	for range 3 {
		s.process = s.restart()
		s.lookAtIssuer()
		s.told("sub", s.clock.Now())
	}
	// A failure that passes needs no restart.
	s.buy("second")
	s.failEvents = true
	if _, _, err := s.tryPass("second"); err == nil {
		t.Fatal("the failure is not told")
	}
	s.failEvents = false
	s.told("second", s.clock.Now(), "Issued")
	// What was due long before, because the operator was away, is not lost either.
	later := s.clock.Now().Add(6*day + 20*time.Hour)
	s.clock.SetTime(later)
	s.failEvents = true
	if _, _, err := s.tryPass("second"); err == nil {
		t.Fatal("the failure is not told")
	}
	s.failEvents = false
	s.process = s.restart()
	s.lookAtIssuer()
	s.told("second", later, "WindowClosing")
	s.clock.SetTime(later.Add(-6*day - 20*time.Hour))
	// After a restore what is long past is no news.
	s.clock.SetTime(s.clock.Now().Add(-2 * time.Hour))
	s.topUp("more", "KEY-0003")
	s.lookAtIssuer()
	s.buy("third")
	s.pass("third")
	old := get(t, &v1alpha1.SoftwareSubscription{}, s.customer, "third")
	if err := live.Delete(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	s.create(&v1alpha1.SoftwareSubscription{ObjectMeta: metav1.ObjectMeta{Namespace: s.customer, Name: "third"}, Spec: old.Spec})
	s.process = s.restart()
	s.lookAtIssuer()
	s.told("third", time.Now())
}

var errEvents = errors.New("no events today")

// A pass that fails before it knows of a migration does not tell of it, nor
// lose the notice.
func TestNoticeAfterAPassThatFailed(t *testing.T) {
	s := newOfficeShop(t)
	s.buy("sub")
	s.told("sub", s.clock.Now(), "Issued")
	s.clock.SetTime(s.clock.Now().Add(time.Hour))
	sub := get(t, &v1alpha1.SoftwareSubscription{}, s.customer, "sub")
	s.edit(sub, func() {
		sub.Spec.Quantity = 26 // which is read again
		sub.Spec.VolumeLicensing = &v1alpha1.VolumeLicensing{LastKMSActivation: metav1.NewTime(s.clock.Now().Add(-150*day - time.Minute))}
	})
	s.subs.Live = awayReader{live}
	if _, _, err := s.tryPass("sub"); err == nil {
		t.Fatal("the failure is not told")
	}
	s.subs.Live = live
	s.told("sub", s.clock.Now(), "MigrationAtRisk")
}

// awayReader is the API server while it does not answer.
type awayReader struct{ client.Reader }

func (awayReader) Get(context.Context, client.ObjectKey, client.Object, ...client.GetOption) error {
	return errors.New("the API server is away")
}

// That something ended long ago is no news after a restore.
func TestRestoredEndIsNoNews(t *testing.T) {
	s := newShop(t, "KEY-0001")
	s.clock.SetTime(s.clock.Now().Add(-400 * day))
	s.buy("sub", noRenewal)
	s.pass("sub")
	s.clock.SetTime(s.clock.Now().Add(366 * day))
	s.pass("sub")
	old := get(t, &v1alpha1.SoftwareSubscription{}, s.customer, "sub")
	if err := live.Delete(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	s.create(&v1alpha1.SoftwareSubscription{ObjectMeta: metav1.ObjectMeta{Namespace: s.customer, Name: "sub"}, Spec: old.Spec})
	s.process = s.restart()
	s.lookAtIssuer()
	s.told("sub", time.Now())
}

// A notice whose Event fails is sent by the next pass, also of a subscription
// that was told of something before.
func TestNoticeAfterAnEventThatFailed(t *testing.T) {
	s := newShop(t, "KEY-0001")
	s.buy("sub")
	bought := s.clock.Now()
	s.told("sub", bought, "Issued")
	s.clock.SetTime(bought.Add(6 * day))
	s.failEvents = true
	if _, _, err := s.tryPass("sub"); err == nil {
		t.Fatal("the failure is not told")
	}
	s.failEvents = false
	s.told("sub", s.clock.Now().Add(time.Minute), "WindowClosing")
}

// A move from KMS that is told of only when little time is left.
func TestNoticeOfAMoveDeclaredLate(t *testing.T) {
	s := newOfficeShop(t)
	now := s.clock.Now()
	moving := func(last time.Time) change {
		return func(sub *v1alpha1.SoftwareSubscription) {
			sub.Spec.VolumeLicensing = &v1alpha1.VolumeLicensing{LastKMSActivation: metav1.NewTime(last)}
		}
	}
	s.buy("at-the-purchase", moving(now.Add(-155*day)))
	s.told("at-the-purchase", now, "Issued", "MigrationAtRisk")
	s.buy("later")
	s.told("later", now, "Issued")
	sub := get(t, &v1alpha1.SoftwareSubscription{}, s.customer, "later")
	s.edit(sub, func() { moving(now.Add(-200 * day))(sub) })
	s.told("later", now.Add(time.Minute), "MigrationLapsed")
	s.process = s.restart()
	s.lookAtIssuer()
	s.told("later", now.Add(time.Hour))
}

// An object has a name as long as any, and its notices have one all the same.
func TestNoticeNames(t *testing.T) {
	at := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	about := func(name string, uid types.UID) client.Object {
		return &v1alpha1.SoftwareSubscription{ObjectMeta: metav1.ObjectMeta{Name: name, UID: uid}}
	}
	seen := map[string]bool{}
	for _, name := range []string{
		"a", strings.Repeat("a", 236), strings.Repeat("a", 237), strings.Repeat("a", 253), strings.Repeat("a", 235) + ".b", strings.Repeat("a", 235) + ".bcd",
		strings.Repeat("a", 234) + "--b", strings.Repeat("a", 232) + "-.-.b", // cut after what no part of a name ends with
	} {
		for _, uid := range []types.UID{"one", "other"} {
			got := noticeName(about(name, types.UID(name)+uid), terms.Announcement{Notice: terms.Issued, At: at})
			if problems := validation.IsDNS1123Subdomain(got); len(problems) > 0 || seen[got] || len(name) <= 236 && !strings.HasPrefix(got, name+".") {
				t.Errorf("%s: got %s %v", name, got, problems)
			}
			seen[got] = true
		}
	}
}
