package validate

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
)

// cluster is Kubernetes' own API server and controllers. It has no nodes: what a node would
// report of its pods, the tests report.
type cluster struct {
	t    *testing.T
	bin  string // its programs
	home string // where keys/ is, as it is for who installs it
}

// startCluster starts one, with a namespace that admits restricted pods alone.
func startCluster(t *testing.T) *cluster {
	t.Helper()
	bin := os.Getenv("RESSLT_KUBERNETES")
	if bin == "" {
		t.Skip("it runs Kubernetes' API server, which takes ten minutes to build: make kubernetes")
	}
	c := &cluster{t: t, bin: bin, home: t.TempDir()}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	signing := write(t, c.home, "accounts.key", string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})))
	tokens := write(t, c.home, "tokens.csv", "sesame,admin,admin,system:masters\n")
	store, peer, serve := "http://"+address(t), "http://"+address(t), address(t)
	_, port, _ := net.SplitHostPort(serve)
	write(t, c.home, "config", fmt.Sprintf(`apiVersion: v1
kind: Config
current-context: here
clusters: [{name: here, cluster: {server: "https://%s", insecure-skip-tls-verify: true}}]
users: [{name: admin, user: {token: sesame}}]
contexts: [{name: here, context: {cluster: here, user: admin, namespace: resslt}}]
`, serve))

	program(t, filepath.Join(bin, "etcd"), "--data-dir", filepath.Join(c.home, "etcd"), "--unsafe-no-fsync", "--log-level=warn",
		"--listen-client-urls", store, "--advertise-client-urls", store, "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "default="+peer)
	program(t, filepath.Join(bin, "kube-apiserver"), "--etcd-servers", store, "--bind-address=127.0.0.1", "--secure-port", port, "--cert-dir", c.home,
		"--authorization-mode=RBAC", "--token-auth-file", tokens, "--service-cluster-ip-range=10.0.0.0/24", "--endpoint-reconciler-type=none",
		"--service-account-issuer=https://kubernetes.default.svc", "--service-account-key-file", signing, "--service-account-signing-key-file", signing)
	c.until("ok", "get", "--raw", "/readyz")
	program(t, filepath.Join(bin, "kube-controller-manager"), "--kubeconfig", filepath.Join(c.home, "config"), "--leader-elect=false", "--secure-port=0",
		"--service-account-private-key-file", signing)
	c.must("create", "namespace", "resslt")
	c.must("label", "namespace", "resslt", "pod-security.kubernetes.io/enforce=restricted", "pod-security.kubernetes.io/warn=restricted")
	c.until("default", "get", "serviceaccounts", "-o", "name")
	return c
}

// do runs kubectl, and gives what it prints.
func (c *cluster) do(args ...string) (string, error) {
	var out, problem bytes.Buffer
	k := exec.Command(filepath.Join(c.bin, "kubectl"), args...)
	k.Dir = c.home
	k.Env = append(os.Environ(), "KUBECONFIG="+filepath.Join(c.home, "config"))
	k.Stdout, k.Stderr = &out, &problem
	if err := k.Run(); err != nil {
		return strings.TrimSpace(problem.String()), err
	}
	return strings.TrimSpace(out.String()), nil
}

func (c *cluster) must(args ...string) string {
	c.t.Helper()
	out, err := c.do(args...)
	if err != nil {
		c.t.Fatalf("kubectl %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return out
}

// until waits for kubectl to print a text.
func (c *cluster) until(want string, args ...string) {
	c.t.Helper()
	var out string
	for start := time.Now(); time.Since(start) < 90*time.Second; time.Sleep(200 * time.Millisecond) {
		var err error
		if out, err = c.do(args...); err == nil && strings.Contains(out, want) {
			return
		}
	}
	events, _ := c.do("get", "events", "--all-namespaces")
	c.t.Fatalf("kubectl %s: %s, want %s\n%s", strings.Join(args, " "), out, want, events)
}

// read decodes what kubectl gets.
func (c *cluster) read(into any, args ...string) {
	c.t.Helper()
	if err := json.Unmarshal([]byte(c.must(append([]string{"get", "-o", "json"}, args...)...)), into); err != nil {
		c.t.Fatal(err)
	}
}

// pods are those of a name that nothing has ended or deleted; it waits for as many of them.
func (c *cluster) pods(name string, n int) []corev1.Pod {
	c.t.Helper()
	for start := time.Now(); ; time.Sleep(200 * time.Millisecond) {
		var list corev1.PodList
		c.read(&list, "pods", "-l", "app.kubernetes.io/name="+name)
		live := slices.DeleteFunc(list.Items, func(p corev1.Pod) bool {
			return p.DeletionTimestamp != nil || p.Status.Phase == corev1.PodFailed || p.Status.Phase == corev1.PodSucceeded
		})
		if len(live) == n {
			return live
		}
		if time.Since(start) > 90*time.Second {
			events, _ := c.do("get", "events")
			c.t.Fatalf("%d pods of %s, want %d\n%s", len(live), name, n, events)
		}
	}
}

// report sets a pod's status, as its node would.
func (c *cluster) report(pod corev1.Pod, status corev1.PodStatus) {
	c.t.Helper()
	raw, err := json.Marshal(map[string]any{"status": status})
	if err != nil {
		c.t.Fatal(err)
	}
	c.must("patch", "pod", pod.Name, "--subresource=status", "--type=strategic", "-p", string(raw))
}

func running(pod corev1.Pod) corev1.PodStatus {
	return corev1.PodStatus{
		Phase:             corev1.PodRunning,
		Conditions:        []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}, {Type: corev1.ContainersReady, Status: corev1.ConditionTrue}},
		ContainerStatuses: []corev1.ContainerStatus{{Name: pod.Spec.Containers[0].Name, Ready: true, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}},
	}
}

// ended is the status of a pod whose container ended with a code.
func ended(pod corev1.Pod, code int32, conditions ...corev1.PodCondition) corev1.PodStatus {
	return corev1.PodStatus{
		Phase: corev1.PodFailed, Conditions: conditions,
		ContainerStatuses: []corev1.ContainerStatus{{Name: pod.Spec.Containers[0].Name, State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: code}}}},
	}
}

// secrets runs the commands at the heads of the manifests, which make the secrets of the keys.
func (c *cluster) secrets() {
	c.t.Helper()
	command := regexp.MustCompile(`(resslt keys|kubectl create secret)[^\n]*(\n#\s+--[^\n]*)*`)
	for _, file := range []string{"nats-values.yaml", "augmentd.yaml", "train.yaml"} {
		lines := command.FindAllString(string(read(c.t, filepath.Join("../kubernetes", file))), -1)
		if len(lines) == 0 {
			c.t.Errorf("%s says nothing of its secrets", file)
		}
		for _, line := range lines {
			line = regexp.MustCompile(`\\?\n#\s+`).ReplaceAllString(line, " ")
			sh := exec.Command("bash", "-c", line)
			sh.Dir = c.home
			programs, _ := filepath.Abs("../../bin")
			sh.Env = append(os.Environ(), "KUBECONFIG="+filepath.Join(c.home, "config"), "PATH="+c.bin+":"+programs+":"+os.Getenv("PATH"))
			if out, err := sh.CombinedOutput(); err != nil {
				c.t.Fatalf("%s: %v: %s", line, err, out)
			}
		}
	}
}

// definitions has the cluster know the kinds of KEDA and of Kubeflow's operator, as those define them.
func (c *cluster) definitions() {
	c.t.Helper()
	for module, files := range map[string]string{
		"github.com/kedacore/keda/v2":                  "config/crd/bases/keda.sh_scaledobjects.yaml",
		"github.com/kubeflow/training-operator@v1.9.3": "manifests/base/crds/kubeflow.org_pytorchjobs.yaml",
	} {
		out, err := exec.Command("go", "mod", "download", "-json", module).Output()
		var has struct{ Dir string }
		if json.Unmarshal(out, &has) != nil || has.Dir == "" {
			c.t.Fatalf("%s: %v: %s", module, err, out)
		}
		path := filepath.Join(has.Dir, files)
		c.must("apply", "--server-side", "-f", path)
		c.until("True", "get", "-f", path, "-o", `jsonpath={.status.conditions[?(@.type=="Established")].status}`)
	}
}

// TestCluster has Kubernetes' own API server and controllers take deploy's manifests.
func TestCluster(t *testing.T) {
	c := startCluster(t)
	c.definitions()
	c.secrets()
	for _, file := range manifests {
		path, _ := filepath.Abs(filepath.Join("../kubernetes", file))
		// A warning is of what a later version refuses, or of what this namespace does.
		c.must("apply", "-f", path, "--warnings-as-errors")
		generations := []string{"get", "-f", path, "--no-headers", "-o", "custom-columns=:.kind,:.metadata.generation"}
		was := c.must(generations...)
		c.must("apply", "-f", path, "--warnings-as-errors")
		if is := c.must(generations...); is != was {
			t.Errorf("%s is changed by applying it again: generations %q, then %q", file, was, is)
		}
	}

	t.Run("faults", c.testFaults)
	t.Run("keys", c.testKeys)
	t.Run("farm", c.testFarm)
	t.Run("trainer", c.testTrainer)
}

// testFaults: this cluster refuses what is wrong, so that its silence says something.
func (c *cluster) testFaults(t *testing.T) {
	for _, fault := range []struct{ file, from, to, want string }{
		{"augmentd.yaml", "maxUnavailable: 25%", "maxUnavailable: a quarter", "a valid percent string"},
		{"augmentd.yaml", "maxUnavailable: 50%", "maxUnavailables: 50%", "unknown field"},
		{"augmentd.yaml", "allowPrivilegeEscalation: false", "allowPrivilegeEscalation: true", "violate PodSecurity"},
		{"augmentd.yaml", "seccompProfile: { type: RuntimeDefault }", "seccompProfile: { type: Unconfined }", "violate PodSecurity"},
		{"train.yaml", "restartPolicy: Never", "restartPolicy: OnFailure", "when podFailurePolicy is specified"},
		{"train.yaml", "containerName: train,", "containerName: trainer,", "must be one of the container"},
		{"scaledobject.yaml", "maxReplicaCount: 64", "maxReplicaCounts: 64", "unknown field"},
		{"scaledobject.yaml", "metricType: Value", "metricType: 0.5", "metricType"},
		{"pytorchjob.yaml", "backoffLimit: 20", "backoffLimit: many", "backoffLimit"},
		{"pytorchjob.yaml", "restartPolicy: OnFailure", "restartPolicies: OnFailure", "unknown field"},
	} {
		good := string(read(t, filepath.Join("../kubernetes", fault.file)))
		if strings.Count(good, fault.from) == 0 {
			t.Errorf("%s has no %q", fault.file, fault.from)
		}
		// Under other names: much of a Job cannot be changed.
		bad := regexp.MustCompile(`(?m)^  name: .*`).ReplaceAllString(strings.ReplaceAll(good, fault.from, fault.to), "  name: faulty")
		out, err := c.do("apply", "-f", write(t, t.TempDir(), fault.file, bad), "--dry-run=server", "--warnings-as-errors")
		if err == nil || !strings.Contains(out, fault.want) {
			t.Errorf("%s with %q: %v: %s, want %q", fault.file, fault.to, err, out, fault.want)
		}
	}
}

// testKeys: a pod's flags name files that its secret has.
func (c *cluster) testKeys(t *testing.T) {
	for name, n := range map[string]int{"augmentd": 1, "resslt-train": 1} {
		pod := c.pods(name, n)[0]
		var secret corev1.Secret
		for _, v := range pod.Spec.Volumes {
			if v.Secret != nil {
				c.read(&secret, "secret", v.Secret.SecretName)
			}
		}
		flags := strings.Join(pod.Spec.Containers[0].Args, " ")
		asked := regexp.MustCompile(`=/keys/(\S+)`).FindAllStringSubmatch(flags, -1)
		if len(asked) < 2 {
			t.Errorf("%s has no key and certificate: %s", name, flags)
		}
		for _, m := range asked {
			if len(secret.Data[m[1]]) == 0 {
				t.Errorf("%s wants %s, which its secret %s has not", name, m[1], secret.Name)
			}
		}
	}
}

// testFarm: what scales the farm is not undone by who applies its manifest again, and half of its
// workers can be evicted at once, not more.
func (c *cluster) testFarm(t *testing.T) {
	c.must("scale", "deployment", "augmentd", "--replicas=4") // as KEDA's autoscaler does
	for _, pod := range c.pods("augmentd", 4) {
		c.report(pod, running(pod))
	}
	c.must("wait", "--for=condition=Available", "--timeout=60s", "deployment/augmentd")
	path, _ := filepath.Abs("../kubernetes/augmentd.yaml")
	c.must("apply", "-f", path)
	c.until("2", "get", "pdb", "augmentd", "-o", "jsonpath={.status.disruptionsAllowed}")
	evict := func(pod corev1.Pod) error {
		file := write(t, t.TempDir(), "eviction.json", fmt.Sprintf(`{"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":%q}}`, pod.Name))
		out, err := c.do("create", "--raw", "/api/v1/namespaces/resslt/pods/"+pod.Name+"/eviction", "-f", file)
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	}
	workers := c.pods("augmentd", 4)
	for i, pod := range workers[:2] {
		if err := evict(pod); err != nil {
			t.Errorf("eviction %d of 4 workers: %v", i+1, err)
		}
	}
	if err := evict(workers[2]); err == nil || !strings.Contains(err.Error(), "disruption budget") {
		t.Errorf("a third of 4 workers: %v, want the budget's refusal", err)
	}
	for _, pod := range c.pods("augmentd", 4) { // others take their places
		c.report(pod, running(pod))
	}
	if err := evict(workers[2]); err != nil {
		t.Errorf("a third, after two others came: %v", err)
	}
}

// testTrainer: a pod that is evicted is no failure, one that fails is one, and one that was used wrongly ends the job.
func (c *cluster) testTrainer(t *testing.T) {
	var job batchv1.Job
	failed := func(n int32) {
		t.Helper()
		if c.read(&job, "job", "resslt-train"); job.Status.Failed != n {
			t.Errorf("the job has %d failures, want %d", job.Status.Failed, n)
		}
	}
	pod := c.pods("resslt-train", 1)[0]
	c.report(pod, ended(pod, 130, corev1.PodCondition{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: "EvictionByEvictionAPI"}))
	pod = c.pods("resslt-train", 1)[0]
	failed(0)
	c.report(pod, ended(pod, 1))
	pod = c.pods("resslt-train", 1)[0]
	failed(1)
	c.report(pod, ended(pod, 2))
	c.until("PodFailurePolicy", "get", "job", "resslt-train", "-o", `jsonpath={.status.conditions[?(@.type=="Failed")].reason}`)
}
