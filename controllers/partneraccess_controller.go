package controllers

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/terms"
)

// PartnerAccessReconciler gives administrators and partners of a customer their
// roles, and takes them away. One pass is over all agreements of a namespace,
// because a role is for all of it. It decides nothing about who is a partner:
// that is in the status of registrations.
type PartnerAccessReconciler struct {
	// Client reads from the manager's cache, which holds only RoleBindings with our
	// label.
	client.Client
	// Live reads from the API server.
	Live  client.Reader
	Clock clock.PassiveClock
	// Mail tells customers by mail what they are told by Events.
	Mail Post
	// Namespace is the operator's own, in which nobody gets a role.
	Namespace string
	// Namespaces are the customers to serve; none means all.
	Namespaces []string
	// Workers is how many customers are worked on at a time; 0 means one.
	Workers int

	// unsent holds, by namespace, the mails that could not be put on record. Events
	// have told the same, so they may be lost with the process.
	unsent sync.Map
}

// Reconcile brings the access to a namespace, which is the name that is asked
// for, in line with its agreements, and tells what there is.
func (r *PartnerAccessReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	now := r.Clock.Now().UTC().Truncate(time.Second) // the precision of metav1.Time
	s, err := r.look(ctx, req.Name)
	if err != nil {
		return ctrl.Result{}, err
	}
	var failed error
	if len(r.plan(s)) > 0 {
		if s, failed = r.settle(ctx, s); apierrors.HasStatusCause(failed, corev1.NamespaceTerminatingCause) {
			return ctrl.Result{}, nil // all of it goes away
		}
	}
	if err := errors.Join(failed, r.tell(ctx, s, now, failed)); err != nil {
		return ctrl.Result{}, err
	}
	if s.again {
		return ctrl.Result{RequeueAfter: moment}, nil
	}
	next := s.mailAt
	if len(s.taken) > 0 { // by RoleBindings that are not watched
		next = terms.Earliest(next, now.Add(poll))
	}
	return requeue(next, now, nil)
}

// settle writes what is missing until nothing is. It reads from the API server
// before each round: a role that was given is as good as used, and what a
// customer has taken away stays so. Each round takes away first, and what fails
// keeps nothing else from being done.
func (r *PartnerAccessReconciler) settle(ctx context.Context, s *realm) (*realm, error) {
	failed := map[string]error{}
	for range maxSteps {
		seen, err := r.lookAgain(ctx, s)
		if err != nil {
			return s, err
		}
		s = seen
		todo := slices.DeleteFunc(r.plan(s), func(d deed) bool { return failed[d.what] != nil })
		if len(todo) == 0 || ctx.Err() != nil {
			return s, failures(failed)
		}
		for _, d := range todo {
			// After a conflict the next round sees what somebody else did.
			if err := d.do(ctx); err != nil && !apierrors.IsConflict(err) {
				failed[d.what] = fmt.Errorf("%s: %w", d.what, err)
			}
		}
	}
	s.again = true
	return s, failures(failed)
}

func failures(failed map[string]error) error {
	var all []error
	for _, key := range slices.Sorted(maps.Keys(failed)) {
		all = append(all, failed[key])
	}
	return errors.Join(all...)
}

// nameless leaves out why the API server does not take an agreement: it quotes
// what is in it, and that is for nobody else.
func nameless(err error, a *v1alpha1.PartnerAgreement) error {
	if apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) {
		return fmt.Errorf("the API server does not take PartnerAgreement %s as it is: apply it again with --dry-run=server, which says why, and correct it", a.Name)
	}
	return err
}

// look reads from the cache what there is in a namespace. It is good enough to
// see that there is nothing to do.
func (r *PartnerAccessReconciler) look(ctx context.Context, namespace string) (*realm, error) {
	s := &realm{namespace: namespace, reserved: r.reserved(namespace), refused: map[types.UID]bool{}, noted: map[string]error{}}
	var regs v1alpha1.PartnerRegistrationList
	if err := r.List(ctx, &regs, client.MatchingFields{indexRegisteredIn: namespace}); err != nil {
		return nil, fmt.Errorf("listing the registrations for agreements of %s: %w", namespace, err)
	}
	return s, s.fill(ctx, r, regs.Items)
}

// lookAgain reads the same from the API server. That has no index, so it is
// asked for the registrations one by one: those that the cache knows, and those
// that are on record.
func (r *PartnerAccessReconciler) lookAgain(ctx context.Context, before *realm) (*realm, error) {
	s := &realm{namespace: before.namespace, reserved: before.reserved, refused: before.refused, noted: before.noted, hints: before.hints}
	var regs []v1alpha1.PartnerRegistration
	for _, key := range before.hints {
		var reg v1alpha1.PartnerRegistration
		err := r.Live.Get(ctx, key, &reg)
		if client.IgnoreNotFound(err) != nil {
			return nil, fmt.Errorf("reading PartnerRegistration %s: %w", key, err)
		}
		if err == nil {
			regs = append(regs, reg)
		}
	}
	return s, s.fill(ctx, r.Live, regs)
}

// fill reads the rest, and derives who may have what.
func (s *realm) fill(ctx context.Context, from client.Reader, regs []v1alpha1.PartnerRegistration) error {
	var agreements v1alpha1.PartnerAgreementList
	if err := from.List(ctx, &agreements, client.InNamespace(s.namespace)); err != nil {
		return fmt.Errorf("listing the agreements of %s: %w", s.namespace, err)
	}
	var bindings rbacv1.RoleBindingList
	if err := from.List(ctx, &bindings, client.InNamespace(s.namespace)); err != nil {
		return fmt.Errorf("listing the RoleBindings of %s: %w", s.namespace, err)
	}
	s.derive(agreements.Items, regs, bindings.Items)
	return nil
}

// tell writes the status of the agreements whose status is another now, and tells
// people of it before. failed is what could not be done.
func (r *PartnerAccessReconciler) tell(ctx context.Context, s *realm, now time.Time, failed error) (err error) {
	if len(s.agreements) == 0 {
		r.unsent.Delete(s.namespace)
	}
	for _, before := range s.agreements {
		after := before.DeepCopy()
		s.describe(after, now, failed)
		if aerr := r.announce(ctx, s, before, after, now); aerr != nil {
			err = errors.Join(err, aerr)
			continue // what could not be sent stays to be told
		}
		perr := nameless(patchStatus(ctx, r.Client, before, after), before)
		if apierrors.IsConflict(perr) {
			s.again, perr = true, nil
		}
		err = errors.Join(err, perr)
	}
	return err
}

// isGoing reports whether an object is being deleted.
func isGoing(o metav1.Object) bool { return !o.GetDeletionTimestamp().IsZero() }
