package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"go.uber.org/zap"

	api "github.com/dembrane/webhooks/services/api/app"
	"github.com/dembrane/webhooks/services/standalone/embedded"
)

// ErrUnreadable says that no key of the keyset opens some of the secrets.
var ErrUnreadable = api.ErrUnreadable

// unannounced is where the broker listens while nobody is to find it.
const unannounced = "127.0.0.1:0"

// RotateKeyset adds a new primary key to the keyset in the folder of data, and
// returns how many keys there are now.
func RotateKeyset(c Config) (keys int, _ error) {
	err := alone(c, func() (err error) {
		keys, err = api.RotateKeyset(c.KeysetFile())
		return err
	})
	return keys, err
}

// Reencrypt encrypts every secret in the folder of data with the keyset's primary
// key: in the database, and in the bucket from which the dispatcher reads them.
// [ErrUnreadable] when no key opens some of them; the others are done.
func Reencrypt(ctx context.Context, c Config, log *zap.Logger) (done api.Reencrypted, _ error) {
	err := alone(c, func() (err error) {
		done, err = reencrypt(ctx, c, log)
		return err
	})
	return done, err
}

// RetireKeys makes sure that every secret in the folder of data is encrypted with
// the keyset's primary key, as [Reencrypt] does, and then removes all others. It
// removes none when a secret cannot be read.
func RetireKeys(ctx context.Context, c Config, log *zap.Logger) (done api.Reencrypted, retired int, _ error) {
	err := alone(c, func() (err error) {
		if done, err = reencrypt(ctx, c, log); err != nil {
			return err
		}
		retired, err = api.RetireKeys(c.KeysetFile())
		return err
	})
	return done, retired, err
}

// alone works on a folder that a standalone has made and none is using.
func alone(c Config, work func() error) error {
	if _, err := os.Stat(c.KeysetFile()); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("find %s: there is none: set DATA_DIR to the folder of a standalone that has run", c.KeysetFile())
	}
	release, err := lock(c.LockFile())
	if err != nil {
		return fmt.Errorf("take DATA_DIR %s: %w", c.DataDir, err)
	}
	defer release()
	return work()
}

// reencrypt has both servers for itself: nobody knows where they are, and neither
// the api nor the dispatcher runs.
func reencrypt(ctx context.Context, c Config, log *zap.Logger) (api.Reencrypted, error) {
	mongo, err := embedded.StartMongo(ctx, c.MongoDir(), log)
	if err != nil {
		return api.Reencrypted{}, err
	}
	defer mongo.Stop()
	nats, err := embedded.StartNATS(ctx, unannounced, c.NATSStore(), log)
	if err != nil {
		return api.Reencrypted{}, err
	}
	defer nats.Stop()
	settings, err := c.API(nats.URL(), mongo.URI())
	if err != nil {
		return api.Reencrypted{}, err
	}
	done, err := api.Reencrypt(ctx, settings, log)
	if err != nil {
		return done, fmt.Errorf("work on DATA_DIR %s: %w", c.DataDir, err)
	}
	if err := api.Project(ctx, settings, log); err != nil {
		return done, fmt.Errorf("work on DATA_DIR %s: %w", c.DataDir, err)
	}
	if done.Unreadable > 0 {
		return done, ErrUnreadable
	}
	return done, nil
}
