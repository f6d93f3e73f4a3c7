package eval

import (
	"fmt"
	"strings"
)

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

// paperEpochs is how long the paper's ReSSL is trained, in every table.
const paperEpochs = 200

// paperKey identifies a figure of ReSSL in the paper: score of a protocol on data, by the encoder
// of a recipe.
type paperKey struct{ protocol, recipe, data, score string }

// compared are the objectives that ReSSL is compared with: their linear top-1 on ImageNet with
// ResNet-50, and how long they were trained (Table 7).
var compared = map[string]struct {
	Figure
	epochs int
}{
	"moco-v2": {Figure{67.5, "Table 7, MoCo v2"}, 200},
	"simclr":  {Figure{66.8, "Table 7, SimCLR"}, 200},
	"simsiam": {Figure{70.0, "Table 7, SimSiam"}, 200},
	"nnclr":   {Figure{70.7, "Table 7, NNCLR"}, 200},
	"byol":    {Figure{72.5, "Table 7, BYOL"}, 300},
}

// linearFigures are the paper's linear top-1 by recipe: what the recipe claims.
var linearFigures = map[string]Figure{
	"cifar10":       {90.76, "Table 1"},
	"cifar100":      {65.33, "Table 3, with warm-up"},
	"stl10":         {90.00, "Table 3, with warm-up"},
	"tiny-imagenet": {48.22, "Table 3, with warm-up"},

	"imagenet":                       {72.0, "Table 7, 1 crop"},
	"imagenet-2crop":                 {73.2, "Table 7, 2 crops"},
	"imagenet-multi":                 {76.0, "Table 8, multi"},
	"imagenet-strong":                {76.3, "Table 8, strong"},
	"imagenet-star":                  {69.9, "Table 7, *, 1 crop"},
	"imagenet-star-2crop":            {71.4, "Table 7, *, 2 crops"},
	"imagenet-star-multi":            {74.7, "the official README, *, 5 crops"},
	"imagenet-resnet18":              {62.4, "Table 13, 1 crop"},
	"imagenet-resnet18-2crop":        {63.8, "Table 13, 2 crops"},
	"imagenet-resnet18-multi":        {66.5, "Table 13, multi"},
	"imagenet-resnet34":              {66.3, "Table 13, 1 crop"},
	"imagenet-resnet34-2crop":        {68.4, "Table 13, 2 crops"},
	"imagenet-resnet34-multi":        {71.0, "Table 13, multi"},
	"imagenet-efficientnet-b0":       {69.7, "Table 13, 1 crop"},
	"imagenet-efficientnet-b0-2crop": {70.9, "Table 13, 2 crops"},
	"imagenet-efficientnet-b0-multi": {72.2, "Table 13, multi"},
	"imagenet-efficientnet-b1":       {71.1, "Table 13, 1 crop"},
	"imagenet-efficientnet-b1-2crop": {73.1, "Table 13, 2 crops"},
	"imagenet-mobilenet-v3":          {64.7, "Table 13, 1 crop"},
	"imagenet-mobilenet-v3-2crop":    {66.6, "Table 13, 2 crops"},
	"imagenet-mobilenet-v3-multi":    {68.2, "Table 13, multi"},
}

// paper holds the other figures, in percent. Tables 9 to 11 do not say of which crops their
// ResNet-50 is: each of the recipes whose encoder it may be has them.
var paper = map[paperKey]Figure{
	{"semi", "imagenet-resnet18-multi", "imagenet", "top1_1%"}:         {45.6, "Table 14"},
	{"semi", "imagenet-resnet18-multi", "imagenet", "top1_10%"}:        {62.3, "Table 14"},
	{"semi", "imagenet-resnet34-multi", "imagenet", "top1_1%"}:         {55.4, "Table 14"},
	{"semi", "imagenet-resnet34-multi", "imagenet", "top1_10%"}:        {67.8, "Table 14"},
	{"semi", "imagenet-efficientnet-b0-multi", "imagenet", "top1_1%"}:  {55.6, "Table 14"},
	{"semi", "imagenet-efficientnet-b0-multi", "imagenet", "top1_10%"}: {68.2, "Table 14"},
	{"semi", "imagenet-efficientnet-b1-multi", "imagenet", "top1_1%"}:  {59.5, "Table 14"},
	{"semi", "imagenet-efficientnet-b1-multi", "imagenet", "top1_10%"}: {70.9, "Table 14"},
	{"semi", "imagenet-mobilenet-v3-multi", "imagenet", "top1_1%"}:     {50.9, "Table 14"},
	{"semi", "imagenet-mobilenet-v3-multi", "imagenet", "top1_10%"}:    {62.8, "Table 14"},

	{"semi", anyResNet50, "imagenet", "top1_1%"}:             {57.8, "Table 10"},
	{"semi", anyResNet50, "imagenet", "top5_1%"}:             {81.6, "Table 10"},
	{"semi", anyResNet50, "imagenet", "top1_10%"}:            {71.2, "Table 10"},
	{"semi", anyResNet50, "imagenet", "top5_10%"}:            {90.2, "Table 10"},
	{"transfer", anyResNet50, "cifar10", "top1"}:             {93.8, "Table 9"},
	{"transfer", anyResNet50, "cifar100", "top1"}:            {78.5, "Table 9"},
	{"transfer", anyResNet50, "food101", "top1"}:             {77.2, "Table 9"},
	{"transfer", anyResNet50, "cars", "top1"}:                {68.3, "Table 9"},
	{"transfer", anyResNet50, "dtd", "top1"}:                 {76.6, "Table 9"},
	{"transfer", anyResNet50, "pets", "per_class"}:           {90.7, "Table 9"},
	{"transfer", anyResNet50, "flowers", "per_class"}:        {94.8, "Table 9"},
	{"transfer", anyResNet50, "aircraft", "per_class"}:       {65.1, "Table 9"},
	{"transfer", anyResNet50, "caltech101", "per_class"}:     {94.5, "Table 9"},
	{"transfer", anyResNet50, TransferMean, "transfer_mean"}: {82.2, "Table 9, mean"},
	{"lowshot", anyResNet50, "voc2007", "map_k4"}:            {66.8, "Table 11"},
	{"lowshot", anyResNet50, "voc2007", "map_k8"}:            {75.3, "Table 11"},
	{"lowshot", anyResNet50, "voc2007", "map_k16"}:           {80.5, "Table 11"},
	{"lowshot", anyResNet50, "voc2007", "map_k32"}:           {83.8, "Table 11"},
	{"lowshot", anyResNet50, "voc2007", "map_k64"}:           {86.0, "Table 11"},
	{"lowshot", anyResNet50, "voc2007", "map_full"}:          {88.6, "Table 11"},
}

// TransferMean is the data of the mean over Table 9's nine data sets.
const TransferMean = "table 9"

// anyResNet50 stands for the recipes whose encoder may be that of Tables 9 to 11.
const anyResNet50 = "imagenet with ResNet-50"

// mayBeAnyResNet50 are those recipes.
func mayBeAnyResNet50(recipe string) bool {
	switch recipe {
	case "imagenet", "imagenet-2crop", "imagenet-multi", "imagenet-strong":
		return true
	}
	return false
}

// PaperFigure is the paper's figure for a score of an evaluation, or nil: the figure of the
// recipe that the encoder was trained by, or of its objective where the paper has it among
// those that it compares with. The caller asks only where the protocol is the paper's. The
// paper's networks have width 64.
func PaperFigure(protocol, data string, e Encoder, score string) *Figure {
	if e.Width != 64 || e.Untrained || e.Recipe == "" {
		return nil
	}
	f, epochs, ok := figureOf(protocol, data, e, score)
	if !ok {
		return nil
	}
	f.Source = fmt.Sprintf("%s, %s, %d epochs", f.Source, e.Backbone, epochs)
	if e.Epochs != epochs {
		f.Source += fmt.Sprintf("; this encoder was trained for %d", e.Epochs)
	}
	return &f
}

// figureOf is the figure, and for how many epochs its encoder was trained.
func figureOf(protocol, data string, e Encoder, score string) (f Figure, epochs int, ok bool) {
	if e.Objective != "ressl" {
		f := compared[e.Objective]
		return f.Figure, f.epochs, f.epochs > 0 && protocol == "linear" && data == "imagenet" && score == "top1" && e.Backbone == "resnet50"
	}
	// A probe of the data that the recipe trains on; small sets keep their scheme's name.
	if protocol == "linear" && (score == "top1" || strings.HasPrefix(score, "top1_lr")) {
		trained, _, _ := strings.Cut(e.Recipe, "-")
		if e.Recipe == "tiny-imagenet" {
			trained = e.Recipe
		}
		f, ok = linearFigures[e.Recipe]
		return f, paperEpochs, ok && trained == data
	}
	if f, ok = paper[paperKey{protocol, e.Recipe, data, score}]; !ok && mayBeAnyResNet50(e.Recipe) && e.Backbone == "resnet50" {
		f, ok = paper[paperKey{protocol, anyResNet50, data, score}]
	}
	return f, paperEpochs, ok
}
