package controllers

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/terms"
)

// shownOperations is how many operations status tells of.
const shownOperations = 8

// describeService writes what holds now into the status of a subscription, and
// returns when that changes.
func describeService(s *service, now time.Time) (next time.Time) {
	st, f := &s.sub.Status, s.facts
	next = f.Follow(now)
	level, period := f.Level(), f.Period()
	st.ID = s.record.Spec.ID
	st.State = v1alpha1.MarketplaceState(f.State())
	st.PurchasedAt = ptr.To(s.record.Spec.Purchase.At)
	st.PlanID, st.Quantity = level.Plan, level.Quantity
	st.Billing = &v1alpha1.BillingStatus{StartedAt: s.record.Spec.ActivatedAt, Cycle: v1alpha1.BillingCycle(level.Cycle)}
	st.EndedAt = s.record.Spec.EndedAt
	st.Term, st.Trial = nil, nil
	if !period.Start.IsZero() {
		st.Term = termStatus(period)
	}
	if f.OnTrial() && f.State() != terms.Unsubscribed {
		st.Trial = termStatus(period)
	}
	if s.publisher != nil {
		st.Publisher = &v1alpha1.PublisherContact{
			DisplayName: s.publisher.Spec.DisplayName, Site: s.publisher.Spec.LandingPageURL,
			Support: s.publisher.Spec.Support, RequiredSteps: s.publisher.Spec.RequiredSteps,
		}
	}
	st.Operations = nil
	for _, op := range f.Operations[max(0, len(f.Operations)-shownOperations):] {
		st.Operations = append(st.Operations, operationStatus(op))
	}
	window := s.describeCancellation(now)
	st.Next = nil
	if event, at := f.Upcoming(now); event != "" {
		st.Next = &v1alpha1.MarketplaceEvent{Event: event, At: metav1.NewTime(at)}
	}
	s.describeConditions(now)
	if window.Open {
		next = terms.Earliest(next, window.Next)
	}
	return next
}

func operationStatus(op terms.Operation) v1alpha1.OperationStatus {
	o := v1alpha1.OperationStatus{
		ID: op.ID, Action: v1alpha1.OperationAction(op.Action), PlanID: op.Level.Plan, Quantity: op.Level.Quantity,
		Status: v1alpha1.OperationState(op.Progress), RequestedAt: metav1.NewTime(op.Requested), Message: op.Why,
	}
	switch {
	case op.Why != "":
	case op.GivenUp:
		o.Message = truncate("the publisher was never told: "+op.Failing, 256)
	case op.Undelivered() && op.Failing != "":
		o.Message = truncate("the publisher cannot be told: "+op.Failing, 256)
	case op.Progress == terms.InProgress && op.Undelivered():
		o.Message = "the publisher is being told"
	case op.Progress == terms.InProgress:
		o.Message = "waiting for the publisher's answer"
	}
	return o
}

// describeCancellation tells until when and for how much the subscription can be
// cancelled, or what its end gave back.
func (s *service) describeCancellation(now time.Time) terms.Window {
	st, f := &s.sub.Status, s.facts
	currency := s.record.Spec.Purchase.UnitPrice.Currency
	if f.State() == terms.Unsubscribed {
		st.Cancellation = &v1alpha1.CancellationStatus{Message: truncate(s.ending(), 256)}
		if f.Reason == terms.EndCancelled {
			st.Cancellation.At = st.EndedAt
		}
		if credit := f.Credit(); f.Reason == terms.EndCancelled || !credit.IsZero() {
			st.Cancellation.Credit = money(credit, currency)
		}
		return terms.Window{}
	}
	w := f.CancelAt(now)
	st.Cancellation = &v1alpha1.CancellationStatus{Until: ptr.To(metav1.NewTime(w.Until)), Open: w.Open}
	period := f.Period()
	switch {
	case w.Open && f.State() == terms.Pending:
		st.Cancellation.Message = "can be cancelled until the publisher activates it; nothing is charged"
	case w.Open && f.OnTrial():
		st.Cancellation.Message = fmt.Sprintf("the trial can be cancelled until %s; nothing is charged", stamp(w.Until))
	case w.Open:
		st.Cancellation.Message = fmt.Sprintf("can be cancelled until %s", stamp(w.Until))
	case f.AutoRenew:
		st.Cancellation.Message = fmt.Sprintf("the cancellation window closed at %s: set spec.autoRenew to false to let the term end at %s", stamp(w.Until), stamp(period.End))
	default:
		st.Cancellation.Message = fmt.Sprintf("the cancellation window closed at %s: the term ends at %s and does not renew", stamp(w.Until), stamp(period.End))
	}
	if w.Open {
		st.Cancellation.Credit = money(w.Credit, currency)
		for _, step := range s.steps(v1alpha1.BeforeCancel) {
			st.Cancellation.Message = truncate(st.Cancellation.Message+". First: "+step, 256)
		}
	}
	return w
}

// steps are what is to be done at the publisher first.
func (s *service) steps(before v1alpha1.StepBefore) (texts []string) {
	if s.publisher == nil {
		return nil
	}
	for _, step := range s.publisher.Spec.RequiredSteps {
		if step.Before == before {
			texts = append(texts, step.Text)
		}
	}
	return texts
}

// impossible are the reasons for which what is wanted never comes true by itself.
var impossible = []string{v1alpha1.ReasonPlanNotOffered, v1alpha1.ReasonQuantityNotOffered, v1alpha1.ReasonTooManyChanges}

// describeConditions says what a person has to do, if anything, and what is not
// as it is wanted.
func (s *service) describeConditions(now time.Time) {
	sub, f := s.sub, s.facts
	set := func(typ string, holds bool, reason, message string) {
		status := metav1.ConditionFalse
		if holds {
			status = metav1.ConditionTrue
		}
		setCondition(sub, now, typ, status, reason, message)
	}
	state := f.State()
	switch {
	case f.OnTrial() && !f.AutoRenew:
		set(v1alpha1.ConditionActivated, true, v1alpha1.ReasonActivated, fmt.Sprintf("activated at %s, on a trial that ends at %s", stamp(f.Activated), stamp(f.PaidFrom())))
	case f.Trial > 0 && !f.Activated.IsZero():
		set(v1alpha1.ConditionActivated, true, v1alpha1.ReasonActivated, fmt.Sprintf("activated at %s, charged from %s", stamp(f.Activated), stamp(f.PaidFrom())))
	case !f.Activated.IsZero():
		set(v1alpha1.ConditionActivated, true, v1alpha1.ReasonActivated, "activated and charged from "+stamp(f.Activated))
	case state == terms.Pending:
		set(v1alpha1.ConditionActivated, false, v1alpha1.ReasonAwaitingActivation, "nothing is charged before the publisher activates it")
	default:
		set(v1alpha1.ConditionActivated, false, v1alpha1.ReasonNeverActivated, "nothing was charged")
	}
	switch {
	case s.wish.late != "":
		set(v1alpha1.ConditionCancelled, false, v1alpha1.ReasonWindowClosed, s.wish.late)
	case f.Reason != terms.EndCancelled:
		meta.RemoveStatusCondition(&sub.Status.Conditions, v1alpha1.ConditionCancelled)
	}
	if state == terms.Unsubscribed {
		s.describeEnd(now)
		return
	}
	set(v1alpha1.ConditionInSync, s.wish.reason == v1alpha1.ReasonInSync, s.wish.reason, s.wish.message)
	switch {
	case state == terms.Pending:
		set(v1alpha1.ConditionActionRequired, true, v1alpha1.ReasonConfigureAccount, s.configure())
	case s.wish.reason == v1alpha1.ReasonRefusedByPublisher && !lastAsked(f).ByPublisher:
		set(v1alpha1.ConditionActionRequired, true, v1alpha1.ReasonChangeRefused, s.wish.message)
	case state == terms.Suspended && sub.Spec.Suspended:
		set(v1alpha1.ConditionActionRequired, true, v1alpha1.ReasonPaymentRequired,
			fmt.Sprintf("pay for the service, and then set spec.suspended to false, before %s, when it ends for good", stamp(f.Suspended.Add(terms.SuspensionTime))))
	case slices.Contains(impossible, s.wish.reason):
		set(v1alpha1.ConditionActionRequired, true, v1alpha1.ReasonChangeImpossible, s.wish.message)
	default:
		set(v1alpha1.ConditionActionRequired, false, v1alpha1.ReasonNone, "")
	}
}

// configure tells the customer what the publisher waits for.
func (s *service) configure() string {
	site := "the publisher's site"
	if s.publisher != nil {
		site = fmt.Sprintf("the site of %s, %s", s.publisher.Spec.DisplayName, s.publisher.Spec.LandingPageURL)
	}
	text := fmt.Sprintf("configure the account at %s, with the personal link in Secret %s; the publisher has to activate it before %s",
		site, s.sub.LandingSecretName(), stamp(s.facts.Purchased.Add(terms.ActivationTime)))
	if plan := s.product.Plan(s.facts.Bought.Plan); plan != nil && plan.Trial != "" && s.facts.Trial == 0 {
		text += ". It is charged from then on: a trial is had once"
	}
	return text
}

// describeEnd removes what no longer means anything.
func (s *service) describeEnd(now time.Time) {
	conditions := &s.sub.Status.Conditions
	meta.RemoveStatusCondition(conditions, v1alpha1.ConditionInSync)
	meta.RemoveStatusCondition(conditions, v1alpha1.ConditionActionRequired)
	if s.facts.Reason != terms.EndCancelled {
		return
	}
	reason := v1alpha1.ReasonCancelledInTime
	if s.facts.Activated.IsZero() || s.facts.OnTrial() {
		reason = v1alpha1.ReasonNotBilled
	}
	setCondition(s.sub, now, v1alpha1.ConditionCancelled, metav1.ConditionTrue, reason, s.ending())
}

// ending says how the service ended.
func (s *service) ending() string {
	f := s.facts
	at, again := stamp(f.Ended), "to go on using it, buy a new subscription under another name"
	switch f.Reason {
	case terms.EndCancelled:
		credit := money(f.Credit(), f.Currency)
		if f.Credit().IsZero() && (f.Activated.IsZero() || f.OnTrial()) {
			return fmt.Sprintf("cancelled at %s; nothing was charged", at)
		}
		return fmt.Sprintf("cancelled at %s, credit %s %s", at, credit.Amount, credit.Currency)
	case terms.EndExpired:
		return fmt.Sprintf("ended with its term at %s; %s", at, again)
	case terms.EndNotActivated:
		return fmt.Sprintf("lapsed at %s, because the publisher did not activate it within 30 days; nothing was charged; %s", at, again)
	case terms.EndNotPaid:
		return fmt.Sprintf("ended at %s, after 30 days of suspension; %s", at, again)
	case terms.EndPublisherEnded:
		return fmt.Sprintf("ended by the publisher at %s%s; %s", at, s.credited(), again)
	}
	return fmt.Sprintf("ended, because its object was deleted at %s%s; %s", at, s.credited(), again)
}

// credited says what an end gave back, if that is anything.
func (s *service) credited() string {
	if s.facts.Credit().IsZero() {
		return ""
	}
	credit := money(s.facts.Credit(), s.facts.Currency)
	return fmt.Sprintf(", credit %s %s", credit.Amount, credit.Currency)
}

// recreated says what to do if a subscription was made anew that had been
// cancelled or deleted. A purchase is recognised by its name, so this one was
// not bought. One that was cancelled and restored is not told: it says so itself.
func (s *service) recreated() error {
	f := s.facts
	if f.Reason != terms.EndCancelled && f.Reason != terms.EndDeleted || s.sub.Spec.Cancelled || !s.sub.CreationTimestamp.After(f.Ended) {
		return nil
	}
	return stalled(v1alpha1.ReasonEnded, "nothing was bought, because a subscription of this name was bought before and %s: delete this one and buy under another name", s.ending())
}

// describeNothingBought writes the status of a subscription that was cancelled
// before anything was bought.
func describeNothingBought(sub *v1alpha1.MarketplaceSubscription, now time.Time) {
	sub.Status.State = v1alpha1.StateUnsubscribed
	setCondition(sub, now, v1alpha1.ConditionCancelled, metav1.ConditionTrue, v1alpha1.ReasonNothingIssued, "cancelled before it was bought; nothing was charged")
}

// tellService sums up a pass: a message for people, conditions for machines.
func tellService(sub *v1alpha1.MarketplaceSubscription, now time.Time, err error) {
	st := &sub.Status
	condition := func(typ string) string {
		if c := meta.FindStatusCondition(st.Conditions, typ); c != nil {
			return c.Message
		}
		return ""
	}
	usable := st.State == v1alpha1.StateSubscribed
	ended := st.State == v1alpha1.StateUnsubscribed
	switch st.State {
	case v1alpha1.StateUnsubscribed:
		// The spec is fulfilled: without Ready kstatus reads this as Current.
		meta.RemoveStatusCondition(&st.Conditions, v1alpha1.ConditionReady)
		st.Message = condition(v1alpha1.ConditionCancelled)
		if st.Cancellation != nil {
			st.Message = st.Cancellation.Message
		}
	case v1alpha1.StateSubscribed:
		st.Message = strings.TrimSpace(fmt.Sprintf("%s, until %s", describeLevel(terms.Level{Plan: st.PlanID, Quantity: st.Quantity}), stamp(st.Term.EndsAt.Time)))
		setCondition(sub, now, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonSubscribed, st.Message)
	case v1alpha1.StateSuspended:
		if todo := condition(v1alpha1.ConditionActionRequired); err == nil && todo != "" {
			err = stalled(v1alpha1.ReasonSuspended, "suspended: %s", todo)
		} else if err == nil {
			err = waiting(v1alpha1.ReasonChangePending, "%s", condition(v1alpha1.ConditionInSync))
		}
	case v1alpha1.StatePendingFulfillmentStart:
		if err == nil {
			err = waiting(v1alpha1.ReasonAwaitingActivation, "configure the account with the link in Secret %s before %s", sub.LandingSecretName(), stamp(st.Cancellation.Until.Time))
		}
	}
	if err != nil {
		st.Message = truncate(err.Error(), maxMessage)
	} else if refused := condition(v1alpha1.ConditionCancelled); refused != "" && !ended {
		st.Message = refused
	} else if wish := condition(v1alpha1.ConditionInSync); wish != "" {
		st.Message = wish
	}
	summarize(sub, now, err, usable || ended)
}
