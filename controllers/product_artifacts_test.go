package controllers

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/artifacts"
)

// What is wrong with the files of a product is told on the product, which is
// sold all the same.
func TestArtifacts(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	store, err := artifacts.Open("file://" + dir)
	if err != nil {
		t.Fatal(err)
	}
	verified := make(chan string, 10)
	store.Changed = func(path string) { verified <- path }
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = store.Start(ctx)
	}()
	defer func() {
		cancel()
		<-done
	}()

	s := newShop(t)
	s.products = reconcile.AsReconciler[*v1alpha1.Product](client.Client(s.view), &ProductReconciler{Client: s.view, Clock: s.clock, Artifacts: store})
	sum := sha256.Sum256([]byte("the file"))
	p := s.product()
	s.edit(p, func() { p.Spec.Software.Versions[0].Builds[0].SHA256 = hex.EncodeToString(sum[:]) })

	told := func(when, want, message string) {
		t.Helper()
		p := s.lookAtProduct()
		if got := conditions(p); got != want+" Ready=True(Sellable)" || kstatus(t, p) != status.CurrentStatus {
			t.Errorf("%s: %s", when, got)
		}
		for _, c := range p.Status.Conditions {
			if c.Type == v1alpha1.ConditionArtifactsVerified && !strings.Contains(c.Message, message) {
				t.Errorf("%s: %s", when, c.Message)
			}
		}
		s.writes = nil
		s.lookAtProduct()
		if len(s.writes) > 0 {
			t.Errorf("%s: second pass wrote %v", when, s.writes)
		}
	}
	put := func(content string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "a"), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	told("without a store", "ArtifactsVerified=False(StoreUnreadable)", "create it or set --artifacts")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	told("without the file", "ArtifactsVerified=False(ArtifactMissing)", "1 file not in the artifact store, put them there or take them out of spec.software.versions: a")
	put("another file")
	p = s.lookAtProduct()
	if reasonOf(p, v1alpha1.ConditionArtifactsVerified) != v1alpha1.ReasonVerifying {
		t.Errorf("while it is read: %s", conditions(p))
	}
	if got := <-verified; got != "a" {
		t.Errorf("verified %s", got)
	}
	told("with another file", "ArtifactsVerified=False(ArtifactMismatch)", "not handed out until one of the two is mended: a")
	put("the file")
	s.lookAtProduct()
	<-verified
	told("with the file", "ArtifactsVerified=True(Verified)", "1 file as the catalogue describes")
	if err := os.Remove(filepath.Join(dir, "a")); err != nil {
		t.Fatal(err)
	}
	told("gone again", "ArtifactsVerified=False(ArtifactMissing)", "a")
}
