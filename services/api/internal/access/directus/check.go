package directus

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"go.uber.org/zap"

	"github.com/dembrane/webhooks/pkg/secret"
	"github.com/dembrane/webhooks/services/api/internal/access"
)

const (
	// checkEvery is how soon a check that failed is made again.
	checkEvery = 15 * time.Second
	// checkLife is how long the token lives that the secret is checked with.
	checkLife = time.Minute
)

// Run checks the settings against Directus until they work, so that a mistake is
// in the log before a host meets it, then waits for ctx. Requests are answered
// meanwhile, as far as Directus answers.
func (d *Driver) Run(ctx context.Context) error {
	defer d.close()
	retry := time.NewTicker(checkEvery)
	defer retry.Stop()
	told := ""
	for {
		err := d.Check(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			d.log.Info("directus can be used")
			<-ctx.Done()
			return nil
		case err.Error() != told: // once for each thing that is wrong
			told = err.Error()
			d.log.Error("directus cannot be used: requests are answered 503 or 401 until it can", zap.Error(err))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-retry.C:
		}
	}
}

// Check asks Directus everything once that a decision may need, and whether the
// secret is the one that it signs with. It reports everything that is wrong.
func (d *Driver) Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, d.standings.timeout, errSlow)
	defer cancel()
	var faults []error
	for _, each := range []collection{
		appUsers(), projects(), workspaces(), workspaceMemberships(), orgMemberships(), projectMemberships(),
	} {
		// Nobody is asked for: the answer is empty, or says what may not be read.
		nobody := "00000000-0000-0000-0000-000000000000"
		where := equals(each.idField(), nobody)
		if each.hasDeleted() {
			where = all(where, isNull("deleted_at"))
		}
		if _, err := rows[json.RawMessage](ctx, d.client, each, where, 1, 0); err != nil {
			faults = append(faults, err)
			var said *refused
			if !errors.As(err, &said) || said.status != 403 { // the next would say the same
				return errors.Join(faults...)
			}
		}
	}
	return errors.Join(append(faults, d.checkSecret(ctx))...)
}

// checkSecret signs a token for the service's own user and shows it to Directus,
// which refuses it when it was signed with another secret. It says nothing about
// what the user may do, and ends at once.
func (d *Driver) checkSecret(ctx context.Context) error {
	own, err := d.client.whoami(ctx, d.client.token)
	if errors.Is(err, access.ErrSession) {
		return errors.New("DIRECTUS_TOKEN is not the token of a user: set it to a static token")
	}
	if err != nil {
		return err
	}
	now := d.now()
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"id": own.userID, "role": nil, "app_access": false, "admin_access": false,
		"iat": now.Unix(), "exp": now.Add(checkLife).Unix(), "iss": issuer,
	}).SignedString(d.secret)
	if err != nil {
		return errors.New("DIRECTUS_SECRET cannot sign: set it to the SECRET of Directus")
	}
	_, err = d.client.whoami(ctx, secret.New(token))
	if errors.Is(err, access.ErrSession) {
		return errors.New("DIRECTUS_SECRET is not the SECRET of Directus: every session is refused until it is")
	}
	return err
}
