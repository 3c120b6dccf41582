package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"

	"golang.org/x/sync/errgroup"
)

// programs are the executables that are harmed.
type programs struct {
	api, dispatcher, broker, database string
}

const module = "github.com/dembrane/webhooks/"

// build builds what production runs. The race detector is left out: it would
// slow down what is being watched, and the packages' own tests have it.
func build(ctx context.Context, p plan, folder string) (programs, error) {
	built := programs{
		api: filepath.Join(folder, "api"), dispatcher: filepath.Join(folder, "dispatcher"),
		broker: filepath.Join(folder, "nats-server"), database: filepath.Join(folder, "database"),
	}
	wanted := map[string]string{
		built.broker:   "github.com/nats-io/nats-server/v2",
		built.database: module + "test/chaos",
	}
	if p.programs == "" {
		wanted[built.api], wanted[built.dispatcher] = module+"services/api", module+"services/dispatcher"
	} else {
		given, err := filepath.Abs(p.programs)
		if err != nil {
			return programs{}, fmt.Errorf("find the programs: %w", err)
		}
		built.api, built.dispatcher = filepath.Join(given, "api"), filepath.Join(given, "dispatcher")
	}
	group, ctx := errgroup.WithContext(ctx)
	for path, source := range wanted {
		group.Go(func() error {
			cmd := exec.CommandContext(ctx, "go", "build", "-o", path, source) //nolint:gosec // in a temporary folder of our own
			cmd.Env = append(cmd.Environ(), "CGO_ENABLED=0")
			if output, err := cmd.CombinedOutput(); err != nil {
				return fmt.Errorf("build %s: %w\n%s", source, err, output)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return programs{}, err
	}
	return built, nil
}
