package downloads

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/test/apiproxy"
)

// big is more than the buffers of a connection hold, so that a download whose
// reader has stopped is still running.
const big = 24 << 20

// withContent gives the shop a file of its own.
func withContent(content []byte) func(*shop) {
	return func(s *shop) {
		s.put(content)
		s.sum = sumOf(content)
		s.setProduct(func(p *v1alpha1.Product) { p.Spec.Software.Versions[0].Builds[0].SHA256 = s.sum })
	}
}

func (s *shop) setProduct(change func(*v1alpha1.Product)) {
	s.t.Helper()
	p := s.product()
	if err := live.Get(s.t.Context(), client.ObjectKeyFromObject(p), p); err != nil {
		s.t.Fatal(err)
	}
	change(p)
	if err := live.Update(s.t.Context(), p); err != nil {
		s.t.Fatal(err)
	}
	s.awaitCache(p)
}

// When the first byte arrives, the instant of the first download is on record
// at the API server, to the second, and never changes again.
func TestFirstDownloadIsOnRecord(t *testing.T) {
	s := newShop(t, withContent(random(big)))
	s.at(time.Hour)
	res := s.send("GET", s.file())
	defer res.Body.Close()
	if _, err := io.ReadFull(res.Body, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	want := s.began.Add(time.Hour)
	check := func(when string) {
		t.Helper()
		if d := s.sub().Status.Download; d.FirstDownloadedAt == nil || !d.FirstDownloadedAt.Time.Equal(want) || !d.ExpiresAt.Time.Equal(want.Add(5*day)) {
			t.Errorf("%s: first downloaded at %v, expires at %v", when, d.FirstDownloadedAt, d.ExpiresAt)
		}
	}
	check("at the first byte")
	s.at(2 * time.Hour)
	s.want("a second download", s.ask("GET", s.file()), 200, "")
	check("after the second download")
}

// If it cannot be recorded, nothing is sent.
func TestNothingWithoutRecord(t *testing.T) {
	s := newShop(t, func(s *shop) { s.svc.APITimeout = time.Second })
	defer proxy.SetHook(apiproxy.Hook{})
	proxy.SetHook(apiproxy.Hook{Before: func(w apiproxy.Write) apiproxy.Action {
		if w.Namespace == s.name {
			return apiproxy.DropBefore
		}
		return apiproxy.Forward
	}})
	a := s.ask("GET", s.file())
	s.want("file", a, 503, "cannot be checked at the moment")
	if a.Header.Get("ETag") != "" {
		t.Error("the refusal has the ETag of the file")
	}
	s.notBegun("a refused download")
	proxy.SetHook(apiproxy.Hook{Before: func(w apiproxy.Write) apiproxy.Action { return apiproxy.Respond409 }})
	s.want("others keep writing", s.ask("GET", s.file()), 503, "cannot be checked at the moment")
	s.notBegun("a refused download")
}

// hurried is a clock on which each look is a second later.
type hurried struct {
	mu  sync.Mutex
	now time.Time
}

func (c *hurried) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(time.Second)
	return c.now
}

func (c *hurried) Since(t time.Time) time.Duration { return c.Now().Sub(t) }

// However many begin at once, one instant is recorded, once, before any of
// them has its first byte.
func TestManyFirstReaders(t *testing.T) {
	s := newShop(t, func(s *shop) { s.svc.Clock = &hurried{now: s.began} })
	proxy.Reset()
	const readers = 12
	seen := make(chan string, readers)
	for range readers {
		go func() {
			res, err := http.Get(s.file())
			if err != nil {
				seen <- err.Error()
				return
			}
			defer res.Body.Close()
			_, _ = io.ReadFull(res.Body, make([]byte, 1))
			sub := new(v1alpha1.SoftwareSubscription)
			err = live.Get(context.Background(), client.ObjectKey{Namespace: s.name, Name: s.name}, sub)
			first := fmt.Sprint(res.StatusCode, err, sub.Status.Download.FirstDownloadedAt, sub.Status.Download.ExpiresAt)
			rest, err := io.ReadAll(res.Body)
			if err != nil || len(rest)+1 != len(s.content) {
				first = fmt.Sprint(len(rest), err)
			}
			seen <- first
		}()
	}
	d := map[string]int{}
	for range readers {
		d[<-seen]++
	}
	if len(d) != 1 || s.sub().Status.Download.FirstDownloadedAt == nil {
		t.Errorf("they saw different things: %v", d)
	}
	recorded := 0
	for _, w := range proxy.Writes() {
		if w.Namespace == s.name && w.Status == http.StatusOK {
			recorded++
		}
	}
	if recorded != 1 {
		t.Errorf("it was recorded %d times", recorded)
	}
}

// What others do between our look and our record counts.
func TestOvertaken(t *testing.T) {
	for name, tc := range map[string]struct {
		meanwhile func(*shop)
		code      int
		says      string
	}{
		"status was written for another reason": {func(s *shop) {
			s.setStatus(func(st *v1alpha1.SoftwareSubscriptionStatus) { st.Message = "hello" })
		}, 200, ""},
		"the link was replaced": {func(s *shop) { s.newToken() }, 404, "not known"},
		"it was cancelled": {func(s *shop) {
			s.setSpec(func(spec *v1alpha1.SoftwareSubscriptionSpec) { spec.Cancelled = true })
		}, 410, "has ended"},
		"it was deleted": {func(s *shop) { s.delete(s.sub()) }, 404, "not known"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShop(t)
			var once sync.Once
			defer proxy.SetHook(apiproxy.Hook{})
			proxy.SetHook(apiproxy.Hook{Before: func(apiproxy.Write) apiproxy.Action {
				once.Do(func() { tc.meanwhile(s) })
				return apiproxy.Forward
			}})
			s.want("file", s.ask("GET", s.file()), tc.code, tc.says)
			switch {
			case tc.code == 200:
				if sub := s.sub(); sub.Status.Download.FirstDownloadedAt == nil || sub.Status.Message != "hello" {
					t.Errorf("status is %+v", sub.Status)
				}
			case name != "it was deleted":
				s.notBegun("a refused download")
			}
		})
	}
}

// Nothing but a download starts the clock.
func TestStartsNothing(t *testing.T) {
	s := newShop(t)
	etag := `"` + s.sum + `"`
	for name, tc := range map[string]struct {
		method, url string
		header      []string
		code        int
	}{
		"the page":                           {"GET", s.page(), nil, 200},
		"the page, by a mail scanner":        {"GET", s.page(), []string{"User-Agent", "Mozilla/5.0 (Windows NT 10.0) SafeLinks"}, 200},
		"the page, by a chat program":        {"GET", s.page(), []string{"User-Agent", "Slackbot-LinkExpanding 1.0"}, 200},
		"the page, prefetched":               {"GET", s.page(), []string{"Sec-Purpose", "prefetch;prerender"}, 200},
		"HEAD of the page":                   {"HEAD", s.page(), nil, 200},
		"HEAD of the file":                   {"HEAD", s.file(), nil, 200},
		"HEAD of a part":                     {"HEAD", s.file(), []string{"Range", "bytes=0-9"}, 206},
		"HEAD of the file, prefetched":       {"HEAD", s.file(), []string{"Purpose", "prefetch"}, 200},
		"the file, prefetched":               {"GET", s.file(), []string{"Sec-Purpose", "prefetch"}, 403},
		"the file, prefetched and prerender": {"GET", s.file(), []string{"Sec-Purpose", "prefetch;prerender"}, 403},
		"the file, prefetched as of old":     {"GET", s.file(), []string{"Purpose", "Prefetch"}, 403},
		"a file that the client has":         {"GET", s.file(), []string{"If-None-Match", etag}, 304},
		"another file than there is":         {"GET", s.file(), []string{"If-Match", `"other"`}, 412},
		"a part beyond the end":              {"GET", s.file(), []string{"Range", "bytes=99999999-"}, 416},
	} {
		if a := s.ask(tc.method, tc.url, tc.header...); a.StatusCode != tc.code {
			t.Errorf("%s: got %d, want %d", name, a.StatusCode, tc.code)
		}
		s.notBegun(name)
	}
	head := s.ask("HEAD", s.file())
	if head.ContentLength != int64(len(s.content)) || head.Header.Get("ETag") != etag {
		t.Errorf("HEAD tells %d bytes and ETag %s", head.ContentLength, head.Header.Get("ETag"))
	}
}

func TestRanges(t *testing.T) {
	s := newShop(t)
	n := len(s.content)
	etag := `"` + s.sum + `"`
	for name, tc := range map[string]struct {
		header   []string
		code     int
		from, to int // of the content
	}{
		"everything":                         {nil, 200, 0, n},
		"the first byte":                     {[]string{"Range", "bytes=0-0"}, 206, 0, 1},
		"a middle part":                      {[]string{"Range", "bytes=1000000-2000000"}, 206, 1000000, 2000001},
		"the rest":                           {[]string{"Range", "bytes=3000000-"}, 206, 3000000, n},
		"the last bytes":                     {[]string{"Range", "bytes=-10"}, 206, n - 10, n},
		"a part that goes beyond the end":    {[]string{"Range", fmt.Sprintf("bytes=%d-%d", n-1, n+5)}, 206, n - 1, n},
		"a resumed download":                 {[]string{"Range", "bytes=5-", "If-Range", etag}, 206, 5, n},
		"a download of another file resumed": {[]string{"Range", "bytes=5-", "If-Range", `"` + sumOf(nil) + `"`}, 200, 0, n},
		"resumed by a date, which we give none": {
			[]string{"Range", "bytes=5-", "If-Range", "Sat, 21 Nov 2026 13:00:00 GMT"}, 200, 0, n},
		"seventeen parts":           {[]string{"Range", "bytes=0-0" + strings.Repeat(",2-2", 16)}, 200, 0, n},
		"a unit that nobody knows":  {[]string{"Range", "pages=1-2"}, 416, 0, 0},
		"a part beyond the end":     {[]string{"Range", fmt.Sprintf("bytes=%d-", n)}, 416, 0, 0},
		"a part that ends too soon": {[]string{"Range", "bytes=9-1"}, 416, 0, 0},
	} {
		a := s.ask("GET", s.file(), tc.header...)
		if a.StatusCode != tc.code {
			t.Errorf("%s: got %d, want %d", name, a.StatusCode, tc.code)
			continue
		}
		if tc.code != 416 && a.body != string(s.content[tc.from:tc.to]) {
			t.Errorf("%s: got %d bytes, which are not the %d wanted", name, len(a.body), tc.to-tc.from)
		}
		wantRange := map[int]string{200: "", 206: fmt.Sprintf("bytes %d-%d/%d", tc.from, tc.to-1, n)}[tc.code]
		if got := a.Header.Get("Content-Range"); tc.code != 416 && got != wantRange {
			t.Errorf("%s: Content-Range is %q", name, got)
		}
		if tc.code != 416 && a.Header.Get("Content-Type") != "application/octet-stream" {
			t.Errorf("%s: Content-Type is %q", name, a.Header.Get("Content-Type"))
		}
	}
}

func TestSeveralRanges(t *testing.T) {
	s := newShop(t)
	a := s.ask("GET", s.file(), "Range", "bytes=0-9,2000000-2000009,-5")
	kind, params, err := mime.ParseMediaType(a.Header.Get("Content-Type"))
	if err != nil || a.StatusCode != http.StatusPartialContent || kind != "multipart/byteranges" {
		t.Fatalf("got %d, %s, %v", a.StatusCode, kind, err)
	}
	var got []byte
	for r := multipart.NewReader(strings.NewReader(a.body), params["boundary"]); ; {
		part, err := r.NextPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(part)
		got = append(got, b...)
	}
	n := len(s.content)
	if want := bytes.Join([][]byte{s.content[:10], s.content[2000000:2000010], s.content[n-5:]}, nil); !bytes.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

// A download that was cut goes on where it was, and a second replica would
// give the same ETag.
func TestResume(t *testing.T) {
	s := newShop(t)
	res := s.send("GET", s.file())
	half := make([]byte, len(s.content)/2)
	if _, err := io.ReadFull(res.Body, half); err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	a := s.ask("GET", s.file(), "Range", fmt.Sprintf("bytes=%d-", len(half)), "If-Range", res.Header.Get("ETag"))
	if a.StatusCode != http.StatusPartialContent || string(half)+a.body != string(s.content) {
		t.Errorf("got %d and %d bytes", a.StatusCode, len(a.body))
	}
}

// A download that began in time goes on after the deadline. Asking for another
// part of it then is too late.
func TestDeadlineDuringDownload(t *testing.T) {
	s := newShop(t, withContent(random(big)))
	res := s.send("GET", s.file())
	defer res.Body.Close()
	first := make([]byte, 1000)
	if _, err := io.ReadFull(res.Body, first); err != nil {
		t.Fatal(err)
	}
	s.at(5 * day)
	s.want("a new request", s.ask("GET", s.file(), "Range", "bytes=1000-"), 410, "This link has expired")
	rest, err := io.ReadAll(res.Body)
	if err != nil || !bytes.Equal(append(first, rest...), s.content) {
		t.Errorf("the download that runs: %v after %d bytes", err, len(rest))
	}
}

// The message of an expired link holds the command that gives a fresh one.
func TestCommandForFreshLink(t *testing.T) {
	s := newShop(t, func(s *shop) {
		s.setSpec(func(spec *v1alpha1.SoftwareSubscriptionSpec) { spec.Download = &v1alpha1.DownloadChoice{Renewal: 7} })
	})
	s.want("download", s.ask("GET", s.file()), 200, "")
	s.at(5 * day)
	want := fmt.Sprintf("kubectl -n %s patch softwaresubscription %s --type=merge -p &#39;{&#34;spec&#34;:{&#34;download&#34;:{&#34;renewal&#34;:8}}}&#39;", s.name, s.name)
	s.want("page", s.ask("GET", s.page()), 410, want)
	if out, err := plane.Run(t.Context(), "-n", s.name, "patch", "softwaresubscription", s.name, "--type=merge", "-p", `{"spec":{"download":{"renewal":8}}}`); err != nil {
		t.Error(out, err)
	}
}

// Without the file that the catalogue describes nothing is served, and nothing
// recorded.
func TestArtifactNotReady(t *testing.T) {
	path := func(s *shop) string { return filepath.Join(s.dir, artifact) }
	for name, tc := range map[string]struct {
		given func(*shop)
		says  string
	}{
		"the file is missing":          {func(s *shop) { os.Remove(path(s)) }, "is missing on the server"},
		"the file is another one":      {func(s *shop) { s.put([]byte("other")) }, "is not the one that the catalogue describes"},
		"the store is not there":       {func(s *shop) { os.RemoveAll(s.dir) }, "cannot read its files"},
		"the file was swapped":         {func(s *shop) { s.verify(); s.put([]byte("other")) }, "is not the one that the catalogue describes"},
		"the file grew by one byte":    {func(s *shop) { s.verify(); s.put(append(s.content, 0)) }, "is not the one that the catalogue describes"},
		"the file went after its turn": {func(s *shop) { s.verify(); os.Remove(path(s)) }, "is missing on the server"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShopClosed(t)
			s.start()
			tc.given(s)
			for range 200 { // until it was read through
				if !strings.Contains(s.ask("GET", s.file()).body, "being checked") {
					break
				}
				time.Sleep(5 * time.Millisecond)
			}
			file := s.ask("GET", s.file())
			s.want("file", file, 503, tc.says)
			if !strings.Contains(file.body, "The time to download has not begun") {
				t.Error("it does not say that nothing has begun")
			}
			if page := s.ask("GET", s.page()); page.StatusCode != http.StatusOK || !strings.Contains(page.body, tc.says) || strings.Contains(page.body, "<button") {
				t.Errorf("page: got %d and %s", page.StatusCode, page.body)
			}
			s.want("HEAD", s.ask("HEAD", s.file()), 503, "")
			s.notBegun(name)
		})
	}
}

// While a file is being verified the answer is to come again.
func TestArtifactBeingVerified(t *testing.T) {
	s := newShopClosed(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { _ = s.svc.serve(ctx, l) }() // and nobody runs the store
	s.url = "http://" + l.Addr().String()
	s.want("file", s.ask("GET", s.file()), 503, "The file is being checked")
	s.notBegun("a refused download")
	go func() { _ = s.store.Start(ctx) }()
	s.verify()
	s.want("file", s.ask("GET", s.file()), 200, "")
}

// A service verifies what the catalogue offers before anybody asks.
func TestWarm(t *testing.T) {
	s := newShopClosed(t)
	s.awaitCache(s.product())
	s.start()
	select {
	case <-s.told:
	case <-time.After(10 * time.Second):
		t.Fatal("it does not")
	}
}

// A file that is swapped during a download ends it: what was sent is of the
// good file, and it is not complete.
func TestSwappedDuringDownload(t *testing.T) {
	good := bytes.Repeat([]byte("good"), big/4)
	s := newShop(t, withContent(good))
	res := s.send("GET", s.file())
	defer res.Body.Close()
	if _, err := io.ReadFull(res.Body, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	s.put(bytes.Repeat([]byte("evil"), big/4))
	rest, err := io.ReadAll(res.Body)
	if err == nil || bytes.ContainsAny(rest, "evil") {
		t.Errorf("got %d more bytes and %v", len(rest), err)
	}
	a := s.send("GET", s.file(), "Range", "bytes=8-")
	a.Body.Close()
	if a.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("asking for more: got %d", a.StatusCode)
	}
}

// A client that stands still is cut off, and gives its place to others.
func TestHangingClient(t *testing.T) {
	s := newShop(t, withContent(random(big)), func(s *shop) { s.svc.StallTimeout, s.svc.MaxStreams = 300*time.Millisecond, 1 })
	res := s.send("GET", s.file())
	defer res.Body.Close()
	full := s.ask("GET", s.file())
	s.want("a second download", full, 503, "Too many downloads")
	s.want("the page meanwhile", s.ask("GET", s.page()), 200, "")
	for deadline := time.Now().Add(10 * time.Second); ; {
		again := s.ask("GET", s.file(), "Range", "bytes=0-9")
		if again.StatusCode == http.StatusPartialContent {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("it was not cut off")
		}
		time.Sleep(20 * time.Millisecond)
	}
	if n, err := io.Copy(io.Discard, res.Body); err == nil {
		t.Errorf("the hanging client got all of its %d bytes", n)
	}
}

// A slow client is not a hanging one.
func TestSlowClient(t *testing.T) {
	s := newShop(t, withContent(random(8<<20)), func(s *shop) { s.svc.StallTimeout = time.Second })
	res := s.send("GET", s.file())
	defer res.Body.Close()
	began, got := time.Now(), 0
	for buf := make([]byte, 1<<20); ; {
		n, err := io.ReadFull(res.Body, buf)
		if got += n; err != nil {
			break
		}
		time.Sleep(300 * time.Millisecond) // so much less than the timeout that a busy machine does not exceed it
	}
	if got != len(s.content) || time.Since(began) < 2*s.svc.StallTimeout {
		t.Errorf("got %d of %d bytes in %v", got, len(s.content), time.Since(began))
	}
}

// Who never ends his request is cut off, and who sends too long ones.
func TestEndlessRequests(t *testing.T) {
	s := newShop(t, func(s *shop) { s.svc.HeaderTimeout = 200 * time.Millisecond })
	for name, request := range map[string]string{
		"half a header":                    "GET / HTTP/1.1\r\nHost: ",
		"nothing":                          "",
		"a body that does not come":        "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n",
		"a body that comes in chunks":      "GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
		"64 KiB of headers":                "GET / HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 64<<10) + "\r\n\r\n",
		"nothing more after a good answer": "HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
	} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(conn, request)
		_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
		answer, err := io.ReadAll(bufio.NewReader(conn))
		if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() {
			t.Errorf("%s: still connected", name)
		}
		if name == "64 KiB of headers" && !strings.Contains(string(answer), " 431 ") {
			t.Errorf("%s: got %.100s", name, answer)
		}
		conn.Close()
	}
}

// What runs when the service stops may finish, but not for ever.
func TestStop(t *testing.T) {
	for name, tc := range map[string]struct {
		timeout time.Duration
		all     bool
	}{"in time": {10 * time.Second, true}, "too slow": {50 * time.Millisecond, false}} {
		t.Run(name, func(t *testing.T) {
			s := newShopClosed(t)
			withContent(random(big))(s)
			s.svc.StopTimeout = tc.timeout
			stop := s.start()
			s.verify()
			res := s.send("GET", s.file())
			defer res.Body.Close()
			stopped := make(chan error)
			go func() { stopped <- stop() }()
			if !tc.all {
				if err := <-stopped; err != nil {
					t.Error(err)
				}
			}
			rest, err := io.ReadAll(res.Body)
			if (err == nil && len(rest) == len(s.content)) != tc.all {
				t.Errorf("got %d bytes and %v", len(rest), err)
			}
			if tc.all {
				if err := <-stopped; err != nil {
					t.Error(err)
				}
			}
			if _, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://")); err == nil {
				t.Error("it still listens")
			}
		})
	}
}

// Each answer, whatever it is, has the headers that keep a link private.
func TestHeaders(t *testing.T) {
	s := newShop(t)
	for name, a := range map[string]answer{
		"page":        s.ask("GET", s.page()),
		"file":        s.ask("GET", s.file()),
		"part":        s.ask("GET", s.file(), "Range", "bytes=0-9"),
		"no part":     s.ask("GET", s.file(), "Range", "bytes=99999999-"),
		"not changed": s.ask("GET", s.file(), "If-None-Match", `"`+s.sum+`"`),
		"not met":     s.ask("GET", s.file(), "If-Match", `"x"`),
		"HEAD":        s.ask("HEAD", s.file()),
		"prefetch":    s.ask("GET", s.file(), "Purpose", "prefetch"),
		"root":        s.ask("GET", s.url),
		"POST":        s.ask("POST", s.page()),
		"robots":      s.ask("GET", s.url+"/robots.txt"),
		"unknown":     s.ask("GET", s.url+"/d/"+strings.Repeat("A", 43)),
	} {
		for header, want := range map[string]string{
			"Cache-Control":          "no-store",
			"Referrer-Policy":        "no-referrer",
			"X-Content-Type-Options": "nosniff",
			"X-Robots-Tag":           "noindex",
			"Content-Security-Policy": "default-src 'none'; style-src '" + styleHash() +
				"'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
		} {
			if got := a.Header.Get(header); got != want {
				t.Errorf("%s: %s is %q", name, header, got)
			}
		}
		if a.Header.Get("Last-Modified") != "" || a.Header.Get("Set-Cookie") != "" {
			t.Errorf("%s: it tells more than it needs to: %v", name, a.Header)
		}
	}
}

func TestFileName(t *testing.T) {
	for artifact, want := range map[string]string{
		"office/2024/en-US-x64.img":     "en-US-x64.img",
		"setup.exe":                     "setup.exe",
		"a/Bürosoftware 2024 (x64).iso": "Bürosoftware 2024 (x64).iso",
		"a/quote\"back\\slash.iso":      "quote_back_slash.iso",
		"a/line\r\nX-Evil: 1.iso":       "line__X-Evil_ 1.iso",
		"a/$(reboot)`x`';.iso":          "_(reboot)_x___.iso",
		"a/\u202egnp.exe":               "_gnp.exe",
		"a/.hidden":                     "hidden",
		"a/--help":                      "help",
		"a/% 41.iso":                    "_ 41.iso",
		"a/ .":                          "download",
		"a/\u65e5\u672c.iso":            "\u65e5\u672c.iso",
		"a/C:evil.iso":                  "C_evil.iso",
	} {
		if got := fileName(artifact); got != want {
			t.Errorf("%q: got %q, want %q", artifact, got, want)
		}
	}
}

// A browser saves the file under its name, whatever that is.
func TestDisposition(t *testing.T) {
	for artifact, want := range map[string]string{
		"a/en-US-x64.img":        "en-US-x64.img",
		"a/with space, (x).img":  "with space, (x).img",
		"a/Bürosoftware.iso":     "Bürosoftware.iso",
		"a/quote\"and;semi=.iso": "quote_and_semi_.iso",
	} {
		t.Run(artifact, func(t *testing.T) {
			s := newShopClosed(t)
			if err := os.MkdirAll(filepath.Join(s.dir, "a"), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(s.dir, artifact), s.content, 0o600); err != nil {
				t.Fatal(err)
			}
			s.setProduct(func(p *v1alpha1.Product) { p.Spec.Software.Versions[0].Builds[0].Artifact = artifact })
			s.start()
			for _, err := s.store.Look(t.Context(), artifact, s.sum); err != nil; _, err = s.store.Look(t.Context(), artifact, s.sum) {
				<-s.told
			}
			a := s.ask("GET", s.file())
			kind, params, err := mime.ParseMediaType(a.Header.Get("Content-Disposition"))
			if err != nil || a.StatusCode != http.StatusOK || kind != "attachment" || params["filename"] != want {
				t.Errorf("got %d and %q: %q, %v", a.StatusCode, a.Header.Get("Content-Disposition"), params["filename"], err)
			}
		})
	}
}

// Who operates the service sees what happens, by these names, and no label
// tells whose link it was.
func TestMetrics(t *testing.T) {
	s := newShop(t, withContent(random(big)))
	before := gather(t)
	res := s.send("GET", s.file())
	defer res.Body.Close()
	if got := gather(t)["license_operator_downloads_streams"] - before["license_operator_downloads_streams"]; got != 1 {
		t.Errorf("%v streams run", got)
	}
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		t.Fatal(err)
	}
	s.ask("GET", s.page())
	s.ask("GET", s.file(), "Range", "bytes=0-9")
	s.ask("GET", s.url+"/d/"+strings.Repeat("A", 43))
	want := map[string]float64{
		`license_operator_downloads_requests_total{code="200",handler="file"}`: 1,
		`license_operator_downloads_requests_total{code="206",handler="file"}`: 1,
		`license_operator_downloads_requests_total{code="200",handler="page"}`: 1,
		`license_operator_downloads_requests_total{code="404",handler="page"}`: 1,
		`license_operator_downloads_bytes_total`:                               big + 10,
		`license_operator_downloads_streams`:                                   0,
	}
	// What a client has received is counted a moment later.
	for range 200 {
		after, ok := gather(t), true
		for name, n := range want {
			ok = ok && after[name]-before[name] == n
		}
		if ok {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("before: %v, after: %v", before, gather(t))
}

func gather(t *testing.T) map[string]float64 {
	t.Helper()
	families, err := metrics.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), "license_operator_downloads_") {
			continue
		}
		for _, m := range f.GetMetric() {
			name := f.GetName()
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
			}
			if len(labels) > 0 {
				name += "{" + strings.Join(labels, ",") + "}"
			}
			got[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return got
}

// One line when a download begins and one when it ends, and neither tells the
// link.
func TestLogLines(t *testing.T) {
	s := newShop(t)
	s.want("file", s.ask("GET", s.file(), "Range", "bytes=0-99"), 206, "")
	for range 200 {
		var lines []string
		for line := range strings.Lines(logged.String()) {
			if strings.Contains(line, `"namespace":"`+s.name+`"`) && strings.Contains(line, `"name":"`+s.name+`"`) {
				lines = append(lines, line)
			}
		}
		if len(lines) == 2 && strings.Contains(lines[0], "download begins") && strings.Contains(lines[1], `"code":206,"bytes":100`) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("they are not there")
}
