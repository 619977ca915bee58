package fulfillment

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sync/singleflight"
	"golang.org/x/time/rate"
	authenticationv1 "k8s.io/api/authentication/v1"
	"k8s.io/apimachinery/pkg/util/cache"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/license-operator/license-operator/api/v1alpha1"
)

const (
	// audience is what the tokens of publishers are made out to, so that one
	// that was stolen here opens nothing else, and others open nothing here.
	audience = "license-operator"
	// reviewedFor is how long the result of a review is believed.
	reviewedFor = 10 * time.Second
	// knownFor is how long a credential that was good is expected back.
	knownFor = time.Hour
	// maxCallers is how many credentials are remembered, of each sort.
	maxCallers = 2048
	maxToken   = 8 << 10
)

// callers reviews credentials. What it remembers of one is a hash.
//
// Anybody can send garbage, so a review is not for everything. What says of
// itself that it cannot be a publisher's has none. Those that were good lately
// are reviewed apart from all others. Of the others, each subject that tokens of
// service accounts claim to be has reviews of its own, and what claims none has
// some together. So garbage is in the way of new tokens of the one account that
// it names, or, if it names none, of new credentials of Users and Groups, and of
// nobody else's. Only who names many accounts that publishers list uses up what
// there is for all of those.
type callers struct {
	client  client.Client
	clock   clock.PassiveClock
	timeout time.Duration

	good, bad, known *cache.LRUExpireCache // by hash; good holds *authenticationv1.UserInfo
	reviews          singleflight.Group
	knownRate        *rate.Limiter
	subjectRate      limits        // of each subject that is claimed
	subjectsRate     *rate.Limiter // of all of them
	otherRate        *rate.Limiter // if none is claimed
}

func newCallers(s *Service) *callers {
	all := func() *rate.Limiter { return rate.NewLimiter(rate.Limit(s.MaxReviews), 2*s.MaxReviews) }
	few := max(s.MaxReviews/20, 1)
	some := func() *rate.Limiter { return rate.NewLimiter(rate.Limit(few), 2*few) }
	remember := func() *cache.LRUExpireCache { return cache.NewLRUExpireCacheWithClock(maxCallers, s.Clock) }
	return &callers{
		client: s.Client, clock: s.Clock, timeout: s.APITimeout, good: remember(), bad: remember(), known: remember(),
		knownRate: all(), subjectRate: limits{each: remember(), one: some}, subjectsRate: all(), otherRate: some(),
	}
}

// publishers returns the names of the publishers that the caller acts for, at
// least one, or the refusal to tell.
func (s *Service) publishers(ctx context.Context, header http.Header) ([]string, error) {
	var all v1alpha1.PublisherList
	if err := s.Client.List(ctx, &all); err != nil {
		return nil, fmt.Errorf("reading the publishers: %w", err)
	}
	user, err := s.callers.user(ctx, header, all.Items)
	if err != nil {
		return nil, err
	}
	var names []string
	for i := range all.Items {
		if lists(&all.Items[i], user) {
			names = append(names, all.Items[i].Name)
		}
	}
	if len(names) == 0 {
		return nil, notAuthorized
	}
	slices.Sort(names)
	return names, nil
}

// lists reports whether a user may act for a publisher.
func lists(p *v1alpha1.Publisher, user *authenticationv1.UserInfo) bool {
	return slices.ContainsFunc(p.Spec.Subjects, func(s v1alpha1.Subject) bool { return is(user, s) })
}

// is reports whether a user is a subject, or in it.
func is(user *authenticationv1.UserInfo, s v1alpha1.Subject) bool {
	switch s.Kind {
	case "ServiceAccount":
		return user.Username == accountPrefix+s.Namespace+":"+s.Name
	case "User":
		return user.Username == s.Name
	case "Group":
		return slices.Contains(user.Groups, s.Name)
	}
	return false
}

// user returns whose token a request carries.
func (c *callers) user(ctx context.Context, header http.Header, all []v1alpha1.Publisher) (*authenticationv1.UserInfo, error) {
	scheme, token, _ := strings.Cut(header.Get("Authorization"), " ")
	token = strings.TrimSpace(token)
	if !strings.EqualFold(scheme, "Bearer") || token == "" || len(token) > maxToken {
		return nil, notAuthorized
	}
	hash := sha256.Sum256([]byte(token))
	if user, ok := c.good.Get(hash); ok {
		return user.(*authenticationv1.UserInfo), nil
	}
	if _, ok := c.bad.Get(hash); ok {
		return nil, notAuthorized
	}
	subject, possible := claimed(token, all, c.clock.Now())
	if !possible {
		return nil, notAuthorized
	}
	// Those who send the same token at the same time wait for one review, which
	// goes on if the first of them goes away.
	done := c.reviews.DoChan(string(hash[:]), func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.timeout)
		defer cancel()
		return c.review(ctx, hash, token, subject)
	})
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case result := <-done:
		user, _ := result.Val.(*authenticationv1.UserInfo)
		return user, result.Err
	}
}

// allowed reports whether a credential can be reviewed now.
func (c *callers) allowed(hash [sha256.Size]byte, subject string) bool {
	if _, ok := c.known.Get(hash); ok {
		return c.knownRate.Allow()
	}
	if subject == "" {
		return c.otherRate.Allow()
	}
	return c.subjectRate.of(subject).Allow() && c.subjectsRate.Allow()
}

// review asks the API server whose token it is.
func (c *callers) review(ctx context.Context, hash [sha256.Size]byte, token, subject string) (*authenticationv1.UserInfo, error) {
	if !c.allowed(hash, subject) {
		return nil, tooManyReviews
	}
	reviews.Inc()
	review := &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token, Audiences: []string{audience}}}
	// Clients of the API server can be told to log what they send.
	if err := c.client.Create(log.IntoContext(ctx, logr.Discard()), review); err != nil {
		return nil, fmt.Errorf("reviewing a credential: %w", err)
	}
	if !review.Status.Authenticated || !slices.Contains(review.Status.Audiences, audience) {
		c.bad.Add(hash, nil, reviewedFor)
		return nil, notAuthorized
	}
	c.good.Add(hash, &review.Status.User, reviewedFor)
	c.known.Add(hash, nil, knownFor)
	return &review.Status.User, nil
}
