package fulfillment

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"context"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/saasapi"
)

func TestCaller(t *testing.T) {
	m := newMarket(t)
	s := m.buy()
	for what, row := range map[string]struct {
		header string
		code   int
	}{
		"the publisher's account":              {"Bearer " + m.token, 200},
		"in other capitals":                    {"bEARER " + m.token, 200},
		"no credential":                        {"", 403},
		"an empty one":                         {"Bearer ", 403},
		"another scheme":                       {"Basic " + m.token, 403},
		"no scheme":                            {m.token, 403},
		"garbage":                              {"Bearer garbage", 403},
		"a changed signature":                  {"Bearer " + m.token[:len(m.token)-4] + "AAAA", 403},
		"a token for the API server":           {"Bearer " + m.account("saas"), 403},
		"a token for somebody else":            {"Bearer " + m.account("saas", "somebody-else"), 403},
		"a token for two, of which we are one": {"Bearer " + m.account("saas", "somebody-else", audience), 200},
		"another account of the customer":      {"Bearer " + m.account("other", audience), 403},
	} {
		for _, again := range []string{"", " again"} {
			a := m.call("GET", "/"+s.id, "", "Authorization", row.header)
			says := s.id
			if row.code == 403 {
				says = "audience license-operator"
			}
			m.want(what+again, a, row.code, says)
			m.want(what+again, m.call("GET", "", "", "Authorization", row.header), row.code, says)
		}
	}
}

// TestSubjects names callers in each way.
func TestSubjects(t *testing.T) {
	m := newMarket(t)
	user := "system:serviceaccount:" + m.name + ":"
	for name, subject := range map[string]v1alpha1.Subject{
		"by-user":  {Kind: "User", Name: user + "by-user"},
		"by-group": {Kind: "Group", Name: "system:serviceaccounts:" + m.name},
	} {
		m.publisher(m.name+"-"+name, subject)
	}
	for name, want := range map[string][]string{
		"saas":    {m.name, m.name + "-by-group"},
		"by-user": {m.name + "-by-group", m.name + "-by-user"},
		"nobody":  {m.name + "-by-group"},
	} {
		s := map[string]string{}
		for _, p := range []string{m.name, m.name + "-by-group", m.name + "-by-user"} {
			s[p] = m.bought(func(e *v1alpha1.EntitlementSpec) { e.PublisherRef.Name = p }).id
		}
		auth := []string{"Authorization", "Bearer " + m.account(name, audience)}
		var seen []string
		for p, id := range s {
			code := 403
			if slices.Contains(want, p) {
				code = 200
			}
			m.want(name+" for "+p, m.call("GET", "/"+id, "", auth...), code, "")
		}
		a := m.call("GET", "", "", auth...)
		for _, s := range read[saasapi.SubscriptionList](m, a).Subscriptions {
			if !slices.Contains(seen, s.PublisherID) {
				seen = append(seen, s.PublisherID)
			}
		}
		if slices.Sort(seen); !slices.Equal(seen, want) {
			t.Errorf("%s sees the subscriptions of %v, want %v", name, seen, want)
		}
	}
	other := newMarket(t)
	m.want("a group of another namespace", m.call("GET", "", "", "Authorization", "Bearer "+other.account("x", audience)), 403, "")
	if is(&authenticationv1.UserInfo{Username: "a", Groups: []string{"b"}}, v1alpha1.Subject{Kind: "User", Name: "b"}) {
		t.Error("a group is taken for a user")
	}
}

// TestRevoked takes an account and a publisher's trust away.
func TestRevoked(t *testing.T) {
	m := newMarket(t)
	token := m.account("leaver", audience)
	p := new(v1alpha1.Publisher)
	if err := live.Get(t.Context(), client.ObjectKey{Name: m.name}, p); err != nil {
		t.Fatal(err)
	}
	p.Spec.Subjects = append(p.Spec.Subjects, v1alpha1.Subject{Kind: "ServiceAccount", Namespace: m.name, Name: "leaver"})
	if err := live.Update(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	m.cached(p)
	m.want("while it is there", m.call("GET", "", "", "Authorization", "Bearer "+token), 200, "")
	if err := live.Delete(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: m.name, Name: "leaver"}}); err != nil {
		t.Fatal(err)
	}
	m.at(reviewedFor)
	for range 100 { // the API server itself believes for some seconds
		if m.call("GET", "", "", "Authorization", "Bearer "+token).StatusCode == http.StatusForbidden {
			break
		}
		time.Sleep(200 * time.Millisecond)
		m.clock.SetTime(m.clock.Now().Add(reviewedFor))
	}
	m.want("afterwards", m.call("GET", "", "", "Authorization", "Bearer "+token), 403, "")
	p.Spec.Subjects = nil
	if err := live.Update(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	m.cached(p)
	m.want("the publisher lists nobody", m.call("GET", "", ""), 403, "")
}

// counting is a client that counts reviews, and holds them up.
func counting(s *Service, hold <-chan struct{}) *atomic.Int32 {
	var n atomic.Int32
	watching := s.Client.(client.WithWatch)
	s.Client = interceptor.NewClient(watching, interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			n.Add(1)
			if hold != nil {
				<-hold
			}
			return c.Create(ctx, o, opts...)
		},
	})
	return &n
}

// withWatch lets a client be intercepted that cannot watch.
type withWatch struct{ client.Client }

func (withWatch) Watch(context.Context, client.ObjectList, ...client.ListOption) (watch.Interface, error) {
	panic("nobody watches")
}

// TestReviewWithoutAudience has an API server review tokens that knows nothing
// of audiences: then a token for anything would be good.
func TestReviewWithoutAudience(t *testing.T) {
	m := newMarket(t, func(s *Service) {
		s.Client = interceptor.NewClient(withWatch{s.Client}, interceptor.Funcs{
			Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
				err := c.Create(ctx, o, opts...)
				o.(*authenticationv1.TokenReview).Status.Audiences = nil
				return err
			},
		})
	})
	m.want("without audiences", m.call("GET", "", ""), 403, "audience")
}

// TestReviews are few: they are remembered, shared and bounded.
func TestReviews(t *testing.T) {
	var n *atomic.Int32
	hold := make(chan struct{})
	m := newMarket(t, func(s *Service) {
		s.Client = withWatch{s.Client}
		s.MaxReviews = 5
		n = counting(s, hold)
	})
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() { m.want("together", m.call("GET", "", ""), 200, "") })
	}
	for n.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(100 * time.Millisecond)
	close(hold)
	wg.Wait()
	for range 50 {
		m.want("again", m.call("GET", "", ""), 200, "")
		m.call("GET", "", "", "Authorization", "Bearer bad")
	}
	if got := n.Load(); got != 2 {
		t.Errorf("one good and one bad credential took %d reviews", got)
	}
	m.at(reviewedFor + time.Second)
	m.want("ten seconds later", m.call("GET", "", ""), 200, "")
	if got := n.Load(); got != 3 {
		t.Errorf("ten seconds later there are %d reviews, want 3", got)
	}

	// Garbage is limited, and in nobody's way.
	count := map[int]int{}
	for i := range 100 {
		count[m.call("GET", "", "", "Authorization", fmt.Sprintf("Bearer garbage-%d", i)).StatusCode]++
	}
	if count[http.StatusForbidden] > 60 || count[http.StatusServiceUnavailable] < 40 {
		t.Errorf("garbage got %v", count)
	}
	m.at(3 * reviewedFor)
	m.want("in spite of garbage", m.call("GET", "", ""), 200, "")
}
