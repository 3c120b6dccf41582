package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"github.com/dembrane/webhooks/services/standalone/internal/receiver"
)

// runReceiver is `standalone receiver`: it prints one line a delivery, and
// answers 204, or 401 when the signature is wrong.
func runReceiver(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("standalone receiver", flag.ContinueOnError)
	flags.SetOutput(stderr)
	addr := flags.String("addr", "127.0.0.1:9000", "listener")
	secret := flags.String("secret", "", "the webhook's secret; empty verifies nothing")
	var answers []int
	flags.Func("answer", "statuses to answer the first verified deliveries with, separated by commas; the last one stays (default 204)", func(list string) (err error) {
		answers, err = statuses(list)
		return err
	})
	if err := flags.Parse(args); err != nil {
		return 2
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", *addr)
	if err != nil {
		return report(stderr, fmt.Errorf("listen for deliveries: %w", err))
	}
	_, _ = fmt.Fprintf(stdout, "Waiting for deliveries on http://%s/ (Ctrl-C stops)\n", listener.Addr())
	handler := receiver.New(receiver.Options{Secret: *secret, Answers: answers, Seen: func(d receiver.Delivery) {
		verdict := "verified"
		switch {
		case d.Problem != "":
			verdict = d.Problem
		case *secret == "":
			verdict = "not verified: started without -secret"
		}
		// A reader who has gone away is no reason not to answer.
		_, _ = fmt.Fprintf(stdout, "%s  %-25q delivery %q  attempt %q  %d bytes  answered %d  %s\n",
			d.At.Format("15:04:05.000"), d.Event, d.ID, d.Attempt, len(d.Body), d.Answered, verdict)
	}})
	return report(stderr, receiver.Serve(ctx, listener, handler))
}

func statuses(list string) ([]int, error) {
	var answers []int
	for text := range strings.SplitSeq(list, ",") {
		status, err := strconv.Atoi(strings.TrimSpace(text))
		if err != nil || status < 200 || status > 599 {
			return nil, errors.New("use statuses from 200 to 599, separated by commas")
		}
		answers = append(answers, status)
	}
	return answers, nil
}
