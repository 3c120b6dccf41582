package directustest

import (
	"encoding/json"
	"fmt"
	"net/http"
)

// Answer is what the server answers.
type Answer struct {
	Status int
	Header map[string]string
	Body   string
}

func data(value any) Answer { return body(http.StatusOK, map[string]any{"data": value}) }

func body(status int, value any) Answer {
	encoded, err := json.Marshal(value)
	if err != nil { // values here come from JSON, or are literals
		panic(fmt.Errorf("encode answer: %w", err))
	}
	return Answer{Status: status, Body: string(encoded)}
}

// Refusal is an error in Directus's envelope. The reason may be empty.
func Refusal(status int, code, message, reason string) Answer {
	extensions := map[string]any{"code": code}
	if reason != "" {
		extensions["reason"] = reason
	}
	return refusal(status, message, extensions)
}

func refusal(status int, message string, extensions map[string]any) Answer {
	return body(status, map[string]any{"errors": []any{map[string]any{"message": message, "extensions": extensions}}})
}

// RateLimited is what follows too many requests.
func RateLimited() Answer {
	answer := refusal(http.StatusTooManyRequests, "Too many requests, retry after 60s.",
		map[string]any{"limit": 2, "reset": "2026-11-23T19:58:59.467Z", "code": "REQUESTS_EXCEEDED"})
	answer.Header = map[string]string{"Retry-After": "60"}
	return answer
}

// UnderPressure is what an overloaded Directus answers.
func UnderPressure() Answer {
	answer := refusal(http.StatusServiceUnavailable, `Service "api" is unavailable. Under pressure.`,
		map[string]any{"service": "api", "reason": "Under pressure", "code": "SERVICE_UNAVAILABLE"})
	answer.Header = map[string]string{"Retry-After": "7"}
	return answer
}

// NoDatabase is what everything is answered with while the database is down,
// bad tokens included.
func NoDatabase() Answer {
	return Refusal(http.StatusInternalServerError, "INTERNAL_SERVER_ERROR", "An unexpected error occurred.", "")
}

// BadCredentials is what an unknown token is answered with.
func BadCredentials() Answer {
	return Refusal(http.StatusUnauthorized, "INVALID_CREDENTIALS", "Invalid user credentials.", "")
}

func badToken() Answer {
	return Refusal(http.StatusForbidden, "INVALID_TOKEN", "Invalid token.", "")
}

func tokenExpired() Answer {
	return Refusal(http.StatusUnauthorized, "TOKEN_EXPIRED", "Token expired.", "")
}

// Absent is what an id is answered with that is unknown or none at all.
func Absent() Answer {
	return Refusal(http.StatusForbidden, "FORBIDDEN", "You don't have permission to access this.", "")
}

// UnreadableCollection is what a user is told who may not read it, and who asks
// for one that does not exist.
func UnreadableCollection(collection string) Answer {
	return forbidden(fmt.Sprintf("You don't have permission to access collection %q or it does not exist. Queried in root.", collection))
}

// UnreadableField is the same for a field.
func UnreadableField(collection, field string) Answer {
	return forbidden(fmt.Sprintf("You don't have permission to access field %q in collection %q or it does not exist. Queried in root.",
		field, collection))
}

func forbidden(message string) Answer {
	return Refusal(http.StatusForbidden, "FORBIDDEN", message, message)
}

func noRoute(path string) Answer {
	return refusal(http.StatusNotFound, fmt.Sprintf("Route %s doesn't exist.", path), map[string]any{"path": path, "code": "ROUTE_NOT_FOUND"})
}

func badQuery(reason string) Answer {
	return Refusal(http.StatusBadRequest, "INVALID_QUERY", "Invalid query. "+reason+".", reason)
}
