package controllers

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/mail"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/notify"
	"github.com/license-operator/license-operator/internal/terms"
)

// smtpPassword may occur nowhere.
const smtpPassword = "smtp-hunter2"

// mailServer takes mails and keeps them.
type mailServer struct {
	*smtp.Server
	url string

	mu     sync.Mutex
	conns  int
	ids    []string // of the mails that it took
	tos    []string
	answer error // to RCPT TO
}

func newMailServer(t *testing.T) *mailServer {
	t.Helper()
	s := &mailServer{}
	s.Server = smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.conns++
		return &mailSession{mailServer: s}, nil
	}))
	s.ErrorLog = log.New(io.Discard, "", 0)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.url = "smtp://" + l.Addr().String()
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { s.Close() })
	return s
}

// refuse sets what the server says to each recipient; 0: it takes the mail.
func (s *mailServer) refuse(code int, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = nil
	if code != 0 {
		s.answer = &smtp.SMTPError{Code: code, EnhancedCode: smtp.NoEnhancedCode, Message: text}
	}
}

func (s *mailServer) taken() (ids, tos []string, conns int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.ids), slices.Clone(s.tos), s.conns
}

type mailSession struct {
	*mailServer
	to string
}

func (s *mailSession) Mail(string, *smtp.MailOptions) error { return nil }
func (s *mailSession) Reset()                               {}
func (s *mailSession) Logout() error                        { return nil }

func (s *mailSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.to = to
	return s.answer
}

func (s *mailSession) Data(r io.Reader) error {
	content, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	msg, err := mail.ReadMessage(bytes.NewReader(content))
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ids, s.tos = append(s.ids, strings.Trim(msg.Header.Get("Message-Id"), "<>")), append(s.tos, s.to)
	return nil
}

// mailroom is the reconciler of mails, with a mail server and a namespace.
type mailroom struct {
	t         *testing.T
	namespace string
	clock     *clocktesting.FakePassiveClock
	server    *mailServer
	*view
	hook *hookedStatus
	r    *NotificationReconciler
}

func newMailroom(t *testing.T) *mailroom {
	t.Helper()
	m := &mailroom{
		t: t, namespace: fmt.Sprintf("mail-%d", serial.Add(1)), server: newMailServer(t),
		clock: clocktesting.NewFakePassiveClock(time.Now().UTC().Truncate(time.Second).Add(time.Minute)),
	}
	if err := live.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: m.namespace}}); err != nil {
		t.Fatal(err)
	}
	m.restart(m.server.url)
	return m
}

// restart starts a process that remembers nothing. Without a URL it has no mail
// server.
func (m *mailroom) restart(url string) {
	m.t.Helper()
	m.view = &view{Client: live}
	m.hook = &hookedStatus{Client: m.view}
	m.r = &NotificationReconciler{Client: m.hook, Clock: m.clock}
	if url == "" {
		return
	}
	var err error
	if m.r.Mail, err = notify.Parse(url, "Licences <licences@example.com>"); err != nil {
		m.t.Fatal(err)
	}
}

// hookedStatus does something before or after each write of a status.
type hookedStatus struct {
	client.Client
	writes        int
	before, after func(n int) error
}

func (h *hookedStatus) Status() client.SubResourceWriter { return hookedWriter{h.Client.Status(), h} }

type hookedWriter struct {
	client.SubResourceWriter
	h *hookedStatus
}

func (w hookedWriter) Patch(ctx context.Context, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
	w.h.writes++
	if w.h.before != nil {
		if err := w.h.before(w.h.writes); err != nil {
			return err
		}
	}
	err := w.SubResourceWriter.Patch(ctx, o, p, opts...)
	if err == nil && w.h.after != nil {
		err = w.h.after(w.h.writes)
	}
	return err
}

// queue puts a mail on record, as a reconciler does that has something to tell.
func (m *mailroom) queue(name string, to v1alpha1.Email) *v1alpha1.Notification {
	m.t.Helper()
	l := letter{
		about: &v1alpha1.SelfServicePurchase{ObjectMeta: metav1.ObjectMeta{Namespace: m.namespace, Name: name, UID: types.UID(name)}},
		kind:  "SelfServicePurchase", to: to, product: "Power BI Pro",
		Announcement: terms.Announcement{Notice: terms.TrialEnding, At: time.Unix(1800000000, 0)}, text: "the trial ends soon",
	}
	if again := (Post{Client: live}).send(m.t.Context(), l, l.At); !again.IsZero() {
		m.t.Fatal("it is not on record")
	}
	return m.get(noticeName(l.about, l.Announcement))
}

func (m *mailroom) get(name string) *v1alpha1.Notification {
	m.t.Helper()
	return get(m.t, &v1alpha1.Notification{}, m.namespace, name)
}

func (m *mailroom) pass(name string) (*v1alpha1.Notification, ctrl.Result) {
	m.t.Helper()
	m.writes = nil
	res, err := reconcile.AsReconciler(m.r.Client, m.r).Reconcile(m.t.Context(), ctrl.Request{NamespacedName: client.ObjectKey{Namespace: m.namespace, Name: name}})
	if err != nil {
		m.t.Fatal(err)
	}
	var n v1alpha1.Notification
	if err := live.Get(m.t.Context(), client.ObjectKey{Namespace: m.namespace, Name: name}, &n); err != nil {
		if apierrors.IsNotFound(err) {
			return nil, res
		}
		m.t.Fatal(err)
	}
	return &n, res
}

func (m *mailroom) step(d time.Duration) { m.clock.SetTime(m.clock.Now().Add(d)) }

// sent checks which mails the server has taken so far.
func (m *mailroom) sent(want ...string) {
	m.t.Helper()
	if ids, _, _ := m.server.taken(); !slices.Equal(ids, want) {
		m.t.Errorf("the server has taken %v, want %v", ids, want)
	}
}

const (
	mailSent   = "Ready=True(Sent)"
	mailWaits  = "Ready=False(Retrying) Reconciling=True(Retrying)"
	mailGone   = "Ready=False(Undeliverable) Stalled=True(Undeliverable)"
	writesMail = "patch status of v1alpha1.Notification"
)

// settled checks conditions, verdict and a part of the message.
func (m *mailroom) told(n *v1alpha1.Notification, want, verdict, message string) {
	m.t.Helper()
	if got := conditions(n); got != want || string(kstatus(m.t, n)) != verdict {
		m.t.Errorf("%s, %s; want %s, %s", got, kstatus(m.t, n), want, verdict)
	}
	for _, c := range n.Status.Conditions {
		if !strings.Contains(c.Message, message) {
			m.t.Errorf("%s says %q, want %q", c.Type, c.Message, message)
		}
	}
}

func TestMailIsSent(t *testing.T) {
	m := newMailroom(t)
	n, res := m.pass(m.queue("power-bi", "ada@contoso.example").Name)
	m.told(n, mailSent, "Current", "the mail server took it")
	if n.Status.Attempts != 1 || n.Status.SentAt == nil || n.Status.MessageID == "" || res.RequeueAfter != longestSleep {
		t.Errorf("%+v, %v", n.Status, res)
	}
	if !slices.Equal(m.writes, []string{writesMail, writesMail}) {
		t.Error(m.writes)
	}
	m.sent(n.Status.MessageID)
	if _, tos, _ := m.server.taken(); !slices.Equal(tos, []string{"ada@contoso.example"}) {
		t.Error(tos)
	}
	// Nothing more is done, now or by others, nor if it is queued again.
	for range 3 {
		m.restart(m.server.url)
		m.queue("power-bi", "ada@contoso.example")
		m.step(time.Hour)
		if m.pass(n.Name); len(m.writes) > 0 {
			t.Error(m.writes)
		}
	}
	m.sent(n.Status.MessageID)
}

func TestMailIsTriedAgain(t *testing.T) {
	m := newMailroom(t)
	m.server.refuse(451, "4.7.1 greylisted, come back later")
	name := m.queue("power-bi", "ada@contoso.example").Name
	for i, pause := range []time.Duration{time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 16 * time.Minute, 32 * time.Minute, time.Hour, time.Hour} {
		n, res := m.pass(name)
		m.told(n, mailWaits, "InProgress", "451 4.7.1 greylisted, come back later; "+plural(i+1, "attempt")+" so far, the next at "+stamp(m.clock.Now().Add(pause)))
		if n.Status.Attempts != int64(i+1) || res.RequeueAfter != pause {
			t.Errorf("%d attempts, looks again in %s, want %s", n.Status.Attempts, res.RequeueAfter, pause)
		}
		m.step(pause - time.Second)
		m.restart(m.server.url) // what counts is on record
		if _, res := m.pass(name); res.RequeueAfter != time.Second || len(m.writes) > 0 {
			t.Errorf("a second early: %v, %v", res, m.writes)
		}
		m.step(time.Second)
	}
	m.sent()
	m.server.refuse(0, "")
	n, _ := m.pass(name)
	m.told(n, mailSent, "Current", "took it")
	m.sent(n.Status.MessageID)
}

func TestMailIsGivenUp(t *testing.T) {
	m := newMailroom(t)
	m.server.Close() // nobody listens any more
	queued := m.queue("power-bi", "ada@contoso.example")
	n, _ := m.pass(queued.Name)
	m.told(n, mailWaits, "InProgress", "the mail server cannot be reached; 1 attempt so far")
	end := queued.CreationTimestamp.Add(terms.MailTime)
	m.clock.SetTime(end.Add(-time.Second))
	n, _ = m.pass(queued.Name)
	m.told(n, mailWaits, "InProgress", "2 attempts so far")
	m.clock.SetTime(end.Add(time.Hour))
	n, _ = m.pass(queued.Name)
	m.told(n, mailGone, "Failed", "given up after 5 days and 3 attempts: the mail server cannot be reached")
	m.step(time.Hour)
	if m.pass(queued.Name); len(m.writes) > 0 {
		t.Error(m.writes)
	}
	m.restart(newMailServer(t).url)
	if m.pass(queued.Name); len(m.writes) > 0 {
		t.Error(m.writes)
	}
}

// That there is no mail server is told no longer once there is one again, also
// before the next attempt.
func TestMailHasAServerAgain(t *testing.T) {
	m := newMailroom(t)
	m.server.refuse(451, "4.7.1 greylisted, come back later")
	name := m.queue("power-bi", "ada@contoso.example").Name
	m.pass(name)
	next := m.clock.Now().Add(time.Minute)
	m.restart("")
	n, _ := m.pass(name)
	m.told(n, mailWaits, "InProgress", "--smtp")
	m.step(time.Second)
	m.restart(m.server.url)
	n, res := m.pass(name)
	m.told(n, mailWaits, "InProgress", "1 attempt so far, the next at "+stamp(next))
	if strings.Contains(reasonMessage(n, v1alpha1.ConditionReady), "--smtp") || n.Status.Attempts != 1 || res.RequeueAfter != 59*time.Second {
		t.Errorf("%+v, %v", n.Status, res)
	}
	if m.pass(name); len(m.writes) > 0 {
		t.Error(m.writes)
	}
	m.step(59 * time.Second)
	n, _ = m.pass(name)
	m.told(n, mailWaits, "InProgress", "greylisted, come back later; 2 attempts so far")
}

// An operator that was away for long still makes one attempt.
func TestMailIsTriedOnceHoweverLate(t *testing.T) {
	m := newMailroom(t)
	name := m.queue("power-bi", "ada@contoso.example").Name
	m.step(100 * 24 * time.Hour)
	n, _ := m.pass(name)
	m.told(n, mailSent, "Current", "took it")
	m.sent(n.Status.MessageID)
}

func TestMailIsRefused(t *testing.T) {
	m := newMailroom(t)
	m.server.refuse(550, "5.1.1 no such user")
	n, _ := m.pass(m.queue("power-bi", "nobody@contoso.example").Name)
	m.told(n, mailGone, "Failed", "the mail server refused it: 550 5.1.1 no such user; it is not tried again: correct the address in SelfServicePurchase power-bi")
	m.server.refuse(0, "")
	m.step(24 * time.Hour)
	if m.pass(n.Name); len(m.writes) > 0 {
		t.Error(m.writes)
	}
	_, _, before := m.server.taken()
	n, _ = m.pass(m.queue("dots", "a..b@contoso.example").Name)
	m.told(n, mailGone, "Failed", "the address is not one that mail can be sent to")
	if _, _, after := m.server.taken(); after != before {
		t.Error("the server was asked")
	}
	m.sent()
}

func TestMailIsDeleted(t *testing.T) {
	m := newMailroom(t)
	m.server.refuse(550, "no")
	refused, _ := m.pass(m.queue("refused", "nobody@contoso.example").Name)
	m.server.refuse(0, "")
	sent, _ := m.pass(m.queue("sent", "ada@contoso.example").Name)
	m.restart("") // settled is settled, also without a mail server
	m.step(terms.MailKeptTime - time.Second)
	for _, n := range []*v1alpha1.Notification{refused, sent} {
		if still, res := m.pass(n.Name); still == nil || res.RequeueAfter != time.Second || len(m.writes) > 0 {
			t.Errorf("%s a second early: %v, %v", n.Spec.Regarding.Name, res, m.writes)
		}
	}
	m.step(time.Second)
	for _, n := range []*v1alpha1.Notification{refused, sent} {
		if still, _ := m.pass(n.Name); still != nil {
			t.Errorf("%s is still there", n.Spec.Regarding.Name)
		}
	}
}

func TestMailWaitsForAServer(t *testing.T) {
	m := newMailroom(t)
	m.restart("")
	if again := (Post{}).send(t.Context(), letter{to: "ada@contoso.example"}, m.clock.Now()); !again.IsZero() { // none is put on record
		t.Error(again)
	}
	queued := m.queue("power-bi", "ada@contoso.example")
	old := m.queue("old", "ada@contoso.example")
	n, res := m.pass(queued.Name)
	m.told(n, mailWaits, "InProgress", "whoever runs it sets --smtp and --mail-from")
	if res.RequeueAfter != longestSleep || n.Status.Attempts != 0 {
		t.Errorf("%v, %+v", res, n.Status)
	}
	m.step(time.Minute)
	if m.pass(queued.Name); len(m.writes) > 0 {
		t.Error(m.writes)
	}
	m.restart(m.server.url)
	n, _ = m.pass(queued.Name)
	m.told(n, mailSent, "Current", "took it")
	// For how long it waits is bounded too.
	m.restart("")
	end := old.CreationTimestamp.Add(terms.MailTime)
	m.clock.SetTime(end.Add(-time.Second))
	n, res = m.pass(old.Name)
	m.told(n, mailWaits, "InProgress", "--smtp")
	if res.RequeueAfter != time.Second {
		t.Error(res)
	}
	m.clock.SetTime(end)
	n, res = m.pass(old.Name)
	m.told(n, mailGone, "Failed", "had no mail server for 5 days")
	if res.RequeueAfter != longestSleep {
		t.Error(res)
	}
	m.clock.SetTime(end.Add(terms.MailKeptTime))
	if n, _ = m.pass(old.Name); n != nil {
		t.Error("it is still there")
	}
}

type died struct{}

// crash runs a pass in which the process dies.
func (m *mailroom) crash(name string) {
	m.t.Helper()
	defer func() {
		if _, ok := recover().(died); !ok {
			m.t.Error("the process did not die")
		}
	}()
	m.pass(name)
}

func TestMailSurvivesACrash(t *testing.T) {
	for name, tc := range map[string]struct {
		before, after int // which write of status it dies at
		mails         int
	}{
		"before the attempt is counted":      {before: 1, mails: 1},
		"before the mail is sent":            {after: 1, mails: 1},
		"after the mail is sent":             {before: 2, mails: 2}, // with one Message-ID
		"after it was written that it is so": {after: 2, mails: 1},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMailroom(t)
			queued := m.queue("power-bi", "ada@contoso.example").Name
			at := func(write int) func(int) error {
				return func(n int) error {
					if n == write {
						panic(died{})
					}
					return nil
				}
			}
			m.hook.before, m.hook.after = at(tc.before), at(tc.after)
			m.crash(queued)
			// Whoever comes after does not try in a circle.
			counted := m.get(queued).Status.Attempts == 1
			for range 3 {
				if !counted {
					break
				}
				m.restart(m.server.url)
				m.step(time.Second)
				if m.pass(queued); len(m.writes) > 0 {
					t.Errorf("wrote %v", m.writes)
				}
			}
			m.restart(m.server.url)
			m.step(time.Minute)
			n, _ := m.pass(queued)
			m.told(n, mailSent, "Current", "took it")
			m.sent(slices.Repeat([]string{n.Status.MessageID}, tc.mails)...)
		})
	}
}

// Whoever reads what is out of date, or is not the only one, sends nothing.
func TestMailOfTwoLeaders(t *testing.T) {
	m := newMailroom(t)
	stale := m.queue("power-bi", "ada@contoso.example")
	var wg sync.WaitGroup
	for range 16 {
		mailer, err := notify.Parse(m.server.url, "licences@example.com")
		if err != nil {
			t.Fatal(err)
		}
		leader := &NotificationReconciler{Client: live, Clock: m.clock, Mail: mailer}
		wg.Go(func() {
			if _, err := leader.Reconcile(t.Context(), stale.DeepCopy()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	m.step(time.Hour)
	if res, err := m.r.Reconcile(t.Context(), stale.DeepCopy()); err != nil || res.RequeueAfter != moment {
		t.Error(res, err)
	}
	m.sent(m.get(stale.Name).Status.MessageID)

	// One that was suspended after it had counted its attempt leaves it be.
	queued := m.queue("second", "ada@contoso.example").Name
	m.hook.after = func(int) error { m.step(time.Minute); return nil }
	if n, _ := m.pass(queued); n.Status.Attempts != 1 || n.Status.SentAt != nil {
		t.Errorf("%+v", n.Status)
	}
	if ids, _, _ := m.server.taken(); len(ids) != 1 {
		t.Error(ids)
	}
	// One that is deleted meanwhile is not sent.
	gone := m.queue("gone", "ada@contoso.example")
	if err := live.Delete(t.Context(), gone.DeepCopy()); err != nil {
		t.Fatal(err)
	}
	m.hook.after = nil
	if _, err := m.r.Reconcile(t.Context(), gone); err != nil {
		t.Error(err)
	}
	if ids, _, _ := m.server.taken(); len(ids) != 1 {
		t.Error(ids)
	}
}

// That a mail was sent is written down even if that takes more than one try,
// somebody else writes the object, or the operator is stopping.
func TestMailIsRecorded(t *testing.T) {
	m := newMailroom(t)
	queued := m.queue("power-bi", "ada@contoso.example").Name
	ctx, stop := context.WithCancel(t.Context())
	m.hook.before = func(n int) error {
		switch n {
		case 2:
			stop()
			other := m.get(queued)
			other.Labels = map[string]string{"a": "b"}
			if err := live.Update(t.Context(), other); err != nil {
				t.Error(err)
			}
			return apierrors.NewTooManyRequestsError("busy")
		case 3:
			return io.ErrUnexpectedEOF
		}
		return nil
	}
	if _, err := m.r.Reconcile(ctx, m.get(queued)); err != nil {
		t.Fatal(err)
	}
	m.told(m.get(queued), mailSent, "Current", "took it")
}

// An attempt is over before the next one may begin.
func TestMailAttemptsDoNotOverlap(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	next := terms.Mail{Attempts: 1, Last: now}.Next(now).Sub(now)
	if all := countTime + notify.AttemptTime; all >= next {
		t.Errorf("an attempt takes up to %s, and the next begins after %s", all, next)
	}
}

// Whoever may see a Notification or a log learns nothing of the login.
func TestMailKeepsTheLoginToItself(t *testing.T) {
	m := newMailroom(t)
	queued := m.queue("power-bi", "ada@contoso.example").Name
	m.restart(strings.Replace(m.server.url, "://", "://operator-login:"+smtpPassword+"@", 1))
	n, _ := m.pass(queued)
	m.told(n, mailWaits, "InProgress", "no secure connection to the mail server was possible: whoever runs the operator sees more in its log")
	logs := logged.String()
	if !strings.Contains(logs, "without it no mail and no password is sent") || strings.Contains(logs, smtpPassword) || strings.Contains(logs, "operator-login") || strings.Contains(logs, "ada@contoso.example") {
		t.Error("the log has too much in it, or too little")
	}
	if text := fmt.Sprint(n); strings.Contains(text, smtpPassword) || strings.Contains(text, "operator-login") || strings.Contains(text, "127.0.0.1") {
		t.Error(text)
	}
	m.sent()
}

// An address that cannot be put on record does not stop whoever has to tell it.
func TestMailToNobody(t *testing.T) {
	m := newMailroom(t)
	for _, to := range []v1alpha1.Email{"", "ada", "Ada <ada@contoso.example>", "ada@contoso.example\r\nBcc: eve@example.com"} {
		l := letter{
			about: &v1alpha1.SelfServicePurchase{ObjectMeta: metav1.ObjectMeta{Namespace: m.namespace, Name: "power-bi", UID: "1"}},
			kind:  "SelfServicePurchase", to: to, Announcement: terms.Announcement{Notice: terms.TrialEnding, At: time.Unix(1800000000, 0)},
		}
		if again := (Post{Client: live}).send(t.Context(), l, l.At); !again.IsZero() {
			t.Errorf("%q is tried again at %v", to, again)
		}
	}
	var all v1alpha1.NotificationList
	if err := live.List(t.Context(), &all, client.InNamespace(m.namespace)); err != nil || len(all.Items) > 0 {
		t.Errorf("%d on record, %v", len(all.Items), err)
	}
}

// Those who have something to tell put it on record, and wait for no mail server.
func TestMailOfServices(t *testing.T) {
	rows := map[string]struct {
		purchaser, beneficiary string
		to                     []string
	}{
		"the purchaser":      {"orders@relecloud.example", "ada@contoso.example", []string{"orders@relecloud.example"}},
		"or the beneficiary": {"", "ada@contoso.example", []string{"ada@contoso.example"}},
		"or nobody":          {"", "", nil},
	}
	for name, tc := range rows {
		t.Run(name, func(t *testing.T) {
			box := newMailroom(t)
			m := newMarket(t)
			m.services.Mail = Post{Client: m.view}
			person := func(email string) *v1alpha1.Person {
				if email == "" {
					return nil
				}
				return &v1alpha1.Person{Email: v1alpha1.Email(email)}
			}
			m.order("sub", func(s *v1alpha1.MarketplaceSubscriptionSpec) {
				s.Purchaser, s.Beneficiary = person(tc.purchaser), person(tc.beneficiary)
			})
			list := func() []v1alpha1.Notification {
				var all v1alpha1.NotificationList
				if err := live.List(t.Context(), &all, client.InNamespace(m.customer)); err != nil {
					t.Fatal(err)
				}
				return all.Items
			}
			for range 3 { // whoever passes
				m.restart()
				m.services.Mail = Post{Client: m.view}
				if _, err := m.services.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKey{Namespace: m.customer, Name: "sub"}}); err != nil {
					t.Fatal(err)
				}
			}
			if _, _, conns := box.server.taken(); conns != 0 {
				t.Error("the mail server was called")
			}
			all := list()
			if len(all) != len(tc.to) {
				t.Fatalf("%d mails", len(all))
			}
			for i, n := range all {
				if string(n.Spec.To) != tc.to[i] || n.Spec.Notice != "Purchased" || n.Spec.Product != "A service" || n.Spec.Regarding.Name != "sub" ||
					n.Spec.Regarding.Kind != "MarketplaceSubscription" || strings.Contains(n.Spec.Text, tokenMark) || n.Spec.Text == "" {
					t.Errorf("%+v", n.Spec)
				}
			}
			box.namespace = m.customer
			for _, n := range all {
				sent, _ := box.pass(n.Name)
				box.told(sent, mailSent, "Current", "took it")
				box.sent(sent.Status.MessageID)
			}
		})
	}
}
