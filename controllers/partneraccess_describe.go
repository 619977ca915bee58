package controllers

import (
	"fmt"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/terms"
)

// describe tells an agreement who has access by it, and what is in the way.
func (s *realm) describe(a *v1alpha1.PartnerAgreement, now time.Time, failed error) {
	s.describePartners(a, now)
	a.Status.Administrators = 0
	if b := s.bindings[administratorsName]; b != nil {
		a.Status.Administrators = int64(len(b.Subjects))
	}
	why, usable := s.inTheWay(a), false
	if why == nil {
		why, usable = failed, failed != nil && meta.IsStatusConditionTrue(a.Status.Conditions, v1alpha1.ConditionReady)
	}
	if why == nil || s.surplus[a.Name] > 0 {
		usable = true
		setCondition(a, now, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonInForce, s.inForce(a))
	}
	summarize(a, now, why, usable)
}

// describePartners puts on record who has access, and from when on. What is on
// record of others stays there until it is forgotten.
func (s *realm) describePartners(a *v1alpha1.PartnerAgreement, now time.Time) {
	for _, p := range s.partners {
		if p.step != terms.StepTell && p.step != terms.StepDone || p.main == nil || claimFor(p.claims, a) == nil || !ownedBy(p.main, a.UID) {
			continue
		}
		entry := p.entry(a)
		entry.Since = ptr.To(metav1.NewTime(now))
		if n := slices.IndexFunc(a.Status.Partners, p.isOf); n >= 0 {
			if was := a.Status.Partners[n]; was.Since != nil && was.RoleBinding.UID == entry.RoleBinding.UID {
				entry.Since = was.Since
			}
			a.Status.Partners[n] = entry
			continue
		}
		a.Status.Partners = append(a.Status.Partners, entry)
	}
	sortPartners(a.Status.Partners)
}

// inTheWay says what a person has to do first.
func (s *realm) inTheWay(a *v1alpha1.PartnerAgreement) error {
	switch {
	case s.reserved:
		return stalled(v1alpha1.ReasonNamespaceReserved, "namespace %s is not a customer's, and nobody gets a role in it: delete this PartnerAgreement, and create it in the namespace of the customer", s.namespace)
	case len(s.taken) > 0:
		return stalled(v1alpha1.ReasonBindingNameTaken, "RoleBinding %s is not the operator's: it lacks the label %s=%s or gives another role, and it is left alone. Look whom it gives what, and delete it",
			strings.Join(s.taken, ", "), v1alpha1.LabelManagedBy, v1alpha1.ManagedByOperator)
	case len(s.withoutRoom(a)) > 0:
		return stalled(v1alpha1.ReasonTooManyRemoved, "spec.removedPartners has %d entries, as many as can be, and has no room for %s, whose RoleBinding somebody has deleted or changed: take entries out of those who have no registration any more. Until then nothing is given back",
			len(a.Spec.RemovedPartners), some(s.withoutRoom(a)))
	case isRefusal(s.noted[a.Name]):
		return stalled(v1alpha1.ReasonRemovalRefused, "the RoleBinding of %s was deleted or changed, and the API server refuses to let the operator list that in spec.removedPartners: list this partner there by hand, with who has registered him, or have whoever runs the cluster look which policy is in the way. Until then nothing is given back",
			some(s.toBeListed(a)))
	case s.surplus[a.Name] > 0:
		return stalled(v1alpha1.ReasonTooManyPartners, "%d partners have access by this agreement, as many as can be, and more have registered, which is %d too many: list those in spec.removedPartners who need none any more",
			maxPartners, s.surplus[a.Name])
	}
	return nil
}

// inForce says who has access, and what is missing or surprising.
func (s *realm) inForce(a *v1alpha1.PartnerAgreement) string {
	said := []string{plural(int(a.Status.Administrators), "administrator")}
	if a.Status.Administrators == 0 {
		said[0] = "nobody is named in spec.administrators: name there who reads the keys and decides for the customer"
	}
	var partners []string
	for _, entry := range a.Status.Partners {
		if entry.Since != nil {
			partners = append(partners, entry.Kind+" "+entry.Name)
		}
	}
	if len(partners) == 0 {
		said = append(said, "no partners")
	} else {
		said = append(said, "partners: "+some(partners))
	}
	if idle := s.idleEntries(a); len(idle) > 0 {
		said = append(said, fmt.Sprintf("nobody who is recognised now is meant by %s in spec.removedPartners: leave that to keep them out, or correct it if it is misspelt", some(idle)))
	}
	return strings.Join(said, "; ")
}

// withoutRoom are the partners whom an agreement should list, and cannot: no
// other one does, or they would not wait for that.
func (s *realm) withoutRoom(a *v1alpha1.PartnerAgreement) []string {
	if len(a.Spec.RemovedPartners) < maxRemoved {
		return nil
	}
	return s.toBeListed(a)
}

// toBeListed are the partners whom an agreement should list.
func (s *realm) toBeListed(a *v1alpha1.PartnerAgreement) (all []string) {
	for _, p := range s.partners {
		if p.step == terms.StepExclude && slices.ContainsFunc(p.guards, func(g *v1alpha1.PartnerAgreement) bool { return g.Name == a.Name }) {
			all = append(all, p.called())
		}
	}
	return all
}

// isRefusal reports whether the API server does not want what was written, and
// has not only failed.
func isRefusal(err error) bool {
	return apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) || apierrors.IsForbidden(err)
}

// idleEntries are those of spec.removedPartners that remove nobody.
func (s *realm) idleEntries(a *v1alpha1.PartnerAgreement) (idle []string) {
	for _, entry := range a.Spec.RemovedPartners {
		if !slices.ContainsFunc(s.claims, func(c terms.PartnerClaim) bool { return c.Removed([]string{string(entry)}) }) {
			idle = append(idle, string(entry))
		}
	}
	return idle
}
