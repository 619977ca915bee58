package controllers

import (
	"context"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/install"
	"github.com/license-operator/license-operator/internal/keys"
	"github.com/license-operator/license-operator/internal/terms"
)

// choice is what a customer gets of a product together with the keys.
type choice struct {
	build  *v1alpha1.DownloadStatus        // what the download link is for; nil: there is none
	files  map[string]render               // entries of the Secret made from its one key
	server *v1alpha1.LicenseServerIdentity // what a Remote Desktop licence is for
}

// render makes a file out of a key.
type render func(key string) ([]byte, error)

// choose returns what a customer gets besides the keys, or what is wrong with
// what the spec asks for.
func (r *SoftwareSubscriptionReconciler) choose(ctx context.Context, sub *v1alpha1.SoftwareSubscription, p *v1alpha1.Product, held []v1alpha1.LicenseKey) (*choice, error) {
	c := &choice{files: map[string]render{}}
	var err error
	if c.server, err = r.licenseServer(ctx, sub, p, held); err != nil {
		return nil, err
	}
	if err := c.download(sub, p); err != nil {
		return nil, err
	}
	if sub.Spec.VolumeLicensing != nil {
		if p.Spec.Software.RemoteDesktop != nil || p.Spec.Software.Keys.Per == v1alpha1.KeysPerLicense {
			return nil, stalled(v1alpha1.ReasonKeyFormat,
				"Product %s has no multiple activation key, which replaces activation by KMS: remove spec.volumeLicensing", p.Name)
		}
		c.files[entryActivate] = install.ActivateScript
	}
	if len(c.files) > 0 || p.Spec.Software.RemoteDesktop != nil {
		if err := r.gives5x5(ctx, p); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// download chooses the build that the spec names, or the newest one in the
// first language if it names none. 32-bit is not had through a link but
// through a configuration of the Office Deployment Tool.
func (c *choice) download(sub *v1alpha1.SoftwareSubscription, p *v1alpha1.Product) error {
	var offered []string
	for _, v := range p.Versions() {
		offered = append(offered, v.Version)
	}
	allowed := terms.AllowedVersions(offered, p.Spec.Software.DowngradeVersions)
	spec := v1alpha1.DownloadChoice{Architecture: "x64"}
	if sub.Spec.Download != nil {
		spec = *sub.Spec.Download
		if len(allowed) == 0 {
			return stalled(v1alpha1.ReasonVersionNotOffered, "Product %s has no download: remove spec.download", p.Name)
		}
	}
	if len(allowed) == 0 {
		return nil
	}
	i := 0
	if spec.Version != "" {
		i = slices.Index(allowed, spec.Version)
	}
	if i < 0 {
		return stalled(v1alpha1.ReasonVersionNotOffered,
			"version %s of Product %s is not offered: set spec.download.version to one of %s", spec.Version, p.Name, strings.Join(allowed, ", "))
	}
	version := p.Versions()[i]
	if spec.Architecture == "x86" {
		return c.deploymentTool(spec, p, version)
	}
	var builds []string
	for _, b := range version.Builds {
		if (spec.Language == "" || strings.EqualFold(spec.Language, b.Language)) && spec.Architecture == b.Architecture {
			c.build = &v1alpha1.DownloadStatus{Version: version.Version, Language: b.Language, Architecture: b.Architecture, Renewal: spec.Renewal}
			return nil
		}
		builds = append(builds, b.Language+" "+string(b.Architecture))
	}
	if len(builds) == 0 && spec.Language == "" {
		return nil // a version without a download
	}
	return stalled(v1alpha1.ReasonVersionNotOffered,
		"version %s of Product %s is not offered in language %q for %s: set spec.download to one of %s",
		version.Version, p.Name, spec.Language, spec.Architecture, orNone(strings.Join(builds, ", ")))
}

func (c *choice) deploymentTool(spec v1alpha1.DownloadChoice, p *v1alpha1.Product, version v1alpha1.ProductVersion) error {
	if !p.Spec.Software.OfficeDeploymentTool {
		return stalled(v1alpha1.ReasonVersionNotOffered, "Product %s is not offered for x86: set spec.download.architecture to x64", p.Name)
	}
	office, known := install.OfficeOf(version.Version)
	if d := version.OfficeDeployment; d != nil {
		office = install.Office{ProductID: d.ProductID, Channel: d.Channel}
	} else if !known {
		return stalled(v1alpha1.ReasonVersionNotOffered, "version %s of Product %s is not offered for x86: set spec.download.version to another, or ask whoever publishes the catalogue for the version's officeDeployment", version.Version, p.Name)
	}
	configure := func(key string) ([]byte, error) { return install.Configuration(office, key, spec.Language) }
	if _, err := configure(anyKey); err != nil {
		return stalled(v1alpha1.ReasonVersionNotOffered, "%v", err)
	}
	c.files[entryConfiguration] = configure
	return nil
}

// gives5x5 says whether the keys of a product can be put into files that
// Windows runs, and into the licensing programs of Windows.
func (r *SoftwareSubscriptionReconciler) gives5x5(ctx context.Context, p *v1alpha1.Product) error {
	name := p.Spec.Software.Keys.IssuerRef.Name
	var issuer v1alpha1.KeyIssuer
	if err := r.Get(ctx, client.ObjectKey{Name: name}, &issuer); err != nil {
		return client.IgnoreNotFound(err) // which is told where keys are asked for
	}
	return wants5x5(&issuer)
}

func wants5x5(issuer *v1alpha1.KeyIssuer) error {
	if issuer.Spec.Pool == nil || issuer.Spec.Pool.Format != keys.Format5x5 {
		return stalled(v1alpha1.ReasonKeyFormat,
			"this takes product keys of the format 5x5, and KeyIssuer %s may give others: set its spec.pool.format to 5x5, or ask for something else", issuer.Name)
	}
	return nil
}

// licenseServer returns what a Remote Desktop licence is to be installed on,
// nil for any other product. Once a code was issued its server is fixed: the
// clearing house takes each code once, on whatever server.
func (r *SoftwareSubscriptionReconciler) licenseServer(ctx context.Context, sub *v1alpha1.SoftwareSubscription, p *v1alpha1.Product, held []v1alpha1.LicenseKey) (*v1alpha1.LicenseServerIdentity, error) {
	ref, licence := sub.Spec.LicenseServerRef, p.Spec.Software.RemoteDesktop
	switch {
	case licence == nil && ref == nil:
		return nil, nil
	case licence == nil:
		return nil, stalled(v1alpha1.ReasonLicenseServerNotUsed, "Product %s is not installed on a licence server: remove spec.licenseServerRef", p.Name)
	case ref == nil:
		return nil, stalled(v1alpha1.ReasonLicenseServerRequired, "Product %s is installed on a Remote Desktop licence server: name a LicenseServer in spec.licenseServerRef", p.Name)
	}
	var server v1alpha1.LicenseServer
	err := r.Get(ctx, client.ObjectKey{Namespace: sub.Namespace, Name: ref.Name}, &server)
	if apierrors.IsNotFound(err) {
		if len(held) > 0 {
			return held[0].Spec.LicenseServer, nil
		}
		return nil, stalled(v1alpha1.ReasonLicenseServerNotFound, "LicenseServer %s does not exist: create it, or name another one in spec.licenseServerRef", ref.Name)
	}
	if err != nil {
		return nil, fmt.Errorf("reading LicenseServer %s: %w", ref.Name, err)
	}
	identity := &v1alpha1.LicenseServerIdentity{Name: server.Name, ID: server.Spec.LicenseServerID}
	switch {
	case len(held) > 0 && held[0].Spec.LicenseServer != nil && *identity != *held[0].Spec.LicenseServer:
		was := held[0].Spec.LicenseServer
		return nil, stalled(v1alpha1.ReasonLicenseServerMoved,
			"the code was issued for licence server %s (%s) and cannot be used on another, nor on one that was set up again: buy another subscription for LicenseServer %s, and set spec.licenseServerRef back", was.Name, was.ID, ref.Name)
	case server.Spec.LicenseServerID == "":
		return nil, stalled(v1alpha1.ReasonLicenseServerNotActivated,
			"LicenseServer %s is not activated: activate it at the clearing house and put its 35-character id into the LicenseServer's spec.licenseServerID", ref.Name)
	case !terms.InstallsOn(string(licence.Version), string(server.Spec.WindowsServerVersion)):
		return nil, stalled(v1alpha1.ReasonLicenseServerTooOld,
			"a licence for Windows Server %s cannot be installed on LicenseServer %s, which runs %s: name one that runs %s or later in spec.licenseServerRef",
			licence.Version, ref.Name, server.Spec.WindowsServerVersion, licence.Version)
	}
	return identity, nil
}

func orNone(s string) string {
	if s == "" {
		return "(none)"
	}
	return s
}
