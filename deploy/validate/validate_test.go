package validate

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	keda "github.com/kedacore/keda/v2/apis/keda/v1alpha1"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	docker "github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/yaml"
)

// manifests are what kubectl applies of ../kubernetes; nats-values.yaml is for NATS's chart.
var manifests = []string{"augmentd.yaml", "train.yaml", "pytorchjob.yaml", "scaledobject.yaml"}

// objects decodes every document of the Kubernetes manifests into its own type, and
// fails on a field that the type has not.
func objects(t *testing.T) []metav1.Object {
	t.Helper()
	var out []metav1.Object
	for _, file := range manifests {
		raw := read(t, filepath.Join("../kubernetes", file))
		for _, doc := range bytes.Split(raw, []byte("\n---\n")) {
			var kind metav1.TypeMeta
			if err := yaml.Unmarshal(doc, &kind); err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			var o metav1.Object
			switch kind.APIVersion + "/" + kind.Kind {
			case "apps/v1/Deployment":
				o = &appsv1.Deployment{}
			case "batch/v1/Job":
				o = &batchv1.Job{}
			case "policy/v1/PodDisruptionBudget":
				o = &policyv1.PodDisruptionBudget{}
			case "v1/PersistentVolumeClaim":
				o = &corev1.PersistentVolumeClaim{}
			case "kubeflow.org/v1/PyTorchJob":
				o = &pyTorchJob{}
			case "keda.sh/v1alpha1/ScaledObject":
				o = &keda.ScaledObject{}
			default:
				t.Fatalf("%s: %s/%s is of no kind that this test knows", file, kind.APIVersion, kind.Kind)
			}
			if err := yaml.UnmarshalStrict(doc, o, yaml.DisallowUnknownFields); err != nil {
				t.Fatalf("%s, %s: %v", file, kind.Kind, err)
			}
			if bad := validation.IsDNS1123Subdomain(o.GetName()); len(bad) > 0 {
				t.Errorf("%s: name %q: %v", file, o.GetName(), bad)
			}
			for k, v := range o.GetLabels() {
				if bad := append(validation.IsQualifiedName(k), validation.IsValidLabelValue(v)...); len(bad) > 0 {
					t.Errorf("%s: label %s=%s: %v", file, k, v, bad)
				}
			}
			out = append(out, o)
		}
	}
	return out
}

// pyTorchJob is what is used of Kubeflow's type, whose module brings its operator.
type pyTorchJob struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`

	Spec struct {
		RunPolicy struct {
			CleanPodPolicy string `json:"cleanPodPolicy"`
			BackoffLimit   int32  `json:"backoffLimit"`
		} `json:"runPolicy"`
		Replicas map[string]struct {
			Replicas      int32                  `json:"replicas"`
			RestartPolicy string                 `json:"restartPolicy"`
			Template      corev1.PodTemplateSpec `json:"template"`
		} `json:"pytorchReplicaSpecs"`
	} `json:"spec"`
}

// TestPyTorchJob: one Master, and pods whose container has the name that the operator
// looks for.
func TestPyTorchJob(t *testing.T) {
	all := objects(t)
	job := find[*pyTorchJob](t, all, "resslt-train-parallel")
	if m := job.Spec.Replicas["Master"]; m.Replicas != 1 || len(job.Spec.Replicas) != 2 || job.Spec.Replicas["Worker"].Replicas < 1 {
		t.Errorf("a PyTorchJob has one Master and its Workers, not %+v", job.Spec.Replicas)
	}
	for role, r := range job.Spec.Replicas {
		checkPod(t, role, &r.Template.Spec, all)
		if c := r.Template.Spec.Containers; len(c) != 1 || c[0].Name != "pytorch" {
			t.Errorf("%s has no container pytorch alone", role)
		}
	}
}

// find gives the object of a type and name.
func find[T metav1.Object](t *testing.T, all []metav1.Object, name string) T {
	t.Helper()
	for _, o := range all {
		if o, ok := o.(T); ok && o.GetName() == name {
			return o
		}
	}
	t.Fatalf("there is no %T %q", *new(T), name)
	panic("unreachable")
}

func TestKubernetes(t *testing.T) {
	all := objects(t)
	farm := find[*appsv1.Deployment](t, all, "augmentd")
	job := find[*batchv1.Job](t, all, "resslt-train")
	if l := farm.Spec.Template.Labels; !selects(farm.Spec.Selector, l) || !selects(find[*policyv1.PodDisruptionBudget](t, all, "augmentd").Spec.Selector, l) {
		t.Errorf("selectors do not meet the pods' labels %v", l)
	}
	for name, pod := range map[string]*corev1.PodSpec{"augmentd": &farm.Spec.Template.Spec, "train": &job.Spec.Template.Spec} {
		checkPod(t, name, pod, all)
	}
	// The farm must have time to drain, and the trainer to write a checkpoint.
	if g := *farm.Spec.Template.Spec.TerminationGracePeriodSeconds; g <= 30 {
		t.Errorf("workers drain in up to 30 s and are killed after %d", g)
	}
	if p := job.Spec.Template.Spec.RestartPolicy; p != corev1.RestartPolicyNever {
		t.Errorf("podFailurePolicy wants restartPolicy Never, not %s", p)
	}
	rules := job.Spec.PodFailurePolicy.Rules
	if !slices.Contains(rules[0].OnExitCodes.Values, 2) || rules[0].Action != batchv1.PodFailurePolicyActionFailJob || *rules[0].OnExitCodes.ContainerName != job.Spec.Template.Spec.Containers[0].Name {
		t.Errorf("exit code 2 must fail the job: %+v", rules[0])
	}
}

func selects(s *metav1.LabelSelector, labels map[string]string) bool {
	sel, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		return false
	}
	for k, v := range s.MatchLabels {
		if labels[k] != v {
			return false
		}
	}
	return !sel.Empty()
}

// checkPod: mounts have volumes, claims are there, probes ask a port that is named,
// nothing runs as root.
func checkPod(t *testing.T, name string, pod *corev1.PodSpec, all []metav1.Object) {
	t.Helper()
	volumes := map[string]bool{}
	for _, v := range pod.Volumes {
		volumes[v.Name] = true
		if c := v.PersistentVolumeClaim; c != nil {
			find[*corev1.PersistentVolumeClaim](t, all, c.ClaimName)
		}
	}
	for _, c := range pod.Containers {
		for _, m := range c.VolumeMounts {
			if !volumes[m.Name] {
				t.Errorf("%s mounts %s, which is no volume", name, m.Name)
			}
		}
		ports := map[string]bool{}
		for _, p := range c.Ports {
			if bad := validation.IsValidPortName(p.Name); len(bad) > 0 {
				t.Errorf("%s: port %q: %v", name, p.Name, bad)
			}
			ports[p.Name] = true
		}
		for _, p := range []*corev1.Probe{c.LivenessProbe, c.ReadinessProbe, c.StartupProbe} {
			if p != nil && (!ports[p.HTTPGet.Port.StrVal] || p.HTTPGet.Path != "/healthz" && p.HTTPGet.Path != "/readyz") {
				t.Errorf("%s is asked %s on port %s", name, p.HTTPGet.Path, p.HTTPGet.Port.String())
			}
		}
		if s := c.SecurityContext; s == nil || *s.AllowPrivilegeEscalation || !*s.ReadOnlyRootFilesystem || !slices.Contains(s.Capabilities.Drop, "ALL") {
			t.Errorf("%s is not confined", name)
		}
	}
	if s := pod.SecurityContext; s == nil || !*s.RunAsNonRoot || *pod.AutomountServiceAccountToken {
		t.Errorf("%s may be root, or holds a token of the cluster", name)
	}
}

func TestScaler(t *testing.T) {
	all := objects(t)
	so := find[*keda.ScaledObject](t, all, "augmentd")
	if so.Spec.ScaleTargetRef.Name != find[*appsv1.Deployment](t, all, "augmentd").Name {
		t.Errorf("it scales %q", so.Spec.ScaleTargetRef.Name)
	}
	if err := keda.ValidateTriggers(so.Spec.Triggers); err != nil {
		t.Error(err)
	}
	if len(so.Spec.Triggers) != 2 {
		t.Fatalf("%d triggers", len(so.Spec.Triggers))
	}
	for _, tr := range so.Spec.Triggers {
		if tr.Type != "prometheus" || tr.Metadata["serverAddress"] == "" || tr.Metadata["threshold"] == "" {
			t.Errorf("trigger %+v", tr)
		}
		checkQuery(t, tr.Metadata["query"])
	}
}

var promql = parser.NewParser(parser.Options{})

func checkQuery(t *testing.T, query string) {
	t.Helper()
	if _, err := promql.ParseExpr(query); err != nil {
		t.Errorf("%q: %v", query, err)
	}
}

func TestAlerts(t *testing.T) {
	groups, errs := rulefmt.Parse(read(t, "../prometheus/alerts.yaml"), false, model.UTF8Validation, promql, slog.New(slog.DiscardHandler))
	for _, err := range errs {
		t.Error(err)
	}
	if len(groups.Groups) != 1 || len(groups.Groups[0].Rules) < 5 {
		t.Errorf("%d groups", len(groups.Groups))
	}
}

// promtool is Debian's, which the Makefile puts into bin, or the one on PATH.
func promtool(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"../../bin/promtool", "promtool"} {
		if bin, err := exec.LookPath(name); err == nil {
			return bin
		}
	}
	t.Skip("promtool is not there: make bin/promtool")
	return ""
}

// TestPrometheusConfig has promtool read the configuration for machines of one's own, the alerts that
// it names among it.
func TestPrometheusConfig(t *testing.T) {
	out, err := exec.Command(promtool(t), "check", "config", "../prometheus/prometheus.yaml").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "alerts.yaml") {
		t.Errorf("%v: %s", err, out)
	}
}

// TestAlertRules has promtool itself run the rules' unit tests. Each alert has a test in
// which it fires; the table of these tests says where it must not.
func TestAlertRules(t *testing.T) {
	bin := promtool(t)
	if out, err := exec.Command(bin, "check", "rules", "../prometheus/alerts.yaml").CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	if out, err := exec.Command(bin, "test", "rules", "../prometheus/alerts_test.yaml").CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	groups, _ := rulefmt.Parse(read(t, "../prometheus/alerts.yaml"), false, model.UTF8Validation, promql, slog.New(slog.DiscardHandler))
	var tests struct {
		Tests []struct {
			Rules []struct {
				Name   string `json:"alertname"`
				Alerts []any  `json:"exp_alerts"`
			} `json:"alert_rule_test"`
		} `json:"tests"`
	}
	if err := yaml.Unmarshal(read(t, "../prometheus/alerts_test.yaml"), &tests); err != nil {
		t.Fatal(err)
	}
	fires := map[string]bool{}
	for _, c := range tests.Tests {
		for _, r := range c.Rules {
			fires[r.Name] = fires[r.Name] || len(r.Alerts) > 0
		}
	}
	for _, r := range groups.Groups[0].Rules {
		if !fires[r.Alert] {
			t.Errorf("no test has %s fire", r.Alert)
		}
	}
}

func TestDashboard(t *testing.T) {
	var d struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(read(t, "../grafana/resslt.json"), &d); err != nil {
		t.Fatal(err)
	}
	for _, p := range d.Panels {
		if len(p.Targets) == 0 {
			t.Errorf("panel %q shows nothing", p.Title)
		}
		for _, g := range p.Targets {
			checkQuery(t, g.Expr)
		}
	}
}

func TestCompose(t *testing.T) {
	env := []string{"RESSLT_TOKEN=secret", "RESSLT_DATA=/images"}
	load := func(env []string) (err error) {
		o, err := cli.NewProjectOptions([]string{"../compose.yaml"}, cli.WithEnv(env))
		if err != nil {
			return err
		}
		p, err := o.LoadProject(t.Context())
		if err != nil {
			return err
		}
		for _, name := range []string{"nats", "augmentd", "train"} {
			if _, err := p.GetService(name); err != nil {
				return err
			}
		}
		for _, s := range p.Services {
			if s.Build == nil {
				continue
			}
			if !slices.Contains(stages(t), s.Build.Target) {
				return fmt.Errorf("%s: the Dockerfile has no target %q", s.Name, s.Build.Target)
			}
			if len(s.Ports) > 0 {
				return fmt.Errorf("%s is published", s.Name)
			}
		}
		return nil
	}
	if err := load(env); err != nil {
		t.Error(err)
	}
	for i := range env {
		if err := load(slices.Delete(slices.Clone(env), i, i+1)); err == nil {
			t.Errorf("it is up without %s", env[i])
		}
	}
}

// stages are the Dockerfile's targets.
func stages(t *testing.T) []string {
	t.Helper()
	ast, err := docker.Parse(bytes.NewReader(read(t, "../Dockerfile")))
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range ast.Warnings {
		t.Errorf("Dockerfile: %s", w.Short)
	}
	parsed, _, err := instructions.Parse(ast.AST, nil)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range parsed {
		names = append(names, s.Name)
	}
	return names
}

func TestDockerfile(t *testing.T) {
	if got := strings.Join(stages(t), " "); got != "build augmentd resslt" {
		t.Errorf("its targets are %s", got)
	}
	for _, want := range []string{".git", "deploy/nats/keys"} {
		if !slices.Contains(strings.Fields(string(read(t, "../../.dockerignore"))), want) {
			t.Errorf(".dockerignore lets %s into the image", want)
		}
	}
}

// TestUnits has systemd itself verify the units, with our programs where they say.
func TestUnits(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not on PATH: apt-get install systemd")
	}
	dir := t.TempDir()
	program := filepath.Join(dir, "program")
	if err := os.WriteFile(program, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	var units []string
	for _, name := range []string{"augmentd.service", "resslt-train@.service"} {
		text := string(read(t, filepath.Join("../systemd", name)))
		for _, p := range []string{"/usr/local/bin/augmentd", "/usr/local/bin/resslt"} {
			text = strings.ReplaceAll(text, p, program)
		}
		file := filepath.Join(dir, strings.Replace(name, "@.", "@first.", 1))
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		units = append(units, file)
	}
	out, err := exec.Command(analyze, append([]string{"verify", "--man=no"}, units...)...).CombinedOutput()
	for l := range strings.Lines(string(out)) {
		if strings.Contains(l, dir) || strings.Contains(l, "augmentd") || strings.Contains(l, "resslt-train") {
			t.Error(strings.TrimSpace(l))
		}
	}
	if err != nil && !t.Failed() {
		t.Skipf("systemd-analyze cannot work here: %v: %s", err, out)
	}
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}
