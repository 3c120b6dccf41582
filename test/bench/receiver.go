package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/dembrane/webhooks/test/internal/apiclient"
	"github.com/dembrane/webhooks/test/internal/ledger"
	"github.com/dembrane/webhooks/test/internal/process"
	"github.com/dembrane/webhooks/test/internal/receiver"
	"github.com/dembrane/webhooks/test/internal/run"
)

const (
	// maxHosts is how many addresses 127.1.0.0/16 gives out below.
	maxHosts = 60_000
	// hookPath is the path of every target, or what it begins with: behind it stands
	// the number of the webhook, where an event goes to several.
	hookPath = "/hook"
	// slowPath is that of an endpoint that takes slowAnswer to answer, and hangPath of
	// those that never do.
	slowPath, hangPath = "/slow", "/hang"
	slowAnswer         = 50 * time.Millisecond
)

// introduction is the one line that the receiver prints when it listens.
type introduction struct {
	// Control is the base URL of the calls begin and report.
	Control string `json:"control"`
	// Hosts are the base URLs to deliver to.
	Hosts []string `json:"hosts"`
}

// report says what arrived in a phase.
type report struct {
	Distinct   int   `json:"distinct"`
	Duplicates int   `json:"duplicates"`
	Bytes      int64 `json:"bytes"`
	// Strays are deliveries that belong to no phase, or to an earlier one; they
	// are counted over the receiver's whole life. So is Hung: deliveries that were
	// never answered, because their endpoint hangs.
	Strays int `json:"strays"`
	Hung   int `json:"hung"`
	// Arrived is when each event was received first, in unix nanoseconds; where an
	// event goes to several webhooks, once for each of them.
	Arrived []int64 `json:"arrived"`
}

// last is when the last distinct event was received.
func (r report) last() time.Time { return time.Unix(0, slices.Max(r.Arrived)) }

// serveReceivers is the receiver's process: it reads, notes and answers, and nothing
// else.
func serveReceivers(ctx context.Context, o plan, stdout interface{ Write([]byte) (int, error) }) error {
	books, hung := ledger.New(), new(atomic.Int64)
	handler := receiver.New(books,
		receiver.Hook{Path: "/", Blind: true},
		receiver.Hook{Path: slowPath, Blind: true, Answer: receiver.Thinks(slowAnswer)})
	hosts, err := listenAll(ctx, o.hosts+o.hanging)
	if err != nil {
		return err
	}
	control, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen for control: %w", err)
	}
	hello := introduction{Control: "http://" + control.Addr().String()}
	serving, ctx := errgroup.WithContext(ctx)
	serve := func(handler http.Handler, listeners ...net.Listener) {
		server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
		for _, listener := range listeners {
			serving.Go(func() error {
				if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
					return err
				}
				return nil
			})
		}
		serving.Go(func() error {
			<-ctx.Done()
			return server.Close()
		})
	}
	serve(handler, hosts...)
	serve(controlHandler(books, hung), control)
	for _, host := range hosts {
		hello.Hosts = append(hello.Hosts, "http://"+host.Addr().String())
	}
	handler.Add(receiver.Hook{Path: hangPath, Blind: true, Unnoted: true, Answer: receiver.Silence, Seen: func(receiver.Arrival) { hung.Add(1) }})
	if err := json.NewEncoder(stdout).Encode(hello); err != nil {
		return fmt.Errorf("introduce the receiver: %w", err)
	}
	return serving.Wait()
}

// listenAll listens once a host. The hosts are addresses of their own where the
// system has the whole of 127/8 (Linux), else ports of one address: connections
// are kept per address and port, so the measurement is the same.
func listenAll(ctx context.Context, hosts int) (all []net.Listener, err error) {
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
			return nil, fmt.Errorf("listen for deliveries: %w", err) // the process ends, and with it the others
		}
		all = append(all, listener)
		if bound, ok := listener.Addr().(*net.TCPAddr); ok && port == 0 {
			port = bound.Port
		}
	}
	return all, nil
}

// controlHandler is what the measuring process calls.
func controlHandler(books *ledger.Ledger, hung *atomic.Int64) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /begin", func(w http.ResponseWriter, r *http.Request) {
		events, err := strconv.Atoi(r.FormValue("events"))
		webhooks, err2 := strconv.Atoi(r.FormValue("webhooks"))
		if errors.Join(err, err2) != nil || events < 1 || webhooks < 1 || r.FormValue("phase") == "" {
			http.Error(w, "begin needs a phase, a number of events, and one of webhooks", http.StatusBadRequest)
			return
		}
		if r.FormValue("beside") != "true" {
			books.Forget()
		}
		books.Open(r.FormValue("phase"), webhooks).Expect(events)
	})
	mux.HandleFunc("GET /report", func(w http.ResponseWriter, r *http.Request) {
		wait, err := time.ParseDuration(r.FormValue("wait"))
		expected, err2 := strconv.Atoi(r.FormValue("expected"))
		book := books.Find(r.FormValue("phase"))
		if errors.Join(err, err2) != nil || book == nil {
			http.Error(w, "report needs a wait, what is expected, and a phase that has begun", http.StatusBadRequest)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), wait)
		defer cancel()
		// The arrivals have been noted to the nanosecond; looking now and then disturbs least.
		_ = run.Poll(ctx, func(context.Context) error { // what is missing is in the report
			if book.Sums().Distinct < expected {
				return errLost
			}
			return nil
		})
		sums := book.Sums()
		strays, _ := books.Wrongs()
		answer := report{Distinct: sums.Distinct, Duplicates: sums.Duplicates, Strays: strays, Hung: int(hung.Load())}
		answer.Bytes, answer.Arrived = book.Arrived()
		_ = json.NewEncoder(w).Encode(answer) // a caller that went away needs no report
	})
	return mux
}

// receivers is the receiver's process as the measuring one sees it.
type receivers struct {
	*process.Process
	introduction
	phases int
}

// startReceivers starts this program again, in its other role, until t ends.
func startReceivers(t run.T, hosts, hanging int, folder string) *receivers {
	program, err := os.Executable()
	run.Must(t, err, "find this program")
	r := new(receivers)
	r.Process = &process.Process{
		Name: roleReceiver, Program: program, Folder: folder, Line: &r.introduction,
		Args: []string{"-role", roleReceiver, "-endpoints", strconv.Itoa(hosts), "-hanging", strconv.Itoa(hanging), "-timeout", "24h"},
	}
	r.Run(t)
	return r
}

// expectation is what a phase is about.
type expectation struct {
	events   int  // at most
	webhooks int  // that each event goes to
	beside   bool // whether the phases before go on
	// again is a phase that was forgotten and whose events are still to come; "" for a
	// new one.
	again string
}

// begin starts a phase of its own for a number of events, each for one webhook.
func (r *receivers) begin(t run.T, events int) string {
	t.Helper()
	return r.open(t, expectation{events: events, webhooks: 1})
}

// open starts a phase.
func (r *receivers) open(t run.T, e expectation) string {
	t.Helper()
	name := e.again
	if name == "" {
		r.phases++
		name = phaseName(r.phases)
	}
	r.ask(t, "/begin", url.Values{
		"phase": {name}, "events": {strconv.Itoa(e.events)}, "webhooks": {strconv.Itoa(e.webhooks)},
		"beside": {strconv.FormatBool(e.beside)},
	})
	return name
}

// report waits until as much as expected has arrived, but not for ever.
func (r *receivers) report(t run.T, phase string, expected int, wait time.Duration) (result report) {
	t.Helper()
	body := r.ask(t, "/report", url.Values{"phase": {phase}, "expected": {strconv.Itoa(expected)}, "wait": {wait.String()}})
	run.Must(t, json.Unmarshal(body, &result), "read the receiver's report")
	return result
}

func (r *receivers) ask(t run.T, path string, query url.Values) []byte {
	t.Helper()
	body, err := apiclient.Get(t.Context(), r.Control+path+"?"+query.Encode(), 0)
	run.Must(t, err, "ask the receiver")
	return body
}
