package fulfillment

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/entitlements"
	"github.com/license-operator/license-operator/internal/saasapi"
	"github.com/license-operator/license-operator/internal/signing"
)

const (
	tokenHeader = "x-ms-marketplace-token"
	maxContinue = 4 << 10
)

var (
	tokenMissing = badRequest("The header %s is missing: it holds the parameter token that the landing page was opened with.", tokenHeader)
	tokenInvalid = badRequest("The purchase token is malformed, invalid or expired. Send the value of the parameter token of the address that was opened, and nothing else. If it has expired, ask the customer to open the subscription's link again; a fresh one is had by raising spec.landingPage.renewal of the MarketplaceSubscription.")
	pageUnknown  = badRequest("The continuationToken is unknown or has expired: read the list again from the first page.")
)

// resolve tells what a purchase token stands for, in every state and as often
// as it is asked.
func (s *Service) resolve(ctx context.Context, req *request) (*answer, error) {
	token := req.Header.Get(tokenHeader)
	if strings.Contains(token, "%") { // tokens have none, but URLs do
		if decoded, err := url.PathUnescape(token); err == nil {
			token = decoded
		}
	}
	switch {
	case token == "":
		return nil, tokenMissing
	case len(token) > maxToken:
		return nil, tokenInvalid
	}
	id, err := s.Tokens.PurchaseToken(ctx, token, req.now)
	switch {
	case errors.Is(err, signing.ErrInvalid):
		return nil, tokenInvalid
	case err != nil: // such as: there is no ConfigMap with keys yet
		return nil, away{fmt.Errorf("checking a purchase token: %w", err)}
	}
	e, facts, err := s.find(ctx, req, id)
	if errors.Is(err, unknownSubscription) {
		return nil, tokenInvalid
	}
	if err != nil {
		return nil, err
	}
	return &answer{code: http.StatusOK, body: saasapi.NewResolved(e, facts)}, nil
}

func (s *Service) get(ctx context.Context, req *request) (*answer, error) {
	e, facts, err := s.find(ctx, req, req.id)
	if err != nil {
		return nil, err
	}
	return &answer{code: http.StatusOK, body: saasapi.NewSubscription(e, facts)}, nil
}

// list tells of all subscriptions of the caller's publishers, a page at a time.
// The API server keeps the pages of one list the same for some minutes.
func (s *Service) list(ctx context.Context, req *request) (*answer, error) {
	after, err := base64.RawURLEncoding.DecodeString(req.URL.Query().Get("continuationToken"))
	if err != nil || len(after) > maxContinue {
		return nil, pageUnknown
	}
	own, err := labels.NewRequirement(v1alpha1.LabelPublisher, selection.In, req.publishers)
	if err != nil {
		return nil, err
	}
	var page v1alpha1.EntitlementList
	err = s.Live.List(ctx, &page, client.MatchingLabelsSelector{Selector: labels.NewSelector().Add(*own)},
		client.Limit(pageSize), client.Continue(string(after)))
	if apierrors.IsResourceExpired(err) || apierrors.IsGone(err) || apierrors.IsBadRequest(err) && len(after) > 0 {
		return nil, pageUnknown
	}
	if err != nil {
		return nil, fmt.Errorf("listing entitlements: %w", err)
	}
	body := saasapi.SubscriptionList{Subscriptions: []saasapi.Subscription{}}
	for i := range page.Items {
		e := &page.Items[i]
		if !slices.Contains(req.publishers, e.Spec.PublisherRef.Name) {
			continue // a label proves nothing
		}
		facts, err := entitlements.Facts(e)
		if err != nil {
			return nil, err
		}
		facts.Follow(req.now)
		body.Subscriptions = append(body.Subscriptions, saasapi.NewSubscription(e, facts))
	}
	if page.Continue != "" {
		body.NextLink = s.link("", "continuationToken="+base64.RawURLEncoding.EncodeToString([]byte(page.Continue)))
	}
	return &answer{code: http.StatusOK, body: body}, nil
}

// plans lists what a subscription can change to. The parameter planId leaves
// one.
func (s *Service) plans(ctx context.Context, req *request) (*answer, error) {
	e, facts, err := s.find(ctx, req, req.id)
	if err != nil {
		return nil, err
	}
	p, err := s.product(ctx, e)
	if err != nil {
		return nil, err
	}
	body := saasapi.NewPlans(facts, p)
	if only := req.URL.Query().Get("planId"); only != "" {
		body.Plans = slices.DeleteFunc(body.Plans, func(l saasapi.Plan) bool { return l.PlanID != only })
	}
	return &answer{code: http.StatusOK, body: body}, nil
}

// link is an absolute address below the list of subscriptions.
func (s *Service) link(path, query string) string {
	if query != "" {
		query += "&"
	}
	return strings.TrimSuffix(s.BaseURL, "/api") + "/api/saas/subscriptions" + path + "?" + query + "api-version=" + saasapi.APIVersion
}
