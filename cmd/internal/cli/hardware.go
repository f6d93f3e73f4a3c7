package cli

import (
	"fmt"
	"os"
	"runtime"
	"strings"

	"resslt/cmd/internal/cores"
)

// Processor names the machine's processor and counts the cores that this process
// may use, for people.
func Processor() string {
	name := runtime.GOARCH
	if raw, err := os.ReadFile("/proc/cpuinfo"); err == nil { // Linux; elsewhere the architecture has to do
		for line := range strings.Lines(string(raw)) {
			if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
				name = strings.TrimSpace(value)
				break
			}
		}
	}
	return fmt.Sprintf("%s, %s", name, cores.Here())
}
