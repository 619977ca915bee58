package controllers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/keys"
)

// loadedPool is a pool and what it was loaded from.
type loadedPool struct {
	*keys.Pool
	version  string // of the Secrets and the format
	secrets  int
	rejected keys.Rejections
}

// poolCache remembers the pools by issuer, so that a pool is read again only
// when one of its Secrets changes. Reconciles of different issuers may run at
// once.
type poolCache struct {
	mu     sync.Mutex
	byName map[string]*loadedPool
}

func (c *poolCache) get(issuer string) *loadedPool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.byName[issuer]
}

func (c *poolCache) put(issuer string, p *loadedPool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byName == nil {
		c.byName = map[string]*loadedPool{}
	}
	c.byName[issuer] = p
}

func (c *poolCache) drop(issuer string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.byName, issuer)
}

// stock loads the pool of an issuer, makes it available, and tells how it is.
func (r *KeyIssuerReconciler) stock(ctx context.Context, issuer *v1alpha1.KeyIssuer, entries []v1alpha1.LicenseKey, now time.Time) error {
	pool, err := r.load(ctx, issuer, entries)
	if errors.As(err, new(*blocked)) {
		r.Keys.Set(issuer.Name, nil) // nothing is sold from a pool that is not what it says
	}
	if err != nil {
		return err
	}
	r.Keys.Set(issuer.Name, pool.Pool)
	wake(ctx, r.Wake, pool.Servable())
	total, free := pool.Size()
	counts := issuer.Status.Keys
	counts.Total, counts.Available = int64(total), ptr.To(int64(free))
	r.describePool(issuer, pool, free, now)

	if len(pool.rejected.Entries) > 0 {
		bad := pool.rejected.Entries[0]
		return stalled(v1alpha1.ReasonPoolUnreadable, "Secret %s, entry %s: %s. Keys from the rest of the pool are issued all the same", bad.Secret, bad.Entry, bad.Reason)
	}
	if free == 0 {
		selector := metav1.FormatLabelSelector(&issuer.Spec.Pool.SecretSelector)
		return waiting(v1alpha1.ReasonPoolEmpty, "no key is left: add keys, one a line, to a Secret in namespace %s with %s", r.Namespace, selector)
	}
	message := "keys from " + plural(pool.secrets, "Secret")
	if n := pool.rejected.Total; n > 0 {
		message += "; " + plural(n, "line") + " rejected, see status.rejected"
	}
	setCondition(issuer, now, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonKeysAvailable, message)
	return nil
}

func (r *KeyIssuerReconciler) describePool(issuer *v1alpha1.KeyIssuer, pool *loadedPool, free int, now time.Time) {
	st := &issuer.Status
	st.Rejected = nil
	rejected := slices.Concat(pool.rejected.Entries, pool.rejected.Lines)
	for _, l := range rejected[:min(len(rejected), v1alpha1.MaxRejectedLines)] {
		st.Rejected = append(st.Rejected, v1alpha1.RejectedLine{Secret: l.Secret, Entry: l.Entry, Line: int64(l.Line), Reason: l.Reason})
	}
	if n := pool.rejected.Total; n > 0 {
		setCondition(issuer, now, v1alpha1.ConditionKeysAccepted, metav1.ConditionFalse, v1alpha1.ReasonLinesRejected,
			plural(n, "line")+" rejected: status.rejected lists the first")
	} else {
		setCondition(issuer, now, v1alpha1.ConditionKeysAccepted, metav1.ConditionTrue, v1alpha1.ReasonAllAccepted, "")
	}
	if low := issuer.Spec.Pool.LowWatermark; free < max(int(low), 1) {
		setCondition(issuer, now, v1alpha1.ConditionLowKeys, metav1.ConditionTrue, v1alpha1.ReasonBelowWatermark,
			fmt.Sprintf("fewer than %d keys are left: top up the pool", max(low, 1)))
	} else {
		setCondition(issuer, now, v1alpha1.ConditionLowKeys, metav1.ConditionFalse, v1alpha1.ReasonSufficient, "")
	}
}

// load returns the pool of an issuer as its Secrets are now, and puts it into
// the registry.
func (r *KeyIssuerReconciler) load(ctx context.Context, issuer *v1alpha1.KeyIssuer, entries []v1alpha1.LicenseKey) (*loadedPool, error) {
	spec := issuer.Spec.Pool
	format, err := keys.CompileFormat(string(spec.Format), spec.Pattern)
	if err != nil {
		return nil, stalled(v1alpha1.ReasonInvalidPattern, "spec.pool: %v", err)
	}
	secrets, err := r.poolSecrets(ctx, issuer)
	if err != nil {
		return nil, err
	}
	version := poolVersion(spec, secrets)
	pool := r.pools.get(issuer.Name)
	first := pool == nil
	if first {
		pool = &loadedPool{Pool: keys.NewPool()}
	}
	held := make([]string, 0, len(entries))
	for i := range entries {
		held = append(held, entries[i].Spec.Fingerprint)
	}
	pool.Sync(held)
	if pool.version != version {
		elsewhere, err := r.Ledger.Elsewhere(ctx, issuer.Name)
		if err != nil {
			return nil, err
		}
		stock, rejected := parse(secrets, format, elsewhere)
		pool.Load(stock)
		pool.version, pool.secrets, pool.rejected = version, len(secrets), rejected
	}
	if first {
		// Those who waited before a restart are first in the queue again.
		if err := r.queue(ctx, issuer.Name, pool.Pool); err != nil {
			return nil, err
		}
		r.pools.put(issuer.Name, pool)
	}
	return pool, nil
}

// poolSecrets returns the Secrets of a pool by name. What holds a signing key
// is never a pool, and no Secret belongs to two.
func (r *KeyIssuerReconciler) poolSecrets(ctx context.Context, issuer *v1alpha1.KeyIssuer) ([]corev1.Secret, error) {
	selector, err := poolSelector(issuer)
	if err != nil {
		return nil, err
	}
	var list corev1.SecretList
	err = r.Stock.List(ctx, &list, client.InNamespace(r.Namespace), client.MatchingLabelsSelector{Selector: selector}, client.UnsafeDisableDeepCopy)
	if err != nil {
		return nil, fmt.Errorf("reading the Secrets of the pool: %w", err)
	}
	var issuers v1alpha1.KeyIssuerList
	if err := r.List(ctx, &issuers); err != nil {
		return nil, fmt.Errorf("reading the other issuers: %w", err)
	}
	secrets := slices.DeleteFunc(list.Items, func(s corev1.Secret) bool {
		return s.Labels[v1alpha1.LabelManagedBy] == v1alpha1.ManagedByOperator || !s.DeletionTimestamp.IsZero() ||
			slices.ContainsFunc(issuers.Items, func(i v1alpha1.KeyIssuer) bool { return i.Spec.Signed != nil && i.Spec.Signed.SecretName == s.Name })
	})
	for _, s := range secrets {
		for i := range issuers.Items {
			if other := &issuers.Items[i]; other.Name != issuer.Name && selects(other, &s) {
				return nil, stalled(v1alpha1.ReasonPoolShared, "Secret %s is also selected by KeyIssuer %s, and its keys would be sold twice: give each pool Secrets of its own", s.Name, other.Name)
			}
		}
	}
	slices.SortFunc(secrets, func(a, b corev1.Secret) int { return cmp.Compare(a.Name, b.Name) })
	return secrets, nil
}

func poolSelector(issuer *v1alpha1.KeyIssuer) (labels.Selector, error) {
	selector, err := metav1.LabelSelectorAsSelector(&issuer.Spec.Pool.SecretSelector)
	if err != nil {
		return nil, stalled(v1alpha1.ReasonInvalidSelector, "spec.pool.secretSelector: %v", err)
	}
	if selector.Matches(labels.Set{}) {
		return nil, stalled(v1alpha1.ReasonInvalidSelector, "spec.pool.secretSelector takes Secrets without any label for keys: ask for a label that only the Secrets of this pool have")
	}
	return selector, nil
}

// selects reports whether a Secret belongs to the pool of an issuer.
func selects(issuer *v1alpha1.KeyIssuer, s *corev1.Secret) bool {
	if issuer.Spec.Pool == nil {
		return false
	}
	selector, err := poolSelector(issuer)
	return err == nil && selector.Matches(labels.Set(s.Labels))
}

func poolVersion(spec *v1alpha1.KeyPool, secrets []corev1.Secret) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%q %q", spec.Format, spec.Pattern)
	for i := range secrets {
		fmt.Fprintf(&b, " %s/%s", secrets[i].UID, secrets[i].ResourceVersion)
	}
	return b.String()
}

// parse reads the keys of a pool, without those that another issuer has sold:
// elsewhere says which, by fingerprint.
func parse(secrets []corev1.Secret, format *regexp.Regexp, elsewhere map[string]string) ([]string, keys.Rejections) {
	var entries []keys.Entry
	for i := range secrets {
		for _, name := range slices.Sorted(maps.Keys(secrets[i].Data)) {
			entries = append(entries, keys.Entry{Secret: secrets[i].Name, Name: name, Data: secrets[i].Data[name]})
		}
	}
	return keys.Parse(entries, format, func(key string) string {
		if len(elsewhere) == 0 {
			return ""
		}
		if issuer := elsewhere[keys.Fingerprint(key)]; issuer != "" {
			return "was issued by KeyIssuer " + issuer
		}
		return ""
	})
}

// queue puts the subscriptions that wait for this issuer into the pool's queue.
func (r *KeyIssuerReconciler) queue(ctx context.Context, issuer string, pool *keys.Pool) error {
	var products v1alpha1.ProductList
	err := r.List(ctx, &products, client.MatchingFields{indexProductIssuer: issuer})
	for _, p := range products.Items {
		if p.Spec.Software == nil {
			continue
		}
		var subs v1alpha1.SoftwareSubscriptionList
		err = errors.Join(err, r.List(ctx, &subs, client.MatchingFields{indexUnsettled: p.Name}))
		for i := range subs.Items {
			sub := &subs.Items[i]
			purchase := v1alpha1.Purchase{KeysPer: p.Spec.Software.Keys.Per}
			if reason := reasonOf(sub, v1alpha1.ConditionReconciling); reason != v1alpha1.ReasonPoolEmpty && reason != v1alpha1.ReasonQueued {
				continue
			}
			pool.Wait(keys.Claim{
				Customer: sub.Namespace, Subscription: sub.Name, Since: sub.CreationTimestamp.Time,
				Slots: make([]int32, purchase.Keys(sub.Spec.Quantity)),
			})
		}
	}
	if err != nil {
		return fmt.Errorf("reading who waits for keys: %w", err)
	}
	return nil
}
