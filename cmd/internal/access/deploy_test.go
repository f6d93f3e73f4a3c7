package access

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/nats-io/nats-server/v2/server"

	"resslt/batcher/broker"
)

// parse has both servers read a configuration: the version that go.mod pins, and the
// nats-server on PATH, where there is one.
func parse(t *testing.T, conf string) *server.Options {
	t.Helper()
	o, err := server.ProcessConfigFile(conf)
	if err != nil {
		t.Fatal(err)
	}
	if bin, err := exec.LookPath("nats-server"); err != nil {
		t.Log("nats-server is not on PATH: apt-get install nats-server")
	} else if out, err := exec.Command(bin, "-t", "-c", conf).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return o
}

// TestBrokerConf: deploy's brokers of one machine take our chunks, and let nobody in who
// has not the token where the address is open.
func TestBrokerConf(t *testing.T) {
	compose := "../../../deploy/nats/compose.conf"
	if _, err := server.ProcessConfigFile(compose); err == nil || !strings.Contains(err.Error(), "RESSLT_TOKEN") {
		t.Errorf("without a token: %v", err)
	}
	t.Setenv("RESSLT_TOKEN", "of-the-test")
	for file, token := range map[string]string{compose: "of-the-test", "../../../deploy/nats/dev.conf": ""} {
		o := parse(t, file)
		if !o.JetStream || o.MaxPayload != 8<<20 && o.MaxPayload != 8e6 || o.Authorization != token || (token == "") != (o.Host == "127.0.0.1") {
			t.Errorf("%s: JetStream %v, max_payload %d, token %q, host %s", file, o.JetStream, o.MaxPayload, o.Authorization, o.Host)
		}
	}
}

// values is what deploy/kubernetes/nats-values.yaml may say: keys of NATS's chart as of
// its version 1.
type values struct {
	Config struct {
		JetStream struct {
			Enabled     bool
			MemoryStore struct {
				Enabled bool
				MaxSize string `yaml:"maxSize"`
			} `yaml:"memoryStore"`
			FileStore struct {
				Enabled bool
				PVC     struct {
					Enabled bool
					Size    string
				} `yaml:"pvc"`
			} `yaml:"fileStore"`
		} `yaml:"jetstream"`
		Monitor struct {
			Enabled bool
			Port    int
		}
		NATS struct {
			Port int
			TLS  struct {
				Enabled            bool
				SecretName         string `yaml:"secretName"`
				Dir, Cert, Key, CA string
			} `yaml:"tls"`
		} `yaml:"nats"`
		Merge map[string]string
	}
	Container struct {
		Env   map[string]string
		Merge struct {
			Resources map[string]map[string]string // a list here would take the place of the chart's own
		}
	}
	PromExporter struct{ Enabled bool } `yaml:"promExporter"`
}

// TestKubernetesValues builds the server's configuration as the chart does, in its
// folders, with the files that the secret is made of, and has it read.
func TestKubernetesValues(t *testing.T) {
	raw, err := os.ReadFile("../../../deploy/kubernetes/nats-values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var v values
	if err := yaml.UnmarshalWithOptions(raw, &v, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	tls := v.Config.NATS.TLS
	if !tls.Enabled || tls.SecretName == "" { // without a name the chart writes neither certificate nor volume
		t.Fatalf("tls: %+v", tls)
	}
	root := t.TempDir()
	secret, config := filepath.Join(root, tls.Dir), filepath.Join(root, "/etc/nats-config")
	made := filepath.Join(root, "made")
	if err := Keys(KeyOptions{Dir: made, At: secret, Tenants: []string{vision}}); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{secret, config} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	named := regexp.MustCompile(`--from-file=keys/(\S+)`).FindAllSubmatch(raw, -1)
	for _, f := range named {
		if err := os.Rename(filepath.Join(made, string(f[1])), filepath.Join(secret, string(f[1]))); err != nil {
			t.Fatal(err)
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "port: %d\nhttp_port: %d\ntls: { cert_file: %q, key_file: %q }\n",
		v.Config.NATS.Port, v.Config.Monitor.Port, filepath.Join(secret, tls.Cert), filepath.Join(secret, tls.Key))
	fmt.Fprintf(&b, "jetstream: { max_memory_store: %s, store_dir: %q, max_file_store: %s }\n",
		v.Config.JetStream.MemoryStore.MaxSize, filepath.Join(root, "js"), v.Config.JetStream.FileStore.PVC.Size)
	for key, value := range v.Config.Merge {
		quoted, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		switch bare, ok := strings.CutPrefix(value, "<< "); {
		case key == "$include":
			fmt.Fprintf(&b, "include %s;\n", value)
		case ok:
			fmt.Fprintf(&b, "%q: %s\n", key, strings.TrimSuffix(bare, " >>"))
		default:
			fmt.Fprintf(&b, "%q: %s\n", key, quoted)
		}
	}
	conf := filepath.Join(config, "nats.conf")
	if err := os.WriteFile(conf, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	o := parse(t, conf)
	if o.TLSConfig == nil || !o.JetStream || len(o.Nkeys) != len(broker.Roles())+1 || o.SystemAccount != systemAccount || o.MaxPayload < 8e6 {
		t.Errorf("TLS %v, JetStream %v, %d users, system account %q, max_payload %d", o.TLSConfig != nil, o.JetStream, len(o.Nkeys), o.SystemAccount, o.MaxPayload)
	}
}
