package httpapi

import (
	_ "embed" // the document
	"net/http"

	"github.com/labstack/echo/v4"
)

const (
	pathOpenAPI = "/api/openapi.yaml"
	// mimeYAML is the media type of RFC 9512.
	mimeYAML = "application/yaml"
)

// openAPI is the description of every route. Tests hold every answer against it.
//
//go:embed openapi.yaml
var openAPI []byte

// openapi hands out the document as it is.
func openapi(c echo.Context) error { return c.Blob(http.StatusOK, mimeYAML, openAPI) }
