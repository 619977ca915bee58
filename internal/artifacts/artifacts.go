// Package artifacts reads the artifact store: the files that customers
// download, in a bucket that somebody else fills. It hands out no byte of a
// file before the whole of it was found to have its SHA-256, nor after the
// file has changed since.
//
// The way of a file: Look asks what is known of it and has it verified if that
// was not done yet. Start does so, one file at a time and in the order of
// asking. Reader opens a verified one.
package artifacts

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"sync"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"
)

// What is wrong with a file. Any other error means that the store itself
// cannot be read.
var (
	ErrMissing   = errors.New("is not in the artifact store")
	ErrMismatch  = errors.New("is not the file that the catalogue describes")
	ErrVerifying = errors.New("is being verified")
)

// Store is the artifact store. Its methods may be called from several
// goroutines.
type Store struct {
	// Changed, if set, is told the path of a file about which Look has
	// something else to say than before, because its verification has ended.
	// It is called by Start, which goes on when it returns. Nobody is told of
	// files that come or go.
	Changed func(path string)

	url  *url.URL
	wake chan struct{}

	opening sync.Mutex
	opened  *blob.Bucket

	mu    sync.Mutex
	known map[string]finding // by path
	queue []string           // paths to verify; the first one is being worked on
}

// File is what is known of a file.
type File struct {
	Path    string
	SHA256  string // that it has to have, in lower-case hexadecimal
	Size    int64  // bytes
	ModTime time.Time
	version version
}

// version identifies the content of a file without reading it.
type version struct {
	size     int64
	modified int64 // Unix time in nanoseconds
	etag     string
}

// finding is what verifying a version of a file has shown: the SHA-256 of its
// content, or why it could not be read.
type finding struct {
	version version
	sha256  string
	err     error
}

// Open returns the store at a bucket URL, such as file:///srv/artifacts. It
// does not try to reach it: a store that is not there is an error of Look.
func Open(bucketURL string) (*Store, error) {
	u, err := url.Parse(bucketURL)
	if err != nil {
		return nil, errors.New("the artifact store is no URL: use one such as file:///srv/artifacts")
	}
	if !blob.DefaultURLMux().ValidBucketScheme(u.Scheme) {
		return nil, fmt.Errorf("the artifact store %s is none of file://, s3://, gs:// and azblob://: use a URL such as file:///srv/artifacts", u.Redacted())
	}
	if u.Scheme == "file" && (u.Path == "" || (u.Host != "" && u.Host != ".")) {
		return nil, fmt.Errorf("the artifact store %s names no folder: use three slashes, as in file:///srv/artifacts", u.Redacted())
	}
	return &Store{url: u, wake: make(chan struct{}, 1), known: map[string]finding{}}, nil
}

// Close releases what the store holds. Nothing may be read after it.
func (s *Store) Close() error {
	s.opening.Lock()
	defer s.opening.Unlock()
	if s.opened == nil {
		return nil
	}
	return s.opened.Close()
}

// Look tells what is known of a file now. Without an error its content has the
// SHA-256. Otherwise the error is ErrMissing, ErrMismatch, ErrVerifying, or one
// that says why the store cannot be read; the last two are worth asking again.
func (s *Store) Look(ctx context.Context, path, sha256 string) (File, error) {
	f, err := s.stat(ctx, path)
	f.SHA256 = sha256
	s.mu.Lock()
	defer s.mu.Unlock()
	if errors.Is(err, ErrMissing) {
		delete(s.known, path)
	}
	if err != nil {
		return f, err
	}
	found := s.known[path]
	switch {
	case found.version == f.version && found.sha256 == sha256:
		return f, nil
	case found.version == f.version && found.sha256 != "":
		return f, fmt.Errorf("%s %w: its SHA-256 is %s, not %s", path, ErrMismatch, found.sha256, sha256)
	}
	s.enqueue(path)
	if found.version == f.version && found.err != nil {
		return f, found.err
	}
	return f, fmt.Errorf("%s %w", path, ErrVerifying)
}

// stat returns the attributes of a file.
func (s *Store) stat(ctx context.Context, path string) (File, error) {
	f := File{Path: path}
	bucket, err := s.bucket(ctx)
	if err != nil {
		return f, err
	}
	a, err := bucket.Attributes(ctx, path)
	if gcerrors.Code(err) == gcerrors.NotFound {
		if err := s.accessible(ctx); err != nil {
			return f, err
		}
		return f, fmt.Errorf("%s %w", path, ErrMissing)
	}
	if err != nil {
		return f, s.unreadable(err)
	}
	f.Size, f.ModTime = a.Size, a.ModTime
	f.version = version{size: a.Size, modified: a.ModTime.UnixNano(), etag: a.ETag}
	return f, nil
}

// bucket opens the bucket when it is first needed, and tries again the next
// time if that fails.
func (s *Store) bucket(ctx context.Context) (*blob.Bucket, error) {
	s.opening.Lock()
	defer s.opening.Unlock()
	if s.opened != nil {
		return s.opened, nil
	}
	// Drivers renew their credentials for as long as this context lasts.
	b, err := blob.OpenBucket(context.WithoutCancel(ctx), s.url.String())
	if err != nil {
		return nil, s.unreadable(err)
	}
	s.opened = b
	return b, nil
}

// accessible checks that the store itself is there: of one that is gone, each
// file is missing too.
func (s *Store) accessible(ctx context.Context) error {
	again, err := blob.OpenBucket(ctx, s.url.String())
	if err != nil {
		return s.unreadable(err)
	}
	defer again.Close()
	if ok, err := again.IsAccessible(ctx); err != nil || !ok {
		return s.unreadable(cmp.Or(err, errors.New("it does not exist")))
	}
	return nil
}

func (s *Store) unreadable(err error) error {
	return fmt.Errorf("the artifact store %s cannot be read: %w: create it or set --artifacts", s.url.Redacted(), err)
}

// enqueue has a file verified. The caller holds the lock.
func (s *Store) enqueue(path string) {
	if slices.Contains(s.queue, path) {
		return
	}
	s.queue = append(s.queue, path)
	select {
	case s.wake <- struct{}{}:
	default:
	}
}
