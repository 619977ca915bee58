package keys

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"
)

func claim(name string, age time.Duration, keys int) Claim {
	c := Claim{Customer: "contoso", Subscription: name, Since: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC).Add(-age)}
	for i := range keys {
		c.Slots = append(c.Slots, int32(i+1))
	}
	return c
}

func drawn(t *testing.T, p *Pool, c Claim) []string {
	t.Helper()
	drafts, err := p.Draw(c)
	if err != nil {
		t.Fatalf("%s: %v", c.Subscription, err)
	}
	var all []string
	for _, d := range drafts {
		all = append(all, d.Key)
	}
	return all
}

func mustWait(t *testing.T, p *Pool, c Claim) {
	t.Helper()
	if d, err := p.Draw(c); !errors.Is(err, ErrEmpty) && !errors.Is(err, ErrQueued) {
		t.Fatalf("%s was served: %v, %v", c.Subscription, d, err)
	}
}

func draft(key string) Draft { return Draft{Key: key, Fingerprint: Fingerprint(key)} }

func TestPoolOffersEachKeyOnce(t *testing.T) {
	p := NewPool()
	p.Sync([]string{Fingerprint(keyB)})
	p.Load([]string{keyA, keyB, keyC})
	if total, free := p.Size(); total != 3 || free != 2 {
		t.Fatalf("%d of %d free", free, total)
	}
	if got := drawn(t, p, claim("a", 0, 2)); !slices.Equal(got, []string{keyA, keyC}) {
		t.Errorf("got %q", got)
	}
	mustWait(t, p, claim("b", 0, 1))

	// What was drawn stays so when the Secrets are read again, and while the
	// ledger, as far as it is known, does not show it yet.
	p.Load([]string{keyA, keyB, keyC})
	p.Sync([]string{Fingerprint(keyB)})
	mustWait(t, p, claim("b", 0, 1))
	p.Return(draft(keyC))
	p.Return(draft("never drawn"))
	if got := drawn(t, p, claim("b", 0, 1)); !slices.Equal(got, []string{keyC}) {
		t.Errorf("got %q, want the one that was given back", got)
	}
}

func TestPoolFollowsTheLedger(t *testing.T) {
	p := NewPool()
	p.Load([]string{keyA, keyB})
	drawn(t, p, claim("a", 0, 2))
	p.SetAside(draft(keyB))
	mustWait(t, p, claim("b", 0, 1))
	p.Sync([]string{Fingerprint(keyA), Fingerprint(keyB)})
	mustWait(t, p, claim("b", 0, 1))
	p.Sync([]string{Fingerprint(keyA)}) // whoever had the other one released it
	if got := drawn(t, p, claim("b", 0, 1)); !slices.Equal(got, []string{keyB}) {
		t.Errorf("got %q", got)
	}
	p.Sync([]string{Fingerprint(keyA), Fingerprint(keyB)})
	p.Return(draft(keyB)) // released by ourselves, though the ledger was seen to hold it
	if got := drawn(t, p, claim("b", 0, 1)); !slices.Equal(got, []string{keyB}) {
		t.Errorf("got %q", got)
	}
}

func TestPoolGivesAllOrNothing(t *testing.T) {
	p := NewPool()
	p.Load([]string{keyA, keyB})
	mustWait(t, p, claim("big", 0, 3))
	if _, free := p.Size(); free != 2 {
		t.Errorf("%d free, want 2", free)
	}
}

func TestPoolServesTheOldestFirst(t *testing.T) {
	p := NewPool()
	young, old, oldest := claim("a", time.Minute, 1), claim("b", time.Hour, 2), claim("c", 2*time.Hour, 1)
	for _, c := range []Claim{young, oldest, old} {
		mustWait(t, p, c)
	}
	p.Load([]string{keyA, keyB})
	mustWait(t, p, young) // one key is for the oldest, and then one is missing for the next
	mustWait(t, p, old)
	drawn(t, p, oldest)
	mustWait(t, p, young)
	if w := p.Servable(); len(w) != 0 {
		t.Errorf("one key for an older claim of two serves %+v", w)
	}
	if _, err := p.Draw(young); !errors.Is(err, ErrQueued) {
		t.Errorf("behind an older claim: %v", err)
	}
	if w := p.Forget("contoso", "nobody"); len(w) != 0 {
		t.Errorf("forgetting nobody serves %+v", w)
	}
	if w := p.Forget("contoso", "b"); len(w) != 1 || w[0].Subscription != "a" {
		t.Errorf("servable: %+v", w)
	}
	drawn(t, p, young)
	if w := p.Servable(); len(w) != 0 {
		t.Errorf("still waiting: %+v", w)
	}
}

func TestServableInOrder(t *testing.T) {
	p := NewPool()
	for _, c := range []Claim{claim("a", time.Minute, 1), claim("c", 2*time.Hour, 1), claim("b", time.Hour, 2)} {
		p.Wait(c)
	}
	p.Load([]string{keyA, keyB, keyC})
	if w := p.Servable(); len(w) != 2 || w[0].Subscription != "c" || w[1].Subscription != "b" {
		t.Errorf("servable: %+v", w)
	}
}

func TestPoolOrdersTheSameAgeByName(t *testing.T) {
	p := NewPool()
	mustWait(t, p, claim("b", 0, 1))
	mustWait(t, p, claim("a", 0, 1))
	p.Load([]string{keyA})
	mustWait(t, p, claim("b", 0, 1))
	drawn(t, p, claim("a", 0, 1))
}

func TestPoolRecover(t *testing.T) {
	p := NewPool()
	p.Load([]string{keyA})
	drawn(t, p, claim("a", 0, 1))
	if d, err := p.Recover(Fingerprint(keyA), ""); err != nil || d.Key != keyA {
		t.Errorf("got %v, %v", d, err)
	}
	p.Load(nil)
	if _, err := p.Recover(Fingerprint(keyA), ""); !errors.Is(err, ErrUnknown) {
		t.Errorf("a key that is no longer in the pool: %v", err)
	}
}

func TestDraftsPrintWithoutTheirKey(t *testing.T) {
	d := Draft{Key: keyA, Fingerprint: "f"}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if got := fmt.Sprintf(verb, d); got != "f" {
			t.Errorf("%s prints %q", verb, got)
		}
	}
}

// 100,000 keys, 64 takers, each key once. Run with -race to see the locking.
func TestPoolUnderManyTakers(t *testing.T) {
	const n, takers = 100_000, 64
	stock := make([]string, n)
	for i := range stock {
		stock[i] = fmt.Sprintf("AAAAA-BBBBB-CCCCC-DDDDD-%05d", i)
	}
	p := NewPool()
	p.Load(stock)
	var mu sync.Mutex
	seen := make(map[string]bool, n)
	var wg sync.WaitGroup
	for w := range takers {
		wg.Go(func() {
			for {
				d, err := p.Draw(claim(fmt.Sprint(w), 0, 1))
				if err != nil {
					return
				}
				mu.Lock()
				if seen[d[0].Key] {
					t.Errorf("offered twice: %v", d[0])
				}
				seen[d[0].Key] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(seen) != n {
		t.Errorf("%d of %d keys were offered", len(seen), n)
	}
}
