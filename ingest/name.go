package ingest

import "resslt/schemas"

// Names of shards and classes, and keys of samples, are text: they go into manifests,
// JSON and Arrow. Names within an index are the bytes of the disk.

func escapeName(name string) string   { return schemas.EscapeName(name) }
func unescapeName(text string) string { return schemas.UnescapeName(text) }
