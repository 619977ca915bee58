// Command devcluster runs a Kubernetes control plane on the loopback interface
// to develop and to demonstrate the operator against, without containers.
//
//	go run ./hack/devcluster -dir DIR [-port 6443] [-bin DIR]
//
// It prints the line "ready" on its standard output once DIR/kubeconfig can be
// used, and stops the cluster on SIGINT or SIGTERM, which is an exit status of
// 0; any other end is one of 1. Started again with the same folder and port it
// continues the same cluster. There are no nodes, so no pod ever runs.
//
// "go run" does not pass a SIGTERM on. So under it the end of the go command
// stops the cluster too.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/license-operator/license-operator/test/controlplane"
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	ctx = untilGoRunEnds(ctx)
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "devcluster:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	dir := flag.String("dir", "", "`folder` of the cluster, created if absent (required)")
	port := flag.Int("port", 6443, "`port` of the API server, 0 for a free one")
	bin := flag.String("bin", "", "`folder` of the binaries (default $KUBEBUILDER_ASSETS, else bin/k8s of this module)")
	flag.Parse()
	if *dir == "" || flag.NArg() > 0 {
		flag.Usage()
		return errors.New("want -dir and no arguments")
	}

	cluster, err := controlplane.Start(ctx, controlplane.Options{
		Dir:               *dir,
		Bin:               *bin,
		Port:              *port,
		ControllerManager: true,
	})
	if ctx.Err() != nil && err != nil {
		return nil // told to stop while starting, and nothing is left running
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "export KUBECONFIG=%s\n", cluster.Kubeconfig)
	fmt.Println("ready")

	if err := cluster.Wait(ctx); err != nil {
		_ = cluster.Stop() // would only repeat which process has exited
		return err
	}
	return cluster.Stop()
}

// untilGoRunEnds ends with ctx, or with our parent if that is a go command.
func untilGoRunEnds(ctx context.Context) context.Context {
	parent := os.Getppid()
	comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", parent))
	if err != nil || strings.TrimSpace(string(comm)) != "go" {
		return ctx
	}
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		defer cancel()
		for os.Getppid() == parent {
			time.Sleep(100 * time.Millisecond)
		}
	}()
	return ctx
}
