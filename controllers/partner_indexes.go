package controllers

import (
	"context"
	"fmt"
	"slices"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/terms"
)

// What partners and administrators are given, the operator need not hold: it may
// bind these roles, and no other by its name.
//
// +kubebuilder:rbac:groups=license-operator.io,resources=partneragreements,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=license-operator.io,resources=partneragreements/status;partnerregistrations/status,verbs=patch
// +kubebuilder:rbac:groups=license-operator.io,resources=partnerregistrations,verbs=get;list;watch
// +kubebuilder:rbac:groups=license-operator.io,resources=partnerrequesters,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=rbac.authorization.k8s.io,resources=rolebindings,verbs=get;list;watch;create;update;delete
// +kubebuilder:rbac:groups=rbac.authorization.k8s.io,resources=clusterroles,resourceNames=license-operator-admin-agent;license-operator-customer-admin,verbs=bind
// +kubebuilder:rbac:groups=rbac.authorization.k8s.io,resources=roles,resourceNames=license-operator-keys,verbs=bind
// +kubebuilder:rbac:groups=admissionregistration.k8s.io,resources=validatingadmissionpolicies;validatingadmissionpolicybindings,resourceNames=license-operator-partner,verbs=get

// The indexes by which registrations and agreements find each other.
const (
	indexAgreementNumbers = "numbers"        // of PartnerAgreements, by the digest of what proves who manages them
	indexAgreementOrder   = "order"          // of PartnerAgreements, by the digest of their two numbers
	indexPrimaryContact   = "primaryContact" // of PartnerAgreements, by the users who are named as such
	indexRegisteredIn     = "registeredIn"   // of PartnerRegistrations, by the namespaces that they are recognised in
	indexProof            = "proof"          // of PartnerRegistrations, by what they are recognised by, if an agreement has it
	indexUncompared       = "uncompared"     // of PartnerRegistrations that are still to be tried, by their PartnerRequester
)

var agreementIndexes = map[string]client.IndexerFunc{
	indexAgreementNumbers: func(o client.Object) []string {
		return []string{numbersOfAgreement(o.(*v1alpha1.PartnerAgreement)).Digest()}
	},
	indexAgreementOrder: func(o client.Object) []string {
		return []string{orderOf(numbersOfAgreement(o.(*v1alpha1.PartnerAgreement)))}
	},
	indexPrimaryContact: func(o client.Object) (contacts []string) {
		for _, contact := range o.(*v1alpha1.PartnerAgreement).Spec.PrimaryContacts {
			contacts = append(contacts, string(contact))
		}
		return contacts
	},
}

var registrationIndexes = map[string]client.IndexerFunc{
	indexRegisteredIn: func(o client.Object) (namespaces []string) {
		for _, a := range o.(*v1alpha1.PartnerRegistration).Status.Agreements {
			namespaces = append(namespaces, a.Namespace)
		}
		slices.Sort(namespaces)
		return slices.Compact(namespaces)
	},
	indexProof: func(o client.Object) []string { return []string{proofOf(o.(*v1alpha1.PartnerRegistration)).String()} },
	indexUncompared: func(o client.Object) []string {
		if reg := o.(*v1alpha1.PartnerRegistration); isAttempt(reg) {
			return []string{requesterName(reg)}
		}
		return nil
	},
}

// registerPartnerIndexes has the manager's cache keep them.
func registerPartnerIndexes(ctx context.Context, indexer client.FieldIndexer) error {
	for name, index := range agreementIndexes {
		if err := indexer.IndexField(ctx, &v1alpha1.PartnerAgreement{}, name, index); err != nil {
			return fmt.Errorf("indexing partner agreements by %s: %w", name, err)
		}
	}
	for name, index := range registrationIndexes {
		if err := indexer.IndexField(ctx, &v1alpha1.PartnerRegistration{}, name, index); err != nil {
			return fmt.Errorf("indexing partner registrations by %s: %w", name, err)
		}
	}
	return nil
}

func numbersOfAgreement(a *v1alpha1.PartnerAgreement) terms.Numbers {
	return terms.Numbers{Authorization: string(a.Spec.AuthorizationNumber), License: string(a.Spec.LicenseNumber), Email: string(a.Spec.CustomerEmail)}
}

// orderOf is the same for all agreements of one order, whatever the customer's
// mail address in them is.
func orderOf(n terms.Numbers) string {
	n.Email = ""
	return n.Digest()
}

// proof is what somebody is recognised by: where to look, and for what.
type proof struct{ index, value string }

func (p proof) String() string { return p.index + " " + p.value }

// proofOf is what a registration goes by.
func proofOf(reg *v1alpha1.PartnerRegistration) proof {
	if reg.Spec.AuthorizationNumber == "" {
		return proof{indexPrimaryContact, reg.Spec.Partner.Requester()}
	}
	return proof{indexAgreementNumbers, numbersOfRegistration(reg).Digest()}
}

// proofsOf are those that an agreement accepts.
func proofsOf(a *v1alpha1.PartnerAgreement) (all []proof) {
	for _, index := range []string{indexAgreementNumbers, indexPrimaryContact} {
		for _, value := range agreementIndexes[index](a) {
			all = append(all, proof{index, value})
		}
	}
	return all
}

func numbersOfRegistration(reg *v1alpha1.PartnerRegistration) terms.Numbers {
	return terms.Numbers{Authorization: string(reg.Spec.AuthorizationNumber), License: string(reg.Spec.LicenseNumber), Email: string(reg.Spec.CustomerEmail)}
}
