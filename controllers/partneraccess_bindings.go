package controllers

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/terms"
)

// The RoleBindings of the operator, which config/policy/bindings.yaml knows too.
const (
	administratorsName = "license-operator-administrators"
	partnerPrefix      = "license-operator-partner-"
	keysSuffix         = "-keys" // of a second one, to read keys by

	administratorRole = "license-operator-customer-admin"
	partnerRole       = "license-operator-admin-agent"
)

// annotationPhase is on the RoleBinding of a partner, and has a
// terms.BindingPhase.
const annotationPhase = "license-operator.io/phase"

// maxSlug is how much of a partner's name is in that of his RoleBinding.
const maxSlug = 40

// roleFor is the role that a RoleBinding of the operator gives. known is false of
// a name that it gives to none.
func roleFor(name string) (role rbacv1.RoleRef, known bool) {
	role = rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: partnerRole}
	base, forKeys := strings.CutSuffix(name, keysSuffix)
	if forKeys {
		role.Kind, role.Name = "Role", KeyRoleName
	} else if base == administratorsName {
		role.Name = administratorRole
	}
	return role, base == administratorsName || strings.HasPrefix(name, partnerPrefix)
}

// partnerBindingName is the same for a partner each time, and another for
// everybody else: so much of the sum is in it that nobody finds a second name for
// it. People recognise him by it.
func partnerBindingName(s terms.PartnerSubject) string {
	slug := strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' {
			return c
		}
		return ' '
	}, strings.ToLower(s.Name))
	slug = strings.Join(strings.Fields(slug), "-")
	slug = strings.TrimSuffix(slug[:min(len(slug), maxSlug)], "-")
	if slug != "" {
		slug += "-"
	}
	sum := sha256.Sum256([]byte(s.Kind + "\n" + s.Name))
	return partnerPrefix + slug + hex.EncodeToString(sum[:16])
}

func newBinding(namespace, name, description string, subjects []rbacv1.Subject) *rbacv1.RoleBinding {
	role, _ := roleFor(name)
	return &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: name,
			Labels:      map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedByOperator},
			Annotations: map[string]string{"kubernetes.io/description": description},
		},
		RoleRef: role, Subjects: subjects,
	}
}

func describeAdministrators(name string) string {
	what := "Gives the customer's administrators their role."
	if strings.HasSuffix(name, keysSuffix) {
		what = "Lets the customer's administrators read the Secrets with licence keys and links to publishers' sites."
	}
	return what + " They are named in spec.administrators of the PartnerAgreements in this namespace: change these. license-operator keeps this RoleBinding as they want it, and makes it again if it is deleted."
}

func describePartner(s terms.PartnerSubject, name string) string {
	what := "manage the licences in this namespace"
	if strings.HasSuffix(name, keysSuffix) {
		what = "read the Secrets with licence keys and links to publishers' sites in this namespace"
	}
	return fmt.Sprintf("Lets %s %s %s, as a partner who has registered for a PartnerAgreement. Deleting it ends all access of this partner, and license-operator then lists the partner in spec.removedPartners, so that it stays so.", s.Kind, s.Name, what)
}

func rbacSubject(s terms.PartnerSubject) rbacv1.Subject {
	return rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: s.Kind, Name: s.Name}
}

func phaseOf(b *rbacv1.RoleBinding) terms.BindingPhase {
	return terms.BindingPhase(b.Annotations[annotationPhase])
}

func setPhase(b *rbacv1.RoleBinding, phase terms.BindingPhase) {
	if phase != "" {
		metav1.SetMetaDataAnnotation(&b.ObjectMeta, annotationPhase, string(phase))
	}
}

// naming is a RoleBinding that names exactly these subjects.
func naming(b *rbacv1.RoleBinding, subjects []rbacv1.Subject) *rbacv1.RoleBinding {
	b = b.DeepCopy()
	b.Subjects = subjects
	return b
}

// ownedByAgreements has the garbage collector delete what is owned when the last
// of the agreements is gone, also when the operator is.
func ownedByAgreements(agreements []*v1alpha1.PartnerAgreement) (refs []metav1.OwnerReference) {
	for _, a := range agreements {
		refs = append(refs, metav1.OwnerReference{APIVersion: v1alpha1.GroupVersion.String(), Kind: "PartnerAgreement", Name: a.Name, UID: a.UID})
	}
	return refs
}

func ownedByBinding(b *rbacv1.RoleBinding) []metav1.OwnerReference {
	return []metav1.OwnerReference{{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "RoleBinding", Name: b.Name, UID: b.UID}}
}

func sortPartners(all []v1alpha1.AgreementPartner) {
	slices.SortFunc(all, func(a, b v1alpha1.AgreementPartner) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
	})
}
