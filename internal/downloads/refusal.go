package downloads

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/artifacts"
)

// refusal is an answer without a download: what is wrong and what to do.
type refusal struct {
	code    int
	title   string
	text    string
	command string
	retry   time.Duration // when asking again may help; 0: it will not
	cause   error         // for the log, if it is for somebody who runs the service
}

func (r *refusal) Error() string { return r.title }

var (
	notFound   = &refusal{code: http.StatusNotFound, title: "Nothing is here", text: "Download links end with a token of 43 characters. Copy the whole link."}
	notAllowed = &refusal{code: http.StatusMethodNotAllowed, title: "Download links can only be read", text: "Open the link in a browser, or fetch it with GET."}
	unknown    = &refusal{code: http.StatusNotFound, title: "This link is not known",
		text: "It was replaced by a newer one, or it was not copied as a whole. The link that is valid now is in the Secret of the licence key, as downloadURL: ask whoever manages the subscription for it."}
	prefetched = &refusal{code: http.StatusForbidden, title: "This download was not asked for",
		text: "A program fetched it in advance. Nothing was started: open the link yourself."}
	tooManyStreams = &refusal{code: http.StatusServiceUnavailable, title: "Too many downloads are running", retry: time.Minute,
		text: "Try again in a minute."}
	tooManySearches = &refusal{code: http.StatusServiceUnavailable, title: "Too many unknown links are being asked for", retry: 5 * time.Second,
		text: "Try again in some seconds."}
)

func unavailable(cause error) *refusal {
	return &refusal{code: http.StatusServiceUnavailable, title: "The link cannot be checked at the moment", retry: 10 * time.Second, cause: cause,
		text: "The service cannot reach what it needs to. Nothing is wrong with the link: try again in a minute."}
}

func expired(sub *v1alpha1.SoftwareSubscription, lifetime time.Duration, at time.Time) *refusal {
	return &refusal{code: http.StatusGone, title: "This link has expired",
		text: fmt.Sprintf("A link works for %s from its first download. This one worked until %s. Whoever manages the subscription gets a fresh link, in the Secret of the licence key, by raising spec.download.renewal:",
			span(lifetime), instant(at)),
		command: fmt.Sprintf(`kubectl -n %s patch softwaresubscription %s --type=merge -p '{"spec":{"download":{"renewal":%d}}}'`,
			sub.Namespace, sub.Name, renewal(sub)+1)}
}

// renewal is the highest that was asked for.
func renewal(sub *v1alpha1.SoftwareSubscription) int64 {
	n := sub.Status.Download.Renewal
	if sub.Spec.Download != nil {
		n = max(n, sub.Spec.Download.Renewal)
	}
	return n
}

func ended(sub *v1alpha1.SoftwareSubscription, at time.Time) *refusal {
	return &refusal{code: http.StatusGone, title: "The subscription has ended",
		text: fmt.Sprintf("Subscription %s of %s ended at %s, and its downloads with it. To go on, buy it again and use the link of the new subscription.",
			sub.Name, sub.Namespace, instant(at))}
}

func notOffered(sub *v1alpha1.SoftwareSubscription) *refusal {
	d := sub.Status.Download
	return &refusal{code: http.StatusNotFound, title: "This download is no longer offered",
		text: fmt.Sprintf("The catalogue no longer has version %s in language %s for %s. Ask whoever sold subscription %s of %s which versions there are: spec.download chooses another one.",
			d.Version, d.Language, d.Architecture, sub.Name, sub.Namespace)}
}

// notReady is what to tell when a file is not to be had.
func notReady(l *link, err error) *refusal {
	r := &refusal{code: http.StatusServiceUnavailable, title: "The file is not available at the moment", retry: time.Minute, cause: err}
	switch {
	case errors.Is(err, artifacts.ErrVerifying):
		r.title, r.retry, r.cause = "The file is being checked", 10*time.Second, nil
		r.text = "It is being read through once to make sure that it is intact, which takes a minute or two for a large one. Try again then."
	case errors.Is(err, artifacts.ErrMissing):
		r.text = fmt.Sprintf("The file of %s is missing on the server. Whoever runs this service has to put it back.", l.product.Spec.DisplayName)
	case errors.Is(err, artifacts.ErrMismatch):
		r.text = fmt.Sprintf("The file on the server is not the one that the catalogue describes for %s, so it is not handed out. Whoever runs this service has to replace it.", l.product.Spec.DisplayName)
	default:
		r.text = "The server cannot read its files. Whoever runs this service has to look into it."
	}
	if l.sub.Status.Download.FirstDownloadedAt == nil {
		r.text += " The time to download has not begun."
	}
	return r
}

// refuse answers with a page that says why there is no download.
func (s *Service) refuse(w *stream, req *http.Request, err error) {
	r := new(refusal)
	if !errors.As(err, &r) {
		r = unavailable(err)
	}
	if r.cause != nil {
		log.FromContext(req.Context()).Error(r.cause, "a download link cannot be served", "code", r.code)
	}
	w.Header().Del("ETag")
	if r.retry > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(r.retry.Seconds())))
	}
	render(w, r.code, view{Title: r.title, Text: r.text, Command: r.command})
}
