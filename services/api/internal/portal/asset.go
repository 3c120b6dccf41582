package portal

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"net/http"
	"path"
	"strings"

	"github.com/labstack/echo/v4"
)

//go:embed assets
var assetFiles embed.FS

// assets are the style sheet, the script and the icon, by name. Their addresses change with
// their content, so a browser may keep them for ever.
//
// While a new version is rolled out, a page of one may ask the other: it gets what
// there is, and does not keep it.
type assets map[string]asset

type asset struct {
	content       []byte
	version, kind string
}

func loadAssets() (assets, error) {
	all := assets{}
	// A machine's own table may have something else, and then a browser takes neither.
	kinds := map[string]string{".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
	entries, err := assetFiles.ReadDir("assets")
	if err != nil {
		return nil, fmt.Errorf("list: %w", err)
	}
	for _, entry := range entries {
		content, err := assetFiles.ReadFile("assets/" + entry.Name())
		if err != nil {
			return nil, fmt.Errorf("open: %w", err)
		}
		sum := sha256.Sum256(content)
		all[entry.Name()] = asset{content: content, version: hex.EncodeToString(sum[:6]), kind: kinds[path.Ext(entry.Name())]}
	}
	return all, nil
}

func (a assets) path(name string) string { return pathAssets + a[name].version + "/" + name }

// IsFree implements [httpapi.Pages].
func (p *Portal) IsFree(at string) bool { return strings.HasPrefix(at, pathAssets) }

func (p *Portal) asset(c echo.Context) error {
	found, ok := p.assets[c.Param("name")]
	if !ok {
		return p.begin(c, notFound)
	}
	if found.version == c.Param("version") {
		c.Response().Header().Set(echo.HeaderCacheControl, "public, max-age=31536000, immutable")
	}
	return c.Blob(http.StatusOK, found.kind, found.content) //nolint:wrapcheck // the caller is gone
}
