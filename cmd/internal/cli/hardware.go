package cli

import (
	"fmt"
	"os"
	"runtime"
	"strings"

	"resslt/cmd/internal/cores"
)

// Processor describes the machine's processor and the cores that this process may use.
func Processor() string {
	name := runtime.GOARCH
	if raw, err := os.ReadFile("/proc/cpuinfo"); err == nil { //nolint:forbidigo // the kernel's; elsewhere the architecture
		for line := range strings.Lines(string(raw)) {
			if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
				name = strings.TrimSpace(value)
				break
			}
		}
	}
	return fmt.Sprintf("%s, %s", name, cores.Here())
}
