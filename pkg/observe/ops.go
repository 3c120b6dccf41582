package observe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// NoOps is the address of a listener that is not wanted.
const NoOps = "none"

// Ops is the operators' listener, apart from the one that serves users:
// /livez, /readyz and /metrics.
type Ops struct {
	listener net.Listener
	server   *http.Server
}

// NewRegistry returns a registry with the metrics of the process and of Go.
func NewRegistry() *prometheus.Registry {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return registry
}

// ListenOps binds addr at once, so that a port that is taken is an error at
// start-up. [NoOps], or nothing, means no listener: [Ops.Run] then only waits.
func ListenOps(addr string, health *Health, registry *prometheus.Registry) (*Ops, error) {
	if addr == "" || addr == NoOps {
		return &Ops{}, nil
	}
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen for operators on %s: %w", addr, err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", health.serveLive)
	mux.HandleFunc("GET /readyz", health.serveReady)
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{Registry: registry}))
	server := &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       2 * time.Minute,
	}
	return &Ops{listener: listener, server: server}, nil
}

// Addr is the address that was bound; empty without a listener.
func (o *Ops) Addr() string {
	if o.listener == nil {
		return ""
	}
	return o.listener.Addr().String()
}

// Run serves until ctx is done, then closes the listener. Stop it last, so that
// probes and metrics show the drain.
func (o *Ops) Run(ctx context.Context) error {
	if o.server == nil {
		<-ctx.Done()
		return nil
	}
	ended := make(chan error, 1)
	go func() { ended <- o.server.Serve(o.listener) }()
	select {
	case err := <-ended:
		return fmt.Errorf("serve operators: %w", err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	err := o.server.Shutdown(grace)
	<-ended //nolint:errcheck // says that it was shut down
	if errors.Is(err, context.DeadlineExceeded) {
		err = o.server.Close() // a scrape that takes its time does not hold up a stop
	}
	if err != nil {
		return fmt.Errorf("stop serving operators: %w", err)
	}
	return nil
}

// Close releases the listener of an Ops that was never run.
func (o *Ops) Close() error {
	if o.server == nil {
		return nil
	}
	return errors.Join(o.server.Close(), ignoreClosed(o.listener.Close()))
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
