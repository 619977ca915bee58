package artifacts

import (
	"context"
	"errors"
	"fmt"
	"io"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"
)

// reader reads one version of a file. Seeking costs nothing until the next
// Read, which opens the file at the new place.
type reader struct {
	ctx   context.Context
	store *Store
	file  File
	r     *blob.Reader
	at    int64 // where r is
	next  int64 // where the next Read begins
}

// open opens a file at an offset, and makes sure that what it opened is the
// version meant.
func (s *Store) open(ctx context.Context, f File, offset int64) (*reader, error) {
	bucket, err := s.bucket(ctx)
	if err != nil {
		return nil, err
	}
	opened, err := bucket.NewRangeReader(ctx, f.Path, offset, -1, nil)
	if gcerrors.Code(err) == gcerrors.NotFound {
		return nil, fmt.Errorf("%s %w", f.Path, ErrMissing)
	}
	if err != nil {
		return nil, s.unreadable(err)
	}
	r := &reader{ctx: ctx, store: s, file: f, r: opened, at: offset, next: offset}
	// After opening: whatever is put in the place of the file from now on, r
	// reads the one that was there.
	if err := r.unchanged(); err != nil {
		_ = r.Close()
		return nil, err
	}
	return r, nil
}

// unchanged checks that the file in the store is still the version meant.
func (r *reader) unchanged() error {
	now, err := r.store.stat(r.ctx, r.file.Path)
	if err != nil {
		return err
	}
	if now.version != r.file.version {
		return fmt.Errorf("%s %w: it has changed since", r.file.Path, ErrMismatch)
	}
	return nil
}

func (r *reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	if r.next >= r.file.Size {
		return 0, io.EOF
	}
	if r.at != r.next {
		moved, err := r.store.open(r.ctx, r.file, r.next)
		if err != nil {
			return 0, err
		}
		_ = r.r.Close()
		r.r, r.at = moved.r, r.next
	}
	n, err := r.r.Read(p)
	// Objects in a cloud are replaced as a whole, but a local file can be
	// overwritten in place. The kernel moves its time before its content.
	if r.store.url.Scheme == "file" {
		if err := r.unchanged(); err != nil {
			return 0, err
		}
	}
	r.at += int64(n)
	r.next = r.at
	return n, err
}

func (r *reader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += r.next
	case io.SeekEnd:
		offset += r.file.Size
	}
	if offset < 0 {
		return 0, errors.New("seeking to before the start of a file")
	}
	r.next = offset
	return offset, nil
}

func (r *reader) Close() error { return r.r.Close() }
