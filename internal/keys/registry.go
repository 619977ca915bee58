package keys

import "sync"

// Registry holds the sources that are ready, by the name of their issuer. The
// reconciler of issuers keeps it current; those who need keys look them up
// here. It is safe for concurrent use.
type Registry struct {
	mu      sync.RWMutex
	sources map[string]Source
}

// NewRegistry returns an empty registry.
func NewRegistry() *Registry { return &Registry{sources: map[string]Source{}} }

// Get returns the source of an issuer, or nil if it has none now. known tells
// whether anybody has looked at the issuer since this process started.
func (r *Registry) Get(issuer string) (source Source, known bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	source, known = r.sources[issuer]
	return source, known
}

// Set makes a source available; nil says that the issuer has none now.
func (r *Registry) Set(issuer string, s Source) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sources[issuer] = s
}

// Remove forgets an issuer that was deleted.
func (r *Registry) Remove(issuer string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.sources, issuer)
}

// Forget drops the claim of a subscription wherever it waits, but for one
// issuer, so that it holds up nobody who is younger. It returns the claims
// that can be served now because of that.
func (r *Registry) Forget(customer, subscription, except string) (servable []Claim) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for issuer, s := range r.sources {
		if s != nil && issuer != except {
			servable = append(servable, s.Forget(customer, subscription)...)
		}
	}
	return servable
}
