package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
)

// withBuilds offers two languages of a version, whose files are in the store.
func withBuilds(t *testing.T, name string) func(*v1alpha1.Product) {
	t.Helper()
	return func(p *v1alpha1.Product) {
		v := v1alpha1.ProductVersion{Version: "2024"}
		for _, language := range []string{"en-US", "fr-FR"} {
			content := []byte("the " + language + " build of " + name)
			if err := os.WriteFile(filepath.Join(artifactStore, name+language), content, 0o600); err != nil {
				t.Fatal(err)
			}
			sum := sha256.Sum256(content)
			v.Builds = append(v.Builds, v1alpha1.ProductBuild{Language: language, Architecture: "x64", Artifact: name + language, SHA256: hex.EncodeToString(sum[:])})
		}
		p.Spec.Software.Versions = []v1alpha1.ProductVersion{v}
	}
}

func fetch(t *testing.T, url string) (int, string) {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

// A download from the link in the Secret to the notices, with the built binary.
func TestDownloads(t *testing.T) {
	s := newShop(t, 4, withBuilds(t, "office"))
	o := startOperator(t, kubeconfig)
	s.buy("sub")
	s.settled("sub", v1alpha1.StateActive)
	eventually(t, "waiting for the files to be verified", func() error {
		p := &v1alpha1.Product{}
		if err := live.Get(t.Context(), client.ObjectKey{Name: s.name}, p); err != nil {
			return err
		}
		if !meta.IsStatusConditionTrue(p.Status.Conditions, v1alpha1.ConditionArtifactsVerified) {
			return fmt.Errorf("conditions %+v", p.Status.Conditions)
		}
		return nil
	})
	link := string(s.secret("sub-key")["downloadURL"])
	if !strings.HasPrefix(link, "http://"+o.downloads+"/d/") {
		t.Fatal("the link does not begin with --downloads-url")
	}
	if code, page := fetch(t, link); code != http.StatusOK || !strings.Contains(page, "A product") {
		t.Errorf("page: %d %s", code, page)
	}
	if sub, _ := s.get("sub"); sub.Status.Download.FirstDownloadedAt != nil {
		t.Error("the page started the time")
	}
	if code, file := fetch(t, link+"/file"); code != http.StatusOK || file != "the en-US build of office" {
		t.Errorf("file: %d %s", code, file)
	}
	eventually(t, "waiting for the reconciler to see the download", func() error {
		sub, err := s.get("sub")
		if err != nil {
			return err
		}
		c := meta.FindStatusCondition(sub.Status.Conditions, v1alpha1.ConditionDownloadAvailable)
		if d := sub.Status.Download; d.ExpiresAt == nil || d.ExpiresAt.Sub(d.FirstDownloadedAt.Time).Hours() != 120 || sub.Status.Next.Event != "LinkExpires" || !strings.Contains(c.Message, "works until") {
			return fmt.Errorf("download %+v, next %+v, %s", d, sub.Status.Next, c.Message)
		}
		return nil
	})

	sub, err := s.get("sub")
	if err != nil {
		t.Fatal(err)
	}
	sub.Spec.Download = &v1alpha1.DownloadChoice{Language: "fr-FR"}
	if err := live.Update(t.Context(), sub); err != nil {
		t.Fatal(err)
	}
	s.settled("sub", v1alpha1.StateActive)
	fresh := string(s.secret("sub-key")["downloadURL"])
	if code, _ := fetch(t, link); code != http.StatusNotFound || fresh == link {
		t.Errorf("the old link: %d", code)
	}
	if code, file := fetch(t, fresh+"/file"); code != http.StatusOK || file != "the fr-FR build of office" {
		t.Errorf("the fresh link: %d %s", code, file)
	}
	if err := s.cancel("sub"); err != nil {
		t.Fatal(err)
	}
	if code, _ := fetch(t, fresh+"/file"); code != http.StatusGone {
		t.Errorf("a moment after the cancellation: %d", code)
	}
	s.settled("sub", v1alpha1.StateCancelled)
	if code, _ := fetch(t, fresh); code != http.StatusGone {
		t.Errorf("after the cancellation: %d", code)
	}
	var events eventsv1.EventList
	eventually(t, "waiting for the notices", func() error {
		if err := live.List(t.Context(), &events, client.InNamespace(s.customer)); err != nil {
			return err
		}
		count := map[string]int{}
		for _, e := range events.Items {
			if e.Regarding.Name == "sub" {
				count[e.Reason]++
			}
		}
		if count["Issued"] != 1 || count["Cancelled"] != 1 || len(count) != 2 {
			return fmt.Errorf("%v", count)
		}
		return nil
	})
}

// What was missing and comes: a label of the customer, a licence server.
func TestWakesUpForCustomers(t *testing.T) {
	s := newShop(t, 2, func(p *v1alpha1.Product) {
		p.Spec.Customers = &v1alpha1.Customers{NamespaceSelector: metav1.LabelSelector{MatchLabels: map[string]string{"tier": "gold"}}}
		p.Spec.Software.RemoteDesktop = &v1alpha1.RemoteDesktop{Version: "2022"}
	})
	startOperator(t, kubeconfig)
	s.buy("sub", func(sub *v1alpha1.SoftwareSubscription) { sub.Spec.LicenseServerRef = &v1alpha1.Reference{Name: "rds"} })
	blocked := func(reason string) {
		t.Helper()
		eventually(t, "waiting for "+reason, func() error {
			sub, err := s.get("sub")
			if err != nil {
				return err
			}
			if c := meta.FindStatusCondition(sub.Status.Conditions, v1alpha1.ConditionStalled); c == nil || c.Reason != reason {
				return errors.New(sub.Status.Message)
			}
			return nil
		})
	}
	blocked(v1alpha1.ReasonNotOffered)
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.customer}}
	if err := live.Patch(t.Context(), ns, client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"labels":{"tier":"gold"}}}`))); err != nil {
		t.Fatal(err)
	}
	blocked(v1alpha1.ReasonLicenseServerNotFound)
	server := &v1alpha1.LicenseServer{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.customer, Name: "rds"},
		Spec:       v1alpha1.LicenseServerSpec{WindowsServerVersion: "2022"},
	}
	s.create(server)
	blocked(v1alpha1.ReasonLicenseServerNotActivated)
	if err := live.Patch(t.Context(), server, client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"licenseServerID":"ABCDE12345ABCDE12345ABCDE12345ABCDE"}}`))); err != nil {
		t.Fatal(err)
	}
	s.settled("sub", v1alpha1.StateActive)
	s.checkOneKeyPerSlot("sub", 1)
}
