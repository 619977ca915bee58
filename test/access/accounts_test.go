package access

import (
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
)

// What RBAC lets the service's account do, asked and tried.
func TestFulfillmentAccount(t *testing.T) {
	mine, other := customer(t), customer(t)
	for _, ns := range []string{mine, other, operatorNamespace} {
		furnish(t, ns)
	}
	_, config := serviceAccount(t, operatorNamespace, "license-operator-fulfillment")
	checkRole(t, config, mine, true, map[string]string{
		"entitlements": read + " patch fulfill", "publishers": read, "products": read, "marketplacesubscriptions": "get patch",
	}, places(mine, other))

	t.Run("it makes no subscription by an apply", func(t *testing.T) {
		apply := client.RawPatch(types.ApplyPatchType, []byte(`{"apiVersion":"license-operator.io/v1alpha1","kind":"MarketplaceSubscription","metadata":{"name":"new"},"spec":{"productRef":{"name":"existing"},"term":"P1Y"}}`))
		err := clientOf(t, config).Patch(t.Context(), &v1alpha1.MarketplaceSubscription{ObjectMeta: metav1.ObjectMeta{Namespace: mine, Name: "new"}}, apply, client.FieldOwner("publisher-fourth-coffee"))
		if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "cannot create resource") {
			t.Error(err)
		}
	})
	t.Run("it reads the public keys, which the controllers write", func(t *testing.T) {
		_, controllers := serviceAccount(t, operatorNamespace, "license-operator-controllers")
		writer, reader := clientOf(t, controllers), clientOf(t, config)
		keys := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: operatorNamespace, Name: "license-operator-public-keys"}}
		somebodys := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: operatorNamespace, Name: "somebody-elses"}}
		create(t, somebodys)
		keyOf, asObject := client.ObjectKeyFromObject, func(namespace, name string) *corev1.ConfigMap {
			return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
		}
		ctx, change := t.Context(), client.RawPatch(types.MergePatchType, []byte(`{"data":{"a":"b"}}`))
		for _, step := range []struct {
			what    string
			do      func() error
			allowed bool
		}{
			{"the controllers create them", func() error { return writer.Create(ctx, keys) }, true},
			{"and read them", func() error { return writer.Get(ctx, keyOf(keys), keys) }, true},
			{"and update them", func() error { return writer.Update(ctx, keys) }, true},
			{"and patch them", func() error { return writer.Patch(ctx, keys, change) }, true},
			{"and do not delete them", func() error { return writer.Delete(ctx, keys) }, false},
			{"and read no other", func() error { return writer.Get(ctx, keyOf(somebodys), somebodys.DeepCopy()) }, false},
			{"and change no other", func() error { return writer.Patch(ctx, somebodys.DeepCopy(), change) }, false},
			{"and make none elsewhere", func() error { return writer.Create(ctx, asObject(mine, keys.Name)) }, false},
			{"the service reads them", func() error { return reader.Get(ctx, keyOf(keys), keys) }, true},
			{"and no other", func() error { return reader.Get(ctx, keyOf(somebodys), somebodys.DeepCopy()) }, false},
			{"and none of another namespace", func() error {
				return reader.Get(ctx, client.ObjectKey{Namespace: mine, Name: keys.Name}, keys.DeepCopy())
			}, false},
			{"and does not change them", func() error { return reader.Patch(ctx, keys.DeepCopy(), change) }, false},
			{"and lists none", func() error { return reader.List(ctx, &corev1.ConfigMapList{}, client.InNamespace(operatorNamespace)) }, false},
			{"and makes none", func() error { return reader.Create(ctx, asObject(operatorNamespace, "new")) }, false},
			{"and makes no token", func() error {
				account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: operatorNamespace, Name: "license-operator-controllers"}}
				return reader.SubResource("token").Create(ctx, account, &authenticationv1.TokenRequest{})
			}, false},
		} {
			if err := step.do(); step.allowed && err != nil || !step.allowed && !apierrors.IsForbidden(err) {
				t.Errorf("%s: %v", step.what, err)
			}
		}
	})
}

// A publisher's account needs no role: its token tells who it is.
func TestPublishersNeedNoRole(t *testing.T) {
	mine := customer(t)
	furnish(t, mine)
	furnish(t, operatorNamespace)
	_, config := serviceAccount(t, mine, "saas")
	create(t, &v1alpha1.Publisher{ObjectMeta: metav1.ObjectMeta{Name: "publisher-of-" + mine}, Spec: v1alpha1.PublisherSpec{
		DisplayName: "Fourth Coffee", LandingPageURL: "https://analytics.example/landing", WebhookURL: "https://analytics.example/webhook",
		Subjects: []v1alpha1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: mine, Name: "saas"}},
	}})
	other := customer(t)
	furnish(t, other)
	checkRole(t, config, mine, true, nil, places(mine, other))

	token := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: []string{"license-operator"}}}
	if err := live.SubResource("token").Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: mine, Name: "saas"}}, token); err != nil {
		t.Fatal(err)
	}
	_, config = serviceAccount(t, operatorNamespace, "license-operator-fulfillment")
	kube, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	review, err := kube.AuthenticationV1().TokenReviews().Create(t.Context(), &authenticationv1.TokenReview{
		Spec: authenticationv1.TokenReviewSpec{Token: token.Status.Token, Audiences: []string{"license-operator"}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if s := review.Status; !s.Authenticated || s.User.Username != "system:serviceaccount:"+mine+":saas" {
		t.Errorf("the service finds %+v", s)
	}
}
