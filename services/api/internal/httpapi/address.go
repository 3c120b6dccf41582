package httpapi

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/labstack/echo/v4"
)

// router routes every spelling of a path alike, percent-encoded or not, with a
// slash at its end or without, and answers HEAD as GET. Echo would route what it
// was given, whatever its middleware makes of it.
type router struct{ *echo.Echo }

// headKey marks the context of a request that came as HEAD.
type headKey struct{}

// ServeHTTP implements [http.Handler]. The request as it came is left alone: by
// its method the server knows that no body is to be sent.
func (e router) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	routed := r.WithContext(r.Context())
	if r.Method == http.MethodHead {
		routed = r.WithContext(context.WithValue(r.Context(), headKey{}, true))
		routed.Method = http.MethodGet
	}
	address := *r.URL
	address.Path, address.RawPath = plainPath(r.URL.EscapedPath()), ""
	routed.URL = &address
	e.Echo.ServeHTTP(w, routed)
}

// methodOf is the method that a request came with.
func methodOf(r *http.Request) string {
	if r.Context().Value(headKey{}) != nil {
		return http.MethodHead
	}
	return r.Method
}

// plainPath decodes a path segment by segment. One that hides a slash stays as it
// is: it is a name that nothing here has, and not two segments.
func plainPath(escaped string) string {
	if len(escaped) > 1 {
		escaped = strings.TrimSuffix(escaped, "/")
	}
	segments := strings.Split(escaped, "/")
	for i, segment := range segments {
		plain, err := url.PathUnescape(segment)
		if err == nil && !strings.Contains(plain, "/") {
			segments[i] = plain
		}
	}
	return strings.Join(segments, "/")
}
