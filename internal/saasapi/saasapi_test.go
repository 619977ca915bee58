package saasapi

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/entitlements"
	"github.com/license-operator/license-operator/internal/terms"
)

const day = 24 * time.Hour

func at(text string) time.Time {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		panic(err)
	}
	return t
}

// bought is a purchase of 10 seats of silver for a month.
func bought(on time.Time, change ...func(*v1alpha1.EntitlementSpec)) (*v1alpha1.Entitlement, *terms.Entitlement) {
	e := &v1alpha1.Entitlement{Spec: v1alpha1.EntitlementSpec{
		ID: "0b5c8ff4-5b5c-4f5e-9a39-1d1fa3f2c001", Customer: "contoso", Subscription: v1alpha1.SubscriptionIdentity{Name: "coffee"},
		ProductRef: v1alpha1.Reference{Name: "coffee"}, PublisherRef: v1alpha1.Reference{Name: "fourth-coffee"}, OfferID: "analytics",
		Purchase: v1alpha1.ServicePurchase{At: metav1.NewTime(on), Term: v1alpha1.TermMonth,
			Cancellation: v1alpha1.CancellationPolicy{Window: "P3D", Refund: v1alpha1.RefundFull},
			ServiceLevel: v1alpha1.ServiceLevel{PlanID: "silver", Quantity: 10, UnitPrice: v1alpha1.Money{Amount: "4.00", Currency: "EUR"}, BillingCycle: v1alpha1.BillingMonthly}},
		Subscriber: v1alpha1.Subscriber{AutoRenew: true, Beneficiary: &v1alpha1.Person{Email: "ada@contoso.example"}},
	}}
	for _, f := range change {
		f(&e.Spec)
	}
	facts, err := entitlements.Facts(e)
	if err != nil {
		panic(err)
	}
	return e, facts
}

func TestTerm(t *testing.T) {
	for what, row := range map[string]struct {
		activated  string
		term       terms.Term
		trial      time.Duration
		after      time.Duration
		start, end string
	}{
		"a month":                   {"2022-03-04T10:15:00Z", terms.Month, 0, 0, "2022-03-04", "2022-04-03"},
		"from midnight":             {"2022-03-04T00:00:00Z", terms.Month, 0, 0, "2022-03-04", "2022-04-03"},
		"from the last second":      {"2022-03-04T23:59:59Z", terms.Month, 0, 0, "2022-03-04", "2022-04-03"},
		"in another time zone":      {"2022-03-05T01:00:00+02:00", terms.Month, 0, 0, "2022-03-04", "2022-04-03"},
		"from the end of a month":   {"2022-01-31T08:00:00Z", terms.Month, 0, 0, "2022-01-31", "2022-02-27"},
		"the month after it":        {"2022-01-31T08:00:00Z", terms.Month, 0, 29 * day, "2022-02-28", "2022-03-30"},
		"a year from a leap day":    {"2024-02-29T08:00:00Z", terms.Year, 0, 0, "2024-02-29", "2025-02-27"},
		"five years":                {"2024-01-01T08:00:00Z", terms.FiveYears, 0, 0, "2024-01-01", "2028-12-31"},
		"a trial of a fortnight":    {"2022-03-04T10:15:00Z", terms.Month, 14 * day, 0, "2022-03-04", "2022-03-17"},
		"a trial of an hour":        {"2022-03-04T10:15:00Z", terms.Month, time.Hour, 0, "2022-03-04", "2022-03-04"},
		"the term after the trial":  {"2022-03-04T10:15:00Z", terms.Month, 14 * day, 14 * day, "2022-03-18", "2022-04-17"},
		"the second before renewal": {"2022-03-04T10:15:00Z", terms.Month, 0, 31*day - time.Second, "2022-03-04", "2022-04-03"},
		"the renewal":               {"2022-03-04T10:15:00Z", terms.Month, 0, 31 * day, "2022-04-04", "2022-05-03"},
	} {
		e, facts := bought(at(row.activated))
		facts.Term, facts.Trial = row.term, row.trial
		facts.Activate(at(row.activated))
		facts.Follow(at(row.activated).Add(row.after))
		s := NewSubscription(e, facts)
		start, end := s.Term.StartDate.Format(time.RFC3339), s.Term.EndDate.Format(time.RFC3339)
		if start != row.start+"T00:00:00Z" || end != row.end+"T00:00:00Z" || s.Term.TermUnit != string(row.term) {
			t.Errorf("%s: got %s to %s, want %s to %s", what, start, end, row.start, row.end)
		}
	}
}

func TestPeople(t *testing.T) {
	person := func(email v1alpha1.Email) *v1alpha1.Person { return &v1alpha1.Person{Email: email} }
	for what, row := range map[string]struct {
		beneficiary, purchaser *v1alpha1.Person
		partner, sameTenant    bool
		purchaserMail          string
	}{
		"nobody else":          {person("ada@contoso.example"), nil, false, true, "ada@contoso.example"},
		"the same person":      {person("ada@contoso.example"), person("ada@contoso.example"), false, true, "ada@contoso.example"},
		"a colleague":          {person("ada@contoso.example"), person("bob@Contoso.EXAMPLE"), false, true, "bob@Contoso.EXAMPLE"},
		"a partner":            {person("ada@contoso.example"), person("bob@partner.example"), true, false, "bob@partner.example"},
		"a partner for nobody": {nil, person("bob@partner.example"), true, false, "bob@partner.example"},
		"nobody at all":        {nil, nil, false, true, ""},
	} {
		e, facts := bought(at("2022-03-04T10:15:00Z"), func(e *v1alpha1.EntitlementSpec) {
			e.Subscriber.Beneficiary, e.Subscriber.Purchaser = row.beneficiary, row.purchaser
		})
		s := NewSubscription(e, facts)
		allowed := strings.Join(s.AllowedCustomerOperations, ",")
		if (allowed == "Read") != row.partner || !row.partner && allowed != "Read,Update,Delete" {
			t.Errorf("%s: the customer may %s", what, allowed)
		}
		if (s.Beneficiary.TenantID == s.Purchaser.TenantID) != row.sameTenant || s.Purchaser.EmailID != row.purchaserMail {
			t.Errorf("%s: got %+v and %+v", what, s.Beneficiary, s.Purchaser)
		}
		for _, p := range []Person{s.Beneficiary, s.Purchaser} {
			if uuid.Validate(p.TenantID) != nil || (p.EmailID != "") != (uuid.Validate(p.ObjectID) == nil) {
				t.Errorf("%s: got %+v", what, p)
			}
		}
	}
	// A customer is nobody else, whatever the mail addresses say.
	e, facts := bought(at("2022-03-04T10:15:00Z"))
	f := e.DeepCopy()
	f.Spec.Customer = "fabrikam"
	a, b := NewSubscription(e, facts).Beneficiary, NewSubscription(f, facts).Beneficiary
	if a.TenantID == b.TenantID || a.ObjectID == b.ObjectID {
		t.Errorf("two customers are one: %+v, %+v", a, b)
	}
	f = e.DeepCopy()
	f.Spec.Subscriber.Beneficiary.Email = "ADA@contoso.example"
	if b := NewSubscription(f, facts).Beneficiary; a.ObjectID != b.ObjectID {
		t.Error("capitals make another person")
	}
	// These are known to publishers: they must not change with a release.
	if a.TenantID != "67aeed2f-3798-5763-83b9-a836ace78346" {
		t.Errorf("the tenant is %s", a.TenantID)
	}
}

func TestLastModified(t *testing.T) {
	began := at("2022-03-04T10:15:00Z")
	for what, row := range map[string]struct {
		do   func(*terms.Entitlement)
		want time.Duration
	}{
		"bought":    {func(*terms.Entitlement) {}, 0},
		"activated": {func(f *terms.Entitlement) { f.Activate(began.Add(day)) }, day},
		"renewed":   {func(f *terms.Entitlement) { f.Activate(began); f.Follow(began.Add(40 * day)) }, 31 * day},
		"suspended": {func(f *terms.Entitlement) { f.Activate(began); f.Suspend(began.Add(2 * day)) }, 2 * day},
		"asked for": {func(f *terms.Entitlement) { f.Activate(began); f.Request(terms.ChangePlan, f.Bought, began.Add(3*day)) }, 3 * day},
		"changed": {func(f *terms.Entitlement) {
			f.Activate(began)
			f.Request(terms.ChangePlan, f.Bought, began)
			f.Answer(true, "", began.Add(day))
		}, day},
		"reinstated": {func(f *terms.Entitlement) {
			f.Activate(began)
			f.Suspend(began)
			f.Request(terms.Reinstate, f.Bought, began)
			f.Answer(true, "", began.Add(day))
		}, day},
		"ended":       {func(f *terms.Entitlement) { f.End(terms.EndCancelled, began.Add(day), began.Add(day)) }, day},
		"never begun": {func(f *terms.Entitlement) { f.Follow(began.Add(40 * day)) }, terms.ActivationTime},
	} {
		e, facts := bought(began)
		row.do(facts)
		if got := NewSubscription(e, facts).LastModified.Sub(began); got != row.want {
			t.Errorf("%s: last modified after %v, want %v", what, got, row.want)
		}
	}
}

// TestPayload checks the body of a webhook's call, byte by byte.
func TestPayload(t *testing.T) {
	began := at("2022-03-04T10:15:00Z")
	e, facts := bought(began)
	facts.Activate(began)
	level := facts.Level()
	level.Quantity = 20
	facts.Request(terms.ChangeQuantity, level, began.Add(time.Hour))
	facts.Operations[0].ID = "74dfb4db-c193-4891-827d-eb05fbdc64b0"
	text, err := json.Marshal(NewPayload(e, facts, &facts.Operations[0]))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"id":"74dfb4db-c193-4891-827d-eb05fbdc64b0","activityId":"74dfb4db-c193-4891-827d-eb05fbdc64b0","publisherId":"fourth-coffee","offerId":"analytics",` +
		`"planId":"silver","quantity":20,"subscriptionId":"0b5c8ff4-5b5c-4f5e-9a39-1d1fa3f2c001","timeStamp":"2022-03-04T11:15:00Z","action":"ChangeQuantity",` +
		`"status":"InProgress","operationRequestSource":"Azure","subscription":{"id":"0b5c8ff4-5b5c-4f5e-9a39-1d1fa3f2c001","name":"coffee","publisherId":"fourth-coffee",` +
		`"offerId":"analytics","planId":"silver","quantity":10,`
	if !strings.HasPrefix(string(text), want) || !strings.HasSuffix(string(text), `},"purchaseToken":null}`) {
		t.Errorf("got  %s\nwant %s", text, want)
	}
	facts.Operations[0].ByPublisher = true
	facts.Suspend(began.Add(2 * time.Hour))
	for i, want := range []string{"Partner Failed", "Azure Succeeded"} {
		p := NewPayload(e, facts, &facts.Operations[i])
		if got := p.OperationRequestSource + " " + p.Status; got != want || p.Subscription.SaaSSubscriptionStatus != "Suspended" {
			t.Errorf("%s: got %s", p.Action, got)
		}
	}
	if op := NewOperation(e, &facts.Operations[0]); op.ErrorMessage != "the service was suspended" || op.ErrorStatusCode == "" {
		t.Errorf("got %+v", op)
	}
	if list := NewPending(e, facts).Operations; len(list) != 0 {
		t.Errorf("%+v wait for the publisher", list)
	}
	flat := facts.Operations[0]
	flat.Level.Quantity = 0
	text, _ = json.Marshal(NewPayload(e, facts, &flat))
	if !strings.Contains(string(text), `"quantity":null,"subscriptionId"`) {
		t.Errorf("without seats: got %s", text)
	}
}

func TestActions(t *testing.T) {
	for rule, wire := range map[terms.Action]string{
		terms.ChangePlan: ActionChangePlan, terms.ChangeQuantity: ActionChangeQuantity, terms.Reinstate: ActionReinstate,
		terms.Renew: ActionRenew, terms.Suspend: ActionSuspend, terms.Unsubscribe: ActionUnsubscribe,
	} {
		if string(rule) != wire {
			t.Errorf("%s is %s on the wire", rule, wire)
		}
	}
	for rule, wire := range map[terms.Progress]string{terms.InProgress: StatusInProgress, terms.Succeeded: StatusSucceeded, terms.Failed: StatusFailed} {
		if string(rule) != wire {
			t.Errorf("%s is %s on the wire", rule, wire)
		}
	}
}

func TestQuantity(t *testing.T) {
	for text, want := range map[string]Quantity{
		`5`: {true, 5}, `"5"`: {true, 5}, `0`: {}, `"0"`: {}, `-1`: {true, -1}, `null`: {}, `""`: {},
	} {
		var got Quantity
		if err := json.Unmarshal([]byte(text), &got); err != nil || got != want {
			t.Errorf("%s: got %+v, %v", text, got, err)
		}
		if again, err := json.Marshal(got); err != nil || want.Given && strings.Trim(text, `"`) != string(again) || !want.Given && string(again) != "null" {
			t.Errorf("%s: written as %s, %v", text, again, err)
		}
	}
	for _, text := range []string{`5.0`, `5.5`, `1e2`, `"five"`, `" 5"`, `true`, `{}`, `[]`, `9223372036854775808`} {
		if err := json.Unmarshal([]byte(text), new(Quantity)); err == nil {
			t.Errorf("%s is taken for a quantity", text)
		}
	}
}

func TestPlans(t *testing.T) {
	_, facts := bought(at("2022-03-04T10:15:00Z"))
	p := &v1alpha1.Product{Spec: v1alpha1.ProductSpec{
		Terms: []v1alpha1.TermOffer{{Term: v1alpha1.TermMonth, Price: v1alpha1.Money{Amount: "4.00", Currency: "EUR"}}},
		SaaS:  &v1alpha1.SaaSProduct{Plans: []v1alpha1.Plan{{ID: "silver"}, {ID: "gold", StopSell: true}, {ID: "flat"}}},
	}}
	ids := func() (ids string) {
		for _, l := range NewPlans(facts, p).Plans {
			ids += l.PlanID + " "
		}
		return ids
	}
	if got := ids(); got != "silver flat " {
		t.Errorf("got %s", got)
	}
	p.Spec.Terms[0].Price.Currency = "USD"
	if got := ids(); got != "silver " {
		t.Errorf("in another currency: got %s", got)
	}
	for what, row := range map[string]struct {
		customers *v1alpha1.Customers
		private   bool
	}{
		"for everybody":    {nil, false},
		"for every one":    {&v1alpha1.Customers{}, false},
		"for some of them": {&v1alpha1.Customers{NamespaceSelector: metav1.LabelSelector{MatchLabels: map[string]string{"a": "b"}}}, true},
	} {
		p.Spec.Customers = row.customers
		if got := NewPlans(facts, p).Plans[0].IsPrivate; got != row.private {
			t.Errorf("%s: private is %v", what, got)
		}
	}
	p.Spec.SaaS = nil
	if got := ids(); got != "silver " {
		t.Errorf("of software: got %s", got)
	}
}
