package e2e

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/controllers"
	"github.com/license-operator/license-operator/test/apiproxy"
)

func (s *shop) keyRole() (*rbacv1.Role, error) {
	role := &rbacv1.Role{}
	return role, live.Get(s.t.Context(), client.ObjectKey{Namespace: s.customer, Name: controllers.KeyRoleName}, role)
}

// lists waits until the Role has exactly the one rule that lists these Secrets,
// or with none of them no rule.
func (s *shop) lists(secrets ...string) {
	s.t.Helper()
	eventually(s.t, fmt.Sprintf("waiting for the Role to list %q", secrets), func() error {
		role, err := s.keyRole()
		if err != nil {
			return err
		}
		var names []string
		for _, rule := range role.Rules {
			if len(rule.ResourceNames) == 0 {
				return errors.New("a rule for all Secrets")
			}
			names = append(names, rule.ResourceNames...)
		}
		if !slices.Equal(names, secrets) {
			return fmt.Errorf("it lists %q", names)
		}
		return nil
	})
}

// reader binds a person to the Role of the shop's customer, before there is
// one, and returns that person's client.
func (s *shop) reader() client.Client {
	s.t.Helper()
	name := s.name + "-reader"
	s.create(&rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.customer, Name: "readers"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: controllers.KeyRoleName},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: name}},
	})
	config := rest.CopyConfig(cluster.Config)
	config.Impersonate = rest.ImpersonationConfig{UserName: name}
	c, err := client.New(config, client.Options{Scheme: live.Scheme()})
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

// Whoever is bound to the Role reads the keys, as long as they are valid, and
// no other Secret at any time: above all not when there are no keys.
func TestKeyReader(t *testing.T) {
	s := newShop(t, 10)
	startOperator(t, kubeconfig)
	reader := s.reader()
	s.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: s.customer, Name: "database"}})
	s.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{
		Namespace: s.customer, Name: "forged", Labels: map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedByOperator},
	}})
	read := func(namespace, name string) error {
		return reader.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, &corev1.Secret{})
	}
	may := func(name string) {
		t.Helper()
		eventually(t, "waiting to read "+name, func() error { return read(s.customer, name) })
	}
	mayNot := func(name string) {
		t.Helper()
		eventually(t, "waiting not to be allowed to read "+name, func() error {
			if err := read(s.customer, name); !apierrors.IsForbidden(err) {
				return fmt.Errorf("it is answered with %q", apierrors.ReasonForError(err))
			}
			return nil
		})
	}
	nothingElse := func() {
		t.Helper()
		key := metav1.ObjectMeta{Namespace: s.customer, Name: "first-key"}
		for what, err := range map[string]error{
			"another Secret":             read(s.customer, "database"),
			"one with our label":         read(s.customer, "forged"),
			"one of another namespace":   read(operatorNamespace, s.name+"-10"),
			"one that does not exist":    read(s.customer, "nothing"),
			"all":                        reader.List(t.Context(), &corev1.SecretList{}, client.InNamespace(s.customer)),
			"another one by a list":      reader.List(t.Context(), &corev1.SecretList{}, client.InNamespace(s.customer), client.MatchingFields{"metadata.name": "database"}),
			"deleting the key":           reader.Delete(t.Context(), &corev1.Secret{ObjectMeta: key}),
			"changing the key":           reader.Patch(t.Context(), &corev1.Secret{ObjectMeta: key}, client.RawPatch("application/merge-patch+json", []byte(`{"data":null}`))),
			"making a Secret":            reader.Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: s.customer, Name: "made"}}),
			"reading another kind there": reader.List(t.Context(), &v1alpha1.SoftwareSubscriptionList{}, client.InNamespace(s.customer)),
		} {
			if !apierrors.IsForbidden(err) {
				t.Errorf("%s: %v, want that it is forbidden", what, err)
			}
		}
	}

	nothingElse()
	mayNot("first-key")
	s.buy("first")
	s.buy("second", func(sub *v1alpha1.SoftwareSubscription) { sub.Spec.SecretName = "database" }) // which is there
	s.settled("first", v1alpha1.StateActive)
	s.lists("first-key")
	may("first-key")
	if err := reader.List(t.Context(), &corev1.SecretList{}, client.InNamespace(s.customer), client.MatchingFields{"metadata.name": "first-key"}); err != nil {
		t.Errorf("listing the key alone: %v", err)
	}
	nothingElse()

	t.Run("what somebody adds to the Role is taken out", func(t *testing.T) {
		role, err := s.keyRole()
		if err != nil {
			t.Fatal(err)
		}
		role.Rules[0].ResourceNames = nil // all Secrets
		if err := live.Update(t.Context(), role); err != nil {
			t.Fatal(err)
		}
		may("database")
		s.lists("first-key")
		mayNot("database")
		nothingElse()
	})
	t.Run("a Role that somebody deletes comes back", func(t *testing.T) {
		if err := live.Delete(t.Context(), &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: s.customer, Name: controllers.KeyRoleName}}); err != nil {
			t.Fatal(err)
		}
		s.lists("first-key")
		may("first-key")
	})
	t.Run("with the last key gone nothing can be read, whatever comes under its name", func(t *testing.T) {
		if err := s.cancel("first"); err != nil {
			t.Fatal(err)
		}
		s.settled("first", v1alpha1.StateCancelled)
		s.lists()
		mayNot("first-key")
		s.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: s.customer, Name: "first-key"}})
		mayNot("first-key")
		nothingElse()
	})
	t.Run("the next key can be read without another binding", func(t *testing.T) {
		s.buy("third")
		s.lists("third-key")
		may("third-key")
		mayNot("first-key")
		nothingElse()
	})
	t.Run("a subscription is deleted", func(t *testing.T) {
		if err := live.Delete(t.Context(), &v1alpha1.SoftwareSubscription{ObjectMeta: metav1.ObjectMeta{Namespace: s.customer, Name: "third"}}, client.PropagationPolicy(metav1.DeletePropagationOrphan)); err != nil {
			t.Fatal(err)
		}
		s.lists()
		mayNot("third-key")
		nothingElse()
	})
}

// What was changed while no operator ran is put right by the next.
func TestKeyRoleAfterDowntime(t *testing.T) {
	s := newShop(t, 10)
	o := startOperator(t, kubeconfig)
	s.buy("first")
	s.lists("first-key")
	o.kill()
	if err := live.Delete(t.Context(), &v1alpha1.SoftwareSubscription{ObjectMeta: metav1.ObjectMeta{Namespace: s.customer, Name: "first"}}); err != nil {
		t.Fatal(err)
	}
	startOperator(t, kubeconfig)
	s.lists()
}

// A Role of that name that is somebody else's stays as it is, and an event says
// that it is in the way.
func TestKeyRoleNameTaken(t *testing.T) {
	s := newShop(t, 10)
	s.create(&rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: s.customer, Name: controllers.KeyRoleName}})
	before, err := s.keyRole()
	if err != nil {
		t.Fatal(err)
	}
	startOperator(t, kubeconfig)
	s.buy("first")
	eventually(t, "waiting for the event", func() error {
		var list eventsv1.EventList
		if err := live.List(t.Context(), &list, client.InNamespace(s.customer)); err != nil {
			return err
		}
		for _, e := range list.Items {
			if e.Regarding.Kind == "Role" && e.Regarding.Name == controllers.KeyRoleName && e.Reason == "RoleNameTaken" && strings.Contains(e.Note, "left alone") {
				return nil
			}
		}
		return fmt.Errorf("%d other events", len(list.Items))
	})
	if after, err := s.keyRole(); err != nil || after.ResourceVersion != before.ResourceVersion {
		t.Errorf("it was changed: %+v, %v", after, err)
	}
}

// An operator for some customers leaves the Roles of others alone.
func TestKeyRoleOfOtherCustomers(t *testing.T) {
	s, other := newShop(t, 10), newShop(t, 10)
	other.create(&rbacv1.Role{
		ObjectMeta: metav1.ObjectMeta{Namespace: other.customer, Name: controllers.KeyRoleName, Labels: map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedByOperator}},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"get"}, ResourceNames: []string{"old"}}},
	})
	o := startOperator(t, kubeconfig, "--namespaces", s.customer)
	s.buy("first") // when its Role is there, the other would have had its turn
	s.lists("first-key")
	other.lists("old")
	log, err := os.ReadFile(o.log)
	if err != nil || strings.Contains(string(log), "unknown namespace for the cache") {
		t.Errorf("others' namespaces are asked for: %v", err)
	}
}

// However much is bought in a namespace, its Role is written once a second at
// most, also when writes fail and when another process takes over; and what
// comes out is complete.
func TestKeyRoleIsWrittenOnceASecond(t *testing.T) {
	const buyers = 200
	s := newShop(t, buyers+10)
	proxy, through := startProxy(t)
	var mu sync.Mutex
	var at []time.Time
	ways := []apiproxy.Action{apiproxy.Forward, apiproxy.Forward, apiproxy.Respond500, apiproxy.DropAfter, apiproxy.Respond409}
	proxy.SetHook(apiproxy.Hook{Before: func(w apiproxy.Write) apiproxy.Action {
		if w.Resource != "roles" || w.Namespace != s.customer {
			return apiproxy.Forward
		}
		mu.Lock()
		defer mu.Unlock()
		at = append(at, time.Now())
		return ways[(len(at)-1)%len(ways)]
	}})
	writes := func() []time.Time {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(at)
	}
	o := startOperator(t, through)
	s.issuerReady()
	start := time.Now()
	var all []string
	for i := range buyers {
		name := fmt.Sprintf("sub-%03d", i)
		s.buy(name)
		all = append(all, name+"-key")
		if i == buyers/2 {
			o.kill()
			o = startOperator(t, through)
		}
	}
	bought := time.Since(start)
	s.lists(all...)
	eventually(t, "waiting for silence", func() error {
		if w := writes(); time.Since(w[len(w)-1]) < 3*time.Second {
			return errors.New("still writing")
		}
		return nil
	})
	got := writes()
	for i := 1; i < len(got); i++ {
		// A little less than a second, because the way of a request takes more or less time.
		if gap := got[i].Sub(got[i-1]); gap < 900*time.Millisecond {
			t.Errorf("two writes within %v", gap)
		}
	}
	if most := int(got[len(got)-1].Sub(start)/time.Second) + 1; len(got) < 2 || len(got) > most {
		t.Errorf("%d writes, at most %d are due", len(got), most)
	}
	t.Logf("bought within %v: %d writes of the Role", bought, len(got))

	// The next process finds nothing to do.
	o.kill()
	startOperator(t, through)
	s.buy("last")
	s.lists(append([]string{"last-key"}, all...)...)
	if n := len(writes()) - len(got); n < 1 || n > 2 { // one may have failed by the hook
		t.Errorf("%d writes for one more key after a restart", n)
	}
}
