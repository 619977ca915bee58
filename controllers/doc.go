// Package controllers carries out what the rules in internal/terms decide: one
// reconciler a kind. None compares instants or computes money itself.
//
// The way of a purchase through this package:
//
//	softwaresubscription_controller.go  reads the clock once, looks at the ledger, takes one of the branches
//	catalogue.go                        what the customer agrees to, or why it cannot be bought
//	issue.go                            reserve a key in the ledger, deliver it in a Secret
//	end.go                              revoke or retire the keys
//	describe.go                         tell it in status
//	status.go                           conditions, one write, when to look again
package controllers
