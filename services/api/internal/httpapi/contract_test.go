package httpapi_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/labstack/echo/v4"
	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	"github.com/pb33f/libopenapi-validator/config"
	problems "github.com/pb33f/libopenapi-validator/errors"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// contract holds requests and responses against openapi.yaml.
type contract struct {
	source libopenapi.Document
	// operations is every method and path of the document.
	operations []string
	// Responses are judged strictly: what the document does not name is an error.
	requests, responses validator.Validator
}

// document reads the contract once for all tests of the package.
func document(t *testing.T) *contract {
	t.Helper()
	read, err := documentOnce()
	require.NoError(t, err)
	return read
}

var documentOnce = sync.OnceValues(func() (*contract, error) {
	raw, err := os.ReadFile("openapi.yaml")
	if err != nil {
		return nil, err
	}
	parsed, err := libopenapi.NewDocument(raw)
	if err != nil {
		return nil, err
	}
	model, err := parsed.BuildV3Model()
	if err != nil {
		return nil, err
	}
	c := &contract{
		source:   parsed,
		requests: validator.NewValidatorFromV3Model(&model.Model, config.WithoutSecurityValidation(), config.WithFormatAssertions()),
		responses: validator.NewValidatorFromV3Model(&model.Model, config.WithoutSecurityValidation(), config.WithFormatAssertions(), config.WithStrictMode(),
			// Sent with every answer, whatever it is an answer to.
			config.WithStrictIgnoredHeadersExtra("X-Request-Id", "Vary", "Allow", "Access-Control-Allow-Origin",
				"Access-Control-Allow-Credentials", "Access-Control-Expose-Headers", "Referrer-Policy", "X-Content-Type-Options",
				"Content-Security-Policy", "Cache-Control", "Content-Length", "Content-Type", "Date", "Connection")),
	}
	for path, item := range model.Model.Paths.PathItems.FromOldest() {
		for method := range item.GetOperations().FromOldest() {
			c.operations = append(c.operations, strings.ToUpper(method)+" "+path)
		}
	}
	slices.Sort(c.operations)
	return c, nil
})

// operation finds what the document has for a request; "" when it has nothing.
// A fixed path goes before one with parameters.
func (c *contract) operation(method, path string) string {
	path = strings.TrimSuffix(path, "/")
	found := ""
	for _, operation := range c.operations {
		template, isMethod := strings.CutPrefix(operation, method+" ")
		pattern := regexp.MustCompile(`\\\{[a-z]+\\\}`).ReplaceAllString(regexp.QuoteMeta(template), `[^/]+`)
		if !isMethod || !regexp.MustCompile("^"+pattern+"$").MatchString(path) {
			continue
		}
		if found == "" || strings.Count(operation, "{") < strings.Count(found, "{") {
			found = operation
		}
	}
	return found
}

// check judges one exchange. What no route is for has to say so.
func (c *contract) check(t *testing.T, request *http.Request, sent []byte, r reply) {
	t.Helper()
	if request.Method == http.MethodHead { // as GET, without a body
		assert.Empty(t, r.raw)
		return
	}
	operation := c.operation(request.Method, request.URL.Path)
	if operation == "" {
		assert.Contains(t, []int{204, 404, 405, 429}, r.status, "%s %s is not in openapi.yaml", request.Method, request.URL.Path)
		return
	}
	_, path, _ := strings.Cut(operation, " ")
	sent = bytes.TrimPrefix(sent, []byte("\ufeff")) // JSON has none, but is sent with one
	// Whatever stood in the address: the validator is to judge the rest.
	path = strings.NewReplacer("{pid}", "p1", "{id}", "w1", "{attempt}", "a1", "{replay}", "r1").Replace(path)
	if request.URL.RawQuery != "" && r.status == 200 {
		path += "?" + request.URL.RawQuery
	}
	twin := func() *http.Request {
		copied, err := http.NewRequestWithContext(context.Background(), request.Method, "http://example.org"+path, bytes.NewReader(sent))
		require.NoError(t, err)
		copied.Header.Set("Content-Type", request.Header.Get("Content-Type"))
		return copied
	}
	response := &http.Response{
		StatusCode: r.status, Header: r.header, Request: twin(),
		Body: io.NopCloser(strings.NewReader(r.raw)), ContentLength: int64(len(r.raw)),
	}
	_, faults := c.responses.ValidateHttpResponse(twin(), response)
	assert.Empty(t, sentences(faults), "%s answered %d %s", operation, r.status, r.raw)
	if r.status < 300 && request.Header.Get("Content-Type") == "application/json" {
		_, faults = c.requests.ValidateHttpRequestSync(twin())
		assert.Empty(t, sentences(faults), "%s was answered %d, but the document forbids %s", operation, r.status, sent)
	}
}

func sentences(faults []*problems.ValidationError) []string {
	var list []string
	for _, fault := range faults {
		sentence := fault.Message + ": " + fault.Reason
		for _, detail := range fault.SchemaValidationErrors {
			sentence += "; " + detail.FieldPath + " " + detail.Reason
		}
		list = append(list, sentence)
	}
	return list
}

func TestTheDocumentIsValid(t *testing.T) {
	whole, faults := validator.NewValidator(document(t).source)
	require.Empty(t, faults)
	_, invalid := whole.ValidateDocument()
	assert.Empty(t, sentences(invalid))
}

// Both ways: every route is in the document, and every operation of the document
// is routed.
func TestRoutesAndDocumentAgree(t *testing.T) {
	a := newAPI(t)
	e, hasRoutes := a.handler.(interface{ Routes() []*echo.Route })
	require.True(t, hasRoutes)
	var routed []string
	for _, route := range e.Routes() {
		// What the page of the documentation loads is nobody else's affair.
		if route.Method != echo.RouteNotFound && !strings.HasPrefix(route.Path, "/api/docs/") {
			routed = append(routed, route.Method+" "+strings.NewReplacer(":pid", "{pid}", ":id", "{id}", ":attempt", "{attempt}", ":replay", "{replay}", ":event", "{event}").Replace(route.Path))
		}
	}
	slices.Sort(routed)
	assert.Equal(t, document(t).operations, routed)
}

// The document catches what it is there to catch.
func TestTheDocumentIsStrict(t *testing.T) {
	a := newAPI(t)
	made := a.create("p1", minimal)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, a.url+base+"/"+made.id(), nil)
	require.NoError(t, err)
	for name, spoil := range map[string]func(*reply){
		"a field it does not know": func(r *reply) { r.raw = strings.Replace(r.raw, `{`, `{"secret":"x",`, 1) },
		"a missing field":          func(r *reply) { r.raw = strings.Replace(r.raw, `"has_secret":false,`, ``, 1) },
		"another type":             func(r *reply) { r.raw = strings.Replace(r.raw, `"has_secret":false`, `"has_secret":0`, 1) },
		"a time without Z":         func(r *reply) { r.raw = strings.Replace(r.raw, `Z"}`, `"}`, 1) },
		"a status it has not":      func(r *reply) { r.status = 202 },
		"another media type": func(r *reply) {
			r.header = r.header.Clone()
			r.header.Set("Content-Type", "text/plain")
		},
	} {
		r := reply{status: 200, header: made.header, raw: made.raw}
		spoil(&r)
		probe := &testing.T{}
		document(t).check(probe, request, nil, r)
		assert.True(t, probe.Failed(), name)
	}
}
