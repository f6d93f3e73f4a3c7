package ingest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"

	"resslt/ingest/store"
	"resslt/schemas"
	"resslt/schemas/bounded/boundedyaml"
	"resslt/schemas/errs"
)

// A mixture is several data sets that a run draws from by weight:
//
//	mix:0.7*wds:s3://b/train-{000..999}.tar+0.3*parquet:photos
//	mix:FILE.yaml
//
//	sets:
//	  - data: wds:s3://b/train-{000..999}.tar
//	    weight: 0.7
//	  - data: folder:photos
//	    weight: 0.3
//	    name: photos          # in keys, messages and the summary; default its number from 0
//	    split: val            # when the mixture's train split is opened; default train
//
// Its samples are those of all sets, in this order, and an epoch draws as many. Where no set
// has a weight, all samples count alike. See mixorder.go for the order.

func init() {
	// Here and not in the table, which Open reads: a mixture opens other sets.
	formats = append(formats, format{Scheme{"mix", "mix:W*URI+W*URI", "several data sets, drawn from by weight; or mix:FILE.yaml, which lists them"}, 0, openMix})
}

// mixPart is one set as the user has it.
type mixPart struct {
	Data   string   `yaml:"data"`
	Weight *float64 `yaml:"weight"`
	Name   string   `yaml:"name"`
	Split  string   `yaml:"split"`
}

const (
	mixOp   = "open mix"
	mixHint = "write W*URI+W*URI, such as mix:0.7*folder:a+0.3*wds:b, or name a YAML file that has a list of sets, each with data and weight"

	// minMixWeight keeps the repeats of a small set, and so ids, within 64 bits.
	minMixWeight = 1e-6
)

// mixSeparator ends a set's URI: a + that a weight and a scheme follow. Others are part of
// names.
var mixSeparator = regexp.MustCompile(`\+([0-9.eE-]+)\*[a-z][a-z0-9-]*:`)

// mixName is what a set may be called: its name begins keys, "photos/cat/1.jpg".
var mixName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// mixFirst begins a mixture that is written out.
var mixFirst = regexp.MustCompile(`^[^*/+:]*\*[a-z][a-z0-9-]*:`)

func mixUsage(place, why string) error {
	return errs.New(mixOp, place, mixHint, errs.Because(errs.ErrUsage, why))
}

// mixParts are the sets that the place of a mixture names.
func mixParts(ctx context.Context, place string, opt Options) (parts []mixPart, err error) {
	switch {
	case mixFirst.MatchString(place):
		if parts, err = parseMix(place); err != nil {
			return nil, err
		}
	case strings.HasSuffix(place, ".yaml"), strings.HasSuffix(place, ".yml"):
		if parts, err = readMix(ctx, place, opt); err != nil {
			return nil, err
		}
	default:
		return nil, mixUsage(place, "neither a set with a weight nor a YAML file")
	}
	return parts, checkMix(place, parts)
}

// cutMix cuts "0.7*wds:a+0.3*folder:b" into its sets, each with its weight.
func cutMix(place string) (parts []string) {
	for {
		at := mixSeparator.FindStringIndex(place)
		if at == nil {
			return append(parts, place)
		}
		parts = append(parts, place[:at[0]])
		place = place[at[0]+1:]
	}
}

func parseMix(place string) (parts []mixPart, err error) {
	for _, part := range cutMix(place) {
		weight, uri, _ := strings.Cut(part, "*")
		w, err := strconv.ParseFloat(weight, 64)
		if err != nil {
			return nil, mixUsage(place, fmt.Sprintf("the weight %q is no number", weight))
		}
		parts = append(parts, mixPart{Data: uri, Weight: &w})
	}
	return parts, nil
}

// readMix reads a YAML file.
func readMix(ctx context.Context, path string, opt Options) ([]mixPart, error) {
	fail := func(err error) error { return errs.New(mixOp, path, mixHint, err) }
	f, err := openFile(ctx, opt.files, mixOp, path, "name a file that can be read")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if f.size > boundedyaml.MaxBytes {
		return nil, fail(errs.Because(errs.ErrTooLarge, fmt.Sprintf("%d bytes", f.size)))
	}
	raw := make([]byte, f.size)
	if _, err := f.ReadAt(ctx, raw, 0); err != nil {
		return nil, fileError(mixOp, path, mixHint, err)
	}
	if _, err := boundedyaml.Parse(raw); errors.Is(err, errs.ErrTooLarge) {
		return nil, fail(err)
	} else if err != nil {
		return nil, fail(errs.BecauseErr(errs.ErrUsage, err))
	}
	var file struct {
		Sets []mixPart `yaml:"sets"`
	}
	err = boundedyaml.Protect(func() error { return yaml.UnmarshalWithOptions(raw, &file, yaml.Strict()) })
	if err != nil {
		line, _, _ := strings.Cut(err.Error(), "\n") // the parser draws the place below
		return nil, fail(errs.Because(errs.ErrUsage, line))
	}
	for i := range file.Sets {
		file.Sets[i].Data = besideFile(path, file.Sets[i].Data)
	}
	return file.Sets, nil
}

// besideFile is a data URI that a file names, seen from where the program runs: what is
// relative is beside the file.
func besideFile(file, uri string) string {
	scheme, place, ok := strings.Cut(uri, ":")
	if !ok || place == "" || store.Remote(place) || filepath.IsAbs(store.Local(place)) {
		return uri
	}
	dir := filepath.Dir(store.Local(file))
	if store.Remote(file) {
		dir = file[:strings.LastIndexByte(file, '/')]
	}
	return scheme + ":" + store.Join(dir, place)
}

func checkMix(place string, parts []mixPart) error {
	weighted, names := 0, map[string]bool{}
	for i := range parts {
		p := &parts[i]
		if p.Name == "" {
			p.Name = strconv.Itoa(i)
		}
		switch {
		case p.Data == "":
			return mixUsage(place, fmt.Sprintf("set %s has no data", p.Name))
		case strings.HasPrefix(p.Data, "mix:"):
			return mixUsage(place, fmt.Sprintf("set %s is a mixture: write its sets here, with their weights multiplied", p.Name))
		case !mixName.MatchString(p.Name):
			return mixUsage(place, fmt.Sprintf("the name %q has other characters than letters, digits, '-' and '_', or over 64", p.Name))
		case names[p.Name]:
			return mixUsage(place, fmt.Sprintf("two sets are called %s", p.Name))
		}
		names[p.Name] = true
		if p.Weight != nil {
			weighted++
			if w := *p.Weight; !(w > 0) || math.IsInf(w, 0) {
				return mixUsage(place, fmt.Sprintf("set %s has the weight %g, which is not above 0", p.Name, w))
			}
		}
	}
	switch {
	case len(parts) < 2 || len(parts) > schemas.MaxMixedSets:
		return mixUsage(place, fmt.Sprintf("it has %d sets, not 2 to %d", len(parts), schemas.MaxMixedSets))
	case weighted != 0 && weighted != len(parts):
		return mixUsage(place, fmt.Sprintf("%d of %d sets have a weight: give all of them one, or none", weighted, len(parts)))
	}
	return nil
}

// openMix opens all sets.
func openMix(ctx context.Context, place string, opt Options) (_ Source, err error) {
	parts, err := mixParts(ctx, place, opt)
	if err != nil {
		return nil, err
	}
	s := &mixSource{}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.closeSets())
		}
	}()
	for _, p := range parts {
		own := opt
		own.files = nil // each set closes its own
		if p.Split != "" && opt.splitOrTrain() == Train {
			own.Split = p.Split
		}
		src, err := Open(ctx, p.Data, own)
		if err != nil {
			return nil, fmt.Errorf("set %s of the mixture: %w", p.Name, err)
		}
		s.sets = append(s.sets, mixedSource{Source: src, name: p.Name, uri: p.Data})
	}
	if err := opt.files.Close(); err != nil { // it has read the list
		return nil, err
	}
	return s, s.join(place, opt.splitOrTrain(), parts)
}

// absoluteMix is the place of a mixture as Absolute has it.
func absoluteMix(place string) (string, error) {
	if !mixFirst.MatchString(place) {
		return store.Abs(place)
	}
	parts := cutMix(place)
	for i, part := range parts {
		weight, uri, _ := strings.Cut(part, "*")
		abs, err := Absolute(uri)
		if err != nil {
			return "", err
		}
		parts[i] = weight + "*" + abs
	}
	return strings.Join(parts, "+"), nil
}

// quotas are the draws of an epoch of n from each set, by their weights: they add up to n,
// and each is its share rounded down or up (the largest remainders are).
func quotas(n int64, weights []float64) ([]int64, error) {
	var total float64
	for _, w := range weights {
		total += w
	}
	out, rest := make([]int64, len(weights)), make([]float64, len(weights))
	left := n
	for c, w := range weights {
		share := float64(w/total) * float64(n)
		out[c] = int64(share)
		rest[c] = share - float64(out[c])
		left -= out[c]
	}
	for ; left > 0; left-- {
		most := 0
		for c := range rest {
			if rest[c] > rest[most] {
				most = c
			}
		}
		out[most]++
		rest[most]--
	}
	for c, w := range weights {
		if out[c] < 1 || w/total < minMixWeight {
			return nil, fmt.Errorf("%w: the weight %g of %g is no draw of an epoch of %d samples, or below one in a million", errs.ErrUsage, w, total, n)
		}
	}
	return out, nil
}
