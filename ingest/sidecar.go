package ingest

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"resslt/schemas"
)

// A sidecar is the manifest that Pack leaves beside its shards PREFIX-000000.tar,
// as PREFIX.manifest.json: a tar has no place for the names of the classes, and
// its hashes are the witness that Verify compares copies with.

// maxSidecarBytes caps the manifest that Pack leaves beside shards.
const maxSidecarBytes = 64 << 20

var packedName = regexp.MustCompile(`^(.+)-\d{6,}\.tar$`)

// sidecarPath is where Pack leaves the manifest of the shard; "" if its name is
// none of Pack's.
func sidecarPath(shard string) string {
	m := packedName.FindStringSubmatch(filepath.Base(shard))
	if m == nil {
		return ""
	}
	return filepath.Join(filepath.Dir(shard), m[1]+".manifest.json")
}

// readSidecar reads the manifest that Pack wrote beside the shards: the names of
// the classes, and the hashes that Verify compares with. Without one, or for
// shards of several packs together, it is nil.
func readSidecar(paths []string) (*Manifest, error) {
	const op, hint = "read sidecar", "pack the shards anew, or remove it"
	place := sidecarPath(paths[0])
	for _, p := range paths {
		if sidecarPath(p) != place {
			return nil, nil
		}
	}
	if place == "" {
		return nil, nil
	}
	if _, err := os.Stat(place); errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	f, err := openFile(op, place, hint)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if f.size > maxSidecarBytes {
		return nil, schemas.E(op, place, hint, schemas.Because(schemas.ErrTooLarge, fmt.Sprintf("%d bytes", f.size)))
	}
	m := &Manifest{}
	if err := json.NewDecoder(f).Decode(m); err != nil {
		return nil, schemas.E(op, place, hint, schemas.BecauseErr(schemas.ErrCorrupt, err))
	}
	if m.Format != "wds" || !slices.Contains(allSplits, m.Split) {
		return nil, schemas.E(op, place, hint, schemas.Because(schemas.ErrCorrupt, fmt.Sprintf("format %q, split %q", m.Format, m.Split)))
	}
	return m, nil
}

// checkComplete says which of a pack's shards are missing, if any.
func checkComplete(paths []string) error {
	m, err := readSidecar(paths)
	if m == nil || err != nil {
		return err
	}
	for _, s := range m.Shards {
		p := filepath.Join(filepath.Dir(paths[0]), s.Name)
		if !slices.Contains(paths, p) {
			return schemas.E("open wds", p, "fetch it, or name the shards that there are by a glob",
				schemas.Because(schemas.ErrNotFound, "the sidecar lists it"))
		}
	}
	return nil
}
