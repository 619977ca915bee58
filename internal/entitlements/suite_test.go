package entitlements_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/entitlements"
	"github.com/license-operator/license-operator/test/controlplane"
)

// live is a real API server: what refuses a write to what somebody else has
// changed is its optimistic lock.
var (
	live   client.Client
	serial atomic.Int32
)

func TestMain(m *testing.M) { os.Exit(runSuite(m)) }

func runSuite(m *testing.M) int {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "entitlements-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	cluster, err := controlplane.Start(ctx, controlplane.Options{Dir: dir})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer cluster.Stop()
	if _, err := cluster.Run(ctx, "apply", "--server-side", "-k", filepath.Join("..", "..", "config", "crd")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if _, err := cluster.Run(ctx, "wait", "--for=condition=Established", "crd", "--all"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	scheme := runtime.NewScheme()
	_ = v1alpha1.AddToScheme(scheme)
	if live, err = client.New(cluster.Config, client.Options{Scheme: scheme}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// book is a record whose reads and writes are counted. Its cache has what was
// last put there.
type book struct {
	*entitlements.Record
	client.Client // counts writes, and reads from cached
	t             *testing.T
	customer      string
	cached        []v1alpha1.Entitlement
	reads, writes int
	meanwhile     func() // runs once between a read from the API server and the write
}

func newBook(t *testing.T) *book {
	b := &book{t: t, Client: live, customer: fmt.Sprintf("customer-%d", serial.Add(1))}
	b.Record = &entitlements.Record{Client: b, Live: liveReader{live, b}}
	return b
}

func (b *book) Patch(ctx context.Context, o client.Object, p client.Patch, opts ...client.PatchOption) error {
	if f := b.meanwhile; f != nil {
		b.meanwhile = nil
		f()
	}
	b.writes++
	return b.Client.Patch(ctx, o, p, opts...)
}

// List answers as a cache with the indexes does.
func (b *book) List(_ context.Context, list client.ObjectList, opts ...client.ListOption) error {
	o := (&client.ListOptions{}).ApplyOptions(opts)
	for _, req := range o.FieldSelector.Requirements() {
		index := entitlements.Indexes[req.Field]
		for i := range b.cached {
			if slices.Contains(index(&b.cached[i]), req.Value) {
				l := list.(*v1alpha1.EntitlementList)
				l.Items = append(l.Items, *b.cached[i].DeepCopy())
			}
		}
	}
	return nil
}

type liveReader struct {
	client.Client
	b *book
}

func (l liveReader) Get(ctx context.Context, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
	l.b.reads++
	return l.Client.Get(ctx, key, o, opts...)
}

var start = time.Date(2027, 3, 1, 9, 0, 0, 0, time.UTC)

// put puts the nth purchase under a name on record.
func (b *book) put(subscription string, n int, change ...func(*v1alpha1.EntitlementSpec)) *v1alpha1.Entitlement {
	b.t.Helper()
	e := &v1alpha1.Entitlement{
		ObjectMeta: metav1.ObjectMeta{Name: entitlements.Name(b.customer, subscription, n)},
		Spec: v1alpha1.EntitlementSpec{
			ID: fmt.Sprintf("00000000-0000-4000-8000-%012d", serial.Add(1)), Customer: b.customer,
			Subscription: v1alpha1.SubscriptionIdentity{Name: subscription, UID: "00000000-0000-4000-8000-000000000000"},
			ProductRef:   v1alpha1.Reference{Name: "analytics"}, PublisherRef: v1alpha1.Reference{Name: "contoso"}, OfferID: "analytics",
			Purchase: v1alpha1.ServicePurchase{
				At: metav1.NewTime(start), Term: v1alpha1.TermMonth, Cancellation: v1alpha1.CancellationPolicy{Window: "PT72H", Refund: v1alpha1.RefundFull},
				ServiceLevel: v1alpha1.ServiceLevel{PlanID: "team", Quantity: 5, UnitPrice: v1alpha1.Money{Amount: "6.5", Currency: "EUR"}, BillingCycle: v1alpha1.BillingMonthly},
			},
			Subscriber: v1alpha1.Subscriber{AutoRenew: true, BillingCycle: v1alpha1.BillingMonthly},
		},
	}
	for _, f := range change {
		f(&e.Spec)
	}
	if err := live.Create(b.t.Context(), e); err != nil {
		b.t.Fatal(err)
	}
	return e
}

// now is what the API server has.
func (b *book) now(name string) *v1alpha1.Entitlement {
	b.t.Helper()
	e := &v1alpha1.Entitlement{}
	if err := live.Get(b.t.Context(), client.ObjectKey{Name: name}, e); err != nil {
		b.t.Fatal(err)
	}
	return e
}
