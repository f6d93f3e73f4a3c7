package ingest_test

import (
	"context"
	"fmt"
	"image"
	"image/png"
	"os"
	"path/filepath"

	"resslt/ingest"
	"resslt/schemas"
)

// writeImages makes a small data set, one folder a class.
func writeImages(dir string) error {
	for _, name := range []string{"cat/1.png", "cat/2.png", "dog/1.png"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		f, err := os.Create(path)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := png.Encode(f, image.NewGray(image.Rect(0, 0, 8, 8))); err != nil {
			return err
		}
	}
	return nil
}

func ExampleOpen() {
	dir, err := os.MkdirTemp("", "ingest")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	data := filepath.Join(dir, "data")
	if err := writeImages(data); err != nil {
		panic(err)
	}

	ctx := context.Background()
	src, err := ingest.Open(ctx, "folder:"+data, ingest.Options{CacheDir: filepath.Join(dir, "index")})
	if err != nil {
		panic(err)
	}
	defer src.Close()
	fmt.Println(src.Len(), "images of", src.Manifest().Classes)
	var s schemas.Sample
	for id := range src.Len() {
		if err := src.Read(ctx, id, &s); err != nil {
			panic(err)
		}
		fmt.Println(s.ID, s.Key, s.Label)
	}
	// Output:
	// 3 images of [cat dog]
	// 0 cat/1.png 0
	// 1 cat/2.png 0
	// 2 dog/1.png 1
}

// The order of an epoch is a pure function of seed, epoch and position.
func ExampleNewOrder() {
	order := ingest.NewOrder(7, 5)
	for epoch := range int64(2) {
		var ids []int64
		for i := range int64(5) {
			ids = append(ids, order.At(epoch, i))
		}
		fmt.Println(ids)
	}
	fmt.Println("sample 3 comes at position", order.Index(0, 3))
	// Output:
	// [1 0 4 3 2]
	// [0 3 2 1 4]
	// sample 3 comes at position 3
}
