package controllers

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/terms"
)

// reporter is who Events say they are from.
const reporter = "license-operator.io/controllers"

// maxNote is what an Event holds, in bytes.
const maxNote = 1024

// maxName is how long the name of an object may be.
const maxName = 253

// announce sends the notices of a subscription that are due, and returns when
// the next one will be. Status is written afterwards and has on record up to
// when people were told: what could not be sent stays due. An Event has a name
// of its own, so if its answer, or that of status, is lost it is not doubled, as
// long as the API server keeps it: an hour by default.
func (r *SoftwareSubscriptionReconciler) announce(ctx context.Context, before, sub *v1alpha1.SoftwareSubscription, now time.Time) (next time.Time, err error) {
	life, ok := lifeOf(sub)
	if !ok {
		return time.Time{}, nil
	}
	// What happened before the object was there, and was restored with it, is
	// no news. The minute is for clocks that differ.
	created := sub.CreationTimestamp.Add(-time.Minute)
	noticed := created
	if until := sub.Status.NoticedUntil; until != nil {
		noticed = until.Time
	}
	if life.Ended != "" {
		now = latest(now, life.EndedAt) // by the API server's clock, which may be ahead
		if !hasEnded(before) && life.EndedAt.After(created) {
			noticed = life.EndedAt.Add(-time.Second) // it was asked for before the last pass, perhaps
		}
	}
	due, next := life.Due(noticed, now)
	if a := declaredLate(before, sub, life, noticed); a != nil {
		due = append(due, *a)
	}
	if len(due) == 0 {
		return next, nil
	}
	sub.Status.NoticedUntil = ptr.To(metav1.NewTime(now))
	for _, a := range due {
		if err := send(ctx, r.Client, sub, "SoftwareSubscription", a, note(sub, a), r.Clock.Now()); err != nil {
			sub.Status.NoticedUntil = ptr.To(metav1.NewTime(noticed))
			return next, err
		}
	}
	return next, nil
}

// declaredLate is the notice of a move from KMS to MAK that was at risk, or had
// lapsed, before anybody told the operator of it; nil if there is none.
func declaredLate(before, sub *v1alpha1.SoftwareSubscription, life terms.Life, noticed time.Time) *terms.Announcement {
	state := terms.Migration(reasonOf(sub, v1alpha1.ConditionMigrated))
	if life.Migration == nil || string(state) == reasonOf(before, v1alpha1.ConditionMigrated) {
		return nil
	}
	switch {
	case state == terms.MigrationAtRisk && !life.Migration.AtRisk.After(noticed):
		return &terms.Announcement{Notice: terms.MigrationWarned, At: life.Migration.AtRisk}
	case state == terms.MigrationLapsed && !life.Migration.Before.After(noticed):
		return &terms.Announcement{Notice: terms.MigrationMissed, At: life.Migration.Before}
	}
	return nil
}

func latest(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// lifeOf gives the rules what status tells of a subscription that has its keys
// or had them.
func lifeOf(sub *v1alpha1.SoftwareSubscription) (terms.Life, bool) {
	st := &sub.Status
	if st.State == v1alpha1.StateCancelled && st.Cancellation.At != nil {
		return terms.Life{Ended: terms.Cancelled, EndedAt: st.Cancellation.At.UTC()}, true
	}
	if st.PurchasedAt == nil || st.Term == nil {
		return terms.Life{}, false
	}
	life := terms.Life{Purchased: st.PurchasedAt.UTC(), Term: terms.Period{Start: st.Term.StartsAt.UTC()}, Link: linkOf(sub)}
	if st.Term.EndsAt != nil {
		life.Term.End = st.Term.EndsAt.UTC()
	}
	if c := st.Cancellation; c != nil && c.Until != nil {
		life.Window = c.Until.UTC()
	}
	if v := sub.Spec.VolumeLicensing; v != nil {
		m := terms.MigrationAt(v.LastKMSActivation.Time, v.MAKDeployed, life.Purchased)
		if st.Migration != nil && st.Migration.ReactivateBefore.Time.Equal(m.Before) { // else the pass failed before it was described
			life.Migration = &m
		}
	}
	switch {
	case st.State == v1alpha1.StateExpired:
		life.Ended, life.EndedAt = terms.Expired, life.Term.End
	case !meta.IsStatusConditionTrue(st.Conditions, v1alpha1.ConditionKeysIssued):
		return terms.Life{}, false
	}
	return life, true
}

// send makes the Event of a notice, unless it is there.
func send(ctx context.Context, c client.Client, sub client.Object, kind string, a terms.Announcement, text string, now time.Time) error {
	err := c.Create(ctx, eventFor(sub, kind, a, text, now))
	if err != nil && !apierrors.IsAlreadyExists(err) && !apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		return fmt.Errorf("sending the notice %s: %w", a.Notice, err)
	}
	return nil
}

// noticeName is the same for a notice each time. Of an object with a long name it
// has only the beginning: the hash tells it from others.
func noticeName(about client.Object, a terms.Announcement) string {
	what := fmt.Appendf(nil, "%s %s %d", about.GetUID(), a.Notice, a.At.Unix())
	if a.Of != "" {
		what = fmt.Appendf(what, " %s", a.Of)
	}
	sum := sha256.Sum256(what)
	hash := "." + hex.EncodeToString(sum[:8])
	name := about.GetName()
	return strings.TrimRight(name[:min(len(name), maxName-len(hash))], "-.") + hash
}

func eventFor(sub client.Object, kind string, a terms.Announcement, text string, now time.Time) *eventsv1.Event {
	host, _ := os.Hostname() // empty is what the API server refuses, so there is a fallback
	e := &eventsv1.Event{
		ObjectMeta: metav1.ObjectMeta{Namespace: sub.GetNamespace(), Name: noticeName(sub, a)},
		EventTime:  metav1.NewMicroTime(now), ReportingController: reporter, ReportingInstance: truncate("license-operator-"+host, 128),
		Type: corev1.EventTypeNormal, Reason: string(a.Notice), Action: string(a.Notice), Note: truncate(text, maxNote),
		Regarding: corev1.ObjectReference{
			APIVersion: v1alpha1.GroupVersion.String(), Kind: kind,
			Namespace: sub.GetNamespace(), Name: sub.GetName(), UID: sub.GetUID(), ResourceVersion: sub.GetResourceVersion(),
		},
	}
	switch a.Notice {
	case terms.WindowClosing, terms.LinkExpiring, terms.TermEnding, terms.MigrationWarned, terms.MigrationMissed,
		terms.ServiceRefused, terms.ServiceSuspended, terms.ActivationLapsing, terms.TrialEnding, terms.SuspensionEnding,
		terms.AccessEnded, terms.NotRecognised, terms.TooManyAttempts:
		e.Type = corev1.EventTypeWarning
	}
	return e
}

// note says a notice in words.
func note(sub *v1alpha1.SoftwareSubscription, a terms.Announcement) string {
	st := &sub.Status
	switch a.Notice {
	case terms.Issued:
		return fmt.Sprintf("Product %s, %s: %s in Secret %s", sub.Spec.ProductRef.Name, plural(int(st.Quantity), "licence"), keysOf(sub), sub.KeySecretName())
	case terms.WindowClosing:
		return fmt.Sprintf("the cancellation window closes at %s: until then spec.cancelled gives back %s %s", stamp(st.Cancellation.Until.Time), st.Cancellation.Credit.Amount, st.Cancellation.Credit.Currency)
	case terms.LinkExpiring:
		return fmt.Sprintf("the download link expires at %s; raise spec.download.renewal for a fresh one", stamp(st.Download.ExpiresAt.Time))
	case terms.TermEnding:
		if ptr.Deref(sub.Spec.AutoRenew, true) {
			return fmt.Sprintf("the term ends at %s and renews; set spec.autoRenew to false to let it end", stamp(st.Term.EndsAt.Time))
		}
		return fmt.Sprintf("the term ends at %s and does not renew: the key is retired then; set spec.autoRenew to true to go on", stamp(st.Term.EndsAt.Time))
	case terms.Renewed:
		return fmt.Sprintf("a new term runs until %s, with the same key; %s", stamp(st.Term.EndsAt.Time), st.Cancellation.Message)
	case terms.MigrationWarned, terms.MigrationMissed:
		return meta.FindStatusCondition(st.Conditions, v1alpha1.ConditionMigrated).Message
	default: // Cancelled, Expired
		return st.Message
	}
}
