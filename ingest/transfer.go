package ingest

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"resslt/ingest/mat"
	"resslt/schemas/errs"
)

// The data sets of Table 9, each in the form in which it is distributed.

var food101 = fileListSet{
	scheme: "food101", folders: []string{"food-101"}, witness: "meta",
	hint:   "name the folder food-101 of food-101.tar.gz, with images and meta",
	splits: []string{Train, Test},
	list: func(ctx context.Context, l *listReader) (*listing, error) {
		classes, err := l.names(ctx, "meta/classes.txt")
		if err != nil {
			return nil, err
		}
		out, at := &listing{classes: classes}, classIndex(classes)
		// Lines such as apple_pie/1005649.
		return out, l.lines(ctx, "meta/"+l.split+".txt", func(line, from string) error {
			label, err := l.label(at, path.Dir(line), from)
			return out.add(l, err, label, from, "images", line+".jpg")
		})
	},
}

// Stanford Cars: devkit/*.mat of car_devkit.tgz, with the test labels that were
// published later as cars_test_annos_withlabels.mat.
var cars = fileListSet{
	scheme: "cars", folders: []string{"stanford_cars"}, witness: "devkit",
	hint:   "name the folder that holds cars_train, cars_test and devkit (with cars_meta.mat)",
	splits: []string{Train, Test},
	list: func(ctx context.Context, l *listReader) (*listing, error) {
		meta, err := l.mat(ctx, "devkit/cars_meta.mat")
		if err != nil {
			return nil, err
		}
		classes, err := meta.Strings("class_names")
		if err != nil {
			return nil, l.fault("devkit/cars_meta.mat", err)
		}
		file, folder := "devkit/cars_train_annos.mat", "cars_train"
		if l.split == Test {
			folder, file = "cars_test", "devkit/cars_test_annos_withlabels.mat"
			inKit, err := l.has(ctx, file)
			if err != nil {
				return nil, err
			}
			if !inKit {
				file = "cars_test_annos_withlabels.mat"
			}
		}
		vars, err := l.mat(ctx, file)
		if err != nil {
			return nil, err
		}
		annos, err := vars.Structs("annotations", "fname", "class")
		if err != nil {
			return nil, l.fault(file, err)
		}
		out := &listing{classes: classes}
		for i := range annos.Len() {
			from := fmt.Sprintf("%s:%d", file, i+1)
			name, class := annos.Field(i, "fname"), annos.Field(i, "class")
			if name.Kind != mat.Text || class.Kind != mat.Number || len(class.Numbers) != 1 {
				return nil, l.corrupt(file, "annotation %d has no file name or class", i+1)
			}
			label, err := l.number(class.Numbers[0], len(classes), from)
			if err := out.add(l, err, label, from, folder, name.Text); err != nil {
				return nil, err
			}
		}
		return out, nil
	},
}

// DTD has ten folds of train, val and test; published results are of the first.
var dtd = fileListSet{
	scheme: "dtd", folders: []string{"dtd"}, witness: "labels",
	hint:    "name the folder dtd of dtd-r1.0.1.tar.gz, with images and labels",
	splits:  []string{Train, Val, TrainVal, Test},
	choices: map[string][]string{"fold": {"1", "2", "3", "4", "5", "6", "7", "8", "9", "10"}},
	list: func(ctx context.Context, l *listReader) (*listing, error) {
		classes, err := l.folders(ctx, "images")
		if err != nil {
			return nil, err
		}
		out, at := &listing{classes: classes}, classIndex(classes)
		for _, part := range parts(l.split) {
			// Lines such as banded/banded_0002.jpg.
			err := l.lines(ctx, "labels/"+part+l.choices["fold"]+".txt", func(line, from string) error {
				label, err := l.label(at, path.Dir(line), from)
				return out.add(l, err, label, from, "images", line)
			})
			if err != nil {
				return nil, err
			}
		}
		return out, nil
	},
}

// Oxford-IIIT Pets: lists of lines "Abyssinian_100 1 1 1": image, breed, species,
// breed within the species. Breeds are named by their images.
var pets = fileListSet{
	scheme: "pets", folders: []string{"oxford-iiit-pet"}, witness: "annotations",
	hint:   "name the folder that holds images and annotations, of images.tar.gz and annotations.tar.gz",
	splits: []string{Train, Test}, // train is the official trainval
	list: func(ctx context.Context, l *listReader) (*listing, error) {
		const most = 1000
		var classes []string
		read := func(list string, each func(image string, label int32, from string) error) error {
			return l.lines(ctx, list, func(line, from string) error {
				words := strings.Fields(line)
				if len(words) != 4 || !strings.Contains(words[0], "_") {
					return l.corrupt(list, "%s reads %q, not image, breed, species, breed of species", from, line)
				}
				n, err := strconv.Atoi(words[1])
				if err != nil || n < 1 || n > most {
					return l.corrupt(list, "%s has breed %q", from, words[1])
				}
				return each(words[0], int32(n-1), from)
			})
		}
		out := &listing{}
		// Both lists, so that breeds that one split lacks have names, too.
		for _, list := range []string{"annotations/trainval.txt", "annotations/test.txt"} {
			err := read(list, func(image string, label int32, from string) error {
				for int(label) >= len(classes) {
					classes = append(classes, "")
				}
				name := image[:strings.LastIndexByte(image, '_')]
				if have := classes[label]; have != "" && have != name {
					return l.corrupt(list, "%s has breed %d, which is %s elsewhere", from, label+1, have)
				}
				classes[label] = name
				if (l.split == Test) != (list == "annotations/test.txt") {
					return nil
				}
				return out.add(l, nil, label, from, "images", image+".jpg")
			})
			if err != nil {
				return nil, err
			}
		}
		out.classes = classes
		return out, nil
	},
}

// Flowers-102: setid.mat lists the images of each split, imagelabels.mat the
// class of every image, both from 1. Classes have numbers, no names.
var flowers = fileListSet{
	scheme: "flowers", folders: []string{"flowers-102"}, witness: "setid.mat",
	hint:   "name the folder that holds jpg (of 102flowers.tgz), imagelabels.mat and setid.mat",
	splits: []string{Train, Val, TrainVal, Test},
	list: func(ctx context.Context, l *listReader) (*listing, error) {
		const count = 102
		numbers := func(file, name string) ([]float64, error) {
			v, err := l.mat(ctx, file)
			if err != nil {
				return nil, err
			}
			n, err := v.Numbers(name)
			if err != nil {
				return nil, l.fault(file, err)
			}
			return n, nil
		}
		labels, err := numbers("imagelabels.mat", "labels")
		if err != nil {
			return nil, err
		}
		out := &listing{}
		for c := range count {
			out.classes = append(out.classes, strconv.Itoa(c+1))
		}
		for _, part := range parts(l.split) {
			name := map[string]string{Train: "trnid", Val: "valid", Test: "tstid"}[part]
			ids, err := numbers("setid.mat", name)
			if err != nil {
				return nil, err
			}
			for i, v := range ids {
				from := fmt.Sprintf("setid.mat:%s(%d)", name, i+1)
				id, err := l.number(v, len(labels), from)
				if err != nil {
					return nil, err
				}
				label, err := l.number(labels[id], count, fmt.Sprintf("imagelabels.mat:%d", id+1))
				if err := out.add(l, err, label, from, "jpg", fmt.Sprintf("image_%05d.jpg", id+1)); err != nil {
					return nil, err
				}
			}
		}
		return out, nil
	},
}

// FGVC-Aircraft: lists of lines "1025794 707-320". The lowest 20 rows of each
// image are a banner with its author; images come as they are, banner included,
// as in torchvision and TensorFlow Datasets.
var aircraft = fileListSet{
	scheme: "aircraft", folders: []string{"fgvc-aircraft-2013b", "fgvc-aircraft-2013b/data", "data"}, witness: "images",
	hint:    "name the folder fgvc-aircraft-2013b of its tar.gz",
	splits:  []string{Train, Val, TrainVal, Test},
	choices: map[string][]string{"level": {"variant", "family", "manufacturer"}},
	list: func(ctx context.Context, l *listReader) (*listing, error) {
		level := l.choices["level"]
		names := map[string]string{"variant": "variants.txt", "family": "families.txt", "manufacturer": "manufacturers.txt"}[level]
		classes, err := l.names(ctx, names)
		if err != nil {
			return nil, err
		}
		out, at := &listing{classes: classes}, classIndex(classes)
		list := "images_" + level + "_" + strings.ReplaceAll(l.split, "+", "") + ".txt"
		return out, l.lines(ctx, list, func(line, from string) error {
			image, class, _ := strings.Cut(line, " ")
			label, err := l.label(at, class, from)
			return out.add(l, err, label, from, "images", image+".jpg")
		})
	},
}

// Caltech-101 has no official splits: 30 images of each class, drawn by the number
// that ?draw= gives, are train and the others test. BACKGROUND_Google is a class, as
// in Table 9's protocol (102 classes, 3,060 and 6,084 images).
var caltech101 = fileListSet{
	scheme: "caltech101", folders: []string{"caltech-101", "caltech-101/101_ObjectCategories", "101_ObjectCategories"}, witness: "airplanes",
	hint:    "name the folder 101_ObjectCategories of caltech-101.zip",
	splits:  []string{Train, Test},
	choices: map[string][]string{"draw": nil},
	list: func(ctx context.Context, l *listReader) (*listing, error) {
		const trainImages = 30
		classes, err := l.folders(ctx, ".")
		if err != nil {
			return nil, err
		}
		draw, err := strconv.ParseUint(l.choices["draw"], 10, 64)
		if err != nil {
			return nil, errs.New(l.op, "draw", "give a number", errs.BecauseErr(errs.ErrUsage, err))
		}
		out := &listing{classes: classes}
		for label, class := range classes {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			files, err := l.files(ctx, class)
			if err != nil {
				return nil, err
			}
			var names []string
			for name := range files {
				if isImageName(name) && !hidden(name) {
					names = append(names, name)
				}
			}
			if len(names) <= trainImages {
				return nil, l.corrupt(class, "%d images, of which %d train and the others test", len(names), trainImages)
			}
			shuffle(names, draw, class)
			names, from := names[:trainImages], names[trainImages:]
			if l.split == Test {
				names = from
			}
			for _, name := range names {
				if err := out.add(l, nil, int32(label), class, class, name); err != nil {
					return nil, err
				}
			}
		}
		return out, nil
	},
}

// shuffle sorts names by a keyed hash: the order depends only on them, the draw and
// the class.
func shuffle(names []string, draw uint64, class string) {
	key := func(name string) [sha256.Size]byte {
		msg := binary.LittleEndian.AppendUint64([]byte("resslt draw 1"), draw)
		return sha256.Sum256([]byte(string(msg) + class + "\x00" + name))
	}
	slices.SortFunc(names, func(a, b string) int {
		x, y := key(a), key(b)
		return strings.Compare(string(x[:]), string(y[:]))
	})
}

// parts are the official splits that make up a split.
func parts(split string) []string { return strings.Split(split, "+") }

// add appends an image, unless err, of finding its label, is not nil.
func (g *listing) add(l *listReader, err error, label int32, from string, elem ...string) error {
	if err != nil {
		return err
	}
	p, err := l.path(from, elem...)
	if err != nil {
		return err
	}
	g.entries = append(g.entries, entry{path: p, label: label, from: from})
	return nil
}
