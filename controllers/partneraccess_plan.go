package controllers

import (
	"context"
	"slices"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/terms"
)

// deed is one thing to be written.
type deed struct {
	what string
	do   func(context.Context) error
}

// planner puts together what is to be written next.
type planner struct {
	r *PartnerAccessReconciler
	s *realm

	take, give []deed
	excluding  map[string]*v1alpha1.PartnerAgreement // with more entries in spec.removedPartners, by name
	recording  map[string]*v1alpha1.PartnerAgreement // with other partners in status, by name
}

// plan is the next step for everybody: what takes access away comes first, what
// gives it last. It is empty when nobody's access is to change.
func (r *PartnerAccessReconciler) plan(s *realm) []deed {
	pl := &planner{r: r, s: s, excluding: map[string]*v1alpha1.PartnerAgreement{}, recording: map[string]*v1alpha1.PartnerAgreement{}}
	for _, b := range s.strays {
		pl.delete(b)
	}
	for _, name := range []string{administratorsName, administratorsName + keysSuffix} {
		pl.administrators(name)
	}
	for _, p := range s.partners {
		pl.partner(p)
	}
	for _, a := range s.going {
		if len(a.Status.Partners) > 0 {
			edited(pl.recording, a).Status.Partners = nil
		}
	}
	return slices.Concat(pl.take, pl.agreements(), pl.give)
}

// administrators are kept as the agreements want them.
func (pl *planner) administrators(name string) {
	b, want := pl.s.bindings[name], pl.s.administrators
	switch {
	case b == nil && len(want) > 0 && !slices.Contains(pl.s.taken, name):
		pl.create(newBinding(pl.s.namespace, name, describeAdministrators(name), want))
	case b == nil:
	case len(want) == 0:
		pl.delete(b)
	default:
		pl.update(b, naming(b, want))
	}
}

// partner carries out what terms.NextPartnerStep says. Two RoleBindings count as
// one: the second is made before the first is on record, names the partner before
// the first is given, and is gone only after the first is ended.
func (pl *planner) partner(p *partnership) {
	partner := []rbacv1.Subject{rbacSubject(p.subject)}
	switch p.step {
	case terms.StepReserve:
		if !p.foreign { // and has to be deleted first
			main := newBinding(pl.s.namespace, p.name, describePartner(p.subject, p.name), nil)
			main.OwnerReferences = ownedByAgreements(p.by)
			setPhase(main, terms.BindingReserved)
			pl.create(main)
		}
	case terms.StepRecord: // as it is: it was put there on purpose if it names the partner
		as := p.among(p.main)
		if p.keys == nil && !p.foreign {
			keys := newBinding(pl.s.namespace, p.name+keysSuffix, describePartner(p.subject, p.name+keysSuffix), as)
			keys.OwnerReferences = ownedByBinding(p.main)
			pl.create(keys)
		}
		if pl.keep(p, as, as, phaseOf(p.main)) && p.keys != nil {
			pl.record(p)
		}
	case terms.StepFill:
		if slices.Equal(p.keys.Subjects, partner) {
			pl.keep(p, partner, partner, terms.BindingGiven)
		} else {
			pl.keep(p, p.among(p.main), partner, phaseOf(p.main))
		}
	case terms.StepTell, terms.StepDone: // what is told is written with the conditions
		if p.main != nil {
			pl.keep(p, partner, partner, terms.BindingGiven)
		}
	case terms.StepExclude:
		pl.empty(p)
		pl.exclude(p)
	case terms.StepEnd:
		pl.end(p)
	case terms.StepForget:
		if p.torn {
			pl.empty(p)
		}
		pl.forget(p, p.recorded)
	case terms.StepRevoke:
		pl.delete(p.main)
		pl.delete(p.keys)
	}
}

// keep has the two RoleBindings name whom they should, and have their owners. It
// reports whether they do. An agreement is an owner before it has the RoleBinding
// on record, and as long as it has: otherwise the garbage collector may delete
// what is on record.
func (pl *planner) keep(p *partnership, main, keys []rbacv1.Subject, phase terms.BindingPhase) bool {
	owners := slices.Clone(p.by)
	for _, a := range p.recorded {
		if !slices.Contains(p.by, a) {
			owners = append(owners, a)
		}
	}
	pl.forget(p, owners[len(p.by):])
	after := naming(p.main, main)
	after.OwnerReferences = ownedByAgreements(owners)
	setPhase(after, phase)
	same := pl.update(p.main, after)
	if p.keys == nil {
		return same
	}
	after = naming(p.keys, keys)
	after.OwnerReferences = ownedByBinding(p.main)
	return pl.update(p.keys, after) && same
}

// empty takes away what somebody has left of an access. The phase stays, and
// says that it was not the operator who ended it.
func (pl *planner) empty(p *partnership) {
	for _, b := range []*rbacv1.RoleBinding{p.main, p.keys} {
		if b != nil {
			pl.update(b, naming(b, nil))
		}
	}
}

// end has the first RoleBinding name nobody, with the note that this is the
// operator's doing. If that is refused it is deleted, by way of the record.
func (pl *planner) end(p *partnership) {
	after := naming(p.main, nil)
	setPhase(after, terms.BindingEnded)
	pl.take = append(pl.take, deed{"ending RoleBinding " + p.main.Name, func(ctx context.Context) error {
		if !equality.Semantic.DeepEqual(p.main, after) {
			if err := pl.r.Update(ctx, after); apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
				return client.IgnoreNotFound(err)
			} else if err != nil {
				pl.s.refused[p.main.UID] = true
				return nil
			}
		}
		return pl.r.delete(ctx, p.keys)
	}})
}

// exclude lists the partner, and who could have himself registered in his place,
// in each agreement that concerns him. A customer who takes an entry out again
// before the next step, which is in the same pass, has it listed once more.
func (pl *planner) exclude(p *partnership) {
	for _, a := range p.guards {
		if !p.isToBeListedIn(a) {
			continue
		}
		after := edited(pl.excluding, a)
		for _, entry := range p.missingIn(a) {
			if len(after.Spec.RemovedPartners) < maxRemoved && !slices.Contains(after.Spec.RemovedPartners, entry) {
				after.Spec.RemovedPartners = append(after.Spec.RemovedPartners, entry)
			}
		}
	}
}

// forget takes a partner off the record of agreements.
func (pl *planner) forget(p *partnership, in []*v1alpha1.PartnerAgreement) {
	for _, a := range in {
		after := edited(pl.recording, a)
		after.Status.Partners = slices.DeleteFunc(after.Status.Partners, p.isOf)
	}
}

// record puts the RoleBinding on record, not as granted.
func (pl *planner) record(p *partnership) {
	pl.forget(p, p.by)
	for _, a := range p.by {
		after := edited(pl.recording, a)
		after.Status.Partners = append(after.Status.Partners, p.entry(a))
		sortPartners(after.Status.Partners)
	}
}

// edited is an agreement as it is about to be written.
func edited(all map[string]*v1alpha1.PartnerAgreement, a *v1alpha1.PartnerAgreement) *v1alpha1.PartnerAgreement {
	if all[a.Name] == nil {
		all[a.Name] = a.DeepCopy()
	}
	return all[a.Name]
}

// agreements are written once for all partners.
func (pl *planner) agreements() (all []deed) {
	for _, before := range slices.Concat(pl.s.agreements, pl.s.going) {
		if after := pl.excluding[before.Name]; after != nil && pl.s.noted[before.Name] == nil {
			all = append(all, deed{"noting who was removed in PartnerAgreement " + before.Name, func(ctx context.Context) error {
				patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
				err := client.IgnoreNotFound(pl.r.Patch(ctx, after, patch))
				if !apierrors.IsConflict(err) {
					pl.s.noted[before.Name] = err // and the others go on
				}
				return nameless(err, after)
			}})
		} else if after := pl.recording[before.Name]; after != nil { // else it is read again first
			all = append(all, deed{"writing the partners of PartnerAgreement " + before.Name, func(ctx context.Context) error {
				if err := pl.r.tellRemoved(ctx, pl.s, before, after); err != nil {
					return err
				}
				return nameless(patchStatus(ctx, pl.r.Client, before, after), after)
			}})
		}
	}
	return all
}

func (pl *planner) create(b *rbacv1.RoleBinding) {
	pl.give = append(pl.give, deed{"creating RoleBinding " + b.Name, func(ctx context.Context) error {
		return client.IgnoreAlreadyExists(pl.r.Create(ctx, b))
	}})
}

func (pl *planner) delete(b *rbacv1.RoleBinding) {
	if b != nil {
		pl.take = append(pl.take, deed{"deleting RoleBinding " + b.Name, func(ctx context.Context) error { return pl.r.delete(ctx, b) }})
	}
}

// update writes a RoleBinding, which fails on a stale read. It reports whether
// there is nothing to write.
func (pl *planner) update(before, after *rbacv1.RoleBinding) bool {
	if equality.Semantic.DeepEqual(before, after) {
		return true
	}
	d := deed{"updating RoleBinding " + after.Name, func(ctx context.Context) error {
		return client.IgnoreNotFound(pl.r.Update(ctx, after))
	}}
	if slices.ContainsFunc(before.Subjects, func(s rbacv1.Subject) bool { return !slices.Contains(after.Subjects, s) }) {
		pl.take = append(pl.take, d)
	} else {
		pl.give = append(pl.give, d)
	}
	return false
}

func (r *PartnerAccessReconciler) delete(ctx context.Context, b *rbacv1.RoleBinding) error {
	if b == nil {
		return nil
	}
	return client.IgnoreNotFound(r.Delete(ctx, b, client.Preconditions{UID: ptr.To(b.UID)}))
}
