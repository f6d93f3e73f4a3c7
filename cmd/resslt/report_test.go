package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"resslt/cmd/internal/runreport"
	"resslt/train/eval"
)

// TestReport: a run leaves its page, and `resslt report` makes it again, with
// evaluations that came since; a folder that is no run's is refused.
func TestReport(t *testing.T) {
	needTorch(t)
	needData(t)
	dir, sum := finished(t), undisturbed(t)
	page := func() string {
		t.Helper()
		raw, err := os.ReadFile(filepath.Join(dir, runreport.File))
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	for what, want := range map[string]string{
		"weights": sum.StudentSHA256, "data": sum.DataDigest, "hardware": sum.Hardware, "libtorch": sum.TorchVersion,
		"recipe": "infonce_warmup_epochs: 1", "views": "data:image/png;base64,", "loss": ">Loss</h3>", "collapse watch": "spread over the sphere",
	} {
		if want == "" || !strings.Contains(page(), want) {
			t.Errorf("the page lacks the %s: %q", what, want)
		}
	}
	err := eval.Append(dir, eval.Result{
		Protocol: "linear", Data: "cifar10", Encoder: eval.Encoder{Backbone: "resnet18", Width: 8},
		Scores: []eval.Score{{Name: "top1", Label: "top-1", Value: 12.34, Paper: &eval.Figure{Value: 90.76, Source: "Table 1"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if o := resslt(t, "report", "--out", dir); o.code != 0 {
		t.Fatalf("exit %d: %s", o.code, o.stderr)
	}
	if !strings.Contains(page(), "12.34") || !strings.Contains(page(), "90.76 (Table 1)") {
		t.Error("the page lacks the evaluation, or the paper's figure beside it")
	}
	if o := resslt(t, "report", "--out", t.TempDir()); o.code != 1 || !strings.Contains(o.stderr, "folder of a run") {
		t.Errorf("exit %d: %s", o.code, o.stderr)
	}
}
