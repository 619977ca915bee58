package taken

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/license-operator/license-operator/api/v1alpha1"
)

func TestAt(t *testing.T) {
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	by := func(after time.Duration, fields, subresource string) metav1.ManagedFieldsEntry {
		return metav1.ManagedFieldsEntry{Time: &metav1.Time{Time: noon.Add(after)}, Subresource: subresource, FieldsV1: metav1.NewFieldsV1(fields)}
	}
	const cancelled, quantity = `{"f:spec":{"f:cancelled":{}}}`, `{"f:spec":{"f:quantity":{}}}`
	for name, tc := range map[string]struct {
		managed []metav1.ManagedFieldsEntry
		want    time.Duration // after noon
	}{
		"managed fields were cleared":    {nil, time.Hour},
		"nobody owns the field":          {[]metav1.ManagedFieldsEntry{by(0, quantity, "")}, time.Hour},
		"its owner's last change":        {[]metav1.ManagedFieldsEntry{by(0, quantity, ""), by(time.Minute, cancelled, "")}, time.Minute},
		"two owners agree, the earliest": {[]metav1.ManagedFieldsEntry{by(2*time.Minute, cancelled, ""), by(time.Minute, cancelled, "")}, time.Minute},
		"status is no request":           {[]metav1.ManagedFieldsEntry{by(0, cancelled, "status"), by(time.Minute, cancelled, "")}, time.Minute},
		"what cannot be read is nobody":  {[]metav1.ManagedFieldsEntry{by(0, `{`, ""), by(time.Minute, cancelled, "")}, time.Minute},
		"forged to before the creation":  {[]metav1.ManagedFieldsEntry{by(-time.Hour, cancelled, "")}, 0},
		"fractions of a second are cut":  {[]metav1.ManagedFieldsEntry{by(time.Minute+999*time.Millisecond, cancelled, "")}, time.Minute},
	} {
		sub := &v1alpha1.SoftwareSubscription{ObjectMeta: metav1.ObjectMeta{ManagedFields: tc.managed, CreationTimestamp: metav1.NewTime(noon)}}
		if got := At(sub, noon.Add(time.Hour), "spec", "cancelled"); !got.Equal(noon.Add(tc.want)) {
			t.Errorf("%s: got %v", name, got)
		}
	}
}
