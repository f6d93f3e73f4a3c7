package runs_test

import (
	"context"
	"fmt"
	"os"

	"resslt/batcher/broker"
	"resslt/batcher/internal/fixture"
	"resslt/batcher/runs"
)

// A run is opened by its name and spec; who opens it again joins it, if the spec is the same.
func ExampleOpen() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	b, err := broker.Start(broker.Options{StoreDir: dir})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer b.Close()
	nc, js, err := broker.Connect(ctx, broker.ConnectOptions{Broker: b})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer nc.Close()
	spec := fixture.Spec()
	for range 2 {
		if _, err := runs.Open(ctx, js, "first", spec, runs.Options{DataURI: "folder:images"}); err != nil {
			fmt.Println(err)
		}
	}
	spec.Seed++
	_, err = runs.Open(ctx, js, "first", spec, runs.Options{DataURI: "folder:images"})
	fmt.Println("another seed:", err != nil)
	all, err := runs.List(ctx, js)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, run := range all {
		fmt.Println(run.Name, run.Spec().Steps(), "steps of", run.Spec().BatchSize)
	}
	// Output:
	// another seed: true
	// first 12 steps of 10
}
