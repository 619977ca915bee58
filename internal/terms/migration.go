package terms

import "time"

// A machine that was activated by a key management service stays so for 180
// days (Microsoft's pages on volume activation). Thirty days before the end
// there is no more time to lose.
const (
	kmsActivation = 180 * day
	kmsAtRisk     = 30 * day
)

// Migration is how far a customer's move from KMS to a MAK is.
type Migration string

// What a Migration can be.
const (
	MigrationOnTrack Migration = "OnTrack"
	MigrationAtRisk  Migration = "AtRisk"      // less than 30 days are left
	MigrationLapsed  Migration = "Lapsed"      // machines may lose functions until they are activated anew
	MigrationDone    Migration = "MAKDeployed" // nothing depends on KMS any more
)

// MigrationStatus is what holds for a migration at an instant.
type MigrationStatus struct {
	State  Migration
	Future bool      // the last activation is said to be still to come, which cannot be
	AtRisk time.Time // the first instant of MigrationAtRisk
	Before time.Time // the first instant of MigrationLapsed
	Next   time.Time // when State is next different; zero: never
}

// MigrationAt says how far the move from KMS to MAK is at an instant, given
// when the machines last renewed their activation by KMS.
func MigrationAt(lastKMS time.Time, deployed bool, now time.Time) MigrationStatus {
	m := MigrationStatus{Before: lastKMS.UTC().Truncate(time.Second).Add(kmsActivation)}
	m.AtRisk = m.Before.Add(-kmsAtRisk)
	m.Future = now.Before(lastKMS)
	switch {
	case deployed:
		m.State = MigrationDone
	case now.Before(m.AtRisk):
		m.State, m.Next = MigrationOnTrack, m.AtRisk
	case now.Before(m.Before):
		m.State, m.Next = MigrationAtRisk, m.Before
	default:
		m.State = MigrationLapsed
	}
	return m
}
