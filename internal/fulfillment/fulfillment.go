// Package fulfillment serves the SaaS fulfilment API, version 2, to publishers,
// so that a client made for the commercial marketplace works here with another
// base address and another credential. Everything is where that client expects
// it, under /api:
//
//	POST   /saas/subscriptions/resolve                    what a purchase token stands for
//	POST   /saas/subscriptions/{id}/activate              starts the service, and its billing
//	GET    /saas/subscriptions                            all of the publisher's
//	GET    /saas/subscriptions/{id}
//	GET    /saas/subscriptions/{id}/listAvailablePlans
//	PATCH  /saas/subscriptions/{id}                       another plan, or quantity
//	DELETE /saas/subscriptions/{id}                       ends it
//	GET    /saas/subscriptions/{id}/operations            those that wait for the publisher
//	GET    /saas/subscriptions/{id}/operations/{id}
//	PATCH  /saas/subscriptions/{id}/operations/{id}       accepts or refuses one
//
// and, for whoever checks the tokens that webhooks are called with, OpenID
// Connect discovery under /.well-known.
//
// The way of a request through this package:
//
//	fulfillment.go  listens, and keeps every request within limits
//	route.go        finds out what is asked for
//	caller.go       who asks, by a TokenReview, and for which publishers
//	claims.go       what is not worth a review
//	find.go         the entitlement, as the API server has it at that moment
//	read.go         answers what changes nothing
//	activate.go     starts or ends a service
//	change.go       changes plan or quantity, in spec by apply.go
//	operation.go    tells of operations and takes the publisher's answers
//	discovery.go    OpenID Connect discovery
//	refusal.go      everything else
//
// What is decided is decided by internal/terms on facts that were followed to
// now, so deadlines hold also while the controllers are away.
package fulfillment

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

	"github.com/license-operator/license-operator/internal/entitlements"
)

// Limits of the server. Those of Service's fields can be changed.
const (
	idleTimeout    = time.Minute
	maxHeaderBytes = 16 << 10
	maxBody        = 64 << 10
	pageSize       = 100 // subscriptions, as documented
)

// Tokens tells purchase tokens from others.
type Tokens interface {
	// PurchaseToken returns the spec.id of the entitlement that a token was
	// made for. signing.ErrInvalid means that the token is malformed, forged or
	// expired, any other error that it could not be checked; that one is logged,
	// so it must not quote the token.
	PurchaseToken(ctx context.Context, token string, now time.Time) (id string, err error)
}

// Keys are the public halves of the keys that webhook tokens are signed with.
type Keys interface {
	// PublicKeys returns a JSON Web Key Set.
	PublicKeys(ctx context.Context) ([]byte, error)
}

// Service serves the fulfilment API. The manager runs it with Start.
type Service struct {
	// Client writes, and reads from a cache with the indexes of
	// entitlements.Register.
	Client client.Client
	// Live reads from the API server.
	Live   client.Reader
	Clock  clock.PassiveClock
	Tokens Tokens
	Keys   Keys
	Listen string // address, such as :8083
	// BaseURL is where publishers reach the service, without /api. Links that
	// it gives begin with it, and it is the issuer of webhook tokens.
	BaseURL string

	// APITimeout is how long one request may keep asking the API server; 0 is 5
	// seconds.
	APITimeout time.Duration
	// ReadTimeout is how long a client may take to send a request, and after it
	// to take the answer; 0 is 10 seconds.
	ReadTimeout time.Duration
	// StopTimeout is how long requests go on while the service stops; 0 is 15
	// seconds.
	StopTimeout time.Duration
	// MaxRequests is how many requests are worked on at a time; 0 is 64.
	MaxRequests int
	// MaxReviews is how often a second credentials are reviewed by the API
	// server: those that were good lately, and as often new tokens of service
	// accounts that a publisher lists; 0 is 100. New tokens of one account are
	// reviewed a twentieth as often, or once, and so are all other credentials
	// together. Twice as many can come at once.
	MaxReviews int
	// MaxSearches is how often a second an id that is not in the cache is looked
	// for at the API server; 0 is 10. Twice as many can come at once.
	MaxSearches int

	prepared sync.Once
	record   *entitlements.Record
	working  chan struct{}
	searches *rate.Limiter
	callers  *callers
}

func (s *Service) prepare() {
	if s.APITimeout == 0 {
		s.APITimeout = 5 * time.Second
	}
	if s.ReadTimeout == 0 {
		s.ReadTimeout = 10 * time.Second
	}
	if s.StopTimeout == 0 {
		s.StopTimeout = 15 * time.Second
	}
	if s.MaxRequests == 0 {
		s.MaxRequests = 64
	}
	if s.MaxReviews == 0 {
		s.MaxReviews = 100
	}
	if s.MaxSearches == 0 {
		s.MaxSearches = 10
	}
	s.BaseURL = strings.TrimRight(s.BaseURL, "/")
	s.record = &entitlements.Record{Client: s.Client, Live: s.Live}
	s.working = make(chan struct{}, s.MaxRequests)
	s.searches = rate.NewLimiter(rate.Limit(s.MaxSearches), 2*s.MaxSearches)
	s.callers = newCallers(s)
}

// NeedLeaderElection is false: every replica serves.
func (s *Service) NeedLeaderElection() bool { return false }

// Start serves until ctx ends. Requests that run then have StopTimeout to
// finish.
func (s *Service) Start(ctx context.Context) error {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", s.Listen)
	if err != nil {
		return fmt.Errorf("listening for publishers: %w: set --fulfillment-listen to a free address", err)
	}
	return s.serve(ctx, l)
}

func (s *Service) serve(ctx context.Context, l net.Listener) error {
	s.prepared.Do(s.prepare)
	logger := log.FromContext(ctx).WithName("fulfillment")
	server := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: s.ReadTimeout,
		ReadTimeout:       s.ReadTimeout,
		WriteTimeout:      2*s.ReadTimeout + 2*s.APITimeout, // counted from the header
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		Protocols:         new(http.Protocols),
		// Not ctx itself: what runs when it ends may finish.
		BaseContext: func(net.Listener) context.Context { return log.IntoContext(context.WithoutCancel(ctx), logger) },
		ErrorLog:    slog.NewLogLogger(logr.ToSlogHandler(logger), slog.LevelInfo),
	}
	server.Protocols.SetHTTP1(true)
	logger.Info("serving the fulfilment API", "address", l.Addr().String())
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	select {
	case err := <-served:
		return fmt.Errorf("serving the fulfilment API: %w", err)
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.StopTimeout)
	defer cancel()
	if err := server.Shutdown(stop); !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return server.Close()
}

func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.prepared.Do(s.prepare)
	id := setHeaders(w.Header(), r.Header)
	logger := log.FromContext(r.Context()).WithValues("requestID", id)
	what, a, err := s.answer(w, r.WithContext(log.IntoContext(r.Context(), logger)))
	if err != nil {
		a = refused(logger, what, err)
	}
	a.write(w)
	requests.WithLabelValues(what, strconv.Itoa(a.code)).Inc()
}

// answer finds out what is asked for, and by whom, and answers.
func (s *Service) answer(w http.ResponseWriter, r *http.Request) (what string, a *answer, err error) {
	t, err := route(r.URL.Path, r.Method)
	if err != nil {
		return t.name, nil, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.APITimeout)
	defer cancel()
	if t.public {
		a, err = t.handle(s, ctx, &request{Request: r})
		return t.name, a, err
	}
	if err := checkVersion(r.URL.Query()); err != nil {
		return t.name, nil, err
	}
	req := &request{Request: r, id: t.id, operation: t.operation}
	if req.publishers, err = s.publishers(ctx, r.Header); err != nil {
		return t.name, nil, err
	}
	if t.body != nil {
		if req.body, err = readBody(w, r, t.body); err != nil {
			return t.name, nil, err
		}
	}
	select {
	case s.working <- struct{}{}:
		defer func() { <-s.working }()
	default:
		return t.name, nil, tooManyRequests
	}
	// The client may have taken its time. What is begun is finished, whether it
	// waits for the answer or not.
	ctx, cancel = context.WithTimeout(context.WithoutCancel(r.Context()), s.APITimeout)
	defer cancel()
	req.now = s.Clock.Now().UTC().Truncate(time.Second) // the precision of the record
	a, err = t.handle(s, ctx, req)
	return t.name, a, err
}
