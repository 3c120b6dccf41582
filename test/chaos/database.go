package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"

	"github.com/FerretDB/FerretDB/ferretdb"
)

// serveDatabase is the process of the database that standalone embeds, so that
// it can be killed by itself.
func serveDatabase(ctx context.Context, address, folder string, logs io.Writer) error {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("make the database's folder: %w", err)
	}
	location := url.URL{Scheme: "file", OmitHost: true, Path: filepath.ToSlash(folder) + "/"}
	database, err := ferretdb.New(&ferretdb.Config{
		Listener:  ferretdb.ListenerConfig{TCP: address},
		Logger:    slog.New(slog.NewTextHandler(logs, &slog.HandlerOptions{Level: slog.LevelError})),
		Handler:   "sqlite",
		SQLiteURL: location.String(),
	})
	if err != nil {
		return fmt.Errorf("start the database: %w", err)
	}
	if err := database.Run(ctx); err != nil {
		return fmt.Errorf("run the database: %w", err)
	}
	return nil
}
