package httpapi

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // the template
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

//go:embed docs.gohtml
var docsTemplate string

// docsPage is the page and the only policy under which a browser may show it: it
// runs nothing, loads nothing, and uses the one style that is in it.
type docsPage struct {
	html   []byte
	policy string
}

// newDocsPage renders the document. It fails only when the document is not one.
func newDocsPage(document []byte) (docsPage, error) {
	outline, err := outlineOf(document)
	if err != nil {
		return docsPage{}, fmt.Errorf("read openapi.yaml: %w", err)
	}
	parsed, err := template.New("docs").Parse(docsTemplate)
	if err != nil {
		return docsPage{}, fmt.Errorf("read page: %w", err)
	}
	var html bytes.Buffer
	if err := parsed.Execute(&html, outline); err != nil {
		return docsPage{}, fmt.Errorf("render page: %w", err)
	}
	_, rest, opens := bytes.Cut(html.Bytes(), []byte("<style>"))
	style, _, closes := bytes.Cut(rest, []byte("</style>"))
	if !opens || !closes {
		return docsPage{}, errors.New("render page: it has no style")
	}
	sum := sha256.Sum256(style)
	return docsPage{
		html: html.Bytes(),
		policy: "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
			"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
	}, nil
}

// outline is what the page shows of the document, in the document's order.
type outline struct {
	OpenAPI, Title, Description string
	Operations                  []operation
	Schemas                     []namedSchema
}

type operation struct {
	ID, Method, Path, Summary, Description string
	// Open means that no token is needed.
	Open       bool
	Parameters []parameter
	Body       *shape
	Responses  []response
}

type parameter struct {
	Name, In, Description string
	Required              bool
	Type                  *shape
}

type response struct {
	Status, Description string
	Type                *shape
}

type namedSchema struct {
	Name string
	Type *shape
}

// shape is a schema in a few words.
type shape struct {
	Text, Description string
	// Link names another schema that Text is the name of.
	Link string
	// Items is what a list holds.
	Items  *shape
	Fields []property
}

// Inner is what a field consists of when it has no name of its own.
func (s *shape) Inner() []property {
	if s.Items != nil {
		return s.Items.Fields
	}
	return s.Fields
}

type property struct {
	Name     string
	Required bool
	Type     *shape
}

// source is a document while it is read.
type source struct{ root *yaml.Node }

func outlineOf(document []byte) (outline, error) {
	var parsed yaml.Node
	if err := yaml.Unmarshal(document, &parsed); err != nil {
		return outline{}, fmt.Errorf("parse YAML: %w", err)
	}
	if len(parsed.Content) != 1 {
		return outline{}, errors.New("parse YAML: it is empty")
	}
	s := source{root: parsed.Content[0]}
	info := get(s.root, "info")
	o := outline{OpenAPI: text(s.root, "openapi"), Title: text(info, "title"), Description: text(info, "description")}
	for path, item := range pairs(get(s.root, "paths")) {
		shared := get(item, "parameters")
		for method, op := range pairs(item) {
			if method != "parameters" {
				o.Operations = append(o.Operations, s.operation(path, method, op, shared))
			}
		}
	}
	for name, schema := range pairs(get(get(s.root, "components"), "schemas")) {
		o.Schemas = append(o.Schemas, namedSchema{Name: name, Type: s.shape(schema)})
	}
	if len(o.Operations) == 0 {
		return outline{}, errors.New("it describes no operations")
	}
	return o, nil
}

func (s source) operation(path, method string, op, shared *yaml.Node) operation {
	o := operation{
		ID: text(op, "operationId"), Method: strings.ToUpper(method), Path: path,
		Summary: text(op, "summary"), Description: text(op, "description"),
	}
	if security := get(op, "security"); security != nil {
		o.Open = len(security.Content) == 0
	}
	for _, list := range []*yaml.Node{shared, get(op, "parameters")} {
		for _, given := range items(list) {
			p := s.resolve(given)
			o.Parameters = append(o.Parameters, parameter{
				Name: text(p, "name"), In: text(p, "in"), Required: text(p, "required") == "true",
				Description: text(p, "description"), Type: s.shape(get(p, "schema")),
			})
		}
	}
	o.Body = s.content(get(op, "requestBody"))
	for status, given := range pairs(get(op, "responses")) {
		r := s.resolve(given)
		o.Responses = append(o.Responses, response{Status: status, Description: text(r, "description"), Type: s.content(r)})
	}
	return o
}

// content is the schema of a body; nil when there is none.
func (s source) content(of *yaml.Node) *shape {
	for mediaType, media := range pairs(get(of, "content")) {
		found := s.shape(get(media, "schema"))
		if found != nil && found.Link == "" && found.Items == nil {
			found.Text = mediaType
		}
		return found
	}
	return nil
}

// resolve follows a reference within the document.
func (s source) resolve(n *yaml.Node) *yaml.Node {
	pointer, isRef := strings.CutPrefix(text(n, "$ref"), "#/")
	if !isRef {
		return n
	}
	target := s.root
	for name := range strings.SplitSeq(pointer, "/") {
		target = get(target, name)
	}
	return target
}

func (s source) shape(n *yaml.Node) *shape {
	if n == nil {
		return nil
	}
	if ref := text(n, "$ref"); ref != "" {
		name := ref[strings.LastIndexByte(ref, '/')+1:]
		return &shape{Text: name, Link: name}
	}
	sh := &shape{Text: s.words(n), Description: text(n, "description")}
	for _, choice := range items(get(n, "oneOf")) {
		if ref := text(choice, "$ref"); ref != "" {
			sh.Link = ref[strings.LastIndexByte(ref, '/')+1:]
		}
	}
	sh.Items = s.shape(get(n, "items"))
	var required []string
	for _, name := range items(get(n, "required")) {
		required = append(required, name.Value)
	}
	for name, field := range pairs(get(n, "properties")) {
		sh.Fields = append(sh.Fields, property{Name: name, Required: slices.Contains(required, name), Type: s.shape(field)})
	}
	return sh
}

// words says what a schema allows: `string or null`, `integer, 0 to 604800`.
func (s source) words(n *yaml.Node) string {
	var kinds []string
	switch {
	case get(n, "const") != nil:
		kinds = append(kinds, text(n, "const"))
	case get(n, "enum") != nil:
		for _, value := range items(get(n, "enum")) {
			kinds = append(kinds, value.Value)
		}
	case get(n, "oneOf") != nil:
		for _, choice := range items(get(n, "oneOf")) {
			kinds = append(kinds, s.shape(choice).Text)
		}
	case get(n, "type") != nil && get(n, "type").Kind == yaml.SequenceNode:
		for _, value := range items(get(n, "type")) {
			kinds = append(kinds, value.Value)
		}
	default:
		kinds = append(kinds, text(n, "type"))
	}
	var said strings.Builder
	said.WriteString(strings.ReplaceAll(strings.Join(kinds, " or "), "array", "list"))
	for _, bound := range []struct{ key, format string }{
		{"minimum", ", at least %s"},
		{"maximum", ", at most %s"},
		{"minLength", ", at least %s characters"},
		{"maxLength", ", at most %s characters"},
		{"default", ", by default %s"},
	} {
		if value := text(n, bound.key); value != "" {
			fmt.Fprintf(&said, bound.format, value)
		}
	}
	return said.String()
}
