package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// needArm64 gives the command line of an arm64 worker that `make test` built before
// the tests, by QEMU, or skips.
func needArm64(t *testing.T, folder string) []string {
	t.Helper()
	if runtime.GOARCH == "arm64" {
		t.Skip("this machine is arm64 itself: every other farm test is this one")
	}
	qemu, err := exec.LookPath("qemu-aarch64-static")
	if err != nil {
		t.Skip("qemu-aarch64-static is not installed (deploy/setup.sh cross)")
	}
	program, err := filepath.Abs(filepath.Join("../../bin/check", folder, "augmentd"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(program); err != nil {
		t.Skipf("no augmentd for arm64 (deploy/arm64.sh check): %v", err)
	}
	return []string{qemu, program}
}

// chunksOf stops a worker and reads from its log how many chunks it made.
func chunksOf(t *testing.T, c *program) int {
	t.Helper()
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(); err != nil {
		t.Fatalf("augmentd: %v\n%s", err, &c.errs)
	}
	for line := range strings.Lines(c.errs.String()) {
		var event struct {
			Msg    string
			Chunks int
		}
		if json.Unmarshal([]byte(line), &event) == nil && event.Msg == "stopped" {
			return event.Chunks
		}
	}
	t.Fatalf("augmentd did not report what it made:\n%s", &c.errs)
	return 0
}

// everyOp is a policy of two views whose second draws every kind of step.
const everyOp = `name: every-op-28
views:
  - {name: weak, role: teacher, size: 28, ops: [random_resized_crop: {scale: [0.2, 1], filter: bilinear}, flip]}
  - name: strong
    role: student
    size: 28
    ops:
      - random_resized_crop: {scale: [0.08, 1], filter: bicubic}
      - color_jitter: {p: 0.8, brightness: 0.4, contrast: 0.4, saturation: 0.4, hue: 0.1}
      - grayscale: {p: 0.2}
      - gaussian_blur: {p: 0.5, sigma: [0.1, 2]}
      - solarize: {p: 0.2, threshold: 128}
      - flip
      - rand_augment: {n: 3, m: 10, p: 0.8}
`

// jpegFolder is a folder of n JPEGs in two classes, of every kind that package
// augment has for its tests: grey, CMYK, progressive, of every chroma subsampling.
func jpegFolder(t *testing.T, n int) string {
	t.Helper()
	files, err := filepath.Glob("../../augment/testdata/parity/files/*.jpg")
	if err != nil || len(files) < 8 {
		t.Fatalf("%d JPEGs, %v", len(files), err)
	}
	dir := t.TempDir()
	for i := range n {
		raw, err := os.ReadFile(files[i%len(files)])
		if err != nil {
			t.Fatal(err)
		}
		class := filepath.Join(dir, "train", []string{"a", "b"}[i%2])
		if err := os.MkdirAll(class, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(class, fmt.Sprintf("%04d.jpg", i)), raw, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestFarmOfTwoArchitectures: a farm of an amd64 and an arm64 worker gives the
// weights that one amd64 process gives, with libjpeg-turbo and NEON on JPEG and
// without cgo on raw pictures. The trainer makes every chunk again and compares.
func TestFarmOfTwoArchitectures(t *testing.T) {
	needTorch(t)
	needData(t)
	jpegs, policy := jpegFolder(t, 640), filepath.Join(t.TempDir(), "policy.yaml")
	if err := os.WriteFile(policy, []byte(everyOp), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, folder string
		sets         []string
	}{
		{"turbo", "linux-arm64", []string{"--data", "folder:" + jpegs, "--set", "policy=" + policy}},
		{"ref without cgo", "linux-arm64-nocgo", []string{"--set", "engine=ref"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			foreign := needArm64(t, c.folder)
			whole := summaryOf(t, quick(t.TempDir(), c.sets...)...)
			url := natsServer(t)
			serve := []string{"--nats", url, "--workers", "1", "--log", "json", "--cache"}
			arm := &program{Cmd: exec.CommandContext(t.Context(), foreign[0], append(append(foreign[1:], serve...), t.TempDir())...)}
			arm.Env = append(os.Environ(), "RESSLT_TIER=") // it may name one of this machine
			arm.Stderr = &arm.errs
			own := command(t, "augmentd", append(serve, t.TempDir())...)
			start(t, arm)
			dir := t.TempDir()
			c := start(t, command(t, "resslt", append(append([]string{"train", "--nats", url, "--run", "farm", "--audit", "1"}, quick(dir)[1:]...), c.sets...)...))
			// The emulated worker is the slower one: it begins alone.
			afterSteps(t, dir, 2)
			start(t, own)
			o := c.end()
			if o.code != 0 {
				t.Fatalf("resslt train: exit %d\n%s\narm64:\n%s", o.code, o.stderr, &arm.errs)
			}
			got := printed(t, o)
			sameWeights(t, "farm", got, whole)
			if got.DigestMismatches != 0 || !strings.Contains(o.stderr, "chunks were made again here") {
				t.Errorf("audit: %d mismatches: %s", got.DigestMismatches, o.stderr)
			}
			byArm, byOwn := chunksOf(t, arm), chunksOf(t, own)
			t.Logf("chunks: %d by arm64, %d by amd64; student %.12s", byArm, byOwn, got.StudentSHA256)
			// The other may find nothing left to do, which is no fault.
			if byArm == 0 {
				t.Errorf("the arm64 worker made nothing:\n%s", &arm.errs)
			}
		})
	}
}
