package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"time"
)

var (
	//go:embed page.html
	pageHTML string
	//go:embed page.css
	pageCSS string

	pages = template.Must(template.New("page").Funcs(template.FuncMap{
		"style": func() template.CSS { return template.CSS(pageCSS) },
	}).Parse(pageHTML))

	contentSecurityPolicy = "default-src 'none'; style-src '" + styleHash() + "'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

	// offers are what the publisher calls its products.
	offers = map[string]string{"coffee-analytics": "Coffee Analytics"}
)

func styleHash() string {
	sum := sha256.Sum256([]byte(pageCSS))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

// view is what a page shows: a new purchase, an account, or a text.
type view struct {
	Kind, Title string
	Texts       []string
	Setup       *setup
	Account     *accountView
	message
}

// message is what somebody did wrong, or what went wrong.
type message struct {
	Problem string
	Fields  map[string]string // what is wrong with each
	code    int               // HTTP status; 0: it is the form's fault
}

func (m message) status() int {
	if m.code != 0 {
		return m.code
	}
	return http.StatusUnprocessableEntity
}

type fact struct{ Name, Value string }

type setup struct {
	Action         string
	Facts          []fact
	Company, Email string
	Terms          string
}

type accountView struct {
	Base          string
	State, Notice string
	Facts         []fact
	Seats, Users  int64 // Seats 0: not sold by the seat
	Active        bool
	Update, End   bool // what may be asked for here
	Plan          string
	Plans         []plan
	Events        []event
}

// When it happened, for people.
func (e event) When() string { return e.At.UTC().Format("2 January 2006, 15:04:05 UTC") }

// showVisit shows what somebody came for.
func (s *site) showVisit(ctx context.Context, w http.ResponseWriter, code int, v *visit, m message) {
	plans, err := s.api.plans(ctx, v.sub.ID)
	if err != nil { // their names are not worth an error
		s.logger.Warn("cannot read the plans", "subscription", v.sub.ID, "err", err)
	}
	product := offers[v.sub.OfferID]
	if product == "" {
		product = v.sub.OfferID
	}
	page := view{Kind: product, message: m}
	if v.sub.Status == statusPending {
		page.Kind, page.Title = "Fourth Coffee", "Set up "+product
		page.Setup = newSetup(v, product, plans)
	} else {
		page.Title = v.account.Company
		if page.Title == "" {
			page.Title = product
		}
		page.Account = newAccountView(v, plans)
	}
	s.show(w, code, page)
}

func newSetup(v *visit, product string, plans []plan) *setup {
	n := &setup{Action: "/accounts/" + v.sub.ID + "/activate", Facts: []fact{{"Product", product}}}
	n.Facts = append(n.Facts, bought(v.sub, plans)...)
	n.Company, n.Email = v.form("company"), v.form("email")
	if n.Email == "" {
		n.Email = v.sub.Beneficiary.Email
	}
	n.Terms = "Nothing is charged until you activate it. Billing begins then."
	if v.sub.IsFreeTrial || slices.ContainsFunc(plans, func(p plan) bool { return p.ID == v.sub.PlanID && p.HasTrial }) {
		n.Terms = "Nothing is charged until you activate it. If a free trial comes with your purchase, it begins then."
	}
	return n
}

func newAccountView(v *visit, plans []plan) *accountView {
	may := func(operation string) bool {
		return v.sub.Status == statusSubscribed && slices.Contains(v.sub.AllowedOperations, operation)
	}
	n := &accountView{
		Base: "/accounts/" + v.sub.ID, Active: v.sub.Status == statusSubscribed,
		Seats: v.sub.Quantity, Users: v.account.Users, Plan: v.sub.PlanID, Plans: plans,
		Update: may("Update"), End: may("Delete"),
	}
	switch v.sub.Status {
	case statusSubscribed:
		n.State = "Active"
	case statusSuspended:
		n.State = "Suspended"
		n.Notice = "Nobody can sign in because the subscription was not paid for. Everything is kept. Ask whoever buys for you to reinstate it at the marketplace."
	case statusUnsubscribed:
		n.State = "Ended"
		n.Notice = "The subscription has ended for good. For 7 days you can have your data from Fourth Coffee."
	default:
		n.State = v.sub.Status
	}
	n.Facts = append([]fact{{"State", n.State}}, bought(v.sub, plans)...)
	if v.sub.Quantity > 0 && n.Active {
		n.Facts = append(n.Facts, fact{"In use", fmt.Sprintf("%d of %d seats", n.Users, n.Seats)})
	}
	if n.Active && v.sub.Term.End != "" {
		then := "then it ends"
		if v.sub.AutoRenew {
			then = "then it renews"
		}
		n.Facts = append(n.Facts, fact{"Until", day(v.sub.Term.End) + ", " + then})
	}
	n.Facts = append(n.Facts, known(fact{"Administrator", v.account.AdminEmail})...)
	n.Events = slices.Clone(v.account.Events)
	slices.Reverse(n.Events)
	return n
}

// bought is what every page says of a purchase.
func bought(sub *subscription, plans []plan) []fact {
	name := sub.PlanID
	for _, p := range plans {
		if p.ID == sub.PlanID && p.DisplayName != "" {
			name = p.DisplayName
		}
	}
	facts := []fact{{"Plan", name}}
	if sub.Quantity > 0 {
		facts = append(facts, fact{"Seats", fmt.Sprint(sub.Quantity)})
	}
	facts = append(facts, known(fact{"Name", sub.Name}, fact{"Used by", sub.Beneficiary.Email})...)
	if sub.Purchaser.Email != sub.Beneficiary.Email {
		facts = append(facts, known(fact{"Bought by", sub.Purchaser.Email})...)
	}
	return facts
}

// known leaves out what has no value.
func known(facts ...fact) []fact {
	return slices.DeleteFunc(facts, func(f fact) bool { return f.Value == "" })
}

// day of an instant, for people.
func day(instant string) string {
	t, err := time.Parse(time.RFC3339, instant)
	if err != nil {
		return instant
	}
	return t.UTC().Format("2 January 2006")
}

// show shows a page.
func (s *site) show(w http.ResponseWriter, code int, v view) {
	var page bytes.Buffer
	if err := pages.Execute(&page, v); err != nil {
		panic(fmt.Errorf("showing a page: %w", err)) // a mistake in page.html
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(code)
	_, _ = w.Write(page.Bytes()) // a client that left misses nothing
}
