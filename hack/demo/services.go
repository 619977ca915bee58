package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
)

const (
	// words of a page of the publisher: its title, what is wrong, and its facts
	// and events, each on a line. It is a script of sed.
	siteWords = `/<h1>/b w;/class="problem"/b w;/<li>/b w;/<dt>/{s/<.dt>/: /;b w;};b;:w;s/<[^>]*>//gp`
	site      = ` | sed -n "$words"`
	// browse is curl that goes on to where it is sent, and keeps cookies.
	browse = "curl -sL -b jar -c jar "
)

func landingCommand(namespace, secret string) string {
	return fmt.Sprintf("kubectl -n %s get secret %s -o jsonpath='{.data.landingPageURL}' | base64 -d", namespace, secret)
}

// condition is the command that shows what a condition of a service says.
func condition(name, typ string) string {
	return fmt.Sprintf(`kubectl -n contoso get mpsub %s -o jsonpath='{.status.conditions[?(@.type=="%s")].message}{"\n"}'`, name, typ)
}

// patchService changes the spec of a service of contoso.
func patchService(name, spec string) string {
	return fmt.Sprintf(`kubectl -n contoso patch mpsub %s --type=merge -p '{"spec":{%s}}'`, name, spec)
}

// service waits until a service of contoso is as it should be, and its status is
// not older than that.
func (s *story) service(ctx context.Context, name string, is func(*v1alpha1.MarketplaceSubscription) bool) (*v1alpha1.MarketplaceSubscription, error) {
	sub := &v1alpha1.MarketplaceSubscription{}
	return sub, until(ctx, func(ctx context.Context) error {
		if err := s.client.Get(ctx, client.ObjectKey{Namespace: "contoso", Name: name}, sub); err != nil {
			return fmt.Errorf("reading MarketplaceSubscription contoso/%s: %w", name, err)
		}
		if sub.Status.ObservedGeneration != sub.Generation || !is(sub) {
			return fmt.Errorf("contoso/%s is not as it should be: %+v", name, sub.Status)
		}
		return nil
	})
}

// says reports whether a condition of a service has a reason and some words.
func says(sub *v1alpha1.MarketplaceSubscription, typ, reason string, words ...string) bool {
	c := meta.FindStatusCondition(sub.Status.Conditions, typ)
	if c == nil || c.Reason != reason {
		return false
	}
	for _, w := range words {
		if !strings.Contains(c.Message, w) {
			return false
		}
	}
	return true
}

// sellService has the samples' publisher run here.
func (s *story) sellService(ctx context.Context) error {
	say("Coffee Analytics is a service that Fourth Coffee runs. In the samples its site has an address that",
		"does not exist. A small one runs here as a process of its own, on loopback, which has to be allowed")
	patch := fmt.Sprintf(`kubectl patch publisher fourth-coffee --type=merge -p '{"spec":{"landingPageURL":"%s/landing","webhookURL":"%s/webhook","allowPrivateAddresses":true}}'`, s.at.publisher, s.at.publisher)
	if _, err := s.run(ctx, s.admin, patch); err != nil {
		return err
	}
	fmt.Println()
	say("It calls the fulfilment API with a token of its service account. The token opens nothing else")
	publisher := &person{prompt: "fourth-coffee$ ", kubeconfig: s.cluster.Kubeconfig, dir: publisherDir(s.cluster)}
	if _, err := s.run(ctx, publisher, "(umask 077; kubectl -n fourth-coffee create token saas --audience=license-operator --duration=24h > token)"); err != nil {
		return err
	}
	if err := s.opensNothingElse(ctx, filepath.Join(publisherDir(s.cluster), "token")); err != nil {
		return err
	}
	fmt.Println()
	say("What contoso bought of it waits for the publisher, and ACTION says that somebody has to do something")
	sub, err := s.service(ctx, "coffee", func(sub *v1alpha1.MarketplaceSubscription) bool {
		return sub.Status.LandingPage != nil && strings.HasPrefix(sub.Status.LandingPage.Site, s.at.publisher) &&
			says(sub, v1alpha1.ConditionActionRequired, v1alpha1.ReasonConfigureAccount, s.at.publisher)
	})
	if err != nil {
		return err
	}
	if err := s.expect(ctx, s.admin, "kubectl -n contoso get mpsub", "PendingFulfillmentStart", "ConfigureAccount"); err != nil {
		return err
	}
	if err := s.expect(ctx, s.admin, condition("coffee", v1alpha1.ConditionActionRequired), "Fourth Coffee", s.at.publisher, "Secret coffee-landing"); err != nil {
		return err
	}
	fmt.Println()
	say("Nothing is charged before the activation: there is no startedAt")
	if sub.Status.Billing == nil || sub.Status.Billing.StartedAt != nil || sub.Status.Term != nil {
		return fmt.Errorf("contoso/coffee is charged for before its activation: %+v", sub.Status)
	}
	_, err = s.run(ctx, s.admin, `kubectl -n contoso get mpsub coffee -o jsonpath='{.status.billing}{"\n"}'`)
	return err
}

// opensNothingElse tries a publisher's token at the API server.
func (s *story) opensNothingElse(ctx context.Context, file string) error {
	config := rest.AnonymousClientConfig(s.cluster.Config)
	config.BearerTokenFile = file
	c, err := newClient(config)
	if err != nil {
		return err
	}
	if err := c.List(ctx, &v1alpha1.MarketplaceSubscriptionList{}); !apierrors.IsUnauthorized(err) {
		return fmt.Errorf("the API server should not know a publisher by its token, and answered: %w", cmp.Or(err, errors.New("yes")))
	}
	return nil
}

// openSite opens the link of a service as Ada, who keeps the page and where it is.
func (s *story) openSite(ctx context.Context, secret string) error {
	if err := s.mayDo(ctx, s.ada, "-n", "contoso", "get", "secret/"+secret); err != nil {
		return err
	}
	link, err := s.set(ctx, s.ada, "link", landingCommand("contoso", secret))
	if err != nil {
		return err
	}
	account, err := s.set(ctx, s.ada, "account", browse+`-o page.html -w '%{url_effective}' "$link"`)
	if err != nil {
		return err
	}
	_, token, _ := strings.Cut(link, "token=")
	if token == "" || !strings.HasPrefix(account, s.at.publisher+"/accounts/") || strings.Contains(account, token) {
		return errors.New("the publisher's site did not lead to an account")
	}
	return nil
}

// activateService is Ada's way from the Secret to a service that runs.
func (s *story) activateService(ctx context.Context) error {
	say("The personal link is in a Secret, because whoever has it is taken for the buyer. The site knows by it what was bought")
	if err := s.openSite(ctx, "coffee-landing"); err != nil {
		return err
	}
	s.ada.vars = append(s.ada.vars, "words="+siteWords)
	fmt.Printf("%swords='%s'\n", s.ada.prompt, siteWords)
	if err := s.expect(ctx, s.ada, `sed -n "$words" page.html`, "Set up Coffee Analytics", "Plan: Silver", "Seats: 10", "Coffee in Paris"); err != nil {
		return err
	}
	pending := func(sub *v1alpha1.MarketplaceSubscription) bool {
		return sub.Status.State == v1alpha1.StatePendingFulfillmentStart
	}
	if _, err := s.service(ctx, "coffee", pending); err != nil {
		return err
	}
	fmt.Println()
	say("Opening it has changed nothing. Ada tells the publisher what it needs, and it activates the subscription")
	if err := s.expect(ctx, s.ada, browse+`-d company=Contoso -d email=ada@contoso.example "$account/activate"`+site, "State: Active", "Billing has begun"); err != nil {
		return err
	}
	sub, err := s.service(ctx, "coffee", func(sub *v1alpha1.MarketplaceSubscription) bool {
		return meta.IsStatusConditionTrue(sub.Status.Conditions, v1alpha1.ConditionReady) && sub.Status.State == v1alpha1.StateSubscribed
	})
	if err != nil {
		return err
	}
	fmt.Println()
	say("Billing and the term have begun with that, and not a second before")
	if err := s.expect(ctx, s.admin, "kubectl -n contoso get mpsub coffee", "Subscribed", "silver"); err != nil {
		return err
	}
	st := sub.Status
	if st.Billing == nil || st.Billing.StartedAt == nil || st.Term == nil || !st.Billing.StartedAt.Equal(&st.Term.StartsAt) || st.Billing.StartedAt.Before(st.PurchasedAt) {
		return fmt.Errorf("contoso/coffee is not charged from its activation on: %+v", st)
	}
	if _, err := s.run(ctx, s.admin, `kubectl -n contoso get mpsub coffee -o jsonpath='{.status.billing}{"\n"}{.status.term}{"\n"}'`); err != nil {
		return err
	}
	fmt.Println()
	say("The link works again, for a day, and then leads to the account. Once more nothing is activated twice")
	if err := s.openSite(ctx, "coffee-landing"); err != nil {
		return err
	}
	if err := s.expect(ctx, s.ada, `sed -n "$words" page.html | head -2`, "Contoso", "Active"); err != nil {
		return err
	}
	again, err := s.service(ctx, "coffee", func(*v1alpha1.MarketplaceSubscription) bool { return true })
	if err != nil {
		return err
	}
	if !again.Status.Billing.StartedAt.Equal(st.Billing.StartedAt) {
		return errors.New("contoso/coffee was activated twice")
	}
	// What changes within the second of the activation is no line of its own on
	// the invoice, which the story checks.
	return until(ctx, func(context.Context) error {
		if time.Since(st.Billing.StartedAt.Time) < time.Second {
			return errors.New("the second of the activation is not over")
		}
		return nil
	})
}

// has reports whether a service has a plan and seats, and nothing else is wanted.
func has(plan string, seats int64) func(*v1alpha1.MarketplaceSubscription) bool {
	return func(sub *v1alpha1.MarketplaceSubscription) bool {
		return sub.Status.PlanID == plan && sub.Status.Quantity == seats && says(sub, v1alpha1.ConditionInSync, v1alpha1.ReasonInSync)
	}
}

// wants changes the spec of service coffee, and waits until the publisher has
// let it be as it should.
func (s *story) wants(ctx context.Context, spec string, is func(*v1alpha1.MarketplaceSubscription) bool, words ...string) error {
	if _, err := s.run(ctx, s.admin, patchService("coffee", spec)); err != nil {
		return err
	}
	if _, err := s.service(ctx, "coffee", is); err != nil {
		return err
	}
	return s.expect(ctx, s.admin, "kubectl -n contoso get mpsub coffee", words...)
}

// changeService asks the publisher for more and for less.
func (s *story) changeService(ctx context.Context) error {
	say("Contoso wants 20 seats. The publisher is asked, by a signed call of its webhook, and accepts")
	if err := s.wants(ctx, `"quantity":20`, has("silver", 20), "20"); err != nil {
		return err
	}
	fmt.Println()
	say("Twelve people use it, which the publisher knows")
	if err := s.expect(ctx, s.ada, browse+`-d users=12 "$account/users"`+site+" | grep 'In use'", "12 of 20 seats"); err != nil {
		return err
	}
	fmt.Println()
	say("So it refuses 5 seats. Contoso keeps what it had, and reads whom to turn to")
	refused := func(sub *v1alpha1.MarketplaceSubscription) bool {
		return sub.Status.Quantity == 20 && says(sub, v1alpha1.ConditionInSync, v1alpha1.ReasonRefusedByPublisher) &&
			says(sub, v1alpha1.ConditionActionRequired, v1alpha1.ReasonChangeRefused, "https://fourth-coffee.example/help")
	}
	if err := s.wants(ctx, `"quantity":5`, refused, "ChangeRefused"); err != nil {
		return err
	}
	if err := s.expect(ctx, s.admin, condition("coffee", v1alpha1.ConditionActionRequired), "5 seats", "refused", "https://fourth-coffee.example/help"); err != nil {
		return err
	}
	if err := s.expect(ctx, s.ada, browse+`"$account"`+site+" | grep Refused", "5 seats are too few for the 12 people"); err != nil {
		return err
	}
	fmt.Println()
	say("Fifteen are enough")
	if err := s.wants(ctx, `"quantity":15`, has("silver", 15), "None", "15"); err != nil {
		return err
	}
	fmt.Println()
	say("Another plan is asked for in the same way")
	return s.wants(ctx, `"planID":"gold"`, has("gold", 15), "gold")
}

// suspendService stops the service for a while.
func (s *story) suspendService(ctx context.Context) error {
	say("Contoso has not paid. The publisher is told, and keeps everything; without payment it ends in 30 days")
	suspended := func(sub *v1alpha1.MarketplaceSubscription) bool {
		return sub.Status.State == v1alpha1.StateSuspended && says(sub, v1alpha1.ConditionActionRequired, v1alpha1.ReasonPaymentRequired)
	}
	if err := s.wants(ctx, `"suspended":true`, suspended, "Suspended", "PaymentRequired"); err != nil {
		return err
	}
	if err := s.siteSays(ctx, "State: Suspended", "nobody can sign in"); err != nil {
		return err
	}
	fmt.Println()
	say("Contoso has paid. The publisher is asked to reinstate it, and does")
	running := func(sub *v1alpha1.MarketplaceSubscription) bool {
		return sub.Status.State == v1alpha1.StateSubscribed && has("gold", 15)(sub)
	}
	if err := s.wants(ctx, `"suspended":false`, running, "Subscribed"); err != nil {
		return err
	}
	return s.siteSays(ctx, "State: Active", "everybody can sign in again")
}

// siteSays waits until the publisher's site says something, which it is told of a
// moment after it holds, and shows it.
func (s *story) siteSays(ctx context.Context, words ...string) error {
	show := browse + `"$account"` + site
	err := until(ctx, func(ctx context.Context) error {
		page, err := quietly(ctx, s.ada, show)
		for _, w := range words {
			if err == nil && !strings.Contains(page, w) {
				err = fmt.Errorf("the publisher's site says nothing of %q", w)
			}
		}
		return err
	})
	if err != nil {
		return err
	}
	return s.expect(ctx, s.ada, show+" | grep -e State -e '"+words[len(words)-1]+"' | head -2", words...)
}

// cancelService ends the service inside the window.
func (s *story) cancelService(ctx context.Context) error {
	say("A service can be cancelled for three days, for the whole price. First the publisher wants something to be done")
	sub, err := s.service(ctx, "coffee", func(sub *v1alpha1.MarketplaceSubscription) bool {
		return sub.Status.Cancellation != nil && sub.Status.Cancellation.Open && sub.Status.Cancellation.Credit != nil
	})
	if err != nil {
		return err
	}
	if err := s.expect(ctx, s.admin, `kubectl -n contoso get mpsub coffee -o jsonpath='{.status.cancellation}{"\n"}'`, "Export your reports"); err != nil {
		return err
	}
	credit := sub.Status.Cancellation.Credit
	fmt.Println()
	ended := func(sub *v1alpha1.MarketplaceSubscription) bool {
		return sub.Status.State == v1alpha1.StateUnsubscribed && sub.Status.LandingPage == nil &&
			meta.IsStatusConditionPresentAndEqual(sub.Status.Conditions, v1alpha1.ConditionCancelled, metav1.ConditionTrue) &&
			sub.Status.Cancellation.Credit != nil && *sub.Status.Cancellation.Credit == *credit
	}
	if err := s.wants(ctx, `"cancelled":true`, ended, "Unsubscribed", "credit "+credit.Amount+" "+credit.Currency); err != nil {
		return err
	}
	fmt.Println()
	say("The link is gone, and the publisher has been told")
	if err := s.refused(ctx, s.admin, "kubectl -n contoso get secret coffee-landing", "NotFound"); err != nil {
		return err
	}
	if err := s.siteSays(ctx, "State: Ended", "nobody can sign in any more"); err != nil {
		return err
	}
	fmt.Println()
	say("It can neither be taken back nor set up again")
	return s.refused(ctx, s.admin, patchService("coffee", `"cancelled":false`), "cancelled is final")
}
