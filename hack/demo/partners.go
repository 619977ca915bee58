package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
)

// What the samples have for a partner, who has contoso's order before him.
const (
	agreementName    = "contoso-2026"
	registrationFile = "config/samples/northwind/contoso.yaml"
	gailsName        = "gail@northwind.example"
	halsName         = "hal@northwind.example"
	partnersGroup    = "northwind-agents"

	gailsYAML = `
apiVersion: license-operator.io/v1alpha1
kind: SoftwareSubscription
metadata: {name: office-design, namespace: contoso}
spec:
  productRef: {name: office-ltsc}
  quantity: 2
  term: P1Y
`
	// groupYAML has no numbers: the agreement names Gail as a primary contact.
	groupYAML = `
apiVersion: license-operator.io/v1alpha1
kind: PartnerRegistration
metadata: {name: fabrikam, namespace: northwind}
spec:
  acknowledged: true
  partner:
    subject: {kind: Group, name: ` + partnersGroup + `}
    username: ` + gailsName + `
    email: licences@northwind.example
`
)

// northwind lets the partner's people register, and nothing else.
func (s *story) northwind(ctx context.Context) (err error) {
	if s.gail, err = s.user("gail", gailsName, partnersGroup); err != nil {
		return err
	}
	if s.hal, err = s.user("hal", halsName, partnersGroup); err != nil {
		return err
	}
	s.gail.dir = "" // the samples are there
	if _, err := s.run(ctx, s.admin, "kubectl -n northwind create rolebinding agents --clusterrole=license-operator-partner --group="+partnersGroup); err != nil {
		return err
	}
	return s.mayDo(ctx, s.gail, "-n", "northwind", "create", "partnerregistrations")
}

// registerPartner is the way of a new partner, who has the numbers of the order.
func (s *story) registerPartner(ctx context.Context) error {
	say("contoso has an agreement, with the numbers of its order. When it was made, a mail went to the address on the order:",
		"who administers what contoso has?")
	if err := s.expect(ctx, s.admin, "kubectl -n contoso get partneragreements", agreementName); err != nil {
		return err
	}
	if err := s.showMail(ctx, "ada@contoso.example", "AdministratorsInvited", agreementName); err != nil {
		return err
	}
	fmt.Println()
	say("Kim does: she is named there, and has had her role by that")
	if err := s.expect(ctx, s.kim, "kubectl -n contoso get partneragreement "+agreementName+` -o jsonpath='{.spec.administrators[*].name}{"\n"}'`, "kim"); err != nil {
		return err
	}
	fmt.Println()
	say("Gail of Northwind placed the order. She may register in a namespace of Northwind's own, and do nothing at contoso")
	if err := s.northwind(ctx); err != nil {
		return err
	}
	for _, command := range []string{"kubectl -n contoso get swsub", create(gailsYAML)} {
		if err := s.refused(ctx, s.gail, command, "forbidden"); err != nil {
			return err
		}
	}
	fmt.Println()
	say("She registers with the numbers of the order, and with nobody's name but her own")
	if err := s.refused(ctx, s.gail, "sed s/gail@/hal@/ "+registrationFile+" | kubectl create -f -", gailsName); err != nil {
		return err
	}
	if err := s.guessNumbers(ctx); err != nil {
		return err
	}
	fmt.Println()
	say("Gail corrects it, is recognised, and has the role of an admin agent at contoso")
	if _, err := s.run(ctx, s.gail, patchRegistration("contoso", `"customerEmail":"ada@contoso.example"`)); err != nil {
		return err
	}
	if err := s.registered(ctx, "contoso", accessTo("contoso")); err != nil {
		return err
	}
	if err := s.expect(ctx, s.gail, "kubectl -n northwind get preg contoso", "True", "contoso"); err != nil {
		return err
	}
	fmt.Println()
	say("The customer is told by mail, and how to end it")
	return s.showMail(ctx, "ada@contoso.example", "PartnerAdded", agreementName)
}

// guessNumbers registers with numbers that are wrong in one way and another, of
// which nobody is told which.
func (s *story) guessNumbers(ctx context.Context) error {
	fmt.Println()
	say("She mistypes the authorization number. Then she gets it right, and the mail address wrong.",
		"She is told the same both times: who guesses does not learn what is right already")
	message := "kubectl -n northwind get preg contoso -o jsonpath='{.status.conditions[?(@.type==\"Ready\")].message}{\"\\n\"}'"
	var told []string
	for _, command := range []string{
		"sed s/12345678ZZS1234/12345678ZZS1243/ " + registrationFile + " | kubectl create -f -",
		patchRegistration("contoso", `"authorizationNumber":"12345678ZZS1234","customerEmail":"eda@contoso.example"`),
	} {
		if _, err := s.run(ctx, s.gail, command); err != nil {
			return err
		}
		if err := s.registered(ctx, "contoso", stalled(v1alpha1.ReasonNotRecognised)); err != nil {
			return err
		}
		words, err := s.run(ctx, s.gail, message)
		if err != nil {
			return err
		}
		told = append(told, words)
	}
	if told[0] != told[1] || told[0] == "" {
		return errors.New("what is told differs by what is wrong")
	}
	fmt.Println()
	say("Five vain attempts a day is all that one gets, in all namespaces together. The platform team sees them, and so does she")
	if err := s.expect(ctx, s.admin, "kubectl get partnerrequesters", gailsName); err != nil {
		return err
	}
	events := "kubectl -n northwind get events --field-selector involvedObject.kind=PartnerRegistration,reason=PartnerNotRecognised --sort-by=.metadata.creationTimestamp"
	err := until(ctx, func(ctx context.Context) error {
		out, err := quietly(ctx, s.gail, events)
		if err == nil && strings.Count(out, "PartnerNotRecognised") < 2 {
			err = errors.New("there are not two events yet")
		}
		return err
	})
	if err != nil {
		return err
	}
	return s.expect(ctx, s.gail, events, "PartnerNotRecognised")
}

// workAsPartner shows that the access is real, and the two other ways to it.
func (s *story) workAsPartner(ctx context.Context) error {
	say("Gail buys for contoso with her own kubeconfig, and reads the key")
	if _, err := s.run(ctx, s.gail, create(gailsYAML)); err != nil {
		return err
	}
	if err := settle(ctx, s.client); err != nil {
		return err
	}
	if err := s.expect(ctx, s.gail, "kubectl -n contoso get swsub office-design", "Active", "office-design-key"); err != nil {
		return err
	}
	if err := s.expect(ctx, s.gail, "kubectl -n contoso get swsub,mpsub", "office-design"); err != nil {
		return err
	}
	if err := s.mayDo(ctx, s.gail, "-n", "contoso", "get", "secret/office-design-key"); err != nil {
		return err
	}
	key, err := s.run(ctx, s.gail, "kubectl -n contoso get secret office-design-key -o jsonpath='{.data.key}' | base64 -d")
	if err != nil {
		return err
	}
	if err := s.isKeyOf(ctx, key, "office-design"); err != nil {
		return err
	}
	fmt.Println()
	say("She manages what contoso has had before, too, as sales agents do not")
	if _, err := s.run(ctx, s.gail, patchService(seatsSubscription, `"autoRenew":false`)); err != nil {
		return err
	}
	if _, err := s.service(ctx, seatsSubscription, func(sub *v1alpha1.MarketplaceSubscription) bool {
		return sub.Status.State == v1alpha1.StateSubscribed
	}); err != nil {
		return err
	}
	if err := s.expect(ctx, s.gail, "kubectl -n contoso get mpsub "+seatsSubscription+` -o jsonpath='{.status.state}, renews: {.spec.autoRenew}{"\n"}'`, "Subscribed, renews: false"); err != nil {
		return err
	}
	fmt.Println()
	say("Fabrikam's agreement names Gail as a primary contact: she adds it without typing a number. She registers a group",
		"that she is in, so Hal, who is in it too, has access to Fabrikam, and to nobody else")
	if err := s.refused(ctx, s.gail, "kubectl -n fabrikam get swsub", "forbidden"); err != nil {
		return err
	}
	if _, err := s.run(ctx, s.gail, create(groupYAML)); err != nil {
		return err
	}
	if err := s.registered(ctx, "fabrikam", accessTo("fabrikam")); err != nil {
		return err
	}
	if err := s.mayDo(ctx, s.hal, "-n", "fabrikam", "create", "swsub"); err != nil {
		return err
	}
	if err := s.expect(ctx, s.hal, "kubectl -n fabrikam get swsub", "windows-server"); err != nil {
		return err
	}
	if err := s.refused(ctx, s.hal, "kubectl -n contoso get swsub", "forbidden"); err != nil {
		return err
	}
	fmt.Println()
	say("Her registrations tell her customers")
	return s.expect(ctx, s.gail, "kubectl -n northwind get preg", `["contoso"]`, `["fabrikam"]`)
}

// removePartner is how a customer ends it, in two ways.
func (s *story) removePartner(ctx context.Context) error {
	say("Kim removes Gail, whose access ends at once")
	if _, err := s.run(ctx, s.kim, removed(`"`+gailsName+`"`)); err != nil {
		return err
	}
	if err := s.lockedOut(ctx); err != nil {
		return err
	}
	if err := s.registered(ctx, "contoso", stalled(v1alpha1.ReasonRemovedByCustomer)); err != nil {
		return err
	}
	if err := s.expect(ctx, s.gail, "kubectl -n northwind get preg contoso", "removedPartners"); err != nil {
		return err
	}
	fmt.Println()
	say("When Kim takes the entry out, Gail has access again")
	if _, err := s.run(ctx, s.kim, removed("")); err != nil {
		return err
	}
	if err := s.registered(ctx, "contoso", accessTo("contoso")); err != nil {
		return err
	}
	if err := s.mayDo(ctx, s.gail, "-n", "contoso", "get", "secret/office-design-key"); err != nil {
		return err
	}
	if err := s.expect(ctx, s.gail, "kubectl -n contoso get secret office-design-key", "office-design-key"); err != nil {
		return err
	}
	fmt.Println()
	say("Or Kim deletes the RoleBinding. The operator notes that she did, and does not make it again")
	if _, err := s.set(ctx, s.kim, "binding", "kubectl -n contoso get partneragreement "+agreementName+" -o jsonpath='{.status.partners[0].roleBinding.name}'"); err != nil {
		return err
	}
	if _, err := s.run(ctx, s.kim, "kubectl -n contoso delete rolebinding $binding"); err != nil {
		return err
	}
	if err := s.lockedOut(ctx); err != nil {
		return err
	}
	if err := s.registered(ctx, "contoso", stalled(v1alpha1.ReasonRemovedByCustomer)); err != nil {
		return err
	}
	if err := s.expect(ctx, s.kim, "kubectl -n contoso get partneragreement "+agreementName+` -o jsonpath='{.spec.removedPartners}{"\n"}'`, gailsName); err != nil {
		return err
	}
	if err := s.refused(ctx, s.kim, "kubectl -n contoso get rolebinding $binding", "not found"); err != nil {
		return err
	}
	fmt.Println()
	say("She deletes no RoleBinding but those of partners")
	if err := s.refused(ctx, s.kim, "kubectl -n contoso delete rolebinding employees", "partner"); err != nil {
		return err
	}
	fmt.Println()
	say("What Gail bought is contoso's, and goes on. So does what she has at Fabrikam")
	if err := s.expect(ctx, s.kim, "kubectl -n contoso get swsub office-design", "Active"); err != nil {
		return err
	}
	return s.expect(ctx, s.gail, "kubectl -n fabrikam get swsub", "windows-server")
}

// removed sets those whom contoso has removed.
func removed(entries string) string {
	return "kubectl -n contoso patch partneragreement " + agreementName + ` --type=merge -p '{"spec":{"removedPartners":[` + entries + `]}}'`
}

// lockedOut shows that Gail may neither buy nor read a key: what an API server
// knows of roles is a moment behind, and the operator has to hear of it.
func (s *story) lockedOut(ctx context.Context) error {
	for _, may := range [][]string{{"get", "secret/office-design-key"}, {"create", "swsub"}} {
		err := until(ctx, func(ctx context.Context) error {
			_, err := s.cluster.RunAs(ctx, s.gail.kubeconfig, append([]string{"-n", "contoso", "auth", "can-i"}, may...)...)
			if err == nil {
				return fmt.Errorf("gail may still %s %s", may[0], may[1])
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	another := strings.Replace(gailsYAML, "office-design", "office-more", 1)
	for _, command := range []string{"kubectl -n contoso get secret office-design-key", create(another)} {
		if err := s.refused(ctx, s.gail, command, "forbidden"); err != nil {
			return err
		}
	}
	return nil
}

// registered waits until a registration of northwind is as it should be, and its
// status is not older than that.
func (s *story) registered(ctx context.Context, name string, is func(*v1alpha1.PartnerRegistration) bool) error {
	r := &v1alpha1.PartnerRegistration{}
	return until(ctx, func(ctx context.Context) error {
		if err := s.client.Get(ctx, client.ObjectKey{Namespace: "northwind", Name: name}, r); err != nil {
			return fmt.Errorf("reading PartnerRegistration northwind/%s: %w", name, err)
		}
		if r.Status.ObservedGeneration != r.Generation || !is(r) {
			return fmt.Errorf("northwind/%s is not as it should be: %+v", name, r.Status)
		}
		return nil
	})
}

// accessTo is for a registration that gives access to one customer.
func accessTo(customer string) func(*v1alpha1.PartnerRegistration) bool {
	return func(r *v1alpha1.PartnerRegistration) bool {
		return meta.IsStatusConditionTrue(r.Status.Conditions, v1alpha1.ConditionReady) && len(r.Status.Customers) == 1 && r.Status.Customers[0] == customer
	}
}

// stalled is for a registration that waits for somebody.
func stalled(reason string) func(*v1alpha1.PartnerRegistration) bool {
	return func(r *v1alpha1.PartnerRegistration) bool {
		c := meta.FindStatusCondition(r.Status.Conditions, v1alpha1.ConditionStalled)
		return c != nil && c.Reason == reason
	}
}

// patchRegistration changes the spec of a registration of northwind.
func patchRegistration(name, spec string) string {
	return fmt.Sprintf(`kubectl -n northwind patch preg %s --type=merge -p '{"spec":{%s}}'`, name, spec)
}
