// Package observe has Prometheus metrics, health endpoints and a structured log for
// augmentd, `resslt train` and `resslt run`.
//
//	--metrics ADDR     /metrics, /healthz (alive), /readyz (connected and at work)
//	--log text|json    one line for each event, for readers or for a collector
//	--log-level LEVEL  debug, info, warn, error
//
// Table lists every metric with its type, labels and process; docs/operations.md has a
// copy, and a test checks deploy's dashboard, alerts and scaler against it. Counts are
// read from their owners at each scrape: without scrapes they cost nothing, except for
// the stage histograms' few nanoseconds an image.
package observe
