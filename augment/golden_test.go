package augment

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"testing"

	"resslt/schemas"
	"resslt/schemas/racetest"
)

// golden pins the drawing law, the decoders and the reference kernels: SHA-256
// of the plans and of the pixels of 16 keys on a PNG and a JPEG. A change here
// changes every run's batches, and asks for another refName or drawTag. The
// values hold on every architecture; a Go release that decodes JPEG otherwise
// shows here too.
var golden = map[string][2]string{ // preset: plans, pixels
	"small":           {"c35639be61f32dd2", "70da53a3bbaaffbe"},
	"imagenet":        {"bb40335c5b4690db", "cc497b53b39df713"},
	"imagenet-strong": {"97d877bef5a1a85e", "de3ba0e1784007b0"},
	"center":          {"4a24a7da3b98d0e2", "f326b7c1bb861a45"},
	"infomin":         {"e4bea85fb7c19bd3", "3f44c2d2dede1c61"},

	"supervised":                {"b35096c8543c5601", "9dd31fcb7e3b7a1f"},
	"supervised-randaugment":    {"2932ad2a003a4761", "5f23aa2f81b151b0"},
	"supervised-trivialaugment": {"60956716efdf026f", "af081b12e548d25a"},
	"supervised-small":          {"526e9fa60df1107f", "f43c30a6113c0007"},
	"eval":                      {"292f6dfaf78c9585", "7cab010b85bef81c"},
	"eval-bicubic":              {"1b88256e44d28a53", "30213185be298dcc"},
}

func TestGolden(t *testing.T) {
	racetest.SkipNumbers(t)
	files := []string{"picture.png", "files/jpeg420.jpg", "files/progressive.jpg", "files/lossy.webp"}
	for name, want := range golden {
		p, err := Preset(name)
		if err != nil {
			t.Fatal(err)
		}
		rig := newRig(t, refEngine{}, p)
		plans, pixels := sha256.New(), sha256.New()
		for i := range 16 {
			file := files[i%len(files)]
			rig.Render(&schemas.Sample{ID: int64(i), Key: file, Data: readFile(t, parityDir+file)}, int64(i/4))
			for v := range rig.Pixels {
				plans.Write(rig.Plans[v])
				pixels.Write(rig.Pixels[v])
			}
		}
		got := [2]string{hex.EncodeToString(plans.Sum(nil))[:16], hex.EncodeToString(pixels.Sum(nil))[:16]}
		if got != want {
			t.Errorf("%q: plans and pixels are %q, want %q", name, got, want)
		}
	}
}

// TestRenderDependsOnItsArgumentsAlone renders samples in two orders, by
// renderers with different pasts: equal bytes, whoever the worker was.
func TestRenderDependsOnItsArgumentsAlone(t *testing.T) {
	racetest.SkipNumbers(t)
	p, err := Preset("imagenet-strong")
	if err != nil {
		t.Fatal(err)
	}
	files := []string{"picture.png", "files/jpeg420.jpg", "files/cmyk.jpg", "files/lossy.webp", "files/gray.jpg", "files/narrow.jpg"}
	for _, name := range EngineNames() {
		e, err := EngineByName(name)
		if err != nil {
			t.Fatal(err)
		}
		sum := map[int]string{}
		forward, backward := newRig(t, e, p), newRig(t, e, p)
		visit := func(g *rig, i int) string {
			g.Render(&schemas.Sample{ID: int64(i), Key: files[i], Data: readFile(t, parityDir+files[i])}, 1)
			return fmt.Sprintf("%x %x", sha256.Sum256(join(g.Pixels)), sha256.Sum256(join(g.Plans)))
		}
		for i := range files {
			sum[i] = visit(forward, i)
		}
		for i := len(files) - 1; i >= 0; i-- {
			// A refused sample in between must leave nothing behind.
			if _, err := backward.r.Render(&schemas.Sample{Key: "bad", Data: []byte("\xff\xd8\xffnot a JPEG")}, Key{}, backward.Pixels, nil); err == nil {
				t.Fatal("a file that is no JPEG was rendered")
			}
			if visit(backward, i) != sum[i] {
				t.Errorf("%s: %s renders otherwise in another order", name, files[i])
			}
		}
	}
}

func join(parts [][]byte) []byte {
	var out []byte
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

// TestReplay renders from encoded plans: the same pixels.
func TestReplay(t *testing.T) {
	p, err := Preset("imagenet-multi")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range EngineNames() {
		e, err := EngineByName(name)
		if err != nil {
			t.Fatal(err)
		}
		live, replay := newRig(t, e, p), newRig(t, e, p)
		s := &schemas.Sample{ID: 4, Key: "picture", Data: readFile(t, parityDir+"picture.png")}
		live.Render(s, 2)
		plans := make([]Plan, len(live.Plans))
		for v, b := range live.Plans {
			if plans[v], err = ParsePlan(b); err != nil {
				t.Fatal(err)
			}
		}
		if err := replay.r.Replay(s, plans, replay.Pixels); err != nil {
			t.Fatal(err)
		}
		if string(join(live.Pixels)) != string(join(replay.Pixels)) {
			t.Errorf("%s: replayed pixels differ", name)
		}
		plans[0].SrcW++
		if err := replay.r.Replay(s, plans, replay.Pixels); err == nil {
			t.Errorf("%s: a plan of a wider picture was rendered", name)
		}
	}
}
