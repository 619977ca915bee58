package users

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"unicode"

	"github.com/license-operator/license-operator/api/v1alpha1"
)

// WriteText writes two views of each customer: each product once, and what each
// employee bought with its users.
func (r *Report) WriteText(w io.Writer) error {
	var text bytes.Buffer
	for rest := r.purchases; len(rest) > 0; {
		customer := rest[0].Namespace
		end := slices.IndexFunc(rest, func(p v1alpha1.SelfServicePurchase) bool { return p.Namespace != customer })
		if end < 0 {
			end = len(rest)
		}
		if text.Len() > 0 {
			text.WriteString("\n\n")
		}
		fmt.Fprintf(&text, "Products in self-service, customer %s\n\n", customer)
		r.products(&text, rest[:end])
		fmt.Fprintf(&text, "\nUsers by purchaser, customer %s\n\n", customer)
		byPurchaser(&text, rest[:end])
		rest = rest[end:]
	}
	_, err := text.WriteTo(w)
	return err
}

// products writes each product of a customer once.
func (r *Report) products(w io.Writer, purchases []v1alpha1.SelfServicePurchase) {
	out := table(w, "PRODUCT", "NAME", "PURCHASES", "QUANTITY", "ASSIGNED", "FREE")
	for len(purchases) > 0 {
		product := purchases[0].Spec.ProductRef.Name
		var count, quantity, assigned int64
		for len(purchases) > 0 && purchases[0].Spec.ProductRef.Name == product {
			if p := &purchases[0]; current(p) {
				count, quantity, assigned = count+1, quantity+p.Status.Quantity, assigned+p.Status.Assigned
			}
			purchases = purchases[1:]
		}
		out.row(product, r.names[product], fmt.Sprint(count), fmt.Sprint(quantity), fmt.Sprint(assigned), fmt.Sprint(quantity-assigned))
	}
	out.flush()
}

// byPurchaser writes what each employee of a customer bought and tries, and who
// uses it.
func byPurchaser(w io.Writer, purchases []v1alpha1.SelfServicePurchase) {
	sorted := slices.Clone(purchases)
	slices.SortStableFunc(sorted, func(a, b v1alpha1.SelfServicePurchase) int {
		return cmp.Compare(a.Spec.Purchaser.Username, b.Spec.Purchaser.Username)
	})
	out := table(w, "PURCHASER", "PURCHASE", "PRODUCT", "TYPE", "STATE", "QUANTITY", "EXPIRES", "NEXT", "PRICE", "USER")
	previous := ""
	for i := range sorted {
		p := &sorted[i]
		purchaser := p.Spec.Purchaser.Username
		if purchaser == previous {
			purchaser = "" // once for all of his purchases
		}
		previous = p.Spec.Purchaser.Username
		price, next, quantity := "", "", ""
		if p.Status.Price != nil {
			price = p.Status.Price.Amount + " " + p.Status.Price.Currency
		}
		if p.Status.Next != nil {
			next = p.Status.Next.Event
		}
		if p.Status.State != "" {
			quantity = fmt.Sprint(p.Status.Quantity)
		}
		users := p.Status.Users
		if !current(p) || len(users) == 0 {
			users = []v1alpha1.User{"-"}
		}
		out.row(purchaser, p.Name, p.Spec.ProductRef.Name, string(p.Spec.Type), cmp.Or(string(p.Status.State), "-"),
			cmp.Or(quantity, "-"), cmp.Or(expiry(p), "-"), cmp.Or(next, "-"), cmp.Or(price, "-"), string(users[0]))
		for _, user := range users[1:] {
			out.row("", "", "", "", "", "", "", "", "", string(user))
		}
	}
	out.flush()
}

type aligned struct{ *tabwriter.Writer }

func table(w io.Writer, columns ...string) aligned {
	t := aligned{tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)}
	t.row(columns...)
	return t
}

func (t aligned) row(cells ...string) {
	for i, cell := range cells {
		cells[i] = visible(cell)
	}
	_, _ = fmt.Fprintln(t, strings.Join(cells, "\t")) // into a buffer
}

func (t aligned) flush() { _ = t.Flush() }

// visible keeps what somebody typed from steering a terminal: what is not seen
// shows as U+FFFD.
func visible(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsGraphic(r) {
			return r
		}
		return unicode.ReplacementChar
	}, s)
}
