package portal_test

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dembrane/webhooks/pkg/payload"
	"github.com/dembrane/webhooks/pkg/secret"
	"github.com/dembrane/webhooks/proto/webhooksv1"
	"github.com/dembrane/webhooks/services/api/internal/access"
	"github.com/dembrane/webhooks/services/api/internal/httpapi"
	"github.com/dembrane/webhooks/services/api/internal/mongotest"
	"github.com/dembrane/webhooks/services/api/internal/portal"
	"github.com/dembrane/webhooks/services/api/internal/registration"
	"github.com/dembrane/webhooks/services/api/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	sessionCookie = "directus_session_token"
	overview      = "/projects/p1/webhooks"
)

// projectNames are what others called their projects.
var projectNames = map[string]string{"p1": "Town talks", "turned": "talks \u202egnp.exe <script>\x00\u009b"}

// identity is a driver with a token for each kind of caller.
type identity struct{}

func (identity) Authorize(_ context.Context, token, projectID string, action access.Action) (access.Grant, error) {
	switch {
	case token == "member":
		return access.Grant{}, access.ErrPermission
	case token == "stranger" || projectID == "missing":
		return access.Grant{}, access.ErrProject
	case token == "low-tier" && action == access.Change:
		return access.Grant{}, &access.TierError{Current: "innovator"}
	case token == "away":
		return access.Grant{}, access.ErrUnavailable
	case token != "good" && token != "low-tier":
		return access.Grant{}, access.ErrSession
	}
	return access.Grant{Caller: token, Project: access.Project{ID: projectID, Name: projectNames[projectID]}}, nil
}

func (identity) Scope(context.Context, string) (access.Scope, error) {
	return access.Scope{Projects: []access.Project{{ID: "p1"}, {ID: "p2", Name: "Second <b>project</b>\u202e"}}}, nil
}

func (identity) Names(context.Context, []string) (map[string]string, error) { return nil, nil }

// site is the API and the pages over a real socket and a real store.
type site struct {
	t     testing.TB
	url   string
	pages *portal.Portal
	reply *webhooksv1.Attempt
	store *store.Store
}

func newSite(tb testing.TB) *site {
	tb.Helper()
	return newSiteWith(tb, portal.Deps{SessionCookie: sessionCookie, SignIn: true, DashboardURL: "https://dashboard.example.org", Log: zap.NewNop()})
}

func newSiteWith(tb testing.TB, deps portal.Deps, change ...func(*httpapi.Deps)) *site {
	tb.Helper()
	mongo := mongotest.StartEmbedded(tb)
	s, err := store.Open(tb.Context(), mongo.URI(), mongo.Database(), zap.NewNop())
	require.NoError(tb, err)
	tb.Cleanup(func() { assert.NoError(tb, s.Close(context.Background())) })
	s.Alone()
	require.NoError(tb, s.Prepare(tb.Context()))
	mongo.IndexIDs()
	keyset, err := secret.NewKeyset()
	require.NoError(tb, err)
	box, err := secret.OpenKeyset(keyset)
	require.NoError(tb, err)
	here := &site{t: tb, store: s, reply: &webhooksv1.Attempt{
		Outcome: webhooksv1.Outcome_OUTCOME_DELIVERED, StatusCode: 200, StartedAt: timestamppb.Now(),
	}}
	here.pages, err = portal.New(deps)
	require.NoError(tb, err)
	api := httpapi.Deps{
		Store: s, Access: identity{}, Secrets: box, Renderer: payload.Renderer{AdminBaseURL: deps.DashboardURL},
		Rules: registration.URLRules{Address: func(addr netip.Addr) error {
			if addr.IsLoopback() {
				return errors.New("forbidden")
			}
			return nil
		}},
		Project: func(ctx context.Context, _, id string) bool {
			w, err := s.Load(ctx, id)
			return err == nil && s.Settle(ctx, id, w.Revision) == nil
		},
		SendTest: func(context.Context, *webhooksv1.TestRequest) (*webhooksv1.Attempt, error) { return here.reply, nil },
		Log:      zap.NewNop(), Metrics: httpapi.NewMetrics(prometheus.NewRegistry()),
		SessionCookie: sessionCookie, Limit: 50, TestTimeout: time.Second, Pages: here.pages,
	}
	for _, edit := range change {
		edit(&api)
	}
	server, err := httpapi.New(api)
	require.NoError(tb, err)
	listening := httptest.NewUnstartedServer(server.Handler)
	listening.Config = server
	listening.Start()
	tb.Cleanup(listening.Close)
	here.url = listening.URL
	return here
}

// browser is a browser without scripts: cookies, pages and forms.
type browser struct {
	site   *site
	client *http.Client
	// header is sent with every request.
	header http.Header
}

// as is the browser of somebody with this token; empty for nobody.
func (s *site) as(token string) *browser {
	s.t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(s.t, err)
	at, err := url.Parse(s.url)
	require.NoError(s.t, err)
	if token != "" {
		jar.SetCookies(at, []*http.Cookie{{Name: sessionCookie, Value: token}})
	}
	transport := &http.Transport{}
	s.t.Cleanup(transport.CloseIdleConnections)
	return &browser{site: s, header: http.Header{"Accept-Language": {"en"}}, client: &http.Client{
		Jar: jar, Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
}

func (b *browser) do(request *http.Request) answer {
	b.site.t.Helper()
	maps.Copy(request.Header, b.header)
	response, err := b.client.Do(request)
	require.NoError(b.site.t, err)
	body, err := io.ReadAll(response.Body)
	require.NoError(b.site.t, err)
	require.NoError(b.site.t, response.Body.Close())
	return answer{status: response.StatusCode, header: response.Header, body: string(body)}
}

func (b *browser) get(path string) answer {
	b.site.t.Helper()
	request, err := http.NewRequestWithContext(b.site.t.Context(), http.MethodGet, b.site.url+path, http.NoBody)
	require.NoError(b.site.t, err)
	return b.do(request)
}

// post sends a form with what is given, name and value in turn, and without its token
// unless that is among it.
func (b *browser) post(path string, pairs ...string) answer {
	b.site.t.Helper()
	form := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Add(pairs[i], pairs[i+1])
	}
	request, err := http.NewRequestWithContext(b.site.t.Context(), http.MethodPost, b.site.url+path, strings.NewReader(form.Encode()))
	require.NoError(b.site.t, err)
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return b.do(request)
}

var tokenField = regexp.MustCompile(`name="_token" value="([^"]+)"`)

// token is the token of the forms on a page.
func (b *browser) token(path string) string {
	b.site.t.Helper()
	page := b.get(path)
	found := tokenField.FindStringSubmatch(page.body)
	require.NotNil(b.site.t, found, page.body)
	return found[1]
}

// fill opens a page and sends its form to the same address.
func (b *browser) fill(path string, pairs ...string) answer {
	b.site.t.Helper()
	return b.post(path, append([]string{"_token", b.token(path)}, pairs...)...)
}

// add adds a webhook and returns the path of its pages.
func (b *browser) add(pairs ...string) string {
	b.site.t.Helper()
	made := b.fill(overview+"/new", append([]string{"form", "form-of-" + b.site.t.Name(), "events", "report.generated", "enabled", "true"}, pairs...)...)
	return strings.TrimSuffix(b.wantMade(made), "/created")
}

// wantMade wants that an answer leads to the page of a new webhook, and returns its path.
func (b *browser) wantMade(made answer) string {
	b.site.t.Helper()
	require.Equal(b.site.t, http.StatusSeeOther, made.status, made.body)
	path := made.header.Get("Location")
	require.Regexp(b.site.t, `^/projects/\w+/webhooks/[0-9A-Z]{26}/created$`, path)
	return path
}

// seeMade is that page.
func (b *browser) seeMade(made answer) answer {
	b.site.t.Helper()
	page := b.get(b.wantMade(made))
	require.Equal(b.site.t, http.StatusOK, page.status, page.body)
	return page
}
