// license-operator manages software licences as Kubernetes objects: it issues
// keys, keeps deadlines and tells the truth in status.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"

	"go.uber.org/zap/zapcore"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/license-operator/license-operator/internal/invoice"
	"github.com/license-operator/license-operator/internal/users"
)

// version is set by the linker; a plain go build tells the module's version.
var version string

func main() {
	if len(os.Args) > 1 {
		for _, c := range commands {
			if c.name == os.Args[1] {
				answer(c)
				return
			}
		}
	}
	var o options
	o.bind(flag.CommandLine)
	showVersion := flag.Bool("version", false, "print the version and exit")
	logging := zap.Options{StacktraceLevel: zapcore.PanicLevel}
	logging.BindFlags(flag.CommandLine)
	flag.Lookup("kubeconfig").Usage = "the cluster's `file` (default: $KUBECONFIG, else the pod's service account, else ~/.kube/config)"
	flag.Usage = usage
	flag.Parse()

	if flag.Arg(0) == "help" {
		usage()
		return
	}
	if *showVersion {
		fmt.Println("license-operator", versionString())
		return
	}
	ctrl.SetLogger(zap.New(zap.UseFlagOptions(&logging)))
	if err := run(ctrl.SetupSignalHandler(), o); err != nil {
		ctrl.Log.Error(err, "the operator stops")
		os.Exit(1)
	}
}

// commands ask the cluster something, write the answer down and end.
var commands = []command{
	{"invoice", invoice.Usage, invoice.Command},
	{"users", users.Usage, users.Command},
}

type command struct {
	name, usage string
	run         func(ctx context.Context, args []string, stdout, stderr io.Writer) error
}

func commandNames() string {
	var names []string
	for _, c := range commands {
		names = append(names, c.name)
	}
	return strings.Join(names, " and ")
}

// answer runs a command, and ends the program if it fails.
func answer(c command) {
	err := c.run(ctrl.SetupSignalHandler(), os.Args[2:], os.Stdout, os.Stderr)
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintf(os.Stderr, "license-operator %s: %v\n", c.name, err)
		os.Exit(1)
	}
}

func usage() {
	out := flag.CommandLine.Output()
	_, _ = fmt.Fprint(out, "Runs the operator, or tells what a customer is charged for, or who uses what employees bought:\n\n  license-operator [flags]\n")
	for _, c := range commands {
		_, _ = fmt.Fprintf(out, "  %s\n", c.usage)
	}
	_, _ = fmt.Fprint(out, "\nFlags of the operator:\n\n")
	flag.PrintDefaults()
}

func versionString() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.Main.Version
	}
	return "unknown"
}
