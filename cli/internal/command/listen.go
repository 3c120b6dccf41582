package command

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dembrane/webhooks/cli/internal/api"
	"github.com/dembrane/webhooks/cli/internal/config"
	"github.com/dembrane/webhooks/pkg/retry"
	"github.com/dembrane/webhooks/pkg/signature"
)

const (
	// forwardTimeout is how long a receiver has in production, too.
	forwardTimeout = 15 * time.Second
	// firstPause and longestPause are between tries to connect again.
	firstPause, longestPause = 500 * time.Millisecond, 10 * time.Second
	// maxExcerpt is how much of an answer is shown.
	maxExcerpt = 80
)

type listening struct {
	*program

	client *api.Client
	http   *http.Client
	target string
	query  url.Values
	// secret signs what is forwarded.
	secret  string
	print   bool
	retries int
	pause   time.Duration
}

func (p *program) listen() *cobra.Command {
	l := &listening{program: p, query: url.Values{}}
	var since, secretFile string
	var events []string
	c := &cobra.Command{
		Use:   "listen [URL]",
		Short: "Forward the project's events to a program on this machine",
		Long: `Forward the project's events to a program on this machine, as they are delivered
to webhooks: the same headers and body, signed with a secret that is printed at the
start (DEMBRANE_SECRET or --secret-file choose another). Without a URL they are only
shown. What fails is tried again; a connection that is cut is gone on with, and
nothing is missed. Nothing that happens here reaches anybody's webhooks.`,
		Example: `  export DEMBRANE_TOKEN=... DEMBRANE_PROJECT=demo
  # to a receiver that you are writing
  dembrane-webhooks listen http://localhost:3000/hook
  # look only, beginning with the last hour
  dembrane-webhooks listen --print --since 1h
  # some events, for a script
  dembrane-webhooks listen --json --events conversation.summarized | jq .body`,
		Args: optional("URL"),
		RunE: p.withClient(func(c *cobra.Command, client *api.Client, args []string) error {
			l.client = client
			if len(args) == 1 {
				if err := l.aim(args[0]); err != nil {
					return err
				}
			}
			if len(events) > 0 {
				l.query.Set("events", strings.Join(events, ","))
			}
			if since != "" {
				at, err := moment(since, time.Now())
				if err != nil {
					return err
				}
				l.query.Set("since", at.UTC().Format(time.RFC3339Nano))
			}
			if err := l.chooseSecret(secretFile); err != nil {
				return err
			}
			return l.run(c.Context())
		}),
	}
	c.Flags().StringSliceVarP(&events, "events", "e", nil, "only these, separated by commas")
	c.Flags().StringVar(&since, "since", "", "begin with the events since then: a time, or how long ago (1h, 7d)")
	c.Flags().BoolVar(&l.print, "print", false, "print headers and bodies")
	c.Flags().StringVar(&secretFile, "secret-file", "", "a file that holds the secret to sign with")
	c.Flags().IntVar(&l.retries, "retries", 3, "how often a delivery that fails is tried again")
	c.Flags().DurationVar(&l.pause, "retry-pause", 2*time.Second, "how long to wait before that")
	return c
}

// aim sets where events go.
func (l *listening) aim(target string) error {
	parsed, err := url.Parse(target)
	if err != nil || parsed.Host == "" || parsed.Scheme != "http" && parsed.Scheme != "https" {
		return usage("%q is no URL to forward to: write it in full, as in http://localhost:3000/hook", target)
	}
	l.target = target
	l.http = &http.Client{
		Timeout:       forwardTimeout,
		Transport:     &http.Transport{IdleConnTimeout: time.Minute}, // a local program, not through a proxy
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return nil
}

func (l *listening) chooseSecret(file string) error {
	if l.secret = l.Environment["DEMBRANE_SECRET"]; file != "" {
		var err error
		if l.secret, err = config.Secret(file, l.In); err != nil {
			return usage("read --secret-file: %w", err)
		}
	}
	if l.secret == "" {
		random := make([]byte, 32)
		_, _ = rand.Read(random) // it never fails
		l.secret = "whsec_" + base64.StdEncoding.EncodeToString(random)
	}
	return nil
}

// run listens until ctx is done, over as many connections as it takes.
func (l *listening) run(ctx context.Context) error {
	if l.http != nil {
		defer l.http.CloseIdleConnections()
	}
	last, connected := "", false
	op := func(ctx context.Context) error {
		stream, err := l.client.Listen(ctx, l.query, last)
		if err != nil {
			if !connected {
				return retry.Permanent(err) // it is told at once
			}
			return passing(err)
		}
		defer stream.Close()
		l.greet(connected)
		connected = true
		for {
			d, err := stream.Next()
			if ctx.Err() != nil {
				return nil
			}
			last = stream.Last
			if err != nil {
				return passing(err)
			}
			l.deliver(ctx, d)
		}
	}
	err := retry.Until(ctx, retry.Pace{First: firstPause, Longest: longestPause}, func(err error, wait time.Duration) {
		say(l.Err, "%s %s; connecting again in %s, and going on where it was", l.paint(yellow, "!"), clean(err.Error()), wait.Round(time.Millisecond))
	}, op)
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// passing marks an error that does not pass by itself.
func passing(err error) error {
	if p, ok := errors.AsType[*api.Problem](err); ok && p.Status != http.StatusTooManyRequests && p.Status < 500 {
		return retry.Permanent(err)
	}
	return err
}

func (l *listening) greet(again bool) {
	switch {
	case again:
		say(l.Err, "%s connected again", l.paint(green, "✓"))
		return
	case l.target == "":
		say(l.Err, "Listening. Events are shown here; give a URL to forward them. Ctrl-C stops.")
	default:
		say(l.Err, "Listening. Events go to %s, signed with the secret\n  %s\nCtrl-C stops.", l.target, l.secret)
	}
	say(l.Err, "Make one happen: dembrane-webhooks send conversation.summarized (which needs NATS), or any event of the project.")
}

// deliver shows an event and forwards it until the receiver takes it, or often
// enough.
func (l *listening) deliver(ctx context.Context, d api.Delivery) {
	if l.target == "" {
		l.line(d, cyan, "")
		l.body(d, nil)
		return
	}
	for attempt := 1; ; attempt++ {
		began := time.Now()
		status, answer, err := l.post(ctx, d, attempt)
		if ctx.Err() != nil {
			return
		}
		took := time.Since(began).Round(time.Millisecond)
		ok := err == nil && status >= 200 && status < 300
		switch {
		case ok:
			l.line(d, green, fmt.Sprintf("→ %d in %s", status, took))
		case err != nil:
			l.line(d, red, "→ "+oneLine(reason(err), maxExcerpt))
		default:
			l.line(d, red, fmt.Sprintf("→ %d in %s  %s", status, took, oneLine(answer, maxExcerpt)))
		}
		if attempt == 1 {
			l.body(d, &status)
		}
		if ok {
			return
		}
		if attempt > l.retries {
			say(l.Err, "  given up after %d tries; a webhook would go on for about three days", attempt)
			return
		}
		say(l.Err, "  trying again in %s (%d of %d)", l.pause, attempt, l.retries)
		retry.Pause(ctx, l.pause)
	}
}

// post makes one attempt, signed for this very moment.
func (l *listening) post(ctx context.Context, d api.Delivery, attempt int) (status int, answer string, _ error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, l.target, strings.NewReader(d.Body))
	if err != nil {
		return 0, "", fmt.Errorf("make request: %w", err)
	}
	for name, value := range d.Headers {
		request.Header.Set(name, value)
	}
	request.Header.Set("X-Dembrane-Attempt", fmt.Sprint(attempt))
	keys := []signature.Key{signature.NewKey(l.secret)}
	signature.Headers(request.Header, keys, eventID(d), time.Now(), []byte(d.Body))
	response, err := l.http.Do(request)
	if err != nil {
		return 0, "", fmt.Errorf("forward: %w", err)
	}
	defer func() { _ = response.Body.Close() }() // what is not read is not wanted
	start, _ := io.ReadAll(io.LimitReader(response.Body, 4<<10))
	return response.StatusCode, string(start), nil
}

// reason is what went wrong, without the URL, which is known.
func reason(err error) string {
	if failed, ok := errors.AsType[*url.Error](err); ok {
		if failed.Timeout() {
			return "no answer within " + forwardTimeout.String()
		}
		return failed.Err.Error() + " (is the receiver running?)"
	}
	return err.Error()
}

func eventID(d api.Delivery) string {
	var body struct {
		ID string `json:"id"`
	}
	_ = json.Unmarshal([]byte(d.Body), &body) // no id is a signature that does not match
	return body.ID
}

// line is one line an event and attempt.
func (l *listening) line(d api.Delivery, c colour, what string) {
	if l.json {
		return
	}
	text := fmt.Sprintf("%s  %s  %s  %6d bytes", time.Now().Format("15:04:05"), l.paint(c, fmt.Sprintf("%-25s", clean(d.Event))), clean(eventID(d)), len(d.Body))
	say(l.Out, "%s", strings.TrimRight(text+"  "+what, " "))
}

// body prints what was asked for; with --json, one line of it.
func (l *listening) body(d api.Delivery, status *int) {
	if l.json {
		line, err := json.Marshal(struct {
			Event   string            `json:"event"`
			ID      string            `json:"id"`
			Headers map[string]string `json:"headers"`
			Body    json.RawMessage   `json:"body"`
			Status  *int              `json:"status,omitempty"`
		}{d.Event, eventID(d), d.Headers, json.RawMessage(d.Body), status})
		if err != nil {
			say(l.Err, "%s an event cannot be printed: %v", l.paint(yellow, "!"), err)
			return
		}
		say(l.Out, "%s", line)
		return
	}
	if !l.print {
		return
	}
	for _, name := range sortedKeys(d.Headers) {
		say(l.Out, "    %s %s", l.paint(dim, name+":"), clean(d.Headers[name]))
	}
	var indented bytes.Buffer
	if json.Indent(&indented, []byte(d.Body), "    ", "  ") != nil {
		indented.Reset()
		indented.WriteString(d.Body)
	}
	say(l.Out, "\n    %s\n", cmp.Or(readable(indented.Bytes()), indented.String()))
}
