package train

import (
	"fmt"

	"resslt/schemas"
	"resslt/schemas/errs"
	"resslt/train/nn"
)

// shownLabels are the labels that training may read: those of the samples that showsLabel chooses,
// schemas.NoLabel for all others. Nothing behind it has the others'. An error, which wraps
// errs.ErrUsage, is of data without labels.
func shownLabels(b *schemas.Batch, spec *schemas.RunSpec, fraction float64) ([]int32, error) {
	out := make([]int32, len(b.Labels))
	for i, label := range b.Labels {
		out[i] = schemas.NoLabel
		if !showsLabel(spec, b.Samples[i], fraction) {
			continue
		}
		if out[i] = label; label == schemas.NoLabel {
			return nil, errs.New("training step", "labels", "give data whose samples have labels, or another objective",
				errs.Because(errs.ErrUsage, fmt.Sprintf("sample %d has none", b.Samples[i])))
		}
	}
	return out, nil
}

// showsLabel reports whether a sample's label may be read. It is a function of the run's spec, the
// fraction and the sample, so that it is the same in each epoch, on each rank and after a kill. A
// mixture's sample has one answer under all of its ids.
func showsLabel(spec *schemas.RunSpec, sample int64, fraction float64) bool {
	if sample < 0 { // of a slot that was not made
		return false
	}
	r := nn.Random(spec.Seed, fmt.Sprintf("label of sample %d", sample%spec.Dataset.Samples))
	return r.Uniform() < fraction
}

// checkLabels refuses labels that the objective's classifier has no class for, or that are missing.
func (l *Learner) checkLabels(labels []int32, rows int) error {
	if !l.parts.Labels {
		return nil
	}
	wrong := func(hint, why string) error {
		return errs.New("training step", "labels", hint, errs.Because(errs.ErrUsage, why))
	}
	if len(labels) != rows {
		return wrong("give one for each sample, -1 for one that shows none", fmt.Sprintf("%s got %d for %d samples", l.config.Objective, len(labels), rows))
	}
	for _, label := range labels {
		if label < schemas.NoLabel || int(label) >= l.config.Options.Classes {
			return wrong("set classes to the number of the data's classes", fmt.Sprintf("a sample is of class %d, and classes is %d", label, l.config.Options.Classes))
		}
	}
	return nil
}
