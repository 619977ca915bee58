package e2e

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
)

// company is a customer who has bought software for everybody, and whose
// employees buy or try a service themselves.
type company struct {
	*shop
	service string // the product that they buy
}

const seats = 5 // of the subscription that was bought for everybody, named central

func newCompany(t *testing.T) *company {
	t.Helper()
	c := &company{shop: newShop(t, 1)}
	c.service = c.name + "-service"
	c.create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: c.service}})
	c.create(&v1alpha1.Publisher{ObjectMeta: metav1.ObjectMeta{Name: c.service}, Spec: v1alpha1.PublisherSpec{
		DisplayName: "A publisher", LandingPageURL: "https://saas.example/landing", WebhookURL: "https://saas.example/webhook",
		Subjects: []v1alpha1.Subject{{Kind: "ServiceAccount", Namespace: c.service, Name: "saas"}},
	}})
	c.create(&v1alpha1.Product{ObjectMeta: metav1.ObjectMeta{Name: c.service}, Spec: v1alpha1.ProductSpec{
		DisplayName: "A service",
		SaaS: &v1alpha1.SaaSProduct{PublisherRef: v1alpha1.Reference{Name: c.service}, OfferID: c.service, Plans: []v1alpha1.Plan{
			{ID: "standard", DisplayName: "Standard", Seats: &v1alpha1.SeatBounds{Min: 1, Max: 100}},
		}},
		Terms:       []v1alpha1.TermOffer{{Term: v1alpha1.TermMonth, Price: v1alpha1.Money{Amount: "10.00", Currency: "EUR"}}},
		SelfService: &v1alpha1.SelfServiceOffer{Purchase: true, Trial: &v1alpha1.TrialOffer{Length: "P30D", PaymentMethod: v1alpha1.PaymentMethodNotRequired}},
	}})
	return c
}

// central buys for everybody, and waits until there are seats.
func (c *company) central() {
	c.t.Helper()
	c.buy("central", func(sub *v1alpha1.SoftwareSubscription) { sub.Spec.Quantity = seats })
	c.settled("central", v1alpha1.StateActive)
}

var centralRef = v1alpha1.SubscriptionReference{Kind: v1alpha1.KindSoftwareSubscription, Reference: v1alpha1.Reference{Name: "central"}}

// order buys as Ada, for some users.
func (c *company) order(name string, users ...v1alpha1.User) {
	c.t.Helper()
	c.create(&v1alpha1.SelfServicePurchase{
		ObjectMeta: metav1.ObjectMeta{Namespace: c.customer, Name: name},
		Spec: v1alpha1.SelfServicePurchaseSpec{
			ProductRef: v1alpha1.Reference{Name: c.service}, Type: v1alpha1.SelfServicePurchased, PaymentMethod: true, Quantity: int64(max(1, len(users))), AssignedUsers: users,
			Purchaser: v1alpha1.Purchaser{Username: "ada", Person: v1alpha1.Person{Email: "ada@contoso.example"}},
		},
	})
}

// assign gives a user a seat of central, or has him wait for one.
func (c *company) assign(name string, user v1alpha1.User) {
	c.t.Helper()
	c.create(&v1alpha1.LicenseAssignment{
		ObjectMeta: metav1.ObjectMeta{Namespace: c.customer, Name: name},
		Spec:       v1alpha1.LicenseAssignmentSpec{SubscriptionRef: centralRef, User: user},
	})
}

// takeOver moves the users of a purchase to central.
func (c *company) takeOver(purchase string) {
	c.t.Helper()
	to := centralRef
	c.create(&v1alpha1.Takeover{
		ObjectMeta: metav1.ObjectMeta{Namespace: c.customer, Name: purchase},
		Spec:       v1alpha1.TakeoverSpec{PurchaseRef: v1alpha1.Reference{Name: purchase}, MoveTo: &to},
	})
}

// purchase is what status says of a purchase whose spec the operator has seen.
func (c *company) purchase(name string) (*v1alpha1.SelfServicePurchase, error) {
	p := &v1alpha1.SelfServicePurchase{}
	if err := live.Get(c.t.Context(), client.ObjectKey{Namespace: c.customer, Name: name}, p); err != nil {
		return nil, err
	}
	if p.Status.ObservedGeneration != p.Generation {
		return nil, errors.New("the operator has not looked at " + name)
	}
	return p, nil
}

// hasState is nil once a purchase is in a state, for some users.
func (c *company) hasState(name string, state v1alpha1.SelfServiceState, users ...v1alpha1.User) error {
	p, err := c.purchase(name)
	if err != nil {
		return err
	}
	if got := slices.Sorted(slices.Values(p.Status.Users)); p.Status.State != state || !slices.Equal(got, users) {
		return fmt.Errorf("%s is %s for %v: %s", name, p.Status.State, got, p.Status.Message)
	}
	return nil
}

// theOrder is the only one in the ledger for this customer.
func (c *company) theOrder() (*v1alpha1.SelfServiceOrder, error) {
	var all v1alpha1.SelfServiceOrderList
	if err := live.List(c.t.Context(), &all, client.MatchingFields{"spec.customer": c.customer}); err != nil {
		return nil, err
	}
	if len(all.Items) != 1 {
		return nil, fmt.Errorf("%d orders", len(all.Items))
	}
	return &all.Items[0], nil
}

// seated is nil if exactly these users have a seat of central, one each, for an
// assignment that says so.
func (c *company) seated(users ...v1alpha1.User) error {
	var taken v1alpha1.SeatList
	var assignments v1alpha1.LicenseAssignmentList
	if err := errors.Join(live.List(c.t.Context(), &taken, client.InNamespace(c.customer)), live.List(c.t.Context(), &assignments, client.InNamespace(c.customer))); err != nil {
		return err
	}
	var got []v1alpha1.User
	numbers := map[string]int64{}
	for _, s := range taken.Items {
		got = append(got, s.Spec.User)
		numbers[s.Spec.Assignment] = s.Spec.Number
	}
	if slices.Sort(got); !slices.Equal(got, users) || len(assignments.Items) != len(users) {
		return fmt.Errorf("there are %d assignments, and seats of %v", len(assignments.Items), got)
	}
	for _, a := range assignments.Items {
		if n := numbers[a.Name]; n == 0 || a.Status.Seat != n || !meta.IsStatusConditionTrue(a.Status.Conditions, v1alpha1.ConditionReady) {
			return fmt.Errorf("%s has seat %d, and says %+v", a.Name, n, a.Status)
		}
	}
	return nil
}

// access is nil if each of the users may use what Ada bought, or has a seat of
// central: what is on record counts, and so does what status tells.
func (c *company) access(purchase string, users ...v1alpha1.User) error {
	order, err := c.theOrder()
	if err != nil {
		return err
	}
	p := &v1alpha1.SelfServicePurchase{}
	if err := live.Get(c.t.Context(), client.ObjectKey{Namespace: c.customer, Name: purchase}, p); err != nil {
		return err
	}
	// What has been read has ended by now, or will. Seats that were taken before
	// that are there still.
	var taken v1alpha1.SeatList
	var assignments v1alpha1.LicenseAssignmentList
	if err := errors.Join(live.List(c.t.Context(), &taken, client.InNamespace(c.customer)), live.List(c.t.Context(), &assignments, client.InNamespace(c.customer))); err != nil {
		return err
	}
	for _, u := range users {
		if order.Spec.EndedAt == nil && slices.Contains(p.Status.Users, u) {
			continue
		}
		i := slices.IndexFunc(taken.Items, func(s v1alpha1.Seat) bool { return s.Spec.User == u })
		if i < 0 || !slices.ContainsFunc(assignments.Items, func(a v1alpha1.LicenseAssignment) bool { return a.Name == taken.Items[i].Spec.Assignment }) {
			return fmt.Errorf("%s has lost access: the order ended at %v, status has %v, and there are %d seats for %d assignments", u, order.Spec.EndedAt, p.Status.Users, len(taken.Items), len(assignments.Items))
		}
	}
	return nil
}

// told is nil if each of the notices about a purchase is there once, as an Event
// and as a mail on record.
func (c *company) told(purchase string, notices ...string) error {
	var events eventsv1.EventList
	var mails v1alpha1.NotificationList
	if err := errors.Join(live.List(c.t.Context(), &events, client.InNamespace(c.customer)), live.List(c.t.Context(), &mails, client.InNamespace(c.customer))); err != nil {
		return err
	}
	var byEvent, byMail []string
	for _, e := range events.Items {
		if e.Regarding.Kind == "SelfServicePurchase" && e.Regarding.Name == purchase {
			byEvent = append(byEvent, e.Reason)
		}
	}
	for _, m := range mails.Items {
		if m.Spec.Regarding.Name == purchase {
			byMail = append(byMail, m.Spec.Notice)
		}
	}
	slices.Sort(byEvent)
	slices.Sort(byMail)
	if want := strings.Join(notices, " "); strings.Join(byEvent, " ") != want || strings.Join(byMail, " ") != want {
		return fmt.Errorf("events %v and mails %v, want %v", byEvent, byMail, notices)
	}
	return nil
}

func (c *company) unassign(name string) {
	c.t.Helper()
	if err := live.Delete(c.t.Context(), &v1alpha1.LicenseAssignment{ObjectMeta: metav1.ObjectMeta{Namespace: c.customer, Name: name}}); err != nil {
		c.t.Fatal(err)
	}
}

// isTakenOver is nil once a takeover is done, for so many users.
func (c *company) isTakenOver(name string, users int) error {
	take := &v1alpha1.Takeover{}
	if err := live.Get(c.t.Context(), client.ObjectKey{Namespace: c.customer, Name: name}, take); err != nil {
		return err
	}
	if !meta.IsStatusConditionTrue(take.Status.Conditions, v1alpha1.ConditionReady) || take.Status.CompletedAt == nil || len(take.Status.Users) != users {
		return fmt.Errorf("the takeover is not done: %+v", take.Status)
	}
	return nil
}
