package controllers

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/terms"
)

// describeDownload tells whether the download link works. The downloads
// service decides that for itself at each request; this is for people.
func describeDownload(sub *v1alpha1.SoftwareSubscription, link terms.Link, wanted *choice, now time.Time) {
	st := sub.Status.Download
	switch verdict := link.At(now); {
	case st == nil && wanted != nil && wanted.files[entryConfiguration] != nil:
		setCondition(sub, now, v1alpha1.ConditionDownloadAvailable, metav1.ConditionFalse, v1alpha1.ReasonDeploymentTool,
			fmt.Sprintf("32-bit is installed with the Office Deployment Tool: see %s in Secret %s", entryConfiguration, sub.KeySecretName()))
	case st == nil:
		meta.RemoveStatusCondition(&sub.Status.Conditions, v1alpha1.ConditionDownloadAvailable)
	case !verdict.Open:
		setCondition(sub, now, v1alpha1.ConditionDownloadAvailable, metav1.ConditionFalse, v1alpha1.ReasonLinkExpired,
			fmt.Sprintf("the link expired at %s: raise spec.download.renewal to %d for a fresh one", stamp(verdict.Until), st.Renewal+1))
	case st.FirstDownloadedAt == nil:
		setCondition(sub, now, v1alpha1.ConditionDownloadAvailable, metav1.ConditionTrue, v1alpha1.ReasonLinkValid,
			"the link is in Secret "+sub.KeySecretName()+"; its time begins with the first download")
	default:
		setCondition(sub, now, v1alpha1.ConditionDownloadAvailable, metav1.ConditionTrue, v1alpha1.ReasonLinkValid,
			fmt.Sprintf("the link is in Secret %s and works until %s", sub.KeySecretName(), stamp(verdict.Until)))
	}
}

// linkOf gives the rules what status knows of the download link. Ends is left
// out: that the link ends with the subscription is told by its end.
func linkOf(sub *v1alpha1.SoftwareSubscription) terms.Link {
	st := sub.Status.Download
	if st == nil || st.FirstDownloadedAt == nil || st.ExpiresAt == nil {
		return terms.Link{}
	}
	return terms.Link{FirstDownloaded: st.FirstDownloadedAt.UTC(), Lifetime: st.ExpiresAt.Sub(st.FirstDownloadedAt.Time)}
}
