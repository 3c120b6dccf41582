package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dembrane/webhooks/cli/internal/config"
	"github.com/dembrane/webhooks/pkg/event"
	"github.com/dembrane/webhooks/pkg/payload"
	"github.com/dembrane/webhooks/pkg/publisher"
	"github.com/dembrane/webhooks/proto/webhooksv1"
)

// sendPatience is how long is tried to have an event stored.
const sendPatience = 10 * time.Second

func (p *program) send() *cobra.Command {
	var file, id string
	var count int
	c := &cobra.Command{
		Use:   "send [EVENT]",
		Short: "Publish an event: a sample, or one from a file",
		Long: `Publish an event over NATS, as a pipeline stage does: checked first, and stored when
this program ends with 0. Every webhook of the project that wants it gets it, so take a
project for trying.

EVENT is one of ` + strings.Join(event.Types(), ", ") + `
and sends a sample. A file holds an event in JSON; what it leaves out of id, occurred_at
and project is filled in.`,
		Example: `  dembrane-webhooks send conversation.summarized --project demo
  dembrane-webhooks send report.generated -p demo --count 20
  dembrane-webhooks send --file event.json`,
		Args: optional("EVENT"),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return event.Types(), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(c *cobra.Command, args []string) error {
			if (len(args) == 1) == (file != "") {
				return usage("name an event (%s) or give --file", strings.Join(event.Types(), ", "))
			}
			if count < 1 || count > 1 && (id != "" || file != "") {
				return usage("--count must be 1 or more, and goes with samples that get ids of their own")
			}
			settings, err := p.settings()
			if err != nil {
				return err
			}
			var e *webhooksv1.Event
			if file != "" {
				if e, err = fromFile(file, p.In); err != nil {
					return err
				}
			} else if e, err = sampleOf(args[0], settings.Project); err != nil {
				return err
			}
			complete(e, id, settings.Project)
			return p.publish(c, e, count)
		},
	}
	c.Flags().StringVarP(&file, "file", "f", "", "the file with the event; - is standard input")
	c.Flags().StringVar(&id, "id", "", "the event's id; the same id within ten minutes is stored once")
	c.Flags().IntVar(&count, "count", 1, "how many samples to send, each with an id of its own")
	return c
}

func sampleOf(eventType, project string) (*webhooksv1.Event, error) {
	if !slices.Contains(event.Types(), eventType) {
		return nil, usage("there is no event %q; there are %s", eventType, strings.Join(event.Types(), ", "))
	}
	if project == "" {
		return nil, usage("which project? Set --project, or DEMBRANE_PROJECT")
	}
	return payload.Sample(eventType, &webhooksv1.Project{Id: project, Name: new("Sample project"), Language: new("en")}, "", time.Now()), nil
}

func fromFile(path string, stdin io.Reader) (*webhooksv1.Event, error) {
	data, err := config.LargeFile(path, stdin)
	if err != nil {
		return nil, usage("read --file: %w", err)
	}
	e, err := event.Decode(event.JSON, data)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return e, nil
}

// complete fills in what nobody has chosen.
func complete(e *webhooksv1.Event, id, project string) {
	switch {
	case id != "":
		e.Id = id
	case e.GetId() == "":
		e.Id = "evt_" + ulid.Make().String()
	}
	if e.GetOccurredAt() == nil {
		e.OccurredAt = timestamppb.Now()
	}
	if e.GetProject() == nil && project != "" {
		e.Project = &webhooksv1.Project{Id: project}
	}
}

// sent is what --json prints of an event.
type sent struct {
	ID      string `json:"id"`
	Event   string `json:"event"`
	Project string `json:"project"`
}

func (p *program) publish(c *cobra.Command, e *webhooksv1.Event, count int) error {
	nc, _, err := p.broker()
	if err != nil {
		return err
	}
	defer nc.Close()
	stage, err := publisher.New(nc, publisher.WithRetry(sendPatience))
	if err != nil {
		return fmt.Errorf("set up the publisher: %w", err)
	}
	for i := range count {
		if i > 0 {
			e.Id = "evt_" + ulid.Make().String()
		}
		if err := stage.Publish(c.Context(), e); err != nil {
			return sendProblem(err)
		}
		s := sent{e.GetId(), e.GetType(), e.GetProject().GetId()}
		if err := p.showValue(c, s, func(w io.Writer) { say(w, "stored %s (%s of project %s)", s.ID, s.Event, s.Project) }); err != nil {
			return err
		}
	}
	return nil
}

// sendProblem says of what is no fault of the event that it may pass.
func sendProblem(err error) error {
	if errors.Is(err, publisher.ErrInvalid) || errors.Is(err, publisher.ErrTooLarge) || errors.Is(err, context.Canceled) {
		return fmt.Errorf("nothing was sent: %w", err)
	}
	return &exitError{exitUnreachable, fmt.Errorf("it may not be stored; send it again with the same id: %w", err)}
}
