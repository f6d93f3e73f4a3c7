package eval

import (
	"fmt"
	"strings"

	"resslt/train/paper"
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

// PaperFigure is the paper's figure for a score of an evaluation, or nil: the figure of the
// recipe that the encoder was trained by, or of its objective where the paper has it among
// those that it compares with. The caller asks only where the protocol is the paper's. The
// paper's networks have width 64.
func PaperFigure(protocol, data string, e Encoder, score string) *Figure {
	if e.Width != 64 || e.Untrained || e.Recipe == "" {
		return nil
	}
	w := paper.Wanted{Protocol: protocol, Data: data, Score: score, Recipe: e.Recipe, Backbone: e.Backbone}
	if e.Objective != "ressl" {
		w.Objective = e.Objective
	}
	if protocol == "linear" && strings.HasPrefix(score, "top1_lr") { // the author's: a score for each learning rate
		w.Score = "top1"
	}
	found, ok := paper.Find(w)
	if !ok {
		return nil
	}
	f := &Figure{found.Value, fmt.Sprintf("%s, %s, %d epochs", found.Source, e.Backbone, found.Epochs)}
	if e.Epochs != found.Epochs {
		f.Source += fmt.Sprintf("; this encoder was trained for %d", e.Epochs)
	}
	return f
}
