package directustest

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Claims are what Directus writes into a JWT. The changes replace some; nil
// takes one away.
func Claims(userID string, expires time.Time, changes map[string]any) map[string]any {
	claims := map[string]any{
		"id": userID, "role": "00000071-0000-4000-8000-000000000001", "app_access": true, "admin_access": false,
		"iat": expires.Add(-15 * time.Minute).Unix(), "exp": expires.Unix(), "iss": "directus",
	}
	maps.Copy(claims, changes)
	maps.DeleteFunc(claims, func(name string, value any) bool { return value == nil && name != "role" })
	return claims
}

// Sign makes a JWT with exactly these claims.
func Sign(secret string, claims map[string]any) string {
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims(claims)).SignedString([]byte(secret))
	if err != nil { // claims are made of JSON values
		panic(fmt.Errorf("sign: %w", err))
	}
	return token
}

// identity is whom a request comes from; nobody in particular is the public.
type identity struct {
	user  *User
	share string
}

// authenticate finds out who asks. The header wins over the cookie.
func (w World) authenticate(r *http.Request, now time.Time) (identity, *Answer) {
	token := ""
	if cookie, err := r.Cookie("directus_session_token"); err == nil {
		token = cookie.Value
	}
	if scheme, rest, found := strings.Cut(r.Header.Get("Authorization"), " "); found && strings.EqualFold(scheme, "Bearer") {
		token = rest
	}
	if token == "" {
		return identity{}, nil
	}
	claims := jwt.MapClaims{}
	_, _, err := jwt.NewParser().ParseUnverified(token, claims)
	if err == nil && claims["iss"] == "directus" {
		return w.bearer(token, now)
	}
	for i := range w.Users {
		if user := &w.Users[i]; user.Token == token && !user.Suspended {
			return identity{user: user}, nil
		}
	}
	return refused(BadCredentials())
}

// bearer judges a JWT that Directus may have made.
func (w World) bearer(token string, now time.Time) (identity, *Answer) {
	claims := jwt.MapClaims{}
	parser := jwt.NewParser(jwt.WithValidMethods([]string{"HS256"}), jwt.WithTimeFunc(func() time.Time { return now }))
	_, err := parser.ParseWithClaims(token, claims, func(*jwt.Token) (any, error) { return []byte(w.Secret), nil })
	_, hasRole := claims["role"]
	switch {
	case errors.Is(err, jwt.ErrTokenExpired):
		return refused(tokenExpired())
	case err != nil || !hasRole:
		return refused(badToken())
	}
	if share, ok := claims["share"].(string); ok {
		return identity{share: share}, nil
	}
	if session, ok := claims["session"].(string); ok && slices.Contains(w.EndedSessions, session) {
		return refused(BadCredentials())
	}
	for i := range w.Users {
		if user := &w.Users[i]; user.ID == claims["id"] { // suspended or not
			return identity{user: user}, nil
		}
	}
	return refused(BadCredentials())
}

func refused(answer Answer) (identity, *Answer) { return identity{}, &answer }
