package ingest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"resslt/ingest/store"
	"resslt/schemas/bounded"
	"resslt/schemas/errs"
)

// A sidecar is the manifest that Pack writes next to its shards PREFIX-000000.tar, as
// PREFIX.manifest.json. It has the class names, for which a tar has no place, and the
// hashes that Verify compares copies with.

// maxSidecarBytes caps a sidecar.
const maxSidecarBytes = 64 << 20

var packedName = regexp.MustCompile(`^(.+)-\d{6,}\.tar$`)

// sidecarPath is where Pack writes the manifest of the shard; "" if the name is none
// of Pack's.
func sidecarPath(shard string) string {
	m := packedName.FindStringSubmatch(store.Base(shard))
	if m == nil {
		return ""
	}
	return store.Join(store.Dir(shard), m[1]+manifestEnd)
}

// readSidecar reads the manifest that Pack wrote next to the shards. It is nil without
// one, or for shards of several packs.
func readSidecar(ctx context.Context, st *store.Store, paths []string) (*Manifest, error) {
	place := sidecarPath(paths[0])
	for _, p := range paths {
		if sidecarPath(p) != place {
			return nil, nil
		}
	}
	if place == "" {
		return nil, nil
	}
	m, err := readManifest(ctx, st, place)
	if errors.Is(err, errs.ErrNotFound) {
		return nil, nil
	}
	return m, err
}

// readManifest reads the manifest of shards.
func readManifest(ctx context.Context, st *store.Store, place string) (*Manifest, error) {
	const op, hint = "read manifest", "pack or index the shards again, or remove it"
	raw, err := readSmall(ctx, st, op, place, hint, maxSidecarBytes)
	if err != nil {
		return nil, err
	}
	m := &Manifest{}
	if err := bounded.JSON(raw, m); err != nil {
		return nil, errs.New(op, place, hint, errs.BecauseErr(errs.ErrCorrupt, err))
	}
	if m.Format != wdsFormat && m.Format != packedFormat || !slices.Contains(allSplits, m.Split) {
		return nil, errs.New(op, place, hint, errs.Because(errs.ErrCorrupt, fmt.Sprintf("format %q, split %q", m.Format, m.Split)))
	}
	return m, nil
}

// checkComplete is an error that names a missing shard of a pack, if any.
func (s *shardSet) checkComplete() error {
	if s.sidecar == nil {
		return nil
	}
	for _, shard := range s.sidecar.Shards {
		p := store.Join(s.dir, unescapeName(shard.Name))
		if !slices.Contains(s.paths, p) {
			return errs.New("open wds", p, "fetch it, or name the shards that are there by a glob",
				errs.Because(errs.ErrNotFound, "the sidecar lists it"))
		}
	}
	return nil
}

// shardsOfManifest are the shards that the manifest lists, in its folder.
func shardsOfManifest(ctx context.Context, st *store.Store, place string) (*shardSet, error) {
	m, err := readManifest(ctx, st, place)
	if err != nil {
		return nil, err
	}
	s := &shardSet{kind: tarShards, dir: store.Dir(place), sidecar: m, index: strings.TrimSuffix(place, manifestEnd) + indexEnd}
	for _, shard := range m.Shards {
		if !filepath.IsLocal(unescapeName(shard.Name)) {
			return nil, errs.New("read manifest", place, "index the shards again",
				errs.Because(errs.ErrCorrupt, fmt.Sprintf("shard %q is not in its folder", shard.Name)))
		}
		s.paths = append(s.paths, store.Join(s.dir, unescapeName(shard.Name)))
	}
	if len(s.paths) == 0 || !slices.IsSorted(s.paths) {
		return nil, errs.New("read manifest", place, "index the shards again", errs.Because(errs.ErrCorrupt, "it lists no shards, or not in order"))
	}
	return s, nil
}

const (
	manifestEnd = ".manifest.json"
	indexEnd    = ".index" // of the index that WriteManifest writes next to the manifest
	// maxIndexBytes caps a published index: some twenty million samples.
	maxIndexBytes = 1 << 30
)

// publishedIndex is the index next to the manifest, with which the shards need not be
// read; nil if there is none.
func (s *shardSet) publishedIndex(ctx context.Context, st *store.Store) (*index, error) {
	const op, hint = "read index", "write it again by `resslt shards index --manifest`, or remove it"
	if s.index == "" {
		return nil, nil
	}
	b, err := readOptional(ctx, st, op, s.index, hint, maxIndexBytes)
	if b == nil || err != nil {
		return nil, err
	}
	x, err := parseIndex(b)
	if err != nil {
		return nil, errs.New(op, s.index, hint, err)
	}
	if !slices.Equal(x.Shards, s.sidecar.Shards) || x.Folder {
		return nil, errs.New(op, s.index, hint, errs.Because(errs.ErrMismatch, "it is of other shards than the manifest lists"))
	}
	return x, nil
}

// readOptional reads a whole file of at most so many bytes; nil if it is not there.
func readOptional(ctx context.Context, st *store.Store, op, place, hint string, most int64) ([]byte, error) {
	b, err := readSmall(ctx, st, op, place, hint, most)
	if errors.Is(err, errs.ErrNotFound) {
		return nil, nil
	}
	return b, err
}

// readSmall reads a file that must be there. A fault of the store is none of the file.
func readSmall(ctx context.Context, st *store.Store, op, place, hint string, most int64) ([]byte, error) {
	f, err := openFile(ctx, st, op, place, hint)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if f.size > most {
		return nil, errs.New(op, place, hint, errs.Because(errs.ErrTooLarge, fmt.Sprintf("%d bytes", f.size)))
	}
	r := f.Reader(ctx)
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, most)) // not nil
	if err != nil {
		return nil, fileError(op, place, hint, err)
	}
	return b, nil
}

// WriteManifest writes the manifest of tar shards to place, which ends in
// .manifest.json, and their index next to it. Put both next to the shards: opened by the
// manifest's name, these need neither be listed nor read whole.
//
// Errors: ErrUsage for another name, ErrUnsupported for a Source that is not wds.
func WriteManifest(src Source, place string) error {
	const op, hint = "write manifest", "name a file that this user can write, such as train" + manifestEnd
	s, ok := src.(*wdsSource)
	if !ok {
		return errs.New(op, place, "pack the data set first: resslt shards pack",
			errs.Because(errs.ErrUnsupported, "manifests are of tar shards, not of "+src.Manifest().Format))
	}
	if !strings.HasSuffix(place, manifestEnd) {
		return errs.New(op, place, hint, errs.Because(errs.ErrUsage, "the name does not end in "+manifestEnd))
	}
	x := *s.x
	x.Built, x.Stamps = 0, nil
	for _, shard := range x.Shards {
		x.Stamps = append(x.Stamps, stamp{Size: shard.Bytes})
	}
	if err := (&cache{}).write(ManifestFiles(place)[1], &x); err != nil {
		return err
	}
	return writeManifest(op, place, hint, s.manifest)
}

// ManifestFiles are the files that WriteManifest writes.
func ManifestFiles(place string) []string {
	return []string{place, strings.TrimSuffix(place, manifestEnd) + indexEnd}
}

func writeManifest(op, place, hint string, m *Manifest) error {
	return writeFile(op, place, hint, func(w io.Writer) error {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		if err := enc.Encode(m); err != nil {
			return fileError(op, place, hint, err)
		}
		return nil
	})
}
