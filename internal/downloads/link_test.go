package downloads

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/downloadlink"
	"github.com/license-operator/license-operator/internal/taken"
)

// Each row has a link, an instant counted from the purchase, and what both the
// page and the file answer then.
func TestWhichLinksWork(t *testing.T) {
	const second = time.Second
	downloaded := func(s *shop) {
		s.setStatus(func(st *v1alpha1.SoftwareSubscriptionStatus) {
			st.Download.FirstDownloadedAt = &metav1.Time{Time: s.began}
			st.Download.ExpiresAt = &metav1.Time{Time: s.began.Add(5 * day)}
		})
	}
	notRenewed := func(s *shop) {
		s.setSpec(func(spec *v1alpha1.SoftwareSubscriptionSpec) { spec.AutoRenew = new(false) })
	}
	// The window closes that long after the API server took the cancellation.
	cancelled := func(left time.Duration, change ...func(*v1alpha1.SoftwareSubscriptionStatus, time.Time)) func(*shop) {
		return func(s *shop) {
			s.setSpec(func(spec *v1alpha1.SoftwareSubscriptionSpec) { spec.Cancelled = true })
			at := taken.At(s.sub(), time.Time{}, "spec", "cancelled")
			s.setStatus(func(st *v1alpha1.SoftwareSubscriptionStatus) {
				st.Cancellation.Until = &metav1.Time{Time: at.Add(left)}
				for _, f := range change {
					f(st, at)
				}
			})
		}
	}
	told := func(status metav1.ConditionStatus) func(*v1alpha1.SoftwareSubscriptionStatus, time.Time) {
		return func(st *v1alpha1.SoftwareSubscriptionStatus, at time.Time) {
			st.Conditions = append(st.Conditions, metav1.Condition{Type: v1alpha1.ConditionCancelled, Status: status, Reason: "AnyReason", LastTransitionTime: metav1.NewTime(at)})
		}
	}
	state := func(state v1alpha1.SubscriptionState) func(*shop) {
		return func(s *shop) {
			s.setStatus(func(st *v1alpha1.SoftwareSubscriptionStatus) { st.State = state })
		}
	}
	product := func(change func(*v1alpha1.Product)) func(*shop) {
		return func(s *shop) {
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
	}
	noBuild := product(func(p *v1alpha1.Product) { p.Spec.Software.Versions[0].Builds[0].Language = "de-DE" })
	const gone, raise, over = http.StatusGone, `{&#34;renewal&#34;:`, "The subscription has ended"

	for name, tc := range map[string]struct {
		given []func(*shop)
		after time.Duration
		code  int
		says  string // on the page
	}{
		"not downloaded, at once":                          {nil, 0, 200, "5 days from the first download"},
		"not downloaded, after a year that is renewed":     {nil, year, 200, "5 days from the first download"},
		"a clock that is behind the purchase":              {nil, -day, 200, ""},
		"downloaded, a second before its deadline":         {[]func(*shop){downloaded}, 5*day - second, 200, "The link works until"},
		"downloaded, at its deadline":                      {[]func(*shop){downloaded}, 5 * day, gone, raise},
		"downloaded, a second after its deadline":          {[]func(*shop){downloaded}, 5*day + second, gone, raise},
		"downloaded, by a clock that is behind":            {[]func(*shop){downloaded}, -day, 200, "The link works until"},
		"downloaded, the product's lifetime was cut since": {[]func(*shop){downloaded, product(func(p *v1alpha1.Product) { p.Spec.Software.DownloadLinkLifetime = "P1D" })}, 5*day - second, 200, "The link works until"},
		"downloaded, the product's lifetime was raised":    {[]func(*shop){downloaded, product(func(p *v1alpha1.Product) { p.Spec.Software.DownloadLinkLifetime = "P9D" })}, 5 * day, gone, raise},
		"not downloaded, a lifetime of its own":            {[]func(*shop){product(func(p *v1alpha1.Product) { p.Spec.Software.DownloadLinkLifetime = "PT36H" })}, 0, 200, "36 hours from the first download"},
		"downloaded by an operator that wrote no deadline": {[]func(*shop){downloaded, func(s *shop) {
			s.setStatus(func(st *v1alpha1.SoftwareSubscriptionStatus) { st.Download.ExpiresAt = nil })
		}}, 5 * day, gone, raise},
		"not renewed, a second before the end of its term": {[]func(*shop){notRenewed}, year - second, 200, "ends at"},
		"not renewed, at the end of its term":              {[]func(*shop){notRenewed}, year, gone, over},
		"not renewed, a second after the end of its term":  {[]func(*shop){notRenewed}, year + second, gone, over},
		"not renewed and without an end, ten years later":  {[]func(*shop){notRenewed, func(s *shop) { s.setStatus(func(st *v1alpha1.SoftwareSubscriptionStatus) { st.Term.EndsAt = nil }) }}, 10 * year, 200, ""},
		"cancelled a second before the window closed":      {[]func(*shop){cancelled(second)}, day, gone, over},
		"cancelled when the window closed":                 {[]func(*shop){cancelled(0)}, day, 200, ""},
		"cancelled a second after the window closed":       {[]func(*shop){cancelled(-second)}, day, 200, ""},
		"cancelled in time, by a clock an hour behind":     {[]func(*shop){cancelled(second)}, -time.Hour, gone, over},
		"cancelled before a window was known":              {[]func(*shop){cancelled(0, func(st *v1alpha1.SoftwareSubscriptionStatus, _ time.Time) { st.Cancellation = nil })}, day, gone, over},
		"cancelled too late in the term before this one": {[]func(*shop){cancelled(8*day, told(metav1.ConditionFalse), func(st *v1alpha1.SoftwareSubscriptionStatus, at time.Time) {
			st.Term.StartsAt = metav1.NewTime(at.Add(second))
			st.PurchasedAt = &metav1.Time{Time: at.Add(-year)}
		})}, day, 200, ""},
		"cancelled too late in the term before this one, and edited in this one": {[]func(*shop){cancelled(7*day, told(metav1.ConditionFalse), func(st *v1alpha1.SoftwareSubscriptionStatus, at time.Time) {
			st.Term.StartsAt = metav1.NewTime(at.Add(-second)) // the edit came later, and moved the instant of the cancellation too
			st.PurchasedAt = &metav1.Time{Time: at.Add(-year)}
		})}, day, 200, ""},
		"cancelled at the start of a later term": {[]func(*shop){cancelled(7*day, func(st *v1alpha1.SoftwareSubscriptionStatus, at time.Time) {
			st.Term.StartsAt = metav1.NewTime(at)
			st.PurchasedAt = &metav1.Time{Time: at.Add(-year)}
		})}, day, gone, over},
		"cancelled a moment before it was bought": {[]func(*shop){cancelled(7*day, func(st *v1alpha1.SoftwareSubscriptionStatus, at time.Time) {
			st.Term.StartsAt = metav1.NewTime(at.Add(second))
			st.PurchasedAt = &metav1.Time{Time: at.Add(second)}
		})}, day, gone, over},
		"the operator has said that it is cancelled":        {[]func(*shop){cancelled(-day, told(metav1.ConditionTrue))}, day, gone, over},
		"the state is Cancelled":                            {[]func(*shop){state(v1alpha1.StateCancelled)}, day, gone, over},
		"the state is Expired":                              {[]func(*shop){state(v1alpha1.StateExpired)}, day, gone, over},
		"being deleted":                                     {[]func(*shop){beingDeleted}, -day, gone, over},
		"deleted":                                           {[]func(*shop){func(s *shop) { s.delete(s.sub()) }}, 0, 404, "This link is not known"},
		"replaced by a fresh link":                          {[]func(*shop){func(s *shop) { s.newToken() }}, 0, 404, "This link is not known"},
		"the catalogue has another language now":            {[]func(*shop){noBuild}, 0, 404, "no longer offered"},
		"the catalogue has another version now":             {[]func(*shop){product(func(p *v1alpha1.Product) { p.Spec.Software.Versions[0].Version = "2025" })}, 0, 404, "no longer offered"},
		"the catalogue has another architecture now":        {[]func(*shop){product(func(p *v1alpha1.Product) { p.Spec.Software.Versions[0].Builds[0].Architecture = "arm64" })}, 0, 404, "no longer offered"},
		"the product is gone":                               {[]func(*shop){func(s *shop) { s.delete(s.product()) }}, 0, 404, "no longer offered"},
		"the catalogue no longer has what has also expired": {[]func(*shop){downloaded, noBuild}, 5 * day, gone, raise},
	} {
		t.Run(name, func(t *testing.T) {
			s := newShop(t)
			for _, f := range tc.given {
				f(s)
			}
			s.at(tc.after)
			s.want("page", s.ask("GET", s.page()), tc.code, tc.says)
			file := s.ask("GET", s.file())
			if tc.code == 200 {
				if file.StatusCode != http.StatusOK || file.body != string(s.content) {
					t.Errorf("file: got %d with %d bytes", file.StatusCode, len(file.body))
				}
				return
			}
			s.want("file", file, tc.code, tc.says)
			if strings.Contains(file.body, string(s.content[:8])) {
				t.Error("the file came with it")
			}
		})
	}
}

func (s *shop) delete(o client.Object) {
	s.t.Helper()
	if err := live.Delete(s.t.Context(), o); err != nil {
		s.t.Fatal(err)
	}
	s.awaitCache(o)
}

// beingDeleted keeps a deleted subscription there.
func beingDeleted(s *shop) {
	sub := s.sub()
	sub.Finalizers = []string{"example.com/keep"}
	if err := live.Update(s.t.Context(), sub); err != nil {
		s.t.Fatal(err)
	}
	if err := live.Delete(s.t.Context(), sub); err != nil {
		s.t.Fatal(err)
	}
}

// awaitCache waits until the service's cache has an object as the API server
// has it.
func (s *shop) awaitCache(o client.Object) {
	s.t.Helper()
	now, seen := o.DeepCopyObject().(client.Object), o.DeepCopyObject().(client.Object)
	errNow := live.Get(s.t.Context(), client.ObjectKeyFromObject(o), now)
	for range 1000 {
		err := operator.GetClient().Get(s.t.Context(), client.ObjectKeyFromObject(o), seen)
		if apierrors.IsNotFound(errNow) && apierrors.IsNotFound(err) || err == nil && errNow == nil && seen.GetResourceVersion() == now.GetResourceVersion() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	s.t.Fatal("the cache does not follow")
}

// stale is a client whose cache has stopped at some subscriptions.
type stale struct {
	client.Client
	subs  []v1alpha1.SoftwareSubscription
	lists int
}

func (c *stale) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	subs, ok := list.(*v1alpha1.SoftwareSubscriptionList)
	if !ok {
		return c.Client.List(ctx, list, opts...)
	}
	c.lists++
	o := (&client.ListOptions{}).ApplyOptions(opts)
	for _, sub := range c.subs {
		for _, value := range Indexes[IndexTokenHash](&sub) {
			if req := o.FieldSelector.Requirements(); req[0].Field == IndexTokenHash && req[0].Value == value {
				subs.Items = append(subs.Items, sub)
			}
		}
	}
	return nil
}

func (c *stale) Get(ctx context.Context, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
	if sub, ok := o.(*v1alpha1.SoftwareSubscription); ok && len(c.subs) > 0 {
		c.subs[0].DeepCopyInto(sub)
		return nil
	}
	return c.Client.Get(ctx, key, o, opts...)
}

// A replaced link is refused at once, and the fresh one works at once, however
// late the cache is.
func TestLateCache(t *testing.T) {
	var late *stale
	s := newShop(t, func(s *shop) {
		late = &stale{Client: s.svc.Client, subs: []v1alpha1.SoftwareSubscription{*s.sub()}}
		s.svc.Client = late
	})
	s.want("the link", s.ask("GET", s.page()), 200, "")
	old := s.token
	s.token = s.newToken()
	s.want("the fresh link", s.ask("GET", s.file()), 200, "")
	s.token = old
	s.want("the old page", s.ask("GET", s.page()), 404, "not known")
	s.want("the old file", s.ask("GET", s.file()), 404, "not known")
}

// Guessing tokens cannot overload the API server, and does not keep those out
// whose link is in the cache.
func TestSearchesAreLimited(t *testing.T) {
	s := newShop(t, func(s *shop) {
		s.svc.MaxSearches = 1
		s.svc.Client = &stale{Client: s.svc.Client, subs: []v1alpha1.SoftwareSubscription{*s.sub()}}
	})
	good := s.token
	codes := map[int]int{}
	for range 10 {
		s.token = downloadlink.NewToken()
		a := s.ask("GET", s.page())
		codes[a.StatusCode]++
		if a.StatusCode == http.StatusServiceUnavailable {
			s.want("too many", a, 503, "Too many unknown links")
		}
	}
	if codes[404] < 2 || codes[404] > 5 || codes[404]+codes[503] != 10 {
		t.Errorf("answers by code: %v", codes)
	}
	s.token = good
	s.want("a link that is known", s.ask("GET", s.page()), 200, "")
}

// What is no token is not even looked for, and nothing else is there.
func TestPaths(t *testing.T) {
	var late *stale
	s := newShop(t, func(s *shop) {
		late = &stale{Client: s.svc.Client}
		s.svc.Client = late
	})
	token := s.token
	for name, path := range map[string]string{
		"the root":                        "/",
		"the folder of links":             "/d/",
		"the file of no token":            "/d//file",
		"a token that is too short":       "/d/" + token[:42],
		"a token that is too long":        "/d/" + token + "A",
		"a token with padding":            "/d/" + token + "=",
		"a token with another alphabet":   "/d/" + token[:42] + "+",
		"a token with a trailing slash":   "/d/" + token + "/",
		"another part of a link":          "/d/" + token + "/other",
		"a file below the file":           "/d/" + token + "/file/x",
		"a path that is not clean":        "/x/../d/" + token,
		"a doubled slash":                 "//d/" + token,
		"the hash instead of the token":   "/d/" + downloadlink.TokenHash(token),
		"capital letters in the path":     "/D/" + token,
		"a line break at the end":         "/d/" + token + "%0a",
		"metrics, which are not public":   "/metrics",
		"the artifact store":              "/" + artifact,
		"a file outside of everything":    "/d/../../etc/passwd",
		"a file outside, percent-encoded": "/d/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
	} {
		s.want(name, s.ask("GET", s.url+path), 404, "Copy the whole link")
	}
	if late.lists != 0 {
		t.Errorf("%d of them were looked for", late.lists)
	}
	s.want("a token that nobody has", s.ask("GET", s.url+"/d/"+downloadlink.NewToken()), 404, "not known")
	if late.lists != 1 {
		t.Error("a token was not looked for")
	}
	robots := s.ask("GET", s.url+"/robots.txt")
	s.want("robots", robots, 200, "")
	if robots.body != "User-agent: *\nDisallow: /\n" || !strings.HasPrefix(robots.Header.Get("Content-Type"), "text/plain") {
		t.Errorf("robots.txt: %q", robots.body)
	}
}

func TestMethods(t *testing.T) {
	s := newShop(t)
	for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"} {
		for _, url := range []string{s.page(), s.file(), s.url + "/robots.txt"} {
			a := s.ask(method, url)
			s.want(method, a, 405, "")
			if a.Header.Get("Allow") != "GET, HEAD" {
				t.Errorf("%s: Allow is %q", method, a.Header.Get("Allow"))
			}
		}
	}
	s.notBegun("a wrong method")
}

// When the API server is gone nothing is handed out, not even what the cache
// knows, and it goes on when that is back.
func TestAPIServerIsGone(t *testing.T) {
	s := newShop(t, func(s *shop) { s.svc.APITimeout = 500 * time.Millisecond })
	s.want("before", s.ask("GET", s.page()), 200, "")
	proxy.Pause()
	defer proxy.Resume()
	s.want("page", s.ask("GET", s.page()), 503, "cannot be checked at the moment")
	s.want("file", s.ask("GET", s.file()), 503, "Nothing is wrong with the link")
	s.want("unknown", s.ask("GET", s.url+"/d/"+downloadlink.NewToken()), 503, "cannot be checked at the moment")
	proxy.Resume()
	s.notBegun("a refused download")
	s.want("after", s.ask("GET", s.file()), 200, "")
}
