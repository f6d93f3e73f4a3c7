package train

import (
	"fmt"

	"resslt/schemas/errs"
	"resslt/train/nn"
	"resslt/train/torch"
)

// checkSamples refuses what an objective that is keyed by sample cannot keep.
func (c Config) checkSamples() error {
	bad := func(field, hint, why string) error {
		return errs.New("learner option", field, hint, errs.Because(errs.ErrUsage, why))
	}
	if c.Samples < 1 {
		return bad("samples", "give how many samples the data set has: "+c.Objective+" keeps something of every one", fmt.Sprintf("is %d", c.Samples))
	}
	for _, k := range c.Options.Clusters {
		if int64(k) > c.Samples {
			return bad("clusters", "lower it, or leave the list empty", fmt.Sprintf("is %d, and the data set has %d samples", k, c.Samples))
		}
	}
	return nil
}

// samples are the numbers of the samples of a micro-batch, (rows) int64 on the device, for an
// objective that is keyed by sample; else nil. They are this rank's, or the whole batch's where
// the objective sees that. An id of a mixture's data set counts its repeats, too: the sample is
// its remainder by N (schemas.DatasetSpec.Repeats). The tensor belongs to the current scope.
func (l *Learner) samples(ids []int64, micro, rows int) *torch.Tensor {
	if !l.parts.Keyed {
		return nil
	}
	own := make([]int64, rows)
	for i, id := range ids[micro*rows : (micro+1)*rows] {
		own[i] = id % l.config.Samples
	}
	t := torch.FromInt64(own, int64(rows)).To(l.config.Device, torch.Int64, true)
	return l.parallel.wholeRows([]*torch.Tensor{t})[0]
}

// order is a permutation of the data set's samples, (N) int64 on the device.
func (l *Learner) order(step int64, name string) *torch.Tensor {
	p := nn.Random(l.config.Seed, fmt.Sprintf("objective order %d %s", step, name)).Permutation(int(l.config.Samples))
	return torch.FromInt64(p, int64(len(p))).To(l.config.Device, torch.Int64, true)
}

// checkIDs refuses samples that an objective that is keyed by them cannot work with.
func (l *Learner) checkIDs(ids []int64, rows int) error {
	if !l.parts.Keyed {
		return nil
	}
	wrong := func(hint, why string) error {
		return errs.New("training step", "samples", hint, errs.Because(errs.ErrUsage, why))
	}
	if len(ids) != rows {
		return wrong("give the id of each row's sample: "+l.config.Objective+" keeps something of every sample", fmt.Sprintf("got %d for %d rows", len(ids), rows))
	}
	for _, id := range ids {
		if id < 0 {
			return wrong("give ids from 0", fmt.Sprintf("one is %d", id))
		}
	}
	return nil
}
