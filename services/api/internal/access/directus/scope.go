package directus

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/dembrane/webhooks/services/api/internal/access"
)

const (
	// pageRows is the page that every Directus allows.
	pageRows = 100
	// maxIDs is how many ids one question names: some 2 KiB of its address.
	maxIDs = 50
	// maxRows bounds every list that is read whole. Who has more is told so, and
	// not shown a part of it for the whole.
	maxRows = 5000
	// maxRemembered is the largest scope that is worth its memory.
	maxRemembered = 500
)

// largeError keeps a scope that is too large from being remembered.
type largeError struct{ scope access.Scope }

func (*largeError) Error() string { return "too large to remember" }

// Scope lists the projects whose webhooks the token's owner may read. For staff
// that is every project, and none is listed.
func (d *Driver) Scope(ctx context.Context, token string) (access.Scope, error) {
	caller, err := d.identify(ctx, token)
	if err != nil {
		return access.Scope{}, err
	}
	if caller.staff {
		return access.Scope{All: true}, nil
	}
	scope, err := d.scopes.get(ctx, caller.userID, func(ctx context.Context) (access.Scope, error) {
		found, err := d.survey(ctx, caller.userID)
		if err == nil && len(found.Projects) > maxRemembered {
			return access.Scope{}, &largeError{found}
		}
		return found, err
	})
	if large, is := errors.AsType[*largeError](err); is {
		return large.scope, nil
	}
	return scope, err
}

// Names returns what projects are called, by id: of the first 5000 those that exist
// and have a name. It does not ask who wants to know.
func (d *Driver) Names(ctx context.Context, ids []string) (map[string]string, error) {
	given := map[string]string{} // by the id as Directus writes it
	for _, id := range ids[:min(len(ids), maxRows)] {
		if canonical, ok := canonicalID(id); ok {
			given[canonical] = id
		}
	}
	found, err := listed[project](ctx, d.client, projects(), "id", slices.Sorted(maps.Keys(given)))
	if err != nil {
		return nil, err
	}
	names := map[string]string{}
	for _, one := range found {
		id, asked := given[one.ID]
		if !asked {
			return nil, malformed("project")
		}
		if name := text(one.Name); name != "" {
			names[id] = name
		}
	}
	return names, nil
}

// survey goes the way of decide from its other end: from the user to the
// workspaces, and from there to the projects.
func (d *Driver) survey(ctx context.Context, directusID string) (access.Scope, error) {
	user, err := d.appUser(ctx, directusID)
	if err != nil {
		return access.Scope{}, err
	}
	var legacy []project
	var homes []share
	var legacyErr, homesErr error
	together(
		func() {
			legacy, legacyErr = whole[project](ctx, d.client, projects(),
				all(isNull("workspace_id"), equals("directus_user_id", directusID), isNull("deleted_at")))
		},
		func() { homes, homesErr = d.homes(ctx, user) },
	)
	if err := errors.Join(legacyErr, homesErr); err != nil {
		return access.Scope{}, err
	}
	var scope access.Scope
	for _, one := range legacy {
		if !sameID(text(one.CreatorID), directusID) || one.WorkspaceID != nil {
			return access.Scope{}, malformed("project")
		}
		scope.Projects = append(scope.Projects, one.public())
	}
	inside, err := d.projectsIn(ctx, homes)
	if err != nil {
		return access.Scope{}, err
	}
	scope.Projects = append(scope.Projects, inside...)
	return scope, nil
}

// share is a workspace whose webhooks a user may manage.
type share struct {
	workspaceID string
	// private: those of its private projects, too.
	private bool
}

// homes lists the workspaces in which the user holds policyWebhooks.
func (d *Driver) homes(ctx context.Context, user string) ([]share, error) {
	var memberships []membership
	var orgs []orgMembership
	var memberErr, orgErr error
	mine := all(equals("user_id", user), isNull("deleted_at"))
	together(
		func() { memberships, memberErr = whole[membership](ctx, d.client, workspaceMemberships(), mine) },
		func() { orgs, orgErr = whole[orgMembership](ctx, d.client, orgMemberships(), mine) },
	)
	if err := errors.Join(memberErr, orgErr); err != nil {
		return nil, err
	}
	direct, err := d.direct(memberships, user)
	if err != nil {
		return nil, err
	}
	roles := map[string]role{}
	for _, one := range orgs {
		if !sameID(one.UserID, user) {
			return nil, malformed("org_membership")
		}
		// Nobody inherits more than a member of the workspace has, who may do nothing
		// here, without one of these.
		if inOrg := role(text(one.Role)); inOrg.manages() {
			roles[strings.ToLower(one.OrgID)] = inOrg
		}
	}
	return d.reachable(ctx, user, direct, roles)
}

// direct maps every workspace that the user is a member of to the membership
// that is in force.
func (d *Driver) direct(memberships []membership, user string) (map[string]membership, error) {
	of := map[string]membership{}
	for _, one := range memberships {
		if !sameID(one.UserID, user) {
			return nil, malformed("workspace_membership")
		}
		id := strings.ToLower(one.WorkspaceID)
		if _, known := of[id]; !known && one.isLive(d.now()) {
			of[id] = one
		}
	}
	return of, nil
}

// reachable leaves out what is deleted, and adds what is inherited.
func (d *Driver) reachable(ctx context.Context, user string, direct map[string]membership, roles map[string]role) ([]share, error) {
	permitted := maps.Clone(direct)
	maps.DeleteFunc(permitted, func(_ string, one membership) bool { return !one.permits() })
	own, err := listed[workspace](ctx, d.client, workspaces(), "id", slices.Sorted(maps.Keys(permitted)))
	if err != nil {
		return nil, err
	}
	theirs, err := listed[workspace](ctx, d.client, workspaces(), "org_id", slices.Sorted(maps.Keys(roles)))
	if err != nil {
		return nil, err
	}
	var shares []share
	for _, home := range own {
		if one, known := permitted[home.ID]; known && home.DeletedAt == nil {
			shares = append(shares, share{workspaceID: home.ID, private: one.role().manages()})
		}
	}
	for _, home := range theirs {
		inherited := home.inherited(roles[strings.ToLower(text(home.OrgID))], user)
		if _, isMember := direct[home.ID]; !isMember && home.DeletedAt == nil && inherited.manages() {
			shares = append(shares, share{workspaceID: home.ID, private: true})
		}
	}
	return shares, nil
}

// projectsIn lists the projects of workspaces, the private ones where the user
// may see them.
func (d *Driver) projectsIn(ctx context.Context, homes []share) ([]access.Project, error) {
	private := map[string]bool{}
	for _, home := range homes {
		private[home.workspaceID] = home.private
	}
	found, err := listed[project](ctx, d.client, projects(), "workspace_id", slices.Sorted(maps.Keys(private)))
	if err != nil {
		return nil, err
	}
	var list []access.Project
	for _, one := range found {
		seesPrivate, known := private[strings.ToLower(text(one.WorkspaceID))]
		if !known || one.DeletedAt != nil {
			return nil, malformed("project")
		}
		if !one.isPrivate() || seesPrivate {
			list = append(list, one.public())
		}
	}
	return list, nil
}

// listed reads every row, not deleted, whose field is one of the values.
func listed[T any](ctx context.Context, c *client, from collection, field string, values []string) ([]T, error) {
	var list []T
	for some := range slices.Chunk(values, maxIDs) {
		part, err := whole[T](ctx, c, from, all(isIn(field, some), isNull("deleted_at")))
		if err != nil {
			return nil, err
		}
		if list = append(list, part...); len(list) > maxRows {
			return nil, tooMany(from)
		}
	}
	return list, nil
}

// whole reads every row that meets the condition, page by page.
func whole[T any](ctx context.Context, c *client, from collection, where filter) ([]T, error) {
	var list []T
	for {
		page, err := rows[T](ctx, c, from, where, pageRows, len(list))
		if err != nil {
			return nil, err
		}
		list = append(list, page...)
		if len(page) < pageRows {
			return list, nil
		}
		if len(list) > maxRows {
			return nil, tooMany(from)
		}
	}
}

func tooMany(from collection) error {
	return fmt.Errorf("%w: the caller has a part in more than %d rows of %s, which are not listed", access.ErrUnavailable, maxRows, from.name)
}
