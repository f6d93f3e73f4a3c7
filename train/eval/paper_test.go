package eval_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"resslt/train/eval"
	"resslt/train/paper"
	"resslt/train/recipe"
)

// encoderOf is the published encoder that a recipe trains.
func encoderOf(t *testing.T, name string) eval.Encoder {
	t.Helper()
	r, err := recipe.Load(name)
	if err != nil {
		t.Fatal(err)
	}
	return eval.Encoder{Backbone: r.Backbone, Width: r.Width, Recipe: r.Name, Objective: r.Objective, Epochs: r.Epochs}
}

// TestClaimsAreTheFigures compares, for every embedded recipe, the linear top-1 that it claims
// with the figure that is printed beside its score.
func TestClaimsAreTheFigures(t *testing.T) {
	claimed := regexp.MustCompile(`^linear top-1 ([0-9.]+) on `)
	data := map[string]string{"cifar10": "cifar10", "cifar100": "cifar100", "stl10": "stl10", "tiny-imagenet": "tiny-imagenet"}
	claims := 0
	for _, name := range recipe.Names() {
		e := encoderOf(t, name)
		r, err := recipe.Load(name)
		if err != nil {
			t.Fatal(err)
		}
		on := data[name]
		if strings.HasPrefix(name, "imagenet") {
			on = "imagenet"
		}
		f := eval.PaperFigure("linear", on, e, "top1")
		m := claimed.FindStringSubmatch(r.Claim)
		switch {
		case m == nil && f != nil:
			t.Errorf("%s claims %q and is shown %v", name, r.Claim, *f)
		case m == nil:
		case f == nil:
			t.Errorf("%s claims %q and is shown no figure", name, r.Claim)
		default:
			claims++
			if want := strings.TrimRight(strings.TrimRight(m[1], "0"), "."); fmt.Sprint(f.Value) != want {
				t.Errorf("%s claims %q and is shown %v", name, r.Claim, *f)
			}
		}
	}
	if claims < 20 {
		t.Errorf("%d recipes claim a figure", claims)
	}
}

// TestPaperFigures has figures of every table, and encoders that have none.
func TestPaperFigures(t *testing.T) {
	with := func(name string, change func(*eval.Encoder)) eval.Encoder {
		e := encoderOf(t, name)
		change(&e)
		return e
	}
	as := func(objective string) func(*eval.Encoder) {
		return func(e *eval.Encoder) { e.Objective = objective }
	}
	for _, c := range []struct {
		name                  string
		protocol, data, score string
		e                     eval.Encoder
		want                  float64 // 0: none
		says                  string
	}{
		{"the recipe of five crops", "linear", "imagenet", "top1", encoderOf(t, "imagenet-multi"), 76, "Table 8"},
		{"the stronger augmentation", "linear", "imagenet", "top1", encoderOf(t, "imagenet-strong"), 76.3, "Table 8"},
		{"the author's protocol", "linear", "cifar10", "top1_lr30_best", encoderOf(t, "cifar10"), 90.76, "Table 1"},
		{"MoCo v2", "linear", "imagenet", "top1", with("imagenet", as("moco-v2")), 67.5, "MoCo v2"},
		{"SimCLR", "linear", "imagenet", "top1", with("imagenet", as("simclr")), 66.8, "SimCLR"},
		{"SimSiam", "linear", "imagenet", "top1", with("imagenet", as("simsiam")), 70, "SimSiam"},
		{"NNCLR", "linear", "imagenet", "top1", with("imagenet", as("nnclr")), 70.7, "NNCLR"},
		{"InfoMin by its recipe", "linear", "imagenet", "top1", encoderOf(t, "imagenet-infomin"), 70.1, "InfoMin"},
		{"BYOL of 300 epochs", "linear", "imagenet", "top1", with("imagenet", as("byol")), 72.5, "300 epochs; this encoder was trained for 200"},
		{"a small network", "semi", "imagenet", "top1_10%", encoderOf(t, "imagenet-resnet34-multi"), 67.8, "Table 14"},
		{"1 % of the labels", "semi", "imagenet", "top5_1%", encoderOf(t, "imagenet-multi"), 81.6, "Table 10"},
		{"transfer", "transfer", "pets", "per_class", encoderOf(t, "imagenet"), 90.7, "Table 9"},
		{"the mean of the nine", "transfer", paper.TransferMean, "transfer_mean", encoderOf(t, "imagenet"), 82.2, "Table 9"},
		{"few shots", "lowshot", "voc2007", "map_k64", encoderOf(t, "imagenet-2crop"), 86, "Table 11"},
		{"fewer epochs", "linear", "cifar10", "top1", with("cifar10", func(e *eval.Encoder) { e.Epochs = 4 }), 90.76, "200 epochs; this encoder was trained for 4"},

		{"another data set", "linear", "cifar100", "top1", encoderOf(t, "cifar10"), 0, ""},
		{"an objective that the paper has not on CIFAR-10", "linear", "cifar10", "top1", with("cifar10", as("simclr")), 0, ""},
		{"a narrow network", "linear", "cifar10", "top1", with("cifar10", func(e *eval.Encoder) { e.Width = 16 }), 0, ""},
		{"initial weights", "linear", "cifar10", "top1", with("cifar10", func(e *eval.Encoder) { e.Untrained = true }), 0, ""},
		{"weights from elsewhere", "linear", "imagenet", "top1", eval.Encoder{Backbone: "resnet50", Width: 64}, 0, ""},
		{"a recipe of one's own", "linear", "imagenet", "top1", with("imagenet", func(e *eval.Encoder) { e.Recipe = "mine" }), 0, ""},
		{"another network", "linear", "cifar10", "top1", with("cifar10", func(e *eval.Encoder) { e.Backbone = "resnet34" }), 0, ""},
		{"another score", "linear", "imagenet", "top5", encoderOf(t, "imagenet"), 0, ""},
	} {
		f := eval.PaperFigure(c.protocol, c.data, c.e, c.score)
		switch {
		case c.want == 0 && f != nil:
			t.Errorf("%s: figure %v", c.name, *f)
		case c.want == 0:
		case f == nil:
			t.Errorf("%s: no figure", c.name)
		case f.Value != c.want || !strings.Contains(f.Source, c.says):
			t.Errorf("%s: figure %v, want %g (%s)", c.name, *f, c.want, c.says)
		}
	}
}
