package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/metrics/filters"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/controllers"
	"github.com/license-operator/license-operator/internal/artifacts"
	"github.com/license-operator/license-operator/internal/downloads"
	"github.com/license-operator/license-operator/internal/entitlements"
	"github.com/license-operator/license-operator/internal/fulfillment"
	"github.com/license-operator/license-operator/internal/signing"
	"github.com/license-operator/license-operator/internal/terms"
)

// run runs the programs until the context is done.
func run(ctx context.Context, o options) error {
	if flag.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q: the commands are %s, and the operator is set up with flags, see --help", flag.Arg(0), commandNames())
	}
	if err := o.check(); err != nil {
		return err
	}
	mailer, err := o.mailServer()
	if err != nil {
		return err
	}
	store, err := artifacts.Open(cmp.Or(o.artifacts, localArtifacts()))
	if err != nil {
		return fmt.Errorf("--artifacts: %w", err)
	}
	defer store.Close()
	mgr, err := newManager(&o)
	if err != nil {
		return err
	}
	if o.serves("controllers") || o.serves("fulfillment") {
		if err := entitlements.Register(ctx, mgr.GetFieldIndexer()); err != nil {
			return kindsMissing(err)
		}
	}
	if o.serves("controllers") {
		err := controllers.Setup(ctx, mgr, controllers.Options{
			Namespace: o.namespace, Namespaces: list(o.namespaces), Workers: o.workers,
			DownloadsURL: o.downloadsURL, Artifacts: store, FulfillmentURL: strings.TrimRight(o.fulfillmentURL, "/"),
			SelfServiceDefault: terms.SelfService(o.selfServiceDefault), Mail: mailer,
		})
		if err != nil {
			return err
		}
	}
	if o.serves("downloads") {
		if err := setUpDownloads(ctx, mgr, store, o.downloadsListen); err != nil {
			return err
		}
	}
	if o.serves("fulfillment") {
		if err := setUpFulfillment(mgr, &o); err != nil {
			return err
		}
	}
	if err := errors.Join(mgr.Add(store), mgr.AddHealthzCheck("ping", healthz.Ping), mgr.AddReadyzCheck("caches", cachesSynced(mgr))); err != nil {
		return err
	}
	ctrl.Log.Info("starting", "version", versionString(), "serve", o.serve, "namespace", o.namespace)
	return mgr.Start(ctx)
}

// newManager connects to the cluster.
func newManager(o *options) (ctrl.Manager, error) {
	cfg, err := ctrl.GetConfig()
	if err != nil {
		return nil, fmt.Errorf("finding the cluster: %w", err)
	}
	cfg.QPS = -1 // the API server's own fairness does better than a limit here
	cfg.UserAgent = "license-operator/" + versionString()

	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return nil, err
	}
	mgr, err := ctrl.NewManager(cfg, ctrl.Options{
		Scheme:                        scheme,
		Cache:                         controllers.CacheOptions(list(o.namespaces)),
		Metrics:                       metricsOptions(o.metricsListen),
		HealthProbeBindAddress:        o.healthListen,
		LeaderElection:                o.leaderElect && o.serves("controllers"), // every replica serves
		LeaderElectionID:              "license-operator",
		LeaderElectionNamespace:       o.namespace,
		LeaderElectionReleaseOnCancel: true, // nothing runs on after Start has returned
		GracefulShutdownTimeout:       new(20 * time.Second),
	})
	if err != nil {
		return nil, fmt.Errorf("making the manager: %w", err)
	}
	return mgr, nil
}

func setUpDownloads(ctx context.Context, mgr ctrl.Manager, store *artifacts.Store, listen string) error {
	if err := downloads.Register(ctx, mgr.GetFieldIndexer()); err != nil {
		return kindsMissing(err)
	}
	return mgr.Add(&downloads.Service{
		Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Clock: clock.RealClock{}, Artifacts: store, Listen: listen,
	})
}

func setUpFulfillment(mgr ctrl.Manager, o *options) error {
	verifier := &signing.Verifier{Reader: mgr.GetAPIReader(), Namespace: o.namespace, Clock: clock.RealClock{}}
	return mgr.Add(&fulfillment.Service{
		Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Clock: clock.RealClock{},
		Tokens: verifier, Keys: verifier, Listen: o.fulfillmentListen, BaseURL: o.fulfillmentURL,
	})
}

// kindsMissing tells how to install what an error says is not there.
func kindsMissing(err error) error {
	if meta.IsNoMatchError(err) {
		return fmt.Errorf("the cluster does not have our kinds, install them with \"kubectl apply --server-side -k config/crd\": %w", err)
	}
	return err
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
