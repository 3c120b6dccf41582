package directustest

import (
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// defaultLimit is how many items a list has when it is not asked for more.
const defaultLimit = 100

// question is what is asked of the items.
type question struct {
	collection string
	// id is of one item; empty for the list.
	id    string
	query url.Values
}

// items answers a question: one item by its id, or a list.
func (w World) items(who identity, from tables, asked question) Answer {
	if strings.Contains(asked.id, "/") {
		return Absent()
	}
	all, known := from[asked.collection]
	if !known || !w.mayRead(who, asked.collection, "") {
		return UnreadableCollection(asked.collection)
	}
	var where map[string]any
	if raw := asked.query.Get("filter"); raw != "" {
		if json.Unmarshal([]byte(raw), &where) != nil {
			return badQuery("Invalid JSON for filter object")
		}
	}
	fields := fieldsAsked(asked.query)
	if refusal := w.unreadable(who, asked, slices.Concat(fields, filterFields(where), sortFields(asked.query))); refusal != nil {
		return *refusal
	}
	if asked.id == "" {
		return list(from, all, where, asked.query)
	}
	i := slices.IndexFunc(all, func(r row) bool { return r["id"] == strings.ToLower(asked.id) })
	if i < 0 {
		return Absent()
	}
	return data(only(from, all[i], fields))
}

// unreadable refuses the first of the fields that may not be read.
func (w World) unreadable(who identity, asked question, fields []string) *Answer {
	known := columns()
	for _, field := range fields {
		head, nested, isNested := strings.Cut(field, ".")
		if isNested && !w.mayRead(who, "billing_account", nested) {
			refusal := UnreadableField("billing_account", nested)
			return &refusal
		}
		_, exists := known[asked.collection][0][head]
		if !exists || !w.mayRead(who, asked.collection, head) {
			refusal := UnreadableField(asked.collection, head)
			return &refusal
		}
	}
	return nil
}

func list(from tables, all []row, where map[string]any, query url.Values) Answer {
	if !isValid(where) {
		return NoDatabase()
	}
	kept := []row{}
	for _, one := range all {
		if meets(one, where) {
			kept = append(kept, one)
		}
	}
	by := "id"
	if sort := sortFields(query); len(sort) > 0 {
		by = sort[0]
	}
	slices.SortStableFunc(kept, func(a, b row) int { return strings.Compare(text(a[by]), text(b[by])) })
	limit, offset := number(query, "limit", defaultLimit), number(query, "offset", 0)
	kept = kept[min(offset, len(kept)):]
	if limit >= 0 {
		kept = kept[:min(limit, len(kept))]
	}
	page := make([]row, len(kept))
	for i, one := range kept {
		page[i] = only(from, one, fieldsAsked(query))
	}
	return data(page)
}

// only leaves only the fields that were asked for, and follows the one
// relation that is asked through.
func only(from tables, one row, fields []string) row {
	if len(fields) == 0 {
		return one
	}
	out := row{}
	for _, field := range fields {
		head, nested, isNested := strings.Cut(field, ".")
		out[head] = one[head]
		if !isNested || one[head] == nil {
			continue
		}
		out[head] = nil
		for _, account := range from["billing_account"] {
			if account["id"] == one[head] {
				out[head] = row{nested: account[nested]}
			}
		}
	}
	return out
}

// mayRead reports whether somebody may read a field, or with none the
// collection at all.
func (w World) mayRead(who identity, collection, field string) bool {
	switch {
	case who.user == nil:
		return false
	case who.user.Admin:
		return true
	case !who.user.Reader:
		return false
	}
	fields, some := w.Readable[collection]
	return some && (field == "" || slices.Contains(fields, field))
}

// isValid reports whether the database would take the filter: it checks every
// value, and knows the operators that the product uses.
func isValid(where map[string]any) bool {
	for _, condition := range where {
		operators, ok := condition.(map[string]any)
		if !ok {
			return false
		}
		for operator, value := range operators {
			switch operator {
			case "_null":
			case "_eq", "_in":
				if slices.ContainsFunc(listed(value), func(v any) bool { return v != nil && !isUUID(text(v)) }) {
					return false
				}
			default:
				return false
			}
		}
	}
	return true
}

// meets judges an item by a filter that is valid.
func meets(one row, where map[string]any) bool {
	for field, condition := range where {
		operators, _ := condition.(map[string]any)
		for operator, value := range operators {
			same := func(v any) bool { return v != nil && strings.EqualFold(text(v), text(one[field])) }
			if operator == "_null" && (one[field] == nil) != (value == true) {
				return false
			}
			if operator != "_null" && !slices.ContainsFunc(listed(value), same) {
				return false
			}
		}
	}
	return true
}

func listed(value any) []any {
	if list, is := value.([]any); is {
		return list
	}
	return []any{value}
}

func filterFields(where map[string]any) []string {
	var names []string
	for field := range where {
		names = append(names, field)
	}
	return names
}

func sortFields(query url.Values) []string {
	if query.Get("sort") == "" {
		return nil
	}
	return strings.Split(query.Get("sort"), ",")
}

func number(query url.Values, name string, otherwise int) int {
	if value, err := strconv.Atoi(query.Get(name)); err == nil {
		return value
	}
	return otherwise
}

func text(value any) string {
	s, _ := value.(string)
	return s
}
