package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"time"
)

// receiver is the receiver's process as the measuring one sees it.
type receiver struct {
	*child
	introduction
	phases int
	client *http.Client
}

// startReceiver starts this program again, in its other role.
func startReceiver(ctx context.Context, hosts, hanging int, folder string) (*receiver, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	r := &receiver{client: &http.Client{}}
	r.child, err = startChild(ctx, command{
		name: "receiver", program: program, folder: folder,
		args: []string{"-role", roleReceiver, "-endpoints", strconv.Itoa(hosts), "-hanging", strconv.Itoa(hanging), "-timeout", "24h"},
		env:  []string{},
	}, &r.introduction)
	return r, err
}

// expectation is what a phase is about.
type expectation struct {
	events   int  // at most
	webhooks int  // that each event goes to
	beside   bool // whether the phases before go on
}

// begin starts a phase of its own for a number of events, each for one webhook.
func (r *receiver) begin(ctx context.Context, events int) (string, error) {
	return r.open(ctx, expectation{events: events, webhooks: 1})
}

// open starts a phase.
func (r *receiver) open(ctx context.Context, e expectation) (string, error) {
	r.phases++
	name := phaseName(r.phases)
	query := url.Values{
		"phase": {name}, "events": {strconv.Itoa(e.events)}, "webhooks": {strconv.Itoa(e.webhooks)},
		"beside": {strconv.FormatBool(e.beside)},
	}
	return name, r.call(ctx, http.MethodPost, "/begin?"+query.Encode(), nil)
}

// report waits until as much as expected has arrived, but not for ever.
func (r *receiver) report(ctx context.Context, phase string, expected int, wait time.Duration) (report, error) {
	var result report
	query := url.Values{"phase": {phase}, "expected": {strconv.Itoa(expected)}, "wait": {wait.String()}}
	err := r.call(ctx, http.MethodGet, "/report?"+query.Encode(), &result)
	return result, err
}

func (r *receiver) call(ctx context.Context, method, path string, answer any) error {
	request, err := http.NewRequestWithContext(ctx, method, r.Control+path, nil) //nolint:gosec // our own child's address
	if err != nil {
		return fmt.Errorf("ask the receiver: %w", err)
	}
	response, err := r.client.Do(request) //nolint:gosec // our own child's address
	if err != nil {
		return fmt.Errorf("ask the receiver: %w", err)
	}
	defer func() { _ = response.Body.Close() }() // it is read to its end below
	data, err := io.ReadAll(response.Body)
	switch {
	case err != nil:
		return fmt.Errorf("read the receiver's answer: %w", err)
	case response.StatusCode != http.StatusOK:
		return fmt.Errorf("ask the receiver: %d %s", response.StatusCode, data)
	case answer == nil:
		return nil
	}
	if err := json.Unmarshal(data, answer); err != nil {
		return fmt.Errorf("decode the receiver's answer: %w", err)
	}
	return nil
}

// stop ends the process and the connections to it.
func (r *receiver) stop() {
	r.client.CloseIdleConnections()
	r.child.stop()
}
