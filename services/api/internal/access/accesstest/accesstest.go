// Package accesstest is what every identity driver must do, as one suite that
// runs against each of them. It is for tests only.
package accesstest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/services/api/internal/access"
)

// Driver is what the suite runs against.
type Driver interface {
	Authorize(ctx context.Context, token, projectID string, action access.Action) (access.Grant, error)
	Scope(ctx context.Context, token string) (access.Scope, error)
	Names(ctx context.Context, ids []string) (map[string]string, error)
}

// Subject is a driver and the callers that it knows.
type Subject struct {
	Driver Driver
	// Manager manages Project, and may do everything there; it has no part in
	// Foreign, which exists.
	Manager string
	Project access.Project
	Foreign string
	// All manages every project.
	All string
	// Missing is an id that no project has; empty where the driver cannot know.
	Missing string
	// Revoke takes Manager's rights away, and returns when that is in force.
	Revoke func()
}

// Run runs the suite. Every test gets a subject of its own.
func Run(t *testing.T, prepare func(*testing.T) Subject) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, Subject){
		"lets a manager do everything in their project":  letsManagerIn,
		"tells a project apart from nothing to nobody":   hidesProjects,
		"refuses every token that is not exactly one":    refusesTokens,
		"takes no id for another":                        refusesIDs,
		"lists what a manager manages, and nothing else": listsScope,
		"lets who manages everything in everywhere":      letsAllIn,
		"forgets whose rights were taken away":           forgets,
		"answers many at once":                           isConcurrent,
	} {
		t.Run(name, func(t *testing.T) { test(t, prepare(t)) })
	}
}

func actions() []access.Action { return []access.Action{access.Read, access.Withdraw, access.Change} }

func letsManagerIn(t *testing.T, s Subject) {
	t.Helper()
	for _, action := range actions() {
		grant, err := s.Driver.Authorize(t.Context(), s.Manager, s.Project.ID, action)
		require.NoError(t, err)
		assert.Equal(t, s.Project, grant.Project)
		assert.NotEmpty(t, grant.Caller)
		assert.NotContains(t, grant.Caller, s.Manager, "the caller is logged, the token is not")
	}
}

func hidesProjects(t *testing.T, s Subject) {
	t.Helper()
	for _, action := range actions() {
		_, err := s.Driver.Authorize(t.Context(), s.Manager, s.Foreign, action)
		require.ErrorIs(t, err, access.ErrProject)
		if s.Missing != "" {
			_, missing := s.Driver.Authorize(t.Context(), s.Manager, s.Missing, action)
			require.Equal(t, err, missing, "what exists and what does not are one answer")
		}
	}
}

func refusesTokens(t *testing.T, s Subject) {
	t.Helper()
	sum := sha256.Sum256([]byte(s.Manager))
	for name, token := range map[string]string{
		"none":             "",
		"a space":          " ",
		"unknown":          "no-such-token",
		"too long by one":  s.Manager + "x",
		"too short by one": s.Manager[:len(s.Manager)-1],
		"in another case":  strings.ToUpper(s.Manager),
		"padded":           " " + s.Manager,
		"with a NUL":       s.Manager + "\x00",
		"on two lines":     s.Manager + "\r\nX-Header: y",
		"two words":        s.Manager + " " + s.Manager,
		"its hash":         hex.EncodeToString(sum[:]),
		"huge":             strings.Repeat("x", 60<<10),
		"huge and dotted":  strings.Repeat("e.", 30<<10),
		"not UTF-8":        "\xff\xfe",
		"wildcard":         "*",
	} {
		for _, action := range actions() {
			grant, err := s.Driver.Authorize(t.Context(), token, s.Project.ID, action)
			require.ErrorIs(t, err, access.ErrSession, name)
			assert.Zero(t, grant, name)
		}
		scope, err := s.Driver.Scope(t.Context(), token)
		require.ErrorIs(t, err, access.ErrSession, name)
		assert.Zero(t, scope, name)
	}
}

func refusesIDs(t *testing.T, s Subject) {
	t.Helper()
	for _, id := range []string{
		"", "*", ".", "..", "a.b", ">", "../../users/me", "..%2f..%2fusers%2fme", "1' or 1=1", "%00", "\x00", "null",
		s.Project.ID + " ", s.Project.ID + "/", s.Project.ID + "?fields=*", s.Project.ID + "\n", s.Project.ID[1:],
		strings.Repeat("a", 65), strings.Repeat("0", 60<<10), "\xff",
	} {
		for _, token := range []string{s.Manager, s.All} {
			if token == s.All && s.Missing == "" && event.ValidID(id) {
				continue // a driver that cannot know what there is lets them have it
			}
			_, err := s.Driver.Authorize(t.Context(), token, id, access.Read)
			require.ErrorIs(t, err, access.ErrProject, "%q", id)
		}
	}
}

func listsScope(t *testing.T, s Subject) {
	t.Helper()
	scope, err := s.Driver.Scope(t.Context(), s.Manager)
	require.NoError(t, err)
	assert.False(t, scope.All)
	assert.Contains(t, scope.Projects, s.Project)
	assert.Equal(t, s.Project.Name, scope.Names()[s.Project.ID])
	assert.NotContains(t, scope.IDs(), s.Foreign)
	for _, id := range scope.IDs() {
		_, err := s.Driver.Authorize(t.Context(), s.Manager, id, access.Read)
		require.NoError(t, err, "what is listed can be read")
	}
}

func letsAllIn(t *testing.T, s Subject) {
	t.Helper()
	for _, id := range []string{s.Project.ID, s.Foreign} {
		for _, action := range actions() {
			grant, err := s.Driver.Authorize(t.Context(), s.All, id, action)
			require.NoError(t, err)
			assert.Equal(t, id, grant.Project.ID)
		}
	}
	if s.Missing != "" {
		_, err := s.Driver.Authorize(t.Context(), s.All, s.Missing, access.Read)
		require.ErrorIs(t, err, access.ErrProject)
	}
	scope, err := s.Driver.Scope(t.Context(), s.All)
	require.NoError(t, err)
	assert.Equal(t, access.Scope{All: true}, scope)
	names, err := s.Driver.Names(t.Context(), []string{s.Project.ID})
	require.NoError(t, err)
	assert.Equal(t, map[string]string{s.Project.ID: s.Project.Name}, names)
}

func forgets(t *testing.T, s Subject) {
	t.Helper()
	_, err := s.Driver.Authorize(t.Context(), s.Manager, s.Project.ID, access.Change)
	require.NoError(t, err)
	_, err = s.Driver.Scope(t.Context(), s.Manager)
	require.NoError(t, err)
	s.Revoke()
	_, err = s.Driver.Authorize(t.Context(), s.Manager, s.Project.ID, access.Change)
	require.Error(t, err)
	require.NotErrorIs(t, err, access.ErrUnavailable)
	scope, err := s.Driver.Scope(t.Context(), s.Manager)
	if err == nil {
		assert.NotContains(t, scope.IDs(), s.Project.ID)
	}
}

func isConcurrent(t *testing.T, s Subject) {
	t.Helper()
	ask := func(i int) error {
		_, allowed := s.Driver.Authorize(t.Context(), s.Manager, s.Project.ID, access.Change)
		_, foreign := s.Driver.Authorize(t.Context(), s.Manager, s.Foreign, access.Change)
		_, unknown := s.Driver.Authorize(t.Context(), strings.Repeat("x", i), s.Project.ID, access.Change)
		_, scope := s.Driver.Scope(t.Context(), s.Manager)
		if allowed != nil || scope != nil || !errors.Is(foreign, access.ErrProject) || !errors.Is(unknown, access.ErrSession) {
			return errors.Join(errors.New("one of the answers is wrong"), allowed, foreign, unknown, scope)
		}
		return nil
	}
	var running errgroup.Group
	for i := range 32 {
		running.Go(func() error { return ask(i) })
	}
	require.NoError(t, running.Wait())
}
