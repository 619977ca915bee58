package controllers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/entitlements"
	"github.com/license-operator/license-operator/internal/saasapi"
	"github.com/license-operator/license-operator/internal/signing"
	"github.com/license-operator/license-operator/internal/terms"
	"github.com/license-operator/license-operator/internal/webhooks"
)

// +kubebuilder:rbac:groups=license-operator.io,resources=entitlements,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=license-operator.io,resources=publishers,verbs=get;list;watch

// Bounds of what is going on at once. A call takes ten seconds at most, and one
// publisher must not keep the others waiting.
const (
	webhookWorkers    = 64
	callsPerPublisher = 4
	slotPoll          = time.Second // how often to look for a free slot
)

// WebhookReconciler tells publishers of operations: it calls their webhooks
// until they have taken each. All that it has to know is in the Entitlement, so
// whoever comes after it goes on; an operation may be told twice then, with the
// same id.
type WebhookReconciler struct {
	client.Client // a cache
	// Live reads from the API server: a cache could say that an operation is
	// undelivered which was delivered a moment ago.
	Live   client.Reader
	Clock  clock.PassiveClock
	Record *entitlements.Record
	Signer *signing.Signer
	Sender *webhooks.Sender
	// FulfillmentURL is where the fulfilment API is, the issuer of the tokens
	// that webhooks are called with.
	FulfillmentURL string
	// Namespaces are the customers to serve; none means all.
	Namespaces []string

	mu     sync.Mutex
	calls  map[string]int   // going on, by publisher
	pauses map[string]pause // by entitlement
}

// pause is until when a publisher is left alone after a call that failed. Only
// this process keeps it.
type pause struct {
	operation string
	publisher string // as it was called: another address is tried at once
	until     time.Time
}

// Reconcile makes at most one call.
func (r *WebhookReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	now := r.Clock.Now().UTC()
	e := &v1alpha1.Entitlement{}
	if err := r.Get(ctx, req.NamespacedName, e); err != nil {
		r.setPause(req.Name, pause{})
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	_, op, err := r.toDeliver(e, now)
	if err != nil || op == nil {
		r.setPause(req.Name, pause{})
		return ctrl.Result{}, err
	}
	publisher, err := r.publisher(ctx, e.Spec.PublisherRef.Name)
	if err != nil {
		return ctrl.Result{}, err
	}
	if wait := r.waitFor(e.Name, op.ID, version(publisher), now); wait > 0 {
		return ctrl.Result{RequeueAfter: wait}, nil
	}
	if !r.begin(e.Spec.PublisherRef.Name) {
		return ctrl.Result{RequeueAfter: slotPoll}, nil
	}
	defer r.end(e.Spec.PublisherRef.Name)

	if err := r.Live.Get(ctx, req.NamespacedName, e); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	facts, op, err := r.toDeliver(e, now)
	if err != nil || op == nil {
		return ctrl.Result{}, err
	}
	outcome, err := r.call(ctx, publisher, e, facts, op, now)
	if err != nil {
		return ctrl.Result{}, err
	}
	return r.record(ctx, e.Name, op, version(publisher), outcome)
}

// toDeliver returns what the publisher is to be told next, nil if nothing.
func (r *WebhookReconciler) toDeliver(e *v1alpha1.Entitlement, now time.Time) (*terms.Entitlement, *terms.Operation, error) {
	facts, err := entitlements.Facts(e)
	if err != nil {
		return nil, nil, err
	}
	facts.Follow(now) // what ended meanwhile is not asked for any more
	i := facts.ToDeliver()
	if i < 0 {
		return facts, nil, nil
	}
	return facts, &facts.Operations[i], nil
}

// publisher returns the Publisher, nil if there is none.
func (r *WebhookReconciler) publisher(ctx context.Context, name string) (*v1alpha1.Publisher, error) {
	p := &v1alpha1.Publisher{}
	err := r.Get(ctx, client.ObjectKey{Name: name}, p)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading publisher %s: %w", name, err)
	}
	return p, nil
}

// version tells what a Publisher's spec was.
func version(p *v1alpha1.Publisher) string {
	if p == nil {
		return ""
	}
	return fmt.Sprintf("%s/%d", p.UID, p.Generation)
}

// call tells a publisher of an operation.
func (r *WebhookReconciler) call(ctx context.Context, p *v1alpha1.Publisher, e *v1alpha1.Entitlement, facts *terms.Entitlement, op *terms.Operation, now time.Time) (webhooks.Outcome, error) {
	if p == nil {
		return webhooks.Outcome{Result: webhooks.Failed, Text: "the publisher does not exist"}, nil
	}
	if err := r.Signer.Load(ctx); err != nil {
		if errors.As(err, new(*signing.SecretError)) {
			ctrl.LoggerFrom(ctx).Error(err, "no webhook can be called")
			return webhooks.Outcome{Result: webhooks.Failed, Text: "the operator has no usable key to sign with: its log says what to do"}, nil
		}
		return webhooks.Outcome{}, err
	}
	token, err := r.Signer.Webhook(p.Audience(), r.FulfillmentURL, now)
	if err != nil {
		return webhooks.Outcome{}, err
	}
	body, err := json.Marshal(saasapi.NewPayload(e, facts, op))
	if err != nil {
		return webhooks.Outcome{}, fmt.Errorf("encoding operation %s: %w", op.ID, err)
	}
	return r.Sender.Send(ctx, webhooks.Call{
		URL: p.Spec.WebhookURL, Body: body, Token: token, RequestID: uuid.NewString(), CorrelationID: op.ID,
		Refusable: op.Action.Refusable(), Private: p.Spec.AllowPrivateAddresses,
	}, now)
}

// record puts on record what came of a call, and says when to make the next.
func (r *WebhookReconciler) record(ctx context.Context, name string, op *terms.Operation, publisher string, outcome webhooks.Outcome) (ctrl.Result, error) {
	now := r.Clock.Now().UTC() // a call takes its time
	_, facts, err := r.Record.Change(ctx, name, now.Truncate(time.Second), func(_ *v1alpha1.Entitlement, facts *terms.Entitlement) error {
		switch outcome.Result {
		case webhooks.Taken:
			facts.Deliver(op.ID, "", now)
		case webhooks.Refused:
			facts.Deliver(op.ID, outcome.Text, now)
		default:
			facts.Miss(op.ID, outcome.Text, now)
		}
		return nil
	})
	if err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	ctrl.LoggerFrom(ctx).V(1).Info("called a webhook", "operation", op.ID, "action", op.Action, "outcome", outcome.Text)
	i := facts.ToDeliver()
	if i < 0 {
		r.setPause(name, pause{})
		return ctrl.Result{}, nil
	}
	if next := &facts.Operations[i]; next.ID == op.ID {
		wait := max(next.Pause(now), outcome.After)
		r.setPause(name, pause{operation: op.ID, publisher: publisher, until: now.Add(wait)})
		return ctrl.Result{RequeueAfter: wait}, nil
	}
	return ctrl.Result{RequeueAfter: moment}, nil
}

// begin takes one of the slots of a publisher, if there is one.
func (r *WebhookReconciler) begin(publisher string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.calls[publisher] >= callsPerPublisher {
		return false
	}
	if r.calls == nil {
		r.calls = map[string]int{}
	}
	r.calls[publisher]++
	return true
}

func (r *WebhookReconciler) end(publisher string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.calls[publisher]--; r.calls[publisher] == 0 {
		delete(r.calls, publisher)
	}
}

// waitFor is how long to leave the publisher alone.
func (r *WebhookReconciler) waitFor(entitlement, operation, publisher string, now time.Time) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.pauses[entitlement]
	if p.operation != operation || p.publisher != publisher {
		return 0
	}
	return min(p.until.Sub(now), webhooks.LongestWait) // the clock may have been set back
}

// setPause remembers a pause; the zero one forgets it.
func (r *WebhookReconciler) setPause(entitlement string, p pause) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.pauses == nil {
		r.pauses = map[string]pause{}
	}
	if delete(r.pauses, entitlement); p != (pause{}) {
		r.pauses[entitlement] = p
	}
}

// SetupWithManager registers the reconciler and what wakes it.
func (r *WebhookReconciler) SetupWithManager(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("webhook").
		For(&v1alpha1.Entitlement{}, builder.WithPredicates(predicate.NewPredicateFuncs(undelivered), served(r.Namespaces))).
		Watches(&v1alpha1.Publisher{}, handler.EnqueueRequestsFromMapFunc(r.ofPublisher), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		WithOptions(controller.Options{MaxConcurrentReconciles: webhookWorkers, ReconciliationTimeout: passTimeout, RateLimiter: backoff()}).
		Complete(r)
}

// undelivered reports whether the publisher is to be told something.
func undelivered(o client.Object) bool {
	facts, err := entitlements.Facts(o.(*v1alpha1.Entitlement))
	return err != nil || facts.ToDeliver() >= 0 // an error is for the pass to tell
}

// ofPublisher returns the entitlements of a publisher with something to tell.
func (r *WebhookReconciler) ofPublisher(ctx context.Context, publisher client.Object) []reconcile.Request {
	var list v1alpha1.EntitlementList
	if err := r.List(ctx, &list, client.MatchingLabels{v1alpha1.LabelPublisher: publisher.GetName()}, client.UnsafeDisableDeepCopy); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "listing the entitlements of a publisher", "publisher", publisher.GetName())
		return nil // they are tried again by themselves
	}
	var all []reconcile.Request
	for i := range list.Items {
		if undelivered(&list.Items[i]) && (len(r.Namespaces) == 0 || slices.Contains(r.Namespaces, list.Items[i].Spec.Customer)) {
			all = append(all, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
		}
	}
	return all
}
