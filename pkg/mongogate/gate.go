// Package mongogate stands between a FerretDB on SQLite and its clients, and lets one
// change after the other through, as MongoDB does for each document.
//
// FerretDB 1.24 reads, compares and writes a document in steps, so that one of two
// changes that come at once is lost. It also holds one of its 100 connections to SQLite
// while it waits for a second one: 100 changes at once, those included whose clients do
// not wait any more, and it stops for good. SQLite writes one after the other anyway, so
// that nothing is slower.
//
// One command must not change many documents: FerretDB holds a connection for each of
// them until the command is over.
package mongogate

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/url"
	"sync"
	"time"

	"github.com/dembrane/webhooks/pkg/retry"
)

// The parts of a message:
// https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/
const (
	headerBytes     = 16
	maxMessageBytes = 48_000_000
	opCodeAt        = 12
	opMsg           = 2013
	// sectionAt is where the kind of the first section is, and commandAt the name of the
	// command in a section that is a document: after its length and the type of its first
	// field.
	sectionAt = headerBytes + 4
	commandAt = sectionAt + 1 + 4 + 1
	// longestCommand is more than the longest name of one.
	longestCommand = 64
)

// acceptPause is how long nobody is let in after that failed: there may be no file
// descriptors left.
const acceptPause = 50 * time.Millisecond

// Gate is a gate to one database. It is safe for concurrent use.
type Gate struct {
	listener net.Listener
	database string
	changing chan struct{}
	serving  sync.WaitGroup
	stop     context.CancelFunc
}

// Open opens a gate at an address to the database with a connection string. It outlives
// ctx: whoever opens it closes it.
func Open(ctx context.Context, address, database string) (*Gate, error) {
	listens, err := url.Parse(database)
	if err != nil {
		return nil, fmt.Errorf("find the database: %w", err)
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen for the database's clients: %w", err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	g := &Gate{listener: listener, database: listens.Host, changing: make(chan struct{}, 1), stop: stop}
	g.serving.Go(func() { g.accept(ctx) })
	return g, nil
}

// Address is where it listens.
func (g *Gate) Address() string { return g.listener.Addr().String() }

// URI is the connection string of the database behind the gate.
func (g *Gate) URI() string { return "mongodb://" + g.Address() + "/" }

// Close cuts everybody off.
func (g *Gate) Close() {
	g.stop()
	_ = g.listener.Close() // it was open
	g.serving.Wait()
}

// accept serves clients until the gate is closed.
func (g *Gate) accept(ctx context.Context) {
	for ctx.Err() == nil {
		client, err := g.listener.Accept()
		if err != nil {
			retry.Pause(ctx, acceptPause)
			continue
		}
		g.serving.Go(func() { g.serve(ctx, client) })
	}
}

// serve ends when the client or the database leaves, or ctx is done.
func (g *Gate) serve(ctx context.Context, client net.Conn) {
	defer func() { _ = client.Close() }()
	var dialer net.Dialer
	database, err := dialer.DialContext(ctx, "tcp", g.database)
	if err != nil {
		return // there is no database any more
	}
	defer func() { _ = database.Close() }()
	leave := context.AfterFunc(ctx, func() {
		_ = client.Close()
		_ = database.Close()
	})
	defer leave()
	requests, answers := bufio.NewReader(client), bufio.NewReader(database)
	for err == nil {
		err = g.exchange(client, requests, database, answers)
	}
}

// exchange hands on one request and its answer. A change has its turn until the database
// answers, also when its client does not wait any more.
func (g *Gate) exchange(client io.Writer, requests *bufio.Reader, database io.Writer, answers *bufio.Reader) error {
	size, err := messageSize(requests)
	if err != nil {
		return err
	}
	if size, err = g.ask(requests, size, database, answers); err != nil {
		return err
	}
	_, err = io.CopyN(client, answers, size)
	return err //nolint:wrapcheck // nobody is told
}

// ask hands on a request, and returns the length of the answer, of which nothing is
// taken yet.
func (g *Gate) ask(requests *bufio.Reader, size int64, database io.Writer, answers *bufio.Reader) (int64, error) {
	if changes(requests, size) {
		g.changing <- struct{}{}
		defer func() { <-g.changing }()
	}
	if _, err := io.CopyN(database, requests, size); err != nil {
		return 0, err //nolint:wrapcheck // nobody is told
	}
	return messageSize(answers)
}

// messageSize waits for the next message, and returns its length, of which nothing is
// taken yet.
func messageSize(from *bufio.Reader) (int64, error) {
	header, err := from.Peek(headerBytes)
	if err != nil {
		return 0, err //nolint:wrapcheck // nobody is told
	}
	size := binary.LittleEndian.Uint32(header)
	if size < headerBytes || size > maxMessageBytes {
		return 0, fmt.Errorf("message of %d bytes", size)
	}
	return int64(size), nil
}

// changes reports whether a request may change something: all that is not known to do
// nothing but read.
func changes(request *bufio.Reader, size int64) bool {
	start, err := request.Peek(int(min(size, commandAt+longestCommand)))
	if err != nil || binary.LittleEndian.Uint32(start[opCodeAt:]) != opMsg {
		return false // what it was before OP_MSG only says hello
	}
	if len(start) <= commandAt || start[sectionAt] != 0 {
		return true
	}
	name, _, _ := bytes.Cut(start[commandAt:], []byte{0})
	switch string(name) {
	case "find", "getMore", "aggregate", "count", "distinct", "killCursors", "endSessions",
		"listDatabases", "listCollections", "listIndexes", "hello", "isMaster", "ismaster", "ping", "buildInfo":
		return false
	default:
		return true
	}
}
