package pipeline

import (
	"encoding/json"
	"path/filepath"

	"resslt/ingest"
	"resslt/schemas"
	"resslt/schemas/bounded"
	"resslt/schemas/durable"
)

// DatasetFile keeps the manifest of the data that a folder's results were made from: it
// says what has changed where that is refused, and what a replay was recorded of.
const DatasetFile = "dataset.json"

// Dataset is what DatasetFile holds.
type Dataset struct {
	*ingest.Manifest
	// PassedOver is what the data's reader passed over; nil where it is not known, as in files
	// of older builds.
	PassedOver ingest.Survey `json:"passed_over"`
}

// DatasetOf describes an open data set.
func DatasetOf(src ingest.Source) *Dataset {
	return &Dataset{src.Manifest(), append(ingest.Survey{}, ingest.SurveyOf(src)...)}
}

// Run is what is said of the data where a run is.
func (d *Dataset) Run() *schemas.RunData {
	run := &schemas.RunData{Classes: len(d.Classes), PassedOver: d.PassedOver}
	for _, set := range d.Sets {
		run.Sets = append(run.Sets, set.Name)
	}
	return run
}

// Keep writes the file to a folder.
func (d *Dataset) Keep(dir string) error {
	path := filepath.Join(dir, DatasetFile)
	raw, err := json.MarshalIndent(d, "", " ")
	if err != nil {
		return durable.Error(path, err)
	}
	return durable.WriteFile(path, append(raw, '\n'))
}

// KeptDataset is what a folder keeps of the data of that digest, nil where it has none: it
// makes messages and summaries better, and nothing depends on it.
func KeptDataset(dir, digest string) *Dataset {
	raw, err := bounded.ReadFile(filepath.Join(dir, DatasetFile), 256<<20)
	if err != nil {
		return nil
	}
	d := &Dataset{Manifest: new(ingest.Manifest)}
	if json.Unmarshal(raw, d) != nil || d.Digest() != digest {
		return nil
	}
	return d
}
