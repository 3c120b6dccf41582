package registration

import (
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// URLRules decides which URLs may be registered.
type URLRules struct {
	// RequireHTTPS refuses http://.
	RequireHTTPS bool
	// Address judges an address that is written out in a URL; an error means that
	// nothing may be sent there.
	Address func(netip.Addr) error
}

// Canonical checks a URL and returns the form in which it is stored: the scheme
// and host in lower case, an international name in its ASCII form, the port
// without leading zeros, everything else as given. It is idempotent.
func (r URLRules) Canonical(raw string) (string, error) {
	if err := checkText(raw); err != nil {
		return "", err
	}
	if err := r.checkParts(raw); err != nil {
		return "", err
	}
	u, err := url.Parse(raw)
	if err != nil {
		return "", bad("The URL is not valid. Write it like https://example.org/webhooks.")
	}
	if u.User != nil || u.Opaque != "" || u.Hostname() == "" {
		return "", bad("The URL must name a host, like https://example.org/webhooks.")
	}
	host, err := r.canonicalHost(u)
	if err != nil {
		return "", err
	}
	port, err := canonicalPort(u.Port())
	if err != nil {
		return "", err
	}
	u.Host = host + port
	u.RawQuery = escapeNonASCII(u.RawQuery)
	canonical := u.String()
	if len(canonical) > MaxURLBytes {
		return "", tooLong()
	}
	return canonical, nil
}

func bad(message string) error { return &Fault{Field: "url", Message: message, Kind: KindURL} }

func badPort() error { return bad("The URL's port must be a number from 1 to 65535.") }

func tooLong() error {
	return bounds("url", fmt.Sprintf("The URL must have at most %d bytes.", MaxURLBytes))
}

// checkText looks at the characters, before anything is parsed.
func checkText(raw string) error {
	switch {
	case raw == "":
		return bad("The URL must not be empty.")
	case len(raw) > MaxURLBytes:
		return tooLong()
	case !utf8.ValidString(raw) || strings.ContainsFunc(raw, unicode.IsControl):
		return bad("The URL must not contain control characters such as line breaks.")
	case strings.ContainsFunc(raw, unicode.IsSpace):
		return bad("The URL must not contain spaces; write a space as %20.")
	case strings.Contains(raw, `\`):
		return bad("The URL must not contain backslashes.")
	}
	return nil
}

// checkParts looks at the parts as they were given, because parsing decodes
// some of them and has no sentence for the mistakes that hosts make.
func (r URLRules) checkParts(raw string) error {
	scheme, rest, _ := strings.Cut(raw, ":")
	scheme = strings.ToLower(scheme)
	authority, _ := strings.CutPrefix(rest, "//")
	if end := strings.IndexAny(authority, "/?#"); end >= 0 {
		authority = authority[:end]
	}
	port := authority[strings.LastIndexAny(authority, ":]")+1:]
	switch {
	case scheme != "http" && scheme != "https":
		return bad("The URL must start with https:// or http://.")
	case scheme == "http" && r.RequireHTTPS:
		return bad("The URL must start with https://.")
	case !strings.HasPrefix(rest, "//") || authority == "":
		return bad("The URL must name a host, like https://example.org/webhooks.")
	case strings.Contains(authority, "@"):
		return bad("The URL must not contain a user name or a password. Use a secret to prove where a delivery comes from.")
	case strings.Contains(authority, "%"):
		return bad("The URL's host must be written without percent-encoding and without a zone.")
	case strings.Contains(authority, ":") && !strings.HasSuffix(authority, "]") && strings.Trim(port, "0123456789") != "":
		return badPort()
	case strings.Contains(raw, "#"):
		return bad("The URL must not contain a fragment (the part after #); receivers never see it.")
	}
	return nil
}

func (r URLRules) canonicalHost(u *url.URL) (string, error) {
	if strings.HasPrefix(u.Host, "[") {
		addr, err := netip.ParseAddr(u.Hostname())
		if err != nil || !addr.Is6() || addr.Zone() != "" {
			return "", bad("The URL's host must be a name or an IP address; an IPv6 address stands in brackets.")
		}
		return "[" + addr.String() + "]", r.checkAddress(addr)
	}
	name, err := idna.Lookup.ToASCII(strings.TrimSuffix(u.Hostname(), "."))
	if err != nil || !validLengths(name) {
		return "", bad("The URL's host is not a valid name.")
	}
	name = strings.TrimSuffix(strings.ToLower(name), ".")
	// Mapping may turn other scripts' digits and dots into an address.
	if addr, err := netip.ParseAddr(name); err == nil {
		return addr.String(), r.checkAddress(addr)
	}
	switch {
	case !validLengths(name):
		return "", bad("The URL's host is not a valid name.")
	case endsInNumber(name):
		return "", bad("The URL's host is not a valid address. Write an IPv4 address as four decimal numbers, like 203.0.113.7.")
	case name == "localhost" || strings.HasSuffix(name, ".localhost"):
		return "", bad("The URL must not point to localhost; use an address that can be reached from where deliveries are sent.")
	}
	return name, nil
}

func (r URLRules) checkAddress(addr netip.Addr) error {
	if r.Address == nil || r.Address(addr) == nil {
		return nil
	}
	return bad("The URL points to an address where deliveries are not allowed to go. Use an address on the public internet.")
}

// validLengths checks what DNS can carry: labels of 1 to 63 bytes, 253 in all.
func validLengths(name string) bool {
	if name == "" || len(name) > 253 {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 {
			return false
		}
	}
	return true
}

// endsInNumber reports whether some resolvers would read the name as an IPv4
// address in a short, octal or hexadecimal form: the last label is a number.
func endsInNumber(name string) bool {
	last := name[strings.LastIndexByte(name, '.')+1:]
	digits, isHex := strings.CutPrefix(last, "0x")
	return strings.TrimLeft(digits, "0123456789") == "" ||
		isHex && strings.TrimLeft(digits, "0123456789abcdef") == ""
}

func canonicalPort(port string) (string, error) {
	if port == "" {
		return "", nil
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil || number == 0 {
		return "", badPort()
	}
	return ":" + strconv.FormatUint(number, 10), nil
}

// escapeNonASCII percent-encodes what must not stand in a request line as it is.
func escapeNonASCII(s string) string {
	var out strings.Builder
	for i := range len(s) {
		if s[i] < utf8.RuneSelf {
			out.WriteByte(s[i])
			continue
		}
		fmt.Fprintf(&out, "%%%02X", s[i])
	}
	return out.String()
}
