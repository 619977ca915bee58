package users

import (
	"encoding/json"
	"io"

	"github.com/license-operator/license-operator/internal/cli"
)

// Row is a user who has access now, by one purchase. docs/users.md explains the
// fields.
type Row struct {
	Customer       string `json:"customer"`
	Product        string `json:"product"`
	ProductName    string `json:"productName"`
	Purchase       string `json:"purchase"`
	Type           string `json:"type"`
	State          string `json:"state"`
	Purchaser      string `json:"purchaser"`
	PurchaserEmail string `json:"purchaserEmail"`
	User           string `json:"user"`
	ExpiresAt      string `json:"expiresAt"`
}

// columns of the CSV file, and cells in their order.
var columns = []string{"Customer", "Product", "ProductName", "Purchase", "Type", "State", "Purchaser", "PurchaserEmail", "User", "ExpiresAt"}

func (r *Row) cells() []string {
	return []string{r.Customer, r.Product, r.ProductName, r.Purchase, r.Type, r.State, r.Purchaser, r.PurchaserEmail, r.User, r.ExpiresAt}
}

// Rows are all users who have access now, by customer, product, purchaser,
// purchase and user.
func (r *Report) Rows() []Row {
	rows := []Row{}
	for i := range r.purchases {
		p := &r.purchases[i]
		if !current(p) {
			continue
		}
		for _, user := range p.Status.Users {
			rows = append(rows, Row{
				Customer: p.Namespace, Product: p.Spec.ProductRef.Name, ProductName: r.names[p.Spec.ProductRef.Name],
				Purchase: p.Name, Type: string(p.Spec.Type), State: string(p.Status.State),
				Purchaser: p.Spec.Purchaser.Username, PurchaserEmail: string(p.Spec.Purchaser.Email),
				User: string(user), ExpiresAt: expiry(p),
			})
		}
	}
	return rows
}

// WriteCSV writes the rows as RFC 4180 has it, the names of the columns first.
// No cell begins a formula.
func (r *Report) WriteCSV(w io.Writer) error {
	return cli.WriteCSV(w, func(yield func([]string) bool) {
		if !yield(columns) {
			return
		}
		for _, row := range r.Rows() {
			cells := row.cells()
			for i, cell := range cells {
				cells[i] = cli.Text(cell)
			}
			if !yield(cells) {
				return
			}
		}
	})
}

// WriteJSON writes the rows as a JSON list.
func (r *Report) WriteJSON(w io.Writer) error {
	out := json.NewEncoder(w)
	out.SetEscapeHTML(false)
	out.SetIndent("", "  ")
	return out.Encode(r.Rows())
}
