package ingest

import "resslt/schemas"

// CIFAR-10 and CIFAR-100, binary version (cs.toronto.edu/~kriz/cifar.html). A row of
// the file is one label byte (CIFAR-100: coarse, then fine), then 1,024 bytes each of
// red, green and blue, row by row. Class names are the official lists, so that the
// digest does not depend on whether batches.meta.txt was copied along.

var cifarShape = imageShape{width: 32, height: 32, encoding: schemas.RawRGB, interleave: planarRows}

var cifar10 = cifar10Set(10000)

func cifar10Set(images int64) binarySet {
	file := func(name string) binaryFile { return binaryFile{name: name, images: images, head: 1} }
	return binarySet{
		scheme:  "cifar10",
		folders: []string{"cifar-10-batches-bin"},
		hint:    "name the folder that holds cifar-10-batches-bin, from cifar-10-binary.tar.gz",
		classes: []string{"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"},
		shape:   cifarShape,
		splits: []binarySplit{
			{Train, []binaryFile{
				file("data_batch_1.bin"), file("data_batch_2.bin"), file("data_batch_3.bin"),
				file("data_batch_4.bin"), file("data_batch_5.bin"),
			}},
			{Test, []binaryFile{file("test_batch.bin")}},
		},
	}
}

var cifar100 = cifar100Set(50000, 10000)

func cifar100Set(train, test int64) binarySet {
	return binarySet{
		scheme:  "cifar100",
		folders: []string{"cifar-100-binary"},
		hint:    "name the folder that holds cifar-100-binary, from cifar-100-binary.tar.gz",
		classes: cifar100Fine,
		shape:   cifarShape,
		splits: []binarySplit{
			{Train, []binaryFile{{name: "train.bin", images: train, head: 2, label: 1}}},
			{Test, []binaryFile{{name: "test.bin", images: test, head: 2, label: 1}}},
		},
	}
}

var cifar100Fine = []string{
	"apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle",
	"bowl", "boy", "bridge", "bus", "butterfly", "camel", "can", "castle", "caterpillar", "cattle",
	"chair", "chimpanzee", "clock", "cloud", "cockroach", "couch", "crab", "crocodile", "cup", "dinosaur",
	"dolphin", "elephant", "flatfish", "forest", "fox", "girl", "hamster", "house", "kangaroo", "keyboard",
	"lamp", "lawn_mower", "leopard", "lion", "lizard", "lobster", "man", "maple_tree", "motorcycle", "mountain",
	"mouse", "mushroom", "oak_tree", "orange", "orchid", "otter", "palm_tree", "pear", "pickup_truck", "pine_tree",
	"plain", "plate", "poppy", "porcupine", "possum", "rabbit", "raccoon", "ray", "road", "rocket",
	"rose", "sea", "seal", "shark", "shrew", "skunk", "skyscraper", "snail", "snake", "spider",
	"squirrel", "streetcar", "sunflower", "sweet_pepper", "table", "tank", "telephone", "television", "tiger", "tractor",
	"train", "trout", "tulip", "turtle", "wardrobe", "whale", "willow_tree", "wolf", "woman", "worm",
}
