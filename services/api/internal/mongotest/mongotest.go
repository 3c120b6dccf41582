// Package mongotest starts a server that speaks MongoDB's protocol inside a test:
// FerretDB on SQLite, the one that the embedded default uses. It is for tests
// only.
//
// With MONGODB_URI set, the same tests run against the server it names instead,
// each in a database of its own that is dropped in the end.
package mongotest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/FerretDB/FerretDB/ferretdb"
	"github.com/oklog/ulid/v2"
	"go.mongodb.org/mongo-driver/mongo"
	"go.mongodb.org/mongo-driver/mongo/options"
	_ "modernc.org/sqlite" // the driver that the server has, too

	"github.com/dembrane/webhooks/pkg/mongogate"
)

// patience bounds everything that the helper waits for.
const patience = 20 * time.Second

// Server is one server. Its methods are called from the test's goroutine.
type Server struct {
	tb       testing.TB
	dir      string
	addr     string
	uri      string
	database string
	stop     func()
}

// Start starts a server that ends with the test, or borrows the one at
// MONGODB_URI.
func Start(tb testing.TB) *Server {
	tb.Helper()
	uri := os.Getenv("MONGODB_URI")
	if uri == "" {
		return StartEmbedded(tb)
	}
	s := &Server{tb: tb, uri: uri, database: newDatabase()}
	tb.Cleanup(s.drop)
	return s
}

// StartEmbedded starts a server inside the test in any case: one that the test
// can stop.
func StartEmbedded(tb testing.TB) *Server {
	tb.Helper()
	s := &Server{tb: tb, dir: tb.TempDir(), addr: "127.0.0.1:0", database: newDatabase()}
	s.run()
	tb.Cleanup(func() {
		if s.stop != nil {
			s.stop()
		}
	})
	return s
}

// URI is where clients connect. It stays the same over a restart.
func (s *Server) URI() string { return s.uri }

// Database is a name that no other test uses.
func (s *Server) Database() string { return s.database }

// Stop stops an embedded server; what it holds stays.
func (s *Server) Stop() {
	s.tb.Helper()
	if s.stop == nil {
		s.tb.Fatal("mongotest: the server is not running, or not the test's own: use StartEmbedded")
	}
	s.stop()
	s.stop = nil
}

// Restart starts a stopped server again, on the same port and data.
func (s *Server) Restart() {
	s.tb.Helper()
	s.run()
}

func (s *Server) run() {
	s.tb.Helper()
	server, err := ferretdb.New(&ferretdb.Config{
		Listener:  ferretdb.ListenerConfig{TCP: "127.0.0.1:0"},
		Handler:   "sqlite",
		SQLiteURL: "file:" + s.dir + "/",
		Logger:    slog.New(slog.DiscardHandler),
	})
	if err != nil {
		s.tb.Fatalf("set up the test's database: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	gate, err := mongogate.Open(ctx, s.addr, server.MongoDBURI())
	if err != nil {
		cancel()
		s.tb.Fatalf("let clients to the test's database: %v", errors.Join(err, <-ended))
	}
	s.uri, s.addr = gate.URI(), gate.Address()
	s.stop = func() {
		gate.Close()
		cancel()
		if err := <-ended; err != nil {
			s.tb.Errorf("stop the test's database: %v", err)
		}
	}
}

// IndexIDs gives the collections of an embedded server the index by which the
// embedded default finds documents by _id; without it every look-up reads the whole
// collection. The collections are there by then. A borrowed server has one.
func (s *Server) IndexIDs() {
	s.tb.Helper()
	if s.dir == "" {
		return
	}
	db, err := sql.Open("sqlite", "file:"+filepath.Join(s.dir, s.database+".sqlite")+"?_pragma=busy_timeout(5000)")
	if err != nil {
		s.tb.Fatalf("open the file of the test's database: %v", err)
	}
	defer func() { _ = db.Close() }() // nothing is left to be written
	for _, table := range s.tables(db) {
		statement := fmt.Sprintf(`CREATE INDEX IF NOT EXISTS %q ON %q (_ferretdb_sjson->'$._id')`, table+"_by_id", table)
		if _, err := db.ExecContext(s.tb.Context(), statement); err != nil {
			s.tb.Fatalf("index %s: %v", table, err)
		}
	}
}

func (s *Server) tables(db *sql.DB) (list []string) {
	s.tb.Helper()
	rows, err := db.QueryContext(s.tb.Context(), `SELECT table_name FROM _ferretdb_collections`)
	if err != nil {
		s.tb.Fatalf("list the collections of the test's database: %v", err)
	}
	defer func() { _ = rows.Close() }() // Err says what went wrong
	for rows.Next() {
		var table string
		if err := rows.Scan(&table); err != nil {
			s.tb.Fatalf("list the collections of the test's database: %v", err)
		}
		list = append(list, table)
	}
	if err := rows.Err(); err != nil {
		s.tb.Fatalf("list the collections of the test's database: %v", err)
	}
	return list
}

func (s *Server) drop() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	client, err := mongo.Connect(ctx, options.Client().ApplyURI(s.uri))
	if err != nil {
		s.tb.Errorf("connect to MONGODB_URI: %v", err)
		return
	}
	defer func() { _ = client.Disconnect(ctx) }() // the test is over
	if err := client.Database(s.database).Drop(ctx); err != nil {
		s.tb.Errorf("drop the test's database: %v", err)
	}
}

func newDatabase() string { return fmt.Sprintf("test_%s", strings.ToLower(ulid.Make().String())) }
