package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/ipc"

	"resslt/cmd/internal/cli"
	"resslt/cmd/internal/pipeline"
	"resslt/schemas"
	"resslt/schemas/bounded"
	"resslt/schemas/durable"
	"resslt/schemas/errs"
	"resslt/train/torch"
)

// partRows are the images of a part: a whole number of batches, so that the
// encoder sees the same batches whether it was stopped in between or not.
const partRows = 16 * 256

// embedPlan is everything that features depend on. Parts of another plan are not
// continued.
type embedPlan struct {
	Encoder string     `json:"encoder"` // SHA-256 over the weights
	Data    string     `json:"data"`    // digest of the manifest
	Engine  string     `json:"engine"`  // renderer of the pixels
	Split   string     `json:"split"`
	Size    int        `json:"size"`
	Crop    float64    `json:"crop"`
	SkipBad bool       `json:"skip_bad"`
	Mean    [3]float64 `json:"mean"`
	Std     [3]float64 `json:"std"`
	Dim     int        `json:"dim"`
	Device  string     `json:"device"`
	Torch   string     `json:"torch"`
	Threads int        `json:"threads"` // another number gives other last bits
}

// maxPartBytes bounds a part: 4096 rows of features and long names.
const maxPartBytes = 1 << 30

// parts are the features taken so far: a folder with plan.json and, for every partRows
// images, a whole file in Arrow's IPC format.
type parts struct {
	dir  string
	plan embedPlan
	rows int64 // images that are done, bad ones included
	kept int64 // of them, those that have features
	told int   // of images.Bad, those that are kept in a file
}

func partsError(dir string, err error) error {
	return errs.New("keep features in", dir, "make it writable, free some space, or choose another --out", errs.BecauseErr(errs.ErrUnavailable, err))
}

// openParts finds what an earlier process has done, or starts afresh.
func openParts(dir string, enc encoder, images *pipeline.Images, o pipeline.ImageOptions) (*parts, error) {
	weights, err := enc.digest()
	if err != nil {
		return nil, err
	}
	info, err := torch.Info()
	if err != nil {
		return nil, err
	}
	p := &parts{dir: dir, plan: embedPlan{
		Encoder: weights, Data: images.Manifest().Digest(), Engine: pipeline.ImageEngine(images.Manifest()).Name(), Split: images.Manifest().Split, Size: o.Size, Crop: o.Fraction, SkipBad: o.SkipBad,
		Mean: enc.info.Mean, Std: enc.info.Std, Dim: int(enc.FeatureDim()), Device: enc.device.String(), Torch: info.TorchVersion, Threads: info.Threads,
	}}
	want, err := json.MarshalIndent(p.plan, "", "  ")
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, partsError(dir, err)
	}
	have, err := bounded.ReadFile(filepath.Join(dir, "plan.json"), 64<<10)
	if errors.Is(err, fs.ErrNotExist) {
		return p, p.begin(want, images)
	}
	if err != nil {
		return nil, partsError(dir, err)
	}
	if p.rows, p.kept, err = p.done(images.Len()); err != nil {
		return nil, err
	}
	if d := p.differences(have, images); len(d) > 0 && p.has() {
		return nil, errs.New("continue from", dir, "embed with the settings that it was started with, delete it, or choose another --out",
			errs.Because(errs.ErrMismatch, d.Text("it was started with")))
	}
	images.SkipTo(p.rows)
	if bytes.Equal(have, want) {
		return p, nil
	}
	return p, p.begin(want, images)
}

// begin writes what the features depend on.
func (p *parts) begin(plan []byte, images *pipeline.Images) error {
	if err := images.Dataset().Keep(p.dir); err != nil {
		return err
	}
	return durable.WriteFile(filepath.Join(p.dir, "plan.json"), plan)
}

// has reports whether there is a part.
func (p *parts) has() bool {
	found, err := filepath.Glob(filepath.Join(p.dir, "part-*.arrow"))
	return err != nil || len(found) > 0
}

// done counts the rows of the parts, and those of them that have features. Parts of another
// width count for nothing: differences names it.
func (p *parts) done(most int64) (rows, kept int64, err error) {
	for ; rows < most; rows = min(rows+partRows, most) {
		err := p.read(rows, func(rec arrow.Record) error { kept += rec.NumRows(); return nil })
		if errors.Is(err, errs.ErrNotFound) || errors.Is(err, errs.ErrMismatch) {
			break
		}
		if err != nil {
			return 0, 0, err
		}
	}
	return rows, kept, nil
}

// differences lists in what the plan differs from the one that the parts were made by, have.
// Parts without a bad image are the same whether these are skipped or not.
func (p *parts) differences(have []byte, images *pipeline.Images) (d schemas.Differences) {
	var was embedPlan
	if err := json.Unmarshal(have, &was); err != nil {
		return schemas.Differences{{Key: "plan.json", Is: "whole", Was: "a damaged one"}}
	}
	if was.Data != p.plan.Data {
		if then := pipeline.KeptDataset(p.dir, was.Data); then != nil {
			d = images.Manifest().Differences(then.Manifest)
		}
		if len(d) == 0 {
			d.Add("data", fmt.Sprintf("%.12s", p.plan.Data), fmt.Sprintf("%.12s", was.Data))
		}
	}
	is, then := reflect.ValueOf(p.plan), reflect.ValueOf(was)
	for i := range is.NumField() {
		key := is.Type().Field(i).Tag.Get("json")
		switch {
		case key == "data" || key == "split" && len(d) > 0:
		case key == "skip_bad" && (p.plan.SkipBad || p.kept == p.rows):
		case key == "encoder":
			d.Add("the encoder's weights", fmt.Sprintf("%.12s", p.plan.Encoder), fmt.Sprintf("%.12s", was.Encoder))
		default:
			d.Add(key, is.Field(i).Interface(), then.Field(i).Interface())
		}
	}
	return d
}

// file is the part that begins at a row, by the digest of its bytes; "*" finds it.
func (p *parts) file(row int64, digest string) string {
	return filepath.Join(p.dir, fmt.Sprintf("part-%08d-%s.arrow", row/partRows, digest))
}

// partDigest detects a part whose bytes have changed, before Arrow trusts them.
func partDigest(raw []byte) string {
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:16])
}

// finish makes the missing parts, and tells count how many images are done.
func (p *parts) finish(ctx context.Context, enc encoder, images *pipeline.Images, count func(done int64)) error {
	for p.rows < images.Len() {
		from, to := p.rows, min(p.rows+partRows, images.Len())
		count(from)
		x, err := embed(ctx, enc, images, to, func(n int) { count(from + int64(n)) })
		if err != nil {
			return err
		}
		if err := p.skip(from, images); err != nil {
			return err
		}
		var part bytes.Buffer
		if err := x.write(&part); err != nil {
			return err
		}
		if err := durable.WriteFile(p.file(from, partDigest(part.Bytes())), part.Bytes()); err != nil {
			return err
		}
		p.rows, p.kept = to, p.kept+int64(len(x.keys))
	}
	count(p.rows)
	if p.kept == 0 {
		return errs.New("embed", "", "give a data set with images", errs.Because(errs.ErrUsage, fmt.Sprintf("%d images, and none could be decoded", p.rows)))
	}
	return nil
}

// skip keeps which images were skipped, before the part without them.
func (p *parts) skip(row int64, images *pipeline.Images) error {
	var lines []string
	for _, b := range images.Bad[p.told:] {
		lines = append(lines, fmt.Sprintf("%s: %s", cli.Printable(b.Key), cli.Printable(b.Reason())))
	}
	p.told = len(images.Bad)
	if lines == nil {
		return nil
	}
	return durable.WriteFile(p.skipFile(row), []byte(strings.Join(lines, "\n")+"\n"))
}

func (p *parts) skipFile(row int64) string {
	return filepath.Join(p.dir, fmt.Sprintf("skipped-%08d.txt", row/partRows))
}

// mostNamed is how many skipped images are named.
const mostNamed = 20

// sayBad names the images that are skipped so far, by this process and those before it.
func (p *parts) sayBad(w io.Writer) {
	bad := p.rows - p.kept
	said := int64(0)
	for row := int64(0); row < p.rows && said < mostNamed; row += partRows {
		raw, err := bounded.ReadFile(p.skipFile(row), 64<<20)
		if err != nil {
			continue // none were skipped, or by an older build
		}
		for line := range strings.Lines(string(raw)) {
			if said++; said > mostNamed {
				break
			}
			fmt.Fprintf(w, "skipped %s\n", strings.TrimSpace(line))
		}
	}
	if said = min(said, mostNamed); said > 0 && bad > said {
		fmt.Fprintf(w, "and %d more\n", bad-said)
	}
}

// read gives the record batches of the part that begins at a row.
func (p *parts) read(row int64, do func(arrow.Record) error) error {
	found, err := fs.Glob(os.DirFS(p.dir), filepath.Base(p.file(row, "*")))
	if err != nil || len(found) == 0 {
		return errs.New("read features", p.file(row, "*"), "embed again", errs.ErrNotFound)
	}
	path := filepath.Join(p.dir, found[0])
	raw, err := bounded.ReadFile(path, maxPartBytes)
	if err != nil {
		return partsError(path, err)
	}
	if path != p.file(row, partDigest(raw)) {
		return errs.New("read features", path, "delete it and embed again", errs.Because(errs.ErrCorrupt, "its bytes have changed since they were written"))
	}
	r, err := ipc.NewFileReader(bytes.NewReader(raw))
	if err != nil {
		return errs.New("read features", path, "delete it and embed again", errs.BecauseErr(errs.ErrCorrupt, err))
	}
	defer r.Close()
	if !r.Schema().Equal(featureSchema(p.plan.Dim)) {
		return errs.New("read features", path, "delete it and embed again", errs.Because(errs.ErrMismatch, "it has other columns"))
	}
	for i := range r.NumRecords() {
		rec, err := r.Record(i)
		if err != nil {
			return errs.New("read features", path, "delete it and embed again", errs.BecauseErr(errs.ErrCorrupt, err))
		}
		if err := do(rec); err != nil {
			return err
		}
	}
	return nil
}

// each gives the record batches of all parts, in order.
func (p *parts) each(do func(arrow.Record) error) error {
	for row := int64(0); row < p.rows; row += partRows {
		if err := p.read(row, do); err != nil {
			return err
		}
	}
	return nil
}

// remove deletes the parts: the file that was asked for has them all.
func (p *parts) remove() error {
	if err := os.RemoveAll(p.dir); err != nil {
		return partsError(p.dir, err)
	}
	return nil
}
