// Package apiproxy is a reverse proxy in front of a kube-apiserver with which
// tests break what an operator does at a chosen write.
package apiproxy

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"time"

	"k8s.io/client-go/rest"
)

const (
	// maxBody is well above the API server's own limit on a request.
	maxBody = 16 << 20

	// writeTimeout ends a write that the API server does not answer. It bounds
	// requests that no longer end with their client.
	writeTimeout = time.Minute
)

// Proxy is a running proxy. Its methods may be called at any time, from
// several goroutines, and from a Hook.
//
// It counts, logs and shows to the hook the requests that create, change or
// delete an object. It forwards all others untouched, and among the mutating
// ones leases, events, and the reviews and token requests that store nothing.
type Proxy struct {
	URL string // https://127.0.0.1:port

	ca       []byte // PEM
	conns    *connections
	upstream *httputil.ReverseProxy

	mu     sync.Mutex
	hook   Hook
	writes []*Write
}

// Start serves in front of the API server of target until ctx ends. It takes
// only the address and the authority from target: clients authenticate to the
// API server themselves, by a bearer token, which the proxy passes on.
func Start(ctx context.Context, target *rest.Config) (*Proxy, error) {
	base, _, err := rest.DefaultServerUrlFor(target)
	if err != nil {
		return nil, fmt.Errorf("api proxy: %w", err)
	}
	upstreamTLS, err := rest.TLSConfigFor(rest.AnonymousClientConfig(target))
	if err != nil {
		return nil, fmt.Errorf("api proxy: %w", err)
	}
	certificate, ca, err := selfSigned()
	if err != nil {
		return nil, fmt.Errorf("api proxy: %w", err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("api proxy: %w", err)
	}

	transport := &http.Transport{
		TLSClientConfig:    upstreamTLS,
		ForceAttemptHTTP2:  true,
		DisableCompression: true, // the client asks for it, or not
	}
	// Cut connections are the purpose of a proxy, not worth a line in the log.
	silent := log.New(io.Discard, "", 0)
	p := &Proxy{
		URL:   "https://" + listener.Addr().String(),
		ca:    ca,
		conns: &connections{Listener: listener, open: map[net.Conn]struct{}{}},
	}
	p.upstream = newUpstream(base, transport, silent)

	server := &http.Server{
		Handler:   p,
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}},
		ErrorLog:  silent,
	}
	// Only HTTP/1.1, where a request has a connection to itself, so that
	// cutting it harms no other request.
	server.Protocols = new(http.Protocols)
	server.Protocols.SetHTTP1(true)
	context.AfterFunc(ctx, func() {
		server.Close()
		transport.CloseIdleConnections()
	})
	go func() { _ = server.ServeTLS(p.conns, "", "") }() // ends by Close
	return p, nil
}

func newUpstream(base *url.URL, transport http.RoundTripper, log *log.Logger) *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(base) },
		Transport:     transport,
		FlushInterval: -1, // a watch wants each event at once
		ErrorLog:      log,
		ModifyResponse: func(res *http.Response) error {
			if answered, ok := res.Request.Context().Value(answeredKey{}).(func(int) error); ok {
				return answered(res.StatusCode)
			}
			return nil
		},
		// Instead of a 502, which no API server sends, cut the connection.
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { cut() },
	}
}

// answeredKey is the context key of the function to call with the status of
// the API server's answer to a write.
type answeredKey struct{}

// errDropped keeps an answer from being passed on.
var errDropped = errors.New("answer dropped by the hook")

// cut closes the connection of the request that the calling goroutine serves.
func cut() { panic(http.ErrAbortHandler) }

// ServeHTTP serves one request of a client.
func (p *Proxy) ServeHTTP(rw http.ResponseWriter, req *http.Request) {
	object, ok := ParsePath(req.URL.Path)
	if !ok || !mutating(req.Method) || !counted(object) {
		p.upstream.ServeHTTP(rw, req)
		return
	}

	// Read in full, so that the write no longer depends on its client.
	body, err := io.ReadAll(http.MaxBytesReader(rw, req.Body, maxBody))
	if err != nil {
		cut()
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(req.Context()), writeTimeout)
	defer cancel()

	entry, hook := p.record(req, object)
	action := Forward
	if hook.Before != nil {
		action = hook.Before(*entry)
	}
	// The API server may have gone while the hook ran.
	if action != DropBefore && p.conns.areRefused() {
		action = DropBefore
	}
	p.update(func() { entry.Action = action })

	switch action {
	case Forward, DropAfter:
	case Respond409, Respond429, Respond500:
		respond(rw, action, *entry)
		return
	default:
		cut()
	}

	answered := func(status int) error {
		var w Write
		p.update(func() {
			entry.Status = status
			w = *entry
		})
		if hook.After != nil {
			hook.After(w, status)
		}
		if action == DropAfter {
			return errDropped
		}
		return nil
	}
	out := req.WithContext(context.WithValue(ctx, answeredKey{}, answered))
	out.Body = io.NopCloser(bytes.NewReader(body))
	// Lets the transport connect anew after the API server was restarted.
	out.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	out.ContentLength = int64(len(body))
	out.TransferEncoding = nil
	p.upstream.ServeHTTP(rw, out)
}

// record logs a write that has arrived and returns its entry, to be changed
// with update only, and the hook in force.
func (p *Proxy) record(req *http.Request, o Object) (*Write, Hook) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := &Write{Number: len(p.writes) + 1, Method: req.Method, Path: req.URL.Path, Object: o}
	p.writes = append(p.writes, w)
	return w, p.hook
}

func (p *Proxy) update(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
}

// SetHook replaces the hook for the writes that arrive from now on. The zero
// Hook forwards all.
func (p *Proxy) SetHook(h Hook) { p.update(func() { p.hook = h }) }

// Writes returns the writes so far, in the order of their arrival.
func (p *Proxy) Writes() []Write {
	p.mu.Lock()
	defer p.mu.Unlock()
	writes := make([]Write, 0, len(p.writes))
	for _, w := range p.writes {
		writes = append(writes, *w)
	}
	return writes
}

// Reset forgets the writes so far: the next one has number 1.
func (p *Proxy) Reset() { p.update(func() { p.writes = nil }) }

// Pause makes the API server seem gone: it cuts all connections, watches too,
// and each new one at once. A write that is on its way to the API server may
// still be carried out.
func (p *Proxy) Pause() { p.conns.refuse() }

// Resume ends a Pause. Clients connect again by themselves.
func (p *Proxy) Resume() { p.conns.accept() }
