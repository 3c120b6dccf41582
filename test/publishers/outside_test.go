package publishers_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/zip"

	"github.com/dembrane/webhooks/pkg/topology"
)

const ours = "github.com/dembrane/webhooks/"

// published are the modules that others may require. They are tagged together.
func published() []string { return []string{"proto", "pkg/event", "pkg/signature", "pkg/publisher"} }

// A module that is no part of this repository gets the publisher and the verifier as
// it would get them from a release, and what README.md shows publishes.
func TestAModuleOutsideCanPublish(t *testing.T) {
	server, _, stream := pipeline(t)
	version := release(t)
	folder := t.TempDir()
	outside := outsideModule(t, folder, proxyOf(t, version))

	outside("mod", "init", "example.org/pipeline")
	require.NoError(t, os.WriteFile(filepath.Join(folder, "main.go"), []byte(program(t)), 0o600))
	outside("get", ours+"pkg/publisher@"+version, ours+"pkg/signature@"+version)
	outside("mod", "tidy")
	outside("vet", ".")
	said := outside("run", "-trimpath", ".", server.URL())

	assert.Contains(t, said, "published")
	assert.EqualValues(t, 1, stored(t, stream))
	message, err := stream.GetMsg(t.Context(), 1)
	require.NoError(t, err)
	assert.Equal(t, "dembrane.events.demo.report.generated", topology.PublishedSubject(message.Subject))

	needed := strings.Fields(outside("list", "-m", "-f", "{{.Path}}", "all"))
	for _, path := range published() {
		assert.Contains(t, needed, ours+path)
	}
	assert.NotContains(t, needed, ours+"pkg", "it requires servers and drivers")
	for _, path := range needed {
		for _, heavy := range []string{"nats-server", "tink", "ssrf", "prometheus", "zap", "mongo", "FerretDB", "echo"} {
			assert.NotContains(t, path, heavy)
		}
	}
	assert.LessOrEqual(t, len(needed), 25, "whoever publishes does not need all of: %s", strings.Join(needed, " "))
}

// release is the version that the modules of this repository require of those that
// others may: the same everywhere.
func release(t *testing.T) (version string) {
	t.Helper()
	files, err := filepath.Glob("../../*/go.mod")
	require.NoError(t, err)
	deeper, err := filepath.Glob("../../*/*/go.mod")
	require.NoError(t, err)
	for _, file := range append(files, deeper...) {
		content, err := os.ReadFile(file)
		require.NoError(t, err)
		parsed, err := modfile.Parse(file, content, nil)
		require.NoError(t, err)
		for _, path := range published() {
			for _, r := range parsed.Require {
				if r.Mod.Path != ours+path {
					continue
				}
				if version == "" {
					version = r.Mod.Version
				}
				assert.Equal(t, version, r.Mod.Version, "%s requires %s", file, path)
			}
		}
	}
	require.NoError(t, module.Check(ours+"proto", version))
	require.NotEqual(t, "v0.0.0", version, "nobody else can resolve it")
	return version
}

// proxyOf is a folder laid out as a Go module proxy, with these modules as they are in
// the tree.
func proxyOf(t *testing.T, version string) string {
	t.Helper()
	proxy := t.TempDir()
	for _, path := range published() {
		source := filepath.Join("../..", path)
		folder := filepath.Join(proxy, ours, path, "@v")
		require.NoError(t, os.MkdirAll(folder, 0o700))
		manifest, err := os.ReadFile(filepath.Join(source, "go.mod"))
		require.NoError(t, err)
		var archive bytes.Buffer
		require.NoError(t, zip.CreateFromDir(&archive, module.Version{Path: ours + path, Version: version}, source))
		for name, content := range map[string][]byte{
			"list": []byte(version + "\n"), version + ".info": []byte(`{"Version":"` + version + `"}`),
			version + ".mod": manifest, version + ".zip": archive.Bytes(),
		} {
			require.NoError(t, os.WriteFile(filepath.Join(folder, name), content, 0o600))
		}
	}
	return proxy
}

// outsideModule runs the go command in a folder, with a module cache of its own: what
// is in ours under these versions may be from another commit.
func outsideModule(t *testing.T, folder, proxy string) func(args ...string) string {
	t.Helper()
	goEnv := func(name string) string {
		output, err := exec.CommandContext(t.Context(), "go", "env", name).Output()
		require.NoError(t, err)
		return strings.TrimSpace(string(output))
	}
	known := filepath.Join(goEnv("GOMODCACHE"), "cache", "download")
	env := append(os.Environ(), "GOWORK=off", "GOMODCACHE="+t.TempDir(), "GOFLAGS=-modcacherw", "GOSUMDB=off",
		"GOPROXY=file://"+proxy+",file://"+known+","+goEnv("GOPROXY"))
	return func(args ...string) string {
		t.Helper()
		command := exec.CommandContext(t.Context(), "go", args...)
		command.Dir, command.Env = folder, env
		output, err := command.CombinedOutput()
		require.NoError(t, err, "go %s\n%s", strings.Join(args, " "), output)
		return string(output)
	}
}

// program is the Go of README.md with what is needed around it.
func program(t *testing.T) string {
	t.Helper()
	readme, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	_, shown, found := strings.Cut(string(readme), "```go\n")
	require.True(t, found)
	shown, _, _ = strings.Cut(shown, "```")
	require.Contains(t, shown, "p.Publish")
	return `package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/publisher"
	"github.com/dembrane/webhooks/pkg/signature"
	"github.com/dembrane/webhooks/proto/webhooksv1"
)

func publish(ctx context.Context, nc *nats.Conn) error {
` + shown + `}

func main() {
	if err := signature.Verify("secret", http.Header{}, nil, time.Now(), signature.Tolerance); err == nil {
		panic("nothing was signed")
	}
	nc, err := nats.Connect(os.Args[1])
	if err != nil {
		panic(err)
	}
	defer nc.Close()
	if err := publish(context.Background(), nc); err != nil {
		panic(err)
	}
	fmt.Println("published")
}
`
}
