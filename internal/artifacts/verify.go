package artifacts

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"
)

// settle is how long Start waits after a file changed under its eyes: somebody
// is still writing it.
const settle = time.Second

// Start verifies the files that Look was asked about until ctx ends. It makes
// the store a Runnable of a manager.
func (s *Store) Start(ctx context.Context) error {
	for ctx.Err() == nil {
		path, ok := s.first()
		if !ok {
			select {
			case <-ctx.Done():
			case <-s.wake:
			}
			continue
		}
		found, err := s.verify(ctx, path)
		if ctx.Err() != nil {
			return nil
		}
		changing := errors.Is(err, ErrMismatch)
		if s.record(path, found, changing) && s.Changed != nil {
			s.Changed(path)
		}
		if changing {
			select {
			case <-ctx.Done():
			case <-time.After(settle):
			}
		}
	}
	return nil
}

// NeedLeaderElection is false: each process verifies for itself.
func (s *Store) NeedLeaderElection() bool { return false }

func (s *Store) first() (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) == 0 {
		return "", false
	}
	return s.queue[0], true
}

// verify hashes a file. It fails with ErrMismatch if the file changed
// meanwhile.
func (s *Store) verify(ctx context.Context, path string) (finding, error) {
	f, err := s.stat(ctx, path)
	if err != nil {
		return finding{version: f.version, err: err}, err
	}
	r, err := s.open(ctx, f, 0)
	if err != nil {
		return finding{version: f.version, err: err}, err
	}
	defer r.Close()
	hash := sha256.New()
	// Not io.Copy: the reader of a bucket would offer to write itself, in
	// pieces of its own choice.
	if _, err = io.CopyBuffer(hash, struct{ io.Reader }{r}, make([]byte, 1<<20)); err == nil {
		err = r.unchanged()
	}
	if err != nil {
		return finding{version: f.version, err: err}, err
	}
	return finding{version: f.version, sha256: hex.EncodeToString(hash.Sum(nil))}, nil
}

// record keeps a finding and reports whether it is news. A file that is still
// changing goes to the end of the queue.
func (s *Store) record(path string, found finding, changing bool) (news bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queue = s.queue[1:]
	if changing {
		s.queue = append(s.queue, path)
		return false
	}
	before := s.known[path]
	s.known[path] = found
	// That it failed again is no news, or whoever is told and looks again
	// would keep it failing as fast as it can.
	return before.version != found.version || before.sha256 != found.sha256 || (before.err == nil) != (found.err == nil)
}

// Reader opens a file that Look returned without an error. It fails with
// ErrMismatch or ErrMissing, at once or later, if the file is no longer the
// one that was verified; what was read before is of that file. It works until
// ctx ends. The caller closes it.
func (s *Store) Reader(ctx context.Context, f File) (io.ReadSeekCloser, error) {
	s.mu.Lock()
	found := s.known[f.Path]
	s.mu.Unlock()
	if found.version != f.version || found.sha256 == "" || found.sha256 != f.SHA256 {
		return nil, fmt.Errorf("%s %w: it was not verified, or has changed since", f.Path, ErrMismatch)
	}
	return s.open(ctx, f, 0)
}
