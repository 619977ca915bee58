package invoice

import (
	"encoding/json"
	"io"
	"strconv"

	"github.com/license-operator/license-operator/internal/cli"
)

// columns of the CSV file, in their order.
var columns = []struct {
	name  string
	value func(*Line) string
}{
	{"CustomerId", func(l *Line) string { return cli.Text(l.CustomerID) }},
	{"InvoiceMonth", func(l *Line) string { return l.InvoiceMonth }},
	{"ResellerMpnId", func(l *Line) string { return cli.Text(l.ResellerMpnID) }},
	{"OrderId", func(l *Line) string { return cli.Text(l.OrderID) }},
	{"OrderDate", func(l *Line) string { return l.OrderDate }},
	{"SubscriptionId", func(l *Line) string { return cli.Text(l.SubscriptionID) }},
	{"SubscriptionName", func(l *Line) string { return cli.Text(l.SubscriptionName) }},
	{"ProductId", func(l *Line) string { return cli.Text(l.ProductID) }},
	{"ProductName", func(l *Line) string { return cli.Text(l.ProductName) }},
	{"SkuId", func(l *Line) string { return cli.Text(l.SkuID) }},
	{"SkuName", func(l *Line) string { return cli.Text(l.SkuName) }},
	{"PublisherId", func(l *Line) string { return cli.Text(l.PublisherID) }},
	{"PublisherName", func(l *Line) string { return cli.Text(l.PublisherName) }},
	{"ChargeType", func(l *Line) string { return l.ChargeType }},
	{"ChargeStartDate", func(l *Line) string { return l.ChargeStartDate }},
	{"ChargeEndDate", func(l *Line) string { return l.ChargeEndDate }},
	{"TermAndBillingCycle", func(l *Line) string { return l.TermAndBillingCycle }},
	{"UnitPrice", func(l *Line) string { return l.UnitPrice }},
	{"EffectiveUnitPrice", func(l *Line) string { return l.EffectiveUnitPrice }},
	{"Quantity", func(l *Line) string { return strconv.FormatInt(l.Quantity, 10) }},
	{"SubTotal", func(l *Line) string { return l.SubTotal }},
	{"Currency", func(l *Line) string { return l.Currency }},
}

// WriteCSV writes the lines as RFC 4180 has it, the names of the columns first.
func (inv *Invoice) WriteCSV(w io.Writer) error {
	return cli.WriteCSV(w, func(yield func([]string) bool) {
		record := make([]string, len(columns))
		for i, c := range columns {
			record[i] = c.name
		}
		for i := 0; yield(record) && i < len(inv.Lines); i++ {
			for j, c := range columns {
				record[j] = c.value(&inv.Lines[i])
			}
		}
	})
}

// WriteJSON writes the invoice as one JSON object.
func (inv *Invoice) WriteJSON(w io.Writer) error {
	out := json.NewEncoder(w)
	out.SetIndent("", "  ")
	return out.Encode(inv)
}
