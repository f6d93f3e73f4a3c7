package augment

import (
	"bytes"
	"compress/zlib"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"resslt/schemas"
	"resslt/schemas/errs"
)

const kindsDir = "testdata/kinds/"

// A kind is a file of testdata/kinds, and the pixels that another reader gives (generate.py).
type kind struct {
	File, By string
	W, H     int
	RGB      string
	want     []byte
}

func kinds(t *testing.T) (all []kind) {
	t.Helper()
	if err := json.Unmarshal(readFile(t, kindsDir+"want.json"), &all); err != nil {
		t.Fatal(err)
	}
	for i := range all {
		if all[i].RGB == "" {
			continue
		}
		packed, err := base64.StdEncoding.DecodeString(all[i].RGB)
		if err != nil {
			t.Fatal(err)
		}
		r, err := zlib.NewReader(bytes.NewReader(packed))
		if err != nil {
			t.Fatal(err)
		}
		if all[i].want, err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// refusedKinds are the reasons of files that nothing here decodes. Such a text is in the chunks of
// runs whose data has them, under their digests: another needs another version of the engines.
var refusedKinds = map[string]string{
	"opencv-float.hdr":            `corrupt: no picture: it begins with "#?RADIANCE\nF" (hint: replace or remove the file)`,
	"opencv-float.tif":            "unsupported: TIFF with floating-point samples (hint: convert it to JPEG, PNG or WebP)",
	"opencv-grey.jp2":             "unsupported: it is JPEG 2000 (hint: convert it to JPEG, PNG or WebP)",
	"opencv-grey.pfm":             "unsupported: it is PFM (hint: convert it to JPEG, PNG or WebP)",
	"opencv-rgb.avif":             "unsupported: it is AVIF (hint: convert it to JPEG, PNG or WebP)",
	"opencv-rgb.pam":              "unsupported: it is PAM (hint: convert it to JPEG, PNG or WebP)",
	"pillow-float.tif":            "unsupported: TIFF with floating-point samples (hint: convert it to JPEG, PNG or WebP)",
	"pillow-int32.tif":            "unsupported: TIFF with signed samples of 32 bits (hint: convert it to JPEG, PNG or WebP)",
	"pillow-lab.tif":              "unsupported: TIFF with the photometric interpretation 8 (hint: convert it to JPEG, PNG or WebP)",
	"pillow-ycbcr.tif":            "unsupported: TIFF with YCbCr pixels (hint: convert it to JPEG, PNG or WebP)",
	"tifffile-13bands.tif":        "corrupt: TIFF with 13 samples a pixel (hint: replace or remove the file)",
	"tifffile-13bands16.tif":      "corrupt: TIFF with 13 samples a pixel (hint: replace or remove the file)",
	"tifffile-13bands-planar.tif": "corrupt: TIFF with 13 samples a pixel (hint: replace or remove the file)",
	"tifffile-bigtiff.tif":        "unsupported: BigTIFF (hint: convert it to JPEG, PNG or WebP)",
	"tifffile-double.tif":         "unsupported: TIFF with floating-point samples (hint: convert it to JPEG, PNG or WebP)",
	"tifffile-float.tif":          "unsupported: TIFF with floating-point samples (hint: convert it to JPEG, PNG or WebP)",
	"tifffile-half.tif":           "unsupported: TIFF with floating-point samples (hint: convert it to JPEG, PNG or WebP)",
	"tifffile-int16.tif":          "unsupported: TIFF with signed samples of 16 bits (hint: convert it to JPEG, PNG or WebP)",
	"tifffile-uint32.tif":         "unsupported: TIFF with samples of 32 bits (hint: convert it to JPEG, PNG or WebP)",
}

// TestKinds: a picture of any kind has the pixels that its reader gives, or a reason in one line
// that names the file. JPEGs are within 3 of 255, what Go's decoder and chroma.go reach.
func TestKinds(t *testing.T) {
	all := kinds(t)
	if len(all) < 60 {
		t.Fatalf("%d files", len(all))
	}
	refused := 0
	for _, k := range all {
		t.Run(k.File, func(t *testing.T) {
			var m Image
			err := Decode(&schemas.Sample{Key: k.File, Data: readFile(t, kindsDir+"files/"+k.File)}, DefaultLimits, &m)
			if k.By == "nobody" {
				refused++
				want := "decode " + k.File + ": " + refusedKinds[k.File]
				if err == nil || schemas.AsBadSample(err) == nil || err.Error() != want {
					t.Errorf("got  %v\nwant %s", err, want)
				}
				if !errors.Is(err, errs.ErrUnsupported) && !errors.Is(err, errs.ErrCorrupt) {
					t.Errorf("%v wraps no sentinel of a bad sample", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if m.W != k.W || m.H != k.H {
				t.Fatalf("%d×%d, %s has %d×%d", m.W, m.H, k.By, k.W, k.H)
			}
			most := 0
			if strings.HasSuffix(k.File, ".jpg") {
				most = 3
			}
			if largest, _, equal := distance(t, m.Pix, k.want); largest > most {
				t.Errorf("%.1f %% of the bytes are those of %s, the largest difference is %d", 100*equal, k.By, largest)
			}
		})
	}
	if refused != len(refusedKinds) {
		t.Errorf("%d files are refused, %d reasons are here", refused, len(refusedKinds))
	}
}
