package sniff

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"image"
	"image/gif"
	"image/jpeg"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestWhat(t *testing.T) {
	made := func(write func(b *bytes.Buffer) error) string {
		var b bytes.Buffer
		if err := write(&b); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	zipped := func(name string) string {
		return made(func(b *bytes.Buffer) error {
			z := zip.NewWriter(b)
			if _, err := z.Create(name); err != nil {
				return err
			}
			return z.Close()
		})
	}
	m := image.NewGray(image.Rect(0, 0, 8, 8))
	for _, c := range []struct{ head, want string }{
		{"", "an empty file"},
		{"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n", "a Git LFS pointer, not the file itself"},
		{"<!DOCTYPE html><html>", "an HTML page"},
		{"\n\n  <html lang=en>", "an HTML page"},
		{"\xef\xbb\xbf<!doctype HTML>", "an HTML page"},
		{`<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>`, "an object store's error message"},
		{`<?xml version="1.0"?><annotation/>`, ""},
		{zipped("archive/data.pkl"), "a PyTorch checkpoint"},
		{zipped("resnet18/data.pkl"), "a PyTorch checkpoint"},
		{zipped("m/.format_version"), "a PyTorch checkpoint"},
		{zipped("images/a.jpg"), "a zip archive"},
		{"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9", "a Python pickle, such as an old PyTorch checkpoint"},
		{"\x80\x05\x95", "a Python pickle, such as an old PyTorch checkpoint"},
		{made(func(b *bytes.Buffer) error { return gzip.NewWriter(b).Close() }), "a gzip file"},
		{"\x28\xb5\x2f\xfd\x00", "a zstd file"},
		{made(func(b *bytes.Buffer) error {
			w := tar.NewWriter(b)
			if err := w.WriteHeader(&tar.Header{Name: "a", Mode: 0o644}); err != nil {
				return err
			}
			return w.Close()
		}), "a tar archive"},
		{"PAR1\x15", "a Parquet file"},
		{"ARROW1\x00\x00\xff", "an Arrow file"},
		{"\x93NUMPY\x01\x00", "a NumPy array"},
		{made(func(b *bytes.Buffer) error { return jpeg.Encode(b, m, nil) }), "a JPEG image"},
		{made(func(b *bytes.Buffer) error { return png.Encode(b, m) }), "a PNG image"},
		{made(func(b *bytes.Buffer) error { return gif.Encode(b, m, nil) }), "a GIF image"},
		{"RIFF\x00\x00\x00\x00WEBPVP8 ", "a WebP image"},
		{"RIFF\x00\x00\x00\x00WAVE", ""},
		{"\x00\x00\x00\x1cftypavif", "an AVIF image"},
		{"BM\x46\x00\x00\x00\x00\x00\x00\x00\x36\x00\x00\x00\x28\x00\x00\x00", "a BMP image"},
		{"BMW and other cars, by year", ""},
		{"P6\n# by GIMP\n2 2\n255\n", "a PBM, PGM or PPM image"},
		{"P4 8 8\n", "a PBM, PGM or PPM image"},
		{"P5 is a prefix", ""},
		{"\x04\x22\x4d\x18\x64", "an LZ4 file"},
		{"\x1f\x9d\x90", "a compress (.Z) file"},
		{"\x10\x00\x00\x00\x00\x00\x00\x00{\"a\":{}}        ", "a safetensors file"},
		{" {\"version\": 1}", "JSON text"},
		{strings.Repeat("\x00", HeadBytes), "a file of zeros"},
		{"\x00\x00\x00", ""},
		{"name: images\n", ""},
		{"\x80", ""},
		{"PK", ""},
		{"\x1f", ""},
		{"<", ""},
		{"II", ""},
	} {
		if got := What([]byte(c.head[:min(len(c.head), HeadBytes)])); got.Name != c.want {
			t.Errorf("%.40q is %q, want %q", c.head, got.Name, c.want)
		}
	}
}

// A pipe is not opened: that would wait for its writer.
func TestFile(t *testing.T) {
	dir := t.TempDir()
	pipe, file := filepath.Join(dir, "pipe"), filepath.Join(dir, "file")
	if err := syscall.Mkfifo(pipe, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("\x1f\x8b"), 0o644); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		dir: "a folder", pipe: "no regular file but a pipe, socket or device", "/dev/zero": "no regular file but a pipe, socket or device",
		file: "a gzip file", filepath.Join(dir, "none"): "",
	} {
		if got := File(path); got.Name != want {
			t.Errorf("%s is %q, want %q", path, got.Name, want)
		}
	}
}
