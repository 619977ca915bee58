package coverage

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

// statements are how many each document has, so that none gets lost at the end
// of one. The fifth document is the first one in another language.
var statements = map[string]int{"S": 44, "M": 41, "V": 80, "P": 31}

func repository(t *testing.T) *repo {
	t.Helper()
	r, err := open("../..")
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Each row of the page names what there is.
func TestCoverage(t *testing.T) {
	r := repository(t)
	page, err := os.ReadFile("../../docs/coverage.md")
	if err != nil {
		t.Fatal(err)
	}
	rows, faults := parse(string(page))
	for _, f := range faults {
		t.Error(f)
	}
	found := map[string]int{}
	for _, row := range rows {
		letter, _, _ := strings.Cut(row.id, "-")
		found[letter]++
		if err := r.check(row.cells); err != nil {
			t.Errorf("%s: %v", row.id, err)
		}
	}
	if !maps.Equal(found, statements) {
		t.Errorf("the documents have %v statements, and the page has %v", statements, found)
	}
}

// What is wrong with a row is found.
func TestFaultsOfRows(t *testing.T) {
	r := repository(t)
	good := []string{"S-1", "It can be cancelled", "`LicenseKey.spec.state`", "`controllers: TestCancelInTime/at once`", "Cancel in time"}
	out := []string{"S-1", "It is paid", "left out: nobody is paid", "left out", "left out"}
	for name, tc := range map[string]struct {
		row    []string
		column int
		cell   string
		want   string // empty: no fault
	}{
		"nothing":                          {good, colDemo, "Cancel in time", ""},
		"an empty statement":               {good, colSays, "", "cell 2 is empty"},
		"an empty place":                   {good, colPlace, "", "cell 3 is empty"},
		"a dash for a place":               {good, colPlace, "-", "cell 3 is empty"},
		"a long dash for a test":           {good, colTest, "—", "cell 4 is empty"},
		"dashes for a chapter":             {good, colDemo, "- -", "cell 5 is empty"},
		"a place in words only":            {good, colPlace, "somewhere in the ledger", "nothing is named"},
		"a field of a list":                {good, colPlace, "`Product.spec.terms[].price.amount`", ""},
		"a list that is none":              {good, colPlace, "`Product.spec.software[].versions`", "is no list"},
		"a field that is not":              {good, colPlace, "`LicenseKey.spec.stat`", "LicenseKey has no field spec.stat"},
		"a field of status that is spec":   {good, colPlace, "`SoftwareSubscription.status.cancelled`", "there is no cancelled"},
		"one of two fields is not":         {good, colPlace, "`LicenseKey.spec.state`, `LicenseKey.spec.key`", "there is no key"},
		"a field of a kind that is not":    {good, colPlace, "`Licence.spec.state`", "there is no kind Licence"},
		"a kind":                           {good, colPlace, "`Takeover`", ""},
		"a kind that is not":               {good, colPlace, "`Handover`", "there is no kind Handover"},
		"a role":                           {good, colPlace, "`license-operator-sales-agent`", ""},
		"a role that is not":               {good, colPlace, "`license-operator-sales`", "no role or policy"},
		"a command of ours":                {good, colPlace, "`license-operator users`", ""},
		"a command that is not":            {good, colPlace, "`license-operator bill`", "no command bill"},
		"kubectl":                          {good, colPlace, "`kubectl -n contoso get sspur,mpsub`", ""},
		"kubectl of all":                   {good, colPlace, "`kubectl get licensing -A`", ""},
		"kubectl of what is not":           {good, colPlace, "`kubectl get sspurs -A`", "knows no sspurs"},
		"kubectl of nothing":               {good, colPlace, "`kubectl -n contoso get`", "of what?"},
		"kubectl does what is not":         {good, colPlace, "`kubectl list sspur`", "cannot be checked"},
		"a selector":                       {good, colPlace, "`kubectl get sspur --field-selector status.state=Trial`", ""},
		"a selector that is not":           {good, colPlace, "`kubectl get sspur --field-selector status.price=1`", "cannot be selected by status.price"},
		"code that is nothing":             {good, colPlace, "`downloadURL`", "cannot be checked"},
		"a page":                           {good, colPlace, "[notices](notices.md)", ""},
		"a page that is not":               {good, colPlace, "[notices](notes.md)", "notes.md leads nowhere"},
		"a heading":                        {good, colPlace, "[export](users.md#export)", ""},
		"a heading that is not":            {good, colPlace, "[export](users.md#import)", "has no heading import"},
		"a heading that is a comment":      {good, colPlace, "[policy](roles.md#policyyaml)", "has no heading"},
		"a page beside a field":            {good, colPlace, "`LicenseKey.spec.state`, [notices](notes.md)", "leads nowhere"},
		"a test without a row":             {good, colTest, "`controllers: TestCancelTooLate`", ""},
		"a test that is not":               {good, colTest, "`controllers: TestCancel`", "has no test TestCancel"},
		"a test of another folder":         {good, colTest, "`internal/terms: TestCancelInTime`", "internal/terms has no test"},
		"a folder that is not":             {good, colTest, "`controller: TestCancelInTime`", "controller has no test"},
		"a row that is not":                {good, colTest, "`controllers: TestCancelInTime/at twice`", `no row "at twice"`},
		"a helper for a test":              {good, colTest, "`controllers: newShop`", "is not one test"},
		"what runs all tests":              {good, colTest, "`controllers: TestMain`", "has no test TestMain"},
		"two tests":                        {good, colTest, "`controllers: TestCancelInTime`, `controllers: TestCancelTooLate`", "is not one test"},
		"words for a test":                 {good, colTest, "by reading", "is not one test"},
		"a chapter that is not":            {good, colDemo, "Cancel too late", "no chapter"},
		"a chapter by its number":          {good, colDemo, "10", "no chapter"},
		"it takes days":                    {good, colDemo, "needs days", ""},
		"it is not shown":                  {good, colDemo, "not shown: nobody calls it", ""},
		"it is not shown, nobody says why": {good, colDemo, "not shown: ", "no chapter"},
		"still to do":                      {good, colTest, "TODO", "is not one test"},
		"left out":                         {out, colPlace, "left out: nobody is paid, see [invoices](invoices.md)", ""},
		"left out for no reason":           {out, colPlace, "left out: -", "without a reason"},
		"left out, and that is all":        {out, colPlace, "left out", "without a reason"},
		"left out and tested":              {out, colTest, "`controllers: TestCancelInTime`", "has a test or a chapter"},
		"left out and shown":               {out, colDemo, "Sell", "has a test or a chapter"},
		"left out, see nowhere":            {out, colPlace, "left out: see [there](there.md)", "leads nowhere"},
	} {
		t.Run(name, func(t *testing.T) {
			cells := slices.Clone(tc.row)
			cells[tc.column] = tc.cell
			switch err := r.check(cells); {
			case tc.want == "" && err != nil:
				t.Error(err)
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
	if err := r.check(good[:4]); err == nil || !strings.Contains(err.Error(), "4 cells") {
		t.Errorf("a row without a chapter: %v", err)
	}
}

// What is wrong with the form of the page is found.
func TestFaultsOfThePage(t *testing.T) {
	const good = "# Page\n\n## One\n\n### Rules\n\n" + header + "\n|---|---|---|---|---|\n| S-1 | a | b | c | d |\n| S-2 | a | b | c | d |\n\n## Two\n\n### More\n\n" +
		header + "\n|---|---|---|---|---|\n| M-1 | a | b | c | d |\n"
	for name, tc := range map[string]struct {
		old, with string
		rows      int
		want      string
	}{
		"nothing":                     {"", "", 3, ""},
		"a number twice":              {"| S-2 ", "| S-1 ", 3, "S-1 comes where S-2 should"},
		"a number is missing":         {"| S-2 ", "| S-3 ", 3, "S-3 comes where S-2 should"},
		"another letter":              {"| S-2 ", "| V-2 ", 3, "V-2 comes where S-2 should"},
		"the letter of another":       {"| M-1 ", "| S-1 ", 3, `"Two" has the letter of "One"`},
		"no number":                   {"| S-2 ", "| two ", 3, `"two" is no number`},
		"a heading without rows":      {"## Two", "### Notes\n\nNone.\n\n## Two", 3, `heading "Notes" has no statement`},
		"a table without a heading":   {"### More\n\n", "", 3, "under no document and heading"},
		"a table with other columns":  {header + "\n|---|---|---|---|---|\n| M-1", "| # | a |\n|---|---|\n| M-1", 2, `heading "More" has no statement`},
		"a table that is interrupted": {"| S-2 ", "\n| S-2 ", 2, "S-2 | a | b | c | d | is in no table"},
	} {
		t.Run(name, func(t *testing.T) {
			rows, faults := parse(strings.Replace(good, tc.old, tc.with, 1))
			if got := strings.Join(faults, "; "); len(rows) != tc.rows || (got == "") != (tc.want == "") || !strings.Contains(got, tc.want) {
				t.Errorf("%d rows, %q; want %d, %q", len(rows), got, tc.rows, tc.want)
			}
		})
	}
}
