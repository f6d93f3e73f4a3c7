package recipe

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"resslt/schemas/errs"

	"gonum.org/v1/gonum/stat/distuv"
)

// Sweep is a table of runs: rows × columns of overrides over recipes, with the figures
// that a paper reports for them. A cell is a run, or one run a seed. The yaml tags are
// the keys of a sweep file.
type Sweep struct {
	// As in a recipe: free text, kept with the result.
	Name     string `yaml:"name"`
	Claim    string `yaml:"claim"`
	Source   string `yaml:"source"` // the table, what it leaves open, and where that is from
	Hardware string `yaml:"hardware"`
	Measured string `yaml:"measured"`

	Recipe string   `yaml:"recipe"` // of every cell whose row and column name none
	Set    []string `yaml:"set"`    // overrides of every cell, key=value
	Seeds  []uint64 `yaml:"seeds"`  // default: the recipe's own
	Metric string   `yaml:"metric"` // of Paper's figures: "linear" (default) or "knn", top-1 in percent

	Rows    Axis `yaml:"rows"`
	Columns Axis `yaml:"columns"`

	// Paper has a list for each row and a number for each column; null if the paper
	// reports none.
	Paper [][]*float64 `yaml:"paper"`
}

// Axis is one side of the table: the values of one key, or points with overrides of
// their own. An axis without either has a single point.
type Axis struct {
	Title  string   `yaml:"title"` // heading; default: key
	Key    string   `yaml:"key"`
	Values []string `yaml:"values"` // of key
	Points []Point  `yaml:"points"`
}

// Point is a row or a column.
type Point struct {
	Name   string   `yaml:"name"`
	Recipe string   `yaml:"recipe"` // instead of the sweep's
	Set    []string `yaml:"set"`    // overrides, key=value
}

// Cell is one run of a sweep.
type Cell struct {
	ID          string // names the run's folder and trainer: letters, digits, '-' and '_'
	Row, Column int
	Seed        *uint64 // nil: the recipe's own
	Recipe      string  // embedded recipe or file
	Set         []string
	Paper       *float64 // percent; nil if the paper reports none
}

// SweepNames lists the embedded sweeps in order.
func SweepNames() []string { return sweeps.names() }

// LoadSweep reads an embedded sweep by name, or a file if name ends in .yaml or .yml.
// Errors wrap errs.ErrUsage.
func LoadSweep(name string) (*Sweep, error) {
	raw, err := sweeps.read(name)
	if err != nil {
		return nil, err
	}
	return ParseSweep(name, raw)
}

// ParseSweep reads a sweep from YAML and checks it; where is its name or path, which
// errors name.
func ParseSweep(where string, raw []byte) (*Sweep, error) {
	s := &Sweep{}
	if err := sweeps.parse(where, raw, s); err != nil {
		return nil, err
	}
	if s.Name == "" {
		s.Name = stem(where)
	}
	if err := s.Validate(); err != nil {
		return nil, err
	}
	return s, nil
}

// Validate checks that the sweep is a table. Its recipes are checked when they are
// loaded. Errors wrap errs.ErrUsage.
func (s *Sweep) Validate() error {
	bad := func(key, why, hint string) error {
		return errs.New("sweep "+s.Name+" key", key, hint, errs.Because(errs.ErrUsage, why))
	}
	if s.Metric != "" && s.Metric != "linear" && s.Metric != "knn" {
		return bad("metric", fmt.Sprintf("is %q", s.Metric), "give linear or knn")
	}
	for i, seed := range s.Seeds {
		if slices.Contains(s.Seeds[:i], seed) {
			return bad("seeds", fmt.Sprintf("has %d twice", seed), "name each seed once")
		}
	}
	for i, a := range []Axis{s.Rows, s.Columns} {
		name := []string{"rows", "columns"}[i]
		switch {
		case (a.Key == "") != (len(a.Values) == 0):
			return bad(name, "has a key without values, or values without a key", "give both, or points")
		case a.Key != "" && len(a.Points) > 0:
			return bad(name, "has both a key and points", "give one of them")
		}
	}
	for _, r := range s.RowPoints() {
		for _, c := range s.ColumnPoints() {
			if s.Recipe == "" && r.Recipe == "" && c.Recipe == "" {
				return bad("recipe", "is empty, and "+r.Name+" × "+c.Name+" names none", "name one")
			}
			if r.Recipe != "" && c.Recipe != "" {
				return bad("recipe", "is named by row "+r.Name+" and by column "+c.Name, "let one of the two name it")
			}
		}
	}
	if len(s.Paper) == 0 {
		return nil
	}
	if have, want := len(s.Paper), len(s.RowPoints()); have != want {
		return bad("paper", fmt.Sprintf("has %d rows, the table %d", have, want), "give one list for each row, null where there is no figure")
	}
	for i, row := range s.Paper {
		if have, want := len(row), len(s.ColumnPoints()); have != want {
			return bad("paper", fmt.Sprintf("has %d figures in row %s, the table %d columns", have, s.RowPoints()[i].Name, want), "give one for each column, null where there is none")
		}
		for _, p := range row {
			if p != nil && !(*p >= 0 && *p <= 100) {
				return bad("paper", fmt.Sprintf("states %g in row %s", *p, s.RowPoints()[i].Name), "give percent")
			}
		}
	}
	return nil
}

// RowPoints are the table's rows, at least one.
func (s *Sweep) RowPoints() []Point { return s.Rows.points() }

// ColumnPoints are the table's columns, at least one.
func (s *Sweep) ColumnPoints() []Point { return s.Columns.points() }

func (a Axis) points() []Point {
	if a.Key == "" && len(a.Points) == 0 {
		return []Point{{}}
	}
	out := slices.Clone(a.Points)
	for _, v := range a.Values {
		out = append(out, Point{Name: v, Set: []string{a.Key + "=" + v}})
	}
	return out
}

// Heading is the axis's title, or else its key.
func (a Axis) Heading() string {
	if a.Title != "" {
		return a.Title
	}
	return a.Key
}

// Cells are the runs of the sweep, row by row. The overrides apply in this order: the
// sweep's, extra, the row's, the column's, the seed.
func (s *Sweep) Cells(extra ...string) []Cell {
	var cells []Cell
	for i, r := range s.RowPoints() {
		for j, c := range s.ColumnPoints() {
			cell := Cell{Row: i, Column: j, Recipe: s.Recipe, Set: slices.Concat(s.Set, extra, r.Set, c.Set)}
			if p := r.Recipe + c.Recipe; p != "" { // Validate allows at most one of the two
				cell.Recipe = p
			}
			if len(s.Paper) > 0 {
				cell.Paper = s.Paper[i][j]
			}
			cell.ID = cellID(i, r.Name, j, c.Name)
			if len(s.Seeds) == 0 {
				cells = append(cells, cell)
			}
			for _, seed := range s.Seeds {
				seeded := cell
				seeded.Seed = &seed
				seeded.Set = append(slices.Clone(cell.Set), "seed="+strconv.FormatUint(seed, 10))
				seeded.ID += "-s" + strconv.FormatUint(seed, 10)
				cells = append(cells, seeded)
			}
		}
	}
	return cells
}

// maxIDPart bounds the length of a name in an ID.
const maxIDPart = 16

// cellID is "r<row>_<name>-c<column>_<name>": the numbers make it unique, the names
// readable, and it is valid in a broker subject and as a folder name.
func cellID(row int, rowName string, column int, columnName string) string {
	part := func(kind string, n int, name string) string {
		clean := strings.Map(func(r rune) rune {
			switch {
			case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
				return r
			case r == '.':
				return '_'
			}
			return -1
		}, name)
		out := kind + strconv.Itoa(n)
		if clean != "" {
			out += "_" + clean[:min(len(clean), maxIDPart)]
		}
		return out
	}
	return part("r", row+1, rowName) + "-" + part("c", column+1, columnName)
}

// GridSweep makes a sweep over a recipe from axes "key=v1,v2,…": the last one gives the
// columns, the product of the others the rows. Errors wrap errs.ErrUsage.
func GridSweep(recipe string, grids []string, seeds []uint64) (*Sweep, error) {
	s := &Sweep{Name: recipe, Recipe: recipe, Seeds: seeds}
	if isFile(recipe) {
		s.Name = stem(recipe)
	}
	var titles []string
	rows := []Point{{}}
	for i, g := range grids {
		key, list, ok := strings.Cut(g, "=")
		values := splitValues(list)
		if key = strings.TrimSpace(key); !ok || key == "" || slices.Contains(values, "") {
			return nil, errs.New("--grid", g, "write key=value,value,…, e.g. --grid tau_t=0.03,0.04,0.05", errs.ErrUsage)
		}
		if i == len(grids)-1 {
			s.Columns = Axis{Key: key, Values: values}
			break
		}
		titles = append(titles, key)
		var product []Point
		for _, p := range rows {
			for _, v := range values {
				product = append(product, Point{
					Name: strings.TrimSpace(p.Name + " " + v), Set: append(slices.Clone(p.Set), key+"="+v),
				})
			}
		}
		rows = product
	}
	if len(titles) > 0 {
		s.Rows = Axis{Title: strings.Join(titles, " "), Points: rows}
	}
	return s, s.Validate()
}

// splitValues splits at commas outside brackets: knn_k=[20,200],[5] has two values.
func splitValues(list string) []string {
	var out []string
	depth, from := 0, 0
	for i, r := range list {
		switch r {
		case '[':
			depth++
		case ']':
			depth--
		case ',':
			if depth == 0 {
				out = append(out, strings.TrimSpace(list[from:i]))
				from = i + 1
			}
		}
	}
	return append(out, strings.TrimSpace(list[from:]))
}

// MeanStd returns the mean over a cell's seeds and the sample standard deviation (n − 1),
// 0 for a single seed.
func MeanStd(x []float64) (mean, std float64) {
	for _, v := range x {
		mean += v
	}
	mean /= float64(len(x))
	if len(x) < 2 {
		return mean, 0
	}
	for _, v := range x {
		std += float64((v - mean) * (v - mean))
	}
	return mean, math.Sqrt(std / float64(len(x)-1))
}

// Confidence of Interval, percent.
const Confidence = 95

// Interval returns the mean of two or more independent values, and half the width of the
// interval that it is in with a confidence of 95 %, by Student's t.
func Interval(x []float64) (mean, half float64) {
	mean, std := MeanStd(x)
	n := float64(len(x))
	t := distuv.StudentsT{Sigma: 1, Nu: n - 1}.Quantile(0.5 + Confidence/200.0)
	return mean, t * std / math.Sqrt(n)
}
