// Package static answers who may manage which project from a YAML file:
//
//	tokens:
//	  - name: crm            # shown in the log
//	    sha256: 2bb8…        # printed by `api -hash-token`
//	    projects: ["*"]      # or a list of project ids
//	projects:                # optional: what test deliveries say about a project
//	  - id: 5f1c9a4e
//	    name: Town talks
//	    language: nl
//	    workspace_id: 8f7c2f4e
//
// The file holds hashes only. It is read again when it changes; one that cannot
// be read leaves the former tokens in force. There are no tiers: whoever manages
// a project may do everything.
package static

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/services/api/internal/access"
)

// Driver authorizes callers by the tokens of a file. It is safe for concurrent
// use.
type Driver struct {
	path  string
	every time.Duration
	log   *zap.Logger
	table atomic.Pointer[table]
	seen  stamp
}

// stamp tells one state of the file from another.
type stamp struct {
	modified time.Time
	size     int64
}

// Open reads the file once. A file that cannot be used is an error here, and
// only here. Later, it is looked at as often as every says.
func Open(path string, every time.Duration, log *zap.Logger) (*Driver, error) {
	d := &Driver{path: path, every: every, log: log}
	d.seen, _ = d.look() // where this fails, reading fails with a better error
	if err := d.load(); err != nil {
		return nil, fmt.Errorf("load tokens: %w", err)
	}
	return d, nil
}

// Run reads the file again when it has changed, until ctx is done.
func (d *Driver) Run(ctx context.Context) error {
	ticker := time.NewTicker(d.every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			d.refresh()
		}
	}
}

// refresh looks at the file and logs one line for every state of it.
func (d *Driver) refresh() {
	now, err := d.look()
	if err != nil {
		now = stamp{}
	}
	if now == d.seen {
		return
	}
	d.seen = now
	if err := d.load(); err != nil {
		d.log.Error("tokens file cannot be used: the tokens read before stay in force", zap.Error(err))
		return
	}
	d.log.Info("tokens file read again", zap.Int("tokens", len(d.table.Load().tokens)))
}

func (d *Driver) look() (stamp, error) {
	info, err := os.Stat(d.path)
	if err != nil {
		return stamp{}, fmt.Errorf("look at tokens file: %w", err)
	}
	return stamp{modified: info.ModTime(), size: info.Size()}, nil
}

func (d *Driver) load() error {
	data, err := os.ReadFile(d.path)
	if err != nil {
		return fmt.Errorf("read tokens file: %w", err)
	}
	parsed, err := parse(data)
	if err != nil {
		return fmt.Errorf("check tokens file: %w", err)
	}
	d.table.Store(parsed)
	return nil
}

// Authorize says whether the token manages the project: [access.ErrSession] for
// a token that is not in the file, [access.ErrProject] for a project that it
// does not manage. Every action is allowed alike.
func (d *Driver) Authorize(_ context.Context, secret, projectID string, _ access.Action) (access.Grant, error) {
	current := d.table.Load()
	found, ok := current.find(secret)
	if !ok {
		return access.Grant{}, access.ErrSession
	}
	if !event.ValidID(projectID) || !found.manages(projectID) {
		return access.Grant{}, access.ErrProject
	}
	project, known := current.projects[projectID]
	if !known {
		project = access.Project{ID: projectID}
	}
	return access.Grant{Caller: found.name, Project: project}, nil
}

// Scope lists the projects that the token manages.
func (d *Driver) Scope(_ context.Context, secret string) (access.Scope, error) {
	current := d.table.Load()
	found, ok := current.find(secret)
	if !ok {
		return access.Scope{}, access.ErrSession
	}
	if found.all {
		return access.Scope{All: true}, nil
	}
	var scope access.Scope
	for _, id := range found.projects {
		project, known := current.projects[id]
		if !known {
			project = access.Project{ID: id}
		}
		scope.Projects = append(scope.Projects, project)
	}
	return scope, nil
}

// Names returns what projects are called, by id: those that the file names. It does
// not ask who wants to know.
func (d *Driver) Names(_ context.Context, ids []string) (map[string]string, error) {
	current := d.table.Load()
	names := map[string]string{}
	for _, id := range ids {
		if name := current.projects[id].Name; name != "" {
			names[id] = name
		}
	}
	return names, nil
}

// find compares with every token, so that the time it takes says nothing about
// which one, or how much of it, was right.
func (t *table) find(secret string) (token, bool) {
	if secret == "" {
		return token{}, false
	}
	hash := sha256.Sum256([]byte(secret))
	match := -1
	for i := range t.tokens {
		if subtle.ConstantTimeCompare(hash[:], t.tokens[i].hash[:]) == 1 {
			match = i
		}
	}
	if match < 0 {
		return token{}, false
	}
	return t.tokens[match], true
}
