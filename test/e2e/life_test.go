package e2e

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/test/apiproxy"
)

// What wakes the operator: Secrets that vanish, keys that arrive, objects that
// were missing.
func TestWakesUp(t *testing.T) {
	s := newShop(t, 1)
	startOperator(t, kubeconfig)
	s.buy("first")
	s.settled("first", v1alpha1.StateActive)

	t.Run("a deleted Secret is delivered again", func(t *testing.T) {
		key := string(s.secret("first-key")["key"])
		if err := live.Delete(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: s.customer, Name: "first-key"}}); err != nil {
			t.Fatal(err)
		}
		eventually(t, "waiting for the Secret", func() error {
			if got := string(s.secret("first-key")["key"]); got != key {
				return fmt.Errorf("it holds %d bytes", len(got))
			}
			return nil
		})
		s.checkOneKeyPerSlot("first", 1)
	})
	t.Run("those who wait are served when keys arrive, the oldest first", func(t *testing.T) {
		// Ages differ by a second only, so ages are made equal and names decide.
		for _, name := range []string{"wait-c", "wait-a", "wait-b"} {
			s.buy(name)
		}
		var oldest []string
		for _, name := range []string{"wait-a", "wait-b", "wait-c"} {
			sub := s.settled(name, v1alpha1.StatePending)
			if !strings.Contains(sub.Status.Message, "the pool of KeyIssuer "+s.name+" has fewer left") {
				t.Errorf("message %q", sub.Status.Message)
			}
			oldest = append(oldest, sub.CreationTimestamp.UTC().Format(time.RFC3339)+" "+name)
		}
		first, last := min(oldest[0], oldest[1], oldest[2]), max(oldest[0], oldest[1], oldest[2])
		s.topUp(2)
		s.settled(strings.Fields(first)[1], v1alpha1.StateActive)
		for _, o := range oldest {
			if o != last {
				s.settled(strings.Fields(o)[1], v1alpha1.StateActive)
			}
		}
		s.settled(strings.Fields(last)[1], v1alpha1.StatePending)
		s.topUp(1)
		s.settled(strings.Fields(last)[1], v1alpha1.StateActive)
	})
	t.Run("an issuer whose Secrets another one selects too", func(t *testing.T) {
		twin := &v1alpha1.KeyIssuer{ObjectMeta: metav1.ObjectMeta{Name: s.name + "-twin"}, Spec: v1alpha1.KeyIssuerSpec{
			Pool: &v1alpha1.KeyPool{SecretSelector: metav1.LabelSelector{MatchLabels: map[string]string{"pool": s.name}}},
		}}
		stalled := func(want bool) {
			t.Helper()
			eventually(t, fmt.Sprintf("waiting for the issuer to be stalled: %v", want), func() error {
				i := &v1alpha1.KeyIssuer{}
				if err := live.Get(t.Context(), client.ObjectKey{Name: s.name}, i); err != nil {
					return err
				}
				if got := meta.IsStatusConditionTrue(i.Status.Conditions, v1alpha1.ConditionStalled); got != want {
					return fmt.Errorf("conditions %+v", i.Status.Conditions)
				}
				return nil
			})
		}
		s.create(twin)
		stalled(true)
		if err := live.Delete(t.Context(), twin); err != nil {
			t.Fatal(err)
		}
		stalled(false)
	})
	t.Run("a product that was missing", func(t *testing.T) {
		name := s.name + "-later"
		s.topUp(1)
		s.buy("early", func(sub *v1alpha1.SoftwareSubscription) { sub.Spec.ProductRef.Name = name })
		s.settled("early", v1alpha1.StatePending)
		p := &v1alpha1.Product{}
		if err := live.Get(t.Context(), client.ObjectKey{Name: s.name}, p); err != nil {
			t.Fatal(err)
		}
		s.create(&v1alpha1.Product{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: p.Spec})
		s.settled("early", v1alpha1.StateActive)
	})
	t.Run("deleting a subscription takes its Secret along and leaves the ledger", func(t *testing.T) {
		entries := len(s.entries())
		if err := live.Delete(t.Context(), &v1alpha1.SoftwareSubscription{ObjectMeta: metav1.ObjectMeta{Namespace: s.customer, Name: "first"}}); err != nil {
			t.Fatal(err)
		}
		eventually(t, "waiting for the garbage collector", func() error {
			if s.secret("first-key") != nil {
				return fmt.Errorf("the Secret is there")
			}
			return nil
		})
		if got := len(s.entries()); got != entries {
			t.Errorf("%d entries in the ledger, were %d", got, entries)
		}
	})
}

// The API server itself refuses what comes too late, whoever is running.
func TestLateCancellationIsRefused(t *testing.T) {
	s := newShop(t, 5)
	o := startOperator(t, kubeconfig)
	monthly := func(sub *v1alpha1.SoftwareSubscription) { sub.Spec.Term = v1alpha1.TermMonth } // cancelled within 5 s
	s.buy("told", monthly)
	sub := s.settled("told", v1alpha1.StateActive)
	until := sub.Status.Cancellation.Until.UTC().Format(time.RFC3339)
	eventually(t, "waiting for the window to close", func() error {
		sub, err := s.get("told")
		if err == nil && sub.Status.Cancellation.Open {
			err = errors.New("it is open")
		}
		return err
	})
	err := s.cancel("told")
	if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "spec.cancelled: Forbidden: the cancellation window closed at "+until+": set spec.autoRenew to false") {
		t.Errorf("by the CRD: %v", err)
	}

	s.buy("untold", monthly)
	s.settled("untold", v1alpha1.StateActive)
	o.kill()
	if sub, err = s.get("untold"); err != nil || !sub.Status.Cancellation.Open {
		t.Fatalf("status tells already that the window is closed: %+v, %v", sub.Status.Cancellation, err)
	}
	until = sub.Status.Cancellation.Until.UTC().Format(time.RFC3339)
	eventually(t, "waiting for the deadline", func() error {
		if time.Now().Before(sub.Status.Cancellation.Until.Time) {
			return fmt.Errorf("not yet")
		}
		return nil
	})
	err = s.cancel("untold")
	if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "the cancellation window closed at "+until) {
		t.Errorf("by the policy, with the operator down and status out of date: %v", err)
	}

	// Nor do forged managed fields help, at any time.
	sub, err = s.get("untold")
	if err != nil {
		t.Fatal(err)
	}
	for i := range sub.ManagedFields {
		sub.ManagedFields[i].Time = &metav1.Time{Time: sub.Status.PurchasedAt.Add(-time.Hour)}
	}
	sub.Annotations = map[string]string{"changed": "too"}
	if err := live.Update(t.Context(), sub, client.FieldOwner("forger")); !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "managedFields tell when something was asked for") {
		t.Errorf("forged managed fields: %v", err)
	}
	sub.ManagedFields[0].Manager = "renamed"
	if err := live.Update(t.Context(), sub, client.FieldOwner("forger")); !apierrors.IsForbidden(err) {
		t.Errorf("forged and renamed: %v", err)
	}

	// In time it is accepted, also with the operator down, and honoured later.
	startOperator(t, kubeconfig).kill()
	s.buy("in-time")
	o = startOperator(t, kubeconfig)
	s.settled("in-time", v1alpha1.StateActive)
	o.kill()
	if err := s.cancel("in-time"); err != nil {
		t.Errorf("in time: %v", err)
	}
	startOperator(t, kubeconfig)
	if sub := s.settled("in-time", v1alpha1.StateCancelled); sub.Status.Cancellation.Credit.Amount != "119.67" {
		t.Errorf("credit %+v", sub.Status.Cancellation.Credit)
	}
}

// The API server goes away for a while and comes back.
func TestOutage(t *testing.T) {
	proxy, through := startProxy(t)
	s := newShop(t, 20)
	startOperator(t, through)
	s.issuerReady()
	proxy.Pause()
	for i := range 10 {
		s.buy(fmt.Sprintf("sub-%d", i))
	}
	proxy.Resume()
	for i := range 10 {
		name := fmt.Sprintf("sub-%d", i)
		s.settled(name, v1alpha1.StateActive)
		s.checkOneKeyPerSlot(name, 1)
	}

	// Every other write fails for a while, each in its own way.
	ways := []apiproxy.Action{apiproxy.DropBefore, apiproxy.DropAfter, apiproxy.Respond409, apiproxy.Respond500, apiproxy.Respond429}
	proxy.Reset()
	proxy.SetHook(apiproxy.Hook{Before: func(w apiproxy.Write) apiproxy.Action {
		if w.Number < 30 && w.Number%2 == 1 {
			return ways[w.Number/2%len(ways)]
		}
		return apiproxy.Forward
	}})
	for i := range 5 {
		s.buy(fmt.Sprintf("hard-%d", i))
	}
	for i := range 5 {
		name := fmt.Sprintf("hard-%d", i)
		s.settled(name, v1alpha1.StateActive)
		s.checkOneKeyPerSlot(name, 1)
	}
}
