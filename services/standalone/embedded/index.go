package embedded

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"time"

	_ "modernc.org/sqlite" // the driver, the same one that the database uses
)

// indexBusy is how long making an index waits for others.
const indexBusy = 5 * time.Second

// IndexIDs gives every collection of a database the index that its look-ups by
// _id can use. FerretDB 1.24 asks SQLite for _ferretdb_sjson->'$._id' and indexes
// _ferretdb_sjson->"_id", which SQLite does not take for the same, so that each
// look-up reads the whole collection. It may be called any number of times, once
// the collections exist.
func (m *Mongo) IndexIDs(ctx context.Context, database string) (err error) {
	db, err := m.open(database, indexBusy)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	tables, err := tables(ctx, db)
	if err != nil {
		return fmt.Errorf("list collections: %w", err)
	}
	for _, table := range tables {
		statement := fmt.Sprintf(`CREATE INDEX IF NOT EXISTS %q ON %q (_ferretdb_sjson->'$._id')`, table+"_by_id", table)
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("index %s: %w", table, err)
		}
	}
	return nil
}

// open opens the file of a database beside FerretDB. It waits for others for so long.
func (m *Mongo) open(database string, busy time.Duration) (*sql.DB, error) {
	location := url.URL{Scheme: "file", OmitHost: true, Path: filepath.ToSlash(filepath.Join(m.dir, database+".sqlite"))}
	location.RawQuery = url.Values{"_pragma": {fmt.Sprintf("busy_timeout(%d)", busy.Milliseconds()), "secure_delete(on)"}, "mode": {"rw"}}.Encode()
	db, err := sql.Open("sqlite", location.String())
	if err != nil {
		return nil, fmt.Errorf("open the database's file: %w", err)
	}
	db.SetMaxOpenConns(1)
	return db, nil
}

// tables lists the tables in which FerretDB keeps the collections.
func tables(ctx context.Context, db *sql.DB) ([]string, error) {
	rows, err := db.QueryContext(ctx, `SELECT table_name FROM _ferretdb_collections`)
	if err != nil {
		return nil, err //nolint:wrapcheck // the caller says what for
	}
	defer func() { _ = rows.Close() }() // Err says what went wrong
	var list []string
	for rows.Next() {
		var table string
		if err := rows.Scan(&table); err != nil {
			return nil, err //nolint:wrapcheck // the caller says what for
		}
		list = append(list, table)
	}
	return list, rows.Err() //nolint:wrapcheck // the caller says what for
}
