package directus

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strings"

	"github.com/golang-jwt/jwt/v5"

	"github.com/dembrane/webhooks/pkg/secret"
	"github.com/dembrane/webhooks/services/api/internal/access"
)

const (
	// issuer is what Directus writes into its JWTs.
	issuer = "directus"
	// maxJWTBytes is some twenty times what Directus makes.
	maxJWTBytes = 8 << 10
	// maxStaticBytes is the width of the column that Directus keeps them in.
	maxStaticBytes = 255
)

// session is who a token belongs to.
type session struct {
	userID string
	staff  bool
}

// name is for the log.
func (s session) name() string {
	if s.staff {
		return "staff " + s.userID
	}
	return "user " + s.userID
}

// identify says whose token it is. A JWT is checked each time, so no memory of
// ours outlives it; what is remembered of a static token is filed under its hash.
func (d *Driver) identify(ctx context.Context, token string) (session, error) {
	if isJWT(token) {
		return d.verify(token)
	}
	if !isStatic(token) {
		return session{}, access.ErrSession
	}
	hash := sha256.Sum256([]byte(token))
	return d.sessions.get(ctx, string(hash[:]), func(ctx context.Context) (session, error) {
		return d.client.whoami(ctx, secret.New(token))
	})
}

// isJWT tells the two kinds of token apart: three parts, the first of them a JSON
// object. What passes for a JWT is never tried as a static token.
func isJWT(token string) bool {
	header, rest, _ := strings.Cut(token, ".")
	if len(token) > maxJWTBytes || strings.Count(rest, ".") != 1 {
		return false
	}
	decoded, err := base64.RawURLEncoding.DecodeString(header)
	var fields map[string]json.RawMessage
	return err == nil && json.Unmarshal(decoded, &fields) == nil
}

// isStatic reports whether Directus could have such a token: no bigger than its
// column, and nothing that a header cannot carry.
func isStatic(token string) bool {
	if token == "" || len(token) > maxStaticBytes {
		return false
	}
	for i := range len(token) {
		if token[i] <= ' ' || token[i] > '~' {
			return false
		}
	}
	return true
}

// verify checks a JWT as Directus does, and more strictly: it must end, and name
// a user. A session that was logged out of stays good here until it ends.
func (d *Driver) verify(token string) (session, error) {
	claims := jwt.MapClaims{}
	parser := jwt.NewParser(jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}), jwt.WithExpirationRequired(),
		jwt.WithIssuer(issuer), jwt.WithStrictDecoding(), jwt.WithTimeFunc(d.now))
	_, err := parser.ParseWithClaims(token, claims, func(*jwt.Token) (any, error) { return d.secret, nil })
	if err != nil {
		return session{}, access.ErrSession
	}
	given, _ := claims["id"].(string) // a share has none
	id, ok := canonicalID(given)
	if !ok {
		return session{}, access.ErrSession
	}
	return session{userID: id, staff: claims["admin_access"] == true}, nil
}
