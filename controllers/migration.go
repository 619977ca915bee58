package controllers

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/license-operator/license-operator/api/v1alpha1"
	"github.com/license-operator/license-operator/internal/terms"
)

// describeMigration tells how far the move from KMS to MAK is, and returns it
// for the rules; nil if there is none.
func describeMigration(sub *v1alpha1.SoftwareSubscription, now time.Time) *terms.MigrationStatus {
	spec := sub.Spec.VolumeLicensing
	if spec == nil {
		sub.Status.Migration = nil
		meta.RemoveStatusCondition(&sub.Status.Conditions, v1alpha1.ConditionMigrated)
		return nil
	}
	m := terms.MigrationAt(spec.LastKMSActivation.Time, spec.MAKDeployed, now)
	sub.Status.Migration = &v1alpha1.MigrationStatus{ReactivateBefore: metav1.NewTime(m.Before)}
	status, message := metav1.ConditionFalse, fmt.Sprintf("run %s from Secret %s on each machine before %s, then set spec.volumeLicensing.makDeployed to true", entryActivate, sub.KeySecretName(), stamp(m.Before))
	switch {
	case m.Future && m.State != terms.MigrationDone:
		message = fmt.Sprintf("spec.volumeLicensing.lastKMSActivation, %s, is in the future: set it to when the machines last renewed their activation", stamp(spec.LastKMSActivation.Time))
	case m.State == terms.MigrationDone:
		status, message = metav1.ConditionTrue, "the machines have the new key"
	case m.State == terms.MigrationLapsed:
		message = fmt.Sprintf("activation by KMS lapsed at %s, and machines may lose functions: run %s from Secret %s on each of them, then set spec.volumeLicensing.makDeployed to true", stamp(m.Before), entryActivate, sub.KeySecretName())
	}
	setCondition(sub, now, v1alpha1.ConditionMigrated, status, string(m.State), message)
	return &m
}
