package main

import (
	"bytes"
	"errors"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"resslt/schemas/errs"
)

// Numbers become 8-bit pictures in the shards, other files stay, and what cannot be converted is said.
func TestPackConverts(t *testing.T) {
	const files = "../../augment/testdata/kinds/files/"
	dir := t.TempDir()
	source, out := filepath.Join(dir, "source"), filepath.Join(dir, "out")
	for _, name := range []string{"tifffile-13bands16.tif", "opencv-grey12in16.png", "pillow-grey.jpg", "tifffile-float.tif", "tifffile-bigtiff.tif"} {
		b, err := os.ReadFile(files + name)
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(source, "a", name), b)
	}
	text, err := shardsVerb(t, "pack", "--data", "folder:"+source, "--out", out, "--bands", "1", "--range", "0,4095")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(text, "made 8-bit PNGs of 3 pictures; 1 are neither TIFFs nor 16-bit PNGs; left as they are: 1 (first ") || !strings.Contains(text, "BigTIFF") {
		t.Errorf("it says\n%s", text)
	}
	kinds := map[string]int{}
	for name, b := range tarFiles(t, filepath.Join(out, "train-000000.tar")) {
		kinds[filepath.Ext(name)]++
		if filepath.Ext(name) == ".png" {
			m, err := png.Decode(bytes.NewReader(b))
			if err != nil || m.Bounds().Dx() != 17 {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if kinds[".png"] != 3 || kinds[".jpg"] != 1 || kinds[".tif"] != 1 {
		t.Errorf("%v", kinds)
	}
	_, err = shardsVerb(t, "pack", "--data", "folder:"+source, "--out", out, "--bands", "1,2")
	if !errors.Is(err, errs.ErrUsage) || !strings.Contains(err.Error(), "one band or three") {
		t.Errorf("%v", err)
	}
}
