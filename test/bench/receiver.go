package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

// maxHosts is how many addresses 127.1.0.0/16 gives out below.
const maxHosts = 60_000

// introduction is the one line that the receiver prints when it listens.
type introduction struct {
	// Control is the base URL of the calls begin and report.
	Control string `json:"control"`
	// Targets are the URLs to deliver to, each with a host of its own. Those of
	// Hanging never answer.
	Targets []string `json:"targets"`
	Hanging []string `json:"hanging"`
}

// serveReceiver is the receiver's process. It ends when its standard input does,
// so that it never outlives the process that started it.
func serveReceiver(ctx context.Context, o plan, stdin io.Reader, stdout io.Writer) error {
	ctx, cancel := untilEnd(ctx, stdin)
	defer cancel()
	l := new(ledger)
	listeners, err := listenAll(ctx, o.hosts+o.hanging)
	if err != nil {
		return err
	}
	receiving, hanging := listeners[:o.hosts], listeners[o.hosts:]
	control, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen for control: %w", err)
	}
	hello := introduction{Control: "http://" + control.Addr().String(), Targets: urls(receiving), Hanging: urls(hanging)}
	if err := json.NewEncoder(stdout).Encode(hello); err != nil {
		return fmt.Errorf("introduce the receiver: %w", err)
	}
	serving, ctx := errgroup.WithContext(ctx)
	serve := func(handler http.Handler, listeners ...net.Listener) {
		server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
		for _, listener := range listeners {
			serving.Go(func() error { return ended(server.Serve(listener)) })
		}
		serving.Go(func() error {
			<-ctx.Done()
			return server.Close()
		})
	}
	serve(l, receiving...)
	serve(http.HandlerFunc(l.hang), hanging...)
	serve(controlHandler(l), control)
	return serving.Wait()
}

// untilEnd returns a context that is done when stdin ends: the measuring process
// holds the other side of it.
func untilEnd(ctx context.Context, stdin io.Reader) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		defer cancel()
		_, _ = io.Copy(io.Discard, stdin) // its end is the message
	}()
	return ctx, cancel
}

func urls(listeners []net.Listener) []string {
	var list []string
	for _, listener := range listeners {
		list = append(list, "http://"+listener.Addr().String()+hookPath)
	}
	return list
}

func ended(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// listenAll listens once a host. The hosts are addresses of their own where the
// system has the whole of 127/8 (Linux), else ports of one address: connections
// are kept per address and port, so the measurement is the same.
func listenAll(ctx context.Context, hosts int) (all []net.Listener, err error) {
	defer func() {
		if err != nil {
			for _, listener := range all {
				_ = listener.Close()
			}
		}
	}()
	var config net.ListenConfig
	port := 0
	for i := range hosts {
		address := fmt.Sprintf("127.1.%d.%d", 1+i/250, 1+i%250)
		listener, err := config.Listen(ctx, "tcp", net.JoinHostPort(address, strconv.Itoa(port)))
		if errors.Is(err, syscall.EADDRINUSE) {
			listener, err = config.Listen(ctx, "tcp", net.JoinHostPort(address, "0"))
		}
		if errors.Is(err, syscall.EADDRNOTAVAIL) {
			listener, err = config.Listen(ctx, "tcp", "127.0.0.1:0")
		}
		if err != nil {
			return all, fmt.Errorf("listen for deliveries: %w", err)
		}
		all = append(all, listener)
		if bound, ok := listener.Addr().(*net.TCPAddr); ok && port == 0 {
			port = bound.Port
		}
	}
	return all, nil
}

// controlHandler is what the measuring process calls.
func controlHandler(l *ledger) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /begin", func(w http.ResponseWriter, r *http.Request) {
		events, err := strconv.Atoi(r.FormValue("events"))
		webhooks, err2 := strconv.Atoi(r.FormValue("webhooks"))
		if errors.Join(err, err2) != nil || events < 1 || webhooks < 1 || r.FormValue("phase") == "" {
			http.Error(w, "begin needs a phase, a number of events, and one of webhooks", http.StatusBadRequest)
			return
		}
		l.begin(r.FormValue("phase"), events, webhooks, r.FormValue("beside") == "true")
	})
	mux.HandleFunc("GET /report", func(w http.ResponseWriter, r *http.Request) {
		wait, err := time.ParseDuration(r.FormValue("wait"))
		expected, err2 := strconv.Atoi(r.FormValue("expected"))
		asked := l.find(r.FormValue("phase"))
		if errors.Join(err, err2) != nil || asked == nil {
			http.Error(w, "report needs a wait, what is expected, and a phase that has begun", http.StatusBadRequest)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), wait)
		defer cancel()
		asked.await(ctx, expected)
		_ = json.NewEncoder(w).Encode(l.report(asked)) // a caller that went away needs no report
	})
	return mux
}

// await returns when as many distinct events have arrived, or ctx is done. The
// arrivals have been noted to the nanosecond; looking now and then disturbs least.
func (p *phase) await(ctx context.Context, expected int) {
	const lookEvery = 10 * time.Millisecond
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for int(p.distinct.Load()) < expected {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}
