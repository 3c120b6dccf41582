package directus_test

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/dembrane/webhooks/pkg/secret"
	"github.com/dembrane/webhooks/services/api/directustest"
	"github.com/dembrane/webhooks/services/api/internal/access"
	"github.com/dembrane/webhooks/services/api/internal/access/directus"
)

func encode(value any) string {
	encoded, _ := json.Marshal(value) // it is made of literals
	return base64.RawURLEncoding.EncodeToString(encoded)
}

// forged lists JWTs that must not get in, by what is wrong with them. They claim
// to be the owner, and staff.
func (w *world) forged() map[string]string {
	good := directustest.Claims(directustest.UserID(directustest.Owner), w.now.Add(time.Minute), map[string]any{"admin_access": true})
	with := func(changes map[string]any) string {
		all := map[string]any{"admin_access": true}
		maps.Copy(all, changes)
		return directustest.Sign(directustest.Secret, directustest.Claims(directustest.UserID(directustest.Owner), w.now.Add(time.Minute), all))
	}
	signed := func(method jwt.SigningMethod, key any) string {
		token, err := jwt.NewWithClaims(method, jwt.MapClaims(good)).SignedString(key)
		require.NoError(w.t, err)
		return token
	}
	right := directustest.Sign(directustest.Secret, good)
	parts := strings.Split(right, ".")
	payload := encode(good)
	return map[string]string{
		"another secret":           directustest.Sign("another", good),
		"an empty secret":          directustest.Sign("", good),
		"the secret in base64":     directustest.Sign(base64.StdEncoding.EncodeToString([]byte(directustest.Secret)), good),
		"alg none":                 signed(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType),
		"alg None, unsigned":       encode(map[string]any{"alg": "None", "typ": "JWT"}) + "." + payload + ".",
		"alg NONE, signed":         encode(map[string]any{"alg": "NONE"}) + "." + payload + "." + parts[2],
		"no alg":                   encode(map[string]any{"typ": "JWT"}) + "." + payload + "." + parts[2],
		"alg HS384":                signed(jwt.SigningMethodHS384, []byte(directustest.Secret)),
		"alg HS512":                signed(jwt.SigningMethodHS512, []byte(directustest.Secret)),
		"alg RS256, same bytes":    encode(map[string]any{"alg": "RS256"}) + "." + payload + "." + parts[2],
		"alg is a number":          encode(map[string]any{"alg": 1}) + "." + payload + "." + parts[2],
		"a null header":            encode(nil) + "." + payload + "." + parts[2],
		"no signature":             parts[0] + "." + parts[1] + ".",
		"half a signature":         right[:len(right)-20],
		"a changed payload":        parts[0] + "." + encode(map[string]any{"id": directustest.UserID(1), "exp": w.now.Add(time.Hour).Unix(), "iss": "directus"}) + "." + parts[2],
		"another's signature":      parts[0] + "." + parts[1] + "." + strings.Split(directustest.Sign(directustest.Secret, map[string]any{}), ".")[2],
		"signature in std base64":  parts[0] + "." + parts[1] + "." + parts[2] + "=",
		"expired":                  with(map[string]any{"exp": w.now.Add(-time.Second).Unix()}),
		"expires now":              with(map[string]any{"exp": w.now.Unix()}),
		"no exp":                   with(map[string]any{"exp": nil}),
		"exp is text":              with(map[string]any{"exp": "4102444800"}),
		"exp is beyond all time":   with(map[string]any{"exp": -1e300}),
		"not yet":                  with(map[string]any{"nbf": w.now.Add(time.Hour).Unix()}),
		"another issuer":           with(map[string]any{"iss": "someone"}),
		"the issuer in upper case": with(map[string]any{"iss": "Directus"}),
		"no issuer":                with(map[string]any{"iss": nil}),
		"issuers":                  with(map[string]any{"iss": []string{"directus"}}),
		"no id, like a share":      with(map[string]any{"id": nil, "share": directustest.Unknown}),
		"id is a number":           with(map[string]any{"id": 1}),
		"id is no UUID":            with(map[string]any{"id": "1"}),
		"id is a filter":           with(map[string]any{"id": `"},"_or":[{}]`}),
		"id is a list":             with(map[string]any{"id": []string{directustest.UserID(1)}}),
		"an encrypted one":         parts[0] + "." + parts[1] + ".." + "." + parts[2],
		"huge":                     directustest.Sign(directustest.Secret, directustest.Claims(directustest.UserID(1), w.now.Add(time.Minute), map[string]any{"x": strings.Repeat("x", 8<<10)})),
	}
}

func TestForgedTokens(t *testing.T) {
	w := start(t)
	require.NoError(t, w.authorize(w.jwt(directustest.Owner), directustest.Changemaker, access.Change))
	w.server.Requests()
	for name, token := range w.forged() {
		require.Equal(t, access.ErrSession, w.authorize(token, directustest.Changemaker, access.Read), name)
		_, err := w.driver.Scope(t.Context(), token)
		require.Equal(t, access.ErrSession, err, name)
	}
	assert.Empty(t, w.server.Requests(), "a forged token costs Directus nothing")
}

// What is remembered of a JWT's owner does not outlive the JWT.
func TestARememberedAnswerDoesNotOutliveTheToken(t *testing.T) {
	w := start(t)
	token := w.jwtWith(directustest.Owner, map[string]any{"exp": w.now.Add(10 * time.Second).Unix()})
	require.NoError(t, w.authorize(token, directustest.Changemaker, access.Change))
	w.now = w.now.Add(9 * time.Second)
	require.NoError(t, w.authorize(token, directustest.Changemaker, access.Change))
	w.now = w.now.Add(time.Second)
	require.Equal(t, access.ErrSession, w.authorize(token, directustest.Changemaker, access.Change))
}

// A share is signed like every other token, and nobody's.
func TestSharesAreRefused(t *testing.T) {
	w := start(t)
	share := directustest.Sign(directustest.Secret, map[string]any{
		"app_access": false, "admin_access": false, "role": nil, "share": directustest.Unknown,
		"iat": w.now.Unix(), "exp": w.now.Add(time.Minute).Unix(), "iss": "directus",
	})
	require.Equal(t, access.ErrSession, w.authorize(share, directustest.Changemaker, access.Read))
	w.server.Fail(func(r *http.Request) (directustest.Answer, bool) {
		return directustest.Answer{Status: http.StatusOK, Body: `{"data":{"share":"` + directustest.Unknown + `"}}`}, r.URL.Path == "/users/me"
	})
	require.Equal(t, access.ErrSession, w.authorize("static-token-of-outsider", directustest.Changemaker, access.Read))
}

func TestNewRefusesWhatCannotWork(t *testing.T) {
	w := start(t)
	for name, change := range map[string]func(*directus.Options){
		"no address":     func(o *directus.Options) { o.BaseURL = nil },
		"no token":       func(o *directus.Options) { o.Token = secret.New("") },
		"no secret":      func(o *directus.Options) { o.Secret = secret.New("") },
		"no timeout":     func(o *directus.Options) { o.Timeout = 0 },
		"a negative TTL": func(o *directus.Options) { o.CacheTTL = -1 },
		"no cache":       func(o *directus.Options) { o.CacheSize = 0 },
		"no log":         func(o *directus.Options) { o.Log = nil },
	} {
		options := directus.Options{
			BaseURL: w.server.URL(), Token: secret.New("t"), Secret: secret.New("s"), Timeout: 1, CacheSize: 1, Log: zap.NewNop(),
		}
		change(&options)
		_, err := directus.New(options)
		require.Error(t, err, name)
	}
}

// FuzzToken feeds tokens to everything that looks at them before Directus does.
func FuzzToken(f *testing.F) {
	w := start(f)
	for _, token := range w.forged() {
		f.Add(token)
	}
	for _, token := range []string{"", ".", "..", "...", "a.b.c", "e30.e30.", "e30.e30.e30", "static-token-of-static-owner", "\x00", "é"} {
		f.Add(token)
	}
	f.Add(w.jwt(directustest.Owner))
	w.server.FailWith(directustest.BadCredentials())
	f.Fuzz(func(t *testing.T, token string) {
		if directus.IsJWT(token) && directus.IsStatic(token) && !strings.Contains(token, ".") {
			t.Fatal("a JWT without a dot")
		}
		_, err := w.driver.Authorize(t.Context(), token, directustest.ProjectID(1), access.Change)
		if err == nil {
			t.Fatalf("let in: %q", token)
		}
		for _, path := range w.server.Requests() {
			if directus.IsJWT(token) && path == "/users/me" {
				t.Fatalf("a JWT was shown to Directus: %q", token)
			}
			if path != "/users/me" && path != "/policies/me/globals" && !strings.HasPrefix(path, "/items/") {
				t.Fatalf("asked for %q", path)
			}
		}
	})
}

// FuzzID holds ids to what Directus takes as one.
func FuzzID(f *testing.F) {
	for _, id := range []string{
		directustest.Unknown, strings.ToUpper(directustest.ProjectID(0xabc)), "", "..", "{" + directustest.Unknown + "}", "000000e1000040008000000000000001",
		directustest.Unknown + "/", directustest.Unknown[:35] + "/", strings.ReplaceAll(directustest.Unknown, "-", "_"),
	} {
		f.Add(id)
	}
	f.Fuzz(func(t *testing.T, id string) {
		canonical, ok := directus.CanonicalID(id)
		if !ok {
			return
		}
		if !strings.EqualFold(canonical, id) || len(canonical) != 36 || strings.Trim(canonical, "0123456789abcdef-") != "" {
			t.Fatalf("%q became %q", id, canonical)
		}
	})
}
