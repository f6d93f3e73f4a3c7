package main

import (
	"flag"
	"fmt"
	"os"
)

func main() {
	in := flag.String("ops", "ops.txt", "the list of schemas")
	out := flag.String("out", "ops_gen.go", "the Go file to write")
	flag.Parse()
	if err := run(*in, *out); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run(in, out string) error {
	text, err := os.ReadFile(in)
	if err != nil {
		return err
	}
	code, err := Generate(string(text))
	if err != nil {
		return err
	}
	return os.WriteFile(out, code, 0o644)
}
