package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/FerretDB/FerretDB/ferretdb"
	"go.uber.org/zap"

	"github.com/dembrane/webhooks/pkg/mongogate"
)

// Mongo is a database that speaks MongoDB's protocol and stores in SQLite. It
// reports nothing to anybody: telemetry is off when it is embedded. Whoever
// starts it stops it.
type Mongo struct {
	gate  *mongogate.Gate
	dir   string
	stop  context.CancelFunc
	ended chan struct{}
}

// StartMongo starts a database on a free port of the loopback interface that
// stores in dir. It outlives ctx: only [Mongo.Stop] ends it.
func StartMongo(ctx context.Context, dir string, log *zap.Logger) (*Mongo, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the database's folder: %w", err)
	}
	absolute, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("find the database's folder: %w", err)
	}
	location, err := sqliteURL(absolute)
	if err != nil {
		return nil, err
	}
	db, err := ferretdb.New(&ferretdb.Config{
		Listener:  ferretdb.ListenerConfig{TCP: "127.0.0.1:0"},
		Logger:    slog.New(&mongoLog{log: log.Named("mongodb")}),
		Handler:   "sqlite",
		SQLiteURL: location,
	})
	if err != nil {
		return nil, fmt.Errorf("start the database: %w", err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	m := &Mongo{dir: absolute, stop: stop, ended: make(chan struct{})}
	go func() {
		defer close(m.ended)
		if err := db.Run(ctx); err != nil {
			log.Error("database ended", zap.Error(err))
		}
	}()
	if m.gate, err = mongogate.Open(ctx, "127.0.0.1:0", db.MongoDBURI()); err != nil {
		stop()
		<-m.ended
		return nil, err //nolint:wrapcheck // it says what it was
	}
	return m, nil
}

// sqliteURL names an absolute path of a folder as SQLite wants it. The path has to be
// clean of characters that mean something in a URL.
func sqliteURL(absolute string) (string, error) {
	if strings.ContainsAny(absolute, "?#%") {
		return "", fmt.Errorf("DATA_DIR must not contain ?, # or %%: %s", absolute)
	}
	location := url.URL{Scheme: "file", OmitHost: true, Path: filepath.ToSlash(absolute) + "/"}
	// What is deleted or replaced is overwritten: erased means erased.
	location.RawQuery = url.Values{"_pragma": {"secure_delete(on)"}}.Encode()
	return location.String(), nil
}

// URI is its connection string.
func (m *Mongo) URI() string { return m.gate.URI() }

// Watch returns nil when ctx is done, and an error as soon as the database has
// ended.
func (m *Mongo) Watch(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-m.ended:
		return errors.New("the database died")
	}
}

// Stop ends the database; what it stored stays. Clients should have left: those that
// are connected are cut off.
func (m *Mongo) Stop() {
	m.gate.Close()
	m.stop()
	<-m.ended
}
