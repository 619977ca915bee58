package terms

// AllowedVersions returns the versions that a customer may use, out of those
// on offer, newest first: the newest and as many before it as the downgrade
// rights allow (n-1 or n-2 for most perpetual products of Microsoft's CSP).
func AllowedVersions(newestFirst []string, downgrade int32) []string {
	return newestFirst[:min(len(newestFirst), int(downgrade)+1)]
}
