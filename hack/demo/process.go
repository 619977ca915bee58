package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/textproto"
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
	publisherBinary = "bin/demopublisher"
	mailBinary      = "bin/demomail"

	// stopGrace is more than the 20 seconds that the operator gives itself.
	stopGrace = 25 * time.Second
	// pollEvery is how often to look whether something has happened.
	pollEvery = 200 * time.Millisecond
)

// process is a child process: a part of the operator, the demo publisher, or the
// mail server.
type process struct {
	what  string // controllers, downloads, ...
	log   string // path
	ready string // URL that answers with 200 once it is, or as a mail server does
	cmd   *exec.Cmd
	done  chan struct{} // closed when it has exited and err is set
	err   error
}

// start runs a part of the operator as the service account that is meant for
// it, so that it can do no more than its roles in config/rbac allow.
func start(ctx context.Context, cluster *controlplane.ControlPlane, what string, flags ...string) (*process, error) {
	kubeconfig, err := cluster.ServiceAccountKubeconfig(ctx, systemNamespace, "license-operator-"+what)
	if err != nil {
		return nil, err
	}
	addresses, err := freeAddresses(2)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(operatorBinary, append(flags,
		"--serve="+what, "--namespace="+systemNamespace, "--health-listen="+addresses[0], "--metrics-listen="+addresses[1])...)
	cmd.Env = []string{"KUBECONFIG=" + kubeconfig} // and nothing that would make this run unlike others
	return launch(cmd, what, filepath.Join(cluster.Dir, "license-operator-"+what+".log"), "http://"+addresses[0]+"/readyz")
}

// launch starts a program that logs into a file.
func launch(cmd *exec.Cmd, what, log, ready string) (*process, error) {
	p := &process{what: what, log: log, ready: ready, cmd: cmd, done: make(chan struct{})}
	logFile, err := os.Create(p.log)
	if err != nil {
		return nil, fmt.Errorf("starting the %s: %w", what, err)
	}
	defer logFile.Close() // the child has its own descriptor
	p.cmd.Stdout, p.cmd.Stderr = logFile, logFile
	p.cmd.SysProcAttr = childAttr()
	started := make(chan error)
	go p.run(started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("starting the %s: %w", what, err)
	}
	return p, nil
}

// run tells whether the process could be started, then waits for it to exit.
func (p *process) run(started chan<- error) {
	// The kernel's signal on the death of a parent means the thread that
	// forked, so that thread has to live as long as the child.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := p.cmd.Start()
	started <- err
	if err != nil {
		return
	}
	p.err = p.cmd.Wait()
	close(p.done)
}

// waitReady waits until the process says that it can work.
func (p *process) waitReady(ctx context.Context) error {
	var last error
	err := wait.PollUntilContextTimeout(ctx, pollEvery, time.Minute, true, func(ctx context.Context) (bool, error) {
		last = p.probe(ctx)
		return last == nil, nil
	})
	if err != nil {
		return fmt.Errorf("waiting for the %s to be ready: %w: %w", p.what, err, last)
	}
	return nil
}

// probe asks the process once whether it can work.
func (p *process) probe(ctx context.Context) error {
	if address, ok := strings.CutPrefix(p.ready, "smtp://"); ok {
		return greets(ctx, address)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.ready, nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", res.Status, strings.TrimSpace(string(body)))
	}
	return err
}

// greets waits for the first line of a mail server.
func greets(ctx context.Context, address string) error {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return err
		}
	}
	_, _, err = textproto.NewConn(conn).ReadResponse(220)
	return err
}

// stop lets the process finish and waits for it. It returns an error if it
// ended before, or did not end as it should.
func (p *process) stop() error {
	select {
	case <-p.done:
		return p.exited()
	default:
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // fails if it exits now; done tells
	select {
	case <-p.done:
		if p.err != nil {
			return fmt.Errorf("stopping the %s: %w", p.what, p.err)
		}
		return nil
	case <-time.After(stopGrace):
		_ = p.cmd.Process.Kill()
		<-p.done
		return fmt.Errorf("the %s did not stop within %v, until killed", p.what, stopGrace)
	}
}

// exited is the error that a process ended by itself, also if it did so with
// success: it never should.
func (p *process) exited() error {
	if p.err == nil {
		return fmt.Errorf("the %s exited unasked with status 0", p.what)
	}
	return fmt.Errorf("the %s exited unasked: %w", p.what, p.err)
}

// logTail is the last 15 lines of the log.
func (p *process) logTail() string {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-15):], "\n")
}

// stopAll ends the processes. If there was an error, by then or before, it is
// returned with the ends of their logs.
func stopAll(signals context.Context, processes []*process, err error) error {
	var logs strings.Builder
	for _, p := range processes {
		tail := p.logTail() // before it logs how it stops
		if stopErr := p.stop(); err == nil && stopErr != nil {
			err, tail = stopErr, p.logTail()
		}
		fmt.Fprintf(&logs, "\n\nThe log of the %s ends:\n%s", p.what, tail)
	}
	if err != nil && !errors.Is(err, context.Cause(signals)) {
		return fmt.Errorf("%w%s", err, &logs)
	}
	return err
}

// whileAlive is ctx until one of the processes dies, which is then the cause
// of its end.
func whileAlive(ctx context.Context, cluster *controlplane.ControlPlane, processes []*process) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		if err := cluster.Wait(ctx); err != nil {
			cancel(err)
		}
	}()
	for _, p := range processes {
		go func() {
			<-p.done
			cancel(p.exited())
		}()
	}
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
