package ingest

import (
	"fmt"
	"slices"
	"strings"

	"resslt/schemas/bounded"
	"resslt/schemas/errs"
)

// Decisions on splits are made in this file, which splits there are and whether the data
// has the one asked for; in splitname.go, which split a name means; and for folders in
// folderlayout.go.

// Splits that Options.Split can name. A format has some of them.
const (
	Train          = "train"
	Test           = "test"
	Val            = "val"       // where a set has one of its own
	TrainVal       = "train+val" // both together, to train on once settings are chosen
	Unlabeled      = "unlabeled"
	TrainUnlabeled = "train+unlabeled" // STL-10's pre-training set: 5,000 + 100,000
)

var allSplits = []string{Train, Val, TrainVal, Test, Unlabeled, TrainUnlabeled}

// Splits are the names of splits, those that Options.Split takes.
func Splits() []string { return slices.Clone(allSplits) }

// spellings are the names of splits that other tools have for them, as they are tried
// where {split} stands in a glob.
var spellings = map[string][]string{
	Train:    {"train", "training", "Train", "Training"},
	TrainVal: {TrainVal, "trainval", "train_val"},
	Val:      {"val", "validation", "valid", "dev", "eval", "Val", "Validation", "Valid"},
	Test:     {"test", "testing", "Test", "Testing"},
}

// SplitName is the split that NAME=FOLDER means, "val" for "validation"; the name itself
// where that is unknown. "trainval" names the folder to train on.
func SplitName(name string) string {
	switch s := splitWords[strings.ToLower(name)]; s {
	case "":
		return name
	case TrainVal:
		return Train
	default:
		return s
	}
}

// splitCalled is the split that Options.Split asks for by a name: one of allSplits in any
// case, or a folder's name for it.
func splitCalled(name string) string {
	lower := strings.ToLower(name)
	if slices.Contains(allSplits, lower) {
		return lower
	}
	if s := splitWords[lower]; s != "" {
		return s
	}
	return name
}

// splitOrTrain is the split asked for; Train by default.
func (o Options) splitOrTrain() string {
	if o.Split == "" {
		return Train
	}
	return o.Split
}

// split is the split asked for, which must be one of those that the format has.
func (o Options) split(scheme string, has ...string) (string, error) {
	s := o.splitOrTrain()
	if !slices.Contains(has, s) {
		return "", errs.New("open "+scheme, "split "+s, bounded.Suggest(s, has)+"give one of "+strings.Join(has, ", "),
			errs.Because(errs.ErrUsage, scheme+" has no such split"))
	}
	return s, nil
}

// splitMark in a glob stands for the split's name.
const splitMark = "{split}"

// shardSplit is the split that shards are opened as. Names of files say nothing about
// splits, so "test" must not quietly mean the training shards. Either the glob or the
// folder is named by the split, or the sidecar, if not nil, says which one the shards
// are; all others are Train.
func (o Options) shardSplit(op, glob string, named bool, sidecar *Manifest) (string, error) {
	has := Train
	switch {
	case sidecar != nil:
		has = sidecar.Split
	case named:
		has = o.splitOrTrain()
	}
	if o.Split == "" || o.Split == has {
		return has, nil
	}
	return "", errs.New(op, glob, "write "+splitMark+" in the glob, or name the shards of the split and leave the split out",
		errs.Because(errs.ErrUsage, fmt.Sprintf("these are the shards of %s, not of %s", has, o.Split)))
}
