package main

import (
	"context"
	"fmt"
	"time"

	"github.com/license-operator/license-operator/api/v1alpha1"
)

// deploymentTool shows what there is instead of a link for 32-bit.
func (s *story) deploymentTool(ctx context.Context) error {
	say("There is no link for it: the Secret holds what the Office Deployment Tool needs, with the key")
	return s.expect(ctx, s.ada, `kubectl -n contoso get secret office-32bit-key -o jsonpath='{.data.configuration\.xml}' | base64 -d`,
		`OfficeClientEdition="32"`, `Channel="PerpetualVL2024"`, `PIDKEY="DEMO`, `ID="fr-fr"`)
}

// migrate shows the deadline of machines that were activated by KMS.
func (s *story) migrate(ctx context.Context) error {
	say("Fabrikam's servers were last activated by KMS at lastKMSActivation. That holds for 180 days,",
		"so they need the multiple activation key (MAK) before reactivateBefore")
	sub, err := s.subscription(ctx, "fabrikam", "windows-server")
	if err != nil {
		return err
	}
	before := sub.Spec.VolumeLicensing.LastKMSActivation.Add(180 * 24 * time.Hour).UTC().Format(time.RFC3339)
	if err := s.expect(ctx, s.admin, `kubectl -n fabrikam get swsub windows-server -o jsonpath='{.spec.volumeLicensing}{"\n"}{.status.migration}{"\n"}'`, before); err != nil {
		return err
	}
	migrated := `kubectl -n fabrikam get swsub windows-server -o jsonpath='{.status.conditions[?(@.type=="Migrated")].message}{"\n"}'`
	if err := s.expect(ctx, s.admin, migrated, "activate.cmd", "makDeployed"); err != nil {
		return err
	}
	fmt.Println()
	say("What activate.cmd runs on each machine")
	if err := s.expect(ctx, s.admin, `kubectl -n fabrikam get secret windows-server-key -o jsonpath='{.data.activate\.cmd}' | base64 -d | grep slmgr`, "/ipk DEMO", "/ato"); err != nil {
		return err
	}
	fmt.Println()
	say("All machines have it")
	if err := s.change(ctx, "fabrikam", "windows-server", `"volumeLicensing":{"makDeployed":true}`); err != nil {
		return err
	}
	return s.expect(ctx, s.admin, migrated, "the machines have the new key")
}

const (
	serverYAML = `
apiVersion: license-operator.io/v1alpha1
kind: LicenseServer
metadata: {name: rds-2, namespace: contoso}
spec:
  windowsServerVersion: "2019"
`
	calYAML = `
apiVersion: license-operator.io/v1alpha1
kind: SoftwareSubscription
metadata: {name: rds-branch, namespace: contoso}
spec:
  productRef: {name: rds-user-cal-2022}
  quantity: 10
  term: P1Y
  licenseServerRef: {name: rds-2}
`
)

// remoteDesktop buys client access licences for a server that is not ready.
func (s *story) remoteDesktop(ctx context.Context) error {
	say("A licence server that was just set up, and client access licences for it")
	for _, yaml := range []string{serverYAML, calYAML} {
		if _, err := s.run(ctx, s.admin, create(yaml)); err != nil {
			return err
		}
	}
	if err := s.told(ctx, "contoso", "rds-branch", v1alpha1.StatePending, "activate it at the clearing house"); err != nil {
		return err
	}
	fmt.Println()
	say("The clearing house gave the server its id. But a licence for 2022 needs a server of 2022 or later")
	if _, err := s.run(ctx, s.admin, patchServer(`"licenseServerID":"DEMO2ND7K4XQ9MW2VT6HBP3YRJ8GCF5DNZ1"`)); err != nil {
		return err
	}
	if err := s.told(ctx, "contoso", "rds-branch", v1alpha1.StatePending, "cannot be installed on LicenseServer rds-2, which runs 2019"); err != nil {
		return err
	}
	fmt.Println()
	say("The server is upgraded, and the code is issued for it")
	if _, err := s.run(ctx, s.admin, patchServer(`"windowsServerVersion":"2025"`)); err != nil {
		return err
	}
	if err := s.told(ctx, "contoso", "rds-branch", v1alpha1.StateActive, "key in Secret rds-branch-key"); err != nil {
		return err
	}
	fmt.Println()
	say("The clearing house takes a code once, so it cannot move to another server")
	return s.refused(ctx, s.admin, patch("contoso", "rds-branch", `"licenseServerRef":{"name":"rds-1"}`), "used up for ever")
}

func patchServer(spec string) string {
	return fmt.Sprintf(`kubectl -n contoso patch licenseserver rds-2 --type=merge -p '{"spec":{%s}}'`, spec)
}
