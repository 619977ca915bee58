package e2e

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func TestCommandLine(t *testing.T) {
	for name, tc := range map[string]struct {
		args []string
		code int
		want string
	}{
		"version":          {[]string{"--version"}, 0, "license-operator v1.2.3"},
		"unknown role":     {[]string{"--serve=coffee"}, 1, "--serve=coffee: give one or more of controllers, downloads, fulfillment"},
		"no role":          {[]string{"--serve="}, 1, "--serve=: give one or more of controllers, downloads, fulfillment"},
		"bad link start":   {[]string{"--downloads-url=downloads.example"}, 1, "--downloads-url=downloads.example: give the start of a link"},
		"bad store":        {[]string{"--artifacts=ftp://example"}, 1, "--artifacts: "},
		"bad mail server":  {[]string{"--smtp=smtp://ada:hunter2@", "--mail-from=a@example.com"}, 1, "--smtp (or $LICENSE_OPERATOR_SMTP) and --mail-from: the URL of the mail server names no host"},
		"bad mail sender":  {[]string{"--smtp=smtp://ada:hunter2@mail.example.com"}, 1, "a mail server needs an address that mails are from"},
		"no workers":       {[]string{"--workers=0"}, 1, "--workers=0: at least one is needed"},
		"bad default":      {[]string{"--self-service-default=block"}, 1, "--self-service-default=block: give one of Allow, TrialsOnly, Block"},
		"stray argument":   {[]string{"start"}, 1, `unexpected argument \"start\"`},
		"unknown flag":     {[]string{"--nope"}, 2, "flag provided but not defined: -nope"},
		"no such cluster":  {[]string{"--kubeconfig=/nonexistent"}, 1, "finding the cluster"},
		"bad listen":       {[]string{"--kubeconfig", kubeconfig, "--health-listen=nowhere:http:1"}, 1, "nowhere:http:1"},
		"help names flags": {[]string{"--help"}, 0, "-leader-elect"},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command(binary, tc.args...)
			out, _ := cmd.CombinedOutput()
			if code := cmd.ProcessState.ExitCode(); code != tc.code || !strings.Contains(string(out), tc.want) {
				t.Errorf("exit code %d, printed %s", code, out)
			}
			if strings.Contains(string(out), "hunter2") {
				t.Errorf("printed a password: %s", out)
			}
		})
	}
}

func TestProbes(t *testing.T) {
	o := startOperator(t, kubeconfig)
	if err := o.probe("healthz"); err != nil {
		t.Error(err)
	}
	if code := o.stop(); code != 0 {
		content, _ := os.ReadFile(o.log)
		t.Errorf("exit code %d after SIGTERM\n%s", code, content)
	}
}

// Metrics are for those who may get /metrics.
func TestMetrics(t *testing.T) {
	o := startOperator(t, kubeconfig)
	if code, _ := o.scrape(""); code != http.StatusUnauthorized {
		t.Errorf("nobody: %d", code)
	}
	if code, _ := o.scrape(newToken(t, "stranger")); code != http.StatusForbidden {
		t.Errorf("a stranger: %d", code)
	}
	scraper := newScraper(t)
	eventually(t, "waiting for the reconcilers to begin", func() error {
		if code, body := o.scrape(scraper); code != http.StatusOK || !strings.Contains(body, `controller_runtime_reconcile_total{controller="softwaresubscription"`) {
			return fmt.Errorf("who may: %d %.200s", code, body)
		}
		return nil
	})
}

// newToken is the token of a new service account.
func newToken(t *testing.T, name string) string {
	t.Helper()
	kube, err := kubernetes.NewForConfig(cluster.Config)
	if err != nil {
		t.Fatal(err)
	}
	sa := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}}
	if err := live.Create(t.Context(), sa); err != nil {
		t.Fatal(err)
	}
	req, err := kube.CoreV1().ServiceAccounts("default").CreateToken(t.Context(), name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return req.Status.Token
}

// newScraper is the token of a new service account that may read metrics.
func newScraper(t *testing.T) string {
	t.Helper()
	name := fmt.Sprintf("scraper-%d", serial.Add(1))
	if err := live.Create(t.Context(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "license-operator-metrics-reader"},
		Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: "default", Name: name}},
	}); err != nil {
		t.Fatal(err)
	}
	return newToken(t, name)
}

// scrape asks for the metrics with a token, once they are served.
func (o *operator) scrape(token string) (int, string) {
	o.t.Helper()
	eventually(o.t, "waiting for the metrics", func() error {
		conn, err := net.Dial("tcp", o.metrics)
		if err == nil {
			_ = conn.Close()
		}
		return err
	})
	req, err := http.NewRequestWithContext(o.t.Context(), http.MethodGet, "https://"+o.metrics+"/metrics", nil)
	if err != nil {
		o.t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	c := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} // made by itself
	res, err := c.Do(req)
	if err != nil {
		o.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		o.t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

// A leader that stops cleanly hands over at once; one that crashes, when its
// lease has run out.
func TestLeaderElection(t *testing.T) {
	holder := func() string {
		var lease coordinationv1.Lease
		if err := live.Get(t.Context(), client.ObjectKey{Namespace: operatorNamespace, Name: "license-operator"}, &lease); err != nil || lease.Spec.HolderIdentity == nil {
			return ""
		}
		return *lease.Spec.HolderIdentity
	}
	first := startOperator(t, kubeconfig, "--leader-elect")
	eventually(t, "waiting for a leader", func() error {
		if holder() == "" {
			return fmt.Errorf("nobody leads")
		}
		return nil
	})
	leader := holder()
	startOperator(t, kubeconfig, "--leader-elect")
	if code := first.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	stopped := time.Now()
	eventually(t, "waiting for the next leader", func() error {
		if h := holder(); h == "" || h == leader {
			return fmt.Errorf("holder %q", h)
		}
		return nil
	})
	if took := time.Since(stopped); took > 10*time.Second {
		t.Errorf("handing over took %v: the lease was not released", took)
	}
}

// The pods of config/default are admitted by the restricted standard that
// their namespace enforces.
func TestInstallsRestricted(t *testing.T) {
	var ns corev1.Namespace
	if err := live.Get(t.Context(), client.ObjectKey{Name: operatorNamespace}, &ns); err != nil || ns.Labels["pod-security.kubernetes.io/enforce"] != "restricted" {
		t.Fatalf("namespace labels %v (%v)", ns.Labels, err)
	}
	eventually(t, "waiting for the pods to be admitted", func() error {
		var pods corev1.PodList
		if err := live.List(t.Context(), &pods, client.InNamespace(operatorNamespace)); err != nil {
			return err
		}
		if len(pods.Items) != 6 { // two of each Deployment
			return fmt.Errorf("%d pods", len(pods.Items))
		}
		return nil
	})
	bad := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: operatorNamespace, Name: "bad"},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "bad", Image: "bad"}}},
	}
	if err := live.Create(t.Context(), bad); err == nil || !strings.Contains(err.Error(), "restricted") {
		t.Errorf("an ordinary pod was not refused: %v", err)
	}
}
