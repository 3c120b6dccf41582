// Package apidocs is the page on which people read the description of the API, and
// try its requests: Swagger UI, out of this program alone.
package apidocs

import (
	_ "embed" // the page
	"net/http"

	"github.com/swaggest/swgui/v5/static"
	"github.com/vearutop/statigz"
)

const (
	// Path is the page's address. What it loads lies below.
	Path = "/api/docs"
	// policy lets a browser run the page's own scripts and ask this host, nothing
	// else. The pictures are in the style sheet.
	policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

var (
	//go:embed page.html
	page []byte
	//go:embed start.js
	script []byte
	//go:embed page.css
	style []byte
)

// Routes returns what answers a GET of [Path] and of what the page loads, by address.
func Routes() map[string]http.Handler {
	routes := map[string]http.Handler{
		Path:               own("text/html; charset=utf-8", page),
		Path + "/start.js": own("text/javascript; charset=utf-8", script),
		Path + "/page.css": own("text/css; charset=utf-8", style),
	}
	assets := cached(http.StripPrefix(Path, statigz.FileServer(static.FS)))
	for _, name := range []string{"swagger-ui-bundle.js", "swagger-ui.css", "favicon-32x32.png"} {
		routes[Path+"/"+name] = assets
	}
	return routes
}

func own(mediaType string, content []byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", mediaType)
		w.Header().Set("Content-Security-Policy", policy)
		_, _ = w.Write(content) // the caller is gone
	})
}

// cached lets a browser keep half a megabyte that changes with a release at most:
// it asks each time whether it is still the same.
func cached(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-cache")
		next.ServeHTTP(w, r)
	})
}
