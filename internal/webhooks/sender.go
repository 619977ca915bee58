package webhooks

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"
)

// Bounds of a call.
const (
	DefaultTimeout = 10 * time.Second // of the whole call
	connectTime    = 5 * time.Second  // of one connection, of its TLS
	drainTime      = time.Second      // for the body, when the outcome is known
	mostHeaders    = 16 << 10         // bytes
	mostBody       = 4 << 10          // bytes that are taken off the line, and thrown away
)

// Sender calls webhooks. Its methods may be called at the same time.
type Sender struct {
	// Roots are the certificate authorities that are believed. Nil: the
	// system's.
	Roots *x509.CertPool
	// Resolver finds addresses. Nil: the system's.
	Resolver *net.Resolver
	// Timeout of a whole call. 0: DefaultTimeout.
	Timeout time.Duration

	once            sync.Once
	public, private *http.Client
}

// Send calls a webhook once. now is what dates in the answer are compared with.
// An error means that the call was cut off from this side, or cannot be made at
// all, and says nothing of the webhook.
func (s *Sender) Send(ctx context.Context, call Call, now time.Time) (Outcome, error) {
	s.once.Do(func() { s.public, s.private = s.client(guard), s.client(nil) })
	client := s.public
	if call.Private {
		client = s.private
	}
	timeout := s.Timeout
	if timeout == 0 {
		timeout = DefaultTimeout
	}
	p := &progress{}
	within, cancel := context.WithTimeout(p.trace(ctx), timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(within, http.MethodPost, call.URL, bytes.NewReader(call.Body))
	if err != nil {
		return Outcome{}, errors.New("webhookURL is no URL") // err quotes it
	}
	if req.URL.Scheme != "https" && !call.Private { // the token would be readable on the way
		return Outcome{Result: Failed, Text: "the webhook is not called without TLS: use https"}, nil
	}
	req.Header.Set("Authorization", "Bearer "+call.Token)
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	req.Header.Set("User-Agent", "license-operator")
	req.Header.Set("x-ms-requestid", call.RequestID)
	req.Header.Set("x-ms-correlationid", call.CorrelationID)
	resp, err := client.Do(req)
	if ctx.Err() != nil {
		return Outcome{}, fmt.Errorf("calling a webhook: %w", ctx.Err())
	}
	if err != nil {
		return Outcome{Result: Failed, Text: p.describe(err)}, nil
	}
	defer resp.Body.Close()
	// Reading lets the server finish its answer in peace. What counts is known.
	defer time.AfterFunc(drainTime, cancel).Stop()
	_, _ = io.CopyN(io.Discard, resp.Body, mostBody)
	return judge(resp, call.Refusable, now), nil
}

// client makes a client that asks the guard before each connection. Each has
// connections of its own, and none is used twice, so that no call goes to an
// address that was not checked for it.
func (s *Sender) client(guard func(network, address string, conn syscall.RawConn) error) *http.Client {
	dialer := &net.Dialer{Timeout: connectTime, Resolver: s.Resolver}
	if guard != nil {
		dialer.ControlContext = func(_ context.Context, network, address string, conn syscall.RawConn) error {
			return guard(network, address, conn)
		}
	}
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{ // with no Proxy: not that of the environment either
			DialContext:            dialer.DialContext,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: s.Roots},
			TLSHandshakeTimeout:    connectTime,
			MaxResponseHeaderBytes: mostHeaders,
			DisableKeepAlives:      true,
			DisableCompression:     true,
		},
	}
}
