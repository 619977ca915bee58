package controllers

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/artifacts"
	"github.com/license-operator/license-operator/internal/entitlements"
	"github.com/license-operator/license-operator/internal/keys"
	"github.com/license-operator/license-operator/internal/ledger"
	"github.com/license-operator/license-operator/internal/notify"
	"github.com/license-operator/license-operator/internal/orders"
	"github.com/license-operator/license-operator/internal/signing"
	"github.com/license-operator/license-operator/internal/terms"
	"github.com/license-operator/license-operator/internal/webhooks"
)

// Options is what the reconcilers are told from outside.
type Options struct {
	Namespace    string           // the operator's own
	Namespaces   []string         // the customers to serve; none means all
	Workers      int              // how many subscriptions are worked on at a time
	DownloadsURL string           // what download links begin with
	Artifacts    *artifacts.Store // what is to be downloaded

	FulfillmentURL string // where publishers reach the fulfilment API, without /api

	SelfServiceDefault terms.SelfService // what employees may do where no SelfServicePolicy enforces something; empty: all
	Mail               *notify.Mailer    // sends mails; nil: people are told by Events only
}

// Setup gives each kind its reconciler. The manager's cache must have been made
// with CacheOptions and have the indexes of entitlements.Register.
func Setup(ctx context.Context, mgr ctrl.Manager, o Options) error {
	post := Post{}
	if o.Mail != nil {
		post.Client = mgr.GetClient()
	}
	mails := &NotificationReconciler{Client: mgr.GetClient(), Clock: clock.RealClock{}, Mail: o.Mail}
	if err := mails.SetupWithManager(mgr); err != nil {
		return fmt.Errorf("setting up Notifications: %w", err)
	}
	products := &ProductReconciler{Client: mgr.GetClient(), Clock: clock.RealClock{}, Artifacts: o.Artifacts, Wake: make(chan event.GenericEvent, 64)}
	if err := products.SetupWithManager(ctx, mgr); err != nil {
		return fmt.Errorf("setting up Products: %w", err)
	}
	if err := setUpSoftware(ctx, mgr, o); err != nil {
		return err
	}
	if err := setUpServices(ctx, mgr, post, o); err != nil {
		return err
	}
	if err := setUpSelfService(ctx, mgr, post, o); err != nil {
		return err
	}
	if err := setUpPartners(ctx, mgr, post, o); err != nil {
		return err
	}
	keyRoles := &KeyRoleReconciler{Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Events: mgr.GetEventRecorder("license-operator")}
	if err := keyRoles.SetupWithManager(mgr); err != nil {
		return fmt.Errorf("setting up Roles for reading keys: %w", err)
	}
	return nil
}

// setUpSoftware sets up what issues keys. Issuers and subscriptions share the
// ledger and the registry of key sources.
func setUpSoftware(ctx context.Context, mgr ctrl.Manager, o Options) error {
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
	if err := ledger.Register(ctx, mgr.GetFieldIndexer()); err != nil {
		return err
	}
	book := &ledger.Ledger{Client: mgr.GetClient(), Live: mgr.GetAPIReader()}
	registry := keys.NewRegistry()
	wake := make(chan event.GenericEvent, o.Workers)

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
	return nil
}

// setUpServices sets up what sells publishers' services. Who buys and who calls
// webhooks share the record of services and the signing key.
func setUpServices(ctx context.Context, mgr ctrl.Manager, post Post, o Options) error {
	record := &entitlements.Record{Client: mgr.GetClient(), Live: mgr.GetAPIReader()}
	signer := &signing.Signer{Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Namespace: o.Namespace, Clock: clock.RealClock{}}
	if err := mgr.Add(signer); err != nil {
		return fmt.Errorf("adding the signer: %w", err)
	}
	publishers := &PublisherReconciler{Client: mgr.GetClient(), Clock: clock.RealClock{}}
	if err := publishers.SetupWithManager(mgr); err != nil {
		return fmt.Errorf("setting up Publishers: %w", err)
	}
	services := &MarketplaceSubscriptionReconciler{
		Client: mgr.GetClient(), Live: mgr.GetAPIReader(),
		Clock: clock.RealClock{}, Entitlements: record, Tokens: signer, Mail: post, Namespaces: o.Namespaces, Workers: o.Workers,
	}
	if err := services.SetupWithManager(ctx, mgr); err != nil {
		return fmt.Errorf("setting up MarketplaceSubscriptions: %w", err)
	}
	hooks := &WebhookReconciler{
		Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Clock: clock.RealClock{}, Record: record,
		Signer: signer, Sender: &webhooks.Sender{}, FulfillmentURL: o.FulfillmentURL, Namespaces: o.Namespaces,
	}
	if err := hooks.SetupWithManager(mgr); err != nil {
		return fmt.Errorf("setting up webhooks: %w", err)
	}
	return nil
}

// setUpSelfService sets up what employees buy, the seats of what was bought for
// everybody, and the way from the one to the other. Purchases and takeovers share
// the record of orders, takeovers and assignments the ledger of seats.
func setUpSelfService(ctx context.Context, mgr ctrl.Manager, post Post, o Options) error {
	record := &orders.Record{Client: mgr.GetClient(), Live: mgr.GetAPIReader()}
	purchases := &SelfServicePurchaseReconciler{
		Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Clock: clock.RealClock{}, Orders: record, Mail: post,
		Default: o.SelfServiceDefault, Namespaces: o.Namespaces, Workers: o.Workers,
	}
	if err := purchases.SetupWithManager(ctx, mgr); err != nil {
		return fmt.Errorf("setting up SelfServicePurchases: %w", err)
	}
	policies := &SelfServicePolicyReconciler{Client: mgr.GetClient(), Clock: clock.RealClock{}, Namespaces: o.Namespaces}
	if err := policies.SetupWithManager(ctx, mgr); err != nil {
		return fmt.Errorf("setting up SelfServicePolicies: %w", err)
	}
	seats := &Seats{Client: mgr.GetClient(), Live: mgr.GetAPIReader()}
	assignments := &LicenseAssignmentReconciler{Client: mgr.GetClient(), Clock: clock.RealClock{}, Seats: seats, Workers: o.Workers}
	if err := assignments.SetupWithManager(ctx, mgr); err != nil {
		return fmt.Errorf("setting up LicenseAssignments: %w", err)
	}
	takeovers := &TakeoverReconciler{Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Clock: clock.RealClock{}, Seats: seats, Orders: record}
	if err := takeovers.SetupWithManager(ctx, mgr); err != nil {
		return fmt.Errorf("setting up Takeovers: %w", err)
	}
	return nil
}

// setUpPartners sets up what recognises partners, and who manages a customer's
// licences: his administrators, and partners who are recognised.
func setUpPartners(ctx context.Context, mgr ctrl.Manager, post Post, o Options) error {
	if err := registerPartnerIndexes(ctx, mgr.GetFieldIndexer()); err != nil {
		return err
	}
	registrations := &PartnerRegistrationReconciler{Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Clock: clock.RealClock{}, Mail: post, Namespaces: o.Namespaces}
	if err := registrations.SetupWithManager(mgr); err != nil {
		return fmt.Errorf("setting up PartnerRegistrations: %w", err)
	}
	requesters := &PartnerRequesterReconciler{Client: mgr.GetClient(), Clock: clock.RealClock{}}
	if err := requesters.SetupWithManager(mgr); err != nil {
		return fmt.Errorf("setting up PartnerRequesters: %w", err)
	}
	access := &PartnerAccessReconciler{
		Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Clock: clock.RealClock{}, Mail: post,
		Namespace: o.Namespace, Namespaces: o.Namespaces, Workers: o.Workers,
	}
	if err := access.SetupWithManager(mgr); err != nil {
		return fmt.Errorf("setting up the access of partners: %w", err)
	}
	return nil
}

// CacheOptions keeps memory small and content out of it: of all the Secrets in
// customers' namespaces only our own are kept, and of those only fingerprints.
// Of the Roles and RoleBindings, too, only our own. namespaces are the customers to serve; none
// means all.
func CacheOptions(namespaces []string) cache.Options {
	ours := labels.SelectorFromSet(labels.Set{v1alpha1.LabelManagedBy: v1alpha1.ManagedByOperator})
	opts := cache.Options{
		DefaultTransform: cache.TransformStripManagedFields(),
		ByObject: map[client.Object]cache.ByObject{
			&corev1.Secret{}:      {Label: ours, Transform: FingerprintSecret},
			&rbacv1.Role{}:        {Label: ours},
			&rbacv1.RoleBinding{}: {Label: ours},
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
