package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestMixture: a run over raw pixels and a small folder of JPEGs, whose pictures come again
// within an epoch, has the same weights however it is made.
func TestMixture(t *testing.T) {
	t.Parallel()
	needTorch(t)
	needData(t)
	photos := t.TempDir()
	for i := range 12 {
		write(t, filepath.Join(photos, []string{"cat", "dog"}[i%2], fmt.Sprint(i)+".jpg"), jpegFile(t, 40, i+1))
	}
	data := fmt.Sprintf("mix:0.7*fashion-mnist:%s+0.3*folder:%s", smallData(), photos)
	args := func(out string, more ...string) []string {
		return append([]string{"run", "--recipe", "smoke", "--data", data, "--json", "--out", out, "--set", "eval=[none]"}, more...)
	}
	out := t.TempDir()
	o := resslt(t, args(out)...)
	if o.code != 0 || !strings.Contains(o.stderr, " from set 1 (12 samples)") {
		t.Fatalf("exit %d: %s", o.code, o.stderr)
	}
	want := printed(t, o)
	var drawn, draws int64
	for _, set := range want.Mix {
		drawn, draws = drawn+set.Drawn, draws+set.Draws
	}
	if len(want.Mix) != 2 || want.Mix[1].Name != "1" || want.Mix[1].Samples != 12 || draws != want.Images || drawn != want.Steps*int64(want.BatchSize) {
		t.Fatalf("drawn of %d images, %d steps of %d: %+v", want.Images, want.Steps, want.BatchSize, want.Mix)
	}
	if share := float64(want.Mix[1].Drawn) / float64(drawn); share < 0.27 || share > 0.33 { // windows of 1,024 are exact
		t.Errorf("%.3f of the draws are from a set of weight 0.3", share)
	}
	if page, err := os.ReadFile(filepath.Join(out, "report.html")); err == nil && !strings.Contains(string(page), "passes over the set") {
		t.Error("the run's page does not say what was drawn from each set")
	}

	t.Run("killed", func(t *testing.T) {
		dir := t.TempDir()
		interrupt(t, dir, 13, syscall.SIGKILL, args(dir)...)
		resumed := summaryOf(t, args(dir, "--resume")...)
		sameWeights(t, "resumed", resumed, want)
		if fmt.Sprint(resumed.Mix) != fmt.Sprint(want.Mix) {
			t.Errorf("drawn %v, want %v", resumed.Mix, want.Mix)
		}
	})
	t.Run("replayed", func(t *testing.T) {
		replayed := summaryOf(t, "train", "--replay", "log:"+out, "--json", "--out", t.TempDir())
		sameWeights(t, "replay", replayed, want)
		if fmt.Sprint(replayed.Mix) != fmt.Sprint(want.Mix) {
			t.Errorf("drawn %v, want %v", replayed.Mix, want.Mix)
		}
		if o := resslt(t, "record", "verify", out); o.code != 0 {
			t.Errorf("verify: exit %d: %s%s", o.code, o.stdout, o.stderr)
		}
	})
	t.Run("in a farm", func(t *testing.T) {
		url := natsServer(t)
		start(t, command(t, "augmentd", "--nats", url, "--workers", "1"))
		dir := t.TempDir()
		farm := append([]string{"train", "--nats", url, "--run", "mixed"}, args(dir)[1:]...)
		sameWeights(t, "in a farm", summaryOf(t, farm...), want)
	})
	t.Run("other weights", func(t *testing.T) {
		other := args(out, "--resume")
		other[4] = strings.Replace(data, "0.7*", "0.6*", 1)
		if o := resslt(t, other...); o.code != 1 || !strings.Contains(o.stderr, "sets of the mixture") {
			t.Errorf("exit %d: %s", o.code, o.stderr)
		}
	})
	for name, verb := range map[string][]string{
		"ls":           {"shards", "ls", "--data", data},
		"verify":       {"shards", "verify", "--data", data},
		"inspect":      {"inspect", "--data", data, "--out", t.TempDir() + "/sheet.png"},
		"inspect step": {"inspect", "--step", "3", "--record", out, "--out", t.TempDir() + "/sheet.png"},
		"embed":        {"embed", "--checkpoint", filepath.Join(out, "encoder.safetensors"), "--data", data, "--out", t.TempDir() + "/f.npy"},
	} {
		t.Run(name, func(t *testing.T) {
			if o := resslt(t, verb...); o.code != 0 {
				t.Errorf("exit %d: %s", o.code, o.stderr)
			}
		})
	}
}
