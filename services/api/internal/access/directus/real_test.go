package directus_test

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/services/api/directustest"
	"github.com/dembrane/webhooks/services/api/internal/access"
	"github.com/dembrane/webhooks/services/api/internal/access/accesstest"
)

// With DIRECTUS_URL set, what is promised of the stand-in is asked of a real
// Directus, which nobody else may be using: its collections of these names, and
// the users, roles and policies of these ids, are made anew. It has to run with
// the SECRET of package directustest, and DIRECTUS_ADMIN_TOKEN is its
// administrator's static token. docs/access.md says how to start one.
func TestWithARealDirectus(t *testing.T) {
	address := os.Getenv("DIRECTUS_URL")
	if address == "" {
		t.Skip("DIRECTUS_URL is not set")
	}
	base, err := url.Parse(address)
	require.NoError(t, err)
	r := &realDirectus{base: base, token: os.Getenv("DIRECTUS_ADMIN_TOKEN"), client: &http.Client{Timeout: time.Minute}}
	t.Cleanup(r.client.CloseIdleConnections)
	world := func(t *testing.T) *world {
		t.Helper()
		w := &world{t: t, now: time.Now().UTC()}
		w.driver = connectTo(w, base)
		return w
	}
	r.load(t, directustest.Product())
	t.Run("it can be used", func(t *testing.T) { require.NoError(t, world(t).driver.Check(t.Context())) })
	t.Run("who may do what", func(t *testing.T) { whoMayDoWhat(t, world(t)) })
	t.Run("staff", func(t *testing.T) { staffMayDoEverything(t, world(t)) })
	t.Run("static tokens", func(t *testing.T) { staticTokens(t, world(t)) })
	t.Run("who has logged in", func(t *testing.T) {
		w := world(t)
		owner, staff := r.login(t, "owner@example.com"), r.login(t, "staff@example.com")
		require.NoError(t, w.authorize(owner, directustest.Changemaker, access.Change))
		require.Equal(t, access.ErrProject, w.authorize(owner, directustest.Legacy, access.Read))
		require.NoError(t, w.authorize(staff, directustest.Legacy, access.Change))
		w.now = w.now.Add(24 * time.Hour)
		require.Equal(t, access.ErrSession, w.authorize(owner, directustest.Changemaker, access.Read), "it has expired")
	})
	t.Run("scopes", func(t *testing.T) { scopeIsWhatMayBeRead(t, world(t)) })
	t.Run("names", func(t *testing.T) {
		id := directustest.ProjectID(directustest.Legacy)
		names, err := world(t).driver.Names(t.Context(), []string{id, directustest.Unknown, "no-id"})
		require.NoError(t, err)
		assert.Equal(t, map[string]string{id: "project legacy"}, names)
	})
	t.Run("what a decision costs", func(t *testing.T) {
		w := world(t)
		w.driver = connectTo(w, base, uncached)
		for who, token := range map[string]string{
			"owner, JWT": w.jwt(directustest.Owner), "owner, static token": "static-token-of-static-owner",
			"inherits, JWT": w.jwt(directustest.OrgOwner), "staff, JWT": w.jwtWith(directustest.Staff, map[string]any{"admin_access": true}),
		} {
			var took []time.Duration
			for range 50 {
				began := time.Now()
				require.NoError(t, w.authorize(token, directustest.Changemaker, access.Change))
				took = append(took, time.Since(began))
			}
			slices.Sort(took)
			t.Logf("%s: p50 %s, p90 %s", who, took[25].Round(time.Millisecond/10), took[45].Round(time.Millisecond/10))
		}
	})
	for name, static := range map[string]bool{"static tokens": true, "JWTs": false} {
		t.Run("conformance with "+name, func(t *testing.T) {
			accesstest.Run(t, func(t *testing.T) accesstest.Subject {
				t.Helper()
				r.load(t, directustest.Product())
				w := world(t)
				subject := w.subject("static-token-of-static-owner", "static-token-of-staff")
				if !static {
					subject = w.subject(w.jwt(directustest.StaticOwner), w.jwtWith(directustest.Staff, map[string]any{"admin_access": true}))
				}
				subject.Revoke = func() {
					r.withdraw(t, directustest.Product().WorkspaceMemberships)
					w.now = w.now.Add(30 * time.Second)
				}
				return subject
			})
		})
	}
}

// loggingIn are the users with a password, and their addresses.
func loggingIn() map[string]string {
	return map[string]string{
		directustest.UserID(directustest.Owner): "owner@example.com",
		directustest.UserID(directustest.Staff): "staff@example.com",
	}
}

const realPassword = "a password of users of a test"

// login is what the dashboard's users do: it returns the token of their session.
func (r *realDirectus) login(t *testing.T, email string) string {
	t.Helper()
	body, err := json.Marshal(map[string]string{"email": email, "password": realPassword})
	require.NoError(t, err)
	status, answer := r.send(t, http.MethodPost, "auth/login", body)
	require.Equal(t, http.StatusOK, status, answer)
	var session struct {
		Data struct {
			Token string `json:"access_token"`
		}
	}
	require.NoError(t, json.Unmarshal([]byte(answer), &session))
	return session.Data.Token
}

// realDirectus is one that runs elsewhere, seen by its administrator.
type realDirectus struct {
	base   *url.URL
	token  string
	client *http.Client
}

const (
	realRole     = "00000071-0000-4000-8000-000000000001"
	appPolicy    = "00000072-0000-4000-8000-000000000001"
	adminPolicy  = "00000072-0000-4000-8000-000000000002"
	readerPolicy = "00000072-0000-4000-8000-000000000003"
)

// load gives it a world, and takes away what is left of the last one.
func (r *realDirectus) load(t *testing.T, world directustest.World) {
	t.Helper()
	tables := realTables(world)
	for _, table := range slices.Backward(tables) {
		r.drop(t, "collections/"+table.name)
	}
	for _, user := range world.Users {
		if user.Token != directustest.AdminToken {
			r.drop(t, "users/"+user.ID)
		}
	}
	r.drop(t, "roles/"+realRole)
	for _, policy := range []string{appPolicy, adminPolicy, readerPolicy} {
		r.drop(t, "policies/"+policy)
	}
	for _, table := range tables {
		r.collection(t, table.name, table.fields)
	}
	r.make(t, "relations", map[string]any{"collection": "workspace", "field": "billing_account_id", "related_collection": "billing_account"})
	for _, table := range tables {
		r.make(t, "items/"+table.name, table.items)
	}
	r.people(t, world)
}

// realTable is a collection: the fields that each item has, and the items.
type realTable struct {
	name   string
	fields map[string]any
	items  any
}

// realTables are in an order in which what is referred to comes first.
func realTables(world directustest.World) []realTable {
	return []realTable{
		{"billing_account", directustest.Fields(directustest.BillingAccount{}), world.BillingAccounts},
		{"app_user", directustest.Fields(directustest.AppUser{}), world.AppUsers},
		{"project", directustest.Fields(directustest.Project{}), world.Projects},
		{"project_membership", directustest.Fields(directustest.ProjectMembership{}), world.ProjectMemberships},
		{"workspace", directustest.Fields(directustest.Workspace{}), world.Workspaces},
		{"workspace_membership", directustest.Fields(directustest.WorkspaceMembership{}), world.WorkspaceMemberships},
		{"org_membership", directustest.Fields(directustest.OrgMembership{}), world.OrgMemberships},
	}
}

// collection makes one with these fields.
func (r *realDirectus) collection(t *testing.T, name string, item map[string]any) {
	t.Helper()
	fields := []map[string]any{}
	for _, field := range slices.Sorted(maps.Keys(item)) {
		fields = append(fields, realField(field))
	}
	r.make(t, "collections", map[string]any{"collection": name, "schema": map[string]any{}, "meta": map[string]any{}, "fields": fields})
}

func realField(name string) map[string]any {
	field := map[string]any{"field": name, "type": "string", "schema": map[string]any{}, "meta": map[string]any{}}
	switch {
	case name == "id":
		field["type"], field["schema"] = "uuid", map[string]any{"is_primary_key": true}
	case strings.HasSuffix(name, "_id"):
		field["type"] = "uuid"
	case strings.HasSuffix(name, "_at"):
		field["type"] = "timestamp"
	case name == "settings", name == "custom_policies":
		field["type"], field["meta"] = "json", map[string]any{"special": []string{"cast-json"}}
	}
	return field
}

// people makes the users, and what they may do.
func (r *realDirectus) people(t *testing.T, world directustest.World) {
	t.Helper()
	r.make(t, "roles", map[string]any{"id": realRole, "name": "users"})
	r.make(t, "policies", []map[string]any{
		{"id": appPolicy, "name": "app", "app_access": true, "admin_access": false},
		{"id": adminPolicy, "name": "admin", "app_access": true, "admin_access": true},
		{"id": readerPolicy, "name": "reader", "app_access": false, "admin_access": false},
	})
	permissions := []map[string]any{}
	for collection, fields := range world.Readable {
		permissions = append(permissions, map[string]any{
			"policy": readerPolicy, "collection": collection, "action": "read", "fields": fields, "permissions": map[string]any{},
		})
	}
	r.make(t, "permissions", permissions)
	for _, user := range world.Users {
		if user.Token == directustest.AdminToken {
			continue // who makes all this
		}
		one := map[string]any{"id": user.ID, "role": user.Role, "status": "active", "policies": []any{}}
		if user.Email != "" {
			one["email"] = user.Email
		}
		if user.Token != "" {
			one["token"] = user.Token
		}
		if email, logsIn := loggingIn()[user.ID]; logsIn {
			one["email"], one["password"] = email, realPassword
		}
		if user.Suspended {
			one["status"] = "suspended"
		}
		for policy, has := range map[string]bool{adminPolicy: user.Admin, readerPolicy: user.Reader, appPolicy: user.App && !user.Admin} {
			if has {
				one["policies"] = []any{map[string]any{"policy": policy}}
			}
		}
		r.make(t, "users", one)
	}
}

func (r *realDirectus) make(t *testing.T, path string, body any) {
	t.Helper()
	encoded, err := json.Marshal(body)
	require.NoError(t, err)
	status, answer := r.send(t, http.MethodPost, path, encoded)
	require.Less(t, status, 300, "%s: %s", path, answer)
}

// withdraw deletes memberships.
func (r *realDirectus) withdraw(t *testing.T, memberships []directustest.WorkspaceMembership) {
	t.Helper()
	var ids []string
	for _, one := range memberships {
		ids = append(ids, one.ID)
	}
	encoded, err := json.Marshal(ids)
	require.NoError(t, err)
	status, answer := r.send(t, http.MethodDelete, "items/workspace_membership", encoded)
	require.Equal(t, http.StatusNoContent, status, answer)
}

func (r *realDirectus) drop(t *testing.T, path string) {
	t.Helper()
	status, answer := r.send(t, http.MethodDelete, path, nil)
	// What is not there is forbidden.
	require.Contains(t, []int{http.StatusNoContent, http.StatusForbidden, http.StatusNotFound}, status, "%s: %s", path, answer)
}

func (r *realDirectus) send(t *testing.T, method, path string, body []byte) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, r.base.JoinPath(path).String(), bytes.NewReader(body))
	require.NoError(t, err)
	request.Header.Set("Authorization", "Bearer "+r.token)
	request.Header.Set("Content-Type", "application/json")
	response, err := r.client.Do(request)
	require.NoError(t, err)
	defer func() { require.NoError(t, response.Body.Close()) }()
	answer, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, string(answer)
}
