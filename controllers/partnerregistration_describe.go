package controllers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/terms"
)

// notRecognised is all that somebody learns who is not, whatever is wrong: it
// must not help to find out numbers, or who has an agreement.
const notRecognised = "you are not recognised as a partner: compare spec.authorizationNumber, spec.licenseNumber and spec.customerEmail with the customer's order, and correct them here; " +
	"or leave all three out, and ask the customer whether spec.primaryContacts of the agreement names you. Once an agreement agrees, this goes on by itself"

// access tells what a partner has by each of the agreements for which he is
// recognised, by name.
func (r *PartnerRegistrationReconciler) access(ctx context.Context, s *registering) ([]v1alpha1.RegisteredAgreement, error) {
	s.since = map[string]time.Time{}
	entries := map[string][]string{}
	var all []v1alpha1.RegisteredAgreement
	for i := range s.agreements {
		a := &s.agreements[i]
		has := v1alpha1.RegisteredAgreement{ObjectReference: v1alpha1.ObjectReference{Namespace: a.Namespace, Name: a.Name}, Access: v1alpha1.AccessGranting}
		if since := accessSince(s.reg, a); !since.IsZero() {
			has.Access = v1alpha1.AccessGranted
			s.since[a.Namespace] = terms.Earliest(s.since[a.Namespace], since)
		} else {
			removed, ok := entries[a.Namespace]
			if !ok {
				var err error
				if removed, err = r.removedIn(ctx, a.Namespace); err != nil {
					return nil, err
				}
				entries[a.Namespace] = removed
			}
			switch {
			case claimOf(s.reg, a.Name).Removed(removed):
				has.Access = v1alpha1.AccessRemoved
				s.removed = append(s.removed, a.Namespace)
			case isStalled(a):
				s.stuck = append(s.stuck, a.Namespace)
			}
		}
		all = append(all, has)
	}
	slices.SortFunc(all, compareRegistered)
	for _, names := range []*[]string{&s.removed, &s.stuck} {
		slices.Sort(*names)
		*names = slices.Compact(*names)
	}
	return all, nil
}

// keepUnserved keeps on record what a partner has where the operator does not look.
// It cannot judge that, and does not take it away.
func (r *PartnerRegistrationReconciler) keepUnserved(s *registering, before *v1alpha1.PartnerRegistrationStatus) {
	if len(r.Namespaces) == 0 {
		return
	}
	st := &s.reg.Status
	for _, has := range before.Agreements {
		if !slices.Contains(r.Namespaces, has.Namespace) && len(st.Agreements) < maxRegistered {
			st.Agreements = append(st.Agreements, has)
			s.unserved = append(s.unserved, has.Namespace)
		}
	}
	slices.SortFunc(st.Agreements, compareRegistered)
	slices.Sort(s.unserved)
	s.unserved = slices.Compact(s.unserved)
	for _, customer := range before.Customers {
		if slices.Contains(s.unserved, customer) && len(st.Customers) < maxRegistered {
			st.Customers = append(st.Customers, customer)
		}
	}
	slices.Sort(st.Customers)
}

func compareRegistered(a, b v1alpha1.RegisteredAgreement) int {
	return strings.Compare(a.Namespace+"/"+a.Name, b.Namespace+"/"+b.Name)
}

// accessSince is from when on a partner has access by an agreement; zero: he has
// none by it.
func accessSince(reg *v1alpha1.PartnerRegistration, a *v1alpha1.PartnerAgreement) time.Time {
	subject := claimOf(reg, a.Name).Subject
	for _, p := range a.Status.Partners {
		if p.Kind == subject.Kind && p.Name == subject.Name && p.Since != nil {
			return p.Since.UTC()
		}
	}
	return time.Time{}
}

// removedIn lists whom a customer has removed. An entry in one of his agreements
// holds for all.
func (r *PartnerRegistrationReconciler) removedIn(ctx context.Context, namespace string) (entries []string, err error) {
	var list v1alpha1.PartnerAgreementList
	if err := r.List(ctx, &list, client.InNamespace(namespace), client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("reading the agreements of %s: %w", namespace, err)
	}
	for i := range list.Items {
		for _, entry := range list.Items[i].Spec.RemovedPartners {
			entries = append(entries, string(entry))
		}
	}
	return entries, nil
}

// claimOf is what a registration claims of an agreement.
func claimOf(reg *v1alpha1.PartnerRegistration, agreement string) terms.PartnerClaim {
	return terms.PartnerClaim{
		Subject: partnerSubject(reg.Spec.Partner.Subject), Requester: reg.Spec.Partner.Requester(), Namespace: reg.Namespace, Name: reg.Name,
		Agreement: agreement, Registered: reg.CreationTimestamp.UTC(),
	}
}

// isStalled reports whether somebody has to mend an agreement before it gives
// access.
func isStalled(a *v1alpha1.PartnerAgreement) bool {
	return meta.IsStatusConditionTrue(a.Status.Conditions, v1alpha1.ConditionStalled)
}

// outcome says what is in the way of a partner's access. What comes by itself in
// a moment is told before what a person must do.
func (s *registering) outcome() error {
	var pending []string
	for _, a := range s.reg.Status.Agreements {
		if a.Access == v1alpha1.AccessGranting && !slices.Contains(s.stuck, a.Namespace) && !slices.Contains(s.unserved, a.Namespace) {
			pending = append(pending, a.Namespace)
		}
	}
	also := ""
	if has := s.reg.Status.Customers; len(has) > 0 {
		also = ". For the rest " + manages(has)
	}
	removed := ""
	if len(s.removed) > 0 {
		removed = fmt.Sprintf("the customer of %s has removed you: ask them to take the entry out of spec.removedPartners of their PartnerAgreements", namespaces(s.removed))
	}
	switch {
	case len(s.reg.Status.Agreements) == 0:
		return stalled(v1alpha1.ReasonNotRecognised, notRecognised)
	case len(pending) > 0:
		if removed != "" {
			also = ". And " + removed + also
		}
		pending = slices.Compact(pending)
		return waiting(v1alpha1.ReasonAccessPending, "you are recognised, and get access to %s in a moment; if it takes longer, have the customer look at the PartnerAgreement there: its status says what is in the way%s", namespaces(pending), also)
	case len(s.stuck) > 0:
		if removed != "" {
			also = ". And " + removed + also
		}
		return stalled(v1alpha1.ReasonAgreementStalled, "you are recognised, and get no access to %s because something is wrong with the PartnerAgreement there: ask the customer to do what its status says%s", namespaces(s.stuck), also)
	case removed != "":
		return stalled(v1alpha1.ReasonRemovedByCustomer, "%s%s", removed, also)
	case len(s.reg.Status.Customers) == 0:
		return waiting(v1alpha1.ReasonAccessPending, "you are recognised, and get access when the operator serves %s again: ask whoever runs it", namespaces(s.unserved))
	}
	return nil
}

// tell puts the outcome of a pass into conditions. Who has access keeps it while
// the operator fails to look.
func (s *registering) tell(now time.Time, err error) {
	if err == nil {
		message := manages(s.reg.Status.Customers)
		if len(s.agreements) == maxRegistered {
			message += fmt.Sprintf(". For more than %d agreements make another PartnerRegistration", maxRegistered)
		}
		if len(s.unserved) > 0 {
			message += fmt.Sprintf(". The operator does not serve %s at present: what you have there stays as it is", namespaces(s.unserved))
		}
		setCondition(s.reg, now, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonAccessGranted, message)
	}
	failed := !errors.As(err, new(*blocked))
	summarize(s.reg, now, err, failed && meta.IsStatusConditionTrue(s.reg.Status.Conditions, v1alpha1.ConditionReady))
}

// manages says what a partner can do now.
func manages(customers []string) string {
	return fmt.Sprintf("you manage the licences of %s: see kubectl -n %s get swsub,mpsub", namespaces(customers), customers[0])
}

// namespaces names some.
func namespaces(names []string) string {
	if len(names) == 1 {
		return "namespace " + names[0]
	}
	return "namespaces " + some(names)
}
