package notify

import (
	"flag"
	"html"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/terms"
)

var update = flag.Bool("update", false, "write the golden files anew")

// notification is one of a purchase, changed as wanted.
func notification(change ...func(*v1alpha1.NotificationSpec)) *v1alpha1.Notification {
	n := &v1alpha1.Notification{
		ObjectMeta: metav1.ObjectMeta{Namespace: "contoso", Name: "power-bi.0123456789abcdef"},
		Spec: v1alpha1.NotificationSpec{
			Notice: string(terms.TrialEnding), To: "ada@contoso.example", Product: "Power BI Pro",
			Text: "the trial ends at 2027-03-08T12:00:00Z; set spec.autoRenew to true to go on", At: metav1.NewTime(now),
			Regarding: v1alpha1.NotificationSubject{Kind: "SelfServicePurchase", Reference: v1alpha1.Reference{Name: "power-bi"}},
		},
	}
	for _, f := range change {
		f(&n.Spec)
	}
	return n
}

// command is one that HTML has to escape, with two blanks that matter.
const command = `kubectl -n contoso patch pagr contoso-2026 --type=merge -p '{"spec":{"removedPartners":["gail's  team <&>"]}}'`

// partners are notices about an agreement or a registration, and no product.
var partners = map[terms.Notice]*v1alpha1.Notification{
	terms.AdministratorsInvited: aboutPartners("contoso", "PartnerAgreement", "contoso-2026", "nobody is named in spec.administrators of contoso-2026 in namespace contoso\n"+
		"tell whoever runs the licence service who administers contoso, by the names that the cluster knows them by. Each sees his own with:\nkubectl auth whoami"),
	terms.PartnerAdded: aboutPartners("contoso", "PartnerAgreement", "contoso-2026", "User gail@northwind.example, registered from namespace northwind, has the role license-operator-admin-agent in namespace contoso\n"+
		"to end it, delete the RoleBinding:\nkubectl -n contoso delete rolebinding license-operator-partner-gail-northwind-example-73f1084240be43292c38182942ec31d2\nor list the partner under spec.removedPartners:\n"+
		"kubectl -n contoso edit partneragreement contoso-2026"),
	terms.AccessGranted: aboutPartners("northwind", "PartnerRegistration", "contoso", "User gail@northwind.example has the role license-operator-admin-agent in namespace contoso. See what is there:\nkubectl -n contoso get swsub,mpsub"),
	terms.AccessEnded:   aboutPartners("northwind", "PartnerRegistration", "contoso", "User gail@northwind.example has no access to namespace contoso any more: the customer has taken it away"),
}

func aboutPartners(namespace, kind, name, text string) *v1alpha1.Notification {
	n := notification(func(s *v1alpha1.NotificationSpec) {
		s.Product, s.Text, s.Regarding = "", text, v1alpha1.NotificationSubject{Kind: kind, Reference: v1alpha1.Reference{Name: name}}
	})
	n.Namespace = namespace
	return n
}

var now = time.Date(2027, 3, 1, 12, 0, 0, 0, time.UTC)

// Every notice that is mailed has words of its own, in both forms. Read them in
// testdata; -update writes them anew.
func TestWordsOfEachNotice(t *testing.T) {
	golden := map[string]string{}
	for _, notice := range append(terms.MailedNotices(), "SomethingElse") {
		if _, ok := templates[string(notice)]; !ok && notice != "SomethingElse" {
			t.Errorf("%s has no template: write templates/%[1]s.txt and templates/%[1]s.html", notice)
			continue
		}
		n, tells := notification(), []string{"Power BI Pro", "The trial ends at 2027-03-08T12:00:00Z; set spec.autoRenew to true to go on.", "purchase", "power-bi", "contoso"}
		if about, ok := partners[notice]; ok {
			n, tells = about, []string{kinds[about.Spec.Regarding.Kind], about.Spec.Regarding.Name, about.Namespace}
			tells = append(tells, strings.Split(about.Spec.Text, "\n")[1:]...)
		}
		n.Spec.Notice = string(notice)
		out, err := render(n)
		if err != nil {
			t.Fatal(err)
		}
		for _, content := range []string{out.subject + "\n" + out.plain, out.html} {
			for _, part := range tells {
				if !strings.Contains(strings.ToLower(content), strings.ToLower(part)) {
					t.Errorf("%s does not tell %q:\n%s", notice, part, content)
				}
			}
		}
		golden[string(notice)+".txt"] = "Subject: " + out.subject + "\n\n" + out.plain
		golden[string(notice)+".html"] = out.html
	}
	if *update {
		if err := os.RemoveAll("testdata"); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, content := range golden {
		path := filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if want, err := os.ReadFile(path); err != nil || string(want) != content {
			t.Errorf("%s is not in testdata (%v): read it, and if it is well run with -update:\n%s", name, err, content)
		}
	}
	if there, err := os.ReadDir("testdata"); err != nil || len(there) != len(golden) {
		t.Errorf("testdata has %d files, and %d are wanted: %v", len(there), len(golden), err)
	}
	for name := range templates {
		if _, used := golden[name+".txt"]; !used && name != otherwise {
			t.Errorf("no mail has the template %s", name)
		}
	}
}

// Instants are written for people, in UTC.
func TestWordsOfAnInstant(t *testing.T) {
	for at, want := range map[string]string{
		"2026-11-21T14:03:59Z": "21 November 2026 at 14:03 UTC", "2027-01-01T00:30:00+02:00": "31 December 2026 at 22:30 UTC", "2028-02-29T09:05:00Z": "29 February 2028 at 09:05 UTC",
	} {
		told, err := time.Parse(time.RFC3339, at)
		if err != nil {
			t.Fatal(err)
		}
		out, err := render(notification(func(s *v1alpha1.NotificationSpec) { s.At = metav1.NewTime(told) }))
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{out.plain, out.html} {
			if !strings.Contains(text, "It tells of "+want+". ") {
				t.Errorf("%s is not %q in %s", at, want, text)
			}
		}
	}
}

// What a catalogue or a customer names things cannot change what a mail is.
func TestRenderTellsAndDoesNotObey(t *testing.T) {
	for name, change := range map[string]func(*v1alpha1.NotificationSpec){
		"line breaks": func(s *v1alpha1.NotificationSpec) {
			s.Product, s.Text = "Power\r\nBcc: eve@example.com", "one\r\n\r\ntwo"
		},
		"markup": func(s *v1alpha1.NotificationSpec) {
			s.Product, s.Text = `<script>alert(1)</script>`, `<a href="https://evil.example">click</a> {{.Name}}`
		},
		"invisible": func(s *v1alpha1.NotificationSpec) { s.Product = "a\u202eb\u2028c\x00d" },
		"a template": func(s *v1alpha1.NotificationSpec) {
			s.Product, s.Text = "{{.Namespace}}", "{{template \"layout.txt\"}}"
		},
		"very long": func(s *v1alpha1.NotificationSpec) {
			s.Product, s.Text = strings.Repeat("ä", 256), strings.Repeat("ö", 1024)
		},
		"a name of the file": func(s *v1alpha1.NotificationSpec) { s.Notice = "layout" },
		"nothing":            func(s *v1alpha1.NotificationSpec) { s.Product, s.Text, s.Regarding.Kind = "", "", "" },
	} {
		out, err := render(notification(change))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if strings.ContainsAny(out.subject, "\r\n\x00\u202e\u2028") || out.subject == "" || len([]rune(out.subject)) > 150 {
			t.Errorf("%s: subject %q", name, out.subject)
		}
		if strings.Contains(out.html, "<script") || strings.Contains(out.html, "<a ") || strings.ContainsAny(out.plain, "\r\x00\u202e") {
			t.Errorf("%s: %s\n%s", name, out.plain, out.html)
		}
	}
}

// A command can be copied out of both forms as it was written, whatever is in it:
// it stands on a line of its own, without a full stop.
func TestCommandsSurvive(t *testing.T) {
	for name, tc := range map[string]struct {
		text string
		want []line
	}{
		"quotes, braces and two blanks": {"end it:\n" + command, []line{{"End it:", false}, {command, true}}},
		"one between sentences":         {"run\r\n  kubectl get pagr \nand look", []line{{"Run.", false}, {"kubectl get pagr", true}, {"And look.", false}}},
		"invisible characters":          {"kubectl get\u202e \u200bpagr\x00\tx", []line{{"kubectl get pagrx", true}}},
		"a colon":                       {"end it so:\n\n\nkubectl version", []line{{"End it so:", false}, {"kubectl version", true}}},
		"a word that begins like one":   {"kubectls are many", []line{{"Kubectls are many.", false}}},
		"nothing":                       {" \n\r\n", nil},
	} {
		t.Run(name, func(t *testing.T) {
			if got := lines(tc.text); !slices.Equal(got, tc.want) {
				t.Fatalf("%+v", got)
			}
			out, err := render(notification(func(s *v1alpha1.NotificationSpec) { s.Text = tc.text }))
			if err != nil {
				t.Fatal(err)
			}
			var copied []string
			for _, block := range strings.Split(out.html, "<pre")[1:] {
				_, block, _ = strings.Cut(block, ">")
				block, _, _ = strings.Cut(block, "</pre>")
				copied = append(copied, html.UnescapeString(block))
			}
			for _, l := range tc.want {
				if l.Command && (!slices.Contains(copied, l.Text) || !strings.Contains(out.plain, "\n    "+l.Text+"\n")) {
					t.Errorf("%s is not in\n%s\n%s", l.Text, out.plain, out.html)
				}
			}
		})
	}
}

func TestSentence(t *testing.T) {
	for in, want := range map[string]string{
		"it has 5 seats": "It has 5 seats.", "Done.": "Done.", "spec.cancelled ends it": "spec.cancelled ends it.", "ändert sich": "Ändert sich.", "": "", "why?": "Why?", "do this:": "Do this:",
	} {
		if got := sentence(in); got != want {
			t.Errorf("%q: %q", in, got)
		}
	}
}
