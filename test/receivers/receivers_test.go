package receivers_test

import (
	"bytes"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/signature"
	"github.com/dembrane/webhooks/test/internal/process"
)

// ports are given out before anything runs side by side.
const portsEach = 2

func TestEveryReceiverOfTheDocumentation(t *testing.T) {
	t.Parallel()
	s := start(t)
	all := languages()
	ports, err := process.Ports{}.Take(t.Context(), portsEach*len(all))
	require.NoError(t, err)
	t.Run("all", func(t *testing.T) {
		for i, l := range all {
			t.Run(l.name, func(t *testing.T) {
				t.Parallel()
				commands := l.commands(t)
				wantASecret(t, l.name, commands[0])
				for j, secret := range []string{rawSecret, standardSecret} {
					r := &program{language: l.name, commands: commands, secret: secret, port: ports[portsEach*i+j], inbox: t.TempDir()}
					r.start(t)
					s.wantDelivered(t, r)
					r.wantRefused(t)
					r.wantDeduplicated(t)
					r.wantToSurvive(t)
					r.stop(t)
				}
			})
		}
	})
}

// program is a running receiver.
type program struct {
	language string
	commands [][]string
	secret   string
	port     int
	inbox    string

	running []*process.Process
	handled strings.Builder // by those that have been killed
}

// wantASecret starts the receiver without a secret, and with one that holds nothing,
// with which everybody could sign: it says so, and does not run. PHP's server starts without its program, which then
// refuses everything.
func wantASecret(t *testing.T, language string, command []string) {
	t.Helper()
	if language == "php" {
		return
	}
	for _, secret := range []string{"", "whsec_"} {
		c := exec.CommandContext(t.Context(), command[0], command[1:]...)
		c.Dir, c.Env = t.TempDir(), append(os.Environ(), "PORT=0", "WEBHOOK_SECRET="+secret)
		said, err := c.CombinedOutput()
		require.Error(t, err)
		assert.Contains(t, string(said), "set WEBHOOK_SECRET: without one, anybody can sign")
	}
}

func (r *program) url() string { return "http://127.0.0.1:" + strconv.Itoa(r.port) + "/hook" }

func (r *program) start(t *testing.T) {
	t.Helper()
	r.running = nil
	for i, command := range r.commands {
		p := &process.Process{
			Name: r.language + strconv.Itoa(i), Program: command[0], Folder: t.TempDir(),
			Env: append(os.Environ(), "WEBHOOK_SECRET="+r.secret, "PORT="+strconv.Itoa(r.port), "INBOX="+r.inbox, "LC_ALL=C.UTF-8"),
		}
		for _, argument := range command[1:] {
			p.Args = append(p.Args, strings.ReplaceAll(argument, "PORT", strconv.Itoa(r.port)))
		}
		if i == 0 {
			p.Ready = process.Dials("127.0.0.1:" + strconv.Itoa(r.port))
		}
		r.running = append(r.running, p)
		require.NoError(t, p.Launch(t.Context()))
	}
	t.Cleanup(func() {
		for _, p := range r.running {
			_ = p.Kill() // it may have been stopped
			if t.Failed() {
				t.Logf("%s: %s", p.Name, p.Tail())
			}
		}
	})
}

// stop kills the receiver: none needs to be told that it ends.
func (r *program) stop(t *testing.T) {
	t.Helper()
	for _, p := range r.running {
		require.NoError(t, p.Check())
		_, _ = r.handled.WriteString(p.Output()) // it never fails
		require.NoError(t, p.Kill())
	}
	r.running = nil
}

// times is how often the receiver has worked on an event.
func (r *program) times(id string) int {
	text := r.handled.String()
	for _, p := range r.running {
		text += p.Output()
	}
	return lines(text, id)
}

func (r *program) wantHandled(t *testing.T, id string) {
	t.Helper()
	until(t, "the receiver works on "+id, func() bool { return r.times(id) > 0 })
}

// wantDelivered delivers an event of each type, and another when the webhook has got
// a secret that the receiver does not know of yet.
func (s *system) wantDelivered(t *testing.T, r *program) {
	t.Helper()
	w := s.register(t, r.url(), r.secret, func(id string) bool { return r.times(id) > 0 })
	for _, eventType := range event.Types() {
		r.wantHandled(t, s.publish(t, w, eventType))
	}
	s.rotate(t, w, "the secret that comes next")
	r.wantHandled(t, s.publish(t, w, event.ConversationSummarized))
}

// post is one delivery that this test makes itself.
type post struct {
	id      string
	at      time.Time
	secrets []string
	body    string // what is sent; what is signed is the same
	change  func(*http.Request)
}

func (r *program) fresh() post {
	id := "evt_" + ulid.Make().String()
	return post{
		id: id, at: time.Now(), secrets: []string{r.secret},
		body: `{"event":"conversation.started","id":"` + id + `","participant_name":"Zo\u00eb","timestamp":"2026-01-20T12:00:00+00:00"}`,
	}
}

func (r *program) send(t *testing.T, p post) int {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.url(), bytes.NewReader([]byte(p.body)))
	require.NoError(t, err)
	var keys []signature.Key
	for _, secret := range p.secrets {
		keys = append(keys, signature.NewKey(secret))
	}
	signature.Headers(request.Header, keys, p.id, p.at, []byte(p.body))
	request.Header.Set("Content-Type", "application/json")
	request.Close = true // a receiver may be killed next
	if p.change != nil {
		p.change(request)
	}
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	return response.StatusCode
}

func (r *program) wantRefused(t *testing.T) {
	t.Helper()
	wrongs := map[string]func(*post){
		"another secret":     func(p *post) { p.secrets = []string{"another"} },
		"an old timestamp":   func(p *post) { p.at = p.at.Add(-6 * time.Minute) },
		"a timestamp ahead":  func(p *post) { p.at = p.at.Add(6 * time.Minute) },
		"no signature":       func(p *post) { p.secrets = nil },
		"an empty signature": func(p *post) { p.change = func(r *http.Request) { r.Header.Set("webhook-signature", "") } },
		"no timestamp":       func(p *post) { p.change = func(r *http.Request) { r.Header.Del("webhook-timestamp") } },
		"another id":         func(p *post) { p.change = func(r *http.Request) { r.Header.Set("webhook-id", "evt_other") } },
		"another time": func(p *post) {
			p.change = func(r *http.Request) { r.Header.Set("webhook-timestamp", strconv.FormatInt(p.at.Unix()+1, 10)) }
		},
		"another version": func(p *post) {
			p.change = func(r *http.Request) {
				r.Header.Set("webhook-signature", strings.Replace(r.Header.Get("webhook-signature"), "v1,", "v2,", 1))
			}
		},
		"a signature that is no base64": func(p *post) {
			p.change = func(r *http.Request) { r.Header.Set("webhook-signature", "v1,!! v1 , v1,") }
		},
		"another body": func(p *post) {
			signed := *p
			p.body += "\n"
			p.change = func(r *http.Request) {
				signature.Headers(r.Header, []signature.Key{signature.NewKey(signed.secrets[0])}, signed.id, signed.at, []byte(signed.body))
			}
		},
	}
	var refused []post
	for name, spoil := range wrongs {
		p := r.fresh()
		spoil(&p)
		assert.Equal(t, http.StatusUnauthorized, r.send(t, p), name)
		refused = append(refused, p)
	}
	// Signed, but not a name for a file.
	p := r.fresh()
	p.id = "../outside"
	assert.GreaterOrEqual(t, r.send(t, p), http.StatusBadRequest)
	assert.NoFileExists(t, filepath.Join(filepath.Dir(r.inbox), "outside.json"))
	p = r.fresh()
	p.change = func(r *http.Request) { r.Method = http.MethodGet }
	assert.GreaterOrEqual(t, r.send(t, p), http.StatusBadRequest)
	refused = append(refused, p)

	r.cutOff(t)

	last := r.fresh()
	assert.Equal(t, http.StatusAccepted, r.send(t, last))
	r.wantHandled(t, last.id)
	for _, p := range refused {
		assert.Zero(t, r.times(p.id))
	}
}

// cutOff begins a delivery and hangs up in the middle of its body.
func (r *program) cutOff(t *testing.T) {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", "127.0.0.1:"+strconv.Itoa(r.port))
	require.NoError(t, err)
	_, err = conn.Write([]byte("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{\"id\":"))
	require.NoError(t, err)
	require.NoError(t, conn.Close())
}

// wantDeduplicated sends one event in many ways, and one many times at once.
func (r *program) wantDeduplicated(t *testing.T) {
	t.Helper()
	once, large, both := r.fresh(), r.fresh(), r.fresh()
	assert.Equal(t, http.StatusAccepted, r.send(t, once))
	assert.Equal(t, http.StatusOK, r.send(t, once))
	r.wantHandled(t, once.id)
	once.at = time.Now().Add(-time.Minute)
	assert.Equal(t, http.StatusOK, r.send(t, once))

	both.secrets = []string{"what comes next", r.secret}
	assert.Equal(t, http.StatusAccepted, r.send(t, both))
	large.body = strings.TrimSuffix(large.body, "}") + `,"transcript":"` + strings.Repeat(`\u0434`, 2_000_000) + `"}`
	assert.Equal(t, http.StatusAccepted, r.send(t, large))

	many := r.fresh()
	var accepted atomic.Int32
	var sending sync.WaitGroup
	for range 20 {
		sending.Go(func() {
			status := r.send(t, many)
			assert.Contains(t, []int{http.StatusOK, http.StatusAccepted}, status)
			if status == http.StatusAccepted {
				accepted.Add(1)
			}
		})
	}
	sending.Wait()
	assert.EqualValues(t, 1, accepted.Load())
	for _, p := range []post{once, both, large, many} {
		r.wantHandled(t, p.id)
		assert.Equal(t, 1, r.times(p.id))
	}
}

// wantToSurvive kills the receiver. What it knew it knows, and what it had not
// worked on when it was killed it works on.
func (r *program) wantToSurvive(t *testing.T) {
	t.Helper()
	known, left := r.fresh(), r.fresh()
	require.Equal(t, http.StatusAccepted, r.send(t, known))
	r.wantHandled(t, known.id)
	until(t, "the event is taken out of the inbox", func() bool {
		_, err := os.Stat(filepath.Join(r.inbox, known.id+".json"))
		return os.IsNotExist(err)
	})
	r.stop(t)
	require.NoError(t, os.WriteFile(filepath.Join(r.inbox, left.id+".json"), []byte(left.body), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(r.inbox, "evt_cut_off.part"), []byte(`{"ev`), 0o600))

	r.start(t)

	r.wantHandled(t, left.id)
	assert.Equal(t, http.StatusOK, r.send(t, known))
	assert.Equal(t, http.StatusOK, r.send(t, left))
	again := r.fresh()
	assert.Equal(t, http.StatusAccepted, r.send(t, again))
	r.wantHandled(t, again.id)
	assert.Equal(t, 1, r.times(known.id))
	assert.Equal(t, 1, r.times(left.id))
}
