package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
)

// assignSeats gives seats of what was bought for everybody.
func (s *story) assignSeats(ctx context.Context) error {
	say("Contoso has bought the same for everybody, with three seats")
	if err := s.buySeats(ctx); err != nil {
		return err
	}
	fmt.Println()
	say("Kim assigns them")
	if _, err := s.run(ctx, s.kim, "for user in ana ben cleo dora; do kubectl create -f - <<EOF\n"+strings.TrimSpace(assignmentYAML)+"\nEOF\ndone"); err != nil {
		return err
	}
	for i, user := range []string{"ana", "ben", "cleo", "dora"} {
		if err := s.assigned(ctx, user, i < 3); err != nil {
			return err
		}
	}
	fmt.Println()
	say("Dora, who came last, waits, and her assignment says for what")
	if err := s.expect(ctx, s.kim, "kubectl -n contoso get lassign", "seat"); err != nil {
		return err
	}
	fmt.Println()
	say("Ben needs his no more. Whoever waits longest gets the seat")
	if _, err := s.run(ctx, s.kim, "kubectl -n contoso delete lassign ben"); err != nil {
		return err
	}
	if err := s.assigned(ctx, "dora", true); err != nil {
		return err
	}
	if err := s.expect(ctx, s.kim, "kubectl -n contoso get lassign", "dora"); err != nil {
		return err
	}
	var taken v1alpha1.SeatList
	if err := s.client.List(ctx, &taken, client.InNamespace("contoso")); err != nil {
		return err
	}
	if len(taken.Items) != 3 {
		return fmt.Errorf("3 seats should be taken, and %d are", len(taken.Items))
	}
	return nil
}

const seatsYAML = `
apiVersion: license-operator.io/v1alpha1
kind: MarketplaceSubscription
metadata: {name: ` + seatsSubscription + `, namespace: contoso}
spec:
  productRef: {name: ` + boughtProduct + `}
  planID: standard
  quantity: 3
  term: P1Y
  beneficiary: {email: kim@contoso.example}
`

// buySeats buys a service for everybody, and has its publisher activate it.
func (s *story) buySeats(ctx context.Context) error {
	if _, err := s.run(ctx, s.admin, create(seatsYAML)); err != nil {
		return err
	}
	if _, err := s.service(ctx, seatsSubscription, func(sub *v1alpha1.MarketplaceSubscription) bool {
		return sub.Status.State == v1alpha1.StatePendingFulfillmentStart && sub.Status.ID != ""
	}); err != nil {
		return err
	}
	dir := filepath.Join(s.cluster.Dir, "proseware")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	proseware := &person{prompt: "proseware$ ", kubeconfig: s.cluster.Kubeconfig, dir: dir, vars: []string{"api=" + s.at.fulfillment + "/api/saas/subscriptions"}}
	fmt.Println()
	say("Proseware, who runs it, activates it. What its program calls for that is this")
	if _, err := s.run(ctx, proseware, "(umask 077; kubectl -n proseware create token saas --audience=license-operator > token)"); err != nil {
		return err
	}
	if _, err := s.set(ctx, proseware, "id", "kubectl -n contoso get mpsub "+seatsSubscription+" -o jsonpath='{.status.id}'"); err != nil {
		return err
	}
	fmt.Println(proseware.prompt + proseware.vars[0])
	if err := s.expect(ctx, proseware, `curl -si -H "Authorization: Bearer $(cat token)" -H 'Content-Type: application/json' -d '{"planId":"standard","quantity":3}' "$api/$id/activate?api-version=2018-08-31" | head -1`, "200"); err != nil {
		return err
	}
	_, err := s.service(ctx, seatsSubscription, func(sub *v1alpha1.MarketplaceSubscription) bool { return sub.Status.State == v1alpha1.StateSubscribed })
	return err
}

const assignmentYAML = `
apiVersion: license-operator.io/v1alpha1
kind: LicenseAssignment
metadata: {name: $user, namespace: contoso}
spec:
  subscriptionRef: {kind: ` + seatsKind + `, name: ` + seatsSubscription + `}
  user: $user@contoso.example
`

// assigned waits until an assignment has a seat, or waits for one.
func (s *story) assigned(ctx context.Context, name string, seat bool) error {
	a := &v1alpha1.LicenseAssignment{}
	return until(ctx, func(ctx context.Context) error {
		if err := s.client.Get(ctx, client.ObjectKey{Namespace: "contoso", Name: name}, a); err != nil {
			return fmt.Errorf("reading LicenseAssignment contoso/%s: %w", name, err)
		}
		ready := meta.FindStatusCondition(a.Status.Conditions, v1alpha1.ConditionReady)
		if ready == nil || (a.Status.Seat > 0) != seat || !seat && ready.Reason != v1alpha1.ReasonNoSeatFree {
			return fmt.Errorf("LicenseAssignment contoso/%s is not as it should be: %+v", name, a.Status)
		}
		return nil
	})
}

// takeOver moves the users of what Mia bought.
func (s *story) takeOver(ctx context.Context) error {
	say("Kim moves Mia's users to what contoso has bought. All of them or none: so it waits, and says how many seats are missing")
	if _, err := s.run(ctx, s.kim, create(fmt.Sprintf(`
apiVersion: license-operator.io/v1alpha1
kind: Takeover
metadata: {name: mias-bi, namespace: contoso}
spec:
  purchaseRef: {name: mias-bi}
  moveTo: {kind: %s, name: %s}
`, seatsKind, seatsSubscription))); err != nil {
		return err
	}
	if err := s.takenOver(ctx, "mias-bi", func(t *v1alpha1.Takeover) bool { return t.Status.Missing == 2 }); err != nil {
		return err
	}
	if err := s.expect(ctx, s.kim, "kubectl -n contoso get takeover mias-bi", "False", "2 seats are missing"); err != nil {
		return err
	}
	fmt.Println()
	say("Meanwhile Mia and Eva go on working. Ana and Cleo need theirs no more, and the takeover goes on by itself")
	if _, err := s.run(ctx, s.kim, "kubectl -n contoso delete lassign ana cleo"); err != nil {
		return err
	}
	if err := s.takenOver(ctx, "mias-bi", done); err != nil {
		return err
	}
	if err := s.purchase(ctx, "mias-bi", inState(v1alpha1.SelfServiceDeleted, 0)); err != nil {
		return err
	}
	for _, command := range []string{"kubectl -n contoso get takeover mias-bi", "kubectl -n contoso get lassign", "kubectl -n contoso get sspur mias-bi"} {
		if _, err := s.run(ctx, s.kim, command); err != nil {
			return err
		}
	}
	var taken v1alpha1.SeatList
	if err := s.client.List(ctx, &taken, client.InNamespace("contoso")); err != nil {
		return err
	}
	for _, user := range []v1alpha1.User{"mia@contoso.example", "eva@contoso.example"} {
		if n := len(slices.DeleteFunc(slices.Clone(taken.Items), func(t v1alpha1.Seat) bool { return t.Spec.User != user })); n != 1 {
			return fmt.Errorf("%s should have one seat, and has %d", user, n)
		}
	}
	fmt.Println()
	say("Mia was told by mail. The demo's mail server keeps what it is given")
	return s.showMail(ctx, "mia@contoso.example", "PurchaseTakenOver", "mias-bi")
}

func done(t *v1alpha1.Takeover) bool {
	return meta.IsStatusConditionTrue(t.Status.Conditions, v1alpha1.ConditionReady) && t.Status.CompletedAt != nil
}

// takenOver waits until a takeover is as it should be.
func (s *story) takenOver(ctx context.Context, name string, is func(*v1alpha1.Takeover) bool) error {
	t := &v1alpha1.Takeover{}
	return until(ctx, func(ctx context.Context) error {
		if err := s.client.Get(ctx, client.ObjectKey{Namespace: "contoso", Name: name}, t); err != nil {
			return fmt.Errorf("reading Takeover contoso/%s: %w", name, err)
		}
		if !is(t) {
			return fmt.Errorf("contoso/%s is not taken over as it should be: %+v", name, t.Status)
		}
		return nil
	})
}

// showMail shows the only mail about an object with a notice, once it was sent.
func (s *story) showMail(ctx context.Context, to, notice, about string) error {
	id := ""
	err := until(ctx, func(ctx context.Context) error {
		var all v1alpha1.NotificationList
		if err := s.client.List(ctx, &all, client.InNamespace("contoso")); err != nil {
			return err
		}
		mine := slices.DeleteFunc(all.Items, func(n v1alpha1.Notification) bool {
			return n.Spec.Notice != notice || n.Spec.Regarding.Name != about || string(n.Spec.To) != to
		})
		if len(mine) != 1 || mine[0].Status.SentAt == nil {
			return fmt.Errorf("not one mail %s about %s was sent: %+v", notice, about, mine)
		}
		id = mine[0].Status.MessageID
		return nil
	})
	if err != nil {
		return err
	}
	reader := &person{prompt: "$ ", kubeconfig: s.cluster.Kubeconfig, vars: []string{"mails=" + mailDir(s.cluster)}}
	list, err := quietly(ctx, reader, fmt.Sprintf("grep -lF '%s' $mails/*.eml", id))
	if err != nil {
		return err
	}
	if strings.Contains(list, "\n") {
		return fmt.Errorf("the mail %s came more than once", id)
	}
	if !s.mails {
		fmt.Println("$ mails=" + mailDir(s.cluster))
		s.mails = true
	}
	return s.expect(ctx, reader, mailBinary+" show $mails/"+filepath.Base(list), "From: ", mailFrom, to, "Subject: ", id)
}

// cancelPurchase ends what Tom tries.
func (s *story) cancelPurchase(ctx context.Context) error {
	say("Or Kim cancels with a reason. The users lose access, and the purchaser is told")
	if _, err := s.run(ctx, s.kim, create(`
apiVersion: license-operator.io/v1alpha1
kind: Takeover
metadata: {name: toms-visio, namespace: contoso}
spec:
  purchaseRef: {name: toms-visio}
  cancel: {reason: NotNeeded, comment: We have something like it already.}
`)); err != nil {
		return err
	}
	if err := s.takenOver(ctx, "toms-visio", done); err != nil {
		return err
	}
	if err := s.purchase(ctx, "toms-visio", inState(v1alpha1.SelfServiceDeleted, 0)); err != nil {
		return err
	}
	for _, command := range []string{"kubectl -n contoso get takeover toms-visio", "kubectl -n contoso get sspur"} {
		if _, err := s.run(ctx, s.kim, command); err != nil {
			return err
		}
	}
	if err := s.showMail(ctx, "tom@contoso.example", "PurchaseTakenOver", "toms-visio"); err != nil {
		return err
	}
	fmt.Println()
	say("A trial is had once, also under another name")
	if _, err := s.run(ctx, s.tom, create(purchaseYAML("toms-second-visio", triedProduct, "Trial", "tom", 1, "tom@contoso.example"))); err != nil {
		return err
	}
	if err := s.purchase(ctx, "toms-second-visio", func(p *v1alpha1.SelfServicePurchase) bool {
		c := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.ConditionStalled)
		return c != nil && c.Reason == v1alpha1.ReasonTrialUsed
	}); err != nil {
		return err
	}
	if err := s.expect(ctx, s.tom, "kubectl -n contoso get sspur toms-second-visio -o jsonpath='{.status.message}{\"\\n\"}'", "trial"); err != nil {
		return err
	}
	_, err := s.run(ctx, s.tom, "kubectl -n contoso delete sspur toms-second-visio")
	return err
}
