package httpapi

import (
	_ "embed" // the document
	"net/http"

	"github.com/labstack/echo/v4"
)

// The description of the API, and the page that is made of it.
const (
	pathOpenAPI = "/api/openapi.yaml"
	pathDocs    = "/api/docs"
	// mimeYAML is the media type of RFC 9512.
	mimeYAML = "application/yaml"
)

// openAPI is the description of every route. Tests hold every answer against it.
//
//go:embed openapi.yaml
var openAPI []byte

// openapi hands out the document as it is.
func openapi(c echo.Context) error { return c.Blob(http.StatusOK, mimeYAML, openAPI) }

// docs shows it to people.
func (s *server) docs(c echo.Context) error {
	c.Response().Header().Set(echo.HeaderContentSecurityPolicy, s.page.policy)
	return c.HTMLBlob(http.StatusOK, s.page.html)
}
