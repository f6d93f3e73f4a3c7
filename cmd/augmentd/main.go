// Command augmentd is a worker of the farm: it takes tasks from every run whose data it
// can reach, decodes the images, draws and renders their views, and publishes them as
// chunks. Workers may be started and stopped at any time, in any number.
package main

import (
	"os"

	"resslt/cmd/internal/cli"
)

func main() { os.Exit(cli.Main(newCommand())) }
