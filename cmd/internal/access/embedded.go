package access

import (
	"context"
	"errors"
	"path/filepath"

	"github.com/nats-io/nats.go/jetstream"

	"resslt/batcher/broker"
	"resslt/cmd/internal/scratch"
)

// Embedded is a broker in this process with a connection to it, on a store that lives as long
// as it does.
type Embedded struct {
	*broker.Broker
	JetStream jetstream.JetStream
	store     *scratch.Folder
}

// Embed starts a broker and connects to it under name. o's StoreDir is a new temporary folder;
// report receives what becomes of the connection, as Flags.Connect's. The caller closes it.
// Errors are batcher.StartBroker's.
func Embed(ctx context.Context, name string, o broker.Options, report func(string)) (_ *Embedded, err error) {
	e := &Embedded{}
	if e.store, err = scratch.Make("broker"); err != nil {
		return nil, err
	}
	o.StoreDir = e.store.Path
	if e.Broker, err = broker.Start(o); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	_, js, err := broker.Connect(ctx, broker.ConnectOptions{Broker: e.Broker, Name: name, Report: report})
	if err != nil {
		return nil, errors.Join(err, e.Close())
	}
	e.JetStream = js
	return e, nil
}

// TokenFile holds the token of a broker that listens and was given none.
func (e *Embedded) TokenFile() string { return filepath.Join(e.store.Path, broker.TokenName) }

// Close ends connection and broker, and removes the store.
func (e *Embedded) Close() (err error) {
	if e.JetStream != nil {
		e.JetStream.Conn().Close()
	}
	if e.Broker != nil {
		err = e.Broker.Close()
	}
	_ = e.store.Close() // the next start, or the system, clears TMPDIR
	return err
}
