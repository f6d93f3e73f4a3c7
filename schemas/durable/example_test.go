package durable_test

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"resslt/schemas/durable"
)

// A writer that fails leaves the old file as it was.
func ExampleReplace() {
	dir, err := os.MkdirTemp("", "durable")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "state")

	fmt.Println(durable.Replace(path, func(w io.Writer) error {
		_, err := io.WriteString(w, "step 1")
		return err
	}))
	err = durable.Replace(path, func(w io.Writer) error {
		io.WriteString(w, "step")
		return io.ErrClosedPipe
	})
	text, _ := os.ReadFile(path)
	fmt.Println(err != nil, string(text))
	// Output:
	// <nil>
	// true step 1
}
