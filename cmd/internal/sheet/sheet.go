package sheet

import (
	"context"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"strings"

	"resslt/augment"
	"resslt/cmd/internal/cli"
	"resslt/cmd/internal/pipeline"
	"resslt/ingest"
	"resslt/schemas"
	"resslt/schemas/errs"

	xdraw "golang.org/x/image/draw"

	"golang.org/x/image/font"
	"golang.org/x/image/font/basicfont"
	"golang.org/x/image/math/fixed"
)

// Options say which samples are drawn, and how.
type Options struct {
	Data, Split   string // data URI and its part
	Policy        string // preset or YAML file
	Engine        string // family; "" is the default
	ImageSize     int    // of the views; 0: the policy's
	Seed          uint64
	Epoch, Sample int64 // Sample is the first to draw
	Count         int
	// Indexing, if set, receives how much of the data is indexed.
	Indexing func(done, total int64)
	// Opened, if set, receives a line that describes the data.
	Opened func(string)
}

// Samples draws the samples under one another, and names the policy and the engine.
func Samples(ctx context.Context, o Options) (*image.RGBA, string, error) {
	policy, err := pipeline.Policy(o.Policy, o.ImageSize)
	if err != nil {
		return nil, "", err
	}
	src, err := ingest.Open(ctx, o.Data, ingest.Options{Warn: cli.Warn, Split: o.Split, Progress: o.Indexing})
	if err != nil {
		return nil, "", err
	}
	defer src.Close()
	engine, err := pipeline.EngineOf(o.Engine, src.Manifest())
	if err != nil {
		return nil, "", err
	}
	renderer, err := augment.NewRenderer(engine, policy)
	if err != nil {
		return nil, "", err
	}
	defer renderer.Close()
	if o.Opened != nil {
		o.Opened(pipeline.Opened(o.Data, src))
	}
	if o.Sample < 0 || o.Sample >= src.Len() {
		return nil, "", errs.New("inspect", "--sample", fmt.Sprintf("give 0 to %d", src.Len()-1), errs.Because(errs.ErrUsage, fmt.Sprintf("is %d", o.Sample)))
	}
	var rows []*image.RGBA
	for id := o.Sample; id < min(o.Sample+int64(o.Count), src.Len()); id++ {
		drawn, err := o.sample(ctx, src, renderer, policy, id)
		if err != nil {
			return nil, "", err
		}
		rows = append(rows, drawn)
	}
	return Stack(rows), policy.Name + ", engine " + engine.Name(), nil
}

// Geometry of a sheet, in pixels.
const (
	margin     = 10
	lineHeight = 14
	textLines  = 14  // at most, under each picture
	minShown   = 224 // smaller views are shown enlarged by a whole number
	maxOrigin  = 360 // longer side of the original
)

var (
	paper = color.RGBA{250, 250, 248, 255}
	ink   = color.RGBA{40, 40, 44, 255}
	// One colour a view, told apart by most eyes (Okabe and Ito).
	palette = []color.RGBA{{0, 114, 178, 255}, {213, 94, 0, 255}, {0, 158, 115, 255}, {204, 121, 167, 255}, {230, 159, 0, 255}, {86, 180, 233, 255}, {200, 0, 0, 255}}
)

// sample draws one sample: the original with its boxes, then its views. A sample
// that cannot be rendered is drawn as the message that says why.
func (o *Options) sample(ctx context.Context, src ingest.Source, r *augment.Renderer, p *augment.Policy, id int64) (*image.RGBA, error) {
	var s schemas.Sample
	if err := src.Read(ctx, id, &s); err != nil {
		return nil, err
	}
	pixels := make([][]byte, len(p.Views))
	for v := range p.Views {
		pixels[v] = make([]byte, 3*p.Views[v].Size*p.Views[v].Size)
	}
	title := fmt.Sprintf("sample %d  %s  label %d", id, s.Key, s.Label)
	encoded, err := r.Render(&s, augment.Key{Seed: o.Seed, Epoch: o.Epoch, Sample: id}, pixels, nil)
	if err != nil {
		return labelled(nil, minShown*4, append([]string{title}, wrap(err.Error(), minShown*4)...), ink), nil
	}
	var whole augment.Image
	if err := augment.Decode(&s, p.Limits, &whole); err != nil {
		return nil, err
	}
	plans := make([]augment.Plan, len(encoded))
	for v, b := range encoded {
		if plans[v], err = augment.ParsePlan(b); err != nil {
			return nil, err
		}
	}
	scale := float64(maxOrigin) / float64(max(whole.W, whole.H))
	shown := enlarge(whole.Pix, whole.W, whole.H, max(1, int(float64(whole.W)*scale)), max(1, int(float64(whole.H)*scale)), scale < 1)
	for v := range plans {
		b := plans[v].Source()
		at := func(n int) int { return int(float64(n) * scale) }
		frame(shown, image.Rect(at(b.X), at(b.Y), at(b.X+b.W), at(b.Y+b.H)), palette[v%len(palette)])
	}
	original := labelled(shown, shown.Rect.Dx(), wrap(fmt.Sprintf("%s  %dx%d", title, whole.W, whole.H), shown.Rect.Dx()), ink)
	return row(append([]*image.RGBA{original}, viewCells(p.ViewSpecs(), plans, pixels)...)), nil
}

// titleWidth is the width of the cell that names a row's sample, pixels.
const titleWidth = 180

// recorded draws the views of one recorded sample, its title in front.
func recorded(title string, views []schemas.ViewSpec, plans []augment.Plan, pixels [][]byte) *image.RGBA {
	cell := labelled(nil, titleWidth, wrap(title, titleWidth), ink)
	return row(append([]*image.RGBA{cell}, viewCells(views, plans, pixels)...))
}

// viewCells draws the views of one sample, each with its plan.
func viewCells(views []schemas.ViewSpec, plans []augment.Plan, pixels [][]byte) []*image.RGBA {
	var cells []*image.RGBA
	for v, view := range views {
		side := view.Size * max(1, (minShown+view.Size/2)/view.Size)
		lines := append([]string{fmt.Sprintf("%s (%s) %d", view.Name, view.Role, view.Size)}, wrap(plans[v].String(), max(side, minShown))...)
		cells = append(cells, labelled(enlarge(pixels[v], view.Size, view.Size, side, side, false), max(side, minShown), lines, palette[v%len(palette)]))
	}
	return cells
}

// enlarge resizes (h,w,3) pixels: smoothly, or as squares.
func enlarge(pix []byte, w, h, toW, toH int, smooth bool) *image.RGBA {
	src := image.NewRGBA(image.Rect(0, 0, w, h))
	for i, j := 0, 0; j < len(pix); i, j = i+4, j+3 {
		src.Pix[i], src.Pix[i+1], src.Pix[i+2], src.Pix[i+3] = pix[j], pix[j+1], pix[j+2], 255
	}
	dst := image.NewRGBA(image.Rect(0, 0, toW, toH))
	var how xdraw.Scaler = xdraw.NearestNeighbor
	if smooth {
		how = xdraw.BiLinear
	}
	how.Scale(dst, dst.Rect, src, src.Rect, draw.Src, nil)
	return dst
}

// frame draws the outline of a rectangle, two pixels wide, inside it.
func frame(m *image.RGBA, r image.Rectangle, c color.Color) {
	u := image.NewUniform(c)
	for _, side := range []image.Rectangle{
		{r.Min, image.Pt(r.Max.X, r.Min.Y+2)},
		{image.Pt(r.Min.X, r.Max.Y-2), r.Max},
		{r.Min, image.Pt(r.Min.X+2, r.Max.Y)},
		{image.Pt(r.Max.X-2, r.Min.Y), r.Max},
	} {
		draw.Draw(m, side.Intersect(m.Rect), u, image.Point{}, draw.Src)
	}
}

// labelled is a picture in a coloured frame, with lines of text under it.
func labelled(m *image.RGBA, width int, lines []string, c color.Color) *image.RGBA {
	h := 0
	if m != nil {
		h = m.Rect.Dy()
	}
	lines = lines[:min(len(lines), textLines)]
	cell := blank(width+2*margin, h+2*margin+(len(lines)+1)*lineHeight)
	if m != nil {
		around := image.Rect(margin-3, margin-3, margin+m.Rect.Dx()+3, margin+h+3)
		draw.Draw(cell, around, image.NewUniform(c), image.Point{}, draw.Src)
		draw.Draw(cell, image.Rect(margin, margin, margin+m.Rect.Dx(), margin+h), m, image.Point{}, draw.Src)
	}
	pen := font.Drawer{Dst: cell, Src: image.NewUniform(ink), Face: basicfont.Face7x13}
	for i, line := range lines {
		pen.Dot = fixed.P(margin, h+margin+(i+1)*lineHeight+4)
		pen.DrawString(line)
	}
	return cell
}

// wrap breaks text into lines of the given width. The font knows ASCII alone,
// so a plan's symbols are spelled out.
func wrap(text string, width int) []string {
	text = strings.NewReplacer("×", "x", "→", "->", "σ", "sigma").Replace(text)
	perLine := max(width/basicfont.Face7x13.Advance, 8)
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		for len(word) > perLine { // a path may have no space to break at
			if line != "" {
				lines, line = append(lines, line), ""
			}
			lines, word = append(lines, word[:perLine]), word[perLine:]
		}
		switch {
		case line == "":
			line = word
		case len(line)+1+len(word) <= perLine:
			line += " " + word
		default:
			lines, line = append(lines, line), word
		}
	}
	return append(lines, line)
}

func blank(w, h int) *image.RGBA {
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	draw.Draw(m, m.Rect, image.NewUniform(paper), image.Point{}, draw.Src)
	return m
}

// row puts cells side by side.
func row(cells []*image.RGBA) *image.RGBA {
	w, h := 0, 0
	for _, c := range cells {
		w, h = w+c.Rect.Dx(), max(h, c.Rect.Dy())
	}
	m := blank(w, h)
	x := 0
	for _, c := range cells {
		draw.Draw(m, c.Rect.Add(image.Pt(x, 0)), c, image.Point{}, draw.Src)
		x += c.Rect.Dx()
	}
	return m
}

// Stack puts rows under one another.
func Stack(rows []*image.RGBA) *image.RGBA {
	w, h := 0, 0
	for _, r := range rows {
		w, h = max(w, r.Rect.Dx()), h+r.Rect.Dy()
	}
	m := blank(w, h)
	y := 0
	for _, r := range rows {
		draw.Draw(m, r.Rect.Add(image.Pt(0, y)), r, image.Point{}, draw.Src)
		y += r.Rect.Dy()
	}
	return m
}
