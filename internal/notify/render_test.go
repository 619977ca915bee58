package notify

import (
	"flag"
	"os"
	"path/filepath"
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
		out, err := render(notification(func(s *v1alpha1.NotificationSpec) { s.Notice = string(notice) }))
		if err != nil {
			t.Fatal(err)
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
		for _, part := range []string{"Power BI Pro", "The trial ends at 2027-03-08T12:00:00Z; set spec.autoRenew to true to go on.", "power-bi", "contoso"} {
			if !strings.Contains(content, part) {
				t.Errorf("%s does not tell %q", name, part)
			}
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

func TestSentence(t *testing.T) {
	for in, want := range map[string]string{
		"it has 5 seats": "It has 5 seats.", "Done.": "Done.", "spec.cancelled ends it": "spec.cancelled ends it.", "ändert sich": "Ändert sich.", "": "", "why?": "Why?",
	} {
		if got := sentence(in); got != want {
			t.Errorf("%q: %q", in, got)
		}
	}
}
