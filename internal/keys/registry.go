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

// Get returns the source of an issuer, or nil if it is not ready.
func (r *Registry) Get(issuer string) Source {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.sources[issuer]
}

// Set makes a source available; nil takes it away.
func (r *Registry) Set(issuer string, s Source) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s == nil {
		delete(r.sources, issuer)
		return
	}
	r.sources[issuer] = s
}

// Forget drops the claim of a subscription wherever it waits, so that it holds
// up nobody who is younger.
func (r *Registry) Forget(customer, subscription string) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, s := range r.sources {
		s.Forget(customer, subscription)
	}
}
