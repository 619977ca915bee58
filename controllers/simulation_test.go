package controllers

import (
	"cmp"
	"container/heap"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/keys"
	"github.com/license-operator/license-operator/internal/ledger"
)

const (
	simulatedYears     = 10
	simulatedPurchases = 300
	maxPasses          = 3_000 * simulatedPurchases
	// tolerated is how late a deadline may be kept because of writes that fail.
	tolerated = 3 * time.Second
	// eventsKept is how long the API server keeps Events.
	eventsKept = time.Hour
)

// TestTenYears lives through ten years of several hundred subscriptions, with
// writes that fail, an operator that is killed, restarted and away for days, and
// people who edit what they may and may not. Time goes from one instant at which
// something is to be done to the next. After every pass all that is known is
// compared with an oracle: what was paid and is given back, terms, keys,
// deadlines, Events, and that nothing is written without a reason. It is one
// thread, and the same ten years every time, unless SEED= asks for others.
func TestTenYears(t *testing.T) {
	seed := uint64(1)
	if s := os.Getenv("SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("SEED=%d", seed)
	started := time.Now()
	w := newWorld(t, seed)
	w.run()
	w.checkAtTheEnd()
	t.Logf("%d subscriptions, %d passes, %d writes (%d failed), %d restarts, %d Events, %d keys in %v",
		len(w.customers), w.passes, w.writes, w.failed, w.restarts, len(w.told), len(w.owner), time.Since(started).Round(time.Millisecond))
	t.Logf("%v", w.counts)
	for _, what := range []string{"cancelled", "expired", "renewed", "quantity changed", "cancelled too late", "quantity changed too late", "link expired", "link renewed", "migration lapsed", "waited for keys"} {
		if w.counts[what] == 0 {
			t.Errorf("it never happened that something was %s", what)
		}
	}
}

// world is the simulated cluster, the people and the operator.
type world struct {
	t         *testing.T
	rnd       *rand.Rand
	now, end  time.Time
	clock     *clocktesting.FakePassiveClock
	api       *memory
	op        *simulatedOperator // nil: it is not running
	up        time.Time          // since when it runs
	agenda    agenda
	serial    int
	due       map[work]time.Time // when the queues hand out what
	failures  map[work]int
	untilFail int // writes until one fails

	shelf     []*article
	customers []*customer
	byKey     map[client.ObjectKey]*customer

	owner     map[string]string // of every fingerprint that was ever in the ledger
	delivered map[string]string // the Secret that a key was ever in, by fingerprint
	told      map[string]bool   // names of all Events ever
	counts    map[string]int    // what happened how often

	passes, writes, failed, restarts int
}

// simulatedOperator is one process: its view of the cluster and its memory.
type simulatedOperator struct {
	view    *operatorView
	subs    *SoftwareSubscriptionReconciler
	issuers *KeyIssuerReconciler
	product *ProductReconciler
	by      map[string]reconcile.Reconciler
	woken   chan event.GenericEvent
}

// work is an entry of a queue.
type work struct {
	kind string
	key  client.ObjectKey
}

// agenda is what is going to happen, in its order.
type agenda []appointment

type appointment struct {
	at     time.Time
	serial int
	work   work
	do     func() // nil: work is handed out, unless it was put off
}

func (a agenda) Len() int { return len(a) }
func (a agenda) Less(i, j int) bool {
	return cmp.Or(a[i].at.Compare(a[j].at), cmp.Compare(a[i].serial, a[j].serial)) < 0
}
func (a agenda) Swap(i, j int) { a[i], a[j] = a[j], a[i] }
func (a *agenda) Push(x any)   { *a = append(*a, x.(appointment)) }
func (a *agenda) Pop() any {
	last := (*a)[len(*a)-1]
	*a = (*a)[:len(*a)-1]
	return last
}

func (w *world) at(when time.Time, do func()) {
	w.serial++
	heap.Push(&w.agenda, appointment{at: when, serial: w.serial, do: do})
}

func (w *world) in(d time.Duration, do func()) { w.at(w.now.Add(d).Truncate(time.Second), do) }

// every does something again and again, about so far apart.
func (w *world) every(d time.Duration, do func()) {
	w.in(w.about(d), func() { do(); w.every(d, do) })
}

// about is a random duration of whole seconds with the given mean.
func (w *world) about(d time.Duration) time.Duration { return w.upTo(2 * d) }

func (w *world) upTo(d time.Duration) time.Duration {
	return time.Duration(1+w.rnd.Int64N(int64(d/time.Second))) * time.Second
}

func (w *world) chance(percent int) bool { return w.rnd.IntN(100) < percent }

// enqueue adds work to its queue, unless it is there for an earlier instant.
func (w *world) enqueue(k work, at time.Time) {
	if w.op == nil {
		return
	}
	if was, there := w.due[k]; there && !at.Before(was) {
		return
	}
	w.due[k] = at
	w.serial++
	heap.Push(&w.agenda, appointment{at: at, serial: w.serial, work: k})
}

func (w *world) run() {
	for w.agenda.Len() > 0 {
		a := heap.Pop(&w.agenda).(appointment)
		if a.at.After(w.end) {
			return
		}
		if a.do == nil && (w.op == nil || !w.due[a.work].Equal(a.at)) {
			continue
		}
		if a.at.After(w.now) {
			w.now = a.at
			w.clock.SetTime(w.now)
		}
		if a.do != nil {
			a.do()
		} else {
			w.pass(a.work)
		}
	}
}

func newWorld(t *testing.T, seed uint64) *world {
	start := time.Date(2023, 1, 31, 22, 30, 0, 0, time.UTC)
	w := &world{
		t: t, rnd: rand.New(rand.NewPCG(seed, 0)), now: start, end: start.AddDate(simulatedYears, 0, 0),
		clock: clocktesting.NewFakePassiveClock(start),
		due:   map[work]time.Time{}, failures: map[work]int{}, byKey: map[client.ObjectKey]*customer{}, untilFail: 40,
		owner: map[string]string{}, delivered: map[string]string{}, told: map[string]bool{}, counts: map[string]int{},
	}
	w.api = newMemory(func() time.Time { return w.now })
	w.api.changed = w.watch
	w.stockShelf()
	w.start()
	for i := range simulatedPurchases {
		w.in(w.upTo(6*365*day), func() { w.buy(i) })
	}
	w.every(40*day, w.restart)
	w.every(50*day, w.goAway)
	w.every(100*day, w.changeAPrice)
	w.every(12*time.Hour, w.topUp)
	w.every(day, w.checkDeadlines)
	return w
}

// start runs a new process, which looks at everything.
func (w *world) start() {
	if w.op != nil {
		return
	}
	view := &operatorView{memory: w.api, outcome: w.outcome, small: map[client.ObjectKey]*corev1.Secret{}}
	book, registry, wake := &ledger.Ledger{Client: view, Live: w.api}, keys.NewRegistry(), make(chan event.GenericEvent, 1000)
	op := &simulatedOperator{
		view: view, woken: wake,
		subs:    &SoftwareSubscriptionReconciler{Client: view, Live: w.api, Clock: w.clock, Ledger: book, Keys: registry, Wake: wake, DownloadsURL: "https://downloads.example"},
		issuers: &KeyIssuerReconciler{Client: view, Live: w.api, Stock: w.api, Namespace: operatorNamespace, Clock: w.clock, Ledger: book, Keys: registry, Wake: wake},
		product: &ProductReconciler{Client: view, Clock: w.clock, Artifacts: noArtifacts},
	}
	op.by = map[string]reconcile.Reconciler{
		"SoftwareSubscription": op.subs, "KeyIssuer": op.issuers, "Product": reconcile.AsReconciler(client.Client(view), op.product),
		"LicenseServer": reconcile.AsReconciler(client.Client(view), &LicenseServerReconciler{Client: view, Clock: w.clock}),
	}
	w.op, w.up, w.due, w.failures = op, w.now, map[work]time.Time{}, map[work]int{}
	w.restarts++
	var all []work
	for kind, objects := range w.api.objects {
		if op.by[kind.Name()] != nil {
			for key := range objects {
				all = append(all, work{kind.Name(), key})
			}
		}
	}
	slices.SortFunc(all, func(a, b work) int { return cmp.Or(cmp.Compare(a.kind, b.kind), compareKeys(a.key, b.key)) })
	w.rnd.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	for _, k := range all {
		w.wake(k, w.now)
	}
}

// stop kills the process: its memory and its queues are lost.
func (w *world) stop() { w.op, w.due = nil, map[work]time.Time{} }

// restart stops the operator for less than a minute.
func (w *world) restart() {
	if w.op != nil {
		w.stop()
		w.in(w.upTo(time.Minute), w.start)
	}
}

// goAway stops the operator for up to ten days. What it was in the middle of
// it finishes first: how long that can be made up for is another test.
func (w *world) goAway() {
	if w.op == nil || slices.ContainsFunc(w.customers, func(c *customer) bool { return c.doubt }) {
		w.in(time.Minute, w.goAway)
		return
	}
	w.stop()
	back := w.upTo(10 * day)
	for _, c := range w.customers {
		if w.chance(20) { // nobody tells them that it is too late
			w.in(w.upTo(back), c.do)
		}
	}
	w.in(back, w.start)
}

// outcome decides what becomes of the next write.
func (w *world) outcome() outcome {
	w.writes++
	if w.untilFail--; w.untilFail > 0 {
		return succeeds
	}
	w.untilFail = 20 + w.rnd.IntN(200)
	w.failed++
	if w.chance(10) {
		return killedBefore + outcome(w.rnd.IntN(2))
	}
	return failsBefore + outcome(w.rnd.IntN(2))
}

// wake has something looked at because something has happened.
func (w *world) wake(k work, at time.Time) {
	if c := w.byKey[k.key]; c != nil && k.kind == "SoftwareSubscription" {
		c.reason = true
	}
	w.enqueue(k, at)
}

func (w *world) wakeAll(kind string, requests []reconcile.Request) {
	for _, req := range requests {
		w.wake(work{kind, req.NamespacedName}, w.now)
	}
}

// watch is what SetupWithManager asks for, by the same predicates and
// functions, and it keeps the books of what may never happen.
func (w *world) watch(before, after client.Object) {
	w.record(before, after)
	if w.op == nil {
		return
	}
	ctx, some := context.Background(), after
	if some == nil {
		some = before
	}
	passes := func(p predicate.Predicate, before, after client.Object) bool {
		switch {
		case before == nil:
			return p.Create(event.CreateEvent{Object: after})
		case after == nil:
			return p.Delete(event.DeleteEvent{Object: before})
		default:
			return p.Update(event.UpdateEvent{ObjectOld: before, ObjectNew: after})
		}
	}
	newSpec := passes(predicate.GenerationChangedPredicate{}, before, after)
	subs := w.op.subs
	self := work{kindOf(some).Name(), client.ObjectKeyFromObject(some)}
	if newSpec && w.op.by[self.kind] != nil {
		w.wake(self, w.now)
	}
	switch o := some.(type) {
	case *v1alpha1.SoftwareSubscription:
		if passes(downloadBegan, before, after) {
			w.wake(self, w.now)
		}
	case *v1alpha1.Product:
		if newSpec {
			w.wakeAll("SoftwareSubscription", subs.ofProduct(ctx, o))
		}
	case *v1alpha1.LicenseServer:
		if newSpec {
			w.wakeAll("SoftwareSubscription", subs.ofServer(ctx, o))
		}
	case *v1alpha1.KeyIssuer:
		if newSpec {
			w.wakeAll("KeyIssuer", w.op.issuers.all(ctx, o))
			w.wakeAll("Product", w.op.product.ofIssuer(ctx, o))
		}
		if passes(issuerReady, before, after) {
			w.wakeAll("SoftwareSubscription", subs.ofIssuer(ctx, o))
		}
	case *v1alpha1.LicenseKey:
		w.wake(work{"KeyIssuer", client.ObjectKey{Name: o.Spec.IssuerRef.Name}}, w.now.Add(countEvery))
	case *corev1.Secret:
		if o.Namespace == operatorNamespace {
			w.wakeAll("KeyIssuer", w.op.issuers.all(ctx, o))
			return
		}
		var small [2]client.Object
		for i, s := range []client.Object{before, after} {
			if s != nil {
				small[i] = fingerprinted(s.(*corev1.Secret))
			}
		}
		if passes(subs.secretMatters(ctx), small[0], small[1]) {
			w.wakeAll("SoftwareSubscription", subs.ofSecret(ctx, o))
		}
	}
}

// record remembers what was ever sold, delivered and told, and fails if
// something of it happens twice or is taken back.
func (w *world) record(before, after client.Object) {
	switch o := after.(type) {
	case *eventsv1.Event:
		if w.told[o.Name] {
			w.t.Fatalf("%v: Event %s %s is sent again: %s", w.now, o.Regarding.Name, o.Reason, o.Note)
		}
		w.told[o.Name] = true
		c := w.byKey[client.ObjectKey{Namespace: o.Namespace, Name: o.Regarding.Name}]
		c.got[o.Name] = o.Reason
		w.in(eventsKept, func() { _ = w.api.Delete(context.Background(), o) })
	case *v1alpha1.LicenseKey:
		holder := fmt.Sprintf("%s/%s %s slot %d", o.Spec.Customer, o.Spec.Subscription.Name, o.Spec.Subscription.UID, o.Spec.Slot)
		if before == nil {
			if was := w.owner[o.Spec.Fingerprint]; was != "" && w.delivered[o.Spec.Fingerprint] != "" {
				w.t.Fatalf("%v: key %s of %s is sold to %s", w.now, o.Spec.Fingerprint, was, holder)
			}
			w.owner[o.Spec.Fingerprint] = holder
			return
		}
		old := before.(*v1alpha1.LicenseKey)
		if old.Spec.State != v1alpha1.LicenseKeyIssued && !reflect.DeepEqual(old.Spec, o.Spec) {
			w.t.Fatalf("%v: the entry of %s ended and is changed", w.now, holder)
		}
		if n := len(old.Spec.QuantityChanges); n > len(o.Spec.QuantityChanges) || !slices.Equal(old.Spec.QuantityChanges, o.Spec.QuantityChanges[:n]) {
			w.t.Fatalf("%v: changes of the quantity of %s are lost", w.now, holder)
		}
		if old.Spec.RenewedUntil != nil && (o.Spec.RenewedUntil == nil || o.Spec.RenewedUntil.Before(old.Spec.RenewedUntil)) {
			w.t.Fatalf("%v: a renewal of %s is lost", w.now, holder)
		}
	case *corev1.Secret:
		if o.Namespace == operatorNamespace {
			return
		}
		for entry, value := range o.Data {
			if !strings.HasPrefix(entry, entryKey) {
				continue
			}
			fingerprint, where := keys.Fingerprint(string(value)), o.Namespace+"/"+o.Name+" "+entry
			if was := w.delivered[fingerprint]; was != "" && was != where {
				w.t.Fatalf("%v: the key in %s is put into %s", w.now, was, where)
			}
			w.delivered[fingerprint] = where
		}
	}
}

// pass runs one pass as a manager would, and puts the next one on the agenda.
func (w *world) pass(k work) {
	delete(w.due, k)
	op, c := w.op, w.byKey[k.key]
	if k.kind != "SoftwareSubscription" {
		c = nil
	}
	op.view.writes = nil
	var reason bool
	if c != nil {
		reason, c.reason = c.reason, false
	}
	res, err := op.by[k.kind].Reconcile(context.Background(), ctrl.Request{NamespacedName: k.key})
	if w.passes++; w.passes > maxPasses {
		w.t.Fatalf("%v: %d passes: something is looked at over and over, %s %s perhaps", w.now, w.passes, k.kind, k.key)
	}
	for len(op.woken) > 0 {
		o := (<-op.woken).Object
		w.wake(work{"SoftwareSubscription", client.ObjectKeyFromObject(o)}, w.now)
	}
	later := res.RequeueAfter == moment
	if c != nil {
		c.doubt = err != nil || op.view.dead || later
		c.reason = c.reason || c.doubt
		if c.doubt {
			c.note("a pass fails after %v: %v", op.view.writes, err)
		}
	}
	switch {
	case op.view.dead:
		w.stop()
		w.in(w.upTo(20*time.Minute), w.start)
	case err != nil:
		if w.failures[k]++; !errors.Is(err, errLost) || w.failures[k] > 5 {
			if c != nil {
				c.fatalf("failed %d times: %v", w.failures[k], err)
			}
			w.t.Fatalf("%v: %s %s failed %d times: %v", w.now, k.kind, k.key, w.failures[k], err)
		}
		w.enqueue(k, w.now.Add(min(time.Minute, 25*time.Millisecond<<w.failures[k])))
	case res.RequeueAfter != 0 && res.RequeueAfter < time.Second && (!later || w.failures[k] > 3):
		w.t.Fatalf("%v: %s %s wants to be looked at in %v", w.now, k.kind, k.key, res.RequeueAfter)
	case later:
		w.failures[k]++
		w.enqueue(k, w.now.Add(moment))
	default:
		w.failures[k] = 0
		if c != nil {
			c.settled(op.view.writes, reason)
		}
		if res.RequeueAfter > 0 {
			w.enqueue(k, w.now.Add(w.sleep(c, res.RequeueAfter)))
		}
	}
}

// sleep leaves out most of the passes that come every hour or every minute and
// find nothing, up to the last one before something is to be done. That one has
// to ask for the right instant itself.
func (w *world) sleep(c *customer, d time.Duration) time.Duration {
	if d != longestSleep && d != poll || w.chance(2) {
		return d
	}
	far := w.now.Add(400 * day)
	if d == poll {
		far = w.now.Add(w.upTo(5 * day))
	}
	if c != nil {
		if next := c.deadline(w.now); !next.IsZero() && next.Before(far) {
			far = next
		}
	}
	return max(1, far.Sub(w.now)/d) * d
}

// checkDeadlines finds what was slept through.
func (w *world) checkDeadlines() {
	for _, c := range w.customers {
		if w.op != nil && !c.due.IsZero() && !c.doubt && !c.due.Before(w.up) && w.now.Sub(c.due) > tolerated {
			c.fatalf("nobody looked when something was due at %s", stamp(c.due))
		}
	}
}

func (w *world) checkAtTheEnd() {
	w.checkDeadlines()
	for kind, objects := range w.api.objects {
		if kind.Name() == "Secret" {
			continue
		}
		for _, o := range objects {
			if data, err := json.Marshal(o); err != nil || strings.Contains(string(data), "-KEY") {
				w.t.Errorf("%v %s holds a key: %v", kind, o.GetName(), err)
			}
		}
	}
	for _, c := range w.customers {
		if c.deal != nil {
			c.checkBills()
		}
	}
}

// article is a product, its issuer and its history of prices.
type article struct {
	name     string
	currency string
	per      v1alpha1.KeysPer
	pool     bool
	rds      bool
	retired  bool
	lifetime time.Duration
	window   string // "": the default
	refund   v1alpha1.Refund
	terms    []v1alpha1.Term
	prices   map[v1alpha1.Term][]price
	stocked  int
}

type price struct {
	since  time.Time
	amount string
}

func (w *world) stockShelf() {
	const month, year, three, ever = v1alpha1.TermMonth, v1alpha1.TermYear, v1alpha1.TermThreeYears, v1alpha1.TermPerpetual
	w.shelf = []*article{
		{name: "office", currency: "EUR", per: v1alpha1.KeysPerSubscription, pool: true, lifetime: 5 * day, terms: []v1alpha1.Term{month, year, three, ever}},
		{name: "tool", currency: "KWD", per: v1alpha1.KeysPerLicense, lifetime: 5 * day, window: "P3D", refund: v1alpha1.RefundFull, terms: []v1alpha1.Term{month, year}},
		{name: "cad", currency: "JPY", per: v1alpha1.KeysPerLicense, pool: true, lifetime: day, window: "P20D", refund: v1alpha1.RefundProrated, terms: []v1alpha1.Term{year, three}},
		{name: "rds", currency: "USD", per: v1alpha1.KeysPerSubscription, pool: true, rds: true, terms: []v1alpha1.Term{year, three}},
		{name: "suite", currency: "CLF", per: v1alpha1.KeysPerSubscription, lifetime: 2 * day, window: "PT36H", refund: v1alpha1.RefundFull, terms: []v1alpha1.Term{month, three, ever}},
		{name: "fine", currency: "EUR", per: v1alpha1.KeysPerSubscription, lifetime: 5 * day, window: "P60D", refund: v1alpha1.RefundProrated, terms: []v1alpha1.Term{month, year}},
	}
	for _, a := range w.shelf {
		issuer := &v1alpha1.KeyIssuer{ObjectMeta: metav1.ObjectMeta{Name: a.name}}
		if a.pool {
			issuer.Spec.Pool = &v1alpha1.KeyPool{SecretSelector: metav1.LabelSelector{MatchLabels: map[string]string{"pool": a.name}}, Format: v1alpha1.KeyFormat5x5, LowWatermark: 5}
		} else {
			issuer.Spec.Signed = &v1alpha1.SignedKeys{SecretName: a.name + "-signing"}
		}
		w.create(issuer)
		p := &v1alpha1.Product{ObjectMeta: metav1.ObjectMeta{Name: a.name}, Spec: v1alpha1.ProductSpec{
			DisplayName: a.name,
			Software: &v1alpha1.SoftwareProduct{
				Keys: v1alpha1.ProductKeys{IssuerRef: v1alpha1.Reference{Name: a.name}, Per: a.per}, OfficeDeploymentTool: a.name == "office",
			},
		}}
		if a.rds {
			p.Spec.Software.RemoteDesktop = &v1alpha1.RemoteDesktop{Version: "2019"}
		} else {
			p.Spec.Software.DowngradeVersions = 1
			p.Spec.Software.DownloadLinkLifetime = v1alpha1.Duration(fmt.Sprintf("P%dD", a.lifetime/day))
			for _, v := range []string{"2024", "2021", "2019"} {
				p.Spec.Software.Versions = append(p.Spec.Software.Versions, v1alpha1.ProductVersion{Version: v, Builds: []v1alpha1.ProductBuild{{Language: "en-US", Architecture: "x64", Artifact: a.name, SHA256: strings.Repeat("0", 64)}}})
			}
		}
		a.prices = map[v1alpha1.Term][]price{}
		for _, term := range a.terms {
			amount := w.price(a)
			a.prices[term] = []price{{w.now, amount}}
			offer := v1alpha1.TermOffer{Term: term, Price: v1alpha1.Money{Amount: amount, Currency: a.currency}}
			if a.window != "" && term != ever {
				offer.Cancellation = &v1alpha1.CancellationPolicy{Window: v1alpha1.Duration(a.window), Refund: a.refund}
			}
			p.Spec.Terms = append(p.Spec.Terms, offer)
		}
		w.create(p)
		if a.pool {
			w.addKeys(a)
		}
	}
}

func (w *world) price(a *article) string {
	if a.name == "fine" {
		return fmt.Sprintf("0.%04d", 1+w.rnd.IntN(999))
	}
	return fmt.Sprintf("%d.%02d", w.rnd.IntN(500), w.rnd.IntN(100))
}

func (w *world) create(o client.Object) {
	if err := w.api.Create(context.Background(), o); err != nil {
		w.t.Fatal(err)
	}
}

// changeAPrice changes one for later purchases, or, rarely, takes a product
// from the market.
func (w *world) changeAPrice() {
	a := w.shelf[w.rnd.IntN(len(w.shelf))]
	p := &v1alpha1.Product{}
	if a.retired || w.api.Get(context.Background(), client.ObjectKey{Name: a.name}, p) != nil {
		return
	}
	if w.now.Sub(w.end) > -3*365*day && (a.name == "suite" || a.name == "tool") {
		a.retired = true
		_ = w.api.Delete(context.Background(), p)
		return
	}
	i := w.rnd.IntN(len(p.Spec.Terms))
	term, amount := p.Spec.Terms[i].Term, w.price(a)
	a.prices[term] = append(a.prices[term], price{w.now, amount})
	if err := w.api.replace(p, "", func(o client.Object) { o.(*v1alpha1.Product).Spec.Terms[i].Price.Amount = amount }); err != nil {
		w.t.Fatal(err)
	}
}

// topUp adds keys to pools some days after somebody had to wait for them.
func (w *world) topUp() {
	for _, a := range w.shelf {
		waits := func(c *customer) bool { return c.article == a && c.ended == "" && !c.complete }
		if a.pool && slices.ContainsFunc(w.customers, waits) && w.free(a) < 6 && w.chance(10) {
			w.addKeys(a)
		}
	}
}

func (w *world) addKeys(a *article) {
	var lines []string
	for range 40 {
		a.stocked++
		lines = append(lines, fmt.Sprintf("%05d-KEYXX-%-5.5s-XXXXX-XXXXX", a.stocked, strings.ToUpper(a.name)+"XXXXX"))
	}
	w.create(&corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: operatorNamespace, Name: fmt.Sprintf("%s-%d", a.name, a.stocked), Labels: map[string]string{"pool": a.name}},
		Data:       map[string][]byte{"keys": []byte(strings.Join(lines, "\n"))},
	})
}

// free is how many keys of a pool the ledger does not hold.
func (w *world) free(a *article) int {
	return a.stocked - len(w.api.indexed[index{reflect.TypeFor[v1alpha1.LicenseKey](), ledger.IndexIssuer, a.name}])
}

// buy makes a purchase of some sort, and begins what its customer does with it.
func (w *world) buy(i int) {
	a := w.shelf[w.rnd.IntN(len(w.shelf))]
	c := &customer{
		w: w, article: a, key: client.ObjectKey{Namespace: fmt.Sprintf("customer-%d", i%20), Name: fmt.Sprintf("sub-%d", i)},
		created: w.now, taken: map[string]time.Time{"quantity": w.now, "cancelled": w.now}, want: map[string]string{}, got: map[string]string{},
		lifetime: a.lifetime, noticed: w.now.Add(-time.Minute),
	}
	sub := &v1alpha1.SoftwareSubscription{
		ObjectMeta: metav1.ObjectMeta{Namespace: c.key.Namespace, Name: c.key.Name},
		Spec: v1alpha1.SoftwareSubscriptionSpec{
			ProductRef: v1alpha1.Reference{Name: a.name}, Quantity: w.quantity(), Term: a.terms[w.rnd.IntN(len(a.terms))], AutoRenew: ptr.To(w.chance(85)),
		},
		Status: v1alpha1.SoftwareSubscriptionStatus{ObservedGeneration: -1},
	}
	switch {
	case a.rds:
		server := &v1alpha1.LicenseServer{ObjectMeta: metav1.ObjectMeta{Namespace: c.key.Namespace, Name: c.key.Name}, Spec: v1alpha1.LicenseServerSpec{WindowsServerVersion: "2022"}}
		w.create(server)
		sub.Spec.LicenseServerRef = &v1alpha1.Reference{Name: server.Name}
		w.in(w.upTo(20*day), func() {
			c.activated = true
			_ = w.api.replace(server, "", func(o client.Object) {
				o.(*v1alpha1.LicenseServer).Spec.LicenseServerID = strings.Repeat("A", 35)
			})
		})
	case a.name == "office" && w.chance(20):
		sub.Spec.Download = &v1alpha1.DownloadChoice{Architecture: "x86", Language: "en-US"}
	case w.chance(50):
		sub.Spec.Download = &v1alpha1.DownloadChoice{Architecture: "x64", Version: "2021"}
	}
	if a.name == "office" && w.chance(50) {
		c.kms = w.now.Add(-w.upTo(170 * day))
		sub.Spec.VolumeLicensing = &v1alpha1.VolumeLicensing{LastKMSActivation: metav1.NewTime(c.kms)}
	}
	c.autoRenew = *sub.Spec.AutoRenew
	w.customers = append(w.customers, c)
	w.byKey[c.key] = c
	sub.ManagedFields = c.managedFields()
	w.create(sub)
	w.in(w.upTo(10*day), c.act)
}

func (w *world) quantity() int64 { return 1 + w.rnd.Int64N(6) }
