package keys

import (
	"cmp"
	"maps"
	"slices"
	"sync"
)

// Pool offers keys that were bought beforehand, each once, to whoever has
// waited longest. It is safe for concurrent use.
//
// A key is free unless the ledger holds it, somebody has just drawn it, or it
// was set aside. The ledger is known from a cache that may be late: that is why
// what was drawn is remembered here until the ledger shows it.
type Pool struct {
	mu      sync.Mutex
	order   []string          // fingerprints of all keys in the pool, in the order to offer them
	keys    map[string]string // by fingerprint
	ledger  map[string]bool
	drawn   map[string]bool
	aside   map[string]bool
	free    []string // what of order can be offered
	waiting map[owner]Claim
}

type owner struct{ customer, subscription string }

// NewPool returns an empty pool.
func NewPool() *Pool {
	return &Pool{drawn: map[string]bool{}, aside: map[string]bool{}, waiting: map[owner]Claim{}}
}

// Load replaces the stock of the pool.
func (p *Pool) Load(keys []string) {
	order, byFingerprint := make([]string, 0, len(keys)), make(map[string]string, len(keys))
	for _, key := range keys {
		f := Fingerprint(key)
		order = append(order, f)
		byFingerprint[f] = key
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.order, p.keys = order, byFingerprint
	p.recount()
}

// Sync tells the pool which fingerprints the ledger holds. Keys that were set
// aside are offered again unless they are among them.
func (p *Pool) Sync(ledger []string) {
	held := make(map[string]bool, len(ledger))
	for _, f := range ledger {
		held[f] = true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ledger = held
	for f := range p.drawn {
		if held[f] {
			delete(p.drawn, f)
		}
	}
	clear(p.aside)
	p.recount()
}

func (p *Pool) recount() {
	p.free = make([]string, 0, len(p.order))
	for _, f := range p.order {
		if !p.ledger[f] && !p.drawn[f] && !p.aside[f] {
			p.free = append(p.free, f)
		}
	}
}

// Size returns how many keys are in the pool, and how many of them are free.
func (p *Pool) Size() (total, available int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.order), len(p.free)
}

// Draw serves a claim if there are enough keys for it and for every older
// claim that waits. Otherwise the claim waits, and ErrEmpty or ErrQueued is
// returned.
func (p *Pool) Draw(c Claim) ([]Draft, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	needed := len(c.Slots)
	for _, w := range p.waiting {
		if older(w, c) < 0 {
			needed += len(w.Slots)
		}
	}
	if needed > len(p.free) {
		p.waiting[owner{c.Customer, c.Subscription}] = c
		if len(c.Slots) <= len(p.free) {
			return nil, ErrQueued
		}
		return nil, ErrEmpty
	}
	delete(p.waiting, owner{c.Customer, c.Subscription})
	drafts := make([]Draft, 0, len(c.Slots))
	for _, f := range p.free[:len(c.Slots)] {
		p.drawn[f] = true
		drafts = append(drafts, Draft{Key: p.keys[f], Fingerprint: f})
	}
	p.free = p.free[len(c.Slots):]
	return drafts, nil
}

// older orders claims by age, and by name where the age is the same.
func older(a, b Claim) int {
	return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Customer, b.Customer), cmp.Compare(a.Subscription, b.Subscription))
}

// Wait puts a claim in the queue, as if Draw had told it to wait.
func (p *Pool) Wait(c Claim) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting[owner{c.Customer, c.Subscription}] = c
}

// Servable returns the claims that wait and could be served now, oldest first.
func (p *Pool) Servable() []Claim {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.servable()
}

func (p *Pool) servable() []Claim {
	if len(p.free) == 0 || len(p.waiting) == 0 {
		return nil
	}
	claims := slices.SortedFunc(maps.Values(p.waiting), older)
	needed := 0
	for i, c := range claims {
		if needed += len(c.Slots); needed > len(p.free) {
			return claims[:i]
		}
	}
	return claims
}

// Forget drops a claim that was told to wait, and returns those that can be
// served now because of that.
func (p *Pool) Forget(customer, subscription string) []Claim {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, waits := p.waiting[owner{customer, subscription}]; !waits {
		return nil
	}
	delete(p.waiting, owner{customer, subscription})
	return p.servable()
}

// Recover returns a key that the ledger knows by its fingerprint.
func (p *Pool) Recover(fingerprint, _ string) (Draft, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	key, ok := p.keys[fingerprint]
	if !ok {
		return Draft{}, ErrUnknown
	}
	return Draft{Key: key, Fingerprint: fingerprint}, nil
}

// SetAside keeps a key that was drawn from being offered until the next Sync.
func (p *Pool) SetAside(d Draft) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.drawn, d.Fingerprint)
	p.aside[d.Fingerprint] = true
}

// Return offers a key that was drawn again, as the next one.
func (p *Pool) Return(d Draft) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f := d.Fingerprint
	if !p.drawn[f] && !p.ledger[f] {
		return
	}
	delete(p.drawn, f)
	delete(p.ledger, f)
	if _, ok := p.keys[f]; ok {
		p.free = append([]string{f}, p.free...)
	}
}
