package directus

// CloseConnections ends what Run would end.
func CloseConnections(d *Driver) { d.close() }

// IsJWT and IsStatic tell the kinds of token apart.
func IsJWT(token string) bool { return isJWT(token) }

// IsStatic is the other of the two.
func IsStatic(token string) bool { return isStatic(token) }

// CanonicalID is what ids go through.
func CanonicalID(id string) (string, bool) { return canonicalID(id) }

// Remembered is how many answers there are in memory.
func Remembered(d *Driver) int { return d.sessions.used.Len() + d.standings.used.Len() }
