package command_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/dembrane/webhooks/pkg/signature"
	"github.com/dembrane/webhooks/pkg/topology"
)

func TestListenForwardsSignedAndTriesAgain(t *testing.T) {
	s := newShell(t, "listen-forward")
	receiver := newReceiver(t, "whsec_dGVzdA==", http.StatusInternalServerError)
	listening := s.with(map[string]string{"DEMBRANE_SECRET": "whsec_dGVzdA=="}).start("listen", receiver.URL+"/hook", "--retry-pause", "10ms")
	eventually(t, func() bool { return strings.Contains(listening.err.String(), "Listening") })
	assert.Contains(t, listening.err.String(), "whsec_dGVzdA==", "the receiver needs it")
	s.must("send", "conversation.summarized")
	eventually(t, func() bool { return len(receiver.got()) == 2 })
	s.must("send", "report.generated")
	eventually(t, func() bool { return len(receiver.got()) == 3 })
	assert.Equal(t, []string{"conversation.summarized 1", "conversation.summarized 2", "report.generated 1"}, receiver.got())
	eventually(t, func() bool { return strings.Contains(listening.out.String(), "report.generated") })
	assert.Zero(t, listening.stop(t))
	assert.Regexp(t, `conversation.summarized\s+evt_\w+\s+\d+ bytes  → 500`, listening.out.String())
	assert.Contains(t, listening.out.String(), "→ 204")
	assert.NotContains(t, listening.out.String(), "\x1b", "there is no terminal")
	assert.Contains(t, listening.err.String(), "trying again")
	assert.Zero(t, receiver.refused)
}

// A proxy that cuts connections is what laptops do.
func TestListenGoesOnAfterACut(t *testing.T) {
	s := newShell(t, "listen-cut")
	target, err := url.Parse(system.API)
	require.NoError(t, err)
	forward := httputil.NewSingleHostReverseProxy(target)
	forward.FlushInterval = -1
	var mu sync.Mutex
	away := false
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		refuse := away
		mu.Unlock()
		if refuse {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		forward.ServeHTTP(w, r)
	}))
	t.Cleanup(proxy.Close)
	s.must("send", "report.generated", "--id", "before")
	listening := s.start("listen", "--api", proxy.URL, "--since", "1h", "--json")
	eventually(t, func() bool { return strings.Contains(listening.out.String(), `"before"`) })
	mu.Lock()
	away = true
	mu.Unlock()
	proxy.CloseClientConnections()
	eventually(t, func() bool { return strings.Contains(listening.err.String(), "connecting again") })
	s.must("send", "report.generated", "--id", "meanwhile")
	mu.Lock()
	away = false
	mu.Unlock()
	s.must("send", "report.generated", "--id", "after")
	eventually(t, func() bool { return strings.Contains(listening.out.String(), `"after"`) })
	assert.Zero(t, listening.stop(t))
	var ids []string
	for line := range strings.Lines(listening.out.String()) {
		var one struct{ ID string }
		require.NoError(t, json.Unmarshal([]byte(line), &one))
		ids = append(ids, one.ID)
	}
	assert.Equal(t, []string{"before", "meanwhile", "after"}, ids, "each once")
}

func TestListenSaysAtOnceWhatIsWrong(t *testing.T) {
	s := newShell(t, "listen-wrong")
	for name, test := range map[string]struct {
		environment map[string]string
		args        []string
		status      int
		want        string
	}{
		"token":       {map[string]string{"DEMBRANE_TOKEN": "made-up"}, nil, 4, "DEMBRANE_TOKEN"},
		"project":     {map[string]string{"DEMBRANE_PROJECT": ""}, nil, 2, "--project"},
		"api":         {map[string]string{"DEMBRANE_API": "http://127.0.0.1:1"}, nil, 5, "--api"},
		"api as host": {map[string]string{"DEMBRANE_API": "127.0.0.1:8080"}, nil, 2, "http://127.0.0.1:8080"},
		"no url":      {nil, []string{"localhost:3000"}, 2, "http://localhost:3000/hook"},
		"event":       {nil, []string{"--events", "report.deleted"}, 1, "report.generated"},
		"since":       {nil, []string{"--since", "yesterday"}, 2, "24h"},
		"other flag":  {nil, []string{"--evnets", "x"}, 2, "--help"},
	} {
		t.Run(name, func(t *testing.T) {
			r := s.with(test.environment).run(append([]string{"listen"}, test.args...)...)
			assert.Equal(t, test.status, r.status)
			assert.Contains(t, r.err, test.want)
		})
	}
}

// A script notices a misspelt command by the status, and a person is told which was meant.
func TestCommandsThatDoNotExist(t *testing.T) {
	s := newShell(t, "no-such-command")
	for line, want := range map[string]string{
		"lisen":             "did you mean listen?",
		"frobnicate":        "`dembrane-webhooks --help`",
		"webhooks tset":     "did you mean test?",
		"replay cancel x":   "write `dembrane-webhooks replay cancel WEBHOOK REPLAY`",
		"replay":            "write `dembrane-webhooks replay WEBHOOK`",
		"listen a b":        "write `dembrane-webhooks listen [URL]`",
		"webhooks list now": "write `dembrane-webhooks webhooks list`",
	} {
		r := s.run(strings.Fields(line)...)
		assert.Equal(t, 2, r.status, line)
		assert.Empty(t, r.out, line)
		assert.Contains(t, r.err, want, line)
	}
	for _, line := range []string{"", "webhooks"} {
		assert.Contains(t, s.must(strings.Fields(line)...), "Available Commands", line)
	}
	r := s.run("webhooks", "show", "01JB8Z2V9N6Q4T7X3M5K1C8D0F")
	assert.Equal(t, 1, r.status)
	assert.Contains(t, r.err, "webhooks list")
}

func TestVerifyNamesTheMistake(t *testing.T) {
	s := newShell(t, "verify")
	const body = `{"event":"webhook.test","id":"evt_1"}`
	header := http.Header{}
	signature.Headers(header, []signature.Key{signature.NewKey("secret 1")}, "evt_1", time.Now(), []byte(body))
	var lines strings.Builder
	require.NoError(t, header.Write(&lines))
	headers, secret := write(t, lines.String()), write(t, "secret 1\n")
	r := s.run("verify", "--headers", headers, "--body", write(t, body), "--secret-file", secret)
	assert.Zero(t, r.status)
	assert.Contains(t, r.out, "It verifies.")
	r = s.run("verify", "--headers", headers, "--body", write(t, body+"\n"), "--secret-file", secret)
	assert.Equal(t, 3, r.status)
	assert.Contains(t, r.out, "line break that was not sent")
	r = s.run("verify", "--request", write(t, "POST / HTTP/1.1\r\n"+lines.String()+"\r\n"+body), "--secret", "another", "--json")
	assert.Equal(t, 3, r.status)
	assert.Contains(t, r.out, `"other_secret"`)
	r = s.run("verify", "--request", write(t, "POST / HTTP/1.1\r\n"+lines.String()+"\r\n"+body), "--secret", "secret 1", "--computed", header.Get("X-Dembrane-Signature"))
	assert.Contains(t, r.out, "is right")
	for _, args := range [][]string{{"--body", secret}, {"--secret", "x"}, {"--secret", "x", "--body", secret}, {"--secret", "x", "--body", "/nowhere", "-H", "a: b"}} {
		assert.Equal(t, 2, s.run(append([]string{"verify"}, args...)...).status)
	}
}

func TestSendFromAFile(t *testing.T) {
	s := newShell(t, "send")
	got := mustJSON[map[string]string](s, "send", "--file", write(t, `{"type":"report.generated","report":{"id":"1"}}`))
	assert.Equal(t, "send", got["project"])
	r := s.run("send", "--file", write(t, `{"type":"report.generated"}`))
	assert.Equal(t, 1, r.status)
	assert.Contains(t, r.err, "nothing was sent")
	assert.Equal(t, 2, s.run("send", "report.deleted").status)
	assert.Equal(t, 2, s.run("send").status)
	assert.Equal(t, 5, s.run("send", "report.generated", "--nats", "nats://127.0.0.1:1").status)
	assert.Equal(t, 3, strings.Count(s.must("send", "report.generated", "--count", "3"), "stored"))
}

func TestTheLifeOfAWebhook(t *testing.T) {
	s := newShell(t, "life")
	receiver := newReceiver(t, "secret-of-mine", http.StatusInternalServerError)
	assert.Contains(t, s.must("webhooks", "list"), "There are none")
	s.in = "secret-of-mine\n"
	made := mustJSON[struct{ ID string }](s, "webhooks", "create", receiver.URL, "--name", "Mine", "--events", "report.generated", "--secret-file", "-")
	id := made.ID
	s.in = "X-Api-Key: 123:456\n\nAuthorization:Bearer 789\r\n"
	keyed := mustJSON[struct {
		HeaderNames  []string `json:"header_names"`
		MaxPerSecond float64  `json:"max_per_second"`
	}](s, "webhooks", "create", receiver.URL, "--events", "webhook.failing", "--headers-file", "-", "--max-per-second", "2.5")
	assert.ElementsMatch(t, []string{"X-Api-Key", "Authorization"}, keyed.HeaderNames)
	assert.InDelta(t, 2.5, keyed.MaxPerSecond, 0)
	s.in = "not a header\n"
	assert.Equal(t, 2, s.run("webhooks", "create", receiver.URL, "--headers-file", "-").status)
	assert.Contains(t, s.must("webhooks", "list"), id)
	assert.Contains(t, s.must("webhooks", "show", id), "report.generated")
	failed := s.run("webhooks", "test", id)
	assert.Equal(t, 1, failed.status)
	assert.Contains(t, failed.out, "500")
	assert.Contains(t, s.must("webhooks", "test", id), "✓")

	s.must("send", "report.generated", "--id", "evt_1")
	eventually(t, func() bool {
		return strings.Contains(s.must("deliveries", "list", id, "--event-id", "evt_1"), "delivered")
	})
	list := mustJSON[[]map[string]any](s, "deliveries", "list", id, "--trigger", "event", "--since", "1h")
	require.Len(t, list, 1)
	attempt, _ := list[0]["id"].(string)
	shown := s.must("deliveries", "show", id, attempt)
	assert.Contains(t, shown, "POST "+receiver.URL)
	assert.Contains(t, shown, `"id":"evt_1"`)
	assert.Contains(t, s.must("deliveries", "resend", id, attempt), "on its way")
	eventually(t, func() bool { return len(receiver.got()) == 4 })

	assert.Contains(t, s.must("ledger", id, "--since", "1h"), "Everything was delivered")
	assert.Contains(t, s.must("ledger", id, "--have", write(t, "evt_1\nevt_0\n")), "Nothing is missing")
	r := s.run("ledger", id, "--have", write(t, "evt_0"))
	assert.Equal(t, 3, r.status)
	assert.Contains(t, r.out, "missing at the receiver")

	s.must("webhooks", "disable", id)
	s.must("send", "report.generated", "--id", "evt_2")
	assert.Equal(t, 1, s.run("replay", id, "--since", "1h").status, "a webhook that is off")
	s.must("webhooks", "enable", id)
	assert.Contains(t, s.must("replay", id, "--since", "1h", "--dry-run"), "1 events")
	assert.Contains(t, s.must("replay", id, "--since", "1h"), "done: 1 delivered")
	assert.Contains(t, s.must("replay", "list", id), "done")

	secret := s.must("webhooks", "rotate", id, "--overlap", "1m")
	assert.Regexp(t, `^whsec_\S+\n$`, secret, "nothing else, for scripts")
	r = s.run("webhooks", "delete", id)
	assert.Equal(t, 2, r.status)
	assert.Contains(t, r.err, "--yes")
	s.must("webhooks", "delete", id, "--yes")
	assert.Equal(t, 1, s.run("webhooks", "show", id).status)
}

func TestAReplayCanBeLeftAndCancelled(t *testing.T) {
	s := newShell(t, "replay-left")
	receiver := newReceiver(t, "")
	id := mustJSON[struct{ ID string }](s, "webhooks", "create", receiver.URL, "--events", "report.generated").ID
	s.must("webhooks", "disable", id)
	s.must("send", "report.generated", "--count", "20")
	s.must("webhooks", "enable", id)
	left := s.start("replay", id, "--since", "1h", "--max-per-second", "0.5")
	eventually(t, func() bool { return strings.Contains(s.must("replay", "list", id), "running") })
	left.stop(t)
	assert.Contains(t, left.err.String(), "It goes on. To cancel it: dembrane-webhooks replay cancel "+id)
	replays := mustJSON[[]struct{ ID, State string }](s, "replay", "list", id)
	require.Len(t, replays, 1)
	require.Equal(t, "running", replays[0].State)
	s.must("replay", "cancel", id, replays[0].ID)
	eventually(t, func() bool { return strings.Contains(s.must("replay", "list", id), "cancelled") })

	cancelled := s.start("replay", id, "--since", "1h", "--max-per-second", "0.5", "--on-interrupt", "cancel")
	eventually(t, func() bool { return strings.Contains(cancelled.err.String(), "delivered") })
	cancelled.stop(t)
	assert.Contains(t, cancelled.err.String(), "Cancelled.")
}

func TestWhatWasRejectedCanBeTakenInAgain(t *testing.T) {
	s := newShell(t, "rejected")
	nc, err := nats.Connect(system.NATS)
	require.NoError(t, err)
	defer nc.Close()
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	receiver := newReceiver(t, "")
	s.must("webhooks", "create", receiver.URL, "--events", "report.generated")
	ack, err := js.Publish(t.Context(), topology.SubjectEvent("rejected", "report.generated"), []byte(`{"id":`))
	require.NoError(t, err)
	eventually(t, func() bool {
		return strings.Contains(s.must("rejected", "list"), "dembrane.events.rejected.report.generated")
	})
	list := mustJSON[[]struct {
		Sequence uint64
		Reason   string
	}](s, "rejected", "list")
	require.Len(t, list, 1)
	assert.Equal(t, ack.Sequence, list[0].Sequence)
	r := s.run("rejected", "requeue", "--all")
	assert.Equal(t, 3, r.status)
	assert.Contains(t, r.out, "still_unreadable")
	assert.Contains(t, s.must("rejected", "requeue", "--all", "--force"), "1 taken in again")
	eventually(t, func() bool { // it is rejected once more, under its new sequence
		again := mustJSON[[]struct{ Sequence uint64 }](s, "rejected", "list")
		return len(again) == 1 && again[0].Sequence > ack.Sequence
	})
	assert.Equal(t, 2, s.run("rejected", "requeue", "1").status)
	assert.Equal(t, 2, s.run("rejected", "requeue").status)

	// One that can be read by now, as after an upgrade: it is written down by hand.
	msg := nats.NewMsg(topology.SubjectEvent("rejected", "report.generated"))
	msg.Header.Set(nats.MsgIdHdr, "evt_mended")
	msg.Data = []byte(`{"id":"evt_mended","type":"report.generated","occurred_at":"2026-01-20T12:00:00Z","project":{"id":"rejected"},"report":{"id":"1"}}`)
	ack, err = js.PublishMsg(t.Context(), msg)
	require.NoError(t, err)
	eventually(t, func() bool { return len(receiver.got()) == 1 })
	rejection, err := json.Marshal(map[string]any{"event_sequence": ack.Sequence, "subject": msg.Subject, "reason": "x", "rejected_at": time.Now().UTC()})
	require.NoError(t, err)
	_, err = js.Publish(t.Context(), topology.SubjectRejected(msg.Subject), rejection)
	require.NoError(t, err)
	assert.Contains(t, s.must("rejected", "requeue", jsonNumber(ack.Sequence)), "1 taken in again")
	eventually(t, func() bool { return len(receiver.got()) == 2 })
}

func jsonNumber(n uint64) string {
	text, _ := json.Marshal(n)
	return string(text)
}

func TestStreamsAndCheck(t *testing.T) {
	s := newShell(t, "check")
	for _, name := range []string{"EVENTS", "ATTEMPTS", "KV_WEBHOOKS"} {
		assert.Contains(t, s.must("streams"), name)
	}
	all := s.must("check")
	for _, line := range []string{"✓ api", "✓ token", "✓ nats", "✓ EVENTS", "✓ clock of nats", "✓ dispatchers", "0.0.0-test"} {
		assert.Contains(t, all, line)
	}
	for name, test := range map[string]struct {
		environment map[string]string
		want        string
	}{
		"no api":   {map[string]string{"DEMBRANE_API": "http://127.0.0.1:1"}, "✗ api"},
		"no token": {map[string]string{"DEMBRANE_TOKEN": "made-up"}, "✗ token"},
		"no nats":  {map[string]string{"DEMBRANE_NATS": "nats://127.0.0.1:1"}, "✗ nats"},
	} {
		r := s.with(test.environment).run("check")
		assert.Equal(t, 3, r.status, name)
		assert.Contains(t, r.out, test.want, name)
		assert.Contains(t, r.out, "→", name)
	}
	behind := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Date", time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat))
		_, _ = w.Write([]byte(`{}`))
	}))
	t.Cleanup(behind.Close)
	r := s.with(map[string]string{"DEMBRANE_API": behind.URL}).run("check")
	assert.Contains(t, r.out, "1h0m0s behind the one of this machine")
}

// Flags go before the environment, and that before the file.
func TestWhereSettingsComeFrom(t *testing.T) {
	s := newShell(t, "from-environment")
	file := write(t, "api: "+system.API+"\nproject: from-file\ntoken: "+system.Token+"\nnats: "+system.NATS+"\n")
	bare := &shell{t: t, environment: map[string]string{"DEMBRANE_CONFIG": file, "HOME": t.TempDir()}}
	assert.Contains(t, bare.must("check"), "from-file")
	assert.Contains(t, s.with(map[string]string{"DEMBRANE_CONFIG": file}).must("check"), "from-environment")
	assert.Contains(t, s.must("check", "-p", "from-flag"), "from-flag")
	assert.Contains(t, s.with(map[string]string{"DEMBRANE_TOKEN": "made-up"}).must("check", "--token-file", write(t, system.Token+"\n")), "✓ token")
	assert.Equal(t, 2, s.run("check", "--config", "/nowhere").status)
	r := s.run("check", "--config", write(t, "tokken: x"))
	assert.Equal(t, 2, r.status)
	assert.Contains(t, r.err, "token_file")
}
