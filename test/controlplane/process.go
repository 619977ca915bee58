package controlplane

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// errAddressInUse marks the failure of a process that lost the race for its
// port.
var errAddressInUse = errors.New("address already in use")

// process is a running child.
type process struct {
	name string
	log  string // path
	cmd  *exec.Cmd
	done chan struct{} // closed when the child has exited and err is set
	err  error
}

// startProcess starts a child whose output goes to the file at log, which
// holds the output of the latest start only.
func startProcess(name, path string, args []string, log string) (*process, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	defer out.Close() // the child has its own descriptor

	cmd := exec.Command(path, args...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = childAttr()
	// Empty rather than inherited: ETCD_* and proxy variables of the caller
	// would change what is run.
	cmd.Env = []string{}

	p := &process{name: name, log: log, cmd: cmd, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		// The kernel's signal on the death of a parent means the thread that
		// forked, so that thread has to live as long as the child.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		p.err = cmd.Wait()
		if p.err == nil {
			p.err = errors.New("exit status 0")
		}
		close(p.done)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return p, nil
}

func (p *process) hasExited() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// failure adds the end of the child's log to err.
func (p *process) failure(err error) error {
	const lines = 20
	text, readErr := os.ReadFile(p.log)
	if readErr != nil {
		return fmt.Errorf("%s %w (no log: %w)", p.name, err, readErr)
	}
	all := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	tail := strings.Join(all[max(0, len(all)-lines):], "\n")
	if p.hasExited() && strings.Contains(tail, errAddressInUse.Error()) {
		err = fmt.Errorf("%w: %w", errAddressInUse, err)
	}
	return fmt.Errorf("%s %w; the end of %s:\n%s", p.name, err, p.log, tail)
}

// stop ends the child and waits for it. It returns an error if the child had
// exited before, or had to be killed because it outlasted the grace.
func (p *process) stop(grace time.Duration) error {
	if p.hasExited() {
		return fmt.Errorf("%s had exited before: %w", p.name, p.err)
	}
	// An error means that the child has exited since; done tells.
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-p.done:
		return nil
	case <-timer.C:
	}
	_ = p.cmd.Process.Kill()
	<-p.done
	return fmt.Errorf("%s did not stop within %v and was killed", p.name, grace)
}

// freePorts returns n different loopback ports that were free a moment ago.
func freePorts(n int) ([]int, error) {
	var ports []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("looking for a free port: %w", err)
		}
		defer l.Close() // held until all are chosen, so that they differ
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

// portTaken reports whether the port asked for, if any, cannot be had, in
// which case another attempt is of no use.
func portTaken(port int) bool {
	if port == 0 {
		return false
	}
	l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
	if err != nil {
		return true
	}
	l.Close()
	return false
}
