// Package directus answers who may manage which project from a Directus, the
// store of dembrane's users, workspaces and projects. The rules are those of its
// other services; docs/access.md has them in words.
//
// A JWT is verified here, with the secret of Directus. Every other token is a
// static one, and Directus is asked whose it is. What the owner may do is then
// read with a token of this service's own:
//
//	token ─▶ session ─▶ app_user ┐
//	                    project  ┴▶ workspace_membership ┐
//	                                workspace            ┴▶ org_membership or project_membership, where they matter
//
// Reads that stand above each other go at the same time. What was decided is
// remembered for a moment, refusals as well. Whatever Directus answers that is
// not an answer to the question (no answer, 5xx, 429, a refused token of ours, a
// field that is missing) ends in [access.ErrUnavailable] with a text that tells
// an operator what to do.
package directus

import (
	"context"
	"crypto/x509"
	"errors"
	"net/http"
	"net/url"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/dembrane/webhooks/pkg/secret"
	"github.com/dembrane/webhooks/services/api/internal/access"
)

// maxScopes bounds how many scopes are remembered: each may have hundreds of
// projects.
const maxScopes = 256

// Options is how a driver is set up. Everything is needed that does not say
// otherwise.
type Options struct {
	// BaseURL is where Directus is.
	BaseURL *url.URL
	// Token is a static token of a Directus user who may read what docs/access.md
	// lists. No admin is needed.
	Token secret.Text
	// Secret is the SECRET of Directus, which signs its JWTs.
	Secret secret.Text
	// Timeout bounds one decision, however many reads it takes.
	Timeout time.Duration
	// CacheTTL is how long an answer is remembered; 0 for not at all. CacheSize is
	// how many of a kind.
	CacheTTL  time.Duration
	CacheSize int
	// Roots are the authorities that certificates are checked against; nil for the
	// system's.
	Roots *x509.CertPool
	// Now is the clock; nil for the system's.
	Now func() time.Time
	Log *zap.Logger
}

// Driver authorizes callers by what Directus says. It is safe for concurrent
// use.
type Driver struct {
	client *client
	secret []byte
	now    func() time.Time
	log    *zap.Logger

	sessions  *memo[session]
	standings *memo[standing]
	scopes    *memo[access.Scope]
}

// New makes a driver. It asks nothing: Directus need not be up.
func New(o Options) (*Driver, error) {
	switch {
	case o.BaseURL == nil || o.Log == nil:
		return nil, errors.New("set up directus: its address or the log is missing")
	case o.Token.IsEmpty() || o.Secret.IsEmpty():
		return nil, errors.New("set up directus: the token or the secret is missing")
	case o.Timeout <= 0 || o.CacheTTL < 0 || o.CacheSize < 1:
		return nil, errors.New("set up directus: the timeout and the size of the cache must be positive")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Driver{
		client:    newClient(o.BaseURL, o.Token, o.Roots),
		secret:    []byte(o.Secret.Reveal()),
		now:       o.Now,
		log:       o.Log,
		sessions:  newMemo[session](o.CacheSize, o),
		standings: newMemo[standing](o.CacheSize, o),
		scopes:    newMemo[access.Scope](min(o.CacheSize, maxScopes), o),
	}, nil
}

// Authorize says whether the token's owner may do something with webhooks of the
// project. Its errors are those of package access, and no others.
func (d *Driver) Authorize(ctx context.Context, token, projectID string, action access.Action) (access.Grant, error) {
	caller, err := d.identify(ctx, token)
	if err != nil {
		return access.Grant{}, err
	}
	found, err := d.standing(ctx, caller, projectID)
	if err != nil {
		return access.Grant{}, err
	}
	if err := found.verdict(action); err != nil {
		return access.Grant{}, err
	}
	return access.Grant{Caller: caller.name(), Project: found.project}, nil
}

// standing is remembered by user and project, so that it outlives the token and
// serves the next; the token itself has been checked by then.
func (d *Driver) standing(ctx context.Context, caller session, projectID string) (standing, error) {
	// An id that is not one could be of any length: all of them are one question.
	id, _ := canonicalID(projectID)
	if caller.staff {
		return d.standings.get(ctx, "staff "+id, func(ctx context.Context) (standing, error) {
			found, err := d.project(ctx, id)
			return standing{project: found.public(), permitted: true}, err
		})
	}
	return d.standings.get(ctx, caller.userID+" "+id, func(ctx context.Context) (standing, error) {
		return d.decide(ctx, caller.userID, id)
	})
}

// decide reads what it takes, and no more: two questions at once, then two more,
// then one where it matters.
func (d *Driver) decide(ctx context.Context, directusID, projectID string) (standing, error) {
	var user string
	var found project
	var userErr, projectErr error
	together(
		func() { user, userErr = d.appUser(ctx, directusID) },
		func() { found, projectErr = d.project(ctx, projectID) },
	)
	if userErr != nil {
		return standing{}, userErr
	}
	if projectErr != nil {
		return standing{}, projectErr
	}
	if found.WorkspaceID == nil { // from before there were workspaces
		if !sameID(text(found.CreatorID), directusID) {
			return standing{}, access.ErrProject
		}
		return standing{project: found.public(), permitted: true}, nil
	}
	home, part, permitted, err := d.part(ctx, *found.WorkspaceID, user)
	if err != nil {
		return standing{}, err
	}
	if found.isPrivate() && !part.manages() {
		shared, err := d.isShared(ctx, found.ID, user)
		if err != nil {
			return standing{}, err
		}
		if !shared {
			return standing{}, access.ErrProject
		}
		permitted = false // what a share gives never includes webhooks
	}
	return standing{project: found.public(), permitted: permitted, tier: home.tier()}, nil
}

// part is a user's role in a workspace, and whether they may manage webhooks
// there; [access.ErrProject] when they have none.
func (d *Driver) part(ctx context.Context, workspaceID, user string) (workspace, role, bool, error) {
	var home workspace
	var direct membership
	var isMember, exists bool
	var memberErr, homeErr error
	together(
		func() { direct, isMember, memberErr = d.membership(ctx, workspaceID, user) },
		func() { home, exists, homeErr = d.workspace(ctx, workspaceID) },
	)
	switch {
	case memberErr != nil:
		return workspace{}, noRole, false, memberErr
	case homeErr != nil:
		return workspace{}, noRole, false, homeErr
	case !exists || home.DeletedAt != nil:
		return workspace{}, noRole, false, access.ErrProject
	case isMember:
		return home, direct.role(), direct.permits(), nil
	case home.OrgID == nil || home.hasRemoved(user):
		return workspace{}, noRole, false, access.ErrProject
	}
	inOrg, err := d.orgRole(ctx, *home.OrgID, user)
	if err != nil {
		return workspace{}, noRole, false, err
	}
	inherited := home.inherited(inOrg, user)
	if inherited == noRole {
		return workspace{}, noRole, false, access.ErrProject
	}
	return home, inherited, inherited.manages(), nil
}

// appUser is the user that the product knows a user of Directus as.
func (d *Driver) appUser(ctx context.Context, directusID string) (string, error) {
	type appUser struct {
		ID     string `json:"id"`
		UserID string `json:"directus_user_id"`
	}
	found, err := rows[appUser](ctx, d.client, appUsers(), equals("directus_user_id", directusID), 1, 0)
	if err != nil {
		return "", err
	}
	if len(found) == 0 {
		return "", access.ErrUser
	}
	id, ok := canonicalID(found[0].ID)
	if !ok || !sameID(found[0].UserID, directusID) {
		return "", malformed("app_user")
	}
	return id, nil
}

func (d *Driver) project(ctx context.Context, id string) (project, error) {
	if id == "" {
		return project{}, access.ErrProject
	}
	found, exists, err := item[project](ctx, d.client, projects(), id)
	switch {
	case err != nil:
		return project{}, err
	case !exists || found.DeletedAt != nil:
		return project{}, access.ErrProject
	case found.ID != id:
		return project{}, malformed("project")
	}
	return found, nil
}

func (d *Driver) workspace(ctx context.Context, id string) (workspace, bool, error) {
	id, ok := canonicalID(id)
	if !ok {
		return workspace{}, false, malformed("project")
	}
	found, exists, err := item[workspace](ctx, d.client, workspaces(), id)
	if err == nil && exists && found.ID != id {
		return workspace{}, false, malformed("workspace")
	}
	return found, exists, err
}

// maxMemberships is how many rows of one user in one workspace are looked at:
// one, and those of support that has expired.
const maxMemberships = 20

func (d *Driver) membership(ctx context.Context, workspaceID, user string) (membership, bool, error) {
	where := all(equals("workspace_id", workspaceID), equals("user_id", user), isNull("deleted_at"))
	found, err := rows[membership](ctx, d.client, workspaceMemberships(), where, maxMemberships, 0)
	if err != nil {
		return membership{}, false, err
	}
	for _, one := range found {
		if !sameID(one.WorkspaceID, workspaceID) || !sameID(one.UserID, user) {
			return membership{}, false, malformed("workspace_membership")
		}
	}
	direct, isMember := live(found, d.now())
	return direct, isMember, nil
}

type orgMembership struct {
	OrgID  string  `json:"org_id"`
	UserID string  `json:"user_id"`
	Role   *string `json:"role"`
}

func (d *Driver) orgRole(ctx context.Context, orgID, user string) (role, error) {
	where := all(equals("org_id", orgID), equals("user_id", user), isNull("deleted_at"))
	found, err := rows[orgMembership](ctx, d.client, orgMemberships(), where, 1, 0)
	if err != nil || len(found) == 0 {
		return noRole, err
	}
	if !sameID(found[0].OrgID, orgID) || !sameID(found[0].UserID, user) {
		return noRole, malformed("org_membership")
	}
	return role(text(found[0].Role)), nil
}

func (d *Driver) isShared(ctx context.Context, projectID, user string) (bool, error) {
	type share struct {
		ProjectID string `json:"project_id"`
		UserID    string `json:"user_id"`
	}
	where := all(equals("project_id", projectID), equals("user_id", user))
	found, err := rows[share](ctx, d.client, projectMemberships(), where, 1, 0)
	if err != nil || len(found) == 0 {
		return false, err
	}
	if !sameID(found[0].ProjectID, projectID) || !sameID(found[0].UserID, user) {
		return false, malformed("project_membership")
	}
	return true, nil
}

// together does everything at the same time, and waits for all of it.
func together(parts ...func()) {
	var running sync.WaitGroup
	for _, part := range parts {
		running.Go(part)
	}
	running.Wait()
}

// close drops the connections that wait for more.
func (d *Driver) close() {
	if transport, ok := d.client.http.Transport.(*http.Transport); ok {
		transport.CloseIdleConnections()
	}
}
