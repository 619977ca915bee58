package main

import (
	"context"
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
)

const canteenYAML = `
apiVersion: license-operator.io/v1alpha1
kind: MarketplaceSubscription
metadata: {name: coffee-canteen, namespace: contoso}
spec:
  productRef: {name: coffee-analytics}
  planID: silver
  quantity: 2
  term: P1M
  beneficiary: {email: ada@contoso.example}
`

// changeThere has customers change their mind on the publisher's site.
func (s *story) changeThere(ctx context.Context) error {
	say("A partner bought contoso's service, so nothing can be changed on the publisher's site")
	if err := s.expect(ctx, s.ada, browse+`-d seats=30 "$account/seats"`+site+" | head -2", "managed at the marketplace"); err != nil {
		return err
	}
	fmt.Println()
	say("This one contoso buys itself. Ada sets it up, and then asks there for 7 seats. They are in spec, as the publisher's field")
	if _, err := s.run(ctx, s.admin, create(canteenYAML)); err != nil {
		return err
	}
	if err := s.setUpThere(ctx, "coffee-canteen", "coffee-canteen-landing"); err != nil {
		return err
	}
	if _, err := s.run(ctx, s.ada, browse+`-o page.html -d seats=7 "$account/seats"`); err != nil {
		return err
	}
	if _, err := s.service(ctx, "coffee-canteen", has("silver", 7)); err != nil {
		return err
	}
	if err := s.expect(ctx, s.admin, `kubectl -n contoso get mpsub coffee-canteen -o jsonpath='{.spec.quantity} {.metadata.managedFields[*].manager}{"\n"}'`, "7 ", "publisher-fourth-coffee"); err != nil {
		return err
	}
	fmt.Println()
	say("The trial is kept in a file, by kubectl apply. What would be undone by that is refused, with the reason")
	if err := s.setUpThere(ctx, "coffee-trial", "coffee-trial-landing"); err != nil {
		return err
	}
	if err := s.expect(ctx, s.ada, browse+`-d seats=5 "$account/seats"`+site+" | head -2", "managed there, by somebody who would undo it"); err != nil {
		return err
	}
	sub := &v1alpha1.MarketplaceSubscription{}
	if err := s.client.Get(ctx, client.ObjectKey{Namespace: "contoso", Name: "coffee-trial"}, sub); err != nil {
		return err
	}
	if sub.Spec.Quantity != 3 || sub.Status.Quantity != 3 || sub.Status.Trial == nil || len(sub.Status.Operations) > 0 {
		return fmt.Errorf("contoso/coffee-trial is no trial with 3 seats any more: %+v", sub.Status)
	}
	// Back to the account that the story goes on with.
	return s.openSite(ctx, "coffee-landing")
}

// setUpThere sets a service up on the publisher's site.
func (s *story) setUpThere(ctx context.Context, name, secret string) error {
	if _, err := s.service(ctx, name, func(sub *v1alpha1.MarketplaceSubscription) bool { return sub.Status.LandingPage != nil }); err != nil {
		return err
	}
	if err := s.openSite(ctx, secret); err != nil {
		return err
	}
	if err := s.expect(ctx, s.ada, browse+`-d company=Contoso -d email=ada@contoso.example "$account/activate"`+site+" | head -3", "State: Active"); err != nil {
		return err
	}
	_, err := s.service(ctx, name, func(sub *v1alpha1.MarketplaceSubscription) bool { return sub.Status.State == v1alpha1.StateSubscribed })
	return err
}
