package check

import (
	"bufio"
	"context"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestStandaloneImage(t *testing.T) {
	p := buildProgram(t, "standalone")
	final := readDockerfile(t, "standalone")[1]
	d := deployment{env: map[string]string{}}
	for assignment := range strings.FieldsSeq(text(t, final, "ENV")) {
		name, value, _ := strings.Cut(assignment, "=")
		_, known := p.setting(name)
		assert.True(t, known, "%s is no setting", name)
		d.env[name] = value
	}
	assert.Equal(t, text(t, final, "VOLUME"), d.env["DATA_DIR"])
	// A listener on the container's own loopback could not be reached.
	assert.Equal(t, ":8080", d.env["API_ADDR"])
	assert.Equal(t, ":4222", d.env["NATS_ADDR"])
	assert.Equal(t, "8080 4222", text(t, final, "EXPOSE"))
	p.assertAccepts(t, d)

	t.Run("receiver", func(t *testing.T) { assertReceives(t, p) })
}

// assertReceives starts the receiver as compose and Kubernetes do, only at a
// free port, and sees it refuse what is not signed.
func assertReceives(t *testing.T, p program) {
	t.Helper()
	args := []string(loadCompose(t).Services["receiver"].Command)
	assert.Equal(t, args, render(t, "local").pods["receiver"].template.Spec.Containers[0].Args)
	i := slices.Index(args, ":9000")
	require.Positive(t, i)
	args[i] = "127.0.0.1:0"

	// Killed at the deadline, the receiver ends what this test waits for.
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, p.path, args...)
	output, err := command.StdoutPipe()
	require.NoError(t, err)
	command.Stderr = command.Stdout
	require.NoError(t, command.Start())
	line, err := bufio.NewReader(output).ReadString('\n')
	require.NoError(t, err)
	address := regexp.MustCompile(`http://\S+/`).FindString(line)
	require.NotEmpty(t, address, line)

	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader("{}"))
	require.NoError(t, err)
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	assert.Equal(t, http.StatusUnauthorized, response.StatusCode)

	require.NoError(t, command.Process.Signal(os.Interrupt))
	require.NoError(t, command.Wait())
}
