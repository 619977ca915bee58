package users

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/test/controlplane"
)

// The tests of this package run the command on a real API server, as users who
// may read what the documentation says is needed and nothing else.

var (
	plane *controlplane.ControlPlane
	live  client.Client // an administrator's

	// Paths of kubeconfigs.
	auditor string // of one who reads purchases and products everywhere
	admin   string // of the administrator of contoso and empty, who knows the catalogue
	blind   string // of an administrator of contoso and empty, who does not
	root    string // of one who may do everything
	nobody  string // of one who may do nothing
)

func TestMain(m *testing.M) { os.Exit(runSuite(m)) }

func runSuite(m *testing.M) int {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "users-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	if plane, err = controlplane.Start(ctx, controlplane.Options{Dir: dir}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer plane.Stop()
	if err := setUp(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

func setUp(ctx context.Context) error {
	if _, err := plane.Run(ctx, "apply", "--server-side", "-k", filepath.Join("..", "..", "config", "crd")); err != nil {
		return err
	}
	if _, err := plane.Run(ctx, "wait", "--for=condition=Established", "crd", "--all"); err != nil {
		return err
	}
	scheme := runtime.NewScheme()
	_ = clientgoscheme.AddToScheme(scheme)
	_ = v1alpha1.AddToScheme(scheme)
	var err error
	if live, err = client.New(plane.Config, client.Options{Scheme: scheme}); err != nil {
		return err
	}
	root = plane.Kubeconfig
	for name, path := range map[string]*string{"dan": &auditor, "ada": &admin, "tom": &blind, "eve": &nobody} {
		if *path, err = plane.UserKubeconfig(name); err != nil {
			return err
		}
	}
	objects := []client.Object{
		role("purchases", "selfservicepurchases", "list"), role("catalogue", "products", "get"),
		everywhere("purchases", "dan"), everywhere("catalogue", "dan", "ada"),
	}
	for _, ns := range []string{"contoso", "empty", "fabrikam", "idle"} {
		objects = append(objects, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}})
	}
	for _, ns := range []string{"contoso", "empty", "idle"} {
		bound := everywhere("purchases", "ada", "tom")
		objects = append(objects, &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "purchases"}, RoleRef: bound.RoleRef, Subjects: bound.Subjects})
	}
	objects = append(objects, product("power-bi-pro", "Power BI Pro"), product("visio-plan-1", "Visio Plan 1"), product("draw", `=HYPERLINK("https://evil.example";"Draw")`))
	for _, o := range objects {
		if err := live.Create(ctx, o); err != nil {
			return err
		}
	}
	return furnish(ctx)
}

func role(name, resource, verb string) *rbacv1.ClusterRole {
	return &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{v1alpha1.GroupVersion.Group}, Resources: []string{resource}, Verbs: []string{verb}},
	}}
}

func everywhere(role string, users ...string) *rbacv1.ClusterRoleBinding {
	b := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: role},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
	}
	for _, user := range users {
		b.Subjects = append(b.Subjects, rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: "User", Name: user})
	}
	return b
}

func product(name, displayName string) *v1alpha1.Product {
	return &v1alpha1.Product{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.ProductSpec{
		DisplayName: displayName,
		SaaS: &v1alpha1.SaaSProduct{PublisherRef: v1alpha1.Reference{Name: "proseware"}, OfferID: name, Plans: []v1alpha1.Plan{
			{ID: "standard", DisplayName: "Standard", Seats: &v1alpha1.SeatBounds{Min: 1, Max: 100}},
		}},
		Terms: []v1alpha1.TermOffer{{Term: v1alpha1.TermMonth, Price: v1alpha1.Money{Amount: "10.00", Currency: "EUR"}}},
	}}
}

// furnish gives contoso and fabrikam some of everything, and idle only what
// nobody uses.
func furnish(ctx context.Context) error {
	trial := func(p *v1alpha1.SelfServicePurchase) {
		p.Spec.Type, p.Status.State, p.Status.Price = v1alpha1.SelfServiceTrial, v1alpha1.SelfServiceOnTrial, nil
		p.Status.Next.Event = "Expires"
	}
	ended := func(state v1alpha1.SelfServiceState, at string) func(*v1alpha1.SelfServicePurchase) {
		return func(p *v1alpha1.SelfServicePurchase) {
			s := &p.Status
			s.State, s.EndedAt, s.Next = state, stamp(at), nil // the state counts, whoever is listed
		}
	}
	for _, p := range []*v1alpha1.SelfServicePurchase{
		purchase("contoso", "reports", "power-bi-pro", "heidi", 5, []v1alpha1.User{"judy@contoso.example", "heidi@contoso.example"}),
		purchase("contoso", "a-report", "power-bi-pro", "ivan", 1, []v1alpha1.User{"ivan@contoso.example"}),
		purchase("contoso", "drawing", "visio-plan-1", "heidi", 2, []v1alpha1.User{"heidi@contoso.example"}, trial),
		purchase("contoso", "drawings", "visio-plan-1", "heidi", 3, nil),
		purchase("contoso", "no-more", "power-bi-pro", "heidi", 3, []v1alpha1.User{"gone@contoso.example"}, ended(v1alpha1.SelfServiceDeleted, "2026-10-20T08:00:00Z")),
		purchase("contoso", "tried", "draw", "ivan", 1, nil, trial, ended(v1alpha1.SelfServiceExpired, "2026-10-31T00:00:00Z")),
		purchase("contoso", "wanted", "visio-plan-1", "ivan", 4, nil, func(p *v1alpha1.SelfServicePurchase) { // not yet looked at
			p.Status = v1alpha1.SelfServicePurchaseStatus{ObservedGeneration: -1}
		}),
		// Everybody may be called something that a spreadsheet takes for a formula.
		purchase("contoso", "sketch", "draw", "@mallory;=1+1", 9, []v1alpha1.User{"=cmd|'/c", "+49", "-1@contoso.example", "@sum(a1)", "a;=b", `q"=b`, "'=c", "＝d", "né@contoso.example"}),
		purchase("fabrikam", "reports", "power-bi-pro", "oscar", 2, []v1alpha1.User{"oscar@fabrikam.example"}),
		purchase("fabrikam", "forever", "gone-product", "oscar", 1, []v1alpha1.User{"oscar@fabrikam.example"}, func(p *v1alpha1.SelfServicePurchase) {
			p.Status.Term.EndsAt, p.Status.Next = nil, nil
		}),
		purchase("idle", "unused", "power-bi-pro", "sybil", 2, nil),
	} {
		status := p.Status
		if err := live.Create(ctx, p); err != nil {
			return err
		}
		p.Status = status
		if err := live.Status().Update(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// purchase is one of a month that renews, and whose users have access.
func purchase(customer, name, product, purchaser string, quantity int64, users []v1alpha1.User, change ...func(*v1alpha1.SelfServicePurchase)) *v1alpha1.SelfServicePurchase {
	email := strings.Trim(strings.NewReplacer("@", "", ";", "", "=", "").Replace(purchaser), "+-") + "@" + customer + ".example"
	p := &v1alpha1.SelfServicePurchase{
		ObjectMeta: metav1.ObjectMeta{Namespace: customer, Name: name},
		Spec: v1alpha1.SelfServicePurchaseSpec{
			ProductRef: v1alpha1.Reference{Name: product}, Type: v1alpha1.SelfServicePurchased, Quantity: quantity, PaymentMethod: true,
			Purchaser: v1alpha1.Purchaser{Username: purchaser, Person: v1alpha1.Person{Email: v1alpha1.Email(email)}},
			// Whom the operator has not got to yet has no access.
			AssignedUsers: []v1alpha1.User{"not-yet@" + v1alpha1.User(customer) + ".example"},
		},
		Status: v1alpha1.SelfServicePurchaseStatus{
			ObservedGeneration: 1, State: v1alpha1.SelfServiceActive, PurchasedAt: stamp("2026-10-01T00:00:00Z"), Quantity: quantity,
			Price: &v1alpha1.Money{Amount: fmt.Sprintf("%d.00", 10*quantity), Currency: "EUR"},
			Term:  &v1alpha1.TermStatus{StartsAt: *stamp("2026-10-01T00:00:00Z"), EndsAt: stamp("2026-11-01T00:00:00Z")},
			Next:  &v1alpha1.SelfServiceEvent{Event: "Renews", At: *stamp("2026-11-01T00:00:00Z")},
			Users: users, Assigned: int64(len(users)),
		},
	}
	for _, f := range change {
		f(p)
	}
	return p
}

func stamp(s string) *metav1.Time {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		panic(err)
	}
	return &metav1.Time{Time: t}
}

// run runs the command and returns what it wrote.
func run(t *testing.T, kubeconfig string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	var out, errs bytes.Buffer
	err = Command(t.Context(), append(args, "--kubeconfig", kubeconfig), &out, &errs)
	return out.String(), errs.String(), err
}
