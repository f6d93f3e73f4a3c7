package ingest

import "context"

// Scheme is one kind of data URI.
type Scheme struct {
	Name string // "folder"
	Form string // "folder:DIR"
	Text string // one line for help texts
}

// opener opens the split of a data set at a place, the part of the URI after the
// scheme's colon.
type opener func(ctx context.Context, place string, opt Options) (Source, error)

// format is a scheme, and how its data sets are opened.
type format struct {
	Scheme
	side int // pixels, where all images are square and of one size; else 0
	open opener
}

// formats are all of them, in the order of help texts. To add one, write an opener in
// a file of its own and add its line here; doc.go says more.
var formats = []format{
	{Scheme{"fashion-mnist", "fashion-mnist:[DIR]", "Fashion-MNIST's four IDX files; without DIR, Debian's package dataset-fashion-mnist"}, 28, fashionMNIST.open},
	{Scheme{"mnist", "mnist:DIR", "MNIST's four IDX files, gzip or plain"}, 28, mnist.open},
	{Scheme{"cifar10", "cifar10:DIR", "CIFAR-10, binary version"}, 32, cifar10.open},
	{Scheme{"cifar100", "cifar100:DIR", "CIFAR-100, binary version, fine labels"}, 32, cifar100.open},
	{Scheme{"stl10", "stl10:DIR", "STL-10, binary version; splits train, test, unlabeled, train+unlabeled"}, 96, stl10.open},
	{Scheme{"folder", "folder:DIR[?train=F]", "image files, one sub-folder a class; DIR may hold train, test or val, by any of their usual names, or ?train=F&test=F names them"}, 0, openFolder},
	{Scheme{"wds", "wds:GLOB[?image=F&label=F]", "WebDataset tar shards: a glob, {000..009} ranges, {split}, or their folder; F names a field, as in ?image=input.jpg"}, 0, openWDS},
	{Scheme{"parquet", "parquet:GLOB", "Parquet files with image {bytes, path} and label, as Hugging Face's; or their folder"}, 0, openParquet},
	{Scheme{"imagenet-tar", "imagenet-tar:FILE", "ImageNet's official archive, a tar of class tars; or its folder, with the devkit for split test"}, 0, openILSVRC},
	{Scheme{"food101", "food101:DIR", "Food-101 with its meta lists"}, 0, food101.open},
	{Scheme{"cars", "cars:DIR", "Stanford Cars with its devkit of MAT-files"}, 0, cars.open},
	{Scheme{"dtd", "dtd:DIR[?fold=N]", "Describable Textures, fold 1 to 10; splits train, val, train+val, test"}, 0, dtd.open},
	{Scheme{"pets", "pets:DIR", "Oxford-IIIT Pets; train is the official trainval"}, 0, pets.open},
	{Scheme{"flowers", "flowers:DIR", "Oxford Flowers-102; splits train, val, train+val, test"}, 0, flowers.open},
	{Scheme{"aircraft", "aircraft:DIR[?level=L]", "FGVC-Aircraft by variant, family or manufacturer; splits train, val, train+val, test"}, 0, aircraft.open},
	{Scheme{"caltech101", "caltech101:DIR[?draw=N]", "Caltech-101, 30 images a class to train by draw N, the others to test"}, 0, caltech101.open},
	{Scheme{"voc2007", "voc2007:DIR", "PASCAL VOC2007, several labels an image; splits train, val, train+val, test"}, 0, voc2007.open},
}

// Schemes lists the data URIs that Open takes, for help texts.
func Schemes() []Scheme {
	out := make([]Scheme, len(formats))
	for i, f := range formats {
		out[i] = f.Scheme
	}
	return out
}

// ImageSide is the side in pixels of a format's images, where all are square and of
// one size; else 0.
func ImageSide(format string) int {
	for _, f := range formats {
		if f.Name == format {
			return f.side
		}
	}
	return 0
}
