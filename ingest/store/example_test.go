package store_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"resslt/ingest/store"
)

// A remote name, such as s3://bucket/shard.tar, is opened in the same way.
func ExampleStore_Open() {
	dir, err := os.MkdirTemp("", "store")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	name := filepath.Join(dir, "shard.tar")
	if err := os.WriteFile(name, []byte("some bytes"), 0o644); err != nil {
		panic(err)
	}

	s := store.New(store.Options{})
	defer s.Close()
	f, err := s.Open(context.Background(), name)
	if err != nil {
		panic(err)
	}
	defer f.Close()
	p := make([]byte, 5)
	n, err := f.ReadAt(context.Background(), p, 5)
	fmt.Println(n, string(p), err)
	// Output: 5 bytes <nil>
}

func ExampleJoin() {
	fmt.Println(store.Join("s3://bucket/data", "train", "0.tar"))
	fmt.Println(store.Join("/data", "train", "0.tar"))
	fmt.Println(store.Remote("s3://bucket/data"), store.Remote("/data"))
	// Output:
	// s3://bucket/data/train/0.tar
	// /data/train/0.tar
	// true false
}
