// Package observe makes resslt's processes visible: Prometheus metrics, health
// endpoints, and a structured log, for augmentd, `resslt train` and `resslt run`
// alike.
//
//	--metrics ADDR     /metrics, /healthz (alive), /readyz (connected and at work)
//	--log text|json    one line an event, for a person or for a collector
//	--log-level LEVEL  debug, info, warn, error
//
// Table lists every metric with its type, labels and process; docs/operations.md
// prints it, and a test holds deploy's dashboard, alerts and scaler against it.
// Counts are read where they are kept, when somebody asks: a process that nobody
// scrapes pays nothing, but for the stage histograms' few nanoseconds an image.
package observe
