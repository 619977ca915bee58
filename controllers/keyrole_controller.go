package controllers

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/license-operator/license-operator/api/v1alpha1"
)

// What a Role grants, whoever writes it must hold: see the rule for secrets of
// the SoftwareSubscriptionReconciler.
//
// +kubebuilder:rbac:groups=license-operator.io,resources=marketplacesubscriptions,verbs=get;list;watch
// +kubebuilder:rbac:groups=rbac.authorization.k8s.io,resources=roles,verbs=list;watch;create
// +kubebuilder:rbac:groups=rbac.authorization.k8s.io,resources=roles,resourceNames=license-operator-keys,verbs=get;update
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

const (
	// KeyRoleName is the name of the Role that lets read the Secrets of a
	// namespace that were delivered, and nothing else.
	KeyRoleName = "license-operator-keys"
	// keyRoleEvery is how often the Role of a namespace is written at most.
	keyRoleEvery = time.Second
	// maxKeyRole bounds the names in a Role, in bytes as etcd counts them. With
	// a quarter of a mebibyte for annotations it stays below the 1.5 MiB that
	// etcd takes. 5,000 names of the greatest length fit.
	maxKeyRole = 5000 * (253 + perName)
	// perName is what protobuf adds to a name of 128 bytes or more.
	perName = 3
)

const (
	keyRoleDescription = "Lets read the Secrets with licence keys and links to publishers' sites in this namespace. license-operator keeps the list: bind this Role, and do not change it."
	notOurs            = "this Role is left alone, because it does not have the label " + v1alpha1.LabelManagedBy + ": " + v1alpha1.ManagedByOperator +
		"; delete it, if nobody needs it, and one that lists the Secrets with licence keys and links is made"
)

// KeyRoleReconciler keeps in each customer's namespace a Role that lists the
// Secrets in which keys, and links to publishers' sites, were delivered.
type KeyRoleReconciler struct {
	// Client reads from the manager's cache, which holds only Roles with our label.
	client.Client
	// Live reads from the API server.
	Live   client.Reader
	Events events.EventRecorder

	// told holds what was last said about the Role of a namespace.
	told sync.Map
}

// Reconcile brings the Role that is asked for up to date, if that is ours to do.
func (r *KeyRoleReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	names, err := r.delivered(ctx, req.Namespace)
	if err != nil {
		return ctrl.Result{}, err
	}
	role, err := r.find(ctx, req.NamespacedName, len(names) > 0)
	if err != nil {
		return ctrl.Result{}, err
	}
	if role == nil && len(names) == 0 {
		return ctrl.Result{}, nil // nobody was ever sold anything here
	}
	if role != nil && role.Labels[v1alpha1.LabelManagedBy] != v1alpha1.ManagedByOperator {
		r.tell(ctx, role, "RoleNameTaken", notOurs)
		return ctrl.Result{RequeueAfter: poll}, nil // it is not watched
	}
	err = r.write(ctx, req.NamespacedName, role, names)
	switch {
	case apierrors.IsConflict(err), apierrors.IsAlreadyExists(err):
		return ctrl.Result{RequeueAfter: keyRoleEvery}, nil // somebody has just changed it: look again
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return ctrl.Result{}, nil
	}
	return ctrl.Result{}, err
}

// delivered returns the names of the Secrets of all subscriptions, sorted. It
// believes status, which the operator alone writes, and not the labels of
// Secrets, which anybody may write who makes one.
func (r *KeyRoleReconciler) delivered(ctx context.Context, namespace string) ([]string, error) {
	var names []string
	for _, subs := range []client.ObjectList{&v1alpha1.SoftwareSubscriptionList{}, &v1alpha1.MarketplaceSubscriptionList{}} {
		if err := r.List(ctx, subs, client.InNamespace(namespace), client.UnsafeDisableDeepCopy); err != nil {
			return nil, fmt.Errorf("listing the subscriptions of %s: %w", namespace, err)
		}
		err := meta.EachListItem(subs, func(o runtime.Object) error {
			if name := deliveredIn(o.(client.Object)); name != "" {
				names = append(names, name)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// deliveredIn is the name of the Secret that holds the keys of a subscription, or
// the link to its publisher's site, empty if there is none. When a subscription
// is being deleted, the operator no longer looks at what is there under that
// name.
func deliveredIn(o client.Object) string {
	if !o.GetDeletionTimestamp().IsZero() {
		return ""
	}
	switch sub := o.(type) {
	case *v1alpha1.SoftwareSubscription:
		if sub.Status.Keys != nil {
			return sub.Status.Keys.SecretName
		}
	case *v1alpha1.MarketplaceSubscription:
		if sub.Status.LandingPage != nil {
			return sub.Status.LandingPage.SecretName
		}
	}
	return ""
}

// find returns the Role, nil if there is none. The cache may be late, and does
// not have what is not ours, so before one is made the API server is asked.
func (r *KeyRoleReconciler) find(ctx context.Context, key client.ObjectKey, needed bool) (*rbacv1.Role, error) {
	role := &rbacv1.Role{}
	err := r.Get(ctx, key, role)
	if apierrors.IsNotFound(err) && needed {
		err = r.Live.Get(ctx, key, role)
	}
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading Role %s: %w", key.Name, err)
	}
	return role, nil
}

// write creates the Role, or gives it other rules if it has the wrong ones.
func (r *KeyRoleReconciler) write(ctx context.Context, key client.ObjectKey, role *rbacv1.Role, names []string) error {
	listed := fitting(names)
	rules := keyRules(listed)
	switch {
	case role == nil:
		role = &rbacv1.Role{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: key.Namespace, Name: key.Name,
				Labels:      map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedByOperator},
				Annotations: map[string]string{"kubernetes.io/description": keyRoleDescription},
			},
			Rules: rules,
		}
		if err := r.Create(ctx, role); err != nil {
			return fmt.Errorf("creating Role %s: %w", key.Name, err)
		}
	case !equality.Semantic.DeepEqual(role.Rules, rules):
		role.Rules = rules
		if err := r.Update(ctx, role); err != nil { // which fails on a stale read
			return fmt.Errorf("updating Role %s: %w", key.Name, err)
		}
	}
	if left := len(names) - len(listed); left > 0 {
		r.tell(ctx, role, "KeyRoleFull", fmt.Sprintf("no room in this Role for %s, the last by name: list them in a Role of your own", plural(left, "Secret")))
	}
	return nil
}

// keyRules lets read the Secrets of the given names. Without a name there is no
// rule: one with an empty list would be for all Secrets.
func keyRules(names []string) []rbacv1.PolicyRule {
	if len(names) == 0 {
		return nil
	}
	return []rbacv1.PolicyRule{{APIGroups: []string{corev1.GroupName}, Resources: []string{"secrets"}, Verbs: []string{"get", "list", "watch"}, ResourceNames: names}}
}

// fitting returns as many of the names, from the first on, as a Role has room for.
func fitting(names []string) []string {
	size := 0
	for i, name := range names {
		if size += len(name) + perName; size > maxKeyRole {
			return names[:i]
		}
	}
	return names
}

// tell says what is wrong with a Role, once for each version of it.
func (r *KeyRoleReconciler) tell(ctx context.Context, role *rbacv1.Role, reason, message string) {
	now := role.ResourceVersion + message
	if before, _ := r.told.Swap(role.Namespace, now); before == now {
		return
	}
	log.FromContext(ctx).Error(nil, message, "reason", reason)
	r.Events.Eventf(role, nil, corev1.EventTypeWarning, reason, "KeepKeyRole", "%s", message)
}

// SetupWithManager registers the reconciler and what wakes it.
//
// That a Role is written once a second at most is up to the queue: whatever
// adds a request, be it an event, a failure or a requeue, adds it for a second
// later or more, and the priority queue has a request once, whether due or not.
// So passes over a namespace start at least a second apart, and the first of a
// process a second after its start.
func (r *KeyRoleReconciler) SetupWithManager(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("keyrole").
		Watches(&v1alpha1.SoftwareSubscription{}, keyRoleLater, builder.WithPredicates(deliveryChanged)).
		Watches(&v1alpha1.MarketplaceSubscription{}, keyRoleLater, builder.WithPredicates(deliveryChanged)).
		Watches(&rbacv1.Role{}, keyRoleLater, builder.WithPredicates(isKeyRole)).
		WithOptions(controller.Options{ReconciliationTimeout: passTimeout, UsePriorityQueue: ptr.To(true), RateLimiter: keyRoleBackoff()}).
		Complete(r)
}

// keyRoleBackoff repeats failures as backoff does, but not within a second.
func keyRoleBackoff() workqueue.TypedRateLimiter[reconcile.Request] {
	return workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](keyRoleEvery, time.Minute)
}

// keyRoleLater wakes the Role of the namespace that an object is in.
var keyRoleLater = handler.Funcs{
	CreateFunc: func(_ context.Context, e event.CreateEvent, q queue) { wakeKeyRole(e.Object, q) },
	UpdateFunc: func(_ context.Context, e event.UpdateEvent, q queue) { wakeKeyRole(e.ObjectNew, q) },
	DeleteFunc: func(_ context.Context, e event.DeleteEvent, q queue) { wakeKeyRole(e.Object, q) },
}

func wakeKeyRole(o client.Object, q queue) {
	q.AddAfter(reconcile.Request{NamespacedName: client.ObjectKey{Namespace: o.GetNamespace(), Name: KeyRoleName}}, keyRoleEvery)
}

var deliveryChanged = predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
	return deliveredIn(e.ObjectOld) != deliveredIn(e.ObjectNew)
}}

var isKeyRole = predicate.NewPredicateFuncs(func(o client.Object) bool { return o.GetName() == KeyRoleName })
