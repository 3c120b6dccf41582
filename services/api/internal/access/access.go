// Package access is what the API asks about a caller, and the answers it can
// get. Drivers implement it: package static from a file.
package access

import "errors"

// Refusals. Each is an answer, not a fault: the caller is told exactly this.
var (
	// ErrSession: there is no token, or it is unknown, malformed or expired.
	ErrSession = errors.New("invalid session")
	// ErrUser: the token is good, its user is unknown.
	ErrUser = errors.New("user not onboarded")
	// ErrProject: the project does not exist, or the caller has no part in it.
	// Which of the two is not told.
	ErrProject = errors.New("project not found")
	// ErrPermission: the caller belongs to the project, but may not manage
	// webhooks.
	ErrPermission = errors.New("not allowed")
	// ErrUnavailable: nobody could be asked. The caller is never let in then.
	ErrUnavailable = errors.New("identity unavailable")
)

// TierError says that the project's workspace has a tier without webhooks.
type TierError struct {
	// Current is the tier that it has.
	Current string
}

// Error implements error.
func (e *TierError) Error() string { return "tier too low: " + e.Current }

// Action is what a caller wants to do. A driver may allow some and not others.
type Action int

// The actions.
const (
	// Read looks at webhooks and their deliveries.
	Read Action = iota + 1
	// Withdraw disables or deletes; it stays allowed when a workspace loses the
	// tier that webhooks need.
	Withdraw
	// Change makes webhooks, changes them, or sends something through them.
	Change
)

// Project is what is known of a project beside its id. Names may be empty.
type Project struct {
	ID          string
	WorkspaceID string
	Name        string
	Language    string
}

// Grant is a positive answer.
type Grant struct {
	// Caller names who was let in, for the log. It is no token and no address.
	Caller string
	// Project is the one that was asked for.
	Project Project
}

// Scope is every project whose webhooks a caller may read.
type Scope struct {
	// All means that no project is excluded; none is listed then.
	All bool
	// Projects lists them.
	Projects []Project
}

// IDs lists the ids of the scope's projects.
func (s Scope) IDs() []string {
	ids := make([]string, len(s.Projects))
	for i, project := range s.Projects {
		ids[i] = project.ID
	}
	return ids
}

// Names is what the scope's projects are called, by id.
func (s Scope) Names() map[string]string {
	names := make(map[string]string, len(s.Projects))
	for _, project := range s.Projects {
		names[project.ID] = project.Name
	}
	return names
}
