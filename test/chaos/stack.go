package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/dembrane/webhooks/pkg/publisher"
	"github.com/dembrane/webhooks/pkg/secret"
)

const (
	// token manages every project.
	token = "the token of a host that survives everything"
	// replicas is how many dispatchers there can be.
	replicas = 2
	// startTimeout is how long everything may take to come up.
	startTimeout = time.Minute
	// requestTimeout bounds one request to the api or to a listener for operators.
	requestTimeout = 5 * time.Second
)

// parts is what a stack is made of.
type parts struct {
	plan     plan
	programs programs
	ledger   *ledger
	ports    *ports
	folder   string
	scene    scene
}

// stack is the system under harm: its processes, and the connections of this
// process to it.
type stack struct {
	parts

	brokers     []*process
	brokerAt    []brokerAddress
	database    *process
	api         *process
	dispatchers []*process // the first one is always at work, the second one when asked for
	apiURL      string
	mongoURI    string

	web       *http.Client
	nc        *nats.Conn
	js        jetstream.JetStream
	publisher *publisher.Publisher
	log       *deliveryLog
	projects  []project

	idle    context.CancelFunc // ends what goes on in the background
	waiting sync.WaitGroup
}

// startStack starts everything in a new folder, with one dispatcher, and
// registers the webhooks. Whatever it returns has to be stopped.
func startStack(ctx context.Context, p parts) (*stack, error) {
	s := &stack{parts: p, idle: func() {}, web: &http.Client{
		Timeout: requestTimeout, Transport: &http.Transport{DisableKeepAlives: true},
	}}
	if err := s.prepare(ctx); err != nil {
		return s, err
	}
	starting, cancel := context.WithTimeoutCause(ctx, startTimeout, fmt.Errorf("not up after %s", startTimeout))
	defer cancel()
	// The processes outlive the start.
	all := slices.Concat(s.brokers, []*process{s.database, s.api, s.dispatchers[0]})
	for _, one := range all {
		if err := one.start(ctx); err != nil {
			return s, err
		}
	}
	for _, one := range all {
		if err := one.await(starting); err != nil {
			return s, err
		}
	}
	if err := s.connect(starting); err != nil {
		return s, err
	}
	background, idle := context.WithCancel(ctx)
	s.idle = idle
	for _, c := range append(consumptions(), recording()) {
		s.waiting.Go(func() { s.hurry(background, c) })
	}
	return s, s.registerAll(starting)
}

// prepare writes files and describes the processes.
func (s *stack) prepare(ctx context.Context) error {
	if err := os.MkdirAll(s.folder, 0o700); err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	keyset, err := secret.NewKeyset()
	if err != nil {
		return fmt.Errorf("make a keyset: %w", err)
	}
	hash := sha256.Sum256([]byte(token))
	tokens := "tokens:\n  - name: chaos\n    sha256: " + hex.EncodeToString(hash[:]) + "\n    projects: [\"*\"]\n"
	keysetFile, tokensFile := filepath.Join(s.folder, "keyset.json"), filepath.Join(s.folder, "tokens.yaml")
	if err := errors.Join(os.WriteFile(keysetFile, keyset, 0o600), os.WriteFile(tokensFile, []byte(tokens), 0o600)); err != nil {
		return fmt.Errorf("write settings: %w", err)
	}
	ports, err := s.ports.take(ctx, 3*s.scene.servers+3+replicas)
	if err != nil {
		return err
	}
	if err := s.describeBrokers(ports[:3*s.scene.servers]); err != nil {
		return err
	}
	ports = ports[3*s.scene.servers:]
	local := func(i int) string { return "127.0.0.1:" + strconv.Itoa(ports[i]) }
	s.apiURL, s.mongoURI = "http://"+local(1), "mongodb://"+local(0)+"/"
	s.database = &process{
		name: roleDatabase, program: s.programs.database, folder: s.folder, ready: dials(local(0)),
		args: []string{"-role", roleDatabase, "-listen", local(0), "-data", filepath.Join(s.folder, roleDatabase)},
	}
	common := []string{
		"NATS_URL=" + s.brokerURLs(), "SECRETS_KEYSET_FILE=" + keysetFile, "ADMIN_BASE_URL=https://dashboard.example.org",
		"ALLOW_CIDRS=127.0.0.0/8", "LOG_LEVEL=" + s.plan.logLevel, "STREAM_REPLICAS=" + strconv.Itoa(s.scene.servers),
	}
	s.api = &process{
		name: "api", program: s.programs.api, folder: s.folder, ready: s.answers("http://" + local(2) + "/readyz"),
		env: append([]string{
			"HTTP_ADDR=" + local(1), "OPS_ADDR=" + local(2), "MONGODB_URI=" + s.mongoURI, "STATIC_TOKENS_FILE=" + tokensFile,
			"API_RATE_PER_SECOND=0",
		}, common...),
	}
	for i := range replicas {
		s.dispatchers = append(s.dispatchers, &process{
			name: "dispatcher-" + strconv.Itoa(i+1), program: s.programs.dispatcher, folder: s.folder,
			ready: s.answers("http://" + local(3+i) + "/readyz"),
			env: append([]string{
				"OPS_ADDR=" + local(3+i), "ATTEMPT_TIMEOUT=1s", "RETRY_FIRST=" + s.scene.retries.first.String(),
				"RETRY_MULTIPLIER=" + strconv.Itoa(s.scene.retries.multiplier),
			}, common...),
		})
	}
	return nil
}

func (s *stack) connect(ctx context.Context) error {
	var err error
	s.nc, err = nats.Connect(s.brokerURLs(), nats.Name("chaos"), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond),
		nats.ReconnectJitter(0, 0), nats.ReconnectBufSize(-1), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		return fmt.Errorf("connect to nats: %w", err)
	}
	if s.js, err = jetstream.New(s.nc); err != nil {
		return fmt.Errorf("open jetstream: %w", err)
	}
	if s.publisher, err = publisher.New(s.nc); err != nil {
		return err
	}
	s.log, err = openDeliveryLog(ctx, s.mongoURI)
	return err
}

// stop ends everything in the orderly way, clients before servers. The error says
// who could not.
func (s *stack) stop(ctx context.Context) error {
	s.idle()
	s.waiting.Wait()
	if s.log != nil {
		s.log.close(ctx)
	}
	if s.nc != nil {
		s.nc.Close()
	}
	var faults []error
	for _, one := range s.processes() {
		if one != nil { // it was not described yet when the start failed
			faults = append(faults, one.stop())
		}
	}
	s.web.CloseIdleConnections()
	return errors.Join(faults...)
}

// processes are all there are, clients before servers; some may not run.
func (s *stack) processes() []*process {
	return slices.Concat(s.dispatchers, []*process{s.api}, s.brokers, []*process{s.database})
}

// check fails when a process ended that nobody killed.
func (s *stack) check() error {
	for _, one := range s.processes() {
		if err := one.check(); err != nil {
			return err
		}
	}
	return nil
}

// answers reports whether this address answers 200.
func (s *stack) answers(url string) func(context.Context) error {
	return func(ctx context.Context) error {
		status, body, err := s.get(ctx, url)
		if err == nil && status != http.StatusOK {
			return fmt.Errorf("%s answers %d: %s", url, status, strings.TrimSpace(string(body)))
		}
		return err
	}
}
