package webhooks

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http/httptrace"
	"os"
	"sync/atomic"
	"syscall"
)

// progress is how far a call came. Errors do not tell that apart.
type progress struct{ phase atomic.Int32 }

// What progress can be at.
const (
	dialling int32 = iota
	securing       // the connection stands, TLS is being agreed on
	sending
	answering // the first byte of the answer was there
)

// trace follows a call. Several connections may be tried at once, so the phase
// only goes up.
func (p *progress) trace(ctx context.Context) context.Context {
	reach := func(phase int32) {
		for {
			if now := p.phase.Load(); now >= phase || p.phase.CompareAndSwap(now, phase) {
				return
			}
		}
	}
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		TLSHandshakeStart:    func() { reach(securing) },
		GotConn:              func(httptrace.GotConnInfo) { reach(sending) },
		GotFirstResponseByte: func() { reach(answering) },
	})
}

// describe says in a few words why there is no answer. It quotes nothing: in an
// error may be a URL, an address or a part of an answer.
func (p *progress) describe(err error) string {
	var certificate *tls.CertificateVerificationError
	var address *addressError
	var lookup *net.DNSError
	phase := p.phase.Load()
	switch {
	case errors.As(err, &address):
		return "the webhook is at a private address: " + address.kind + "; allowPrivateAddresses of the Publisher permits that"
	case errors.As(err, &certificate):
		return "the webhook's certificate is not valid" + why(certificate.Err)
	case errors.As(err, &lookup) && lookup.IsNotFound:
		return "the webhook's name does not resolve"
	case errors.As(err, &lookup):
		return "the webhook's name cannot be looked up"
	case errors.Is(err, context.DeadlineExceeded), os.IsTimeout(err):
		return "the webhook did not answer in time"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "the webhook refused the connection"
	case phase == dialling:
		return "the webhook cannot be reached"
	case phase == securing:
		return "TLS with the webhook failed"
	case phase == sending:
		return "the webhook closed the connection without an answer"
	}
	return "the webhook's answer cannot be read"
}

// why says what is wrong with a certificate.
func why(err error) string {
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return ": it has expired, or is not valid yet"
	case errors.As(err, new(x509.HostnameError)):
		return ": it is for another name"
	case errors.As(err, new(x509.UnknownAuthorityError)):
		return ": its issuer is not known here"
	}
	return ""
}
