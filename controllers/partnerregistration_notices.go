package controllers

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/terms"
)

// partnerRegistrations counts attempts. No label says who made one.
var partnerRegistrations = prometheus.NewCounterVec(prometheus.CounterOpts{
	Name: "license_operator_partner_registrations_total",
	Help: "Attempts of partners to register by outcome (recognised, refused, or limited: held back because there were too many).",
}, []string{"outcome"})

func init() { metrics.Registry.MustRegister(partnerRegistrations) }

// count counts an attempt once what came of it is in status.
func (s *registering) count(before *v1alpha1.PartnerRegistration) {
	switch {
	case s.refused():
		partnerRegistrations.WithLabelValues("refused").Inc()
	case s.attempt != nil && len(s.agreements) > 0:
		partnerRegistrations.WithLabelValues("recognised").Inc()
	case s.limited(before):
		partnerRegistrations.WithLabelValues("limited").Inc()
	}
}

// refused reports whether this pass was an attempt in vain.
func (s *registering) refused() bool {
	return s.attempt != nil && s.reg.Status.ComparedGeneration == s.reg.Generation && len(s.agreements) == 0
}

// limited reports whether an attempt is held back, and nobody was told yet.
func (s *registering) limited(before *v1alpha1.PartnerRegistration) bool {
	told := reasonOf(before, v1alpha1.ConditionReconciling) == v1alpha1.ReasonTooManyAttempts && before.Status.ObservedGeneration == before.Generation
	return !s.blocked.IsZero() && !told
}

// tiding is something to be told.
type tiding struct {
	terms.Announcement
	text string
}

// announce tells people what has become of a registration since they were told
// last. Status is written afterwards: what could not be sent stays to be told. It
// waits for Events, and for no mail.
func (r *PartnerRegistrationReconciler) announce(ctx context.Context, before *v1alpha1.PartnerRegistration, s *registering, now time.Time) (next time.Time, err error) {
	ended := s.ended(before, now)
	if len(ended) > 0 { // the end of access is on record nowhere, so it must not be told by an old status
		fresh := &v1alpha1.PartnerRegistration{}
		if err := r.Live.Get(ctx, client.ObjectKeyFromObject(before), fresh); client.IgnoreNotFound(err) != nil {
			return time.Time{}, fmt.Errorf("reading the registration again: %w", err)
		} else if err != nil || fresh.ResourceVersion != before.ResourceVersion {
			return time.Time{}, errLater
		}
	}
	var letters []letter
	for _, n := range slices.Concat(s.tried(before), s.granted(before), ended) {
		if err := send(ctx, r.Client, s.reg, "PartnerRegistration", n.Announcement, n.text, r.Clock.Now()); err != nil {
			return time.Time{}, err
		}
		if slices.Contains(terms.MailedNotices(), n.Notice) {
			letters = append(letters, letter{about: before, kind: "PartnerRegistration", to: s.reg.Spec.Partner.Email, Announcement: n.Announcement, text: n.text})
		}
	}
	return r.mail(ctx, client.ObjectKeyFromObject(before), letters), nil
}

// mail puts mails on record, also those that could not be before, and returns
// when to try again.
func (r *PartnerRegistrationReconciler) mail(ctx context.Context, of client.ObjectKey, letters []letter) (again time.Time) {
	if before, ok := r.unsent.LoadAndDelete(of); ok {
		letters = append(before.([]letter), letters...)
	}
	var unsent []letter
	for _, l := range letters {
		if at := r.Mail.send(ctx, l, r.Clock.Now()); !at.IsZero() {
			unsent, again = append(unsent, l), terms.Earliest(again, at)
		}
	}
	if len(unsent) > 0 {
		r.unsent.Store(of, unsent)
	}
	return again
}

// tried tells whoever watches over the cluster of attempts in vain.
func (s *registering) tried(before *v1alpha1.PartnerRegistration) []tiding {
	who := s.reg.Spec.Partner.Requester()
	switch {
	case s.refused():
		return []tiding{{terms.Announcement{Notice: terms.NotRecognised, At: s.attempt.At.UTC(), Of: fmt.Sprint("generation ", s.attempt.Generation)},
			fmt.Sprintf("%s is not recognised as a partner: attempt %d of %d within 24 hours", who, s.attempt.number, terms.AttemptsAllowed)}}
	case s.limited(before):
		return []tiding{{terms.Announcement{Notice: terms.TooManyAttempts, At: s.blocked},
			fmt.Sprintf("%s is compared with no agreement until %s: %d attempts within 24 hours were not recognised", who, stamp(s.blocked), terms.AttemptsAllowed)}}
	}
	return nil
}

// granted tells of the namespaces where the partner has access now.
func (s *registering) granted(before *v1alpha1.PartnerRegistration) (all []tiding) {
	for _, customer := range s.reg.Status.Customers {
		if !slices.Contains(before.Status.Customers, customer) {
			all = append(all, tiding{terms.Announcement{Notice: terms.AccessGranted, At: s.since[customer], Of: customer}, manages([]string{customer})})
		}
	}
	return all
}

// ended tells of the namespaces where he has no access any more. Where it is
// about to be given anew, or nobody looks, it has not ended.
func (s *registering) ended(before *v1alpha1.PartnerRegistration, now time.Time) (all []tiding) {
	for _, customer := range before.Status.Customers {
		why := "its agreement is gone, or no longer the one that you registered for"
		switch {
		case slices.Contains(s.removed, customer):
			why = "the customer has removed you"
		case slices.Contains(s.unserved, customer):
			continue
		case slices.ContainsFunc(s.agreements, func(a v1alpha1.PartnerAgreement) bool { return a.Namespace == customer }):
			continue
		}
		all = append(all, tiding{terms.Announcement{Notice: terms.AccessEnded, At: now, Of: customer}, fmt.Sprintf("you no longer manage the licences of namespace %s: %s", customer, why)})
	}
	return all
}
