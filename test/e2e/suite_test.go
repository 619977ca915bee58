// Package e2e tests the built operator as its users run it: the binary, with
// the kubeconfig of its own service account, against a real control plane with
// the manifests of config/ installed.
package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/downloadlink"
	"github.com/license-operator/license-operator/test/controlplane"
)

const operatorNamespace = "license-operator-system"

var (
	cluster    *controlplane.ControlPlane
	live       client.Client
	binary     string // the operator
	kubeconfig string // of its service account
	logs       string // folder with the log of each operator that ran
	// artifactStore is the folder of the files that products offer.
	artifactStore string
)

func TestMain(m *testing.M) {
	code, err := runSuite(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "FAIL:", err)
		code = 1
	}
	os.Exit(code)
}

func runSuite(m *testing.M) (int, error) {
	ctx := context.Background()
	log.SetLogger(logr.Discard()) // clients have nothing to say that is not in their errors
	dir, err := os.MkdirTemp("", "e2e-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	binary, logs = filepath.Join(dir, "license-operator"), filepath.Join(dir, "logs")
	if out, err := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w -X main.version=v1.2.3", "-o", binary, "../..").CombinedOutput(); err != nil {
		return 1, fmt.Errorf("building the operator: %w: %s", err, out)
	}
	artifactStore = filepath.Join(dir, "artifacts")
	if err := errors.Join(os.Mkdir(logs, 0o700), os.Mkdir(artifactStore, 0o700)); err != nil {
		return 1, err
	}
	if cluster, err = controlplane.Start(ctx, controlplane.Options{Dir: filepath.Join(dir, "cluster"), ControllerManager: true}); err != nil {
		return 1, err
	}
	defer cluster.Stop()
	if _, err := cluster.Run(ctx, "apply", "--server-side", "-k", "../../config/default"); err != nil {
		return 1, err
	}
	if _, err := cluster.Run(ctx, "wait", "--for=condition=Established", "crd", "--all"); err != nil {
		return 1, err
	}
	if kubeconfig, err = cluster.ServiceAccountKubeconfig(ctx, operatorNamespace, "license-operator-controllers"); err != nil {
		return 1, err
	}
	scheme := runtime.NewScheme()
	_ = clientgoscheme.AddToScheme(scheme)
	_ = v1alpha1.AddToScheme(scheme)
	if live, err = client.New(cluster.Config, client.Options{Scheme: scheme}); err != nil {
		return 1, err
	}
	code := m.Run()
	if err := scanForKeys(ctx); err != nil {
		return 1, err
	}
	return code, nil
}

// issuedKeys remembers every key that a test put into a pool or found in a
// Secret, so that the scan at the end knows what to look for.
var issuedKeys = map[string]bool{}

// numbersOfAgreements remembers what proves that somebody manages an agreement:
// the scan at the end looks for that, too.
var numbersOfAgreements = map[string]bool{}

// scanForKeys looks for keys everywhere but in Secrets: in the logs of all
// operators that ran, in events, and in every object of ours. The numbers of an
// agreement are only in itself, and where a partner typed them.
func scanForKeys(ctx context.Context) error {
	var secrets corev1.SecretList
	if err := live.List(ctx, &secrets, client.MatchingLabels{v1alpha1.LabelManagedBy: v1alpha1.ManagedByOperator}); err != nil {
		return err
	}
	for _, s := range secrets.Items {
		for _, v := range s.Data {
			for line := range strings.Lines(string(v)) {
				line = strings.TrimSpace(line)
				if token := downloadlink.Token(line); token != "" {
					line = token
				}
				if _, token, ok := strings.Cut(line, "?token="); ok {
					line = token
				}
				if len(line) > 8 && !strings.HasPrefix(line, "-----") {
					issuedKeys[line] = true
				}
			}
		}
	}
	places := map[string]string{}
	files, err := filepath.Glob(filepath.Join(logs, "*"))
	if err != nil {
		return err
	}
	for _, f := range files {
		content, err := os.ReadFile(f)
		if err != nil {
			return err
		}
		places[filepath.Base(f)] = string(content)
	}
	const ours = "products,keyissuers,licensekeys,softwaresubscriptions,licenseservers,publishers,marketplacesubscriptions,entitlements," +
		"selfservicepolicies,selfservicepurchases,selfserviceorders,licenseassignments,seats,takeovers,partneragreements,partnerregistrations,partnerrequesters,notifications,configmaps,roles,rolebindings"
	const mails = "notifications"
	for _, what := range []string{ours, mails, "partnerrequesters,rolebindings", "events", "events.events.k8s.io"} {
		out, err := cluster.Run(ctx, "get", what, "-A", "-o", "yaml", "--show-managed-fields")
		if err != nil {
			return err
		}
		places[what] = out
	}
	if len(issuedKeys) == 0 || len(files) == 0 || len(places[ours]) == 0 {
		return fmt.Errorf("the scan for keys has nothing to look at: %d keys, %d logs", len(issuedKeys), len(files))
	}
	size := 0
	for place, content := range places {
		size += len(content)
		for key := range issuedKeys {
			if strings.Contains(content, key) {
				return fmt.Errorf("a key occurs in %s", place)
			}
		}
		for number := range numbersOfAgreements {
			addressed := place == mails && strings.Contains(number, "@") // to the customer
			if place != ours && !addressed && strings.Contains(content, number) {
				return fmt.Errorf("a number of an agreement occurs in %s", place)
			}
		}
	}
	fmt.Printf("scanned %d places (%d bytes) for %d keys: none found\n", len(places), size, len(issuedKeys))
	return nil
}

// eventually polls until check returns nil, and fails the test with its last
// answer when it has not within 40 seconds, which is shorter than the poll that
// would hide a missing wake-up.
func eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(40 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if err = check(); err == nil {
			return
		}
		if t.Context().Err() != nil {
			break
		}
	}
	t.Fatalf("%s: %v", what, err)
}
