// Package e2e_test tells what users of the whole system live through, as
// stories: a receiver that answers this and that, an event that is published,
// and what the delivery log says in the end. Everything is real and talks over
// sockets; where a process has to die, it is a process of its own.
package e2e_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"
)

// program is standalone, built once for the stories that need a process.
var program string

func TestMain(m *testing.M) {
	folder, err := os.MkdirTemp("", "standalone")
	if err != nil {
		fail(err)
	}
	program = filepath.Join(folder, "standalone")
	if output, err := exec.CommandContext(context.Background(), "go", "build", "-o", program, "../../services/standalone").CombinedOutput(); err != nil {
		fail(fmt.Errorf("build standalone: %w\n%s", err, output))
	}
	goleak.VerifyTestMain(m,
		goleak.Cleanup(func(code int) {
			_ = os.RemoveAll(folder)
			os.Exit(code)
		}))
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
