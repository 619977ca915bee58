// Package users tells an administrator what employees bought and try
// themselves, and who uses it. Everything is what the operator wrote in the
// status of SelfServicePurchases; this package gathers it and writes it down.
package users

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
)

// Query is what is asked for.
type Query struct {
	Customer  string   // the customer's namespace; empty: all customers
	Product   string   // only of this one; empty: of all
	Purchases []string // only these; none: all
}

// Report is what employees bought and try.
type Report struct {
	// whose says whom it is about, in the words of a note.
	whose string
	// purchases by customer, product, purchaser and name, also those that have
	// ended.
	purchases []v1alpha1.SelfServicePurchase
	// names that people call products by.
	names map[string]string
}

// Collect gathers what is asked for. The reader is to read from the API server.
// What was asked for by name has to be there. Who may not read Products gets
// their names in place of their display names.
func Collect(ctx context.Context, r client.Reader, q Query) (*Report, error) {
	var list v1alpha1.SelfServicePurchaseList
	if err := r.List(ctx, &list, client.InNamespace(q.Customer)); err != nil {
		if q.Customer == "" {
			return nil, fmt.Errorf("reading the self-service purchases of all customers: %w", err)
		}
		return nil, fmt.Errorf("reading the self-service purchases of customer %s: %w", q.Customer, err)
	}
	report := &Report{purchases: list.Items}
	if q.Customer != "" {
		report.whose = " of customer " + q.Customer
	}
	if q.Customer != "" && len(list.Items) == 0 {
		sure, err := exists(ctx, r, q.Customer)
		if err != nil {
			return nil, err
		}
		if !sure {
			report.whose += ", if there is one,"
		}
	}
	if err := report.pick(q); err != nil {
		return nil, err
	}
	slices.SortFunc(report.purchases, func(a, b v1alpha1.SelfServicePurchase) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Spec.ProductRef.Name, b.Spec.ProductRef.Name),
			cmp.Compare(a.Spec.Purchaser.Username, b.Spec.Purchaser.Username), cmp.Compare(a.Name, b.Name))
	})
	for i := range report.purchases {
		slices.Sort(report.purchases[i].Status.Users)
	}
	var err error
	report.names, err = displayNames(ctx, r, report.purchases)
	return report, err
}

// exists fails if a customer is certainly not there. It is not sure if the
// reader may not read namespaces.
func exists(ctx context.Context, r client.Reader, customer string) (sure bool, err error) {
	err = r.Get(ctx, client.ObjectKey{Name: customer}, &corev1.Namespace{})
	switch {
	case apierrors.IsNotFound(err):
		return false, fmt.Errorf("there is no customer %q: no namespace has that name. \"kubectl get namespaces\" lists those there are", customer)
	case apierrors.IsForbidden(err):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("nobody of customer %s has bought anything; looking whether there is one: %w", customer, err)
	}
	return true, nil
}

// pick leaves what is asked for.
func (r *Report) pick(q Query) error {
	of := r.whose
	if q.Product != "" {
		there := r.those(func(p *v1alpha1.SelfServicePurchase) string { return p.Spec.ProductRef.Name })
		if !slices.Contains(there, q.Product) {
			return fmt.Errorf("--product=%s: nobody%s has bought or tried that product. There are: %s", q.Product, r.whose, choice(there))
		}
		of = " of product " + q.Product + of
		r.purchases = slices.DeleteFunc(r.purchases, func(p v1alpha1.SelfServicePurchase) bool { return p.Spec.ProductRef.Name != q.Product })
	}
	if len(q.Purchases) == 0 {
		return nil
	}
	there := r.those(func(p *v1alpha1.SelfServicePurchase) string { return p.Name })
	for _, name := range q.Purchases {
		if !slices.Contains(there, name) {
			return fmt.Errorf("--purchase=%s: there is no such purchase%s. There are: %s", name, of, choice(there))
		}
	}
	r.purchases = slices.DeleteFunc(r.purchases, func(p v1alpha1.SelfServicePurchase) bool { return !slices.Contains(q.Purchases, p.Name) })
	return nil
}

// those are the names that purchases have, each once and sorted.
func (r *Report) those(name func(*v1alpha1.SelfServicePurchase) string) []string {
	var all []string
	for i := range r.purchases {
		all = append(all, name(&r.purchases[i]))
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// choice lists what there is, as far as a person reads it.
func choice(names []string) string {
	const enough = 20
	if more := len(names) - enough; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:enough], ", "), more)
	}
	return cmp.Or(strings.Join(names, ", "), "none")
}

// displayNames are what people call the products of purchases. A product that
// is gone, or that the reader may not read, goes by its name.
func displayNames(ctx context.Context, r client.Reader, purchases []v1alpha1.SelfServicePurchase) (map[string]string, error) {
	names := map[string]string{}
	for i := range purchases {
		name := purchases[i].Spec.ProductRef.Name
		if names[name] != "" {
			continue
		}
		var p v1alpha1.Product
		if err := r.Get(ctx, client.ObjectKey{Name: name}, &p); err != nil && !apierrors.IsNotFound(err) && !apierrors.IsForbidden(err) {
			return nil, fmt.Errorf("reading Product %s: %w", name, err)
		}
		names[name] = cmp.Or(p.Spec.DisplayName, name)
	}
	return names, nil
}

// current reports whether a purchase gives access now.
func current(p *v1alpha1.SelfServicePurchase) bool {
	return p.Status.State == v1alpha1.SelfServiceOnTrial || p.Status.State == v1alpha1.SelfServiceActive
}

// expiry is the end of the term, or the trial, that runs; of what has ended the
// instant of that. It is empty if there is none.
func expiry(p *v1alpha1.SelfServicePurchase) string {
	switch {
	case p.Status.EndedAt != nil:
		return p.Status.EndedAt.UTC().Format(time.RFC3339)
	case p.Status.Term != nil && p.Status.Term.EndsAt != nil:
		return p.Status.Term.EndsAt.UTC().Format(time.RFC3339)
	}
	return ""
}

// note says why there is nothing to see, if so.
func (r *Report) note(export bool) string {
	switch {
	case len(r.purchases) == 0:
		return "nobody" + r.whose + " has bought or tried anything"
	case export && len(r.Rows()) == 0:
		return fmt.Sprintf("nobody%s has access now. Without --export there is more about what was bought and tried: %d in all", r.whose, len(r.purchases))
	}
	return ""
}
