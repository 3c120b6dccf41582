package app

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/dembrane/webhooks/pkg/observe"
	"github.com/dembrane/webhooks/pkg/secret"
	"github.com/dembrane/webhooks/pkg/topology"
	"github.com/dembrane/webhooks/services/api/internal/projection"
	"github.com/dembrane/webhooks/services/api/internal/store"
)

// Reencrypted counts webhooks that have a secret: one that signs, or a header's value.
type Reencrypted struct {
	// Changed are those whose secrets were encrypted anew.
	Changed int
	// Unchanged had nothing to do: the primary key opens their secrets.
	Unchanged int
	// Unreadable are those with a secret that no key of the keyset opens. They
	// were left as they are.
	Unreadable int
}

// String tells an operator.
func (r Reencrypted) String() string {
	return fmt.Sprintf("webhooks with a secret: %d encrypted anew, %d had the primary key already, %d cannot be read",
		r.Changed, r.Unchanged, r.Unreadable)
}

// ErrUnreadable says that [Reencrypt] left secrets as they are.
var ErrUnreadable = errors.New(
	"some secrets cannot be read with this keyset: add the key they were encrypted with, or have their hosts set new ones")

// Reencrypt encrypts every stored secret with the keyset's primary key. Each
// webhook is a step of its own, which an api projects to the dispatchers like
// any change; when it is interrupted, it goes on where it was when it is called
// again. It may run beside apis that have the same keyset.
func Reencrypt(ctx context.Context, c Config, log *zap.Logger) (Reencrypted, error) {
	var done Reencrypted
	box, err := secret.OpenKeysetFile(c.SecretsKeysetFile)
	if err != nil {
		return done, fmt.Errorf("open SECRETS_KEYSET_FILE: %w", err)
	}
	webhooks, err := store.Open(ctx, c.MongoDBURI, c.MongoDBDatabase, log)
	if err != nil {
		return done, err //nolint:wrapcheck // it says what to do
	}
	err = webhooks.Each(ctx, func(w store.Webhook) error {
		if len(w.Secrets)+len(w.Headers) == 0 {
			return nil
		}
		changed, err := webhooks.Reseal(ctx, w.ProjectID, w.ID, func(ciphertext []byte, sealedFor string) ([]byte, error) {
			return box.Reseal(ciphertext, w.ProjectID, sealedFor)
		})
		switch {
		case errors.Is(err, secret.ErrUnreadable):
			done.Unreadable++
			log.Error("secret cannot be read with this keyset: left as it is",
				zap.String(observe.KeyProject, w.ProjectID), zap.String(observe.KeyWebhook, w.ID))
		case err != nil:
			return fmt.Errorf("re-encrypt webhook %s: %w", w.ID, err)
		case changed:
			done.Changed++
		default:
			done.Unchanged++
		}
		return nil
	})
	if err != nil {
		err = fmt.Errorf("re-encrypt: %w", err)
	}
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	return done, errors.Join(err, webhooks.Close(closing))
}

// Project brings what is stored into the bucket, once, as a running api does by
// itself. It is for whoever changed it while no api runs.
func Project(ctx context.Context, c Config, log *zap.Logger) error {
	webhooks, err := store.Open(ctx, c.MongoDBURI, c.MongoDBDatabase, log)
	if err != nil {
		return err //nolint:wrapcheck // it says what to do
	}
	if err = complete(ctx, c, webhooks, log); err != nil {
		err = fmt.Errorf("project webhooks: %w", err)
	}
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	return errors.Join(err, webhooks.Close(closing))
}

func complete(ctx context.Context, c Config, webhooks *store.Store, log *zap.Logger) error {
	nc, err := topology.Connect(topology.Connection{
		URL: c.NATSURL, CredentialsFile: c.NATSCredentialsFile, Name: "webhooks-project",
	}, log)
	if err != nil {
		return err //nolint:wrapcheck // it says what it did
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return fmt.Errorf("open jetstream: %w", err)
	}
	return projection.New(projection.Deps{ //nolint:wrapcheck // its caller says what this is
		Store: webhooks, JS: js, Settings: c.Streams(), Log: log, Metrics: projection.NewMetrics(observe.NewRegistry()),
	}).Complete(ctx)
}
