// Package orders keeps the record of what employees buy and try themselves: one
// SelfServiceOrder for each purchase, and one for each product that an employee
// ever tried. Their names make it impossible to order twice.
package orders

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/sosodev/duration"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/terms"
)

// Record reads and writes the SelfServiceOrders.
type Record struct {
	// Client writes, and reads from a cache.
	Client client.Client
	// Live reads from the API server.
	Live client.Reader
}

// Name is the name of the order of a purchase. All trials of a product by one
// purchaser have the same, because a trial is had once.
func Name(p *v1alpha1.SelfServicePurchase) string {
	if p.Spec.Type == v1alpha1.SelfServiceTrial {
		sum := sha256.Sum256([]byte(p.Spec.ProductRef.Name + " " + p.Spec.Purchaser.Username)) // neither begins or ends with a space
		return "trial." + p.Namespace + "." + hex.EncodeToString(sum[:16])
	}
	return "purchase." + p.Namespace + "." + p.Name
}

// Belongs reports whether an order was made by a purchase. It is recognised by
// what a purchase cannot change, so that a restored one finds its own, and
// nobody goes on with an order on other terms than its purchase says.
func Belongs(o *v1alpha1.SelfServiceOrder, p *v1alpha1.SelfServicePurchase) bool {
	return IsAbout(o, p) && len(Differs(o, p)) == 0
}

// IsAbout reports whether an order was made by a purchase of this name, product,
// type and purchaser, on whatever terms.
func IsAbout(o *v1alpha1.SelfServiceOrder, p *v1alpha1.SelfServicePurchase) bool {
	a := &o.Spec.Agreed
	return o.Spec.Purchase.Name == p.Name && a.ProductRef == p.Spec.ProductRef && a.Type == p.Spec.Type && a.Purchaser.Username == p.Spec.Purchaser.Username
}

// Differs lists the fields of a purchase that contradict its order, as they were
// agreed. What a purchase leaves to the product contradicts nothing.
func Differs(o *v1alpha1.SelfServiceOrder, p *v1alpha1.SelfServicePurchase) (agreed []string) {
	a := &o.Spec.Agreed
	if a.PaymentMethod != p.Spec.PaymentMethod {
		agreed = append(agreed, fmt.Sprintf("spec.paymentMethod %t", a.PaymentMethod))
	}
	if p.Spec.PlanID != "" && a.PlanID != p.Spec.PlanID {
		agreed = append(agreed, "spec.planID "+cmp.Or(a.PlanID, "left out"))
	}
	if p.Spec.Term != "" && a.Term != p.Spec.Term {
		agreed = append(agreed, "spec.term "+string(a.Term))
	}
	return agreed
}

// Of returns the order under the name of a purchase, nil if there is none. It may
// belong to another purchase. It is read from the cache, which may be late.
func (r *Record) Of(ctx context.Context, p *v1alpha1.SelfServicePurchase) (*v1alpha1.SelfServiceOrder, error) {
	return get(ctx, r.Client, Name(p))
}

// OfLive is Of from the API server itself.
func (r *Record) OfLive(ctx context.Context, p *v1alpha1.SelfServicePurchase) (*v1alpha1.SelfServiceOrder, error) {
	return get(ctx, r.Live, Name(p))
}

func get(ctx context.Context, from client.Reader, name string) (*v1alpha1.SelfServiceOrder, error) {
	o := &v1alpha1.SelfServiceOrder{}
	if err := from.Get(ctx, client.ObjectKey{Name: name}, o); err != nil {
		if client.IgnoreNotFound(err) == nil {
			return nil, nil
		}
		return nil, fmt.Errorf("reading order %s: %w", name, err)
	}
	return o, nil
}

// Change changes the order of a name: it reads it from the API server, has change
// applied to its facts, and writes what is different. If somebody else has changed
// it meanwhile it does so again, so change may be called several times and sees
// what is there each time. If change fails nothing is written, and its error is
// returned as it is.
//
// What of the facts is on record is the end of the latest period that was
// followed by another, and the end of the order. Change may set the takeover of
// the order as well.
func (r *Record) Change(ctx context.Context, name string, change func(*v1alpha1.SelfServiceOrder, *terms.Order) error) (o *v1alpha1.SelfServiceOrder, facts *terms.Order, err error) {
	err = retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		o = new(v1alpha1.SelfServiceOrder)
		if err := r.Live.Get(ctx, client.ObjectKey{Name: name}, o); err != nil {
			return fmt.Errorf("reading order %s: %w", name, err)
		}
		before := o.DeepCopy()
		if facts, err = apply(o, change); err != nil || equality.Semantic.DeepEqual(before, o) {
			return err
		}
		patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
		if err := r.Client.Patch(ctx, o, patch); err != nil {
			return fmt.Errorf("writing order %s: %w", name, err)
		}
		return nil
	})
	return o, facts, err
}

// Settle is Change for an order that the cache has: the API server is asked only
// if there is something to change.
func (r *Record) Settle(ctx context.Context, cached *v1alpha1.SelfServiceOrder, change func(*v1alpha1.SelfServiceOrder, *terms.Order) error) (*v1alpha1.SelfServiceOrder, *terms.Order, error) {
	o := cached.DeepCopy()
	facts, err := apply(o, change)
	if err != nil || equality.Semantic.DeepEqual(cached, o) {
		return o, facts, err
	}
	return r.Change(ctx, cached.Name, change)
}

func apply(o *v1alpha1.SelfServiceOrder, change func(*v1alpha1.SelfServiceOrder, *terms.Order) error) (*terms.Order, error) {
	facts, err := Facts(o)
	if err != nil {
		return nil, err
	}
	if err := change(o, facts); err != nil {
		return nil, err
	}
	if !facts.Renewed.IsZero() {
		o.Spec.RenewedUntil = ptr.To(metav1.NewTime(facts.Renewed))
	}
	if !facts.Ended.IsZero() {
		o.Spec.EndedAt, o.Spec.EndReason = ptr.To(metav1.NewTime(facts.Ended)), v1alpha1.OrderEndReason(facts.Why)
	}
	return facts, nil
}

// Facts gives the rules what is on record of an order. What the purchaser wants
// now, AutoRenew, is not.
func Facts(o *v1alpha1.SelfServiceOrder) (*terms.Order, error) {
	a := &o.Spec.Agreed
	facts := &terms.Order{Ordered: a.At.UTC(), Paid: a.PaymentMethod, Term: terms.Term(a.Term), Why: terms.OrderEnd(o.Spec.EndReason)}
	if a.Trial != "" {
		trial, err := duration.Parse(string(a.Trial))
		if err != nil {
			return nil, fmt.Errorf("trial of order %s: %w", o.Name, err)
		}
		facts.Trial = trial.ToTimeDuration()
	}
	if t := o.Spec.RenewedUntil; t != nil {
		facts.Renewed = t.UTC()
	}
	if t := o.Spec.EndedAt; t != nil {
		facts.Ended = t.UTC()
	}
	return facts, nil
}
