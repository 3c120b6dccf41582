package demo

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/services/standalone/internal/receiver"
)

// maxExcerpt is how much of a text is shown of a delivery, in characters.
const maxExcerpt = 48

// story is what a person reads.
type story struct {
	place Place

	mu  sync.Mutex
	out io.Writer
}

// say writes lines. A reader who has gone away changes nothing.
func (s *story) say(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, _ = fmt.Fprintf(s.out, format, args...)
}

func (s *story) begin(webhookID, receiverAddr, secret string) {
	s.say(`
  Pages     %s
            (signs your browser in, once; open it within 15 minutes)
  API       %s   (Authorization: Bearer %s)
  NATS      %s
  Webhook   %s in the project "%s", signed with the secret %s
  Receiver  http://%s/, which checks X-Dembrane-Signature
`, s.place.Pages(projectID), s.place.API, s.place.Token, s.place.NATS, webhookID, projectID, secret, receiverAddr)
	if s.place.LoopbackAssumed {
		s.say("            (deliveries to this machine are allowed because ALLOW_CIDRS is not set)\n")
	}
	s.say("\n  Publishing one event of each type:\n\n")
}

func (s *story) arrived(d receiver.Delivery) {
	mark, verdict := "✓", "verified"
	if d.Problem != "" {
		mark, verdict = "✗", "REFUSED "+d.Problem
	}
	s.say("  %s %s  %-25s %s  attempt %s  %5d bytes  %s\n",
		mark, d.At.Format("15:04:05.000"), d.Event, verdict, d.Attempt, len(d.Body), excerpt(d))
}

func (s *story) sum(events int, took time.Duration) {
	s.say("\n  %d events were published, delivered and verified within %d ms.\n", events, took.Milliseconds())
}

// goOn prints commands that can be pasted as they are.
func (s *story) goOn(webhookID string) {
	authorization := "-H 'Authorization: Bearer " + s.place.Token + "'"
	one := s.place.webhooks() + "/" + webhookID
	s.say(`
  Go on in another terminal. What is delivered shows up here. Ctrl-C stops.
%[5]s
  # the project's webhooks and their health
  curl -s %[1]s %[2]s
  # a test delivery, made now
  curl -s -X POST %[1]s %[3]s/test
  # for whoever writes a receiver: exact headers, samples, verification snippets
  curl -s %[1]s %[3]s/copyable
  # an event, as a pipeline stage publishes it (nats: go install github.com/nats-io/natscli/nats@latest)
  id=evt_$(date +%%s); %[4]s

`, authorization, s.place.webhooks(), one, publishCommand(s.place.NATS), s.place.programCommands())
}

// programCommands are what the program beside this one can do.
func (p Place) programCommands() string {
	if p.Program == "" {
		return ""
	}
	return `
  export DEMBRANE_TOKEN=` + p.Token + ` DEMBRANE_PROJECT=` + projectID + ` DEMBRANE_API=` + p.API + ` DEMBRANE_NATS=` + p.NATS + `
  # the project's events at a program that you are writing; without the URL, to look at them
  ` + p.Program + ` listen http://localhost:3000/hook
  # an event, in yet another terminal with the same line of variables; what else there is: ` + p.Program + ` --help
  ` + p.Program + ` send conversation.summarized
`
}

// publishCommand publishes an event whose id is in the shell's variable id.
func publishCommand(server string) string {
	body := `{\"id\":\"$id\",\"type\":\"conversation.started\",\"occurred_at\":\"$(date -u +%Y-%m-%dT%H:%M:%SZ)\",` +
		`\"project\":{\"id\":\"` + projectID + `\"},\"conversation\":{\"id\":\"c1\"}}`
	return "nats --server " + server + " pub --jetstream -H Nats-Msg-Id:$id -H Content-Type:application/json" +
		" dembrane.events." + projectID + ".conversation.started \"" + body + "\""
}

// excerpt is the part of a delivery that a person recognises.
func excerpt(d receiver.Delivery) string {
	var body struct {
		Conversation struct {
			ID          string  `json:"id"`
			Participant *string `json:"participant_name"`
			Transcript  string  `json:"transcript"`
			Summary     string  `json:"summary"`
		} `json:"conversation"`
		Report struct {
			ID any `json:"id"`
		} `json:"report"`
	}
	if err := json.Unmarshal(d.Body, &body); err != nil {
		return ""
	}
	switch {
	case d.Event == event.ReportGenerated:
		return "report " + short(fmt.Sprint(body.Report.ID))
	case d.Event == event.ConversationSummarized:
		return short(body.Conversation.Summary)
	case body.Conversation.Transcript != "":
		return short(body.Conversation.Transcript)
	case body.Conversation.Participant != nil:
		return short(*body.Conversation.Participant)
	default:
		return "conversation " + short(body.Conversation.ID)
	}
}

// short is the beginning of a text, on one line. Control characters, which could
// do things to a terminal, become spaces.
func short(text string) string {
	text = strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || (r >= 0x80 && r < 0xa0) {
			return ' '
		}
		return r
	}, text)), " ")
	if runes := []rune(text); len(runes) > maxExcerpt {
		return "“" + string(runes[:maxExcerpt]) + "…”"
	}
	return "“" + text + "”"
}
