package access

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
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
	partnerPolicy   = "license-operator-partner"
	agreementPolicy = "license-operator-agreement"
	bindingsPolicy  = "license-operator-bindings"
	removePolicy    = "license-operator-remove-partner"
	adminAgent      = "ClusterRole license-operator-admin-agent"
	customerAdmin   = "ClusterRole license-operator-customer-admin"
	keysRole        = "Role license-operator-keys"
)

// userIn is somebody whom an administrator impersonates, with his groups.
func userIn(name string, groups ...string) *rest.Config {
	config := user(name)
	config.Impersonate.Groups = append(config.Impersonate.Groups, groups...)
	return config
}

func merge(patch string) client.Patch { return client.RawPatch(types.MergePatchType, []byte(patch)) }

// firms are the people of a partner, and others who act in his namespace.
func firm(t *testing.T) (string, map[string]string, map[string]client.Client) {
	t.Helper()
	ns := customer(t)
	names := map[string]string{
		"gail": "gail@" + ns + ".example", "hugo": "hugo@" + ns + ".example", "gail, who left": "gail@" + ns + ".example",
		"robot": "system:serviceaccount:" + ns + ":robot", "administrator": "administrator@" + ns + ".example", "master": masterName,
	}
	agents := ns + "-agents"
	_, robot := serviceAccount(t, ns, "robot")
	config := map[string]*rest.Config{
		"gail": userIn(names["gail"], agents, "everybody-else"), "hugo": userIn(names["hugo"], agents), "gail, who left": user(names["gail"]),
		"robot": robot, "administrator": user(names["administrator"]),
	}
	bind(t, ns, "license-operator-partner", userSubject(names["gail"]), userSubject(names["hugo"]), accountSubject(ns, "robot"))
	bind(t, "", "cluster-admin", userSubject(names["administrator"]))
	clients := map[string]client.Client{"master": live}
	for who, c := range config {
		may(t, c, ns, "create", ours, "partnerregistrations")
		clients[who] = clientOf(t, c)
	}
	may(t, config["administrator"], "", "*", "*", "*")
	return ns, names, clients
}

func registers(namespace string, partner v1alpha1.Partner) *v1alpha1.PartnerRegistration {
	return &v1alpha1.PartnerRegistration{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: fmt.Sprintf("registration-%d", serial.Add(1))},
		Spec: v1alpha1.PartnerRegistrationSpec{
			AuthorizationNumber: "12345678ZZS1234", LicenseNumber: "12345678", CustomerEmail: "it@contoso.example", Acknowledged: true, Partner: partner,
		},
	}
}

func asUser(name string) v1alpha1.Partner {
	return v1alpha1.Partner{Subject: v1alpha1.Subject{Kind: rbacv1.UserKind, Name: name}}
}

func asGroup(name, by string) v1alpha1.Partner {
	return v1alpha1.Partner{Subject: v1alpha1.Subject{Kind: rbacv1.GroupKind, Name: name}, Username: v1alpha1.Username(by)}
}

func asAccount(namespace, name string) v1alpha1.Partner {
	return v1alpha1.Partner{Subject: v1alpha1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: name}}
}

// Everybody registers himself or a group that he is in, an administrator too.
func TestPartnersRegisterThemselves(t *testing.T) {
	ns, names, as := firm(t)
	agents := ns + "-agents"
	instead := func(who, not string) string {
		return "you are " + names[who] + " and register yourself: set spec.partner.subject to kind User and name " + names[who] + ", and not to " + not + ". For a group"
	}
	signs := func(who, not string) string {
		return "you are " + names[who] + " and register yourself: set spec.partner.username to that, and not to " + not
	}
	noMember := func(group string) string { return "you are not in the group " + group + ", so you cannot register it" }
	for name, tc := range map[string]struct {
		partner v1alpha1.Partner
		by      []string                // who may; all others are refused
		words   func(who string) string // in these words
	}{
		"a user":                              {asUser(names["gail"]), []string{"gail", "gail, who left"}, func(who string) string { return instead(who, names["gail"]) }},
		"a user in capitals":                  {asUser(strings.ToUpper(names["gail"])), nil, func(who string) string { return instead(who, strings.ToUpper(names["gail"])) }},
		"the name of a group as a user":       {asUser(agents), nil, func(who string) string { return instead(who, agents) }},
		"an administrator":                    {asUser(names["administrator"]), []string{"administrator"}, func(who string) string { return instead(who, names["administrator"]) }},
		"the first administrator":             {asUser(masterName), []string{"master"}, func(who string) string { return instead(who, masterName) }},
		"a service account":                   {asAccount(ns, "robot"), []string{"robot"}, func(who string) string { return instead(who, names["robot"]) }},
		"a service account as a user":         {asUser(names["robot"]), []string{"robot"}, func(who string) string { return instead(who, names["robot"]) }},
		"one of another namespace":            {asAccount("default", "robot"), nil, func(who string) string { return instead(who, "system:serviceaccount:default:robot") }},
		"a name that two accounts could have": {asAccount(ns+":robot", ""), nil, func(string) string { return "" }},
		"a group, gail signs": {asGroup(agents, names["gail"]), []string{"gail"}, func(who string) string {
			if who == "gail, who left" {
				return noMember(agents)
			}
			return signs(who, names["gail"])
		}},
		"a group, hugo signs": {asGroup(agents, names["hugo"]), []string{"hugo"}, func(who string) string { return signs(who, names["hugo"]) }},
		"a group, an administrator signs": {asGroup(agents, names["administrator"]), nil, func(who string) string {
			if who == "administrator" {
				return noMember(agents)
			}
			return signs(who, names["administrator"])
		}},
		"a group, a service account signs": {asGroup(agents, names["robot"]), nil, func(who string) string {
			if who == "robot" {
				return noMember(agents)
			}
			return signs(who, names["robot"])
		}},
		"a group, itself signs": {asGroup(agents, agents), nil, func(who string) string { return signs(who, agents) }},
		"a part of a group's name": {asGroup("everybody", names["gail"]), nil, func(who string) string {
			if strings.HasPrefix(who, "gail") {
				return noMember("everybody")
			}
			return signs(who, names["gail"])
		}},
		"a user's name as a group": {asGroup(names["gail"], names["gail"]), nil, func(who string) string {
			if strings.HasPrefix(who, "gail") {
				return noMember(names["gail"])
			}
			return signs(who, names["gail"])
		}},
	} {
		t.Run(name, func(t *testing.T) {
			for who, c := range as {
				err := c.Create(t.Context(), registers(ns, tc.partner), client.DryRunAll)
				switch {
				case slices.Contains(tc.by, who):
					checkRefused(t, err, "")
				case tc.partner.Subject.Name == "": // which is no name
					if !apierrors.IsInvalid(err) {
						t.Errorf("%s: %v", who, err)
					}
				default:
					checkRefused(t, err, partnerPolicy, tc.words(who))
				}
			}
		})
	}
	t.Run("by an apply", func(t *testing.T) {
		text := fmt.Appendf(nil, `{"apiVersion":"license-operator.io/v1alpha1","kind":"PartnerRegistration","metadata":{"name":"applied"},"spec":{"acknowledged":true,"partner":{"subject":{"kind":"User","name":%q}}}}`, names["gail"])
		apply := func(who string) error {
			return as[who].Patch(t.Context(), &v1alpha1.PartnerRegistration{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "applied"}}, client.RawPatch(types.ApplyPatchType, text), client.FieldOwner("kubectl"))
		}
		checkRefused(t, apply("hugo"), partnerPolicy, instead("hugo", names["gail"]))
		checkRefused(t, apply("gail"), "")
	})
	t.Run("without the role", func(t *testing.T) {
		err := clientOf(t, user("stranger")).Create(t.Context(), registers(ns, asUser("stranger")))
		if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "cannot create resource") {
			t.Error(err)
		}
	})
	t.Run("in another partner's namespace", func(t *testing.T) {
		if err := as["gail"].Create(t.Context(), registers(customer(t), asUser(names["gail"]))); !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "cannot create resource") {
			t.Error(err)
		}
	})
}

// What is claimed changes only who registered, as long as he is in the group.
func TestPartnersCorrectTheirNumbers(t *testing.T) {
	ns, names, as := firm(t)
	agents := ns + "-agents"
	own, group := registers(ns, asUser(names["gail"])), registers(ns, asGroup(agents, names["gail"]))
	for _, r := range []*v1alpha1.PartnerRegistration{own, group} {
		if err := as["gail"].Create(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	for name, patch := range map[string]string{
		"the address": `{"spec":{"customerEmail":"office@contoso.example"}}`, "the numbers": `{"spec":{"authorizationNumber":"87654321ZZS1234","licenseNumber":"87654321"}}`,
		"no numbers": `{"spec":{"authorizationNumber":null,"licenseNumber":null,"customerEmail":null}}`, "where he gets mail": `{"spec":{"partner":{"email":"hugo@northwind.example"}}}`,
	} {
		t.Run(name, func(t *testing.T) {
			for who, c := range as {
				for _, r := range []*v1alpha1.PartnerRegistration{own, group} {
					err := c.Patch(t.Context(), r.DeepCopy(), merge(patch), client.DryRunAll)
					switch {
					case who == "gail", who == "gail, who left" && r == own:
						checkRefused(t, err, "")
					case who == "gail, who left":
						checkRefused(t, err, partnerPolicy, "you are not in the group "+agents+", so somebody who is in it has to register it")
					default:
						checkRefused(t, err, partnerPolicy, "only "+names["gail"]+", who registered, changes it: you are "+names[who]+", so make a PartnerRegistration of your own")
					}
				}
			}
		})
	}
	// Everything else is up to RBAC, or it could not be cleaned up.
	for name, patch := range map[string]string{
		"nothing": `{}`, "a label": `{"metadata":{"labels":{"a":"b"}}}`, "an annotation": `{"metadata":{"annotations":{"a":"b"}}}`, "finalizers": `{"metadata":{"finalizers":["example.com/hold"]}}`,
		"an owner": `{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"ConfigMap","name":"a","uid":"b"}]}}`, "what it is": `{"spec":{"licenseNumber":"12345678"}}`,
	} {
		t.Run(name, func(t *testing.T) {
			for who, c := range as {
				for _, r := range []*v1alpha1.PartnerRegistration{own, group} {
					if err := c.Patch(t.Context(), r.DeepCopy(), merge(patch), client.DryRunAll); err != nil {
						t.Errorf("%s: %v", who, err)
					}
				}
			}
		})
	}
	t.Run("an administrator who acts as gail is gail", func(t *testing.T) {
		patch := []string{"-n", ns, "patch", "preg", group.Name, "--dry-run=server", "--type=merge", "-p", `{"spec":{"customerEmail":"b@contoso.example"}}`, "--as", names["gail"]}
		if out, err := cluster.Run(t.Context(), append(patch, "--as-group", agents)...); err != nil {
			t.Error(out, err)
		}
		if out, err := cluster.Run(t.Context(), patch...); err == nil {
			t.Error(out)
		}
	})
	t.Run("anybody with the role deletes it", func(t *testing.T) {
		for _, who := range []string{"hugo", "administrator", "robot"} {
			checkRefused(t, as[who].Delete(t.Context(), own.DeepCopy(), client.DryRunAll), "")
		}
	})
}

// The garbage collector and the namespace controller do their work.
func TestPartnersAreCollected(t *testing.T) {
	ns, names, as := firm(t)
	owner := func(name string) *corev1.ConfigMap {
		o := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}}
		create(t, o)
		return o
	}
	remove := func(o client.Object, how metav1.DeletionPropagation) {
		t.Helper()
		if err := live.Delete(t.Context(), o, client.PropagationPolicy(how)); err != nil {
			t.Fatal(err)
		}
	}
	owned := func(o client.Object, by *corev1.ConfigMap, c client.Client) client.Object {
		o.SetOwnerReferences([]metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: by.Name, UID: by.UID, BlockOwnerDeletion: ptr.To(true)}})
		if err := c.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		return o
	}
	agreement := func(name string) *v1alpha1.PartnerAgreement {
		a := existing(ns)["partneragreements"].(*v1alpha1.PartnerAgreement)
		a.Name = name
		return a
	}
	all := func(by *corev1.ConfigMap) []client.Object {
		return []client.Object{
			owned(registers(ns, asUser(names["gail"])), by, as["gail"]), owned(agreement(by.Name), by, live), owned(binding(ns, "license-operator-partner-"+by.Name, adminAgent), by, live),
		}
	}
	background, foreground, orphans := owner("background"), owner("foreground"), owner("orphans")
	left, inForeground, inBackground := all(orphans), all(foreground), all(background)
	remove(background, metav1.DeletePropagationBackground)
	checkGone(t, append(inBackground, background)...) // so it knows those that were made before, too
	remove(foreground, metav1.DeletePropagationForeground)
	remove(orphans, metav1.DeletePropagationOrphan)
	checkGone(t, append(inForeground, foreground, orphans)...)
	for _, o := range left {
		if err := live.Get(t.Context(), client.ObjectKeyFromObject(o), o); err != nil || len(o.GetOwnerReferences()) > 0 {
			t.Errorf("the orphan %s has %v, %v", o.GetName(), o.GetOwnerReferences(), err)
		}
	}
	// One that is deleted with what it owns waits for that, and then goes too.
	waits := left[1]
	dependent := binding(ns, "license-operator-partner-dependent", adminAgent)
	dependent.OwnerReferences = []metav1.OwnerReference{{APIVersion: v1alpha1.GroupVersion.String(), Kind: "PartnerAgreement", Name: waits.GetName(), UID: waits.GetUID(), BlockOwnerDeletion: ptr.To(true)}}
	create(t, dependent)
	remove(waits, metav1.DeletePropagationForeground)
	checkGone(t, waits, dependent)
	space := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}}
	create(t, agreement("with-its-namespace"))
	remove(space, metav1.DeletePropagationBackground)
	checkGone(t, append(left, agreement("with-its-namespace"))...)
}

func checkGone(t *testing.T, all ...client.Object) {
	t.Helper()
	err := poll(t.Context(), func() error {
		for _, o := range all {
			if err := live.Get(t.Context(), client.ObjectKeyFromObject(o), o); !apierrors.IsNotFound(err) {
				return fmt.Errorf("%s is there, with finalizers %v: %w", o.GetName(), o.GetFinalizers(), err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// The customer's administrator names colleagues and removes partners. All else of
// an agreement is for whoever makes agreements, and the operator only removes.
func TestAgreementsAreChanged(t *testing.T) {
	ns := customer(t)
	c := newCast(t, ns)
	id := func(name string) string { return name + "@" + ns + ".example" }
	bind(t, ns, "license-operator-customer-admin", userSubject(id("carol")))
	bind(t, "", "license-operator-catalog-admin", userSubject(id("pat")))
	// Who makes none can still be given the rest, as the garbage collector is.
	create(t, &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "collector-" + ns}, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{ours}, Resources: []string{"partneragreements"}, Verbs: []string{"get", "update", "patch", "delete"}},
	}})
	bind(t, ns, "collector-"+ns, userSubject(id("collector")))
	may(t, user(id("carol")), ns, "update", ours, "partneragreements")
	may(t, user(id("pat")), "", "create", ours, "partneragreements")
	may(t, user(id("collector")), ns, "delete", ours, "partneragreements")
	as := map[string]client.Client{
		"carol": clientOf(t, user(id("carol"))), "pat": clientOf(t, user(id("pat"))), "collector": clientOf(t, user(id("collector"))),
		"operator": c.operator, "administrator": c.administrator, "master": c.master,
	}
	one := metav1.OwnerReference{APIVersion: "v1", Kind: "ServiceAccount", Name: "default"}
	var account corev1.ServiceAccount
	err := poll(t.Context(), func() error {
		return live.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: "default"}, &account)
	})
	if err != nil {
		t.Fatal(err)
	}
	one.UID = account.UID
	renamed := one
	renamed.Name = "gone"
	refs := func(refs ...metav1.OwnerReference) string {
		raw, err := json.Marshal(map[string]any{"metadata": map[string]any{"ownerReferences": refs}})
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	stays := existing(ns)["partneragreements"].(*v1alpha1.PartnerAgreement)
	stays.OwnerReferences, stays.Finalizers = []metav1.OwnerReference{one}, []string{"example.com/hold"}
	stays.Spec.PrimaryContacts = []v1alpha1.Username{"gail@northwind.example"}
	stays.Spec.RemovedPartners = []v1alpha1.Username{"hugo@northwind.example"}
	goes := stays.DeepCopy()
	goes.Name = "goes"
	for _, a := range []*v1alpha1.PartnerAgreement{stays, goes} {
		create(t, a)
	}
	if err := live.Delete(t.Context(), goes); err != nil {
		t.Fatal(err)
	}
	const (
		notCarol    = "the customer's administrator changes spec.administrators and spec.removedPartners and nothing else of an agreement: ask whoever made it to change spec."
		notOperator = "the operator changes spec.removedPartners and nothing else of an agreement"
		metadata    = "gives it neither an owner nor a finalizer, and takes no finalizer off before it is deleted"
		backIn      = "the operator takes nobody out of spec.removedPartners"
	)
	for name, tc := range map[string]struct {
		of       *v1alpha1.PartnerAgreement
		patch    string
		carol    string // what she, and whoever else makes no agreements, is told; empty: allowed
		operator string
	}{
		"an administrator":                   {stays, `{"spec":{"administrators":[{"kind":"User","name":"dave@contoso.example"}]}}`, "", notOperator},
		"a group of administrators":          {stays, `{"spec":{"administrators":[{"kind":"Group","name":"contoso-it"}]}}`, "", notOperator},
		"another removed partner":            {stays, `{"spec":{"removedPartners":["hugo@northwind.example","gail@northwind.example"]}}`, "", ""},
		"another in place of one":            {stays, `{"spec":{"removedPartners":["gail@northwind.example"]}}`, "", backIn},
		"a partner let back in":              {stays, `{"spec":{"removedPartners":null}}`, "", backIn},
		"both":                               {stays, `{"spec":{"removedPartners":["hugo@northwind.example","a"],"administrators":[{"kind":"User","name":"b"}]}}`, "", notOperator},
		"the mail address":                   {stays, `{"spec":{"customerEmail":"carol@contoso.example"}}`, notCarol + "customerEmail", notOperator},
		"herself as a primary contact":       {stays, fmt.Sprintf(`{"spec":{"primaryContacts":["gail@northwind.example",%q]}}`, id("carol")), notCarol + "primaryContacts", notOperator},
		"no primary contact":                 {stays, `{"spec":{"primaryContacts":null}}`, notCarol + "primaryContacts", notOperator},
		"a removed partner and the address":  {stays, `{"spec":{"removedPartners":["hugo@northwind.example","a"],"customerEmail":"a@contoso.example"}}`, notCarol + "customerEmail", notOperator},
		"nothing":                            {stays, `{}`, "", ""},
		"what it is":                         {stays, `{"spec":{"customerEmail":"it@contoso.example"}}`, "", ""},
		"a label":                            {stays, `{"metadata":{"labels":{"a":"b"}}}`, "", notOperator},
		"an annotation, as an apply does":    {stays, `{"metadata":{"annotations":{"a":"b"}}}`, "", notOperator},
		"another finalizer":                  {stays, `{"metadata":{"finalizers":["example.com/hold","example.com/more"]}}`, metadata, metadata},
		"no finalizer":                       {stays, `{"metadata":{"finalizers":null}}`, metadata, metadata},
		"no finalizer of what goes":          {goes, `{"metadata":{"finalizers":null}}`, "", ""},
		"a finalizer in place of an owner":   {stays, `{"metadata":{"finalizers":["example.com/more"],"ownerReferences":null}}`, metadata, metadata},
		"an owner that has it deleted":       {stays, refs(one, metav1.OwnerReference{APIVersion: "v1", Kind: "ConfigMap", Name: "gone", UID: "gone"}), metadata, metadata},
		"the name of an owner":               {stays, refs(renamed), metadata, metadata},
		"no owner":                           {stays, `{"metadata":{"ownerReferences":null}}`, "", ""},
		"an owner that waits for it no more": {stays, strings.Replace(refs(one), `"uid"`, `"blockOwnerDeletion":false,"uid"`, 1), "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			for who, c := range as {
				err := c.Patch(t.Context(), tc.of.DeepCopy(), merge(tc.patch), client.DryRunAll)
				words := map[string]string{"carol": tc.carol, "collector": tc.carol, "operator": tc.operator}[who]
				if words == "" {
					if err != nil {
						t.Errorf("%s: %v", who, err)
					}
					continue
				}
				checkRefused(t, err, agreementPolicy, words)
			}
		})
	}
	t.Run("the whole object", func(t *testing.T) {
		a := stays.DeepCopy()
		a.Spec.Administrators = []v1alpha1.Subject{{Kind: rbacv1.UserKind, Name: "dave@contoso.example"}}
		checkRefused(t, as["carol"].Update(t.Context(), a.DeepCopy(), client.DryRunAll), "")
		a.Spec.PrimaryContacts = nil
		checkRefused(t, as["carol"].Update(t.Context(), a, client.DryRunAll), agreementPolicy, notCarol+"primaryContacts")
	})
	t.Run("by an apply", func(t *testing.T) {
		apply := func(spec string) error {
			text := fmt.Appendf(nil, `{"apiVersion":"license-operator.io/v1alpha1","kind":"PartnerAgreement","metadata":{"name":"existing"},"spec":%s}`, spec)
			return as["carol"].Patch(t.Context(), stays.DeepCopy(), client.RawPatch(types.ApplyPatchType, text), client.FieldOwner("carol"), client.DryRunAll)
		}
		checkRefused(t, apply(`{"administrators":[{"kind":"User","name":"dave@contoso.example"}],"removedPartners":["gail@northwind.example"]}`), "")
		checkRefused(t, apply(`{"primaryContacts":["carol@contoso.example"]}`), agreementPolicy, notCarol+"primaryContacts")
	})
	t.Run("as long as lists can be", func(t *testing.T) {
		full := stays.DeepCopy()
		full.Name, full.ResourceVersion, full.Spec.RemovedPartners = "full", "", nil
		for i := range 255 {
			full.Spec.RemovedPartners = append(full.Spec.RemovedPartners, v1alpha1.Username(fmt.Sprintf("%s%03d", strings.Repeat("a", 250), i)))
		}
		create(t, full)
		more := full.DeepCopy()
		more.Spec.RemovedPartners = append(more.Spec.RemovedPartners, "gail@northwind.example")
		for who, c := range as {
			if err := c.Patch(t.Context(), more.DeepCopy(), client.MergeFrom(full), client.DryRunAll); err != nil {
				t.Errorf("%s: %v", who, err)
			}
		}
	})
	for who, allowed := range map[string]bool{"carol": false, "operator": false, "collector": false, "pat": true, "administrator": true, "master": true} {
		t.Run(who+" makes one", func(t *testing.T) {
			another := existing(ns)["partneragreements"]
			another.SetName("another")
			err := as[who].Create(t.Context(), another, client.DryRunAll)
			if allowed {
				checkRefused(t, err, "")
			} else if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "cannot create resource") {
				t.Error(err)
			}
		})
		t.Run(who+" deletes one", func(t *testing.T) {
			err := as[who].Delete(t.Context(), stays.DeepCopy(), client.DryRunAll)
			if allowed || who == "collector" {
				checkRefused(t, err, "")
			} else if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "cannot delete resource") {
				t.Error(err)
			}
		})
	}
}

// Where Kubernetes or the operator lives there are no customers.
func TestAgreementsAreOfCustomers(t *testing.T) {
	create(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "kube-monitoring"}})
	create(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "kubernetes-lab", Labels: map[string]string{"app.kubernetes.io/name": "license-operator", "license-operator.io/operator-namespace": "false"}}})
	create(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "another-operators", Labels: map[string]string{"license-operator.io/operator-namespace": "true"}}})
	c := newCast(t, customer(t))
	bind(t, "", "license-operator-catalog-admin", userSubject("pat-the-first"))
	may(t, user("pat-the-first"), "", "create", ours, "partneragreements")
	for namespace, whose := range map[string]string{
		"kube-system": "Kubernetes' own", "kube-public": "Kubernetes' own", "kube-monitoring": "Kubernetes' own", operatorNamespace: "the operator's", "another-operators": "the operator's",
		"default": "", "kubernetes-lab": "",
	} {
		for who, as := range map[string]client.Client{"pat": clientOf(t, user("pat-the-first")), "administrator": c.administrator, "master": c.master} {
			t.Run(namespace+"/"+who, func(t *testing.T) {
				a := existing(namespace)["partneragreements"]
				a.SetName("another")
				err := as.Create(t.Context(), a, client.DryRunAll)
				if whose == "" {
					checkRefused(t, err, "")
				} else {
					checkRefused(t, err, agreementPolicy, "the namespace "+namespace+" is no customer's but "+whose+", and administrators and partners would get rights in it: make the PartnerAgreement in the customer's namespace")
				}
			})
		}
	}
}

// binding is one that the operator makes, of a role like "Role license-operator-keys".
func binding(namespace, name, role string, subjects ...rbacv1.Subject) *rbacv1.RoleBinding {
	kind, called, _ := strings.Cut(role, " ")
	return &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedByOperator}},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbac, Kind: kind, Name: called}, Subjects: subjects,
	}
}

func groupSubject(name string) rbacv1.Subject {
	return rbacv1.Subject{APIGroup: rbac, Kind: rbacv1.GroupKind, Name: name}
}

// The operator binds the roles that it names, in customers' namespaces, and cannot
// be used for more. RBAC refuses what it may not bind, and the policy all else, so
// also to an operator that was given too much.
func TestOperatorBinds(t *testing.T) {
	ns := customer(t)
	c := newCast(t, ns)
	create(t, &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "binds-all-" + ns}, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{rbac}, Resources: []string{"*"}, Verbs: []string{"*"}},
	}})
	create(t, &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "secrets-" + ns}, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"get"}}, // which the operator holds itself
	}})
	create(t, &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "harmless"}})
	bind(t, "", "binds-all-"+ns, userSubject(ns+"-operator"), userSubject(ns+"-binder"))
	bind(t, ns, "admin", userSubject(ns+"-owner"))
	bind(t, ns, "license-operator-admin-agent", userSubject(ns+"-owner"))
	for _, who := range []string{"-operator", "-binder"} {
		may(t, user(ns+who), "", "bind", rbac, "clusterroles")
	}
	may(t, user(ns+"-owner"), ns, "create", rbac, "rolebindings")
	may(t, user(ns+"-owner"), ns, "delete", ours, "softwaresubscriptions")
	binder, owner := clientOf(t, user(ns+"-binder")), clientOf(t, user(ns+"-owner"))

	ada := userSubject("ada@partner.example")
	const (
		noName   = "the operator writes its own RoleBindings only: license-operator-administrators,"
		noLabel  = "this one lacks the label app.kubernetes.io/managed-by=license-operator"
		noPlace  = "in namespaces of Kubernetes itself, or in its own"
		noBody   = "and nothing of Kubernetes itself"
		roleOnly = "the operator binds to license-operator-partner-ada nothing but " + adminAgent
	)
	partner := func(role string) *rbacv1.RoleBinding { return binding(ns, "license-operator-partner-ada", role, ada) }
	bare := partner(adminAgent)
	bare.Labels = nil
	helm := partner(adminAgent)
	helm.Labels[v1alpha1.LabelManagedBy] = "helm"
	for name, tc := range map[string]struct {
		is      *rbacv1.RoleBinding
		words   string // of the policy; empty: allowed
		deleted string // the same of deleting it
		rbac    bool   // refuses it before, to an operator with its own role only
		missing bool   // there is no such role
	}{
		"a partner":                               {is: partner(adminAgent)},
		"a reservation":                           {is: binding(ns, "license-operator-partner-ada", adminAgent)},
		"a group of a partner":                    {is: binding(ns, "license-operator-partner-agents-0123456789", adminAgent, groupSubject("northwind-agents"))},
		"a service account, as a user":            {is: binding(ns, "license-operator-partner-robot", adminAgent, userSubject("system:serviceaccount:northwind:robot"))},
		"a partner's keys":                        {is: binding(ns, "license-operator-partner-ada-keys", keysRole, ada)},
		"administrators":                          {is: binding(ns, "license-operator-administrators", customerAdmin, ada, groupSubject("contoso-it"))},
		"administrators' keys":                    {is: binding(ns, "license-operator-administrators-keys", keysRole, ada)},
		"cluster-admin":                           {is: partner("ClusterRole cluster-admin"), words: roleOnly, deleted: roleOnly, rbac: true},
		"edit":                                    {is: partner("ClusterRole edit"), words: roleOnly, deleted: roleOnly, rbac: true},
		"the auditor's role":                      {is: partner("ClusterRole license-operator-auditor"), words: roleOnly, deleted: roleOnly, rbac: true},
		"its own role":                            {is: partner("ClusterRole license-operator-controllers"), words: roleOnly, deleted: roleOnly},
		"the role that tells it from others":      {is: partner("ClusterRole license-operator-ledger-writer"), words: roleOnly, deleted: roleOnly},
		"a role to read Secrets":                  {is: partner("ClusterRole secrets-" + ns), words: roleOnly, deleted: roleOnly},
		"a Role of the customer's":                {is: partner("Role harmless"), words: roleOnly, deleted: roleOnly},
		"a Role with the name of a ClusterRole":   {is: partner("Role license-operator-admin-agent"), words: roleOnly, deleted: roleOnly, rbac: true, missing: true},
		"an administrator's role for a partner":   {is: partner(customerAdmin), words: roleOnly, deleted: roleOnly},
		"a partner's role for an administrator":   {is: binding(ns, "license-operator-administrators", adminAgent, ada), words: "to license-operator-administrators nothing but " + customerAdmin, deleted: "nothing but"},
		"keys without the suffix":                 {is: partner(keysRole), words: roleOnly, deleted: roleOnly},
		"a ClusterRole with the name of the keys": {is: binding(ns, "license-operator-partner-ada-keys", "ClusterRole license-operator-keys", ada), words: "nothing but " + keysRole, deleted: "nothing but", rbac: true, missing: true},
		"another name":                            {is: binding(ns, "ada", adminAgent, ada), words: noName, deleted: noName},
		"a name that only begins the same":        {is: binding(ns, "license-operator-administrators-of-all", customerAdmin, ada), words: noName, deleted: noName},
		"a name that begins otherwise":            {is: binding(ns, "a-license-operator-partner-ada", adminAgent, ada), words: noName, deleted: noName},
		"no label":                                {is: bare, words: noLabel, deleted: noLabel},
		"another's label":                         {is: helm, words: noLabel, deleted: noLabel},
		"in kube-system":                          {is: binding("kube-system", "license-operator-partner-ada", adminAgent, ada), words: noPlace},
		"in kube-public":                          {is: binding("kube-public", "license-operator-administrators", customerAdmin, ada), words: noPlace},
		"in its own namespace":                    {is: binding(operatorNamespace, "license-operator-partner-ada", adminAgent, ada), words: noPlace},
		"keys in its own namespace":               {is: binding(operatorNamespace, "license-operator-administrators-keys", keysRole, ada), words: noPlace},
		"everybody":                               {is: binding(ns, "license-operator-partner-all", adminAgent, ada, groupSubject("system:authenticated")), words: noBody},
		"nobody in particular":                    {is: binding(ns, "license-operator-partner-all", adminAgent, userSubject("system:anonymous")), words: noBody},
		"all service accounts of a namespace":     {is: binding(ns, "license-operator-partner-all", adminAgent, groupSubject("system:serviceaccounts:northwind")), words: noBody},
		"a service account":                       {is: binding(ns, "license-operator-partner-all", adminAgent, accountSubject("northwind", "robot")), words: noBody},
		"a group like a service account":          {is: binding(ns, "license-operator-partner-all", adminAgent, groupSubject("system:serviceaccount:northwind:robot")), words: noBody},
	} {
		t.Run(name, func(t *testing.T) {
			for who, as := range map[string]client.Client{"operator": c.operator, "operator with more": c.otherOperator} {
				err := as.Create(t.Context(), tc.is.DeepCopy(), client.DryRunAll)
				switch {
				case tc.words != "" && tc.missing && who == "operator":
					if !apierrors.IsNotFound(err) { // or RBAC could not tell whether it holds what is in there
						t.Errorf("%s: %v", who, err)
					}
				case tc.words != "" && tc.rbac && who == "operator":
					if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "is attempting to grant RBAC permissions not currently held") {
						t.Errorf("%s is not kept by RBAC: %v", who, err)
					}
				case tc.words != "":
					checkRefused(t, err, bindingsPolicy, tc.words)
				default:
					checkRefused(t, err, "")
				}
			}
			for who, as := range map[string]client.Client{"administrator": c.administrator, "master": c.master, "who binds all": binder} {
				if err := as.Create(t.Context(), tc.is.DeepCopy(), client.DryRunAll); err != nil {
					t.Errorf("%s: %v", who, err)
				}
			}
			// What is there already it changes or deletes only if it could have made it.
			there := tc.is.DeepCopy()
			create(t, there)
			defer live.Delete(t.Context(), there) //nolint:errcheck // the next case would fail
			changed := there.DeepCopy()
			changed.Subjects = append(slices.Clone(there.Subjects), userSubject("eve@partner.example"))
			for who, as := range map[string]client.Client{"operator": c.operator, "operator with more": c.otherOperator} {
				err := as.Update(t.Context(), changed.DeepCopy(), client.DryRunAll)
				switch {
				case tc.words != "" && tc.rbac && who == "operator":
					if !apierrors.IsForbidden(err) && !tc.missing {
						t.Errorf("%s: %v", who, err)
					}
				case tc.words != "":
					checkRefused(t, err, bindingsPolicy, tc.words)
				default:
					checkRefused(t, err, "")
				}
				err = as.Delete(t.Context(), there.DeepCopy(), client.DryRunAll)
				if tc.deleted != "" {
					checkRefused(t, err, bindingsPolicy, tc.deleted)
				} else {
					checkRefused(t, err, "")
				}
			}
			for who, as := range map[string]client.Client{"administrator": c.administrator, "master": c.master, "who binds all": binder} {
				if err := errors.Join(as.Update(t.Context(), changed.DeepCopy(), client.DryRunAll), as.Delete(t.Context(), there.DeepCopy(), client.DryRunAll)); err != nil {
					t.Errorf("%s: %v", who, err)
				}
			}
		})
	}
	t.Run("somebody's RoleBinding does not become its own", func(t *testing.T) {
		for what, change := range map[string]func(*rbacv1.RoleBinding){
			"the label": func(b *rbacv1.RoleBinding) {
				b.Labels = map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedByOperator}
			},
			"a subject":  func(b *rbacv1.RoleBinding) { b.Subjects = append(b.Subjects, userSubject("eve@partner.example")) },
			"everything": func(b *rbacv1.RoleBinding) { *b = *partner(adminAgent) },
		} {
			there := bare.DeepCopy()
			there.Name = fmt.Sprintf("license-operator-partner-%d", serial.Add(1))
			create(t, there)
			changed := there.DeepCopy()
			change(changed)
			changed.Name, changed.UID, changed.ResourceVersion = there.Name, there.UID, there.ResourceVersion
			t.Run(what, func(t *testing.T) { checkRefused(t, c.operator.Update(t.Context(), changed), bindingsPolicy, noLabel) })
		}
	})
	t.Run("nor does its own become somebody's", func(t *testing.T) {
		there := partner(adminAgent)
		create(t, there)
		there.Labels = nil
		checkRefused(t, c.operator.Update(t.Context(), there), bindingsPolicy, noLabel)
	})
	t.Run("for the whole cluster", func(t *testing.T) {
		everywhere := func() *rbacv1.ClusterRoleBinding {
			return &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "license-operator-partner-ada"}, RoleRef: partner(adminAgent).RoleRef, Subjects: []rbacv1.Subject{ada}}
		}
		if err := c.operator.Create(t.Context(), everywhere(), client.DryRunAll); !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "cannot create resource") {
			t.Error(err)
		}
	})
	t.Run("no other way to a role", func(t *testing.T) {
		_, config := serviceAccount(t, operatorNamespace, "license-operator-controllers")
		for verb, resources := range map[string][]string{
			"bind": {"clusterroles", "roles"}, "escalate": {"clusterroles", "roles"}, "create": {"clusterroles", "clusterrolebindings"}, "update": {"clusterroles", "clusterrolebindings", "roles"},
			"patch": {"clusterroles", "roles", "rolebindings", "clusterrolebindings"}, "delete": {"roles"}, "deletecollection": {"rolebindings"}, "removepartner": {"rolebindings"},
		} {
			for _, resource := range resources {
				if err := ask(t, config, ns, verb, rbac, resource, "", false); err != nil {
					t.Error(err)
				}
			}
		}
		for _, resource := range []string{"users", "groups", "serviceaccounts"} {
			if err := ask(t, config, ns, "impersonate", "", resource, "", false); err != nil {
				t.Error(err)
			}
		}
		if err := ask(t, config, ns, "create", "", "serviceaccounts", "token", false); err != nil {
			t.Error(err)
		}
	})
	t.Run("whoever owns a namespace binds what he holds", func(t *testing.T) {
		for _, b := range []*rbacv1.RoleBinding{partner(adminAgent), bare, binding(ns, "mine", adminAgent, ada), binding(ns, "editors", "ClusterRole edit", groupSubject("system:authenticated"))} {
			b = b.DeepCopy()
			b.Name += "-of-the-owner"
			checkRefused(t, owner.Create(t.Context(), b), "")
			b.Labels = map[string]string{"a": "b"}
			checkRefused(t, owner.Update(t.Context(), b), "")
			checkRefused(t, owner.Delete(t.Context(), b), "")
		}
	})
}

// The Role that goes with it is worth no more than what it lists.
func TestOperatorWritesOneRole(t *testing.T) {
	const (
		policy  = "license-operator-roles"
		noName  = "the operator writes no Role but license-operator-keys"
		noRules = "the operator's Role lets read Secrets by their names and nothing else"
	)
	ns := customer(t)
	c := newCast(t, ns)
	create(t, &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "writes-roles-" + ns}, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{rbac}, Resources: []string{"*"}, Verbs: []string{"*"}},
	}})
	bind(t, "", "writes-roles-"+ns, userSubject(ns+"-operator"))
	may(t, user(ns+"-operator"), "", "escalate", rbac, "roles")
	type rules = []rbacv1.PolicyRule
	secrets := func(verbs string, names ...string) rules {
		return rules{{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: strings.Fields(verbs), ResourceNames: names}}
	}
	for name, tc := range map[string]struct {
		called string
		rules  rules
		words  string
	}{
		"keys":                       {"license-operator-keys", secrets(read, "office-key", "visio-key"), ""},
		"nothing any more":           {"license-operator-keys", nil, ""},
		"another name":               {"a", secrets(read, "office-key"), noName},
		"all Secrets":                {"license-operator-keys", secrets(read), noRules},
		"all besides some":           {"license-operator-keys", append(secrets(read, "office-key"), secrets("get")...), noRules},
		"to write them":              {"license-operator-keys", secrets(read+" update", "office-key"), noRules},
		"every verb":                 {"license-operator-keys", secrets("*", "office-key"), noRules},
		"the right to bind":          {"license-operator-keys", rules{{APIGroups: []string{rbac}, Resources: []string{"clusterroles"}, Verbs: []string{"bind"}, ResourceNames: []string{"license-operator-admin-agent"}}}, noRules},
		"subscriptions":              {"license-operator-keys", rules{{APIGroups: []string{ours}, Resources: []string{"softwaresubscriptions"}, Verbs: []string{"get"}}}, noRules},
		"Secrets and something else": {"license-operator-keys", rules{{APIGroups: []string{""}, Resources: []string{"secrets", "configmaps"}, Verbs: []string{"get"}, ResourceNames: []string{"a"}}}, noRules},
		"Secrets of all groups":      {"license-operator-keys", rules{{APIGroups: []string{"*"}, Resources: []string{"secrets"}, Verbs: []string{"get"}, ResourceNames: []string{"a"}}}, noRules},
	} {
		t.Run(name, func(t *testing.T) {
			role := func() *rbacv1.Role {
				return &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: tc.called}, Rules: tc.rules}
			}
			checkRefused(t, c.otherOperator.Create(t.Context(), role(), client.DryRunAll), map[bool]string{true: policy}[tc.words != ""], tc.words)
			if err := errors.Join(c.administrator.Create(t.Context(), role(), client.DryRunAll), c.master.Create(t.Context(), role(), client.DryRunAll)); err != nil {
				t.Error(err)
			}
			there := role()
			there.Rules = nil
			create(t, there)
			defer live.Delete(t.Context(), there) //nolint:errcheck // the next case would fail
			there.Rules = tc.rules
			checkRefused(t, c.otherOperator.Update(t.Context(), there.DeepCopy(), client.DryRunAll), map[bool]string{true: policy}[tc.words != ""], tc.words)
		})
	}
	checkRefused(t, c.operator.Create(t.Context(), &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "license-operator-keys"}, Rules: secrets(read)}, client.DryRunAll), policy, noRules)
	full := &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "license-operator-keys"}, Rules: secrets(read, "a")}
	for i := range 5000 {
		full.Rules[0].ResourceNames = append(full.Rules[0].ResourceNames, fmt.Sprintf("%s-%04d", strings.Repeat("a", 240), i))
	}
	checkRefused(t, c.operator.Create(t.Context(), full, client.DryRunAll), "")
}

// The customer's administrator takes a partner's access away, and no other.
func TestCustomersRemovePartners(t *testing.T) {
	ns := customer(t)
	id := func(name string) string { return name + "@" + ns + ".example" }
	bind(t, ns, "license-operator-customer-admin", userSubject(id("carol")), userSubject(id("owner")))
	bind(t, ns, "admin", userSubject(id("owner")))
	create(t, &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "cleaner-" + ns}, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{"*"}, Resources: []string{"*"}, Verbs: []string{"get", "list", "delete", "deletecollection"}}, // as the namespace controller has them
	}})
	bind(t, ns, "cleaner-"+ns, userSubject(id("cleaner")))
	bind(t, "", "cluster-admin", userSubject(id("administrator")))
	may(t, user(id("carol")), ns, "delete", rbac, "rolebindings")
	may(t, user(id("owner")), ns, "create", rbac, "rolebindings")
	may(t, user(id("owner")), ns, "removepartner", rbac, "rolebindings")
	may(t, user(id("cleaner")), ns, "delete", rbac, "rolebindings")
	may(t, user(id("administrator")), "", "*", "*", "*")
	as := map[string]client.Client{
		"carol": clientOf(t, user(id("carol"))), "owner": clientOf(t, user(id("owner"))), "cleaner": clientOf(t, user(id("cleaner"))), "administrator": clientOf(t, user(id("administrator"))), "master": live,
	}
	bare := binding(ns, "license-operator-partner-mine", adminAgent)
	bare.Labels = nil
	const others, administrators = "Ask whoever runs the cluster, or whoever made it", "To remove an administrator take him out of spec.administrators of each PartnerAgreement of this namespace"
	for name, tc := range map[string]struct {
		is    *rbacv1.RoleBinding
		words string // that carol is told
	}{
		"of a partner":            {binding(ns, "license-operator-partner-gail-0123456789", adminAgent, userSubject("gail@northwind.example")), ""},
		"for a partner's keys":    {binding(ns, "license-operator-partner-gail-0123456789-keys", keysRole, userSubject("gail@northwind.example")), ""},
		"of administrators":       {binding(ns, "license-operator-administrators", customerAdmin, userSubject(id("carol"))), administrators},
		"for their keys":          {binding(ns, "license-operator-administrators-keys", keysRole, userSubject(id("carol"))), administrators},
		"by an administrator":     {bare, others},
		"of a name like it":       {binding(ns, "license-operator-partners", adminAgent), administrators},
		"with the name within":    {binding(ns, "a-license-operator-partner-gail", adminAgent), administrators},
		"that somebody else made": {&rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "pipeline"}, RoleRef: bare.RoleRef}, others},
	} {
		t.Run("a RoleBinding "+name, func(t *testing.T) {
			create(t, tc.is)
			for who, c := range as {
				err := c.Delete(t.Context(), tc.is.DeepCopy(), client.DryRunAll)
				if who == "carol" && tc.words != "" {
					checkRefused(t, err, removePolicy, "RoleBinding "+tc.is.Name+" is not one that the operator made for a partner who registered, and you delete no others. "+tc.words)
				} else if err != nil {
					t.Errorf("%s: %v", who, err)
				}
			}
			err := as["carol"].Update(t.Context(), tc.is.DeepCopy(), client.DryRunAll)
			if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "cannot update resource") {
				t.Error(err)
			}
		})
	}
	t.Run("she sees them, and makes none", func(t *testing.T) {
		list := &rbacv1.RoleBindingList{}
		if err := as["carol"].List(t.Context(), list, client.InNamespace(ns)); err != nil || len(list.Items) < 8 {
			t.Error(len(list.Items), err)
		}
		if err := as["carol"].Create(t.Context(), binding(ns, "license-operator-partner-carol", adminAgent, userSubject(id("carol")))); !apierrors.IsForbidden(err) {
			t.Error(err)
		}
		if err := as["carol"].DeleteAllOf(t.Context(), &rbacv1.RoleBinding{}, client.InNamespace(ns)); !apierrors.IsForbidden(err) {
			t.Error(err)
		}
	})
	t.Run("nor in another customer's namespace", func(t *testing.T) {
		other := binding(customer(t), "license-operator-partner-gail-0123456789", adminAgent)
		create(t, other)
		if err := as["carol"].Delete(t.Context(), other); !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "cannot delete resource") {
			t.Error(err)
		}
	})
	t.Run("the access ends at once", func(t *testing.T) {
		removed := binding(ns, "license-operator-partner-hugo-0123456789", adminAgent, userSubject(id("hugo")))
		create(t, removed)
		may(t, user(id("hugo")), ns, "create", ours, "softwaresubscriptions")
		if err := as["carol"].Delete(t.Context(), removed); err != nil {
			t.Fatal(err)
		}
		if err := poll(t.Context(), func() error {
			return ask(t, user(id("hugo")), ns, "create", ours, "softwaresubscriptions", "", false)
		}); err != nil {
			t.Error(err)
		}
	})
}

// Who tried in vain, and who has access, the operator alone puts down.
func TestPartnersAreOnRecord(t *testing.T) {
	ns := customer(t)
	furnish(t, ns)
	c := newCast(t, ns)
	const ledger, status = "license-operator-ledger", "license-operator-self-service-status"
	const words = "the ledger is written by the operator alone: it counts here who tries in vain to register, for a day. To restore the ledger"
	for who, tc := range map[string]struct {
		as      client.Client
		refused bool
	}{
		"the operator": {c.operator, false}, "the operator under another account": {c.otherOperator, false}, "an administrator by system:masters": {c.master, false},
		"an administrator by cluster-admin": {c.administrator, false}, "somebody whom RBAC lets by carelessly": {c.careless, true}, "the fulfilment service with more": {c.otherFulfillment, true},
	} {
		by := func(policy string) string { return map[bool]string{true: policy}[tc.refused] }
		t.Run(who, func(t *testing.T) {
			checkRefused(t, tc.as.Create(t.Context(), requester(fmt.Sprint("requester-", serial.Add(1))), client.DryRunAll), by(ledger), words)
			checkRefused(t, tc.as.Patch(t.Context(), requester("existing"), merge(`{"spec":{"attempts":null}}`), client.DryRunAll), by(ledger), words)
			checkRefused(t, tc.as.Delete(t.Context(), requester("existing"), client.DryRunAll), by(ledger), words)
			for _, resource := range []string{"partneragreements", "partnerregistrations"} {
				err := tc.as.Status().Patch(t.Context(), existing(ns)[resource], merge(`{"status":{"observedGeneration":7}}`), client.DryRunAll)
				checkRefused(t, err, by(status), "the status is written by the operator alone")
			}
		})
	}
	t.Run("the operator sees what it goes by", func(t *testing.T) {
		_, config := serviceAccount(t, operatorNamespace, "license-operator-controllers")
		for resource, verbs := range map[string]string{
			"partneragreements": read + " patch", "partnerregistrations": read, "partnerrequesters": read + " create patch delete",
		} {
			for _, verb := range strings.Fields(read + " " + write) {
				if err := ask(t, config, ns, verb, ours, resource, "", slices.Contains(strings.Fields(verbs), verb)); err != nil {
					t.Error(err)
				}
			}
		}
		get := "get validatingadmissionpolicies.admissionregistration.k8s.io,validatingadmissionpolicybindings.admissionregistration.k8s.io -o name --as=system:serviceaccount:" + operatorNamespace + ":license-operator-controllers "
		if out, err := cluster.Run(t.Context(), strings.Fields(get+partnerPolicy)...); err != nil || strings.Count(out, "/"+partnerPolicy+"\n") != 2 {
			t.Error(out, err)
		}
		if out, err := cluster.Run(t.Context(), strings.Fields(get+agreementPolicy)...); err == nil {
			t.Error(out)
		}
	})
}
