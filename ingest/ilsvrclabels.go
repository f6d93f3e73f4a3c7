package ingest

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"

	"resslt/ingest/mat"
	"resslt/schemas/errs"
)

// ilsvrcDevkit reads the labels of the validation's images.
type ilsvrcDevkit struct{ dataDir }

const (
	maxKitBytes = 64 << 20 // of each of the devkit's two files
	maxSynsets  = 100_000
)

// label labels the validation's images, and returns the classes.
func (l ilsvrcDevkit) label(ctx context.Context, x *index, archive string) ([]string, error) {
	truth, meta, err := l.read(ctx)
	if err != nil {
		return nil, err
	}
	vars, err := mat.Read(meta)
	if err != nil {
		return nil, l.fault(ilsvrcMeta, err)
	}
	synsets, err := vars.Structs("synsets", "ILSVRC2012_ID", "WNID", "num_children")
	if err != nil {
		return nil, l.fault(ilsvrcMeta, err)
	}
	ids := map[string]string{} // number in the ground truth → synset
	var classes []string
	for i := range min(synsets.Len(), maxSynsets) {
		id, name, children := synsets.Field(i, "ILSVRC2012_ID"), synsets.Field(i, "WNID"), synsets.Field(i, "num_children")
		if len(id.Numbers) != 1 || name.Kind != mat.Text || len(children.Numbers) != 1 {
			return nil, l.corrupt(ilsvrcMeta, "synset %d has no number, id or children", i+1)
		}
		if children.Numbers[0] == 0 { // the leaves are the classes
			ids[strconv.Itoa(int(id.Numbers[0]))] = name.Text
			classes = append(classes, name.Text)
		}
	}
	slices.Sort(classes)
	at := classIndex(classes)
	lines := strings.Fields(string(truth))
	for id := range x.Samples {
		name := x.name(id)
		stem := strings.TrimSuffix(path.Base(name), path.Ext(name))
		n, err := strconv.Atoi(stem[strings.LastIndexByte(stem, '_')+1:])
		if err != nil || n < 1 || n > len(lines) {
			return nil, errs.New(l.op, archive+"/"+name, "fetch the archive and its devkit again",
				errs.Because(errs.ErrCorrupt, fmt.Sprintf("the image has no line among the %d of %s", len(lines), ilsvrcTruth)))
		}
		synset, ok := ids[lines[n-1]]
		if !ok {
			return nil, l.corrupt(ilsvrcTruth, "line %d is %q, which is none of the %d classes of %s", n, lines[n-1], len(classes), ilsvrcMeta)
		}
		x.labels[id] = at[synset]
	}
	return classes, nil
}

// read reads the ground truth and the meaning of its numbers, from the devkit's
// archive or its folder.
func (l ilsvrcDevkit) read(ctx context.Context) (truth, meta []byte, err error) {
	packed := ilsvrcKit + ".tar.gz"
	have, err := l.has(ctx, packed)
	if err != nil {
		return nil, nil, err
	}
	if !have {
		if truth, err = l.file(ctx, ilsvrcKit+"/data/"+ilsvrcTruth); err != nil {
			return nil, nil, err
		}
		meta, err = l.file(ctx, ilsvrcKit+"/data/"+ilsvrcMeta)
		return truth, meta, err
	}
	b, err := l.file(ctx, packed)
	if err != nil {
		return nil, nil, err
	}
	gz, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, nil, l.corrupt(packed, "%v", err)
	}
	// The size of what is compressed is not known.
	w := newTarWalker(io.LimitReader(gz, 8*maxKitBytes), math.MaxInt64)
	for truth == nil || meta == nil {
		m, err := w.next()
		if errors.Is(err, io.EOF) {
			return nil, nil, l.corrupt(packed, "it lacks %s or %s", ilsvrcTruth, ilsvrcMeta)
		}
		if err != nil {
			return nil, nil, l.corrupt(packed, "%v", err)
		}
		var to *[]byte
		switch path.Base(m.name) {
		case ilsvrcTruth:
			to = &truth
		case ilsvrcMeta:
			to = &meta
		default:
			continue
		}
		if m.size > maxKitBytes {
			return nil, nil, l.corrupt(packed, "%s claims %d bytes", m.name, m.size)
		}
		if *to, err = io.ReadAll(io.LimitReader(w, maxKitBytes)); err != nil {
			return nil, nil, l.corrupt(packed, "%v", err)
		}
	}
	return truth, meta, nil
}
