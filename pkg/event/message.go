package event

// What a published event is in NATS. Package topology has the rest.
const (
	// Stream stores published events.
	Stream = "EVENTS"
	// SubjectPrefix begins the subjects on which events are published.
	SubjectPrefix = "dembrane.events."
	// HeaderAbout is a header of events of our own: the webhook that they are about.
	HeaderAbout = "Dembrane-Webhook"

	// MaxBytes is the largest body that is accepted anywhere: 8 MiB. The broker's
	// max_payload must leave [HeaderAllowance] on top of it.
	MaxBytes = 8 << 20
	// HeaderAllowance is the room, in bytes, that a message's headers may need
	// beside a body of [MaxBytes].
	HeaderAllowance = 64 << 10
)

// Subject is where an event of the project is published.
func Subject(projectID, eventType string) string {
	return SubjectPrefix + projectID + "." + eventType
}
