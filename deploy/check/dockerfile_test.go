package check

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// instruction is one line of a Dockerfile, continued lines joined.
type instruction struct {
	name  string
	flags []string
	text  string
}

// readDockerfile returns the stages of a service's Dockerfile.
func readDockerfile(t *testing.T, service string) [][]instruction {
	t.Helper()
	source, err := os.ReadFile(filepath.Join(root, "services", service, "Dockerfile"))
	require.NoError(t, err)
	var lines []string
	for line := range strings.Lines(string(source)) {
		if trimmed := strings.TrimSpace(line); trimmed != "" && !strings.HasPrefix(trimmed, "#") {
			lines = append(lines, trimmed)
		}
	}
	var stages [][]instruction
	for line := range strings.SplitSeq(strings.ReplaceAll(strings.Join(lines, "\n"), "\\\n", ""), "\n") {
		name, text, _ := strings.Cut(line, " ")
		i := instruction{name: name, text: strings.TrimSpace(text)}
		for strings.HasPrefix(i.text, "--") {
			flag, rest, _ := strings.Cut(i.text, " ")
			i.flags, i.text = append(i.flags, flag), strings.TrimSpace(rest)
		}
		if name == "FROM" {
			stages = append(stages, nil)
		}
		require.NotEmpty(t, stages, "%s before FROM", name)
		stages[len(stages)-1] = append(stages[len(stages)-1], i)
	}
	require.Len(t, stages, 2, "one stage builds, the other runs")
	return stages
}

// text returns the only instruction of that name in the stage.
func text(t *testing.T, stage []instruction, name string) string {
	t.Helper()
	var found []string
	for _, i := range stage {
		if i.name == name {
			found = append(found, i.text)
		}
	}
	require.Len(t, found, 1, "instructions %s", name)
	return found[0]
}

// build does what the first stage does, with nothing but the files that it
// copies, and returns the program.
func build(t *testing.T, service string) string {
	t.Helper()
	source, out := t.TempDir(), t.TempDir()
	for _, i := range readDockerfile(t, service)[0] {
		switch i.name {
		case "COPY":
			words := strings.Fields(i.text)
			for _, from := range words[:len(words)-1] {
				to := filepath.Join(source, words[len(words)-1])
				if strings.HasSuffix(words[len(words)-1], "/") {
					to = filepath.Join(to, filepath.Base(from))
				}
				copyContext(t, from, to)
			}
		case "RUN":
			command := exec.CommandContext(t.Context(), "sh", "-c", strings.ReplaceAll(i.text, "/out/", out+"/"))
			command.Dir = source
			command.Env = append(os.Environ(), "VERSION="+imageVersion)
			output, err := command.CombinedOutput()
			require.NoError(t, err, "%s: %s\n%s", service, i.text, output)
		}
	}
	return filepath.Join(out, service)
}

// copyContext copies a file or a folder of the repository, except what
// .dockerignore keeps out of every image.
func copyContext(t *testing.T, from, to string) {
	t.Helper()
	list, err := os.Open(filepath.Join(root, ".dockerignore"))
	require.NoError(t, err)
	defer func() { require.NoError(t, list.Close()) }()
	patterns, err := ignorefile.ReadAll(list)
	require.NoError(t, err)
	ignored, err := patternmatcher.New(patterns)
	require.NoError(t, err)
	copied := 0
	err = filepath.WalkDir(filepath.Join(root, from), func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if skip, err := ignored.MatchesOrParentMatches(name); skip || err != nil {
			return err
		}
		inside, err := filepath.Rel(filepath.Join(root, from), path)
		if err != nil {
			return err
		}
		copied++
		return copyFile(path, filepath.Join(to, inside))
	})
	require.NoError(t, err)
	require.Positive(t, copied, "COPY %s finds nothing", from)
}

func copyFile(from, to string) error {
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.WriteFile(to, content, 0o644)
}

// goVersion is the language version that the workspace asks for, as in "1.26".
func goVersion(t *testing.T) string {
	t.Helper()
	workspace, err := os.ReadFile(filepath.Join(root, "go.work"))
	require.NoError(t, err)
	match := regexp.MustCompile(`(?m)^go (1\.\d+)`).FindSubmatch(workspace)
	require.NotNil(t, match)
	return string(match[1])
}

func TestImages(t *testing.T) {
	for _, service := range []string{"api", "dispatcher", "standalone"} {
		t.Run(service, func(t *testing.T) {
			stages := readDockerfile(t, service)
			final := stages[1]
			assert.Equal(t, "golang:"+goVersion(t)+" AS build", text(t, stages[0], "FROM"))
			// Semantic, because NATS lists no service with any other version.
			assert.Contains(t, stages[0], instruction{name: "ARG", text: "VERSION=0.0.0-dev"})
			assert.Equal(t, "gcr.io/distroless/static:nonroot", text(t, final, "FROM"))
			assert.Regexp(t, `^[1-9]\d*:[1-9]\d*$`, text(t, final, "USER"), "Kubernetes must see that it is not root")
			assert.Equal(t, `["/`+service+`"]`, text(t, final, "ENTRYPOINT"))
			assert.True(t, slices.ContainsFunc(final, func(i instruction) bool {
				return i.name == "COPY" && i.text == "/out/"+service+" /"+service
			}))
		})
	}
}
