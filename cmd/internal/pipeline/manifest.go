package pipeline

import (
	"encoding/json"
	"path/filepath"

	"resslt/ingest"
	"resslt/schemas/bounded"
	"resslt/schemas/durable"
)

// DatasetFile keeps the manifest of the data that a folder's results were made from: it
// says what has changed where that is refused.
const DatasetFile = "dataset.json"

// KeepManifest writes the manifest to a folder.
func KeepManifest(dir string, m *ingest.Manifest) error {
	path := filepath.Join(dir, DatasetFile)
	raw, err := json.MarshalIndent(m, "", " ")
	if err != nil {
		return durable.Error(path, err)
	}
	return durable.WriteFile(path, append(raw, '\n'))
}

// KeptManifest is the manifest of that digest that a folder keeps, nil where it has none: it
// makes messages better, and nothing depends on it.
func KeptManifest(dir, digest string) *ingest.Manifest {
	raw, err := bounded.ReadFile(filepath.Join(dir, DatasetFile), 256<<20)
	if err != nil {
		return nil
	}
	m := new(ingest.Manifest)
	if json.Unmarshal(raw, m) != nil || m.Digest() != digest {
		return nil
	}
	return m
}
