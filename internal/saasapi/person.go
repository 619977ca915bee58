package saasapi

import (
	"strings"

	"github.com/google/uuid"

	"github.com/license-operator/license-operator/api/v1alpha1"
)

// tenants is the name space of the UUIDs of tenants.
var tenants = uuid.MustParse("7d0b0c3e-6a52-4c0e-9f4e-1c6b3e6e8a11")

// Tenant is the tenant of a customer. It comes from the name of the customer's
// namespace, which the customer cannot choose, so that nobody can pass for
// another customer at a publisher.
func Tenant(customer string) uuid.UUID { return uuid.NewSHA1(tenants, []byte(customer)) }

// purchaserTenant is the tenant of a partner who bought for a customer. What a
// customer says of a partner is true for that customer only.
func purchaserTenant(customer, domain string) uuid.UUID {
	return uuid.NewSHA1(tenants, []byte(customer+"/"+domain))
}

// people returns who uses and who bought a subscription, and whether the
// latter is a partner: somebody of another company, as the domain of his mail
// address tells.
func people(e *v1alpha1.Entitlement) (beneficiary, purchaser Person, partner bool) {
	own := Tenant(e.Spec.Customer)
	uses, bought := email(e.Spec.Subscriber.Beneficiary), email(e.Spec.Subscriber.Purchaser)
	beneficiary = person(own, uses)
	switch {
	case bought == "": // nobody else
		return beneficiary, beneficiary, false
	case domain(bought) == domain(uses):
		return beneficiary, person(own, bought), false
	}
	return beneficiary, person(purchaserTenant(e.Spec.Customer, domain(bought)), bought), true
}

func email(p *v1alpha1.Person) string {
	if p == nil {
		return ""
	}
	return string(p.Email)
}

func domain(email string) string {
	return strings.ToLower(email[strings.LastIndexByte(email, '@')+1:])
}

func person(tenant uuid.UUID, email string) Person {
	p := Person{EmailID: email, TenantID: tenant.String()}
	if email != "" {
		p.ObjectID = uuid.NewSHA1(tenant, []byte(strings.ToLower(email))).String()
	}
	return p
}
