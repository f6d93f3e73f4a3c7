package eval_test

import (
	"cmp"
	"context"
	"errors"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"

	"resslt/schemas"
	"resslt/schemas/errs"
	"resslt/schemas/racetest"
	"resslt/train/backbone"
	"resslt/train/eval"
	"resslt/train/nn"
	"resslt/train/nn/nntest"
	"resslt/train/torch"
)

// sets are the fixture's features and reference results.
func sets(t *testing.T) (train, test *eval.Set, want map[string]float64) {
	t.Helper()
	nntest.Torch(t)
	fix := nntest.Load(t, "eval")
	fix.Meta(&want)
	load := func(name string) *eval.Set {
		var labels []int32
		for _, l := range fix.Int64s(name + ".labels") {
			labels = append(labels, int32(l))
		}
		x := fix.Float32s(name)
		s, err := eval.NewSet(x, len(x)/len(labels), labels, torch.CPU)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	return load("train"), load("test"), want
}

// clearVotes fails the test unless every image's winner is certain in fp32: in float64 its
// lead is larger than the effect of an error of off in every cosine and of one neighbour
// that may be in or out of the k.
func clearVotes(t *testing.T, train, test *eval.Set, ks []int, off float64) {
	t.Helper()
	unit := func(s *eval.Set) (rows [][]float64) {
		var x []float32
		nntest.Do(t, func() { x = s.X.Float32s() })
		for i := 0; i < len(x); i += s.Dim {
			row, sum := make([]float64, s.Dim), 0.0
			for j := range row {
				row[j] = float64(x[i+j])
				sum += row[j] * row[j]
			}
			for j := range row {
				row[j] /= math.Sqrt(sum)
			}
			rows = append(rows, row)
		}
		return rows
	}
	a, b := unit(train), unit(test)
	least := math.Inf(1)
	for i, q := range b {
		type near struct {
			cos   float64
			label int32
		}
		all := make([]near, len(a))
		for j, x := range a {
			for d := range x {
				all[j].cos += x[d] * q[d]
			}
			all[j].label = train.Labels[j]
		}
		slices.SortFunc(all, func(x, y near) int { return cmp.Compare(y.cos, x.cos) })
		for _, k := range ks {
			votes, total := map[int32]float64{}, 0.0
			for _, n := range all[:min(k, len(all))] {
				v := math.Exp(n.cos / 0.1)
				votes[n.label] += v
				total += v
			}
			sorted := slices.Sorted(maps.Values(votes))
			lead := sorted[len(sorted)-1]
			if len(sorted) > 1 {
				lead -= sorted[len(sorted)-2]
			}
			can := total * 2 * off / 0.1
			if k < len(all) && all[k-1].cos-all[k].cos < 2*off {
				can += 2 * math.Exp(all[k-1].cos/0.1)
			}
			if least = min(least, lead/can); !(lead > can) {
				t.Errorf("k = %d: the winner of image %d leads by %.2g, and rounding can take %.2g", k, i, lead, can)
			}
		}
	}
	t.Logf("every winner leads by at least %.1f times what rounding can take", least)
}

// TestKNNParity compares with a loop over votes in numpy. The percentages are equal: a
// cosine of 12 dimensions has an error of at most 15 roundings, and no vote is that close.
func TestKNNParity(t *testing.T) {
	racetest.SkipNumbers(t)
	train, test, want := sets(t)
	defer train.Free()
	defer test.Free()
	clearVotes(t, train, test, []int{1, 20, 200, 5000}, 15*nntest.Unit)
	got, err := eval.KNN(train, test, eval.KNNOptions{K: []int{1, 20, 200, 5000}})
	if err != nil {
		t.Fatal(err)
	}
	for k, name := range map[int]string{1: "knn1", 20: "knn20", 200: "knn200", 5000: "knn5000"} {
		if math.Abs(got[k]-want[name]) > 1e-9 {
			t.Errorf("k = %d gives %.3f %%, want %.3f", k, got[k], want[name])
		}
	}
}

// TestLinearParity compares with the same protocol written in numpy.
func TestLinearParity(t *testing.T) {
	racetest.SkipNumbers(t)
	train, test, want := sets(t)
	defer train.Free()
	defer test.Free()
	o := eval.LinearOptions{Epochs: int(want["epochs"]), BatchSize: int(want["batch"]), LR: 1, Seed: uint64(want["seed"])}
	got, err := eval.Linear(context.Background(), train, test, o)
	if err != nil {
		t.Fatal(err)
	}
	if math.Abs(got.Top1-want["top1"]) > 1e-9 || math.Abs(got.Top5-want["top5"]) > 1e-9 || math.Abs(got.TrainTop1-want["train_top1"]) > 1e-9 {
		t.Errorf("top-1 %.3f, top-5 %.3f, training %.3f; want %.3f, %.3f, %.3f",
			got.Top1, got.Top5, got.TrainTop1, want["top1"], want["top5"], want["train_top1"])
	}
	lossParity(t, train, test, o, want["loss"], got.FinalLoss)
	again, err := eval.Linear(context.Background(), train, test, o)
	if err != nil || again != got {
		t.Errorf("a second run gives %+v (%v), the first %+v", again, err, got)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := eval.Linear(ctx, train, test, o); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled probe gives %v", err)
	}
}

// lossParity compares the probe's loss in fp32 with numpy's in float64. The bound comes from
// the same probe on features that differ by an ulp, so that every product of every step
// rounds differently.
func lossParity(tb testing.TB, train, test *eval.Set, o eval.LinearOptions, want, got float64) {
	tb.Helper()
	loss := func(v float64) nntest.Values { return nntest.Values{"loss": {v}} }
	var references []nntest.Values
	for i := range 3 {
		var x []float32
		nntest.Do(tb, func() {
			nudged := torch.Clone(train.X)
			nntest.Nudge(strconv.Itoa(i), nudged)
			x = nudged.Float32s()
		})
		other, err := eval.NewSet(x, train.Dim, train.Labels, torch.CPU)
		if err != nil {
			tb.Fatal(err)
		}
		r, err := eval.Linear(context.Background(), other, test, o)
		other.Free()
		if err != nil {
			tb.Fatal(err)
		}
		references = append(references, loss(r.FinalLoss))
	}
	nntest.NewReference(tb, loss(want), references...).Check(tb, "linear probe", loss(got))
}

// TestMutations: the faults that the parity tests of the probes detect.
func TestMutations(t *testing.T) {
	racetest.SkipNumbers(t)
	train, test, want := sets(t)
	defer train.Free()
	defer test.Free()
	right := eval.LinearOptions{Epochs: int(want["epochs"]), BatchSize: int(want["batch"]), LR: 1, Seed: uint64(want["seed"])}
	var all []nntest.Mutation
	for fault, change := range map[string]func(*eval.LinearOptions){
		"":                             func(*eval.LinearOptions) {},
		"learning rate 1 % off":        func(o *eval.LinearOptions) { o.LR = 1.01 },
		"another order of the samples": func(o *eval.LinearOptions) { o.Seed++ },
		"an epoch missing":             func(o *eval.LinearOptions) { o.Epochs-- },
	} {
		o := right
		change(&o)
		all = append(all, nntest.Mutation{Parity: "linear probe", Fault: fault, Check: func(tb testing.TB) {
			got, err := eval.Linear(context.Background(), train, test, o)
			if err != nil {
				tb.Fatal(err)
			}
			lossParity(tb, train, test, right, want["loss"], got.FinalLoss)
		}})
	}
	nntest.Mutations(t, all)
}

func TestBadSets(t *testing.T) {
	nntest.Torch(t)
	make := func(dim int, labels ...int32) *eval.Set {
		s, err := eval.NewSet(nntest.Formula("x", dim*len(labels), 1, 0), dim, labels, torch.CPU)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Free)
		return s
	}
	good := make(3, 0, 1)
	for _, c := range []struct {
		train, test *eval.Set
		says        string
	}{
		{good, make(4, 0), "3 dimensions"},
		{make(3, 0, schemas.NoLabel), good, "a label is -1"},
		{good, make(3, 1<<20), "a label is 1048576"},
	} {
		_, err := eval.KNN(c.train, c.test, eval.KNNOptions{})
		if !errors.Is(err, errs.ErrUsage) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("kNN gives %v, want a usage error that says %q", err, c.says)
		}
		if _, err := eval.Linear(context.Background(), c.train, c.test, eval.LinearOptions{}); !errors.Is(err, errs.ErrUsage) {
			t.Errorf("the probe gives %v, want a usage error", err)
		}
	}
	if _, err := eval.NewSet(nil, 3, nil, torch.CPU); !errors.Is(err, errs.ErrUsage) {
		t.Errorf("an empty set gives %v", err)
	}
}

// batches is a source of ready-made batches.
type batches []eval.Images

func (b *batches) Next(context.Context) (eval.Images, error) {
	if len(*b) == 0 {
		return eval.Images{}, io.EOF
	}
	m := (*b)[0]
	*b = (*b)[1:]
	return m, nil
}

// source cuts n images of 8×8 into batches of the given sizes.
func source(sizes ...int) *batches {
	n := 0
	for _, s := range sizes {
		n += s
	}
	px, labels := nntest.Pixels("source", n, 8), nntest.Labels("source", n, 5)
	var b batches
	for _, s := range sizes {
		b = append(b, eval.Images{Size: 8, Pixels: px[:s*8*8*3], Labels: labels[:s]})
		px, labels = px[s*8*8*3:], labels[s:]
	}
	return &b
}

// exactFeatures are those of source's n images in float64.
func exactFeatures(t *testing.T, n int) nntest.Values {
	t.Helper()
	b, err := backbone.New("resnet18", backbone.Config{Width: 4, SmallStem: true, Seed: 3, Double: true})
	if err != nil {
		t.Fatal(err)
	}
	defer nn.Free(b)
	out := nntest.Values{}
	nntest.Do(t, func() {
		b.SetTraining(false)
		p, err := nn.NewPixels([3]float64{}, [3]float64{}, nn.Builder{Double: true})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Free()
		x, err := p.Forward(torch.FromUint8(nntest.Pixels("source", n, 8), int64(n), 8, 8, 3))
		if err != nil {
			t.Fatal(err)
		}
		torch.NoGrad(func() { out.Take("features", b.Forward(x)) })
	})
	return out
}

// TestFeatures: the same images in other batches give the same features, which
// only holds in eval mode, and leave the backbone as it was.
func TestFeatures(t *testing.T) {
	nntest.Torch(t)
	b, err := backbone.New("resnet18", backbone.Config{Width: 4, SmallStem: true, Seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	defer nn.Free(b)
	run := func(sizes ...int) []float32 {
		done := 0
		set, err := eval.Features(context.Background(), b, source(sizes...), eval.FeatureOptions{Progress: func(n int) { done = n }})
		if err != nil {
			t.Fatal(err)
		}
		defer set.Free()
		if set.Len() != 12 || set.Dim != 32 || done != 12 {
			t.Fatalf("%d features of %d, progress %d", set.Len(), set.Dim, done)
		}
		var out []float32
		nntest.Do(t, func() { out = set.X.Float32s() })
		return out
	}
	of := func(v []float32) nntest.Values {
		out := nntest.Values{"features": make([]float64, len(v))}
		for i, x := range v {
			out["features"][i] = float64(x)
		}
		return out
	}
	var native nntest.Values
	oneDNN := func(on bool) { nntest.Do(t, func() { torch.SetOneDNN(on) }) }
	oneDNN(false)
	native = of(run(12))
	oneDNN(true)
	ref := nntest.NewReference(t, exactFeatures(t, 12), native)
	ref.Check(t, "one batch", of(run(12)))
	ref.Check(t, "other batches", of(run(5, 6, 1)))
	nntest.Do(t, func() {
		for _, n := range nn.StateDict(b) {
			if strings.HasSuffix(n.Name, "num_batches_tracked") && n.Tensor.Int64s()[0] != 0 {
				t.Errorf("%s has moved", n.Name)
			}
		}
	})
	if _, err := eval.Features(context.Background(), b, &batches{}, eval.FeatureOptions{}); !errors.Is(err, errs.ErrUsage) {
		t.Errorf("an empty source gives %v", err)
	}
	short := &batches{{Size: 8, Pixels: make([]byte, 10), Labels: []int32{0}}}
	if _, err := eval.Features(context.Background(), b, short, eval.FeatureOptions{}); !errors.Is(err, errs.ErrUsage) {
		t.Errorf("a short batch gives %v", err)
	}
}
