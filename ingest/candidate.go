package ingest

import (
	"path"
	"slices"
	"strings"
)

// Names decide which files are candidates for samples; the decoder finds out whether
// they are images. Every reader of folders and tars decides by this file.

// imageExtensions are those of candidates, in lower case: torchvision's IMG_EXTENSIONS,
// the other names that browsers and cameras give JPEG files, and GIF.
var imageExtensions = []string{
	".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".pjpeg", ".pjp", ".png", ".webp",
	".bmp", ".dib", ".tif", ".tiff", ".gif", ".ppm", ".pgm", ".pbm", ".pnm",
}

// unreadPictures are extensions of pictures that nothing here decodes. A data set of
// them is not one of other files: that they are left out has to stand out.
var unreadPictures = []string{
	".avif", ".heic", ".heif", ".hif", ".jp2", ".j2k", ".jpx", ".jxl", ".jxr", ".svg", ".svgz", ".psd", ".psb", ".xcf",
	".pam", ".pfm", ".exr", ".hdr", ".tga", ".ico", ".pcx", ".dcm", ".nii", ".dng", ".raw", ".cr2", ".cr3", ".nef",
	".arw", ".orf", ".rw2", ".raf", ".qoi", ".eps", ".ai", ".apng", ".mpo",
}

var archives = []string{".tar", ".zip", ".tgz", ".gz", ".bz2", ".xz", ".zst", ".7z", ".rar"}

func isImageName(name string) bool {
	return slices.Contains(imageExtensions, strings.ToLower(path.Ext(name)))
}

func hidden(name string) bool { return strings.HasPrefix(name, ".") }

// systemFolders are made by systems and programs, and hold no data of the user's: what
// archives of macOS, disks, storage boxes, the waste bin and Python leave behind. Some
// of them hold pictures: copies, thumbnails and what was deleted.
var systemFolders = []string{
	"__macosx", "lost+found", "@eadir", "#recycle", "@recycle", "@recently-snapshot", "#snapshot", "$recycle.bin", "recycler",
	"system volume information", "__pycache__",
}

// passFolder is the reason why a folder of that name is not entered; "" if it is.
func passFolder(name string) string {
	switch {
	case hidden(name):
		return "hidden folders"
	case slices.Contains(systemFolders, strings.ToLower(name)):
		return "folders of the system (" + name + ")"
	}
	return ""
}

// passFile is the reason why a file of that base name is no candidate; "" if it is one.
func passFile(name string) string {
	ext := strings.ToLower(path.Ext(name))
	switch {
	case strings.HasPrefix(name, "._"):
		return "AppleDouble files of macOS (._)"
	case hidden(name):
		return "hidden files"
	case slices.Contains(imageExtensions, ext):
		return ""
	case slices.Contains(labelLists, name):
		return passLabels
	case slices.Contains(unreadPictures, ext):
		return "pictures in a format that is not read (" + ext + ")"
	case slices.Contains(archives, ext):
		return "archives, which are not looked into (" + ext + ")"
	case isPlainExt(ext):
		return "files with another extension (" + ext + ")"
	}
	return passOther
}

// passOther counts the files whose extension is not worth a line of its own.
const passOther = "files without a known extension"

// isPlainExt reports whether an extension is one of those that name a kind of file, not
// a number or the rest of a sentence.
func isPlainExt(ext string) bool {
	const longest = 12 // with the dot
	if len(ext) < 2 || len(ext) > longest || ext[1] < 'a' || ext[1] > 'z' {
		return false
	}
	return strings.Trim(ext[1:], "abcdefghijklmnopqrstuvwxyz0123456789_") == ""
}

// isCandidate reports whether a file below a data set's folder, by its '/'-separated
// path, is a candidate. Others are passed over.
func isCandidate(name string) bool {
	dir, base := path.Split(name)
	return passFile(base) == "" && !slices.ContainsFunc(strings.Split(dir, "/"), func(d string) bool { return passFolder(d) != "" })
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
	return name[:len(dir)+len(stem)], strings.ToLower(ext)
}

// isImageExt reports whether a tar's member with that last extension is an image. Packed
// JPEGs are in no folder: those who made one want tars.
func isImageExt(ext string) bool {
	return slices.Contains(imageExtensions, "."+ext) || "."+ext == packedExt
}
