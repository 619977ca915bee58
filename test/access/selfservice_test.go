package access

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
)

const (
	selfService = "license-operator-self-service"
	purchaser   = "license-operator-purchaser"
	keeps       = "license-operator-keep-purchases"
)

// staff are the people of a customer, and what acts for them. No operator runs
// here, so what they are told they are told by the API server.
type staff struct {
	namespace string
	names     map[string]string
	config    map[string]*rest.Config
	client    map[string]client.Client
}

func newStaff(t *testing.T) staff {
	t.Helper()
	ns := customer(t)
	s := staff{ns, map[string]string{}, map[string]*rest.Config{}, map[string]client.Client{}}
	for who, roles := range map[string][]string{
		"erin": {"employee"}, "bob": {"employee"}, "carol": {"customer-admin"}, "dora": {"customer-admin", "employee"}, "agent": {"admin-agent"},
		"pipeline": {"buy-for-others"}, "elsewhere": {"employee"}, "robot": {"employee"},
	} {
		s.names[who], s.config[who] = who+"@"+ns+".example", user(who+"@"+ns+".example")
		subject := userSubject(s.names[who])
		if who == "robot" {
			s.names[who] = "system:serviceaccount:" + ns + ":robot"
			_, s.config[who] = serviceAccount(t, ns, "robot")
			subject = accountSubject(ns, "robot")
		}
		for _, role := range roles {
			bind(t, ns, "license-operator-"+role, subject)
		}
		s.client[who] = clientOf(t, s.config[who])
	}
	bind(t, customer(t), "license-operator-buy-for-others", userSubject(s.names["elsewhere"]))
	// Whoever writes all our kinds by a careless role still holds no other verb.
	create(t, &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "careless-" + ns}, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{ours}, Resources: []string{"*"}, Verbs: strings.Fields(read + " " + write)},
	}})
	s.names["careless"] = "careless@" + ns + ".example"
	s.client["careless"] = clientOf(t, user(s.names["careless"]))
	bind(t, ns, "careless-"+ns, userSubject(s.names["careless"]))
	// Who buys nothing can still be given the rest, as the garbage collector is.
	for who, verbs := range map[string]string{"cleaner": "delete", "collector": "get update patch delete"} {
		create(t, &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: who + "-" + ns}, Rules: []rbacv1.PolicyRule{
			{APIGroups: []string{ours}, Resources: []string{"selfservicepurchases"}, Verbs: strings.Fields(verbs)},
		}})
		s.names[who], s.config[who] = who+"@"+ns+".example", user(who+"@"+ns+".example")
		s.client[who] = clientOf(t, s.config[who])
		bind(t, ns, who+"-"+ns, userSubject(s.names[who]))
	}
	s.names["administrator"], s.client["administrator"] = "administrator@"+ns+".example", clientOf(t, user("administrator@"+ns+".example"))
	bind(t, "", "cluster-admin", userSubject(s.names["administrator"]))
	s.names["master"], s.client["master"] = masterName, live
	for who, ask := range map[string]string{
		"erin": "update selfservicepurchases", "bob": "update selfservicepurchases", "robot": "update selfservicepurchases", "elsewhere": "update selfservicepurchases",
		"dora": "update selfservicepurchases", "pipeline": "buyfor selfservicepurchases", "carol": "create takeovers", "agent": "create takeovers",
		"cleaner": "delete selfservicepurchases", "collector": "delete selfservicepurchases",
	} {
		verb, resource, _ := strings.Cut(ask, " ")
		may(t, s.config[who], ns, verb, ours, resource)
	}
	may(t, s.config["dora"], ns, "create", ours, "takeovers")
	may(t, user(s.names["careless"]), ns, "update", ours, "takeovers")
	may(t, user(s.names["administrator"]), "", "*", "*", "*")
	return s
}

type purchase = v1alpha1.SelfServicePurchase

// buys is a purchase by somebody, changed as a test wants it.
func buys(namespace, username, product string, change ...func(*purchase)) *purchase {
	p := &purchase{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: fmt.Sprintf("purchase-%d", serial.Add(1))},
		Spec: v1alpha1.SelfServicePurchaseSpec{
			ProductRef: v1alpha1.Reference{Name: product}, Type: v1alpha1.SelfServicePurchased, PaymentMethod: true, Quantity: 5,
			Purchaser:     v1alpha1.Purchaser{Username: username, Person: v1alpha1.Person{Email: "erin@contoso.example"}},
			AssignedUsers: []v1alpha1.User{"erin@contoso.example"},
		},
	}
	for _, f := range change {
		f(p)
	}
	return p
}

func trial(p *purchase)     { p.Spec.Type, p.Spec.PaymentMethod = v1alpha1.SelfServiceTrial, false }
func paidTrial(p *purchase) { p.Spec.Type, p.Spec.PaymentMethod = v1alpha1.SelfServiceTrial, true }

func inSelfService(state v1alpha1.SelfServiceState) v1alpha1.SelfServicePurchaseStatus {
	return v1alpha1.SelfServicePurchaseStatus{ObservedGeneration: 1, State: state, PurchasedAt: ptr.To(metav1.NewTime(longAgo))}
}

type policySpec = v1alpha1.SelfServicePolicySpec

func policyOf(namespace, name string, spec policySpec) *v1alpha1.SelfServicePolicy {
	return &v1alpha1.SelfServicePolicy{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Spec: spec}
}

func valued(product string, value v1alpha1.SelfServiceValue) v1alpha1.ProductPolicy {
	return v1alpha1.ProductPolicy{Name: product, Value: value}
}

// policiesFollowed waits until the API server goes by the SelfServicePolicies as
// they are now. It learns of their changes in order, so one more is made, in a
// namespace of its own, and once that refuses, all others are in force.
func policiesFollowed(t *testing.T) {
	t.Helper()
	ns := customer(t)
	create(t, policyOf(ns, "last", policySpec{Default: v1alpha1.SelfServiceBlock}))
	err := poll(t.Context(), func() error {
		err := live.Create(t.Context(), buys(ns, "anybody", "anything"), client.DryRunAll)
		if err == nil || !strings.Contains(err.Error(), "SelfServicePolicy last") {
			return fmt.Errorf("the last policy does not refuse: %w", err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// warnings keeps what the API server warns of.
type warnings struct {
	mu   sync.Mutex
	text []string
}

func (w *warnings) HandleWarningHeader(_ int, _, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text = append(w.text, text)
}

func (w *warnings) taken() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	text := strings.Join(w.text, "\n")
	w.text = nil
	return text
}

// What the policies of a namespace say about buying and trying each product is
// what the API server answers, to whoever asks, also in a dry run.
func TestSelfService(t *testing.T) {
	const (
		allow, trials, block = v1alpha1.SelfServiceAllow, v1alpha1.SelfServiceTrialsOnly, v1alpha1.SelfServiceBlock
		admin                = "your administrator"
	)
	type policies = map[string]policySpec
	type products = []v1alpha1.ProductPolicy
	type tries = map[string]string                       // how a product is had, to the refusal, and the warning; empty: neither
	says := func(policy, what, why, ask string) string { // why begins with * if it is the default
		why = strings.NewReplacer("TrialsOnly", "TrialsOnly: trials that need no payment method", "Block", "Block: neither purchases nor trials", "*", "by default ").Replace(why)
		return fmt.Sprintf("denied request: SelfServicePolicy %s does not allow to %s (%s): ask %s", policy, what, why, ask)
	}
	warns := func(policy, what, why, ask string) string {
		_, text, _ := strings.Cut(says(policy, what, why, ask), "does not allow")
		return "warns: 'license-operator-self-service-audit': would be refused by SelfServicePolicy " + policy + ", were it not in mode Audit: it does not allow" + strings.Replace(text, ": ask", ". Ask", 1)
	}
	full := products{}
	for i := range 499 {
		full = append(full, valued(fmt.Sprintf("%s-%03d", strings.Repeat("a", 60)+strings.Repeat("."+strings.Repeat("b", 60), 3), i), allow))
	}
	full = append(full, valued("visio", block))
	scenarios := map[string]struct {
		policies policies
		tries    tries
	}{
		"no policy":                        {nil, tries{"buy visio": "", "try visio": "", "pay-later visio": ""}},
		"an empty one, as in the original": {policies{"company": {}}, tries{"buy visio": "", "try visio": "", "pay-later visio": ""}},
		"default Block": {policies{"company": {Default: block}}, tries{
			"buy visio": says("company", "buy visio", "*Block", admin), "try visio": says("company", "try visio", "*Block", admin),
			"pay-later visio": says("company", "try visio with a payment method", "*Block", admin),
		}},
		"default TrialsOnly, and whom to ask": {policies{"company": {Default: trials, Contact: "it@contoso.example"}}, tries{
			"buy visio": says("company", "buy visio", "*TrialsOnly", "it@contoso.example"), "try visio": "",
			"pay-later visio": says("company", "try visio with a payment method", "*TrialsOnly", "it@contoso.example"),
		}},
		"listed wins over a stricter default": {policies{"company": {Default: block, Products: products{valued("visio", allow), valued("power-bi", trials)}}}, tries{
			"buy visio": "", "pay-later visio": "", "try power-bi": "", "buy power-bi": says("company", "buy power-bi", "TrialsOnly", admin),
			"buy power-bi-pro": says("company", "buy power-bi-pro", "*Block", admin), "buy power": says("company", "buy power", "*Block", admin),
		}},
		"listed wins over a laxer default": {policies{"company": {Products: products{valued("visio", block), valued("power-bi", trials)}}}, tries{
			"buy visio": says("company", "buy visio", "Block", admin), "try visio": says("company", "try visio", "Block", admin),
			"buy power-bi": says("company", "buy power-bi", "TrialsOnly", admin), "buy planner": "",
		}},
		"several: the strictest default": {policies{"lax": {}, "strict": {Default: block}, "middle": {Default: trials}}, tries{
			"try visio": says("strict", "try visio", "*Block", admin), "buy visio": "does not allow to buy visio",
		}},
		"several: a default over what another lists": {policies{"lists": {Products: products{valued("visio", allow)}}, "company": {Default: trials}}, tries{
			"buy visio": says("company", "buy visio", "*TrialsOnly", admin), "try visio": "",
		}},
		"several: each for its product": {policies{"a": {Products: products{valued("visio", block)}}, "b": {Products: products{valued("planner", block)}}}, tries{
			"buy visio": says("a", "buy visio", "Block", admin), "buy planner": says("b", "buy planner", "Block", admin), "buy power-bi": "",
		}},
		"audit": {policies{"company": {Default: block, Mode: v1alpha1.SelfServiceAudit, Contact: "#licences"}}, tries{
			"buy visio": warns("company", "buy visio", "*Block", "#licences"), "try visio": warns("company", "try visio", "*Block", "#licences"),
		}},
		"audit of trials": {policies{"company": {Default: trials, Mode: v1alpha1.SelfServiceAudit}}, tries{
			"pay-later visio": warns("company", "try visio with a payment method", "*TrialsOnly", admin), "try visio": "",
		}},
		"audit beside an enforcing one": {policies{"next-year": {Default: block, Mode: v1alpha1.SelfServiceAudit}, "company": {Default: trials}}, tries{
			"buy visio": says("company", "buy visio", "*TrialsOnly", admin) + warns("next-year", "buy visio", "*Block", admin),
			"try visio": warns("next-year", "try visio", "*Block", admin),
		}},
		"as many products as there can be": {policies{"company": {Default: allow, Products: full}}, tries{
			"buy visio": says("company", "buy visio", "Block", admin), "buy planner": "",
		}},
		"as many, in mode Audit": {policies{"company": {Default: allow, Products: full, Mode: v1alpha1.SelfServiceAudit}}, tries{
			"buy visio": warns("company", "buy visio", "Block", admin), "buy planner": "",
		}},
	}
	namespaces := map[string]string{}
	for name, s := range scenarios {
		namespaces[name] = customer(t)
		bind(t, namespaces[name], "license-operator-employee", userSubject("shopper"))
		for policy, spec := range s.policies {
			create(t, policyOf(namespaces[name], policy, spec))
		}
	}
	for _, ns := range namespaces {
		may(t, user("shopper"), ns, "create", ours, "selfservicepurchases")
	}
	policiesFollowed(t)
	heard := &warnings{}
	config := user("shopper")
	config.WarningHandler = heard
	as := map[string]client.Client{"an employee": clientOf(t, config)}
	config = rest.CopyConfig(cluster.Config)
	config.WarningHandler = heard
	as["an administrator"] = clientOf(t, config)
	for name, s := range scenarios {
		for what, want := range s.tries {
			for who, c := range as {
				t.Run(name+"/"+what+"/"+who, func(t *testing.T) {
					how, product, _ := strings.Cut(what, " ")
					p := buys(namespaces[name], "shopper", product, map[string]func(*purchase){"buy": func(*purchase) {}, "try": trial, "pay-later": paidTrial}[how])
					want, warning, _ := strings.Cut(want, "warns: ")
					heard.taken()
					for _, dry := range [][]client.CreateOption{{client.DryRunAll}, nil} {
						err := c.Create(t.Context(), p.DeepCopy(), dry...)
						if want == "" {
							checkRefused(t, err, "")
						} else {
							checkRefused(t, err, selfService, want)
						}
						binding := "Validation failed for ValidatingAdmissionPolicy 'license-operator-self-service-audit' with binding "
						if got := strings.ReplaceAll(heard.taken(), binding, ""); got != warning {
							t.Errorf("warned of %q, want %q", got, warning)
						}
					}
				})
			}
		}
	}
}

// What was bought goes on whatever a policy says, and only more of it is refused,
// until the policy has changed or is gone.
func TestSelfServiceGoesOn(t *testing.T) {
	ns := customer(t)
	bind(t, ns, "license-operator-employee", userSubject("keeper"))
	may(t, user("keeper"), ns, "create", ours, "selfservicepurchases")
	keeper := clientOf(t, user("keeper"))
	bought := map[string]*purchase{"purchase": buys(ns, "keeper", "visio"), "trial": buys(ns, "keeper", "visio", trial), "paid trial": buys(ns, "keeper", "visio", paidTrial)}
	for _, p := range bought {
		if err := keeper.Create(t.Context(), p, client.FieldOwner("keeper")); err != nil {
			t.Fatal(err)
		}
	}
	policy := policyOf(ns, "company", policySpec{Default: v1alpha1.SelfServiceBlock})
	create(t, policy)
	policiesFollowed(t)
	change := func(of *purchase, patch string) error {
		return keeper.Patch(t.Context(), of.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(patch)), client.DryRunAll)
	}
	for what, of := range bought {
		product := map[string]string{"purchase": "buy more of visio (by default Block", "trial": "try more of visio (by default Block", "paid trial": "try more of visio with a payment method (by default Block"}[what]
		more := of.DeepCopy()
		more.Spec.Quantity = 6
		applied := fmt.Appendf(nil, `{"apiVersion":"license-operator.io/v1alpha1","kind":"SelfServicePurchase","metadata":{"name":%q},"spec":{"quantity":6}}`, of.Name)
		for how, err := range map[string]error{
			"patch":  change(of, `{"spec":{"quantity":6}}`),
			"also":   change(of, `{"spec":{"quantity":6,"autoRenew":false}}`),
			"update": keeper.Update(t.Context(), more, client.DryRunAll),
			"apply":  keeper.Patch(t.Context(), of.DeepCopy(), client.RawPatch(types.ApplyPatchType, applied), client.FieldOwner("another"), client.ForceOwnership, client.DryRunAll),
		} {
			t.Run("more of a "+what+" by "+how, func(t *testing.T) { checkRefused(t, err, selfService, product) })
		}
		for name, patch := range map[string]string{
			"fewer": `{"spec":{"quantity":1}}`, "users": `{"spec":{"assignedUsers":["ada@contoso.example","bob@contoso.example"]}}`, "no users": `{"spec":{"assignedUsers":null}}`,
			"no renewal": `{"spec":{"autoRenew":false}}`, "its end": `{"spec":{"cancelled":true}}`, "a label": `{"metadata":{"labels":{"a":"b"}}}`,
			"the quantity as it was": `{"spec":{"quantity":5}}`, "by default fewer": `{"spec":{"quantity":null}}`,
		} {
			t.Run(name+" of a "+what, func(t *testing.T) { checkRefused(t, change(of, patch), "") })
		}
		t.Run("its status, of a "+what, func(t *testing.T) {
			checkRefused(t, live.Status().Patch(t.Context(), of.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(`{"status":{"state":"Active"}}`)), client.DryRunAll), "")
		})
	}
	t.Run("an apply creates nothing either", func(t *testing.T) {
		text := `{"apiVersion":"license-operator.io/v1alpha1","kind":"SelfServicePurchase","metadata":{"name":"applied"},
			"spec":{"productRef":{"name":"visio"},"type":"Trial","purchaser":{"username":"keeper","email":"a@contoso.example"}}}`
		err := keeper.Patch(t.Context(), &purchase{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "applied"}}, client.RawPatch(types.ApplyPatchType, []byte(text)), client.FieldOwner("keeper"))
		checkRefused(t, err, selfService, "try visio (by default Block")
	})
	t.Run("a product that is published later", func(t *testing.T) {
		later := existing("")["products"].(*v1alpha1.Product)
		later.Name = "published-later"
		create(t, later)
		checkRefused(t, keeper.Create(t.Context(), buys(ns, "keeper", later.Name)), selfService, "buy published-later (by default Block")
	})
	for _, step := range []struct {
		name  string
		do    func() error
		words string
	}{
		{"trials only", func() error {
			policy.Spec.Default = v1alpha1.SelfServiceTrialsOnly
			return live.Update(t.Context(), policy)
		}, "buy more of visio (by default TrialsOnly"},
		{"audit", func() error { policy.Spec.Mode = v1alpha1.SelfServiceAudit; return live.Update(t.Context(), policy) }, ""},
		{"enforce again", func() error { policy.Spec.Mode = v1alpha1.SelfServiceEnforce; return live.Update(t.Context(), policy) }, "buy more of visio (by default TrialsOnly"},
		{"deleted", func() error { return live.Delete(t.Context(), policy) }, ""},
	} {
		t.Run("the policy changes: "+step.name, func(t *testing.T) {
			if err := step.do(); err != nil {
				t.Fatal(err)
			}
			policiesFollowed(t)
			for what, words := range map[string]string{"purchase": step.words, "paid trial": strings.NewReplacer("buy", "try", "visio", "visio with a payment method").Replace(step.words), "trial": ""} {
				err := change(bought[what], `{"spec":{"quantity":6}}`)
				if words == "" {
					checkRefused(t, err, "")
				} else {
					checkRefused(t, err, selfService, words)
				}
			}
		})
	}
	t.Run("kubectl shows what a policy in mode Audit says", func(t *testing.T) {
		create(t, policyOf(ns, "next-year", policySpec{Default: v1alpha1.SelfServiceBlock, Mode: v1alpha1.SelfServiceAudit}))
		policiesFollowed(t)
		_, err := cluster.Run(t.Context(), "-n", ns, "patch", "sspur", bought["purchase"].Name, "--type=merge", "-p", `{"spec":{"quantity":7}}`, "--warnings-as-errors")
		want := "would be refused by SelfServicePolicy next-year, were it not in mode Audit: it does not allow to buy more of visio (by default Block: neither purchases nor trials). Ask your administrator"
		if err == nil || !strings.Contains(err.Error(), "Warning: Validation failed") || !strings.Contains(err.Error(), want) {
			t.Error(err)
		}
		if err := live.Get(t.Context(), client.ObjectKeyFromObject(bought["purchase"]), bought["purchase"]); err != nil || bought["purchase"].Spec.Quantity != 7 {
			t.Errorf("it has %d, %v", bought["purchase"].Spec.Quantity, err)
		}
	})
}

// Everybody buys as himself, unless RBAC lets him buy for others.
func TestPurchaserIsWhoBuys(t *testing.T) {
	s := newStaff(t)
	for who, c := range s.client {
		for name, username := range map[string]string{
			"himself": s.names[who], "a colleague": "ada@contoso.example", "himself in capitals": strings.ToUpper(s.names[who]), "part of his name": strings.Split(s.names[who], "@")[0] + "@",
			"another account of that name": "system:serviceaccount:another-customer:robot", "a group of his": "system:authenticated",
		} {
			t.Run(who+" for "+name, func(t *testing.T) {
				err := c.Create(t.Context(), buys(s.namespace, username, "visio"), client.DryRunAll)
				switch {
				case slices.Contains([]string{"carol", "agent", "cleaner", "collector"}, who):
					if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "cannot create resource") {
						t.Error(err)
					}
				case username == s.names[who], slices.Contains([]string{"pipeline", "administrator", "master"}, who):
					checkRefused(t, err, "")
				default:
					checkRefused(t, err, purchaser, "you are "+s.names[who]+" and buy as yourself: set spec.purchaser.username to that, and not to "+username, "the verb buyfor")
				}
			})
		}
	}
	t.Run("by an apply", func(t *testing.T) {
		p := fmt.Appendf(nil, `{"apiVersion":"license-operator.io/v1alpha1","kind":"SelfServicePurchase","metadata":{"name":"applied"},
			"spec":{"productRef":{"name":"visio"},"type":"Trial","purchaser":{"username":%q,"email":"a@contoso.example"}}}`, s.names["erin"])
		apply := func(as string) error {
			return s.client[as].Patch(t.Context(), &purchase{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "applied"}}, client.RawPatch(types.ApplyPatchType, p), client.FieldOwner(as))
		}
		checkRefused(t, apply("bob"), purchaser, "you are "+s.names["bob"])
		checkRefused(t, apply("erin"), "")
		// To own some fields of it would stand in her way later.
		checkRefused(t, apply("bob"), purchaser, "only "+s.names["erin"]+", who bought it")
	})
	t.Run("an administrator who acts as somebody is that somebody", func(t *testing.T) {
		as := []string{"-n", s.namespace, "create", "--dry-run=server", "-f", manifest(t, s.names["erin"]), "--as"}
		if out, err := cluster.Run(t.Context(), append(as, s.names["erin"])...); err != nil {
			t.Error(out, err)
		}
		if out, err := cluster.Run(t.Context(), append(as, s.names["bob"])...); err == nil || !strings.Contains(err.Error(), "you are "+s.names["bob"]) {
			t.Error(out, err)
		}
	})
}

// manifest writes a purchase to a file.
func manifest(t *testing.T, username string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "purchase.yaml")
	text := fmt.Sprintf("apiVersion: license-operator.io/v1alpha1\nkind: SelfServicePurchase\nmetadata: {name: from-a-file}\nspec: {productRef: {name: visio}, type: Trial, purchaser: {username: %q, email: a@contoso.example}}\n", username)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Only who bought it changes a purchase, and whoever may buy for others.
func TestPurchaserAssignsUsers(t *testing.T) {
	s := newStaff(t)
	p := buys(s.namespace, s.names["erin"], "visio", func(p *purchase) {
		p.Labels, p.Annotations, p.Finalizers = map[string]string{"a": "b"}, map[string]string{"a": "b"}, []string{"example.com/hold"}
	})
	// Of another one no managed fields tell what was changed.
	bare := p.DeepCopy()
	bare.Name += "-bare"
	for _, p := range []*purchase{p, bare} {
		if err := s.client["erin"].Create(t.Context(), p); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.client["erin"].Patch(t.Context(), bare, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"managedFields":[{}]}}`))); err != nil || len(bare.ManagedFields) > 0 {
		t.Fatal(err, bare.ManagedFields)
	}
	for name, patch := range map[string]string{
		"users": `{"spec":{"assignedUsers":["bob@contoso.example"]}}`, "more": `{"spec":{"quantity":6}}`, "fewer": `{"spec":{"quantity":1}}`,
		"no renewal": `{"spec":{"autoRenew":false}}`, "its end": `{"spec":{"cancelled":true}}`, "a label": `{"metadata":{"labels":{"a":"c"}}}`, "no labels": `{"metadata":{"labels":null}}`,
		"that it may be deleted": `{"metadata":{"annotations":{"license-operator.io/allow-delete":"true"}}}`, "finalizers": `{"metadata":{"finalizers":["example.com/hold","example.com/more"]}}`,
		"no finalizers": `{"metadata":{"finalizers":null}}`, "an owner": `{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"ConfigMap","name":"a","uid":"b"}]}}`,
		"managed fields": `{"metadata":{"managedFields":[{}]}}`, "nothing": `{}`, "what it is": `{"spec":{"quantity":5}}`,
	} {
		for _, p := range []*purchase{p, bare} {
			t.Run(name+" of "+p.Name, func(t *testing.T) {
				same := slices.Contains([]string{"nothing", "what it is"}, name) || p == bare && name == "managed fields"
				for who, c := range s.client {
					err := c.Patch(t.Context(), p.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(patch)), client.DryRunAll)
					switch {
					case slices.Contains([]string{"carol", "agent", "cleaner"}, who):
						if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "cannot patch resource") {
							t.Errorf("%s: %v", who, err)
						}
					case slices.Contains([]string{"erin", "pipeline", "administrator", "master"}, who), same:
						checkRefused(t, err, "")
					default: // dora is an administrator and an employee, and did not buy this; the collector takes nothing away
						checkRefused(t, err, purchaser, "only "+s.names["erin"]+", who bought it, assigns users and changes it. An administrator takes it over with a Takeover")
					}
				}
			})
		}
	}
}

// What an employee or a tool put on a purchase to keep it nobody else takes off,
// but for whoever buys nothing: the garbage collector has to, to delete anything.
func TestPurchasesAreReleased(t *testing.T) {
	s := newStaff(t)
	one, two := metav1.OwnerReference{APIVersion: "v1", Kind: "Namespace", Name: s.namespace}, metav1.OwnerReference{APIVersion: "v1", Kind: "ServiceAccount", Name: "robot"}
	var ns corev1.Namespace
	var robot corev1.ServiceAccount
	if err := errors.Join(live.Get(t.Context(), client.ObjectKey{Name: s.namespace}, &ns), live.Get(t.Context(), client.ObjectKey{Namespace: s.namespace, Name: "robot"}, &robot)); err != nil {
		t.Fatal(err)
	}
	one.UID, two.UID = ns.UID, robot.UID
	stays := buys(s.namespace, s.names["erin"], "visio", func(p *purchase) {
		p.Finalizers, p.OwnerReferences = []string{"example.com/hold", "example.com/more"}, []metav1.OwnerReference{one, two}
	})
	goes := stays.DeepCopy()
	goes.Name += "-goes"
	for _, p := range []*purchase{stays, goes} {
		if err := s.client["erin"].Create(t.Context(), p); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.client["erin"].Delete(t.Context(), goes); err != nil {
		t.Fatal(err)
	}
	refs := func(refs ...metav1.OwnerReference) string {
		raw, err := json.Marshal(map[string]any{"metadata": map[string]any{"ownerReferences": refs}})
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	renamed := one
	renamed.Name = "gone"
	for name, tc := range map[string]struct {
		of       *purchase
		patch    string
		released bool
	}{
		"no finalizers of what goes":                 {goes, `{"metadata":{"finalizers":null}}`, true},
		"fewer finalizers of what goes":              {goes, `{"metadata":{"finalizers":["example.com/more"]}}`, true},
		"finalizers of what stays":                   {stays, `{"metadata":{"finalizers":null}}`, false},
		"fewer of what stays":                        {stays, `{"metadata":{"finalizers":["example.com/more"]}}`, false},
		"no owners":                                  {stays, `{"metadata":{"ownerReferences":null}}`, true},
		"an owner less":                              {stays, refs(two), true},
		"neither owners nor finalizers":              {goes, `{"metadata":{"ownerReferences":null,"finalizers":null}}`, true},
		"neither, of what stays":                     {stays, `{"metadata":{"ownerReferences":null,"finalizers":null}}`, false},
		"another owner":                              {stays, refs(renamed, two), false},
		"an owner less, and finalizers in its stead": {stays, strings.Replace(refs(two), `}]}`, `}],"finalizers":["a.example/b"]}`, 1), false},
		"a label too":                                {goes, `{"metadata":{"finalizers":null,"labels":{"c":"d"}}}`, false},
		"an annotation too":                          {goes, `{"metadata":{"finalizers":null,"annotations":{"license-operator.io/allow-delete":"true"}}}`, false},
		"the spec too":                               {goes, `{"metadata":{"finalizers":null},"spec":{"cancelled":true}}`, false},
		"managed fields of what goes":                {goes, `{"metadata":{"managedFields":[{}]}}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			for who, c := range s.client {
				err := c.Patch(t.Context(), tc.of.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(tc.patch)), client.DryRunAll)
				switch {
				case slices.Contains([]string{"carol", "agent", "cleaner"}, who):
				case slices.Contains([]string{"erin", "pipeline", "administrator", "master"}, who), tc.released && who == "collector":
					checkRefused(t, err, "")
				default:
					checkRefused(t, err, purchaser, "only "+s.names["erin"]+", who bought it")
				}
			}
		})
	}
}

// The garbage collector deletes what has ended with its owner, and not what runs;
// and an owner can be deleted without what it owns.
func TestPurchasesAreCollected(t *testing.T) {
	ns := customer(t)
	owner := func(name string) *corev1.ConfigMap {
		o := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}}
		create(t, o)
		return o
	}
	of := func(o *corev1.ConfigMap, name string, state v1alpha1.SelfServiceState) *purchase {
		p := buys(ns, "erin", "visio", func(p *purchase) {
			p.Name, p.OwnerReferences = name, []metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: o.Name, UID: o.UID, BlockOwnerDeletion: ptr.To(true)}}
		})
		bought(t, p, inSelfService(state))
		return p
	}
	remove := func(o client.Object, how metav1.DeletionPropagation) {
		if err := live.Delete(t.Context(), o, client.PropagationPolicy(how)); err != nil {
			t.Fatal(err)
		}
	}
	gone := func(all ...client.Object) {
		t.Helper()
		err := poll(t.Context(), func() error {
			for _, o := range all {
				if err := live.Get(t.Context(), client.ObjectKeyFromObject(o), o); !apierrors.IsNotFound(err) {
					return fmt.Errorf("%s is there: %w", o.GetName(), err)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	background, foreground, orphans, stays := owner("background"), owner("foreground"), owner("orphans"), owner("stays")
	orphan, inForeground, byItself := of(orphans, "orphan", v1alpha1.SelfServiceActive), of(foreground, "in-foreground", v1alpha1.SelfServiceExpired), of(stays, "by-itself", v1alpha1.SelfServiceDeleted)
	runs, cancelled, neverBought := of(background, "runs", v1alpha1.SelfServiceActive), of(background, "cancelled", v1alpha1.SelfServiceCancelled), of(background, "never-bought", "")
	remove(background, metav1.DeletePropagationBackground)
	gone(background, cancelled, neverBought) // so it knows those that were made before, too
	remove(foreground, metav1.DeletePropagationForeground)
	remove(byItself, metav1.DeletePropagationForeground)
	remove(orphans, metav1.DeletePropagationOrphan)
	gone(foreground, inForeground, byItself, orphans)
	left := &purchase{}
	if err := live.Get(t.Context(), client.ObjectKeyFromObject(orphan), left); err != nil {
		t.Fatal(err)
	}
	if len(left.OwnerReferences) > 0 {
		t.Errorf("the orphan has %v", left.OwnerReferences)
	}
	if err := live.Get(t.Context(), client.ObjectKeyFromObject(runs), runs); err != nil || !runs.DeletionTimestamp.IsZero() {
		t.Errorf("what runs: %v, deleted at %v", err, runs.DeletionTimestamp)
	}
}

// Whoever bought it deletes it, if it does not run. So do others, once the operator
// has looked at it, but for employees who are no administrators.
func TestPurchaserDeletes(t *testing.T) {
	s := newStaff(t)
	allowed := func(p *purchase) { p.Annotations = map[string]string{"license-operator.io/allow-delete": "true"} }
	const end = "Set spec.cancelled to true to end it now"
	stalled := v1alpha1.SelfServicePurchaseStatus{ObservedGeneration: 1, Conditions: []metav1.Condition{{
		Type: v1alpha1.ConditionStalled, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonTrialUsed, LastTransitionTime: metav1.NewTime(longAgo),
	}}}
	for name, tc := range map[string]struct {
		state  v1alpha1.SelfServiceState
		status any // instead of one with that state
		change func(*purchase)
		runs   bool
		unseen bool
		words  string // that the purchaser is told; empty: allowed
	}{
		"nothing was bought": {},
		"it is stalled":      {status: stalled},
		"it has no status":   {status: struct{}{}, unseen: true},
		"it is restored without that the operator looked": {status: map[string]any{"observedGeneration": nil, "message": "bought"}, unseen: true},
		"it runs":           {state: v1alpha1.SelfServiceActive, runs: true, words: "the purchase runs, and deleting it would take it from its users. " + end + ", or spec.autoRenew to false to let the term end. To delete"},
		"it is paid later":  {state: v1alpha1.SelfServiceOnTrial, change: paidTrial, runs: true, words: "the trial runs, and deleting it would take it from its users. " + end + ", or spec.autoRenew"},
		"it is tried":       {state: v1alpha1.SelfServiceOnTrial, change: trial, runs: true, words: end + ". To delete it all the same, first run: kubectl -n " + s.namespace + " annotate selfservicepurchase it-is-tried license-operator.io/allow-delete=true"},
		"it does not renew": {state: v1alpha1.SelfServiceActive, change: func(p *purchase) { p.Spec.AutoRenew = ptr.To(false) }, runs: true, words: end + ". To delete"},
		"cancelled, and the operator has not seen": {state: v1alpha1.SelfServiceActive, change: func(p *purchase) { p.Spec.Cancelled = true }, runs: true, words: "It was cancelled, and ends once the operator has seen that. To delete"},
		"annotated":           {state: v1alpha1.SelfServiceActive, change: allowed, runs: true},
		"annotated otherwise": {state: v1alpha1.SelfServiceActive, change: func(p *purchase) { allowed(p); p.Annotations["license-operator.io/allow-delete"] = "yes" }, runs: true, words: end},
		"expired":             {state: v1alpha1.SelfServiceExpired},
		"cancelled":           {state: v1alpha1.SelfServiceCancelled},
		"taken over":          {state: v1alpha1.SelfServiceDeleted},
	} {
		t.Run(name, func(t *testing.T) {
			p := buys(s.namespace, s.names["erin"], "visio", func(p *purchase) {
				p.Name = strings.NewReplacer(" ", "-", ",", "").Replace(name)
				if tc.change != nil {
					tc.change(p)
				}
			})
			if tc.status == nil {
				tc.status = inSelfService(tc.state)
			}
			bought(t, p, tc.status)
			for who, c := range s.client {
				err := c.Delete(t.Context(), p.DeepCopy(), client.DryRunAll)
				switch {
				case slices.Contains([]string{"erin", "pipeline", "administrator", "master"}, who) && tc.words != "":
					checkRefused(t, err, keeps, tc.words)
				case slices.Contains([]string{"erin", "pipeline", "administrator", "master"}, who):
					checkRefused(t, err, "")
				case slices.Contains([]string{"bob", "robot", "elsewhere"}, who) && !tc.runs:
					checkRefused(t, err, purchaser, "only "+s.names["erin"]+", who bought it, deletes it, or an administrator. You may create SelfServicePurchases and no Takeovers, so you are an employee, who deletes his own only")
				case tc.unseen:
					checkRefused(t, err, purchaser, "only "+s.names["erin"]+", who bought it, deletes it before the operator has looked at it: nothing says yet whether it runs. Wait until it has a status.message, and if it gets none, ask whoever runs the operator")
				case tc.runs:
					checkRefused(t, err, purchaser, "only "+s.names["erin"]+", who bought it, deletes it while it runs. An administrator takes it over with a Takeover, and deletes it then")
				default:
					checkRefused(t, err, "")
				}
			}
		})
	}
	t.Run("a collection", func(t *testing.T) {
		err := live.DeleteAllOf(t.Context(), &purchase{}, client.InNamespace(s.namespace), client.DryRunAll)
		checkRefused(t, err, keeps, "runs, and deleting it")
	})
}

// What only the operator writes: the records of self-service, and all statuses.
func TestSelfServiceIsOnRecord(t *testing.T) {
	ns := customer(t)
	furnish(t, ns)
	c := newCast(t, ns)
	const policy, status = "license-operator-ledger", "license-operator-self-service-status"
	for resource, words := range map[string]string{
		"selfserviceorders": "the ledger is written by the operator alone: buy, change or cancel a SelfServicePurchase instead. To restore the ledger from a backup, use an account that has the verb issue",
		"seats":             "the ledger is written by the operator alone: create or delete a LicenseAssignment instead",
		"notifications":     "the ledger is written by the operator alone: it puts its mails on record here",
	} {
		for who, tc := range map[string]struct {
			as     client.Client
			policy string
		}{
			"the operator under another account": {c.otherOperator, ""}, "an administrator by system:masters": {c.master, ""}, "an administrator by cluster-admin": {c.administrator, ""},
			"somebody whom RBAC lets by carelessly": {c.careless, policy}, "the fulfilment service with more": {c.otherFulfillment, policy},
		} {
			t.Run(resource+"/"+who, func(t *testing.T) {
				entry := existing(ns)[resource]
				again := existing(ns)[resource]
				switch again := again.(type) {
				case *v1alpha1.SelfServiceOrder:
					*again = *order(fmt.Sprintf("another-%d", serial.Add(1)))
				case *v1alpha1.Seat:
					*again = *seat(ns, "existing", int64(serial.Add(1)))
				default:
					again.SetName(fmt.Sprintf("another-%d", serial.Add(1)))
				}
				checkRefused(t, tc.as.Create(t.Context(), again, client.DryRunAll), tc.policy, words)
				checkRefused(t, tc.as.Patch(t.Context(), entry, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":{"a":"b"}}}`)), client.DryRunAll), tc.policy, words)
				checkRefused(t, tc.as.Delete(t.Context(), entry, client.DryRunAll), tc.policy, words)
			})
		}
	}
	for _, resource := range []string{"licenseassignments", "notifications", "selfservicepolicies", "selfservicepurchases", "takeovers"} {
		for who, tc := range map[string]struct {
			as     client.Client
			policy string
		}{
			"the operator under another account": {c.otherOperator, ""}, "an administrator": {c.administrator, ""},
			"somebody whom RBAC lets by carelessly": {c.careless, status}, "the fulfilment service with more": {c.otherFulfillment, status},
		} {
			t.Run("status of "+resource+"/"+who, func(t *testing.T) {
				err := tc.as.Status().Patch(t.Context(), existing(ns)[resource], client.RawPatch(types.MergePatchType, []byte(`{"status":{"observedGeneration":7}}`)), client.DryRunAll)
				checkRefused(t, err, tc.policy, "the status is written by the operator alone")
			})
		}
	}
}
