package observe

import "github.com/spf13/pflag"

// Flags are the flags for metrics.
type Flags struct {
	Metrics string // address of /metrics, /healthz and /readyz; "" for none
}

// Register adds the flags to fs.
func (f *Flags) Register(fs *pflag.FlagSet) {
	fs.StringVar(&f.Metrics, "metrics", "", "`address` for /metrics, /healthz and /readyz, e.g. 127.0.0.1:9464 (default: none)")
}
