package artifacts

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// depot is a store in a folder, and who is told of its findings.
type depot struct {
	*Store
	t    *testing.T
	dir  string
	told chan string
}

// newDepot returns a store that verifies nothing until start.
func newDepot(t *testing.T) *depot {
	t.Helper()
	dir := t.TempDir()
	s, err := Open("file://" + dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	d := &depot{Store: s, t: t, dir: dir, told: make(chan string, 100)}
	s.Changed = func(path string) { d.told <- path }
	return d
}

// start runs the store until the test ends or stop is called.
func (d *depot) start() (stop func()) {
	ctx, cancel := context.WithCancel(d.t.Context())
	done := make(chan error)
	go func() { done <- d.Start(ctx); close(done) }()
	stop = func() {
		cancel()
		if err := <-done; err != nil {
			d.t.Error(err)
		}
	}
	d.t.Cleanup(stop)
	return stop
}

func (d *depot) write(path string, content []byte) (sum string) {
	d.t.Helper()
	file := filepath.Join(d.dir, path)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		d.t.Fatal(err)
	}
	if err := os.WriteFile(file, content, 0o600); err != nil {
		d.t.Fatal(err)
	}
	return sumOf(content)
}

func (d *depot) look(path, sum string, want error) File {
	d.t.Helper()
	f, err := d.Look(d.t.Context(), path, sum)
	if !errors.Is(err, want) {
		d.t.Fatalf("looking at %s: got %v, want %v", path, err, want)
	}
	return f
}

// hear waits until the store tells that it has something new to say.
func (d *depot) hear(path string) {
	d.t.Helper()
	select {
	case got := <-d.told:
		if got != path {
			d.t.Fatalf("told of %s, want %s", got, path)
		}
	case <-time.After(10 * time.Second):
		d.t.Fatalf("not told of %s", path)
	}
}

func (d *depot) silent() {
	d.t.Helper()
	select {
	case got := <-d.told:
		d.t.Fatalf("told of %s again", got)
	default:
	}
}

func sumOf(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

func random(size int) []byte {
	b := make([]byte, size)
	r := rand.NewChaCha8([32]byte{byte(size)})
	_, _ = r.Read(b)
	return b
}

// A file is verified once, and again only when it has changed.
func TestLook(t *testing.T) {
	d := newDepot(t)
	stop := d.start()
	content := random(3 << 20)
	sum := d.write("office/a.img", content)

	f := d.look("office/a.img", sum, ErrVerifying)
	if f.Size != 3<<20 || f.ModTime.IsZero() {
		t.Errorf("before it is verified its size and time are known: %+v", f)
	}
	d.hear("office/a.img")
	d.look("office/a.img", sum, nil)
	d.look("office/a.img", strings.Repeat("0", 64), ErrMismatch)
	d.look("office/b.img", sum, ErrMissing)
	d.look("office", sum, ErrMissing)
	// Nothing of that asked for another reading.
	stop()
	d.silent()
	if len(d.queue) != 0 {
		t.Errorf("still to verify: %v", d.queue)
	}

	d.write("office/a.img", content[1:])
	d.look("office/a.img", sum, ErrVerifying)
	d.start()
	d.hear("office/a.img")
	d.look("office/a.img", sum, ErrMismatch)
	if err := os.Remove(filepath.Join(d.dir, "office/a.img")); err != nil {
		t.Fatal(err)
	}
	d.look("office/a.img", sum, ErrMissing)
	d.write("office/a.img", content)
	d.look("office/a.img", sum, ErrVerifying)
	d.hear("office/a.img")
	d.look("office/a.img", sum, nil)
}

// Files are verified one after the other, in the order of asking.
func TestOrder(t *testing.T) {
	d := newDepot(t)
	var want, got []string
	for i := range 5 {
		path := fmt.Sprint(5 - i)
		d.look(path, d.write(path, random(i)), ErrVerifying)
		d.look(path, "", ErrVerifying)
		want = append(want, path)
	}
	d.start()
	for range want {
		got = append(got, <-d.told)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	d.silent()
}

// A verification that is interrupted has found nothing, and begins anew.
func TestInterrupted(t *testing.T) {
	d := newDepot(t)
	sum := d.write("big", random(1<<20))
	if err := os.Truncate(filepath.Join(d.dir, "big"), 1<<40); err != nil { // a terabyte of holes takes many minutes
		t.Fatal(err)
	}
	d.look("big", sum, ErrVerifying)
	stop := d.start()
	began := time.Now()
	stop()
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("stopping took %v", took)
	}
	d.look("big", sum, ErrVerifying)
	d.silent()
}

// A file that is still being written is nobody's news until it is complete.
func TestUpload(t *testing.T) {
	d := newDepot(t)
	content := random(1 << 20)
	d.write("new", content[:1000])
	if _, err := d.verifyWhile("new", func() { d.write("new", content) }); !errors.Is(err, ErrMismatch) {
		t.Fatalf("a file that changed while it was read: %v", err)
	}
	if d.queue = []string{"new"}; d.record("new", finding{}, true) || len(d.queue) != 1 {
		t.Error("it is news, or is not verified again")
	}
	d.start()
	d.hear("new")
	d.look("new", sumOf(content), nil)
}

// verifyWhile does something after the file was opened.
func (d *depot) verifyWhile(path string, do func()) (finding, error) {
	f, err := d.stat(d.t.Context(), path)
	if err != nil {
		d.t.Fatal(err)
	}
	r, err := d.open(d.t.Context(), f, 0)
	if err != nil {
		d.t.Fatal(err)
	}
	defer r.Close()
	do()
	_, err = io.Copy(io.Discard, r)
	return finding{}, err
}

// A store that is not there is told when it is asked, and found once it is.
func TestStoreIsNotThereYet(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "later")
	s, err := Open("file://" + dir)
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Look(t.Context(), "a", sumOf(nil))
	want := "the artifact store file://" + dir + " cannot be read: "
	if err == nil || !strings.Contains(err.Error(), want) || !strings.HasSuffix(err.Error(), ": create it or set --artifacts") {
		t.Errorf("got %v", err)
	}
	for _, kind := range []error{ErrMissing, ErrMismatch, ErrVerifying} {
		if errors.Is(err, kind) {
			t.Errorf("it is not the file's fault, but: %v", err)
		}
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Look(t.Context(), "a", sumOf(nil)); !errors.Is(err, ErrMissing) {
		t.Errorf("got %v", err)
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Look(t.Context(), "a", sumOf(nil)); err == nil || errors.Is(err, ErrMissing) {
		t.Errorf("after the folder was removed: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// A file that cannot be read is tried again when asked for, and is news once.
func TestUnreadableFile(t *testing.T) {
	d := newDepot(t)
	sum := d.write("a", []byte("content"))
	d.look("a", sum, ErrVerifying)
	broken := finding{version: d.look("a", sum, ErrVerifying).version, err: errors.New("input/output error")}
	if !d.record("a", broken, false) {
		t.Error("the first failure is no news")
	}
	if _, err := d.Look(t.Context(), "a", sum); !errors.Is(err, broken.err) {
		t.Errorf("got %v", err)
	}
	if d.record("a", broken, false) {
		t.Error("the second failure is news, so who listens and looks again never rests")
	}
	_, _ = d.Look(t.Context(), "a", sum)
	d.start()
	d.hear("a")
	d.look("a", sum, nil)
}

func TestOpen(t *testing.T) {
	for url, want := range map[string]string{
		"file:///srv/artifacts":        "",
		"file:///srv/artifacts?x=y":    "",
		"file://./artifacts":           "",
		"s3://bucket?region=eu-west-1": "",
		"gs://bucket":                  "",
		"azblob://container":           "",
		"":                             "use a URL such as file:///srv/artifacts",
		"/srv/artifacts":               "use a URL such as file:///srv/artifacts",
		"ftp://example.com":            "none of file://, s3://, gs:// and azblob://",
		"file://srv/artifacts":         "use three slashes",
		"file://":                      "names no folder",
		"%":                            "is no URL",
		"https://me:secret@host/":      "https://me:xxxxx@host/",
	} {
		_, err := Open(url)
		if (err == nil) != (want == "") || (err != nil && !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v", url, err)
		}
	}
}

// Reader gives the content of the verified file, from anywhere.
func TestReader(t *testing.T) {
	d := newDepot(t)
	content := random(1 << 20)
	sum := d.write("a", content)
	f := d.look("a", sum, ErrVerifying)
	if _, err := d.Reader(t.Context(), f); !errors.Is(err, ErrMismatch) {
		t.Errorf("a file that was not verified could be opened: %v", err)
	}
	d.start()
	d.hear("a")
	f = d.look("a", sum, nil)
	r, err := d.Reader(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for _, step := range []struct {
		offset int64
		whence int
		want   int64
	}{{0, io.SeekEnd, 1 << 20}, {0, io.SeekStart, 0}, {-10, io.SeekEnd, 1<<20 - 10}, {1000, io.SeekStart, 1000}, {24, io.SeekCurrent, 1100 + 24}} {
		at, err := r.Seek(step.offset, step.whence)
		if err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 100)
		n, _ := io.ReadFull(r, got)
		if at > 1<<20 || !bytes.Equal(got[:n], content[at:min(at+100, 1<<20)]) || (step.whence != io.SeekCurrent && at != step.want) {
			t.Errorf("%+v: at %d, read %d bytes", step, at, n)
		}
	}
	if _, err := r.Seek(-1, io.SeekStart); err == nil {
		t.Error("it could be read from before its start")
	}
	wrong := f
	wrong.SHA256 = strings.Repeat("0", 64)
	if _, err := d.Reader(t.Context(), wrong); !errors.Is(err, ErrMismatch) {
		t.Errorf("it could be opened for another SHA-256: %v", err)
	}
}

// No byte of what replaced a verified file comes out of a reader, whichever
// way it was replaced and whenever.
func TestSwapped(t *testing.T) {
	for name, swap := range map[string]func(path string, content []byte) error{
		"another file was moved there": func(path string, content []byte) error {
			return errors.Join(os.WriteFile(path+".new", content, 0o600), os.Rename(path+".new", path))
		},
		"it was overwritten in place": func(path string, content []byte) error { return os.WriteFile(path, content, 0o600) },
		"it was removed":              func(path string, _ []byte) error { return os.Remove(path) },
	} {
		t.Run(name, func(t *testing.T) {
			d := newDepot(t)
			good, evil := bytes.Repeat([]byte("good"), 1<<18), bytes.Repeat([]byte("evil"), 1<<18)
			sum := d.write("a", good)
			d.look("a", sum, ErrVerifying)
			d.start()
			d.hear("a")
			f := d.look("a", sum, nil)
			r, err := d.Reader(t.Context(), f)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			if _, err := io.CopyN(io.Discard, r, 1000); err != nil {
				t.Fatal(err)
			}
			if err := swap(filepath.Join(d.dir, "a"), evil); err != nil {
				t.Fatal(err)
			}
			rest, err := io.ReadAll(r)
			if bytes.ContainsAny(rest, "evil") || (!errors.Is(err, ErrMismatch) && !errors.Is(err, ErrMissing)) {
				t.Errorf("reading on gave %d bytes and %v", len(rest), err)
			}
			if _, err := r.Seek(4000, io.SeekStart); err != nil {
				t.Fatal(err)
			}
			if n, err := r.Read(make([]byte, 10)); n > 0 || err == nil {
				t.Errorf("reading elsewhere gave %d bytes and %v", n, err)
			}
			if _, err := d.Reader(t.Context(), f); !errors.Is(err, ErrMismatch) && !errors.Is(err, ErrMissing) {
				t.Errorf("opening again: %v", err)
			}
		})
	}
}
