package directus_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/services/api/directustest"
	"github.com/dembrane/webhooks/services/api/internal/access"
	"github.com/dembrane/webhooks/services/api/internal/access/directus"
)

// What a decision costs Directus, cold and warm, by who asks. docs/access.md
// has these numbers.
func TestWhatADecisionCosts(t *testing.T) {
	project := func(n int) string { return "/items/project/" + directustest.ProjectID(n) }
	workspace := "/items/workspace/" + directustest.WorkspaceID(directustest.Changemaker)
	const user, member, inOrg, share = "/items/app_user", "/items/workspace_membership", "/items/org_membership", "/items/project_membership"
	const me, globals = "/users/me", "/policies/me/globals"
	w := start(t)
	staff := w.jwtWith(directustest.Staff, map[string]any{"admin_access": true})
	for _, row := range []struct {
		who, token string
		project    int
		cold       []string
	}{
		{"staff", staff, 1, []string{project(1)}},
		{"staff by a static token", "static-token-of-staff", 2, []string{me, globals, project(2)}},
		{"a member", w.jwt(directustest.Owner), 1, []string{user, project(1), member, workspace}},
		{"a member by a static token", "static-token-of-static-owner", 1, []string{me, globals, user, project(1), member, workspace}},
		{"who inherits", w.jwt(directustest.OrgOwner), 1, []string{user, project(1), member, workspace, inOrg}},
		{"an admin of a private project", w.jwt(directustest.Admin), directustest.Private, []string{user, project(directustest.Private), member, workspace}},
		{"a member of a private project", w.jwt(directustest.Member), directustest.Private, []string{user, project(directustest.Private), member, workspace, share}},
		{"the creator of a project without a workspace", w.jwt(directustest.LegacyCreator), directustest.Legacy, []string{user, project(directustest.Legacy)}},
		{"an outsider", w.jwt(directustest.Outsider), 1, []string{user, project(1), member, workspace, inOrg}},
		{"who was removed for good", w.jwt(directustest.StickyRemoved), directustest.Sticky, []string{
			user, project(directustest.Sticky), member, "/items/workspace/" + directustest.WorkspaceID(directustest.Sticky),
		}},
		{"who is not onboarded", w.jwt(directustest.NotOnboarded), 1, []string{user, project(1)}},
		{"somebody with an unknown static token", "no-such-token", 1, []string{me, globals}},
		{"somebody with a forged token", directustest.Sign("another", directustest.Claims(directustest.UserID(1), w.now, nil)), 1, nil},
		{"nobody", "", 1, nil},
	} {
		cold := w.authorize(row.token, row.project, access.Change)
		assert.ElementsMatch(t, row.cold, w.server.Requests(), row.who)
		for _, action := range []access.Action{access.Change, access.Read, access.Withdraw} {
			warm := w.authorize(row.token, row.project, action)
			if action == access.Change {
				assert.Equal(t, cold, warm, row.who)
			}
		}
		assert.Empty(t, w.server.Requests(), "%s, warm: refusals are remembered as well", row.who)
	}
	// A session that was renewed asks nothing anew.
	require.NoError(t, w.authorize(w.jwtWith(directustest.Owner, map[string]any{"session": "renewed"}), 1, access.Change))
	assert.Empty(t, w.server.Requests())
}

// An id that is none is one question, however many there are of them.
func TestIDsThatAreNoneCostOneQuestion(t *testing.T) {
	w := start(t)
	for i := range 100 {
		_, err := w.driver.Authorize(t.Context(), w.jwt(directustest.Owner), fmt.Sprintf("../%d", i), access.Read)
		require.Equal(t, access.ErrProject, err)
	}
	assert.Equal(t, []string{"/items/app_user"}, w.server.Requests())
	_, err := w.driver.Authorize(t.Context(), w.jwt(directustest.NotOnboarded), "..", access.Read)
	require.Equal(t, access.ErrUser, err, "as with every project that does not exist")
}

func TestAnAnswerIsRememberedForItsTime(t *testing.T) {
	w := start(t)
	require.NoError(t, w.authorize(w.jwt(directustest.Owner), 1, access.Change))
	require.Equal(t, access.ErrProject, w.authorize(w.jwt(directustest.Outsider), 1, access.Change))
	w.server.Requests()
	w.server.Change(func(world *directustest.World) { world.Workspaces[0].DeletedAt = new(string) })
	w.now = w.now.Add(30*time.Second - 1)
	require.NoError(t, w.authorize(w.jwt(directustest.Owner), 1, access.Change))
	assert.Empty(t, w.server.Requests())
	w.now = w.now.Add(1)
	require.Equal(t, access.ErrProject, w.authorize(w.jwt(directustest.Owner), 1, access.Change))
	assert.Len(t, w.server.Requests(), 4)
}

func TestNothingIsRememberedWithoutATime(t *testing.T) {
	w := start(t, uncached)
	for range 2 {
		require.NoError(t, w.authorize("static-token-of-static-owner", 1, access.Change))
		assert.Len(t, w.server.Requests(), 6)
	}
}

// Strangers can make up ids and tokens without an end. What they push out of the
// memory is asked for again; it never grows.
func TestTheMemoryIsBounded(t *testing.T) {
	w := start(t, func(o *directus.Options) { o.CacheSize = 3 })
	for n := 1; n <= 4; n++ {
		require.NoError(t, w.authorize(w.jwt(directustest.Owner), n, access.Read))
	}
	w.server.Requests()
	for _, n := range []int{4, 3, 2} {
		require.NoError(t, w.authorize(w.jwt(directustest.Owner), n, access.Read))
	}
	assert.Empty(t, w.server.Requests(), "the last three")
	require.NoError(t, w.authorize(w.jwt(directustest.Owner), 1, access.Read))
	assert.Len(t, w.server.Requests(), 4, "the first was forgotten")
	require.NoError(t, w.authorize(w.jwt(directustest.Owner), 2, access.Read))
	assert.Empty(t, w.server.Requests(), "what was used last stays longest")
	for i := range 50 {
		require.Equal(t, access.ErrSession, w.authorize(fmt.Sprintf("made-up-%d", i), 1, access.Read))
	}
	assert.LessOrEqual(t, directus.Remembered(w.driver), 2*3)
}

// Many who want the same ask once; one of them going away takes nothing from the
// others.
func TestTheSameQuestionIsAskedOnce(t *testing.T) {
	w := start(t)
	arrived, release := make(chan struct{}, 10), make(chan struct{})
	w.server.Fail(func(*http.Request) (directustest.Answer, bool) {
		arrived <- struct{}{}
		<-release
		return directustest.Answer{}, false
	})
	token := w.jwt(directustest.Owner)
	ask := func(ctx context.Context) error {
		_, err := w.driver.Authorize(ctx, token, directustest.ProjectID(1), access.Change)
		return err
	}
	first, leave := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() { left <- ask(first) }()
	<-arrived // the first one is asking
	<-arrived
	var others sync.WaitGroup
	for range 20 {
		others.Go(func() { assert.NoError(t, ask(t.Context())) })
	}
	leave()
	err := <-left
	require.ErrorIs(t, err, access.ErrUnavailable, "who goes away is not let in")
	require.ErrorIs(t, err, context.Canceled)
	close(release)
	others.Wait()
	requests := w.server.Requests()
	slices.Sort(requests)
	assert.Len(t, requests, 4, "%v", requests)
}

func BenchmarkAuthorize(b *testing.B) {
	for name, row := range map[string]struct {
		token  func(*world) string
		change func(*directus.Options)
	}{
		"cold JWT":       {func(w *world) string { return w.jwt(directustest.Owner) }, uncached},
		"cold staff":     {func(w *world) string { return w.jwtWith(directustest.Staff, map[string]any{"admin_access": true}) }, uncached},
		"cold inherited": {func(w *world) string { return w.jwt(directustest.OrgOwner) }, uncached},
		"cold static":    {func(*world) string { return "static-token-of-static-owner" }, uncached},
		"warm JWT":       {func(w *world) string { return w.jwt(directustest.Owner) }, func(*directus.Options) {}},
		"warm static":    {func(*world) string { return "static-token-of-static-owner" }, func(*directus.Options) {}},
	} {
		b.Run(name, func(b *testing.B) {
			w := start(b, row.change)
			// As long as the real one takes for a read, at the median.
			w.server.Fail(func(r *http.Request) (directustest.Answer, bool) {
				timer := time.NewTimer(15 * time.Millisecond)
				defer timer.Stop()
				select {
				case <-timer.C:
				case <-r.Context().Done():
				}
				return directustest.Answer{}, false
			})
			token := row.token(w)
			require.NoError(b, w.authorizeB(b, token))
			took := make([]time.Duration, 0, b.N)
			for b.Loop() {
				began := time.Now()
				require.NoError(b, w.authorizeB(b, token))
				took = append(took, time.Since(began))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Nanoseconds())/1e6, "p50-ms")
			b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds())/1e6, "p99-ms")
		})
	}
}

func (w *world) authorizeB(b *testing.B, token string) error {
	b.Helper()
	_, err := w.driver.Authorize(b.Context(), token, directustest.ProjectID(1), access.Change)
	return err
}
