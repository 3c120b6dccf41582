package directus

import "strings"

// canonicalID reports whether id is a UUID as Directus writes it, and returns it
// in lower case. Directus answers 500 to anything else in a filter, and a whole
// list to an empty id in a path.
func canonicalID(id string) (string, bool) {
	if len(id) != 36 {
		return "", false
	}
	for i := range len(id) {
		c := id[i]
		switch {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if c != '-' {
				return "", false
			}
		case '0' <= c && c <= '9', 'a' <= c && c <= 'f', 'A' <= c && c <= 'F':
		default:
			return "", false
		}
	}
	return strings.ToLower(id), true
}

func sameID(one, other string) bool { return strings.EqualFold(one, other) }
