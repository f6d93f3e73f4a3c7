package batcher_test

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"resslt/batcher/produce"
	"resslt/batcher/runs"
	"resslt/batcher/worker"
	"resslt/schemas"
)

// serve starts a worker for one run, which ends with ctx.
func serve(ctx context.Context, js jetstream.JetStream, run *runs.Run) {
	w, err := worker.New(js, worker.Options{
		Workers: 1, Engines: []string{"grey/1"},
		Open: func(context.Context, *schemas.RunInfo) (produce.Source, error) { return grey{}, nil },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	go func() {
		if err := w.ServeRun(ctx, run.Name); err != nil {
			fmt.Println(err)
		}
	}()
}
