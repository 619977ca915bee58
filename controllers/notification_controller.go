package controllers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/util/retry"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/notify"
	"github.com/license-operator/license-operator/internal/terms"
)

// +kubebuilder:rbac:groups=license-operator.io,resources=notifications,verbs=get;list;watch;create;delete
// +kubebuilder:rbac:groups=license-operator.io,resources=notifications/status,verbs=patch

const (
	// mailWorkers is how many mails are sent at a time. A mail server that hangs
	// keeps these busy, and no other reconciler.
	mailWorkers = 4
	// countTime is how long it may take to count an attempt before it is made.
	countTime = 10 * time.Second
	// recordTime is how long to try to write what came of it.
	recordTime = 8 * time.Second
	// mailTimeout of a pass leaves time for all of them, and to spare.
	mailTimeout = countTime + notify.AttemptTime + recordTime + 12*time.Second
)

// noServer is the message until an operator with a mail server has looked.
const noServer = "the operator has no mail server: whoever runs it sets --smtp and --mail-from"

// NotificationReconciler sends the mails that are on record, each until the mail
// server has taken it or has refused it for good.
//
// An attempt is counted before it begins, by a write that fails if another
// process was faster or the cache is late: so two leaders do not send one mail,
// and an operator that dies while it sends tries again after the pause and not
// in a circle. That is one write more for each attempt. What it cannot prevent
// is that the server has taken a mail and nobody lived to write it down: it is
// sent again then, with the same Message-ID.
type NotificationReconciler struct {
	client.Client
	Clock clock.PassiveClock
	// Mail sends them. Nil: no mail server is configured, and they wait.
	Mail *notify.Mailer
}

// Reconcile makes at most one attempt.
func (r *NotificationReconciler) Reconcile(ctx context.Context, n *v1alpha1.Notification) (ctrl.Result, error) {
	if !n.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, nil
	}
	now := r.Clock.Now().UTC().Truncate(time.Second)
	mail := mailOf(n)
	if deletion := mail.Deletion(); !deletion.IsZero() {
		if now.Before(deletion) {
			return r.later(n, now)
		}
		err := r.Delete(ctx, n, client.Preconditions{UID: &n.UID, ResourceVersion: &n.ResourceVersion})
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if r.Mail == nil {
		return r.wait(ctx, n, mail, now)
	}
	if next := mail.Next(now); now.Before(next) {
		if c := meta.FindStatusCondition(n.Status.Conditions, v1alpha1.ConditionReconciling); c != nil && c.Message == noServer {
			return r.tell(ctx, n, waiting(v1alpha1.ReasonRetrying, "%s so far, the next at %s", plural(int(mail.Attempts), "attempt"), stamp(next)), now)
		}
		return r.later(n, now)
	}
	began, err := r.begin(ctx, n, now)
	if err != nil || !began {
		return ctrl.Result{RequeueAfter: moment}, err
	}
	// Who was suspended in between may find that the next attempt has begun.
	if r.Clock.Now().Sub(now) > countTime {
		return r.later(n, now)
	}
	err = r.Mail.Send(ctx, n, n.Status.MessageID, now)
	return r.record(ctx, n, err)
}

// mailOf gives the rules what is known of a mail.
func mailOf(n *v1alpha1.Notification) terms.Mail {
	st := &n.Status
	mail := terms.Mail{Queued: n.CreationTimestamp.UTC(), Attempts: st.Attempts, Undeliverable: reasonOf(n, v1alpha1.ConditionStalled) == v1alpha1.ReasonUndeliverable}
	if st.LastAttemptAt != nil {
		mail.Last = st.LastAttemptAt.UTC()
	}
	if st.SentAt != nil {
		mail.Sent = st.SentAt.UTC()
	}
	return mail
}

// wait says why nothing is sent. What is still waiting when it is too old to be
// of interest is given up.
func (r *NotificationReconciler) wait(ctx context.Context, n *v1alpha1.Notification, mail terms.Mail, now time.Time) (ctrl.Result, error) {
	err := waiting(v1alpha1.ReasonRetrying, noServer)
	if mail.TooOld(now) {
		err = stalled(v1alpha1.ReasonUndeliverable, "the operator had no mail server for %d days, and it is given up: whoever runs it sets --smtp and --mail-from for later ones", terms.MailTime/(24*time.Hour))
	}
	return r.tell(ctx, n, err, now)
}

// tell says why a mail is not sent now.
func (r *NotificationReconciler) tell(ctx context.Context, n *v1alpha1.Notification, why error, now time.Time) (ctrl.Result, error) {
	before := n.DeepCopy()
	summarize(n, now, why, false)
	if err := patchStatus(ctx, r.Client, before, n); err != nil {
		return ctrl.Result{}, err
	}
	return r.later(n, now)
}

// begin counts an attempt, and reports whether it may be made: not if somebody
// else has written the Notification since we read it.
func (r *NotificationReconciler) begin(ctx context.Context, n *v1alpha1.Notification, now time.Time) (bool, error) {
	before := n.DeepCopy()
	st := &n.Status
	st.Attempts++
	st.LastAttemptAt = ptr.To(metav1.NewTime(now))
	st.MessageID = cmp.Or(st.MessageID, r.Mail.MessageID(n.Namespace, n.Name))
	summarize(n, now, waiting(v1alpha1.ReasonRetrying, "it is being sent, attempt %d", st.Attempts), false)
	ctx, cancel := context.WithTimeout(ctx, countTime)
	defer cancel()
	err := r.Status().Patch(ctx, n, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("counting an attempt to send a mail: %w", err)
	}
	return true, nil
}

// record writes what came of an attempt. It does so even when the operator
// stops, and whoever else has written the Notification meanwhile, because
// otherwise the mail is sent again.
func (r *NotificationReconciler) record(ctx context.Context, n *v1alpha1.Notification, failure error) (ctrl.Result, error) {
	now := r.Clock.Now().UTC().Truncate(time.Second) // an attempt takes its time
	before := n.DeepCopy()
	mail := mailOf(n)
	err := attempted(n, mail, failure, now)
	if failure == nil {
		n.Status.SentAt = ptr.To(metav1.NewTime(now))
		setCondition(n, now, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonSent, "the mail server took it")
	} else if cause := errors.Unwrap(failure); cause != nil {
		ctrl.LoggerFrom(ctx).Info("a mail was not sent", "attempt", n.Status.Attempts, "why", cause.Error())
	}
	summarize(n, now, err, failure == nil)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTime)
	defer cancel()
	backoff := wait.Backoff{Duration: 100 * time.Millisecond, Factor: 2, Steps: 6}
	perr := retry.OnError(backoff, func(err error) bool { return ctx.Err() == nil && !apierrors.IsNotFound(err) }, func() error {
		return r.Status().Patch(ctx, n.DeepCopy(), client.MergeFrom(before))
	})
	if client.IgnoreNotFound(perr) != nil {
		return ctrl.Result{}, fmt.Errorf("writing what came of an attempt to send a mail: %w", perr)
	}
	return r.later(n, now)
}

// later wakes the reconciler when there is something to do next.
func (r *NotificationReconciler) later(n *v1alpha1.Notification, now time.Time) (ctrl.Result, error) {
	mail := mailOf(n)
	switch deletion := mail.Deletion(); {
	case !deletion.IsZero():
		return requeue(deletion, now, nil)
	case r.Mail == nil:
		return requeue(mail.Expires(), now, nil)
	}
	return requeue(mail.Next(now), now, nil)
}

// attempted is what an attempt came to, for the conditions.
func attempted(n *v1alpha1.Notification, mail terms.Mail, failure error, now time.Time) error {
	refused := new(notify.Error)
	about := n.Spec.Regarding
	switch {
	case failure == nil:
		return nil
	case errors.As(failure, &refused) && refused.Permanent:
		return stalled(v1alpha1.ReasonUndeliverable, "%s; it is not tried again: correct the address in %s %s for later mails, and tell this to whom it was for in another way", refused, about.Kind, about.Name)
	case mail.TooOld(now):
		return stalled(v1alpha1.ReasonUndeliverable, "given up after %d days and %s: %s; tell this to whom it was for in another way", terms.MailTime/(24*time.Hour), plural(int(mail.Attempts), "attempt"), failure)
	}
	return waiting(v1alpha1.ReasonRetrying, "%s; %s so far, the next at %s", failure, plural(int(mail.Attempts), "attempt"), stamp(mail.Next(now)))
}

// SetupWithManager registers the reconciler and what wakes it.
func (r *NotificationReconciler) SetupWithManager(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		For(&v1alpha1.Notification{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		WithOptions(controller.Options{MaxConcurrentReconciles: mailWorkers, ReconciliationTimeout: mailTimeout, RateLimiter: backoff()}).
		Complete(reconcile.AsReconciler(mgr.GetClient(), r))
}
