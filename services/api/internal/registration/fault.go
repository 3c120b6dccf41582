package registration

import (
	"errors"
	"strings"
)

// Kind says what sort of mistake a [Fault] is. The API answers each kind with a
// status of its own.
type Kind int

// The kinds of faults.
const (
	// KindBounds is a value of the wrong length, count or shape.
	KindBounds Kind = iota + 1
	// KindURL is a URL that deliveries must not go to.
	KindURL
	// KindEvent is an event that does not exist.
	KindEvent
	// KindContradiction is a request whose fields disagree.
	KindContradiction
)

// Fault is what is wrong with one field, in a host's words. The message is a
// sentence and never repeats the value, which may hold a credential.
type Fault struct {
	Field   string
	Message string
	Kind    Kind
}

// Error implements error.
func (f *Fault) Error() string { return f.Message }

// Faults is everything that is wrong with one request.
type Faults []*Fault

// Error implements error: the sentences, one after the other.
func (f Faults) Error() string {
	sentences := make([]string, len(f))
	for i, fault := range f {
		sentences[i] = fault.Message
	}
	return strings.Join(sentences, " ")
}

// Add appends err, which must be nil, a *Fault or Faults.
func (f *Faults) Add(err error) {
	if fault, ok := errors.AsType[*Fault](err); ok {
		*f = append(*f, fault)
	}
	if several, ok := errors.AsType[Faults](err); ok {
		*f = append(*f, several...)
	}
}

// Err returns the faults as an error; nil when there are none.
func (f Faults) Err() error {
	if len(f) == 0 {
		return nil
	}
	return f
}

func bounds(field, message string) error {
	return &Fault{Field: field, Message: message, Kind: KindBounds}
}
