package registration_test

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/pkg/egress"
	"github.com/dembrane/webhooks/services/api/internal/registration"
)

// publicOnly stands in for the dial guard's policy, which has its own tests.
func publicOnly(addr netip.Addr) error {
	addr = addr.Unmap()
	if addr.IsPrivate() || addr.IsLoopback() || addr.IsLinkLocalUnicast() || addr.IsUnspecified() {
		return errors.New("forbidden")
	}
	return nil
}

func rules() registration.URLRules { return registration.URLRules{Address: publicOnly} }

func TestURLCanonicalForm(t *testing.T) {
	for given, want := range map[string]string{
		"https://example.org":                         "https://example.org",
		"https://example.org/":                        "https://example.org/",
		"HTTPS://Example.ORG/Hooks?A=B":               "https://example.org/Hooks?A=B",
		"https://example.org./x":                      "https://example.org/x",
		"http://example.org:8080/x":                   "http://example.org:8080/x",
		"https://example.org:00443/x":                 "https://example.org:443/x",
		"https://example.org:/x":                      "https://example.org/x",
		"https://example.org:65535":                   "https://example.org:65535",
		"https://example.org:1":                       "https://example.org:1",
		"https://example.org?token=abc":               "https://example.org?token=abc",
		"https://example.org/?":                       "https://example.org/?",
		"https://example.org/a%2Fb/%20":               "https://example.org/a%2Fb/%20",
		"https://example.org/caf\u00e9?q=\u00e9":      "https://example.org/caf%C3%A9?q=%C3%A9",
		"https://B\u00dcCHER.example/":                "https://xn--bcher-kva.example/",
		"https://xn--bcher-kva.example/":              "https://xn--bcher-kva.example/",
		"https://\u4f8b\u3048.\u30c6\u30b9\u30c8":     "https://xn--r8jz45g.xn--zckzah",
		"https://example\u3002org/":                   "https://example.org/",
		"https://8.8.8.8/x":                           "https://8.8.8.8/x",
		"https://\uff18.8.8.8/x":                      "https://8.8.8.8/x",
		"https://[2606:4700::1111]/x":                 "https://[2606:4700::1111]/x",
		"https://[2606:4700:0:0:0:0:0:1111]:8443/":    "https://[2606:4700::1111]:8443/",
		"https://1password.example":                   "https://1password.example",
		"https://receiver:8080/":                      "https://receiver:8080/",
		"https://example.0xg/":                        "https://example.0xg/",
		"https://hooks.slack.com/services/T/B/x@y:z":  "https://hooks.slack.com/services/T/B/x@y:z",
		"https://example.org/?url=http://a:b@c/d%23e": "https://example.org/?url=http://a:b@c/d%23e",

		// What is escaped stays escaped, and what is not stays so (report B14).
		"https://example.org/gr\u00f6\u00dfe%2Fapp/x":       "https://example.org/gr%C3%B6%C3%9Fe%2Fapp/x",
		"https://example.org/hook/{team}%2Fx":               "https://example.org/hook/%7Bteam%7D%2Fx",
		"https://example.org/%2f%2F%c3%B6/%7b%41%2e%2E":     "https://example.org/%2f%2F%c3%B6/%7b%41%2e%2E",
		"https://example.org/a|b^c`d\"e<f>g%2F":             "https://example.org/a%7Cb%5Ec%60d%22e%3Cf%3Eg%2F",
		"https://example.org/a/../b/./c//d/":                "https://example.org/a/../b/./c//d/",
		"https://example.org//x":                            "https://example.org//x",
		"https://example.org/!$&'()*+,;=:@[]~x?!$&'()*[]/?": "https://example.org/!$&'()*+,;=:@[]~x?!$&'()*[]/?",
		"https://example.org/?q={a}%7Bb%7D|%zz&s=%2B+x%20y": "https://example.org/?q=%7Ba%7D%7Bb%7D%7C%zz&s=%2B+x%20y",
		"https://example.org/\U0001f468\u200d\U0001f469":    "https://example.org/%F0%9F%91%A8%E2%80%8D%F0%9F%91%A9",

		// Names as browsers take them (report B13).
		"https://qa--shop.netlify.app/":     "https://qa--shop.netlify.app/",
		"https://r3---sn-4g5e.example.org/": "https://r3---sn-4g5e.example.org/",
		"http://webhook_receiver:9000/":     "http://webhook_receiver:9000/",
		"https://_x._tcp.example.org/":      "https://_x._tcp.example.org/",
		"https://QA--Shop.Netlify.APP/":     "https://qa--shop.netlify.app/",
		"https://XN--BCHER-KVA.example/":    "https://xn--bcher-kva.example/",
		"https://Stra\u00dfe.example/":      "https://xn--strae-oqa.example/",
		"https://exa_mple.org/":             "https://exa_mple.org/",
		"https://\u0130stanbul.example/":    "https://xn--istanbul-o0e.example/",
		"https://[::FFFF:8.8.8.8]/":         "https://[::ffff:8.8.8.8]/",
		"https://[2606:4700::1111]":         "https://[2606:4700::1111]",
		"https://[2606:4700::1111]:/x":      "https://[2606:4700::1111]/x",
		"https://example.org\u3002/":        "https://example.org/",

		// What copying leaves at either end (report B15).
		"https://example.org/hook ":                  "https://example.org/hook",
		" \t https://example.org/hook\r\n":           "https://example.org/hook",
		"https://example.org/hook\u00a0":             "https://example.org/hook",
		"\ufeffhttps://example.org/hook\u200b":       "https://example.org/hook",
		"\u2068https://example.org/hook\u2069\u200d": "https://example.org/hook",
		"https://example.org/\u2003":                 "https://example.org/",
		"https://example.org/\u2028\u0085":           "https://example.org/",
	} {
		t.Run(given, func(t *testing.T) {
			got, err := rules().Canonical(given)
			require.NoError(t, err)
			assert.Equal(t, want, got)
			again, err := rules().Canonical(got)
			require.NoError(t, err)
			assert.Equal(t, got, again)
		})
	}
}

// Nasty cases 5 to 8: every row is refused with the sentence of its rule, and
// no sentence repeats what was given.
func TestURLRefused(t *testing.T) {
	const (
		empty     = "must not be empty"
		scheme    = "must start with https:// or http://"
		host      = "must name a host"
		name      = "not a valid name"
		number    = "four decimal numbers"
		userinfo  = "must not contain a user name or a password"
		fragment  = "must not contain a fragment"
		control   = "must not contain control characters"
		space     = "must not contain spaces"
		port      = "port must be a number from 1 to 65535"
		percent   = "without percent-encoding and without a zone"
		address   = "not allowed to go"
		local     = "localhost"
		brackets  = "an IPv6 address stands in brackets"
		invisible = "an invisible character"
		escapes   = "Write a percent sign as %25"
	)
	for given, want := range map[string]string{
		"":                                 empty,
		"example.org":                      scheme,
		"example.org:443":                  scheme,
		"//example.org":                    scheme,
		"/hooks":                           scheme,
		"ftp://example.org":                scheme,
		"file:///etc/passwd":               scheme,
		"gopher://example.org":             scheme,
		"javascript:alert(1)":              scheme,
		"mailto:a@example.org":             scheme,
		"ht\u0131ps://example.org":         scheme,
		"http:":                            host,
		"http:example.org":                 host,
		"http:/example.org":                host,
		"http://":                          host,
		"http:///path":                     host,
		"https://:443/":                    host,
		"https://?x":                       host,
		"https://user:pass@example.org":    userinfo,
		"https://user@example.org":         userinfo,
		"https://@example.org":             userinfo,
		"https://a%zz:b@example.org":       userinfo,
		"https://example.org#x":            fragment,
		"https://example.org/#":            fragment,
		"https://example.org/\x00":         control,
		"https://exa\rmple.org/":           control,
		"https://example.org/\x7f":         control,
		"https://example.org/\xff":         control,
		"https://example.org/a b":          space,
		`https://example.org\@evil.test/`:  "backslashes",
		"https://example.org:0":            port,
		"https://example.org:65536":        port,
		"https://example.org:99999":        port,
		"https://example.org:-1":           port,
		"https://example.org:http":         port,
		"https://example.org:443:443":      brackets,
		"https://[2606:4700::1111]:0/":     port,
		"https://[2606:4700::1111]:x/":     port,
		"https://%6c%6f%63alhost/":         percent,
		"https://example%2eorg/":           percent,
		"https://[fe80::1%25eth0]/":        percent,
		"https://[fe80::1%eth0]/":          percent,
		"https://[::1]/":                   address,
		"https://[::ffff:10.0.0.1]/":       address,
		"https://10.0.0.1/":                address,
		"https://127.0.0.1:9000/":          address,
		"https://127.0.0.1./":              address,
		"https://0.0.0.0/":                 address,
		"https://169.254.169.254/latest":   address,
		"https://\u2460\u2461\u2466.0.0.1": address,
		"https://\uff11\uff12\uff17.0.0.1": address,
		"https://2130706433/":              number,
		"https://0x7f.1/":                  number,
		"https://0x7f000001/":              number,
		"https://0X7F000001/":              number,
		"https://127.1/":                   number,
		"https://127.0.1/":                 number,
		"https://0177.0.0.1/":              number,
		"https://1.2.3.4.5/":               number,
		"https://256.1.1.1/":               number,
		"https://example.0x1f/":            number,
		"https://example.7/":               number,
		"https://localhost/":               local,
		"https://LOCALHOST:80/":            local,
		"https://localhost./":              local,
		"https://app.localhost/":           local,
		"https://\u24db\u24de\u24d2\u24d0\u24db\u24d7\u24de\u24e2\u24e3/": local,
		"https://[1.2.3.4]/":                             brackets,
		"https://[::1/":                                  brackets,
		"https://::1/":                                   brackets,
		"https://[]/":                                    brackets,
		"https://[::1]x/":                                brackets,
		"https://x[::1]/":                                brackets,
		"https://example.org/\nx":                        control,
		"https://example.org/\u2028x":                    space,
		"https://example.org/a\u00a0b":                   space,
		"https://exam\u200bple.org/x":                    invisible,
		"https://example.org/a\u200bb":                   invisible,
		"https://example.org/\ufeffb":                    invisible,
		"https://example.org/a\u202eb":                   invisible,
		"https://example.org/a\u00adb":                   invisible,
		"\u200b":                                         empty,
		" \n ":                                           empty,
		"https://example-.org/":                          name,
		"https://exa$mple.org/":                          name,
		"https://exa{mple}.org/":                         name,
		"https://xn--zzzz--.org/":                        name,
		"https://example.org/100%":                       escapes,
		"https://example.org/%2":                         escapes,
		"https://example.org/%g0":                        escapes,
		"https://-example.org/":                          name,
		"https://example..org/":                          name,
		"https://.example.org/":                          name,
		"https://example.org../":                         name,
		"https://./":                                     name,
		"https://xn--a/":                                 name,
		"https://exa\u200dmple.org/":                     name,
		"https://exa<mple.org/":                          name,
		"https://example.org/%zz":                        escapes,
		"https://" + strings.Repeat("a", 64) + ".org/":   name,
		"https://" + strings.Repeat("a.", 127) + "org/x": name,
	} {
		t.Run(given, func(t *testing.T) {
			_, err := rules().Canonical(given)
			var fault *registration.Fault
			require.ErrorAs(t, err, &fault)
			assert.Equal(t, registration.KindURL, fault.Kind)
			assert.Equal(t, "url", fault.Field)
			assert.Contains(t, fault.Message, want)
			assert.NotContains(t, fault.Message, "evil")
			assert.NotContains(t, fault.Message, "pass@")
		})
	}
}

func TestURLLength(t *testing.T) {
	longest := "https://example.org/" + strings.Repeat("a", registration.MaxURLBytes-len("https://example.org/"))
	_, err := rules().Canonical(longest)
	require.NoError(t, err)

	for _, given := range []string{
		longest + "a",
		// Short enough as given, too long once encoded.
		"https://example.org/?" + strings.Repeat("\u00e9", 1000),
	} {
		var fault *registration.Fault
		_, err := rules().Canonical(given)
		require.ErrorAs(t, err, &fault)
		assert.Equal(t, registration.KindBounds, fault.Kind)
		assert.Contains(t, fault.Message, "2048")
	}
}

func TestURLRequireHTTPS(t *testing.T) {
	strict := registration.URLRules{RequireHTTPS: true, Address: publicOnly}
	_, err := strict.Canonical("http://example.org")
	require.ErrorContains(t, err, "must start with https://.")
	_, err = strict.Canonical("https://example.org")
	require.NoError(t, err)
}

// B8: networks with IPv6 only reach the IPv4 internet that way.
func TestURLTranslatedAddresses(t *testing.T) {
	strict := registration.URLRules{Address: egress.NewPolicy(nil).Check}
	got, err := strict.Canonical("https://[64:ff9b::808:808]/hook")
	require.NoError(t, err)
	assert.Equal(t, "https://[64:ff9b::808:808]/hook", got)
	for _, private := range []string{"64:ff9b::a00:1", "64:ff9b::10.0.0.1", "64:ff9b::a9fe:a9fe"} {
		_, err = strict.Canonical("https://[" + private + "]/")
		require.ErrorContains(t, err, "not allowed to go", private)
	}
}

func TestURLAddressPolicyIsAsked(t *testing.T) {
	open := registration.URLRules{Address: func(netip.Addr) error { return nil }}
	got, err := open.Canonical("http://127.0.0.1:9000/x")
	require.NoError(t, err)
	assert.Equal(t, "http://127.0.0.1:9000/x", got)
	_, err = open.Canonical("http://localhost:9000/x")
	require.Error(t, err, "names for loopback stay refused, whatever is opened")
}

// derived reports whether each byte of given is in stored, in order, as it is or
// escaped: nothing was left out, nothing added, and nothing unescaped.
func derived(given, stored string) bool {
	for i := range len(given) {
		escaped := fmt.Sprintf("%%%02X", given[i])
		switch {
		case stored != "" && stored[0] == given[i]:
			stored = stored[1:]
		case strings.HasPrefix(stored, escaped):
			stored = stored[len(escaped):]
		default:
			return false
		}
	}
	return stored == ""
}

// afterAuthority is the path and the query, found without parsing.
func afterAuthority(s string) string {
	_, s, _ = strings.Cut(s, "://")
	if i := strings.IndexAny(s, "/?"); i >= 0 {
		return s[i:]
	}
	return ""
}

func FuzzURL(f *testing.F) {
	for _, seed := range []string{
		"https://example.org/x?y=z", "http://[::1]:80/", "https://u:p@h/#f", "http://0x7f.1", "https://\u24db.test",
		"https://example.org:00080/%41?\u00e9", "http://a%2eb/", "https://xn--bcher-kva.example",
		"https://x/{a}%2F\u00f6%2f?{b}%2F%", " https://a_b--c.example./|\u200b", "http://[64:ff9b::808:808]/%25",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, given string) {
		got, err := rules().Canonical(given)
		if err != nil {
			var fault *registration.Fault
			require.ErrorAs(t, err, &fault)
			return
		}
		again, err := rules().Canonical(got)
		require.NoError(t, err, "canonical form %q is refused", got)
		require.Equal(t, got, again)
		require.LessOrEqual(t, len(got), registration.MaxURLBytes)
		trimmed := strings.TrimRightFunc(given, func(r rune) bool {
			return unicode.IsSpace(r) || unicode.Is(unicode.Cf, r)
		})
		require.True(t, derived(afterAuthority(trimmed), afterAuthority(got)), "%q became %q", given, got)

		// As a dispatcher reads, sends and shows it.
		u, err := url.Parse(got)
		require.NoError(t, err)
		require.Equal(t, got, u.String())
		if u.Path != "" {
			require.Equal(t, afterAuthority(got), u.RequestURI())
		}
		require.Nil(t, u.User)
		require.Empty(t, u.Fragment)
		require.Contains(t, []string{"http", "https"}, u.Scheme)
		require.Equal(t, strings.ToLower(u.Host), u.Host)
		for _, r := range got {
			require.True(t, r > ' ' && r < 0x7f, "%q is not printable ASCII", got)
		}
		if addr, err := netip.ParseAddr(u.Hostname()); err == nil {
			require.NoError(t, publicOnly(addr))
		}
	})
}
