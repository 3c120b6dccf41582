package directus_test

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/dembrane/webhooks/pkg/secret"
	"github.com/dembrane/webhooks/services/api/directustest"
	"github.com/dembrane/webhooks/services/api/internal/access"
	"github.com/dembrane/webhooks/services/api/internal/access/directus"
)

// wantUnavailable checks what every failure of Directus comes to: nobody is let
// in, nothing is listed, the operator is told, and no token is.
func (w *world) wantUnavailable(t *testing.T, driver *directus.Driver, advice string) {
	t.Helper()
	for _, token := range []string{
		w.jwt(directustest.Owner), w.jwtWith(directustest.Staff, map[string]any{"admin_access": true}), "static-token-of-static-owner",
	} {
		grant, err := driver.Authorize(t.Context(), token, directustest.ProjectID(directustest.Changemaker), access.Read)
		require.ErrorIs(t, err, access.ErrUnavailable)
		require.ErrorContains(t, err, advice)
		assert.Zero(t, grant)
		wantNoSecrets(t, err, token)
	}
	scope, err := driver.Scope(t.Context(), w.jwt(directustest.Owner))
	require.ErrorIs(t, err, access.ErrUnavailable)
	assert.Zero(t, scope)
	wantNoSecrets(t, err, w.jwt(directustest.Owner))
}

func wantNoSecrets(t *testing.T, err error, token string) {
	t.Helper()
	for _, hidden := range []string{token, directustest.ReaderToken, directustest.Secret, "filter=", directustest.AppUserID(directustest.Owner)} {
		assert.NotContains(t, err.Error(), hidden)
	}
}

func TestWhateverDirectusAnswersInsteadNobodyIsLetIn(t *testing.T) {
	plain := func(status int, body string) directustest.Answer {
		return directustest.Answer{Status: status, Body: body}
	}
	redirect := func(status int) directustest.Answer {
		return directustest.Answer{Status: status, Header: map[string]string{"Location": "https://directus.example.org/"}}
	}
	for name, row := range map[string]struct {
		answer directustest.Answer
		advice string
	}{
		"rate limited":                {directustest.RateLimited(), "RATE_LIMITER_POINTS"},
		"under pressure":              {directustest.UnderPressure(), "overloaded"},
		"without its database":        {directustest.NoDatabase(), "database"},
		"the page of a proxy":         {plain(http.StatusBadGateway, "<html>502</html>"), "not an answer of Directus (502)"},
		"an empty answer":             {plain(http.StatusOK, ""), "not an answer of Directus"},
		"a page":                      {plain(http.StatusOK, "<html>welcome</html>"), "not an answer of Directus"},
		"a page that refuses":         {plain(http.StatusUnauthorized, "<html>log in</html>"), "not an answer of Directus"},
		"somebody else's refusal":     {plain(http.StatusForbidden, `{"error":"forbidden"}`), "not an answer of Directus"},
		"errors without a code":       {plain(http.StatusForbidden, `{"errors":[{"message":"no"}]}`), "not an answer of Directus"},
		"half an answer":              {plain(http.StatusOK, `{"data":[{"id":`), "not an answer of Directus"},
		"no data":                     {plain(http.StatusOK, `{}`), "not an answer of Directus"},
		"no content":                  {plain(http.StatusNoContent, ""), "not an answer of Directus"},
		"null":                        {plain(http.StatusOK, `{"data":null}`), "not an answer of Directus"},
		"a number":                    {plain(http.StatusOK, `{"data":1}`), "docs/access.md"},
		"numbers":                     {plain(http.StatusOK, `{"data":[1]}`), "docs/access.md"},
		"more than was asked for":     {plain(http.StatusOK, `{"data":[`+strings.Repeat(`{},`, 500)+`{}]}`), "docs/access.md"},
		"an answer without an end":    {plain(http.StatusOK, strings.Repeat(" ", 2<<20)), "larger than"},
		"moved for good":              {redirect(http.StatusMovedPermanently), "redirect (301)"},
		"moved":                       {redirect(http.StatusFound), "redirect (302)"},
		"moved with its method":       {redirect(http.StatusPermanentRedirect), "redirect (308)"},
		"a success that is a refusal": {plain(http.StatusOK, `{"errors":[{"extensions":{"code":"FORBIDDEN"}}]}`), "not an answer of Directus"},
	} {
		t.Run(name, func(t *testing.T) {
			w := start(t)
			w.server.FailWith(row.answer)
			w.wantUnavailable(t, w.driver, row.advice)

			w.server.Fail(nil)
			require.NoError(t, w.authorize(w.jwt(directustest.Owner), directustest.Changemaker, access.Change), "a failure is not remembered")
		})
	}
}

// One read after the other fails, and everything before it went well.
func TestEveryReadCanFail(t *testing.T) {
	for _, collection := range []string{"app_user", "project", "workspace", "workspace_membership", "org_membership", "project_membership"} {
		for name, answer := range map[string]directustest.Answer{
			"overloaded": directustest.UnderPressure(), "unreadable": directustest.UnreadableCollection(collection),
			"a field unreadable": directustest.UnreadableField(collection, "role"), "incomplete": {Status: http.StatusOK, Body: `{"data":[{}]}`},
			"not the one": {Status: http.StatusOK, Body: `{"data":[{"id":"` + directustest.Unknown + `"}]}`},
		} {
			t.Run(collection+" "+name, func(t *testing.T) {
				w := start(t)
				w.server.Fail(func(r *http.Request) (directustest.Answer, bool) {
					asked, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/items/"), "/")
					return answer, asked == collection
				})
				user, project := directustest.OrgOwner, directustest.Changemaker
				if collection == "project_membership" {
					user, project = directustest.Member, directustest.Private
				}
				err := w.authorize(w.jwt(user), project, access.Read)
				require.ErrorIs(t, err, access.ErrUnavailable)
				require.ErrorContains(t, err, collection)
				wantNoSecrets(t, err, w.jwt(user))
			})
		}
	}
}

// A row of somebody else is no answer, whoever dropped the filter on the way.
func TestAForgottenFilterLetsNobodyIn(t *testing.T) {
	w := start(t, uncached)
	for _, row := range []struct {
		collection    string
		user, project int
	}{
		{"app_user", directustest.NotOnboarded, directustest.Changemaker},
		{"app_user", directustest.Outsider, directustest.Changemaker},
		{"workspace_membership", directustest.Outsider, directustest.Changemaker},
		{"org_membership", directustest.OrgMember, directustest.Changemaker},
		{"org_membership", directustest.Outsider, directustest.Changemaker},
		{"project_membership", directustest.Viewer, directustest.Private},
	} {
		w.server.Fail(func(r *http.Request) (directustest.Answer, bool) {
			if query := r.URL.Query(); r.URL.Path == "/items/"+row.collection {
				query.Del("filter")
				r.URL.RawQuery = query.Encode()
			}
			return directustest.Answer{}, false
		})
		err := w.authorize(w.jwt(row.user), row.project, access.Read)
		require.ErrorIs(t, err, access.ErrUnavailable, row.collection)
		_, err = w.driver.Scope(t.Context(), w.jwt(row.user))
		if row.collection != "project_membership" { // a scope does not need it
			require.ErrorIs(t, err, access.ErrUnavailable, row.collection)
		}
	}
}

// More rows than were asked for, each of them good.
func TestALongerAnswerThanAskedForIsNone(t *testing.T) {
	w := start(t)
	one := `{"id":"` + directustest.AppUserID(1) + `","directus_user_id":"` + directustest.UserID(1) + `"}`
	w.server.Fail(func(r *http.Request) (directustest.Answer, bool) {
		return directustest.Answer{Status: http.StatusOK, Body: `{"data":[` + one + "," + one + `]}`}, r.URL.Path == "/items/app_user"
	})
	require.ErrorIs(t, w.authorize(w.jwt(directustest.Owner), 1, access.Read), access.ErrUnavailable)
}

// A field that may not be read can be missing: null would mean not deleted, no
// tier that is too low, nobody removed for good.
func TestAMissingFieldIsNotTakenForNull(t *testing.T) {
	project := map[string]any{
		"id": directustest.ProjectID(1), "name": nil, "language": nil, "visibility": nil, "workspace_id": directustest.WorkspaceID(1),
		"directus_user_id": nil, "deleted_at": nil,
	}
	workspace := map[string]any{
		"id": directustest.WorkspaceID(1), "org_id": nil, "visibility": nil, "settings": nil, "deleted_at": nil,
		"billing_account_id": map[string]any{"tier": nil},
	}
	w := start(t, uncached)
	try := func(path string, row map[string]any) error {
		body, err := json.Marshal(map[string]any{"data": row})
		require.NoError(t, err)
		w.server.Fail(func(r *http.Request) (directustest.Answer, bool) {
			return directustest.Answer{Status: http.StatusOK, Body: string(body)}, strings.HasPrefix(r.URL.Path, path)
		})
		return w.authorize(w.jwt(directustest.Owner), 1, access.Change)
	}
	for path, whole := range map[string]map[string]any{"/items/project/": project, "/items/workspace/": workspace} {
		require.NoError(t, try(path, whole))
		for field := range whole {
			part := maps.Clone(whole)
			delete(part, field)
			require.ErrorIs(t, try(path, part), access.ErrUnavailable, field)
		}
	}
	for _, account := range []any{map[string]any{}, directustest.Unknown, 1} {
		part := maps.Clone(workspace)
		part["billing_account_id"] = account
		require.ErrorIs(t, try("/items/workspace/", part), access.ErrUnavailable, "%v", account)
	}
}

func TestOurOwnTokenIsRefused(t *testing.T) {
	w := start(t)
	unknown := w.connect(func(o *directus.Options) { o.Token = secret.New("revoked") })
	_, err := unknown.Authorize(t.Context(), w.jwt(directustest.Owner), directustest.ProjectID(1), access.Read)
	require.ErrorIs(t, err, access.ErrUnavailable)
	require.ErrorContains(t, err, "401 INVALID_CREDENTIALS: set DIRECTUS_TOKEN")
	wantNoSecrets(t, err, "revoked")
	// Of a user who may read nothing, Directus says nothing else about projects
	// than that they are not there, but for the reason.
	powerless := w.connect(func(o *directus.Options) { o.Token = secret.New("static-token-of-outsider") })
	_, err = powerless.Authorize(t.Context(), w.jwt(directustest.Owner), directustest.ProjectID(1), access.Read)
	require.ErrorIs(t, err, access.ErrUnavailable)
	require.ErrorContains(t, err, "let the user of DIRECTUS_TOKEN read")
}

func TestDirectusIsDown(t *testing.T) {
	w := start(t)
	w.server.Stop()
	w.wantUnavailable(t, w.driver, "is it up, and DIRECTUS_BASE_URL its address?")
}

func TestDirectusHangs(t *testing.T) {
	w := start(t, func(o *directus.Options) { o.Timeout = 50 * time.Millisecond })
	w.server.Fail(func(r *http.Request) (directustest.Answer, bool) {
		<-r.Context().Done() // until the driver gives up
		return directustest.Answer{Status: http.StatusOK}, true
	})
	began := time.Now()
	w.wantUnavailable(t, w.driver, "DIRECTUS_TIMEOUT")
	assert.Less(t, time.Since(began), 5*time.Second)
}

func TestTheCertificateIsVerified(t *testing.T) {
	server := directustest.StartTLS(t, directustest.Product())
	connect := func(change func(*directus.Options)) error {
		options := directus.Options{
			BaseURL: server.URL(), Token: secret.New(directustest.ReaderToken), Secret: secret.New(directustest.Secret),
			Timeout: 10 * time.Second, CacheSize: 1, Log: zap.NewNop(),
		}
		change(&options)
		driver, err := directus.New(options)
		require.NoError(t, err)
		defer directus.CloseConnections(driver)
		_, err = driver.Authorize(t.Context(), "static-token-of-static-owner", directustest.ProjectID(1), access.Read)
		return err
	}
	require.NoError(t, connect(func(o *directus.Options) { o.Roots = server.Roots() }))
	unknown := connect(func(*directus.Options) {})
	require.ErrorIs(t, unknown, access.ErrUnavailable)
	require.ErrorContains(t, unknown, "SSL_CERT_FILE")
	wrongHost := connect(func(o *directus.Options) {
		o.Roots = server.Roots()
		o.BaseURL = &url.URL{Scheme: "https", Host: "localhost:" + server.URL().Port()}
	})
	require.ErrorIs(t, wrongHost, access.ErrUnavailable)
	require.ErrorContains(t, wrongHost, "certificate")
}

// Run says what is wrong once, and that it is over.
func TestCheckSaysWhatIsWrong(t *testing.T) {
	w := start(t)
	require.NoError(t, w.driver.Check(t.Context()))
	for name, row := range map[string]struct {
		change func(*directus.Options)
		wants  []string
	}{
		"another secret": {func(o *directus.Options) { o.Secret = secret.New("another") }, []string{"DIRECTUS_SECRET is not the SECRET of Directus"}},
		"another token":  {func(o *directus.Options) { o.Token = secret.New("another") }, []string{"set DIRECTUS_TOKEN"}},
		"a powerless token": {
			func(o *directus.Options) { o.Token = secret.New("static-token-of-outsider") },
			[]string{`"app_user"`, `"project"`, `"workspace"`, `"workspace_membership"`, `"org_membership"`, `"project_membership"`},
		},
		"another address": {func(o *directus.Options) { o.BaseURL = o.BaseURL.JoinPath("admin") }, []string{"DIRECTUS_BASE_URL must be"}},
	} {
		err := w.connect(row.change).Check(t.Context())
		for _, want := range row.wants {
			require.ErrorContains(t, err, want, name)
		}
		wantNoSecrets(t, err, "another-token")
	}
}

func TestRunTellsTheOperator(t *testing.T) {
	core, logs := observer.New(zap.InfoLevel)
	told := make(chan struct{}, 10)
	log := zap.New(core, zap.Hooks(func(zapcore.Entry) error {
		told <- struct{}{}
		return nil
	}))
	w := start(t, func(o *directus.Options) { o.Log = log })
	run := func() func() {
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- w.driver.Run(ctx) }()
		return func() {
			cancel()
			require.NoError(t, <-ended)
		}
	}
	w.server.FailWith(directustest.NoDatabase())
	end := run()
	<-told
	end()
	w.server.Fail(nil)
	end = run()
	<-told
	end()
	lines := logs.AllUntimed()
	require.Len(t, lines, 2)
	assert.Equal(t, zap.ErrorLevel, lines[0].Level)
	assert.Contains(t, lines[0].ContextMap()["error"], "its database may be down")
	assert.Equal(t, "directus can be used", lines[1].Message)
}
