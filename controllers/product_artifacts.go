package controllers

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/artifacts"
)

const (
	// indexArtifact finds the Products that offer a file.
	indexArtifact = "artifact"
	// restockEvery is how often the files of a product are looked at that were
	// all right. Nobody tells when one comes or goes.
	restockEvery = 10 * time.Minute
	// lookAtOnce is how many files are asked for at a time.
	lookAtOnce = 16
	// maxListed is how many files a message names.
	maxListed = 10
)

func artifactsOf(o client.Object) (paths []string) {
	for _, v := range o.(*v1alpha1.Product).Versions() {
		for _, b := range v.Builds {
			paths = append(paths, b.Artifact)
		}
	}
	return paths
}

// verifyArtifacts tells whether each file that a product offers is in the
// artifact store and has its checksum, and returns when to look again. Reading
// a file takes long, so that is done elsewhere, and woken tells of it. Keys are
// sold whatever is found: a file that is missing can be supplied later.
func (r *ProductReconciler) verifyArtifacts(ctx context.Context, p *v1alpha1.Product, now time.Time) time.Time {
	var missing, mismatched []string
	var unreadable error
	verifying, total := false, 0
	for artifact, err := range r.lookAt(ctx, p) {
		total++
		switch {
		case errors.Is(err, artifacts.ErrMissing):
			missing = append(missing, artifact)
		case errors.Is(err, artifacts.ErrMismatch):
			mismatched = append(mismatched, artifact)
		case errors.Is(err, artifacts.ErrVerifying):
			verifying = true
		case err != nil:
			unreadable = err
		}
	}
	status, reason, message := metav1.ConditionTrue, v1alpha1.ReasonVerified, plural(total, "file")+" as the catalogue describes"
	switch {
	case total == 0:
		meta.RemoveStatusCondition(p.Conditions(), v1alpha1.ConditionArtifactsVerified)
		return time.Time{}
	case unreadable != nil:
		status, reason, message = metav1.ConditionFalse, v1alpha1.ReasonStoreUnreadable, unreadable.Error()
	case len(missing) > 0:
		status, reason, message = metav1.ConditionFalse, v1alpha1.ReasonArtifactMissing,
			fmt.Sprintf("%s not in the artifact store, put them there or take them out of spec.software.versions: %s", plural(len(missing), "file"), some(missing))
	case len(mismatched) > 0:
		status, reason, message = metav1.ConditionFalse, v1alpha1.ReasonArtifactMismatch,
			fmt.Sprintf("%s with another SHA-256 than in spec.software.versions, not handed out until one of the two is mended: %s", plural(len(mismatched), "file"), some(mismatched))
	case verifying:
		status, reason, message = metav1.ConditionUnknown, v1alpha1.ReasonVerifying, "the checksums are being computed"
	}
	setCondition(p, now, v1alpha1.ConditionArtifactsVerified, status, reason, message)
	if status == metav1.ConditionTrue {
		return now.Add(restockEvery)
	}
	return now.Add(poll)
}

// lookAt yields what is wrong with each file that a product offers. It asks for
// many at a time, because a bucket is far away.
func (r *ProductReconciler) lookAt(ctx context.Context, p *v1alpha1.Product) iter.Seq2[string, error] {
	var builds []v1alpha1.ProductBuild
	for _, v := range p.Versions() {
		builds = append(builds, v.Builds...)
	}
	found := make([]error, len(builds))
	var group errgroup.Group
	group.SetLimit(lookAtOnce)
	for i, b := range builds {
		group.Go(func() error {
			_, found[i] = r.Artifacts.Look(ctx, b.Artifact, b.SHA256)
			return nil
		})
	}
	_ = group.Wait() // they never fail: what is found is in found
	return func(yield func(string, error) bool) {
		for i, b := range builds {
			if !yield(b.Artifact, found[i]) {
				return
			}
		}
	}
}

// some lists the first few of many.
func some(all []string) string {
	if len(all) > maxListed {
		return strings.Join(all[:maxListed], ", ") + fmt.Sprintf(" and %d more", len(all)-maxListed)
	}
	return strings.Join(all, ", ")
}

// verified wakes the products that offer a file about which more is known.
func (r *ProductReconciler) verified(ctx context.Context, path string) {
	var products v1alpha1.ProductList
	if err := r.List(ctx, &products, client.MatchingFields{indexArtifact: path}); err != nil {
		return // they look again by themselves
	}
	for i := range products.Items {
		select {
		case r.Wake <- event.GenericEvent{Object: &products.Items[i]}:
		default: // nobody listens where another process leads; they look again by themselves
		}
	}
}
