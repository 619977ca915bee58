package ledger

import (
	"fmt"
	"time"

	"github.com/shopspring/decimal"
	"github.com/sosodev/duration"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/terms"
)

// Contract gives the rules what was agreed, as the entries of a purchase have
// it. There is at least one, in the order of Held.
func Contract(held []v1alpha1.LicenseKey) (terms.Contract, error) {
	p := held[0].Spec.Purchase
	price, err := decimal.NewFromString(p.UnitPrice.Amount)
	if err != nil {
		return terms.Contract{}, fmt.Errorf("price of the purchase: %w", err)
	}
	window, err := duration.Parse(string(p.Cancellation.Window))
	if err != nil {
		return terms.Contract{}, fmt.Errorf("cancellation window of the purchase: %w", err)
	}
	c := terms.Contract{
		Purchased: p.At.UTC(), Term: terms.Term(p.Term), Quantity: p.Quantity,
		UnitPrice: price, Currency: p.UnitPrice.Currency,
		Window: window.ToTimeDuration(), Refund: terms.Refund(p.Cancellation.Refund),
	}
	for _, change := range held[0].Spec.QuantityChanges {
		c.Changes = append(c.Changes, terms.Change{At: change.At.UTC(), Quantity: change.Quantity})
	}
	return c, nil
}

// Recorded is the latest term of a purchase that is on record.
func Recorded(held []v1alpha1.LicenseKey, c terms.Contract) terms.Period {
	within := c.Purchased
	for _, entry := range held {
		if until := entry.Spec.RenewedUntil; until != nil {
			within = until.Add(-time.Second)
		}
	}
	return c.PeriodAt(within)
}

// Ended reports how and when a purchase ended, if it did. Its first key ends
// only with it; others are revoked when the quantity goes down.
func Ended(held []v1alpha1.LicenseKey) (v1alpha1.LicenseKeyState, metav1.Time, bool) {
	for _, entry := range held {
		if entry.Spec.Slot == 1 && entry.Spec.State != v1alpha1.LicenseKeyIssued && entry.Spec.EndedAt != nil {
			return entry.Spec.State, *entry.Spec.EndedAt, true
		}
	}
	return "", metav1.Time{}, false
}
