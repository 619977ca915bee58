package invoice

import (
	"context"
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
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/terms"
)

// Usage is how the command is called.
const Usage = "license-operator invoice --customer NAMESPACE --month YYYY-MM [--output csv|json] [--kubeconfig FILE]"

// answerTimeout bounds each question to the API server.
const answerTimeout = time.Minute

// Command runs "license-operator invoice" with the arguments after that word. It
// writes the invoice to stdout, and to stderr what a person should know about
// it. It returns flag.ErrHelp if help was asked for, and was written to stderr.
func Command(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	return command(ctx, clock.RealClock{}, args, stdout, stderr)
}

func command(ctx context.Context, clock clock.PassiveClock, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("invoice", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // errors are returned
	customer := flags.String("customer", "", "the customer's `namespace`")
	month := flags.String("month", "", "the calendar month of UTC, as `YYYY-MM`")
	output := flags.String("output", "csv", "csv, or json, which has totals too")
	kubeconfig := flags.String("kubeconfig", "", "the cluster's `file` (default: $KUBECONFIG, else the pod's service account, else ~/.kube/config)")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		_, _ = fmt.Fprintf(stderr, "Tells what a customer is charged for in a month, line by line.\n\n  %s\n\n", Usage)
		flags.SetOutput(stderr)
		flags.PrintDefaults()
		return err
	} else if err != nil {
		return fmt.Errorf("%w. Usage: %s", err, Usage)
	}
	now := clock.Now().UTC().Truncate(time.Second)
	start, err := time.Parse("2006-01", *month)
	period := terms.CalendarMonth(start.Year(), start.Month())
	write := map[string]func(*Invoice, io.Writer) error{"csv": (*Invoice).WriteCSV, "json": (*Invoice).WriteJSON}[*output]
	switch {
	case flags.NArg() > 0:
		return fmt.Errorf("unexpected argument %q. Usage: %s", flags.Arg(0), Usage)
	case *customer == "":
		return fmt.Errorf("--customer is missing: give the customer's namespace. Usage: %s", Usage)
	case *month == "":
		return fmt.Errorf("--month is missing: give a calendar month, such as %s. Usage: %s", now.Format("2006-01"), Usage)
	case err != nil:
		return fmt.Errorf("--month=%s: give a calendar month with its year, such as %s", *month, now.Format("2006-01"))
	case !period.Begun(now):
		return fmt.Errorf("--month=%s: that month has not begun", *month)
	case write == nil:
		return fmt.Errorf("--output=%s: there are csv and json", *output)
	}
	reader, err := connect(*kubeconfig)
	if err != nil {
		return err
	}
	inv, err := Collect(ctx, reader, *customer, period, now)
	switch {
	case meta.IsNoMatchError(err):
		return fmt.Errorf("the cluster does not have our kinds, install them with \"kubectl apply --server-side -k config/crd\": %w", err)
	case apierrors.IsForbidden(err):
		return fmt.Errorf("%w. The ClusterRole license-operator-auditor may read what an invoice is made from", err)
	case err != nil:
		return err
	}
	if inv.Note != "" && *output == "csv" { // JSON has it in it
		_, _ = fmt.Fprintf(stderr, "Note: %s.\n", inv.Note)
	}
	return write(inv, stdout)
}

// connect returns a reader of a cluster that has no cache: each object is read
// once.
func connect(kubeconfig string) (client.Reader, error) {
	get := ctrl.GetConfig
	if kubeconfig != "" {
		get = func() (*rest.Config, error) { return clientcmd.BuildConfigFromFlags("", kubeconfig) }
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
