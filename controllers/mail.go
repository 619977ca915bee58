package controllers

import (
	"cmp"
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/terms"
)

// Post puts mails on record, which the Notification reconciler sends. The zero
// value sends none: people are told by Events only.
type Post struct {
	// Client writes the Notifications; nil: no mail server is configured.
	Client client.Client
}

// postTime is how long after the instant of a notice its mail is tried to be put
// on record.
const postTime = 24 * time.Hour

// letter is a notice that goes to somebody by mail.
type letter struct {
	about   client.Object
	kind    string // of about
	to      v1alpha1.Email
	product string // as people call it
	terms.Announcement
	text string
}

// send puts a mail on record, unless it is. Like the Event of a notice it is
// named after what it tells, so it is there once. A mail that cannot be put on
// record, because a quota is used up say, holds nobody up: the Event has told it.
// send returns when to try again, later and later; zero: not at all.
func (p Post) send(ctx context.Context, l letter, now time.Time) (again time.Time) {
	if p.Client == nil || l.to == "" {
		return time.Time{}
	}
	err := p.Client.Create(ctx, &v1alpha1.Notification{
		ObjectMeta: metav1.ObjectMeta{Namespace: l.about.GetNamespace(), Name: noticeName(l.about, l.Announcement)},
		Spec: v1alpha1.NotificationSpec{
			Notice: string(l.Notice), To: l.to, Product: truncate(l.product, 256), Text: truncate(cmp.Or(l.text, string(l.Notice)), maxMessage), At: metav1.NewTime(l.At),
			Regarding: v1alpha1.NotificationSubject{Kind: l.kind, Reference: v1alpha1.Reference{Name: l.about.GetName()}},
		},
	})
	log := ctrl.LoggerFrom(ctx).WithValues("notice", l.Notice, "kind", l.kind, "name", l.about.GetName())
	switch age := now.Sub(l.At); {
	case err == nil, apierrors.IsAlreadyExists(err), apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return time.Time{}
	case apierrors.IsInvalid(err): // such as an address from before they were checked, which the error quotes
		log.Info("a mail cannot be put on record: correct the address")
		return time.Time{}
	case age > postTime:
		log.Error(err, "a mail cannot be put on record, and is given up")
		return time.Time{}
	default:
		log.Error(err, "a mail cannot be put on record, and is tried again")
		return now.Add(min(max(age, poll), longestSleep))
	}
}
