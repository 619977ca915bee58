package access

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
)

const (
	ours  = "license-operator.io"
	read  = "get list watch"
	write = "create update patch delete"
	never = "" // every verb is refused
	rbac  = rbacv1.GroupName
)

// What each role is given, in the customer's namespace and in the cluster.
// All else is refused: the test asks for every verb on every resource.
var roles = map[string]struct {
	everywhere bool // bound by a ClusterRoleBinding
	may        map[string]string
}{
	"admin-agent": {may: map[string]string{
		"softwaresubscriptions": read + " " + write, "marketplacesubscriptions": read + " " + write, "licenseservers": read + " " + write,
		"selfservicepolicies": read, "selfservicepurchases": read + " delete", "takeovers": read + " " + write, "licenseassignments": read + " " + write,
		"seats": read,
	}},
	"sales-agent": {may: map[string]string{
		"softwaresubscriptions": read + " create", "marketplacesubscriptions": read + " create", "licenseservers": read,
	}},
	"customer-admin": {may: map[string]string{
		"softwaresubscriptions": read, "marketplacesubscriptions": read, "licenseservers": read,
		"selfservicepolicies": read + " " + write, "selfservicepurchases": read + " delete", "takeovers": read + " " + write, "licenseassignments": read + " " + write,
		"seats": read, "notifications": read, "partneragreements": read + " update patch", "rolebindings": read + " delete removepartner",
	}},
	"employee":       {may: map[string]string{"selfservicepolicies": read, "selfservicepurchases": "get " + write}},
	"buy-for-others": {may: map[string]string{"selfservicepurchases": read + " " + write + " buyfor"}},
	"partner":        {may: map[string]string{"partnerregistrations": read + " " + write}},
	"auditor": {everywhere: true, may: map[string]string{
		"softwaresubscriptions": read, "marketplacesubscriptions": read, "licenseservers": read,
		"products": read, "publishers": read, "keyissuers": read, "licensekeys": read, "entitlements": read, "selfserviceorders": read, "partnerrequesters": read,
		"selfservicepolicies": read, "selfservicepurchases": read, "takeovers": read, "licenseassignments": read,
		"seats": read, "notifications": read,
	}},
	"catalog-reader": {everywhere: true, may: map[string]string{"products": read}},
	"catalog-admin": {everywhere: true, may: map[string]string{
		"products": read + " " + write, "publishers": read + " " + write, "keyissuers": read + " " + write, "partneragreements": read + " " + write,
		"partnerregistrations": read, "partnerrequesters": read,
	}},
}

// places are all things that somebody could want: of our kinds with their
// status, Secrets and RoleBindings, of his own customer, of another and of the operator.
func places(mine, other string) []place {
	var all []place
	for _, ns := range []string{mine, other} {
		for _, kind := range []string{
			"softwaresubscriptions", "marketplacesubscriptions", "licenseservers",
			"selfservicepolicies", "selfservicepurchases", "takeovers", "licenseassignments", "notifications",
			"partneragreements", "partnerregistrations",
		} {
			all = append(all, place{namespace: ns, group: ours, resource: kind}, place{namespace: ns, group: ours, resource: kind, subresource: "status"})
		}
		all = append(all, place{namespace: ns, group: ours, resource: "seats"}, place{namespace: ns, resource: "secrets"}, place{namespace: ns, group: rbac, resource: "rolebindings"})
	}
	for _, kind := range []string{"products", "publishers", "keyissuers"} {
		all = append(all, place{group: ours, resource: kind}, place{group: ours, resource: kind, subresource: "status"})
	}
	for _, kind := range []string{"licensekeys", "entitlements", "selfserviceorders", "partnerrequesters"} {
		all = append(all, place{group: ours, resource: kind})
	}
	return append(all, place{namespace: operatorNamespace, resource: "secrets"})
}

type place struct {
	namespace, group, resource, subresource string
	name                                    string // empty: as furnish has named it
}

// Each role may do what the table says and nothing else, as a person and as a
// service account, both when asked beforehand and when really tried.
func TestRoles(t *testing.T) {
	mine, other := customer(t), customer(t)
	for _, ns := range []string{mine, other, operatorNamespace} {
		furnish(t, ns)
	}
	for role, want := range roles {
		t.Run(role, func(t *testing.T) {
			t.Parallel()
			where := mine
			if want.everywhere {
				where = ""
			}
			_, account := serviceAccount(t, mine, role)
			bind(t, where, "license-operator-"+role, userSubject(role), accountSubject(mine, role))
			for who, config := range map[string]*rest.Config{"person": user(role), "service account": account} {
				t.Run(who, func(t *testing.T) {
					for resource, verbs := range want.may { // until RBAC knows of it
						may(t, config, mine, strings.Fields(verbs)[0], groups[resource], resource)
					}
					checkRole(t, config, mine, want.everywhere, want.may, places(mine, other))
				})
			}
		})
	}
}

func checkRole(t *testing.T, config *rest.Config, mine string, everywhere bool, granted map[string]string, places []place) {
	t.Helper()
	dyn, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	kube, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	review, err := kube.AuthenticationV1().SelfSubjectReviews().Create(t.Context(), &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range places {
		verbs := never
		if p.group != "" && p.subresource == "" && (everywhere || p.namespace == mine) {
			verbs = granted[p.resource]
		}
		all := "get list watch create update patch delete deletecollection issue fulfill buyfor removepartner"
		if p.subresource != "" {
			all = "get update patch"
		}
		for _, verb := range strings.Fields(all) {
			allowed := slices.Contains(strings.Fields(verbs), verb)
			if err := ask(t, config, p.namespace, verb, p.group, p.resource, p.subresource, allowed); err != nil {
				t.Error(err)
			}
			if verb == "issue" || verb == "fulfill" || verb == "buyfor" || verb == "removepartner" {
				continue // they exist for policies only
			}
			if allowed && verb == "delete" && p.resource == "selfservicepurchases" { // for he may delete only his own
				own := existing(p.namespace)[p.resource].(*v1alpha1.SelfServicePurchase)
				own.GenerateName, own.Name, own.Spec.Purchaser.Username = "own-", "", review.Status.UserInfo.Username
				create(t, own)
				p.name = own.Name
			}
			err := try(t.Context(), dyn, p, verb, review.Status.UserInfo.Username)
			if refused := apierrors.IsForbidden(err) && strings.Contains(err.Error(), "cannot "+verb+" resource"); allowed && err != nil || !allowed && !refused {
				t.Errorf("tried to %s %v, which should be allowed: %v. It answered %v", verb, p, allowed, err)
			}
		}
	}
}

// ask asks the API server beforehand.
func ask(t *testing.T, config *rest.Config, namespace, verb, group, resource, subresource string, want bool) error {
	t.Helper()
	kube, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	review, err := kube.AuthorizationV1().SelfSubjectAccessReviews().Create(t.Context(), &authorizationv1.SelfSubjectAccessReview{
		Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &authorizationv1.ResourceAttributes{
			Namespace: namespace, Verb: verb, Group: group, Resource: resource, Subresource: subresource,
		}},
	}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	if review.Status.Allowed != want {
		return fmt.Errorf("may %s %s/%s in %q: %v, want %v", verb, resource, subresource, namespace, review.Status.Allowed, want)
	}
	return nil
}

// try really does it, as far as a dry run is real: everything but the storing.
func try(ctx context.Context, dyn dynamic.Interface, p place, verb, username string) (err error) {
	r := dyn.Resource(schema.GroupVersionResource{Group: p.group, Version: versions[p.group], Resource: p.resource}).Namespace(p.namespace)
	dry := []string{metav1.DryRunAll}
	var sub []string
	if p.subresource != "" {
		sub = []string{p.subresource}
	}
	obj := &unstructured.Unstructured{}
	if obj.Object, err = runtime.DefaultUnstructuredConverter.ToUnstructured(existing(p.namespace)[p.resource]); err != nil {
		return err
	}
	if p.name != "" {
		obj.SetName(p.name)
	}
	switch verb {
	case "get":
		_, err = r.Get(ctx, obj.GetName(), metav1.GetOptions{}, sub...)
	case "list":
		_, err = r.List(ctx, metav1.ListOptions{})
	case "watch":
		w, werr := r.Watch(ctx, metav1.ListOptions{})
		if werr == nil {
			w.Stop()
		}
		err = werr
	case "create":
		if !slices.Contains([]string{"licensekeys", "entitlements", "selfserviceorders", "seats", "partnerrequesters"}, p.resource) { // whose names are given
			obj.SetName("another")
		}
		if p.resource == "selfservicepurchases" { // which one buys as oneself
			if err := unstructured.SetNestedField(obj.Object, username, "spec", "purchaser", "username"); err != nil {
				return err
			}
		}
		if p.resource == "partnerregistrations" { // nor does one register others
			if err := unstructured.SetNestedField(obj.Object, username, "spec", "partner", "subject", "name"); err != nil {
				return err
			}
		}
		_, err = r.Create(ctx, obj, metav1.CreateOptions{DryRun: dry})
	case "update":
		if err := live.Get(ctx, client.ObjectKeyFromObject(obj), obj); err != nil {
			return err
		}
		_, err = r.Update(ctx, obj, metav1.UpdateOptions{DryRun: dry}, sub...)
	case "patch":
		_, err = r.Patch(ctx, obj.GetName(), types.MergePatchType, []byte(`{}`), metav1.PatchOptions{DryRun: dry}, sub...)
	case "delete":
		err = r.Delete(ctx, obj.GetName(), metav1.DeleteOptions{DryRun: dry})
	case "deletecollection":
		err = r.DeleteCollection(ctx, metav1.DeleteOptions{DryRun: dry}, metav1.ListOptions{})
	}
	return err
}

// groups of the resources that roles are for.
var groups = func() map[string]string {
	all := map[string]string{"rolebindings": rbac}
	for _, role := range roles {
		for resource := range role.may {
			if all[resource] == "" {
				all[resource] = ours
			}
		}
	}
	return all
}()

var versions = map[string]string{"": "v1", ours: "v1alpha1", rbac: "v1"}

// existing are the objects, one of each kind, that furnish makes.
func existing(namespace string) map[string]client.Object {
	named := metav1.ObjectMeta{Name: "existing", Namespace: namespace}
	typed := func(kind string) metav1.TypeMeta {
		return metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: kind}
	}
	return map[string]client.Object{
		"softwaresubscriptions": &v1alpha1.SoftwareSubscription{TypeMeta: typed("SoftwareSubscription"), ObjectMeta: named,
			Spec: v1alpha1.SoftwareSubscriptionSpec{ProductRef: v1alpha1.Reference{Name: "existing"}, Quantity: 5, Term: v1alpha1.TermYear}},
		"licenseservers": &v1alpha1.LicenseServer{TypeMeta: typed("LicenseServer"), ObjectMeta: named,
			Spec: v1alpha1.LicenseServerSpec{WindowsServerVersion: "2019"}},
		"marketplacesubscriptions": &v1alpha1.MarketplaceSubscription{TypeMeta: typed("MarketplaceSubscription"), ObjectMeta: named,
			Spec: v1alpha1.MarketplaceSubscriptionSpec{ProductRef: v1alpha1.Reference{Name: "existing"}, Term: v1alpha1.TermYear}},
		"publishers": &v1alpha1.Publisher{TypeMeta: typed("Publisher"), ObjectMeta: metav1.ObjectMeta{Name: "existing"}, Spec: v1alpha1.PublisherSpec{
			DisplayName: "Existing", LandingPageURL: "https://analytics.example/landing", WebhookURL: "https://analytics.example/webhook",
		}},
		"secrets": &corev1.Secret{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"}, ObjectMeta: named},
		"products": &v1alpha1.Product{TypeMeta: typed("Product"), ObjectMeta: metav1.ObjectMeta{Name: "existing"}, Spec: v1alpha1.ProductSpec{
			DisplayName: "Existing", Software: &v1alpha1.SoftwareProduct{Keys: v1alpha1.ProductKeys{IssuerRef: v1alpha1.Reference{Name: "existing"}}},
			Terms: []v1alpha1.TermOffer{{Term: v1alpha1.TermYear, Price: v1alpha1.Money{Amount: "1.00", Currency: "EUR"}}},
		}},
		"keyissuers": &v1alpha1.KeyIssuer{TypeMeta: typed("KeyIssuer"), ObjectMeta: metav1.ObjectMeta{Name: "existing"},
			Spec: v1alpha1.KeyIssuerSpec{Signed: &v1alpha1.SignedKeys{SecretName: "existing"}}},
		"licensekeys":         ledgerEntry("a"),
		"entitlements":        entitlement("existing"),
		"selfservicepolicies": &v1alpha1.SelfServicePolicy{TypeMeta: typed("SelfServicePolicy"), ObjectMeta: named},
		"selfservicepurchases": &v1alpha1.SelfServicePurchase{TypeMeta: typed("SelfServicePurchase"), ObjectMeta: named, Spec: v1alpha1.SelfServicePurchaseSpec{
			ProductRef: v1alpha1.Reference{Name: "existing"}, Type: v1alpha1.SelfServiceTrial, Quantity: 5,
			Purchaser: v1alpha1.Purchaser{Username: "existing", Person: v1alpha1.Person{Email: "existing@contoso.example"}},
		}},
		"takeovers": &v1alpha1.Takeover{TypeMeta: typed("Takeover"), ObjectMeta: named, Spec: v1alpha1.TakeoverSpec{
			PurchaseRef: v1alpha1.Reference{Name: "existing"}, Cancel: &v1alpha1.TakeoverCancellation{Reason: v1alpha1.TakeoverNotNeeded},
		}},
		"licenseassignments": &v1alpha1.LicenseAssignment{TypeMeta: typed("LicenseAssignment"), ObjectMeta: named, Spec: v1alpha1.LicenseAssignmentSpec{
			SubscriptionRef: ofSubscription("existing"), User: "existing@contoso.example",
		}},
		"seats": seat(namespace, "existing", 1),
		"notifications": &v1alpha1.Notification{TypeMeta: typed("Notification"), ObjectMeta: named, Spec: v1alpha1.NotificationSpec{
			Notice: "PurchaseTakenOver", To: "existing@contoso.example", Text: "It was taken over.", At: metav1.NewTime(longAgo),
			Regarding: v1alpha1.NotificationSubject{Kind: "SelfServicePurchase", Reference: v1alpha1.Reference{Name: "existing"}},
		}},
		"partneragreements": &v1alpha1.PartnerAgreement{TypeMeta: typed("PartnerAgreement"), ObjectMeta: named, Spec: v1alpha1.PartnerAgreementSpec{
			AuthorizationNumber: "12345678ZZS1234", LicenseNumber: "12345678", CustomerEmail: "it@contoso.example",
		}},
		"partnerregistrations": &v1alpha1.PartnerRegistration{TypeMeta: typed("PartnerRegistration"), ObjectMeta: named, Spec: v1alpha1.PartnerRegistrationSpec{
			Acknowledged: true, Partner: v1alpha1.Partner{Subject: v1alpha1.Subject{Kind: rbacv1.UserKind, Name: masterName}},
		}},
		"partnerrequesters": requester("existing"),
		"rolebindings": &rbacv1.RoleBinding{
			TypeMeta: metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "RoleBinding"},
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "license-operator-partner-existing", Labels: map[string]string{
				v1alpha1.LabelManagedBy: v1alpha1.ManagedByOperator,
			}},
			RoleRef: rbacv1.RoleRef{APIGroup: rbac, Kind: "ClusterRole", Name: "license-operator-admin-agent"},
		},
		"selfserviceorders": order("existing"),
	}
}

// requester is the record of somebody who tried in vain to register.
func requester(username string) *v1alpha1.PartnerRequester {
	sum := sha256.Sum256([]byte(username))
	return &v1alpha1.PartnerRequester{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "PartnerRequester"},
		ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("partner-%x", sum[:16])},
		Spec: v1alpha1.PartnerRequesterSpec{Requester: v1alpha1.Username(username), Attempts: []v1alpha1.PartnerAttempt{{
			Registration: v1alpha1.ObjectReference{Namespace: "northwind", Name: "existing"}, UID: "1", Generation: 1, At: metav1.NewTime(longAgo),
		}}},
	}
}

func ofSubscription(name string) v1alpha1.SubscriptionReference {
	return v1alpha1.SubscriptionReference{Kind: v1alpha1.KindSoftwareSubscription, Reference: v1alpha1.Reference{Name: name}}
}

// seat is one that is taken, of a subscription to software.
func seat(namespace, subscription string, number int64) *v1alpha1.Seat {
	return &v1alpha1.Seat{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "Seat"},
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: fmt.Sprintf("softwaresubscription.%s.%d", subscription, number)},
		Spec: v1alpha1.SeatSpec{
			SubscriptionRef: ofSubscription(subscription), Number: number, User: "existing@contoso.example", Assignment: "existing", At: metav1.NewTime(longAgo),
		},
	}
}

// order is what is on record of a purchase in self-service.
func order(purchase string) *v1alpha1.SelfServiceOrder {
	return &v1alpha1.SelfServiceOrder{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "SelfServiceOrder"},
		ObjectMeta: metav1.ObjectMeta{Name: "purchase.contoso." + purchase},
		Spec: v1alpha1.SelfServiceOrderSpec{
			Customer: "contoso", Purchase: v1alpha1.SubscriptionIdentity{Name: purchase, UID: "1"},
			Agreed: v1alpha1.SelfServiceAgreed{
				At: metav1.NewTime(longAgo), ProductRef: v1alpha1.Reference{Name: "existing"}, Type: v1alpha1.SelfServicePurchased, PaymentMethod: true,
				Purchaser: v1alpha1.Purchaser{Username: "existing", Person: v1alpha1.Person{Email: "existing@contoso.example"}},
				Term:      v1alpha1.TermMonth, UnitPrice: v1alpha1.Money{Amount: "1.00", Currency: "EUR"},
			},
		},
	}
}

// ledgerEntry is one whose fingerprint consists of that digit.
func ledgerEntry(digit string) *v1alpha1.LicenseKey {
	fingerprint := strings.Repeat(digit, 40)
	return &v1alpha1.LicenseKey{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "LicenseKey"},
		ObjectMeta: metav1.ObjectMeta{Name: "existing-" + fingerprint},
		Spec: v1alpha1.LicenseKeySpec{
			IssuerRef: v1alpha1.Reference{Name: "existing"}, Fingerprint: fingerprint, Customer: "contoso", Slot: 1,
			Subscription: v1alpha1.SubscriptionIdentity{Name: "office", UID: "1"}, ProductRef: v1alpha1.Reference{Name: "office-ltsc"},
			Purchase: v1alpha1.Purchase{
				At: metav1.Now().Rfc3339Copy(), Term: v1alpha1.TermYear, Quantity: 1, KeysPer: v1alpha1.KeysPerSubscription,
				UnitPrice:    v1alpha1.Money{Amount: "1.00", Currency: "EUR"},
				Cancellation: v1alpha1.CancellationPolicy{Window: "P7D", Refund: v1alpha1.RefundProrated},
			},
		},
	}
}

// furnish puts one object of each kind into a namespace, and those without one
// into the cluster. The operator's namespace is no customer's, so it has no
// agreement.
func furnish(t *testing.T, namespace string) {
	t.Helper()
	for resource, o := range existing(namespace) {
		if namespace == operatorNamespace && resource == "partneragreements" {
			continue
		}
		if err := live.Create(t.Context(), o); err != nil && !apierrors.IsAlreadyExists(err) {
			t.Fatal(err)
		}
	}
}

// A kind that comes later only adds a ClusterRole with labels, and installing
// again leaves what was put together as it is.
func TestRolesGrow(t *testing.T) {
	verbs := func(role string) string {
		var r rbacv1.ClusterRole
		if err := live.Get(t.Context(), client.ObjectKey{Name: role}, &r); err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(r.Rules)
	}
	create(t, &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{Name: "later", Labels: map[string]string{"license-operator.io/aggregate-to-customer-admin": "true"}},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{ours}, Resources: []string{"laterkinds"}, Verbs: []string{"get"}}},
	})
	err := poll(t.Context(), func() error {
		if !strings.Contains(verbs("license-operator-customer-admin"), "laterkinds") {
			return fmt.Errorf("the role has %s", verbs("license-operator-customer-admin"))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(verbs("license-operator-auditor"), "laterkinds") {
		t.Error("another role has it too")
	}
	before := verbs("license-operator-customer-admin")
	if out, err := cluster.Run(t.Context(), "apply", "--server-side", "-k", "../../config/rbac"); err != nil {
		t.Errorf("installing again: %s, %v", out, err)
	}
	if after := verbs("license-operator-customer-admin"); after != before {
		t.Errorf("installing again made %s of %s", after, before)
	}
}
