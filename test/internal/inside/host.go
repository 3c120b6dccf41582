package inside

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/dembrane/webhooks/services/standalone/app"
	"github.com/dembrane/webhooks/test/internal/run"
)

// hostTimeout is how long a system within this process may take to be ready.
const hostTimeout = time.Minute

// Hosts starts systems within this process. It is locked while one starts: the
// embedded database writes a global variable then, so two at once are a race of its
// own making.
type Hosts struct{ sync.Mutex }

// Host runs a standalone with these settings within this process, until t ends or
// stop is called.
func (h *Hosts) Host(t run.T, settings map[string]string, log *zap.Logger) (at Address, stop func()) {
	t.Helper()
	c, err := app.LoadConfig(settings)
	run.Must(t, err, "configure the standalone")
	hosted, err := app.New(c, "0.0.0-test", log)
	run.Must(t, err, "set up the standalone")
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	h.Lock()
	defer h.Unlock()
	go func() { ended <- hosted.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("stop the standalone: %v", err)
		}
	})
	t.Cleanup(stop)
	select {
	case running := <-hosted.Ready():
		return Address{API: running.API, NATS: running.NATS, MongoDB: running.MongoDB, Ops: running.Ops, Token: running.Token}, stop
	case err := <-ended:
		ended <- nil
		run.Must(t, errors.Join(err, errEnded), "run the standalone")
	case <-time.After(hostTimeout):
		run.Must(t, errEnded, "run the standalone: not ready after %s", hostTimeout)
	}
	return Address{}, stop
}

// errEnded says that a system is not there although nobody asked it to end.
var errEnded = errors.New("it does not run")
