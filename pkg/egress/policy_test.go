package egress

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// Every special-purpose range with its first and last address, and the addresses
// just outside of it.
func TestCase05_SpecialPurposeAddresses(t *testing.T) {
	t.Parallel()
	policy := NewPolicy(nil)
	tests := []struct {
		name      string
		forbidden []string
		allowed   []string
	}{
		{"this network", []string{"0.0.0.0", "0.0.0.1", "0.255.255.255"}, []string{"1.0.0.0"}},
		{"private 10/8", []string{"10.0.0.0", "10.0.0.1", "10.255.255.255"}, []string{"9.255.255.255", "11.0.0.0"}},
		{"shared 100.64/10", []string{"100.64.0.0", "100.100.100.200", "100.127.255.255"}, []string{"100.63.255.255", "100.128.0.0"}},
		{"loopback", []string{"127.0.0.0", "127.0.0.1", "127.255.255.255"}, []string{"126.255.255.255", "128.0.0.0"}},
		{"link local and metadata", []string{"169.254.0.0", "169.254.169.254", "169.254.170.2", "169.254.255.255"}, []string{"169.253.255.255", "169.255.0.0"}},
		{"private 172.16/12", []string{"172.16.0.0", "172.31.255.255"}, []string{"172.15.255.255", "172.32.0.0"}},
		{"IETF 192.0.0/24", []string{"192.0.0.0", "192.0.0.8", "192.0.0.192", "192.0.0.255"}, []string{"191.255.255.255", "192.0.1.0"}},
		{"TEST-NET-1", []string{"192.0.2.0", "192.0.2.255"}, []string{"192.0.1.255", "192.0.3.0"}},
		{"AS112", []string{"192.31.196.0", "192.31.196.255", "192.175.48.0", "192.175.48.255"}, []string{"192.31.195.255", "192.31.197.0", "192.175.47.255", "192.175.49.0"}},
		{"AMT", []string{"192.52.193.0", "192.52.193.255"}, []string{"192.52.192.255", "192.52.194.0"}},
		{"6to4 relay", []string{"192.88.99.0", "192.88.99.255"}, []string{"192.88.98.255", "192.88.100.0"}},
		{"private 192.168/16", []string{"192.168.0.0", "192.168.255.255"}, []string{"192.167.255.255", "192.169.0.0"}},
		{"benchmarking", []string{"198.18.0.0", "198.19.255.255"}, []string{"198.17.255.255", "198.20.0.0"}},
		{"TEST-NET-2", []string{"198.51.100.0", "198.51.100.255"}, []string{"198.51.99.255", "198.51.101.0"}},
		{"TEST-NET-3", []string{"203.0.113.0", "203.0.113.255"}, []string{"203.0.112.255", "203.0.114.0"}},
		{"multicast", []string{"224.0.0.0", "224.0.0.1", "239.255.255.255"}, []string{"223.255.255.255"}},
		{"reserved and broadcast", []string{"240.0.0.0", "250.1.2.3", "255.255.255.254", "255.255.255.255"}, nil},
		{"Azure's platform", []string{"168.63.129.16"}, []string{"168.63.129.15", "168.63.129.17"}},
		{"public IPv4", nil, []string{"1.1.1.1", "8.8.8.8", "93.184.216.34", "185.199.108.153"}},

		{"unspecified and loopback IPv6", []string{"::", "::1", "::2"}, nil},
		{"IPv4-compatible", []string{"::127.0.0.1", "::10.0.0.1", "::8.8.8.8", "::255.255.255.255"}, nil},
		{"IPv4-mapped", []string{
			"::ffff:0.0.0.0", "::ffff:10.0.0.1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:192.168.1.1", "::ffff:255.255.255.255",
		}, []string{"::ffff:8.8.8.8", "::ffff:9.255.255.255"}},
		{"IPv4-translated", []string{"::ffff:0:10.0.0.1", "::ffff:0:8.8.8.8"}, nil},
		{"NAT64", []string{
			"64:ff9b::", "64:ff9b::a00:1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b::c0a8:1", "64:ff9b::a83f:8110", "64:ff9b::ffff:ffff", "64:ff9b::1:0:0",
			"64:ff9b::1:808:808", "64:ff9b:0:0:1::808:808",
		}, []string{"64:ff9b::808:808", "64:ff9b::101:101", "64:ff9b::9ff:ffff", "64:ff9b::b00:0"}},
		{"NAT64 for local use", []string{"64:ff9b:1::", "64:ff9b:1::a00:1", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff", "64:ff9b:2::"}, nil},
		{"discard", []string{"100::", "100::1", "100:0:0:1::1"}, nil},
		{"before global unicast", []string{"1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"}, []string{"2000::"}},
		{"Teredo", []string{"2001::", "2001::1", "2001:0:ffff:ffff:ffff:ffff:ffff:ffff"}, nil},
		{"IETF IPv6", []string{"2001:1::1", "2001:2::1", "2001:10::1", "2001:20::1", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff"}, []string{"2001:200::"}},
		{"documentation", []string{"2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"}, []string{"2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db9::"}},
		{"6to4", []string{"2002::", "2002:a00:1::", "2002:7f00:1::1", "2002:808:808::1", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff"}, []string{"2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2003::"}},
		{"AS112 IPv6", []string{"2620:4f:8000::", "2620:4f:8000:ffff:ffff:ffff:ffff:ffff"}, []string{"2620:4f:7fff:ffff:ffff:ffff:ffff:ffff", "2620:4f:8001::"}},
		{"documentation 3fff", []string{"3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff"}, []string{"3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "3fff:1000::"}},
		{"after global unicast", []string{"4000::", "5f00::1", "e000::1"}, nil},
		{"unique local and metadata", []string{"fc00::", "fd00:ec2::254", "fd20:ce::254", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"}, nil},
		{"link local IPv6", []string{"fe80::", "fe80::1", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff"}, nil},
		{"site local", []string{"fec0::", "fec0::1", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"}, nil},
		{"multicast IPv6", []string{"ff00::", "ff02::1", "ff0e::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"}, nil},
		{"zones", []string{"fe80::1%eth0", "2606:4700:4700::1111%eth0", "::1%lo"}, nil},
		{"public IPv6", nil, []string{"2606:4700:4700::1111", "2a00:1450:4001:800::200e", "2400:cb00::1"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			for _, text := range test.forbidden {
				require.ErrorIs(t, policy.Check(netip.MustParseAddr(text)), ErrForbidden, text)
			}
			for _, text := range test.allowed {
				require.NoError(t, policy.Check(netip.MustParseAddr(text)), text)
			}
		})
	}
	require.ErrorIs(t, policy.Check(netip.Addr{}), ErrForbidden, "no address at all")
}

func TestPolicyOpensWhatIsListed(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name      string
		allow     []string
		allowed   []string
		forbidden []string
	}{
		{
			"loopback",
			[]string{"127.0.0.0/8"},
			[]string{"127.0.0.1", "::ffff:127.0.0.1", "127.255.255.255"},
			[]string{"::1", "::127.0.0.1", "10.0.0.1", "64:ff9b::7f00:1", "::ffff:10.0.0.1"},
		},
		{
			"written as mapped",
			[]string{"::ffff:10.1.0.0/112"},
			[]string{"10.1.0.0", "10.1.255.255", "::ffff:10.1.2.3"},
			[]string{"10.0.255.255", "10.2.0.0"},
		},
		{
			"everything of IPv6 opens nothing of IPv4",
			[]string{"::/0"},
			[]string{"::1", "fd00::1", "fe80::1"},
			[]string{"127.0.0.1", "::ffff:127.0.0.1", "10.0.0.1", "fe80::1%eth0"},
		},
		{
			"everything of IPv4 opens nothing of IPv6",
			[]string{"0.0.0.0/0"},
			[]string{"127.0.0.1", "10.0.0.1", "255.255.255.255"},
			[]string{"::1", "fd00::1", "64:ff9b::a00:1", "2002:a00:1::"},
		},
		{
			"one address of each kind",
			[]string{"10.0.0.7/32", "fd00::7/128"},
			[]string{"10.0.0.7", "fd00::7"},
			[]string{"10.0.0.6", "10.0.0.8", "fd00::6", "fd00::8"},
		},
		{
			"a host address with its prefix length",
			[]string{"192.168.7.9/16"},
			[]string{"192.168.0.1", "192.168.255.255"},
			[]string{"10.0.0.1", "172.16.0.1"},
		},
		{
			"a private range, not behind a translator",
			[]string{"10.0.0.0/8", "127.0.0.0/8"},
			[]string{"10.0.0.1", "64:ff9b::808:808"},
			[]string{"64:ff9b::a00:1", "64:ff9b::7f00:1"},
		},
		{
			"NAT64 to the public only",
			[]string{"64:ff9b::/96"},
			[]string{"64:ff9b::808:808"},
			[]string{"64:ff9b::a00:1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::808:808"},
		},
		{
			"NAT64 to a private range that is open itself",
			[]string{"64:ff9b::/96", "10.0.0.0/8"},
			[]string{"64:ff9b::a00:1", "10.0.0.1"},
			[]string{"64:ff9b::c0a8:1"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			prefixes := make([]netip.Prefix, 0, len(test.allow)+1)
			for _, text := range test.allow {
				prefixes = append(prefixes, netip.MustParsePrefix(text))
			}
			policy := NewPolicy(append(prefixes, netip.Prefix{}))
			for _, text := range test.allowed {
				require.NoError(t, policy.Check(netip.MustParseAddr(text)), text)
			}
			for _, text := range test.forbidden {
				require.ErrorIs(t, policy.Check(netip.MustParseAddr(text)), ErrForbidden, text)
			}
		})
	}
}

func TestPolicyControl(t *testing.T) {
	t.Parallel()
	policy := NewPolicy(nil)
	require.NoError(t, policy.control("tcp4", "8.8.8.8:1", nil))
	require.NoError(t, policy.control("tcp6", "[2606:4700:4700::1111]:65535", nil))
	for network, address := range map[string]string{
		"udp4": "8.8.8.8:443",
		"unix": "/run/docker.sock",
		"tcp4": "127.0.0.1:443",
		"tcp6": "[::ffff:127.0.0.1]:443",
		"tcp":  "8.8.8.8:443",
	} {
		require.ErrorIs(t, policy.control(network, address, nil), ErrForbidden, network)
	}
	for _, address := range []string{"", "example.com:443", "8.8.8.8", "[fe80::1%eth0]:80", "0x7f.1:80"} {
		require.ErrorIs(t, policy.control("tcp4", address, nil), ErrForbidden, address)
	}
}

// What every permitted address has in common, whatever it is.
func TestPolicyAllowsPublicUnicastOnly(t *testing.T) {
	t.Parallel()
	policy := NewPolicy(nil)
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.SampledFrom([]int{4, 16}).Draw(t, "size")
		raw := rapid.SliceOfN(rapid.Byte(), size, size).Draw(t, "address")
		addr, ok := netip.AddrFromSlice(raw)
		require.True(t, ok)
		if policy.Check(addr) != nil {
			return
		}
		addr = addr.Unmap()
		assert.True(t, addr.IsGlobalUnicast(), addr)
		assert.False(t, addr.IsPrivate() || addr.IsLoopback() || addr.IsMulticast() || addr.IsLinkLocalUnicast(), addr)
		if addr.Is6() && !netip.MustParsePrefix("64:ff9b::/96").Contains(addr) {
			assert.True(t, netip.MustParsePrefix("2000::/3").Contains(addr), addr)
		}
	})
}
