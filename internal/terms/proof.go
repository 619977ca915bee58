package terms

import "time"

// policySettles is how long the API server may take until it asks a policy that
// was just made.
const policySettles = 5 * time.Second

// Proven reports whether the API server asked who made an object when it was
// made: all that it needs for that was there already.
func Proven(made time.Time, policies ...time.Time) bool {
	for _, policy := range policies {
		if made.Before(policy.Add(policySettles)) {
			return false
		}
	}
	return true
}
