package paper

import (
	_ "embed"
	"fmt"
	"slices"
	"sync"

	"github.com/goccy/go-yaml"
)

//go:embed tables.yaml
var raw []byte

// Table is a table of the paper.
type Table struct {
	Number   int     `yaml:"number" json:"number"`
	Title    string  `yaml:"title" json:"title"`
	Sweep    string  `yaml:"sweep" json:"sweep,omitempty"`       // that of Tables 1 to 6
	OnCPU    string  `yaml:"on_cpu" json:"on_cpu,omitempty"`     // the sweep that shows its order at a CPU's budget
	Protocol string  `yaml:"protocol" json:"protocol,omitempty"` // the verb of `resslt eval`
	Scores   []Score `yaml:"scores" json:"scores,omitempty"`
	Rows     []Row   `yaml:"rows" json:"rows,omitempty"`

	Data     string `yaml:"data" json:"-"`     // of scores and rows that name none
	Backbone string `yaml:"backbone" json:"-"` // of rows that name none
}

// Score is a column of figures.
type Score struct {
	Name  string `yaml:"name" json:"name"` // as in eval.json
	Data  string `yaml:"data" json:"data,omitempty"`
	Title string `yaml:"title" json:"title,omitempty"`
}

// Row is a method's figures.
type Row struct {
	Method    string     `yaml:"method" json:"method"`
	Recipe    string     `yaml:"recipe" json:"recipe,omitempty"`       // that trains it here, or ResNet50
	Objective string     `yaml:"objective" json:"objective,omitempty"` // of this project, where it is not ReSSL
	Teacher   string     `yaml:"teacher" json:"teacher,omitempty"`     // the trained network that its student learns from
	Policy    string     `yaml:"policy" json:"policy,omitempty"`       // whose crops the row is about, where there is no recipe
	Own       bool       `yaml:"own" json:"own,omitempty"`             // its figure is of the method's own classifier
	Backbone  string     `yaml:"backbone" json:"backbone,omitempty"`
	Data      string     `yaml:"data" json:"data,omitempty"` // of all its scores
	Epochs    int        `yaml:"epochs" json:"epochs,omitempty"`
	Figures   []*float64 `yaml:"figures" json:"figures"` // one for each score, percent; nil: none
	Source    string     `yaml:"source" json:"source,omitempty"`
}

// ResNet50 stands for each recipe whose encoder may be that of Tables 9 to 12, which do not say
// of which crops it is.
const ResNet50 = "resnet50"

// MayBeResNet50 are those recipes.
func MayBeResNet50() []string {
	return []string{"imagenet", "imagenet-2crop", "imagenet-multi", "imagenet-strong"}
}

// TransferMean is the data of the mean over Table 9's nine data sets.
const TransferMean = "table 9"

// load reads the file once. It is embedded, and a test reads it: an error is a fault of the build.
var load = sync.OnceValues(func() ([]Table, error) {
	var tables []Table
	if err := yaml.UnmarshalWithOptions(raw, &tables, yaml.Strict()); err != nil {
		return nil, fmt.Errorf("tables.yaml: %w", err)
	}
	for i := range tables {
		t := &tables[i]
		for k := range t.Rows {
			row := &t.Rows[k]
			if row.Backbone == "" {
				row.Backbone = t.Backbone
			}
			if len(row.Figures) != len(t.Scores) {
				return nil, fmt.Errorf("tables.yaml: table %d, %s: %d figures for %d scores", t.Number, row.Method, len(row.Figures), len(t.Scores))
			}
		}
	}
	return tables, nil
})

// Tables are the paper's tables in order. They are shared: do not change them.
func Tables() []Table {
	tables, err := load()
	if err != nil {
		return nil
	}
	return tables
}

// DataOf is the data set that a row's score is on.
func (t *Table) DataOf(row *Row, s Score) string {
	for _, name := range []string{row.Data, s.Data, t.Data} {
		if name != "" {
			return name
		}
	}
	return ""
}

// Trains reports whether a recipe trains the row.
func (r *Row) Trains(recipe string) bool {
	return r.Recipe != "" && r.Recipe == recipe || r.Recipe == ResNet50 && slices.Contains(MayBeResNet50(), recipe)
}

// Figure is one figure of the paper.
type Figure struct {
	Value  float64 // percent
	Source string  // "Table 7, MoCo v2"
	Epochs int     // how long its encoder was trained; 0: the paper does not say
}

// Wanted says which figure: a score of a protocol on data, by the encoder of a recipe, or of
// another method's objective.
type Wanted struct {
	Protocol, Data, Score       string
	Recipe, Objective, Backbone string // Objective "": ReSSL's
}

// Find is the paper's figure.
func Find(w Wanted) (Figure, bool) {
	for i := range Tables() {
		t := &Tables()[i]
		for k := range t.Rows {
			if t.Protocol == w.Protocol && t.Rows[k].is(w) {
				if f, ok := t.figure(&t.Rows[k], w); ok {
					return f, true
				}
			}
		}
	}
	return Figure{}, false
}

// Alone reports whether no figure of ours may stand beside the row's: no encoder's file says by
// which teacher or of which crops it was trained, and no evaluation scores a method's own classifier.
func (r *Row) Alone() bool { return r.Teacher != "" || r.Policy != "" || r.Own }

func (r *Row) is(w Wanted) bool {
	if r.Backbone != w.Backbone || r.Alone() {
		return false
	}
	if w.Objective != "" {
		return r.Objective == w.Objective
	}
	return r.Trains(w.Recipe)
}

func (t *Table) figure(row *Row, w Wanted) (Figure, bool) {
	for i, s := range t.Scores {
		if v := row.Figures[i]; v != nil && s.Name == w.Score && t.DataOf(row, s) == w.Data {
			source := row.Source
			if source == "" {
				source = fmt.Sprintf("Table %d", t.Number)
			}
			return Figure{*v, source + ", " + row.Method, row.Epochs}, true
		}
	}
	return Figure{}, false
}
