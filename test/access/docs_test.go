package access

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The commands of docs/roles.md do what it says, for people with certificates
// of their own, and kubectl prints what it shows.
func TestExamplesOfTheDocs(t *testing.T) {
	raw, err := os.ReadFile("../../docs/roles.md")
	if err != nil {
		t.Fatal(err)
	}
	docs := string(raw)
	for _, ns := range []string{"contoso", "northwind"} {
		create(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}})
	}
	bound := 0
	for line := range strings.Lines(docs) {
		command, ok := strings.CutPrefix(strings.TrimSpace(line), "kubectl ")
		binds := strings.Contains(command, "binding ")
		if !ok || !binds && !strings.Contains(command, "fourth-coffee") {
			continue
		}
		if out, err := cluster.Run(t.Context(), strings.Fields(command)...); err != nil {
			t.Fatal(out, err)
		}
		if binds {
			bound++
		}
	}
	if bound != len(roles) {
		t.Fatalf("the docs bind %d roles of %d", bound, len(roles))
	}
	subscription(t, "contoso", "office", active(false, longAgo))
	service(t, "contoso", "coffee", subscribed(false, longAgo))
	kubeconfigs := map[string]string{}
	for user, groups := range map[string][]string{
		"ada@partner.example": {"partner"}, "bob@partner.example": {"partner"}, "carol@contoso.example": nil, "erin@contoso.example": nil, "gail@northwind.example": nil, "dan@audit.example": nil, "pat": {"platform-team"},
	} {
		if kubeconfigs[user], err = cluster.UserKubeconfig(user, groups...); err != nil {
			t.Fatal(err)
		}
	}
	may(t, user("ada@partner.example"), "contoso", "delete", ours, "softwaresubscriptions")

	for line := range strings.Lines(docs) { // as the operator does
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "rolebinding.rbac.authorization.k8s.io/license-operator-partner-"); ok {
			create(t, binding("contoso", "license-operator-partner-"+name, adminAgent, userSubject("gail@northwind.example")))
		}
	}
	t.Run("employees and partners", func(t *testing.T) { runsAsShown(t, docs) })
	for name, tc := range map[string]struct{ who, command, want string }{
		"ada sees what was bought":         {"ada@partner.example", "-n contoso get swsub", "office"},
		"ada sees the catalogue":           {"ada@partner.example", "get products", ""},
		"ada sees the services":            {"ada@partner.example", "-n contoso get mpsub", "coffee"},
		"ada sees no publisher":            {"ada@partner.example", "get publishers", "cannot list resource"},
		"ada may not delete a service":     {"ada@partner.example", "-n contoso delete mpsub coffee", "annotate marketplacesubscription coffee license-operator.io/allow-delete=true"},
		"bob sees the services":            {"bob@partner.example", "-n contoso get mpsub", "coffee"},
		"bob adds no seats":                {"bob@partner.example", `-n contoso patch mpsub coffee --type=merge -p {"spec":{"quantity":9}}`, "cannot patch resource"},
		"bob may buy services":             {"bob@partner.example", "-n contoso auth can-i create mpsub", "yes"},
		"carol suspends no service":        {"carol@contoso.example", `-n contoso patch mpsub coffee --type=merge -p {"spec":{"suspended":true}}`, "cannot patch resource"},
		"dan sees the ledger of services":  {"dan@audit.example", "get entitlements", ""},
		"dan sees the publishers":          {"dan@audit.example", "get publishers", ""},
		"pat lets publishers sell":         {"pat", "auth can-i create publishers", "yes"},
		"ada takes over":                   {"ada@partner.example", "-n contoso auth can-i create takeovers", "yes"},
		"ada makes no policy":              {"ada@partner.example", "-n contoso auth can-i create selfservicepolicies", "no"},
		"bob sees no self-service":         {"bob@partner.example", "-n contoso get sspur", "cannot list resource"},
		"bob sees what employees are told": {"bob@partner.example", "-n contoso auth can-i list events", "yes"},
		"carol sees agreements":            {"carol@contoso.example", "-n contoso get pagr", ""},
		"carol makes no agreement":         {"carol@contoso.example", "-n contoso auth can-i create pagr", "no"},
		"carol makes no RoleBinding":       {"carol@contoso.example", "-n contoso auth can-i create rolebindings", "no"},
		"carol sees no registration":       {"carol@contoso.example", "-n northwind get preg", "cannot list resource"},
		"gail sees her registrations":      {"gail@northwind.example", "-n northwind get preg", "contoso-agents"},
		"gail sees no agreement":           {"gail@northwind.example", "-n contoso get pagr", "cannot list resource"},
		"gail sees what she is told":       {"gail@northwind.example", "-n northwind auth can-i list events", "yes"},
		"dan sees no registration":         {"dan@audit.example", "get preg -A", "cannot list resource"},
		"dan sees who tried in vain":       {"dan@audit.example", "get preq", ""},
		"pat sees registrations":           {"pat", "get preg -A", "contoso-agents"},
		"pat sees who tried in vain":       {"pat", "get preq", ""},
		"pat registers nobody":             {"pat", "-n northwind auth can-i create preg", "no"},
		"ada sees no agreement":            {"ada@partner.example", "-n contoso get pagr", "cannot list resource"},
		"dan sees no agreement":            {"dan@audit.example", "get pagr -A", "cannot list resource"},
		"pat sees agreements":              {"pat", "get pagr -A", ""},
		"erin sees the catalogue":          {"erin@contoso.example", "get products", ""},
		"erin sees the policies":           {"erin@contoso.example", "-n contoso get sspol", "company"},
		"erin sees no publisher":           {"erin@contoso.example", "get publishers", "cannot list resource"},
		"carol takes over":                 {"carol@contoso.example", "-n contoso auth can-i create takeovers", "yes"},
		"dan sees what employees bought":   {"dan@audit.example", "-n contoso get sspur", "erin-planner"},
		"pat makes agreements":             {"pat", "-n contoso auth can-i create partneragreements", "yes"},
		"ada sees no Secret":               {"ada@partner.example", "-n contoso get secrets", "cannot list resource"},
		"ada sees no ledger":               {"ada@partner.example", "get licensekeys", "cannot list resource"},
		"ada sees no other customer":       {"ada@partner.example", "-n default get swsub", "cannot list resource"},
		"bob sees what was bought":         {"bob@partner.example", "-n contoso get swsub", "office"},
		"bob does not change the quantity": {"bob@partner.example", `-n contoso patch swsub office --type=merge -p {"spec":{"quantity":9}}`, "cannot patch resource"},
		"bob does not delete":              {"bob@partner.example", "-n contoso delete swsub office", "cannot delete resource"},
		"carol sees what was bought":       {"carol@contoso.example", "-n contoso get swsub", "office"},
		"carol does not cancel":            {"carol@contoso.example", `-n contoso patch swsub office --type=merge -p {"spec":{"cancelled":true}}`, "cannot patch resource"},
		"dan sees the ledger":              {"dan@audit.example", "get licensekeys", ""},
		"dan sees all customers":           {"dan@audit.example", "get swsub -A", "office"},
		"pat publishes":                    {"pat", "auth can-i create products", "yes"},
		"pat sees no customer":             {"pat", "-n contoso get swsub", "cannot list resource"},
		"ada may not delete what is paid":  {"ada@partner.example", "-n contoso delete swsub office", shown(docs, "delete swsub office")},
		"ada may not cancel it":            {"ada@partner.example", `-n contoso patch swsub office --type=merge -p {"spec":{"cancelled":true}}`, shown(docs, "patch swsub office")},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := cluster.RunAs(t.Context(), kubeconfigs[tc.who], strings.Fields(tc.command)...)
			if err != nil {
				out += err.Error()
			} else if strings.HasPrefix(tc.want, "cannot") {
				t.Error("it was allowed")
			}
			if out = strings.Join(strings.Fields(out), " "); !strings.Contains(out, tc.want) || tc.want == "" && err != nil {
				t.Errorf("kubectl printed %q, want %q", out, tc.want)
			}
		})
	}
	t.Run("bob buys", func(t *testing.T) {
		manifest := t.TempDir() + "/office-lab.yaml"
		text := "apiVersion: license-operator.io/v1alpha1\nkind: SoftwareSubscription\nmetadata: {name: office-lab}\nspec: {productRef: {name: office-ltsc}, term: P1Y}\n"
		if err := os.WriteFile(manifest, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := cluster.RunAs(t.Context(), kubeconfigs["bob@partner.example"], "-n", "contoso", "create", "-f", manifest); err != nil {
			t.Error(out, err)
		}
	})
	t.Run("ada cancels in time", func(t *testing.T) {
		subscription(t, "contoso", "in-time", active(true, time.Now().Add(time.Hour)))
		if out, err := cluster.RunAs(t.Context(), kubeconfigs["ada@partner.example"], "-n", "contoso", "patch", "swsub", "in-time", "--type=merge", "-p", `{"spec":{"cancelled":true}}`); err != nil {
			t.Error(out, err)
		}
	})
}

// shown is what the docs show after a command that contains some words, on one
// line.
func shown(docs, command string) string {
	_, after, _ := strings.Cut(docs, command)
	_, after, _ = strings.Cut(after, "\n")
	after, _, _ = strings.Cut(after, "$ ")
	after, _, _ = strings.Cut(after, "```")
	return strings.Join(strings.Fields(after), " ")
}

// runsAsShown writes the files that the docs show, runs the commands about
// self-service and partners that they show, and compares what is printed.
func runsAsShown(t *testing.T, docs string) {
	dir := t.TempDir() + "/"
	for block := range strings.SplitSeq(docs, "```yaml\n# ") {
		name, text, _ := strings.Cut(block, "\n")
		if text, _, ok := strings.Cut(text, "```"); ok && strings.HasSuffix(name, ".yaml") {
			if err := os.WriteFile(dir+name, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	may(t, user("carol@contoso.example"), "contoso", "create", ours, "selfservicepolicies")
	may(t, user("erin@contoso.example"), "contoso", "create", ours, "selfservicepurchases")
	may(t, user("system:serviceaccount:contoso:pipeline"), "contoso", "patch", ours, "selfservicepurchases")
	may(t, user("carol@contoso.example"), "contoso", "delete", rbac, "rolebindings")
	may(t, user("gail@northwind.example"), "northwind", "create", ours, "partnerregistrations")
	may(t, userIn("pat", "platform-team"), "contoso", "create", ours, "partneragreements")
	ran := 0
	about := []string{"sspur", ".yaml", "frank", "pagr", "preg", "rolebindings", "delete rolebinding"}
	for line := range strings.Lines(docs) {
		command, ok := strings.CutPrefix(strings.TrimSpace(line), "$ kubectl ")
		if !ok || !slices.ContainsFunc(about, func(word string) bool { return strings.Contains(command, word) }) {
			continue
		}
		ran++
		out, err := cluster.Run(t.Context(), strings.Fields(strings.NewReplacer("-f ", "-f "+dir, "'", "").Replace(command))...)
		if err != nil {
			_, out, _ = strings.Cut(err.Error(), "exit status 1: ")
		}
		if got := strings.Join(strings.Fields(strings.ReplaceAll(out, dir, "")), " "); got != shown(docs, command) {
			t.Errorf("%s: it prints %q, the docs show %q", command, got, shown(docs, command))
		}
		switch {
		case strings.Contains(command, "policy.yaml"):
			policiesFollowed(t)
		case strings.Contains(command, "rolebinding frank"):
			may(t, user("frank@contoso.example"), "contoso", "patch", ours, "selfservicepurchases")
		}
	}
	if ran != 23 {
		t.Errorf("%d commands were run, want 23", ran)
	}
}
