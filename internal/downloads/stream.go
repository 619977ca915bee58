package downloads

import (
	"io"
	"net/http"
	"sync"
	"time"
)

// chunk is what a client has to accept within StallTimeout.
const chunk = 64 << 10

var chunks = sync.Pool{New: func() any { return new([chunk]byte) }}

// stream is an answer. It gives the client time for each chunk anew, so that a
// download may take hours but not stand still.
type stream struct {
	http.ResponseWriter
	conn  *http.ResponseController
	stall time.Duration
	count func(bytes int) // if set, is told of each chunk sent
	code  int
	bytes int64 // of the body
}

// setHeaders sets what every answer has.
func setHeaders(h http.Header) {
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", contentSecurityPolicy)
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Robots-Tag", "noindex")
}

// extend is best effort: only tests have writers without deadlines.
func (s *stream) extend() { _ = s.conn.SetWriteDeadline(deadline(s.stall)) }

func deadline(d time.Duration) time.Time {
	return time.Now().Add(d) //nolint:forbidigo // the deadlines of a socket follow the machine's clock
}

func (s *stream) WriteHeader(code int) {
	if s.code != 0 {
		return
	}
	s.code = code
	setHeaders(s.Header()) // http.ServeContent removes some of them when it refuses a range
	s.ResponseWriter.WriteHeader(code)
}

func (s *stream) Write(p []byte) (int, error) {
	s.WriteHeader(http.StatusOK)
	s.extend()
	n, err := s.ResponseWriter.Write(p)
	s.bytes += int64(n)
	if s.count != nil {
		s.count(n)
	}
	return n, err
}

// ReadFrom is what http.ServeContent copies with.
func (s *stream) ReadFrom(r io.Reader) (int64, error) {
	buf := chunks.Get().(*[chunk]byte)
	defer chunks.Put(buf)
	// Writer and reader are wrapped, or they would take the copying over.
	return io.CopyBuffer(struct{ io.Writer }{s}, struct{ io.Reader }{r}, buf[:])
}
