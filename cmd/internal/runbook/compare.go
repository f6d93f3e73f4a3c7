package runbook

import (
	"fmt"
	"math"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"resslt/train/recipe"
)

// Comparison is what differs between runs; the first is what the others are held against.
type Comparison struct {
	Runs   []*Run   `json:"runs"`
	Keys   []Key    `json:"keys"`   // that differ
	Paired []Paired `json:"paired"` // of each other run with the first, where both had the same batches
}

// Key is a key of the recipe with its value in each run.
type Key struct {
	Name   string `json:"key"`
	Values []any  `json:"values"`
}

// Paired is the difference of two runs' losses over the steps that both have logged: later − first.
// Both had the same batches, so what the batches do to the loss cancels out.
type Paired struct {
	Folder string  `json:"folder"`
	Steps  int     `json:"steps"`
	Mean   float64 `json:"mean"`
	// Low and High bound the mean with 95 % confidence, by the means of 20 blocks of neighbouring
	// steps, which depend on each other little where single steps do much; equal to Mean where
	// there are fewer steps than two a block.
	Low  float64 `json:"low"`
	High float64 `json:"high"`
	// Lower is the part of the steps, 0 to 1, at which this run's loss was lower.
	Lower float64 `json:"lower"`
}

// ofPlace are keys that say where and not what.
var ofPlace = []string{"name", "claim", "source", "hardware", "measured"}

// Compare compares runs, two or more.
func Compare(runs ...*Run) *Comparison {
	c := &Comparison{Runs: runs, Keys: differing(runs), Paired: []Paired{}}
	for _, r := range runs[1:] {
		if r.RunDigest != "" && r.RunDigest == runs[0].RunDigest {
			if p, ok := paired(runs[0], r); ok {
				c.Paired = append(c.Paired, p)
			}
		}
	}
	return c
}

func differing(runs []*Run) []Key {
	out := []Key{}
	kind := reflect.TypeFor[recipe.Recipe]()
	for i := range kind.NumField() {
		name, _, _ := strings.Cut(kind.Field(i).Tag.Get("yaml"), ",")
		if name == "" || name == "-" || slices.Contains(ofPlace, name) {
			continue
		}
		k := Key{Name: name}
		same, follows := true, true
		for _, r := range runs {
			k.Values = append(k.Values, reflect.ValueOf(r.Resolved).Elem().Field(i).Interface())
			follows = follows && r.Resolved.Follows(name)
			same = same && reflect.DeepEqual(k.Values[0], k.Values[len(k.Values)-1])
		}
		if !same && !follows {
			out = append(out, k)
		}
	}
	return out
}

// blocks are the means that the interval is made of.
const blocks = 20

func paired(a, b *Run) (Paired, bool) {
	losses := map[int64]float64{}
	for _, l := range a.Lines {
		losses[l.Step] = l.Loss
	}
	var d []float64
	lower := 0
	for _, l := range b.Lines {
		was, ok := losses[l.Step]
		if v := l.Loss - was; ok && !math.IsNaN(v) && !math.IsInf(v, 0) {
			d = append(d, v)
			if v < 0 {
				lower++
			}
		}
	}
	if len(d) == 0 {
		return Paired{}, false
	}
	p := Paired{Folder: b.Folder, Steps: len(d), Mean: mean(d), Lower: float64(lower) / float64(len(d))}
	p.Low, p.High = p.Mean, p.Mean
	if len(d) >= 2*blocks {
		means := make([]float64, blocks)
		for i := range means {
			means[i] = mean(d[i*len(d)/blocks : (i+1)*len(d)/blocks])
		}
		_, half := recipe.Interval(means)
		p.Low, p.High = p.Mean-half, p.Mean+half
	}
	return p, true
}

// Interval is the interval for people.
func (p *Paired) Interval() string {
	if p.Low == p.High {
		return "too few steps for an interval"
	}
	return fmt.Sprintf("95 %%: %+.4f to %+.4f", p.Low, p.High)
}

func mean(x []float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += v
	}
	return sum / float64(len(x))
}

// Names are short names of the runs: the ends of their folders that tell them apart.
func Names(runs []*Run) []string {
	out := make([]string, len(runs))
	for n := 1; n < 8; n++ {
		for i, r := range runs {
			parts := strings.Split(filepath.ToSlash(filepath.Clean(r.Folder)), "/")
			out[i] = strings.Join(parts[max(0, len(parts)-n):], "/")
		}
		if sorted := slices.Sorted(slices.Values(out)); len(slices.Compact(sorted)) == len(out) {
			break
		}
	}
	return out
}
