package ingest

import (
	"cmp"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path"
	"slices"
	"strings"

	"resslt/ingest/store"
	"resslt/schemas/errs"
)

// folderSplits are the splits that a folder may have, in the order of messages.
var folderSplits = []string{Train, Test, Val, Unlabeled, TrainVal}

const splitFolderHint = "write NAME=FOLDER, such as train=TrainingImages, with the split's name and a folder below the data set's"

// WithSplitFolder returns a folder's data URI with one more folder named as a split:
//
//	folder:DIR, "train=TrainingImages"  →  folder:DIR?train=TrainingImages
//
// The split "train=." is all of the folder: its sub-folders are classes, whatever their
// names. A folder named again replaces the one before. Errors wrap ErrUsage.
func WithSplitFolder(uri, assignment string) (string, error) {
	return WithParameters(uri, "?"+escapeParameter(assignment))
}

// WithParameters is WithSplitFolder for all folders that the parameters of another data
// URI name, "?train=A&test=B".
func WithParameters(uri, parameters string) (string, error) {
	const op = "name a split's folder"
	scheme, place, _ := strings.Cut(uri, ":")
	if scheme != "folder" {
		return "", errs.New(op, uri, "name the files of the split in its place, without NAME=FOLDER", errs.Because(errs.ErrUsage, scheme+": is no folder of images"))
	}
	more, err := parseParameters(op, parameters)
	if err != nil {
		return "", err
	}
	dir, query := CutParameters(place)
	named, err := parseParameters(op, query)
	if err != nil {
		return "", err
	}
	maps.Copy(named, more)
	var parts []string
	for _, s := range folderSplits {
		if f, ok := named[s]; ok {
			parts = append(parts, s+"="+escapeParameter(f))
		}
	}
	return scheme + ":" + dir + "?" + strings.Join(parts, "&"), nil
}

// Absolute makes the place of a data URI absolute: a worker of the farm may run in
// another folder. Errors wrap ErrUnavailable.
func Absolute(uri string) (string, error) {
	scheme, place, ok := strings.Cut(uri, ":")
	if !ok || place == "" {
		return uri, nil
	}
	parameters, absolute := "", store.Abs
	switch scheme {
	case "mix":
		absolute = absoluteMix
	case "mates":
		absolute = absoluteMates
	default:
		place, parameters = CutParameters(place)
	}
	abs, err := absolute(place)
	if err != nil {
		return "", errs.New("data", uri, "give an absolute path", errs.BecauseErr(errs.ErrUnavailable, err))
	}
	return scheme + ":" + abs + parameters, nil
}

// escapeParameter escapes what would end a parameter or the place.
func escapeParameter(s string) string {
	return strings.NewReplacer("%", "%25", "&", "%26", "?", "%3F").Replace(s)
}

// CutParameters cuts a data URI's place from its parameters, "DIR" and "?train=A". A
// place that exists under the whole name has none, nor has a glob.
func CutParameters(place string) (dir, parameters string) {
	i := strings.LastIndexByte(place, '?')
	if i < 0 {
		return place, ""
	}
	name, _, ok := strings.Cut(place[i+1:], "=")
	if !ok || strings.ContainsAny(name, "/.*") || !store.Remote(place) && exists(store.Local(place)) {
		return place, ""
	}
	return place[:i], place[i:]
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// parseFolderPlace splits DIR?train=A&test=B into the folder and the folders of splits.
func parseFolderPlace(op, place string) (dir string, named map[string]string, err error) {
	dir, query := CutParameters(place)
	if named, err = parseParameters(op, query); err != nil {
		return "", nil, err
	}
	return dir, named, checkSplitFolders(op, place, named)
}

// parseParameters reads ?train=A&test=B; "" has no splits.
func parseParameters(op, query string) (map[string]string, error) {
	named := map[string]string{}
	if query == "" {
		return named, nil
	}
	for part := range strings.SplitSeq(query[1:], "&") {
		plain, err := url.PathUnescape(part)
		if err != nil {
			return nil, errs.New(op, query, "write %25 for a percent sign after the ?", errs.BecauseErr(errs.ErrUsage, err))
		}
		split, folder, err := parseSplitFolder(op, plain)
		if err != nil {
			return nil, err
		}
		if was, ok := named[split]; ok && was != folder {
			return nil, errs.New(op, query, "name one folder for each split", errs.Because(errs.ErrUsage, fmt.Sprintf("%s is both %s and %s", split, was, folder)))
		}
		named[split] = folder
	}
	return named, nil
}

// parseSplitFolder reads NAME=FOLDER.
func parseSplitFolder(op, s string) (split, folder string, err error) {
	name, folder, ok := strings.Cut(s, "=")
	bad := func(why string) error { return errs.New(op, s, splitFolderHint, errs.Because(errs.ErrUsage, why)) }
	if !ok || folder == "" {
		return "", "", bad("names no folder")
	}
	if split = SplitName(name); !slices.Contains(folderSplits, split) {
		return "", "", bad(fmt.Sprintf("a folder has no split %q, but %s", name, strings.Join(folderSplits, ", ")))
	}
	folder = path.Clean(folder)
	if path.IsAbs(folder) || folder == ".." || strings.HasPrefix(folder, "../") {
		return "", "", bad("is not below the data set's folder")
	}
	return split, folder, nil
}

// checkSplitFolders refuses a split that holds another one's images.
func checkSplitFolders(op, place string, named map[string]string) error {
	for _, a := range folderSplits {
		for _, b := range folderSplits {
			if fa, fb := named[a], named[b]; a != b && fa != "" && fb != "" && holds(fa, fb) {
				return errs.New(op, place, "name folders that are not below one another",
					errs.Because(errs.ErrUsage, fmt.Sprintf("%s, the folder of %s, holds %s, that of %s", fa, a, fb, b)))
			}
		}
	}
	return nil
}

// holds reports whether a folder is another one or above it.
func holds(above, below string) bool {
	return above == "." || above == below || strings.HasPrefix(below, above+"/")
}

// sortedSplits are the splits of which there are folders.
func sortedSplits(folders map[string][]string) []string {
	var out []string
	for s, f := range folders {
		if len(f) > 0 {
			out = append(out, s)
		}
	}
	slices.SortFunc(out, func(a, b string) int {
		return cmp.Compare(slices.Index(folderSplits, a), slices.Index(folderSplits, b))
	})
	return out
}
