package ledger

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/license-operator/license-operator/api/v1alpha1"
)

// Which entries, out of all that were ever made for a name, belong to a
// subscription. The rest of the package is tested on a real API server, with
// the reconcilers.
func TestOfPurchase(t *testing.T) {
	const issued, revoked, retired = v1alpha1.LicenseKeyIssued, v1alpha1.LicenseKeyRevoked, v1alpha1.LicenseKeyRetired
	purchase := func(day int, change ...func(*v1alpha1.LicenseKeySpec)) v1alpha1.LicenseKeySpec {
		spec := v1alpha1.LicenseKeySpec{
			ProductRef: v1alpha1.Reference{Name: "office"}, Slot: 1, State: issued,
			Purchase: v1alpha1.Purchase{At: metav1.Date(2026, 3, day, 0, 0, 0, 0, time.UTC), Term: v1alpha1.TermYear, Quantity: 25},
		}
		for _, f := range change {
			f(&spec)
		}
		return spec
	}
	type set = func(*v1alpha1.LicenseKeySpec)
	state := func(s v1alpha1.LicenseKeyState) set {
		return func(k *v1alpha1.LicenseKeySpec) { k.State = s }
	}
	slot := func(n int32) set { return func(k *v1alpha1.LicenseKeySpec) { k.Slot = n } }
	uid := func(u types.UID) set { return func(k *v1alpha1.LicenseKeySpec) { k.Subscription.UID = u } }
	product := func(k *v1alpha1.LicenseKeySpec) { k.ProductRef.Name = "visio" }
	term := func(k *v1alpha1.LicenseKeySpec) { k.Purchase.Term = v1alpha1.TermMonth }
	quantity := func(k *v1alpha1.LicenseKeySpec) { k.Purchase.Quantity = 5 }

	// The subscription is of uid "new"; entries are named a, b, c in this order.
	for name, tc := range map[string]struct {
		entries   []v1alpha1.LicenseKeySpec
		cancelled bool
		want      string
	}{
		"nothing was ever issued": {nil, false, ""},
		"its own":                 {[]v1alpha1.LicenseKeySpec{purchase(1, uid("new"))}, false, "a"},
		"its own by slot":         {[]v1alpha1.LicenseKeySpec{purchase(1, uid("new"), slot(2)), purchase(1, uid("new"))}, false, "ba"},
		"its own, revoked":        {[]v1alpha1.LicenseKeySpec{purchase(1, uid("new"), state(revoked))}, true, "a"},
		"its own before those of an earlier object": {[]v1alpha1.LicenseKeySpec{purchase(9, uid("old")), purchase(1, uid("new"))}, false, "b"},
		"after a restore": {[]v1alpha1.LicenseKeySpec{purchase(1, uid("old"), slot(2)), purchase(1, uid("old"))}, false, "ba"},
		"after a second restore, the latest purchase":     {[]v1alpha1.LicenseKeySpec{purchase(1, uid("old")), purchase(2, uid("older"))}, false, "b"},
		"another product is another purchase":             {[]v1alpha1.LicenseKeySpec{purchase(1, uid("old"), product)}, false, ""},
		"another term is another purchase":                {[]v1alpha1.LicenseKeySpec{purchase(1, uid("old"), term)}, false, ""},
		"its quantity may have been changed meanwhile":    {[]v1alpha1.LicenseKeySpec{purchase(1, uid("old"), quantity)}, false, "a"},
		"a revoked key does not come back":                {[]v1alpha1.LicenseKeySpec{purchase(1, uid("old"), state(revoked))}, false, ""},
		"a cancelled subscription is restored as such":    {[]v1alpha1.LicenseKeySpec{purchase(1, uid("old"), state(revoked))}, true, "a"},
		"an expired subscription is restored as such":     {[]v1alpha1.LicenseKeySpec{purchase(1, uid("old"), state(retired))}, false, "a"},
		"bought again after a cancellation, and restored": {[]v1alpha1.LicenseKeySpec{purchase(1, uid("old"), state(revoked)), purchase(2, uid("older"))}, false, "b"},
	} {
		t.Run(name, func(t *testing.T) {
			var entries []v1alpha1.LicenseKey
			for i, spec := range tc.entries {
				entries = append(entries, v1alpha1.LicenseKey{ObjectMeta: metav1.ObjectMeta{Name: string(rune('a' + i))}, Spec: spec})
			}
			sub := &v1alpha1.SoftwareSubscription{
				ObjectMeta: metav1.ObjectMeta{UID: "new"},
				Spec:       v1alpha1.SoftwareSubscriptionSpec{ProductRef: v1alpha1.Reference{Name: "office"}, Term: v1alpha1.TermYear, Quantity: 25, Cancelled: tc.cancelled},
			}
			var got strings.Builder
			for _, k := range ofPurchase(entries, sub) {
				got.WriteString(k.Name)
			}
			if got.String() != tc.want {
				t.Errorf("got %q, want %q", got.String(), tc.want)
			}
		})
	}
}
