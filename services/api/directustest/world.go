// Package directustest is a stand-in for a Directus with dembrane's collections:
// it answers over a real socket as Directus 11.13.4 was seen to, with the same
// statuses, envelopes and codes, also when it is misconfigured, limited,
// overloaded or without its database. The exchanges that were captured from the
// real one are in testdata, and are played back against this one. It is for
// tests only.
package directustest

import (
	"encoding/json"
	"fmt"
)

// World is everything that a Directus holds, as values. A copy can be changed
// without changing the original only by replacing its slices.
type World struct {
	// Secret signs JWTs.
	Secret string
	// EndedSessions are those that were logged out of.
	EndedSessions []string

	Users                []User
	AppUsers             []AppUser
	Projects             []Project
	ProjectMemberships   []ProjectMembership
	Workspaces           []Workspace
	WorkspaceMemberships []WorkspaceMembership
	OrgMemberships       []OrgMembership
	BillingAccounts      []BillingAccount

	// Readable is what readers may read: the fields of each collection. Admins may
	// read everything, and nobody else anything.
	Readable map[string][]string
}

// User is a user of Directus itself.
type User struct {
	ID    string
	Email string
	Role  *string
	// Token is the static token; empty for none.
	Token string
	// Admin, App and Reader are what the user's policies say.
	Admin, App, Reader bool
	Suspended          bool
}

// AppUser is a user of the product.
type AppUser struct {
	ID             string `json:"id"`
	DirectusUserID string `json:"directus_user_id"`
	Email          string `json:"email"`
	DisplayName    string `json:"display_name"`
}

// Project is a project.
type Project struct {
	ID             string  `json:"id"`
	Name           *string `json:"name"`
	Language       *string `json:"language"`
	Visibility     *string `json:"visibility"`
	WorkspaceID    *string `json:"workspace_id"`
	DirectusUserID *string `json:"directus_user_id"`
	DeletedAt      *string `json:"deleted_at"`
}

// ProjectMembership is a share of a private project.
type ProjectMembership struct {
	ID        string `json:"id"`
	ProjectID string `json:"project_id"`
	UserID    string `json:"user_id"`
	Role      string `json:"role"`
}

// Workspace is a workspace.
type Workspace struct {
	ID               string  `json:"id"`
	OrgID            *string `json:"org_id"`
	Visibility       *string `json:"visibility"`
	Settings         any     `json:"settings"`
	DeletedAt        *string `json:"deleted_at"`
	BillingAccountID *string `json:"billing_account_id"`
}

// WorkspaceMembership is a user's direct part in a workspace.
type WorkspaceMembership struct {
	ID             string  `json:"id"`
	WorkspaceID    string  `json:"workspace_id"`
	UserID         string  `json:"user_id"`
	Role           *string `json:"role"`
	Source         string  `json:"source"`
	CustomPolicies any     `json:"custom_policies"`
	ExpiresAt      *string `json:"expires_at"`
	DeletedAt      *string `json:"deleted_at"`
}

// OrgMembership is a user's part in an organisation.
type OrgMembership struct {
	ID        string  `json:"id"`
	OrgID     string  `json:"org_id"`
	UserID    string  `json:"user_id"`
	Role      string  `json:"role"`
	DeletedAt *string `json:"deleted_at"`
}

// BillingAccount is who pays for workspaces.
type BillingAccount struct {
	ID   string  `json:"id"`
	Tier *string `json:"tier"`
}

// row is an item as the wire has it.
type row map[string]any

// tables are the items of every collection.
type tables map[string][]row

func (w World) tables() tables {
	return tables{
		"app_user":             wire(w.AppUsers),
		"project":              wire(w.Projects),
		"project_membership":   wire(w.ProjectMemberships),
		"workspace":            wire(w.Workspaces),
		"workspace_membership": wire(w.WorkspaceMemberships),
		"org_membership":       wire(w.OrgMemberships),
		"billing_account":      wire(w.BillingAccounts),
	}
}

// columns are the fields of every collection, in one item each.
func columns() tables {
	return World{
		AppUsers: make([]AppUser, 1), Projects: make([]Project, 1), ProjectMemberships: make([]ProjectMembership, 1),
		Workspaces: make([]Workspace, 1), WorkspaceMemberships: make([]WorkspaceMembership, 1),
		OrgMemberships: make([]OrgMembership, 1), BillingAccounts: make([]BillingAccount, 1),
	}.tables()
}

// Fields is an item as the wire has it.
func Fields[T any](item T) map[string]any { return wire([]T{item})[0] }

func wire[T any](items []T) []row {
	list := make([]row, len(items))
	for i, item := range items {
		encoded, err := json.Marshal(item)
		if err == nil {
			err = json.Unmarshal(encoded, &list[i])
		}
		if err != nil { // the types above can always be encoded
			panic(fmt.Errorf("encode item: %w", err))
		}
	}
	return list
}

// isUUID reports whether a column of that type takes the value.
func isUUID(value string) bool {
	var a, b, c, d, e uint64
	if len(value) != 36 {
		return false
	}
	n, err := fmt.Sscanf(value, "%08x-%04x-%04x-%04x-%012x", &a, &b, &c, &d, &e)
	return err == nil && n == 5
}
