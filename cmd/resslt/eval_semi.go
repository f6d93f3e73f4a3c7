package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math"
	"path"
	"strings"

	"github.com/spf13/cobra"

	"resslt/cmd/internal/cli"
	"resslt/cmd/internal/pipeline"
	"resslt/cmd/internal/session"
	"resslt/schemas/bounded"
	"resslt/schemas/errs"
	"resslt/train/eval"
)

// semiOptions are the flags of resslt eval semi.
type semiOptions struct {
	labels     float64
	list       string
	names      []listedName // of the list
	mode       string
	augmented  bool
	epochs     int
	batch      int
	lr, headLR float64
}

const (
	modeFrozen   = "frozen"
	modeFineTune = "finetune"
)

func newSemiCommand() *cobra.Command {
	var f evalFlags
	var o semiOptions
	c := &cobra.Command{
		Use: "semi --checkpoint FILE --data URI", Short: "train on a few labels: 1 % frozen, 10 % fine-tuned (Tables 10 and 14)",
		Long: `semi trains on a fraction of the labels, drawn class by class by --seed, or on the
images that --list names (SimCLR's file lists: one name a line, such as
n01440764_10074.JPEG).

  1 %    frozen: the classifier alone, lr 0.1, 60 epochs
  10 %   finetune: backbone lr 0.02, classifier lr 0.2, 20 epochs

Both by SGD with momentum 0.9, no decay, a cosine, and random crops and flips.`,
		Example: `  resslt eval semi --checkpoint runs/mine/encoder.safetensors --data cifar10:DIR --labels 0.1
  resslt eval semi --checkpoint resnet50.safetensors --data folder:imagenet --eval-split val --list 1percent.txt --mode frozen`,
		RunE: func(c *cobra.Command, _ []string) error {
			if !(o.labels > 0 && o.labels < 1) {
				return errs.New("--labels", fmt.Sprint(o.labels), "give a fraction between 0 and 1, such as 0.01", errs.ErrUsage)
			}
			if o.list != "" && c.Flags().Changed("labels") {
				return errs.New("--labels", fmt.Sprint(o.labels), "give one of the two", errs.Because(errs.ErrUsage, "--list says which images have labels"))
			}
			if o.mode != "" && o.mode != modeFrozen && o.mode != modeFineTune {
				return errs.New("--mode", o.mode, "give frozen or finetune", errs.ErrUsage)
			}
			if f.features != "" {
				return errs.New("--features", f.features, "give --checkpoint and --data", errs.Because(errs.ErrUsage, "semi augments images, and trains the encoder"))
			}
			e, err := f.open(c, "semi")
			if err != nil {
				return err
			}
			if err := o.readList(c.Context(), e); err != nil {
				return err
			}
			o.defaults(c)
			e.unlessDefault(c, "epochs", "batch-size", "lr", "head-lr", "augment")
			if want := modeFor(o.labels); o.mode != want {
				e.unlike = append(e.unlike, "--mode "+o.mode)
			}
			r, err := semi(c.Context(), e, o)
			if err != nil {
				return err
			}
			set := e.result.Settings
			set["labels"], set["mode"], set["epochs"], set["batch_size"], set["lr"], set["head_lr"] = o.labels, o.mode, o.epochs, o.batch, o.lr, o.headLR
			set["augmented"] = o.augmented
			if o.list != "" {
				set["list"] = path.Base(o.list)
			}
			e.accuracy(fmt.Sprintf("_%g%%", 100*o.labels), r)
			return e.finish()
		},
	}
	f.register(c)
	p := c.Flags()
	p.Float64Var(&o.labels, "labels", 0.01, "fraction of the labels")
	p.StringVar(&o.list, "list", "", "`file` that names the labelled images, in place of --labels")
	p.StringVar(&o.mode, "mode", "", "frozen or finetune (default frozen up to 5 % of the labels)")
	cli.Choices(p, []string{"frozen", "finetune"}, "mode")
	p.BoolVar(&o.augmented, "augment", true, "random crops and flips; without, frozen alone trains on un-augmented features")
	p.IntVar(&o.epochs, "epochs", 60, "epochs (default 60 frozen, 20 fine-tuned)")
	p.IntVar(&o.batch, "batch-size", 256, "images an update; the paper gives none")
	p.Float64Var(&o.lr, "lr", 0.02, "learning rate of the backbone, when fine-tuned")
	p.Float64Var(&o.headLR, "head-lr", 0.1, "learning rate of the classifier (default 0.1 frozen, 0.2 fine-tuned)")
	return c
}

// mostFrozen is the largest fraction of labels with which the encoder stays frozen.
const mostFrozen = 0.05

// modeFor is the paper's mode for a fraction of the labels.
func modeFor(labels float64) string {
	if labels > mostFrozen {
		return modeFineTune
	}
	return modeFrozen
}

// readList reads --list, and takes its share of the images for the fraction: 1 % and 10 % where
// it is near them, since lists of whole images a class are never that to the last digit.
func (o *semiOptions) readList(ctx context.Context, e *evaluation) error {
	if o.list == "" {
		return nil
	}
	var err error
	if o.names, err = readNames(o.list); err != nil {
		return err
	}
	src, err := e.openData(ctx, e.split)
	if err != nil {
		return err
	}
	o.labels = float64(len(o.names)) / float64(max(1, src.Len()))
	for _, round := range []float64{0.01, 0.1} {
		if math.Abs(o.labels/round-1) < 0.05 {
			o.labels = round
		}
	}
	return src.Close()
}

// defaults fills what depends on the fraction and on the mode.
func (o *semiOptions) defaults(c *cobra.Command) {
	if o.mode == "" {
		o.mode = modeFor(o.labels)
	}
	tuned := o.mode == modeFineTune
	if !c.Flags().Changed("epochs") && tuned {
		o.epochs = 20
	}
	if !c.Flags().Changed("head-lr") && tuned {
		o.headLR = 0.2
	}
	if !tuned {
		o.lr = 0
	}
}

// semi trains the classifier, and the encoder where that is fine-tuned.
func semi(ctx context.Context, e *evaluation, o semiOptions) (r eval.LinearResult, err error) {
	linear := eval.LinearOptions{Epochs: o.epochs, BatchSize: o.batch, LR: o.headLR, Cosine: true, Seed: e.seed, Progress: e.epochs("classifier")}
	tune := eval.FineTuneOptions{Epochs: o.epochs, LR: o.lr, HeadLR: o.headLR, Seed: e.seed, Progress: e.epochs("fine-tuning")}
	if err := errors.Join(linear.Validate(), tune.Validate()); err != nil {
		return r, err
	}
	if !o.augmented {
		if o.mode != modeFrozen {
			return r, errs.New("--augment=false", o.mode, "use --mode frozen", errs.Because(errs.ErrUsage, "fine-tuning trains on images"))
		}
		return semiOnFeatures(ctx, e, o, linear)
	}
	err = e.withViews(ctx, o.choose(e.seed), o.batch, func(v *pipeline.Views) error {
		if o.mode == modeFrozen {
			score, err := e.set(ctx, scoreOn, e.evalSplit)
			if err != nil {
				return err
			}
			r, err = eval.LinearOnViews(ctx, e.enc, v, score, e.enc.options(), linear)
			return err
		}
		score := func(ctx context.Context) (eval.SourceCloser, error) {
			images, err := session.OpenEvalImages(ctx, e.data, e.evalSplit, e.enc.info, e.enc.view, e.most, pipeline.HoldOut{})
			if err != nil {
				return nil, e.withoutSplit(ctx, e.evalSplit, err)
			}
			e.result.Splits = append(e.result.Splits, eval.Split{Role: string(scoreOn), Name: e.evalSplit, Images: int(images.Len()), Digest: images.Manifest().Digest()})
			return images, nil
		}
		var err error
		r, err = eval.FineTune(ctx, e.enc, v, score, e.enc.options(), tune)
		return err
	})
	return r, err
}

// semiOnFeatures is the frozen classifier on features of un-augmented images.
func semiOnFeatures(ctx context.Context, e *evaluation, o semiOptions, linear eval.LinearOptions) (r eval.LinearResult, err error) {
	src, err := e.openData(ctx, e.split)
	if err != nil {
		return r, err
	}
	labels, err := pipeline.ReadLabels(ctx, src, e.most)
	if err := errors.Join(err, src.Close()); err != nil {
		return r, err
	}
	chosen, err := o.choose(e.seed)(labels)
	if err != nil {
		return r, err
	}
	fit, score, err := e.pair(ctx)
	if err != nil {
		return r, err
	}
	row := make(map[int64]int, fit.Len())
	for i, id := range fit.IDs {
		row[id] = i
	}
	var rows []int
	for _, id := range chosen {
		if i, ok := row[id]; ok { // an image that cannot be decoded has no features
			rows = append(rows, i)
		}
	}
	few, err := fit.Select(rows)
	if err != nil {
		return r, err
	}
	defer few.Free()
	e.result.Splits[0].Images = few.Len()
	return eval.Linear(ctx, few, score, linear)
}

// choose picks the labelled images, by draw or by list.
func (o *semiOptions) choose(seed uint64) func(*pipeline.Labels) ([]int64, error) {
	return func(l *pipeline.Labels) ([]int64, error) {
		if o.list != "" {
			return o.listed(l)
		}
		rows, err := eval.Stratified(l.Class, o.labels, seed)
		if err != nil {
			return nil, err
		}
		ids := make([]int64, len(rows))
		for i, r := range rows {
			ids[i] = l.ID[r]
		}
		return ids, nil
	}
}

// listed finds the images that the list names, by key or by the last part of the key.
func (o *semiOptions) listed(l *pipeline.Labels) ([]int64, error) {
	byName := make(map[string]int, len(l.Key))
	for i, key := range l.Key {
		byName[key], byName[path.Base(key)] = i, i
	}
	ids := make([]int64, len(o.names))
	for at, n := range o.names {
		where := fmt.Sprintf("%s:%d", o.list, n.line)
		i, ok := byName[n.name]
		if !ok {
			return nil, errs.New("read list", where, "use a list of this data set",
				errs.Because(errs.ErrMismatch, fmt.Sprintf("%q is none of the %d images", n.name, len(l.Key))))
		}
		if l.Class[i] < 0 {
			return nil, errs.New("read list", where, "give labelled images", errs.Because(errs.ErrUsage, n.name+" has no label"))
		}
		ids[at] = l.ID[i]
	}
	return ids, nil
}

// listedName is a name in a list, and its line.
type listedName struct {
	name string
	line int
}

// readNames reads a text of one name a line.
func readNames(file string) ([]listedName, error) {
	f, err := bounded.Open(file)
	if err != nil {
		return nil, errs.New("read list", file, "name an existing file", errs.BecauseErr(errs.ErrNotFound, err))
	}
	defer f.Close()
	var names []listedName
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		if name := strings.TrimSpace(lines.Text()); name != "" {
			names = append(names, listedName{name, n})
		}
	}
	if err := lines.Err(); err != nil {
		return nil, errs.New("read list", file, "give a text of one name a line", errs.BecauseErr(errs.ErrCorrupt, err))
	}
	if len(names) == 0 {
		return nil, errs.New("read list", file, "name one image or more", errs.Because(errs.ErrUsage, "it is empty"))
	}
	return names, nil
}
