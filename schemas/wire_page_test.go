package schemas_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strconv"
	"strings"
	"testing"

	"resslt/schemas"
)

// TestWirePage: docs/wire.md has every header, subject, stream and column that there is, so
// that somebody can write a reader from it alone.
func TestWirePage(t *testing.T) {
	raw, err := os.ReadFile("../docs/wire.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(raw)
	want := map[string]string{}
	add := func(what string, texts ...string) {
		for _, s := range texts {
			want[s] = what
		}
	}
	headers := 0
	f, err := parser.ParseFile(token.NewFileSet(), "subjects.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(f, func(n ast.Node) bool {
		v, ok := n.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(v.Names[0].Name, "Header") {
			return true
		}
		s, err := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		add("header", "`"+s+"`")
		headers++
		return true
	})
	if headers < 5 {
		t.Fatalf("%d headers are in subjects.go", headers)
	}
	const run = "<run>"
	add("stream", schemas.TasksStream(run), schemas.BatchStream(run), schemas.CtrlStream(run), schemas.BeatsStream(run))
	step := strings.NewReplacer(".0.1", ".<step>.<chunk>")
	add("subject", step.Replace(schemas.TaskSubject(run, 0, 1)), step.Replace(schemas.ChunkSubject(run, 0, 1)),
		schemas.SpecSubject(run), schemas.OptionsSubject(run), schemas.StopSubject(run), schemas.TrainerSubject(run, "<name>"), schemas.WorkerSubject(run, "<name>"))
	add("consumer", "`"+schemas.WorkersConsumer+"`")
	info := schemas.RunInfo{Spec: schemas.RunSpec{Views: []schemas.ViewSpec{{Name: "<view>", Role: schemas.Student, Size: 8}}}}
	record, err := schemas.RecordSchema(&info, true)
	if err != nil {
		t.Fatal(err)
	}
	views, tasks := schemas.ViewBatchSchema(info.Spec.Views), schemas.TaskBatchSchema()
	for _, f := range append(append(views.Fields(), tasks.Fields()...), record.Fields()...) {
		add("column", "`"+f.Name+"`")
		for _, k := range f.Metadata.Keys() {
			add("key of a column", "`"+k+"`")
		}
	}
	add("version", schemas.RecordLogVersion, schemas.RecordPixelsVersion, views.Metadata().Values()[0], tasks.Metadata().Values()[0])
	add("key of a schema", "`"+schemas.MetaVersion+"`", "`"+schemas.MetaRun+"`")
	for _, f := range views.Fields() {
		if !strings.Contains(page, "| `"+f.Name+"` | "+strings.TrimSuffix(f.Type.String(), "[192]")) {
			t.Errorf("docs/wire.md has no row of column %s of type %s", f.Name, f.Type)
		}
	}
	for s, what := range want {
		if !strings.Contains(page, s) {
			t.Errorf("docs/wire.md has not the %s %s", what, s)
		}
	}
}
