package install_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/license-operator/license-operator/internal/install"
)

const key = "DEMOK-6Y7X8-QGBWV-3WBRY-Q8V6Q"

// golden compares with a file that was read by a person once.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	want, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("got\n%q\nwant\n%q", got, want)
	}
}

func officeOf(t *testing.T, version string) install.Office {
	t.Helper()
	office, ok := install.OfficeOf(version)
	if !ok {
		t.Fatalf("no Office %s", version)
	}
	return office
}

func TestConfigurationReadsLikeThis(t *testing.T) {
	got, err := install.Configuration(officeOf(t, "2024"), key, "fr-FR")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "configuration.xml", got)
}

func TestOfficeOf(t *testing.T) {
	for version, want := range map[string]install.Office{
		"2024": {ProductID: "ProPlus2024Volume", Channel: "PerpetualVL2024"},
		"2021": {ProductID: "ProPlus2021Volume", Channel: "PerpetualVL2021"},
		"2019": {ProductID: "ProPlus2019Volume", Channel: "PerpetualVL2019"},
		"2016": {}, "2027": {}, "": {}, "2024 ": {}, "LTSC 2024": {},
	} {
		if got, ok := install.OfficeOf(version); got != want || ok != (want != install.Office{}) {
			t.Errorf("%q is %v, %v, want %v", version, got, ok, want)
		}
	}
}

// rule is what the documentation allows of an element: its attributes, with a
// check of their values, and the elements in it.
type rule struct {
	required, optional map[string]func(string) bool
	children           []string
}

func anyOf(values ...string) func(string) bool {
	return func(s string) bool { return slices.Contains(values, s) }
}

var anything = func(string) bool { return true }

// The pages are those of learn.microsoft.com, from their sources in
// github.com/MicrosoftDocs/OfficeDocs-DeployOffice:
//
//   - microsoft-365-apps/deploy/office-deployment-tool-configuration-options
//     ("Configuration options for the Office Deployment Tool") has the elements,
//     their attributes, their values, and the channels of Microsoft 365 Apps
//   - office/2019/deploy, office/ltsc/2021/deploy: PIDKEY, product IDs
//   - office/2019/update, office/ltsc/2021/update, office/ltsc/2024/update: the
//     channels of the volume licensed versions
//   - microsoft-365-apps/deploy/overview-deploying-languages-microsoft-365-apps:
//     the culture codes
//
// Elements of the first page that say something in a person's name (Display,
// Remove, RemoveMSI, Property and others) are left out: they have no business
// in what the operator writes.
var documented = map[string]rule{
	"Configuration": {children: []string{"Add"}},
	"Add": {
		optional: map[string]func(string) bool{
			"SourcePath":          anything,
			"Version":             anything,
			"OfficeClientEdition": anyOf("32", "64"),
			"Channel": anyOf("BetaChannel", "CurrentPreview", "Current", "MonthlyEnterprise", "SemiAnnualPreview", "SemiAnnual",
				"PerpetualVL2019", "PerpetualVL2021", "PerpetualVL2024"),
			"DownloadPath":     anything,
			"AllowCdnFallback": anyOf("True", "False"),
			"MigrateArch":      anyOf("TRUE", "FALSE"),
			"OfficeMgmtCOM":    anyOf("True", "False"),
		},
		children: []string{"Product"},
	},
	"Product": {
		required: map[string]func(string) bool{"ID": productID},
		optional: map[string]func(string) bool{
			"PIDKEY":       regexp.MustCompile(`^\w{5}-\w{5}-\w{5}-\w{5}-\w{5}$`).MatchString,
			"MSICondition": anything,
		},
		children: []string{"Language", "ExcludeApp"},
	},
	"Language": {
		required: map[string]func(string) bool{"ID": func(s string) bool {
			return slices.Contains(cultures, s) || anyOf("MatchOS", "MatchPreviousMSI", "MatchInstalled")(s)
		}},
		optional: map[string]func(string) bool{"Fallback": anyOf(cultures...), "TargetProduct": productID},
	},
}

func productID(s string) bool {
	return regexp.MustCompile(`^(ProPlus|Standard|ProjectPro|ProjectStd|VisioPro|VisioStd)(2019|2021|2024)Volume$`).MatchString(s)
}

var cultures = strings.Fields(strings.ToLower(`
	af-ZA sq-AL ar-SA hy-AM as-IN az-Latn-AZ bn-BD bn-IN eu-ES bs-latn-BA bg-BG ca-ES ca-ES-valencia zh-CN zh-TW hr-HR
	cs-CZ da-DK nl-NL en-US en-GB et-EE fi-FI fr-FR fr-CA gl-ES ka-GE de-DE el-GR gu-IN ha-Latn-NG he-IL hi-IN hu-HU
	is-IS ig-NG id-ID ga-IE xh-ZA zu-ZA it-IT ja-JP kn-IN kk-KZ rw-RW sw-KE kok-IN ko-KR ky-KG lv-LV lt-LT lb-LU mk-MK
	ms-MY ml-IN mt-MT mi-NZ mr-IN ne-NP nb-NO nn-NO or-IN ps-AF fa-IR pl-PL pt-PT pt-BR pa-IN ro-RO rm-CH ru-RU gd-GB
	sr-cyrl-RS sr-latn-RS sr-cyrl-BA nso-ZA tn-ZA si-LK sk-SK sl-SI es-ES es-MX sv-SE ta-IN tt-RU te-IN th-TH tr-TR
	uk-UA ur-PK uz-Latn-UZ vi-VN cy-GB wo-SN yo-NG`))

// validate refuses what the documentation does not have.
func validate(text []byte) error {
	d := xml.NewDecoder(bytes.NewReader(text))
	d.Strict = true
	open := []string{""} // the elements around the next token
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		switch token := token.(type) {
		case xml.StartElement:
			name, parent := token.Name.Local, open[len(open)-1]
			if parent == "" && name != "Configuration" || parent != "" && !slices.Contains(documented[parent].children, name) {
				return fmt.Errorf("%q in %q", name, parent)
			}
			if err := validateAttributes(token); err != nil {
				return err
			}
			open = append(open, name)
		case xml.EndElement:
			open = open[:len(open)-1]
		case xml.CharData:
			if strings.TrimSpace(string(token)) != "" {
				return fmt.Errorf("text %q", token)
			}
		}
	}
}

func validateAttributes(e xml.StartElement) error {
	r, seen := documented[e.Name.Local], map[string]bool{}
	for _, a := range e.Attr {
		check := r.required[a.Name.Local]
		if check == nil {
			check = r.optional[a.Name.Local]
		}
		if check == nil || a.Name.Space != "" || seen[a.Name.Local] {
			return fmt.Errorf("attribute %q of %q", a.Name.Local, e.Name.Local)
		}
		if !check(a.Value) {
			return fmt.Errorf("%q as %q of %q", a.Value, a.Name.Local, e.Name.Local)
		}
		seen[a.Name.Local] = true
	}
	for name := range r.required {
		if !seen[name] {
			return fmt.Errorf("%q lacks %q", e.Name.Local, name)
		}
	}
	return nil
}

// What the check is worth: it refuses what the tool would.
func TestValidateRefuses(t *testing.T) {
	text, err := os.ReadFile("testdata/configuration.xml")
	if err != nil {
		t.Fatal(err)
	}
	for name, edit := range map[string][2]string{
		"an edition":                   {`"32"`, `"16"`},
		"a channel":                    {"PerpetualVL2024", "PerpetualVL2023"},
		"a product":                    {"ProPlus2024Volume", "ProPlus2023Volume"},
		"a key without hyphens":        {"-", ""},
		"a culture in capitals":        {"fr-fr", "fr-FR"},
		"a culture that is not one":    {"fr-fr", "fr-de"},
		"an attribute":                 {"PIDKEY", "Pidkey"},
		"an element":                   {"Language", "Languages"},
		"an element at a wrong place":  {"<Add ", "<Language "},
		"an attribute that is lacking": {`Language ID="fr-fr"`, "Language"},
		"text":                         {"</Product>", "?</Product>"},
		"an unfinished file":           {"</Configuration>", ""},
	} {
		if broken := strings.ReplaceAll(string(text), edit[0], edit[1]); broken == string(text) || validate([]byte(broken)) == nil {
			t.Errorf("%s: %q in place of %q is accepted", name, edit[1], edit[0])
		}
	}
}

// Every version with a name of its own, in every language that is documented.
func TestConfigurationIsWhatTheToolTakes(t *testing.T) {
	for _, version := range []string{"2019", "2021", "2024"} {
		for _, tag := range append([]string{"", "fr-FR", "FR-fr", "sr-Latn-RS", "ca-ES-valencia"}, cultures...) {
			text, err := install.Configuration(officeOf(t, version), key, tag)
			if err != nil {
				t.Fatalf("%s %s: %v", version, tag, err)
			}
			if err := validate(text); err != nil {
				t.Errorf("%s %s: %v", version, tag, err)
			}
			var got struct {
				Add struct {
					OfficeClientEdition string `xml:",attr"`
					Product             struct {
						PIDKEY   string `xml:",attr"`
						Language []struct {
							ID string `xml:",attr"`
						}
					}
				}
			}
			if err := xml.Unmarshal(text, &got); err != nil {
				t.Fatal(err)
			}
			id := strings.ToLower(tag)
			if tag == "" {
				id = "MatchOS"
			}
			if got.Add.OfficeClientEdition != "32" || got.Add.Product.PIDKEY != key ||
				len(got.Add.Product.Language) != 1 || got.Add.Product.Language[0].ID != id {
				t.Errorf("%s %s: %+v", version, tag, got)
			}
			if strings.Count(string(text), key) != 1 {
				t.Errorf("%s %s: the key is in more places than one:\n%s", version, tag, text)
			}
			if bytes.Contains(text, []byte("EULA")) {
				t.Errorf("%s %s: accepts licence terms for somebody:\n%s", version, tag, text)
			}
		}
	}
}

func TestConfigurationEscapes(t *testing.T) {
	office := install.Office{ProductID: `"><Remove All="TRUE"/><!--`, Channel: "a&b<c\n"}
	text, err := install.Configuration(office, key, "")
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Add struct {
			Channel string `xml:",attr"`
			Product struct {
				ID string `xml:",attr"`
			}
		}
	}
	if err := xml.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if got.Add.Channel != office.Channel || got.Add.Product.ID != office.ProductID || bytes.Contains(text, []byte("<Remove")) {
		t.Errorf("%+v is in the file as\n%s", office, text)
	}
}

func TestConfigurationRefuses(t *testing.T) {
	office := officeOf(t, "2024")
	for name, tc := range map[string]struct {
		office install.Office
		tag    string
		want   string
	}{
		"an Office without a product ID":       {install.Office{Channel: "PerpetualVL2024"}, "fr-FR", "set officeDeployment of the version"},
		"an Office without a channel":          {install.Office{ProductID: "ProPlus2024Volume"}, "fr-FR", "set officeDeployment of the version"},
		"a language without a region":          {office, "fr", `the language "fr": give it with its region, such as fr-FR`},
		"a language and a script":              {office, "zh-Hant", "give it with its region"},
		"a region in digits":                   {office, "es-419", "give it with its region"},
		"a language that would close the file": {office, `fr-FR"/><!--`, "give it with its region"},
		"a language and a line more":           {office, "fr-FR\n", "give it with its region"},
	} {
		t.Run(name, func(t *testing.T) {
			text, err := install.Configuration(tc.office, key, tc.tag)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("got %v and\n%s", err, text)
			}
			if strings.Contains(err.Error(), key) {
				t.Errorf("the key is in the error: %v", err)
			}
		})
	}
}

func TestActivateScriptReadsLikeThis(t *testing.T) {
	got, err := install.ActivateScript(key)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "activate.cmd", got)
}

// What cmd.exe reads is plain, whatever the code page, and has its line ends.
func TestActivateScriptIsForWindows(t *testing.T) {
	text, err := install.ActivateScript(key)
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(text, []byte("\n")); n < 10 || n != bytes.Count(text, []byte("\r\n")) || n != bytes.Count(text, []byte("\r")) {
		t.Errorf("not each of the %d lines ends with CRLF", n)
	}
	for _, b := range text {
		if b > 0x7e || b < ' ' && b != '\r' && b != '\n' {
			t.Errorf("the byte %#x", b)
		}
	}
	if regexp.MustCompile(`(?i)\b(del|erase|rd|rmdir|format|reg|move|upk|cpky)\b`).Match(text) {
		t.Errorf("it deletes something:\n%s", text)
	}
	if bytes.Count(text, []byte(key)) != 1 || bytes.Contains(text, []byte("$KEY")) {
		t.Errorf("the key is not there once:\n%s", text)
	}
	// An HRESULT is negative: "if errorlevel 1" would take it for success.
	if bytes.Contains(text, []byte("if errorlevel")) {
		t.Error("negative error levels go unnoticed")
	}
	if steps := regexp.MustCompile(`(?m)^cscript .*\r\nif %errorlevel% neq 0 goto failed\r$`).FindAll(text, -1); len(steps) != 2 || bytes.Count(text, []byte("cscript ")) != 2 {
		t.Errorf("not both steps are checked:\n%s", text)
	}
}

// Whatever is not a key could be a command to cmd.exe, or an element to the tool.
func TestOnlyKeysArePutIntoFiles(t *testing.T) {
	for name, bad := range map[string]string{
		"nothing":                        "",
		"a command after the key":        key + "&calc",
		"a command in place of the key":  "&calc",
		"a variable":                     "%PATH%",
		"a variable in the key":          "DEMOK-6Y7X8-QGBWV-3WBRY-%OS%%",
		"a line more":                    key + "\n",
		"a command in a line of its own": key + "\r\ncalc",
		"a line before":                  "\n" + key,
		"quotes":                         `"` + key + `"`,
		"a quote in the key":             `DEMOK-6Y7X8-QGBWV-3WBRY-Q8V"Q`,
		"a caret":                        "DEMOK-6Y7X8-QGBWV-3WBRY-Q8V^Q",
		"a pipe":                         key + "|more",
		"a redirection":                  key + ">x",
		"the end of a tag":               key + `"/>`,
		"small letters":                  strings.ToLower(key),
		"letters that look the same":     strings.Replace(key, "K", "\u212a", 1),
		"no hyphens":                     strings.ReplaceAll(key, "-", ""),
		"a group too few":                key[:23],
		"a group too many":               key + "-ABCDE",
		"space around it":                " " + key + " ",
		"a null byte":                    key + "\x00",
		"a signed key":                   "key/eyJhIjoxfQ==.c2ln",
	} {
		t.Run(name, func(t *testing.T) {
			script, err := install.ActivateScript(bad)
			if err == nil || script != nil {
				t.Errorf("activate.cmd with %q:\n%s", bad, script)
			} else if bad != "" && strings.Contains(err.Error(), bad) {
				t.Errorf("the error tells what may be a secret: %v", err)
			}
			text, err := install.Configuration(officeOf(t, "2024"), bad, "")
			if err == nil || text != nil {
				t.Errorf("configuration.xml with %q:\n%s", bad, text)
			} else if bad != "" && strings.Contains(err.Error(), bad) {
				t.Errorf("the error tells what may be a secret: %v", err)
			}
		})
	}
}
