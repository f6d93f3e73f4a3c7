// Command farmsim runs a farm without images: the real broker, planner, streams and workers, with
// chunks that cost a sleep. Package farmsim documents it, docs/scale.md has what it measured.
package main

import (
	"os"

	"resslt/cmd/internal/cli"
)

func main() { os.Exit(cli.Main(newCommand())) }
