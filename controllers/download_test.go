package controllers

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/downloadlink"
)

// newOfficeShop opens a shop that sells product keys of the format 5x5, with
// downloads in two languages and the Office Deployment Tool.
func newOfficeShop(t *testing.T) *shop {
	t.Helper()
	s := newShop(t)
	issuer := get(t, &v1alpha1.KeyIssuer{}, "", s.name)
	s.edit(issuer, func() { issuer.Spec.Pool.Format = v1alpha1.KeyFormat5x5 })
	p := s.product()
	s.edit(p, func() {
		build := func(language string, arch v1alpha1.Architecture) v1alpha1.ProductBuild {
			return v1alpha1.ProductBuild{Language: language, Architecture: arch, Artifact: language + string(arch), SHA256: strings.Repeat("0", 64)}
		}
		builds := []v1alpha1.ProductBuild{build("en-US", "x64"), build("fr-FR", "x64"), build("fr-FR", "arm64")}
		for i := range p.Spec.Software.Versions {
			p.Spec.Software.Versions[i].Builds = builds
		}
		p.Spec.Software.OfficeDeploymentTool = true
	})
	s.topUp("office", strings.Join(productKeys(4), "\n"))
	s.lookAtIssuer()
	return s
}

// productKeys makes keys of the format 5x5 that no other test has.
func productKeys(n int) []string {
	var all []string
	for range n {
		all = append(all, fmt.Sprintf("A1B2C-KEYXX-AAAAA-BBBBB-%05d", serial.Add(1)))
	}
	return all
}

func (s *shop) choose(name string, change func(*v1alpha1.DownloadChoice)) {
	s.t.Helper()
	sub := &v1alpha1.SoftwareSubscription{ObjectMeta: metav1.ObjectMeta{Namespace: s.customer, Name: name}}
	s.edit(sub, func() {
		if sub.Spec.Download == nil {
			sub.Spec.Download = &v1alpha1.DownloadChoice{}
		}
		change(sub.Spec.Download)
	})
}

// link returns the link of a subscription after checking that status and
// Secret agree on it.
func (s *shop) link(name string) string {
	s.t.Helper()
	sub := get(s.t, &v1alpha1.SoftwareSubscription{}, s.customer, name)
	url := s.secret(name + "-key")["downloadURL"]
	if token := downloadlink.Token(url); sub.Status.Download == nil || downloadlink.TokenHash(token) != sub.Status.Download.TokenHash {
		s.t.Fatalf("the link %q is not the one in status: %+v", url, sub.Status.Download)
	}
	return url
}

func TestFreshLinks(t *testing.T) {
	s := newOfficeShop(t)
	s.buy("sub")
	sub, _ := s.pass("sub")
	if d := sub.Status.Download; d.Version != "2024" || d.Language != "en-US" || d.Architecture != "x64" || d.FirstDownloadedAt != nil || d.ExpiresAt != nil {
		t.Errorf("by default: %+v", d)
	}
	seen := map[string]bool{s.link("sub"): true}
	key := s.secret("sub-key")["key"]
	for _, step := range []struct {
		name   string
		change func(*v1alpha1.DownloadChoice)
		fresh  bool
	}{
		{"the same in words", func(d *v1alpha1.DownloadChoice) { d.Version, d.Language, d.Architecture = "2024", "en-us", "x64" }, false},
		{"another language", func(d *v1alpha1.DownloadChoice) { d.Language = "fr-FR" }, true},
		{"another architecture", func(d *v1alpha1.DownloadChoice) { d.Architecture = "arm64" }, true},
		{"another version", func(d *v1alpha1.DownloadChoice) { d.Version = "2019" }, true},
		{"a renewal", func(d *v1alpha1.DownloadChoice) { d.Renewal = 1 }, true},
		{"two renewals at once", func(d *v1alpha1.DownloadChoice) { d.Renewal = 3 }, true},
		{"a version that is not offered", func(d *v1alpha1.DownloadChoice) { d.Version = "2016" }, false},
		{"back again", func(d *v1alpha1.DownloadChoice) { d.Version = "2019" }, false},
	} {
		// A download that has begun is over with a fresh link, and goes on without.
		sub := get(t, &v1alpha1.SoftwareSubscription{}, s.customer, "sub")
		sub.Status.Download.FirstDownloadedAt, sub.Status.Download.ExpiresAt = ptr.To(metav1.NewTime(s.clock.Now())), ptr.To(metav1.NewTime(s.clock.Now().Add(5*day)))
		if err := live.Status().Update(t.Context(), sub); err != nil {
			t.Fatal(err)
		}
		s.choose("sub", step.change)
		s.pass("sub")
		url := s.link("sub")
		sub = get(t, &v1alpha1.SoftwareSubscription{}, s.customer, "sub")
		if seen[url] == step.fresh || (sub.Status.Download.FirstDownloadedAt == nil) != step.fresh {
			t.Errorf("%s: fresh %v, want %v; %+v", step.name, !seen[url], step.fresh, sub.Status.Download)
		}
		if s.secret("sub-key")["key"] != key {
			t.Errorf("%s: the key changed", step.name)
		}
		seen[url] = true
		s.quiet("sub")
	}
}

func TestLinkIsMended(t *testing.T) {
	s := newOfficeShop(t)
	s.buy("sub")
	s.pass("sub")
	first := s.link("sub")
	change := func(f func(*corev1.Secret)) {
		t.Helper()
		secret := get(t, &corev1.Secret{}, s.customer, "sub-key")
		f(secret)
		if err := live.Update(t.Context(), secret); err != nil {
			t.Fatal(err)
		}
	}
	change(func(secret *corev1.Secret) { secret.Data["note"] = []byte("the customer's own") })
	s.quiet("sub")
	change(func(secret *corev1.Secret) { secret.Data["downloadURL"] = []byte("https://downloads.example/d/mine") })
	s.pass("sub")
	second := s.link("sub")
	if second == first {
		t.Error("whoever wrote into the Secret decided which link is valid")
	}
	if s.secret("sub-key")["note"] != "the customer's own" {
		t.Error("the customer's own entry is gone")
	}
	// Links move with the service, and their time goes on.
	s.subs.DownloadsURL = "https://elsewhere.example/files"
	s.pass("sub")
	if third := s.link("sub"); third != strings.Replace(second, "https://downloads.example", "https://elsewhere.example/files", 1) {
		t.Errorf("moved from %s to %s", second, third)
	}
	s.quiet("sub")
	// What is not known any more stays as it is.
	if err := live.Delete(t.Context(), s.product()); err != nil {
		t.Fatal(err)
	}
	s.pass("sub")
	s.link("sub")
	s.quiet("sub")
}

func TestLinkExpires(t *testing.T) {
	s := newOfficeShop(t)
	s.buy("sub")
	sub, _ := s.pass("sub")
	begin := s.clock.Now()
	sub.Status.Download.FirstDownloadedAt, sub.Status.Download.ExpiresAt = ptr.To(metav1.NewTime(begin)), ptr.To(metav1.NewTime(begin.Add(5*day)))
	if err := live.Status().Update(t.Context(), sub); err != nil {
		t.Fatal(err)
	}
	if sub, _ = s.pass("sub"); sub.Status.Next.Event != "LinkExpires" || !sub.Status.Next.At.Time.Equal(begin.Add(5*day)) {
		t.Errorf("next %+v", sub.Status.Next)
	}
	s.clock.SetTime(begin.Add(5*day - time.Second))
	sub, res := s.pass("sub")
	if reasonOf(sub, v1alpha1.ConditionDownloadAvailable) != v1alpha1.ReasonLinkValid || res.RequeueAfter != time.Second {
		t.Errorf("one second before: %s, requeue %v", conditions(sub), res.RequeueAfter)
	}
	s.clock.SetTime(begin.Add(5 * day))
	sub, _ = s.pass("sub")
	if reasonOf(sub, v1alpha1.ConditionDownloadAvailable) != v1alpha1.ReasonLinkExpired || !isReadySub(sub) || sub.Status.Next.Event != "WindowCloses" {
		t.Errorf("at the deadline: %s, next %+v", conditions(sub), sub.Status.Next)
	}
	s.quiet("sub")
}

func TestDeploymentTool(t *testing.T) {
	s := newOfficeShop(t)
	s.buy("sub", func(sub *v1alpha1.SoftwareSubscription) {
		sub.Spec.Download = &v1alpha1.DownloadChoice{Version: "2021", Language: "fr-FR", Architecture: "x86"}
	})
	sub, _ := s.pass("sub")
	data := s.secret("sub-key")
	for _, part := range []string{`OfficeClientEdition="32"`, "ProPlus2021Volume", "fr-fr", data["key"]} {
		if !strings.Contains(data["configuration.xml"], part) {
			t.Errorf("configuration.xml lacks %s", part)
		}
	}
	if _, there := data["downloadURL"]; there || sub.Status.Download != nil || reasonOf(sub, v1alpha1.ConditionDownloadAvailable) != v1alpha1.ReasonDeploymentTool {
		t.Errorf("x86 has a link: %s", conditions(sub))
	}
	s.quiet("sub")
	s.choose("sub", func(d *v1alpha1.DownloadChoice) { d.Architecture = "x64" })
	s.pass("sub")
	s.link("sub")
	if _, there := s.secret("sub-key")["configuration.xml"]; there {
		t.Error("configuration.xml is left")
	}
	s.choose("sub", func(d *v1alpha1.DownloadChoice) { d.Architecture = "x86" })
	s.pass("sub")
	s.quiet("sub")
	p := s.product()
	s.edit(p, func() { p.Spec.Software.OfficeDeploymentTool = false })
	sub, _ = s.pass("sub")
	if reasonOf(sub, v1alpha1.ConditionStalled) != v1alpha1.ReasonVersionNotOffered || !strings.Contains(sub.Status.Message, "is not offered for x86: set spec.download.architecture to x64") || s.secret("sub-key")["configuration.xml"] == "" {
		t.Errorf("no longer offered: %s %s", sub.Status.Message, conditions(sub))
	}
}

func TestMigration(t *testing.T) {
	s := newOfficeShop(t)
	last := s.clock.Now().Add(-100 * day)
	s.buy("sub", term(v1alpha1.TermPerpetual), func(sub *v1alpha1.SoftwareSubscription) {
		sub.Spec.VolumeLicensing = &v1alpha1.VolumeLicensing{LastKMSActivation: metav1.NewTime(last)}
	})
	sub, _ := s.pass("sub")
	script := s.secret("sub-key")["activate.cmd"]
	if !strings.Contains(script, "slmgr.vbs") || !strings.Contains(script, "/ipk "+s.secret("sub-key")["key"]) || !strings.Contains(script, "/ato") {
		t.Errorf("activate.cmd lacks something")
	}
	if !sub.Status.Migration.ReactivateBefore.Time.Equal(last.Add(180 * day)) {
		t.Errorf("migration %+v", sub.Status.Migration)
	}
	for _, step := range []struct {
		at     time.Time
		reason string
		next   time.Duration
	}{
		{last.Add(150*day - time.Second), "OnTrack", time.Second},
		{last.Add(150 * day), "AtRisk", longestSleep},
		{last.Add(180*day - time.Second), "AtRisk", time.Second},
		{last.Add(180 * day), "Lapsed", 0},
	} {
		s.clock.SetTime(step.at)
		sub, res := s.pass("sub")
		if reasonOf(sub, v1alpha1.ConditionMigrated) != step.reason || res.RequeueAfter != step.next || !isReadySub(sub) {
			t.Errorf("at %v: %s, requeue %v", step.at, conditions(sub), res.RequeueAfter)
		}
	}
	sub = get(t, &v1alpha1.SoftwareSubscription{}, s.customer, "sub")
	s.edit(sub, func() { sub.Spec.VolumeLicensing.LastKMSActivation = metav1.NewTime(s.clock.Now().Add(day)) })
	sub, _ = s.pass("sub")
	if c := meta.FindStatusCondition(sub.Status.Conditions, v1alpha1.ConditionMigrated); !strings.Contains(c.Message, "is in the future") {
		t.Errorf("an instant of the future: %s", c.Message)
	}
	s.edit(sub, func() { sub.Spec.VolumeLicensing.MAKDeployed = true })
	if sub, _ = s.pass("sub"); reasonOf(sub, v1alpha1.ConditionMigrated) != "MAKDeployed" {
		t.Errorf("deployed: %s", conditions(sub))
	}
	s.edit(sub, func() { sub.Spec.VolumeLicensing = nil })
	if sub, _ = s.pass("sub"); sub.Status.Migration != nil || reasonOf(sub, v1alpha1.ConditionMigrated) != "" || s.secret("sub-key")["activate.cmd"] != "" {
		t.Errorf("taken out: %s", conditions(sub))
	}
	s.quiet("sub")
}

// A file that Windows runs takes only keys that are safe in it.
func TestFilesTake5x5Only(t *testing.T) {
	s := newShop(t, "KEY-0001")
	s.buy("sub", func(sub *v1alpha1.SoftwareSubscription) {
		sub.Spec.VolumeLicensing = &v1alpha1.VolumeLicensing{LastKMSActivation: metav1.NewTime(s.clock.Now())}
	})
	sub, _ := s.pass("sub")
	if reasonOf(sub, v1alpha1.ConditionStalled) != v1alpha1.ReasonKeyFormat || len(s.entries()) != 0 {
		t.Errorf("%s, %d entries", conditions(sub), len(s.entries()))
	}
	s.quiet("sub")
	s.edit(sub, func() { sub.Spec.VolumeLicensing = nil })
	if sub, _ = s.pass("sub"); !isReadySub(sub) {
		t.Errorf("%s", conditions(sub))
	}
	s.edit(sub, func() {
		sub.Spec.VolumeLicensing = &v1alpha1.VolumeLicensing{LastKMSActivation: metav1.NewTime(s.clock.Now())}
	})
	if sub, _ = s.pass("sub"); !isReadySub(sub) || reasonOf(sub, v1alpha1.ConditionStalled) != v1alpha1.ReasonKeyFormat {
		t.Errorf("asked for afterwards: %s", conditions(sub))
	}
	s.quiet("sub")
}

func TestOfferedTo(t *testing.T) {
	s := newShop(t, "KEY-0001", "KEY-0002")
	p := s.product()
	s.edit(p, func() {
		p.Spec.Customers = &v1alpha1.Customers{NamespaceSelector: metav1.LabelSelector{MatchLabels: map[string]string{"tier": "gold"}}}
	})
	s.buy("sub")
	sub, _ := s.pass("sub")
	if conditions(sub) != "Ready=False(NotOffered) Stalled=True(NotOffered)" || len(s.entries()) != 0 || s.secret("sub-key") != nil {
		t.Errorf("%s, %d entries", conditions(sub), len(s.entries()))
	}
	if !strings.Contains(sub.Status.Message, "is not offered to customer "+s.customer) {
		t.Errorf("message %q", sub.Status.Message)
	}
	s.quiet("sub")
	ns := get(t, &corev1.Namespace{}, "", s.customer)
	s.edit(ns, func() { ns.Labels["tier"] = "gold" })
	if sub, _ = s.pass("sub"); !isReadySub(sub) {
		t.Errorf("offered: %s", conditions(sub))
	}
	// What was bought stays.
	s.edit(ns, func() { ns.Labels["tier"] = "tin" })
	if sub, _ = s.pass("sub"); !isReadySub(sub) {
		t.Errorf("no longer offered: %s", conditions(sub))
	}
	s.quiet("sub")
	s.edit(p, func() {
		p.Spec.Customers.NamespaceSelector = metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "tier", Operator: "Near"}}}
	})
	if _, err := s.products.Reconcile(t.Context(), requestFor(p)); err != nil {
		t.Fatal(err)
	}
	if p = get(t, &v1alpha1.Product{}, "", s.name); reasonOf(p, v1alpha1.ConditionStalled) != v1alpha1.ReasonInvalidSelector {
		t.Errorf("invalid selector: %s", conditions(p))
	}
	s.buy("second")
	if sub, _ = s.pass("second"); reasonOf(sub, v1alpha1.ConditionStalled) != v1alpha1.ReasonInvalidSelector || len(s.entries()) != 1 {
		t.Errorf("invalid selector: %s", conditions(sub))
	}
}

// Status has whole seconds, and the customer may write less.
func TestMigrationByAFractionOfASecond(t *testing.T) {
	s := newOfficeShop(t)
	sub := s.buy("sub")
	patch := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"volumeLicensing":{"lastKMSActivation":"2026-09-01T00:00:00.5Z"}}}`))
	if err := live.Patch(t.Context(), sub, patch); err != nil {
		t.Fatal(err)
	}
	s.pass("sub")
	s.quiet("sub")
}

// A link that was taken out of the Secret is taken out of status too, although
// the write of status was lost after that of the Secret.
func TestLinkThatIsReplacedByAFileEnds(t *testing.T) {
	s := newOfficeShop(t)
	s.buy("sub")
	s.pass("sub")
	old := get(t, &v1alpha1.SoftwareSubscription{}, s.customer, "sub").Status.Download
	s.choose("sub", func(d *v1alpha1.DownloadChoice) { d.Version, d.Architecture = "2024", "x86" })
	sub, _ := s.pass("sub")
	sub.Status.Download = old
	if err := live.Status().Update(t.Context(), sub); err != nil {
		t.Fatal(err)
	}
	s.process = s.restart()
	s.lookAtIssuer()
	if sub, _ = s.pass("sub"); sub.Status.Download != nil || reasonOf(sub, v1alpha1.ConditionDownloadAvailable) != v1alpha1.ReasonDeploymentTool {
		t.Errorf("%+v %s", sub.Status.Download, conditions(sub))
	}
	s.quiet("sub")
}

// A cache that does not show the latest link yet does not replace it.
func TestLinkSurvivesALateCache(t *testing.T) {
	s := newOfficeShop(t)
	s.buy("sub")
	s.pass("sub")
	s.choose("sub", func(d *v1alpha1.DownloadChoice) { d.Renewal = 1 })
	late := get(t, &v1alpha1.SoftwareSubscription{}, s.customer, "sub")
	s.pass("sub")
	link := s.link("sub")
	s.subs.Client, s.writes = lateView{s.view, late}, nil
	if _, res := s.pass("sub"); res.RequeueAfter != moment || len(s.writes) > 0 || s.link("sub") != link {
		t.Errorf("again in %s, writes %v", res.RequeueAfter, s.writes)
	}
	s.subs.Client = s.view
	s.quiet("sub")
}

// lateView shows a subscription as it was.
type lateView struct {
	*view
	sub *v1alpha1.SoftwareSubscription
}

func (v lateView) Get(ctx context.Context, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
	if sub, ok := o.(*v1alpha1.SoftwareSubscription); ok {
		v.sub.DeepCopyInto(sub)
		return nil
	}
	return v.view.Get(ctx, key, o, opts...)
}

// The Product and the Secret are gone, and the answer to delivering the Secret
// anew is lost: status does not go on telling of the link.
func TestNoLinkWithoutProduct(t *testing.T) {
	s := newOfficeShop(t)
	s.buy("sub")
	s.pass("sub")
	if err := live.Delete(t.Context(), s.product()); err != nil {
		t.Fatal(err)
	}
	secret := get(t, &corev1.Secret{}, s.customer, "sub-key")
	delete(secret.Data, entryDownloadURL) // as it is delivered without a Product
	if err := live.Update(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	if sub, _ := s.pass("sub"); sub.Status.Download != nil || !isReadySub(sub) {
		t.Errorf("download %+v, %s", sub.Status.Download, conditions(sub))
	}
	s.quiet("sub")
}
