package report

import (
	"bytes"
	"encoding/json"
	"image"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"resslt/cmd/internal/browsertest"
)

// hostile is a name that would be a script if anything forgot to escape it.
const hostile = `<script>document.title="taken"</script>"'&`

// full is a page with every part, and with what is awkward in each.
func full(t *testing.T) *Page {
	t.Helper()
	raw, err := EncodePNG(image.NewRGBA(image.Rect(0, 0, 2000, 40))) // wider than any screen
	if err != nil {
		t.Fatal(err)
	}
	var many Series
	many.Name = "loss"
	for i := range 5000 {
		many.X, many.Y = append(many.X, float64(i)/100), append(many.Y, 9*math.Exp(-float64(i)/900))
	}
	broken := Series{Name: "broken", X: []float64{1, 2, 3, 40}, Y: []float64{1, math.NaN(), math.Inf(1), 3}}
	long := strings.Repeat("0123456789abcdef", 8)
	return &Page{
		Title: hostile, Subtitle: hostile,
		Headline: []Fact{{"kNN", "48.29 %", "untrained 30.98 %"}, {"images/s", "288", hostile}},
		Charts: []Chart{
			{Title: "Loss" + hostile, XLabel: "epoch", Series: []Series{many, broken}, Level: &Level{"ln K", 8}},
			{Title: "one point", XLabel: "epoch", Series: []Series{{Name: "k20", X: []float64{1}, Y: []float64{40}}}},
			{Title: "nothing", XLabel: "epoch", Series: []Series{{Name: "none"}}},
		},
		Tables: []Table{{
			Title: "Evaluations", Caption: hostile, Columns: []string{"a", "b", "c", "d", "e", "f"},
			Rows: [][]string{{hostile, long, "x", "y", "48.29 ± 0.31 (n 5)", "90.76 (Table 1)"}},
		}},
		Time:     []Share{{"steps", 0.75, "30 s"}, {"waiting", 0.25, "10 s"}},
		Pictures: []Picture{{Title: "views", Alt: hostile, PNG: raw}},
		Facts:    []Fact{{"digest", long, hostile}},
		Recipe:   "name: x\n# " + hostile + "\n" + long + long,
		Notes:    []string{hostile},
		Made:     "today",
	}
}

func render(t *testing.T, p *Page) string {
	t.Helper()
	var b bytes.Buffer
	if err := p.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestPageNeedsNothingElse(t *testing.T) {
	html := render(t, full(t))
	if strings.Contains(html, "<script>document") {
		t.Error("a name was written as a script")
	}
	if m := regexp.MustCompile(`(?i)(src|href|url)\s*[=(]\s*["']?(https?:|//|file:)`).FindString(html); m != "" {
		t.Errorf("the page asks for %q", m)
	}
	if n := strings.Count(html, "<figure"); n != 4 {
		t.Errorf("%d figures, want 3 charts and a picture", n)
	}
	if empty := render(t, &Page{Title: "empty"}); strings.Contains(empty, "<section>") {
		t.Error("an empty page has sections")
	}
}

func TestChartThinsAndBreaks(t *testing.T) {
	s := Series{Name: "y"}
	for i := range 1001 {
		s.X, s.Y = append(s.X, float64(i)), append(s.Y, 2*float64(i))
	}
	thin := s.thin()
	if len(thin.X) > maxPoints || len(thin.X) < maxPoints/2 {
		t.Errorf("%d points", len(thin.X))
	}
	for i := range thin.X { // the mean of a straight line lies on it
		if thin.Y[i] != 2*thin.X[i] {
			t.Fatalf("point %d is (%g, %g)", i, thin.X[i], thin.Y[i])
		}
	}
	c := Chart{XLabel: "epoch", Series: []Series{{Name: "y", X: []float64{0, 1, 2}, Y: []float64{5, math.NaN(), 7}}}}
	if svg := string(c.SVG()); strings.Contains(svg, "NaN") || strings.Count(svg, "M") != 2 {
		t.Errorf("a curve with a gap is %s", svg)
	}
	raw, err := c.Data()
	var data struct {
		Curves []struct{ Y []*float64 }
	}
	if err != nil || json.Unmarshal([]byte(raw), &data) != nil || data.Curves[0].Y[1] != nil || *data.Curves[0].Y[2] != 7 {
		t.Errorf("data %s, %v", raw, err)
	}
}

func TestTicks(t *testing.T) {
	for _, c := range []struct {
		lo, hi float64
		want   string
	}{{0, 1, "0 0.2 0.4 0.6 0.8 1"}, {6.4, 7.9, "6.5 7 7.5"}, {-0.03, 0.031, "-0.02 0 0.02"}, {1e-5, 9e-5, "2e-5 4e-5 6e-5 8e-5"}, {100, 100000, "20000 40000 60000 80000 1e+05"}} {
		var got []string
		for _, v := range ticks(c.lo, c.hi, 5) {
			got = append(got, number(v))
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("[%g, %g]: %s, want %s", c.lo, c.hi, strings.Join(got, " "), c.want)
		}
	}
}

// TestPageInChromium opens the page as a phone and as a desk would: no message on
// the console, nothing wider than the screen, the curves' values under the pointer.
func TestPageInChromium(t *testing.T) {
	path := filepath.Join(t.TempDir(), "report.html")
	if err := os.WriteFile(path, []byte(render(t, full(t))), 0o644); err != nil {
		t.Fatal(err)
	}
	b := browsertest.Start(t)
	for _, width := range []int{390, 1280} {
		t.Run(strconv.Itoa(width), func(t *testing.T) {
			p := b.Open(t, "file://"+path, browsertest.Screen{Width: width})
			defer p.Close(t)
			var got struct {
				Wide, Screen, Title int
				Pointer             string
			}
			p.Eval(t, `(() => {
				const svg = document.querySelector(".chart svg"), box = svg.getBoundingClientRect();
				svg.dispatchEvent(new PointerEvent("pointermove", { clientX: box.left + box.width / 2, clientY: box.top + 9, bubbles: true }));
				return {wide: document.documentElement.scrollWidth, screen: window.innerWidth, pointer: document.querySelector(".legend b").textContent, title: document.title.length};
			})()`, &got)
			for _, line := range p.Console() {
				t.Errorf("on the console: %s", line)
			}
			if got.Wide != got.Screen {
				t.Errorf("the page is %d wide on a screen of %d", got.Wide, got.Screen)
			}
			if !strings.Contains(got.Pointer, " at epoch ") {
				t.Errorf("under the pointer stands %q", got.Pointer)
			}
			if got.Title != len(hostile) {
				t.Errorf("the title has %d characters, want %d: a name ran as a script", got.Title, len(hostile))
			}
		})
	}
}
