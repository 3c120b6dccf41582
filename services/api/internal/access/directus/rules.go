package directus

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/dembrane/webhooks/services/api/internal/access"
)

// policyWebhooks is what it takes to manage the webhooks of a workspace;
// policyAll stands for every policy.
const (
	policyWebhooks = "workspace:webhooks"
	policyAll      = "*"
)

// role is somebody's part in a workspace or in an organisation. A role that is
// not among these has no policies of its own.
type role string

const (
	noRole     role = ""
	roleOwner  role = "owner"
	roleAdmin  role = "admin"
	roleMember role = "member"
	// roleViewer is no longer given; where it is stored it means member.
	roleViewer role = "viewer"
)

// current is the role that a stored one stands for today.
func (r role) current() role {
	if r == roleViewer {
		return roleMember
	}
	return r
}

// manages reports whether the role brings policyWebhooks with it, and keeps its
// rights in private projects.
func (r role) manages() bool { return r == roleOwner || r == roleAdmin }

// openToOrganisation is the visibility of a workspace whose organisation's
// admins have a part in it without being members.
const openToOrganisation = "open_to_organisation"

// tiers lists the tiers that have webhooks. Below them are free and innovator;
// a tier that nobody knows has none.
func tiers() []string { return []string{"changemaker", "guardian"} }

// project is a row of the collection of that name.
type project struct {
	ID          string  `json:"id"`
	Name        *string `json:"name"`
	Language    *string `json:"language"`
	Visibility  *string `json:"visibility"`
	WorkspaceID *string `json:"workspace_id"`
	CreatorID   *string `json:"directus_user_id"`
	DeletedAt   *string `json:"deleted_at"`
}

// isPrivate fails closed: only what is known to be open is.
func (p project) isPrivate() bool {
	visibility := text(p.Visibility)
	return visibility != "" && visibility != "workspace"
}

func (p project) public() access.Project {
	return access.Project{
		ID: p.ID, WorkspaceID: text(p.WorkspaceID), Name: text(p.Name), Language: text(p.Language),
	}
}

// membership is a row of workspace_membership.
type membership struct {
	WorkspaceID    string     `json:"workspace_id"`
	UserID         string     `json:"user_id"`
	Role           *string    `json:"role"`
	CustomPolicies any        `json:"custom_policies"`
	ExpiresAt      *time.Time `json:"expires_at"`
}

func (m membership) role() role { return role(text(m.Role)).current() }

func (m membership) isLive(now time.Time) bool { return m.ExpiresAt == nil || now.Before(*m.ExpiresAt) }

// permits reports whether the member may manage webhooks.
func (m membership) permits() bool {
	if m.role().manages() {
		return true
	}
	extra, _ := m.CustomPolicies.([]any) // anything else grants nothing
	return slices.Contains(extra, any(policyWebhooks)) || slices.Contains(extra, any(policyAll))
}

// live is the first membership that is in force.
func live(rows []membership, now time.Time) (membership, bool) {
	i := slices.IndexFunc(rows, func(m membership) bool { return m.isLive(now) })
	if i < 0 {
		return membership{}, false
	}
	return rows[i], true
}

// workspace is a row of the collection of that name, with its tier.
type workspace struct {
	ID         string   `json:"id"`
	OrgID      *string  `json:"org_id"`
	Visibility *string  `json:"visibility"`
	Settings   settings `json:"settings"`
	DeletedAt  *string  `json:"deleted_at"`
	Billing    *struct {
		Tier *string `json:"tier"`
	} `json:"billing_account_id"`
}

// settings is what a workspace's settings say about inheriting.
type settings struct {
	inheritsMembers bool
	removed         []string
	// unreadable settings may say anything, so nobody inherits.
	unreadable bool
}

// UnmarshalJSON implements [json.Unmarshaler]. It never fails: members of the
// workspace do not need its settings.
func (s *settings) UnmarshalJSON(data []byte) error {
	var stored struct {
		InheritMembers any `json:"inherit_organisation_members"`
		StickyRemoved  []struct {
			UserID string `json:"user_id"`
		} `json:"sticky_removed"`
	}
	s.unreadable = json.Unmarshal(data, &stored) != nil
	s.inheritsMembers = stored.InheritMembers == true
	for _, removed := range stored.StickyRemoved {
		s.removed = append(s.removed, removed.UserID)
	}
	return nil
}

// tier is nil for a workspace that has none, which is no obstacle.
func (w workspace) tier() *string {
	if w.Billing == nil {
		return nil
	}
	return w.Billing.Tier
}

// hasRemoved reports whether the user was taken out for good: no role in the
// organisation brings them back.
func (w workspace) hasRemoved(userID string) bool {
	return slices.ContainsFunc(w.Settings.removed, func(removed string) bool { return sameID(removed, userID) })
}

// inherited is the part in the workspace that a role in its organisation brings
// to somebody who is no member of it.
func (w workspace) inherited(inOrg role, userID string) role {
	switch {
	case w.Settings.unreadable, w.hasRemoved(userID):
		return noRole
	case inOrg == roleOwner:
		return roleAdmin
	case text(w.Visibility) != openToOrganisation:
		return noRole
	case inOrg == roleAdmin:
		return roleAdmin
	case inOrg == roleMember && w.Settings.inheritsMembers:
		return roleMember
	default:
		return noRole
	}
}

// standing is somebody's part in a project, whatever they want to do.
type standing struct {
	project access.Project
	// permitted: they hold policyWebhooks.
	permitted bool
	// tier is nil where there is none: everything is allowed then.
	tier *string
}

// verdict says whether an action is allowed. Only a change needs the tier: who
// lost it can still see, disable and delete what there is.
func (s standing) verdict(action access.Action) error {
	if action != access.Read && action != access.Withdraw && s.tier != nil && !slices.Contains(tiers(), *s.tier) {
		return &access.TierError{Current: *s.tier}
	}
	if !s.permitted {
		return access.ErrPermission
	}
	return nil
}

func text(optional *string) string {
	if optional == nil {
		return ""
	}
	return *optional
}
