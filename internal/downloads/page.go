package downloads

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"net/http"
	"time"

	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

var (
	//go:embed page.html
	pageHTML string
	//go:embed page.css
	pageCSS string

	pages = template.Must(template.New("page").Funcs(template.FuncMap{
		"style": func() template.CSS { return template.CSS(pageCSS) },
	}).Parse(pageHTML))

	contentSecurityPolicy = "default-src 'none'; style-src '" + styleHash() + "'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)

func styleHash() string {
	sum := sha256.Sum256([]byte(pageCSS))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

// view is what a page shows: a download, or why there is none.
type view struct {
	Title    string
	Text     string
	Command  string // that helps
	Download *download
}

type download struct {
	Version, Language, Architecture string
	File, Size, SHA256              string
	Deadline                        string
	Action                          string // of the button, relative to the page; "" while the file cannot be had
	Notice                          string // why it cannot
}

func (s *Service) servePage(w *stream, r *http.Request, token string) {
	ctx, cancel := context.WithTimeout(r.Context(), s.APITimeout)
	defer cancel()
	l, err := s.find(ctx, token)
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	link := l.sub.Status.Download
	d := &download{
		Version: link.Version, Language: link.Language, Architecture: string(link.Architecture),
		File: fileName(l.build.Artifact), SHA256: l.build.SHA256, Deadline: l.deadline(),
	}
	f, err := s.Artifacts.Look(ctx, l.build.Artifact, l.build.SHA256)
	if err == nil {
		d.Action, d.Size = token+"/file", size(f.Size)
	} else {
		d.Notice = notReady(l, err).text
	}
	render(w, http.StatusOK, view{Title: l.product.Spec.DisplayName, Download: d})
}

// deadline says until when a link works.
func (l *link) deadline() string {
	if l.sub.Status.Download.FirstDownloadedAt != nil {
		return "The link works until " + instant(l.until) + "."
	}
	text := "The link works for " + span(l.lifetime) + " from the first download. Opening this page does not count as one."
	if !l.until.IsZero() {
		text += " The subscription, and the link with it, ends at " + instant(l.until) + "."
	}
	return text
}

func render(w *stream, code int, v view) {
	var page bytes.Buffer
	if err := pages.Execute(&page, v); err != nil {
		panic(fmt.Errorf("showing a page: %w", err)) // a mistake in page.html
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(code)
	_, _ = w.Write(page.Bytes()) // a client that left misses nothing
}

func instant(t time.Time) string { return t.UTC().Format("2 January 2006, 15:04:05 UTC") }

// span writes a duration in the largest unit that it is a multiple of.
func span(d time.Duration) string {
	unit, name := time.Second, "second"
	switch {
	case d%(24*time.Hour) == 0:
		unit, name = 24*time.Hour, "day"
	case d%time.Hour == 0:
		unit, name = time.Hour, "hour"
	case d%time.Minute == 0:
		unit, name = time.Minute, "minute"
	}
	if d == unit {
		return "1 " + name
	}
	return fmt.Sprintf("%d %ss", d/unit, name)
}

// size writes a number of bytes for people, and exactly.
func size(n int64) string {
	exact := message.NewPrinter(language.English).Sprintf("%d bytes", n)
	value, unit := float64(n), ""
	for _, u := range []string{"kB", "MB", "GB", "TB"} {
		if value < 1000 {
			break
		}
		value, unit = value/1000, u
	}
	if unit == "" {
		return exact
	}
	return fmt.Sprintf("%.1f %s (%s)", value, unit, exact)
}
