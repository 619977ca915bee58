package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/license-operator/license-operator/test/controlplane"
)

const (
	operatorBinary  = "bin/license-operator"
	systemNamespace = "license-operator-system"
	serviceAccount  = "license-operator-controllers"

	// stopGrace is more than the 20 seconds that the operator gives itself.
	stopGrace = 25 * time.Second
	// pollEvery is how often to look whether something has happened.
	pollEvery = 200 * time.Millisecond
)

// install applies config/default without its Deployment, whose pods would wait
// for a node for ever.
func install(ctx context.Context, cluster *controlplane.ControlPlane) error {
	for _, part := range []string{"namespace", "crd", "rbac", "policy"} {
		if _, err := cluster.Run(ctx, "apply", "--server-side", "-k", filepath.Join("config", part)); err != nil {
			return fmt.Errorf("installing config/%s: %w", part, err)
		}
	}
	if _, err := cluster.Run(ctx, "wait", "--for=condition=Established", "--timeout=1m", "crd", "--all"); err != nil {
		return fmt.Errorf("waiting for the CRDs: %w", err)
	}
	return nil
}

// operator is a child process.
type operator struct {
	log    string // path
	health string // address
	cmd    *exec.Cmd
	done   chan struct{} // closed when it has exited and err is set
	err    error
}

// startOperator runs the operator as its own service account, so that it can
// do no more than the roles in config/rbac allow.
func startOperator(ctx context.Context, cluster *controlplane.ControlPlane) (*operator, error) {
	kubeconfig, err := cluster.ServiceAccountKubeconfig(ctx, systemNamespace, serviceAccount)
	if err != nil {
		return nil, err
	}
	addresses, err := freeAddresses(2)
	if err != nil {
		return nil, err
	}
	o := &operator{
		log:    filepath.Join(cluster.Dir, "license-operator.log"),
		health: addresses[0],
		done:   make(chan struct{}),
	}
	logFile, err := os.Create(o.log)
	if err != nil {
		return nil, fmt.Errorf("starting the operator: %w", err)
	}
	defer logFile.Close() // the child has its own descriptor

	o.cmd = exec.Command(operatorBinary,
		"--namespace="+systemNamespace, "--health-listen="+o.health, "--metrics-listen="+addresses[1])
	o.cmd.Env = []string{"KUBECONFIG=" + kubeconfig} // and nothing that would make this run unlike others
	o.cmd.Stdout, o.cmd.Stderr = logFile, logFile
	o.cmd.SysProcAttr = childAttr()
	started := make(chan error)
	go o.run(started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("starting the operator: %w", err)
	}
	return o, nil
}

// run tells whether the operator could be started, then waits for it to exit.
func (o *operator) run(started chan<- error) {
	// The kernel's signal on the death of a parent means the thread that
	// forked, so that thread has to live as long as the child.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := o.cmd.Start()
	started <- err
	if err != nil {
		return
	}
	o.err = o.cmd.Wait()
	close(o.done)
}

// waitReady waits until the operator says that it has seen the cluster.
func (o *operator) waitReady(ctx context.Context) error {
	var last error
	err := wait.PollUntilContextTimeout(ctx, pollEvery, time.Minute, true, func(ctx context.Context) (bool, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+o.health+"/readyz", nil)
		if err != nil {
			return false, err
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			last = err
			return false, nil
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		last = errors.Join(err, fmt.Errorf("%s: %s", res.Status, strings.TrimSpace(string(body))))
		return res.StatusCode == http.StatusOK, nil
	})
	if err != nil {
		return fmt.Errorf("waiting for the operator to be ready: %w: %w", err, last)
	}
	return nil
}

// stop lets the operator finish and waits for it. It returns an error if the
// operator ended before, or did not end as it should.
func (o *operator) stop() error {
	select {
	case <-o.done:
		return fmt.Errorf("the operator exited by itself: %w", o.failure())
	default:
	}
	_ = o.cmd.Process.Signal(syscall.SIGTERM) // fails if it exits now; done tells
	select {
	case <-o.done:
		if o.err != nil {
			return fmt.Errorf("stopping the operator: %w", o.err)
		}
		return nil
	case <-time.After(stopGrace):
		_ = o.cmd.Process.Kill()
		<-o.done
		return fmt.Errorf("the operator did not stop within %v and was killed", stopGrace)
	}
}

// failure is how it exited, also if that is a success: it never should.
func (o *operator) failure() error {
	if o.err == nil {
		return errors.New("exit status 0")
	}
	return o.err
}

// logTail is the last 30 lines of the log.
func (o *operator) logTail() string {
	text, err := os.ReadFile(o.log)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-30):], "\n")
}

// whileAlive is ctx until one of the processes dies, which is then the cause
// of its end.
func whileAlive(ctx context.Context, cluster *controlplane.ControlPlane, op *operator) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		if err := cluster.Wait(ctx); err != nil {
			cancel(err)
		}
	}()
	go func() {
		<-op.done
		cancel(fmt.Errorf("the operator exited by itself: %w", op.failure()))
	}()
	return ctx, func() { cancel(nil) }
}

// freeAddresses returns n different loopback addresses that were free a moment ago.
func freeAddresses(n int) ([]string, error) {
	var addresses []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("looking for a free port: %w", err)
		}
		defer l.Close() // held until all are chosen, so that they differ
		addresses = append(addresses, l.Addr().String())
	}
	return addresses, nil
}
