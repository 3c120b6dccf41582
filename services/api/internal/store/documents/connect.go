package documents

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.mongodb.org/mongo-driver/mongo"
	"go.mongodb.org/mongo-driver/mongo/options"
	"go.mongodb.org/mongo-driver/mongo/readpref"
	"go.mongodb.org/mongo-driver/mongo/writeconcern"
	"go.uber.org/zap"

	"github.com/dembrane/webhooks/pkg/retry"
)

const (
	// selectTimeout bounds the search for a server that can answer, and so how
	// late a request learns that there is none, unless the URI says otherwise.
	selectTimeout = 2 * time.Second
	// maxConnections bounds the calls under way, unless the URI says otherwise.
	// In FerretDB each of them may take two of its 100 connections to SQLite, and
	// all stop for ever when none is left.
	maxConnections = 32
	// dialPauseFirst and dialPauseLongest pace the tries to read a URI again whose
	// names or files were not there.
	dialPauseFirst   = 200 * time.Millisecond
	dialPauseLongest = 10 * time.Second
	// appName is what the server lists us as, unless the URI says otherwise.
	appName = "webhooks-api"
)

// dialer has a client as soon as MONGODB_URI can be understood: a name that it
// mentions may resolve later, and a file may be mounted later.
type dialer struct {
	uri    string
	log    *zap.Logger
	client atomic.Pointer[mongo.Client]
	cause  atomic.Pointer[error]
	cancel context.CancelFunc
	done   sync.WaitGroup
}

// dial returns an error only for a URI that can never work. It waits a moment for
// what the name service says; after that the tries go on behind it.
func dial(ctx context.Context, uri string, log *zap.Logger) (*dialer, error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	d := &dialer{uri: uri, log: log, cancel: cancel}
	first := make(chan error, 1)
	d.done.Go(func() {
		err := d.connect(ctx)
		first <- err
		if err != nil {
			d.insist(ctx)
		}
	})
	moment := time.NewTimer(selectTimeout)
	defer moment.Stop()
	select {
	case err := <-first:
		if err != nil && !mayHeal(err) {
			cancel()
			d.done.Wait()
			return nil, err
		}
	case <-moment.C:
		log.Warn("MONGODB_URI cannot be used yet: the name service does not answer")
	}
	return d, nil
}

// insist tries until it can be used; a fault that does not heal shows only once
// names resolve, and then with every call.
func (d *dialer) insist(ctx context.Context) {
	err := retry.Until(ctx, retry.Pace{First: dialPauseFirst, Longest: dialPauseLongest}, func(err error, _ time.Duration) {
		d.log.Warn("MONGODB_URI cannot be used yet, trying again", zap.Error(err))
	}, d.connect)
	if err == nil {
		d.log.Info("MONGODB_URI can be used now")
	}
}

// connect makes a client. It connects by itself and with every call, so a server
// that is away is no error here.
func (d *dialer) connect(ctx context.Context) error {
	opts, ignored := clientOptions(d.uri)
	client, err := mongo.Connect(ctx, opts)
	if err != nil {
		err = describe(d.uri, err)
		d.cause.Store(&err)
		return err
	}
	if len(ignored) > 0 {
		d.log.Warn("MONGODB_URI asks for what is not done: writes go to a majority with its journal, reads to the primary, and every call has a time limit",
			zap.Strings("ignored", ignored))
	}
	d.client.Store(client)
	return nil
}

// current is the client, or why there is none.
func (d *dialer) current() (*mongo.Client, error) {
	if client := d.client.Load(); client != nil {
		return client, nil
	}
	if cause := d.cause.Load(); cause != nil {
		return nil, *cause
	}
	return nil, errors.New("not connected yet")
}

func (d *dialer) close(ctx context.Context) error {
	d.cancel()
	ended := make(chan struct{})
	go func() { // it may hang in a look-up of names for as long as that takes
		defer close(ended)
		d.done.Wait()
	}()
	select {
	case <-ended:
	case <-ctx.Done():
		return fmt.Errorf("wait for the name service: %w", context.Cause(ctx))
	}
	if client := d.client.Load(); client != nil {
		return client.Disconnect(ctx) //nolint:wrapcheck // the caller says what it did
	}
	return nil
}

// clientOptions reads the URI. What this package relies on is not the URI's to
// decide: majority writes with journal, reads from the primary, and deadlines
// for each call. It returns what is ignored for that.
func clientOptions(uri string) (opts *options.ClientOptions, ignored []string) {
	opts = options.Client().ApplyURI(uri)
	const majority = "majority"
	journal := true
	durable := &writeconcern.WriteConcern{W: majority, Journal: &journal}
	if given := opts.WriteConcern; given != nil {
		if given.W != nil && given.W != majority {
			ignored = append(ignored, "w")
		}
		durable.WTimeout = given.WTimeout
	}
	for key, value := range uriOptions(uri) { // the driver takes it for none
		if key == "journal" && value == "false" {
			ignored = append(ignored, key)
		}
	}
	if given := opts.ReadPreference; given != nil && given.Mode() != readpref.PrimaryMode {
		ignored = append(ignored, "readPreference")
	}
	if opts.Timeout != nil {
		ignored = append(ignored, "timeoutMS")
		opts.Timeout = nil
	}
	opts.SetWriteConcern(durable).SetReadPreference(readpref.Primary())
	if opts.AppName == nil {
		opts.SetAppName(appName)
	}
	if opts.ServerSelectionTimeout == nil {
		opts.SetServerSelectionTimeout(selectTimeout)
	}
	if opts.ConnectTimeout == nil {
		opts.SetConnectTimeout(selectTimeout)
	}
	if opts.MaxPoolSize == nil {
		opts.SetMaxPoolSize(maxConnections)
	}
	return opts, ignored
}

// mayHeal reports whether a URI may be understood later.
func mayHeal(err error) bool {
	var name *net.DNSError
	var file *fs.PathError
	return errors.As(err, &name) || errors.As(err, &file)
}

// describe says what is wrong with a URI, and nothing of its password: the
// driver's words may quote any part of what it could not read.
func describe(uri string, err error) error {
	var name *net.DNSError
	var file *fs.PathError
	switch {
	case errors.As(err, &name):
		return fmt.Errorf("MONGODB_URI: %w", name)
	case errors.As(err, &file):
		return fmt.Errorf("MONGODB_URI: %w", file)
	}
	masked, secrets := mask(uri)
	if masked != uri {
		if err = options.Client().ApplyURI(masked).Validate(); err == nil {
			return errors.New("MONGODB_URI: the user name and the password must be percent-encoded")
		}
	}
	if mayHeal(err) || slices.ContainsFunc(secrets, func(s string) bool { return strings.Contains(err.Error(), s) }) {
		return errors.New("MONGODB_URI is not a connection string that can be used")
	}
	return fmt.Errorf("MONGODB_URI: %w", err)
}

// mask puts another user and password into a URI, so that what the driver says
// about the rest can be shown, and returns the other secrets in it.
func mask(uri string) (masked string, secrets []string) {
	scheme, rest, found := strings.Cut(uri, "://")
	if !found {
		return uri, []string{uri}
	}
	for key, value := range uriOptions(uri) {
		if value != "" && (strings.Contains(key, "password") || key == "authmechanismproperties") {
			secrets = append(secrets, value)
			if plain, err := url.QueryUnescape(value); err == nil {
				secrets = append(secrets, plain)
			}
		}
	}
	if at := strings.LastIndex(rest, "@"); at >= 0 {
		return scheme + "://user:password@" + rest[at+1:], secrets
	}
	return uri, secrets
}

// uriOptions are the options of a URI as they are written, their names in lower
// case.
func uriOptions(uri string) iter.Seq2[string, string] {
	return func(yield func(key, value string) bool) {
		_, query, _ := strings.Cut(uri, "?")
		for option := range strings.SplitSeq(query, "&") {
			key, value, _ := strings.Cut(option, "=")
			if !yield(strings.ToLower(key), value) {
				return
			}
		}
	}
}
