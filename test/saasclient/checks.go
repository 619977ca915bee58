package saasclient

import (
	"errors"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// get reads the subscription and checks what clients with closed types would
// choke on.
func (l *life) get(status, plan string, quantity int64) {
	l.t.Helper()
	s, err := l.c.Get(l.t.Context(), l.s.ID)
	l.fine(err)
	if s.Status != status || s.PlanID != plan || s.Quantity != quantity {
		l.t.Fatalf("it is %s with %d of %s, not %s with %d of %s", s.Status, s.Quantity, s.PlanID, status, quantity, plan)
	}
	if s.OfferID != l.p.Offer || s.PublisherID != l.p.Publisher || s.Name == "" || s.Created == nil || s.Created.After(time.Now().Add(time.Minute)) {
		l.t.Errorf("a client cannot tell what this is: %+v", s)
	}
	for _, id := range []string{s.ID, s.Beneficiary.Tenant, s.Purchaser.Tenant} {
		l.uuid(id)
	}
	for _, id := range []*string{s.Beneficiary.Object, s.Purchaser.Object} {
		if id != nil {
			l.uuid(*id)
		}
	}
	if !slices.Contains([]string{"P1M", "P1Y", "P2Y", "P3Y", "P4Y", "P5Y"}, s.Term.Unit) ||
		!slices.Contains([]string{"None", "Csp"}, s.SandboxType) || !slices.Contains([]string{"None", "DryRun"}, s.SessionMode) {
		l.t.Errorf("a word of %+v is not one of the API", s)
	}
	for _, allowed := range s.Allowed {
		if !slices.Contains([]string{"Read", "Update", "Delete"}, allowed) {
			l.t.Errorf("nobody knows what it is to %s", allowed)
		}
	}
	l.s = s
}

func (l *life) check(o *Operation, action string) {
	l.t.Helper()
	l.uuid(o.ID)
	l.uuid(o.ActivityID)
	if o.SubscriptionID != l.s.ID || o.OfferID != l.p.Offer || o.PublisherID != l.p.Publisher || o.Action != action || o.PlanID == "" || o.Time == nil {
		l.t.Errorf("a client cannot tell what this is: %+v", o)
	}
}

// operationID takes it from the address of an operation, which has to be below
// the client's base address.
func (l *life) operationID(location string) string {
	l.t.Helper()
	at, err := url.Parse(location)
	if err != nil || !strings.HasPrefix(location, l.c.Base+"/saas/subscriptions/"+l.s.ID+"/operations/") || at.Query().Get("api-version") != "2018-08-31" {
		l.t.Fatalf("Operation-Location is %q, %v", location, err)
	}
	return path.Base(at.Path)
}

func (l *life) uuid(id string) {
	l.t.Helper()
	if uuid.Validate(id) != nil || len(id) != 36 {
		l.t.Errorf("%q is no UUID", id)
	}
}

func (l *life) fine(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

// refused expects a refusal that says why.
func (l *life) refused(err error, status int) {
	l.t.Helper()
	var no *Refused
	if !errors.As(err, &no) || no.Status != status || no.Code == "" {
		l.t.Errorf("got %v, not a refusal with status %d", err, status)
	}
}
