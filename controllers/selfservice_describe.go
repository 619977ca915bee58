package controllers

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/shopspring/decimal"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/terms"
)

// describe writes what holds now into the status of a purchase of so many
// licences, and returns when that changes.
func (s *selfService) describe(licences int64, now time.Time) (next time.Time) {
	st, f, agreed := &s.purchase.Status, s.facts, &s.order.Spec.Agreed
	next = f.Follow(now)
	st.State = s.state()
	st.PurchasedAt = ptr.To(agreed.At)
	st.PlanID, st.BillingTerm, st.Quantity = agreed.PlanID, agreed.Term, licences
	st.Price = s.price()
	st.Term = termStatus(f.Period())
	st.Users = nil
	if f.Ended.IsZero() {
		users := s.purchase.Spec.AssignedUsers
		st.Users = slices.Clone(users[:min(int64(len(users)), licences)])
	}
	st.Assigned = int64(len(st.Users))
	st.EndedAt, st.Takeover = s.order.Spec.EndedAt, ""
	if t := s.order.Spec.Takeover; t != nil {
		st.Takeover = t.Name
	}
	st.Next = nil
	if event, at := f.Upcoming(); event != "" {
		st.Next = &v1alpha1.SelfServiceEvent{Event: event, At: metav1.NewTime(at)}
	}
	s.describeCompliance(now)
	return next
}

func (s *selfService) state() v1alpha1.SelfServiceState {
	switch {
	case s.facts.Why == terms.OrderTakenOver:
		return v1alpha1.SelfServiceDeleted
	case s.facts.Why == terms.OrderCancelled:
		return v1alpha1.SelfServiceCancelled
	case !s.facts.Ended.IsZero():
		return v1alpha1.SelfServiceExpired
	case s.facts.OnTrial():
		return v1alpha1.SelfServiceOnTrial
	}
	return v1alpha1.SelfServiceActive
}

// price is what all licences cost for a term, nil if nothing is ever paid.
func (s *selfService) price() *v1alpha1.Money {
	if !s.facts.Paid {
		return nil
	}
	unit := s.order.Spec.Agreed.UnitPrice
	amount := decimal.RequireFromString(unit.Amount) // of a form that the API server checks
	return money(amount.Mul(decimal.NewFromInt(s.purchase.Status.Quantity)), unit.Currency)
}

// describeCompliance tells what the policies said when it was bought, and when
// its quantity was raised. What they say later does not matter.
func (s *selfService) describeCompliance(now time.Time) {
	if by := s.order.Spec.AuditedBy; len(by) > 0 {
		setCondition(s.purchase, now, v1alpha1.ConditionCompliant, metav1.ConditionFalse, v1alpha1.ReasonWouldBeRefused,
			fmt.Sprintf("SelfServicePolicy %s would have refused it, or its quantity, but for its mode Audit", strings.Join(by, ", ")))
		return
	}
	setCondition(s.purchase, now, v1alpha1.ConditionCompliant, metav1.ConditionTrue, v1alpha1.ReasonAllowed, "no policy was against it")
}

// recreated says what to do if a purchase was made anew that had been cancelled.
// One that was cancelled and restored is not told: it says so itself.
func (s *selfService) recreated() error {
	if s.facts.Why != terms.OrderCancelled || s.purchase.Spec.Cancelled {
		return nil
	}
	then := "make another purchase under another name"
	if s.purchase.Spec.Type == v1alpha1.SelfServiceTrial {
		then = "buy the product to use it, since a trial is had once"
	}
	return stalled(v1alpha1.ReasonEnded, "nothing was bought, because a purchase of this name was made before and %s: delete this one and %s", s.ending(), then)
}

// tell sums up a pass: a message for people, conditions for machines. What status
// says of a purchase stays as it was if this pass could not find out.
func (s *selfService) tell(now time.Time, err error) {
	p, st := s.purchase, &s.purchase.Status
	lives := st.State == v1alpha1.SelfServiceOnTrial || st.State == v1alpha1.SelfServiceActive
	ended := st.State != "" && !lives
	switch {
	case lives:
		message := licensed(p)
		setCondition(p, now, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonLicensed, message)
		st.Message = message
	case ended:
		// The spec is fulfilled: without Ready kstatus reads this as Current.
		meta.RemoveStatusCondition(&st.Conditions, v1alpha1.ConditionReady)
		if s.facts != nil {
			st.Message = s.ending() + s.comment()
		} else if st.PurchasedAt == nil {
			st.Message = "cancelled before anything was bought; nothing is charged"
		}
	}
	if err != nil {
		st.Message = truncate(err.Error(), maxMessage)
	}
	summarize(p, now, err, lives || ended)
}

// licensed says what a purchaser has, by status alone.
func licensed(p *v1alpha1.SelfServicePurchase) string {
	st := &p.Status
	until := "for good"
	if next := st.Next; next != nil {
		until = fmt.Sprintf("until %s, when %s", stamp(next.At.Time), follows(p))
	}
	has := fmt.Sprintf("%s, %d assigned", plural(int(st.Quantity), "licence"), st.Assigned)
	if st.State == v1alpha1.SelfServiceOnTrial {
		has = "on trial, " + has
	}
	return has + ", " + until
}

// follows says what happens when what runs now ends.
func follows(p *v1alpha1.SelfServicePurchase) string {
	st := &p.Status
	trial := st.State == v1alpha1.SelfServiceOnTrial
	switch {
	case st.Next.Event == terms.TrialEnds:
		return fmt.Sprintf("it turns into a purchase for %s; set spec.autoRenew to false to let it end", costs(st))
	case st.Next.Event == terms.Renews:
		return fmt.Sprintf("it renews for %s; set spec.autoRenew to false to let it end", costs(st))
	case st.Price == nil && trial:
		return "it ends for good"
	case trial:
		return fmt.Sprintf("it ends for good; set spec.autoRenew to true to buy it then for %s", costs(st))
	}
	return fmt.Sprintf("it ends for good; set spec.autoRenew to true to renew it for %s", costs(st))
}

func costs(st *v1alpha1.SelfServicePurchaseStatus) string {
	return fmt.Sprintf("%s %s %s", st.Price.Amount, st.Price.Currency, howOften(st.BillingTerm))
}

// howOften says in words how often a term is paid for.
func howOften(t v1alpha1.Term) string {
	switch t {
	case v1alpha1.TermPerpetual:
		return "once"
	case v1alpha1.TermMonth:
		return "each month"
	case v1alpha1.TermYear:
		return "each year"
	}
	return fmt.Sprintf("each %s years", strings.Trim(string(t), "PY"))
}

// ending says how a purchase ended.
func (s *selfService) ending() string {
	f, at := s.facts, stamp(s.facts.Ended)
	switch {
	case f.Why == terms.OrderTakenOver:
		t := s.order.Spec.Takeover
		if t.MovedTo != nil {
			return fmt.Sprintf("taken over by Takeover %s at %s: its users were moved to %s %s", t.Name, at, t.MovedTo.Kind, t.MovedTo.Name)
		}
		return fmt.Sprintf("taken over by Takeover %s at %s: cancelled, %s; its users lost access", t.Name, at, because(t.Reason))
	case f.Why == terms.OrderCancelled:
		return "cancelled by the purchaser at " + at
	case f.OnTrial():
		return fmt.Sprintf("the trial ended at %s, and a trial is had once: buy the product to use it, under another name", at)
	}
	return fmt.Sprintf("ended with its term at %s; to use it again, buy it under another name", at)
}

// because says a reason in words.
func because(r v1alpha1.TakeoverReason) string {
	switch r {
	case v1alpha1.TakeoverBoughtCentrally:
		return "because it is bought for everybody"
	case v1alpha1.TakeoverNotNeeded:
		return "because it is not needed"
	case v1alpha1.TakeoverTooExpensive:
		return "because it is too expensive"
	case v1alpha1.TakeoverWrongProduct:
		return "because it is the wrong product"
	case v1alpha1.TakeoverAgainstPolicy:
		return "because it is against the policy"
	case v1alpha1.TakeoverPurchaserLeft:
		return "because the purchaser has left"
	}
	return "for another reason"
}

// comment is what the administrator who took a purchase over says to the
// purchaser, empty if nothing.
func (s *selfService) comment() string {
	if t := s.order.Spec.Takeover; t != nil && t.Comment != "" {
		return ". The administrator says: " + t.Comment
	}
	return ""
}
