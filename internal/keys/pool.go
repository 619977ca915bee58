package keys

import (
	"cmp"
	"slices"
	"sync"
)

// Pool offers keys that were bought beforehand, each once, to whoever has
// waited longest. It is safe for concurrent use.
type Pool struct {
	mu      sync.Mutex
	keys    map[string]string   // by fingerprint: all that are in the pool now
	free    []string            // fingerprints to offer, in order; may hold some that are taken by now
	taken   map[string]struct{} // fingerprints that are in the ledger or were drawn
	waiting map[owner]Claim
	nfree   int
}

type owner struct{ customer, subscription string }

// NewPool returns an empty pool.
func NewPool() *Pool {
	return &Pool{keys: map[string]string{}, taken: map[string]struct{}{}, waiting: map[owner]Claim{}}
}

// Load replaces the stock of the pool. Keys that are taken stay taken.
func (p *Pool) Load(keys []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys = make(map[string]string, len(keys))
	p.free, p.nfree = make([]string, 0, len(keys)), 0
	for _, key := range keys {
		f := Fingerprint(key)
		p.keys[f] = key
		if _, taken := p.taken[f]; !taken {
			p.free = append(p.free, f)
			p.nfree++
		}
	}
}

// Size returns how many keys are in the pool, and how many of them are free.
func (p *Pool) Size() (total, available int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.keys), p.nfree
}

// Draw serves a claim if there are enough keys for it and for every older
// claim that waits; otherwise the claim waits and ErrEmpty is returned.
func (p *Pool) Draw(c Claim) ([]Draft, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	ahead := len(c.Slots)
	for _, w := range p.waiting {
		if older(w, c) < 0 {
			ahead += len(w.Slots)
		}
	}
	if ahead > p.nfree {
		p.waiting[owner{c.Customer, c.Subscription}] = c
		return nil, ErrEmpty
	}
	delete(p.waiting, owner{c.Customer, c.Subscription})
	drafts := make([]Draft, 0, len(c.Slots))
	for len(drafts) < len(c.Slots) {
		f := p.free[0]
		p.free = p.free[1:]
		if _, taken := p.taken[f]; taken {
			continue
		}
		p.taken[f] = struct{}{}
		p.nfree--
		drafts = append(drafts, Draft{Key: p.keys[f], Fingerprint: f})
	}
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

// Waiting returns the claims that were told to wait, oldest first.
func (p *Pool) Waiting() []Claim {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make([]Claim, 0, len(p.waiting))
	for _, c := range p.waiting {
		all = append(all, c)
	}
	slices.SortFunc(all, older)
	return all
}

// Forget drops a claim that was told to wait.
func (p *Pool) Forget(customer, subscription string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.waiting, owner{customer, subscription})
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

// MarkTaken keeps a key from being offered.
func (p *Pool) MarkTaken(fingerprint string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, taken := p.taken[fingerprint]; taken {
		return
	}
	p.taken[fingerprint] = struct{}{}
	if _, ok := p.keys[fingerprint]; ok {
		p.nfree--
	}
}

// Return offers a key again, as the next one.
func (p *Pool) Return(d Draft) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, taken := p.taken[d.Fingerprint]; !taken {
		return
	}
	delete(p.taken, d.Fingerprint)
	if _, ok := p.keys[d.Fingerprint]; ok {
		p.free = append([]string{d.Fingerprint}, p.free...)
		p.nfree++
	}
}
