package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/natstest"
	"github.com/dembrane/webhooks/pkg/secret"
	"github.com/dembrane/webhooks/services/api/mongotest/mongoproxy"
	"github.com/dembrane/webhooks/test/internal/apiclient"
	"github.com/dembrane/webhooks/test/internal/inside"
	"github.com/dembrane/webhooks/test/internal/process"
	"github.com/dembrane/webhooks/test/internal/receiver"
	"github.com/dembrane/webhooks/test/internal/run"
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
	// projectCount is how many there are, each with a webhook of every kind.
	projectCount = 4
	// postsPerEvent is how many POSTs an event takes at most when nothing is wrong
	// with us: one that is steady, one that is slow, and two that are flaky.
	postsPerEvent = 4
	// slowness is how long a slow hook thinks.
	slowness = 50 * time.Millisecond
)

// programs are the executables that are harmed.
type programs struct{ api, dispatcher, broker, database string }

// build builds what production runs, unless it was given.
func (c *campaign) build(t run.T) {
	const module = "github.com/dembrane/webhooks/"
	in := func(name string) string { return filepath.Join(c.folder, name) }
	c.programs = programs{api: in("api"), dispatcher: in("dispatcher"), broker: in("nats-server"), database: in(roleDatabase)}
	wanted := map[string]string{
		c.programs.api: module + "services/api", c.programs.dispatcher: module + "services/dispatcher",
		c.programs.broker: "github.com/nats-io/nats-server/v2", c.programs.database: module + "test/chaos",
	}
	if c.plan.programs != "" {
		delete(wanted, c.programs.api)
		delete(wanted, c.programs.dispatcher)
		given, err := filepath.Abs(c.plan.programs)
		run.Must(t, err, "find the programs")
		c.programs.api, c.programs.dispatcher = filepath.Join(given, "api"), filepath.Join(given, "dispatcher")
	}
	run.Must(t, process.Build(t.Context(), wanted), "build the programs")
}

// stack is the system under harm: its processes, and the connections of this
// process to it.
type stack struct {
	*campaign
	inside.System
	apiclient.Client

	scene       scene
	folder      string
	brokers     []*process.Process
	brokerAt    []brokerAddress
	links       map[link]*natstest.Proxy // between brokers, where the network can break
	apiNATS     *natstest.Proxy          // between the api and the broker; nil without one
	nowhere     int                      // a port on which nobody listens
	pacer       *pacer
	database    *process.Process
	replicaSet  *mongoproxy.Proxy // between the api and the database; nil without one
	api         *process.Process
	dispatchers []*process.Process // the first one is always at work, the second one when asked for
	projects    []project
}

// startStack starts everything in a new folder, with one dispatcher, and registers
// the webhooks. It ends with t.
func startStack(t run.T, c *campaign, one scene) *stack {
	s := &stack{campaign: c, scene: one, folder: filepath.Join(c.folder, one.name)}
	uri := s.prepare(t)
	// Clients end before servers.
	for _, p := range slices.Backward(s.processes()) {
		t.Cleanup(func() {
			if err := p.Stop(); err != nil {
				t.Errorf("%v", err)
			}
		})
	}
	starting, cancel := context.WithTimeoutCause(t.Context(), startTimeout, errPatience)
	defer cancel()
	first := slices.Concat(s.brokers, []*process.Process{s.database, s.api, s.dispatchers[0]})
	for _, p := range first {
		run.Must(t, p.Start(t.Context()), "start everything")
	}
	for _, p := range first {
		run.Must(t, p.Await(starting), "start everything")
	}
	var err error
	s.System, err = inside.Connect(starting, inside.Address{NATS: s.brokerURLs(), MongoDB: uri})
	t.Cleanup(s.Close)
	run.Must(t, err, "connect")
	s.hurry(t)
	for i := range projectCount {
		name := "project-" + strconv.Itoa(i+1)
		s.projects = append(s.projects, s.register(t, name, nil, receiver.Flaky, receiver.Thinks(slowness)))
	}
	return s
}

// prepare writes files and describes the processes. It returns where the database
// will be.
func (s *stack) prepare(t run.T) (mongoURI string) {
	keyset, err := secret.NewKeyset()
	run.Must(t, err, "make a keyset")
	hash := sha256.Sum256([]byte(token))
	tokens := "tokens:\n  - name: chaos\n    sha256: " + hex.EncodeToString(hash[:]) + "\n    projects: [\"*\"]\n"
	keysetFile, tokensFile := filepath.Join(s.folder, "keyset.json"), filepath.Join(s.folder, "tokens.yaml")
	run.Must(t, errors.Join(os.MkdirAll(s.folder, 0o700), os.WriteFile(keysetFile, keyset, 0o600),
		os.WriteFile(tokensFile, []byte(tokens), 0o600)), "write settings")
	ports, err := s.ports.Take(t.Context(), 3*s.scene.servers+4+replicas)
	run.Must(t, err, "prepare")
	s.nowhere = ports[0]
	s.describeBrokers(t, ports[1:1+3*s.scene.servers])
	ports = ports[1+3*s.scene.servers:]
	local := func(i int) string { return "127.0.0.1:" + strconv.Itoa(ports[i]) }
	s.Client = apiclient.Client{URL: "http://" + local(1), Token: token, Timeout: requestTimeout}
	mongoURI = "mongodb://" + local(0) + "/"
	s.database = &process.Process{
		Name: roleDatabase, Program: s.programs.database, Folder: s.folder, Ready: process.Dials(local(0)),
		Args: []string{"-role", roleDatabase, "-listen", local(0), "-data", filepath.Join(s.folder, roleDatabase)},
	}
	common := []string{
		"SECRETS_KEYSET_FILE=" + keysetFile, "ADMIN_BASE_URL=https://dashboard.example.org",
		"ALLOW_CIDRS=127.0.0.0/8", "LOG_LEVEL=" + s.plan.logLevel, "STREAM_REPLICAS=" + strconv.Itoa(s.scene.servers),
	}
	if s.scene.store == "" {
		// Three servers share one disk here, and each counts what its streams may take.
		common = append(common, "EVENTS_MAX_BYTES=1073741824", "DELIVERIES_MAX_BYTES=268435456", "RANGES_MAX_BYTES=268435456",
			"ATTEMPTS_MAX_BYTES=268435456", "REJECTED_MAX_BYTES=67108864", "WEBHOOKS_MAX_BYTES=67108864")
	}
	databaseOfAPI := mongoURI
	if s.scene.replicaSet {
		s.replicaSet = mongoproxy.StartReplicaSet(t, mongoURI)
		databaseOfAPI = s.replicaSet.URI()
	}
	timeout, apiLimit, dispatcherLimit := "1s", "off", "off"
	if s.scene.limited {
		timeout, apiLimit, dispatcherLimit = "15s", apiCollects, dispatcherCollects
	}
	s.api = &process.Process{
		Name: "api", Program: s.programs.api, Folder: s.folder, Ready: complete("http://" + local(2) + "/readyz"),
		Env: append([]string{
			"NATS_URL=" + s.apiBrokerURLs(t), "HTTP_ADDR=" + local(1), "OPS_ADDR=" + local(2), "MONGODB_URI=" + databaseOfAPI, "STATIC_TOKENS_FILE=" + tokensFile,
			"API_RATE_PER_SECOND=0", "GOMEMLIMIT=" + apiLimit,
		}, common...),
	}
	for i := range replicas {
		s.dispatchers = append(s.dispatchers, &process.Process{
			Name: "dispatcher-" + strconv.Itoa(i+1), Program: s.programs.dispatcher, Folder: s.folder,
			Ready: answers("http://" + local(3+i) + "/readyz"),
			Env: append([]string{
				"NATS_URL=" + s.brokerURLs(), "OPS_ADDR=" + local(3+i), "ATTEMPT_TIMEOUT=" + timeout, "GOMEMLIMIT=" + dispatcherLimit, "RETRY_FIRST=" + s.scene.retries.first.String(),
				"RETRY_MULTIPLIER=" + strconv.Itoa(s.scene.retries.multiplier),
			}, common...),
		})
	}
	return mongoURI
}

// processes are all there are, clients before servers; some may not run.
func (s *stack) processes() []*process.Process {
	return slices.Concat(s.dispatchers, []*process.Process{s.api}, s.brokers, []*process.Process{s.database})
}

// complete reports whether the api there has all that it needs: it is ready before.
func complete(url string) func(context.Context) error {
	return func(ctx context.Context) error {
		body, err := apiclient.Get(ctx, url, requestTimeout)
		if err == nil && strings.Contains(string(body), `"away"`) {
			return errors.New(strings.TrimSpace(string(body)))
		}
		return err //nolint:wrapcheck // it says what it did
	}
}

// answers reports whether this address answers 200.
func answers(url string) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := apiclient.Get(ctx, url, requestTimeout)
		return err
	}
}

// project is a project and the numbers of its hooks.
type project struct {
	id    string
	hooks []int
}

// register registers a webhook of the project for each of these answers.
func (s *stack) register(t run.T, id string, answers ...receiver.Answer) project {
	p := project{id: id}
	for i, answer := range answers {
		_, err := s.Create(t.Context(), id, s.hook(id, i, answer))
		run.Must(t, err, "register a webhook")
		p.hooks = append(p.hooks, i)
	}
	return p
}

// hook makes an address to deliver to, and returns what to register.
func (s *stack) hook(project string, number int, answer receiver.Answer) apiclient.Fields {
	h := receiver.Hook{
		Path:   "/" + s.scene.name + "/" + project + "/" + strconv.Itoa(number),
		Secret: "the secret of " + project, Answer: answer,
	}
	return apiclient.Fields{"url": s.receiver.Add(h), "secret": h.Secret, "events": []string{event.ConversationTranscribed}}
}
