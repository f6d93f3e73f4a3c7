package main

import (
	"context"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"io"
	"strings"

	"github.com/spf13/cobra"
	xdraw "golang.org/x/image/draw"
	"golang.org/x/image/font"
	"golang.org/x/image/font/basicfont"
	"golang.org/x/image/math/fixed"

	"resslt/augment"
	"resslt/cmd/internal/cli"
	"resslt/cmd/internal/pipeline"
	"resslt/ingest"
	"resslt/schemas"
	"resslt/schemas/durable"
	"resslt/schemas/errs"
)

// inspectOptions are the flags of resslt inspect.
type inspectOptions struct {
	data, split, policy, engine, out string
	imageSize, count                 int
	seed                             uint64
	epoch, sample                    int64
	step                             stepOptions
}

// maxInspected bounds a sheet, which is held in memory whole.
const maxInspected = 64

func newInspectCommand() *cobra.Command {
	o := inspectOptions{policy: "small", out: "sheet.png", count: 4}
	c := &cobra.Command{
		Use:   "inspect --data URI | --step N --record SOURCE",
		Short: "draw samples and their views, or a recorded step's, with the drawn plans, as one PNG sheet",
		Long: `inspect draws what a run would train on: each sample with the crop boxes of its
views, then every view with the random numbers that made it. A view's frame has
the colour of its box. The same seed, epoch and sample give the same views here
as in a run.

With --step it draws what a step of a run was given: the recorded pixels, the batch that
was kept because its loss was no number, or else views made again from the recipe log and
held against its digests.`,
		Example: `  resslt inspect --data cifar10:DIR --policy small --out sheet.png
  resslt inspect --data folder:DIR --policy imagenet-multi --sample 17 --count 1
  resslt inspect --step 120 --record runs/quickstart --out step-120.png`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if c.Flags().Changed("step") || o.step.record != "" {
				return o.runStep(c)
			}
			return o.run(c)
		},
	}
	f := c.Flags()
	f.StringVar(&o.data, "data", "", "data set, as URI")
	f.StringVar(&o.split, "split", "", "part of the data set")
	f.StringVar(&o.policy, "policy", o.policy, "preset ("+strings.Join(augment.Presets(), ", ")+") or YAML file")
	f.IntVar(&o.imageSize, "image-size", 0, "size of the views, where they are all alike (default: the policy's)")
	f.StringVar(&o.engine, "engine", "", "renderer: "+strings.Join(augment.EngineNames(), ", ")+" (default: the first)")
	f.Uint64Var(&o.seed, "seed", 0, "seed of the run")
	f.Int64Var(&o.epoch, "epoch", 0, "epoch to draw for")
	f.Int64Var(&o.sample, "sample", 0, "first sample to draw")
	f.IntVar(&o.count, "count", o.count, fmt.Sprintf("samples to draw, 1 to %d", maxInspected))
	f.StringVar(&o.out, "out", o.out, "PNG file to write")
	o.step.register(f)
	return c
}

func (o *inspectOptions) run(c *cobra.Command) (err error) {
	if o.data == "" {
		return errs.New("", c.CommandPath(), "give --data "+schemeList(), errs.Because(errs.ErrUsage, "no --data"))
	}
	if o.count < 1 || o.count > maxInspected {
		return errs.New("inspect", "--count", fmt.Sprintf("give 1 to %d", maxInspected), errs.Because(errs.ErrUsage, fmt.Sprintf("is %d", o.count)))
	}
	sheet, policy, err := o.sheet(c.Context(), cli.Progress(c.ErrOrStderr(), "index"))
	if err != nil {
		return err
	}
	if err := writePNG(o.out, sheet); err != nil {
		return err
	}
	fmt.Fprintf(c.ErrOrStderr(), "%s: samples from %d on, policy %s\n", o.out, o.sample, policy)
	return nil
}

// sheet draws the samples under one another, and names the policy and the engine.
func (o *inspectOptions) sheet(ctx context.Context, indexing func(done, total int64)) (*image.RGBA, string, error) {
	policy, err := pipeline.Policy(o.policy, o.imageSize)
	if err != nil {
		return nil, "", err
	}
	engine, err := augment.EngineByFamily(o.engine)
	if err != nil {
		return nil, "", err
	}
	renderer, err := augment.NewRenderer(engine, policy)
	if err != nil {
		return nil, "", err
	}
	defer renderer.Close()
	src, err := ingest.Open(ctx, o.data, ingest.Options{Split: o.split, Progress: indexing})
	if err != nil {
		return nil, "", err
	}
	defer src.Close()
	if o.sample < 0 || o.sample >= src.Len() {
		return nil, "", errs.New("inspect", "--sample", fmt.Sprintf("give 0 to %d", src.Len()-1), errs.Because(errs.ErrUsage, fmt.Sprintf("is %d", o.sample)))
	}
	var rows []*image.RGBA
	for id := o.sample; id < min(o.sample+int64(o.count), src.Len()); id++ {
		row, err := o.row(ctx, src, renderer, policy, id)
		if err != nil {
			return nil, "", err
		}
		rows = append(rows, row)
	}
	return stack(rows), policy.Name + ", engine " + engine.Name(), nil
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

// row draws one sample: the original with its boxes, then its views. A sample
// that cannot be rendered is drawn as the message that says why.
func (o *inspectOptions) row(ctx context.Context, src ingest.Source, r *augment.Renderer, p *augment.Policy, id int64) (*image.RGBA, error) {
	var s schemas.Sample
	if err := src.Read(ctx, id, &s); err != nil {
		return nil, err
	}
	pixels := make([][]byte, len(p.Views))
	for v := range p.Views {
		pixels[v] = make([]byte, 3*p.Views[v].Size*p.Views[v].Size)
	}
	title := fmt.Sprintf("sample %d  %s  label %d", id, s.Key, s.Label)
	encoded, err := r.Render(&s, augment.Key{Seed: o.seed, Epoch: o.epoch, Sample: id}, pixels, nil)
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
		b := plans[v].Box
		at := func(n int) int { return int(float64(n) * scale) }
		frame(shown, image.Rect(at(b.X), at(b.Y), at(b.X+b.W), at(b.Y+b.H)), palette[v%len(palette)])
	}
	original := labelled(shown, shown.Rect.Dx(), wrap(fmt.Sprintf("%s  %dx%d", title, whole.W, whole.H), shown.Rect.Dx()), ink)
	return beside(append([]*image.RGBA{original}, viewCells(p.ViewSpecs(), plans, pixels)...)), nil
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

// enlarge gives (h,w,3) pixels another size: smoothly, or as squares.
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
// so the signs of a plan are spelt out.
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

// beside puts cells in a row, stack puts rows under one another.
func beside(cells []*image.RGBA) *image.RGBA {
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

func stack(rows []*image.RGBA) *image.RGBA {
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

// writePNG writes the whole file or none of it.
func writePNG(name string, m image.Image) error {
	return durable.Replace(name, func(w io.Writer) error { return png.Encode(w, m) })
}
