package embedded

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/dembrane/webhooks/pkg/retry"
)

const (
	// scrubPatience is how long readers may keep the log of a database from being
	// emptied.
	scrubPatience = 20 * time.Second
	// scrubBusy is how long one try waits for them. Nobody can write meanwhile.
	scrubBusy = 100 * time.Millisecond
)

// Scrub makes the files of a database forget what was deleted or replaced in it
// before. In the main file that has been overwritten; the write-ahead log, which
// holds everything as it was written, is emptied.
func (m *Mongo) Scrub(ctx context.Context, database string) (err error) {
	db, err := m.open(database, scrubBusy)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	ctx, cancel := context.WithTimeout(ctx, scrubPatience)
	defer cancel()
	err = retry.Until(ctx, retry.Pace{First: 50 * time.Millisecond, Longest: time.Second}, nil, func(ctx context.Context) error {
		var busy, frames, moved int
		row := db.QueryRowContext(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`)
		if err := row.Scan(&busy, &frames, &moved); err != nil {
			return err //nolint:wrapcheck // it is wrapped below
		}
		if busy != 0 {
			return errors.New("others are using it")
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("empty the database's log: %w", err)
	}
	return nil
}
