package fulfillment

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/saasapi"
	"github.com/license-operator/license-operator/internal/terms"
)

// TestGet checks the whole body, byte by byte: clients know each field.
func TestGet(t *testing.T) {
	m := newMarket(t)
	s := m.buy(active, byPartner)
	a := m.call("GET", "/"+s.id, "")
	body := read[saasapi.Subscription](m, a)
	want := fmt.Sprintf(`{"id":%q,"name":"Our coffee","publisherId":%q,"offerId":"coffee","planId":"silver","quantity":10,`+
		`"beneficiary":{"emailId":"Ada@contoso.example","objectId":%q,"tenantId":%q,"puid":""},`+
		`"purchaser":{"emailId":"sales@partner.example","objectId":%q,"tenantId":%q,"puid":""},`+
		`"allowedCustomerOperations":["Read"],"sessionMode":"None","isFreeTrial":false,"isTest":false,"sandboxType":"None","saasSubscriptionStatus":"Subscribed",`+
		`"term":{"startDate":"2026-03-04T00:00:00Z","endDate":"2026-04-03T00:00:00Z","termUnit":"P1M","chargeDuration":"P1M"},`+
		`"autoRenew":true,"created":"2026-03-04T10:15:00Z","lastModified":"2026-03-04T10:15:00Z"}`,
		s.id, m.name, body.Beneficiary.ObjectID, saasapi.Tenant(m.name), body.Purchaser.ObjectID, body.Purchaser.TenantID)
	m.want("get", a, 200, "")
	if a.body != want {
		t.Errorf("got  %s\nwant %s", a.body, want)
	}
	for _, id := range []string{body.Beneficiary.ObjectID, body.Purchaser.ObjectID, body.Purchaser.TenantID} {
		if uuid.Validate(id) != nil || strings.Count(a.body, id) != 1 {
			t.Errorf("%q is not an id of its own", id)
		}
	}
}

// TestGetFollowsTime reads what the passing of time did, without controllers.
func TestGetFollowsTime(t *testing.T) {
	m := newMarket(t)
	for what, row := range map[string]struct {
		bought changes
		after  time.Duration
		says   string
	}{
		"before the first term ends":  {changes{active}, 31*day - time.Second, `"endDate":"2026-04-03T00:00:00Z"`},
		"the next term":               {changes{active}, 31 * day, `"startDate":"2026-04-04T00:00:00Z","endDate":"2026-05-03T00:00:00Z"`},
		"not renewed":                 {changes{active, func(e *v1alpha1.EntitlementSpec) { e.Subscriber.AutoRenew = false }}, 31 * day, `"Unsubscribed"`},
		"never activated":             {nil, terms.ActivationTime, `"Unsubscribed"`},
		"suspended for 30 days":       {changes{suspended}, terms.SuspensionTime, `"Unsubscribed"`},
		"gone for a day":              {changes{active, orphaned}, terms.ReturnTime, `"Unsubscribed"`},
		"before the activation":       {nil, time.Hour, `"term":{"termUnit":"P1M","chargeDuration":"P1M"}`},
		"no seats":                    {changes{noSeats}, 0, `"planId":"flat","beneficiary"`},
		"a trial":                     {changes{active, trial}, 14*day - time.Second, `"isFreeTrial":true`},
		"a trial's dates":             {changes{active, trial}, day, `"startDate":"2026-03-04T00:00:00Z","endDate":"2026-03-17T00:00:00Z"`},
		"a trial that is over":        {changes{active, trial}, 14 * day, `"isFreeTrial":false`},
		"the first term after it":     {changes{active, trial}, 14 * day, `"startDate":"2026-03-18T00:00:00Z","endDate":"2026-04-17T00:00:00Z"`},
		"an unnamed one":              {changes{func(e *v1alpha1.EntitlementSpec) { e.Subscriber.FriendlyName = "" }}, 0, `"name":"s-`},
		"nobody known":                {changes{func(e *v1alpha1.EntitlementSpec) { e.Subscriber.Beneficiary = nil }}, 0, `"beneficiary":{"emailId":"","tenantId":"` + saasapi.Tenant(m.name).String()},
		"charged by the year":         {changes{yearly}, 0, `"termUnit":"P1Y","chargeDuration":"P1Y"`},
		"bought for himself":          {nil, 0, `"allowedCustomerOperations":["Read","Update","Delete"]`},
		"a change that nobody denied": {changes{active, delivered}, terms.AnswerTime, `"quantity":12`},
		"a change that may be denied": {changes{active, delivered}, terms.AnswerTime - time.Second, `"quantity":10`},
	} {
		m.at(0)
		s := m.buy(row.bought...)
		m.at(row.after)
		before := s.versions()
		m.want(what, m.call("GET", "/"+s.id, ""), 200, row.says)
		m.want(what, m.call("GET", "/"+strings.ToUpper(s.id), ""), 200, row.says)
		if s.versions() != before {
			t.Errorf("%s: reading has written", what)
		}
	}
}

func trial(e *v1alpha1.EntitlementSpec) { e.Purchase.Trial = "P14D" }

func yearly(e *v1alpha1.EntitlementSpec) {
	e.Purchase.Term, e.Purchase.BillingCycle = v1alpha1.TermYear, v1alpha1.BillingAnnual
}

func delivered(e *v1alpha1.EntitlementSpec) {
	level := e.Purchase.ServiceLevel
	level.Quantity = 12
	e.Operations = []v1alpha1.Operation{{
		ID: uuid.NewString(), Action: v1alpha1.ActionChangeQuantity, Level: level, RequestedAt: e.Purchase.At, QueuedAt: e.Purchase.At,
		Status: v1alpha1.OperationInProgress, DeliveredAt: &e.Purchase.At,
	}}
}

func TestResolve(t *testing.T) {
	m := newMarket(t)
	for what, state := range map[string]changes{"PendingFulfillmentStart": nil, "Subscribed": {active}, "Suspended": {suspended}, "Unsubscribed": {unsubscribed}} {
		s := m.buy(state...)
		before := s.versions()
		for _, token := range []string{s.link("ab+cd/ef=="), url.QueryEscape(s.link("gh+ij/kl==")), url.PathEscape(s.link("mn+op/qr=="))} {
			a := m.call("POST", "/resolve", "", "x-ms-marketplace-token", token)
			m.want(what, a, 200, "")
			body := read[saasapi.ResolvedSubscription](m, a)
			if body.ID != s.id || body.SubscriptionName != "Our coffee" || body.OfferID != "coffee" || body.PlanID != "silver" || *body.Quantity != 10 ||
				body.Subscription.ID != s.id || body.Subscription.SaaSSubscriptionStatus != what {
				t.Errorf("%s: got %s", what, a.body)
			}
		}
		if s.versions() != before {
			t.Errorf("%s: resolving has written", what)
		}
	}
	other := newMarket(t)
	for what, row := range map[string]struct {
		token string
		code  int
		says  string
	}{
		"none":                   {"", 400, "is missing"},
		"malformed":              {"nonsense", 400, "malformed"},
		"badly encoded":          {"%zz", 400, "malformed"},
		"too long":               {strings.Repeat("a", 9<<10), 400, "malformed"},
		"of nothing":             {m.link(uuid.NewString(), "token-of-nothing"), 400, "malformed"},
		"of another publisher's": {m.link(other.buy().id, "token-of-another"), 403, "another publisher"},
	} {
		m.want(what, m.call("POST", "/resolve", "", "x-ms-marketplace-token", row.token), row.code, row.says)
	}
	m.purchases.err = context.DeadlineExceeded
	m.want("the keys cannot be read", m.call("POST", "/resolve", "", "x-ms-marketplace-token", "some-token"), 503, "")
	m.purchases.err = fmt.Errorf("reading the keys: %w", apierrors.NewNotFound(schema.GroupResource{Resource: "configmaps"}, "keys"))
	m.want("there are no keys yet", m.call("POST", "/resolve", "", "x-ms-marketplace-token", "some-token"), 503, "")
	m.purchases.err = apierrors.NewInternalError(errors.New("away"))
	m.want("the API server fails", m.call("POST", "/resolve", "", "x-ms-marketplace-token", "some-token"), 503, "")
}

func (s *service) link(token string) string { return s.market.link(s.id, token) }

// link makes a purchase token.
func (m *market) link(id, token string) string {
	m.purchases.mu.Lock()
	defer m.purchases.mu.Unlock()
	m.purchases.ids[token] = id
	secrets.Store(token, true)
	return token
}

func TestPlans(t *testing.T) {
	m := newMarket(t)
	s := m.buy(active)
	ids := func(path string) (ids []string) {
		a := m.call("GET", "/"+path, "")
		m.want(path, a, 200, "")
		for _, p := range read[saasapi.PlanList](m, a).Plans {
			ids = append(ids, p.PlanID)
		}
		return ids
	}
	if got := ids(s.id + "/listAvailablePlans"); !slices.Equal(got, []string{"silver", "gold", "team", "flat"}) {
		t.Errorf("got %v", got)
	}
	if got := ids(s.id + "/listAvailablePlans?planId=gold"); !slices.Equal(got, []string{"gold"}) {
		t.Errorf("with planId=gold got %v", got)
	}
	if got := ids(s.id + "/listAvailablePlans?planId=brass"); got != nil {
		t.Errorf("with planId=brass got %v", got)
	}
	old := m.buy(active, func(e *v1alpha1.EntitlementSpec) { e.Purchase.PlanID = "old" })
	if got := ids(old.id + "/listAvailablePlans"); !slices.Contains(got, "old") {
		t.Errorf("the plan that is no longer sold is not listed for who has it: %v", got)
	}
	gone := m.buy(active, func(e *v1alpha1.EntitlementSpec) { e.ProductRef.Name = "gone" })
	if got := ids(gone.id + "/listAvailablePlans"); !slices.Equal(got, []string{"silver"}) {
		t.Errorf("without the product got %v", got)
	}
	a := m.call("GET", "/"+s.id+"/listAvailablePlans?planId=gold", "")
	want := `{"plans":[{"planId":"gold","displayName":"Gold","isPrivate":false,"description":"","minQuantity":1,"maxQuantity":50,` +
		`"hasFreeTrials":true,"isPricePerSeat":true,"isStopSell":false,"market":"","planComponents":{"recurrentBillingTerms":` +
		`[{"currency":"EUR","price":9.50,"termUnit":"P1M","termDescription":"1 month","meteredQuantityIncluded":[]}],"meteringDimensions":[]}}]}`
	if a.body != want {
		t.Errorf("got  %s\nwant %s", a.body, want)
	}
	m.want("an unknown subscription", m.call("GET", "/"+uuid.NewString()+"/listAvailablePlans", ""), 404, "no subscription")
}

// TestUnknown asks for what is not there, and for what is another publisher's,
// with every call that names a subscription.
func TestUnknown(t *testing.T) {
	m, other := newMarket(t), newMarket(t)
	own, theirs := m.buy(active), other.buy(active, delivered)
	_, facts := theirs.facts()
	before := theirs.versions()
	for _, c := range []struct{ method, path, body string }{
		{"GET", "", ""}, {"PATCH", "", `{"quantity":3}`}, {"DELETE", "", ""}, {"POST", "/activate", `{"planId":"silver"}`},
		{"GET", "/listAvailablePlans", ""}, {"GET", "/operations", ""},
		{"GET", "/operations/" + facts.Operations[0].ID, ""}, {"PATCH", "/operations/" + facts.Operations[0].ID, `{"status":"Failure"}`},
	} {
		what := c.method + " " + c.path
		m.want(what+" unknown", m.call(c.method, "/"+uuid.NewString()+c.path, c.body), 404, "no subscription")
		a := m.call(c.method, "/"+theirs.id+c.path, c.body)
		m.want(what+" of another publisher", a, 403, "another publisher")
		for _, secret := range []string{other.name, theirs.name, "coffee", "silver", "contoso"} {
			if strings.Contains(a.body, secret) {
				t.Errorf("%s of another publisher tells %q: %s", what, secret, a.body)
			}
		}
	}
	for _, c := range []struct{ method, body string }{{"GET", ""}, {"PATCH", `{"status":"Success"}`}} {
		m.want(c.method+" an unknown operation", m.call(c.method, "/"+own.id+"/operations/"+uuid.NewString(), c.body), 404, "no operation")
		m.want(c.method+" another subscription's operation", m.call(c.method, "/"+own.id+"/operations/"+facts.Operations[0].ID, c.body), 404, "no operation")
	}
	if theirs.versions() != before {
		t.Error("another publisher's subscription was written")
	}
}

// TestFresh reads what the cache cannot have yet.
func TestFresh(t *testing.T) {
	m := newMarket(t)
	for range 20 {
		s := m.bought()
		m.want("right after the purchase", m.call("GET", "/"+s.id, ""), 200, s.id)
	}
}

// TestSearches are bounded: each costs the API server a scan.
func TestSearches(t *testing.T) {
	m := newMarket(t, func(s *Service) { s.MaxSearches = 1 })
	count := map[int]int{}
	for range 30 {
		count[m.call("GET", "/"+uuid.NewString(), "").StatusCode]++
	}
	if count[404] < 2 || count[404] > 10 || count[503] < 20 {
		t.Errorf("got %v, want two searches and a second's more", count)
	}
}

func TestList(t *testing.T) {
	other, m := newMarket(t), newMarket(t) // whose purchases come first in the ledger, mostly
	for range 3 {
		other.buy(active)
	}
	a := m.call("GET", "", "")
	m.want("none", a, 200, "")
	if a.body != `{"subscriptions":[]}` {
		t.Errorf("none: got %s", a.body)
	}
	const total = 250
	want := map[string]bool{}
	for i := range total {
		s := m.bought([]func(*v1alpha1.EntitlementSpec){active, unsubscribed, suspended, func(*v1alpha1.EntitlementSpec) {}}[i%4])
		want[s.id] = true
	}
	var pages []int
	states := map[string]bool{}
	next := "/api/saas/subscriptions/?api-version=2018-08-31"
	for range 10 {
		a := m.raw("GET", next, "", "Authorization", "Bearer "+m.token)
		m.want("a page", a, 200, "")
		body := read[saasapi.SubscriptionList](m, a)
		pages = append(pages, len(body.Subscriptions))
		for _, s := range body.Subscriptions {
			if !want[s.ID] {
				t.Errorf("%s is listed twice, or another publisher's", s.ID)
			}
			delete(want, s.ID)
			states[s.SaaSSubscriptionStatus] = true
		}
		if body.NextLink == "" {
			break
		}
		link, ok := strings.CutPrefix(body.NextLink, base)
		if !ok {
			t.Fatalf("@nextLink is %q", body.NextLink)
		}
		next = link
		if u, _ := url.Parse(link); u.Query().Get("api-version") != "2018-08-31" || u.Query().Get("continuationToken") == "" {
			t.Errorf("@nextLink is %q", body.NextLink)
		}
	}
	if !slices.Equal(pages, []int{100, 100, 50}) || len(want) != 0 || len(states) != 4 {
		t.Errorf("got pages of %v in states %v, without %d", pages, states, len(want))
	}
	// Another publisher's place in the list opens nothing.
	u, _ := url.Parse(next)
	a = other.call("GET", "?continuationToken="+u.Query().Get("continuationToken"), "")
	for _, s := range read[saasapi.SubscriptionList](other, a).Subscriptions {
		if s.PublisherID != other.name {
			t.Errorf("another publisher's page shows %+v", s)
		}
	}
	for what, token := range map[string]string{"nonsense": "!!", "made up": "YWJj", "too long": strings.Repeat("A", 12<<10)} {
		m.want(what, m.call("GET", "?continuationToken="+token, ""), 400, "first page")
	}
	m.want("an empty one", m.call("GET", "?continuationToken=", ""), 200, "")
}

// TestLabel has a label say that a subscription is another publisher's than the
// record does.
func TestLabel(t *testing.T) {
	m, other := newMarket(t), newMarket(t)
	s := other.buy(active)
	e, _ := s.facts()
	e.Labels[v1alpha1.LabelPublisher] = m.name
	if err := live.Update(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	if a := m.call("GET", "", ""); a.body != `{"subscriptions":[]}` {
		t.Errorf("got %d, %s", a.StatusCode, a.body)
	}
}

// expired is an API server that no longer has the revision of a list.
type expired struct{ client.Reader }

func (expired) List(context.Context, client.ObjectList, ...client.ListOption) error {
	return apierrors.NewResourceExpired("The provided continue parameter is too old")
}

// TestListExpired reads on in a list that is gone.
func TestListExpired(t *testing.T) {
	m := newMarket(t, func(s *Service) { s.Live = expired{s.Live} })
	m.want("an old page", m.call("GET", "?continuationToken=YWJj", ""), 400, "first page")
}

// TestAway takes the API server away.
func TestAway(t *testing.T) {
	m := newMarket(t, func(s *Service) { s.APITimeout = time.Second })
	s := m.buy(active, delivered)
	_, facts := s.facts()
	op := facts.Operations[0].ID
	token := s.link("away-token")
	m.want("before", m.call("GET", "/"+s.id, ""), 200, "")
	before := s.versions()
	for _, c := range []struct{ method, path, body string }{
		{"GET", "", ""}, {"GET", "/" + s.id, ""}, {"POST", "/resolve", ""}, {"POST", "/" + s.id + "/activate", `{"planId":"silver"}`},
		{"PATCH", "/" + s.id, `{"quantity":3}`}, {"DELETE", "/" + s.id, ""}, {"GET", "/" + s.id + "/operations", ""},
		{"GET", "/" + s.id + "/operations/" + op, ""}, {"PATCH", "/" + s.id + "/operations/" + op, `{"status":"Failure"}`},
		{"GET", "/" + s.id + "/listAvailablePlans", ""},
	} {
		proxy.Pause()
		begin := time.Now()
		a := m.call(c.method, c.path, c.body, "x-ms-marketplace-token", token)
		took := time.Since(begin)
		proxy.Resume()
		m.want(c.method+" "+c.path, a, 503, "")
		if took > 3*time.Second {
			t.Errorf("%s %s: took %v", c.method, c.path, took)
		}
	}
	proxy.Pause()
	a := m.raw("GET", "/api/saas/subscriptions?api-version=2018-08-31", "", "Authorization", "Bearer not-seen-before")
	proxy.Resume()
	m.want("a caller who is not known", a, 503, "")
	if s.versions() != before {
		t.Error("something was written")
	}
	m.want("after", m.call("GET", "/"+s.id, ""), http.StatusOK, "")
}
