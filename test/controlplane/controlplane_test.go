package controlplane

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// TestControlPlane runs its parts on one cluster, which it stops and continues
// at the end.
func TestControlPlane(t *testing.T) {
	ctx := t.Context()
	o := Options{Dir: t.TempDir(), ControllerManager: true}
	c, err := Start(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Stop() })
	admin := client(t, c.Config)
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name:   "strict",
		Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"},
	}}
	if _, err := admin.CoreV1().Namespaces().Create(ctx, namespace, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}

	t.Run("garbage collector", func(t *testing.T) { testGarbageCollector(t, admin) })
	t.Run("service account", func(t *testing.T) { testServiceAccount(t, c, admin) })
	t.Run("user", func(t *testing.T) { testUser(t, c) })
	t.Run("pod security", func(t *testing.T) { testPodSecurity(t, admin) })
	t.Run("private files", func(t *testing.T) { testPrivateFiles(t, c.Dir) })
	t.Run("second start on the folder", func(t *testing.T) {
		if runtime.GOOS != "linux" {
			t.Skip("folders are locked on Linux only")
		}
		if _, err := Start(ctx, o); err == nil || !strings.Contains(err.Error(), "in use") {
			t.Fatalf("got %v, want an error about the folder", err)
		}
	})

	pids := pidsOf(c)
	if err := c.Stop(); err != nil {
		t.Fatal(err)
	}
	for name, pid := range pids {
		if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
			t.Errorf("%s is still there: %v", name, err)
		}
	}
	if err := c.Stop(); err != nil {
		t.Errorf("stopping again: %v", err)
	}

	again, err := Start(ctx, o)
	if err != nil {
		t.Fatalf("continuing: %v", err)
	}
	t.Cleanup(func() { again.Stop() })
	out, err := exec.Command(again.Kubectl(), "--kubeconfig", again.Kubeconfig, "get", "namespace", "strict", "-o", "name").CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != "namespace/strict" {
		t.Fatalf("after a restart: %v, %s", err, out)
	}
	if string(again.pki.cluster.pem) != string(c.pki.cluster.pem) {
		t.Error("the restart made a new authority")
	}

	// A child that dies is noticed.
	if err := syscall.Kill(pidsOf(again)["kube-controller-manager"], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	wait, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := again.Wait(wait); err == nil || !strings.Contains(err.Error(), "kube-controller-manager") {
		t.Errorf("Wait returned %v, want an error that names the process killed", err)
	}
	if err := again.Stop(); err == nil {
		t.Error("Stop did not tell that a process had exited before")
	}
}

func testGarbageCollector(t *testing.T, admin kubernetes.Interface) {
	ctx := t.Context()
	maps := admin.CoreV1().ConfigMaps("default")
	owner, err := maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "owner"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	child := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "child", OwnerReferences: []metav1.OwnerReference{{
		APIVersion: "v1", Kind: "ConfigMap", Name: owner.Name, UID: owner.UID,
	}}}}
	if _, err := maps.Create(ctx, child, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := maps.Delete(ctx, owner.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the child is collected", func() bool {
		_, err := maps.Get(ctx, child.Name, metav1.GetOptions{})
		return apierrors.IsNotFound(err)
	})
}

func testServiceAccount(t *testing.T, c *ControlPlane, admin kubernetes.Interface) {
	ctx := t.Context()
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "robot"}}
	if _, err := admin.CoreV1().ServiceAccounts("strict").Create(ctx, account, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	path, err := c.ServiceAccountKubeconfig(ctx, "strict", "robot")
	if err != nil {
		t.Fatal(err)
	}
	config := load(t, path)
	robot := client(t, config)
	const name = "system:serviceaccount:strict:robot"
	if got := whoAmI(t, robot).Username; got != name {
		t.Errorf("the kubeconfig is that of %q, want %q", got, name)
	}
	if _, err := robot.CoreV1().Secrets("strict").List(ctx, metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("listing secrets: got %v, want forbidden", err)
	}

	token, err := admin.AuthenticationV1().TokenReviews().Create(ctx, &authenticationv1.TokenReview{
		Spec: authenticationv1.TokenReviewSpec{Token: config.BearerToken},
	}, metav1.CreateOptions{})
	if err != nil || token.Status.User.Username != name {
		t.Errorf("token review: %v, %+v", err, token.Status)
	}
	access, err := admin.AuthorizationV1().SubjectAccessReviews().Create(ctx, &authorizationv1.SubjectAccessReview{
		Spec: authorizationv1.SubjectAccessReviewSpec{User: name, ResourceAttributes: &authorizationv1.ResourceAttributes{
			Namespace: "strict", Verb: "list", Resource: "secrets",
		}},
	}, metav1.CreateOptions{})
	if err != nil || access.Status.Allowed {
		t.Errorf("subject access review: %v, %+v", err, access.Status)
	}

	if _, err := c.ServiceAccountKubeconfig(ctx, "strict", "nobody"); !apierrors.IsNotFound(err) {
		t.Errorf("kubeconfig of an absent service account: got %v, want not found", err)
	}
}

func testUser(t *testing.T, c *ControlPlane) {
	path, err := c.UserKubeconfig("oidc:a/b", "auditors")
	if err != nil {
		t.Fatal(err)
	}
	user := whoAmI(t, client(t, load(t, path)))
	if user.Username != "oidc:a/b" || len(user.Groups) == 0 || user.Groups[0] != "auditors" {
		t.Errorf("got user %q in groups %q", user.Username, user.Groups)
	}
}

func testPodSecurity(t *testing.T, admin kubernetes.Interface) {
	eventually(t, "the namespace has its service account", func() bool {
		_, err := admin.CoreV1().ServiceAccounts("strict").Get(t.Context(), "default", metav1.GetOptions{})
		return err == nil
	})
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "loose"},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "main", Image: "none"}}},
	}
	_, err := admin.CoreV1().Pods("strict").Create(t.Context(), pod, metav1.CreateOptions{})
	if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "PodSecurity") {
		t.Errorf("creating a pod against the standard: got %v, want it refused by PodSecurity", err)
	}
}

func testPrivateFiles(t *testing.T, dir string) {
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		// The API server writes no file, and etcd keeps its own below member.
		info, err := d.Info()
		if err == nil && info.Mode().Perm() != 0o600 && !strings.Contains(path, "member") {
			t.Errorf("%s has mode %v", path, info.Mode().Perm())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestMissingBinary(t *testing.T) {
	bin := t.TempDir()
	_, err := Start(t.Context(), Options{Dir: t.TempDir(), Bin: bin})
	if !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("got %v, want fs.ErrNotExist", err)
	}
	for _, want := range []string{filepath.Join(bin, "etcd"), "make controlplane"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q lacks %q", err, want)
		}
	}
}

// A process that exits is noticed at once and takes the others with it.
func TestStartFailure(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()

	for _, test := range []struct {
		name string
		o    Options
		want []string
	}{
		{"bad flag", Options{APIServerArgs: []string{"--no-such-flag"}},
			[]string{"kube-apiserver exited during the start", "unknown flag: --no-such-flag"}},
		{"port taken", Options{Port: taken.Addr().(*net.TCPAddr).Port},
			[]string{"kube-apiserver address already in use"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.o.Dir = t.TempDir()
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			_, err := Start(ctx, test.o)
			if err == nil || ctx.Err() != nil {
				t.Fatalf("got error %v, context error %v", err, ctx.Err())
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q lacks %q", err, want)
				}
			}
			unlock, err := lockDir(test.o.Dir)
			if err != nil {
				t.Fatalf("the folder is still locked: %v", err)
			}
			unlock()
		})
	}
}

func TestStartCancelled(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("had enough")
	cancel(cause)
	dir := t.TempDir()
	if _, err := Start(ctx, Options{Dir: dir}); !errors.Is(err, cause) {
		t.Fatalf("got %v, want the cause", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "kube-apiserver.log")); err == nil {
		t.Error("the start went on")
	}
}

func client(t *testing.T, config *rest.Config) kubernetes.Interface {
	t.Helper()
	c, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func load(t *testing.T, kubeconfig string) *rest.Config {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	return config
}

func whoAmI(t *testing.T, c kubernetes.Interface) authenticationv1.UserInfo {
	t.Helper()
	review, err := c.AuthenticationV1().SelfSubjectReviews().Create(t.Context(), &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return review.Status.UserInfo
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

func pidsOf(c *ControlPlane) map[string]int {
	pids := map[string]int{}
	for _, p := range c.processes {
		pids[p.name] = p.cmd.Process.Pid
	}
	return pids
}
