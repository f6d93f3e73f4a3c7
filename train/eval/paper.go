package eval

// Sizes of training splits, which identify a folder or shards.
const (
	imageNetImages     = 1_281_167 // ILSVRC-2012, 1,000 classes
	tinyImageNetImages = 100_000   // 200 classes
)

// DataName is the name of a data set in the paper's tables: its scheme, or "imagenet"
// or "tiny-imagenet" if it has as many images and classes.
func DataName(scheme string, trainImages int64, classes int) string {
	switch {
	case classes == 1000 && trainImages == imageNetImages:
		return "imagenet"
	case classes == 200 && trainImages == tinyImageNetImages:
		return "tiny-imagenet"
	}
	return scheme
}

// paperKey identifies a figure of the paper.
type paperKey struct{ protocol, data, backbone, score string }

// paper holds ReSSL's figures, in percent, for 200 epochs of pre-training and the
// backbone's published width.
var paper = map[paperKey]Figure{
	{"linear", "cifar10", "resnet18", "top1"}:              {90.76, "Table 5"},
	{"linear", "cifar100", "resnet18", "top1"}:             {65.03, "Table 5"},
	{"linear", "stl10", "resnet18", "top1"}:                {88.89, "Table 5"},
	{"linear", "tiny-imagenet", "resnet18", "top1"}:        {46.64, "Table 5"},
	{"linear", "imagenet", "resnet50", "top1"}:             {72.0, "Table 7, 1 crop"},
	{"semi", "imagenet", "resnet50", "top1_1%"}:            {57.8, "Table 10"},
	{"semi", "imagenet", "resnet50", "top5_1%"}:            {81.6, "Table 10"},
	{"semi", "imagenet", "resnet50", "top1_10%"}:           {71.2, "Table 10"},
	{"semi", "imagenet", "resnet50", "top5_10%"}:           {90.2, "Table 10"},
	{"semi", "imagenet", "resnet18", "top1_1%"}:            {45.6, "Table 14, multi"},
	{"semi", "imagenet", "resnet18", "top1_10%"}:           {62.3, "Table 14, multi"},
	{"semi", "imagenet", "resnet34", "top1_1%"}:            {55.4, "Table 14, multi"},
	{"semi", "imagenet", "resnet34", "top1_10%"}:           {67.8, "Table 14, multi"},
	{"semi", "imagenet", "efficientnet_b0", "top1_1%"}:     {55.6, "Table 14, multi"},
	{"semi", "imagenet", "efficientnet_b0", "top1_10%"}:    {68.2, "Table 14, multi"},
	{"semi", "imagenet", "efficientnet_b1", "top1_1%"}:     {59.5, "Table 14, multi"},
	{"semi", "imagenet", "efficientnet_b1", "top1_10%"}:    {70.9, "Table 14, multi"},
	{"semi", "imagenet", "mobilenet_v3_large", "top1_1%"}:  {50.9, "Table 14, multi"},
	{"semi", "imagenet", "mobilenet_v3_large", "top1_10%"}: {62.8, "Table 14, multi"},
	{"transfer", "cifar10", "resnet50", "top1"}:            {93.8, "Table 9"},
	{"transfer", "cifar100", "resnet50", "top1"}:           {78.5, "Table 9"},
	{"transfer", "food101", "resnet50", "top1"}:            {77.2, "Table 9"},
	{"transfer", "cars", "resnet50", "top1"}:               {68.3, "Table 9"},
	{"transfer", "dtd", "resnet50", "top1"}:                {76.6, "Table 9"},
	{"transfer", "pets", "resnet50", "per_class"}:          {90.7, "Table 9"},
	{"transfer", "flowers", "resnet50", "per_class"}:       {94.8, "Table 9"},
	{"transfer", "aircraft", "resnet50", "per_class"}:      {65.1, "Table 9"},
	{"transfer", "caltech101", "resnet50", "per_class"}:    {94.5, "Table 9"},
	{"lowshot", "voc2007", "resnet50", "map_k4"}:           {66.8, "Table 11"},
	{"lowshot", "voc2007", "resnet50", "map_k8"}:           {75.3, "Table 11"},
	{"lowshot", "voc2007", "resnet50", "map_k16"}:          {80.5, "Table 11"},
	{"lowshot", "voc2007", "resnet50", "map_k32"}:          {83.8, "Table 11"},
	{"lowshot", "voc2007", "resnet50", "map_k64"}:          {86.0, "Table 11"},
	{"lowshot", "voc2007", "resnet50", "map_full"}:         {88.6, "Table 11"},
}

// PaperFigure is the paper's figure for a protocol's score, or nil. The paper's networks
// have width 64.
func PaperFigure(protocol, data string, e Encoder, score string) *Figure {
	f, ok := paper[paperKey{protocol, data, e.Backbone, score}]
	if !ok || e.Width != 64 || e.Untrained {
		return nil
	}
	f.Source += ", " + e.Backbone
	return &f
}
