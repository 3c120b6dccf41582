package config

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/dembrane/webhooks/pkg/secret"
	"github.com/dembrane/webhooks/services/api/internal/access/directus"
)

// identityFaults are those of the driver that was chosen; the settings of the
// other one do not matter.
func (c Config) identityFaults() []error {
	switch c.IdentityDriver {
	case IdentityStatic:
		if c.StaticTokensFile == "" {
			return []error{errors.New("STATIC_TOKENS_FILE is required with IDENTITY_DRIVER=static")}
		}
		return nil
	case IdentityDirectus:
		return c.directusFaults()
	default:
		return []error{fmt.Errorf("IDENTITY_DRIVER must be %s or %s", IdentityStatic, IdentityDirectus)}
	}
}

func (c Config) directusFaults() []error {
	var faults []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	for _, setting := range []struct{ name, value, where string }{
		{"DIRECTUS_BASE_URL", c.DirectusBaseURL, "it is the PUBLIC_URL of Directus, or its address inside the cluster"},
		{"DIRECTUS_TOKEN", c.DirectusToken, "make a user in Directus, give it the policy of docs/access.md, and generate its static token"},
		{"DIRECTUS_SECRET", c.DirectusSecret, "it is the SECRET that Directus itself runs with"},
	} {
		check(setting.value != "", "%s is required with IDENTITY_DRIVER=directus: %s", setting.name, setting.where)
		check(setting.value == strings.TrimSpace(setting.value),
			"%s begins or ends with white space, such as the line break of a file: take it away", setting.name)
	}
	check(c.DirectusBaseURL == "" || isBaseURL(c.DirectusBaseURL),
		"DIRECTUS_BASE_URL must be an http(s) URL without a user, a query or a fragment, such as https://directus.example.org")
	check(!strings.ContainsFunc(c.DirectusToken, func(r rune) bool { return r < ' ' || r > '~' }),
		"DIRECTUS_TOKEN must have printable ASCII characters only: it goes into a header")
	check(c.DirectusTimeout >= 100*time.Millisecond && c.DirectusTimeout <= 10*time.Second,
		"DIRECTUS_TIMEOUT must be 100ms to 10s, not %s", c.DirectusTimeout)
	check(c.DirectusCacheTTL >= 0 && c.DirectusCacheTTL <= 10*time.Minute, "DIRECTUS_CACHE_TTL must be 0s to 10m, not %s", c.DirectusCacheTTL)
	check(c.DirectusCacheSize >= 1 && c.DirectusCacheSize <= 1_000_000,
		"DIRECTUS_CACHE_SIZE must be 1 to 1000000, not %d", c.DirectusCacheSize)
	return faults
}

// Directus is the part that sets up the directus driver. Call it on settings
// that were validated.
func (c Config) Directus(log *zap.Logger) directus.Options {
	base, _ := url.Parse(c.DirectusBaseURL) // it was validated; else it is nil, which the driver refuses
	return directus.Options{
		BaseURL: base, Token: secret.New(c.DirectusToken), Secret: secret.New(c.DirectusSecret),
		Timeout: c.DirectusTimeout, CacheTTL: c.DirectusCacheTTL, CacheSize: c.DirectusCacheSize, Log: log,
	}
}

func isBaseURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && isURL(s) && u.RawQuery == "" && !u.ForceQuery && u.Fragment == ""
}
