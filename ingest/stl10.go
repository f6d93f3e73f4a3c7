package ingest

import "resslt/schemas"

// STL-10, binary version (cs.stanford.edu/~acoates/stl10). A row of *_X.bin is 96·96
// bytes each of red, green and blue, column by column; *_y.bin has a label byte for
// each, from 1. Pre-training uses the labelled training images and the unlabelled ones
// together: the split train+unlabeled.

var stl10 = stl10Set(5000, 8000, 100000)

func stl10Set(train, test, unlabeled int64) binarySet {
	trainFile := binaryFile{name: "train_X.bin", images: train, labels: "train_y.bin", labelBase: 1}
	unlabeledFile := binaryFile{name: "unlabeled_X.bin", images: unlabeled}
	return binarySet{
		scheme:  "stl10",
		folders: []string{"stl10_binary"},
		hint:    "name the folder that holds stl10_binary, from stl10_binary.tar.gz",
		classes: []string{"airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck"},
		shape:   imageShape{width: 96, height: 96, encoding: schemas.RawRGB, interleave: planarColumns},
		splits: []binarySplit{
			{Train, []binaryFile{trainFile}},
			{Test, []binaryFile{{name: "test_X.bin", images: test, labels: "test_y.bin", labelBase: 1}}},
			{Unlabeled, []binaryFile{unlabeledFile}},
			{TrainUnlabeled, []binaryFile{trainFile, unlabeledFile}},
		},
	}
}
