package controlplane

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

const (
	// startTimeout bounds one attempt to start; a loaded machine needs far
	// longer than the usual few seconds.
	startTimeout = 2 * time.Minute

	// stopGrace is how long each process gets between SIGTERM and SIGKILL.
	stopGrace = 10 * time.Second

	// startAttempts bounds the retries after another process took a port
	// between our choosing it and the child's listening on it.
	startAttempts = 5
)

// Options says what Start runs. Only Dir is required.
type Options struct {
	// Dir is the working folder: certificates, etcd data, logs, kubeconfigs.
	// It is created if absent. If it holds a cluster from an earlier Start,
	// that cluster is continued: same authorities, same data.
	Dir string

	// Bin is the folder of the binaries. Empty means $KUBEBUILDER_ASSETS, or
	// else bin/k8s of the module around the current folder.
	Bin string

	// Port is the API server's; 0 picks a free one. Kubeconfigs of an earlier
	// Start on the same Dir keep working only if the port stays the same.
	Port int

	// ControllerManager also runs kube-controller-manager. Without it nothing
	// collects garbage, empties a deleted namespace, or creates the default
	// service accounts, which pods need to be admitted.
	ControllerManager bool

	// APIServerArgs and ControllerManagerArgs are appended to the command
	// lines, so they win over a flag that may be given once only.
	APIServerArgs         []string
	ControllerManagerArgs []string
}

// ControlPlane is a running control plane. Its methods may be called from
// several goroutines.
type ControlPlane struct {
	Dir        string       // absolute
	Kubeconfig string       // path of the kubeconfig of a cluster administrator
	URL        string       // of the API server, https://127.0.0.1:port
	Config     *rest.Config // the same administrator, without client rate limits

	bin       string
	pki       *pki
	unlock    func()
	processes []*process // in the order they were started

	stopOnce sync.Once
	stopErr  error
}

// Start starts a control plane and returns when it is ready: the API server
// says so on /readyz and, with the controller manager, its controllers run and
// the default service account exists. ctx bounds the start only; the caller
// must call Stop.
//
// On failure nothing is left running, and the error of a process that did not
// come up ends with the last lines of its log.
func Start(ctx context.Context, o Options) (*ControlPlane, error) {
	bin, err := findBinaries(o)
	if err != nil {
		return nil, err
	}
	if o.Dir == "" {
		return nil, errors.New("control plane: no Dir given")
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("control plane: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("control plane: %w", err)
	}
	unlock, err := lockDir(dir)
	if err != nil {
		return nil, fmt.Errorf("control plane: %w", err)
	}
	pki, err := newPKI(filepath.Join(dir, "pki"))
	if err != nil {
		unlock()
		return nil, fmt.Errorf("control plane: %w", err)
	}

	for attempt := 1; ; attempt++ {
		c := &ControlPlane{Dir: dir, bin: bin, pki: pki, unlock: unlock}
		err := c.start(ctx, o)
		if err == nil {
			return c, nil
		}
		_ = c.stopProcesses() // err says which one failed
		if !errors.Is(err, errAddressInUse) || attempt == startAttempts || ctx.Err() != nil || portTaken(o.Port) {
			unlock()
			return nil, fmt.Errorf("control plane: %w", err)
		}
	}
}

// start makes one attempt. Its caller stops whatever has been started.
func (c *ControlPlane) start(ctx context.Context, o Options) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, fmt.Errorf("not ready after %v", startTimeout))
	defer cancel()

	ports, err := freePorts(3)
	if err != nil {
		return err
	}
	etcdURL := "https://127.0.0.1:" + strconv.Itoa(ports[0])
	port := o.Port
	if port == 0 {
		port = ports[1]
	}
	c.URL = "https://127.0.0.1:" + strconv.Itoa(port)
	if err := c.writeAdmin(); err != nil {
		return err
	}

	if err := c.run("etcd", c.etcdArgs(etcdURL)); err != nil {
		return err
	}
	if err := c.waitEtcd(ctx, etcdURL); err != nil {
		return err
	}
	if err := c.run("kube-apiserver", append(c.apiserverArgs(etcdURL, port), o.APIServerArgs...)); err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(c.Config)
	if err != nil {
		return err
	}
	if err := c.poll(ctx, func(ctx context.Context) error {
		return client.RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
	}); err != nil {
		return err
	}
	if !o.ControllerManager {
		return nil
	}
	managerPort := ports[2]
	if err := c.run("kube-controller-manager", append(c.controllerManagerArgs(managerPort), o.ControllerManagerArgs...)); err != nil {
		return err
	}
	if err := c.waitControllers(ctx, managerPort); err != nil {
		return err
	}
	return c.poll(ctx, func(ctx context.Context) error {
		_, err := client.CoreV1().ServiceAccounts(metav1.NamespaceDefault).Get(ctx, "default", metav1.GetOptions{})
		return err
	})
}

func (c *ControlPlane) run(name string, args []string) error {
	p, err := startProcess(name, filepath.Join(c.bin, name), args, filepath.Join(c.Dir, name+".log"))
	if err != nil {
		return err
	}
	c.processes = append(c.processes, p)
	return nil
}

// Kubectl returns the path of the kubectl that belongs to this control plane.
func (c *ControlPlane) Kubectl() string { return filepath.Join(c.bin, "kubectl") }

// Wait blocks until ctx ends or a process exits, by itself or because of Stop.
// It returns an error only in the second case, naming that process.
func (c *ControlPlane) Wait(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p := <-c.exited(ctx)
	if p == nil {
		return nil
	}
	return p.failure(fmt.Errorf("exited: %w", p.err))
}

// Stop ends the processes in the reverse order of their start, each with
// SIGTERM and, after 10 seconds, SIGKILL. The data stays in Dir. It returns an
// error if a process had exited before or had to be killed; nothing is left
// running even so. Further calls do nothing and return the same error.
func (c *ControlPlane) Stop() error {
	c.stopOnce.Do(func() {
		c.stopErr = c.stopProcesses()
		c.unlock()
	})
	return c.stopErr
}

func (c *ControlPlane) stopProcesses() error {
	var errs []error
	for i := len(c.processes) - 1; i >= 0; i-- {
		errs = append(errs, c.processes[i].stop(stopGrace))
	}
	return errors.Join(errs...)
}
