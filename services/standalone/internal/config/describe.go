package config

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/dembrane/webhooks/pkg/settings"
	api "github.com/dembrane/webhooks/services/api/app"
	dispatcher "github.com/dembrane/webhooks/services/dispatcher/app"
)

// decided lists the settings of the two services that standalone decides.
func decided() []string {
	return []string{
		"NATS_URL", "NATS_CREDENTIALS_FILE", "MONGODB_URI", "SECRETS_KEYSET_FILE",
		"DIRECTUS_BASE_URL", "DIRECTUS_TOKEN", "DIRECTUS_SECRET", "DIRECTUS_TIMEOUT", "DIRECTUS_CACHE_TTL", "DIRECTUS_CACHE_SIZE",
		"IDENTITY_DRIVER", "HTTP_ADDR", "STREAM_REPLICAS",
	}
}

// Own lists standalone's own settings.
func Own() []settings.Setting { return settings.Describe(Config{}) }

// All lists standalone's own settings, then those that it hands on.
func All() []settings.Setting {
	all := Own()
	taken := decided()
	for _, s := range all {
		taken = append(taken, s.Name)
	}
	for _, s := range append(settings.Describe(dispatcher.Config{}), settings.Describe(api.Config{})...) {
		if !slices.Contains(taken, s.Name) {
			taken = append(taken, s.Name)
			all = append(all, s)
		}
	}
	return all
}

// WriteJSON writes what [All] returns as an indented JSON array.
func WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(All()); err != nil {
		return fmt.Errorf("write settings: %w", err)
	}
	return nil
}

// Print writes the effective value of every setting of [All] as NAME=value
// lines.
func (c Config) Print(w io.Writer) error {
	toDispatcher, err := c.Dispatcher("decided")
	if err != nil {
		return err
	}
	toAPI, err := c.API("decided", "decided")
	if err != nil {
		return err
	}
	var lines strings.Builder
	for _, part := range []any{c, toDispatcher, toAPI} {
		if err := settings.Print(&lines, part); err != nil {
			return err
		}
	}
	seen := decided()
	for line := range strings.Lines(lines.String()) {
		name, _, _ := strings.Cut(line, "=")
		if slices.Contains(seen, name) {
			continue
		}
		seen = append(seen, name)
		if _, err := io.WriteString(w, line); err != nil {
			return fmt.Errorf("print settings: %w", err)
		}
	}
	return nil
}
