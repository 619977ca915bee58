package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
)

// What the samples have for contoso, and what it buys for everybody here.
const (
	policyName        = "company"
	blockedProduct    = "microsoft-365-copilot"
	boughtProduct     = "power-bi-pro"
	triedProduct      = "visio-plan-1"
	seatsKind         = v1alpha1.KindMarketplaceSubscription
	seatsSubscription = "power-bi"
)

// purchaseYAML is what an employee asks for himself.
func purchaseYAML(name, product, typ, purchaser string, quantity int, users string) string {
	payment := ""
	if typ == "Purchase" {
		payment = "\n  paymentMethod: true"
	}
	return fmt.Sprintf(`
apiVersion: license-operator.io/v1alpha1
kind: SelfServicePurchase
metadata: {name: %s, namespace: contoso}
spec:
  productRef: {name: %s}
  type: %s%s
  quantity: %d
  purchaser: {username: %s, email: %s@contoso.example}
  assignedUsers: [%s]
`, name, product, typ, payment, quantity, purchaser, purchaser, users)
}

// purchase waits until a purchase of contoso is as it should be, and its status is
// not older than that.
func (s *story) purchase(ctx context.Context, name string, is func(*v1alpha1.SelfServicePurchase) bool) error {
	p := &v1alpha1.SelfServicePurchase{}
	return until(ctx, func(ctx context.Context) error {
		if err := s.client.Get(ctx, client.ObjectKey{Namespace: "contoso", Name: name}, p); err != nil {
			return fmt.Errorf("reading SelfServicePurchase contoso/%s: %w", name, err)
		}
		if p.Status.ObservedGeneration != p.Generation || !is(p) {
			return fmt.Errorf("contoso/%s is not as it should be: %+v", name, p.Status)
		}
		return nil
	})
}

// inState is for a purchase that is in a state, with so many users.
func inState(state v1alpha1.SelfServiceState, users int) func(*v1alpha1.SelfServicePurchase) bool {
	return func(p *v1alpha1.SelfServicePurchase) bool {
		return p.Status.State == state && len(p.Status.Users) == users
	}
}

// employees lets people of contoso buy, and one of them manage what they bought.
func (s *story) employees(ctx context.Context) (err error) {
	if s.mia, err = s.person("mia"); err != nil {
		return err
	}
	if s.tom, err = s.person("tom"); err != nil {
		return err
	}
	if s.kim, err = s.person("kim"); err != nil {
		return err
	}
	s.kim.dir = "" // the operator's binary is there
	say("Mia and Tom work at contoso. Kim administers what contoso has, as its PartnerAgreement says. All of them may see the catalogue")
	for _, command := range []string{
		"kubectl -n contoso create rolebinding employees --clusterrole=license-operator-employee --user=mia --user=tom",
		"kubectl create clusterrolebinding catalogue --clusterrole=license-operator-catalog-reader --user=mia --user=tom --user=kim",
	} {
		if _, err := s.run(ctx, s.admin, command); err != nil {
			return err
		}
	}
	for _, who := range []*person{s.mia, s.tom} {
		if err := s.mayDo(ctx, who, "-n", "contoso", "create", "sspur"); err != nil {
			return err
		}
	}
	if err := s.mayDo(ctx, s.kim, "list", "products"); err != nil {
		return err
	}
	return s.mayDo(ctx, s.kim, "-n", "contoso", "create", "takeovers")
}

// selfServicePolicy shows what employees may do themselves, and what they may not.
func (s *story) selfServicePolicy(ctx context.Context) error {
	if err := s.employees(ctx); err != nil {
		return err
	}
	policy := &v1alpha1.SelfServicePolicy{}
	err := until(ctx, func(ctx context.Context) error {
		if err := s.client.Get(ctx, client.ObjectKey{Namespace: "contoso", Name: policyName}, policy); err != nil {
			return err
		}
		if policy.Status.ObservedGeneration != policy.Generation || !meta.IsStatusConditionTrue(policy.Status.Conditions, v1alpha1.ConditionReady) {
			return fmt.Errorf("SelfServicePolicy contoso/%s is not as it should be: %+v", policyName, policy.Status)
		}
		return nil
	})
	if err != nil {
		return err
	}
	fmt.Println()
	say("contoso's SelfServicePolicy says what they may buy and try themselves. Its default holds for the rest,",
		"also for what is published later. Status lists every product that is offered")
	if err := s.expect(ctx, s.kim, "kubectl -n contoso get sspol", policyName); err != nil {
		return err
	}
	table := `kubectl -n contoso get sspol ` + policyName + ` -o jsonpath='{range .status.products[*]}{.name}{"\t"}{.value}{"\t"}{.source}{"\n"}{end}' | expand -t 36,48`
	if err := s.expect(ctx, s.kim, table, blockedProduct, "Block", "Listed", "Default"); err != nil {
		return err
	}
	fmt.Println()
	say("Mia wants something that it blocks. The API server itself refuses, whether the operator runs or not,",
		"and says whom to ask")
	blocked := create(purchaseYAML("mias-copilot", blockedProduct, "Purchase", "mia", 1, "mia@contoso.example"))
	if err := s.refused(ctx, s.mia, blocked, policyName); err != nil {
		return err
	}
	if policy.Spec.Contact == "" {
		return errors.New("the policy of the samples names nobody to ask")
	}
	fmt.Println()
	say("And she buys for nobody but herself")
	other := create(purchaseYAML("toms-bi", boughtProduct, "Purchase", "tom", 1, "mia@contoso.example"))
	if err := s.refused(ctx, s.mia, other, "mia"); err != nil {
		return err
	}
	var orders v1alpha1.SelfServiceOrderList
	if err := s.client.List(ctx, &orders); err != nil {
		return err
	}
	if slices.ContainsFunc(orders.Items, func(o v1alpha1.SelfServiceOrder) bool { return o.Spec.Agreed.ProductRef.Name == blockedProduct }) {
		return errors.New("what is blocked was ordered")
	}
	return nil
}

// selfServicePurchase is what Mia and Tom do themselves.
func (s *story) selfServicePurchase(ctx context.Context) error {
	say("Before she buys, Mia reads what she agrees to, and what is done with her personal data")
	if err := s.expect(ctx, s.mia, "kubectl get product "+boughtProduct+` -o jsonpath='{.spec.selfService}{"\n"}'`, "termsURL", "privacyURL"); err != nil {
		return err
	}
	fmt.Println()
	say("Mia buys two licences. She pays for them herself, so they are on no invoice of contoso's")
	if _, err := s.run(ctx, s.mia, create(purchaseYAML("mias-bi", boughtProduct, "Purchase", "mia", 2, "mia@contoso.example"))); err != nil {
		return err
	}
	if err := s.purchase(ctx, "mias-bi", inState(v1alpha1.SelfServiceActive, 1)); err != nil {
		return err
	}
	fmt.Println()
	say("It is licensed by user: there is no key. She says who may use it, and cannot name more than she bought for")
	if _, err := s.run(ctx, s.mia, patchPurchase("mias-bi", `"assignedUsers":["mia@contoso.example","eva@contoso.example"]`)); err != nil {
		return err
	}
	three := `"assignedUsers":["mia@contoso.example","eva@contoso.example","leo@contoso.example"]`
	if err := s.refused(ctx, s.mia, patchPurchase("mias-bi", three), "raise spec.quantity"); err != nil {
		return err
	}
	if err := s.purchase(ctx, "mias-bi", inState(v1alpha1.SelfServiceActive, 2)); err != nil {
		return err
	}
	if err := s.expect(ctx, s.mia, "kubectl -n contoso get sspur mias-bi", "Active", "2"); err != nil {
		return err
	}
	fmt.Println()
	say("Tom tries something without a payment method, which customers with an agreement may. The trial ends by itself")
	if err := s.expect(ctx, s.admin, "kubectl -n contoso get partneragreements", "contoso"); err != nil {
		return err
	}
	if _, err := s.run(ctx, s.tom, create(purchaseYAML("toms-visio", triedProduct, "Trial", "tom", 1, "tom@contoso.example"))); err != nil {
		return err
	}
	if err := s.purchase(ctx, "toms-visio", inState(v1alpha1.SelfServiceOnTrial, 1)); err != nil {
		return err
	}
	if err := s.expect(ctx, s.tom, "kubectl -n contoso get sspur toms-visio", "Trial", "Expires"); err != nil {
		return err
	}
	fmt.Println()
	say("What others bought is not his business")
	return s.refused(ctx, s.tom, "kubectl -n contoso get sspur", "forbidden")
}

// patchPurchase changes the spec of an employee's purchase.
func patchPurchase(name, spec string) string {
	return fmt.Sprintf(`kubectl -n contoso patch sspur %s --type=merge -p '{"spec":{%s}}'`, name, spec)
}

// selfServiceView is what an administrator sees.
func (s *story) selfServiceView(ctx context.Context) error {
	say("Kim sees who bought what, for how many, at what price and until when")
	if err := s.expect(ctx, s.kim, "kubectl -n contoso get sspur", "mias-bi", "toms-visio", boughtProduct); err != nil {
		return err
	}
	fmt.Println()
	say("Each product with the sum of its licences, and who uses it by purchaser")
	if err := s.expect(ctx, s.kim, operatorBinary+" users --customer contoso", boughtProduct, "eva@contoso.example"); err != nil {
		return err
	}
	fmt.Println()
	say("The users as a file for a spreadsheet")
	if err := s.expect(ctx, s.kim, operatorBinary+" users --customer contoso --export csv", "eva@contoso.example"); err != nil {
		return err
	}
	fmt.Println()
	say("She cannot assign what Mia pays for")
	return s.refused(ctx, s.kim, patchPurchase("mias-bi", `"assignedUsers":[]`), "forbidden")
}
