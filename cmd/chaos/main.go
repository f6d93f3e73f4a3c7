// Command chaos is resslt's fault suite: it runs farms of real processes, hurts
// them in seeded ways, and compares what they end with. `make chaos` calls it;
// package chaos says what it does.
package main

import (
	"os"

	"resslt/cmd/internal/cli"
)

func main() { os.Exit(cli.Main(newCommand())) }
