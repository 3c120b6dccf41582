package directus

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/dembrane/webhooks/pkg/secret"
	"github.com/dembrane/webhooks/services/api/internal/access"
)

// collection is one that is read, with the fields that are asked for and those
// that filters name. docs/access.md lists them for operators.
type collection struct {
	name   string
	fields []string
	// sort names a field that puts the rows of a list into a fixed order.
	sort string
}

func appUsers() collection {
	return collection{name: "app_user", fields: []string{"id", "directus_user_id"}, sort: "id"}
}

func projects() collection {
	return collection{
		name: "project", sort: "id",
		fields: []string{"id", "name", "language", "visibility", "workspace_id", "directus_user_id", "deleted_at"},
	}
}

func workspaces() collection {
	return collection{
		name: "workspace", sort: "id",
		fields: []string{"id", "org_id", "visibility", "settings", "deleted_at", "billing_account_id.tier"},
	}
}

func workspaceMemberships() collection {
	return collection{
		name: "workspace_membership", sort: "workspace_id",
		fields: []string{"workspace_id", "user_id", "role", "custom_policies", "expires_at"},
	}
}

func orgMemberships() collection {
	return collection{name: "org_membership", fields: []string{"org_id", "user_id", "role"}, sort: "org_id"}
}

func projectMemberships() collection {
	return collection{name: "project_membership", fields: []string{"project_id", "user_id"}, sort: "project_id"}
}

// filter is a condition on rows, as Directus takes it.
type filter map[string]any

func equals(field, value string) filter { return filter{field: filter{"_eq": value}} }

func isIn(field string, values []string) filter { return filter{field: filter{"_in": values}} }

func isNull(field string) filter { return filter{field: filter{"_null": true}} }

// all demands every one of the conditions.
func all(conditions ...filter) filter {
	whole := filter{}
	for _, condition := range conditions {
		maps.Copy(whole, condition)
	}
	return whole
}

// whoami asks who a static token belongs to, and whether they are staff. Unlike
// every other question it is asked with the caller's own token.
func (c *client) whoami(ctx context.Context, token secret.Text) (session, error) {
	var user, globals json.RawMessage
	var userErr, globalsErr error
	together(
		func() { user, userErr = c.get(ctx, token, url.Values{"fields": {"id"}}, "users", "me") },
		func() { globals, globalsErr = c.get(ctx, token, nil, "policies", "me", "globals") },
	)
	for _, err := range []error{userErr, globalsErr} {
		var said *refused
		switch {
		case errors.As(err, &said) && said.isBadToken():
			return session{}, access.ErrSession
		case errors.As(err, &said):
			return session{}, fmt.Errorf("%w: ask about a token: %w: %s", access.ErrUnavailable, said, said.advice())
		case err != nil:
			return session{}, fmt.Errorf("ask about a token: %w", err)
		}
	}
	var me struct {
		ID *string `json:"id"`
	}
	var rights struct {
		Admin bool `json:"admin_access"`
	}
	if json.Unmarshal(user, &me) != nil || json.Unmarshal(globals, &rights) != nil {
		return session{}, malformed("users/me")
	}
	if me.ID == nil { // a share, which is no user
		return session{}, access.ErrSession
	}
	id, ok := canonicalID(*me.ID)
	if !ok {
		return session{}, malformed("users/me")
	}
	return session{userID: id, staff: rights.Admin}, nil
}

// item reads one row by its id. found is false when there is none.
func item[T any](ctx context.Context, c *client, from collection, id string) (row T, found bool, err error) {
	data, err := c.get(ctx, c.token, url.Values{"fields": {strings.Join(from.fields, ",")}}, "items", from.name, id)
	var said *refused
	if errors.As(err, &said) && said.isAbsent() {
		return row, false, nil
	}
	if err != nil {
		return row, false, explain(from, err)
	}
	if row, err = decode[T](from, data); err != nil {
		return row, false, err
	}
	return row, true, nil
}

// rows reads at most limit rows that meet the condition.
func rows[T any](ctx context.Context, c *client, from collection, where filter, limit, offset int) ([]T, error) {
	condition, err := json.Marshal(where)
	if err != nil {
		return nil, fmt.Errorf("%w: make filter: %w", access.ErrUnavailable, err)
	}
	query := url.Values{
		"filter": {string(condition)}, "fields": {strings.Join(from.fields, ",")},
		"limit": {strconv.Itoa(limit)}, "sort": {from.sort},
	}
	if offset > 0 {
		query.Set("offset", strconv.Itoa(offset))
	}
	data, err := c.get(ctx, c.token, query, "items", from.name)
	if err != nil {
		return nil, explain(from, err)
	}
	var list []json.RawMessage
	if err := json.Unmarshal(data, &list); err != nil || len(list) > limit {
		return nil, malformed(from.name)
	}
	found := make([]T, len(list))
	for i, raw := range list {
		if found[i], err = decode[T](from, raw); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// explain turns a refusal of our own question into what an operator can do.
func explain(from collection, err error) error {
	if said, is := errors.AsType[*refused](err); is {
		return fmt.Errorf("%w: read %s: Directus answers %w: %s", access.ErrUnavailable, from.name, said, said.advice())
	}
	return fmt.Errorf("read %s: %w", from.name, err)
}

// decode reads a row in which every field must be there that was asked for: a
// deleted_at that is missing must not pass for one that is null.
func decode[T any](from collection, raw json.RawMessage) (T, error) {
	var row T
	var present map[string]json.RawMessage
	if err := json.Unmarshal(raw, &present); err != nil {
		return row, malformed(from.name)
	}
	complete := !slices.ContainsFunc(from.fields, func(field string) bool {
		head, nested, isNested := strings.Cut(field, ".")
		value, there := present[head]
		return !there || (isNested && !bytes.Equal(value, []byte("null")) && !has(value, nested))
	})
	if err := json.Unmarshal(raw, &row); err != nil || !complete {
		return row, malformed(from.name)
	}
	return row, nil
}

func has(object json.RawMessage, field string) bool {
	var present map[string]json.RawMessage
	if json.Unmarshal(object, &present) != nil {
		return false
	}
	_, there := present[field]
	return there
}

func malformed(what string) error {
	return fmt.Errorf("%w: the answer of Directus about %s is not as expected: compare its collections with docs/access.md",
		access.ErrUnavailable, what)
}

// idField is the field that the collection is asked by.
func (c collection) idField() string { return c.fields[0] }

// hasDeleted reports whether rows that are deleted stay in the collection.
func (c collection) hasDeleted() bool { return c.name != "app_user" && c.name != "project_membership" }
