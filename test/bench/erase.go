package main

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"time"

	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/test/internal/apiclient"
	"github.com/dembrane/webhooks/test/internal/run"
)

const (
	// erasedProject is whose events are erased, keptProject that whose stay.
	erasedProject = "bench-erased"
	keptProject   = "bench-kept"
)

// erase measures how many events a second are erased when all of a project are. In
// the broker's files they lie among as many of another project.
func (b *bench) erase(t run.T) {
	run.Together(t, func(t run.T) {
		s := b.startSystem(t, filepath.Join(b.folder, fmt.Sprintf("round-%d-%s", b.round+1, eraseScenario)), nil)
		targets := make([]target, 0, 2)
		for _, project := range []string{erasedProject, keptProject} {
			made, err := newTarget(specification{project: project, event: eventType, contentType: b.encoding, bodyBytes: bodyBytes})
			run.Must(t, err, "make events")
			targets = append(targets, made)
		}
		s.flood(t, phaseName(0), len(targets)*b.eraseEvents, targets)
		s.recorded(t)
		host := apiclient.Client{URL: s.at.API, Token: s.at.Token, Timeout: readyTimeout}
		began := time.Now()
		run.Until(t, b.timeout, "all are erased", func(ctx context.Context) error { // it is answered 202 before that
			_, err := host.Call(ctx, http.MethodDelete, "/api/projects/"+erasedProject+"/events", nil, http.StatusNoContent)
			return err
		})
		took := time.Since(began)
		left, err := s.Stream(t.Context(), topology.StreamEvents)
		run.Must(t, err, "count what is left")
		if left.State.Msgs != uint64(b.eraseEvents) { //nolint:gosec // more than 0
			run.Must(t, errLost, "%d events are left instead of %d", left.State.Msgs, b.eraseEvents)
		}
		section := fmt.Sprintf("%d events of one project erased, among as many of another", b.eraseEvents)
		rate := float64(b.eraseEvents) / took.Seconds()
		b.figures.add(section, "erase.rate", "events erased/s", rate)
		b.figures.add(section, "erase.took", "from the request until all are erased, s", took.Seconds())
		t.Logf("erased %.0f events/s", rate)
	})
}
