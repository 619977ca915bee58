package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/license-operator/license-operator/internal/notify"
	"github.com/license-operator/license-operator/internal/terms"
)

// programs are what --serve can run.
var programs = []string{"controllers", "downloads", "fulfillment"}

// selfServiceDefaults are what --self-service-default can be.
var selfServiceDefaults = []string{string(terms.AllowAll), string(terms.TrialsOnly), string(terms.Block)}

// smtpVariable is the environment variable that --smtp can be in.
const smtpVariable = "LICENSE_OPERATOR_SMTP"

type options struct {
	namespace, serve, namespaces             string
	artifacts, downloadsListen, downloadsURL string
	fulfillmentListen, fulfillmentURL        string
	smtp, mailFrom                           string
	metricsListen, healthListen              string
	leaderElect                              bool
	workers                                  int
	selfServiceDefault                       string
}

// bind makes flags of the options.
func (o *options) bind(set *flag.FlagSet) {
	set.StringVar(&o.namespace, "namespace", ownNamespace(), "the operator's own namespace, where key pools and signing keys are")
	set.StringVar(&o.serve, "serve", strings.Join(programs, ","), "what to run, comma-separated: "+strings.Join(programs, ", "))
	set.StringVar(&o.namespaces, "namespaces", "", "customers' namespaces to serve, comma-separated (default: all)")
	set.StringVar(&o.artifacts, "artifacts", "", "bucket `URL` of the files that products offer, such as file:///srv/artifacts, s3://bucket, gs://bucket or azblob://container (default: the folder artifacts in the working directory)")
	set.StringVar(&o.downloadsListen, "downloads-listen", "127.0.0.1:8082", "address of the downloads service")
	set.StringVar(&o.downloadsURL, "downloads-url", "http://127.0.0.1:8082", "what download links begin with: where customers reach the downloads service")
	set.StringVar(&o.fulfillmentListen, "fulfillment-listen", "127.0.0.1:8083", "address of the SaaS fulfilment API")
	set.StringVar(&o.fulfillmentURL, "fulfillment-url", "http://127.0.0.1:8083", "where publishers reach the fulfilment API, without /api; also the issuer of the tokens that webhooks are called with")
	set.StringVar(&o.smtp, "smtp", "", "mail server, as smtp://user:password@host:port or smtps://...; better in $"+smtpVariable+", as others can see the flags of a process (default: no mails, Events only)")
	set.StringVar(&o.mailFrom, "mail-from", "", "`address` that mails are from, with or without a name: licences@example.com, or Licences <licences@example.com>")
	set.StringVar(&o.metricsListen, "metrics-listen", "127.0.0.1:8443", "address of the metrics, served over TLS to callers that may get /metrics; 0 turns them off")
	set.StringVar(&o.healthListen, "health-listen", "127.0.0.1:8081", "address of /healthz and /readyz; 0 turns them off")
	set.BoolVar(&o.leaderElect, "leader-elect", false, "run only while holding the Lease license-operator in the operator's namespace")
	set.IntVar(&o.workers, "workers", 32, "how many subscriptions to work on at a time")
	set.StringVar(&o.selfServiceDefault, "self-service-default", string(terms.AllowAll), "what employees may buy and try themselves in a namespace where no SelfServicePolicy enforces something (one in mode Audit does not): "+strings.Join(selfServiceDefaults, ", "))
}

// check refuses what cannot be.
func (o *options) check() error {
	serve := list(o.serve)
	unknown := slices.DeleteFunc(slices.Clone(serve), func(what string) bool { return slices.Contains(programs, what) })
	switch {
	case o.workers < 1:
		return fmt.Errorf("--workers=%d: at least one is needed", o.workers)
	case !slices.Contains(selfServiceDefaults, o.selfServiceDefault):
		return fmt.Errorf("--self-service-default=%s: give one of %s", o.selfServiceDefault, strings.Join(selfServiceDefaults, ", "))
	case len(serve) == 0 || len(unknown) > 0:
		return fmt.Errorf("--serve=%s: give one or more of %s", o.serve, strings.Join(programs, ", "))
	}
	return errors.Join(checkURL("downloads", o.downloadsURL), checkURL("fulfillment", o.fulfillmentURL))
}

// serves reports whether a program is to run.
func (o *options) serves(program string) bool { return slices.Contains(list(o.serve), program) }

// mailServer makes what sends mails; nil if no mail server is given.
func (o *options) mailServer() (*notify.Mailer, error) {
	smtpURL := cmp.Or(o.smtp, os.Getenv(smtpVariable))
	if smtpURL == "" {
		return nil, nil
	}
	mailer, err := notify.Parse(smtpURL, o.mailFrom)
	if err != nil {
		return nil, fmt.Errorf("--smtp (or $%s) and --mail-from: %w", smtpVariable, err)
	}
	return mailer, nil
}

// checkURL checks a flag that says where others reach a service.
func checkURL(service, address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("--%s-url=%s: give the start of a link, such as https://%s.example.com", service, address, service)
	}
	return nil
}

// list takes the parts of a flag apart that are separated by commas.
func list(flag string) []string {
	return strings.FieldsFunc(flag, func(r rune) bool { return r == ',' || r == ' ' })
}

// localArtifacts is the bucket for one person on one machine.
func localArtifacts() string {
	dir, err := filepath.Abs("artifacts")
	if err != nil {
		dir = "/artifacts" // there is no working directory
	}
	return (&url.URL{Scheme: "file", Path: filepath.ToSlash(dir)}).String()
}

// ownNamespace is the namespace of the operator's pod, or the default one when
// it runs outside of a cluster.
func ownNamespace() string {
	const mounted = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"
	if ns, err := os.ReadFile(mounted); err == nil {
		return strings.TrimSpace(string(ns))
	}
	return "license-operator-system"
}
