package ingest

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"resslt/schemas"
	"resslt/schemas/errs"
	"resslt/schemas/sniff"
)

// Rows that are no samples, and columns that are no labels.
const (
	rowsWithoutImage  = "rows without an image"
	pathsWithoutBytes = "rows whose image is a path without bytes"
	rowsOfNoBytes     = "rows whose image is empty"
	captionColumns    = "columns of texts that are no class names"
)

// nullPartition is the value of a folder for rows that have none.
const nullPartition = "__HIVE_DEFAULT_PARTITION__"

// list reads all rows: name, size, label and page of each image.
func (t *imageTable) list(ctx context.Context, r shardReader) (*columns, error) {
	c := &columns{offsets: []int64{}, reading: t.reading, passed: t.passed}
	names, err := t.names(ctx, r)
	if err != nil {
		return nil, err
	}
	labels, err := t.readLabels(ctx, r, c)
	if err != nil {
		return nil, err
	}
	row := 0
	if err := t.images.Each(ctx, r, func(page int64, v []byte) error {
		k := row
		row++
		name := fmt.Sprint(k)
		if k < len(names) && names[k] != "" {
			name += ":" + names[k]
		}
		switch {
		case v == nil && k < len(names) && names[k] != "":
			c.passed.Add(pathsWithoutBytes, name)
			return nil
		case v == nil:
			c.passed.Add(rowsWithoutImage, name)
			return nil
		case len(v) == 0:
			c.passed.Add(rowsOfNoBytes, name)
			return nil
		case t.guessed && len(c.sizes) == 0 && !sniff.What(v[:min(len(v), sniff.HeadBytes)]).Picture:
			return errs.Because(errs.ErrNotFound, fmt.Sprintf("column %s, which may be the one of the images by its name or type, holds none", t.images.Path))
		}
		if err := c.addName([]byte(name)); err != nil {
			return err
		}
		c.sizes = append(c.sizes, uint32(len(v)))
		c.offsets = append(c.offsets, page)
		label := schemas.NoLabel
		if k < len(labels) {
			label = labels[k]
		}
		c.labels = append(c.labels, label)
		return nil
	}); err != nil {
		return nil, err
	}
	if t.labels != nil && t.labels.Rows() != t.rows || t.paths != nil && len(names) != row || int64(row) != t.rows {
		return nil, errs.Because(errs.ErrCorrupt, fmt.Sprintf("%d rows hold %d images", t.rows, row))
	}
	return c, nil
}

// names are the paths of the images, by row.
func (t *imageTable) names(ctx context.Context, r shardReader) (names []string, err error) {
	if t.paths == nil {
		return nil, nil
	}
	err = t.paths.Each(ctx, r, func(_ int64, v []byte) error {
		names = append(names, string(v))
		return nil
	})
	return names, err
}

// readLabels are the labels by row; none without labels. Where they are names, it sets
// c.classes.
func (t *imageTable) readLabels(ctx context.Context, r shardReader, c *columns) ([]int32, error) {
	switch {
	case t.part != "":
		return t.partLabels(c)
	case t.labels == nil:
		return nil, nil
	case !t.labels.Numeric():
		return t.nameLabels(ctx, r, c)
	}
	var out []int32
	err := t.labels.Each(ctx, r, func(_ int64, b []byte) error {
		v, ok, err := t.labels.Integer(b)
		if err != nil {
			return errs.Because(errs.ErrUnsupported, fmt.Sprintf("column %s: row %d: %v; take another by ?label=COLUMN, or ?label=none", t.labels.Path, len(out), err))
		}
		if !ok {
			v = int64(schemas.NoLabel)
		}
		if v < int64(schemas.NoLabel) || v > math.MaxInt32 {
			return errs.Because(errs.ErrUnsupported, fmt.Sprintf("column %s: row %d has label %d, no class", t.labels.Path, len(out), v))
		}
		out = append(out, int32(v))
		return nil
	})
	c.classes, c.listed = t.classes, len(t.classes) > 0
	return out, err
}

// nameLabels reads labels that are texts: numbers, if all are, else names. Texts that
// can be no class names are captions, and no labels.
func (t *imageTable) nameLabels(ctx context.Context, r shardReader, c *columns) ([]int32, error) {
	var texts []string
	distinct := map[string]string{} // each text once in memory
	caption := false
	if err := t.labels.Each(ctx, r, func(_ int64, b []byte) error {
		if caption = caption || len(b) > maxLabelBytes || !utf8.Valid(b) || len(distinct) > maxLabelClasses; caption {
			return nil
		}
		s := strings.TrimSpace(string(b))
		known, ok := distinct[s]
		if !ok {
			known, distinct[s] = s, s
		}
		texts = append(texts, known)
		return nil
	}); err != nil {
		return nil, err
	}
	if delete(distinct, ""); caption || len(distinct) > maxLabelClasses {
		c.passed.Add(captionColumns, t.labels.Path)
		return nil, nil
	}
	return labelTexts(texts, slices.Sorted(maps.Keys(distinct)), c), nil
}

// labelTexts numbers texts: by what they say if all are numbers, else by their place in
// distinct, which becomes c.classes.
func labelTexts(texts, distinct []string, c *columns) []int32 {
	numbers := make(map[string]int32, len(distinct))
	for _, s := range distinct {
		if l := parseLabel([]byte(s)); l.fault == "" && l.name == "" {
			numbers[s] = l.number
		}
	}
	if len(numbers) < len(distinct) {
		c.classes = distinct
		for i, s := range distinct {
			numbers[s] = int32(i)
		}
	}
	out := make([]int32, len(texts))
	for i, s := range texts {
		if out[i] = schemas.NoLabel; s != "" {
			out[i] = numbers[s]
		}
	}
	return out
}

// partLabels gives every row the label of the file's folder.
func (t *imageTable) partLabels(c *columns) ([]int32, error) {
	_, value, _ := strings.Cut(t.part, "=")
	if value == nullPartition {
		return nil, nil
	}
	if int64(int(t.rows)) != t.rows || t.rows > math.MaxInt32 {
		return nil, errs.Because(errs.ErrTooLarge, fmt.Sprintf("%d rows", t.rows))
	}
	one := labelTexts([]string{value}, []string{value}, c)
	return slices.Repeat(one, int(t.rows)), nil
}
