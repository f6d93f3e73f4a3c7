package ingest

import (
	"strconv"

	"resslt/schemas"
)

// Labelling is what a source's labels are.
type Labelling struct {
	// Classes are the names of the labels from 0: the manifest's, or where the labels have
	// no names, their numbers. Empty where there are no labels.
	Classes []string
	// Without is how many samples have no label.
	Without int64
	// Highest is the highest label, NoLabel where there is none.
	Highest int32
}

// maxNumbered bounds the classes that are named by their numbers: a label above is no class.
const maxNumbered = 1 << 16

// LabellingOf tells a source's labels. It reads no samples.
func LabellingOf(src Source) Labelling {
	switch s := src.(type) {
	case *mixSource:
		return s.labelling()
	case *matesSource:
		return LabellingOf(s.Source)
	}
	l := Labelling{Classes: src.Manifest().Classes, Highest: int32(len(src.Manifest().Classes)) - 1}
	if _, several := src.(MultiLabel); several {
		return l // marks take the labels' place
	}
	if held, ok := src.(interface{ allLabels() []int32 }); ok {
		l.Highest = schemas.NoLabel
		for _, label := range held.allLabels() {
			if label < 0 {
				l.Without++
			}
			l.Highest = max(l.Highest, label)
		}
	} else if len(l.Classes) == 0 {
		l.Without = src.Len()
	}
	if len(l.Classes) == 0 && l.Highest < maxNumbered {
		for c := range l.Highest + 1 {
			l.Classes = append(l.Classes, strconv.Itoa(int(c)))
		}
	}
	return l
}

func (s *shardFiles) allLabels() []int32   { return s.x.labels }
func (s *folderSource) allLabels() []int32 { return s.x.labels }
