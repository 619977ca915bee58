package controllers

import (
	"cmp"
	"slices"
	"strings"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/terms"
)

const (
	maxPartners = 100 // who have access by one agreement
	maxRemoved  = 256 // entries of spec.removedPartners
)

// realm is what one look finds in a customer's namespace, or in one that is
// reserved and has to be free of roles.
type realm struct {
	namespace string
	reserved  bool

	agreements []*v1alpha1.PartnerAgreement // by name, those that stay
	going      []*v1alpha1.PartnerAgreement // that are being deleted
	claims     []terms.PartnerClaim         // also of those whom the customer has removed
	partners   []*partnership               // by subject, who have access, may have it, or had it
	surplus    map[string]int               // how many partners are too many, by agreement

	administrators []rbacv1.Subject               // who are to be, in all agreements together
	bindings       map[string]*rbacv1.RoleBinding // that are ours, by name
	taken          []string                       // names of ours that RoleBindings of others have
	strays         []*rbacv1.RoleBinding          // that nothing stands behind

	hints   []client.ObjectKey // registrations to look at again
	refused map[types.UID]bool // RoleBindings that this pass could not empty
	noted   map[string]error   // what kept it from listing who was removed, by agreement
	again   bool               // somebody else has changed something meanwhile

	mailAt time.Time // when to try again to put mails on record; zero: all are
}

// partnership is the access of one partner: what stands behind it, what is on
// record of it, and what there is.
type partnership struct {
	subject terms.PartnerSubject
	name    string // of its RoleBinding

	made     []terms.PartnerClaim         // all claims to it, also if the customer has removed who makes them
	claims   []terms.PartnerClaim         // by which it may have access, the oldest first
	by       []*v1alpha1.PartnerAgreement // of these claims
	recorded []*v1alpha1.PartnerAgreement // that have it on record
	guards   []*v1alpha1.PartnerAgreement // that list it, if the customer takes the access away

	main    *rbacv1.RoleBinding // nil: there is none that is ours
	keys    *rbacv1.RoleBinding // the one to read keys by; nil: there is none that is ours
	foreign bool                // somebody else's RoleBinding has one of the names

	unlabelled bool              // somebody has taken our label off the RoleBinding that is on record
	torn       bool              // somebody has taken away one of the two, or the partner out of one
	step       terms.PartnerStep // next
}

// reserved are the namespaces where nobody gets a role by an agreement.
func (r *PartnerAccessReconciler) reserved(namespace string) bool {
	return namespace == r.Namespace || strings.HasPrefix(namespace, "kube-")
}

// derive finds out who may have access, and what there is of it.
func (s *realm) derive(agreements []v1alpha1.PartnerAgreement, regs []v1alpha1.PartnerRegistration, bindings []rbacv1.RoleBinding) {
	slices.SortFunc(agreements, func(a, b v1alpha1.PartnerAgreement) int { return cmp.Compare(a.Name, b.Name) })
	var removed []string
	for i := range agreements {
		a := &agreements[i]
		for _, entry := range a.Spec.RemovedPartners {
			removed = append(removed, string(entry))
		}
		if isGoing(a) {
			s.going = append(s.going, a)
		} else {
			s.agreements = append(s.agreements, a)
		}
	}
	if !s.reserved {
		s.claims = claimsOf(s.agreements, regs)
		s.administrators = administratorsOf(s.agreements)
	}
	s.partners = s.partnerships(s.withinBounds(terms.Partners(s.claims, removed)))
	s.sort(bindings)
	for _, p := range s.partners {
		s.decide(p)
	}
	for _, reg := range regs {
		s.hint(client.ObjectKeyFromObject(&reg))
	}
}

// decide asks what is next for a partner. The RoleBinding that is on record gives
// what it gave also without our label, and nothing is done about it until
// somebody puts the label on again or deletes it.
func (s *realm) decide(p *partnership) {
	if p.unlabelled {
		return
	}
	record := p.record()
	binding := s.bindingOf(p, record)
	excluded := s.reserved || p.isKeptAway() && !slices.ContainsFunc(p.guards, p.isToBeListedIn)
	p.step = terms.NextPartnerStep(len(p.claims) > 0, excluded, record, binding)
}

// record is what agreements have. If they differ, what is there counts.
func (p *partnership) record() (record terms.PartnerRecord) {
	for _, a := range p.recorded {
		entry := a.Status.Partners[slices.IndexFunc(a.Status.Partners, p.isOf)]
		switch uid := string(entry.RoleBinding.UID); {
		case record.UID == uid:
			record.Granted = record.Granted || entry.Since != nil
		case record.UID == "" || p.main != nil && uid == string(p.main.UID):
			record = terms.PartnerRecord{UID: uid, Granted: entry.Since != nil}
		}
	}
	return record
}

// bindingOf is what there is of the two RoleBindings, which count as one.
func (s *realm) bindingOf(p *partnership, record terms.PartnerRecord) terms.PartnerBinding {
	if p.main == nil {
		return terms.PartnerBinding{}
	}
	b := terms.PartnerBinding{UID: string(p.main.UID), Phase: phaseOf(p.main), Names: p.isIn(p.main) || p.isIn(p.keys)}
	onRecord := b.UID == record.UID
	p.torn = onRecord && b.Phase != terms.BindingEnded &&
		(p.keys == nil || b.Phase == terms.BindingGiven && (!p.isIn(p.main) || !p.isIn(p.keys)))
	switch {
	case s.reserved || s.refused[p.main.UID] || !onRecord && s.isOrphan(p.main):
		b.Names, b.Phase = false, terms.BindingEnded // nothing more is written in it
	case p.torn:
		b.Names, b.Phase = false, terms.BindingGiven
	}
	return b
}

// isOrphan reports whether all owners of a RoleBinding are gone: the garbage
// collector may delete it at any time.
func (s *realm) isOrphan(b *rbacv1.RoleBinding) bool {
	return len(b.OwnerReferences) > 0 && !slices.ContainsFunc(s.agreements, func(a *v1alpha1.PartnerAgreement) bool { return ownedBy(b, a.UID) })
}

// claimsOf are those of the registrations that were recognised for agreements. One
// that was made anew under the same name is another.
func claimsOf(agreements []*v1alpha1.PartnerAgreement, regs []v1alpha1.PartnerRegistration) (claims []terms.PartnerClaim) {
	for i := range regs {
		reg := &regs[i]
		if reg.Status.RecognisedAt == nil || isGoing(reg) {
			continue
		}
		for _, ref := range reg.Status.Agreements {
			n := slices.IndexFunc(agreements, func(a *v1alpha1.PartnerAgreement) bool {
				return a.Namespace == ref.Namespace && a.Name == ref.Name
			})
			if n < 0 || !standsFor(reg, agreements[n]) {
				continue
			}
			claims = append(claims, terms.PartnerClaim{
				Subject: partnerSubject(reg.Spec.Partner.Subject), Requester: reg.Spec.Partner.Requester(),
				Namespace: reg.Namespace, Name: reg.Name, Agreement: ref.Name, Registered: reg.Status.RecognisedAt.Time,
			})
		}
	}
	return claims
}

// standsFor reports whether a registration is still for an agreement that its
// status names: the numbers are those of the same order, or, without numbers, the
// agreement still names the requester.
func standsFor(reg *v1alpha1.PartnerRegistration, a *v1alpha1.PartnerAgreement) bool {
	if reg.Spec.AuthorizationNumber == "" {
		return slices.Contains(a.Spec.PrimaryContacts, v1alpha1.Username(reg.Spec.Partner.Requester()))
	}
	given := terms.Numbers{Authorization: string(reg.Spec.AuthorizationNumber), License: string(reg.Spec.LicenseNumber)}
	return given.SameOrder(numbersOfAgreement(a))
}

// partnerSubject is a subject as RBAC knows it. A service account is bound as the
// user that it is: its name need not be one that RBAC takes.
func partnerSubject(s v1alpha1.Subject) terms.PartnerSubject {
	if s.Kind == rbacv1.GroupKind {
		return terms.PartnerSubject{Kind: rbacv1.GroupKind, Name: s.Name}
	}
	return terms.PartnerSubject{Kind: rbacv1.UserKind, Name: s.Username()}
}

// administratorsOf are the subjects that any agreement names, each once, sorted.
func administratorsOf(agreements []*v1alpha1.PartnerAgreement) (all []rbacv1.Subject) {
	for _, a := range agreements {
		for _, subject := range a.Spec.Administrators {
			all = append(all, rbacSubject(partnerSubject(subject)))
		}
	}
	slices.SortFunc(all, func(a, b rbacv1.Subject) int { return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name)) })
	return slices.Compact(all)
}

// withinBounds leaves out the partners whom an agreement has no room for: those
// who came last.
func (s *realm) withinBounds(may map[terms.PartnerSubject][]terms.PartnerClaim) map[terms.PartnerSubject][]terms.PartnerClaim {
	s.surplus = map[string]int{}
	for _, a := range s.agreements {
		name := a.Name
		first := map[terms.PartnerSubject]terms.PartnerClaim{}
		for subject, claims := range may {
			if n := slices.IndexFunc(claims, func(c terms.PartnerClaim) bool { return c.Agreement == name }); n >= 0 {
				first[subject] = claims[n]
			}
		}
		if len(first) <= maxPartners {
			continue
		}
		order := sortedSubjects(first)
		slices.SortStableFunc(order, func(a, b terms.PartnerSubject) int { return first[a].Registered.Compare(first[b].Registered) })
		s.surplus[name] = len(order) - maxPartners
		for _, subject := range order[maxPartners:] {
			may[subject] = slices.DeleteFunc(may[subject], func(c terms.PartnerClaim) bool { return c.Agreement == name })
		}
	}
	return may
}

func sortedSubjects[V any](of map[terms.PartnerSubject]V) []terms.PartnerSubject {
	all := make([]terms.PartnerSubject, 0, len(of))
	for subject := range of {
		all = append(all, subject)
	}
	slices.SortFunc(all, func(a, b terms.PartnerSubject) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
	})
	return all
}

// partnerships are of all who claim access or have it on record.
func (s *realm) partnerships(may map[terms.PartnerSubject][]terms.PartnerClaim) []*partnership {
	of := map[terms.PartnerSubject]*partnership{}
	at := func(subject terms.PartnerSubject) *partnership {
		if of[subject] == nil {
			of[subject] = &partnership{subject: subject, name: partnerBindingName(subject), claims: may[subject]}
		}
		return of[subject]
	}
	for _, c := range s.claims {
		p := at(c.Subject)
		p.made = append(p.made, c)
	}
	for _, a := range s.agreements {
		for _, entry := range a.Status.Partners {
			p := at(terms.PartnerSubject{Kind: entry.Kind, Name: entry.Name})
			p.recorded = append(p.recorded, a)
			s.hint(client.ObjectKey{Namespace: entry.Registration.Namespace, Name: entry.Registration.Name})
		}
	}
	var all []*partnership
	for _, subject := range sortedSubjects(of) {
		p := of[subject]
		for _, a := range s.agreements {
			if claimFor(p.claims, a) != nil {
				p.by = append(p.by, a)
			}
			if claimFor(p.made, a) != nil || slices.Contains(p.recorded, a) {
				p.guards = append(p.guards, a)
			}
		}
		all = append(all, p)
	}
	return all
}

// claimFor is the first of the claims that is for an agreement, nil if none is.
func claimFor(claims []terms.PartnerClaim, a *v1alpha1.PartnerAgreement) *terms.PartnerClaim {
	if n := slices.IndexFunc(claims, func(c terms.PartnerClaim) bool { return c.Agreement == a.Name }); n >= 0 {
		return &claims[n]
	}
	return nil
}

// hint remembers a registration that matters here.
func (s *realm) hint(key client.ObjectKey) {
	if !slices.Contains(s.hints, key) {
		s.hints = append(s.hints, key)
	}
}

// sort finds out which RoleBindings are whose. Those of other names are nobody's
// business here. A label proves nothing but that somebody wants a RoleBinding of
// our name to be ours.
func (s *realm) sort(bindings []rbacv1.RoleBinding) {
	s.bindings = map[string]*rbacv1.RoleBinding{}
	expected := map[string]*partnership{}
	for _, p := range s.partners {
		expected[p.name], expected[p.name+keysSuffix] = p, p
	}
	for i := range bindings {
		b := &bindings[i]
		role, known := roleFor(b.Name)
		if !known {
			continue
		}
		labelled, p := b.Labels[v1alpha1.LabelManagedBy] == v1alpha1.ManagedByOperator, expected[b.Name]
		switch {
		case labelled && b.RoleRef == role && p == nil && strings.HasPrefix(b.Name, partnerPrefix):
			s.strays = append(s.strays, b)
		case labelled && b.RoleRef == role:
			s.bindings[b.Name] = b
		case p != nil:
			p.foreign, p.unlabelled = true, p.unlabelled || p.isOnRecord(b.UID)
			if len(p.claims)+len(p.recorded) > 0 {
				s.taken = append(s.taken, b.Name)
			}
		case labelled || len(s.administrators) > 0 && !strings.HasPrefix(b.Name, partnerPrefix):
			s.taken = append(s.taken, b.Name)
		}
	}
	slices.Sort(s.taken)
	for _, p := range s.partners {
		p.main, p.keys = s.bindings[p.name], s.bindings[p.name+keysSuffix]
		if p.keys == nil || p.unlabelled || p.main != nil && (p.isOnRecord(p.main.UID) || ownedBy(p.keys, p.main.UID)) {
			continue
		}
		s.strays = append(s.strays, p.keys) // of an earlier one: the garbage collector is about to delete it
		p.keys = nil
	}
}

// isOf reports whether an entry of an agreement is of the partner.
func (p *partnership) isOf(entry v1alpha1.AgreementPartner) bool {
	return entry.Kind == p.subject.Kind && entry.Name == p.subject.Name
}

// isOnRecord reports whether an agreement has this RoleBinding on record.
func (p *partnership) isOnRecord(uid types.UID) bool {
	return slices.ContainsFunc(p.recorded, func(a *v1alpha1.PartnerAgreement) bool {
		return a.Status.Partners[slices.IndexFunc(a.Status.Partners, p.isOf)].RoleBinding.UID == uid
	})
}

// isIn reports whether a RoleBinding names the partner.
func (p *partnership) isIn(b *rbacv1.RoleBinding) bool { return len(p.among(b)) > 0 }

// among is the partner, if a RoleBinding names him.
func (p *partnership) among(b *rbacv1.RoleBinding) []rbacv1.Subject {
	if partner := rbacSubject(p.subject); b != nil && slices.Contains(b.Subjects, partner) {
		return []rbacv1.Subject{partner}
	}
	return nil
}

// isKeptAway reports whether agreements list all that keeps the partner away, be
// it in one or in several: an entry in one holds for all of the namespace.
func (p *partnership) isKeptAway() bool {
	return !slices.ContainsFunc(p.subject.Entries(p.made), func(entry string) bool {
		return !slices.ContainsFunc(p.guards, func(a *v1alpha1.PartnerAgreement) bool {
			return slices.Contains(a.Spec.RemovedPartners, v1alpha1.Username(entry))
		})
	})
}

// missingIn is what an agreement does not list of what keeps the partner away, the
// partner himself first.
func (p *partnership) missingIn(a *v1alpha1.PartnerAgreement) (missing []v1alpha1.Username) {
	for _, entry := range p.subject.Entries(p.made) {
		if !slices.Contains(a.Spec.RemovedPartners, v1alpha1.Username(entry)) {
			missing = append(missing, v1alpha1.Username(entry))
		}
	}
	return missing
}

// isToBeListedIn reports whether an agreement has room for more of that.
func (p *partnership) isToBeListedIn(a *v1alpha1.PartnerAgreement) bool {
	return len(p.missingIn(a)) > 0 && len(a.Spec.RemovedPartners) < maxRemoved
}

// entry is what is on record of the partner in an agreement, not as granted.
func (p *partnership) entry(a *v1alpha1.PartnerAgreement) v1alpha1.AgreementPartner {
	c := claimFor(p.claims, a)
	return v1alpha1.AgreementPartner{
		Kind: p.subject.Kind, Name: p.subject.Name,
		Registration: v1alpha1.ObjectReference{Namespace: c.Namespace, Name: c.Name},
		RoleBinding:  v1alpha1.AgreementRoleBinding{Reference: v1alpha1.Reference{Name: p.main.Name}, UID: p.main.UID},
	}
}

// ownedBy reports whether one of the owners of an object is that.
func ownedBy(o metav1.Object, owner types.UID) bool {
	return slices.ContainsFunc(o.GetOwnerReferences(), func(ref metav1.OwnerReference) bool { return ref.UID == owner })
}
