package controllers

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/terms"
)

// announce tells people what has become of a purchase since they were told last:
// everybody by Events, and the purchaser by mail. Status is written afterwards:
// what could not be sent stays to be told. It waits for Events, and for no mail.
func (r *SelfServicePurchaseReconciler) announce(ctx context.Context, before *v1alpha1.SelfServicePurchase, s *selfService, now time.Time) (next time.Time, err error) {
	p, ended := s.purchase, s.facts.Ended
	// What happened before the object was there, and was restored with it, is
	// no news. To the object that bought it, all is; clocks may differ.
	created := p.CreationTimestamp.Time
	if s.order.Spec.Purchase.UID == p.UID {
		created = created.Add(-time.Minute)
	}
	noticed := created
	if until := p.Status.NoticedUntil; until != nil {
		noticed = until.Time
	}
	if !ended.IsZero() {
		now = latest(now, ended) // by the API server's clock, which may be ahead
		if before.Status.EndedAt == nil && ended.After(created) && !ended.After(noticed) {
			noticed = ended.Add(-time.Second) // it was asked for before people were told last
		}
	}
	due, next := s.facts.Due(noticed, now)
	if len(due) == 0 {
		return next, nil
	}
	var again time.Time
	for _, a := range due {
		text := s.note(a)
		if err := send(ctx, r.Client, p, "SelfServicePurchase", a, text, r.Clock.Now()); err != nil {
			return next, err
		}
		if a.Notice == terms.OrderTaken { // the comment is for the purchaser, and many may read Events
			text += s.comment()
		}
		l := letter{about: p, kind: "SelfServicePurchase", to: p.Spec.Purchaser.Email, product: s.called(), Announcement: a, text: text}
		again = terms.Earliest(again, r.Mail.send(ctx, l, r.Clock.Now()))
	}
	p.Status.NoticedUntil = ptr.To(metav1.NewTime(now))
	if !again.IsZero() { // all is told again then, and what is there already is not doubled
		p.Status.NoticedUntil = ptr.To(metav1.NewTime(noticed))
	}
	return terms.Earliest(next, again), nil
}

// called is what people call the product.
func (s *selfService) called() string {
	if s.product == nil {
		return s.purchase.Spec.ProductRef.Name
	}
	return s.product.Spec.DisplayName
}

// note says a notice in words.
func (s *selfService) note(a terms.Announcement) string {
	p := s.purchase
	switch a.Notice {
	case terms.OrderPlaced:
		if !s.facts.Ended.IsZero() {
			return "bought at " + stamp(a.At)
		}
		if p.Status.Assigned == p.Status.Quantity {
			return licensed(p)
		}
		return licensed(p) + ". Name who uses it in spec.assignedUsers"
	case terms.TrialTurnPaid:
		return "the trial has turned into a purchase: " + licensed(p)
	case terms.Renewed:
		return "a new term has begun: " + licensed(p)
	case terms.TrialEnding:
		return fmt.Sprintf("the trial runs until %s, when %s", stamp(p.Status.Next.At.Time), follows(p))
	case terms.TermEnding:
		return fmt.Sprintf("the term runs until %s, when %s", stamp(p.Status.Next.At.Time), follows(p))
	default: // OrderEnded, OrderTaken
		return s.ending()
	}
}
