package directus_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	. "github.com/dembrane/webhooks/services/api/directustest"
	"github.com/dembrane/webhooks/services/api/internal/access"
)

func tier(current string) error { return &access.TierError{Current: current} }

// Who × what × tier: a row for every rule, and one for each of its neighbours.
// Read stands for Withdraw, too.
func TestWhoMayDoWhat(t *testing.T) { whoMayDoWhat(t, start(t)) }

func whoMayDoWhat(t *testing.T, w *world) {
	t.Helper()
	const ( // shorter than the table is wide
		no, none, out = "permission", "project", "user"
	)
	refusal := map[string]error{no: access.ErrPermission, none: access.ErrProject, out: access.ErrUser}
	for _, row := range []struct {
		rule          string
		user, project int
		read, change  any
	}{
		{"a direct owner may", Owner, Changemaker, nil, nil},
		{"a direct admin may", Admin, Changemaker, nil, nil},
		{"a member may not", Member, Changemaker, no, no},
		{"a member with the custom policy may", Custom, Changemaker, nil, nil},
		{"billing may not", Billing, Changemaker, no, no},
		{"an external may not", External, Changemaker, no, no},
		{"an observer may not", Observer, Changemaker, no, no},
		{"a viewer is a member, and may not", Viewer, Changemaker, no, no},
		{"an external with every policy may", Wildcard, Changemaker, nil, nil},
		{"a role nobody knows, with almost the policy, may not", Strange, Changemaker, no, no},
		{"an outsider sees nothing", Outsider, Changemaker, none, none},
		{"who is not onboarded is told so", NotOnboarded, Changemaker, out, out},
		{"a membership that was deleted is none", Removed, Changemaker, none, none},
		{"support that has expired is none", SupportOver, Changemaker, none, none},
		{"support that has not may", SupportLive, Changemaker, nil, nil},

		{"an owner of the organisation is admin", OrgOwner, Changemaker, nil, nil},
		{"also of a private workspace", OrgOwner, PrivateSpace, nil, nil},
		{"also of one by invitation", OrgOwner, InviteOnly, nil, nil},
		{"also of a private project", OrgOwner, Private, nil, nil},
		{"not in another organisation", OrgOwner, OtherOrg, none, none},
		{"not where there is no organisation", OrgOwner, NoOrg, none, none},
		{"an admin of the organisation is admin where it is open", OrgAdmin, Changemaker, nil, nil},
		{"not of a private workspace", OrgAdmin, PrivateSpace, none, none},
		{"not of one by invitation", OrgAdmin, InviteOnly, none, none},
		{"with no settings at all, too", OrgAdmin, NullSettings, nil, nil},
		{"with settings that cannot be read, nobody inherits", OrgAdmin, OddSettings, none, none},
		{"and members stay", Owner, OddSettings, nil, nil},
		{"what is direct wins over what is inherited", OrgAdmin, Inherit, no, no},
		{"a member of the organisation is nobody", OrgMember, Changemaker, none, none},
		{"but a member where that is inherited", OrgMember, Inherit, no, no},
		{"billing of the organisation is nobody", OrgBilling, Changemaker, none, none},
		{"also where members are inherited", OrgBilling, Inherit, none, none},
		{"who was removed for good inherits nothing there", StickyRemoved, Sticky, none, none},
		{"and does elsewhere", StickyRemoved, Changemaker, nil, nil},
		{"others inherit there", OrgAdmin, Sticky, nil, nil},

		{"a private project keeps its owner", Owner, Private, nil, nil},
		{"and its admin", Admin, Private, nil, nil},
		{"and who inherits admin", OrgAdmin, Private, nil, nil},
		{"a member it is shared with sees it", Member, Private, no, no},
		{"an editor as well", Sharee, Private, no, no},
		{"a member it is not shared with does not", Viewer, Private, none, none},
		{"nor does the custom policy open it", Custom, Private, none, none},
		{"nor where it is shared: a share has no policies", Wildcard, Private, no, no},
		{"a share is nothing without the workspace", LegacyCreator, Private, none, none},

		{"the creator owns a project without a workspace", LegacyCreator, Legacy, nil, nil},
		{"nobody else does", Owner, Legacy, none, none},
		{"not even the organisation's owner", OrgOwner, Legacy, none, none},
		{"a project with a workspace is not its creator's", LegacyCreator, Changemaker, none, none},

		{"a deleted project is none", Owner, Deleted, none, none},
		{"nor one in a deleted workspace", Owner, DeletedSpace, none, none},
		{"for who would inherit, too", OrgOwner, DeletedSpace, none, none},
		{"nor one whose workspace is gone", Owner, Missing, none, none},
		{"who is not onboarded learns nothing about that", NotOnboarded, Deleted, out, out},

		{"free is too low to change", Owner, Free, nil, tier("free")},
		{"innovator as well", Owner, Innovator, nil, tier("innovator")},
		{"guardian is not", Owner, Guardian, nil, nil},
		{"pioneer is no tier that anybody knows", Owner, Pioneer, nil, tier("pioneer")},
		{"nor is pilot", Owner, Pilot, nil, tier("pilot")},
		{"nor is an empty one", Owner, EmptyTier, nil, tier("")},
		{"without an account there is no tier to be too low", Owner, NoTier, nil, nil},
		{"nor with one that has none", Owner, NoAccountTier, nil, nil},
		{"the tier is said before the permission", Member, Free, no, tier("free")},
		{"also with the custom policy", Custom, Free, nil, tier("free")},
		{"the permission where the tier is high enough", Member, Guardian, no, no},
		{"the custom policy there", Custom, Guardian, nil, nil},
		{"an unknown tier is said before the permission, too", Member, Pioneer, no, tier("pioneer")},
		{"who has no part learns no tier", Outsider, Free, none, none},
		{"inherited owners meet the tier as well", OrgOwner, Free, nil, tier("free")},
	} {
		t.Run(row.rule, func(t *testing.T) {
			for action, want := range map[access.Action]any{access.Read: row.read, access.Withdraw: row.read, access.Change: row.change} {
				wanted, named := want.(error)
				if short, is := want.(string); is {
					wanted, named = refusal[short], true
				}
				err := w.authorize(w.jwt(row.user), row.project, action)
				if !named {
					require.NoError(t, err)
					continue
				}
				require.Equal(t, wanted, err)
			}
		})
	}
}

// An action that nobody has thought of needs everything.
func TestAnUnknownActionNeedsTheTier(t *testing.T) {
	w := start(t)
	require.Equal(t, tier("free"), w.authorize(w.jwt(Owner), Free, access.Action(99)))
	require.Equal(t, tier("free"), w.authorize(w.jwt(Owner), Free, access.Action(0)))
}

func TestStaffMayDoEverythingThatExists(t *testing.T) { staffMayDoEverything(t, start(t)) }

func staffMayDoEverything(t *testing.T, w *world) {
	t.Helper()
	for name, token := range map[string]string{
		"by a JWT":               w.jwtWith(Staff, map[string]any{"admin_access": true}),
		"by a JWT with no role":  w.jwtWith(PolicyAdmin, map[string]any{"admin_access": true, "role": nil}),
		"by a static token":      "static-token-of-staff",
		"by a policy of the own": "static-token-of-policy-admin",
	} {
		for project, want := range map[int]error{
			Changemaker: nil, Free: nil, Pioneer: nil, Private: nil, Legacy: nil, OtherOrg: nil, DeletedSpace: nil, Missing: nil,
			Deleted: access.ErrProject, 0x99: access.ErrProject,
		} {
			for _, action := range []access.Action{access.Read, access.Withdraw, access.Change} {
				require.Equal(t, want, w.authorize(token, project, action), "%s, %d", name, project)
			}
		}
		grant, err := w.driver.Authorize(t.Context(), token, ProjectID(Private), access.Change)
		require.NoError(t, err)
		assert.Contains(t, grant.Caller, "staff ", name)
	}
	for name, claimed := range map[string]any{"text": "true", "a number": 1, "null": nil, "a list": []bool{true}, "an object": map[string]any{}} {
		token := w.jwtWith(Outsider, map[string]any{"admin_access": claimed})
		require.Equal(t, access.ErrProject, w.authorize(token, Changemaker, access.Read), name)
	}
}

func staticTokens(t *testing.T, w *world) {
	t.Helper()
	for token, want := range map[string]error{
		"static-token-of-static-owner": nil,
		"static-token-of-outsider":     access.ErrProject,
		"static-token-of-noapp":        access.ErrProject,
		"static-token-of-suspended":    access.ErrSession,
		"static-token-of-nobody":       access.ErrSession,
		ReaderToken:                    access.ErrUser, // our own token is nobody's in the product
	} {
		require.Equal(t, want, w.authorize(token, Changemaker, access.Change), token)
	}
}

func TestStaticTokens(t *testing.T) {
	w := start(t)
	staticTokens(t, w)
	// Somebody without access to Directus's app is told apart from nobody all the same.
	w.server.Change(func(world *World) {
		role := "admin"
		world.WorkspaceMemberships = append(world.WorkspaceMemberships, WorkspaceMembership{
			ID: "000000f1-0000-4000-8000-000000000099", WorkspaceID: WorkspaceID(Guardian), UserID: AppUserID(NoApp), Role: &role,
		})
	})
	require.NoError(t, w.authorize("static-token-of-noapp", Guardian, access.Change))
}

// Ids are compared whatever their case, and the answer has the one that events
// are published under.
func TestAnIDInUpperCaseIsTheSameProject(t *testing.T) {
	w := start(t)
	token := w.jwtWith(Owner, map[string]any{"id": "000000D1-0000-4000-8000-000000000001"})
	grant, err := w.driver.Authorize(t.Context(), token, "000000E1-0000-4000-8000-00000000000C", access.Change)
	require.NoError(t, err)
	assert.Equal(t, ProjectID(Private), grant.Project.ID)
	assert.Equal(t, "user "+UserID(Owner), grant.Caller)
}

// Support that expires between two questions is refused at the second, although
// nothing was deleted.
func TestSupportExpiresByTheClock(t *testing.T) {
	w := start(t, uncached)
	expires := w.now.Add(1000)
	at := expires.Format("2006-01-02T15:04:05.000000000Z")
	w.server.Change(func(world *World) {
		for i := range world.WorkspaceMemberships {
			if one := &world.WorkspaceMemberships[i]; one.UserID == AppUserID(SupportLive) {
				one.ExpiresAt = &at
			}
		}
	})
	require.NoError(t, w.authorize(w.jwt(SupportLive), Changemaker, access.Change))
	w.now = expires
	require.Equal(t, access.ErrProject, w.authorize(w.jwt(SupportLive), Changemaker, access.Change))
}

// A membership that has expired hides neither one that has not, nor what is
// inherited.
func TestAnExpiredMembershipStandsInNobodysWay(t *testing.T) {
	w := start(t)
	over := "2020-01-01T00:00:00.000Z"
	role := "observer"
	w.server.Change(func(world *World) {
		for n, user := range []int{OrgAdmin, Admin} {
			expired := WorkspaceMembership{
				ID: fmt.Sprintf("00000000-0000-4000-8000-%012x", n), WorkspaceID: WorkspaceID(Changemaker), UserID: AppUserID(user),
				Role: &role, ExpiresAt: &over,
			}
			world.WorkspaceMemberships = append([]WorkspaceMembership{expired}, world.WorkspaceMemberships...)
		}
	})
	require.NoError(t, w.authorize(w.jwt(OrgAdmin), Changemaker, access.Change))
	require.NoError(t, w.authorize(w.jwt(Admin), Changemaker, access.Change))
}
