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

const serverID = "ABCDE12345ABCDE12345ABCDE12345ABCDE"

func requestFor(o client.Object) ctrl.Request {
	return ctrl.Request{NamespacedName: client.ObjectKeyFromObject(o)}
}

// newRemoteDesktopShop opens a shop that sells Remote Desktop licences for
// Windows Server 2019.
func newRemoteDesktopShop(t *testing.T) *shop {
	t.Helper()
	s := newOfficeShop(t)
	p := s.product()
	s.edit(p, func() {
		p.Spec.Software.OfficeDeploymentTool, p.Spec.Software.Versions, p.Spec.Software.DowngradeVersions = false, nil, 0
		p.Spec.Software.RemoteDesktop = &v1alpha1.RemoteDesktop{Version: "2019"}
	})
	return s
}

func (s *shop) server(name string, version v1alpha1.WindowsServerVersion, id string) *v1alpha1.LicenseServer {
	s.t.Helper()
	server := &v1alpha1.LicenseServer{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.customer, Name: name},
		Spec:       v1alpha1.LicenseServerSpec{WindowsServerVersion: version, LicenseServerID: id},
	}
	s.create(server)
	return server
}

func on(server string) change {
	return func(s *v1alpha1.SoftwareSubscription) { s.Spec.LicenseServerRef = &v1alpha1.Reference{Name: server} }
}

func TestRemoteDesktopLicences(t *testing.T) {
	s := newRemoteDesktopShop(t)
	s.server("old", "2016", serverID)
	s.server("same", "2019", strings.Replace(serverID, "A", "B", 1))
	s.server("later", "2025", strings.Replace(serverID, "A", "C", 1))
	s.server("fresh", "2022", "")
	for name, tc := range map[string]struct {
		buy     []change
		reason  string // of Stalled; empty: issued
		message string
	}{
		"its own version":   {[]change{on("same")}, "", "key in Secret"},
		"a later version":   {[]change{on("later")}, "", "key in Secret"},
		"an earlier one":    {[]change{on("old")}, "LicenseServerTooOld", "a licence for Windows Server 2019 cannot be installed on LicenseServer old, which runs 2016: name one that runs 2019 or later"},
		"not activated":     {[]change{on("fresh")}, "LicenseServerNotActivated", "put its 35-character id into the LicenseServer's spec.licenseServerID"},
		"no such server":    {[]change{on("nope")}, "LicenseServerNotFound", "create it, or name another one"},
		"no server named":   {nil, "LicenseServerRequired", "name a LicenseServer in spec.licenseServerRef"},
		"with a download":   {[]change{on("same"), download("2024", "")}, "VersionNotOffered", "has no download: remove spec.download"},
		"volume activation": {[]change{on("same"), volume}, "KeyFormat", "remove spec.volumeLicensing"},
	} {
		t.Run(name, func(t *testing.T) {
			sub := strings.ReplaceAll(name, " ", "-")
			s.t = t
			s.buy(sub, tc.buy...)
			got, _ := s.pass(sub)
			if reasonOf(got, v1alpha1.ConditionStalled) != tc.reason || !strings.Contains(got.Status.Message, tc.message) {
				t.Errorf("%s: %s", conditions(got), got.Status.Message)
			}
			data := s.secret(sub + "-key")
			if (tc.reason == "") != (len(data) == 1 && data["key"] != "") {
				t.Errorf("%d entries in the Secret", len(data))
			}
			s.quiet(sub)
		})
	}
}

func volume(s *v1alpha1.SoftwareSubscription) {
	s.Spec.VolumeLicensing = &v1alpha1.VolumeLicensing{LastKMSActivation: metav1.Now()}
}

func TestCodeIsUsedUpForEver(t *testing.T) {
	s := newRemoteDesktopShop(t)
	server := s.server("rds", "2019", "")
	other := s.server("other", "2022", strings.Replace(serverID, "A", "B", 1))
	s.buy("sub", on("rds"))
	s.pass("sub")
	s.edit(server, func() { server.Spec.LicenseServerID = serverID })
	sub, _ := s.pass("sub")
	if e := s.entries(); !isReadySub(sub) || *e[0].Spec.LicenseServer != (v1alpha1.LicenseServerIdentity{Name: "rds", ID: serverID}) {
		t.Fatalf("activated: %s", conditions(sub))
	}

	sub.Spec.LicenseServerRef.Name = other.Name
	if err := live.Update(t.Context(), sub); err == nil || !strings.Contains(err.Error(), "because a Remote Desktop code is used up for ever once it was installed, on the same server too: buy another subscription for another server") {
		t.Errorf("moved to another server: %v", err)
	}
	server.Spec.LicenseServerID = other.Spec.LicenseServerID
	if err := live.Update(t.Context(), server); err == nil || !strings.Contains(err.Error(), "licenseServerID cannot change") {
		t.Errorf("set up again: %v", err)
	}

	// The same name for a server that was set up again.
	if err := live.Delete(t.Context(), server); err != nil {
		t.Fatal(err)
	}
	if sub, _ = s.pass("sub"); !isReadySub(sub) || reasonOf(sub, v1alpha1.ConditionStalled) != "" {
		t.Errorf("its server is gone: %s", conditions(sub))
	}
	s.server("rds", "2019", strings.Replace(serverID, "A", "D", 1))
	sub, _ = s.pass("sub")
	if reasonOf(sub, v1alpha1.ConditionStalled) != v1alpha1.ReasonLicenseServerMoved || !isReadySub(sub) || len(s.entries()) != 1 {
		t.Errorf("its server is another one: %s", conditions(sub))
	}
	s.quiet("sub")
}

func TestLicenseServerOnAnotherProduct(t *testing.T) {
	s := newShop(t, "KEY-0001")
	s.buy("sub", on("rds"))
	sub, _ := s.pass("sub")
	if reasonOf(sub, v1alpha1.ConditionStalled) != v1alpha1.ReasonLicenseServerNotUsed || len(s.entries()) != 0 {
		t.Errorf("%s", conditions(sub))
	}
}

func TestLicenseServerStatus(t *testing.T) {
	s := newShop(t)
	r := reconcile.AsReconciler[*v1alpha1.LicenseServer](s.view, &LicenseServerReconciler{Client: s.view, Clock: s.clock})
	server := s.server("rds", "2019", "")
	look := func(want string, verdict status.Status) {
		t.Helper()
		if _, err := r.Reconcile(t.Context(), requestFor(server)); err != nil {
			t.Fatal(err)
		}
		got := get(t, &v1alpha1.LicenseServer{}, s.customer, "rds")
		if conditions(got) != want || kstatus(t, got) != verdict {
			t.Errorf("%s, %s", conditions(got), kstatus(t, got))
		}
		s.writes = nil
		if _, err := r.Reconcile(t.Context(), requestFor(server)); err != nil || len(s.writes) > 0 {
			t.Errorf("second pass: %v, writes %v", err, s.writes)
		}
	}
	look("Ready=False(NotActivated) Stalled=True(NotActivated)", status.FailedStatus)
	if got := reasonMessage(get(t, &v1alpha1.LicenseServer{}, s.customer, "rds"), v1alpha1.ConditionStalled); !strings.Contains(got, "over TCP port 443") {
		t.Errorf("%q says nothing of the port", got)
	}
	s.edit(server, func() { server.Spec.LicenseServerID = serverID })
	look("Ready=True(Activated)", status.CurrentStatus)
}
