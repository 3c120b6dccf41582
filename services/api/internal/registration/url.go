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
// without leading zeros. Of the path and the query every byte is kept that may
// stand in a URL, escapes as they are (%2F stays %2F); what may not (braces,
// quotes, letters that are not ASCII) is escaped, as browsers do. So the result is
// what is shown, and exactly what is called. Canonical is idempotent.
//
// Blanks, line breaks and invisible characters at either end come from copying
// and are left out.
func (r URLRules) Canonical(raw string) (string, error) {
	raw = strings.TrimFunc(raw, isBlank)
	if err := checkText(raw); err != nil {
		return "", err
	}
	scheme, authority, rest := split(raw)
	if err := r.checkParts(scheme, raw, authority); err != nil {
		return "", err
	}
	host, port, err := r.canonicalAuthority(authority)
	if err != nil {
		return "", err
	}
	path, query, hasQuery := strings.Cut(rest, "?")
	if !validEscapes(path) {
		return "", bad("The URL has a % that is not followed by two hexadecimal digits. Write a percent sign as %25.")
	}
	canonical := scheme + "://" + host + port + escape(path)
	if hasQuery {
		canonical += "?" + escape(query)
	}
	if len(canonical) > MaxURLBytes {
		return "", tooLong()
	}
	// Dispatchers parse it again. What would then be another URL is none.
	if u, err := url.Parse(canonical); err != nil || u.String() != canonical || u.Hostname() != strings.Trim(host, "[]") {
		return "", bad("The URL is not valid. Write it like https://example.org/webhooks.")
	}
	return canonical, nil
}

// split takes a URL apart where browsers do, and decodes nothing.
func split(raw string) (scheme, authority, rest string) {
	scheme, rest, _ = strings.Cut(raw, ":")
	authority, isHierarchical := strings.CutPrefix(rest, "//")
	if !isHierarchical {
		return strings.ToLower(scheme), "", ""
	}
	end := len(authority)
	if i := strings.IndexAny(authority, "/?#"); i >= 0 {
		end = i
	}
	return strings.ToLower(scheme), authority[:end], authority[end:]
}

// escape keeps what may stand in a path or a query (RFC 3986, and the brackets
// that browsers leave alone) and escapes every other byte.
func escape(s string) string {
	const kept = "%-._~!$&'()*+,;=:@/?[]"
	var out strings.Builder
	for i := range len(s) {
		c := s[i]
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte(kept, c) >= 0 {
			out.WriteByte(c)
			continue
		}
		fmt.Fprintf(&out, "%%%02X", c)
	}
	return out.String()
}

// validEscapes reports whether each % is followed by two hexadecimal digits.
func validEscapes(s string) bool {
	for i := range len(s) {
		if s[i] == '%' && (i+2 >= len(s) || !isHex(s[i+1]) || !isHex(s[i+2])) {
			return false
		}
	}
	return true
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

func bad(message string) error { return &Fault{Field: "url", Message: message, Kind: KindURL} }

func badPort() error { return bad("The URL's port must be a number from 1 to 65535.") }

func tooLong() error {
	return bounds("url", fmt.Sprintf("The URL must have at most %d bytes.", MaxURLBytes))
}

// checkText looks at the characters, before anything is taken apart.
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
	case strings.ContainsFunc(raw, isInvisible):
		return bad("The URL contains an invisible character. Copy it again, or type it.")
	case strings.Contains(raw, `\`):
		return bad("The URL must not contain backslashes.")
	}
	return nil
}

func (r URLRules) checkParts(scheme, raw, authority string) error {
	switch {
	case scheme != "http" && scheme != "https":
		return bad("The URL must start with https:// or http://.")
	case scheme == "http" && r.RequireHTTPS:
		return bad("The URL must start with https://.")
	case authority == "":
		return bad("The URL must name a host, like https://example.org/webhooks.")
	case strings.Contains(authority, "@"):
		return bad("The URL must not contain a user name or a password. Use a secret to prove where a delivery comes from.")
	case strings.Contains(authority, "%"):
		return bad("The URL's host must be written without percent-encoding and without a zone.")
	case strings.Contains(raw, "#"):
		return bad("The URL must not contain a fragment (the part after #); receivers never see it.")
	}
	return nil
}

// canonicalAuthority returns the host, in brackets if it is an IPv6 address, and
// the port with its colon, if there is one.
func (r URLRules) canonicalAuthority(authority string) (host, port string, err error) {
	end := len(authority)
	if bracket := strings.LastIndexByte(authority, ']'); bracket < end-1 {
		if colon := strings.LastIndexByte(authority[bracket+1:], ':'); colon >= 0 {
			end = bracket + 1 + colon
			if port, err = canonicalPort(authority[end+1:]); err != nil {
				return "", "", err
			}
		}
	}
	host = authority[:end]
	switch {
	case host == "":
		return "", "", bad("The URL must name a host, like https://example.org/webhooks.")
	case strings.ContainsAny(host, ":[]"):
		host, err = r.canonicalIPv6(host)
	default:
		host, err = r.canonicalName(host)
	}
	return host, port, err
}

func (r URLRules) canonicalIPv6(host string) (string, error) {
	inner, opened := strings.CutPrefix(host, "[")
	inner, closed := strings.CutSuffix(inner, "]")
	addr, err := netip.ParseAddr(inner)
	if err != nil || !opened || !closed || !addr.Is6() || addr.Zone() != "" {
		return "", bad("The URL's host must be a name or an IP address; an IPv6 address stands in brackets.")
	}
	return "[" + addr.String() + "]", r.checkAddress(addr)
}

func (r URLRules) canonicalName(given string) (string, error) {
	name, err := lookupProfile().ToASCII(given)
	if err != nil {
		return "", badName()
	}
	// Mapping may turn other scripts' digits and dots into an address.
	name = strings.TrimSuffix(strings.ToLower(name), ".")
	if addr, err := netip.ParseAddr(name); err == nil {
		return addr.String(), r.checkAddress(addr)
	}
	switch {
	case !validLabels(name):
		return "", badName()
	case endsInNumber(name):
		return "", bad("The URL's host is not a valid address. Write an IPv4 address as four decimal numbers, like 203.0.113.7.")
	case name == "localhost" || strings.HasSuffix(name, ".localhost"):
		return "", bad("The URL must not point to localhost; use an address that can be reached from where deliveries are sent.")
	}
	return name, nil
}

// lookupProfile maps names as browsers do. Hyphens may stand in third and fourth
// place, as in r3---sn.example.org; which ASCII characters may, validLabels says.
func lookupProfile() *idna.Profile {
	return idna.New(idna.MapForLookup(), idna.BidiRule(), idna.Transitional(false),
		idna.CheckHyphens(false), idna.StrictDomainName(false), idna.VerifyDNSLength(false))
}

func badName() error { return bad("The URL's host is not a valid name.") }

func (r URLRules) checkAddress(addr netip.Addr) error {
	if r.Address == nil || r.Address(addr) == nil {
		return nil
	}
	return bad("The URL points to an address where deliveries are not allowed to go. Use an address on the public internet.")
}

// validLabels reports whether a name in ASCII and lower case can be looked up:
// letters, digits, hyphens inside of labels, and underscores, which names inside
// of a network often have.
func validLabels(name string) bool {
	if len(name) > 253 {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		if strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
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
