package e2e

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/license-operator/license-operator/test/apiproxy"
)

var serial atomic.Int32

// startProxy puts a proxy between the operator and the API server. An operator
// with the kubeconfig that is returned goes through it.
func startProxy(t *testing.T) (*apiproxy.Proxy, string) {
	t.Helper()
	proxy, err := apiproxy.Start(t.Context(), cluster.Config)
	if err != nil {
		t.Fatal(err)
	}
	through := filepath.Join(t.TempDir(), "kubeconfig")
	if err := proxy.Kubeconfig(through, kubeconfig); err != nil {
		t.Fatal(err)
	}
	return proxy, through
}

// operator is a running operator process.
type operator struct {
	t                                       *testing.T
	cmd                                     *exec.Cmd
	log                                     string
	health, metrics, downloads, fulfillment string        // addresses
	exited                                  chan struct{} // closed when the process is gone
}

// startOperator starts the operator and waits until it is ready.
func startOperator(t *testing.T, kubeconfig string, args ...string) *operator {
	t.Helper()
	for range 5 {
		o := launchOperator(t, kubeconfig, args...)
		lost := false
		eventually(t, "waiting for the operator to be ready", func() error {
			err := o.probe("readyz")
			if lost = errors.Is(err, errPortTaken); lost {
				return nil
			}
			return err
		})
		if !lost {
			return o
		}
	}
	t.Fatal("the ports for the operator are taken, again and again")
	return nil
}

// errPortTaken says that somebody has taken a port since it was found to be free.
var errPortTaken = errors.New("a port is taken")

// launchOperator starts the operator. It is killed at the end of the test.
func launchOperator(t *testing.T, kubeconfig string, args ...string) *operator {
	t.Helper()
	o := &operator{
		t: t, exited: make(chan struct{}), health: freeAddress(t), metrics: freeAddress(t), downloads: freeAddress(t), fulfillment: freeAddress(t),
		log: filepath.Join(logs, fmt.Sprintf("operator-%d.log", serial.Add(1))),
	}
	out, err := os.Create(o.log)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	args = append([]string{"--kubeconfig", kubeconfig, "--health-listen", o.health, "--metrics-listen", o.metrics, "--downloads-listen", o.downloads, "--downloads-url", "http://" + o.downloads, "--artifacts", "file://" + artifactStore,
		"--fulfillment-listen", o.fulfillment, "--fulfillment-url", "http://" + o.fulfillment, "--zap-log-level=5"}, args...) // the most that it can log
	o.cmd = exec.Command(binary, args...)
	o.cmd.Stdout, o.cmd.Stderr = out, out
	if err := o.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = o.cmd.Wait()
		close(o.exited)
	}()
	t.Cleanup(func() {
		o.kill()
		if t.Failed() {
			content, _ := os.ReadFile(o.log)
			t.Logf("the operator's log:\n%s", content[max(0, len(content)-4000):])
		}
	})
	return o
}

// kill ends the operator as a crash does, and returns when it is gone.
func (o *operator) kill() {
	_ = o.cmd.Process.Kill() // or it is gone already
	<-o.exited
}

// stop ends the operator as Kubernetes does and returns its exit code.
func (o *operator) stop() int {
	o.t.Helper()
	if err := o.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		o.t.Fatal(err)
	}
	select {
	case <-o.exited:
	case <-time.After(30 * time.Second):
		o.t.Fatal("did not stop within 30 s of SIGTERM")
	}
	return o.cmd.ProcessState.ExitCode()
}

func (o *operator) probe(path string) error {
	select {
	case <-o.exited:
		content, _ := os.ReadFile(o.log)
		if strings.Contains(string(content), "address already in use") {
			return errPortTaken
		}
		o.t.Fatalf("the operator has exited: %s", content)
	default:
	}
	res, err := http.Get("http://" + o.health + "/" + path)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return errors.New(res.Status)
	}
	return nil
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
