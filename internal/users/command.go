package users

import (
	"context"
	"fmt"
	"io"

	"github.com/license-operator/license-operator/internal/cli"
)

// Usage is how the command is called.
const Usage = "license-operator users [--customer NAMESPACE] [--product NAME] [--purchase NAME]... [--export csv|json] [--kubeconfig FILE]"

// whoMay is for who may not.
const whoMay = "The ClusterRole license-operator-customer-admin may ask for the customer that it is bound for, with --customer, and license-operator-auditor for all"

// Command runs "license-operator users" with the arguments after that word. It
// writes views or an export to stdout, and to stderr what a person should know
// about it. It returns flag.ErrHelp if help was asked for, and was written to
// stderr.
func Command(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := cli.NewFlags("users", "Tells what employees bought and try themselves, and who uses it.", Usage)
	var q Query
	flags.StringVar(&q.Customer, "customer", "", "the customer's `namespace` (default: all customers)")
	flags.StringVar(&q.Product, "product", "", "only of the Product of this `name`")
	flags.Func("purchase", "only the SelfServicePurchase of this `name`; for several, repeat it", func(name string) error {
		q.Purchases = append(q.Purchases, name)
		return nil
	})
	export := flags.String("export", "", "instead of views, each user who has access now: csv, or json")
	if err := flags.Read(args, stderr); err != nil {
		return err
	}
	write, there := map[string]func(*Report, io.Writer) error{"": (*Report).WriteText, "csv": (*Report).WriteCSV, "json": (*Report).WriteJSON}[*export]
	if !there {
		return fmt.Errorf("--export=%s: there are csv and json", *export)
	}
	reader, err := flags.Connect()
	if err != nil {
		return err
	}
	report, err := Collect(ctx, reader, q)
	if err != nil {
		return cli.Explain(err, whoMay)
	}
	if note := report.note(*export != ""); note != "" {
		_, _ = fmt.Fprintf(stderr, "Note: %s.\n", note)
	}
	return write(report, stdout)
}
