package controllers

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/terms"
)

const (
	// moment is how long to wait for another reconciler of the same process.
	moment = 200 * time.Millisecond
	// poll is how often to look for something that is not watched.
	poll = time.Minute
	// passTimeout cuts off a pass, so that whoever is suspended for longer
	// finds its writes refused when it wakes up.
	passTimeout = 30 * time.Second
	// maxMessage is what people read, in bytes. The API server takes more.
	maxMessage = 1024
	// longestSleep bounds how late a timer can be when the clock is set.
	longestSleep = time.Hour
)

// object is any of our kinds that has a status.
type object interface {
	client.Object
	Conditions() *[]metav1.Condition
	SetObservedGeneration(int64)
}

// blocked is why an object is not done although nothing failed.
type blocked struct {
	reason  string
	message string
	stalled bool // only a person can help
}

func (b *blocked) Error() string { return b.message }

// waiting says that something outside has not happened yet.
func waiting(reason, format string, args ...any) error {
	return &blocked{reason: reason, message: fmt.Sprintf(format, args...)}
}

// stalled says what a person must do.
func stalled(reason, format string, args ...any) error {
	return &blocked{reason: reason, message: fmt.Sprintf(format, args...), stalled: true}
}

func setCondition(o object, now time.Time, typ string, status metav1.ConditionStatus, reason, message string) {
	meta.SetStatusCondition(o.Conditions(), metav1.Condition{
		Type: typ, Status: status, Reason: reason, Message: truncate(message, maxMessage),
		ObservedGeneration: o.GetGeneration(), LastTransitionTime: metav1.NewTime(now),
	})
}

// summarize turns the outcome of a reconcile into Reconciling and Stalled, so
// that kstatus reads it as Current, InProgress or Failed. An object that is
// not usable stops being Ready; one that is stays so, whatever else is wrong.
func summarize(o object, now time.Time, err error, usable bool) {
	o.SetObservedGeneration(o.GetGeneration())
	abnormal, normal, reason := v1alpha1.ConditionReconciling, v1alpha1.ConditionStalled, v1alpha1.ReasonRetrying
	b := new(blocked)
	switch {
	case err == nil:
		meta.RemoveStatusCondition(o.Conditions(), v1alpha1.ConditionReconciling)
		meta.RemoveStatusCondition(o.Conditions(), v1alpha1.ConditionStalled)
		return
	case errors.As(err, &b) && b.stalled:
		abnormal, normal, reason = v1alpha1.ConditionStalled, v1alpha1.ConditionReconciling, b.reason
	case errors.As(err, &b):
		reason = b.reason
	}
	meta.RemoveStatusCondition(o.Conditions(), normal)
	setCondition(o, now, abnormal, metav1.ConditionTrue, reason, err.Error())
	if !usable {
		setCondition(o, now, v1alpha1.ConditionReady, metav1.ConditionFalse, reason, err.Error())
	}
}

func truncate(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n-3], "") + "..."
}

// plural writes a number with its noun.
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// verb writes a number with its noun and what that does.
func verb(n int, noun, one, many string) string {
	if n == 1 {
		return plural(n, noun) + " " + one
	}
	return plural(n, noun) + " " + many
}

// reasonOf is the reason of a condition, empty if it is absent.
func reasonOf(o object, typ string) string {
	if c := meta.FindStatusCondition(*o.Conditions(), typ); c != nil {
		return c.Reason
	}
	return ""
}

// patchStatus writes the status if it changed, and fails on a stale read.
func patchStatus(ctx context.Context, c client.Client, before, after client.Object) error {
	if equality.Semantic.DeepEqual(before, after) {
		return nil
	}
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := c.Status().Patch(ctx, after, patch); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("writing status: %w", err)
	}
	return nil
}

// requeue wakes the reconciler when a rule next changes, sooner if the object
// is blocked by something that is not watched. Failures back off.
func requeue(next, now time.Time, err error) (ctrl.Result, error) {
	if b := new(blocked); errors.As(err, &b) {
		next, err = terms.Earliest(next, now.Add(poll)), nil
	}
	if err != nil || next.IsZero() {
		return ctrl.Result{}, err
	}
	return ctrl.Result{RequeueAfter: min(max(next.Sub(now), time.Second), longestSleep)}, nil
}
