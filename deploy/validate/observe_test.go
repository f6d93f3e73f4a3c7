package validate

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"
)

// program starts a program that lives as long as the test. What it prints is shown where the
// test fails.
func program(t *testing.T, name string, args ...string) {
	t.Helper()
	var out bytes.Buffer
	c := exec.Command(name, args...)
	c.Stdout, c.Stderr = &out, &out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
		if t.Failed() {
			t.Logf("%s: %s", filepath.Base(name), out.Bytes()[max(0, out.Len()-3000):])
		}
	})
}

// address is a free one of this machine.
func address(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// write writes a file into a folder, and gives its path.
func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// ask gets the data of Prometheus' answer.
func ask(at string, data any) error {
	r, err := http.Get(at)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	var answer struct {
		Status, Error string
		Data          json.RawMessage
	}
	if err := json.NewDecoder(r.Body).Decode(&answer); err != nil {
		return err
	}
	if answer.Status != "success" {
		return fmt.Errorf("%s: %s", answer.Status, answer.Error)
	}
	return json.Unmarshal(answer.Data, data)
}

// has reports whether a query has a value that is a number.
func has(prometheus, query string) bool {
	var data struct {
		Result []struct{ Value [2]any }
	}
	if err := ask(prometheus+"/api/v1/query?query="+url.QueryEscape(query), &data); err != nil {
		return false
	}
	for _, r := range data.Result {
		if r.Value[1] != "NaN" {
			return true
		}
	}
	return false
}

// scrapeConfig is deploy's configuration of Prometheus for a farm that is here, in a hurry: each job
// has one target.
func scrapeConfig(t *testing.T, targets map[string]string) string {
	t.Helper()
	var c map[string]any
	if err := yaml.Unmarshal(read(t, "../prometheus/prometheus.yaml"), &c); err != nil {
		t.Fatal(err)
	}
	alerts, err := filepath.Abs("../prometheus/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c["rule_files"] = []string{alerts}
	c["global"] = map[string]string{"scrape_interval": "500ms", "evaluation_interval": "500ms"}
	jobs := c["scrape_configs"].([]any)
	if len(jobs) != len(targets) {
		t.Fatalf("%d jobs, want %d", len(jobs), len(targets))
	}
	for _, job := range jobs {
		j := job.(map[string]any)
		target, ok := targets[j["job_name"].(string)]
		if !ok {
			t.Fatalf("job %v is of no program", j["job_name"])
		}
		j["static_configs"] = []any{map[string]any{"targets": []string{target}}}
	}
	raw, err := yaml.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// TestObserved has a real Prometheus scrape a real small farm: every query of the dashboard
// and of the scaler has data, and every alert can be evaluated.
func TestObserved(t *testing.T) {
	nats, err := exec.LookPath("nats-server")
	if err != nil {
		t.Skip("nats-server is not on PATH: apt-get install nats-server")
	}
	bin := map[string]string{}
	for _, name := range []string{"prometheus", "resslt", "augmentd", "libresslt_torch.so"} {
		if bin[name], err = filepath.Abs("../../bin/" + name); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(bin[name]); err != nil {
			t.Skipf("bin/%s is not there: make build bin/promtool", name)
		}
	}
	dir := t.TempDir()
	broker, worker, trainer, prometheus := address(t), address(t), address(t), address(t)
	program(t, nats, "-c", write(t, dir, "nats.conf", fmt.Sprintf(`
listen: %q
max_payload: 8MB
jetstream { store_dir: %q }
accounts { farm: { jetstream: { max_mem: 1GB, max_file: 1GB, max_streams: 10, max_consumers: 10 }, users: [ { user: u, password: p } ] } }
`, broker, filepath.Join(dir, "js"))))
	for start := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		if c, err := net.Dial("tcp", broker); err == nil {
			c.Close()
			break
		}
		if time.Since(start) > 20*time.Second {
			t.Fatal("the broker does not come up")
		}
	}
	at := "nats://u:p@" + broker
	program(t, bin["augmentd"], "--nats", at, "--workers", "1", "--metrics", worker)
	program(t, bin["resslt"], "train", "--nats", at, "--run", "observed", "--recipe", "smoke", "--set", "epochs=1000", "--out", filepath.Join(dir, "out"), "--metrics", trainer)
	config := write(t, dir, "prometheus.yaml", scrapeConfig(t, map[string]string{"augmentd": worker, "resslt-train": trainer}))
	program(t, bin["prometheus"], "--web.listen-address="+prometheus, "--storage.tsdb.path="+filepath.Join(dir, "tsdb"), "--config.file="+config)

	missing := dashboardQueries(t)
	for start := time.Now(); len(missing) > 0; time.Sleep(200 * time.Millisecond) {
		for q := range missing {
			if has("http://"+prometheus, q) {
				delete(missing, q)
			}
		}
		if time.Since(start) > 2*time.Minute {
			break
		}
	}
	for q, title := range missing {
		t.Errorf("panel %q has no data by %s", title, q)
	}
	var rules struct {
		Groups []struct {
			Rules []struct{ Name, Health, LastError string }
		}
	}
	if err := ask("http://"+prometheus+"/api/v1/rules", &rules); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			if n++; r.Health != "ok" {
				t.Errorf("alert %s is %s: %s", r.Name, r.Health, r.LastError)
			}
		}
	}
	if n < 10 {
		t.Errorf("%d alerts", n)
	}
}

// dashboardQueries are those of the dashboard by the panel's title, and the scaler's.
func dashboardQueries(t *testing.T) map[string]string {
	t.Helper()
	var d struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(read(t, "../grafana/resslt.json"), &d); err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, p := range d.Panels {
		for _, g := range p.Targets {
			out[g.Expr] = p.Title
		}
	}
	for l := range strings.Lines(string(read(t, "../kubernetes/scaledobject.yaml"))) {
		if _, q, ok := strings.Cut(strings.TrimSpace(l), "query: "); ok {
			out[q] = "the scaler"
		}
	}
	return out
}
