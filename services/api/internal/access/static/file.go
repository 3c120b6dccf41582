package static

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/services/api/internal/access"
)

// everyProject in a token's list of projects stands for all of them.
const everyProject = "*"

// document is the file as it is written.
type document struct {
	Tokens   []tokenEntry   `yaml:"tokens"`
	Projects []projectEntry `yaml:"projects"`
}

type tokenEntry struct {
	Name     string   `yaml:"name"`
	SHA256   string   `yaml:"sha256"`
	Projects []string `yaml:"projects"`
}

type projectEntry struct {
	ID          string `yaml:"id"`
	WorkspaceID string `yaml:"workspace_id"`
	Name        string `yaml:"name"`
	Language    string `yaml:"language"`
}

// table is the file as it is used. It is never changed.
type table struct {
	tokens   []token
	projects map[string]access.Project
}

type token struct {
	name     string
	hash     [sha256.Size]byte
	all      bool
	projects []string
}

func (t token) manages(projectID string) bool {
	return t.all || slices.Contains(t.projects, projectID)
}

// parse reads a file and reports every mistake in it. Errors never quote a hash.
func parse(data []byte) (*table, error) {
	var doc document
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	decoder.KnownFields(true)
	if err := decoder.Decode(&doc); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read yaml: %w", err)
	}
	result := &table{projects: map[string]access.Project{}}
	var faults []error
	for i, entry := range doc.Projects {
		if !event.ValidID(entry.ID) {
			faults = append(faults, fmt.Errorf("project %d: its id is missing or not valid", i+1))
		}
		result.projects[entry.ID] = access.Project(entry)
	}
	seen := map[[sha256.Size]byte]bool{}
	for i, entry := range doc.Tokens {
		parsed, err := parseToken(entry)
		if err == nil && seen[parsed.hash] {
			err = errors.New("another one has the same sha256; put their projects together")
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("token %d: %w", i+1, err))
		}
		seen[parsed.hash] = true
		result.tokens = append(result.tokens, parsed)
	}
	if len(doc.Tokens) == 0 {
		faults = append(faults, errors.New("there are no tokens"))
	}
	return result, errors.Join(faults...)
}

func parseToken(entry tokenEntry) (token, error) {
	parsed := token{name: entry.Name, projects: entry.Projects, all: slices.Contains(entry.Projects, everyProject)}
	if entry.Name == "" {
		return token{}, errors.New("it has no name")
	}
	hash, err := hex.DecodeString(entry.SHA256)
	if err != nil || len(hash) != sha256.Size {
		return token{}, errors.New("sha256 must be the 64 hexadecimal digits that `api -hash-token` prints")
	}
	parsed.hash = [sha256.Size]byte(hash)
	if len(entry.Projects) == 0 {
		return token{}, errors.New(`it has no projects; use ["*"] for all`)
	}
	for _, id := range entry.Projects {
		if id != everyProject && !event.ValidID(id) {
			return token{}, errors.New("one of its project ids is not valid")
		}
	}
	return parsed, nil
}

// Hash is a token as the file holds it.
func Hash(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}
