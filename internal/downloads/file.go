package downloads

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"path"
	"strings"
	"time"
	"unicode"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

const (
	// maxRanges is how many parts of a file one request can ask for. Each is
	// another read of the store.
	maxRanges = 16
	// maxAttempts bounds the retries when somebody else writes status.
	maxAttempts = 20
)

func (s *Service) serveFile(w *stream, r *http.Request, token string) {
	if r.Method == http.MethodGet && isPrefetch(r) {
		s.refuse(w, r, prefetched)
		return
	}
	select {
	case s.streams <- struct{}{}:
		defer func() { <-s.streams }()
	default:
		s.refuse(w, r, tooManyStreams)
		return
	}
	l, content, err := s.open(w, r, token)
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	defer content.Close()

	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": fileName(l.build.Artifact)}))
	if r.Method == http.MethodHead {
		http.ServeContent(w, r, "", time.Time{}, content)
		return
	}
	logger := log.FromContext(r.Context()).WithValues("namespace", l.sub.Namespace, "name", l.sub.Name)
	logger.Info("download begins")
	streaming.Inc()
	defer streaming.Dec()
	w.count = func(n int) { bytesServed.Add(float64(n)) }
	http.ServeContent(w, r, "", time.Time{}, content)
	logger.Info("download ends", "code", w.code, "bytes", w.bytes)
}

// isPrefetch recognises a browser that fetches what nobody has asked for yet.
func isPrefetch(r *http.Request) bool {
	return strings.Contains(strings.ToLower(r.Header.Get("Sec-Purpose")), "prefetch") ||
		strings.EqualFold(r.Header.Get("Purpose"), "prefetch")
}

// open does all that can fail before the first byte: it finds the link, opens
// its file, and has the first download on record.
func (s *Service) open(w *stream, r *http.Request, token string) (*link, io.ReadSeekCloser, error) {
	ctx, cancel := context.WithTimeout(r.Context(), s.APITimeout)
	defer cancel()
	l, err := s.find(ctx, token)
	if err != nil {
		return nil, nil, err
	}
	f, err := s.Artifacts.Look(ctx, l.build.Artifact, l.build.SHA256)
	if err != nil {
		return nil, nil, notReady(l, err)
	}
	content, err := s.Artifacts.Reader(r.Context(), f)
	if err != nil {
		return nil, nil, notReady(l, err)
	}
	w.Header().Set("ETag", `"`+f.SHA256+`"`)
	if strings.Count(r.Header.Get("Range"), ",") >= maxRanges {
		r.Header.Del("Range") // a server may ignore it, and sends the whole then
	}
	if r.Method == http.MethodGet && sendsContent(w.Header(), r, f.Size) {
		l, err = s.recordFirst(ctx, l)
	}
	if err != nil {
		_ = content.Close()
		return nil, nil, err
	}
	return l, content, nil
}

// sendsContent tells whether the answer to a GET holds any of the content:
// what a client has already, or a range beyond the end, is no download.
func sendsContent(h http.Header, r *http.Request, size int64) bool {
	head := r.Clone(r.Context())
	head.Method = http.MethodHead
	try := &stream{ResponseWriter: dryRun(h.Clone()), conn: http.NewResponseController(dryRun{})}
	try.Header().Set("Content-Type", "application/octet-stream")
	http.ServeContent(try, head, "", time.Time{}, io.NewSectionReader(nil, 0, size))
	return try.code == http.StatusOK || try.code == http.StatusPartialContent
}

// dryRun is an answer that goes nowhere.
type dryRun http.Header

func (d dryRun) Header() http.Header         { return http.Header(d) }
func (d dryRun) Write(p []byte) (int, error) { return len(p), nil }
func (d dryRun) WriteHeader(int)             {}

// recordFirst has the first download of a link in status before anything of
// the file is sent. It returns the link as it is on record, whoever wrote it.
func (s *Service) recordFirst(ctx context.Context, l *link) (*link, error) {
	key, hash := client.ObjectKeyFromObject(l.sub), l.sub.Status.Download.TokenHash
	for range maxAttempts {
		d := l.sub.Status.Download
		if d.FirstDownloadedAt != nil {
			return l, nil
		}
		before := l.sub.DeepCopy()
		d.FirstDownloadedAt = &metav1.Time{Time: l.at}
		d.ExpiresAt = &metav1.Time{Time: l.at.Add(l.lifetime)}
		patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
		err := s.Client.Status().Patch(ctx, l.sub, patch)
		if err == nil {
			return l, nil
		}
		if !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) {
			return nil, fmt.Errorf("recording the first download of SoftwareSubscription %s: %w", key, withoutURL(err))
		}
		if l, err = s.decide(ctx, key, hash); err != nil {
			return nil, err
		}
	}
	return nil, errors.New("recording the first download: others keep writing the same status")
}

// fileName is the name to save a file under: the last part of its path,
// without anything that a browser, a shell or a file system could take for
// more than a name.
func fileName(artifact string) string {
	clean := strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r) || strings.ContainsRune(" ._-+()[],@", r) {
			return r
		}
		return '_'
	}, path.Base(artifact))
	clean = strings.Trim(strings.TrimLeft(clean, ".- "), " ")
	if clean == "" {
		return "download"
	}
	return clean
}
