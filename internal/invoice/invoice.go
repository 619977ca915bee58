// Package invoice tells what a customer is charged for in a month, line by
// line, for software and for services alike. Everything comes from the ledgers,
// LicenseKeys and Entitlements, so subscriptions that were deleted are still
// there, and asking again gives the same answer. What a line amounts to is
// decided by the rules (terms.Account); this package gathers facts and writes
// files.
package invoice

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/shopspring/decimal"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/internal/terms"
)

// Invoice is what a customer is charged for in one month of UTC.
type Invoice struct {
	CustomerID string `json:"customerId"` // the customer's namespace
	Month      string `json:"invoiceMonth"`

	// Final is false as long as time alone may change something.
	Final bool `json:"final"`
	// Note says why it is not final, or why nothing is charged.
	Note string `json:"note,omitempty"`

	Totals []Total `json:"totals"` // by currency, in the order of their codes
	Lines  []Line  `json:"lines"`
}

// Total is the exact sum of the lines in one currency.
type Total struct {
	Currency string `json:"currency"`
	SubTotal string `json:"subTotal"`
}

// Line is one charge. Its fields are named as the columns of the reconciliation
// files of Microsoft's Partner Center; docs/invoices.md explains each.
type Line struct {
	CustomerID          string `json:"customerId"`
	InvoiceMonth        string `json:"invoiceMonth"`
	ResellerMpnID       string `json:"resellerMpnId"`
	OrderID             string `json:"orderId"`
	OrderDate           string `json:"orderDate"`
	SubscriptionID      string `json:"subscriptionId"`
	SubscriptionName    string `json:"subscriptionName"`
	ProductID           string `json:"productId"`
	ProductName         string `json:"productName"`
	SkuID               string `json:"skuId"`
	SkuName             string `json:"skuName"`
	PublisherID         string `json:"publisherId"`
	PublisherName       string `json:"publisherName"`
	ChargeType          string `json:"chargeType"`
	ChargeStartDate     string `json:"chargeStartDate"`
	ChargeEndDate       string `json:"chargeEndDate"`
	TermAndBillingCycle string `json:"termAndBillingCycle"`
	UnitPrice           string `json:"unitPrice"`
	EffectiveUnitPrice  string `json:"effectiveUnitPrice"`
	Quantity            int64  `json:"quantity"`
	SubTotal            string `json:"subTotal"`
	Currency            string `json:"currency"`
}

// UnknownCustomerError says that nobody of that name was ever there.
type UnknownCustomerError struct{ Customer string }

func (e *UnknownCustomerError) Error() string {
	return fmt.Sprintf("there is no customer %q: no namespace has that name, and nothing was ever bought in one. \"kubectl get namespaces\" lists those there are", e.Customer)
}

// purchase is one thing that was bought.
type purchase struct {
	account      terms.Account
	subscription string // the name of its object
	bought       time.Time
	common       Line              // what is the same on all of its lines
	plans        map[string]string // what people call them, by id
}

// Collect gathers what a customer is charged for in a month up to now. The
// reader is to read from the API server; it is asked for the customer's part of
// both ledgers, and for the products and publishers that are in it. It returns
// an UnknownCustomerError for a customer that never was.
func Collect(ctx context.Context, r client.Reader, customer string, month terms.Period, now time.Time) (*Invoice, error) {
	names := &catalogue{reader: r}
	services, err := services(ctx, r, names, customer, now)
	if err != nil {
		return nil, err
	}
	software, err := software(ctx, r, names, customer)
	if err != nil {
		return nil, err
	}
	all := slices.Concat(services, software)
	if len(all) == 0 {
		if err := exists(ctx, r, customer); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(all, func(a, b purchase) int {
		return cmp.Or(cmp.Compare(a.subscription, b.subscription), a.bought.Compare(b.bought), cmp.Compare(a.common.OrderID, b.common.OrderID))
	})
	inv := &Invoice{CustomerID: customer, Month: month.Start.Format("2006-01"), Final: month.Over(now), Totals: []Total{}, Lines: []Line{}}
	if !inv.Final {
		inv.Note = fmt.Sprintf("%s is not over: these are the charges up to %s", inv.Month, now.UTC().Format(time.RFC3339))
	}
	sums := map[string]decimal.Decimal{}
	for _, p := range all {
		for _, c := range p.account.ChargesIn(month, now) {
			inv.Lines = append(inv.Lines, p.line(inv, c))
			sums[p.account.Currency] = sums[p.account.Currency].Add(c.Amount)
		}
		if inv.Final && !p.account.Settled(month.End) {
			inv.Final = false
			inv.Note = fmt.Sprintf("%s can still change: it is not on record yet what became of subscription %s, whose term is over or which is gone", inv.Month, p.subscription)
		}
	}
	for currency, sum := range sums {
		inv.Totals = append(inv.Totals, Total{Currency: currency, SubTotal: amount(sum, currency)})
	}
	slices.SortFunc(inv.Totals, func(a, b Total) int { return cmp.Compare(a.Currency, b.Currency) })
	if inv.Note == "" && len(all) == 0 {
		inv.Note = fmt.Sprintf("customer %s has never bought anything", customer)
	} else if inv.Note == "" && len(inv.Lines) == 0 {
		inv.Note = fmt.Sprintf("nothing was charged to customer %s in %s", customer, inv.Month)
	}
	return inv, nil
}

// exists returns nil if a customer is there who has not bought anything.
func exists(ctx context.Context, r client.Reader, customer string) error {
	err := r.Get(ctx, client.ObjectKey{Name: customer}, &corev1.Namespace{})
	if apierrors.IsNotFound(err) {
		return &UnknownCustomerError{customer}
	}
	if err != nil {
		return fmt.Errorf("customer %s has not bought anything; looking whether there is one: %w", customer, err)
	}
	return nil
}

// line writes a charge down.
func (p *purchase) line(inv *Invoice, c terms.Charge) Line {
	l, currency := p.common, p.account.Currency
	l.CustomerID, l.InvoiceMonth, l.Currency = inv.CustomerID, inv.Month, currency
	l.OrderDate, l.ChargeType = date(c.At), string(c.Type)
	l.ChargeStartDate, l.ChargeEndDate = date(c.Start), lastDay(c.Start, c.End)
	l.SkuID, l.SkuName = c.Plan, cmp.Or(p.plans[c.Plan], c.Plan)
	l.TermAndBillingCycle = string(p.account.Term)
	if p.account.Term != terms.Perpetual {
		l.TermAndBillingCycle += "/" + cmp.Or(string(c.Cycle), "Upfront")
	}
	l.UnitPrice, l.EffectiveUnitPrice = amount(c.UnitPrice, currency), amount(c.EffectiveUnitPrice, currency)
	l.Quantity, l.SubTotal = c.Quantity, amount(c.Amount, currency)
	return l
}

func date(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// lastDay is the last day of a service period. Partner Center's dates include
// it: a month from 10 June is charged to 9 July.
func lastDay(start, end time.Time) string {
	if end.IsZero() {
		return ""
	}
	return max(date(start), date(end.AddDate(0, 0, -1)))
}

// amount writes money with the decimals of its currency, and with more where it
// has more.
func amount(d decimal.Decimal, currency string) string {
	if digits := terms.MinorDigits(currency); d.Equal(d.Round(digits)) {
		return d.StringFixed(digits)
	}
	return d.String()
}
