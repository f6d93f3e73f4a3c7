package eval_test

import (
	"context"
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"

	"resslt/schemas/racetest"
	"resslt/train/eval"
	"resslt/train/nn/nntest"
	"resslt/train/torch"
)

// python is Debian's, which has the peers' packages.
const python = "/usr/bin/python3"

// peer runs a task of testdata/peers.py on two sets. It skips the test if Python lacks the
// module.
func peer(t *testing.T, module, task string, options any, train, test *eval.Set) map[string]any {
	t.Helper()
	if err := exec.Command(python, "-c", "import importlib.util, sys; sys.exit(importlib.util.find_spec('"+module+"') is None)").Run(); err != nil {
		t.Skipf("%s has no %s: install the peers with `make setup-peers`", python, module)
	}
	dir := t.TempDir()
	o, err := json.Marshal(options)
	if err != nil {
		t.Fatal(err)
	}
	args := []string{filepath.Join("testdata", "peers.py"), task, filepath.Join(dir, "o.json")}
	if err := os.WriteFile(args[2], o, 0o644); err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]*eval.Set{"train": train, "test": test} {
		if err := s.Write(filepath.Join(dir, name), nil); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(python, append(args, filepath.Join(dir, "train"), filepath.Join(dir, "test"))...)
	cmd.Env = append(os.Environ(), "OMP_NUM_THREADS=1", "OPENBLAS_NUM_THREADS=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var got map[string]any
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return got
}

// blobs is n features of overlapping classes: rectified, as an encoder's are, with unequal
// variances and classes of unequal size.
func blobs(t testing.TB, name string, n, dim, classes int) *eval.Set {
	t.Helper()
	centre := nntest.Formula("blob centre", classes*dim, 1, 0)
	noise := nntest.Formula(name, n*dim, 3.2, 0)
	labels := nntest.Labels(name+" label", n, classes*(classes+1)/2)
	x := make([]float32, n*dim)
	for i := range labels {
		// 0; 1, 1; 2, 2, 2; …: class c is c+1 times as frequent as class 0.
		labels[i] = int32((math.Sqrt(8*float64(labels[i])+1) - 1) / 2)
		for j := range dim {
			v := float64(centre[int(labels[i])*dim+j]) + float64(noise[i*dim+j])
			x[i*dim+j] = float32(max(0, v) / float64(1+j%7))
		}
	}
	s, err := eval.NewSet(x, dim, labels, torch.CPU)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Free)
	return s
}

// severalClasses turns labels into targets: an image with an even number also shows the
// next class, and for a multiple of three the previous class is difficult.
func severalClasses(s *eval.Set, classes int) *eval.Set {
	targets := make([]int8, s.Len()*classes)
	for i := range targets {
		targets[i] = -1
	}
	for i, l := range s.Labels {
		if i%3 == 0 {
			targets[i*classes+(int(l)+classes-1)%classes] = 0
		}
		if i%2 == 0 {
			targets[i*classes+(int(l)+1)%classes] = 1
		}
		targets[i*classes+int(l)] = 1
	}
	return &eval.Set{X: s.X, Labels: s.Labels, Dim: s.Dim, Targets: targets}
}

// within fails if two percentages differ by more than allowed.
func within(t *testing.T, what string, got, want, allowed float64) {
	t.Helper()
	t.Logf("%s: %.3f, peer %.3f", what, got, want)
	if !(math.Abs(got-want) <= allowed) {
		t.Errorf("%s is %.3f, the peer's %.3f: more than %v apart", what, got, want, allowed)
	}
}

func TestKNNAgainstSklearn(t *testing.T) {
	racetest.SkipNumbers(t)
	nntest.Torch(t)
	train, test := blobs(t, "train", 3000, 32, 8), blobs(t, "test", 1000, 32, 8)
	ks := []int{1, 20, 200}
	want := peer(t, "sklearn", "knn", map[string]any{"k": ks, "temperature": 0.1}, train, test)
	got, err := eval.KNN(train, test, eval.KNNOptions{K: ks})
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range ks {
		within(t, "kNN, k "+strconv.Itoa(k), got[k], want[strconv.Itoa(k)].(float64), 0.2)
	}
}

func TestLogisticAgainstSklearn(t *testing.T) {
	racetest.SkipNumbers(t)
	nntest.Torch(t)
	train, val, test := blobs(t, "train", 1500, 32, 6), blobs(t, "val", 500, 32, 6), blobs(t, "test", 1000, 32, 6)
	all, err := eval.Join(train, val)
	if err != nil {
		t.Fatal(err)
	}
	defer all.Free()
	lambdas := []float64{1e3, 10, 0.1, 1e-3}
	want := peer(t, "sklearn", "logistic", map[string]any{"lambda": lambdas}, all, test)["top1"].([]any)
	for i, lambda := range lambdas {
		// With a single λ, this compares the last fit, on all but the test set.
		r, err := eval.Transfer(context.Background(), train, val, test, eval.TransferOptions{Lambdas: []float64{lambda}})
		if err != nil {
			t.Fatal(err)
		}
		within(t, "logistic regression, λ "+strconv.FormatFloat(lambda, 'g', -1, 64), r.Accuracy.Top1, want[i].(float64), 0.2)
	}
}

func TestSVMAgainstSklearn(t *testing.T) {
	racetest.SkipNumbers(t)
	nntest.Torch(t)
	const classes = 6
	train, test := severalClasses(blobs(t, "train", 1200, 32, classes), classes), severalClasses(blobs(t, "test", 1000, 32, classes), classes)
	for hinge, costs := range map[bool][]float64{false: {0.01, 10}, true: {0.5}} {
		for _, c := range costs {
			want := peer(t, "sklearn", "svm", map[string]any{"C": c, "hinge": hinge, "classes": classes}, train, test)
			got, err := eval.LowShot(context.Background(), train, test, eval.LowShotOptions{K: []int{0}, Costs: []float64{c}, SVM: eval.SVMOptions{Hinge: hinge, Iterations: 20000}})
			if err != nil {
				t.Fatal(err)
			}
			what := "SVM, C " + strconv.FormatFloat(c, 'g', -1, 64) + ", hinge " + strconv.FormatBool(hinge)
			within(t, what+", 11-point AP", got[0].Mean.ElevenPoint, want["ap11"].(float64), 0.2)
			within(t, what+", all-point AP", got[0].Mean.AllPoint, want["ap_all"].(float64), 0.2)
		}
	}
}

func TestTSNEAgainstSklearn(t *testing.T) {
	racetest.SkipNumbers(t)
	nntest.Torch(t)
	s := blobs(t, "train", 600, 32, 6)
	began := time.Now()
	y, err := eval.TSNE(context.Background(), s, eval.TSNEOptions{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%.2f s", time.Since(began).Seconds())
	flat := make([]float32, 0, 2*len(y))
	for _, p := range y {
		flat = append(flat, float32(p.X), float32(p.Y))
	}
	plane, err := eval.NewSet(flat, 2, s.Labels, torch.CPU)
	if err != nil {
		t.Fatal(err)
	}
	defer plane.Free()
	want := peer(t, "sklearn", "tsne", map[string]any{"neighbours": 12, "perplexity": 30}, s, plane)
	got, err := eval.Trustworthiness(context.Background(), s, y, 12)
	if err != nil {
		t.Fatal(err)
	}
	within(t, "trustworthiness by scikit-learn's count", got, want["ours"].(float64), 1e-4)
	if ours, theirs := want["ours"].(float64), want["theirs"].(float64); !(ours >= theirs-0.02) {
		t.Errorf("trustworthiness is %.4f, scikit-learn's %.4f: more than 0.02 below", ours, theirs)
	} else {
		t.Logf("trustworthiness %.4f, scikit-learn's %.4f", ours, theirs)
	}
}

// TestTSNEIsRepeatable: the result depends on the seed, not on the number of cores.
func TestTSNEIsRepeatable(t *testing.T) {
	racetest.SkipNumbers(t)
	nntest.Torch(t)
	s := blobs(t, "train", 300, 16, 3)
	run := func(seed uint64, cores int) []eval.Point {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(cores))
		y, err := eval.TSNE(context.Background(), s, eval.TSNEOptions{Seed: seed, Iterations: 60})
		if err != nil {
			t.Fatal(err)
		}
		return y
	}
	a := run(1, 1)
	if !slices.Equal(a, run(1, 2)) {
		t.Error("two cores lay the points out otherwise than one")
	}
	if slices.Equal(a, run(2, 1)) {
		t.Error("another seed gives the same places")
	}
}
