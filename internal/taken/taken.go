// Package taken tells when the API server took what a person asked for. That
// instant decides, not the one at which the operator sees it.
package taken

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
)

// At is the instant at which the API server took the present value of a
// field of spec, as managed fields tell it: the earliest last change of those
// who own the field. All of its owners have agreed to the value, so whoever
// wrote it did so then or before. It is fallback if nobody owns the field,
// because managed fields were cleared.
//
// Clients can write managed fields too. A policy keeps them from setting these
// back, and without it an instant is never before the object was created, which
// clients cannot write.
//
// A manager that changed something else of the object later has moved its own
// instant. Such a value counts as written at that later time, which errs
// against whoever kept editing while the operator was away.
func At(o metav1.Object, fallback time.Time, path ...any) time.Time {
	var taken time.Time
	for _, m := range o.GetManagedFields() {
		if m.Time == nil || m.FieldsV1 == nil || m.Subresource != "" {
			continue
		}
		var owned fieldpath.Set
		if err := owned.FromJSON(m.FieldsV1.GetRawReader()); err != nil {
			continue // an entry that cannot be read owns nothing that we know of
		}
		if owned.Has(fieldpath.MakePathOrDie(path...)) && (taken.IsZero() || m.Time.Time.Before(taken)) {
			taken = m.Time.Time
		}
	}
	if taken.IsZero() {
		return fallback
	}
	if created := o.GetCreationTimestamp().Time; taken.Before(created) {
		taken = created
	}
	return taken.UTC().Truncate(time.Second)
}
