package controllers

import (
	"strings"
	"testing"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/license-operator/license-operator/api/v1alpha1"
)

// oneLook runs one pass over a cluster-scoped object, and another one, which has
// to write nothing.
func oneLook[T object](m *market, r reconcile.Reconciler, o T) (T, ctrl.Result) {
	m.t.Helper()
	req := ctrl.Request{NamespacedName: client.ObjectKey{Name: o.GetName()}}
	res, err := r.Reconcile(m.t.Context(), req)
	if err != nil {
		m.t.Fatal(err)
	}
	m.writes = nil
	m.clock.SetTime(m.clock.Now().Add(1e9))
	if _, err := r.Reconcile(m.t.Context(), req); err != nil || len(m.writes) > 0 {
		m.t.Errorf("second pass wrote %v (%v)", m.writes, err)
	}
	return get(m.t, o, "", o.GetName()), res
}

func TestPublisher(t *testing.T) {
	m := newMarket(t)
	r := reconcile.AsReconciler(client.Client(m.view), &PublisherReconciler{Client: m.view, Clock: m.clock})
	p, res := oneLook(m, r, get(t, &v1alpha1.Publisher{}, "", m.name))
	if conditions(p) != "Ready=False(NobodyMayCall) Stalled=True(NobodyMayCall)" || kstatus(t, p) != status.FailedStatus || res.RequeueAfter != 0 ||
		!strings.Contains(reasonMessage(p, "Ready"), "list its service account in spec.subjects") {
		t.Errorf("%s: %s; %v", conditions(p), reasonMessage(p, "Ready"), res)
	}
	m.edit(p, func() {
		p.Spec.Subjects = []v1alpha1.Subject{{Kind: "ServiceAccount", Namespace: "analytics", Name: "backend"}, {Kind: "User", Name: "ada"}}
	})
	if p, _ = oneLook(m, r, p); conditions(p) != "Ready=True(Configured)" || kstatus(t, p) != status.CurrentStatus || reasonMessage(p, "Ready") != "2 subjects may call the fulfilment API" {
		t.Errorf("%s: %s", conditions(p), reasonMessage(p, "Ready"))
	}
}

func TestServiceInTheCatalogue(t *testing.T) {
	m := newMarket(t)
	p, res := oneLook(m, m.products, m.product())
	if conditions(p) != "Ready=True(Sellable)" || kstatus(t, p) != status.CurrentStatus || res.RequeueAfter != 0 || reasonMessage(p, "Ready") != "activated by Publisher "+m.name {
		t.Errorf("%s: %s; %v", conditions(p), reasonMessage(p, "Ready"), res)
	}
	m.remove(&v1alpha1.Publisher{ObjectMeta: metav1.ObjectMeta{Name: m.name}})
	if p, res = oneLook(m, m.products, p); conditions(p) != "Ready=False(PublisherNotFound) Stalled=True(PublisherNotFound)" || kstatus(t, p) != status.FailedStatus || res.RequeueAfter != poll {
		t.Errorf("%s, %v", conditions(p), res)
	}
	m.edit(p, func() {
		p.Spec.Customers = &v1alpha1.Customers{NamespaceSelector: metav1.LabelSelector{MatchLabels: map[string]string{"not a label": "-"}}}
	})
	if p, _ = oneLook(m, m.products, p); conditions(p) != "Ready=False(InvalidSelector) Stalled=True(InvalidSelector)" {
		t.Errorf("%s", conditions(p))
	}
}

// A service is no software: whoever buys it as such is told what to buy.
func TestServiceIsNoSoftware(t *testing.T) {
	m := newMarket(t)
	m.buy("sub")
	sub, _, err := m.tryPass("sub")
	if err != nil || conditions(sub) != "Ready=False(NotSoftware) Stalled=True(NotSoftware)" || !strings.Contains(sub.Status.Message, "buy a MarketplaceSubscription") {
		t.Errorf("%v: %s %s", err, conditions(sub), sub.Status.Message)
	}
}
