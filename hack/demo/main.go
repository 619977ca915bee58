// Command demo shows what the operator does, on a control plane of its own and
// with the operator in the roles that it is shipped with. It runs in the root
// of the repository, after the binaries were built:
//
//	make demo          # keeps the cluster to play with until Ctrl-C
//	make demo EXIT=1   # stops afterwards
//
// Whatever it shows it also checks: the exit status is 1 if something is not
// as it should be. Standard output has the story, standard error the progress.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/license-operator/license-operator/test/controlplane"
)

func main() {
	if standIn := standIns[filepath.Base(os.Args[0])]; standIn != nil {
		if err := standIn(os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, "demo:", err)
			os.Exit(1)
		}
		return
	}
	exit := flag.Bool("exit", false, "stop after the story instead of keeping the cluster")
	flag.Parse()
	if flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	log.SetLogger(logr.Discard()) // the client has nothing to say that is not in its errors
	// A terminal or a pager that is closed must not end us before the working
	// folder is removed.
	signal.Ignore(syscall.SIGPIPE)
	signals, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer cancel()
	if err := run(signals, *exit); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// run makes a cluster with the operator's objects in it, and undoes everything
// in the end. A signal is an error until the story has been told, and from then
// on the way to end.
func run(signals context.Context, exit bool) (err error) {
	if err := checkFolder(); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "license-operator-demo-")
	if err != nil {
		return fmt.Errorf("making the working folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()

	progress("starting a control plane")
	cluster, err := controlplane.Start(signals, controlplane.Options{Dir: dir, ControllerManager: true})
	if err != nil {
		return because(signals, err)
	}
	defer func() {
		if stopErr := cluster.Stop(); err == nil {
			err = stopErr
		}
	}()
	if err := setEnv(cluster); err != nil {
		return err
	}
	progress("installing the operator")
	if err := errors.Join(install(signals, cluster), writeArtifacts(cluster)); err != nil {
		return because(signals, err)
	}
	return operate(signals, cluster, exit)
}

// operate runs the operator while the story is told, and until a signal unless
// exit is set.
func operate(signals context.Context, cluster *controlplane.ControlPlane, exit bool) (err error) {
	processes, at, err := startAll(signals, cluster)
	if err != nil {
		return because(signals, err)
	}
	defer func() {
		progress("stopping")
		err = stopAll(signals, processes, err)
	}()

	ctx, cancel := whileAlive(signals, cluster, processes)
	defer cancel()
	for _, p := range processes {
		if err := p.waitReady(ctx); err != nil {
			return because(ctx, err)
		}
	}
	s, err := newStory(cluster, at)
	if err != nil {
		return err
	}
	if err := s.tell(ctx); err != nil {
		return because(ctx, err)
	}
	if exit {
		return nil
	}
	if err := s.invite(ctx, processes); err != nil {
		return because(ctx, err)
	}
	<-ctx.Done()
	if signals.Err() == nil {
		return context.Cause(ctx)
	}
	return nil
}

// checkFolder finds out at once what would fail later with a worse message.
func checkFolder() error {
	for _, path := range []string{operatorBinary, publisherBinary, mailBinary, "config"} {
		if _, err := os.Stat(path); err != nil {
			return fmt.Errorf("use `make demo` in the root of the repository: %w", err)
		}
	}
	return nil
}

// setEnv sets what every kubectl inherits.
func setEnv(cluster *controlplane.ControlPlane) error {
	// kubectl remembers what each address serves, in the home folder unless it
	// is told otherwise. Another cluster may have had our port.
	if err := os.Setenv("KUBECACHEDIR", filepath.Join(cluster.Dir, "kubectl-cache")); err != nil {
		return err
	}
	if err := os.Setenv("PATH", filepath.Dir(cluster.Kubectl())+string(os.PathListSeparator)+os.Getenv("PATH")); err != nil {
		return err
	}
	return addStandIns(filepath.Join(cluster.Dir, "stand-ins"))
}

// because is why ctx ended, if it did: whatever failed then failed of that.
func because(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, format+" ...\n", args...)
}
