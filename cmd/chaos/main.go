// Command chaos is resslt's fault suite: it runs farms of real processes, injects seeded
// faults, and compares the results. `make chaos` runs it; package chaos documents it.
package main

import (
	"os"

	"resslt/cmd/internal/cli"
)

func main() { os.Exit(cli.Main(newCommand())) }
