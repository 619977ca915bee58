package terms

import "testing"

// The rows are Microsoft's compatibility table for licence servers.
func TestInstallsOn(t *testing.T) {
	versions := []string{"2016", "2019", "2022", "2025"}
	for i, licence := range versions {
		for j, server := range versions {
			if got := InstallsOn(licence, server); got != (j >= i) {
				t.Errorf("a licence for %s on a server with %s: %v", licence, server, got)
			}
		}
	}
}
