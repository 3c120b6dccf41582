package directus_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/services/api/directustest"
	"github.com/dembrane/webhooks/services/api/internal/access"
)

// A scope is exactly what Authorize allows to read, for everybody: the two go
// different ways through the same rules.
func TestAScopeIsWhatMayBeRead(t *testing.T) { scopeIsWhatMayBeRead(t, start(t)) }

func scopeIsWhatMayBeRead(t *testing.T, w *world) {
	t.Helper()
	for user := directustest.Owner; user <= directustest.Suspended; user++ {
		token := w.jwt(user)
		var want []string
		for project := directustest.Changemaker; project <= directustest.EmptyTier; project++ {
			if w.authorize(token, project, access.Read) == nil {
				want = append(want, directustest.ProjectID(project))
			}
		}
		scope, err := w.driver.Scope(t.Context(), token)
		if slices.Contains([]int{directustest.NotOnboarded, directustest.Staff, directustest.PolicyAdmin, directustest.Reader}, user) {
			require.Equal(t, access.ErrUser, err)
			continue
		}
		require.NoError(t, err)
		assert.False(t, scope.All)
		assert.ElementsMatch(t, want, scope.IDs(), "user %d", user)
	}
}

func TestAScopeOfStaffIsEverything(t *testing.T) {
	w := start(t)
	scope, err := w.driver.Scope(t.Context(), w.jwtWith(directustest.Staff, map[string]any{"admin_access": true}))
	require.NoError(t, err)
	assert.Equal(t, access.Scope{All: true}, scope)
	assert.Empty(t, w.server.Requests())
}

func TestNamesOfProjects(t *testing.T) {
	w := start(t)
	w.grow(1, 130) // more than one question names
	ids := []string{"no-id", directustest.ProjectID(directustest.Changemaker), strings.ToUpper(directustest.ProjectID(directustest.Changemaker))}
	want := map[string]string{}
	w.server.Change(func(world *directustest.World) {
		for i := range world.Projects {
			one := &world.Projects[i]
			if strings.HasPrefix(one.ID, "000000e2") {
				name := "Project " + one.ID
				one.Name = &name
				want[one.ID] = name
				ids = append(ids, one.ID)
			}
		}
		world.Projects[len(world.Projects)-1].Name = nil
		delete(want, world.Projects[len(world.Projects)-1].ID)
	})
	names, err := w.driver.Names(t.Context(), ids)
	require.NoError(t, err)
	for id, name := range want {
		assert.Equal(t, name, names[id])
	}
	assert.NotContains(t, names, "no-id")
	assert.NotContains(t, names, ids[len(ids)-1], "it has none")

	names, err = w.driver.Names(t.Context(), nil)
	require.NoError(t, err)
	assert.Empty(t, names)
}

func TestNamesOfProjectsWhileDirectusIsDown(t *testing.T) {
	w := start(t)
	w.server.Stop()
	_, err := w.driver.Names(t.Context(), []string{directustest.ProjectID(directustest.Changemaker)})
	require.ErrorIs(t, err, access.ErrUnavailable)
}

// grow gives the owner's workspace more projects, and the owner more workspaces.
func (w *world) grow(workspaces, projects int) {
	w.server.Change(func(world *directustest.World) {
		owner, open := "owner", "workspace"
		for i := range workspaces {
			id := fmt.Sprintf("000000b2-0000-4000-8000-%012x", i)
			space := world.Workspaces[0]
			space.ID = id
			world.Workspaces = append(world.Workspaces, space)
			world.WorkspaceMemberships = append(world.WorkspaceMemberships, directustest.WorkspaceMembership{
				ID: fmt.Sprintf("000000f2-0000-4000-8000-%012x", i), WorkspaceID: id, UserID: directustest.AppUserID(directustest.Owner), Role: &owner,
			})
			for j := range projects {
				world.Projects = append(world.Projects, directustest.Project{
					ID: fmt.Sprintf("000000e2-0000-4000-%04x-%012x", i, j), WorkspaceID: &id, Visibility: &open,
				})
			}
		}
	})
}

func TestALongScopeIsRead(t *testing.T) {
	w := start(t)
	before, err := w.driver.Scope(t.Context(), w.jwt(directustest.Owner))
	require.NoError(t, err)
	w.grow(120, 10) // more workspaces than one question names, more projects than a page
	scope, err := w.connect().Scope(t.Context(), w.jwt(directustest.Owner))
	require.NoError(t, err)
	assert.Len(t, scope.Projects, len(before.Projects)+1200)
	ids := scope.IDs()
	slices.Sort(ids)
	assert.Len(t, slices.Compact(ids), len(scope.Projects), "none is there twice")
}

func TestAScopeBeyondTheBoundIsRefusedNotCut(t *testing.T) {
	w := start(t)
	w.grow(1, 5100)
	_, err := w.driver.Scope(t.Context(), w.jwt(directustest.Owner))
	require.ErrorIs(t, err, access.ErrUnavailable)
	require.ErrorContains(t, err, "more than 5000")
}

func TestAScopeIsRememberedUnlessItIsLarge(t *testing.T) {
	w := start(t)
	for range 2 {
		_, err := w.driver.Scope(t.Context(), w.jwt(directustest.Owner))
		require.NoError(t, err)
	}
	assert.Len(t, w.server.Requests(), 6, "user, two memberships, legacy projects, workspaces, projects; then nothing")
	w.grow(1, 600)
	driver := w.connect()
	for range 2 {
		scope, err := driver.Scope(t.Context(), w.jwt(directustest.Owner))
		require.NoError(t, err)
		assert.Greater(t, len(scope.Projects), 600)
	}
	assert.Greater(t, len(w.server.Requests()), 20)
}
