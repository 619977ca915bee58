package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/shopspring/decimal"

	"github.com/license-operator/license-operator/api/v1alpha1"
)

// invoice shows what contoso is charged for.
func (s *story) invoice(ctx context.Context) error {
	sub, err := s.service(ctx, "coffee", func(sub *v1alpha1.MarketplaceSubscription) bool { return sub.Status.EndedAt != nil })
	if err != nil {
		return err
	}
	month := sub.Status.PurchasedAt.UTC().Format("2006-01")
	operator, err := filepath.Abs(operatorBinary)
	if err != nil {
		return err
	}
	accountant := &person{prompt: "$ ", kubeconfig: s.cluster.Kubeconfig, vars: []string{"operator=" + operator}}
	say("Everything that contoso is charged for in a month, a line for each change, is read from the ledgers.",
		"Of all columns these are the name, the plan, what it is for, how many and how much. What was not activated costs nothing")
	columns := ` | grep -e ^CustomerId -e coffee-analytics | cut -d, -f7,11,14,20-22`
	if err := s.expect(ctx, accountant, operatorBinary+" invoice --customer contoso --month "+month+columns,
		"Coffee in Paris,Silver,new,10,40.00", "Coffee in the lab,Starter,new,3,0.00"); err != nil {
		return err
	}
	if month != sub.Status.EndedAt.UTC().Format("2006-01") {
		return nil // the rest is on the next invoice
	}
	text, err := quietly(ctx, accountant, "$operator invoice --customer contoso --month "+month+" --output json")
	if err != nil {
		return err
	}
	return checkInvoice(text, sub.Status.ID)
}

// checkInvoice checks that a subscription which was cancelled for its whole price
// costs nothing, and the lines that lead there; and that nothing is charged for
// before the activation.
func checkInvoice(text, id string) error {
	var invoice struct {
		Lines []struct {
			SubscriptionID   string `json:"subscriptionId"`
			SubscriptionName string `json:"subscriptionName"`
			ChargeType       string `json:"chargeType"`
			SubTotal         string `json:"subTotal"`
		} `json:"lines"`
	}
	if err := json.Unmarshal([]byte(text), &invoice); err != nil {
		return fmt.Errorf("reading the invoice: %w", err)
	}
	sum, types := decimal.Zero, map[string]int{}
	for _, line := range invoice.Lines {
		if line.SubscriptionName == "Coffee in Lyon" {
			return errors.New("contoso/coffee-lyon was not activated, and is charged for")
		}
		if line.SubscriptionID != id {
			continue
		}
		amount, err := decimal.NewFromString(line.SubTotal)
		if err != nil {
			return fmt.Errorf("reading the invoice: %w", err)
		}
		sum = sum.Add(amount)
		types[line.ChargeType]++
	}
	for _, typ := range []string{"new", "addQuantity", "removeQuantity", "convert", "cancelImmediate"} {
		if types[typ] == 0 {
			return fmt.Errorf("the invoice has no line %s for contoso/coffee, but %v", typ, types)
		}
	}
	if !sum.IsZero() {
		return errors.New("contoso/coffee was cancelled for its whole price, and costs " + sum.String())
	}
	return nil
}
