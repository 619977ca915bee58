// Package cli is what the commands have in common that ask a cluster something
// and write the answer down: how they are called, how they connect, and how
// they write a file that opens in a spreadsheet.
package cli

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
)

// answerTimeout bounds each question to the API server.
const answerTimeout = time.Minute

// Flags are the flags of a command, with those that each has.
type Flags struct {
	*flag.FlagSet
	about, usage string
	kubeconfig   *string
}

// NewFlags returns the flags of a command. About says in a sentence what it
// does, usage how it is called.
func NewFlags(command, about, usage string) *Flags {
	f := &Flags{FlagSet: flag.NewFlagSet(command, flag.ContinueOnError), about: about, usage: usage}
	f.SetOutput(io.Discard) // errors are returned
	f.kubeconfig = f.String("kubeconfig", "", "the cluster's `file` (default: $KUBECONFIG, else the pod's service account, else ~/.kube/config)")
	return f
}

// Read reads the arguments, all of which are flags. It returns flag.ErrHelp if
// help was asked for, and was written to stderr.
func (f *Flags) Read(args []string, stderr io.Writer) error {
	err := f.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		_, _ = fmt.Fprintf(stderr, "%s\n\n  %s\n\n", f.about, f.usage)
		f.SetOutput(stderr)
		f.PrintDefaults()
		return err
	case err != nil:
		return f.Misused("%w", err)
	case f.NArg() > 0:
		return f.Misused("unexpected argument %q", f.Arg(0))
	}
	return nil
}

// Misused is an error that tells how the command is called.
func (f *Flags) Misused(format string, args ...any) error {
	return fmt.Errorf("%w. Usage: %s", fmt.Errorf(format, args...), f.usage)
}

// Connect returns a reader of the cluster that has no cache: each object is
// read once.
func (f *Flags) Connect() (client.Reader, error) {
	get := ctrl.GetConfig
	if *f.kubeconfig != "" {
		get = func() (*rest.Config, error) { return clientcmd.BuildConfigFromFlags("", *f.kubeconfig) }
	}
	cfg, err := get()
	if err != nil {
		return nil, fmt.Errorf("finding the cluster: %w", err)
	}
	cfg.Timeout, cfg.QPS = answerTimeout, -1
	scheme := runtime.NewScheme()
	if err := errors.Join(corev1.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return nil, err
	}
	reader, err := client.New(cfg, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("connecting to the cluster: %w", err)
	}
	return reader, nil
}

// Explain adds to what an API server answered what a person can do about it.
// WhoMay is a sentence on who may ask.
func Explain(err error, whoMay string) error {
	switch {
	case meta.IsNoMatchError(err):
		return fmt.Errorf("the cluster does not have our kinds, install them with \"kubectl apply --server-side -k config/crd\": %w", err)
	case apierrors.IsForbidden(err):
		return fmt.Errorf("%w. %s", err, whoMay)
	}
	return err
}
