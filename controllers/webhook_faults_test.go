package controllers

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/terms"
)

// fault is something that goes wrong with the first call.
type fault struct {
	answer  http.HandlerFunc
	at      string // another address; empty: the webhook's own
	hangs   bool   // there is no answer to wait for
	deaf    bool   // the publisher takes no note of the call
	text    string // what is said of it; empty: nothing is wrong
	refusal bool   // the publisher may refuse with it
	wait    time.Duration
}

// hang never answers. It does not return either: the client may still read what
// a server answers while it closes the connection.
func hang(_ http.ResponseWriter, r *http.Request) {
	<-r.Context().Done()
	panic(http.ErrAbortHandler)
}

func hijack(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			_, _ = io.WriteString(conn, text)
			_ = conn.Close()
		}
	}
}

// nobody returns the address of a port where nobody listens.
func nobody(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return "https://" + l.Addr().String()
}

func faults(t *testing.T) map[string]fault {
	var elsewhere atomic.Int32
	target := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	stranger := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	stranger.TLS.Certificates[0] = otherCertificate(t)
	stranger.Config.ErrorLog = quietLog
	t.Cleanup(func() {
		target.Close()
		stranger.Close()
		if n := elsewhere.Load(); n > 0 {
			t.Errorf("%d calls arrived where they must not", n)
		}
	})
	return map[string]fault{
		"timeout before commit": {answer: hang, hangs: true, deaf: true, text: "the webhook did not answer in time"},
		"timeout after commit":  {answer: hang, hangs: true, text: "the webhook did not answer in time"},
		"400":                   {answer: answer(400), text: "the webhook answered 400", refusal: true},
		"404":                   {answer: answer(404), text: "the webhook answered 404", refusal: true},
		"408":                   {answer: answer(408), text: "the webhook answered 408"},
		"409":                   {answer: answer(409), text: "the webhook answered 409", refusal: true},
		"429 with Retry-After":  {answer: answer(429, "Retry-After", "120"), text: "the webhook answered 429", wait: 2 * time.Minute},
		"500":                   {answer: answer(500), text: "the webhook answered 500"},
		"503":                   {answer: answer(503), text: "the webhook answered 503"},
		"503 with Retry-After":  {answer: answer(503, "Retry-After", "1"), text: "the webhook answered 503", wait: time.Second},
		"malformed answer":      {answer: hijack("hunter2\r\n\r\n"), text: "the webhook's answer cannot be read"},
		"no answer":             {answer: hijack(""), text: "the webhook closed the connection without an answer"},
		"slow body": {answer: func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusOK)
			_ = http.NewResponseController(w).Flush()
			hang(w, r)
		}},
		"204":                {answer: answer(204)},
		"redirect":           {answer: answer(307, "Location", target.URL), text: "the webhook answered 307, and redirects are not followed"},
		"TLS error":          {at: stranger.URL, text: "the webhook's certificate is not valid"},
		"connection refused": {at: nobody(t), text: "the webhook refused the connection"},
		"DNS failure":        {at: "https://webhook.invalid", text: "the webhook's name"},
	}
}

// TestWebhookFaults has the first call of each operation fail in each way. Afterwards
// the publisher has been told of that operation, and it came into force once, or
// was refused.
func TestWebhookFaults(t *testing.T) {
	all := faults(t)
	for action, happen := range actions {
		for name, f := range all {
			t.Run(string(action)+"/"+name, func(t *testing.T) {
				s := newSaaS(t)
				e := s.sell()
				happen(s, e)
				before := s.facts(e)
				s.answers(f.answer)
				s.deaf = f.deaf
				if f.at != "" {
					s.webhookAt(f.at + "/webhook")
				}
				if f.hangs {
					s.r.Sender.Timeout = 300 * time.Millisecond
				}
				res := s.pass(e)
				s.r.Sender.Timeout = 0
				switch op := s.last(e); {
				case f.text == "":
					s.told1(action, 1)
				case f.refusal && action.Refusable():
					if op.Progress != terms.Failed || op.Why != f.text || op.Failing != "" || s.r.waiting(e) {
						t.Errorf("refused: %+v", op)
					}
				default:
					wait := max(f.wait, time.Second)
					if !op.Undelivered() || !strings.HasPrefix(op.Failing, f.text) || res.RequeueAfter != wait {
						t.Errorf("after the fault: %+v, again after %s, want %q and %s", op, res.RequeueAfter, f.text, wait)
					}
					calls := len(s.calls())
					s.step(wait - time.Second) // all but the last second of it
					if s.pass(e); wait > time.Second && len(s.calls()) != calls {
						t.Error("called before it was time")
					}
				}
				s.noSecrets(e)

				s.answers(nil)
				s.deaf = false
				if f.at != "" {
					s.webhookAt(s.server.URL + "/webhook") // and it is called at once
				} else {
					s.step(time.Second)
				}
				for range 3 { // the second and third find nothing to do
					s.pass(e)
				}
				s.step(terms.AnswerTime + time.Second)
				s.over(e, action, before, f.refusal && action.Refusable())
				if n := len(s.calls()); n == 0 || n > 2 || !s.oneID() {
					t.Errorf("calls: %q, all for one: %t", s.calls(), s.oneID())
				}
			})
		}
	}
}

// told1 checks how often the publisher was told, and of what.
func (s *saas) told1(action terms.Action, n int) {
	s.Helper()
	want := string(action) + " Succeeded"
	if action.Refusable() {
		want = string(action) + " InProgress"
	}
	calls := s.calls()
	if len(calls) != n {
		s.Errorf("%d calls, want %d", len(calls), n)
	}
	for _, c := range calls {
		if c != want {
			s.Errorf("the call was %q, want %q", c, want)
		}
	}
}

// over checks what holds when an operation is over.
func (s *saas) over(name string, action terms.Action, before *terms.Entitlement, refused bool) {
	s.Helper()
	after, op := s.facts(name), s.last(name)
	state, changes, progress := before.State(), len(before.Changes), terms.Succeeded
	level := before.Level()
	switch {
	case refused:
		progress = terms.Failed
	case action == terms.Reinstate:
		state = terms.Subscribed
	case action == terms.ChangePlan:
		level.Plan, changes = "gold", changes+1
	case action == terms.ChangeQuantity:
		level.Quantity, changes = 7, changes+1
	}
	got, want := fmt.Sprintf("%+v", after.Level()), fmt.Sprintf("%+v", level)
	if after.State() != state || got != want || len(after.Changes) != changes || len(after.Operations) != len(before.Operations) {
		s.Errorf("afterwards %s, %s, %d changes; want %s, %s, %d", after.State(), got, len(after.Changes), state, want, changes)
	}
	if op.Progress != progress || op.Delivered.IsZero() || op.GivenUp || op.Failing != "" || op.Undelivered() {
		s.Errorf("the operation is %+v, want it %s and delivered", op, progress)
	}
}

// waiting reports whether a pause is remembered.
func (r *WebhookReconciler) waiting(entitlement string) bool {
	_, ok := r.pauses[entitlement]
	return ok
}

// noSecrets looks for tokens and answers where people read.
func (s *saas) noSecrets(name string) {
	s.Helper()
	text, err := json.Marshal(get(s.T, &v1alpha1.Entitlement{}, "", name))
	if err != nil {
		s.Fatal(err)
	}
	all := string(text) + logged.String()
	for _, secret := range append([]string{"hunter2"}, s.tokens...) {
		if strings.Contains(all, strings.TrimPrefix(secret, "Bearer ")) {
			s.Error("a token or an answer is on record or in the log")
		}
	}
}
