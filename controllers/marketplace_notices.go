package controllers

import (
	"context"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/terms"
)

// announce tells people, by Events and by mail, what has happened to a service
// since status was last written, and what is going to. Status is written
// afterwards: what could not be sent stays to be told. It waits for Events, and
// for no mail: what could not be put on record is tried again by this process.
func (r *MarketplaceSubscriptionReconciler) announce(ctx context.Context, before *v1alpha1.MarketplaceSubscription, s *service, now time.Time) (next time.Time, err error) {
	// What happened before the object was there, and was restored with it, is
	// no news. To the object that bought it, all is; clocks may differ.
	noticed := s.sub.CreationTimestamp.Time
	if s.record.Spec.Subscription.UID == s.sub.UID {
		noticed = noticed.Add(-time.Minute)
	}
	news := happened(before, s, noticed)
	if until := s.sub.Status.NoticedUntil; until != nil {
		noticed = until.Time
	}
	due, next := s.facts.Due(noticed, now)
	news = append(news, due...)
	key := client.ObjectKeyFromObject(s.sub)
	stored, _ := r.unsent.Load(key)
	letters, _ := stored.([]letter)
	if len(news)+len(letters) == 0 {
		return next, nil
	}
	for _, a := range news {
		text := s.note(a)
		if err := send(ctx, r.Client, s.sub, "MarketplaceSubscription", a, text, r.Clock.Now()); err != nil {
			return next, err
		}
		l := letter{about: s.sub, kind: "MarketplaceSubscription", to: s.reader(), product: s.called(), Announcement: a, text: text}
		if !slices.ContainsFunc(letters, func(o letter) bool { return o.Notice == a.Notice && o.At.Equal(a.At) }) { // else status was not written then
			letters = append(letters, l)
		}
	}
	if len(news) > 0 {
		s.sub.Status.NoticedUntil = ptr.To(metav1.NewTime(now))
	}
	var unsent []letter
	for _, l := range letters {
		if again := r.Mail.send(ctx, l, r.Clock.Now()); !again.IsZero() {
			unsent, next = append(unsent, l), terms.Earliest(next, again)
		}
	}
	if r.unsent.Delete(key); len(unsent) > 0 {
		r.unsent.Store(key, unsent)
	}
	return next, nil
}

// reader is who gets the mails about a service: who bought it, or else who uses
// it; empty: nobody is named.
func (s *service) reader() v1alpha1.Email {
	for _, p := range []*v1alpha1.Person{s.sub.Spec.Purchaser, s.sub.Spec.Beneficiary} {
		if p != nil {
			return p.Email
		}
	}
	return ""
}

// called is what people call the product.
func (s *service) called() string {
	if s.product != nil {
		return s.product.Spec.DisplayName
	}
	return s.sub.Spec.ProductRef.Name
}

// happened lists what is different from the status of before, as far as it is
// younger than an instant.
func happened(sub *v1alpha1.MarketplaceSubscription, s *service, after time.Time) (news []terms.Announcement) {
	before, st, f := &sub.Status, &s.sub.Status, s.facts
	tell := func(holds bool, n terms.Notice, at time.Time) {
		if holds && at.After(after) {
			news = append(news, terms.Announcement{Notice: n, At: at})
		}
	}
	known := before.ID != ""
	tell(!known && f.State() == terms.Pending, terms.ServicePurchased, f.Purchased)
	tell((before.Billing == nil || before.Billing.StartedAt == nil) && !f.Activated.IsZero(), terms.ServiceActivated, f.Activated)
	tell(before.State == v1alpha1.StateSuspended && f.State() == terms.Subscribed, terms.ServiceReinstated, lastOperation(f, terms.Succeeded))
	tell(known && before.Term != nil && st.Term != nil && !before.Term.StartsAt.Equal(&st.Term.StartsAt), terms.Renewed, f.Period().Start)
	if n := len(f.Changes); n > 0 {
		tell(known && (before.PlanID != st.PlanID || before.Quantity != st.Quantity), terms.ServiceChanged, f.Changes[n-1].At)
	}
	refused := s.wish.reason == v1alpha1.ReasonRefusedByPublisher && reasonOf(sub, v1alpha1.ConditionInSync) != s.wish.reason
	tell(refused, terms.ServiceRefused, lastOperation(f, terms.Failed))
	tell(before.State != v1alpha1.StateSuspended && f.State() == terms.Suspended, terms.ServiceSuspended, f.Suspended)
	tell(before.State != v1alpha1.StateUnsubscribed && f.State() == terms.Unsubscribed, terms.ServiceEnded, f.Ended)
	return news
}

// lastOperation is when the latest operation was completed that the publisher was
// asked about and that went like that.
func lastOperation(f *terms.Entitlement, progress terms.Progress) (at time.Time) {
	for _, op := range f.Operations {
		if op.Action.Refusable() && op.Progress == progress {
			at = op.Completed
		}
	}
	return at
}

// note says a notice in words.
func (s *service) note(a terms.Announcement) string {
	f, st := s.facts, &s.sub.Status
	switch a.Notice {
	case terms.ServicePurchased:
		return s.configure()
	case terms.ActivationLapsing:
		return "the purchase lapses soon: " + s.configure()
	case terms.ServiceActivated:
		if f.OnTrial() && !f.AutoRenew {
			return fmt.Sprintf("activated by the publisher, %s, on a trial that ends at %s", describeLevel(f.Level()), stamp(f.PaidFrom()))
		}
		return fmt.Sprintf("activated by the publisher, %s; charged from %s", describeLevel(f.Level()), stamp(f.PaidFrom()))
	case terms.ServiceChanged:
		return "it has " + describeLevel(f.Level()) + " now"
	case terms.ServiceRefused:
		return s.wish.message
	case terms.ServiceReinstated:
		return "reinstated with " + describeLevel(f.Level())
	case terms.ServiceSuspended, terms.SuspensionEnding:
		return meta.FindStatusCondition(st.Conditions, v1alpha1.ConditionActionRequired).Message
	case terms.Renewed:
		return fmt.Sprintf("a new term runs until %s; %s", stamp(f.Period().End), st.Cancellation.Message)
	case terms.TrialEnding, terms.TermEnding:
		if f.AutoRenew {
			return fmt.Sprintf("what runs now ends at %s, and a term that is paid for follows; set spec.autoRenew to false to let it end", stamp(f.Period().End))
		}
		return fmt.Sprintf("the service ends at %s; set spec.autoRenew to true to go on", stamp(f.Period().End))
	case terms.WindowClosing:
		return st.Cancellation.Message
	default: // ServiceEnded
		return s.ending()
	}
}
