package controllers

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/event"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/license-operator/license-operator/api/v1alpha1"
)

// roleView stands for the cache of Roles: it has those with our label, and it
// can be late.
type roleView struct {
	*view
	late *rbacv1.Role // what it shows instead of the present Role; one without a name: none
	more []v1alpha1.SoftwareSubscription
}

func (v *roleView) Get(ctx context.Context, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
	role, ok := o.(*rbacv1.Role)
	if !ok {
		return v.view.Get(ctx, key, o, opts...)
	}
	if v.late != nil {
		v.late.DeepCopyInto(role)
	} else if err := live.Get(ctx, key, role); err != nil {
		return err
	}
	if role.Labels[v1alpha1.LabelManagedBy] != v1alpha1.ManagedByOperator {
		return apierrors.NewNotFound(rbacv1.Resource("roles"), key.Name)
	}
	return nil
}

func (v *roleView) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	err := v.view.List(ctx, list, opts...)
	if subs, ok := list.(*v1alpha1.SoftwareSubscriptionList); ok {
		subs.Items = append(subs.Items, v.more...)
	}
	return err
}

// keyRoles is a shop with the reconciler of its customer's Role.
type keyRoles struct {
	*shop
	seen   *roleView
	events *events.FakeRecorder
	r      *KeyRoleReconciler
}

func newKeyRoles(t *testing.T) *keyRoles {
	t.Helper()
	s := newShop(t, "KEY-0001", "KEY-0002", "KEY-0003")
	seen, recorder := &roleView{view: &view{Client: live}}, events.NewFakeRecorder(10)
	return &keyRoles{shop: s, seen: seen, events: recorder, r: &KeyRoleReconciler{Client: seen, Live: live, Events: recorder}}
}

func (k *keyRoles) key() client.ObjectKey {
	return client.ObjectKey{Namespace: k.customer, Name: KeyRoleName}
}

// tend runs one pass over the Role and returns what was written in it.
func (k *keyRoles) tend() (string, ctrl.Result) {
	k.t.Helper()
	k.seen.writes = nil
	res, err := k.r.Reconcile(k.t.Context(), ctrl.Request{NamespacedName: k.key()})
	if err != nil {
		k.t.Fatal(err)
	}
	return strings.Join(k.seen.writes, ", "), res
}

// told takes an event off those that were written, empty if there is none.
func (k *keyRoles) told() string {
	select {
	case e := <-k.events.Events:
		return e
	default:
		return ""
	}
}

func (k *keyRoles) sell(name string, change ...change) {
	k.t.Helper()
	k.buy(name, change...)
	k.pass(name)
}

func (k *keyRoles) cancel(name string) {
	k.t.Helper()
	sub := &v1alpha1.SoftwareSubscription{ObjectMeta: metav1.ObjectMeta{Namespace: k.customer, Name: name}}
	k.edit(sub, func() { sub.Spec.Cancelled = true })
	k.pass(name)
}

// link has the status of a marketplace subscription, which is made if need be,
// tell that its link is in a Secret, or in none if that is empty.
func (k *keyRoles) link(name, secret string) *v1alpha1.MarketplaceSubscription {
	k.t.Helper()
	sub := &v1alpha1.MarketplaceSubscription{
		ObjectMeta: metav1.ObjectMeta{Namespace: k.customer, Name: name},
		Spec:       v1alpha1.MarketplaceSubscriptionSpec{ProductRef: v1alpha1.Reference{Name: "coffee"}, Term: v1alpha1.TermMonth},
	}
	if err := live.Create(k.t.Context(), sub); apierrors.IsAlreadyExists(err) {
		sub = get(k.t, &v1alpha1.MarketplaceSubscription{}, k.customer, name)
	} else if err != nil {
		k.t.Fatal(err)
	}
	sub.Status.LandingPage = nil
	if secret != "" {
		sub.Status.LandingPage = &v1alpha1.LandingPageStatus{SecretName: secret, ExpiresAt: metav1.NewTime(k.clock.Now().Add(day))}
	}
	if err := live.Status().Update(k.t.Context(), sub); err != nil {
		k.t.Fatal(err)
	}
	return sub
}

func (k *keyRoles) makeSecret(name string, labels map[string]string) {
	k.t.Helper()
	k.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: k.customer, Name: name, Labels: labels}})
}

// role returns the Role as it is on the API server.
func (k *keyRoles) role() *rbacv1.Role {
	k.t.Helper()
	return get(k.t, &rbacv1.Role{}, k.customer, KeyRoleName)
}

// makeRole creates the Role by somebody else's hand.
func (k *keyRoles) makeRole(labels map[string]string, rules ...rbacv1.PolicyRule) {
	k.t.Helper()
	k.create(&rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: k.customer, Name: KeyRoleName, Labels: labels}, Rules: rules})
}

// granted writes what the Role on the API server grants, each rule on a line.
func (k *keyRoles) granted() string {
	k.t.Helper()
	role := &rbacv1.Role{}
	err := live.Get(k.t.Context(), k.key(), role)
	if apierrors.IsNotFound(err) {
		return "no Role"
	}
	if err != nil {
		k.t.Fatal(err)
	}
	if len(role.Rules) == 0 {
		return "nothing"
	}
	var all []string
	for _, r := range role.Rules {
		all = append(all, fmt.Sprintf("%q %q %q %q %q", r.Verbs, r.APIGroups, r.Resources, r.ResourceNames, r.NonResourceURLs))
	}
	return strings.Join(all, "\n")
}

func reads(names ...string) string {
	return fmt.Sprintf("%q %q %q %q %q", []string{"get", "list", "watch"}, []string{""}, []string{"secrets"}, names, []string{})
}

var (
	ours       = map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedByOperator}
	allSecrets = rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"get", "list", "watch"}}
)

// A Role grants the Secrets with keys, and nothing else: above all not all
// Secrets, when there is none with keys.
func TestKeyRole(t *testing.T) {
	const created, updated = "create v1.Role", "update v1.Role"
	for name, tc := range map[string]struct {
		first   func(*keyRoles) // before the first pass
		then    func(*keyRoles) // before the second
		granted string
		writes  string // of the last of these passes
	}{
		"nothing was ever bought": {granted: "no Role"},
		"what was bought waits for its keys": {
			first: func(k *keyRoles) {
				k.sell("sub", func(s *v1alpha1.SoftwareSubscription) { s.Spec.ProductRef.Name = "missing" })
			}, granted: "no Role",
		},
		"what was bought was cancelled before anybody looked": {
			first: func(k *keyRoles) { k.sell("sub"); k.cancel("sub") }, granted: "no Role",
		},
		"one key": {first: func(k *keyRoles) { k.sell("sub") }, granted: reads("sub-key"), writes: created},
		"several keys, sorted": {
			first: func(k *keyRoles) {
				k.sell("a", func(s *v1alpha1.SoftwareSubscription) { s.Spec.SecretName = "z" })
				k.sell("c")
				k.sell("b")
			},
			granted: reads("b-key", "c-key", "z"), writes: created,
		},
		"two that share a Secret": {
			first: func(k *keyRoles) {
				k.sell("a")
				k.sell("b")
				b := get(k.t, &v1alpha1.SoftwareSubscription{}, k.customer, "b")
				b.Status.Keys.SecretName = "a-key"
				if err := live.Status().Update(k.t.Context(), b); err != nil {
					k.t.Fatal(err)
				}
			},
			granted: reads("a-key"), writes: created,
		},
		"another key": {
			first: func(k *keyRoles) { k.sell("b") }, then: func(k *keyRoles) { k.sell("a") },
			granted: reads("a-key", "b-key"), writes: updated,
		},
		"a Secret that was there under the name that was asked for": {
			first: func(k *keyRoles) {
				k.makeSecret("database", nil)
				k.sell("sub", func(s *v1alpha1.SoftwareSubscription) { s.Spec.SecretName = "database" })
			},
			granted: "no Role",
		},
		"a Secret with our label that we did not make": {
			first: func(k *keyRoles) { k.makeSecret("database", ours); k.sell("sub") }, granted: reads("sub-key"), writes: created,
		},
		"keys in another namespace": {
			first: func(k *keyRoles) { other := newKeyRoles(k.t); other.sell("theirs"); k.sell("sub") }, granted: reads("sub-key"), writes: created,
		},
		"one of two is cancelled": {
			first: func(k *keyRoles) { k.sell("a"); k.sell("b") }, then: func(k *keyRoles) { k.cancel("a") },
			granted: reads("b-key"), writes: updated,
		},
		"the last one is cancelled": {
			first: func(k *keyRoles) { k.sell("sub") }, then: func(k *keyRoles) { k.cancel("sub") },
			granted: "nothing", writes: updated,
		},
		"the last one expires": {
			first: func(k *keyRoles) { k.sell("sub", noRenewal) },
			then:  func(k *keyRoles) { k.clock.SetTime(k.clock.Now().Add(400 * day)); k.pass("sub") }, granted: "nothing", writes: updated,
		},
		"the last one is deleted": {
			first: func(k *keyRoles) { k.sell("sub") },
			then: func(k *keyRoles) {
				if err := live.Delete(k.t.Context(), &v1alpha1.SoftwareSubscription{ObjectMeta: metav1.ObjectMeta{Namespace: k.customer, Name: "sub"}}); err != nil {
					k.t.Fatal(err)
				}
			},
			granted: "nothing", writes: updated,
		},
		"the last one is being deleted": {
			first: func(k *keyRoles) {
				k.sell("sub", func(s *v1alpha1.SoftwareSubscription) { s.Finalizers = []string{"example.com/wait"} })
			},
			then: func(k *keyRoles) {
				if err := live.Delete(k.t.Context(), get(k.t, &v1alpha1.SoftwareSubscription{}, k.customer, "sub")); err != nil {
					k.t.Fatal(err)
				}
			},
			granted: "nothing", writes: updated,
		},
		"a link to a publisher's site, and a key": {
			first: func(k *keyRoles) { k.link("coffee", "coffee-landing"); k.sell("sub") }, granted: reads("coffee-landing", "sub-key"), writes: created,
		},
		"a link of an own name, and one more": {
			first: func(k *keyRoles) { k.link("coffee", "z") }, then: func(k *keyRoles) { k.link("tea", "tea-landing") },
			granted: reads("tea-landing", "z"), writes: updated,
		},
		"a link that was not delivered": {
			first: func(k *keyRoles) { k.makeSecret("coffee-landing", ours); k.link("coffee", "") }, granted: "no Role",
		},
		"a link that is delivered no longer": {
			first: func(k *keyRoles) { k.link("coffee", "coffee-landing") }, then: func(k *keyRoles) { k.link("coffee", "") },
			granted: "nothing", writes: updated,
		},
		"a link of a subscription that is being deleted": {
			first: func(k *keyRoles) {
				sub := k.link("coffee", "coffee-landing")
				k.edit(sub, func() { sub.Finalizers = []string{"example.com/wait"} })
			},
			then: func(k *keyRoles) {
				if err := live.Delete(k.t.Context(), get(k.t, &v1alpha1.MarketplaceSubscription{}, k.customer, "coffee")); err != nil {
					k.t.Fatal(err)
				}
			},
			granted: "nothing", writes: updated,
		},
		"a link in another namespace": {
			first: func(k *keyRoles) { newKeyRoles(k.t).link("coffee", "coffee-landing"); k.sell("sub") }, granted: reads("sub-key"), writes: created,
		},
		"somebody grants all Secrets with it": {
			first:   func(k *keyRoles) { k.makeRole(ours, allSecrets); k.sell("sub") },
			granted: reads("sub-key"), writes: updated,
		},
		"somebody grants all Secrets with it, and there is none with keys": {
			first: func(k *keyRoles) { k.makeRole(ours, allSecrets) }, granted: "nothing", writes: updated,
		},
		"somebody adds a rule": {
			first: func(k *keyRoles) { k.sell("sub") },
			then: func(k *keyRoles) {
				role := k.role()
				k.edit(role, func() { role.Rules = append(role.Rules, allSecrets) })
			},
			granted: reads("sub-key"), writes: updated,
		},
		"somebody deletes it": {
			first: func(k *keyRoles) { k.sell("sub") },
			then: func(k *keyRoles) {
				if err := live.Delete(k.t.Context(), k.role()); err != nil {
					k.t.Fatal(err)
				}
			},
			granted: reads("sub-key"), writes: created,
		},
		"somebody deletes it when there is none with keys": {
			first: func(k *keyRoles) {
				k.sell("sub")
				k.tend()
				k.cancel("sub")
			},
			then: func(k *keyRoles) {
				if err := live.Delete(k.t.Context(), k.role()); err != nil {
					k.t.Fatal(err)
				}
			},
			granted: "no Role",
		},
		"the cache does not show yet that it was made": {
			first:   func(k *keyRoles) { k.sell("b") },
			then:    func(k *keyRoles) { k.sell("a"); k.seen.late = &rbacv1.Role{} },
			granted: reads("a-key", "b-key"), writes: updated,
		},
		"the namespace is being deleted": {
			first: func(k *keyRoles) {
				k.sell("sub")
				if err := live.Delete(k.t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: k.customer}}); err != nil {
					k.t.Fatal(err)
				}
			},
			granted: "no Role",
		},
	} {
		t.Run(name, func(t *testing.T) {
			k := newKeyRoles(t)
			if tc.first != nil {
				tc.first(k)
			}
			writes, res := k.tend()
			if tc.then != nil {
				tc.then(k)
				writes, res = k.tend()
			}
			if got := k.granted(); got != tc.granted {
				t.Errorf("the Role grants\n%s\nwant\n%s", got, tc.granted)
			}
			if writes != tc.writes || !res.IsZero() {
				t.Errorf("wrote %q, want %q; %+v", writes, tc.writes, res)
			}
			k.seen.late = nil
			if writes, _ := k.tend(); writes != "" {
				t.Errorf("another pass wrote %q", writes)
			}
		})
	}
}

// What people add to the Role stays, and a stale view of it does no harm.
func TestKeyRoleIsSharedWithPeople(t *testing.T) {
	k := newKeyRoles(t)
	k.sell("b")
	k.tend()
	role := k.role()
	if role.Labels[v1alpha1.LabelManagedBy] != v1alpha1.ManagedByOperator || role.Annotations["kubernetes.io/description"] == "" {
		t.Errorf("metadata %+v", role.ObjectMeta)
	}
	stale := role.DeepCopy()
	k.edit(role, func() { role.Labels["team"] = "it" })

	k.sell("a")
	k.seen.late = stale
	if writes, res := k.tend(); writes != "" || res.RequeueAfter != time.Second {
		t.Errorf("with a stale view: wrote %q, %+v", writes, res)
	}
	k.seen.late = nil
	k.tend()
	if got := k.role(); k.granted() != reads("a-key", "b-key") || got.Labels["team"] != "it" {
		t.Errorf("labels %v, grants %s", got.Labels, k.granted())
	}
}

// A Role of this name that is somebody else's is left alone, and told about
// once for each change of it.
func TestKeyRoleOfSomebodyElse(t *testing.T) {
	k := newKeyRoles(t)
	k.makeRole(map[string]string{v1alpha1.LabelManagedBy: "Helm"}, allSecrets)
	before := k.role()
	if writes, res := k.tend(); writes != "" || !res.IsZero() || len(k.events.Events) > 0 {
		t.Errorf("with no keys: wrote %q, %+v", writes, res)
	}
	k.sell("sub")
	lines := func() int { return strings.Count(logged.String(), `"reason":"RoleNameTaken"`) }
	told := lines()
	for pass, want := range []int{1, 1} {
		if writes, res := k.tend(); writes != "" || res.RequeueAfter != poll {
			t.Errorf("pass %d: wrote %q, %+v", pass, writes, res)
		}
		if got := lines() - told; got != want || len(k.events.Events) != want {
			t.Errorf("pass %d: told %d times in the log and %d in events, want %d", pass, got, len(k.events.Events), want)
		}
	}
	if e := k.told(); !strings.HasPrefix(e, "Warning RoleNameTaken this Role is left alone, because it does not have the label app.kubernetes.io/managed-by: license-operator") {
		t.Errorf("event %q", e)
	}
	role := k.role()
	if role.ResourceVersion != before.ResourceVersion {
		t.Error("it was changed")
	}
	k.edit(role, func() { role.Annotations = map[string]string{"a": "b"} })
	k.tend()
	if got := lines() - told; got != 2 || len(k.events.Events) != 1 {
		t.Errorf("after a change: told %d times in the log and %d in events", got, len(k.events.Events))
	}
	// Whoever gives it our label gives it to us.
	k.edit(role, func() { role.Labels = ours })
	if writes, _ := k.tend(); writes != "update v1.Role" || k.granted() != reads("sub-key") {
		t.Errorf("with our label: wrote %q, it grants %s", writes, k.granted())
	}
}

// A Role with the longest names is taken by etcd, beside all annotations that
// an object can have. What it has no room for is told, once for each change.
func TestKeyRoleHasRoom(t *testing.T) {
	k := newKeyRoles(t)
	sold := func(n int) {
		k.seen.more = nil
		for i := range n {
			name := fmt.Sprintf("%04d-%s", i, strings.Repeat("x", 248))
			k.seen.more = append(k.seen.more, v1alpha1.SoftwareSubscription{Status: v1alpha1.SoftwareSubscriptionStatus{Keys: &v1alpha1.IssuedKeys{SecretName: name}}})
		}
	}
	sold(1)
	k.tend()
	role := k.role()
	k.edit(role, func() { role.Annotations["all"] = strings.Repeat("x", 256<<10-500) })

	sold(5000)
	k.tend()
	if rules := k.role().Rules; len(rules) != 1 || len(rules[0].ResourceNames) != 5000 || len(rules[0].ResourceNames[0]) != 253 || len(k.events.Events) != 0 {
		t.Fatalf("%d rules, %d events", len(rules), len(k.events.Events))
	}
	for pass, tc := range []struct {
		sold, first    int // Secrets, without the first so many
		writes, events string
	}{
		{5001, 0, "", "no room in this Role for 1 Secret, the last by name"},
		{5001, 0, "", ""},
		{5003, 0, "", "no room in this Role for 3 Secrets, the last by name"},
		{5003, 1, "update v1.Role", "no room in this Role for 2 Secrets, the last by name"},
		{5003, 1, "", ""},
		{5003, 3, "update v1.Role", ""},
	} {
		sold(tc.sold)
		k.seen.more = k.seen.more[tc.first:]
		writes, res := k.tend()
		if n := len(k.role().Rules[0].ResourceNames); n != 5000 || writes != tc.writes || !res.IsZero() {
			t.Errorf("pass %d: wrote %q, %d names, %+v", pass, writes, n, res)
		}
		told := k.told()
		if (told == "") != (tc.events == "") || !strings.Contains(told, tc.events) || len(k.events.Events) > 0 {
			t.Errorf("pass %d: told %q, want %q", pass, told, tc.events)
		}
	}
}

// Passes over a namespace start at least a second apart, however many events
// there are, however long a pass takes and however it ends.
func TestKeyRolePassesAreASecondApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := priorityqueue.New("keyrole", func(o *priorityqueue.Opts[reconcile.Request]) { o.RateLimiter = keyRoleBackoff() })
		start := time.Now()
		go func() {
			sub := &v1alpha1.SoftwareSubscription{ObjectMeta: metav1.ObjectMeta{Namespace: "contoso"}}
			role := &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: "contoso", Name: KeyRoleName}}
			for range 1000 { // 40 seconds
				keyRoleLater.Create(t.Context(), event.CreateEvent{Object: sub}, q)
				time.Sleep(13 * time.Millisecond)
				keyRoleLater.Update(t.Context(), event.UpdateEvent{ObjectOld: sub, ObjectNew: sub}, q)
				time.Sleep(13 * time.Millisecond)
				keyRoleLater.Delete(t.Context(), event.DeleteEvent{Object: role}, q)
				time.Sleep(14 * time.Millisecond)
			}
			time.Sleep(time.Minute)
			q.ShutDown()
		}()
		var starts []time.Duration
		for pass := 0; ; pass++ {
			req, down := q.Get()
			if down {
				break
			}
			starts = append(starts, time.Since(start))
			time.Sleep([]time.Duration{0, 5 * time.Millisecond, 990 * time.Millisecond, 1700 * time.Millisecond}[pass/3%4])
			switch pass % 3 {
			case 0:
				q.AddRateLimited(req) // it failed
			case 1:
				q.Forget(req)
				q.AddAfter(req, keyRoleEvery) // it met another writer
			}
			q.Done(req)
		}
		if len(starts) < 25 || starts[0] < time.Second {
			t.Fatalf("passes at %v", starts)
		}
		for i := 1; i < len(starts); i++ {
			if starts[i]-starts[i-1] < time.Second {
				t.Errorf("passes at %v and %v", starts[i-1], starts[i])
			}
		}
	})
}

// A subscription of either kind wakes the Role under a manager. Each has a
// customer of its own, because a Role that was written wakes itself.
func TestKeyRoleIsWoken(t *testing.T) {
	keys, link := newKeyRoles(t), newKeyRoles(t)
	mgr, err := ctrl.NewManager(apiServer, ctrl.Options{
		Scheme: scheme, Cache: CacheOptions([]string{keys.customer, link.customer}), Metrics: metricsserver.Options{BindAddress: "0"}, HealthProbeBindAddress: "0",
	})
	if err != nil {
		t.Fatal(err)
	}
	r := &KeyRoleReconciler{Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Events: mgr.GetEventRecorder("license-operator")}
	if err := r.SetupWithManager(mgr); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- mgr.Start(ctx) }()
	keys.sell("sub")
	link.link("coffee", "coffee-landing")
	for k, want := range map[*keyRoles]string{keys: reads("sub-key"), link: reads("coffee-landing")} {
		for deadline := time.Now().Add(20 * time.Second); k.granted() != want; time.Sleep(20 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("the Role grants %s, want %s", k.granted(), want)
			}
		}
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// What else changes of a subscription does not wake it.
func TestKeyRoleIsWokenByDeliveries(t *testing.T) {
	software := func(secret string) client.Object {
		return &v1alpha1.SoftwareSubscription{Status: v1alpha1.SoftwareSubscriptionStatus{State: "Active", Keys: &v1alpha1.IssuedKeys{SecretName: secret}}}
	}
	service := func(secret string) client.Object {
		return &v1alpha1.MarketplaceSubscription{Status: v1alpha1.MarketplaceSubscriptionStatus{LandingPage: &v1alpha1.LandingPageStatus{SecretName: secret}}}
	}
	gone := service("a")
	gone.SetDeletionTimestamp(&metav1.Time{Time: time.Now()})
	for name, tc := range map[string]struct {
		before, after client.Object
		wakes         bool
	}{
		"keys are delivered":         {&v1alpha1.SoftwareSubscription{}, software("a"), true},
		"a link is delivered":        {&v1alpha1.MarketplaceSubscription{}, service("a"), true},
		"a link is in another place": {service("a"), service("b"), true},
		"a link is there no longer":  {service("a"), &v1alpha1.MarketplaceSubscription{}, true},
		"a service is being deleted": {service("a"), gone, true},
		"something else of software": {software("a"), software("a"), false},
		"something else of services": {service("a"), service("a"), false},
	} {
		if got := deliveryChanged.Update(event.UpdateEvent{ObjectOld: tc.before, ObjectNew: tc.after}); got != tc.wakes {
			t.Errorf("%s: wakes %v", name, got)
		}
	}
}

// Of Secrets, Roles and RoleBindings the manager's cache holds only those with our label.
func TestCacheHoldsOnlyOurs(t *testing.T) {
	for o, by := range CacheOptions(nil).ByObject {
		if by.Label == nil || !by.Label.Matches(labels.Set(ours)) || by.Label.Matches(labels.Set{}) {
			t.Errorf("%T: selector %v", o, by.Label)
		}
	}
	if n := len(CacheOptions(nil).ByObject); n != 3 {
		t.Errorf("%d kinds, want Secrets, Roles and RoleBindings", n)
	}
}
