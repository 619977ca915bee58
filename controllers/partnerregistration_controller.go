package controllers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/terms"
)

// maxRegistered is for how many agreements one registration stands.
const maxRegistered = 256

// PartnerRegistrationReconciler recognises partners by what they know of an
// agreement, or because it names them, and tells what they have by it. It gives
// no access itself.
type PartnerRegistrationReconciler struct {
	// Client reads from the manager's cache.
	client.Client
	// Live reads from the API server.
	Live  client.Reader
	Clock clock.PassiveClock
	// Mail tells partners by mail what they are told by Events.
	Mail Post
	// Namespaces are those that the operator serves; none: all.
	Namespaces []string

	// unsent holds, by registration, the mails that could not be put on record.
	// Events and status have told the same, so they may be lost with the process.
	unsent sync.Map
}

// registering is one pass over a registration: what was found out about it.
type registering struct {
	reg        *v1alpha1.PartnerRegistration
	agreements []v1alpha1.PartnerAgreement // for which he is recognised
	attempt    *attempt                    // that this pass is, nil if it is none
	blocked    time.Time                   // until when he may try nothing; zero: he may
	since      map[string]time.Time        // when access began, by the namespaces where he has it
	removed    []string                    // the namespaces where the customer has removed him
	stuck      []string                    // those whose agreement cannot give access until somebody mends it
	unserved   []string                    // those that are not served: what he has there stays as it is
}

// Reconcile reads the clock once, lets reconcile change only the status in
// memory, and writes that status once.
func (r *PartnerRegistrationReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	now := r.Clock.Now().UTC().Truncate(time.Second) // the precision of metav1.Time
	reg := &v1alpha1.PartnerRegistration{}
	err := r.Get(ctx, req.NamespacedName, reg)
	if apierrors.IsNotFound(err) || err == nil && !reg.DeletionTimestamp.IsZero() {
		r.unsent.Delete(req.NamespacedName)
		return ctrl.Result{}, nil // its attempts stay on record
	}
	if err != nil {
		return ctrl.Result{}, err
	}
	before := reg.DeepCopy()
	s := &registering{reg: reg}
	err = r.reconcile(ctx, s, now)
	if errors.Is(err, errLater) {
		return inAMoment(err)
	}
	s.tell(now, err)
	next := s.blocked
	if err == nil || errors.As(err, new(*blocked)) { // else not all is known
		again, aerr := r.announce(ctx, before, s, now)
		if aerr != nil {
			return inAMoment(aerr) // status stays as it is, so that what has happened is still news
		}
		next, err = terms.Earliest(next, again), nil // whatever can help wakes us
	}
	if perr := patchStatus(ctx, r.Client, before, reg); perr != nil {
		return inAMoment(errors.Join(err, perr))
	}
	s.count(before)
	return requeue(next, now, err)
}

// inAMoment looks again soon if all that is wrong is that somebody has just
// changed something. Failures back off.
func inAMoment(err error) (ctrl.Result, error) {
	if errors.Is(err, errLater) || apierrors.IsConflict(err) {
		return ctrl.Result{RequeueAfter: moment}, nil
	}
	return ctrl.Result{}, err
}

// reconcile decides whether a partner is recognised, and finds out what he has.
// The calls that it makes for a partner who is not are the same, whatever he has
// wrong. It changes status last.
func (r *PartnerRegistrationReconciler) reconcile(ctx context.Context, s *registering, now time.Time) (err error) {
	if isAttempt(s.reg) {
		if err := r.proven(ctx, s.reg); err != nil {
			return err
		}
		if err := r.unchanged(ctx, s.reg); err != nil {
			return err
		}
		if s.attempt, err = r.record(ctx, s, now); err != nil {
			return err
		}
	}
	if s.agreements, err = r.recognised(ctx, s.reg); err != nil {
		return err
	}
	agreements, err := r.access(ctx, s)
	if err != nil {
		return err
	}
	if s.attempt != nil && len(agreements) > 0 {
		if err := r.takeBack(ctx, s.reg, now); err != nil {
			return err
		}
	}
	st := &s.reg.Status
	before := st.DeepCopy()
	st.ComparedGeneration, st.Agreements = s.reg.Generation, agreements
	st.Customers = slices.Sorted(maps.Keys(s.since))
	r.keepUnserved(s, before)
	switch {
	case len(st.Agreements) == 0:
		st.RecognisedAt = nil
	case st.RecognisedAt == nil:
		st.RecognisedAt = ptr.To(metav1.NewTime(now))
	}
	return s.outcome()
}

// recognised returns the agreements for which a partner is recognised. An attempt
// is one look at one index, which finds an agreement or finds none. Who is
// recognised stays so while the order is the same, although the customer has
// corrected the mail address.
func (r *PartnerRegistrationReconciler) recognised(ctx context.Context, reg *v1alpha1.PartnerRegistration) ([]v1alpha1.PartnerAgreement, error) {
	by := proofOf(reg)
	found, err := r.agreements(ctx, by.index, by.value)
	if err != nil {
		return nil, err
	}
	if by.index == indexAgreementNumbers && reg.Status.RecognisedAt != nil {
		same, err := r.agreements(ctx, indexAgreementOrder, orderOf(numbersOfRegistration(reg)))
		if err != nil {
			return nil, err
		}
		for i := range same {
			if isRegistered(reg, &same[i]) && !isAmong(found, &same[i]) {
				found = append(found, same[i])
			}
		}
	}
	return firstOf(reg, found), nil
}

// firstOf picks as many agreements as status holds. Those that a registration has
// already come first.
func firstOf(reg *v1alpha1.PartnerRegistration, found []v1alpha1.PartnerAgreement) []v1alpha1.PartnerAgreement {
	slices.SortFunc(found, func(a, b v1alpha1.PartnerAgreement) int {
		return cmp.Or(cmp.Compare(rank(reg, &a), rank(reg, &b)), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	return found[:min(len(found), maxRegistered)]
}

// agreements are those that an index finds and that are there to stay.
func (r *PartnerRegistrationReconciler) agreements(ctx context.Context, index, value string) ([]v1alpha1.PartnerAgreement, error) {
	var list v1alpha1.PartnerAgreementList
	if err := r.List(ctx, &list, client.MatchingFields{index: value}); err != nil {
		return nil, fmt.Errorf("looking for agreements: %w", err)
	}
	return slices.DeleteFunc(list.Items, func(a v1alpha1.PartnerAgreement) bool { return !a.DeletionTimestamp.IsZero() }), nil
}

// isRegistered reports whether a registration has an agreement in status.
func isRegistered(reg *v1alpha1.PartnerRegistration, a *v1alpha1.PartnerAgreement) bool {
	return slices.ContainsFunc(reg.Status.Agreements, func(has v1alpha1.RegisteredAgreement) bool {
		return has.Namespace == a.Namespace && has.Name == a.Name
	})
}

func isAmong(all []v1alpha1.PartnerAgreement, a *v1alpha1.PartnerAgreement) bool {
	return slices.ContainsFunc(all, func(other v1alpha1.PartnerAgreement) bool { return other.UID == a.UID })
}

func rank(reg *v1alpha1.PartnerRegistration, a *v1alpha1.PartnerAgreement) int {
	if isRegistered(reg, a) {
		return 0
	}
	return 1
}
