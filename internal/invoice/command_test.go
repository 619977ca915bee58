package invoice

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/shopspring/decimal"

	"github.com/license-operator/license-operator/api/v1alpha1"
)

var update = flag.Bool("update", false, "write the files that outputs are compared with")

// contoso has some of everything, all in October 2026.
func contoso(t *testing.T) {
	type entitlement = *v1alpha1.EntitlementSpec
	type key = *v1alpha1.LicenseKeySpec
	gold := v1alpha1.ServiceLevel{PlanID: "gold", Quantity: 3, UnitPrice: eur("10.00"), BillingCycle: v1alpha1.BillingMonthly}
	service(t, "contoso", "coffee", "2026-10-01T00:00:00Z", func(s entitlement) {
		s.Subscriber.FriendlyName, s.Subscriber.ResellerPartnerID = `=HYPERLINK("https://evil.example","Contoso")`, "4847383"
		s.Changes = []v1alpha1.ServiceChange{{At: stamp("2026-10-02T10:00:00Z"), ServiceLevel: silver(2)}, {At: stamp("2026-10-17T00:00:00Z"), ServiceLevel: gold}}
	})
	service(t, "contoso", "tried", "2026-09-10T12:00:00Z", func(s entitlement) {
		s.Purchase.Trial, s.RenewedUntil = "P30D", stampOf("2026-10-10T12:00:00Z")
		s.Subscriber.FriendlyName = "Café, Ebene 2; -Süd"
	})
	service(t, "contoso", "dropped", "2026-10-05T08:00:00Z", func(s entitlement) {
		s.Purchase.Trial, s.EndedAt, s.EndReason = "P30D", stampOf("2026-10-20T00:00:00Z"), v1alpha1.EndCancelled
	})
	service(t, "contoso", "sent-back", "2026-10-30T23:00:00Z", func(s entitlement) {
		s.EndedAt, s.EndReason = stampOf("2026-10-31T23:59:59Z"), v1alpha1.EndCancelled
	})
	service(t, "contoso", "waiting", "2026-10-05T08:00:00Z", func(s entitlement) { s.ActivatedAt = nil })
	service(t, "contoso", "next-month", "2026-11-01T00:00:00Z")
	service(t, "contoso", "tokyo", "2026-05-31T15:00:00Z", func(s entitlement) {
		s.ProductRef.Name, s.PublisherRef.Name = "gone", "gone-too"
		s.Purchase.Term, s.Purchase.Quantity, s.Purchase.PlanID = v1alpha1.TermYear, 0, "site"
		s.Purchase.UnitPrice = v1alpha1.Money{Amount: "100000", Currency: "JPY"}
	})
	licence(t, "contoso", "office", "2026-10-01T12:00:00Z", func(k key) {
		k.QuantityChanges = []v1alpha1.QuantityChange{{At: stamp("2026-10-03T12:00:00Z"), Quantity: 30}}
	})
	licence(t, "contoso", "old-office", "2025-10-31T23:59:59Z", func(k key) { k.RenewedUntil = stampOf("2027-10-31T23:59:59Z") })
	perpetual := func(k key) {
		k.Purchase.Term, k.Purchase.KeysPer, k.Purchase.Quantity = v1alpha1.TermPerpetual, v1alpha1.KeysPerLicense, 2
		k.Purchase.UnitPrice = v1alpha1.Money{Amount: "199.125", Currency: "KWD"}
		k.Purchase.Cancellation = v1alpha1.CancellationPolicy{Window: "P30D", Refund: v1alpha1.RefundFull}
	}
	// Its second key was given back; the purchase goes by its first.
	licence(t, "contoso", "cad", "2026-10-08T00:00:00Z", perpetual, func(k key) {
		k.QuantityChanges = []v1alpha1.QuantityChange{{At: stamp("2026-10-09T00:00:00Z"), Quantity: 1}}
	})
	licence(t, "contoso", "cad", "2026-10-08T00:00:00Z", perpetual, func(k key) {
		k.Slot, k.State, k.EndedAt = 2, v1alpha1.LicenseKeyRevoked, stampOf("2026-10-09T00:00:00Z")
	})
	licence(t, "contoso", "mistake", "2026-09-28T00:00:00Z", func(k key) {
		k.State, k.EndedAt = v1alpha1.LicenseKeyRevoked, stampOf("2026-10-01T00:00:00Z")
	})
	licence(t, "contoso", "expired", "2025-10-05T00:00:00Z", func(k key) {
		k.State, k.EndedAt = v1alpha1.LicenseKeyRetired, stampOf("2026-10-05T00:00:00Z")
	})
	service(t, "somebody-else", "coffee-2", "2026-10-01T00:00:00Z")
	licence(t, "somebody-else", "office-2", "2026-10-01T00:00:00Z")
}

func TestGoldenFiles(t *testing.T) {
	contoso(t)
	for _, format := range []string{"csv", "json"} {
		got, notes, err := run("2026-12-01T00:00:00Z", auditor, "--customer", "contoso", "--month", "2026-10", "--output", format)
		if err != nil || notes != "" {
			t.Fatalf("%s: %v %s", format, err, notes)
		}
		path := filepath.Join("testdata", "contoso."+format)
		if *update {
			if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s is not as in %s:\n%s", format, path, got)
		}
		again, _, _ := run("2027-05-01T00:00:00Z", auditor, "--customer", "contoso", "--month", "2026-10", "--output", format)
		if again != got {
			t.Errorf("%s is another one half a year later:\n%s", format, again)
		}
	}
}

// Both formats say the same, and the totals are the sums of the lines.
func TestFormatsAgree(t *testing.T) {
	var inv Invoice
	text, err := os.ReadFile(filepath.Join("testdata", "contoso.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &inv); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(filepath.Join("testdata", "contoso.csv"))
	if err != nil {
		t.Fatal(err)
	}
	records, err := csv.NewReader(bytes.NewReader(file)).ReadAll()
	if err != nil || len(records) != len(inv.Lines)+1 || len(inv.Lines) == 0 {
		t.Fatalf("%d records for %d lines: %v", len(records), len(inv.Lines), err)
	}
	if bytes.Count(file, []byte("\n")) != bytes.Count(file, []byte("\r\n")) {
		t.Error("a line does not end with CR LF")
	}
	line := reflect.TypeFor[Line]()
	for i, column := range records[0] {
		if tag := line.Field(i).Tag.Get("json"); strings.ToLower(column[:1])+column[1:] != tag {
			t.Errorf("column %s is %s in JSON", column, tag)
		}
		for j, record := range records[1:] {
			in := fmt.Sprint(reflect.ValueOf(inv.Lines[j]).Field(i))
			if out := record[i]; out != in && strings.ReplaceAll(out, "'", "") != in {
				t.Errorf("line %d, %s: %q and %q", j, column, out, in)
			}
		}
	}
	sums := map[string]decimal.Decimal{}
	for _, l := range inv.Lines {
		amount := decimal.RequireFromString(l.SubTotal)
		sums[l.Currency] = sums[l.Currency].Add(amount)
		if product := decimal.RequireFromString(l.EffectiveUnitPrice).Mul(decimal.NewFromInt(l.Quantity)); !product.Equal(amount) {
			t.Errorf("%+v: %s", l, product)
		}
	}
	if len(inv.Totals) != 3 || len(sums) != 3 {
		t.Fatalf("totals %v of %v", inv.Totals, sums)
	}
	for _, total := range inv.Totals {
		if want := sums[total.Currency]; !decimal.RequireFromString(total.SubTotal).Equal(want) {
			t.Errorf("total %v, the lines are %v", total, want)
		}
	}
}

// What the documentation shows is what comes out.
func TestDocumentedOutput(t *testing.T) {
	service(t, "fabrikam", "analytics", "2026-06-10T09:00:00Z", func(s *v1alpha1.EntitlementSpec) {
		s.Subscriber.FriendlyName = "Analytics of Fabrikam"
		s.Changes = []v1alpha1.ServiceChange{{At: stamp("2026-06-11T14:00:00Z"), ServiceLevel: silver(2)}}
	})
	doc, err := os.ReadFile(filepath.Join("..", "..", "docs", "invoices.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"csv", "json"} {
		got, _, err := run("2026-07-01T00:00:00Z", auditor, "--customer", "fabrikam", "--month", "2026-06", "--output", format)
		if err != nil {
			t.Fatal(err)
		}
		if format == "json" { // the lines are left out
			var all map[string]any
			if err := json.Unmarshal([]byte(got), &all); err != nil || len(all["lines"].([]any)) != 3 {
				t.Fatalf("%v\n%s", err, got)
			}
			delete(all, "lines")
			head, _ := json.MarshalIndent(all, "", "  ")
			got = string(head) + "\n"
		}
		shown := regexp.MustCompile("(?s)```" + format + "\n(.*?)```").FindSubmatch(doc)
		if got = strings.ReplaceAll(got, "\r\n", "\n"); shown == nil || got != string(shown[1]) {
			t.Errorf("docs/invoices.md shows another %s than\n%s", format, got)
		}
	}
	for _, c := range columns {
		if !bytes.Contains(doc, []byte("| `"+c.name+"` |")) {
			t.Errorf("docs/invoices.md does not explain %s", c.name)
		}
	}
}

func TestMonths(t *testing.T) {
	// Activated on New Year's Eve in Auckland, which is the day before in UTC.
	service(t, "kiwi", "auckland", "2028-01-01T12:59:59+13:00")
	licence(t, "kiwi", "leap", "2028-01-31T00:00:00Z", func(k *v1alpha1.LicenseKeySpec) {
		k.Purchase.Term, k.RenewedUntil = v1alpha1.TermMonth, stampOf("2028-03-31T00:00:00Z")
	})
	for name, tc := range map[string]struct {
		month, now string
		want       string // "<date> <type>", ...
		note       string
	}{
		"the month of UTC counts":        {"2027-12", "2028-04-15T00:00:00Z", "2027-12-31 new", ""},
		"a month's last day":             {"2028-01", "2028-04-15T00:00:00Z", "2028-01-31 renew, 2028-01-31 new", ""},
		"a leap day":                     {"2028-02", "2028-04-15T00:00:00Z", "2028-02-29 renew, 2028-02-29 renew", ""},
		"before anything":                {"2027-11", "2028-04-15T00:00:00Z", "", "Note: nothing was charged to customer kiwi in 2027-11.\n"},
		"a month that is not over":       {"2028-01", "2028-01-31T23:59:58Z", "2028-01-31 new", "Note: 2028-01 is not over: these are the charges up to 2028-01-31T23:59:58Z.\n"},
		"at the very instant":            {"2028-01", "2028-01-31T23:59:59Z", "2028-01-31 renew, 2028-01-31 new", "Note: 2028-01 is not over: these are the charges up to 2028-01-31T23:59:59Z.\n"},
		"what is to come is not charged": {"2028-01", "2028-01-01T00:00:00Z", "", "Note: 2028-01 is not over: these are the charges up to 2028-01-01T00:00:00Z.\n"},
		// The service renews by itself; of the software nothing is on record.
		"the operator was away": {"2028-03", "2028-04-15T00:00:00Z", "2028-03-31 renew", "Note: 2028-03 can still change: it is not on record yet what became of subscription leap, whose term is over or which is gone.\n"},
		"and has not come back": {"2028-04", "2028-05-15T00:00:00Z", "2028-04-30 renew", "Note: 2028-04 can still change: it is not on record yet what became of subscription leap, whose term is over or which is gone.\n"},
	} {
		t.Run(name, func(t *testing.T) {
			out, notes, err := run(tc.now, auditor, "--customer", "kiwi", "--month", tc.month, "--output", "csv")
			if err != nil {
				t.Fatal(err)
			}
			records, err := csv.NewReader(strings.NewReader(out)).ReadAll()
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, r := range records[1:] {
				got = append(got, r[4]+" "+r[13])
			}
			if strings.Join(got, ", ") != tc.want || notes != tc.note {
				t.Errorf("got %q, %q; want %q, %q", got, notes, tc.want, tc.note)
			}
			out, notes, err = run(tc.now, auditor, "--customer", "kiwi", "--month", tc.month, "--output", "json")
			var inv Invoice
			if err := errors.Join(err, json.Unmarshal([]byte(out), &inv)); err != nil {
				t.Fatal(err)
			}
			if open := strings.Contains(tc.note, "is not over") || strings.Contains(tc.note, "can still change"); inv.Final == open || len(inv.Lines) != len(got) || notes != "" {
				t.Errorf("%s %s", out, notes)
			}
			if !strings.Contains(out, `"lines": [`) || !strings.Contains(out, `"totals": [`) {
				t.Errorf("not lists: %s", out)
			}
		})
	}
}

func TestCommandSaysWhatIsWrong(t *testing.T) {
	service(t, "trey", "coffee-3", "2026-10-01T00:00:00Z")
	for name, tc := range map[string]struct {
		args []string
		want []string
	}{
		"no customer":              {[]string{"--month", "2026-10"}, []string{"--customer is missing", "Usage: license-operator invoice"}},
		"no month":                 {[]string{"--customer", "trey"}, []string{"--month is missing", "such as 2026-11"}},
		"not a month":              {[]string{"--customer", "trey", "--month", "October"}, []string{"--month=October", "such as 2026-11"}},
		"a day":                    {[]string{"--customer", "trey", "--month", "2026-10-01"}, []string{"--month=2026-10-01"}},
		"a thirteenth month":       {[]string{"--customer", "trey", "--month", "2026-13"}, []string{"--month=2026-13"}},
		"a month to come":          {[]string{"--customer", "trey", "--month", "2026-12"}, []string{"has not begun"}},
		"another output":           {[]string{"--customer", "trey", "--month", "2026-10", "--output", "xlsx"}, []string{"--output=xlsx", "csv and json"}},
		"an argument":              {[]string{"--customer", "trey", "--month", "2026-10", "2026-09"}, []string{`unexpected argument "2026-09"`, "Usage"}},
		"a flag that is not":       {[]string{"--costumer", "trey"}, []string{"costumer", "Usage"}},
		"a customer who never was": {[]string{"--customer", "tray", "--month", "2026-10"}, []string{`no customer "tray"`, "kubectl get namespaces"}},
	} {
		t.Run(name, func(t *testing.T) {
			out, notes, err := run("2026-11-05T00:00:00Z", auditor, tc.args...)
			if err == nil || out != "" || notes != "" {
				t.Fatalf("%v\n%s\n%s", err, out, notes)
			}
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
		})
	}
	if _, _, err := run("2026-11-05T00:00:00Z", nobody, "--customer", "trey", "--month", "2026-10"); err == nil || !strings.Contains(err.Error(), "license-operator-auditor") {
		t.Errorf("one who may not read: %v", err)
	}
	if _, _, err := run("2026-11-05T00:00:00Z", filepath.Join(t.TempDir(), "none"), "--customer", "trey", "--month", "2026-10"); err == nil || !strings.Contains(err.Error(), "finding the cluster") {
		t.Errorf("no cluster: %v", err)
	}
	out, notes, err := run("2026-11-05T00:00:00Z", auditor, "--customer", "newcomer", "--month", "2026-10")
	if err != nil || notes != "Note: customer newcomer has never bought anything.\n" || strings.Count(out, "\n") != 1 {
		t.Errorf("a customer who has bought nothing: %v %q %q", err, notes, out)
	}
	var help bytes.Buffer
	if err := Command(context.Background(), []string{"--help"}, &help, &help); !errors.Is(err, flag.ErrHelp) || !strings.Contains(help.String(), Usage) || !strings.Contains(help.String(), "-month YYYY-MM") {
		t.Errorf("help: %v %s", err, help.String())
	}
}
