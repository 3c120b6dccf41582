package directustest

import (
	"fmt"
	"maps"
	"slices"
)

// What [Product] has in it. Numbers are the last part of an id: user 3 of
// Directus is [UserID](3), and [AppUserID](3) in the product.
const (
	Secret = "a-secret-of-a-directus-that-signs-its-tokens"
	// ReaderToken belongs to a service user who may read what this project needs.
	// AdminToken belongs to an administrator.
	ReaderToken = "static-token-of-svc-reader"
	AdminToken  = "peer-admin-static-token"

	Owner         = 0x01
	Admin         = 0x02
	Member        = 0x03
	Custom        = 0x04
	OrgOwner      = 0x05
	OrgAdmin      = 0x06
	OrgMember     = 0x07
	OrgBilling    = 0x08
	SupportOver   = 0x09
	SupportLive   = 0x0a
	Outsider      = 0x0b
	NotOnboarded  = 0x0c
	StickyRemoved = 0x0d
	LegacyCreator = 0x0e
	Sharee        = 0x0f
	Removed       = 0x10
	Billing       = 0x11
	External      = 0x12
	Observer      = 0x13
	Viewer        = 0x14
	StaticOwner   = 0x15
	Wildcard      = 0x16
	Strange       = 0x17
	NoApp         = 0x18
	Staff         = 0x19
	PolicyAdmin   = 0x1a
	Reader        = 0x1b
	Suspended     = 0x1c
	root          = 0x1d

	// Workspaces, and the projects in them, by what is special about them. A
	// project has the number of its workspace.
	Changemaker   = 0x01
	Free          = 0x02
	Innovator     = 0x03
	Pioneer       = 0x04
	Guardian      = 0x05
	PrivateSpace  = 0x06
	NoTier        = 0x07
	Sticky        = 0x08
	Inherit       = 0x09
	DeletedSpace  = 0x0a
	NullSettings  = 0x0b
	Private       = 0x0c // in Changemaker
	Legacy        = 0x0d // in none
	Deleted       = 0x0e // in Changemaker
	InviteOnly    = 0x0f
	NoOrg         = 0x10
	NoAccountTier = 0x11
	Pilot         = 0x12
	Missing       = 0x13 // a workspace that is not there
	OddSettings   = 0x14
	OtherOrg      = 0x15
	EmptyTier     = 0x16
)

// UserID is a user of Directus.
func UserID(n int) string { return fmt.Sprintf("000000d1-0000-4000-8000-%012x", n) }

// AppUserID is the same one in the product.
func AppUserID(n int) string { return fmt.Sprintf("000000a1-0000-4000-8000-%012x", n) }

// WorkspaceID is a workspace.
func WorkspaceID(n int) string { return fmt.Sprintf("000000b1-0000-4000-8000-%012x", n) }

// ProjectID is a project.
func ProjectID(n int) string { return fmt.Sprintf("000000e1-0000-4000-8000-%012x", n) }

// Unknown is an id that nothing has.
const Unknown = "99999999-9999-4999-8999-999999999999"

const (
	org      = "00000001-0000-4000-8000-000000000001"
	otherOrg = "00000001-0000-4000-8000-000000000002"
	past     = "2026-01-02T03:04:05.000Z"
)

// Product is an organisation with a workspace of every kind, and a user for
// every rule.
func Product() World {
	w := World{
		Secret:   Secret,
		Readable: Readable(),
		ProjectMemberships: []ProjectMembership{
			{ID: id("f4", 1), ProjectID: ProjectID(Private), UserID: AppUserID(Member), Role: "viewer"},
			{ID: id("f4", 2), ProjectID: ProjectID(Private), UserID: AppUserID(Sharee), Role: "editor"},
			{ID: id("f4", 4), ProjectID: ProjectID(Private), UserID: AppUserID(Wildcard), Role: "editor"},
			{ID: id("f4", 3), ProjectID: ProjectID(Private), UserID: AppUserID(LegacyCreator), Role: "editor"},
		},
	}
	w.addUsers()
	w.addWorkspaces()
	w.addProjects()
	w.addMembers()
	return w
}

// Readable is what the service's user needs to read, and no more.
func Readable() map[string][]string {
	return map[string][]string{
		"app_user":             {"id", "directus_user_id"},
		"project":              {"id", "name", "language", "visibility", "workspace_id", "directus_user_id", "deleted_at"},
		"workspace":            {"id", "org_id", "visibility", "settings", "deleted_at", "billing_account_id"},
		"billing_account":      {"tier"},
		"workspace_membership": {"workspace_id", "user_id", "role", "custom_policies", "expires_at", "deleted_at"},
		"org_membership":       {"org_id", "user_id", "role", "deleted_at"},
		"project_membership":   {"project_id", "user_id"},
	}
}

// SetTier changes the tier of a workspace.
func (w *World) SetTier(workspace int, tier string) {
	w.BillingAccounts = slices.Clone(w.BillingAccounts)
	for i := range w.BillingAccounts {
		if w.BillingAccounts[i].ID == id("c1", workspace) {
			w.BillingAccounts[i].Tier = &tier
		}
	}
}

func (w *World) addUsers() {
	role := new("00000071-0000-4000-8000-000000000001")
	tokens := map[int]string{
		StaticOwner: "static-token-of-static-owner", NoApp: "static-token-of-noapp", Staff: "static-token-of-staff",
		PolicyAdmin: "static-token-of-policy-admin", Reader: ReaderToken, Suspended: "static-token-of-suspended",
		Outsider: "static-token-of-outsider",
	}
	emails := map[int]string{Owner: "owner@example.com", StaticOwner: "static-owner@example.com"}
	for n := Owner; n <= Suspended; n++ {
		user := User{ID: UserID(n), Email: emails[n], Role: role, Token: tokens[n], App: true}
		switch n {
		case NoApp:
			user.App = false
		case Staff, PolicyAdmin:
			user.Admin = true
		case Reader:
			user.App, user.Reader = false, true
		case Suspended:
			user.Suspended = true
		}
		if n == PolicyAdmin {
			user.Role = nil
		}
		w.Users = append(w.Users, user)
		if n == NotOnboarded || n == Staff || n == PolicyAdmin || n == Reader {
			continue
		}
		one := AppUser{ID: AppUserID(n), DirectusUserID: UserID(n)}
		if n == Owner {
			one.Email, one.DisplayName = "owner@example.com", "owner"
		}
		w.AppUsers = append(w.AppUsers, one)
	}
	w.Users = append(w.Users, User{
		ID: "e3510dd0-2cd4-4c5c-8324-f0aaf561d800", Email: "root@example.com", Token: AdminToken, Admin: true, App: true,
		Role: new("006400e0-f6f9-45a2-8448-0a8383c6a723"),
	})
}

func (w *World) addWorkspaces() {
	tiers := map[int]string{
		Free: "free", Innovator: "innovator", Pioneer: "pioneer", Guardian: "guardian", Pilot: "pilot", EmptyTier: "",
	}
	for _, n := range []int{
		Changemaker, Free, Innovator, Pioneer, Guardian, PrivateSpace, NoTier, Sticky, Inherit, DeletedSpace, NullSettings,
		InviteOnly, NoOrg, NoAccountTier, Pilot, OddSettings, OtherOrg, EmptyTier,
	} {
		tier, special := tiers[n]
		if !special {
			tier = "changemaker"
		}
		account := BillingAccount{ID: id("c1", n), Tier: &tier}
		space := Workspace{
			ID: WorkspaceID(n), OrgID: new(org), Visibility: new("open_to_organisation"), Settings: row{}, BillingAccountID: &account.ID,
		}
		switch n {
		case PrivateSpace:
			space.Visibility = new("private")
		case InviteOnly:
			space.Visibility = new("invite_only")
		case NoTier:
			space.BillingAccountID = nil
		case NoAccountTier:
			account.Tier = nil
		case Sticky:
			space.Settings = row{"sticky_removed": []row{{"user_id": AppUserID(StickyRemoved), "removed_at": "2026-01-02T03:04:05+00:00"}}}
		case Inherit:
			space.Settings = row{"inherit_organisation_members": true}
		case DeletedSpace:
			space.DeletedAt = new(past)
		case NullSettings:
			space.Settings = nil
		case OddSettings:
			space.Settings = row{"sticky_removed": "everybody"}
		case NoOrg:
			space.OrgID = nil
		case OtherOrg:
			space.OrgID = new(otherOrg)
		}
		w.BillingAccounts = append(w.BillingAccounts, account)
		w.Workspaces = append(w.Workspaces, space)
	}
}

func (w *World) addProjects() {
	names := map[int]string{Changemaker: "project changemaker", Deleted: "project deleted", Legacy: "project legacy", Private: "project private"}
	for n := Changemaker; n <= EmptyTier; n++ {
		name, named := names[n]
		if !named {
			name = fmt.Sprintf("project %d", n)
		}
		one := Project{
			ID: ProjectID(n), Name: &name, Language: new("nl"), Visibility: new("workspace"),
			WorkspaceID: new(WorkspaceID(n)), DirectusUserID: new(UserID(Owner)),
		}
		switch n {
		case Private:
			one.Visibility, one.WorkspaceID = new("private"), new(WorkspaceID(Changemaker))
		case Deleted:
			one.DeletedAt, one.WorkspaceID = new(past), new(WorkspaceID(Changemaker))
		case Legacy:
			one.WorkspaceID, one.DirectusUserID = nil, new(UserID(LegacyCreator))
		}
		w.Projects = append(w.Projects, one)
	}
}

// addMembers makes the owner a member everywhere, everybody else only where the
// name says so.
func (w *World) addMembers() {
	for _, space := range w.Workspaces {
		w.member(space.ID, Owner, "owner")
	}
	home := WorkspaceID(Changemaker)
	roles := map[int]string{
		Admin: "admin", Member: "member", Custom: "member", SupportOver: "admin", SupportLive: "admin", Sharee: "member",
		Removed: "admin", Billing: "billing", External: "external", Observer: "observer", Viewer: "viewer",
		StaticOwner: "owner", Wildcard: "external", Strange: "wizard",
	}
	for _, n := range slices.Sorted(maps.Keys(roles)) { // a real database's order is a fixed one, too
		one := w.member(home, n, roles[n])
		switch n {
		case Custom:
			one.CustomPolicies = []string{"workspace:webhooks"}
		case Wildcard:
			one.CustomPolicies = []string{"*"}
		case Strange:
			one.CustomPolicies = []string{"workspace:webhook", "project:read"}
		case SupportOver:
			one.Source, one.ExpiresAt = "staff_support", new("2020-01-01T00:00:00.000Z")
		case SupportLive:
			one.Source, one.ExpiresAt = "staff_support", new("2099-01-01T00:00:00.000Z")
		case Removed:
			one.DeletedAt = new(past)
		}
	}
	for _, n := range []int{Free, Guardian, Pioneer} {
		w.member(WorkspaceID(n), Member, "member")
		w.member(WorkspaceID(n), Custom, "member").CustomPolicies = []string{"workspace:webhooks"}
	}
	w.member(WorkspaceID(Inherit), OrgAdmin, "member") // what is direct wins
	inOrg := map[int]string{OrgOwner: "owner", OrgAdmin: "admin", OrgMember: "member", OrgBilling: "billing", StickyRemoved: "admin"}
	for _, n := range slices.Sorted(maps.Keys(inOrg)) {
		w.OrgMemberships = append(w.OrgMemberships, OrgMembership{ID: id("f3", n), OrgID: org, UserID: AppUserID(n), Role: inOrg[n]})
	}
	w.OrgMemberships = append(w.OrgMemberships, OrgMembership{
		ID: id("f3", Removed), OrgID: org, UserID: AppUserID(Removed), Role: "owner", DeletedAt: new(past),
	})
}

func (w *World) member(workspaceID string, user int, role string) *WorkspaceMembership {
	w.WorkspaceMemberships = append(w.WorkspaceMemberships, WorkspaceMembership{
		ID: id("f1", len(w.WorkspaceMemberships)+1), WorkspaceID: workspaceID, UserID: AppUserID(user), Role: &role,
		Source: "direct", CustomPolicies: []string{},
	})
	return &w.WorkspaceMemberships[len(w.WorkspaceMemberships)-1]
}

func id(kind string, n int) string { return fmt.Sprintf("000000%s-0000-4000-8000-%012x", kind, n) }
