package downloads

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	cdpbrowser "github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	cdpruntime "github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

const chromium = "/usr/bin/chromium"

// browser is a real one, without a window, that notes what it asks for and
// what it complains about.
type browser struct {
	context.Context
	dir  string      // that it saves files in
	done chan string // file names of finished downloads

	mu         sync.Mutex
	names      map[string]string // of downloads, by their id
	requests   []string
	complaints []string
}

func newBrowser(t *testing.T) *browser {
	t.Helper()
	if _, err := os.Stat(chromium); err != nil {
		t.Fatalf("%s is missing: install the Debian package chromium", chromium)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	flags := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(chromium), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(t.TempDir()), chromedp.WindowSize(1000, 800),
		chromedp.Flag("disable-quic", true), chromedp.Flag("no-first-run", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
	)
	ctx, cancel = chromedp.NewExecAllocator(ctx, flags...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	b := &browser{Context: ctx, dir: t.TempDir(), done: make(chan string, 10), names: map[string]string{}}
	if err := errors.Join(chromedp.Do(ctx), chromedp.Listen(ctx, b.hear), chromedp.ListenBrowser(ctx, b.hear)); err != nil {
		t.Fatal(err)
	}
	call(t, b, network.Enable, network.EnableParams{})
	call(t, b, cdplog.Enable, cdp.Empty{})
	call(t, b, cdpruntime.Enable, cdp.Empty{})
	if _, err := chromedp.CallBrowser(b, cdpbrowser.SetDownloadBehavior, cdpbrowser.SetDownloadBehaviorParams{
		Behavior: cdpbrowser.SetDownloadBehaviorBehaviorAllow, DownloadPath: b.dir, EventsEnabled: new(true),
	}); err != nil {
		t.Fatal(err)
	}
	return b
}

func call[P, R any](t *testing.T, b *browser, command cdp.Command[P, R], params P) R {
	t.Helper()
	result, err := chromedp.Call(b, command, params)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func (b *browser) hear(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		b.requests = append(b.requests, e.Request.URL)
	case *cdplog.EventEntryAdded:
		b.complaints = append(b.complaints, e.Entry.Text)
	case *cdpruntime.EventConsoleAPICalled:
		b.complaints = append(b.complaints, "console."+string(e.Type))
	case *cdpruntime.EventExceptionThrown:
		b.complaints = append(b.complaints, e.ExceptionDetails.Text)
	case *cdpbrowser.EventDownloadWillBegin:
		b.names[e.GUID] = e.SuggestedFilename
	case *cdpbrowser.EventDownloadProgress:
		if e.State == cdpbrowser.DownloadProgressStateCompleted {
			b.done <- b.names[e.GUID]
		}
	}
}

func (b *browser) run(t *testing.T, actions ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	if err := chromedp.Do(b, actions...); err != nil {
		t.Fatal(err)
	}
}

// evaluate returns the value of an expression on the page.
func evaluate[T any](t *testing.T, b *browser, expression string) T {
	t.Helper()
	value, err := chromedp.Run(b, chromedp.Evaluate[T](expression))
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// downloaded waits for a file, and checks what came.
func (b *browser) downloaded(t *testing.T, s *shop) {
	t.Helper()
	select {
	case name := <-b.done:
		got, err := os.ReadFile(filepath.Join(b.dir, name))
		if err != nil || name != "office.img" || !bytes.Equal(got, s.content) {
			t.Errorf("the browser saved %d bytes as %q, %v", len(got), name, err)
		}
		_ = os.Remove(filepath.Join(b.dir, name))
	case <-b.Done():
		t.Fatal("no download has finished")
	}
}

// (chromedp looks at what is visible with scripts, which the page forbids.)
//
// In a browser the page loads without complaint, asks nobody for anything, and
// starts nothing until the button is used, by mouse or by keyboard.
func TestInBrowser(t *testing.T) {
	s := newShop(t)
	b := newBrowser(t)
	b.run(t, chromedp.Navigate(s.page()), chromedp.WaitReady("button"))
	for expression, want := range map[string]string{
		`document.title`:                                                     "Download Office LTSC Professional Plus",
		`document.documentElement.lang`:                                      "en",
		`document.querySelector("main h1").textContent`:                      "Office LTSC Professional Plus",
		`document.querySelectorAll("main, h1").length + ""`:                  "2",
		`document.scripts.length + ""`:                                       "0",
		`getComputedStyle(document.querySelector("button")).backgroundColor`: "rgb(29, 79, 145)", // the style is applied
	} {
		if got := evaluate[string](t, b, expression); got != want {
			t.Errorf("%s is %q, want %q", expression, got, want)
		}
	}
	time.Sleep(300 * time.Millisecond) // for what a browser would do by itself
	b.check(t, s)
	s.notBegun("opening the page")

	const middle = `(r => [r.x + r.width/2, r.y + r.height/2])(document.querySelector("button").getBoundingClientRect())`
	at := evaluate[[]float64](t, b, middle)
	b.run(t, chromedp.MouseClickXY(at[0], at[1]))
	b.downloaded(t, s)
	if s.sub().Status.Download.FirstDownloadedAt == nil {
		t.Error("the button did not start the clock")
	}

	s.token = s.newToken()
	b.run(t, chromedp.Navigate(s.page()), chromedp.WaitReady("button"), chromedp.KeyEvent(kb.Tab))
	if got := evaluate[string](t, b, `document.activeElement.tagName + " " + getComputedStyle(document.activeElement).outlineStyle`); got != "BUTTON solid" {
		t.Errorf("Tab goes to %s, want the button with a visible outline", got)
	}
	s.notBegun("focusing the button")
	b.run(t, chromedp.KeyEvent(kb.Enter))
	b.downloaded(t, s)
	b.check(t, s)
}

// check fails if the browser asked for more than the link, or complained.
func (b *browser) check(t *testing.T, s *shop) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, url := range b.requests {
		if !strings.HasPrefix(url, s.url+"/d/") {
			t.Errorf("the browser asked for %s", url)
		}
	}
	if len(b.requests) == 0 || len(b.complaints) > 0 {
		t.Errorf("%d requests, complaints: %v", len(b.requests), b.complaints)
	}
}

// On a phone nothing is wider than the screen, and dark is dark.
func TestOnPhone(t *testing.T) {
	s := newShop(t)
	b := newBrowser(t)
	call(t, b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}}})
	b.run(t, chromedp.EmulateViewport(320, 640, chromedp.EmulateMobile), chromedp.Navigate(s.page()), chromedp.WaitReady("button"))
	if got := evaluate[int](t, b, `document.documentElement.scrollWidth`); got > 320 {
		t.Errorf("it is %d pixels wide", got)
	}
	if got := evaluate[string](t, b, `getComputedStyle(document.body).backgroundColor`); got != "rgb(18, 21, 27)" {
		t.Errorf("the background is %s", got)
	}
	b.screenshot(t, "phone-")
	b.check(t, s)
}

// TestScreenshot writes the picture of the page in the documentation, if
// $SCREENSHOT says where.
func TestScreenshot(t *testing.T) {
	s := newShop(t)
	b := newBrowser(t)
	b.run(t, chromedp.EmulateViewport(1000, 800), chromedp.Navigate(s.page()), chromedp.WaitReady("button"))
	b.screenshot(t, "")
	s.want("download", s.ask("GET", s.file()), 200, "")
	b.run(t, chromedp.Navigate(s.page()), chromedp.WaitReady("button"))
	b.screenshot(t, "started-")
	s.at(5 * day)
	b.run(t, chromedp.Navigate(s.page()), chromedp.WaitReady("pre"))
	b.screenshot(t, "expired-")
}

// screenshot writes one, the others than the documented one into the folder of
// $SCREENSHOTS.
func (b *browser) screenshot(t *testing.T, prefix string) {
	t.Helper()
	path := os.Getenv("SCREENSHOT")
	if prefix != "" {
		path = os.Getenv("SCREENSHOTS")
		if path != "" {
			path = filepath.Join(path, prefix+"page.png")
		}
	}
	if path == "" {
		return
	}
	png := call(t, b, page.CaptureScreenshot, page.CaptureScreenshotParams{}).Data
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, png, 0o600); err != nil {
		t.Fatal(err)
	}
}
