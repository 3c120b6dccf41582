package egress

import (
	"errors"
	"fmt"
	"net/netip"
	"syscall"

	"code.dny.dev/ssrf"
)

// ErrForbidden says that nothing may be sent to an address. It never says which
// address or why, so that no answer can be used to map a network.
var ErrForbidden = errors.New("address is not allowed")

// Policy decides which addresses may be connected to: public unicast addresses,
// and what an operator has opened. It fails closed: what it does not recognise is
// forbidden. It never changes, so it may be used from anywhere at the same time.
//
// An IPv4-mapped address (::ffff:10.0.0.1) is judged as the IPv4 address it
// stands for, because that is where the kernel connects. So 127.0.0.0/8 in the
// allow-list opens ::ffff:127.0.0.1 too, ::ffff:127.0.0.0/104 means the same as
// 127.0.0.0/8, and no IPv6 prefix, not even ::/0, opens an IPv4 address.
//
// An address of NAT64's well-known prefix (64:ff9b::/96) is judged by the public
// IPv4 address in it: networks with IPv6 only reach the internet that way. Whoever
// opens a private IPv4 range has not thereby opened the private addresses behind a
// translator; that takes the IPv6 prefix as well.
//
// Addresses with a zone are forbidden, and no prefix opens them.
type Policy struct {
	guard  *ssrf.Guardian
	plain  *ssrf.Guardian // without the IPv6 prefixes
	public *ssrf.Guardian // without any
}

// NewPolicy returns the policy that allows public unicast addresses and, on top of
// them, the prefixes in allow. A prefix that is not valid opens nothing.
func NewPolicy(allow []netip.Prefix) *Policy {
	var v4, v6 []netip.Prefix
	for _, prefix := range allow {
		prefix = unmapPrefix(prefix)
		switch {
		case !prefix.IsValid():
		case prefix.Addr().Is4():
			v4 = append(v4, prefix)
		default:
			v6 = append(v6, prefix)
		}
	}
	return &Policy{
		guard:  newGuardian(v4, v6),
		plain:  newGuardian(v4, nil),
		public: newGuardian(nil, nil),
	}
}

func newGuardian(v4, v6 []netip.Prefix) *ssrf.Guardian {
	return ssrf.New(
		ssrf.WithAnyPort(),
		ssrf.WithAllowedV4Prefixes(v4...),
		ssrf.WithAllowedV6Prefixes(v6...),
		ssrf.WithDeniedV4Prefixes(
			// Public by number, but inside Azure it is the platform's own
			// service, which hands out configuration and credentials.
			netip.PrefixFrom(netip.AddrFrom4([4]byte{168, 63, 129, 16}), 32),
		),
	)
}

// Check returns [ErrForbidden] unless the address may be connected to.
func (p *Policy) Check(addr netip.Addr) error {
	addr = addr.Unmap()
	if !addr.IsValid() || addr.Zone() != "" {
		return ErrForbidden
	}
	inner, isTranslated := translated(addr)
	switch {
	case isTranslated && p.public.SafeAddr(inner) == nil:
		return nil
	case p.guard.SafeAddr(addr) != nil, isTranslated && p.plain.SafeAddr(inner) != nil:
		return ErrForbidden
	default:
		return nil
	}
}

// control is [net.Dialer.Control]: it sees the very address that is about to be
// connected to, after names have been resolved, so a name that changes its mind
// between two look-ups gains nothing.
func (p *Policy) control(network, address string, _ syscall.RawConn) error {
	if network != "tcp4" && network != "tcp6" {
		return fmt.Errorf("dial over %q: %w", network, ErrForbidden)
	}
	target, err := netip.ParseAddrPort(address)
	if err != nil {
		return ErrForbidden
	}
	return p.Check(target.Addr())
}

// unmapPrefix turns a prefix of IPv4-mapped addresses into the IPv4 prefix that it
// stands for.
func unmapPrefix(prefix netip.Prefix) netip.Prefix {
	const mappedBits = 96
	if !prefix.IsValid() || !prefix.Addr().Is4In6() || prefix.Bits() < mappedBits {
		return prefix
	}
	return netip.PrefixFrom(prefix.Addr().Unmap(), prefix.Bits()-mappedBits)
}

// translated returns the IPv4 address that a NAT64 translator at the well-known
// prefix would forward to.
func translated(addr netip.Addr) (netip.Addr, bool) {
	if !ssrf.IPv6NAT64Prefix.Contains(addr) {
		return netip.Addr{}, false
	}
	raw := addr.As16()
	return netip.AddrFrom4([4]byte(raw[12:])), true
}
