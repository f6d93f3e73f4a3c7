package main

import (
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// figureCommands are the commands by which the documents say that their pictures are made.
var figureCommands = regexp.MustCompile(`(?m)^bin/resslt (inspect .*) --out (docs/figures/\S+\.png)$`)

// Each picture of the documents is what the command beside it makes, to the pixel.
func TestFigures(t *testing.T) {
	needTorch(t)
	needData(t)
	made := map[string]string{}
	for _, text := range documents(t) {
		for _, m := range figureCommands.FindAllStringSubmatch(text, -1) {
			made[m[2]] = m[1]
		}
	}
	kept, err := filepath.Glob("../../docs/figures/*")
	if err != nil || len(kept) == 0 {
		t.Fatalf("%d figures, %v", len(kept), err)
	}
	for _, file := range kept {
		command := made[filepath.ToSlash(strings.TrimPrefix(file, "../../"))]
		if command == "" {
			t.Errorf("no document has a command that makes %s", file)
			continue
		}
		out := filepath.Join(t.TempDir(), "made.png")
		if o := resslt(t, append(strings.Fields(command), "--out", out)...); o.code != 0 {
			t.Fatalf("%s: %s", command, o.stderr)
		}
		if !samePicture(t, out, file) {
			t.Errorf("%s is not what `resslt %s` makes now", file, command)
		}
	}
}

func samePicture(t *testing.T, a, b string) bool {
	t.Helper()
	x, y := decodePNG(t, a), decodePNG(t, b)
	if x.Bounds() != y.Bounds() {
		return false
	}
	for j := range x.Bounds().Dy() {
		for i := range x.Bounds().Dx() {
			if color.NRGBAModel.Convert(x.At(i, j)) != color.NRGBAModel.Convert(y.At(i, j)) {
				return false
			}
		}
	}
	return true
}

func decodePNG(t *testing.T, file string) image.Image {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	return m
}
