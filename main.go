// license-operator manages software licences as Kubernetes objects: it issues
// keys, keeps deadlines and tells the truth in status.
package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap/zapcore"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/metrics/filters"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/controllers"
	"github.com/license-operator/license-operator/internal/artifacts"
	"github.com/license-operator/license-operator/internal/downloads"
	"github.com/license-operator/license-operator/internal/entitlements"
	"github.com/license-operator/license-operator/internal/fulfillment"
	"github.com/license-operator/license-operator/internal/invoice"
	"github.com/license-operator/license-operator/internal/signing"
)

// version is set by the linker; a plain go build tells the module's version.
var version string

// programs are what --serve can run.
var programs = []string{"controllers", "downloads", "fulfillment"}

type options struct {
	namespace, serve, namespaces             string
	artifacts, downloadsListen, downloadsURL string
	fulfillmentListen, fulfillmentURL        string
	metricsListen, healthListen              string
	leaderElect                              bool
	workers                                  int
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "invoice" {
		err := invoice.Command(ctrl.SetupSignalHandler(), os.Args[2:], os.Stdout, os.Stderr)
		if err != nil && !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "license-operator invoice:", err)
			os.Exit(1)
		}
		return
	}
	var o options
	flag.StringVar(&o.namespace, "namespace", ownNamespace(), "the operator's own namespace, where key pools and signing keys are")
	flag.StringVar(&o.serve, "serve", strings.Join(programs, ","), "what to run, comma-separated: "+strings.Join(programs, ", "))
	flag.StringVar(&o.namespaces, "namespaces", "", "customers' namespaces to serve, comma-separated (default: all)")
	flag.StringVar(&o.artifacts, "artifacts", "", "bucket `URL` of the files that products offer, such as file:///srv/artifacts, s3://bucket, gs://bucket or azblob://container (default: the folder artifacts in the working directory)")
	flag.StringVar(&o.downloadsListen, "downloads-listen", "127.0.0.1:8082", "address of the downloads service")
	flag.StringVar(&o.downloadsURL, "downloads-url", "http://127.0.0.1:8082", "what download links begin with: where customers reach the downloads service")
	flag.StringVar(&o.fulfillmentListen, "fulfillment-listen", "127.0.0.1:8083", "address of the SaaS fulfilment API")
	flag.StringVar(&o.fulfillmentURL, "fulfillment-url", "http://127.0.0.1:8083", "where publishers reach the fulfilment API, without /api; also the issuer of the tokens that webhooks are called with")
	flag.StringVar(&o.metricsListen, "metrics-listen", "127.0.0.1:8443", "address of the metrics, served over TLS to callers that may get /metrics; 0 turns them off")
	flag.StringVar(&o.healthListen, "health-listen", "127.0.0.1:8081", "address of /healthz and /readyz; 0 turns them off")
	flag.BoolVar(&o.leaderElect, "leader-elect", false, "run only while holding the Lease license-operator in the operator's namespace")
	flag.IntVar(&o.workers, "workers", 32, "how many subscriptions to work on at a time")
	showVersion := flag.Bool("version", false, "print the version and exit")
	logging := zap.Options{StacktraceLevel: zapcore.PanicLevel}
	logging.BindFlags(flag.CommandLine)
	flag.Lookup("kubeconfig").Usage = "the cluster's `file` (default: $KUBECONFIG, else the pod's service account, else ~/.kube/config)"
	flag.Usage = usage
	flag.Parse()

	if flag.Arg(0) == "help" {
		usage()
		return
	}
	if *showVersion {
		fmt.Println("license-operator", versionString())
		return
	}
	ctrl.SetLogger(zap.New(zap.UseFlagOptions(&logging)))
	if err := run(ctrl.SetupSignalHandler(), o); err != nil {
		ctrl.Log.Error(err, "the operator stops")
		os.Exit(1)
	}
}

func usage() {
	_, _ = fmt.Fprintf(flag.CommandLine.Output(), "Runs the operator, or tells what a customer is charged for:\n\n  license-operator [flags]\n  %s\n\nFlags of the operator:\n\n", invoice.Usage)
	flag.PrintDefaults()
}

func run(ctx context.Context, o options) error {
	if flag.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q: everything is set with flags, see --help", flag.Arg(0))
	}
	if o.workers < 1 {
		return fmt.Errorf("--workers=%d: at least one is needed", o.workers)
	}
	serve := list(o.serve)
	unknown := slices.DeleteFunc(slices.Clone(serve), func(what string) bool { return slices.Contains(programs, what) })
	if len(serve) == 0 || len(unknown) > 0 {
		return fmt.Errorf("--serve=%s: give one or more of %s", o.serve, strings.Join(programs, ", "))
	}
	controls := slices.Contains(serve, "controllers")
	if err := errors.Join(checkURL("downloads", o.downloadsURL), checkURL("fulfillment", o.fulfillmentURL)); err != nil {
		return err
	}
	store, err := artifacts.Open(cmp.Or(o.artifacts, localArtifacts()))
	if err != nil {
		return fmt.Errorf("--artifacts: %w", err)
	}
	defer store.Close()
	cfg, err := ctrl.GetConfig()
	if err != nil {
		return fmt.Errorf("finding the cluster: %w", err)
	}
	cfg.QPS = -1 // the API server's own fairness does better than a limit here
	cfg.UserAgent = "license-operator/" + versionString()

	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return err
	}
	mgr, err := ctrl.NewManager(cfg, ctrl.Options{
		Scheme:                        scheme,
		Cache:                         controllers.CacheOptions(list(o.namespaces)),
		Metrics:                       metricsOptions(o.metricsListen),
		HealthProbeBindAddress:        o.healthListen,
		LeaderElection:                o.leaderElect && controls, // every replica serves
		LeaderElectionID:              "license-operator",
		LeaderElectionNamespace:       o.namespace,
		LeaderElectionReleaseOnCancel: true, // nothing runs on after Start has returned
		GracefulShutdownTimeout:       new(20 * time.Second),
	})
	if err != nil {
		return fmt.Errorf("making the manager: %w", err)
	}
	if controls || slices.Contains(serve, "fulfillment") {
		if err := entitlements.Register(ctx, mgr.GetFieldIndexer()); err != nil {
			return kindsMissing(err)
		}
	}
	if controls {
		err := controllers.Setup(ctx, mgr, controllers.Options{Namespace: o.namespace, Namespaces: list(o.namespaces), Workers: o.workers, DownloadsURL: o.downloadsURL, FulfillmentURL: strings.TrimRight(o.fulfillmentURL, "/"), Artifacts: store})
		if err != nil {
			return err
		}
	}
	if slices.Contains(serve, "downloads") {
		if err := setUpDownloads(ctx, mgr, store, o.downloadsListen); err != nil {
			return err
		}
	}
	if slices.Contains(serve, "fulfillment") {
		verifier := &signing.Verifier{Reader: mgr.GetAPIReader(), Namespace: o.namespace, Clock: clock.RealClock{}}
		err := mgr.Add(&fulfillment.Service{
			Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Clock: clock.RealClock{},
			Tokens: verifier, Keys: verifier, Listen: o.fulfillmentListen, BaseURL: o.fulfillmentURL,
		})
		if err != nil {
			return err
		}
	}
	if err := errors.Join(mgr.Add(store), mgr.AddHealthzCheck("ping", healthz.Ping), mgr.AddReadyzCheck("caches", cachesSynced(mgr))); err != nil {
		return err
	}
	ctrl.Log.Info("starting", "version", versionString(), "serve", o.serve, "namespace", o.namespace)
	return mgr.Start(ctx)
}

func setUpDownloads(ctx context.Context, mgr ctrl.Manager, store *artifacts.Store, listen string) error {
	if err := downloads.Register(ctx, mgr.GetFieldIndexer()); err != nil {
		return kindsMissing(err)
	}
	return mgr.Add(&downloads.Service{
		Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Clock: clock.RealClock{}, Artifacts: store, Listen: listen,
	})
}

// kindsMissing tells how to install what an error says is not there.
func kindsMissing(err error) error {
	if meta.IsNoMatchError(err) {
		return fmt.Errorf("the cluster does not have our kinds, install them with \"kubectl apply --server-side -k config/crd\": %w", err)
	}
	return err
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

func metricsOptions(listen string) metricsserver.Options {
	return metricsserver.Options{
		BindAddress: listen, SecureServing: true,
		FilterProvider: filters.WithAuthenticationAndAuthorization,
		// HTTP/2 would let one client reset streams faster than they are cleaned up.
		TLSOpts: []func(*tls.Config){func(c *tls.Config) { c.NextProtos = []string{"http/1.1"} }},
	}
}

// cachesSynced is not ready until the operator has seen the cluster.
func cachesSynced(mgr ctrl.Manager) healthz.Checker {
	return func(req *http.Request) error {
		ctx, cancel := context.WithTimeout(req.Context(), time.Second)
		defer cancel()
		if !mgr.GetCache().WaitForCacheSync(ctx) {
			return errors.New("the caches are not filled yet")
		}
		return nil
	}
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

func versionString() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.Main.Version
	}
	return "unknown"
}
