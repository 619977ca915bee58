package fulfillment

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"golang.org/x/time/rate"
	authenticationv1 "k8s.io/api/authentication/v1"
	"k8s.io/apimachinery/pkg/util/cache"

	"github.com/license-operator/license-operator/api/v1alpha1"
)

// skew is how far apart the clocks may be of this machine and of whoever made a
// token.
const skew = time.Minute

const accountPrefix = "system:serviceaccount:"

// algorithms that a token may be signed with: all that are not of a shared
// secret, since others than the API server make tokens too.
var algorithms = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512, jose.ES256, jose.ES384, jose.ES512, jose.PS256, jose.PS384, jose.PS512, jose.EdDSA,
}

// claimed is what a publisher lists of whom a token says it is of, before anybody
// has verified that: the name of a service account, or of the group of all
// in its namespace. It is empty if the token is not of a service account by its
// own words, so that only the API server knows whose it is. It is not possible
// if no review could find the token good for any of the publishers.
func claimed(token string, all []v1alpha1.Publisher, now time.Time) (subject string, possible bool) {
	parsed, err := jwt.ParseSigned(token, algorithms)
	if err != nil {
		return "", true
	}
	var claims jwt.Claims
	if err := parsed.UnsafeClaimsWithoutVerification(&claims); err != nil {
		return "", true
	}
	if claims.Expiry != nil && now.After(claims.Expiry.Time().Add(skew)) {
		return "", false
	}
	// Of tokens that are not of service accounts the API server may look at
	// another claim than the subject, and at another audience.
	if !strings.HasPrefix(claims.Subject, accountPrefix) {
		return "", true
	}
	if !claims.Audience.Contains(audience) {
		return "", false
	}
	namespace, _, _ := strings.Cut(strings.TrimPrefix(claims.Subject, accountPrefix), ":")
	group := "system:serviceaccounts:" + namespace
	listed := func(user authenticationv1.UserInfo) bool {
		return slices.ContainsFunc(all, func(p v1alpha1.Publisher) bool { return lists(&p, &user) })
	}
	switch {
	case listed(authenticationv1.UserInfo{Username: claims.Subject}):
		return claims.Subject, true
	case listed(authenticationv1.UserInfo{Groups: []string{group}}):
		return group, true // whose members anybody can make names for
	}
	return "", false
}

// limits are how often tokens of each subject may be reviewed.
type limits struct {
	mu   sync.Mutex
	each *cache.LRUExpireCache // *rate.Limiter by subject
	one  func() *rate.Limiter
}

// of returns the limiter of a subject. It is forgotten when that has not been
// claimed for long, or too many others were.
func (l *limits) of(subject string) *rate.Limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	limiter, ok := l.each.Get(subject)
	if !ok {
		limiter = l.one()
	}
	l.each.Add(subject, limiter, knownFor)
	return limiter.(*rate.Limiter)
}
