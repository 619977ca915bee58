package orders_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/orders"
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
	dir, err := os.MkdirTemp("", "orders-")
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
	crd := filepath.Join("..", "..", "config", "crd", "bases", "license-operator.io_selfserviceorders.yaml")
	for _, args := range [][]string{{"apply", "--server-side", "-f", crd}, {"wait", "--for=condition=Established", "crd", "--all"}} {
		if _, err := cluster.Run(ctx, args...); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	scheme := runtime.NewScheme()
	_ = v1alpha1.AddToScheme(scheme)
	if live, err = client.New(cluster.Config, client.Options{Scheme: scheme}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// book is a record whose reads and writes are counted. Its cache is empty.
type book struct {
	*orders.Record
	client.Client // counts writes
	t             *testing.T
	customer      string
	reads, writes int
	meanwhile     func() // runs once between a read from the API server and the write
}

func newBook(t *testing.T) *book {
	b := &book{t: t, Client: live, customer: fmt.Sprintf("customer-%d", serial.Add(1))}
	b.Record = &orders.Record{Client: b, Live: liveReader{live, b}}
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

type liveReader struct {
	client.Client
	b *book
}

func (l liveReader) Get(ctx context.Context, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
	l.b.reads++
	return l.Client.Get(ctx, key, o, opts...)
}

const day = 24 * time.Hour

var start = time.Date(2027, 1, 31, 9, 0, 0, 0, time.UTC)

// purchase is what ada buys by the month, with a change.
func (b *book) purchase(change ...func(*v1alpha1.SelfServicePurchase)) *v1alpha1.SelfServicePurchase {
	p := &v1alpha1.SelfServicePurchase{ObjectMeta: metav1.ObjectMeta{Namespace: b.customer, Name: "planner", UID: "00000000-0000-4000-8000-000000000000"}}
	p.Spec.ProductRef.Name, p.Spec.Type, p.Spec.PaymentMethod = "planner", v1alpha1.SelfServicePurchased, true
	p.Spec.Purchaser.Username, p.Spec.Purchaser.Email = "ada", "ada@contoso.example"
	for _, f := range change {
		f(p)
	}
	return p
}

// put puts the order of a purchase on record.
func (b *book) put(p *v1alpha1.SelfServicePurchase, change ...func(*v1alpha1.SelfServiceOrderSpec)) *v1alpha1.SelfServiceOrder {
	b.t.Helper()
	o := &v1alpha1.SelfServiceOrder{ObjectMeta: metav1.ObjectMeta{Name: orders.Name(p)}, Spec: v1alpha1.SelfServiceOrderSpec{
		Customer: p.Namespace, Purchase: v1alpha1.SubscriptionIdentity{Name: p.Name, UID: p.UID},
		Agreed: v1alpha1.SelfServiceAgreed{
			At: metav1.NewTime(start), ProductRef: p.Spec.ProductRef, Type: p.Spec.Type, Purchaser: p.Spec.Purchaser, PaymentMethod: p.Spec.PaymentMethod,
			Term: v1alpha1.TermMonth, UnitPrice: v1alpha1.Money{Amount: "9.00", Currency: "EUR"},
		},
	}}
	if p.Spec.Type == v1alpha1.SelfServiceTrial {
		o.Spec.Agreed.Trial = "P30D"
	}
	for _, f := range change {
		f(&o.Spec)
	}
	if err := live.Create(b.t.Context(), o); err != nil {
		b.t.Fatal(err)
	}
	return o
}

// now is what the API server has.
func (b *book) now(name string) *v1alpha1.SelfServiceOrder {
	b.t.Helper()
	o := &v1alpha1.SelfServiceOrder{}
	if err := live.Get(b.t.Context(), client.ObjectKey{Name: name}, o); err != nil {
		b.t.Fatal(err)
	}
	return o
}
