package check

import (
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// imageVersion is not what a program calls itself without being told.
const imageVersion = "9.9.9-check"

// program is a service's binary with the settings that it says it has.
type program struct {
	path     string
	settings []setting
}

type setting struct {
	Name     string `json:"name"`
	Default  string `json:"default"`
	Required bool   `json:"required"`
}

// deployment is one service as one file deploys it.
type deployment struct {
	// env holds what the container is given, files the host's copy of every file
	// that is mounted into it, by its path there.
	env   map[string]string
	files map[string][]byte
	ports []int
	// grace is how long the platform waits between asking and killing.
	grace time.Duration
}

func buildProgram(t *testing.T, service string) program {
	t.Helper()
	p := program{path: build(t, service)}
	output, err := exec.CommandContext(t.Context(), p.path, "-settings").Output()
	require.NoError(t, err, "%s -settings", service)
	require.NoError(t, json.Unmarshal(output, &p.settings))
	require.NotEmpty(t, p.settings)
	output, err = exec.CommandContext(t.Context(), p.path, "-version").Output()
	require.NoError(t, err, "%s -version", service)
	assert.Equal(t, imageVersion, strings.TrimSpace(string(output)), "the version that the image is built with")
	return p
}

func (p program) setting(name string) (setting, bool) {
	i := slices.IndexFunc(p.settings, func(s setting) bool { return s.Name == name })
	if i < 0 {
		return setting{}, false
	}
	return p.settings[i], true
}

// effective is the value that the program will use.
func (p program) effective(d deployment, name string) string {
	if value, given := d.env[name]; given {
		return value
	}
	s, _ := p.setting(name)
	return s.Default
}

// port is where the program will listen, or 0 when it has no such setting.
func (p program) port(t *testing.T, d deployment, name string) int {
	t.Helper()
	if _, known := p.setting(name); !known {
		return 0
	}
	_, port, err := net.SplitHostPort(p.effective(d, name))
	require.NoError(t, err, name)
	number, err := strconv.Atoi(port)
	require.NoError(t, err, name)
	return number
}

// runtimeVariables are read by Go itself.
func runtimeVariables() []string { return []string{"GOMEMLIMIT", "GOMAXPROCS"} }

func (p program) assertAgrees(t *testing.T, d deployment) {
	t.Helper()
	for name := range d.env {
		if _, known := p.setting(name); !known && !slices.Contains(runtimeVariables(), name) {
			t.Errorf("%s is set, but the program has no such setting", name)
		}
	}
	for _, s := range p.settings {
		if s.Required {
			assert.NotEmpty(t, d.env[s.Name], "%s is required", s.Name)
		}
	}
	var listens []int
	for _, name := range []string{"HTTP_ADDR", "OPS_ADDR"} {
		if port := p.port(t, d, name); port != 0 {
			listens = append(listens, port)
		}
	}
	assert.ElementsMatch(t, listens, d.ports, "ports of the container and listeners of the program")
	grace, err := time.ParseDuration(p.effective(d, "SHUTDOWN_GRACE"))
	require.NoError(t, err)
	// What follows the grace (hand back, flush, close) has deadlines of seconds.
	assert.GreaterOrEqual(t, d.grace, grace+10*time.Second, "the platform must not kill a drain")
	p.assertAccepts(t, d)
}

// assertAccepts runs the program with exactly the environment of the container,
// except that the files in it are copies.
func (p program) assertAccepts(t *testing.T, d deployment) {
	t.Helper()
	command := exec.CommandContext(t.Context(), p.path, "-print-config")
	folder := t.TempDir()
	for name, value := range d.env {
		if strings.HasSuffix(name, "_FILE") {
			content, mounted := d.files[value]
			assert.True(t, mounted, "%s=%s is not mounted", name, value)
			value = filepath.Join(folder, name)
			require.NoError(t, os.WriteFile(value, content, 0o600))
		}
		command.Env = append(command.Env, name+"="+value)
	}
	output, err := command.CombinedOutput()
	require.NoError(t, err, "-print-config: %s", output)
	for _, s := range p.settings {
		assert.Contains(t, string(output), s.Name+"=")
	}
}
