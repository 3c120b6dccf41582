// Package registration holds the rules of a registration: what a name, a URL, a
// secret and a list of events must look like, and how `enabled` and `status` go
// together.
//
// It is pure. Whether a literal address may be sent to is asked of a function,
// and names are not looked up: an address is judged again, whatever it came
// from, when a connection to it is made.
package registration

import (
	"time"

	"github.com/oklog/ulid/v2"
)

// Bounds that hosts can run into.
const (
	// MaxNameRunes is the length of a name, in characters.
	MaxNameRunes = 200
	// MaxDescriptionRunes is the length of a description, in characters.
	MaxDescriptionRunes = 2000
	// MaxURLBytes is the length of a URL, as given and in its canonical form.
	MaxURLBytes = 2048
	// MinSecretBytes and MaxSecretBytes bound a secret.
	MinSecretBytes = 8
	MaxSecretBytes = 255
	// MaxHeaders is how many headers of its own a webhook can have, and
	// MaxHeaderNameBytes and MaxHeaderValueBytes bound each.
	MaxHeaders          = 8
	MaxHeaderNameBytes  = 256
	MaxHeaderValueBytes = 1024
	// MinPerSecond and MaxPerSecond bound the limit on attempts a second.
	MinPerSecond = 0.1
	MaxPerSecond = 1000
	// DefaultOverlap is how long a previous secret goes on signing after a
	// rotation, and MaxOverlap how long it may.
	DefaultOverlap = 24 * time.Hour
	MaxOverlap     = 7 * 24 * time.Hour
)

// NewID makes the id of a new webhook: a ULID, and so a subject token that sorts
// by time.
func NewID() string { return ulid.Make().String() }
