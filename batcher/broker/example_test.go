package broker_test

import (
	"context"
	"fmt"
	"os"

	"resslt/batcher/broker"
)

// A broker that listens nowhere, for this process alone.
func ExampleStart() {
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
	nc, _, err := broker.Connect(context.Background(), broker.ConnectOptions{Broker: b})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer nc.Close()
	fmt.Printf("%q %v\n", b.URL(), nc.IsConnected())
	// Output: "" true
}
