package invoice

import (
	"context"
	"fmt"
	"io"
	"time"

	"k8s.io/utils/clock"

	"github.com/license-operator/license-operator/internal/cli"
	"github.com/license-operator/license-operator/internal/terms"
)

// Usage is how the command is called.
const Usage = "license-operator invoice --customer NAMESPACE --month YYYY-MM [--output csv|json] [--kubeconfig FILE]"

// Command runs "license-operator invoice" with the arguments after that word. It
// writes the invoice to stdout, and to stderr what a person should know about
// it. It returns flag.ErrHelp if help was asked for, and was written to stderr.
func Command(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	return command(ctx, clock.RealClock{}, args, stdout, stderr)
}

func command(ctx context.Context, clock clock.PassiveClock, args []string, stdout, stderr io.Writer) error {
	flags := cli.NewFlags("invoice", "Tells what a customer is charged for in a month, line by line.", Usage)
	customer := flags.String("customer", "", "the customer's `namespace`")
	month := flags.String("month", "", "the calendar month of UTC, as `YYYY-MM`")
	output := flags.String("output", "csv", "csv, or json, which has totals too")
	if err := flags.Read(args, stderr); err != nil {
		return err
	}
	now := clock.Now().UTC().Truncate(time.Second)
	start, err := time.Parse("2006-01", *month)
	period := terms.CalendarMonth(start.Year(), start.Month())
	write := map[string]func(*Invoice, io.Writer) error{"csv": (*Invoice).WriteCSV, "json": (*Invoice).WriteJSON}[*output]
	switch {
	case *customer == "":
		return flags.Misused("--customer is missing: give the customer's namespace")
	case *month == "":
		return flags.Misused("--month is missing: give a calendar month, such as %s", now.Format("2006-01"))
	case err != nil:
		return fmt.Errorf("--month=%s: give a calendar month with its year, such as %s", *month, now.Format("2006-01"))
	case !period.Begun(now):
		return fmt.Errorf("--month=%s: that month has not begun", *month)
	case write == nil:
		return fmt.Errorf("--output=%s: there are csv and json", *output)
	}
	reader, err := flags.Connect()
	if err != nil {
		return err
	}
	inv, err := Collect(ctx, reader, *customer, period, now)
	if err != nil {
		return cli.Explain(err, "The ClusterRole license-operator-auditor may read what an invoice is made from")
	}
	if inv.Note != "" && *output == "csv" { // JSON has it in it
		_, _ = fmt.Fprintf(stderr, "Note: %s.\n", inv.Note)
	}
	return write(inv, stdout)
}
