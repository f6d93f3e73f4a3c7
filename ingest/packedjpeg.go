package ingest

import (
	"slices"
	"strings"
)

// A packed JPEG (augment/packed) is a member of a tar, 000123.rdct. Shards with some are a
// format of their own, in the manifest, in the run spec, and in what is written of an
// index: a build that can't decode them must refuse the set, and not take the other samples
// for all, or replace each one of them.

const (
	packedExt    = ".rdct"
	packedEnd    = "-dct" // of the format of a set with packed JPEGs: of tars, or of a mixture
	wdsFormat    = "wds"
	packedFormat = wdsFormat + packedEnd
)

// Packed reports whether a manifest's format, which a run spec has too, is that of a set with
// packed JPEGs.
func Packed(format string) bool { return strings.HasSuffix(format, packedEnd) }

func isPackedName(name string) bool {
	at := len(name) - len(packedExt)
	return at >= 0 && strings.EqualFold(name[at:], packedExt)
}

// packed reports whether a sample is a packed JPEG.
func (x *index) packed() bool {
	if x.Folder {
		return false
	}
	return slices.ContainsFunc(x.nameEnd, func(end uint32) bool {
		begin := max(int(end)-len(packedExt), 0)
		return int(end) <= len(x.names) && isPackedName(string(x.names[begin:end]))
	})
}

// format is that of the tars' manifest.
func (x *index) format() string {
	if x.packed() {
		return packedFormat
	}
	return wdsFormat
}

// missedPacked reports whether the scanner of an older build passed over the packed JPEGs of
// shard i.
func (x *index) missedPacked(i int) bool {
	return slices.ContainsFunc(x.Passed[i], func(p PassedOver) bool {
		return p.Reason == passedImages && isPackedName(p.First)
	})
}
