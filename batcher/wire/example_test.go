package wire_test

import (
	"fmt"

	"resslt/batcher/internal/fixture"
	"resslt/batcher/wire"
)

// A chunk becomes a message and a chunk again. Equal rows give equal bytes.
func ExampleDecoder() {
	spec := fixture.Spec() // batches of 10 in chunks of 4, 4 and 2
	c := wire.NewChunk(&spec)
	c.Reset(&spec, 7, 2)
	body, err := wire.NewEncoder(&spec).Encode(c)
	if err != nil {
		fmt.Println(err)
		return
	}
	msg := wire.ChunkMessage("first", spec.Digest(), 7, 2, body, "", "worker-1")
	d, err := wire.NewDecoder(&spec)
	if err != nil {
		fmt.Println(err)
		return
	}
	got, err := d.Decode(msg)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(msg.Subject, "step", got.Step, "chunk", got.Index, "slots", got.Slots, "by", got.Worker)

	msg.Data[len(msg.Data)/2]++
	_, err = d.Decode(msg)
	fmt.Println(err != nil)
	// Output:
	// b.first.7.2 step 7 chunk 2 slots [8 9] by worker-1
	// true
}
