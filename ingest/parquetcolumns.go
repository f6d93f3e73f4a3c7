package ingest

import (
	"encoding/json"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"

	"resslt/ingest/parquet"
	"resslt/ingest/store"
	"resslt/schemas/errs"
)

// parquetColumns are the columns of the images and of the labels as the URI names
// them; empty ones are found by rule:
//
//	parquet:GLOB?image=photo&label=breed
//
// The image column is the one that Hugging Face's metadata call an image, else the one
// of a usual name, else the only one of bytes. The label's is the one that the metadata
// call class labels, else the one of a usual name, else a folder's name: label=3.
type parquetColumns struct {
	image, label string
	base         string // the set's root: what is called label=3 above it says nothing of the data, whose copies may be anywhere
}

const columnsHint = "name the columns, as in parquet:DIR?image=photo&label=breed, or label=none"

// cutColumns splits what follows "parquet:" into the files and the columns.
func cutColumns(arg string) (glob string, c parquetColumns, err error) {
	glob, c.image, c.label, err = cutImageLabel("open parquet", arg, "write ?image=COLUMN&label=COLUMN")
	return glob, c, err
}

// Columns by the names that image data sets give them, the preferred ones first.
var (
	usualImages   = []string{"image", "img", "jpg", "png"}
	otherImages   = []string{"jpeg", "webp", "picture", "photo", "image_bytes", "img_bytes", "image_data", "image_content", "bytes", "content", "data"}
	usualLabels   = []string{"label", "fine_label", "labels", "cls"}
	otherLabels   = []string{"class", "target", "category", "class_label", "label_id", "class_id", "class_idx", "label_idx", "category_id", "target_id", "class_name", "label_name"}
	imageSubnames = []string{"bytes", "data", "content"} // of a structure
)

// feature is a column as Hugging Face's metadata describe it.
type feature struct {
	Type  string   `json:"_type"`
	Names []string `json:"names"`
}

// features are the columns that Hugging Face's metadata describe; none of another
// writer's metadata under that key.
func features(raw string) map[string]feature {
	var meta struct {
		Info struct {
			Features map[string]json.RawMessage `json:"features"`
		} `json:"info"`
	}
	out := map[string]feature{}
	if json.Unmarshal([]byte(raw), &meta) != nil {
		return out
	}
	for name, v := range meta.Info.Features {
		var f feature
		if json.Unmarshal(v, &f) == nil { // a list has another form
			out[name] = f
		}
	}
	return out
}

// schema is a file's columns, by path.
type parquetSchema struct {
	leaves   []parquet.Leaf
	features map[string]feature
}

func (s *parquetSchema) leaf(path string) *parquet.Leaf {
	for i := range s.leaves {
		if s.leaves[i].Path == path {
			return &s.leaves[i]
		}
	}
	return nil
}

// imageLeaf is the leaf of bytes of a column: itself, or a part of its structure.
func (s *parquetSchema) imageLeaf(name string) *parquet.Leaf {
	for _, sub := range imageSubnames {
		if l := s.leaf(name + "." + sub); l != nil {
			return l
		}
	}
	return s.leaf(name)
}

// named are the columns of a kind by the metadata, in the order of the file.
func (s *parquetSchema) ofType(typ string) []string {
	var out []string
	for _, l := range s.leaves {
		name, _, _ := strings.Cut(l.Path, ".")
		if s.features[name].Type == typ && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

// columns are the names of all columns, for messages.
func (s *parquetSchema) columns() string {
	var out []string
	for _, l := range s.leaves {
		out = append(out, l.Path)
	}
	return fmt.Sprintf("%.200q", out)
}

// find finds the columns of a file; name is its path, whose folders may give the label.
func (c parquetColumns) find(p *parquet.File, name string) (*imageTable, error) {
	s := &parquetSchema{leaves: p.Leaves(), features: features(p.Metadata("huggingface"))}
	t := &imageTable{}
	image, err := c.findImage(s, t)
	if err != nil {
		return nil, err
	}
	if t.images, err = p.Column(*image); err != nil {
		return nil, err
	}
	t.rows = t.images.Rows()
	column, _, _ := strings.Cut(image.Path, ".")
	if l := s.leaf(column + ".path"); l != nil && l.Type == parquet.Bytes && !l.Repeated { // all null: some other type
		if t.paths, err = p.Column(*l); err != nil {
			return nil, err
		}
	}
	label, err := c.findLabel(s, t, name)
	if err != nil {
		return nil, err
	}
	labelled := noLabels
	switch {
	case label != nil:
		if t.labels, err = p.Column(*label); err != nil {
			return nil, err
		}
		t.classes = s.features[label.Path].Names
		labelled = label.Path
	case t.part != "":
		key, _, _ := strings.Cut(t.part, "=")
		labelled = key + folderMark
	}
	if wasImage, wasLabel := s.beforeReadings(); image.Path != wasImage || labelled != wasLabel {
		t.reading = "image=" + column + "&label=" + labelled
	}
	return t, nil
}

// folderMark ends the name of a column of labels that folders give.
const folderMark = "/"

// beforeReadings are the columns that were found when manifests said nothing of columns:
// these need no reading, so that their digests stay.
func (s *parquetSchema) beforeReadings() (image, label string) {
	label = noLabels
	for _, n := range []string{"image.bytes", "img.bytes", "image", "img", "jpg", "png"} {
		if s.leaf(n) != nil {
			image = n
			break
		}
	}
	for _, n := range usualLabels {
		if s.leaf(n) != nil {
			return image, n
		}
	}
	return image, label
}

func (c parquetColumns) findImage(s *parquetSchema, t *imageTable) (*parquet.Leaf, error) {
	if c.image != "" {
		if l := s.imageLeaf(c.image); l != nil {
			return l, checkImageLeaf(l)
		}
		return nil, errs.Because(errs.ErrNotFound, fmt.Sprintf("it has columns %s, no %.100q", s.columns(), c.image))
	}
	names := s.ofType("Image")
	if len(names) != 1 {
		of := slices.Concat(usualImages, otherImages)
		if len(names) > 1 {
			of = slices.DeleteFunc(of, func(n string) bool { return !slices.Contains(names, n) })
		}
		names = of
	}
	var fault error
	for _, n := range names {
		l := s.imageLeaf(n)
		if l == nil {
			continue
		}
		if err := checkImageLeaf(l); err != nil {
			if fault == nil {
				fault = err
			}
			continue
		}
		t.guessed = s.features[n].Type != "Image" && !slices.Contains(usualImages, n)
		return l, nil
	}
	var bytes []*parquet.Leaf
	for i := range s.leaves {
		if l := &s.leaves[i]; l.Type == parquet.Bytes && !l.Numeric() && !l.Text && !l.Repeated {
			bytes = append(bytes, l)
		}
	}
	if len(bytes) == 1 {
		t.guessed = true
		return bytes[0], nil
	}
	if fault != nil {
		return nil, fault
	}
	return nil, errs.Because(errs.ErrNotFound, fmt.Sprintf("which of its columns %s holds the images cannot be told", s.columns()))
}

// checkImageLeaf checks that a column that should hold images can.
func checkImageLeaf(l *parquet.Leaf) error {
	switch {
	case l.Repeated:
		return errs.Because(errs.ErrUnsupported, fmt.Sprintf("column %s is a list: a row may have one image", l.Path))
	case l.Text:
		return errs.Because(errs.ErrUnsupported, fmt.Sprintf("column %s is text, not the bytes of images", l.Path))
	case l.Type != parquet.Bytes || l.Numeric():
		return errs.Because(errs.ErrUnsupported, fmt.Sprintf("column %s is of type %v, not the bytes of images", l.Path, l.Type))
	}
	return nil
}

// findLabel finds the column of the labels; nil without one. It sets t.part where a
// folder's name gives the label.
func (c parquetColumns) findLabel(s *parquetSchema, t *imageTable, file string) (*parquet.Leaf, error) {
	if c.label == noLabels {
		return nil, nil
	}
	parts := c.partitions(file)
	if c.label != "" {
		if l := s.leaf(c.label); l != nil {
			return l, checkLabelLeaf(l)
		}
		if t.part = partOf(parts, c.label); t.part != "" {
			return nil, nil
		}
		return nil, errs.Because(errs.ErrNotFound, fmt.Sprintf("it has columns %s, no %.100q", s.columns(), c.label))
	}
	names := s.ofType("ClassLabel")
	usual := slices.Concat(usualLabels, otherLabels)
	if len(names) > 1 {
		i := slices.IndexFunc(usual, func(n string) bool { return slices.Contains(names, n) })
		if i < 0 {
			for _, n := range names {
				t.passed.Add("columns of class labels, of which none is usual: name one by ?label=", n)
			}
			return nil, nil
		}
		names = usual[i : i+1]
	}
	if len(names) == 0 {
		names = usual
	}
	for _, n := range names {
		l := s.leaf(n)
		if l == nil {
			if i := slices.IndexFunc(s.leaves, func(l parquet.Leaf) bool { return strings.HasPrefix(l.Path, n+".") }); i >= 0 {
				t.passed.Add("columns that are no class label, a structure or list", n)
			}
			continue
		}
		if err := checkLabelLeaf(l); err != nil {
			t.passed.Add("columns that are no class label, "+l.Type.String(), n)
			continue
		}
		return l, nil
	}
	for _, n := range usual {
		if t.part = partOf(parts, n); t.part != "" {
			break
		}
	}
	return nil, nil
}

// checkLabelLeaf checks that a column can hold labels: numbers or names.
func checkLabelLeaf(l *parquet.Leaf) error {
	if !l.Repeated && (l.Numeric() || l.Type == parquet.Bytes) {
		return nil
	}
	why := fmt.Sprintf("of type %v", l.Type)
	if l.Repeated {
		why = "a list"
	}
	return errs.Because(errs.ErrUnsupported, fmt.Sprintf("column %s is %s, no class label", l.Path, why))
}

// partitions are the folders of a file's path that give its values: those below the base;
// or all of them, if the URI names the label.
func (c parquetColumns) partitions(file string) []string {
	rel, err := store.Rel(c.base, file)
	if below := err == nil && !strings.HasPrefix(rel, ".."); below && c.label == "" {
		return partitions(rel)
	} else if !below && c.label == "" {
		return nil
	}
	if abs, err := store.Abs(file); err == nil {
		file = abs
	}
	return partitions(file)
}

// partitions are the folders of a path that Hive and Spark name by a column's value:
// label=3.
func partitions(name string) []string {
	var out []string
	for _, dir := range strings.Split(path.Dir(name), "/") {
		if key, value, ok := strings.Cut(dir, "="); ok && key != "" && value != "" {
			if v, err := url.PathUnescape(value); err == nil {
				value = v
			}
			out = append(out, key+"="+value)
		}
	}
	return out
}

// partOf is the first of the partitions that gives a column's value; "" for none.
func partOf(parts []string, column string) string {
	for _, p := range parts {
		if strings.HasPrefix(p, column+"=") {
			return p
		}
	}
	return ""
}

// inPartition reports whether a file is in a folder that is named by a column's value,
// other than that of its split.
func inPartition(name string) bool {
	return slices.ContainsFunc(partitions(name), func(p string) bool { return !strings.HasPrefix(p, splitColumn+"=") })
}
