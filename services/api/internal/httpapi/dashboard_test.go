package httpapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/api/internal/access"
	"github.com/dembrane/webhooks/services/api/internal/httpapi"
)

// dashboard is the product's own client, from before this system: a page of
// another origin that sends the user's cookie, shows the detail of what was
// refused, and sends a request again, once and at once, after 401 and 403.
type dashboard struct {
	*api

	sent int
}

// newDashboard has a session that is refused as often as refusals has errors,
// before it is good.
func newDashboard(t *testing.T, refusals *[]error) *dashboard {
	t.Helper()
	return &dashboard{api: newAPIWith(t, func(deps *httpapi.Deps) {
		deps.Access = refusing{deps.Access, refusals}
	}, func(*http.Server) {})}
}

type refusing struct {
	httpapi.Authorizer

	refusals *[]error
}

func (r refusing) Authorize(ctx context.Context, token, projectID string, action access.Action) (access.Grant, error) {
	if left := *r.refusals; len(left) > 0 {
		*r.refusals = left[1:]
		return access.Grant{}, left[0]
	}
	return r.Authorizer.Authorize(ctx, token, projectID, action)
}

// fetch is what the page does: the cookie, its origin, and JSON.
func (d *dashboard) fetch(method, path, body string) reply {
	d.t.Helper()
	d.sent++
	return d.send(method, path, body, "Authorization", "", "Cookie", cookieName+"=good",
		"Origin", origin, "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "cors")
}

// call is fetch with the page's one resend. It decodes strictly by type, as the
// page's own types have it, and may know fewer fields than there are.
func (d *dashboard) call(method, path, body string, want int, into any) reply {
	d.t.Helper()
	r := d.fetch(method, path, body)
	if r.status == http.StatusUnauthorized || r.status == http.StatusForbidden {
		r = d.fetch(method, path, body)
	}
	require.Equal(d.t, want, r.status, r.raw)
	assert.Equal(d.t, origin, r.header.Get("Access-Control-Allow-Origin"), "or else the page cannot read it")
	assert.Equal(d.t, "true", r.header.Get("Access-Control-Allow-Credentials"))
	if into != nil {
		require.NoError(d.t, json.NewDecoder(bytes.NewReader([]byte(r.raw))).Decode(into))
	}
	return r
}

// What the page reads. A null where it expects none would break it.
type (
	dashboardWebhook struct {
		ID          string   `json:"id"`
		Name        string   `json:"name"`
		URL         string   `json:"url"`
		Events      []string `json:"events"`
		Status      string   `json:"status"`
		DateCreated string   `json:"date_created"`
		DateUpdated string   `json:"date_updated"`
	}
	dashboardCopyable struct {
		ID          string   `json:"id"`
		Name        string   `json:"name"`
		URL         string   `json:"url"`
		Events      []string `json:"events"`
		ProjectID   string   `json:"project_id"`
		ProjectName *string  `json:"project_name"`
	}
	dashboardTest struct {
		Success    *bool  `json:"success"`
		StatusCode *int   `json:"status_code"`
		Message    string `json:"message"`
	}
)

func (d *dashboard) list() []dashboardWebhook {
	d.t.Helper()
	var list []dashboardWebhook
	d.call("GET", base, "", http.StatusOK, &list)
	return list
}

// Everything that somebody can do on the page, request for request.
func TestTheDashboardWorksUnchanged(t *testing.T) {
	var refusals []error
	d := newDashboard(t, &refusals)
	assert.Equal(t, "[]\n", d.call("GET", base, "", http.StatusOK, nil).raw, "a list also when it is empty, never null")

	var made dashboardWebhook
	d.call("POST", base, `{"name":"CRM","url":"https://example.org/hook","secret":"my-signing-secret","events":["conversation.started","report.generated"]}`,
		http.StatusCreated, &made)
	assert.NotEmpty(t, made.ID)
	assert.Equal(t, "published", made.Status, "a new webhook is on")
	var unsigned dashboardWebhook
	d.call("POST", base, `{"name":"No secret","url":"https://example.org/two","events":["conversation.summarized"]}`, http.StatusCreated, &unsigned)
	list := d.list()
	require.Len(t, list, 2)
	assert.Equal(t, made, list[1])
	assert.Equal(t, unsigned, list[0])
	for _, date := range []string{made.DateCreated, made.DateUpdated} {
		wantTimeText(t, date)
	}

	// The switch.
	path := base + "/" + made.ID
	var changed dashboardWebhook
	d.call("PATCH", path, `{"status":"draft"}`, http.StatusOK, &changed)
	assert.Equal(t, "draft", changed.Status)
	d.call("PATCH", path, `{"status":"published"}`, http.StatusOK, &changed)
	assert.Equal(t, "published", changed.Status)

	// The form, which sends everything but a secret that was left empty.
	d.call("PATCH", path, `{"name":"CRM 2","url":"https://example.org/new","events":["report.generated"]}`, http.StatusOK, &changed)
	assert.Equal(t, dashboardWebhook{
		ID: made.ID, Name: "CRM 2", URL: "https://example.org/new", Events: []string{"report.generated"}, Status: "published",
		DateCreated: made.DateCreated, DateUpdated: changed.DateUpdated,
	}, changed)
	secrets, _ := d.opened(made.ID)
	assert.Equal(t, []string{"my-signing-secret"}, secrets)
	d.call("PATCH", path, `{"name":"CRM 2","url":"https://example.org/new","events":["report.generated"],"secret":"another-secret"}`, http.StatusOK, nil)
	secrets, _ = d.opened(made.ID)
	assert.Equal(t, []string{"another-secret"}, secrets)

	// The test button, for both ways that it can end.
	var tested dashboardTest
	d.reply = &webhooksv1.Attempt{Outcome: webhooksv1.Outcome_OUTCOME_DELIVERED, StatusCode: 200}
	d.call("POST", path+"/test", "", http.StatusOK, &tested)
	require.NotNil(t, tested.Success)
	assert.True(t, *tested.Success)
	require.NotNil(t, tested.StatusCode)
	assert.NotEmpty(t, tested.Message)
	d.reply = &webhooksv1.Attempt{Outcome: webhooksv1.Outcome_OUTCOME_EXHAUSTED, Reason: webhooksv1.Reason_REASON_TIMEOUT}
	tested = dashboardTest{}
	d.call("POST", path+"/test", "", http.StatusOK, &tested)
	require.NotNil(t, tested.Success)
	assert.False(t, *tested.Success)
	assert.Nil(t, tested.StatusCode)
	assert.NotEmpty(t, tested.Message)

	for _, secret := range []string{"my-signing-secret", "another-secret"} {
		assert.NotContains(t, d.fetch("GET", base, "").raw+d.fetch("GET", path, "").raw+d.fetch("GET", path+"/copyable", "").raw, secret)
	}
	d.cloneFromProject()
	d.call("DELETE", path, "", http.StatusNoContent, nil)
	d.call("DELETE", base+"/"+unsigned.ID, "", http.StatusNoContent, nil)
	assert.Empty(t, d.list())
}

// cloneFromProject takes a webhook over from another project: what is listed can
// be sent as it is.
func (d *dashboard) cloneFromProject() {
	d.t.Helper()
	d.create("p2", minimal)
	var copyable []dashboardCopyable
	d.call("GET", base+"/copyable", "", http.StatusOK, &copyable)
	require.Len(d.t, copyable, 1)
	assert.Equal(d.t, "p2", copyable[0].ProjectID)
	require.NotNil(d.t, copyable[0].ProjectName)
	body, err := json.Marshal(map[string]any{"name": copyable[0].Name, "url": copyable[0].URL, "events": copyable[0].Events})
	require.NoError(d.t, err)
	var cloned dashboardWebhook
	d.call("POST", base, string(body), http.StatusCreated, &cloned)
	d.call("DELETE", base+"/"+cloned.ID, "", http.StatusNoContent, nil)
}

// A session that is renewed in the background: the first answer is a refusal, the
// second request is the same, and it happens once.
func TestTheDashboardSendsAgainWhatWasRefused(t *testing.T) {
	var refusals []error
	d := newDashboard(t, &refusals)
	again := func(refusal error, method, path, body string, want int) reply {
		t.Helper()
		refusals, d.sent = []error{refusal}, 0
		r := d.call(method, path, body, want, nil)
		assert.Equal(t, 2, d.sent)
		return r
	}
	for _, refusal := range []error{access.ErrSession, access.ErrUser, access.ErrPermission} {
		made := again(refusal, "POST", base, minimal, http.StatusCreated)
		assert.Len(t, d.list(), 1, "it was made once")
		path := base + "/" + made.id()
		again(refusal, "PATCH", path, `{"status":"draft"}`, http.StatusOK)
		d.tried, d.reply = nil, &webhooksv1.Attempt{Outcome: webhooksv1.Outcome_OUTCOME_DELIVERED}
		again(refusal, "POST", path+"/test", "", http.StatusOK)
		again(refusal, "DELETE", path, "", http.StatusNoContent)
		assert.Empty(t, d.list())
	}
	// Refused twice: the page shows the detail, and nothing has happened.
	refusals = []error{access.ErrSession, access.ErrSession}
	r := d.call("POST", base, minimal, http.StatusUnauthorized, nil)
	d.wantProblem(r, http.StatusUnauthorized, "Invalid session")
	assert.Empty(t, d.list())
}

// The page shows detail, so it must be a sentence, whatever went wrong.
func TestTheDashboardShowsWhatWentWrong(t *testing.T) {
	var refusals []error
	d := newDashboard(t, &refusals)
	for body, want := range map[string]string{
		`{"name":"x","url":"https://10.0.0.1/","events":["report.generated"]}`:   "The URL points to an address where deliveries are not allowed to go.",
		`{"name":"x","url":"not a url","events":["report.generated"]}`:           "The URL must not contain spaces",
		`{"name":"x","url":"https://example.org","events":[]}`:                   "Choose at least one event",
		`{"name":"","url":"https://example.org","events":["no.event"]}`:          `The event "no.event" does not exist`,
		`{"name":"x","url":"https://example.org","secret":"1","events":["x.y"]}`: "The secret must have 8 to 255 bytes.",
	} {
		assert.Contains(t, d.fetch("POST", base, body).detail(), want)
	}
	assert.Equal(t, "Webhook not found", d.fetch("PATCH", base+"/gone", `{"status":"draft"}`).detail())
}
