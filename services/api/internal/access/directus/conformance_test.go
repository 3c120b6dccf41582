package directus_test

import (
	"testing"
	"time"

	"github.com/dembrane/webhooks/services/api/directustest"
	"github.com/dembrane/webhooks/services/api/internal/access"
	"github.com/dembrane/webhooks/services/api/internal/access/accesstest"
)

// The suite runs with both kinds of token: they come to the same.
func TestConformanceWithStaticTokens(t *testing.T) {
	accesstest.Run(t, func(t *testing.T) accesstest.Subject {
		t.Helper()
		w := start(t)
		return w.subject("static-token-of-static-owner", "static-token-of-staff")
	})
}

func TestConformanceWithJWTs(t *testing.T) {
	accesstest.Run(t, func(t *testing.T) accesstest.Subject {
		t.Helper()
		w := start(t)
		return w.subject(w.jwt(directustest.StaticOwner), w.jwtWith(directustest.Staff, map[string]any{"admin_access": true}))
	})
}

func (w *world) subject(manager, staff string) accesstest.Subject {
	return accesstest.Subject{
		Driver: w.driver, Manager: manager, All: staff,
		Project: access.Project{
			ID: directustest.ProjectID(directustest.Changemaker), WorkspaceID: directustest.WorkspaceID(directustest.Changemaker),
			Name: "project changemaker", Language: "nl",
		},
		Foreign: directustest.ProjectID(directustest.OtherOrg),
		Missing: directustest.Unknown,
		Revoke: func() {
			w.server.Change(func(world *directustest.World) { world.WorkspaceMemberships = nil })
			w.now = w.now.Add(30 * time.Second)
		},
	}
}
