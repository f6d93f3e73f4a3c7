package ingest

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"resslt/ingest/store"
	"resslt/schemas/errs"
)

// imageLabels are the class names of images that are in no class folder, by the images'
// names.
type imageLabels map[string]string

// numbered gives the labels as indices into the sorted classes; nil for none.
func (l imageLabels) numbered(classes []string) map[string]int32 {
	if l == nil {
		return nil
	}
	out := make(map[string]int32, len(l))
	for name, class := range l {
		i, _ := slices.BinarySearch(classes, class)
		out[name] = int32(i)
	}
	return out
}

// annotations is the file next to tiny-imagenet-200's val/images: of each image a line
// of its name, its class and a box, with tabs between.
const annotations = "val_annotations.txt"

// passLabels is the reason for lists of labels where the folders say the classes, or
// that have another form.
const passLabels = "lists of labels, which are not read"

// labelLists are the names of such lists.
var labelLists = []string{annotations, "metadata.csv", "metadata.jsonl", "metadata.parquet", "_classes.csv"}

// readLabels reads the labels of a split without class folders, from the list in its
// folder; nil where there is none.
func (p *layoutPlanner) readLabels(folder string) (imageLabels, error) {
	name := path.Join(folder, annotations)
	b, err := p.tree.read(p.ctx, name)
	if errors.Is(err, errs.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	labels := imageLabels{}
	for i, line := range bytes.Split(b, []byte("\n")) {
		text := strings.TrimRight(string(line), "\r")
		if text == "" {
			continue
		}
		image, rest, _ := strings.Cut(text, "\t")
		class, _, _ := strings.Cut(rest, "\t")
		bad := func(why string) (imageLabels, error) {
			return nil, errs.New("open folder", store.Join(p.dir, name), "unpack the archive again, or move this file away and read the images without labels",
				errs.Because(errs.ErrCorrupt, fmt.Sprintf("line %d: %s", i+1, why)))
		}
		if image == "" || class == "" {
			return bad("is no image name, tab, class")
		}
		if was, ok := labels[image]; ok && was != class {
			return bad(fmt.Sprintf("%s is of class %s, and above of %s", image, class, was))
		}
		labels[image] = class
	}
	return labels, nil
}
