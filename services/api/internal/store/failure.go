package store

import (
	"errors"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/mongo"
	"go.mongodb.org/mongo-driver/x/mongo/driver/topology"

	"github.com/dembrane/webhooks/pkg/retry"
	"github.com/dembrane/webhooks/services/api/internal/store/documents"
)

// Write errors that the document itself causes, and so every try would end in.
// The list is closed: whatever else a server says may be different next time.
const (
	badValue                 = 2
	failedToParse            = 9
	invalidBSON              = 22
	documentValidationFailed = 121
	bsonObjectTooLarge       = 10334
	keyTooLong               = 17280
)

// final reports whether a write error concerns the document for good. A duplicate
// key is another matter: it is there already.
func final(code int) bool {
	switch code {
	case badValue, failedToParse, invalidBSON, documentValidationFailed, bsonObjectTooLarge, keyTooLong:
		return true
	default:
		return false
	}
}

// finalError is [final] for whatever the driver returned for one document.
func finalError(err error) bool {
	if command, ok := errors.AsType[mongo.CommandError](err); ok {
		return final(int(command.Code))
	}
	var write mongo.WriteException
	return errors.As(err, &write) && len(write.WriteErrors) == 1 && final(write.WriteErrors[0].Code)
}

// neverSent reports whether the driver found nobody to send anything to.
func neverSent(err error) bool {
	var noServer topology.ServerSelectionError
	var noConnection topology.WaitQueueTimeoutError
	return errors.As(err, &noServer) || errors.As(err, &noConnection)
}

// errDoubt: a write failed in a way that does not say whether it has happened. The
// same write may be tried again where its id, or its revision, lets it happen once
// only.
var errDoubt = errors.New("not known whether it was written")

// doubtPace is for such tries: a failover takes a few seconds.
func doubtPace() retry.Pace {
	return retry.Pace{First: 50 * time.Millisecond, Longest: 500 * time.Millisecond}
}

// inDoubt wraps what the driver returned for a write that may have happened.
func inDoubt(doing string, err error) error {
	return unavailable(doing, fmt.Errorf("%w: %w", errDoubt, err))
}

// permanent ends a retry, whatever err is.
func permanent(err error) error {
	if err == nil {
		return nil
	}
	return retry.Permanent(err)
}

// orUnavailable is for what a retry returned that may not have tried at all.
func orUnavailable(doing string, err error) error {
	if err == nil || errors.Is(err, ErrLimit) || errors.Is(err, ErrUnavailable) {
		return err
	}
	return unavailable(doing, err)
}

// unavailable wraps whatever the driver returned, nil included.
func unavailable(doing string, err error) error {
	return documents.Unavailable(doing, err)
}
