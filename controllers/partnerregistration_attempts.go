package controllers

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/terms"
)

// proofPolicy is the ValidatingAdmissionPolicy, and its binding, that has the API
// server ask whether a partner is who he says.
const proofPolicy = "license-operator-partner"

// attempt is one that is on record.
type attempt struct {
	v1alpha1.PartnerAttempt
	number int // among those of its day
}

// isAttempt reports whether a registration has numbers that were not compared
// yet. Those of a partner who is recognised cannot be changed.
func isAttempt(reg *v1alpha1.PartnerRegistration) bool {
	return reg.Status.RecognisedAt == nil && reg.Status.ComparedGeneration != reg.Generation
}

// proven makes sure that the API server asked who made a registration, and refused
// whoever makes one for others. Without that, anybody could have access given to
// anybody, and try numbers in the name of others.
func (r *PartnerRegistrationReconciler) proven(ctx context.Context, reg *v1alpha1.PartnerRegistration) error {
	policy, binding := &admissionv1.ValidatingAdmissionPolicy{}, &admissionv1.ValidatingAdmissionPolicyBinding{}
	var inForce []time.Time
	for _, o := range []client.Object{policy, binding} {
		err := r.Live.Get(ctx, client.ObjectKey{Name: proofPolicy}, o)
		switch {
		case err == nil:
			inForce = append(inForce, unchangedSince(o))
		case !apierrors.IsNotFound(err):
			return fmt.Errorf("reading the policy %s: %w", proofPolicy, err)
		}
	}
	if len(inForce) == 2 && refuses(policy, binding) && terms.Proven(reg.CreationTimestamp.Time, inForce...) {
		return nil
	}
	return stalled(v1alpha1.ReasonNotProven, "nobody has checked who made this, because the ValidatingAdmissionPolicy %s was not in force as config/policy has it, with failurePolicy Fail and a binding for all requests whose validationActions are Deny: "+
		"have whoever runs the cluster apply config/policy, then delete this and make it again", proofPolicy)
}

// refuses reports whether the API server refuses what the policy says, for all
// requests. One that only warns, or writes to the audit log, lets everybody in.
func refuses(policy *admissionv1.ValidatingAdmissionPolicy, binding *admissionv1.ValidatingAdmissionPolicyBinding) bool {
	return ptr.Deref(policy.Spec.FailurePolicy, admissionv1.Fail) == admissionv1.Fail &&
		binding.Spec.PolicyName == policy.Name && slices.Contains(binding.Spec.ValidationActions, admissionv1.Deny) &&
		binding.Spec.MatchResources == nil && binding.Spec.ParamRef == nil
}

// unchangedSince is from when on an object is surely what it is now. The
// generation is 1 until its spec is changed; then it is the latest change of
// anything of it, because nothing tells those of the spec from others.
func unchangedSince(o client.Object) time.Time {
	since := o.GetCreationTimestamp().Time
	if o.GetGeneration() > 1 {
		for _, m := range o.GetManagedFields() {
			if m.Time != nil && m.Subresource == "" {
				since = latest(since, m.Time.Time)
			}
		}
	}
	return since
}

// requesterOf is whose attempts those by a registration are.
func requesterOf(reg *v1alpha1.PartnerRegistration) string {
	return terms.Requester(reg.Spec.Partner.Requester())
}

// requesterName is the name of his PartnerRequester.
func requesterName(reg *v1alpha1.PartnerRegistration) string {
	sum := sha256.Sum256([]byte(requesterOf(reg)))
	return "partner-" + hex.EncodeToString(sum[:16])
}

// record puts an attempt on record before it is made, unless it is. What counts
// is what the API server has: of two that write the same version of a
// PartnerRequester one succeeds, and the other looks again.
func (r *PartnerRegistrationReconciler) record(ctx context.Context, s *registering, now time.Time) (*attempt, error) {
	of, err := r.requester(ctx, s.reg)
	if err != nil {
		return nil, err
	}
	before := of.DeepCopy()
	of.Spec.Attempts = current(of.Spec.Attempts, now)
	this := slices.IndexFunc(of.Spec.Attempts, isBy(s.reg))
	if this < 0 {
		if s.blocked = instants(of.Spec.Attempts).Blocked(now); !s.blocked.IsZero() {
			return nil, waiting(v1alpha1.ReasonTooManyAttempts, "%d registrations by %s were not recognised within 24 hours, so this one is compared at %s; until then it can be corrected",
				terms.AttemptsAllowed, requesterOf(s.reg), stamp(s.blocked))
		}
		this = len(of.Spec.Attempts)
		of.Spec.Attempts = append(of.Spec.Attempts, v1alpha1.PartnerAttempt{
			Registration: v1alpha1.ObjectReference{Namespace: s.reg.Namespace, Name: s.reg.Name},
			UID:          s.reg.UID, Generation: s.reg.Generation, At: metav1.NewTime(now),
		})
		if err := r.write(ctx, before, of); err != nil {
			return nil, err
		}
	}
	return &attempt{of.Spec.Attempts[this], this + 1}, nil
}

// unchanged makes sure that the cache is not behind what the pass before has
// written. An attempt that was successful would be put on record again, and stay
// there if this process died.
func (r *PartnerRegistrationReconciler) unchanged(ctx context.Context, reg *v1alpha1.PartnerRegistration) error {
	live := &v1alpha1.PartnerRegistration{}
	err := r.Live.Get(ctx, client.ObjectKeyFromObject(reg), live)
	switch {
	case apierrors.IsNotFound(err), err == nil && live.ResourceVersion != reg.ResourceVersion:
		return errLater
	case err != nil:
		return fmt.Errorf("reading the registration: %w", err)
	}
	return nil
}

// takeBack takes the attempt of who was recognised off the record.
func (r *PartnerRegistrationReconciler) takeBack(ctx context.Context, reg *v1alpha1.PartnerRegistration, now time.Time) error {
	of, err := r.requester(ctx, reg)
	if err != nil || !slices.ContainsFunc(of.Spec.Attempts, isBy(reg)) {
		return err
	}
	before := of.DeepCopy()
	of.Spec.Attempts = slices.DeleteFunc(current(of.Spec.Attempts, now), isBy(reg))
	return r.write(ctx, before, of)
}

// requester reads what is on record of who registers from the API server.
// Without a resourceVersion nothing is.
func (r *PartnerRegistrationReconciler) requester(ctx context.Context, reg *v1alpha1.PartnerRegistration) (*v1alpha1.PartnerRequester, error) {
	of := &v1alpha1.PartnerRequester{}
	err := r.Live.Get(ctx, client.ObjectKey{Name: requesterName(reg)}, of)
	if apierrors.IsNotFound(err) {
		of.Name, of.Spec.Requester = requesterName(reg), v1alpha1.Username(requesterOf(reg))
		return of, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the attempts on record: %w", err)
	}
	return of, nil
}

// write puts on record what has changed. A record without attempts is deleted.
func (r *PartnerRegistrationReconciler) write(ctx context.Context, before, of *v1alpha1.PartnerRequester) (err error) {
	switch {
	case of.ResourceVersion == "":
		err = r.Create(ctx, of)
	case len(of.Spec.Attempts) == 0:
		err = r.Delete(ctx, of, asRead(of))
	default:
		err = r.Patch(ctx, of, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
	}
	switch {
	case apierrors.IsConflict(err), apierrors.IsAlreadyExists(err), apierrors.IsNotFound(err):
		return errLater // another attempt of the same requester has just been put on record, or off it
	case err != nil:
		return fmt.Errorf("putting an attempt on record: %w", err)
	}
	return nil
}

// asRead has an object deleted only if it is still what was read.
func asRead(o client.Object) client.Preconditions {
	return client.Preconditions{UID: ptr.To(o.GetUID()), ResourceVersion: ptr.To(o.GetResourceVersion())}
}

// isBy finds the attempt of the generation of a registration.
func isBy(reg *v1alpha1.PartnerRegistration) func(v1alpha1.PartnerAttempt) bool {
	return func(a v1alpha1.PartnerAttempt) bool { return a.UID == reg.UID && a.Generation == reg.Generation }
}

// current are the attempts that count.
func current(all []v1alpha1.PartnerAttempt, now time.Time) []v1alpha1.PartnerAttempt {
	return slices.DeleteFunc(slices.Clone(all), func(a v1alpha1.PartnerAttempt) bool {
		return len(terms.Attempts{a.At.UTC()}.Current(now)) == 0
	})
}

func instants(all []v1alpha1.PartnerAttempt) (at terms.Attempts) {
	for _, a := range all {
		at = append(at, a.At.UTC())
	}
	return at
}
