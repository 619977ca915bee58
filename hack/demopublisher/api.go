package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

const (
	apiVersion = "2018-08-31"
	// callTimeout bounds one attempt.
	callTimeout = 5 * time.Second
	// attempts is how often a call is made that can be repeated.
	attempts = 3
	// longestPause between two attempts, whatever Retry-After says: somebody is
	// waiting for a page.
	longestPause = 2 * time.Second
	maxAnswer    = 4 << 20
)

// api calls the fulfilment API. No error of it holds a token or what was
// answered.
type api struct {
	base      *url.URL
	tokenFile string
	client    *http.Client
}

func newAPI(base *url.URL, tokenFile string) *api {
	return &api{base: base, tokenFile: tokenFile, client: &http.Client{
		Timeout: callTimeout,
		// The credential is for this address and no other.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// apiError is a call that was refused.
type apiError struct {
	call   string
	status int    // of HTTP
	id     string // of the request, for who asks the marketplace about it
}

func (e *apiError) Error() string {
	return fmt.Sprintf("%s: the fulfilment API answered %d %s (request %s)", e.call, e.status, http.StatusText(e.status), e.id)
}

// refusedWith reports whether err is a refusal with one of those statuses.
func refusedWith(err error, statuses ...int) bool {
	refusal := new(apiError)
	if !errors.As(err, &refusal) {
		return false
	}
	for _, s := range statuses {
		if refusal.status == s {
			return true
		}
	}
	return false
}

// resolve finds out what somebody bought who came with a purchase token.
func (a *api) resolve(ctx context.Context, token string) (*resolved, error) {
	var r resolved
	err := a.do(ctx, call{
		name: "resolve", method: http.MethodPost, path: []string{"resolve"},
		header: http.Header{"X-Ms-Marketplace-Token": {token}}, repeatable: true, want: http.StatusOK, into: &r,
	})
	if err == nil && uuid.Validate(r.ID) != nil {
		err = errors.New("resolve: the fulfilment API answered without the id of a subscription")
	}
	r.Subscription.ID = r.ID
	return &r, err
}

// activate says that an account is set up. It begins to be billed then.
func (a *api) activate(ctx context.Context, id string, what activation) error {
	err := a.do(ctx, call{
		name: "activate", method: http.MethodPost, path: []string{id, "activate"}, body: what, want: http.StatusOK,
	})
	if err == nil || refusedWith(err, http.StatusForbidden, http.StatusNotFound) {
		return err
	}
	// Whatever went wrong may have done so after the activation.
	if sub, getErr := a.get(ctx, id); getErr == nil && sub.Status == statusSubscribed {
		return nil
	}
	return err
}

// list returns all subscriptions, ended ones as well.
func (a *api) list(ctx context.Context) ([]subscription, error) {
	var all []subscription
	query := url.Values{}
	for {
		var page struct {
			Subscriptions []subscription `json:"subscriptions"`
			NextLink      string         `json:"@nextLink"`
		}
		if err := a.do(ctx, call{name: "list", method: http.MethodGet, query: query, repeatable: true, want: http.StatusOK, into: &page}); err != nil {
			return nil, err
		}
		all = append(all, page.Subscriptions...)
		if page.NextLink == "" {
			return all, nil
		}
		// Only where to go on is taken from the link, not the address.
		next, err := url.Parse(page.NextLink)
		if err != nil || next.Query().Get("continuationToken") == query.Get("continuationToken") {
			return nil, errors.New("list: the next page is not another one")
		}
		query.Set("continuationToken", next.Query().Get("continuationToken"))
	}
}

// get returns one subscription.
func (a *api) get(ctx context.Context, id string) (*subscription, error) {
	var s subscription
	err := a.do(ctx, call{name: "get", method: http.MethodGet, path: []string{id}, repeatable: true, want: http.StatusOK, into: &s})
	return &s, err
}

// plans returns the plans that a subscription has or can be changed to.
func (a *api) plans(ctx context.Context, id string) ([]plan, error) {
	var p struct {
		Plans []plan `json:"plans"`
	}
	err := a.do(ctx, call{name: "listAvailablePlans", method: http.MethodGet, path: []string{id, "listAvailablePlans"}, repeatable: true, want: http.StatusOK, into: &p})
	return p.Plans, err
}

// update asks for another plan or number of seats, and returns the id of the
// operation that does it.
func (a *api) update(ctx context.Context, id string, to change) (operationID string, err error) {
	return a.begin(ctx, call{name: "update", method: http.MethodPatch, path: []string{id}, body: to})
}

// unsubscribe ends a subscription, and returns the id of the operation that
// does it.
func (a *api) unsubscribe(ctx context.Context, id string) (operationID string, err error) {
	return a.begin(ctx, call{name: "delete", method: http.MethodDelete, path: []string{id}})
}

// begin makes a call that is answered with the place of an operation.
func (a *api) begin(ctx context.Context, c call) (operationID string, err error) {
	var header http.Header
	c.want, c.intoHeader = http.StatusAccepted, &header
	if err := a.do(ctx, c); err != nil {
		return "", err
	}
	location, err := url.Parse(header.Get("Operation-Location"))
	if err != nil || uuid.Validate(path.Base(location.Path)) != nil {
		return "", fmt.Errorf("%s: the answer does not say which operation it began", c.name)
	}
	return path.Base(location.Path), nil
}

// operations returns those of a subscription that wait for an answer.
func (a *api) operations(ctx context.Context, id string) ([]operation, error) {
	var o struct {
		Operations []operation `json:"operations"`
	}
	err := a.do(ctx, call{name: "list operations", method: http.MethodGet, path: []string{id, "operations"}, repeatable: true, want: http.StatusOK, into: &o})
	return o.Operations, err
}

// operation returns one operation.
func (a *api) operation(ctx context.Context, id, operationID string) (*operation, error) {
	var o operation
	err := a.do(ctx, call{name: "get operation", method: http.MethodGet, path: []string{id, "operations", operationID}, repeatable: true, want: http.StatusOK, into: &o})
	return &o, err
}

// answer accepts or refuses an operation.
func (a *api) answer(ctx context.Context, id, operationID string, with answer) error {
	return a.do(ctx, call{name: "update operation", method: http.MethodPatch, path: []string{id, "operations", operationID}, body: with, repeatable: true, want: http.StatusOK})
}

// call is one of the ten.
type call struct {
	name, method string
	path         []string // below saas/subscriptions
	query        url.Values
	header       http.Header
	body         any
	repeatable   bool // doing it twice is doing it once
	want         int  // HTTP status
	into         any
	intoHeader   *http.Header
}

// do makes a call, and repeats it if it failed for the moment and can be.
func (a *api) do(ctx context.Context, c call) error {
	for attempt := 1; ; attempt++ {
		pause, err := a.try(ctx, c)
		if err == nil || pause == 0 || !c.repeatable || attempt == attempts {
			return err
		}
		timer := time.NewTimer(min(pause, longestPause))
		select {
		case <-ctx.Done():
			timer.Stop()
			return err
		case <-timer.C:
		}
	}
}

// try makes a call once. A pause after which it may succeed comes with the
// errors that will pass.
func (a *api) try(ctx context.Context, c call) (pause time.Duration, err error) {
	req, err := a.request(ctx, c)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", c.name, err)
	}
	res, err := a.client.Do(req)
	if err != nil {
		// *url.Error quotes the address, which holds no secret.
		return 200 * time.Millisecond, fmt.Errorf("%s: %w", c.name, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err != nil || len(body) > maxAnswer {
		return 200 * time.Millisecond, fmt.Errorf("%s: reading the answer: %w", c.name, cmp.Or(err, errors.New("it is too long")))
	}
	if res.StatusCode != c.want {
		return pauseAfter(res), &apiError{call: c.name, status: res.StatusCode, id: req.Header.Get("X-Ms-Requestid")}
	}
	if c.intoHeader != nil {
		*c.intoHeader = res.Header
	}
	if c.into == nil || len(bytes.TrimSpace(body)) == 0 { // "nothing" can be an empty body
		return 0, nil
	}
	if err := json.Unmarshal(body, c.into); err != nil {
		return 0, fmt.Errorf("%s: the fulfilment API answered something else than was expected", c.name) // err quotes it
	}
	return 0, nil
}

func (a *api) request(ctx context.Context, c call) (*http.Request, error) {
	token, err := os.ReadFile(a.tokenFile)
	if err != nil {
		return nil, fmt.Errorf("reading the token for the fulfilment API: %w", err)
	}
	var body io.Reader
	if c.body != nil {
		text, err := json.Marshal(c.body)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(text)
	}
	u := a.base.JoinPath(append([]string{"saas", "subscriptions"}, c.path...)...)
	query := url.Values{"api-version": {apiVersion}}
	for k, v := range c.query {
		query[k] = v
	}
	u.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, c.method, u.String(), body)
	if err != nil {
		return nil, err
	}
	for k, v := range c.header {
		req.Header[k] = v
	}
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Ms-Requestid", uuid.NewString())
	req.Header.Set("X-Ms-Correlationid", uuid.NewString())
	return req, nil
}

// pauseAfter is how long to wait after a refusal; 0: it will not pass.
func pauseAfter(res *http.Response) time.Duration {
	if res.StatusCode != http.StatusTooManyRequests && res.StatusCode < http.StatusInternalServerError {
		return 0
	}
	if seconds, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil && seconds > 0 {
		return min(time.Duration(seconds), longestPause/time.Second) * time.Second
	}
	return 200 * time.Millisecond
}
