package notify

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	htmltemplate "html/template"
	"io"
	"io/fs"
	"strings"
	"text/template"
	"unicode"
	"unicode/utf8"

	"github.com/license-operator/license-operator/api/v1alpha1"
)

// The templates of a notice are <notice>.txt and <notice>.html. They define
// "subject" (in the first) and "opening", and "advice" if there is some. The
// layouts put them around the text of the Notification.
//
//go:embed templates
var files embed.FS

// otherwise is the template of notices that have none of their own.
const otherwise = "default"

// mostSubject is how much of a product's name is in a subject, in characters.
const mostSubject = 80

// instant is how people write one.
const instant = "2 January 2006 at 15:04 MST"

// pair is the templates of a notice.
type pair struct {
	plain *template.Template
	html  *htmltemplate.Template
}

var templates = load()

func load() map[string]pair {
	all := map[string]pair{}
	names, err := fs.Glob(files, "templates/*.txt")
	for _, name := range names {
		name = strings.TrimSuffix(strings.TrimPrefix(name, "templates/"), ".txt")
		if name == "layout" {
			continue
		}
		all[name] = pair{
			plain: template.Must(template.ParseFS(files, "templates/layout.txt", "templates/"+name+".txt")),
			html:  htmltemplate.Must(htmltemplate.ParseFS(files, "templates/layout.html", "templates/"+name+".html")),
		}
	}
	if _, ok := all[otherwise]; !ok {
		panic(errors.Join(err, errors.New("the default template is missing")))
	}
	return all
}

// facts is what templates may tell.
type facts struct {
	Product   string // as people call it
	Text      []line // what happened, in sentences
	What      string // it is about: a subscription or a purchase
	Name      string // of that
	Namespace string
	At        string // when that happened, or was to be told; a mail can be late
}

// line is one of a text, on a paragraph of its own.
type line struct {
	Text    string
	Command bool // to be copied into a shell
}

// text is a mail without its headers.
type text struct{ subject, plain, html string }

// kinds of objects, as people call them.
var kinds = map[string]string{
	"MarketplaceSubscription": "subscription",
	"PartnerAgreement":        "partner agreement",
	"PartnerRegistration":     "partner registration",
	"SoftwareSubscription":    "subscription",
	"SelfServicePurchase":     "purchase",
}

// render writes a Notification out by the templates of its notice.
func render(n *v1alpha1.Notification) (text, error) {
	t, ok := templates[n.Spec.Notice]
	if !ok {
		t = templates[otherwise]
	}
	about := n.Spec.Regarding
	f := facts{
		Product: oneLine(n.Spec.Product), Text: lines(n.Spec.Text),
		What: kinds[about.Kind], Name: oneLine(about.Name), Namespace: n.Namespace,
		At: n.Spec.At.UTC().Format(instant),
	}
	if f.Product == "" {
		f.Product = f.Name
	}
	if f.What == "" {
		f.What = oneLine(about.Kind)
	}
	short := f
	if utf8.RuneCountInString(short.Product) > mostSubject {
		short.Product = string([]rune(short.Product)[:mostSubject-3]) + "..."
	}
	var out text
	var err error
	write := func(do func(io.Writer, string, any) error, part string, with facts) string {
		var b bytes.Buffer
		err = errors.Join(err, do(&b, part, with))
		return b.String()
	}
	out.subject = oneLine(write(t.plain.ExecuteTemplate, "subject", short))
	out.plain = write(t.plain.ExecuteTemplate, "layout.txt", f)
	out.html = write(t.html.ExecuteTemplate, "layout.html", f)
	if err != nil {
		return text{}, fmt.Errorf("the templates of %s cannot be filled in: %w", n.Spec.Notice, err)
	}
	return out, nil
}

// oneLine takes out what would begin another line, or is not to be seen.
func oneLine(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }), " ")
}

// lines takes a text apart. A line that begins with kubectl is a command: it
// stays as it is, also without a full stop, so that it does what it says when it
// is copied. Only the operator begins a line: the names and comments that are in
// its texts have no line breaks, by the patterns of their fields in the API, and
// none of them is the first word of a text.
func lines(s string) (all []line) {
	for l := range strings.SplitSeq(s, "\n") {
		if command := visible(l); strings.HasPrefix(command, "kubectl ") {
			all = append(all, line{command, true})
		} else if l := sentence(l); l != "" {
			all = append(all, line{l, false})
		}
	}
	return all
}

// visible takes out what is not to be seen, and leaves the blanks that there are.
func visible(s string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return -1
	}, s))
}

// sentence makes one of a text that an Event has too. What begins with the name
// of a field stays as it is.
func sentence(s string) string {
	s = oneLine(s)
	first, _, _ := strings.Cut(s, " ")
	if r, n := utf8.DecodeRuneInString(s); n > 0 && !strings.Contains(first, ".") {
		s = string(unicode.ToUpper(r)) + s[n:]
	}
	if s != "" && !strings.ContainsAny(s[len(s)-1:], ".!?:") {
		s += "."
	}
	return s
}
