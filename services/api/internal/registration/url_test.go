package registration_test

import (
	"errors"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

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
		empty    = "must not be empty"
		scheme   = "must start with https:// or http://"
		host     = "must name a host"
		name     = "not a valid name"
		number   = "four decimal numbers"
		userinfo = "must not contain a user name or a password"
		fragment = "must not contain a fragment"
		control  = "must not contain control characters"
		space    = "must not contain spaces"
		port     = "port must be a number from 1 to 65535"
		percent  = "without percent-encoding and without a zone"
		address  = "not allowed to go"
		local    = "localhost"
		invalid  = "not valid"
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
		"https://example.org/\n":           control,
		"\thttps://example.org/":           control,
		"https://example.org/\x00":         control,
		"https://exa\rmple.org/":           control,
		"https://example.org/\x7f":         control,
		"https://example.org/\u0085":       control,
		"https://example.org/\xff":         control,
		" https://example.org":             space,
		"https://example.org/a b":          space,
		"https://example.org/\u2003":       space,
		"https://example.org/\u2028":       space,
		`https://example.org\@evil.test/`:  "backslashes",
		"https://example.org:0":            port,
		"https://example.org:65536":        port,
		"https://example.org:99999":        port,
		"https://example.org:-1":           port,
		"https://example.org:http":         port,
		"https://example.org:443:443":      invalid,
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
		"https://[1.2.3.4]/":                             invalid,
		"https://[::1/":                                  invalid,
		"https://::1/":                                   invalid,
		"https://[]/":                                    invalid,
		"https://exa_mple.org/":                          name,
		"https://-example.org/":                          name,
		"https://example..org/":                          name,
		"https://.example.org/":                          name,
		"https://example.org../":                         name,
		"https://./":                                     name,
		"https://xn--a/":                                 name,
		"https://exa\u200dmple.org/":                     name,
		"https://exa<mple.org/":                          name,
		"https://example.org/%zz":                        invalid,
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

func TestURLAddressPolicyIsAsked(t *testing.T) {
	open := registration.URLRules{Address: func(netip.Addr) error { return nil }}
	got, err := open.Canonical("http://127.0.0.1:9000/x")
	require.NoError(t, err)
	assert.Equal(t, "http://127.0.0.1:9000/x", got)
	_, err = open.Canonical("http://localhost:9000/x")
	require.Error(t, err, "names for loopback stay refused, whatever is opened")
}

func FuzzURL(f *testing.F) {
	for _, seed := range []string{
		"https://example.org/x?y=z", "http://[::1]:80/", "https://u:p@h/#f", "http://0x7f.1", "https://\u24db.test",
		"https://example.org:00080/%41?\u00e9", "http://a%2eb/", "https://xn--bcher-kva.example",
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

		u, err := url.Parse(got)
		require.NoError(t, err)
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
