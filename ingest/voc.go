package ingest

import (
	"bytes"
	"context"
	"encoding/xml"
	"fmt"
	"strings"

	"resslt/schemas"
	"resslt/schemas/errs"
)

// VOC2007: the images of ImageSets/Main/SPLIT.txt, each with the objects of
// Annotations/ID.xml. A class that appears only in objects marked difficult counts
// neither way, as in the devkit's lists of each class.
var voc2007 = fileListSet{
	scheme: "voc2007", folders: []string{"VOC2007", "VOCdevkit/VOC2007"}, witness: "ImageSets",
	hint:   "name the folder VOCdevkit/VOC2007 of VOCtrainval_06-Nov-2007.tar (and VOCtest_06-Nov-2007.tar for test)",
	splits: []string{Train, Val, TrainVal, Test},
	list: func(ctx context.Context, l *listReader) (*listing, error) {
		out, at := &listing{classes: vocClasses}, classIndex(vocClasses)
		list := "ImageSets/Main/" + strings.ReplaceAll(l.split, "+", "") + ".txt"
		return out, l.lines(ctx, list, func(line, from string) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := out.add(l, nil, schemas.NoLabel, from, "JPEGImages", line+".jpg"); err != nil {
				return err
			}
			e := &out.entries[len(out.entries)-1]
			file, err := l.path(from, "Annotations", line+".xml")
			if err != nil {
				return err
			}
			b, err := l.file(ctx, file)
			if err != nil {
				return l.absent(entry{path: file, from: from}, err)
			}
			objects, err := parseVOC(b)
			if err != nil {
				return l.fault(file, err)
			}
			e.marks = bytesOf(-1, len(vocClasses))
			for i, o := range objects {
				class, ok := at[o.name]
				switch {
				case !ok:
					return l.corrupt(file, "object %d is a %q, which is none of the %d classes", i+1, o.name, len(vocClasses))
				case !o.difficult:
					e.marks[class] = 1
				case e.marks[class] < 0:
					e.marks[class] = 0
				}
			}
			return nil
		})
	},
}

// vocClasses is VOC2007's list, in its order.
var vocClasses = []string{
	"aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
	"diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
}

type vocObject struct {
	name      string
	difficult bool
}

// maxVOCObjects caps the objects of one image; VOC2007's most are 42.
const maxVOCObjects = 10_000

// parseVOC parses an annotation. Errors wrap ErrCorrupt or ErrTooLarge.
func parseVOC(b []byte) ([]vocObject, error) {
	var a struct {
		XMLName xml.Name `xml:"annotation"`
		Objects []struct {
			Name      string `xml:"name"`
			Difficult string `xml:"difficult"`
		} `xml:"object"`
	}
	d := xml.NewDecoder(bytes.NewReader(b))
	if err := d.Decode(&a); err != nil {
		return nil, errs.BecauseErr(errs.ErrCorrupt, err)
	}
	if len(a.Objects) > maxVOCObjects {
		return nil, errs.Because(errs.ErrTooLarge, fmt.Sprintf("%d objects", len(a.Objects)))
	}
	var out []vocObject
	for _, o := range a.Objects {
		switch o.Difficult = strings.TrimSpace(o.Difficult); o.Difficult {
		case "", "0", "1":
		default:
			return nil, errs.Because(errs.ErrCorrupt, fmt.Sprintf("difficult is %q", o.Difficult))
		}
		out = append(out, vocObject{strings.TrimSpace(o.Name), o.Difficult == "1"})
	}
	return out, nil
}

// bytesOf is n times v.
func bytesOf(v int8, n int) []int8 {
	out := make([]int8, n)
	for i := range out {
		out[i] = v
	}
	return out
}
