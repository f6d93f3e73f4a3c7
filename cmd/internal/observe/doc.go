// Package observe has Prometheus metrics and health endpoints for augmentd, `resslt train` and
// `resslt run`. Their log is package console's.
//
//	--metrics ADDR     /metrics, /healthz (alive), /readyz (connected and at work)
//
// Table lists every metric with its type, labels and process; docs/operations.md has a
// copy, and a test checks deploy's dashboard, alerts and scaler against it. Counts are
// read from their owners at each scrape: without scrapes they cost nothing, except for
// the stage histograms' few nanoseconds an image.
package observe
