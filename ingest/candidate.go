package ingest

import (
	"path"
	"slices"
	"strings"
)

// Names decide which files are candidates for samples; the decoder finds out whether
// they are images. Every reader of folders and tars decides by this file.

// imageExtensions are those of candidates, in lower case.
var imageExtensions = []string{".jpg", ".jpeg", ".png", ".webp"}

func isImageName(name string) bool {
	return slices.Contains(imageExtensions, strings.ToLower(path.Ext(name)))
}

func hidden(name string) bool { return strings.HasPrefix(name, ".") }

// isCandidate reports whether a file below a data set's folder, by its '/'-separated
// path, is a candidate. Others are passed over: other extensions, and what is hidden
// or in a hidden folder.
func isCandidate(name string) bool {
	return isImageName(name) && !slices.ContainsFunc(strings.Split(name, "/"), hidden)
}

// splitKey splits the path of a tar's member at the first dot of its base name, into
// the sample's key and its extension in lower case. Hidden files and names without a
// dot have no key: they belong to no sample.
func splitKey(name string) (key, ext string) {
	dir, base := path.Split(name)
	stem, ext, ok := strings.Cut(base, ".")
	if !ok || stem == "" {
		return "", ""
	}
	return dir + stem, strings.ToLower(ext)
}

// isImageExt reports whether a member with that extension is an image. All of ext
// counts: of "a.v2.jpg" it is "v2.jpg", another field of sample "a".
func isImageExt(ext string) bool { return slices.Contains(imageExtensions, "."+ext) }
