package fulfillment

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/entitlements"
)

var (
	// justChanged may pass at once, if it was but the status that changed.
	justChanged   = conflict("Somebody else is changing the subscription at the moment: try again.")
	changedBefore = conflict("Somebody else has changed the subscription at the same moment: GET it, and try again.")
)

// apply has a publisher's wish in the spec of a subscription, unless somebody
// owns the field who writes it again and again: another manager that applies
// it, or "kubectl apply", whose last configuration is in an annotation. What a
// person once created or edited may change, as the customer wants it to who
// asked the publisher.
//
// It returns what undoes it, as long as nobody has changed the field since.
func (s *Service) apply(ctx context.Context, e *v1alpha1.Entitlement, sub *v1alpha1.MarketplaceSubscription, w *wish) (undo func(context.Context), err error) {
	manager := manager(e)
	name, value := w.field()
	before := specField(sub, name)
	if before == value {
		return func(context.Context) {}, nil
	}
	if err := ownedByOthers(sub, manager, name); err != nil {
		return nil, err
	}
	fields := applied(sub, manager)
	fields[name] = value
	err = s.applyFields(ctx, sub, manager, fields)
	switch {
	case apierrors.IsConflict(err):
		return nil, justChanged
	case apierrors.IsNotFound(err):
		return nil, gone
	case apierrors.IsInvalid(err) || apierrors.IsForbidden(err):
		log.FromContext(ctx).Error(err, "a publisher's change cannot be applied", "namespace", sub.Namespace, "subscription", sub.Name)
		return nil, conflict("The customer's cluster does not let spec.%s be changed: ask the customer to change it.", name)
	case err != nil:
		return nil, fmt.Errorf("applying spec.%s to MarketplaceSubscription %s/%s: %w", name, sub.Namespace, sub.Name, err)
	}
	return func(ctx context.Context) {
		err := retry.OnError(retry.DefaultBackoff, apierrors.IsConflict, func() error { return s.unapply(ctx, e, w, before) })
		if err != nil {
			log.FromContext(ctx).Error(err, "a publisher's change that was refused stays in spec", "namespace", sub.Namespace, "subscription", sub.Name)
		}
	}, nil
}

// unapply makes a field of spec what it was before a wish that was refused, or
// what the publisher's operation in progress makes of it: that may have been
// applied just before the wish, or just after.
func (s *Service) unapply(ctx context.Context, e *v1alpha1.Entitlement, w *wish, before any) error {
	sub, err := s.subscription(ctx, e)
	if err != nil || sub == nil {
		return err
	}
	manager := manager(e)
	name, value := w.field()
	if specField(sub, name) != value || !owns(sub, manager, name) {
		return nil
	}
	e = e.DeepCopy()
	if err := s.Live.Get(ctx, client.ObjectKeyFromObject(e), e); err != nil {
		return err
	}
	facts, err := entitlements.Facts(e)
	if err != nil {
		return err
	}
	if i := facts.Pending(); i >= 0 && facts.Operations[i].ByPublisher && facts.Operations[i].Action == w.action {
		_, before = (&wish{w.action, facts.Operations[i].Level}).field()
	}
	fields := applied(sub, manager)
	fields[name] = before
	if before == nil {
		delete(fields, name)
	}
	return s.applyFields(ctx, sub, manager, fields)
}

// applyFields makes fields of spec all that a manager owns, if the subscription
// is still what it was.
func (s *Service) applyFields(ctx context.Context, sub *v1alpha1.MarketplaceSubscription, manager string, fields map[string]any) error {
	o := &unstructured.Unstructured{Object: map[string]any{"spec": maps.Clone(fields)}}
	o.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("MarketplaceSubscription"))
	o.SetNamespace(sub.Namespace)
	o.SetName(sub.Name)
	o.SetUID(sub.UID)
	o.SetResourceVersion(sub.ResourceVersion)
	return s.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(o), client.FieldOwner(manager), client.ForceOwnership)
}

// applied is what a manager has applied of spec before. What it leaves out when
// it applies again is removed.
func applied(sub *v1alpha1.MarketplaceSubscription, manager string) map[string]any {
	fields := map[string]any{}
	for _, name := range []string{"planID", "quantity"} {
		if value := specField(sub, name); value != nil && owns(sub, manager, name) {
			fields[name] = value
		}
	}
	return fields
}

// specField is the value of a field that a publisher can change, nil if it is
// absent.
func specField(sub *v1alpha1.MarketplaceSubscription, name string) any {
	switch {
	case name == "planID" && sub.Spec.PlanID != "":
		return sub.Spec.PlanID
	case name == "quantity" && sub.Spec.Quantity != 0:
		return sub.Spec.Quantity
	}
	return nil
}

// owns reports whether a manager has applied a field of spec.
func owns(sub *v1alpha1.MarketplaceSubscription, manager, name string) bool {
	for _, m := range sub.ManagedFields {
		if m.Manager == manager && owned(m, name) {
			return true
		}
	}
	return false
}

// owned reports whether an entry of managed fields is of one who applies a
// field of spec.
func owned(m metav1.ManagedFieldsEntry, name string) bool {
	if m.Operation != metav1.ManagedFieldsOperationApply || m.Subresource != "" || m.FieldsV1 == nil {
		return false
	}
	var set fieldpath.Set
	// An entry that cannot be read owns nothing that we know of.
	return set.FromJSON(m.FieldsV1.GetRawReader()) == nil && set.Has(fieldpath.MakePathOrDie("spec", name))
}

// ownedByOthers is the refusal if somebody else would undo a change of a field
// of spec.
func ownedByOthers(sub *v1alpha1.MarketplaceSubscription, manager, name string) error {
	for _, m := range sub.ManagedFields {
		if m.Manager != manager && owned(m, name) {
			return conflict("The customer keeps spec.%s with %q, which would undo the change. Ask the customer to change it there, or to leave it out there.", name, m.Manager)
		}
	}
	var last struct {
		Spec map[string]json.RawMessage `json:"spec"`
	}
	if json.Unmarshal([]byte(sub.Annotations[corev1.LastAppliedConfigAnnotation]), &last) == nil && last.Spec[name] != nil {
		return conflict("The customer keeps spec.%s in a file for \"kubectl apply\", which would undo the change. Ask the customer to change it there, or to leave it out there.", name)
	}
	return nil
}
