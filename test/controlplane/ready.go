package controlplane

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

func (c *ControlPlane) waitEtcd(ctx context.Context, etcdURL string) error {
	cert, err := tls.LoadX509KeyPair(c.pki.file("etcd-client.crt"), c.pki.file("etcd-client.key"))
	if err != nil {
		return err
	}
	client, closeIdle := httpsClient(&tls.Config{RootCAs: c.pki.etcd.pool(), Certificates: []tls.Certificate{cert}})
	defer closeIdle()
	return c.poll(ctx, func(ctx context.Context) error {
		_, err := get(ctx, client, etcdURL+"/health")
		return err
	})
}

// waitControllers waits until the controllers have been started. The default
// service account does not tell: in a cluster continued it is there before.
func (c *ControlPlane) waitControllers(ctx context.Context, port int) error {
	client, closeIdle := httpsClient(&tls.Config{RootCAs: c.pki.cluster.pool()})
	defer closeIdle()
	return c.poll(ctx, func(ctx context.Context) error {
		body, err := get(ctx, client, "https://127.0.0.1:"+strconv.Itoa(port)+"/healthz?verbose")
		if err != nil {
			return err
		}
		// The checks of the controllers are added as these are started.
		if !strings.Contains(body, "[+]garbage-collector-controller ok") {
			return errors.New("the garbage collector has not been started")
		}
		return nil
	})
}

func httpsClient(config *tls.Config) (client *http.Client, closeIdle func()) {
	transport := &http.Transport{TLSClientConfig: config}
	return &http.Client{Transport: transport}, transport.CloseIdleConnections
}

// get returns the body of an answer of status 200.
func get(ctx context.Context, client *http.Client, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	res, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return "", err
	}
	if res.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: %s", url, res.Status)
	}
	return string(body), nil
}

// poll calls ready until it succeeds, ctx ends, or a process exits. Its error
// carries the log of the process at fault; on a timeout that is the youngest,
// since the others were ready before it was started.
func (c *ControlPlane) poll(ctx context.Context, ready func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	exited := c.exited(ctx)
	go func() {
		// Also ends a request that hangs: another server may have the port.
		if p := <-exited; p != nil {
			cancel()
		}
	}()

	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		attempt, cancelAttempt := context.WithTimeout(ctx, 5*time.Second)
		err := ready(attempt)
		cancelAttempt()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
		for _, p := range c.processes {
			if p.hasExited() {
				return p.failure(fmt.Errorf("exited during the start: %w", p.err))
			}
		}
		if ctx.Err() != nil {
			youngest := c.processes[len(c.processes)-1]
			return youngest.failure(fmt.Errorf("%w: %w", context.Cause(ctx), err))
		}
	}
}

// exited returns a channel that gets the first process to exit, and is closed
// when none is left to wait for or ctx has ended.
func (c *ControlPlane) exited(ctx context.Context) <-chan *process {
	first := make(chan *process, len(c.processes))
	var waiters sync.WaitGroup
	for _, p := range c.processes {
		waiters.Go(func() {
			select {
			case <-p.done:
				first <- p
			case <-ctx.Done():
			}
		})
	}
	go func() {
		waiters.Wait()
		close(first)
	}()
	return first
}
