package main

import (
	"net/http"
)

// What people read when there is no account to show. Each says what to do.
var (
	welcome = view{Kind: "Fourth Coffee", Title: "Coffee Analytics",
		Texts: []string{"Every cup in one place. To set up or manage what you bought, open the link that you have from the marketplace."}}
	noLink = view{Kind: "Fourth Coffee", Title: "This link is not whole",
		Texts: []string{"It lacks the part that tells what you bought. Copy it once more, with everything after the question mark."}}
	oldLink = view{Kind: "Fourth Coffee", Title: "This link does not work any more",
		Texts: []string{
			"A link works for 24 hours. Ask whoever gave it to you for a fresh one; there is no limit to how many you can have.",
			"Nothing was lost, and nothing was charged because of this."}}
	foreignLink = view{Kind: "Fourth Coffee", Title: "This link is for another company's product",
		Texts: []string{"What it stands for was not bought from Fourth Coffee. Open the link of the product that you want to set up."}}
	goneLink = view{Kind: "Fourth Coffee", Title: "The marketplace does not know this subscription any more",
		Texts: []string{"If you have just bought it, open the link from the marketplace once more."}}
	noSession = view{Kind: "Fourth Coffee", Title: "Open your link once more",
		Texts: []string{"This page is for those who come with a link from the marketplace, and stays open for an hour."}}
	foreignForm = view{Kind: "Fourth Coffee", Title: "Open your link once more",
		Texts: []string{"What was sent did not come from a page of ours, so nothing was done."}}
	badForm = view{Kind: "Fourth Coffee", Title: "That was too much",
		Texts: []string{"What was sent is larger than any of our forms. Nothing was done. Go back and try again."}}
	busy = view{Kind: "Fourth Coffee", Title: "One moment, please",
		Texts: []string{"Many people are here right now. Nothing was done. Try again in a minute."}}
	away = view{Kind: "Fourth Coffee", Title: "The marketplace cannot be reached",
		Texts: []string{"Nothing was done, and nothing was charged. Open your link again in a few minutes."}}
	nothingHere = view{Kind: "Fourth Coffee", Title: "There is nothing here",
		Texts: []string{"To set up or manage what you bought, open the link that you have from the marketplace."}}
)

// refusals are what people read when a call was refused, by its HTTP status.
type refusals map[int]view

var goneRefusals = refusals{http.StatusForbidden: foreignLink, http.StatusNotFound: goneLink}

// refuse shows why there is no page. The log has the request's number, and
// nothing that was answered.
func (s *site) refuse(w http.ResponseWriter, r *http.Request, err error, known refusals) {
	s.logger.Warn("a page was not shown", "path", r.URL.Path, "err", err)
	for status, v := range known {
		if refusedWith(err, status) {
			s.show(w, status, v)
			return
		}
	}
	w.Header().Set("Retry-After", "60")
	s.show(w, http.StatusServiceUnavailable, away)
}

// failed says why a form was not carried out.
func failed(err error) message {
	switch {
	case refusedWith(err, http.StatusConflict):
		return message{code: http.StatusConflict,
			Problem: "The marketplace did not accept that now: another change is in progress, or the subscription is managed there, by somebody who would undo it. Ask there for the change."}
	case refusedWith(err, http.StatusBadRequest):
		return message{code: http.StatusUnprocessableEntity,
			Problem: "The marketplace does not allow that for this subscription as it is now. Nothing was changed."}
	case refusedWith(err, http.StatusForbidden, http.StatusNotFound):
		return message{code: http.StatusConflict,
			Problem: "The marketplace does not know this subscription any more. Nothing was changed."}
	}
	return message{code: http.StatusServiceUnavailable,
		Problem: "The marketplace cannot be reached. Send it again in a minute; doing so twice does no harm."}
}
