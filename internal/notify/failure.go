package notify

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"os"
	"strings"
	"unicode"
)

// Error is why a mail was not sent.
type Error struct {
	// Permanent: it never will be, as the mail server has refused it, or could
	// not send it to such an address.
	Permanent bool
	// text is for those who may see the Notification. It names neither the
	// server nor who logs in there.
	text string
	// cause is for the log. It has nothing in it that the server said, which may
	// name a person. It is nil if there is nothing more to tell.
	cause error
}

// Error says it to those who may see the Notification.
func (e *Error) Error() string { return e.text }

// Unwrap returns what to log besides; nil: nothing.
func (e *Error) Unwrap() error { return e.cause }

// errCut says that an attempt was cut off from this side.
var errCut = errors.New("cut off, as the operator stops")

// mostWords of a mail server are passed on, in bytes.
const mostWords = 300

// failed tells what went wrong, at a command of SMTP or before the first.
func failed(ctx context.Context, command string, err error) *Error {
	answer := new(textproto.Error)
	timeout := net.Error(nil)
	switch {
	case errors.As(err, &answer):
		return refused(command, answer)
	case errors.Is(context.Cause(ctx), errCut):
		return &Error{text: "the operator was stopped while it was being sent", cause: errCut}
	case errors.As(err, new(*tls.CertificateVerificationError)):
		return &Error{text: "the mail server's certificate is not to be trusted: " + forAdmin, cause: err}
	case ctx.Err() != nil, errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return &Error{text: "the mail server did not answer in time", cause: fmt.Errorf("%s: no answer in time", command)}
	case errors.As(err, new(*net.DNSError)):
		return &Error{text: "the mail server's name has no address: " + forAdmin, cause: err}
	case command == atConnect:
		return &Error{text: "the mail server cannot be reached", cause: err}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.As(err, new(*net.OpError)):
		return &Error{text: "the mail server closed the connection before it had taken it", cause: fmt.Errorf("%s: the connection was closed", command)}
	case command == atTLS:
		return &Error{text: "no secure connection to the mail server was possible: " + forAdmin, cause: err}
	}
	return &Error{text: "the mail server answered with what is not SMTP", cause: fmt.Errorf("%s: an answer that is not SMTP", command)}
}

const forAdmin = "whoever runs the operator sees more in its log"

// What is done, for errors: commands of SMTP, and what comes before them.
const (
	atConnect = "connecting"
	atGreet   = "greeting"
	atTLS     = "STARTTLS"
	atLogin   = "AUTH"
	atSender  = "MAIL FROM"
	atTo      = "RCPT TO"
	atData    = "DATA"
	atContent = "the mail itself"
)

// aboutUs are refusals of the operator and not of a mail: with a login that is
// right, or at another time, it may be taken.
var aboutUs = map[int]bool{502: true, 503: true, 521: true, 530: true, 534: true, 535: true, 538: true}

// refused tells what a mail server has answered.
func refused(command string, a *textproto.Error) *Error {
	e := &Error{cause: fmt.Errorf("%s: answered with %d", command, a.Code)}
	switch {
	case command == atLogin: // without its words, which may repeat what we said
		e.text = fmt.Sprintf("the mail server refused the operator's login (%d): whoever runs the operator corrects user and password in --smtp", a.Code)
	case a.Code >= 500 && (command == atTo || command == atContent) && !aboutUs[a.Code]:
		e.Permanent = true
		e.text = fmt.Sprintf("the mail server refused it: %d %s", a.Code, words(a.Msg))
	default:
		e.text = fmt.Sprintf("the mail server did not take it now, at %s: %d %s", command, a.Code, words(a.Msg))
	}
	return e
}

// words of a mail server, on one line and not too many.
func words(s string) string {
	s = strings.Join(strings.FieldsFunc(strings.ToValidUTF8(s, "?"), func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }), " ")
	if len(s) > mostWords {
		s = strings.ToValidUTF8(s[:mostWords], "") + "..."
	}
	return s
}
