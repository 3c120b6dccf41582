// Package e2e_test tells what users of the whole system live through, as
// stories: a receiver that answers this and that, an event that is published,
// and what the delivery log says in the end. Everything is real and talks over
// sockets; where a process has to die, it is a process of its own.
package e2e_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/dembrane/webhooks/test/internal/process"
)

// program is standalone, built once for the stories that need a process.
var program string

func TestMain(m *testing.M) {
	folder, err := os.MkdirTemp("", "standalone")
	if err == nil {
		program = filepath.Join(folder, "standalone")
		err = process.Build(context.Background(), map[string]string{program: "github.com/dembrane/webhooks/services/standalone"})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(folder)
		os.Exit(code)
	}))
}
