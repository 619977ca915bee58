package users

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
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
)

var update = flag.Bool("update", false, "write the files that outputs are compared with")

func TestGoldenFiles(t *testing.T) {
	for name, tc := range map[string]struct {
		kubeconfig string
		args       []string
	}{
		"contoso.txt":           {admin, []string{"--customer", "contoso"}},
		"contoso.csv":           {admin, []string{"--customer", "contoso", "--export", "csv"}},
		"contoso.json":          {admin, []string{"--customer", "contoso", "--export", "json"}},
		"without-catalogue.csv": {blind, []string{"--customer", "contoso", "--export", "csv"}},
		"all.txt":               {auditor, nil},
		"all.csv":               {auditor, []string{"--export", "csv"}},
		"product.csv":           {admin, []string{"--customer", "contoso", "--export", "csv", "--product", "power-bi-pro"}},
		"product.txt":           {admin, []string{"--customer", "contoso", "--product", "visio-plan-1"}},
		"purchases.csv":         {auditor, []string{"--export", "csv", "--purchase", "reports", "--purchase=drawing"}},
		"purchase-product.csv":  {auditor, []string{"--export", "csv", "--purchase", "forever", "--product", "gone-product"}},
		"idle.txt":              {admin, []string{"--customer", "idle"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, notes, err := run(t, tc.kubeconfig, tc.args...)
			if err != nil || notes != "" {
				t.Fatalf("%v %s", err, notes)
			}
			path := filepath.Join("testdata", name)
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
				t.Errorf("this is not as in %s:\n%s", path, got)
			}
			if strings.Contains(got, "not-yet@") || strings.Contains(got, "gone@") {
				t.Error("somebody is told to have access who has none yet, or no more")
			}
		})
	}
}

// JSON has what CSV has, as it is.
func TestFormatsAgree(t *testing.T) {
	file, err := os.ReadFile(filepath.Join("testdata", "contoso.csv"))
	if err != nil {
		t.Fatal(err)
	}
	records, err := csv.NewReader(bytes.NewReader(file)).ReadAll()
	if err != nil || bytes.Count(file, []byte("\n")) != bytes.Count(file, []byte("\r\n")) {
		t.Fatalf("%v, or a line does not end with CR LF", err)
	}
	text, err := os.ReadFile(filepath.Join("testdata", "contoso.json"))
	if err != nil {
		t.Fatal(err)
	}
	var rows []map[string]string
	if err := json.Unmarshal(text, &rows); err != nil || len(rows) != len(records)-1 || len(rows) == 0 {
		t.Fatalf("%d rows, %d records: %v", len(rows), len(records), err)
	}
	for i, row := range rows {
		for j, column := range records[0] {
			if in := row[strings.ToLower(column[:1])+column[1:]]; undo(records[i+1][j]) != in {
				t.Errorf("row %d, %s: %q in CSV, %q in JSON", i, column, records[i+1][j], in)
			}
		}
		if len(row) != len(records[0]) {
			t.Errorf("row %d has %d fields", i, len(row))
		}
	}
	guarded := slices.ContainsFunc(rows, func(row map[string]string) bool { return row["user"] == "=cmd|'/c" })
	if !guarded {
		t.Error("JSON does not have what was typed")
	}
}

func TestCommandSaysWhatIsWrong(t *testing.T) {
	none := filepath.Join(t.TempDir(), "none")
	for name, tc := range map[string]struct {
		kubeconfig string
		args       []string
		want       []string
	}{
		"another format":                      {admin, []string{"--customer", "contoso", "--export", "xlsx"}, []string{"--export=xlsx", "csv and json"}},
		"an argument":                         {admin, []string{"--purchase", "reports", "drawing"}, []string{`unexpected argument "drawing"`, "[--purchase NAME]..."}},
		"a flag that is not":                  {admin, []string{"--costumer", "contoso"}, []string{"costumer", "Usage: license-operator users"}},
		"a customer who never was":            {root, []string{"--customer", "contosso"}, []string{`no customer "contosso"`, "kubectl get namespaces"}},
		"a product that nobody has":           {admin, []string{"--customer", "contoso", "--product", "power-bi"}, []string{"--product=power-bi", "of customer contoso", "There are: draw, power-bi-pro, visio-plan-1"}},
		"a purchase that is not":              {admin, []string{"--customer", "contoso", "--purchase", "reports", "--purchase", "report"}, []string{"--purchase=report:", "There are: a-report, drawing, drawings, no-more, reports, sketch, tried, wanted"}},
		"a purchase of another product":       {admin, []string{"--customer", "contoso", "--product", "visio-plan-1", "--purchase", "reports"}, []string{"no such purchase of product visio-plan-1 of customer contoso", "There are: drawing, drawings, wanted"}},
		"a product where nothing was bought":  {admin, []string{"--customer", "empty", "--product", "draw"}, []string{"--product=draw", "There are: none"}},
		"a purchase where nothing was bought": {admin, []string{"--customer", "empty", "--purchase", "reports"}, []string{"--purchase=reports", "There are: none"}},
		"all customers, for one's own":        {admin, []string{"--export", "csv"}, []string{"of all customers", "with --customer", "license-operator-customer-admin", "license-operator-auditor"}},
		"another customer":                    {admin, []string{"--customer", "fabrikam"}, []string{"of customer fabrikam", "license-operator-customer-admin"}},
		"one who may nothing":                 {nobody, []string{"--customer", "contoso"}, []string{"forbidden", "license-operator-customer-admin"}},
		"no cluster":                          {none, []string{"--customer", "contoso"}, []string{"finding the cluster"}},
	} {
		t.Run(name, func(t *testing.T) {
			out, notes, err := run(t, tc.kubeconfig, tc.args...)
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
	var help bytes.Buffer
	if err := Command(context.Background(), []string{"--help"}, &help, &help); !errors.Is(err, flag.ErrHelp) || !strings.Contains(help.String(), Usage) || !strings.Contains(help.String(), "-purchase name") {
		t.Errorf("help: %v %s", err, help.String())
	}
}

func TestNotes(t *testing.T) {
	header := strings.Join(columns, ",") + "\r\n"
	for name, tc := range map[string]struct {
		kubeconfig      string
		args            []string
		out, wantedNote string
	}{
		"nothing bought":                 {root, []string{"--customer", "empty"}, "", "Note: nobody of customer empty has bought or tried anything.\n"},
		"nothing bought, as CSV":         {root, []string{"--customer", "empty", "--export", "csv"}, header, "Note: nobody of customer empty has bought or tried anything.\n"},
		"nothing bought, as JSON":        {root, []string{"--customer", "empty", "--export", "json"}, "[]\n", "Note: nobody of customer empty has bought or tried anything.\n"},
		"one who may not see namespaces": {admin, []string{"--customer", "empty"}, "", "Note: nobody of customer empty, if there is one, has bought or tried anything.\n"},
		"nobody has access":              {admin, []string{"--customer", "idle", "--export", "csv"}, header, "Note: nobody of customer idle has access now. Without --export there is more about what was bought and tried: 1 in all.\n"},
		"of what has ended":              {auditor, []string{"--purchase", "tried", "--export", "json"}, "[]\n", "Note: nobody has access now. Without --export there is more about what was bought and tried: 1 in all.\n"},
	} {
		t.Run(name, func(t *testing.T) {
			out, notes, err := run(t, tc.kubeconfig, tc.args...)
			if err != nil || out != tc.out || notes != tc.wantedNote {
				t.Errorf("%v\n%q\n%q", err, out, notes)
			}
		})
	}
}

// memory has purchases and no products.
type memory struct {
	client.Reader
	purchases []v1alpha1.SelfServicePurchase
}

func (m memory) List(_ context.Context, list client.ObjectList, _ ...client.ListOption) error {
	list.(*v1alpha1.SelfServicePurchaseList).Items = slices.Clone(m.purchases)
	return nil
}

func (m memory) Get(_ context.Context, key client.ObjectKey, o client.Object, _ ...client.GetOption) error {
	if p, ok := o.(*v1alpha1.Product); ok {
		p.Spec.DisplayName = "Product " + key.Name
	}
	return nil
}

func TestAThousandRowsAreSorted(t *testing.T) {
	var m memory
	for i := range 100 {
		n := i * 37 % 100 // not in order
		var users []v1alpha1.User
		for u := range 10 {
			users = append(users, v1alpha1.User(fmt.Sprintf("user-%d@contoso.example", (u*7+n)%10)))
		}
		m.purchases = append(m.purchases, *purchase(fmt.Sprintf("customer-%d", n%2), fmt.Sprintf("p-%02d", n), fmt.Sprintf("product-%d", n%3), fmt.Sprintf("employee-%d", n%7), 10, users))
	}
	report, err := Collect(t.Context(), m, Query{})
	if err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	if err := report.WriteCSV(&file); err != nil {
		t.Fatal(err)
	}
	records, err := csv.NewReader(&file).ReadAll()
	if err != nil || len(records) != 1001 {
		t.Fatalf("%d records: %v", len(records), err)
	}
	key := func(r []string) []string { return []string{r[0], r[1], r[6], r[3], r[8]} } // customer, product, purchaser, purchase, user
	for i := 2; i < len(records); i++ {
		if slices.Compare(key(records[i-1]), key(records[i])) >= 0 {
			t.Fatalf("%v is before %v", records[i-1], records[i])
		}
	}
	var text bytes.Buffer
	if err := report.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(text.String()) {
		if strings.TrimRight(line, " \n") != strings.TrimRight(line, "\n") {
			t.Fatalf("%q ends with blanks", line)
		}
	}
	for product := range 3 {
		if n := len(regexp.MustCompile(fmt.Sprintf(`(?m)^product-%d +Product product-%d +\d+ +\d+0 +\d+0 +0$`, product, product)).FindAllString(text.String(), -1)); n != 2 {
			t.Errorf("product-%d is there %d times, not once for each customer", product, n)
		}
	}
}

// No name makes a formula, whoever chose it, and each comes back as it was.
func TestExportIsSafe(t *testing.T) {
	awkward := rapid.StringOf(rapid.OneOf(rapid.RuneFrom([]rune("=+-@＝＋－＠'\"\t\r\n ;,|\u00a0\u200b\ufeffaé0")), rapid.Rune()))
	begins := regexp.MustCompile(`^[\s\p{Z}\p{Cf}]*[=+\-@＝＋－＠\t\r]`)
	rapid.Check(t, func(t *rapid.T) {
		p := purchase("contoso", "p", "x", "y", 1, []v1alpha1.User{v1alpha1.User(awkward.Draw(t, "user"))})
		p.Spec.Purchaser.Username = awkward.Draw(t, "purchaser")
		p.Spec.Purchaser.Email = v1alpha1.Email(awkward.Draw(t, "email"))
		report := &Report{purchases: []v1alpha1.SelfServicePurchase{*p}, names: map[string]string{"x": awkward.Draw(t, "product")}}
		var file bytes.Buffer
		if err := report.WriteCSV(&file); err != nil {
			t.Fatal(err)
		}
		records, err := csv.NewReader(&file).ReadAll()
		if err != nil || len(records) != 2 || len(records[1]) != len(columns) {
			t.Fatalf("%q: %v", records, err)
		}
		want := report.Rows()[0]
		for i, cell := range records[1] {
			if begins.MatchString(cell) {
				t.Errorf("%s begins a formula: %q", columns[i], cell)
			}
			if was := want.cells()[i]; undo(cell) != was {
				t.Errorf("%s was %q, is written as %q and had back as %q", columns[i], was, cell, undo(cell))
			}
		}
		var text bytes.Buffer
		if err := report.WriteText(&text); err != nil || strings.ContainsAny(text.String(), "\r\t\x1b\u009b\u202e") {
			t.Errorf("%v, or this could steer a terminal: %q", err, text.String())
		}
	})
}

var apostrophe = regexp.MustCompile(`(^|[,;|"\x00-\x1f\x7f-\x{9f}])'`)

// undo is what docs/users.md tells to do.
func undo(cell string) string { return apostrophe.ReplaceAllString(cell, "$1") }

// What the documentation shows is what comes out, and explains each column.
func TestDocumentation(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join("..", "..", "docs", "users.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, column := range columns {
		if !bytes.Contains(doc, []byte("| `"+column+"` |")) {
			t.Errorf("docs/users.md does not explain %s", column)
		}
	}
	if !bytes.Contains(doc, []byte(`(^|[,;|"\x00-\x1f\x7f-\x9f])'`)) {
		t.Error("docs/users.md tells to undo it in another way")
	}
	if !bytes.Contains(doc, []byte(Usage)) {
		t.Error("docs/users.md shows another usage")
	}
	example := memory{purchases: []v1alpha1.SelfServicePurchase{
		*purchase("contoso", "reports", "power-bi-pro", "heidi", 5, []v1alpha1.User{"judy@contoso.example", "heidi@contoso.example"}),
		*purchase("contoso", "a-report", "power-bi-pro", "ivan", 1, []v1alpha1.User{"ivan@contoso.example"}),
	}}
	report, err := Collect(t.Context(), example, Query{Customer: "contoso"})
	if err != nil {
		t.Fatal(err)
	}
	report.names["power-bi-pro"] = "Power BI Pro"
	var text, file bytes.Buffer
	if err := errors.Join(report.WriteText(&text), report.WriteCSV(&file)); err != nil {
		t.Fatal(err)
	}
	for _, shown := range []string{text.String(), strings.ReplaceAll(file.String(), "\r\n", "\n")} {
		if !bytes.Contains(doc, []byte(shown)) {
			t.Errorf("docs/users.md does not show\n%s", shown)
		}
	}
}
