package webhooks

import (
	"net/netip"
	"syscall"
)

// addressError says at what kind of address a webhook is that is not called.
type addressError struct{ kind string }

func (e *addressError) Error() string { return "the address is " + e.kind }

// special are the ranges of addresses that belong to no publisher on the
// Internet (the IANA registries of special-purpose addresses), more special ones
// first. What netip knows by itself is not repeated.
var special = []struct {
	prefix netip.Prefix
	kind   string
}{
	{netip.MustParsePrefix("0.0.0.0/8"), "unspecified"},
	{netip.MustParsePrefix("100.64.0.0/10"), "private"}, // carrier-grade NAT
	{netip.MustParsePrefix("192.0.0.0/24"), "reserved"}, // protocol assignments
	{netip.MustParsePrefix("192.0.2.0/24"), "reserved"}, // documentation
	{netip.MustParsePrefix("192.88.99.0/24"), "reserved"},
	{netip.MustParsePrefix("198.18.0.0/15"), "reserved"}, // benchmarks
	{netip.MustParsePrefix("198.51.100.0/24"), "reserved"},
	{netip.MustParsePrefix("203.0.113.0/24"), "reserved"},
	{netip.MustParsePrefix("240.0.0.0/4"), "reserved"}, // with the broadcast address

	// Some networks lead these to an IPv4 address that is in them, so any could
	// be behind.
	{netip.MustParsePrefix("64:ff9b::/96"), "translated"},   // NAT64
	{netip.MustParsePrefix("64:ff9b:1::/48"), "translated"}, // NAT64 of a network of its own
	{netip.MustParsePrefix("2002::/16"), "translated"},      // 6to4
	{netip.MustParsePrefix("2001::/32"), "translated"},      // Teredo
	{netip.MustParsePrefix("::/96"), "translated"},          // IPv4-compatible

	{netip.MustParsePrefix("2001::/23"), "reserved"},
	{netip.MustParsePrefix("2001:db8::/32"), "reserved"}, // documentation
	{netip.MustParsePrefix("3fff::/20"), "reserved"},
}

// global is where the addresses of the Internet are. What is outside belongs to
// nobody yet.
var global = netip.MustParsePrefix("2000::/3")

// check refuses an address that is not on the Internet.
func check(addr netip.Addr) error {
	addr = addr.WithZone("").Unmap() // an IPv4 address in IPv6 form is the same address
	kind := ""
	switch {
	case addr.IsLoopback():
		kind = "loopback"
	case addr.IsUnspecified():
		kind = "unspecified"
	case addr.IsLinkLocalUnicast():
		kind = "link-local"
	case addr.IsPrivate():
		kind = "private"
	case addr.IsMulticast():
		kind = "multicast"
	}
	for i := 0; kind == "" && i < len(special); i++ {
		if special[i].prefix.Contains(addr) {
			kind = special[i].kind
		}
	}
	if kind == "" && (!addr.IsValid() || addr.Is6() && !global.Contains(addr)) {
		kind = "reserved"
	}
	if kind != "" {
		return &addressError{kind}
	}
	return nil
}

// guard is asked before each connection, when names are resolved.
func guard(_, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return &addressError{"reserved"}
	}
	return check(at.Addr())
}
