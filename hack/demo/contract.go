package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/shopspring/decimal"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/license-operator/license-operator/api/v1alpha1"
)

// changeQuantity changes it inside the window.
func (s *story) changeQuantity(ctx context.Context) error {
	say("Contoso's 25 licences become 30 while the cancellation window is open. What holds, and the",
		"credit that cancelling would give, follow")
	show := `kubectl -n contoso get swsub office -o jsonpath='{.status.quantity} {.status.cancellation}{"\n"}'`
	before, err := s.credit(ctx, show, 25)
	if err != nil {
		return err
	}
	if err := s.change(ctx, "contoso", "office", `"quantity":30`); err != nil {
		return err
	}
	after, err := s.credit(ctx, show, 30)
	if err != nil {
		return err
	}
	// Each is rounded to a cent.
	if expected := before.Mul(decimal.NewFromInt(30)).Div(decimal.NewFromInt(25)); after.Sub(expected).Abs().GreaterThan(decimal.New(2, -2)) {
		return fmt.Errorf("the credit for 30 licences is %s, and for 25 it was %s", after, before)
	}
	return nil
}

// credit shows what the subscription office is and returns its credit.
func (s *story) credit(ctx context.Context, show string, quantity int64) (decimal.Decimal, error) {
	if err := s.expect(ctx, s.admin, show, fmt.Sprintf("%d {", quantity)); err != nil {
		return decimal.Zero, err
	}
	sub, err := s.subscription(ctx, "contoso", "office")
	if err != nil {
		return decimal.Zero, err
	}
	if sub.Status.Quantity != quantity || sub.Status.Cancellation == nil || sub.Status.Cancellation.Credit == nil {
		return decimal.Zero, fmt.Errorf("contoso/office should be %d licences, with a credit: %+v", quantity, sub.Status)
	}
	return decimal.NewFromString(sub.Status.Cancellation.Credit.Amount)
}

// cancel cancels inside the window.
func (s *story) cancel(ctx context.Context) error {
	say("Contoso cancels a subscription in time, for which Ada has a link")
	if _, err := s.set(ctx, s.ada, "link", linkCommand("contoso", "office-lab-key")); err != nil {
		return err
	}
	if _, err := s.run(ctx, s.admin, patch("contoso", "office-lab", `"cancelled":true`)); err != nil {
		return err
	}
	fmt.Println()
	say("The link ends at once")
	if err := s.expect(ctx, s.ada, "curl -si $link"+words, "410", "The subscription has ended"); err != nil {
		return err
	}
	if err := settle(ctx, s.client); err != nil {
		return err
	}
	fmt.Println()
	say("There is a credit, the key is revoked and its Secret deleted")
	if err := s.told(ctx, "contoso", "office-lab", v1alpha1.StateCancelled, "key revoked"); err != nil {
		return err
	}
	if err := s.refused(ctx, s.admin, "kubectl -n contoso get secret office-lab-key", "NotFound"); err != nil {
		return err
	}
	fmt.Println()
	say("The ledger keeps the key for ever, so nobody is ever given it again")
	revoked, err := s.run(ctx, s.admin, "kubectl get licensekeys --field-selector spec.state=Revoked")
	if err != nil {
		return err
	}
	if strings.Count(revoked, "office-lab") != 1 {
		return errors.New("the ledger does not list one revoked key of office-lab")
	}
	fmt.Println()
	say("A cancellation cannot be taken back")
	return s.refused(ctx, s.admin, patch("contoso", "office-lab", `"cancelled":false`), "cancelled is final")
}

// tooLate tries what the subscription with the very short window has missed.
func (s *story) tooLate(ctx context.Context) error {
	deadline, err := s.waitClosed(ctx)
	if err != nil {
		return err
	}
	say("Fabrikam's window of 15 seconds has closed. The API server itself refuses to cancel,")
	if err := s.refused(ctx, s.admin, patch("fabrikam", "cad-monthly", `"cancelled":true`), deadline); err != nil {
		return err
	}
	fmt.Println()
	say("to change the quantity,")
	if err := s.refused(ctx, s.admin, patch("fabrikam", "cad-monthly", `"quantity":2`), deadline); err != nil {
		return err
	}
	fmt.Println()
	say("and to delete it, as a careless prune would, with the command for whoever means it")
	if err := s.refused(ctx, s.admin, "kubectl -n fabrikam delete swsub cad-monthly",
		"kubectl -n fabrikam annotate softwaresubscription cad-monthly license-operator.io/allow-delete=true"); err != nil {
		return err
	}
	fmt.Println()
	say("So the subscription goes on, and renews")
	return s.expect(ctx, s.admin, "kubectl -n fabrikam get swsub cad-monthly", "Active", "Renews")
}

// waitClosed waits until the window of cad-monthly has closed, and returns when
// that was.
func (s *story) waitClosed(ctx context.Context) (string, error) {
	sub, err := s.subscription(ctx, "fabrikam", "cad-monthly")
	if err != nil {
		return "", err
	}
	if sub.Status.Cancellation == nil || sub.Status.Cancellation.Until == nil {
		return "", errors.New("fabrikam/cad-monthly has no cancellation window")
	}
	deadline := sub.Status.Cancellation.Until.UTC().Format(time.RFC3339)
	if sub.Status.Cancellation.Open {
		progress("waiting until the cancellation window of fabrikam/cad-monthly closes at %s", deadline)
	}
	err = wait.PollUntilContextTimeout(ctx, pollEvery, time.Minute, true, func(ctx context.Context) (bool, error) {
		sub, err := s.subscription(ctx, "fabrikam", "cad-monthly")
		return err == nil && sub.Status.Cancellation != nil && !sub.Status.Cancellation.Open, err
	})
	if wait.Interrupted(err) {
		return "", fmt.Errorf("fabrikam/cad-monthly can still be cancelled, until %s: was its window meant to be that long?", deadline)
	}
	return deadline, err
}
