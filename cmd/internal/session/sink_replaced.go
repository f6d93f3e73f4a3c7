package session

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"resslt/cmd/internal/cli"
	"resslt/ingest"
	"resslt/schemas"
	"resslt/schemas/errs"
	"resslt/train"
)

// naming says which samples were replaced, and why: of the first one when it happens, of all
// when the training has ended.
func naming(ctx context.Context, l *leader, _ *schemas.RunInfo) (*subscriber, error) {
	var said sync.WaitGroup
	var stopped bool
	return &subscriber{
		batches: l.replaced,
		started: func(context.Context) error { return l.replaced.load(l.plan.Out, l.plan.From()) },
		step: func(p train.Progress) {
			if first := l.replaced.trained(p.Step); first != nil {
				said.Go(func() { // it may have to open the data
					l.names.find(ctx, []*train.Replaced{first})
					l.interject(fmt.Sprintf("warning: another sample takes the place of %s; the end of the run names all that cannot be decoded", nameOf(first)))
				})
			}
		},
		saving: func() error { return l.replaced.save(l.plan.Out) },
		failed: func() { stopped = true },
		close: func() error {
			said.Wait()
			if stopped {
				l.sayReplaced(ctx, replacedFile)
			}
			return nil
		},
	}, nil
}

// nameOf names a sample that cannot be decoded, with the reason.
func nameOf(s *train.Replaced) string {
	if s.Key == "" {
		return fmt.Sprintf("sample %d (%s)", s.Sample, s.Reason)
	}
	return fmt.Sprintf("%s (%s)", cli.Printable(s.Key), s.Reason)
}

// shownReplaced are the names that a line has room for.
const shownReplaced = 4

// sayReplaced prints which samples were replaced, nothing where none was. file lists more.
func (l *leader) sayReplaced(ctx context.Context, file string) {
	samples, total, different := l.replaced.list(shownReplaced)
	if total == 0 {
		return
	}
	l.names.find(context.WithoutCancel(ctx), pointers(samples))
	l.print("warning: " + replacedLine(samples, total, l.replaced.step()*int64(l.plan.Spec.BatchSize), different, file))
}

// replacedLine says how many of the samples that were trained on stand for others, and names
// the first of those others.
func replacedLine(samples []train.Replaced, total, of, different int64, file string) string {
	names := make([]string, len(samples))
	for i := range samples {
		names[i] = nameOf(&samples[i])
	}
	line := fmt.Sprintf("replaced %d of %d samples (%d different), which cannot be decoded: %s", total, of, different, strings.Join(names, ", "))
	if more := different - int64(len(samples)); more > 0 {
		line += fmt.Sprintf(" and %d more; %s lists them", more, file)
	}
	return line
}

// summarize adds the replaced samples and what is known of the data to the summary.
func (l *leader) summarize(ctx context.Context, sum *train.Summary) {
	if d := l.plan.data; d != nil {
		sum.Classes, sum.PassedOver = d.Classes, d.PassedOver
		sum.Mix = mixed(&l.plan.Spec, d.Sets, l.replaced.step())
	}
	if samples, total, different := l.replaced.list(train.MaxReplaced); total > 0 {
		sum.Replaced, sum.SamplesReplaced, sum.SamplesUndecodable = samples, total, different
		l.names.find(ctx, pointers(sum.Replaced))
	}
}

// mixed says how much the steps before one have drawn from each set of a mixture; nil for other
// data.
func mixed(spec *schemas.RunSpec, names []string, step int64) (out []train.MixedSet) {
	drawn := ingest.MixDrawn(spec, step)
	for c, n := range drawn {
		set := train.MixedSet{MixedSet: spec.Dataset.Mix[c], Drawn: n}
		if c < len(names) {
			set.Name = names[c]
		}
		out = append(out, set)
	}
	return out
}

// passedOver is a survey as a summary has it: [] where nothing was passed over.
func passedOver(s schemas.Survey) schemas.Survey { return append(schemas.Survey{}, s...) }

func pointers(samples []train.Replaced) []*train.Replaced {
	out := make([]*train.Replaced, len(samples))
	for i := range samples {
		out[i] = &samples[i]
	}
	return out
}

// names finds the names of samples in the run's data. Where that cannot be reached from here,
// as from a trainer of a farm, samples keep their numbers.
type names struct {
	plan *Plan

	mu   sync.Mutex
	keys map[int64]string // of those that were looked for; guarded by mu
}

// find fills in the keys.
func (n *names) find(ctx context.Context, samples []*train.Replaced) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.keys == nil {
		n.keys = map[int64]string{}
	}
	missing := false
	for _, s := range samples {
		key, ok := n.keys[s.Sample]
		s.Key = key
		missing = missing || !ok
	}
	if !missing || n.plan.dataset == nil {
		return
	}
	FindKeys(ctx, n.plan.Recipe.Data, &n.plan.Spec, samples)
	for _, s := range samples {
		if s.Key != "" {
			n.keys[s.Sample] = s.Key
		}
	}
}

// FindKeys fills in the keys of a run's samples that have none, where its data can be reached from
// here and are the same.
func FindKeys(ctx context.Context, uri string, spec *schemas.RunSpec, samples []*train.Replaced) {
	src, err := ingest.Open(ctx, uri, ingest.Options{Split: spec.Dataset.Split})
	if err != nil {
		return
	}
	defer src.Close()
	if src.Manifest().Digest() != spec.Dataset.Digest {
		return
	}
	var buf schemas.Sample
	for _, s := range samples {
		if s.Key == "" {
			s.Key = keyOf(ctx, src, s.Sample, &buf)
		}
	}
}

// keyOf is a sample's key; of one that cannot be read, what the error says of its place.
func keyOf(ctx context.Context, src ingest.Source, id int64, buf *schemas.Sample) string {
	err := src.Read(ctx, id, buf)
	if err == nil {
		return buf.Key
	}
	var e *errs.Error
	if errors.As(err, &e) && errors.Is(err, errs.ErrTooLarge) {
		return e.Where
	}
	return ""
}
