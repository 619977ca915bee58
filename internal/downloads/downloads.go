// Package downloads serves the download links of subscriptions.
//
//	GET /d/<token>        a page that says what the link is for; it starts nothing,
//	                      because scanners of mail and chat open links
//	GET /d/<token>/file   the file; its first download starts the link's lifetime
//
// The way of a request through this package:
//
//	downloads.go  listens, and finds out what is asked for
//	link.go       which subscription a token belongs to, and whether its link works now
//	file.go       records the first download, then streams
//	stream.go     cuts off a client that stands still, and counts
//	page.go       everything for people
//
// Each request is decided by the subscription as the API server has it at that
// moment. A download that began in time goes on after the deadline; a request
// for another part of it is a new one, and is refused.
package downloads

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/time/rate"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/artifacts"
	"github.com/license-operator/license-operator/internal/downloadlink"
)

// Limits of the server. Those of Service's fields can be changed.
const (
	idleTimeout    = time.Minute
	maxHeaderBytes = 16 << 10
)

// Service serves download links. The manager runs it with Start.
type Service struct {
	// Client reads from a cache with the indexes of Register, and writes
	// status.
	Client client.Client
	// Live reads from the API server.
	Live      client.Reader
	Clock     clock.PassiveClock
	Artifacts *artifacts.Store
	Listen    string // address, such as :8082

	// StallTimeout is how long a client may take to accept the next 64 KiB; 0
	// is a minute.
	StallTimeout time.Duration
	// APITimeout is how long one request may keep asking the API server; 0 is 5
	// seconds.
	APITimeout time.Duration
	// HeaderTimeout is how long a client may take to send a request; 0 is 10
	// seconds.
	HeaderTimeout time.Duration
	// StopTimeout is how long downloads go on while the service stops; 0 is 15
	// seconds.
	StopTimeout time.Duration
	// MaxStreams is how many downloads there can be at a time; 0 is 256.
	MaxStreams int
	// MaxSearches is how often a second a token that is not in the cache is
	// looked for at the API server; 0 is 10. Twice as many can come at once.
	MaxSearches int

	prepared sync.Once
	streams  chan struct{}
	searches *rate.Limiter
}

func (s *Service) prepare() {
	if s.StallTimeout == 0 {
		s.StallTimeout = time.Minute
	}
	if s.APITimeout == 0 {
		s.APITimeout = 5 * time.Second
	}
	if s.HeaderTimeout == 0 {
		s.HeaderTimeout = 10 * time.Second
	}
	if s.StopTimeout == 0 {
		s.StopTimeout = 15 * time.Second
	}
	if s.MaxStreams == 0 {
		s.MaxStreams = 256
	}
	if s.MaxSearches == 0 {
		s.MaxSearches = 10
	}
	s.streams = make(chan struct{}, s.MaxStreams)
	s.searches = rate.NewLimiter(rate.Limit(s.MaxSearches), 2*s.MaxSearches)
}

// NeedLeaderElection is false: every replica serves.
func (s *Service) NeedLeaderElection() bool { return false }

// Start serves until ctx ends. Downloads that run then have StopTimeout to
// finish; clients resume those that are cut.
func (s *Service) Start(ctx context.Context) error {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", s.Listen)
	if err != nil {
		return fmt.Errorf("listening for downloads: %w: set --downloads-listen to a free address", err)
	}
	return s.serve(ctx, l)
}

func (s *Service) serve(ctx context.Context, l net.Listener) error {
	s.prepared.Do(s.prepare)
	logger := log.FromContext(ctx).WithName("downloads")
	server := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: s.HeaderTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		// Not ctx itself: what runs when it ends may finish.
		BaseContext: func(net.Listener) context.Context { return log.IntoContext(context.WithoutCancel(ctx), logger) },
		ErrorLog:    slog.NewLogLogger(logr.ToSlogHandler(logger), slog.LevelInfo),
	}
	logger.Info("serving downloads", "address", l.Addr().String())
	go s.warm(log.IntoContext(ctx, logger))
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	select {
	case err := <-served:
		return fmt.Errorf("serving downloads: %w", err)
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.StopTimeout)
	defer cancel()
	if err := server.Shutdown(stop); !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return server.Close()
}

// warm has every file of the catalogue verified, so that the first customer
// after a restart need not wait for it.
func (s *Service) warm(ctx context.Context) {
	var products v1alpha1.ProductList
	if err := s.Client.List(ctx, &products); err != nil {
		log.FromContext(ctx).Error(err, "cannot verify the catalogue's files before they are asked for")
		return
	}
	for _, p := range products.Items {
		for _, v := range p.Versions() {
			for _, b := range v.Builds {
				// What is wrong with a file is told to whoever asks for it.
				_, _ = s.Artifacts.Look(ctx, b.Artifact, b.SHA256)
			}
		}
	}
}

func (s *Service) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	s.prepared.Do(s.prepare)
	w := &stream{ResponseWriter: rw, conn: http.NewResponseController(rw), stall: s.StallTimeout}
	w.extend()
	setHeaders(w.Header())
	if r.ContentLength != 0 {
		// Nobody needs to send us a body. The server skips it, but is not kept
		// waiting for it.
		_ = w.conn.SetReadDeadline(deadline(s.HeaderTimeout))
	}
	handler, token := route(r.URL.Path)
	switch {
	case handler == "":
		s.refuse(w, r, notFound)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		s.refuse(w, r, notAllowed)
	case handler == "robots":
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write([]byte("User-agent: *\nDisallow: /\n"))
	case handler == "page":
		s.servePage(w, r, token)
	default:
		s.serveFile(w, r, token)
	}
	if token != "" {
		requests.WithLabelValues(handler, strconv.Itoa(w.code)).Inc()
	}
}

// route says what a path asks for: page and file with a token, robots, or ""
// for what is not there.
func route(path string) (handler, token string) {
	if path == "/robots.txt" {
		return "robots", ""
	}
	rest, ok := strings.CutPrefix(path, downloadlink.Path)
	if !ok {
		return "", ""
	}
	handler = "page"
	if token, ok = strings.CutSuffix(rest, "/file"); ok {
		handler = "file"
	}
	if !downloadlink.IsToken(token) {
		return "", ""
	}
	return handler, token
}
