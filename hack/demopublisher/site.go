package main

import (
	"context"
	"log/slog"
	"net/http"
	"time"
)

const (
	// pageTime bounds what is asked for one page.
	pageTime = 15 * time.Second
	maxForm  = 16 << 10
	// maxRequests is how many are worked on at a time.
	maxRequests = 64
)

// site is what people and the marketplace see.
type site struct {
	api      *api
	accounts *accounts
	webhook  *webhook
	sessions *sessions
	secure   bool // people come by https
	now      func() time.Time
	logger   *slog.Logger
}

func (s *site) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { s.show(w, http.StatusOK, welcome) })
	mux.HandleFunc("GET /healthz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /landing", s.land)
	mux.HandleFunc("GET /accounts/{id}", s.allowed(s.showAccount))
	for name, post := range map[string]func(context.Context, *visit) (message, error){
		"activate": s.activate, "users": s.setUsers, "plan": s.changePlan, "seats": s.changeSeats, "end": s.end,
	} {
		mux.HandleFunc("POST /accounts/{id}/"+name, s.allowed(s.posted(post)))
	}
	mux.Handle("POST /webhook", s.webhook)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { s.show(w, http.StatusNotFound, nothingHere) })
	// Forms of other sites are refused, whatever cookies a browser sends along.
	guarded := http.NewCrossOriginProtection()
	guarded.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { s.show(w, http.StatusForbidden, foreignForm) }))
	return s.bounded(headers(guarded.Handler(mux)))
}

// headers keeps pages, and the addresses that they were opened with, from
// everybody else.
func headers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", contentSecurityPolicy)
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// bounded keeps more requests waiting outside than can be worked on, and logs
// them without what follows the path: that can be a token.
func (s *site) bounded(next http.Handler) http.Handler {
	working := make(chan struct{}, maxRequests)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case working <- struct{}{}:
			defer func() { <-working }()
		default:
			w.Header().Set("Retry-After", "1")
			http.Error(w, "busy", http.StatusServiceUnavailable)
			return
		}
		began, status := s.now(), &statusWriter{ResponseWriter: w, status: http.StatusOK}
		r.Body = http.MaxBytesReader(w, r.Body, max(maxForm, maxPayload))
		next.ServeHTTP(status, r)
		s.logger.Info("request", "method", r.Method, "path", r.URL.Path, "status", status.status, "took", s.now().Sub(began).Round(time.Millisecond))
	})
}

// statusWriter remembers the status.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}
