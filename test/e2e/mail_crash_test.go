package e2e

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/test/apiproxy"
	"github.com/license-operator/license-operator/test/mailserver"
)

// newMailbox starts a mail server, and has operators of this test send mails
// there.
func newMailbox(t *testing.T) *mailserver.Server {
	t.Helper()
	const password = "e2e-mailbox-password"
	issuedKeys[password] = true
	box, err := mailserver.Start(t.TempDir(), password)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { box.Close() })
	t.Setenv("LICENSE_OPERATOR_SMTP", box.URL)
	t.Setenv("SSL_CERT_FILE", box.Certificate)
	return box
}

// ids are the Message-IDs of what came, in that order.
func ids(box *mailserver.Server) (ids []string) {
	for _, m := range box.Mails() {
		ids = append(ids, m.Header.Get("Message-ID"))
	}
	return ids
}

// notify puts a mail on record, and returns what is nil once it is sent.
func (s *shop) notify(name string) (sent func() error) {
	s.t.Helper()
	n := &v1alpha1.Notification{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.customer, Name: name},
		Spec: v1alpha1.NotificationSpec{
			Notice: "PurchaseTakenOver", To: "ada@contoso.example", Product: "A service", Text: "Made up for a test.", At: metav1.Now(),
			Regarding: v1alpha1.NotificationSubject{Kind: "SelfServicePurchase", Reference: v1alpha1.Reference{Name: "bi"}},
		},
	}
	s.create(n)
	return func() error {
		if err := live.Get(s.t.Context(), client.ObjectKeyFromObject(n), n); err != nil {
			return err
		}
		if !meta.IsStatusConditionTrue(n.Status.Conditions, v1alpha1.ConditionReady) || n.Status.SentAt == nil {
			return fmt.Errorf("it is not sent: %+v", n.Status)
		}
		return nil
	}
}

// hourPasses has the latest attempt to send a mail begun an hour earlier, so that
// the next one is due.
func (s *shop) hourPasses(name string) {
	s.t.Helper()
	n := &v1alpha1.Notification{}
	if err := live.Get(s.t.Context(), client.ObjectKey{Namespace: s.customer, Name: name}, n); err != nil {
		s.t.Fatal(err)
	}
	if n.Status.SentAt != nil {
		s.t.Errorf("%s is on record as sent before that was written", name)
	}
	if n.Status.LastAttemptAt == nil {
		return
	}
	before := n.DeepCopy()
	n.Status.LastAttemptAt = ptr.To(metav1.NewTime(n.Status.LastAttemptAt.Add(-time.Hour)))
	if err := live.Status().Patch(s.t.Context(), n, client.MergeFrom(before)); err != nil {
		s.t.Fatal(err)
	}
}

// A mail goes out once, whenever the operator is killed. Only if that is after
// the server has taken it and before it is on record, it goes out again with the
// same Message-ID, by which it is recognised.
func TestMailOverRestarts(t *testing.T) {
	s := newShop(t, 0)
	box := newMailbox(t)
	var taken atomic.Pointer[func()]
	box.Taken = func(mailserver.Mail) {
		if f := taken.Load(); f != nil {
			(*f)()
		}
	}
	proxy, through := startProxy(t)
	start := func() *operator {
		return startOperator(t, through, "--serve=controllers", "--mail-from=licences@contoso.example")
	}
	// The first write counts an attempt, the second says that it was sent.
	at := func(p point) func(*operator, func()) {
		return func(o *operator, act func()) {
			p.kill(t, proxy, func(w apiproxy.Write) bool { return w.Resource == "notifications" }, o, act)
		}
	}
	var all []string
	for _, tc := range []struct {
		name  string
		kill  func(*operator, func())
		sent  bool // and on record
		times int
	}{
		{"before-it-is-counted", at(point{1, false}), false, 1},
		{"before-it-goes-out", at(point{1, true}), false, 1},
		{"before-the-server-says-so", func(o *operator, act func()) {
			killed := make(chan struct{})
			taken.Store(ptr.To(sync.OnceFunc(func() { o.kill(); close(killed) })))
			act()
			select {
			case <-killed:
			case <-t.Context().Done():
				t.Fatal("no mail came")
			}
			taken.Store(nil)
		}, false, 2},
		{"before-it-is-on-record", at(point{2, false}), false, 2},
		{"when-it-is-on-record", at(point{2, true}), true, 1},
		{"not-at-all", func(_ *operator, act func()) { act() }, true, 1},
	} {
		o := start()
		var sent func() error
		tc.kill(o, func() { sent = s.notify(tc.name) })
		if !tc.sent {
			s.hourPasses(tc.name)
		}
		if tc.name != "not-at-all" {
			o = start()
		}
		eventually(t, "killed "+tc.name+": waiting until it is sent", sent)
		now := ids(box)
		fresh := now[len(all):]
		if len(fresh) != tc.times || strings.Count(strings.Join(fresh, "\n")+"\n", fresh[0]+"\n") != tc.times || slices.Contains(all, fresh[0]) {
			t.Errorf("killed %s: there were %q, and %q came, want one %d times", tc.name, all, fresh, tc.times)
		}
		all = now
		o.kill()
	}
}
