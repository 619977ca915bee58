// Package controllers carries out what the rules in internal/terms decide: one
// reconciler a kind. None compares instants or computes money itself.
//
// The way of a purchase through this package:
//
//	softwaresubscription_controller.go  reads the clock once, looks at the ledger, takes one of the branches
//	end.go                              cancel, renew or expire; revoke or retire the keys
//	quantity.go                         record another quantity, give keys back
//	catalogue.go                        what the customer agrees to, or why it cannot be bought
//	choose.go                           what comes with the keys: a build, files, a licence server
//	issue.go                            reserve keys in the ledger
//	secret.go                           deliver them in a Secret, with the download link and files
//	describe.go                         tell it in status, with download.go and migration.go
//	status.go                           conditions, one write, when to look again
//	notices.go                          tell people, by Events
//
// The way of a publisher's service:
//
//	marketplacesubscription_controller.go  reads the clock once, finds the entitlement, tells it in status
//	marketplace_buy.go                     what the customer agrees to, put on record
//	marketplace_follow.go                  cancel, suspend, and ask the publisher for changes
//	marketplace_landing.go                 the Secret with the link to the publisher's site
//	marketplace_describe.go                tell it in status
//	marketplace_notices.go                 tell people, by Events and by mail
//	webhook_controller.go                  tell the publisher, until its webhook has taken it
//
// What the publisher does comes through internal/fulfillment, into the same
// Entitlement.
//
// The way of what an employee buys or tries himself:
//
//	selfservicepurchase_controller.go  reads the clock once, finds the order, follows it
//	selfservice_buy.go                 what the purchaser agrees to and the policies allow, put on record
//	selfservice_describe.go            tell it in status
//	selfservice_notices.go             tell people, by Events and mail
//	selfservicepolicy_controller.go    tell what a policy says about each product
//
// Seats of subscriptions:
//
//	seats.go                         the ledger of seats, and what one look at it finds
//	licenseassignment_controller.go  one pass seats everybody of a subscription
//	takeover_controller.go           move the users of an employee's purchase, or cancel it
//
// The way of a partner:
//
//	partnerregistration_controller.go  reads the clock once, looks for the agreements that recognise him
//	partnerregistration_attempts.go    who he is must be proven, and attempts in vain are counted
//	partnerregistration_describe.go    what access he has by each, told in status
//	partnerregistration_notices.go     tell people, by Events and mail, and count
//	partnerrequester_controller.go     forget attempts that are a day old
//
// Who manages a customer's licences:
//
//	partneraccess_controller.go  one pass gives and takes the roles of everybody in a namespace
//	partneraccess_realm.go       what one look at it finds
//	partneraccess_plan.go        what is to be written next, access that ends first
//	partneraccess_bindings.go    the RoleBindings
//	partneraccess_describe.go    tell it in status of agreements, with partneraccess_notices.go
//
// The way of a mail: whoever has to tell something puts a Notification on record
// (mail.go), and notification_controller.go sends it.
//
// The other kinds: product_controller.go with product_artifacts.go,
// publisher_controller.go, keyissuer_controller.go with keyissuer_pool.go and
// keyissuer_signed.go, and licenseserver_controller.go. Who may read the keys
// and links: keyrole_controller.go lists their Secrets in a Role.
package controllers
