package embedded

import (
	"bufio"
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

const (
	// maxRunning is how many requests the database works on at once. FerretDB 1.24 has
	// 100 connections to SQLite, and a request that changes something waits for a second
	// one while it holds its first: with 100 of them at once none ever goes on, and
	// those whose clients have gone away count, too. SQLite writes one after the other
	// anyway.
	maxRunning = 32
	// headerBytes is the length of a message's header, and maxMessageBytes that of a
	// message: https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/
	headerBytes     = 16
	maxMessageBytes = 48_000_000
	// acceptPause is how long nobody is let in after it failed: there may be no file
	// descriptors left.
	acceptPause = 50 * time.Millisecond
)

// gate stands between the clients of a database and the database. It lets at most
// maxRunning requests through at once; the others wait for their turn. A request has
// its turn until the database answers, also when its client does not wait any more.
type gate struct {
	listener net.Listener
	database string
	turns    chan struct{}
	serving  sync.WaitGroup
	stop     context.CancelFunc
}

// openGate opens a gate to the database with a connection string, on a free port of the
// loopback interface. Whoever opens it closes it.
func openGate(ctx context.Context, database string) (*gate, error) {
	listens, err := url.Parse(database)
	if err != nil {
		return nil, fmt.Errorf("find the database: %w", err)
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for the database's clients: %w", err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	g := &gate{listener: listener, database: listens.Host, turns: make(chan struct{}, maxRunning), stop: stop}
	g.serving.Go(func() { g.accept(ctx) })
	return g, nil
}

// uri is the connection string of the database behind the gate.
func (g *gate) uri() string { return "mongodb://" + g.listener.Addr().String() + "/" }

// close cuts everybody off.
func (g *gate) close() {
	g.stop()
	_ = g.listener.Close() // it was open
	g.serving.Wait()
}

// accept serves clients until the gate is closed.
func (g *gate) accept(ctx context.Context) {
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
func (g *gate) serve(ctx context.Context, client net.Conn) {
	var dialer net.Dialer
	database, err := dialer.DialContext(ctx, "tcp", g.database)
	if err != nil {
		_ = client.Close() // there is no database any more
		return
	}
	leave := context.AfterFunc(ctx, func() {
		_ = client.Close()
		_ = database.Close()
	})
	defer func() {
		leave()
		_ = client.Close()
		_ = database.Close()
	}()
	requests, answers := bufio.NewReader(client), bufio.NewReader(database)
	for {
		size, err := messageSize(requests)
		if err != nil {
			return
		}
		g.turns <- struct{}{}
		_, err = io.CopyN(database, requests, size)
		if err == nil {
			size, err = messageSize(answers)
		}
		<-g.turns
		if err == nil {
			_, err = io.CopyN(client, answers, size)
		}
		if err != nil {
			return
		}
	}
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
