package httpapi

import (
	"context"
	_ "embed" // the snippets
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/payload"
	"github.com/dembrane/webhooks/pkg/payload/chat"
	"github.com/dembrane/webhooks/pkg/signature"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/api/internal/access"
	"github.com/dembrane/webhooks/services/api/internal/registration"
	"github.com/dembrane/webhooks/services/api/internal/store"
)

// exampleSecret signs the examples. It is public, and no webhook's.
const exampleSecret = "example-secret"

// exampleID is the id of every sample event.
const exampleID = "evt_sample"

// maxPage is the most that one page of copyable webhooks can have.
const maxPage = 250

// The snippets are files, so that tests can run them.
var (
	//go:embed snippets/verify.py
	snippetPython string
	//go:embed snippets/verify.mjs
	snippetNode string
	//go:embed snippets/verify.go.txt
	snippetGo string
	//go:embed snippets/verify.php
	snippetPHP string
	//go:embed snippets/Verify.cs
	snippetCSharp string
	//go:embed snippets/verify.rb
	snippetRuby string
	//go:embed snippets/Verify.java
	snippetJava string
)

// copyable is what somebody needs to set up the same webhook elsewhere, and to
// write its receiver. The secret and the values of its own headers are not among it.
type copyable struct {
	ID           string         `json:"id"`
	ProjectID    string         `json:"project_id"`
	Name         string         `json:"name"`
	URL          string         `json:"url"`
	Events       []string       `json:"events"`
	Format       string         `json:"format"`
	HasSecret    bool           `json:"has_secret"`
	HeaderNames  []string       `json:"header_names"`
	Headers      []headerInfo   `json:"headers"`
	Samples      []sample       `json:"samples"`
	Verification []verification `json:"verification"`
	Notes        []string       `json:"notes"`
}

// headerInfo is one header of a delivery and how its value is made.
type headerInfo struct {
	Name       string `json:"name"`
	Value      string `json:"value"`
	Example    string `json:"example"`
	NeedSecret bool   `json:"only_with_secret"`
}

// sample is one delivery as it would be sent.
type sample struct {
	Event string `json:"event"`
	// Body is the exact bytes of the request's body.
	Body string `json:"body"`
	// Signature is X-Dembrane-Signature for it, made with the example secret.
	Signature string `json:"signature_with_example_secret"`
}

type verification struct {
	Language string `json:"language"`
	Code     string `json:"code"`
}

// copyable describes one webhook.
func (s *server) copyable(c echo.Context, grant access.Grant) error {
	w, err := s.find(c, grant)
	if err != nil {
		return err
	}
	format := formatOf(w)
	if c.QueryParams().Has("format") {
		asked, err := registration.Format(c.QueryParam("format"))
		if err != nil {
			return err
		}
		format = chat.Format(asked)
	}
	return c.JSON(http.StatusOK, s.describe(w, grant.Project, format))
}

// describe shows samples in a format, which may be another than the webhook's.
func (s *server) describe(w store.Webhook, project access.Project, format chat.Format) copyable {
	// A fixed moment of the webhook's own, so that the samples stay the same.
	at := w.CreatedAt
	return copyable{
		ID:        w.ID,
		ProjectID: w.ProjectID,
		Name:      w.Name,
		URL:       w.URL,
		Events:    w.Events,
		Format:    string(formatOf(w)),
		HasSecret: len(w.Secrets) > 0,

		HeaderNames: w.HeaderNames(),
		Headers:     append(headersSent(s.sample(format, event.ConversationTranscribed, project, at), at), ownHeaders(w)...),
		Samples:     s.samples(format, project, at),
		Verification: []verification{
			{Language: "python", Code: snippetPython},
			{Language: "node", Code: snippetNode},
			{Language: "go", Code: snippetGo},
			{Language: "php", Code: snippetPHP},
			{Language: "csharp", Code: snippetCSharp},
			{Language: "ruby", Code: snippetRuby},
			{Language: "java", Code: snippetJava},
		},
		Notes: []string{
			"A delivery is a POST to the URL. Answer 2xx quickly and do the work afterwards; a delivery may come more than once, with the same id.",
			bodyNote(format),
			fmt.Sprintf("The signatures shown here are made with the secret %q. This webhook's own secret is never shown.", exampleSecret),
		},
	}
}

// bodyNote says what the bodies are like.
func bodyNote(format chat.Format) string {
	if format == chat.JSON {
		return "The body of each sample is exact, byte for byte: a JSON object with sorted keys, no spaces and all non-ASCII characters escaped. Compute the HMAC over the raw bytes as received, never over JSON that was parsed and written again."
	}
	return fmt.Sprintf("The format is %s: the bodies are messages for that product. The body of each sample is exact, byte for byte.", format)
}

// samples are one of every event that this build sends.
func (s *server) samples(format chat.Format, project access.Project, at time.Time) []sample {
	var list []sample
	for _, eventType := range append(event.Subscribable(), event.Test) {
		list = append(list, s.sample(format, eventType, project, at))
	}
	return list
}

func (s *server) sample(format chat.Format, eventType string, project access.Project, at time.Time) sample {
	e := s.sampleEvent(eventType, project, at)
	body := format.Append(nil, s.Renderer, e)
	return sample{Event: eventType, Body: string(body), Signature: exampleSignatures(body, at).Get(signature.HeaderBody)}
}

func (s *server) sampleEvent(eventType string, project access.Project, at time.Time) *webhooksv1.Event {
	p := &webhooksv1.Project{Id: project.ID}
	for _, optional := range []struct {
		value  string
		target **string
	}{{project.WorkspaceID, &p.WorkspaceId}, {project.Name, &p.Name}, {project.Language, &p.Language}} {
		if optional.value != "" {
			*optional.target = &optional.value
		}
	}
	return payload.Sample(eventType, p, exampleID, at)
}

func exampleSignatures(body []byte, at time.Time) http.Header {
	header := http.Header{}
	signature.Headers(header, []signature.Key{signature.NewKey(exampleSecret)}, exampleID, at, body)
	return header
}

// headersSent lists the headers of a delivery, with those of the given sample.
func headersSent(example sample, at time.Time) []headerInfo {
	signed := exampleSignatures([]byte(example.Body), at)
	return []headerInfo{
		{Name: "Content-Type", Value: "always the same", Example: "application/json"},
		{Name: "User-Agent", Value: "always the same", Example: "Dembrane-Webhook/1.0"},
		{Name: "X-Dembrane-Event", Value: "the event, as in the body", Example: example.Event},
		{Name: "X-Webhook-Event", Value: "the event once more, under its older name", Example: example.Event},
		{Name: "X-Dembrane-Delivery", Value: "id of the delivery: one event to one webhook, the same with every attempt", Example: "dlv_sample"},
		{Name: "X-Dembrane-Attempt", Value: "number of the attempt, from 1", Example: strconv.Itoa(1)},
		{
			Name: "X-Dembrane-Signature", NeedSecret: true, Example: signed.Get(signature.HeaderBody),
			Value: "hexadecimal HMAC-SHA256 of the raw body; the key is the secret's UTF-8 bytes",
		},
		{
			Name: "X-Webhook-Signature", NeedSecret: true, Example: signed.Get(signature.HeaderReference),
			Value: "sha256= and the same, under its older name",
		},
		{Name: "webhook-id", NeedSecret: true, Value: "id of the event, as in the body", Example: signed.Get(signature.HeaderID)},
		{Name: "webhook-timestamp", NeedSecret: true, Value: "when this attempt was made, in Unix seconds", Example: signed.Get(signature.HeaderTimestamp)},
		{
			Name: "webhook-signature", NeedSecret: true, Example: signed.Get(signature.HeaderSignature),
			Value: "Standard Webhooks 1.0: v1, and the base64 HMAC-SHA256 of `{webhook-id}.{webhook-timestamp}.{body}`; " +
				"the key is the base64 after whsec_, or else the secret's bytes. One for each valid secret, separated by spaces",
		},
	}
}

// ownHeaders lists those that were set for this webhook.
func ownHeaders(w store.Webhook) []headerInfo {
	var list []headerInfo
	for _, name := range w.HeaderNames() {
		list = append(list, headerInfo{Name: name, Value: "as set for this webhook; it is never shown, so set it again elsewhere", Example: masked})
	}
	return list
}

// elsewhere is a webhook of another project, to be cloned.
type elsewhere struct {
	ID          string   `json:"id"`
	Name        string   `json:"name"`
	URL         string   `json:"url"`
	Events      []string `json:"events"`
	Format      string   `json:"format"`
	ProjectID   string   `json:"project_id"`
	ProjectName *string  `json:"project_name"`
}

// listElsewhere lists the caller's webhooks in other projects. What the caller
// may not see is left out before the page is cut.
func (s *server) listElsewhere(c echo.Context, grant access.Grant) error {
	selection, err := page(c)
	if err != nil {
		return err
	}
	token, _ := c.Get(keyToken).(string) // it was let in
	ctx := c.Request().Context()
	scope, err := s.Access.Scope(ctx, token)
	if err != nil {
		return fmt.Errorf("list projects: %w", err)
	}
	selection.Except, selection.All, selection.Projects = grant.Project.ID, scope.All, scope.IDs()
	found, err := s.Store.ListElsewhere(ctx, selection)
	if err != nil {
		return fmt.Errorf("list webhooks elsewhere: %w", err)
	}
	names, err := s.names(ctx, scope, found)
	if err != nil {
		return err
	}
	list := make([]elsewhere, len(found))
	for i, w := range found {
		list[i] = elsewhere{ID: w.ID, Name: w.Name, URL: w.URL, Events: w.Events, Format: string(formatOf(w)), ProjectID: w.ProjectID}
		if name := names[w.ProjectID]; name != "" {
			list[i].ProjectName = &name
		}
	}
	return c.JSON(http.StatusOK, list)
}

// names returns what the projects of webhooks are called.
func (s *server) names(ctx context.Context, scope access.Scope, of []store.Webhook) (map[string]string, error) {
	if !scope.All {
		return scope.Names(), nil
	}
	ids := make([]string, len(of))
	for i, w := range of {
		ids[i] = w.ProjectID
	}
	slices.Sort(ids)
	names, err := s.Access.Names(ctx, slices.Compact(ids))
	if err != nil {
		return nil, fmt.Errorf("read what projects are called: %w", err)
	}
	return names, nil
}

// page reads limit and offset; without them the list is whole.
func page(c echo.Context) (store.Elsewhere, error) {
	var e store.Elsewhere
	var faults registration.Faults
	number := func(name string, lowest, highest int64) int64 {
		given := c.QueryParam(name)
		if given == "" {
			return 0
		}
		value, err := strconv.ParseInt(given, 10, 64)
		if err != nil || value < lowest || value > highest {
			faults.Add(missing(name, fmt.Sprintf("%s must be a number from %d to %d.", name, lowest, highest)))
		}
		return value
	}
	e.Limit = number("limit", 1, maxPage)
	e.Offset = number("offset", 0, 1<<31)
	return e, faults.Err()
}
