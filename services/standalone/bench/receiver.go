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

// maxHosts is how many addresses 127.1.0.0/16 gives out below, and more than
// anybody needs.
const maxHosts = 10_000

// introduction is the one line that the receiver prints when it listens.
type introduction struct {
	// Control is the base URL of the calls begin and report.
	Control string `json:"control"`
	// Targets are the URLs to deliver to, each with a host of its own.
	Targets []string `json:"targets"`
}

// serveReceiver is the receiver's process. It ends when its standard input does,
// so that it never outlives the process that started it.
func serveReceiver(ctx context.Context, hosts int, stdin io.Reader, stdout io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		defer cancel()
		_, _ = io.Copy(io.Discard, stdin) // its end is the message
	}()
	l := new(ledger)
	receiving, err := listenAll(ctx, hosts)
	if err != nil {
		return err
	}
	control, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen for control: %w", err)
	}
	hello := introduction{Control: "http://" + control.Addr().String()}
	for _, listener := range receiving {
		hello.Targets = append(hello.Targets, "http://"+listener.Addr().String()+"/hook")
	}
	if err := json.NewEncoder(stdout).Encode(hello); err != nil {
		return fmt.Errorf("introduce the receiver: %w", err)
	}
	serving, ctx := errgroup.WithContext(ctx)
	server := &http.Server{Handler: l, ReadHeaderTimeout: time.Minute}
	for _, listener := range receiving {
		serving.Go(func() error { return ended(server.Serve(listener)) })
	}
	controls := &http.Server{Handler: controlHandler(l), ReadHeaderTimeout: time.Minute}
	serving.Go(func() error { return ended(controls.Serve(control)) })
	serving.Go(func() error {
		<-ctx.Done()
		return errors.Join(server.Close(), controls.Close())
	})
	return serving.Wait()
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
		if err != nil || events < 1 || r.FormValue("phase") == "" {
			http.Error(w, "begin needs a phase and a number of events", http.StatusBadRequest)
			return
		}
		l.begin(r.FormValue("phase"), events)
	})
	mux.HandleFunc("GET /report", func(w http.ResponseWriter, r *http.Request) {
		wait, err := time.ParseDuration(r.FormValue("wait"))
		current := l.current.Load()
		if err != nil || current == nil {
			http.Error(w, "report needs a wait, and a phase that has begun", http.StatusBadRequest)
			return
		}
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-current.complete:
		case <-timer.C:
		case <-r.Context().Done():
		}
		_ = json.NewEncoder(w).Encode(l.report()) // a caller that went away needs no report
	})
	return mux
}
