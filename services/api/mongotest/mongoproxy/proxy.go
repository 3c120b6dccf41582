// Package mongoproxy stands between a MongoDB driver and a server, in tests and where
// services are harmed on purpose (test/chaos), and does to what passes what a server,
// a network or a failover may do to it.
//
//	driver ──▶ rule? ──▶ action ──▶ Forward ──▶ server
//
// It understands commands as a whole, so that an action can refuse one, refuse
// some of its documents, add an error of the write concern, answer something
// else, hold it up, or drop the connection before or after the server has
// applied it. As a replica set it says that it is one (of one member), which
// makes a driver retry and look for a primary as it does in production.
package mongoproxy

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/x/mongo/driver/wiremessage"
)

// Hello is how drivers greet a server, under whichever name they do it.
const Hello = "hello"

// replicaSet is the name of the set that a proxy plays.
const replicaSet = "rs0"

// Proxy is safe for concurrent use.
type Proxy struct {
	upstream string
	listener net.Listener
	// set says that it plays a replica set.
	set  bool
	done chan struct{}
	wait sync.WaitGroup

	mu          sync.Mutex
	connections map[net.Conn]bool
	faults      []*Fault
	counts      map[string]int
	primary     bool
}

// Test is what a proxy needs of the test, or of the program, that it is part of.
type Test interface {
	Helper()
	Errorf(format string, args ...any)
	FailNow()
	Cleanup(do func())
}

// Start puts a proxy before the server at uri; it ends with the test.
func Start(tb Test, uri string) *Proxy {
	tb.Helper()
	return start(tb, uri, false, nil)
}

// StartTLS is [Start] with a proxy that speaks TLS only, and the certificate (PEM)
// of the authority that clients have to trust.
func StartTLS(tb Test, uri string) (p *Proxy, authority []byte) {
	tb.Helper()
	certified := httptest.NewUnstartedServer(nil)
	certified.StartTLS()
	defer certified.Close()
	authority = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certified.Certificate().Raw})
	return start(tb, uri, false, &tls.Config{Certificates: certified.TLS.Certificates, MinVersion: tls.VersionTLS12}), authority
}

// StartReplicaSet is [Start] with a proxy that says it is a replica set.
func StartReplicaSet(tb Test, uri string) *Proxy {
	tb.Helper()
	return start(tb, uri, true, nil)
}

func start(tb Test, uri string, set bool, secured *tls.Config) *Proxy {
	tb.Helper()
	server, err := url.Parse(uri)
	if err != nil || server.Host == "" {
		tb.Errorf("mongoproxy: the URI names no server")
		tb.FailNow()
	}
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Errorf("mongoproxy: %v", err)
		tb.FailNow()
	}
	if secured != nil {
		listener = tls.NewListener(listener, secured)
	}
	p := &Proxy{
		upstream: server.Host, listener: listener, set: set, done: make(chan struct{}),
		connections: map[net.Conn]bool{}, counts: map[string]int{}, primary: true,
	}
	p.wait.Go(p.accept)
	tb.Cleanup(p.close)
	return p
}

// URI is where clients connect.
func (p *Proxy) URI() string {
	uri := "mongodb://" + p.listener.Addr().String() + "/"
	if p.set {
		return uri + "?replicaSet=" + replicaSet
	}
	return uri
}

// Count says how many of these commands have come for a collection, whatever
// became of them.
func (p *Proxy) Count(command, collection string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.counts[command+" "+collection]
}

// SetPrimary says whether the one member of the set is its primary. While it is
// not, drivers find nobody to write to, and what comes all the same is refused.
func (p *Proxy) SetPrimary(primary bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.primary = primary
}

func (p *Proxy) isPrimary() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.primary
}

func (p *Proxy) close() {
	close(p.done)
	_ = p.listener.Close() // the test is over
	p.mu.Lock()
	for connection := range p.connections {
		_ = connection.Close() // likewise
	}
	p.mu.Unlock()
	p.wait.Wait()
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		if !p.keep(client) {
			return
		}
		p.wait.Go(func() {
			defer p.drop(client)
			p.serve(client)
		})
	}
}

// keep has a connection closed with the proxy, and closes it if that is closed.
func (p *Proxy) keep(connection net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.done:
		_ = connection.Close() // nobody is there any more
		return false
	default:
	}
	p.connections[connection] = true
	return true
}

func (p *Proxy) drop(connection net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.connections, connection)
	_ = connection.Close() // that is the point
}

// serve answers one client, on a connection of its own to the server.
func (p *Proxy) serve(client net.Conn) {
	server := &link{proxy: p}
	defer server.close()
	for {
		asked, err := readMessage(client)
		if err != nil {
			return
		}
		reply, err := p.answer(asked, server)
		if err != nil {
			return
		}
		if asked.silent {
			continue
		}
		if _, err := client.Write(encodeReply(asked, reply)); err != nil {
			return
		}
	}
}

// answer decides what becomes of a command. An error drops the connection.
func (p *Proxy) answer(asked message, server *link) (bson.Raw, error) {
	call := &Call{Document: asked.document, asked: asked, server: server, done: p.done}
	if elements, err := asked.document.Elements(); err == nil && len(elements) > 0 {
		call.Command = elements[0].Key()
		call.Collection, _ = elements[0].Value().StringValueOK()
	}
	if strings.EqualFold(call.Command, "ismaster") {
		call.Command = Hello
	}
	fault := p.strike(call)
	switch {
	case fault != nil:
		return fault.act(call)
	case call.Command != Hello && !p.isPrimary():
		return Refuse(NotWritablePrimary)(call)
	default:
		return call.Forward()
	}
}

// strike counts a command and finds the first fault that it runs into.
func (p *Proxy) strike(call *Call) *Fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.counts[call.Command+" "+call.Collection]++
	for _, fault := range p.faults {
		if fault.strikes(call) {
			return fault
		}
	}
	return nil
}

// hello is a greeting without what only the server itself can keep: compression,
// and news that it sends by itself.
func (p *Proxy) hello(reply bson.Raw) (bson.Raw, error) {
	var said bson.D
	if err := bson.Unmarshal(reply, &said); err != nil {
		return nil, fmt.Errorf("read hello: %w", err)
	}
	ours := []string{
		"setName", "hosts", "me", "primary", "setVersion", "electionId", "secondary", "passives", "arbiters",
		"topologyVersion", "compression", "ismaster", "isWritablePrimary",
	}
	said = slices.DeleteFunc(said, func(e bson.E) bool { return slices.Contains(ours, e.Key) })
	addr, primary := p.listener.Addr().String(), p.isPrimary()
	said = append(said, bson.E{Key: "isWritablePrimary", Value: primary}, bson.E{Key: "ismaster", Value: primary})
	if p.set {
		said = append(said, bson.E{Key: "setName", Value: replicaSet}, bson.E{Key: "setVersion", Value: int32(1)},
			bson.E{Key: "hosts", Value: bson.A{addr}}, bson.E{Key: "me", Value: addr}, bson.E{Key: "secondary", Value: !primary})
		if primary {
			said = append(said, bson.E{Key: "primary", Value: addr})
		}
	}
	return encode(said)
}

// link is one client's connection to the server, made when it is needed.
type link struct {
	proxy      *Proxy
	connection net.Conn
}

// forward sends a command on, as it came or as another document, and waits for
// the reply if there is one.
func (l *link) forward(asked message, document bson.Raw) (bson.Raw, error) {
	if err := l.open(); err != nil {
		return nil, err
	}
	out := asked.raw
	if document != nil {
		out = encodeCommand(wiremessage.NextRequestID(), document)
	}
	if _, err := l.connection.Write(out); err != nil {
		return nil, fmt.Errorf("ask the server: %w", err)
	}
	if asked.silent {
		return nil, nil
	}
	reply, err := readMessage(l.connection)
	if err != nil {
		return nil, fmt.Errorf("read the server's reply: %w", err)
	}
	return reply.document, nil
}

func (l *link) open() error {
	if l.connection != nil {
		return nil
	}
	connection, err := new(net.Dialer).DialContext(context.Background(), "tcp", l.proxy.upstream) //nolint:forbidigo // a test's own server
	if err != nil {
		return fmt.Errorf("connect to the server: %w", err)
	}
	if !l.proxy.keep(connection) {
		return errors.New("the proxy is closed")
	}
	l.connection = connection
	return nil
}

func (l *link) close() {
	if l.connection != nil {
		l.proxy.drop(l.connection)
	}
}

func encode(document any) (bson.Raw, error) {
	encoded, err := bson.Marshal(document)
	if err != nil {
		return nil, fmt.Errorf("encode document: %w", err)
	}
	return encoded, nil
}
