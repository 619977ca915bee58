package invoice

import (
	"encoding/csv"
	"encoding/json"
	"io"
	"strconv"
	"strings"
	"unicode"
)

// columns of the CSV file, in their order.
var columns = []struct {
	name  string
	value func(*Line) string
}{
	{"CustomerId", func(l *Line) string { return text(l.CustomerID) }},
	{"InvoiceMonth", func(l *Line) string { return l.InvoiceMonth }},
	{"ResellerMpnId", func(l *Line) string { return text(l.ResellerMpnID) }},
	{"OrderId", func(l *Line) string { return text(l.OrderID) }},
	{"OrderDate", func(l *Line) string { return l.OrderDate }},
	{"SubscriptionId", func(l *Line) string { return text(l.SubscriptionID) }},
	{"SubscriptionName", func(l *Line) string { return text(l.SubscriptionName) }},
	{"ProductId", func(l *Line) string { return text(l.ProductID) }},
	{"ProductName", func(l *Line) string { return text(l.ProductName) }},
	{"SkuId", func(l *Line) string { return text(l.SkuID) }},
	{"SkuName", func(l *Line) string { return text(l.SkuName) }},
	{"PublisherId", func(l *Line) string { return text(l.PublisherID) }},
	{"PublisherName", func(l *Line) string { return text(l.PublisherName) }},
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
	out := csv.NewWriter(w)
	out.UseCRLF = true
	record := make([]string, len(columns))
	for i, c := range columns {
		record[i] = c.name
	}
	if err := out.Write(record); err != nil {
		return err
	}
	for i := range inv.Lines {
		for j, c := range columns {
			record[j] = c.value(&inv.Lines[i])
		}
		if err := out.Write(record); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

// WriteJSON writes the invoice as one JSON object.
func (inv *Invoice) WriteJSON(w io.Writer) error {
	out := json.NewEncoder(w)
	out.SetIndent("", "  ")
	return out.Encode(inv)
}

// text keeps a spreadsheet from taking what somebody typed for a formula, by an
// apostrophe before what could begin one. That is the first character, and any
// that follows a separator or a quote, because a spreadsheet may cut a line at
// another separator than ours.
func text(s string) string {
	var b strings.Builder
	first := true
	for _, r := range s {
		if first && (strings.ContainsRune("=+-@＝＋－＠", r) || unicode.IsControl(r)) {
			b.WriteByte('\'')
		}
		b.WriteRune(r)
		first = strings.ContainsRune(",;|\"", r) || unicode.IsControl(r) || first && unicode.IsSpace(r)
	}
	return b.String()
}
