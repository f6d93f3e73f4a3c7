// Command augmentd is a worker of the farm: it takes tasks of every run whose
// data it can reach, decodes the images, draws and renders their views, and
// publishes them as chunks. Start and stop as many as you like at any time.
package main

import (
	"os"

	"resslt/cmd/internal/cli"
)

func main() { os.Exit(cli.Main(newCommand())) }
