package mongoproxy

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/bson"
)

// Call is one command on its way.
type Call struct {
	// Command is its name, such as insert; Collection what it works on.
	Command, Collection string
	// Document is all of it.
	Document bson.Raw

	asked  message
	server *link
	done   <-chan struct{}
}

// Forward has the server do it, and returns what that says.
func (c *Call) Forward() (bson.Raw, error) {
	reply, err := c.server.forward(c.asked, nil)
	if err != nil || c.Command != Hello {
		return reply, err
	}
	return c.server.proxy.hello(reply)
}

// Action decides what becomes of a command, and what its client is told. An error
// drops the connection without a word.
type Action func(call *Call) (bson.Raw, error)

// Rule selects commands.
type Rule struct {
	// Command and Collection are names; empty is any, greetings excepted.
	Command, Collection string
	// Match has to hold, too, unless it is nil.
	Match func(document bson.Raw) bool
	// Skip lets the first ones pass. Times is how many are selected after them; 0
	// is all.
	Skip, Times int
}

// Fault is a rule with its action in a proxy.
type Fault struct {
	proxy  *Proxy
	rule   Rule
	act    Action
	seen   int
	struck int
}

// On does something to the commands that a rule selects. Of several rules the
// one that was given first counts.
func (p *Proxy) On(rule Rule, act Action) *Fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	fault := &Fault{proxy: p, rule: rule, act: act}
	p.faults = append(p.faults, fault)
	return fault
}

// Mend takes the fault away.
func (f *Fault) Mend() {
	f.proxy.mu.Lock()
	defer f.proxy.mu.Unlock()
	f.proxy.faults = slices.DeleteFunc(f.proxy.faults, func(other *Fault) bool { return other == f })
}

// Struck is how many commands were hit.
func (f *Fault) Struck() int {
	f.proxy.mu.Lock()
	defer f.proxy.mu.Unlock()
	return f.struck
}

// strikes is called under the proxy's lock.
func (f *Fault) strikes(call *Call) bool {
	r := f.rule
	if r.Command != "" && r.Command != call.Command || r.Command == "" && call.Command == Hello || r.Collection != "" && r.Collection != call.Collection ||
		r.Match != nil && !r.Match(call.Document) {
		return false
	}
	f.seen++
	if f.seen <= r.Skip || r.Times > 0 && f.struck >= r.Times {
		return false
	}
	f.struck++
	return true
}

// Code is an error of MongoDB.
type Code int32

// Errors that servers answer with while they fail over, stop, or have no room.
// All of them but the last four are worth another try, as every driver knows.
const (
	HostUnreachable                 Code = 6
	HostNotFound                    Code = 7
	NetworkTimeout                  Code = 89
	ShutdownInProgress              Code = 91
	PrimarySteppedDown              Code = 189
	ExceededTimeLimit               Code = 262
	SocketException                 Code = 9001
	NotWritablePrimary              Code = 10107
	InterruptedAtShutdown           Code = 11600
	InterruptedDueToReplStateChange Code = 11602
	NotPrimaryNoSecondaryOk         Code = 13435
	NotPrimaryOrSecondary           Code = 13436

	WriteConcernTimeout Code = 64
	WriteConflict       Code = 112
	OutOfDiskSpace      Code = 14031
	RequestRateTooLarge Code = 16500
)

const duplicateKey Code = 11000

// Codes are all of them. None of them is the fault of what was to be written.
func Codes() []Code {
	return []Code{
		HostUnreachable, HostNotFound, NetworkTimeout, ShutdownInProgress, PrimarySteppedDown, ExceededTimeLimit, SocketException,
		NotWritablePrimary, InterruptedAtShutdown, InterruptedDueToReplStateChange, NotPrimaryNoSecondaryOk, NotPrimaryOrSecondary,
		WriteConcernTimeout, WriteConflict, OutOfDiskSpace, RequestRateTooLarge,
	}
}

// retryable reports what servers label as worth another try.
func (c Code) retryable() bool {
	return !slices.Contains([]Code{WriteConcernTimeout, WriteConflict, OutOfDiskSpace, RequestRateTooLarge}, c)
}

// String is what is said beside the code.
func (c Code) String() string { return fmt.Sprintf("mongoproxy: code %d", int32(c)) }

// Refuse answers with an error of the whole command, which is not applied.
func Refuse(code Code) Action {
	return func(call *Call) (bson.Raw, error) { return encode(refusal(call, code)) }
}

// RefuseApplied is [Refuse] after the command was applied.
func RefuseApplied(code Code) Action {
	return func(call *Call) (bson.Raw, error) {
		if _, err := call.Forward(); err != nil {
			return nil, err
		}
		return encode(refusal(call, code))
	}
}

func refusal(call *Call, code Code) bson.D {
	reply := bson.D{
		{Key: "ok", Value: 0.0},
		{Key: "errmsg", Value: code.String()},
		{Key: "code", Value: int32(code)},
	}
	if isWrite(call.Command) && code.retryable() {
		reply = append(reply, bson.E{Key: "errorLabels", Value: bson.A{"RetryableWriteError"}})
	}
	return reply
}

func isWrite(command string) bool {
	return slices.Contains([]string{"insert", "update", "delete", "findAndModify"}, command)
}

// FailWriteConcern has the command applied and says that it was not replicated.
func FailWriteConcern(code Code) Action {
	return func(call *Call) (bson.Raw, error) {
		reply, err := call.Forward()
		if err != nil {
			return nil, err
		}
		var said bson.D
		if err := bson.Unmarshal(reply, &said); err != nil {
			return nil, fmt.Errorf("read reply: %w", err)
		}
		said = append(said, bson.E{Key: "writeConcernError", Value: bson.D{
			{Key: "code", Value: int32(code)}, {Key: "errmsg", Value: code.String()},
		}})
		if code.retryable() {
			said = append(said, bson.E{Key: "errorLabels", Value: bson.A{"RetryableWriteError"}})
		}
		return encode(said)
	}
}

// FailDocuments refuses some of a command's documents, by their place in it, and
// has the others applied; without places, all of them are refused.
func FailDocuments(code Code, places ...int) Action {
	return failing(writeFault{code, code.String()}, places)
}

// FailDuplicates refuses all documents, as if others with the same key were there,
// and names the index, which not every server does.
func FailDuplicates(index string) Action {
	return failing(writeFault{duplicateKey, "E11000 duplicate key error collection: db.c index: " + index + " dup key: { k: 1 }"}, nil)
}

// writeFault is what is wrong with a document.
type writeFault struct {
	code Code
	text string
}

func failing(fault writeFault, places []int) Action {
	return func(call *Call) (bson.Raw, error) {
		list := map[string]string{"insert": "documents", "update": "updates", "delete": "deletes"}[call.Command]
		if list == "" {
			return nil, fmt.Errorf("%s has no documents", call.Command)
		}
		return failDocuments(call, list, fault, places)
	}
}

func failDocuments(call *Call, list string, fault writeFault, places []int) (bson.Raw, error) {
	var command bson.D
	if err := bson.Unmarshal(call.Document, &command); err != nil {
		return nil, fmt.Errorf("read command: %w", err)
	}
	at := slices.IndexFunc(command, func(e bson.E) bool { return e.Key == list })
	if at < 0 {
		return nil, errors.New("command without " + list)
	}
	documents, _ := command[at].Value.(bson.A)
	var passed bson.A
	var origins []int
	var refused []bson.D
	for place, document := range documents {
		if len(places) == 0 || slices.Contains(places, place) {
			refused = append(refused, writeError(place, fault))
			continue
		}
		passed, origins = append(passed, document), append(origins, place)
	}
	said := bson.D{{Key: "n", Value: int32(0)}, {Key: "ok", Value: 1.0}}
	if len(passed) > 0 {
		command[at].Value = passed
		applied, faults, err := apply(call, command, origins)
		if err != nil {
			return nil, err
		}
		said[0].Value = applied
		refused = append(refused, faults...)
	}
	// Drivers rely on the order.
	slices.SortFunc(refused, func(a, b bson.D) int { return cmp.Compare(place(a), place(b)) })
	return encode(append(said, bson.E{Key: "writeErrors", Value: refused}))
}

func writeError(place int, fault writeFault) bson.D {
	return bson.D{
		{Key: "index", Value: int32(place)}, //nolint:gosec // of a command
		{Key: "code", Value: int32(fault.code)},
		{Key: "errmsg", Value: fault.text},
	}
}

// place is which document of a command a write error is about.
func place(fault bson.D) int32 {
	for _, e := range fault {
		if at, ok := e.Value.(int32); ok && e.Key == "index" {
			return at
		}
	}
	return 0
}

// apply has the server do the rest of a command, and puts the places of its own
// errors right.
func apply(call *Call, command bson.D, origins []int) (applied int32, faults []bson.D, err error) {
	document, err := encode(command)
	if err != nil {
		return 0, nil, err
	}
	reply, err := call.server.forward(call.asked, document)
	if err != nil {
		return 0, nil, err
	}
	var said struct {
		N           int32    `bson:"n"`
		WriteErrors []bson.D `bson:"writeErrors"`
	}
	if err := bson.Unmarshal(reply, &said); err != nil {
		return 0, nil, fmt.Errorf("read reply: %w", err)
	}
	for _, fault := range said.WriteErrors {
		for i := range fault {
			if place, ok := fault[i].Value.(int32); ok && fault[i].Key == "index" && int(place) < len(origins) {
				fault[i].Value = int32(origins[place]) //nolint:gosec // of a command
			}
		}
		faults = append(faults, fault)
	}
	return said.N, faults, nil
}

var errDropped = errors.New("dropped on purpose")

// DropBefore drops the connection; the server never hears of the command.
func DropBefore() Action {
	return func(*Call) (bson.Raw, error) { return nil, errDropped }
}

// DropAfter drops the connection when the server has done it.
func DropAfter() Action {
	return func(call *Call) (bson.Raw, error) {
		if _, err := call.Forward(); err != nil {
			return nil, err
		}
		return nil, errDropped
	}
}

// Hold keeps a command until release is closed, and has it done then.
func Hold(release <-chan struct{}) Action {
	return func(call *Call) (bson.Raw, error) {
		select {
		case <-release:
			return call.Forward()
		case <-call.done:
			return nil, errDropped
		}
	}
}

// FindNothing answers a find as a server that does not know the document yet.
func FindNothing(database string) Action {
	return func(call *Call) (bson.Raw, error) {
		if call.Command != "find" {
			return nil, fmt.Errorf("%s is no find", call.Command)
		}
		return encode(bson.D{
			{Key: "cursor", Value: bson.D{
				{Key: "firstBatch", Value: bson.A{}},
				{Key: "id", Value: int64(0)},
				{Key: "ns", Value: strings.Join([]string{database, call.Collection}, ".")},
			}},
			{Key: "ok", Value: 1.0},
		})
	}
}
