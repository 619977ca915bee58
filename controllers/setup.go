package controllers

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/artifacts"
	"github.com/license-operator/license-operator/internal/keys"
	"github.com/license-operator/license-operator/internal/ledger"
)

// Options is what the reconcilers are told from outside.
type Options struct {
	Namespace    string           // the operator's own
	Workers      int              // how many subscriptions are worked on at a time
	DownloadsURL string           // what download links begin with
	Artifacts    *artifacts.Store // what is to be downloaded
}

// Setup gives each kind its reconciler. They share the ledger and the registry
// of key sources. The manager's cache must have been made with CacheOptions.
func Setup(ctx context.Context, mgr ctrl.Manager, o Options) error {
	// The Secrets of the operator's namespace have a cache of their own,
	// because there, and only there, their content is needed.
	stock, err := cache.New(mgr.GetConfig(), cache.Options{
		Scheme: mgr.GetScheme(), Mapper: mgr.GetRESTMapper(),
		DefaultNamespaces: map[string]cache.Config{o.Namespace: {}},
		DefaultTransform:  cache.TransformStripManagedFields(),
	})
	if err != nil {
		return fmt.Errorf("making the cache of the operator's namespace: %w", err)
	}
	if err := mgr.Add(stock); err != nil {
		return fmt.Errorf("adding the cache of the operator's namespace: %w", err)
	}
	err = ledger.Register(ctx, mgr.GetFieldIndexer())
	if meta.IsNoMatchError(err) {
		return fmt.Errorf("the cluster does not have our kinds, install them with \"kubectl apply --server-side -k config/crd\": %w", err)
	}
	if err != nil {
		return err
	}
	book := &ledger.Ledger{Client: mgr.GetClient(), Live: mgr.GetAPIReader()}
	registry := keys.NewRegistry()
	wake := make(chan event.GenericEvent, o.Workers)

	products := &ProductReconciler{Client: mgr.GetClient(), Clock: clock.RealClock{}, Artifacts: o.Artifacts, Wake: make(chan event.GenericEvent, 64)}
	if err := products.SetupWithManager(ctx, mgr); err != nil {
		return fmt.Errorf("setting up Products: %w", err)
	}
	issuers := &KeyIssuerReconciler{
		Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Stock: stock, Namespace: o.Namespace,
		Clock: clock.RealClock{}, Ledger: book, Keys: registry, Wake: wake,
	}
	if err := issuers.SetupWithManager(mgr, stock); err != nil {
		return fmt.Errorf("setting up KeyIssuers: %w", err)
	}
	servers := &LicenseServerReconciler{Client: mgr.GetClient(), Clock: clock.RealClock{}}
	if err := servers.SetupWithManager(mgr); err != nil {
		return fmt.Errorf("setting up LicenseServers: %w", err)
	}
	subscriptions := &SoftwareSubscriptionReconciler{
		Client: mgr.GetClient(), Live: mgr.GetAPIReader(),
		Clock: clock.RealClock{}, Ledger: book, Keys: registry, Wake: wake, Workers: o.Workers, DownloadsURL: o.DownloadsURL,
	}
	if err := subscriptions.SetupWithManager(ctx, mgr); err != nil {
		return fmt.Errorf("setting up SoftwareSubscriptions: %w", err)
	}
	keyRoles := &KeyRoleReconciler{Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Events: mgr.GetEventRecorder("license-operator")}
	if err := keyRoles.SetupWithManager(mgr); err != nil {
		return fmt.Errorf("setting up Roles for reading keys: %w", err)
	}
	return nil
}

// CacheOptions keeps memory small and content out of it: of all the Secrets in
// customers' namespaces only our own are kept, and of those only fingerprints.
// Of the Roles, too, only our own. namespaces are the customers to serve; none
// means all.
func CacheOptions(namespaces []string) cache.Options {
	ours := labels.SelectorFromSet(labels.Set{v1alpha1.LabelManagedBy: v1alpha1.ManagedByOperator})
	opts := cache.Options{
		DefaultTransform: cache.TransformStripManagedFields(),
		ByObject: map[client.Object]cache.ByObject{
			&corev1.Secret{}: {Label: ours, Transform: FingerprintSecret},
			&rbacv1.Role{}:   {Label: ours},
		},
	}
	for _, ns := range namespaces {
		if opts.DefaultNamespaces == nil {
			opts.DefaultNamespaces = map[string]cache.Config{}
		}
		opts.DefaultNamespaces[ns] = cache.Config{}
	}
	return opts
}
