package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/dembrane/webhooks/test/internal/apiclient"
	"github.com/dembrane/webhooks/test/internal/run"
)

// apartFor is how long the api is cut off from NATS.
const apartFor = 15 * time.Second

// The webhooks that a host changes, by the number of their hooks.
const (
	hookMade = iota
	hookDisabled
	hookDeleted
)

// changes are what a host did while it could not come into force.
type changes struct {
	x       *strike
	project string
}

// host registers two webhooks, which are in force when it returns.
func (x *strike) host(t run.T) (c *changes, disabled, deleted apiclient.Webhook) {
	c = &changes{x: x, project: x.nth()}
	var registered [2]apiclient.Webhook
	for i, hook := range []int{hookDisabled, hookDeleted} {
		var err error
		registered[i], err = x.Create(t.Context(), c.project, x.hook(c.project, hook, nil))
		run.Must(t, err, "register a webhook")
	}
	patient, cancel := context.WithTimeoutCause(t.Context(), x.plan.patience, errPatience)
	defer cancel()
	run.Must(t, x.probe(patient, c.project, hookDeleted), "register what is changed")
	return c, registered[0], registered[1]
}

// change makes one webhook, disables one, and deletes one, and wants to be told that
// none of it is in force.
func (c *changes) change(t run.T, disabled, deleted apiclient.Webhook) {
	for _, one := range []struct {
		method, path string
		fields       apiclient.Fields
		want         int
	}{
		{http.MethodPost, apiclient.Webhooks(c.project), c.x.hook(c.project, hookMade, nil), http.StatusCreated},
		{http.MethodPatch, disabled.Path(), apiclient.Fields{"enabled": false}, http.StatusOK},
		{http.MethodDelete, deleted.Path(), nil, http.StatusAccepted},
	} {
		body, err := c.x.Call(t.Context(), one.method, one.path, one.fields, one.want)
		run.Must(t, err, "change a webhook")
		var answer struct {
			InForce *bool `json:"in_force"`
		}
		run.Must(t, json.Unmarshal(body, &answer), "read the answer to a change")
		if answer.InForce == nil || *answer.InForce {
			t.Errorf("strike %d: %s %s says that it is in force: %s", c.x.number+1, one.method, one.path, body)
		}
	}
}

// publish publishes an event that is owed to the webhook that was made.
func (c *changes) publish(ctx context.Context) error {
	return c.x.publish(ctx, c.x.book, project{c.project, []int{hookMade}})
}

// inForce fails until all of it is in force.
func (c *changes) inForce(ctx context.Context) error { return c.x.allInForce(ctx, c.project) }

// allInForce fails until everything of the project is in force: the api has taken
// its marks off.
func (s *stack) allInForce(ctx context.Context, project string) error {
	marked, err := s.unprojected(ctx, project)
	if err == nil && marked {
		err = errors.New("not all that a host has changed is in force")
	}
	return err
}

// obeyed fails when an event that is published now reaches a webhook that was
// disabled or deleted.
func (c *changes) obeyed(t run.T) {
	book := c.x.ledger.Open("obeyed-"+c.x.nth(), mostHooks)
	run.Must(t, c.x.publish(t.Context(), book, project{c.project, []int{hookMade}}), "publish after a change")
	patient, cancel := context.WithTimeoutCause(t.Context(), c.x.plan.patience, errPatience)
	defer cancel()
	run.Must(t, book.Rest().Wait(patient), "deliver after a change")
	run.Pause(t, time.Second) // others would have got it at the same time
	for i, line := range book.Lines() {
		if hook := i % mostHooks; hook != hookMade && line.Posts > 0 {
			t.Errorf("strike %d: hook %d of %s got an event after it was disabled or deleted", c.x.number+1, hook, c.project)
		}
	}
}

// cutAPI cuts the api off from NATS, in turns with a network that is silent and one
// that refuses, and changes webhooks. What happens meanwhile is owed to the new one.
func cutAPI(t run.T, x *strike) {
	c, disabled, deleted := x.host(t)
	if x.number%2 == 0 {
		x.note = "refused"
		x.apiNATS.Cut()
	} else {
		x.note = "silent"
		x.apiNATS.Freeze()
	}
	defer x.apiNATS.Heal()
	c.change(t, disabled, deleted)
	over, cancel := context.WithTimeout(t.Context(), x.length(apartFor))
	defer cancel()
	for over.Err() == nil {
		run.Must(t, c.publish(t.Context()), "publish while the api is cut off")
		run.Pause(t, 500*time.Millisecond)
	}
	x.ended = time.Now()
	x.recovered = c.inForce
	x.afterwards = c.obeyed
}
