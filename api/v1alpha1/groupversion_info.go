// Package v1alpha1 is the license-operator.io/v1alpha1 API: what people write
// to declare software entitlements, and what the operator tells them about it.
//
// Cluster-scoped kinds belong to the platform team (Product, KeyIssuer,
// Publisher) or to the operator alone (LicenseKey, Entitlement and
// SelfServiceOrder: the ledger of keys, of services and of self-service).
// Namespaced kinds belong to a customer, because a customer is a namespace; the
// operator alone writes Seat, the ledger of seats, and Notification.
//
// +kubebuilder:object:generate=true
// +groupName=license-operator.io
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is the group and version of every kind in this package.
var GroupVersion = schema.GroupVersion{Group: "license-operator.io", Version: "v1alpha1"}

// AddToScheme adds every kind in this package to a scheme.
func AddToScheme(s *runtime.Scheme) error {
	s.AddKnownTypes(GroupVersion,
		&Product{}, &ProductList{},
		&KeyIssuer{}, &KeyIssuerList{},
		&LicenseKey{}, &LicenseKeyList{},
		&SoftwareSubscription{}, &SoftwareSubscriptionList{},
		&LicenseServer{}, &LicenseServerList{},
		&Publisher{}, &PublisherList{},
		&MarketplaceSubscription{}, &MarketplaceSubscriptionList{},
		&Entitlement{}, &EntitlementList{},
		&SelfServicePolicy{}, &SelfServicePolicyList{},
		&SelfServicePurchase{}, &SelfServicePurchaseList{},
		&SelfServiceOrder{}, &SelfServiceOrderList{},
		&LicenseAssignment{}, &LicenseAssignmentList{},
		&Seat{}, &SeatList{},
		&Takeover{}, &TakeoverList{},
		&PartnerAgreement{}, &PartnerAgreementList{},
		&PartnerRegistration{}, &PartnerRegistrationList{},
		&PartnerRequester{}, &PartnerRequesterList{},
		&Notification{}, &NotificationList{},
	)
	metav1.AddToGroupVersion(s, GroupVersion)
	return nil
}
