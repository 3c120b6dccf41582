// Package config finds the settings of the program: flags go before the
// environment, which goes before the file, which goes before what is usual.
package config

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"
)

const (
	// maxFileBytes bounds files of settings and secrets, maxLargeBytes those with an
	// event or a body.
	maxFileBytes, maxLargeBytes = 1 << 20, 96 << 20
)

// The usual places: those of a standalone on this machine.
const (
	DefaultAPI  = "http://127.0.0.1:8080"
	DefaultNATS = "nats://127.0.0.1:4222"
)

// Settings are where the system is and who asks. An empty one is not set.
type Settings struct {
	API       string `yaml:"api"`
	Token     string `yaml:"token"`
	TokenFile string `yaml:"token_file"`
	Project   string `yaml:"project"`
	NATS      string `yaml:"nats"`
	NATSCreds string `yaml:"nats_creds"`
}

// Environment is the process's environment.
func Environment() map[string]string {
	all := map[string]string{}
	for _, pair := range os.Environ() {
		name, value, _ := strings.Cut(pair, "=")
		all[name] = value
	}
	return all
}

// Load puts the settings together. The path is that of the flag, which has to
// exist; without one the file may be missing.
func Load(flags Settings, path string, environment map[string]string) (Settings, error) {
	required := true
	if path = cmp.Or(path, environment["DEMBRANE_CONFIG"]); path == "" {
		path, required = usualPath(environment), false
	}
	file, err := read(path)
	if errors.Is(err, fs.ErrNotExist) && !required {
		err = nil
	}
	if err != nil {
		return Settings{}, fmt.Errorf("read settings: %w", err)
	}
	e := Settings{
		API: environment["DEMBRANE_API"], Token: environment["DEMBRANE_TOKEN"], TokenFile: environment["DEMBRANE_TOKEN_FILE"],
		Project: environment["DEMBRANE_PROJECT"], NATS: environment["DEMBRANE_NATS"], NATSCreds: environment["DEMBRANE_NATS_CREDS"],
	}
	s := Settings{
		API:       strings.TrimRight(cmp.Or(flags.API, e.API, file.API, DefaultAPI), "/"),
		Project:   cmp.Or(flags.Project, e.Project, file.Project),
		NATS:      cmp.Or(flags.NATS, e.NATS, file.NATS, DefaultNATS),
		NATSCreds: cmp.Or(flags.NATSCreds, e.NATSCreds, file.NATSCreds),
	}
	if at, err := url.Parse(s.API); err != nil || at.Host == "" || (at.Scheme != "http" && at.Scheme != "https") {
		return Settings{}, fmt.Errorf("%q is no address of an API: write it in full, as in %s", s.API, DefaultAPI)
	}
	for _, source := range []Settings{flags, e, file} {
		if source.Token == "" && source.TokenFile == "" {
			continue
		}
		if s.Token = source.Token; s.Token == "" {
			if s.Token, err = Secret(source.TokenFile, nil); err != nil {
				return Settings{}, fmt.Errorf("read the token: %w", err)
			}
		}
		break
	}
	return s, nil
}

// usualPath is where the file is when nobody says so.
func usualPath(environment map[string]string) string {
	folder := environment["XDG_CONFIG_HOME"]
	if folder == "" {
		folder = filepath.Join(environment["HOME"], ".config")
	}
	return filepath.Join(folder, "dembrane-webhooks.yaml")
}

func read(path string) (s Settings, _ error) {
	data, err := File(path, nil)
	if err != nil {
		return s, err
	}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	decoder.KnownFields(true)
	if err := decoder.Decode(&s); err != nil && !errors.Is(err, io.EOF) {
		return s, fmt.Errorf("%s: %w; it may have api, token, token_file, project, nats and nats_creds", path, err)
	}
	return s, nil
}

// Secret reads a file with one secret. A line break at its end is not part of it:
// editors add one.
func Secret(path string, stdin io.Reader) (string, error) {
	data, err := File(path, stdin)
	if err != nil {
		return "", err
	}
	secret := strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	if secret == "" {
		return "", fmt.Errorf("%s is empty", path)
	}
	return secret, nil
}

// File reads a small file, or standard input when its name is -.
func File(path string, stdin io.Reader) ([]byte, error) { return upTo(path, stdin, maxFileBytes) }

// LargeFile is File for events and bodies.
func LargeFile(path string, stdin io.Reader) ([]byte, error) { return upTo(path, stdin, maxLargeBytes) }

func upTo(path string, stdin io.Reader, most int64) ([]byte, error) {
	from := stdin
	if path != "-" || stdin == nil {
		file, err := os.Open(path) //nolint:gosec // the person names it
		if err != nil {
			return nil, err //nolint:wrapcheck // it names the file and what was wrong
		}
		defer func() { _ = file.Close() }() // it was only read
		from = file
	}
	data, err := io.ReadAll(io.LimitReader(from, most+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if int64(len(data)) > most {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, most)
	}
	return data, nil
}
